"""The `wavefront` schedule: a thumbnail with noisy steps, then the diagonals x + 4y, exactly.

One group is the thumbnail (every STRIDE-th pixel in both directions); each group after it
is a diagonal of all images of a block, predicted in one batch from causal neighbours.
"""

from collections.abc import Iterable
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.protocol import Pushable
from bfncodec.exact import threads
from bfncodec.flow.schedule import Group
from bfncodec.flow.theta import AnyTheta
from bfncodec.models.image import canvas, compiled_features, features, learning_heads, linear
from bfncodec.models.image.canvas import RADIUS
from bfncodec.models.image.diagonals import Diagonals
from bfncodec.models.image.learning_heads import LEARN_ALL_BITS, OnlineHeads
from bfncodec.models.image.local import Local
from bfncodec.models.image.networks import Networks
from bfncodec.models.image.outputs import CosetOutput, DiagonalOutput, Rows, Seen
from bfncodec.models.image.passes import STRIDE
from bfncodec.models.image.thumbnail import thumbnail_output, thumbnail_steps

Pixels = NDArray[Any]
Shape = tuple[int, int, int, int]
_AHEAD_FROM = 32  # chunks; to begin and end with a second thread takes as long as some of them


def _follows(count: int, pace: int) -> bool:
    """Whether the base follows the image: where heads learn, and from one image only."""
    return count == 1 and pace != learning_heads.FIXED


class Wavefront:
    """The schedule and its predictor for N images of one size: what encoder and decoder share.

    shape: (N, height, width, channels), channels 3 (G, R, B) or 1 (grey, seen by the networks
    as three equal channels); pixels: their canvas, and its fields; coefficients: the base's
    [74, 3]; pace: of the heads' learning, see `learning_heads`; known: how many channels, the first, both sides have
    on their canvas from the start: they are seen, but not coded.
    """

    def __init__(
        self,
        networks: Networks,
        shape: Shape,
        pixels: Pixels,
        fields: linear.Fields,
        coefficients: Pixels,
        pace: int,
        known: int = 0,
    ) -> None:
        self.networks = networks
        self.count, self.height, self.width, channels = shape
        self.channels = range(known, channels)
        self.frame = compiled_features.frame(self.height, self.width, coefficients)
        self.thumbnail_shape = (self.count, -(-self.height // STRIDE), -(-self.width // STRIDE))
        self.pixels = pixels
        self.canvases = linear.flat(pixels, fields)
        self.diagonals = Diagonals(self.count, self.height, self.width)
        steps, _ = thumbnail_steps(networks.deviations)
        sizes = self.diagonals.sizes
        size = int(np.prod(self.thumbnail_shape)) * len(self.channels)
        self.groups = [Group(size, steps), *(Group(pixels * len(self.channels)) for pixels in sizes)]
        learns = pace != learning_heads.FIXED
        self.chunks = list(self.diagonals.chunks(learning_heads.LEARN_PIXELS >> (pace if learns else 0)))
        most = max((sum(sizes[group - 1] for group in chunk) for chunk in self.chunks), default=0)
        self.heads = OnlineHeads(networks.pixel, pace, most)
        every = max(1, self.height * self.width >> LEARN_ALL_BITS)
        # By the last group of every chunk: whether the heads take a step after it.
        self.learns = {chunk[-1]: learns and number % every == 0 for number, chunk in enumerate(self.chunks)}

    def look(self, pixels: NDArray[np.int64]) -> Seen:
        """What the network sees of pixels at canvas addresses, whose bases and all of whose neighbours are known."""
        kernel, count = self.networks.kernel, len(pixels)
        inputs = np.empty((count, features.FEATURES), np.int32)
        base, cross, steps = (np.empty((count, 3), np.int64) for _ in range(3))
        compiled_features.look(self.frame, *self.canvases, pixels, inputs, base, cross, steps)
        return Seen(pixels, kernel.numpy(self.networks.pixel.trunk(kernel.array(inputs))), base, cross, steps)

    def thumbnails(self) -> Pixels:
        """The thumbnails uint8 [N, h, w, coded channels], known after group 0."""
        inner = self.pixels[:, RADIUS::STRIDE, RADIUS:-RADIUS:STRIDE]
        return inner[..., self.channels.start : self.channels.stop].astype(np.uint8)

    def known(self, pixels: NDArray[np.int64]) -> Pixels:
        """The channels of pixels at canvas addresses that are not coded, [n, known]."""
        return self.canvases[0][pixels, : self.channels.start]


class WavefrontSource(Wavefront):
    """Images to encode, uint8 [N, height, width, channels]: a `coding.protocol.Source`."""

    def __init__(self, networks: Networks, images: Pixels, coefficients: Pixels, pace: int = 0, known: int = 0) -> None:
        pixels = canvas.filled(images)
        fields = linear.fields(pixels, coefficients, local=_follows(len(images), pace))
        super().__init__(networks, images.shape, pixels, fields, coefficients, pace, known)

    def spans(self) -> Iterable[range]:
        return [range(0, 1), *self.chunks]

    def values(self, span: range) -> Pixels:
        if span[0] == 0:
            return self.thumbnails().astype(np.int64).transpose(3, 0, 1, 2).reshape(-1)
        return self._coded(self._addresses(span)).reshape(-1)

    def output(self, span: range, theta: AnyTheta | None) -> Pushable:
        if span[0] == 0:
            return thumbnail_output(self.networks, self.thumbnail_shape, self.channels, theta)
        return Rows(self._rows[self._starts[span[0]] : self._starts[span[-1] + 1]])

    def pixel_bits(self) -> NDArray[np.float64]:
        """Bits of every pixel [N * height, width], the images one below the other; zeros for the thumbnail's."""
        bits = np.zeros((self.count * self.height, self.width))
        costs = Rows(self._rows).costs()
        for group in range(1, len(self.groups)):
            y, x = self.diagonals.positions(group)
            own = costs[self._starts[group] : self._starts[group + 1]]
            bits[y, x] = own.reshape(-1, len(y)).sum(axis=0)
        return bits

    @cached_property
    def _starts(self) -> list[int]:
        """Where the rows of every group begin, and where the last ones end."""
        return [0, *accumulate((2 * group.size for group in self.groups[1:]), initial=0)]

    @cached_property
    def _rows(self) -> NDArray[np.uint32]:
        """Rows of all chunks: learning goes forward, and pushing backward.

        Looking does not wait for learning, so it goes on one chunk ahead.
        """
        looks: Iterable[Seen] = map(self.look, map(self._addresses, self.chunks))
        if len(self.chunks) >= _AHEAD_FROM:
            looks = threads.ahead(looks)
        rows = np.empty((self._starts[-1], 2), np.uint32)
        for chunk, seen in zip(self.chunks, looks, strict=True):
            rows[self._starts[chunk[0]] : self._starts[chunk[-1] + 1]] = self._chunk_rows(chunk, seen)
        return rows

    def _addresses(self, chunk: range) -> NDArray[np.int64]:
        """Canvas addresses of the pixels of groups, in coding order."""
        return np.concatenate([self.diagonals.addresses(group) for group in chunk])

    def _coded(self, pixels: NDArray[np.int64]) -> Pixels:
        return self.canvases[0][pixels, self.channels.start : self.channels.stop]

    def _chunk_rows(self, chunk: range, seen: Seen) -> NDArray[np.uint32]:
        """Rows (below, width) of a chunk's values in coding order, and a learning step after it."""
        values = self._coded(seen.pixels).astype(np.int64)
        output = DiagonalOutput(self.frame, self.heads, self.channels, seen, self.known(seen.pixels))
        rows = output.intervals(values).astype(np.uint32)
        self.heads.end(self.channels, learn=self.learns[chunk[-1]])
        # Coding order: diagonal, then channel and half, then pixel.
        rows = rows.reshape(len(values), 2 * len(self.channels), 2)
        cut = np.split(rows, np.cumsum([self.groups[group].size // len(self.channels) for group in chunk])[:-1])
        return np.concatenate([part.transpose(1, 0, 2).reshape(-1, 2) for part in cut])


class WavefrontSink(Wavefront):
    """Images that are decoded: a `coding.protocol.Sink`.

    shape: (N, height, width, channels); given: channels that are known, uint8 [N, height, width, known].
    """

    def __init__(
        self, networks: Networks, shape: Shape, coefficients: Pixels, pace: int = 0, given: Pixels | None = None
    ) -> None:
        area, known = shape[:3], 0 if given is None else given.shape[3]
        pixels = np.zeros(canvas.canvas_shape(area), np.int16)
        if given is not None:
            pixels[:, RADIUS:, RADIUS:-RADIUS, :known] = given
        super().__init__(networks, shape, pixels, linear.blank_fields(area), coefficients, pace, known)
        self.local = Local(self.frame) if _follows(self.count, pace) else None
        self.advanced = 0  # diagonals

    def output(self, span: range, theta: AnyTheta | None) -> CosetOutput | DiagonalOutput:
        group = span[0]
        if group == 0:
            return thumbnail_output(self.networks, self.thumbnail_shape, self.channels, theta)
        known, index = self.diagonals.thumbnail_before(group), self.diagonals.addresses(group)
        self._predict(group, np.concatenate([known, index]))
        compiled_features.settle(self.frame, *self.canvases, known)
        return DiagonalOutput(self.frame, self.heads, self.channels, self.look(index), self.known(index))

    def _predict(self, group: int, index: NDArray[np.int64]) -> None:
        """The base of the pixels of a group and of those of the thumbnail before it, at canvas addresses."""
        if self.local is None:
            compiled_features.predict_at(self.frame, *self.canvases[:3], index)
            return
        upto = self.diagonals.number(group) + 1
        for number in range(self.advanced, upto):
            self.local.advance(number, *self.canvases[:3])
        self.advanced = upto

    def reveal(self, group: int, values: Pixels) -> None:
        if group == 0:
            image, y, x = np.indices(self.thumbnail_shape).reshape(3, -1)
            rows = image * (self.height + RADIUS) + y * STRIDE + RADIUS
            index = rows * self.frame.row + x * STRIDE + RADIUS
            thumbnail = self._put(index, values.reshape(len(self.channels), -1).T)
            canvas.margins(self.pixels, thumbnail.reshape(*self.thumbnail_shape, -1))
            return
        index = self.diagonals.addresses(group)
        self._put(index, values.reshape(-1, len(self.channels)))
        compiled_features.settle(self.frame, *self.canvases, index)
        if group in self.learns:
            self.heads.end(self.channels, learn=self.learns[group])

    def _put(self, index: NDArray[np.int64], values: Pixels) -> Pixels:
        """Write coded channels [n, coded]; returns all that are there, int64 [n, channels]."""
        whole = np.concatenate([self.known(index), values], axis=1, dtype=np.int64)
        compiled_features.put(self.frame, self.canvases[0], index, whole)
        return whole

    def images(self) -> Pixels:
        """The decoded images uint8 [N, height, width, coded channels]."""
        inner = self.pixels[:, RADIUS:, RADIUS:-RADIUS]
        return inner[..., self.channels.start : self.channels.stop].astype(np.uint8)
