"""What is pushed and popped for pixels: mixtures from a network's outputs, and distributions of cosets."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.ans import Coder, push_intervals
from bfncodec.coding.mixtures import Mixtures
from bfncodec.exact.compiled import compiled
from bfncodec.exact.pmf import TOTAL_BITS

Pixels = NDArray[Any]

CHUNK = 1 << 15  # targets of a coset that are predicted at once


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
    _relative_all(*seen, scale, shift, parts)
    return Mixtures(parts)


@compiled
def _relative_all(raw: Any, base: Any, steps: Any, scale: Any, shift: Any, out: Any) -> None:
    for index in range(len(out)):
        relative(raw[index], base[index], steps[index], scale, shift[index], out[index])


@compiled
def relative(raw: Any, base: int, step: int, scale: Any, shift: int, out: Any) -> None:
    """A network's outputs int64 [3k] -> parameters of a mixture int64 [3, k]; see `mixtures_of`."""
    count = out.shape[1]
    for j in range(count):
        offset = min(max(raw[count + j], -1024), 1024) * scale[step] + 8 >> 4
        out[0, j] = raw[j]
        out[1, j] = base * 64 + offset + shift
        out[2, j] = raw[2 * count + j] + 2 * step


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
