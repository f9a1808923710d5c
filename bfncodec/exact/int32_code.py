"""`int32_vectors`, as compiled functions do it."""

from __future__ import annotations

from typing import Any

from bfncodec.exact.int32_vectors import LANES
from bfncodec.exact.kinds import INT, Thing, Unsupported, Value, View
from bfncodec.exact.places import Places

_VECTOR = f"<{LANES} x i32>"


def _splat(number: int) -> str:
    return "<" + ", ".join([f"i32 {number}"] * LANES) + ">"


def _known(value: Value) -> int:
    if value.known is None:
        raise Unsupported("a number that is not known beforehand")
    return int(value.known)


def _address(into: Places, view: View, start: int) -> str:
    return into.op(f"getelementptr i32, ptr {into.part(view, 0)}, i64 {start}")


def _load(into: Places, address: str) -> str:
    return into.op(f"load {_VECTOR}, ptr {address}, align 4")


def _call(into: Places, name: str, result: str, *vectors: str) -> str:
    into.declared.add(f"declare {result} @llvm.{name}.v{LANES}i32({', '.join([_VECTOR] * len(vectors))})")
    return into.op(f"call {result} @llvm.{name}.v{LANES}i32({', '.join(f'{_VECTOR} {one}' for one in vectors)})")


def dot(into: Places, one: View, other: View, count: Value, down: Value) -> Value:
    total = "zeroinitializer"
    for start in range(0, _known(count), LANES):
        left, right = (_load(into, _address(into, view, start)) for view in (one, other))
        product = into.op(f"mul {_VECTOR} {left}, {right}")
        product = into.op(f"ashr {_VECTOR} {product}, {_splat(_known(down))}")
        total = into.op(f"add {_VECTOR} {total}, {product}")
    return Value(INT, into.op(f"sext i32 {_call(into, 'vector.reduce.add', 'i32', total)} to i64"))


def add_products(
    into: Places, target: View, source: View, factor: Value, count: Value, down: Value, most: Value
) -> Any:
    low = into.op(f"trunc i64 {factor.text} to i32")
    one = into.op(f"insertelement {_VECTOR} zeroinitializer, i32 {low}, i64 0")
    factors = into.op(f"shufflevector {_VECTOR} {one}, {_VECTOR} zeroinitializer, <{LANES} x i32> zeroinitializer")
    shift, limit = _known(down), _known(most)
    for start in range(0, _known(count), LANES):
        address = _address(into, target, start)
        product = into.op(f"mul {_VECTOR} {_load(into, _address(into, source, start))}, {factors}")
        product = into.op(f"add {_VECTOR} {product}, {_splat(1 << shift - 1)}")
        product = into.op(f"ashr {_VECTOR} {product}, {_splat(shift)}")
        moved = into.op(f"add {_VECTOR} {_load(into, address)}, {product}")
        moved = _call(into, "smin", _VECTOR, moved, _splat(limit))
        moved = _call(into, "smax", _VECTOR, moved, _splat(-limit))
        into.do(f"store {_VECTOR} {moved}, ptr {address}, align 4")
    return Thing(None)
