"""The float form of `models.paper.network.GridNetwork`, and its export to integers.

A small U-Net whose every layer is a matrix product on gathered neighbours: patches in, residual
blocks of two convolutions on each level, one layer that sees the whole item, and back up.
"""

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
    """A convolution stored as the matrix [out, kh * kw * in (+ TIME_INPUTS)] that the integers use.

    source, target: names of the grids of what it reads and of what it writes.
    """

    def __init__(
        self,
        source: str,
        target: str,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int] = (1, 1),
        time: bool = False,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.source, self.target, self.kernel, self.inputs = source, target, kernel, inputs
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

    def scales(self, grids: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Integer steps per float of the columns and of the outputs: grids, repeated for all places that they hold."""
        outputs, columns = self.weight.shape
        scale_in, scale_out = grids[self.source], grids[self.target]
        fine = 1 << STREAM_BITS if self.target.startswith("stream") else 1
        return scale_in.repeat(columns // len(scale_in)), scale_out.repeat(outputs // len(scale_out)) * fine


class GridTrainingNetwork(nn.Module):
    """Inputs float [n, H, W, C] and time [n, TIME_INPUTS] -> outputs float [n, H, W, outputs]."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec
        widths, patch, fold = spec.widths, math.prod(spec.patch), math.prod(spec.pool)
        streams = [f"stream.{level}" for level in range(len(widths))]
        pairs = list(zip(streams, streams[1:], widths, widths[1:], strict=False))
        places = spec.size // spec.shape[2] // patch // fold ** (len(widths) - 1)
        self.stem = Gather("inputs", streams[0], patch * spec.inputs, widths[0], spec.kernel, time=True)
        self.before = _blocks(spec, "before")
        self.after = _blocks(spec, "after")
        self.down = nn.ModuleList(Gather(above, below, fold * a, b) for above, below, a, b in pairs)
        self.up = nn.ModuleList(Gather(below, above, b, fold * a, gain=0.5) for above, below, a, b in pairs)
        self.inner = Gather(streams[-1], "inner", places * widths[-1], spec.bottom, time=True)
        self.outer = Gather("inner", streams[-1], spec.bottom, places * widths[-1], gain=0.0)
        self.out = Gather(streams[0], "outputs", widths[0], patch * spec.outputs, gain=0.0)
        self.peaks: dict[str, Tensor] | None = None

    def _relu(self, name: str, values: Tensor) -> Tensor:
        values = functional.relu(values)
        if self.peaks is not None:
            flat = values.detach().permute(1, 0, 2, 3).flatten(1)
            peak = torch.quantile(flat[:, torch.randperm(flat.shape[1])[:20000]], 0.9998, dim=1).clamp(min=1e-3)
            self.peaks[name] = torch.maximum(self.peaks.get(name, peak), peak)
        return values

    def _run(self, blocks: Any, stream: Tensor, time: Tensor) -> Tensor:
        for first, second in (block.values() for block in blocks):
            hidden = first(self._relu(first.source, stream), time)
            stream = stream + second(self._relu(second.source, hidden), time)
        return stream

    def forward(self, inputs: Tensor, time: Tensor) -> Tensor:
        spec = self.spec
        values = unshuffle(inputs.permute(0, 3, 1, 2), spec.patch).contiguous(memory_format=torch.channels_last)
        stream = self.stem(values, time)
        skips: list[Tensor] = []
        last = len(spec.widths) - 1
        for level in range(last + 1):
            stream = self._run(self.before[level], stream, time)
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
            stream = self._run(self.after[level], stream, time)
        outputs = self.out(self._relu("stream.0", stream), time)
        return shuffle(outputs, spec.patch).permute(0, 2, 3, 1)

    def matrices(self) -> list[nn.Parameter]:
        return [layer.weight for name, layer in self.layers() if name not in ("stem", "out")]

    def layers(self) -> Iterator[tuple[str, Gather]]:
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
            scale_in, scale_out = layer.scales(grids)
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
            scale_in, scale_out = layer.scales(grids)
            peak = (layer.weight * scale_out[:, None] / scale_in).abs().amax(1)
            worst = peak.view(-1, len(grids[layer.target])).amax(0)
            grids[layer.target] = grids[layer.target] * (WEIGHT_MAX / worst).clamp(max=1.0)


def _blocks(spec: Spec, kind: str) -> nn.ModuleList:
    """On every level, pairs of convolutions whose result is added to the stream."""

    def block(level: int, number: int) -> nn.ModuleDict:
        width, stream, hidden = spec.widths[level], f"stream.{level}", f"{kind}.{level}.{number}"
        first = Gather(stream, hidden, width, width, spec.kernel, time=True)
        return nn.ModuleDict({"first": first, "second": Gather(hidden, stream, width, width, spec.kernel, gain=0.0)})

    return nn.ModuleList(
        nn.ModuleList(block(level, number) for number in range(count)) for level, count in enumerate(spec.blocks)
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
