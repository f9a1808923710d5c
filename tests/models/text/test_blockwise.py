"""Texts in blocks of bytes through noisy steps: the network, the schedule, whole texts, and the command."""

import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from tools import make_tiny_text
from tools.command import call, good, listing, png

import bfncodec
from bfncodec import container, decoding
from bfncodec.blocks import text as text_blocks
from bfncodec.blocks.text import LANE_LIMIT, STEP_LIMIT, Text, TextSchedule
from bfncodec.coding import protocol
from bfncodec.coding.ans import Coder
from bfncodec.coding.ledger import Ledger
from bfncodec.container import Block, File
from bfncodec.errors import BfnError, CorruptFile
from bfncodec.exact import kernels
from bfncodec.exact.pmf import normalise
from bfncodec.exact.tables import exp_negative
from bfncodec.flow.schedule import Draw
from bfncodec.flow.theta import ClassTheta
from bfncodec.models import zoo
from bfncodec.models.text import blockwise, contexts, streams
from bfncodec.models.text.blockwise import BlockNetwork, Blockwise
from bfncodec.picture import Picture
from bfncodec.presets import Choices

TEXT = b"It was the best of times, it was the worst of times; it was the age of wisdom.\r\n"
KERNELS = ["bytes", "int64"]


@cache
def text_tensors() -> dict[str, np.ndarray]:
    return make_tiny_text.tensors()


def tensors(block: int = 4, **sizes: int) -> dict[str, np.ndarray]:
    """A text model with a random block network."""
    return text_tensors() | make_tiny_text.blocks(block=block, **sizes)


@cache
def network(block: int, kernel: str = "bytes") -> BlockNetwork:
    return BlockNetwork(kernels.kernel(kernel), tensors(block))


def noise(count: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(count)


def some_rows(count: int, seed: int = 0) -> np.ndarray:
    """Rows int64 [count, CONTEXTS] in the ranges of their contexts."""
    random = np.random.default_rng(seed)
    return random.integers(contexts.STARTS[:-1], contexts.STARTS[1:], (count, contexts.CONTEXTS))


def some_shares(count: int, block: int, seed: int = 0) -> np.ndarray:
    """What some draws tell: int64 [count, block, 256] in 1 / 255."""
    random = np.random.default_rng(seed)
    theta = ClassTheta(count * block)
    for _ in range(2):
        theta.update(Draw(blockwise.SHARE), random.integers(0, 256, count * block))
    return theta.shares().reshape(count, block, 256)


# The network


def forward(parts: dict[str, np.ndarray], rows: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The network's pmfs in NumPy's int64, as the formulas have them."""
    count, block, _ = shares.shape
    views = parts["blocks.views"].astype(np.int64)
    seen = np.einsum("nbk,kv->nbv", shares, views) >> 8
    embedded = parts["text.table"].astype(np.int64)[rows]
    values = np.concatenate([embedded.reshape(count, -1), seen.reshape(count, -1)], axis=1)
    for name in ("first", "second", "last"):
        weight, bias, shift = (parts[f"blocks.{name}.{part}"].astype(np.int64) for part in ("weight", "bias", "shift"))
        values = values @ weight.T + bias + (1 << shift >> 1) >> shift
        if name != "last":
            values = values.clip(0, 255)
    logits = values.reshape(count, block, 256)
    below = np.minimum(logits.max(axis=2, keepdims=True) - logits, 12 * 64)
    raw = (exp_negative(below, 64) >> 14) + 1
    sums = raw.cumsum(axis=2)
    return normalise((sums << 24) // sums[:, :, -1:], 24)


@pytest.mark.parametrize("kernel", [*KERNELS, "torch-cpu"])
@pytest.mark.parametrize("sizes", [{}, {"block": 1}, {"block": 2, "views": 7, "width": 40, "hidden": 5}], ids=str)
def test_network_is_its_formulas(sizes: dict[str, int], kernel: str) -> None:
    parts = tensors(**sizes)
    made = BlockNetwork(kernels.kernel(kernel), parts)
    assert made.block == sizes.get("block", 4)
    rows, shares = some_rows(30), some_shares(30, made.block)
    weights = made(rows, shares)
    assert weights.dtype == np.int64 and weights.shape == (30, made.block, 256)
    assert weights.min() >= 1 and (weights.sum(axis=2) == 1 << 24).all()
    assert np.array_equal(weights, forward(parts, rows, shares))
    assert (made(rows, np.zeros_like(shares)) != weights).any(axis=2).mean() > 0.9, "views matter"
    assert (made(some_rows(30, seed=1), shares) != weights).any(axis=2).mean() > 0.9, "contexts matter"


def test_views_are_within_the_bounds_that_are_proved() -> None:
    """All of theta on one byte, or spread, whatever the signs of the views: at most 128 in magnitude."""
    shares = np.zeros((3, 256), np.int64)
    shares[0, 9], shares[1, :255], shares[2, [3, 200]] = 255, 1, [200, 55]
    for views in (np.full((256, 2), 127), np.full((256, 2), -128)):
        assert abs(shares @ views >> 8).max() <= 128


SHAPES = {
    "fewer rows": ("text.table", lambda part: part[:-1]),
    "more dimensions": ("text.table", lambda part: np.repeat(part, 2, axis=1)),
    "fewer views": ("blocks.views", lambda part: part[:, 1:]),
    "fewer columns": ("blocks.first.weight", lambda part: part[:, 1:]),
    "other width": ("blocks.second.weight", lambda part: part[:, 1:]),
    "another number of values": ("blocks.last.bias", lambda part: part[:-1]),
    "a negative shift": ("blocks.second.shift", lambda part: -part),
    "sums that could overflow": ("blocks.first.bias", lambda part: np.full_like(part, 1 << 24)),
}


@pytest.mark.parametrize("case", SHAPES)
def test_network_refuses_wrong_shapes(case: str) -> None:
    name, change = SHAPES[case]
    parts = tensors()
    parts[name] = change(parts[name])
    with pytest.raises((CorruptFile, ValueError)):
        BlockNetwork(kernels.kernel("bytes"), parts)


# The schedule


def encoded(
    network: BlockNetwork, data: bytes, lanes: int, steps: int, quiet: int, ledger: Ledger | None = None
) -> tuple[bytes, set[int]]:
    """The stream of a text in blocks, and its groups without noisy steps."""
    text = Blockwise(network, len(data), lanes, steps, quiet, np.frombuffer(data, np.uint8))
    coder = Coder()
    silent = protocol.encode(coder, text, ledger)
    return coder.data(), silent


def decoded(network: BlockNetwork, stream: bytes, silent: set[int], *claims: int) -> bytes:
    """The text of a stream, nothing left behind it."""
    text = Blockwise(network, *claims)
    coder = Coder(stream)
    protocol.decode(coder, text, silent)
    assert coder.empty
    return text.data.tobytes()


texts = st.one_of(
    st.binary(min_size=1, max_size=90),
    st.tuples(st.binary(min_size=1, max_size=9), st.integers(1, 12)).map(lambda parts: parts[0] * parts[1]),
    st.integers(1, 200).map(lambda size: (TEXT * 3)[:size]),
)


@settings(max_examples=60)
@given(
    texts,
    st.sampled_from([1, 2, 3, 7, 40, 256]),
    st.sampled_from([2, 4]),
    st.sampled_from([0, 1, 3]),
    st.sampled_from([0, 1, 5, 30, 1000]),
)
def test_any_text_comes_back(data: bytes, lanes: int, block: int, steps: int, quiet: int) -> None:
    """Any bytes, fewer than lanes too; noise where the stack feeds it."""
    stream, silent = encoded(network(block), data, lanes, steps, quiet)
    assert decoded(network(block), stream, silent, len(data), lanes, steps, quiet) == data


@pytest.mark.parametrize("block", [1, 2, 4])
@pytest.mark.parametrize("size, lanes", [(1, 1), (1, 5), (4, 5), (5, 5), (13, 3), (100, 7), (257, 256), (64, 2)])
@pytest.mark.parametrize("quiet", [0, 3, 200])
def test_groups_hold_every_byte_once(block: int, size: int, lanes: int, quiet: int) -> None:
    """Blocks of every lane at once, then single bytes, of the lanes that have one more too."""
    text = Blockwise(network(block), size, lanes, 2, quiet)
    order = np.concatenate([text._positions(places) for places in text.places])
    assert np.array_equal(np.sort(order), np.arange(size))
    assert [group.size for group in text.groups] == [len(text._positions(places)) for places in text.places]
    assert [list(span) for span in text.spans()] == [[number] for number in range(len(text.groups))]
    noisy = [number for number, group in enumerate(text.groups) if group.steps]
    assert len(noisy) == max(0, size // lanes - quiet) // block and noisy == list(range(len(noisy)))
    for number in noisy:
        assert text.groups[number].size == lanes * block and text.groups[number].steps == (Draw(1 << 14),) * 2
    # Within a lane nothing comes before what stands before it.
    lane = np.searchsorted(text.starts[1:], order, side="right")
    for one in range(lanes):
        assert (np.diff(order[lane == one]) == 1).all()


def test_contexts_are_those_of_the_lane() -> None:
    """A block is predicted from the bytes of its own lane before it, and none of the block itself."""
    data, lanes, block = noise(61), 3, 4
    text = Blockwise(network(block), len(data), lanes, 1, 6, np.frombuffer(data, np.uint8))
    for number, places in enumerate(text.places):
        lanes_left = text._lanes(places)
        wanted = np.zeros((len(lanes_left), contexts.CONTEXTS), np.int64)
        for lane, out in zip(lanes_left, wanted, strict=True):
            state = np.zeros(contexts.STATE, np.int64)
            for byte in data[text.starts[lane] : text.starts[lane] + places.start]:
                contexts.advance(state, byte)
            contexts.rows(state, out)
        weights = network(block)(wanted, np.zeros((len(wanted), block, 256), np.int64))[:, : len(places)]
        assert np.array_equal(text.output(range(number, number + 1), None).weights(), weights.reshape(-1, 256))
    assert lanes_left.tolist() == [2], "the last byte is the last lane's"


def test_what_is_behind_is_not_read() -> None:
    """The other bytes of a text may be anything: a stream's end does not depend on what comes before."""
    data = noise(80)
    for lanes, steps in ((1, 1), (3, 2)):
        text = Blockwise(network(2), len(data), lanes, steps, 10, np.frombuffer(data, np.uint8))
        decoding = Blockwise(network(2), len(data), lanes, steps, 10)
        for number in range(len(text.groups)):
            span = range(number, number + 1)
            size = text.groups[number].size
            theta = ClassTheta(size) if text.groups[number].steps else None
            if theta is not None:
                theta.update(Draw(blockwise.SHARE), np.arange(size))
            made = decoding.output(span, theta).weights()
            assert np.array_equal(text.output(span, theta).weights(), made)
            assert made.shape == (size, 256)
            decoding.reveal(number, text.values(span))


# Whole texts


@pytest.fixture(scope="session")
def plain_model(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text model without a block network."""
    path = tmp_path_factory.mktemp("plain") / "plain.safetensors"
    parts = load_file(models / "text.safetensors")
    save_file({name: part for name, part in parts.items() if not name.startswith("blocks.")}, path)
    return path


@pytest.fixture(scope="session")
def cheap_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model to which the letter a costs one bit and any other byte nine, whatever came before or was drawn."""
    path = tmp_path_factory.mktemp("cheap") / "cheap.safetensors"
    parts = tensors(2)
    for part in ("weight", "bias", "shift"):
        parts[f"blocks.last.{part}"][:] = 0
    parts["blocks.last.bias"].reshape(2, 256)[:, ord("a")] = round(np.log(255) * 64)
    save_file(parts, path)
    return path


def coded(data: bytes, model: Path, ledger: Ledger | None = None) -> Block:
    return text_blocks.encode(data, Choices(model=str(model), effort="blocks"), ledger)


def form_of(block: Block) -> Text:
    assert isinstance(block.form, Text)
    return block.form


def text_of(block: Block) -> bytes:
    """What a block holds."""
    (content,) = block.form.decode(block, "cpu")
    assert not isinstance(content, Picture)
    return b"".join(content)


def written(block: Block) -> Block:
    """The block after a file's bytes."""
    (read,) = decoding.read(container.write(File([block]))).blocks
    assert read == block
    return read


@pytest.mark.parametrize("size", [1, 2, 128, 129, 131, 132, 300, 2047, 2048, 3100])
def test_texts_of_any_size(tiny_text: Path, size: int) -> None:
    """Around the quiet end, the first block, and the second lane."""
    data = (TEXT * 40)[:size]
    block = coded(data, tiny_text)
    form = form_of(block)
    assert form.schedule is TextSchedule.BLOCKWISE
    assert form.lanes == max(1, size // 1024) and form.steps == streams.BLOCK_STEPS
    assert text_of(written(block)) == data
    assert coded(data, tiny_text) == block, "the same input gives the same file"


def test_lanes_for_any_size() -> None:
    assert [blockwise.lanes_for(size) for size in (1, 2047, 2048, 10**5, 1 << 18, 10**9)] == [1, 1, 2, 97, 256, 256]
    assert blockwise.LANES <= LANE_LIMIT and streams.BLOCK_STEPS <= STEP_LIMIT


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_any_number_of_steps(tiny_text: Path, monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    monkeypatch.setattr(streams, "BLOCK_STEPS", steps)
    block = coded(TEXT * 8, tiny_text)
    assert form_of(block).steps == steps
    assert text_of(written(block)) == TEXT * 8


def test_kernels_write_and_read_the_same_bytes(tiny_text: Path) -> None:
    data = TEXT * 4 + noise(50) + bytes(40)
    made = [streams.encode_blocks(tiny_text, kernel, data) for kernel in [*KERNELS, "torch-cpu"]]
    assert all(one == made[0] for one in made)
    parts, lanes, quiet = made[0]
    for kernel in [*KERNELS, "torch-cpu"]:
        claims = lanes, streams.BLOCK_STEPS, quiet
        assert streams.decode_blocks(tiny_text, kernel, len(data), *claims, list(parts)) == data
    assert form_of(coded(data, tiny_text)).streams == parts


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_coded_bits_are_the_path_loss(tiny_text: Path, monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Within 64 bits and 0.02 %, the noise that is taken back included."""
    monkeypatch.setattr(streams, "BLOCK_STEPS", steps)
    ledger = Ledger()
    block = coded(noise(1500) + TEXT * 20, tiny_text, ledger)
    (stream,) = form_of(block).streams
    assert 8 * len(stream) == pytest.approx(ledger.path_loss, abs=64, rel=2e-4)
    noisy = [group for group in ledger.groups if group.path]
    assert len(noisy) > 100 or not steps
    assert all(len(group.path) == len(group.divergence) == steps for group in noisy)


def test_n_step_loss_is_the_expected_path_loss() -> None:
    """What is paid for views is their KL on average over the noise, which is the bits of the stack."""
    ledger = Ledger()
    encoded(network(2), noise(4000), 4, 3, 30, ledger)
    paid = np.array([sum(group.path) for group in ledger.groups if group.path])
    expected = np.array([sum(group.divergence) for group in ledger.groups if group.path])
    assert len(paid) > 400 and expected.min() > 0
    spread = (paid - expected).std() * len(paid) ** 0.5
    assert 0 < abs(paid.sum() - expected.sum()) < 4 * spread
    assert ledger.n_step_loss == pytest.approx(ledger.path_loss, rel=0.02)
    assert spread < 0.1 * expected.sum(), "or this says nothing"


def test_noise_that_the_stack_cannot_feed(cheap_model: Path) -> None:
    """Two draws of two bytes take 164 bits, which 128 letters at a bit each do not give: 256 are sent without."""
    ledger = Ledger()
    block = coded(b"a" * 1000, cheap_model, ledger)
    form = form_of(block)
    assert (form.quiet, form.lanes) == (2 * streams.QUIET, 1)
    assert text_of(written(block)) == b"a" * 1000
    noisy = (1000 - 2 * streams.QUIET) // 2
    assert [len(group.path) for group in ledger.groups] == [2] * noisy + [0] * (1000 - 2 * noisy), "one attempt's"
    (stream,) = form.streams
    assert 8 * len(stream) == pytest.approx(ledger.path_loss, abs=64, rel=2e-4)
    assert 1000 < ledger.path_loss < 2000, "the model ignores its views, which cost something"
    assert form_of(coded(b"b" * 600, cheap_model)).quiet == streams.QUIET


def test_a_text_too_short_for_noise_has_none(cheap_model: Path) -> None:
    """The quiet end grows until it is the whole text."""
    block = coded(b"a" * 190, cheap_model)
    assert form_of(block).quiet == 2 * streams.QUIET
    assert text_of(written(block)) == b"a" * 190


@pytest.mark.parametrize("size", [500, 501, 999, 1503, 1700])
def test_parts(tiny_text: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """A stream each, as if they were texts of their own; the last may have fewer bytes than lanes."""
    monkeypatch.setattr(streams, "BLOCK_PART", 500)
    monkeypatch.setattr(text_blocks, "STREAM_BYTES", 500)
    monkeypatch.setattr(blockwise, "LANE_BYTES", 100)
    monkeypatch.setattr(streams, "QUIET", 40)
    data = (TEXT * 40)[:size]
    ledger = Ledger()
    block = coded(data, tiny_text, ledger)
    form = form_of(block)
    made = form.streams
    assert form.lanes == 5 and len(made) == -(-size // 500)
    assert sum(map(len, made)) * 8 == pytest.approx(ledger.path_loss, abs=64 * len(made), rel=2e-4)
    assert text_of(written(block)) == data
    for number, stream in enumerate(made):
        part = data[500 * number : 500 * (number + 1)]
        assert encoded(streams._block_network(tiny_text, "bytes"), part, 5, 2, 40) == (stream, set())
    for wrong in (made[:-1], [*made, b"\1"], [b"\1", *made[1:]], [*made[:-1], b""]):
        with pytest.raises(CorruptFile):
            text_of(replace(block, form=replace(form, streams=wrong)))


CLAIMS = {
    "lanes": [2, 3, 256],
    "steps": [0, 1, 3, 64],
    "quiet": [0, 124, 132, 1 << 62],
    "schedule": [TextSchedule.BYTEWISE],
}


@pytest.mark.parametrize("field", CLAIMS)
def test_wrong_claims_are_noticed(tiny_text: Path, field: str) -> None:
    block = coded(TEXT * 2, tiny_text)
    assert text_of(block) == TEXT * 2
    for value in CLAIMS[field]:
        wrong = replace(block, form=replace(form_of(block), **{field: value}))
        with pytest.raises(BfnError):
            bfncodec.decode(container.write(File([wrong])))


@pytest.mark.parametrize("change", [-1, 1, -100])
def test_another_size_is_noticed(tiny_text: Path, change: int) -> None:
    block = coded(TEXT * 2, tiny_text)
    with pytest.raises(CorruptFile):
        text_of(replace(block, size=block.size + change))


# The command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a text and an image."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_bytes(TEXT * 20)
    (tmp_path / "image.png").write_bytes(png())
    return tmp_path


def block_of(path: Path) -> dict[str, Any]:
    return bfncodec.info(path.read_bytes())["blocks"][0]


def test_encode_in_blocks(folder: Path, tiny_text: Path) -> None:
    """`encode --effort blocks`; info says so; decoding needs no options."""
    good("encode", "--media", "text", "--effort", "blocks", "book.txt")
    told = block_of(folder / "book.txt.bfn")
    assert (told["mode"], told["schedule"], told["lanes"]) == ("text", "blockwise", 1)
    assert told["model"] == zoo.digest(tiny_text).hex()
    assert "blockwise" in good("info", "--json", "book.txt.bfn").out.decode()
    assert good("test", "book.txt.bfn").err == "book.txt.bfn: OK\n"
    assert good("decode", "-c", "book.txt.bfn").out == TEXT * 20
    data = (folder / "book.txt.bfn").read_bytes()
    assert bfncodec.encode(TEXT * 20, media="text", effort="blocks") == data
    good("encode", "-f", "--media", "text", "book.txt")
    assert block_of(folder / "book.txt.bfn")["schedule"] == "bytewise"


def test_effort_blocks_is_for_texts(folder: Path) -> None:
    """Images take the default; in an archive each item takes what is its own."""
    good("encode", "-m", "tiny", "--effort", "blocks", "image.png")
    assert (folder / "image.png.bfn").read_bytes() == good("encode", "-m", "tiny", "-c", "image.png").out
    good("encode", "-m", "tiny", "--effort", "blocks", "image.png", "-o", "set.bfn", "book.txt")
    good("test", "set.bfn")
    assert bfncodec.decode_items((folder / "set.bfn").read_bytes())["book.txt"] == TEXT * 20


@pytest.mark.parametrize("data", [b"a", bytes(2), b"\xff" * 130])
def test_small_texts_in_blocks(folder: Path, data: bytes) -> None:
    (folder / "small").write_bytes(data)
    for media in ("text", "bytes"):
        good("encode", "-f", "--media", media, "--effort", "blocks", "small")
        assert good("decode", "-c", "small.bfn").out == data
    (folder / "small").write_bytes(b"")
    good("encode", "-f", "--media", "text", "--effort", "blocks", "small")
    assert good("decode", "-c", "small.bfn").out == b""


@pytest.mark.parametrize("media", ["auto", "text", "bytes"])
def test_a_model_without_a_block_network(folder: Path, plain_model: Path, media: str) -> None:
    """One clean error, and no output."""
    result = call("encode", "--effort", "blocks", "--media", media, "-m", plain_model, "book.txt")
    assert (result.code, result.out) == (1, b"")
    assert result.err.startswith("bfncodec: book.txt: ") and len(result.err.splitlines()) == 1
    assert "blocks." in result.err
    assert sorted(listing(folder)) == ["book.txt", "image.png"]
    good("encode", "--media", media, "-m", plain_model, "book.txt")


@pytest.mark.parametrize("command", ["decode", "test"])
def test_a_file_that_names_a_model_without_a_block_network(folder: Path, plain_model: Path, command: str) -> None:
    """Malice: the header's checksum is right."""
    shutil.copy(plain_model, folder)
    good("encode", "--media", "text", "--effort", "blocks", "book.txt")
    file = decoding.read((folder / "book.txt.bfn").read_bytes())
    for model in (zoo.find(str(folder / "plain.safetensors")), zoo.find("tiny")):
        form_of(file.blocks[0]).model = zoo.digest(model)
        result = call(command, given=container.write(file))
        assert (result.code, result.out) == (1, b"") and "no tensor" in result.err
        assert len(result.err.splitlines()) == 1
