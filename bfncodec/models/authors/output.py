"""From what a network says to the probabilities of its output distribution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bfncodec.models.authors.configs import Flat, Levels
from bfncodec.models.authors.networks import Network

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
