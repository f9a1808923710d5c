"""Checkpoints: weights, optimiser state and the step in one safetensors file that is whole at any time."""

import json
import os
from pathlib import Path
from typing import Any

import safetensors.numpy
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bfncodec.errors import BfnError
from bfncodec.models import zoo
from bfncodec.train import distributed

Optimisers = list[torch.optim.Optimizer]


def save(path: Path, tensors: dict[str, Tensor], optimisers: Optimisers, plan: dict[str, Any], step: int) -> None:
    """Write everything that training needs to go on; of several processes only the first does."""
    if not distributed.first():
        return
    tensors = dict(tensors)
    for number, optimiser in enumerate(optimisers):
        for index, state in optimiser.state_dict()["state"].items():
            tensors |= {f"state.{number}.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    temporary = path.with_name(path.name + ".part")
    save_file(tensors, temporary, {"plan": json.dumps(plan), "step": str(step)})
    os.replace(temporary, path)


def plan(path: Path) -> dict[str, Any]:
    """The plan that a checkpoint was made with; BfnError if it is none."""
    try:
        with safe_open(path, "pt") as file:
            fields: dict[str, Any] = json.loads(file.metadata()["plan"])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BfnError(f"{path} cannot be read as a checkpoint") from error
    return fields


def load(path: Path, optimisers: Optimisers) -> tuple[dict[str, Tensor], dict[str, Any], int]:
    """Tensors, plan and step of a checkpoint; the optimisers take their state. BfnError if it is none."""
    fields = plan(path)
    with safe_open(path, "pt") as file:
        step = int(file.metadata()["step"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for number, optimiser in enumerate(optimisers):
        entries: dict[int, dict[str, Tensor]] = {}
        for name, value in part(tensors, f"state.{number}.").items():
            index, key = name.split(".", 1)
            entries.setdefault(int(index), {})[key] = value
        optimiser.load_state_dict({"state": entries, "param_groups": optimiser.state_dict()["param_groups"]})
    return tensors, fields, step


def check_name(path: Path) -> None:
    """BfnError if a path cannot be a model file's."""
    if path.suffix != zoo.SUFFIX:
        raise BfnError(f"{path}: a model file's name ends in {zoo.SUFFIX}")


def write_model(path: Path, tensors: dict[str, NDArray[Any]], card: dict[str, Any]) -> None:
    """Write a model; the file is whole at any time, and everybody may read it. As with `save`, the first does."""
    if not distributed.first():
        return
    temporary = path.with_name(path.name + ".part")
    safetensors.numpy.save_file(tensors, temporary, {"card": json.dumps(card)})
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
