"""The transmission: sender and receiver of a Bayesian Flow Network on one ANS stack.

`decode` reads like the paper: noisy views under the receiver distribution, Bayesian
updates, then the data under the output distribution. The noise that the decoder saw is
pushed back by its sender distribution: bits the encoder took from the stack (bits-back).
`encode` is the mirror image of `decode`, line by line.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from bfncodec.coding.ans import Coder
from bfncodec.errors import CorruptFile
from bfncodec.flow import loss
from bfncodec.flow.schedule import Group
from bfncodec.flow.sender import sender
from bfncodec.flow.theta import AnyTheta, prior

Values = NDArray[Any]
RESERVE_BITS = 64  # asked for on top of the expected bits of a step's noise


class Output(Protocol):
    """The output distribution of a span of groups, p_O(x | theta)."""

    def weights(self) -> NDArray[Any]:
        """Pmfs [n, K] of the variables. Asked for in groups with noisy steps."""

    def push(self, coder: Coder, values: Values) -> None:
        """Push the variables int [n]."""

    def pop(self, coder: Coder) -> Values:
        """Pop the variables int [n]."""

    def cost(self, values: Values) -> float:
        """-log2 p_O of the variables, in bits."""


class Model(Protocol):
    """A schedule, and a network that sees all groups before the one it predicts."""

    @property
    def groups(self) -> Sequence[Group]:
        """The schedule."""

    def spans(self) -> Iterable[range]:
        """All groups in order, cut into ranges; groups of one range may share a network call when encoding.

        A group with noisy steps is a range by itself.
        """

    def values(self, span: range) -> Values:
        """The variables of a span. Asked for when encoding only."""

    def output(self, span: range, theta: AnyTheta | None) -> Output:
        """The network's prediction. theta is None where no noisy step has come."""

    def reveal(self, group: int, values: Values) -> None:
        """Take note of decoded variables."""


def encode(coder: Coder, model: Model, ledger: loss.Ledger | None = None) -> set[int]:
    """Push everything. Returns the groups whose noise the stack could not feed: sent without noisy steps."""
    silent = set()
    before = len(ledger.groups) if ledger is not None else 0
    for span in reversed(list(model.spans())):
        x = model.values(span)
        group = model.groups[span[0]]
        steps = group.steps if len(span) == 1 else ()
        if steps and coder.bits < _noise_bits(group):
            silent.add(span[0])
            steps = ()
        theta = prior(steps, len(x)) if steps else None
        sent = []
        entry = loss.GroupLoss()
        for step in steps:
            channel = sender(step)
            output = model.output(span, theta)
            symbols = coder.pop(channel.weights(x))
            y = channel.noisy(x, symbols)
            views, receiver = channel.receiver_symbols(y), channel.receiver(output.weights())
            sent.append((views, receiver))
            if ledger is not None:
                _record(entry, channel.weights(x), symbols, views, receiver)
            assert theta is not None
            theta.update(step, y)
        output = model.output(span, theta)
        output.push(coder, x)
        for views, receiver in reversed(sent):
            coder.push(views, receiver)
        if ledger is not None:
            entry.reconstruction = output.cost(x)
            ledger.groups.insert(before, entry)
    return silent


def decode(coder: Coder, model: Model, silent: Collection[int] = (), last: int | None = None) -> None:
    """Pop groups 0 .. last - 1 (all by default) and reveal them to the model."""
    for number, group in enumerate(model.groups[:last]):
        span = range(number, number + 1)
        steps = () if number in silent else group.steps
        theta = prior(steps, group.size) if steps else None
        seen = []
        for step in steps:
            channel = sender(step)
            output = model.output(span, theta)
            y = channel.receiver_views(coder.pop(channel.receiver(output.weights())))
            assert theta is not None
            theta.update(step, y)
            seen.append((channel, y))
        x = model.output(span, theta).pop(coder)
        for channel, y in reversed(seen):
            symbols = channel.symbols(x, y)
            if symbols.min() < 0 or symbols.max() >= channel.table.shape[1]:
                raise CorruptFile("a noisy view is impossible for the value it stands for")
            coder.push(symbols, channel.weights(x))
        model.reveal(number, x)


def _noise_bits(group: Group) -> int:
    """Bits that are surely enough to pop the noise of a group."""
    return sum(sender(step).noise_bits * group.size + RESERVE_BITS for step in group.steps)


def _record(
    entry: loss.GroupLoss, weights: Values, symbols: Values, receiver_symbols: Values, receiver: Values
) -> None:
    paid = loss.surprise(receiver, receiver_symbols) - loss.surprise(weights, symbols)
    entry.path.append(paid)
    entry.divergence.append(loss.divergence(weights, receiver, receiver_symbols - symbols))
