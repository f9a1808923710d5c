"""The authors' published models: names and shapes, equal outputs of plain NumPy, import, refusals."""

import json
import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import torch
from reference import authors as reference
from safetensors.numpy import load_file, save_file
from tools import authors_names as names
from tools.command import call, good

from bfncodec.cli import import_paper
from bfncodec.errors import BfnError, CorruptFile
from bfncodec.models import authors, zoo
from bfncodec.models.authors import networks, output
from bfncodec.models.authors.configs import CONFIGS, Flat, Levels, Transformer
from bfncodec.train import checkpoint

TIMES = np.array([0.0, 0.3, 1.0])


@pytest.fixture(params=list(names.TINY))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def tiny_configs(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, config in names.TINY.items():
        monkeypatch.setitem(CONFIGS, key, config)


def weights_of(name: str) -> dict[str, np.ndarray]:
    return names.random_weights(names.TINY_SHAPES[name])


def network_of(name: str, config: authors.Config | None = None) -> authors.Network:
    return authors.build(config or names.TINY[name], tensors(weights_of(name)))


def tensors(weights: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {key: torch.from_numpy(value.copy()) for key, value in weights.items()}


def inputs_of(name: str) -> np.ndarray:
    """What the paper's network sees, for three items; exact in float32."""
    config, random = names.TINY[name], np.random.default_rng(1)
    if name == "cifar10_256d":
        made = random.uniform(-1, 1, (3, config.variables))
    else:
        made = random.dirichlet(np.ones(config.classes), (3, config.variables))
    return made.astype(np.float32).astype(np.float64)


def expected(name: str) -> np.ndarray:
    weights, inputs = weights_of(name), inputs_of(name)
    if name == "mnist":
        return reference.levels(weights, inputs, TIMES, side=8, groups=4, heads=2)
    if name == "cifar10_256d":
        noise = reference.flat(weights, inputs, TIMES, side=6, channels=3, groups=4, blocks=2)
        return reference.gaussian_bins(noise, inputs, TIMES, 256)
    return reference.transformer(weights, inputs, TIMES, layers=2, heads=3)


# Names and shapes


@pytest.mark.parametrize(
    ("name", "shapes", "millions"),
    [("mnist", names.mnist(), 25), ("cifar10_256d", names.cifar10(), 31), ("text8", names.text8(), 170)],
)
def test_published_models_load_strictly(name: str, shapes: names.Shapes, millions: int) -> None:
    network = authors.build(CONFIGS[name], {key: torch.empty(shape, device="meta") for key, shape in shapes.items()})
    assert network.config == CONFIGS[name]
    assert round(sum(math.prod(shape) for shape in shapes.values()) / 1e6) == millions, "as the paper says"


def test_smaller_models_have_the_same_names(name: str) -> None:
    assert networks.shapes(names.TINY[name]) == names.TINY_SHAPES[name]


def test_schedules_are_the_published_ones() -> None:
    mnist, cifar, text = CONFIGS["mnist"], CONFIGS["cifar10_256d"], CONFIGS["text8"]
    assert isinstance(mnist, Levels) and isinstance(cifar, Flat) and isinstance(text, Transformer)
    assert (mnist.beta_1, text.beta_1, cifar.min_variance) == (3**2, 0.75**2, 0.001**2)
    assert [(c.variables, c.classes) for c in (mnist, cifar, text)] == [(784, 2), (3072, 256), (256, 27)]


# Outputs


def test_outputs_equal_those_of_plain_numpy(name: str) -> None:
    made = authors.predict(network_of(name), inputs_of(name), TIMES)
    assert made.dtype == np.float64
    assert np.abs(made - expected(name)).max() < 1e-4
    assert np.abs(made.sum(-1) - 1).max() < 1e-12
    assert (made >= 0).all()
    assert np.abs(made[1] - made[2]).max() > 0.01, "a test of networks that do not care says nothing"


def test_noise_that_the_flat_network_predicts_equals_that_of_plain_numpy() -> None:
    inputs = inputs_of("cifar10_256d")
    network = network_of("cifar10_256d")
    with torch.inference_mode():
        made = network(torch.from_numpy(inputs).float(), torch.from_numpy(TIMES).float()).numpy()
    wanted = reference.flat(weights_of("cifar10_256d"), inputs, TIMES, side=6, channels=3, groups=4, blocks=2)
    assert np.abs(made - wanted).max() < 1e-4


def test_every_weight_but_the_unused_positions_counts(name: str) -> None:
    weights = weights_of(name)
    network, inputs = network_of(name), inputs_of(name)
    before = authors.predict(network, inputs, TIMES)
    for key, value in network.state_dict().items():
        kept = value.clone()
        value += 0.5 * torch.arange(value.numel()).reshape(value.shape).cos()
        changed = not np.array_equal(authors.predict(network, inputs, TIMES), before)
        value.copy_(kept)
        unused = key == "input_adapter.pos_feats"
        assert changed != unused, key
    assert set(network.state_dict()) == set(weights)


def test_inputs_may_have_the_shape_of_the_data() -> None:
    network, inputs = network_of("cifar10_256d"), inputs_of("cifar10_256d")
    made = authors.predict(network, inputs.reshape(3, 6, 6, 3), TIMES)
    assert np.array_equal(made, authors.predict(network, inputs, TIMES))
    network, inputs = network_of("mnist"), inputs_of("mnist")
    made = authors.predict(network, inputs.reshape(3, 8, 8, 1, 2), TIMES)
    assert np.array_equal(made, authors.predict(network, inputs, TIMES))


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (0.3, 0.01), (-0.99, 0.2), (1.5, 0.001), (-3.0, 0.5)])
def test_bins_are_those_of_a_clipped_gaussian(mean: float, deviation: float) -> None:
    made = output.bins(*torch.tensor([mean, deviation], dtype=torch.float64)[:, None, None], 16)[0, 0].numpy()
    below = [NormalDist(mean, deviation).cdf(-1 + k / 8) for k in range(1, 16)]
    assert np.abs(made - np.diff([0, *below, 1])).max() < 1e-12


def test_both_tails_keep_their_digits() -> None:
    zero, narrow = torch.zeros(1, 1, dtype=torch.float64), torch.full((1, 1), 0.1, dtype=torch.float64)
    made = output.bins(zero, narrow, 16)[0, 0].numpy()
    assert np.allclose(made, made[::-1], rtol=1e-9, atol=0)
    assert made[-1] == pytest.approx(math.erfc(8.75 / math.sqrt(2)) / 2, rel=1e-9, abs=0)


def test_before_the_first_time_the_means_tell_nothing() -> None:
    config = Flat()
    noise = torch.ones(3, 2, 2, dtype=torch.float64)
    means = torch.full((3, 2), 0.5, dtype=torch.float64)
    times = torch.tensor([0.0, 0.99e-6, 1.01e-6], dtype=torch.float64)
    mean, deviation = output.data_prediction(config, noise, means, times)
    assert mean[:2].tolist() == [[0, 0]] * 2 and deviation[:2].tolist() == [[1, 1]] * 2
    gamma = 1 - 1e-6**1.01e-6
    assert mean[2, 0].item() == pytest.approx(0.5 / gamma - math.sqrt((1 - gamma) / gamma), rel=1e-6)
    assert deviation[2, 0].item() == 10, "clipped"


# Import


Wrap = Callable[[dict[str, torch.Tensor]], Any]


def prefixed(prefix: str, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in weights.items()}


LAYOUTS: dict[str, Wrap] = {
    "as published": partial(prefixed, "net."),
    "bare": dict,
    "of a parallel wrapper": partial(prefixed, "module.net."),
    "of a compiled model": partial(prefixed, "_orig_mod.net."),
    "under a key": lambda weights: {"model": prefixed("net.", weights), "step": 3},
    "under two keys": lambda weights: {"ema": {"state_dict": prefixed("net.", weights)}, "model": None},
    "in float64": lambda weights: {"net." + key: value.double() for key, value in weights.items()},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.usefixtures("tiny_configs")
def test_a_checkpoint_becomes_a_model(name: str, layout: str, tmp_path: Path) -> None:
    torch.save(LAYOUTS[layout](tensors(weights_of(name))), tmp_path / "published.pt")
    model = tmp_path / "model.safetensors"
    told = good("import-paper", tmp_path / "published.pt", "--config", name, "-o", model)
    assert name in told.err
    stored = load_file(model)
    assert set(stored) == {"authors." + key for key in names.TINY_SHAPES[name]}
    assert zoo.card(model)["kind"] == "authors"
    config, network = authors.load(model)
    assert config == names.TINY[name]
    inputs = inputs_of(name)
    made = authors.predict(network, inputs, TIMES)
    assert np.array_equal(made, authors.predict(network_of(name), inputs, TIMES))


def test_the_old_file_format_of_pytorch_is_read(tmp_path: Path) -> None:
    saved = prefixed("net.", tensors(weights_of("mnist")))
    torch.save(saved, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert len(authors.published(tmp_path / "old.pt", names.TINY["mnist"])) == len(saved)


class Bomb:
    """Pickled, it asks for a file to be made."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.usefixtures("tiny_configs")
def test_code_in_a_checkpoint_is_not_run(zipped: bool, tmp_path: Path) -> None:
    made = {"model": tensors(weights_of("mnist")), "other": Bomb(tmp_path / "made")}
    torch.save(made, tmp_path / "bomb.pt", _use_new_zipfile_serialization=zipped)
    result = call("import-paper", tmp_path / "bomb.pt", "--config", "mnist", "-o", tmp_path / "model.safetensors")
    assert result.code == 1 and "code in it was not run" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["bomb.pt"]


def test_code_is_not_run_whatever_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    (tmp_path / "bomb.pt").write_bytes(pickle.dumps(Bomb(tmp_path / "made"), protocol=2))
    with pytest.raises(CorruptFile):
        authors.published(tmp_path / "bomb.pt", names.TINY["mnist"])
    assert not (tmp_path / "made").exists()


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    torch.save(tensors(weights_of("text8")), tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    for damaged in (b"", b"x", whole[:100], whole[:-30], whole[: len(whole) // 2], pickle.dumps([1, 2])):
        (tmp_path / "damaged.pt").write_bytes(damaged)
        with pytest.raises(BfnError):
            authors.published(tmp_path / "damaged.pt", names.TINY["text8"])


def _without(weights: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in weights.items() if name != key}


CHANGES: dict[str, tuple[Wrap, str]] = {
    "missing": (lambda w: _without(w, "lm_head.bias"), "lm_head.bias is missing"),
    "unknown": (lambda w: w | {"lm_head.scale": torch.ones(1)}, "lm_head.scale is unknown"),
    "shape": (lambda w: w | {"lm_head.bias": torch.ones(6)}, r"lm_head.bias has shape \[6\], not \[5\]"),
    "one axis more": (lambda w: w | {"lm_head.bias": torch.ones(5, 1)}, r"lm_head.bias has shape \[5, 1\]"),
    "nan": (lambda w: w | {"lm_head.bias": torch.tensor([1, 2, 3, 4, math.nan])}, "lm_head.bias has values"),
    "infinite": (lambda w: w | {"lm_head.bias": torch.full((5,), -math.inf)}, "lm_head.bias has values"),
    "too large": (
        lambda w: w | {"lm_head.bias": torch.full((5,), 1e300, dtype=torch.float64)},
        "lm_head.bias has values",
    ),
    "integers": (lambda w: w | {"lm_head.bias": torch.ones(5, dtype=torch.int64)}, "not an array of floats"),
    "no memory": (lambda w: w | {"lm_head.bias": torch.ones(5, device="meta")}, "not an array of floats"),
    "sparse": (lambda w: w | {"lm_head.bias": torch.ones(5).to_sparse()}, "not an array of floats"),
    "a number": (lambda w: w | {"lm_head.bias": 3.0}, "entry lm_head.bias among"),
    "a number as name": (lambda w: w | {7: torch.ones(5)}, "entry 7 among"),
    "empty": (lambda w: {}, "no table of weights"),
    "a list": (lambda w: list(w.values()), "no table of weights"),
    "another key": (lambda w: {"optimizer": w}, "no table of weights"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_weights_are_refused(change: str, tmp_path: Path) -> None:
    made, message = CHANGES[change]
    torch.save(made(tensors(weights_of("text8"))), tmp_path / "changed.pt")
    with pytest.raises(CorruptFile, match=message):
        authors.published(tmp_path / "changed.pt", names.TINY["text8"])


@pytest.mark.usefixtures("tiny_configs")
def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    torch.save(prefixed("net.", tensors(weights_of("mnist"))), tmp_path / "mnist.pt")
    result = call("import-paper", tmp_path / "mnist.pt", "--config", "text8", "-o", tmp_path / "m.safetensors")
    assert result.code == 1 and "is missing" in result.err and "more" in result.err
    assert not (tmp_path / "m.safetensors").exists()


# The command and its models


@pytest.mark.usefixtures("tiny_configs")
def test_a_model_is_replaced_only_if_forced(tmp_path: Path) -> None:
    torch.save(tensors(weights_of("mnist")), tmp_path / "mnist.pt")
    model = tmp_path / "model.safetensors"
    model.write_bytes(b"mine")
    command = ["import-paper", tmp_path / "mnist.pt", "--config", "mnist", "-o", model]
    assert call(*command).code == 1 and model.read_bytes() == b"mine"
    good(*command, "-f")
    authors.load(model)


def test_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"")
    assert call("import-paper", tmp_path / "a.pt", "--config", "imagenet", "-o", "m.safetensors").code == 2
    assert call("import-paper", tmp_path / "a.pt", "-o", "m.safetensors").code == 2
    missing = call("import-paper", tmp_path / "b.pt", "--config", "mnist", "-o", tmp_path / "m.safetensors")
    assert missing.code == 1 and "No such file" in missing.err
    unnamed = call("import-paper", tmp_path / "a.pt", "--config", "mnist", "-o", tmp_path / "model.bin")
    assert unnamed.code == 1 and ".safetensors" in unnamed.err


def test_the_command_knows_all_configurations() -> None:
    assert set(import_paper.NAMES) == set(CONFIGS)


def test_a_card_tells_the_configuration(name: str) -> None:
    from bfncodec.models.authors.configs import from_card

    told = json.loads(json.dumps(authors.card(CONFIGS[name])))
    assert from_card(told["config"]) == CONFIGS[name]
    for wrong in ({}, {"network": name}, told["config"] | {"width": "8"}, told["config"] | {"depth": 8}):
        with pytest.raises(CorruptFile):
            from_card(wrong)


def test_files_that_are_not_such_models_are_refused(tmp_path: Path, tiny: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(CorruptFile, match="import-paper"):
        authors.load(tiny)
    path.write_bytes(b"no model")
    with pytest.raises(CorruptFile):
        authors.load(path)
    with pytest.raises(CorruptFile):
        authors.load(tmp_path / "missing.safetensors")
    weights = {"authors." + key: value for key, value in weights_of("mnist").items()}
    checkpoint.write_model(path, weights, authors.card(replace(names.TINY["mnist"], width=16)))
    with pytest.raises(CorruptFile, match="shape"):
        authors.load(path)
    checkpoint.write_model(path, weights, authors.card(replace(names.TINY["mnist"], groups=3)))
    with pytest.raises(CorruptFile):
        authors.load(path)
    save_file(weights, path, {"card": json.dumps({"kind": "authors"})})
    with pytest.raises(CorruptFile):
        authors.load(path)


def test_texts_do_not_fit_such_a_model(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    weights = {"authors." + key: value for key, value in weights_of("mnist").items()}
    checkpoint.write_model(path, weights, authors.card(names.TINY["mnist"]))
    (tmp_path / "text.txt").write_bytes(b"some text " * 300)
    result = call("encode", "-m", path, tmp_path / "text.txt", "-o", tmp_path / "text.bfn")
    assert result.code == 1 and "none of this model's 2 symbols" in result.err


@pytest.mark.parametrize("sampler", ["bfn", "sde2", "ode1"])
def test_such_models_are_sampled(name: str, sampler: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    weights = {"authors." + key: value for key, value in weights_of(name).items()}
    checkpoint.write_model(path, weights, authors.card(names.TINY[name]))
    made = good("sample", path, "-n", 2, "--items", 3, "--sampler", sampler).out
    assert made.startswith(b"\x89PNG") or made.count(b"\n") == 3
