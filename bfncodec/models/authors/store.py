"""Files: the authors' checkpoints, and the safetensors models that are made of them."""

import pickle
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bfncodec.errors import CorruptFile
from bfncodec.models import zoo
from bfncodec.models.authors.configs import Config, from_card
from bfncodec.models.authors.networks import Network, build, check, shapes

KIND = "authors"
PREFIX = "authors."

_NESTS = ("model", "state_dict", "model_state_dict", "ema", "ema_model")  # keys under which weights may lie
_WRAPPERS = ("module.", "_orig_mod.", "model.", "net.")  # prefixes that wrappers give to names


def card(config: Config) -> dict[str, Any]:
    """The model card of a converted checkpoint."""
    return {"kind": KIND, "config": {"network": config.network, **asdict(config)}}


def published(path: Path, config: Config) -> dict[str, NDArray[np.float32]]:
    """Weights of a checkpoint (.pt) as tensors of a model file; no code in it is ever run.

    The weights may be bare, as the authors save them, or lie under a key such as "model", and their names may have
    prefixes of wrappers. CorruptFile if the file holds anything but plain weights of that configuration.
    """
    weights = _unwrapped(_read(path))
    check(config, weights)
    return {PREFIX + name: _plain(name, weights[name]) for name in shapes(config)}


def load(path: Path, device: str = "cpu") -> tuple[Config, Network]:
    """Configuration and network of a model file that import-paper wrote; CorruptFile if it is another one."""
    try:
        entries = zoo.card(path)
        if entries.get("kind") != KIND:
            raise CorruptFile(f"{path} is not a model that import-paper made")
        config = from_card(entries["config"])
        with safe_open(path, "pt", device=device) as file:
            weights = {name.removeprefix(PREFIX): file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        return config, build(config, weights)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptFile(f"{path} cannot be read as a model of the authors: {error}") from error


def _read(path: Path) -> object:
    with path.open("rb") as file:
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise CorruptFile("it is damaged or holds more than weights; code in it was not run") from error
        except MemoryError:
            raise
        except Exception as error:  # damaged files raise whatever the reader stumbles over
            raise CorruptFile("it cannot be read as a PyTorch checkpoint of plain weights") from error


def _unwrapped(weights: object) -> dict[str, Tensor]:
    """Weights by the authors' names, without keys and prefixes around them."""
    while isinstance(weights, dict) and not any(isinstance(value, Tensor) for value in weights.values()):
        weights = next((weights[key] for key in _NESTS if isinstance(weights.get(key), dict)), None)
    if not isinstance(weights, dict):
        raise CorruptFile("it holds no table of weights")
    wrong = [name for name, value in weights.items() if not (isinstance(name, str) and isinstance(value, Tensor))]
    if wrong:
        raise CorruptFile(f"the entry {str(wrong[0])[:80]} among the weights is not a tensor with a name")
    while prefix := next((p for p in _WRAPPERS if all(name.startswith(p) for name in weights)), None):
        weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights


def _plain(name: str, value: Tensor) -> NDArray[np.float32]:
    if value.is_meta or value.layout != torch.strided or not value.is_floating_point():
        raise CorruptFile(f"{name} is not an array of floats")
    found = value.detach().float().contiguous()
    if not bool(torch.isfinite(found).all()):
        raise CorruptFile(f"{name} has values that are not finite")
    return found.numpy()
