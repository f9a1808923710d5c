"""What networks see of a number before it is coded: bytes, mostly logarithms of what stands around it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.compiled import compiled
from bfncodec.models.jpeg.memory import Memory
from bfncodec.models.jpeg.networks import PLACES, SEEN, ask
from bfncodec.models.jpeg.planes import MARGIN, Plane

Array = NDArray[Any]

_FINE = np.array([(((1 + i) ** 16).bit_length() - 1) for i in range(1024)], np.int64)


@compiled
def fine(value: int) -> int:
    """0 .. 160: 16 times the logarithm of one more than the absolute value."""
    return _FINE[min(abs(value), 1023)]


@compiled
def asked(memory: Memory, plane: Plane, place: int, value: int, odd: int) -> None:
    """Ask the network of a place; what it has seen and what comes is noted, if there is room for that."""
    if plane.kind:
        place += PLACES
    if len(memory.notes):
        row, seen = memory.notes[memory.noted[0]], memory.nets.seen[0]
        for index in range(SEEN):
            row[index] = seen[index]
        row[SEEN], row[SEEN + 1], row[SEEN + 2] = place, min(abs(value), 255), odd
        memory.noted[0] += 1
    else:
        ask(memory.nets, place)


@compiled
def see_around(memory: Memory, plane: Plane, y: int, x: int, place: int) -> None:
    """The first numbers, of any coefficient."""
    seen, values, step = memory.nets.seen[0], plane.values, plane.steps[place]
    u, v = place >> 3, place & 7
    for which in range(2):
        block = values[y, x - 1] if which == 0 else values[y - 1, x]
        at = 5 * which
        seen[at] = fine(int(block[place]))
        seen[at + 1] = fine(int(block[place - 8])) if u > 0 else 0
        seen[at + 2] = fine(int(block[place + 8])) if u < 7 else 0
        seen[at + 3] = fine(int(block[place - 1])) if v > 0 else 0
        seen[at + 4] = fine(int(block[place + 1])) if v < 7 else 0
    seen[10] = fine(int(values[y, x - 2, place]))
    seen[11] = fine(int(values[y - 2, x, place]))
    seen[12] = fine(int(values[y - 1, x - 1, place]))
    seen[13] = fine(int(values[y - 1, x + 1, place]))
    seen[14] = fine(memory.borders[0, 8 + v] // (64 * step))
    seen[15] = fine(memory.borders[0, u] // (64 * step))
    seen[16] = fine(step)


@compiled
def see_inside(
    memory: Memory, plane: Plane, counts: Array, y: int, x: int, place: int, rest: int, count: int, one: int, two: int,
    around: int, nearby: int, before: int, luma: int, twin: int,
) -> None:  # fmt: skip
    """Of a coefficient inside."""
    see_around(memory, plane, y, x, place)
    seen, now = memory.nets.seen[0], memory.now
    u, v = place >> 3, place & 7
    seen[17] = fine(now[place - 1])
    seen[18] = fine(now[place - 8])
    seen[19] = fine(now[place - 9])
    seen[20] = fine(now[place - 7]) if v < 7 else 0
    seen[21] = fine(now[place + 7]) if u < 7 else 0
    seen[22] = fine(now[place - 2]) if v > 1 else 0
    seen[23] = fine(now[place - 16]) if u > 1 else 0
    seen[24], seen[25], seen[26] = 4 * rest, fine(rest), 4 * count
    seen[27], seen[28] = fine(one), fine(two)
    seen[29], seen[30], seen[31] = fine(around), fine(nearby), fine(before)
    seen[32], seen[33] = fine(luma), fine(twin)
    seen[34], seen[35] = fine(memory.energy[u]), fine(memory.energy[8 + v])
    seen[36], seen[37] = 4 * int(counts[y, x - 1, 0]), 4 * int(counts[y - 1, x, 0])
    seen[38], seen[39] = 4 * int(counts[y - 1, x + 1, 0]), 4 * int(counts[y - 1, x - 1, 0])
    step = 64 * plane.steps[place]
    seen[40], seen[41] = fine(memory.borders[1, 8 + v] // step), fine(memory.borders[1, u] // step)
    seen[42], seen[43] = fine(plane.sums[y, x - 1]), fine(plane.sums[y - 1, x])
    right = plane.values[y - 1, x + 1]
    seen[44], seen[45] = fine(int(right[place - 1])), fine(int(right[place - 8]))
    seen[46], seen[47] = fine(plane.sums[y - 1, x + 1]), fine(plane.sums[y - 1, x - 1])


@compiled
def _compared(seen: Array, at: int, value: int, other: int) -> None:
    """A number, at one place if its sign is that of the other, else at the next."""
    seen[at], seen[at + 1] = 0, 0
    if value:
        seen[at + 1 if (value < 0) != (other < 0) else at] = fine(value)


@compiled
def see_edge(
    memory: Memory, plane: Plane, counts: Array, y: int, x: int, place: int, other: int, rest: int, inner: int,
    one: int, around: int, nearby: int, before: int, luma: int, twin: int, expected: int, sloped: int,
) -> None:  # fmt: skip
    """Of a coefficient of row or column 0. expected: 1 / 8."""
    see_around(memory, plane, y, x, place)
    seen, now, which = memory.nets.seen[0], memory.now, 1 if other == 8 else 2
    seen[17], seen[18] = 16 * rest, 4 * inner
    seen[19] = fine(one)
    for depth in range(1, 5):
        seen[19 + depth] = fine(now[place + other * depth])
    seen[24], seen[25], seen[26] = fine(around), fine(nearby), fine(before)
    seen[27], seen[28] = fine(luma), 16 * int(counts[y, x, 1]) if which == 2 else 0
    seen[29] = min(_near(expected), 255)
    seen[30], seen[31] = 16 * int(counts[y, x - 1, which]), 16 * int(counts[y - 1, x, which])
    seen[44], seen[45] = fine(plane.sums[y, x - 1]), fine(plane.sums[y - 1, x])
    seen[46], seen[47] = 4 * int(counts[y, x - 1, 0]), 4 * int(counts[y - 1, x, 0])
    see_signs(memory, plane, y, x, place, twin, expected, sloped, expected)


@compiled
def _near(expected: int) -> int:
    """How far a small expectation, 1 / 8, is from the next whole number."""
    return 16 * (abs(expected) & 7) + (abs(expected) >> 3 << 7)


@compiled
def see_signs(
    memory: Memory, plane: Plane, y: int, x: int, place: int, twin: int, expected: int, sloped: int, sign: int
) -> None:
    """What has the same sign as another number."""
    seen, values = memory.nets.seen[0], plane.values
    _compared(seen, 32, expected, sign)
    _compared(seen, 34, int(values[y - 1, x, place]), sign)
    _compared(seen, 36, int(values[y, x - 1, place]), sign)
    _compared(seen, 38, twin, sign)
    _compared(seen, 40, sloped, sign)
    _compared(seen, 42, sloped - expected, sign)


@compiled
def see_sign(
    memory: Memory, plane: Plane, y: int, x: int, place: int, rest: int, size: int, twin: int, main: int
) -> None:
    """Of the sign of a coefficient inside. main: what is missing at the upper border."""
    seen, now, values, step = memory.nets.seen[0], memory.now, plane.values, 64 * plane.steps[place]
    u, v = place >> 3, place & 7
    seen[0], seen[1], seen[2] = fine(main // step), fine(size), 4 * rest
    seen[3], seen[4], seen[5] = 32 * u, 32 * v, fine(plane.steps[place])
    _compared(seen, 6, memory.borders[0, u] // step, main)
    _compared(seen, 8, memory.borders[1, u] // step, main)
    _compared(seen, 10, memory.borders[1, 8 + v] // step, main)
    _compared(seen, 12, int(values[y - 1, x, place]), main)
    _compared(seen, 14, int(values[y, x - 1, place]), main)
    _compared(seen, 16, twin, main)
    _compared(seen, 18, now[place - 1], main)
    _compared(seen, 20, now[place - 8], main)
    _compared(seen, 22, now[place - 2] if v > 1 else 0, main)
    _compared(seen, 24, now[place - 16] if u > 1 else 0, main)
    _compared(seen, 26, int(values[y - 1, x, v]), main)
    _compared(seen, 28, int(values[y, x - 1, 8 * u]), main)
    _compared(seen, 30, int(values[y, x - 1, v]), main)
    _compared(seen, 32, int(values[y - 1, x, 8 * u]), main)
    seen[34], seen[35] = fine(memory.energy[u]), fine(memory.energy[8 + v])
    seen[36] = 64 * (u & 1) + 128 * (v & 1)
    for index in range(37, SEEN):
        seen[index] = 0


@compiled
def see_inner_count(memory: Memory, plane: Plane, counts: Array, y: int, x: int, luma: int, twin: int) -> None:
    """Of how many coefficients inside are not zero."""
    seen, borders, sums = memory.nets.seen[0], memory.borders[0], plane.sums
    seen[0], seen[1] = 4 * int(counts[y, x - 1, 0]), 4 * int(counts[y - 1, x, 0])
    seen[2], seen[3] = 4 * int(counts[y - 1, x - 1, 0]), 4 * int(counts[y - 1, x + 1, 0])
    seen[4], seen[5] = 4 * int(counts[y, x - 2, 0]), 4 * int(counts[y - 2, x, 0])
    for which in range(1, 3):
        seen[4 + 2 * which] = 16 * int(counts[y, x - 1, which])
        seen[5 + 2 * which] = 16 * int(counts[y - 1, x, which])
    seen[10], seen[11] = min(luma, 255), fine(luma)
    seen[12], seen[13] = 4 * twin, fine(twin)
    seen[14], seen[15] = fine(plane.steps[9]), fine(plane.steps[27])
    for index in range(1, 8):
        seen[15 + index] = fine(borders[index] // (64 * plane.steps[8 * index]))
        seen[22 + index] = fine(borders[8 + index] // (64 * plane.steps[index]))
    seen[30], seen[31], seen[32] = fine(sums[y, x - 1]), fine(sums[y - 1, x]), fine(sums[y - 1, x + 1])
    for index in range(33, SEEN):
        seen[index] = 0


@compiled
def see_edge_count(
    memory: Memory, plane: Plane, counts: Array, y: int, x: int, step: int, inner: int, luma: int, twin: int
) -> None:
    """Of how many coefficients of row 0 (step 1) or column 0 (step 8) are not zero."""
    seen, borders, now, sums = memory.nets.seen[0], memory.borders[0], memory.now, plane.sums
    which, other = 1 if step == 1 else 2, 9 - step
    seen[0], seen[1] = 16 * int(counts[y, x - 1, which]), 16 * int(counts[y - 1, x, which])
    seen[2], seen[3] = 16 * int(counts[y - 1, x - 1, which]), 16 * int(counts[y - 1, x + 1, which])
    seen[4], seen[5] = 16 * int(counts[y, x - 2, which]), 16 * int(counts[y - 2, x, which])
    seen[6], seen[7] = 4 * inner, fine(inner)
    seen[8] = 16 * int(counts[y, x, 1]) if which == 2 else 0
    seen[9], seen[10] = 16 * luma, 16 * twin
    seen[11] = fine(plane.steps[step])
    for index in range(1, 8):
        at = 8 + index if step == 1 else index
        seen[11 + index] = fine(borders[at] // (64 * plane.steps[step * index]))
        seen[18 + index] = fine(now[step * index + other])
        seen[25 + index] = fine(memory.energy[at])
    seen[33], seen[34], seen[35] = fine(sums[y, x - 1]), fine(sums[y - 1, x]), fine(sums[y - 1, x + 1])
    seen[36], seen[37] = 16 * int(counts[y, x - 1, 3 - which]), 16 * int(counts[y - 1, x, 3 - which])
    seen[38], seen[39] = fine(borders[0] // (64 * plane.steps[0])), fine(borders[8] // (64 * plane.steps[0]))
    for index in range(40, SEEN):
        seen[index] = 0


@compiled
def see_dc(
    memory: Memory,
    plane: Plane,
    counts: Array,
    y: int,
    x: int,
    apart: int,
    guess: int,
    twin: int,
    inner: int,
    rough: int,
    steep: int,
) -> None:
    """Of the error of DC. apart: what the two borders expect, one less the other, 1 / 8."""
    seen, errors, now = memory.nets.seen[0], plane.errors, memory.now
    seen[0] = fine(apart)
    _compared(seen, 1, errors[y, x - 1], apart)
    _compared(seen, 3, errors[y - 1, x], apart)
    _compared(seen, 5, errors[y - 1, x - 1], apart)
    _compared(seen, 7, errors[y - 1, x + 1], apart)
    _compared(seen, 9, twin, apart)
    seen[11] = fine(plane.steps[0])
    seen[12], seen[13], seen[14] = 4 * inner, 16 * int(counts[y, x, 1]), 16 * int(counts[y, x, 2])
    for index in range(1, 4):
        _compared(seen, 13 + 2 * index, now[index], apart)
        _compared(seen, 19 + 2 * index, now[8 * index], apart)
    seen[27], seen[28], seen[29] = fine(now[9]), fine(now[10]), fine(now[17])
    seen[30], seen[31] = fine(memory.energy[0]), fine(memory.energy[8])
    seen[32] = 16 * (guess & 7)
    sums = plane.sums
    seen[33], seen[34], seen[35] = fine(sums[y, x - 1]), fine(sums[y - 1, x]), fine(sums[y - 1, x + 1])
    seen[36], seen[37] = fine(errors[y, x - 2]), fine(errors[y - 2, x])
    seen[38] = min(abs(apart), 255)
    seen[39] = 0 if y > MARGIN else 64
    if x == MARGIN:
        seen[39] = 128
    unit = 16 * plane.steps[0]
    side, top = memory.borders[1, 0] // unit - guess, memory.borders[1, 8] // unit - guess
    _compared(seen, 40, side, apart)
    _compared(seen, 42, top, apart)
    seen[44], seen[45] = fine(rough), fine(steep)
    _compared(seen, 46, memory.borders[0, 0] // unit - guess, apart)
