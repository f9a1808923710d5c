"""The transmission: sender and receiver of a Bayesian Flow Network on one ANS stack.

`decode` reads like the paper: noisy views under the receiver distribution, Bayesian
updates, then the data under the output distribution. The noise that the decoder saw is
pushed back by its sender distribution: bits the encoder took from the stack (bits-back).
`encode` is the mirror image of `decode`, line by line, and `draw` that of `receive`.
"""

from collections.abc import Collection, Iterable, Sequence
from copy import deepcopy
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.ans import Coder
from bfncodec.coding.channels import Link, Name, channel, noise_bits
from bfncodec.flow.loss import surprise
from bfncodec.flow.schedule import AnyStep, Group
from bfncodec.flow.theta import AnyTheta, prior

Values = NDArray[Any]

KEPT = 1 << 26  # weights of a group's steps that are kept until the views are sent; more are computed again


class Pushable(Protocol):
    """The output distribution p_O(x | theta) of a span of groups, as the encoder needs it."""

    def push(self, coder: Coder, values: Values) -> None:
        """Push the variables int [n]."""

    def cost(self, values: Values) -> float:
        """-log2 p_O of the variables, in bits."""


class Poppable(Protocol):
    """The output distribution of a span, as the decoder needs it."""

    def pop(self, coder: Coder) -> Values:
        """Pop the variables int [n]."""


@runtime_checkable
class Prediction(Protocol):
    """The output distribution of a group with noisy steps: receivers are made of its weights."""

    def weights(self) -> NDArray[Any]:
        """Pmfs [n, K] of the variables."""


class Table:
    """Any pmfs: weights int64 [n, K], for K of 256 at most."""

    def __init__(self, weights: NDArray[np.int64]) -> None:
        self._weights = weights

    def weights(self) -> NDArray[np.int64]:
        return self._weights

    def push(self, coder: Coder, values: Values) -> None:
        coder.push(values, self._weights)

    def pop(self, coder: Coder) -> NDArray[np.uint8]:
        return coder.pop(self._weights).astype(np.uint8)

    def cost(self, values: Values) -> float:
        return surprise(self._weights, values)


class Source(Protocol):
    """What is encoded: a schedule, its variables, and a network that sees all groups before the one it predicts."""

    @property
    def groups(self) -> Sequence[Group]:
        """The schedule."""

    def spans(self) -> Iterable[range]:
        """All groups in order, cut into ranges; groups of one range may share a network call.

        A group with noisy steps is a range by itself.
        """

    def values(self, span: range) -> Values:
        """The variables of a span."""

    def output(self, span: range, theta: AnyTheta | None) -> Pushable:
        """The network's prediction; theta is None where no noisy step has come.

        Spans without noisy steps are asked for once, from the last to the first. A `Prediction` for those with them.
        """


class Sink(Protocol):
    """What is decoded: the same schedule and network, which take note of the variables as they come."""

    @property
    def groups(self) -> Sequence[Group]:
        """The schedule."""

    def spans(self) -> Iterable[range]:
        """All groups in order, cut into ranges, maybe other ones than a `Source` has."""

    def output(self, span: range, theta: AnyTheta | None) -> Poppable:
        """The network's prediction of a span, see `Source`."""

    def reveal(self, group: int, values: Values) -> None:
        """Take note of decoded variables of the span that begins with a group."""


class View(NamedTuple):
    """A noisy view, and what it is sent with."""

    link: Link
    name: Name
    y: Values
    weights: Values | None  # p_O before the view; None: too large to be kept
    theta: AnyTheta | None  # what they can be computed from again


class Observer:
    """Is told what an encoding does to the stack, as it happens; this one takes no note."""

    def begins(self) -> None:
        """The encoding of a schedule begins; its last group comes first."""

    def group(self, coder: Coder, model: Source, span: range, x: Values, steps: tuple[AnyStep, ...]) -> None:
        """A span is about to be encoded, of the variables x through these noisy steps."""

    def drawn(self, coder: Coder, view: View, x: Values, weights: Values) -> None:
        """A view was drawn; weights: p_O before it."""

    def pushed(self, coder: Coder, output: Pushable, x: Values) -> None:
        """The variables were pushed."""

    def sent(self, coder: Coder, step: int) -> None:
        """The view of a step was sent."""


def encode(coder: Coder, model: Source, observer: Observer | None = None, without: Collection[int] = ()) -> set[int]:
    """Push everything. Returns the groups that were sent without noisy steps.

    Those are the ones whose noise the stack could not feed, and those `without`.
    """
    observer = observer or Observer()
    observer.begins()
    silent = set()
    for span in reversed(list(model.spans())):
        x, group = model.values(span), model.groups[span[0]]
        steps = group.steps
        if steps and (span[0] in without or coder.bits < noise_bits(steps, group.size)):
            silent.add(span[0])
            steps = ()
        observer.group(coder, model, span, x, steps)
        views, output = draw(coder, model, span, steps, x, observer)
        output.push(coder, x)
        observer.pushed(coder, output, x)
        for step, view in reversed(list(enumerate(views))):
            weights = _weights(model.output(span, view.theta)) if view.weights is None else view.weights
            view.link.send(coder, view.y, weights, view.name)
            observer.sent(coder, step)
    return silent


def decode(coder: Coder, model: Sink, silent: Collection[int] = (), last: int | None = None) -> None:
    """Pop the spans before group `last` (all by default) and reveal them to the model."""
    for span in model.spans():
        number, group = span[0], model.groups[span[0]]
        if number == last:
            break
        steps = () if number in silent else group.steps
        views, output = receive(coder, model, span, steps, group.size)
        x = output.pop(coder)
        for link, y in reversed(views):
            link.give_back(coder, x, y)
        model.reveal(number, x)


def draw(
    coder: Coder, model: Source, span: range, steps: tuple[AnyStep, ...], x: Values, observer: Observer, path: int = 0
) -> tuple[list[View], Pushable]:
    """Noisy views of x, their noise popped, and p_O after them. Paths have other names, and so other dither."""
    theta = prior(steps, len(x)) if steps else None
    views = []
    for index, step in enumerate(steps):
        assert theta is not None
        weights = _weights(model.output(span, theta))
        kept = (weights, None) if weights.size * len(steps) <= KEPT else (None, deepcopy(theta))
        link, name = channel(step), (span[0], index + (path << 16))
        view = View(link, name, link.draw(coder, x, name), *kept)
        theta.update(step, view.y)
        observer.drawn(coder, view, x, weights)
        views.append(view)
    return views, model.output(span, theta)


def receive(
    coder: Coder, model: Sink, span: range, steps: tuple[AnyStep, ...], size: int
) -> tuple[list[tuple[Link, Values]], Poppable]:
    """Noisy views of `size` variables under the receiver distribution, and p_O after them."""
    theta = prior(steps, size) if steps else None
    views = []
    for index, step in enumerate(steps):
        assert theta is not None
        weights = _weights(model.output(span, theta))
        link, name = channel(step), (span[0], index)
        y = link.receive(coder, weights, name)
        theta.update(step, y)
        views.append((link, y))
    return views, model.output(span, theta)


def _weights(output: Pushable | Poppable) -> Values:
    assert isinstance(output, Prediction), "a group with noisy steps needs whole pmfs"
    return output.weights()
