"""The second decoder's tables, the page's and the package's are the same, beyond what goldens reach."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.graphics.test_bits import lines
from models.graphics.test_bits import waves as halftone
from models.graphics.test_streams import drawing, waves
from reference import decoder
from reference import graphics as reference_graphics
from reference import paper as reference_paper
from reference import text as reference_text
from tools import fuzz_mutants, make_goldens, make_tiny_paper, make_tiny_text

from bfncodec import api, media
from bfncodec.blocks import single
from bfncodec.blocks import text as text_blocks
from bfncodec.coding import decisions
from bfncodec.exact import tables
from bfncodec.exact.pmf import normalise
from bfncodec.exact.splitmix import stream
from bfncodec.exact.tables import exp_negative, log_ratio
from bfncodec.flow.schedule import Dither, Draw, Vector
from bfncodec.flow.sender import sender
from bfncodec.flow.theta import LOG_STEPS, ClassTheta
from bfncodec.models.graphics import bits as bilevel
from bfncodec.models.graphics import candidates, escapes, predictors, regression
from bfncodec.models.graphics import streams as graphics_streams
from bfncodec.models.graphics.pixels import Pixels
from bfncodec.models.paper import streams as paper_streams
from bfncodec.models.text import blockwise, bytewise, contexts, histories, layout, memory, network
from bfncodec.models.text import streams as text_streams

PAGE = (Path(__file__).parents[1] / "docs" / "format.md").read_text()
TEXT = PAGE.split("## 15. Text")[1].split("## 16.")[0]
GOLDEN_MODEL = make_goldens.DATA / f"{make_goldens.TEXT_MODEL}.safetensors"


def table(heading: str) -> list[list[str]]:
    """Cells of a table of the page's section 15, without its head."""
    lines = TEXT.split(heading)[1].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")][1:]


def test_log_odds() -> None:
    assert [reference_text.squash(x) for x in range(-2815, 2816)] == tables.squash_table().tolist()
    assert [reference_text.stretch(p) for p in range(1 << 16)] == tables.stretch_table().tolist()


def test_histories() -> None:
    follow, evidence = reference_text.histories()
    assert follow == [tuple(pair) for pair in histories.next_table()[: len(follow)].tolist()]
    assert evidence == histories.totals()[: len(follow)].tolist()
    assert f"There are {len(follow)}." in TEXT


def test_sizes() -> None:
    for size in [*range(1, 3000), *(1 << bits for bits in range(40)), *((1 << bits) - 1 for bits in range(1, 40))]:
        assert reference_text.bucket_bits(size) == bytewise.slot_bits(size)
    assert reference_text.SECTION == bytewise.SECTION == 1 << 22
    assert f"sections of 2^{bytewise.SECTION.bit_length() - 1} bytes" in TEXT


def test_shares_of_logits() -> None:
    wanted = (exp_negative(np.arange(network.TAIL + 1), network.LOGIT_STEPS) >> 14) + 1
    assert reference_text.shares() == wanted.tolist()


@given(
    st.lists(st.binary(max_size=40) | st.sampled_from([b"A word, ", b"(E\xc3\x89t\xc3\xa9)\r\n", b"\n"])).map(b"".join)
)
def test_states_hashes_and_rows(data: bytes) -> None:
    lane, state = reference_text.Lane(), np.zeros(contexts.STATE, np.int64)
    hashes, rows = np.zeros(contexts.HASHED, np.int64), np.zeros(contexts.CONTEXTS, np.int64)
    for byte in data:
        lane.take(byte)
        contexts.advance(state, byte)
        contexts.hashes(state, hashes)
        contexts.rows(state, rows)
        assert lane.hashes() == hashes.tolist() and lane.rows(lane.hashes()) == rows.tolist()


@given(st.lists(st.binary(max_size=60) | st.sampled_from([b"(a [b] {c} <d>", b"A word, ", b"\n"])), st.integers(1, 90))
def test_layouts(parts: list[bytes], times: int) -> None:
    """Records of any length, lines, brackets; bytes that are not known yet count for nothing."""
    data = b"".join(parts) * times
    lane, state, mine = reference_text.Lane(), np.zeros(contexts.STATE, np.int64), layout.fresh()
    hashes, other = np.zeros(layout.CONTEXTS, np.int64), reference_text.Layout()
    known, room = np.zeros(len(data), np.uint8), bytearray(len(data))
    for place, byte in enumerate(data):
        lane.take(byte)
        contexts.advance(state, byte)
        known[place] = room[place] = byte
        other.take(lane, byte, place)
        mine.places[layout.POSITION] += 1
        layout.take(mine, state, byte)
        layout.hashes(mine, known[: place + 1], state, byte, hashes)
        assert other.hashes(lane, room, place + 1, byte) == hashes.tolist()


def test_numbers_of_the_page() -> None:
    """Tables that a golden of some hundred bytes does not reach all over."""
    bits = [int(row[2]) for row in table("| hash | value | bits |\n")]
    assert bits == list(contexts.TABLE_BITS[: contexts.HASHED]) == reference_text.ROW_BITS[: contexts.HASHED]
    mixers = [[int(cell) for cell in row[:3]] for row in table("| mixer | sets | the first is row | chosen is |\n")]
    assert mixers == [[k, *pair] for k, pair in enumerate(zip(memory.SETS, memory.OFFSETS, strict=False))]
    kept, most = (re.findall(rf"\| {name}\(\w\) \| (.*) \|", TEXT)[0] for name in ("kept", "most"))
    assert most == " | ".join(map(str, histories._LARGEST))
    assert kept.split(" | ")[:6] == [str(count) for count in histories._KEPT[3:9]]
    assert {*histories._KEPT[9:]} == {5} and kept.endswith("5 | 6")
    shapes = {row[0]: row[1:3] for row in table("| tensor | type | shape | values |\n")}
    for name, tensor in make_tiny_text.tensors().items():
        if f"`{name}`" in shapes and not name.startswith(("text", "blocks")):
            assert shapes[f"`{name}`"] == [str(tensor.dtype), ", ".join(map(str, tensor.shape))]
    assert shapes["`text.table`"] == ["int8", f"{contexts.ROWS}, dimensions"]
    assert f"A bit has {memory.FULL.inputs} inputs" in TEXT and f"A bit has {memory.FAST.inputs} inputs" in TEXT
    *most, last = map(str, memory.FAST.contexts)
    assert f"with the numbers {', '.join(most)} and {last} of" in TEXT
    assert list(memory.FAST.contexts) == reference_text.FAST
    assert f"max({text_blocks.FEW_LANES}, size // 2^{text_blocks.LANE_BYTES.bit_length() - 1})" in PAGE
    assert f"1 to {text_blocks.LANE_LIMIT} " in PAGE
    assert f"steps of a block, at most {text_blocks.STEP_LIMIT} " in PAGE
    assert f"adds {log_ratio(blockwise.SHARE, 256, LOG_STEPS)} to" in TEXT
    assert text_streams.BLOCK_PART == reference_text.PART and "parts of 2^22 bytes" in TEXT


@pytest.mark.parametrize(
    "data, lanes, section",
    [
        (b"ab" * 150 + b"abc" * 40, 1, 1 << 22),
        (make_goldens.random_bytes(200) * 2 + bytes(100), 3, 100),
        (make_goldens.ENGLISH[:300] + bytes(range(256)), 4, 64),
        (b"\n" * 90 + b"A B " * 30, 70, 1),
    ],
)
def test_lanes_and_sections(monkeypatch: pytest.MonkeyPatch, data: bytes, lanes: int, section: int) -> None:
    """Long matches, slots that run out, streams of few bytes."""
    monkeypatch.setattr(bytewise, "SECTION", section)
    monkeypatch.setattr(reference_text, "SECTION", section)
    monkeypatch.setenv("BFNCODEC_MODEL_DIR", str(make_goldens.DATA))
    streams = make_goldens.lane_streams(data, lanes)
    assert reference_text.decode(GOLDEN_MODEL.read_bytes(), len(data), lanes, streams) == data
    streams = make_goldens.lane_streams(data, lanes, memory.FAST)
    assert reference_text.decode(GOLDEN_MODEL.read_bytes(), len(data), lanes, streams, fast=True) == data


@given(st.lists(st.integers(0, 255) | st.sampled_from([0, 255]), max_size=text_blocks.STEP_LIMIT))
def test_theta_of_views(views: list[int]) -> None:
    theta = ClassTheta(1)
    for view in views:
        theta.update(Draw(blockwise.SHARE), np.array([view]))
    assert reference_text.theta(tuple(views)) == theta.shares()[0].tolist()


@given(st.lists(st.integers(0, 4) | st.just(1 << 20), min_size=256, max_size=256).filter(any))
def test_tables_of_views(masses: list[int]) -> None:
    channel = sender(Draw(blockwise.SHARE))
    assert [reference_text.sender(value) for value in range(256)] == channel.weights(np.arange(256)).tolist()
    weights = normalise((np.cumsum(masses) << 24) // sum(masses), 24)
    assert reference_text.receiver(weights.tolist()) == channel.receiver(weights[None])[0].tolist()


@pytest.mark.parametrize(
    "size, lanes, steps, quiet, part",
    [
        (301, 2, 3, 50, 150),  # a last part of one byte
        (200, 3, 1, 40, 400),  # lanes of two lengths
        (70, 5, 0, 1, 64),  # no noise
        (40, 40, 7, 0, 100),  # no blocks
    ],
)
def test_parts_of_blocks(
    monkeypatch: pytest.MonkeyPatch, size: int, lanes: int, steps: int, quiet: int, part: int
) -> None:
    monkeypatch.setattr(text_streams, "BLOCK_PART", part)
    monkeypatch.setattr(reference_text, "PART", part)
    monkeypatch.setenv("BFNCODEC_MODEL_DIR", str(make_goldens.DATA))
    data = make_goldens.ENGLISH[:size]
    streams = make_goldens.block_streams(data, lanes, steps, quiet)
    assert len(streams) == -(-size // part)
    plan = (len(data), lanes, steps, quiet, streams)
    assert reference_text.decode_blocks(GOLDEN_MODEL.read_bytes(), *plan) == data


# Section 16

PAPER = PAGE.split("## 16. The paper's schedule")[1].split("## 17.")[0]
MODELS = {
    name: reference_paper.Model((make_goldens.DATA / f"{name}.safetensors").read_bytes())
    for name in make_tiny_paper.SPECS
}


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 20))
def test_noise_that_both_sides_know(high: int, low: int, count: int) -> None:
    assert reference_paper.noise(high, low, count) == stream((high, low), count).tolist()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("count", [1, 2, 7, 50, 1000])
def test_steps_and_seeds(name: str, count: int) -> None:
    spec, model = make_tiny_paper.SPECS[name], MODELS[name]
    for number, sender_name in enumerate(("gaussian", "dither", "categorical")):
        if sender_name not in spec.senders:
            continue
        ours, theirs = spec.steps(count, sender_name), reference_paper.steps_of(model, number, count)
        assert len(ours) == len(theirs) == count
        for one, other in zip(ours, theirs, strict=True):
            if isinstance(one, Draw):
                assert (one.share, log_ratio(one.share, spec.levels, 64)) == (other.share, other.gain)
                continue
            if isinstance(one, Dither):
                assert one.width == other.width
            plain = one.step if isinstance(one, Dither | Vector) else one
            numbers = (plain.deviation, plain.spacing, plain.accuracy)
            assert numbers == (other.deviation, other.spacing, other.accuracy)
        assert paper_streams._seed(ours, 3) == reference_paper.seed_of(model, number, count, 3)


@settings(max_examples=60)
@given(st.data())
def test_tables_of_data_items(data: st.DataObject) -> None:
    """Receivers and posteriors, for distributions from even to sure."""
    name, count = data.draw(st.sampled_from(list(MODELS))), data.draw(st.sampled_from([1, 3, 40]))
    spec, model = make_tiny_paper.SPECS[name], MODELS[name]
    index = data.draw(st.integers(0, count - 1))
    masses = [0] * spec.levels
    for place, mass in data.draw(
        st.lists(st.tuples(st.integers(0, spec.levels - 1), st.integers(1, 9) | st.just(1 << 24)), min_size=1)
    ):
        masses[place] += mass
    p = normalise((np.cumsum(masses) << 24) // sum(masses), 24)
    x = data.draw(st.integers(0, spec.levels - 1))

    def both(kind: str) -> tuple[Any, reference_paper.Step]:
        number = ("gaussian", "dither", "categorical").index(kind)
        theirs = reference_paper.steps_of(model, number, count)[index]
        return sender(spec.steps(count, kind)[index]), theirs

    ours, theirs = both("gaussian")
    if spec.kind == "classes":
        assert [theirs.coordinate(0), theirs.coordinate(1)] == ours.table.tolist()
        highest = ours.table.shape[1] - 1
        view = data.draw(st.lists(st.integers(0, highest), min_size=spec.levels, max_size=spec.levels))
        places = ours.coordinate.receiver_views(np.array([view]))
        assert theirs.posterior(p.tolist(), view) == ours.posterior(places, p[None])[0].tolist()
        ours, theirs = both("categorical")
        assert theirs.drawn(x) == ours.weights(np.array([x]))[0].tolist()
        assert theirs.averaged(p.tolist()) == ours.receiver(p[None])[0].tolist()
        return
    assert theirs.sender(64 * x) == ours.weights(np.array([x]))[0].tolist()
    assert theirs.receiver(p.tolist()) == ours.receiver(p[None])[0].tolist()
    ours, theirs = both("dither")
    offset = data.draw(st.integers(0, ours.width - 1))
    assert theirs.masses(p.tolist(), offset) == ours.receiver(p[None], np.array([offset]))[0].tolist()


def test_limits_of_data_items_are_those_of_the_page() -> None:
    assert f"noisy steps n, 1 to {single.STEP_LIMIT} " in PAPER
    for text, limit in (
        ("`size` is at most 2^30", single.SIZE_LIMIT),
        ("size · steps at most 2^36", single.WORK_LIMIT),
        ("batch · D at most 2^20", paper_streams.GROUP_LIMIT),
        ("most 2^28", single.SEED_LIMIT),
        ("gives at most 2^26 bytes", single.FRAME_LIMIT),
    ):
        assert text in PAPER and 1 << int(text.split("2^")[1].split()[0]) == limit
    assert paper_streams.SEED_LIMIT == single.SEED_LIMIT


# Section 18

EXACT = " ".join(PAGE.split("## 18. Exact colours")[1].split())


def test_numbers_of_exact_colours() -> None:
    """Constants of the page, and what is there before the first pixel."""
    for text in (
        f"below {candidates._OPEN}, no candidate",
        f"{escapes._RATE} + {escapes._EARLY} · {escapes._SOON} // ({escapes._SOON} + m)",
        f"weights {bilevel.FIRST}, rate {bilevel.RATE};",
        f"the last {bilevel.CLEAR} pixels or more",
        f"If n ≥ {bilevel.SHORTEST}, a stretch",
        f"2 · min(number, {bilevel.LONGEST}) + v",
        f"curves of {bilevel.KNOTS + 1} points",
        f"(n · {regression._QUIET[0]} // {regression._QUIET[1]} + sum of",
        f"(a >> 14) + {regression._RIDGE}",
        f"(bits of d) - {regression._DIAGONAL - 1})",
        f"{regression._FAR} · 2^{regression._WEIGHT} // max(|u|, 1)",
    ):
        assert text in EXACT, text
    assert candidates.ASKED == 5 and "first five different words" in EXACT
    plain = EXACT.replace("−", "-")
    for name, start in (("NEAREST", "neighbours are, as (rows, columns), "), ("FURTHER", "two channels also ")):
        wanted = getattr(regression, name)
        assert start + ", ".join(map(str, wanted)) in plain and wanted == getattr(reference_graphics, name)
    assert {count: list(order) for count, order in escapes.ORDERS.items()} == reference_graphics.ORDERS
    assert "0; 1, 0; 2, 1, 0; or 3, 1, 0, 2," in EXACT
    softplus = predictors.predictors(1, 6).softplus
    assert reference_graphics.softplus() == softplus.tolist()
    numbers = [*range(5000), *(1 << n for n in range(13, 27)), *((1 << n) - 1 for n in range(13, 27))]
    assert [*map(reference_graphics.octave, numbers)] == [int(predictors.octave(n)) for n in numbers]
    knots = [reference_text.squash(knot) << 6 for knot in reference_graphics.KNOTS]
    assert knots == bilevel.fresh(1, 1).corrections[1, -1].tolist()


@pytest.mark.parametrize("shape, depth", [((1, 1, 1, 2), 8), ((2, 30, 60, 3), 12), ((1, 520, 520, 1), 8)])
def test_what_exact_colours_begin_with(shape: tuple[int, int, int, int], depth: int) -> None:
    ours, theirs = Pixels(shape, depth), reference_graphics.Picture(reference_graphics.Stack(b""), shape, depth)
    likely, rest, spelling = ours._candidates, ours._escapes, theirs.spelling
    assert likely.recent.shape == (4, theirs.neighbourhoods)
    for slots, found in ((likely.slots, theirs.slots), (rest.slots, spelling.slots)):
        assert len(slots) == found.last + 1 and {*slots.tolist()} == {1 << 31}
    for mixing, mixers in ((likely.mixing, theirs.mixers), (rest.mixing, spelling.mixers)):
        assert np.array_equal(mixing.weights, np.tile(np.int32(mixers.first), (len(mixing.weights), 1)))
        assert {*mixing.last.reshape(-1).tolist()} == {reference_graphics.ONE // mixers.count}
    assert likely.mixing.ends[2] == theirs.mixers.rate and {*likely.gates.tolist()} == {62000}
    views, scales = spelling.views, rest.predictors.scales
    assert [views.scales[shape[3] - 1, 10, octave, 7][0] for octave in range(96)] == scales[-1, 10, :, 7, 0].tolist()
    assert len(views.ring) == len(rest.predictors.errors) and not scales[..., 1].any()
    assert rest.exact == spelling.exact
    for regressed, squares in zip((rest.quick, rest.slow), spelling.squares, strict=True):
        assert (regressed.inputs, regressed.size) == (squares.inputs, squares.size)
        assert regressed.kept == regressed.below == squares.fading and f" {squares.fading}" in EXACT


@pytest.mark.parametrize("height, width", [(1, 1), (100, 90), (900, 900)])
def test_what_two_colours_begin_with(height: int, width: int) -> None:
    ours, theirs = bilevel.fresh(height, width), reference_graphics.Page(reference_graphics.Stack(b""), height, width)
    assert ours.tables.shape == (len(theirs.tables), theirs.tables[0].last + 1) and ours.matches.shape[1] == theirs.most
    assert {*ours.mixing.weights.reshape(-1).tolist()} == {*theirs.mixers.first}
    assert ours.mixing.weights.shape[1] == len(theirs.mixers.first) and ours.mixing.ends[2] == theirs.mixers.rate
    assert ours.sure.shape == (2, len(theirs.sure[0]))


@given(st.integers(-(1 << 34), 1 << 34), st.integers(0, (1 << 32) - 1))
def test_hashes_of_exact_colours(more: int, value: int) -> None:
    assert reference_graphics.fold(value, more) == decisions.hashed(value, more)


def test_slots_of_exact_colours() -> None:
    """All counts, with chances all over."""
    mixing = decisions.mixing(2, (1,), 1, 20, 250, 0)
    for met in range(256):
        for chance in [*range(16, 1 << 16, 8209), (1 << 16) - 16]:
            for bit in range(2):
                slot = reference_graphics.Slot()
                slot.chance, slot.check, slot.met = chance, 77, met
                table = np.array([chance << 16 | 77 << 8 | met], np.uint32)
                decisions.opine(mixing, 0, table, 0)
                assert mixing.inputs.tolist() == slot.inputs()
                decisions.learn(mixing.curves, table, 0, bit)
                slot.learn(bit)
                assert table[0] == slot.chance << 16 | 77 << 8 | slot.met


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_mixers_of_exact_colours(data: st.DataObject) -> None:
    """Weights up to their bounds, and decisions that are too sure to learn from."""
    count, rate = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 38))
    inputs = data.draw(st.lists(st.integers(-2815, 2815), min_size=3, max_size=3))
    weight = st.integers(-(1 << 20), 1 << 20) | st.sampled_from([-(1 << 20), 1 << 20, 0])
    rows = data.draw(st.lists(st.lists(weight, min_size=3, max_size=3), min_size=count, max_size=count))
    last = data.draw(st.lists(weight, min_size=count, max_size=count))
    ours = decisions.mixing(3, (1,) * count, 1, rate, 250, 0)
    theirs = reference_graphics.Mixers(count, [0] * 3, rate)
    ours.inputs[:], ours.weights[:], ours.last[0], ours.chosen[:] = inputs, rows, last, range(count)
    theirs.weights = {(number, 0): list(row) for number, row in enumerate(rows)}
    theirs.last = {0: list(last)}
    for bit in data.draw(st.lists(st.integers(0, 1), min_size=1, max_size=4)):
        assert decisions.mix(ours) == theirs.chance(inputs, [0] * count, 0)
        decisions.adapt(ours, bit)
        theirs.learn(bit)
        assert ours.weights.tolist() == [theirs.weights[number, 0] for number in range(count)]
        assert ours.last[0].tolist() == theirs.last[0]


def speckled(planes: np.ndarray, share: float) -> np.ndarray:
    """Planes uint8 [N, H, W, C], of which some pixels are noise."""
    random = np.random.default_rng(1)
    planes, where = planes.copy(), random.random(planes.shape[:3]) < share
    planes[where] = random.integers(0, 256, (where.sum(), planes.shape[3]))
    return planes


def shapes(height: int, width: int, channels: int) -> np.ndarray:
    """Three shapes of five colours over and over: uint8 [1, H, W, C]."""
    random = np.random.default_rng(4)
    planes = np.full((1, height, width, channels), 250, np.uint8)
    kinds, colours = random.integers(0, 5, (3, 5, 4)), random.integers(0, 256, (5, channels), np.uint8)
    for _ in range(height * width // 45):
        y, x = random.integers(0, (height - 5, width - 4))
        planes[0, y : y + 5, x : x + 4] = colours[kinds[random.integers(3)]]
    return planes


CASES = {
    "grey": (drawing(9, 20, 1), 8),
    "grey and alpha": (drawing(9, 14, 2), 8),
    "rgb": (drawing(8, 40, 3), 8),
    "rgba": (drawing(9, 14, 4), 8),
    "images of one size": (np.concatenate([drawing(6, 14, 3), drawing(6, 14, 3)[:, ::-1]] * 2), 8),
    "few bits": (drawing(20, 33, 1) & 7, 3),
    "noise": (np.random.default_rng(0).integers(0, 256, (1, 5, 9, 3), np.uint8), 8),
    "more than 304 pixels": (np.random.default_rng(0).integers(90, 122, (1, 18, 20, 1), np.uint8), 8),
    "noise of 16 bits": (np.random.default_rng(0).integers(0, 1 << 16, (1, 4, 5, 2), np.uint16), 16),
    "shapes": (shapes(24, 40, 3), 8),
    "grey shapes": (shapes(24, 40, 1), 8),
    "speckled": (speckled(np.concatenate([drawing(7, 12, 4)] * 2), 0.08), 8),
    "levels of 16 bits": (waves(16, 1, 16)[:, :3], 16),
    "three levels": (drawing(9, 20, 1) // 90 * 90, 8),
    "12 of 14 bits": (waves(12, 2)[:, :2], 14),
    "a column": (waves(12, 3)[:, :, :1], 12),
    "two colours": (lines(50, 130)[None, ..., None], 1),
    "a halftone": (halftone(20, 50)[None, ..., None] * 255, 8),
    "pages": (np.stack([lines(9, 40), 1 - lines(9, 40)])[..., None], 1),
}


@pytest.mark.parametrize("name", CASES)
def test_exact_colours(name: str) -> None:
    planes, depth = CASES[name]
    found = reference_graphics.decode(graphics_streams.encode_planes(planes, depth), planes.shape, depth)
    assert np.array_equal(found, planes)


def test_exact_colours_of_every_medium() -> None:
    """Bits, palettes and words: the same pixels in both decoders, and the same files."""
    wave = (128 + 60 * np.sin(np.mgrid[:17, :19][1] / 5)).astype(np.uint8)
    for name, data in fuzz_mutants.exact_files(np.stack([wave, wave.T[:17].repeat(2, 1)[:, :19], 255 - wave], 2)):
        (item,) = decoder.decode(api.encode(data, media="image"))
        picture = media.parse(data, None)
        assert picture is not None and item.source == picture.origin and item.metadata == picture.metadata
        assert np.array_equal(item.pixels, picture.pixels), name
        if picture.origin.exact:
            assert item.file() == data
