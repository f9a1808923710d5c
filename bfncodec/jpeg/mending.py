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
_HOPELESS = 6  # one pixel in so many may stay wrong
_LONG = 16  # blocks that may take all of them, besides some of an image
_FEW, _KEPT = 32, 256  # choices that go on side by side
_CHANGED = 4  # of them that are changed at the end
_TRIED = 12  # changes of a block of samples that are tried
_BACK = 3  # of them that are tried both ways
_SWEEPS = 3  # over blocks of samples
_ROUNDING = 1 / 12  # variance of a number that was rounded


class Work(NamedTuple):
    """Room for a block."""

    basis: Array  # float64 [64, 64]: frequency, place
    light: Array  # float64 [64]: what the coefficients give
    gains: Array  # float64 [128]: costs after changes
    mean: Array  # float64 [64]
    spread: Array  # float64 [64, 64]: covariances
    means: Array  # float64 [2, _KEPT, 64]: of coefficients, given those that were chosen; before and after a choice
    costs: Array  # float64 [2, _KEPT]
    chosen: Array  # int16 [2, _KEPT, 64]
    times: Array  # float64 [_KEPT]
    origins: Array  # int64 [_KEPT]


def _work() -> Work:
    return Work(
        BASIS, np.zeros(64), np.zeros(128), np.zeros(64), np.zeros((64, 64)),
        np.zeros((2, _KEPT, 64)), np.zeros((2, _KEPT)), np.zeros((2, _KEPT, 64), np.int16), np.zeros(_KEPT),
        np.zeros(_KEPT, np.int64),
    )  # fmt: skip


def mend(values: Array, steps: Array, least: Array, most: Array, plane: Array, again: bool = False) -> int:
    """Better coefficients int16 [rows, columns, 64] for a plane uint8 [8 * rows, 8 * columns] that they give.

    least, most: float64, as the plane: what numbers before rounding may be; +-FREE where all may be. again: whether
    little time is spent on a block. Returns how many stay wrong.
    """
    count = values.shape[0] * values.shape[1]
    longer, enough = 0 if again else _LONG + count // 32, plane.size // _HOPELESS
    return int(_mend(values, steps, least, most, plane, longer, enough, _work()))


@compiled
def _mend(
    values: Array, steps: Array, least: Array, most: Array, plane: Array, longer: int, enough: int, work: Work
) -> int:
    """longer: how many blocks may take a long time. enough: wrong pixels with which all is given up."""
    count, wrong = 0, 0
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            y, x = 8 * row, 8 * column
            low, high, own = least[y : y + 8, x : x + 8], most[y : y + 8, x : x + 8], plane[y : y + 8, x : x + 8]
            if _wrong(own, low, high) == 0:
                continue
            block = values[row, column]
            if not _solved(block, steps, low, high, own, _TURNS if count < longer else 3, work):
                count += 1
                wrong += _wrong(own, low, high)
                if wrong > enough:
                    return count
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
        if known == 64:
            _transformed(low, high, work)
        else:
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
def _transformed(low: Array, high: Array, work: Work) -> None:
    """Mean and covariances of coefficients where all pixels are known."""
    for f in range(64):
        total = 0.0
        for at in range(64):
            total += work.basis[f, at] * (0.5 * (low[at >> 3, at & 7] + high[at >> 3, at & 7]) - 128.0)
        work.mean[f] = total
        for g in range(64):
            work.spread[f, g] = 0.0
        work.spread[f, f] = _ROUNDING


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
    """Whether one of the likeliest choices fits, as it is or after changes; else the block nearly does then."""
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


class Filled(NamedTuple):
    """A plane of samples that pixels are filled up from."""

    values: Array  # int16 [rows, columns, 64]
    steps: Array  # int64 [64]
    samples: Array  # uint8 [8 * rows, 8 * columns]: what the values give
    own: Array  # the same, what there is of it: uint8 [h, w]
    low: Array  # uint8 [height, width]: what pixels may be
    high: Array
    way: Filling


def mend_samples(plane: Filled, wanted: Array, spread: float) -> int:
    """Better coefficients for a plane whose pixels are filled up; returns how many blocks stay wrong.

    wanted: float64, as plane.samples: what samples seem to be, with a standard deviation `spread`, NaN where nothing
    is known.
    """
    unsure = np.isnan(wanted)
    reach = 3**0.5 * spread
    low, high = np.where(unsure, -FREE, wanted - reach), np.where(unsure, FREE, wanted + reach)
    return int(_mend_samples(plane, low, high, 2 * _LONG + plane.values.shape[0] * plane.values.shape[1] // 8, _work()))


@compiled
def _mend_samples(plane: Filled, low: Array, high: Array, longer: int, work: Work) -> int:
    """longer: how many times a block may take a long time."""
    count = 0
    for turn in range(_SWEEPS):
        count = 0
        for row in range(plane.values.shape[0]):
            for column in range(plane.values.shape[1]):
                least = _missed(plane, row, column, 1 << 40)
                if least == 0:
                    continue
                least = _lowered(plane, row, column, least, work)
                if least and longer > 0 and (turn or low[8 * row + 7, 8 * column + 7] < -1000.0):
                    longer -= 1
                    least = _replaced(plane, row, column, least, low, high, work)
                if least:
                    count += 1
        if count == 0:
            break
    return count


@compiled
def _first(middle: int, size: int, triangles: int) -> int:
    """The first pixel that a block has a part in, in a direction."""
    if size == 1 or triangles == 0:
        return 8 * middle * size
    return max(16 * middle - 1, 0)


@compiled
def _last(middle: int, size: int, triangles: int, end: int) -> int:
    """The one after the last."""
    if size == 1 or triangles == 0:
        return min(8 * (middle + 1) * size, end)
    return min(16 * middle + 17, end)


@compiled
def _missed(plane: Filled, row: int, column: int, limit: int) -> int:
    """How far pixels that a block has a part in are out of bounds: squares of sixteenths; gives up at a limit."""
    way, total = plane.way, 0
    for y in range(_first(row, way.down, way.triangles), _last(row, way.down, way.triangles, plane.low.shape[0])):
        for x in range(
            _first(column, way.across, way.triangles), _last(column, way.across, way.triangles, plane.low.shape[1])
        ):
            value = filled(plane.own, way, y, x)
            away = max(16 * int(plane.low[y, x]) - value, value - 16 * int(plane.high[y, x]) - 15)
            if away > 0:
                total += away * away
        if total >= limit:
            break
    return total


@compiled
def _put(plane: Filled, row: int, column: int, block: Array) -> None:
    """Fill in a block of samples."""
    inverse_block(block, plane.steps, plane.samples, 8 * row, 8 * column)


@compiled
def _lowered(plane: Filled, row: int, column: int, least: int, work: Work) -> int:
    """Change after change of one coefficient by one step; how far pixels are outside their bounds then."""
    block, way = plane.values[row, column], plane.way
    moves = room(_TRIED, np.int64)
    for _ in range(_MOVES):
        # Which way samples should go.
        for at in range(64):
            work.light[at] = 0.0
        for y in range(_first(row, way.down, way.triangles), _last(row, way.down, way.triangles, plane.low.shape[0])):
            for x in range(
                _first(column, way.across, way.triangles), _last(column, way.across, way.triangles, plane.low.shape[1])
            ):
                value = filled(plane.own, way, y, x)
                away = 0
                if value < 16 * int(plane.low[y, x]):
                    away = 16 * int(plane.low[y, x]) - value
                elif value > 16 * int(plane.high[y, x]) + 15:
                    away = 16 * int(plane.high[y, x]) + 15 - value
                if away == 0:
                    continue
                above, before = y // way.down - 8 * row, x // way.across - 8 * column
                beyond, beside = above, before
                if way.down == 2 and way.triangles:
                    beyond = above - 1 + 2 * (y & 1)
                if way.across == 2 and way.triangles:
                    beside = before - 1 + 2 * (x & 1)
                for v in (above, beyond):
                    for h in (before, beside):
                        if v < 0 or v > 7 or h < 0 or h > 7:
                            continue
                        weight = 0.75 if v == above else 0.25
                        weight *= 0.75 if h == before else 0.25
                        work.light[8 * v + h] += weight * away
        for f in range(64):
            total = 0.0
            for at in range(64):
                total += work.basis[f, at] * work.light[at]
            work.gains[f] = abs(total) * plane.steps[f] - 0.25 * plane.steps[f] * plane.steps[f]
            work.mean[f] = total
        for number in range(_TRIED):
            moves[number] = 0
            for f in range(64):
                if work.gains[f] > work.gains[moves[number]]:
                    moves[number] = f
            work.gains[moves[number]] = -1.0e30
        best, change = -1, 0
        for number in range(_TRIED):
            f = moves[number]
            for way_on in (1, -1):
                step = way_on if work.mean[f] >= 0.0 else -way_on
                if way_on < 0 and number > _BACK:
                    continue
                block[f] += step
                _put(plane, row, column, block)
                missed = _missed(plane, row, column, least)
                block[f] -= step
                if missed < least:
                    least, best, change = missed, f, step
        if best >= 0:
            block[best] += change
        _put(plane, row, column, block)
        if best < 0 or least == 0:
            break
    return least


@compiled
def _replaced(plane: Filled, row: int, column: int, least: int, low: Array, high: Array, work: Work) -> int:
    """Another block from what samples seem to be, if one misses less; how much is missed then."""
    y, x, block = 8 * row, 8 * column, plane.values[row, column]
    _condition(plane.steps, low[y : y + 8, x : x + 8], high[y : y + 8, x : x + 8], 0, work)
    count = _listed(plane.steps, _FEW, work)
    best, kept = -1, room(64, np.int64)
    for one in range(count):
        _put(plane, row, column, work.chosen[0, one])
        missed = _missed(plane, row, column, least)
        if missed < least:
            least, best = missed, one
    if best >= 0:
        for f in range(64):
            block[f] = work.chosen[0, best, f]
    _put(plane, row, column, block)
    if least:
        # What changes make of the likeliest.
        for one in range(min(count, _CHANGED)):
            for f in range(64):
                kept[f] = block[f]
                block[f] = work.chosen[0, one, f]
            _put(plane, row, column, block)
            missed = _lowered(plane, row, column, _missed(plane, row, column, 1 << 40), work)
            if missed < least:
                least = missed
            else:
                for f in range(64):
                    block[f] = kept[f]
                _put(plane, row, column, block)
            if least == 0:
                break
    return least
