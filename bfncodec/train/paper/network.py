"""The float form of `models.paper.network.GridNetwork`, and its export to integers.

A small U-Net whose every layer is a matrix product on gathered neighbours: patches in, residual
blocks of two convolutions on each level, one layer that sees the whole item, and back up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bfncodec.exact.kernels import ACTIVATION_MAX
from bfncodec.exact.layers import STREAM_BITS
from bfncodec.models.paper.spec import TIME_INPUTS, TIME_ONE, Spec
from bfncodec.train.freeze import WEIGHT_MAX, array, freeze

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
        places = spec.size // spec.shape[2] // patch // fold ** (len(widths) - 1)
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
        grids |= {"inputs": torch.tensor([INPUT_UNIT]), "outputs": torch.tensor([OUTPUT_UNIT])}
        self.peaks = None
        for _ in range(_ROUNDS):
            self._coarsen(grids)
        tensors: dict[str, NDArray[Any]] = {}
        for name, layer in self.layers():
            scale_in, scale_out = self._scales(name, layer, grids)
            weight = layer.weight * scale_out[:, None] / scale_in
            if layer.times is not None:
                weight = torch.cat([weight, layer.times * scale_out[:, None] / TIME_ONE], 1)
            tensors |= freeze(f"paper.{name}", array(weight), array(layer.bias * scale_out), ACTIVATION_MAX)
        return tensors

    def _coarsen(self, grids: dict[str, Tensor]) -> None:
        """Coarsen the grids of channels to which a layer would need weights above WEIGHT_MAX."""
        for name, layer in self.layers():
            if name == "out":
                continue
            _, target = self._ends(name)
            scale_in, scale_out = self._scales(name, layer, grids)
            peak = (layer.weight * scale_out[:, None] / scale_in).abs().amax(1)
            worst = peak.view(-1, len(grids[target])).amax(0)
            grids[target] = grids[target] * (WEIGHT_MAX / worst).clamp(max=1.0)

    def _ends(self, name: str) -> tuple[str, str]:
        """The grids that a layer reads and writes."""
        top, bottom = "stream.0", f"stream.{len(self.spec.widths) - 1}"
        ends = {
            "stem": ("inputs", top),
            "inner": (bottom, "inner"),
            "outer": ("inner", bottom),
            "out": (top, "outputs"),
        }
        if name in ends:
            return ends[name]
        kind, level, *rest = name.split(".")
        stream, below = f"stream.{level}", f"stream.{int(level) + 1}"
        if not rest:
            return (stream, below) if kind == "down" else (below, stream)
        hidden = name.rpartition(".")[0]
        return (stream, hidden) if rest[-1] == "first" else (hidden, stream)

    def _scales(self, name: str, layer: Gather, grids: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Integer steps per float of a layer's input columns and of its outputs: grids for every place they are of."""
        source, target = self._ends(name)
        outputs, columns = layer.weight.shape
        scale_in, scale_out = grids[source], grids[target]
        fine = 1 << STREAM_BITS if target.startswith("stream") else 1
        return scale_in.repeat(columns // len(scale_in)), scale_out.repeat(outputs // len(scale_out)) * fine


def _blocks(spec: Spec) -> nn.ModuleList:
    return nn.ModuleList(
        nn.ModuleList(ResidualBlock(width, spec.kernel) for _ in range(count))
        for width, count in zip(spec.widths, spec.blocks, strict=True)
    )


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
