"""Training of the JPEG model's networks, each on all that it would have seen in the files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bfncodec.models.jpeg.networks import (
    COUNT,
    EDGE,
    EDGE_COUNT,
    HEADS,
    HIDDEN,
    INSIDE,
    IS_NEGATIVE,
    KINDS,
    MORE,
    NEXT,
    PLACES,
    SEEN,
    SIGN,
    SIZE,
    STARTS,
    TOP,
    heads,
)  # fmt: skip

Array = NDArray[Any]

CHUNK = 128  # rows of one place
_FEWEST_STEPS = 10  # of a schedule of rates: it rises over a tenth of them
CHUNKS = 32  # of a step
_INPUT, _FIRST, _ACTIVE, _SECOND, _SAID = 64, 64, 32, 32, 256  # units in one of inputs, weights, activations, answers


def targets(notes: Array, kind: int) -> tuple[Array, Array]:
    """What the heads of a kind of places should have said, bool [n, heads], and which of them were asked.

    notes: uint8 [n, SEEN + 3], see `models.jpeg.seeing.asked`.
    """
    values, odd = notes[:, SEEN + 1].astype(np.int64), notes[:, SEEN + 2] > 0
    places, start = notes[:, SEEN].astype(np.int64) % PLACES, STARTS[kind]
    said, asked = np.zeros((len(notes), heads(kind)), bool), np.zeros((len(notes), heads(kind)), bool)
    if start in (COUNT, EDGE_COUNT):
        bits, rows = 6 if start == COUNT else 3, np.arange(len(notes))
        for depth in range(bits):
            nodes = 1 << depth | values >> bits - depth
            asked[rows, nodes], said[rows, nodes] = True, values >> bits - 1 - depth & 1
        return said, asked
    asked[:, IS_NEGATIVE], said[:, IS_NEGATIVE] = values > 0, odd
    if start == SIGN:
        return said, asked
    for bits in range(7):
        least = 1 << bits - 1 if bits else 0
        asked[:, MORE + bits], said[:, MORE + bits] = values >= least, values >= 1 << bits
    for bits in range(2, 7):
        own, top = values >> bits - 1 == 1, values >> bits - 2 & 1
        asked[:, TOP + bits - 2], said[:, TOP + bits - 2] = own, top
        for which in range(2 if bits > 2 else 0):
            head = NEXT + 2 * (bits - 3) + which
            asked[:, head], said[:, head] = own & (top == which), values >> bits - 3 & 1
    if start == INSIDE:  # where as many are left as places, none of them is zero
        asked[:, 0] &= notes[:, 24] // 4 < 49 - places
        asked[:, IS_NEGATIVE] = False
    elif start == EDGE:
        asked[:, 0] &= notes[:, 17] // 16 < 7 - (places - EDGE) % 7
    elif start == SIZE:
        asked[:, [0, IS_NEGATIVE]] = False
    return said, asked


class _Rounded(torch.autograd.Function):
    """Numbers in whole units; gradients as if they were not."""

    @staticmethod
    def forward(context: Any, values: Tensor, units: int, down: bool) -> Tensor:
        return (torch.floor if down else torch.round)(values * units) / units

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0], None, None


class Net(nn.Module):
    """The networks of a kind of places."""

    def __init__(self, places: int, heads: int) -> None:
        super().__init__()
        first = torch.randn(1, SEEN, HIDDEN) * 0.7 / SEEN**0.5
        self.first = nn.Parameter(first.repeat(places, 1, 1))
        self.first_bias = nn.Parameter(torch.zeros(places, HIDDEN))
        self.second = nn.Parameter(torch.randn(HIDDEN, heads) / HIDDEN**0.5)
        self.second_bias = nn.Parameter(torch.zeros(places, heads))
        self.rounded = False

    def weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As they are used."""
        first = self.first.clamp(-127 / _FIRST, 127 / _FIRST)
        second = self.second.clamp(-127 / _SECOND, 127 / _SECOND)
        if not self.rounded:
            return first, self.first_bias, second, self.second_bias
        rounded: Any = _Rounded.apply
        return (
            rounded(first, _FIRST, False), rounded(self.first_bias, _INPUT * _FIRST >> 5, False),
            rounded(second, _SECOND, False), rounded(self.second_bias, _SAID, False),
        )  # fmt: skip

    def forward(self, seen: Tensor, places: Tensor) -> Tensor:
        """Log-odds [n, CHUNK, heads] of chunks [n, CHUNK, SEEN] of places [n]."""
        first, first_bias, second, second_bias = self.weights()
        hidden = torch.baddbmm(first_bias[places][:, None], seen / _INPUT, first[places])
        if self.rounded:
            hidden = _Rounded.apply(hidden, _ACTIVE, True)  # type: ignore[no-untyped-call]
        return hidden.clamp(0, 255 / _ACTIVE) @ second + second_bias[places][:, None]


def train(notes: Array, epochs: float, seed: int, log: Callable[[str], None]) -> dict[str, Array]:
    """Tensors of a model file, see `docs/format.md`. notes: uint8 [n, SEEN + 3]."""
    torch.manual_seed(seed)
    made: dict[str, Array] = {
        "jpeg.first": np.zeros((2 * PLACES, HIDDEN, SEEN), np.int8),
        "jpeg.first.bias": np.zeros((2 * PLACES, HIDDEN), np.int16),
        "jpeg.second": np.zeros((2 * KINDS, HEADS, HIDDEN), np.int8),
        "jpeg.second.bias": np.zeros((2 * PLACES, HEADS), np.int16),
    }
    for kind in range(2 * KINDS):
        start = STARTS[kind % KINDS]
        stop = (*STARTS, PLACES)[kind % KINDS + 1]
        shift = PLACES * (kind // KINDS)
        every = notes[(notes[:, SEEN] >= start + shift) & (notes[:, SEEN] < stop + shift)]
        net = Net(stop - start, heads(kind % KINDS))
        _fit(net, every, kind, epochs, seed, log)
        with torch.no_grad():
            first, first_bias, second, second_bias = net.weights()
            own = slice(start + shift, stop + shift)
            made["jpeg.first"][own] = np.rint(first.numpy() * _FIRST).transpose(0, 2, 1)
            made["jpeg.first.bias"][own] = np.rint(first_bias.numpy() * (_INPUT * _FIRST >> 5))
            made["jpeg.second"][kind, : len(second.T)] = np.rint(second.numpy() * _SECOND).T
            made["jpeg.second.bias"][own, : len(second.T)] = np.rint(second_bias.numpy() * _SAID)
    return made


def _cut(draw: np.random.Generator, group: Array, count: int) -> Array:
    """So many chunks of a group's rows, in any order; a small group's are repeated."""
    rows = draw.permutation(np.resize(group, max(len(group), count * CHUNK)))
    return rows[: count * CHUNK].reshape(-1, CHUNK)


def _fit(net: Net, notes: Array, kind: int, epochs: float, seed: int, log: Callable[[str], None]) -> None:
    """Train the networks of a kind."""
    draw = np.random.default_rng(seed)
    own = notes[:, SEEN] % PLACES - STARTS[kind % KINDS]
    groups = [np.flatnonzero(own == place) for place in range(len(net.first))]
    counts = [max(len(group) // CHUNK, 1) if len(group) else 0 for group in groups]
    steps = max(1, int(epochs * sum(counts) / CHUNKS))
    optimiser = torch.optim.Adam(net.parameters(), 4e-3)
    total_steps = max(steps, _FEWEST_STEPS) + 1
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=total_steps, pct_start=0.1)
    step, total, number = 0, 0.0, 0
    while step < steps and any(counts):
        chunks = [
            (place, rows)
            for place, (group, count) in enumerate(zip(groups, counts, strict=True))
            for rows in _cut(draw, group, count)
        ]
        order = draw.permutation(len(chunks))
        for first in range(0, max(len(order) - CHUNKS + 1, 1), CHUNKS):
            if step == steps:
                break
            net.rounded = step > steps * 2 // 3
            chosen = [chunks[one] for one in order[first : first + CHUNKS]]
            places = torch.tensor([place for place, _ in chosen])
            rows = notes[np.stack([one for _, one in chosen])]
            said, asked = targets(rows.reshape(-1, SEEN + 3), kind % KINDS)
            seen = torch.from_numpy(rows[:, :, :SEEN]).float()
            answers = net(seen, places)
            wanted = torch.from_numpy(said).float().reshape(answers.shape)
            losses = nn.functional.binary_cross_entropy_with_logits(answers, wanted, reduction="none")
            losses = losses * torch.from_numpy(asked).reshape(answers.shape)
            optimiser.zero_grad()
            loss = losses.sum() / (len(chosen) * CHUNK)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            step += 1
            if step > steps * 9 // 10:
                total, number = total + loss.item(), number + 1
    net.rounded = True
    log(f"networks of kind {kind}: {len(notes)} numbers, {total / max(number, 1) / np.log(2):.4f} bits each")
