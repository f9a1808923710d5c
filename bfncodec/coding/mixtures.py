"""Probability mass functions as integer weights >= 1 that sum to 2**24.

Either side computes only the bounds that it needs: the encoder those of the value itself, the
decoder the eight that a search among the values 0 .. 255 looks at.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.ans import Coder, Ints, pop_between, push_intervals
from bfncodec.exact import tables
from bfncodec.exact.compiled import compiled
from bfncodec.exact.pmf import LEVELS, TOTAL, TOTAL_BITS

MEAN_BITS = 10  # means are in units of 2**-10 level
SCALE_MIN, SCALE_MAX = -32, 207  # 1/16 octave relative to 1/16 level
_PRODUCT_BITS = 16
_RATIO_RANGE = 80  # ratios of scales up to 2**5 either way
_ONE = 1 << tables.LOGISTIC_BITS
_DROP = tables.LOGISTIC_BITS + tables.WEIGHT_BITS - TOTAL_BITS
_WEIGHT_BITS, _LOGISTIC_BITS, _LOGISTIC_HALF = tables.WEIGHT_BITS, tables.LOGISTIC_BITS, tables.LOGISTIC_HALF


class Tables(NamedTuple):
    """What mixtures look up, int32."""

    logistic: Ints
    weights: Ints  # exp of logits
    limits: Ints  # 16 scales, 2**-10 level
    inverses: Ints  # 2**20 / scale, 1 / (1/16 level)
    ratios: Ints  # 2**(8 - i / 16) for i = -_RATIO_RANGE .. _RATIO_RANGE


@cache
def known_tables() -> Tables:
    steps = tables.OCTAVE_STEPS
    curves = (
        tables.logistic(),
        tables.exp_weights(),
        tables.octaves(SCALE_MIN, SCALE_MAX + 1, steps, MEAN_BITS),
        tables.octaves(-SCALE_MAX, 1 - SCALE_MIN, steps, _PRODUCT_BITS + 4)[::-1],
        tables.octaves(-_RATIO_RANGE, _RATIO_RANGE + 1, steps, 8)[::-1],
    )
    return Tables(*(np.ascontiguousarray(table).astype(np.int32) for table in curves))


class Mixtures:
    """n mixtures of k logistics over levels 0..255.

    parameters: int64 [n, 3, k]: logits, 1/16 nat; means, 2**-10 level; scales, 1/16 octave
    relative to 1/16 level, clipped to [SCALE_MIN, SCALE_MAX].
    """

    def __init__(self, parameters: NDArray[np.int64]) -> None:
        self.parts = np.empty((len(parameters), parameters.shape[2], 4), np.int32)
        _prepare_all(known_tables(), parameters, self.parts)

    @classmethod
    def of(cls, parts: NDArray[np.int32]) -> Mixtures:
        """Mixtures that have been made before, of their `parts` [n, k, 4]."""
        mixtures = cls.__new__(cls)
        mixtures.parts = parts
        return mixtures

    def __len__(self) -> int:
        return len(self.parts)

    def below(self, points: Ints) -> NDArray[np.int64]:
        """Cumulative weight below levels `points` [n or 1, p] in 0..256: int64 [n, p].

        1 at level 0 and 2**24 - 1 at level 256: a unit stays free at either end.
        """
        cumulative = np.empty((len(self), points.shape[1]), np.int64)
        _bounds(
            known_tables(),
            self.parts,
            np.ascontiguousarray(np.broadcast_to(points, cumulative.shape), np.int64),
            cumulative,
        )
        return cumulative

    def gradients(self, values: Ints, logs: Ints) -> NDArray[np.int64]:
        """Gradients of the cost of values int [n]: int64 [n, 3k], logits, means, log-scales.

        logs: int [n, k], log-scales relative to the scale that means are measured in, 1/16
        octave. Units: 2**-12 (log-scales: 2**-10) nat per nat of logit, scale of mean, nat of
        log-scale. Computed from the same table as the weights, in the closed form of the
        logistic function's derivatives.
        """
        gradients = np.empty((len(self), 3 * self.parts.shape[1]), np.int64)
        room = np.empty((2, self.parts.shape[1], 2), np.int64)
        _gradients(known_tables(), self.parts, values, logs, *room, gradients)
        return gradients

    def weights(self) -> NDArray[np.int64]:
        """The whole pmf, int64 [n, 256], sum 2**24 (the free units go to the end levels)."""
        weights = np.empty((len(self), LEVELS), np.int64)
        _weights(known_tables(), self.parts, weights, np.empty(LEVELS + 1, np.int64))
        return weights

    def intervals(self, values: Ints) -> NDArray[np.int64]:
        """What lies below values int [n], and their weights: int64 [n, 2]."""
        intervals = np.empty((len(self), 2), np.int64)
        _intervals(known_tables(), self.parts, np.ascontiguousarray(values, np.int64), intervals)
        return intervals

    def pop(self, coder: Coder) -> NDArray[np.int64]:
        """Pop values int64 [n]."""
        values = np.empty(len(self), np.int64)
        pop(known_tables(), self.parts, *coder.opened(), values)
        return values

    def push(self, coder: Coder, values: Ints) -> None:
        """Push values int [n] so that `pop` returns them."""
        push_intervals(coder, self.intervals(values))

    def cost(self, values: Ints) -> float:
        """Bits of values int [n]."""
        return float((TOTAL_BITS - np.log2(self.intervals(values)[:, 1])).sum())


@compiled
def _prepare_all(known: Tables, raw: Ints, parts: Ints) -> None:
    for index in range(len(parts)):
        prepare(known, raw[index], parts[index])


@compiled
def prepare(known: Tables, raw: Ints, parts: Ints) -> None:
    """(logits, means, scales) int64 [3, k] -> (share, mean, limit, inverse) int32 [k, 4]."""
    count, top, total = len(parts), raw[0, 0], 0
    for j in range(1, count):
        top = max(top, raw[0, j])
    for j in range(count):
        share = known.weights[min(top - raw[0, j], len(known.weights) - 1)]
        scale = min(max(raw[2, j], SCALE_MIN), SCALE_MAX) - SCALE_MIN
        parts[j, 0] = share
        parts[j, 1] = raw[1, j]
        parts[j, 2] = known.limits[scale]
        parts[j, 3] = known.inverses[scale]
        total += share
    left = 1 << _WEIGHT_BITS
    for j in range(count):
        share = (parts[j, 0] << _WEIGHT_BITS) // total
        parts[j, 0] = share
        left -= share
    parts[0, 0] += left


@compiled
def _argument(part: Ints, point: int) -> int:
    """Index into the logistic table of the lower edge of level `point`."""
    offset = (point << MEAN_BITS) - (1 << MEAN_BITS - 1) - part[1]
    offset = min(max(offset, -part[2]), part[2])
    return min(max((offset * part[3] >> _PRODUCT_BITS) + _LOGISTIC_HALF, 0), 2 * _LOGISTIC_HALF - 1)


@compiled
def _bound(total: int, point: int) -> int:
    """Cumulative weight below an inner level, of shares times values of the logistic function."""
    total >>= _DROP
    return total - (total >> 15) + point + 1


@compiled
def below(known: Tables, parts: Ints, point: int) -> int:
    """Cumulative weight below a level, under the mixture of parts [k, 4]."""
    if point == 0:
        return 1
    if point == LEVELS:
        return TOTAL - 1
    total = 0
    for j in range(len(parts)):
        total += parts[j, 0] * known.logistic[_argument(parts[j], point)]
    return _bound(total, point)


@compiled
def _bounds(known: Tables, parts: Ints, points: Ints, out: Ints) -> None:
    for index in range(out.shape[0]):
        for at in range(out.shape[1]):
            out[index, at] = below(known, parts[index], points[index, at])


@compiled
def _weights(known: Tables, parts: Ints, out: Ints, total: Ints) -> None:
    """`Mixtures.weights`; total: room int64 [257]. Most levels are where a logistic has come to its end."""
    for index in range(len(out)):
        for point in range(LEVELS + 1):
            total[point] = 0
        for j in range(parts.shape[1]):
            part = parts[index, j]
            share = np.int64(part[0])
            first = min(max((part[1] - part[2] >> MEAN_BITS) - 1, 0), LEVELS + 1)
            last = min(max((part[1] + part[2] >> MEAN_BITS) + 3, first), LEVELS + 1)
            left = share * known.logistic[_argument(part, -LEVELS)]
            right = share * known.logistic[_argument(part, 2 * LEVELS)]
            for point in range(first):
                total[point] += left
            for point in range(first, last):
                total[point] += share * known.logistic[_argument(part, point)]
            for point in range(last, LEVELS + 1):
                total[point] += right
        before = 0
        for point in range(1, LEVELS + 1):
            bound = _bound(total[point], point) if point < LEVELS else TOTAL
            out[index, point - 1] = bound - before
            before = bound


@compiled
def _intervals(known: Tables, parts: Ints, values: Ints, out: Ints) -> None:
    for index in range(len(out)):
        interval(known, parts[index], values[index], out[index])


@compiled
def interval(known: Tables, parts: Ints, value: int, out: Ints) -> None:
    """What lies below a value under the mixture of parts [k, 4], and its weight: [2]."""
    low = below(known, parts, value)
    out[0], out[1] = low, below(known, parts, value + 1) - low


@compiled
def pop(known: Tables, parts: Ints, stack: Ints, words: Ints, out: Ints) -> None:
    """Pop values int64 [n] of mixtures [n, k, 4] by bisection."""
    for index in range(len(out)):
        wanted = np.int64(stack[0] & np.uint64(TOTAL - 1))
        one = parts[index]
        first, last = 0, LEVELS
        low, high = 1, TOTAL - 1
        # Most values are near the mean of one of the logistics: from there outwards, then in halves.
        middle, step = min(max(one[0, 1] >> MEAN_BITS, 1), LEVELS - 1), (one[0, 2] >> MEAN_BITS + 4) + 1
        while last - first > 1:
            bound = below(known, one, middle)
            if bound <= wanted:
                first, low = middle, bound
            else:
                last, high = middle, bound
            if step and (first == 0 or last == LEVELS):
                middle = min(max(first + step if last == LEVELS else last - step, 1), LEVELS - 1)
                step *= 2
                if first < middle < last:
                    continue
            step = 0
            middle = (first + last) // 2
        out[index] = first
        pop_inside(stack, words, wanted, low, high)


@compiled
def pop_inside(stack: Ints, words: Ints, wanted: int, low: int, high: int) -> None:
    """Pop the value from low to high, or the free unit that `wanted` stands for in damaged data."""
    if wanted == 0:
        low, high = 0, 1
    elif wanted == TOTAL - 1:
        low, high = TOTAL - 1, TOTAL
    pop_between(stack, words, low, high - low)


@compiled
def _gradients(known: Tables, parts: Ints, values: Ints, logs: Ints, arguments: Ints, edges: Ints, out: Ints) -> None:
    for index in range(len(out)):
        gradient(known, parts[index], values[index], logs[index], arguments, edges, out[index])


@compiled
def gradient(known: Tables, parts: Ints, value: int, logs: Ints, arguments: Ints, edges: Ints, out: Ints) -> None:
    """`Mixtures.gradients` of the mixture of parts [k, 4]; arguments and edges: room int64 [k, 2]."""
    count, total = len(parts), 64
    for j in range(count):
        for side in range(2):
            arguments[j, side] = _argument(parts[j], value + side)
            edges[j, side] = known.logistic[arguments[j, side]]
        if value == 0:
            edges[j, 0] = 0
        if value == LEVELS - 1:
            edges[j, 1] = _ONE
        total += parts[j, 0] * (edges[j, 1] - edges[j, 0])
    whole = 0
    for j in range(count):
        whole += (parts[j, 0] * (edges[j, 1] - edges[j, 0]) << 12) // total
    for j in range(count):
        share, low, high = np.int64(parts[j, 0]), edges[j, 0], edges[j, 1]
        part = (share * (high - low) << 12) // total
        ratio = known.ratios[min(max(logs[j] + _RATIO_RANGE, 0), 2 * _RATIO_RANGE)]
        slope = (arguments[j, 1] - _LOGISTIC_HALF) * (high * (_ONE - high) >> _LOGISTIC_BITS)
        slope -= (arguments[j, 0] - _LOGISTIC_HALF) * (low * (_ONE - low) >> _LOGISTIC_BITS)
        out[j] = (share * whole >> _WEIGHT_BITS) - part
        out[count + j] = -(part * (high + low - _ONE) >> _LOGISTIC_BITS) * ratio >> 8
        out[2 * count + j] = share * slope // total
