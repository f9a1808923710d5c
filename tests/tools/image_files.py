"""Image files for tests, made by hand, and ways to look into files."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from bfncodec import media
from bfncodec.media import png as png_medium
from bfncodec.picture import Layout

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
LIMIT = 1 << 20
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
LAYOUTS = {0: Layout.L, 4: Layout.LA, 2: Layout.RGB, 6: Layout.RGBA, 3: Layout.P}
MODELLED = {colour: layout for colour, layout in LAYOUTS.items() if colour != 3}  # without a palette of their own
Chunk = tuple[bytes, bytes]
PROFILE = np.random.default_rng(0).bytes(1 << 21)  # more than Pillow unpacks from a PNG


def chunk(kind: bytes, content: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    width: int = 3,
    height: int = 2,
    colour: int = 2,
    depth: int = 8,
    *,
    raw: bytes | None = None,
    before: tuple[Chunk, ...] = (),
    after: tuple[Chunk, ...] = (),
    interlace: int = 0,
) -> bytes:
    """A PNG file; `raw` is what zlib packs, by default a gradient without filters."""
    if raw is None:
        stride = -(-width * CHANNELS[colour] * depth // 8)
        raw = b"".join(b"\0" + bytes((7 * (y * stride + x)) % 256 for x in range(stride)) for y in range(height))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)), *before]
    if colour == 3:
        chunks.append((b"PLTE", bytes(3 << depth)))
    chunks += [(b"IDAT", zlib.compress(raw)), *after, (b"IEND", b"")]
    return PNG_MAGIC + b"".join(chunk(*entry) for entry in chunks)


def pixels_of(file: bytes) -> np.ndarray:
    """Pixels as Pillow reads them."""
    with Image.open(io.BytesIO(file)) as opened:
        return np.asarray(opened)


def chunks_of(file: bytes) -> list[Chunk]:
    """All chunks but the pixels', whose place is kept as an empty IDAT."""
    chunks = png_medium._chunks(file)
    assert chunks is not None
    return [(kind, b"" if kind == b"IDAT" else content) for kind, content in chunks]


def back(file: bytes) -> bytes:
    """The file after `parse` and `build`; it must be modelled."""
    picture = media.parse(file, LIMIT)
    assert picture is not None
    assert picture.pixels.dtype == (np.uint8 if picture.depth <= 8 else np.uint16)
    assert picture.pixels.shape[2] == picture.layout.channels and not picture.pixels.max() >> picture.depth
    return media.build(picture)


def exif(orientation: int) -> bytes:
    """EXIF data that holds an orientation alone."""
    return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


METADATA: list[Chunk] = [
    (b"iCCP", b"name\0\0" + zlib.compress(b"profile" * 50)),
    (b"gAMA", struct.pack(">I", 45455)),
    (b"cHRM", struct.pack(">8I", *range(31270, 31278))),
    (b"sRGB", b"\0"),
    (b"sBIT", b"\5\6\5"),
    (b"bKGD", bytes(6)),
    (b"pHYs", struct.pack(">IIB", 2835, 2836, 1)),
    (b"tIME", b"\x07\xe0\1\1\1\1\1"),
    (b"tEXt", b"Title\0caf\xe9"),
    (b"zTXt", b"Comment\0\0" + zlib.compress(b"long " * 100)),
    (b"iTXt", b"Title\0\0\0fr\0Titre\0caf\xc3\xa9"),
    (b"eXIf", exif(6)),
    (b"prVt", b"private"),
]

PNMS = {
    "plain": b"P6 2 1 255\n" + bytes(6),
    "grey": b"P5\n2\n3\n255\n" + bytes(range(6)),
    "comments": b"P6\n# made by hand\n2 # width\n1\n#\n255\n" + bytes(6),
    "spaces": b"P5 \t\r\n 2\r\n1\t255 " + bytes(2),
    "trailing bytes": b"P6 2 1 255\n" + bytes(6) + b"more",
    "two images": (b"P5 2 1 255\n" + bytes(2)) * 2,
    "whitespace as pixels": b"P5 2 1 255\n" + b"\n ",
    "return as separator": b"P5 2 1 255\r" + b"\n ",
}


def bmp(
    width: int = 3,
    height: int = 2,
    *,
    depth: int = 24,
    header: int = 40,
    compression: int = 0,
    gap: bytes = b"",
    padding: int = 0,
    trailer: bytes = b"",
) -> bytes:
    """An uncompressed BMP with a gradient as pixels; `padding` fills the rows' ends."""
    row = width * depth // 8
    rows = b"".join(
        bytes(5 * (y * row + x) % 256 for x in range(row)) + bytes([padding]) * (-row % 4) for y in range(abs(height))
    )
    info = struct.pack("<IiiHHIIiiII", header, width, height, 1, depth, compression, len(rows), 2835, 2835, 0, 0)
    info += bytes(header - 40) + gap
    offset = 14 + len(info)
    return b"BM" + struct.pack("<IHHI", offset + len(rows), 0, 0, offset) + info + rows + trailer
