"""Match models: where a like string came before, what followed it there, and how far that was right.

After a byte that it did not expect a match goes on behind it for some time; meanwhile it has missed. How likely what it
expects is to come is learnt by the number of bytes that agreed, and by the byte that is expected.
"""

from typing import Any

from numpy.typing import NDArray

from bfncodec.exact.compiled import compiled
from bfncodec.models.text import contexts
from bfncodec.models.text.contexts import mix
from bfncodec.models.text.memory import MATCH_BITS, MATCHES, PER, TRUSTS, Memory

Array = NDArray[Any]

SHORTEST = (5, 11)  # bytes that must agree, by match model
LONGEST = 40  # bytes of a match that are compared
MISSES = 8  # after so many a match ends
_SURE = 16  # bytes that agree after a miss, and it is forgotten
_CHANCE_RATE, _TRUST_RATE = 6, 5  # of learning, 2**-n


@compiled
def trusted(memory: Memory, match: int) -> int:
    """How far a match can be trusted, 0 .. 63, by the bytes that agreed."""
    length, missed = memory.lengths[match], memory.missed[match]
    if missed:
        return 32 + min(length, 8) + 8 * min(missed - 1, 2)
    if length < 16:
        return length
    if length < 32:
        return 16 + ((length - 16) >> 2)
    if length < 64:
        return 20 + ((length - 32) >> 3)
    return min(24 + ((length - 64) >> 5), 31)


@compiled
def _trust(memory: Memory, match: int, expected: int, bit: int) -> int:
    """Place in Memory.trusts of a match, by the byte that it expects."""
    length, kind = memory.lengths[match], 0
    if not memory.missed[match]:
        kind = 1 + (length >= 12) + (length >= 24)
    return (expected * 8 + bit) * TRUSTS + kind


@compiled
def expected(memory: Memory) -> int:
    """One more than the byte that the longer match expects that has not missed, and 512 for every eight bytes of it.

    0 if there is none.
    """
    found = 0
    for match in range(MATCHES):
        if memory.lengths[match] > 0 and not memory.missed[match]:
            found = (min(memory.lengths[match], 32) >> 3) << 9 | int(memory.data[memory.matched[match]]) + 1
    return found


@compiled
def say(memory: Memory, x: Array, first: int, partial: int, bit: int) -> int:
    """Inputs of mixers from the group `first` on; returns how long a match is that has not missed, 0 .. 7."""
    groups, stretch, longest = first, memory.tables.stretch, 0
    for match in range(MATCHES):
        base = PER * (groups + match)
        x[base], x[base + 1], x[base + 2] = 0, 0, 0
        length = memory.lengths[match]
        if length > 0:
            byte = int(memory.data[memory.matched[match]])
            if (byte | 256) >> (8 - bit) == partial:
                chance = memory.match_chances[match, 2 * trusted(memory, match) + ((byte >> (7 - bit)) & 1)]
                x[base] = stretch[chance >> 4]
                x[base + 1] = (chance - 32768) >> 5
                x[base + 2] = stretch[memory.trusts[match, _trust(memory, match, byte, bit)] >> 4]
                if not memory.missed[match]:
                    longest = 1 + min(6, length >> 2)
            else:
                memory.lengths[match] = 0
    return longest


@compiled
def learn(memory: Memory, bit: int, value: int) -> None:
    """The bit was `value`."""
    target = 65535 * value
    for match in range(MATCHES):
        if memory.lengths[match] > 0:
            byte = int(memory.data[memory.matched[match]])
            wanted = (byte >> (7 - bit)) & 1
            row, place = 2 * trusted(memory, match) + wanted, _trust(memory, match, byte, bit)
            chance, trust = memory.match_chances[match, row], memory.trusts[match, place]
            memory.match_chances[match, row] = min(max(chance + ((target - chance) >> _CHANCE_RATE), 1), 65535)
            memory.trusts[match, place] = min(max(trust + ((target - trust) >> _TRUST_RATE), 1), 65535)
            if wanted != value:
                memory.lengths[match] = 0
                memory.missed[match] += 1


@compiled
def follow(memory: Memory, position: int) -> None:
    """The byte at `position` of the data has come, the state knows it: go on, or look for a match."""
    data, near, far, older = memory.data, memory.state[contexts.NEAR], memory.state[contexts.FAR], 0
    for back in range(8, min(11, position + 1)):
        older = older << 8 | int(data[position - back])
    shorter = mix(mix(22, near), far & 0xFF)
    longer = mix(mix(mix(22, near), far), older)
    for match in range(MATCHES):
        if memory.matched[match] > 0:
            memory.lengths[match] += 1
            memory.matched[match] += 1
            if memory.lengths[match] >= _SURE:
                memory.missed[match] = 0
        if position + 1 < SHORTEST[match]:
            continue
        hashed = (shorter if match == 0 else longer) >> (32 - MATCH_BITS)
        if memory.matched[match] == 0 or memory.missed[match]:
            found, length = int(memory.match_table[match, hashed]), 0
            while length < min(LONGEST, found) and data[found - 1 - length] == data[position - length]:
                length += 1
            if length >= SHORTEST[match]:
                memory.matched[match], memory.lengths[match], memory.missed[match] = found, length, 0
            elif memory.missed[match] > MISSES:
                memory.matched[match], memory.lengths[match], memory.missed[match] = 0, 0, 0
        memory.match_table[match, hashed] = position + 1
