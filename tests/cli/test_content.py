"""What goes into files and what comes out: rows 19 and 25 to 28 of the checklist, archives, previews, conversion."""

import io
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tools.command import SIDE, TEXT, call, encoded_png, good, listing, pixels, png, shown

import bfncodec
from bfncodec import container
from bfncodec.blocks import plain
from bfncodec.blocks.image import Image as ImageForm
from bfncodec.container import Block, File
from bfncodec.models.image.passes import STRIDE, Pass, Schedule
from bfncodec.picture import Layout, Origin


@pytest.fixture
def inputs(folder: Path) -> dict[str, bytes]:
    """Files for an archive: two images that share a block, a text, an empty file."""
    made = {"0": TEXT, "a.png": png(1), "b.png": png(2), "empty": b""}
    for name, content in made.items():
        (folder / name).write_bytes(content)
    return made


def set_of(*names: str) -> bytes:
    """An archive of equal short texts with any names."""
    return container.write(File([plain.encode(b"text")] * len(names), list(names)))


def mode_of(path: str) -> str:
    """The coding mode that info tells."""
    return json.loads(good("info", "--json", path).out)["blocks"][0]["mode"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data.replace(b"\r\n", b"\n"),
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: bytes(byte & 0x7F for byte in data),
        lambda data: data.decode("utf-8", "replace").encode(),
    ],
    ids=["CRLF to LF", "LF to CRLF", "7 bits", "decoded as text"],
)
def test_damage_by_text_mode_is_named(folder: Path, damage) -> None:
    """Row 19."""
    data = good("encode", given=TEXT).out
    for command in ("decode", "test", "info"):
        result = call(command, "-", given=damage(data))
        assert (result.code, result.out) == (1, b"") and "text mode" in result.err


def test_the_type_is_in_the_file_not_in_its_name(folder: Path) -> None:
    """Row 19: both ways."""
    (folder / "image.txt").write_bytes(png())
    (folder / "image.bfn").write_bytes(png())
    good("encode", "-m", "tiny", "image.txt")
    assert mode_of("image.txt.bfn") == "image"
    assert "not a .bfn file" in call("decode", "image.bfn", "-o", "out").err
    assert not (folder / "out").exists()


@pytest.mark.parametrize("command", ["decode", "test", "info"])
def test_trailing_bytes_are_an_error(folder: Path, command: str) -> None:
    """Row 25: one byte, or a whole second file."""
    data = good("encode", given=TEXT).out
    for more in (b"\0", data):
        result = call(command, "-", given=data + more)
        assert (result.code, result.out) == (1, b"") and f"{len(more)} bytes follow" in result.err


@pytest.mark.parametrize("size", [0, 1, 2, 1000, 1 << 20])
def test_files_hardly_grow(folder: Path, size: int) -> None:
    """Row 26: random bytes come back from files at most 64 bytes larger."""
    data = b"==" if size == 2 else np.random.default_rng(size).bytes(size)
    encoded = good("encode", given=data).out
    assert len(encoded) <= size + 64
    assert good("decode", given=encoded).out == data


@pytest.mark.parametrize("kind", ["PNG", "PPM"])
def test_images_hardly_grow(folder: Path, kind: str) -> None:
    """Row 26: noise in a well-packed image file."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)).save(buffer, kind)
    data = buffer.getvalue()
    encoded = good("encode", "-m", "tiny", given=data).out
    assert len(encoded) <= len(data) + 64
    assert (shown(good("decode", given=encoded).out) == shown(data)).all()


@pytest.mark.parametrize("kind", ["PPM", "BMP"])
def test_graphics_are_no_larger_than_their_bytes(folder: Path, kind: str) -> None:
    """Row 26: flat areas without a packing of their own, which the model makes small, and LZMA tiny."""
    drawn = np.full((200, 200, 3), 240, np.uint8)
    for number, (top, left, height, width) in enumerate(((10, 20, 60, 90), (50, 80, 100, 40), (120, 5, 70, 150))):
        drawn[top : top + height, left : left + width] = (40 * number, 200 - 60 * number, 90)
    buffer = io.BytesIO()
    Image.fromarray(drawn).save(buffer, kind)
    as_pixels = good("encode", "-m", "tiny", "--media", "image", "--no-verify", given=buffer.getvalue()).out
    as_bytes = good("encode", "--bytes", given=buffer.getvalue()).out
    encoded = good("encode", "-m", "tiny", given=buffer.getvalue()).out
    assert len(encoded) <= len(as_bytes) < len(as_pixels) < len(buffer.getvalue()) // 2
    assert good("decode", given=encoded).out == buffer.getvalue()


@pytest.mark.parametrize("command", ["decode", "test"])
def test_claims_are_refused_at_once(folder: Path, command: str) -> None:
    """Row 27: 2^40 bytes or pixels."""
    claims = Block(1, 1 << 40, bytes(8), plain.Lzma(b""))
    made = ImageForm(Origin.PNM, Layout.L, Schedule.WAVEFRONT, 1 << 20, 1 << 20, bytes(4))
    made.passes.append(Pass(constant=b"\0"))
    picture = Block(1, 1 << 40, bytes(8), made)
    call(command, given=good("encode", given=TEXT).out)
    for block, option in ((claims, "--max-output"), (picture, "--max-pixels")):
        times = []
        for _ in range(3):
            start = time.perf_counter()
            result = call(command, given=container.write(File([block])))
            times.append(time.perf_counter() - start)
        assert (result.code, result.out) == (1, b"") and option in result.err
        assert min(times) < 0.1


def test_limits_can_be_set(folder: Path) -> None:
    """Row 27: exactly the limit passes, one less does not."""
    (folder / "a.png").write_bytes(png())
    assert "--max-pixels" in call("encode", "-m", "tiny", "--max-pixels", SIDE**2 - 1, "a.png").err
    assert sorted(listing(folder)) == ["a.png"]
    good("encode", "-m", "tiny", "--max-pixels", SIDE**2, "a.png")
    for option, size in (("--max-pixels", SIDE**2), ("--max-output", 3 * SIDE**2)):
        assert option in call("decode", "a.png.bfn", option, size - 1, "-o", "out").err
        assert not (folder / "out").exists()
        good("test", "a.png.bfn", option, size)


def test_no_name_no_time(folder: Path) -> None:
    """Row 28: the same input gives the same file, alone and in archives."""
    for place, when in (("one", 10**9), ("other", 10**9 + 12345)):
        (folder / place).mkdir()
        for name, content in (("a.png", png()), ("text", TEXT)):
            (folder / place / name).write_bytes(content)
            os.utime(folder / place / name, (when, when))
        (folder / place / "text").rename(folder / place / f"text of {place}")
        good("encode", "-m", "tiny", f"{place}/a.png", f"{place}/text of {place}")
        good("encode", "-m", "tiny", f"{place}/a.png", "-o", f"{place}/again")
        (folder / place / f"text of {place}").rename(folder / place / "text")
        good("encode", "-m", "tiny", f"{place}/a.png", f"{place}/text", "-o", f"{place}/set.bfn")
    one, other = folder / "one", folder / "other"
    assert (one / "a.png.bfn").read_bytes() == (other / "a.png.bfn").read_bytes() == (other / "again").read_bytes()
    assert (one / "text of one.bfn").read_bytes() == (other / "text of other.bfn").read_bytes()
    assert (one / "set.bfn").read_bytes() == (other / "set.bfn").read_bytes()


def test_archive_there_and_back(folder: Path, inputs: dict[str, bytes]) -> None:
    """All items under their names; images share a block; the inputs go with --rm only."""
    good("encode", "-m", "tiny", *inputs, "-o", "set.bfn")
    told = json.loads(good("info", "--json", "set.bfn").out)
    assert sorted(told["names"]) == sorted(inputs) and [block["items"] for block in told["blocks"]].count(2) == 1
    good("test", "set.bfn")
    good("decode", "set.bfn")
    good("decode", "set.bfn", "--output-dir", "deep/out")
    for place in (folder / "set", folder / "deep/out"):
        back = {name: content for name, (content, _) in listing(place).items()}
        assert sorted(back) == sorted(inputs)
        assert back["0"] == TEXT and back["empty"] == b""
        assert (shown(back["b.png"]) == pixels(2)).all() and (shown(back["a.png"]) == pixels(1)).all()
    good("encode", "-f", "--rm", "-m", "tiny", *inputs, "-o", "set.bfn")
    assert sorted(listing(folder)) == ["set.bfn"]


def test_archive_items(folder: Path, inputs: dict[str, bytes]) -> None:
    """--item takes names first, then numbers from 0; -o converts; anything else fails without output."""
    good("encode", "-m", "tiny", "b.png", "0", "a.png", "-o", "set.bfn")
    names = json.loads(good("info", "--json", "set.bfn").out)["names"]
    assert good("decode", "set.bfn", "--item", "0", "-c").out == TEXT
    number = str(names.index("a.png")) if names.index("a.png") else "a.png"
    assert (shown(good("decode", "set.bfn", "--item", number, "-o", "-").out) == pixels(1)).all()
    good("decode", "set.bfn", "--item", "b.png", "-o", "out.ppm")
    assert (folder / "out.ppm").read_bytes() == b"P6\n%d %d\n255\n" % (SIDE, SIDE) + pixels(2).tobytes()
    before = listing(folder)
    for options in (["--item", "nothing"], ["--item", "3"], ["-o", "out"], ["-c"], ["-o", "out", "--item", "-1"]):
        result = call("decode", "set.bfn", *options)
        assert (result.code, result.out) == (1, b"")
    assert listing(folder) == before and not (folder / "set").exists()
    good("decode", "set.bfn", "--item", "a.png")
    assert sorted(listing(folder / "set")) == ["a.png"]
    good("encode", "0")
    assert call("decode", "0.bfn", "--item", "0", "-o", "out").code == 1


def test_archive_failures_name_the_input(folder: Path, inputs: dict[str, bytes]) -> None:
    """Row 8: no archive is made if an item cannot be read, or if two would have one name."""
    (folder / "sub").mkdir()
    (folder / "sub" / "empty").write_bytes(b"other")
    for names, word in ((["0", "missing"], "missing: No such file"), (["0", "sub"], "sub: is a folder")):
        result = call("encode", *names, "-o", "set.bfn")
        assert result.code == 1 and word in result.err
    assert "same name" in call("encode", "empty", "sub/empty", "-o", "set.bfn").err
    assert not (folder / "set.bfn").exists()


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "sub/evil", "..", ".", "", "a/../b"])
def test_unsafe_names_of_items_are_refused(folder: Path, name: str) -> None:
    """Nothing is written, not even the safe items; with -o the item can be had."""
    (folder / "x").mkdir()
    (folder / "x" / "set.bfn").write_bytes(set_of("safe", name))
    for options in ([], ["-f"], ["--output-dir", "x/y"]):
        result = call("decode", "x/set.bfn", *options)
        assert result.code == 1 and "not safe" in result.err
    assert [str(path.relative_to(folder)) for path in folder.rglob("*")] == ["x", "x/set.bfn"]
    assert good("decode", "x/set.bfn", "--item", "1", "-o", "-").out == b"text"


def test_unpacking_replaces_nothing(folder: Path) -> None:
    """Row 5: neither existing files, nor earlier items of the same name."""
    (folder / "set.bfn").write_bytes(set_of("one", "two"))
    (folder / "set").mkdir()
    (folder / "set" / "two").write_bytes(b"precious")
    assert call("decode", "set.bfn").code == 1
    assert {name: content for name, (content, _) in listing(folder / "set").items()} == {"two": b"precious"}
    good("decode", "-f", "set.bfn")
    assert (folder / "set" / "two").read_bytes() == b"text"


def test_damaged_archive_makes_no_folder(folder: Path) -> None:
    """Row 6."""
    data = bytearray(set_of("one"))
    data[-1] ^= 1
    (folder / "set.bfn").write_bytes(data)
    assert call("decode", "set.bfn").code == 1
    assert not (folder / "set").exists()


def test_preview(folder: Path) -> None:
    """A small image without the rest, under a name of its own; -o says the format."""
    (folder / "a.png").write_bytes(png())
    (folder / "a.png.bfn").write_bytes(encoded_png())
    good("decode", "--preview", "a.png.bfn")
    good("decode", "--preview", "a.png.bfn", "-o", "small.ppm")
    small = shown((folder / "a.png.preview.png").read_bytes())
    assert np.array_equal(small, pixels()[::STRIDE, ::STRIDE])
    assert (folder / "small.ppm").read_bytes().endswith(small.tobytes())
    assert (folder / "a.png").read_bytes() == png()
    assert "no preview" in call("decode", "--preview", given=good("encode", given=TEXT).out).err


@pytest.mark.parametrize("suffix", [".png", ".ppm", ".bmp", ".tif", ".webp", ".PNG"])
@pytest.mark.parametrize("mode", ["image", "bytes"])
def test_output_in_another_format(folder: Path, suffix: str, mode: str) -> None:
    """The suffix of -o says the format, whether the image was coded as pixels or as bytes."""
    (folder / "a.png.bfn").write_bytes(encoded_png() if mode == "image" else good("encode", "--bytes", given=png()).out)
    assert (mode_of("a.png.bfn") == "image") == (mode == "image")
    good("decode", "a.png.bfn", "-o", "out" + suffix)
    made = (folder / ("out" + suffix)).read_bytes()
    with Image.open(io.BytesIO(made)) as image:
        assert image.format == {".ppm": "PPM", ".tif": "TIFF"}.get(suffix, suffix[1:].upper())
    assert (shown(made) == pixels()).all()


@pytest.mark.parametrize("output", ["tmp.Xa3", "a.png.bak", "a.v1.2", "a.", "out.PNGX", "renamed.jpg", "a.gif"])
@pytest.mark.parametrize("mode", ["image", "bytes"])
def test_any_other_suffix_gives_the_file_as_it_was(folder: Path, output: str, mode: str) -> None:
    """As a file that `mktemp` made, or whose real name says nothing. That no JPEG comes out is told."""
    (folder / "a.bfn").write_bytes(encoded_png() if mode == "image" else good("encode", "--bytes", given=png()).out)
    (folder / output).touch()
    told = good("decode", "a.bfn", "-f", "-o", output).err
    assert (folder / output).read_bytes() == good("decode", "-c", "a.bfn").out
    other = output.endswith((".jpg", ".gif"))
    assert ("is made; the image keeps its own format" in told) == (other and mode == "image")
    assert "made" not in good("decode", "-q", "a.bfn", "-f", "-o", output).err


@pytest.mark.parametrize("frames", [1, 3])
def test_animations_stay_gif(folder: Path, frames: int) -> None:
    """One frame can be converted, several cannot; a preview is of the first."""
    images = [Image.fromarray(np.roll(pixels(), 7 * number, 0)).quantize(8) for number in range(frames)]
    images[0].save(folder / "a.gif", save_all=True, append_images=images[1:])
    good("encode", "a.gif")
    assert f"{frames} frame{'s' * (frames > 1)} (gif)" in good("info", "a.gif.bfn").out.decode()
    assert not good("decode", "a.gif.bfn", "-o", "b.gif").err
    assert (folder / "b.gif").read_bytes() == (folder / "a.gif").read_bytes()
    wanted = np.asarray(images[0].convert("RGB"))
    good("decode", "--preview", "a.gif.bfn", "-o", "small.png")
    with Image.open("small.png") as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), wanted[::STRIDE, ::STRIDE])
    if frames == 1:
        good("decode", "a.gif.bfn", "-o", "b.png")
        with Image.open("b.png") as image:
            assert np.array_equal(np.asarray(image.convert("RGB")), wanted)
    else:
        refused = call("decode", "a.gif.bfn", "-o", "b.png")
        assert refused.code == 1 and "3 frames" in refused.err
        assert not (folder / "b.png").exists()


def test_items_and_previews_under_any_other_suffix(folder: Path, inputs: dict[str, bytes]) -> None:
    good("encode", "-m", "tiny", *inputs, "-o", "set.bfn")
    good("decode", "set.bfn", "--item", "a.png", "-o", "out.1")
    assert np.array_equal(shown((folder / "out.1").read_bytes()), pixels(1))
    (folder / "a.png.bfn").write_bytes(encoded_png())
    good("decode", "--preview", "a.png.bfn", "-o", "small.1")
    assert np.array_equal(shown((folder / "small.1").read_bytes()), pixels()[::STRIDE, ::STRIDE])


def test_what_a_format_cannot_hold_is_refused_before_it_is_decoded(
    folder: Path, inputs: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No colours and no alpha are lost on the way, and nobody waits for a refusal."""
    (folder / "a.png.bfn").write_bytes(encoded_png())
    alpha = Image.fromarray(pixels()).convert("RGBA")
    (folder / "alpha.bfn").write_bytes(bfncodec.encode(alpha, model="tiny"))
    (folder / "wide.bfn").write_bytes(bfncodec.encode(np.zeros((1, 16384), np.uint8), model="tiny"))
    good("encode", "-m", "tiny", *inputs, "-o", "set.bfn")
    monkeypatch.setattr(ImageForm, "decode", None)
    for arguments in (
        ("a.png.bfn", "-o", "out.pgm"),
        *(("alpha.bfn", "-o", f"out.{suffix}") for suffix in ("pgm", "ppm", "pnm", "bmp")),
        ("wide.bfn", "-o", "out.webp"),
        ("set.bfn", "--item", "b.png", "-o", "out.pgm"),
    ):
        result = call("decode", *arguments)
        assert result.code == 1 and "cannot hold an image of" in result.err
        assert not (folder / arguments[-1]).exists()


@pytest.mark.parametrize("how", ["image", "bytes", "item"])
def test_what_a_format_does_not_keep_is_told(folder: Path, how: str) -> None:
    """Once, and only if the output is written."""
    buffer = io.BytesIO()
    Image.fromarray(pixels()).save(buffer, "PNG", icc_profile=b"profile", dpi=(72, 72), exif=b"Exif\0\0MM\0*")
    (folder / "a.png").write_bytes(buffer.getvalue())
    (folder / "b").write_bytes(TEXT)
    options = {"image": ["-m", "tiny"], "bytes": ["--bytes"], "item": ["-m", "tiny", "b"]}[how]
    item = ["--item", "a.png"] if how == "item" else []
    good("encode", "a.png", *options, "-o", "a.bfn")
    told = good("decode", "a.bfn", *item, "-o", "x.bmp").err
    assert told == "x.bmp: warning: written without ICC profile, EXIF\n"
    assert "warning" not in call("decode", "a.bfn", *item, "-o", "x.bmp").err
    assert good("decode", "-q", "a.bfn", *item, "-f", "-o", "x.bmp").err == ""
    for output in ("x.png", "x.1"):
        assert good("decode", "a.bfn", *item, "-o", output).err == ""


def test_pixels_coded_as_bytes_are_refused_too(folder: Path) -> None:
    (folder / "a.png.bfn").write_bytes(good("encode", "--bytes", given=png()).out)
    assert "cannot hold an image of" in call("decode", "a.png.bfn", "-o", "out.pgm").err
    assert not (folder / "out.pgm").exists()


def test_bytes_come_back_as_bytes(folder: Path) -> None:
    """--bytes keeps an image file's own bytes, and so do PNM and BMP as pixels."""
    files = {"a.png": png()}
    for name in ("b.ppm", "c.bmp"):
        buffer = io.BytesIO()
        Image.fromarray(pixels()).save(buffer, {"b.ppm": "PPM", "c.bmp": "BMP"}[name])
        files[name] = buffer.getvalue()
    for name, content in files.items():
        (folder / name).write_bytes(content)
        good("encode", "-m", "tiny", name, *(["--bytes"] if name == "a.png" else []))
        assert (mode_of(name + ".bfn") == "image") == (name != "a.png")
        assert good("decode", "-c", name + ".bfn").out == content


def test_palettes_and_words_are_told_of_and_seen(folder: Path) -> None:
    """`info`, `--preview`, `measure`, and `-o` of other formats."""
    values = np.arange(40 * 50).reshape(40, 50)
    Image.fromarray((values % 13 * 19).astype(np.uint8)).convert("RGB").quantize(8).save("p.png", bits=4)
    Image.fromarray((values * 30).astype(np.uint16)).save("w.tif")
    np.save("s.npy", (values * 30 - 9000).astype(np.int16))
    told = {"p.png": "P, 4 bits (png)", "w.tif": "L, 16 bits (tiff)", "s.npy": "L, signed 16 bits (npy)"}
    for name, kind in told.items():
        original = Path(name).read_bytes()
        good("encode", "--media", "image", name)
        assert f"50x40 {kind}, exact" in good("info", f"{name}.bfn").out.decode()
        good("decode", "-f", f"{name}.bfn")
        assert Path(name).read_bytes() == original or name == "p.png"
        good("decode", "--preview", f"{name}.bfn", "-o", "small.png", "-f")
        with Image.open("small.png") as small:
            assert (small.size, small.mode) == ((4, 3), "P" if name == "p.png" else "I;16")
        good("measure", name)
    good("decode", "w.tif.bfn", "-o", "w.png")
    with Image.open("w.png") as image:
        assert np.array_equal(np.asarray(image), values * 30)
    refused = call("decode", "s.npy.bfn", "-o", "s.png")
    assert refused.code == 1 and "signed" in refused.err
