"""Training images: folders of photographs or arrays of small images, augmented, as a pool of tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from bfncodec.errors import BfnError
from bfncodec.exact.kernels import Kernel, for_device
from bfncodec.models.image import features as image_features
from bfncodec.models.image import linear
from bfncodec.train.distributed import ALL

HELD_OUT = 16  # every 16th photograph is kept for validation
REGION = 608  # photographs are cut to at most this side before their base is fitted
CHANNELS = [1, 0, 2]  # RGB -> GRB

Pixels = NDArray[np.uint8]


def load_folder(folder: Path, skip: frozenset[str]) -> list[Pixels]:
    """Every PNG and WebP image below a folder as [H, W, 3] (G, R, B), in order of path."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix in (".png", ".webp"))
    images = []
    for path in paths:
        if not any(str(path).endswith(name) for name in skip):
            with Image.open(path) as image:
                images.append(np.asarray(image.convert("RGB"))[..., CHANNELS])
    if not images:
        raise BfnError(f"{folder}: no PNG or WebP images to train on")
    return images


def halves(image: Pixels, random: np.random.Generator) -> Pixels:
    """Half of the time the image itself, else decimated or box-averaged by two."""
    choice = random.random()
    if choice >= 0.5 or min(image.shape[:2]) < 256:
        return image
    if choice < 0.25:
        y, x = random.integers(0, 2, 2)
        return image[y::2, x::2]
    even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2].astype(np.uint16)
    total = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    return ((total + 2) // 4).astype(np.uint8)


def turned(image: Pixels, random: np.random.Generator) -> Pixels:
    """One of the eight orientations; one image in 32 becomes grey."""
    if random.random() < 0.5:
        image = image[:, ::-1]
    if random.random() < 0.5:
        image = image[::-1]
    if random.random() < 0.5:
        image = image.transpose(1, 0, 2)
    if random.random() < 1 / 32:
        image = np.repeat(image[..., :1], 3, axis=2)
    return np.ascontiguousarray(image)


def smooth_colour(image: Pixels, random: np.random.Generator) -> Pixels:
    """One image in four gets colour differences of half resolution, as JPEG, video and PhotoCD have them."""
    if random.random() >= 0.25 or min(image.shape[:2]) < 256:
        return image
    even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2].astype(np.float32)
    luma = even @ np.array([0.587, 0.299, 0.114], np.float32)
    colour = even[..., 1:] - luma[..., None]
    small = (colour[::2, ::2] + colour[1::2, ::2] + colour[::2, 1::2] + colour[1::2, 1::2]) / 4
    small = np.rint(small)
    for axis in (0, 1):
        back, ahead = np.roll(small, 1, axis), np.roll(small, -1, axis)
        halves = np.stack([0.75 * small + 0.25 * back, 0.75 * small + 0.25 * ahead], axis + 1)
        small = halves.reshape(*(n * (1 + (i == axis)) for i, n in enumerate(small.shape)))
    red, blue = luma + small[..., 0], luma + small[..., 1]
    green = (luma - 0.299 * red - 0.114 * blue) / 0.587
    return np.rint(np.stack([green, red, blue], axis=-1)).clip(0, 255).astype(np.uint8)


def cut(image: Pixels, side: int, random: np.random.Generator) -> Pixels:
    """A random region of at most side x side pixels."""
    y = random.integers(0, max(1, image.shape[0] - side + 1))
    x = random.integers(0, max(1, image.shape[1] - side + 1))
    return image[y : y + side, x : x + side]


@dataclass
class Batch:
    """Inputs and targets of n pixels; see `networks.LocalNetwork.forward`."""

    features: Tensor  # int8-valued [n, inputs]
    cross: Tensor | None  # int8-valued [n, 4]
    means: Tensor  # base in levels, cross-channel correction included, float [n, 3]
    scale: Tensor  # levels [n, 3]
    values: Tensor  # levels [n, 3]
    channels: tuple[int, ...] = (0, 1, 2)  # those that are predicted


class Pool:
    """Tiles of one size with their bases, on flat canvases, from which pixels are drawn at random."""

    def __init__(self, tiles: int, height: int, width: int, device: str) -> None:
        self.kernel: Kernel = for_device(device)
        self.scales = image_features.Scales(self.kernel)
        self.height, self.width = height, width
        shape = image_features.canvas_shape((tiles, height, width))
        self.pixels = np.zeros(shape, np.int16)
        self.fields = linear.Fields(np.zeros(shape, np.int16), np.zeros(shape, np.int16), np.zeros(shape, np.int16))
        self.places = np.zeros((tiles, 3), np.int32)  # x, y, width of the whole image
        self.cross = np.zeros((tiles, 3), np.int32)

    def put(self, image: Pixels, coefficients: NDArray[Any], window: slice, random: np.random.Generator) -> None:
        """Replace tiles by windows cut at random from one image with its own base."""
        canvas = image_features.filled(image[None])
        fields = linear.fields(canvas, coefficients)
        height, width = self.pixels.shape[1:3]
        for index in range(window.start, window.stop):
            y = int(random.integers(0, image.shape[0] - self.height + 1))
            x = int(random.integers(0, image.shape[1] - self.width + 1))
            self.pixels[index] = canvas[0, y : y + height, x : x + width]
            for mine, whole in self._pairs(fields):
                mine[index] = whole[0, y : y + height, x : x + width]
            self.places[index] = x, y, image.shape[1]
        self.cross[window] = coefficients[linear.REGRESSORS]

    def put_whole(self, images: Pixels, coefficients: NDArray[Any], window: slice) -> None:
        """Replace tiles by whole images [n, height, width, 3]."""
        self.pixels[window] = image_features.filled(images)
        for mine, whole in self._pairs(linear.fields(self.pixels[window], coefficients)):
            mine[window] = whole
        self.places[window] = 0, 0, self.width
        self.cross[window] = coefficients[linear.REGRESSORS]

    def _pairs(self, other: linear.Fields) -> list[tuple[NDArray[np.int16], NDArray[np.int16]]]:
        mine = self.fields
        return [
            (mine.errors, other.errors),
            (mine.innovations, other.innovations),
            (mine.trends, other.trends),
        ]

    def draw(self, pixels: int, random: np.random.Generator, share: slice = ALL) -> Batch:
        """A batch of random pixels, or a share of it."""
        tile = random.integers(0, len(self.pixels), pixels)
        y, x = random.integers(0, self.height, pixels), random.integers(0, self.width, pixels)
        return self.at(tile[share], y[share], x[share])

    def at(self, tile: NDArray[Any], y: NDArray[Any], x: NDArray[Any]) -> Batch:
        """The batch of given pixels of given tiles."""
        row = self.pixels.shape[2]
        index = (tile * self.pixels.shape[1] + y + image_features.RADIUS) * row + x + image_features.RADIUS
        place = self.places[tile]
        across, down = place[:, 0] + x, place[:, 1] + y
        kernel = self.kernel

        def around(canvas: NDArray[np.int16], offsets: list[tuple[int, int]]) -> Any:
            return kernel.array(canvas.reshape(-1, 4)[index[:, None] + image_features.addresses(offsets, row), :3])

        values = kernel.array(self.pixels.reshape(-1, 4)[index, :3])
        errors = kernel.array(self.fields.errors.reshape(-1, 4)[index, :3])
        base = values * 16 - errors
        corrections = kernel.array(self.cross[tile])
        inputs, steps = image_features.features(
            kernel,
            self.scales,
            around(self.pixels, image_features.NEIGHBOURS),
            around(self.fields.innovations, image_features.PAST),
            around(self.fields.trends, image_features.TREND),
            base,
            corrections,
            kernel.array(image_features.place_flags(across, down, place[:, 2])),
        )
        cross, shifts = image_features.cross_channel(kernel, self.scales, errors, steps, corrections)
        return Batch(
            torch.as_tensor(inputs, dtype=torch.bfloat16),
            torch.as_tensor(cross, dtype=torch.bfloat16),
            torch.as_tensor(base * 64 + shifts, dtype=torch.float32) / 1024,
            torch.exp2(torch.as_tensor(steps, dtype=torch.float32) / 8 - 4),
            torch.as_tensor(values, dtype=torch.float32),
        )


class Photographs:
    """Photographs of a folder, augmented for ever; every HELD_OUT-th one is for validation."""

    side = 128
    pool_tiles = 512
    tiles_per_fill = 8
    steps_per_fill = 12

    def __init__(self, folder: Path, seed: int, skip: frozenset[str] = frozenset()) -> None:
        images = [image for image in load_folder(folder, skip) if min(image.shape[:2]) >= self.side]
        self.held_out = images[::HELD_OUT]
        self.images = [image for index, image in enumerate(images) if index % HELD_OUT]
        self.seed = seed

    def variant(self, number: int) -> tuple[Pixels, np.random.Generator]:
        """The `number`-th augmented photograph, and the random numbers to go on with."""
        random = np.random.default_rng([self.seed, number])
        image = self.images[random.integers(len(self.images))]
        return turned(smooth_colour(cut(halves(image, random), REGION, random), random), random), random

    def prior(self) -> NDArray[np.int64]:
        """Base coefficients fitted to all training images at once."""
        crops = (image_features.filled(image[None, :256, :256]) for image in self.images)
        return linear.solve(sum((_scaled(linear.normal_equations(crop)) for crop in crops), np.zeros(())))

    def fill(self, pool: Pool, number: int, prior: NDArray[Any]) -> None:
        """The `number`-th fill: tiles of one more augmented photograph, in place of the oldest."""
        image, random = self.variant(number)
        equations = linear.normal_equations(image_features.filled(image[None]))
        first = number * self.tiles_per_fill % self.pool_tiles
        pool.put(image, linear.solve(equations, prior), slice(first, first + self.tiles_per_fill), random)

    def validation(self, prior: NDArray[Any]) -> Iterator[tuple[Pixels, NDArray[Any]]]:
        """Held-out crops of at most 256 x 384 pixels, one by one, each with its own base."""
        for image in self.held_out:
            crop = np.ascontiguousarray(image[:256, :384])
            yield crop[None], linear.solve(linear.normal_equations(image_features.filled(crop[None])), prior)


class SmallImages:
    """An array [N, side, side, 3] of small images under one base; the last 1,000 are for validation."""

    tiles_per_fill = 1000
    steps_per_fill = 1 << 60  # the pool holds them all

    def __init__(self, path: Path, seed: int) -> None:
        images = np.load(path, allow_pickle=False)
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8 or images.shape[1] != images.shape[2]:
            raise BfnError(f"{path}: expected uint8 [N, side, side, 3], found {images.dtype} {images.shape}")
        images = images[..., CHANNELS]
        kept = (len(images) - 1000) // 1000 * 1000
        self.images, self.held_out = images[:kept], images[-1000:]
        self.side = images.shape[1]
        self.pool_tiles = 2 * len(self.images)

    def prior(self) -> NDArray[np.int64]:
        """Base coefficients fitted to all training images at once."""
        return linear.solve(linear.normal_equations(image_features.filled(self.images)))

    def variant(self, number: int) -> tuple[Pixels, np.random.Generator]:
        """A random image, and the random numbers to go on with."""
        random = np.random.default_rng([0, number])
        return self.images[random.integers(len(self.images))], random

    def fill(self, pool: Pool, number: int, prior: NDArray[Any]) -> None:
        """The `number`-th thousand images; after the last one, all of them mirrored."""
        number %= 2 * len(self.images) // 1000
        first = number * 1000
        images = self.images[first % len(self.images) :][:1000]
        images = images if first < len(self.images) else images[:, :, ::-1]
        pool.put_whole(images, prior, slice(first, first + 1000))

    def validation(self, prior: NDArray[Any]) -> Iterator[tuple[Pixels, NDArray[Any]]]:
        """The held-out images."""
        yield np.ascontiguousarray(self.held_out), prior


def _scaled(equations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Equations of one image brought to equal weight, so that no image rules the prior."""
    return equations * (2.0**36 / equations[image_features.DIFFERENCES, image_features.DIFFERENCES])


class Wavefront:
    """The task of `models.image`: pixels from their causal neighbours."""

    features = image_features.FEATURES
    cross = True

    def __init__(self, data: Photographs | SmallImages, pixels: int, seed: int, device: str) -> None:
        self.data, self.pixels, self.seed, self.device = data, pixels, seed, device
        self.prior = data.prior()
        self.pool: Pool | None = None
        self.filled = 0

    def batch(self, step: int, draw: int, share: slice = ALL) -> Batch:
        """Random pixels of the pool as it stands at that step."""
        data = self.data
        whole = data.pool_tiles // data.tiles_per_fill
        upto = whole + step // data.steps_per_fill
        if self.pool is None:
            self.pool = Pool(data.pool_tiles, data.side, data.side, self.device)
            self.filled = upto - whole
        for number in range(self.filled, upto):
            data.fill(self.pool, number, self.prior)
        self.filled = upto
        return self.pool.draw(self.pixels, np.random.default_rng([self.seed, 1, step, draw]), share)

    def held_out(self) -> Iterator[Batch]:
        """All pixels of the held-out images."""
        for images, coefficients in self.data.validation(self.prior):
            height, width = images.shape[1:3]
            pool = Pool(len(images), height, width, self.device)
            pool.put_whole(images, coefficients, slice(0, len(images)))
            for start in range(0, len(images) * height * width, 1 << 14):
                index = np.arange(start, min(start + (1 << 14), len(images) * height * width))
                tile, y, x = np.unravel_index(index, images.shape[:3])
                yield pool.at(tile, y, x)

    def constants(self) -> dict[str, NDArray[Any]]:
        """The prior of the base."""
        return {"coefficients": self.prior.astype(np.int32)}
