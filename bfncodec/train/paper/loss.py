"""The n-step loss of the paper in floating point."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bfncodec.models.paper.spec import TIME_INPUTS, Spec
from bfncodec.train import distributed

_FINE = 1.5  # deviations in levels below which the bins of values show
_NEAR = 8  # bins that matter there


class Shown(NamedTuple):
    """What n items show before a step: network inputs, and what its outputs are added to."""

    inputs: Tensor  # float [n, H, W, inputs]
    base: Tensor  # log-odds [n, H, W, C], means in levels, or log-weights [n, H, W, K]
    spread: Tensor  # deviation in levels [n] (values only)


class Flow:
    """The float side of a spec: noise, network inputs, output distribution, losses in nats."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        points, weights = np.polynomial.hermite_e.hermegauss(8 if spec.kind == "binary" else 5)
        self.points = torch.tensor(points, dtype=torch.float32)
        self.weights = torch.tensor(weights / weights.sum(), dtype=torch.float32)

    def precision(self, at: Tensor) -> Tensor:
        """Sum of 1 / variance of all views up to time `at`, in levels or one-hot coordinates."""
        spec = self.spec
        if spec.kind == "values":
            return (float(spec.final) ** (-2 * at) - 1) * (2 / spec.levels) ** 2
        return float(spec.final) * (4 if spec.kind == "binary" else spec.levels) * at * at

    def seen(self, items: Tensor, at: Tensor) -> Shown:
        """Noise up to time `at` [n] on symbols int [n, H, W, C]."""
        spec, precision = self.spec, self.precision(at)[:, None, None, None]
        empty = torch.zeros(len(items))
        if spec.kind == "binary":
            noise = torch.randn(items.shape) * precision.sqrt()
            odds = (items - 0.5) * precision + noise
            return Shown((odds / 4).clamp(-2, 2) * 3.96875, odds, empty)
        if spec.kind == "classes":
            hot = functional.one_hot(items[..., 0], spec.levels).float()
            logs = hot * precision + torch.randn(hot.shape) * precision.sqrt()
            logs = logs - logs.mean(-1, keepdim=True)
            return Shown(logs.clamp(-7.9, 7.9), logs, empty)
        centre, prior = (spec.levels - 1) / 2, (2 / spec.levels) ** 2
        sums = (items - centre) * precision + torch.randn(items.shape) * precision.sqrt()
        means, spread = sums / (precision + prior), (precision + prior).rsqrt()
        return Shown(value_inputs(means, spread, spec.levels), means + centre, spread.flatten())

    def outputs(self, network: nn.Module, seen: Shown, time: Tensor) -> Tensor:
        """Log-odds [n, H, W, C], log-weights [n, H, W, K] or mixtures [n, H, W, C, 3, mixtures] in levels."""
        spec, raw = self.spec, network(seen.inputs, time)
        if spec.kind != "values":
            return raw + seen.base
        raw = raw.view(*raw.shape[:3], spec.shape[2], 3, spec.mixtures)
        spread = seen.spread[:, None, None, None, None]
        means = seen.base[..., None] + spread * raw[..., 1, :].clamp(-8, 8)
        scales = spread.log() - 0.6 + raw[..., 2, :]
        return torch.stack([raw[..., 0, :], means, scales.clamp(min=math.log(spec.levels / 8192))], -2)

    def divergence(self, outputs: Tensor, items: Tensor, precision: Tensor) -> Tensor:
        """KL(p_S || p_R) in nats [n] of a view with 1 / variance `precision` [n]."""
        spec, wide = self.spec, precision[:, None, None, None]
        if spec.kind == "binary":
            own = outputs * (2 * items - 1)
            other = -wide[..., None] / 2 - self.points * wide[..., None].sqrt()
            ratio = torch.logaddexp(
                functional.logsigmoid(own)[..., None], functional.logsigmoid(-own)[..., None] + other
            )
            return -(ratio * self.weights).sum((1, 2, 3, 4))
        if spec.kind == "classes":
            # The limit of small accuracy, half the squared distance of the means: the continuous-time loss.
            hot = functional.one_hot(items[..., 0], spec.levels)
            return wide[:, 0, 0, 0] / 2 * (hot - outputs.softmax(-1)).square().sum((1, 2, 3))
        fine = precision > 1 / _FINE**2
        divergences = torch.zeros(len(items))
        for these, divergence in ((~fine, self._coarse_divergence), (fine, self._fine_divergence)):
            if these.any():
                divergences[these] = divergence(outputs[these], items[these], wide[these])
        return divergences

    def _coarse_divergence(self, outputs: Tensor, items: Tensor, wide: Tensor) -> Tensor:
        """The receiver as a mixture of Gaussians: the noise hides the bins."""
        deviation = wide.rsqrt()[..., None]
        views = items[..., None] + deviation * self.points
        logits, means, scales = outputs.unbind(-2)
        variance = (2 * scales).exp() * (math.pi**2 / 3) + deviation**2 + 1 / 12
        distance = (views[..., None] - means[..., None, :]) ** 2 / variance[..., None, :]
        shares = logits.log_softmax(-1)[..., None, :]
        received = (shares - distance / 2 - variance.log()[..., None, :] / 2).logsumexp(-1)
        sent = -(self.points**2) / 2 - deviation.log()
        return ((sent - received) * self.weights).sum((1, 2, 3, 4))

    def _fine_divergence(self, outputs: Tensor, items: Tensor, wide: Tensor) -> Tensor:
        """The receiver bin by bin, over the bins near the value."""
        near = torch.arange(-_NEAR, _NEAR + 1)
        edges = items[..., None] + torch.arange(-_NEAR, _NEAR + 2) - 0.5
        logits, means, scales = outputs.unbind(-2)
        below = (edges[..., None] - means[..., None, :]) * (-scales).exp()[..., None, :]
        below = (logits.softmax(-1)[..., None, :] * below.sigmoid()).sum(-1)
        below = below.where(edges > 0, torch.zeros(())).where(edges < self.spec.levels - 1, torch.ones(()))
        masses = (below[..., 1:] - below[..., :-1]).clamp(min=0) * (1 - 2.0**-15) + 2.0**-24
        precision = wide[..., None]
        views = self.points * precision.rsqrt()
        # log N(y; x + k) / N(y; x) for the neighbours k of x
        ratio = (views[..., None] * near - near**2 / 2) * precision[..., None]
        received = (masses.log()[..., None, :] + ratio).logsumexp(-1)
        return -(received * self.weights).sum((1, 2, 3, 4))

    def reconstruction(self, outputs: Tensor, items: Tensor) -> Tensor:
        """-ln p_O in nats [n]."""
        spec = self.spec
        if spec.kind == "binary":
            return -functional.logsigmoid(outputs * (2 * items - 1)).sum((1, 2, 3))
        if spec.kind == "classes":
            return -outputs.log_softmax(-1).gather(-1, items).sum((1, 2, 3))
        logits, means, scales = outputs.unbind(-2)
        values, inverse = items[..., None], (-scales).exp()
        upper = torch.sigmoid((values + 0.5 - means) * inverse).where(values < spec.levels - 1, torch.ones(()))
        lower = torch.sigmoid((values - 0.5 - means) * inverse).where(values > 0, torch.zeros(()))
        mass = (logits.softmax(-1) * (upper - lower)).sum(-1)
        return -(mass * (1 - 2.0**-15) + 2.0**-24).log().sum((1, 2, 3))

    def losses(
        self, network: nn.Module, items: Tensor, step: Tensor, count: Tensor, share: slice = distributed.ALL
    ) -> Tensor:
        """Nats [n] of step [n] (0 .. count) of the n-step loss: the KL of view step + 1; reconstruction at the end."""
        # All items get noise, whatever the share.
        seen = Shown(*(part[share] for part in self.seen(items, step / count)))
        items, step, count = items[share], step[share], count[share]
        at = step / count
        outputs = self.outputs(network, seen, time_inputs(at))
        following = (step + 1).clamp(max=count) / count
        precision = self.precision(following) - self.precision(at)
        last = step >= count
        kl = self.divergence(outputs, items, precision.where(~last, torch.ones(())))
        return self.reconstruction(outputs, items).where(last, kl)


def value_inputs(means: Tensor, spread: Tensor, levels: int) -> Tensor:
    """What the network sees of means from the centre [n, H, W, C] with deviations [n, 1, 1, 1]: `Spec.inputs` a pixel.

    Coarse; against the four neighbours and, in colours, against the channel before, in units of 2 deviations.
    """
    wide = functional.pad(means.permute(0, 3, 1, 2), (1, 1, 1, 1), "replicate").permute(0, 2, 3, 1)
    around = (wide[:, :-2, 1:-1], wide[:, 2:, 1:-1], wide[:, 1:-1, :-2], wide[:, 1:-1, 2:])
    differences = [means - other for other in around] + [means[..., 1:] - means[..., :-1]]
    fine = torch.cat(differences, 3) / (2 * spread)
    return torch.cat([means * (15.875 / levels), fine], 3).clamp(-7.9, 7.9)


def time_inputs(at: Tensor) -> Tensor:
    """Hat functions [n, TIME_INPUTS] of times in [0, 1], as `spec.time_inputs`."""
    knots = torch.arange(TIME_INPUTS)
    return (1 - (at[:, None] * (TIME_INPUTS - 1) - knots).abs()).clamp(min=0)
