"""The `wavefront` schedule: a thumbnail with noisy steps, then the diagonals x + 4y, exactly.

One group is the thumbnail (every STRIDE-th pixel in both directions); each group after it
is a diagonal of all images of a block, predicted in one batch from causal neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.ans import Coder
from bfncodec.coding.pmf import Mixtures
from bfncodec.errors import BfnError
from bfncodec.exact.kernels import Array
from bfncodec.exact.pmf import TOTAL, TOTAL_BITS
from bfncodec.flow.schedule import Group
from bfncodec.flow.theta import AnyTheta, Theta
from bfncodec.models import context, cosets, linear
from bfncodec.models.context import SLOPE, STRIDE
from bfncodec.models.networks import Networks
from bfncodec.models.online import LEARN_ALL_BITS, OnlineHeads

Pixels = NDArray[Any]
_NONE = np.zeros(0, np.int64)


@dataclass
class Seen:
    """What the learning heads keep of coded pixels, channel by channel, until their next step."""

    inputs: list[list[Array]]
    hidden: list[list[Array]]
    mixtures: list[list[Mixtures]]
    logs: list[list[NDArray[Any]]]
    values: list[list[Pixels]]

    @classmethod
    def none(cls) -> Seen:
        """Nothing yet."""
        return cls([[], [], []], [[], [], []], [[], [], []], [[], [], []], [[], [], []])


class DiagonalOutput:
    """Output distribution of diagonals: G, then R given G, then B given both."""

    def __init__(self, model: Wavefront, pixels: NDArray[np.int64]) -> None:
        self.model = model
        self.count = len(pixels)
        self.hidden, self.base, self.steps = model.look(pixels)

    def weights(self) -> NDArray[np.int64]:
        """Diagonals have no noisy steps."""
        raise BfnError("diagonals are sent without noisy steps")

    def channel(self, channel: int, errors: NDArray[Any]) -> Mixtures:
        """Mixtures of a channel, the errors int [n, 3] of those before it known."""
        model = self.model
        networks, seen = model.networks, model.seen
        kernel = networks.kernel
        cross, shifts = context.cross_channel(kernel, networks.scales, kernel.array(errors), self.steps, model.cross)
        inputs = model.heads.inputs(channel, self.hidden, cross)
        hidden = model.heads.hidden(channel, inputs)
        raw = model.heads.output(channel, hidden)
        steps = self.steps[:, channel]
        made = cosets.mixtures(kernel, networks.scales, raw, self.base[:, channel], steps, shifts[:, channel])
        seen.inputs[channel].append(inputs)
        seen.hidden[channel].append(hidden)
        seen.mixtures[channel].append(made)
        seen.logs[channel].append(kernel.numpy(raw[:, 2 * (raw.shape[1] // 3) :]))
        return made

    def pop(self, coder: Coder) -> Pixels:
        """Pop values int32 [n * channels] of one diagonal, pixel by pixel."""
        base = self.model.networks.kernel.numpy(self.base)
        values = np.zeros((self.count, self.model.channels), np.int32)
        errors = np.zeros((self.count, 3), np.int32)
        for channel in range(self.model.channels):
            values[:, channel] = self.channel(channel, errors).pop(coder)
            errors[:, channel] = 16 * values[:, channel] - base[:, channel]
            self.model.seen.values[channel].append(values[:, channel])
        return values.reshape(-1)

    def push(self, coder: Coder, values: Pixels) -> None:
        """The encoder pushes `Rows` instead."""
        raise BfnError("diagonals are encoded as rows")

    def cost(self, values: Pixels) -> float:
        """The encoder costs `Rows` instead."""
        raise BfnError("diagonals are encoded as rows")


class Rows:
    """A span whose three-entry rows the encoder has already computed: uint32 [n, 2] (below, width)."""

    def __init__(self, table: NDArray[np.uint32]) -> None:
        self.table = table

    def weights(self) -> NDArray[np.int64]:
        """Diagonals have no noisy steps."""
        raise BfnError("diagonals are sent without noisy steps")

    def push(self, coder: Coder, values: Pixels) -> None:
        """Push the values that the rows were made for."""
        below, width = self.table.astype(np.int64).T
        coder.push(np.ones(len(below), np.int32), np.stack([below, width, TOTAL - below - width], axis=1))

    def pop(self, coder: Coder) -> Pixels:
        """The decoder has no rows."""
        raise BfnError("rows are for encoding")

    def cost(self, values: Pixels) -> float:
        """Bits of the values that the rows were made for."""
        return float((TOTAL_BITS - np.log2(self.table[:, 1])).sum())


class Wavefront:
    """The schedule and its predictor for N images of one size, as `coding.protocol` wants it.

    shape: (N, height, width, channels), channels 3 (G, R, B) or 1 (grey, seen by the networks
    as three equal channels); coefficients: the base's [74, 3]; pixels: the images when
    encoding, None when decoding; pace: of the heads' learning, see `online`.
    """

    def __init__(
        self,
        networks: Networks,
        shape: tuple[int, int, int, int],
        coefficients: NDArray[Any],
        pixels: Pixels | None = None,
        pace: int = 0,
    ) -> None:
        self.networks = networks
        self.shape = shape
        self.count, self.height, self.width, self.channels = shape
        self.coefficients = coefficients
        kernel = networks.kernel
        self.cross = kernel.array(coefficients[linear.REGRESSORS][None].astype(np.int32))
        self.row = self.width + 2 * context.RADIUS
        self.neighbours = context.addresses(context.NEIGHBOURS, self.row)
        self.near = context.addresses(context.PAST, self.row)
        self.before = context.addresses(context.TREND, self.row)
        self.thumbnail_shape = (self.count, -(-self.height // STRIDE), -(-self.width // STRIDE))
        self.encoding = pixels is not None
        area = (self.count, self.height, self.width)
        if pixels is None:
            self.pixels = np.zeros(context.canvas_shape(area), np.int16)
            self.innovations, self.trends = context.blank_errors(area), context.blank_errors(area)
        else:
            three = np.repeat(pixels, 3, axis=3) if self.channels == 1 else pixels
            self.pixels = context.filled(three)
            fields = linear.fields(self.pixels, coefficients)
            self.innovations, self.trends = fields.innovations, fields.trends
        sizes = self._sizes()
        self.numbers = [number for number, pixels in enumerate(sizes) if pixels]
        steps, self.scale_steps = cosets.thumbnail_steps(networks.deviations)
        size = int(np.prod(self.thumbnail_shape)) * self.channels
        self.groups = [Group(size, steps), *(Group(sizes[n] * self.channels) for n in self.numbers)]
        self.heads = OnlineHeads(kernel, networks.pixel, pace)
        self.seen = Seen.none()
        self.chunks = list(self._chunks())
        every = max(1, self.height * self.width >> LEARN_ALL_BITS)
        self.learns = {chunk[-1]: number % every == 0 for number, chunk in enumerate(self.chunks)}
        self.current: DiagonalOutput | None = None
        self.rows: list[NDArray[np.uint32]] | None = None

    def _addresses(self, number: int, step: int, first: int) -> NDArray[np.int64]:
        """Canvas addresses of the pixels of diagonal `number` in rows first, first + step, ..., image after image."""
        top = max(0, -((self.width - 1 - number) // SLOPE))
        y = np.arange(top + (first - top) % step, min(self.height - 1, number // SLOPE) + 1, step)
        one = (y + context.RADIUS) * self.row + number - SLOPE * y + context.RADIUS
        image = np.arange(self.count)[:, None] * ((self.height + context.RADIUS) * self.row)
        return (one + image).reshape(-1)

    def _thumbnail_part(self, number: int) -> NDArray[np.int64]:
        """The thumbnail's pixels on a diagonal: SLOPE * y and x are multiples of STRIDE together."""
        return self._addresses(number, STRIDE, 0) if number % STRIDE == 0 else _NONE

    def diagonal(self, group: int) -> NDArray[np.int64]:
        """Canvas addresses of the pixels of a diagonal's group, those of the thumbnail left out."""
        number = self.numbers[group - 1]
        whole = self._addresses(number, 1, 0)
        return np.setdiff1d(whole, self._thumbnail_part(number), assume_unique=True) if number % STRIDE == 0 else whole

    def _newly_settled(self, group: int) -> NDArray[np.int64]:
        """The thumbnail's pixels that come before a diagonal and not before the one before it."""
        first = self.numbers[group - 2] if group > 1 else 0
        return np.concatenate([self._thumbnail_part(n) for n in range(first, self.numbers[group - 1])] or [_NONE])

    def _sizes(self) -> list[int]:
        """Pixels of every diagonal but the thumbnail's."""
        numbers = range(self.width + SLOPE * (self.height - 1))
        return [len(self._addresses(n, 1, 0)) - len(self._thumbnail_part(n)) for n in numbers]

    def _chunks(self) -> Iterator[range]:
        """Runs of diagonals between two learning steps: at least `heads.pixels` pixels each, but for the last."""
        first, size = 1, 0
        for number, group in enumerate(self.groups[1:], 1):
            size += group.size
            if size >= self.heads.pixels * self.channels or number == len(self.groups) - 1:
                yield range(first, number + 1)
                first, size = number + 1, 0

    def spans(self) -> Iterable[range]:
        """The thumbnail, then the chunks."""
        return [range(0, 1), *self.chunks]

    def _learn(self, last: int) -> None:
        """One learning step of the heads from the chunk that ends with group `last`, if it is one of those."""
        seen, kernel = self.seen, self.networks.kernel
        self.seen = Seen.none()
        if not self.heads.learns or not self.learns[last]:
            return
        for channel in range(self.channels):
            values = np.concatenate(seen.values[channel])
            mixtures = Mixtures.joined(seen.mixtures[channel])
            gradient = mixtures.gradients(values, np.concatenate(seen.logs[channel]))
            inputs = kernel.rows(seen.inputs[channel])
            self.heads.learn(channel, inputs, kernel.rows(seen.hidden[channel]), kernel.array(gradient))

    def _chunk_rows(self, chunk: range) -> NDArray[np.uint32]:
        """Rows (below, width) of a chunk's values in coding order, and a learning step after it."""
        diagonals = [self.diagonal(group) for group in chunk]
        pixels = np.concatenate(diagonals)
        output = DiagonalOutput(self, pixels)
        values = self.pixels.reshape(-1, 4)[pixels, :3].astype(np.int32)
        errors = 16 * values - self.networks.kernel.numpy(output.base)
        parts = []
        for channel in range(self.channels):
            mixture = output.channel(channel, errors)
            parts.append(mixture.triples(values[:, channel])[:, :, :2])
            self.seen.values[channel].append(values[:, channel])
        self._learn(chunk[-1])
        rows = np.stack(parts, axis=1).reshape(len(pixels), 2 * self.channels, 2).astype(np.uint32)
        # Coding order: diagonal, then channel and half, then pixel.
        cut = np.split(rows, np.cumsum([len(diagonal) for diagonal in diagonals])[:-1])
        return np.concatenate([part.transpose(1, 0, 2).reshape(-1, 2) for part in cut])

    def values(self, span: range) -> Pixels:
        """Values int [n * channels] of a span."""
        if span[0] == 0:
            return self._thumbnail().transpose(3, 0, 1, 2).reshape(-1)
        index = np.concatenate([self.diagonal(group) for group in span])
        return self.pixels.reshape(-1, 4)[index, : self.channels].reshape(-1)

    def _thumbnail(self) -> Pixels:
        inner = self.pixels[:, context.RADIUS :: STRIDE, context.RADIUS : self.row - context.RADIUS : STRIDE]
        return inner[..., : self.channels].astype(np.int64)

    def output(self, span: range, theta: AnyTheta | None) -> Any:
        """See `coding.protocol.Model`."""
        if span[0]:
            if self.encoding:
                # Learning goes forward and pushing backward: all rows are made before the first push.
                if self.rows is None:
                    self.rows = [self._chunk_rows(chunk) for chunk in self.chunks]
                return Rows(self.rows.pop())
            self._settle(self._newly_settled(span[0]))
            self.current = DiagonalOutput(self, self.diagonal(span[0]))
            return self.current
        means = np.zeros((*self.thumbnail_shape, 3), np.int64)
        steps = 0
        if isinstance(theta, Theta):
            steps = theta.steps
            means[:] = theta.means().reshape(self.channels, *self.thumbnail_shape).transpose(1, 2, 3, 0)
        networks = self.networks
        predictor = cosets.Cosets(networks.kernel, networks.scales, cosets.KINDS["T"], networks.cosets["T"])
        states = (steps, steps, steps)
        return predictor.output(means, means, states, 0, self.scale_steps[steps], list(range(self.channels)))

    def _base(self, pixels: NDArray[np.int64]) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
        """Neighbours in levels [n, 24, 3] and base in 1/16 level [n, 3] of pixels at canvas addresses."""
        seen = _gather(self.pixels, pixels, self.neighbours)
        differences = seen.reshape(len(pixels), -1) - np.int16(context.CENTRE)
        return seen, context.base_prediction(differences, self.coefficients[: linear.REGRESSORS])

    def look(self, pixels: NDArray[np.int64]) -> tuple[Array, Array, Array]:
        """Trunk activations, base (1/16 level) and scale steps of pixels at canvas addresses."""
        networks = self.networks
        kernel = networks.kernel
        seen, base = self._base(pixels)
        y, x = self.position(pixels)
        home = kernel.array(base)
        inputs, steps = context.features(
            kernel,
            networks.scales,
            kernel.array(seen),
            kernel.array(_gather(self.innovations, pixels, self.near)),
            kernel.array(_gather(self.trends, pixels, self.before)),
            home,
            self.cross,
            kernel.array(context.place_flags(x, y, self.width)),
        )
        return networks.pixel.trunk(inputs), home, steps

    def position(self, pixels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of canvas addresses."""
        y, x = np.divmod(pixels, self.row)
        return y % (self.height + context.RADIUS) - context.RADIUS, x - context.RADIUS

    def reveal(self, group: int, values: Pixels) -> None:
        """Write decoded values to the canvases."""
        if group == 0:
            shape = (self.channels, *self.thumbnail_shape)
            thumbnail = values.reshape(shape).transpose(1, 2, 3, 0)
            context.margins(self.pixels, np.broadcast_to(thumbnail, (*self.thumbnail_shape, 3)))
            image, y, x = np.indices(self.thumbnail_shape).reshape(3, -1)
            rows = image * (self.height + context.RADIUS) + y * STRIDE + context.RADIUS
            self._write(
                self.pixels, rows * self.row + x * STRIDE + context.RADIUS, thumbnail.reshape(-1, self.channels)
            )
            return
        index = self.diagonal(group)
        table = values.reshape(-1, self.channels)
        self._write(self.pixels, index, table)
        assert self.current is not None
        self._reveal_errors(index, 16 * table - self.networks.kernel.numpy(self.current.base))
        if group in self.learns:
            self._learn(group)

    def _reveal_errors(self, index: NDArray[np.int64], errors: NDArray[np.int32]) -> None:
        """Write innovations and trends of pixels whose base errors int32 [n, 3] are known."""
        cross = self.coefficients[linear.REGRESSORS].astype(np.int32)
        innovations = np.stack(context.decorrelated(errors, cross), axis=-1)
        self._write(self.innovations, index, innovations)
        before = _gather(self.trends, index, self.before)
        trends = context.next_trend(before[:, 0], before[:, 1], before[:, 2], abs(innovations))
        self._write(self.trends, index, trends)

    def _settle(self, index: NDArray[np.int64]) -> None:
        """Write the base errors of known pixels whose neighbours have all come."""
        if len(index):
            base = self._base(index)[1]
            self._reveal_errors(index, 16 * self.pixels.reshape(-1, 4)[index, :3] - base)

    def _write(self, canvas: NDArray[np.int16], index: NDArray[np.int64], values: NDArray[Any]) -> None:
        """Put values [n, channels] at addresses and into the margins that repeat them."""
        flat = canvas.reshape(-1, 4)
        flat[index, :3] = values
        y, x = self.position(index)
        for edge, first in ((x == self.width - 1, 1), ((x == 0) & (y < self.height - 1), self.row - context.RADIUS)):
            where = np.flatnonzero(edge)
            for distance in range(first, first + context.RADIUS):
                flat[index[where] + distance, :3] = values[where]

    def images(self) -> Pixels:
        """The decoded images uint8 [N, height, width, channels]."""
        inner = self.pixels[:, context.RADIUS :, context.RADIUS : -context.RADIUS, : self.channels]
        return inner.astype(np.uint8)

    def thumbnails(self) -> Pixels:
        """The decoded thumbnails uint8 [N, h, w, channels], known after group 0."""
        return self._thumbnail().astype(np.uint8)


def _gather(canvas: NDArray[np.int16], pixels: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int16]:
    """Canvas values int16 [n, len(offsets), 3] around addresses; four channels move as one 64-bit word."""
    words = canvas.view(np.int64).reshape(-1).take(pixels[:, None] + offsets)
    return words.view(np.int16).reshape(*words.shape, 4)[..., :3]
