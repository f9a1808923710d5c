"""What the wavefront network sees of a pixel, in compiled code, pixel by pixel.

The same integers as `features.features` and `features.cross_channel` give for the batches of
training, without arrays in between. Units are those of `features`.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact import kernels
from bfncodec.exact.compiled import compiled
from bfncodec.models.image import canvas as canvas_image
from bfncodec.models.image import features
from bfncodec.models.image.canvas import RADIUS
from bfncodec.models.image.features import (
    COEFFICIENT_BITS,
    DIFFERENCE_LIMIT,
    FEATURE_LIMIT,
    LEVEL_INPUTS,
    TREND_WEIGHTS,
)

Ints = NDArray[Any]

_CENTRE = features.CENTRE
_NEIGHBOURS, _PAST = len(features.NEIGHBOURS), len(features.PAST)
_DROP = COEFFICIENT_BITS - 4
_SUM_MAX = 16 * DIFFERENCE_LIMIT


class Frame(NamedTuple):
    """The geometry of canvases int16 [pixels, 4] of N images, and what a pass says of its base."""

    height: int
    width: int
    row: int  # pixels of a canvas's row
    neighbours: Ints  # distances of addresses, int64
    near: Ints
    before: Ints
    weights: Ints  # of `near` in the local scale
    coefficients: Ints  # int64 [3, 72]
    bias: Ints  # int64 [3]
    cross: Ints  # int64 [3]
    step: Ints  # tables of `features.Scales`
    reciprocal: Ints
    scale: Ints


def frame(height: int, width: int, coefficients: Ints) -> Frame:
    """The frame of images of one size; coefficients: the base's [74, 3]."""
    row = width + 2 * RADIUS
    neighbours, near, before = (
        canvas_image.addresses(o, row) for o in (features.NEIGHBOURS, features.PAST, features.TREND)
    )
    weights = np.array(features.PAST_WEIGHTS, np.int64)
    *base, bias, cross = coefficients.astype(np.int64)
    known = _scales()
    return Frame(
        height, width, row, neighbours, near, before, weights, np.stack(base, axis=1), bias, cross,
        known.step, known.reciprocal, known.scale,
    )  # fmt: skip


@cache
def _scales() -> features.Scales:
    return features.Scales(kernels.kernel("auto"))


@compiled
def look(
    frame: Frame, pixels: Ints, bases: Ints, crosses: Ints, innovations: Ints, trends: Ints,
    index: Ints, out: Ints, base: Ints, cross: Ints, scale_steps: Ints
) -> None:  # fmt: skip
    """What is seen of pixels at addresses, to whom `bases` and `crosses` are known.

    Written: network inputs [n, FEATURES]; base, cross-channel coefficients and scale steps int64 [n, 3].
    """
    neighbours = frame.neighbours
    near, before, weights = frame.near, frame.before, frame.weights
    step, reciprocal = frame.step, frame.reciprocal
    around, sizes = np.empty(3, np.int64), np.empty(_PAST, np.int64)
    for number in range(len(index)):
        at, inputs = index[number], out[number]
        for channel in range(3):
            base[number, channel] = bases[at, channel]
            cross[number, channel] = crosses[at, channel]
            total = 0
            for place in range(_PAST):
                total += abs(np.int64(innovations[at + near[place], channel])) * weights[place]
            scale_steps[number, channel] = step[min(total, _SUM_MAX)]
        for place in range(_NEIGHBOURS):
            where = at + neighbours[place]
            for channel in range(3):
                around[channel] = (np.int64(pixels[where, channel]) << 4) - base[number, channel]
            decorrelate(cross[number], around)
            for channel in range(3):
                inputs[channel * _NEIGHBOURS + place] = _limited(
                    _scaled(around[channel], reciprocal[scale_steps[number, channel]]), FEATURE_LIMIT
                )
        column = 3 * _NEIGHBOURS
        sizes[:] = 0
        for place in range(_PAST):
            for channel in range(3):
                past = np.int64(innovations[at + near[place], channel])
                relative = _scaled(past, reciprocal[scale_steps[number, channel]])
                sizes[place] += abs(relative)
                inputs[column] = _limited(relative, FEATURE_LIMIT)
                column += 1
        for place in range(_PAST):
            inputs[column] = _limited(sizes[place] // 3 - 16, FEATURE_LIMIT)
            column += 1
        for channel in range(3):
            for level in range(LEVEL_INPUTS):
                inputs[column] = _limited(2 * scale_steps[number, channel] - 16 * (level + 1), 16)
                column += 1
        for channel in range(3):
            slow = step[min(_before(before, trends, at, channel) * 37 >> 4, _SUM_MAX)] - scale_steps[number, channel]
            inputs[column] = _limited(2 * slow, FEATURE_LIMIT)
            column += 1
        y, x = _position(frame.height, frame.row, at)
        for edge in range(3):
            inputs[column + edge] = 16 if x == edge else 0
            inputs[column + 3 + edge] = 16 if x == frame.width - 1 - edge else 0
            inputs[column + 6 + edge] = 16 if y == edge else 0
        column += 9
        for channel in range(3):
            inputs[column + channel] = (base[number, channel] >> 7) - 16


@compiled
def _before(before: Ints, trends: Ints, at: int, channel: int) -> int:
    """Eight times the share that the trends of three neighbours have in a pixel's."""
    total = 0
    for place in range(3):
        total += int(trends[at + before[place], channel]) * TREND_WEIGHTS[place]
    return total


@compiled
def predict(neighbours: Ints, coefficients: Ints, bias: Ints, pixels: Ints, at: int, seen: Ints, base: Ints) -> None:
    """The linear base prediction of the pixel at an address, int64 [3] in 1/16 level; `seen` is room for [72].

    coefficients: units of 2**-12; bias: levels of 2**-12.
    """
    for place in range(_NEIGHBOURS):
        where = at + neighbours[place]
        for channel in range(3):
            seen[3 * place + channel] = pixels[where, channel] - _CENTRE
    for target in range(3):
        total = bias[target] + (1 << _DROP - 1)
        for number in range(3 * _NEIGHBOURS):
            total += seen[number] * coefficients[target, number]
        base[target] = min(max((total >> _DROP) + 16 * _CENTRE, 0), 255 * 16)


@compiled
def predict_at(frame: Frame, pixels: Ints, bases: Ints, crosses: Ints, index: Ints) -> None:
    """Write the linear base prediction and the cross-channel coefficients of pixels at addresses, not in margins."""
    seen, base = np.empty(3 * _NEIGHBOURS, np.int64), np.empty(3, np.int64)
    for at in index:
        predict(frame.neighbours, frame.coefficients, frame.bias, pixels, at, seen, base)
        for channel in range(3):
            bases[at, channel] = base[channel]
            crosses[at, channel] = frame.cross[channel]


@compiled
def decorrelate(cross: Ints, values: Ints) -> None:
    """Errors [3] become what each channel adds to those before it, as `features.decorrelated`."""
    values[0] = _limited(values[0], DIFFERENCE_LIMIT)
    values[1] = _limited(values[1] - (values[0] * cross[0] + (1 << 11) >> 12), DIFFERENCE_LIMIT)
    predicted = (values[0] * cross[1] + (1 << 11) >> 12) + (values[1] * cross[2] + (1 << 11) >> 12)
    values[2] = _limited(values[2] - predicted, DIFFERENCE_LIMIT)


@compiled
def settle(
    frame: Frame, pixels: Ints, bases: Ints, crosses: Ints, innovations: Ints, trends: Ints, index: Ints
) -> None:
    """Write innovations and trends of known pixels at addresses, whose bases and all of whose neighbours are known."""
    before, height, width, row = frame.before, frame.height, frame.width, frame.row
    added, trend = np.empty(3, np.int64), np.empty(3, np.int64)
    for number in range(len(index)):
        at = index[number]
        for channel in range(3):
            added[channel] = (np.int64(pixels[at, channel]) << 4) - bases[at, channel]
        decorrelate(crosses[at], added)
        for channel in range(3):
            trend[channel] = _before(before, trends, at, channel) + abs(added[channel]) + 4 >> 3
        _write(height, width, row, innovations, at, added)
        _write(height, width, row, trends, at, trend)


@compiled
def settle_all(
    frame: Frame, pixels: Ints, bases: Ints, crosses: Ints, innovations: Ints, trends: Ints, count: int, known: bool
) -> None:
    """Settle all pixels of filled canvases of `count` images, and predict them before, unless bases are known."""
    columns = np.arange(frame.width)
    for image in range(count):
        for y in range(frame.height):
            index = columns + ((image * (frame.height + RADIUS) + y + RADIUS) * frame.row + RADIUS)
            if not known:
                predict_at(frame, pixels, bases, crosses, index)
            settle(frame, pixels, bases, crosses, innovations, trends, index)


@compiled
def put(frame: Frame, pixels: Ints, index: Ints, values: Ints) -> None:
    """Write values int64 [n, channels] at addresses; a grey one goes to all three channels."""
    height, width, row = frame.height, frame.width, frame.row
    value = np.empty(3, np.int64)
    grey = values.shape[1] == 1
    for number in range(len(index)):
        for channel in range(3):
            value[channel] = values[number, 0 if grey else channel]
        _write(height, width, row, pixels, index[number], value)


@compiled
def _write(height: int, width: int, row: int, canvas: Ints, at: int, values: Ints) -> None:
    """Put values [3] at an address and into the margins that repeat it."""
    y, x = _position(height, row, at)
    for channel in range(3):
        canvas[at, channel] = values[channel]
        if x == width - 1:
            for distance in range(1, RADIUS + 1):
                canvas[at + distance, channel] = values[channel]
        if x == 0 and y < height - 1:
            for distance in range(row - RADIUS, row):
                canvas[at + distance, channel] = values[channel]


@compiled
def _position(height: int, row: int, at: int) -> tuple[int, int]:
    """Row and column of an address."""
    return at // row % (height + RADIUS) - RADIUS, at % row - RADIUS


@compiled
def cross_channel(
    frame: Frame, channel: int, values: Ints, base: Ints, cross: Ints, scale_steps: Ints, inputs: Ints, shift: Ints
) -> None:
    """What the values of earlier channels tell of `channel`, R (1) or B (2).

    values: [n, channels], those of `channel` and after are not used; base, cross and scale_steps as `look` gives
    them. Writes two head inputs a pixel, those that are new for this channel, to uint8 [n, 2], the first with 128
    added, and the shift of the mean to int64 [n].
    """
    error = np.empty(3, np.int64)
    for number in range(len(values)):
        for one in range(3):
            error[one] = (np.int64(values[number, one]) << 4) - base[number, one] if one < channel else 0
        decorrelate(cross[number], error)
        innovation = _scaled(error[channel - 1], frame.reciprocal[scale_steps[number, channel - 1]])
        innovation = _limited(innovation, FEATURE_LIMIT)
        inputs[number, 0], inputs[number, 1] = innovation + 128, abs(innovation)
        shift[number] = error[0] * cross[number, channel - 1] >> 6
        if channel == 2:
            shift[number] += error[1] * cross[number, 2] >> 6


@compiled
def _scaled(value: int, reciprocal: int) -> int:
    return value * reciprocal + (1 << 13) >> 14


@compiled
def _limited(value: int, limit: int) -> int:
    return min(max(value, -limit), limit)
