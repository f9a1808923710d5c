"""Whole numbers as binary decisions: is it zero, its sign, how many bits it has, and these."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from bfncodec.coding.decisions import Wire, decide
from bfncodec.exact.compiled import compiled
from bfncodec.exact.tables import LOGIT_MAX
from bfncodec.models.jpeg.memory import CONTEXTS, MET_BITS, SETS, Memory, settle, settle_anew
from bfncodec.models.jpeg.mixers import adapt, chance, mix, ready
from bfncodec.models.jpeg.networks import HEADS, MORE, NEXT, TOP, coarse

Array = NDArray[Any]

_ONE, _TWO = SETS[0], SETS[0] + SETS[1]
_LONGEST = 17
_MASK = (1 << MET_BITS) - 1
_CHANCE_BITS = 32 - MET_BITS


@compiled
def decision(memory: Memory, wire: Wire, slot: int, group: int, head: int, bit: int) -> int:
    """Code a bit under a slot, 1 .. 7, of all buckets. group: 0 .. 15, its kind; head: of the network."""
    if len(memory.notes):
        return bit
    mixing, choose, said = memory.mixing, memory.chooser, memory.nets.said[head]
    mixing.chosen[0] = choose[0] * 16 + group
    mixing.chosen[1] = _ONE + choose[1] * 16 + group
    mixing.chosen[2] = _TWO + (coarse(said) * 16 + group) * 2 + (1 if choose[0] > 63 else 0)
    mixing.ends[0] = choose[0] // 64 * 16 + group
    mixing.inputs[2 * CONTEXTS + 1] = said
    mixing.inputs[2 * CONTEXTS + 2] = int(mixing.squash[said + LOGIT_MAX]) - 32768 >> 6
    ready(mixing)
    _opine(memory, slot)
    bit = decide(wire, mix(mixing), bit)
    adapt(mixing, bit)
    _learn(memory, slot, bit)
    return bit


@compiled
def plain_decision(memory: Memory, wire: Wire, head: int, bit: int) -> int:
    """Code a bit as the network says alone; nothing is learnt."""
    return bit if len(memory.notes) else decide(wire, chance(memory.mixing, memory.nets.said[head]), bit)


@compiled
def _opine(memory: Memory, at: int) -> None:
    """What all contexts say of a decision."""
    tables, places, stretch, inputs = memory.tables, memory.places, memory.mixing.stretch, memory.mixing.inputs
    for number in range(2 * memory.many[0], 2 * CONTEXTS):
        inputs[number] = 0
    for number in range(memory.many[0]):
        slot = int(tables[number, places[number] + at])
        chance, trust = slot >> MET_BITS, int(memory.trusts[slot & _MASK])
        inputs[2 * number] = int(stretch[chance >> (_CHANCE_BITS - 12)]) * trust >> 8
        inputs[2 * number + 1] = (chance - (1 << (_CHANCE_BITS - 1))) * trust >> (_CHANCE_BITS - 3)
    inputs[2 * CONTEXTS] = 256


@compiled
def _learn(memory: Memory, at: int, bit: int) -> None:
    """Let all contexts learn the outcome."""
    tables, places, shares = memory.tables, memory.places, memory.shares
    target = bit << _CHANCE_BITS
    for number in range(memory.many[0]):
        slot = int(tables[number, places[number] + at])
        chance, met = slot >> MET_BITS, slot & _MASK
        chance += (target - chance) * int(shares[met]) >> 16
        chance = min(max(chance, 64), (1 << _CHANCE_BITS) - 64)
        tables[number, places[number] + at] = chance << MET_BITS | min(met + 1, _MASK)


@compiled
def code_count(memory: Memory, wire: Wire, bits: int, value: int) -> int:
    """Code a number of 3 or 6 bits."""
    node, known = 1, 0
    settle(memory, CONTEXTS)
    for place in range(bits - 1, -1, -1):
        if node > 7:
            settle_anew(memory, node)
            node = 1
        head = 1 << bits - 1 - place | known
        bit = decision(memory, wire, node, min(12 + bits - 1 - place, 15), head, value >> place & 1)
        node = node << 1 | bit
        known = known << 1 | bit
    return known


@compiled
def code_size(memory: Memory, wire: Wire, value: int, tag: int, first: int) -> int:
    """Code a number that is not zero, without its sign, under the buckets that its zero flag had.

    tag: 0 .. 2, more that is known; it has slots of its own. first: of the groups of decisions.
    """
    size = 0
    while value >> size:
        size += 1
    length = 1
    while length < _LONGEST:
        slot = length + 1
        if tag == 2:
            slot = length + 4
        if length == 4:
            settle_anew(memory, 256 + tag)
        if length > 3:
            slot = min(length - 3, 7)
        head = MORE + length if length < 7 else HEADS
        more = decision(memory, wire, slot, min(first + length, 8), head, 1 if size > length else 0)
        if not more:
            break
        length += 1
    known = 1
    if length > 1 and (tag or length > 3):
        settle_anew(memory, 512 + tag * 32 + length)
    for place in range(length - 2, -1, -1):
        depth = length - 2 - place
        slot = known
        if tag == 0 and length < 4:
            slot = 3 + depth + length
        if depth > 2:
            settle_anew(memory, 1024 + tag * 1024 + length * 32 + place)
            slot = 1
        head = HEADS
        if length < 7 and depth == 0:
            head = TOP + length - 2
        elif length < 7 and depth == 1:
            head = NEXT + 2 * (length - 3) + (known & 1)
        bit = decision(memory, wire, slot, min(9 + depth, 11), head, value >> place & 1)
        known = known << 1 | bit
    return known
