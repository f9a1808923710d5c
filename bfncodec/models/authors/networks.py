"""The network of a configuration of the authors: their U-Nets and their transformer (their networks/*.py)."""

import math
from collections import OrderedDict
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from bfncodec.models.authors.configs import Config, Flat, Levels, Transformer

EXPONENTS = (5, 6)  # waves of 2**5 and 2**6 periods a unit show the last bits of a value
FIRST_TIME = 0.001  # added to t, so that the first time is not 0
FLAT_TIMES = 1000  # t in [0, 1] as the number of a diffusion step
LEVELS_TIMES = 4000  # the same


def named(**layers: nn.Module) -> nn.Sequential:
    """Layers one after the other, whose weights have their names."""
    return nn.Sequential(OrderedDict(layers))


def positions(side: int, bands: int) -> nn.Module:
    """A table of positions that checkpoints of image models hold, though none of the published ones uses it."""
    return nn.ParameterDict({"pos_feats": torch.zeros(side * side, 4 * bands + 2)})


def convolution(inputs: int, outputs: int, groups: int, *between: nn.Module) -> nn.Sequential:
    """A convolution of activations that are brought to one scale first."""
    return nn.Sequential(nn.GroupNorm(groups, inputs), nn.SiLU(), *between, nn.Conv2d(inputs, outputs, 3, padding=1))


def _across(
    kept: list[Tensor], h: Tensor, moment: Tensor, down: nn.Module, middle: Iterable[nn.Module], up: nn.Module
) -> Tensor:
    """Down and up again; blocks on the way up see what was kept on the way down. Residual layers are told the time."""

    def through(layers: Iterable[nn.Module], h: Tensor) -> Tensor:
        for layer in layers:
            h = layer(h, moment) if isinstance(layer, LevelResidual | FlatResidual) else layer(h)
        return h

    for block in down.children():
        h = through(block.children(), h)
        kept.append(h)
    h = through(middle, h)
    for block in up.children():
        h = through(block.children(), torch.cat([h, kept.pop()], dim=1))
    return h


# The U-Net with levels of resolution, of improved-diffusion's design (unet_improved.py)


class LevelResidual(nn.Module):
    """x + convolutions of x, with the time added between them."""

    def __init__(self, inputs: int, outputs: int, time: int, groups: int) -> None:
        super().__init__()
        self.in_layers = convolution(inputs, outputs, groups)
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time, outputs))
        self.out_layers = convolution(outputs, outputs, groups, nn.Identity())
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

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        n, width, points = flat.shape
        q, k, v = self.qkv(self.norm(flat)).view(n, self.heads, 3, -1, points).transpose(-1, -2).unbind(2)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return x + self.proj_out(mixed.transpose(-1, -2).reshape(n, width, points)).view_as(x)


class LevelsNetwork(nn.Module):
    """theta float32 [n, D, 2] and time [n] to the logits [n, D] of class 1."""

    def __init__(self, config: Levels) -> None:
        super().__init__()
        self.config = config
        width, groups = config.width, config.groups
        time = 4 * width
        self.input_adapter = positions(config.side, config.bands)
        self.output_adapter = named(output_projection=nn.Linear(2 * width, 1))
        self.input_projection = nn.Linear(2, width)
        self.time_embed = nn.Sequential(nn.Linear(width, time), nn.SiLU(), nn.Linear(time, time))
        widths = [width * multiple for multiple in config.multiples]

        def row(*layers: nn.Module) -> nn.ModuleList:
            return nn.ModuleList(layers)

        self.input_blocks = row(row(nn.Conv2d(width, width, 3, padding=1)))
        here, seen = width, [width]
        for level, wide in enumerate(widths):
            for _ in range(config.blocks):
                self.input_blocks.append(row(LevelResidual(here, wide, time, groups)))
                here = wide
                seen.append(here)
            if level < len(widths) - 1:
                self.input_blocks.append(row(named(op=nn.Conv2d(here, here, 3, stride=2, padding=1))))
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
                    block.append(named(up=nn.Upsample(scale_factor=2), conv=nn.Conv2d(here, here, 3, padding=1)))
                self.output_blocks.append(block)
        self.out = convolution(here, width, groups)

    def forward(self, theta: Tensor, time: Tensor) -> Tensor:
        n, side = len(theta), self.config.side
        # The authors show the network class 0, and ask it for class 1.
        seen = torch.stack([2 * theta[..., 0] - 1, (2 * time - 1)[:, None].expand(n, side * side)], dim=-1)
        x = self.input_projection(seen)
        moment = self.time_embed(_cosines(time * LEVELS_TIMES, self.config.width))
        grid = x.transpose(1, 2).reshape(n, -1, side, side)
        h = _across([], grid, moment, self.input_blocks, self.middle_block, self.output_blocks)
        last = self.out(h).flatten(2).transpose(1, 2)
        return self.output_adapter(torch.cat([x, last], dim=-1)).squeeze(-1)


def _cosines(steps: Tensor, width: int) -> Tensor:
    """Cosines, then sines, of steps [n] at width / 2 frequencies from 1 down to nearly 1 / 10000."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32, device=steps.device) / half)
    angles = steps[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


# The U-Net of one resolution, of variational diffusion models' design (unet_vdm.py)


class FlatResidual(nn.Module):
    """x + convolutions of x, with the time added between them."""

    def __init__(self, inputs: int, outputs: int, time: int, groups: int) -> None:
        super().__init__()
        self.net1 = convolution(inputs, outputs, groups)
        self.cond_proj = nn.Linear(time, outputs, bias=False)
        self.net2 = convolution(outputs, outputs, groups, nn.Identity())
        self.skip_conv = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.net1(x) + self.cond_proj(time)[:, :, None, None]
        return self.skip_conv(x) + self.net2(h)


class FlatAttention(nn.Module):
    """x + attention of all points to all points, by one head."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(groups, width), nn.Conv2d(width, 3 * width, 1), nn.Identity(), nn.Conv2d(width, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.layers[:2](x).flatten(2).transpose(1, 2).chunk(3, dim=-1)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return x + self.layers[3](mixed.transpose(1, 2).reshape(x.shape))


class FlatNetwork(nn.Module):
    """Means float32 [n, D] and time [n] to mean and log deviation [n, D, 2] of the noise in them."""

    def __init__(self, config: Flat) -> None:
        super().__init__()
        self.config = config
        width, groups, channels = config.width, config.groups, config.channels
        time = 4 * width

        def blocks(inputs: int, count: int) -> nn.ModuleList:
            residuals = (FlatResidual(inputs, width, time, groups) for _ in range(count))
            return nn.ModuleList(nn.ModuleDict({"resnet_block": residual}) for residual in residuals)

        self.input_adapter = positions(config.side, config.bands)
        self.output_adapter = named(output_projection=nn.Linear(channels + width, 2 * channels))
        self.embed_conditioning = nn.Sequential(nn.Linear(width, time), nn.SiLU(), nn.Linear(time, time), nn.SiLU())
        self.conv_in = nn.Conv2d(channels * (1 + 2 * len(EXPONENTS)), width, 3, padding=1)
        self.down_blocks = blocks(width, config.blocks)
        self.mid_resnet_block_1 = FlatResidual(width, width, time, groups)
        self.mid_attn_block = FlatAttention(width, groups)
        self.mid_resnet_block_2 = FlatResidual(width, width, time, groups)
        self.up_blocks = blocks(2 * width, config.blocks + 1)
        self.conv_out = convolution(width, width, groups)

    def forward(self, means: Tensor, time: Tensor) -> Tensor:
        n, side, channels = len(means), self.config.side, self.config.channels
        x = means.reshape(n, side * side, channels)
        moment = self.embed_conditioning(_sines(time, self.config.width))
        grid = x.transpose(1, 2).reshape(n, channels, side, side)
        angles = torch.cat([grid * (2.0**exponent * 2 * math.pi) for exponent in EXPONENTS], dim=1)
        grid = self.conv_in(torch.cat([grid, angles.sin(), angles.cos()], dim=1))
        middle = (self.mid_resnet_block_1, self.mid_attn_block, self.mid_resnet_block_2)
        h = _across([grid], grid, moment, self.down_blocks, middle, self.up_blocks)
        last = self.conv_out(h).flatten(2).transpose(1, 2)
        return self.output_adapter(torch.cat([x, last], dim=-1)).reshape(n, -1, 2)


def _sines(time: Tensor, width: int) -> Tensor:
    """Sines, then cosines, of time [n] at width / 2 frequencies from 1 down to 1 / 10000."""
    frequencies = torch.logspace(0, -4, width // 2, device=time.device)
    angles = ((time + FIRST_TIME) * FLAT_TIMES)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


# The network of texts, a transformer of nanoGPT's design without a causal mask (transformer.py)


class SelfAttention(nn.Module):
    """Attention of all positions to all positions; queries of all heads, then keys, then values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        q, k, v = self.c_attn(x).view(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.c_proj(mixed.transpose(1, 2).reshape(n, length, width))


class TransformerBlock(nn.Module):
    """Attention, then two layers at every position, each added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = SelfAttention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        gelu = nn.GELU(approximate="tanh")
        self.mlp = named(c_fc=nn.Linear(width, 4 * width), gelu=gelu, c_proj=nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class TextAdapter(nn.Module):
    """theta [n, D, K] and time [n] to D vectors: of the probabilities, of the position and of the time."""

    def __init__(self, classes: int, length: int, width: int) -> None:
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.zeros(length, width))
        self.inp_embedding = nn.Linear(classes, width)
        self.t_embedding = nn.Linear(1, width)

    def forward(self, theta: Tensor, time: Tensor) -> Tensor:
        moment = self.t_embedding((2 * time - 1)[:, None, None])
        return self.inp_embedding(2 * theta - 1) + self.pos_embedding + moment


class TransformerNetwork(nn.Module):
    """theta float32 [n, D, K] and time [n] to logits [n, D, K]."""

    def __init__(self, config: Transformer) -> None:
        super().__init__()
        self.config = config
        blocks = (TransformerBlock(config.width, config.heads) for _ in range(config.layers))
        self.input_adapter = TextAdapter(config.classes, config.length, config.width)
        self.transformer = named(h=nn.Sequential(*blocks), ln_f=nn.LayerNorm(config.width))
        self.lm_head = nn.Linear(2 * config.width, config.classes)

    def forward(self, theta: Tensor, time: Tensor) -> Tensor:
        x = self.input_adapter(theta, time)
        return self.lm_head(torch.cat([self.transformer(x), x], dim=-1))


# The network of a configuration

Network = LevelsNetwork | FlatNetwork | TransformerNetwork


def empty(config: Config) -> Network:
    """A network that has names and shapes, but no weights and no memory for them."""
    with torch.device("meta"):
        if isinstance(config, Levels):
            return LevelsNetwork(config)
        return FlatNetwork(config) if isinstance(config, Flat) else TransformerNetwork(config)


def shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a configuration's weights, in the authors' order but without their prefix `net.`."""
    return {name: tuple(value.shape) for name, value in empty(config).state_dict().items()}
