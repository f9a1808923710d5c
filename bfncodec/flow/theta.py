"""Input distributions: what the receiver knows of each variable by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.flow.schedule import Step

MEAN_STEPS = 16  # means are in units of 1/16 level


class Theta:
    """Gaussian input distributions of n variables under one accuracy schedule.

    The Bayesian update (arXiv:2308.07037, eq. 50) in integers: sums of accuracy times
    view, and the sum of accuracies; flat prior.
    """

    def __init__(self, size: int) -> None:
        self.sums = np.zeros(size, np.int64)
        self.accuracy = 0
        self.steps = 0

    def update(self, step: Step, views: NDArray[Any]) -> None:
        """Add views int [n], in levels."""
        self.sums = self.sums + step.accuracy * views.astype(np.int64)
        self.accuracy += step.accuracy
        self.steps += 1

    def means(self) -> NDArray[np.int64]:
        """Means in 1/16 level, rounded to nearest; all zero before the first view."""
        if not self.accuracy:
            return np.zeros(len(self.sums), np.int64)
        return (2 * MEAN_STEPS * self.sums + self.accuracy) // (2 * self.accuracy)
