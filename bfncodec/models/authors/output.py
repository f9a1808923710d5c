"""From what a network says to the probabilities of its output distribution, and to weights that are coded with."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bfncodec.exact.pmf import TOTAL
from bfncodec.flow.theta import LOG_STEPS, AnyTheta
from bfncodec.models.authors.configs import Config, Flat, Levels
from bfncodec.models.authors.networks import Network
from bfncodec.models.authors.store import load
from bfncodec.models.paper.single import log_weights, means
from bfncodec.models.paper.spec import Spec

LOG_DEVIATION = 10.0  # logarithms of deviations are clipped to this, both ways


@torch.inference_mode()
def predict(network: Network, inputs: NDArray[Any], time: NDArray[Any]) -> NDArray[np.float64]:
    """Output distribution p_O(x given theta; t), float64 [n, D, K]; rows sum to 1, and entries may be 0.

    inputs: of class models theta, float [n, ..., K]; of discretised ones the means mu of the input distributions,
    float [n, ...]. time: float [n] in [0, 1]. The axes ... are flattened to D in C order (row, column, channel).
    The result depends on the machine and, in its last bits, on n: encode and decode the same batches.
    """
    config = network.config
    rest = () if isinstance(config, Flat) else (config.classes,)
    flat = np.asarray(inputs, np.float64).reshape(len(inputs), config.variables, *rest)
    moment = np.asarray(time, np.float64).reshape(len(inputs))
    device = next(network.parameters()).device
    given, when = torch.from_numpy(flat).to(device), torch.from_numpy(moment).to(device)
    outputs = network(given.float(), when.float()).double()
    if isinstance(config, Flat):
        distribution = bins(*data_prediction(config, outputs, given, when), config.bins)
    elif isinstance(config, Levels):
        distribution = torch.stack([(-outputs).sigmoid(), outputs.sigmoid()], dim=-1)
    else:
        distribution = outputs.softmax(-1)
    return distribution.cpu().numpy()


def data_prediction(config: Flat, noise: Tensor, means: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation [n, D] of the data from mean and log deviation [n, D, 2] of the noise (section 5.2).

    Before min_time the means tell nothing: the data's mean is 0 and its deviation 1.
    """
    exponent = (math.log(config.min_variance) * time.clamp(min=config.min_time))[:, None]
    gamma, variance = -torch.expm1(exponent), torch.exp(exponent)
    scale = (variance / gamma).sqrt()
    mean = means / gamma - scale * noise[..., 0]
    deviation = scale * noise[..., 1].clamp(-LOG_DEVIATION, LOG_DEVIATION).exp()
    early = (time < config.min_time)[:, None]
    mean, deviation = mean.masked_fill(early, 0.0), deviation.masked_fill(early, 1.0)
    return mean, deviation.clamp(config.min_deviation, config.max_deviation)


def bins(mean: Tensor, deviation: Tensor, count: int) -> Tensor:
    """Mass [n, D, count] of a Gaussian in equal bins of [-1, 1]; the outer bins take what is beyond (section 5)."""
    edges = torch.arange(1, count, dtype=torch.float64, device=mean.device) * (2 / count) - 1
    scaled = (edges - mean[..., None]) / deviation[..., None]
    infinite = torch.full_like(scaled[..., :1], math.inf)
    scaled = torch.cat([-infinite, scaled, infinite], dim=-1)
    low, high = scaled[..., :-1], scaled[..., 1:]
    # Above the mean the mirror image is taken: differences of small numbers keep their digits.
    above = low > 0
    return _below(torch.where(above, -low, high)) - _below(torch.where(above, -high, low))


def _below(z: Tensor) -> Tensor:
    """Mass of a standard Gaussian below z; its digits are good where z is negative, unlike those of torch's ndtr."""
    return torch.special.erfc(z * -math.sqrt(0.5)) / 2


class FloatPredictor:
    """`models.paper.single.Predictor` of an imported model, in floats: good on one machine, for one batch size."""

    def __init__(self, path: Path) -> None:
        config, self.network = load(path)
        self.spec = spec(config)

    def weights(self, theta: AnyTheta | None, items: int, step: int, steps: int) -> NDArray[np.int64]:
        shares = predict(self.network, self._inputs(theta, items), np.full(items, step / max(steps, 1)))
        levels = self.spec.levels
        weights = np.floor(shares.reshape(-1, levels) * (TOTAL - 2 * levels)).astype(np.int64) + 1
        weights[np.arange(len(weights)), weights.argmax(axis=1)] += TOTAL - weights.sum(axis=1)
        return weights

    def _inputs(self, theta: AnyTheta | None, items: int) -> NDArray[np.float64]:
        spec = self.spec
        if spec.kind == "values":
            posterior_means, _ = means(theta, spec, (items, *spec.shape))
            return posterior_means / (1024 * spec.levels / 2)
        logs = log_weights(theta, spec, items)
        shares = np.exp((logs - logs.max(axis=1, keepdims=True)) / LOG_STEPS)
        shares /= shares.sum(axis=1, keepdims=True)
        return shares.reshape(items, spec.size, spec.levels)


def spec(config: Config) -> Spec:
    """The variables and the accuracy schedule of a configuration; it has no integer network."""
    final = str(config.min_variance**0.5 if isinstance(config, Flat) else config.beta_1)
    if isinstance(config, Flat):
        kind, shape, alphabet = "values", (config.side, config.side, config.channels), bytes(range(config.bins))
    elif isinstance(config, Levels):
        kind, shape, alphabet = "binary", (config.side, config.side, 1), b"\0\1"
    else:
        kind, shape, alphabet = "classes", (1, config.length, 1), b" abcdefghijklmnopqrstuvwxyz"[: config.classes]
    return Spec(kind, shape, alphabet, final, (), (), (1, 1), (1, 1), (1, 1), 0)
