"""PNM files of 8 bits (P5, P6) <-> pictures, to the last byte."""

from __future__ import annotations

import re

import numpy as np

from bfncodec.media.medium import REST, Chunk, Head, check_size, halves, joined
from bfncodec.picture import Layout, Origin, Picture

MAGIC: tuple[bytes, ...] = (b"P5", b"P6")
ORIGINS: tuple[Origin, ...] = (Origin.PNM,)
SUFFIXES: tuple[str, ...] = (".ppm", ".pgm", ".pnm")


def _match(start: bytes) -> re.Match[bytes] | None:
    """Number, width and height of a file of 8 bits."""
    space = rb"(?:[ \t\r\n]|#[^\n]*\n)+"
    return re.match(rb"P([56])" + space + rb"(\d{1,10})" + space + rb"(\d{1,10})" + space + rb"255\s", start)


def head(start: bytes) -> Head | None:
    """See `Medium`, as for all that follows."""
    match = _match(start)
    if match is None:
        return None
    width, height = int(match[2]), int(match[3])
    size = width * height * (1 if match[1] == b"5" else 3)
    return Head(width, height, match.end() + size, size) if size else None


def parse(data: bytes, head: Head, max_pixels: int | None) -> Picture | None:
    """Pixels, and what stands around them."""
    check_size(head, max_pixels)
    match = _match(data)
    assert match is not None
    layout = Layout.L if match[1] == b"5" else Layout.RGB
    pixels = np.frombuffer(data, np.uint8, head.most, match.end()).reshape(head.height, head.width, layout.channels)
    return Picture(Origin.PNM, layout, pixels, joined(data[: match.end()], data[match.end() + head.most :]))


def build(picture: Picture) -> bytes:
    """The file as it was."""
    before, after = halves(picture.metadata)
    return before + picture.pixels.tobytes() + after


def chunks(metadata: bytes) -> list[Chunk]:
    """Comments, and what follows the pixels: nothing that others know."""
    before, after = halves(metadata)
    return [(REST, before + after)] if after or b"#" in before else []
