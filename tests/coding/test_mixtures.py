"""Integer tables, mixtures and the coder, against float64 and against a coder of a few lines."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_UP, Context, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bfncodec.coding.ans import Coder
from bfncodec.coding.mixtures import HALF, MEAN_BITS, SCALE_MIN, Mixtures
from bfncodec.errors import CorruptFile
from bfncodec.exact import tables
from bfncodec.exact.pmf import LEVELS, TOTAL, normalise

seeds = st.integers(0, 2**32 - 1)


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


def random_mixtures(seed: int, count: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, means and scales [count, k]; some far outside of what images give."""
    random = np.random.default_rng(seed)
    k = int(random.integers(1, 6))
    wild = random.random((count, 1)) < 0.3
    logits = np.where(wild, random.integers(-(2**15), 2**15, (count, k)), random.integers(-60, 60, (count, k)))
    means = np.where(
        wild, random.integers(-(2**23), 2**23, (count, k)), random.integers(0, 256 << MEAN_BITS, (count, k))
    )
    scales = np.where(wild, random.integers(-(2**15), 2**15, (count, k)), random.integers(20, 130, (count, k)))
    return logits, means, scales


def stacked(seed: int, count: int = 60) -> np.ndarray:
    """The same as `Mixtures` takes them."""
    return np.stack(random_mixtures(seed, count), axis=1).astype(np.int64)


def full_coder(seed: int = 0) -> Coder:
    return Coder(np.random.default_rng(seed).bytes(50) + b"\1")


# Tables


def test_exponential_table() -> None:
    for divisor in (1024, 16, 18, 2 * 61**2):
        index = np.concatenate([np.arange(300), np.arange(300, 40000, 77)])
        wanted = np.exp(-index / divisor) * 2**30
        error = tables.exp_negative(index, divisor) - wanted
        factors = np.array([bin(one).count("1") for one in index])
        assert (abs(error) <= np.maximum(factors, 1) * 0.75).all() and abs(error.mean()) < 0.3, "each is rounded"
    assert tables.exp_negative(np.array([0]), 1)[0] == 1 << 30


def test_logistic_table() -> None:
    table = tables.logistic()
    z = (np.arange(len(table)) - tables.LOGISTIC_HALF) / tables.LOGISTIC_STEPS
    assert len(table) == 2 * tables.LOGISTIC_HALF
    assert abs(table - 2**tables.LOGISTIC_BITS / (1 + np.exp(-z))).max() < 1.001
    assert (np.diff(table) >= 0).all()
    assert (table[1:] + table[:0:-1] == 1 << tables.LOGISTIC_BITS).all()


def test_weight_table() -> None:
    table = tables.exp_weights()
    wanted = np.exp(-np.arange(len(table)) / tables.LOGIT_STEPS) * 2**15
    assert abs(table - wanted).max() <= 1
    assert table[-1] == 0
    assert (np.diff(table) <= 0).all()


def test_octave_table() -> None:
    table = tables.octaves(-60, 200, 16, 10)
    for index, value in zip(range(-60, 200), table.tolist(), strict=True):
        # value = round(2**(index / 16 + 10)): both (value +- 1/2)**16 enclose 2**(index + 160)
        low, high = Fraction(2 * value - 1, 2), Fraction(2 * value + 1, 2)
        assert low**16 <= Fraction(2) ** (index + 160) <= high**16


def test_tables_do_not_depend_on_the_decimal_context() -> None:
    index = np.arange(3000)
    wanted = tables.exp_negative(index, 98), tables.octaves(-50, 50, 16, 20)
    with localcontext(Context(prec=3, rounding=ROUND_UP, Emax=5, Emin=-5)):
        assert np.array_equal(tables.exp_negative(index, 98), wanted[0])
        assert np.array_equal(tables.octaves(-50, 50, 16, 20), wanted[1])


# Pmfs


@given(seeds, st.integers(2, 300), st.sampled_from([24, 30, 48]))
def test_normalise(seed: int, symbols: int, bits: int) -> None:
    random = np.random.default_rng(seed)
    sums = np.sort(random.integers(0, 2**bits, (4, symbols)), axis=1)
    sums[0, : symbols // 2] = 0
    sums[1] = 1 << bits
    sums[:, -1] = 1 << bits
    weights = normalise(sums, bits)
    assert weights.min() >= 1
    assert (weights.sum(axis=1) == TOTAL).all()
    wanted = np.diff(sums / 2**bits, axis=1, prepend=0)
    assert (abs(weights - TOTAL * wanted) <= 3 + symbols * wanted).all()
    assert np.array_equal(normalise(sums[3], bits), weights[3])
    assert np.array_equal(normalise(sums.reshape(2, 2, symbols), bits), weights.reshape(2, 2, symbols))


@given(seeds)
def test_mixture_bounds_rise_from_end_to_end(seed: int) -> None:
    mixtures = Mixtures(stacked(seed))
    bounds = mixtures.below(np.arange(LEVELS + 1)[None])
    assert (bounds[:, 0] == 1).all()
    assert (bounds[:, -1] == TOTAL - 1).all()
    assert np.diff(bounds, axis=1).min() >= 1
    weights = mixtures.weights()
    assert weights.min() >= 1
    assert (weights.sum(axis=1) == TOTAL).all()


def test_levels_without_mass_have_one_unit_each() -> None:
    """Far below a narrow mixture: the end of the logistic table, and one unit more with every level."""
    points = np.arange(201)[None]
    parameters = np.array([[[0, 0], [255 << MEAN_BITS] * 2, [SCALE_MIN, 0]]])
    bounds = Mixtures(parameters).below(points)[0]
    rest = int(tables.logistic()[0]) << tables.WEIGHT_BITS >> 6
    assert np.array_equal(bounds[1:], rest + points[0, 1:] + 1)
    assert bounds[0] == 1


def test_mixture_is_a_mixture_of_logistics() -> None:
    for seed in range(20):
        logits, means, scales = random_mixtures(seed)
        levels = np.arange(1, LEVELS)
        nats = logits / tables.LOGIT_STEPS
        share = np.exp(nats - nats.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        scale = 2.0 ** (scales.clip(-32, 207) / tables.OCTAVE_STEPS) / 16
        z = (levels - 0.5 - means[:, :, None] / 2**MEAN_BITS) / scale[:, :, None]
        below = np.zeros((len(logits), LEVELS + 1))
        below[:, 1:-1] = (share[:, :, None] / (1 + np.exp(-z.clip(-700, 700)))).sum(axis=1)
        below[:, -1] = 1
        wanted = np.diff(below, axis=1)
        mixtures = Mixtures(np.stack([logits, means, scales], axis=1))
        # The table's steps are 2**-10 wide and the logistic's slope is at most 1/4; shares have 12 bits.
        assert abs(mixtures.below(levels[None]) / TOTAL - below[:, 1:-1]).max() < 2**-10
        got = mixtures.weights() / TOTAL
        divergence = (wanted * np.log2(np.where(wanted > 0, wanted / got, 1))).sum(axis=1)
        assert -1e-9 < divergence.min()
        assert divergence.max() < 0.03
        assert np.median(divergence) < 0.003


def test_gradients_are_the_derivatives_of_the_cost() -> None:
    """Against differences of the float cost in nats, in the units that `gradients` names."""
    random = np.random.default_rng(3)
    n, k = 400, 3
    logits = random.integers(-30, 30, (n, k))
    means = random.integers(0, 256 << MEAN_BITS, (n, k))
    means[0], means[1] = 0, LEVELS - 1 << MEAN_BITS
    scales = random.integers(60, 130, (n, k))
    logs = random.integers(-40, 40, (n, k))
    mixtures = Mixtures(np.stack([logits, means, scales], axis=1))
    points = random.integers(0, TOTAL, (n, 1))
    values = (mixtures.weights().cumsum(axis=1) <= points).sum(axis=1)
    values[:2] = 0, LEVELS - 1

    def nats(a: np.ndarray, m: np.ndarray, s: np.ndarray) -> np.ndarray:
        share = np.exp(a) / np.exp(a).sum(axis=1, keepdims=True)
        upper = 1 / (1 + np.exp(-(values[:, None] + 0.5 - m) / s))
        lower = 1 / (1 + np.exp(-(values[:, None] - 0.5 - m) / s))
        upper[values == LEVELS - 1], lower[values == 0] = 1, 0
        return -np.log((share * (upper - lower)).sum(axis=1) + 2.0**-24)

    a, m, s = logits / tables.LOGIT_STEPS, means / 2**MEAN_BITS, 2.0 ** (scales / tables.OCTAVE_STEPS) / 16
    unit = s * 2.0 ** (-logs / tables.OCTAVE_STEPS)  # the scale that means are measured in
    wanted = np.zeros((n, 3 * k))
    for j in range(k):
        h = 1e-5 * (np.arange(k) == j)
        wanted[:, j] = (nats(a + h, m, s) - nats(a - h, m, s)) / 2e-5
        wanted[:, k + j] = (nats(a, m + h * unit, s) - nats(a, m - h * unit, s)) / 2e-5
        wanted[:, 2 * k + j] = (nats(a, m, s * np.exp(h)) - nats(a, m, s * np.exp(-h))) / 2e-5
    got = mixtures.gradients(values, logs) / np.repeat([2**12, 2**12, 2**10], k)
    for part in range(3):
        columns = slice(part * k, (part + 1) * k)
        error = abs(got[:, columns] - wanted[:, columns])
        assert np.median(error) < 0.005
        assert error.mean() < 0.03 * abs(wanted[:, columns]).mean()


def halves(mixtures: Mixtures, values: np.ndarray) -> list[np.ndarray]:
    """The rows of 18 weights that the halves of values are coded with, from the bounds of all levels."""
    bounds = mixtures.below(np.arange(LEVELS + 1)[None])
    upper = bounds[:, ::HALF]
    start = values // HALF * HALF
    inside = np.take_along_axis(bounds, start[:, None] + np.arange(HALF + 1), axis=1)
    share = (inside - inside[:, :1]) * (TOTAL - HALF - 2) // (inside[:, -1:] - inside[:, :1])
    lower = share + np.arange(1, HALF + 2)
    ends = np.zeros((len(values), 1), np.int64), np.full((len(values), 1), TOTAL)
    return [np.diff(np.concatenate([ends[0], part, ends[1]], axis=1), axis=1) for part in (upper, lower)]


@settings(max_examples=50)
@given(seeds)
def test_intervals_are_those_of_whole_rows(seed: int) -> None:
    mixtures = Mixtures(stacked(seed))
    values = np.random.default_rng(seed).integers(0, LEVELS, len(mixtures))
    values[:2] = 0, LEVELS - 1
    intervals = mixtures.intervals(values)
    for half, (rows, symbols) in enumerate(zip(halves(mixtures, values), (values // HALF, values % HALF), strict=True)):
        assert rows.min() >= 1 and (rows.sum(axis=1) == TOTAL).all()
        index = np.arange(len(rows))
        assert np.array_equal(intervals[:, half, 0], rows.cumsum(axis=1)[index, symbols])
        assert np.array_equal(intervals[:, half, 1], rows[index, symbols + 1])


@settings(max_examples=50)
@given(seeds)
def test_mixtures_pop_as_the_coder_does_with_whole_rows(seed: int) -> None:
    """Whatever the stack holds, the free units at both ends included."""
    mixtures = Mixtures(stacked(seed))
    random = np.random.default_rng(seed)
    for data in (b"", b"\0\0\0\1", b"\xff\xff\xff\1", b"\xff" * 9, random.bytes(2000) + b"\1"):
        one, other = Coder(data), Coder(data)
        values = mixtures.pop(one)
        upper = other.pop(halves(mixtures, values)[0]).clip(1, HALF) - 1
        lower = other.pop(halves(mixtures, values)[1]).clip(1, HALF) - 1
        assert np.array_equal(values, upper * HALF + lower)
        assert one.data() == other.data()


@settings(max_examples=50)
@given(seeds)
def test_mixtures_pop_what_they_pushed_and_restore_the_stack(seed: int) -> None:
    mixtures = Mixtures(stacked(seed))
    values = np.random.default_rng(seed).integers(0, LEVELS, len(mixtures))
    coder = full_coder(seed)
    before = coder.data()
    mixtures.push(coder, values)
    assert np.array_equal(mixtures.pop(coder), values)
    assert coder.data() == before


def test_mixture_cost_is_the_growth_of_the_stack() -> None:
    mixtures = Mixtures(stacked(7, 3000))
    random = np.random.default_rng(7)
    points = random.integers(0, TOTAL, (3000, 1))
    likely = (mixtures.weights().cumsum(axis=1) <= points).sum(axis=1)
    for values in (likely, random.integers(0, LEVELS, 3000)):
        coder = full_coder()
        before = coder.bits
        mixtures.push(coder, values)
        assert coder.bits - before == pytest.approx(mixtures.cost(values), abs=1.5)
        direct = -np.log2(mixtures.weights()[np.arange(3000), values] / TOTAL).sum()
        assert mixtures.cost(values) == pytest.approx(direct, rel=2e-3)


# Coder


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
    coder = full_coder(seed)
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
    coder = full_coder()
    before = coder.data()
    with pytest.raises(ValueError):
        coder.pop(weights[1:])
    with pytest.raises(ValueError):
        coder.push(np.zeros(2, np.int32), weights)
    assert coder.data() == before


@pytest.mark.parametrize("symbol", [-1, 2])
def test_coder_refuses_symbols_outside_the_pmf(symbol: int) -> None:
    with pytest.raises(KeyError):
        full_coder().push(np.array([symbol]), np.array([[TOTAL // 2, TOTAL // 2]]))


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
    coder = full_coder()
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
