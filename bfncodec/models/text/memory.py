"""What the text model remembers while it codes a file, and where that starts: from a model's weights or from nothing.

Probabilities are of a one, 1 / 2**16; log-odds are in 1/256 nat (`exact.tables`).
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import CorruptFile
from bfncodec.exact import room, tables
from bfncodec.exact.compiled import compiled
from bfncodec.exact.layers import Tensors
from bfncodec.exact.tables import LOGIT_MAX
from bfncodec.models.text import contexts, histories, layout
from bfncodec.models.text.contexts import HASHED
from bfncodec.models.text.layout import Layout
from bfncodec.models.text.network import FORESEEN

Array = NDArray[Any]

MATCHES = 2  # match models, by the number of bytes that must agree
MATCH_BITS = 18
TRUSTS = 4  # kinds of match, by the bytes that agreed
FOLLOWED = 3  # contexts of what followed
SLOTS = HASHED + FOLLOWED + layout.CONTEXTS  # contexts with slots
SETS = (256, 256, 64, 512, 512, 512, 512, 512, 256, 512, 256, 256)  # weight sets of the mixers, by what chooses them
OFFSETS = (0, 256, 512, 576, 1088, 1600, 2112, 2624, 3136, 3392, 3904, 4160, 4416)
PER = 4  # inputs of a context, or of a match; of the network two times as many, some of them always 0
KNOTS = 32  # of a correction table
KNOT_BITS, KNOT_SCALE = 13, 45  # log-odds times the scale, without so many bits, are knots
HALF = 2816
CORRECTED = 1 << 16  # contexts of a correction table
WEIGHT_MAX = 1 << 23  # of the last mixer's weights: no data can make a sum overflow
COUNT_LIMIT = 127  # of what a history's probability is averaged over
COUNT_BITS = 10  # of a history's state: over how many bits; above them its probability, 1 / 2**22
CHANCE_SHIFT = 32 - COUNT_BITS - tables.CHANCE_BITS  # what it has more than others


class Kit(NamedTuple):
    """What is in use."""

    family: str  # of tensors in models
    contexts: tuple[int, ...]  # among SLOTS
    network: bool
    mixers: int  # the first ones
    inputs: int  # of mixers

    @property
    def lasts(self) -> int:
        """Sets of the last mixers, one mixer after the other."""
        return 256 + SETS[3] if self.network else 256

    @property
    def learnt(self) -> dict[str, tuple[int, ...]]:
        """What serves other files: tensors of a model, and their shapes."""
        return {
            "chances": (len(self.contexts), 256),
            "counts": (len(self.contexts), 256),
            "weights": (OFFSETS[self.mixers], self.inputs),
            "last": (self.lasts, self.mixers),
            "match_chances": (MATCHES, 128),
            "trusts": (MATCHES, 2048 * TRUSTS),
        }


_LEFT = {9, 13}  # of no use beside the others
FULL = Kit("mixing", tuple(number for number in range(SLOTS) if number not in _LEFT), True, len(SETS), 160)
FAST = Kit("fast", (0, 1, 2, 3, 5, 7, 8, 14, 17), False, 7, 64)
# What serves other files, as memories have it.
KEPT = ("states", "opinions", "weights", "last", "match_chances", "trusts")


class Tables(NamedTuple):
    """What never changes."""

    squash: Array  # int32 [2 * LOGIT_MAX + 1]: `exact.tables.squash_table`
    stretch: Array  # int16 [2**12]: `exact.tables.stretch_table`, by the upper bits of a probability
    following: Array  # uint8 [512]: the histories after a bit 0 and 1, one history after the other
    totals: Array  # uint8 [256]: how much evidence a history holds
    confidence: Array  # int32 [256]: the same, limited, 1 / 16
    shares: Array  # int32 [256]: of a bit in a probability, by the bits before


@cache
def _tables() -> Tables:
    totals = histories.totals()
    return Tables(
        squash=tables.squash_table().astype(np.int32),
        stretch=tables.stretch_table()[8::16].astype(np.int16),
        following=histories.next_table().reshape(-1),
        totals=totals,
        confidence=np.minimum(totals, 16).astype(np.int32),
        shares=np.array([65536 // (count + 2) for count in range(256)], np.int32),
    )


class Memory(NamedTuple):
    """What is learnt, and where the coding stands."""

    tables: Tables
    used: Array  # int64 [C]: the contexts in use
    slots: Array  # uint8 [C * buckets * 16]: check, then a history for each node of four bits
    states: Array  # uint32 [C * 256]: of histories: probability, and over how many bits, limited
    opinions: Array  # int64 [C * 256]: inputs of mixers that these make, PER int16
    weights: Array  # int16 [sum of the mixers' SETS, inputs], 1 / 2**15
    last: Array  # int32 [lasts, mixers], 1 / 2**16
    match_chances: Array  # int64 [MATCHES, 128]: by the bytes that agreed and the expected bit
    trusts: Array  # int64 [MATCHES, 2048 * TRUSTS]: by the expected byte, the bit's number, and the kind of match
    match_table: Array  # int32 [MATCHES, 2**MATCH_BITS]: position after the last like string
    corrections: Array  # uint16 [4 * CORRECTED * KNOTS]: two of the network's opinion, two of the result
    followers: Array  # int32 [256 + 2**16]: the last three bytes that followed a byte, or two
    state: Array  # int64 [STATE], see `contexts`
    layout: Layout
    matched: Array  # int64 [MATCHES]: the position that follows a match
    lengths: Array  # int64 [MATCHES]: bytes that agreed
    missed: Array  # int64 [MATCHES]: bytes that did not, meanwhile
    data: Array  # uint8 [n]: the bytes themselves; where they are decoded, so far


class Scratch(NamedTuple):
    """Numbers of the byte and the bit at hand, from its prediction until its update."""

    foreseen: Array  # int32 [FORESEEN], see `network`
    hashes: Array  # int64 [SLOTS]
    buckets: Array  # int64 [C]: where they begin among all slots
    coming: Array  # int64 [C]: where the next ones may begin
    checks: Array  # int64 [C]: of these
    histories: Array  # int64 [C]: of the node, with the context above
    inputs: Array  # int16 [inputs]
    chosen: Array  # int64 [mixers]: rows of Memory.weights
    outputs: Array  # int64 [mixers], log-odds
    steps: Array  # int64 [mixers]: of learning
    knots: Array  # int64 [4]: nearest knots of the corrections
    scalars: Array  # int64 [8], by the constants of `mixing`


_LIMITS = {
    "chances": (1, tables.CHANCE_ONE - 1),
    "counts": (0, COUNT_LIMIT),
    "weights": (-1 << 15, (1 << 15) - 1),
    "last": (-WEIGHT_MAX, WEIGHT_MAX),
    "match_chances": (1, tables.CHANCE_ONE - 1),
    "trusts": (1, tables.CHANCE_ONE - 1),
}


def fresh(tensors: Tensors | None, data: Array, bits: int, kit: Kit = FULL) -> Memory:
    """The memory at the start of a file of these bytes, or of room for as many that are not known yet.

    tensors: a model's; None for one that knows nothing. bits: 2**bits buckets a context.
    """
    count = len(kit.contexts)
    if tensors is None:
        start = np.arange(32)
        chances = np.stack([32768 // (start + 2), 65535 - 32768 // (start + 2)], axis=1).reshape(-1)
        parts: dict[str, Array] = {
            "chances": np.tile(histories.first_guesses(), (count, 1)),
            "counts": np.zeros((count, 256), np.int64),
            "weights": np.full((OFFSETS[kit.mixers], kit.inputs), 32768 // 8, np.int64),
            "last": np.full((kit.lasts, kit.mixers), 65536 // kit.mixers, np.int64),
            "match_chances": np.tile(chances, (MATCHES, 2)),
            "trusts": np.full((MATCHES, 2048 * TRUSTS), 32768, np.int64),
        }
    else:
        parts = _loaded(tensors, kit)
    states = parts["chances"] << CHANCE_SHIFT + COUNT_BITS | parts["counts"]
    memory = Memory(
        tables=_tables(),
        used=np.array(kit.contexts, np.int64),
        slots=room.zeros((count * 16 << bits,), np.uint8),
        states=states.reshape(-1).astype(np.uint32),
        opinions=room.zeros((count * 256,), np.int64),
        weights=room.placed(parts["weights"].astype(np.int16)),
        last=parts["last"].astype(np.int32),
        match_chances=parts["match_chances"],
        trusts=parts["trusts"],
        match_table=room.zeros((MATCHES, 1 << MATCH_BITS), np.int32),
        corrections=_corrections(),
        followers=room.zeros((256 + (1 << 16),), np.int32),
        state=np.zeros(contexts.STATE, np.int64),
        layout=layout.fresh(),
        matched=np.zeros(MATCHES, np.int64),
        lengths=np.zeros(MATCHES, np.int64),
        missed=np.zeros(MATCHES, np.int64),
        data=data,
    )
    _opine(memory)
    return memory


def _corrections() -> Array:
    """Tables that correct nothing."""
    knots = np.arange(KNOTS) * (1 << KNOT_BITS) // KNOT_SCALE - HALF
    corrections = room.zeros((4 * CORRECTED, KNOTS), np.uint16)
    corrections[:] = _tables().squash[np.clip(knots, -LOGIT_MAX, LOGIT_MAX) + LOGIT_MAX]
    return corrections.reshape(-1)


@compiled
def opinion(known: Tables, chance: int, history: int) -> int:
    """Inputs of mixers, side by side, by a history's probability, 1 / 2**22."""
    odds = int(known.stretch[chance >> 10])
    sure = odds * int(known.confidence[history]) >> 4
    return odds & 0xFFFF | ((chance - (1 << 21)) >> 11 & 0xFFFF) << 16 | (sure & 0xFFFF) << 32


@compiled
def _opine(memory: Memory) -> None:
    """Opinions of all states but the first of a context, which says nothing."""
    for place in range(len(memory.states)):
        if place & 0xFF:
            chance = int(memory.states[place]) >> COUNT_BITS
            memory.opinions[place] = opinion(memory.tables, chance, place & 0xFF)


def _loaded(tensors: Tensors, kit: Kit) -> dict[str, Array]:
    empty = np.zeros(0, np.int8)
    parts = {name: tensors.get(f"{kit.family}.{name}", empty).astype(np.int64) for name in kit.learnt}
    if any(parts[name].shape != shape for name, shape in kit.learnt.items()):
        raise CorruptFile("the model's mixing weights have the wrong shape")
    if any(parts[name].min() < least or parts[name].max() > most for name, (least, most) in _LIMITS.items()):
        raise CorruptFile("the model's mixing weights are out of range")
    return parts


def exported(memory: Memory, kit: Kit = FULL) -> dict[str, Array]:
    """What a memory has learnt that serves other files, as tensors of a model."""
    chances = memory.states >> np.uint32(COUNT_BITS + CHANCE_SHIFT)
    counts = memory.states & np.uint32((1 << COUNT_BITS) - 1)
    parts: dict[str, Array] = {
        "chances": chances.clip(1).astype(np.uint16).reshape(-1, 256),
        "counts": counts.astype(np.uint8).reshape(-1, 256),
        "weights": memory.weights.copy(),
        "last": memory.last.copy(),
        "match_chances": memory.match_chances.astype(np.uint16),
        "trusts": memory.trusts.astype(np.uint16),
    }
    return {f"{kit.family}.{name}": part for name, part in parts.items()}


def fresh_scratch(memory: Memory) -> Scratch:
    """Room for the numbers of one byte and one bit."""
    count, mixers = len(memory.used), memory.last.shape[1]
    return Scratch(
        foreseen=np.zeros(FORESEEN, np.int32),
        hashes=np.zeros(SLOTS, np.int64),
        buckets=np.zeros(count, np.int64),
        coming=np.zeros(count, np.int64),
        checks=np.zeros(count, np.int64),
        histories=np.zeros(count, np.int64),
        inputs=room.zeros((memory.weights.shape[1],), np.int16),
        chosen=np.zeros(mixers, np.int64),
        outputs=np.zeros(mixers, np.int64),
        steps=np.zeros(mixers, np.int64),
        knots=np.zeros(4, np.int64),
        scalars=np.zeros(8, np.int64),
    )
