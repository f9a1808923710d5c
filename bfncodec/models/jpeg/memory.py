"""What is learnt while coefficients are coded, and where it starts.

A context is a hash; its bucket, a row of slots, has what followed it in the nodes of a symbol: each slot a chance and
how often it was met. Every context of a symbol has a table of buckets of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.decisions import hashed
from bfncodec.errors import CorruptFile
from bfncodec.exact import room, tables
from bfncodec.exact.compiled import compiled
from bfncodec.exact.tables import CHANCE_BITS, LOGIT_MAX
from bfncodec.exact.vectors import prefetch
from bfncodec.models import zoo
from bfncodec.models.jpeg import networks
from bfncodec.models.jpeg.mixers import INPUTS, MIXERS, WEIGHT_ONE, Mixing, mixing
from bfncodec.models.jpeg.networks import SEEN, Networks

Array = NDArray[Any]

CONTEXTS = 8  # of a symbol, at most
SIGN_CONTEXTS = 6
BUCKET_BITS = 14  # buckets of a table
BUCKET = 8  # numbers of a bucket: the hash that it belongs to, and seven slots
MET_BITS = 10  # of a slot: how often it was met; above them its chance, of a one, 1 / 2**22
UNKNOWN = 1 << 31  # a slot
USED = 2 * CONTEXTS + 3  # inputs of mixers: two of a context, one that is always the same, two of a network
SETS = (3 * 64 * 16, 64 * 16, 32 * 32)
LAST = 3 * 16
RATE = 6  # of learning, of mixers
FIRST = WEIGHT_ONE // 12  # weight of mixers that were not trained
WEIGHT_UNIT = WEIGHT_ONE // 64  # of mixers in model files
MET = np.array([0, 2, 10, 60], np.uint32)  # how often slots of model files were met
STEP = 22  # of chances in model files, in log-odds of 1 / 256
_LIMIT, _SURE = 255, 48  # times met: a chance is an average over so many; it is believed as much as ever
_MET_MASK = (1 << MET_BITS) - 1


class Memory(NamedTuple):
    """The state of the model, and room for the symbol at hand."""

    tables: Array  # uint32 [CONTEXTS, BUCKET << BUCKET_BITS]
    mixing: Mixing
    shares: Array  # int32 [2**MET_BITS]: of an error that a chance takes over, 1 / 2**16, by how often it was met
    trusts: Array  # int32 [2**MET_BITS]: how much a slot is believed, 1 / 2**8
    many: Array  # int64 [1]: how many contexts the symbol has
    keys: Array  # int64 [CONTEXTS]: hashes of them
    hashes: Array  # int64 [CONTEXTS]: the same, of the buckets in use
    kept: Array  # int64 [2 * CONTEXTS]: keys and places that are put aside
    places: Array  # int64 [CONTEXTS]: buckets of the symbol
    chooser: Array  # int64 [2]: what mixers are chosen by, as well as by the network
    now: Array  # int64 [64]: the block so far
    energy: Array  # int64 [16]: sums of absolute coefficients so far, by row and by column
    nets: Networks
    notes: Array  # uint8 [n, SEEN + 3]: all that networks see, for training; none otherwise
    noted: Array  # int64 [1]: how much that is
    borders: Array  # int64 [2, 16]: what is missing at the left border, by row, and at the upper one, by column, if
    # the border is smooth where blocks meet, and if slopes are the same on both sides


class Start(NamedTuple):
    """What is known before anything is coded."""

    tables: Array  # as in `Memory`
    weights: Array  # as in `Mixing`
    last: Array
    nets: Networks


def untrained(nets: Networks | None = None) -> Start:
    """Nothing at all, but for networks."""
    empty = room.zeros((CONTEXTS, 1 << BUCKET_BITS, BUCKET), np.uint32)
    empty.fill(UNKNOWN)
    empty[:, :, 0] = 0
    weights = np.full((sum(SETS), INPUTS), FIRST, np.int32)
    last = np.full((LAST, MIXERS), WEIGHT_ONE // MIXERS, np.int32)
    return Start(empty.reshape(CONTEXTS, -1), weights, last, nets or networks.untrained())


@zoo.per_file
def start(path: Path) -> Start:
    """What a model file says, see `docs/format.md`; CorruptFile if it is damaged."""
    try:
        return started(zoo.tensors(path))
    except (IndexError, ValueError) as error:
        raise CorruptFile(f"{path} is no whole model of JPEG files") from error


def started(model: Mapping[str, Array]) -> Start:
    """The same, of tensors by name; ValueError or IndexError if they are damaged."""
    blank = untrained(networks.started(model))
    names = ("jpeg.buckets", "jpeg.keys", "jpeg.chances", "jpeg.met", "jpeg.sets", "jpeg.weights", "jpeg.last")
    buckets, keys, odds, met, sets, weights, last = (model[name] for name in names)
    buckets = buckets.astype(np.int64)
    count = int(buckets.sum())
    shapes = tuple(one.shape for one in (buckets, keys, odds, met, weights, last))
    wanted = (CONTEXTS,), (count,), (count, BUCKET - 1), (count,), (len(sets), USED), blank.last.shape
    most = LOGIT_MAX // STEP
    if shapes != wanted or buckets.min() < 0 or odds.max(initial=0) > most or odds.min(initial=0) < -most:
        raise ValueError("tensors contradict each other")
    chances = tables.squash_table()[LOGIT_MAX - most * STEP :: STEP]
    taken = np.zeros((CONTEXTS, 1 << BUCKET_BITS), np.bool_)
    known = keys.astype(np.uint32), odds.astype(np.int8), met.astype(np.uint16)
    if not _spread(blank.tables, taken, buckets, *known, chances):
        raise ValueError("too many contexts in one place")
    blank.weights[sets, :USED] = weights.astype(np.int32) * WEIGHT_UNIT
    blank.last[:] = last
    return blank


@compiled
def _spread(slots: Array, taken: Array, buckets: Array, keys: Array, odds: Array, met: Array, chances: Array) -> bool:
    """Put each bucket of a model file to its place, or beside it where that is taken; False if both are.

    keys: uint32 [n]; odds: int8 [n, BUCKET - 1]; met: uint16 [n]; chances: int64 [odd], 1 / 2**CHANCE_BITS, by odds,
    which are 0 in the middle.
    """
    first = 0
    for number in range(CONTEXTS):
        last = first + int(buckets[number])
        for row in range(first, last):
            place = int(keys[row]) >> (32 - BUCKET_BITS)
            if taken[number, place]:
                place = place ^ 1
            if taken[number, place]:
                return False
            taken[number, place] = True
            slots[number, place * BUCKET] = keys[row]
            for slot in range(BUCKET - 1):
                times = MET[int(met[row]) >> 2 * slot & 3]
                if times:
                    chance = chances[int(odds[row, slot]) + len(chances) // 2] << 32 - CHANCE_BITS
                    slots[number, place * BUCKET + slot + 1] = chance | times
        first = last
    return True


def memory(start: Start, rate: int = RATE) -> Memory:
    """A memory that begins with what is known; mixers learn at this rate."""
    met = np.arange(1 << MET_BITS)
    shares = (2 << 16) // (2 * np.minimum(met, _LIMIT) + 3)
    trusts = np.where(met == 0, 0, 64 + 192 * np.minimum(met, _SURE) // _SURE)
    return Memory(
        room.placed(start.tables),
        mixing(start.weights.copy(), start.last.copy(), rate),
        shares.astype(np.int32),
        trusts.astype(np.int32),
        np.zeros(1, np.int64),
        np.zeros(CONTEXTS, np.int64),
        np.zeros(CONTEXTS, np.int64),
        np.zeros(2 * CONTEXTS, np.int64),
        np.zeros(CONTEXTS, np.int64),
        np.zeros(2, np.int64),
        np.zeros(64, np.int64),
        np.zeros(16, np.int64),
        start.nets.copy(),
        np.zeros((0, SEEN + 3), np.uint8),
        np.zeros(1, np.int64),
        np.zeros((2, 16), np.int64),
    )


@compiled
def reach(memory: Memory, first: int, last: int, more: int) -> None:
    """Fetch the buckets of some keys, and of a number more, which `settle` will look at."""
    for number in range(first, last):
        key = memory.keys[number]
        if more:
            key = hashed(key, more)
        memory.hashes[number], memory.places[number] = key, (key >> (32 - BUCKET_BITS)) * BUCKET
        prefetch(memory.tables[number], memory.places[number])


@compiled
def settle(memory: Memory, count: int) -> None:
    """Find the buckets of the first keys, which `reach` has fetched: those that decisions are made with.

    Where there is none, the one of two that was met less in its first slot is taken from another context.
    """
    slots, places = memory.tables, memory.places
    memory.many[0] = count
    if len(memory.notes):
        return
    for number in range(count):
        key, place, own = memory.hashes[number], places[number], slots[number]
        if own[place] != key:
            other = place ^ BUCKET
            if own[other] == key:
                place = other
            else:
                if own[other + 1] & _MET_MASK < own[place + 1] & _MET_MASK:
                    place = other
                own[place] = key
                for slot in range(1, BUCKET):
                    own[place + slot] = UNKNOWN
            places[number] = place


@compiled
def settle_anew(memory: Memory, more: int) -> None:
    """Fetch and find the buckets of all keys and a number more."""
    reach(memory, 0, CONTEXTS, more)
    settle(memory, CONTEXTS)
