"""Heads that learn from the image while it is coded, in integers, alike in encoder and decoder.

The last two layers of the wavefront network start from the model's weights and take one
step of gradient descent after every LEARN_PIXELS pixels (2**pace times as often), on the
cost of the pixels just coded; beyond four megapixels after some of these runs only.
Gradients are averaged and divided by their root mean square. Weights are kept with FINE
extra bits. Products are those of `exact.products`, of bytes: a weight is two, a gradient too.

A step of size one changes a weight by its layer's rate, whatever the gradient's scale.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.mixtures import Mixtures
from bfncodec.errors import CorruptFile
from bfncodec.exact.compiled import compiled
from bfncodec.exact.kernels import ACTIVATION_MAX, SUM_LIMIT
from bfncodec.exact.layers import Linear, LocalNetwork
from bfncodec.exact.products import BLOCK, GROUP, long_product, packed, product

Ints = NDArray[Any]

LEARN_PIXELS = 1024
LEARN_ALL_BITS = 21  # images of 2**22 pixels and more learn from every second chunk, and so on
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
_LIFT = 128  # of inputs that may be negative
_SUM_SHIFT = 6
_SUM_MAX = 1 << 25
_SHIFT_MAX = 17  # of the layers: rates times gradients stay below 2**52


class _Layer:
    """One adapted layer: weights [out, in + 1], the learnt part of the bias as column `constant` of input 255.

    lifted: columns whose inputs have _LIFT added.
    """

    def __init__(self, layer: Linear, constant: int, lifted: list[int], rates: Ints, memory: int) -> None:
        integers = layer.integers
        if (integers.weight.shape[1] + 1) * ACTIVATION_MAX * 128 >= SUM_LIMIT:
            raise CorruptFile("the model's heads have too many inputs")
        if integers.shift.max() > _SHIFT_MAX:
            raise CorruptFile("the model's heads have shifts too large for learning")
        self.lifted, self.memory, self.steps = np.array(lifted, np.int64), memory, 0
        self.fine = (np.insert(integers.weight, constant, 0, axis=1) << WIDE + FINE).astype(np.float64)
        self.bias, self.shift = integers.bias << WIDE, integers.shift + WIDE
        self.rate = (rates << integers.shift).astype(np.float64)
        self.mean, self.square = np.zeros_like(self.fine), np.zeros_like(self.fine)
        units, columns = self.fine.shape
        self.used, self.offset = np.empty((units, columns), np.int64), np.empty(units, np.int64)
        self.weights = packed(np.zeros((2 * units, columns), np.int8))
        _round(self.fine, self.bias, self.lifted, self.used, self.offset, self.weights)

    def learn(self, gradient: Ints) -> None:
        """One step against a gradient int64 [out, in + 1]."""
        self.steps += 1
        divisors = min(self.steps, MOMENTUM), min(self.steps, self.memory)
        _descend(gradient, self.rate, *divisors, self.fine, self.mean, self.square)
        _round(self.fine, self.bias, self.lifted, self.used, self.offset, self.weights)

    def gradient(self, inner: Ints, inputs: Ints) -> Ints:
        """int64 [out, in + 1] of gradients of the outputs int64 [n, out] and inputs uint8 [columns, n and more]."""
        gradient = long_product(inputs[: self.used.shape[1]], inner, _PLANES).T.copy()
        if len(self.lifted):
            gradient[:, self.lifted] -= _LIFT * inner.sum(axis=0)[:, None]
        return gradient


class _Numbers(NamedTuple):
    """A layer's for compiled code."""

    weights: Ints
    offset: Ints
    shift: Ints


@compiled
def _round(fine: Ints, bias: Ints, lifted: Ints, used: Ints, offset: Ints, weights: Ints) -> None:
    """Weights as they are used; for products, their high and low bytes side by side, and the bias of lifted inputs."""
    units, columns = fine.shape
    for row in range(units):
        for column in range(columns):
            value = min(max((int(fine[row, column]) + (1 << FINE - 1)) >> FINE, -WIDE_MAX), WIDE_MAX)
            high = (value + 128) >> 8
            used[row, column] = value
            weights[row // BLOCK, column // GROUP, row % BLOCK, column % GROUP] = high
            low = row + units
            weights[low // BLOCK, column // GROUP, low % BLOCK, column % GROUP] = value - (high << 8)
        offset[row] = bias[row]
        for column in lifted:
            offset[row] -= _LIFT * used[row, column]


@compiled
def _turned(rows: Ints) -> Ints:
    """Bytes [n, columns] as [columns, n], with room for a multiple of GROUP."""
    turned = np.zeros((rows.shape[1], -(-len(rows) // GROUP) * GROUP), np.uint8)
    for start in range(0, len(rows), BLOCK):
        for column in range(rows.shape[1]):
            for row in range(start, min(start + BLOCK, len(rows))):
                turned[column, row] = rows[row, column]
    return turned


@compiled
def _forward(inputs: Ints, head: _Numbers, out: _Numbers, hidden: Ints, raw: Ints) -> None:
    """Inputs uint8 [n, columns] -> activations uint8 [n, units and more] -> outputs int64 [n, outputs]."""
    units, outputs = len(head.shift), len(out.shift)
    sums = np.empty((len(inputs), BLOCK * max(len(head.weights), len(out.weights))), np.int32)
    product(inputs, head.weights, sums)
    for row in range(len(inputs)):
        for unit in range(units):
            whole = (np.int64(sums[row, unit]) << 8) + np.int64(sums[row, units + unit]) + head.offset[unit]
            hidden[row, unit] = min(max(whole >> head.shift[unit], 0), ACTIVATION_MAX)
    product(hidden, out.weights, sums)
    for row in range(len(inputs)):
        for unit in range(outputs):
            whole = (np.int64(sums[row, unit]) << 8) + np.int64(sums[row, outputs + unit]) + out.offset[unit]
            raw[row, unit] = whole >> out.shift[unit]


@compiled
def _back(gradient: Ints, factors: Ints, weights: Ints, hidden: Ints, shift: int, inner: Ints) -> None:
    """Gradients [n, outputs] of the last layer, brought to common units -> limited ones [n, units] of its inputs.

    None where a unit is at either end of its range.
    """
    units = inner.shape[1]
    for row in range(inner.shape[0]):
        inner[row] = 0
        for output in range(gradient.shape[1]):
            slope = min(max(gradient[row, output] * factors[output], -_GRADIENT_MAX), _GRADIENT_MAX)
            gradient[row, output] = slope
            for unit in range(units):
                inner[row, unit] += slope * weights[output, unit]
        for unit in range(units):
            value = min(max(inner[row, unit] >> shift, -_INNER_MAX), _INNER_MAX)
            inner[row, unit] = value if 0 < hidden[row, unit] < ACTIVATION_MAX else 0


@compiled
def _descend(gradient: Ints, rate: Ints, momentum: int, memory: int, fine: Ints, mean: Ints, square: Ints) -> None:
    """Whole numbers below 2**52 in float64, whose quotients and roots, rounded down, are exact: integers are slow."""
    for row in range(len(fine)):
        limit = STEP_MAX * rate[row]
        for column in range(fine.shape[1]):
            slope = float(min(max(gradient[row, column] >> _SUM_SHIFT, -_SUM_MAX), _SUM_MAX))
            average = mean[row, column] + np.floor((slope - mean[row, column]) / momentum)
            power = square[row, column] + np.floor((slope * slope - square[row, column]) / memory)
            step = np.floor(average * rate[row] / (np.floor(np.sqrt(power)) + 1))
            mean[row, column], square[row, column] = average, power
            fine[row, column] -= min(max(step, -limit), limit)


class OnlineHeads:
    """The heads of a `LocalNetwork` for one image or block, and what they remember of coded pixels; see the module.

    They run on the CPU, wherever the trunk does. size: pixels between two steps at most.
    """

    def __init__(self, network: LocalNetwork, pace: int, size: int = 0) -> None:
        memory = MEMORY << pace
        width, head = network.width, len(network.heads[0].integers.bias)
        self.mixtures = len(network.outs[0].integers.bias) // 3
        rates = np.repeat(np.array(OUT_RATES, np.int64), self.mixtures) >> pace
        inner = np.full(head, HEAD_RATE >> pace, np.int64)
        # The trunk's activations, the constant, then two inputs that each channel gives to those after it.
        self.columns = [width + 1 + more for more in network.extra]
        lifted = [list(range(width + 1, columns, 2)) for columns in self.columns]
        self.heads = [
            _Layer(one, width, those, inner, memory) for one, those in zip(network.heads, lifted, strict=True)
        ]
        self.outs = [_Layer(one, head, [], rates, memory) for one in network.outs]
        # Rows of the outs have powers of two of their own: aligned when a gradient goes back.
        peaks = [int(one.shift.max()) for one in self.outs]
        self.aligned = [
            np.minimum(peak - one.shift, _ALIGN_MAX)[:, None] for peak, one in zip(peaks, self.outs, strict=True)
        ]
        self.inner_shifts = [peak - _INNER_BITS for peak in peaks]
        self.weights = np.repeat(np.array(_OUT_WEIGHTS, np.int64), self.mixtures)
        self.inputs = np.zeros((size, -(-max(self.columns) // GROUP) * GROUP), np.uint8)
        self.hidden = np.zeros((3, size, -(-(head + 1) // GROUP) * GROUP), np.uint8)
        self.raw = np.empty((3, size, 3 * self.mixtures), np.int64)
        self.parts = np.empty((3, size, self.mixtures, 4), np.int32)
        self.values = np.empty((3, size), np.int64)
        self.inputs[:, width] = self.hidden[:, :, head] = ACTIVATION_MAX
        self.count = 0

    def begin(self, activations: Ints) -> slice:
        """Take the trunk's activations [n, width] of the next pixels: their place in what is remembered."""
        rows = slice(self.count, self.count + len(activations))
        self.inputs[rows, : activations.shape[1]] = activations
        self.count = rows.stop
        return rows

    def cross_inputs(self, channel: int, rows: slice) -> Ints:
        """The two inputs uint8 [n, 2] that the channel before `channel` gives, to be written: lifted, and as it is."""
        return self.inputs[rows, self.columns[channel] - 2 : self.columns[channel]]

    def output(self, channel: int, rows: slice) -> NDArray[np.int64]:
        """Mixture parameters int64 [n, 3 * mixtures] of a channel."""
        raw = self.raw[channel, rows]
        head, out = (_Numbers(one.weights, one.offset, one.shift) for one in (self.heads[channel], self.outs[channel]))
        _forward(self.inputs[rows], head, out, self.hidden[channel, rows], raw)
        return raw

    def keep(self, channel: int, rows: slice, mixtures: Mixtures, values: Ints) -> None:
        """Remember what was coded, for the next step."""
        self.parts[channel, rows] = mixtures.parts
        self.values[channel, rows] = values

    def end(self, channels: range, *, learn: bool) -> None:
        """Forget all that is remembered, with a step of both layers of channels before that, or without one."""
        if learn:
            inputs = _turned(self.inputs[: self.count])
            for channel in channels:
                seen = Mixtures.of(self.parts[channel, : self.count])
                logs = self.raw[channel, : self.count, 2 * self.mixtures :]
                self.learn(channel, inputs, seen.gradients(self.values[channel, : self.count], logs))
        self.count = 0

    def learn(self, channel: int, inputs: Ints, gradient: Ints) -> None:
        """One step of both layers.

        inputs: those remembered, `_turned`; gradient: int64 [count, 3 * mixtures], as
        `Mixtures.gradients` gives it.
        """
        hidden = self.hidden[channel, : self.count]
        out, head = self.outs[channel], self.heads[channel]
        inner = np.empty((self.count, len(head.shift)), np.int64)
        _back(gradient, self.weights, out.used << self.aligned[channel], hidden, self.inner_shifts[channel], inner)
        out.learn(out.gradient(gradient, _turned(hidden)))
        head.learn(head.gradient(inner, inputs))
