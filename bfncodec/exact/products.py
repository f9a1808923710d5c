"""Products of unsigned by signed bytes, summed in int32: compiled for the processor at hand, without threads.

AVX-512 VNNI multiplies and adds four bytes at once, without saturation (`vpdpbusd`); AVX2 pairs of
int16 (`vpmaddwd`); elsewhere plain vectors do. All give the same sums, which must lie within int32.
BFNCODEC_CPU_NAME and BFNCODEC_CPU_FEATURES choose another processor's instructions.

Weights are packed so that a tile reads them in order: int8 [blocks, groups, BLOCK, GROUP],
blocks of outputs, and within a block four inputs of each of its outputs side by side.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact import code_cache
from bfncodec.exact.compiled import DISABLED, Inline, compiled, shaped

Array = NDArray[Any]

BLOCK = 64  # outputs of a tile
GROUP = 4  # inputs that one instruction takes
LANES = 16  # outputs of a vector of sums
_TILES = {"vnni": (4, 4), "avx2": (2, 1), "plain": (4, 1)}  # rows and vectors: as many sums as there are registers


def instructions() -> str:
    """What products are done with: "vnni", "avx2" or "plain" vectors; "none": plain Python."""
    if DISABLED:
        return "none"
    _, features = code_cache.processor()
    known = {name[1:] for name in features.split(",") if name.startswith("+")}
    if {"avx512vnni", "avx512bw"} <= known:
        return "vnni"
    return "avx2" if "avx2" in known else "plain"


def _slow(values: Array, weights: Array, sums: Array) -> None:
    """`product` in NumPy."""
    blocks, groups = weights.shape[:2]
    plain = weights.transpose(1, 3, 0, 2).reshape(groups * GROUP, blocks * BLOCK)
    sums[: len(values), : blocks * BLOCK] = values[:, : groups * GROUP].astype(np.int64) @ plain


def _tile(rows: int | None) -> Inline:
    """Products of so many rows, or of as many as a tile has."""

    def make() -> Any:
        from bfncodec.exact import tiles

        most, vectors = _TILES[instructions()]
        return tiles.tile(instructions(), rows or most, vectors)

    return Inline(make)


def _extent(which: int) -> Inline:
    """How many rows or vectors a tile has: a number that is known when code is made, and no sooner."""

    def make() -> Any:
        from bfncodec.exact import kinds

        return lambda _: kinds.number(kinds.INT, _TILES[instructions()][which])

    return Inline(make)


_tall, _flat = _tile(None), _tile(1)
_rows, _vectors = _extent(0), _extent(1)


def _fast(values: Array, weights: Array, sums: Array) -> None:
    """Sums int32 [n, blocks * BLOCK and more] of values [n, groups * GROUP and more] times packed weights.

    Values are uint8 and weights int8, or the other way.
    """
    _tiles(values.ctypes.data, len(values), values.strides[0], GROUP, weights, sums)


@compiled
def _tiles(values: int, count: int, stride: int, leap: int, weights: Array, sums: Array) -> None:
    """The same of values at an address; leap: bytes from one group to the next."""
    blocks, groups = weights.shape[:2]
    most, step, width = _rows(), _vectors() * LANES, sums.strides[0]
    row = 0
    while row < count:
        rows = most if row + most <= count else 1
        source, target = values + row * stride, sums.ctypes.data + row * width
        for block in range(blocks):
            for part in range(0, BLOCK, step):
                own = weights.ctypes.data + (block * groups * BLOCK + part) * GROUP
                to = target + (block * BLOCK + part) * 4
                if rows == 1:
                    _flat(weights, source, stride, leap, own, groups, to, width)
                else:
                    _tall(weights, source, stride, leap, own, groups, to, width)
        row += rows


def _fast_turned(values: Array, weights: Array, sums: Array) -> None:
    """`product` of values that lie group after group, a word for each row: uint32 [groups, n]."""
    _tiles(values.ctypes.data, values.shape[1], GROUP, values.strides[0], weights, sums)


def _slow_turned(values: Array, weights: Array, sums: Array) -> None:
    """`turned_product` in NumPy."""
    kind = np.int8 if weights.dtype == np.uint8 else np.uint8
    _slow(np.ascontiguousarray(values.T).view(kind), weights, sums)


def _sparse(blocks: int) -> Inline:
    def make() -> Any:
        from bfncodec.exact import tiles

        return tiles.sparse(blocks)

    return Inline(make)


_one_block, _four_blocks = _sparse(1), _sparse(4)


def _fast_sparse(values: Array, weights: Array, sums: Array) -> None:
    """Sums int32 [blocks * BLOCK] of values uint8 [a multiple of BLOCK], most of them 0, times woven weights.

    Behind the values another byte can be read.
    """
    words, blocks = (len(weights) - 1) // BLOCK, weights.shape[1] // BLOCK
    stride, block = weights.strides[0], 0
    while block < blocks:
        own, to = weights.ctypes.data + block * BLOCK, sums.ctypes.data + 4 * block * BLOCK
        if block + 4 <= blocks:
            _four_blocks(values.ctypes.data, words, own, to, stride)
            block += 4
        else:
            _one_block(values.ctypes.data, words, own, to, stride)
            block += 1


def _slow_sparse(values: Array, weights: Array, sums: Array) -> None:
    """`sparse_product` in NumPy."""
    plain = weights.reshape(len(weights), -1, 4, 4, 4).transpose(0, 1, 3, 2, 4).reshape(weights.shape)
    sums[: weights.shape[1]] = values[: len(weights) - 1].astype(np.int64) @ plain[:-1]


product = _slow if DISABLED else compiled(_fast)
sparse_product = _slow_sparse if DISABLED else compiled(_fast_sparse)
turned_product = _slow_turned if DISABLED else compiled(_fast_turned)


def packed(weights: Array) -> NDArray[np.int8]:
    """Weights int [..., out, in] as `product` wants them; BLOCK and GROUP are filled with zeros."""
    *many, outputs, inputs = weights.shape
    blocks, groups = -(-outputs // BLOCK), -(-inputs // GROUP)
    wide = np.zeros((*many, blocks * BLOCK, groups * GROUP), np.int8)
    wide[..., :outputs, :inputs] = weights
    return np.ascontiguousarray(wide.reshape(*many, blocks, BLOCK, groups, GROUP).swapaxes(-3, -2))


def woven(weights: Array) -> NDArray[np.int8]:
    """Weights int [out, in] as `sparse_product` wants them, int8 [in + 1, out]; both filled with zeros up to BLOCK.

    Within a block of outputs, parts 4 * part + number stand where parts 4 * number + part would, of four bytes each.
    """
    outputs, inputs = weights.shape
    blocks, words = -(-outputs // BLOCK), -(-inputs // BLOCK)
    wide = np.zeros((words * BLOCK + 1, blocks * BLOCK), np.int8)
    wide[:inputs, :outputs] = weights.T
    return np.ascontiguousarray(wide.reshape(len(wide), blocks, 4, 4, 4).transpose(0, 1, 3, 2, 4).reshape(wide.shape))


class SumRoom(NamedTuple):
    """Memory that `put_sums` works in."""

    inputs: Array  # uint32: bytes of four rows side by side
    factors: Array  # uint32, the same
    sums: Array  # int32


def sum_room(count: int, columns: int, outputs: int, planes: int) -> SumRoom:
    """Room for so many rows of inputs and of factors, or fewer."""
    groups, wide = -(-count // GROUP), -(-columns // BLOCK) * BLOCK
    rows = planes * outputs
    return SumRoom(
        np.zeros(groups * wide, np.uint32), np.zeros(groups * rows, np.uint32), np.empty(rows * wide, np.int32)
    )


def sums_of_products(inputs: Array, factors: Array, planes: int) -> NDArray[np.int64]:
    """Sums over n of factors int64 [n, k], of so many signed bytes each, times inputs uint8 [n, m]: int64 [k, m].

    n: at most 2**16.
    """
    (count, columns), outputs = inputs.shape, factors.shape[1]
    total = np.empty((outputs, columns), np.int64)
    put_sums(inputs, columns, factors, count, planes, sum_room(count, columns, outputs, planes), total)
    return total


@compiled
def put_sums(inputs: Array, columns: int, factors: Array, count: int, planes: int, own: SumRoom, total: Array) -> None:
    """`sums_of_products` of the first rows, so many, and of the first columns of inputs, to `total`."""
    groups, blocks, outputs = -(-count // GROUP), -(-columns // BLOCK), factors.shape[1]
    words = shaped(own.inputs, 0, np.uint32, (blocks, groups, BLOCK))
    digits = shaped(own.factors, 0, np.uint32, (groups, planes * outputs))
    sums = shaped(own.sums, 0, np.int32, (planes * outputs, blocks * BLOCK))
    side_by_side(inputs, columns, count, words)
    _cut(factors, count, planes, digits)
    packed_inputs = shaped(own.inputs, 0, np.uint8, (blocks, groups, BLOCK, GROUP))
    turned_product(digits, packed_inputs, sums)
    for output in range(outputs):
        target, low = total[output], sums[output]
        for column in range(columns):
            target[column] = low[column]
        for plane in range(1, planes):
            source = sums[plane * outputs + output]
            for column in range(columns):
                target[column] += np.int64(source[column]) << 8 * plane


@compiled
def side_by_side(inputs: Array, columns: int, count: int, words: Array) -> None:
    """Inputs of four rows as a word, zeros behind the last row: uint32 [blocks, groups, BLOCK]."""
    for group in range(words.shape[1]):
        first = group * GROUP
        left = count - first
        for block in range(len(words)):
            start = block * BLOCK
            target, size = words[block, group], min(BLOCK, columns - start)
            if left >= GROUP:
                low, more = inputs[first, start:], inputs[first + 1, start:]
                most, high = inputs[first + 2, start:], inputs[first + 3, start:]
                for column in range(size):
                    word = np.uint32(low[column]) | np.uint32(more[column]) << np.uint32(8)
                    word |= np.uint32(most[column]) << np.uint32(16) | np.uint32(high[column]) << np.uint32(24)
                    target[column] = word
                continue
            for column in range(size):
                target[column] = inputs[first, start + column]
            for place in range(1, left):
                source, up = inputs[first + place], np.uint32(8 * place)
                for column in range(size):
                    target[column] |= np.uint32(source[start + column]) << up


@compiled
def _cut(factors: Array, count: int, planes: int, digits: Array) -> None:
    """Signed bytes of factors [n, k], low to high, four rows a word, zeros behind them: uint32 [groups, planes * k]."""
    outputs, byte = factors.shape[1], np.uint32(255)
    signs = 0  # added and taken away bit by bit, this makes every byte of a number a signed one
    for plane in range(planes):
        signs |= 128 << 8 * plane
    for group in range(len(digits)):
        first = group * GROUP
        for plane in range(planes):
            target, down = digits[group, plane * outputs :], 8 * plane
            for output in range(outputs):
                target[output] = np.uint32((factors[first, output] + signs ^ signs) >> down) & byte
            for place in range(1, min(GROUP, count - first)):
                source, up = factors[first + place], np.uint32(8 * place)
                for output in range(outputs):
                    target[output] |= (np.uint32((source[output] + signs ^ signs) >> down) & byte) << up
