"""Input distributions: what the receiver knows of each variable by itself."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.pmf import LEVELS
from bfncodec.exact.tables import exp_negative, log_ratio
from bfncodec.flow.schedule import AnyStep, Dither, Draw, Step, Vector

MEAN_STEPS = 16  # means are in units of 1/16 level
LOG_STEPS = 64  # log-weights are in units of 1/64 nat
_CUT = 12 * LOG_STEPS


class Theta:
    """Gaussian input distributions of n variables under one accuracy schedule, with a flat prior.

    Bayes' update (arXiv:2308.07037, eq. 50) in integers: sums of accuracy times view, and the sum of accuracies.
    """

    def __init__(self, size: int) -> None:
        self.sums = np.zeros(size, np.int64)
        self.accuracy = 0
        self.steps = 0

    def update(self, step: AnyStep, views: NDArray[Any]) -> None:
        """Add views int [n], in 1 / unit level."""
        step = step.step if isinstance(step, Dither) else step
        assert isinstance(step, Step)
        self.sums = self.sums + step.accuracy * views.astype(np.int64)
        self.accuracy += step.accuracy
        self.steps += 1

    def means(self) -> NDArray[np.int64]:
        """Means in 1/16 of a view's unit, rounded to nearest; all zero before the first view."""
        if not self.accuracy:
            return np.zeros(len(self.sums), np.int64)
        return (2 * MEAN_STEPS * self.sums + self.accuracy) // (2 * self.accuracy)


class ClassTheta:
    """Input distributions of n classes 0 .. K - 1: log-weights, updated by every draw (arXiv:2308.07037, section 6)."""

    def __init__(self, size: int, classes: int = LEVELS) -> None:
        self.logs = np.zeros((size, classes), np.int64)
        self.steps = 0

    def update(self, step: AnyStep, views: NDArray[Any]) -> None:
        """Bayes' rule for the classes drawn, int [n]: ln(1 + K w / (1 - w)) on each, w = share / 2**16."""
        assert isinstance(step, Draw)
        self.logs[np.arange(len(views)), views] += log_ratio(step.share, step.classes, LOG_STEPS)
        self.steps += 1

    def shares(self) -> NDArray[np.int64]:
        """Probabilities int64 [n, K] in units of 1/255, rounded down."""
        distance = np.minimum(self.logs.max(axis=1, keepdims=True) - self.logs, _CUT)
        raw = (exp_negative(np.arange(_CUT + 1), LOG_STEPS) >> 10)[distance]
        return 255 * raw // raw.sum(axis=1, keepdims=True)


class VectorTheta:
    """Input distributions of n classes seen through Gaussian views of their one-hot coordinates (ibid.)."""

    def __init__(self, size: int, classes: int) -> None:
        self.sums = np.zeros((size, classes), np.int64)
        self.steps = 0
        self.bits = 0  # of the fractions in the sums

    def update(self, step: AnyStep, views: NDArray[Any]) -> None:
        """Add views int [n, K] in 1 / unit, weighted by their accuracy."""
        assert isinstance(step, Vector)
        self.sums = self.sums + step.step.accuracy * views.astype(np.int64)
        self.bits = step.step.precision + step.step.unit.bit_length() - 1
        self.steps += 1

    @property
    def logs(self) -> NDArray[np.int64]:
        """Log-weights int64 [n, K] in units of 1 / LOG_STEPS nat, rounded down."""
        return self.sums * LOG_STEPS >> self.bits


AnyTheta = Theta | ClassTheta | VectorTheta


def prior(steps: Sequence[AnyStep], size: int) -> AnyTheta:
    """What is known of `size` variables before the first of `steps`, which are of one kind."""
    first = steps[0]
    if isinstance(first, Vector):
        return VectorTheta(size, first.classes)
    return ClassTheta(size, first.classes) if isinstance(first, Draw) else Theta(size)
