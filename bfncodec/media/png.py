"""Image files <-> pixels and metadata.

`parse` gives pixels only for files that `build` can make again: PNM and BMP to the last
byte, PNG to the last pixel and chunk. Everything else is left to be coded as bytes.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bfncodec.container import Layout, Source
from bfncodec.errors import CorruptFile, LimitExceeded

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_LAYOUTS = {0: Layout.L, 4: Layout.LA, 2: Layout.RGB, 6: Layout.RGBA}
_UNMODELLED = {b"tRNS", b"acTL", b"fcTL", b"fdAT"}
# Chunks that depend on the pixels, but not on how they are packed. Others of those that PNG calls unsafe to copy may
# hold offsets into the packed pixels (iDOT) or signatures over them (caBX, dSIG), which a file packed anew would break.
_OF_PIXELS = {
    *(b"bKGD", b"cHRM", b"cICP", b"cLLI", b"gAMA", b"hIST", b"iCCP", b"mDCV"),
    *(b"pCAL", b"sBIT", b"sCAL", b"sPLT", b"sRGB", b"sTER", b"tIME"),
}
_CRITICAL = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
# Adam7's passes: first column, first row, steps between columns and rows.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_LENGTHS = struct.Struct("<II")
METADATA_LIMIT = 1 << 26  # of one picture; files with more are coded as bytes
HEAD = 1 << 16  # bytes at a file's start that `may_be` wants
Chunk = tuple[bytes, bytes]  # type and content of a part of a PNG


@dataclass
class Picture:
    """Pixels uint8 [height, width, channels], and what else `build` needs to know."""

    source: Source
    layout: Layout
    pixels: NDArray[np.uint8]
    metadata: bytes = b""


def parse(data: bytes, max_pixels: int) -> Picture | None:
    """The picture in a file's bytes, or None if it has to be coded as bytes.

    LimitExceeded if a file that would be modelled has more than `max_pixels` pixels.
    """
    for magic, parser in ((PNG_MAGIC, _parse_png), (b"P5", _parse_pnm), (b"P6", _parse_pnm), (b"BM", _parse_bmp)):
        if data.startswith(magic):
            picture = parser(data, max_pixels)
            return picture if picture is not None and len(picture.metadata) <= METADATA_LIMIT else None
    return None


def may_be(head: bytes, size: int, max_pixels: int) -> bool:
    """True if a large file of `size` bytes, which begins with `head`, is worth reading whole for `parse`.

    LimitExceeded if it has more than `max_pixels` pixels.
    """
    if head.startswith(PNG_MAGIC) and head[12:16] == b"IHDR" and len(head) >= 26:
        width, height, depth, colour = struct.unpack_from(">IIBB", head, 16)
        content, most = 0, 2 * width * height * 4
        likely = depth == 8 and colour in _PNG_LAYOUTS
    elif (match := _pnm_head(head)) is not None:
        width, height = int(match[2]), int(match[3])
        most = content = width * height * (1 if match[1] == b"5" else 3)
        likely = True
    elif head.startswith(b"BM") and len(head) >= 54:
        _, _, width, height, planes, depth, compression = struct.unpack_from("<I I i i H H I", head, 10)
        most = content = -(-3 * width // 4) * 4 * height
        likely = planes == 1 and depth == 24 and not compression and width > 0 and height > 0
    else:
        return False
    if not likely or not content <= size <= most + METADATA_LIMIT + HEAD:
        return False
    _checked_size(width, height, max_pixels)
    return True


def build(picture: Picture) -> bytes:
    """The file that a picture came from (for arrays: a PNG)."""
    if picture.source in (Source.PNM, Source.BMP):
        return _joined(picture)
    return _build_png(picture)


def metadata_chunks(source: Source, metadata: bytes) -> list[Chunk]:
    """A picture's metadata as PNG chunks; CorruptFile if they are damaged."""
    before, after = metadata_halves(metadata)
    if source is Source.PNM:
        return []
    if source is Source.BMP:
        across, down = struct.unpack_from("<ii", before.ljust(54, b"\0"), 38)
        return [(b"pHYs", struct.pack(">IIB", across, down, 1))] if across > 0 and down > 0 else []
    return [*_unpacked(before), *_unpacked(after)]


def _checked_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise LimitExceeded(f"the image has {width * height} pixels; the limit is {max_pixels} (--max-pixels)")


def _chunks(data: bytes) -> list[Chunk] | None:
    """Type and content of every PNG chunk; None unless all is in order."""
    chunks = []
    position = len(PNG_MAGIC)
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
    out = bytearray(PNG_MAGIC)
    for kind, content in [*chunks, (b"IEND", b"")]:
        out += struct.pack(">I", len(content)) + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")
    return bytes(out)


def _parse_png(data: bytes, max_pixels: int) -> Picture | None:
    chunks = _chunks(data)
    if chunks is None or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        return None
    width, height, depth, colour, method, filters, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    kinds = [kind for kind, _ in chunks]
    if depth != 8 or colour not in _PNG_LAYOUTS or method or filters or interlaced > 1 or not _kept_whole(kinds):
        return None
    body = [chunk for chunk in chunks if chunk[0] == b"IDAT"]
    if not body or kinds.count(b"IHDR") != 1 or not width or not height:
        return None
    first = kinds.index(b"IDAT")
    if chunks[first : first + len(body)] != body:
        return None
    _checked_size(width, height, max_pixels)
    layout = _PNG_LAYOUTS[colour]
    if not _whole(b"".join(content for _, content in body), _rows(width, height, layout.channels, bool(interlaced))):
        return None
    pixels = _pillow_pixels(_png([chunks[0], *body]), layout.name)
    if pixels is None or pixels.shape != (height, width, layout.channels):
        return None
    before, after = _packed(chunks[1:first]), _packed(chunks[first + len(body) : -1])
    return Picture(Source.PNG, layout, pixels, _with_lengths(before, after))


def _kept_whole(kinds: list[bytes]) -> bool:
    """True if chunks of these kinds mean the same around pixels that are packed anew."""
    critical = {kind for kind in kinds if not kind[0] & 32}
    unsafe = {kind for kind in kinds if not kind[3] & 32} - critical
    return critical <= _CRITICAL and unsafe <= _OF_PIXELS and not _UNMODELLED & set(kinds)


def _rows(width: int, height: int, channels: int, interlaced: bool) -> list[tuple[int, int]]:
    """Number of rows and bytes a row, filter included, of every pass of a PNG's pixels."""
    passes = []
    for left, top, across, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -((left - width) // across), -((top - height) // down)
        if columns > 0 and rows > 0:
            passes.append((rows, 1 + columns * channels))
    return passes


def _whole(packed: bytes, rows: list[tuple[int, int]]) -> bool:
    """True if packed pixels are these rows exactly, with known filters, their checksum, and nothing after it.

    Pillow is less strict: it fills what is missing with zeros and drops what is too much.
    """
    size = sum(count * length for count, length in rows)
    unpacker = zlib.decompressobj()
    try:
        raw = np.frombuffer(unpacker.decompress(packed, size + 1), np.uint8)
    except zlib.error:
        return False
    if len(raw) != size or not unpacker.eof or unpacker.unused_data:
        return False
    start = 0
    for count, length in rows:
        if raw[start : start + count * length : length].max() > 4:
            return False
        start += count * length
    return True


def _pillow_pixels(data: bytes, mode: str) -> NDArray[np.uint8] | None:
    """Pixels of a PNG file without metadata as Pillow reads them; None if it cannot, or reads another mode."""
    from PIL.PngImagePlugin import PngImageFile

    try:
        # Image.open has a limit, which could be lifted only for all threads at once; sizes are checked here.
        with PngImageFile(io.BytesIO(data)) as image:
            if image.mode != mode:
                return None
            pixels: NDArray[np.uint8] = np.asarray(image)
    except (OSError, ValueError, SyntaxError, zlib.error, struct.error):
        return None
    return pixels.reshape(*pixels.shape[:2], -1)


def _build_png(picture: Picture) -> bytes:
    from PIL import Image

    shown = picture.pixels[..., 0] if picture.layout is Layout.L else picture.pixels
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(shown)).save(buffer, "PNG")
    made = _chunks(buffer.getvalue())
    assert made is not None
    before, after = metadata_halves(picture.metadata)
    body = [chunk for chunk in made if chunk[0] == b"IDAT"]
    return _png([made[0], *_unpacked(before), *body, *_unpacked(after)])


def _packed(chunks: list[Chunk]) -> bytes:
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


def _with_lengths(before: bytes, after: bytes) -> bytes:
    return _LENGTHS.pack(len(before), len(after)) + before + after if before or after else b""


def metadata_halves(metadata: bytes) -> tuple[bytes, bytes]:
    """What a picture's file has before and after its pixels; CorruptFile if the metadata are damaged."""
    if not metadata:
        return b"", b""
    if len(metadata) < _LENGTHS.size or len(metadata) != _LENGTHS.size + sum(_LENGTHS.unpack_from(metadata)):
        raise CorruptFile("the image's metadata is damaged")
    first = _LENGTHS.unpack_from(metadata)[0]
    return metadata[_LENGTHS.size :][:first], metadata[_LENGTHS.size + first :]


def _pnm_head(data: bytes) -> re.Match[bytes] | None:
    """Number, width and height of a PNM file of 8 bits."""
    comment = rb"(?:[ \t\r\n]|#[^\n]*\n)+"
    return re.match(rb"P([56])" + comment + rb"(\d{1,10})" + comment + rb"(\d{1,10})" + comment + rb"255\s", data)


def _parse_pnm(data: bytes, max_pixels: int) -> Picture | None:
    match = _pnm_head(data)
    if match is None:
        return None
    layout = Layout.L if match[1] == b"5" else Layout.RGB
    width, height = int(match[2]), int(match[3])
    size = width * height * layout.channels
    if not size or len(data) < match.end() + size:
        return None
    _checked_size(width, height, max_pixels)
    pixels = np.frombuffer(data, np.uint8, size, match.end()).reshape(height, width, layout.channels)
    metadata = _with_lengths(data[: match.end()], data[match.end() + size :])
    return Picture(Source.PNM, layout, pixels, metadata)


def _parse_bmp(data: bytes, max_pixels: int) -> Picture | None:
    """Uncompressed 24-bit BMP, rows from the bottom, padding of zeros."""
    if len(data) < 54:
        return None
    offset, header, width, height, planes, depth, compression = struct.unpack_from("<I I i i H H I", data, 10)
    if header < 40 or planes != 1 or depth != 24 or compression or width <= 0 or height <= 0 or offset < 54:
        return None
    stride = -(-3 * width // 4) * 4
    if len(data) < offset + stride * height:
        return None
    _checked_size(width, height, max_pixels)
    rows = np.frombuffer(data, np.uint8, stride * height, offset).reshape(height, stride)
    if rows[:, 3 * width :].any():
        return None
    pixels = rows[::-1, : 3 * width].reshape(height, width, 3)[..., ::-1]
    metadata = _with_lengths(data[:offset], data[offset + stride * height :])
    return Picture(Source.BMP, Layout.RGB, np.ascontiguousarray(pixels), metadata)


def _joined(picture: Picture) -> bytes:
    before, after = metadata_halves(picture.metadata)
    pixels = picture.pixels
    if picture.source is Source.BMP:
        padding = np.zeros((pixels.shape[0], -3 * pixels.shape[1] % 4), np.uint8)
        rows = pixels[::-1, :, ::-1].reshape(pixels.shape[0], -1)
        return before + np.concatenate([rows, padding], axis=1).tobytes() + after
    return before + pixels.tobytes() + after
