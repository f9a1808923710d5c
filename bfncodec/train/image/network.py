"""Float networks and their loss, in the form that `exact.layers` runs in integers.

While `grids` is None the network is plain float. Once `calibrate` has set the grids of its activations, `forward`
rounds weights and activations as the exported integer network does, with straight-through gradients.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from bfncodec.exact import tables
from bfncodec.exact.kernels import ACTIVATION_MAX
from bfncodec.exact.layers import STREAM_BITS
from bfncodec.train.freeze import WEIGHT_MAX, row_exponents

INPUT_UNIT = 16.0  # integer steps of an input per float
MEAN_STEPS = 64  # steps per local scale of mixture means
OUTPUT_STEPS = [tables.LOGIT_STEPS, MEAN_STEPS, tables.OCTAVE_STEPS / math.log(2)]  # of logits, means and log-scales


def round_through(values: Tensor) -> Tensor:
    """Round to integers; the gradient passes as if nothing had happened."""
    return values + (torch.floor(values + 0.5) - values).detach()


class LocalTrainingNetwork(nn.Module):
    """Local features -> a mixture of logistics for each of three channels.

    features: number of int8 inputs (units of 1/16); width of the trunk; residual blocks; head width; mixtures. With
    `cross`, the heads of R and B also see the errors of the channels before them.
    """

    def __init__(self, features: int, width: int, blocks: int, head: int, mixtures: int, cross: bool) -> None:
        super().__init__()
        self.mixtures = mixtures
        self.extra = (0, 2, 4) if cross else (0, 0, 0)
        self.inner = nn.Linear(features, width)
        self.first = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.second = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.heads = nn.ModuleList(nn.Linear(width + more, head) for more in self.extra)
        self.outs = nn.ModuleList(nn.Linear(head, 3 * mixtures) for _ in range(3))
        with torch.no_grad():
            for parameter in self.second.parameters():
                parameter.zero_()
            for index in range(3):
                layer = self.layer(f"outs.{index}")
                layer.weight.mul_(0.1)
                parts = torch.zeros(mixtures), torch.linspace(-0.3, 0.3, mixtures), torch.linspace(-2, 0, mixtures)
                layer.bias.copy_(torch.cat(parts))
        self.grids: dict[str, Tensor] | None = None
        self.peaks: dict[str, Tensor] | None = None  # how large activations get, channel by channel, when calibrating

    def calibrate(self, batches: list[tuple[Tensor, Tensor | None]]) -> None:
        """Choose the grid of every activation from float batches of (features, cross errors)."""
        self.grids, self.peaks = None, {}
        with torch.no_grad():
            for features, cross in batches:
                self(features, cross)
        # A unit that is hardly ever active gets the grid of one that is.
        self.grids = {
            name: ACTIVATION_MAX / peak.clamp(min=float(peak.max()) / 32) for name, peak in self.peaks.items()
        }
        self.peaks = None

    def layer_names(self) -> list[str]:
        """Names of all linear layers, as `layer` and `folded` take them."""
        return [name for name, module in self.named_modules() if isinstance(module, nn.Linear)]

    def layer(self, name: str) -> nn.Linear:
        layer = self.get_submodule(name)
        assert isinstance(layer, nn.Linear)
        return layer

    def folded(self, name: str) -> tuple[Tensor, Tensor]:
        """Weights and bias of a layer between integer grids (before rounding)."""
        assert self.grids is not None
        layer, grids = self.layer(name), self.grids
        kind, _, index = name.partition(".")
        seen, stream = grids["stream"], grids["stream"] * (1 << STREAM_BITS)
        if kind == "inner":
            scales = torch.full((layer.in_features,), INPUT_UNIT), stream
        elif kind == "first":
            scales = seen, grids[name]
        elif kind == "second":
            scales = grids[f"first.{index}"], stream
        elif kind == "heads":
            scales = torch.cat([seen, seen.new_full((self.extra[int(index)],), INPUT_UNIT)]), grids[name]
        else:
            scales = grids[f"heads.{index}"], torch.tensor(OUTPUT_STEPS).repeat_interleave(self.mixtures)
        scale_in, scale_out = (scale.to(layer.weight.device) for scale in scales)
        return layer.weight * scale_out[:, None] / scale_in, layer.bias * scale_out

    def _linear(self, name: str, values: Tensor) -> Tensor:
        if self.grids is None:
            layer = self.layer(name)
            return functional.linear(values, layer.weight.bfloat16(), layer.bias.bfloat16())
        weight, bias = self.folded(name)
        power = torch.exp2(row_exponents(weight.detach()))
        rounded = round_through((weight * power).clamp(-WEIGHT_MAX, WEIGHT_MAX)) / power
        # int8 weights times powers of two and activations up to 255 are exact in bfloat16.
        return round_through(functional.linear(values, rounded.bfloat16()).float() + bias)

    def _relu(self, name: str, values: Tensor) -> Tensor:
        if self.grids is None:
            values = functional.relu(values)
            if self.peaks is not None:
                peak = torch.quantile(values.detach().float()[:8192], 0.9998, dim=0).clamp(min=1e-3)
                self.peaks[name] = torch.maximum(self.peaks.get(name, peak), peak)
            return values
        if name == "stream":
            values = round_through(values / (1 << STREAM_BITS))
        return values.clamp(0.0, ACTIVATION_MAX).bfloat16()

    def forward(self, features: Tensor, cross: Tensor | None, channels: tuple[int, ...] = (0, 1, 2)) -> list[Tensor]:
        """Mixtures of the channels: float [n, 3 (logit in nats, mean, log-scale), mixtures] each.

        features: int8-valued [n, features]; cross: int8-valued errors [n, 4] as (G, |G|, innovation of R,
        |innovation of R|), or None. Means and scales are relative to the local scale.
        """
        unit = 1.0 if self.grids is not None else 1 / INPUT_UNIT
        stream = self._linear("inner", features.bfloat16() * unit)
        for index in range(len(self.first)):
            hidden = self._linear(f"first.{index}", self._relu("stream", stream))
            stream = stream + self._linear(f"second.{index}", self._relu(f"first.{index}", hidden))
        last = self._relu("stream", stream)
        outputs = []
        for index in channels:
            seen = last
            if self.extra[index]:
                assert cross is not None
                seen = torch.cat([last, cross[:, : self.extra[index]].bfloat16() * unit], 1)
            hidden = self._relu(f"heads.{index}", self._linear(f"heads.{index}", seen))
            out = self._linear(f"outs.{index}", hidden).float().view(-1, 3, self.mixtures)
            if self.grids is not None:
                out = out / torch.tensor(OUTPUT_STEPS, device=out.device)[:, None]
            outputs.append(out)
        return outputs


def mixture_bits(mixture: Tensor, mean: Tensor, scale: Tensor, values: Tensor) -> Tensor:
    """Bits [n] of integer levels `values` [n] under mixtures of logistics discretised to 0..255.

    mixture: [n, 3, mixtures] as from LocalTrainingNetwork; mean: base, scale: local scale, both in levels [n].
    """
    means = mean[:, None] + scale[:, None] * mixture[:, 1].clamp(-16, 16)
    logs = (scale.log()[:, None] + mixture[:, 2]).clamp(min=math.log(1 / 64))
    inverse = torch.exp(-logs)
    offset = values[:, None] - means
    upper = torch.sigmoid((offset + 0.5) * inverse)
    lower = torch.sigmoid((offset - 0.5) * inverse)
    upper = torch.where(values[:, None] > 254.5, torch.ones_like(upper), upper)
    lower = torch.where(values[:, None] < 0.5, torch.zeros_like(lower), lower)
    mass = (torch.softmax(mixture[:, 0], 1) * (upper - lower)).sum(1)
    return -torch.log2(mass * (1 - 2.0**-15) + 2.0**-24)
