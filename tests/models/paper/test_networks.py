"""The paper's models in integers against the floats that they are trained in."""

import json
import math
from dataclasses import asdict, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from bfncodec.coding import protocol
from bfncodec.coding.ans import Coder
from bfncodec.coding.ledger import Ledger
from bfncodec.errors import CorruptFile
from bfncodec.exact import kernels
from bfncodec.exact.pmf import TOTAL
from bfncodec.flow.theta import LOG_STEPS, AnyTheta, Theta, VectorTheta, prior
from bfncodec.models.paper import network as paper_network
from bfncodec.models.paper.network import GridNetwork
from bfncodec.models.paper.single import Predictor, SingleGroups, softmax
from bfncodec.models.paper.spec import PRECISION, TIME_ONE, UNIT, Spec, from_card, time_inputs
from bfncodec.train.paper import loss, train
from bfncodec.train.paper import network as floats

SPECS = {
    "binary": Spec("binary", (8, 8, 1), b"\0\1", "3", (16, 24), (1, 2), (2, 2), (3, 3), (2, 2), 16),
    "coarse": Spec("values", (8, 8, 3), bytes(range(16)), "0.03", (16, 24), (1, 1), (2, 2), (3, 3), (2, 2), 16, 2),
    "fine": Spec("values", (4, 8, 1), bytes(range(256)), "0.001", (8, 12, 16), (0, 1, 1), (1, 2), (3, 3), (2, 2), 9, 3),
    "classes": Spec("classes", (1, 16, 1), train.LETTERS, "0.75", (24, 32), (1, 1), (1, 1), (1, 5), (1, 4), 16),
}  # fmt: skip
MILD = 0.1  # gain of a network that is not sure of what is wrong
every = pytest.mark.parametrize("name", SPECS)
NAMES = [name for name in kernels.NAMES if name != "torch-cuda"]


def symbols(spec: Spec, count: int, seed: int = 0) -> np.ndarray:
    """Items with some order in them, int64 [count, H, W, C]."""
    random = np.random.default_rng(seed)
    low, high = np.sort(random.integers(0, spec.levels, (2, count, 1, 1, 1)), axis=0)
    return random.integers(low, high + 1, (count, *spec.shape))


def randomised(spec: Spec, seed: int = 0) -> floats.GridTrainingNetwork:
    """A network without zero layers."""
    torch.manual_seed(seed)
    network = floats.GridTrainingNetwork(spec)
    with torch.no_grad():
        for name, layer in network.layers():
            if not layer.weight.any():
                layer.weight.normal_(0, (3 if name == "out" else 0.7) / math.sqrt(layer.weight.shape[1]))
            layer.bias.normal_(0, 0.2)
            if layer.times is not None:
                layer.times.normal_(0, 0.3)
    return network


def calibrated(spec: Spec, network: floats.GridTrainingNetwork) -> dict[str, Any]:
    flow = loss.Flow(spec)
    torch.manual_seed(1)
    items = torch.from_numpy(symbols(spec, 128, 1))
    batches = []
    for part in items.split(32):
        at = torch.rand(len(part))
        batches.append((flow.seen(part, at).inputs, loss.time_inputs(at)))
    return network.tensors(batches)


@cache
def made(name: str, gain: float = 1.0) -> tuple[floats.GridTrainingNetwork, dict[str, Any]]:
    """A float network and its integers; `gain` of its outputs."""
    network = randomised(SPECS[name])
    with torch.no_grad():
        network.out.weight *= gain
        network.out.bias *= gain
    return network, calibrated(SPECS[name], network)


# The network


@every
@pytest.mark.parametrize("step", [0, 3, 10])
def test_integer_network_is_the_float_network(name: str, step: int) -> None:
    spec, (network, tensors) = SPECS[name], made(name)
    items = torch.from_numpy(symbols(spec, 40, 2))
    at = torch.full((len(items),), step / 10)
    torch.manual_seed(3)
    inputs = (loss.Flow(spec).seen(items, at).inputs * floats.INPUT_UNIT).round()
    with torch.no_grad():
        wanted = network(inputs / floats.INPUT_UNIT, loss.time_inputs(at)).numpy()
    integers = GridNetwork(kernels.kernel("int64"), tensors, spec)
    got = integers(inputs.long().numpy(), time_inputs(step, 10))
    assert got.shape == (*items.shape[:3], spec.outputs) == wanted.shape and got.dtype == np.int32
    scaled = got / floats.OUTPUT_UNIT
    assert wanted.std() > 0.3, "not all the same"
    assert np.corrcoef(scaled.ravel(), wanted.ravel())[0, 1] > 0.995
    assert abs(scaled - wanted).mean() < 0.06 * wanted.std() + 0.5 / floats.OUTPUT_UNIT
    assert abs((scaled - wanted).mean()) < 0.02 * wanted.std() + 0.5 / floats.OUTPUT_UNIT


@every
def test_outputs_heed_inputs_and_time(name: str) -> None:
    spec, (_, tensors) = SPECS[name], made(name)
    network = GridNetwork(kernels.kernel("bytes"), tensors, spec)
    inputs = np.random.default_rng(4).integers(-100, 101, (2, *spec.shape[:2], spec.inputs))
    first = network(inputs, time_inputs(2, 10))
    assert not np.array_equal(first, network(inputs, time_inputs(7, 10)))
    assert np.array_equal(first[1:], network(inputs[1:], time_inputs(2, 10))), "items do not see each other"
    changed = inputs.copy()
    changed[:, 0, 0] *= -1
    # One place reaches all others, through the layer that sees everything.
    assert (first != network(changed, time_inputs(2, 10))).any(axis=3).mean() > 0.5


@every
def test_time_is_the_floats_time(name: str) -> None:
    for count in (1, 3, 10, 100, 1000):
        made_ = np.array([time_inputs(step, count) for step in range(count + 1)])
        wanted = loss.time_inputs(torch.arange(count + 1) / count).numpy() * TIME_ONE
        assert (made_.sum(axis=1) == TIME_ONE).all() and made_.min() >= 0
        assert abs(made_ - wanted).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("patch", [(1, 1), (1, 4), (2, 2), (4, 3)])
def test_unshuffle_and_shuffle_are_inverse_and_the_same_everywhere(patch: tuple[int, int]) -> None:
    values = np.random.default_rng(5).integers(-99, 99, (3, 8, 12, 5)).astype(np.int32)
    small = paper_network.unshuffle(values, patch)
    assert small.shape == (3, 8 // patch[0], 12 // patch[1], 5 * patch[0] * patch[1])
    assert np.array_equal(paper_network.shuffle(small, patch), values)
    # A place holds its pixels row by row, channels together.
    block = values[1, patch[0] : 2 * patch[0], 2 * patch[1] : 3 * patch[1]]
    assert np.array_equal(small[1, 1, 2], block.reshape(-1))
    tensor = torch.from_numpy(values)
    assert np.array_equal(paper_network.unshuffle(tensor, patch).numpy(), small)
    assert np.array_equal(paper_network.shuffle(torch.from_numpy(small), patch).numpy(), values)
    channels_first = floats.unshuffle(tensor.permute(0, 3, 1, 2), patch)
    assert np.array_equal(channels_first.permute(0, 2, 3, 1).numpy(), small)
    assert np.array_equal(floats.shuffle(channels_first, patch).permute(0, 2, 3, 1).numpy(), values)


# What goes into it, and what is made of its outputs


class Fake:
    """In the network's place: keeps its inputs and answers with given outputs."""

    def __init__(self, outputs: np.ndarray) -> None:
        self.outputs = outputs
        self.inputs: np.ndarray | None = None

    def __call__(self, inputs: np.ndarray, time: list[int]) -> np.ndarray:
        self.inputs, self.time = inputs, time
        return self.outputs


def same_theta(spec: Spec, count: int, at: float) -> tuple[loss.Shown, AnyTheta]:
    """What floats and integers know after the same noise up to a time."""
    items = torch.from_numpy(symbols(spec, count, 6))
    torch.manual_seed(7)
    hot = torch.nn.functional.one_hot(items[..., 0], spec.levels) if spec.kind == "classes" else items
    noise = torch.randn(hot.shape)
    flow, when = loss.Flow(spec), torch.full((count,), at)
    precision = float(flow.precision(when)[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randn", lambda shape: noise)
        seen = flow.seen(items, when)
    sums = hot.double().numpy() * precision + noise.double().numpy() * math.sqrt(precision)
    whole = np.rint(sums * 2.0**PRECISION * UNIT).astype(np.int64)
    theta: AnyTheta
    if spec.kind == "classes":
        vectors = prior(spec.steps(1, "gaussian"), items.numel())
        assert isinstance(vectors, VectorTheta)
        vectors.sums, vectors.steps, vectors.bits = whole.reshape(-1, spec.levels), 1, PRECISION + 6
        theta = vectors
    else:
        theta = Theta(items.numel())
        theta.sums, theta.accuracy, theta.steps = whole.reshape(-1), round(precision * 2**PRECISION), 1
    return seen, theta


def predictor(spec: Spec, tensors: dict[str, Any], kernel: str = "bytes") -> Predictor:
    return Predictor(kernels.kernel(kernel), tensors, spec)


@every
@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
def test_network_inputs_are_the_floats(name: str, at: float) -> None:
    spec = SPECS[name]
    model = predictor(spec, made(name)[1])
    seen, theta = same_theta(spec, 5, at)
    fake = Fake(np.zeros((5, *spec.shape[:2], spec.outputs), np.int32))
    model.network = fake  # type: ignore[assignment]
    model.weights(theta, 5, round(10 * at), 10)
    assert fake.inputs is not None and fake.time == time_inputs(round(10 * at), 10)
    wanted = seen.inputs.numpy() * floats.INPUT_UNIT
    assert fake.inputs.shape == wanted.shape and abs(fake.inputs).max() <= 127
    assert abs(fake.inputs - wanted).max() <= 1.1
    assert abs(fake.inputs - wanted).mean() <= 0.6
    if spec.kind == "values":
        assert abs(fake.inputs - wanted)[..., : spec.shape[2]].max() <= 0.55, "one scale"
    assert wanted.std() > 5, "says something"


@every
def test_inputs_before_the_first_view_are_the_floats(name: str) -> None:
    spec = SPECS[name]
    seen, _ = same_theta(spec, 3, 0.0)
    fake = Fake(np.zeros((3, *spec.shape[:2], spec.outputs), np.int32))
    model = predictor(spec, made(name)[1])
    model.network = fake  # type: ignore[assignment]
    weights = model.weights(None, 3, 0, 10)
    assert fake.inputs is not None and np.array_equal(fake.inputs, seen.inputs.numpy())
    if spec.kind != "values":
        assert abs(weights - TOTAL / spec.levels).max() <= spec.levels


def float_pmf(spec: Spec, outputs: torch.Tensor) -> np.ndarray:
    """p_O [variables, K] of `Flow.outputs`, in float64."""
    outputs = outputs.double()
    if spec.kind == "binary":
        ones = torch.sigmoid(outputs).reshape(-1)
        return torch.stack([1 - ones, ones], 1).numpy()
    if spec.kind == "classes":
        return outputs.softmax(-1).reshape(-1, spec.levels).numpy()
    logits, means, scales = (part.reshape(-1, spec.mixtures) for part in outputs.unbind(-2))
    edges = torch.arange(spec.levels + 1).double() - 0.5
    below = torch.sigmoid((edges[:, None, None] - means) * (-scales).exp())
    below[0], below[-1] = 0, 1
    return (below * logits.softmax(-1)).sum(-1).diff(dim=0).T.numpy()


def bits_lost(wanted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """KL in bits of each row."""
    safe = np.maximum(wanted, 1e-30)
    return (wanted * np.log2(safe / (weights / TOTAL))).sum(axis=1)


@every
@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
def test_weights_are_the_floats_output_distribution(name: str, at: float) -> None:
    """Given the same outputs of the network."""
    spec = SPECS[name]
    seen, theta = same_theta(spec, 6, at)
    raw = np.random.default_rng(8).normal(0, 40, (6, *spec.shape[:2], spec.outputs)).astype(np.int32)
    model = predictor(spec, made(name)[1])
    model.network = Fake(raw)  # type: ignore[assignment]
    weights = model.weights(theta, 6, 1, 10)
    assert weights.shape == (6 * spec.size, spec.levels) and weights.dtype == np.int64
    assert weights.min() >= 1 and (weights.sum(axis=1) == TOTAL).all()
    outputs = loss.Flow(spec).outputs(lambda *_: torch.from_numpy(raw / 64).float(), seen, torch.zeros(6, 12))  # type: ignore[arg-type]
    wanted = float_pmf(spec, outputs)
    lost = bits_lost(wanted, weights)
    assert lost.mean() < 4e-3 and lost.max() < 2e-2
    assert abs(weights / TOTAL - wanted).max() < 0.03
    assert wanted.max() > 1.7 / spec.levels and wanted.std() > 0.002, "says something"


@every
def test_p_o_is_the_trained_one(name: str) -> None:
    """The whole way, from noise through the network."""
    spec, (network, tensors) = SPECS[name], made(name, MILD)
    for at in (0.2, 0.7):
        seen, theta = same_theta(spec, 30, at)
        weights = predictor(spec, tensors).weights(theta, 30, round(10 * at), 10)
        with torch.no_grad():
            outputs = loss.Flow(spec).outputs(network, seen, loss.time_inputs(torch.full((30,), at)))
        lost = bits_lost(float_pmf(spec, outputs), weights)
        assert lost.mean() < 0.01


@every
def test_kernels_never_change_a_weight(name: str) -> None:
    spec, (_, tensors) = SPECS[name], made(name)
    steps = spec.steps(10, "gaussian")
    theta = prior(steps, 3 * spec.size)
    random = np.random.default_rng(9)
    for step in steps[:4]:
        shape = (3 * spec.size, spec.levels) if spec.kind == "classes" else (3 * spec.size,)
        theta.update(step, random.integers(-64, 64 * (2 if spec.kind == "classes" else spec.levels), shape))
    first = predictor(spec, tensors, NAMES[0]).weights(theta, 3, 4, 10)
    for other in NAMES[1:]:
        assert np.array_equal(predictor(spec, tensors, other).weights(theta, 3, 4, 10), first), other


def test_softmax_weights() -> None:
    random = np.random.default_rng(10)
    for classes in (2, 27, 256):
        logs = random.normal(0, 3 * LOG_STEPS, (500, classes)).astype(np.int64)
        logs[0] = 0
        logs[1, 1:] = -(1 << 40)
        logs[2] += 1 << 40
        weights = softmax(logs)
        assert weights.min() >= 1 and (weights.sum(axis=1) == TOTAL).all()
        exact = np.exp((logs - logs.max(axis=1, keepdims=True)) / LOG_STEPS)
        exact /= exact.sum(axis=1, keepdims=True)
        # Whatever lies 15 nats below the best counts as that, and a unit is for everybody.
        assert abs(weights - TOTAL * exact).max() < 10 * classes + 2
        shifted = softmax(logs[3:] + 12345)
        assert np.array_equal(shifted, weights[3:])
    assert softmax(np.zeros((1, 2), np.int64)).tolist() == [[TOTAL // 2, TOTAL // 2]]


# The transmission


def exact_divergence(spec: Spec, output: np.ndarray, x: np.ndarray, precision: float) -> float:
    """KL(p_S || p_R) in bits of all variables, float64: p_R the mixture of senders under p_O [variables, K]."""
    values = np.arange(spec.levels)
    if spec.kind == "classes":
        views = np.eye(spec.levels)[x] + np.random.default_rng(0).normal(0, precision**-0.5, output.shape)
        received = (output * np.exp((views - views[np.arange(len(x)), x, None]) * precision)).sum(axis=1)
        return float(-np.log2(received).sum())
    points, weights = np.polynomial.hermite_e.hermegauss(12)
    total = 0.0
    for point, weight in zip(points, weights / weights.sum(), strict=True):
        distance = (x + point * precision**-0.5)[:, None] - values
        received = (output * np.exp((point**2 - distance**2 * precision) / 2)).sum(axis=1)
        total -= weight * float(np.log2(received).sum())
    return total


def n_step_loss(spec: Spec, network: floats.GridTrainingNetwork, items: np.ndarray, count: int) -> float:
    """Bits of the items by the paper's equations alone, along one path of the noise."""
    flow, whole = loss.Flow(spec), torch.from_numpy(items)
    x, bits = items.reshape(-1), 0.0
    for step in range(count + 1):
        at, following = torch.full((len(items),), step / count), torch.full((1,), (step + 1) / count)
        seen = flow.seen(whole, at)
        with torch.no_grad():
            output = float_pmf(spec, flow.outputs(network, seen, loss.time_inputs(at)))
        output = (output + 2.0**-24) / (output + 2.0**-24).sum(axis=1, keepdims=True)
        if step == count:
            return bits - float(np.log2(output[np.arange(len(x)), x]).sum())
        bits += exact_divergence(spec, output, x, float(flow.precision(following)[0] - flow.precision(at)[0]))
    raise AssertionError


@every
def test_coded_items_come_back_at_the_cost_of_the_papers_loss(name: str) -> None:
    """What the coder spends is the n-step loss of the float network under the paper's equations."""
    spec, (network, tensors) = SPECS[name], made(name, MILD)
    number, count = (400 if name == "classes" else 60), 6
    items = symbols(spec, number, 11)
    torch.manual_seed(12)
    wanted = n_step_loss(spec, network, items, count)
    steps, flat = spec.steps(count, "gaussian"), items.reshape(number, -1).astype(np.uint8)
    coder, ledger = Coder(np.random.default_rng(13).bytes(1_000_000) + b"\1"), Ledger()
    before, bits = coder.data(), coder.bits
    assert not protocol.encode(coder, SingleGroups(predictor(spec, tensors), number, 25, steps, flat), ledger)
    assert coder.bits - bits == pytest.approx(ledger.path_loss, abs=30, rel=1e-3)
    assert ledger.n_step_loss == pytest.approx(wanted, rel=0.05)
    decoder = SingleGroups(predictor(spec, tensors, "torch-cpu"), number, 25, steps)
    protocol.decode(coder, decoder)
    assert np.array_equal(decoder.symbols, flat) and coder.data() == before


@pytest.mark.parametrize("name", ["binary", "coarse", "fine"])
def test_dithered_items_come_back_without_a_seed(name: str) -> None:
    spec, (_, tensors) = SPECS[name], made(name, MILD)
    flat, steps = symbols(spec, 12, 16).reshape(12, -1).astype(np.uint8), spec.steps(6, "dither")
    coder, ledger = Coder(), Ledger()
    assert not protocol.encode(coder, SingleGroups(predictor(spec, tensors), 12, 5, steps, flat), ledger)
    assert coder.bits == pytest.approx(ledger.path_loss, abs=48, rel=1e-3)
    decoder = SingleGroups(predictor(spec, tensors, "int64"), 12, 5, steps)
    protocol.decode(coder, decoder)
    assert np.array_equal(decoder.symbols, flat) and coder.empty


def test_draws_of_classes_come_back() -> None:
    spec, (_, tensors) = SPECS["classes"], made("classes")
    flat, steps = symbols(spec, 12, 14).reshape(12, -1).astype(np.uint8), spec.steps(7, "categorical")
    coder = Coder(np.random.default_rng(15).bytes(20_000) + b"\1")
    before, ledger = coder.data(), Ledger()
    bits = coder.bits
    assert not protocol.encode(coder, SingleGroups(predictor(spec, tensors), 12, 5, steps, flat), ledger)
    assert coder.bits - bits == pytest.approx(ledger.path_loss, abs=16)
    decoder = SingleGroups(predictor(spec, tensors), 12, 5, steps)
    protocol.decode(coder, decoder)
    assert np.array_equal(decoder.symbols, flat) and coder.data() == before


# Cards


@pytest.mark.parametrize("spec", [*SPECS.values(), *train.SPECS.values()], ids=lambda s: f"{s.kind}-{s.shape}")
def test_a_card_holds_the_spec(spec: Spec) -> None:
    card = json.loads(json.dumps({"spec": asdict(spec) | {"alphabet": list(spec.alphabet)}}))
    assert from_card(card) == spec


WRONG: dict[str, Any] = {
    "kind": ["text", "", None, 3],
    "shape": [[8, 8], [8, 8, 1, 1], [8, 0, 1], [8, -8, 1], [8, 6, 1], [8.0, 8, 1], 8, [1 << 30, 8, 1]],
    "alphabet": [[0], [0, 256], [0, 1, 2], "ab", None, [-1, 1]],
    "final": ["x", "", "-3", "1e5", "nan", "9" * 99, 3, None],
    "widths": [[16], [], [16, 0], [16, "a"], 16],
    "blocks": [[1], [1, -1], [1, 1.5]],
    "patch": [[2], [2, 2, 2], [0, 2], [3, 2]],
    "kernel": [[2, 2], [3], [-1, 3]],
    "pool": [[0, 2], [3, 3], [2]],
    "bottom": [0, -1, "1", None],
    "mixtures": [0, "1"],
    "unknown": [1],
}


@pytest.mark.parametrize(("field", "value"), [(f, v) for f in WRONG for v in WRONG[f]], ids=str)
def test_unsound_cards_are_refused(field: str, value: object) -> None:
    fields = asdict(SPECS["binary"]) | {"alphabet": [0, 1]}
    assert from_card({"spec": fields})
    with pytest.raises(CorruptFile):
        from_card({"spec": fields | {field: value}})


@pytest.mark.parametrize("card", [{}, {"spec": {}}, {"spec": None}, {"spec": [1]}, {"spec": "binary"}], ids=str)
def test_cards_without_a_spec_are_refused(card: dict[str, Any]) -> None:
    with pytest.raises(CorruptFile):
        from_card(card)


def test_levels_of_values_divide_256() -> None:
    fields = asdict(SPECS["coarse"])
    assert from_card({"spec": fields | {"alphabet": list(range(32))}}).levels == 32
    with pytest.raises(CorruptFile):
        from_card({"spec": fields | {"alphabet": list(range(17))}})


@every
def test_weights_of_another_shape_are_refused(name: str) -> None:
    spec, (_, tensors) = SPECS[name], made(name)
    for other in (
        replace(spec, widths=tuple(width + 1 for width in spec.widths)),
        replace(spec, bottom=spec.bottom + 1),
        replace(spec, kernel=(1, 7)),
    ):
        with pytest.raises(CorruptFile):
            predictor(other, tensors)
