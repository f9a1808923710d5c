"""What the text model remembers while it codes a file, and where that starts: from a model's weights or from nothing.

Probabilities are of a one, 1 / 2**16; log-odds are in 1/256 nat (`exact.tables`).
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import CorruptFile
from bfncodec.exact import tables
from bfncodec.exact.layers import Tensors
from bfncodec.exact.tables import LOGIT_MAX
from bfncodec.models.text import contexts, histories
from bfncodec.models.text.contexts import HASHED

Array = NDArray[Any]

MATCHES = 2  # match models, by the number of bytes that must agree
MATCH_BITS = 18
SLOTS = HASHED + 3  # contexts with slots: the hashed ones, and three of what followed
SETS = (256, 256, 64, 512, 512, 512, 512)  # weight sets of the mixers, by what chooses them
OFFSETS = (0, 256, 512, 576, 1088, 1600, 2112, 2624)
MIXERS = len(SETS)
INPUTS = 3 * SLOTS + 2 * MATCHES + 5
KNOTS = 33  # of a correction table
SPACING = 176  # log-odds between two knots
HALF = 16 * SPACING
CORRECTED = 1 << 16  # contexts of a correction table
WEIGHT_MAX = 1 << 23  # of a mixer's weights: no data can make a sum overflow
COUNT_LIMIT = 127  # of what a history's probability is averaged over


class Tables(NamedTuple):
    """What never changes."""

    squash: Array  # int32 [2 * LOGIT_MAX + 1]: `exact.tables.squash_table`
    stretch: Array  # int32 [2**16]: `exact.tables.stretch_table`
    following: Array  # uint8 [256, 2]: the history after a bit
    totals: Array  # uint8 [256]: how much evidence a history holds
    confidence: Array  # int32 [256]: the same, limited, 1 / 16
    shares: Array  # int32 [256]: of a bit in a probability, by the bits before


@cache
def _tables() -> Tables:
    totals = histories.totals()
    return Tables(
        squash=tables.squash_table().astype(np.int32),
        stretch=tables.stretch_table().astype(np.int32),
        following=histories.next_table(),
        totals=totals,
        confidence=np.minimum(totals, 16).astype(np.int32),
        shares=np.array([65536 // (count + 2) for count in range(256)], np.int32),
    )


class Memory(NamedTuple):
    """What is learnt, shared by all lanes."""

    tables: Tables
    slots: Array  # uint8 [SLOTS, buckets, 16]: check, then a state for each node of four bits
    chances: Array  # int64 [SLOTS, 256]: probability by history
    counts: Array  # int64 [SLOTS, 256]: over how many bits, limited
    weights: Array  # int32 [sum of SETS, INPUTS], 1 / 2**16
    last: Array  # int32 [256, MIXERS], 1 / 2**16
    match_chances: Array  # int64 [MATCHES, 64]: by length and expected bit
    match_table: Array  # int32 [MATCHES, 2**MATCH_BITS]: position after the last like string
    corrections: Array  # int32 [4, CORRECTED, KNOTS]: two of the network's opinion, two of the result
    followers: Array  # int64 [256 + 2**16]: the last three bytes that followed a byte, or two
    data: Array  # uint8 [n]: the bytes themselves; where they are decoded, so far


class Lanes(NamedTuple):
    """Where each lane stands."""

    states: Array  # int64 [lanes, STATE]
    matched: Array  # int64 [lanes, MATCHES]: the position that follows a match
    lengths: Array  # int64 [lanes, MATCHES]


class Scratch(NamedTuple):
    """Numbers of the byte and the bit at hand, from its prediction until its update."""

    rows: Array  # int64 [CONTEXTS] of the network's table
    weights: Array  # int64 [256]: the network's
    hashes: Array  # int64 [SLOTS]
    buckets: Array  # int64 [SLOTS]
    tree: Array  # int64 [512]: sums of the network's weights over partial bytes
    inputs: Array  # int64 [INPUTS]
    chosen: Array  # int64 [MIXERS]: rows of Memory.weights
    outputs: Array  # int64 [MIXERS], log-odds
    knots: Array  # int64 [4, 2]: context and nearest knot of the corrections
    scalars: Array  # int64 [4], by the constants of `mixing`


LEARNT = {  # what serves other files, and its shape
    "chances": (SLOTS, 256),
    "counts": (SLOTS, 256),
    "weights": (OFFSETS[-1], INPUTS),
    "last": (256, MIXERS),
    "match_chances": (MATCHES, 64),
}
_LIMITS = {
    "chances": (1, tables.CHANCE_ONE - 1),
    "counts": (0, COUNT_LIMIT),
    "last": (-WEIGHT_MAX, WEIGHT_MAX),
    "match_chances": (1, tables.CHANCE_ONE - 1),
}


def fresh(tensors: Tensors | None, data: Array, bits: int) -> Memory:
    """The memory at the start of a file of these bytes, or of as many that are not known yet.

    tensors: a model's; None for one that knows nothing. bits: 2**bits buckets a context.
    """
    knots = np.arange(KNOTS) * SPACING - HALF
    line = _tables().squash[np.clip(knots, -LOGIT_MAX, LOGIT_MAX) + LOGIT_MAX]
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
        tables=_tables(),
        slots=np.zeros((SLOTS, 1 << bits, 16), np.uint8),
        **learnt,
        match_table=np.zeros((MATCHES, 1 << MATCH_BITS), np.int32),
        corrections=np.tile(line, (4, CORRECTED, 1)),
        followers=np.zeros(256 + (1 << 16), np.int64),
        data=data.copy(),
    )


def _loaded(tensors: Tensors) -> dict[str, Array]:
    parts = {name: tensors.get(f"mixing.{name}", np.zeros(0, np.int8)).astype(np.int64) for name in LEARNT}
    if any(parts[name].shape != shape for name, shape in LEARNT.items()):
        raise CorruptFile("the model's mixing weights have the wrong shape")
    if any(parts[name].min() < least or parts[name].max() > most for name, (least, most) in _LIMITS.items()):
        raise CorruptFile("the model's mixing weights are out of range")
    return parts | {"weights": parts["weights"].astype(np.int32) << 4, "last": parts["last"].astype(np.int32)}


def exported(memory: Memory) -> dict[str, Array]:
    """What a memory has learnt that serves other files, as tensors of a model."""
    return {
        "mixing.chances": memory.chances.astype(np.uint16),
        "mixing.counts": memory.counts.astype(np.uint8),
        "mixing.weights": np.clip(memory.weights >> 4, -32768, 32767).astype(np.int16),
        "mixing.last": memory.last.astype(np.int32),
        "mixing.match_chances": memory.match_chances.astype(np.uint16),
    }


def fresh_lanes(count: int) -> Lanes:
    """So many lanes at their start."""
    return Lanes(
        np.zeros((count, contexts.STATE), np.int64),
        np.zeros((count, MATCHES), np.int64),
        np.zeros((count, MATCHES), np.int64),
    )


def fresh_scratch() -> Scratch:
    """Room for the numbers of one byte and one bit."""
    return Scratch(
        rows=np.zeros(contexts.CONTEXTS, np.int64),
        weights=np.zeros(256, np.int64),
        hashes=np.zeros(SLOTS, np.int64),
        buckets=np.zeros(SLOTS, np.int64),
        tree=np.zeros(512, np.int64),
        inputs=np.zeros(INPUTS, np.int64),
        chosen=np.zeros(MIXERS, np.int64),
        outputs=np.zeros(MIXERS, np.int64),
        knots=np.zeros((4, 2), np.int64),
        scalars=np.zeros(4, np.int64),
    )
