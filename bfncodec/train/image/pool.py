"""A pool of tiles with their bases, from which windows of pixels are drawn at random."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bfncodec.exact.kernels import Kernel, kernel
from bfncodec.models.image import features, linear
from bfncodec.models.image.canvas import RADIUS, addresses, canvas_shape, filled
from bfncodec.models.image.passes import alone
from bfncodec.train.distributed import ALL
from bfncodec.train.image import recurrence

Pixels = NDArray[np.uint8]


class Batch(NamedTuple):
    """Inputs and targets of n pixels: whatever pixels, or those of windows in the order of `recurrence`."""

    features: Tensor  # int8-valued [n, inputs]
    cross: Tensor | None  # int8-valued errors [n, 4]: G, its size, innovation of R, its size
    means: Tensor  # base in levels, cross-channel correction included, float [n, 3]
    scale: Tensor  # levels [n, 3]
    values: Tensor  # levels [n, 3]
    channels: tuple[int, ...] = (0, 1, 2)  # those that are predicted
    own: Tensor | None = None  # int8-valued [n, 6]: innovations and their sizes
    area: tuple[int, int] | None = None  # height and width of windows


class Pool:
    """Tiles of one size with their bases, on flat canvases, from which windows are drawn at random."""

    def __init__(self, tiles: int, height: int, width: int, device: str, *, follows: bool = True) -> None:
        self.follows = follows  # whether the base follows an image
        self.kernel: Kernel = kernel(device)
        self.scales = features.Scales(self.kernel)
        self.height, self.width = height, width
        shape = canvas_shape((tiles, height, width))
        self.pixels = np.zeros(shape, np.int16)
        self.fields = linear.Fields(*(np.zeros(shape, np.int16) for _ in linear.Fields._fields))
        self.places = np.zeros((tiles, 3), np.int32)  # x, y, width of the whole image

    def put(self, image: Pixels, coefficients: NDArray[Any], window: slice, random: np.random.Generator) -> None:
        """Replace tiles by windows cut at random from one image with its own base."""
        canvas = filled(image[None])
        fields = linear.fields(canvas, coefficients, local=self.follows)
        height, width = self.pixels.shape[1:3]
        for index in range(window.start, window.stop):
            y = int(random.integers(0, image.shape[0] - self.height + 1))
            x = int(random.integers(0, image.shape[1] - self.width + 1))
            self.pixels[index] = canvas[0, y : y + height, x : x + width]
            for own, plane in zip(self.fields, fields, strict=True):
                own[index] = plane[0, y : y + height, x : x + width]
            self.places[index] = x, y, image.shape[1]

    def put_whole(self, images: Pixels, coefficients: NDArray[Any], window: slice) -> None:
        """Replace tiles by whole images [n, height, width, 3]."""
        self.pixels[window] = filled(images)
        fields = linear.fields(self.pixels[window], coefficients, local=self.follows and alone(images))
        for own, plane in zip(self.fields, fields, strict=True):
            own[window] = plane
        self.places[window] = 0, 0, self.width

    def draw(self, windows: int, side: int, random: np.random.Generator, share: slice = ALL) -> Batch:
        """A batch of random windows of at most `side` pixels a side, or a share of it."""
        height, width = min(side, self.height), min(side, self.width)
        tile = random.integers(0, len(self.pixels), windows)
        y = random.integers(0, self.height - height + 1, windows)
        x = random.integers(0, self.width - width + 1, windows)
        return self.windows(tile[share], y[share], x[share], height, width)

    def windows(self, tile: NDArray[Any], y: NDArray[Any], x: NDArray[Any], height: int, width: int) -> Batch:
        """The batch of windows of given tiles, whose upper left corners are given."""
        order = recurrence.order(height, width)
        rows, columns = order.y[:, None] + y, order.x[:, None] + x
        batch = self.at(np.broadcast_to(tile, rows.shape).reshape(-1), rows.reshape(-1), columns.reshape(-1))
        return batch._replace(area=(height, width))

    def at(self, tile: NDArray[Any], y: NDArray[Any], x: NDArray[Any]) -> Batch:
        """The batch of given pixels of given tiles."""
        row = self.pixels.shape[2]
        index = (tile * self.pixels.shape[1] + y + RADIUS) * row + x + RADIUS
        left, top, width = self.places[tile].T
        kernel = self.kernel

        def around(canvas: NDArray[np.int16], offsets: list[tuple[int, int]]) -> Any:
            return kernel.array(canvas.reshape(-1, 4)[index[:, None] + addresses(offsets, row), :3])

        values = kernel.array(self.pixels.reshape(-1, 4)[index, :3])
        base, corrections = (
            kernel.array(plane.reshape(-1, 4)[index, :3]) for plane in (self.fields.bases, self.fields.crosses)
        )
        errors = values * 16 - base
        pixels = around(self.pixels, features.NEIGHBOURS)
        past, trend = around(self.fields.innovations, features.PAST), around(self.fields.trends, features.TREND)
        flags = kernel.array(features.place_flags(left + x, top + y, width))
        inputs, steps = features.features(kernel, self.scales, pixels, past, trend, base, corrections, flags)
        cross, shifts = features.cross_channel(kernel, self.scales, errors, steps, corrections)
        own = features.own(kernel, self.scales, around(self.fields.innovations, [(0, 0)])[:, 0], steps)
        return Batch(
            torch.as_tensor(inputs, dtype=torch.bfloat16),
            torch.as_tensor(cross, dtype=torch.bfloat16),
            torch.as_tensor(base * 64 + shifts, dtype=torch.float32) / 1024,
            torch.exp2(torch.as_tensor(steps, dtype=torch.float32) / 8 - 4),
            torch.as_tensor(values, dtype=torch.float32),
            own=torch.as_tensor(own, dtype=torch.bfloat16),
        )
