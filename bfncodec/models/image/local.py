"""Local linear prediction: least squares that follow an image along the diagonals, the same on every machine.

Every row of an image has normal equations of its own, float64 sums of weighted products of
[neighbours' values, G, R, B], all less what the image-wide base says of their channel. From one
diagonal to the next they fade, and mix with those of the row above, which are four pixels ahead,
and of the row below, four pixels behind: a pixel counts less the further away it is, in either
direction. Neighbours are the same for all three channels, so one matrix serves them.

Its factors L D L' tell everything. With neighbours decorrelated by L, the rows of L that belong
to G, R and B hold their predictions, and beside them what the errors of earlier channels tell of
later ones, in the sense of `features.decorrelated`.

All operations are additions, multiplications and divisions of float64, one by one in the order
written here, for LANES rows beside each other. Units: levels; what is written, 1/16 level.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.compiled import compiled, room
from bfncodec.models.image.canvas import RADIUS, SLOPE, addresses
from bfncodec.models.image.compiled_features import Canvases, Frame, predict

Numbers = NDArray[Any]

NEIGHBOURS = [(0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0)]
NEIGHBOURS_OF_GREY = [*NEIGHBOURS, (-1, -2), (-1, 2), (-2, -1), (-2, 1)]
KEPT = 0.97  # of the sums, from one diagonal to the next
ABOVE, BELOW = 0.28, 0.05  # shares of the row above and of that below in what is kept
QUIET = 0.5  # levels that every pixel's activity has at least
RIDGE, RELATIVE_RIDGE = 0.05, 0.003  # added to squares of neighbours
LEAST = 2.0**-10  # added to squares of G, R, B
CROSS_MAX = 2 << 12  # 2**-12
LANES = 16
_GRAIN = 4096.0  # added and taken away again, it leaves multiples of about 2**-40: sums fade to zero in the end


class Local(NamedTuple):
    """Normal equations of one image, for the rows that diagonals cross at a time, of which there are few in a tall one.

    Row y of the image stands at y + 1 - low.
    """

    channels: int  # 3, or 1 of grey images, whose channels are equal
    inputs: int  # neighbours' values, those of a neighbour side by side; `size`: and the pixel's own, G, R, B
    size: int
    low: Numbers  # int64 [1]
    offsets: Numbers  # int64: distances of addresses of NEIGHBOURS
    sums: Numbers  # float64 [size * (size + 1) / 2, rows]
    seen: Numbers  # float64 [size, rows], of the latest diagonal, zeros where it has no pixel
    weights: Numbers  # float64 [rows]
    wide: Numbers  # int16 [pixels, 4]: the image-wide base
    old: Numbers  # room: float64 [rows]
    share: Numbers
    lanes: Numbers  # room: float64 [4, LANES]
    factors: Numbers  # room: float64 [size, size, LANES]
    turned: Numbers  # room: float64 [size, LANES]


def equations(frame: Frame, channels: int) -> Local:
    """Equations before the first diagonal of an image of 3 channels or 1."""
    neighbours = NEIGHBOURS if channels == 3 else NEIGHBOURS_OF_GREY
    inputs = channels * len(neighbours)
    size = inputs + channels
    room = min(frame.height, 2 * (frame.width // SLOPE + 1) + 8) + 2
    rows = room + LANES
    return Local(
        channels, inputs, size,
        np.zeros(1, np.int64), addresses(neighbours, frame.row), np.zeros((size * (size + 1) // 2, rows)),
        np.zeros((size, rows)),
        np.zeros(rows), np.zeros(((frame.height + RADIUS) * frame.row, 4), np.int16), np.empty(rows), np.empty(rows),
        np.empty((4, LANES)), np.empty((size, size, LANES)), np.empty((size, LANES)),
    )  # fmt: skip


@compiled
def follow(frame: Frame, known: Canvases, own: Local) -> None:
    """Predict all pixels of a filled canvas."""
    for number in range(frame.width + SLOPE * (frame.height - 1)):
        advance(frame, known, own, number)


@compiled
def advance(frame: Frame, known: Canvases, own: Local, number: int) -> None:
    """Predict the pixels of a diagonal from those of all diagonals before it, each of which `advance` has met.

    Written at those pixels, and not in margins: bases and crosses, each the mean of what the image-wide base says and
    what the local one does.
    """
    first = max(0, -((frame.width - 1 - number) // SLOPE))
    stop = min(frame.height, number // SLOPE + 1)
    below = min(frame.height, stop + 1)  # the next row gets ready
    if below + 2 - own.low[0] > len(own.weights) - LANES:
        _move(own, first - own.low[0])
    start, low = RADIUS * frame.row + RADIUS + number, own.low[0]
    _learn(frame, known, own, number - 1, start - 1, first, below)
    _look(frame, known, own, start, first, stop)
    factors, turned, inputs = own.factors, own.turned, own.inputs
    for row in range(first, stop, LANES):
        _factorise(own, row + 1 - low)
        _predict(own, row + 1 - low)
        for lane in range(min(LANES, stop - row)):
            at = start + (row + lane) * (frame.row - SLOPE)
            for channel in range(3):
                change = min(max(turned[inputs + channel % own.channels, lane], -256.0), 256.0)
                wide = int(own.wide[at, channel])
                value = wide + int(np.floor(change * 16.0 + 0.5))
                known.bases[at, channel] = wide + min(max(value, 0), 255 * 16) + 1 >> 1
            if own.channels == 1:
                for channel in range(3):
                    known.crosses[at, channel] = frame.cross[channel]
            else:
                known.crosses[at, 0] = frame.cross[0] + _cross(factors[inputs, inputs + 1, lane]) + 1 >> 1
                known.crosses[at, 1] = frame.cross[1] + _cross(factors[inputs, inputs + 2, lane]) + 1 >> 1
                known.crosses[at, 2] = frame.cross[2] + _cross(factors[inputs + 1, inputs + 2, lane]) + 1 >> 1


@compiled
def _move(own: Local, rows: int) -> None:
    """Leave rows behind that no diagonal crosses any more."""
    kept = len(own.weights) - rows
    for row in range(len(own.weights)):
        own.weights[row] = own.weights[row + rows] if row < kept else 0.0
    for one in range(len(own.sums)):
        line = own.sums[one]
        for row in range(len(line)):
            line[row] = line[row + rows] if row < kept else 0.0
    for one in range(len(own.seen)):
        line = own.seen[one]
        for row in range(len(line)):
            line[row] = line[row + rows] if row < kept else 0.0
    own.low[0] += rows


@compiled
def _cross(value: float) -> int:
    limit = CROSS_MAX / 4096.0
    return int(np.floor(min(max(value, -limit), limit) * 4096.0 + 0.5))


@compiled
def _learn(frame: Frame, known: Canvases, own: Local, number: int, start: int, first: int, stop: int) -> None:
    """Sums of rows fade, mix and take in the pixels of the diagonal before, which are now known."""
    low, sums, seen, weights, share, old = own.low[0], own.sums, own.seen, own.weights, own.share, own.old
    for y in range(max(0, -((frame.width - 1 - number) // SLOPE)), min(frame.height, number // SLOPE + 1)):
        at = start + y * (frame.row - SLOPE)
        for channel in range(own.channels):
            seen[own.inputs + channel, y + 1 - low] = _difference(known.pixels[at, channel], own.wide[at, channel])
    above, below = KEPT * ABOVE, KEPT * BELOW
    same = KEPT - above - below
    count, top = stop - first, first - low
    weight = weights[top + 1 :]
    product = 0
    for one in range(own.size):
        values = seen[one, top + 1 :]
        for row in range(count):
            share[row] = values[row] * weight[row]
        for other in range(one + 1):
            total, values = sums[product, top:], seen[other, top + 1 :]
            for row in range(count + 2):
                old[row] = total[row]
            if first == 0:
                old[0] = old[1]
            if stop == frame.height:
                old[count + 1] = old[count]
            _fade(total[1:], old, old[1:], old[2:], share[:count], values, same, above, below)
            product += 1
    for row in range(max(0, top - 1), top + count + 2):
        weights[row] = 0.0
        for one in range(own.size):
            seen[one, row] = 0.0


@compiled
def _fade(
    total: Numbers, ahead: Numbers, own: Numbers, behind: Numbers, share: Numbers, values: Numbers,
    same: float, above: float, below: float
) -> None:  # fmt: skip
    for row in range(len(share)):
        kept = same * own[row] + above * ahead[row] + below * behind[row]
        total[row] = (kept + share[row] * values[row] + _GRAIN) - _GRAIN


@compiled
def _difference(level: int, base: int) -> float:
    return ((int(level) << 4) - int(base)) * 0.0625


@compiled
def _look(frame: Frame, known: Canvases, own: Local, start: int, first: int, stop: int) -> None:
    """The image-wide base of a diagonal's pixels, their neighbours less that, and their weights."""
    base, low = room(3, np.int64), own.low[0]
    for y in range(first, stop):
        at = start + y * (frame.row - SLOPE)
        predict(frame, known.pixels, at, base)
        for channel in range(3):
            own.wide[at, channel] = base[channel]
        activity = 0.0
        for place in range(len(own.offsets)):
            for channel in range(own.channels):
                value = _difference(known.pixels[at + own.offsets[place], channel], own.wide[at, channel])
                own.seen[own.channels * place + channel, y + 1 - low] = value
                activity += abs(value)
        own.weights[y + 1 - low] = 1.0 / (activity / own.inputs + QUIET)


@compiled
def _factorise(own: Local, row: int) -> None:
    """Factors of the equations of LANES rows: [k, i > k] becomes L[i, k]."""
    # Rows of arrays, and a number of lanes that the compiler does not know: it makes vectors of these loops.
    sums, factors = own.sums, own.factors
    share, inverse, other_share, second = own.lanes[0], own.lanes[1], own.lanes[2], own.lanes[3]
    lanes, product, size = len(share), 0, own.size
    for one in range(size):
        for other in range(one + 1):
            target, total = factors[other, one], sums[product, row:]
            for lane in range(lanes):
                target[lane] = total[lane]
            product += 1
        target = factors[one, one]
        for lane in range(lanes):
            target[lane] += target[lane] * RELATIVE_RIDGE + RIDGE if one < own.inputs else LEAST
    for pivot in range(0, size - 1, 2):  # two at a time: what they take away is taken away in order
        low, high = factors[pivot], factors[pivot + 1]
        square, factor = low[pivot], low[pivot + 1]
        for lane in range(lanes):
            inverse[lane] = 1.0 / square[lane]
        for lane in range(lanes):
            share[lane] = factor[lane] * inverse[lane]
        for other in range(pivot + 1, size):
            target, line = high[other], low[other]
            for lane in range(lanes):
                target[lane] -= share[lane] * line[lane]
        for lane in range(lanes):
            factor[lane] = share[lane]
        square = high[pivot + 1]
        for lane in range(lanes):
            second[lane] = 1.0 / square[lane]
        for one in range(pivot + 2, size):
            factor, other_factor = low[one], high[one]
            for lane in range(lanes):
                share[lane] = factor[lane] * inverse[lane]
                other_share[lane] = other_factor[lane] * second[lane]
            for other in range(one, size):
                target, line, other_line = factors[one, other], low[other], high[other]
                for lane in range(lanes):
                    target[lane] = (target[lane] - share[lane] * line[lane]) - other_share[lane] * other_line[lane]
            for lane in range(lanes):
                factor[lane] = share[lane]
                other_factor[lane] = other_share[lane]


@compiled
def _predict(own: Local, row: int) -> None:
    """Neighbours decorrelated, and what they say of G, R and B: [size, LANES]."""
    turned, factors, inputs = own.turned, own.factors, own.inputs
    lanes = turned.shape[1]
    for one in range(own.size):
        target, values = turned[one], own.seen[one, row:]
        for lane in range(lanes):
            target[lane] = values[lane] if one < inputs else 0.0
    for pivot in range(inputs):
        known = turned[pivot]
        for one in range(pivot + 1, inputs):
            target, factor = turned[one], factors[pivot, one]
            for lane in range(lanes):
                target[lane] -= factor[lane] * known[lane]
        for one in range(inputs, own.size):
            target, factor = turned[one], factors[pivot, one]
            for lane in range(lanes):
                target[lane] += factor[lane] * known[lane]
