"""Pictures: pixels, and what else is needed to make the file again that they came from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]  # uint8 or uint16

DTYPES = (np.uint8, np.uint16, np.int16)  # of numbers that are pixels
SIGN = np.uint16(1 << 15)


class Origin(IntEnum):
    """What a picture came from, and is turned back into."""

    PNG = 0
    PNM = 1
    BMP = 2
    ARRAY = 3
    PILLOW = 4
    NPY = 5
    TIFF = 6
    GIF = 7

    @property
    def exact(self) -> bool:
        """True if its files come back to the last byte."""
        return self not in (Origin.PNG, Origin.ARRAY, Origin.PILLOW)


class Layout(IntEnum):
    """Channels of a picture; P: numbers of colours in a palette."""

    L = 0
    LA = 1
    RGB = 2
    RGBA = 3
    P = 4

    @property
    def channels(self) -> int:
        return (1, 2, 3, 4, 1)[self]


class Kind(NamedTuple):
    """What pictures have in common that may share a block, but for their size."""

    origin: Origin
    layout: Layout
    depth: int = 8  # bits of a value, 1 to 16
    signed: bool = False  # whether 0 stands for the least signed number of so many bits; for 16 bits only
    frames: int = 1  # below each other, of one height

    @property
    def dtype(self) -> np.dtype[np.uint8 | np.uint16]:
        """Of the pixels in memory and in digests: little-endian."""
        return np.dtype(np.uint8 if self.depth <= 8 else "<u2")


@dataclass
class Picture:
    """Pixels uint8 (to 8 bits) or uint16 (above) [height, width, channels], and what the file's format adds to them."""

    origin: Origin
    layout: Layout
    pixels: Pixels
    metadata: bytes = b""
    depth: int = 8
    signed: bool = False
    frames: int = 1  # below each other, of one height
    palette: bytes = field(default=b"", compare=False)  # R, G, B of its colours, for those who encode it; maybe unknown

    @property
    def kind(self) -> Kind:
        return Kind(self.origin, self.layout, self.depth, self.signed, self.frames)

    def first(self) -> Picture:
        """The first frame as a picture, which is no file's."""
        return replace(self, pixels=self.pixels[: len(self.pixels) // self.frames], frames=1)

    def values(self) -> NDArray[Any]:
        """The pixels as the numbers that they stand for, little-endian."""
        pixels = np.ascontiguousarray(self.pixels, self.kind.dtype)
        return (pixels ^ SIGN).view("<i2") if self.signed else pixels


def of_values(origin: Origin, values: NDArray[Any], metadata: bytes = b"") -> Picture:
    """Numbers [height, width, 1 to 4] of one of DTYPES and any byte order as a picture."""
    numbers = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    signed = numbers.dtype == np.int16
    pixels: Pixels = numbers.view(np.uint16) ^ SIGN if signed else numbers
    return Picture(origin, Layout(values.shape[2] - 1), pixels, metadata, 8 * pixels.itemsize, signed)
