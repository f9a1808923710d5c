"""What is learnt while coefficients are coded, and where it starts."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.decisions import PER_CONTEXT, WEIGHT_ONE, Mixing, mixing

Array = NDArray[Any]

CONTEXTS = 18
TABLE_BITS = 16
INPUTS = PER_CONTEXT * CONTEXTS + 1
SETS = (3 * 64 * 16, 64 * 16, 3 * 16 * 16, 16 * 16)
LAST = 3 * 16


class Memory(NamedTuple):
    """The state of the model, and room for the symbol at hand."""

    tables: Array  # uint32 [CONTEXTS, 2**TABLE_BITS], see `decisions.slots`
    mixing: Mixing
    keys: Array  # int64 [CONTEXTS]: hashes of the symbol's contexts
    kept: Array  # as `keys`: put aside
    places: Array  # int64 [CONTEXTS]: slots of the decision
    chooser: Array  # int64 [4]: what mixers are chosen by
    now: Array  # int64 [64]: the block so far
    borders: Array  # int64 [16]: what is missing at the left border, by row, and at the upper one, by column


def fresh() -> Memory:
    """A memory that knows nothing."""
    tables = np.full((CONTEXTS, 1 << TABLE_BITS), (1 << 15) << 16, np.uint32)
    return Memory(
        tables,
        mixing(INPUTS, SETS, LAST, 30, 255, WEIGHT_ONE // 12),
        np.zeros(CONTEXTS, np.int64),
        np.zeros(CONTEXTS, np.int64),
        np.zeros(CONTEXTS, np.int64),
        np.zeros(4, np.int64),
        np.zeros(64, np.int64),
        np.zeros(16, np.int64),
    )
