"""Pillow opens and saves .bfn files as it does others."""

import io
import itertools
import math
import pickle
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from jpeg.test_files import picture
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile, PngInfo
from PIL.TiffImagePlugin import IFDRational

import bfncodec
import bfncodec.pillow
from bfncodec import container, encoding, media
from bfncodec.blocks.image import Image as ImageForm
from bfncodec.errors import UnsupportedFeature
from bfncodec.media import convert
from bfncodec.media.medium import joined
from bfncodec.media.png import packed
from bfncodec.picture import Layout, Origin, Picture
from bfncodec.presets import Choices


def saved(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "BFN", **({"model": "tiny"} | options))
    return buffer.getvalue()


def png(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return buffer.getvalue()


def archived(*items: tuple[str, bytes], media: str = "auto") -> bytes:
    return container.write(encoding.encode_archive(list(items), Choices(model="tiny", media=media)))


def damaged(data: bytes) -> bytes:
    """One bit of the last stream is another."""
    return data[:-9] + bytes([data[-9] ^ 4]) + data[-8:]


@pytest.fixture
def small(photo: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(photo[:32, :32])


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_modes_and_metadata_survive(small: np.ndarray, mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(small).convert(mode)
    if mode.endswith("A"):
        image.putalpha(Image.fromarray(small[..., 0]))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.info = {"icc_profile": b"profile", "exif": exif.tobytes(), "dpi": (300, 150)}
    path = tmp_path / "x.bfn"
    image.save(path, model="tiny")
    with Image.open(path) as back:
        assert (back.format, back.mode, back.size) == ("BFN", mode, (32, 32))
        assert back.get_format_mimetype() == "image/x-bfn"
        assert back.info["icc_profile"] == b"profile"
        assert back.info["dpi"] == pytest.approx((300, 150), abs=0.1)
        assert back.getexif()[0x0112] == 6
        assert np.array_equal(np.asarray(back), np.asarray(image))


def test_options_take_the_place_of_info(small: np.ndarray) -> None:
    image = Image.fromarray(small)
    image.info = {"icc_profile": b"profile", "dpi": (300, 300)}
    with Image.open(io.BytesIO(saved(image, icc_profile=None, dpi=(72, 72), effort="lattice"))) as back:
        assert "icc_profile" not in back.info
        assert back.info["dpi"] == pytest.approx((72, 72), abs=0.1)
        assert np.array_equal(np.asarray(back), small)
    assert image.info == {"icc_profile": b"profile", "dpi": (300, 300)}


@pytest.mark.parametrize(
    "dpi",
    [
        (IFDRational(0, 0), IFDRational(0, 0)),
        (72, math.nan),
        (math.inf, math.inf),
        (-math.inf, 72),
        (-72, -72),
        (72, -1),
        (1e30, 72),
        (1 << 30, 72),
        (72,),
        (72, 72, 72),
        72,
        "high",
    ],
    ids=repr,
)
def test_a_resolution_that_is_none_is_left_out(small: np.ndarray, dpi: object) -> None:
    """As TIFFs and JPEGs give them to Pillow; also where they are given on, as they often are."""
    image = Image.fromarray(small)
    given = saved(image, dpi=dpi)
    image.info |= {"dpi": dpi, "icc_profile": b"profile"}
    for data in (given, saved(image), bfncodec.encode(image, model="tiny")):
        with Image.open(io.BytesIO(data)) as back:
            assert "dpi" not in back.info
            assert np.array_equal(np.asarray(back), small)
    assert bfncodec.decode(data).info == {"icc_profile": b"profile"}


@pytest.mark.parametrize("dpi", [(0, 0), (IFDRational(300, 2), np.float32(150)), [150.0, 150]], ids=repr)
def test_any_resolution_is_kept(small: np.ndarray, dpi: object) -> None:
    image = Image.fromarray(small)
    image.info = {"dpi": dpi, "icc_profile": "text of a PNG", "exif": "text of a PNG"}
    with Image.open(io.BytesIO(saved(image))) as back:
        assert list(back.info) == ["dpi"]
        assert back.info["dpi"] == pytest.approx([float(inches) for inches in dpi], abs=0.1)


def test_a_coded_png_files_chunks_are_seen_and_dangerous_ones_are_not(small: np.ndarray) -> None:
    info = PngInfo()
    info.add_text("Title", "waves")
    info.add(b"gAMA", (45455).to_bytes(4, "big"))
    info.add_text("After", "the pixels", zip=True)
    with Image.open(io.BytesIO(bfncodec.encode(png(small, pnginfo=info), model="tiny"))) as back:
        assert back.info["Title"] == "waves"
        assert back.info["After"] == "the pixels"
        assert back.info["gamma"] == pytest.approx(0.45455)
    for kind, content in ((b"IHDR", struct.pack(">II5B", 50_000, 50_000, 8, 2, 0, 0, 1)), (b"acTL", bytes([1] * 8))):
        assert convert.info(Origin.PNG, joined(packed([(kind, content)]), b"")) == {}


def with_chunks(file: bytes, *chunks: tuple[bytes, bytes], after: bool = False) -> bytes:
    """A PNG file with more chunks."""
    where = len(file) - 12 if after else 33
    made = [struct.pack(">I", len(c)) + kind + c + struct.pack(">I", zlib.crc32(kind + c)) for kind, c in chunks]
    return file[:where] + b"".join(made) + file[where:]


@pytest.mark.parametrize("after", [False, True])
def test_chunks_that_pillow_refuses_are_left_out_of_info(small: np.ndarray, after: bool) -> None:
    odd = [
        (b"zTXt", b"Large\0\0" + zlib.compress(bytes(1 << 21))),
        (b"iTXt", b"Large\0\1\0\0\0" + zlib.compress(bytes(1 << 21))),
        (b"zTXt", b"Odd\0\1abc"),
        *((b"gAMA", b"\0"), (b"pHYs", b"\0"), (b"cHRM", b"\0"), (b"sRGB", b""), (b"iCCP", b"name\0\1abc")),
    ]
    good = [(b"tEXt", b"Title\0waves"), (b"zTXt", b"Small\0\0" + zlib.compress(b"text"))]
    file = with_chunks(png(small), good[0], *odd, good[1], after=after)
    with Image.open(io.BytesIO(bfncodec.encode(file, model="tiny"))) as back:
        assert back.info == {"Title": "waves", "Small": "text"}
        assert np.array_equal(np.asarray(back), small)


def test_a_large_profile_is_in_info(small: np.ndarray) -> None:
    profile = np.random.default_rng(0).bytes(1 << 21)
    image = Image.fromarray(small)
    image.info["icc_profile"] = profile
    with Image.open(io.BytesIO(saved(image))) as back:
        assert back.info == {"icc_profile": profile}


def test_texts_that_unpack_to_too_much_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is unpacked than Pillow allows in all."""
    monkeypatch.setattr("PIL.PngImagePlugin.MAX_TEXT_MEMORY", 5 << 20)
    texts = [(b"zTXt", b"%d\0\0" % number + zlib.compress(bytes(1 << (20 + number % 2)))) for number in range(20)]
    told = convert.info(Origin.PNG, joined(packed(texts), b""))
    assert sorted(told) == ["0", "2", "4"]


@pytest.mark.parametrize("kind", ["BMP", "PPM"])
def test_coded_bmp_and_pnm_files_open(small: np.ndarray, kind: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(small).save(buffer, kind, dpi=(200, 100))
    with Image.open(io.BytesIO(bfncodec.encode(buffer.getvalue(), model="tiny"))) as back:
        assert np.array_equal(np.asarray(back), small)
        if kind == "BMP":
            assert back.info["dpi"] == pytest.approx((200, 100), abs=0.1)


def test_opening_decodes_nothing(small: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(Image.fromarray(small))
    monkeypatch.setattr(ImageForm, "_decoded", None)
    with Image.open(io.BytesIO(data)) as back:
        assert back.size == (32, 32)


def test_opening_loads_neither_models_nor_torch(small: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "x.bfn").write_bytes(saved(Image.fromarray(small)))
    code = (
        "import sys, bfncodec.pillow; from PIL import Image; print(Image.open('x.bfn').size); "
        "print({'torch', 'llvmlite', 'constriction'} & set(sys.modules))"
    )
    paths = [str(Path(__file__).parents[1])]
    child = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": paths[0]}, capture_output=True, text=True
    )
    assert child.stdout == "(32, 32)\nset()\n", child.stderr


def test_a_loaded_image_is_one_as_any_other(small: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "x.bfn"
    path.write_bytes(saved(Image.fromarray(small)))
    image = Image.open(path)
    image.load()
    image.load()
    assert image.getpixel((3, 4)) == tuple(small[4, 3])
    image.putpixel((0, 0), (1, 2, 3))
    image.save(path, model="tiny")
    with Image.open(path) as back:
        assert back.getpixel((0, 0)) == (1, 2, 3)
    with Image.open(path) as back:
        assert np.array_equal(np.asarray(pickle.loads(pickle.dumps(back)))[1:], small[1:])
    closed = Image.open(path)
    closed.close()
    with pytest.raises(ValueError, match="closed"):
        closed.load()


@pytest.mark.parametrize("mode", ["PA", "CMYK", "I", "F", "YCbCr"])
def test_other_modes_are_refused_and_leave_no_file(mode: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f"cannot write mode {mode} as BFN; there are 1, L, I;16, P, LA, RGB, RGBA"):
        Image.new(mode, (8, 8)).save(tmp_path / "x.bfn")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("mode", "transparent"),
    [("1", 255), ("L", 7), ("L", 0), ("I;16", 300), ("RGB", (1, 2, 3)), ("P", 3), ("P", b"\1\2")],
)
def test_a_transparent_colour_is_kept(mode: str, transparent: object, tmp_path: Path) -> None:
    image = Image.new(mode, (8, 8))
    if mode == "P":
        image.putpalette(bytes(range(12)))
    path = tmp_path / "x.bfn"
    image.save(path, transparency=transparent)
    with Image.open(path) as back:
        assert back.info == {"transparency": transparent}
    image.info["transparency"] = transparent
    image.save(path)
    assert bfncodec.decode(bfncodec.encode(image)).info == {"transparency": transparent}
    with Image.open(io.BytesIO(saved(image, transparency=None))) as back:
        assert back.info == {}, "an option takes the place of info"


@pytest.mark.parametrize(("mode", "transparent"), [("RGB", b"\1\2\3"), ("RGB", (1, 2)), ("L", "x"), ("L", -1)])
def test_a_transparent_colour_that_is_none_is_refused_and_not_lost(
    mode: str, transparent: object, tmp_path: Path
) -> None:
    image = Image.new(mode, (8, 8))
    with pytest.raises(OSError, match="transparent colour"):
        image.save(tmp_path / "x.bfn", transparency=transparent)
    image.info["transparency"] = transparent
    with pytest.raises(UnsupportedFeature, match="transparent colour"):
        bfncodec.encode(image)
    assert not list(tmp_path.iterdir())
    assert saved(image, transparency=None)


@pytest.mark.parametrize("mode", ["1", "P", "I;16"])
def test_exact_modes_survive(mode: str, tmp_path: Path) -> None:
    source = np.random.default_rng(0)
    if mode == "I;16":
        image = Image.fromarray(source.integers(0, 1 << 16, (33, 19), np.uint16))
    else:
        image = Image.fromarray(source.integers(0, 256, (33, 19, 3), np.uint8)).convert(mode, colors=100)
    image.info = {"dpi": (300, 150)}
    path = tmp_path / "x.bfn"
    image.save(path)
    for back in (Image.open(io.BytesIO(path.read_bytes())), bfncodec.decode(path.read_bytes())):
        assert (back.mode, back.size) == (mode, (19, 33))
        assert back.getpalette() == image.getpalette()
        assert back.tobytes() == image.tobytes()
        assert back.info["dpi"] == pytest.approx((300, 150), abs=0.1)
    with Image.open(path) as back:
        back.verify()
    with Image.open(path) as back:
        assert back.draft(None, (1, 2)) is not None and back.size == (2, 3)
        assert np.array_equal(np.asarray(back), np.asarray(image)[::16, ::16])


def test_palettes_of_any_size_survive() -> None:
    """Also where pixels lie beyond them."""
    for colours, largest in itertools.product((1, 2, 3, 16, 17, 256), (0, 1, 5, 200)):
        image = Image.new("P", (4, 1))
        image.putpalette(np.random.default_rng(1).bytes(3 * colours))
        image.putdata([0, largest, 0, largest // 2])
        back = bfncodec.decode(bfncodec.encode(image))
        assert back.tobytes() == image.tobytes()
        if largest < colours:
            assert back.getpalette() == image.getpalette()


@pytest.mark.parametrize("entry", [None, (b"PLTE", b""), (b"PLTE", b"\1\2")])
def test_a_file_without_a_palette_is_not_pillows(entry: tuple[bytes, bytes] | None) -> None:
    metadata = joined(packed([entry]), b"") if entry else b""
    picture = Picture(Origin.PNG, Layout.P, np.zeros((2, 2, 1), np.uint8), metadata)
    data = container.write(encoding.encode_pictures([picture], Choices()))
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(data))


def test_a_stale_transparent_colour_beside_alpha_means_nothing() -> None:
    """Pillow does the same."""
    image = Image.new("RGBA", (8, 8), (1, 2, 3, 4))
    image.info["transparency"] = (1, 2, 3)
    for data in (saved(image), bfncodec.encode(image, model="tiny")):
        with Image.open(io.BytesIO(data)) as back:
            assert back.mode == "RGBA" and back.getpixel((0, 0)) == (1, 2, 3, 4)


def test_a_png_with_a_transparent_colour_keeps_it_as_rgba() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (1, 2, 3)).save(buffer, "PNG", transparency=(1, 2, 3))
    with Image.open(buffer) as opened, Image.open(io.BytesIO(saved(opened.convert("RGBA")))) as back:
        assert back.getpixel((0, 0)) == (1, 2, 3, 0)


def test_other_wrong_wishes_are_refused(small: np.ndarray) -> None:
    image = Image.fromarray(small)
    with pytest.raises(ValueError, match="effort"):
        saved(image, effort="blocks")
    with pytest.raises(OSError, match="no model"):
        saved(image, model="absent")


def test_files_that_are_no_single_image_are_not_pillows(small: np.ndarray) -> None:
    archive = archived(("a.png", png(small)), ("b.png", png(255 - small)))
    for data in (bfncodec.encode(b"text " * 50), archive, bfncodec.encode(png(small), media="bytes")):
        with pytest.raises(UnidentifiedImageError):
            Image.open(io.BytesIO(data))


def test_an_archive_of_one_image_opens(small: np.ndarray) -> None:
    with Image.open(io.BytesIO(archived(("a.png", png(small)), media="image"))) as back:
        assert np.array_equal(np.asarray(back), small)


def test_damage_is_an_os_error(small: np.ndarray) -> None:
    image = Image.fromarray(small)
    image.info = {"icc_profile": b"profile" * 20}
    data = saved(image)
    for length in range(0, len(data), 7):
        with pytest.raises(UnidentifiedImageError):
            Image.open(io.BytesIO(data[:length]))
    for position in range(5, len(data), 131):
        wrong = data[:position] + bytes([data[position] ^ 16]) + data[position + 1 :]
        with pytest.raises(OSError):
            Image.open(io.BytesIO(wrong)).load()


@pytest.mark.parametrize("work", ["load", "verify"])
def test_a_closed_file_is_not_taken_for_damage(small: np.ndarray, tmp_path: Path, work: str) -> None:
    path = tmp_path / "x.bfn"
    path.write_bytes(saved(Image.fromarray(small)))
    for opened in (path.open("rb"), io.BytesIO(path.read_bytes())):
        with opened:
            image = Image.open(opened)
        with pytest.raises(ValueError, match="closed file"):
            getattr(image, work)()


def test_verify_checks_the_checksum(small: np.ndarray, tmp_path: Path) -> None:
    data = saved(Image.fromarray(small))
    path = tmp_path / "x.bfn"
    path.write_bytes(data)
    with Image.open(path) as image:
        image.verify()
        with pytest.raises(RuntimeError, match="directly after open"):
            image.verify()
    path.write_bytes(damaged(data))
    with Image.open(path) as image, pytest.raises(OSError, match="damaged|checksum"):
        image.verify()
    with Image.open(path) as image, pytest.raises(OSError, match="damaged|checksum"):
        image.load()


def test_draft_is_the_thumbnail_and_decodes_nothing_else(
    photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.bfn"
    Image.fromarray(photo).save(path, model="tiny")
    monkeypatch.setattr(ImageForm, "decode", None)
    with Image.open(path) as image:
        assert image.draft(None, (4, 4)) is None
        assert image.size == (56, 48)
        assert image.draft("RGB", (3, 3)) == ("RGB", (0, 0, 3.5, 3))
        assert image.draft("RGB", (1, 1)) is None
        assert image.size == (4, 3)
        assert np.array_equal(np.asarray(image), photo[::16, ::16])
    with Image.open(path) as image:
        image.thumbnail((1, 1))
        assert image.size == (1, 1)
        assert len(image.tobytes()) == 3


def test_pillows_limits_hold(small: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(Image.fromarray(small))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(io.BytesIO(data)).close()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(data))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with Image.open(io.BytesIO(data)) as image:
        image.load()


def test_metadata_that_unpack_to_too_much_are_refused(small: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.fromarray(small)
    image.info = {"icc_profile": b"profile" * 100}
    data = saved(image)
    monkeypatch.setattr("bfncodec.pillow.METADATA_LIMIT", 20)
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(data))


def test_pillows_limit_is_left_alone_also_meanwhile(small: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    opened = PngImageFile._open
    colours = io.BytesIO()
    Image.fromarray(small).quantize(16).save(colours, "PNG")

    def watched(image: PngImageFile) -> None:
        seen.append(Image.MAX_IMAGE_PIXELS)
        opened(image)

    monkeypatch.setattr(PngImageFile, "_open", watched)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert bfncodec.decode(bfncodec.encode(png(small), model="tiny"))
    assert convert.convert(media.parse(colours.getvalue(), 1 << 20), ".bmp")[0]
    assert set(seen) == {10}, "it is one for all threads"


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_files_are_what_pillow_makes_of_them(mode: str) -> None:
    """Pixels, what is known of them, and smaller versions."""
    original = picture(203, 150, mode)
    buffer = io.BytesIO()
    original.save(buffer, "JPEG", quality=90, dpi=(200, 200), comment=b"made here", icc_profile=b"profile")
    data = bfncodec.encode(buffer.getvalue())
    with Image.open(buffer) as expected, Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode, image.size) == ("BFN", mode, expected.size)
        assert image.info == expected.info and image.info["comment"] == b"made here"
        assert np.array_equal(np.asarray(image), np.asarray(expected))
    with Image.open(buffer) as expected, Image.open(io.BytesIO(data)) as image:
        assert image.draft(None, (50, 37)) == expected.draft(None, (50, 37))
        assert image.size == expected.size == (51, 38)
        assert np.array_equal(np.asarray(image), np.asarray(expected))
    with Image.open(io.BytesIO(damaged(data))) as image, pytest.raises(OSError, match="damaged"):
        image.load()


def test_exif_of_jpeg_files() -> None:
    """The orientation, as tools ask for it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    picture(40, 30, "RGB").save(buffer, "JPEG", exif=exif)
    with Image.open(io.BytesIO(bfncodec.encode(buffer.getvalue()))) as image:
        assert image.getexif()[0x0112] == 6
