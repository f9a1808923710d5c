"""What image networks are trained on: pixels of diagonals, and targets of cosets in a random state.

Batches follow from the step alone; other draws give other batches of the same data. The `constants` of a task are
integer tensors that the exported model needs beside the network.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bfncodec.exact.kernels import kernel
from bfncodec.models.image import cosets
from bfncodec.models.image.features import FEATURES, Scales
from bfncodec.models.image.passes import STRIDE
from bfncodec.models.image.thumbnail import thumbnail_steps
from bfncodec.train.distributed import ALL
from bfncodec.train.image.photographs import Photographs, SmallImages
from bfncodec.train.image.pool import Batch, Pixels, Pool

ROWS = 1 << 18  # of the pool, and of what one fill brings an eighth of it
FILLS = 32
STEPS_PER_FILL = 12
WINDOW = 32  # pixels a side
HELD_OUT_PIXELS = 1 << 16  # at a time


class CosetTask:
    """Random targets of one kind on planes of random photographs, in a random state."""

    cross = False

    def __init__(
        self, data: Photographs | SmallImages, kind: str, deviations: list[int], pixels: int, seed: int, device: str
    ) -> None:
        self.data, self.kind, self.pixels, self.seed = data, cosets.KINDS[kind], pixels, seed
        self.items = pixels
        self.features, self.kernel = self.kind.features, kernel(device)
        self.scales = Scales(self.kernel)
        self.steps, self.scale_steps = thumbnail_steps(deviations)
        self.deviations = [0.0] + [float((2.0**20 / a) ** 0.5) for a in np.cumsum([s.accuracy for s in self.steps])]
        self.known = np.zeros((ROWS, max(1, len(self.kind.known)), 3), np.uint8)
        self.own = np.zeros((ROWS, len(self.kind.own), 3), np.uint8)
        self.level = np.zeros(FILLS, np.int64)
        self.filled, self.levels = 0, 1 if kind == "T" else cosets.LEVELS

    def batch(self, step: int, draw: int, share: slice = ALL) -> Batch:
        """Targets in one state, from one fill of the pool."""
        upto = FILLS + step // STEPS_PER_FILL
        for number in range(max(self.filled, upto - FILLS), upto):
            self._fill(number)
        self.filled = upto
        random = np.random.default_rng([self.seed, 2, step, draw])
        fill = int(random.integers(FILLS))
        rows = fill * (ROWS // FILLS) + random.integers(0, ROWS // FILLS, self.pixels)
        return self._prepared(self.known[rows], self.own[rows], int(self.level[fill]), random, share)

    def held_out(self) -> Iterator[Batch]:
        """Targets of held-out images in every state that coding uses."""
        random = np.random.default_rng([self.seed, 3])
        for image in self.data.held_out[:200]:
            for level in range(self.levels):
                known, own = self._targets(image, level, 2048, random)
                yield self._prepared(known, own, level, random)

    def constants(self) -> dict[str, NDArray[Any]]:
        """The noise of the thumbnail."""
        return {"deviations": np.array([step.deviation for step in self.steps], np.int32)}

    def _fill(self, number: int) -> None:
        size, place = ROWS // FILLS, number % FILLS
        image, random = self.data.variant(number)
        level = self.level[place] = int(random.integers(self.levels))
        window = slice(place * size, (place + 1) * size)
        self.known[window], self.own[window] = self._targets(image, level, size, random)

    def _targets(self, image: Pixels, level: int, count: int, random: np.random.Generator) -> tuple[Pixels, Pixels]:
        """Known neighbours and the own coset around random targets of one plane."""
        stride = STRIDE if self.kind.name == "T" else 1 << level
        y, x = random.integers(0, stride, 2)
        if self.kind.name != "T" or min(image.shape[:2]) < 4 * STRIDE:
            y = x = 0  # the grid of a small image or of a coset starts at its corner
        plane = image[None, y::stride, x::stride]
        period, (top, left) = self.kind.period, self.kind.offset
        rows = random.integers(0, max(1, (plane.shape[1] - top + period - 1) // period), count) * period + top
        columns = random.integers(0, max(1, (plane.shape[2] - left + period - 1) // period), count) * period + left
        image_index = np.zeros(count, np.int64)
        known = cosets.around(plane, image_index, rows, columns, list(self.kind.known) or [(0, 0)])
        own_plane = plane[:, top::period, left::period]
        offsets = [(dy // period, dx // period) for dy, dx in self.kind.own]
        own = cosets.around(own_plane, image_index, (rows - top) // period, (columns - left) // period, offsets)
        return known.astype(np.uint8), own.astype(np.uint8)

    def _prepared(
        self, known: Pixels, own: Pixels, level: int, random: np.random.Generator, share: slice = ALL
    ) -> Batch:
        """Draw a state, and noise to go with it; keep a share."""
        noisy = int(random.integers(len(self.steps) + 1))
        if self.kind.name == "T":
            channels: tuple[int, ...] = (0, 1, 2)
            states = (noisy, noisy, noisy)
            step: int | None = self.scale_steps[noisy]
        else:
            target = int(random.integers(3))
            channels, step = (target,), None
            noisy = noisy if random.random() < 0.5 else 0
            states = tuple([cosets.KNOWN] * target + [noisy] + [0] * (2 - target))  # type: ignore[assignment]
        means = own.astype(np.float64) * 16
        for channel, state in enumerate(states):
            if state < cosets.KNOWN:
                noise = random.standard_normal(means.shape[:2]) * 16 * self.deviations[state]
                means[:, :, channel] = np.rint(means[:, :, channel] + noise) if state else 0
        kernel, own = self.kernel, own[share]
        seen = kernel.array(known[share].astype(np.int32) * 16), kernel.array(means[share].astype(np.int32))
        inputs, steps, base = cosets.features(kernel, self.scales, self.kind, *seen, states, level, step)
        return Batch(
            torch.as_tensor(inputs, dtype=torch.bfloat16),
            None,
            torch.as_tensor(base, dtype=torch.float32) / 16,
            torch.exp2(torch.as_tensor(steps, dtype=torch.float32) / 8 - 4)[:, None].expand(-1, 3),
            torch.as_tensor(own[:, cosets.centre(self.kind)].astype(np.float32)),
            channels,
        )


class PixelTask:
    """The task of `models.image.wavefront`: windows of pixels, from their causal neighbours."""

    features = FEATURES
    cross = True

    def __init__(
        self, data: Photographs | SmallImages, pixels: int, seed: int, device: str, *, follows: bool = True
    ) -> None:
        self.data, self.seed, self.device, self.follows = data, seed, device, follows
        side = min(WINDOW, data.side)
        self.items = max(1, pixels // side**2)  # windows
        self.pixels = self.items * side**2
        self.prior = data.prior()
        self.pool: Pool | None = None
        self.filled = 0

    def batch(self, step: int, draw: int, share: slice = ALL) -> Batch:
        """Random windows of the pool as it stands at that step."""
        data = self.data
        whole = data.pool_tiles // data.tiles_per_fill
        upto = whole + step // data.steps_per_fill
        if self.pool is None:
            self.pool = Pool(data.pool_tiles, data.side, data.side, self.device, follows=self.follows)
        for number in range(max(self.filled, upto - whole), upto):
            data.fill(self.pool, number, self.prior)
        self.filled = upto
        return self.pool.draw(self.items, WINDOW, np.random.default_rng([self.seed, 1, step, draw]), share)

    def held_out(self) -> Iterator[Batch]:
        """All pixels of the held-out images."""
        for images, coefficients in self.data.validation(self.prior):
            height, width = images.shape[1:3]
            pool = Pool(len(images), height, width, self.device)
            pool.put_whole(images, coefficients, slice(0, len(images)))
            size = max(1, HELD_OUT_PIXELS // (height * width))
            for start in range(0, len(images), size):
                tile = np.arange(start, min(start + size, len(images)))
                yield pool.windows(tile, 0 * tile, 0 * tile, height, width)

    def constants(self) -> dict[str, NDArray[Any]]:
        """The prior of the base."""
        return {"coefficients": self.prior.astype(np.int32)}
