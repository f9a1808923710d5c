"""Products of unsigned by signed bytes, summed in int32: compiled for the processor at hand, without threads.

AVX-512 VNNI multiplies and adds four bytes at once, without saturation (`vpdpbusd`); AVX2 pairs of
int16 (`vpmaddwd`); elsewhere plain vectors do. All give the same sums, which must lie within int32.
NUMBA_CPU_NAME and NUMBA_CPU_FEATURES choose another processor's instructions.

Weights are packed so that a tile reads them in order: int8 [blocks, groups, BLOCK, GROUP],
blocks of outputs, and within a block four inputs of each of its outputs side by side.
"""

from collections.abc import Callable
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from bfncodec.exact.compiled import compiled

Array = NDArray[Any]

BLOCK = 64  # outputs of a tile
GROUP = 4  # inputs that one instruction takes
_LANES = 16  # outputs of a vector of sums

_BYTE, _SHORT, _INT = ir.IntType(8), ir.IntType(16), ir.IntType(32)
_SUMS = ir.VectorType(_INT, _LANES)


def instructions() -> str:
    """What products are done with: "vnni", "avx2" or "plain" vectors; "none": plain Python."""
    if numba.config.DISABLE_JIT:
        return "none"
    chosen, named = numba.config.CPU_FEATURES, numba.config.CPU_NAME
    if chosen is None and named is None:
        known = {name for name, there in llvmlite.binding.get_host_cpu_features().items() if there}
    else:
        known = {name[1:] for name in (chosen or "").split(",") if name.startswith("+")}
    if {"avx512vnni", "avx512bw"} <= known:
        return "vnni"
    return "avx2" if "avx2" in known else "plain"


class _Plain:
    """How sums of a vector's outputs are begun, added to and ended, as LLVM's operators."""

    rows, vectors = 4, 1  # of a tile: as many sums as there are registers
    sums: tuple[ir.Type, ...] = (_SUMS,)

    def spread(self, builder: Any, four: Any) -> Any:
        """Four values, int32, as every output's partner."""
        return builder.zext(builder.bitcast(four, ir.VectorType(_BYTE, GROUP)), ir.VectorType(_INT, GROUP))

    def add(self, builder: Any, sums: list[Any], spread: Any, weights: Any) -> list[Any]:
        """Sums with the products of four values and int8 weights [_LANES, GROUP]."""
        (total,) = sums
        for place in range(GROUP):
            own = _shuffled(builder, weights, range(place, _LANES * GROUP, GROUP))
            value = _shuffled(builder, spread, [place] * _LANES)
            total = builder.add(total, builder.mul(value, builder.sext(own, _SUMS)))
        return [total]

    def end(self, builder: Any, sums: list[Any]) -> Any:
        """Sums of the outputs, int32 [_LANES]."""
        return sums[0]


class _Avx2(_Plain):
    """Sums of pairs, int32 [8] for four outputs."""

    rows, vectors = 2, 1
    sums = (ir.VectorType(_INT, 8),) * GROUP

    def spread(self, builder: Any, four: Any) -> Any:
        values = builder.zext(builder.bitcast(four, ir.VectorType(_BYTE, GROUP)), ir.VectorType(_SHORT, GROUP))
        return _shuffled(builder, values, list(range(GROUP)) * 4)

    def add(self, builder: Any, sums: list[Any], spread: Any, weights: Any) -> list[Any]:
        added = []
        for place, total in enumerate(sums):
            own = _shuffled(builder, weights, range(16 * place, 16 * place + 16))
            own = builder.sext(own, ir.VectorType(_SHORT, 16))
            added.append(builder.add(total, _call(builder, "llvm.x86.avx2.pmadd.wd", total.type, spread, own)))
        return added

    def end(self, builder: Any, sums: list[Any]) -> Any:
        halves = [builder.add(*(_shuffled(builder, one, range(first, 8, 2)) for first in range(2))) for one in sums]
        low, high = (_joined(builder, *halves[first : first + 2]) for first in (0, 2))
        return _joined(builder, low, high)


class _Vnni(_Plain):
    rows, vectors = 4, 4

    def spread(self, builder: Any, four: Any) -> Any:
        one = builder.insert_element(ir.Constant(_SUMS, ir.Undefined), four, _INT(0))
        return _shuffled(builder, one, [0] * _LANES)

    def add(self, builder: Any, sums: list[Any], spread: Any, weights: Any) -> list[Any]:
        weights = builder.bitcast(weights, _SUMS)
        return [_call(builder, "llvm.x86.avx512.vpdpbusd.512", _SUMS, sums[0], spread, weights)]


_KINDS: dict[str, type[_Plain]] = {"plain": _Plain, "avx2": _Avx2, "vnni": _Vnni}


def _shuffled(builder: Any, vector: Any, places: Any) -> Any:
    mask = ir.Constant(ir.VectorType(_INT, len(places)), list(places))
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)


def _joined(builder: Any, low: Any, high: Any) -> Any:
    count = 2 * low.type.count
    return builder.shuffle_vector(low, high, ir.Constant(ir.VectorType(_INT, count), list(range(count))))


def _call(builder: Any, name: str, result: Any, *values: Any) -> Any:
    kind = ir.FunctionType(result, [value.type for value in values])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)


def _tile(kind: _Plain, rows: int, vectors: int) -> Callable[..., Any]:
    """Compiled code that writes sums of so many rows and vectors of outputs from given addresses."""

    @intrinsic  # type: ignore[untyped-decorator]
    def tile(typing: Any, values: Any, stride: Any, weights: Any, groups: Any, sums: Any, width: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            values, stride, weights, groups, sums, width = arguments
            values, weights, sums = (builder.inttoptr(one, _BYTE.as_pointer()) for one in (values, weights, sums))
            totals = [
                [
                    [cgutils.alloca_once_value(builder, ir.Constant(one, None)) for one in kind.sums]
                    for _ in range(vectors)
                ]
                for _ in range(rows)
            ]
            size = groups.type
            with cgutils.for_range(builder, groups) as loop:
                start = builder.gep(weights, [builder.mul(loop.index, size(BLOCK * GROUP))])
                own = []
                for vector in range(vectors):
                    address = builder.gep(start, [size(vector * _LANES * GROUP)])
                    whole = ir.VectorType(_BYTE, _LANES * GROUP)
                    own.append(builder.load(builder.bitcast(address, whole.as_pointer()), align=1))
                for row in range(rows):
                    place = builder.add(builder.mul(size(row), stride), builder.mul(loop.index, size(GROUP)))
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
                    place = builder.add(builder.mul(size(row), width), size(4 * vector * _LANES))
                    address = builder.bitcast(builder.gep(sums, [place]), _SUMS.as_pointer())
                    builder.store(total, address, align=4)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 6), generate

    return tile


def _slow(values: Array, weights: Array, sums: Array) -> None:
    """`product` in NumPy."""
    blocks, groups = weights.shape[:2]
    plain = weights.transpose(1, 3, 0, 2).reshape(groups * GROUP, blocks * BLOCK)
    sums[:] = values[:, : groups * GROUP].astype(np.int64) @ plain


_KIND = _KINDS.get(instructions(), _Plain)()
_ROWS, _VECTORS = _KIND.rows, _KIND.vectors
_tall, _flat = _tile(_KIND, _ROWS, _VECTORS), _tile(_KIND, 1, _VECTORS)


def _fast(values: Array, weights: Array, sums: Array) -> None:
    """Sums int32 [n, blocks * BLOCK] of values uint8 [n, groups * GROUP or more] times packed weights."""
    blocks, groups = weights.shape[:2]
    stride, width, step = values.strides[0], sums.strides[0], _VECTORS * 16
    row = 0
    while row < len(values):
        rows = _ROWS if row + _ROWS <= len(values) else 1
        source, target = values.ctypes.data + row * stride, sums.ctypes.data + row * width
        for block in range(blocks):
            for part in range(0, BLOCK, step):
                own = weights.ctypes.data + (block * groups * BLOCK + part) * GROUP
                to = target + (block * BLOCK + part) * 4
                if rows == 1:
                    _flat(source, stride, own, groups, to, width)
                else:
                    _tall(source, stride, own, groups, to, width)
        row += rows


product = _slow if instructions() == "none" else compiled(_fast)


def packed(weights: Array) -> NDArray[np.int8]:
    """Weights int [out, in] as `product` wants them; BLOCK and GROUP are filled with zeros."""
    outputs, inputs = weights.shape
    blocks, groups = -(-outputs // BLOCK), -(-inputs // GROUP)
    wide = np.zeros((blocks * BLOCK, groups * GROUP), np.int8)
    wide[:outputs, :inputs] = weights
    return np.ascontiguousarray(wide.reshape(blocks, BLOCK, groups, GROUP).transpose(0, 2, 1, 3))


@compiled
def long_product(values: Array, factors: Array, planes: int) -> NDArray[np.int64]:
    """values uint8 [m, n], rows contiguous, times factors int64 [n, k] of so many signed bytes: int64 [m, k].

    n: at most 2**16; what follows it in rows, up to a multiple of GROUP, must be there to be read.
    """
    groups = -(-len(factors) // GROUP)
    columns = factors.shape[1]
    blocks = -(-columns // BLOCK)
    words = np.zeros((planes, blocks, groups, BLOCK), np.uint32)
    _cut(factors, words)
    sums = np.empty((len(values), planes * blocks * BLOCK), np.int32)
    product(values, words.view(np.int8).reshape(planes * blocks, groups, BLOCK, GROUP), sums)
    total = np.zeros((len(values), columns), np.int64)
    for row in range(len(values)):
        for plane in range(planes - 1, -1, -1):
            for column in range(columns):
                total[row, column] = (total[row, column] << 8) + sums[row, plane * blocks * BLOCK + column]
    return total


@compiled
def _cut(factors: Array, words: Array) -> None:
    """Signed bytes of factors [n, k], low to high, as packed weights, a group a word: [planes, blocks, groups, BLOCK].

    Groups are filled with zeros.
    """
    planes, blocks, groups = words.shape[:3]
    signs = 0  # added and taken away bit by bit, this makes every byte of a number a signed one
    for plane in range(planes):
        signs |= 128 << 8 * plane
    four, byte = np.zeros((GROUP, BLOCK), np.uint32), np.uint32(255)
    for group in range(groups):
        rows = min(GROUP, len(factors) - group * GROUP)
        four[rows:] = 0
        for block in range(blocks):
            columns = min(BLOCK, factors.shape[1] - block * BLOCK)
            for place in range(rows):
                for column in range(columns):
                    factor = factors[group * GROUP + place, block * BLOCK + column]
                    four[place, column] = np.uint32((factor + signs) ^ signs)
            for plane in range(planes):
                down = np.uint32(8 * plane)
                for column in range(columns):
                    word = (four[3, column] >> down & byte) << np.uint32(8) | four[2, column] >> down & byte
                    word = word << np.uint32(8) | four[1, column] >> down & byte
                    words[plane, block, group, column] = word << np.uint32(8) | four[0, column] >> down & byte
