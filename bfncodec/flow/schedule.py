"""Schedules: which variables are sent when, and through how many noisy views.

A schedule is a list of groups. The variables of a group are first seen through noisy
steps of growing accuracy, all at once, then sent exactly. One group with many steps is
the paper's Bayesian Flow Network; one group a variable without noise is autoregression.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One noisy view by the Gaussian sender: deviation and grid spacing in levels.

    The accuracy of the paper's unit interval [-1, 1] is (K / 2)**2 / deviation**2.
    """

    deviation: int
    spacing: int

    @property
    def accuracy(self) -> int:
        """Integer accuracy, proportional to 1 / deviation**2."""
        return (1 << 20) // (self.deviation * self.deviation)


@dataclass(frozen=True)
class Draw:
    """One noisy view by the categorical sender: the class itself with probability share / 2**16, else any class.

    Its accuracy in the paper's unit is (share / 2**16)**2 (arXiv:2308.07037, section 6, m = 1).
    """

    share: int


AnyStep = Step | Draw


@dataclass(frozen=True)
class Group:
    """`size` variables sent together through `steps`, then exactly."""

    size: int
    steps: tuple[AnyStep, ...] = ()


def geometric(deviations: list[int]) -> tuple[Step, ...]:
    """Steps of the given deviations (levels), each on a grid of the power of two at or below its deviation."""
    return tuple(Step(deviation, 1 << (deviation.bit_length() - 1)) for deviation in deviations)
