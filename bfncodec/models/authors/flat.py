"""The U-Net of one resolution, of variational diffusion models' design (the authors' networks/unet_vdm.py)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from bfncodec.models.authors import configs
from bfncodec.models.authors.adapters import OutputAdapter, Positions

EXPONENTS = (5, 6)  # waves of 2**5 and 2**6 periods a unit show the last bits of a value
FIRST_TIME = 0.001  # added to t, so that the first time is not 0
TIMES = 1000  # t in [0, 1] as the number of a diffusion step


class FlatResidual(nn.Module):
    """x + convolutions of x, with the time added between them."""

    def __init__(self, inputs: int, outputs: int, time: int, groups: int) -> None:
        super().__init__()
        self.net1 = nn.Sequential(nn.GroupNorm(groups, inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1))
        self.cond_proj = nn.Linear(time, outputs, bias=False)
        self.net2 = nn.Sequential(
            nn.GroupNorm(groups, outputs), nn.SiLU(), nn.Identity(), nn.Conv2d(outputs, outputs, 3, padding=1)
        )
        if inputs != outputs:
            self.skip_conv = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.net2(self.net1(x) + self.cond_proj(time)[:, :, None, None])
        return h + (self.skip_conv(x) if hasattr(self, "skip_conv") else x)


class Attend(nn.Module):
    """Queries, keys and values [n, 3 width, height, width] to what all points tell every point, by one head."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = x.flatten(2).transpose(1, 2).chunk(3, dim=-1)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return mixed.transpose(1, 2).reshape(len(x), -1, *x.shape[2:])


class FlatAttention(nn.Module):
    """x + attention of all points to all points."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(groups, width), nn.Conv2d(width, 3 * width, 1), Attend(), nn.Conv2d(width, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class FlatLevel(nn.Module):
    """One step of the way down or up."""

    def __init__(self, inputs: int, outputs: int, time: int, groups: int) -> None:
        super().__init__()
        self.resnet_block = FlatResidual(inputs, outputs, time, groups)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return self.resnet_block(x, time)


class FlatNetwork(nn.Module):
    """Means float32 [n, D] and time [n] to mean and log deviation [n, D, 2] of the noise in them."""

    def __init__(self, config: configs.Flat) -> None:
        super().__init__()
        self.config = config
        width, groups, channels = config.width, config.groups, config.channels
        time = 4 * width
        self.input_adapter = Positions(config.side, config.bands)
        self.output_adapter = OutputAdapter(channels + width, 2 * channels)
        self.embed_conditioning = nn.Sequential(nn.Linear(width, time), nn.SiLU(), nn.Linear(time, time), nn.SiLU())
        self.conv_in = nn.Conv2d(channels * (1 + 2 * len(EXPONENTS)), width, 3, padding=1)
        self.down_blocks = nn.ModuleList(FlatLevel(width, width, time, groups) for _ in range(config.blocks))
        self.mid_resnet_block_1 = FlatResidual(width, width, time, groups)
        self.mid_attn_block = FlatAttention(width, groups)
        self.mid_resnet_block_2 = FlatResidual(width, width, time, groups)
        self.up_blocks = nn.ModuleList(FlatLevel(2 * width, width, time, groups) for _ in range(config.blocks + 1))
        self.conv_out = nn.Sequential(nn.GroupNorm(groups, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1))

    def forward(self, means: Tensor, time: Tensor) -> Tensor:
        n, side, channels = len(means), self.config.side, self.config.channels
        x = means.reshape(n, side * side, channels)
        moment = self.embed_conditioning(embedding(time, self.config.width))
        h = self.conv_in(with_waves(x.transpose(1, 2).reshape(n, channels, side, side)))
        kept = [h]
        for block in self.down_blocks:
            h = block(h, moment)
            kept.append(h)
        h = self.mid_resnet_block_1(h, moment)
        h = self.mid_resnet_block_2(self.mid_attn_block(h), moment)
        for block in self.up_blocks:
            h = block(torch.cat([h, kept.pop()], dim=1), moment)
        last = self.conv_out(h).flatten(2).transpose(1, 2)
        return self.output_adapter(torch.cat([x, last], dim=-1)).reshape(n, -1, 2)


def with_waves(x: Tensor) -> Tensor:
    """x [n, C, h, w], then sines of all channels at each frequency, then cosines."""
    angles = torch.cat([x * (2.0**exponent * 2 * math.pi) for exponent in EXPONENTS], dim=1)
    return torch.cat([x, angles.sin(), angles.cos()], dim=1)


def embedding(time: Tensor, width: int) -> Tensor:
    """Sines, then cosines, of time [n] at width / 2 frequencies from 1 down to 1 / 10000."""
    frequencies = torch.logspace(0, -4, width // 2, device=time.device)
    angles = ((time + FIRST_TIME) * TIMES)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
