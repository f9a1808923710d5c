"""Heads that learn from the image while it is coded, in integers, alike in encoder and decoder.

The last two layers of the wavefront network start from the model's weights and take one
step of gradient descent after every LEARN_PIXELS pixels (2**pace times as often), on the
cost of the pixels just coded; beyond four megapixels after some of these runs only.
Gradients are averaged and divided by their root mean square. Weights are kept with FINE
extra bits; sums are exact, below 2**24 going forward and below 2**53 in the gradients.

A step of size one changes a weight by its layer's rate, whatever the gradient's scale.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import CorruptFile
from bfncodec.exact.kernels import SUM_LIMIT, Array, Kernel, clip
from bfncodec.exact.layers import ACTIVATION_MAX, Linear, LocalNetwork

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
_INNER_BITS = 8
_INNER_MAX = 1 << 22
_SUM_SHIFT = 6
_SUM_MAX = 1 << 30


class _Layer:
    """One adapted layer: weights [out, in + 1], the learnt part of the bias as a column of input 255."""

    def __init__(self, kernel: Kernel, layer: Linear, rates: NDArray[np.int64], memory: int) -> None:
        self.kernel, self.memory = kernel, memory
        weight = np.concatenate([layer.integers.weight, np.zeros((len(rates), 1), np.int64)], axis=1)
        shift = layer.integers.shift
        self.fine = kernel.array(weight << WIDE + FINE)
        self.bias = kernel.array(layer.integers.bias << WIDE)
        self.shift = kernel.array(shift + WIDE)
        self.unit = kernel.array(np.full(1, 256, np.int64))
        if weight.shape[1] * ACTIVATION_MAX * 128 >= SUM_LIMIT:
            raise CorruptFile("the model's heads have too many inputs")
        self.rate = kernel.array((rates << shift)[:, None])
        self.mean, self.square, self.root = self.fine * 0, self.fine * 0, self.fine * 0
        self.steps = 0
        self._round()

    def _round(self) -> None:
        self.used = clip(self.fine + (1 << FINE - 1) >> FINE, -WIDE_MAX, WIDE_MAX)
        high = self.used + 128 >> 8
        self.high, self.low = self.kernel.weights(high), self.kernel.weights(self.used - (high << 8))

    def __call__(self, values: Array) -> Array:
        """int [n, in + 1] -> int64 [n, out]."""
        # Two products whose sums stay below 2**24 cost less than one that needs 2**53.
        high, low = self.kernel.matmul(values, self.high), self.kernel.matmul(values, self.low)
        return high * self.unit + low + self.bias >> self.shift

    def learn(self, gradient: Array) -> None:
        """One step against a gradient int64 [out, in + 1]."""
        gradient = clip(gradient >> _SUM_SHIFT, -_SUM_MAX, _SUM_MAX)
        self.steps += 1
        self.mean = self.mean + (gradient - self.mean) // min(self.steps, MOMENTUM)
        self.square = self.square + (gradient * gradient - self.square) // min(self.steps, self.memory)
        if self.steps == 1:
            self.root = abs(gradient)
        for _ in range(2):  # Newton's steps towards the square root, from the last one
            self.root = self.root + self.square // (self.root + 1) >> 1
        limit = STEP_MAX * self.rate
        self.fine = self.fine - clip(self.mean * self.rate // (self.root + 1), -limit, limit)
        self._round()


class OnlineHeads:
    """The heads of a `LocalNetwork` for one image or block; see the module."""

    def __init__(self, kernel: Kernel, network: LocalNetwork, pace: int) -> None:
        self.kernel = kernel
        self.extra = network.extra
        self.learns = pace != FIXED
        self.pixels = LEARN_PIXELS >> (pace if self.learns else 0)
        memory = MEMORY << pace
        mixtures = len(network.outs[0].integers.bias) // 3
        rates = np.repeat(np.array(OUT_RATES, np.int64), mixtures) >> pace
        inner = np.full(len(network.heads[0].integers.bias), HEAD_RATE >> pace, np.int64)
        self.heads = [_Layer(kernel, head, inner, memory) for head in network.heads]
        self.outs = [_Layer(kernel, out, rates, memory) for out in network.outs]
        self.weights = kernel.array(np.repeat(np.array(_OUT_WEIGHTS, np.int64), mixtures))
        # Rows of the last layer have powers of two of their own: aligned when a gradient goes back.
        peaks = [int(out.integers.shift.max()) for out in network.outs]
        shifts = [
            np.minimum(peak - out.integers.shift, _ALIGN_MAX) for peak, out in zip(peaks, network.outs, strict=True)
        ]
        self.align = [kernel.array(shift[:, None]) for shift in shifts]
        self.inner_shift = [max(0, peak + WIDE - _INNER_BITS) for peak in peaks]

    def inputs(self, channel: int, activations: Array, cross: Array) -> Array:
        """Inputs of a head: activations, cross-channel inputs and the constant 255."""
        constant = activations[:, :1] * 0 + ACTIVATION_MAX
        return self.kernel.concat([activations, cross[:, : self.extra[channel]], constant])

    def hidden(self, channel: int, inputs: Array) -> Array:
        """Hidden activations with the constant 255 after them."""
        hidden = clip(self.heads[channel](inputs), 0, ACTIVATION_MAX)
        return self.kernel.concat([hidden, hidden[:, :1] * 0 + ACTIVATION_MAX])

    def output(self, channel: int, hidden: Array) -> Array:
        """Mixture parameters int64 [n, 3 * mixtures]."""
        return self.outs[channel](hidden)

    def learn(self, channel: int, inputs: Array, hidden: Array, gradient: Array) -> None:
        """One step of both layers. gradient: int64 [n, 3 * mixtures], as `Mixtures.gradients` gives it."""
        wide = self.kernel.wide
        gradient = clip(gradient * self.weights, -_GRADIENT_MAX, _GRADIENT_MAX)
        out, head = self.outs[channel], self.heads[channel]
        inner = wide(gradient, out.used[:, :-1] << self.align[channel]) >> self.inner_shift[channel]
        active = hidden[:, :-1]
        inner = clip(inner, -_INNER_MAX, _INNER_MAX) * ((active > 0) & (active < ACTIVATION_MAX))
        out.learn(wide(gradient.T, hidden))
        head.learn(wide(inner.T, inputs))
