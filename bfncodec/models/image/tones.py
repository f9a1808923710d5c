"""Values that an image has more often than their neighbours, as after a curve of tones or a change of contrast.

A mixture of logistics is smooth, but histograms can be combs, and channels can be tied to each other. Where it pays,
the decisions of the bisection among the values 0 .. 255 are corrected by biases that are learnt while an image is
coded, in three tables: by the decision itself, by its distance to green and the difference of red and green, and by its
distance to the channel before and that channel's value. Log-odds are in 1/256 nat, chances in 1 / 2**16, biases in
2**-16 nat.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.mixtures import Tables, below
from bfncodec.exact import tables
from bfncodec.exact.compiled import compiled, room
from bfncodec.exact.pmf import LEVELS, TOTAL
from bfncodec.exact.tables import CHANCE_BITS, CHANCE_ONE, LOGIT_MAX

Ints = NDArray[Any]

SURE = 66  # decisions with a chance below SURE / 2**16 are left alone
_TABLES = 3
_NEAR, _FAR = 16, 32  # levels, largest distances that are told apart
_SECOND = LEVELS
_THIRD = _SECOND + 8 * (2 * _NEAR + 1) ** 2
_SIZE = _THIRD + 8 * (2 * _FAR) * (LEVELS // 4)
_FIRST_EVIDENCE, _MOST_EVIDENCE = 60 << 10, 4000 << 10  # sums of q * (1 - q), 2**-12
_FIRST_WEIGHT, _MOST_WEIGHT = 26214, 98304  # 1 / 2**16
_MOST = 2 << 16  # of biases
_LEAST = 32  # chance that is kept for either outcome


class Tones(NamedTuple):
    """What is learnt of an image's values, by channel."""

    biases: Ints  # int32 [3, _SIZE]
    evidence: Ints  # int32 [3, _SIZE]
    weights: Ints  # int64 [3, 8, _TABLES]: of the tables' biases, by channel and bit
    squash: Ints  # int32 [2 * LOGIT_MAX + 1]
    stretch: Ints  # int16 [2**14]: by the upper bits of a chance
    shares: Ints  # int64: 2**22 / i


def tones() -> Tones:
    """What is known before the first value."""
    return Tones(
        np.zeros((3, _SIZE), np.int32), np.full((3, _SIZE), _FIRST_EVIDENCE, np.int32),
        np.full((3, 8, _TABLES), _FIRST_WEIGHT, np.int64), tables.squash_table().astype(np.int32),
        np.ascontiguousarray(tables.stretch_table()[2::4]).astype(np.int16),
        np.array([0, *((1 << 22) // np.arange(1, (_MOST_EVIDENCE >> 10) + 1))], np.int64),
    )  # fmt: skip


@compiled
def walk(known: Tables, own: Tones, parts: Ints, channel: int, west: int, values: Ints, wanted: int, out: Ints) -> int:
    """Find a value by bisection under the mixture of parts [k, 4], its decisions corrected, and learn from it.

    values: [3], of which those of channels before `channel` are used; west: green of the pixel to the left; wanted: a
    place in 1 .. 2**24 - 2, or -1 where the value itself stands in `values`. Returns the value; writes what lies below
    it, and its weight, to out [2].
    """
    biases, evidence, weights = own.biases[channel], own.evidence[channel], own.weights[channel]
    context, bias = room(_TABLES, np.int64), room(_TABLES, np.int64)
    green = values[0] if channel else west
    before = values[channel - 1] if channel else 0
    hue = _NEAR + min(max(values[1] - green, -_NEAR), _NEAR - 1) if channel == 2 else 2 * _NEAR
    used = _TABLES if channel else _TABLES - 1
    first, low, width, lowest, highest = 0, 1, TOTAL - 2, 1, TOTAL - 1
    for bit in range(7, -1, -1):
        point = first + (1 << bit)
        middle = below(known, parts, point)
        chance = (highest - middle << CHANCE_BITS) // (highest - lowest)
        corrected = SURE < chance < CHANCE_ONE - SURE
        odds = 0
        cut = low + width * (middle - lowest) // (highest - lowest)
        if corrected:
            odds = int(own.stretch[chance >> 2])
            context[0] = (LEVELS + first) >> (bit + 1)
            context[1] = (
                _SECOND
                + (bit * (2 * _NEAR + 1) + min(max(point - green, -_NEAR), _NEAR) + _NEAR) * (2 * _NEAR + 1)
                + hue
            )
            context[2] = (
                _THIRD
                + (bit * 2 * _FAR + min(max(point - before, -_FAR), _FAR - 1) + _FAR) * (LEVELS // 4)
                + (before >> 2)
            )
            total = 0
            for table in range(used):
                bias[table] = biases[context[table]]
                total += bias[table] * weights[bit, table]
            chance = int(own.squash[min(max(odds + (total >> 24), -LOGIT_MAX), LOGIT_MAX) + LOGIT_MAX])
            cut = low + width - (width * min(max(chance, _LEAST), CHANCE_ONE - _LEAST) >> CHANCE_BITS)
        cut = min(max(cut, low + (1 << bit)), low + width - (1 << bit))
        one = 1 if (wanted >= cut if wanted >= 0 else values[channel] >= point) else 0
        if corrected:
            error = (one << CHANCE_BITS) - chance
            more = chance * (CHANCE_ONE - chance) >> 20
            for table in range(used):
                place, old = context[table], bias[table]
                weights[bit, table] = min(max(weights[bit, table] + (error * old >> 21), 0), _MOST_WEIGHT)
                alone = np.int64(own.squash[min(max(odds + (old >> 8), -LOGIT_MAX), LOGIT_MAX) + LOGIT_MAX])
                seen = min(np.int64(evidence[place]) + more, _MOST_EVIDENCE)
                evidence[place] = seen
                changed = old + (((one << CHANCE_BITS) - alone) * own.shares[seen >> 10] >> 20)
                biases[place] = min(max(changed, -_MOST), _MOST)
        if one:
            first, lowest, width, low = point, middle, low + width - cut, cut
        else:
            highest, width = middle, cut - low
    out[0], out[1] = low, width
    return first
