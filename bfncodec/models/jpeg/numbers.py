"""Whole numbers as binary decisions: is it zero, its sign, how many bits it has, and these."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from bfncodec.coding.decisions import PER_CONTEXT, Wire, adapt, decide, find, hashed, learn, mix, opine
from bfncodec.exact.compiled import compiled
from bfncodec.models.jpeg.memory import CONTEXTS, SETS, Memory

Array = NDArray[Any]

_ONE, _TWO, _THREE = SETS[0], SETS[0] + SETS[1], SETS[0] + SETS[1] + SETS[2]
_LONGEST = 17


@compiled
def decision(memory: Memory, wire: Wire, node: int, group: int, bit: int) -> int:
    """Code a bit under the contexts in memory.keys. node: which of the symbol's; group: 0 .. 15, its kind."""
    mixing, choose = memory.mixing, memory.chooser
    for number in range(CONTEXTS):
        table = memory.tables[number]
        place = find(table, hashed(memory.keys[number], node))
        memory.places[number] = place
        opine(mixing, number, table, place)
    mixing.inputs[PER_CONTEXT * CONTEXTS] = 256
    mixing.chosen[0] = choose[0] * 16 + group
    mixing.chosen[1] = _ONE + choose[1] * 16 + group
    mixing.chosen[2] = _TWO + choose[2] * 16 + group
    mixing.chosen[3] = _THREE + choose[3] * 16 + group
    mixing.ends[0] = choose[0] // 64 * 16 + group
    bit = decide(wire, mix(mixing), bit)
    adapt(mixing, bit)
    for number in range(CONTEXTS):
        learn(mixing.curves, memory.tables[number], memory.places[number], bit)
    return bit


@compiled
def code_count(memory: Memory, wire: Wire, bits: int, value: int) -> int:
    """Code a number of `bits` bits."""
    node = 1
    for place in range(bits - 1, -1, -1):
        bit = decision(memory, wire, node, min(12 + bits - 1 - place, 15), value >> place & 1)
        node = node << 1 | bit
    return node - (1 << bits)


@compiled
def code_size(memory: Memory, wire: Wire, value: int, tag: int, first: int) -> int:
    """Code a number that is not zero, without its sign; tag: 0 .. 3, more that is known."""
    size = 0
    while value >> size:
        size += 1
    length = 1
    while length < _LONGEST:
        more = decision(memory, wire, 256 + tag * 16 + length, min(first + length, 8), 1 if size > length else 0)
        if not more:
            break
        length += 1
    known = 1
    for place in range(length - 2, -1, -1):
        node = 1024 + (length << 5) + (min(known, 15) if length - 2 - place < 3 else 16 + place)
        bit = decision(memory, wire, node * 4 + tag, min(9 + length - 2 - place, 11), value >> place & 1)
        known = known << 1 | bit
    return known
