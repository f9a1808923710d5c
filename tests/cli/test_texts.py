"""Texts through the command and the API: what is coded as text, as what else, and with which model."""

import hashlib
import json
import lzma
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tools.command import call, good, listing, pixels, png, shown, spawn

import bfncodec
from bfncodec import container, decoding
from bfncodec.blocks import plain, smallest
from bfncodec.blocks import text as text_blocks
from bfncodec.blocks.text import Text
from bfncodec.container import Block, File
from bfncodec.errors import CorruptFile, UnsupportedFeature
from bfncodec.models import zoo

BOOK = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of\r\n"
    "foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season of Light, it\r\n"
    "was the season of Darkness, it was the spring of hope, it was the winter of despair, we had everything\r\n"
    "before us, we had nothing before us, we were all going direct to Heaven, we were all going direct the\r\n"
    "other way – in short, the period was so far like the present period, that some of its noisiest\r\n"
    "authorities insisted on its being received, for good or for evil, in the superlative degree of\r\n"
    "comparison only.\r\n"
).encode()
LICENSE = (Path(__file__).parents[2] / "LICENSE").read_bytes()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, tiny_on_path: None, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a text and an image, the packaged text model, and no wait for the disk."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setenv("BFNCODEC_MODEL_DIR", str(tiny.parent))
    (tmp_path / "book.txt").write_bytes(BOOK)
    (tmp_path / "image.png").write_bytes(png())
    return tmp_path


@pytest.fixture
def tiny_texts(folder: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny text model in the place of the packaged one."""
    monkeypatch.setenv("BFNCODEC_MODEL_DIR", str(models))


def told(path: str) -> dict:
    """What info says of a file, as JSON."""
    return json.loads(good("info", "--json", path).out)


def modes(path: str) -> list[str]:
    return [block["mode"] for block in told(path)["blocks"]]


def mode_of(encoded: bytes) -> str:
    return bfncodec.info(encoded)["blocks"][0]["mode"]


def random(count: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(count)


# What a file is coded as


def test_a_book_is_coded_as_text(folder: Path) -> None:
    """By default, with the packaged model, which the header names; info says so, and that it is lossless."""
    good("encode", "book.txt")
    size = (folder / "book.txt.bfn").stat().st_size
    assert size < len(BOOK) // 3 < len(lzma.compress(BOOK))
    (block,) = told("book.txt.bfn")["blocks"]
    assert 0 < block.pop("bits_per_byte") < 8 * size / len(BOOK)
    assert block == {
        "mode": "text",
        "items": 1,
        "content_bytes": len(BOOK),
        "lossless": "bytes",
        "model": hashlib.sha256((zoo.PACKAGED / "text.safetensors").read_bytes()).hexdigest()[:8],
        "schedule": "bytewise",
        "lanes": 1,
    }
    people = good("info", "book.txt.bfn").out.decode()
    assert f"{len(BOOK)} bytes, text" in people and "lossless: bytes" in people
    assert good("test", "book.txt.bfn").err == "book.txt.bfn: OK\n"
    good("decode", "book.txt.bfn", "-o", "again.txt")
    assert (folder / "again.txt").read_bytes() == BOOK
    assert good("decode", given=good("encode", given=BOOK).out).out == BOOK
    assert bfncodec.decode(bfncodec.encode(BOOK)) == BOOK


@pytest.mark.parametrize(
    "media, name, wanted",
    [
        ("auto", "book.txt", "text"),
        ("auto", "image.png", "image"),
        ("image", "image.png", "image"),
        ("text", "book.txt", "text"),
        ("text", "image.png", "stored"),
        ("text", "image.ppm", "text"),
        ("bytes", "book.txt", "text"),
        ("bytes", "image.png", "stored"),
    ],
)
def test_media(folder: Path, media: str, name: str, wanted: str) -> None:
    """Through the command and the API alike; all but pixels come back byte for byte."""
    (folder / "image.ppm").write_bytes(b"P6\n24 24\n255\n" + pixels().tobytes())
    good("encode", "-m", "tiny", "--media", media, name)
    assert modes(name + ".bfn") == [wanted]
    data = (folder / name).read_bytes()
    encoded = (folder / (name + ".bfn")).read_bytes()
    assert bfncodec.encode(data, model="tiny", media=media) == encoded
    back = good("decode", "-c", name + ".bfn").out
    assert np.array_equal(shown(back), pixels()) if wanted == "image" else back == data
    if media == "bytes":
        assert good("encode", "-m", "tiny", "--bytes", "-c", name).out == encoded
        assert good("encode", "-m", "tiny", "--bytes", "--media", "bytes", "-c", name).out == encoded
        assert good("encode", "-m", "tiny", "--bytes", "--media", "auto", "-c", name).out == encoded


def test_a_text_is_no_image(folder: Path) -> None:
    result = call("encode", "--media", "image", "book.txt")
    assert result.code == 1 and "book.txt: not an image" in result.err and "--media auto" in result.err
    assert call("encode", "--media", "image", "image.png", "book.txt", "-o", "set.bfn").code == 1
    assert sorted(listing(folder)) == ["book.txt", "image.png"]
    with pytest.raises(UnsupportedFeature):
        bfncodec.encode(BOOK, media="image")


@pytest.mark.parametrize("options", ["--bytes --media text", "--bytes --media image", "--media sound", "--media"])
def test_contradictions_of_media_are_wrong_usage(folder: Path, options: str) -> None:
    result = call("encode", "book.txt", *options.split())
    assert (result.code, result.out) == (2, b"") and "--media" in result.err
    assert sorted(listing(folder)) == ["book.txt", "image.png"]


@pytest.mark.parametrize("media", ["auto", "text", "bytes"])
@pytest.mark.parametrize("data", [b"", b"a", b"\0", b"\xff", b"\n", b"\r\n", bytes(2)])
def test_the_smallest_files(folder: Path, media: str, data: bytes) -> None:
    """Row 26: nothing, one byte, two."""
    (folder / "small").write_bytes(data)
    good("encode", "--media", media, "small")
    assert (folder / "small.bfn").stat().st_size <= len(data) + 64
    assert modes("small.bfn") == ["stored"]
    assert good("decode", "-c", "small.bfn").out == data
    assert call("encode", "-f", "--media", "image", "small").code == 1


@pytest.mark.parametrize("media", ["auto", "text"])
@pytest.mark.parametrize("size", [10, 300, 5000])
def test_random_bytes_are_stored(folder: Path, size: int, media: str) -> None:
    """Row 26: alone and in an archive, whatever they are said to be."""
    data = random(size)
    (folder / "random").write_bytes(data)
    good("encode", "--media", media, "random")
    assert modes("random.bfn") == ["stored"]
    assert (folder / "random.bfn").stat().st_size <= size + 64
    assert good("decode", "-c", "random.bfn").out == data
    good("encode", "random", "book.txt", "-o", "set.bfn")
    assert modes("set.bfn") == ["stored", "text"]


@pytest.fixture
def no_texts(tiny_texts: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Coding whole items as text is an error; a sample may be tried."""

    def no(*_: object, **__: object) -> Block:
        raise AssertionError

    monkeypatch.setattr(text_blocks, "encode", no)


@pytest.mark.usefixtures("no_texts")
def test_large_random_items_are_not_tried() -> None:
    """Archives and video would take minutes."""
    data = random(smallest.PROBE_FROM + 1000)
    encoded = bfncodec.encode(data)
    assert mode_of(encoded) == "stored" and len(encoded) <= len(data) + 64


@pytest.mark.usefixtures("no_texts")
def test_large_repeats_are_not_tried() -> None:
    """They are left to LZMA: where the sample costs more, and where LZMA leaves next to nothing."""
    long = smallest.PROBE_FROM + 4
    for data in (random(1000) * (long // 500), random(long) * 3, bytes(long)):
        encoded = bfncodec.encode(data)
        assert mode_of(encoded) == "lzma"
        assert bfncodec.decode(encoded) == data


@pytest.mark.usefixtures("no_texts")
def test_large_texts_are_tried() -> None:
    source = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("test_*.py")))
    with pytest.raises(AssertionError):
        bfncodec.encode(source[: smallest.PROBE_FROM + 1000])


@pytest.mark.parametrize("size, mode", [(300, "text"), (2000, "lzma")])
def test_random_bytes_that_repeat_are_paid_once(size: int, mode: str) -> None:
    """The text model finds repeats of few bytes sooner; LZMA pays less for bytes that nothing predicts."""
    data = random(size) * 5
    encoded = bfncodec.encode(data)
    assert mode_of(encoded) == mode and len(encoded) < size * 1.05 + 128
    assert bfncodec.decode(encoded) == data


def xz(data: bytes) -> int:
    """Bytes of `xz -9e`."""
    return len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))


INPUTS = {
    "licence": LICENSE[:6000],
    "book": BOOK,
    "a line": b"The quick brown fox jumps over the lazy dog.\n",
    "python": Path(__file__).read_bytes()[:6000],
    "zeros": bytes(20_000),
    "a letter": b"A" * 3000,
    "table": "".join(f"{n};{n * n};{n * 37 % 101}\n" for n in range(300)).encode(),
    "words of 16 bits": struct.pack("<2000H", *(n * 3 % 5000 for n in range(2000))),
    "utf-16": BOOK.decode().encode("utf-16"),
    "hexadecimal": random(1500).hex().encode(),
    "random": random(3000),
    "repeats": random(700) * 20,
    "image": png(),
    "text and random": BOOK + random(2000) + BOOK,
    "all bytes": bytes(range(256)) * 8,
    "coded already": lzma.compress(LICENSE),
}


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("model", ["packaged", "tiny"])
def test_never_much_larger_than_xz(request: pytest.FixtureRequest, name: str, model: str) -> None:
    if model == "tiny":
        request.getfixturevalue("tiny_texts")
    data = INPUTS[name]
    encoded = bfncodec.encode(data, media="bytes")
    assert len(encoded) <= xz(data) + 64
    assert bfncodec.decode(encoded) == data


@pytest.mark.usefixtures("tiny_texts")
def test_large_repeats_are_found() -> None:
    """The pieces that are tried first lie a quarter of the item apart, each from another part of what repeats."""
    once = random(smallest.PROBE_FROM + 4)
    encoded = bfncodec.encode(once * 3)
    # LZMA pays a little more than 1 % for bytes that xz would store.
    assert mode_of(encoded) == "lzma" and len(encoded) < len(once) * 1.02
    assert bfncodec.decode(encoded) == once * 3


@pytest.mark.usefixtures("tiny_texts")
def test_many_zeros_as_text() -> None:
    """What no prediction of the model explains: a stream without a byte, and the reader's bound refuses it."""
    data = bytes(92_000)
    assert bfncodec.decode(bfncodec.encode(data, media="text")) == data


# Models


@pytest.fixture
def other(folder: Path, tiny_text: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another text model in a folder of its own, where models are looked for."""
    path = folder / "models" / "other.safetensors"
    path.parent.mkdir()
    tensors = load_file(tiny_text)
    tensors["text.last.bias"] = tensors["text.last.bias"][::-1].copy()
    save_file(tensors, path)
    monkeypatch.setenv("BFNCODEC_MODEL_DIR", str(path.parent))
    return path


def test_a_text_model_by_its_path_or_name(folder: Path, other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The header names it by its hash; without it, decoding says what is missing and where it was looked for."""
    digest = hashlib.sha256(other.read_bytes()).hexdigest()[:8]
    good("encode", "--media", "text", "-m", other, "book.txt")
    assert told("book.txt.bfn")["blocks"][0]["model"] == digest
    for name in ("models/other.safetensors", "other"):
        again = good("encode", "--media", "text", "-m", name, "-c", "book.txt").out
        assert again == (folder / "book.txt.bfn").read_bytes()
    assert good("decode", "-c", "book.txt.bfn").out == BOOK
    (folder / "empty").mkdir()
    monkeypatch.setenv("BFNCODEC_MODEL_DIR", str(folder / "empty"))
    assert good("decode", "-c", "book.txt.bfn").out == BOOK, "this process has been told where it is"
    monkeypatch.setattr(zoo, "_named", {})
    for command in (["decode", "-o", "out"], ["test"]):
        result = call(command[0], "book.txt.bfn", *command[1:])
        assert (result.code, result.out) == (1, b"") and not (folder / "out").exists()
        for word in ("book.txt.bfn", digest, str(folder / "empty"), str(zoo.PACKAGED), "BFNCODEC_MODEL_DIR"):
            assert word in result.err
    assert told("book.txt.bfn")["blocks"][0]["model"] == digest, "info needs no model"
    for wrong in ("nothing", "nothing.safetensors"):
        assert wrong in call("encode", "-f", "-m", wrong, "book.txt").err


def test_a_model_is_used_for_what_it_models(folder: Path, other: Path, models: Path) -> None:
    """-m with an image model leaves texts alone, and the other way round."""
    shutil.copy(models / "tiny.safetensors", other.parent)
    shutil.copy(models / "text.safetensors", other.parent)
    text, image = (zoo.digest(other.parent / f"{name}.safetensors").hex() for name in ("text", "tiny"))
    used = {}
    for model in ("tiny", "other"):
        for name in ("book.txt", "image.png"):
            good("encode", "-f", "--media", "text" if name == "book.txt" else "image", "-m", model, name)
            used[model, name] = told(f"{name}.bfn")["blocks"][0]["model"]
    assert used["tiny", "book.txt"] == text and used["other", "book.txt"] == zoo.digest(other).hex()
    assert used["tiny", "image.png"] == image != used["other", "image.png"]


@pytest.mark.parametrize("name", ["book.txt", "image.png"])
def test_a_model_from_anywhere(folder: Path, models: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """`encode -m model.safetensors`, as the README has it after training."""
    source = "text" if name == "book.txt" else "tiny"
    shutil.copy(models / f"{source}.safetensors", folder / "mine.safetensors")
    (folder / "empty").mkdir()
    monkeypatch.setenv("BFNCODEC_MODEL_DIR", str(folder / "empty"))
    media = "text" if name == "book.txt" else "image"
    good("encode", "--media", media, "-m", "mine.safetensors", name)
    assert told(f"{name}.bfn")["blocks"][0]["model"] == zoo.digest(folder / "mine.safetensors").hex()
    result = spawn("decode", f"{name}.bfn", "-c")
    assert result.code == 1 and "BFNCODEC_MODEL_DIR" in result.err, "another process does not know where it is"


@pytest.mark.usefixtures("tiny_texts")
@pytest.mark.parametrize("mode", ["text", "image"])
def test_files_that_name_a_model_of_the_other_kind(models: Path, mode: str) -> None:
    """Damage or malice: an error like any other."""
    item, media = (BOOK, "text") if mode == "text" else (pixels(), "image")
    file = decoding.read(bfncodec.encode(item, model="tiny", media=media))
    (block,) = file.blocks
    assert block.form.name == mode and block.form.model is not None
    block.form.model = zoo.digest(models / ("tiny.safetensors" if mode == "text" else "text.safetensors"))
    with pytest.raises(CorruptFile, match="of another kind"):
        bfncodec.decode(container.write(file))


# Archives, damage, limits


def test_texts_and_images_in_an_archive(folder: Path) -> None:
    """Each as what it is; images still share a block."""
    files = {
        "book.txt": BOOK,
        "image.png": png(),
        "more.png": png(2),
        "empty": b"",
        "random": random(200),
        "licence": LICENSE[:2000],
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    good("encode", "-m", "tiny", *files, "-o", "set.bfn")
    assert sorted(modes("set.bfn")) == ["image", "stored", "stored", "text", "text"]
    good("test", "set.bfn")
    items = bfncodec.decode_items((folder / "set.bfn").read_bytes())
    assert sorted(items) == sorted(files)
    for name, data in items.items():
        assert np.array_equal(shown(data), shown(files[name])) if name.endswith(".png") else data == files[name]
    assert good("decode", "set.bfn", "--item", "licence", "-c").out == files["licence"]
    good("encode", "-f", "--media", "text", "book.txt", "image.png", "-o", "set.bfn")
    assert modes("set.bfn") == ["text", "stored"], "no pixels"
    assert bfncodec.decode_items((folder / "set.bfn").read_bytes())["image.png"] == png()


@pytest.mark.parametrize("command", ["decode", "test", "info"])
def test_damaged_texts(folder: Path, command: str) -> None:
    """A clean error, exit 1, no output; info reads headers only."""
    good("encode", "book.txt")
    data = bytearray((folder / "book.txt.bfn").read_bytes())
    data[len(data) // 2] ^= 16
    (folder / "book.txt.bfn").write_bytes(data)
    result = call(command, "book.txt.bfn", *(["-o", "out"] if command == "decode" else []))
    assert result.code == (command != "info")
    if command != "info":
        assert result.err.startswith("bfncodec: book.txt.bfn: ") and len(result.err.splitlines()) == 1
        assert sorted(listing(folder)) == ["book.txt", "book.txt.bfn", "image.png"]


@pytest.mark.parametrize("command", ["decode", "test"])
def test_claims_of_texts_are_refused(folder: Path, command: str) -> None:
    """Row 27: before anything is decoded."""
    block = Block(1, 1 << 40, bytes(8), Text(bytes(4), 1, streams=[b"abc"]))
    result = call(command, given=container.write(File([block])))
    assert (result.code, result.out) == (1, b"") and "claims" in result.err
    block.size = 1 << 20
    result = call(command, given=container.write(File([block])))
    assert (result.code, result.out) == (1, b"") and "contradict" in result.err
    good("encode", "book.txt")
    assert "--max-output" in call(command, "--max-output", len(BOOK) - 1, "book.txt.bfn").err
    good("test", "--max-output", len(BOOK), "book.txt.bfn")


def test_a_text_has_no_preview(folder: Path) -> None:
    good("encode", "book.txt")
    assert "no preview" in call("decode", "--preview", "book.txt.bfn").err


def test_what_does_not_decode_is_not_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 1: an encoder that errs is caught by the check after it."""
    right = text_blocks.encode
    monkeypatch.setattr(text_blocks, "encode", lambda data, *rest: right(data.swapcase(), *rest))
    result = call("encode", "book.txt")
    assert result.code == 1 and "does not decode to the input" in result.err
    assert sorted(listing(folder)) == ["book.txt", "image.png"]


# Light commands stay light


def test_info_of_a_text_needs_no_model_and_no_compiler(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows 11 and 17."""
    good("encode", "book.txt")
    monkeypatch.setenv("BFNCODEC_MODEL_DIR", "/nonexistent")
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    result = spawn("info", "book.txt.bfn")
    assert result.code == 0 and b"text" in result.out
    names = {line.split("|")[2].strip().split(".")[0] for line in result.err.splitlines() if line.count("|") == 2}
    assert "bfncodec" in names and not names & {"llvmlite", "torch", "constriction", "safetensors"}


def test_only_models_need_the_compiler(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of neither images nor texts decode without LLVM, which takes its time to start."""
    (folder / "file.bfn").write_bytes(container.write(File([plain.encode(BOOK)])))
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    result = spawn("test", "-q", "file.bfn")
    assert result.code == 0 and "bfncodec.blocks.plain" in result.err
    names = {line.split("|")[2].strip().split(".")[0] for line in result.err.splitlines() if line.count("|") == 2}
    assert "bfncodec" in names and "llvmlite" not in names
