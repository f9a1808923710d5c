"""The `blocks` schedule with B = 1: every byte from all bytes before it, in compiled loops.

The bytes are cut into lanes, segments that are coded side by side: step t codes byte t of
every lane, lane after lane, and all lanes share what is learnt. A section of steps is one
group; its output distribution is the product of the bits' conditional probabilities, so
its loss is -log2 p and there are no noisy steps: the autoregressive limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding import ans
from bfncodec.coding.ans import Coder, pop_bit
from bfncodec.exact.compiled import compiled
from bfncodec.exact.kernels import Kernel
from bfncodec.exact.layers import Tensors
from bfncodec.flow.schedule import Group
from bfncodec.flow.theta import AnyTheta
from bfncodec.models.text import network
from bfncodec.models.text.contexts import rows
from bfncodec.models.text.memory import Lanes, Memory, Scratch, fresh, fresh_lanes, fresh_scratch
from bfncodec.models.text.mixing import end_byte, predict, start_byte, update
from bfncodec.models.text.network import Layers, weigh

Bytes = NDArray[np.uint8]
Array = NDArray[Any]

SECTION = 1 << 22  # bytes of a stream: what an encoder keeps the probabilities of at once


def slot_bits(size: int) -> int:
    """2**bits buckets a context serve a text of `size` bytes."""
    return min(max(size.bit_length() - 1, 10), 20)


class Bytewise:
    """What the lanes of one text share.

    data: the bytes, or room for those that are decoded; lanes: how many segments.
    """

    def __init__(self, kernel: Kernel, tensors: Tensors, data: Bytes, lanes: int) -> None:
        self.layers = network.load(kernel, tensors)
        self.length = -(-len(data) // lanes)
        self.memory = fresh(tensors, data, slot_bits(len(data)))
        self.data = self.memory.data
        self.lanes = fresh_lanes(lanes)

    def sources(self) -> Iterator[SectionSource]:
        """The text to encode in parts with a stream each; the learning goes on from one to the next."""
        return (SectionSource(self, steps) for steps in self._cuts())

    def sinks(self) -> Iterator[SectionSink]:
        """The same parts to decode."""
        return (SectionSink(self, steps) for steps in self._cuts())

    def _cuts(self) -> Iterator[range]:
        step = max(1, SECTION // len(self.lanes.states))
        for first in range(0, self.length, step):
            yield range(first, min(first + step, self.length))


class Section:
    """Some steps of a text as a schedule of one group."""

    def __init__(self, text: Bytewise, steps: range) -> None:
        self.text, self.steps = text, steps
        starts = np.arange(len(text.lanes.states)) * text.length
        positions = (np.arange(steps.start, steps.stop)[:, None] + starts).reshape(-1)
        self.positions = positions[positions < len(text.data)]
        self.groups = [Group(len(self.positions))]

    def spans(self) -> Iterable[range]:
        return [range(1)]


class SectionSource(Section):
    """A section to encode: a `coding.protocol.Source`."""

    def values(self, span: range) -> Bytes:
        """The bytes in coding order."""
        return self.text.data[self.positions]

    def output(self, span: range, theta: AnyTheta | None) -> Foreseen:
        text, steps = self.text, self.steps
        return _foreseen(text.layers, text.memory, text.lanes, steps, text.length, len(self.positions))


class Foreseen:
    """Output distribution of known bytes: the probabilities of a one, uint16 [8 n], of all their bits."""

    def __init__(self, probabilities: NDArray[np.uint16]) -> None:
        self.probabilities = probabilities

    def push(self, coder: Coder, values: Bytes) -> None:
        ans.push_bits(coder, np.unpackbits(values), self.probabilities)

    def cost(self, values: Bytes) -> float:
        return float(ans.costs_of_bits(np.unpackbits(values), self.probabilities).sum())


class SectionSink(Section):
    """A section that is decoded: a `coding.protocol.Sink`, and its own output distribution."""

    def output(self, span: range, theta: AnyTheta | None) -> SectionSink:
        return self

    def pop(self, coder: Coder) -> Bytes:
        """Pop bytes uint8 [n] in coding order, all that the coder holds, to where they stand in the text."""
        text, steps = self.text, self.steps
        nowhere = np.empty(0, np.uint16)
        _code(
            text.layers, text.memory, text.lanes, fresh_scratch(), steps.start, steps.stop, text.length,
            nowhere, *coder.opened(),
        )  # fmt: skip
        return text.data[self.positions]

    def reveal(self, group: int, values: Bytes) -> None:
        """Decoded bytes are in their place already."""


def dry_run(layers: Layers, memory: Memory, text: Bytes) -> float:
    """Bits of a memory's text in one lane, the memory learning on the way: for training."""
    return _foreseen(layers, memory, fresh_lanes(1), range(len(text)), len(text), len(text)).cost(text)


def _foreseen(layers: Layers, memory: Memory, lanes: Lanes, steps: range, length: int, count: int) -> Foreseen:
    """The `count` bytes of some steps, all known."""
    probabilities, stack = np.empty(8 * count, np.uint16), np.empty(0, np.uint64)
    _code(layers, memory, lanes, fresh_scratch(), steps.start, steps.stop, length, probabilities, stack, stack)
    return Foreseen(probabilities)


@compiled
def _code(
    layers: Layers, memory: Memory, lane: Lanes, scratch: Scratch, first: int, last: int, length: int,
    out: Array, stack: Array, words: Array,
) -> None:  # fmt: skip
    """Code steps first .. last - 1 of all lanes, learning on the way.

    Without a stack the bytes are known, and the probabilities of their bits go to `out`, in coding order; with one
    (`Coder.opened`), each bit is popped from it with its probability, and the bytes go to the memory.
    """
    done = 0
    for step in range(first, last):
        for number in range(len(lane.states)):
            position = number * length + step
            if position >= len(memory.data):
                continue
            rows(lane.states[number], scratch.rows)
            weigh(layers, scratch.rows, scratch.weights)
            start_byte(memory, scratch, lane.states[number])
            partial = 1
            for bit in range(8):
                chance = predict(memory, lane, number, scratch, partial, bit)
                if len(stack):
                    value = pop_bit(stack, words, chance)
                else:
                    value = (int(memory.data[position]) >> (7 - bit)) & 1
                    out[done] = chance
                    done += 1
                update(memory, lane, number, scratch, partial, bit, value)
                partial = partial << 1 | value
            memory.data[position] = partial & 0xFF
            end_byte(memory, lane, number, length, position)
