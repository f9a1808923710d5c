"""Files: the authors' checkpoints, the safetensors models that are made of them, and the networks of either."""

import pickle
from collections.abc import Mapping
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
from bfncodec.models.authors.networks import Network, empty, shapes

KIND = "authors"
PREFIX = "authors."

_NESTS = ("model", "state_dict", "model_state_dict", "ema", "ema_model")  # keys under which weights may lie
_WRAPPERS = ("module.", "_orig_mod.", "model.", "net.")  # prefixes that wrappers give to names


def card(config: Config) -> dict[str, Any]:
    """The model card of a converted checkpoint."""
    return {"kind": KIND, "config": {"network": config.network, **asdict(config)}}


def published(path: Path, config: Config) -> dict[str, NDArray[np.float32]]:
    """Weights of a checkpoint (.pt) as tensors of a model file; no code in it is ever run.

    They may be bare, as the authors save them, or lie under a key, with prefixes of wrappers. CorruptFile for all else.
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


def build(config: Config, weights: Mapping[str, Tensor]) -> Network:
    """A network for inference that uses float32 weights as they are; CorruptFile if they are not its own."""
    network = empty(config)
    check(config, weights)
    network.load_state_dict(weights, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def check(config: Config, weights: Mapping[str, Tensor]) -> None:
    """CorruptFile names the first weights that are missing, unknown or of another shape."""
    wanted, found = shapes(config), {name: tuple(value.shape) for name, value in weights.items()}
    wrong = [f"{name} is missing" for name in wanted if name not in found]
    wrong += [f"{name} is unknown" for name in found if name not in wanted]
    wrong += [
        f"{name} has shape {list(found[name])}, not {list(shape)}"
        for name, shape in wanted.items()
        if name in found and found[name] != shape
    ]
    if wrong:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise CorruptFile(f"these are not the weights of that configuration: {', '.join(wrong[:3])}{more}")


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
