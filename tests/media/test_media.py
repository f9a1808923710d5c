"""Image files and pixels: what is modelled comes back whole, everything else as bytes."""

from __future__ import annotations

import io
import itertools
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import TiffImageFile

import bfncodec
from bfncodec.errors import CorruptFile, LimitExceeded, UnsupportedFeature
from bfncodec.media import convert
from bfncodec.media import png as image_files
from bfncodec.picture import Layout, Origin

LIMIT = 1 << 20
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
KINDS = [(colour, depth) for colour, depths in DEPTHS.items() for depth in depths]
MODELLED = {0: Layout.L, 4: Layout.LA, 2: Layout.RGB, 6: Layout.RGBA}
Chunk = tuple[bytes, bytes]


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
    return image_files.PNG_MAGIC + b"".join(chunk(*entry) for entry in chunks)


def pixels_of(file: bytes) -> np.ndarray:
    """Pixels as Pillow reads them."""
    with Image.open(io.BytesIO(file)) as opened:
        return np.asarray(opened)


def chunks_of(file: bytes) -> list[Chunk]:
    """All chunks but the pixels', whose place is kept as an empty IDAT."""
    chunks = image_files._chunks(file)
    assert chunks is not None
    return [(kind, b"" if kind == b"IDAT" else content) for kind, content in chunks]


def back(file: bytes) -> bytes:
    """The file after `parse` and `build`; it must be modelled."""
    picture = image_files.parse(file, LIMIT)
    assert picture is not None
    assert picture.pixels.dtype == np.uint8 and picture.pixels.shape[2] == picture.layout.channels
    return image_files.build(picture)


# PNG: rows 31 to 35


@pytest.mark.parametrize(("colour", "depth"), KINDS)
def test_png_of_every_colour_type_and_depth(colour: int, depth: int) -> None:
    """All fifteen: eight bits without a palette are pixels, the rest bytes; never fewer bits."""
    file = png(5, 4, colour, depth)
    picture = image_files.parse(file, LIMIT)
    if depth == 8 and colour in MODELLED:
        assert picture is not None
        assert picture.layout is MODELLED[colour]
        raw = np.frombuffer(zlib.decompress(dict(image_files._chunks(file) or [])[b"IDAT"]), np.uint8)
        assert np.array_equal(picture.pixels.reshape(4, -1), raw.reshape(4, -1)[:, 1:])
        assert chunks_of(back(file)) == chunks_of(file)
        assert np.array_equal(pixels_of(back(file)), pixels_of(file))
    else:
        assert picture is None
        assert bfncodec.decode(bfncodec.encode(file)) == file


@pytest.mark.parametrize("colour", MODELLED)
def test_one_pixel(colour: int) -> None:
    file = png(1, 1, colour)
    assert back(file) == back(back(file))
    assert bfncodec.decode(bfncodec.encode(file, model="tiny")) in (file, back(file))


def test_interlaced_png_keeps_its_pixels() -> None:
    """Adam7 of a 3 x 2 grey image, by hand: passes 1, 4, 6 and 7."""
    file = png(3, 2, 0, raw=b"\0\1" + b"\0\3" + b"\0\2" + b"\0\4\5\6", interlace=1)
    picture = image_files.parse(file, LIMIT)
    assert picture is not None
    assert picture.pixels[..., 0].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert np.array_equal(pixels_of(back(file)), pixels_of(file))


@pytest.mark.parametrize("filter_number", range(5))
def test_png_filters(filter_number: int) -> None:
    file = png(2, 2, raw=bytes([filter_number]) + b"\1\2\3\4\5\6" + bytes([filter_number]) + b"\7\x08\x09\1\1\1")
    assert np.array_equal(pixels_of(back(file)), pixels_of(file))


@pytest.mark.parametrize(
    "extra",
    [
        (b"tRNS", bytes(6)),
        (b"acTL", struct.pack(">II", 1, 0)),
        (b"fcTL", bytes(26)),
        (b"ABCD", b"critical, unknown"),
        (b"IHDR", bytes(13)),
    ],
    ids=lambda entry: entry[0].decode(),
)
def test_what_changes_the_meaning_of_pixels_is_coded_as_bytes(extra: Chunk) -> None:
    file = png(before=(extra,))
    assert image_files.parse(file, LIMIT) is None
    assert bfncodec.decode(bfncodec.encode(file)) == file


@pytest.mark.parametrize("kind", [b"iDOT", b"caBX", b"dSIG", b"prVT"])
def test_what_may_point_into_packed_pixels_or_sign_them_is_coded_as_bytes(kind: bytes) -> None:
    """Chunks that are unsafe to copy, unless they are known to depend on pixels alone."""
    for file in (png(before=((kind, bytes(28)),)), png(after=((kind, bytes(28)),))):
        assert image_files.parse(file, LIMIT) is None
        assert bfncodec.decode(bfncodec.encode(file)) == file


def adam7(pixels: np.ndarray) -> bytes:
    """What zlib packs of an interlaced PNG of pixels uint8 [height, width, channels]."""
    raw = b""
    for left, top, across, down in image_files._PASSES:
        part = pixels[top::down, left::across]
        raw += b"".join(b"\0" + row.tobytes() for row in part if row.size)
    return raw


@pytest.mark.parametrize("colour", MODELLED)
def test_interlaced_png_of_any_size(colour: int) -> None:
    for width, height in itertools.product((1, 2, 3, 4, 5, 8, 9), (1, 2, 3, 5, 9)):
        pixels = np.random.default_rng(width).integers(0, 256, (height, width, CHANNELS[colour]), np.uint8)
        picture = image_files.parse(png(width, height, colour, raw=adam7(pixels), interlace=1), LIMIT)
        assert picture is not None and np.array_equal(picture.pixels, pixels)


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("colour", MODELLED)
def test_pixels_that_unpack_to_too_much_take_little_memory(colour: int, interlace: int) -> None:
    file = packed_png(zlib.compress(bytes(1 << 24)), colour=colour, interlace=interlace)
    tracemalloc.start()
    try:
        assert image_files.parse(file, LIMIT) is None
        assert tracemalloc.get_traced_memory()[1] < 1 << 18
    finally:
        tracemalloc.stop()


def broken_pngs() -> dict[str, bytes]:
    """Files that are no good PNG."""
    good = png()
    start = good.index(b"IDAT") - 4
    huge = bytearray(good)
    huge[start : start + 4] = b"\xff\xff\xff\xff"
    return {
        "crc of header": good[:29] + b"\0\0\0\0" + good[33:],
        "crc of pixels": good[:-16] + bytes([good[-16] ^ 1]) + good[-15:],
        "trailing byte": good + b"\0",
        "two files": good + good,
        "no end": good[:-12],
        "cut": good[:-20],
        "magic alone": image_files.PNG_MAGIC,
        "length": bytes(huge),
        "no pixels": image_files.PNG_MAGIC + chunk(*(image_files._chunks(good) or [])[0]) + chunk(b"IEND", b""),
        "content in the end": good[:-12] + chunk(b"IEND", b"x"),
        "width 0": png(0, 2, raw=b"\0\0"),
        "short pixels": png(raw=b"\0" * 12),
        "no zlib": good[:start] + chunk(b"IDAT", b"no zlib") + good[-12:],
        "unknown filter": png(raw=(b"\7" + bytes(9)) * 2),
        "header after pixels": good[:8] + good[33:-12] + good[8:33] + good[-12:],
        "text between pixels": good[:-12] + chunk(b"tEXt", b"a\0b") + chunk(b"IDAT", b"") + good[-12:],
    }


ROWS = (b"\0" + bytes(range(9))) * 2  # of the file that `png` makes


def packed_png(packed: bytes, **options: int) -> bytes:
    """A PNG file with any bytes as packed pixels."""
    made = png(**options)
    start = made.index(b"IDAT") - 4
    return made[:start] + chunk(b"IDAT", packed) + made[-12:]


def with_dictionary() -> bytes:
    """A zlib stream that needs a dictionary which no PNG has."""
    packer = zlib.compressobj(zdict=bytes(range(9)))
    return packer.compress(ROWS) + packer.flush()


# Packed pixels that are not those of the header: other readers fill up or drop in silence.
DAMAGED: dict[str, bytes] = {
    "half of the rows": packed_png(zlib.compress(ROWS[:10])),
    "half of the rows, without an end": packed_png(zlib.compress(ROWS)[:12]),
    "no last byte": packed_png(zlib.compress(ROWS[:-1])),
    "no rows": packed_png(zlib.compress(b"")),
    "no stream": packed_png(b""),
    "a byte more": packed_png(zlib.compress(ROWS + b"\0")),
    "a row more": packed_png(zlib.compress(ROWS + ROWS[:10])),
    "no checksum": packed_png(zlib.compress(ROWS)[:-4]),
    "short checksum": packed_png(zlib.compress(ROWS)[:-1]),
    "wrong checksum": packed_png(zlib.compress(ROWS)[:-1] + b"\0"),
    "junk after the stream": packed_png(zlib.compress(ROWS) + b"\0"),
    "two streams": packed_png(zlib.compress(ROWS) * 2),
    "dictionary": packed_png(with_dictionary()),
    "raw deflate": packed_png(zlib.compress(ROWS)[2:-4]),
    "unknown filter of the last row": packed_png(zlib.compress(ROWS[:10] + b"\5" + ROWS[11:])),
    "unknown interlacing": packed_png(zlib.compress(ROWS), interlace=2),
    "rows as if not interlaced": packed_png(zlib.compress(ROWS), interlace=1),
    "a byte more, interlaced": png(3, 2, 0, raw=b"\0\1\0\3\0\2\0\4\5\6\0", interlace=1),
    "unknown filter of a pass": png(3, 2, 0, raw=b"\0\1\5\3\0\2\0\4\5\6", interlace=1),
}


@pytest.mark.parametrize("tolerant", [False, True])
@pytest.mark.parametrize("name", DAMAGED)
def test_a_png_with_damaged_pixels_comes_back_as_it_was(
    name: str, tolerant: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the caller has told Pillow to fill up what is missing."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", tolerant)
    file = DAMAGED[name]
    assert image_files.parse(file, LIMIT) is None
    assert bfncodec.decode(bfncodec.encode(file)) == file


@pytest.mark.parametrize("name", broken_pngs())
def test_broken_png_is_coded_as_bytes(name: str) -> None:
    file = broken_pngs()[name]
    assert image_files.parse(file, LIMIT) is None
    assert bfncodec.decode(bfncodec.encode(file)) == file


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


def test_chunks_keep_their_place_and_order() -> None:
    """All kinds before and after the pixels, in two orders, some of them twice."""
    for before, after in ((METADATA, METADATA[6:]), (METADATA[::-1], ()), ((), METADATA[:5:-1] * 2)):
        file = png(before=tuple(before), after=tuple(after))
        assert chunks_of(back(file)) == chunks_of(file)
        assert np.array_equal(pixels_of(back(file)), pixels_of(file))
        assert back(back(file)) == back(file)


def test_chunks_through_a_file() -> None:
    file = png(20, 20, before=tuple(METADATA), after=((b"tEXt", b"after\0pixels"),))
    assert chunks_of(bfncodec.decode(bfncodec.encode(file, model="tiny"))) == chunks_of(file)


def test_exif_orientation_is_kept_and_not_applied() -> None:
    file = png(3, 2, before=((b"eXIf", exif(6)),))
    with Image.open(io.BytesIO(back(file))) as opened:
        assert opened.size == (3, 2)
        assert opened.getexif()[0x0112] == 6


@pytest.mark.parametrize("kind", [kind for kind, _ in METADATA])
@pytest.mark.parametrize("content", [b"", b"\0", b"x\0", b"x\0\1abc", bytes(40)])
def test_damaged_chunks_are_kept_as_they_are(kind: bytes, content: bytes) -> None:
    """Nobody interprets them: bad content neither fails nor is lost."""
    for file in (png(before=((kind, content),)), png(after=((kind, content),))):
        assert chunks_of(back(file)) == chunks_of(file)


def test_suggested_palette_and_several_idat_chunks() -> None:
    file = png(before=((b"PLTE", bytes(range(30))),))
    assert chunks_of(back(file)) == chunks_of(file)
    packed = dict(image_files._chunks(file) or [])[b"IDAT"]
    start = file.index(b"IDAT") - 4
    split = file[:start] + b"".join(chunk(b"IDAT", packed[i : i + 3]) for i in range(0, len(packed), 3)) + file[-12:]
    assert back(split) == back(file)
    empty = chunk(b"IDAT", b"")
    assert back(file[:start] + 2 * empty + file[start:-12] + 2 * empty + file[-12:]) == back(file)


def test_colour_below_alpha_zero_is_kept() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 4), np.uint8)
    pixels[..., 3] = 0
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    assert np.array_equal(pixels_of(back(buffer.getvalue())), pixels)
    assert np.array_equal(bfncodec.decode(bfncodec.encode(pixels, model="tiny")), pixels)


@given(st.integers(0, 200), st.integers(0, 255))
def test_damaged_png_never_raises(position: int, value: int) -> None:
    file = bytearray(png(before=((b"tEXt", b"a\0b"),)))
    file[position % len(file)] = value
    picture = image_files.parse(bytes(file), LIMIT)
    assert picture is None or image_files.build(picture).startswith(image_files.PNG_MAGIC)


def test_damaged_metadata_is_an_error() -> None:
    pixels = np.zeros((1, 1, 1), np.uint8)
    for metadata in (
        b"\0",
        struct.pack("<II", 1, 1),
        struct.pack("<II", 4, 0) + b"tEXt",
        struct.pack("<II", 9, 0) + struct.pack(">I", 9) + b"tEXtx",
    ):
        with pytest.raises(CorruptFile, match="metadata"):
            image_files.build(image_files.Picture(Origin.PNG, Layout.L, pixels, metadata))


# PNM: byte for byte

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
OTHER_PNMS = {
    "16 bits": b"P6 2 1 65535\n" + bytes(range(12)),
    "16 bits of grey": b"P5 2 1 256\n" + bytes(range(4)),
    "7 bits": b"P5 2 1 127\n" + bytes(2),
    "text": b"P3 1 1 255\n1 2 3\n",
    "bitmap": b"P4 8 1\n\xaa",
    "pam": b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nENDHDR\n\0",
    "float": b"Pf\n1 1\n-1.0\n" + bytes(4),
    "short": b"P6 2 1 255\n" + bytes(5),
    "no pixels": b"P6 0 1 255\n",
    "no size": b"P6\n",
    "magic alone": b"P5",
    "negative": b"P5 -2 1 255\n" + bytes(2),
    "long number": b"P5 " + b"0" * 5000 + b"2 1 255\n" + bytes(2),
    "huge": b"P5 9999999999 9999999999 255\n" + bytes(10),
    "comment without end": b"P5 #" + b"# " * 5000,
}


@pytest.mark.parametrize("name", PNMS)
def test_pnm_comes_back_byte_for_byte(name: str) -> None:
    file = PNMS[name]
    assert back(file) == file
    picture = image_files.parse(file, LIMIT)
    assert picture is not None and picture.origin is Origin.PNM
    assert np.array_equal(picture.pixels.squeeze(), pixels_of(file).squeeze())
    assert bfncodec.decode(bfncodec.encode(file, model="tiny")) == file


@pytest.mark.parametrize("name", OTHER_PNMS)
def test_other_pnm_is_coded_as_bytes(name: str) -> None:
    file = OTHER_PNMS[name]
    assert image_files.parse(file, LIMIT) is None
    assert bfncodec.decode(bfncodec.encode(file)) == file


def test_pnm_headers_are_parsed_in_linear_time() -> None:
    start = time.perf_counter()
    for filler in (b"\n", b"#\n", b"# \n ", b" #", b"1 "):
        assert image_files.parse(b"P5 " + filler * 300_000 + b"x", LIMIT) is None
    assert time.perf_counter() - start < 3


@given(st.binary(max_size=30), st.binary(max_size=10))
def test_any_pnm_header(header: bytes, trailer: bytes) -> None:
    """Whatever follows the magic comes back byte for byte, as pixels or not."""
    for file in (b"P5" + header + trailer, b"P6 1 1 255\n" + header + trailer):
        picture = image_files.parse(file, LIMIT)
        assert picture is None or image_files.build(picture) == file


def test_pnm_through_a_file(photo: np.ndarray) -> None:
    file = b"P6\n# comment\n56 48 255\n" + photo.tobytes() + b"trailer"
    encoded = bfncodec.encode(file, model="tiny")
    assert len(encoded) < len(file) * 0.7
    assert bfncodec.decode(encoded) == file


# BMP: byte for byte


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


BMPS = {
    "bottom up": bmp(),
    **{f"width {width}": bmp(width, 3) for width in (1, 2, 4, 5)},
    "version 5": bmp(header=124),
    "gap before the pixels": bmp(gap=b"abcd"),
    "trailing profile": bmp(header=124, trailer=b"profile"),
}
OTHER_BMPS = {
    "top down": bmp(3, -2),
    "32 bits": bmp(depth=32),
    "16 bits": bmp(depth=16),
    "8 bits": bmp(depth=8, gap=bytes(1024)),
    "run lengths": bmp(depth=8, gap=bytes(1024), compression=1),
    "padding in use": bmp(padding=1),
    "short": bmp()[:-1],
    "header alone": bmp()[:54],
    "magic alone": b"BM",
    "core header": b"BM" + struct.pack("<IHHI", 32, 0, 0, 26) + struct.pack("<IHHHH", 12, 1, 1, 1, 24) + bytes(4),
    "width 0": bmp(0, 2),
    "pixels before their header": bmp()[:10] + struct.pack("<I", 10) + bmp()[14:] + bytes(100),
}


@pytest.mark.parametrize("name", BMPS)
def test_bmp_comes_back_byte_for_byte(name: str) -> None:
    file = BMPS[name]
    picture = image_files.parse(file, LIMIT)
    assert picture is not None and picture.origin is Origin.BMP
    assert np.array_equal(picture.pixels, pixels_of(file))
    assert back(file) == file
    assert bfncodec.decode(bfncodec.encode(file, model="tiny")) == file


@pytest.mark.parametrize("name", OTHER_BMPS)
def test_other_bmp_is_coded_as_bytes(name: str) -> None:
    file = OTHER_BMPS[name]
    assert image_files.parse(file, LIMIT) is None
    assert bfncodec.decode(bfncodec.encode(file)) == file


@given(st.integers(0, 60), st.integers(0, 255))
def test_damaged_bmp_never_raises(position: int, value: int) -> None:
    file = bytearray(bmp())
    file[position] = value
    try:
        picture = image_files.parse(bytes(file), LIMIT)
    except LimitExceeded:
        return
    assert picture is None or image_files.build(picture) == bytes(file)


# Rows 31 and 35: other formats, and --bytes


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "WEBP", "TIFF"])
def test_other_formats_are_coded_as_bytes(kind: str, photo: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, kind)
    file = buffer.getvalue()
    encoded = bfncodec.encode(file)
    assert bfncodec.info(encoded)["blocks"][0]["lossless"] == "bytes"
    assert len(encoded) <= len(file) + 64
    assert bfncodec.decode(encoded) == file


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_animations_come_back_with_all_frames(kind: str, photo: np.ndarray) -> None:
    buffer = io.BytesIO()
    frames = [Image.fromarray(photo), Image.fromarray(photo[::-1].copy())]
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    file = buffer.getvalue()
    assert image_files.parse(file, LIMIT) is None
    assert bfncodec.decode(bfncodec.encode(file)) == file


def test_as_bytes_keeps_the_png_file_itself() -> None:
    file = png(20, 20, before=tuple(METADATA))
    encoded = bfncodec.encode(file, media="bytes")
    assert bfncodec.info(encoded)["blocks"][0]["lossless"] == "bytes"
    assert bfncodec.decode(encoded) == file


# Row 36: bombs


def test_image_bomb_is_cheap() -> None:
    """50,000 x 50,000 pixels of one bit in about 300 kB: coded as bytes, never unpacked."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(6251 * 500)) for _ in range(100)) + packer.flush()
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 1, 0, 0, 0, 0)
    file = image_files.PNG_MAGIC + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    tracemalloc.start()
    try:
        assert image_files.parse(file, 1 << 28) is None
        assert tracemalloc.get_traced_memory()[1] < 4 * len(file)
    finally:
        tracemalloc.stop()
    assert bfncodec.decode(bfncodec.encode(file)) == file


@pytest.mark.parametrize("colour", MODELLED)
def test_too_many_pixels_are_refused_before_they_are_unpacked(colour: int) -> None:
    file = png(50_000, 50_000, colour, raw=b"")
    start = time.perf_counter()
    with pytest.raises(LimitExceeded, match="--max-pixels"):
        bfncodec.encode(file)
    assert time.perf_counter() - start < 0.1
    with pytest.raises(LimitExceeded):
        image_files.parse(PNMS["plain"], 1)
    with pytest.raises(LimitExceeded):
        image_files.parse(BMPS["bottom up"], 5)


def test_text_bomb_is_kept_packed() -> None:
    """A text chunk of 100 MB once unpacked is metadata like any other."""
    file = png(before=((b"zTXt", b"bomb\0\0" + zlib.compress(bytes(100_000_000), 1)),))
    tracemalloc.start()
    try:
        assert chunks_of(back(file)) == chunks_of(file)
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


def test_too_much_metadata_is_coded_as_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder refuses more than it is ready to unpack, so an encoder must not send it."""
    monkeypatch.setattr(image_files, "METADATA_LIMIT", 1000)
    assert image_files.parse(PNMS["plain"] + bytes(900), LIMIT) is not None
    assert image_files.parse(PNMS["plain"] + bytes(1000), LIMIT) is None


# Other formats on the way out


def converted(file: bytes, suffix: str) -> bytes:
    """The image in a file in another format."""
    picture = image_files.parse(file, LIMIT)
    assert picture is not None
    return convert.convert(picture, suffix)[0]


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("suffix", [".png", ".ppm", ".pgm", ".pnm", ".bmp", ".tif", ".tiff", ".webp"])
def test_convert(layout: Layout, suffix: str) -> None:
    """The same pixels, or a refusal where the format cannot hold them."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, layout.channels), np.uint8)
    file = image_files.build(image_files.Picture(Origin.ARRAY, layout, pixels))
    able = {
        ".pgm": {Layout.L},
        **dict.fromkeys((".ppm", ".pnm", ".bmp"), {Layout.L, Layout.RGB}),
    }.get(suffix, set(Layout))
    if layout not in able:
        with pytest.raises(UnsupportedFeature, match="cannot hold"):
            converted(file, suffix)
        return
    with Image.open(io.BytesIO(converted(file, suffix))) as opened:
        # WebP has colour only: grey comes back as three equal channels.
        wanted = Image.open(io.BytesIO(file)).convert(opened.mode)
        assert np.array_equal(np.asarray(opened), np.asarray(wanted))
        assert opened.mode == layout.name or suffix == ".webp"


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_convert_keeps_profile_and_exif(suffix: str) -> None:
    file = png(before=((b"iCCP", b"name\0\0" + zlib.compress(b"profile")), (b"eXIf", exif(6))))
    with Image.open(io.BytesIO(converted(file, suffix))) as opened:
        assert opened.info["icc_profile"] == b"profile"
        assert opened.getexif()[0x0112] == 6
        # Pillow turns a TIFF when it opens it, as its EXIF data asks.
        width = opened.tag_v2[256] if isinstance(opened, TiffImageFile) else opened.width
        assert width == 3


def left_out(file: bytes, suffix: str) -> list[str]:
    """What another format does not keep."""
    picture = image_files.parse(file, LIMIT)
    assert picture is not None
    return convert.convert(picture, suffix)[1]


def test_what_a_format_leaves_out_is_named() -> None:
    known = {kind: content for kind, content in METADATA}
    three = tuple((kind, known[kind]) for kind in (b"iCCP", b"eXIf", b"pHYs"))
    file = png(before=three)
    assert left_out(file, ".ppm") == ["ICC profile", "EXIF", "resolution"]
    assert left_out(file, ".bmp") == ["ICC profile", "EXIF"]
    assert left_out(file, ".webp") == ["resolution"]
    assert left_out(file, ".tif") == left_out(png(), ".ppm") == left_out(bmp(), ".png") == []
    assert left_out(bmp(), ".ppm") == ["resolution"]
    assert left_out(png(before=((b"pHYs", bytes([0, 0, 0, 1, 0, 0, 0, 1, 0])),)), ".tif") == ["resolution"]
    assert left_out(png(before=((b"eXIf", b"junk"), (b"iCCP", b"junk"))), ".tif") == ["ICC profile", "EXIF"]
    for kind in known.keys() - {kind for kind, _ in three}:
        assert left_out(png(after=(*three[1:], (kind, known[kind]))), ".tif") == ["other metadata"]
    for name in ("comments", "trailing bytes"):
        assert left_out(PNMS[name], ".png") == ["other metadata"]
    assert left_out(PNMS["plain"], ".png") == []
    assert left_out(bmp(trailer=b"profile"), ".tif") == ["other metadata"]


def camera_exif() -> bytes:
    """EXIF data as cameras write them, with an orientation, a place and an exposure."""
    data = Image.Exif()
    data[0x0112], data[0x010F] = 6, "Maker"
    data.get_ifd(0x8769)[33434] = 0.125
    data.get_ifd(0x8825)[1] = "N"
    return data.tobytes()[6:]


@pytest.mark.parametrize("suffix", [".tif", ".webp"])
def test_convert_keeps_exif_of_cameras(suffix: str) -> None:
    file = png(before=((b"eXIf", camera_exif()),))
    with Image.open(io.BytesIO(converted(file, suffix))) as opened:
        known = opened.getexif()
        assert known[0x010F] == "Maker"
        assert known.get_ifd(0x8769)[33434] == 0.125
        assert known.get_ifd(0x8825)[1] == "N"


def test_exif_that_tells_of_another_storage_changes_no_pixel() -> None:
    """EXIF data can hold any tag of a TIFF."""
    data = Image.Exif()
    data[0x010F] = "Maker"
    for tag, value in ((256, 1), (258, 16), (259, 5), (262, 0), (266, 2), (277, 1), (278, 0), (284, 2), (317, 2)):
        data[tag] = value
    for colour in MODELLED:
        file = png(3, 2, colour, before=((b"eXIf", data.tobytes()[6:]),))
        with Image.open(io.BytesIO(converted(file, ".tif"))) as opened:
            assert np.array_equal(np.asarray(opened), pixels_of(file))
            assert opened.getexif()[0x010F] == "Maker"


@pytest.mark.parametrize(("kind", "value"), [(5, (0, 0)), (5, (1, 0)), (10, (-72, 1)), (10, (72, -1))])
def test_exif_with_a_resolution_that_is_none(kind: int, value: tuple[int, int]) -> None:
    """It alone is left out."""
    entries = struct.pack(">HHI4sHHII", 0x010F, 2, 4, b"abc\0", 282, kind, 1, 38) + bytes(4)
    data = b"MM\0*" + struct.pack(">IH", 8, 2) + entries + struct.pack(">ii", *value)
    with Image.open(io.BytesIO(converted(png(before=((b"eXIf", data),)), ".tif"))) as opened:
        assert opened.getexif()[0x010F] == "abc"
        assert 282 not in opened.tag_v2 and "nan" not in str(opened.info)


@pytest.mark.parametrize("suffix", [".tif", ".bmp", ".png"])
@pytest.mark.parametrize("size", [(0, 0), (1, 0), (1, 1), (1 << 31, 1), (0xFFFFFFFF, 0xFFFFFFFF)])
def test_any_physical_size_can_be_converted(suffix: str, size: tuple[int, int]) -> None:
    for file in (
        png(before=((b"pHYs", struct.pack(">IIB", *size, 1)),)),
        bmp()[:38] + struct.pack("<II", *size) + bmp()[46:],
    ):
        with Image.open(io.BytesIO(converted(file, suffix))) as opened:
            assert np.array_equal(np.asarray(opened), pixels_of(file))


LARGE = np.random.default_rng(0).bytes(1 << 21)
ODD: dict[str, Chunk] = {
    "large zTXt": (b"zTXt", b"Large\0\0" + zlib.compress(bytes(1 << 21))),
    "large iTXt": (b"iTXt", b"Large\0\1\0\0\0" + zlib.compress(bytes(1 << 21))),
    "method of zTXt": (b"zTXt", b"Odd\0\1abc"),
    "large profile": (b"iCCP", b"name\0\0" + zlib.compress(LARGE)),
    "cut profile": (b"iCCP", b"name\0\0" + zlib.compress(b"profile" * 9)[:-5]),
    "profile without a method": (b"iCCP", b"name\0"),
    "profile without a name": (b"iCCP", b"profile"),
    "method of profile": (b"iCCP", b"name\0\1" + zlib.compress(b"profile")),
    "no profile": (b"iCCP", b""),
    "no EXIF": (b"eXIf", b""),
    "EXIF of junk": (b"eXIf", b"junk, and no TIFF at all"),
    "EXIF without entries": (b"eXIf", b"MM\0*" + struct.pack(">I", 8)),
    "cut EXIF": (b"eXIf", exif(6)[:12]),
    "EXIF with an offset far off": (b"eXIf", exif(6)[:4] + b"\xff" * 4 + exif(6)[8:]),
    "EXIF with numbers of a text": (b"eXIf", b"MM\0*" + struct.pack(">IHHHI4sI", 8, 1, 0x010F, 5, 1, b"\0\0\0\x08", 0)),
    "short gAMA": (b"gAMA", b"\0\0"),
    "short pHYs": (b"pHYs", bytes(8)),
    "short cHRM": (b"cHRM", bytes(31)),
    "no sRGB": (b"sRGB", b""),
    "text called dpi": (b"tEXt", b"dpi\0high"),
    "text called exif": (b"tEXt", b"exif\0none"),
    "text called icc_profile": (b"tEXt", b"icc_profile\0none"),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("suffix", [".ppm", ".bmp", ".tif", ".webp"])
def test_odd_metadata_stop_no_conversion(name: str, suffix: str) -> None:
    for file in (png(before=(ODD[name],)), png(after=(ODD[name], (b"eXIf", exif(1))))):
        with Image.open(io.BytesIO(converted(file, suffix))) as opened:
            assert np.array_equal(np.asarray(opened), pixels_of(png()))
            if name == "large profile" and suffix in (".tif", ".webp"):
                assert opened.info["icc_profile"] == LARGE
    if name != "large profile":
        assert len(converted(file, suffix)) < 2000


@pytest.mark.parametrize("file", [b"P5#comment\n2 1 255\n\1\2", b"P5 # \n2#\n#\n1 255\r\1\2"])
def test_convert_of_pnm_that_pillow_does_not_read(file: bytes) -> None:
    with Image.open(io.BytesIO(converted(file, ".png"))) as opened:
        assert np.asarray(opened).tolist() == [[1, 2]]


def test_convert_of_bmp_that_pillow_does_not_read() -> None:
    file = bytearray(bmp(header=56))
    file[14] = 55
    with Image.open(io.BytesIO(converted(bytes(file), ".png"))) as opened:
        assert np.array_equal(np.asarray(opened), image_files.parse(bytes(file), LIMIT).pixels)
        assert opened.info["dpi"] == pytest.approx((72, 72), abs=0.1)


def test_convert_beyond_a_formats_size_is_refused() -> None:
    for size in ((16384, 1), (1, 16384)):
        with pytest.raises(UnsupportedFeature, match="webp cannot hold"):
            converted(png(*size, 0), ".webp")
    assert converted(png(16383, 1, 0), ".webp")


def test_convert_is_not_stopped_by_pillows_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2)
    assert image_files.parse(png(), LIMIT) is not None
    assert np.array_equal(
        image_files.parse(converted(png(), ".bmp"), LIMIT).pixels, image_files.parse(png(), LIMIT).pixels
    )
    assert Image.MAX_IMAGE_PIXELS == 2


# Items that are no files


def test_pillow_images_keep_mode_and_metadata(photo: np.ndarray) -> None:
    for mode in ("L", "LA", "RGB", "RGBA"):
        given_image = Image.fromarray(photo[:20, :20]).convert(mode)
        given_image.info |= {"icc_profile": b"profile", "exif": exif(6)}
        decoded = bfncodec.decode(bfncodec.encode(given_image, model="tiny"))
        assert decoded.mode == mode and decoded.size == (20, 20)
        assert np.array_equal(np.asarray(decoded), np.asarray(given_image))
        assert decoded.info["icc_profile"] == b"profile"
        assert decoded.getexif()[0x0112] == 6


def test_pillow_images_keep_a_large_profile(photo: np.ndarray) -> None:
    """Larger than Pillow unpacks from a PNG; and larger images than it likes come back without a warning."""
    given_image = Image.fromarray(photo[:20, :20])
    given_image.info["icc_profile"] = LARGE
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
        decoded = bfncodec.decode(bfncodec.encode(given_image, model="tiny"))
    assert decoded.info["icc_profile"] == LARGE
    assert np.array_equal(np.asarray(decoded), np.asarray(given_image))


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "I;16", "I", "F", "HSV", "YCbCr"])
def test_pillow_images_of_other_modes_are_refused(mode: str) -> None:
    with pytest.raises(UnsupportedFeature, match="mode"):
        bfncodec.encode(Image.new(mode, (2, 2)))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2, 3), np.uint16),
        np.zeros((2, 2, 5), np.uint8),
        np.zeros((0, 2, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((1, 2, 2, 3), np.uint8),
        np.zeros((2, 2, 3)),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}",
)
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(UnsupportedFeature, match="uint8"):
        bfncodec.encode(array)


def test_views_with_odd_strides(photo: np.ndarray) -> None:
    for flip, channels in itertools.product((1, -1), (1, 3)):
        view = photo[::flip, ::-1, :channels][:9, :7]
        assert np.array_equal(bfncodec.decode(bfncodec.encode(view, model="tiny")), view)
