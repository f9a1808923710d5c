"""Colour spaces that pictures were converted from: integers of luma and two colour differences <-> RGB, exactly.

A decoder of JPEG, WebP, video or PhotoCD computes red from luma and the red difference, blue from luma and the blue
one, and green from all three, each by tables of 256 entries, a shift, and clipping to 0 .. 255. Then only one RGB value
of 4 to 9 can occur, and the integers that the picture was computed from cost less than what they became.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.compiled import compiled
from bfncodec.models.image.passes import EXCEPTIONS, Pixels, Space

Table = NDArray[np.int64]

SAMPLED = 1 << 10  # pixels that tell which space to try
COLOURS = 64  # different ones that a sample needs: fewer may lie on a lattice by chance

_ALL = np.arange(256, dtype=np.int64)


class Tables(NamedTuple):
    """How a space is converted: (luma[y] + red[r]) >> shift, (luma[y] + green_r[r] + green_b[b]) >> shift, and so on.

    All int64 [256]. `red`, `blue` rise, `green_r`, `green_b` fall.
    """

    luma: Table
    red: Table
    blue: Table
    green_r: Table
    green_b: Table
    shift: int


def _photo_cd() -> Tables:
    # The differences come to green without their fractions. Learnt from Kodak's suite, all of which follows it.
    red, blue = 119374 * (_ALL - 137), 145352 * (_ALL - 156)
    return Tables(89024 * _ALL, red, blue, -33358 * (red >> 16), -12714 * (blue >> 16), 16)


def _jfif() -> Tables:
    # As the Independent JPEG Group's library and all that repeat its bits.
    red, blue = (91881 * (_ALL - 128) + 32768 >> 16 << 16), (116130 * (_ALL - 128) + 32768 >> 16 << 16)
    return Tables((_ALL << 16), red, blue, -46802 * (_ALL - 128) + 32768, -22554 * (_ALL - 128), 16)


def _webp() -> Tables:
    # As libwebp: products lose eight bits before they are added.
    red, blue = (26149 * _ALL >> 8) - 14234, (33050 * _ALL >> 8) - 17685
    return Tables(19077 * _ALL >> 8, red, blue, 8708 - (13320 * _ALL >> 8), -(6419 * _ALL >> 8), 6)


def _sums(luma: Table, red: int, blue: int, green_r: int, green_b: int, shift: int) -> Tables:
    # Products are added, then rounded once.
    away = _ALL - 128
    return Tables(luma + (1 << shift - 1), red * away, blue * away, -green_r * away, -green_b * away, shift)


def _words(luma: Table, red: int, blue: int, green_r: int, green_b: int) -> Tables:
    # Each product is cut to the upper half of 32 bits, as vector instructions give it.
    away = _ALL - 128
    return Tables(luma >> 13, red * away >> 13, blue * away >> 13, -green_r * away >> 13, -green_b * away >> 13, 0)


_LIMITED, _FULL = 9539 * (_ALL - 16), 8192 * _ALL
_BT601 = 13075, 16525, 6660, 3209
_BT709 = 14686, 17305, 4366, 1747
_BT601_FULL = 11485, 14516, 5850, 2819
_BT709_FULL = 12901, 15201, 3835, 1534

TABLES: dict[Space, Callable[[], Tables]] = {
    Space.PHOTO_CD: _photo_cd,
    Space.JFIF: _jfif,
    Space.WEBP: _webp,
    # FFmpeg's scaler, from chroma of full and of half resolution
    Space.BT601: lambda: _sums(_LIMITED, *_BT601, 13),
    Space.BT709: lambda: _sums(_LIMITED, *_BT709, 13),
    Space.BT709_FULL: lambda: _sums(_FULL, *_BT709_FULL, 13),
    Space.BT601_WORDS: lambda: _words(_LIMITED, *_BT601),
    Space.BT709_WORDS: lambda: _words(_LIMITED, *_BT709),
    Space.BT601_FULL_WORDS: lambda: _words(_FULL, *_BT601_FULL),
    Space.BT709_FULL_WORDS: lambda: _words(_FULL, *_BT709_FULL),
    # OpenCV
    Space.BT601_OPENCV: lambda: _sums(1220542 * (_ALL - 16).clip(0), 1673527, 2116026, 852492, 409993, 20),
}


@cache
def tables(space: Space) -> Tables:
    """The tables of a space that is not RGB."""
    return TABLES[space]()


def to_grb(planes: Pixels, space: Space) -> Pixels:
    """Planes uint8 [..., 3] of luma, red difference, blue difference -> G, R, B."""
    of = tables(space)
    luma, red, blue = of.luma[planes[..., 0]], planes[..., 1], planes[..., 2]
    sums = luma + of.green_r[red] + of.green_b[blue], luma + of.red[red], luma + of.blue[blue]
    return np.stack([(one >> of.shift).clip(0, 255).astype(np.uint8) for one in sums], axis=-1)


def find(planes: Pixels) -> tuple[Space, Pixels, NDArray[np.int64]]:
    """The space that nearly all pixels of planes uint8 [N, H, W, 3], G, R, B, were converted from.

    Returns it; planes like these of luma, red difference, blue difference; and the numbers of those pixels, of all
    N * H * W in order, that no integers give. RGB, the same planes and no pixels if there is no such space.
    """
    space, pixels = likely(planes), planes.size // 3
    found = _inverse(np.ascontiguousarray(planes), space, pixels // EXCEPTIONS) if space else None
    return (space, *found) if found is not None else (Space.RGB, planes, np.zeros(0, np.int64))


def likely(planes: Pixels) -> Space:
    """The space that a sample of pixels of planes uint8 [N, H, W, 3], G, R, B, was converted from; RGB if none."""
    pixels = planes.reshape(-1, 3)
    sample = pixels[:: -(-len(pixels) // SAMPLED)]
    sample = sample[np.lexsort(sample.T[::-1])]
    sample = sample[(sample != np.roll(sample, 1, axis=0)).any(1)]  # `np.unique` imports what takes time
    # Grey fits nearly any space, and so does much that was clipped.
    sample = sample[(sample.min(1) > 0) & (sample.max(1) < 255) & (sample.min(1) < sample.max(1))]
    if len(sample) < COLOURS:
        return Space.RGB
    sample = np.ascontiguousarray(sample)[None, None]
    fits = {space: _inverse(sample, space, sample.size // 3 // EXCEPTIONS) for space in TABLES}
    fitting = {space: len(fit[1]) for space, fit in fits.items() if fit is not None}
    return min(fitting, key=lambda one: fitting[one], default=Space.RGB)


def integers(planes: Pixels, space: Space) -> tuple[Pixels, NDArray[np.int64]] | None:
    """What `find` gives of a space that is known; None if too many pixels have no integers."""
    return _inverse(np.ascontiguousarray(planes), space, planes.size // 3 // EXCEPTIONS)


def _inverse(planes: Pixels, space: Space, limit: int) -> tuple[Pixels, NDArray[np.int64]] | None:
    """Integers, and which pixels have none; None if those are more than `limit`."""
    of = tables(space)
    integers = np.empty_like(planes)
    missing = np.empty(limit, np.int64)
    firsts = np.empty((2, 256, 257), np.int16)
    count = _nearest(planes, of, firsts, integers, missing)
    return None if count > limit else (integers, missing[:count])


def firsts(luma: Table, difference: Table, shift: int) -> NDArray[np.int16]:
    """[luma, value]: the first difference that gives the value or more; 256 if none does.

    The other way round, too: [difference, value], the first luma.
    """
    found = np.empty((256, 257), np.int16)
    _firsts(luma, difference, shift, found)
    return found


@compiled
def _firsts(luma: Table, difference: Table, shift: int, out: NDArray[np.int16]) -> None:
    for y in range(256):
        value = 0
        for d in range(256):
            while value <= min(max((luma[y] + difference[d]) >> shift, 0), 255):
                out[y, value] = d
                value += 1
        out[y, value:] = 256


@compiled
def _nearest(
    planes: Pixels, of: Tables, firsts: NDArray[np.int16], integers: Pixels, missing: NDArray[np.int64]
) -> int:
    """Fill in integers for G, R, B, and the numbers of pixels that have none; returns how many those are.

    firsts: room for those of the red difference and the blue.

    Where several integers give a pixel, as clipping makes them, those nearest to the left and upper neighbours' mean
    are taken: any would do, and these cost little. Gives up at more pixels without than `missing` has room for.
    """
    luma, green_r, green_b, shift, reds, blues = of.luma, of.green_r, of.green_b, of.shift, firsts[0], firsts[1]
    _firsts(luma, of.red, shift, reds)
    _firsts(luma, of.blue, shift, blues)
    count = 0
    items, height, width, _ = planes.shape
    for n in range(items):
        for y in range(height):
            for x in range(width):
                left = integers[n, y, x - 1] if x else integers[n, max(y - 1, 0), x]
                above = integers[n, y - 1, x] if y else left
                mean_y, mean_r, mean_b = 128, 128, 128
                if x or y:
                    mean_y = (np.int64(left[0]) + above[0]) >> 1
                    mean_r = (np.int64(left[1]) + above[1]) >> 1
                    mean_b = (np.int64(left[2]) + above[2]) >> 1
                g, r, b = np.int64(planes[n, y, x, 0]), np.int64(planes[n, y, x, 1]), np.int64(planes[n, y, x, 2])
                best, best_y, best_r, best_b = 1 << 10, mean_y, mean_r, mean_b
                for step in range(511):  # luma from the mean outwards
                    away = (step + 1) >> 1
                    at = mean_y + away if step & 1 else mean_y - away
                    if away >= best:
                        break
                    if at < 0 or at > 255:
                        continue
                    r_from, r_to, b_from, b_to = reds[at, r], reds[at, r + 1], blues[at, b], blues[at, b + 1]
                    if r_from >= r_to or b_from >= b_to:
                        continue
                    # Bounds for what stands before the shift; at 0 and 255 everything beyond is clipped.
                    low = (g << shift) - luma[at] if g > 0 else -(1 << 40)
                    high = ((g + 1) << shift) - luma[at] if g < 255 else 1 << 40
                    if green_r[r_from] + green_b[b_from] < low or green_r[r_to - 1] + green_b[b_to - 1] >= high:
                        continue
                    for i in range(r_from, r_to):
                        part = away + abs(i - mean_r)
                        if part >= best or green_r[i] + green_b[b_from] < low or green_r[i] + green_b[b_to - 1] >= high:
                            continue
                        for j in range(b_from, b_to):
                            cost = part + abs(j - mean_b)
                            if cost < best and low <= green_r[i] + green_b[j] < high:
                                best, best_y, best_r, best_b = cost, at, i, j
                integers[n, y, x, 0], integers[n, y, x, 1], integers[n, y, x, 2] = best_y, best_r, best_b
                if best == 1 << 10:
                    if count == len(missing):
                        return count + 1
                    missing[count] = (n * height + y) * width + x
                    count += 1
    return count
