"""The `blocks` schedule with B > 1: blocks of bytes through noisy steps, many lanes at a time.

A group holds the next B bytes of every lane. They are seen through draws of the categorical sender, all at once, then
sent exactly; a network call predicts all of them from the hashed contexts at the block's start and from theta. The last
bytes of every lane are groups of one byte without noise, which fill the stack. Nothing is learnt inside the file.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.protocol import Table
from bfncodec.errors import CorruptFile
from bfncodec.exact.compiled import compiled
from bfncodec.exact.kernels import ACTIVATION_MAX, Kernel
from bfncodec.exact.layers import INPUT_MAX, Linear, Tensors
from bfncodec.exact.pmf import LEVELS, TOTAL_BITS, normalise
from bfncodec.flow.schedule import Draw, Group
from bfncodec.flow.theta import AnyTheta, ClassTheta
from bfncodec.models.text import contexts
from bfncodec.models.text.contexts import advance, rows
from bfncodec.models.text.network import TAIL, exponentials

Bytes = NDArray[np.uint8]
Array = NDArray[Any]

SHARE = 1 << 14  # of the draws: one view in four is the byte itself, and some by chance
LANE_BYTES = 1 << 10  # bytes a lane at least
LANES = 256  # at most


def lanes_for(size: int) -> int:
    """How many lanes serve a text of `size` bytes."""
    return min(max(size // LANE_BYTES, 1), LANES)


class BlockNetwork:
    """Hashed contexts and theta of a block -> weights of its bytes, in integers."""

    def __init__(self, kernel: Kernel, tensors: Tensors) -> None:
        self.table = tensors["text.table"]
        self.views = tensors["blocks.views"].astype(np.int64)
        inputs = contexts.CONTEXTS * self.table.shape[1]
        self.block = (tensors["blocks.first.weight"].shape[1] - inputs) // self.views.shape[1]
        bounds = np.full(inputs + self.block * self.views.shape[1], INPUT_MAX + 1, np.int64)
        self.layers: list[Linear] = []
        for name in ("first", "second", "last"):
            self.layers.append(Linear(kernel, tensors, f"blocks.{name}", bounds))
            bounds = np.full(len(self.layers[-1].integers.bias), ACTIVATION_MAX, np.int64)
        if len(self.table) != contexts.ROWS or len(self.layers[-1].integers.bias) != LEVELS * self.block:
            raise CorruptFile("the model's block network has the wrong shape")
        self.kernel = kernel
        self.exponentials = exponentials()

    def __call__(self, rows: Array, shares: Array) -> NDArray[np.int64]:
        """Weights int64 [n, B, 256] from context rows [n, CONTEXTS] and theta [n, B, 256] in 1/255."""
        kernel = self.kernel
        seen = shares.reshape(-1, LEVELS) @ self.views >> 8
        inputs = np.concatenate([self.table[rows].reshape(len(rows), -1), seen.reshape(len(rows), -1)], axis=1)
        values = kernel.array(inputs.astype(np.int32))
        for layer in self.layers[:-1]:
            values = layer.activated(values)
        logits = kernel.numpy(self.layers[-1](values)).reshape(len(rows), self.block, LEVELS)
        distance = np.minimum(logits.max(axis=2, keepdims=True) - logits, TAIL)
        raw = self.exponentials[distance] + 1
        sums = raw.cumsum(axis=2)
        return normalise((sums << TOTAL_BITS) // sums[:, :, -1:], TOTAL_BITS)


class Blockwise:
    """The schedule and its predictor for one text of `size` bytes, as `coding.protocol` wants it.

    lanes: segments; quiet: bytes at the end of every lane, sent one by one without noise; text: bytes when encoding.
    """

    def __init__(
        self, network: BlockNetwork, size: int, lanes: int, steps: int, quiet: int, text: Bytes | None = None
    ) -> None:
        self.network = network
        self.starts = np.arange(lanes + 1) * size // lanes
        self.data = np.zeros(size, np.uint8) if text is None else text
        self.states = np.zeros((lanes, contexts.STATE), np.int64)
        shortest, longest = size // lanes, -(-size // lanes)
        block = network.block
        blocks = max(0, shortest - quiet) // block
        draws = tuple(Draw(SHARE) for _ in range(steps))
        self.places = [range(at * block, (at + 1) * block) for at in range(blocks)]
        self.groups = [Group(lanes * block, draws) for _ in range(blocks)]
        for at in range(blocks * block, longest):
            self.places.append(range(at, at + 1))
            self.groups.append(Group(len(self._positions(self.places[-1]))))
        self.rows: dict[int, Array] = {}  # context rows of every lane, by group: all of them when encoding
        if text is not None:
            for number, places in enumerate(self.places):
                self.rows[number] = self._now()
                self._advance(places, text[self._positions(places)])

    def _positions(self, places: range) -> NDArray[np.int64]:
        """Where in the text the bytes of a group stand: int64 [lanes * B]."""
        starts = self.starts[self._lanes(places)]
        return (starts[:, None] + np.arange(places.start, places.stop)).reshape(-1)

    def _lanes(self, places: range) -> NDArray[np.int64]:
        return np.flatnonzero(self.starts[:-1] + places[-1] < self.starts[1:])

    def _now(self) -> Array:
        """Context rows of every lane as it stands."""
        found = np.zeros((len(self.states), contexts.CONTEXTS), np.int64)
        _rows(self.states, found)
        return found

    def _advance(self, places: range, values: Bytes) -> None:
        _advance(self.states, self._lanes(places), values.reshape(-1, len(places)))

    def spans(self) -> Iterable[range]:
        return [range(number, number + 1) for number in range(len(self.groups))]

    def values(self, span: range) -> Bytes:
        return self.data[self._positions(self.places[span[0]])]

    def output(self, span: range, theta: AnyTheta | None) -> Table:
        number = span[0]
        places, block = self.places[number], self.network.block
        lanes = self._lanes(places)
        if number not in self.rows:
            self.rows = {number: self._now()}
        shares = np.zeros((len(lanes), block, LEVELS), np.int64)  # 1/255 each would round to this
        if isinstance(theta, ClassTheta):
            shares = theta.shares().reshape(shares.shape)
        weights = self.network(self.rows[number][lanes], shares)[:, : len(places)]
        return Table(np.ascontiguousarray(weights).reshape(-1, LEVELS))

    def reveal(self, group: int, values: Bytes) -> None:
        places = self.places[group]
        self.data[self._positions(places)] = values
        self._advance(places, values.astype(np.uint8))


@compiled
def _rows(states: Array, out: Array) -> None:
    for lane in range(len(states)):
        rows(states[lane], out[lane])


@compiled
def _advance(states: Array, lanes: Array, values: Array) -> None:
    for index in range(len(lanes)):
        for value in values[index]:
            advance(states[lanes[index]], int(value))
