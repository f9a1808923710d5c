"""The entropy coder: a stack of symbols. The only module that imports constriction.

constriction's Categorical model reproduces integer weights w >= 1 with sum 2**24 when it
is given float64(w - 1); its Python interface takes floats, but nothing is rounded.
"""

from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import CorruptFile
from bfncodec.exact.compiled import compiled
from bfncodec.exact.pmf import TOTAL, TOTAL_BITS
from bfncodec.exact.tables import CHANCE_BITS

Ints = NDArray[Any]
_CHUNK = 1 << 16
_LOW = np.uint64(1 << 32)
_MASK = np.uint64(TOTAL - 1)
_SHIFT = np.uint64(TOTAL_BITS)
_WORD = np.uint64(32)
_WORD_MASK = np.uint64((1 << 32) - 1)
_FULL = np.uint64(64 - TOTAL_BITS)
_ONE = np.uint64(1)
_UP = np.uint64(TOTAL_BITS - CHANCE_BITS)
_TOTAL = np.uint64(TOTAL)


class Coder:
    """An ANS stack. `push` and `pop` are each other's inverse, to the last bit."""

    def __init__(self, data: bytes = b"") -> None:
        """Start from the bytes of `data()`, or empty. CorruptFile if they are no stack."""
        self._model = constriction.stream.model.Categorical(perfect=False)
        if data and data[-1] == 0:
            raise CorruptFile("the payload has a redundant zero byte at its end")
        self._whole = _stack(data)
        self._opened: tuple[NDArray[np.uint64], NDArray[np.uint64]] | None = None

    @property
    def bits(self) -> int:
        """Bits on the stack."""
        return int(self._closed().num_valid_bits())

    @property
    def empty(self) -> bool:
        """True if every pushed symbol has been popped."""
        return bool(self._closed().is_empty())

    def push(self, symbols: Ints, weights: Ints) -> None:
        """Push symbols int [n] with pmfs [n, k] so that `pop` returns them in this order."""
        if len(symbols):
            self._closed().encode_reverse(symbols.astype(np.int32), self._model, _checked(weights))

    def pop(self, weights: Ints) -> NDArray[np.int32]:
        """Pop one symbol for each of the pmfs [n, k]: int32 [n]."""
        if not len(weights):
            return np.empty(0, np.int32)
        return self._closed().decode(self._model, _checked(weights))

    def data(self) -> bytes:
        """The stack as bytes: little-endian words without trailing zero bytes."""
        words: bytes = self._closed().get_compressed().astype("<u4").tobytes()
        return words.rstrip(b"\0")

    def opened(self, more: int = 0) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """The stack as arrays that compiled code pops from: (state and words left, uint64 [2]; words uint64 [n]).

        They are the coder's stack until one of its other methods is used, and have room for so many more words.
        """
        if self._opened is None:
            words = self._closed().get_compressed().astype(np.uint64)
            stack = np.array([0, len(words)], np.uint64)
            while stack[1] and stack[0] < 1 << 32:
                stack[1] -= np.uint64(1)
                stack[0] = stack[0] << np.uint64(32) | words[int(stack[1])]
            self._opened = stack, words
        stack, words = self._opened
        used = int(stack[1])
        if used + more > len(words):
            self._opened = stack, np.concatenate([words[:used], np.empty(used + more, np.uint64)])
        return self._opened

    def _closed(self) -> Any:
        """The stack as constriction has it, with what compiled code left of it."""
        if self._opened is not None:
            (state, left), words = self._opened
            top = np.array([state & np.uint64(0xFFFFFFFF), state >> np.uint64(32)], "<u4")
            self._opened = None
            self._whole = _stack(words[: int(left)].astype("<u4").tobytes() + top.tobytes())
        return self._whole


def _stack(data: bytes) -> Any:
    """constriction's stack of bytes with or without zero bytes at their end."""
    data = data.rstrip(b"\0")
    words = np.frombuffer(data + b"\0" * (-len(data) % 4), "<u4").astype(np.uint32)
    return constriction.stream.stack.AnsCoder(words) if len(words) else constriction.stream.stack.AnsCoder()


def _checked(weights: Ints) -> NDArray[np.float64]:
    if weights.min() < 1 or (weights.sum(axis=1) != TOTAL).any():
        raise ValueError("a pmf must have integer weights of at least 1 that sum to 2**24")
    # constriction reads the memory row by row, whatever the strides say.
    return (weights - 1).astype(np.float64, order="C")


def push_intervals(coder: Coder, intervals: Ints) -> None:
    """Push symbols of which only (what lies below, weight) [n, 2] is known."""
    _push_all(*coder.opened(len(intervals)), intervals)


@compiled
def _push_all(stack: Ints, words: Ints, intervals: Ints) -> None:
    """The inverse of `pop_between`, from the last to the first."""
    state, count = stack[0], stack[1]
    for index in range(len(intervals) - 1, -1, -1):
        below, width = np.uint64(intervals[index, 0]), np.uint64(intervals[index, 1])
        if state >> _FULL >= width:
            words[count] = state & _WORD_MASK
            state, count = state >> _WORD, count + _ONE
        state = (state // width << _SHIFT) + state % width + below
    stack[0], stack[1] = state, count


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


def push_bits(coder: Coder, bits: Ints, probabilities: Ints) -> None:
    """Push bits [n] with probabilities of a one [n], 1 / 2**16, so that `pop_bit` gives them in this order."""
    _push_bits(*coder.opened(len(bits) // 2 + 1), bits, probabilities)


@compiled
def _push_bits(stack: Ints, words: Ints, bits: Ints, probabilities: Ints) -> None:
    """The inverse of `pop_bit`, from the last to the first."""
    state, count = stack[0], stack[1]
    for index in range(len(bits) - 1, -1, -1):
        ones = np.uint64(probabilities[index]) << _UP
        below, width = np.uint64(0), _TOTAL - ones
        if bits[index]:
            below, width = width, ones
        if state >> _FULL >= width:
            words[count] = state & _WORD_MASK
            state, count = state >> _WORD, count + _ONE
        state = (state // width << _SHIFT) + state % width + below
    stack[0], stack[1] = state, count


def costs_of_bits(bits: Ints, probabilities: Ints) -> NDArray[Any]:
    """-log2 of the probability of each bit, float64."""
    chosen = np.where(bits == 1, probabilities, (1 << CHANCE_BITS) - probabilities.astype(np.int64))
    return CHANCE_BITS - np.log2(chosen)
