"""The U-Net with levels of resolution, of improved-diffusion's design (the authors' networks/unet_improved.py)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from bfncodec.models.authors import configs
from bfncodec.models.authors.adapters import OutputAdapter, Positions

TIMES = 4000  # t in [0, 1] as the number of a diffusion step


class LevelResidual(nn.Module):
    """x + convolutions of x, with the time added between them."""

    def __init__(self, inputs: int, outputs: int, time: int, groups: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            nn.GroupNorm(groups, inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time, outputs))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(groups, outputs), nn.SiLU(), nn.Identity(), nn.Conv2d(outputs, outputs, 3, padding=1)
        )
        self.skip_connection = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.in_layers(x) + self.emb_layers(time)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(h)


class LevelAttention(nn.Module):
    """x + attention of all points to all points; a head has its queries, keys and values side by side."""

    def __init__(self, width: int, heads: int, groups: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(groups, width)
        self.qkv = nn.Conv1d(width, 3 * width, 1)
        self.proj_out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        flat = x.flatten(2)
        n, width, points = flat.shape
        q, k, v = self.qkv(self.norm(flat)).view(n, self.heads, 3, -1, points).transpose(-1, -2).unbind(2)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return x + self.proj_out(mixed.transpose(-1, -2).reshape(n, width, points)).view_as(x)


class Down(nn.Module):
    """Half the resolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return self.op(x)


class Up(nn.Module):
    """Twice the resolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return self.conv(functional.interpolate(x, scale_factor=2, mode="nearest"))


class First(nn.Conv2d):
    """The first convolution, which does not look at the time."""

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        return super().forward(x)


class LevelsNetwork(nn.Module):
    """theta float32 [n, D, 2] and time [n] to the logits [n, D] of class 1."""

    def __init__(self, config: configs.Levels) -> None:
        super().__init__()
        self.config = config
        width, groups = config.width, config.groups
        time = 4 * width
        self.input_adapter = Positions(config.side, config.bands)
        self.output_adapter = OutputAdapter(2 * width, 1)
        self.input_projection = nn.Linear(2, width)
        self.time_embed = nn.Sequential(nn.Linear(width, time), nn.SiLU(), nn.Linear(time, time))
        widths = [width * multiple for multiple in config.multiples]

        def row(*layers: nn.Module) -> nn.ModuleList:
            return nn.ModuleList(layers)

        self.input_blocks = nn.ModuleList([row(First(width, width, 3, padding=1))])
        here, seen = width, [width]
        for level, wide in enumerate(widths):
            for _ in range(config.blocks):
                self.input_blocks.append(row(LevelResidual(here, wide, time, groups)))
                here = wide
                seen.append(here)
            if level < len(widths) - 1:
                self.input_blocks.append(row(Down(here)))
                seen.append(here)
        self.middle_block = row(
            LevelResidual(here, here, time, groups),
            LevelAttention(here, config.heads, groups),
            LevelResidual(here, here, time, groups),
        )
        self.output_blocks = nn.ModuleList()
        for level in reversed(range(len(widths))):
            for number in range(config.blocks + 1):
                block = row(LevelResidual(here + seen.pop(), widths[level], time, groups))
                here = widths[level]
                if level and number == config.blocks:
                    block.append(Up(here))
                self.output_blocks.append(block)
        self.out = nn.Sequential(nn.GroupNorm(groups, here), nn.SiLU(), nn.Conv2d(here, width, 3, padding=1))

    def forward(self, theta: Tensor, time: Tensor) -> Tensor:
        n, side = len(theta), self.config.side
        # The authors show the network class 0, and ask it for class 1.
        seen = torch.stack([2 * theta[..., 0] - 1, (2 * time - 1)[:, None].expand(n, side * side)], dim=-1)
        x = self.input_projection(seen)
        embedded = self.time_embed(embedding(time * TIMES, self.config.width))
        h = x.transpose(1, 2).reshape(n, -1, side, side)
        kept = []
        for block in self.input_blocks:
            h = _through(block, h, embedded)
            kept.append(h)
        h = _through(self.middle_block, h, embedded)
        for block in self.output_blocks:
            h = _through(block, torch.cat([h, kept.pop()], dim=1), embedded)
        last = self.out(h).flatten(2).transpose(1, 2)
        return self.output_adapter(torch.cat([x, last], dim=-1)).squeeze(-1)


def _through(layers: nn.Module, h: Tensor, time: Tensor) -> Tensor:
    for layer in layers.children():
        h = layer(h, time)
    return h


def embedding(steps: Tensor, width: int) -> Tensor:
    """Cosines, then sines, of steps [n] at width / 2 frequencies from 1 down to nearly 1 / 10000."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32, device=steps.device) / half)
    angles = steps[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)
