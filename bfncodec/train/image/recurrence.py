"""The trunk with embeddings of coded neighbours: a recurrence over the pixels of windows, and its gradient.

Pixels are taken diagonal by diagonal, x + SLOPE * y of a window: all neighbours of `features.EMBEDDED` come before. Of
B windows with P pixels each, tensors are [P, B, ...] in that order. Beyond a window's edges embeddings are zero.

The gradient is written out, since products of weights are best made once, of all diagonals together.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import linear

from bfncodec.exact.kernels import ACTIVATION_MAX
from bfncodec.exact.layers import STREAM_BITS
from bfncodec.models.image.features import EMBEDDED

SLOPE = 2
_STEPS = [-(SLOPE * dy + dx) for dy, dx in EMBEDDED]  # diagonals back to each neighbour
_ABOVE = max(-dy for dy, _ in EMBEDDED)
_HALF = torch.bfloat16


class Diagonal(NamedTuple):
    """Rows `low` to `high` of a window; places `first` to `stop` among its pixels in order."""

    low: int
    high: int
    first: int
    stop: int


class Order(NamedTuple):
    """The pixels of a window in order."""

    y: NDArray[np.int64]
    x: NDArray[np.int64]
    diagonals: list[Diagonal]
    height: int


@cache
def order(height: int, width: int) -> Order:
    """The order of a window of that size."""
    diagonals, rows, columns, place = [], [], [], 0
    for number in range(width + SLOPE * (height - 1)):
        low, high = max(0, -((width - 1 - number) // SLOPE)), min(height - 1, number // SLOPE) + 1
        y = np.arange(low, high)
        rows.append(y)
        columns.append(number - SLOPE * y)
        diagonals.append(Diagonal(low, high, place, place + len(y)))
        place += len(y)
    return Order(np.concatenate(rows), np.concatenate(columns), diagonals, height)


class Layer(NamedTuple):
    """A layer's weight [out, in], bfloat16, and bias [out]."""

    weight: Tensor
    bias: Tensor


class Layers(NamedTuple):
    """near: weight [width, neighbours * embedding]; blocks: first and second of each; embed: those of an embedding."""

    near: Tensor
    blocks: list[tuple[Layer, Layer]]
    embed: tuple[Layer, Layer]

    def flat(self) -> list[Tensor]:
        pairs = [*self.blocks, self.embed]
        return [self.near, *(tensor for pair in pairs for layer in pair for tensor in layer)]

    @staticmethod
    def of(flat: list[Tensor]) -> "Layers":
        layers = [Layer(*flat[at : at + 2]) for at in range(1, len(flat), 2)]
        *blocks, embed = zip(layers[::2], layers[1::2], strict=True)
        return Layers(flat[0], blocks, embed)


class Seen(NamedTuple):
    """What layers gave before it was limited, bfloat16 [P, B, units]; `stream` as it is read, block by block."""

    near: Tensor
    stream: list[Tensor]
    first: list[Tensor]
    embed: tuple[Tensor, Tensor]


class Rounding:
    """How values are rounded and limited: not at all but to positive ones, or as integer layers do it."""

    def __init__(self, integers: bool) -> None:
        self.integers, self.unit = integers, 2.0**-STREAM_BITS if integers else 1.0

    def layer(self, values: Tensor, layer: Layer) -> Tensor:
        if not self.integers:
            return linear(values, *layer)
        return torch.floor(linear(values, layer.weight).float() + layer.bias + 0.5)

    def summed(self, start: Tensor, more: Tensor) -> Tensor:
        return torch.floor(start + more + 0.5) if self.integers else start + more

    def read(self, stream: Tensor) -> Tensor:
        """The stream as layers read it, not limited yet."""
        return torch.floor(stream * self.unit + 0.5) if self.integers else stream

    def kept(self, values: Tensor) -> Tensor:
        """Values that bfloat16 holds exactly, or well enough."""
        return values.clamp(-1, ACTIVATION_MAX + 1) if self.integers else values

    def active(self, values: Tensor) -> Tensor:
        return values.clamp(0, ACTIVATION_MAX) if self.integers else values.relu()

    def back(self, gradient: Tensor, values: Tensor) -> Tensor:
        """The gradient before `active`."""
        if self.integers:
            return gradient * ((values >= 0) & (values <= ACTIVATION_MAX))
        return torch.ops.aten.threshold_backward(gradient, values, 0.0)


class Recurrence(torch.autograd.Function):
    """`trunk` with its gradient."""

    @staticmethod
    def forward(
        ctx: Any, stream: Tensor, own: Tensor, order: Order, integers: bool, notes: list[Seen] | None, *flat: Tensor
    ) -> Tensor:
        layers, how = Layers.of(list(flat)), Rounding(integers)
        seen = _forward(layers, how, stream, own, order)
        if notes is not None:
            notes.append(seen)
        ctx.layers, ctx.how, ctx.order, ctx.seen, ctx.own, ctx.type = layers, how, order, seen, own, stream.dtype
        return how.active(seen.stream[-1])

    @staticmethod
    def backward(ctx: Any, last: Tensor) -> tuple[Tensor | None, ...]:
        stream, flat = _backward(ctx.layers, ctx.how, ctx.seen, ctx.own, ctx.order, last)
        return stream.to(ctx.type), None, None, None, None, *flat


def trunk(
    stream: Tensor, own: Tensor, order: Order, layers: Layers, integers: bool, notes: list[Seen] | None = None
) -> Tensor:
    """The last activations [P * B, width], bfloat16.

    stream: what the features alone bring to it, [P * B, width]; own: inputs of the embeddings beside those activations.
    """
    pixels = len(order.y)
    parts = (part.view(pixels, -1, part.shape[1]) for part in (stream, own))
    last: Tensor = Recurrence.apply(*parts, order, integers, notes, *layers.flat())  # type: ignore[no-untyped-call]
    return last.flatten(0, 1)


def _forward(layers: Layers, how: Rounding, stream: Tensor, own: Tensor, order: Order) -> Seen:
    count, batch, _ = stream.shape
    size = len(layers.embed[1].weight)

    def room(units: int) -> Tensor:
        return torch.empty(count, batch, units, dtype=_HALF, device=stream.device)

    seen = Seen(
        room(size * len(EMBEDDED)),
        [room(stream.shape[2]) for _ in range(len(layers.blocks) + 1)],
        [room(len(first.weight)) for first, _ in layers.blocks],
        (room(len(layers.embed[0].weight)), room(size)),
    )
    nothing = torch.zeros(order.height + _ABOVE, batch, size, dtype=_HALF, device=stream.device)
    past = [nothing] * max(_STEPS)  # embeddings of the diagonals before, the last one first
    for low, high, first, stop in order.diagonals:
        here = slice(first, stop)
        for place, (back, (dy, _)) in enumerate(zip(_STEPS, EMBEDDED, strict=True)):
            rows = slice(low + _ABOVE + dy, high + _ABOVE + dy)
            seen.near[here, :, place * size : (place + 1) * size] = past[back - 1][rows]
        total = how.summed(stream[here], linear(seen.near[here], layers.near))
        for number, (one, two) in enumerate(layers.blocks):
            seen.stream[number][here] = how.kept(how.read(total))
            seen.first[number][here] = how.kept(how.layer(how.active(seen.stream[number][here]), one))
            total = total + how.layer(how.active(seen.first[number][here]), two)
        seen.stream[-1][here] = how.kept(how.read(total))
        inputs = torch.cat([how.active(seen.stream[-1][here]), own[here]], -1)
        seen.embed[0][here] = how.kept(how.layer(inputs, layers.embed[0]))
        seen.embed[1][here] = how.kept(how.layer(how.active(seen.embed[0][here]), layers.embed[1]))
        embedded = torch.zeros_like(nothing)
        embedded[low + _ABOVE : high + _ABOVE] = how.active(seen.embed[1][here])
        past = [embedded, *past[:-1]]
    return seen


def _backward(
    layers: Layers, how: Rounding, seen: Seen, own: Tensor, order: Order, last: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Gradients of the stream at its start, and of `Layers.flat`."""
    width, size = last.shape[2], seen.embed[1].shape[2]
    stream, embed = torch.empty_like(seen.stream[0]), [torch.empty_like(part) for part in seen.embed]
    first, second = ([torch.empty_like(part) for part in parts] for parts in (seen.first, seen.stream[1:]))
    near = layers.near.T.contiguous()
    blocks = [(one.weight.T.contiguous(), two.weight.T.contiguous()) for one, two in layers.blocks]
    outer, inner = layers.embed[0].weight.T[:width].contiguous(), layers.embed[1].weight.T.contiguous()
    nothing = last.new_zeros(order.height + _ABOVE, last.shape[1], size)
    ahead = [torch.zeros_like(nothing) for _ in range(max(_STEPS) + 1)]  # of this diagonal and of those before it
    for low, high, start, stop in reversed(order.diagonals):
        here = slice(start, stop)
        embed[1][here] = how.back(ahead[0][low + _ABOVE : high + _ABOVE], seen.embed[1][here])
        embed[0][here] = how.back(linear(embed[1][here], inner), seen.embed[0][here])
        total = how.back(last[here] + linear(embed[0][here], outer), seen.stream[-1][here]) * how.unit
        for number in reversed(range(len(blocks))):
            second[number][here] = total
            first[number][here] = how.back(linear(total, blocks[number][1]), seen.first[number][here])
            more = linear(first[number][here], blocks[number][0])
            total = total + how.back(more, seen.stream[number][here]) * how.unit
        stream[here] = total
        around = linear(total, near)
        ahead = [*ahead[1:], torch.zeros_like(nothing)]
        for place, (back, (dy, _)) in enumerate(zip(_STEPS, EMBEDDED, strict=True)):
            rows = slice(low + _ABOVE + dy, high + _ABOVE + dy)
            ahead[back - 1][rows] += around[..., place * size : (place + 1) * size]
    flat = [_rows(stream).T @ _rows(seen.near)]
    for number, (one, two) in enumerate(layers.blocks):
        flat += _gradients(first[number], how.active(seen.stream[number]), one)
        flat += _gradients(second[number], how.active(seen.first[number]), two)
    flat += _gradients(embed[0], torch.cat([how.active(seen.stream[-1]), own], -1), layers.embed[0])
    flat += _gradients(embed[1], how.active(seen.embed[0]), layers.embed[1])
    return stream, flat


def _rows(values: Tensor) -> Tensor:
    return values.flatten(0, 1)


def _gradients(outputs: Tensor, inputs: Tensor, layer: Layer) -> list[Tensor]:
    """Of a layer's weight and bias."""
    return [_rows(outputs).T @ _rows(inputs), _rows(outputs).float().sum(0).to(layer.bias.dtype)]
