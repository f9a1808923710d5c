"""PNG files of 8 bits a channel <-> pictures, to the last pixel and chunk."""

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import CorruptFile
from bfncodec.media.medium import Chunk, Head, check_size, halves, joined
from bfncodec.picture import Layout, Origin, Picture

_MAGIC = b"\x89PNG\r\n\x1a\n"
MAGIC: tuple[bytes, ...] = (_MAGIC,)
ORIGINS: tuple[Origin, ...] = (Origin.PNG, Origin.ARRAY, Origin.PILLOW)
SUFFIXES: tuple[str, ...] = (".png",)
_FIELDS = struct.Struct(">IIBBBBB")  # width, height, depth, colour, packing, filters, interlacing
_LAYOUTS = {0: Layout.L, 4: Layout.LA, 2: Layout.RGB, 6: Layout.RGBA}
_UNMODELLED = {b"tRNS", b"acTL", b"fcTL", b"fdAT"}
# Chunks that depend on the pixels, but not on how they are packed. Others of those that PNG calls unsafe to copy may
# hold offsets into the packed pixels (iDOT) or signatures over them (caBX, dSIG), which a file packed anew would break.
_OF_PIXELS = {
    *(b"bKGD", b"cHRM", b"cICP", b"cLLI", b"gAMA", b"hIST", b"iCCP", b"mDCV"),
    *(b"pCAL", b"sBIT", b"sCAL", b"sPLT", b"sRGB", b"sTER", b"tIME"),
}
_LEVEL = 4  # of zlib: 6 takes twice as long, for 1 to 2 % of a photograph
_CRITICAL = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
# Adam7's passes: first column, first row, steps between columns and rows.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def head(start: bytes) -> Head | None:
    if len(start) < 33 or start[8:16] != b"\0\0\0\x0dIHDR":
        return None
    width, height, depth, colour, packing, filters, interlacing = _FIELDS.unpack_from(start, 16)
    if depth != 8 or colour not in _LAYOUTS or packing or filters or interlacing > 1 or not width or not height:
        return None
    return Head(width, height, 0, 2 * width * height * _LAYOUTS[colour].channels)


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
    *_, colour, _, _, interlaced = _FIELDS.unpack(known[0][1])
    layout = _LAYOUTS[colour]
    rows = _rows(head.width, head.height, layout.channels, bool(interlaced))
    if not _whole(b"".join(content for _, content in body), rows):
        return None
    pixels = _pillow_pixels(_png([known[0], *body]), layout.name)
    if pixels is None or pixels.shape != (head.height, head.width, layout.channels):
        return None
    metadata = joined(_packed(known[1:first]), _packed(known[first + len(body) : -1]))
    return Picture(Origin.PNG, layout, pixels, metadata)


def build(picture: Picture) -> bytes:
    """A PNG of the same pixels, with the chunks that the file had."""
    buffer = io.BytesIO()
    picture.shown().save(buffer, "PNG", compress_level=_LEVEL)
    saved = _chunks(buffer.getvalue())
    assert saved is not None
    before, after = halves(picture.metadata)
    body = [chunk for chunk in saved if chunk[0] == b"IDAT"]
    return _png([saved[0], *_unpacked(before), *body, *_unpacked(after)])


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
