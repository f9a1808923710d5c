"""The `wavefront` schedule: a thumbnail with noisy steps, then the diagonals x + 4y, exactly.

One group is the thumbnail (every STRIDE-th pixel in both directions); each group after it
is a diagonal of all images of a block, predicted in one batch from causal neighbours.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.ans import Coder
from bfncodec.coding.mixtures import known_tables
from bfncodec.coding.protocol import Poppable, Pushable
from bfncodec.exact import threads
from bfncodec.exact.layers import INPUT_LIFT
from bfncodec.flow.schedule import Group
from bfncodec.flow.theta import AnyTheta
from bfncodec.models.image import canvas, compiled_features, learning_heads, learning_trunk, linear, local, loop
from bfncodec.models.image import tones as tones_image
from bfncodec.models.image.canvas import RADIUS
from bfncodec.models.image.diagonals import Diagonals
from bfncodec.models.image.learning_heads import EVERY_MOST
from bfncodec.models.image.loop import AHEAD, ALL, CODE, GIVE, LOOK, TRUNK, Network, Plan, Seen, Stack
from bfncodec.models.image.networks import Networks
from bfncodec.models.image.outputs import Rows
from bfncodec.models.image.passes import STRIDE
from bfncodec.models.image.thumbnail import thumbnail_output, thumbnail_steps

Pixels = NDArray[Any]
Shape = tuple[int, int, int, int]
FOLLOW_BANDS = 4  # the base follows images of so many bands or fewer: it takes a fifth of the time
_FIXED_RUN = 1 << 12  # pixels that are looked at ahead where nothing learns
_AHEAD_FROM = 32  # chunks; to begin and end with a second thread takes as long as some of them
_TONES_PAY = 0.998  # of the cost without: they cost time
_AT_ONCE = 256  # diagonals, between which Python looks around


class Wavefront:
    """The schedule and its predictor for N images of one size: what encoder and decoder share.

    shape: (N, height, width, channels), channels 3 (G, R, B) or 1 (grey, seen by the networks
    as three equal channels); pixels: their canvas; coefficients: the base's [74, 3]; pace: of the heads' learning, see
    `learning_heads`; known: how many channels, the first, both sides have on their canvas from the start: they are
    seen, but not coded; tones: whether values are coded with `tones`, which an encoder tries; fast: whether mixtures
    are looked up in a table, and no network is asked; deep: whether the trunk learns too; bands: how many the
    picture has of which the images are one.
    """

    def __init__(
        self,
        networks: Networks,
        shape: Shape,
        pixels: Pixels,
        coefficients: Pixels,
        pace: int,
        known: int,
        *,
        tones: bool,
        fast: bool,
        deep: bool,
        bands: int,
    ) -> None:
        self.networks = networks
        self.count, self.height, self.width, channels = shape
        self.channels = range(known, channels)
        self.thumbnail_shape = (self.count, -(-self.height // STRIDE), -(-self.width // STRIDE))
        self.pixels = pixels
        self.diagonals = Diagonals(self.count, self.height, self.width)
        steps, _ = thumbnail_steps(networks.deviations)
        sizes = self.diagonals.sizes
        size = int(np.prod(self.thumbnail_shape)) * len(self.channels)
        self.groups = [Group(size, steps), *(Group(pixels * len(self.channels)) for pixels in sizes)]
        learns = pace != learning_heads.FIXED
        run = learning_heads.LEARN_PIXELS >> pace if learns else _FIXED_RUN
        self.chunks = list(self.diagonals.chunks(run))
        self.most = max((sum(sizes[group - 1] for group in chunk) for chunk in self.chunks), default=0)
        follows = learns and self.count == 1 and bands <= FOLLOW_BANDS  # where heads learn, and one image only
        every = min(bands, EVERY_MOST) if learns else 0
        self.frame = compiled_features.frame(shape[:3], coefficients)
        self.canvases = linear.flat(pixels, linear.blank_fields(shape[:3]))
        self.equations = local.equations(self.frame, channels)
        self.heads = learning_heads.heads(networks.pixel, pace, self.most, deep=deep)
        flags = int(follows), int(tones), int(fast), int(deep)
        self.plan = Plan(known, channels, *flags, run, every, np.zeros(1, np.int64))
        self.tones = tones_image.tones()
        pixel = networks.pixel
        if fast:
            mixtures = networks.table.shape[3] // 3
            self.heads = self.heads._replace(parts=np.empty((3, self.most, mixtures, 4), np.int32))
        self.deep = learning_trunk.deep(pixel, pace, self.most + self.diagonals.longest, learns=deep)
        self.network = Network(networks.table, pixel.width, self.deep.trunk, pixel.embed, pixel.trunk_room())
        self.sight = loop.sight(pixel, self.frame, self.diagonals.longest)

    def thumbnails(self) -> Pixels:
        """The thumbnails uint8 [N, h, w, coded channels], known after group 0."""
        inner = self.pixels[:, RADIUS::STRIDE, RADIUS:-RADIUS:STRIDE]
        return inner[..., self.channels.start : self.channels.stop].astype(np.uint8)

    def _seen(self) -> Seen:
        return loop.seen(self.networks.pixel, self.diagonals.count_all, self.most)

    def _stack(self, state: Pixels, words: Pixels, rows: Pixels, toned: Pixels) -> Stack:
        room = np.empty(self.most, np.int64), np.empty(2, np.uint32), np.empty((3, self.heads.parts.shape[2]), np.int64)
        return Stack(state, words, rows, toned, np.zeros(1, np.int64), *room)

    def _run(self, seen: Seen, stack: Stack, diagonals: range, stages: int = ALL) -> None:
        """Stages of diagonals."""
        network = self.networks.pixel
        if network.kernel.name == "bytes" or self.plan.deep:  # kernels know no trunk that changes
            for first in range(diagonals.start, diagonals.stop, _AT_ONCE):
                self._loop(seen, stack, range(first, min(first + _AT_ONCE, diagonals.stop)), stages)
            return
        for number in diagonals:
            one = range(number, number + 1)
            self._loop(seen, stack, one, stages & LOOK)
            if stages & TRUNK:
                self._run_trunk()
            self._loop(seen, stack, one, stages & (GIVE | CODE))

    def _run_trunk(self) -> None:
        """The trunk where it is not compiled."""
        network, sight = self.networks.pixel, self.sight
        rows = int(sight.rows[0])
        if rows:
            values = sight.features[:rows, : network.inputs].astype(np.int32)
            values[:, : network.features] -= INPUT_LIFT
            sight.last[:rows, : network.width] = network.kernel.numpy(network.trunk(network.kernel.array(values)))

    def _loop(self, seen: Seen, stack: Stack, diagonals: range, stages: int) -> None:
        if stages:
            loop.run(
                self.frame, self.canvases, self.equations, self.network, self.sight, known_tables(), self.heads,
                self.deep, self.tones, self.plan, seen, stack, diagonals.start, diagonals.stop, stages,
            )  # fmt: skip


class WavefrontSource(Wavefront):
    """Images to encode, uint8 [N, height, width, channels]: a `coding.protocol.Source`."""

    def __init__(
        self,
        networks: Networks,
        images: Pixels,
        coefficients: Pixels,
        pace: int = 0,
        known: int = 0,
        *,
        fast: bool = False,
        deep: bool = False,
        bands: int = 1,
    ) -> None:
        tones = pace != learning_heads.FIXED and bands == 1  # in others there is no time to try them
        own = networks, images.shape, canvas.filled(images), coefficients, pace, known
        super().__init__(*own, tones=tones, fast=fast, deep=deep, bands=bands)
        self._made: NDArray[np.uint32] | None = None
        self.toned = False  # whether tones pay, known when the first output has been asked for

    def spans(self) -> Iterable[range]:
        return [range(0, 1), *self.chunks]

    def values(self, span: range) -> Pixels:
        if span[0] == 0:
            return self.thumbnails().astype(np.int64).transpose(3, 0, 1, 2).reshape(-1)
        addresses = self.diagonals.addresses(span)
        return self.canvases.pixels[addresses, self.channels.start : self.channels.stop].reshape(-1)

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
        return [0, *accumulate((group.size for group in self.groups[1:]), initial=0)]

    @property
    def _rows(self) -> NDArray[np.uint32]:
        """Rows (below, width) of all chunks: learning goes forward, and pushing backward."""
        if self._made is None:  # `cached_property` lets one thread in at a time, whatever the instance
            self._made = self._make()
        return self._made

    def _make(self) -> NDArray[np.uint32]:
        """`_rows`, with tones or without."""
        rows, nothing = np.empty((self._starts[-1], 2), np.uint32), np.empty(0, np.uint64)
        toned = np.empty_like(rows) if self.plan.tones else rows
        stack = self._stack(nothing, nothing, rows, toned)
        self._code_all(stack)
        self.toned = bool(self.plan.tones) and Rows(toned).cost(toned) < _TONES_PAY * Rows(rows).cost(rows)
        return toned if self.toned else rows

    def _code_all(self, stack: Stack) -> None:
        """Rows of all diagonals. Looking does not wait for heads that learn, so it goes on one chunk ahead."""
        chunks = [self.diagonals.reach(chunk) for chunk in self.chunks]
        if len(chunks) < _AHEAD_FROM or threads.count() == 1 or self.plan.deep:
            self._run(self._seen(), stack, range(self.diagonals.count_all))
            return
        both = [self._seen(), self._seen()]

        def looks() -> Iterator[tuple[range, Seen]]:
            for number, chunk in enumerate(chunks):
                seen = both[number % 2]
                self._run(seen, stack, chunk, AHEAD)
                yield chunk, seen

        for chunk, seen in threads.ahead(looks()):
            self._run(seen, stack, chunk, CODE)


class WavefrontSink(Wavefront):
    """Images that are decoded: a `coding.protocol.Sink`.

    shape: (N, height, width, channels); given: channels that are known, uint8 [N, height, width, known].
    """

    def __init__(
        self,
        networks: Networks,
        shape: Shape,
        coefficients: Pixels,
        pace: int = 0,
        given: Pixels | None = None,
        *,
        tones: bool = False,
        fast: bool = False,
        deep: bool = False,
        bands: int = 1,
    ) -> None:
        area, known = shape[:3], 0 if given is None else given.shape[3]
        pixels = np.zeros(canvas.canvas_shape(area), np.int16)
        if given is not None:
            pixels[:, RADIUS:, RADIUS:-RADIUS, :known] = given
        own = networks, shape, pixels, coefficients, pace, known
        super().__init__(*own, tones=tones, fast=fast, deep=deep, bands=bands)

    def spans(self) -> Iterable[range]:
        rest = range(1, len(self.groups))
        return [range(0, 1), rest] if rest else [range(0, 1)]

    def output(self, span: range, theta: AnyTheta | None) -> Poppable:
        if span[0] == 0:
            return thumbnail_output(self.networks, self.thumbnail_shape, self.channels, theta)
        return self

    def pop(self, coder: Coder) -> Pixels:
        """Pop all diagonals to their place; the values uint8 in the order of pixels."""
        nothing = np.empty((0, 2), np.uint32)
        self._run(self._seen(), self._stack(*coder.opened(), nothing, nothing), range(self.diagonals.count_all))
        return self.images().reshape(-1)

    def reveal(self, group: int, values: Pixels) -> None:
        """The thumbnail; other pixels are in their place already."""
        if group == 0:
            low, high = self.channels.start, self.channels.stop
            inner = self.pixels[:, RADIUS:, RADIUS:-RADIUS]
            inner[:, ::STRIDE, ::STRIDE, low:high] = values.reshape(-1, *self.thumbnail_shape).transpose(1, 2, 3, 0)
            if high == 1:
                inner[:, ::STRIDE, ::STRIDE, 1:3] = inner[:, ::STRIDE, ::STRIDE, :1]
            canvas.spread(self.pixels)

    def images(self) -> Pixels:
        """The decoded images uint8 [N, height, width, coded channels]."""
        inner = self.pixels[:, RADIUS:, RADIUS:-RADIUS]
        return inner[..., self.channels.start : self.channels.stop].astype(np.uint8)
