"""Samples: random bits decoded, and the solvers on sources whose answers are known."""

import io
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tools.command import call, good

from bfncodec.errors import LimitExceeded
from bfncodec.exact import kernels
from bfncodec.exact.pmf import TOTAL
from bfncodec.flow.theta import prior
from bfncodec.models import sample, zoo
from bfncodec.models.paper import single, solvers
from bfncodec.models.paper.spec import UNIT, Spec

SPECS = {
    "binary": Spec("binary", (4, 4, 1), b"\0\1", "3", (8, 12), (1, 1), (1, 1), (3, 3), (2, 2), 8),
    "values": Spec("values", (4, 4, 3), bytes(range(4)), "0.05", (8, 12), (1, 1), (1, 1), (3, 3), (2, 2), 8, 2),
    "classes": Spec("classes", (1, 8, 1), b" ab", "2", (8, 12), (1, 1), (1, 1), (1, 3), (1, 2), 8),
}
SOURCES = {"binary": (0.8, 0.2), "values": (0.1, 0.5, 0.1, 0.3), "classes": (0.2, 0.7, 0.1)}
KINDS = tuple(SPECS)


class Exact:
    """The posterior of a source whose variables are independent, from the sums that a network would see."""

    def __init__(self, kind: str, source: tuple[float, ...] | None = None) -> None:
        self.spec = SPECS[kind]
        self.logs = np.log(source or SOURCES[kind])

    def weights(self, theta: object, items: int, step: int, steps: int) -> np.ndarray:
        levels = np.arange(self.spec.levels)
        if self.spec.kind == "classes":
            seen = theta.sums / 2.0**theta.bits if theta.bits else 0 * theta.sums
        else:
            views, accuracy = theta.sums / (UNIT * 2.0**32), theta.accuracy / 2.0**32
            seen = views[:, None] * levels - accuracy * levels**2 / 2
        logs = self.logs + seen
        shares = np.exp(logs - logs.max(axis=1, keepdims=True))
        weights = np.floor(shares / shares.sum(axis=1, keepdims=True) * (TOTAL - 4 * self.spec.levels)).astype(int) + 1
        weights[np.arange(len(weights)), weights.argmax(axis=1)] += TOTAL - weights.sum(axis=1)
        return weights


def check_shares(made: np.ndarray, wanted: tuple[float, ...], slack: float = 0.0) -> None:
    found = np.bincount(made.reshape(-1), minlength=len(wanted)) / made.size
    error = np.sqrt(np.array(wanted) * (1 - np.array(wanted)) / made.size)
    assert (abs(found - wanted) < 4.5 * error + slack).all(), found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 7])
def test_decoding_random_bits_gives_the_source(kind: str, steps: int) -> None:
    made = sample.paper(Exact(kind), 300, steps)
    assert made.shape == (300, SPECS[kind].size) and made.dtype == np.uint8
    check_shares(made, SOURCES[kind])
    # No stack runs empty before its last item: an empty one gives symbol 0 for ever.
    check_shares(made[sample.BATCH - 1 :: sample.BATCH], SOURCES[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_even_a_source_of_whole_bits_leaves_the_stack_some(kind: str) -> None:
    levels = SPECS[kind].levels
    made = sample.paper(Exact(kind, (1 / levels,) * levels), 160, 3)
    check_shares(made[sample.BATCH - 1 :: sample.BATCH], (1 / levels,) * levels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", solvers.SOLVERS)
def test_solvers_give_the_source(kind: str, solver: str) -> None:
    check_shares(sample.paper(Exact(kind), 400, 60, solver), SOURCES[kind], slack=0.004)


def ended(kind: str, order: int, steps: int) -> np.ndarray:
    predictor = Exact(kind)
    if kind == "values":  # with less accuracy, which leaves the few values uncertain: y varies smoothly
        predictor.spec = replace(predictor.spec, final="0.2")
    return solvers.integrate(predictor, 20, steps, steps, False, order, np.random.default_rng(0))


@pytest.mark.parametrize("kind", KINDS)
def test_the_second_order_of_the_ode_is_more_accurate(kind: str) -> None:
    fine = ended(kind, 2, 2000)
    one, half_one, two, half_two = (
        np.sqrt(np.square(ended(kind, order, steps) - fine).mean()) for order in (1, 2) for steps in (32, 64)
    )
    assert 1.6 < one / half_one < 2.6
    if kind == "values":  # the first steps, from no accuracy at all, are not smooth in time
        assert two < 0.6 * one and half_two < 0.6 * half_one
        return
    assert two < one / 3 and half_two < half_one / 3
    assert two / half_two > 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("noisy", [True, False])
def test_a_line_is_integrated_exactly(kind: str, noisy: bool) -> None:
    """By quadrature: the mean of m over a step, m on a line of slope one a step."""
    spec, steps, step = SPECS[kind], 10, 3
    times = np.linspace(step / steps, (step + 1) / steps, 20001)
    measure = np.array([solvers.accuracy(spec, time) for time in times])
    if kind == "values":
        before, now, then = (math.log(solvers.accuracy(spec, at / steps)) for at in (step - 1, step, step + 1))
        wanted = ((now + then) / 2 - now) / (now - before)
    else:
        pieces = np.diff(measure if noisy else np.sqrt(measure))
        middle = (times[1:] + times[:-1]) / 2 * steps - step
        wanted = (middle * pieces).sum() / pieces.sum()
    assert solvers._lean(spec, step, steps, noisy) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_is_what_views_add_up_to(kind: str) -> None:
    """Views of a schedule of n steps, and the state of their sums and accuracy, are the same to a predictor."""
    spec, steps = SPECS[kind], SPECS[kind].steps(5, "gaussian")
    size = 2 * spec.size
    theta = prior(steps, size)
    rng = np.random.default_rng(0)
    x = rng.integers(0, spec.levels, size)
    for step in steps:
        one = getattr(step, "step", step)
        clean = (x[:, None] == np.arange(spec.levels)).astype(int) if kind == "classes" else x
        theta.update(step, clean * UNIT + np.rint(rng.normal(0, one.deviation, clean.shape)).astype(int))
    accuracy = solvers.accuracy(spec, 1.0)
    if kind == "classes":
        state = theta.sums / 2.0**theta.bits
    else:
        width = 1 if kind == "binary" else 2 / spec.levels
        centred = theta.sums / UNIT - theta.accuracy * (spec.levels - 1) / 2
        state = centred / 2.0**32 / width
        found = theta.accuracy / 2.0**32 / width**2
        assert found == pytest.approx(accuracy, rel=0.2)  # deviations are whole 1/64 levels
        accuracy = found
    again = solvers.knowledge(spec, state, accuracy)
    if kind == "classes":
        assert abs(again.logs - theta.logs).max() <= 1
        return
    assert abs(again.accuracy - theta.accuracy) <= 1
    assert abs(again.sums - theta.sums).max() <= 1 + abs(theta.sums).max() * 1e-12


def test_steps_have_a_limit() -> None:
    with pytest.raises(LimitExceeded):
        sample.paper(Exact("binary"), 1, 5000, "ode1")
    with pytest.raises(LimitExceeded):
        sample.paper(Exact("binary"), 1, 5000)


def test_a_guess_leaves_the_last_step_out() -> None:
    calls = []
    predictor = Exact("binary")
    inner = predictor.weights

    def counted(theta: object, items: int, step: int, steps: int) -> np.ndarray:
        calls.append(step / steps)
        return inner(theta, items, step, steps)

    predictor.weights = counted
    sample.paper(predictor, 1, 4, "sde2", end="guess")
    assert calls == [0, 0.25, 0.5, 0.75]
    calls.clear()
    made = sample.paper(predictor, 1, 4, "sde2")
    assert calls == [0, 0.25, 0.5, 0.75, 1] and made.max() <= 1
    assert (sample.paper(Exact("values"), 2, 50, "ode2", end="guess") < 4).all()


def test_a_grid_holds_its_images() -> None:
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 1), np.uint8)
    made = sample.grid(images, 1)
    assert made.shape == (2 * 3 + 1, 3 * 4 + 1, 1)
    assert made[1, 1, 0] == 0 and made[4, 5, 0] == 4 and made[0, 0, 0] == made[4, 9, 0] == 128


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of each kind, of random weights."""
    import torch

    from bfncodec.train import checkpoint
    from bfncodec.train.paper.loss import Flow, time_inputs
    from bfncodec.train.paper.network import GridTrainingNetwork

    folder = tmp_path_factory.mktemp("paper")
    for kind, spec in SPECS.items():
        torch.manual_seed(0)
        network = GridTrainingNetwork(spec)
        for parameter in network.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, 0, 0.05)
        at = torch.rand(32)
        items = torch.randint(spec.levels, (32, *spec.shape))
        tensors = network.tensors([(Flow(spec).seen(items, at).inputs, time_inputs(at))])
        card = {"spec": asdict(spec) | {"alphabet": list(spec.alphabet)}}
        checkpoint.write_model(folder / f"{kind}.safetensors", tensors, card)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_the_integer_network_is_sampled(kind: str, networks: Path) -> None:
    spec = SPECS[kind]
    tensors = zoo.tensors(networks / f"{kind}.safetensors")
    predictor = single.Predictor(kernels.kernel("bytes"), tensors, spec)
    for sampler in ("bfn", *solvers.SOLVERS):
        made = sample.paper(predictor, 10, 3, sampler)
        assert made.shape == (10, spec.size) and made.max() < spec.levels and len(np.unique(made)) > 1
        assert np.array_equal(made, sample.paper(predictor, 10, 3, sampler))
        assert not np.array_equal(made, sample.paper(predictor, 10, 3, sampler, seed=1))


@pytest.mark.parametrize("sampler", ["bfn", "ode2"])
def test_images_become_one_png(sampler: str, networks: Path, tmp_path: Path) -> None:
    model = networks / "values.safetensors"
    asked = ["sample", model, "-n", 3, "--items", 5, "--sampler", sampler]
    target = tmp_path / "grid.png"
    good(*asked, "-o", target)
    with Image.open(target) as image:
        assert image.size == (3 * 5 + 1, 2 * 5 + 1) and image.mode == "RGB"
    assert good(*asked).out == target.read_bytes()
    assert good(*asked, "--seed", 1).out != target.read_bytes()
    again = call(*asked, "-o", target)
    assert again.code == 1 and "use -f" in again.err
    good(*asked, "-f", "-o", target)
    binary = good("sample", networks / "binary.safetensors", "-n", 2, "--sampler", sampler).out
    with Image.open(io.BytesIO(binary)) as image:
        assert image.size == (8 * 5 + 1, 8 * 5 + 1) and image.mode == "L"
        assert set(image.tobytes()) == {0, 128, 255}


@pytest.mark.parametrize("sampler", ["bfn", "sde2"])
def test_texts_become_lines(sampler: str, networks: Path, tmp_path: Path) -> None:
    asked = ["sample", networks / "classes.safetensors", "-n", 3, "--items", 4, "--sampler", sampler]
    lines = good(*asked).out.splitlines()
    assert [len(line) for line in lines] == [8] * 4 and set(b"".join(lines)) <= set(b" ab")
    good(*asked, "-o", tmp_path / "lines.txt")
    assert (tmp_path / "lines.txt").read_bytes().splitlines() == lines


def test_the_codecs_own_models_are_sampled(tiny: Path, tiny_text: Path) -> None:
    with Image.open(io.BytesIO(good("sample", tiny, "--items", 2).out)) as image:
        assert image.size == (2 * 33 + 1, 33 + 1) and image.mode == "RGB"
        assert len(set(image.tobytes())) > 20
    assert good("sample", tiny, "--items", 2).out == good("sample", tiny, "--items", 2).out
    text = good("sample", tiny_text, "--length", 200).out
    others = [good("sample", tiny_text, "--length", 200, "--seed", seed).out for seed in range(1, 5)]
    assert len(text) == 200 and len({text, *others}) == 5 and len(set(b"".join(others))) > 5
    assert text == good("sample", "text", "--length", 200).out != good("sample", "text", "--seed", 1).out[:200]


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("binary", ["--end", "draw"]),
        ("binary", ["-n", "0"]),
        ("binary", ["--sampler", "euler"]),
        ("binary", ["--length", "9"]),
        ("binary", ["-o", ""]),
        ("text", ["--items", "3"]),
        ("text", ["-n", "3"]),
        ("tiny", ["--sampler", "ode1"]),
    ],
)
def test_wrong_usage(model: str, options: list[str], networks: Path) -> None:
    name = networks / f"{model}.safetensors" if model in SPECS else model
    result = call("sample", name, *options)
    assert result.code == 2 and result.out == b""


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    assert call("sample", "nobody").code == 1
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no model")
    result = call("sample", broken, "-o", tmp_path / "out.png")
    assert result.code == 1 and "cannot be read as a model" in result.err
    assert not (tmp_path / "out.png").exists()
