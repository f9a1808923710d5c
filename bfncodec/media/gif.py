"""GIF files <-> pictures of palette numbers, frames below each other, to the last byte.

A frame fills a rectangle of the screen; what is around it is as in the frame before. Metadata: the file without its
packed pixels (sub-blocks and the zero after them), and notes: the usual distance between Clears, 255 less the usual
size of a sub-block, and for every frame first its sub-blocks, then its LZW stream (`lzw`). Sub-blocks are a number, 0
if all but the last are of the usual size, else how many they are, and then their sizes, a byte each.
"""

import struct
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.container import varint
from bfncodec.errors import CorruptFile
from bfncodec.media import lzw
from bfncodec.media.lzw import Freedom, Notes
from bfncodec.media.medium import REST, Chunk, Head, halves, joined
from bfncodec.picture import Layout, Origin, Picture
from bfncodec.spans import Data

MAGIC: tuple[bytes, ...] = (b"GIF87a", b"GIF89a")
ORIGINS: tuple[Origin, ...] = (Origin.GIF,)
SUFFIXES: tuple[str, ...] = (".gif",)
_FIRST = 13  # bytes of header and screen
_SCREEN = struct.Struct("<HHBBB")  # width, height, flags, background, aspect
_FRAME = struct.Struct("<HHHHB")  # left, top, width, height, flags
_PALETTE, _INTERLACED = 0x80, 0x40  # flags
_FRAME_LIMIT = 1 << 16
_FILLED = 8  # pixels of the picture for each that the file has, at most
_LARGEST = 255  # bytes of a sub-block
# First rows of interlaced frames, and steps between them.
_PASSES = ((0, 8), (4, 8), (2, 4), (1, 2))

Bytes = NDArray[np.uint8]


class _Frame(NamedTuple):
    """A frame, and where its packed pixels lie in the file, or would."""

    left: int
    top: int
    width: int
    height: int
    interlaced: bool
    bits: int  # of a value
    palette: bytes
    transparent: int  # a number of the palette, or -1
    place: int

    def rows(self) -> NDArray[np.int64]:
        """Rows of the rectangle in the order of the file."""
        if not self.interlaced:
            return np.arange(self.height)
        return np.concatenate([np.arange(first, self.height, step) for first, step in _PASSES])

    def part(self, plane: Bytes) -> Bytes:
        """Its rectangle of the screen, a view."""
        return plane[self.top : self.top + self.height, self.left : self.left + self.width]


class _Packed(NamedTuple):
    """What the sub-blocks of a frame hold, and their sizes."""

    stream: bytes
    sizes: bytes


def head(start: bytes, data: Data) -> Head | None:
    if len(start) < _FIRST:
        return None
    width, height, *_ = _SCREEN.unpack_from(start, 6)
    return Head(width, height, _FIRST, len(data)) if width and height else None


def parse(data: bytes, head: Head, max_pixels: int | None) -> Picture | None:
    """None for files without frames, with frames beyond the screen, and with more pixels than allowed."""
    found = _found(data)
    frames, area = len(found), head.width * head.height
    filled = sum(frame.width * frame.height for frame, _ in found)
    if not 0 < frames <= _FRAME_LIMIT or frames * area > _FILLED * filled or not found[0][0].palette:
        return None
    if max_pixels is not None and frames * area > max_pixels:
        return None
    for frame, packed in found:
        across, down = frame.left + frame.width, frame.top + frame.height
        enough = frame.width * frame.height <= len(packed.stream) << 12
        if across > head.width or down > head.height or not 1 <= frame.bits <= 8 or not enough:
            return None
    planes, streams = np.zeros((frames, head.height, head.width), np.uint8), []
    for number, (frame, packed) in enumerate(found):
        parsed = lzw.parse(packed.stream, frame.width * frame.height, lzw.gif(frame.bits))
        if parsed is None:
            return None
        values, freedom = parsed
        planes[number] = planes[max(number - 1, 0)]
        frame.part(planes[number])[frame.rows()] = values.reshape(frame.height, frame.width)
        streams.append(freedom)
    metadata = joined(_without_pixels(data, found), _noted([packed.sizes for _, packed in found], streams))
    return Picture(Origin.GIF, Layout.P, planes.reshape(-1, head.width, 1), metadata, frames=frames)


def build(picture: Picture) -> bytes:
    rest, noted = halves(picture.metadata)
    notes = Notes(noted)
    period, largest = notes.number(), _LARGEST - notes.number()
    width, planes = picture.pixels.shape[1], picture.pixels.reshape(picture.frames, -1, picture.pixels.shape[1])
    frames = list(islice(_frames(rest, packed=False), min(picture.frames, _FRAME_LIMIT)))
    if len(frames) < picture.frames or largest < 1:
        raise CorruptFile("the image's metadata is damaged")
    out, done = [], 0
    for plane, frame in zip(planes, frames, strict=True):
        if frame.left + frame.width > width or frame.top + frame.height > len(plane) or not 1 <= frame.bits <= 8:
            raise CorruptFile("the image's metadata is damaged: it has a frame beyond the screen")
        sizes = notes.take(notes.number())
        values = frame.part(plane)[frame.rows()].reshape(-1)
        stream = notes.stream(values, lzw.gif(frame.bits), period)
        out += [rest[done : frame.place], _blocks(stream, sizes or _usual(len(stream), largest))]
        done = frame.place
    return b"".join([*out, rest[done:]])


def chunks(metadata: bytes) -> list[Chunk]:
    """Colours of the first frame, and all else together."""
    rest, _ = halves(metadata)
    frame = next(_frames(rest, packed=False), None)
    if frame is None:
        return [(REST, rest)]
    seen = [(b"tRNS", b"\xff" * frame.transparent + b"\0")] if 0 <= frame.transparent < len(frame.palette) // 3 else []
    return [(b"PLTE", frame.palette), *seen, (REST, rest)]


def _found(data: bytes) -> list[tuple[_Frame, _Packed]]:
    """All frames that are whole, and their packed pixels."""
    found = []
    for frame in islice(_frames(data, packed=True), _FRAME_LIMIT + 1):
        end = _after(data, frame.place)
        assert end is not None
        parts, sizes, at = [], bytearray(), frame.place
        while data[at]:
            sizes.append(data[at])
            parts.append(data[at + 1 : at + 1 + data[at]])
            at += 1 + data[at]
        found.append((frame, _Packed(b"".join(parts), bytes(sizes))))
    return found


def _frames(data: bytes, *, packed: bool) -> Iterator[_Frame]:
    """Frames up to the first thing that is neither a whole frame nor an extension. packed: whether pixels are there."""
    if len(data) < _FIRST or not data.startswith(MAGIC):
        return
    *_, flags, _, _ = _SCREEN.unpack_from(data, 6)
    size = _palette_bytes(flags)
    palette, at, transparent = data[_FIRST : _FIRST + size], _FIRST + size, -1
    while at < len(data):
        if data[at : at + 1] == b"!":
            if data[at : at + 3] == b"!\xf9\x04" and at + 7 < len(data):
                transparent = data[at + 6] if data[at + 3] & 1 else -1
            end = _after(data, at + 2)
        elif data[at : at + 1] == b"," and at + 10 <= len(data):
            left, top, width, height, flags = _FRAME.unpack_from(data, at + 1)
            size = _palette_bytes(flags)
            own, start = data[at + 10 : at + 10 + size], at + 10 + size + 1
            end = _after(data, start) if packed else start
            if end is None or start > len(data) or not width or not height:
                return
            how = bool(flags & _INTERLACED), data[start - 1], own or palette, transparent
            yield _Frame(left, top, width, height, *how, start)
            transparent = -1
        else:
            return
        if end is None:
            return
        at = end


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & _PALETTE else 0


def _after(data: bytes, at: int) -> int | None:
    """Where sub-blocks end that begin at a place; None if the data end first."""
    while at < len(data):
        if not data[at]:
            return at + 1
        at += 1 + data[at]
    return None


def _without_pixels(data: bytes, found: list[tuple[_Frame, _Packed]]) -> bytes:
    parts, done = [], 0
    for frame, packed in found:
        parts.append(data[done : frame.place])
        done = frame.place + len(packed.stream) + len(packed.sizes) + 1
    return b"".join([*parts, data[done:]])


def _noted(sizes: list[bytes], streams: list[Freedom]) -> bytes:
    """Notes of all frames; what is as usual at their end is left out."""
    several = Counter(max(one) for one in sizes if len(one) > 1)
    largest = max(several, key=lambda one: (several[one], one), default=_LARGEST)
    period = lzw.usual_period(streams)
    notes = [varint(period), varint(_LARGEST - largest)]
    for own, freedom in zip(sizes, streams, strict=True):
        usual = own == _usual(sum(own), largest)
        notes += [b"\0" if usual else varint(len(own)) + own, lzw.noted(freedom, period)]
    while notes and notes[-1] == b"\0":
        notes.pop()
    return b"".join(notes)


def _usual(size: int, largest: int) -> bytes:
    """Sizes of usual sub-blocks."""
    rest = size % largest
    return bytes([largest]) * (size // largest) + (bytes([rest]) if rest else b"")


def _blocks(stream: bytes, sizes: bytes) -> bytes:
    """Sub-blocks, and the zero after them; CorruptFile if the sizes are others than the stream's."""
    if sum(sizes) != len(stream) or not all(sizes):
        raise CorruptFile("the image's metadata is damaged")
    out, at = bytearray(), 0
    for size in sizes:
        out.append(size)
        out += stream[at : at + size]
        at += size
    return bytes(out) + b"\0"
