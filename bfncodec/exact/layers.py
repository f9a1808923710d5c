"""Integer layers: int8 weights, int32 sums, requantisation by shifts, and the proof of their range."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import CorruptFile
from bfncodec.exact.compiled import compiled, shaped
from bfncodec.exact.kernels import ACTIVATION_MAX, SUM_LIMIT, Array, Kernel
from bfncodec.exact.products import BLOCK, GROUP, packed, product

Tensors = Mapping[str, NDArray[Any]]

INPUT_MAX = 127
EMBEDDED = 6  # neighbours whose embeddings are seen
INNOVATIONS = 6  # inputs of embeddings: a pixel's innovations and their sizes
STREAM_BITS = 4  # extra fraction bits of the residual stream
INPUT_LIFT = 128  # of features, to bytes without a sign
_FORGOTTEN = np.zeros((0, 0, 0), np.uint8)  # no activations are kept
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


class Trunk(NamedTuple):
    """The layers of a trunk for compiled code, one behind the other: inner, then first and second of every block."""

    sizes: Array  # int64 [layers, 3]: outputs, blocks and groups
    weights: Array  # int8 [n]: packed
    biases: Array  # int64 [n], the first ones for inputs with INPUT_LIFT added
    shifts: Array  # int64 [n]


class TrunkRoom(NamedTuple):
    """Memory that `run_trunk` works in."""

    sums: Array
    stream: Array
    values: Array


class LocalNetwork:
    """The exported form of `train.image.network.LocalTrainingNetwork`: features -> mixture parameters.

    `extra` tells how many cross-channel inputs the heads of the three channels have. `features` of the inputs are int8;
    bytes may follow them: embeddings of neighbours, of which `embed` are the layers, if there are any.
    """

    def __init__(self, kernel: Kernel, tensors: Tensors) -> None:
        width, inputs = tensors["inner.weight"].shape
        self.width, self.inputs = width, inputs
        self.embedding = len(tensors["embed.1.bias"]) if "embed.1.bias" in tensors else 0  # bytes of a neighbour
        self.features = inputs - EMBEDDED * self.embedding
        blocks = sum(1 for name in tensors if name.startswith("first.") and name.endswith(".weight"))
        positive = np.full(width, ACTIVATION_MAX, np.int64)
        bounds = np.full(inputs, ACTIVATION_MAX, np.int64)
        bounds[: self.features] = INPUT_MAX
        self.inner = Linear(kernel, tensors, "inner", bounds)
        self.first = [Linear(kernel, tensors, f"first.{i}", positive) for i in range(blocks)]
        hidden = [len(tensors[f"first.{i}.bias"]) for i in range(blocks)]
        self.second = [
            Linear(kernel, tensors, f"second.{i}", np.full(hidden[i], ACTIVATION_MAX, np.int64)) for i in range(blocks)
        ]
        self.embed = _embedding(kernel, tensors, width) if self.embedding else _NOTHING
        self.extra = [tensors[f"heads.{i}.weight"].shape[1] - width for i in range(3)]
        self.heads = [Linear(kernel, tensors, f"heads.{i}", _bounds(width, self.extra[i])) for i in range(3)]
        head = np.full(len(tensors["heads.0.bias"]), ACTIVATION_MAX, np.int64)
        self.outs = [Linear(kernel, tensors, f"outs.{i}", head) for i in range(3)]
        self.kernel = kernel
        layers = [self.inner, *(layer for pair in zip(self.first, self.second, strict=True) for layer in pair)]
        self.numbers = _numbers(layers, slice(self.features))
        self.rounding = kernel.array(np.full(width, 1 << STREAM_BITS - 1, np.int32))
        self.shift = kernel.array(np.full(width, STREAM_BITS, np.int32))

    def trunk(self, features: Array) -> Array:
        """Integers [n, inputs], of which `features` in [-127, 127], -> activations [n, width] in [0, 255]."""
        if self.kernel.name == "bytes":
            values = np.zeros((len(features), GROUP * self.numbers.sizes[0, 2]), np.uint8)
            values[:, : features.shape[1]] = features
            values[:, : self.features] = features[:, : self.features] + INPUT_LIFT
            activations = np.empty((len(features), self.width), np.uint8)
            run_trunk(self.numbers, self.trunk_room(), values, activations, _FORGOTTEN, 0)
            return activations
        stream = self.inner(features)
        for first, second in zip(self.first, self.second, strict=True):
            stream = stream + second(first.activated(self._read(stream)))
        return self._read(stream)

    def trunk_room(self) -> TrunkRoom:
        """Memory for `run_trunk`, for one thread."""
        most = np.concatenate([self.numbers.sizes, self.embed.sizes]).max(axis=0)
        return TrunkRoom(
            np.empty((_ROWS, most[1] * BLOCK), np.int32),
            np.empty((_ROWS, self.width), np.int32),
            np.empty((_ROWS, max(self.width, most[2] * GROUP)), np.uint8),
        )

    def _read(self, stream: Array) -> Array:
        return self.kernel.activated(stream, self.rounding, self.shift)

    def head(self, channel: int, activations: Array, cross: Array | None) -> Array:
        """Mixture parameters int32 [n, 3 * mixtures] of a channel: logits, means, log-scales."""
        if self.extra[channel]:
            activations = self.kernel.concat([activations, cross[:, : self.extra[channel]]])  # type: ignore[index]
        return self.outs[channel](self.heads[channel].activated(activations))


def _bounds(positive: int, more: int) -> NDArray[np.int64]:
    """Of activations, and of inputs that may be negative."""
    return np.repeat(np.array([ACTIVATION_MAX, INPUT_MAX], np.int64), [positive, more])


def _numbers(layers: list[Linear], lifted: slice) -> Trunk:
    """Layers for compiled code; lifted: the first one's inputs that have INPUT_LIFT added."""
    tables = [packed(layer.integers.weight) for layer in layers]
    biases = [layer.integers.bias for layer in layers]
    biases[0] = biases[0] - INPUT_LIFT * layers[0].integers.weight[:, lifted].sum(axis=1)
    return Trunk(
        np.array([[len(bias), *table.shape[:2]] for bias, table in zip(biases, tables, strict=True)]),
        np.concatenate([table.reshape(-1) for table in tables]),
        np.concatenate(biases).astype(np.int32),
        np.concatenate([layer.integers.shift for layer in layers]).astype(np.int32),
    )


def _embedding(kernel: Kernel, tensors: Tensors, width: int) -> Trunk:
    """The two layers that make a coded pixel's embedding of its activations and INNOVATIONS."""
    first = Linear(kernel, tensors, "embed.0", _bounds(width, INNOVATIONS))
    second = Linear(kernel, tensors, "embed.1", np.full(len(first.integers.bias), ACTIVATION_MAX, np.int64))
    return _numbers([first, second], slice(width, None))


_NOTHING = Trunk(np.zeros((2, 3), np.int64), np.zeros(0, np.int8), *np.zeros((2, 0), np.int32))


@compiled
def run_layers(layers: Trunk, own: TrunkRoom, values: Array, out: Array) -> None:
    """Two layers with activations, of inputs uint8 [n, columns]: uint8 [n, outputs and more]."""
    first, second = layers.sizes[0], layers.sizes[1]
    cut = first[1] * first[2] * BLOCK * GROUP
    for start in range(0, len(values), _ROWS):
        rows = min(_ROWS, len(values) - start)
        product(
            values[start : start + rows],
            shaped(layers.weights, 0, np.int8, (first[1], first[2], BLOCK, GROUP)),
            own.sums,
        )
        own.values[:] = 0
        activate(own.sums, layers.biases, layers.shifts, 0, first[0], own.values[:rows])
        product(own.values[:rows], shaped(layers.weights, cut, np.int8, (second[1], second[2], BLOCK, GROUP)), own.sums)
        activate(own.sums, layers.biases, layers.shifts, first[0], second[0], out[start : start + rows])


@compiled
def activate(sums: Array, biases: Array, shifts: Array, start: int, count: int, out: Array) -> None:
    """Activations of `count` units whose numbers begin at `start`, uint8 [n, count and more]."""
    for row in range(len(out)):
        for unit in range(count):
            value = sums[row, unit] + biases[start + unit] >> shifts[start + unit]
            out[row, unit] = min(max(value, 0), ACTIVATION_MAX)


@compiled
def run_trunk(trunk: Trunk, own: TrunkRoom, features: Array, out: Array, kept: Array, first: int) -> None:
    """Features uint8 [n, columns], INPUT_LIFT added, zeros behind them -> activations uint8 [n, width and more].

    kept uint8 [layers but the first, rows, units and more]: if not empty, it takes their inputs from row `first` on.
    """
    sums, stream, values = own.sums, own.stream, own.values
    width, zero, most = stream.shape[1], np.int32(0), np.int32(ACTIVATION_MAX)
    for start in range(0, len(features), _ROWS):
        rows, at, to = min(_ROWS, len(features) - start), 0, 0
        stream[:] = 0
        for number in range(len(trunk.sizes)):
            outputs, blocks, groups = trunk.sizes[number, 0], trunk.sizes[number, 1], trunk.sizes[number, 2]
            weights = shaped(trunk.weights, at, np.int8, (blocks, groups, BLOCK, GROUP))
            product(features[start : start + rows] if number == 0 else values[:rows], weights, sums)
            bias, shift = trunk.biases[to : to + outputs], trunk.shifts[to : to + outputs]
            at, to = at + blocks * groups * BLOCK * GROUP, to + outputs
            values[:] = 0
            for row in range(rows):
                for unit in range(outputs):
                    value = np.int32(np.int32(sums[row, unit] + bias[unit]) >> (shift[unit] & 31))
                    if number % 2 == 0:  # not the first layer of a block
                        value = np.int32(stream[row, unit] + value)
                        stream[row, unit] = value
                        value = np.int32(np.int32(value + (1 << STREAM_BITS - 1)) >> STREAM_BITS)
                    values[row, unit] = min(max(value, zero), most)
            if number < len(kept):
                for row in range(rows):
                    for unit in range(outputs):
                        kept[number, first + start + row, unit] = values[row, unit]
        for row in range(rows):
            for unit in range(width):
                out[start + row, unit] = values[row, unit]
