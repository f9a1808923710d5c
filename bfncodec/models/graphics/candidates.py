"""Is the pixel one of a few colours? The ones that followed the same neighbourhoods before, and those of neighbours.

Each distinct candidate is one binary decision, the most specific one first. Pixels of screenshots are settled here by a
decision or two; what is left goes to `escapes`.
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
from bfncodec.exact.compiled import compiled
from bfncodec.models.graphics.canvas import Canvas

Ints = NDArray[Any]

TABLES = 4  # neighbourhoods of 12, 6, 4 and 2 pixels
SOURCES = TABLES + 6  # and W, N, NE, NW, W + N - NW, and the same place in the image before
# Sources in the order of asking; of tables also the trust: 2 for those that were right before, 1 for the others; of the
# image before 1 if most neighbours are what they were there.
_TURNS = [(9, 1), *((table, 2) for table in range(TABLES)), (4, 0), (5, 0), *((table, 1) for table in range(TABLES))]
_TURNS += [(6, 0), (7, 0), (8, 0), (9, 0)]
ASKED = 5  # candidates at most
ESCAPE = 7  # the rank of a pixel that was none of them
_TRUST_MAX = 15
_CONTEXTS = 8
_INPUTS = PER_CONTEXT * _CONTEXTS + 1
_RANKS = 8
_SETS = (ASKED * 64, 1 << SOURCES, ASKED * 64)
_BIAS = 256
_GATES = 64 * 16 * 4
_OPEN = 52000  # none is asked where one of them is right less often: samples that vary are better spelled out


class Candidates(NamedTuple):
    """What is learnt of them."""

    recent: Ints  # int64 [TABLES, 2**bits]: the pixel that came last in a neighbourhood
    trust: Ints  # uint8 [TABLES, 2**bits]: how many times it was right, up to _TRUST_MAX; 0: never seen
    slots: Ints
    mixing: Mixing
    turns: Ints  # int64 [turns, 2], _TURNS
    keys: Ints  # int64 [TABLES]: places of this pixel's neighbourhoods
    found: Ints  # int64 [ASKED]: the candidates
    masks: Ints  # int64 [ASKED]: which sources they come from
    state: Ints  # int64 [3]: how many they are; which gate they pass; which neighbours are as in the image before
    gates: Ints  # int32 [_GATES]: how often one of them was right, 1 / 2**16, by what is around
    places: Ints  # int64 [_CONTEXTS]


def candidates(bits: int) -> Candidates:
    """Before the first pixel; tables of 2**bits neighbourhoods."""
    return Candidates(
        np.zeros((TABLES, 1 << bits), np.int64), np.zeros((TABLES, 1 << bits), np.uint8), slots(bits + 1),
        mixing(_INPUTS, _SETS, _RANKS, 18, 250, 14000),
        np.array(_TURNS, np.int64), np.zeros(TABLES, np.int64), np.zeros(ASKED, np.int64), np.zeros(ASKED, np.int64),
        np.zeros(3, np.int64), np.full(_GATES, 62000, np.int32), np.zeros(_CONTEXTS, np.int64),
    )  # fmt: skip


@compiled
def _fold(key: int, word: int) -> int:
    """A hash of a hash and a pixel."""
    return hashed(hashed(key, word & 0xFFFFFFFF), word >> 32 & 0xFFFFFFFF)


@compiled
def _gradient(canvas: Canvas, at: int) -> int:
    """W + N - NW, sample by sample; W where one would be no sample of theirs."""
    word, samples, up = 0, canvas.samples, at - canvas.row
    for channel in range(samples.shape[1]):
        value = np.int64(samples[at - 1, channel]) + samples[up, channel] - samples[up - 1, channel]
        if value < 0 or value > canvas.most:
            return canvas.words[at - 1]
        word |= value << 16 * channel
    return word


@compiled
def _gather(own: Candidates, canvas: Canvas, at: int) -> None:
    """Find the candidates of a pixel."""
    words, row = canvas.words, canvas.row
    west, north = words[at - 1], words[at - row]
    key = _fold(_fold(7, west), north)
    own.keys[3] = key
    key = _fold(_fold(key, words[at - row - 1]), words[at - row + 1])
    own.keys[2] = key
    key = _fold(_fold(key, words[at - 2]), words[at - 2 * row])
    own.keys[1] = key
    for step in range(-2, 3):
        if step:
            key = _fold(key, words[at - 2 * row + step])
    key = _fold(_fold(key, words[at - row - 2]), words[at - row + 2])
    own.keys[0] = key
    most, places = own.recent.shape[1] - 1, own.keys
    count, former, agreed = 0, at - canvas.image, 0
    if former >= 0:
        for neighbour in (1, row, row + 1, row - 1):
            agreed = agreed << 1 | (words[at - neighbour] == words[former - neighbour])
    own.state[2] = agreed
    steady = agreed in (7, 11, 13, 14, 15)
    for source in range(TABLES):
        places[source] &= most
    for turn in range(len(own.turns)):
        source = own.turns[turn, 0]
        if source < TABLES:
            trust = own.trust[source, places[source]]
            if min(trust, 2) != own.turns[turn, 1]:
                continue
            word = own.recent[source, places[source]]
        elif source == TABLES:
            word = west
        elif source == TABLES + 1:
            word = north
        elif source == TABLES + 2:
            word = words[at - row + 1]
        elif source == TABLES + 3:
            word = words[at - row - 1]
        elif source == TABLES + 4:
            word = _gradient(canvas, at)
        else:
            if former < 0 or steady != own.turns[turn, 1]:
                continue
            word = words[former]
        known = 0
        while known < count and own.found[known] != word:
            known += 1
        if known < count:
            own.masks[known] |= 1 << source
        elif count < ASKED:
            own.found[count], own.masks[count] = word, 1 << source
            count += 1
    own.state[0] = count


@compiled
def settle(own: Candidates, canvas: Canvas, wire: Wire, at: int) -> int:
    """Code whether a pixel is one of its candidates, and which: its rank. Writes its word, or learns from it."""
    words, row, ranks = canvas.words, canvas.row, canvas.ranks
    _gather(own, canvas, at)
    west, north, northwest, northeast = words[at - 1], words[at - row], words[at - row - 1], words[at - row + 1]
    pattern = 0
    if west == north:
        pattern |= 1
    if north == northeast:
        pattern |= 2
    if west == northwest:
        pattern |= 4
    if north == northwest:
        pattern |= 8
    if west == words[at - 2]:
        pattern |= 16
    if north == words[at - 2 * row]:
        pattern |= 32
    trusted = 0
    for source in range(2):
        trust = int(own.trust[source, own.keys[source]])
        level = 0 if trust == 0 else 1 if trust < 2 else 2 if trust < _TRUST_MAX else 3
        trusted = trusted << 2 | level
    past = int(ranks[at - 1]) | int(ranks[at - row]) << 3 | int(ranks[at - row + 1]) << 6
    before = past | int(ranks[at - 2]) << 9 | int(ranks[at - row - 1]) << 12 | int(ranks[at - 2 * row]) << 15
    truth, rank, mixing = words[at], ESCAPE, own.mixing
    escaped = (1 if ranks[at - 1] == ESCAPE else 0) + (2 if ranks[at - row] == ESCAPE else 0)
    gate = (pattern << 4 | trusted) << 2 | escaped
    own.state[1] = gate
    for asked in range(own.state[0] if own.gates[gate] >= _OPEN else 0):
        word, mask = own.found[asked], own.masks[asked]
        base = hashed(11, (own.state[2] << SOURCES | mask) << 3 | asked)
        places = own.places
        places[0] = find(own.slots, hashed(base, 1 << 24))
        places[1] = find(own.slots, hashed(base, 2 << 24 | pattern << 4 | trusted))
        places[2] = find(own.slots, hashed(_fold(_fold(_fold(12, word), west), north), asked))
        places[3] = find(own.slots, hashed(_fold(13, word), own.keys[1] << 3 | asked))
        places[4] = find(own.slots, hashed(14, before << 3 | asked))
        places[5] = find(own.slots, hashed(base, 5 << 24 | past))
        places[6] = find(own.slots, hashed(_fold(hashed(15, mask), word), asked))
        places[7] = find(own.slots, hashed(hashed(16, own.keys[0]), asked))
        for context in range(_CONTEXTS):
            opine(mixing, context, own.slots, places[context])
        mixing.inputs[_INPUTS - 1] = _BIAS
        mixing.chosen[0] = asked * 64 + pattern
        mixing.chosen[1] = ASKED * 64 + mask
        mixing.chosen[2] = ASKED * 64 + (1 << SOURCES) + asked * 64 + trusted * 4 + (past & 7) // 2
        mixing.ends[0] = asked
        bit = decide(wire, mix(mixing), 1 if word == truth else 0)
        adapt(mixing, bit)
        for context in range(_CONTEXTS):
            learn(mixing.curves, own.slots, places[context], bit)
        if bit:
            words[at] = word
            rank = asked
            break
    ranks[at] = rank
    return rank


@compiled
def remember(own: Candidates, word: int) -> None:
    """Take note of the pixel that `settle` was about."""
    right = 0
    for asked in range(own.state[0]):
        if own.found[asked] == word:
            right = 1
    gate = own.state[1]
    own.gates[gate] += (right << 16) - own.gates[gate] >> 5
    for source in range(TABLES):
        place = own.keys[source]
        trust = own.trust[source, place]
        if trust and own.recent[source, place] == word:
            if trust < _TRUST_MAX:
                own.trust[source, place] = trust + 1
        else:
            own.recent[source, place] = word
            own.trust[source, place] = 1
