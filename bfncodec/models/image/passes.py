"""Passes: the planes of a picture that are coded together. Imports no network, so that a header can be read fast."""

from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bfncodec.spans import Data

Pixels = NDArray[np.uint8]

GRB = [1, 0, 2]  # RGB -> GRB, and back
STRIDE = 16  # of the thumbnail's pixels, in both directions
LEARN_FROM = 1 << 14  # pixels from which on an image's own statistics are worth learning


# One pixel in so many may be an exception to a space: it costs about 40 bits, and every other pixel saves 2 to 3.
EXCEPTIONS = 32


BAND_PIXELS = 1 << 21  # a large picture is cut into bands of about so many, each coded by itself
EXACT_BAND_PIXELS = 1 << 24  # the same of exact colours, which learn from all that repeats itself
BAND_ROWS = 32  # bands but for the last have a multiple of it: of the thumbnail's rows, and of every second row


class Schedule(IntEnum):
    """The groups of an image block."""

    WAVEFRONT = 0
    LATTICE = 1
    EXACT = 2  # one stream; see models/graphics
    COEFFICIENTS = 3  # of the JPEG file that the pixels were decoded from; see jpeg and models/jpeg


class Space(IntEnum):
    """The colour space whose integers an image block holds; see spaces.py."""

    RGB = 0
    PHOTO_CD = 1
    JFIF = 2
    WEBP = 3
    BT601 = 4
    BT709 = 5
    BT709_FULL = 6
    BT601_WORDS = 7
    BT709_WORDS = 8
    BT601_FULL_WORDS = 9
    BT709_FULL_WORDS = 10
    BT601_OPENCV = 11


SPACE_NAMES = {
    Space.PHOTO_CD: "PhotoCD YCC",
    Space.JFIF: "JFIF YCbCr",
    Space.WEBP: "WebP YUV",
    Space.BT601: "BT.601 YCbCr",
    Space.BT709: "BT.709 YCbCr",
    Space.BT709_FULL: "BT.709 full-range YCbCr",
    Space.BT601_WORDS: "BT.601 YCbCr in words",
    Space.BT709_WORDS: "BT.709 YCbCr in words",
    Space.BT601_FULL_WORDS: "BT.601 full-range YCbCr in words",
    Space.BT709_FULL_WORDS: "BT.709 full-range YCbCr in words",
    Space.BT601_OPENCV: "BT.601 YCbCr by OpenCV",
}


class Sampling(IntEnum):
    """Which of a space's colour differences an image block holds: all, or those of even or odd rows and columns."""

    FULL = 0
    EVEN_EVEN = 1
    EVEN_ODD = 2
    ODD_EVEN = 3
    ODD_ODD = 4
    TRIANGLES = 5

    @property
    def first(self) -> tuple[int, int]:
        """Row and column of the first sample, where not all are: then there is one in each second row and column."""
        return (0, 0) if self is Sampling.TRIANGLES else ((self - 1) >> 1, (self - 1) & 1)

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of samples, in the same case."""
        top, left = self.first
        return (height + 1 - top) // 2, (width + 1 - left) // 2

    def of(self, planes: Pixels) -> Pixels:
        """Samples [N, h, w, C] of planes [N, H, W, C]: pixels, or means of four where a sample lies between them."""
        top, left = self.first
        if self is not Sampling.TRIANGLES:
            return planes[:, top::2, left::2]
        count, height, width, channels = planes.shape
        even = np.pad(planes.astype(np.int64), ((0, 0), (0, height & 1), (0, width & 1), (0, 0)), "edge")
        squares = even.reshape(count, (height + 1) // 2, 2, (width + 1) // 2, 2, channels)
        return (squares.sum(axis=(2, 4)) + 2 >> 2).astype(np.uint8)


@dataclass
class Pass:
    """One coded plane set of a block of images (alpha, grey, luma, the three colours, two differences)."""

    constant: bytes | None = None  # one byte a channel where every pixel is the same; then nothing else is used
    silent: int = 0  # bit g: group g has no noisy steps
    pace: int = 0  # of the heads' learning, 0 to 2; 3: none
    fast: bool = False  # whether mixtures are looked up in a table, and no network is asked
    tones: bool = False  # whether decisions are corrected by what values the picture has
    deep: bool = False  # whether the trunk learns as well as the heads
    base: Data = b""
    stream: Data = b""


def alone(planes: Pixels) -> bool:
    """Whether planes [N, H, W, C] are of one image that is worth learning from."""
    return len(planes) == 1 and planes[..., 0].size >= LEARN_FROM


def bands(items: int, height: int, width: int, *, exact: bool = False) -> list[range]:
    """Rows of the bands of a block's pictures, which are all of them but in a single large picture."""
    count = -(-height * width // (EXACT_BAND_PIXELS if exact else BAND_PIXELS)) if items == 1 else 1
    rows = -(-height // (count * BAND_ROWS)) * BAND_ROWS
    firsts = range(0, max(height - BAND_ROWS + 1, 1), rows)  # what is left of less than BAND_ROWS is a part of the last
    return [range(*ends) for ends in pairwise([*firsts, height])]


def split(pixels: Pixels) -> list[Pixels]:
    """Pixels [N, H, W, C] -> the planes of every pass: alpha, then grey or G, R, B."""
    channels = pixels.shape[3]
    colour = pixels[..., : channels - 1 if channels in (2, 4) else channels]
    return [*([pixels[..., -1:]] if channels in (2, 4) else []), ordered(colour)]


def merge(planes: list[Pixels]) -> Pixels:
    """The inverse of `split`."""
    return np.concatenate([ordered(planes[-1]), *planes[:-1]], axis=3)


def ordered(planes: Pixels) -> Pixels:
    """RGB planes [..., 3] as GRB, or back; others as they are."""
    return planes[..., GRB] if planes.shape[-1] == 3 else planes


def constant(colour: bytes, shape: tuple[int, ...]) -> Pixels:
    """Planes of one colour, a byte a channel in the pictures' own order."""
    return ordered(np.broadcast_to(np.frombuffer(colour, np.uint8), shape))


def pass_channels(channels: int, sampling: Sampling = Sampling.FULL) -> list[int]:
    """Channels of every pass of pictures of so many channels."""
    colour = [1, 2] if sampling else [3]
    return {1: [1], 2: [1, 1], 3: colour, 4: [1, *colour]}[channels]
