"""Tables are the functions that they are made for, and pmfs are integers that sum to 2**24."""

from decimal import ROUND_UP, Context, localcontext
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bfncodec.exact import tables
from bfncodec.exact.pmf import TOTAL, normalise


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


# Pmfs


@given(st.integers(0, 2**32 - 1), st.integers(2, 300), st.sampled_from([24, 30, 48]))
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
