"""Senders, receivers, input distributions and losses in integers, against the paper's equations in float64."""

import math

import numpy as np
import pytest

from bfncodec.flow import loss
from bfncodec.flow.schedule import Group, Step, geometric
from bfncodec.flow.sender import GaussianSender, sender
from bfncodec.flow.theta import MEAN_STEPS, Theta

TOTAL = 1 << 24
STEPS = [Step(1, 1), Step(3, 1), Step(3, 2), Step(8, 8), Step(20, 16), Step(61, 32), Step(64, 64), Step(200, 128)]
VALUES = np.arange(256)

steps = pytest.mark.parametrize("step", STEPS, ids=str)


def views(channel: GaussianSender, values: np.ndarray) -> np.ndarray:
    """Every view that the sender may draw, [n, symbols]."""
    symbols = np.arange(channel.table.shape[1])
    return np.stack([channel.noisy(values, np.full(len(values), symbol)) for symbol in symbols], axis=1)


def gaussian(step: Step, values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """p_S(y | x; alpha) = N(y | x, 1 / alpha) on the grid (arXiv:2308.07037), float64 [n, symbols]."""
    density = np.exp(-((seen - values[:, None]) ** 2) / (2 * step.deviation**2))
    return density / density.sum(axis=1, keepdims=True)


def random_output(count: int, seed: int = 0) -> np.ndarray:
    """Output weights int64 [count, 256]: smooth, spiky and nearly uniform ones."""
    random = np.random.default_rng(seed)
    centre, width = random.uniform(-20, 275, (2, count, 1))
    raw = np.exp(-abs(VALUES - centre) / (0.5 + abs(width) ** 0.8 * random.random((count, 1)))) + 1e-6
    weights = np.floor(raw / raw.sum(axis=1, keepdims=True) * (TOTAL - 256)).astype(np.int64) + 1
    weights[np.arange(count), weights.argmax(axis=1)] += TOTAL - weights.sum(axis=1)
    return weights


@steps
def test_sender_is_the_gaussian_on_its_grid(step: Step) -> None:
    channel = GaussianSender(step)
    weights, seen = channel.weights(VALUES), views(channel, VALUES)
    assert weights.min() >= 1
    assert (weights.sum(axis=1) == TOTAL).all()
    assert (seen % step.spacing == 0).all()
    assert (np.diff(seen, axis=1) == step.spacing).all()
    wanted = gaussian(step, VALUES, seen)
    # Cutting to 24 bits costs a few units; the unit that every symbol gets is shared out by probability.
    assert (abs(weights - TOTAL * wanted) <= 4 + weights.shape[1] * wanted).all()


@steps
def test_sender_moments(step: Step) -> None:
    channel = GaussianSender(step)
    probability, seen = channel.weights(VALUES) / TOTAL, views(channel, VALUES)
    mean = (probability * seen).sum(axis=1)
    variance = (probability * (seen - mean[:, None]) ** 2).sum(axis=1)
    assert abs(mean - VALUES).max() < 1e-3 * step.deviation
    assert abs(variance / step.deviation**2 - 1).max() < 1e-3


@steps
def test_sender_symbols_and_views_are_inverse(step: Step) -> None:
    channel = sender(step)
    random = np.random.default_rng(0)
    values = random.integers(0, 256, 500)
    symbols = random.integers(0, channel.table.shape[1], 500)
    seen = channel.noisy(values, symbols)
    assert np.array_equal(channel.symbols(values, seen), symbols)
    assert np.array_equal(channel.receiver_views(channel.receiver_symbols(seen)), seen)
    assert channel.receiver_symbols(seen).min() >= 0
    assert channel.receiver_symbols(seen).max() < channel.receiver(random_output(1)).shape[1]


@steps
def test_receiver_is_the_sender_averaged_over_the_output(step: Step) -> None:
    """p_R(y) = sum over k of p_O(k) p_S(y | k), summed here view by view."""
    channel = sender(step)
    output = random_output(12)
    receiver = channel.receiver(output)
    grid = channel.receiver_views(np.arange(receiver.shape[1]))
    wanted = np.zeros(receiver.shape)
    seen = views(channel, VALUES)
    density = gaussian(step, VALUES, seen)
    for value in VALUES:
        where = np.searchsorted(grid, seen[value])
        assert np.array_equal(grid[where], seen[value])
        wanted[:, where] += output[:, value, None] / TOTAL * density[value]
    assert receiver.min() >= 1
    assert (receiver.sum(axis=1) == TOTAL).all()
    assert (abs(receiver - TOTAL * wanted) <= 6 + 2 * receiver.shape[1] * wanted).all()


@steps
def test_receiver_products_are_exact(step: Step) -> None:
    """The float64 product of the receiver loses no bit of its 48."""
    from bfncodec.exact.pmf import normalise

    channel = sender(step)
    output = random_output(3, seed=1)
    symbols = channel.receiver(output).shape[1]
    exact = np.zeros((3, symbols), np.int64)
    for value in VALUES:
        first = value // step.spacing
        row = channel.weights(VALUES[value : value + 1])[0]
        exact[:, first : first + len(row)] += output[:, value, None] * row
    assert (exact.sum(axis=1) == 1 << 48).all()
    assert np.array_equal(channel.receiver(output), normalise(exact.cumsum(axis=1), 48))


def test_accuracy_is_the_inverse_variance() -> None:
    for deviation in range(1, 129):
        accuracy = Step(deviation, 1).accuracy
        assert 0 <= 2**20 / deviation**2 - accuracy < 1
    # The paper's data lie in [-1, 1]: one level is 2 / K there, so alpha = (K / 2)**2 / deviation**2.
    for deviation in (1, 2, 16, 64):
        assert Step(deviation, 1).accuracy * 128**2 / 2**20 == 1 / (deviation / 128) ** 2


def test_geometric_grids_are_powers_of_two_below_the_deviation() -> None:
    for step in geometric([1, 2, 3, 7, 8, 9, 63, 64, 100]):
        assert step.spacing & (step.spacing - 1) == 0
        assert step.deviation / 2 < step.spacing <= step.deviation
    assert Group(5).steps == ()


def test_update_is_the_closed_form() -> None:
    """rho_i = rho + alpha, mu_i = (mu rho + y alpha) / rho_i (arXiv:2308.07037, eqs. 49 and 50), from a flat prior."""
    random = np.random.default_rng(2)
    theta = Theta(50)
    assert not theta.means().any()
    mean, precision = np.zeros(50), 0.0
    for number, step in enumerate(geometric([60, 41, 28, 20, 13, 9, 6, 4]), 1):
        seen = random.integers(-80, 340, 50)
        theta.update(step, seen)
        mean = (mean * precision + seen * step.accuracy) / (precision + step.accuracy)
        precision += step.accuracy
        assert theta.steps == number
        assert theta.accuracy == precision
        assert abs(theta.means() / MEAN_STEPS - mean).max() <= 0.5 / MEAN_STEPS + 1e-9


def test_update_does_not_depend_on_the_order() -> None:
    random = np.random.default_rng(3)
    seen = [(step, random.integers(-80, 340, 20)) for step in geometric([50, 20, 10, 5, 3])]
    thetas = []
    for order in (range(5), reversed(range(5)), random.permutation(5)):
        thetas.append(Theta(20))
        for number in order:
            thetas[-1].update(*seen[number])
    for other in thetas[1:]:
        assert np.array_equal(other.sums, thetas[0].sums)
        assert np.array_equal(other.means(), thetas[0].means())


def test_two_views_weigh_as_much_as_one_of_the_summed_accuracy() -> None:
    """Accuracies add: the spread of the mean after many views is one over the square root of their sum."""
    step = Step(32, 16)
    channel = sender(step)
    random = np.random.default_rng(4)
    values = np.full(20000, 100)
    theta = Theta(len(values))
    for _ in range(4):
        symbols = random.choice(channel.table.shape[1], len(values), p=channel.weights(values[:1])[0] / TOTAL)
        theta.update(step, channel.noisy(values, symbols))
    error = theta.means() / MEAN_STEPS - 100
    assert abs(error.mean()) < 5 * 16 / math.sqrt(len(values))
    assert error.std() == pytest.approx(32 / math.sqrt(4), rel=0.03)


def test_surprise_and_divergence_are_what_they_are_called() -> None:
    random = np.random.default_rng(5)
    step = Step(20, 16)
    channel = sender(step)
    values = random.integers(0, 256, 9)
    output = random_output(9)
    weights, receiver = channel.weights(values), channel.receiver(output)
    symbols = random.integers(0, weights.shape[1], 9)
    offsets = channel.receiver_symbols(channel.noisy(values, symbols)) - symbols
    bits = divergence = 0.0
    for row in range(9):
        bits -= math.log2(weights[row, symbols[row]] / TOTAL)
        for symbol in range(weights.shape[1]):
            p = weights[row, symbol] / TOTAL
            seen = channel.noisy(values[row : row + 1], np.array([symbol]))
            q = receiver[row, channel.receiver_symbols(seen)[0]] / TOTAL
            divergence += p * math.log2(p / q)
    assert loss.surprise(weights, symbols) == pytest.approx(bits, rel=1e-12)
    assert loss.divergence(weights, receiver, offsets) == pytest.approx(divergence, rel=1e-12)


@pytest.mark.parametrize("step", [Step(8, 8), Step(20, 16), Step(61, 32)], ids=str)
def test_divergence_between_gaussians(step: Step) -> None:
    """KL(N(x, 1 / alpha) || N(x', 1 / alpha)) = alpha (x - x')**2 / 2 nats: one term of L^n."""
    channel = sender(step)
    x, other = 128, np.array([128, 128 + step.deviation // 2, 128 - step.deviation, 128 + 3 * step.deviation // 2])
    output = np.ones((len(other), 256), np.int64)
    output[np.arange(len(other)), other] = TOTAL - 255
    receiver, weights = channel.receiver(output), channel.weights(np.full(len(other), x))
    offset = np.array([x // step.spacing])
    for row, value in enumerate(other):
        wanted = (x - value) ** 2 / (2 * step.deviation**2) / math.log(2)
        got = loss.divergence(weights[row : row + 1], receiver[row : row + 1], offset)
        assert got == pytest.approx(wanted, rel=0.01, abs=1e-4)
