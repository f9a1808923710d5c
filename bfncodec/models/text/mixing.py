"""What the text model learns inside a file, in exact integers, bit by bit.

Every context has a slot for each of its partial bytes: a bit history. Histories, two match
models and the static network each give an opinion on the next bit; logistic mixers, chosen
by context, weigh the opinions and learn from every bit, and two tables correct the result
(the techniques of the PAQ family of compressors, started here from trained weights).

Probabilities are of a one, 1 / 2**16; opinions are log-odds in 1/256 nat (`exact.tables`).
Compiled and plain Python give the same integers.
"""

from typing import Any

from numpy.typing import NDArray

from bfncodec.exact.compiled import compiled
from bfncodec.exact.tables import LOGIT_MAX
from bfncodec.models.text import contexts
from bfncodec.models.text.contexts import HASHED, advance, hashes, mix
from bfncodec.models.text.memory import (
    COUNT_LIMIT,
    HALF,
    INPUTS,
    MATCH_BITS,
    MATCHES,
    MIXERS,
    OFFSETS,
    SLOTS,
    SPACING,
    WEIGHT_MAX,
    Lanes,
    Memory,
    Scratch,
)

Array = NDArray[Any]

SHORTEST = (5, 11)  # bytes that must agree, by match model
LONGEST = 40  # bytes of a match that are counted
RATE, LAST_RATE = 30, 14  # of the mixers, 2**-22
_ORDERED = 7  # contexts of rising order, the first ones

_NODE, _CONFIDENCE, _FINAL, _HASH_TWO = range(4)  # of Scratch.scalars


@compiled
def start_byte(memory: Memory, scratch: Scratch, state: Array) -> None:
    """Prepare for a byte whose network weights are known."""
    hashes(state, scratch.hashes)
    last, two = state[contexts.NEAR] & 0xFF, state[contexts.NEAR] & 0xFFFF
    scratch.hashes[HASHED] = mix(mix(23, memory.followers[last]), last)
    scratch.hashes[HASHED + 1] = mix(mix(24, memory.followers[256 + two]), last)
    scratch.hashes[HASHED + 2] = mix(25, memory.followers[256 + two] & 0xFFFF)
    tree = scratch.tree
    top = 0
    for value in range(256):
        tree[256 + value] = scratch.weights[value]
        top = max(top, scratch.weights[value])
    for node in range(255, 0, -1):
        tree[node] = tree[2 * node] + tree[2 * node + 1]
    scratch.scalars[_CONFIDENCE] = min(7, (top << 3) // tree[1])
    scratch.scalars[_HASH_TWO] = mix(21, two)


@compiled
def _bucket(slots: Array, totals: Array, context: int, hashed: int) -> int:
    """The bucket of a context's hash: its own, or one made empty for it."""
    first = (hashed >> 8) & (slots.shape[1] - 1)
    check = max(hashed & 0xFF, 1)
    if slots[context, first, 0] == check:
        return first
    second = first ^ 1
    if slots[context, second, 0] == check:
        return second
    taken = first
    if totals[slots[context, second, 1]] < totals[slots[context, first, 1]]:
        taken = second
    slots[context, taken, :] = 0
    slots[context, taken, 0] = check
    return taken


@compiled
def _corrected(table: Array, context: int, opinion: int, knot: Array) -> int:
    """A probability by context and opinion, interpolated; remembers the nearest knot."""
    place = opinion + HALF
    low = place // SPACING
    above = place - low * SPACING
    knot[0] = context
    knot[1] = low + (1 if 2 * above >= SPACING else 0)
    return (int(table[context, low]) * (SPACING - above) + int(table[context, low + 1]) * above) // SPACING


@compiled
def predict(memory: Memory, lane: Lanes, number: int, scratch: Scratch, partial: int, bit: int) -> int:
    """Probability that the next bit is a one, in 1 .. 2**16 - 1.

    partial: the bits of the byte so far below a leading one; bit: how many they are.
    """
    x, scalars, state = scratch.inputs, scratch.scalars, lane.states[number]
    stretch, squash, confidence = memory.tables.stretch, memory.tables.squash, memory.tables.confidence
    if bit == 0 or bit == 4:
        for context in range(SLOTS):
            hashed = scratch.hashes[context] if bit == 0 else mix(scratch.hashes[context], partial)
            scratch.buckets[context] = _bucket(memory.slots, memory.tables.totals, context, hashed)
    node = partial if bit < 4 else partial & ((1 << (bit - 4)) - 1) | 1 << (bit - 4)
    scalars[_NODE] = node
    x[:] = 0
    order = 0
    for context in range(SLOTS):
        history = memory.slots[context, scratch.buckets[context], node]
        if history:
            chance = memory.chances[context, history]
            x[3 * context] = stretch[chance]
            x[3 * context + 1] = (chance - 32768) >> 5
            x[3 * context + 2] = (stretch[chance] * confidence[history]) >> 4
            if context < _ORDERED:
                order += 1
    base = 3 * SLOTS
    longest = 0
    for match in range(MATCHES):
        length = lane.lengths[number, match]
        if length > 0:
            expected = int(memory.data[lane.matched[number, match]]) | 256
            if expected >> (8 - bit) == partial:
                row = 2 * min(length, 31) + ((expected >> (7 - bit)) & 1)
                chance = memory.match_chances[match, row]
                x[base] = stretch[chance]
                x[base + 1] = (chance - 32768) >> 5
                longest = 1 + min(6, min(length, 31) >> 2)
            else:
                lane.lengths[number, match] = 0
        base += 2
    ones, zeros = scratch.tree[2 * partial + 1], scratch.tree[2 * partial]
    chance = min(max(((ones << 16) + 32768) // (ones + zeros + 1), 1), 65535)
    opinion = stretch[chance]
    last_byte = state[contexts.NEAR] & 0xFF
    by_byte = partial | last_byte << 8
    by_two = (scalars[_HASH_TWO] >> 16) ^ (partial * 0x9E3B & 0xFFFF)
    x[base] = opinion
    x[base + 1] = (chance - 32768) >> 5
    x[base + 2] = stretch[_corrected(memory.corrections[0], by_byte, opinion, scratch.knots[0])]
    x[base + 3] = stretch[_corrected(memory.corrections[1], by_two, opinion, scratch.knots[1])]
    x[base + 4] = 256
    sure = scalars[_CONFIDENCE]
    scratch.chosen[0] = partial
    scratch.chosen[1] = OFFSETS[1] + last_byte
    scratch.chosen[2] = OFFSETS[2] + sure * 8 + bit
    scratch.chosen[3] = OFFSETS[3] + order * 64 + longest * 8 + sure
    scratch.chosen[4] = OFFSETS[4] + (state[contexts.CLASSES] & 0x3F) * 8 + bit
    scratch.chosen[5] = OFFSETS[5] + (state[contexts.WORD] & 0x3F) * 8 + bit
    scratch.chosen[6] = OFFSETS[6] + ((scratch.hashes[1] ^ partial * 0x9E3B5) & 0x1FF)
    total = 0
    for mixer in range(MIXERS):
        weights = memory.weights[scratch.chosen[mixer]]
        dot = 0
        for index in range(INPUTS):
            dot += x[index] * weights[index]
        dot = min(max(dot >> 16, -LOGIT_MAX), LOGIT_MAX)
        scratch.outputs[mixer] = dot
        total += dot * memory.last[partial, mixer]
    total = min(max(total >> 16, -LOGIT_MAX), LOGIT_MAX)
    mixed = squash[total + LOGIT_MAX]
    scalars[_FINAL] = mixed
    by_four = (scratch.hashes[3] >> 16) ^ (partial * 0x9E3B & 0xFFFF)
    one = _corrected(memory.corrections[2], by_byte, total, scratch.knots[2])
    two = _corrected(memory.corrections[3], by_four, total, scratch.knots[3])
    return min(max((2 * mixed + one + two + 2) >> 2, 4), 65532)


@compiled
def update(memory: Memory, lane: Lanes, number: int, scratch: Scratch, partial: int, bit: int, value: int) -> None:
    """Learn that the bit just predicted was `value`."""
    x, node, known = scratch.inputs, scratch.scalars[_NODE], memory.tables
    target = 65535 * value
    error = (target - scratch.scalars[_FINAL]) * LAST_RATE
    for mixer in range(MIXERS):
        moved = int(memory.last[partial, mixer]) + ((scratch.outputs[mixer] * error + (1 << 21)) >> 22)
        memory.last[partial, mixer] = min(max(moved, -WEIGHT_MAX), WEIGHT_MAX)
        weights = memory.weights[scratch.chosen[mixer]]
        step = (target - known.squash[scratch.outputs[mixer] + LOGIT_MAX]) * RATE
        for index in range(INPUTS):
            moved = int(weights[index]) + ((x[index] * step + (1 << 21)) >> 22)
            weights[index] = min(max(moved, -WEIGHT_MAX), WEIGHT_MAX)
    for context in range(SLOTS):
        bucket = scratch.buckets[context]
        history = memory.slots[context, bucket, node]
        if history:
            count = memory.counts[context, history]
            chance = memory.chances[context, history]
            chance += ((target - chance) * known.shares[count]) >> 16
            memory.chances[context, history] = min(max(chance, 1), 65535)
            if count < COUNT_LIMIT:
                memory.counts[context, history] = count + 1
        memory.slots[context, bucket, node] = known.following[history, value]
    for match in range(MATCHES):
        length = lane.lengths[number, match]
        if length > 0:
            expected = (int(memory.data[lane.matched[number, match]]) >> (7 - bit)) & 1
            row = 2 * min(length, 31) + expected
            chance = memory.match_chances[match, row]
            memory.match_chances[match, row] = min(max(chance + ((target - chance) >> 6), 1), 65535)
            if expected != value:
                lane.lengths[number, match] = 0
    for table in range(4):
        row, knot = scratch.knots[table]
        old = int(memory.corrections[table, row, knot])
        memory.corrections[table, row, knot] = old + ((target - old) >> 6)


@compiled
def end_byte(memory: Memory, lane: Lanes, number: int, size: int, position: int) -> None:
    """Take the byte at `position` of the data into contexts and match models; lanes are `size` bytes long."""
    data, followers = memory.data, memory.followers
    start = number * size
    byte, near = int(data[position]), lane.states[number, contexts.NEAR]
    for index in (near & 0xFF, 256 + (near & 0xFFFF)):
        followers[index] = (followers[index] << 8 | byte) & 0xFFFFFF
    advance(lane.states[number], byte)
    for match in range(MATCHES):
        shortest = SHORTEST[match]
        if lane.lengths[number, match] > 0:
            lane.lengths[number, match] += 1
            lane.matched[number, match] += 1
            if lane.matched[number, match] >= len(data):  # past the end of the last lane, which may be shorter
                lane.lengths[number, match] = 0
        if position + 1 - start < shortest:
            continue
        hashed = 22
        for back in range(shortest):
            hashed = mix(hashed, int(data[position - back]))
        hashed >>= 32 - MATCH_BITS
        if lane.lengths[number, match] == 0:
            found = int(memory.match_table[match, hashed])
            length = 0
            # Neither string may reach back into the lane before: its end is not known yet.
            most = min(LONGEST, found - (found - 1) // size * size, position + 1 - start)
            while 0 < found < len(data) and length < most:
                if data[found - 1 - length] != data[position - length]:
                    break
                length += 1
            if length >= shortest:
                lane.lengths[number, match] = length
                lane.matched[number, match] = found
        memory.match_table[match, hashed] = position + 1
