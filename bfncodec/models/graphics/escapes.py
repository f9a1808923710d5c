"""Pixels that are no candidates, sample by sample and bit by bit, from neighbours' samples."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.decisions import (
    PER_CONTEXT,
    Mixing,
    Wire,
    adapt,
    decide,
    find,
    hashed,
    learn,
    mix,
    mixing,
    opine,
    slots,
)
from bfncodec.exact.compiled import compiled
from bfncodec.models.graphics.canvas import Canvas

Ints = NDArray[Any]

_EXACT = 14  # contexts of samples as they are
_NEAR = 6  # contexts of the distance to a prediction
_CONTEXTS = _EXACT + _NEAR
_INPUTS = PER_CONTEXT * _CONTEXTS + 1
_SETS = (4 * 16 * 8, 4 * 256, 4 * 16 * 4)
_BIAS = 256
_FAR = 40  # distances that are told apart

ORDERS = {1: (0,), 2: (1, 0), 3: (1, 0, 2), 4: (3, 1, 0, 2)}  # in which samples of a pixel are coded


class Escapes(NamedTuple):
    """What is learnt of them."""

    order: Ints  # int64 [channels]
    depth: int  # bits of a sample
    slots: Ints
    mixing: Mixing
    keys: Ints  # int64 [_EXACT]
    near: Ints  # int64 [_NEAR]: predictions
    places: Ints  # int64 [_CONTEXTS]


def escapes(channels: int, depth: int, bits: int) -> Escapes:
    """Before the first pixel; 2**bits contexts."""
    return Escapes(
        np.array(ORDERS[channels], np.int64), depth, slots(bits),
        mixing(_INPUTS, _SETS, 4 * 16, 14, 250, 12000),
        np.zeros(_EXACT, np.int64), np.zeros(_NEAR, np.int64), np.zeros(_CONTEXTS, np.int64),
    )  # fmt: skip


@compiled
def _logarithm(value: int) -> int:
    """Bits of a number, up to 7."""
    bits = 0
    while value > 0 and bits < 7:
        value >>= 1
        bits += 1
    return bits


@compiled
def _prepare(own: Escapes, canvas: Canvas, at: int, number: int, known: int) -> int:
    """Keys and predictions of a sample; a measure of how much neighbours differ."""
    samples, row, channel = canvas.samples, canvas.row, own.order[number]
    west, north = np.int64(samples[at - 1, channel]), np.int64(samples[at - row, channel])
    northwest, northeast = np.int64(samples[at - row - 1, channel]), np.int64(samples[at - row + 1, channel])
    far, high = np.int64(samples[at - 2, channel]), np.int64(samples[at - 2 * row, channel])
    keys, near, most = own.keys, own.near, (1 << own.depth) - 1
    seed = hashed(31, number)
    words = canvas.words
    left = hashed(hashed(seed, words[at - 1] & 0xFFFFFFFF), words[at - 1] >> 32)
    above = hashed(hashed(seed, words[at - row] & 0xFFFFFFFF), words[at - row] >> 32)
    gone, lean, other = 0, 0, 0
    if number:
        before = own.order[number - 1]
        value = np.int64(samples[at, before])
        to_west, to_north = value - samples[at - 1, before], value - samples[at - row, before]
        lean = value - (np.int64(samples[at - 1, before]) + samples[at - row, before]) // 2
        other = to_west + to_north - (value - samples[at - row - 1, before])
        gone = to_west
        if before == 3:
            gone, lean, other, to_west, to_north = 0, 0, 0, 0, 0
        near[1] = west + to_west
        near[2] = north + to_north
    else:
        near[1] = west
        near[2] = north
    gradient = west + north - northwest
    near[0] = gradient + other
    near[3] = (west + north) // 2 + lean
    near[4] = gradient
    near[5] = (3 * (west + north) + northeast - northwest) // 6 + lean
    for place in range(_NEAR):
        near[place] = min(max(near[place], 0), most)
    keys[0] = hashed(seed, known)
    keys[1] = hashed(hashed(left, known), 1)
    keys[2] = hashed(hashed(above, known), 2)
    keys[3] = hashed(hashed(left, above), 3)
    keys[4] = hashed(hashed(hashed(left, above), known), 4)
    keys[5] = hashed(hashed(hashed(seed, west), north), 5)
    keys[6] = hashed(hashed(hashed(hashed(seed, west), north), northwest), 6)
    keys[7] = hashed(hashed(hashed(seed, near[0]), min(abs(west - north), 63)), 7)
    keys[8] = hashed(hashed(hashed(seed, near[1]), near[2]), 8)
    keys[9] = hashed(hashed(hashed(seed, near[3]), known & 0xFF), 9)
    keys[10] = hashed(hashed(hashed(seed, north), northeast), 10)
    keys[11] = hashed(hashed(hashed(seed, west), far), 11)
    keys[12] = hashed(seed, 12)
    keys[13] = hashed(hashed(hashed(seed, north), high), 13)
    spread = abs(west - northwest) + abs(north - northwest) + abs(north - northeast) + abs(west - far)
    return _logarithm(spread * 255 // most if most > 255 else spread)


@compiled
def spell(own: Escapes, canvas: Canvas, wire: Wire, at: int) -> None:
    """Code all samples of a pixel; writes them and its word."""
    known, word, mixing = 0, 0, own.mixing
    truth = canvas.words[at]
    for number in range(len(own.order)):
        channel = own.order[number]
        spread = _prepare(own, canvas, at, number, known)
        wanted, value = truth >> 16 * channel & 0xFFFF, 0
        for done in range(own.depth):
            bit_place = own.depth - 1 - done
            node, point = 1 << done | value >> (bit_place + 1), value + (1 << bit_place)
            for context in range(_EXACT):
                own.places[context] = find(own.slots, hashed(own.keys[context], node))
            for place in range(_NEAR):
                away = min(max(point - own.near[place], -_FAR), _FAR) + _FAR
                kind = ((place * 4 + number) * 16 + bit_place) * 8
                own.places[_EXACT + place] = find(own.slots, hashed(kind + spread, away))
            for context in range(_CONTEXTS):
                opine(mixing, context, own.slots, own.places[context])
            mixing.inputs[_INPUTS - 1] = _BIAS
            which = number * 16 + bit_place
            mixing.chosen[0] = which * 8 + spread
            mixing.chosen[1] = 4 * 16 * 8 + number * 256 + (node if own.depth <= 8 else done << 4 | spread)
            mixing.chosen[2] = 4 * 16 * 8 + 4 * 256 + which * 4 + min(abs(point - own.near[0]) >> bit_place, 3)
            mixing.ends[0] = which
            bit = decide(wire, mix(mixing), wanted >> bit_place & 1)
            adapt(mixing, bit)
            for context in range(_CONTEXTS):
                learn(mixing.curves, own.slots, own.places[context], bit)
            value |= bit << bit_place
        canvas.samples[at, channel] = value
        word |= value << 16 * channel
        known = hashed(known, value)
    canvas.words[at] = word
