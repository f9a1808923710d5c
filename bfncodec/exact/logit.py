"""Probabilities and log-odds in integers, for logistic mixing of bits.

A probability is p / 2**16 with p in 1 .. 2**16 - 1; log-odds are in 1/256 nat, limited to
+-LOGIT_MAX. Both directions are tables made by integer arithmetic, the same everywhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.tables import exp_negative

Ints = NDArray[np.int64]

BITS = 16
ONE = 1 << BITS
LOGIT_MAX = 2815  # 11 nats: one in 60,000
_UNIT = 1 << 30


def squash_table() -> Ints:
    """Probabilities of the log-odds -LOGIT_MAX .. LOGIT_MAX: int64 [2 * LOGIT_MAX + 1]."""
    tail = exp_negative(np.arange(LOGIT_MAX + 1, dtype=np.int64), 256)
    upper = (_UNIT << BITS) // (_UNIT + tail)
    return np.concatenate([(ONE - upper)[:0:-1], upper])


def stretch_table() -> Ints:
    """Nearest log-odds of the probabilities 0 .. 2**16 - 1, odd around one half: int64 [2**16]."""
    upper = squash_table()[LOGIT_MAX:]
    half = np.searchsorted(upper[:-1] + upper[1:], 2 * np.arange(ONE // 2, ONE))
    return np.concatenate([[-LOGIT_MAX], -half[:0:-1], half]).astype(np.int64)
