"""Heads that learn from the image while it is coded, in integers, alike in encoder and decoder.

The last two layers of the wavefront network start from the model's weights and take one
step of gradient descent after every LEARN_PIXELS pixels (2**pace times as often), on the
cost of the pixels just coded; in a picture of two bands after every second of these runs only, and so on.
Gradients are averaged and divided by their root mean square. Weights are kept with FINE
extra bits. Products are those of `exact.products`, of bytes: a weight is two, a gradient too.

A step of size one changes a weight by its layer's rate, whatever the gradient's scale.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.mixtures import Tables, gradient
from bfncodec.errors import CorruptFile
from bfncodec.exact.compiled import compiled
from bfncodec.exact.kernels import ACTIVATION_MAX, SUM_LIMIT
from bfncodec.exact.layers import INPUT_LIFT, Linear, LocalNetwork
from bfncodec.exact.products import BLOCK, GROUP, SumRoom, packed, product, put_sums, sum_room

Ints = NDArray[Any]

LEARN_PIXELS = 1024
EVERY_MOST = 16  # runs: bands of a picture of so many or more learn from one in so many
WIDE = 6  # bits that adapted weights have beyond int8
WIDE_MAX = (1 << 15) - 1
FINE = 12  # bits that the learnt weights have beyond those used
MOMENTUM = 3  # steps over which gradients are averaged
MEMORY = 100  # steps over which their squares are averaged, times 2**pace
FIXED = 3  # the pace at which heads do not learn; p < 3: steps 2**p times as often, rates 2**p times smaller
STEP_MAX = 4  # largest step, in rates
HEAD_RATE = 786  # 0.003 of the head's output grid, in 2**-(WIDE + FINE)
OUT_RATES = (164, 658, 237)  # 0.01 nat, scale, nat (logits, means, log-scales) per 255 of input
_OUT_WEIGHTS = (4, 1, 11)  # gradient for one step of the output grid, in common units
_GRADIENT_MAX = 127 * 257  # of two signed bytes
_ALIGN_MAX = 12
_INNER_BITS = 1
_INNER_MAX = 127 * 257  # of two signed bytes
_PLANES = 2  # bytes of a gradient
_SUM_SHIFT = 6
_SUM_MAX = 1 << 25
_SHIFT_MAX = 17  # of the layers: rates times gradients stay below 2**52


class Layers(NamedTuple):
    """One layer of the heads of all three channels, which learns.

    Weights [3, out, in]; the learnt part of the bias is the weight of a constant input of 255.
    """

    fine: Ints  # float64, whole numbers: 2**-FINE of the weights in use
    mean: Ints  # float64, of gradients
    square: Ints
    used: Ints  # float64, whole numbers: weights in use
    weights: Ints  # the same as bytes: int8 [3, ...], `packed`, high bytes of all outputs and then low ones
    bias: Ints  # int64 [3, out]
    offset: Ints  # the bias, less what lifted inputs add
    shift: Ints
    rate: Ints  # float64 [3, out]
    columns: Ints  # int64 [3]: inputs in use


class Room(NamedTuple):
    """Memory that a learning step works in."""

    sums: SumRoom
    totals: Ints  # [out, in]
    slopes: Ints  # int64 [3, n, outputs]
    inner: Ints  # int64 [3, n, units]
    line: Ints  # float64
    arguments: Ints
    edges: Ints


class Heads(NamedTuple):
    """The heads of an image or block, and what they remember of pixels since the last step, rows [n]."""

    head: Layers
    out: Layers
    lifted: int  # from this input of the heads on, every second one is lifted
    factors: Ints  # of gradients, by output
    aligned: Ints  # int64 [3, out]: shifts to common units
    inner_shifts: Ints  # int64 [3]
    memory: int
    steps: Ints  # int64 [1]
    hidden: Ints  # uint8 [3, n, units and more]
    raw: Ints  # int64 [3, n, 3 * mixtures]
    parts: Ints  # int32 [3, n, mixtures, 4], of Mixtures
    values: Ints  # int64 [n, 3]
    sums: Ints
    room: Room


def layers(own: list[Linear], constant: int, lifted: int, rates: Ints) -> Layers:
    """The layers of three channels; constant: where the constant input is put in; lifted: see `Heads`."""
    numbers = [one.integers for one in own]
    columns = np.array([one.weight.shape[1] + 1 for one in numbers])
    if columns.max() * ACTIVATION_MAX * 128 >= SUM_LIMIT:
        raise CorruptFile("the model's heads have too many inputs")
    if max(one.shift.max() for one in numbers) > _SHIFT_MAX:
        raise CorruptFile("the model's heads have shifts too large for learning")
    units = len(numbers[0].bias)
    fine = np.zeros((3, units, columns.max()))
    for one, target, width in zip(numbers, fine, columns, strict=True):
        target[:, :width] = np.insert(one.weight, constant, 0, axis=1) << WIDE + FINE
    bytes_ = packed(np.zeros((2 * units, columns.max()), np.int8))
    own_layers = Layers(
        fine, np.zeros_like(fine), np.zeros_like(fine), np.zeros_like(fine), np.stack([bytes_] * 3),
        np.stack([one.bias << WIDE for one in numbers]), np.zeros((3, units), np.int64),
        np.stack([one.shift + WIDE for one in numbers]),
        np.stack([rates << one.shift for one in numbers]).astype(np.float64), columns,
    )  # fmt: skip
    for channel in range(3):
        round_weights(own_layers, channel, lifted)
    return own_layers


def heads(network: LocalNetwork, pace: int, size: int = 0, *, deep: bool = False) -> Heads:
    """Heads that start as the network's. size: pixels between two steps at most; deep: whether the trunk learns too."""
    width, units = network.width, len(network.heads[0].integers.bias)
    mixtures = len(network.outs[0].integers.bias) // 3
    slower = pace + int(deep)
    rates = np.repeat(np.array(OUT_RATES, np.int64), mixtures) >> slower
    # The trunk's activations, the constant, then two inputs that each channel gives to those after it.
    head = layers(network.heads, width, width + 1, np.full(units, HEAD_RATE >> slower, np.int64))
    out = layers(network.outs, units, units + 1, rates)
    # Rows of the outs have powers of two of their own: aligned when a gradient goes back.
    shifts = out.shift
    peaks = shifts.max(axis=1)
    hidden = np.zeros((3, size, -(-(units + 1) // GROUP) * GROUP), np.uint8)
    hidden[:, :, units] = ACTIVATION_MAX
    outputs = 3 * mixtures
    columns, most = max(head.fine.shape[2], out.fine.shape[2]), max(units, outputs)
    room = Room(
        sum_room(size, columns, most, _PLANES), np.empty((most, columns), np.int64),
        np.empty((3, size, outputs), np.int64), np.empty((3, size, units), np.int64), np.empty(units),
        *np.empty((2, mixtures, 2), np.int64),
    )  # fmt: skip
    blocks = max(head.weights.shape[1], out.weights.shape[1])
    return Heads(
        head, out, width + 1, np.repeat(np.array(_OUT_WEIGHTS, np.int64), mixtures),
        np.minimum(peaks[:, None] - shifts, _ALIGN_MAX), peaks - _INNER_BITS, MEMORY << pace, np.zeros(1, np.int64),
        hidden, np.empty((3, size, outputs), np.int64), np.empty((3, size, mixtures, 4), np.int32),
        np.empty((size, 3), np.int64), np.empty((size, BLOCK * blocks), np.int32), room,
    )  # fmt: skip


@compiled
def round_weights(layers: Layers, channel: int, lifted: int) -> None:
    """Weights as they are used; for products, their high and low bytes, and the bias of lifted inputs."""
    fine, used, weights = layers.fine[channel], layers.used[channel], layers.weights[channel]
    units, columns = len(fine), layers.columns[channel]
    for row in range(units):
        low = row + units
        for column in range(columns):
            value = min(max((int(fine[row, column]) + (1 << FINE - 1)) >> FINE, -WIDE_MAX), WIDE_MAX)
            high = (value + 128) >> 8
            used[row, column] = value
            weights[row // BLOCK, column // GROUP, row % BLOCK, column % GROUP] = high
            weights[low // BLOCK, column // GROUP, low % BLOCK, column % GROUP] = value - (high << 8)
        total = layers.bias[channel, row]
        for column in range(lifted, columns, 2):
            total -= INPUT_LIFT * int(used[row, column])
        layers.offset[channel, row] = total


@compiled
def forward(heads: Heads, channel: int, inputs: Ints, first: int, last: int) -> None:
    """Mixture parameters of rows first .. last - 1, from the heads' inputs uint8 [n, columns and more]."""
    head, out, sums = heads.head, heads.out, heads.sums
    hidden, raw = heads.hidden[channel], heads.raw[channel]
    units, outputs, count = head.shift.shape[1], out.shift.shape[1], last - first
    product(inputs[first:last], head.weights[channel], sums)
    for row in range(count):
        target, source = hidden[first + row], sums[row]
        for unit in range(units):
            whole = (np.int64(source[unit]) << 8) + np.int64(source[units + unit]) + head.offset[channel, unit]
            target[unit] = min(max(whole >> head.shift[channel, unit], 0), ACTIVATION_MAX)
    product(hidden[first:last], out.weights[channel], sums)
    for row in range(count):
        for unit in range(outputs):
            whole = (np.int64(sums[row, unit]) << 8) + np.int64(sums[row, outputs + unit]) + out.offset[channel, unit]
            raw[first + row, unit] = whole >> out.shift[channel, unit]


@compiled
def slopes(heads: Heads, known: Tables, first: int, last: int, count: int) -> None:
    """Gradients of both layers' outputs, of channels first .. last - 1, on the `count` pixels that are remembered."""
    room, mixtures = heads.room, heads.parts.shape[2]
    for channel in range(first, last):
        for row in range(count):
            logs = heads.raw[channel, row, 2 * mixtures :]
            value, parts = heads.values[row, channel], heads.parts[channel, row]
            gradient(known, parts, value, logs, room.arguments, room.edges, room.slopes[channel, row])
        back(heads, channel, count)


@compiled
def step(heads: Heads, first: int, last: int, inputs: Ints, count: int) -> None:
    """One step of both layers of these channels, with the gradients that `slopes` left."""
    heads.steps[0] += 1
    for channel in range(first, last):
        outer, inner = heads.room.slopes[channel], heads.room.inner[channel]
        _step(heads, heads.out, channel, heads.out.columns[channel], heads.hidden[channel], outer, count)
        _step(heads, heads.head, channel, heads.lifted, inputs, inner, count)


@compiled
def back(heads: Heads, channel: int, count: int) -> None:
    """Gradients [n, outputs] of the last layer, brought to common units -> limited ones [n, units] of its inputs.

    None where a unit is at either end of its range.
    """
    slopes, targets, weights = heads.room.slopes[channel], heads.room.inner[channel], heads.out.used[channel]
    units, shift = targets.shape[1], heads.inner_shifts[channel]
    totals = heads.room.line
    for row in range(count):
        inner, hidden = targets[row], heads.hidden[channel, row]
        for unit in range(units):
            totals[unit] = 0.0
        for output in range(slopes.shape[1]):
            slope = min(max(slopes[row, output] * heads.factors[output], -_GRADIENT_MAX), _GRADIENT_MAX)
            slopes[row, output] = slope
            factor, own = float(slope << heads.aligned[channel, output]), weights[output]
            for unit in range(units):  # whole numbers below 2**46
                totals[unit] += factor * own[unit]
        for unit in range(units):
            value = min(max(int(totals[unit]) >> shift, -_INNER_MAX), _INNER_MAX)
            inner[unit] = value if 0 < hidden[unit] < ACTIVATION_MAX else 0


@compiled
def _step(heads: Heads, layers: Layers, channel: int, lifted: int, inputs: Ints, slopes: Ints, count: int) -> None:
    """One step of a layer, with gradients of its outputs [n, out] and its inputs uint8 [n, in and more]."""
    gradients(heads.room, inputs, layers.columns[channel], lifted, slopes, count)
    descend(layers, channel, heads.room.totals, min(heads.steps[0], MOMENTUM), min(heads.steps[0], heads.memory))
    round_weights(layers, channel, lifted)


@compiled
def gradients(room: Room, inputs: Ints, columns: int, lifted: int, slopes: Ints, count: int) -> None:
    """Sums of gradients [n, out] times inputs [n, columns and more], to `room.totals` [out, columns]."""
    put_sums(inputs, columns, slopes, count, _PLANES, room.sums, room.totals)
    for unit in range(slopes.shape[1]):
        total = 0
        for row in range(count):
            total += slopes[row, unit]
        for column in range(lifted, columns, 2):
            room.totals[unit, column] -= INPUT_LIFT * total


@compiled
def descend(layers: Layers, channel: int, gradient: Ints, momentum: int, memory: int) -> None:
    """Against gradients int64 [out, in].

    Whole numbers below 2**52 in float64, whose quotients and roots, rounded down, are exact: integers are slow.
    """
    for row in range(layers.fine.shape[1]):
        rate = layers.rate[channel, row]
        fine, mean, square = layers.fine[channel, row], layers.mean[channel, row], layers.square[channel, row]
        limit, slopes = STEP_MAX * rate, gradient[row]
        for column in range(layers.columns[channel]):
            slope = float(min(max(slopes[column] >> _SUM_SHIFT, -_SUM_MAX), _SUM_MAX))
            average = mean[column] + np.floor((slope - mean[column]) / momentum)
            power = square[column] + np.floor((slope * slope - square[column]) / memory)
            step = np.floor(average * rate / (np.floor(np.sqrt(power)) + 1))
            mean[column], square[column] = average, power
            fine[column] -= min(max(step, -limit), limit)
