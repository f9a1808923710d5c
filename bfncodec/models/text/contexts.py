"""What the text model knows of the bytes before: a small state, and table rows hashed from it.

All is int64 that never leaves 63 bits: functions give the same numbers compiled and as plain Python.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.compiled import compiled, room

Ints = NDArray[Any]

MASK = 0xFFFFFFFF
# Fields of a state, int64 [STATE].
NEAR, FAR, WORD, PREVIOUS, BEFORE, CLASSES, COLUMN, LINE, STATE = range(9)

# Bits of the tables of the static contexts, in the order of `rows`. Contexts of eight bits are not hashed.
TABLE_BITS = (8, 16, 17, 17, 17, 16, 15, 16, 17, 15, 14, 15, 14, 13, 14, 14, 8, 8, 8, 8, 8)
HASHED = 16
CONTEXTS = len(TABLE_BITS)
STARTS = np.cumsum([0] + [1 << bits for bits in TABLE_BITS])
ROWS = int(STARTS[-1])


@compiled
def mix(value: int, more: int) -> int:
    """A 32-bit hash of a hash and a 32-bit number."""
    value = ((value ^ more) * 0x2C9277B5 + 0x1B56C4E9) & MASK
    return (value ^ (value >> 15)) * 0x3B9ACA07 & MASK


@compiled
def kind(byte: int) -> int:
    """Class of a byte, 0..7: control, space, digit, upper, lower, closing or stop, other ASCII, beyond ASCII."""
    if byte >= 128:
        return 7
    if 97 <= byte <= 122:
        return 4
    if 65 <= byte <= 90:
        return 3
    if byte == 32:
        return 1
    if 48 <= byte <= 57:
        return 2
    if byte < 32:
        return 0
    return 5 if byte in (33, 41, 44, 46, 58, 59, 62, 63, 93, 125) else 6


@compiled
def advance(state: Ints, byte: int) -> None:
    """Take one more byte into a state."""
    state[FAR] = (state[FAR] << 8 | state[NEAR] >> 24) & MASK
    state[NEAR] = (state[NEAR] << 8 | byte) & MASK
    what = kind(byte)
    state[CLASSES] = (state[CLASSES] << 3 | what) & MASK
    if what == 3 or what == 4 or what == 7:
        folded = byte | 32 if what == 3 else byte
        state[WORD] = mix(state[WORD], folded + 1)
    elif state[WORD]:
        state[BEFORE] = state[PREVIOUS]
        state[PREVIOUS] = state[WORD]
        state[WORD] = 0
    if byte == 10:
        state[COLUMN] = 0
        state[LINE] = 0
    else:
        if state[COLUMN] < 2:
            state[LINE] = state[LINE] << 8 | byte
        state[COLUMN] = min(state[COLUMN] + 1, 255)


@compiled
def hashes(state: Ints, out: Ints) -> None:
    """Hashes int64 [HASHED], 32 bits, of the contexts of the byte that follows a state."""
    near, far = state[NEAR], state[FAR]
    one, two, three = near & 0xFF, near & 0xFFFF, near & 0xFFFFFF
    word, previous, before = state[WORD], state[PREVIOUS], state[BEFORE]
    here = mix(mix(8, word), one)
    out[0] = mix(1, one)
    out[1] = mix(2, two)
    out[2] = mix(3, three)
    out[3] = mix(4, near)
    out[4] = mix(mix(5, near), far & 0xFF)
    out[5] = mix(mix(6, near), far & 0xFFFF)
    out[6] = mix(mix(7, near), far)
    out[7] = here
    out[8] = mix(mix(here, 9), previous)
    out[9] = mix(mix(mix(here, 10), previous), before)
    out[10] = mix(mix(here, 11), before)
    out[11] = mix(12, near >> 8)
    out[12] = mix(13, near >> 8 & 0xFFFF)
    out[13] = mix(mix(14, state[LINE]), one)
    out[14] = mix(mix(15, state[COLUMN]), state[CLASSES] & 0xFFF)
    out[15] = mix(16, state[CLASSES])


@compiled
def rows(state: Ints, out: Ints) -> None:
    """Rows int [CONTEXTS] of the embedding table for the byte that follows a state."""
    hashed = room(HASHED, np.int64)
    hashes(state, hashed)
    for index in range(HASHED):
        out[index] = STARTS[index] + (hashed[index] >> (32 - TABLE_BITS[index]))
    out[0] = state[NEAR] & 0xFF
    earlier = state[FAR] << 24 | state[NEAR] >> 8
    for index in range(HASHED, CONTEXTS):
        out[index] = STARTS[index] + (earlier & 0xFF)
        earlier >>= 8


@compiled
def window_rows(data: Ints, warm: int, out: Ints) -> None:
    """Rows int [n - warm, CONTEXTS] for the bytes of a window uint8 [n] after its first `warm` bytes."""
    state = room(STATE, np.int64)
    state[:] = 0
    for position in range(len(data)):
        if position >= warm:
            rows(state, out[position - warm])
        advance(state, int(data[position]))
