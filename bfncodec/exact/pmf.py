"""What every probability mass function obeys: integer weights >= 1 that sum to 2**24."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.compiled import compiled

TOTAL_BITS = 24
TOTAL = 1 << TOTAL_BITS
LEVELS = 256  # values of a subpixel or byte


def normalise(sums: NDArray[Any], total_bits: int) -> NDArray[np.int64]:
    """Cumulative sums int64 [..., k] with last entry 2**total_bits -> weights [..., k].

    Cumulatives are cut to 24 bits, scaled by 1 - k / 2**24 and given one extra unit a symbol.
    """
    count = sums.shape[-1]
    cut = (sums >> (total_bits - TOTAL_BITS)) * (TOTAL - count) >> TOTAL_BITS
    cut[..., -1] = TOTAL - count
    return np.diff(cut + np.arange(1, count + 1), axis=-1, prepend=0)


@compiled
def normalise_masses(masses: NDArray[Any], total_bits: int, out: NDArray[Any]) -> None:
    """`normalise` of masses int64 [n, k] that are not summed yet: weights int32 [n, k]."""
    count = masses.shape[1]
    for row in range(len(masses)):
        total, before = 0, 0
        for symbol in range(count - 1):
            total += masses[row, symbol]
            bound = ((total >> total_bits - TOTAL_BITS) * (TOTAL - count) >> TOTAL_BITS) + symbol + 1
            out[row, symbol] = bound - before
            before = bound
        out[row, count - 1] = TOTAL - before
