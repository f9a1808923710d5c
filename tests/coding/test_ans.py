"""The stack: the coder is asymmetric numeral systems, and compiled code pops from it bit by bit as it does whole."""

import math
from collections.abc import Callable
from inspect import unwrap
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tools.stacks import random_coder

from bfncodec.coding import ans
from bfncodec.coding.ans import Coder
from bfncodec.errors import CorruptFile
from bfncodec.exact import tables
from bfncodec.exact.pmf import TOTAL

seeds = st.integers(0, 2**32 - 1)
pairs = st.lists(st.tuples(st.integers(0, 1), st.integers(1, tables.CHANCE_ONE - 1)), max_size=200)
stacks = st.binary(max_size=40).map(lambda data: data.rstrip(b"\0"))


class Rans:
    """Asymmetric numeral systems in Python's integers: 32-bit words, 64-bit state, 24-bit weights."""

    def __init__(self) -> None:
        self.state, self.words = 0, list[int]()

    def push(self, below: int, weight: int) -> None:
        if self.state >= weight << 40:
            self.words.append(self.state & 0xFFFFFFFF)
            self.state >>= 32
        self.state = self.state // weight << 24 | below + self.state % weight

    def pop(self, weights: list[int]) -> int:
        point, symbol, below = self.state & (1 << 24) - 1, 0, 0
        while point >= below + weights[symbol]:
            below += weights[symbol]
            symbol += 1
        self.state = weights[symbol] * (self.state >> 24) + point - below
        if self.state < 1 << 32 and self.words:
            self.state = self.state << 32 | self.words.pop()
        return symbol

    def data(self) -> bytes:
        words = [*self.words, self.state & 0xFFFFFFFF, self.state >> 32]
        return b"".join(word.to_bytes(4, "little") for word in words).rstrip(b"\0")


def random_weights(random: np.random.Generator, count: int, symbols: int) -> np.ndarray:
    """Weights int64 [count, symbols]; half of the rows are as uneven as they can be."""
    weights = np.ones((count, symbols), np.int64)
    even = random.random(count) < 0.5
    weights[even] = random.integers(1, TOTAL // symbols, (even.sum(), symbols))
    weights[np.arange(count), random.integers(0, symbols, count)] += TOTAL - weights.sum(axis=1)
    return weights


# The coder


@settings(max_examples=50)
@given(seeds, st.integers(0, 40), st.integers(2, 257), st.binary(max_size=40))
def test_coder_pops_what_it_pushed_and_restores_the_message(seed: int, count: int, symbols: int, data: bytes) -> None:
    message = data.rstrip(b"\0")
    random = np.random.default_rng(seed)
    weights = random_weights(random, count, symbols)
    pushed = random.integers(0, symbols, count)
    coder = Coder(message)
    coder.push(pushed, weights)
    coder = Coder(coder.data())
    assert np.array_equal(coder.pop(weights), pushed)
    assert coder.data() == message
    assert coder.empty == (message == b"")


@settings(max_examples=50)
@given(seeds, st.integers(0, 40), st.integers(2, 20))
def test_pop_then_push_restores_the_message(seed: int, count: int, symbols: int) -> None:
    coder = random_coder(51, seed)
    before = coder.data()
    weights = random_weights(np.random.default_rng(seed), count, symbols)
    coder.push(coder.pop(weights), weights)
    assert coder.data() == before


@settings(max_examples=50)
@given(seeds, st.integers(2, 257))
def test_coder_is_asymmetric_numeral_systems_with_these_weights(seed: int, symbols: int) -> None:
    """constriction takes floats; with w - 1 it codes the integer weights w, not one unit off."""
    random = np.random.default_rng(seed)
    weights = random_weights(random, 30, symbols)
    pushed = random.integers(0, symbols, 30)
    coder, own = Coder(), Rans()
    coder.push(pushed, weights)
    for symbol, row in zip(pushed[::-1].tolist(), weights[::-1].tolist(), strict=True):
        own.push(sum(row[:symbol]), row[symbol])
    assert own.data() == coder.data()
    others = random_weights(random, 30, symbols)
    assert [own.pop(row) for row in others.tolist()] == coder.pop(others).tolist()
    assert own.data() == coder.data()


@pytest.mark.parametrize(
    "layout",
    [
        np.asfortranarray,
        lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
        lambda array: array[::-1].copy()[::-1],
        lambda array: array[..., ::-1].copy()[..., ::-1],
    ],
    ids=["columns first", "gaps", "rows backwards", "columns backwards"],
)
def test_memory_layout_does_not_matter(layout: Callable[[np.ndarray], np.ndarray]) -> None:
    random = np.random.default_rng(0)
    weights = random_weights(random, 20, 8)
    symbols = random.integers(0, 8, 20)
    coder, other = Coder(), Coder()
    coder.push(symbols, weights)
    other.push(layout(symbols), layout(weights))
    assert other.data() == coder.data()
    assert np.array_equal(other.pop(layout(weights)), symbols)


@pytest.mark.parametrize(
    "row",
    [
        [TOTAL + 1, -1],
        [TOTAL, 0],
        [TOTAL // 2, TOTAL // 2 - 1],
        [TOTAL // 2, TOTAL // 2 + 1],
        [1, 1],
        [TOTAL],
    ],
    ids=["negative", "zero", "sum below", "sum above", "tiny sum", "one symbol"],
)
def test_coder_refuses_bad_weights(row: list[int]) -> None:
    weights = np.array([[TOTAL - len(row) + 1] + [1] * (len(row) - 1), row])
    coder = random_coder(51)
    before = coder.data()
    with pytest.raises(ValueError):
        coder.pop(weights[1:])
    with pytest.raises(ValueError):
        coder.push(np.zeros(2, np.int32), weights)
    assert coder.data() == before


@pytest.mark.parametrize("symbol", [-1, 2])
def test_coder_refuses_symbols_outside_the_pmf(symbol: int) -> None:
    with pytest.raises(KeyError):
        random_coder(51).push(np.array([symbol]), np.array([[TOTAL // 2, TOTAL // 2]]))


def test_coder_refuses_a_redundant_zero_byte() -> None:
    for data in (b"\0", b"abc\0", b"abcdefgh\0"):
        with pytest.raises(CorruptFile):
            Coder(data)


def test_words_are_little_endian() -> None:
    assert Coder(bytes(range(1, 9))).data() == bytes(range(1, 9))
    coder = Coder()
    rows = np.full((1, 4096), TOTAL // 4096)
    coder.push(np.array([0xABC]), rows)
    assert coder.data() == (0xABC << 12).to_bytes(3, "little")
    assert coder.pop(rows).tolist() == [0xABC]
    assert coder.empty


def test_bits_grow_as_the_weights_say() -> None:
    coder = random_coder(51)
    before = coder.bits
    assert before == pytest.approx(8 * len(coder.data()), abs=8)
    random = np.random.default_rng(1)
    weights = random_weights(random, 2000, 16)
    symbols = random.integers(0, 16, 2000)
    coder.push(symbols, weights)
    wanted = sum(-math.log2(row[symbol] / TOTAL) for row, symbol in zip(weights, symbols, strict=True))
    assert coder.bits - before == pytest.approx(wanted, abs=1.5)


def test_empty_stack() -> None:
    coder = Coder()
    assert coder.empty
    assert coder.bits == 0
    assert coder.data() == b""
    assert not len(coder.pop(np.empty((0, 5), np.int64)))


# Bits


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
    for pop in (ans.pop_bit, unwrap(ans.pop_bit)):
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
    for pop in (ans.pop_bit, unwrap(ans.pop_bit)):
        coder = Coder(data)
        assert popped(coder, np.zeros(0)) == [] and coder.data() == data
        ans.push_bits(coder, np.array([1]), np.array([1 << 15]))
        assert popped(coder, np.array([1 << 15]), pop) == [1] and coder.data() == data
    for pop in (ans.pop_between, unwrap(ans.pop_between)):
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
    for pop in (ans.pop_between, unwrap(ans.pop_between)):
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
    assert ans.costs_of_bits(np.zeros(0, np.uint8), np.zeros(0, np.uint16)).shape == (0,)


def test_many_bits_cost_what_they_take() -> None:
    """More than are pushed at once; the sum of -log2 p within 64 bits."""
    random = np.random.default_rng(0)
    probabilities = random.integers(1, tables.CHANCE_ONE, 70_000).astype(np.uint16)
    probabilities[:4000] = random.choice([1, 2, 32768, 65534, 65535], 4000)
    values = (random.integers(0, tables.CHANCE_ONE, len(probabilities)) < probabilities).astype(np.uint8)
    coder = Coder()
    ans.push_bits(coder, values, probabilities)
    assert coder.bits == pytest.approx(ans.costs_of_bits(values, probabilities).sum(), abs=64)
    assert popped(coder, probabilities) == values.tolist()
    assert coder.empty
