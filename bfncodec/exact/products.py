"""Products of unsigned by signed bytes, summed in int32: compiled for the processor at hand, without threads.

AVX-512 VNNI multiplies and adds four bytes at once, without saturation (`vpdpbusd`); AVX2 pairs of
int16 (`vpmaddwd`); elsewhere plain vectors do. All give the same sums, which must lie within int32.
NUMBA_CPU_NAME and NUMBA_CPU_FEATURES choose another processor's instructions.

Weights are packed so that a tile reads them in order: int8 [blocks, groups, BLOCK, GROUP],
blocks of outputs, and within a block four inputs of each of its outputs side by side.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact import code_cache
from bfncodec.exact.compiled import DISABLED, Inline, compiled, room, shaped

Array = NDArray[Any]

BLOCK = 64  # outputs of a tile
GROUP = 4  # inputs that one instruction takes
LANES = 16  # outputs of a vector of sums
_TILE = GROUP * BLOCK
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


_ROWS, _VECTORS = _TILES.get(instructions(), (1, 1))


def _tile(rows: int) -> Any:
    from bfncodec.exact import tiles

    return tiles.tile(instructions(), rows, _VECTORS)


_tall, _flat = Inline(lambda: _tile(_ROWS)), Inline(lambda: _tile(1))


def _fast(values: Array, weights: Array, sums: Array) -> None:
    """Sums int32 [n, blocks * BLOCK] of values uint8 [n, groups * GROUP or more] times packed weights."""
    blocks, groups = weights.shape[:2]
    stride, width, step = values.strides[0], sums.strides[0], _VECTORS * LANES
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


def long_product(values: Array, factors: Array, planes: int) -> NDArray[np.int64]:
    """values uint8 [m, n], rows contiguous, times factors int64 [n, k] of so many signed bytes: int64 [m, k].

    n: at most 2**16; what follows it in rows, up to a multiple of GROUP, must be there to be read.
    """
    total = np.empty((len(values), factors.shape[1]), np.int64)
    put_long_product(values, len(values), factors, len(factors), planes, *room_for(len(values), factors, planes), total)
    return total


def room_for(rows: int, factors: Array, planes: int) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    """Words and sums that `put_long_product` needs for values of so many rows, or fewer."""
    blocks, groups = -(-factors.shape[1] // BLOCK), -(-len(factors) // GROUP)
    return np.zeros((planes, blocks, groups, BLOCK), np.uint32), np.empty((rows, planes * blocks * BLOCK), np.int32)


@compiled
def put_long_product(
    values: Array, rows: int, factors: Array, count: int, planes: int, words: Array, sums: Array, total: Array
) -> None:
    """`long_product` of so many rows of values and so many first rows of factors, to `total`; `room_for` the rest."""
    groups, columns = -(-count // GROUP), factors.shape[1]
    blocks = -(-columns // BLOCK)
    cut = shaped(words, 0, np.uint32, (planes, blocks, groups, BLOCK))
    _cut(factors[:count], cut)
    product(values[:rows], shaped(words, 0, np.int8, (planes * blocks, groups, BLOCK, GROUP)), sums)
    for row in range(rows):
        target, source = total[row], sums[row]
        for column in range(columns):
            target[column] = 0
        for plane in range(planes - 1, -1, -1):
            start = plane * blocks * BLOCK
            for column in range(columns):
                target[column] = (target[column] << 8) + source[start + column]


@compiled
def _cut(factors: Array, words: Array) -> None:
    """Signed bytes of factors [n, k], low to high, as packed weights, a group a word: [planes, blocks, groups, BLOCK].

    Groups are filled with zeros.
    """
    planes, blocks, groups = words.shape[:3]
    signs = 0  # added and taken away bit by bit, this makes every byte of a number a signed one
    for plane in range(planes):
        signs |= 128 << 8 * plane
    four, byte = shaped(room(_TILE, np.uint32), 0, np.uint32, (GROUP, BLOCK)), np.uint32(255)
    four[:] = 0
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
