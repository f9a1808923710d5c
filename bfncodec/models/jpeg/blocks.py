"""Blocks as decisions: the coefficients inside, those of the first row and column, then DC (after Lepton).

How many coefficients are not zero is said first. Those of the first row and column are expected where the border to
the next block would be smooth, DC likewise; all others from the same frequencies of the blocks around, from what the
block has said so far and from what other components have at the same place. Networks that were trained on other files
see all this; contexts that learn from the file at hand see some of it, and what the networks say.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.decisions import Wire, hashed
from bfncodec.exact.compiled import compiled
from bfncodec.models.jpeg.memory import CONTEXTS, SIGN_CONTEXTS, Memory, reach, settle, settle_anew
from bfncodec.models.jpeg.networks import COUNT, DC, EDGE, EDGE_COUNT, INSIDE, IS_NEGATIVE, MORE, SIGN, SIZE, coarse
from bfncodec.models.jpeg.numbers import code_count, code_size, decision, plain_decision
from bfncodec.models.jpeg.planes import MARGIN, Plane
from bfncodec.models.jpeg.seeing import (
    asked,
    see_dc,
    see_edge,
    see_edge_count,
    see_inner_count,
    see_inside,
    see_sign,
    see_signs,
)

Array = NDArray[Any]

INNER = np.array(
    sorted(
        (8 * u + v for u in range(1, 8) for v in range(1, 8)),
        key=lambda i: (i // 8 + i % 8, i // 8 if (i // 8 + i % 8) % 2 else i % 8),
    ),
    np.int64,
)
_LEVELS = np.array([min(15, ((2 * (1 + i) ** 4).bit_length() - 1) // 2) for i in range(1024)], np.int64)
# Of the basis functions where blocks meet, 1 / 512; the second row: half of three times the first pixel less the next.
_WIDTH = np.array([[128] + 7 * [181], [128, 191, 216, 243, 256, 240, 188, 103]], np.int64)
KINDS = tuple(f"{what} of {whose}" for whose in ("luma", "colours") for what in ("numbers", "insides", "edges", "DC"))
_ROUGHEST = 1 << 20
_INNER_COUNT, _EDGE_COUNT, _INNER_VALUE, _EDGE_VALUE, _DC_VALUE = range(1, 6)


@compiled
def _abs(value: int) -> int:
    return value if value >= 0 else -value


@compiled
def _level(value: int) -> int:
    """0 .. 15: twice the logarithm of a number that is not negative."""
    return _LEVELS[min(value, 1023)]


@compiled
def _luma(plane: Plane, row: int, column: int, u: int, v: int) -> int:
    """The luma's absolute coefficients that go with a colour's, in units of its own."""
    if len(plane.luma) == 1:
        return 0
    y, x = u, v
    if plane.down > 1:
        y = (u + 1) >> 1
    if plane.across > 1:
        x = (v + 1) >> 1
    total = 0
    for below in range(plane.down):
        for right in range(plane.across):
            total += _abs(
                int(plane.luma[MARGIN + row * plane.down + below, MARGIN + column * plane.across + right, 8 * y + x])
            )
    return total


@compiled
def _twin(plane: Plane, row: int, column: int, place: int) -> int:
    """The coefficient at the same place of a component that looks alike."""
    if len(plane.twin) == 1:
        return 0
    return int(plane.twin[MARGIN + row, MARGIN + column, place])


@compiled
def _count_inside(block: Array) -> int:
    count = 0
    for u in range(1, 8):
        for v in range(1, 8):
            if block[8 * u + v]:
                count += 1
    return count


@compiled
def _count_edge(block: Array, step: int) -> int:
    count = 0
    for index in range(1, 8):
        if block[step * index]:
            count += 1
    return count


@compiled
def code_plane(memory: Memory, wire: Wire, plane: Plane, counts: Array, first: int, last: int) -> None:
    """Code rows first .. last - 1 of a plane's blocks.

    counts: uint8, shape of the plane's blocks with margins, and 3: how many coefficients are not zero, so far.
    """
    columns = plane.values.shape[1] - 2 * MARGIN
    for row in range(first, last):
        plane.rights[:] = 0
        for column in range(columns):
            _block(memory, wire, plane, counts, row, column)


@compiled
def _block(memory: Memory, wire: Wire, plane: Plane, counts: Array, row: int, column: int) -> None:
    y, x = MARGIN + row, MARGIN + column
    block, now, known = plane.values[y, x], memory.now, len(wire.state) == 0
    now[:] = 0
    memory.energy[:] = 0
    for way in range(2):
        for index in range(8):
            memory.borders[way, index] = plane.rights[way, index]
            memory.borders[way, 8 + index] = plane.bottoms[column, way, index]
    kind = 4 if plane.kind else 0
    wire.done[1] = kind
    inner = _inner_count(memory, wire, plane, counts, y, x, _count_inside(block) if known else 0)
    counts[y, x, 0] = inner
    wire.done[1] = kind + 1
    _inside(memory, wire, plane, counts, block, row, column, inner)
    for step in (1, 8):
        wire.done[1] = kind
        edge = _edge_count(memory, wire, plane, counts, y, x, step, inner, _count_edge(block, step) if known else 0)
        counts[y, x, 1 if step == 1 else 2] = edge
        wire.done[1] = kind + 2
        _edge(memory, wire, plane, counts, block, row, column, step, inner, edge)
    wire.done[1] = kind + 3
    _dc(memory, wire, plane, counts, block, row, column, inner)
    _finish(memory, plane, block, y, x)


@compiled
def _take(memory: Memory, plane: Plane, place: int, value: int) -> None:
    """A coefficient is known."""
    memory.now[place] = value
    memory.energy[place >> 3] += _abs(value)
    memory.energy[8 + (place & 7)] += _abs(value)
    worth = value * plane.steps[place]
    u, v = place >> 3, place & 7
    for way in range(2):
        memory.borders[way, u] -= worth * _WIDTH[way, v]
        memory.borders[way, 8 + v] -= worth * _WIDTH[way, u]


@compiled
def _finish(memory: Memory, plane: Plane, block: Array, y: int, x: int) -> None:
    """What the block says of its right and its lower border."""
    now, column, total = memory.now, x - MARGIN, 0
    for way in range(2):
        for index in range(8):
            plane.rights[way, index] = 0
            plane.bottoms[column, way, index] = 0
    for u in range(8):
        for v in range(8):
            value = now[8 * u + v]
            block[8 * u + v] = value
            if value:
                total += _abs(value)
                worth = value * plane.steps[8 * u + v]
                for way in range(2):
                    plane.rights[way, u] += worth * (_WIDTH[way, v] if v & 1 == 0 else -_WIDTH[way, v])
                    plane.bottoms[column, way, v] += worth * (_WIDTH[way, u] if u & 1 == 0 else -_WIDTH[way, u])
    plane.sums[y, x] = total - _abs(now[0])


@compiled
def _inner_count(memory: Memory, wire: Wire, plane: Plane, counts: Array, y: int, x: int, value: int) -> int:
    keys, kind = memory.keys, plane.kind
    left, above, corner, right = (
        int(counts[y, x - 1, 0]),
        int(counts[y - 1, x, 0]),
        int(counts[y - 1, x - 1, 0]),
        int(counts[y - 1, x + 1, 0]),
    )
    far = int(counts[y, x - 2, 0]) + int(counts[y - 2, x, 0])
    mean = 2 * left + 2 * above + corner + right
    row, column = y - MARGIN, x - MARGIN
    luma = 0
    if len(plane.luma) > 1:
        for below in range(plane.down):
            for beside in range(plane.across):
                luma += _count_inside(
                    plane.luma[MARGIN + row * plane.down + below, MARGIN + column * plane.across + beside]
                )
    twin = 0
    if len(plane.twin) > 1:
        twin = _count_inside(plane.twin[y, x])
    start = hashed(_INNER_COUNT, min(kind, 1))
    lumas, luma = luma, _level(luma)
    keys[0] = hashed(start, left << 6 | above)
    keys[1] = hashed(start, twin << 4 | luma)
    keys[2] = hashed(start, (mean // 2) << 4 | luma)
    keys[3] = hashed(start, left + above << 8 | far)
    keys[4] = hashed(start, right + above << 8 | corner + left)
    keys[5] = hashed(start, left << 4 | luma)
    keys[6] = hashed(start, above << 4 | luma)
    keys[7] = hashed(start, twin << 8 | left + above)
    reach(memory, 0, CONTEXTS, 0)
    see_inner_count(memory, plane, counts, y, x, lumas, twin)
    asked(memory, plane, COUNT, value, 0)
    choose = memory.chooser
    choose[0] = kind * 64
    choose[1] = min(mean // 6, 63)
    return code_count(memory, wire, 6, value)


@compiled
def _edge_count(
    memory: Memory, wire: Wire, plane: Plane, counts: Array, y: int, x: int, step: int, inner: int, value: int
) -> int:
    keys, kind, now = memory.keys, plane.kind, memory.now
    which = 1 if step == 1 else 2
    left, above = int(counts[y, x - 1, which]), int(counts[y - 1, x, which])
    corner, right = int(counts[y - 1, x - 1, which]), int(counts[y - 1, x + 1, which])
    start = hashed(_EDGE_COUNT, min(kind, 1) * 2 + which)
    near, beyond, expected = 0, 0, 0
    other = 9 - step
    for index in range(1, 8):
        near = near << 1 | (1 if now[step * index + other] else 0)
        for depth in range(1, 8):
            if now[step * index + other * depth]:
                beyond = index
        at = 8 + index if step == 1 else index
        if _abs(memory.borders[0, at]) > 96 * plane.steps[step * index]:
            expected = expected << 1 | 1
        else:
            expected = expected << 1
    twin, luma = 0, 0
    if len(plane.twin) > 1:
        twin = 1 + _count_edge(plane.twin[y, x], step)
    if len(plane.luma) > 1:
        luma = 1 + _count_edge(
            plane.luma[MARGIN + (y - MARGIN) * plane.down, MARGIN + (x - MARGIN) * plane.across], step
        )
    first = int(counts[y, x, 1]) if which == 2 else 0
    mean = 2 * left + 2 * above + corner + right
    keys[0] = hashed(start, left << 12 | above << 8 | inner)
    keys[1] = hashed(start, expected)
    keys[2] = hashed(start, beyond << 8 | inner)
    keys[3] = hashed(start, beyond << 8 | mean)
    keys[4] = hashed(start, inner << 8 | mean)
    keys[5] = hashed(start, first << 8 | inner)
    keys[6] = hashed(start, expected << 8 | mean)
    keys[7] = hashed(start, near << 8 | left + above)
    reach(memory, 0, CONTEXTS, 0)
    see_edge_count(memory, plane, counts, y, x, step, inner, luma, twin)
    asked(memory, plane, EDGE_COUNT + which - 1, value, 0)
    choose = memory.chooser
    choose[0] = kind * 64 + which
    choose[1] = inner
    return code_count(memory, wire, 3, value)


@compiled
def _settle_said(memory: Memory, start: int, here: int) -> None:
    """The last two keys of a coefficient, from what its network says; then all are settled."""
    keys, said = memory.keys, memory.nets.said
    some, more, most = coarse(said[MORE]), coarse(said[MORE + 1]), coarse(said[MORE + 2])
    keys[6] = hashed(start, here << 10 | some << 5 | more)
    keys[7] = hashed(start, some << 10 | more << 5 | most)
    reach(memory, 6, CONTEXTS, 0)
    settle(memory, CONTEXTS)


@compiled
def _around(plane: Plane, y: int, x: int, place: int) -> int:
    """Absolute coefficients of the blocks around, weighted: 1 / 13 of their mean."""
    values = plane.values
    total = 4 * (_abs(int(values[y, x - 1, place])) + _abs(int(values[y - 1, x, place])))
    total += 2 * _abs(int(values[y - 1, x - 1, place])) + _abs(int(values[y - 1, x + 1, place]))
    return total + _abs(int(values[y, x - 2, place])) + _abs(int(values[y - 2, x, place]))


@compiled
def _nearby(block: Array, u: int, v: int) -> int:
    """Absolute coefficients of neighbouring frequencies in another block."""
    total = 0
    for row in range(max(u - 1, 0), min(u + 2, 8)):
        for column in range(max(v - 1, 0), min(v + 2, 8)):
            total += _abs(int(block[8 * row + column]))
    return total


@compiled
def _sign(value: int) -> int:
    """0, 1, 2: zero, positive, negative."""
    return 1 if value > 0 else (2 if value < 0 else 0)


@compiled
def _inside(
    memory: Memory, wire: Wire, plane: Plane, counts: Array, block: Array, row: int, column: int, count: int
) -> None:
    """The coefficients that neither row nor column 0 has."""
    keys, now, choose, kind = memory.keys, memory.now, memory.chooser, plane.kind
    y, x = MARGIN + row, MARGIN + column
    above, left = plane.values[y - 1, x], plane.values[y, x - 1]
    rest, one, two = count, 0, 0
    for index in range(49):
        if rest == 0:
            break
        place = INNER[index]
        u, v = place >> 3, place & 7
        a, b = _abs(int(above[place])), _abs(int(left[place]))
        start = hashed(_INNER_VALUE, min(kind, 1))
        here = place << 8
        keys[0] = hashed(start, here | rest)
        keys[1] = hashed(start, here | min(a, 15) << 4 | min(b, 15))
        keys[2] = hashed(start, here | min(_abs(now[place - 8]), 7) << 4 | min(_abs(now[place - 1]), 7))
        reach(memory, 0, 3, 0)
        around = _around(plane, y, x, place)
        nearby = _nearby(above, u, v) + _nearby(left, u, v)
        before = 2 * (_abs(now[place - 8]) + _abs(now[place - 1])) + _abs(now[place - 9])
        if v < 7:
            before += _abs(now[place - 7])
        if u < 7:
            before += _abs(now[place + 7])
        luma, twin = _luma(plane, row, column, u, v), _twin(plane, row, column, place)
        levels = _level(around)
        keys[3] = hashed(start, levels << 8 | _level(before) << 4 | _level(nearby))
        keys[4] = hashed(start, here | _level(luma) << 4 | min(_abs(twin), 15))
        keys[5] = hashed(start, min(2 * around + 5 * nearby + 8 * before, 1023) << 6 | rest)
        reach(memory, 3, 6, 0)
        value = int(block[place])
        see_inside(memory, plane, counts, y, x, place, rest, count, one, two, around, nearby, before, luma, twin)
        asked(memory, plane, INSIDE + index, value, 1 if value < 0 else 0)
        _settle_said(memory, start, here)
        choose[0] = kind * 64 + place
        choose[1] = rest
        some = 1
        if rest < 49 - index:
            some = decision(memory, wire, 1, 0, 0, 1 if value else 0)
        size = 0
        if some:
            rest -= 1
            size = code_size(memory, wire, _abs(value), 0, 0)
            main = memory.borders[0, 8 + v]
            see_sign(memory, plane, y, x, place, rest, size, twin, main)
            asked(memory, plane, SIGN, value, 1 if (value < 0) == (main < 0) else 0)
            if main >= 0:
                memory.nets.said[IS_NEGATIVE] = -memory.nets.said[IS_NEGATIVE]
            if plain_decision(memory, wire, IS_NEGATIVE, 1 if value < 0 else 0):
                _take(memory, plane, place, -size)
            else:
                _take(memory, plane, place, size)
        two = one
        one = size


@compiled
def _signs(memory: Memory, plane: Plane, y: int, x: int, place: int, twin: int, expected: int) -> None:
    """Contexts of a sign of row or column 0."""
    keys, now, values = memory.keys, memory.now, plane.values
    u, v = place >> 3, place & 7
    start = hashed(hashed(99, place // 7), min(plane.kind, 1))
    a, b = _sign(int(values[y - 1, x, place])), _sign(int(values[y, x - 1, place]))
    step = plane.steps[place] * 64
    upper, lefter = memory.borders[0, 8 + v] // step, memory.borders[0, u] // step
    upper, lefter = min(max(upper, -15), 15) + 16, min(max(lefter, -15), 15) + 16
    c = _sign(twin)
    near = min(max(expected, -40), 40) + 64
    left_of, over, more = 0, 0, 0
    if v > 0:
        left_of = _sign(now[place - 1])
    if u > 0:
        over = _sign(now[place - 8])
    if v > 1:
        more = _sign(now[place - 2])
    if u > 1:
        more = more << 4 | _sign(now[place - 16])
    keys[0] = hashed(start, a << 4 | b)
    keys[1] = hashed(start, c << 8 | min(max(twin, -7), 7) + 8)
    keys[2] = hashed(start, upper << 8 | lefter)
    keys[3] = hashed(start, near << 2)
    keys[4] = hashed(start, more << 8 | left_of << 4 | over)
    keys[5] = hashed(start, near << 8 | (upper if u else lefter))
    reach(memory, 0, SIGN_CONTEXTS, 0)


@compiled
def _edge(
    memory: Memory,
    wire: Wire,
    plane: Plane,
    counts: Array,
    block: Array,
    row: int,
    column: int,
    step: int,
    inner: int,
    count: int,
) -> None:
    """The coefficients of row 0 (step 1) or column 0 (step 8)."""
    keys, now, choose, kind = memory.keys, memory.now, memory.chooser, plane.kind
    y, x = MARGIN + row, MARGIN + column
    above, left = plane.values[y - 1, x], plane.values[y, x - 1]
    other = 9 - step
    rest, one = count, 0
    for index in range(1, 8):
        if rest == 0:
            break
        place = step * index
        u, v = place >> 3, place & 7
        at = 8 + index if step == 1 else index
        expected = memory.borders[0, at] // (16 * plane.steps[place])  # 1 / 8
        sloped = memory.borders[1, at] // (16 * plane.steps[place])
        size_of = min(_abs(expected), 1023)
        a, b = _abs(int(above[place])), _abs(int(left[place]))
        around = _around(plane, y, x, place)
        nearby = _nearby(above, u, v) + _nearby(left, u, v)
        before = 0
        for depth in range(1, 4):
            before += _abs(now[place + other * depth])
        luma, twin = _luma(plane, row, column, u, v), _twin(plane, row, column, place)
        start = hashed(_EDGE_VALUE, min(kind, 1))
        here = place << 8
        levels = _level(around)
        expects = _level(size_of)
        keys[0] = hashed(start, here | min(size_of, 255))
        keys[1] = hashed(start, here | levels << 4 | rest)
        keys[2] = hashed(start, here << 8 | min(size_of >> 2, 63) << 4 | levels)
        keys[3] = hashed(start, here << 8 | min(_abs(now[place + other]), 15) << 8 | expects << 4 | rest)
        keys[4] = hashed(start, here | min(a, 15) << 4 | min(b, 15))
        keys[5] = hashed(start, here << 4 | _level(luma) << 8 | min(_abs(twin), 15) << 4 | rest)
        reach(memory, 0, 6, 0)
        value, number = int(block[place]), index - 1 + (7 if step == 8 else 0)
        see_edge(
            memory,
            plane,
            counts,
            y,
            x,
            place,
            other,
            rest,
            inner,
            one,
            around,
            nearby,
            before,
            luma,
            twin,
            expected,
            sloped,
        )
        asked(memory, plane, EDGE + number, value, 1 if (value < 0) == (expected < 0) else 0)
        _settle_said(memory, start, here)
        choose[0] = kind * 64 + place
        choose[1] = rest << 3 | 7 - index
        some = 1
        if rest < 8 - index:
            some = decision(memory, wire, 1, 0, 0, 1 if value else 0)
        size = 0
        if some:
            rest -= 1
            size = _signed(memory, wire, plane, y, x, place, twin, expected, sloped, value, SIZE + number)
            _take(memory, plane, place, size)
            size = _abs(size)
        one = size


@compiled
def _signed(
    memory: Memory,
    wire: Wire,
    plane: Plane,
    y: int,
    x: int,
    place: int,
    twin: int,
    expected: int,
    sloped: int,
    value: int,
    net: int,
) -> int:
    """Code sign and size of a coefficient that is not zero; the sign first, since more is known of it."""
    keys = memory.keys
    kept = memory.kept
    for number in range(len(keys)):
        kept[number], kept[CONTEXTS + number] = keys[number], memory.places[number]
    _signs(memory, plane, y, x, place, twin, expected)
    if expected >= 0:
        memory.nets.said[IS_NEGATIVE] = -memory.nets.said[IS_NEGATIVE]
    settle(memory, SIGN_CONTEXTS)
    negative = decision(memory, wire, 1 + place % 7, 15, IS_NEGATIVE, 1 if value < 0 else 0)
    see_signs(memory, plane, y, x, place, twin, expected, sloped, -1 if negative else 1)
    asked(memory, plane, net, value, 0)
    for number in range(len(keys)):
        keys[number], memory.places[number] = kept[number], kept[CONTEXTS + number]
    memory.many[0] = CONTEXTS
    tag = 0
    if expected:
        tag = 1 if (expected < 0) == (negative == 1) else 2
    size = code_size(memory, wire, _abs(value), tag, 0)
    return -size if negative else size


@compiled
def _dc(
    memory: Memory, wire: Wire, plane: Plane, counts: Array, block: Array, row: int, column: int, inner: int
) -> None:
    keys, choose, kind = memory.keys, memory.chooser, plane.kind
    y, x = MARGIN + row, MARGIN + column
    unit = 128 * plane.steps[0]
    side, top = memory.borders[0, 0] * 8 // unit, memory.borders[0, 8] * 8 // unit  # 1 / 8
    rough, steep = 0, 0
    for index in range(1, 8):
        rough += _abs(memory.borders[0, index])
        steep += _abs(memory.borders[0, 8 + index])
    rough = 1 + min(rough // (64 * plane.steps[0]), _ROUGHEST)
    steep = 1 + min(steep // (64 * plane.steps[0]), _ROUGHEST)
    if row == 0 and column == 0:
        guess = 0
    elif row == 0:
        guess = side
    elif column == 0:
        guess = top
    else:
        guess = (side * steep + top * rough) // (rough + steep)
    expected = min(max((guess + 4) >> 3, -32767), 32767)
    apart = _level(_abs(side - top)) if row and column else 15
    e = plane.errors
    near = _abs(e[y, x - 1]) + _abs(e[y - 1, x])
    more = near + _abs(e[y - 1, x - 1]) + _abs(e[y - 1, x + 1])
    twin = 0
    if len(plane.twin) > 1:
        twin = plane.twin_errors[y, x]
    start = hashed(_DC_VALUE, min(kind, 1))
    keys[0] = hashed(start, _level(more) << 4 | apart)
    keys[1] = hashed(start, apart << 4 | _level(inner))
    keys[2] = hashed(start, min(max(twin, -30), 30) + 31)
    keys[3] = hashed(start, min(_abs(e[y, x - 1]), 31) << 5 | min(_abs(e[y - 1, x]), 31))
    keys[4] = hashed(start, min(max(side - top, -60), 60) + 64)
    keys[5] = hashed(start, min(max(side - top, -60) // 8, 60) + 64 << 8 | min(max(twin, -30), 30) + 31)
    keys[6] = hashed(start, _level(more) << 8 | apart << 4 | _level(inner))
    choose[0] = kind * 64
    choose[1] = apart
    error = int(block[0]) - expected
    size, difference = 0, side - top
    reach(memory, 0, CONTEXTS - 1, 0)
    see_dc(memory, plane, counts, y, x, difference, guess, twin, inner, rough, steep)
    asked(memory, plane, DC, error, 1 if (error < 0) == (difference < 0) else 0)
    if difference >= 0:
        memory.nets.said[IS_NEGATIVE] = -memory.nets.said[IS_NEGATIVE]
    said = memory.nets.said
    keys[7] = hashed(start, coarse(said[MORE]) << 10 | coarse(said[MORE + 1]) << 5 | coarse(said[MORE + 2]))
    reach(memory, CONTEXTS - 1, CONTEXTS, 0)
    settle(memory, CONTEXTS)
    if decision(memory, wire, 1, 1, 0, 1 if error else 0):
        negative = decision(memory, wire, 2, 2, IS_NEGATIVE, 1 if error < 0 else 0)
        settle_anew(memory, 1 + negative)
        size = code_size(memory, wire, _abs(error), 0, 2)
        if negative:
            size = -size
    e[y, x] = size
    _take(memory, plane, 0, expected + size)
