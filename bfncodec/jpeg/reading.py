"""Entropy-coded data -> coefficients, in compiled loops (T.81, annexes F and G).

Bits are read from data without stuffing, at a position in bits. Reading stops where the data do not make sense; what
was read up to the last whole unit then still counts.
"""

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

MARGIN = 1024  # bytes after the data: more than a block can ask for

# Places in the state, int64 [STATE]: where the last whole unit that can be stopped after left off, then what goes on.
UNITS, BITS, SEGMENT, NOTES, RUN, RUN_SIZE, ENDED, NOTED, LAST = range(9)
STATE = LAST + 4
RESET = 0  # a note is block << 2 | RESET where a run could have gone on, or | runs of 16 zeros before an end
_LARGEST = 32767


@compiled
def unstuffed(data: Array, start: int, restarts: int, buffer: Array, cuts: Array) -> int:
    """Copy a scan's data from `start` to the buffer, up to anything but a restart that is due; returns the end.

    cuts: int64 [restarts + 2, 2]: where segments begin, in the buffer and in the data; the last row says where they
    end. What lies behind the last one begins with zeros. Returns how many segments there are.
    """
    at, size, done = start, len(data), 0
    cuts[0, 0], cuts[0, 1] = 0, start
    segments = 1
    while at < size:
        byte = data[at]
        if byte == 0xFF:
            if at + 1 >= size:
                break
            following = int(data[at + 1])
            if following == 0xD0 + ((segments - 1) & 7) and segments <= restarts:
                at += 2
                cuts[segments, 0], cuts[segments, 1] = done, at
                segments += 1
                continue
            if following != 0:
                break
            at += 1
        buffer[done] = byte
        done += 1
        at += 1
    cuts[segments, 0], cuts[segments, 1] = done, at
    for extra in range(MARGIN):
        buffer[done + extra] = 0
    return segments


@compiled
def stuffed(data: Array, start: int, count: int) -> int:
    """Where `count` bytes end that begin at `start`, stuffing not counted."""
    at = start
    for _ in range(count):
        at += 2 if data[at] == 0xFF else 1
    return at


@compiled
def read_scan(scan: Layout, lookup: Array, buffer: Array, cuts: Array, segments: int, out: Array, state: Array,
              notes: Array, pads: Array) -> int:  # fmt: skip
    """Read a scan; 1 if all of it could be read, otherwise 0.

    lookup: see `huffman.lookups`. out: int16 coefficients of the frame. state: see above; blank. notes: int64, room
    for what is unusual. pads: uint8, by segment: the bits that fill its last byte, below a one.
    """
    at, end, segment, number = 0, 8 * cuts[1, 0], 0, 0
    for unit in range(scan.across * scan.down):
        if scan.interval and unit and unit % scan.interval == 0:
            if state[RUN] or end - at >= 8 or segment + 1 >= segments:
                return 0
            pads[segment] = _pad(buffer, at)
            segment += 1
            at, end = 8 * cuts[segment, 0], 8 * cuts[segment + 1, 0]
            state[LAST:] = 0
            state[ENDED] = 0
        if state[RUN] == 0:
            state[UNITS], state[BITS], state[SEGMENT], state[NOTES] = unit, at, segment, state[NOTED]
        row, column = unit // scan.across, unit % scan.across
        for part in range(len(scan.parts)):
            across, down = scan.parts[part, ACROSS], scan.parts[part, DOWN]
            for below in range(down):
                for right in range(across):
                    where = scan.parts[part, START] + (row * down + below) * scan.parts[part, STRIDE]
                    where += (column * across + right) * 64
                    dc, ac = scan.parts[part, DC_TABLE], scan.parts[part, AC_TABLE]
                    if scan.kind == SEQUENTIAL:
                        at = _dc(buffer, at, lookup[dc], out, where, 0, state, part)
                        if at >= 0:
                            at = _ac(buffer, at, lookup[ac], out, where, 1, 63, 0, state, notes, number, False)
                    elif scan.kind == DC_FIRST:
                        at = _dc(buffer, at, lookup[dc], out, where, scan.low, state, part)
                    elif scan.kind == DC_AGAIN:
                        out[where] |= (_peek(buffer, at) >> 15) << scan.low
                        at += 1
                    elif scan.kind == AC_FIRST:
                        at = _ac(
                            buffer, at, lookup[ac], out, where, scan.first, scan.last, scan.low, state, notes, number,
                            True,
                        )  # fmt: skip
                    else:
                        at = _ac_again(buffer, at, lookup[ac], out, where, scan, state, notes, number)
                    number += 1
                    if at < 0 or at > end or state[NOTED] + 2 >= len(notes):
                        return 0
    if state[RUN]:
        return 0
    pads[segment] = _pad(buffer, at)
    state[UNITS], state[BITS], state[SEGMENT], state[NOTES] = scan.across * scan.down, at, segment, state[NOTED]
    return 1


@compiled
def _peek(buffer: Array, at: int) -> int:
    """The next 16 bits."""
    byte = at >> 3
    three = int(buffer[byte]) << 16 | int(buffer[byte + 1]) << 8 | int(buffer[byte + 2])
    return (three >> (8 - (at & 7))) & 0xFFFF


@compiled
def _pad(buffer: Array, at: int) -> int:
    """The bits up to the end of the byte, below a one."""
    count = -at & 7
    return 1 << count | _peek(buffer, at) >> (16 - count)


@compiled
def _value(bits: int, size: int) -> int:
    """The number of `size` bits, 1 .. 15, that 16 bits begin with."""
    value = bits >> (16 - size)
    return value if value >> (size - 1) else value - (1 << size) + 1


@compiled
def _dc(buffer: Array, at: int, lookup: Array, out: Array, where: int, low: int, state: Array, part: int) -> int:
    """Read a DC coefficient; returns the position after it, -1 if there is none."""
    code = int(lookup[_peek(buffer, at)])
    at += code >> 8
    size = code & 0xFF
    if code == 0 or size > 15:
        return -1
    if size:
        state[LAST + part] += _value(_peek(buffer, at), size)
        at += size
    value = state[LAST + part] << low
    if value > _LARGEST or value < -_LARGEST:
        return -1
    out[where] = value
    return at


@compiled
def _ac(buffer: Array, at: int, lookup: Array, out: Array, where: int, first: int, last: int, low: int, state: Array,
        notes: Array, number: int, runs: bool) -> int:  # fmt: skip
    """Read AC coefficients that were not known; returns the position after them, -1 if there are none.

    runs: whether several blocks may end at once.
    """
    if runs and state[RUN]:
        state[RUN] -= 1
        state[ENDED] = 1 if state[RUN] == 0 else 0
        return at
    place, zeros = first, 0
    while place <= last:
        code = int(lookup[_peek(buffer, at)])
        if code == 0:
            return -1
        at += code >> 8
        skipped, size = code >> 4 & 15, code & 15
        if size:
            place += skipped
            if place > last:
                return -1
            value = _value(_peek(buffer, at), size) << low
            if value > _LARGEST or value < -_LARGEST:
                return -1
            at += size
            out[where + ZIGZAG[place]] = value
            place += 1
            zeros = 0
        elif skipped == 15:
            place += 16
            zeros += 1
            if place > last:
                return -1
        elif runs:
            return _run(buffer, at, skipped, place == first, zeros, state, notes, number)
        elif skipped:
            return -1
        else:
            if zeros:
                notes[state[NOTED]] = number << 2 | zeros
                state[NOTED] += 1
            return at
    state[ENDED] = 0
    return at


@compiled
def _run(buffer: Array, at: int, bits: int, empty: bool, zeros: int, state: Array, notes: Array, number: int) -> int:
    """A run of ends begins with this block. empty: it says nothing else."""
    if empty and state[ENDED] and state[RUN_SIZE] < LONGEST_RUN:
        notes[state[NOTED]] = number << 2 | RESET
        state[NOTED] += 1
    if zeros:
        notes[state[NOTED]] = number << 2 | zeros
        state[NOTED] += 1
    size = 1 << bits
    if bits:
        size += _peek(buffer, at) >> (16 - bits)
    state[RUN_SIZE] = size
    state[RUN] = size - 1
    state[ENDED] = 1 if size == 1 else 0
    return at + bits


@compiled
def _corrected(buffer: Array, at: int, out: Array, place: int, low: int) -> None:
    """One more bit of a coefficient."""
    if _peek(buffer, at) >> 15:
        out[place] += (1 if out[place] > 0 else -1) << low


@compiled
def _ac_again(buffer: Array, at: int, lookup: Array, out: Array, where: int, scan: Layout, state: Array,
              notes: Array, number: int) -> int:  # fmt: skip
    """Read another bit of AC coefficients; returns the position after them, -1 if that cannot be."""
    place, empty, ended = scan.first, True, False
    if state[RUN]:
        state[RUN] -= 1
        state[ENDED] = 1 if state[RUN] == 0 else 0
        ended = True
    while place <= scan.last and not ended:
        code = int(lookup[_peek(buffer, at)])
        if code == 0:
            return -1
        at += code >> 8
        skipped, size = code >> 4 & 15, code & 15
        value = 0
        if size == 1:
            value = (1 if _peek(buffer, at) >> 15 else -1) << scan.low
            at += 1
        elif size:
            return -1
        elif skipped < 15:
            at = _run(buffer, at, skipped, empty, 0, state, notes, number)
            ended = True
            break
        empty = False
        while place <= scan.last:
            here = where + ZIGZAG[place]
            if out[here]:
                _corrected(buffer, at, out, here, scan.low)
                at += 1
            else:
                if skipped == 0:
                    break
                skipped -= 1
            place += 1
        if value:
            if place > scan.last:
                return -1
            out[where + ZIGZAG[place]] = value
        place += 1
    if not ended:
        state[ENDED] = 0
    while place <= scan.last:
        here = where + ZIGZAG[place]
        if out[here]:
            _corrected(buffer, at, out, here, scan.low)
            at += 1
        place += 1
    return at
