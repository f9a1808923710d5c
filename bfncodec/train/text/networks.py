"""The networks of texts in floats, for training, and their rounding to integers: there is no training with rounding."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bfncodec.exact.compiled import compiled
from bfncodec.exact.kernels import ACTIVATION_MAX
from bfncodec.models.text.network import LOGIT_STEPS, ODDS_STEPS
from bfncodec.train.freeze import array, freeze, settled

Floats = NDArray[np.float64]

_HALF = torch.bfloat16
_SHORTEST, _LONGEST = 1.5, 500.0  # bytes that levels reach back at first


class LayersInTraining(nn.Module):
    """Inputs [n, inputs] -> logits float32 [n, outputs]; products in bfloat16; gain: of the first layer's weights.

    more: inputs of the second layer beside the first one's outputs.
    """

    def __init__(self, inputs: int, width: int, hidden: int, outputs: int, gain: float, more: int = 0) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.second = nn.Linear(width + more, hidden)
        self.last = nn.Linear(hidden, outputs)
        for layer, size in ((self.first, gain), (self.second, 1.4), (self.last, 0.5)):
            _start(layer, size)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = functional.relu(_half(self.first, inputs.to(_HALF)))
        return _half(self.last, functional.relu(_half(self.second, hidden))).float()


class RecurrentInTraining(LayersInTraining):
    """Inputs [texts, n, inputs] -> logits float32 [texts, n, outputs], with levels that run along the texts.

    A minimal gated unit (arXiv:2410.01201) without a bound on candidates: they are what is above zero.
    """

    def __init__(self, inputs: int, width: int, units: int, hidden: int, outputs: int, gain: float) -> None:
        super().__init__(inputs, width, hidden, outputs, gain, units)
        self.gate, self.candidate = nn.Linear(width, units), nn.Linear(width, units)
        for layer in (self.gate, self.candidate):
            _start(layer, 1.0)
        with torch.no_grad():
            self.gate.bias.copy_(-torch.linspace(math.log(_SHORTEST), math.log(_LONGEST), units))

    def forward(self, inputs: Tensor) -> Tensor:
        seen = functional.relu(_half(self.first, inputs.to(_HALF)))
        levels = levelled(_half(self.gate, seen).float().sigmoid(), _half(self.candidate, seen).float().relu())
        hidden = functional.relu(_half(self.second, torch.cat([seen, levels.to(_HALF)], dim=-1)))
        return _half(self.last, hidden).float()


def _start(layer: nn.Linear, size: float) -> None:
    nn.init.normal_(layer.weight, std=size / math.sqrt(layer.in_features))
    nn.init.zeros_(layer.bias)


def _half(layer: nn.Linear, values: Tensor) -> Tensor:
    return functional.linear(values, layer.weight.to(_HALF), layer.bias.to(_HALF))


def levelled(gates: Tensor, candidates: Tensor) -> Tensor:
    """Levels [texts, n, units] that begin at 0 and move towards candidates by a share that is a gate in 0 .. 1."""
    if gates.device.type == "cpu":
        levels: Tensor = _Levels.apply(gates, candidates)  # type: ignore[no-untyped-call]
        return levels
    moved = [torch.zeros_like(gates[:, 0])]
    for gate, candidate in zip(gates.unbind(1), candidates.unbind(1), strict=True):
        moved.append(torch.lerp(moved[-1], candidate, gate))
    return torch.stack(moved[1:], dim=1)


class _Levels(torch.autograd.Function):
    """The same in compiled loops, and back."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, candidates: Tensor) -> Tensor:
        gates, candidates = gates.contiguous(), candidates.contiguous()
        levels = torch.empty_like(gates)
        _along(*map(_numbers, (gates, candidates, levels)))
        ctx.save_for_backward(gates, candidates, levels)
        return levels

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        gates, candidates, levels = ctx.saved_tensors
        of_gates, of_candidates = torch.empty_like(gates), torch.empty_like(gates)
        known = gates, candidates, levels, gradient.contiguous(), of_gates, of_candidates, torch.zeros_like(gates[:, 0])
        _back(*map(_numbers, known))
        return of_gates, of_candidates


def _numbers(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().numpy()


@compiled
def _along(gates: Any, candidates: Any, levels: Any) -> None:
    for text in range(gates.shape[0]):
        for unit in range(gates.shape[2]):
            levels[text, 0, unit] = gates[text, 0, unit] * candidates[text, 0, unit]
        for place in range(1, gates.shape[1]):
            for unit in range(gates.shape[2]):
                before = levels[text, place - 1, unit]
                levels[text, place, unit] = before + gates[text, place, unit] * (candidates[text, place, unit] - before)


@compiled
def _back(
    gates: Any, candidates: Any, levels: Any, gradient: Any, of_gates: Any, of_candidates: Any, running: Any
) -> None:
    for text in range(gates.shape[0]):
        for back in range(gates.shape[1]):
            place = gates.shape[1] - 1 - back
            for unit in range(gates.shape[2]):
                total = running[text, unit] + gradient[text, place, unit]
                gate, candidate = gates[text, place, unit], candidates[text, place, unit]
                of_gates[text, place, unit] = total * candidate
                if place > 0:
                    of_gates[text, place, unit] = total * (candidate - levels[text, place - 1, unit])
                of_candidates[text, place, unit] = total * gate
                running[text, unit] = total - total * gate


def frozen_layers(prefix: str, trained: LayersInTraining, values: Floats, scale: float) -> dict[str, NDArray[Any]]:
    """The layers as integers; inputs int [n, in], in steps of 1 / scale, tell the activations' ranges."""
    scales = np.full(values.shape[-1], scale)
    made: dict[str, NDArray[Any]] = {}
    seen = _rounded(f"{prefix}.first", trained.first, values, scales, made)
    hidden = _rounded(f"{prefix}.second", trained.second, *seen, made)
    _in_steps(f"{prefix}.last", trained.last, *hidden, LOGIT_STEPS, made)
    return made


def frozen_recurrent(trained: RecurrentInTraining, values: Floats, scale: float) -> dict[str, NDArray[Any]]:
    """The same of the text network, whose inputs are texts int [texts, n, in]."""
    texts, scales = len(values), np.full(values.shape[-1], scale)
    made: dict[str, NDArray[Any]] = {}
    seen = _rounded("text.first", trained.first, values.reshape(-1, len(scales)), scales, made)
    odds = _in_steps("text.gate", trained.gate, *seen, ODDS_STEPS, made)
    sums = _sums(trained.candidate, *seen)
    gates, candidates = (
        torch.from_numpy(part.reshape(texts, -1, part.shape[-1]).astype(np.float32))
        for part in (1 / (1 + np.exp(-odds)), sums.clip(0))
    )
    levels = levelled(gates, candidates).numpy().astype(np.float64).reshape(sums.shape)
    scales = _full(levels)
    _freeze("text.candidate", trained.candidate, *seen, scales, made)
    reached = np.concatenate([seen[0], np.floor(levels * scales).clip(0, ACTIVATION_MAX)], axis=1)
    hidden = _rounded("text.second", trained.second, reached, np.concatenate([seen[1], scales]), made)
    _in_steps("text.last", trained.last, *hidden, LOGIT_STEPS, made)
    return made


def _rounded(
    name: str, layer: nn.Linear, values: Floats, scales: Floats, made: dict[str, NDArray[Any]]
) -> tuple[Floats, Floats]:
    """Integers of a layer, by integer inputs [n, in] in steps of 1 / scales; its activations, and theirs."""
    sums = _sums(layer, values, scales)
    own = _full(sums)
    _freeze(name, layer, values, scales, own, made)
    return np.rint(sums * own).clip(0, ACTIVATION_MAX), own


def _in_steps(
    name: str, layer: nn.Linear, values: Floats, scales: Floats, steps: int, made: dict[str, NDArray[Any]]
) -> Floats:
    """Integers of a layer that gives sums in steps of their own, and these sums as floats."""
    _freeze(name, layer, values, scales, np.full(layer.out_features, float(steps)), made)
    return _sums(layer, values, scales)


def _sums(layer: nn.Linear, values: Floats, scales: Floats) -> Floats:
    sums: Floats = values @ (array(layer.weight) / scales).T + array(layer.bias)
    return sums


def _full(sums: Floats) -> Floats:
    """Steps [out] that make the larger ones of every unit's activations about 255: few units have the largest ones."""
    positive = sums.clip(0)
    most = max(np.quantile(positive, 0.9999), 1e-6)
    tops: Floats = np.quantile(positive, 0.9995, axis=0).clip(most / 8, 16 * most)
    return ACTIVATION_MAX / tops


def _freeze(
    name: str, layer: nn.Linear, values: Floats, scales: Floats, own: Floats, made: dict[str, NDArray[Any]]
) -> None:
    weight = array(layer.weight) / scales * own[:, None]
    whole = settled(weight, values)
    made.update(freeze(name, whole, array(layer.bias) * own + (weight - whole) @ values.mean(axis=0)))
