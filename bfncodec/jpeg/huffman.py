"""Huffman codes of JPEG: from the tables of a file to arrays for reading and for writing (T.81, annex C)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

TABLES = 8  # four for DC, then four for AC
LOOKUP_BITS = 16


@lru_cache(64)
def _ordered(table: bytes) -> tuple[Array, Array, Array] | None:
    """Codes, their lengths and symbols, int64 [n] each; None if there are more codes than room."""
    counts = np.frombuffer(table, np.uint8, 16).astype(np.int64)
    symbols = np.frombuffer(table, np.uint8, offset=16).astype(np.int64)
    lengths = np.repeat(np.arange(1, 17), counts)
    taken = np.concatenate([[0], np.cumsum(1 << (LOOKUP_BITS - lengths))])
    if taken[-1] > 1 << LOOKUP_BITS:
        return None
    return taken[:-1] >> (LOOKUP_BITS - lengths), lengths, symbols


def lookups(huffman: dict[int, bytes]) -> Array | None:
    """For the next 16 bits: length << 8 | symbol, 0 where no code begins so: uint16 [TABLES, 2**16]."""
    table = np.zeros((TABLES, 1 << LOOKUP_BITS), np.uint16)
    for number, content in huffman.items():
        ordered = _ordered(content)
        if ordered is None:
            return None
        _, lengths, symbols = ordered
        filled = np.repeat(lengths << 8 | symbols, 1 << (LOOKUP_BITS - lengths))
        table[_place(number), : len(filled)] = filled
    return table


def codes(huffman: dict[int, bytes]) -> Array | None:
    """For a symbol: code << 5 | length, 0 where it has none: int64 [TABLES, 256]."""
    table = np.zeros((TABLES, 256), np.int64)
    for number, content in huffman.items():
        ordered = _ordered(content)
        if ordered is None:
            return None
        code, lengths, symbols = ordered
        table[_place(number), symbols[::-1]] = (code << 5 | lengths)[::-1]  # of equal symbols the first
    return table


def _place(number: int) -> int:
    """Where a table goes, by class << 4 | number."""
    return number >> 4 << 2 | number & 3
