"""What stands before and behind the authors' networks (their networks/adapters.py)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Positions(nn.Module):
    """A table of positions that checkpoints of image models hold, though none of the published ones uses it."""

    pos_feats: Tensor

    def __init__(self, side: int, bands: int) -> None:
        super().__init__()
        self.register_buffer("pos_feats", torch.zeros(side * side, 4 * bands + 2))


class TextAdapter(nn.Module):
    """theta [n, D, K] and time [n] to D vectors: of the probabilities, of the position and of the time."""

    pos_embedding: Tensor

    def __init__(self, classes: int, length: int, width: int) -> None:
        super().__init__()
        self.register_buffer("pos_embedding", torch.zeros(length, width))
        self.inp_embedding = nn.Linear(classes, width)
        self.t_embedding = nn.Linear(1, width)

    def forward(self, theta: Tensor, time: Tensor) -> Tensor:
        moment = self.t_embedding((2 * time - 1)[:, None, None])
        return self.inp_embedding(2 * theta - 1) + self.pos_embedding + moment


class OutputAdapter(nn.Module):
    """A linear layer at every point."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.output_projection = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.output_projection(x)
