"""Coefficients -> pixels, bit for bit as libjpeg's usual decoder makes them (jidctint.c, jdsample.c, jdcolor.c)."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.compiled import compiled, room
from bfncodec.jpeg.files import blocks
from bfncodec.jpeg.markers import Frame, Walk

Array = NDArray[Any]

LARGEST = 65535  # pixels of a side


class Colours(IntEnum):
    """How many samples colour differences have, and how they are filled up: by triangles of weights, or repeated."""

    GREY = 0
    FULL = 1
    HALF_ACROSS = 2
    HALF = 3
    HALF_DOWN = 4
    REPEATED_ACROSS = 5
    REPEATED = 6
    REPEATED_DOWN = 7

    @property
    def across(self) -> int:
        """Pixels of a sample."""
        return 2 if self in (2, 3, 5, 6) else 1

    @property
    def down(self) -> int:
        return 2 if self in (3, 4, 6, 7) else 1

    @property
    def triangles(self) -> bool:
        return self in (2, 3, 4)

    @property
    def text(self) -> str:
        """The usual name."""
        names = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (1, 2): "4:4:0"}
        name = names[self.across, self.down] if self else "grey"
        return name if self < Colours.REPEATED_ACROSS else f"{name}, repeated"


class Filling(NamedTuple):
    """How samples become pixels, for compiled code."""

    across: int  # pixels of a sample
    down: int
    triangles: int


# Of a pixel: red from the red difference, blue from the blue one, green from both.
_AWAY = np.arange(256, dtype=np.int64) - 128
RED = 91881 * _AWAY + 32768 >> 16
BLUE = 116130 * _AWAY + 32768 >> 16
GREEN_RED = -46802 * _AWAY + 32768
GREEN_BLUE = -22554 * _AWAY


def frame(height: int, width: int, colours: Colours) -> Frame:
    """The frame of an image; its sides must not be larger than LARGEST."""
    parts = [0x10 * colours.across + colours.down, 0x11, 0x11] if colours else [0x11]
    body = bytes([8]) + height.to_bytes(2, "big") + width.to_bytes(2, "big") + bytes([len(parts)])
    body += b"".join(bytes([number + 1, part, int(number > 0)]) for number, part in enumerate(parts))
    walk = Walk(b"\xff\xd8\xff\xc0" + (len(body) + 2).to_bytes(2, "big") + body)
    walk.scan()
    assert walk.frame is not None
    return walk.frame


def filling(colours: Colours) -> Filling:
    """The colours as compiled code sees them."""
    return Filling(colours.across, colours.down, int(colours.triangles))


def pixels(coefficients: Array, quantisers: Array, shape: tuple[int, int], colours: Colours) -> Array:
    """uint8 [height, width, 1 or 3] from the int16 coefficients of `frame`, and quantisers int64 [components, 64]."""
    planes = samples(coefficients, quantisers, shape, colours)
    out = np.empty((*shape, len(planes)), np.uint8)
    if colours:
        _coloured(planes[0], planes[1], planes[2], filling(colours), out)
    else:
        out[..., 0] = planes[0]
    return out


def samples(coefficients: Array, quantisers: Array, shape: tuple[int, int], colours: Colours) -> list[Array]:
    """The planes of all components, uint8 [rows, columns], as far as pixels use them."""
    whole = frame(*shape, colours)
    planes = []
    for number, component in enumerate(whole.components):
        values = blocks(coefficients, component)
        plane = np.empty((8 * component.stored_rows, 8 * component.stored_columns), np.uint8)
        inverse(values, quantisers[number], plane)
        size = part(shape, colours if number else Colours.FULL)
        planes.append(plane[: size[0], : size[1]])
    return planes


def part(shape: tuple[int, int], colours: Colours) -> tuple[int, int]:
    """Rows and columns of a colour difference."""
    return -(-shape[0] // colours.down), -(-shape[1] // colours.across)


@compiled
def inverse(values: Array, steps: Array, plane: Array) -> None:
    """Fill a plane from all its blocks, int16 [rows, columns, 64]."""
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            inverse_block(values[row, column], steps, plane, 8 * row, 8 * column)


@compiled
def inverse_block(block: Array, steps: Array, plane: Array, top: int, left: int) -> None:
    """Fill a block of a plane: columns, then rows, in integers of 13 bits behind the point."""
    work = room(64, np.int64)
    for x in range(8):
        for y in range(8):
            work[8 * y + x] = block[8 * y + x] * steps[8 * y + x]
        _line(work, x, 8, 11)
    for y in range(8):
        _line(work, 8 * y, 1, 18)
        for x in range(8):
            plane[top + y, left + x] = min(max(work[8 * y + x] + 128, 0), 255)


@compiled
def _line(work: Array, at: int, step: int, shift: int) -> None:
    """Eight numbers, in place, by Loeffler, Ligtenberg and Moschytz."""
    two, six = work[at + 2 * step], work[at + 6 * step]
    even = (two + six) * 4433
    low, high = even - 15137 * six, even + 6270 * two
    total, away = (work[at] + work[at + 4 * step]) << 13, (work[at] - work[at + 4 * step]) << 13
    first, second, third, fourth = total + high, away + low, away - low, total - high
    seven, five, three, one = work[at + 7 * step], work[at + 5 * step], work[at + 3 * step], work[at + step]
    all_odd = (seven + three + five + one) * 9633
    outer, inner = (seven + one) * -7373, (five + three) * -20995
    left, right = (seven + three) * -16069 + all_odd, (five + one) * -3196 + all_odd
    seven, five = 2446 * seven + outer + left, 16819 * five + inner + right
    three, one = 25172 * three + inner + left, 12299 * one + outer + right
    half = 1 << (shift - 1)
    work[at], work[at + 7 * step] = (first + one + half) >> shift, (first - one + half) >> shift
    work[at + step], work[at + 6 * step] = (second + three + half) >> shift, (second - three + half) >> shift
    work[at + 2 * step], work[at + 5 * step] = (third + five + half) >> shift, (third - five + half) >> shift
    work[at + 3 * step], work[at + 4 * step] = (fourth + seven + half) >> shift, (fourth - seven + half) >> shift


@compiled
def other(at: int, count: int) -> int:
    """The sample beside its own, of so many, that a pixel of a triangle has a part of."""
    return min(max((at >> 1) - 1 + 2 * (at & 1), 0), count - 1)


@compiled
def filled(plane: Array, way: Filling, y: int, x: int) -> int:
    """A pixel of a plane of samples: its sixteenths, with what they are rounded by."""
    row, column = y, x
    if way.down == 2:
        row = y >> 1
    if way.across == 2:
        column = x >> 1
    own = int(plane[row, column])
    if way.triangles == 0:
        return 16 * own
    beyond, beside = row, column
    if way.down == 2:
        beyond = other(y, plane.shape[0])
    if way.across == 2:
        beside = other(x, plane.shape[1])
    if way.down == 1:
        return 4 * (3 * own + int(plane[row, beside]) + 1 + (x & 1))
    if way.across == 1:
        return 4 * (3 * own + int(plane[beyond, column]) + 1 + (y & 1))
    near = 3 * own + int(plane[beyond, column])
    far = 3 * int(plane[row, beside]) + int(plane[beyond, beside])
    return 3 * near + far + 8 - (x & 1)


@compiled
def _coloured(luma: Array, blue: Array, red: Array, way: Filling, out: Array) -> None:
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            light = int(luma[y, x])
            b, r = filled(blue, way, y, x) >> 4, filled(red, way, y, x) >> 4
            out[y, x, 0] = min(max(light + RED[r], 0), 255)
            out[y, x, 1] = min(max(light + ((GREEN_RED[r] + GREEN_BLUE[b]) >> 16), 0), 255)
            out[y, x, 2] = min(max(light + BLUE[b], 0), 255)
