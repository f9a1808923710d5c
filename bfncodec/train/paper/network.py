"""The float form of `models.paper.network.GridNetwork`, and its export to integers.

A small U-Net whose every layer is a matrix product on gathered neighbours: patches in, residual
blocks of two convolutions on each level, one layer that sees the whole item, and back up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bfncodec.exact.kernels import ACTIVATION_MAX
from bfncodec.exact.layers import STREAM_BITS
from bfncodec.models.paper.spec import TIME_INPUTS, TIME_ONE, Spec
from bfncodec.train.freeze import WEIGHT_MAX, freeze

INPUT_UNIT = 16.0  # integer steps of a network input per float
OUTPUT_UNIT = 64.0  # of a network output
_ROUNDS = 4  # of coarsening: a coarser stream asks for larger weights behind it


class Gather(nn.Module):
    """A convolution stored as the matrix [out, kh * kw * in (+ TIME_INPUTS)] that the integers use."""

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, int], time: bool, gain: float = 1.0) -> None:
        super().__init__()
        self.kernel, self.inputs, self.time = kernel, inputs, time
        columns = inputs * kernel[0] * kernel[1]
        bound = gain * math.sqrt(3 / columns)
        self.weight = nn.Parameter(torch.empty(outputs, columns).uniform_(-bound, bound))
        self.times = nn.Parameter(torch.zeros(outputs, TIME_INPUTS)) if time else None
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, values: Tensor, time: Tensor) -> Tensor:
        """[n, in, h, w], time [n, TIME_INPUTS] -> [n, out, h, w]."""
        weight = self.weight.view(-1, *self.kernel, self.inputs).permute(0, 3, 1, 2)
        outputs = functional.conv2d(values, weight, self.bias, padding=(self.kernel[0] // 2, self.kernel[1] // 2))
        if self.times is not None:
            outputs = outputs + (time @ self.times.T)[:, :, None, None]
        return outputs


class ResidualBlock(nn.Module):
    """Two convolutions whose result is added to the stream."""

    def __init__(self, width: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.first = Gather(width, width, kernel, time=True)
        self.second = Gather(width, width, kernel, time=False, gain=0.0)


class GridTrainingNetwork(nn.Module):
    """Inputs float [n, H, W, C] and time [n, TIME_INPUTS] -> outputs float [n, H, W, outputs]."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec
        widths, one, fold = spec.widths, (1, 1), spec.pool[0] * spec.pool[1]
        patch = spec.patch[0] * spec.patch[1]
        self.stem = Gather(patch * spec.inputs, widths[0], spec.kernel, time=True)
        self.before = _blocks(spec)
        self.after = _blocks(spec)
        pairs = list(zip(widths, widths[1:], strict=False))
        self.down = nn.ModuleList(Gather(fold * a, b, one, time=False) for a, b in pairs)
        self.up = nn.ModuleList(Gather(b, fold * a, one, time=False, gain=0.5) for a, b in pairs)
        places = math.prod(grid_sizes(spec)[-1])
        self.inner = Gather(places * widths[-1], spec.bottom, one, time=True)
        self.outer = Gather(spec.bottom, places * widths[-1], one, time=False, gain=0.0)
        self.out = Gather(widths[0], patch * spec.outputs, one, time=False, gain=0.0)
        self.peaks: dict[str, Tensor] | None = None

    def _relu(self, name: str, values: Tensor) -> Tensor:
        values = functional.relu(values)
        if self.peaks is not None:
            flat = values.detach().permute(1, 0, 2, 3).flatten(1)
            peak = torch.quantile(flat[:, torch.randperm(flat.shape[1])[:20000]], 0.9998, dim=1).clamp(min=1e-3)
            self.peaks[name] = torch.maximum(self.peaks.get(name, peak), peak)
        return values

    def _run(self, blocks: Any, level: int, kind: str, stream: Tensor, time: Tensor) -> Tensor:
        for number, block in enumerate(blocks[level]):
            hidden = block.first(self._relu(f"stream.{level}", stream), time)
            stream = stream + block.second(self._relu(f"{kind}.{level}.{number}", hidden), time)
        return stream

    def forward(self, inputs: Tensor, time: Tensor) -> Tensor:
        """See the class."""
        spec = self.spec
        values = unshuffle(inputs.permute(0, 3, 1, 2), spec.patch).contiguous(memory_format=torch.channels_last)
        stream = self.stem(values, time)
        skips: list[Tensor] = []
        last = len(spec.widths) - 1
        for level in range(last + 1):
            stream = self._run(self.before, level, "before", stream, time)
            if level < last:
                skips.append(stream)
                folded = unshuffle(self._relu(f"stream.{level}", stream), spec.pool)
                stream = self.down[level](folded, time)
        shape = stream.shape
        seen = self._relu(f"stream.{last}", stream).permute(0, 2, 3, 1).reshape(shape[0], -1, 1, 1)
        spread = self.outer(self._relu("inner", self.inner(seen, time)), time)
        stream = stream + spread.view(shape[0], shape[2], shape[3], shape[1]).permute(0, 3, 1, 2)
        for level in reversed(range(last + 1)):
            if level < last:
                raised = self.up[level](self._relu(f"stream.{level + 1}", stream), time)
                stream = skips[level] + shuffle(raised, spec.pool)
            stream = self._run(self.after, level, "after", stream, time)
        outputs = self.out(self._relu("stream.0", stream), time)
        return shuffle(outputs, spec.patch).permute(0, 2, 3, 1)

    def matrices(self) -> list[nn.Parameter]:
        """The weights that Muon serves."""
        return [layer.weight for name, layer in self.layers() if name not in ("stem", "out")]

    def layers(self) -> Iterator[tuple[str, Gather]]:
        """All layers by name."""
        return ((name, layer) for name, layer in self.named_modules() if isinstance(layer, Gather))

    @torch.no_grad()
    def tensors(self, batches: list[tuple[Tensor, Tensor]]) -> dict[str, NDArray[Any]]:
        """The integer network; the grids of its activations come from batches of (inputs, time)."""
        self.peaks = {}
        for inputs, time in batches:
            self(inputs, time)
        grids = {name: ACTIVATION_MAX / peak.clamp(min=float(peak.max()) / 8) for name, peak in self.peaks.items()}
        self.peaks = None
        for _ in range(_ROUNDS):
            self._coarsen(grids)
        tensors: dict[str, NDArray[Any]] = {}
        for name, layer in self.layers():
            scale_in, scale_out = self._scales(name, grids)
            weight = layer.weight * scale_out[:, None] / scale_in
            if layer.times is not None:
                weight = torch.cat([weight, layer.times * scale_out[:, None] / TIME_ONE], 1)
            tensors |= freeze(f"paper.{name}", _array(weight), _array(layer.bias * scale_out), ACTIVATION_MAX)
        return tensors

    def _coarsen(self, grids: dict[str, Tensor]) -> None:
        """Coarsen the grids of channels to which a layer would need weights above WEIGHT_MAX."""
        for name, layer in self.layers():
            if name == "out":
                continue
            target = self._target(name)
            scale_in, scale_out = self._scales(name, grids)
            peak = (layer.weight * scale_out[:, None] / scale_in).abs().amax(1)
            worst = peak.view(-1, len(grids[target])).amax(0)
            grids[target] = grids[target] * (WEIGHT_MAX / worst).clamp(max=1.0)

    def _target(self, name: str) -> str:
        """The grid that a layer writes to."""
        parts = name.split(".")
        if parts[-1] == "first":
            return name.removesuffix(".first")
        if parts[-1] == "second" or parts[0] == "up":
            return f"stream.{parts[1]}"
        if parts[0] == "down":
            return f"stream.{int(parts[1]) + 1}"
        return {"stem": "stream.0", "inner": "inner", "outer": f"stream.{len(self.spec.widths) - 1}"}[name]

    def _scales(self, name: str, grids: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Integer steps per float of a layer's input columns and of its outputs."""
        spec = self.spec
        fold, taps = spec.pool[0] * spec.pool[1], spec.kernel[0] * spec.kernel[1]
        places = math.prod(grid_sizes(spec)[-1])
        last = len(spec.widths) - 1

        def stream(level: int) -> Tensor:
            return grids[f"stream.{level}"]

        fine = 1 << STREAM_BITS
        parts = name.split(".")
        if parts[0] in ("before", "after"):
            level, hidden = int(parts[1]), grids[f"{parts[0]}.{parts[1]}.{parts[2]}"]
            if parts[3] == "first":
                return stream(level).repeat(taps), hidden
            return hidden.repeat(taps), stream(level) * fine
        if parts[0] == "down":
            level = int(parts[1])
            return stream(level).repeat(fold), stream(level + 1) * fine
        if parts[0] == "up":
            level = int(parts[1])
            return stream(level + 1), stream(level).repeat(fold) * fine
        if parts[0] == "inner":
            return stream(last).repeat(places), grids["inner"]
        if parts[0] == "outer":
            return grids["inner"], stream(last).repeat(places) * fine
        if parts[0] == "stem":
            columns = spec.patch[0] * spec.patch[1] * spec.inputs * taps
            return torch.full((columns,), INPUT_UNIT), stream(0) * fine
        return stream(0), torch.full((spec.patch[0] * spec.patch[1] * spec.outputs,), OUTPUT_UNIT)


def _blocks(spec: Spec) -> nn.ModuleList:
    return nn.ModuleList(
        nn.ModuleList(ResidualBlock(width, spec.kernel) for _ in range(count))
        for width, count in zip(spec.widths, spec.blocks, strict=True)
    )


def _array(values: Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = values.detach().cpu().double().numpy()
    return array


def grid_sizes(spec: Spec) -> list[tuple[int, int]]:
    """Height and width of every level."""
    height, width = spec.shape[0] // spec.patch[0], spec.shape[1] // spec.patch[1]
    return [(height // spec.pool[0] ** level, width // spec.pool[1] ** level) for level in range(len(spec.widths))]


def unshuffle(values: Tensor, patch: tuple[int, int]) -> Tensor:
    """[n, c, h * a, w * b] -> [n, a * b * c, h, w]."""
    n, c, height, width = values.shape
    a, b = patch
    parts = values.reshape(n, c, height // a, a, width // b, b).permute(0, 3, 5, 1, 2, 4)
    return parts.reshape(n, a * b * c, height // a, width // b)


def shuffle(values: Tensor, patch: tuple[int, int]) -> Tensor:
    """The inverse of `unshuffle`."""
    n, channels, height, width = values.shape
    a, b = patch
    parts = values.reshape(n, a, b, channels // (a * b), height, width).permute(0, 3, 4, 1, 5, 2)
    return parts.reshape(n, channels // (a * b), height * a, width * b)
