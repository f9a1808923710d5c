"""Integer layers: int8 weights, int32 sums, requantisation by shifts, and the proof of their range."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import CorruptFile
from bfncodec.exact.compiled import compiled
from bfncodec.exact.kernels import ACTIVATION_MAX, SUM_LIMIT, Array, Kernel
from bfncodec.exact.products import BLOCK, GROUP, product

Tensors = Mapping[str, NDArray[Any]]

INPUT_MAX = 127
STREAM_BITS = 4  # extra fraction bits of the residual stream
_LIFT = 128  # of features, to bytes without a sign
_ROWS = 64  # that stay in the processor's nearest memory


class Integers(NamedTuple):
    """A layer's numbers as int64 NumPy arrays: weight [out, in], bias with rounding [out], shift [out]."""

    weight: NDArray[np.int64]
    bias: NDArray[np.int64]
    shift: NDArray[np.int64]


class Linear:
    """y = (x @ weight.T + bias) >> shift, rounded to nearest.

    weight: int8 [out, in]; bias: int32 [out], in units of the sum; shift: int8 [out].
    `bounds` [in] are the largest input magnitudes: CorruptFile if a sum could reach 2**24.
    """

    def __init__(self, kernel: Kernel, tensors: Tensors, name: str, bounds: NDArray[np.int64]) -> None:
        weight = tensors[f"{name}.weight"].astype(np.int64)
        shift = tensors[f"{name}.shift"].astype(np.int64)
        bias = tensors[f"{name}.bias"].astype(np.int64) + ((1 << shift) >> 1)
        if weight.shape != (len(bias), len(bounds)) or shift.min() < 0 or shift.max() > 23:
            raise CorruptFile(f"layer {name} of the model has wrong shapes or shifts")
        if (abs(weight) @ bounds + abs(bias)).max() >= SUM_LIMIT:
            raise CorruptFile(f"layer {name} of the model could overflow")
        self.kernel = kernel
        self.integers = Integers(weight, bias, shift)
        self.weight = kernel.weights(weight)
        self.bias = kernel.array(bias.astype(np.int32))
        self.shift = kernel.array(shift.astype(np.int32))

    def __call__(self, values: Array) -> Array:
        """Integers [n, in] -> int32 [n, out]."""
        return self.kernel.shifted(self.kernel.matmul(values, self.weight), self.bias, self.shift)

    def activated(self, values: Array) -> Array:
        """Integers [n, in] -> [n, out], limited to 0 .. ACTIVATION_MAX."""
        return self.kernel.activated(self.kernel.matmul(values, self.weight), self.bias, self.shift)


class LocalNetwork:
    """The exported form of `train.image.network.LocalTrainingNetwork`: features -> mixture parameters.

    `extra` tells how many cross-channel inputs the heads of the three channels have.
    """

    def __init__(self, kernel: Kernel, tensors: Tensors) -> None:
        width, features = tensors["inner.weight"].shape
        self.width = width
        blocks = sum(1 for name in tensors if name.startswith("first.") and name.endswith(".weight"))
        positive = np.full(width, ACTIVATION_MAX, np.int64)
        self.inner = Linear(kernel, tensors, "inner", np.full(features, INPUT_MAX, np.int64))
        self.first = [Linear(kernel, tensors, f"first.{i}", positive) for i in range(blocks)]
        hidden = [len(tensors[f"first.{i}.bias"]) for i in range(blocks)]
        self.second = [
            Linear(kernel, tensors, f"second.{i}", np.full(hidden[i], ACTIVATION_MAX, np.int64)) for i in range(blocks)
        ]
        self.extra = [tensors[f"heads.{i}.weight"].shape[1] - width for i in range(3)]
        bounds = [np.append(positive, np.full(more, INPUT_MAX, np.int64)) for more in self.extra]
        self.heads = [Linear(kernel, tensors, f"heads.{i}", bounds[i]) for i in range(3)]
        head = np.full(len(tensors["heads.0.bias"]), ACTIVATION_MAX, np.int64)
        self.outs = [Linear(kernel, tensors, f"outs.{i}", head) for i in range(3)]
        self.kernel = kernel
        self.numbers = None
        if kernel.name == "bytes":
            layers = [self.inner, *(layer for pair in zip(self.first, self.second, strict=True) for layer in pair)]
            biases = [layer.integers.bias for layer in layers]
            biases[0] = biases[0] - _LIFT * self.inner.integers.weight.sum(axis=1)
            tables = [layer.weight.weights for layer in layers]
            sizes = [[len(bias), *table.shape[:2]] for bias, table in zip(biases, tables, strict=True)]
            self.numbers = (
                np.array(sizes),
                np.concatenate([table.reshape(-1) for table in tables]),
                np.concatenate(biases),
                np.concatenate([layer.integers.shift for layer in layers]),
            )
        self.rounding = kernel.array(np.full(width, 1 << STREAM_BITS - 1, np.int32))
        self.shift = kernel.array(np.full(width, STREAM_BITS, np.int32))

    def trunk(self, features: Array) -> Array:
        """Integers [n, features] in [-127, 127] -> activations [n, width] in [0, 255]."""
        if self.numbers is not None:
            activations = np.empty((len(features), self.width), np.uint8)
            _trunk(features, *self.numbers, activations)
            return activations
        stream = self.inner(features)
        for first, second in zip(self.first, self.second, strict=True):
            stream = stream + second(first.activated(self._read(stream)))
        return self._read(stream)

    def _read(self, stream: Array) -> Array:
        return self.kernel.activated(stream, self.rounding, self.shift)

    def head(self, channel: int, activations: Array, cross: Array | None) -> Array:
        """Mixture parameters int32 [n, 3 * mixtures] of a channel: logits, means, log-scales."""
        if self.extra[channel]:
            activations = self.kernel.concat([activations, cross[:, : self.extra[channel]]])  # type: ignore[index]
        return self.outs[channel](self.heads[channel].activated(activations))


@compiled
def _trunk(features: Array, sizes: Array, weights: Array, biases: Array, shifts: Array, out: Array) -> None:
    """`LocalNetwork.trunk` in one piece, some rows at a time. Layers: inner, then first and second of every block.

    sizes: outputs, blocks and groups of each; weights (packed), biases and shifts: one layer's behind the other's.
    """
    widest = max(out.shape[1], sizes[:, 2].max() * GROUP)
    sums, stream = np.empty((_ROWS, sizes[:, 1].max() * BLOCK), np.int32), np.empty((_ROWS, out.shape[1]), np.int64)
    values = np.empty((_ROWS, widest), np.uint8)
    for start in range(0, len(features), _ROWS):
        rows, at, to = min(_ROWS, len(features) - start), 0, 0
        values[:] = 0
        stream[:] = 0
        for row in range(rows):
            for column in range(features.shape[1]):
                values[row, column] = features[start + row, column] + _LIFT
        for number in range(len(sizes)):
            outputs, blocks, groups = sizes[number]
            size = blocks * groups * BLOCK * GROUP
            product(values[:rows], weights[at : at + size].reshape(blocks, groups, BLOCK, GROUP), sums)
            bias, shift = biases[to : to + outputs], shifts[to : to + outputs]
            at, to = at + size, to + outputs
            values[:] = 0
            for row in range(rows):
                for unit in range(outputs):
                    value = sums[row, unit] + bias[unit] >> shift[unit]
                    if number % 2 == 0:  # not the first layer of a block
                        stream[row, unit] += value
                        value = stream[row, unit] + (1 << STREAM_BITS - 1) >> STREAM_BITS
                    values[row, unit] = min(max(value, 0), ACTIVATION_MAX)
        for row in range(rows):
            for unit in range(out.shape[1]):
                out[start + row, unit] = values[row, unit]
