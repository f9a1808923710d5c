"""Fitting a network to one image: the changes that `--effort max` sends (see `models.image.bias_changes`).

Floating point, in the encoder only: another machine may find other changes, which every machine decodes alike.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bfncodec.exact.kernels import ACTIVATION_MAX
from bfncodec.exact.layers import STREAM_BITS, Tensors
from bfncodec.models.image import bias_changes
from bfncodec.train.image import recurrence
from bfncodec.train.image.network import OUTPUT_STEPS, mixture_bits, round_through
from bfncodec.train.image.pool import Batch, Pool

WINDOWS, SIDE = 8, 32  # a step
STEPS = 120
RATE = 0.15  # units
FREE_RATE = 2e-3


class _Network:
    """The integer network in float, with trainable changes in their units. Heads learn as well, but are not sent."""

    def __init__(self, tensors: Tensors) -> None:
        self.changes = {
            name: torch.zeros(width, requires_grad=True) for name, width in bias_changes.layers(tensors).items()
        }
        self.blocks = sum(1 for name in tensors if name.startswith("first.") and name.endswith(".weight"))
        self.weight: dict[str, Tensor] = {}
        self.bias: dict[str, Tensor] = {}
        self.unit: dict[str, Tensor] = {}
        self.free: list[Tensor] = []
        self.embedded = "embed.0.weight" in tensors
        for name in (key.removesuffix(".shift") for key in tensors if key.endswith(".shift")):
            shift = np.asarray(tensors[f"{name}.shift"]).astype(np.int64)
            power = torch.from_numpy(2.0**-shift).float()
            self.weight[name] = torch.from_numpy(tensors[f"{name}.weight"].astype(np.float32)) * power[:, None]
            self.bias[name] = torch.from_numpy(tensors[f"{name}.bias"].astype(np.float32)) * power
            if name in self.changes:
                self.unit[name] = torch.from_numpy(2.0 ** bias_changes.unit_shift(name, shift)).float() * power
            elif not name.startswith("embed."):
                self.free.append(self.weight[name].requires_grad_())

    def _layer(self, name: str) -> recurrence.Layer:
        bias = self.bias[name]
        if name in self.changes:
            bias = bias + round_through(self.changes[name]) * self.unit[name]
        return recurrence.Layer(self.weight[name].bfloat16(), bias)

    def _linear(self, name: str, values: Tensor) -> Tensor:
        weight, bias = self._layer(name)
        return round_through(functional.linear(values.bfloat16(), weight).float() + bias)

    def _trunk(self, batch: Batch) -> Tensor:
        if self.embedded:
            return self._recurrent(batch)
        stream = self._linear("inner", batch.features)
        for index in range(self.blocks):
            hidden = round_through(stream / (1 << STREAM_BITS))
            hidden = self._linear(f"first.{index}", hidden.clamp(0, ACTIVATION_MAX))
            stream = stream + self._linear(f"second.{index}", hidden.clamp(0, ACTIVATION_MAX))
        return round_through(stream / (1 << STREAM_BITS)).clamp(0, ACTIVATION_MAX)

    def _recurrent(self, batch: Batch) -> Tensor:
        """The trunk of windows, as `train.image.network` has it."""
        assert batch.own is not None and batch.area is not None
        order, columns = recurrence.order(*batch.area), batch.features.shape[1]
        weight, bias = self._layer("inner")
        stream = functional.linear(batch.features, weight[:, :columns]).float() + bias
        pairs = [(self._layer(f"first.{i}"), self._layer(f"second.{i}")) for i in range(self.blocks)]
        embed = self._layer("embed.0"), self._layer("embed.1")
        layers = recurrence.Layers(weight[:, columns:].contiguous(), pairs, embed)
        return recurrence.trunk(stream, batch.own, order, layers, integers=True).float()

    def bits(self, batch: Batch, channels: int) -> Tensor:
        """Mean bits of a variable."""
        last = self._trunk(batch)
        steps = torch.tensor(OUTPUT_STEPS)[:, None]
        total = torch.zeros(())
        for channel in range(channels):
            extra = self.weight[f"heads.{channel}"].shape[1] - last.shape[1]
            assert batch.cross is not None
            seen = torch.cat([last, batch.cross[:, :extra].float()], 1)
            hidden = self._linear(f"heads.{channel}", seen).clamp(0, ACTIVATION_MAX)
            out = self._linear(f"outs.{channel}", hidden).view(len(seen), 3, -1) / steps
            cost = mixture_bits(out, batch.means[:, channel], batch.scale[:, channel], batch.values[:, channel])
            total = total + cost.mean()
        return total / channels

    def rate(self) -> Tensor:
        """About how many bits the changes cost: most of it for not being zero."""
        sizes = [change.abs() for change in self.changes.values()]
        return sum((6 * (s / (s + 0.3)).sum() + torch.log2(1 + s).sum() for s in sizes), torch.zeros(()))


def fit(tensors: Tensors, planes: NDArray[Any], coefficients: NDArray[Any]) -> bias_changes.Changes:
    """Changes for images [N, H, W, channels] (G, R, B or grey) under base coefficients [74, 3]."""
    channels = planes.shape[3]
    three = np.repeat(planes, 3, axis=3) if channels == 1 else planes
    count, height, width, _ = three.shape
    pool = Pool(count, height, width, "cpu")
    pool.put_whole(three, coefficients, slice(0, count))
    network = _Network(tensors)
    groups = [{"params": list(network.changes.values()), "lr": RATE}, {"params": network.free, "lr": FREE_RATE}]
    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.98))
    random = np.random.default_rng(0)
    for step in range(STEPS):
        for group, rate in zip(optimiser.param_groups, (RATE, FREE_RATE), strict=True):
            group["lr"] = rate * min(1.0, 1.5 * (1 - step / STEPS))
        loss = network.bits(pool.draw(WINDOWS, SIDE, random), channels) + network.rate() / planes.size
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    rounded = {name: torch.floor(change.detach() + 0.5) for name, change in network.changes.items()}
    limit = bias_changes.LIMIT
    return {name: change.numpy().astype(np.int64).clip(-limit, limit) for name, change in rounded.items()}
