"""Bit histories: what happened after a context so far, in one byte.

A history counts zeros and ones, forgets part of the older evidence when it is
contradicted, and knows the last bit where both have occurred. State 0 is "never seen".
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

_LARGEST = [48, 30, 14, 10, 8, 7, 6, 5]  # of the larger count, by the smaller one
_KEPT = [0, 1, 2, 2, 3, 3, 4, 4, 4, 5, 5, 5, 5, 5, 5]  # of a count that is contradicted; 6 of larger ones

History = tuple[int, int, int]


def _after(history: History, bit: int) -> History:
    counts = [history[0], history[1]]
    other = 1 - bit
    counts[bit] += 1
    if counts[other] > 2:
        counts[other] = _KEPT[counts[other]] if counts[other] < len(_KEPT) else 6
    while min(counts) >= len(_LARGEST) or max(counts) > _LARGEST[min(counts)]:
        counts[bit if counts[bit] > counts[other] or counts[other] <= 1 else other] -= 1
    return counts[0], counts[1], bit if min(counts) else 0


@cache
def histories() -> list[History]:
    """All histories that can occur, in the order of their states."""
    found = [(0, 0, 0)]
    for history in found:  # which grows meanwhile
        for bit in (0, 1):
            following = _after(history, bit)
            if following not in found:
                found.append(following)
    return found


def next_table() -> NDArray[np.uint8]:
    """The state after a bit: uint8 [256, 2]."""
    number = {history: state for state, history in enumerate(histories())}
    table = np.zeros((256, 2), np.uint8)
    for history, state in number.items():
        table[state] = [number[_after(history, bit)] for bit in (0, 1)]
    return table


def totals() -> NDArray[np.uint8]:
    """How much evidence a state holds: uint8 [256]."""
    table = np.zeros(256, np.uint8)
    table[: len(histories())] = [zeros + ones for zeros, ones, _ in histories()]
    return table


def first_guesses() -> NDArray[np.int64]:
    """Probabilities of a one, by state, before any was measured: int64 [256], 1 / 2**16."""
    table = np.full(256, 1 << 15, np.int64)
    for state, (zeros, ones, _) in enumerate(histories()):
        table[state] = ((5 * ones + 2) << 16) // (5 * (zeros + ones) + 4)
    return table
