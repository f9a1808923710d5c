"""Training images: folders of photographs or arrays of small images, augmented, as a pool of tiles."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bfncodec.errors import BfnError
from bfncodec.models.image import linear
from bfncodec.models.image.canvas import filled
from bfncodec.models.image.cosets import LEVELS
from bfncodec.models.image.features import DIFFERENCES
from bfncodec.models.image.passes import GRB
from bfncodec.train import arrays
from bfncodec.train.image.conversions import converted
from bfncodec.train.image.pool import Pixels, Pool

HELD_OUT = 16  # every 16th photograph is kept for validation
SMALLEST = (1 << LEVELS - 1) + 1  # side of images that have cosets on every level of the lattice
REGION = 448  # photographs are cut to at most this side before their base is fitted
_RESIZED_FROM = 300  # the smaller side
_RESIZING = Image.Resampling
_FILTERS = [_RESIZING.LANCZOS, _RESIZING.BICUBIC, _RESIZING.BOX, _RESIZING.HAMMING]


def load_folder(folder: Path, skip: frozenset[str]) -> list[Pixels]:
    """Every PNG and WebP image below a folder as [H, W, 3] (G, R, B), in order of path."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix in (".png", ".webp"))
    images = []
    for path in paths:
        if not any(str(path).endswith(name) for name in skip):
            with Image.open(path) as image:
                images.append(np.asarray(image.convert("RGB"))[..., GRB])
    if not images:
        raise BfnError(f"{folder}: no PNG or WebP images to train on")
    return images


def resized(image: Pixels, random: np.random.Generator) -> Pixels:
    """An image as it is, halved, or of any smaller size, by one of several filters."""
    choice = random.random()
    smallest = min(image.shape[:2])
    if choice < 0.5 or smallest < _RESIZED_FROM:
        return image
    if choice < 0.6:
        y, x = random.integers(0, 2, 2)
        return image[y::2, x::2]
    factor = random.uniform(max(0.35, 256 / smallest), 0.95)
    region = np.ascontiguousarray(cut(image, int(REGION / factor) + 1, random))
    size = int(region.shape[1] * factor), int(region.shape[0] * factor)
    return np.asarray(Image.fromarray(region).resize(size, _FILTERS[random.integers(len(_FILTERS))]))


def toned(image: Pixels, random: np.random.Generator) -> Pixels:
    """One image in seven gets other tones, half of them without gaps between."""
    if random.random() >= 0.15:
        return image
    tones = 255 * (np.arange(256) / 255) ** random.uniform(0.6, 1.5)
    if random.random() < 0.5:
        return np.rint(tones).astype(np.uint8)[image]
    return np.floor(tones[image] + random.random(image.shape)).clip(0, 255).astype(np.uint8)


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


class Photographs:
    """Photographs of a folder, augmented for ever; every HELD_OUT-th one is for validation."""

    side = 128
    pool_tiles = 512
    tiles_per_fill = 8
    steps_per_fill = 12

    def __init__(self, folder: Path, seed: int, skip: frozenset[str] = frozenset()) -> None:
        images = [image for image in load_folder(folder, skip) if min(image.shape[:2]) >= self.side]
        if len(images) < 2:
            raise BfnError(f"{folder}: one photograph of {self.side} pixels a side or more is too few to train on")
        self.held_out = images[::HELD_OUT]
        self.images = [image for index, image in enumerate(images) if index % HELD_OUT]
        self.seed = seed

    def variant(self, number: int) -> tuple[Pixels, np.random.Generator]:
        """The `number`-th augmented photograph, and the random numbers to go on with."""
        random = np.random.default_rng([self.seed, number])
        image = self.images[random.integers(len(self.images))]
        image = turned(smooth_colour(cut(resized(image, random), REGION, random), random), random)
        image = toned(image, random)
        return converted(image, np.random.default_rng([self.seed, number, 1])), random

    def prior(self) -> NDArray[np.int64]:
        """Base coefficients fitted to all training images at once."""
        equations = (linear.normal_equations(filled(image[None, :256, :256])) for image in self.images)
        # Brought to equal weight, so that no image rules the prior.
        scaled = (one * (2.0**36 / one[DIFFERENCES, DIFFERENCES]) for one in equations)
        return linear.solve(sum(scaled, np.zeros(())))

    def fill(self, pool: Pool, number: int, prior: NDArray[Any]) -> None:
        """The `number`-th fill: tiles of one more augmented photograph, in place of the oldest."""
        image, random = self.variant(number)
        equations = linear.normal_equations(filled(image[None]))
        first = number * self.tiles_per_fill % self.pool_tiles
        pool.put(image, linear.solve(equations, prior), slice(first, first + self.tiles_per_fill), random)

    def validation(self, prior: NDArray[Any]) -> Iterator[tuple[Pixels, NDArray[Any]]]:
        """Held-out crops of at most 256 x 384 pixels, one by one, each with its own base."""
        for image in self.held_out:
            crop = np.ascontiguousarray(image[:256, :384])
            yield crop[None], linear.solve(linear.normal_equations(filled(crop[None])), prior)


class SmallImages:
    """An array [N, side, side, 3] of small images under one base; the last tenth, at most 1,000, is for validation."""

    steps_per_fill = 1 << 60  # the pool holds them all

    def __init__(self, path: Path, seed: int) -> None:
        images = arrays.read(path)
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8 or images.shape[1] != images.shape[2]:
            raise BfnError(f"{path}: expected uint8 [N, side, side, 3], found {images.dtype} {images.shape}")
        if images.shape[1] < SMALLEST:
            raise BfnError(f"{path}: images of {images.shape[1]} pixels a side are too small to train on")
        if len(images) < 2:
            raise BfnError(f"{path}: {len(images)} images are too few to train on and to hold one out")
        images = images[..., GRB]
        held = min(max(len(images) // 10, 1), 1000)
        self.tiles_per_fill = min(len(images) - held, 1000)
        kept = (len(images) - held) // self.tiles_per_fill * self.tiles_per_fill
        self.images, self.held_out = images[:kept], images[-held:]
        self.side, self.seed = images.shape[1], seed
        self.pool_tiles = 2 * len(self.images)

    def prior(self) -> NDArray[np.int64]:
        return linear.solve(linear.normal_equations(filled(self.images)))

    def variant(self, number: int) -> tuple[Pixels, np.random.Generator]:
        """A random image, and the random numbers to go on with."""
        random = np.random.default_rng([self.seed, number])
        return self.images[random.integers(len(self.images))], random

    def fill(self, pool: Pool, number: int, prior: NDArray[Any]) -> None:
        """The `number`-th run of images; after the last one, all of them mirrored."""
        size = self.tiles_per_fill
        first = number * size % self.pool_tiles
        images = self.images[first % len(self.images) :][:size]
        images = images if first < len(self.images) else images[:, :, ::-1]
        pool.put_whole(images, prior, slice(first, first + size))

    def validation(self, prior: NDArray[Any]) -> Iterator[tuple[Pixels, NDArray[Any]]]:
        yield np.ascontiguousarray(self.held_out), prior
