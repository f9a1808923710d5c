"""What image files hold: a small PNG reader of its own for all depths, and comparisons of files by content."""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bfncodec.exact.compiled import compiled

_MAGIC = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Adam7's passes: first column, first row, steps between columns and rows.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@dataclass(frozen=True)
class Raster:
    """A PNG's picture: samples uint16 [height, width, channels], and its other chunks in order, IDAT left out."""

    depth: int
    colour: int
    samples: NDArray[np.uint16]
    chunks: list[tuple[bytes, bytes]]

    def raw(self) -> bytes:
        """Rows one after the other, packed as a PNG packs them, without filters; then palette and transparency."""
        rows = self.samples.reshape(len(self.samples), -1)
        if self.depth == 16:
            packed = rows.astype(">u2").tobytes()
        elif self.depth == 8:
            packed = rows.astype(np.uint8).tobytes()
        else:
            bits = np.unpackbits(rows.astype(np.uint8)[..., None], axis=-1)[..., 8 - self.depth :]
            packed = np.packbits(bits.reshape(len(rows), -1), axis=1).tobytes()
        return packed + b"".join(content for kind, content in self.chunks if kind in (b"PLTE", b"tRNS"))

    def rgba(self) -> NDArray[np.uint16]:
        """Colours as they are shown, [height, width, 4], 16 bits each."""
        chunks = dict(self.chunks)
        samples, see_through = self.samples, chunks.get(b"tRNS")
        opaque = np.full(samples.shape[:2], 0xFFFF, np.uint16)
        if self.colour == 3:
            palette = np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3).astype(np.uint16)
            alphas = np.full(len(palette), 255, np.uint16)
            if see_through:
                alphas[: len(see_through)] = np.frombuffer(see_through, np.uint8)
            return np.column_stack([palette, alphas])[samples[..., 0]] * np.uint16(257)
        if see_through and self.colour in (0, 2):
            opaque[(samples == np.frombuffer(see_through, ">u2")).all(axis=-1)] = 0
        colours = samples * np.uint16(0xFFFF // ((1 << self.depth) - 1))
        if self.colour in (4, 6):
            opaque, colours = colours[..., -1], colours[..., :-1]
        colours = np.broadcast_to(colours, (*opaque.shape, 3))
        return np.concatenate([colours, opaque[..., None]], axis=-1)


def read(path: Path) -> Raster:
    """The picture of a PNG file (of an animation, the default image)."""
    chunks, packed, header = [], b"", b""
    data = path.read_bytes()
    if not data.startswith(_MAGIC):
        raise RuntimeError(f"{path} is not a PNG")
    at = len(_MAGIC)
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        at += 12 + length
        if kind == b"IHDR":
            header = content
        elif kind == b"IDAT":
            packed += content
        else:
            chunks.append((kind, content))
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    channels = _CHANNELS[colour]
    rows = np.frombuffer(zlib.decompress(packed), np.uint8)
    samples = np.zeros((height, width, channels), np.uint16)
    start = 0
    for left, top, across, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        part = samples[top::down, left::across]
        if part.size:
            length = (part.shape[1] * channels * depth + 7) // 8
            filtered = rows[start : start + part.shape[0] * (1 + length)].reshape(part.shape[0], 1 + length)
            part[:] = _unpacked(_unfiltered(filtered, max(1, channels * depth // 8)), depth, part.shape)
            start += filtered.size
    return Raster(depth, colour, samples, chunks)


def frames(path: Path) -> list[NDArray[np.uint8]]:
    """Frames of an animation, RGBA [height, width, 4], as Pillow shows them."""
    with Image.open(path) as image:
        shown = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            shown.append(np.asarray(image.convert("RGBA")))
    return shown


def same_picture(one: Path, other: Path) -> bool:
    """True if two PNG files show the same colours, whatever their depth and colour type.

    djxl 0.7 writes some grey pictures of 1 to 4 bits as 8 bits, values unscaled: nothing is lost.
    """
    first, second = read(one), read(other)
    grey = first.colour == second.colour == 0 and np.array_equal(first.samples, second.samples)
    return grey or np.array_equal(first.rgba(), second.rgba())


def same_animation(one: Path, other: Path) -> bool:
    """True if two animations show the same frames."""
    first, second = frames(one), frames(other)
    return len(first) == len(second) and all(map(np.array_equal, first, second))


def same_file(one: Path, other: Path) -> bool:
    """True if two files are the same bytes, or PNG files of the same depth, colour type, samples and other chunks."""
    if one.read_bytes() == other.read_bytes():
        return True
    if one.suffix != ".png":
        return False
    first, second = read(one), read(other)
    kept = (first.depth, first.colour, first.chunks) == (second.depth, second.colour, second.chunks)
    return kept and np.array_equal(first.samples, second.samples)


def _unpacked(rows: NDArray[np.uint8], depth: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """Samples [height, width, channels] of rows of bytes."""
    height, width, channels = shape
    if depth == 16:
        return rows.view(">u2").reshape(shape)
    if depth == 8:
        return rows.reshape(shape)
    bits = np.unpackbits(rows, axis=1).reshape(height, -1, depth)
    samples = np.packbits(bits, axis=-1)[..., 0] >> (8 - depth)
    return samples[:, : width * channels].reshape(shape)


def _unfiltered(rows: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """Rows without PNG's filters; step: bytes of a pixel, at least one."""
    out = np.zeros((rows.shape[0] + 1, rows.shape[1] - 1 + step), np.uint8)  # a row above, a pixel to the left
    _unfilter(rows, step, out)
    return out[1:, step:].copy()


@compiled
def _unfilter(rows: NDArray[np.uint8], step: int, out: NDArray[np.uint8]) -> None:
    height, length = rows.shape[0], rows.shape[1] - 1
    for y in range(height):
        for x in range(length):
            left, above = np.int64(out[y + 1, x]), np.int64(out[y, x + step])
            guess = 0
            if rows[y, 0] == 1:
                guess = left
            elif rows[y, 0] == 2:
                guess = above
            elif rows[y, 0] == 3:
                guess = (left + above) // 2
            elif rows[y, 0] == 4:
                corner = np.int64(out[y, x])
                to_left, to_above = abs(above - corner), abs(left - corner)
                to_corner = abs(left + above - 2 * corner)
                if to_left <= to_above and to_left <= to_corner:
                    guess = left
                else:
                    guess = above if to_above <= to_corner else corner
            out[y + 1, x + step] = (np.int64(rows[y, x + 1]) + guess) & 255
