"""Sender, receiver and input distributions of classes in integers, against arXiv:2308.07037, section 6, with m = 1."""

import math
from decimal import localcontext
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bfncodec.coding import protocol
from bfncodec.coding.ans import Coder
from bfncodec.coding.ledger import Ledger
from bfncodec.coding.protocol import Table
from bfncodec.exact.tables import exp_negative, log_ratio
from bfncodec.flow import loss
from bfncodec.flow.schedule import Draw, Group, Step
from bfncodec.flow.sender import SHARES, CategoricalSender, GaussianSender, sender
from bfncodec.flow.theta import LOG_STEPS, ClassTheta, Theta, prior
from bfncodec.models.text import blockwise

TOTAL = 1 << 24
CLASSES = 256
EVERY = np.arange(CLASSES)
DRAWS = [Draw(1), Draw(100), Draw(1 << 12), Draw(blockwise.SHARE), Draw(40_000), Draw(65_000)]

draws = pytest.mark.parametrize("step", DRAWS, ids=str)


def omega(step: Draw) -> float:
    """The share w as a probability: the square root of the paper's accuracy at m = 1."""
    return step.share / SHARES


def likelihood(step: Draw) -> np.ndarray:
    """p_S(k | x) = (1 - w) / K + w [k = x], float64 [x, k]."""
    return (1 - omega(step)) / CLASSES + omega(step) * np.eye(CLASSES)


def random_output(count: int, seed: int = 0) -> np.ndarray:
    """Output weights int64 [count, 256], from nearly uniform to a single class."""
    random = np.random.default_rng(seed)
    raw = random.random((count, CLASSES)) ** random.uniform(0, 60, (count, 1))
    weights = np.floor(raw / raw.sum(axis=1, keepdims=True) * (TOTAL - CLASSES)).astype(np.int64) + 1
    weights[np.arange(count), weights.argmax(axis=1)] += TOTAL - weights.sum(axis=1)
    return weights


@draws
def test_sender_is_the_class_with_a_share_and_any_class_else(step: Draw) -> None:
    weights = sender(step).weights(EVERY)
    assert weights.min() >= 1 and (weights.sum(axis=1) == TOTAL).all()
    wanted = TOTAL * likelihood(step)
    others = ~np.eye(CLASSES, dtype=bool)
    # Every class that was not sent gets its part rounded down; the class itself gets what is left.
    assert (wanted - weights)[others].min() >= 0 and (wanted - weights)[others].max() < 1
    assert (weights - wanted).diagonal().min() >= 0 and (weights - wanted).diagonal().max() < CLASSES
    assert np.array_equal(sender(step).weights(np.array([7, 7, 200])), weights[[7, 7, 200]])


def test_sender_of_blocks_is_exact() -> None:
    """A quarter and three quarters: no weight is rounded."""
    weights = sender(Draw(1 << 14)).weights(EVERY)
    assert np.array_equal(weights, (TOTAL * likelihood(Draw(1 << 14))).astype(np.int64))


@draws
def test_symbols_are_views(step: Draw) -> None:
    channel = sender(step)
    assert isinstance(channel, CategoricalSender) and isinstance(sender(Step(8, 8)), GaussianSender)
    assert sender(Draw(step.share)) is channel, "made once"
    values = np.roll(EVERY, 9)
    views = channel.noisy(values, EVERY)
    for same in (channel.symbols(values, views), channel.receiver_symbols(views), channel.receiver_views(views)):
        assert same.dtype == np.int64 and np.array_equal(same, EVERY)


@draws
def test_receiver_is_the_sender_averaged_over_the_output(step: Draw) -> None:
    """p_R(k) = sum over x of p_O(x) p_S(k | x) = (1 - w) / K + w p_O(k)."""
    output = random_output(30)
    receiver = sender(step).receiver(output)
    assert receiver.min() >= 1 and (receiver.sum(axis=1) == TOTAL).all()
    wanted = output / TOTAL @ likelihood(step)
    assert np.allclose(wanted, (1 - omega(step)) / CLASSES + omega(step) * output / TOTAL, rtol=1e-12)
    difference = receiver - TOTAL * wanted
    # The first class takes what the others lose by rounding down, the parts of all 256.
    assert difference[:, 1:].max() < 1 + CLASSES * omega(step) and difference[:, 1:].min() > -2
    assert -2 < difference[:, 0].min() and difference[:, 0].max() < 2 * CLASSES


@draws
def test_receiver_of_a_sure_output_is_nearly_the_sender(step: Draw) -> None:
    """Only the units that no output can withhold, one a class, are missing: no view costs much."""
    output = np.ones((3, CLASSES), np.int64)
    values = np.array([0, 9, 255])
    output[np.arange(3), values] += TOTAL - CLASSES
    channel = sender(step)
    assert abs(channel.receiver(output) - channel.weights(values)).max() <= 2 * CLASSES
    assert loss.divergence(channel.weights(values), channel.receiver(output), np.zeros(3)) < 1e-3


@draws
def test_noise_bits_are_surely_enough(step: Draw) -> None:
    """The encoder takes a view off the stack, whose pmf holds fewer bits than it makes sure of."""
    weights = sender(step).weights(EVERY[:1])[0] / TOTAL
    assert -(weights * np.log2(weights)).sum() < sender(step).noise_bits


def test_divergence_is_the_papers() -> None:
    """KL(p_S || p_R) in bits, the sum over all views."""
    step, values = Draw(1 << 14), np.array([3, 200, 0])
    output = random_output(3, seed=5)
    channel = sender(step)
    wanted = 0.0
    for row, value in enumerate(values):
        sent = likelihood(step)[value]
        received = output[row] / TOTAL @ likelihood(step)
        wanted += float((sent * np.log2(sent / received)).sum())
    got = loss.divergence(channel.weights(values), channel.receiver(output), np.zeros(3))
    assert got == pytest.approx(wanted, rel=5e-4)


# Input distributions


@given(st.integers(0, SHARES - 1), st.sampled_from([2, 256]), st.sampled_from([1, 64, 1000]))
def test_log_ratio_is_its_formula(share: int, classes: int, steps: int) -> None:
    """ln(1 + K w / (1 - w)), the log of how much likelier a view makes its own class than another."""
    w = share / SHARES
    exact = steps * math.log1p(classes * w / (1 - w))
    assert abs(log_ratio(share, classes, steps) - exact) <= 0.5 + 1e-9 * steps
    if classes == CLASSES:
        sent = likelihood(Draw(share))
        assert math.log(sent[0, 0] / sent[0, 1]) * steps == pytest.approx(exact, abs=1e-6 * steps)


def test_log_ratio_does_not_read_the_callers_decimals() -> None:
    with localcontext() as context:
        context.prec = 3
        narrow = log_ratio(blockwise.SHARE, CLASSES, 10**6)
    assert narrow == log_ratio(blockwise.SHARE, CLASSES, 10**6) == round(10**6 * math.log(1 + 256 / 3))


def test_nothing_is_known_before_the_first_draw() -> None:
    theta = ClassTheta(3)
    assert theta.steps == 0 and not theta.logs.any()
    assert theta.shares().shape == (3, CLASSES) and not theta.shares().any(), "1 / 256 is less than 1 / 255"


def exact_posterior(steps: list[Draw], views: np.ndarray) -> np.ndarray:
    """Bayes' rule from a uniform prior: the normalised product of the sender's likelihoods, float64 [n, 256]."""
    product = np.ones((views.shape[1], CLASSES))
    for step, seen in zip(steps, views, strict=True):
        product *= likelihood(step)[:, seen].T
    return product / product.sum(axis=1, keepdims=True)


def updated(steps: list[Draw], views: np.ndarray) -> ClassTheta:
    theta = ClassTheta(views.shape[1])
    for step, seen in zip(steps, views, strict=True):
        theta.update(step, seen)
    return theta


@st.composite
def drawn(draw: st.DrawFn) -> tuple[list[Draw], np.ndarray]:
    """Some draws of a few classes, which often agree, and their views [steps, n]."""
    steps = draw(st.lists(st.sampled_from(DRAWS), min_size=1, max_size=6))
    some = st.sampled_from([0, 1, 255]) | st.integers(0, 255)
    rows = draw(st.lists(st.lists(some, min_size=4, max_size=4), min_size=len(steps), max_size=len(steps)))
    return steps, np.array(rows)


@given(drawn())
def test_theta_is_the_posterior(given: tuple[list[Draw], np.ndarray]) -> None:
    """In log-weights to half a unit a draw, in shares rounded down to 1 / 255."""
    steps, views = given
    theta, wanted = updated(steps, views), exact_posterior(steps, views)
    assert theta.steps == len(steps)
    made = np.exp(theta.logs / LOG_STEPS)
    made /= made.sum(axis=1, keepdims=True)
    # Half a unit of each draw may be missing on both sides of a ratio.
    assert abs(np.log(made / wanted)).max() <= len(steps) / LOG_STEPS + 1e-9
    shares = theta.shares()
    assert shares.dtype == np.int64 and shares.min() >= 0 and (shares.sum(axis=1) <= 255).all()
    cut = np.exp(-np.minimum(theta.logs.max(axis=1, keepdims=True) - theta.logs, 12 * LOG_STEPS) / LOG_STEPS)
    exact = 255 * cut / cut.sum(axis=1, keepdims=True)
    # The table's entries are rounded down by less than 2**-20 each.
    assert (shares <= exact + 0.07).all() and (shares > exact - 1.07).all()
    assert abs(exact - 255 * made).max() < 0.5, "what is cut at 12 nats is little"


@given(drawn(), st.randoms(use_true_random=False))
def test_the_order_of_draws_does_not_matter(given: tuple[list[Draw], np.ndarray], random: Random) -> None:
    steps, views = given
    order = list(range(len(steps)))
    random.shuffle(order)
    shuffled = updated([steps[number] for number in order], views[order])
    assert np.array_equal(shuffled.logs, updated(steps, views).logs)


def test_many_draws_find_the_class() -> None:
    """Sums of many log-weights do not overflow; however many, a rest of 255 e**-12 is for the other classes."""
    random = np.random.default_rng(0)
    step, values = Draw(blockwise.SHARE), random.integers(0, CLASSES, 50)
    theta = ClassTheta(len(values))
    for _ in range(200):
        own = random.random(len(values)) < omega(step)
        theta.update(step, np.where(own, values, random.integers(0, CLASSES, len(values))))
    assert (theta.shares() == 254 * np.eye(CLASSES)[values]).all()


def test_a_draw_says_on_average_what_its_accuracy_promises() -> None:
    """The information of a view about its class, from what theta makes of it: the sender's mutual information."""
    step = Draw(blockwise.SHARE)
    theta = ClassTheta(CLASSES)
    theta.update(step, EVERY)
    learnt = np.exp((theta.logs[0, 0] - theta.logs[0, 1]) / LOG_STEPS)
    share = learnt / (learnt + CLASSES - 1)
    assert share == pytest.approx(likelihood(step)[0, 0], rel=0.01)
    assert (theta.shares() == np.floor(255 * share) * np.eye(CLASSES)).all(), "all others are below 1 / 255"


def test_prior_is_of_the_kind_of_the_steps() -> None:
    assert isinstance(prior([Draw(5)], 3), ClassTheta)
    assert isinstance(prior([Step(8, 8)], 3), Theta)


def test_shares_are_made_of_the_exact_table() -> None:
    """The integers themselves: 255 e**-d // sum, d in 1 / 64 nat, cut at 12 nats."""
    theta = ClassTheta(2)
    theta.logs[0, :5] = [1000, 999, 936, 1000 - 12 * LOG_STEPS, 0]
    raw = [int(exp_negative(np.array([min(1000 - log, 768)]), 64)[0]) >> 10 for log in theta.logs[0].tolist()]
    assert theta.shares()[0].tolist() == [255 * one // sum(raw) for one in raw]
    assert raw[1] / raw[0] == pytest.approx(math.exp(-1 / 64), rel=1e-5)


# The transmission with draws


class Known:
    """A model of one group whose output is Bayes' rule on a fixed prior: what theta says times `start`."""

    def __init__(self, start: np.ndarray, steps: tuple[Draw, ...], values: np.ndarray | None, size: int) -> None:
        self.start, self.known = start, values
        self.groups = [Group(size, steps)]
        self.seen: np.ndarray | None = None

    def spans(self) -> list[range]:
        return [range(1)]

    def values(self, span: range) -> np.ndarray:
        assert self.known is not None
        return self.known

    def output(self, span: range, theta: ClassTheta | Theta | None) -> Table:
        weights = np.tile(self.start, (self.groups[0].size, 1))
        if isinstance(theta, ClassTheta):
            weights = weights * np.exp((theta.logs - theta.logs.max(axis=1, keepdims=True)) / LOG_STEPS)
        made = np.floor(weights / weights.sum(axis=1, keepdims=True) * (TOTAL - CLASSES)).astype(np.int64) + 1
        made[np.arange(len(made)), made.argmax(axis=1)] += TOTAL - made.sum(axis=1)
        return Table(made)

    def reveal(self, group: int, values: np.ndarray) -> None:
        self.seen = values


@pytest.mark.parametrize("count", [0, 1, 2, 6])
def test_draws_cost_nothing_where_the_output_is_bayes_rule(count: int) -> None:
    """Bits-back: path loss and n-step loss are the entropy of the classes for any number of draws."""
    random = np.random.default_rng(count)
    start = random.dirichlet(np.full(CLASSES, 0.1))
    values = random.choice(CLASSES, 2000, p=start)
    below = Coder(random.bytes(20_000) + b"\1")
    before, ledger = below.bits, Ledger()
    silent = protocol.encode(below, Known(start, (Draw(blockwise.SHARE),) * count, values, len(values)), ledger)
    assert not silent
    entropy = float(-np.log2(start[values]).sum())
    assert below.bits - before == pytest.approx(ledger.path_loss, abs=64, rel=2e-4)
    assert ledger.path_loss == pytest.approx(entropy, rel=0.01)
    assert ledger.n_step_loss == pytest.approx(entropy, rel=0.05)
    (entry,) = ledger.groups
    assert len(entry.path) == len(entry.divergence) == count
    decoder = Known(start, (Draw(blockwise.SHARE),) * count, None, len(values))
    protocol.decode(below, decoder)
    assert np.array_equal(decoder.seen, values) and below.bits == before
