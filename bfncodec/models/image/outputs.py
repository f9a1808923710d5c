"""What is pushed and popped for pixels: output distributions of cosets and diagonals."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.ans import Coder, push_intervals
from bfncodec.coding.mixtures import Mixtures
from bfncodec.exact.compiled import compiled
from bfncodec.exact.pmf import TOTAL_BITS
from bfncodec.models.image import compiled_features
from bfncodec.models.image.compiled_features import Frame
from bfncodec.models.image.learning_heads import OnlineHeads

Pixels = NDArray[Any]

CHUNK = 1 << 15  # targets of a coset that are predicted at once


class Seen(NamedTuple):
    """What the network sees of pixels."""

    pixels: NDArray[np.int64]  # canvas addresses [n]
    activations: NDArray[Any]  # of the trunk [n, width]
    base: NDArray[np.int64]  # 1/16 level [n, 3]
    cross: NDArray[np.int64]  # cross-channel coefficients, 2**-12 [n, 3]
    steps: NDArray[np.int64]  # scale steps [n, 3]


class DiagonalOutput:
    """Output distribution of diagonals: G, then R given G, then B given both. The encoder pushes `Rows` of it.

    channels: those that are coded; known: values [n, those before them].
    """

    def __init__(self, frame: Frame, heads: OnlineHeads, channels: range, seen: Seen, known: Pixels) -> None:
        self.frame, self.heads, self.channels = frame, heads, channels
        self.base, self.cross, self.steps = seen.base, seen.cross, seen.steps
        self.rows = heads.begin(seen.activations)
        self.values = np.zeros((len(self.base), channels.stop), np.int64)
        self.values[:, : channels.start] = known

    def channel(self, channel: int) -> Mixtures:
        """Mixtures of a channel, the values of those before it known."""
        frame, heads = self.frame, self.heads
        shift = np.zeros(len(self.base), np.int64)
        if channel:
            told = np.empty((len(self.base), 2), np.uint8)
            seen = self.base, self.cross, self.steps
            compiled_features.cross_channel(frame, channel, self.values, *seen, told, shift)
            heads.cross_inputs(channel, self.rows)[:] = told
        raw = heads.output(channel, self.rows)
        return mixtures_of(raw, frame.scale, self.base[:, channel], self.steps[:, channel], shift)

    def pop(self, coder: Coder) -> Pixels:
        """Pop values int64 [n * coded channels] of one diagonal, pixel by pixel."""
        for channel in self.channels:
            mixtures = self.channel(channel)
            self.values[:, channel] = mixtures.pop(coder)
            self.heads.keep(channel, self.rows, mixtures, self.values[:, channel])
        return self.values[:, self.channels.start :].reshape(-1)

    def intervals(self, values: Pixels) -> NDArray[np.int64]:
        """What `Rows` needs of values int64 [n, coded]: [n, coded, 2, 2], as `Mixtures.intervals` gives it."""
        self.values[:, self.channels.start :] = values
        intervals = np.empty((*values.shape, 2, 2), np.int64)
        for number, channel in enumerate(self.channels):
            mixtures = self.channel(channel)
            intervals[:, number] = mixtures.intervals(self.values[:, channel])
            self.heads.keep(channel, self.rows, mixtures, self.values[:, channel])
        return intervals


class Rows:
    """A span whose three-entry rows the encoder has already computed: uint32 [n, 2] (below, width)."""

    def __init__(self, table: NDArray[np.uint32]) -> None:
        self.table = table

    def push(self, coder: Coder, values: Pixels) -> None:
        push_intervals(coder, self.table)

    def cost(self, values: Pixels) -> float:
        return float(self.costs().sum())

    def costs(self) -> NDArray[np.float64]:
        """Bits of every row, [n]."""
        bits: NDArray[np.float64] = TOTAL_BITS - np.log2(self.table[:, 1])
        return bits


def mixtures_of(
    raw: NDArray[Any], scale: NDArray[Any], base: NDArray[Any], steps: NDArray[Any], shift: Any
) -> Mixtures:
    """Mixtures of one channel from a network's outputs int [n, 3k].

    scale: the table of `features.Scales`; base: 1/16 level [n]; steps: scale steps [n]; shift: 1/1024 level [n].
    """
    parts = np.empty((len(raw), 3, raw.shape[1] // 3), np.int64)
    seen = (np.ascontiguousarray(part, np.int64) for part in (raw, base, steps))  # one type: compiled once
    _relative(*seen, scale, shift, parts)
    return Mixtures(parts)


@compiled
def _relative(raw: Any, base: Any, steps: Any, scale: Any, shift: Any, out: Any) -> None:
    count = out.shape[2]
    for index in range(len(out)):
        for j in range(count):
            offset = min(max(np.int64(raw[index, count + j]), -1024), 1024) * scale[steps[index]] + 8 >> 4
            out[index, 0, j] = raw[index, j]
            out[index, 1, j] = base[index] * 64 + offset + shift[index]
            out[index, 2, j] = raw[index, 2 * count + j] + 2 * steps[index]


class CosetOutput:
    """Output distribution of `size` targets of a coset: all variables independent given theta, channel after channel.

    `chunk(start, stop)` gives the mixtures of every coded channel for some of the targets.
    """

    def __init__(self, chunk: Callable[[int, int], list[Mixtures]], size: int) -> None:
        self.chunk, self.size = chunk, size

    def _bounds(self) -> list[tuple[int, int]]:
        return [(start, min(start + CHUNK, self.size)) for start in range(0, self.size, CHUNK)]

    def _joined(self, take: Callable[[Mixtures], NDArray[Any]]) -> NDArray[Any]:
        parts = [[take(mixtures) for mixtures in self.chunk(*bounds)] for bounds in self._bounds()]
        return np.concatenate([part[c] for c in range(len(parts[0])) for part in parts])

    def weights(self) -> NDArray[np.int32]:
        """Pmfs int32 [variables, 256]."""
        return self._joined(lambda mixtures: mixtures.weights().astype(np.int32))

    def push(self, coder: Coder, values: NDArray[Any]) -> None:
        table = values.reshape(-1, self.size)
        for start, stop in reversed(self._bounds()):
            for channel, mixture in reversed(list(enumerate(self.chunk(start, stop)))):
                mixture.push(coder, table[channel, start:stop])

    def pop(self, coder: Coder) -> NDArray[Any]:
        return self._joined(lambda mixtures: mixtures.pop(coder))

    def cost(self, values: NDArray[Any]) -> float:
        table = values.reshape(-1, self.size)
        return sum(
            mixture.cost(table[channel, start:stop])
            for start, stop in self._bounds()
            for channel, mixture in enumerate(self.chunk(start, stop))
        )
