"""Expressions of Python's in compiled functions; what may be in them, `language` says."""

import ast
from types import ModuleType
from typing import Any

import numpy as np

from bfncodec.exact.compiled import Compiled, Inline
from bfncodec.exact.kinds import (
    BOOL,
    DOUBLE,
    FLOAT,
    INT,
    UINT,
    Far,
    Near,
    Number,
    Thing,
    Tuple,
    Unsupported,
    Value,
    View,
    near,
    number,
    result_type,
    types,
    whole,
)
from bfncodec.exact.numbers import CHECKED
from bfncodec.exact.places import Places


class Expressions(Places):
    """A function that is being written."""

    def _handler(self, what: str, node: ast.AST) -> Any:
        handler = getattr(self, f"_{what}_{type(node).__name__}", None)
        if handler is None:
            raise Unsupported(f"{type(node).__name__}")
        return handler

    def _wrapped(self, value: Any) -> Any:
        """A value of Python's."""
        if isinstance(value, tuple):
            return near(map(self._wrapped, value), getattr(value, "_fields", ()))
        if isinstance(value, np.ndarray):
            return self.program.table(value)
        known: list[tuple[Any, Number]] = [
            (bool | np.bool_, BOOL), (np.uint64, UINT), (np.float32, FLOAT), (int | np.integer, INT), (float, DOUBLE),
        ]  # fmt: skip
        return next((number(kind, value) for types, kind in known if isinstance(value, types)), Thing(value))

    def _of(self, node: ast.expr) -> Any:
        return self._handler("of", node)(node)

    def _of_Constant(self, node: ast.Constant) -> Any:
        return self._wrapped(node.value)

    def _of_Tuple(self, node: ast.Tuple) -> Near:
        return near(map(self._of, node.elts))

    def _of_Attribute(self, node: ast.Attribute) -> Any:
        if node.attr == "data" and isinstance(node.value, ast.Attribute) and node.value.attr == "ctypes":
            return Value(INT, self.op(f"ptrtoint ptr {self.part(self._of(node.value.value), 0)} to i64"))
        value = self._of(node.value)
        if isinstance(value, View) and node.attr in ("shape", "strides"):
            return near(self._measure(value, node.attr, axis) for axis in range(value.kind.axes))
        if isinstance(value, Near | Far) and node.attr in value.kind.fields:
            return self.member(value, value.kind.fields.index(node.attr))
        if isinstance(value, Thing) and isinstance(value.value, ModuleType):
            return self._wrapped(getattr(value.value, node.attr))
        raise Unsupported(f".{node.attr}")

    def _measure(self, view: View, what: str, axis: int) -> Value:
        return whole(self.part(view, 1 + axis + (view.kind.axes if what == "strides" else 0)))

    def _of_Subscript(self, node: ast.Subscript) -> Any:
        if isinstance(node.value, ast.Attribute) and node.value.attr in ("shape", "strides"):
            array = self._of(node.value.value)  # only what is asked for
            index = None if isinstance(node.slice, ast.Slice) else self._of(node.slice)
            if isinstance(array, View) and isinstance(index, Value) and index.known in range(array.kind.axes):
                return self._measure(array, node.value.attr, index.known)
        value = self._of(node.value)
        if isinstance(value, View):
            return self.read(self._viewed(value, node.slice))
        if isinstance(node.slice, ast.Slice) and isinstance(value, Near):
            return near(value.parts[slice(*(None if end is None else end.known for end in self._ends(node.slice)))])
        if isinstance(node.slice, ast.Slice) or not isinstance(value, Near | Far):
            raise Unsupported("such an index")
        index = self.plain(self._of(node.slice), INT)
        return self.chosen_member(value, index) if index.known is None else self.member(value, index.known)

    def _viewed(self, view: Any, index: ast.expr) -> View:
        """What an index names."""
        nodes = index.elts if isinstance(index, ast.Tuple) else [index]
        return self.at(
            view, [slice(*self._ends(one)) if isinstance(one, ast.Slice) else self._of(one) for one in nodes]
        )

    def _ends(self, node: ast.Slice) -> list[Value | None]:
        if node.step is not None:
            raise Unsupported("a slice with a step")
        return [None if end is None else self.plain(self._of(end), INT) for end in (node.lower, node.upper)]

    def _of_BinOp(self, node: ast.BinOp) -> Value:
        return self.binary(type(node.op), self._of(node.left), self._of(node.right))

    def _of_UnaryOp(self, node: ast.UnaryOp) -> Value:
        if isinstance(node.op, ast.Not):
            return self._decided(node)
        if not isinstance(node.op, ast.USub):
            raise Unsupported("such an operator")
        return self.negative(self._of(node.operand))

    def _of_IfExp(self, node: ast.IfExp) -> Any:
        yes, no, end = self.names("yes", "no", "end")
        self._branch(node.test, yes, no)
        sides = []
        for label, side in ((yes, node.body), (no, node.orelse)):
            self.label(label)
            sides.append((self._of(side), len(self.body)))
            self.go(end)
        kind = self.meeting(*(value for value, _ in sides))
        slots = self.slots(kind)
        for value, place in reversed(sides):  # the type is known only now
            behind, self.body[place:] = self.body[place:], []
            self.keep(kind, slots, value)
            self.body += behind
        self.label(end)
        return self.kept(kind, slots)

    def _of_BoolOp(self, node: ast.BoolOp) -> Value:
        return self._decided(node)

    def _of_Compare(self, node: ast.Compare) -> Value:
        if len(node.ops) > 1:
            return self._decided(node)
        return self._compare(node.ops[0], self._of(node.left), self._of(node.comparators[0]))

    def _compare(self, operation: ast.cmpop, one: Any, other: Any) -> Value:
        if not isinstance(operation, ast.In):
            return self.compared(type(operation), one, other)
        found = number(BOOL, False)
        for part in self.parts(other):
            found = self.binary(ast.BitOr, found, self.compared(ast.Eq, one, part))
        return found

    def _decided(self, node: ast.expr) -> Value:
        """True or false, found by branches."""
        yes, no, end = self.names("yes", "no", "end")
        self._branch(node, yes, no)
        self.label(yes)
        self.go(end)
        self.label(no)
        self.label(end)
        return Value(BOOL, self.op(f"phi i1 [true, %{yes}], [false, %{no}]"))

    def _branch(self, node: ast.expr, yes: str, no: str) -> None:
        """Go where a condition says."""
        if isinstance(node, ast.BoolOp):
            both = isinstance(node.op, ast.And)
            for one in node.values[:-1]:
                more = self.name("more")
                self._branch(one, more if both else yes, no if both else more)
                self.label(more)
            self._branch(node.values[-1], yes, no)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self._branch(node.operand, no, yes)
        elif isinstance(node, ast.Compare) and len(node.ops) > 1:
            left = self._of(node.left)
            for place, (how, right) in enumerate(zip(node.ops, node.comparators, strict=True), 1):
                value, more = self._of(right), self.name("more")
                last = place == len(node.ops)
                self.choose(self._compare(how, left, value), yes if last else more, no)
                if not last:
                    self.label(more)
                left = value
        else:
            self.choose(self.truth(self._of(node)), yes, no)

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
            return self.least(arguments, largest=what is max)
        if len(arguments) == 1:
            return self._of_one(what, *arguments)
        raise Unsupported(f"calls of {getattr(what, '__name__', what)}")

    def _of_one(self, what: Any, value: Any) -> Any:
        """A function of one value."""
        if what is len:
            return whole(self.size(value, 0)) if isinstance(value, View) else number(INT, len(self.parts(value)))
        value = self.plain(value)
        if what is abs and value.kind not in (FLOAT, DOUBLE):
            return Value(INT, self.known_call("abs", INT, self.plain(value, INT).text, "false"))
        if what in (abs, np.floor, np.sqrt):
            return self.of_fraction("fabs" if what is abs else what.__name__, value)
        if what in (int, float) or isinstance(what, type) and issubclass(what, np.number):
            return self.converted(np.dtype(what), value)
        raise Unsupported(f"calls of {getattr(what, '__name__', what)}")

    def _called(self, function: Compiled, arguments: list[Any]) -> Any:
        kinds = tuple(getattr(one, "kind", None) for one in arguments)
        if None in kinds:
            raise Unsupported("such an argument")
        name, result = self.program.function(function.function, kinds)
        if result is Unsupported:
            raise Unsupported("a function that calls itself")
        pairs = [pair for one in arguments for pair in zip(types(one.kind), self.texts(one), strict=True)]
        return self.call(result, f"@{name}", [f"{llvm} {text}" for llvm, text in pairs])

    def call(self, result: Any, name: str, given: list[str]) -> Any:
        """Call a function of the program; result: the type of what it gives, or None."""
        call = f"call {result_type(result)} {name}({', '.join(given)})"
        value: Any = Thing(None)
        if result is None:
            self.do(call)
        elif isinstance(result, Tuple):
            text = self.op(call)
            places = [
                self.op(f"extractvalue {result_type(result)} {text}, {place}") for place in range(len(result.parts))
            ]
            value = near(map(Value, result.parts, places))
        else:
            value = Value(result, self.op(call))
        if CHECKED:
            self.require(self.op(f"icmp eq i32 {self.op('load i32, ptr @failed')}, 0"))
        return value
