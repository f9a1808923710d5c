"""Items that are larger than a part: what is kept, what streams, what damage does (rows 3, 6, 22 to 27)."""

import json
import lzma
import os
import signal
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tools.command import call, good, listing

import bfncodec
from bfncodec import container, decoding, encoding, inputs, media
from bfncodec.blocks import plain, smallest, text
from bfncodec.blocks.plain import Stored
from bfncodec.container import Block, File
from bfncodec.errors import BfnError, CorruptFile, LimitExceeded, TruncatedFile, UnsupportedFeature
from bfncodec.presets import Choices

PART = 20_000

STOPPED_WITHIN = """
import os, signal, time
from bfncodec import decoding
from bfncodec.blocks import smallest
from bfncodec.cli.main import run
signal.signal(signal.SIGINT, signal.default_int_handler)
smallest.PART = 20_000
def stop(*_):
    os.write(2, b"ready")
    time.sleep(30)
decoding.verify = stop
run()
"""


def random(count: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(count)


def story(count: int) -> bytes:
    """Words that the tiny model has a notion of, in an order that LZMA cannot foresee."""
    words = "the wind came from north and south she wrote down every tide hour height paper of machine in room".split()
    picks = np.random.default_rng(1).integers(0, len(words), count)
    return " ".join(words[pick] for pick in picks).encode()[:count]


STORY = story(30_000)
ITEMS: dict[str, tuple[bytes, list[str]]] = {
    "a letter": (b"a" * 70_000, ["lzma"]),
    "random": (random(45_000), ["stored"]),
    "lines": (b"A line that comes again and again.\r\n" * 1500, ["lzma"]),
    "noise between letters": (b"a" * PART + random(2 * PART) + b"b" * PART, ["lzma", "stored", "stored", "text"]),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, small parts, no wait for the disk, and a place for temporary files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(smallest, "PART", PART)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path


def modes(data: bytes) -> list[str]:
    return [block["mode"] for block in bfncodec.info(data)["blocks"]]


def payload_start(data: bytes) -> int:
    """Where the payload begins."""
    reader = container.Reader(data, len(container.MAGIC) + 2)
    reader.take(reader.varint())
    return reader.position + 4


def mixed() -> tuple[bytes, bytes]:
    """An item and its file in three parts, LZMA, stored and text."""
    pieces = [b"A line that comes again and again.\n" * 20, random(200), STORY[:300]]
    blocks = [*map(plain.encode, pieces[:2]), text.encode(pieces[2], Choices())]
    return b"".join(pieces), container.write(File(blocks))


# What is kept


def everywhere(folder: Path, data: bytes, *options: str, **choices: Any) -> bytes:
    """The file that the API, the command and pipes make alike; it comes back through all of them."""
    (folder / "item").write_bytes(data)
    good("encode", "-f", "item", *options)
    encoded = (folder / "item.bfn").read_bytes()
    assert good("encode", "-c", "item", *options).out == encoded
    assert good("encode", *options, given=data).out == encoded
    assert bfncodec.encode(data, **choices) == encoded
    good("test", "item.bfn")
    good("decode", "-f", "item.bfn", "-o", "again")
    assert (folder / "again").read_bytes() == data
    assert good("decode", given=encoded).out == data == bfncodec.decode(encoded)
    assert not list((folder / "temporary").iterdir())
    return encoded


@pytest.mark.parametrize("spooled", [100, 1 << 23])
@pytest.mark.parametrize("name", ITEMS)
def test_items_in_parts_or_whole(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, spooled: int) -> None:
    """The smaller; the same bytes everywhere, with temporary files on disk and in memory."""
    monkeypatch.setattr(inputs, "SPOOLED", spooled)
    data, wanted = ITEMS[name]
    encoded = everywhere(folder, data)
    assert modes(encoded) == wanted
    assert len(encoded) <= min(len(data), len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))) + 64


@pytest.mark.parametrize("effort", ["default", "blocks"])
def test_texts_in_parts(folder: Path, effort: str) -> None:
    """Where they are said to be texts, each part is; what is not one is stored."""
    data = STORY[: PART + 3000]
    encoded = everywhere(folder, data, "--media", "text", "--effort", effort, media="text", effort=effort)
    assert modes(encoded) == ["text", "text"]
    whole = [bfncodec.encode(piece, media="text", effort=effort) for piece in (data[:PART], data[PART:])]
    blocks = [block for one in whole for block in decoding.read(one).blocks]
    assert decoding.read(encoded).blocks == blocks


def test_a_part_of_noise_in_a_text(folder: Path) -> None:
    data = random(PART) + STORY[:5000]
    assert modes(bfncodec.encode(data, media="text")) == ["stored", "text"]


def test_parts_that_are_hopeful_are_tried_as_text(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The packaged model on English between what is none; the text is kept since it is smaller."""
    monkeypatch.delenv("BFNCODEC_MODEL_DIR")
    monkeypatch.setattr(smallest, "PART", 12_000)
    english = (Path(__file__).parents[2] / "docs" / "limits.md").read_bytes()[:7_000]
    data = random(12_000) + english.ljust(12_000, b".") + b"z" * 12_000
    encoded = bfncodec.encode(data)
    assert modes(encoded) == ["stored", "text", "lzma"] and bfncodec.decode(encoded) == data


def test_up_to_a_part_nothing_is_cut(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    right = smallest.in_parts
    monkeypatch.setattr(smallest, "in_parts", lambda item, *rest: seen.append(len(item)) or right(item, *rest))
    for size in (PART - 1, PART, PART + 1):
        data = random(size)
        assert bfncodec.encode(data) == container.write(File([plain.encode(data)]))
    assert seen == [PART + 1]


def test_items_of_archives_are_whole(folder: Path) -> None:
    data = ITEMS["noise between letters"][0]
    (folder / "a").write_bytes(data)
    (folder / "b").write_bytes(b"b")
    good("encode", "a", "b", "-o", "set.bfn")
    assert len(decoding.read((folder / "set.bfn").read_bytes()).blocks) == 2
    assert good("decode", "set.bfn", "--item", "a", "-c").out == data


def image(kind: str) -> bytes:
    """A large image file."""
    import io

    from PIL import Image

    pixels = np.add.outer(np.arange(160), np.arange(200)) // 4 + np.random.default_rng(0).integers(0, 9, (160, 200))
    rgb = np.repeat(pixels[..., None].astype(np.uint8), 3, axis=2)
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, kind, **({"compress_level": 0} if kind == "PNG" else {}))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "PPM", "BMP"])
def test_large_images_are_images(folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Read whole, the same bytes whatever a part is, and limits hold."""
    data = image(kind)
    encoded = bfncodec.encode(data, model="tiny")
    assert modes(encoded) == ["image"]
    assert len(data) > PART and LimitExceeded is type(error_of(data, max_pixels=100))
    (folder / "x.bfn").write_bytes(bfncodec.encode(data, media="bytes"))
    good("decode", "x.bfn", "-o", "x.png")
    assert (folder / "x.png").read_bytes()[:4] == b"\x89PNG"
    monkeypatch.undo()
    monkeypatch.setenv("BFNCODEC_MODEL_DIR", str(Path(__file__).parents[1] / "data"))
    assert bfncodec.encode(data, model="tiny") == encoded


def error_of(data: bytes, **choices: Any) -> BaseException:
    with pytest.raises(BfnError) as caught:
        bfncodec.encode(data, **choices)
    return caught.value


@pytest.mark.parametrize(
    "head",
    [
        b"BM",
        b"BM" + bytes(60),
        b"P6 10 10 255\n",
        b"P5 99999 99999 255\n",
        b"P6",
        b"\x89PNG\r\n\x1a\n",
        image("PNG")[:24] + b"\x20" + image("PNG")[25:100],
        b"P4 10 10\n",
        b"\x93NUMPY\1\0",
        b"II*\0\x08\0\0\0\xff\xff",
        b"MM\0*\xff\xff\xff\xff",
    ],
)
def test_what_only_begins_like_an_image_is_not_read_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    monkeypatch.setattr(media, "METADATA_LIMIT", 1000)
    monkeypatch.setattr(media, "HEAD", 1000)
    for medium in media.MEDIA:
        monkeypatch.setattr(medium, "parse", None)
    data = head.ljust(PART * 8, b"a")
    assert bfncodec.decode(bfncodec.encode(data)) == data
    assert type(error_of(data, media="image")) is UnsupportedFeature


# Headers


def test_a_file_in_parts() -> None:
    item, data = mixed()
    file = decoding.read(data)
    assert data[9] == container.PARTS and file.items == 1 and container.write(file) == data
    assert container.size(file) == len(data)
    assert bfncodec.decode(data) == item
    with pytest.raises(UnsupportedFeature, match="not an archive"):
        bfncodec.decode_items(data)


def test_limits_of_parts() -> None:
    """Row 27: of bytes in all, and of their number."""
    item, data = mixed()
    decoding.read(data, max_output=len(item))
    with pytest.raises(LimitExceeded, match="--max-output"):
        decoding.read(data, max_output=len(item) - 1)
    one = plain.encode(b"x")
    most = container.PART_LIMIT
    assert len(decoding.read(container.write(File([one] * most))).blocks) == most
    with pytest.raises(LimitExceeded, match="parts"):
        decoding.read(container.write(File([one] * (most + 1))))


def test_what_cannot_be_a_part() -> None:
    one, empty = plain.encode(b"x"), plain.encode(b"")
    picture = decoding.read(bfncodec.encode(np.zeros((2, 2), np.uint8))).blocks[0]
    for block in (empty, picture):
        with pytest.raises(CorruptFile, match="a part"):
            decoding.read(container.write(File([one, block])))


@pytest.mark.parametrize("command", ["decode", "test"])
def test_claims_of_parts_cost_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """Row 27: refused before the first part is decoded."""
    item, data = mixed()
    monkeypatch.setattr(plain, "pieces", None)
    result = call(command, "--max-output", len(item) - 1, given=data)
    assert (result.code, result.out) == (1, b"") and "--max-output" in result.err


def test_info_of_parts(folder: Path) -> None:
    """Row 11."""
    item, data = mixed()
    (folder / "item.bfn").write_bytes(data)
    told = json.loads(good("info", "--json", "item.bfn").out)
    assert (told["items"], told["names"], told["content_bytes"]) == (1, None, len(item))
    assert [block["mode"] for block in told["blocks"]] == ["lzma", "stored", "text"]
    assert "1 item(s) in 3 parts" in good("info", "item.bfn").out.decode()
    for option in (["--preview"], ["--item", "0"]):
        assert call("decode", "item.bfn", *option).code == 1
    assert sorted(listing(folder)) == ["item.bfn"]


# Damage


def damages() -> dict[str, bytes]:
    """The file of `mixed`, damaged everywhere but in its header."""
    _, data = mixed()
    start = payload_start(data)
    ends = np.cumsum([start, *(block.payload_bytes for block in decoding.read(data).blocks)]).tolist()
    assert len(ends) == 4 and ends[-1] == len(data)
    made = {f"part {number}": flipped(data, (ends[number] + ends[number + 1]) // 2) for number in range(3)}
    made |= {f"cut at {end}": data[:end] for end in ends[:-1]} | {"cut": data[:-1], "trailing": data + b"\0"}
    made["twice"] = data + data
    swapped = [data[a:b] for a, b in ((0, start), ends[1:3], ends[:2], ends[2:])]
    made["reordered"] = b"".join(swapped)
    return made


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 16]) + data[position + 1 :]


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("named", [True, False])
def test_damage_gives_no_file(folder: Path, monkeypatch: pytest.MonkeyPatch, named: bool, existing: bool) -> None:
    """Rows 6, 23 to 25: nor a folder, nor anything temporary; what was there stays."""
    if not named:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    if existing:
        (folder / "item").write_bytes(b"old")
    for data in damages().values():
        (folder / "item.bfn").write_bytes(data)
        before = listing(folder)
        for options in (["-o", "item"], ["--output-dir", "new/deep"]):
            result = call("decode", "-f", "item.bfn", *options)
            assert result.code == 1 and result.err.startswith("bfncodec: item.bfn: ")
            assert listing(folder) == before and not (folder / "new").exists()
        assert call("test", "item.bfn").code == 1
        with pytest.raises((CorruptFile, TruncatedFile)):
            bfncodec.decode(data)
    assert not list((folder / "temporary").iterdir())


def test_standard_output_gets_checked_parts_only(folder: Path) -> None:
    """Those before the damage, and exit code 1."""
    item, _ = mixed()
    written = {name: call("decode", given=data) for name, data in damages().items()}
    assert {result.code for result in written.values()} == {1}
    sizes = {name: len(result.out) for name, result in written.items()}
    assert all(item.startswith(result.out) for result in written.values())
    assert (sizes.pop("part 1"), sizes.pop("part 2")) == (700, 900)
    assert not any(sizes.values())


def test_what_does_not_decode_is_not_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 1: an encoder that errs in the last part is caught by the check after it."""
    right = text.encode

    def wrong(data: bytes, *rest: Any) -> Block:
        return right(data if len(data) == PART else data.swapcase(), *rest)

    monkeypatch.setattr(text, "encode", wrong)
    (folder / "book").write_bytes(STORY[: PART + 500])
    before = listing(folder)
    for options in ([], ["--output-dir", "new"]):
        result = call("encode", "--media", "text", "book", *options)
        assert result.code == 1 and "does not decode to the input" in result.err
        assert listing(folder) == before and not (folder / "new").exists()
    good("encode", "--media", "text", "--no-verify", "book")


def test_an_input_that_shrinks_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "log").write_bytes(ITEMS["lines"][0])
    right = encoding.encode_file

    def late(*given: Any) -> File:
        os.truncate(folder / "log", 100)
        return right(*given)

    monkeypatch.setattr(encoding, "encode_file", late)
    result = call("encode", "log")
    assert result.code == 1 and "log" in result.err and sorted(listing(folder)) == ["log"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interruption_leaves_no_files(folder: Path, number: int) -> None:
    """Row 6: stopped while the check after encoding has input, spool and output open."""
    if number == signal.SIGKILL and not hasattr(os, "O_TMPFILE"):
        pytest.skip("this system has no files without names")
    (folder / "item").write_bytes(bytes(10 << 20))
    before = listing(folder)
    places = os.environ | {"TMPDIR": str(folder / "temporary")}
    command = [sys.executable, "-c", STOPPED_WITHIN, "encode", "-", "-o", "out"]
    with (
        (folder / "item").open("rb") as given,
        subprocess.Popen(command, stdin=given, stderr=subprocess.PIPE, env=places) as process,
    ):
        assert process.stderr is not None
        assert process.stderr.read(5) == b"ready"
        process.send_signal(number)
        assert process.wait(20) == (-number if number == signal.SIGKILL else 130)
    assert listing(folder) == before and not list((folder / "temporary").iterdir())


# Memory


def peak(*arguments: str | int) -> int:
    """Bytes that a command's Python objects and LZMA take at most."""
    tracemalloc.start()
    try:
        good(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("mode", ["stored", "lzma"])
def test_memory_does_not_grow_with_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setattr(smallest, "PART", 1 << 20)
    peaks: dict[str, list[int]] = {"encode": [], "test": [], "decode": []}
    for size in (4 << 20, 24 << 20):
        data = bytes(size)
        with (folder / "zeros").open("wb") as file:
            file.truncate(size)
        peaks["encode"].append(peak("encode", "-f", "zeros"))
        if mode == "stored":
            block = Block(1, size, container.hasher(data).digest(), Stored(data))
            (folder / "zeros.bfn").write_bytes(container.write(File([block])))
        del data
        peaks["test"].append(peak("test", "zeros.bfn"))
        peaks["decode"].append(peak("decode", "-f", "zeros.bfn"))
        assert (folder / "zeros").stat().st_size == size
    for small, large in peaks.values():
        assert large < small + (4 << 20)
    assert max(peaks["test"]) < 100 << 20
