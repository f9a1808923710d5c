"""Training in two processes that torchrun starts: the loss curves of one process, one set of files, the same resume."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tools import curves

from bfncodec.models import zoo
from bfncodec.train import distributed

TESTS = Path(__file__).parents[1]
NAMES = ("wavefront", "coset", "paper", "text")
FLOAT = int(curves.STEPS * (1 - curves.IMAGES.rounded))  # steps before integer rounding, which enlarges float noise
CUT = 10


def torchrun(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    paths = {"PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | paths)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("distributed")
    curves.write_data(made)
    (made / "one").mkdir()
    (made / "two").mkdir()
    return made


@pytest.fixture(scope="module")
def one(folder: Path) -> dict[str, list[float]]:
    return curves.curves(folder, folder / "one")


@pytest.fixture(scope="module")
def two(folder: Path) -> dict[str, Any]:
    stopped = curves.trainings(folder)["resumed"]()
    batch, draws = stopped.data.batch, iter(range(CUT))

    def stops(count: int) -> torch.Tensor:
        next(draws)
        return batch(count)

    stopped.data.batch = stops
    with pytest.raises(StopIteration):
        stopped.run(folder / "two" / "resumed.safetensors", -1.0)
    torchrun(TESTS / "tools" / "curves.py", folder, folder / "two")
    return json.loads((folder / "two" / "curves.json").read_text())


def apart(got: list[float], wanted: list[float]) -> np.ndarray:
    assert len(got) == len(wanted)
    return abs(np.array(got) / np.array(wanted) - 1)


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_learn_as_one(name: str, one: dict[str, Any], two: dict[str, Any]) -> None:
    """Gradients that are not averaged, or other shares, give curves that are 2e-4 to 4e-3 apart at once."""
    difference = apart(two[name], one[name])
    assert len(difference) == curves.STEPS
    assert difference[:FLOAT].max() < 1e-4 and difference.max() < 2e-3


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_write_the_checkpoint_of_one(
    name: str, folder: Path, one: dict[str, Any], two: dict[str, Any]
) -> None:
    """The same tensors, and optimisers that have seen every weight as often: heads that a step leaves out, too."""
    wanted, got = (load_file(folder / work / f"{name}.safetensors") for work in ("one", "two"))
    assert got.keys() == wanted.keys()
    for key, value in wanted.items():
        if key.endswith(".step"):
            assert torch.equal(got[key], value), key
        elif key.startswith("weight."):
            assert (got[key] - value).abs().max() < 1e-2, key
    assert not list(folder.glob("*/*.part"))


def test_two_processes_go_on_from_a_checkpoint(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert apart(two["resumed"], one["resumed"][CUT:]).max() < 1e-4


def test_what_two_processes_refuse(two: dict[str, Any]) -> None:
    assert "a folder that all of them share" in two["steps differ"]
    assert "too many for 1 items" in two["too few items"]


@pytest.mark.parametrize("total", [2, 3, 7, 8, 100])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_shares_are_the_whole_batch(count: int, total: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if total < count:
        return
    items, losses = torch.arange(total).double(), []
    taken = []
    monkeypatch.setattr(distributed, "processes", lambda: count)
    for rank in range(count):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        share = distributed.share(total)
        taken += items[share].tolist()
        losses.append(float(items[share].mean() * distributed.weight(total)))
    assert taken == items.tolist()
    assert np.mean(losses) == pytest.approx((total - 1) / 2, rel=1e-12)


def test_one_process_is_left_alone() -> None:
    """What is multiplied by 1 and cut by [:] keeps every bit."""
    network = torch.nn.Linear(1, 1)
    with distributed.joined("cpu"):
        assert distributed.first() and distributed.processes() == 1
        assert distributed.parallel(network, 5) is network
        assert distributed.share(9) == slice(None) and distributed.weight(9) == 1.0
    assert not torch.distributed.is_initialized()


def test_the_command_under_torchrun(folder: Path) -> None:
    """One model, one checkpoint, every line once."""
    digits = np.random.default_rng(1).integers(0, 2, (100, 28, 28)).astype(np.uint8) * 255
    np.save(folder / "digits.npy", digits)
    output = folder / "digits.safetensors"
    arguments = ["--config", "mnist", "--data", folder / "digits.npy", "-o", output, "--steps", "2", "--items", "4"]
    done = torchrun("-m", "bfncodec", "train", "paper", *arguments)
    assert zoo.card(output)["plan"]["items"] == 4
    assert done.stderr.count(" weights, 2 steps") == 1 and done.stderr.count("held-out nats") == 1
    assert [path.name for path in (folder / "digits.safetensors.work").iterdir()] == ["mnist.safetensors"]
