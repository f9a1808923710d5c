"""The protocol with toy models: groups and steps, and nothing about images."""

import math
from collections.abc import Iterable

import numpy as np
import pytest
from tools.stacks import random_coder

from bfncodec.coding import protocol
from bfncodec.coding.ans import Coder
from bfncodec.coding.channels import noise_bits
from bfncodec.coding.ledger import Ledger
from bfncodec.errors import CorruptFile
from bfncodec.exact.pmf import TOTAL
from bfncodec.flow.schedule import Dither, Group, geometric
from bfncodec.flow.theta import AnyTheta, Theta

K = 256
SPREAD = 12.0  # of the prior
LEVELS = np.arange(K)


def pmf(logarithms: np.ndarray) -> np.ndarray:
    """Weights int64 [n, K] of densities given by their logarithms."""
    raw = np.exp(logarithms - logarithms.max(axis=1, keepdims=True))
    weights = np.floor(raw / raw.sum(axis=1, keepdims=True) * (TOTAL - K)).astype(np.int64) + 1
    weights[np.arange(len(weights)), weights.argmax(axis=1)] += TOTAL - weights.sum(axis=1)
    return weights


class Sent:
    """Independent variables with the given pmfs, as the encoder needs them: a `Pushable`."""

    def __init__(self, pmfs: np.ndarray) -> None:
        self.pmfs = pmfs

    def push(self, coder: Coder, values: np.ndarray) -> None:
        coder.push(values, self.pmfs)

    def cost(self, values: np.ndarray) -> float:
        return float(-np.log2(self.pmfs[np.arange(len(values)), values] / TOTAL).sum())


class Received:
    """The same as the decoder needs them: a `Poppable`."""

    def __init__(self, pmfs: np.ndarray) -> None:
        self.pmfs = pmfs

    def pop(self, coder: Coder) -> np.ndarray:
        return coder.pop(self.pmfs)


class Whole:
    """What either is beside that where noisy steps come: a `Prediction`."""

    pmfs: np.ndarray

    def weights(self) -> np.ndarray:
        return self.pmfs


class SentThroughViews(Whole, Sent):
    """Pushable, and what receivers are made of."""


class ReceivedThroughViews(Whole, Received):
    """Poppable, and what receivers are made of."""


class Toy:
    """Gaussian variables around the first value of the group before, and Bayes' rule for a network.

    The output distribution is the exact posterior given the noisy views, so it sharpens with
    theta, and the path loss of any noise whatever is -log2 of the prior.
    """

    def __init__(self, groups: list[Group], data: np.ndarray) -> None:
        self.groups, self.known = groups, data
        self.ends = np.cumsum([group.size for group in groups])

    def where(self, group: int) -> slice:
        return slice(self.ends[group] - self.groups[group].size, self.ends[group])

    def centre(self, group: int) -> float:
        return 128.0 if group == 0 else 64 + float(self.known[self.where(group - 1)][0]) / 2

    def prior(self, group: int) -> np.ndarray:
        """Logarithms [size, K] of the prior, up to a constant."""
        logarithms = -((LEVELS - self.centre(group)) ** 2) / (2 * SPREAD**2)
        return np.broadcast_to(logarithms, (self.groups[group].size, K))

    def pmfs(self, span: range, theta: AnyTheta | None) -> np.ndarray:
        """Of all variables of a span."""
        logarithms = np.concatenate([self.prior(group) for group in span])
        if isinstance(theta, Theta) and theta.accuracy:
            precision = theta.accuracy / 2**20
            mean = theta.sums / theta.accuracy
            logarithms = logarithms - precision * (LEVELS - mean[:, None]) ** 2 / 2
        return pmf(logarithms)

    def prior_bits(self) -> float:
        """-log2 of the data's probability."""
        groups = range(len(self.groups))
        return sum(Sent(pmf(self.prior(group))).cost(self.known[self.where(group)]) for group in groups)


class ToySource(Toy):
    """Data to encode: a `Source`."""

    def spans(self) -> Iterable[range]:
        """Neighbouring groups without noise share a span."""
        first = 0
        for number in range(1, len(self.groups) + 1):
            if number == len(self.groups) or self.groups[number].steps or self.groups[first].steps:
                yield range(first, number)
                first = number

    def values(self, span: range) -> np.ndarray:
        return np.concatenate([self.known[self.where(group)] for group in span])

    def output(self, span: range, theta: AnyTheta | None) -> Sent:
        return (Sent if theta is None else SentThroughViews)(self.pmfs(span, theta))


class ToySink(Toy):
    """Room for what is decoded: a `Sink`."""

    def __init__(self, groups: list[Group]) -> None:
        super().__init__(groups, np.zeros(sum(group.size for group in groups), np.int64))
        self.seen: list[int] = []

    def spans(self) -> Iterable[range]:
        return (range(group, group + 1) for group in range(len(self.groups)))

    def output(self, span: range, theta: AnyTheta | None) -> Received:
        return (Received if theta is None else ReceivedThroughViews)(self.pmfs(span, theta))

    def reveal(self, group: int, values: np.ndarray) -> None:
        self.known[self.where(group)] = values
        self.seen.append(group)


def draw(groups: list[Group], seed: int) -> np.ndarray:
    """Data from the toy's own prior."""
    random = np.random.default_rng(seed)
    toy = Toy(groups, np.zeros(sum(group.size for group in groups), np.int64))
    for number, group in enumerate(groups):
        noise = random.normal(0, SPREAD, group.size)
        toy.known[toy.where(number)] = np.rint(toy.centre(number) + noise).clip(0, K - 1)
    return toy.known


# Powers of two have exact accuracies, so the toy's posterior is the true one.
SINGLE = [Group(500, geometric([64, 32, 32, 16, 8, 4]))]
MIXED = [
    Group(40, geometric([64, 16])),
    Group(1),
    Group(7),
    Group(60, geometric([32])),
    Group(25, geometric([4, 4, 8, 2])),
    Group(300),
    Group(3),
    Group(30, geometric([128, 1])),
]
schedules = pytest.mark.parametrize("groups", [SINGLE, MIXED], ids=["single", "mixed"])


def decoded(groups: list[Group], data: bytes, silent: Iterable[int]) -> tuple[np.ndarray, Coder]:
    coder, model = Coder(data), ToySink(groups)
    protocol.decode(coder, model, set(silent))
    assert model.seen == list(range(len(groups)))
    return model.known, coder


@schedules
@pytest.mark.parametrize("seed", range(3))
def test_decoding_restores_data_and_stack(groups: list[Group], seed: int) -> None:
    x = draw(groups, seed)
    coder = random_coder(4000, seed)
    before = coder.data()
    assert protocol.encode(coder, ToySource(groups, x)) == set()
    got, left = decoded(groups, coder.data(), ())
    assert np.array_equal(got, x)
    assert left.data() == before


@schedules
@pytest.mark.parametrize("seed", range(3))
def test_coded_bits_are_the_path_loss(groups: list[Group], seed: int) -> None:
    coder = random_coder(4000, seed)
    before = coder.bits
    ledger = Ledger()
    model = ToySource(groups, draw(groups, seed))
    protocol.encode(coder, model, ledger)
    assert coder.bits - before == pytest.approx(ledger.path_loss, abs=64)
    spans = list(model.spans())
    assert [len(entry.path) for entry in ledger.groups] == [len(groups[span[0]].steps) for span in spans]


@schedules
def test_path_loss_is_the_price_of_the_data(groups: list[Group]) -> None:
    """With the exact posterior as network, p_R(y) p_O(x | y) / p_S(y | x) is p(x), whatever the noise."""
    for seed in range(3):
        ledger = Ledger()
        model = ToySource(groups, draw(groups, 5))
        protocol.encode(random_coder(4000, seed), model, ledger)
        assert ledger.path_loss == pytest.approx(model.prior_bits(), rel=1e-3)


@schedules
def test_n_step_loss_is_the_mean_of_the_path_loss(groups: list[Group]) -> None:
    """L^n + L^r is what a transmission costs on average over the noise."""
    x = draw(groups, 6)
    differences, path = [], []
    for seed in range(12):
        ledger = Ledger()
        protocol.encode(random_coder(4000, seed), ToySource(groups, x), ledger)
        differences.append(ledger.n_step_loss - ledger.path_loss)
        path.append(ledger.path_loss)
    error = np.std(differences, ddof=1) / math.sqrt(len(differences))
    assert abs(np.mean(differences)) < 4 * error
    assert error < 0.02 * np.mean(path)


def test_theta_sharpens_the_output() -> None:
    """Every step takes bits off the reconstruction and pays for them."""
    x = draw([Group(500)], 7)
    reconstruction = []
    for count in range(5):
        ledger = Ledger()
        groups = [Group(500, geometric([64, 32, 16, 8][:count]))]
        protocol.encode(random_coder(4000), ToySource(groups, x), ledger)
        assert all(cost > 0 for cost in ledger.groups[0].divergence)
        reconstruction.append(ledger.groups[0].reconstruction)
    assert (np.diff(reconstruction) < 0).all()


def test_groups_are_silent_where_the_stack_is_empty() -> None:
    x = draw(MIXED, 8)
    coder, ledger = Coder(), Ledger()
    silent = protocol.encode(coder, ToySource(MIXED, x), ledger)
    assert 7 in silent  # coded first, on nothing
    assert 0 not in silent  # coded last, on all the rest
    assert all(MIXED[group].steps for group in silent)
    assert coder.bits == pytest.approx(ledger.path_loss, abs=64)
    got, left = decoded(MIXED, coder.data(), silent)
    assert np.array_equal(got, x)
    assert left.empty


def test_single_group_on_an_empty_stack_is_sent_without_noise() -> None:
    x = draw(SINGLE, 9)
    coder = Coder()
    assert protocol.encode(coder, ToySource(SINGLE, x)) == {0}
    assert coder.bits == pytest.approx(ToySource(SINGLE, x).prior_bits(), abs=64)
    got, left = decoded(SINGLE, coder.data(), {0})
    assert np.array_equal(got, x)
    assert left.empty


def test_noise_is_drawn_only_where_the_stack_can_feed_it() -> None:
    """Whatever lies on the stack, the noise is random: the stack never runs out of bits on the way."""
    x = draw(SINGLE, 10)
    for size in (1, 1500, 1700, 1800, 1900, 2500):
        coder, ledger = random_coder(size), Ledger()
        before, bits = coder.data(), coder.bits
        silent = protocol.encode(coder, ToySource(SINGLE, x), ledger)
        assert coder.bits - bits == pytest.approx(ledger.path_loss, abs=64)
        got, left = decoded(SINGLE, coder.data(), silent)
        assert np.array_equal(got, x)
        assert left.data() == before


def test_archives_chain_items_on_one_stack() -> None:
    """Later items find their noise in what earlier ones left; they come back in reverse order."""
    items = [draw(MIXED, seed) for seed in range(3)]
    coder = Coder()
    silent = [protocol.encode(coder, ToySource(MIXED, x)) for x in items]
    assert silent[0] and not silent[1] and not silent[2]
    for x, quiet in zip(reversed(items), reversed(silent), strict=True):
        model = ToySink(MIXED)
        protocol.decode(coder, model, quiet)
        assert np.array_equal(model.known, x)
    assert coder.empty


def test_first_groups_alone() -> None:
    x = draw(MIXED, 11)
    coder = random_coder(4000)
    protocol.encode(coder, ToySource(MIXED, x))
    model = ToySink(MIXED)
    protocol.decode(coder, model, last=3)
    assert model.seen == [0, 1, 2]
    assert np.array_equal(model.known[:48], x[:48])


class _Liar(ToySink):
    """Sure of one value before the noisy step, and of one far away after it."""

    def pmfs(self, span: range, theta: AnyTheta | None) -> np.ndarray:
        logarithms = np.zeros((self.groups[0].size, K))
        logarithms[:, 0 if theta is None or not theta.steps else K - 1] = 1000
        return pmf(logarithms)


def test_impossible_views_are_refused() -> None:
    with pytest.raises(CorruptFile):
        protocol.decode(random_coder(4000), _Liar([Group(20, geometric([4]))]))


def test_the_ledger_knows_what_the_stack_grows_by() -> None:
    """Group by group and step by step, to the bit in all."""
    coder, ledger = random_coder(4000), Ledger()
    bits = coder.bits
    protocol.encode(coder, ToySource(MIXED, draw(MIXED, 12)), ledger)
    spent = [(sum(group.spent), group.reconstruction_spent) for group in ledger.groups]
    assert sum(map(sum, spent)) == coder.bits - bits
    for group in ledger.groups:
        assert group.reconstruction_spent == pytest.approx(group.reconstruction, abs=64)
        assert group.spent == pytest.approx(group.path, abs=128)


@pytest.mark.parametrize("dithered", [False, True])
def test_further_paths_have_noise_of_their_own(dithered: bool) -> None:
    """As many as the ledger asks for, none of them like another, and none in groups without noise."""
    steps = geometric([32, 8])
    groups = [Group(5), Group(40, tuple(map(Dither, steps)) if dithered else steps), Group(30, steps[1:]), Group(2)]
    ledger = Ledger(others=[[], []])
    assert not protocol.encode(random_coder(4000), ToySource(groups, draw(groups, 13)), ledger)
    noisy = [group for group in ledger.groups if group.path]
    for number, group in enumerate(noisy):
        paths = [group, *(path[number] for path in ledger.others)]
        assert len({(one.first, one.variables, len(one.path)) for one in paths}) == 1
        for step in range(len(group.path)):
            assert len({one.path[step] for one in paths}) == 3
        assert len({one.reconstruction for one in paths}) == 3
    assert [len(path) for path in ledger.others] == [len(noisy)] * 2 == [2, 2]


def test_further_paths_of_little_noise_are_random_too() -> None:
    """A single variable, whose noise takes about a word."""
    groups = [Group(1, geometric([32]))]
    ledger = Ledger(others=[[], [], []])
    protocol.encode(random_coder(40), ToySource(groups, draw(groups, 14)), ledger)
    assert len({path[0].path[0] for path in ledger.others}) > 1


@pytest.mark.parametrize("size", [1, 2, 5, 30])
def test_as_many_bits_as_the_noise_may_need_are_enough(size: int) -> None:
    """To the bit: noise is drawn from a stack that has them, and from none that has one less."""
    groups = [Group(size, geometric([32, 8]))]
    need, random = noise_bits(groups[0].steps, size), np.random.default_rng(size)
    for bits, tail in ((need, b"\1"), (need - 1, b"\x80")):
        coder = Coder(random.bytes(bits // 8) + tail)
        assert coder.bits == bits
        assert protocol.encode(coder, ToySource(groups, draw(groups, size))) == (set() if bits == need else {0})


def test_weights_that_are_computed_again_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups too large for keeping their weights push what others do."""
    coders = [random_coder(4000) for _ in range(2)]
    ledgers = [Ledger() for _ in coders]
    for coder, ledger, kept in zip(coders, ledgers, (protocol.KEPT, 0), strict=True):
        monkeypatch.setattr(protocol, "KEPT", kept)
        protocol.encode(coder, ToySource(MIXED, draw(MIXED, 15)), ledger)
    assert coders[0].data() == coders[1].data()
    assert ledgers[0] == ledgers[1]


class _Short(ToySource):
    """Never has whole pmfs to show."""

    def output(self, span: range, theta: AnyTheta | None) -> Sent:
        return Sent(self.pmfs(span, theta))


def test_only_noisy_steps_need_whole_pmfs() -> None:
    groups = [Group(9), Group(20, geometric([4]))]
    x = draw(groups, 17)
    assert protocol.encode(Coder(), _Short(groups, x)) == {1}, "nothing to draw noise from"
    with pytest.raises(AssertionError, match="whole pmfs"):
        protocol.encode(random_coder(4000), _Short(groups, x))


class _Counting(ToySource):
    """Counts how often it is asked for a prediction."""

    calls = 0

    def output(self, span: range, theta: AnyTheta | None) -> Sent:
        self.calls += 1
        return super().output(span, theta)


def test_weights_are_kept_as_long_as_they_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = [Group(20, geometric([32, 8]))]
    limit = 20 * K * 2
    for kept, calls in ((protocol.KEPT, 3), (limit, 3), (limit - 1, 5)):
        monkeypatch.setattr(protocol, "KEPT", kept)
        model = _Counting(groups, draw(groups, 16))
        assert not protocol.encode(random_coder(4000), model)
        assert model.calls == calls
