"""What the wavefront network sees of a pixel, in compiled code, pixel by pixel.

The same integers as `features.features` and `features.cross_channel` give for the batches of
training, without arrays in between. Units are those of `features`.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact import kernels
from bfncodec.exact.compiled import compiled, room
from bfncodec.exact.layers import INPUT_LIFT
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
_DIFFERENCES = features.DIFFERENCES
_DROP = COEFFICIENT_BITS - 4
_SUM_MAX = 16 * DIFFERENCE_LIMIT


class Canvases(NamedTuple):
    """Pixels, and the fields that go with them (`linear.Fields`): int16 [pixels, 4]."""

    pixels: Ints
    bases: Ints
    crosses: Ints
    innovations: Ints
    trends: Ints


class Frame(NamedTuple):
    """The geometry of canvases of N images of one size, and what a pass says of its base."""

    images: int
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


def frame(shape: tuple[int, int, int], coefficients: Ints) -> Frame:
    """The frame of N images of H x W pixels; coefficients: the base's [74, 3]."""
    count, height, width = shape
    row = width + 2 * RADIUS
    neighbours, near, before = (
        canvas_image.addresses(o, row) for o in (features.NEIGHBOURS, features.PAST, features.TREND)
    )
    weights = np.array(features.PAST_WEIGHTS, np.int64)
    *base, bias, cross = coefficients.astype(np.int64)
    known = _scales()
    return Frame(
        count, height, width, row, neighbours, near, before, weights, np.stack(base, axis=1), bias, cross,
        known.step, known.reciprocal, known.scale,
    )  # fmt: skip


@cache
def _scales() -> features.Scales:
    return features.Scales(kernels.kernel("auto"))


@compiled
def look(
    frame: Frame, known: Canvases, at: int, y: int, x: int, inputs: Ints, base: Ints, cross: Ints, steps: Ints
) -> None:
    """What is seen of the pixel at an address, whose base and all of whose neighbours are known.

    Written: network inputs uint8 [FEATURES], with INPUT_LIFT added; base, cross-channel coefficients and scale steps
    int64 [3].
    """
    neighbours, near, weights = frame.neighbours, frame.near, frame.weights
    step, reciprocal = frame.step, frame.reciprocal
    green, red, blue = room(_NEIGHBOURS, np.int64), room(_NEIGHBOURS, np.int64), room(_NEIGHBOURS, np.int64)
    sizes, scale = room(_PAST, np.int64), room(3, np.int64)
    for channel in range(3):
        base[channel] = known.bases[at, channel]
        cross[channel] = known.crosses[at, channel]
        total = 0
        for place in range(_PAST):
            total += abs(np.int64(known.innovations[at + near[place], channel])) * weights[place]
        steps[channel] = step[min(total, _SUM_MAX)]
        scale[channel] = reciprocal[steps[channel]]
    for place in range(_NEIGHBOURS):
        where = at + neighbours[place]
        green[place] = (np.int64(known.pixels[where, 0]) << 4) - base[0]
        red[place] = (np.int64(known.pixels[where, 1]) << 4) - base[1]
        blue[place] = (np.int64(known.pixels[where, 2]) << 4) - base[2]
    first, second, third = cross[0], cross[1], cross[2]
    for place in range(_NEIGHBOURS):  # `decorrelate`, place by place: as vectors
        g = _limited(green[place], DIFFERENCE_LIMIT)
        r = _limited(red[place] - _told(g, first), DIFFERENCE_LIMIT)
        b = _limited(blue[place] - _told(g, second) - _told(r, third), DIFFERENCE_LIMIT)
        green[place] = _lifted(_scaled(g, scale[0]))
        red[place] = _lifted(_scaled(r, scale[1]))
        blue[place] = _lifted(_scaled(b, scale[2]))
    for place in range(_NEIGHBOURS):
        inputs[place] = green[place]
        inputs[_NEIGHBOURS + place] = red[place]
        inputs[2 * _NEIGHBOURS + place] = blue[place]
    column = 3 * _NEIGHBOURS
    for place in range(_PAST):
        sizes[place] = 0
        for channel in range(3):
            past = np.int64(known.innovations[at + near[place], channel])
            relative = _scaled(past, scale[channel])
            sizes[place] += abs(relative)
            inputs[column] = _lifted(relative)
            column += 1
    for place in range(_PAST):
        inputs[column] = _lifted(sizes[place] // 3 - 16)
        column += 1
    for channel in range(3):
        for level in range(LEVEL_INPUTS):
            inputs[column] = _limited(2 * steps[channel] - 16 * (level + 1), 16) + INPUT_LIFT
            column += 1
    for channel in range(3):
        slow = step[min(_before(frame, known, at, channel) * 37 >> 4, _SUM_MAX)] - steps[channel]
        inputs[column] = _lifted(2 * slow)
        column += 1
    for edge in range(3):
        inputs[column + edge] = INPUT_LIFT + (16 if x == edge else 0)
        inputs[column + 3 + edge] = INPUT_LIFT + (16 if x == frame.width - 1 - edge else 0)
        inputs[column + 6 + edge] = INPUT_LIFT + (16 if y == edge else 0)
    column += 9
    for channel in range(3):
        inputs[column + channel] = (base[channel] >> 7) - 16 + INPUT_LIFT


@compiled
def look_fast(frame: Frame, known: Canvases, at: int, base: Ints, cross: Ints, steps: Ints, slow: Ints) -> None:
    """Base, cross-channel coefficients and scale steps as `look` gives them, and how much trends differ from these."""
    for channel in range(3):
        base[channel] = known.bases[at, channel]
        cross[channel] = known.crosses[at, channel]
        total = 0
        for place in range(_PAST):
            total += abs(np.int64(known.innovations[at + frame.near[place], channel])) * frame.weights[place]
        steps[channel] = frame.step[min(total, _SUM_MAX)]
        slow[channel] = frame.step[min(_before(frame, known, at, channel) * 37 >> 4, _SUM_MAX)] - steps[channel]


@compiled
def _before(frame: Frame, known: Canvases, at: int, channel: int) -> int:
    """Eight times the share that the trends of three neighbours have in a pixel's."""
    total = 0
    for place in range(3):
        total += int(known.trends[at + frame.before[place], channel]) * TREND_WEIGHTS[place]
    return total


@compiled
def predict(frame: Frame, pixels: Ints, at: int, base: Ints) -> None:
    """The linear base prediction of the pixel at an address, int64 [3] in 1/16 level."""
    seen = room(_DIFFERENCES, np.int64)
    for place in range(_NEIGHBOURS):
        where = at + frame.neighbours[place]
        for channel in range(3):
            seen[3 * place + channel] = pixels[where, channel] - _CENTRE
    for target in range(3):
        total = frame.bias[target] + (1 << _DROP - 1)
        for number in range(3 * _NEIGHBOURS):
            total += seen[number] * frame.coefficients[target, number]
        base[target] = min(max((total >> _DROP) + 16 * _CENTRE, 0), 255 * 16)


@compiled
def predict_at(frame: Frame, known: Canvases, at: int) -> None:
    """Write the linear base prediction and the cross-channel coefficients of the pixel at an address."""
    base = room(3, np.int64)
    predict(frame, known.pixels, at, base)
    for channel in range(3):
        known.bases[at, channel] = base[channel]
        known.crosses[at, channel] = frame.cross[channel]


@compiled
def _told(error: int, cross: int) -> int:
    """What an error of one channel tells of another's, by a coefficient in 2**-12."""
    return error * cross + (1 << 11) >> 12


@compiled
def decorrelate(cross: Ints, values: Ints) -> None:
    """Errors [3] become what each channel adds to those before it, as `features.decorrelated`."""
    values[0] = _limited(values[0], DIFFERENCE_LIMIT)
    values[1] = _limited(values[1] - _told(values[0], cross[0]), DIFFERENCE_LIMIT)
    predicted = _told(values[0], cross[1]) + _told(values[1], cross[2])
    values[2] = _limited(values[2] - predicted, DIFFERENCE_LIMIT)


@compiled
def settle(frame: Frame, known: Canvases, at: int, y: int, x: int) -> None:
    """Write innovations and trends of a known pixel, whose base and all of whose neighbours are known."""
    added, trend, cross = room(3, np.int64), room(3, np.int64), room(3, np.int64)
    for channel in range(3):
        cross[channel] = known.crosses[at, channel]
        added[channel] = (np.int64(known.pixels[at, channel]) << 4) - known.bases[at, channel]
    decorrelate(cross, added)
    for channel in range(3):
        trend[channel] = _before(frame, known, at, channel) + abs(added[channel]) + 4 >> 3
    write(frame, known.innovations, at, y, x, added)
    write(frame, known.trends, at, y, x, trend)


@compiled
def innovation_inputs(frame: Frame, known: Canvases, at: int, steps: Ints, inputs: Ints) -> None:
    """The innovations of a settled pixel, INPUT_LIFT added, and their sizes: uint8 [6]; steps: int64 [3], of scales."""
    for channel in range(3):
        innovation = _scaled(np.int64(known.innovations[at, channel]), frame.reciprocal[steps[channel]])
        innovation = _limited(innovation, FEATURE_LIMIT)
        inputs[channel] = innovation + INPUT_LIFT
        inputs[3 + channel] = abs(innovation) + INPUT_LIFT


@compiled
def predict_all(frame: Frame, known: Canvases) -> None:
    """Predict all pixels of filled canvases."""
    for image in range(frame.images):
        for y in range(frame.height):
            start = (image * (frame.height + RADIUS) + y + RADIUS) * frame.row + RADIUS
            for x in range(frame.width):
                predict_at(frame, known, start + x)


@compiled
def settle_all(frame: Frame, known: Canvases) -> None:
    """Settle all pixels of filled canvases whose bases are known, row by row."""
    for image in range(frame.images):
        for y in range(frame.height):
            start = (image * (frame.height + RADIUS) + y + RADIUS) * frame.row + RADIUS
            for x in range(frame.width):
                settle(frame, known, start + x, y, x)


@compiled
def write(frame: Frame, canvas: Ints, at: int, y: int, x: int, values: Ints) -> None:
    """Put values [3] at an address and into the margins that repeat it."""
    for channel in range(3):
        value = values[channel]
        canvas[at, channel] = value
        if x == frame.width - 1:
            for distance in range(1, RADIUS + 1):
                canvas[at + distance, channel] = value
        if x == 0 and y < frame.height - 1:
            for distance in range(frame.row - RADIUS, frame.row):
                canvas[at + distance, channel] = value


@compiled
def cross_channel(frame: Frame, channel: int, values: Ints, base: Ints, cross: Ints, steps: Ints, inputs: Ints) -> int:
    """What the values of earlier channels tell of `channel`, R (1) or B (2): the shift of the mean, 1/1024 level.

    values: [channels], those of `channel` and after are not used; base, cross and steps as `look` gives them. Writes
    two head inputs, those that are new for this channel, to uint8 [2], the first with INPUT_LIFT added.
    """
    error = room(3, np.int64)
    for one in range(3):
        error[one] = (np.int64(values[one]) << 4) - base[one] if one < channel else 0
    decorrelate(cross, error)
    innovation = _limited(_scaled(error[channel - 1], frame.reciprocal[steps[channel - 1]]), FEATURE_LIMIT)
    inputs[0], inputs[1] = innovation + INPUT_LIFT, abs(innovation)
    shift = error[0] * cross[channel - 1] >> 6
    if channel == 2:
        shift += error[1] * cross[2] >> 6
    return shift


@compiled
def _scaled(value: int, reciprocal: int) -> int:
    return value * reciprocal + (1 << 13) >> 14


@compiled
def _limited(value: int, limit: int) -> int:
    return min(max(value, -limit), limit)


@compiled
def _lifted(value: int) -> int:
    return _limited(value, FEATURE_LIMIT) + INPUT_LIFT
