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
from bfncodec.exact.tables import LOGIT_MAX
from bfncodec.models.graphics import regression
from bfncodec.models.graphics.canvas import Canvas
from bfncodec.models.graphics.predictors import BLEND, VIEWS, Predictors, look_up, pass_by, predictors, set_out, take_in
from bfncodec.models.graphics.regression import Regression, advance, look, said, tell, turn

Ints = NDArray[Any]

_EXACT = 14  # contexts of samples as they are
_FEW = 1  # of these, of samples of more than 8 bits
_NEAR = 9  # contexts of the distance to a prediction
_CONTEXTS = _EXACT + _NEAR
_FIRST = PER_CONTEXT * _CONTEXTS  # input of a prediction
_INPUTS = _FIRST + VIEWS + 1
_SETS = (4 * 16 * 8, 4 * 256, 4 * 16 * 16, 4 * 16 * 32)
_NODES, _WHERE, _WRONG = _SETS[0], _SETS[0] + _SETS[1], _SETS[0] + _SETS[1] + _SETS[2]  # where sets begin
_BIAS = 256
_RATE, _EARLY, _SOON = 10, 28, 8192  # of learning: in the end, more than that at first, and for how many pixels
_FAR = 40  # distances that are told apart

ORDERS = {1: (0,), 2: (1, 0), 3: (2, 1, 0), 4: (3, 1, 0, 2)}  # in which samples of a pixel are coded


class Escapes(NamedTuple):
    """What is learnt of them."""

    order: Ints  # int64 [channels]
    depth: int  # bits of a sample
    exact: int  # contexts of samples as they are that are used
    slots: Ints
    mixing: Mixing
    keys: Ints  # int64 [_EXACT]
    near: Ints  # int64 [_NEAR]: predictions
    places: Ints  # int64 [_CONTEXTS]
    spelled: Ints  # int64 [1]: pixels so far
    quick: Regression  # least squares of a small neighbourhood
    slow: Regression  # and of a larger one
    predictors: Predictors


def escapes(channels: int, depth: int, bits: int, width: int, row: int) -> Escapes:
    """Before the first pixel of images so wide; 2**bits contexts."""
    mixers = mixing(_INPUTS, _SETS, 4 * 16, 14, 250, 5000)
    mixers.weights[:, _FIRST : _FIRST + BLEND + 1] = 8000
    mixers.weights[:, _FIRST + BLEND] = 20000
    order = np.array(ORDERS[channels], np.int64)
    return Escapes(
        order, depth, _EXACT if depth <= 8 else _FEW, slots(bits), mixers,
        np.zeros(_EXACT, np.int64), np.zeros(_NEAR, np.int64), np.zeros(_CONTEXTS, np.int64),
        np.zeros(1, np.int64),
        regression.regression(order, width, row, 184, 184), regression.regression(order, width, row, 225, 225),
        predictors(channels, row),
    )  # fmt: skip


@compiled
def _logarithm(value: int, most: int) -> int:
    """Bits of a number, up to `most`."""
    bits = 0
    while value > 0 and bits < most:
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
    lean, other = 0, 0
    former = -1
    if number:
        before = own.order[number - 1]
        former = number - 1
        value = np.int64(samples[at, before])
        to_west, to_north = value - samples[at - 1, before], value - samples[at - row, before]
        lean = value - (np.int64(samples[at - 1, before]) + samples[at - row, before]) // 2
        other = to_west + to_north - (value - samples[at - row - 1, before])
        if before == 3:
            lean, other, to_west, to_north = 0, 0, 0, 0
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
    guess = own.predictors.said
    for place in range(4):
        guess[2 + place] = min(max(near[place], 0), most) << 4
    guess[6] = min(max((3 * (west + north) + northeast - northwest) * 16 // 6 + 16 * lean, 0), most << 4)
    guess[0] = min(max(said(own.quick, number), 0), most << 4)
    guess[1] = min(max(said(own.slow, number), 0), most << 4)
    spread = abs(west - northwest) + abs(north - northwest) + abs(north - northeast) + abs(west - far)
    set_out(own.predictors, at, row, number, former, 16 * (spread + abs(north - high)))
    near[6] = guess[0] + 8 >> 4
    near[7] = guess[1] + 8 >> 4
    near[8] = guess[BLEND] + 8 >> 4
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
    return _logarithm(spread * 255 // most if most > 255 else spread, 7)


@compiled
def spell(own: Escapes, canvas: Canvas, wire: Wire, at: int, x: int) -> None:
    """Code all samples of a pixel; writes them and its word."""
    known, word, mixing, guesses = 0, 0, own.mixing, own.predictors
    truth = canvas.words[at]
    look(own.quick, canvas, at, x)
    look(own.slow, canvas, at, x)
    ends = guesses.ends
    own.spelled[0] += 1
    mixing.ends[2] = _RATE + _EARLY * _SOON // (_SOON + own.spelled[0])
    for number in range(len(own.order)):
        channel = own.order[number]
        spread = _prepare(own, canvas, at, number, known)
        wanted, value = truth >> 16 * channel & 0xFFFF, 0
        for kind in range(VIEWS):
            ends[kind, 0] = look_up(guesses, kind, -8)
            ends[kind, 1] = look_up(guesses, kind, (16 << own.depth) - 8)
        noise = max((1 << 24) // guesses.inverse[BLEND] >> 4, 4)  # a quarter of the scale, 1/16 level, or so
        for done in range(own.depth):
            bit_place = own.depth - 1 - done
            node, point = 1 << done | value >> (bit_place + 1), value + (1 << bit_place)
            for kind in range(VIEWS):
                middle = look_up(guesses, kind, (point << 4) - 8)
                ends[kind, 2] = middle
                mixing.inputs[_FIRST + kind] = min(max(ends[kind, 0] - ends[kind, 1], -LOGIT_MAX), LOGIT_MAX)
            for context in range(own.exact):
                own.places[context] = find(own.slots, hashed(own.keys[context], node))
            for place in range(_NEAR):
                away = min(max(((point - own.near[place]) << 4) // max(noise, 16), -_FAR), _FAR) + _FAR
                kind = ((place * 4 + number) * 16 + bit_place) * 8
                own.places[_EXACT + place] = find(own.slots, hashed(kind + spread, away))
            for context in range(own.exact):
                opine(mixing, context, own.slots, own.places[context])
            for context in range(_EXACT, _CONTEXTS):
                opine(mixing, context, own.slots, own.places[context])
            mixing.inputs[_INPUTS - 1] = _BIAS
            width = _logarithm((guesses.inverse[BLEND] << bit_place + 4) >> 16, 15)
            z = ((point << 4) - 8 - guesses.said[BLEND]) * guesses.inverse[BLEND] >> 16
            which = number * 16 + width
            mixing.chosen[0] = which * 8 + spread
            mixing.chosen[1] = _NODES + number * 256 + (node if own.depth <= 8 else done << 4 | spread)
            mixing.chosen[2] = _WHERE + which * 16 + min(max(z // 32, -8), 7) + 8
            mixing.chosen[3] = _WRONG + which * 32 + min(guesses.widths[BLEND, 0] // 3, 31)
            mixing.ends[0] = which
            bit = decide(wire, mix(mixing), wanted >> bit_place & 1)
            adapt(mixing, bit)
            for context in range(own.exact):
                learn(mixing.curves, own.slots, own.places[context], bit)
            for context in range(_EXACT, _CONTEXTS):
                learn(mixing.curves, own.slots, own.places[context], bit)
            value |= bit << bit_place
            for kind in range(VIEWS):
                ends[kind, 1 - bit] = ends[kind, 2]
        canvas.samples[at, channel] = value
        word |= value << 16 * channel
        known = hashed(known, value)
        take_in(guesses, at, number, value)
        tell(own.quick, x, number, value)
        tell(own.slow, x, number, value)
    canvas.words[at] = word
    advance(own.quick, x)
    advance(own.slow, x)


@compiled
def skip(own: Escapes, at: int, x: int) -> None:
    """Note a pixel that was a candidate."""
    pass_by(own.predictors, at)
    own.quick.weights[x] = 0
    own.slow.weights[x] = 0


@compiled
def wrap(own: Escapes) -> None:
    """A row ends."""
    turn(own.quick)
    turn(own.slow)
