"""Variables that compiled code decides bit by bit, as groups of a transmission without noisy steps."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

from numpy.typing import NDArray

from bfncodec.coding.ans import Coder
from bfncodec.coding.decisions import Decided, Wire, notes, opened
from bfncodec.flow.schedule import Group
from bfncodec.flow.theta import AnyTheta

Ints = NDArray[Any]

_NOTES = 1 << 22  # decisions that an encoder keeps before it puts them aside


class Outcome(ABC):
    """What an encoder knows and a decoder gets to know, in turns.

    turns: how many; most: decisions that one may take; kinds: names of what decisions are about.
    """

    turns: int
    most: int
    kinds: tuple[str, ...] = ("decisions",)

    @abstractmethod
    def code(self, wire: Wire, first: int, last: int) -> None:
        """Turns first .. last - 1: decisions noted, or popped and their outcome put to its place."""

    @abstractmethod
    def values(self) -> Ints:
        """The variables, int [n], those not known yet included."""

    def decided(self) -> Decided:
        """All decisions, of an encoder."""
        decided = Decided(self.kinds)
        step = max(1, _NOTES // self.most)
        wire = notes(self.most * min(step, self.turns))
        for first in range(0, self.turns, step):
            self.code(wire, first, min(first + step, self.turns))
            decided.take(wire)
        return decided


class _Outcomes:
    """A group for each of some outcomes, in order."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self.outcomes = outcomes
        self.groups = [Group(len(outcome.values())) for outcome in outcomes]

    def spans(self) -> Iterable[range]:
        return [range(number, number + 1) for number in range(len(self.outcomes))]


class OutcomeSource(_Outcomes):
    """Outcomes to encode: a `coding.protocol.Source`."""

    def values(self, span: range) -> Ints:
        return self.outcomes[span[0]].values()

    def output(self, span: range, theta: AnyTheta | None) -> Decided:
        return self.outcomes[span[0]].decided()


class OutcomeSink(_Outcomes):
    """Outcomes that are decoded: a `coding.protocol.Sink`."""

    def output(self, span: range, theta: AnyTheta | None) -> "_Popped":
        return _Popped(self.outcomes[span[0]])

    def reveal(self, group: int, values: Ints) -> None:
        """Decoded variables are in their place already."""


class _Popped:
    """The output distribution of an outcome in a decoder."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def pop(self, coder: Coder) -> Ints:
        """Pop all variables to their place."""
        self._outcome.code(opened(coder), 0, self._outcome.turns)
        return self._outcome.values()
