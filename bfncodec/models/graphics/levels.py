"""Which levels a channel uses: samples become places among these, so that levels in between cost nothing.

12 bits in files of 16, multiples of 16, curves that skip levels, offsets. The encoder maps a channel to the levels that
it uses where they are sparse enough to pay for the map, else to all from the lowest to the highest.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.ans import Coder
from bfncodec.coding.decisions import (
    PER_CONTEXT,
    Decided,
    Mixing,
    Wire,
    adapt,
    decide,
    find,
    hashed,
    learn,
    mix,
    mixing,
    notes,
    opened,
    opine,
    slots,
)  # fmt: skip
from bfncodec.exact.compiled import compiled

Ints = NDArray[Any]

_CONTEXTS = 5
_PLACES = 32  # gaps that are told apart
_SHIFT = 4  # levels around that are looked at in the channel before


def chosen(planes: Ints) -> list[Ints | None]:
    """Levels to map every channel of [N, H, W, C] to, int64 [levels], ascending; None: as they are."""
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
    return max(depth if levels is None else max((len(levels) - 1).bit_length(), 1) for levels in maps)


def push(coder: Coder, maps: list[Ints | None], depth: int) -> None:
    """Push maps so that `pop` returns them."""
    present = _present(len(maps), depth)
    wire, decided = notes(present.shape[0] * (1 << depth)), Decided()
    for channel, levels in enumerate(maps):
        if levels is not None:
            present[channel, levels] = 1
            _code(_mixing(), slots(16), np.zeros(_CONTEXTS, np.int64), wire, present, channel, 1 << depth)
    decided.take(wire)
    decided.push(coder, present)


def pop(coder: Coder, mapped: list[bool], depth: int) -> list[Ints | None]:
    """Pop the maps of the channels that have one."""
    present, wire = _present(len(mapped), depth), opened(coder)
    maps: list[Ints | None] = []
    for channel, wanted in enumerate(mapped):
        if wanted:
            _code(_mixing(), slots(16), np.zeros(_CONTEXTS, np.int64), wire, present, channel, 1 << depth)
        levels = np.flatnonzero(present[channel, : 1 << depth])
        maps.append((levels if len(levels) else np.zeros(1, np.int64)) if wanted else None)
    return maps


def _present(channels: int, depth: int) -> Ints:
    return np.zeros((channels, (1 << depth) + _SHIFT), np.uint8)


def _mixing() -> Mixing:
    return mixing(PER_CONTEXT * _CONTEXTS + 1, (64, _PLACES), 1, 12, 250, 20000)


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
