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
from bfncodec.models.image.features import EMBEDDED, OWN
from bfncodec.train.freeze import WEIGHT_MAX, row_exponents
from bfncodec.train.image import recurrence
from bfncodec.train.image.pool import Batch

INPUT_UNIT = 16.0  # integer steps of an input per float
EMBED_HIDDEN = 64  # units between a pixel's activations and its embedding
MEAN_STEPS = 64  # steps per local scale of mixture means
_PEAK_ROWS = 8192
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

    def calibrate(self, batches: list[Batch]) -> None:
        """Choose the grid of every activation from float batches."""
        self.grids, self.peaks = None, {}
        with torch.no_grad():
            for batch in batches:
                self(batch)
        # A unit that is hardly ever active gets the grid of one that is.
        self.grids = {
            name: ACTIVATION_MAX / peak.clamp(min=float(peak.max()) / 32) for name, peak in self.peaks.items()
        }
        self.peaks = None

    def matrices(self) -> list[Tensor]:
        """Weights of all layers but the last ones."""
        layers = ((name, module) for name, module in self.named_modules() if isinstance(module, nn.Linear))
        return [layer.weight for name, layer in layers if not name.startswith("outs.")]

    def layer_names(self) -> list[str]:
        """Names of all integer layers, as `folded` takes them."""
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
        weight, bias = self._rounded(name)
        return round_through(functional.linear(values, weight).float() + bias)

    def _rounded(self, name: str) -> tuple[Tensor, Tensor]:
        """`folded`, with rounded weights."""
        weight, bias = self.folded(name)
        power = torch.exp2(row_exponents(weight.detach()))
        rounded = round_through((weight * power).clamp(-WEIGHT_MAX, WEIGHT_MAX)) / power
        # int8 weights times powers of two and activations up to 255 are exact in bfloat16.
        return rounded.bfloat16(), bias

    def _relu(self, name: str, values: Tensor) -> Tensor:
        if self.grids is None:
            values = functional.relu(values)
            self._peak(name, values)
            return values
        if name == "stream":
            values = round_through(values / (1 << STREAM_BITS))
        return values.clamp(0.0, ACTIVATION_MAX).bfloat16()

    def _peak(self, name: str, values: Tensor) -> None:
        if self.peaks is not None:
            some = values[:: max(1, len(values) // _PEAK_ROWS)].detach().float()
            peak = torch.quantile(some, 0.9998, dim=0).clamp(min=1e-3)
            self.peaks[name] = torch.maximum(self.peaks.get(name, peak), peak)

    @property
    def unit(self) -> float:
        """What inputs are multiplied by."""
        return 1.0 if self.grids is not None else 1 / INPUT_UNIT

    def forward(self, batch: Batch) -> list[Tensor]:
        """Mixtures of the batch's channels: float [n, 3 (logit in nats, mean, log-scale), mixtures] each.

        Means and scales are relative to the local scale.
        """
        last, unit, outputs = self._trunk(batch), self.unit, []
        for index in batch.channels:
            seen = last
            if self.extra[index]:
                assert batch.cross is not None
                seen = torch.cat([last, batch.cross[:, : self.extra[index]].bfloat16() * unit], 1)
            hidden = self._relu(f"heads.{index}", self._linear(f"heads.{index}", seen))
            out = self._linear(f"outs.{index}", hidden).float().view(-1, 3, self.mixtures)
            if self.grids is not None:
                out = out / torch.tensor(OUTPUT_STEPS, device=out.device)[:, None]
            outputs.append(out)
        return outputs

    def _trunk(self, batch: Batch) -> Tensor:
        """The last activations [n, width]."""
        stream = self._linear("inner", batch.features.bfloat16() * self.unit)
        for index in range(len(self.first)):
            hidden = self._linear(f"first.{index}", self._relu("stream", stream))
            stream = stream + self._linear(f"second.{index}", self._relu(f"first.{index}", hidden))
        return self._relu("stream", stream)


class EmbeddingTrainingNetwork(LocalTrainingNetwork):
    """The same, which sees embeddings of coded neighbours besides: of that many units each; see `recurrence`.

    Exported, the columns of `near` stand behind those of `inner`. At the start they are zero.
    """

    def __init__(self, features: int, width: int, blocks: int, head: int, mixtures: int, embedding: int) -> None:
        super().__init__(features, width, blocks, head, mixtures, cross=True)
        self.near = nn.Linear(len(EMBEDDED) * embedding, width, bias=False)
        self.embed = nn.ModuleList([nn.Linear(width + OWN, EMBED_HIDDEN), nn.Linear(EMBED_HIDDEN, embedding)])
        with torch.no_grad():
            self.near.weight.zero_()

    def layer_names(self) -> list[str]:
        return [name for name in super().layer_names() if name != "near"]

    def folded(self, name: str) -> tuple[Tensor, Tensor]:
        if name != "inner" and not name.startswith("embed."):
            return super().folded(name)
        assert self.grids is not None
        layer, grids = self.layer(name), self.grids
        seen, weight = grids["stream"], layer.weight
        if name == "inner":
            weight = torch.cat([weight, self.near.weight], 1)
            embedded = grids["embed.1"].repeat(len(EMBEDDED))
            scale_in = torch.cat([seen.new_full((layer.in_features,), INPUT_UNIT), embedded])
            scale_out = seen * (1 << STREAM_BITS)
        else:
            own = torch.cat([seen, seen.new_full((OWN,), INPUT_UNIT)])
            scale_in, scale_out = (own if name == "embed.0" else grids["embed.0"]), grids[name]
        return weight * scale_out[:, None] / scale_in, layer.bias * scale_out

    def _trunk(self, batch: Batch) -> Tensor:
        """The last activations of windows' pixels, [P * B, width]."""
        assert batch.own is not None and batch.area is not None
        order = recurrence.order(*batch.area)
        rounded = self.grids is not None
        features, own = (part.bfloat16() * self.unit for part in (batch.features, batch.own))
        pairs = [(self._layer(f"first.{i}"), self._layer(f"second.{i}")) for i in range(len(self.first))]
        if rounded:
            weight, bias = self._rounded("inner")
            columns = features.shape[1]
            stream, near = functional.linear(features, weight[:, :columns]).float() + bias, weight[:, columns:]
        else:
            stream, near = self._linear("inner", features), self.near.weight.bfloat16()
        layers = recurrence.Layers(near.contiguous(), pairs, (self._layer("embed.0"), self._layer("embed.1")))
        notes: list[recurrence.Seen] | None = None if self.peaks is None else []
        last = recurrence.trunk(stream, own, order, layers, rounded, notes)
        for note in notes or []:
            named = [("stream", one) for one in note.stream]
            named += [(f"first.{number}", one) for number, one in enumerate(note.first)]
            named += [(f"embed.{number}", one) for number, one in enumerate(note.embed)]
            for name, values in named:
                self._peak(name, values.flatten(0, 1).relu())
        return last

    def _layer(self, name: str) -> recurrence.Layer:
        if self.grids is None:
            layer = self.layer(name)
            return recurrence.Layer(layer.weight.bfloat16(), layer.bias.bfloat16())
        return recurrence.Layer(*self._rounded(name))


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
