"""TIFF files whose first image is in one piece, uncompressed or LZW <-> pictures, to the last byte.

Metadata of LZW files begin with COMPRESSED, the number of bytes of notes, and notes: rows of a strip, the usual
distance between Clears, 1 if values are differences from the pixel to the left, else 0, then where the file has the
offsets of its strips, and how many bytes each, and the same of their sizes (0, 0 if they are kept; otherwise the file
around the pixels has zeros there), and notes of each strip (`lzw`).
"""

import struct
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.container import varint
from bfncodec.errors import CorruptFile
from bfncodec.media import lzw
from bfncodec.media.lzw import Notes
from bfncodec.media.medium import REST, Chunk, Head, check_size, halves, joined
from bfncodec.picture import Origin, Picture, Pixels, of_values
from bfncodec.spans import Data, cut

MAGIC: tuple[bytes, ...] = (b"II*\0", b"MM\0*")
ORIGINS: tuple[Origin, ...] = (Origin.TIFF,)
SUFFIXES: tuple[str, ...] = (".tif", ".tiff")
COMPRESSED = b"LZW"  # how metadata begin
_ENTRY_LIMIT = 1 << 10
_STRIP_LIMIT = 1 << 20
_LZW_STRIP_LIMIT = 1 << 16
_SIZES = {1: 1, 3: 2, 4: 4}  # bytes of numbers by their type
_FIRST = 8  # bytes of a file's header
# Tags, and what they say where they are missing.
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _COLOURS, _ORDER, _OFFSETS = 256, 257, 258, 259, 262, 266, 273
_SAMPLES, _ROWS, _COUNTS, _PLANES, _PREDICTOR, _FORMAT = 277, 278, 279, 284, 317, 339
_DEFAULTS = {_BITS: 1, _COMPRESSION: 1, _ORDER: 1, _SAMPLES: 1, _ROWS: (1 << 32) - 1, _PLANES: 1, _PREDICTOR: 1}
_DEFAULTS |= {_FORMAT: 1}
_SINGLE = (_WIDTH, _HEIGHT, _COMPRESSION, _COLOURS, _ORDER, _SAMPLES, _PLANES)
_PLAIN, _LZW = 1, 5  # compression
_CHANNELS = {1: (1, 2), 2: (3, 4)}  # of black that is 0, and of colours
_UNSIGNED, _SIGNED = 1, 2

Values = NDArray[np.int64]


class _Strips(NamedTuple):
    """LZW streams that follow each other: where they begin, and where the last one ends."""

    bounds: Values
    rows: int
    differences: bool


class _Layout(NamedTuple):
    """Where the pixels are, and how."""

    width: int
    height: int
    channels: int
    dtype: str
    start: int
    strips: _Strips | None = None  # None: uncompressed

    @property
    def row(self) -> int:
        """Bytes of a row."""
        return self.width * self.channels * np.dtype(self.dtype).itemsize

    @property
    def size(self) -> int:
        return self.height * self.row

    @property
    def stop(self) -> int:
        """Where the file's pixels end."""
        return self.start + self.size if self.strips is None else int(self.strips.bounds[-1])


def head(start: bytes, data: Data) -> Head | None:
    layout = _layout(data)
    if layout is None:
        return None
    return Head(layout.width, layout.height, layout.stop, max(layout.size, layout.stop - layout.start))


def parse(data: bytes, head: Head, max_pixels: int | None) -> Picture | None:
    check_size(head, max_pixels)
    layout = _layout(data)
    assert layout is not None
    if layout.strips is not None:
        return _parse_strips(data, layout, layout.strips)
    values = _values(data[layout.start : layout.stop], layout)
    return of_values(Origin.TIFF, values, joined(data[: layout.start], data[layout.stop :]))


def build(picture: Picture) -> bytes:
    before, after = halves(picture.metadata)
    if before.startswith(COMPRESSED):
        return _build_strips(picture, before[len(COMPRESSED) :], after)
    if not before.startswith(MAGIC):
        raise CorruptFile("the image's metadata is damaged")
    return before + _as_stored(picture.values(), before) + after


def _values(stored: bytes | Pixels, layout: _Layout) -> Pixels:
    return np.frombuffer(stored, layout.dtype).reshape(layout.height, layout.width, layout.channels)


def _as_stored(values: Pixels, file: bytes) -> bytes:
    """The inverse, in the byte order of a file."""
    return values.astype(values.dtype.newbyteorder(_byte_order(file)), copy=False).tobytes()


def _parse_strips(data: bytes, layout: _Layout, strips: _Strips) -> Picture | None:
    stored, streams = np.empty(layout.size, np.uint8), []
    step = layout.row * strips.rows
    for number, first in enumerate(range(0, layout.size, step)):
        part = stored[first : first + step]
        parsed = lzw.parse(data[strips.bounds[number] : strips.bounds[number + 1]], len(part), lzw.TIFF)
        if parsed is None:
            return None
        part[:] = parsed[0]
        streams.append(parsed[1])
    values = _values(stored, layout)
    if strips.differences:
        numbers = values.astype(f"u{values.dtype.itemsize}")
        values = np.cumsum(numbers, axis=1, dtype=numbers.dtype).view(values.dtype.newbyteorder("="))
    file, places = _without_numbers(data, layout, strips)
    period = lzw.usual_period(streams)
    numbers_first = [strips.rows, period, int(strips.differences), *places]
    notes = [varint(number) for number in numbers_first] + [lzw.noted(one, period) for one in streams]
    while notes[-1] == b"\0":
        notes.pop()
    noted = b"".join(notes)
    before = COMPRESSED + varint(len(noted)) + noted + file[: layout.start]
    return of_values(Origin.TIFF, values, joined(before, file[layout.stop :]))


def _without_numbers(data: bytes, layout: _Layout, strips: _Strips) -> tuple[bytes, list[int]]:
    """A file with zeros for offsets and sizes of strips, if `_with_numbers` finds them, and where these were."""
    kept = data, [0] * 4
    tags = _entries(data)
    if tags is None or len(strips.bounds) < 3:
        return kept
    (offsets, sized, count), (counts, counted, _) = tags[_OFFSETS], tags[_COUNTS]
    places = [offsets, sized, counts, counted]
    out = bytearray(data)
    for place, size in ((offsets, sized), (counts, counted)):
        if place < layout.stop and place + size * count > layout.start:
            return kept
        out[place : place + size * count] = bytes(size * count)
    try:
        same = _with_numbers(bytes(out), strips.bounds, places) == data
    except CorruptFile:
        same = False
    return (bytes(out), places) if same else kept


def _with_numbers(file: bytes, bounds: Values, places: list[int]) -> bytes:
    """A file with offsets and sizes of its strips; CorruptFile if there is no place for them."""
    out, order = bytearray(file), _byte_order(file)
    for place, size, numbers in zip(places[::2], places[1::2], (bounds[:-1], np.diff(bounds)), strict=True):
        if not place:
            continue
        if size not in (1, 2, 4) or int(numbers.max()) >> 8 * size or place + size * len(numbers) > len(out):
            raise CorruptFile("the image's metadata is damaged")
        out[place : place + size * len(numbers)] = numbers.astype(f"{order}u{size}").tobytes()
    return bytes(out)


def _build_strips(picture: Picture, before: bytes, after: bytes) -> bytes:
    outer = Notes(before)
    notes = Notes(outer.take(outer.number()))
    start = before[outer.position :]
    rows, period, differences, *places = (notes.number() for _ in range(7))
    if not start.startswith(MAGIC) or not rows or -(-len(picture.pixels) // rows) > _LZW_STRIP_LIMIT:
        raise CorruptFile("the image's metadata is damaged")
    values = picture.values()
    if differences:
        numbers = values.view(f"u{values.dtype.itemsize}")
        values = np.concatenate([numbers[:, :1], numbers[:, 1:] - numbers[:, :-1]], axis=1)
    stored = np.frombuffer(_as_stored(values, start), np.uint8).reshape(len(values), -1)
    parts = (stored[first : first + rows].reshape(-1) for first in range(0, len(stored), rows))
    streams = [notes.stream(part, lzw.TIFF, period) for part in parts]
    bounds = np.cumsum([len(start), *map(len, streams)])
    return _with_numbers(b"".join([start, *streams, after]), bounds, places)


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
    if bit_order != 1 or planes != 1 and channels > 1:
        return None
    offsets, counts = tags.get(_OFFSETS), tags.get(_COUNTS)
    if offsets is None or counts is None or len(offsets) != len(counts):
        return None
    order = _byte_order(bytes(cut(data, 0, _FIRST)))
    dtype = "|u1" if bits == {8} else order + ("u2" if kind == {_UNSIGNED} else "i2")
    layout = _Layout(width, height, channels, dtype, int(offsets[0]))
    if compression == _LZW:
        strips = _strips(tags, height)
        layout = layout._replace(strips=strips)
        return layout if strips is not None and _FIRST <= layout.start and layout.stop <= len(data) else None
    whole = np.array_equal(offsets[1:], (offsets + counts)[:-1]) and counts.sum() == layout.size
    whole = whole and compression == _PLAIN
    return layout if whole and _FIRST <= layout.start <= len(data) - layout.size else None


def _strips(tags: dict[int, Values], height: int) -> _Strips | None:
    """LZW strips one after the other; what lies between two of them is taken for the end of the first."""
    offsets, counts, rows, predictor = tags[_OFFSETS], tags[_COUNTS], tags[_ROWS], tags[_PREDICTOR]
    if len(rows) != 1 or len(predictor) != 1 or rows[0] < 1 or int(predictor[0]) not in (1, 2):
        return None
    own = min(int(rows[0]), height)
    bounds = np.append(offsets, offsets[-1] + counts[-1])
    if len(offsets) != -(-height // own) or len(offsets) > _LZW_STRIP_LIMIT:
        return None
    if (counts < 1).any() or (np.diff(bounds) < counts).any():
        return None
    return _Strips(bounds, own, int(predictor[0]) == 2)


def _tags(data: Data) -> dict[int, Values] | None:
    """Whole numbers of the first image's tags, defaults included; None if they are damaged."""
    entries = _entries(data)
    if entries is None:
        return None
    order = _byte_order(bytes(cut(data, 0, 1)))
    tags = {tag: np.array([value]) for tag, value in _DEFAULTS.items()}
    for tag, (place, size, many) in entries.items():
        found = bytes(cut(data, place, size * many))
        tags[tag] = np.frombuffer(found, f"{order}u{size}").astype(np.int64)
    return tags


def _entries(data: Data) -> dict[int, tuple[int, int, int]] | None:
    """Where the first image's tags have their numbers, bytes of each, and how many; None if they are damaged."""
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
    found = {}
    for at in range(0, len(entries), 12):
        tag, kind, many = struct.unpack_from(order + "HHI", entries, at)
        if tag not in (*_DEFAULTS, *_SINGLE, _OFFSETS, _COUNTS):
            continue
        if kind not in _SIZES or not 0 < many <= _STRIP_LIMIT:
            return None
        where, size = place + 2 + at + 8, many * _SIZES[kind]
        if size > 4:
            (where,) = struct.unpack_from(order + "I", entries, at + 8)
        if where > len(data) - size:
            return None
        found[tag] = where, _SIZES[kind], many
    return found
