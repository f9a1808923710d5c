"""The part of Python that compiled functions are written in, and how it becomes LLVM's instructions.

Statements: assignments, if, while, for over `range`, tuples and arrays, break, continue, return. Numbers: int64,
uint64, float32, float64, bool; elements of arrays that have fewer bits become int64 when they are read. Arrays and
tuples, named or not, come from callers; parts of arrays are views. Functions: those that are compiled, min, max, abs,
len, int, float, NumPy's types, floor and sqrt, and each `Inline`. A variable keeps its type where it may be seen, and
uint64 and float32 do not mix with int64. Quotients by zero are 0. All else is an error when a function is compiled:
`Unsupported`, with its line.

A function is written down for every combination of types that it is called with. Indices count from the start, and
nobody looks whether they do; with NUMBA_BOUNDSCHECK=1 one that is outside its array ends the function with an error.
"""

import ast
import builtins
import linecache
import operator
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from bfncodec.exact.compiled import Compiled, Inline

ENTRY = "entry"
CHECKED = os.environ.get("NUMBA_BOUNDSCHECK", "0") not in ("", "0")
_MOST = 4096  # numbers of a table that becomes part of the code
_FAIL = "  ; failed"


class Unsupported(TypeError):
    """Compiled code cannot do this."""

    placed = False  # whether the message says where


class Number(NamedTuple):
    """A type of numbers, and what LLVM calls it."""

    name: str
    llvm: str
    whole: bool = False


class Array(NamedTuple):
    """A type of arrays. dense: elements of the last axis lie side by side."""

    dtype: np.dtype[Any]
    axes: int
    dense: bool


class Tuple(NamedTuple):
    """A type of tuples; fields: names, if they have any."""

    fields: tuple[str, ...]
    parts: tuple[Any, ...]


INT, UINT = Number("int64", "i64", whole=True), Number("uint64", "i64", whole=True)
FLOAT, DOUBLE, BOOL = Number("float32", "float"), Number("float64", "double"), Number("bool", "i1")
Kind = Number | Array | Tuple


class Value(NamedTuple):
    """A number: LLVM's name of it; known: what it is, if that is known beforehand."""

    kind: Number
    text: str
    known: Any = None


class View(NamedTuple):
    """An array: address, sizes, and strides in bytes, each LLVM's name or what gives that."""

    kind: Array
    parts: tuple[Any, ...]


class Near(NamedTuple):
    """A tuple whose parts are at hand."""

    kind: Tuple
    parts: tuple[Any, ...]


class Far(NamedTuple):
    """A tuple in memory, eight bytes a word; early: the address is known where the function begins."""

    kind: Tuple
    address: str
    early: bool


class Thing(NamedTuple):
    """What else Python knows."""

    value: Any


def kind_of(value: Any) -> Kind:
    """The type of an argument from Python."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "iufb" or value.dtype == np.float16 or not value.dtype.isnative:
            raise Unsupported(f"arrays of {value.dtype}")
        return Array(value.dtype, value.ndim, value.flags.c_contiguous)
    if isinstance(value, tuple):
        return Tuple(getattr(value, "_fields", ()), tuple(map(kind_of, value)))
    return DOUBLE if isinstance(value, float) else INT


def _words(kind: Kind) -> int:
    """How many words of memory a value takes."""
    if isinstance(kind, Array):
        return 1 + 2 * kind.axes
    return sum(map(_words, kind.parts)) if isinstance(kind, Tuple) else 1


def _types(kind: Kind) -> list[str]:
    """How LLVM passes a value to functions."""
    if isinstance(kind, Array):
        return ["ptr"] + ["i64"] * (2 * kind.axes - kind.dense)
    if isinstance(kind, Tuple):
        return [f"ptr noalias readonly dereferenceable({8 * _words(kind)})"]
    return [kind.llvm]


def _result(kind: Any) -> str:
    """What a function returns, in LLVM's words."""
    if kind is None:
        return "void"
    return f"{{{', '.join(part.llvm for part in kind.parts)}}}" if isinstance(kind, Tuple) else kind.llvm


def _number(kind: Number, known: Any) -> Value:
    """A number that is known."""
    if kind.whole:
        known = int(known) & (1 << 64) - 1
        known -= known >> 63 << 64 if kind == INT else 0
        return Value(kind, str(known), known)
    if kind == BOOL:
        return Value(kind, "true" if known else "false", bool(known))
    known = float(np.float32(known)) if kind == FLOAT else float(known)
    return Value(kind, f"0x{struct.pack('>d', known).hex().upper()}", known)


class Program:
    """Functions in LLVM's language, with what they need."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.others: dict[str, str] = {}  # modules that were written in another way, by a function in each
        self.declared = {"@failed = internal global i32 0"} if CHECKED else set[str]()
        self._known: dict[Any, tuple[str, Any]] = {}
        self._tables: dict[Any, View] = {}

    def text(self) -> str:
        return "\n".join([*sorted(self.declared), *self.texts])

    def entry(self, function: FunctionType, kinds: tuple[Kind, ...]) -> Any:
        """Write a function, and ENTRY, which takes its arguments from memory; returns the type of its result."""
        name, result = self.function(function, kinds)
        body = [f"define i32 @{ENTRY}(ptr %result, ptr %words) {{"]
        given, place, number = [], 0, 0
        for kind in kinds:
            for count, one in enumerate(_types(kind)):
                body.append(f"%a{number} = getelementptr i64, ptr %words, i64 {place + count}")
                if not isinstance(kind, Tuple):
                    body.append(f"%v{number} = load {one}, ptr %a{number}")
                given.append(f"{one.split()[0]} %{'a' if isinstance(kind, Tuple) else 'v'}{number}")
                number += 1
            place += _words(kind)
        call = f"call {_result(result)} @{name}({', '.join(given)})"
        body += [call] if result is None else [f"%value = {call}", f"store {result.llvm} %value, ptr %result"]
        if CHECKED:
            body += ["%status = load i32, ptr @failed", "store i32 0, ptr @failed", "ret i32 %status", "}"]
        else:
            body += ["ret i32 0", "}"]
        self.texts.append("\n".join(body))
        return result

    def function(self, function: FunctionType, kinds: tuple[Kind, ...]) -> tuple[str, Any]:
        """The name of a function for arguments of these types, and the type of its result."""
        key = function, kinds
        if key not in self._known:
            name = f"f{len(self._known)}_{function.__name__}"
            self._known[key] = name, Unsupported  # calls of itself find this
            writing = _Function(self, function, kinds)
            self.texts.append(writing.written(name))
            self._known[key] = name, writing.result
        return self._known[key]

    def table(self, values: Any) -> View:
        """Numbers that are a part of the code."""
        array = np.ascontiguousarray(values)
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._tables:
            if array.size > _MOST or array.dtype.kind not in "iub":
                raise Unsupported("a table that is long, or of fractions")
            bits = 8 * array.itemsize
            name, numbers = f"@t{len(self._tables)}", ", ".join(f"i{bits} {int(one)}" for one in array.reshape(-1))
            self.declared.add(f"{name} = internal constant [{array.size} x i{bits}] [{numbers}]")
            parts = name, *map(str, array.shape), *map(str, array.strides)
            self._tables[key] = View(Array(array.dtype, array.ndim, True), parts)
        return self._tables[key]


class _Variable(NamedTuple):
    """A place for values of a type; narrow: what other branches assign goes elsewhere."""

    kind: Kind
    slots: tuple[str, ...]
    scope: int
    narrow: bool


@cache
def _sources(path: str) -> dict[tuple[str, int], ast.FunctionDef]:
    """Functions of a file, by name and first line."""
    tree = ast.parse("".join(linecache.getlines(path)))
    functions = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)]
    return {(one.name, min([one.lineno, *(line.lineno for line in one.decorator_list)])): one for one in functions}


class _Uses(ast.NodeVisitor):
    """Which names are given once and seen only behind that, inside the block where it happens."""

    def __init__(self, node: ast.FunctionDef) -> None:
        self._order = 0
        self._path: tuple[int, ...] = ()
        self._given: dict[str, list[tuple[int, tuple[int, ...]]]] = {}
        self._seen: dict[str, list[tuple[int, tuple[int, ...]]]] = {}
        for one in node.args.args:
            self._note(self._given, one.arg)
        for statement in node.body:
            self.visit(statement)

    def fixed(self) -> set[str]:
        found = set()
        for name, places in self._given.items():
            (order, path), *more = places
            seen = self._seen.get(name, ())
            if not more and all(when > order and where[: len(path)] == path for when, where in seen):
                found.add(name)
        return found

    def names(self) -> set[str]:
        return set(self._given)

    def _note(self, notes: Any, name: str) -> None:
        self._order += 1
        notes.setdefault(name, []).append((self._order, self._path))

    def _block(self, *nodes: ast.AST) -> None:
        before, self._path = self._path, (*self._path, self._order)
        for node in nodes:
            self.visit(node)
        self._path = before
        self._order += 1

    def visit_Name(self, node: ast.Name) -> None:
        self._note(self._seen if isinstance(node.ctx, ast.Load) else self._given, node.id)

    def visit_Assign(self, node: ast.Assign) -> None:
        for one in (node.value, *node.targets):
            self.visit(one)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.visit(node.value)
        self.visit(node.target)
        self.visit(node.target)

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        self._block(*node.body)
        self._block(*node.orelse)

    def visit_While(self, node: ast.While) -> None:
        self._block(node.test, *node.body)

    def visit_For(self, node: ast.For) -> None:
        self.visit(node.iter)
        self._block(node.target, *node.body)


class _Function:
    """One function that is being written."""

    def __init__(self, program: Program, function: FunctionType, kinds: tuple[Kind, ...]) -> None:
        self.program, self._function = program, function
        code = function.__code__
        found = _sources(code.co_filename).get((function.__name__, code.co_firstlineno))
        if found is None:
            raise Unsupported(f"no source of {function.__qualname__}")
        self._node = found
        self._at: ast.stmt = found
        uses = _Uses(found)
        self._fixed, self._names = uses.fixed(), uses.names()
        self.result: Any = Unsupported
        self._head: list[str] = []  # memory, and parts of tuples
        self._body: list[str] = []
        self._count, self._open, self._block = 0, True, "start"
        self._bound: dict[str, Any] = {}  # fixed names
        self._variables: dict[str, _Variable | None] = {}
        self._scopes, self._left = [0], 0
        self._early: dict[tuple[str, int], str] = {}
        self._loops: list[tuple[str, str]] = []  # where continue and break go
        self._parameters: list[str] = []
        for argument, kind in zip(found.args.args, kinds, strict=True):
            names = [f"%{argument.arg}.{number}" for number in range(len(_types(kind)))]
            self._parameters += [f"{one} {name}" for one, name in zip(_types(kind), names, strict=True)]
            self._assign_name(argument.arg, self._made(kind, names, early=True))

    def written(self, name: str) -> str:
        """The function as text."""
        try:
            self._statements(self._node.body)
        except Unsupported as error:
            if not error.placed:
                error.placed = True
                error.args = (f"{self._function.__code__.co_filename}:{self._at.lineno}: {error}",)
            raise
        if self.result is Unsupported:
            self.result = None
        if self._open:
            if self.result is not None:
                raise Unsupported(f"{self._function.__qualname__} may end without a result")
            self.do("ret void")
        result = _result(self.result)
        failing = f"ret {result}" + (" zeroinitializer" if self.result else "")
        body = [failing if line == _FAIL else line for line in self._body]
        head = f"define internal {result} @{name}({', '.join(self._parameters)}) nounwind {{"
        return "\n".join([head, "head:", *self._head, "br label %start", "start:", *body, "}"])

    # Instructions

    def do(self, text: str) -> None:
        self._body.append(text)

    def op(self, text: str) -> str:
        """An instruction that gives something; LLVM's name of that."""
        self._count += 1
        self._body.append(f"%x{self._count} = {text}")
        return f"%x{self._count}"

    def memory(self, kind: str, count: int = 1) -> str:
        """The address of memory that lives as long as the call."""
        self._count += 1
        self._head.append(f"%x{self._count} = alloca {kind}, i64 {count}")
        return f"%x{self._count}"

    def _name(self, what: str) -> str:
        self._count += 1
        return f"{what}{self._count}"

    def _label(self, name: str) -> None:
        if self._open:
            self.do(f"br label %{name}")
        self.do(f"{name}:")
        self._open, self._block = True, name

    def _end(self, text: str) -> None:
        self.do(text)
        self._open = False

    def _choose(self, condition: str, yes: str, no: str) -> None:
        self._end(f"br i1 {condition}, label %{yes}, label %{no}")

    def declare(self, result: str, name: str, *kinds: str) -> str:
        self.program.declared.add(f"declare {result} @{name}({', '.join(kinds)})")
        return f"@{name}"

    def arithmetic(self, what: str, one: str, other: str) -> str:
        """Sum or product of two int64, worked out where both are known."""
        known = one.lstrip("-").isdigit(), other.lstrip("-").isdigit()
        if all(known):
            return str({"add": operator.add, "mul": operator.mul}[what](int(one), int(other)))
        neutral = "0" if what == "add" else "1"
        if neutral in (one, other):
            return other if one == neutral else one
        if what == "mul" and "0" in (one, other):
            return "0"
        return self.op(f"{what} i64 {one}, {other}")

    def require(self, condition: str) -> None:
        """End the function with an error otherwise."""
        right, wrong = self._name("right"), self._name("wrong")
        self._choose(condition, right, wrong)
        self.do(f"{wrong}:")
        self.do("store i32 1, ptr @failed")
        self.do(_FAIL)
        self._label(right)

    # Statements

    @contextmanager
    def _scope(self) -> Iterator[None]:
        self._left += 1
        self._scopes.append(self._left)
        yield
        scope = self._scopes.pop()
        for name, one in self._variables.items():
            if one is not None and one.scope == scope and one.narrow:
                self._variables[name] = None

    def _statements(self, nodes: list[ast.stmt]) -> None:
        for node in nodes:
            if not self._open:
                return
            self._at = node
            handler = getattr(self, f"_do_{type(node).__name__}", None)
            if handler is None:
                raise Unsupported(f"the statement {type(node).__name__}")
            handler(node)

    def _do_Pass(self, node: ast.Pass) -> None:
        pass

    def _do_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self._of(node.value)

    def _do_Assign(self, node: ast.Assign) -> None:
        value = self._of(node.value)
        for target in node.targets:
            self._assign(target, value)

    def _do_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            old = self._of(ast.Name(node.target.id, ast.Load()))
            self._assign_name(node.target.id, self._binary(type(node.op), old, self._of(node.value)))
            return
        if not isinstance(node.target, ast.Subscript):
            raise Unsupported("such a target")
        place = self._viewed(self._of(node.target.value), node.target.slice)
        self._put(place, self._binary(type(node.op), self._element(place), self._of(node.value)))

    def _do_Return(self, node: ast.Return) -> None:
        value: Any = Thing(None) if node.value is None else self._of(node.value)
        if isinstance(value, Near):
            kind: Any = Tuple((), tuple(self._plain(part).kind for part in value.parts))
        else:
            kind = None if value == Thing(None) else self._plain(value).kind
        if self.result is Unsupported:
            self.result = kind
        if kind is None:
            self._end("ret void")
        elif isinstance(value, Near):
            made = "undef"
            for number, part in enumerate(value.parts):
                made = self.op(f"insertvalue {_result(kind)} {made}, {part.kind.llvm} {part.text}, {number}")
            self._end(f"ret {_result(kind)} {made}")
        elif isinstance(self.result, Number):
            value = self._widened(value, self.result)
            kind = self.result
            self._end(f"ret {kind.llvm} {value.text}")
        if self.result != kind:
            raise Unsupported("results of several types")

    def _do_If(self, node: ast.If) -> None:
        test = None if isinstance(node.test, ast.BoolOp | ast.UnaryOp) else self._of(node.test)
        if isinstance(test, Value) and test.known is not None:
            with self._scope():
                self._statements(node.body if test.known else node.orelse)
            return
        yes, no, end = self._name("yes"), self._name("no"), self._name("end")
        if test is None:
            self._branch(node.test, yes, no if node.orelse else end)
        else:
            self._choose(self._truth(test).text, yes, no if node.orelse else end)
        reached = not node.orelse
        for label, body in ((yes, node.body), (no, node.orelse)):
            if body:
                self._label(label)
                with self._scope():
                    self._statements(body)
                if self._open:
                    reached = True
                    self._end(f"br label %{end}")
        if reached:
            self._label(end)

    def _do_While(self, node: ast.While) -> None:
        if node.orelse:
            raise Unsupported("else of a loop")
        test, body, end = self._name("test"), self._name("body"), self._name("end")
        self._label(test)
        with self._scope():
            self._branch(node.test, body, end)
            self._label(body)
            self._inside(node.body, test, end)
        if self._open:
            self._end(f"br label %{test}")
        self._label(end)

    def _do_For(self, node: ast.For) -> None:
        if node.orelse:
            raise Unsupported("else of a loop")
        call = node.iter
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "range":
            numbers = [self._plain(self._of(one), INT) for one in call.args]
            start, stop = numbers[:2] if len(numbers) > 1 else (_number(INT, 0), numbers[0])
            step = numbers[2].known if len(numbers) > 2 else 1
            if not step:
                raise Unsupported("a step that is 0 or not known beforehand")
            with self._counting(start.text, stop.text, step) as (index, next_, end), self._scope():
                self._assign(node.target, Value(INT, index))
                self._inside(node.body, next_, end)
            return
        over = self._of(call)
        if isinstance(over, View):
            with self._counting("0", self._size(over, 0), 1) as (index, next_, end), self._scope():
                self._assign(node.target, self._element(self._at_indices(over, [Value(INT, index)])))
                self._inside(node.body, next_, end)
            return
        end = self._name("end")
        for part in self._parts(over):
            next_ = self._name("next")
            with self._scope():
                self._assign(node.target, part)
                self._inside(node.body, next_, end)
            self._label(next_)
        self._label(end)

    def _inside(self, body: list[ast.stmt], next_: str, end: str) -> None:
        self._loops.append((next_, end))
        self._statements(body)
        self._loops.pop()

    @contextmanager
    def _counting(self, start: str, stop: str, step: int) -> Iterator[tuple[str, str, str]]:
        """A loop: its number, where it goes on, and where it ends."""
        counter = self.memory("i64")
        test, body, next_, end = (self._name(one) for one in ("test", "body", "next", "end"))
        self.do(f"store i64 {start}, ptr {counter}")
        self._label(test)
        index = self.op(f"load i64, ptr {counter}")
        self._choose(self.op(f"icmp {'slt' if step > 0 else 'sgt'} i64 {index}, {stop}"), body, end)
        self._label(body)
        yield index, next_, end
        self._label(next_)
        more = self.op(f"add nsw i64 {index}, {step}")
        self.do(f"store i64 {more}, ptr {counter}")
        self._end(f"br label %{test}")
        self._label(end)

    def _do_Continue(self, node: ast.Continue) -> None:
        self._end(f"br label %{self._loops[-1][0]}")

    def _do_Break(self, node: ast.Break) -> None:
        self._end(f"br label %{self._loops[-1][1]}")

    # Names

    def _assign(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            self._assign_name(target.id, value)
        elif isinstance(target, ast.Tuple):
            parts = self._parts(value, len(target.elts))
            if len(parts) != len(target.elts):
                raise Unsupported("so many parts")
            for one, part in zip(target.elts, parts, strict=True):
                self._assign(one, part)
        elif isinstance(target, ast.Subscript):
            self._put(self._viewed(self._of(target.value), target.slice), value)
        else:
            raise Unsupported("such a target")

    def _assign_name(self, name: str, value: Any) -> None:
        if name in self._fixed:
            self._bound[name] = value
            return
        if not isinstance(value, Value | View):
            raise Unsupported(f"{name}, a tuple, is given twice, or seen from elsewhere")
        kind: Kind = value.kind
        old = self._variables.get(name)
        if old is not None and old.kind != kind:
            if isinstance(value, Value) and isinstance(old.kind, Number) and (kind, old.kind) in ((BOOL, INT),):
                value, kind = self._widened(value, old.kind), old.kind
            elif old.scope in self._scopes[:-1]:
                raise Unsupported(f"{name} has another type")
        if old is None or old.kind != kind:
            slots = tuple(self.memory(one) for one in _types(kind))
            old = self._variables[name] = _Variable(kind, slots, self._scopes[-1], name in self._variables)
        given = [value.text] if isinstance(value, Value) else self._whole(value)
        for one, slot, part in zip(_types(kind), old.slots, given, strict=True):
            self.do(f"store {one} {part}, ptr {slot}")

    def _of_Name(self, node: ast.Name) -> Any:
        if node.id in self._bound:
            return self._bound[node.id]
        if node.id in self._names:
            one = self._variables.get(node.id)
            if one is None:
                raise Unsupported(f"{node.id} is not always given, or of several types")
            pairs = zip(_types(one.kind), one.slots, strict=True)
            return self._made(one.kind, [self.op(f"load {llvm}, ptr {slot}") for llvm, slot in pairs])
        known = self._function.__globals__
        if node.id not in known and not hasattr(builtins, node.id):
            raise Unsupported(f"{node.id} is not known")
        return self._wrapped(known[node.id] if node.id in known else getattr(builtins, node.id))

    def _made(self, kind: Kind, names: Any, *, early: bool = False) -> Any:
        """A value that LLVM has under these names."""
        if isinstance(kind, Array):
            return View(kind, (*names, str(kind.dtype.itemsize)) if kind.dense else tuple(names))
        return Far(kind, names[0], early) if isinstance(kind, Tuple) else Value(kind, names[0])

    def _wrapped(self, value: Any) -> Any:
        """A value of Python's."""
        if isinstance(value, bool | np.bool_):
            return _number(BOOL, value)
        if isinstance(value, np.uint64 | np.float32):
            return _number(UINT if isinstance(value, np.uint64) else FLOAT, value)
        if isinstance(value, int | np.integer):
            return _number(INT, value)
        if isinstance(value, float):
            return _number(DOUBLE, value)
        if isinstance(value, tuple):
            parts = tuple(map(self._wrapped, value))
            kinds = tuple(getattr(part, "kind", None) for part in parts)
            return Near(Tuple(getattr(value, "_fields", ()), kinds), parts)
        return self.program.table(value) if isinstance(value, np.ndarray) else Thing(value)

    # Expressions

    def _of(self, node: ast.expr) -> Any:
        handler = getattr(self, f"_of_{type(node).__name__}", None)
        if handler is None:
            raise Unsupported(f"the expression {type(node).__name__}")
        return handler(node)

    def _of_Constant(self, node: ast.Constant) -> Any:
        return self._wrapped(node.value)

    def _of_Tuple(self, node: ast.Tuple) -> Near:
        parts = tuple(map(self._of, node.elts))
        return Near(Tuple((), tuple(part.kind for part in parts)), parts)

    def _of_Attribute(self, node: ast.Attribute) -> Any:
        if node.attr == "data" and isinstance(node.value, ast.Attribute) and node.value.attr == "ctypes":
            return Value(INT, self.op(f"ptrtoint ptr {self._part(self._of(node.value.value), 0)} to i64"))
        value = self._of(node.value)
        if isinstance(value, View) and node.attr in ("shape", "strides"):
            axes = value.kind.axes
            first = 1 if node.attr == "shape" else 1 + axes
            parts = tuple(self._int(self._part(value, axis)) for axis in range(first, first + axes))
            return Near(Tuple((), (INT,) * axes), parts)
        if isinstance(value, Near | Far) and node.attr in value.kind.fields:
            return self._parts(value, only=value.kind.fields.index(node.attr))[0]
        if isinstance(value, Thing) and isinstance(value.value, ModuleType):
            return self._wrapped(getattr(value.value, node.attr))
        raise Unsupported(f".{node.attr}")

    def _of_BinOp(self, node: ast.BinOp) -> Value:
        return self._binary(type(node.op), self._of(node.left), self._of(node.right))

    def _of_UnaryOp(self, node: ast.UnaryOp) -> Value:
        if isinstance(node.op, ast.Not):
            return self._decided(node)
        value = self._plain(self._of(node.operand))
        if not isinstance(node.op, ast.USub):
            raise Unsupported("such an operator")
        if value.known is not None:
            return _number(INT if value.kind == BOOL else value.kind, -value.known)
        if value.kind in (FLOAT, DOUBLE):
            return Value(value.kind, self.op(f"fneg {value.kind.llvm} {value.text}"))
        return self._binary(ast.Sub, _number(INT, 0), value)

    def _of_BoolOp(self, node: ast.BoolOp) -> Value:
        return self._decided(node)

    def _of_Compare(self, node: ast.Compare) -> Value:
        if len(node.ops) == 1:
            return self._compared(node.ops[0], self._of(node.left), self._of(node.comparators[0]))
        return self._decided(node)

    def _of_IfExp(self, node: ast.IfExp) -> Any:
        yes, no, end = self._name("yes"), self._name("no"), self._name("end")
        self._branch(node.test, yes, no)
        self._label(yes)
        one = self._of(node.body)
        first, place = self._block, len(self._body)
        self._end("")  # written below: only then it is known how the number is widened
        self._label(no)
        other = self._of(node.orelse)
        pairs = list(
            zip(*(value.parts if isinstance(value, Near) else (value,) for value in (one, other)), strict=True)
        )
        kinds = [self._meeting(*pair) for pair in pairs]
        others = [self._given(pair[1], kind) for pair, kind in zip(pairs, kinds, strict=True)]
        self._open, second = False, self._block
        body, self._body = self._body, []
        ones = [self._given(pair[0], kind) for pair, kind in zip(pairs, kinds, strict=True)]
        self._body, extra = body, self._body
        self._body[place] = "\n".join([*extra, f"br label %{end}"])
        self.do(f"br label %{end}")
        self._label(end)
        made = []
        for kind, *both in zip(kinds, ones, others, strict=True):
            phis = [
                f"phi {llvm} [{a}, %{first}], [{b}, %{second}]" for llvm, a, b in zip(_types(kind), *both, strict=True)
            ]
            made.append(self._made(kind, [self.op(one) for one in phis]))
        return Near(Tuple((), tuple(kinds)), tuple(made)) if isinstance(one, Near) else made[0]

    def _meeting(self, one: Any, other: Any) -> Kind:
        """The type of what is one or the other."""
        if isinstance(one, View) and isinstance(other, View) and one.kind == other.kind:
            return one.kind
        return self._common(self._plain(one), self._plain(other))

    def _given(self, value: Any, kind: Kind) -> list[str]:
        """The parts of a number or an array, as functions take them."""
        return [self._widened(value, kind).text] if isinstance(kind, Number) else self._whole(value)

    def _decided(self, node: ast.expr) -> Value:
        """True or false, found by branches."""
        yes, no, end = self._name("yes"), self._name("no"), self._name("end")
        self._branch(node, yes, no)
        self._label(yes)
        self._end(f"br label %{end}")
        self._label(no)
        self._label(end)
        return Value(BOOL, self.op(f"phi i1 [true, %{yes}], [false, %{no}]"))

    def _branch(self, node: ast.expr, yes: str, no: str) -> None:
        """Go where a condition says."""
        if isinstance(node, ast.BoolOp):
            both = isinstance(node.op, ast.And)
            for one in node.values[:-1]:
                more = self._name("more")
                self._branch(one, more if both else yes, no if both else more)
                self._label(more)
            self._branch(node.values[-1], yes, no)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self._branch(node.operand, no, yes)
        elif isinstance(node, ast.Compare) and len(node.ops) > 1:
            left = self._of(node.left)
            for number, (how, right) in enumerate(zip(node.ops, node.comparators, strict=True)):
                value = self._of(right)
                more = yes if number == len(node.ops) - 1 else self._name("more")
                self._choose(self._compared(how, left, value).text, more, no)
                if more != yes:
                    self._label(more)
                left = value
        else:
            self._choose(self._truth(self._of(node)).text, yes, no)

    def _truth(self, value: Any) -> Value:
        value = self._plain(value)
        return value if value.kind == BOOL else self._compared(ast.NotEq(), value, _number(value.kind, 0))

    # Numbers

    def _int(self, text: str) -> Value:
        return Value(INT, text, int(text) if text.lstrip("-").isdigit() else None)

    def _plain(self, value: Any, kind: Number | None = None) -> Value:
        """A number, of a type if one is given."""
        if not isinstance(value, Value):
            raise Unsupported("something that is no number")
        return value if kind is None else self._widened(value, kind)

    def _widened(self, value: Value, kind: Number) -> Value:
        """A number of a type that has all numbers of its own."""
        own = value.kind
        fits = own == kind or (own, kind) in ((BOOL, INT), (BOOL, DOUBLE), (INT, DOUBLE), (FLOAT, DOUBLE))
        if not fits and not (own == INT and kind == UINT and value.known is not None and value.known >= 0):
            raise Unsupported(f"{own.name} as {kind.name}")
        return self.cast(value, kind)

    def cast(self, value: Value, kind: Number) -> Value:
        """A number as one of another type."""
        own = value.kind
        if own == kind:
            return value
        if value.known is not None:
            return _number(kind, value.known)
        if own.whole and kind.whole:
            return Value(kind, value.text)
        if own in (FLOAT, DOUBLE):
            how = "fptosi" if kind.whole else "fpext" if kind == DOUBLE else "fptrunc"
        elif kind in (FLOAT, DOUBLE):
            how = "sitofp" if own == INT else "uitofp"
        else:
            how = "zext"
        if kind == BOOL:
            return self._truth(value)
        return Value(kind, self.op(f"{how} {own.llvm} {value.text} to {kind.llvm}"))

    def _common(self, one: Value, other: Value) -> Number:
        """The type in which two numbers meet."""
        kinds = {one.kind, other.kind}
        if len(kinds) == 1:
            return one.kind
        if kinds == {INT, UINT} and all(value.kind == UINT or value.known is not None for value in (one, other)):
            return UINT
        for kind, others in ((INT, {BOOL}), (DOUBLE, {BOOL, INT, FLOAT})):
            if kind in kinds and kinds <= others | {kind}:
                return kind
        raise Unsupported(f"{one.kind.name} with {other.kind.name}")

    def _binary(self, operation: type[ast.operator], one: Any, other: Any) -> Value:
        one, other = self._plain(one), self._plain(other)
        bits = operation in (ast.BitAnd, ast.BitOr, ast.BitXor)
        if operation in (ast.LShift, ast.RShift):
            kind = INT if one.kind == BOOL else one.kind
            other = Value(kind, other.text, other.known)
        elif operation is ast.Div and one.kind != FLOAT:
            kind = DOUBLE
        else:
            kind = self._common(one, other)
            kind = INT if kind == BOOL and not bits else kind
        one, other = self._widened(one, kind), self._widened(other, kind)
        whole = kind.whole or kind == BOOL
        if not whole and (bits or operation in (ast.LShift, ast.RShift, ast.FloorDiv, ast.Mod)):
            raise Unsupported("such an operator of fractions")
        if one.known is not None and other.known is not None and whole:
            return _number(kind, _OPERATORS[operation](one.known, other.known))
        if operation in (ast.FloorDiv, ast.Mod):
            return self._divided(kind, one, other, rest=operation is ast.Mod)
        if operation not in _INSTRUCTIONS:
            raise Unsupported("such an operator")
        name = _INSTRUCTIONS[operation]
        if not whole:
            name = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}[name]
        if name == "shr":
            name = "ashr" if kind == INT else "lshr"
        if name in ("add", "mul") and kind.whole:
            return Value(kind, self.arithmetic(name, one.text, other.text))
        return Value(kind, self.op(f"{name} {kind.llvm} {one.text}, {other.text}"))

    def _divided(self, kind: Number, one: Value, other: Value, *, rest: bool) -> Value:
        """Quotient, rounded down, or rest."""
        if kind == UINT:
            zero = self._compared(ast.Eq(), other, _number(UINT, 0))
            divisor = self._chosen(zero, _number(UINT, 1), other)
            found = Value(kind, self.op(f"{'urem' if rest else 'udiv'} i64 {one.text}, {divisor.text}"))
            return self._chosen(zero, _number(UINT, 0), found)
        divisor, small = other.text, None
        if other.known is None:  # the processor stops at quotients by zero, and where one is too large
            small = self.op(f"icmp ult i64 {self.op(f'add i64 {divisor}, 1')}, 2")
            divisor = self.op(f"select i1 {small}, i64 1, i64 {divisor}")
        elif other.known <= 0:
            raise Unsupported("a divisor that is not positive")
        left = self.op(f"srem i64 {one.text}, {divisor}")
        sign = left if small is None else self.op(f"xor i64 {left}, {divisor}")
        wrong = self.op(f"icmp slt i64 {sign}, 0")
        if small is not None:
            wrong = self.op(f"and i1 {wrong}, {self.op(f'icmp ne i64 {left}, 0')}")
        if rest:
            more = self.op(f"select i1 {wrong}, i64 {divisor}, i64 0")
            return Value(kind, self.op(f"add i64 {left}, {more}"))
        quotient = self.op(f"sdiv i64 {one.text}, {divisor}")
        quotient = self.op(f"add i64 {quotient}, {self.op(f'sext i1 {wrong} to i64')}")
        if small is not None:  # by 0, or by -1
            turned = self.op(f"mul i64 {one.text}, {other.text}")
            quotient = self.op(f"select i1 {small}, i64 {turned}, i64 {quotient}")
        return Value(kind, quotient)

    def _chosen(self, condition: Value, one: Value, other: Value) -> Value:
        """One number or the other, of one type."""
        if condition.known is not None:
            return one if condition.known else other
        llvm = one.kind.llvm
        return Value(one.kind, self.op(f"select i1 {condition.text}, {llvm} {one.text}, {llvm} {other.text}"))

    def _compared(self, operation: ast.cmpop, one: Any, other: Any) -> Value:
        if isinstance(operation, ast.In):
            found = [self._compared(ast.Eq(), one, part) for part in self._parts(other)]
            text = found[0].text
            for more in found[1:]:
                text = self.op(f"or i1 {text}, {more.text}")
            return Value(BOOL, text)
        one, other = self._plain(one), self._plain(other)
        kind = self._common(one, other)
        one, other = self._widened(one, kind), self._widened(other, kind)
        if type(operation) not in _COMPARISONS:
            raise Unsupported("such a comparison")
        name, exact = _COMPARISONS[type(operation)]
        if one.known is not None and other.known is not None:
            return _number(BOOL, exact(one.known, other.known))
        if kind in (FLOAT, DOUBLE):
            name = "fcmp " + ("une" if name == "ne" else f"o{name}")
        else:
            name = "icmp " + (name if name in ("eq", "ne") else ("s" if kind == INT else "u") + name)
        return Value(BOOL, self.op(f"{name} {kind.llvm} {one.text}, {other.text}"))

    # Calls

    def _of_Call(self, node: ast.Call) -> Any:
        if node.keywords:
            raise Unsupported("arguments with names")
        function, arguments = self._of(node.func), [self._of(one) for one in node.args]
        what = function.value if isinstance(function, Thing) else None
        if isinstance(what, Compiled):
            return self._called(what, arguments)
        if isinstance(what, Inline):
            return what.inner()(self, *arguments)
        if what in (min, max):
            return self._least(arguments, largest=what is max)
        if what is len:
            (value,) = arguments
            return self._int(self._size(value, 0)) if isinstance(value, View) else _number(INT, len(value.kind.parts))
        if what is abs:
            value = self._plain(*arguments)
            if value.kind in (FLOAT, DOUBLE):
                return self._intrinsic("fabs", value)
            name = self.declare("i64", "llvm.abs.i64", "i64", "i1")
            return Value(INT, self.op(f"call i64 {name}(i64 {self._plain(value, INT).text}, i1 false)"))
        if what in (np.floor, np.sqrt):
            return self._intrinsic(what.__name__, self._plain(*arguments))
        if what in (int, float) or isinstance(what, type) and issubclass(what, np.number):
            return self._converted(np.dtype(what), self._plain(*arguments))
        raise Unsupported(f"calls of {getattr(what, '__name__', what)}")

    def _intrinsic(self, name: str, value: Value) -> Value:
        """A function of a fraction that LLVM knows."""
        value = value if value.kind == FLOAT else self._plain(value, DOUBLE)
        kind = value.kind.llvm
        name = self.declare(kind, f"llvm.{name}.f{32 if value.kind == FLOAT else 64}", kind)
        return Value(value.kind, self.op(f"call {kind} {name}({kind} {value.text})"))

    def _converted(self, dtype: np.dtype[Any], value: Value) -> Value:
        kind = _ELEMENTS.get(dtype.str[1:], INT)
        if kind != INT or dtype.itemsize == 8:
            return self.cast(value, kind)
        return self._extended(dtype, self._cut(dtype, self.cast(value, INT)))

    def _least(self, arguments: list[Any], *, largest: bool) -> Value:
        value, *others = map(self._plain, arguments)
        for other in others:
            kind = self._common(value, other)
            value, other = self._widened(value, kind), self._widened(other, kind)
            if kind.whole:
                name = ("s" if kind == INT else "u") + ("max" if largest else "min")
                name = self.declare("i64", f"llvm.{name}.i64", "i64", "i64")
                value = Value(kind, self.op(f"call i64 {name}(i64 {value.text}, i64 {other.text})"))
            else:
                first = self._compared(ast.Gt() if largest else ast.Lt(), other, value).text
                llvm = kind.llvm
                value = Value(kind, self.op(f"select i1 {first}, {llvm} {other.text}, {llvm} {value.text}"))
        return value

    def _called(self, function: Compiled, arguments: list[Any]) -> Any:
        name, result = self.program.function(function.function, tuple(one.kind for one in arguments))
        if result is Unsupported:
            raise Unsupported("a function that calls itself")
        given = []
        for one in arguments:
            parts = self._whole(one) if isinstance(one, View) else [self._address(one) if _far(one) else one.text]
            kinds = (llvm.split()[0] for llvm in _types(one.kind))
            given += [f"{llvm} {part}" for llvm, part in zip(kinds, parts, strict=True)]
        return self.call(result, f"@{name}", given)

    def call(self, result: Any, name: str, given: list[str]) -> Any:
        """Call a function of the program."""
        call = f"call {_result(result)} {name}({', '.join(given)})"
        if result is None:
            self.do(call)
            value: Any = Thing(None)
        elif isinstance(result, Tuple):
            whole = self.op(call)
            places = (f"extractvalue {_result(result)} {whole}, {number}" for number in range(len(result.parts)))
            value = Near(
                result, tuple(Value(kind, self.op(one)) for kind, one in zip(result.parts, places, strict=True))
            )
        else:
            value = Value(result, self.op(call))
        if CHECKED:
            self.require(self.op(f"icmp eq i32 {self.op('load i32, ptr @failed')}, 0"))
        return value

    # Tuples

    def _parts(self, value: Any, count: int = 0, only: int | None = None) -> list[Any]:
        """The parts of a tuple, or those of an array, so many; or only one of them."""
        if isinstance(value, View):
            return [self._element(self._at_indices(value, [_number(INT, place)])) for place in range(count)]
        if isinstance(value, Near):
            return list(value.parts) if only is None else [value.parts[only]]
        if not isinstance(value, Far):
            raise Unsupported("parts of what has none")
        places = range(len(value.kind.parts)) if only is None else [range(len(value.kind.parts))[only]]
        return [self._member(value, sum(map(_words, value.kind.parts[:one])), value.kind.parts[one]) for one in places]

    def _member(self, value: Far, place: int, kind: Kind) -> Any:
        """What stands so many words behind a tuple's beginning."""
        if isinstance(kind, Tuple):
            return Far(kind, self._word(value, place), value.early)
        if isinstance(kind, Array):
            count = _words(kind) - kind.dense
            kinds = ["ptr"] + ["i64"] * (count - 1)
            names = [partial(self._word, value, place + one, kinds[one]) for one in range(count)]
            return self._made(kind, names)
        return self._made(kind, [self._word(value, place, kind.llvm)])

    def _word(self, value: Far, place: int, load: str = "") -> str:
        """The address of a word, or what is loaded from there: where the function begins, if that can be."""
        known = self._early.get((value.address + load, place)) if value.early else None
        if known is not None:
            return known
        body, self._body = self._body, self._head if value.early else self._body
        name = self.op(f"getelementptr i64, ptr {value.address}, i64 {place}")
        name = self.op(f"load {load}, ptr {name}") if load else name
        self._body = body
        if value.early:
            self._early[value.address + load, place] = name
        return name

    def _address(self, value: Any) -> str:
        """Where a tuple is found in memory."""
        if isinstance(value, Far):
            return value.address
        address = self.memory("i64", _words(value.kind))
        self._spread(Far(value.kind, address, False), 0, value)
        return address

    def _spread(self, room: Far, place: int, value: Any) -> int:
        """Write a value to memory; returns the place behind it."""
        if isinstance(value, Near | Far):
            for part in self._parts(value):
                place = self._spread(room, place, part)
            return place
        parts = [self._part(value, one) for one in range(len(value.parts))] if isinstance(value, View) else [value.text]
        for number, part in enumerate(parts):
            llvm = value.kind.llvm if isinstance(value, Value) else "i64" if number else "ptr"
            self.do(f"store {llvm} {part}, ptr {self._word(room, place + number)}")
        return place + len(parts)

    # Arrays

    def _part(self, view: Any, number: int) -> str:
        if not isinstance(view, View):
            raise Unsupported("something that is no array")
        part = view.parts[number]
        return part if isinstance(part, str) else part()

    def _size(self, view: View, axis: int) -> str:
        return self._part(view, 1 + axis)

    def _whole(self, view: View) -> list[str]:
        """All parts, as functions take them."""
        return [self._part(view, number) for number in range(len(view.parts) - view.kind.dense)]

    def _of_Subscript(self, node: ast.Subscript) -> Any:
        if isinstance(node.value, ast.Attribute) and node.value.attr in ("shape", "strides"):
            array = self._of(node.value.value)  # only what is asked for
            index = None if isinstance(node.slice, ast.Slice) else self._of(node.slice)
            if isinstance(array, View) and isinstance(index, Value) and index.known in range(array.kind.axes):
                first = 1 if node.value.attr == "shape" else 1 + array.kind.axes
                return self._int(self._part(array, first + index.known))
        value = self._of(node.value)
        if isinstance(value, View):
            return self._element(self._viewed(value, node.slice))
        if isinstance(node.slice, ast.Slice) and isinstance(value, Near):
            ends = (node.slice.lower, node.slice.upper)
            which = slice(*(None if one is None else self._plain(self._of(one)).known for one in ends))
            return Near(Tuple((), value.kind.parts[which]), value.parts[which])
        if isinstance(node.slice, ast.Slice) or not isinstance(value, Near | Far):
            raise Unsupported("such an index")
        index = self._plain(self._of(node.slice), INT)
        if index.known is not None:
            return self._parts(value, only=index.known)[0]
        if isinstance(value, Near) and all(getattr(part, "known", None) is not None for part in value.parts):
            table = self.program.table(np.array([part.known for part in value.parts], np.int64))
            return self._element(self._at_indices(table, [index]))
        kinds = set(value.kind.parts)
        if len(kinds) != 1:
            raise Unsupported("an index, not known beforehand, of parts of several types")
        (kind,) = kinds
        place = self.arithmetic("mul", index.text, str(_words(kind)))
        address = self.op(f"getelementptr i64, ptr {self._address(value)}, i64 {place}")
        return self._member(Far(value.kind, address, False), 0, kind)

    def _viewed(self, view: Any, index: ast.expr) -> View:
        """What an index names, an array of no axes if that is an element."""
        if not isinstance(view, View):
            raise Unsupported("an index of what is no array")
        indices: list[Any] = []
        for one in index.elts if isinstance(index, ast.Tuple) else [index]:
            if not isinstance(one, ast.Slice):
                indices.append(self._of(one))
            elif one.step is not None:
                raise Unsupported("a slice with a step")
            else:
                ends = [None if end is None else self._plain(self._of(end), INT) for end in (one.lower, one.upper)]
                indices.append(slice(*ends))
        return self._at_indices(view, indices)

    def _at_indices(self, view: View, indices: list[Any]) -> View:
        axes, dtype = view.kind.axes, view.kind.dtype
        if len(indices) > axes:
            raise Unsupported("so many indices")
        address, offset, last = self._part(view, 0), "0", None
        sizes: list[Any] = []
        strides: list[Any] = []
        for axis in range(axes):
            index = indices[axis] if axis < len(indices) else slice(None)
            stride: Any = partial(self._part, view, 1 + axes + axis)
            if isinstance(index, slice):
                start, size = self._cut_axis(view, axis, index)
                sizes.append(size)
                strides.append(stride)
            else:
                place = self._plain(index)
                place = place if place.kind == UINT else self._plain(place, INT)
                if place.known is not None and place.known < 0:
                    raise Unsupported("an index that counts from the end")
                if CHECKED:
                    self.require(self.op(f"icmp ult i64 {place.text}, {self._size(view, axis)}"))
                start = place.text
            if start == "0":
                continue
            if axis == axes - 1 and view.kind.dense:
                last = start
            else:
                offset = self.arithmetic("add", offset, self.arithmetic("mul", start, stride()))
        if offset != "0":
            address = self.op(f"getelementptr i8, ptr {address}, i64 {offset}")
        if last is not None:
            address = self.op(f"getelementptr {_llvm(dtype)}, ptr {address}, i64 {last}")
        dense = view.kind.dense and (not indices or len(indices) < axes or isinstance(indices[-1], slice))
        if dense:
            strides[-1:] = [str(dtype.itemsize)]
        return View(Array(dtype, len(sizes), dense and bool(sizes)), (address, *sizes, *strides))

    def _cut_axis(self, view: View, axis: int, index: slice) -> tuple[str, Any]:
        """Where a slice begins, and its size."""
        whole: Any = partial(self._size, view, axis)
        start = "0" if index.start is None else index.start.text
        if CHECKED:
            for end in (index.start, index.stop):
                if end is not None:
                    self.require(self.op(f"icmp sge i64 {end.text}, 0"))
        if start == "0" and index.stop is None:
            return start, whole
        least, most = (self.declare("i64", f"llvm.s{one}.i64", "i64", "i64") for one in ("min", "max"))

        def size() -> str:
            end = whole()
            if index.stop is not None:
                end = self.op(f"call i64 {least}(i64 {index.stop.text}, i64 {end})")
            return self.op(f"call i64 {most}(i64 {self.op(f'sub i64 {end}, {start}')}, i64 0)")

        return start, size

    def _element(self, place: View) -> Any:
        """The number at a place; an array as it is."""
        if place.kind.axes:
            return place
        dtype = place.kind.dtype
        return self._extended(dtype, self.op(f"load {_llvm(dtype)}, ptr {place.parts[0]}"))

    def _put(self, place: View, value: Any) -> None:
        """Write a number to all of an array, or to a place."""
        dtype, kind = place.kind.dtype, _ELEMENTS.get(place.kind.dtype.str[1:], INT)
        value = self._plain(value)
        if kind == INT and value.kind in (FLOAT, DOUBLE):
            raise Unsupported("a fraction among whole numbers")
        text, address = self._cut(dtype, self.cast(value, kind)), self._part(place, 0)
        with ExitStack() as loops:
            for axis in range(place.kind.axes):
                index, _, _ = loops.enter_context(self._counting("0", self._size(place, axis), 1))
                stride = self._part(place, 1 + place.kind.axes + axis)
                address = self.op(f"getelementptr i8, ptr {address}, i64 {self.arithmetic('mul', index, stride)}")
            self.do(f"store {_llvm(dtype)} {text}, ptr {address}")

    def _cut(self, dtype: np.dtype[Any], value: Value) -> str:
        """A number as an array's element."""
        if value.kind in (FLOAT, DOUBLE) or value.kind != BOOL and dtype.itemsize == 8:
            return value.text
        if value.known is not None:
            return str(int(value.known) & (1 << 8 * dtype.itemsize) - 1)
        how = "zext" if value.kind == BOOL else "trunc"
        return self.op(f"{how} {value.kind.llvm} {value.text} to {_llvm(dtype)}")

    def _extended(self, dtype: np.dtype[Any], text: str) -> Value:
        """An array's element as a number."""
        kind = _ELEMENTS.get(dtype.str[1:], INT)
        if kind == BOOL:
            return Value(kind, self.op(f"trunc i8 {text} to i1"))
        if kind != INT or dtype.itemsize == 8:
            return Value(kind, text)
        if text.lstrip("-").isdigit():
            return _number(INT, int(np.array(int(text)).astype(dtype)))
        return Value(INT, self.op(f"{'sext' if dtype.kind == 'i' else 'zext'} {_llvm(dtype)} {text} to i64"))


_ELEMENTS = {"u8": UINT, "f4": FLOAT, "f8": DOUBLE, "b1": BOOL}  # of arrays; int64 else
_INSTRUCTIONS: dict[Any, str] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.LShift: "shl", ast.RShift: "shr",
    ast.BitAnd: "and", ast.BitOr: "or", ast.BitXor: "xor",
}  # fmt: skip
_OPERATORS: dict[Any, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.LShift: operator.lshift,
    ast.RShift: operator.rshift, ast.BitAnd: operator.and_, ast.BitOr: operator.or_, ast.BitXor: operator.xor,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip
_COMPARISONS: dict[Any, tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Eq: ("eq", operator.eq), ast.NotEq: ("ne", operator.ne), ast.Lt: ("lt", operator.lt),
    ast.LtE: ("le", operator.le), ast.Gt: ("gt", operator.gt), ast.GtE: ("ge", operator.ge),
}  # fmt: skip


def _far(value: Any) -> bool:
    return isinstance(value, Near | Far)


def _llvm(dtype: np.dtype[Any]) -> str:
    """LLVM's name of an array's elements."""
    if dtype.kind == "f":
        return "float" if dtype.itemsize == 4 else "double"
    return f"i{8 * dtype.itemsize}"


def room(into: _Function, size: Value, dtype: Thing) -> View:
    """`compiled.room`: memory of the call."""
    if size.known is None:
        raise Unsupported("room of a size that is not known beforehand")
    kind = Array(np.dtype(dtype.value), 1, True)
    return View(kind, (into.memory(_llvm(kind.dtype), size.known), size.text, str(kind.dtype.itemsize)))


def shaped(into: _Function, array: View, start: Value, dtype: Thing, shape: Near) -> View:
    """`compiled.shaped`."""
    kind = Array(np.dtype(dtype.value), len(shape.parts), True)
    address = into._part(array, 0)
    if start.text != "0":
        address = into.op(f"getelementptr {_llvm(kind.dtype)}, ptr {address}, i64 {start.text}")
    strides = [str(kind.dtype.itemsize)]
    for part in reversed(shape.parts[1:]):
        strides.insert(0, into.arithmetic("mul", strides[0], part.text))
    return View(kind, (address, *(part.text for part in shape.parts), *strides))
