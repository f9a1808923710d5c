"""Training of text models and of their block networks: checkpoints, what is written, the command."""

import json
import stat
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from tools import make_tiny_text
from tools.command import call, good

import bfncodec
from bfncodec.blocks import text as text_blocks
from bfncodec.errors import BfnError
from bfncodec.exact import kernels
from bfncodec.exact.kernels import Array
from bfncodec.flow.schedule import Draw
from bfncodec.flow.theta import ClassTheta
from bfncodec.models import zoo
from bfncodec.models.text import blockwise, contexts, network
from bfncodec.presets import Choices
from bfncodec.train import checkpoint, freeze
from bfncodec.train.text import blocks, networks
from bfncodec.train.text import train as text_training
from bfncodec.train.text.corpus import WARM, Corpus

LICENSE = (Path(__file__).parents[3] / "LICENSE").read_bytes()
SMALL = {"dimensions": 1, "width": 8, "units": 6, "hidden": 8, "windows": 2, "length": 64}
SMALL_BLOCKS = {"block": 2, "width": 8, "hidden": 8, "windows": 2, "length": 64}


def quiet(_: str) -> None:
    """Log nothing."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of texts: one long enough to have a held-out end, others shorter than a window."""
    folder = tmp_path / "texts"
    (folder / "more").mkdir(parents=True)
    (folder / "licence").write_bytes((LICENSE * 2)[:16_000])
    (folder / "more" / "short").write_bytes(LICENSE[:100])
    (folder / "more" / "lines").write_bytes(b"\r\n".join(LICENSE.split(b"\n")[:40]))
    return folder


@pytest.fixture(autouse=True)
def small_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pieces of text to learn the mixing on."""
    monkeypatch.setattr(text_training, "PIECES", (1000, 600))


# Checkpoints


def test_a_checkpoint_comes_back_and_is_whole_at_any_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made() -> tuple[torch.nn.Parameter, torch.optim.Optimizer]:
        weight = torch.nn.Parameter(torch.ones(3, 2))
        return weight, torch.optim.AdamW([weight], lr=0.1)

    weight, optimiser = made()
    weight.sum().backward()
    optimiser.step()
    path = tmp_path / "checkpoint.safetensors"
    checkpoint.save(path, {"weight.a": weight, "b": torch.arange(3)}, [optimiser], {"steps": 9}, 5)
    other, fresh = made()
    tensors, plan, step = checkpoint.load(path, [fresh])
    assert (plan, step) == ({"steps": 9}, 5)
    assert torch.equal(checkpoint.part(tensors, "weight.")["a"], weight) and torch.equal(tensors["b"], torch.arange(3))
    before, after = (one.state_dict()["state"][0] for one in (optimiser, fresh))
    assert set(before) == set(after) and all(torch.equal(before[key], after[key]) for key in before)

    def full(_: Any, name: Path, *__: Any) -> None:
        Path(name).write_bytes(b"half")
        raise OSError

    content = path.read_bytes()
    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError):
        checkpoint.save(path, {"b": torch.zeros(3)}, [], {}, 6)
    assert path.read_bytes() == content


# Text models


def train(data: Path, folder: Path, log: Any = quiet, **options: Any) -> Path:
    """Train for three steps; the model's path."""
    changes = {**SMALL, "steps": 3, **options.pop("changes", {})}
    output = folder / "model.safetensors"
    options = {"pieces": 1} | options
    text_training.train(Corpus(data), output, folder / "work", changes=changes, log=log, **options)
    return output


def test_training_writes_a_model(data: Path, tmp_path: Path) -> None:
    """It encodes and decodes, and its card tells what was done."""
    told: list[str] = []
    path = train(data, tmp_path, told.append)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["model.safetensors", "texts", "work"]
    assert [item.name for item in (tmp_path / "work").iterdir()] == ["text.safetensors"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644 and zoo.kind(path) == "text"
    card = zoo.card(path)
    assert card["plan"] == asdict(text_training.TextPlan(**SMALL, steps=3)) and card["pieces"] == 1
    assert card["bytes"] == Corpus(data).bytes and 7 < card["held_out_bits"] < 9
    assert any(f"{card['held_out_bits']:.4f} bits per byte" in line for line in told)
    encoded = bfncodec.encode(LICENSE[:3000], model=str(path))
    assert bfncodec.info(encoded)["blocks"][0]["model"] == zoo.digest(path).hex()
    assert bfncodec.decode(encoded) == LICENSE[:3000] and len(encoded) < 1500


def interrupted(module: Any, name: str, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the training as step `at` begins."""
    right = getattr(module, name)

    def batch(*arguments: Any) -> Any:
        if at in arguments:
            monkeypatch.setattr(module, name, right)
            raise KeyboardInterrupt
        return right(*arguments)

    monkeypatch.setattr(module, name, batch)


@pytest.mark.parametrize("stop", [1, 4])
def test_resumed_training_is_as_if_it_had_not_stopped(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """Row 40: the same weights, optimiser state and file, to the last bit."""
    changes = {"steps": 6}
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole = train(data, tmp_path / "whole", every=1e9, changes=changes)
    interrupted(text_training, "_batch", stop, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "cut", every=-1.0, changes=changes)
    told: list[str] = []
    cut = train(data, tmp_path / "cut", told.append, changes=changes)
    assert told[0].startswith(f"going on from step {stop} ")
    states = [load_file(path.parent / "work" / "text.safetensors") for path in (whole, cut)]
    assert set(states[0]) == set(states[1])
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])
    assert cut.read_bytes() == whole.read_bytes()


def test_training_learns(data: Path) -> None:
    """Held-out bits fall, and the rounding to integers costs little."""
    plan = text_training.TextPlan(
        **SMALL | {"dimensions": 2, "width": 16, "hidden": 16, "windows": 4}, steps=40, rate=2e-2, table_rate=1.0
    )
    training = text_training.TextTraining(Corpus(data), plan, "cpu", quiet)
    before = training.validate()
    training.run(data.parent / "work.safetensors", 1e9)
    after = training.validate()
    assert after < before - 1
    layers = network.load(kernels.kernel("bytes"), training.tensors())
    assert held_out_bits(layers, training.corpus) == pytest.approx(after, rel=0.02)


def held_out_bits(layers: network.Layers, texts: Corpus) -> float:
    """What the integer network alone pays for the pieces of `TextTraining.validate`."""
    bits, count = 0.0, 0
    for piece in texts.held_out(200, 2048):
        rows = np.empty((len(piece) - WARM, contexts.CONTEXTS), np.int32)
        contexts.window_rows(piece, WARM, rows)
        weights = predicted(network.own(layers), rows)
        bits -= np.log2(weights[np.arange(len(rows)), piece[WARM:]] / weights.sum(axis=1)).sum()
        count += len(rows)
    return bits / count


def predicted(layers: network.Layers, rows: Array) -> Array:
    """Weights int64 [n, 256] of the integer network."""
    told = np.zeros((len(rows), network.FORESEEN), np.int32)
    for row, line in zip(rows, told, strict=True):
        network.weigh(layers, row, line)
    return np.diff(told[:, :257].astype(np.int64))


def of_windows(tensors: Any, rows: Array) -> Array:
    """The same of texts' rows [texts, n, CONTEXTS], one text after the other."""
    layers = network.load(kernels.kernel("bytes"), tensors)
    return np.concatenate([predicted(network.own(layers), window) for window in rows])


def test_levels_and_their_gradients_are_those_of_a_plain_loop() -> None:
    random = torch.Generator().manual_seed(0)
    gates, candidates, weights = (torch.rand(2, 9, 5, generator=random) for _ in range(3))
    found = []
    for one in (networks.levelled, by_steps):
        leaves = [part.clone().requires_grad_() for part in (gates, candidates)]
        levels = one(*leaves)
        (levels * weights).sum().backward()
        found.append([levels.detach(), *(leaf.grad for leaf in leaves)])
    for mine, plain in zip(*found, strict=True):
        torch.testing.assert_close(mine, plain)


def by_steps(gates: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
    level, levels = torch.zeros_like(gates[:, 0]), []
    for place in range(gates.shape[1]):
        level = level + gates[:, place] * (candidates[:, place] - level)
        levels.append(level)
    return torch.stack(levels, 1)


def test_weights_are_rounded_so_that_sums_stay() -> None:
    """They stand on the grid that `freeze` rounds to, and inputs that go together share their errors."""
    random = np.random.default_rng(0)
    inputs = random.random((500, 4)) @ random.normal(size=(4, 24)) + random.normal(size=(500, 24)) / 20
    weight = random.normal(size=(30, 24)) * 3
    whole = freeze.settled(weight, inputs)
    made = freeze.freeze("layer", whole, np.zeros(30))
    back = made["layer.weight"] / np.exp2(made["layer.shift"].astype(float))[:, None]
    assert np.array_equal(back, whole)
    plain = freeze.freeze("layer", weight, np.zeros(30))
    rounded = plain["layer.weight"] / np.exp2(plain["layer.shift"].astype(float))[:, None]
    mine, other = (((inputs - inputs.mean(0)) @ (one - weight).T).std() for one in (whole, rounded))
    assert mine < 0.6 * other


def gentle(seed: int = 0) -> dict[str, np.ndarray]:
    """A small text model with activations that are not cut at their limits."""
    made = make_tiny_text.tensors(seed=seed)
    made["text.table"] //= 2
    made["text.last.shift"] -= 2
    return made


@pytest.fixture
def started(tmp_path: Path) -> Path:
    """The file of a model to start from."""
    path = tmp_path / "started.safetensors"
    save_file(gentle(), path)
    return path


def test_fine_tuning_starts_from_the_integers(data: Path, started: Path) -> None:
    """The float network predicts as the integer network does, but for rounding."""
    tensors = zoo.tensors(started)
    training = text_training.TextTraining(Corpus(data), text_training.TextPlan(**SMALL), "cpu", quiet)
    training.start_from(tensors)
    rows, _ = text_training._batch(training.corpus, training.plan, 0)
    with torch.no_grad():
        embedded = training.table.index_select(0, rows.reshape(-1)).view(*rows.shape[:2], -1)
        mine = training.network(embedded).double().softmax(2).flatten(0, 1).numpy()
    weights = of_windows(tensors, rows.numpy())
    exact = weights / weights.sum(axis=1, keepdims=True)
    divergence = (exact * np.log2(exact / mine)).sum(axis=1)
    uniform = (exact * np.log2(exact * 256)).sum(axis=1)
    assert uniform.mean() > 0.5 and divergence.mean() < 0.001 * uniform.mean()
    # And back: no more than a rounding away.
    again = training.tensors()
    back = of_windows(again, rows.numpy())
    back = back / back.sum(axis=1, keepdims=True)
    assert (exact * np.log2(exact / back)).sum(axis=1).mean() < 0.002 * uniform.mean()


@pytest.mark.parametrize("pieces", [None, 1])
def test_fine_tuning_writes_a_model(data: Path, started: Path, tmp_path: Path, pieces: int | None) -> None:
    """With lower rates; mixing weights stay as they are, or go on from the model's where that is wanted."""
    learnt = dict(load_file(started))
    learnt["mixing.counts"][:] = 100
    learnt["mixing.chances"][:] = 40_000
    path = tmp_path / "learnt.safetensors"
    save_file(learnt, path)
    made = train(data, tmp_path, init=path, pieces=pieces)
    plan = zoo.card(made)["plan"]
    assert (plan["rate"], plan["table_rate"], plan["steps"]) == (3e-4, 0.03, 3)
    after = load_file(made)
    kept = {name for name in learnt if np.array_equal(after.get(name), learnt[name])}
    if pieces:
        assert after["mixing.counts"].min() >= 100 and (after["mixing.counts"] > 100).any()
        assert 0.5 < (after["mixing.chances"] == 40_000).mean() < 1
    else:
        assert kept >= {name for name in learnt if name.startswith(("mixing.", "fast."))}
    assert not {"text.table", "text.first.weight"} <= kept
    assert bfncodec.decode(bfncodec.encode(LICENSE[:500], model=str(made), media="text")) == LICENSE[:500]


def test_fine_tuning_refuses_other_sizes(data: Path, started: Path, tmp_path: Path) -> None:
    for name in ("dimensions", "width", "units", "hidden"):
        with pytest.raises(BfnError, match="other widths"):
            train(data, tmp_path, init=started, changes={name: 2})
    assert not (tmp_path / "work").exists()


def test_training_that_diverges_is_an_error(data: Path, tmp_path: Path) -> None:
    training = text_training.TextTraining(Corpus(data), text_training.TextPlan(**SMALL, steps=2), "cpu", quiet)
    training.table.fill_(float("nan"))
    with pytest.raises(BfnError, match="diverged at step 0"):
        training.run(tmp_path / "work.safetensors", 1e9)
    assert not (tmp_path / "work.safetensors").exists()


@pytest.mark.parametrize("name", ["model", "model.bin", "model.safetensors.bak"])
def test_other_suffixes_are_refused(data: Path, tmp_path: Path, started: Path, name: str) -> None:
    """Before any time is spent."""
    with pytest.raises(BfnError, match="safetensors"):
        text_training.train(Corpus(data), tmp_path / name, tmp_path / "work", log=quiet)
    with pytest.raises(BfnError, match="safetensors"):
        blocks.train(Corpus(data), tmp_path / name, tmp_path / "work", started, log=quiet)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["started.safetensors", "texts"]


# Block networks


def train_blocks(data: Path, folder: Path, model: Path, log: Any = quiet, **options: Any) -> Path:
    """Train for three steps; the model's path."""
    changes = {**SMALL_BLOCKS, "steps": 3, **options.pop("changes", {})}
    output = folder / "blocks.safetensors"
    blocks.train(Corpus(data), output, folder / "work", model, changes=changes, log=log, **options)
    return output


def test_training_of_blocks_adds_them_to_a_model(data: Path, tmp_path: Path, started: Path) -> None:
    path = train_blocks(data, tmp_path, started)
    before, after = load_file(started), load_file(path)
    assert all(np.array_equal(after[name], before[name]) for name in before)
    assert {name for name in after if name not in before} == {"blocks.views"} | {
        f"blocks.{layer}.{part}" for layer in ("first", "second", "last") for part in ("weight", "bias", "shift")
    }
    assert zoo.card(path) == {"blocks": asdict(blocks.BlockPlan(**SMALL_BLOCKS, steps=3))}
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    block = text_blocks.encode(LICENSE[:500], Choices(model=str(path), effort="blocks"))
    (content,) = block.form.decode(block, "cpu")
    assert b"".join(content) == LICENSE[:500]
    # Trained again, it has the new ones, and its card keeps what it said of the text network.
    card = {"plan": {"steps": 5}}
    save_file(after, tmp_path / "carded.safetensors", {"card": json.dumps(card)})
    again = train_blocks(data, tmp_path / "again", tmp_path / "carded.safetensors", changes={"block": 4})
    assert load_file(again)["blocks.last.bias"].shape == (1024,)
    assert set(zoo.card(again)) == {"plan", "blocks"} and zoo.card(again)["plan"] == card["plan"]


def test_resumed_training_of_blocks(data: Path, tmp_path: Path, started: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole = train_blocks(data, tmp_path / "whole", started)
    interrupted(blocks.BlockTraining, "batch", 2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train_blocks(data, tmp_path / "cut", started, every=-1.0)
    told: list[str] = []
    cut = train_blocks(data, tmp_path / "cut", started, told.append)
    assert told[0].startswith("going on from step 2 ")
    assert cut.read_bytes() == whole.read_bytes()


def test_views_to_train_on_are_those_of_the_codec(data: Path) -> None:
    """The same draws of the same sender, and what theta makes of them; only its table rounds otherwise."""
    plan = blocks.BlockPlan(**SMALL_BLOCKS)
    training = blocks.BlockTraining(Corpus(data), gentle()["text.table"], plan, quiet)
    known = np.random.default_rng(0).integers(0, 256, (300, plan.block))
    shares = training._theta(known, np.random.default_rng(1)).numpy() * 256
    rng = np.random.default_rng(1)
    counts = rng.integers(0, plan.draws + 1, len(known))
    theta = ClassTheta(known.size)
    seen = 0.0
    for draw in range(plan.draws):
        own = rng.random(known.shape) * (1 << 16) < blockwise.SHARE
        views = np.where(own, known, rng.integers(0, 256, known.shape))
        before = theta.logs.copy()
        theta.update(Draw(blockwise.SHARE), views.reshape(-1))
        unseen = np.repeat(counts <= draw, plan.block)
        theta.logs[unseen] = before[unseen]
        seen += (views == known).mean()
    assert seen / plan.draws == pytest.approx(0.25 + 0.75 / 256, abs=0.03)
    wanted = theta.shares().reshape(shares.shape)
    assert np.array_equal(shares, np.rint(shares)) and abs(shares - wanted).max() <= 1
    assert (shares != wanted).mean() < 0.01
    assert set(counts.tolist()) == set(range(plan.draws + 1))


def test_checkpoints_keep_the_order_of_their_states(data: Path) -> None:
    """AdamW's states have numbers for names in checkpoints: those that there are go on only in this order."""
    trained = text_training.TextTraining(Corpus(data), text_training.TextPlan(**SMALL), "cpu", quiet)
    blockwise = blocks.BlockTraining(Corpus(data), gentle()["text.table"], blocks.BlockPlan(**SMALL_BLOCKS), quiet)
    order = ["last.weight", "first.bias", "second.bias", "last.bias"]
    levels = ["gate.bias", "candidate.bias"]
    for training, wanted in ((trained, [*order, *levels]), (blockwise, ["views", *order])):
        names = {id(parameter): name for name, parameter in training.network.named_parameters()}
        assert [names[id(parameter)] for parameter in training.optimisers[1].param_groups[0]["params"]] == wanted


def test_training_of_blocks_learns(data: Path, tmp_path: Path) -> None:
    """The loss falls, and the integer network predicts about as the float network does."""
    plan = blocks.BlockPlan(**SMALL_BLOCKS | {"width": 24, "hidden": 24, "windows": 4}, steps=40, rate=2e-2)
    training = blocks.BlockTraining(Corpus(data), make_tiny_text.tensors(2)["text.table"], plan, quiet)
    embedded, shares, values = training.batch(1 << 30)

    def bits() -> float:
        with torch.no_grad():
            logits = training.network(embedded, shares).flatten(0, 1)
        return float(torch.nn.functional.cross_entropy(logits, values.flatten())) / np.log(2)

    before = bits()
    training.run(tmp_path / "work.safetensors", 1e9)
    assert bits() < before - 1
    made = training.tensors() | {"text.table": np.rint(training.table.numpy() * 32).astype(np.int8)}
    integer = blockwise.BlockNetwork(kernels.kernel("bytes"), made)
    rng = np.random.default_rng([plan.seed, 1 << 30])
    per = (plan.length - plan.block) // plan.stride
    rows = []
    for _ in range(plan.windows):
        out = np.empty((plan.length, contexts.CONTEXTS), np.int32)
        contexts.window_rows(training.corpus.window(rng, plan.length, plan.crlf), WARM, out)
        rows.append(out[np.arange(per) * plan.stride])
    weights = integer(np.concatenate(rows), np.rint(shares.numpy() * 256).astype(np.int64))
    chosen = np.take_along_axis(weights, values.numpy()[..., None], axis=2) / 2**24
    assert -np.log2(chosen).mean() == pytest.approx(bits(), rel=0.02)


# The command


@pytest.fixture
def small_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command trains, made small."""
    monkeypatch.setattr(text_training, "TextPlan", partial(text_training.TextPlan, **SMALL))
    monkeypatch.setattr(blocks, "BlockPlan", partial(blocks.BlockPlan, **SMALL_BLOCKS))


@pytest.mark.usefixtures("small_plans")
def test_train_text_by_the_command(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the README has it: train, encode with the model's path; the same command goes on where it stopped."""
    monkeypatch.chdir(tmp_path)
    command = ["train", "text", "--data", data, "-o", "mine.safetensors", "--pieces", 1, "--rate", "1e-3"]
    result = good(*command, "--steps", 2)
    assert "2 steps of 128 bytes" in result.err and not result.out
    plan = zoo.card(tmp_path / "mine.safetensors")["plan"]
    assert (plan["steps"], plan["rate"]) == (2, 1e-3)
    assert (tmp_path / "mine.safetensors.work" / "text.safetensors").is_file()
    good("encode", "-m", "mine.safetensors", data / "licence", "-o", "licence.bfn")
    assert good("decode", "-c", "licence.bfn").out == (data / "licence").read_bytes()
    assert "going on from step 2" in good(*command, "--steps", 3).err
    monkeypatch.chdir(data)
    (tmp_path / "list").write_text("licence\n\nmore/lines\n")
    command[3] = tmp_path / "texts" / "more" / "short"
    result = good(*command, "--steps", 1, "--skip", tmp_path / "list", "--init", "default", "--table-rate", 0.5, "-q")
    assert not result.err
    card = zoo.card(data / "mine.safetensors")
    assert card["plan"]["table_rate"] == 0.5 and card["bytes"] == 97


@pytest.mark.usefixtures("small_plans")
@pytest.mark.parametrize(
    "options, words",
    [
        ("-o mine.bin", "safetensors"),
        ("-o mine.safetensors --init nothing", "nothing"),
        ("-o mine.safetensors --init tiny", "tensor"),
        ("-o mine.safetensors --skip list", "no text"),
        ("-o mine.safetensors --mix list", "no list of shares"),
    ],
)
def test_train_text_refuses(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str, words: str
) -> None:
    """One line, exit 1, no model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list").write_text("licence\nmore/short\nmore/lines\n")
    result = call("train", "text", "--data", data, "--steps", 1, "--pieces", 1, *options.split())
    assert result.code == 1 and words in result.err and len(result.err.splitlines()) == 1
    assert sorted(item.name for item in tmp_path.iterdir()) == ["list", "texts"]


@pytest.mark.usefixtures("small_plans")
def test_train_on_a_mix_by_the_command(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that match nothing are left out, and so is what comes after the first bytes of a file."""
    monkeypatch.chdir(tmp_path)
    Path("mix.json").write_text(json.dumps({"more/short": 1, "licence": {"share": 3, "first": 6400}}))
    good("train", "text", "--data", data, "--mix", "mix.json", "-o", "a.safetensors", "--steps", 1, "--pieces", 1)
    assert zoo.card(tmp_path / "a.safetensors")["bytes"] == 6200 + 97
    drawn: list[Corpus] = []

    def noted(corpus: Corpus, *_: Any, **__: Any) -> None:
        drawn.append(corpus)

    monkeypatch.setattr(blocks, "train", noted)
    good("train", "blocks", "--data", data, "--mix", "mix.json", "-o", "a.safetensors")
    assert drawn[0].bytes == 6200 + 97 and drawn[0].seen.cumulative == pytest.approx([0.75, 1])


@pytest.mark.usefixtures("small_plans")
def test_train_blocks_by_the_command(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    good("train", "blocks", "--data", data, "-o", "mine.safetensors", "--steps", 2, "--rate", "1e-3")
    told = zoo.card(tmp_path / "mine.safetensors")["blocks"]
    assert (told["steps"], told["rate"], told["block"]) == (2, 1e-3, 2)
    good("encode", "--effort", "blocks", "-m", "mine.safetensors", data / "licence", "-o", "licence.bfn")
    assert good("decode", "-c", "licence.bfn").out == (data / "licence").read_bytes()


@pytest.mark.usefixtures("small_plans")
def test_a_checkpoint_of_another_network(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same folder of work, another block: one line that says so."""
    monkeypatch.chdir(tmp_path)
    command = ["train", "blocks", "--data", data, "-o", "mine.safetensors", "--steps", 1, "--block"]
    good(*command, 2)
    result = call(*command, 4)
    assert result.code == 1 and len(result.err.splitlines()) == 1
