"""Probability mass functions as integer weights >= 1 that sum to 2**24.

Values of 0..255 are coded in two symbols, the upper and the lower four bits: two rows of
16 cost less time than one of 256. The encoder needs only the bounds of the symbol itself
and pushes three-entry rows (below, symbol, above); the coder cannot tell the difference.
"""

from __future__ import annotations

from copy import copy
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.ans import Coder
from bfncodec.exact import tables
from bfncodec.exact.kernels import clip
from bfncodec.exact.pmf import LEVELS, TOTAL, TOTAL_BITS
from bfncodec.flow.loss import surprise

Ints = NDArray[Any]

HALF = 16  # symbols of either half
MEAN_BITS = 10  # means are in units of 2**-10 level
SCALE_MIN, SCALE_MAX = -32, 207  # 1/16 octave relative to 1/16 level
_PRODUCT_BITS = 16
_INNER = TOTAL - HALF - 2  # what the lower half's weights share beyond one each


class Mixtures:
    """n mixtures of logistics over levels 0..255.

    logits: int [n, k], 1/16 nat; means: int32 [n, k], 2**-10 level; scales: int [n, k], 1/16
    octave relative to 1/16 level, clipped to [SCALE_MIN, SCALE_MAX].
    """

    _limits = tables.octaves(SCALE_MIN, SCALE_MAX + 1, tables.OCTAVE_STEPS, MEAN_BITS)  # 16 scales, 2**-10 level
    _inverses = tables.octaves(-SCALE_MAX, 1 - SCALE_MIN, tables.OCTAVE_STEPS, _PRODUCT_BITS + 4)[::-1]

    def __init__(self, logits: Ints, means: Ints, scales: Ints) -> None:
        index = clip(scales.T, SCALE_MIN, SCALE_MAX) - SCALE_MIN
        self.means = np.ascontiguousarray(means.T)[:, :, None].astype(np.int32)
        self.limits = self._limits.astype(np.int32)[index][:, :, None]
        self.inverses = self._inverses.astype(np.int32)[index][:, :, None]
        distance = logits.max(axis=1, keepdims=True) - logits
        table = tables.exp_weights()
        raw = table[np.minimum(distance, len(table) - 1)]
        shares = (raw << tables.WEIGHT_BITS) // raw.sum(axis=1, keepdims=True)
        shares[:, 0] += (1 << tables.WEIGHT_BITS) - shares.sum(axis=1)
        self.shares = np.ascontiguousarray(shares.T)[:, :, None].astype(np.int32)
        self.logistic = _logistic32()

    def __len__(self) -> int:
        return int(self.means.shape[1])

    def below(self, points: Ints) -> NDArray[np.int32]:
        """Cumulative weight below levels `points` [n or 1, p] in 0..256: int32 [n, p].

        1 at level 0 and 2**24 - 1 at level 256: a unit stays free at either end.
        """
        masses = self.logistic.take(self._arguments(points))
        masses *= self.shares
        total = masses.sum(axis=0, dtype=np.int32)
        total >>= tables.LOGISTIC_BITS + tables.WEIGHT_BITS - TOTAL_BITS
        total -= total >> 15
        total += points.astype(np.int32) + 1
        total[np.broadcast_to(points == 0, total.shape)] = 1
        total[np.broadcast_to(points == LEVELS, total.shape)] = TOTAL - 1
        return total

    def _arguments(self, points: Ints) -> NDArray[np.int32]:
        """Indices into the logistic table of the lower edges of levels `points`: int32 [k, n, p]."""
        offset = ((points << MEAN_BITS) - (1 << MEAN_BITS - 1)).astype(np.int32)[None] - self.means
        np.maximum(offset, -self.limits, out=offset)
        np.minimum(offset, self.limits, out=offset)
        offset *= self.inverses
        offset >>= _PRODUCT_BITS
        offset += tables.LOGISTIC_HALF
        np.maximum(offset, 0, out=offset)
        np.minimum(offset, 2 * tables.LOGISTIC_HALF - 1, out=offset)
        return offset

    def gradients(self, values: Ints, logs: Ints) -> NDArray[np.int64]:
        """Gradients of the cost of values int [n]: int64 [n, 3k], logits, means, log-scales.

        logs: int [n, k], log-scales relative to the scale that means are measured in, 1/16
        octave. Units: 2**-12 (log-scales: 2**-10) nat per nat of logit, scale of mean, nat of
        log-scale. Computed from the same table as the weights, in the closed form of the
        logistic function's derivatives.
        """
        one = 1 << tables.LOGISTIC_BITS
        points = values.astype(np.int64)[:, None] + np.arange(2)
        arguments = self._arguments(points).astype(np.int64)
        edges = self.logistic.take(arguments).astype(np.int64)
        edges[:, :, 0][:, values == 0] = 0
        edges[:, :, 1][:, values == LEVELS - 1] = one
        shares = self.shares[:, :, 0].astype(np.int64)
        masses = shares * (edges[:, :, 1] - edges[:, :, 0])
        total = masses.sum(axis=0) + 64
        parts = (masses << 12) // total
        logits = (shares * parts.sum(axis=0) >> tables.WEIGHT_BITS) - parts
        ratio = _ratios().take(logs.T + _RATIO_RANGE, mode="clip")
        means = -(parts * (edges[:, :, 1] + edges[:, :, 0] - one) >> tables.LOGISTIC_BITS) * ratio >> 8
        slopes = (arguments - tables.LOGISTIC_HALF) * (edges * (one - edges) >> tables.LOGISTIC_BITS)
        scales = shares * (slopes[:, :, 1] - slopes[:, :, 0]) // total
        return np.concatenate([logits, means, scales]).T

    @staticmethod
    def joined(parts: list[Mixtures]) -> Mixtures:
        """Several batches of mixtures as one."""
        whole = copy(parts[0])
        for name in ("means", "limits", "inverses", "shares"):
            setattr(whole, name, np.concatenate([getattr(part, name) for part in parts], axis=1))
        return whole

    def weights(self) -> NDArray[np.int64]:
        """The whole pmf, int64 [n, 256], sum 2**24 (the free units go to the end levels)."""
        bounds = self.below(np.arange(LEVELS + 1)[None]).astype(np.int64)
        bounds[:, 0], bounds[:, -1] = 0, TOTAL
        return np.diff(bounds, axis=1)

    def triples(self, values: Ints) -> NDArray[np.int64]:
        """Rows (below, symbol, above) of the upper and lower half: int64 [n, 2, 3]."""
        values = values.astype(np.int64)[:, None]
        start = values // HALF * HALF
        points = np.concatenate([start, start + HALF, values, values + 1], axis=1)
        low, high, inner, outer = self.below(points).astype(np.int64).T
        width = high - low
        lower = 1 + values[:, 0] % HALF + (inner - low) * _INNER // width
        upper = 2 + values[:, 0] % HALF + (outer - low) * _INNER // width
        rows = [low, high - low, TOTAL - high, lower, upper - lower, TOTAL - upper]
        return np.stack(rows, axis=1).reshape(-1, 2, 3)

    def pop(self, coder: Coder) -> NDArray[np.int32]:
        """Pop values int32 [n]: all upper halves, then all lower halves."""
        bounds = self.below(np.arange(0, LEVELS + 1, HALF)[None])
        upper = coder.pop(_with_ends(bounds)) - 1
        upper = clip(upper, 0, HALF - 1)
        start = upper[:, None] * HALF
        inner = self.below(start + np.arange(HALF + 1)).astype(np.int64)
        inner -= inner[:, :1].copy()
        bounds = np.arange(1, HALF + 2) + inner * _INNER // inner[:, -1:]
        lower = coder.pop(_with_ends(bounds)) - 1
        values: NDArray[np.int32] = start[:, 0] + clip(lower, 0, HALF - 1)
        return values

    def push(self, coder: Coder, values: Ints) -> None:
        """Push values int [n] so that `pop` returns them."""
        rows = self.triples(values).transpose(1, 0, 2).reshape(-1, 3)
        coder.push(np.ones(len(rows), np.int32), rows)

    def cost(self, values: Ints) -> float:
        """Bits of values int [n]."""
        return float((TOTAL_BITS - np.log2(self.triples(values)[:, :, 1])).sum())


class Table:
    """Any pmfs: weights int64 [n, K]."""

    def __init__(self, weights: NDArray[np.int64]) -> None:
        self.made = weights

    def weights(self) -> NDArray[np.int64]:
        """Pmfs [n, K]."""
        return self.made

    def push(self, coder: Coder, values: Ints) -> None:
        """Push symbols [n]."""
        coder.push(values, self.made)

    def pop(self, coder: Coder) -> NDArray[np.uint8]:
        """Pop symbols [n], below 256."""
        return coder.pop(self.made).astype(np.uint8)

    def cost(self, values: Ints) -> float:
        """Bits of symbols [n]."""
        return surprise(self.made, values)


def _with_ends(bounds: Ints) -> NDArray[np.int64]:
    """Bounds 1 .. 2**24 - 1 [n, k + 1] -> weights [n, k + 2] with the free units as symbols."""
    rows = np.empty((len(bounds), bounds.shape[1] + 1), np.int64)
    rows[:, 0] = rows[:, -1] = 1
    np.subtract(bounds[:, 1:], bounds[:, :-1], out=rows[:, 1:-1])
    return rows


_RATIO_RANGE = 80  # ratios of scales up to 2**5 either way


@cache
def _ratios() -> NDArray[np.int64]:
    """2**(8 - i / 16) for i = -_RATIO_RANGE .. _RATIO_RANGE."""
    return tables.octaves(-_RATIO_RANGE, _RATIO_RANGE + 1, tables.OCTAVE_STEPS, 8)[::-1]


_table: list[NDArray[np.int32]] = []


def _logistic32() -> NDArray[np.int32]:
    if not _table:
        _table.append(tables.logistic().astype(np.int32))
    return _table[0]
