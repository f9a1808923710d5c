"""Mixtures of logistics in integers: against float64, and on the stack as whole rows would be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tools.stacks import random_coder

from bfncodec.coding.ans import Coder
from bfncodec.coding.mixtures import MEAN_BITS, SCALE_MIN, Mixtures
from bfncodec.exact import tables
from bfncodec.exact.pmf import LEVELS, TOTAL

seeds = st.integers(0, 2**32 - 1)


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


def whole_rows(mixtures: Mixtures) -> np.ndarray:
    """The rows of 258 weights that values are coded with: the free units stand at both ends."""
    bounds = mixtures.below(np.arange(LEVELS + 1)[None])
    ends = np.zeros((len(bounds), 1), np.int64), np.full((len(bounds), 1), TOTAL)
    return np.diff(np.concatenate([ends[0], bounds, ends[1]], axis=1), axis=1)


@settings(max_examples=50)
@given(seeds)
def test_intervals_are_those_of_whole_rows(seed: int) -> None:
    mixtures = Mixtures(stacked(seed))
    values = np.random.default_rng(seed).integers(0, LEVELS, len(mixtures))
    values[:2] = 0, LEVELS - 1
    intervals, rows, index = mixtures.intervals(values), whole_rows(mixtures), np.arange(len(values))
    assert rows.min() >= 1 and (rows.sum(axis=1) == TOTAL).all()
    assert np.array_equal(intervals[:, 0], rows.cumsum(axis=1)[index, values])
    assert np.array_equal(intervals[:, 1], rows[index, values + 1])


@settings(max_examples=50)
@given(seeds)
def test_mixtures_pop_as_the_coder_does_with_whole_rows(seed: int) -> None:
    """Whatever the stack holds, the free units at both ends included."""
    mixtures = Mixtures(stacked(seed))
    random = np.random.default_rng(seed)
    for data in (b"", b"\0\0\0\1", b"\xff\xff\xff\1", b"\xff" * 9, random.bytes(2000) + b"\1"):
        one, other = Coder(data), Coder(data)
        values = mixtures.pop(one)
        assert np.array_equal(values, other.pop(whole_rows(mixtures)).clip(1, LEVELS) - 1)
        assert one.data() == other.data()


@settings(max_examples=50)
@given(seeds)
def test_mixtures_pop_what_they_pushed_and_restore_the_stack(seed: int) -> None:
    mixtures = Mixtures(stacked(seed))
    values = np.random.default_rng(seed).integers(0, LEVELS, len(mixtures))
    coder = random_coder(51, seed)
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
        coder = random_coder(51)
        before = coder.bits
        mixtures.push(coder, values)
        assert coder.bits - before == pytest.approx(mixtures.cost(values), abs=1.5)
        direct = -np.log2(mixtures.weights()[np.arange(3000), values] / TOTAL).sum()
        assert mixtures.cost(values) == pytest.approx(direct, rel=2e-3)
