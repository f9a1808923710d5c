"""The `wavefront` schedule: a thumbnail with noisy steps, then the diagonals x + 4y, exactly.

One group is the thumbnail (every STRIDE-th pixel in both directions); each group after it
is a diagonal of all images of a block, predicted in one batch from causal neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact import kernels, threads
from bfncodec.flow.schedule import Group
from bfncodec.flow.theta import AnyTheta, Theta
from bfncodec.models.image import canvas as canvas_image
from bfncodec.models.image import compiled_features, cosets, features, learning_heads, linear
from bfncodec.models.image import thumbnail as thumbnail_image
from bfncodec.models.image.canvas import SLOPE, STRIDE
from bfncodec.models.image.learning_heads import LEARN_ALL_BITS, OnlineHeads
from bfncodec.models.image.networks import Networks
from bfncodec.models.image.outputs import DiagonalOutput, Rows, Seen

Pixels = NDArray[Any]
_NONE = np.zeros(0, np.int64)
_AHEAD_FROM = 32  # chunks; to begin and end with a second thread takes as long as some of them


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
        self.frame = compiled_features.frame(self.height, self.width, coefficients)
        self.thumbnail_shape = (self.count, -(-self.height // STRIDE), -(-self.width // STRIDE))
        self.encoding = pixels is not None
        area = (self.count, self.height, self.width)
        if pixels is None:
            self.pixels = np.zeros(canvas_image.canvas_shape(area), np.int16)
            innovations, trends = canvas_image.blank_errors(area), canvas_image.blank_errors(area)
        else:
            three = np.repeat(pixels, 3, axis=3) if self.channels == 1 else pixels
            self.pixels = canvas_image.filled(three)
            fields = linear.fields(self.pixels, coefficients)
            innovations, trends = fields.innovations, fields.trends
        self.canvases = tuple(canvas.reshape(-1, 4) for canvas in (self.pixels, innovations, trends))
        sizes = self._sizes()
        self.numbers = [number for number, pixels in enumerate(sizes) if pixels]
        steps, self.scale_steps = thumbnail_image.thumbnail_steps(networks.deviations)
        size = int(np.prod(self.thumbnail_shape)) * self.channels
        self.groups = [Group(size, steps), *(Group(sizes[n] * self.channels) for n in self.numbers)]
        learns = pace != learning_heads.FIXED
        self.chunks = list(self._chunks(learning_heads.LEARN_PIXELS >> (pace if learns else 0)))
        most = max((sum(sizes[self.numbers[group - 1]] for group in chunk) for chunk in self.chunks), default=0)
        self.heads = OnlineHeads(kernels.host(networks.kernel), networks.pixel, pace, most)
        every = max(1, self.height * self.width >> LEARN_ALL_BITS)
        self.learns = {chunk[-1]: learns and number % every == 0 for number, chunk in enumerate(self.chunks)}
        self.rows: NDArray[np.uint32] | None = None  # of the spans that have not been asked for

    def _rows(self, number: int, step: int, first: int) -> range:
        """The rows first, first + step, ... that a diagonal crosses."""
        top = max(0, -((self.width - 1 - number) // SLOPE))
        return range(top + (first - top) % step, min(self.height - 1, number // SLOPE) + 1, step)

    def _addresses(self, number: int, step: int, first: int) -> NDArray[np.int64]:
        """Canvas addresses of the pixels of diagonal `number` in rows first, first + step, ..., image after image."""
        rows = self._rows(number, step, first)
        y = np.arange(rows.start, rows.stop, step)
        one = (y + canvas_image.RADIUS) * self.frame.row + number - SLOPE * y + canvas_image.RADIUS
        image = np.arange(self.count)[:, None] * ((self.height + canvas_image.RADIUS) * self.frame.row)
        return (one + image).reshape(-1)

    def _thumbnail_part(self, number: int) -> NDArray[np.int64]:
        """The thumbnail's pixels on a diagonal: SLOPE * y and x are multiples of STRIDE together."""
        return self._addresses(number, STRIDE, 0) if number % STRIDE == 0 else _NONE

    def diagonal(self, group: int) -> NDArray[np.int64]:
        """Canvas addresses of the pixels of a diagonal's group, those of the thumbnail left out."""
        number = self.numbers[group - 1]
        whole = self._addresses(number, 1, 0)
        return np.setdiff1d(whole, self._thumbnail_part(number), assume_unique=True) if number % STRIDE == 0 else whole

    def positions(self, group: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of the pixels of a diagonal's group, the images one below the other."""
        rows, columns = np.divmod(self.diagonal(group), self.frame.row)
        image, y = np.divmod(rows, self.height + canvas_image.RADIUS)
        return image * self.height + y - canvas_image.RADIUS, columns - canvas_image.RADIUS

    def _newly_settled(self, group: int) -> NDArray[np.int64]:
        """The thumbnail's pixels that come before a diagonal and not before the one before it."""
        first = self.numbers[group - 2] if group > 1 else 0
        return np.concatenate([self._thumbnail_part(n) for n in range(first, self.numbers[group - 1])] or [_NONE])

    def _sizes(self) -> list[int]:
        """Pixels of every diagonal but the thumbnail's."""
        sizes = [len(self._rows(n, 1, 0)) for n in range(self.width + SLOPE * (self.height - 1))]
        for number in range(0, len(sizes), STRIDE):
            sizes[number] -= len(self._rows(number, STRIDE, 0))
        return [self.count * size for size in sizes]

    def _chunks(self, pixels: int) -> Iterator[range]:
        """Runs of diagonals between two learning steps: at least that many pixels each, but for the last."""
        first, size = 1, 0
        for number, group in enumerate(self.groups[1:], 1):
            size += group.size
            if size >= pixels * self.channels or number == len(self.groups) - 1:
                yield range(first, number + 1)
                first, size = number + 1, 0

    def spans(self) -> Iterable[range]:
        """The thumbnail, then the chunks."""
        return [range(0, 1), *self.chunks]

    def _look(self, pixels: NDArray[np.int64]) -> Seen:
        """What the network sees of pixels at canvas addresses, all of whose neighbours are known."""
        kernel, count = self.networks.kernel, len(pixels)
        inputs = np.empty((count, features.FEATURES), self.heads.kernel.dtype)
        base, steps = np.empty((count, 3), np.int64), np.empty((count, 3), np.int64)
        compiled_features.look(self.frame, *self.canvases, pixels, inputs, base, steps)
        return Seen(pixels, kernel.numpy(self.networks.pixel.trunk(kernel.array(inputs))), base, steps)

    def _all_rows(self) -> NDArray[np.uint32]:
        """Rows of all chunks. Looking does not wait for learning, so it goes on one chunk ahead."""
        looks: Iterable[Seen] = map(self._look, map(self._pixels, self.chunks))
        if len(self.chunks) >= _AHEAD_FROM:
            looks = threads.ahead(looks)
        made = np.empty((2 * sum(group.size for group in self.groups[1:]), 2), np.uint32)
        start = 0
        for chunk, seen in zip(self.chunks, looks, strict=True):
            rows = self._chunk_rows(chunk, seen)
            made[start : start + len(rows)] = rows
            start += len(rows)
        return made

    def _pixels(self, chunk: range) -> NDArray[np.int64]:
        """Canvas addresses of the pixels of groups, in coding order."""
        return np.concatenate([self.diagonal(group) for group in chunk])

    def _chunk_rows(self, chunk: range, seen: Seen) -> NDArray[np.uint32]:
        """Rows (below, width) of a chunk's values in coding order, and a learning step after it."""
        values = self.canvases[0][seen.pixels, : self.channels].astype(np.int64)
        rows = DiagonalOutput(self.frame, self.heads, self.channels, seen).intervals(values).astype(np.uint32)
        self.heads.end(self.channels, learn=self.learns[chunk[-1]])
        # Coding order: diagonal, then channel and half, then pixel.
        rows = rows.reshape(len(values), 2 * self.channels, 2)
        cut = np.split(rows, np.cumsum([self.groups[group].size // self.channels for group in chunk])[:-1])
        return np.concatenate([part.transpose(1, 0, 2).reshape(-1, 2) for part in cut])

    def values(self, span: range) -> Pixels:
        """Values int [n * channels] of a span."""
        if span[0] == 0:
            return self._thumbnail().transpose(3, 0, 1, 2).reshape(-1)
        return self.canvases[0][self._pixels(span), : self.channels].reshape(-1)

    def _thumbnail(self) -> Pixels:
        inner = self.pixels[:, canvas_image.RADIUS :: STRIDE, canvas_image.RADIUS : -canvas_image.RADIUS : STRIDE]
        return inner[..., : self.channels].astype(np.int64)

    def output(self, span: range, theta: AnyTheta | None) -> Any:
        """See `coding.protocol.Model`."""
        if span[0]:
            if self.encoding:
                # Learning goes forward and pushing backward: all rows are made before the first push.
                if self.rows is None:
                    self.rows = self._all_rows()
                size = 2 * sum(self.groups[group].size for group in span)
                self.rows, rows = self.rows[:-size], self.rows[-size:]
                return Rows(rows)
            compiled_features.settle(self.frame, *self.canvases, self._newly_settled(span[0]))
            return DiagonalOutput(self.frame, self.heads, self.channels, self._look(self.diagonal(span[0])))
        means = np.zeros((*self.thumbnail_shape, 3), np.int64)
        steps = 0
        if isinstance(theta, Theta):
            steps = theta.steps
            means[:] = theta.means().reshape(self.channels, *self.thumbnail_shape).transpose(1, 2, 3, 0)
        networks = self.networks
        predictor = cosets.Cosets(networks.kernel, networks.scales, cosets.KINDS["T"], networks.cosets["T"])
        states = (steps, steps, steps)
        return predictor.output(means, means, states, 0, self.scale_steps[steps], list(range(self.channels)))

    def reveal(self, group: int, values: Pixels) -> None:
        """Write decoded values to the canvases."""
        if group == 0:
            shape = (self.channels, *self.thumbnail_shape)
            thumbnail = values.reshape(shape).transpose(1, 2, 3, 0)
            canvas_image.margins(self.pixels, np.broadcast_to(thumbnail, (*self.thumbnail_shape, 3)))
            image, y, x = np.indices(self.thumbnail_shape).reshape(3, -1)
            rows = image * (self.height + canvas_image.RADIUS) + y * STRIDE + canvas_image.RADIUS
            index = rows * self.frame.row + x * STRIDE + canvas_image.RADIUS
            values = thumbnail.reshape(-1, self.channels)
            compiled_features.put(self.frame, self.canvases[0], index, np.ascontiguousarray(values, np.int64))
            return
        index = self.diagonal(group)
        compiled_features.put(self.frame, self.canvases[0], index, values.reshape(-1, self.channels))
        compiled_features.settle(self.frame, *self.canvases, index)
        if group in self.learns:
            self.heads.end(self.channels, learn=self.learns[group])

    def images(self) -> Pixels:
        """The decoded images uint8 [N, height, width, channels]."""
        inner = self.pixels[:, canvas_image.RADIUS :, canvas_image.RADIUS : -canvas_image.RADIUS, : self.channels]
        return inner.astype(np.uint8)

    def thumbnails(self) -> Pixels:
        """The decoded thumbnails uint8 [N, h, w, channels], known after group 0."""
        return self._thumbnail().astype(np.uint8)
