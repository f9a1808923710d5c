"""Which levels a channel uses: samples become places among these, so that levels in between cost nothing.

12 bits in files of 16, multiples of 16, curves that skip levels, offsets. The encoder maps a channel to the levels that
it uses where they are sparse enough to pay for the map, else to all from the lowest to the highest.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.decisions import (
    PER_CONTEXT,
    Mixing,
    Wire,
    adapt,
    decide,
    find,
    hashed,
    learn,
    mix,
    mixing,
    opine,
    slots,
)
from bfncodec.coding.outcomes import Outcome
from bfncodec.exact.compiled import compiled

Ints = NDArray[Any]

_CONTEXTS = 5
_PLACES = 32  # gaps that are told apart
_FEW = 8  # levels of an only channel that are worth a map at any rate
_SHIFT = 4  # levels around that are looked at in the channel before


def chosen(planes: Ints, depth: int) -> list[Ints | None]:
    """Levels to map every channel of [N, H, W, C] of `depth` bits to, int64 [levels], rising; None: as they are."""
    maps: list[Ints | None] = []
    for channel in range(planes.shape[3]):
        counts = np.bincount(planes[..., channel].reshape(-1).astype(np.int64))
        used = np.flatnonzero(counts)
        low, high = int(used[0]), int(used[-1])
        whole = np.arange(low, high + 1)
        apart = (np.append(used[1:], high) - np.insert(used[:-1], 0, low)).astype(np.int64)
        # Bits that go with levels in between: log2 of half the distance of the neighbours on both sides, rounded down.
        gain = int((counts[used] * np.maximum(np.frexp(np.maximum(apart // 2, 1))[1] - 1, 0)).sum())
        if gain > len(whole) // 4 and gain > 64 * 8 and 8 * gain > counts.sum():
            maps.append(used)
        elif planes.dtype.itemsize > 1:
            maps.append(whole)
        elif planes.shape[3] == 1 and len(used) <= _FEW < 1 << depth:
            maps.append(used)
        else:
            maps.append(None)
    return maps


def packed(planes: Ints, maps: list[Ints | None]) -> Ints:
    """Places among the levels of `maps`, of the type of planes."""
    places = planes.copy()
    for channel, levels in enumerate(maps):
        if levels is not None:
            table = np.zeros(int(levels[-1]) + 1, planes.dtype)
            table[levels] = np.arange(len(levels))
            places[..., channel] = table[planes[..., channel]]
    return places


def unpacked(places: Ints, maps: list[Ints | None]) -> Ints:
    """The inverse of `packed`; places beyond the levels, of damaged streams, are the last level."""
    planes = places.copy()
    for channel, levels in enumerate(maps):
        if levels is not None:
            planes[..., channel] = levels[np.minimum(places[..., channel], len(levels) - 1)]
    return planes


def width(maps: list[Ints | None], depth: int) -> int:
    """Bits of places of samples of `depth` bits."""
    return max(depth if levels is None else max(len(levels) - 1, 1).bit_length() for levels in maps)


class Maps(Outcome):
    """Which of the levels of `depth` bits some channels use. maps: what an encoder knows, one of each such channel."""

    kinds = ("levels",)

    def __init__(self, channels: int, depth: int, maps: list[Ints] | None = None) -> None:
        self.turns, self.most = channels, 1 << depth
        self._used = np.zeros((channels, self.most + _SHIFT), np.uint8)
        for channel, levels in enumerate(maps or []):
            self._used[channel, levels] = 1

    def code(self, wire: Wire, first: int, last: int) -> None:
        for channel in range(first, last):
            mixer = mixing(PER_CONTEXT * _CONTEXTS + 1, (64, _PLACES), 1, 12, 250, 20000)
            _code(mixer, slots(16), np.zeros(_CONTEXTS, np.int64), wire, self._used, channel, self.most)

    def values(self) -> Ints:
        return self._used[:, : self.most].reshape(-1)

    def maps(self) -> list[Ints]:
        """Levels of each channel, int64, ascending."""
        return [np.flatnonzero(used) for used in self._used[:, : self.most]]


@compiled
def _code(mixing: Mixing, table: Ints, places: Ints, wire: Wire, present: Ints, channel: int, count: int) -> None:
    """Code for each level if it is used."""
    run, gap, gap_before, recent = 0, 0, 0, 0
    for level in range(count):
        beside = 0
        if channel:
            for shift in range(3):
                beside |= int(present[channel - 1, level + shift]) << shift
        near, last, older = min(run, _PLACES - 1), min(gap, _PLACES - 1), min(gap_before, _PLACES - 1)
        places[0] = find(table, hashed(1, near << 2 | (recent & 3)))
        places[1] = find(table, hashed(2, (near << 8 | last) << 8))
        places[2] = find(table, hashed(3, (near << 8 | last) << 8 | older))
        places[3] = find(table, hashed(4, recent & 0xFFFF))
        places[4] = find(table, hashed(5, near << 3 | beside))
        for context in range(_CONTEXTS):
            opine(mixing, context, table, places[context])
        mixing.inputs[len(mixing.inputs) - 1] = 256
        mixing.chosen[0], mixing.chosen[1], mixing.ends[0] = recent & 63, 64 + near, 0
        bit = decide(wire, mix(mixing), int(present[channel, level]))
        adapt(mixing, bit)
        for context in range(_CONTEXTS):
            learn(mixing.curves, table, places[context], bit)
        present[channel, level] = bit
        recent = (recent << 1 | bit) & 0xFFFFF
        run += 1
        if bit:
            gap_before, gap, run = gap, run, 0
