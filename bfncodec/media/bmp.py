"""Uncompressed BMP files of 24 bits <-> pictures, to the last byte."""

import struct

import numpy as np

from bfncodec.media.medium import REST, Chunk, Head, check_size, halves, joined
from bfncodec.picture import Layout, Origin, Picture
from bfncodec.spans import Data

MAGIC: tuple[bytes, ...] = (b"BM",)
ORIGINS: tuple[Origin, ...] = (Origin.BMP,)
SUFFIXES: tuple[str, ...] = (".bmp",)
_FIELDS = struct.Struct("<I I i i H H I")  # offset of the pixels, header's length, width, height, planes, bits, packing
_FIRST = 54


def _stride(width: int) -> int:
    """Bytes of a row, which are a multiple of four."""
    return -(-3 * width // 4) * 4


def head(start: bytes, data: Data) -> Head | None:
    if len(start) < _FIRST:
        return None
    offset, header, width, height, planes, depth, compression = _FIELDS.unpack_from(start, 10)
    if header < 40 or planes != 1 or depth != 24 or compression or width <= 0 or height <= 0 or offset < _FIRST:
        return None
    size = _stride(width) * height
    return Head(width, height, offset + size, size)


def parse(data: bytes, head: Head, max_pixels: int | None) -> Picture | None:
    """Rows from the bottom, padding of zeros."""
    check_size(head, max_pixels)
    start, stop = head.least - head.most, head.least
    rows = np.frombuffer(data, np.uint8, head.most, start).reshape(head.height, -1)
    if rows[:, 3 * head.width :].any():
        return None
    pixels = rows[::-1, : 3 * head.width].reshape(head.height, head.width, 3)[..., ::-1]
    return Picture(Origin.BMP, Layout.RGB, np.ascontiguousarray(pixels), joined(data[:start], data[stop:]))


def build(picture: Picture) -> bytes:
    before, after = halves(picture.metadata)
    height, width = picture.pixels.shape[:2]
    padding = np.zeros((height, _stride(width) - 3 * width), np.uint8)
    rows = picture.pixels[::-1, :, ::-1].reshape(height, -1)
    return before + np.concatenate([rows, padding], axis=1).tobytes() + after


def chunks(metadata: bytes) -> list[Chunk]:
    """The resolution, and what follows the pixels."""
    before, after = halves(metadata)
    across, down = struct.unpack_from("<ii", before.ljust(_FIRST, b"\0"), 38)
    known = [(b"pHYs", struct.pack(">IIB", across, down, 1))] if across > 0 and down > 0 else []
    return [*known, (REST, after)] if after else known
