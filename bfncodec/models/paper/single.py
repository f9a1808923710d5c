"""The `single` schedule: all variables of an item in one group, through many noisy steps.

Items, or batches of them, do not see each other; one stack carries all, so that one pays for another's noise.
"""

import math
from collections.abc import Iterable
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.mixtures import MEAN_BITS, Mixtures
from bfncodec.coding.protocol import Table
from bfncodec.exact.kernels import Kernel
from bfncodec.exact.layers import INPUT_MAX, Tensors
from bfncodec.exact.pmf import LEVELS, TOTAL, TOTAL_BITS, normalise
from bfncodec.exact.tables import exp_negative
from bfncodec.flow.schedule import AnyStep, Group
from bfncodec.flow.theta import LOG_STEPS, AnyTheta, ClassTheta, Theta, VectorTheta
from bfncodec.models.paper.network import GridNetwork
from bfncodec.models.paper.spec import PRECISION, UNIT, Spec, time_inputs

Array = NDArray[Any]

_TAIL = 15 * LOG_STEPS  # log-weights further below the largest than this count as this
_OFFSET_MAX = 8 * 64  # of a mean, 1/64 of its deviation


class AnyPredictor(Protocol):
    """From what the receiver knows to p_O."""

    spec: Spec

    def weights(self, theta: AnyTheta | None, items: int, step: int, steps: int) -> NDArray[np.int64]:
        """p_O as weights int64 [items * D, K] before view `step` of `steps`; theta None knows nothing."""


class Predictor:
    """The same in integers."""

    def __init__(self, kernel: Kernel, tensors: Tensors, spec: Spec) -> None:
        self.spec = spec
        self.network = GridNetwork(kernel, tensors, spec)

    def weights(self, theta: AnyTheta | None, items: int, step: int, steps: int) -> NDArray[np.int64]:
        spec, time = self.spec, time_inputs(step, max(steps, 1))
        shape = (items, *spec.shape)
        if spec.kind == "values":
            return self._values(theta, shape, time)
        logs = log_weights(theta, spec, items)
        if spec.kind == "binary":
            inputs = ((logs[:, 1] * INPUT_MAX + 256) >> 9).clip(-INPUT_MAX, INPUT_MAX)
            logs[:, 1] += self.network(inputs.reshape(shape), time).reshape(-1)
            return softmax(logs)
        logs = logs - logs.sum(axis=1, keepdims=True) // spec.levels
        inputs = (logs + 2 >> 2).clip(1 - INPUT_MAX, INPUT_MAX - 1)
        raw = self.network(inputs.reshape(*shape[:3], -1), time)
        return softmax(logs + raw.reshape(logs.shape))

    def _values(self, theta: AnyTheta | None, shape: tuple[int, ...], time: list[int]) -> NDArray[np.int64]:
        spec = self.spec
        centres, spread = means(theta, spec, shape)
        coarse = (2 * INPUT_MAX * centres + 512 * spec.levels) // (1024 * spec.levels)
        fine = (8 * _differences(centres) + spread // 2) // spread
        inputs = np.concatenate([coarse, fine], axis=3).clip(1 - INPUT_MAX, INPUT_MAX - 1)
        raw = self.network(inputs, time).reshape(-1, 3, spec.mixtures).astype(np.int64)
        grain = LEVELS // spec.levels  # of the 256 levels that mixtures know
        offset = spread * raw[:, 1].clip(-_OFFSET_MAX, _OFFSET_MAX) >> 6
        places = (centres.reshape(-1, 1) + offset + (spec.levels - 1 << MEAN_BITS - 1)) * grain
        # log2 of the deviation in 1/16 level, less 0.6 nat (a logistic's scale is smaller), in 1/16 octave
        octaves = ((spread * grain) ** 16).bit_length() - 1 - 16 * (MEAN_BITS - 4) - 14
        scales = octaves + (raw[:, 2] * 23637 >> 16)
        parameters = [raw[:, 0] >> 2, places + (grain - 1 << MEAN_BITS - 1), scales]
        mixtures = Mixtures(np.stack(parameters, axis=1))
        bounds = mixtures.below(np.arange(0, LEVELS + 1, grain)[None])
        bounds[:, 0], bounds[:, -1] = 0, TOTAL
        return np.diff(bounds, axis=1)


def log_weights(theta: AnyTheta | None, spec: Spec, items: int) -> NDArray[np.int64]:
    """What is known of classes and binary data, int64 [items * D, K] in 1 / LOG_STEPS nat.

    For ones, against zeros, that is the sum of (view - 1/2) / variance.
    """
    if isinstance(theta, ClassTheta | VectorTheta):
        return theta.logs
    logs = np.zeros((items * spec.size, spec.levels), np.int64)
    if theta is not None:
        logs[:, 1] = (theta.sums - theta.accuracy * (UNIT // 2)) * LOG_STEPS // (UNIT << PRECISION)
    return logs


def means(theta: AnyTheta | None, spec: Spec, shape: tuple[int, ...]) -> tuple[NDArray[np.int64], int]:
    """Posterior means from the centre, int64 [n, H, W, C], and their deviation, both in 1/1024 level.

    The prior has the deviation K / 2, which is one in the paper's units.
    """
    own = (4 << PRECISION) // spec.levels**2
    if theta is None:
        return np.zeros(shape, np.int64), math.isqrt((1 << PRECISION + 20) // own)
    assert isinstance(theta, Theta)
    total = theta.accuracy + own
    sums = theta.sums - theta.accuracy * ((spec.levels - 1) * UNIT // 2)
    posterior_means = (sums * (1024 // UNIT) + total // 2) // total
    return posterior_means.reshape(shape), math.isqrt((1 << PRECISION + 20) // total)


def _differences(centres: NDArray[np.int64]) -> NDArray[np.int64]:
    """Means less those of the four neighbours, and less those of the channel before: [n, H, W, 5 C - 1]."""
    wide = np.pad(centres, ((0, 0), (1, 1), (1, 1), (0, 0)), "edge")
    around = (wide[:, :-2, 1:-1], wide[:, 2:, 1:-1], wide[:, 1:-1, :-2], wide[:, 1:-1, 2:])
    parts = [centres - other for other in around] + [centres[..., 1:] - centres[..., :-1]]
    return np.concatenate(parts, axis=3)


@cache
def _exponentials() -> NDArray[np.int64]:
    return exp_negative(np.arange(_TAIL + 1, dtype=np.int64), LOG_STEPS) >> 8


def softmax(logs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Weights int64 [n, K] of log-weights in 1 / LOG_STEPS nat."""
    distance = np.minimum(logs.max(axis=1, keepdims=True) - logs, _TAIL)
    sums = (_exponentials()[distance] + 1).cumsum(axis=1)
    return normalise((sums << TOTAL_BITS) // sums[:, -1:], TOTAL_BITS)


class SingleGroups:
    """Items as groups of `batch`, a group a span, through steps: a Source and a Sink of `coding.protocol`.

    symbols: int [items, D] when encoding, None when decoding.
    """

    def __init__(
        self, predictor: AnyPredictor, items: int, batch: int, steps: tuple[AnyStep, ...], symbols: Array | None = None
    ) -> None:
        self.predictor, self.batch, self.steps = predictor, batch, steps
        size = predictor.spec.size
        self.symbols = np.zeros((items, size), np.uint8) if symbols is None else symbols
        self.groups = [Group(min(batch, items - at) * size, steps) for at in range(0, items, batch)]

    def spans(self) -> Iterable[range]:
        return [range(number, number + 1) for number in range(len(self.groups))]

    def _items(self, number: int) -> slice:
        return slice(number * self.batch, (number + 1) * self.batch)

    def values(self, span: range) -> Array:
        return self.symbols[self._items(span[0])].reshape(-1)

    def output(self, span: range, theta: AnyTheta | None) -> Table:
        items = self.groups[span[0]].size // self.predictor.spec.size
        step = 0 if theta is None else theta.steps
        return Table(self.predictor.weights(theta, items, step, len(self.steps)))

    def reveal(self, group: int, values: Array) -> None:
        place = self.symbols[self._items(group)]
        place[:] = values.reshape(place.shape)
