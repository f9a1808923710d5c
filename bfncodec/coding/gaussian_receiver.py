"""Receivers of Gaussian views on fine grids, symbol by symbol in compiled code.

The receiver's pmf of a view has a thousand symbols and more where the noise is small, though the coder needs the bounds
of only one. They are computed where they are asked for: the same integers as `GaussianSender.receiver`.
"""

from typing import NamedTuple

import numpy as np

from bfncodec.coding.ans import Coder, Ints, pop_between
from bfncodec.exact.compiled import compiled
from bfncodec.exact.pmf import TOTAL, TOTAL_BITS
from bfncodec.flow.sender import GaussianSender


class Grid(NamedTuple):
    """A sender's grid, for compiled code."""

    sums: Ints  # int64 [width, rows]: cumulative weights of the noise; rows are a power of two
    unit: int  # log2, as the next
    spacing: int
    levels: int
    symbols: int  # of the receiver


class Receiver:
    """Pushes and pops views under the receiver that p_O weights [n, levels] imply."""

    def __init__(self, sender: GaussianSender) -> None:
        step, table = sender.step, sender.table
        last = (step.levels - 1) * step.unit // step.spacing
        sums = np.ascontiguousarray(table.cumsum(axis=1).T)
        unit, spacing = step.unit.bit_length() - 1, step.spacing.bit_length() - 1
        self.grid = Grid(sums, unit, spacing, step.levels, last + table.shape[1])

    def push(self, coder: Coder, symbols: Ints, output: Ints) -> None:
        """Push receiver symbols int [n]."""
        below, next_ = self.bounds(symbols, 1, output).T
        width, above = next_ - below, TOTAL - next_
        # Three entries a row, none of them empty: at either end the rest is cut in two anywhere.
        place = np.where(below == 0, 0, np.where(above == 0, 2, 1))
        rows = np.stack([below, width, above], axis=1)
        first, last = place == 0, place == 2
        rows[first] = np.stack([width, np.ones_like(width), above - 1], axis=1)[first]
        rows[last] = np.stack([np.ones_like(width), below - 1, width], axis=1)[last]
        coder.push(place, rows)

    def pop(self, coder: Coder, output: Ints) -> Ints:
        """Pop receiver symbols int64 [n]."""
        symbols = np.empty(len(output), np.int64)
        _pop(self.grid, _sums(output), output.astype(np.int64), *coder.opened(), symbols)
        return symbols

    def bounds(self, first: Ints, count: int, output: Ints) -> Ints:
        """Cumulative weights below the symbols first, first + 1, ..., first + count: int64 [n, count + 1]."""
        bounds = np.empty((len(first), count + 1), np.int64)
        _bounds(self.grid, _sums(output), output.astype(np.int64), first.astype(np.int64), bounds)
        return bounds


def _sums(output: Ints) -> Ints:
    """Weights below every level, int64 [n, levels + 1]."""
    sums = np.zeros((len(output), output.shape[1] + 1), np.int64)
    output.cumsum(axis=1, out=sums[:, 1:])
    return sums


@compiled
def _below(grid: Grid, sums: Ints, weights: Ints, symbol: int) -> int:
    """Cumulative weight of the symbols below `symbol`, one extra unit each, as `exact.pmf.normalise` gives it."""
    if symbol == 0:
        return 0
    last, width = symbol - 1, grid.sums.shape[0]
    # Values whose whole noise lies below, then those of which a part does.
    whole = min(max(-(-((last - width + 2) << grid.spacing) >> grid.unit), 0), grid.levels)
    part = min(-(-((last + 1) << grid.spacing) >> grid.unit), grid.levels)
    total = sums[whole] << TOTAL_BITS
    rows = grid.sums.shape[1] - 1
    for value in range(whole, part):
        place = last - (value << grid.unit >> grid.spacing)
        total += weights[value] * grid.sums[place, value & rows]
    return ((total >> TOTAL_BITS) * (TOTAL - grid.symbols) >> TOTAL_BITS) + symbol


@compiled
def _bounds(grid: Grid, sums: Ints, weights: Ints, first: Ints, out: Ints) -> None:
    for index in range(out.shape[0]):
        for at in range(out.shape[1]):
            out[index, at] = _below(grid, sums[index], weights[index], first[index] + at)


@compiled
def _pop(grid: Grid, sums: Ints, weights: Ints, stack: Ints, words: Ints, out: Ints) -> None:
    for index in range(len(out)):
        wanted = np.int64(stack[0] & np.uint64(TOTAL - 1))
        low, high = 0, grid.symbols
        below, above = 0, TOTAL
        while high - low > 1:
            middle = (low + high) // 2
            bound = _below(grid, sums[index], weights[index], middle)
            if bound <= wanted:
                low, below = middle, bound
            else:
                high, above = middle, bound
        pop_between(stack, words, below, above - below)
        out[index] = low
