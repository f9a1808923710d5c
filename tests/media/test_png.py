"""PNG files and pictures: what is modelled comes back whole, everything else as bytes: rows 31 to 36."""

import io
import itertools
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile
from tools.image_files import (
    CHANNELS,
    LAYOUTS,
    LIMIT,
    METADATA,
    MODELLED,
    PNG_MAGIC,
    Chunk,
    back,
    chunk,
    chunks_of,
    exif,
    pixels_of,
    png,
)

import bfncodec
from bfncodec import media
from bfncodec.errors import CorruptFile, LimitExceeded
from bfncodec.media import png as png_medium
from bfncodec.picture import Layout, Origin, Picture

DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
KINDS = [(colour, depth) for colour, depths in DEPTHS.items() for depth in depths]


@pytest.mark.parametrize(("colour", "depth"), KINDS)
def test_png_of_every_colour_type_and_depth(colour: int, depth: int) -> None:
    """All fifteen: never fewer bits."""
    file = png(5, 4, colour, depth)
    picture = media.parse(file, LIMIT)
    assert picture is not None
    assert (picture.layout, picture.depth) == (LAYOUTS[colour], depth)
    raw = np.frombuffer(zlib.decompress(dict(png_medium._chunks(file) or [])[b"IDAT"]), np.uint8).reshape(4, -1)
    bits = np.unpackbits(raw[:, 1:], axis=1)[:, : 5 * CHANNELS[colour] * depth].reshape(-1, depth)
    values = bits @ (1 << np.arange(depth)[::-1])
    assert np.array_equal(picture.pixels.ravel(), values)
    assert chunks_of(back(file)) == chunks_of(file)
    assert np.array_equal(pixels_of(back(file)), pixels_of(file))
    assert_same(bfncodec.decode(bfncodec.encode(file, model="tiny", media="image")), file)


def assert_same(made: bytes, file: bytes) -> None:
    """The same picture in two PNG files, for this package and for Pillow."""
    mine, wanted = media.parse(made, LIMIT), media.parse(file, LIMIT)
    assert mine is not None and wanted is not None and (mine.kind, mine.metadata) == (wanted.kind, wanted.metadata)
    assert np.array_equal(mine.pixels, wanted.pixels)
    with Image.open(io.BytesIO(made)) as one, Image.open(io.BytesIO(file)) as other:
        assert (one.mode, one.getpalette(), one.info) == (other.mode, other.getpalette(), other.info)
        assert np.array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize(("colour", "depth"), KINDS)
@pytest.mark.parametrize("interlace", [0, 1])
def test_every_filter_of_every_kind_is_undone_as_pillow_does_it(colour: int, depth: int, interlace: int) -> None:
    """What Pillow reads of all that it can show whole."""
    source = np.random.default_rng(depth)
    raw = b""
    for left, top, across, down in png_medium._PASSES if interlace else ((0, 0, 1, 1),):
        length = -(-len(range(left, 13, across)) * CHANNELS[colour] * depth // 8)
        for _ in range(top, 11, down):
            raw += source.integers(0, 5, 1, np.uint8).tobytes() + source.bytes(length) if length else b""
    file = png(13, 11, colour, depth, raw=raw, interlace=interlace)
    picture = media.parse(file, LIMIT)
    assert picture is not None
    seen = pixels_of(file).reshape(11, 13, -1)
    if depth == 16 and colour:  # Pillow drops the low bytes
        wanted = picture.pixels >> 8
        wanted = wanted[..., [0, 0, 0, 1]] if colour == 4 else wanted
    else:
        scale = 1 if colour == 3 or depth > 8 else 255 // ((1 << depth) - 1)
        wanted = picture.pixels.astype(np.uint16) * scale
    assert np.array_equal(seen.astype(np.uint16) * (255 if seen.dtype == bool else 1), wanted)
    again = media.parse(back(file), LIMIT)
    assert again is not None and np.array_equal(again.pixels, picture.pixels)


@pytest.mark.parametrize(
    "palette", [None, b"", bytes(4), bytes(771), (bytes(3), bytes(3))], ids=["none", "empty", "cut", "large", "two"]
)
def test_a_palette_that_is_none_is_coded_as_bytes(palette: bytes | tuple[bytes, ...] | None) -> None:
    known = png_medium._chunks(png(4, 4, 3)) or []
    kept = [entry for entry in known if entry[0] not in (b"PLTE", b"IEND")]
    given_ones = palette if isinstance(palette, tuple) else [palette] if palette is not None else []
    file = png_medium._png([kept[0], *((b"PLTE", one) for one in given_ones), *kept[1:]])
    assert media.parse(file, LIMIT) is None
    assert bfncodec.decode(bfncodec.encode(file)) == file


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_colours_beyond_the_palette_are_kept(depth: int) -> None:
    """Readers show them as black; tRNS may be there, and too long."""
    known = png_medium._chunks(png(9, 5, 3, depth, raw=(b"\0" + b"\xff" * -(-9 * depth // 8)) * 5)) or []
    extra = [(b"PLTE", b"\1\2\3"), (b"tRNS", bytes(300))]
    file = png_medium._png([known[0], *extra, *(entry for entry in known[1:-1] if entry[0] == b"IDAT")])
    picture = media.parse(file, LIMIT)
    assert picture is not None and (picture.pixels == (1 << depth) - 1).all()
    assert chunks_of(back(file)) == chunks_of(file)
    assert_same(bfncodec.decode(bfncodec.encode(file, media="image")), file)


@pytest.mark.parametrize("colour", LAYOUTS)
def test_one_pixel(colour: int) -> None:
    file = png(1, 1, colour)
    assert back(file) == back(back(file))
    assert bfncodec.decode(bfncodec.encode(file, model="tiny")) in (file, back(file))


def test_interlaced_png_keeps_its_pixels() -> None:
    """Adam7 of a 3 x 2 grey image, by hand: passes 1, 4, 6 and 7."""
    file = png(3, 2, 0, raw=b"\0\1" + b"\0\3" + b"\0\2" + b"\0\4\5\6", interlace=1)
    picture = media.parse(file, LIMIT)
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
        (b"acTL", struct.pack(">II", 1, 0)),
        (b"fcTL", bytes(26)),
        (b"ABCD", b"critical, unknown"),
        (b"IHDR", bytes(13)),
    ],
    ids=lambda entry: entry[0].decode(),
)
def test_what_changes_the_meaning_of_pixels_is_coded_as_bytes(extra: Chunk) -> None:
    file = png(before=(extra,))
    assert media.parse(file, LIMIT) is None
    assert bfncodec.decode(bfncodec.encode(file)) == file


@pytest.mark.parametrize("kind", [b"iDOT", b"caBX", b"dSIG", b"prVT"])
def test_what_may_point_into_packed_pixels_or_sign_them_is_coded_as_bytes(kind: bytes) -> None:
    """Chunks that are unsafe to copy, unless they are known to depend on pixels alone."""
    for file in (png(before=((kind, bytes(28)),)), png(after=((kind, bytes(28)),))):
        assert media.parse(file, LIMIT) is None
        assert bfncodec.decode(bfncodec.encode(file)) == file


def adam7(pixels: np.ndarray) -> bytes:
    """What zlib packs of an interlaced PNG of pixels uint8 [height, width, channels]."""
    raw = b""
    for left, top, across, down in png_medium._PASSES:
        part = pixels[top::down, left::across]
        raw += b"".join(b"\0" + row.tobytes() for row in part if row.size)
    return raw


@pytest.mark.parametrize("colour", MODELLED)
def test_interlaced_png_of_any_size(colour: int) -> None:
    for width, height in itertools.product((1, 2, 3, 4, 5, 8, 9), (1, 2, 3, 5, 9)):
        pixels = np.random.default_rng(width).integers(0, 256, (height, width, CHANNELS[colour]), np.uint8)
        picture = media.parse(png(width, height, colour, raw=adam7(pixels), interlace=1), LIMIT)
        assert picture is not None and np.array_equal(picture.pixels, pixels)


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("colour", MODELLED)
def test_pixels_that_unpack_to_too_much_take_little_memory(colour: int, interlace: int) -> None:
    file = packed_png(zlib.compress(bytes(1 << 24)), colour=colour, interlace=interlace)
    tracemalloc.start()
    try:
        assert media.parse(file, LIMIT) is None
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
        "magic alone": PNG_MAGIC,
        "length": bytes(huge),
        "no pixels": PNG_MAGIC + chunk(*(png_medium._chunks(good) or [])[0]) + chunk(b"IEND", b""),
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
    assert media.parse(file, LIMIT) is None
    assert bfncodec.decode(bfncodec.encode(file)) == file


@pytest.mark.parametrize("name", broken_pngs())
def test_broken_png_is_coded_as_bytes(name: str) -> None:
    file = broken_pngs()[name]
    assert media.parse(file, LIMIT) is None
    assert bfncodec.decode(bfncodec.encode(file)) == file


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
    packed = dict(png_medium._chunks(file) or [])[b"IDAT"]
    start = file.index(b"IDAT") - 4
    split = file[:start] + b"".join(chunk(b"IDAT", packed[i : i + 3]) for i in range(0, len(packed), 3)) + file[-12:]
    assert back(split) == back(file)
    empty = chunk(b"IDAT", b"")
    assert back(file[:start] + 2 * empty + file[start:-12] + 2 * empty + file[-12:]) == back(file)


def test_transparent_colours_are_kept() -> None:
    """tRNS is a chunk like any other: of grey, RGB and palettes, and where it means nothing."""
    for colour, depth, content in (
        (0, 8, b"\0\7"),
        (0, 16, b"\1\2"),
        (2, 8, bytes(6)),
        (3, 4, b"\0\x80"),
        (6, 8, b"x"),
    ):
        entry = (b"tRNS", content)
        known = png_medium._chunks(png(3, 2, colour, depth)) or []
        at = [kind for kind, _ in known].index(b"IDAT")
        file = png_medium._png([*known[:at], entry, *known[at:-1]])
        assert chunks_of(back(file)) == chunks_of(file)
        assert_same(bfncodec.decode(bfncodec.encode(file, model="tiny", media="image")), file)


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
    picture = media.parse(bytes(file), LIMIT)
    assert picture is None or media.build(picture).startswith(PNG_MAGIC)


def test_damaged_metadata_is_an_error() -> None:
    pixels = np.zeros((1, 1, 1), np.uint8)
    for metadata in (
        b"\0",
        struct.pack("<II", 1, 1),
        struct.pack("<II", 4, 0) + b"tEXt",
        struct.pack("<II", 9, 0) + struct.pack(">I", 9) + b"tEXtx",
    ):
        with pytest.raises(CorruptFile, match="metadata"):
            media.build(Picture(Origin.PNG, Layout.L, pixels, metadata))


def test_image_bomb_is_cheap() -> None:
    """50,000 x 50,000 pixels of one bit in about 300 kB: refused, never unpacked."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(6251 * 500)) for _ in range(100)) + packer.flush()
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 1, 0, 0, 0, 0)
    file = PNG_MAGIC + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceeded, match="--max-pixels"):
            media.parse(file, 1 << 28)
        assert tracemalloc.get_traced_memory()[1] < 4 * len(file)
    finally:
        tracemalloc.stop()
    assert bfncodec.decode(bfncodec.encode(file, media="bytes")) == file


def test_text_bomb_is_kept_packed() -> None:
    """A text chunk of 100 MB once unpacked is metadata like any other."""
    file = png(before=((b"zTXt", b"bomb\0\0" + zlib.compress(bytes(100_000_000), 1)),))
    tracemalloc.start()
    try:
        assert chunks_of(back(file)) == chunks_of(file)
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()
