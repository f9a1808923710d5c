"""A picture of two colours, pixel after pixel, row after row.

Where the pixels around are all of one colour, one decision stands for as many of the next ones as the rows above are
uniform; if it fails, halves are asked about. All other pixels are predicted from templates of their neighbours, from
runs of their row and the one above, and from places that looked the same before; `coding.decisions` weighs what these
say. As in the other schedules of exact colours there is one group without noisy steps.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.decisions import (
    PER_CONTEXT,
    Mixing,
    Wire,
    adapt,
    decide,
    find,
    hashed,
    learn,
    mix,
    mixing,
    opine,
    slots,
)
from bfncodec.coding.outcomes import Outcome
from bfncodec.exact.compiled import compiled
from bfncodec.exact.tables import CHANCE_ONE, LOGIT_MAX, squash_table

Ints = NDArray[Any]

ABOVE, ASIDE = 6, 32  # rows and columns around a picture
_AHEAD = 12  # columns to the right that windows of the rows above hold
_WINDOW = (1 << 32) - 1

TEMPLATES = 12
CONTEXTS = TEMPLATES + 2  # and two that look for the same surroundings
INPUTS = PER_CONTEXT * CONTEXTS + 1
_BIAS = 256

CLEAR = 8  # columns on either side of a uniform stretch, and pixels before it, that have to be uniform too
CLEAR_ROWS = 4
SHORTEST = 8  # pixels of a stretch
_FAMILIES = 3  # of decisions about stretches: whole ones, halves, single pixels

LONGEST = 63  # pixels that a match is known to be right for
KNOTS, SPACING = 24, 256  # of corrections: opinions 256 apart
NEAREST = 12 * SPACING

SETS, LAST = (1 << 10, 1 << 10, 1 << 8), 1 << 6  # of weights
RATE, LIMIT, FIRST = 20, 250, 6000  # of the mixers; of counts; the first weight
CORRECTION_RATE = 6
_FINE = 6  # bits that corrections have below chances


class Bits(NamedTuple):
    """Pixels, and what is learnt of them."""

    canvas: Ints  # uint8 [ABOVE + height, ASIDE + width + ASIDE]
    ends: Ints  # int32 [CLEAR_ROWS, columns]: of rows above, where the run ends that a pixel is in
    windows: Ints  # int64 [ABOVE + 1]: neighbours in this row and those above, the nearest in the lowest bit
    tables: Ints  # uint32 [TEMPLATES, slots]
    places: Ints  # int64 [CONTEXTS]
    matches: Ints  # int64 [2, 2**bits]: by what lies around, pixels
    found: Ints  # int64 [2, 2]: pixel that matches, how long it has been right
    sure: Ints  # uint32 [2, 2 * (LONGEST + 1)]: slots of matches
    mixing: Mixing
    corrections: Ints  # int32 [2, contexts, KNOTS + 1]
    knots: Ints  # int64 [2, 2]
    stretches: Ints  # uint32 [_FAMILIES, 2, 64]: slots of decisions about stretches


def fresh(height: int, width: int) -> Bits:
    """A blank picture of which nothing is known."""
    size = min(max((height * width).bit_length() - 3, 10), 18)
    columns = ASIDE + width + ASIDE
    knots = np.clip(np.arange(KNOTS + 1) * SPACING - NEAREST, -LOGIT_MAX, LOGIT_MAX)
    curve = (squash_table()[knots + LOGIT_MAX] << _FINE).astype(np.int32)
    return Bits(
        canvas=np.ones((ABOVE + height, columns), np.uint8),  # above lies white paper
        ends=np.full((CLEAR_ROWS, columns), columns, np.int32),
        windows=np.zeros(ABOVE + 1, np.int64),
        tables=np.stack([slots(size)] * TEMPLATES),
        places=np.zeros(CONTEXTS, np.int64),
        matches=np.zeros((2, 1 << size), np.int64),
        found=np.zeros((2, 2), np.int64),
        sure=np.stack([slots(7)] * 2),
        mixing=mixing(INPUTS, SETS, LAST, RATE, LIMIT, FIRST),
        corrections=np.tile(curve, (2, 1 << 16, 1)),
        knots=np.zeros((2, 2), np.int64),
        stretches=np.tile(slots(6), (_FAMILIES, 2, 1)),
    )


@compiled
def code(bits: Bits, wire: Wire, first: int, last: int) -> None:
    """Rows first .. last - 1: popped into the canvas, or noted."""
    canvas = bits.canvas
    right = canvas.shape[1] - ASIDE
    known = len(wire.state) == 0
    for row in range(ABOVE + first, ABOVE + last):
        for column in range(ASIDE):
            canvas[row, column] = canvas[row - 1, ASIDE]
        column, run, fresh_windows = ASIDE, ASIDE, False
        bits.found[:, 1] = 0
        while column < right:
            length = clear(bits, row, column, right) if run >= CLEAR else 0
            if length >= SHORTEST:
                done = stretched(bits, wire, known, row, column, length)
                run = done - column + run if canvas[row, done - 1] == canvas[row, column - 1] else 1
                column, fresh_windows = done, False
                continue
            if not fresh_windows:
                look(bits, row, column)
                fresh_windows = True
            chance = predict(bits, row, column)
            bit = decide(wire, chance, int(canvas[row, column]))
            canvas[row, column] = bit
            update(bits, row, column, bit)
            run = run + 1 if bit == canvas[row, column - 1] else 1
            column += 1
        for column in range(right, right + ASIDE):
            canvas[row, column] = canvas[row, right - 1]
        ends = bits.ends[row % CLEAR_ROWS]
        end = canvas.shape[1]
        for column in range(canvas.shape[1] - 2, -1, -1):
            ends[column + 1] = end
            if canvas[row, column] != canvas[row, column + 1]:
                end = column + 1
        ends[0] = end


@compiled
def clear(bits: Bits, row: int, column: int, right: int) -> int:
    """How many of the next pixels lie in surroundings of the last pixel's colour."""
    canvas = bits.canvas
    colour = canvas[row, column - 1]
    stop = right + CLEAR
    for back in range(1, CLEAR_ROWS + 1):
        if canvas[row - back, column - CLEAR] != colour:
            return 0
        stop = min(stop, int(bits.ends[(row - back) % CLEAR_ROWS, column - CLEAR]))
    return stop - CLEAR - column


@compiled
def stretched(bits: Bits, wire: Wire, known: bool, row: int, column: int, length: int) -> int:
    """Code a stretch that should be of one colour, up to its first pixel that is not; the column behind."""
    canvas = bits.canvas
    colour = int(canvas[row, column - 1])
    same = 0
    if known:
        while same < length and canvas[row, column + same] == colour:
            same += 1
    if asked(bits, wire, 0, colour, size_of(length), int(same == length)):
        for at in range(column, column + length):
            canvas[row, at] = colour
        return column + length
    start, left = column, length  # one of these is of the other colour
    while left > SHORTEST:
        half = left // 2
        if asked(bits, wire, 1, colour, size_of(left), int(same >= start - column + half)):
            start += half
            left -= half
        else:
            left = half
    while left > 1 and asked(bits, wire, 2, colour, left, int(same > start - column)):
        start += 1
        left -= 1
    for at in range(column, start):
        canvas[row, at] = colour
    canvas[row, start] = 1 - colour
    return start + 1


@compiled
def size_of(length: int) -> int:
    """Bits of a number."""
    size = 0
    while length:
        length >>= 1
        size += 1
    return size


@compiled
def asked(bits: Bits, wire: Wire, family: int, colour: int, size: int, bit: int) -> int:
    """A decision about a stretch: a one if it is of one colour."""
    table = bits.stretches[family, colour]
    wire.done[1] = 1
    bit = decide(wire, int(table[size]) >> 16, bit)
    wire.done[1] = 0
    learn(bits.mixing.curves, table, size, bit)
    return bit


@compiled
def look(bits: Bits, row: int, column: int) -> None:
    """Fill the windows."""
    canvas, windows = bits.canvas, bits.windows
    for back in range(ABOVE + 1):
        first = column - 32 if back == 0 else column + _AHEAD - 31
        window = 0
        for at in range(first, first + 32):
            window = window << 1 | int(canvas[row - back, at])
        windows[back] = window


@compiled
def part(windows: Ints, back: int, before: int, behind: int) -> int:
    """Pixels of a row above, from so many columns before to so many behind."""
    return int(windows[back]) >> (_AHEAD - behind) & ((1 << (before + behind + 1)) - 1)


@compiled
def run_of(window: int) -> int:
    """How many of the lowest bits of a window are alike, up to 31."""
    changes = (window ^ window >> 1) | 1 << 30
    length = 1
    while not changes & 1:
        changes >>= 1
        length += 1
    return length


@compiled
def run_behind(window: int) -> int:
    """How many pixels of a row above, from the one straight above on, are alike, up to _AHEAD + 1."""
    length = 1
    while length <= _AHEAD and (window >> (_AHEAD - length) ^ window >> _AHEAD) & 1 == 0:
        length += 1
    return length


@compiled
def predict(bits: Bits, row: int, column: int) -> int:
    """The chance of a one."""
    windows, places, tables = bits.windows, bits.places, bits.tables
    own = int(windows[0])
    w1, w2, w3, w4 = part(windows, 1, 2, 2), part(windows, 2, 1, 1), part(windows, 3, 2, 2), part(windows, 4, 2, 2)
    ten = own & 3 | w1 << 2 | w2 << 7
    sixteen = own & 15 | part(windows, 1, 3, 3) << 4 | part(windows, 2, 2, 2) << 11
    more = hashed(sixteen | (own & 16) << 12 | part(windows, 3, 1, 1) << 18, w4)
    before, above = run_of(own), run_of(int(windows[1]) >> _AHEAD)
    behind, second = run_behind(int(windows[1])), run_behind(int(windows[2]))
    keys = (
        hashed(1, ten),
        hashed(2, sixteen),
        hashed(3, own & 31 | part(windows, 1, 4, 4) << 5 | part(windows, 2, 2, 2) << 14 | part(windows, 3, 1, 1) << 19),
        hashed(
            hashed(4, own & 63 | part(windows, 1, 4, 4) << 6 | part(windows, 2, 3, 3) << 15), w3 | (w4 >> 1 & 7) << 5
        ),
        hashed(
            hashed(5, own & 255 | part(windows, 1, 6, 6) << 8 | part(windows, 2, 4, 4) << 21),
            part(windows, 3, 3, 3) | w4 << 7,
        ),
        hashed(
            hashed(
                hashed(6, own & 1023 | part(windows, 1, 7, 7) << 10),
                part(windows, 2, 6, 6) | part(windows, 3, 5, 5) << 13,
            ),
            part(windows, 4, 4, 4) | part(windows, 5, 2, 2) << 9,
        ),
        hashed(
            hashed(
                7, own & 3 | part(windows, 1, 1, 1) << 2 | part(windows, 2, 1, 1) << 5 | part(windows, 3, 1, 1) << 8
            ),
            part(windows, 4, 1, 1) | part(windows, 5, 1, 1) << 3 | part(windows, 6, 1, 1) << 6,
        ),
        hashed(hashed(8, own & 0xFFFF), part(windows, 1, 2, 6)),
        hashed(
            hashed(9, own & 0xAA | (part(windows, 2, 6, 6) & 0x1555) << 8),
            part(windows, 4, 4, 4) & 0x155 | (part(windows, 6, 2, 2) & 21) << 9,
        ),
        hashed(hashed(10, own & 7 | part(windows, 1, 1, 1) << 3), before | above << 5 | behind << 10 | second << 15),
        hashed(11, part(windows, 1, 8, 8)),
        hashed(hashed(12, before | behind << 5 | above << 10), own & 1 | part(windows, 2, 3, 3) << 1),
    )
    for number in range(TEMPLATES):
        places[number] = find(tables[number], keys[number])
        opine(bits.mixing, number, tables[number], places[number])
    longest = 0
    for number in range(2):
        longest = max(longest, matched(bits, number, row, column, more))
    bits.mixing.inputs[INPUTS - 1] = _BIAS
    chosen = bits.mixing.chosen
    chosen[0] = ten
    chosen[1] = (1 << 10) + min(before, 15) + (min(behind, 7) << 4) + (min(above, 7) << 7)
    chosen[2] = (1 << 11) + min(longest >> 2, 15) + ((own & 3 | (w1 & 3) << 2) << 4)
    bits.mixing.ends[0] = own & 3 | (w1 >> 1 & 7) << 2 | (w2 & 2) << 4
    mixed = mix(bits.mixing)
    opinion = int(bits.mixing.ends[1])
    one = corrected(bits, 0, sixteen, opinion)
    other = corrected(bits, 1, more & 0xFFFF, opinion)
    return min(max((2 * mixed + one + other + 2) >> 2, 3), CHANCE_ONE - 3)


@compiled
def corrected(bits: Bits, number: int, context: int, opinion: int) -> int:
    """A chance by context and opinion, interpolated; remembers the nearest knot."""
    place = min(max(opinion, -LOGIT_MAX), LOGIT_MAX) + NEAREST
    low = place // SPACING
    above = place - low * SPACING
    bits.knots[number, 0] = context
    bits.knots[number, 1] = low + (1 if 2 * above >= SPACING else 0)
    table = bits.corrections[number, context]
    return (int(table[low]) * (SPACING - above) + int(table[low + 1]) * above) // SPACING >> _FINE


@compiled
def matched(bits: Bits, number: int, row: int, column: int, more: int) -> int:
    """A match's opinion; how long it has been right."""
    windows, found, width = bits.windows, bits.found[number], bits.canvas.shape[1]
    if number == 0:
        key = hashed(hashed(more, int(windows[1]) & 0xFFFFF), int(windows[2]) >> 4 & 0xFFFF)
        key = hashed(hashed(key, part(windows, 3, 7, 7)), part(windows, 4, 6, 6) | part(windows, 5, 6, 6) << 13)
        key = hashed(key, int(windows[0]) & 0xFFF)
    else:
        key = hashed(hashed(hashed(13, int(windows[0]) & 0xFFFFF), part(windows, 1, 8, 12)), part(windows, 2, 3, 3))
    key >>= 8
    table = bits.matches[number]
    slot = key & (len(table) - 1)
    if found[1] == 0:
        found[0] = table[slot]
    table[slot] = row * width + column
    at = CONTEXTS - 2 + number
    inputs = bits.mixing.inputs
    if found[0] == 0:
        bits.places[at] = -1
        inputs[PER_CONTEXT * at] = inputs[PER_CONTEXT * at + 1] = 0
        return 0
    expected = int(bits.canvas[found[0] // width, found[0] % width])
    bits.places[at] = 2 * min(int(found[1]), LONGEST) + expected
    opine(bits.mixing, at, bits.sure[number], bits.places[at])
    return min(int(found[1]), LONGEST)


@compiled
def update(bits: Bits, row: int, column: int, bit: int) -> None:
    """Learn a pixel, and move on to the next."""
    curves, windows, canvas = bits.mixing.curves, bits.windows, bits.canvas
    adapt(bits.mixing, bit)
    for number in range(TEMPLATES):
        learn(curves, bits.tables[number], bits.places[number], bit)
    width = canvas.shape[1]
    for number in range(2):
        place, found = bits.places[CONTEXTS - 2 + number], bits.found[number]
        if place >= 0:
            learn(curves, bits.sure[number], place, bit)
            found[1] = found[1] + 1 if place & 1 == bit else 0
            found[0] += 1
            if found[0] % width >= width - ASIDE:
                found[1] = 0
    for number in range(2):
        table = bits.corrections[number, bits.knots[number, 0]]
        knot = bits.knots[number, 1]
        table[knot] += (((bit << 16) - bit << _FINE) - int(table[knot])) >> CORRECTION_RATE
    windows[0] = (windows[0] << 1 | bit) & _WINDOW
    for back in range(1, ABOVE + 1):
        windows[back] = (windows[back] << 1 | int(canvas[row - back, column + 1 + _AHEAD])) & _WINDOW


class Bilevel(Outcome):
    """A picture of so many rows and columns, and what an encoder knows of it: uint8 [H, W] of zeros and ones."""

    kinds = "pixels", "stretches"

    def __init__(self, height: int, width: int, plane: Ints | None = None) -> None:
        self.turns, self.most, self._width = height, 2 * width + 64, width
        self._bits = fresh(height, width)
        if plane is not None:
            self.plane()[:] = plane

    def code(self, wire: Wire, first: int, last: int) -> None:
        code(self._bits, wire, first, last)

    def plane(self) -> Ints:
        """The picture, uint8 [H, W]: a view."""
        return self._bits.canvas[ABOVE:, ASIDE : ASIDE + self._width]

    def values(self) -> Ints:
        return self.plane().reshape(-1)
