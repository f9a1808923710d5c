"""The part of Python that compiled functions are written in, and how it becomes LLVM's instructions.

Statements: assignments, if, while, for over `range`, tuples and arrays, break, continue, return. Numbers: int64,
uint64, float32, float64, bool; elements of arrays that have fewer bits become int64 when they are read. Arrays and
tuples, named or not, come from callers; parts of arrays are views. Functions: those that are compiled, min, max, abs,
len, int, float, NumPy's types, floor and sqrt, and each `Inline`. A variable keeps its type; one that is given once is
seen only in the block where that happens. uint64 and float32 do not mix with int64. Quotients by zero are 0. All else
is an error when a function is compiled: `Unsupported`, with its line.

A function is written down for every combination of types that it is called with. Indices count from the start, and
nobody looks whether they do; with BFNCODEC_CHECKED=1 one that is outside its array ends the function with an error.
"""

import ast
import builtins
import linecache
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import FunctionType
from typing import Any

import numpy as np

from bfncodec.exact.expressions import Expressions
from bfncodec.exact.kinds import (
    INT,
    Array,
    Far,
    Kind,
    Near,
    Number,
    Thing,
    Tuple,
    Unsupported,
    Value,
    View,
    made,
    near,
    number,
    result_type,
    types,
    words,
)
from bfncodec.exact.numbers import CHECKED

ENTRY = "entry"
_ALONE = '"no-builtins"'  # loops do not become calls of the C library's functions
_MOST = 4096  # numbers of a table that becomes part of the code


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
        body = [f"define i32 @{ENTRY}(ptr %result, ptr %words) {_ALONE} {{"]
        given: list[str] = []
        place = 0
        for kind in kinds:
            for count, llvm in enumerate(types(kind)):
                word = f"%a{len(given)}"
                body.append(f"{word} = getelementptr i64, ptr %words, i64 {place + count}")
                if not isinstance(kind, Tuple):
                    body.append(f"%v{len(given)} = load {llvm}, ptr {word}")
                    word = f"%v{len(given)}"
                given.append(f"{llvm} {word}")
            place += words(kind)
        call = f"call {result_type(result)} @{name}({', '.join(given)})"
        body += [call] if result is None else [f"%value = {call}", f"store {result_type(result)} %value, ptr %result"]
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
        """Whole numbers that are a part of the code."""
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


@cache
def _sources(path: str) -> dict[tuple[str, int], ast.FunctionDef]:
    """Functions of a file, by name and first line."""
    tree = ast.parse("".join(linecache.getlines(path)))
    functions = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)]
    return {(one.name, min([one.lineno, *(line.lineno for line in one.decorator_list)])): one for one in functions}


class _Function(Expressions):
    """One function that is being written, from its source."""

    def __init__(self, program: Program, function: FunctionType, kinds: tuple[Kind, ...]) -> None:
        super().__init__(program.declared)
        self.program, self._function = program, function
        code = function.__code__
        found = _sources(code.co_filename).get((function.__name__, code.co_firstlineno))
        if found is None:
            raise Unsupported(f"no source of {function.__qualname__}")
        self._node, self._at = found, found.lineno
        stores = (one.id for one in ast.walk(found) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store))
        arguments = [one.arg for one in found.args.args]
        self._given = Counter([*arguments, *stores])
        self.result: Any = Unsupported
        self._bound: dict[str, Any] = {}  # names that are given once
        self._variables: dict[str, tuple[Kind, list[str]]] = {}  # others: type and memory
        self._new: list[set[str]] = [set()]  # variables, by the open block that they are from
        self._many: set[str] = set()  # names of variables of several types, in blocks that end before the next begins
        self._loops: list[tuple[str, str]] = []  # where continue and break go
        self._parameters: list[str] = []
        for name, kind in zip(arguments, kinds, strict=True):
            texts = [f"%{name}.{place}" for place in range(len(types(kind)))]
            more = f" noalias readonly dereferenceable({8 * words(kind)})" if isinstance(kind, Tuple) else ""
            self._parameters += [f"{llvm}{more} {text}" for llvm, text in zip(types(kind), texts, strict=True)]
            self._assign_name(name, made(kind, texts, early=True))

    def written(self, name: str) -> str:
        """The function as text."""
        try:
            self._statements(self._node.body)
            self.result = None if self.result is Unsupported else self.result
            if self.open and self.result is not None:
                raise Unsupported(f"{self._function.__qualname__} may end without a result")
        except Unsupported as error:
            if not error.placed:
                error.placed = True
                error.args = (f"{self._function.__code__.co_filename}:{self._at}: {error}",)
            raise
        if self.open:
            self.do("ret void")
        result = result_type(self.result)
        if CHECKED:
            self.do("failed:\nstore i32 1, ptr @failed\nret " + result + (" zeroinitializer" if self.result else ""))
        head = f"define internal {result} @{name}({', '.join(self._parameters)}) nounwind {_ALONE} {{\nhead:"
        return "\n".join([head, *self.head, "br label %start", "start:", *self.body, "}"])

    # Statements

    @contextmanager
    def _block_of(self, label: str) -> Iterator[None]:
        """A block, behind which nobody sees what it alone has named."""
        bound = dict(self._bound)
        self._new.append(set())
        self.label(label)
        yield
        self._bound = bound
        for name in self._new.pop() & self._many:
            del self._variables[name]

    def _statements(self, nodes: list[ast.stmt]) -> None:
        for node in nodes:
            if self.open:
                self._at = node.lineno
                self._handler("do", node)(node)

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
            return self._assign_name(node.target.id, self.binary(type(node.op), old, self._of(node.value)))
        if not isinstance(node.target, ast.Subscript):
            raise Unsupported("such a target")
        place = self._viewed(self._of(node.target.value), node.target.slice)
        self.write(place, self.binary(type(node.op), self.read(place), self._of(node.value)))

    def _do_Return(self, node: ast.Return) -> None:
        value: Any = Thing(None) if node.value is None else self._of(node.value)
        if isinstance(self.result, Number):
            value = self.plain(value, self.result)
        value = near(map(self.plain, value.parts)) if isinstance(value, Near) else value
        kind = None if value == Thing(None) else self.plain(value).kind if isinstance(value, Value) else value.kind
        if self.result is Unsupported:
            self.result = kind
        if self.result != kind or not isinstance(kind, Number | Tuple | None) or isinstance(value, Far):
            raise Unsupported("such results, or results of several types")
        if isinstance(value, Near):
            text = "undef"
            for place, part in enumerate(value.parts):
                text = self.op(f"insertvalue {result_type(kind)} {text}, {part.kind.llvm} {part.text}, {place}")
            return self.end(f"ret {result_type(kind)} {text}")
        self.end(f"ret {kind.llvm} {value.text}" if isinstance(kind, Number) else "ret void")

    def _do_If(self, node: ast.If) -> None:
        test = None if isinstance(node.test, ast.BoolOp | ast.UnaryOp) else self._of(node.test)
        if isinstance(test, Value) and test.known is not None:
            return self._statements(node.body if test.known else node.orelse)
        yes, no, end = self.names("yes", "no", "end")
        other = no if node.orelse else end
        if test is None:
            self._branch(node.test, yes, other)
        else:
            self.choose(self.truth(test), yes, other)
        reached = not node.orelse
        for label, body in ((yes, node.body), (no, node.orelse)):
            if body:
                with self._block_of(label):
                    self._statements(body)
                if self.open:
                    reached = True
                    self.go(end)
        if reached:
            self.label(end)

    def _do_While(self, node: ast.While) -> None:
        test, body, end = self.names("test", "body", "end")
        with self._block_of(test):
            self._branch(node.test, body, end)
            self.label(body)
            self._inside(node, test, end)
            if self.open:
                self.go(test)
        self.label(end)

    def _do_For(self, node: ast.For) -> None:
        call = node.iter
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "range":
            numbers = [self.plain(self._of(one), INT) for one in call.args]
            start, stop = numbers[:2] if len(numbers) > 1 else (number(INT, 0), numbers[0])
            step = numbers[2].known if len(numbers) > 2 else 1
            if not step:
                raise Unsupported("a step that is 0 or not known beforehand")
            return self._count(node, None, start.text, stop.text, step)
        over = self._of(call)
        if isinstance(over, View):
            return self._count(node, over, "0", self.size(over, 0))
        end = self.name("end")
        for part in self.parts(over):
            more = self.name("more")
            with self._block_of(self.name("part")):
                self._assign(node.target, part)
                self._inside(node, more, end)
            self.label(more)
        self.label(end)

    def _count(self, node: ast.For, over: View | None, start: str, stop: str, step: int = 1) -> None:
        with self.counting(start, stop, step) as (index, more, end), self._block_of(self.name("inside")):
            value = Value(INT, index)
            self._assign(node.target, value if over is None else self.read(self.at(over, [value])))
            self._inside(node, more, end)

    def _inside(self, node: ast.For | ast.While, more: str, end: str) -> None:
        if node.orelse:
            raise Unsupported("else of a loop")
        self._loops.append((more, end))
        self._statements(node.body)
        self._loops.pop()

    def _do_Continue(self, node: ast.Continue) -> None:
        self.go(self._loops[-1][0])

    def _do_Break(self, node: ast.Break) -> None:
        self.go(self._loops[-1][1])

    # Names

    def _assign(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            self._assign_name(target.id, value)
        elif isinstance(target, ast.Tuple):
            parts = self.parts(value, len(target.elts))
            if len(parts) != len(target.elts):
                raise Unsupported("so many parts")
            for one, part in zip(target.elts, parts, strict=True):
                self._assign(one, part)
        elif isinstance(target, ast.Subscript):
            self.write(self._viewed(self._of(target.value), target.slice), value)
        else:
            raise Unsupported("such a target")

    def _assign_name(self, name: str, value: Any) -> None:
        if self._given[name] == 1:
            self._bound[name] = value
            return
        if not isinstance(value, Value | View):
            raise Unsupported(f"{name}, a tuple, is given twice")
        old = self._variables.get(name)
        if old is None or old[0] != value.kind and not any(name in names for names in self._new):
            self._many |= {name} if old else set()
            self._new[-1].add(name)
            old = self._variables[name] = value.kind, self.slots(value.kind)
        self.keep(*old, value)

    def _of_Name(self, node: ast.Name) -> Any:
        if node.id in self._bound:
            return self._bound[node.id]
        if node.id in self._variables:
            return self.kept(*self._variables[node.id])
        known = self._function.__globals__
        if node.id in self._given or node.id not in known and not hasattr(builtins, node.id):
            raise Unsupported(f"{node.id} is not known, or not everywhere")
        return self._wrapped(known[node.id] if node.id in known else getattr(builtins, node.id))
