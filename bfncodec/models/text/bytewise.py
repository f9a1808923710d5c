"""The `blocks` schedule with B = 1: every byte from all bytes before it, in compiled loops.

The bytes are cut into lanes, each with a memory of its own, that are coded side by side. A section of a lane is one
group; its output distribution is the product of the bits' conditional probabilities, so its loss is -log2 p and there
are no noisy steps: the autoregressive limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding import ans
from bfncodec.coding.ans import Coder, pop_bit
from bfncodec.exact import threads
from bfncodec.exact.compiled import compiled
from bfncodec.exact.layers import Tensors
from bfncodec.flow.schedule import Group
from bfncodec.flow.theta import AnyTheta
from bfncodec.models.text import network
from bfncodec.models.text.memory import FULL, Kit, Memory, Scratch, fresh, fresh_scratch
from bfncodec.models.text.mixing import end_byte, find, predict, start_byte, update
from bfncodec.models.text.network import FORESEEN, Layers, foresee, foretell

Bytes = NDArray[np.uint8]
Array = NDArray[Any]

SECTION = 1 << 22  # bytes of a stream: what an encoder keeps the probabilities of at once
_AHEAD = 1 << 10  # bytes that the network is asked about at once, where they are known


def slot_bits(size: int) -> int:
    """2**bits buckets a context serve a text of `size` bytes."""
    return min(max(size.bit_length() - 2, 10), 19)


class Bytewise:
    """A lane of a text. data: its bytes, or room for those that are decoded."""

    def __init__(self, layers: Layers, tensors: Tensors, data: Bytes, kit: Kit = FULL) -> None:
        self.layers, self.network = network.own(layers), kit.network
        self.memory = fresh(tensors, data, slot_bits(len(data)), kit)

    def sources(self) -> Iterator[SectionSource]:
        """The lane to encode in parts with a stream each; the learning goes on from one to the next."""
        return (SectionSource(self, span) for span in self._cuts())

    def sinks(self) -> Iterator[SectionSink]:
        """The same parts to decode."""
        return (SectionSink(self, span) for span in self._cuts())

    def _cuts(self) -> Iterator[range]:
        size = len(self.memory.data)
        for first in range(0, size, SECTION):
            yield range(first, min(first + SECTION, size))


class Section:
    """Some bytes of a lane as a schedule of one group."""

    def __init__(self, text: Bytewise, span: range) -> None:
        self.text, self.span = text, span
        self.groups = [Group(len(span))]

    def spans(self) -> Iterable[range]:
        return [range(1)]


class SectionSource(Section):
    """A section to encode: a `coding.protocol.Source`."""

    def values(self, span: range) -> Bytes:
        """The bytes."""
        return self.text.memory.data[self.span.start : self.span.stop]

    def output(self, span: range, theta: AnyTheta | None) -> Foreseen:
        text = self.text
        return _foreseen(text.layers, text.memory, self.span, text.network)


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
        """Pop bytes uint8 [n], all that the coder holds, to where they stand in the lane."""
        text, span = self.text, self.span
        known, nowhere = np.empty((0, FORESEEN if text.network else 0), np.int32), np.empty(0, np.uint16)
        scratch = fresh_scratch(text.memory)
        _code(text.layers, text.memory, scratch, span.start, span.stop, known, nowhere, *coder.opened())
        return text.memory.data[span.start : span.stop]

    def reveal(self, group: int, values: Bytes) -> None:
        """Decoded bytes are in their place already."""


def dry_run(layers: Layers, memory: Memory, text: Bytes, kit: Kit = FULL) -> float:
    """Bits of a memory's text, the memory learning on the way: for training."""
    return _foreseen(layers, memory, range(len(text)), kit.network).cost(text)


def _foreseen(layers: Layers, memory: Memory, span: range, network: bool) -> Foreseen:
    """Some bytes, all known."""
    probabilities, nothing, scratch = np.empty(8 * len(span), np.uint16), np.empty(0, np.uint64), fresh_scratch(memory)
    parts = threads.ahead(_network(layers, memory, span)) if network else [(span, np.empty((len(span), 0), np.int32))]
    for part, known in parts:
        out = probabilities[8 * (part.start - span.start) :]
        _code(layers, memory, scratch, part.start, part.stop, known, out, nothing, nothing)
    return Foreseen(probabilities)


def _network(layers: Layers, memory: Memory, span: range) -> Iterator[tuple[range, Array]]:
    """What the network says of known bytes, a part at a time."""
    state = memory.state.copy()
    for first in range(span.start, span.stop, _AHEAD):
        part = range(first, min(first + _AHEAD, span.stop))
        known = np.empty((len(part), FORESEEN), np.int32)
        foresee(layers, memory.data, state, first, known)
        yield part, known


@compiled
def _code(
    layers: Layers, memory: Memory, scratch: Scratch, first: int, last: int, known: Array, out: Array,
    stack: Array, words: Array,
) -> None:  # fmt: skip
    """Code bytes first .. last - 1, learning on the way.

    Without a stack the bytes are known, and what the network says of them; the probabilities of their bits go to
    `out`, in order. With one (`Coder.opened`), each bit is popped from it with its probability, and the bytes go to
    the memory.
    """
    start_byte(memory, scratch)
    for position in range(first, last):
        foreseen = scratch.foreseen[: known.shape[1]]
        if len(known):
            foreseen = known[position - first]
        elif len(foreseen):
            foretell(layers, memory.state, foreseen)
        find(memory, scratch)
        partial = 1
        for bit in range(8):
            chance = predict(memory, scratch, foreseen, partial, bit)
            if len(stack):
                value = pop_bit(stack, words, chance)
            else:
                value = (int(memory.data[position]) >> (7 - bit)) & 1
                out[8 * (position - first) + bit] = chance
            update(memory, scratch, foreseen, partial, bit, value)
            partial = partial << 1 | value
        if len(stack):
            memory.data[position] = partial & 0xFF
        end_byte(memory, scratch, position)
