"""Colour differences of half the resolution: found and undone, exactly.

PhotoCD keeps every second row and column of the two colour planes, and whoever opens a picture puts means between
them. JPEG keeps means of squares of four pixels, and most decoders put triangles of weights over these. Then a quarter
of the integers that `spaces.find` gives tell all of them.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.compiled import compiled
from bfncodec.models.image import spaces, triangles
from bfncodec.models.image.passes import Pixels, Sampling, Space
from bfncodec.models.image.triangles import sixteenths

TRIANGLES = int(Sampling.TRIANGLES)
MEANS = [Sampling.EVEN_EVEN, Sampling.EVEN_ODD, Sampling.ODD_EVEN, Sampling.ODD_ODD]
NEARLY = 8  # one pixel in so many of those that were not clipped may differ before samples are repaired
HOPELESS = 16  # or be wrong beside samples that were clipped, when these were first looked at
MISFITS = 128  # and one in so many after that: what these cost in a list is half of what the others save, or less
REACH = 16  # how far from what it was a sample is looked for
NEAR = 3  # the same, under triangles
SWEEPS = 32  # over samples with wrong pixels around them
QUICK_SWEEPS = 2  # the same, in a hurry
PATIENCE = 4  # sweeps without fewer of them
WRONG = 40  # what one of these is worth, in quarters of a level of distance from the samples around
HEAT = 4 * WRONG  # how much worse the sample that is taken may be
EDITED = 5  # wrong pixels around a sample that was not clipped, and yet must be wrong: told in the first sweep


class Halves(NamedTuple):
    """Planes of a picture whose colour differences have half the resolution."""

    sampling: Sampling
    luma: Pixels  # [N, H, W, 1]
    differences: Pixels  # samples of the red one and the blue one [N, h, w, 2]
    missing: NDArray[np.int64]  # numbers of pixels that these do not give, of all N * H * W in order


class _Tables(NamedTuple):
    """A space's that give luma."""

    reds: NDArray[np.int16]  # [red difference, R]: the first luma that gives R or more
    blues: NDArray[np.int16]
    luma: NDArray[np.int64]
    green_r: NDArray[np.int64]
    green_b: NDArray[np.int64]
    shift: int


def interpolated(halves: Pixels, sampling: Sampling, height: int, width: int) -> Pixels:
    """Planes uint8 [N, height, width, C] from their samples [N, h, w, C]."""
    out = np.empty((len(halves), height, width, halves.shape[3]), np.uint8)
    _interpolate(halves, int(sampling), out)
    return out


def find(planes: Pixels, integers: Pixels, space: Space, sweeps: int = SWEEPS) -> Halves | None:
    """Whether planes uint8 [N, H, W, 3] of G, R, B, nearly all converted from `integers` of a space, have such colours.

    Clipped pixels can have been several integers; they become those that fit, after so many sweeps over them. None for
    differences of full resolution.
    """
    planes, pixels = np.ascontiguousarray(planes), planes.size // 3
    unclipped = np.all((planes > 0) & (planes < 255), axis=3)
    found = _of_means(planes, integers, int(np.count_nonzero(unclipped)) // NEARLY)
    if found is None:
        differences = triangles.undone(integers[..., 1:], unclipped)
        found = (Sampling.TRIANGLES, differences) if differences is not None else None
    if found is None:
        return None
    sampling, halves = found
    wrong, right = [pixels], np.zeros(halves.shape[:2], np.uint8)
    for sweep, heat in enumerate([0, 0, *[HEAT] * sweeps, 0, 0]):
        if not heat or min(wrong[-PATIENCE:]) < min(wrong[:-PATIENCE], default=pixels + 1):
            wrong.append(_repair(planes, halves, int(sampling), _tables(space), right, heat, sweep))
        if sweep and min(wrong) > pixels // HOPELESS:
            return None
    luma, missing = np.empty((*planes.shape[:3], 1), np.uint8), np.empty(pixels // MISFITS, np.int64)
    whole = interpolated(halves, sampling, *planes.shape[1:3])
    count = _relight(planes, whole, _tables(space), integers, luma, missing)
    return None if count > len(missing) else Halves(sampling, luma, halves, missing[:count])


def _of_means(planes: Pixels, integers: Pixels, limit: int) -> tuple[Sampling, Pixels] | None:
    """The sampling whose means are nearest to the differences, and samples; None if a limit of pixels have others."""
    fewest, best = limit, None
    for sampling in MEANS:
        if min(sampling.shape(*planes.shape[1:3])) < 1:
            continue
        halves = np.ascontiguousarray(sampling.of(integers)[..., 1:])
        misfits = _misfits(planes, halves, int(sampling), integers, fewest)
        if misfits < fewest:
            fewest, best = misfits, (sampling, halves)
    return best


@cache
def _tables(space: Space) -> _Tables:
    of = spaces.tables(space)
    firsts = spaces.firsts(of.red, of.luma, of.shift), spaces.firsts(of.blue, of.luma, of.shift)
    return _Tables(*firsts, of.luma, of.green_r, of.green_b, of.shift)


@compiled
def _first(sampling: int) -> tuple[int, int]:
    """As `Sampling.first`."""
    if sampling == TRIANGLES:
        return 0, 0
    return (sampling - 1) >> 1, (sampling - 1) & 1


@compiled
def _at(halves: Pixels, sampling: int, n: int, y: int, x: int, channel: int) -> int:
    """A plane's value at a pixel: by a triangle, or the mean of samples around; the nearest stands for one outside."""
    if sampling == TRIANGLES:
        return sixteenths(halves, n, y, x, channel) >> 4
    top, left = _first(sampling)
    rows, columns = halves.shape[1] - 1, halves.shape[2] - 1
    above, below = min(max((y - top) >> 1, 0), rows), min(max((y - top + 1) >> 1, 0), rows)
    before, after = min(max((x - left) >> 1, 0), columns), min(max((x - left + 1) >> 1, 0), columns)
    total = np.int64(halves[n, above, before, channel]) + np.int64(halves[n, above, after, channel])
    total += np.int64(halves[n, below, before, channel]) + np.int64(halves[n, below, after, channel])
    return int(total + 2 >> 2)


@compiled
def _interpolate(halves: Pixels, sampling: int, out: Pixels) -> None:
    for n in range(out.shape[0]):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                for channel in range(out.shape[3]):
                    out[n, y, x, channel] = _at(halves, sampling, n, y, x, channel)


@compiled
def _clipped(pixel: Pixels) -> bool:
    for channel in range(3):
        if pixel[channel] == 0 or pixel[channel] == 255:
            return True
    return False


@compiled
def _misfits(planes: Pixels, halves: Pixels, sampling: int, integers: Pixels, limit: int) -> int:
    """Pixels that were not clipped, and whose differences are others; gives up at a limit."""
    count = 0
    for n in range(integers.shape[0]):
        for y in range(integers.shape[1]):
            for x in range(integers.shape[2]):
                red, blue = _at(halves, sampling, n, y, x, 0), _at(halves, sampling, n, y, x, 1)
                if (integers[n, y, x, 1] != red or integers[n, y, x, 2] != blue) and not _clipped(planes[n, y, x]):
                    count += 1
            if count >= limit:
                return count
    return count


@compiled
def _luma(tables: _Tables, pixel: Pixels, red: int, blue: int, near: int) -> int:
    """The luma nearest to `near` that gives a pixel with these differences; -1 if none does."""
    g, r, b = int(pixel[0]), int(pixel[1]), int(pixel[2])
    best, green = -1, tables.green_r[red] + tables.green_b[blue]
    start = max(int(tables.reds[red, r]), int(tables.blues[blue, b]))
    stop = min(int(tables.reds[red, r + 1]), int(tables.blues[blue, b + 1]))
    for luma in range(start, stop):
        same = min(max((tables.luma[luma] + green) >> tables.shift, 0), 255) == g
        if same and (best < 0 or abs(luma - near) < abs(best - near)):
            best = luma
    return best


@compiled
def _wrong(
    planes: Pixels, halves: Pixels, sampling: int, tables: _Tables, n: int, row: int, column: int, limit: int
) -> int:
    """Pixels around a sample that the samples do not give; gives up at a limit."""
    count = 0
    top, left = _first(sampling)
    reach = 3 if sampling == TRIANGLES else 2
    middle, centre = 2 * row + top, 2 * column + left
    for y in range(max(middle - 1, 0), min(middle + reach, planes.shape[1])):
        for x in range(max(centre - 1, 0), min(centre + reach, planes.shape[2])):
            red, blue = _at(halves, sampling, n, y, x, 0), _at(halves, sampling, n, y, x, 1)
            if _luma(tables, planes[n, y, x], red, blue, 0) < 0:
                count += 1
                if count >= limit:
                    return count
    return count


@compiled
def _repair(
    planes: Pixels, halves: Pixels, sampling: int, tables: _Tables, right: Pixels, heat: int, sweep: int
) -> int:
    """Better samples for those that were clipped; how many pixels around them were wrong.

    Fewer wrong pixels are better, and nearness to the samples around. Without heat all are looked at. With it, those
    with wrong pixels, and by lot it can be another that is taken: a later sweep finds its way on from there.
    right: rows [n, h] of samples that such a sweep need not look at again.
    """
    total, lot = 0, sweep
    top, left = _first(sampling)
    between = sampling == TRIANGLES  # then no sample is a pixel, and all are nearly right
    reach = NEAR if between else REACH
    rows, columns = halves.shape[1] - 1, halves.shape[2] - 1
    for n in range(halves.shape[0]):
        for row in range(rows + 1):
            if heat and right[n, row]:
                continue
            right[n, row] = 1
            for column in range(columns + 1):
                pixel = planes[n, 2 * row + top, 2 * column + left]
                clipped = _clipped(pixel) and not between
                if sweep and not clipped and not between:
                    continue
                wrong = _wrong(planes, halves, sampling, tables, n, row, column, 17)
                if wrong < (1 if between or clipped and heat else 0 if clipped else EDITED):
                    continue
                total += wrong
                for near_row in range(max(row - 2, 0), min(row + 3, rows + 1)):
                    right[n, near_row] = 0
                sample = halves[n, row, column]
                red, blue = int(sample[0]), int(sample[1])
                sum_red, sum_blue = 0, 0
                for y, x in ((row - 1, column), (row, column - 1), (row + 1, column), (row, column + 1)):
                    near = halves[n, min(max(y, 0), rows), min(max(x, 0), columns)]
                    sum_red, sum_blue = sum_red + int(near[0]), sum_blue + int(near[1])
                best_red, best_blue = red, blue
                least = wrong * WRONG + abs(4 * red - sum_red) + abs(4 * blue - sum_blue) + heat
                for r in range(max(red - reach, 0), min(red + reach + 1, 256)):
                    for b in range(max(blue - reach, 0), min(blue + reach + 1, 256)):
                        cost = abs(4 * r - sum_red) + abs(4 * b - sum_blue)
                        if heat:
                            lot = (lot * 1103515245 + 12345) & 0x7FFFFFFF
                            cost += (lot >> 8) % heat
                        if cost >= least or clipped and _luma(tables, pixel, r, b, 0) < 0:
                            continue
                        sample[0], sample[1] = r, b
                        most = (least - cost + WRONG - 1) // WRONG
                        cost += WRONG * _wrong(planes, halves, sampling, tables, n, row, column, most)
                        if cost < least:
                            least, best_red, best_blue = cost, r, b
                sample[0], sample[1] = best_red, best_blue
    return total


@compiled
def _relight(
    planes: Pixels, whole: Pixels, tables: _Tables, integers: Pixels, luma: Pixels, missing: NDArray[np.int64]
) -> int:
    """Fill in luma, and the numbers of pixels that none gives; returns how many those are.

    It is that of `integers` where this will do, and else the nearest to the left and upper neighbours' mean. Gives up
    at more pixels without than `missing` has room for.
    """
    count = 0
    items, height, width, _ = integers.shape
    for n in range(items):
        for y in range(height):
            for x in range(width):
                red, blue = whole[n, y, x, 0], whole[n, y, x, 1]
                own = np.int64(integers[n, y, x, 0])
                before = np.int64(luma[n, y, x - 1, 0]) if x else own
                above = np.int64(luma[n, y - 1, x, 0]) if y else before
                same = integers[n, y, x, 1] == red and integers[n, y, x, 2] == blue
                near = own if same else ((before if x else above) + above) >> 1
                found = _luma(tables, planes[n, y, x], red, blue, near)
                luma[n, y, x, 0] = found if found >= 0 else near
                if found < 0:
                    if count == len(missing):
                        return count + 1
                    missing[count] = (n * height + y) * width + x
                    count += 1
    return count
