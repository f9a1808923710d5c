"""The theory of what was coded: path loss and n-step loss, in bits. Floats belong here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.pmf import TOTAL_BITS
from bfncodec.flow.sender import VectorSender


@dataclass
class GroupLoss:
    """Costs of one group, or of a span of groups without noise coded at once, in bits.

    For each noisy step its path cost, its KL and what the stack grew by (pushes less pops); the same
    for the reconstruction.
    """

    first: int = 0
    variables: int = 0
    path: list[float] = field(default_factory=list)
    divergence: list[float] = field(default_factory=list)
    spent: list[int] = field(default_factory=list)
    reconstruction: float = 0.0
    reconstruction_spent: int = 0

    def add(self, path: float, divergence: float, spent: int) -> None:
        """Take note of a step."""
        self.path.append(path)
        self.divergence.append(divergence)
        self.spent.append(spent)

    @property
    def n_step_loss(self) -> float:
        """KL of all steps, plus reconstruction."""
        return sum(self.divergence) + self.reconstruction


@dataclass
class Ledger:
    """Costs of all groups in coding order; a span of groups coded at once is one entry.

    others: the noisy groups along further paths, one list a path; as many paths as it has lists.
    """

    groups: list[GroupLoss] = field(default_factory=list)
    others: list[list[GroupLoss]] = field(default_factory=list)

    def blank(self) -> Ledger:
        """An empty ledger of as many paths."""
        return Ledger(others=[[] for _ in self.others])

    def extend(self, other: Ledger) -> None:
        """Append what another ledger of as many paths holds."""
        self.groups += other.groups
        for path, more in zip(self.others, other.others, strict=True):
            path += more

    @property
    def path_loss(self) -> float:
        """Bits along the noise really drawn: what the coder must spend."""
        return sum(sum(group.path) + group.reconstruction for group in self.groups)

    @property
    def n_step_loss(self) -> float:
        """KL(p_S || p_R) of all steps plus reconstruction (arXiv:2308.07037, L^n + L^r), averaged over all paths."""
        exact = sum(group.reconstruction for group in self.groups if not group.path)
        return float(self._noisy().mean(axis=0).sum()) + exact

    @property
    def standard_error(self) -> float:
        """Of `n_step_loss`, in bits, from how the paths of each group scatter; nan for a single path."""
        noisy = self._noisy()
        return _scatter(noisy) / math.sqrt(len(noisy))

    @property
    def path_deviation(self) -> float:
        """Of `path_loss`, in bits: how far one path may well be from the n-step loss; nan for a single path."""
        return _scatter(
            np.array([[sum(group.path) + group.reconstruction for group in path] for path in self._paths()])
        )

    def _paths(self) -> list[list[GroupLoss]]:
        """The noisy groups of every path."""
        return [[group for group in self.groups if group.path], *self.others]

    def _noisy(self) -> NDArray[np.float64]:
        """n-step losses of the noisy groups, float64 [paths, groups]."""
        return np.array([[group.n_step_loss for group in path] for path in self._paths()], np.float64)


def _scatter(costs: NDArray[np.float64]) -> float:
    """Standard deviation of the sum over groups of costs [paths, groups]."""
    if not costs.size:
        return 0.0
    return math.sqrt(float(costs.var(axis=0, ddof=1).sum())) if len(costs) > 1 else math.nan


def surprise(weights: NDArray[Any], symbols: NDArray[Any]) -> float:
    """Sum of -log2 of the weights [n, k] of symbols [n], in bits."""
    chosen = np.take_along_axis(weights, symbols.astype(np.int64)[:, None], axis=1)
    return float((TOTAL_BITS - np.log2(chosen.astype(np.float64))).sum())


def divergence(sender: NDArray[Any], receiver: NDArray[Any], offsets: NDArray[Any]) -> float:
    """KL(p_S || p_R) in bits, summed over n variables.

    sender: weights [n, k]; receiver: weights [n, m]; sender symbol 0 is receiver symbol offsets [n].
    """
    index = offsets.astype(np.int64)[:, None] + np.arange(sender.shape[1])
    matched = np.take_along_axis(receiver, index, axis=1).astype(np.float64)
    weights = sender.astype(np.float64)
    return float((weights * np.log2(weights / matched)).sum() / 2.0**TOTAL_BITS)


def vector_costs(
    sender: VectorSender, values: NDArray[Any], views: NDArray[Any], output: NDArray[Any], name: tuple[int, int]
) -> tuple[float, float]:
    """Path cost in bits of views int [n, K] of classes int [n], and KL(p_S || p_R) averaged over DRAWS more views.

    name: of the view; other views are averaged over other draws.
    """
    rng = np.random.default_rng(name)
    count, classes = output.shape
    own = sender.hot(values)
    sums = sender.table.cumsum(axis=1)
    divergences = []
    for _ in range(DRAWS):
        points = rng.integers(0, 1 << TOTAL_BITS, count * classes)
        drawn = np.where(own, np.searchsorted(sums[1], points, "right"), np.searchsorted(sums[0], points, "right"))
        others = sender.coordinate.receiver_views(drawn.reshape(count, classes))
        divergences.append(_vector_path(sender, values, others, output))
    return _vector_path(sender, values, views, output), float(np.mean(divergences))


def _vector_path(sender: VectorSender, values: NDArray[Any], views: NDArray[Any], output: NDArray[Any]) -> float:
    ratio = sender.table[1] / sender.table[0]
    likely = ratio[sender.coordinate.receiver_symbols(views)]
    own = likely[np.arange(len(values)), values.astype(np.int64)]
    return float((TOTAL_BITS + np.log2(own) - np.log2((output * likely).sum(axis=1))).sum())


DRAWS = 4
