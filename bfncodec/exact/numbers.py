"""Instructions of a compiled function: where it goes on, and what it does with numbers."""

import ast
import operator
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from bfncodec.exact.kinds import BOOL, DOUBLE, FLOAT, INT, UINT, Number, Unsupported, Value, element, number, whole

CHECKED = os.environ.get("BFNCODEC_CHECKED", "0") not in ("", "0")
_FRACTIONS = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
_WHOLE: dict[Any, tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Add: ("add", operator.add), ast.Sub: ("sub", operator.sub), ast.Mult: ("mul", operator.mul),
    ast.LShift: ("shl", operator.lshift), ast.RShift: ("shr", operator.rshift), ast.BitAnd: ("and", operator.and_),
    ast.BitOr: ("or", operator.or_), ast.BitXor: ("xor", operator.xor),
    ast.FloorDiv: ("div", operator.floordiv), ast.Mod: ("rem", operator.mod),
}  # fmt: skip
_COMPARISONS: dict[Any, tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Eq: ("eq", operator.eq), ast.NotEq: ("ne", operator.ne), ast.Lt: ("lt", operator.lt),
    ast.LtE: ("le", operator.le), ast.Gt: ("gt", operator.gt), ast.GtE: ("ge", operator.ge),
}  # fmt: skip
_WIDER = ((BOOL, INT), (BOOL, DOUBLE), (INT, DOUBLE), (FLOAT, DOUBLE))


class Numbers:
    """A function that is being written."""

    def __init__(self, declared: set[str]) -> None:
        self.declared = declared  # what the program needs outside its functions
        self.head: list[str] = []  # memory, and what is read before all else
        self.body: list[str] = []
        self.open = True  # whether the last block may go on
        self._named = 0

    # Instructions and blocks

    def do(self, text: str) -> None:
        self.body.append(text)

    def op(self, text: str) -> str:
        """An instruction that gives something; LLVM's name of that."""
        name = self.name("%x")
        self.body.append(f"{name} = {text}")
        return name

    def memory(self, llvm: str, count: int = 1) -> str:
        """The address of memory that lives as long as the call."""
        name = self.name("%x")
        self.head.append(f"{name} = alloca {llvm}, i64 {count}")
        return name

    def name(self, what: str) -> str:
        self._named += 1
        return f"{what}{self._named}"

    def names(self, *what: str) -> list[str]:
        return [self.name(one) for one in what]

    def label(self, name: str) -> None:
        """Begin a block; the one before goes on there if it may."""
        if self.open:
            self.do(f"br label %{name}")
        self.do(f"{name}:")
        self.open = True

    def end(self, text: str) -> None:
        self.do(text)
        self.open = False

    def go(self, name: str) -> None:
        self.end(f"br label %{name}")

    def choose(self, condition: Value, yes: str, no: str) -> None:
        self.end(f"br i1 {condition.text}, label %{yes}, label %{no}")

    def require(self, condition: str) -> None:
        """Go to the block `failed` otherwise."""
        right = self.name("right")
        self.choose(Value(BOOL, condition), right, "failed")
        self.label(right)

    @contextmanager
    def counting(self, start: str, stop: str, step: int = 1) -> Iterator[tuple[str, str, str]]:
        """A loop: its number, where it goes on, and where it ends."""
        counter = self.memory("i64")
        test, body, more, end = self.names("test", "body", "more", "end")
        self.do(f"store i64 {start}, ptr {counter}")
        self.label(test)
        index = self.op(f"load i64, ptr {counter}")
        self.choose(Value(BOOL, self.op(f"icmp {'slt' if step > 0 else 'sgt'} i64 {index}, {stop}")), body, end)
        self.label(body)
        yield index, more, end
        self.label(more)
        self.do(f"store i64 {self.op(f'add nsw i64 {index}, {step}')}, ptr {counter}")
        self.go(test)
        self.label(end)

    def known_call(self, name: str, kind: Number, *given: str) -> str:
        """A function that LLVM knows, of operands of one type and of bits."""
        own = name + "." + {"i64": "i64", "float": "f32", "double": "f64"}[kind.llvm]
        types = [kind.llvm if one not in ("true", "false") else "i1" for one in given]
        self.declared.add(f"declare {kind.llvm} @llvm.{own}({', '.join(types)})")
        pairs = ", ".join(f"{llvm} {one}" for llvm, one in zip(types, given, strict=True))
        return self.op(f"call {kind.llvm} @llvm.{own}({pairs})")

    # Types

    def plain(self, value: Any, kind: Number | None = None) -> Value:
        """A number, widened to a type if one is given."""
        if not isinstance(value, Value):
            raise Unsupported("something that is no number")
        own = value.kind
        if kind is None or own == kind:
            return value
        counts = own == INT and kind == UINT and value.known is not None and value.known >= 0
        if (own, kind) not in _WIDER and not counts:
            raise Unsupported(f"{own.name} as {kind.name}")
        return self.cast(value, kind)

    def cast(self, value: Value, kind: Number) -> Value:
        """A number as one of another type."""
        own = value.kind
        if own == kind:
            return value
        if value.known is not None:
            return number(kind, value.known)
        if own.whole and kind.whole:
            return Value(kind, value.text)
        if kind == BOOL:
            return self.truth(value)
        if own in (FLOAT, DOUBLE):
            how = "fptosi" if kind.whole else "fpext" if kind == DOUBLE else "fptrunc"
        elif kind in (FLOAT, DOUBLE):
            how = "sitofp" if own == INT else "uitofp"
        else:
            how = "zext"
        return Value(kind, self.op(f"{how} {own.llvm} {value.text} to {kind.llvm}"))

    def common(self, one: Value, other: Value) -> Number:
        """The type in which two numbers meet."""
        kinds = {one.kind, other.kind}
        if len(kinds) == 1:
            return one.kind
        if kinds == {INT, UINT} and all(value.kind == UINT or value.known is not None for value in (one, other)):
            return UINT
        for kind in (INT, DOUBLE):
            if kind in kinds and all(own == kind or (own, kind) in _WIDER for own in kinds):
                return kind
        raise Unsupported(f"{one.kind.name} with {other.kind.name}")

    def cut(self, dtype: np.dtype[Any], value: Value) -> str:
        """A number, of the type that elements are read as, as an array's element."""
        _, llvm = element(dtype)
        if llvm == value.kind.llvm:
            return value.text
        if value.known is not None:
            return str(int(value.known) & (1 << 8 * dtype.itemsize) - 1)
        return self.op(f"{'zext' if value.kind == BOOL else 'trunc'} {value.kind.llvm} {value.text} to {llvm}")

    def extended(self, dtype: np.dtype[Any], text: str) -> Value:
        """An array's element as a number."""
        kind, llvm = element(dtype)
        if llvm == kind.llvm:
            return Value(kind, text)
        if text.isdigit():
            return number(kind, np.array(int(text)).astype(dtype))
        how = "trunc" if kind == BOOL else "sext" if dtype.kind == "i" else "zext"
        return Value(kind, self.op(f"{how} {llvm} {text} to {kind.llvm}"))

    def converted(self, dtype: np.dtype[Any], value: Value) -> Value:
        """What NumPy's types, int and float give."""
        kind, llvm = element(dtype)
        value = self.cast(value, kind)
        return value if llvm == kind.llvm else self.extended(dtype, self.cut(dtype, value))

    # Arithmetic

    def sum(self, one: str, other: str) -> str:
        return self.binary(ast.Add, whole(one), whole(other)).text

    def product(self, one: str, other: str) -> str:
        return self.binary(ast.Mult, whole(one), whole(other)).text

    def binary(self, operation: type[ast.operator], one: Any, other: Any) -> Value:
        one, other = self.plain(one), self.plain(other)
        bits = operation in (ast.BitAnd, ast.BitOr, ast.BitXor)
        if operation in (ast.LShift, ast.RShift):
            kind = INT if one.kind == BOOL else one.kind
            other = self.cast(other, kind)
        elif operation is ast.Div and one.kind != FLOAT:
            kind = DOUBLE
        else:
            kind = self.common(one, other)
            kind = INT if kind == BOOL and not bits else kind
        one, other = self.plain(one, kind), self.plain(other, kind)
        if kind in (FLOAT, DOUBLE) and operation in _FRACTIONS:
            return Value(kind, self.op(f"{_FRACTIONS[operation]} {kind.llvm} {one.text}, {other.text}"))
        if kind in (FLOAT, DOUBLE) or operation not in _WHOLE:
            raise Unsupported("such an operator")
        name, exact = _WHOLE[operation]
        if name in ("div", "rem"):
            return self._divided(kind, one, other, exact)
        if one.known is not None and other.known is not None:
            return number(kind, exact(one.known, other.known))
        if name in ("add", "mul"):
            for value, more in ((one, other), (other, one)):
                if more.known == (name == "mul"):
                    return value  # x + 0, x * 1
                if more.known == 0:
                    return more
        if name == "shr":
            name = "ashr" if kind == INT else "lshr"
        return Value(kind, self.op(f"{name} {kind.llvm} {one.text}, {other.text}"))

    def _divided(self, kind: Number, one: Value, other: Value, exact: Callable[[Any, Any], Any]) -> Value:
        """Quotient, rounded down, or rest; 0 for quotients by zero."""
        rest, sign = exact is operator.mod, "s" if kind == INT else "u"
        if one.known is not None and other.known:
            return number(kind, exact(one.known, other.known))
        # The processor stops at quotients by zero, and where one is too large: by -1.
        few = number(BOOL, other.known in (0, -1))
        if other.known is None:
            more, most = (self.binary(ast.Add, other, number(INT, 1)), 2) if kind == INT else (other, 1)
            few = Value(BOOL, self.op(f"icmp ult i64 {more.text}, {most}"))
        divisor = self.chosen(few, number(kind, 1), other).text
        left = self.op(f"{sign}rem i64 {one.text}, {divisor}")
        text = left if rest else self.op(f"{sign}div i64 {one.text}, {divisor}")
        if kind == INT:
            differs = self.op(f"icmp slt i64 {self.op(f'xor i64 {left}, {divisor}')}, 0")
            down = self.op(f"and i1 {differs}, {self.op(f'icmp ne i64 {left}, 0')}")
            text = self.op(f"add i64 {text}, {self.op(f'select i1 {down}, i64 {divisor if rest else -1}, i64 0')}")
        if rest or few.known is False:
            return Value(kind, text)
        return self.chosen(few, self.binary(ast.Mult, one, other), Value(kind, text))  # by 0 or -1: times that

    def chosen(self, condition: Value, one: Value, other: Value) -> Value:
        """One number or the other, of one type."""
        if condition.known is not None:
            return one if condition.known else other
        llvm = one.kind.llvm
        return Value(one.kind, self.op(f"select i1 {condition.text}, {llvm} {one.text}, {llvm} {other.text}"))

    def negative(self, value: Any) -> Value:
        value = self.plain(value)
        if value.known is not None:
            return number(INT if value.kind == BOOL else value.kind, -value.known)
        if value.kind in (FLOAT, DOUBLE):
            return Value(value.kind, self.op(f"fneg {value.kind.llvm} {value.text}"))
        return self.binary(ast.Sub, number(INT, 0), value)

    def compared(self, operation: type[ast.cmpop], one: Any, other: Any) -> Value:
        one, other = self.plain(one), self.plain(other)
        kind = self.common(one, other)
        one, other = self.plain(one, kind), self.plain(other, kind)
        if operation not in _COMPARISONS:
            raise Unsupported("such a comparison")
        name, exact = _COMPARISONS[operation]
        if one.known is not None and other.known is not None:
            return number(BOOL, exact(one.known, other.known))
        if kind in (FLOAT, DOUBLE):
            name = "fcmp " + ("une" if name == "ne" else f"o{name}")
        else:
            name = "icmp " + (name if name in ("eq", "ne") else ("s" if kind == INT else "u") + name)
        return Value(BOOL, self.op(f"{name} {kind.llvm} {one.text}, {other.text}"))

    def truth(self, value: Any) -> Value:
        value = self.plain(value)
        return value if value.kind == BOOL else self.compared(ast.NotEq, value, number(value.kind, 0))

    def least(self, arguments: list[Any], *, largest: bool) -> Value:
        value, *others = map(self.plain, arguments)
        for other in others:
            kind = self.common(value, other)
            value, other = self.plain(value, kind), self.plain(other, kind)
            if kind.whole:
                name = ("s" if kind == INT else "u") + ("max" if largest else "min")
                value = Value(kind, self.known_call(name, kind, value.text, other.text))
            else:
                value = self.chosen(self.compared(ast.Gt if largest else ast.Lt, other, value), other, value)
        return value

    def of_fraction(self, name: str, value: Any) -> Value:
        """A function of a fraction: fabs, floor, sqrt."""
        value = self.plain(value)
        value = value if value.kind == FLOAT else self.plain(value, DOUBLE)
        return Value(value.kind, self.known_call(name, value.kind, value.text))
