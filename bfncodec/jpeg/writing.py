"""Coefficients -> entropy-coded data, in compiled loops: what `reading` read, as libjpeg and its relatives write it."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from bfncodec.exact.compiled import compiled
from bfncodec.jpeg.layout import (
    AC_FIRST,
    AC_TABLE,
    ACROSS,
    DC_AGAIN,
    DC_FIRST,
    DC_TABLE,
    DOWN,
    LONGEST_RUN,
    SEQUENTIAL,
    START,
    STRIDE,
    ZIGZAG,
    Layout,
)

Array = NDArray[Any]

# Where encoders end a run of blocks that end at once: also before their correction bits become too many; only where
# notes say so; after every block.
LIMITED, NOTED, NEVER = range(3)
HABITS = (LIMITED, NOTED, NEVER)

_LIMIT = 937  # correction bits: libjpeg's MAX_CORR_BITS - DCTSIZE2 + 1
_BLOCK_BYTES = 1024  # more than a block can take, a run's correction bits not counted

# Places in the state, int64 [STATE].
AT, BITS, COUNT, RUN, HELD, NOTE, FAILED, LAST = range(8)
STATE = LAST + 4


@compiled
def write_scan(scan: Layout, code: Array, coefficients: Array, habit: int, notes: Array, pad: int, pads: Array,
               units: int, out: Array, state: Array, held: Array) -> int:  # fmt: skip
    """Write the first `units` of a scan to `out` from state[AT] on; 1, or 0 if it cannot be written so.

    Of a scan that stops early only whole bytes are written. code: see `huffman.codes`. notes: see `reading`, ends of
    runs only if the habit is NOTED. pad: the bits that fill up last bytes, all ones or zeros, or -1: they are in pads,
    by segment, below a one. held: uint8, room for correction bits. state: blank but for AT.
    """
    number, segment = 0, 0
    for unit in range(units):
        if scan.interval and unit and unit % scan.interval == 0:
            _flush(code, scan.parts[0, AC_TABLE], out, state, held)
            _fill(pad if pad >= 0 else pads[segment], pad, out, state)
            out[state[AT]] = 0xFF
            out[state[AT] + 1] = 0xD0 + (segment & 7)
            state[AT] += 2
            segment += 1
            state[LAST:] = 0
        row, column = unit // scan.across, unit % scan.across
        for part in range(len(scan.parts)):
            across, down = scan.parts[part, ACROSS], scan.parts[part, DOWN]
            for below in range(down):
                for right in range(across):
                    where = scan.parts[part, START] + (row * down + below) * scan.parts[part, STRIDE]
                    where += (column * across + right) * 64
                    block = coefficients[where : where + 64]
                    dc, ac = scan.parts[part, DC_TABLE], scan.parts[part, AC_TABLE]
                    if scan.kind == SEQUENTIAL:
                        _dc(code, dc, block, 0, out, state, part)
                        _ac(code, ac, block, 1, 63, 0, False, habit, notes, number, out, state, held)
                    elif scan.kind == DC_FIRST:
                        _dc(code, dc, block, scan.low, out, state, part)
                    elif scan.kind == DC_AGAIN:
                        _put(block[0] >> scan.low & 1, 1, out, state)
                    elif scan.kind == AC_FIRST:
                        _ac(
                            code, ac, block, scan.first, scan.last, scan.low, True, habit, notes, number, out, state,
                            held,
                        )  # fmt: skip
                    else:
                        _ac_again(code, ac, block, scan, habit, notes, number, out, state, held)
                    number += 1
                    if state[FAILED] or state[AT] + _BLOCK_BYTES + state[HELD] // 4 > len(out):
                        return 0
                    if state[HELD] + 64 > len(held):
                        return 0
    if state[RUN]:
        _flush(code, scan.parts[0, AC_TABLE], out, state, held)
    if units == scan.across * scan.down:
        _fill(pad if pad >= 0 else pads[segment], pad, out, state)
    return 1 - state[FAILED]


@compiled
def _put(value: int, size: int, out: Array, state: Array) -> None:
    """Write `size` bits, at most 32."""
    bits, count, at = state[BITS] << size | value, state[COUNT] + size, state[AT]
    while count >= 8:
        count -= 8
        byte = bits >> count & 0xFF
        out[at] = byte
        at += 1
        if byte == 0xFF:
            out[at] = 0
            at += 1
    state[BITS], state[COUNT], state[AT] = bits & 0xFF, count, at


@compiled
def _fill(pad: int, every: int, out: Array, state: Array) -> None:
    """Fill up the last byte: with ones or zeros, or with the bits of `pad`."""
    count = -state[COUNT] & 7
    value = pad & ((1 << count) - 1)
    if every >= 0:
        value = (1 << count) - 1 if every else 0
    _put(value, count, out, state)


@compiled
def _symbol(code: Array, table: int, symbol: int, out: Array, state: Array) -> None:
    """Write a symbol's code."""
    found = code[table, symbol]
    if found == 0:
        state[FAILED] = 1
    _put(found >> 5, found & 31, out, state)


@compiled
def _size(value: int) -> int:
    """Bits of a number that is not negative."""
    size = 0
    while value >> size:
        size += 1
    return size


@compiled
def _number(code: Array, table: int, zeros: int, value: int, out: Array, state: Array) -> None:
    """Write a number after so many zeros: its size as a symbol, then its bits."""
    size = _size(value if value >= 0 else -value)
    if size > 15:
        state[FAILED] = 1
        return
    found = code[table, zeros << 4 | size]
    if found == 0:
        state[FAILED] = 1
    bits = value if value >= 0 else value + (1 << size) - 1
    _put(found >> 5 << size | bits, (found & 31) + size, out, state)


@compiled
def _dc(code: Array, table: int, block: Array, low: int, out: Array, state: Array, part: int) -> None:
    value = int(block[0]) >> low
    _number(code, table, 0, value - state[LAST + part], out, state)
    state[LAST + part] = value


@compiled
def _ac(code: Array, table: int, block: Array, first: int, last: int, low: int, runs: bool, habit: int, notes: Array,
        number: int, out: Array, state: Array, held: Array) -> None:  # fmt: skip
    zeros = 0
    for place in range(first, last + 1):
        value = int(block[ZIGZAG[place]])
        value = value >> low if value >= 0 else -(-value >> low)
        if value == 0:
            zeros += 1
            continue
        if runs and state[RUN]:
            _flush(code, table, out, state, held)
        while zeros > 15:
            _symbol(code, table, 0xF0, out, state)
            zeros -= 16
        _number(code, table, zeros, value, out, state)
        zeros = 0
    while state[NOTE] < len(notes) and notes[state[NOTE]] >> 2 == number:
        if runs and state[RUN]:
            _flush(code, table, out, state, held)
        for _ in range(notes[state[NOTE]] & 3):
            _symbol(code, table, 0xF0, out, state)
        state[NOTE] += 1
    if zeros and runs:
        _count(code, table, habit, out, state, held)
    elif zeros:
        _symbol(code, table, 0, out, state)


@compiled
def _ac_again(code: Array, table: int, block: Array, scan: Layout, habit: int, notes: Array, number: int, out: Array,
              state: Array, held: Array) -> None:  # fmt: skip
    last_new = 0
    for place in range(scan.first, scan.last + 1):
        value = int(block[ZIGZAG[place]])
        if (value if value >= 0 else -value) >> scan.low == 1:
            last_new = place
    if state[NOTE] < len(notes) and notes[state[NOTE]] >> 2 == number:
        _flush(code, table, out, state, held)
        state[NOTE] += 1
    zeros, waiting = 0, 0
    start = state[HELD]
    for place in range(scan.first, scan.last + 1):
        value = int(block[ZIGZAG[place]])
        size = (value if value >= 0 else -value) >> scan.low
        if size == 0:
            zeros += 1
            continue
        while zeros > 15 and place <= last_new:
            _flush(code, table, out, state, held)
            _symbol(code, table, 0xF0, out, state)
            zeros -= 16
            _put_held(held, start, waiting, out, state)
            start, waiting = 0, 0
        if size > 1:
            held[start + waiting] = size & 1
            waiting += 1
            continue
        _flush(code, table, out, state, held)
        _symbol(code, table, zeros << 4 | 1, out, state)
        _put(1 if value >= 0 else 0, 1, out, state)
        _put_held(held, start, waiting, out, state)
        start, waiting, zeros = 0, 0, 0
    if zeros or waiting:
        state[HELD] += waiting
        _count(code, table, habit, out, state, held)


@compiled
def _count(code: Array, table: int, habit: int, out: Array, state: Array, held: Array) -> None:
    """One more block ends."""
    state[RUN] += 1
    full = state[RUN] == LONGEST_RUN or habit == NEVER
    if full or (habit == LIMITED and state[HELD] > _LIMIT):
        _flush(code, table, out, state, held)


@compiled
def _flush(code: Array, table: int, out: Array, state: Array, held: Array) -> None:
    """Write the run of ends, and its correction bits."""
    if state[RUN] == 0:
        return
    bits = _size(state[RUN]) - 1
    _symbol(code, table, bits << 4, out, state)
    _put(state[RUN] - (1 << bits), bits, out, state)
    _put_held(held, 0, state[HELD], out, state)
    state[RUN], state[HELD] = 0, 0


@compiled
def _put_held(held: Array, start: int, count: int, out: Array, state: Array) -> None:
    for place in range(start, start + count):
        _put(int(held[place]), 1, out, state)
