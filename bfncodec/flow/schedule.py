"""Schedules: which variables are sent when, and through how many noisy views.

The variables of a group are seen through noisy steps of growing accuracy, all at once, then sent exactly. One group
with many steps is the paper's Bayesian Flow Network; one group a variable without noise is autoregression.
"""

import math
from dataclasses import dataclass

from bfncodec.exact.pmf import LEVELS


@dataclass(frozen=True)
class Step:
    """One noisy view of 0 .. levels - 1 by the Gaussian sender: deviation and grid spacing in 1 / unit level.

    unit and spacing are powers of two. The accuracy in [-1, 1] is (levels * unit / 2)**2 / deviation**2.
    """

    deviation: int
    spacing: int
    levels: int = LEVELS
    unit: int = 1
    precision: int = 20  # bits of an accuracy of one per level

    @property
    def accuracy(self) -> int:
        """Integer accuracy, proportional to 1 / deviation**2."""
        return (self.unit * self.unit << self.precision) // (self.deviation * self.deviation)


@dataclass(frozen=True)
class Dither:
    """A step whose noise is uniform, of the same variance, and known to both sides (subtractive dither)."""

    step: Step

    @property
    def width(self) -> int:
        """Width of a cell in 1 / unit level."""
        return math.isqrt(12 * self.step.deviation**2)


@dataclass(frozen=True)
class Draw:
    """One noisy view by the categorical sender: the class itself with probability share / 2**16, else any class.

    Its accuracy in the paper's unit is (share / 2**16)**2 (arXiv:2308.07037, section 6, m = 1).
    """

    share: int
    classes: int = LEVELS


@dataclass(frozen=True)
class Vector:
    """One noisy view of a class by the Gaussian sender: one of each one-hot coordinate (ibid., eq. of the sender)."""

    step: Step  # of one coordinate, with two levels; its variance is 1 / (K accuracy)
    classes: int


AnyStep = Step | Dither | Draw | Vector


@dataclass(frozen=True)
class Group:
    """`size` variables sent together through `steps`, then exactly."""

    size: int
    steps: tuple[AnyStep, ...] = ()


def geometric(deviations: list[int]) -> tuple[Step, ...]:
    """Steps of the given deviations (levels), each on a grid of the power of two at or below its deviation."""
    return tuple(Step(deviation, 1 << (deviation.bit_length() - 1)) for deviation in deviations)
