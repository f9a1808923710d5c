"""The text model from its bits to whole texts; compiled and plain Python give the same integers."""

from __future__ import annotations

import os
import subprocess
import sys
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
from bfncodec.blocks.text import LANE_LIMIT, Text
from bfncodec.coding import ans, protocol
from bfncodec.coding.ans import Coder
from bfncodec.coding.ledger import Ledger
from bfncodec.container import Block, File
from bfncodec.errors import CorruptFile
from bfncodec.exact import kernels, tables
from bfncodec.exact.kernels import SUM_LIMIT
from bfncodec.exact.layers import INPUT_MAX
from bfncodec.exact.pmf import TOTAL
from bfncodec.exact.tables import exp_negative
from bfncodec.models import zoo
from bfncodec.models.text import bytewise, contexts, histories, mixing, network, streams
from bfncodec.picture import Picture
from bfncodec.presets import Choices

WORDS = b"It was the best of times, it was the worst of times. It was the age of wisdom;\r\n\tthe age of 1859.\n"
LANES = (1, 2, 3, 7)

# Bits on the stack

pairs = st.lists(st.tuples(st.integers(0, 1), st.integers(1, tables.CHANCE_ONE - 1)), max_size=200)
stacks = st.binary(max_size=40).map(lambda data: data.rstrip(b"\0"))


def arrays(drawn: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Bits and probabilities of a one."""
    table = np.array(drawn, np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def popped(coder: Coder, probabilities: np.ndarray, pop: Any = ans.pop_bit) -> list[int]:
    """Bits popped in compiled code; what is left goes back to the coder."""
    stack, words = coder.opened()
    made = [int(pop(stack, words, int(probability))) for probability in probabilities]
    return made


def weights(probabilities: np.ndarray) -> np.ndarray:
    """The pmfs [n, 2] of bits for `coding.ans`."""
    ones = probabilities.astype(np.int64) << (24 - tables.CHANCE_BITS)
    return np.stack([TOTAL - ones, ones], axis=1)


@given(pairs, stacks)
def test_pop_bit_undoes_push_bits(drawn: list[tuple[int, int]], below: bytes) -> None:
    """Compiled and plain, and what lay below is what it was."""
    values, probabilities = arrays(drawn)
    for pop in (ans.pop_bit, ans.pop_bit.py_func):
        coder = Coder(below)
        ans.push_bits(coder, values, probabilities)
        assert popped(coder, probabilities, pop) == values.tolist()
        assert coder.data() == below


@given(pairs, pairs, stacks)
def test_bits_and_symbols_share_a_stack(
    first: list[tuple[int, int]], second: list[tuple[int, int]], below: bytes
) -> None:
    """`push_bits` is `Coder.push`, `pop_bit` is `Coder.pop`, in any order."""
    (low, low_chances), (high, high_chances) = arrays(first), arrays(second)
    one, other = Coder(below), Coder(below)
    ans.push_bits(one, low, low_chances)
    other.push(low, weights(low_chances))
    assert one.data() == other.data()
    symbols, table = np.arange(9) % 5, np.tile([TOTAL - 4, 1, 1, 1, 1], (9, 1))
    one.push(symbols, table)
    one.push(high, weights(high_chances))
    assert popped(one, high_chances) == high.tolist()
    assert np.array_equal(one.pop(table), symbols)
    assert one.data() == other.data()
    half = len(low) // 2
    assert popped(one, low_chances[:half]) == low[:half].tolist()
    assert np.array_equal(one.pop(weights(low_chances[half:])), low[half:])
    assert one.data() == below


@given(stacks, st.lists(st.integers(1, tables.CHANCE_ONE - 1), max_size=200))
def test_any_stack_gives_the_same_bits_to_both(data: bytes, probabilities: list[int]) -> None:
    """Damaged and exhausted streams too: then the bits are zeros or ones, never an error."""
    one, other = Coder(data), Coder(data)
    chances = np.array(probabilities, np.int64)
    assert popped(one, chances) == other.pop(weights(chances)).tolist()
    assert one.data() == other.data()


@pytest.mark.parametrize("below", [b"", bytes(range(1, 9)), bytes(range(1, 14))])
def test_a_state_of_exactly_one_word_is_full(below: bytes) -> None:
    """2**32 takes no further word, neither when a stack is opened nor after a pop."""
    data = below + bytes(-len(below) % 4) + bytes(4) + b"\1"
    for pop in (ans.pop_bit, ans.pop_bit.py_func):
        coder = Coder(data)
        assert popped(coder, np.zeros(0)) == [] and coder.data() == data
        ans.push_bits(coder, np.array([1]), np.array([1 << 15]))
        assert popped(coder, np.array([1 << 15]), pop) == [1] and coder.data() == data
    for pop in (ans.pop_between, ans.pop_between.py_func):
        coder = Coder(data)
        coder.push(np.array([1]), np.array([[1000, 5000, TOTAL - 6000]]))
        stack, words = coder.opened()
        pop(stack, words, 1000, 5000)
        assert coder.data() == data


@given(stacks)
def test_symbols_of_any_stack(data: bytes) -> None:
    """`pop_between` is `Coder.pop`, on a stack that runs out, too."""
    table = np.tile([TOTAL - 3000, 1000, 2000], (9, 1))
    bounds = [0, TOTAL - 3000, TOTAL - 2000, TOTAL]
    for pop in (ans.pop_between, ans.pop_between.py_func):
        one, other = Coder(data), Coder(data)
        stack, words = one.opened()
        for symbol in other.pop(table):
            assert bounds[symbol] <= int(stack[0]) % TOTAL < bounds[symbol + 1]
            pop(stack, words, bounds[symbol], int(table[0, symbol]))
        assert one.data() == other.data()


def test_no_bits() -> None:
    for data in (b"", b"\1", b"stack", b"a longer stack"):
        coder = Coder(data)
        ans.push_bits(coder, np.zeros(0, np.uint8), np.zeros(0, np.uint16))
        assert popped(coder, np.zeros(0)) == []
        assert coder.data() == data
    assert ans.cost_of_bits(np.zeros(0, np.uint8), np.zeros(0, np.uint16)) == 0


def test_many_bits_cost_what_they_take() -> None:
    """More than are pushed at once; the sum of -log2 p within 64 bits."""
    random = np.random.default_rng(0)
    probabilities = random.integers(1, tables.CHANCE_ONE, 70_000).astype(np.uint16)
    probabilities[:4000] = random.choice([1, 2, 32768, 65534, 65535], 4000)
    values = (random.integers(0, tables.CHANCE_ONE, len(probabilities)) < probabilities).astype(np.uint8)
    coder = Coder()
    ans.push_bits(coder, values, probabilities)
    assert coder.bits == pytest.approx(ans.cost_of_bits(values, probabilities), abs=64)
    assert popped(coder, probabilities) == values.tolist()
    assert coder.empty


# Log-odds

_odds = np.arange(-tables.LOGIT_MAX, tables.LOGIT_MAX + 1)


def test_squash_is_the_logistic_function() -> None:
    table = tables.squash_table()
    assert table.dtype == np.int64 and table.shape == _odds.shape
    assert abs(table - tables.CHANCE_ONE / (1 + np.exp(-_odds / 256))).max() <= 1
    assert (np.diff(table) >= 0).all() and table.min() >= 1 and table.max() < tables.CHANCE_ONE
    assert (table + table[::-1] == tables.CHANCE_ONE).all()


def test_stretch_is_its_inverse() -> None:
    """To a unit where a unit of log-odds moves the probability; where it does not, to the same probability."""
    table, squash = tables.stretch_table(), tables.squash_table()
    assert table.dtype == np.int64 and table.shape == (tables.CHANCE_ONE,)
    assert (np.diff(table) >= 0).all() and abs(table).max() == tables.LOGIT_MAX
    assert (table[1:] == -table[:0:-1]).all() and table[tables.CHANCE_ONE // 2] == 0
    again = table[squash]
    assert (squash[again + tables.LOGIT_MAX] == squash).all()
    slope = np.gradient(tables.CHANCE_ONE / (1 + np.exp(-_odds / 256)))
    assert abs(again - _odds)[slope > 1].max() <= 1
    chances = np.arange(1, tables.CHANCE_ONE)
    exact = np.log(chances / (tables.CHANCE_ONE - chances)) * 256
    wide = np.minimum(chances, tables.CHANCE_ONE - chances) > 256
    assert abs(table[1:] - exact)[wide].max() <= 1.5
    # From a probability, log-odds are found to what half a unit and more of the probability makes of them.
    unit = 256 / np.minimum(chances, tables.CHANCE_ONE - chances)
    assert (abs(table[1:] - exact.clip(-tables.LOGIT_MAX, tables.LOGIT_MAX)) <= 1 + unit * 1.3).all()


# Histories


def follow(drawn: list[int]) -> int:
    """The state after some bits."""
    table, state = histories.next_table(), 0
    for bit in drawn:
        state = int(table[state, bit])
    return state


def test_histories_fit_a_byte_and_lead_to_each_other() -> None:
    found, table = histories.histories(), histories.next_table()
    assert found[0] == (0, 0, 0) and len(set(found)) == len(found) <= 256
    assert table.dtype == np.uint8 and table.shape == (256, 2)
    assert table[: len(found)].max() < len(found)
    assert set(table[: len(found)].reshape(-1).tolist()) == set(range(1, len(found))), "all but the first are reached"


def test_histories_are_symmetric_in_zeros_and_ones() -> None:
    found, table = histories.histories(), histories.next_table()

    def mirror(state: int) -> int:
        zeros, ones, last = found[state]
        return found.index((ones, zeros, 1 - last if zeros and ones else 0))

    for state in range(len(found)):
        for bit in (0, 1):
            assert mirror(table[state, bit]) == table[mirror(state), 1 - bit]


def test_histories_count_and_are_limited() -> None:
    found, table = histories.histories(), histories.next_table()
    for state, counts in enumerate(found):
        for bit in (0, 1):
            after = found[table[state, bit]]
            assert after[bit] <= counts[bit] + 1
            assert after[1 - bit] <= counts[1 - bit]
    assert found[follow([0])] == (1, 0, 0) and found[follow([1, 1])] == (0, 2, 0)
    assert found[follow([0, 1])] == (1, 1, 1) and found[follow([1, 0])] == (1, 1, 0)
    once = follow([1] * 200)
    assert table[once, 1] == once and found[once][1] > 20


def test_contradiction_forgets() -> None:
    """A count of more than two falls with a bit of the other kind; soon the new kind outweighs it."""
    found, table = histories.histories(), histories.next_table()
    for state, counts in enumerate(found):
        for bit in (0, 1):
            if counts[1 - bit] > 2:
                assert found[table[state, bit]][1 - bit] < counts[1 - bit]
    zeros, ones, _ = found[follow([0] * 100 + [1] * 8)]
    assert ones > zeros


@given(st.lists(st.integers(0, 1), min_size=1, max_size=60))
def test_histories_know_the_last_bit(drawn: list[int]) -> None:
    zeros, ones, last = histories.histories()[follow(drawn)]
    if zeros and ones:
        assert last == drawn[-1]
    assert (zeros, ones)[drawn[-1]] > 0


def test_totals_and_first_guesses() -> None:
    found, totals, guesses = histories.histories(), histories.totals(), histories.first_guesses()
    assert totals.shape == guesses.shape == (256,)
    assert totals[: len(found)].tolist() == [zeros + ones for zeros, ones, _ in found]
    assert not totals[len(found) :].any()
    assert guesses.min() >= 1 and guesses.max() < tables.CHANCE_ONE
    for state, (zeros, ones, _) in enumerate(found):
        assert np.sign(guesses[state] - tables.CHANCE_ONE // 2) == np.sign(ones - zeros)


# Contexts

some_bytes = st.binary(max_size=80) | st.lists(st.sampled_from([b"A word, ", b"\xc3\xa9t\xc3\xa9\r\n"])).map(b"".join)


def states_of(data: bytes, advance: Any = contexts.advance) -> np.ndarray:
    """The states after 0, 1, ... bytes."""
    state = np.zeros(contexts.STATE, np.int64)
    made = [state.copy()]
    for byte in data:
        advance(state, byte)
        made.append(state.copy())
    return np.array(made)


def rows_of(state: np.ndarray, rows: Any = contexts.rows) -> np.ndarray:
    out = np.zeros(contexts.CONTEXTS, np.int64)
    rows(state, out)
    return out


def hashes_of(state: np.ndarray, hashes: Any = contexts.hashes) -> np.ndarray:
    out = np.zeros(contexts.HASHED, np.int64)
    hashes(state, out)
    return out


@given(some_bytes)
def test_rows_and_hashes_are_in_range(data: bytes) -> None:
    for state in states_of(data):
        assert state.min() >= 0 and state.max() <= contexts.MASK
        hashed, rows = hashes_of(state), rows_of(state)
        assert hashed.min() >= 0 and hashed.max() <= contexts.MASK
        assert (rows >= contexts.STARTS[:-1]).all() and (rows < contexts.STARTS[1:]).all()
    assert len(contexts.STARTS) == contexts.CONTEXTS + 1 and contexts.STARTS[-1] == contexts.ROWS


@given(some_bytes, st.integers(0, 20))
def test_windows_are_states_step_by_step(data: bytes, warm: int) -> None:
    wanted = [rows_of(state) for state in states_of(data)[warm:-1]]
    for dtype in (np.int32, np.int64):
        out = np.zeros((max(len(data) - warm, 0), contexts.CONTEXTS), dtype)
        contexts.window_rows(np.frombuffer(data, np.uint8), warm, out)
        assert np.array_equal(out, np.array(wanted).reshape(out.shape))


@given(some_bytes)
def test_contexts_are_the_same_compiled(data: bytes) -> None:
    """And plain Python stays within 63 bits, or NumPy would warn."""
    states = states_of(data)
    assert np.array_equal(states_of(data, contexts.advance.py_func), states)
    for state in states:
        assert np.array_equal(hashes_of(state, contexts.hashes.py_func), hashes_of(state))
        assert np.array_equal(rows_of(state, contexts.rows.py_func), rows_of(state))


@given(st.integers(0, contexts.MASK), st.integers(0, contexts.MASK))
def test_mix_is_the_same_compiled(value: int, more: int) -> None:
    made = contexts.mix(value, more)
    assert made == contexts.mix.py_func(value, more) == contexts.mix.py_func(np.int64(value), np.int64(more))
    assert 0 <= made <= contexts.MASK


def test_kinds_of_bytes() -> None:
    kinds = [contexts.kind(byte) for byte in range(256)]
    assert kinds == [contexts.kind.py_func(byte) for byte in range(256)]
    assert set(kinds) == set(range(8))
    assert len({kinds[byte] for byte in b"azm"}) == len({kinds[byte] for byte in b"AZM"}) == 1
    assert len({kinds[byte] for byte in b"a A0.(\n\xff"}) == 8


def test_hashes_tell_contexts_apart() -> None:
    """What came before changes some hashes; the order-1 contexts see the last byte only."""
    texts = [WORDS[:40] + tail for tail in (b"cat ", b"Cat ", b"bat ", b"ca7 ", b"cat\n")]
    hashed = np.array([hashes_of(states_of(text)[-1]) for text in texts])
    assert len(np.unique(hashed, axis=0)) == len(texts)
    assert hashed[0, 0] == hashed[1, 0] == hashed[2, 0] != hashed[4, 0]
    assert len(set(hashed[0].tolist())) == contexts.HASHED


# The static network


def forward(tensors: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """The network's weights in NumPy's int64, as the formulas have them."""
    values = tensors["text.table"].astype(np.int64)[rows].reshape(len(rows), -1)
    for name in ("first", "second", "last"):
        weight, bias, shift = (tensors[f"text.{name}.{part}"].astype(np.int64) for part in ("weight", "bias", "shift"))
        values = values @ weight.T + bias + (1 << shift >> 1) >> shift
        if name != "last":
            values = values.clip(0, 255)
    below = np.minimum(values.max(axis=1, keepdims=True) - values, network.TAIL)
    return (exp_negative(below, network.LOGIT_STEPS) >> 14) + 1


def predicted(tensors: dict[str, np.ndarray], rows: np.ndarray, predict: Any = network.predict) -> np.ndarray:
    """The network's weights int64 [n, 256] in compiled code, byte after byte."""
    layers = network.load(kernels.kernel("float32"), tensors)
    out = np.zeros((len(rows), 256), np.int64)
    for row, line in zip(rows, out, strict=True):
        predict(layers, row, line)
    return out


def some_rows(count: int, seed: int = 0) -> np.ndarray:
    """Rows int64 [count, CONTEXTS] in the ranges of their contexts."""
    random = np.random.default_rng(seed)
    return random.integers(contexts.STARTS[:-1], contexts.STARTS[1:], (count, contexts.CONTEXTS))


@pytest.mark.parametrize("dimensions, width, hidden", [(1, 8, 8), (2, 5, 9), (3, 300, 17)])
def test_network_is_its_formulas(dimensions: int, width: int, hidden: int) -> None:
    tensors = make_tiny_text.tensors(dimensions, width, hidden, seed=dimensions)
    rows = some_rows(40)
    wanted = forward(tensors, rows)
    assert np.array_equal(predicted(tensors, rows), wanted)
    assert np.array_equal(predicted(tensors, rows[:2], network.predict.py_func), wanted[:2])
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
    rows = some_rows(20)
    assert np.array_equal(predicted(tensors, rows), forward(tensors, rows))
    for unit, sign in ((0, 1), (1, -1)):
        worse = tensors | {"text.first.bias": tensors["text.first.bias"].copy()}
        worse["text.first.bias"][unit] += sign
        with pytest.raises(CorruptFile, match="text.first.*overflow"):
            network.load(kernels.kernel("float32"), worse)


@pytest.mark.parametrize("name", ["first", "second", "last"])
def test_network_refuses_sums_that_could_overflow(name: str) -> None:
    tensors = make_tiny_text.tensors()
    tensors[f"text.{name}.bias"][-1] = SUM_LIMIT - 1
    with pytest.raises(CorruptFile, match=f"text.{name}.*overflow"):
        network.load(kernels.kernel("float32"), tensors)


SHAPES = {
    "fewer rows": ("table", lambda part: part[:-1]),
    "more rows": ("table", lambda part: np.concatenate([part, part[:1]])),
    "wider numbers": ("table", lambda part: part.astype(np.int16)),
    "three axes": ("table", lambda part: part[..., None]),
    "more dimensions": ("table", lambda part: np.repeat(part, 2, axis=1)),
    "fewer columns": ("first.weight", lambda part: part[:, 1:]),
    "fewer units": ("first.weight", lambda part: part[1:]),
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
        network.load(kernels.kernel("float32"), tensors)


def test_network_refuses_another_number_of_values() -> None:
    tensors = make_tiny_text.tensors()
    for part in ("weight", "bias", "shift"):
        tensors[f"text.last.{part}"] = tensors[f"text.last.{part}"][:255]
    with pytest.raises(CorruptFile, match="256"):
        network.load(kernels.kernel("float32"), tensors)


# What is learnt inside a file

EMPTY = np.zeros(0, np.uint8)


def key_of(tensors: dict[str, np.ndarray], name: str) -> str:
    """A model's name of something that is learnt."""
    (found,) = (key for key in tensors if key.endswith(f".{name}"))
    return found


def test_memory_is_bounded() -> None:
    """Small texts take little; none takes more than half a gigabyte."""
    numbers = [bytewise.slot_bits(size) for size in (0, 1, 1000, 10**5, 10**6, 10**7, 10**9, 1 << 40)]
    assert numbers == sorted(numbers) and numbers[0] < numbers[-1]

    def taken(size: int) -> int:
        return sum(part.nbytes for part in mixing.fresh(None, EMPTY, bytewise.slot_bits(size)))

    assert taken(1000) < 1 << 26
    assert taken(1 << 40) <= 1 << 29


def test_what_was_learnt_goes_into_a_model_and_comes_back(tiny_text: Path) -> None:
    """All but the last bits of weights, which a model does not keep."""
    text = np.frombuffer(WORDS * 5, np.uint8)
    made = bytewise.Bytewise(kernels.kernel("float32"), zoo.tensors(tiny_text), text, 1)
    bytewise.dry_run(made.layers, made.memory, text)
    exported = mixing.exported(made.memory)
    before = mixing.exported(mixing.fresh(None, EMPTY, 0))
    assert all((exported[name] != before[name]).any() for name in exported)
    again = mixing.fresh(exported, EMPTY, 0)
    for name, part in mixing.exported(again).items():
        assert part.dtype == exported[name].dtype and np.array_equal(part, exported[name])
    for name in mixing.LEARNT:
        mine, kept = getattr(made.memory, name), getattr(again, name)
        assert mine.dtype == kept.dtype and mine.shape == kept.shape
        assert abs(mine - kept).max() < 16


@pytest.mark.parametrize("name", mixing.LEARNT)
def test_a_model_is_not_changed_by_what_is_learnt(tiny_text: Path, name: str) -> None:
    """Each file starts from the same numbers, in one process too."""
    tensors = zoo.tensors(tiny_text)
    key = key_of(tensors, name)
    before = tensors[key].copy()
    first = text_blocks.encode(WORDS, Choices(model=str(tiny_text)))
    decoded(first)
    assert np.array_equal(tensors[key], before)
    assert text_blocks.encode(WORDS, Choices(model=str(tiny_text))) == first


MIXING = {
    "no chances": ("chances", lambda part: None),
    "fewer contexts": ("chances", lambda part: part[1:]),
    "a chance of 0": ("chances", lambda part: part * 0),
    "a count too high": ("counts", lambda part: np.full_like(part, 255)),
    "fewer weights": ("weights", lambda part: part[:, 1:]),
    "fewer mixers": ("last", lambda part: part[:, 1:]),
    "a match's chance of 0": ("match_chances", lambda part: part * 0),
}


@pytest.mark.parametrize("case", MIXING)
def test_wrong_mixing_weights_are_refused(case: str) -> None:
    name, change = MIXING[case]
    tensors = make_tiny_text.tensors()
    key = key_of(tensors, name)
    part = change(tensors.pop(key))
    if part is not None:
        tensors[key] = part
    with pytest.raises(CorruptFile, match="mixing weights"):
        mixing.fresh(tensors, EMPTY, 10)


# Whole texts


def encoded(data: bytes, model: Path, lanes: int = 1, ledger: Ledger | None = None) -> Block:
    """A text block in any number of lanes."""
    form = Text(zoo.digest(model), lanes, streams=list(streams.encode_bytewise(model, data, lanes, ledger)))
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
@given(texts, st.sampled_from(LANES))
def test_any_text_comes_back(tiny_text: Path, data: bytes, lanes: int) -> None:
    """Row 37: any bytes, in any number of lanes, through the file's bytes."""
    block = encoded(data, tiny_text, lanes)
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
    for size in (10, LANE_LIMIT + 1, 3 * LANE_LIMIT - 2):
        data = (WORDS * 20)[:size]
        block = encoded(data, tiny_text, LANE_LIMIT)
        assert decoded(decoding.read(file_of(block)).blocks[0]) == data


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
    steps, size = -(-len(data) // lanes), max(1, section // lanes)
    assert len(made) == -(-steps // size)
    assert decoded(block) == data
    for wrong in (made[:-1], [*made, b""], [*made, made[-1]], [b"\1", *made[1:]]):
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
def test_coded_bits_are_the_loss(tiny_text: Path, lanes: int) -> None:
    """-log2 p of every bit, within 64 bits and 0.02 %."""
    random = np.random.default_rng(0)
    data = WORDS * 20 + random.bytes(500) + bytes(1000) + WORDS[::-1] * 10
    ledger = Ledger()
    block = encoded(data, tiny_text, lanes, ledger)
    (stream,) = form_of(block).streams
    assert 8 * len(stream) == pytest.approx(ledger.path_loss, abs=64, rel=2e-4)
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


@pytest.mark.parametrize("effort", ["default", "blocks"])
@pytest.mark.parametrize("times", [1, 8])
def test_text_bytes_are_those_of_the_file(tiny_text: Path, effort: str, times: int) -> None:
    """The choice of a mode compares what files take: exact but for the length of the file's header."""
    data = WORDS * times
    block = text_blocks.encode(data, Choices(model=str(tiny_text), effort=effort))
    other = Block(1, len(data), block.digest, plain.Stored(data))
    more = len(file_of(block)) - len(file_of(other))
    assert abs(block.file_bytes - other.file_bytes - more) <= 1


def test_nothing_behind_the_text_is_read(tiny_text: Path) -> None:
    """A last lane ends two steps before the others, which then say what its end said."""
    part = bytes(range(97, 97 + max(mixing.SHORTEST) + 2))
    length = len(part) + 12
    other = bytes(range(200, 200 + length))
    data = b"x" * (length - 1 - len(part)) + part + b"Z" + other + bytes(range(33, 33 + length - 2 - len(part))) + part
    assert len(data) == 3 * length - 2
    made = set()
    for behind in (b"Z", b"\0", b"\xff"):
        values = np.frombuffer(data + behind, np.uint8)[:-1]
        text = bytewise.Bytewise(kernels.kernel("float32"), zoo.tensors(tiny_text), values, 3)
        for section in text.sources():
            coder = Coder()
            protocol.encode(coder, section)
            made.add(coder.data())
    assert len(made) == 1


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
    for lanes in (1, 3):
        names.append(str(tmp_path / f"{lanes}.bfn"))
        Path(names[-1]).write_bytes(file_of(encoded(data, tiny_text, lanes)))
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHILD, str(tmp_path / "data"), str(tiny_text), *names],
        env=os.environ | ({"NUMBA_DISABLE_JIT": "1"} if plain else {}),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert child.stdout == "same\n", child.stderr
