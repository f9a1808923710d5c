"""Every kind of noisy view over a real stack, and what a transmission costs where the best model is known."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from tools.stacks import random_coder

from bfncodec.coding import protocol
from bfncodec.coding.ans import Coder
from bfncodec.coding.channels import GridChannel, channel, noise_bits
from bfncodec.coding.ledger import Ledger
from bfncodec.errors import CorruptFile
from bfncodec.exact.pmf import TOTAL
from bfncodec.flow.schedule import AnyStep, Dither, Draw, Step, Vector
from bfncodec.flow.sender import SHARES
from bfncodec.flow.theta import LOG_STEPS, AnyTheta, Theta
from bfncodec.models.paper.single import SingleGroups
from bfncodec.models.paper.spec import PRECISION, UNIT, Spec


def spec(kind: str, levels: int, final: str, size: int = 10) -> Spec:
    return Spec(kind, (1, size, 1), bytes(range(levels)), final, (8,), (1,), (1, 1), (1, 3), (1, 1), 8)


BINARY = spec("binary", 2, "3")
COARSE = spec("values", 16, "0.0316227766")
FINE = spec("values", 256, "0.001")
TEXT = spec("classes", 27, "0.75")

CASES: dict[str, AnyStep] = {
    "binary": BINARY.steps(10, "gaussian")[6],
    "coarse": COARSE.steps(10, "gaussian")[5],
    "fine": FINE.steps(10, "gaussian")[8],
    "wide": FINE.steps(1000, "gaussian")[0],
    "vector": TEXT.steps(10, "gaussian")[8],
    "narrow vector": TEXT.steps(1, "gaussian")[0],
    "dither": COARSE.steps(10, "dither")[5],
    "wide dither": FINE.steps(10, "dither")[0],
    "draw": TEXT.steps(10, "categorical")[8],
}
every = pytest.mark.parametrize("name", CASES)


def classes(step: AnyStep) -> int:
    return step.step.levels if isinstance(step, Dither) else step.levels if isinstance(step, Step) else step.classes


def pmf(raw: np.ndarray) -> np.ndarray:
    """Weights int64 [n, K] of positive numbers."""
    count = raw.shape[1]
    weights = np.floor(raw / raw.sum(axis=1, keepdims=True) * (TOTAL - count)).astype(np.int64) + 1
    weights[np.arange(len(weights)), weights.argmax(axis=1)] += TOTAL - weights.sum(axis=1)
    return weights


def drawn(weights: np.ndarray, seed: int) -> np.ndarray:
    """A symbol of each pmf."""
    points = np.random.default_rng(seed).random(len(weights))[:, None]
    return (weights.cumsum(axis=1) / TOTAL < points).sum(axis=1)


def scene(step: AnyStep, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Variables, and output weights that expect most of them."""
    random = np.random.default_rng(seed)
    output = pmf(random.random((count, classes(step))) ** random.uniform(0, 20, (count, 1)) + 1e-5)
    return drawn(output, seed), output


# One view over the stack


@every
def test_a_view_goes_there_and_back(name: str) -> None:
    """Decoding finds the views and leaves the stack as the encoder found it, bit for bit."""
    step = CASES[name]
    link = channel(step)
    x, output = scene(step, 300)
    for seed in range(3):
        coder = random_coder(30_000, seed)
        before, bits = coder.data(), coder.bits
        y = link.draw(coder, x, (4, seed))
        taken = bits - coder.bits
        assert taken <= noise_bits((step,), len(x)), "what was made sure of is enough"
        assert taken > 0 or isinstance(step, Dither)
        link.send(coder, y, output, (4, seed))
        seen = link.receive(coder, output, (4, seed))
        assert np.array_equal(seen, y) and seen.dtype == np.int64
        link.give_back(coder, x, seen)
        assert coder.data() == before


@pytest.mark.parametrize("name", [name for name in CASES if isinstance(CASES[name], Step)])
def test_bounds_are_those_of_the_whole_receiver(name: str) -> None:
    """Symbol by symbol the same integers; a receiver that is merely like it would go there and back, too."""
    link = channel(CASES[name])
    assert isinstance(link, GridChannel)
    _, output = scene(CASES[name], 5, 5)
    whole = link.sender.receiver(output)
    bounds = link.receiver.bounds(np.zeros(5, np.int64), whole.shape[1], output)
    assert not bounds[:, 0].any() and np.array_equal(np.diff(bounds, axis=1), whole)


@pytest.mark.parametrize("name", [name for name in CASES if isinstance(CASES[name], Step)])
def test_symbols_at_either_end_go_there_and_back(name: str) -> None:
    """And on an empty stack, where a state lies on the bound of its symbol."""
    link = channel(CASES[name])
    assert isinstance(link, GridChannel)
    _, output = scene(CASES[name], 7, 5)
    last = link.sender.receiver(output[:1]).shape[1] - 1
    for symbol in (0, 1, last // 2, last - 1, last):
        for coder in (Coder(), random_coder(100)):
            before = coder.data()
            link.receiver.push(coder, np.array([symbol]), output[:1])
            assert link.receiver.pop(coder, output[:1]) == [symbol]
            assert coder.data() == before


@every
def test_a_view_costs_what_the_path_says(name: str) -> None:
    step = CASES[name]
    link = channel(step)
    x, output = scene(step, 3000 if classes(step) < 100 else 1000, 1)
    coder = random_coder(200_000)
    bits = coder.bits
    y = link.draw(coder, x, (0, 1))
    link.send(coder, y, output, (0, 1))
    paid, divergence = link.costs(x, y, output, (0, 1))
    # The coder's own precision costs 2**-16 of what passes through it.
    assert coder.bits - bits == pytest.approx(paid, abs=8 + noise_bits((step,), len(x)) / 30_000)
    assert divergence > 0
    if isinstance(step, Dither):
        assert divergence == paid


@pytest.mark.parametrize("name", [name for name in CASES if not isinstance(CASES[name], Dither)])
def test_divergence_is_the_mean_of_the_path(name: str) -> None:
    step = CASES[name]
    link = channel(step)
    x, output = scene(step, 200, 2)
    costs = []
    for seed in range(40):
        y = link.draw(random_coder(20_000, seed), x, (0, 0))
        costs.append(link.costs(x, y, output, (0, 0)))
    path, divergence = np.array(costs).T
    spread = np.std(path - divergence, ddof=1) / math.sqrt(len(path))
    # The KL of vectors is itself a mean over a few further draws, the same ones every time.
    slack = 4 * np.std(path, ddof=1) / 2 if isinstance(step, Vector) else 0
    assert abs(np.mean(path) - np.mean(divergence)) < 4 * spread + slack
    assert 4 * spread < 0.7 * np.mean(divergence) + 1, "says something"


def test_divergence_of_vectors_is_that_of_the_mixture() -> None:
    """KL(N(e_x, v I) || sum over k of p_O(k) N(e_k, v I)) by a float Monte Carlo with many draws."""
    step = CASES["vector"]
    assert isinstance(step, Vector)
    x, output = scene(step, 400, 3)
    random = np.random.default_rng(4)
    hot, variance = np.eye(27)[x], (step.step.deviation / UNIT) ** 2
    costs = []
    for _ in range(20):
        views = hot + random.normal(0, math.sqrt(variance), hot.shape)
        ratio = np.exp((2 * views - 1) / (2 * variance))
        costs.append(np.log2(ratio[np.arange(len(x)), x] / (output / TOTAL * ratio).sum(axis=1)).sum())
    made = []
    for seed in range(10):
        coder = random_coder(40_000, seed)
        made.append(channel(step).costs(x, channel(step).draw(coder, x, (0, 0)), output, (0, 0))[0])
    error = math.hypot(np.std(costs) / math.sqrt(20), np.std(made) / math.sqrt(10))
    assert abs(np.mean(made) - np.mean(costs)) < 4 * error
    assert 4 * error < 0.1 * np.mean(costs)


def test_impossible_views_are_refused() -> None:
    step = CASES["coarse"]
    assert isinstance(step, Step)
    link = channel(step)
    x = np.array([0, 15, 7])
    y = link.draw(random_coder(100), x, (0, 0))
    with pytest.raises(CorruptFile):
        link.give_back(random_coder(100), x, y + 1000 * step.spacing * np.array([0, 1, 0]))
    last = link.sender.table.shape[1] - 1
    for symbols in ([0, 0, 0], [last] * 3):
        link.give_back(random_coder(100), x, link.sender.noisy(x, np.array(symbols)))
    for symbols in ([0, -1, 0], [last, last + 1, last]):
        with pytest.raises(CorruptFile):
            link.give_back(random_coder(100), x, link.sender.noisy(x, np.array(symbols)))


# Transmissions with a known best model


class Bayes:
    """p_O by Bayes' rule from a known prior [D, K]; `blind` gives the prior whatever was seen."""

    def __init__(self, given: Spec, start: np.ndarray, blind: bool = False) -> None:
        self.spec, self.start, self.blind = SimpleNamespace(size=given.size), start, blind
        self.kind, self.values = given.kind, np.arange(given.levels)

    def weights(self, theta: AnyTheta | None, items: int, step: int, steps: int) -> np.ndarray:
        raw = np.log(np.tile(self.start, (items, 1)))
        if theta is not None and theta.steps and not self.blind:
            assert 0 < theta.steps == step <= steps
            raw = raw + self.likelihoods(theta)
        return pmf(np.exp(raw - raw.max(axis=1, keepdims=True)))

    def likelihoods(self, theta: AnyTheta) -> np.ndarray:
        if isinstance(theta, Theta):
            means = theta.sums[:, None] / theta.accuracy / UNIT
            return -theta.accuracy / 2**PRECISION * (self.values - means) ** 2 / 2
        return theta.logs / LOG_STEPS


class OneCell(Bayes):
    """Bayes' rule after one dithered view: what lies in the cell is as likely as before, all else is out."""

    def __init__(self, given: Spec, start: np.ndarray, step: Dither) -> None:
        super().__init__(given, start)
        self.width = step.width

    def likelihoods(self, theta: AnyTheta) -> np.ndarray:
        assert isinstance(theta, Theta) and theta.steps == 1
        assert not (theta.sums % theta.accuracy).any()
        offset = UNIT * self.values - (theta.sums // theta.accuracy)[:, None] + self.width // 2
        return np.where((offset >= 0) & (offset < self.width), 0.0, -60.0)


def source(given: Spec, seed: int = 0) -> np.ndarray:
    """Another prior for every variable of an item, [D, K]."""
    random = np.random.default_rng(seed)
    if given.kind == "values":
        values = np.arange(given.levels)
        centre, width = random.uniform(0, given.levels, (2, given.size, 1))
        raw = np.exp(-(((values - centre) / (1 + width / 4)) ** 2) / 2) + 1e-4 * random.random((given.size, 1))
    else:
        raw = random.dirichlet(np.full(given.levels, 0.5), given.size) + 1e-4
    return raw / raw.sum(axis=1, keepdims=True)


def items_of(start: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    weights = pmf(np.tile(start, (count, 1)))
    return drawn(weights, seed).reshape(count, -1).astype(np.uint8)


def price(start: np.ndarray, items: np.ndarray) -> float:
    """-log2 of the items under the source."""
    return float(-np.log2(start[np.arange(items.shape[1]), items]).sum())


SOURCES = {
    "pixels": (BINARY, "gaussian"),
    "coarse": (COARSE, "gaussian"),
    "fine": (FINE, "gaussian"),
    "vectors": (TEXT, "gaussian"),
    "draws": (TEXT, "categorical"),
}
sources = pytest.mark.parametrize("name", SOURCES)


def encoded(model: SingleGroups, seed: int) -> tuple[Coder, bytes, Ledger, float]:
    """Coder after, stack before, ledger, and the bits that were added."""
    coder, ledger = random_coder(200_000, seed), Ledger()
    before, bits = coder.data(), coder.bits
    assert not protocol.encode(coder, model, ledger)
    return coder, before, ledger, coder.bits - bits


@sources
@pytest.mark.parametrize("count", [1, 5, 20])
def test_items_cost_their_entropy_whatever_the_noise(name: str, count: int) -> None:
    """p_R(y) p_O(x | y) / p_S(y | x) is p(x) along every path, so that any number of steps is free."""
    given, sender = SOURCES[name]
    start, steps = source(given), given.steps(count, sender)
    items = items_of(start, 30)
    wanted, paths = price(start, items), []
    for seed in range(2):
        coder, before, ledger, spent = encoded(SingleGroups(Bayes(given, start), 30, 7, steps, items), seed)
        assert [len(entry.path) for entry in ledger.groups] == [count] * 5
        # Rounding of pmfs, and of log-weights where each draw has its half of 1/64 nat.
        assert ledger.path_loss == pytest.approx(wanted, rel=0.012 if name == "draws" else 0.003)
        assert spent == pytest.approx(ledger.path_loss, abs=8 + 1e-4 * noise_bits(steps, items.size))
        paths.append([sum(entry.path) for entry in ledger.groups])
        decoder = SingleGroups(Bayes(given, start), 30, 7, steps)
        protocol.decode(coder, decoder)
        assert np.array_equal(decoder.symbols, items) and coder.data() == before
    assert paths[0] != paths[1], "other noise, another path"


@sources
def test_mean_n_step_loss_is_the_entropy(name: str) -> None:
    given, sender = SOURCES[name]
    start, steps = source(given), given.steps(5, sender)
    items = items_of(start, 20, 1)
    losses = []
    for seed in range(12):
        losses.append(encoded(SingleGroups(Bayes(given, start), 20, 20, steps, items), seed)[2].n_step_loss)
    error = np.std(losses, ddof=1) / math.sqrt(len(losses))
    # What the path costs it costs whatever the noise; what it costs in expectation is the same.
    slack = 0.012 if name == "draws" else 0.004
    assert abs(np.mean(losses) - price(start, items)) < 4 * error + slack * price(start, items)
    assert error < 0.05 * price(start, items)


def divergences(start: np.ndarray, step: AnyStep) -> np.ndarray:
    """KL(p_S || p_R) in bits [D, K] of every symbol under the prior, by quadrature in float64."""
    count = start.shape[1]
    if isinstance(step, Draw):
        w = step.share / SHARES
        sent = (1 - w) / count + w * np.eye(count)
        return np.array([(sent * np.log2(sent / (row @ sent))).sum(axis=1) for row in start])
    assert isinstance(step, Step)
    deviation = step.deviation / UNIT
    y = np.linspace(-7, 7, 2001)
    sent = np.exp(-(y**2) / 2)
    values = np.arange(count)
    made = np.empty(start.shape)
    for x in values:
        other = np.exp(-(((x + deviation * y)[:, None] - values) ** 2) / (2 * deviation**2))
        ratio = np.log2(sent[:, None] / (other @ start.T))
        made[:, x] = (sent[:, None] * ratio).sum(axis=0) / sent.sum()
    return made


@pytest.mark.parametrize("name", ["pixels", "coarse", "draws"])
def test_views_that_nobody_heeds_are_paid_in_full(name: str) -> None:
    """With p_O the prior at every step, the overhead is the sum of the divergences: no noise plays a part in it."""
    given, sender = SOURCES[name]
    start, steps = source(given), given.steps(6, sender)
    items = items_of(start, 200, 2)
    _, _, ledger, spent = encoded(SingleGroups(Bayes(given, start, blind=True), 200, 200, steps, items), 0)
    (entry,) = ledger.groups
    for step, made in zip(steps, entry.divergence, strict=True):
        wanted = divergences(start, step)[np.arange(given.size), items].sum()
        assert made == pytest.approx(wanted, rel=5e-3)
    assert entry.reconstruction == pytest.approx(price(start, items), rel=1e-3)
    assert ledger.n_step_loss > 1.2 * price(start, items)
    # Coded along one path, it is that but for the scatter of the noise.
    assert spent == pytest.approx(ledger.n_step_loss, rel=0.1)


def test_a_dithered_view_costs_nothing_where_the_output_is_bayes_rule() -> None:
    for given in (COARSE, FINE, spec("values", 16, "0.3")):
        steps = given.steps(1, "dither")
        assert isinstance(steps[0], Dither)
        start = source(given, 1)
        items = items_of(start, 100, 3)
        coder = Coder()
        ledger = Ledger()
        assert not protocol.encode(coder, SingleGroups(OneCell(given, start, steps[0]), 100, 30, steps, items), ledger)
        assert ledger.path_loss == ledger.n_step_loss == pytest.approx(price(start, items), rel=2e-3)
        assert coder.bits == pytest.approx(ledger.path_loss, abs=48), "no seed"
        decoder = SingleGroups(OneCell(given, start, steps[0]), 100, 30, steps)
        protocol.decode(coder, decoder)
        assert np.array_equal(decoder.symbols, items) and coder.empty


def test_dithered_views_that_nobody_heeds_are_paid_in_full() -> None:
    """Each costs -log2 of the receiver's mass of its cell, averaged over the places that the cell may have."""
    start = source(COARSE)
    items = items_of(start, 400, 4)
    steps = COARSE.steps(4, "dither")
    ledger = Ledger()
    protocol.encode(Coder(), SingleGroups(Bayes(COARSE, start, blind=True), 400, 400, steps, items), ledger)
    (entry,) = ledger.groups
    values = np.arange(16)
    for step, made in zip(steps, entry.path, strict=True):
        assert isinstance(step, Dither)
        noise = (np.arange(500) * step.width) // 500
        mean, square = np.zeros((2, *start.shape))
        for x in values:
            same = (values * UNIT + noise[:, None]) // step.width == ((x * UNIT + noise) // step.width)[:, None]
            cost = -np.log2(same @ start.T)
            mean[:, x], square[:, x] = cost.mean(axis=0), cost.var(axis=0)
        where = np.arange(start.shape[0]), items
        assert abs(made - mean[where].sum()) < 4 * math.sqrt(square[where].sum()) + 1e-3 * made
        assert made > 100 or step.width > 16 * UNIT


@pytest.mark.parametrize("name", ["gaussian", "categorical"])
def test_an_empty_stack_is_sent_without_noise(name: str) -> None:
    """The first batch finds no bits for its noise; the others find those of the first."""
    given, steps = TEXT, TEXT.steps(2, name)
    start = source(given)
    items = items_of(start, 1000, 5)
    model, ledger = SingleGroups(Bayes(given, start), 1000, 2, steps, items), Ledger()
    coder = Coder()
    silent = protocol.encode(coder, model, ledger)
    assert 499 in silent and 0 not in silent
    assert ledger.path_loss == pytest.approx(price(start, items), rel=0.01)
    assert coder.bits == pytest.approx(ledger.path_loss, abs=64, rel=1e-3)
    decoder = SingleGroups(Bayes(given, start), 1000, 2, steps)
    protocol.decode(coder, decoder, silent)
    assert np.array_equal(decoder.symbols, items) and coder.empty
