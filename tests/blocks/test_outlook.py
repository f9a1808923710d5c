"""What a look at bytes decides: what is packed already is never given to the text model, noise not even to LZMA."""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bfncodec
from bfncodec.blocks import outlook, plain, smallest, text
from bfncodec.container import Block
from bfncodec.models.text import streams
from bfncodec.presets import Choices
from bfncodec.spans import Span, whole

DOCS = sorted((Path(__file__).parents[2] / "docs").glob("*.md"))
TEXT = b"".join(path.read_bytes() for path in DOCS)


def noise(count: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(count)


def image(format: str, **options: object) -> bytes:
    """A noisy picture of 150 x 200 pixels as a file."""
    pixels = np.random.default_rng(1).normal(128, 20, (150, 200, 3)).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


def archive(method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for path in DOCS:
            file.write(path, path.name)
    return buffer.getvalue()


PACKED: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: image("JPEG"),
    "gif": lambda: image("GIF"),
    "webp": lambda: image("WEBP"),
    "zip": lambda: archive(zipfile.ZIP_DEFLATED),
    "gzip": lambda: gzip.compress(TEXT),
    "bzip2": lambda: bz2.compress(TEXT),
    "xz": lambda: lzma.compress(TEXT),
    "unknown": lambda: noise(5000),
}


def no(*_: object, **__: object) -> Block:
    raise AssertionError


@pytest.fixture
def no_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text model must not be asked, not even about a sample."""
    monkeypatch.setattr(text, "encode", no)
    monkeypatch.setattr(streams, "bits_a_byte", no)


@pytest.mark.usefixtures("no_texts")
@pytest.mark.parametrize("kind", PACKED)
def test_the_text_model_is_not_asked_about_packed_files(kind: str) -> None:
    data = PACKED[kind]()
    encoded = bfncodec.encode(data, media="bytes")
    assert len(encoded) <= min(len(data), len(lzma.compress(data))) * 1.005 + 64
    assert bfncodec.decode(encoded) == data


@pytest.mark.parametrize("size", [smallest.PROBE_FROM - 1, 2 * smallest.PROBE_FROM])
def test_it_is_asked_about_stored_texts(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """A ZIP that packs nothing begins as any other."""
    monkeypatch.setattr(text, "encode", no)
    monkeypatch.setattr(streams, "bits_a_byte", no)
    data = archive(zipfile.ZIP_STORED)
    assert not outlook.look(data).packed
    with pytest.raises(AssertionError):
        bfncodec.encode((data * 3)[:size], media="bytes")


@pytest.mark.usefixtures("no_texts")
def test_noise_is_stored_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "pack", no)
    monkeypatch.setattr(plain, "encode_into", no)
    data = noise(3 * outlook.BLOCK + 17)
    item = whole(io.BytesIO(data))
    (block,) = smallest.in_parts(item, io.BytesIO(), outlook.BLOCK, Choices())
    assert block == plain.stored(item)
    assert smallest.of_bytes(data, Choices()) == plain.stored(data)


@pytest.mark.usefixtures("no_texts")
def test_noise_that_comes_again_is_found() -> None:
    once = noise(2 * outlook.BLOCK)
    spool = io.BytesIO()
    for part in (len(once), 4 * len(once)):
        item = whole(io.BytesIO(once + noise(5000, 1) + once))
        (block,) = smallest.in_parts(item, spool, part, Choices())
        assert isinstance(block.form, plain.Lzma) and block.payload_bytes < 1.02 * (len(once) + 5000)


@pytest.mark.usefixtures("no_texts")
def test_packed_parts_are_not_asked_about() -> None:
    """In a large item each part has an outlook of its own."""
    data = lzma.compress(TEXT)
    item = whole(io.BytesIO(data + bytes(len(data))))
    with pytest.MonkeyPatch.context() as patch:
        asked: list[bytes] = []
        patch.setattr(smallest, "is_hopeful", lambda part, *_: asked.append(bytes(part)))
        smallest.in_parts(item, io.BytesIO(), len(data), Choices())
    assert asked == [bytes(len(data))]


def test_quick_lzma_is_read_as_any_other() -> None:
    for data in (TEXT, noise(1000) * 3, b"", (1 << 20) * b"a" + TEXT):
        assert b"".join(plain.unpack(plain.pack(data, quick=True), len(data))) == data
    spool = io.BytesIO()
    block, _ = plain.encode_into(spool, [whole(io.BytesIO(TEXT))], quick=True)
    assert isinstance(block.form.data, Span)
    assert b"".join(plain.unpack(block.form.data, len(TEXT))) == TEXT


@pytest.mark.parametrize("count", [3000, 20_000, 1 << 18])
def test_few_random_bytes_are_dense_too(count: int) -> None:
    assert abs(outlook.look(noise(count)).density - 1) < 0.004


def test_an_outlook_is_the_same_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where more strings are seen than kept."""
    data = noise(4 * outlook.BLOCK) * 3
    joined = outlook.Outlook()
    for at in range(0, len(data), outlook.BLOCK):
        joined.join(outlook.look(data[at : at + outlook.BLOCK]))
    once = outlook.look(data)
    assert joined.density == pytest.approx(once.density) and joined.start == once.start == data[:32]
    assert joined.repeated == pytest.approx(2 / 3, abs=0.01) and once.repeated == pytest.approx(2 / 3, abs=0.01)
    monkeypatch.setattr(outlook, "_KEPT", 1000)
    few = outlook.look(data)
    assert 300 < len(few.keys) <= 1000 and few.repeated == pytest.approx(2 / 3, abs=0.05)


def test_nothing_is_known_of_nothing() -> None:
    look = outlook.look(b"")
    assert not (look.noise or look.packed or look.quick) and look.density == look.repeated == 0
