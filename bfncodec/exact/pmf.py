"""What every probability mass function obeys: integer weights >= 1 that sum to 2**24."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

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
