"""PNG files <-> pictures, to the last pixel and chunk."""

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import CorruptFile
from bfncodec.exact.compiled import compiled
from bfncodec.media.medium import Chunk, Head, check_size, halves, joined
from bfncodec.picture import Layout, Origin, Picture, Pixels
from bfncodec.spans import Data

_MAGIC = b"\x89PNG\r\n\x1a\n"
MAGIC: tuple[bytes, ...] = (_MAGIC,)
ORIGINS: tuple[Origin, ...] = (Origin.PNG, Origin.ARRAY, Origin.PILLOW)
SUFFIXES: tuple[str, ...] = (".png",)
_FIELDS = struct.Struct(">IIBBBBB")  # width, height, depth, colour, packing, filters, interlacing
_COLOURS = {Layout.L: 0, Layout.RGB: 2, Layout.P: 3, Layout.LA: 4, Layout.RGBA: 6}
_LAYOUTS = {colour: layout for layout, colour in _COLOURS.items()}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_UNMODELLED = {b"acTL", b"fcTL", b"fdAT"}
# Chunks that depend on the pixels, but not on how they are packed. Others of those that PNG calls unsafe to copy may
# hold offsets into the packed pixels (iDOT) or signatures over them (caBX, dSIG), which a file packed anew would break.
_OF_PIXELS = {
    *(b"bKGD", b"cHRM", b"cICP", b"cLLI", b"gAMA", b"hIST", b"iCCP", b"mDCV"),
    *(b"pCAL", b"sBIT", b"sCAL", b"sPLT", b"sRGB", b"sTER", b"tIME", b"tRNS"),
}
_CRITICAL = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
# Adam7's passes: first column, first row, steps between columns and rows.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_BLOCK = 1 << 18  # bytes that are filtered at once
_PIECE = 1 << 30  # bytes of a chunk of packed pixels at most
_LEVEL = 4  # of zlib: 6 takes twice as long, for 1 to 2 % of a photograph
_EXACT_LEVEL = 6  # the same without filters

Bytes = NDArray[Any]  # uint8


def head(start: bytes, data: Data) -> Head | None:
    if len(start) < 33 or start[8:16] != b"\0\0\0\x0dIHDR":
        return None
    width, height, depth, colour, packing, filters, interlacing = _FIELDS.unpack_from(start, 16)
    if depth not in _DEPTHS.get(colour, ()) or packing or filters or interlacing > 1 or not width or not height:
        return None
    return Head(width, height, 0, 2 * height * _row_bytes(width * _LAYOUTS[colour].channels, depth))


def parse(data: bytes, head: Head, max_pixels: int | None) -> Picture | None:
    """None unless every chunk and the packed pixels are in order, and the chunks bear other pixels' packing."""
    known = _chunks(data)
    if known is None:
        return None
    kinds = [kind for kind, _ in known]
    body = [chunk for chunk in known if chunk[0] == b"IDAT"]
    if not body or kinds.count(b"IHDR") != 1 or not _kept_whole(kinds):
        return None
    first = kinds.index(b"IDAT")
    if known[first : first + len(body)] != body:
        return None
    check_size(head, max_pixels)
    *_, depth, colour, _, _, interlaced = _FIELDS.unpack(known[0][1])
    layout = _LAYOUTS[colour]
    if layout is Layout.P and not _has_palette(known[:first]):
        return None
    stream = b"".join(content for _, content in body)
    pixels = _pixels(stream, (head.height, head.width, layout.channels), depth, bool(interlaced))
    if pixels is None:
        return None
    metadata = joined(packed(known[1:first]), packed(known[first + len(body) : -1]))
    return Picture(Origin.PNG, layout, pixels, metadata, depth)


def build(picture: Picture) -> bytes:
    """A PNG of the same pixels, with the chunks that the file had."""
    filtered = picture.depth >= 8 and picture.layout is not Layout.P
    return written(picture, _LEVEL if filtered else _EXACT_LEVEL, filtered=filtered)


def written(picture: Picture, level: int, *, filtered: bool = False) -> bytes:
    """`build` with a level of zlib, with filters or without."""
    before, after = map(_unpacked, halves(picture.metadata))
    pixels, depth = _storable(picture)
    height, width, _ = pixels.shape
    header = _FIELDS.pack(width, height, depth, _COLOURS[picture.layout], 0, 0, 0)
    packed = _squeezed(pixels, depth, filtered=filtered, level=level)
    body = [(b"IDAT", packed[start : start + _PIECE]) for start in range(0, len(packed), _PIECE)]
    return _png([(b"IHDR", header), *before, *body, *after])


def chunks(metadata: bytes) -> list[Chunk]:
    """All but those of the pixels."""
    before, after = halves(metadata)
    return [*_unpacked(before), *_unpacked(after)]


def _chunks(data: bytes) -> list[Chunk] | None:
    """Type and content of every PNG chunk; None unless all is in order."""
    chunks = []
    position = len(_MAGIC)
    while position < len(data):
        if position + 12 > len(data):
            return None
        length, kind = struct.unpack_from(">I4s", data, position)
        content = data[position + 8 : position + 8 + length]
        check = data[position + 8 + length : position + 12 + length]
        if len(check) < 4 or check != zlib.crc32(kind + content).to_bytes(4, "big"):
            return None
        chunks.append((kind, content))
        position += 12 + length
        if kind == b"IEND":
            break
    return chunks if position == len(data) and chunks and chunks[-1] == (b"IEND", b"") else None


def _png(chunks: list[Chunk]) -> bytes:
    """The PNG file of chunks, IEND left out."""
    out = bytearray(_MAGIC)
    for kind, content in [*chunks, (b"IEND", b"")]:
        out += struct.pack(">I", len(content)) + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")
    return bytes(out)


def _kept_whole(kinds: list[bytes]) -> bool:
    """True if chunks of these kinds mean the same around pixels that are packed anew."""
    critical = {kind for kind in kinds if not kind[0] & 32}
    unsafe = {kind for kind in kinds if not kind[3] & 32} - critical
    return critical <= _CRITICAL and unsafe <= _OF_PIXELS and not _UNMODELLED & set(kinds)


def _has_palette(chunks: list[Chunk]) -> bool:
    """True if there is one palette, and it is whole. Pixels may be beyond its end: they are black."""
    palettes = [content for kind, content in chunks if kind == b"PLTE"]
    return len(palettes) == 1 and 0 < len(palettes[0]) <= 768 and len(palettes[0]) % 3 == 0


def _row_bytes(values: int, depth: int) -> int:
    """Bytes of a row, filter included."""
    return 1 + -(-values * depth // 8)


def _pixels(packed: bytes, shape: tuple[int, int, int], depth: int, interlaced: bool) -> Pixels | None:
    """Pixels [height, width, channels]; None unless `packed` has their rows exactly, with known filters, their
    checksum, and nothing after it. Others are less strict: they fill what is missing with zeros and drop what is too
    much.
    """
    height, width, channels = shape
    places = []
    for left, top, across, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -((left - width) // across), -((top - height) // down)
        if columns > 0 and rows > 0:
            places.append(((left, top, across, down), (rows, columns, channels)))
    size = sum(rows * _row_bytes(columns * channels, depth) for _, (rows, columns, _) in places)
    unpacker = zlib.decompressobj()
    try:
        raw = np.frombuffer(unpacker.decompress(packed, size + 1), np.uint8)
    except zlib.error:
        return None
    if len(raw) != size or not unpacker.eof or unpacker.unused_data:
        return None
    parts = []
    for _, (rows, columns, _) in places:
        count = rows * _row_bytes(columns * channels, depth)
        lines, raw = raw[:count].reshape(rows, -1), raw[count:]
        if lines[:, 0].max() > 4:
            return None
        parts.append(_unfiltered(lines, max(channels * depth // 8, 1)))
    if not interlaced:
        return _values(parts[0], places[0][1], depth)
    pixels = np.zeros(shape, np.uint8 if depth <= 8 else np.uint16)
    for ((left, top, across, down), small), lines in zip(places, parts, strict=True):
        pixels[top::down, left::across] = _values(lines, small, depth)
    return pixels


def _unfiltered(lines: Bytes, step: int) -> Bytes:
    """Bytes [rows, length] of filtered rows [rows, 1 + length] of pixels of `step` bytes."""
    if not lines[:, 0].any():
        return lines[:, 1:]
    rows = np.empty((len(lines), lines.shape[1] - 1), np.uint8)
    _undo(lines, step, rows)
    return rows


@compiled
def _undo(lines: Bytes, step: int, out: Bytes) -> None:
    for row in range(len(lines)):
        kind = int(lines[row, 0])
        for at in range(out.shape[1]):
            left = int(out[row, at - step]) if at >= step else 0
            above = int(out[row - 1, at]) if row else 0
            guess = 0
            if kind == 1:
                guess = left
            elif kind == 2:
                guess = above
            elif kind == 3:
                guess = left + above >> 1
            elif kind == 4:
                corner = int(out[row - 1, at - step]) if row and at >= step else 0
                to_left, to_above, to_corner = abs(above - corner), abs(left - corner), abs(left + above - 2 * corner)
                guess = above if to_above <= to_corner else corner
                if to_left <= to_above and to_left <= to_corner:
                    guess = left
            out[row, at] = int(lines[row, at + 1]) + guess & 255


def _values(lines: Bytes, shape: tuple[int, int, int], depth: int) -> Pixels:
    """Pixels of a shape from rows of bytes."""
    rows, columns, channels = shape
    if depth == 16:
        return np.ascontiguousarray(lines).view(">u2").astype(np.uint16).reshape(shape)
    if depth < 8:
        shifts = np.arange(8 - depth, -1, -depth, dtype=np.uint8)
        lines = (lines[:, :, None] >> shifts & ((1 << depth) - 1)).reshape(rows, -1)[:, : columns * channels]
    return np.ascontiguousarray(lines).reshape(shape)


def _storable(picture: Picture) -> tuple[Pixels, int]:
    """Pixels and their depth as a PNG can have them; other depths are brought to the next one, brightness kept."""
    depth, depths = picture.depth, _DEPTHS[_COLOURS[picture.layout]]
    if depth in depths:
        return picture.pixels, depth
    if picture.layout is Layout.P:
        raise CorruptFile(f"the image has a palette and {depth} bits")
    wanted = next(one for one in depths if one >= depth)
    wide = picture.pixels.astype(np.uint32) * ((1 << wanted) - 1) // ((1 << depth) - 1)
    return wide.astype(np.uint8 if wanted == 8 else np.uint16), wanted


def _squeezed(pixels: Pixels, depth: int, *, filtered: bool, level: int) -> bytes:
    """What the chunks of pixels hold."""
    rows: Bytes = pixels.reshape(len(pixels), -1)
    if depth == 16:
        rows = rows.astype(">u2").view(np.uint8)
    elif depth < 8:
        shifts = np.arange(8 - depth, -1, -depth, dtype=np.uint8)
        rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % len(shifts)))).reshape(len(rows), -1, len(shifts))
        rows = np.bitwise_or.reduce(rows << shifts, axis=2)
    packer = zlib.compressobj(level, strategy=zlib.Z_FILTERED if filtered else zlib.Z_DEFAULT_STRATEGY)
    packed, above = [], np.zeros_like(rows[:1])
    count = max(_BLOCK // rows.shape[1], 1)
    for start in range(0, len(rows), count):
        own = rows[start : start + count]
        if filtered:
            lines = _filtered(own, np.concatenate([above, own[:-1]]), max(pixels.shape[2] * depth // 8, 1))
            above = own[-1:]
        else:
            lines = np.pad(own, ((0, 0), (1, 0)))
        packed.append(packer.compress(lines.tobytes()))
    return b"".join(packed) + packer.flush()


def _filtered(rows: Bytes, above: Bytes, step: int) -> Bytes:
    """Rows [rows, 1 + length], each with the filter whose bytes are smallest as signed numbers."""
    left, corner = (np.pad(one, ((0, 0), (step, 0)))[:, : one.shape[1]] for one in (rows, above))
    mean = ((left.astype(np.uint16) + above) >> 1).astype(np.uint8)
    across, down = above.astype(np.int16) - corner, left.astype(np.int16) - corner  # from the estimate to left, above
    to_left, to_above, to_corner = abs(across), abs(down), abs(across + down)
    nearest = np.where(to_above <= to_corner, above, corner)
    nearest = np.where((to_left <= to_above) & (to_left <= to_corner), left, nearest)
    tried = np.stack([rows, rows - left, rows - above, rows - mean, rows - nearest], axis=1)
    best = np.minimum(tried, -tried).sum(axis=2, dtype=np.int64).argmin(axis=1)
    chosen = np.take_along_axis(tried, best[:, None, None], axis=1)[:, 0]
    return np.concatenate([best[:, None].astype(np.uint8), chosen], axis=1)


def packed(chunks: list[Chunk]) -> bytes:
    """Chunks as metadata have them, before the pixels or after them."""
    return b"".join(struct.pack(">I", len(content)) + kind + content for kind, content in chunks)


def _unpacked(packed: bytes) -> list[Chunk]:
    chunks = []
    position = 0
    while position < len(packed):
        if position + 8 > len(packed):
            raise CorruptFile("the image's metadata is damaged")
        length, kind = struct.unpack_from(">I4s", packed, position)
        chunks.append((kind, packed[position + 8 : position + 8 + length]))
        position += 8 + length
    if position != len(packed):
        raise CorruptFile("the image's metadata is damaged")
    return chunks
