"""The transmission: sender and receiver of a Bayesian Flow Network on one ANS stack.

`decode` reads like the paper: noisy views under the receiver distribution, Bayesian
updates, then the data under the output distribution. The noise that the decoder saw is
pushed back by its sender distribution: bits the encoder took from the stack (bits-back).
`encode` is the mirror image of `decode`, line by line.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding import ledger as ledger_coding
from bfncodec.coding.ans import Coder
from bfncodec.coding.channels import channel, noise_bits
from bfncodec.coding.mixtures import Ints
from bfncodec.exact.splitmix import stream
from bfncodec.flow.loss import surprise
from bfncodec.flow.schedule import AnyStep, Group
from bfncodec.flow.theta import AnyTheta, prior

Values = NDArray[Any]

KEPT = 1 << 26  # weights of a group's steps that are kept until the views are sent; more are computed again


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


def encode(coder: Coder, model: Model, ledger: ledger_coding.Ledger | None = None) -> set[int]:
    """Push everything. Returns the groups whose noise the stack could not feed: sent without noisy steps."""
    silent = set()
    before = len(ledger.groups) if ledger is not None else 0
    for span in reversed(list(model.spans())):
        x = model.values(span)
        steps = _steps(model, span)
        if steps and coder.bits < noise_bits(steps, len(x)):
            silent.add(span[0])
            steps = ()
        entry = ledger_coding.GroupLoss(span[0], len(x)) if ledger is not None else None
        theta = prior(steps, len(x)) if steps else None
        sent = []
        for number, step in enumerate(steps):
            link, name = channel(step), (span[0], number)
            weights = _weights(model, span, theta)
            keeps = weights.size * len(steps) <= KEPT
            again = partial(_same, weights) if keeps else partial(_weights, model, span, deepcopy(theta))
            level = coder.bits
            y = link.draw(coder, x, name)
            sent.append((link, y, again, name))
            if entry is not None:
                entry.add(*link.costs(x, y, weights, name), coder.bits - level)
            assert theta is not None
            theta.update(step, y)
        output = model.output(span, theta)
        level = coder.bits
        output.push(coder, x)
        if entry is not None:
            entry.reconstruction, entry.reconstruction_spent = output.cost(x), coder.bits - level
        for number, (link, y, again, name) in reversed(list(enumerate(sent))):
            level = coder.bits
            link.send(coder, y, again(), name)
            if entry is not None:
                entry.spent[number] += coder.bits - level
        if ledger is not None and entry is not None:
            ledger.groups.insert(before, entry)
    if ledger is not None:
        for number, path in enumerate(ledger.others):
            path += _another(model, silent, number)
    return silent


def _weights(model: Model, span: range, theta: AnyTheta | None) -> Values:
    return model.output(span, theta).weights()


def _same(weights: Values) -> Values:
    return weights


def _another(model: Model, silent: Collection[int], number: int) -> list[ledger_coding.GroupLoss]:
    """Losses of all noisy groups along another path, whose noise is popped off fixed random bits."""
    groups = []
    for span in model.spans():
        steps = _steps(model, span)
        if not steps or span[0] in silent:
            continue
        x = model.values(span)
        coder = Coder(stream((span[0], number), noise_bits(steps, len(x)) // 64 + 1).tobytes() + b"\1")
        theta, entry = prior(steps, len(x)), ledger_coding.GroupLoss(span[0], len(x))
        for index, step in enumerate(steps):
            link, name = channel(step), (span[0], index + (number + 1 << 16))
            weights = model.output(span, theta).weights()
            y = link.draw(coder, x, name)
            entry.add(*link.costs(x, y, weights, name), 0)
            theta.update(step, y)
        entry.reconstruction = model.output(span, theta).cost(x)
        groups.append(entry)
    return groups


def _steps(model: Model, span: range) -> tuple[AnyStep, ...]:
    return model.groups[span[0]].steps if len(span) == 1 else ()


def decode(coder: Coder, model: Model, silent: Collection[int] = (), last: int | None = None) -> None:
    """Pop groups 0 .. last - 1 (all by default) and reveal them to the model."""
    for number, group in enumerate(model.groups[:last]):
        span = range(number, number + 1)
        steps = () if number in silent else group.steps
        theta = prior(steps, group.size) if steps else None
        seen = []
        for index, step in enumerate(steps):
            link = channel(step)
            y = link.receive(coder, model.output(span, theta).weights(), (number, index))
            assert theta is not None
            theta.update(step, y)
            seen.append((link, y))
        x = model.output(span, theta).pop(coder)
        for link, y in reversed(seen):
            link.give_back(coder, x, y)
        model.reveal(number, x)


class Table:
    """Any pmfs: weights int64 [n, K]."""

    def __init__(self, weights: NDArray[np.int64]) -> None:
        self.made = weights

    def weights(self) -> NDArray[np.int64]:
        """Pmfs [n, K]."""
        return self.made

    def push(self, coder: Coder, values: Ints) -> None:
        """Push symbols [n]."""
        coder.push(values, self.made)

    def pop(self, coder: Coder) -> NDArray[np.uint8]:
        """Pop symbols [n], below 256."""
        return coder.pop(self.made).astype(np.uint8)

    def cost(self, values: Ints) -> float:
        """Bits of symbols [n]."""
        return surprise(self.made, values)
