"""The network of a configuration, with given weights or without any."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bfncodec.errors import CorruptFile
from bfncodec.models.authors.configs import Config, Flat, Levels
from bfncodec.models.authors.flat import FlatNetwork
from bfncodec.models.authors.levels import LevelsNetwork
from bfncodec.models.authors.transformer import TransformerNetwork

Network = LevelsNetwork | FlatNetwork | TransformerNetwork


def _empty(config: Config) -> Network:
    """A network that has names and shapes, but no weights and no memory for them."""
    with torch.device("meta"):
        if isinstance(config, Levels):
            return LevelsNetwork(config)
        return FlatNetwork(config) if isinstance(config, Flat) else TransformerNetwork(config)


def shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a configuration's weights, in the authors' order but without their prefix `net.`."""
    return {name: tuple(value.shape) for name, value in _empty(config).state_dict().items()}


def build(config: Config, weights: Mapping[str, Tensor]) -> Network:
    """A network for inference that uses float32 weights as they are; CorruptFile if they are not its own."""
    network = _empty(config)
    check(shapes(config), {name: tuple(value.shape) for name, value in weights.items()})
    network.load_state_dict(weights, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def check(wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> None:
    """CorruptFile names the first weights that are missing, unknown or of another shape."""
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
