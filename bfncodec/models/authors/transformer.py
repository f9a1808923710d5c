"""The transformer, of nanoGPT's design without a causal mask (the authors' networks/transformer.py)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from bfncodec.models.authors import configs
from bfncodec.models.authors.adapters import TextAdapter


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


class Mlp(nn.Module):
    """Two layers at every position."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(functional.gelu(self.c_fc(x), approximate="tanh"))


class TransformerBlock(nn.Module):
    """Attention, then the two layers, each added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = SelfAttention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Trunk(nn.Module):
    """All blocks and the last norm."""

    def __init__(self, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.h = nn.ModuleList(TransformerBlock(width, heads) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.h:
            x = block(x)
        return self.ln_f(x)


class TransformerNetwork(nn.Module):
    """theta float32 [n, D, K] and time [n] to logits [n, D, K]."""

    def __init__(self, config: configs.Transformer) -> None:
        super().__init__()
        self.config = config
        self.input_adapter = TextAdapter(config.classes, config.length, config.width)
        self.transformer = Trunk(config.width, config.layers, config.heads)
        self.lm_head = nn.Linear(2 * config.width, config.classes)

    def forward(self, theta: Tensor, time: Tensor) -> Tensor:
        x = self.input_adapter(theta, time)
        return self.lm_head(torch.cat([self.transformer(x), x], dim=-1))
