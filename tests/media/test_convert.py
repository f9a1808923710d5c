"""Pictures in other formats on the way out."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile
from tools.image_files import LIMIT, METADATA, MODELLED, PNMS, PROFILE, Chunk, bmp, exif, pixels_of, png

from bfncodec import media
from bfncodec.errors import CorruptFile, UnsupportedFeature
from bfncodec.media import convert
from bfncodec.media import png as png_medium
from bfncodec.media.medium import joined
from bfncodec.media.png import packed
from bfncodec.picture import Layout, Origin, Picture, of_values


def converted(file: bytes, suffix: str) -> bytes:
    """The image in a file in another format."""
    picture = media.parse(file, LIMIT)
    assert picture is not None
    return convert.convert(picture, suffix)[0]


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("suffix", [".png", ".ppm", ".pgm", ".pnm", ".bmp", ".tif", ".tiff", ".webp"])
def test_convert(layout: Layout, suffix: str) -> None:
    """The same pixels, or a refusal where the format cannot hold them."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, layout.channels), np.uint8)
    colours = joined(packed([(b"PLTE", np.random.default_rng(1).bytes(768))]), b"") if layout is Layout.P else b""
    file = media.build(Picture(Origin.ARRAY, layout, pixels, colours))
    able = {
        ".pgm": {Layout.L},
        **dict.fromkeys((".ppm", ".pnm"), {Layout.L, Layout.RGB}),
        ".bmp": {Layout.L, Layout.RGB, Layout.P},
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
    picture = media.parse(file, LIMIT)
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


ODD: dict[str, Chunk] = {
    "large zTXt": (b"zTXt", b"Large\0\0" + zlib.compress(bytes(1 << 21))),
    "large iTXt": (b"iTXt", b"Large\0\1\0\0\0" + zlib.compress(bytes(1 << 21))),
    "method of zTXt": (b"zTXt", b"Odd\0\1abc"),
    "large profile": (b"iCCP", b"name\0\0" + zlib.compress(PROFILE)),
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
                assert opened.info["icc_profile"] == PROFILE
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
        assert np.array_equal(np.asarray(opened), media.parse(bytes(file), LIMIT).pixels)
        assert opened.info["dpi"] == pytest.approx((72, 72), abs=0.1)


def test_convert_beyond_a_formats_size_is_refused() -> None:
    for size in ((16384, 1), (1, 16384)):
        with pytest.raises(UnsupportedFeature, match="webp cannot hold"):
            converted(png(*size, 0), ".webp")
    assert converted(png(16383, 1, 0), ".webp")


def test_convert_is_not_stopped_by_pillows_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2)
    assert media.parse(png(), LIMIT) is not None
    assert np.array_equal(media.parse(converted(png(), ".bmp"), LIMIT).pixels, media.parse(png(), LIMIT).pixels)
    assert Image.MAX_IMAGE_PIXELS == 2


DEEP = [(layout, depth) for layout in Layout for depth in (1, 2, 4, 7, 10, 16) if layout is not Layout.P or depth < 7]


@pytest.mark.parametrize(("layout", "depth"), DEEP)
@pytest.mark.parametrize("suffix", [".png", ".ppm", ".pbm", ".pgm", ".bmp", ".tif", ".webp"])
def test_convert_of_other_depths(layout: Layout, depth: int, suffix: str) -> None:
    """Bits are not lost: what is read again, scaled back, is what it was; or a refusal."""
    pixels = np.random.default_rng(0).integers(0, 1 << depth, (5, 7, layout.channels))
    stored = pixels.astype(np.uint8 if depth <= 8 else np.uint16)
    colours = (
        joined(packed([(b"PLTE", np.random.default_rng(1).bytes(3 << depth))]), b"") if layout is Layout.P else b""
    )
    picture = Picture(Origin.ARRAY, layout, stored, colours, depth)
    grey = layout is Layout.L
    able = {
        ".png": True,
        ".pbm": grey and depth == 1,
        ".pgm": grey,
        ".ppm": grey or layout is Layout.RGB,
        ".bmp": depth <= 8 and layout in (Layout.L, Layout.RGB, Layout.P),
        ".tif": depth <= 8 or grey,
        ".webp": depth <= 8,
    }[suffix]
    if not able:
        with pytest.raises(UnsupportedFeature, match=f"cannot hold an image of mode {layout.name} and {depth} bit"):
            convert.convert(picture, suffix)
        return
    made, _ = convert.convert(picture, suffix)
    if suffix in (".bmp", ".tif", ".webp"):
        with Image.open(io.BytesIO(made)) as opened:
            wanted = convert.shown(picture)
            assert np.array_equal(np.asarray(opened.convert(wanted.mode)), np.asarray(wanted)) or layout is Layout.P
            assert np.array_equal(np.asarray(opened.convert("RGBA")), np.asarray(wanted.convert("RGBA")))
        return
    again = media.parse(made, LIMIT)
    assert again is not None and again.layout is layout and again.depth >= depth
    top = (1 << again.depth) - 1 if layout is not Layout.P else (1 << depth) - 1
    assert np.array_equal(-(-again.pixels.astype(np.int64) * ((1 << depth) - 1) // top), pixels)


def test_a_converted_picture_of_16_bits_keeps_its_metadata() -> None:
    known = dict(METADATA)
    chunks = tuple((kind, known[kind]) for kind in (b"iCCP", b"pHYs", b"eXIf"))
    picture = media.parse(png(3, 2, 2, 16, before=chunks), LIMIT)
    assert picture is not None
    picture.origin = Origin.ARRAY
    made, lost = convert.convert(picture, ".png")
    assert not lost
    with Image.open(io.BytesIO(made)) as opened:
        assert opened.info["icc_profile"] == b"profile" * 50 and opened.info["dpi"] and opened.getexif()[0x0112] == 6
    again = media.parse(made, LIMIT)
    assert again is not None and again.depth == 16 and np.array_equal(again.pixels, picture.pixels)


def test_transparent_colours_are_kept_or_named() -> None:
    known = png_medium._chunks(png(3, 2, 3)) or []
    file = png_medium._png([*known[:2], (b"tRNS", b"\0\x80"), *known[2:-1]])
    assert left_out(file, ".webp") == []
    assert left_out(file, ".tif") == left_out(file, ".bmp") == ["other metadata"]
    with Image.open(io.BytesIO(converted(file, ".webp"))) as opened, Image.open(io.BytesIO(file)) as wanted:
        alpha = np.asarray(wanted.convert("RGBA"))[..., 3]
        assert np.array_equal(np.asarray(opened.convert("RGBA"))[..., 3], alpha) and alpha.min() == 0


def test_signed_values_are_no_pixels_of_other_formats() -> None:
    picture = of_values(Origin.ARRAY, np.zeros((2, 2, 1), np.int16))
    with pytest.raises(UnsupportedFeature, match="signed"):
        convert.convert(picture, ".tif")


@pytest.mark.parametrize("content", [None, b"", b"\1\2"])
def test_a_palette_that_is_none_is_an_error(content: bytes | None) -> None:
    metadata = joined(packed([(b"PLTE", content)]), b"") if content is not None else b""
    with pytest.raises(CorruptFile, match="palette"):
        convert.shown(Picture(Origin.PNG, Layout.P, np.zeros((2, 2, 1), np.uint8), metadata))
    with pytest.raises(CorruptFile, match="palette"):
        convert.colours(Origin.PNG, metadata)
