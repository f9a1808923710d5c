"""TIFF files whose first image is uncompressed and in one piece <-> pictures, to the last byte."""

import struct
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import CorruptFile
from bfncodec.media.medium import REST, Chunk, Head, check_size, halves, joined
from bfncodec.picture import Origin, Picture, of_values
from bfncodec.spans import Data, cut

MAGIC: tuple[bytes, ...] = (b"II*\0", b"MM\0*")
ORIGINS: tuple[Origin, ...] = (Origin.TIFF,)
SUFFIXES: tuple[str, ...] = (".tif", ".tiff")
_ENTRY_LIMIT = 1 << 10
_STRIP_LIMIT = 1 << 20
_TYPES = {1: "u1", 3: "u2", 4: "u4"}
_FIRST = 8  # bytes of a file's header
# Tags, and what they say where they are missing.
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _COLOURS, _ORDER, _OFFSETS = 256, 257, 258, 259, 262, 266, 273
_SAMPLES, _COUNTS, _PLANES, _FORMAT = 277, 279, 284, 339
_DEFAULTS = {_BITS: 1, _COMPRESSION: 1, _ORDER: 1, _SAMPLES: 1, _PLANES: 1, _FORMAT: 1}
_SINGLE = (_WIDTH, _HEIGHT, _COMPRESSION, _COLOURS, _ORDER, _SAMPLES, _PLANES)
_CHANNELS = {1: (1, 2), 2: (3, 4)}  # of black that is 0, and of colours
_UNSIGNED, _SIGNED = 1, 2

Values = NDArray[np.int64]


class _Layout(NamedTuple):
    """Where the pixels are, and how."""

    width: int
    height: int
    channels: int
    dtype: str
    start: int

    @property
    def size(self) -> int:
        return self.width * self.height * self.channels * np.dtype(self.dtype).itemsize


def head(start: bytes, data: Data) -> Head | None:
    layout = _layout(data)
    return Head(layout.width, layout.height, layout.start + layout.size, layout.size) if layout else None


def parse(data: bytes, head: Head, max_pixels: int | None) -> Picture | None:
    check_size(head, max_pixels)
    layout = _layout(data)
    assert layout is not None
    start, stop = layout.start, layout.start + layout.size
    values = np.frombuffer(data[start:stop], layout.dtype).reshape(layout.height, layout.width, layout.channels)
    return of_values(Origin.TIFF, values, joined(data[:start], data[stop:]))


def build(picture: Picture) -> bytes:
    before, after = halves(picture.metadata)
    if not before.startswith(MAGIC):
        raise CorruptFile("the image's metadata is damaged")
    values = picture.values()
    return before + values.astype(values.dtype.newbyteorder(_byte_order(before)), copy=False).tobytes() + after


def chunks(metadata: bytes) -> list[Chunk]:
    """All other tags: nothing that others know."""
    return [(REST, metadata)]


def _byte_order(data: bytes) -> Literal["<", ">"]:
    return "<" if data[:1] == b"I" else ">"


def _layout(data: Data) -> _Layout | None:
    """What the first image's tags say; None unless its pixels are bytes or words that follow each other."""
    tags = _tags(data)
    if tags is None or any(tag not in tags or len(tags[tag]) != 1 for tag in _SINGLE):
        return None
    width, height, compression, colours, bit_order, channels, planes = (int(tags[tag][0]) for tag in _SINGLE)
    bits, kind = (set(tags[tag].tolist()) for tag in (_BITS, _FORMAT))
    known = kind == {_UNSIGNED} and bits in ({8}, {16}) or kind == {_SIGNED} and bits == {16}
    if not known or channels not in _CHANNELS.get(colours, ()) or not width or not height:
        return None
    if compression != 1 or bit_order != 1 or planes != 1 and channels > 1:
        return None
    offsets, counts = tags.get(_OFFSETS), tags.get(_COUNTS)
    if offsets is None or counts is None or len(offsets) != len(counts):
        return None
    order = _byte_order(bytes(cut(data, 0, _FIRST)))
    dtype = "|u1" if bits == {8} else order + ("u2" if kind == {_UNSIGNED} else "i2")
    layout = _Layout(width, height, channels, dtype, int(offsets[0]))
    whole = np.array_equal(offsets[1:], (offsets + counts)[:-1]) and counts.sum() == layout.size
    return layout if whole and _FIRST <= layout.start <= len(data) - layout.size else None


def _tags(data: Data) -> dict[int, Values] | None:
    """Whole numbers of the first image's tags, defaults included; None if they are damaged."""
    first = bytes(cut(data, 0, min(_FIRST, len(data))))
    if len(first) < _FIRST:
        return None
    order = _byte_order(first)
    (place,) = struct.unpack_from(order + "I", first, 4)
    if place > len(data) - 2:
        return None
    (count,) = struct.unpack(order + "H", bytes(cut(data, place, 2)))
    if count > _ENTRY_LIMIT or place + 2 + 12 * count > len(data):
        return None
    entries = bytes(cut(data, place + 2, 12 * count))
    tags = {tag: np.array([value]) for tag, value in _DEFAULTS.items()}
    for at in range(0, len(entries), 12):
        tag, kind, many = struct.unpack_from(order + "HHI", entries, at)
        if tag not in (*_DEFAULTS, *_SINGLE, _OFFSETS, _COUNTS):
            continue
        if kind not in _TYPES or not 0 < many <= _STRIP_LIMIT:
            return None
        dtype = np.dtype(order + _TYPES[kind])
        where, size = place + 2 + at + 8, many * dtype.itemsize
        if size > 4:
            (where,) = struct.unpack_from(order + "I", entries, at + 8)
        if where > len(data) - size:
            return None
        tags[tag] = np.frombuffer(bytes(cut(data, where, size)), dtype).astype(np.int64)
    return tags
