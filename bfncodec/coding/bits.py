"""Popping from an ANS stack in compiled code: the stack of `coding.ans`, one bit or symbol at a time.

A model that must know each bit before it can predict the next one cannot hand its
distributions over in batches. Stacks are those of `ans.Coder.opened`; coders do the pushing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.ans import Coder
from bfncodec.exact.compiled import compiled
from bfncodec.exact.logit import BITS
from bfncodec.exact.pmf import TOTAL, TOTAL_BITS

Ints = NDArray[Any]

_CHUNK = 1 << 16
_LOW = np.uint64(1 << 32)
_MASK = np.uint64(TOTAL - 1)
_SHIFT = np.uint64(TOTAL_BITS)
_WORD = np.uint64(32)
_ONE = np.uint64(1)
_UP = np.uint64(TOTAL_BITS - BITS)
_TOTAL = np.uint64(TOTAL)


@compiled
def pop_bit(stack: Ints, words: Ints, probability: int) -> int:
    """Pop a bit that is 1 with `probability` / 2**16."""
    state = stack[0]
    ones = np.uint64(probability) << _UP
    zeros = _TOTAL - ones
    rest = state & _MASK
    if rest < zeros:
        bit = 0
        state = (state >> _SHIFT) * zeros + rest
    else:
        bit = 1
        state = (state >> _SHIFT) * ones + rest - zeros
    if state < _LOW and stack[1] > np.uint64(0):
        stack[1] -= _ONE
        state = state << _WORD | words[stack[1]]
    stack[0] = state
    return bit


@compiled
def pop_between(stack: Ints, words: Ints, below: int, width: int) -> None:
    """Pop the symbol of `width` / 2**24 that the state stands for; `below` of them come before it."""
    state = stack[0]
    state = (state >> _SHIFT) * np.uint64(width) + (state & _MASK) - np.uint64(below)
    if state < _LOW and stack[1] > np.uint64(0):
        stack[1] -= _ONE
        state = state << _WORD | words[stack[1]]
    stack[0] = state


def push_bits(coder: Coder, bits: NDArray[Any], probabilities: NDArray[Any]) -> None:
    """Push bits [n] with probabilities of a one [n], 1 / 2**16, so that `pop_bit` gives them in this order."""
    for stop in range(len(bits), 0, -_CHUNK):
        part = slice(max(0, stop - _CHUNK), stop)
        ones = probabilities[part].astype(np.int64) << (TOTAL_BITS - BITS)
        coder.push(bits[part], np.stack([TOTAL - ones, ones], axis=1))


def cost(bits: NDArray[Any], probabilities: NDArray[Any]) -> float:
    """-log2 of the probabilities of bits, summed."""
    chosen = np.where(bits == 1, probabilities, (1 << BITS) - probabilities.astype(np.int64))
    return float((BITS - np.log2(chosen)).sum())
