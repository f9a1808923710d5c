"""The text model from its network to whole texts; compiled and plain Python give the same integers."""

import os
import subprocess
import sys
from inspect import unwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tools import make_tiny_text

from bfncodec import container, decoding
from bfncodec.blocks import plain
from bfncodec.blocks import text as text_blocks
from bfncodec.blocks.text import FEW_LANES, Text, TextSchedule
from bfncodec.coding.ledger import Ledger
from bfncodec.container import Block, File
from bfncodec.errors import CorruptFile
from bfncodec.exact import kernels, tables
from bfncodec.exact.kernels import SUM_LIMIT
from bfncodec.exact.layers import INPUT_MAX
from bfncodec.exact.tables import exp_negative
from bfncodec.models import zoo
from bfncodec.models.text import bytewise, contexts, memory, network, streams
from bfncodec.picture import Picture
from bfncodec.presets import Choices

WORDS = b"It was the best of times, it was the worst of times. It was the age of wisdom;\r\n\tthe age of 1859.\n"
LANES = (1, 2, 3, 4)

# The static network


def forward(tensors: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """The network's weights in NumPy's int64, as the formulas have them, row after row of a text."""

    def layer(name: str, values: np.ndarray) -> np.ndarray:
        weight, bias, shift = (tensors[f"text.{name}.{part}"].astype(np.int64) for part in ("weight", "bias", "shift"))
        return values @ weight.T + bias + (1 << shift >> 1) >> shift

    seen = layer("first", tensors["text.table"].astype(np.int64)[rows].reshape(len(rows), -1)).clip(0, 255)
    gates = tables.squash_table()[layer("gate", seen).clip(-tables.LOGIT_MAX, tables.LOGIT_MAX) + tables.LOGIT_MAX]
    goals = layer("candidate", seen).clip(0, 4095) << 16
    levels = np.zeros_like(goals)
    for place, (gate, goal) in enumerate(zip(gates, goals, strict=True)):
        before = levels[place - 1]
        levels[place] = before + ((goal - before) * gate >> 16)
    values = layer("second", np.concatenate([seen, np.minimum(levels >> 16, 255)], axis=1)).clip(0, 255)
    values = layer("last", values)
    below = np.minimum(values.max(axis=1, keepdims=True) - values, network.TAIL)
    return (exp_negative(below, network.LOGIT_STEPS) >> 14) + 1


def predicted(tensors: dict[str, np.ndarray], states: np.ndarray, tell: Any = network.foretell) -> np.ndarray:
    """The network's weights int64 [n, 256], byte after byte, and how sure it says that they are."""
    layers = network.load(kernels.kernel("bytes"), tensors)
    out = np.zeros((len(states), network.FORESEEN), np.int32)
    for state, line in zip(states, out, strict=True):
        tell(layers, state, line)
    weights = np.diff(out[:, :257].astype(np.int64))
    assert not out[:, 0].any()
    assert out[:, 257].tolist() == np.minimum(7, 8 * weights.max(axis=1) // weights.sum(axis=1)).tolist()
    return weights


def some_states(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """States int64 [count, STATE] after random bytes, and the rows [count, CONTEXTS] that they choose."""
    data = np.random.default_rng(seed).integers(0, 256, 16 * count, dtype=np.uint8)
    states, rows = np.zeros((count, contexts.STATE), np.int64), np.zeros((count, contexts.CONTEXTS), np.int64)
    state = np.zeros(contexts.STATE, np.int64)
    for place, byte in enumerate(data.tolist()):
        contexts.advance(state, byte)
        states[place >> 4] = state
    for own, row in zip(states, rows, strict=True):
        contexts.rows(own, row)
    return states, rows


@pytest.mark.parametrize("dimensions, width, hidden", [(1, 8, 8), (2, 5, 9), (3, 300, 17)])
def test_network_is_its_formulas(dimensions: int, width: int, hidden: int) -> None:
    tensors = make_tiny_text.tensors(dimensions, width, hidden, seed=dimensions)
    states, rows = some_states(40)
    wanted = forward(tensors, rows)
    assert np.array_equal(predicted(tensors, states), wanted)
    assert np.array_equal(predicted(tensors, states[:2], unwrap(network.foretell)), wanted[:2])
    assert wanted.min() >= 1 and (wanted.max(axis=1) == wanted.max()).all()
    assert len(np.unique(wanted, axis=0)) > 30 and len(np.unique(wanted)) > 50, "not the same whatever the rows"


def test_network_at_the_limit_of_its_range() -> None:
    """Sums of 2**24 - 1 and not one more; the smallest int8 counts as its magnitude."""
    tensors = make_tiny_text.tensors()
    tensors["text.table"] = np.where(tensors["text.table"] > 0, 127, -128).astype(np.int8)
    tensors["text.first.weight"][:] = np.where(tensors["text.first.weight"] > 0, 127, -127)
    tensors["text.first.shift"][:] = 0
    room = SUM_LIMIT - 1 - tensors["text.first.weight"].shape[1] * 127 * (INPUT_MAX + 1)
    tensors["text.first.bias"][:] = [room, -room, *[0] * (len(tensors["text.first.bias"]) - 2)]
    states, rows = some_states(20)
    assert np.array_equal(predicted(tensors, states), forward(tensors, rows))
    for unit, sign in ((0, 1), (1, -1)):
        worse = tensors | {"text.first.bias": tensors["text.first.bias"].copy()}
        worse["text.first.bias"][unit] += sign
        with pytest.raises(CorruptFile, match="text.first.*overflow"):
            network.load(kernels.kernel("bytes"), worse)


def test_levels_begin_anew_with_every_text() -> None:
    """And what is carried matters: the same rows say other things later."""
    tensors = make_tiny_text.tensors()
    tensors["text.candidate.shift"] -= 3
    states, rows = some_states(4)
    first = forward(tensors, np.repeat(rows[:1], 3, axis=0))
    assert len(np.unique(first, axis=0)) > 1
    layers = network.load(kernels.kernel("bytes"), tensors)
    for _ in range(2):
        own, out = network.own(layers), np.zeros((3, network.FORESEEN), np.int32)
        for line in out:
            network.foretell(own, states[0], line)
        assert np.array_equal(np.diff(out[:, :257].astype(np.int64)), first)
    assert not layers.levels.any()


@pytest.mark.parametrize("name", ["first", "gate", "candidate", "second", "last"])
def test_network_refuses_sums_that_could_overflow(name: str) -> None:
    tensors = make_tiny_text.tensors()
    tensors[f"text.{name}.bias"][-1] = SUM_LIMIT - 1
    with pytest.raises(CorruptFile, match=f"text.{name}.*overflow"):
        network.load(kernels.kernel("bytes"), tensors)


SHAPES = {
    "fewer rows": ("table", lambda part: part[:-1]),
    "more rows": ("table", lambda part: np.concatenate([part, part[:1]])),
    "wider numbers": ("table", lambda part: part.astype(np.int16)),
    "three axes": ("table", lambda part: part[..., None]),
    "more dimensions": ("table", lambda part: np.repeat(part, 2, axis=1)),
    "fewer columns": ("first.weight", lambda part: part[:, 1:]),
    "fewer units": ("first.weight", lambda part: part[1:]),
    "fewer gates": ("gate.weight", lambda part: part[1:]),
    "narrower gates": ("gate.weight", lambda part: part[:, 1:]),
    "wider candidates": ("candidate.weight", lambda part: np.repeat(part, 2, axis=1)),
    "other width": ("second.weight", lambda part: part[:, 1:]),
    "other biases": ("second.bias", lambda part: part[1:]),
    "a negative shift": ("second.shift", lambda part: -part),
    "other hidden": ("last.weight", lambda part: np.repeat(part, 2, axis=1)),
}


@pytest.mark.parametrize("case", SHAPES)
def test_network_refuses_wrong_shapes(case: str) -> None:
    name, change = SHAPES[case]
    tensors = make_tiny_text.tensors()
    tensors[f"text.{name}"] = change(tensors[f"text.{name}"])
    with pytest.raises((CorruptFile, ValueError)):
        network.load(kernels.kernel("bytes"), tensors)


def test_network_refuses_fewer_candidates_than_gates() -> None:
    tensors = make_tiny_text.tensors()
    for part in ("weight", "bias", "shift"):
        tensors[f"text.candidate.{part}"] = tensors[f"text.candidate.{part}"][:-1]
    with pytest.raises((CorruptFile, ValueError)):
        network.load(kernels.kernel("bytes"), tensors)


def test_network_refuses_another_number_of_values() -> None:
    tensors = make_tiny_text.tensors()
    for part in ("weight", "bias", "shift"):
        tensors[f"text.last.{part}"] = tensors[f"text.last.{part}"][:255]
    with pytest.raises(CorruptFile, match="256"):
        network.load(kernels.kernel("bytes"), tensors)


# What is learnt inside a file

EMPTY = np.zeros(0, np.uint8)


KITS = (memory.FULL, memory.FAST)


def test_memory_is_bounded() -> None:
    """Small texts take little; none takes more than half a gigabyte."""
    numbers = [bytewise.slot_bits(size) for size in (0, 1, 1000, 10**5, 10**6, 10**7, 10**9, 1 << 40)]
    assert numbers == sorted(numbers) and numbers[0] < numbers[-1]

    def taken(size: int) -> int:
        made = memory.fresh(None, EMPTY, bytewise.slot_bits(size))
        return sum(part.nbytes for part in (*made, *made.layout) if isinstance(part, np.ndarray))

    assert taken(1000) < 1 << 25
    assert taken(1 << 40) <= 1 << 29


@pytest.mark.parametrize("kit", KITS)
def test_what_was_learnt_goes_into_a_model_and_comes_back(tiny_text: Path, kit: memory.Kit) -> None:
    """All but the last bits of chances, which a model does not keep."""
    text, tensors = np.frombuffer(WORDS * 5, np.uint8), zoo.tensors(tiny_text)
    made = memory.fresh(tensors, text, 10, kit)
    bytewise.dry_run(network.load(kernels.kernel("bytes"), tensors), made, text, kit)
    exported = memory.exported(made, kit)
    before = memory.exported(memory.fresh(None, EMPTY, 0, kit), kit)
    assert all((exported[name] != before[name]).any() for name in exported)
    again = memory.fresh(exported, EMPTY, 0, kit)
    for name, part in memory.exported(again, kit).items():
        assert part.dtype == exported[name].dtype and np.array_equal(part, exported[name])
    for name in memory.KEPT:
        mine, kept = getattr(made, name), getattr(again, name)
        assert mine.dtype == kept.dtype and mine.shape == kept.shape
        if name not in ("states", "opinions"):
            assert np.array_equal(mine, kept)


@pytest.mark.parametrize("effort", ["default", "fast"])
def test_a_model_is_not_changed_by_what_is_learnt(tiny_text: Path, effort: str) -> None:
    """Each file starts from the same numbers, in one process too."""
    tensors = zoo.tensors(tiny_text)
    before = {name: part.copy() for name, part in tensors.items()}
    first = text_blocks.encode(WORDS, Choices(model=str(tiny_text), effort=effort))
    decoded(first)
    assert all(np.array_equal(tensors[name], part) for name, part in before.items())
    assert text_blocks.encode(WORDS, Choices(model=str(tiny_text), effort=effort)) == first


MIXING = {
    "no chances": ("chances", lambda part: None),
    "fewer contexts": ("chances", lambda part: part[1:]),
    "a chance of 0": ("chances", lambda part: part * 0),
    "a count too high": ("counts", lambda part: np.full_like(part, 255)),
    "fewer weights": ("weights", lambda part: part[:, 1:]),
    "fewer mixers": ("last", lambda part: part[:, 1:]),
    "a match's chance of 0": ("match_chances", lambda part: part * 0),
    "a byte's chance of 0": ("trusts", lambda part: part * 0),
}


@pytest.mark.parametrize("case", MIXING)
@pytest.mark.parametrize("kit", KITS)
def test_wrong_mixing_weights_are_refused(case: str, kit: memory.Kit) -> None:
    name, change = MIXING[case]
    tensors = make_tiny_text.tensors()
    key = f"{kit.family}.{name}"
    part = change(tensors.pop(key))
    if part is not None:
        tensors[key] = part
    with pytest.raises(CorruptFile, match="mixing weights"):
        memory.fresh(tensors, EMPTY, 10, kit)


# Whole texts


def encoded(data: bytes, model: Path, lanes: int = 1, ledger: Ledger | None = None, fast: bool = False) -> Block:
    """A text block in any number of lanes."""
    kit, schedule = (memory.FAST, TextSchedule.FAST) if fast else (memory.FULL, TextSchedule.BYTEWISE)
    made = streams.encode_bytewise(model, data, lanes, ledger, kit)
    form = Text(zoo.digest(model), lanes, schedule, streams=list(made))
    return Block(1, len(data), container.hasher(data).digest(), form)


def form_of(block: Block) -> Text:
    assert isinstance(block.form, Text)
    return block.form


def decoded(block: Block) -> bytes:
    """The text of a block."""
    (content,) = block.form.decode(block, "cpu")
    assert not isinstance(content, Picture)
    return b"".join(content)


def file_of(block: Block) -> bytes:
    return container.write(File([block]))


pieces = st.sampled_from(
    ["🙂", "e\u0301", "\r\n", "\0", "\ufeff", "the ", "the worst of times", "\u200d", "漢字", "\x7f", "A"]
).map(str.encode) | st.sampled_from([b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"\xf0\x9f", b"\x80", b"\r", b"\n"])
texts = st.one_of(
    st.binary(min_size=1, max_size=120),
    st.text(min_size=1, max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(pieces, min_size=1, max_size=30).map(b"".join),
    st.tuples(st.binary(min_size=1, max_size=40), st.integers(1, 8)).map(lambda parts: parts[0] * parts[1]),
)


@settings(max_examples=60)
@given(texts, st.sampled_from(LANES), st.booleans())
def test_any_text_comes_back(tiny_text: Path, data: bytes, lanes: int, fast: bool) -> None:
    """Row 37: any bytes, in any number of lanes, through the file's bytes."""
    block = encoded(data, tiny_text, lanes, fast=fast)
    (read,) = decoding.read(file_of(block)).blocks
    assert read == block
    assert decoded(read) == data


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 6, 7, 8, 9, 13, 97, 300])
def test_lanes_of_any_size(tiny_text: Path, lanes: int, size: int) -> None:
    """Fewer bytes than lanes, bytes that no lane count divides, lanes that stay empty."""
    data = (WORDS * 4)[:size]
    assert decoded(encoded(data, tiny_text, lanes)) == data


def test_the_most_lanes(tiny_text: Path) -> None:
    """Short ones cost more time than a small file may ask for."""
    for lanes in (FEW_LANES, FEW_LANES + 1):
        data = file_of(encoded(WORDS, tiny_text, lanes))
        if lanes == FEW_LANES:
            assert decoded(decoding.read(data).blocks[0]) == WORDS
        else:
            with pytest.raises(CorruptFile, match="lanes"):
                decoding.read(data)
    for size in (1, streams.SPLIT_FROM - 1, streams.SPLIT_FROM, 1 << 26, 1 << 30):
        assert streams.lanes_of(size) == (2 if size >= streams.SPLIT_FROM else 1) <= FEW_LANES


def test_lanes_know_nothing_of_each_other(tiny_text: Path) -> None:
    """Each is as it would be alone."""
    (one, other), length = form_of(encoded(WORDS + WORDS[::-1], tiny_text, 2)).streams, len(WORDS)
    assert [one] == form_of(encoded(WORDS, tiny_text)).streams
    assert [other] == form_of(encoded(WORDS[::-1], tiny_text)).streams and length == len(WORDS)


def test_one_lane_is_what_the_encoder_writes(tiny_text: Path) -> None:
    assert text_blocks.encode(WORDS, Choices(model=str(tiny_text))) == encoded(WORDS, tiny_text)


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("section", [1, 64, 100, 1000])
def test_sections(tiny_text: Path, monkeypatch: pytest.MonkeyPatch, lanes: int, section: int) -> None:
    """A stream each; the learning goes on from one to the next; each stream is needed, and no more."""
    monkeypatch.setattr(bytewise, "SECTION", section)
    data = WORDS * 2 + b"ends in the middle"
    block = encoded(data, tiny_text, lanes)
    made = form_of(block).streams
    assert len(made) == sum(-(-len(lane) // section) for lane in streams.cut(len(data), lanes))
    assert decoded(block) == data
    for wrong in (made[:-1], [*made, b""], [*made, made[-1]], [b"\1" * 9, *made[1:]]):
        form_of(block).streams = wrong
        with pytest.raises(CorruptFile):
            decoded(block)


def test_sections_cost_no_learning(tiny_text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, cut = Ledger(), Ledger()
    encoded(WORDS * 3, tiny_text, ledger=whole)
    monkeypatch.setattr(bytewise, "SECTION", 100)
    encoded(WORDS * 3, tiny_text, ledger=cut)
    assert len(cut.groups) > len(whole.groups) == 1
    assert cut.path_loss == pytest.approx(whole.path_loss)


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("fast", [False, True])
def test_coded_bits_are_the_loss(tiny_text: Path, lanes: int, fast: bool) -> None:
    """-log2 p of every bit, within 64 bits a lane and 0.02 %."""
    random = np.random.default_rng(0)
    data = WORDS * 20 + random.bytes(500) + bytes(1000) + WORDS[::-1] * 10
    ledger = Ledger()
    block = encoded(data, tiny_text, lanes, ledger, fast)
    bits = sum(8 * len(stream) for stream in form_of(block).streams)
    assert bits == pytest.approx(ledger.path_loss, abs=64 * lanes, rel=2e-4)
    assert ledger.path_loss < 8 * len(data) * 0.6


def test_a_dry_run_costs_the_same(tiny_text: Path) -> None:
    """What training and the choice of a mode go by."""
    ledger = Ledger()
    encoded(WORDS, tiny_text, ledger=ledger)
    assert streams.bits_a_byte(tiny_text, WORDS) * len(WORDS) == pytest.approx(ledger.path_loss)


def test_what_comes_again_costs_little(tiny_text: Path) -> None:
    """Matches and histories learn: the same 99 bytes for the tenth time take a few bits."""
    losses = []
    for count in (9, 10):
        ledger = Ledger()
        encoded(WORDS * count, tiny_text, ledger=ledger)
        losses.append(ledger.path_loss)
    assert losses[1] - losses[0] < len(WORDS)


@pytest.mark.parametrize("field", ["lanes", "size", "digest", "stream"])
def test_wrong_fields_are_noticed(tiny_text: Path, field: str) -> None:
    block = encoded(WORDS, tiny_text)
    form = form_of(block)
    if field == "lanes":
        form.lanes = 2
    elif field == "size":
        block.size -= 1
    elif field == "digest":
        block.digest = bytes(8)
    else:
        form.streams = [b"\1" * 8 + bytes(form.streams[0])]
    with pytest.raises(CorruptFile):
        decoded(block)


@pytest.mark.parametrize("effort", ["default", "blocks", "fast"])
@pytest.mark.parametrize("times", [1, 8])
def test_text_bytes_are_those_of_the_file(tiny_text: Path, effort: str, times: int) -> None:
    """The choice of a mode compares what files take: exact but for the length of the file's header."""
    data = WORDS * times
    block = text_blocks.encode(data, Choices(model=str(tiny_text), effort=effort))
    other = Block(1, len(data), block.digest, plain.Stored(data))
    more = len(file_of(block)) - len(file_of(other))
    assert abs(block.file_bytes - other.file_bytes - more) <= 1


# The same everywhere

CHILD = """
import sys
from pathlib import Path
import numpy as np
from bfncodec import container, decoding
from bfncodec.blocks import text
from bfncodec.container import File
from bfncodec.presets import Choices

np.seterr(all="raise")
data, model = Path(sys.argv[1]).read_bytes(), sys.argv[2]
files = [Path(name).read_bytes() for name in sys.argv[3:]]
assert container.write(File([text.encode(data, Choices(model=str(model)))])) == files[0], "encodes other bytes"
for file in files:
    (content,) = decoding.contents(decoding.read(file), "cpu")
    assert b"".join(content) == data, "decodes other bytes"
print("same")
"""


@pytest.mark.parametrize("plain", [False, True], ids=["compiled", "plain"])
def test_fresh_processes_write_and_read_the_same_bytes(tiny_text: Path, tmp_path: Path, plain: bool) -> None:
    """Row 38: what compiled code wrote, plain Python writes and reads, and so does another process."""
    data = WORDS * 2 + "🙂 e\u0301 \ufeff".encode() + b"\xff\xfe\0" + np.random.default_rng(0).bytes(30) + WORDS[5:60]
    (tmp_path / "data").write_bytes(data)
    names = []
    for lanes, fast in ((1, False), (3, False), (2, True)):
        names.append(str(tmp_path / f"{lanes}.bfn"))
        Path(names[-1]).write_bytes(file_of(encoded(data, tiny_text, lanes, fast=fast)))
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHILD, str(tmp_path / "data"), str(tiny_text), *names],
        env=os.environ | ({"BFNCODEC_PLAIN": "1"} if plain else {}),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert child.stdout == "same\n", child.stderr
