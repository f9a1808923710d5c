"""Where a byte stands: in records, in lines, between brackets; and the contexts that this gives.

The lengths of two kinds of record, close and distant ones, are guessed from how far back strings of three bytes came
before: those that had the most votes of late.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.compiled import compiled
from bfncodec.models.text import contexts
from bfncodec.models.text.contexts import mix

Array = NDArray[Any]

# Fields of Layout.places: bytes so far, the lengths, where this line and the one above begin, the last byte that is
# neither letter, digit nor blank, and the brackets that are open, the last one lowest.
POSITION, CLOSE, DISTANT, LINE, ABOVE, SIGN, OPEN, PLACES = range(8)
CONTEXTS = 13
FIRST, LIMIT = 32, 1 << 12  # of distant lengths
_MOST = 250  # votes, before all are halved
_SEEN_BITS = 16


class Layout(NamedTuple):
    """What is known of a file's layout."""

    places: Array  # int64 [PLACES]
    votes: Array  # uint8 [LIMIT]: by length
    seen: Array  # int32 [2**_SEEN_BITS]: the position after the last like string


def fresh() -> Layout:
    """Of a file that begins."""
    return Layout(np.zeros(PLACES, np.int64), np.zeros(LIMIT, np.uint8), np.zeros(1 << _SEEN_BITS, np.int32))


@compiled
def take(layout: Layout, state: Array, byte: int) -> None:
    """One more byte, which the state and the position know already."""
    places, votes = layout.places, layout.votes
    position = places[POSITION]
    hashed = mix(31, state[contexts.NEAR] & 0xFFFFFF) >> (32 - _SEEN_BITS)
    apart = position - int(layout.seen[hashed])
    layout.seen[hashed] = position
    if 2 <= apart < min(LIMIT, position):
        votes[apart] += 1
        which = CLOSE if apart < FIRST else DISTANT
        if votes[apart] > votes[places[which]]:
            places[which] = apart
        if votes[apart] >= _MOST:
            for length in range(LIMIT):
                votes[length] = int(votes[length]) >> 1
    if byte == 10:
        places[ABOVE] = places[LINE]
        places[LINE] = position
    kind = state[contexts.CLASSES] & 7
    if kind in (0, 5, 6):
        places[SIGN] = byte
        if byte in (40, 60, 91, 123):
            places[OPEN] = (places[OPEN] << 8 | byte) & 0xFFFFFF
        elif byte in (41, 62, 93, 125):
            places[OPEN] = places[OPEN] >> 8


@compiled
def field(layout: Layout) -> int:
    """Where in a close record the next byte stands: 0 .. FIRST - 1."""
    return layout.places[POSITION] % max(layout.places[CLOSE], 1)


@compiled
def _at(data: Array, place: int) -> int:
    return int(data[place]) if place >= 0 else 0


@compiled
def hashes(layout: Layout, data: Array, state: Array, expected: int, out: Array) -> None:
    """Hashes int64 [CONTEXTS], 32 bits, of the contexts of the next byte; expected: see `matches.expected`."""
    places, near, word = layout.places, state[contexts.NEAR], state[contexts.WORD]
    here, left = places[POSITION], near & 0xFF
    close, distant = max(places[CLOSE], 1), max(places[DISTANT], FIRST)
    one, two = _at(data, here - close), _at(data, here - 2 * close)
    out[0] = mix(mix(33, one << 8 | two), close)
    out[1] = mix(mix(34, one), field(layout) << 8 | close)
    above, higher = _at(data, here - distant), _at(data, here - 2 * distant)
    before, after = _at(data, here - distant - 1), _at(data, here - distant + 1)
    out[2] = mix(mix(36, above << 16 | after << 8 | left), distant)
    out[3] = mix(mix(37, above << 16 | higher << 8 | left), distant)
    out[4] = mix(mix(38, above << 16 | before << 8 | after), distant)
    out[5] = mix(mix(39, above << 16 | higher << 8 | _at(data, here - 3 * distant)), distant)
    place = places[ABOVE] + here - places[LINE]
    above, after = 10, 10
    if place < places[LINE]:
        above = int(data[place])
        if place + 1 < places[LINE]:
            after = int(data[place + 1])
    out[6] = mix(40, above << 8 | left)
    out[7] = mix(41, above << 16 | after << 8 | left)
    out[8] = mix(mix(51, expected), left)
    out[9] = mix(mix(53, near & 0xFFFFFF), state[contexts.PREVIOUS])
    out[10] = mix(mix(54, places[SIGN]), word)
    out[11] = mix(mix(55, state[contexts.LINE]), state[contexts.CLASSES] & 0xFFFFFF)
    out[12] = mix(mix(56, places[OPEN] & 0xFF), mix(word, left))
