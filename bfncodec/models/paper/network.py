"""A small U-Net in integers, as `train.paper.network` makes it: every layer a product on gathered neighbours."""

import math

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.kernels import ACTIVATION_MAX, Array, Kernel, clip
from bfncodec.exact.layers import INPUT_MAX, STREAM_BITS, Linear, Tensors
from bfncodec.models.paper.spec import TIME_INPUTS, TIME_ONE, Spec

Pair = tuple[int, int]


class GridNetwork:
    """Inputs int [n, H, W, C] in [-127, 127] and time -> outputs int32 [n, H, W, outputs]."""

    def __init__(self, kernel: Kernel, tensors: Tensors, spec: Spec) -> None:
        self.kernel, self.tensors, self.spec = kernel, tensors, spec
        widths, fold = spec.widths, math.prod(spec.pool)
        taps, patch = math.prod(spec.kernel), math.prod(spec.patch)
        places = spec.size // spec.shape[2] // patch // fold ** (len(widths) - 1)
        parts = (("first", True), ("second", False))
        self.stem = self._layer("stem", patch * spec.inputs * taps, INPUT_MAX, timed=True)
        self.blocks = {
            f"{kind}.{level}": [
                [self._layer(f"{kind}.{level}.{number}.{part}", width * taps, timed=timed) for part, timed in parts]
                for number in range(count)
            ]
            for kind in ("before", "after")
            for level, (width, count) in enumerate(zip(widths, spec.blocks, strict=True))
        }
        self.down = [self._layer(f"down.{level}", fold * width) for level, width in enumerate(widths[:-1])]
        self.up = [self._layer(f"up.{level}", width) for level, width in enumerate(widths[1:])]
        self.inner = self._layer("inner", places * widths[-1], timed=True)
        self.outer = self._layer("outer", spec.bottom)
        self.out = self._layer("out", widths[0])

    def _layer(self, name: str, inputs: int, bound: int = ACTIVATION_MAX, *, timed: bool = False) -> Linear:
        bounds = np.full(inputs, bound, np.int64)
        if timed:
            bounds = np.append(bounds, np.full(TIME_INPUTS, TIME_ONE, np.int64))
        return Linear(self.kernel, self.tensors, f"paper.{name}", bounds)

    def __call__(self, inputs: NDArray[np.int64], time: list[int]) -> NDArray[np.int32]:
        """time: `spec.time_inputs`."""
        spec, moment = self.spec, self.kernel.array(np.array([time], np.int32))
        stream = self._convolve(self.stem, unshuffle(self.kernel.array(inputs.astype(np.int32)), spec.patch), moment)
        skips = []
        last = len(spec.widths) - 1
        for level in range(last + 1):
            stream = self._run(f"before.{level}", stream, moment)
            if level < last:
                skips.append(stream)
                stream = self._apply(self.down[level], unshuffle(_read(stream), spec.pool), moment)
        seen = clip(self._apply(self.inner, _read(stream).reshape(len(stream), -1), moment), 0, ACTIVATION_MAX)
        stream = stream + self.outer(seen).reshape(stream.shape)
        for level in reversed(range(last + 1)):
            if level < last:
                stream = skips[level] + shuffle(self._apply(self.up[level], _read(stream), moment), spec.pool)
            stream = self._run(f"after.{level}", stream, moment)
        outputs = shuffle(self._apply(self.out, _read(stream), moment), spec.patch)
        return self.kernel.numpy(outputs)

    def _run(self, name: str, stream: Array, time: Array) -> Array:
        for first, second in self.blocks[name]:
            hidden = clip(self._convolve(first, _read(stream), time), 0, ACTIVATION_MAX)
            stream = stream + self._convolve(second, hidden, time)
        return stream

    def _apply(self, layer: Linear, values: Array, time: Array) -> Array:
        """A layer at every place: [..., in] -> [..., out]; it sees the time as well if it has the inputs."""
        flat = values.reshape(-1, values.shape[-1])
        if layer.integers.weight.shape[1] > flat.shape[1]:
            ones = self.kernel.array(np.ones((len(flat), 1), np.int32))
            flat = self.kernel.concat([flat, ones * time])
        return layer(flat).reshape(*values.shape[:-1], -1)

    def _convolve(self, layer: Linear, values: Array, time: Array) -> Array:
        """A layer on the neighbours of every place, zeros outside: [n, h, w, in] -> [n, h, w, out]."""
        n, height, width, channels = values.shape
        down, across = self.spec.kernel
        padded = self.kernel.array(np.zeros((n, height + down - 1, width + across - 1, channels), np.int32))
        padded[:, down // 2 : down // 2 + height, across // 2 : across // 2 + width] = values
        around = [padded[:, y : y + height, x : x + width] for y in range(down) for x in range(across)]
        return self._apply(layer, self.kernel.concat(around), time)


def _read(stream: Array) -> Array:
    """Activations 0 .. 255 of the residual stream."""
    return clip(stream + (1 << STREAM_BITS - 1) >> STREAM_BITS, 0, ACTIVATION_MAX)


def unshuffle(values: Array, patch: Pair) -> Array:
    """[n, h * a, w * b, c] -> [n, h, w, a * b * c]."""
    n, height, width, channels = values.shape
    a, b = patch
    parts = values.reshape(n, height // a, a, width // b, b, channels).swapaxes(2, 3)
    return parts.reshape(n, height // a, width // b, a * b * channels)


def shuffle(values: Array, patch: Pair) -> Array:
    """The inverse of `unshuffle`."""
    n, height, width, channels = values.shape
    a, b = patch
    parts = values.reshape(n, height, width, a, b, channels // (a * b)).swapaxes(2, 3)
    return parts.reshape(n, height * a, width * b, channels // (a * b))
