"""Tiles of products of bytes, written with LLVM's instructions: what `products` compiles into its loops."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import ir

from bfncodec.exact.kinds import Value, View
from bfncodec.exact.products import BLOCK, GROUP, LANES, instructions

_BYTE, _SHORT, _INT, _WORD = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64)
_SUMS = ir.VectorType(_INT, LANES)


class _Plain:
    """How sums of a vector's outputs are begun, added to and ended, as LLVM's operators.

    signed: the values are, and weights are not; else it is the other way.
    """

    sums: tuple[ir.Type, ...] = (_SUMS,)

    def __init__(self, signed: bool) -> None:
        self.signed = signed

    def wide(self, builder: Any, vector: Any, kind: Any, *, value: bool) -> Any:
        """Bytes of values or of weights as wider numbers."""
        count = vector.type.count
        extend = builder.sext if value == self.signed else builder.zext
        return extend(vector, ir.VectorType(kind, count))

    def spread(self, builder: Any, four: Any) -> Any:
        """Four values, int32, as every output's partner."""
        return self.wide(builder, builder.bitcast(four, ir.VectorType(_BYTE, GROUP)), _INT, value=True)

    def add(self, builder: Any, sums: list[Any], spread: Any, weights: Any) -> list[Any]:
        """Sums with the products of four values and weights [LANES, GROUP]."""
        (total,) = sums
        for place in range(GROUP):
            own = shuffled(builder, weights, range(place, LANES * GROUP, GROUP))
            value = shuffled(builder, spread, [place] * LANES)
            total = builder.add(total, builder.mul(value, self.wide(builder, own, _INT, value=False)))
        return [total]

    def end(self, builder: Any, sums: list[Any]) -> Any:
        """Sums of the outputs, int32 [LANES]."""
        return sums[0]


class _Avx2(_Plain):
    """Sums of pairs, int32 [8] for four outputs."""

    sums = (ir.VectorType(_INT, 8),) * GROUP

    def spread(self, builder: Any, four: Any) -> Any:
        values = self.wide(builder, builder.bitcast(four, ir.VectorType(_BYTE, GROUP)), _SHORT, value=True)
        return shuffled(builder, values, list(range(GROUP)) * 4)

    def add(self, builder: Any, sums: list[Any], spread: Any, weights: Any) -> list[Any]:
        added = []
        for place, total in enumerate(sums):
            own = shuffled(builder, weights, range(16 * place, 16 * place + 16))
            own = self.wide(builder, own, _SHORT, value=False)
            added.append(builder.add(total, intrinsic(builder, "llvm.x86.avx2.pmadd.wd", total.type, spread, own)))
        return added

    def end(self, builder: Any, sums: list[Any]) -> Any:
        halves = [builder.add(*(shuffled(builder, one, range(first, 8, 2)) for first in range(2))) for one in sums]
        low, high = (_joined(builder, *halves[first : first + 2]) for first in (0, 2))
        return _joined(builder, low, high)


class _Vnni(_Plain):
    def spread(self, builder: Any, four: Any) -> Any:
        one = builder.insert_element(ir.Constant(_SUMS, ir.Undefined), four, _INT(0))
        return shuffled(builder, one, [0] * LANES)

    def add(self, builder: Any, sums: list[Any], spread: Any, weights: Any) -> list[Any]:
        factors = spread, builder.bitcast(weights, _SUMS)
        return [
            intrinsic(
                builder, "llvm.x86.avx512.vpdpbusd.512", _SUMS, sums[0], *(factors[::-1] if self.signed else factors)
            )
        ]


_KINDS: dict[str, type[_Plain]] = {"plain": _Plain, "avx2": _Avx2, "vnni": _Vnni}


def shuffled(builder: Any, vector: Any, places: Any) -> Any:
    """Numbers of a vector by their places."""
    mask = ir.Constant(ir.VectorType(_INT, len(places)), list(places))
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)


def _joined(builder: Any, low: Any, high: Any) -> Any:
    count = 2 * low.type.count
    return builder.shuffle_vector(low, high, ir.Constant(ir.VectorType(_INT, count), list(range(count))))


def intrinsic(builder: Any, name: str, result: Any, *values: Any) -> Any:
    """A call of one of LLVM's own functions."""
    known = builder.module.globals
    kind = ir.FunctionType(result, [value.type for value in values])
    return builder.call(known[name] if name in known else ir.Function(builder.module, kind, name), values)


@contextmanager
def each(builder: Any, function: Any, count: Any) -> Iterator[Any]:
    """A loop over the numbers below `count`."""
    counter = builder.alloca(_WORD)
    builder.store(_WORD(0), counter)
    test, body, end = (function.append_basic_block(one) for one in ("test", "body", "end"))
    builder.branch(test)
    builder.position_at_end(test)
    index = builder.load(counter)
    builder.cbranch(builder.icmp_signed("<", index, count), body, end)
    builder.position_at_end(body)
    yield index
    builder.store(builder.add(index, _WORD(1)), counter)
    builder.branch(test)
    builder.position_at_end(end)


def tile(instructions: str, rows: int, vectors: int) -> Callable[..., Any]:
    """What writes sums of so many rows and vectors of outputs from given addresses into a function that is compiled.

    From one row of values to the next there are `stride` bytes, from one group to the next `step`. The first argument
    is an array of the weights' type: where they are bytes without a sign, values have one.
    """

    def tile(into: Any, like: View, *arguments: Value) -> Any:
        signed = like.kind.dtype == np.uint8
        name = f"tile_{instructions}_{rows}_{vectors}_{'signed' if signed else 'unsigned'}"
        if name not in into.program.others:
            into.program.others[name] = _text(name, _KINDS[instructions](signed), rows, vectors)
        into.program.declared.add(f"declare void @{name}({', '.join(['i64'] * len(arguments))})")
        return into.call(None, f"@{name}", [f"i64 {one.text}" for one in arguments])

    return tile


def sparse(blocks: int) -> Callable[..., Any]:
    """What writes sums of values that are mostly 0, and so many blocks of outputs, into a function that is compiled."""

    def sparse(into: Any, *arguments: Value) -> Any:
        name = f"sparse_{instructions()}_{blocks}"
        if name not in into.program.others:
            into.program.others[name] = _sparse_text(name, _KINDS[instructions()](False), blocks)
        into.program.declared.add(f"declare void @{name}({', '.join(['i64'] * len(arguments))})")
        return into.call(None, f"@{name}", [f"i64 {one.text}" for one in arguments])

    return sparse


def _sparse_text(name: str, kind: _Plain, blocks: int) -> str:
    """The function: address of values, how many times BLOCK they are, addresses of weights and sums, stride of rows."""
    module = ir.Module(name)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [_WORD] * 5), name)
    builder = ir.IRBuilder(function.append_basic_block("start"))
    values, words, weights, sums, stride = function.args
    values, weights, sums = (builder.inttoptr(one, _BYTE.as_pointer()) for one in (values, weights, sums))
    totals = [[builder.alloca(one) for one in kind.sums] for _ in range(blocks * GROUP)]
    for slot in (one for vector in totals for one in vector):
        builder.store(ir.Constant(slot.type.pointee, None), slot)
    counter, left = builder.alloca(_WORD), builder.alloca(_WORD)
    builder.store(_WORD(0), counter)
    test, body, more, four, end = (function.append_basic_block(one) for one in ("test", "body", "more", "four", "end"))
    builder.branch(test)
    builder.position_at_end(test)
    word = builder.load(counter)
    builder.cbranch(builder.icmp_signed("<", word, words), body, end)
    builder.position_at_end(body)
    whole = ir.VectorType(_BYTE, BLOCK)
    start = builder.mul(word, _WORD(BLOCK))
    own = builder.gep(values, [start])
    vector = builder.load(builder.bitcast(own, whole.as_pointer()), align=1)
    mask = builder.bitcast(builder.icmp_unsigned("!=", vector, ir.Constant(whole, None)), _WORD)
    builder.store(mask, left)
    builder.store(builder.add(word, _WORD(1)), counter)
    builder.branch(more)
    builder.position_at_end(more)
    builder.cbranch(builder.icmp_signed("!=", builder.load(left), _WORD(0)), four, test)
    builder.position_at_end(four)
    mask, group, rows = builder.load(left), _INT(0), []
    for place in range(GROUP):
        # Where none is left, the value counts as 0, whatever the row behind says.
        index = intrinsic(builder, "llvm.cttz.i64", _WORD, mask, ir.IntType(1)(0))
        value = builder.zext(builder.load(builder.gep(own, [index])), _INT)
        value = builder.select(builder.icmp_unsigned("!=", mask, _WORD(0)), value, _INT(0))
        group = builder.or_(group, builder.shl(value, _INT(8 * place)))
        rows.append(builder.gep(weights, [builder.mul(builder.add(start, index), stride)]))
        mask = builder.and_(mask, builder.sub(mask, _WORD(1)))
    builder.store(mask, left)
    spread = kind.spread(builder, group)
    for block in range(blocks):
        lines = []
        for row in rows:
            address = builder.gep(row, [_WORD(block * BLOCK)])
            lines.append(builder.load(builder.bitcast(address, whole.as_pointer()), align=1))
        for number, weaved in enumerate(_weaved(builder, lines)):
            slots = totals[block * GROUP + number]
            added = kind.add(builder, [builder.load(one) for one in slots], spread, weaved)
            for slot, total in zip(slots, added, strict=True):
                builder.store(total, slot)
    builder.branch(more)
    builder.position_at_end(end)
    for number, slots in enumerate(totals):
        total = kind.end(builder, [builder.load(one) for one in slots])
        address = builder.bitcast(builder.gep(sums, [_WORD(4 * number * LANES)]), _SUMS.as_pointer())
        builder.store(total, address, align=4)
    builder.ret_void()
    return str(module)


def _weaved(builder: Any, lines: list[Any]) -> Iterator[Any]:
    """Bytes of four lines side by side, by LANES; within parts of 16 bytes, as processors do it: `products.woven`."""

    def unpacked(one: Any, other: Any, size: int, first: int) -> Any:
        places = []
        for part in range(first, BLOCK + first, 16):
            for unit in range(part, part + 8, size):
                places += [*range(unit, unit + size), *range(BLOCK + unit, BLOCK + unit + size)]
        mask = ir.Constant(ir.VectorType(_INT, BLOCK), places)
        return builder.shuffle_vector(one, other, mask)

    for half in (0, 8):
        one, other = (unpacked(lines[first], lines[first + 1], 1, half) for first in (0, 2))
        for quarter in (0, 8):
            yield unpacked(one, other, 2, quarter)


def _text(name: str, kind: _Plain, rows: int, vectors: int) -> str:
    """The function: addresses of values, stride, step, address of weights, groups, address of sums, their stride."""
    module = ir.Module(name)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [_WORD] * 7), name)
    builder = ir.IRBuilder(function.append_basic_block("start"))
    values, stride, step, weights, groups, sums, width = function.args
    values, weights, sums = (builder.inttoptr(one, _BYTE.as_pointer()) for one in (values, weights, sums))
    totals = [[[builder.alloca(one) for one in kind.sums] for _ in range(vectors)] for _ in range(rows)]
    for slot in (one for row in totals for vector in row for one in vector):
        builder.store(ir.Constant(slot.type.pointee, None), slot)
    with each(builder, function, groups) as index:
        start = builder.gep(weights, [builder.mul(index, _WORD(BLOCK * GROUP))])
        own = []
        for vector in range(vectors):
            address = builder.gep(start, [_WORD(vector * LANES * GROUP)])
            whole = ir.VectorType(_BYTE, LANES * GROUP)
            own.append(builder.load(builder.bitcast(address, whole.as_pointer()), align=1))
        for row in range(rows):
            place = builder.add(builder.mul(_WORD(row), stride), builder.mul(index, step))
            address = builder.bitcast(builder.gep(values, [place]), _INT.as_pointer())
            spread = kind.spread(builder, builder.load(address, align=1))
            for vector in range(vectors):
                slots = totals[row][vector]
                added = kind.add(builder, [builder.load(one) for one in slots], spread, own[vector])
                for slot, total in zip(slots, added, strict=True):
                    builder.store(total, slot)
    for row in range(rows):
        for vector in range(vectors):
            total = kind.end(builder, [builder.load(one) for one in totals[row][vector]])
            place = builder.add(builder.mul(_WORD(row), width), _WORD(4 * vector * LANES))
            address = builder.bitcast(builder.gep(sums, [place]), _SUMS.as_pointer())
            builder.store(total, address, align=4)
    builder.ret_void()
    return str(module)
