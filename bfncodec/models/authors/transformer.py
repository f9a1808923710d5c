"""The authors' network of texts: a transformer of nanoGPT's design without a causal mask (their transformer.py)."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from bfncodec.models.authors.configs import Transformer


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
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, 4 * width), gelu=nn.GELU(approximate="tanh"), c_proj=nn.Linear(4 * width, width)
            )
        )

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
        self.transformer = nn.Sequential(OrderedDict(h=nn.Sequential(*blocks), ln_f=nn.LayerNorm(config.width)))
        self.lm_head = nn.Linear(2 * config.width, config.classes)

    def forward(self, theta: Tensor, time: Tensor) -> Tensor:
        x = self.input_adapter(theta, time)
        return self.lm_head(torch.cat([self.transformer(x), x], dim=-1))
