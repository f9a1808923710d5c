"""Heads that learn from the image while it is coded, in integers, alike in encoder and decoder.

The last two layers of the wavefront network start from the model's weights and take one
step of gradient descent after every LEARN_PIXELS pixels (2**pace times as often), on the
cost of the pixels just coded; beyond four megapixels after some of these runs only.
Gradients are averaged and divided by their root mean square. Weights are kept with FINE
extra bits. Products are those of `exact.products`, of bytes: a weight is two, a gradient too.

A step of size one changes a weight by its layer's rate, whatever the gradient's scale.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.mixtures import Mixtures
from bfncodec.errors import CorruptFile
from bfncodec.exact.compiled import compiled
from bfncodec.exact.kernels import ACTIVATION_MAX, SUM_LIMIT, clip
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
_GRADIENT_MAX = 1 << 17
_ALIGN_MAX = 12
_INNER_BITS = 1
_INNER_MAX = 127 * 257  # of two signed bytes
_PLANES = 2  # bytes of a gradient
_LIFT = 128  # of inputs that may be negative
_SUM_SHIFT = 6
_SUM_MAX = 1 << 25
_SHIFT_MAX = 17  # of the layers: rates times gradients stay below 2**52


class _Layer:
    """One adapted layer: weights [out, in + 1], the learnt part of the bias as column `constant` of input 255."""

    def __init__(self, layer: Linear, constant: int, rates: NDArray[np.int64], memory: int) -> None:
        if layer.integers.shift.max() > _SHIFT_MAX:
            raise CorruptFile("the model's heads have shifts too large for learning")
        self.memory = memory
        self.fine = (np.insert(layer.integers.weight, constant, 0, axis=1) << WIDE + FINE).astype(np.float64)
        self.bias = layer.integers.bias << WIDE
        self.shift = layer.integers.shift + WIDE
        self.rate = (rates << layer.integers.shift).astype(np.float64)
        self.mean, self.square = np.zeros_like(self.fine), np.zeros_like(self.fine)
        self.steps = 0
        self._round()

    def learn(self, gradient: Ints) -> None:
        """One step against a gradient int64 [out, in + 1]."""
        self.steps += 1
        divisors = min(self.steps, MOMENTUM), min(self.steps, self.memory)
        _descend(gradient, self.rate, *divisors, self.fine, self.mean, self.square)
        self._round()

    def _round(self) -> None:
        """Weights as they are used."""
        self.used = clip(self.fine.astype(np.int64) + (1 << FINE - 1) >> FINE, -WIDE_MAX, WIDE_MAX)


class _Head(_Layer):
    """The larger layer. lifted: columns whose inputs have _LIFT added."""

    def __init__(self, layer: Linear, constant: int, lifted: list[int], rates: Ints, memory: int) -> None:
        if (layer.integers.weight.shape[1] + 1) * ACTIVATION_MAX * 128 >= SUM_LIMIT:
            raise CorruptFile("the model's heads have too many inputs")
        self.lifted = lifted
        super().__init__(layer, constant, rates, memory)

    def _round(self) -> None:
        """High and low bytes side by side."""
        super()._round()
        high = self.used + 128 >> 8
        self.weights = packed(np.concatenate([high, self.used - (high << 8)]))
        self.offset = self.bias - _LIFT * self.used[:, self.lifted].sum(axis=1)

    def __call__(self, values: Ints, out: Ints) -> None:
        """Inputs uint8 [n, in + 1 or more] -> activations uint8 [n, out], written to `out`."""
        sums = np.empty((len(values), BLOCK * len(self.weights)), np.int32)
        product(values, self.weights, sums)
        _join(sums, self.offset, self.shift, out)

    def gradient(self, inner: Ints, inputs: Ints) -> Ints:
        """int64 [out, in + 1] of gradients of the outputs int64 [n, out] and inputs uint8 [columns, n]."""
        gradient = long_product(inputs[: self.used.shape[1]], inner, _PLANES).T.copy()
        gradient[:, self.lifted] -= _LIFT * inner.sum(axis=0)[:, None]
        return gradient


class _Out(_Layer):
    """The last layer, too small for products of bytes."""

    def __init__(self, layer: Linear, constant: int, rates: Ints, memory: int) -> None:
        super().__init__(layer, constant, rates, memory)
        # Rows have powers of two of their own: aligned when a gradient goes back.
        shift = layer.integers.shift
        self.align = np.minimum(shift.max() - shift, _ALIGN_MAX)[:, None]
        self.inner_shift = int(shift.max()) + WIDE - _INNER_BITS

    def __call__(self, hidden: Ints, out: Ints) -> None:
        """Activations [n, in + 1] -> int64 [n, out], written to `out`."""
        _dense(hidden, self.used, self.bias, self.shift, out)


@compiled
def _dense(values: Ints, weight: Ints, bias: Ints, shift: Ints, out: Ints) -> None:
    one = np.empty(values.shape[1], np.int64)
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            one[column] = values[row, column]
        for unit in range(weight.shape[0]):
            total = bias[unit]
            for column in range(values.shape[1]):
                total += one[column] * weight[unit, column]
            out[row, unit] = total >> shift[unit]


@compiled
def _back(gradient: Ints, weights: Ints, hidden: Ints, shift: int, inner: Ints) -> None:
    """Gradients [n, outputs] of the last layer -> limited ones [n, units] of its inputs.

    None where a unit is at either end of its range.
    """
    units = inner.shape[1]
    for row in range(inner.shape[0]):
        inner[row] = 0
        for output in range(gradient.shape[1]):
            factor = gradient[row, output]
            for unit in range(units):
                inner[row, unit] += factor * weights[output, unit]
        for unit in range(units):
            value = min(max(inner[row, unit] >> shift, -_INNER_MAX), _INNER_MAX)
            inner[row, unit] = value if 0 < hidden[row, unit] < ACTIVATION_MAX else 0


@compiled
def _outer(gradient: Ints, hidden: Ints, out: Ints) -> None:
    """gradient [n, outputs] transposed times hidden [n, units]: int64 [outputs, units]."""
    one = np.empty(out.shape[1], np.int64)
    out[:] = 0
    for row in range(gradient.shape[0]):
        for unit in range(out.shape[1]):
            one[unit] = hidden[row, unit]
        for output in range(gradient.shape[1]):
            factor = gradient[row, output]
            for unit in range(out.shape[1]):
                out[output, unit] += factor * one[unit]


@compiled
def _join(sums: Ints, bias: Ints, shift: Ints, out: Ints) -> None:
    """Sums of high and low bytes [n, 2 * out] -> activations [n, out]."""
    columns = out.shape[1]
    for row in range(out.shape[0]):
        for column in range(columns):
            whole = (np.int64(sums[row, column]) << 8) + np.int64(sums[row, columns + column]) + bias[column]
            out[row, column] = min(max(whole >> shift[column], 0), ACTIVATION_MAX)


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
        self.heads = [_Head(one, width, those, inner, memory) for one, those in zip(network.heads, lifted, strict=True)]
        self.outs = [_Out(one, head, rates, memory) for one in network.outs]
        self.weights = np.repeat(np.array(_OUT_WEIGHTS, np.int64), self.mixtures)
        self.inputs = np.zeros((size, -(-max(self.columns) // GROUP) * GROUP), np.uint8)
        self.hidden = np.empty((3, size, head + 1), np.uint8)
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
        hidden, raw = self.hidden[channel, rows], self.raw[channel, rows]
        self.heads[channel](self.inputs[rows], hidden[:, :-1])
        self.outs[channel](hidden, raw)
        return raw

    def keep(self, channel: int, rows: slice, mixtures: Mixtures, values: Ints) -> None:
        """Remember what was coded, for the next step."""
        self.parts[channel, rows] = mixtures.parts
        self.values[channel, rows] = values

    def end(self, channels: int, *, learn: bool) -> None:
        """Forget all that is remembered, with a step of both layers of all channels before that, or without one."""
        if learn:
            inputs = self.inputs[: self.count].T.copy()
            for channel in range(channels):
                seen = Mixtures.of(self.parts[channel, : self.count])
                logs = self.raw[channel, : self.count, 2 * self.mixtures :]
                self.learn(channel, inputs, seen.gradients(self.values[channel, : self.count], logs))
        self.count = 0

    def learn(self, channel: int, inputs: Ints, gradient: Ints) -> None:
        """One step of both layers.

        inputs: those remembered, uint8 [columns, count]; gradient: int64 [count, 3 * mixtures], as
        `Mixtures.gradients` gives it.
        """
        hidden = self.hidden[channel, : self.count]
        gradient = clip(gradient * self.weights, -_GRADIENT_MAX, _GRADIENT_MAX)
        out, head = self.outs[channel], self.heads[channel]
        inner = np.empty((self.count, hidden.shape[1] - 1), np.int64)
        _back(gradient, out.used << out.align, hidden, out.inner_shift, inner)
        outer = np.empty_like(out.used)
        _outer(gradient, hidden, outer)
        out.learn(outer)
        head.learn(head.gradient(inner, inputs))
