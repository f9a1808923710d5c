"""Binary decisions: opinions of adaptive contexts, logistic mixers that weigh them, and the way to the stack.

Every context keeps a chance and how often it was met. Chances make opinions; mixers, whose weights are chosen by small
contexts of their own, weigh the opinions and learn from every decision; a last mixer weighs the mixers (the techniques
of the PAQ family of compressors, as in the text model).

Chances are of a one, 1 / 2**16; opinions are log-odds in 1/256 nat (`exact.tables`). All is integers that no data can
make overflow: compiled and plain Python give the same.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding import ans
from bfncodec.coding.ans import Coder, pop_bit
from bfncodec.exact import tables
from bfncodec.exact.compiled import compiled
from bfncodec.exact.tables import CHANCE_ONE, LOGIT_MAX

Ints = NDArray[Any]

PER_CONTEXT = 2  # opinions that a context has
WEIGHT_ONE = 1 << 16
_WEIGHT_MAX = 1 << 20  # of a mixer
_HALF = CHANCE_ONE // 2
_SEEN_MAX = 255
_SURE = 48  # counts from which on a context is believed as much as ever
_LEAST = 3  # chance that is kept for either outcome
_CHECK_MASK = 0xFF
MASK = 0xFFFFFFFF


class Wire(NamedTuple):
    """Where decisions come from, or go to: a decoder's stack, or an encoder's notes."""

    state: Ints  # uint64 [2], as `Coder.opened` gives it; empty in an encoder
    words: Ints  # uint64
    bits: Ints  # uint8 [n]: decisions in order, and above them what they were about
    chances: Ints  # uint16 [n]: of a one
    done: Ints  # int64 [2]: how many are noted, what the next are about


class Curves(NamedTuple):
    """What opinions are made with."""

    squash: Ints  # int32 [2 * LOGIT_MAX + 1]
    stretch: Ints  # int16 [2**12]: by the upper bits of a chance
    shares: Ints  # int32: of an error that a chance takes over, 1 / 2**16, by how often it was met
    trusts: Ints  # int32: how much an opinion is believed, 1 / 2**8, by the same


class Mixing(NamedTuple):
    """A layer of mixers and the last one."""

    curves: Curves
    inputs: Ints  # int32 [inputs]: opinions at hand
    weights: Ints  # int32 [sets, inputs], 1 / 2**16
    chosen: Ints  # int64 [mixers]: the sets in use
    outputs: Ints  # int32 [mixers]
    last: Ints  # int32 [last sets, mixers]
    ends: Ints  # int64 [3]: the last set in use, what it said, rate of learning


def curves(limit: int) -> Curves:
    """limit: of the counts that chances are averaged over, at most 255."""
    met = np.arange(_SEEN_MAX + 1)
    shares = (2 * CHANCE_ONE) // (2 * np.minimum(met, limit) + 3)
    trusts = np.where(met == 0, 0, 64 + 192 * np.minimum(met, _SURE) // _SURE)
    stretch = tables.stretch_table()[8::16].astype(np.int16)
    return Curves(tables.squash_table().astype(np.int32), stretch, shares.astype(np.int32), trusts.astype(np.int32))


def mixing(inputs: int, sets: tuple[int, ...], last: int, rate: int, limit: int, first: int) -> Mixing:
    """Mixers that choose among so many sets each, weights `first` (1 / 2**16); a last mixer of `last` sets."""
    weights = np.full((sum(sets), inputs), first, np.int32)
    end = np.full((last, len(sets)), WEIGHT_ONE // len(sets), np.int32)
    return Mixing(
        curves(limit), np.zeros(inputs, np.int32), weights, np.zeros(len(sets), np.int64),
        np.zeros(len(sets), np.int32), end, np.array([0, 0, rate], np.int64),
    )  # fmt: skip


def slots(bits: int) -> Ints:
    """2**bits contexts that nothing is known of, uint32: chance, check and count."""
    return np.full(1 << bits, _HALF << 16, np.uint32)


def notes(count: int) -> Wire:
    """An encoder's wire with room for so many decisions."""
    nothing = np.empty(0, np.uint64)
    return Wire(nothing, nothing, np.empty(count, np.uint8), np.empty(count, np.uint16), np.zeros(2, np.int64))


def opened(coder: Coder) -> Wire:
    """A decoder's wire."""
    return Wire(*coder.opened(), np.empty(0, np.uint8), np.empty(0, np.uint16), np.zeros(2, np.int64))


class Decided:
    """Decisions that an encoder has made: an output distribution of a known outcome. kinds: what they may be about."""

    def __init__(self, kinds: tuple[str, ...]) -> None:
        self._kinds = kinds
        self._bits: list[NDArray[np.uint8]] = []
        self._chances: list[NDArray[np.uint16]] = []

    def take(self, wire: Wire) -> None:
        """Take what is noted, and make room for more."""
        count = int(wire.done[0])
        self._bits.append(wire.bits[:count].copy())
        self._chances.append(wire.chances[:count].copy())
        wire.done[0] = 0

    def push(self, coder: Coder, values: Ints) -> None:
        """Push all, so that a decoder meets them in order."""
        for bits, chances in zip(reversed(self._bits), reversed(self._chances), strict=True):
            ans.push_bits(coder, bits & 1, chances)

    def cost(self, values: Ints) -> float:
        """Bits."""
        return sum(self.costs().values())

    def costs(self) -> dict[str, float]:
        """Bits by kind."""
        kinds = np.concatenate([bits >> 1 for bits in self._bits])
        totals = np.bincount(kinds, self.each(), len(self._kinds))
        return dict(zip(self._kinds, totals.tolist(), strict=True))

    def each(self) -> NDArray[Any]:
        """Bits of every decision, float64 [n]."""
        parts = zip(self._bits, self._chances, strict=True)
        return np.concatenate([ans.costs_of_bits(bits & 1, chances) for bits, chances in parts])


@compiled
def hashed(value: int, more: int) -> int:
    """A 32-bit hash of a hash and a number."""
    value = ((value ^ more) * 0x2C9277B5 + 0x1B56C4E9) & MASK
    return (value ^ (value >> 15)) * 0x3B9ACA07 & MASK


@compiled
def find(table: Ints, key: int) -> int:
    """The slot of a 32-bit key; one that another key has used is emptied."""
    place = (key >> 8) & (len(table) - 1)
    check = key & _CHECK_MASK
    slot = int(table[place])
    if (slot >> 8 & _CHECK_MASK) != check:
        table[place] = _HALF << 16 | check << 8
    return place


@compiled
def opine(mixing: Mixing, number: int, table: Ints, place: int) -> None:
    """A context's opinions, the mixers' inputs `number` times PER_CONTEXT and the next."""
    slot = int(table[place])
    chance, met = slot >> 16, slot & 0xFF
    opinion = int(mixing.curves.stretch[chance >> 4])
    trust = int(mixing.curves.trusts[met])
    at = PER_CONTEXT * number
    mixing.inputs[at] = opinion * trust >> 8
    mixing.inputs[at + 1] = (chance - _HALF) * trust >> 13


@compiled
def learn(curves: Curves, table: Ints, place: int, bit: int) -> None:
    """Take an outcome into a slot."""
    slot = int(table[place])
    chance, met = slot >> 16, slot & 0xFF
    share = int(curves.shares[met])
    if bit:
        chance += (CHANCE_ONE - chance) * share >> 16
    else:
        chance -= chance * share >> 16
    chance = min(max(chance, 16), CHANCE_ONE - 16)
    table[place] = chance << 16 | (slot & 0xFF00) | min(met + 1, _SEEN_MAX)


@compiled
def mix(mixing: Mixing) -> int:
    """The chance of a one, after all inputs, `chosen` and the last set (`ends[0]`) are set."""
    inputs, total = mixing.inputs, 0
    last = mixing.last[mixing.ends[0]]
    for mixer in range(len(mixing.chosen)):
        weights = mixing.weights[mixing.chosen[mixer]]
        dot = 0
        for index in range(len(inputs)):
            dot += int(np.int64(inputs[index]) * np.int64(weights[index]))
        said = min(max(dot >> 16, -LOGIT_MAX), LOGIT_MAX)
        mixing.outputs[mixer] = said
        total += int(said * np.int64(last[mixer]))
    total = min(max(total >> 16, -LOGIT_MAX), LOGIT_MAX)
    mixing.ends[1] = total
    return min(max(int(mixing.curves.squash[total + LOGIT_MAX]), _LEAST), CHANCE_ONE - _LEAST)


@compiled
def adapt(mixing: Mixing, bit: int) -> None:
    """Let the mixers learn from the decision that `mix` gave the chance of."""
    target, inputs, squash, rate = bit << 16, mixing.inputs, mixing.curves.squash, mixing.ends[2]
    last = mixing.last[mixing.ends[0]]
    error = (target - np.int64(squash[mixing.ends[1] + LOGIT_MAX])) * 6
    for mixer in range(len(mixing.chosen)):
        said = np.int64(mixing.outputs[mixer])
        moved = np.int64(last[mixer]) + (said * error + (1 << 19) >> 20)
        last[mixer] = min(max(moved, -_WEIGHT_MAX), _WEIGHT_MAX)
        weights = mixing.weights[mixing.chosen[mixer]]
        step = (target - np.int64(squash[said + LOGIT_MAX])) * rate
        if -256 < step < 256:
            continue
        for index in range(len(inputs)):
            moved = np.int64(weights[index]) + (np.int64(inputs[index]) * step + (1 << 19) >> 20)
            weights[index] = min(max(moved, -_WEIGHT_MAX), _WEIGHT_MAX)


@compiled
def decide(wire: Wire, chance: int, bit: int) -> int:
    """The decision of this chance: popped, or `bit`, which is noted."""
    if len(wire.state):
        return pop_bit(wire.state, wire.words, chance)
    at = wire.done[0]
    wire.bits[at], wire.chances[at] = bit | wire.done[1] << 1, chance
    wire.done[0] = at + 1
    return bit
