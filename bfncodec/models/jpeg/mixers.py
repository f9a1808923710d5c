"""Mixers of opinions for one decision after the other: a layer, and a last one that weighs it.

As in `coding.decisions`, but all within int32: opinions in 1/256 nat, at most LOGIT_MAX; weights in 1/2**16.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact import tables
from bfncodec.exact.compiled import compiled
from bfncodec.exact.int32_vectors import LANES, add_products, dot
from bfncodec.exact.tables import CHANCE_ONE, LOGIT_MAX
from bfncodec.exact.vectors import prefetch

Array = NDArray[Any]

INPUTS = 32  # of a mixer: a number of whole vectors
MIXERS = 3
WEIGHT_ONE = 1 << 16
_WEIGHT_MAX = (1 << 18) - 1
_DOWN = 5  # of products, so that sums stay within int32
_LEAST = 3  # chance that is kept for either outcome


class Mixing(NamedTuple):
    """Mixers of a file's decisions."""

    squash: Array  # int32 [2 * LOGIT_MAX + 1]: chances, 1 / 2**16
    stretch: Array  # int16 [2**12]: log-odds by the upper bits of a chance
    inputs: Array  # int32 [INPUTS]: opinions at hand
    weights: Array  # int32 [sets, INPUTS]
    chosen: Array  # int64 [MIXERS]: the sets in use
    outputs: Array  # int64 [MIXERS]
    last: Array  # int32 [last sets, MIXERS]
    ends: Array  # int64 [3]: the last set in use, what it said, rate of learning


def mixing(weights: Array, last: Array, rate: int) -> Mixing:
    """Mixers with these weights, which they change."""
    return Mixing(
        tables.squash_table().astype(np.int32), tables.stretch_table()[8::16].astype(np.int16),
        np.zeros(INPUTS, np.int32), weights, np.zeros(MIXERS, np.int64), np.zeros(MIXERS, np.int64), last,
        np.array([0, 0, rate], np.int64),
    )  # fmt: skip


@compiled
def ready(mixing: Mixing) -> None:
    """Fetch the sets in use, which will soon be wanted."""
    for mixer in range(MIXERS):
        for start in range(0, INPUTS, LANES):
            prefetch(mixing.weights[mixing.chosen[mixer]], start)


@compiled
def chance(mixing: Mixing, said: int) -> int:
    """The chance of a one that log-odds tell of."""
    return min(max(int(mixing.squash[said + LOGIT_MAX]), _LEAST), CHANCE_ONE - _LEAST)


@compiled
def mix(mixing: Mixing) -> int:
    """The chance of a one, after all inputs, `chosen` and the last set (`ends[0]`) are set."""
    total, last = 0, mixing.last[mixing.ends[0]]
    for mixer in range(MIXERS):
        said = dot(mixing.inputs, mixing.weights[mixing.chosen[mixer]], INPUTS, _DOWN) >> 16 - _DOWN
        said = min(max(said, -LOGIT_MAX), LOGIT_MAX)
        mixing.outputs[mixer] = said
        total += said * int(last[mixer])
    total = min(max(total >> 16, -LOGIT_MAX), LOGIT_MAX)
    mixing.ends[1] = total
    return chance(mixing, total)


@compiled
def adapt(mixing: Mixing, bit: int) -> None:
    """Let the mixers learn from the decision that `mix` gave the chance of."""
    target, rate = bit << 16, mixing.ends[2]
    last = mixing.last[mixing.ends[0]]
    error = (target - int(mixing.squash[mixing.ends[1] + LOGIT_MAX])) * 6
    for mixer in range(MIXERS):
        said = mixing.outputs[mixer]
        moved = int(last[mixer]) + (said * error + (1 << 19) >> 20)
        last[mixer] = min(max(moved, -_WEIGHT_MAX), _WEIGHT_MAX)
        step = (target - int(mixing.squash[said + LOGIT_MAX])) * rate >> _DOWN
        if step < -8 or step > 8:
            add_products(mixing.weights[mixing.chosen[mixer]], mixing.inputs, step, INPUTS, 20 - _DOWN, _WEIGHT_MAX)
