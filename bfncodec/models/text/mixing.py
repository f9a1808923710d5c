"""What the text model learns inside a file, in exact integers, bit by bit.

Every context has a slot for each of its partial bytes: a bit history. Histories, two match
models and the static network each give an opinion on the next bit; logistic mixers, chosen
by context, weigh the opinions and learn from every bit, and two tables correct the result
(the techniques of the PAQ family of compressors, started here from trained weights).

Probabilities are of a one, 1 / 2**16; opinions are log-odds in 1/256 nat (`exact.tables`).
Compiled and plain Python give the same integers.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.compiled import compiled, shaped
from bfncodec.exact.tables import LOGIT_MAX
from bfncodec.exact.vectors import dots, prefetch, teach
from bfncodec.models.text import contexts, layout
from bfncodec.models.text.contexts import HASHED, advance, hashes, mix
from bfncodec.models.text.matches import expected, follow, learn, say
from bfncodec.models.text.memory import (
    CHANCE_SHIFT,
    CORRECTED,
    COUNT_BITS,
    COUNT_LIMIT,
    FAST,
    FOLLOWED,
    FULL,
    HALF,
    KNOT_BITS,
    KNOT_SCALE,
    KNOTS,
    MATCHES,
    OFFSETS,
    PER,
    WEIGHT_MAX,
    Memory,
    Scratch,
    opinion,
)

Array = NDArray[Any]

# Of the mixers, and of the last ones, 2**-22: in the end; how much more at first; after how many bytes half of that.
RATE, RATE_MORE, RATE_HALF = 16, 44, 1 << 15
LAST_RATE, LAST_MORE, LAST_HALF = 4, 22, 1 << 13
_ORDERED = 7  # contexts of rising order, the first ones

_NODE, _HASH_TWO, _EXPECTED, _RATE, _LAST_RATE, _ONE, _OTHER, _FIELD = range(8)  # of Scratch.scalars


@compiled
def _full(memory: Memory) -> bool:
    """Whether all is in use, not what is fast."""
    return len(memory.used) == len(FULL.contexts)


@compiled
def _other(scratch: Scratch) -> int:
    """The set of the second last mixer, by what chooses the fourth mixer's."""
    return 256 + scratch.chosen[3] - OFFSETS[3]


@compiled
def start_byte(memory: Memory, scratch: Scratch) -> None:
    """Prepare for a byte: what can be done before the network's weights are known. Doing it twice changes nothing."""
    state = memory.state
    hashes(state, scratch.hashes)
    last, two = state[contexts.NEAR] & 0xFF, state[contexts.NEAR] & 0xFFFF
    scratch.hashes[HASHED] = mix(mix(23, int(memory.followers[last])), last)
    scratch.hashes[HASHED + 1] = mix(mix(24, int(memory.followers[256 + two])), last)
    scratch.hashes[HASHED + 2] = mix(25, int(memory.followers[256 + two]) & 0xFFFF)
    scratch.scalars[_HASH_TWO] = mix(21, two)
    position = memory.layout.places[layout.POSITION]
    scratch.scalars[_RATE] = RATE + (RATE_MORE * RATE_HALF) // (RATE_HALF + position)
    scratch.scalars[_LAST_RATE] = LAST_RATE + (LAST_MORE * LAST_HALF) // (LAST_HALF + position)
    if _full(memory):
        scratch.scalars[_EXPECTED], scratch.scalars[_FIELD] = expected(memory), layout.field(memory.layout)
        out = scratch.hashes[HASHED + FOLLOWED :]
        layout.hashes(memory.layout, memory.data, state, scratch.scalars[_EXPECTED], out)
    _seek(memory, scratch, 0)
    _expect(memory, scratch, 1)


@compiled
def _seek(memory: Memory, scratch: Scratch, partial: int) -> None:
    """Where the next buckets of all contexts may be, for `find`."""
    buckets = len(memory.slots) // (16 * len(memory.used))
    for context in range(len(memory.used)):
        hashed = scratch.hashes[memory.used[context]]
        if partial:
            hashed = mix(hashed, partial)
        first = (context * buckets + ((hashed >> 8) & (buckets - 1))) << 4
        prefetch(memory.slots, first)
        scratch.coming[context] = first
        scratch.checks[context] = max(hashed & 0xFF, 1)


@compiled
def find(memory: Memory, scratch: Scratch) -> None:
    """The buckets of all contexts: their own ones, or some made empty for them."""
    slots, totals = memory.slots, memory.tables.totals
    words = shaped(slots, 0, np.int64, (len(slots) >> 3,))
    for context in range(len(memory.used)):
        first, check = scratch.coming[context], scratch.checks[context]
        found = first
        if slots[first] != check:
            second = first ^ 16
            found = second
            if slots[second] != check:
                if totals[slots[second + 1]] >= totals[slots[first + 1]]:
                    found = first
                words[found >> 3] = check
                words[(found >> 3) + 1] = 0
        scratch.buckets[context] = found


@compiled
def _corrected(tables: Array, row: int, odds: int, knots: Array, which: int) -> int:
    """A probability by context and opinion, interpolated; remembers the nearest knot."""
    place = (odds + HALF) * KNOT_SCALE
    low, above = row * KNOTS + (place >> KNOT_BITS), place >> (KNOT_BITS - 8) & 0xFF
    knots[which] = low + (above >> 7)
    return (int(tables[low]) * (256 - above) + int(tables[low + 1]) * above) >> 8


@compiled
def _last(memory: Memory, scratch: Scratch, row: int) -> int:
    """What a last mixer says by a set of its weights."""
    total = 0
    for mixer in range(len(scratch.chosen)):
        total += scratch.outputs[mixer] * memory.last[row, mixer]
    return min(max(total >> 16, -LOGIT_MAX), LOGIT_MAX)


@compiled
def predict(memory: Memory, scratch: Scratch, foreseen: Array, partial: int, bit: int) -> int:
    """Probability that the next bit is a one, in 1 .. 2**16 - 1.

    foreseen: the network's, see `network.foretell`. partial: the bits of the byte so far below a leading one; bit: how
    many they are.
    """
    x, scalars, state = scratch.inputs, scratch.scalars, memory.state
    stretch, squash = memory.tables.stretch, memory.tables.squash
    if bit == 4:
        find(memory, scratch)
    node = partial if bit < 4 else partial & ((1 << (bit - 4)) - 1) | 1 << (bit - 4)
    scalars[_NODE] = node
    slots, opinions, corrections = memory.slots, memory.opinions, memory.corrections
    groups, count = shaped(x, 0, np.int64, (len(x) // PER,)), len(memory.used)
    order = 0
    for context in range(count):
        history = context << 8 | int(slots[scratch.buckets[context] + node])
        scratch.histories[context] = history
        groups[context] = opinions[history]
    for context in range(count):
        if memory.used[context] < _ORDERED and scratch.histories[context] & 0xFF:
            order += 1
    longest = say(memory, x, count, partial, bit)
    base, sure = PER * (count + MATCHES), longest
    last_byte = state[contexts.NEAR] & 0xFF
    by_byte, more = partial | last_byte << 8, partial * 0x9E3B & 0xFFFF
    by_two, by_four = (scalars[_HASH_TWO] >> 16) ^ more, (scratch.hashes[3] >> 16) ^ more
    x[base] = 256
    if len(foreseen):
        below, half = (partial << (8 - bit)) & 0xFF, 128 >> bit
        middle = int(foreseen[below + half])
        zeros, ones = middle - int(foreseen[below]), int(foreseen[below + 2 * half]) - middle
        chance = min(max(((ones << 16) + 32768) // (ones + zeros + 1), 1), 65535)
        said = int(stretch[chance >> 4])
        x[base + 4] = said
        x[base + 5] = (chance - 32768) >> 5
        x[base + 6] = stretch[_corrected(corrections, by_byte, said, scratch.knots, 2) >> 4]
        x[base + 7] = stretch[_corrected(corrections, CORRECTED + by_two, said, scratch.knots, 3) >> 4]
        sure = int(foreseen[257])
    scratch.chosen[0] = partial
    scratch.chosen[1] = OFFSETS[1] + last_byte
    scratch.chosen[2] = OFFSETS[2] + sure * 8 + bit
    scratch.chosen[3] = OFFSETS[3] + order * 64 + longest * 8 + sure
    scratch.chosen[4] = OFFSETS[4] + (state[contexts.CLASSES] & 0x3F) * 8 + bit
    scratch.chosen[5] = OFFSETS[5] + (state[contexts.WORD] & 0x3F) * 8 + bit
    scratch.chosen[6] = OFFSETS[6] + ((scratch.hashes[1] ^ partial * 0x9E3B5) & 0x1FF)
    if _full(memory):
        scratch.chosen[7] = OFFSETS[7] + (scalars[_EXPECTED] & 0x1FF)
        scratch.chosen[8] = OFFSETS[8] + (state[contexts.NEAR] >> 8 & 0xFF)
        scratch.chosen[9] = OFFSETS[9] + min(state[contexts.COLUMN], 63) * 8 + bit
        scratch.chosen[10] = OFFSETS[10] + scalars[_FIELD] * 8 + bit
        scratch.chosen[11] = OFFSETS[11] + memory.layout.places[layout.SIGN]
    if _full(memory):
        dots(x, memory.weights, scratch.chosen, scratch.outputs, FULL.inputs)
    else:
        dots(x, memory.weights, scratch.chosen, scratch.outputs, FAST.inputs)
    for mixer in range(len(scratch.chosen)):
        scratch.outputs[mixer] = min(max(scratch.outputs[mixer] >> 15, -LOGIT_MAX), LOGIT_MAX)
    total = _last(memory, scratch, partial)
    scalars[_ONE] = int(squash[total + LOGIT_MAX])
    mixed = scalars[_ONE]
    if _full(memory):
        other = _last(memory, scratch, _other(scratch))
        scalars[_OTHER] = int(squash[other + LOGIT_MAX])
        total = (total + other) >> 1
        mixed = int(squash[total + LOGIT_MAX])
    mixed = 2 * mixed + _corrected(corrections, 2 * CORRECTED + by_byte, total, scratch.knots, 0)
    mixed += _corrected(corrections, 3 * CORRECTED + by_four, total, scratch.knots, 1)
    return min(max((mixed + 2) >> 2, 4), 65532)


@compiled
def _expect(memory: Memory, scratch: Scratch, partial: int) -> None:
    """Bring near what `predict` will need."""
    by_byte, more = partial | (memory.state[contexts.NEAR] & 0xFF) << 8, partial * 0x9E3B & 0xFFFF
    by_two, by_four = (scratch.scalars[_HASH_TWO] >> 16) ^ more, (scratch.hashes[3] >> 16) ^ more
    if _full(memory):
        prefetch(memory.corrections, by_byte * KNOTS)
        prefetch(memory.corrections, (CORRECTED + by_two) * KNOTS)
    prefetch(memory.corrections, (2 * CORRECTED + by_byte) * KNOTS)
    prefetch(memory.corrections, (3 * CORRECTED + by_four) * KNOTS)


@compiled
def update(memory: Memory, scratch: Scratch, foreseen: Array, partial: int, bit: int, value: int) -> None:
    """Learn that the bit just predicted was `value`."""
    node, known = scratch.scalars[_NODE], memory.tables
    if bit < 7:
        _expect(memory, scratch, partial << 1 | value)
    if bit == 3:
        _seek(memory, scratch, partial << 1 | value)
    target = 65535 * value
    rate, last_rate = scratch.scalars[_RATE], scratch.scalars[_LAST_RATE]
    for which in range(2 if _full(memory) else 1):
        row = partial if which == 0 else _other(scratch)
        error = (target - scratch.scalars[_ONE + which]) * last_rate
        for mixer in range(len(scratch.chosen)):
            moved = int(memory.last[row, mixer]) + ((scratch.outputs[mixer] * error + (1 << 21)) >> 22)
            memory.last[row, mixer] = min(max(moved, -WEIGHT_MAX), WEIGHT_MAX)
    for mixer in range(len(scratch.chosen)):
        scratch.steps[mixer] = (target - int(known.squash[scratch.outputs[mixer] + LOGIT_MAX])) * rate >> 8
    if _full(memory):
        teach(scratch.inputs, memory.weights, scratch.chosen, scratch.steps, FULL.inputs)
    else:
        teach(scratch.inputs, memory.weights, scratch.chosen, scratch.steps, FAST.inputs)
    slots, opinions, states, corrections = memory.slots, memory.opinions, memory.states, memory.corrections
    goal = target << CHANCE_SHIFT
    for context in range(len(memory.used)):
        place = scratch.histories[context]
        history = place & 0xFF
        slots[scratch.buckets[context] + node] = known.following[2 * history + value]
        if history:
            slot = int(states[place])
            count, chance = slot & ((1 << COUNT_BITS) - 1), slot >> COUNT_BITS
            chance += ((goal - chance) * int(known.shares[count])) >> 16
            states[place] = chance << COUNT_BITS | min(count + 1, COUNT_LIMIT)
            opinions[place] = opinion(known, chance, history)
    learn(memory, bit, value)
    for table in range(4 if len(foreseen) else 2):
        old = int(corrections[scratch.knots[table]])
        corrections[scratch.knots[table]] = old + ((target - old) >> 6)


@compiled
def end_byte(memory: Memory, scratch: Scratch, position: int) -> None:
    """Take the byte at `position` of the data into contexts and match models, and prepare for the next one."""
    data, followers, state = memory.data, memory.followers, memory.state
    byte, near = int(data[position]), state[contexts.NEAR]
    for index in (near & 0xFF, 256 + (near & 0xFFFF)):
        followers[index] = (int(followers[index]) << 8 | byte) & 0xFFFFFF
    advance(state, byte)
    memory.layout.places[layout.POSITION] = position + 1
    if _full(memory):
        layout.take(memory.layout, state, byte)
    follow(memory, position)
    start_byte(memory, scratch)
