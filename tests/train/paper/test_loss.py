"""The paper's schedules, senders and input distributions in integers, against arXiv:2308.07037 in float64."""

import math
from decimal import ROUND_UP, Inexact, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bfncodec.errors import CorruptFile, LimitExceeded
from bfncodec.exact.pmf import TOTAL
from bfncodec.exact.splitmix import stream
from bfncodec.flow.schedule import Dither, Draw, Step, Vector
from bfncodec.flow.sender import SHARES, DitherSender, GaussianSender, VectorSender, sender
from bfncodec.flow.theta import LOG_STEPS, ClassTheta, Theta, VectorTheta, prior
from bfncodec.models.paper.spec import PRECISION, STEP_LIMIT, UNIT, Spec, class_variances, values_variances


def spec(kind: str, levels: int, final: str) -> Spec:
    """Eight variables; the network's shape plays no part here."""
    return Spec(kind, (1, 8, 1), bytes(range(levels)), final, (8,), (1,), (1, 1), (1, 3), (1, 1), 8)


BINARY = spec("binary", 2, "3")
COARSE = spec("values", 16, "0.0316227766")
FINE = spec("values", 256, "0.001")
TEXT = spec("classes", 27, "0.75")
SPECS = [BINARY, COARSE, FINE, TEXT]

specs = pytest.mark.parametrize("given_spec", SPECS, ids=lambda s: f"{s.kind}-{s.levels}")
counts = pytest.mark.parametrize("count", [1, 2, 10, 100, 1000])


def accuracies(given_spec: Spec, count: int) -> np.ndarray:
    """alpha_i, i = 1 .. n, of the paper's schedules, float64."""
    i = np.arange(1, count + 1)
    if given_spec.kind == "values":
        sigma = float(given_spec.final)
        return sigma ** (-2 * i / count) * (1 - sigma ** (2 / count))
    return float(given_spec.final) * (2 * i - 1) / count**2


def variances(given_spec: Spec, count: int) -> np.ndarray:
    """Of the noise of one view, in levels or one-hot coordinates, float64."""
    alpha = accuracies(given_spec, count)
    if given_spec.kind == "values":
        return (given_spec.levels / 2) ** 2 / alpha  # [-1, 1] holds K levels
    # y ~ N(alpha (K e_x - 1), alpha K I): a coordinate over alpha K has variance 1 / (alpha K);
    # of two coordinates the difference alone matters, (y_1 - y_0) / (4 alpha) + 1/2 = x + noise.
    return 1 / ((4 if given_spec.kind == "binary" else given_spec.levels) * alpha)


# Schedules


@specs
@counts
def test_steps_are_the_papers_accuracies(given_spec: Spec, count: int) -> None:
    steps = given_spec.steps(count, "gaussian")
    wanted = np.sqrt(variances(given_spec, count)) * UNIT
    assert len(steps) == count
    for step, exact in zip(steps, wanted, strict=True):
        if isinstance(step, Vector):
            assert given_spec.kind == "classes" and step.classes == given_spec.levels
            step = step.step
        assert isinstance(step, Step)
        assert (step.unit, step.precision) == (UNIT, PRECISION)
        assert step.levels == (given_spec.levels if given_spec.kind == "values" else 2)
        # Deviations are cut to whole units of 1/64 level, grids to the power of two below.
        assert step.deviation == math.floor(exact) or abs(exact - round(exact)) < 1e-9 * exact
        assert step.spacing & (step.spacing - 1) == 0 and step.deviation / 2 < step.spacing <= step.deviation
        assert 0 <= 2**PRECISION * UNIT**2 / step.deviation**2 - step.accuracy < 1


@specs
@counts
def test_accuracies_telescope(given_spec: Spec, count: int) -> None:
    """To beta(1) of classes, and to sigma_1**-2 - 1 of values."""
    if given_spec.kind == "values":
        made = values_variances(given_spec.final, given_spec.levels, count)
        total = sum((Fraction(given_spec.levels**2, 4) / variance for variance in made), Fraction(0))
        assert abs(total / (1 / Fraction(given_spec.final) ** 2 - 1) - 1) < Fraction(1, 10**30)
    else:
        share = 4 if given_spec.kind == "binary" else given_spec.levels
        made = class_variances(given_spec.final, share, count)
        assert sum(1 / (share * variance) for variance in made) == Fraction(given_spec.final), "exactly"
    assert np.array([float(variance) for variance in made]) == pytest.approx(variances(given_spec, count), rel=1e-12)
    assert accuracies(given_spec, count).sum() == pytest.approx(
        float(given_spec.final) ** -2 - 1 if given_spec.kind == "values" else float(given_spec.final), rel=1e-9
    )


@counts
def test_draws_have_the_papers_accuracy(count: int) -> None:
    """m = 1: alpha = w**2 with w = share / 2**16."""
    steps = TEXT.steps(count, "categorical")
    wanted = np.sqrt(accuracies(TEXT, count)) * SHARES
    for step, exact in zip(steps, wanted, strict=True):
        assert isinstance(step, Draw) and step.classes == 27
        assert 0 <= exact - step.share < 1 + 1e-6


@pytest.mark.parametrize("given_spec", [BINARY, COARSE, FINE], ids=lambda s: f"{s.kind}-{s.levels}")
def test_dither_has_the_variance_of_its_step(given_spec: Spec) -> None:
    for step, other in zip(given_spec.steps(10, "dither"), given_spec.steps(10, "gaussian"), strict=True):
        assert isinstance(step, Dither) and step.step == other
        assert 0 <= math.sqrt(12) * step.step.deviation - step.width < 1


def test_steps_do_not_read_the_callers_decimals() -> None:
    wanted = FINE.steps(100, "gaussian")
    with localcontext() as context:
        context.prec, context.rounding, context.traps[Inexact] = 3, ROUND_UP, True
        assert FINE.steps(100, "gaussian") == wanted
        assert values_variances("0.001", 256, 7) == values_variances("0.001", 256, 7)
        narrow = values_variances("0.001", 256, 100)
    assert narrow == values_variances("0.001", 256, 100)


@specs
@pytest.mark.parametrize("count", [-1, 0, STEP_LIMIT + 1, 10**9])
def test_numbers_of_steps_are_limited(given_spec: Spec, count: int) -> None:
    with pytest.raises(LimitExceeded):
        given_spec.steps(count, "gaussian")


@specs
def test_senders_are_those_of_the_kind(given_spec: Spec) -> None:
    assert len(given_spec.steps(STEP_LIMIT, "gaussian")) == STEP_LIMIT
    other = "dither" if given_spec.kind == "classes" else "categorical"
    for name in (other, "uniform", ""):
        with pytest.raises(CorruptFile):
            given_spec.steps(3, name)


def test_two_classes_are_classes_all_the_same() -> None:
    """Two one-hot coordinates of variance 1 / (2 alpha) each say what their difference of 1 / (4 alpha) says."""
    two = spec("classes", 2, "0.75")
    for step, draw, alpha in zip(
        two.steps(5, "gaussian"), two.steps(5, "categorical"), accuracies(two, 5), strict=True
    ):
        assert isinstance(step, Vector) and isinstance(draw, Draw)
        assert step.step.deviation == math.floor(UNIT / math.sqrt(2 * alpha))
        assert draw.share == math.floor(SHARES * math.sqrt(alpha))


@pytest.mark.parametrize(
    "wrong",
    [
        spec("classes", 27, "3"),  # a draw of an accuracy above one
        spec("values", 16, "0.000001"),  # noise below a unit
        spec("values", 16, "1"),
        spec("values", 16, "0"),
        spec("values", 16, "x"),
        spec("binary", 2, "0"),
        spec("binary", 2, "-3"),
        spec("binary", 2, "1e9"),
        spec("binary", 2, "x"),
        spec("binary", 2, "0.000000000001"),  # noise so wide that its accuracy is none
    ],
    ids=lambda s: f"{s.kind} {s.final}",
)
def test_schedules_that_no_step_can_have_are_refused(wrong: Spec) -> None:
    with pytest.raises(CorruptFile):
        wrong.steps(1, wrong.senders[1])


# The Gaussian sender on the fine grid


STEPS = [
    Step(deviation, spacing, levels, UNIT, PRECISION)
    for deviation, spacing in [(9, 8), (40, 32), (64, 64), (100, 64), (150, 128), (1000, 512), (69600, 65536)]
    for levels in (2, 16, 256)
    if levels > 2 or deviation < 20_000
]
fine = pytest.mark.parametrize("step", STEPS, ids=lambda s: f"{s.deviation}-{s.spacing}-{s.levels}")


def every_view(channel: GaussianSender) -> np.ndarray:
    """Every view that the sender may draw of every value, [levels, symbols]."""
    values = np.arange(channel.step.levels)
    symbols = np.arange(channel.table.shape[1])
    return np.stack([channel.noisy(values, np.full(len(values), symbol)) for symbol in symbols], axis=1)


def densities(step: Step, seen: np.ndarray) -> np.ndarray:
    """p_S(y | x) = N(y | x, 1 / alpha) on the grid, float64 [levels, symbols]."""
    made = np.exp(-((seen - UNIT * np.arange(step.levels)[:, None]) ** 2) / (2 * step.deviation**2))
    return made / made.sum(axis=1, keepdims=True)


def random_output(count: int, levels: int, seed: int = 0) -> np.ndarray:
    """Output weights int64 [count, levels], from nearly uniform to nearly sure."""
    random = np.random.default_rng(seed)
    raw = random.random((count, levels)) ** random.uniform(0, 30, (count, 1)) + 1e-7
    weights = np.floor(raw / raw.sum(axis=1, keepdims=True) * (TOTAL - levels)).astype(np.int64) + 1
    weights[np.arange(count), weights.argmax(axis=1)] += TOTAL - weights.sum(axis=1)
    return weights


@fine
def test_sender_is_the_gaussian_on_its_grid(step: Step) -> None:
    channel = GaussianSender(step)
    weights, seen = channel.weights(np.arange(step.levels)), every_view(channel)
    assert weights.min() >= 1 and (weights.sum(axis=1) == TOTAL).all()
    assert (seen % step.spacing == 0).all() and (np.diff(seen, axis=1) == step.spacing).all()
    wanted = densities(step, seen)
    assert (abs(weights - TOTAL * wanted) <= 4 + weights.shape[1] * wanted).all()
    # Six deviations either way: all but 2**-28 of the noise.
    assert seen[0, 0] <= -6 * step.deviation and seen[-1, -1] >= UNIT * (step.levels - 1) + 6 * step.deviation
    # The mass of a cell of the grid is the normal distribution's over it, but for what the density bends in it.
    low = (seen - step.spacing / 2 - UNIT * np.arange(step.levels)[:, None]) / step.deviation / math.sqrt(2)
    high = low + step.spacing / step.deviation / math.sqrt(2)
    cells = (np.vectorize(math.erf)(high) - np.vectorize(math.erf)(low)) / 2
    assert abs(cells - weights / TOTAL).max() < (step.spacing / step.deviation) ** 3 / 50


@fine
def test_views_and_symbols_are_inverse(step: Step) -> None:
    channel = sender(step)
    random = np.random.default_rng(0)
    values, symbols = random.integers(0, step.levels, 500), random.integers(0, channel.table.shape[1], 500)
    seen = channel.noisy(values, symbols)
    assert np.array_equal(channel.symbols(values, seen), symbols)
    received = channel.receiver_symbols(seen)
    assert np.array_equal(channel.receiver_views(received), seen)
    assert received.min() >= 0 and received.max() < channel.matrix().shape[1]
    grid = np.arange(channel.matrix().shape[1])
    assert np.array_equal(channel.receiver_symbols(channel.receiver_views(grid)), grid)


@fine
def test_receiver_is_the_mixture_of_senders(step: Step) -> None:
    """p_R(y) = sum over k of p_O(k) p_S(y | k), view by view."""
    channel, output = sender(step), random_output(7, step.levels)
    receiver = channel.receiver(output)
    grid = channel.receiver_views(np.arange(receiver.shape[1]))
    seen = every_view(channel)
    exact, density = np.zeros(receiver.shape), densities(step, seen)
    for value in range(step.levels):
        where = np.searchsorted(grid, seen[value])
        assert np.array_equal(grid[where], seen[value])
        exact[:, where] += output[:, value, None] / TOTAL * density[value]
    assert receiver.min() >= 1 and (receiver.sum(axis=1, dtype=np.int64) == TOTAL).all()
    assert (abs(receiver - TOTAL * exact) <= 6 + 2 * receiver.shape[1] * exact).all()


# Classes by vectors


def test_joint_and_posterior_are_bayes_rule() -> None:
    """p(k | y) is proportional to p_O(k) exp((2 y_k - 1) / (2 variance)), y_k the view of coordinate k."""
    random = np.random.default_rng(1)
    for step in TEXT.steps(10, "gaussian") + spec("classes", 3, "0.75").steps(4, "gaussian"):
        assert isinstance(step, Vector)
        channel = sender(step)
        assert isinstance(channel, VectorSender)
        assert channel.table.min() >= 1 and (channel.table.sum(axis=1) == TOTAL).all()
        classes = step.classes
        output = random_output(400, classes, 2)
        values = random.integers(0, classes, len(output))
        hot = np.eye(classes)[values]
        assert np.array_equal(channel.hot(values), hot.reshape(-1))
        noise = random.normal(0, step.step.deviation / step.step.spacing, hot.shape)
        spacing = step.step.spacing
        views = (np.rint(hot * UNIT / spacing + noise) * spacing).astype(np.int64)
        exact = np.log(output / TOTAL) + (2 * views / UNIT - 1) * UNIT**2 / (2 * step.step.deviation**2)
        exact = np.exp(exact - exact.max(axis=1, keepdims=True))
        exact /= exact.sum(axis=1, keepdims=True)
        joint = channel.joint(views, output)
        assert joint.min() >= 0 and joint.max() < 1 << 57
        # The tables' weights are whole: far out in their tails they are a few units off.
        assert abs(joint / joint.sum(axis=1, keepdims=True) - exact).sum(axis=1).mean() < 2e-4
        posterior = channel.posterior(views, output)
        assert posterior.min() >= 1 and (posterior.sum(axis=1) == TOTAL).all()
        # However surprising the view.
        assert abs(posterior / TOTAL - joint / joint.sum(axis=1, keepdims=True)).max() < 6e-5


@pytest.mark.parametrize("classes", [2, 27, 256])
@pytest.mark.parametrize("deviation", [3, 14, 60, 5000])
def test_posteriors_are_pmfs_whatever_is_seen(classes: int, deviation: int) -> None:
    """Views that no class explains, views that several do, and outputs that are sure of another."""
    step = Vector(Step(deviation, 1 << deviation.bit_length() - 1, 2, UNIT, PRECISION), classes)
    channel = sender(step)
    grid = channel.coordinate.receiver_views(np.arange(channel.table.shape[1]))
    random = np.random.default_rng(3)
    ends = np.full((2, classes), grid[[0, -1]][:, None])
    views = np.concatenate([ends, random.choice(grid, (40, classes)), random.choice(grid[[0, -1]], (40, classes))])
    sure = np.ones((len(views), classes), np.int64)
    sure[np.arange(len(views)), random.integers(0, classes, len(views))] += TOTAL - classes
    for output in (sure, random_output(len(views), classes)):
        posterior = channel.posterior(views, output)
        assert posterior.min() >= 1 and (posterior.sum(axis=1) == TOTAL).all()


# Dither


def dithers() -> list[Dither]:
    made = [*BINARY.steps(3, "dither"), *COARSE.steps(4, "dither"), *FINE.steps(5, "dither")]
    return [step for step in made if isinstance(step, Dither)]


dithered = pytest.mark.parametrize("step", dithers(), ids=lambda s: f"{s.width}-{s.step.levels}")


@dithered
def test_dither_is_uniform_noise_within_half_a_cell(step: Dither) -> None:
    channel = sender(step)
    assert isinstance(channel, DitherSender)
    random = np.random.default_rng(4)
    values = random.integers(0, step.step.levels, 40_000)
    noise = channel.noise((3, 5), len(values))
    assert noise.min() >= 0 and noise.max() < step.width
    cells = channel.cell(values, noise)
    assert cells.min() >= 0 and cells.max() < channel.cells
    error = channel.views(cells, noise) - UNIT * values
    assert error.min() >= -(step.width // 2) and error.max() <= step.width // 2
    # Uniform, of the step's variance, and not to be told from the value.
    assert abs(error.mean()) < 5 * step.width / math.sqrt(12 * len(values)) + 0.5
    assert error.std() == pytest.approx(step.step.deviation, rel=0.02, abs=0.5)
    assert abs(np.corrcoef(error, values)[0, 1]) < 5 / math.sqrt(len(values))


@dithered
def test_receiver_of_cells_is_the_mass_of_their_values(step: Dither) -> None:
    channel, output = sender(step), random_output(50, step.step.levels)
    noise = channel.noise((0, 1), len(output))
    noise[:2] = 0, step.width - 1
    receiver = channel.receiver(output, noise)
    assert receiver.min() >= 1 and (receiver.sum(axis=1) == TOTAL).all()
    exact = np.zeros(receiver.shape)
    for value in range(step.step.levels):
        cells = (UNIT * value + noise) // step.width
        exact[np.arange(len(output)), cells] += output[:, value]
    assert (abs(receiver - exact - 1) <= 1 + channel.cells * exact / TOTAL).all()


# The stream of known noise


def split_mix(key: tuple[int, int], count: int) -> list[int]:
    """SplitMix64 (Steele, Lea, Flood 2014) seeded with its own finaliser of the key, in Python's integers."""
    mask = (1 << 64) - 1

    def finalise(z: int) -> int:
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        return z ^ (z >> 31)

    state, made = finalise((key[0] << 32) | key[1]), []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & mask
        made.append(finalise(state))
    return made


def test_stream_is_split_mix() -> None:
    # The published first outputs of seed 0.
    assert stream((0, 0), 3).tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    for key in [(0, 0), (0, 1), (1, 0), (7, 999), (2**32 - 1, 2**32 - 1)]:
        assert stream(key, 50).tolist() == split_mix(key, 50)
    assert stream((1, 2), 0).shape == (0,) and stream((1, 2), 4).dtype == np.uint64
    assert np.array_equal(stream((1, 2), 4), stream((1, 2), 40)[:4]), "named by position"


def test_streams_of_other_keys_are_others_and_all_are_uniform() -> None:
    keys = [(group, step) for group in range(30) for step in range(30)]
    made = np.stack([stream(key, 64) for key in keys])
    assert len(np.unique(made)) == made.size
    for shift in (0, 8, 40, 56):
        table = np.bincount(((made >> np.uint64(shift)) & np.uint64(255)).astype(np.int64).ravel(), minlength=256)
        expected = made.size / 256
        chi = ((table - expected) ** 2 / expected).sum()
        assert abs(chi - 255) < 5 * math.sqrt(2 * 255)
    bits = np.unpackbits(made.view(np.uint8).reshape(len(keys), -1), axis=1).astype(float)
    assert abs(np.corrcoef(bits[:100]) - np.eye(100)).max() < 6 / math.sqrt(bits.shape[1])


# Updates


def noisy_views(steps: tuple, values: np.ndarray, seed: int) -> list[np.ndarray]:
    """A view of each step, whole numbers of 1 / unit, float noise."""
    random = np.random.default_rng(seed)
    inner = [getattr(step, "step", step) for step in steps]
    return [np.rint(UNIT * values + random.normal(0, step.deviation, values.shape)).astype(np.int64) for step in inner]


@pytest.mark.parametrize("given_spec", [COARSE, FINE], ids=["coarse", "fine"])
@pytest.mark.parametrize("name", ["gaussian", "dither"])
def test_update_of_values_is_the_papers(given_spec: Spec, name: str) -> None:
    """rho_i = rho + alpha, mu_i = (mu rho + y alpha) / rho_i (eqs. 49 and 50), from the prior N(0, 1) on [-1, 1]."""
    values = np.random.default_rng(5).integers(0, given_spec.levels, 200)
    steps = given_spec.steps(20, name)
    theta = prior(steps, len(values))
    assert isinstance(theta, Theta)
    mean, precision, half = np.zeros(len(values)), 1.0, given_spec.levels / 2
    for step, seen in zip(steps, noisy_views(steps, values, 6), strict=True):
        theta.update(step, seen)
        inner = step.step if isinstance(step, Dither) else step
        alpha = half**2 * UNIT**2 / inner.deviation**2
        paper = (seen / UNIT - (given_spec.levels - 1) / 2) / half
        mean = (mean * precision + paper * alpha) / (precision + alpha)
        precision += alpha
    assert theta.accuracy / 2**PRECISION * half**2 + 1 == pytest.approx(precision, rel=1e-6)
    own = 2**PRECISION / half**2
    made = (theta.sums / UNIT - theta.accuracy * (given_spec.levels - 1) / 2) / (theta.accuracy + own) / half
    assert abs(made - mean).max() < 1e-6
    assert abs(theta.means() / 16 / UNIT - theta.sums / theta.accuracy / UNIT).max() <= 0.5 / 16 / UNIT + 1e-9


@given(st.integers(1, 60), st.integers(0, 2**32))
@settings(max_examples=20)
def test_log_odds_of_pixels_are_the_likelihoods(count: int, seed: int) -> None:
    """Sums of accuracy times view hold ln p(x = 1 | y) / p(x = 0 | y), the sum of (2 y - 1) / (2 variance)."""
    steps = BINARY.steps(count, "gaussian")
    values = np.random.default_rng(seed).integers(0, 2, 30)
    theta, odds = Theta(len(values)), np.zeros(len(values))
    for step, seen in zip(steps, noisy_views(steps, values, seed), strict=True):
        assert isinstance(step, Step)
        theta.update(step, seen)
        odds += (2 * seen / UNIT - 1) * UNIT**2 / (2 * step.deviation**2)
    assert (theta.sums / UNIT - theta.accuracy / 2) / 2**PRECISION == pytest.approx(odds, abs=1e-4)


@given(st.integers(1, 60), st.integers(2, 27), st.integers(0, 2**32))
@settings(max_examples=20)
def test_vector_logs_are_the_likelihoods(count: int, classes: int, seed: int) -> None:
    steps = spec("classes", classes, "0.75").steps(count, "gaussian")
    hot = np.eye(classes)[np.random.default_rng(seed).integers(0, classes, 30)]
    theta, logs = prior(steps, 30), np.zeros(hot.shape)
    assert isinstance(theta, VectorTheta) and not theta.logs.any()
    for step, seen in zip(steps, noisy_views(tuple(step.step for step in steps), hot, seed), strict=True):  # type: ignore[union-attr]
        theta.update(step, seen)
        logs += (2 * seen / UNIT - 1) * UNIT**2 / (2 * step.step.deviation**2)  # type: ignore[union-attr]
    made = theta.logs / LOG_STEPS
    difference = (made - made[:, :1]) - (logs - logs[:, :1])
    assert abs(difference).max() < 1 / LOG_STEPS + 1e-4
    assert theta.steps == count


@given(st.permutations(range(6)), st.sampled_from(["values", "dither", "vector", "draw"]))
@settings(max_examples=40)
def test_the_order_of_updates_does_not_matter(order: list[int], kind: str) -> None:
    random = np.random.default_rng(7)
    if kind in ("values", "dither"):
        steps = FINE.steps(6, "gaussian" if kind == "values" else "dither")
        views = noisy_views(steps, random.integers(0, 256, 9), 8)
    elif kind == "vector":
        steps = TEXT.steps(6, "gaussian")
        views = noisy_views(tuple(step.step for step in steps), np.eye(27)[:9], 8)  # type: ignore[union-attr]
    else:
        steps = TEXT.steps(6, "categorical")
        views = list(random.integers(0, 27, (6, 9)))
    thetas = []
    for numbers in (range(6), order):
        thetas.append(prior(steps, 9))
        for number in numbers:
            thetas[-1].update(steps[number], views[number])
    one, other = thetas
    assert one.steps == other.steps == 6
    if isinstance(one, ClassTheta):
        assert one.logs.any() and isinstance(other, ClassTheta) and np.array_equal(one.logs, other.logs)
        return
    assert isinstance(one, Theta | VectorTheta) and isinstance(other, Theta | VectorTheta)
    assert one.sums.any() and np.array_equal(one.sums, other.sums)
    if isinstance(one, Theta) and isinstance(other, Theta):
        assert one.accuracy == other.accuracy > 0
