"""What the text model learns inside a file, in exact integers, bit by bit.

Every context has a slot for each of its partial bytes: a bit history. Histories, two match
models and the static network each give an opinion on the next bit; logistic mixers, chosen
by context, weigh the opinions and learn from every bit, and two tables correct the result
(the techniques of the PAQ family of compressors, started here from trained weights).

Probabilities are of a one, 1 / 2**16; opinions are log-odds in 1/256 nat (`exact.tables`).
Compiled and plain Python give the same integers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import CorruptFile
from bfncodec.exact import tables
from bfncodec.exact.compiled import compiled
from bfncodec.exact.layers import Tensors
from bfncodec.exact.tables import LOGIT_MAX
from bfncodec.models.text import contexts, histories
from bfncodec.models.text.contexts import HASHED, mix

Array = NDArray[Any]

MATCHES = 2  # match models, by the number of bytes that must agree
SHORTEST = (5, 11)
LONGEST = 40
MATCH_BITS = 18
SLOTS = HASHED + 3  # contexts with slots: the hashed ones, and three of what followed
SETS = (256, 256, 64, 512, 512, 512, 512)  # weight sets of the mixers, by what chooses them
OFFSETS = (0, 256, 512, 576, 1088, 1600, 2112, 2624)
MIXERS = len(SETS)
INPUTS = 3 * SLOTS + 2 * MATCHES + 5
KNOTS = 33  # of a correction table
_SPACING = 176  # log-odds between two knots
_HALF = 16 * _SPACING
CORRECTED = 1 << 16  # contexts of a correction table
RATE, LAST_RATE = 30, 14  # of the mixers, 2**-22
WEIGHT_MAX = 1 << 23  # of a mixer's weights: no data can make a sum overflow
COUNT_LIMIT = 127  # of what a history's probability is averaged over
_ORDERED = 7  # contexts of rising order, the first ones

_SQUASH = tables.squash_table()
_STRETCH = tables.stretch_table()
_NEXT = histories.next_table()
_TOTALS = histories.totals()
_CONFIDENCE_OF = np.minimum(_TOTALS, 16).astype(np.int64)  # of a history, 1 / 16
_SHARES = np.array([65536 // (count + 2) for count in range(256)], np.int64)


class Memory(NamedTuple):
    """What is learnt, shared by all lanes."""

    slots: Array  # uint8 [SLOTS, buckets, 16]: check, then a state for each node of four bits
    chances: Array  # int64 [SLOTS, 256]: probability by history
    counts: Array  # int64 [SLOTS, 256]: over how many bits, limited
    weights: Array  # int32 [sum of SETS, INPUTS], 1 / 2**16
    last: Array  # int32 [256, MIXERS], 1 / 2**16
    match_chances: Array  # int64 [MATCHES, 64]: by length and expected bit
    match_table: Array  # int32 [MATCHES, 2**MATCH_BITS]: position after the last like string
    corrections: Array  # int32 [4, CORRECTED, KNOTS]: two of the network's opinion, two of the result
    followers: Array  # int64 [256 + 2**16]: the last three bytes that followed a byte, or two
    data: Array  # uint8 [n]: the bytes themselves


class Lanes(NamedTuple):
    """Where each lane stands."""

    states: Array  # int64 [lanes, STATE]
    matched: Array  # int64 [lanes, MATCHES]: the position that follows a match
    lengths: Array  # int64 [lanes, MATCHES]


class Desk(NamedTuple):
    """Numbers of the bit at hand, from its prediction until its update."""

    hashes: Array  # int64 [SLOTS]
    buckets: Array  # int64 [SLOTS]
    tree: Array  # int64 [512]: sums of the network's weights over partial bytes
    inputs: Array  # int64 [INPUTS]
    chosen: Array  # int64 [MIXERS]: rows of Memory.weights
    outputs: Array  # int64 [MIXERS], log-odds
    knots: Array  # int64 [4, 2]: context and nearest knot of the corrections
    scalars: Array  # int64 [8], see the constants below


_NODE, _CONFIDENCE, _FINAL, _HASH_TWO, _WEIGHT = range(5)  # of Desk.scalars

LEARNT = ("chances", "counts", "weights", "last", "match_chances")


def fresh(tensors: Tensors | None, data: Array, bits: int) -> Memory:
    """The memory at the start of a file whose bytes stand, or will stand, in `data`.

    tensors: a model's; None for one that knows nothing. bits: 2**bits buckets a context.
    """
    knots = np.arange(KNOTS) * _SPACING - _HALF
    line = _SQUASH[np.clip(knots, -LOGIT_MAX, LOGIT_MAX) + LOGIT_MAX].astype(np.int32)
    if tensors is None:
        start = np.arange(32)
        chances = np.stack([32768 // (start + 2), 65535 - 32768 // (start + 2)], axis=1).reshape(-1)
        learnt: dict[str, Array] = {
            "chances": np.tile(histories.first_guesses(), (SLOTS, 1)),
            "counts": np.zeros((SLOTS, 256), np.int64),
            "weights": np.full((OFFSETS[-1], INPUTS), 65536 // 8, np.int32),
            "last": np.full((256, MIXERS), 65536 // MIXERS, np.int32),
            "match_chances": np.tile(chances, (MATCHES, 1)),
        }
    else:
        learnt = _loaded(tensors)
    return Memory(
        slots=np.zeros((SLOTS, 1 << bits, 16), np.uint8),
        chances=learnt["chances"],
        counts=learnt["counts"],
        weights=learnt["weights"],
        last=learnt["last"],
        match_chances=learnt["match_chances"],
        match_table=np.zeros((MATCHES, 1 << MATCH_BITS), np.int32),
        corrections=np.tile(line, (4, CORRECTED, 1)),
        followers=np.zeros(256 + (1 << 16), np.int64),
        data=data,
    )


def _loaded(tensors: Tensors) -> dict[str, Array]:
    shapes = {
        "chances": (SLOTS, 256),
        "counts": (SLOTS, 256),
        "weights": (OFFSETS[-1], INPUTS),
        "last": (256, MIXERS),
        "match_chances": (MATCHES, 64),
    }
    parts = {name: tensors.get(f"mixing.{name}", np.zeros(0, np.int8)) for name in shapes}
    if any(part.shape != shapes[name] for name, part in parts.items()):
        raise CorruptFile("the model's mixing weights have the wrong shape")
    chances, counts = parts["chances"].astype(np.int64), parts["counts"].astype(np.int64)
    match = parts["match_chances"].astype(np.int64)
    inside = all(part.min() >= 1 and part.max() < tables.CHANCE_ONE for part in (chances, match))
    if abs(parts["last"].astype(np.int64)).max() > WEIGHT_MAX:
        inside = False
    if not inside or counts.min() < 0 or counts.max() > COUNT_LIMIT:
        raise CorruptFile("the model's mixing weights are out of range")
    return {
        "chances": chances,
        "counts": counts,
        "weights": parts["weights"].astype(np.int32) << 4,
        "last": parts["last"].astype(np.int32),
        "match_chances": match,
    }


def exported(memory: Memory) -> dict[str, Array]:
    """What a memory has learnt that serves other files, as tensors of a model."""
    return {
        "mixing.chances": memory.chances.astype(np.uint16),
        "mixing.counts": memory.counts.astype(np.uint8),
        "mixing.weights": np.clip(memory.weights >> 4, -32768, 32767).astype(np.int16),
        "mixing.last": memory.last.astype(np.int32),
        "mixing.match_chances": memory.match_chances.astype(np.uint16),
    }


def lanes(count: int) -> Lanes:
    """So many lanes at their start."""
    return Lanes(
        np.zeros((count, contexts.STATE), np.int64),
        np.zeros((count, MATCHES), np.int64),
        np.zeros((count, MATCHES), np.int64),
    )


def desk() -> Desk:
    """Room for the numbers of one bit."""
    return Desk(
        hashes=np.zeros(SLOTS, np.int64),
        buckets=np.zeros(SLOTS, np.int64),
        tree=np.zeros(512, np.int64),
        inputs=np.zeros(INPUTS, np.int64),
        chosen=np.zeros(MIXERS, np.int64),
        outputs=np.zeros(MIXERS, np.int64),
        knots=np.zeros((4, 2), np.int64),
        scalars=np.zeros(8, np.int64),
    )


@compiled
def start_byte(memory: Memory, desk: Desk, state: Array, weights: Array) -> None:
    """Prepare for a byte whose network weights are int64 [256]."""
    contexts.hashes(state, desk.hashes)
    last, two = state[contexts.NEAR] & 0xFF, state[contexts.NEAR] & 0xFFFF
    desk.hashes[HASHED] = mix(mix(23, memory.followers[last]), last)
    desk.hashes[HASHED + 1] = mix(mix(24, memory.followers[256 + two]), last)
    desk.hashes[HASHED + 2] = mix(25, memory.followers[256 + two] & 0xFFFF)
    tree = desk.tree
    top = 0
    for value in range(256):
        tree[256 + value] = weights[value]
        top = max(top, weights[value])
    for node in range(255, 0, -1):
        tree[node] = tree[2 * node] + tree[2 * node + 1]
    desk.scalars[_CONFIDENCE] = min(7, (top << 3) // tree[1])
    desk.scalars[_HASH_TWO] = mix(21, two)


@compiled
def _bucket(slots: Array, context: int, hashed: int) -> int:
    """The bucket of a context's hash: its own, or one made empty for it."""
    first = (hashed >> 8) & (slots.shape[1] - 1)
    check = max(hashed & 0xFF, 1)
    if slots[context, first, 0] == check:
        return first
    second = first ^ 1
    if slots[context, second, 0] == check:
        return second
    taken = first
    if _TOTALS[slots[context, second, 1]] < _TOTALS[slots[context, first, 1]]:
        taken = second
    slots[context, taken, :] = 0
    slots[context, taken, 0] = check
    return taken


@compiled
def _corrected(table: Array, context: int, opinion: int, knot: Array) -> int:
    """A probability by context and opinion, interpolated; remembers the nearest knot."""
    place = opinion + _HALF
    low = place // _SPACING
    above = place - low * _SPACING
    knot[0] = context
    knot[1] = low + (1 if 2 * above >= _SPACING else 0)
    return (int(table[context, low]) * (_SPACING - above) + int(table[context, low + 1]) * above) // _SPACING


@compiled
def predict(memory: Memory, lane: Lanes, number: int, desk: Desk, partial: int, bit: int) -> int:
    """Probability that the next bit is a one, in 1 .. 2**16 - 1.

    partial: the bits of the byte so far below a leading one; bit: how many they are.
    """
    x, scalars, state = desk.inputs, desk.scalars, lane.states[number]
    if bit == 0 or bit == 4:
        for context in range(SLOTS):
            hashed = desk.hashes[context] if bit == 0 else mix(desk.hashes[context], partial)
            desk.buckets[context] = _bucket(memory.slots, context, hashed)
    node = partial if bit < 4 else partial & ((1 << (bit - 4)) - 1) | 1 << (bit - 4)
    scalars[_NODE] = node
    order = 0
    for context in range(SLOTS):
        history = memory.slots[context, desk.buckets[context], node]
        if history == 0:
            x[3 * context] = 0
            x[3 * context + 1] = 0
            x[3 * context + 2] = 0
        else:
            chance = memory.chances[context, history]
            x[3 * context] = _STRETCH[chance]
            x[3 * context + 1] = (chance - 32768) >> 5
            x[3 * context + 2] = (_STRETCH[chance] * _CONFIDENCE_OF[history]) >> 4
            if context < _ORDERED:
                order += 1
    base = 3 * SLOTS
    longest = 0
    for match in range(MATCHES):
        x[base] = 0
        x[base + 1] = 0
        length = lane.lengths[number, match]
        if length > 0:
            expected = int(memory.data[lane.matched[number, match]]) | 256
            if expected >> (8 - bit) == partial:
                row = 2 * min(length, 31) + ((expected >> (7 - bit)) & 1)
                chance = memory.match_chances[match, row]
                x[base] = _STRETCH[chance]
                x[base + 1] = (chance - 32768) >> 5
                longest = 1 + min(6, min(length, 31) >> 2)
            else:
                lane.lengths[number, match] = 0
        base += 2
    ones, zeros = desk.tree[2 * partial + 1], desk.tree[2 * partial]
    chance = min(max(((ones << 16) + 32768) // (ones + zeros + 1), 1), 65535)
    opinion = _STRETCH[chance]
    last_byte = state[contexts.NEAR] & 0xFF
    by_byte = partial | last_byte << 8
    by_two = (scalars[_HASH_TWO] >> 16) ^ (partial * 0x9E3B & 0xFFFF)
    x[base] = opinion
    x[base + 1] = (chance - 32768) >> 5
    x[base + 2] = _STRETCH[_corrected(memory.corrections[0], by_byte, opinion, desk.knots[0])]
    x[base + 3] = _STRETCH[_corrected(memory.corrections[1], by_two, opinion, desk.knots[1])]
    x[base + 4] = 256
    sure = scalars[_CONFIDENCE]
    desk.chosen[0] = partial
    desk.chosen[1] = OFFSETS[1] + last_byte
    desk.chosen[2] = OFFSETS[2] + sure * 8 + bit
    desk.chosen[3] = OFFSETS[3] + order * 64 + longest * 8 + sure
    desk.chosen[4] = OFFSETS[4] + (state[contexts.CLASSES] & 0x3F) * 8 + bit
    desk.chosen[5] = OFFSETS[5] + (state[contexts.WORD] & 0x3F) * 8 + bit
    desk.chosen[6] = OFFSETS[6] + ((desk.hashes[1] ^ partial * 0x9E3B5) & 0x1FF)
    total = 0
    for mixer in range(MIXERS):
        weights = memory.weights[desk.chosen[mixer]]
        dot = 0
        for index in range(INPUTS):
            dot += x[index] * weights[index]
        dot = min(max(dot >> 16, -LOGIT_MAX), LOGIT_MAX)
        desk.outputs[mixer] = dot
        total += dot * memory.last[partial, mixer]
    total = min(max(total >> 16, -LOGIT_MAX), LOGIT_MAX)
    mixed = _SQUASH[total + LOGIT_MAX]
    scalars[_FINAL] = mixed
    by_four = (desk.hashes[3] >> 16) ^ (partial * 0x9E3B & 0xFFFF)
    one = _corrected(memory.corrections[2], by_byte, total, desk.knots[2])
    two = _corrected(memory.corrections[3], by_four, total, desk.knots[3])
    return min(max((2 * mixed + one + two + 2) >> 2, 4), 65532)


@compiled
def update(memory: Memory, lane: Lanes, number: int, desk: Desk, partial: int, bit: int, value: int) -> None:
    """Learn that the bit just predicted was `value`."""
    x, node = desk.inputs, desk.scalars[_NODE]
    target = 65535 * value
    error = (target - desk.scalars[_FINAL]) * LAST_RATE
    for mixer in range(MIXERS):
        moved = int(memory.last[partial, mixer]) + ((desk.outputs[mixer] * error + (1 << 21)) >> 22)
        memory.last[partial, mixer] = min(max(moved, -WEIGHT_MAX), WEIGHT_MAX)
        weights = memory.weights[desk.chosen[mixer]]
        step = (target - _SQUASH[desk.outputs[mixer] + LOGIT_MAX]) * RATE
        for index in range(INPUTS):
            moved = int(weights[index]) + ((x[index] * step + (1 << 21)) >> 22)
            weights[index] = min(max(moved, -WEIGHT_MAX), WEIGHT_MAX)
    for context in range(SLOTS):
        bucket = desk.buckets[context]
        history = memory.slots[context, bucket, node]
        if history:
            count = memory.counts[context, history]
            chance = memory.chances[context, history]
            chance += ((target - chance) * _SHARES[count]) >> 16
            memory.chances[context, history] = min(max(chance, 1), 65535)
            if count < COUNT_LIMIT:
                memory.counts[context, history] = count + 1
        memory.slots[context, bucket, node] = _NEXT[history, value]
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
        row, knot = desk.knots[table]
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
    contexts.advance(lane.states[number], byte)
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
