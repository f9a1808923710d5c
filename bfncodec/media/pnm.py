"""PNM files of 8 bits (P5, P6) <-> pictures, to the last byte."""

import re

import numpy as np

from bfncodec.media.medium import REST, Chunk, Head, check_size, halves, joined
from bfncodec.picture import Layout, Origin, Picture

MAGIC: tuple[bytes, ...] = (b"P5", b"P6")
ORIGINS: tuple[Origin, ...] = (Origin.PNM,)
SUFFIXES: tuple[str, ...] = (".ppm", ".pgm", ".pnm")


def head(start: bytes) -> Head | None:
    space = rb"(?:[ \t\r\n]|#[^\n]*\n)+"
    match = re.match(rb"P([56])" + space + rb"(\d{1,10})" + space + rb"(\d{1,10})" + space + rb"255\s", start)
    if match is None:
        return None
    width, height = int(match[2]), int(match[3])
    size = width * height * (1 if match[1] == b"5" else 3)
    return Head(width, height, match.end() + size, size) if size else None


def parse(data: bytes, head: Head, max_pixels: int | None) -> Picture | None:
    check_size(head, max_pixels)
    layout = Layout.L if data.startswith(b"P5") else Layout.RGB
    start, stop = head.least - head.most, head.least
    pixels = np.frombuffer(data, np.uint8, head.most, start).reshape(head.height, head.width, layout.channels)
    return Picture(Origin.PNM, layout, pixels, joined(data[:start], data[stop:]))


def build(picture: Picture) -> bytes:
    before, after = halves(picture.metadata)
    return before + picture.pixels.tobytes() + after


def chunks(metadata: bytes) -> list[Chunk]:
    """Comments, and what follows the pixels: nothing that others know."""
    before, after = halves(metadata)
    return [(REST, before + after)] if after or b"#" in before else []
