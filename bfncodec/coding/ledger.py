"""What a transmission costs in theory and in bits, group by group: an observer of encodings. Floats belong here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.ans import Coder
from bfncodec.coding.channels import noise_bits
from bfncodec.coding.decisions import Decided
from bfncodec.coding.protocol import Observer, Pushable, Source, Values, View, draw
from bfncodec.exact.splitmix import stream
from bfncodec.flow.schedule import AnyStep


@dataclass
class GroupLoss:
    """Costs of one group, or of a span of groups without noise coded at once, in bits."""

    first: int = 0
    variables: int = 0
    path: list[float] = field(default_factory=list)  # of each noisy step, as the next two
    divergence: list[float] = field(default_factory=list)  # KL
    spent: list[int] = field(default_factory=list)  # what the stack grew by: pushes less pops
    reconstruction: float = 0.0
    reconstruction_spent: int = 0
    parts: dict[str, float] = field(default_factory=dict)  # of the reconstruction, by what was decided

    @property
    def n_step_loss(self) -> float:
        """KL of all steps, plus reconstruction."""
        return sum(self.divergence) + self.reconstruction


@dataclass
class Ledger(Observer):
    """Costs of all groups in coding order; a span of groups coded at once is one entry."""

    groups: list[GroupLoss] = field(default_factory=list)
    others: list[list[GroupLoss]] = field(default_factory=list)  # noisy groups along further paths, a list a path
    _first: int = field(default=0, init=False, repr=False, compare=False)  # group of the encoding at hand
    _level: int = field(default=0, init=False, repr=False, compare=False)  # of the stack after what was last seen

    def begins(self) -> None:
        self._first = len(self.groups)

    def group(self, coder: Coder, model: Source, span: range, x: Values, steps: tuple[AnyStep, ...]) -> None:
        self.groups.insert(self._first, GroupLoss(span[0], len(x)))
        for number, path in enumerate(self.others, 1):
            if steps:
                before = sum(1 for group in self.groups[: self._first] if group.path)
                path.insert(before, _along(model, span, steps, x, number))
        self._level = coder.bits

    def drawn(self, coder: Coder, view: View, x: Values, weights: Values) -> None:
        entry = self.groups[self._first]
        path, divergence = view.link.costs(x, view.y, weights, view.name)
        entry.path.append(path)
        entry.divergence.append(divergence)
        entry.spent.append(self._grown(coder))

    def pushed(self, coder: Coder, output: Pushable, x: Values) -> None:
        entry = self.groups[self._first]
        entry.reconstruction, entry.reconstruction_spent = output.cost(x), self._grown(coder)
        if isinstance(output, Decided):
            entry.parts = output.costs()

    def sent(self, coder: Coder, step: int) -> None:
        self.groups[self._first].spent[step] += self._grown(coder)

    def _grown(self, coder: Coder) -> int:
        """Bits that the stack has grown by since this was last asked."""
        before, self._level = self._level, coder.bits
        return self._level - before

    def blank(self) -> Self:
        """An empty ledger of as many paths."""
        return type(self)(others=[[] for _ in self.others])

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
        costs = [[sum(group.path) + group.reconstruction for group in path] for path in self._paths()]
        return _scatter(np.array(costs))

    def _paths(self) -> list[list[GroupLoss]]:
        return [[group for group in self.groups if group.path], *self.others]

    def _noisy(self) -> NDArray[np.float64]:
        """n-step losses of the noisy groups, float64 [paths, groups]."""
        return np.array([[group.n_step_loss for group in path] for path in self._paths()], np.float64)


def _along(model: Source, span: range, steps: tuple[AnyStep, ...], x: Values, path: int) -> GroupLoss:
    """Losses of a noisy group along another path, whose noise is popped off fixed random bits."""
    coder = Coder(stream((span[0], path - 1), noise_bits(steps, len(x)) // 64 + 1).tobytes() + b"\1")
    seen = Ledger(groups=[GroupLoss(span[0], len(x))])
    _, output = draw(coder, model, span, steps, x, seen, path)
    entry = seen.groups[0]
    entry.spent, entry.reconstruction = [0] * len(steps), output.cost(x)
    return entry


def _scatter(costs: NDArray[np.float64]) -> float:
    """Standard deviation of the sum over groups of costs [paths, groups]."""
    if not costs.size:
        return 0.0
    return math.sqrt(float(costs.var(axis=0, ddof=1).sum())) if len(costs) > 1 else math.nan
