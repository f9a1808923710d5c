"""Blocks whose coefficients do not give their pixels: others are sought that do. For encoders only."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.compiled import compiled, room
from bfncodec.jpeg.pixels import Filling, filled, inverse_block
from bfncodec.jpeg.transform import BASIS

Array = NDArray[Any]

FREE = 1.0e6  # of a bound that is none
_MOVES = 24  # changes of a block that are made one after another
_PAIRS = 16  # changes that are tried two at a time
_TURNS = 6  # guesses of a block, the later ones with more choices
_LONG = 16  # blocks that may take all of them, besides some of an image
_FEW, _KEPT = 32, 256  # choices that go on side by side
_CHANGED = 8  # of them that are changed at the end
_TRIED = 12  # changes of a block of samples that are tried
_ROUNDING = 1 / 12  # variance of a number that was rounded


class Work(NamedTuple):
    """Room for a block."""

    basis: Array  # float64 [64, 64]: frequency, place
    light: Array  # float64 [64]: what the coefficients give
    gains: Array  # float64 [128]: costs after changes
    mean: Array  # float64 [64]
    spread: Array  # float64 [64, 64]: covariances
    trial: Array  # uint8 [8, 8]
    means: Array  # float64 [2, _KEPT, 64]: of coefficients, given those that were chosen; before and after a choice
    costs: Array  # float64 [2, _KEPT]
    chosen: Array  # int16 [2, _KEPT, 64]
    times: Array  # float64 [_KEPT]
    origins: Array  # int64 [_KEPT]


def _work() -> Work:
    return Work(
        BASIS, np.zeros(64), np.zeros(128), np.zeros(64), np.zeros((64, 64)), np.zeros((8, 8), np.uint8),
        np.zeros((2, _KEPT, 64)), np.zeros((2, _KEPT)), np.zeros((2, _KEPT, 64), np.int16), np.zeros(_KEPT),
        np.zeros(_KEPT, np.int64),
    )  # fmt: skip


def mend(values: Array, steps: Array, least: Array, most: Array, plane: Array) -> int:
    """Better coefficients int16 [rows, columns, 64] for a plane uint8 [8 * rows, 8 * columns] that they give.

    least, most: float64, as the plane: what numbers before rounding may be; +-FREE where all may be. Returns how many
    blocks stay wrong.
    """
    return int(_mend(values, steps, least, most, plane, _LONG + values.shape[0] * values.shape[1] // 32, _work()))


@compiled
def _mend(values: Array, steps: Array, least: Array, most: Array, plane: Array, longer: int, work: Work) -> int:
    """longer: how many blocks may take a long time."""
    count = 0
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            y, x = 8 * row, 8 * column
            low, high, own = least[y : y + 8, x : x + 8], most[y : y + 8, x : x + 8], plane[y : y + 8, x : x + 8]
            if _wrong(own, low, high) == 0:
                continue
            block = values[row, column]
            if not _solved(block, steps, low, high, own, _TURNS if count < longer else 3, work):
                count += 1
    return count


@compiled
def _wrong(own: Array, low: Array, high: Array) -> int:
    """How many pixels of a block are outside their bounds."""
    count = 0
    for y in range(8):
        for x in range(8):
            if own[y, x] < low[y, x] or own[y, x] > high[y, x]:
                count += 1
    return count


@compiled
def _solved(block: Array, steps: Array, low: Array, high: Array, own: Array, turns: int, work: Work) -> bool:
    """Coefficients that fit, if some are found; `own` becomes what they give."""
    known = 0
    for y in range(8):
        for x in range(8):
            if high[y, x] - low[y, x] < 1.5:
                known += 1
    if known == 64 and _descended(block, steps, low, high, own, work):
        return True
    for turn in range(turns):
        if known == 64 and turn % 3:
            continue
        _condition(steps, low, high, turn % 3, work)
        if _guessed(block, steps, low, high, own, _FEW if turn < 3 else _KEPT, work):
            return True
        _light(block, steps, work)
    return False


@compiled
def _descended(block: Array, steps: Array, low: Array, high: Array, own: Array, work: Work) -> bool:
    """Change after change, each the best; whether that ends with coefficients that fit."""
    for _ in range(_MOVES):
        inverse_block(block, steps, own, 0, 0)
        if _wrong(own, low, high) == 0:
            return True
        if not _moved(block, steps, low, high, work):
            return False
    return False


@compiled
def _condition(steps: Array, low: Array, high: Array, turn: int, work: Work) -> None:
    """Mean and covariances of coefficients, given the known pixels.

    Later turns take pixels for known that the guess before had outside their bounds.
    """
    mean, spread = work.mean, work.spread
    for f in range(64):
        mean[f] = 0.0
        for g in range(64):
            spread[f, g] = 0.0
        width = 2.0 * steps[f]
        if f == 0:
            width = 1000.0
        elif f < 3 or f == 8 or f == 9 or f == 16:
            width = 6.0 * steps[f] + 30.0
        spread[f, f] = width * width
    for at in range(64):
        bottom, top = low[at >> 3, at & 7], high[at >> 3, at & 7]
        value, wide = 0.5 * (bottom + top), _ROUNDING
        if top - bottom > 1.5:
            if top - bottom < 24.0:
                wide = (top - bottom) * (top - bottom) * _ROUNDING
            elif turn and work.light[at] < bottom:
                value, wide = bottom + 0.5 * turn, 0.5
            elif turn and work.light[at] > top:
                value, wide = top - 0.5 * turn, 0.5
            else:
                continue
        value -= 128.0
        row, basis = work.gains, work.basis
        total = wide
        for f in range(64):
            row[f] = 0.0
        for g in range(64):
            weight = basis[g, at]
            for f in range(64):
                row[f] += spread[g, f] * weight
        for f in range(64):
            total += row[f] * basis[f, at]
            value -= mean[f] * basis[f, at]
        for f in range(64):
            share = row[f] / total
            mean[f] += share * value
            for g in range(64):
                spread[f, g] -= share * row[g]


@compiled
def _listed(steps: Array, kept: int, work: Work) -> int:
    """Coefficients one after another, the surest first, each a multiple of its step near its mean, given those before.

    The likeliest of all such choices go on side by side. Returns how many there are at the end, in work.chosen[0].
    """
    done = room(64, np.int64)
    for f in range(64):
        done[f] = 0
        work.means[0, 0, f] = work.mean[f]
    work.costs[0, 0] = 0.0
    count, side = 1, 0
    spread = work.spread
    for _ in range(64):
        best, surest = 0, 1.0e30
        for f in range(64):
            sure = spread[f, f] / (steps[f] * steps[f])
            if done[f] == 0 and sure < surest:
                best, surest = f, sure
        done[best] = 1
        step, total = float(steps[best]), spread[best, best] + 1.0e-6
        for f in range(64):
            work.gains[f] = spread[best, f] / total
        found = 0
        for one in range(count):
            middle = np.floor(work.means[side, one, best] / step + 0.5)
            for turn in range(3):
                times = middle + (0.0 if turn == 0 else 1.0 if turn == 1 else -1.0)
                away = times * step - work.means[side, one, best]
                cost = work.costs[side, one] + away * away / total
                if found == kept and cost >= work.costs[1 - side, found - 1]:
                    continue
                # Sorted by cost; the worst goes.
                if found < kept:
                    found += 1
                place = found - 1
                while place > 0 and work.costs[1 - side, place - 1] > cost:
                    work.costs[1 - side, place] = work.costs[1 - side, place - 1]
                    work.origins[place] = work.origins[place - 1]
                    work.times[place] = work.times[place - 1]
                    place -= 1
                work.costs[1 - side, place] = cost
                work.origins[place] = one
                work.times[place] = times
        for one in range(found):
            origin = work.origins[one]
            away = work.times[one] * step - work.means[side, origin, best]
            for f in range(64):
                work.means[1 - side, one, f] = work.means[side, origin, f] + work.gains[f] * away
            for f in range(64):
                work.chosen[1 - side, one, f] = work.chosen[side, origin, f]
            work.chosen[1 - side, one, best] = int(min(max(work.times[one], -2048.0), 2047.0))
        count, side = found, 1 - side
        for f in range(64):
            share = work.gains[f]
            if share * share > 1.0e-20:
                for g in range(64):
                    spread[f, g] -= share * work.gains[g] * total
    return count


@compiled
def _guessed(block: Array, steps: Array, low: Array, high: Array, own: Array, kept: int, work: Work) -> bool:
    """Whether one of the likeliest choices fits, as it is or after changes; else the block becomes one that nearly does."""
    count = _listed(steps, kept, work)
    best, least = 0, 65
    for one in range(count):
        inverse_block(work.chosen[0, one], steps, own, 0, 0)
        wrong = _wrong(own, low, high)
        if wrong < least:
            best, least = one, wrong
    if least and _descended(work.chosen[0, best], steps, low, high, own, work):
        least = 0
    for one in range(min(count, _CHANGED)):
        if least and _descended(work.chosen[0, one], steps, low, high, own, work):
            best, least = one, 0
    for f in range(64):
        block[f] = work.chosen[0, best, f]
    inverse_block(block, steps, own, 0, 0)
    return least == 0


@compiled
def _light(block: Array, steps: Array, work: Work) -> None:
    """What the coefficients give, before it is rounded."""
    for at in range(64):
        work.light[at] = 128.0
    for f in range(64):
        if block[f]:
            value = float(block[f] * steps[f])
            for at in range(64):
                work.light[at] += value * work.basis[f, at]


@compiled
def _outside(value: float, bottom: float, top: float) -> float:
    """The square of how far a number is outside its bounds."""
    away = max(bottom - value, value - top)
    if away <= 0.0:
        return 0.0
    return away * away


@compiled
def _moved(block: Array, steps: Array, low: Array, high: Array, work: Work) -> bool:
    """Make the change of one coefficient by one step, or of two, that brings most; False if none brings anything."""
    _light(block, steps, work)
    now = 0.0
    for at in range(64):
        now += _outside(work.light[at], low[at >> 3, at & 7], high[at >> 3, at & 7])
    best, first, second = now - 1.0e-6, -1, -1
    for move in range(128):
        change = float(steps[move >> 1] if move & 1 else -steps[move >> 1])
        total = 0.0
        for at in range(64):
            total += _outside(
                work.light[at] + change * work.basis[move >> 1, at], low[at >> 3, at & 7], high[at >> 3, at & 7]
            )
            if total > 4.0 * now + 8.0:
                break
        work.gains[move] = total
        if total < best:
            best, first = total, move
    if first < 0:
        good = room(_PAIRS, np.int64)
        for number in range(_PAIRS):
            good[number] = 0
            for move in range(128):
                if work.gains[move] < work.gains[good[number]]:
                    good[number] = move
            work.gains[good[number]] = 1.0e30
        for one in range(_PAIRS):
            for other in range(one):
                f, g = good[one] >> 1, good[other] >> 1
                change = float(steps[f] if good[one] & 1 else -steps[f])
                more = float(steps[g] if good[other] & 1 else -steps[g])
                total = 0.0
                for at in range(64):
                    value = work.light[at] + change * work.basis[f, at] + more * work.basis[g, at]
                    total += _outside(value, low[at >> 3, at & 7], high[at >> 3, at & 7])
                    if total > best:
                        break
                if total < best:
                    best, first, second = total, good[one], good[other]
    if first < 0:
        return False
    block[first >> 1] += 1 if first & 1 else -1
    if second >= 0:
        block[second >> 1] += 1 if second & 1 else -1
    return True
