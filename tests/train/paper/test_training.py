"""Training of the paper's models: its loss against the continuous-time formulas; it learns, resumes and exports."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bfncodec.errors import BfnError
from bfncodec.exact import kernels
from bfncodec.flow.theta import Theta
from bfncodec.models import zoo
from bfncodec.models.paper.network import GridNetwork
from bfncodec.models.paper.single import Predictor
from bfncodec.models.paper.spec import Spec, from_card, time_inputs
from bfncodec.train.paper import loss as loss_paper
from bfncodec.train.paper import train
from bfncodec.train.paper.loss import Flow
from bfncodec.train.paper.network import GridTrainingNetwork
from bfncodec.train.paper.train import Items, PaperPlan, PaperTraining

BINARY = Spec("binary", (8, 8, 1), b"\0\1", "3", (8, 12), (1, 1), (2, 2), (3, 3), (2, 2), 8)
VALUES = Spec("values", (8, 8, 1), bytes(range(16)), "0.0316227766", (8, 12), (1, 1), (2, 2), (3, 3), (2, 2), 8, 2)
CLASSES = Spec("classes", (1, 16, 1), train.LETTERS, "0.75", (8, 12), (1, 1), (1, 1), (1, 5), (1, 4), 8)
SPECS = {"binary": BINARY, "values": VALUES, "classes": CLASSES}
every = pytest.mark.parametrize("name", SPECS)


# The loss


def constant(spec: Spec, raw: float = 0.0) -> Any:
    """A network without weights: theta's own prediction, and `raw` too much of it.

    Of binary data raw times the log-odds; on log-weights of class 0; on means, in deviations.
    """

    def network(inputs: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        if spec.kind == "binary":
            return raw * inputs * 4 / 3.96875
        made = torch.zeros(*inputs.shape[:3], spec.outputs)
        if spec.kind == "values":
            made[..., spec.mixtures : 2 * spec.mixtures] = raw
        else:
            made[..., 0] = raw
        return made

    return network


def some_items(spec: Spec, count: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, spec.levels, (count, *spec.shape)))


def continuous_loss(spec: Spec, items: torch.Tensor, raw: float) -> float:
    """L-infinity in nats an item for `constant`: arXiv:2308.07037, sections 4 to 6, by quadrature."""
    points, weights = np.polynomial.legendre.leggauss(50)
    times, weights = (points + 1) / 2, weights / 2
    if spec.kind == "values":
        # -ln(sigma_1) E sigma_1**(-2t) |x - x^|**2 on [-1, 1], x^ the posterior mean under the prior N(0, 1), and more.
        sigma = float(spec.final)
        x = ((items.numpy() + 0.5) * 2 / spec.levels - 1)[..., None]
        rho = sigma ** (-2 * times)  # of the prior and all views
        error = (x / rho - raw / np.sqrt(rho)) ** 2 + (rho - 1) / rho**2
        return float(-math.log(sigma) * (weights * rho * error).sum() / len(items))
    # K beta(1) E t |e_x - e^|**2, e^ the softmax of theta, and more.
    beta, levels = float(spec.final), spec.levels
    random = np.random.default_rng(1)
    chance = float((items == 0).double().mean())
    total = 0.0
    for x, part in ((0, chance), (1, 1 - chance)):
        for at, weight in zip(times, weights, strict=True):
            precision = beta * at * at * levels
            noise = random.normal(0, 1, (4000, levels))
            noise = np.concatenate([noise, -noise])
            logs = noise * math.sqrt(precision)
            logs[:, x] += precision
            if spec.kind == "binary":
                odds = logs[:, 1] - logs[:, 0]
                logs[:, 1] += raw * odds.clip(-8, 8)
            else:
                logs[:, 0] += raw
            share = np.exp(logs - logs.max(axis=1, keepdims=True))
            share /= share.sum(axis=1, keepdims=True)
            share[:, x] -= 1
            total += part * weight * levels * beta * at * (share**2).sum(axis=1).mean()
    return float(total * spec.size)


def n_step_loss(spec: Spec, items: torch.Tensor, count: int, raw: float) -> float:
    """Nats an item without reconstruction, Monte Carlo with every step equally often."""
    flow, total, rounds = Flow(spec), 0.0, 10
    torch.manual_seed(count)
    for start in range(rounds):
        step = (torch.arange(len(items)) * 7 + 301 * start) % count
        nats = flow.losses(constant(spec, raw), items, step, torch.full((len(items),), count))
        total += float(nats.double().mean()) / rounds * count
    return total


@pytest.mark.parametrize(("name", "raw"), [("binary", 8.0), ("values", 0.7), ("classes", 3.0)])
def test_n_step_loss_becomes_the_continuous_time_loss(name: str, raw: float) -> None:
    spec = SPECS[name]
    items = some_items(spec, 1000)
    limit = continuous_loss(spec, items, raw)
    losses = [n_step_loss(spec, items, count, raw) for count in (10, 100, 1000)]
    above = [loss / limit - 1 for loss in losses]
    assert abs(above[2]) < 0.02
    assert abs(above[0]) > 0.08 and 0.4 * abs(above[0]) > abs(above[1]), "and every step more helps"


def test_steps_do_not_matter_where_the_output_is_bayes_rule() -> None:
    """Pixels that are ones half of the time: theta itself is the best p_O, and every n costs 64 bits an item."""
    items = some_items(BINARY, 1000)
    for count in (1, 2, 10, 100):
        torch.manual_seed(count)
        last = Flow(BINARY).losses(constant(BINARY), items, torch.full((1000,), count), torch.full((1000,), count))
        whole = n_step_loss(BINARY, items, count, 0.0) + float(last.mean())
        assert whole == pytest.approx(64 * math.log(2), rel=0.015)


@pytest.mark.parametrize("kind", ["binary", "values"])
def test_divergence_of_a_view_is_the_kl(kind: str) -> None:
    """Against a fine quadrature in float64."""
    spec, random = SPECS[kind], np.random.default_rng(2)
    items = some_items(spec, 3)
    y = np.linspace(-8, 8, 4001)
    normal = np.exp(-(y**2) / 2)
    for precision in (1e-3, 0.1, 1.0, 4.0):
        x = items.numpy().astype(float).reshape(-1, 1)
        views = x + y / math.sqrt(precision)
        if kind == "binary":
            raw = random.normal(0, 2, items.shape)
            ones = 1 / (1 + np.exp(-raw.reshape(-1, 1)))
            received = ones * np.exp(-((views - 1) ** 2) * precision / 2)
            received += (1 - ones) * np.exp(-(views**2) * precision / 2)
        else:
            raw = np.stack([random.normal(0, 1, (*items.shape, 2)), random.uniform(4, 12, (*items.shape, 2)),
                            random.uniform(1, 1.3, (*items.shape, 2))], -2)  # fmt: skip
            logits, means, scales = raw.reshape(-1, 3, 2).transpose(1, 2, 0)[..., None]
            shares = np.exp(logits) / np.exp(logits).sum(axis=0)
            if precision < 0.4:
                # Noise that hides the bins: a mixture of logistics and noise is nearly one of Gaussians.
                variance = np.exp(2 * scales) * math.pi**2 / 3 + 1 / 12 + 1 / precision
                received = shares / np.sqrt(variance * precision) * np.exp(-((views - means) ** 2) / variance / 2)
                received = received.sum(axis=0)
            else:
                below = 1 / (1 + np.exp((means - np.arange(17) + 0.5) / np.exp(scales)))
                below[..., 0], below[..., -1] = 0, 1
                masses = np.diff((shares * below).sum(axis=0), axis=1)
                received = sum(
                    masses[:, k, None] * np.exp(-((views - k) ** 2) * precision / 2) for k in range(spec.levels)
                )
        wanted = (normal * (np.log(normal) - np.log(received))).sum(axis=1) / normal.sum()
        got = Flow(spec).divergence(torch.from_numpy(raw).float(), items, torch.full((3,), precision))
        assert got.sum().item() == pytest.approx(wanted.sum(), rel=0.015, abs=1e-4)


def test_divergence_of_classes_is_half_the_squared_distance() -> None:
    items = some_items(CLASSES, 4)
    outputs = torch.randn(4, 1, 16, 27)
    share = torch.softmax(outputs.double(), -1).numpy()
    hot = np.eye(27)[items[..., 0].numpy()]
    wanted = 0.3 / 2 * ((hot - share) ** 2).sum(axis=(1, 2, 3))
    assert Flow(CLASSES).divergence(outputs, items, torch.full((4,), 0.3)).numpy() == pytest.approx(wanted, rel=1e-5)


@every
def test_reconstruction_is_minus_log_p(name: str) -> None:
    spec = SPECS[name]
    items, flow = some_items(spec, 5), Flow(spec)
    torch.manual_seed(3)
    shape = (*spec.shape, 3, 2) if name == "values" else (*spec.shape[:2], spec.levels if name == "classes" else 1)
    outputs = torch.randn(5, *shape) + (1 if name == "values" else 0)
    wide = outputs.double()
    if name == "binary":
        chance = torch.sigmoid(torch.where(items > 0, wide, -wide))
    elif name == "classes":
        chance = wide.softmax(-1).gather(-1, items)
    else:
        logits, means, scales = wide.unbind(-2)
        edges = [torch.sigmoid((items[..., None] + side - means) / scales.exp()) for side in (-0.5, 0.5)]
        edges[0][items == 0], edges[1][items == 15] = 0, 1
        chance = (logits.softmax(-1) * (edges[1] - edges[0])).sum(-1)
        chance = chance * (1 - 2.0**-15) + 2.0**-24
    wanted = -chance.log().sum((1, 2, 3)).numpy()
    assert flow.reconstruction(outputs, items).numpy() == pytest.approx(wanted, rel=2e-3)
    # The last step of every schedule is the reconstruction, and nothing else is.
    count = torch.full((5,), 7)
    torch.manual_seed(4)
    last = flow.losses(constant(spec), items, count, count)
    torch.manual_seed(4)
    seen = flow.seen(items, torch.ones(5))
    assert torch.equal(last, flow.reconstruction(flow.outputs(constant(spec), seen, torch.zeros(5, 12)), items))


@every
def test_noise_has_the_precision_of_the_schedule(name: str) -> None:
    """Accuracies of views up to a time add to beta(t), and what they show is x."""
    spec, flow = SPECS[name], Flow(SPECS[name])
    for count in (1, 4, 10):
        inner = [getattr(step, "step", step) for step in spec.steps(count, "gaussian")]
        sums = np.cumsum([(64 / step.deviation) ** 2 for step in inner])
        wanted = flow.precision(torch.arange(1, count + 1) / count).numpy()
        assert sums == pytest.approx(wanted, rel=0.1), "but for deviations cut to 1/64 level"
    torch.manual_seed(5)
    items = some_items(spec, 1)[:, :1, :1].expand(20_000, 1, 1, 1)
    at = torch.full((len(items),), 0.5)
    precision, x = float(flow.precision(at)[0]), int(items[0, 0, 0, 0])
    base = flow.seen(items, at).base
    if name == "binary":
        mean, deviation = (x - 0.5) * precision, math.sqrt(precision)
    elif name == "classes":
        base = base[..., x]
        mean, deviation = precision * 26 / 27, math.sqrt(precision * 26 / 27)
    else:
        mean = 7.5 + (x - 7.5) * precision / (precision + 1 / 64)
        deviation = math.sqrt(precision) / (precision + 1 / 64)
    assert float(base.double().mean()) == pytest.approx(mean, abs=5 * deviation / math.sqrt(len(items)))
    assert float(base.double().std()) == pytest.approx(deviation, rel=0.03)


def test_two_classes_are_classes_all_the_same() -> None:
    two = replace(CLASSES, alphabet=b"ab")
    assert float(Flow(two).precision(torch.ones(1))) == pytest.approx(2 * 0.75)
    assert float(Flow(BINARY).precision(torch.ones(1))) == pytest.approx(4 * 3)


# Data


def write_images(path: Path, count: int, *, binary: bool) -> Path:
    """Squares at random places: easy to learn."""
    random = np.random.default_rng(6)
    made = np.zeros((count, 8, 8), np.uint8)
    for image in made:
        y, x = random.integers(0, 5, 2)
        image[y : y + 4, x : x + 4] = 255 if binary else random.integers(100, 256)
    np.save(path, made)
    return path


def write_text(path: Path, size: int) -> Path:
    random = np.random.default_rng(7)
    words = [b"abab ", b"xyz ", b"the ", b"qqqq "]
    path.write_bytes(b"".join(words[i] for i in random.integers(0, 4, size // 4))[:size])
    return path


def data_of(name: str, folder: Path) -> Path:
    if name == "classes":
        return write_text(folder / "text8", 20_000)
    return write_images(folder / "images.npy", 600, binary=name == "binary")


def test_held_out_images_are_never_trained_on(tmp_path: Path) -> None:
    pixels = np.zeros((250, 8, 8), np.uint8)
    pixels[np.arange(0, 250, 50)] = 255
    np.save(tmp_path / "a.npy", pixels)
    for spec in (BINARY, VALUES):
        data = Items(tmp_path / "a.npy", spec)
        held = data.held_out(100)
        assert held.shape == (5, *spec.shape) and held.dtype == torch.int64 and (held == spec.levels - 1).all()
        assert len(data.pixels) == 245
        for _ in range(20):
            batch = data.batch(100)
            assert batch.shape == (100, *spec.shape) and batch.dtype == torch.int64 and not batch.any()


def test_held_out_text_is_never_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last fiftieth of what may be trained on, and nothing after it: the rest is the test set."""
    (tmp_path / "text8").write_bytes(b"a" * 4900 + b"b" * 100 + b"z" * 1000)
    monkeypatch.setattr(train, "TEXT8_TRAIN", 5000)
    data = Items(tmp_path / "text8", CLASSES)
    assert data.held_out(99).shape == (6, 1, 16, 1) and (data.held_out(99) == 2).all()
    for _ in range(20):
        batch = data.batch(200)
        assert batch.shape == (200, 1, 16, 1) and (batch == 1).all()
    letters = np.frombuffer(bytes(train.LETTERS) * 10, np.uint8)
    letters.tofile(tmp_path / "text8")
    text = Items(tmp_path / "text8", CLASSES).text
    assert np.array_equal(text[:27].numpy(), np.arange(27)), "symbols in the order of the alphabet"


def test_pixels_of_binary_images_are_chances(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((100, 8, 8), 64, np.uint8))
    torch.manual_seed(8)
    data = Items(tmp_path / "a.npy", BINARY)
    assert float(data.batch(300).float().mean()) == pytest.approx(64 / 255, abs=0.02)
    assert not torch.equal(data.batch(5), data.batch(5))


# Training


PLAN = PaperPlan(steps=40, items=32, rate=3e-3, counts=(5, 10))


def training(name: str, path: Path, plan: PaperPlan = PLAN, spec: Spec | None = None) -> PaperTraining:
    spec = spec or SPECS[name]
    return PaperTraining(spec, Items(path, spec), plan, lambda line: None)


@every
def test_training_learns(name: str, tmp_path: Path) -> None:
    made = training(name, data_of(name, tmp_path), replace(PLAN, steps=80))
    before = made.validate(10)
    made.run(tmp_path / "state.safetensors", 1e9)
    assert made.step == 80
    assert made.validate(10) < 0.95 * before
    assert made.validate(10) == made.validate(10), "the same noise every time"


class Stop(Exception):
    """The power went off."""


@every
def test_training_resumes_exactly(name: str, tmp_path: Path) -> None:
    path, whole = data_of(name, tmp_path), tmp_path / "whole.safetensors"
    plan = replace(PLAN, steps=20)
    straight = training(name, path, plan)
    straight.run(whole, 1e9)
    broken = training(name, path, plan)
    batch, calls = broken.data.batch, []

    def fails(count: int) -> torch.Tensor:
        calls.append(count)
        if len(calls) > 10:
            raise Stop
        return batch(count)

    broken.data.batch = fails  # type: ignore[method-assign]
    state = tmp_path / "state.safetensors"
    with pytest.raises(Stop):
        broken.run(state, 0.0)
    resumed = training(name, path, replace(plan, seed=0))
    with torch.no_grad():
        for parameter in resumed.network.parameters():
            parameter.zero_()
    resumed.load(state)
    assert resumed.step == 10
    resumed.run(state, 1e9)
    wanted = straight.network.state_dict()
    for key, value in resumed.network.state_dict().items():
        assert torch.equal(value, wanted[key]), key
    one, other = load_file(state), load_file(whole)
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one), "optimisers and all"


def test_every_step_of_every_schedule_is_trained_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step drawn out of n + 1 stands for all of them: what is minimised is the whole n-step loss."""
    made = training("binary", data_of("binary", tmp_path), replace(PLAN, steps=60, items=64, counts=(2, 4)))
    weight, seen, losses = made.grid.stem.bias, [], []

    def alike(network: Any, items: torch.Tensor, step: torch.Tensor, count: torch.Tensor, _: slice) -> torch.Tensor:
        seen.append(torch.stack([step, count], 1))
        return 3 / (count + 1) + 0 * weight.sum()

    backward = torch.Tensor.backward

    def noted(loss: torch.Tensor) -> None:
        losses.append(loss.item())
        backward(loss)

    monkeypatch.setattr(torch.Tensor, "backward", noted)
    made.flow.losses = alike  # type: ignore[method-assign]
    made.run(tmp_path / "state.safetensors", 1e9)
    assert losses == pytest.approx([3.0] * 60, rel=1e-6)
    pairs, times = torch.cat(seen).long().unique(dim=0, return_counts=True)
    assert pairs.tolist() == [[step, count] for step in range(5) for count in (2, 4) if step <= count]
    wanted = torch.tensor([60 * 64 / 2 / (count + 1) for _, count in pairs.tolist()])
    assert ((times - wanted).abs() < 5 * wanted.sqrt()).all()


def test_the_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    path, state = data_of("binary", tmp_path), tmp_path / "state.safetensors"
    training("binary", path, replace(PLAN, steps=2)).run(state, 1e9)
    training("binary", path, replace(PLAN, steps=9, rate=1e-4)).load(state)
    for other in (replace(BINARY, widths=(8, 16)), replace(BINARY, blocks=(2, 1)), replace(BINARY, bottom=9)):
        with pytest.raises(BfnError, match="another network"):
            training("binary", path, spec=other).load(state)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_training(value: float, tmp_path: Path) -> None:
    made = training("binary", data_of("binary", tmp_path))
    losses = made.flow.losses

    def breaks(*given: Any) -> torch.Tensor:
        return losses(*given) * (value if made.step == 3 else 1.0)

    made.flow.losses = breaks  # type: ignore[method-assign]
    with pytest.raises(BfnError, match="step 3"):
        made.run(tmp_path / "state.safetensors", 0.0)
    fresh = training("binary", tmp_path / "images.npy")
    fresh.load(tmp_path / "state.safetensors")
    assert fresh.step == 3
    assert all(torch.isfinite(weight).all() for weight in fresh.network.parameters()), "the checkpoint is sound"


@every
def test_train_writes_a_model_that_loads(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(train.SPECS, "tiny", SPECS[name])
    lines: list[str] = []
    output, work = tmp_path / "tiny.safetensors", tmp_path / "work"
    changes = {"steps": 15, "items": 16, "counts": (3, 5)}
    train.train("tiny", data_of(name, tmp_path), output, work, changes=changes, log=lines.append)
    card = zoo.card(output)
    assert from_card(card) == SPECS[name] and card["plan"]["steps"] == 15
    assert set(card["held_out_nats"]) == {"3", "5"} and all(nats > 0 for nats in card["held_out_nats"].values())
    model = Predictor(kernels.kernel("bytes"), zoo.tensors(output), from_card(card))
    weights = model.weights(None, 2, 0, 5)
    assert weights.shape == (2 * SPECS[name].size, SPECS[name].levels)
    if name != "classes":
        assert (model.weights(Theta(len(weights)), 2, 0, 5) >= 1).all()
    # Going on from the end changes nothing.
    first = output.read_bytes()
    train.train("tiny", tmp_path / ("text8" if name == "classes" else "images.npy"), output, work, changes=changes,
                log=lines.append)  # fmt: skip
    assert output.read_bytes() == first
    assert any(line.startswith("going on from step 15") for line in lines)
    assert not list(tmp_path.rglob("*.part"))
    json.dumps(card)


def test_quiet_channels_do_not_stop_the_export() -> None:
    """A channel that is never positive has a fine grid, and large weights: the grid is made coarser until they fit."""
    torch.manual_seed(9)
    network = GridTrainingNetwork(BINARY)
    with torch.no_grad():
        network.out.weight.normal_()
        network.down[0].weight[1:].abs_().mul_(-3)
    inputs, time = 4 * torch.randn(40, 8, 8, 1), loss_paper.time_inputs(torch.rand(40))
    integers = GridNetwork(kernels.kernel("bytes"), network.tensors([(inputs, time)]), BINARY)
    at = torch.full((40,), 0.5)
    got = integers((inputs * 16).round().clamp(-127, 127).long().numpy(), time_inputs(5, 10)) / 64
    with torch.no_grad():
        wanted = network((inputs * 16).round().clamp(-127, 127) / 16, loss_paper.time_inputs(at)).numpy()
    assert np.corrcoef(got.ravel(), wanted.ravel())[0, 1] > 0.99


def test_a_model_needs_its_suffix(tmp_path: Path) -> None:
    with pytest.raises(BfnError):
        train.train("mnist", tmp_path / "none.npy", tmp_path / "model.bin", tmp_path)
