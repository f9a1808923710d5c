"""PNM files of bits, bytes and words (P4, P5, P6) <-> pictures, to the last byte."""

import re

import numpy as np

from bfncodec.media.medium import REST, Chunk, Head, check_size, halves, joined
from bfncodec.picture import Layout, Origin, Picture, Pixels
from bfncodec.spans import Data

MAGIC: tuple[bytes, ...] = (b"P4", b"P5", b"P6")
ORIGINS: tuple[Origin, ...] = (Origin.PNM,)
SUFFIXES: tuple[str, ...] = (".ppm", ".pgm", ".pbm", ".pnm")
_SPACE = rb"(?:[ \t\r\n]|#[^\n]*\n)+"
_SIZE = rb"(\d{1,10})" + _SPACE + rb"(\d{1,10})"
_HEADER = re.compile(rb"P(4)" + _SPACE + _SIZE + rb"\s|P([56])" + _SPACE + _SIZE + _SPACE + rb"0{0,9}([1-9]\d{0,4})\s")


def head(start: bytes, data: Data) -> Head | None:
    match = _HEADER.match(start)
    if match is None:
        return None
    if match[1]:
        width, height = int(match[2]), int(match[3])
        size = height * -(-width // 8)
    else:
        width, height, most = int(match[5]), int(match[6]), int(match[7])
        size = width * height * (1 if match[4] == b"5" else 3) * (1 if most < 256 else 2)
        if most > 0xFFFF:
            return None
    return Head(width, height, match.end() + size, size) if size else None


def parse(data: bytes, head: Head, max_pixels: int | None) -> Picture | None:
    """None if there are values of too many bits, or bits beyond the ends of rows that are not 0."""
    check_size(head, max_pixels)
    match = _HEADER.match(data)
    assert match is not None
    layout = Layout.RGB if match[4] == b"6" else Layout.L
    depth = 1 if match[1] else int(match[7]).bit_length()
    start, stop = head.least - head.most, head.least
    raw = data[start:stop]
    if match[1]:
        pixels = _unpacked(raw, head)
    else:
        pixels = np.frombuffer(raw, _stored(depth)).astype(np.uint8 if depth <= 8 else np.uint16, copy=False)
    if pixels is None or pixels.max() >> depth:
        return None
    shaped = pixels.reshape(head.height, head.width, layout.channels)
    return Picture(Origin.PNM, layout, shaped, joined(data[:start], data[stop:]), depth)


def build(picture: Picture) -> bytes:
    before, after = halves(picture.metadata)
    if before.startswith(b"P4"):
        return before + np.packbits(picture.pixels[..., 0] ^ 1, axis=1).tobytes() + after
    return before + _words(picture) + after


def written(picture: Picture) -> bytes:
    """A new file of the same grey or RGB pixels, without metadata."""
    height, width, channels = picture.pixels.shape
    return b"P%d\n%d %d\n%d\n" % (5 + channels // 3, width, height, (1 << picture.depth) - 1) + _words(picture)


def chunks(metadata: bytes) -> list[Chunk]:
    """Comments, and what follows the pixels: nothing that others know."""
    before, after = halves(metadata)
    return [(REST, before + after)] if after or b"#" in before else []


def _stored(depth: int) -> np.dtype[np.uint8 | np.uint16]:
    """How files have values."""
    return np.dtype(np.uint8 if depth <= 8 else ">u2")


def _words(picture: Picture) -> bytes:
    return picture.pixels.astype(_stored(picture.depth), copy=False).tobytes()


def _unpacked(raw: bytes, head: Head) -> Pixels | None:
    """Pixels of bits, of which 1 is black."""
    bits = np.unpackbits(np.frombuffer(raw, np.uint8).reshape(head.height, -1), axis=1)
    return None if bits[:, head.width :].any() else bits[:, : head.width] ^ 1
