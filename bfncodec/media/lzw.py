"""LZW streams of TIFF and GIF <-> their values, to the last bit.

Encoders are greedy: a code stands for the longest string that has one. What they are free in is when they begin anew
(Clear), and how a stream ends. `parse` takes note of that, and believes nothing: it encodes what it has decoded, and
compares. Streams of encoders that are not greedy, and damaged ones, are none of this module's.

Notes of a stream: one number, 4 * exceptions + 2 if it does not begin with Clear + 1 if its end is unusual; a pair of
numbers for each exception, after how many usual distances between Clears comes another one, and which; and where the
end is unusual, its bytes. Numbers are varints of .bfn files. A distance is how many codes lie between two Clears.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.container import Reader, varint
from bfncodec.errors import CorruptFile
from bfncodec.exact.compiled import compiled

Ints = NDArray[Any]

_MOST_BITS = 12  # of a code
_CODES = 1 << _MOST_BITS
_SLOTS = 1 << 14  # of the hash table of an encoder
_CODES_A_CLEAR = 16  # streams with more Clears than one in so many codes are left alone
# Places of `_decode`'s and `_encode`'s results.
_BITS_USED, _CODES_SINCE, _CLEARS = range(3)


class Variant(NamedTuple):
    """Which of the LZWs: bits of a value; whether codes begin at a byte's high bit; whether widths change early."""

    bits: int
    high: bool
    early: bool


TIFF = Variant(8, True, True)


def gif(bits: int) -> Variant:
    """GIF's LZW, for values of 1 to 8 bits."""
    return Variant(bits, False, False)


@dataclass
class Freedom:
    """What is left to an encoder."""

    distances: list[int] = field(default_factory=list)  # codes before each Clear, but for one at the beginning
    last: int = 0  # codes after the last one
    clear_first: bool = True
    end: bytes | None = None  # the byte in which the last value's code ends, and all after it; None: as usual


class _Room(NamedTuple):
    """Of an encoder: strings as (prefix, value, generation), and their codes."""

    keys: Ints  # int64 [_SLOTS]
    codes: Ints  # int16 [_SLOTS]


def parse(stream: bytes, count: int, variant: Variant) -> tuple[Ints, Freedom] | None:
    """The first `count` values of a stream, uint8, and what else makes it; None unless it comes out the same.

    Its bytes are looked at once, and no more than 4096 values a code are taken.
    """
    if count > len(stream) * _CODES:
        return None
    data, values = np.frombuffer(stream, np.uint8), np.empty(count, np.uint8)
    clears = np.empty(8 * len(stream) // (variant.bits * _CODES_A_CLEAR) + 16, np.int64)
    strings, result = np.empty((2, _CODES), np.int64), np.zeros(3, np.int64)
    if not _decode(data, *map(int, variant), values, clears, strings, result):
        return None
    distances, last = clears[: result[_CLEARS]].tolist(), int(result[_CODES_SINCE])
    begins = distances[:1] == [0]
    freedom = Freedom(distances[1:] if begins else distances, last, begins)
    known = int(result[_BITS_USED]) // 8
    usual = encode(values, variant, freedom)
    if usual != stream and usual[:known] == stream[:known]:
        freedom.end = stream[known:]
        usual = encode(values, variant, freedom)
    return (values, freedom) if usual == stream else None


def encode(values: Ints, variant: Variant, freedom: Freedom, period: int = 0, runs: Ints | None = None) -> bytes:
    """The stream of values uint8 [N], which have no more bits than the variant says.

    period: the usual distance; 0: no Clear. runs: how many usual distances come before each of `freedom`'s.
    """
    others = np.array(freedom.distances, np.int64)
    before = np.zeros(len(others), np.int64) if runs is None else runs
    codes = len(values) + (len(values) // period if period else 0) + len(others) + 3
    out = np.empty(codes * _MOST_BITS // 8 + 1, np.uint8)
    room = _Room(np.full(_SLOTS, -1, np.int64), np.empty(_SLOTS, np.int16))
    result = np.zeros(3, np.int64)
    data = np.ascontiguousarray(values, np.uint8)
    size = _encode(data, *map(int, variant), int(freedom.clear_first), period, before, others, room, out, result)
    if freedom.end is None:
        return out[:size].tobytes()
    return out[: int(result[_BITS_USED]) // 8].tobytes() + freedom.end


def usual_period(streams: list[Freedom]) -> int:
    """The distance that most Clears of some streams have; 0 if there are none."""
    counts = Counter(distance for stream in streams for distance in stream.distances if distance)
    return max(counts, key=lambda one: (counts[one], one), default=0)


def noted(freedom: Freedom, period: int) -> bytes:
    """Notes of a stream; a single zero byte if all is as usual."""
    pairs, run = b"", 0
    count = 0
    without_end = [freedom.last] if freedom.last > period > 0 else []  # no usual Clear among the last codes
    for distance in freedom.distances + without_end:
        if distance == period > 0:
            run += 1
            continue
        pairs += varint(run) + varint(distance)
        run, count = 0, count + 1
    head = varint(4 * count + 2 * (not freedom.clear_first) + (freedom.end is not None))
    return head + pairs + (varint(len(freedom.end)) + freedom.end if freedom.end is not None else b"")


class Notes(Reader):
    """Numbers and notes, one after the other; where they have ended, all is as usual."""

    def number(self) -> int:
        """The next number; 0 after the end."""
        return self.varint() if self.position < len(self.data) else 0

    def stream(self, values: Ints, variant: Variant, period: int) -> bytes:
        """The stream of values uint8 [N] that the next notes are of; CorruptFile if they are damaged."""
        head = self.number()
        if head >> 2 > len(self.data):
            raise CorruptFile("the image's metadata is damaged")
        pairs = np.array([(self.varint(), self.varint()) for _ in range(head >> 2)], np.int64).reshape(-1, 2)
        end = self.take(self.varint()) if head & 1 else None
        if values.size and int(values.max()) >> variant.bits:
            raise CorruptFile("the image's metadata is damaged: it has more colours than its file")
        freedom = Freedom(pairs[:, 1].tolist(), 0, not head & 2, end)
        return encode(values, variant, freedom, period, np.ascontiguousarray(pairs[:, 0]))


@compiled
def _width(bits: int, early: int, codes: int) -> int:
    """Bits of the code after so many codes since Clear."""
    known, width = (1 << bits) + 1 + codes + early, bits + 1
    while codes > 0 and width < _MOST_BITS and known >> width:
        width += 1
    return width


@compiled
def _decode(
    data: Ints, bits: int, high: int, early: int, values: Ints, clears: Ints, strings: Ints, result: Ints
) -> bool:
    """Fill `values`; False if the stream cannot. clears: codes before each Clear, and since the one before it.

    strings: where the string of each code begins among the values, and how long it is.
    """
    clear = 1 << bits
    first = clear + 2
    at, have, filled, codes, count = 0, 0, 0, 0, 0
    held = 0
    start, length = 0, 0  # of the string before
    while filled < len(values):
        width = _width(bits, early, codes)
        while have < width:
            if at == len(data):
                return False
            byte = int(data[at])
            held = held << 8 | byte if high else held | byte << have
            at, have = at + 1, have + 8
        have -= width
        if high:
            code = held >> have
            held &= (1 << have) - 1
        else:
            code = held & ((1 << width) - 1)
            held >>= width
        if code == clear:
            if count == len(clears):
                return False
            clears[count] = codes
            count, codes = count + 1, 0
            continue
        entry = first + codes - 1
        if codes > 0 and entry < _CODES:
            strings[0, entry], strings[1, entry] = start, length + 1
        if code == clear + 1 or code >= min(first + codes, _CODES) or (code > clear and codes == 0):
            return False
        if code < clear:
            start, length = filled, 1
            values[filled] = code
        else:
            source, length, start = strings[0, code], strings[1, code], filled
            if filled + length > len(values):
                return False
            for place in range(length):
                values[filled + place] = values[source + place]
        filled, codes = filled + length, codes + 1
    result[0], result[1], result[2] = 8 * at - have, codes, count
    return True


@compiled
def _put(out: Ints, high: int, bit: int, code: int, width: int) -> int:
    """Write a code at a bit of `out`, whose later bytes are anything; returns the bit after it."""
    at, inside = bit >> 3, bit & 7
    if high:
        word = (int(out[at]) >> (8 - inside) << (8 - inside) if inside else 0) << 16
        word |= code << (24 - inside - width)
        out[at], out[at + 1], out[at + 2] = word >> 16, word >> 8 & 255, word & 255
    else:
        word = int(out[at]) & ((1 << inside) - 1) | code << inside
        out[at], out[at + 1], out[at + 2] = word & 255, word >> 8 & 255, word >> 16
    return bit + width


@compiled
def _encode(
    values: Ints, bits: int, high: int, early: int, clear_first: int, period: int, runs: Ints, others: Ints,
    room: _Room, out: Ints, result: Ints,
) -> int:  # fmt: skip
    """Write the stream, its usual end too; returns its bytes. result: bits and codes before that end."""
    clear = 1 << bits
    first = clear + 2
    bit, codes, at, number, generation = 0, 0, 0, 0, 0
    left = int(runs[0]) if len(runs) else 0
    if clear_first:
        bit = _put(out, high, bit, clear, bits + 1)
    while at < len(values):
        while True:
            usual = number == len(others) or (left > 0 and period > 0)
            distance = period if usual else others[number]
            if codes != distance or (usual and period == 0):
                break
            bit = _put(out, high, bit, clear, _width(bits, early, codes))
            codes, generation = 0, generation + 1
            if number < len(others):
                if usual:
                    left -= 1
                else:
                    number += 1
                    left = runs[number] if number < len(others) else 0
        code = int(values[at])
        at += 1
        key, slot = 0, 0
        while at < len(values):
            key = (generation << 12 | code) << 8 | int(values[at])
            slot = ((key & 0xFFFFF) * 40503 >> 4) & (_SLOTS - 1)
            while room.keys[slot] != key and room.keys[slot] >> 20 == generation:
                slot = (slot + 1) & (_SLOTS - 1)
            if room.keys[slot] != key:
                break
            code = int(room.codes[slot])
            at += 1
        bit = _put(out, high, bit, code, _width(bits, early, codes))
        codes += 1
        if at < len(values) and first + codes - 1 < _CODES:
            room.keys[slot], room.codes[slot] = key, first + codes - 1
    result[0], result[1] = bit, codes
    bit = _put(out, high, bit, clear + 1, _width(bits, early, codes))
    return bit + 7 >> 3
