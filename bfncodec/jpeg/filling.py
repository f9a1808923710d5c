"""Samples of colour differences from the pixels that a decoder filled up, by least squares. For encoders only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.compiled import compiled
from bfncodec.jpeg.pixels import Colours, Filling, filled, filling, other, part
from bfncodec.jpeg.transform import ROUNDING

Array = NDArray[Any]

TURNS = 16
# By halved directions: how far a turn goes, and how much of the turn before is kept. Squared singular values are
# 1/2 to 2 in a direction.
_PACE = {0: (1.0, 0.0), 1: (8 / 9, 1 / 9), 2: (16 / 25, 9 / 25)}


def undone(plane: Array, weights: Array, colours: Colours, start: Array) -> Array:
    """Samples float64 [h, w] of pixels float64 [height, width] that are worth so much, from `start` on."""
    if colours is Colours.FULL:
        return plane.copy()
    way = filling(colours)
    found = start.astype(np.float64)
    step, kept = _PACE[(way.across + way.down - 2) if way.triangles else 0]
    if not way.triangles:
        step = 1 / (way.across * way.down)
    before, slopes = found.copy(), np.empty_like(found)
    for _ in range(TURNS if way.triangles else 2):
        _turn(plane, weights, way, found, before, slopes, float(step), float(kept))
    return found


def means(plane: Array, colours: Colours) -> Array:
    """A start: the mean of every sample's pixels."""
    down, across = colours.down, colours.across
    even = np.pad(plane, ((0, -plane.shape[0] % down), (0, -plane.shape[1] % across)), "edge").astype(np.float64)
    return even.reshape(even.shape[0] // down, down, -1, across).mean(axis=(1, 3))


def noise(colours: Colours) -> Array:
    """Standard deviation [64] of coefficients of what `undone` gives, where all pixels are known."""
    angles = np.arange(8) * np.pi / 8
    squares = 1.25 + 0.75 * np.cos(angles) if colours.triangles else np.full(8, 2.0)
    down = squares if colours.down == 2 else np.ones(8)
    across = squares if colours.across == 2 else np.ones(8)
    if not colours.triangles:  # samples are pixels
        return np.full(64, ROUNDING)
    return (ROUNDING * np.sqrt(1 + 1 / (down[:, None] * across))).reshape(64)


def centres(plane: Array, colours: Colours) -> Array:
    """The middle of what a pixel uint8 can have been before it was rounded: float64."""
    out = plane.astype(np.float64)
    if colours is Colours.HALF:
        out[:, ::2] -= 1 / 32
        out[:, 1::2] += 1 / 32
    elif colours is Colours.HALF_ACROSS:
        out[:, ::2] += 1 / 8
        out[:, 1::2] -= 1 / 8
    elif colours is Colours.HALF_DOWN:
        out[::2] += 1 / 8
        out[1::2] -= 1 / 8
    return out


def whole(samples: Array, shape: tuple[int, int], colours: Colours) -> Array:
    """All pixels uint8 of samples uint8."""
    out = np.empty(shape, np.uint8)
    assert samples.shape == part(shape, colours)
    _whole(samples, filling(colours), out)
    return out


def filled_up(samples: Array, shape: tuple[int, int], colours: Colours) -> Array:
    """All pixels of samples float64, before they are rounded."""
    down, across = colours.down, colours.across
    out = samples
    for axis, size in ((0, down), (1, across)):
        if size == 1:
            continue
        out = np.repeat(out, 2, axis=axis)
        if colours.triangles:
            places = np.arange(out.shape[axis])
            other = np.clip(places // 2 - 1 + 2 * (places & 1), 0, samples.shape[axis] - 1) * 2
            out = 0.75 * out + 0.25 * np.take(out, other, axis=axis)
    return out[: shape[0], : shape[1]]


@compiled
def _whole(samples: Array, way: Filling, out: Array) -> None:
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            out[y, x] = filled(samples, way, y, x) >> 4


@compiled
def _turn(
    plane: Array, weights: Array, way: Filling, found: Array, before: Array, slopes: Array, step: float, kept: float
) -> None:
    """A step down the slope of the squares of what is missing, with some of the step before."""
    rows, columns = found.shape[0], found.shape[1]
    for y in range(rows):
        slopes[y] = 0.0
    for y in range(plane.shape[0]):
        row = y // way.down
        beyond = row
        if way.down == 2 and way.triangles:
            beyond = other(y, rows)
        down = 0.25 if way.down == 2 and way.triangles else 0.0
        for x in range(plane.shape[1]):
            column = x // way.across
            beside = column
            if way.across == 2 and way.triangles:
                beside = other(x, columns)
            right = 0.25 if way.across == 2 and way.triangles else 0.0
            near = (1.0 - down) * found[row, column] + down * found[beyond, column]
            far = (1.0 - down) * found[row, beside] + down * found[beyond, beside]
            missing = weights[y, x] * (plane[y, x] - (1.0 - right) * near - right * far)
            slopes[row, column] += (1.0 - down) * (1.0 - right) * missing
            slopes[beyond, column] += down * (1.0 - right) * missing
            slopes[row, beside] += (1.0 - down) * right * missing
            slopes[beyond, beside] += down * right * missing
    for y in range(rows):
        for x in range(columns):
            value = found[y, x]
            found[y, x] = value + step * slopes[y, x] + kept * (value - before[y, x])
            before[y, x] = value
