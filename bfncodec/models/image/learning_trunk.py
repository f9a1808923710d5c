"""A trunk that learns from the image while it is coded, beside the heads and after the same runs of pixels.

Both layers of every residual block take steps of gradient descent. Gradients come from the heads of all coded channels
to the trunk's last activations, and from there to every block through the skip connections alone, as if no other block
came after it. They are rounded to bytes, with a power of two for every unit, and so are the weights that they go
back through: products are those of bytes, and their sums whole numbers. A step divides averaged gradients by the root
of their averaged squares, of which there is one number for every row and one for every column (Adafactor,
arXiv 1804.04235). That is done in float32 and float64, one operation after another in a fixed order: the same
everywhere.

Weights in use are bytes, as in the model; `fine` keeps what is learnt between them.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import CorruptFile
from bfncodec.exact.compiled import compiled, shaped
from bfncodec.exact.kernels import ACTIVATION_MAX, SUM_LIMIT
from bfncodec.exact.layers import LocalNetwork, Trunk
from bfncodec.exact.products import BLOCK, GROUP, product, side_by_side, turned_product
from bfncodec.models.image.learning_heads import WIDE, Layers

Ints = NDArray[Any]

RATE = 0.00135  # of weights of `first`, in activations per input, halved with every pace
SECOND_RATE = 16 * RATE  # of `second`, in units of the stream
CONSTANT = 51  # the input whose weight is the learnt part of a bias
MOMENTUM = 2  # steps over which gradients are averaged
MEMORY = 100  # steps over which their squares are averaged, times 2**pace
STEP_MAX = 4  # largest step, in rates
WEIGHT_MAX = 127
WIDEST = 256  # units of a layer at most: sums of squares stay below 2**63
_SCALE_MIN, _SCALE_MAX = -16, 7  # powers of two that gradients are multiplied by
_SPREAD = 3  # bits: bytes reach so many times as far as the root mean square
_LEAST = 2.0**-20  # of a row's root mean square, in that of all rows
_LEAST_ROOT, _LEAST_SQUARE = 2.0**-60, 2.0**-120


class Slopes(NamedTuple):
    """Gradients [n, units] as bytes."""

    lifted: Ints  # uint8 [n, units and more], 128 added
    digits: Ints  # uint32 [groups * units]: bytes of four rows side by side
    scales: Ints  # int64 [units]: gradients are bytes / 2**scale
    factors: Ints  # float32 [units]: powers of two
    totals: Ints  # float32 [units]: sums of bytes, below 2**24
    squares: Ints  # float32 [units]: sums of gradients' squares


class Room(NamedTuple):
    """Memory that a step works in."""

    top: Slopes  # of the trunk's last activations
    inner: Slopes  # of hidden units
    sums: Ints  # int32
    words: Ints  # uint32: inputs of products, packed
    rows: Ints  # int8 [units, columns]: weights that gradients go back through
    columns: Ints  # int32: 128 times their sums
    line: Ints  # float32 [columns]: sums of squares, and then factors
    lanes: Ints  # float32 [BLOCK]: sums of a row's squares, by column modulo BLOCK


class Moments(NamedTuple):
    """What layers (first and second of every block) remember, [layers, out, in]."""

    fine: Ints  # float32: weights
    mean: Ints  # float32, of gradients
    rows: Ints  # float64 [layers, out]: averaged squares
    columns: Ints  # float64 [layers, in]
    fine_bias: Ints  # float64 [layers, out]: weights of CONSTANT
    mean_bias: Ints  # float64
    square_bias: Ints  # float64
    used: Ints  # int8: weights in use
    bias: Ints  # int64 [layers, out]: the model's
    shift: Ints  # int64 [layers, out]
    rate: Ints  # float32 [layers, out]


class Deep(NamedTuple):
    """The trunk of an image, and what it remembers of pixels since the last step, rows [n]."""

    kept: Ints  # uint8 [layers, n, units]: inputs of every layer of a block
    trunk: Trunk
    moments: Moments
    memory: int
    steps: Ints  # int64 [1]
    room: Room


def deep(network: LocalNetwork, pace: int, size: int, *, learns: bool) -> Deep:
    """A trunk that starts as the network's. size: pixels that are remembered; CorruptFile if it cannot learn."""
    sizes, start = network.numbers.sizes, network.numbers
    linear = [layer for pair in zip(network.first, network.second, strict=True) for layer in pair] if learns else []
    units = len(network.heads[0].integers.bias)
    widest = max([network.width, 3 * units, *(sizes[:, 0])])
    if learns and widest > WIDEST:
        raise CorruptFile("the model's layers are too wide for learning")
    for layer in linear:
        reach = WEIGHT_MAX * (ACTIVATION_MAX * layer.integers.weight.shape[1] + CONSTANT)
        if abs(layer.integers.bias).max() + reach >= SUM_LIMIT:
            raise CorruptFile("the model's biases are too large for learning")
    most = -(-widest // BLOCK) * BLOCK if learns else 0
    size = size if learns else 0
    shape = len(linear), most, most
    fine, mean = np.zeros((2, *shape), np.float32)
    rows, columns, fine_bias, mean_bias, square_bias = np.zeros((5, *shape[:2]))
    bias, shift = np.zeros((2, *shape[:2]), np.int64)
    rate, used = np.zeros(shape[:2], np.float32), np.zeros(shape, np.int8)
    moments = Moments(fine, mean, rows, columns, fine_bias, mean_bias, square_bias, used, bias, shift, rate)
    for number, layer in enumerate(linear):
        numbers = layer.integers
        outputs, inputs = numbers.weight.shape
        fine[number, :outputs, :inputs] = used[number, :outputs, :inputs] = numbers.weight
        bias[number, :outputs], shift[number, :outputs] = numbers.bias, numbers.shift
        rate[number, :outputs] = (SECOND_RATE if number % 2 else RATE) / 2**pace * 2.0**numbers.shift
    bytes_, words = max(size, most) * most, max(size, most) * most // GROUP + most
    room = Room(
        _slopes(size, most), _slopes(size, most), np.zeros(bytes_, np.int32), np.zeros(words, np.uint32),
        np.zeros((most, most), np.int8), np.zeros(most, np.int32), np.zeros(most, np.float32),
        np.zeros(BLOCK, np.float32),
    )  # fmt: skip
    trunk = Trunk(sizes, start.weights.copy(), start.biases.copy(), start.shifts) if learns else start
    kept, memory = np.zeros((len(linear), size, most), np.uint8), MEMORY << (pace if learns else 0)
    return Deep(kept, trunk, moments, memory, np.zeros(1, np.int64), room)


def _slopes(size: int, most: int) -> Slopes:
    """Room for gradients of so many pixels and units."""
    digits, units = np.zeros(-(-size // GROUP) * most, np.uint32), np.zeros((3, most), np.float32)
    return Slopes(np.zeros((size, most), np.uint8), digits, np.zeros(most, np.int64), units[0], units[1], units[2])


@compiled
def learn(deep: Deep, heads: Layers, slopes: Ints, first: int, last: int, activations: Ints, count: int) -> None:
    """One step of all layers on `count` pixels that are remembered.

    slopes: gradients int64 [3, n, units] of hidden units of the heads of channels first .. last - 1;
    activations: the trunk's last ones, uint8 [n, width and more].
    """
    room, moments, sizes = deep.room, deep.moments, deep.trunk.sizes
    deep.steps[0] += 1
    width, units = sizes[0, 0], slopes.shape[2]
    for channel in range(first, last):
        start = (channel - first) * units
        _to_bytes(slopes[channel], count, units, room.inner, start)
    scale = _head_weights(room, heads, first, last, units, width)
    _back(room, room.inner, count, (last - first) * units, width, activations)
    _to_bytes(shaped(room.sums, 0, np.int32, (count, _wide(width))), count, width, room.top, 0)
    for unit in range(width):
        room.top.scales[unit] += scale
    at, to = sizes[0, 1] * sizes[0, 2] * BLOCK * GROUP, width
    for number in range(0, len(sizes) - 1, 2):
        hidden = sizes[number + 1, 0]
        after, behind = at + sizes[number + 1, 1] * sizes[number + 1, 2] * BLOCK * GROUP, to + hidden
        scale = _layer_weights(room, moments, number + 1, width, hidden)
        _back(room, room.top, count, width, hidden, deep.kept[number + 1])
        _to_bytes(shaped(room.sums, 0, np.int32, (count, _wide(hidden))), count, hidden, room.inner, 0)
        for unit in range(hidden):
            room.inner.scales[unit] += scale
        _step(deep, number, room.inner, count, hidden, width, at, to)
        _step(deep, number + 1, room.top, count, width, hidden, after, behind)
        at, to = after + sizes[number + 2, 1] * sizes[number + 2, 2] * BLOCK * GROUP, behind + width


@compiled
def _power(exponent: int) -> float:
    """2**exponent, exactly."""
    return float(1 << exponent) if exponent >= 0 else 1.0 / float(1 << -exponent)


@compiled
def _wide(columns: int) -> int:
    return -(-columns // BLOCK) * BLOCK


@compiled
def _to_bytes(values: Ints, count: int, units: int, target: Slopes, start: int) -> None:
    """Gradients [n, units] as bytes of units from `start` on; their power of two is the largest that leaves room."""
    squares, factors, totals = target.squares[start:], target.factors[start:], target.totals[start:]
    for unit in range(units):
        squares[unit] = 0
        totals[unit] = 0
    for row in range(count):
        source = values[row]
        for unit in range(units):
            value = np.float32(source[unit])
            squares[unit] += value * value
    for unit in range(units):
        scale, most = _SCALE_MAX, float(WEIGHT_MAX * WEIGHT_MAX * count) * _power(-2 * (_SPREAD + _SCALE_MAX))
        while scale > _SCALE_MIN and float(squares[unit]) > most:
            scale, most = scale - 1, 4 * most
        target.scales[start + unit] = scale
        factors[unit] = _power(scale)
    half, low, high = np.float32(0.5), np.float32(-WEIGHT_MAX), np.float32(WEIGHT_MAX)
    digits, byte = shaped(target.digits, 0, np.uint32, (-(-count // GROUP), units)), np.uint32(255)
    for row in range(count):
        source, lifted, words = values[row], target.lifted[row, start:], digits[row // GROUP]
        place = row % GROUP
        if place == 0:
            for unit in range(units):
                words[unit] = 0
        up = np.uint32(8 * place)
        for unit in range(units):
            value = min(max(np.floor(np.float32(source[unit]) * factors[unit] + half), low), high)
            totals[unit] += value
            whole = np.int32(value)
            lifted[unit] = np.uint32(whole) ^ np.uint32(128)
            words[unit] |= (np.uint32(whole) & byte) << up


@compiled
def _head_weights(room: Room, heads: Layers, first: int, last: int, units: int, columns: int) -> int:
    """Heads' weights as `room.rows`, of one power of two with their units' gradients: that power."""
    scale = 1 << 30
    for channel in range(first, last):
        for unit in range(units):
            scale = min(scale, heads.shift[channel, unit] - WIDE + room.inner.scales[(channel - first) * units + unit])
    low, high = float(-WEIGHT_MAX), float(WEIGHT_MAX)
    for channel in range(first, last):
        for unit in range(units):
            row = (channel - first) * units + unit
            factor = _power(scale - heads.shift[channel, unit] - room.inner.scales[row])
            source, target = heads.used[channel, unit], room.rows[row]
            for column in range(columns):
                target[column] = np.int32(min(max(np.floor(source[column] * factor + 0.5), low), high))
    return scale


@compiled
def _layer_weights(room: Room, moments: Moments, number: int, units: int, columns: int) -> int:
    """A layer's weights in use in the same way, for the gradients of `room.top`."""
    scale, half = 1 << 30, np.float32(0.5)
    for unit in range(units):
        scale = min(scale, moments.shift[number, unit] + room.top.scales[unit])
    for unit in range(units):
        factor = np.float32(_power(scale - moments.shift[number, unit] - room.top.scales[unit]))
        source, target = moments.used[number, unit], room.rows[unit]
        for column in range(columns):
            target[column] = np.int32(np.floor(np.float32(source[column]) * factor + half))
    return scale


@compiled
def _back(room: Room, slopes: Slopes, count: int, units: int, columns: int, activations: Ints) -> None:
    """Gradients [n, units] through weights `room.rows`: int32 [n, columns and more] to `room.sums`.

    None where an activation is at either end of its range.
    """
    groups, blocks, totals = -(-units // GROUP), -(-columns // BLOCK), room.columns
    bytes_ = shaped(room.rows, 0, np.uint8, room.rows.shape)
    side_by_side(bytes_, columns, units, shaped(room.words, 0, np.uint32, (blocks, groups, BLOCK)))
    sums = shaped(room.sums, 0, np.int32, (count, blocks * BLOCK))
    product(slopes.lifted[:count], shaped(room.words, 0, np.int8, (blocks, groups, BLOCK, GROUP)), sums)
    for column in range(columns):
        totals[column] = 0
    for unit in range(units):
        source = room.rows[unit]
        for column in range(columns):
            totals[column] += np.int32(source[column]) << 7
    for row in range(count):
        target, own = sums[row], activations[row]
        for column in range(columns):
            value = target[column] - totals[column]
            target[column] = value if 0 < own[column] < ACTIVATION_MAX else 0


@compiled
def _step(deep: Deep, number: int, slopes: Slopes, count: int, outputs: int, columns: int, at: int, to: int) -> None:
    """One step of a layer with its gradients; at, to: where its weights and biases are in the trunk."""
    room, moments, steps = deep.room, deep.moments, deep.steps[0]
    groups, blocks = -(-count // GROUP), -(-columns // BLOCK)
    side_by_side(deep.kept[number], columns, count, shaped(room.words, 0, np.uint32, (blocks, groups, BLOCK)))
    sums = shaped(room.sums, 0, np.int32, (outputs, blocks * BLOCK))
    digits = shaped(slopes.digits, 0, np.uint32, (groups, outputs))
    turned_product(digits, shaped(room.words, 0, np.uint8, (blocks, groups, BLOCK, GROUP)), sums)
    memory, line = min(steps, deep.memory), room.line
    lanes = room.lanes
    for column in range(columns):
        line[column] = 0
    total = 0.0
    for row in range(outputs):
        scale = np.float32(_power(-slopes.scales[row]))
        for lane in range(BLOCK):
            lanes[lane] = 0
        for start in range(0, columns, BLOCK):
            size, source, own = min(BLOCK, columns - start), sums[row, start:], line[start:]
            for lane in range(size):
                slope = np.float32(source[lane]) * scale
                square = slope * slope
                own[lane] += square
                lanes[lane] += square
        half = BLOCK // 2
        while half:
            for lane in range(half):
                lanes[lane] += lanes[lane + half]
            half //= 2
        moments.rows[number, row] += (float(lanes[0]) / columns - moments.rows[number, row]) / memory
        total += moments.rows[number, row]
    total = max(total / outputs, _LEAST_SQUARE)
    for column in range(columns):
        own = moments.columns[number, column]
        own += (float(line[column]) / outputs - own) / memory
        moments.columns[number, column] = own
        line[column] = np.float32(1.0 / max(np.sqrt(own), _LEAST_ROOT))
    part, limit = np.float32(1.0 / min(steps, MOMENTUM)), np.float32(STEP_MAX)
    low, most, up = np.float32(-WEIGHT_MAX), np.float32(WEIGHT_MAX), np.float32(0.5)
    for row in range(outputs):
        source, scale, rate = sums[row], np.float32(_power(-slopes.scales[row])), moments.rate[number, row]
        factor = np.float32(1.0 / max(np.sqrt(moments.rows[number, row] / total), _LEAST))
        fine, mean, used = moments.fine[number, row], moments.mean[number, row], moments.used[number, row]
        for column in range(columns):
            slope = np.float32(source[column]) * scale
            average = mean[column] + (slope - mean[column]) * part
            step = min(max(average * factor * line[column], -limit), limit)
            value = min(max(fine[column] - rate * step, low), most)
            mean[column], fine[column] = average, value
            used[column] = np.int32(np.floor(value + up))
        _step_bias(deep, number, row, CONSTANT * float(slopes.totals[row]) * _power(-slopes.scales[row]), to)
    _pack(deep, number, outputs, columns, at)


@compiled
def _step_bias(deep: Deep, number: int, row: int, slope: float, to: int) -> None:
    """One step of a unit's bias."""
    moments, steps = deep.moments, deep.steps[0]
    mean, square = moments.mean_bias[number, row], moments.square_bias[number, row]
    mean = mean + (slope - mean) / min(steps, MOMENTUM)
    square = square + (slope * slope - square) / min(steps, deep.memory)
    limit, most = float(STEP_MAX), float(WEIGHT_MAX)
    step = min(max(mean / max(np.sqrt(square), _LEAST_ROOT), -limit), limit)
    fine = min(max(moments.fine_bias[number, row] - float(moments.rate[number, row]) * step, -most), most)
    moments.mean_bias[number, row], moments.square_bias[number, row] = mean, square
    moments.fine_bias[number, row] = fine
    deep.trunk.biases[to + row] = moments.bias[number, row] + int(np.floor(CONSTANT * fine + 0.5))


@compiled
def _pack(deep: Deep, number: int, outputs: int, columns: int, at: int) -> None:
    """A layer's weights in use, as the trunk wants them."""
    used, groups = deep.moments.used[number], -(-columns // GROUP)
    words = shaped(used, 0, np.uint32, (used.shape[0], used.shape[1] // GROUP))
    bytes_ = shaped(deep.trunk.weights, at, np.int8, (1,))
    for first in range(0, outputs, BLOCK):
        packed = shaped(bytes_, first * groups * GROUP, np.int8, (1,))
        _turn(words[first : min(first + BLOCK, outputs)], shaped(packed, 0, np.uint32, (groups, BLOCK)))


@compiled
def _turn(source: Ints, target: Ints) -> None:
    """Rows as columns."""
    for column in range(len(target)):
        to = target[column]
        for row in range(len(source)):
            to[row] = source[row, column]
