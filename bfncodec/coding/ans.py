"""The entropy coder: a stack of symbols. The only module that imports constriction.

constriction's Categorical model reproduces integer weights w >= 1 with sum 2**24 when it
is given float64(w - 1); its Python interface takes floats, but nothing is rounded.
"""

from __future__ import annotations

from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import CorruptFile
from bfncodec.exact.pmf import TOTAL

Weights = NDArray[Any]
Symbols = NDArray[np.int32]


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

    def push(self, symbols: NDArray[Any], weights: Weights) -> None:
        """Push symbols int [n] with pmfs [n, k] so that `pop` returns them in this order."""
        if len(symbols):
            self._closed().encode_reverse(symbols.astype(np.int32), self._model, _checked(weights))

    def pop(self, weights: Weights) -> Symbols:
        """Pop one symbol for each of the pmfs [n, k]: int32 [n]."""
        if not len(weights):
            return np.empty(0, np.int32)
        symbols: Symbols = self._closed().decode(self._model, _checked(weights))
        return symbols

    def data(self) -> bytes:
        """The stack as bytes: little-endian words without trailing zero bytes."""
        words: bytes = self._closed().get_compressed().astype("<u4").tobytes()
        return words.rstrip(b"\0")

    def opened(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """The stack as arrays that compiled code pops from: (state and words left, uint64 [2]; words uint64 [n]).

        They are the coder's stack until one of its other methods is used.
        """
        if self._opened is None:
            words = self._closed().get_compressed().astype(np.uint64)
            stack = np.array([0, len(words)], np.uint64)
            while stack[1] and stack[0] < 1 << 32:
                stack[1] -= np.uint64(1)
                stack[0] = stack[0] << np.uint64(32) | words[int(stack[1])]
            self._opened = stack, words
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


def _checked(weights: Weights) -> NDArray[np.float64]:
    if weights.min() < 1 or (weights.sum(axis=1) != TOTAL).any():
        raise ValueError("a pmf must have integer weights of at least 1 that sum to 2**24")
    # constriction reads the memory row by row, whatever the strides say.
    return (weights - 1).astype(np.float64, order="C")
