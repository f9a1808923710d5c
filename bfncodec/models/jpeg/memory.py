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
from bfncodec.exact import tables
from bfncodec.exact.compiled import compiled
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


def untrained() -> Start:
    """Nothing at all."""
    empty = np.full((CONTEXTS, 1 << BUCKET_BITS, BUCKET), UNKNOWN, np.uint32)
    empty[:, :, 0] = 0
    weights = np.full((sum(SETS), INPUTS), FIRST, np.int32)
    last = np.full((LAST, MIXERS), WEIGHT_ONE // MIXERS, np.int32)
    return Start(empty.reshape(CONTEXTS, -1), weights, last, networks.untrained())


@zoo.per_file
def start(path: Path) -> Start:
    """What a model file says, see `docs/format.md`; CorruptFile if it is damaged."""
    try:
        return started(zoo.tensors(path))
    except (IndexError, ValueError) as error:
        raise CorruptFile(f"{path} is no whole model of JPEG files") from error


def started(model: Mapping[str, Array]) -> Start:
    """The same, of tensors by name; ValueError or IndexError if they are damaged."""
    blank = untrained()
    numbers = np.repeat(np.arange(CONTEXTS), model["jpeg.buckets"])
    keys, sets = model["jpeg.keys"].astype(np.int64), model["jpeg.sets"].astype(np.int64)
    count, odds = len(numbers), model["jpeg.chances"].astype(np.int64) * STEP
    shapes = len(keys), odds.shape, model["jpeg.met"].shape, model["jpeg.weights"].shape, model["jpeg.last"].shape
    wanted = count, (count, BUCKET - 1), (count,), (len(sets), USED), blank.last.shape
    if shapes != wanted or np.abs(odds).max(initial=0) > tables.LOGIT_MAX or sets.max(initial=0) >= len(blank.weights):
        raise ValueError("tensors contradict each other")
    chances = tables.squash_table()[odds + tables.LOGIT_MAX] << (32 - MET_BITS - tables.CHANCE_BITS)
    met = MET[model["jpeg.met"][:, None] >> 2 * np.arange(BUCKET - 1) & 3]
    slots = np.where(met > 0, chances << MET_BITS | met, UNKNOWN)
    # A bucket has its place, or the one beside it where that is taken.
    every = blank.tables.reshape(CONTEXTS << BUCKET_BITS, BUCKET)
    places = numbers << BUCKET_BITS | keys >> (32 - BUCKET_BITS)
    order = np.argsort(places, kind="stable")
    places[order[1:][_repeated(places[order])]] ^= 1
    if _repeated(np.sort(places)).any():
        raise ValueError("too many contexts in one place")
    every[places, 0], every[places, 1:] = keys, slots
    blank.weights[sets, :USED] = model["jpeg.weights"].astype(np.int32) * WEIGHT_UNIT
    blank.last[:] = model["jpeg.last"]
    return blank._replace(nets=networks.started(model))


def _repeated(numbers: Array) -> Array:
    """Which of some numbers in order, but for the first, equal the one before. `np.unique` imports what takes time."""
    return numbers[1:] == numbers[:-1]


def memory(start: Start, rate: int = RATE) -> Memory:
    """A memory that begins with what is known; mixers learn at this rate."""
    met = np.arange(1 << MET_BITS)
    shares = (2 << 16) // (2 * np.minimum(met, _LIMIT) + 3)
    trusts = np.where(met == 0, 0, 64 + 192 * np.minimum(met, _SURE) // _SURE)
    return Memory(
        start.tables.copy(),
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
def reach(memory: Memory, count: int) -> None:
    """Fetch the buckets of the first keys, which `settle` will look at."""
    for number in range(count):
        prefetch(memory.tables[number], (memory.keys[number] >> (32 - BUCKET_BITS)) * BUCKET)


@compiled
def settle(memory: Memory, count: int, more: int) -> None:
    """Find the buckets of the first `count` of memory.keys, and of a number more: those that decisions are made with.

    Where there is none, the one of two that was met less in its first slot is taken from another context.
    """
    slots, keys, places = memory.tables, memory.keys, memory.places
    memory.many[0] = count
    if len(memory.notes):
        return
    for number in range(count):
        key = keys[number]
        if more:
            key = hashed(key, more)
        memory.hashes[number], places[number] = key, (key >> (32 - BUCKET_BITS)) * BUCKET
        prefetch(slots[number], places[number])
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
