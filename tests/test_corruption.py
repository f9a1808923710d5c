"""Damaged files: every prefix and every flipped bit gives the exact original or one BfnError."""

import io
import random
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tools import make_goldens_paper

import bfncodec
from bfncodec import container, decoding, encoding
from bfncodec.blocks import plain, text
from bfncodec.blocks.image import Image as ImageForm
from bfncodec.blocks.single import Sender, Single
from bfncodec.blocks.text import Text
from bfncodec.container import Block, File
from bfncodec.errors import BfnError, CorruptFile, LimitExceeded, TruncatedFile
from bfncodec.models import zoo
from bfncodec.models.image import coefficients
from bfncodec.models.image import streams as image_streams
from bfncodec.models.image.passes import Pass, Schedule
from bfncodec.models.paper import streams as paper_streams
from bfncodec.models.text import streams as text_streams
from bfncodec.picture import Layout, Origin
from bfncodec.presets import Choices
from bfncodec.spans import whole

BLOCKS = b"a text that repeats, a text \r\n" * 5  # longer than what is sent without noise
FLIPS = 14  # bits flipped in each payload besides those at its ends; those of the header are all flipped


def waves(side: int, seed: int) -> np.ndarray:
    """A smooth noisy colour image uint8 [side, side, 3]."""
    source = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    shade = 128 + 60 * np.sin(x / 5 + seed) + 40 * np.cos(y / 4)
    return (shade[..., None] + source.normal(0, 2, (side, side, 3))).clip(0, 255).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """A PNG file with a physical size."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", dpi=(72, 72))
    return buffer.getvalue()


def rgba() -> np.ndarray:
    """An image with an alpha channel of its own."""
    alpha = np.add.outer(np.arange(16), np.arange(16)).astype(np.uint8) * 8
    return np.concatenate([waves(16, 3), alpha[..., None]], axis=2)


def archive() -> bytes:
    """Two PNGs that share a block, and a text."""
    items = [("a.png", png(waves(16, 1))), ("b.png", png(waves(16, 2))), ("c.txt", b"some text, some text, some text")]
    return container.write(encoding.encode_archive(items, Choices(model="tiny")))


def paper(model: str, sender: Sender) -> bytes:
    """Data of one of the paper's models, and what is left over."""
    plan = make_goldens_paper.Plan(model, sender, 3, 1, 2, tail=b"end")
    return make_goldens_paper.encode(plan)


MAKERS: dict[str, Callable[[], bytes]] = {
    "image": lambda: bfncodec.encode(waves(17, 0), model="tiny"),
    "png": lambda: bfncodec.encode(png(waves(18, 0)), model="tiny"),
    "grey": lambda: bfncodec.encode(waves(20, 0)[..., :1], model="tiny"),
    "alpha": lambda: bfncodec.encode(rgba(), model="tiny"),
    "constant": lambda: bfncodec.encode(np.full((16, 16, 3), 7, np.uint8), model="tiny"),
    "archive": archive,
    "text": lambda: bfncodec.encode(b"a text that repeats, a text \r\n" * 2, media="text"),
    "blocks": lambda: container.write(File([text.encode(BLOCKS, Choices(effort="blocks"))])),
    "single": lambda: paper("tiny-values", Sender.GAUSSIAN),
    "dither": lambda: paper("tiny-binary", Sender.DITHER),
    "draws": lambda: paper("tiny-classes", Sender.CATEGORICAL),
    "lzma": lambda: container.write(File([plain.encode(b"a text that repeats, " * 12)])),
    "stored": lambda: container.write(File([plain.encode(bytes(range(100)))])),
}


@pytest.fixture(scope="module", params=MAKERS)
def encoded(request: pytest.FixtureRequest, models: Path) -> bytes:
    """One file of every kind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BFNCODEC_MODEL_DIR", str(models))
        return MAKERS[request.param]()


def decoded(data: bytes) -> Any:
    """What a file holds, comparable with ==."""
    if decoding.read(data).names is not None:
        return bfncodec.decode_items(data)
    content = bfncodec.decode(data)
    return content if isinstance(content, bytes) else (content.shape, content.tobytes())


def payload_start(data: bytes) -> int:
    """Where the payload begins: after the header's CRC."""
    reader = container.Reader(data, len(container.MAGIC) + 2)
    reader.take(reader.varint())
    return reader.position + 4


def check(damaged: bytes, original: Any) -> None:
    """The original or a BfnError; anything else fails the test."""
    try:
        result = decoded(damaged)
    except BfnError:
        return
    assert result == original


def test_every_prefix_is_an_error(encoded: bytes) -> None:
    for length in range(len(encoded)):
        with pytest.raises((TruncatedFile, CorruptFile)):
            decoded(encoded[:length])


def test_every_bit_of_the_header(encoded: bytes) -> None:
    for position in range(payload_start(encoded)):
        for bit in range(8):
            damaged = bytearray(encoded)
            damaged[position] ^= 1 << bit
            with pytest.raises(BfnError):
                decoded(bytes(damaged))


def test_bits_of_the_payload(encoded: bytes) -> None:
    """The first and last bytes, which the coder treats apart, and a sample of the rest."""
    original = decoded(encoded)
    start = payload_start(encoded)
    bits = range(8 * start, 8 * len(encoded))
    ends = {bit for bit in bits if bit < 8 * start + 8 or bit >= 8 * len(encoded) - 8}
    sample = random.Random(0).sample(bits, min(FLIPS, len(bits)))
    for bit in sorted(ends.union(sample)):
        damaged = bytearray(encoded)
        damaged[bit // 8] ^= 1 << bit % 8
        check(bytes(damaged), original)


def test_random_payloads(encoded: bytes) -> None:
    """Whole payloads of noise, zeros and ones behind a good header."""
    original = decoded(encoded)
    start = payload_start(encoded)
    length = len(encoded) - start
    source = random.Random(1)
    for noise in (source.randbytes(length), source.randbytes(length), bytes(length), b"\xff" * length):
        check(encoded[:start] + noise, original)


def test_every_bit_of_a_text() -> None:
    """What is learnt on the way makes other texts of a flipped bit, and the checks notice all of them."""
    original = b"a text that repeats, a text that r\xc3\xa9peats"
    encoded = bfncodec.encode(original, media="text")
    start = payload_start(encoded)
    assert 20 < len(encoded) - start < 60
    for bit in range(8 * start, 8 * len(encoded)):
        damaged = bytearray(encoded)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptFile):
            bfncodec.decode(bytes(damaged))


def test_every_bit_of_the_noise() -> None:
    """The end of a stream holds what was pushed last: the first blocks, their views and what fed them."""
    block = text.encode(BLOCKS, Choices(effort="blocks"))
    assert isinstance(block.form, Text) and block.form.quiet < len(BLOCKS)
    encoded = container.write(File([block]))
    assert bfncodec.decode(encoded) == BLOCKS
    for bit in range(8 * len(encoded) - 256, 8 * len(encoded), 3):
        damaged = bytearray(encoded)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptFile):
            bfncodec.decode(bytes(damaged))


def test_another_digest_is_an_error() -> None:
    """Content that differs from what was encoded is never returned."""
    for content in (waves(16, 0), b"some bytes", b"some bytes " * 20, bytes(range(90))):
        file = decoding.read(bfncodec.encode(content, model="tiny"))
        file.blocks[0].digest = bytes(8)
        with pytest.raises(CorruptFile, match="checksum"):
            bfncodec.decode(container.write(file))


def test_large_base_coefficients_take_little_memory(tiny: Path) -> None:
    """Bits are no objects; what is longer than any coefficients is not looked at."""
    prior = image_streams.networks(tiny, "bytes").coefficients
    for size, share in ((1 << 20, 40), (1 << 24, 1)):
        data = b"\x10" + bytes(size)
        tracemalloc.start()
        try:
            with pytest.raises(CorruptFile):
                coefficients.unpack(data, prior)
            assert tracemalloc.get_traced_memory()[1] < share * size
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    "kind, place, name",
    [
        ("png", image_streams, "decode_pass"),
        ("text", text_streams, "decode_bytewise"),
        ("single", paper_streams, "decode"),
    ],
)
def test_bugs_are_not_taken_for_damage(
    models: Path, monkeypatch: pytest.MonkeyPatch, kind: str, place: Any, name: str
) -> None:
    """Nobody may throw a good file away for a mistake of the program; what the machine lacks is told."""
    encoded = MAKERS[kind]()
    for error in (ValueError, AssertionError, IndexError, OverflowError, KeyError, ZeroDivisionError):

        def fail(*_: Any, error: type[Exception] = error) -> None:
            raise error("a bug")

        monkeypatch.setattr(place, name, fail)
        with pytest.raises(error, match="a bug"):
            bfncodec.decode(encoded)

    def large(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(place, name, large)
    with pytest.raises(LimitExceeded, match="memory"):
        bfncodec.decode(encoded)


@pytest.mark.parametrize("width, height", [(1 << 30, 1 << 30), (1 << 61, 1), (1, 1 << 61)])
@pytest.mark.parametrize("part", [Pass(constant=b"x"), Pass(stream=b"x")])
def test_claims_that_no_array_has_are_refused_without_limits(tiny: Path, width: int, height: int, part: Pass) -> None:
    made = ImageForm(Origin.ARRAY, Layout.L, Schedule.LATTICE, width, height, zoo.digest(tiny), passes=[part])
    file = decoding.read(container.write(File([Block(1, width * height, bytes(8), made)])))
    with pytest.raises(LimitExceeded, match="memory"):
        next(decoding.contents(file, "cpu"))
    if part.constant is None:
        with pytest.raises(LimitExceeded, match="memory"):
            decoding.preview(file, "cpu")


@pytest.mark.parametrize("opened", [io.BytesIO, tempfile.TemporaryFile, tempfile.SpooledTemporaryFile])
def test_a_closed_file_is_not_taken_for_damage(encoded: bytes, opened: Callable[[], Any]) -> None:
    """Nothing is wrong with what it held."""
    with opened() as file:
        file.write(encoded)
        span = whole(file)
        read = decoding.read(span)
    with pytest.raises(ValueError, match="I/O operation on closed file"):
        decoding.read(span)
    with pytest.raises(ValueError, match="I/O operation on closed file"):
        encoding.encode_file(span, io.BytesIO(), Choices())
    form = read.blocks[0].form
    constant = isinstance(form, ImageForm) and form.passes[0].constant is not None
    if not constant and not isinstance(form, Single):
        with pytest.raises(ValueError, match="I/O operation on closed file"):
            [decoding.file_bytes(content) for content in decoding.contents(read, "cpu")]
