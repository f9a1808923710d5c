"""Integer tables of exp, the logistic function and powers of two.

Each table is made by integer arithmetic from a few constants that `decimal` rounds
correctly, so every machine builds the same table.
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import cache

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

# Not the caller's context: what a program sets for its own sums must not change a table.
_CONTEXT = Context(prec=40, rounding=ROUND_HALF_EVEN, Emin=-999999, Emax=999999, traps=[])
_ONE = 1 << 30  # fixed point of the products below

LOGISTIC_STEPS = 1024  # table steps per unit of the logistic function's argument
LOGISTIC_HALF = 16 * LOGISTIC_STEPS  # the table spans [-16, 16)
LOGISTIC_BITS = 18  # F is in units of 2**-18
LOGIT_STEPS = 16  # steps per nat of mixture logits
WEIGHT_BITS = 12  # mixture weights sum to 2**12
OCTAVE_STEPS = 16  # steps per octave of scales


def exp_negative(index: Ints, divisor: int) -> Ints:
    """exp(-index / divisor) in units of 2**-30, for integers index >= 0."""
    value = np.full(index.shape, _ONE, np.int64)
    with localcontext(_CONTEXT):
        for bit in range(int(index.max()).bit_length()):
            factor = int(((Decimal(-1 << bit) / divisor).exp() * _ONE).to_integral_value())
            value = np.where(index >> bit & 1, (value * factor + _ONE // 2) >> 30, value)
    return value


@cache
def logistic() -> Ints:
    """F(z) = 1 / (1 + exp(-z)) at z = (i - LOGISTIC_HALF) / LOGISTIC_STEPS, units of 2**-18."""
    index = np.arange(LOGISTIC_HALF + 1, dtype=np.int64)
    tail = exp_negative(index, LOGISTIC_STEPS)
    upper = (_ONE << LOGISTIC_BITS) // (_ONE + tail)
    lower = (1 << LOGISTIC_BITS) - upper
    return np.concatenate([lower[:0:-1], upper[:-1]])


@cache
def exp_weights() -> Ints:
    """exp(-i / LOGIT_STEPS) in units of 2**-15; the last entry is 0."""
    index = np.arange(LOGIT_STEPS * 12, dtype=np.int64)
    return np.append(exp_negative(index, LOGIT_STEPS) >> 15, 0)


def log_ratio(share: int, classes: int, steps: int) -> int:
    """round(steps * ln(1 + classes * w / (1 - w))) for w = share / 2**16."""
    with localcontext(_CONTEXT):
        odds = 1 + Decimal(classes * share) / ((1 << 16) - share)
        return int((steps * odds.ln()).to_integral_value())


@cache
def octaves(first: int, last: int, steps: int, fraction: int) -> Ints:
    """round(2**(i / steps + fraction)) for i = first .. last - 1."""
    with localcontext(_CONTEXT):
        two = Decimal(2)
        octave = [two ** (Decimal(step) / steps + fraction) for step in range(steps)]
        values = [int((octave[i % steps] * two ** (i // steps)).to_integral_value()) for i in range(first, last)]
    return np.array(values, np.int64)


CHANCE_BITS = 16
CHANCE_ONE = 1 << CHANCE_BITS
LOGIT_MAX = 2815  # 11 nats: one in 60,000


@cache
def squash_table() -> Ints:
    """Probabilities of the log-odds -LOGIT_MAX .. LOGIT_MAX: int64 [2 * LOGIT_MAX + 1]."""
    tail = exp_negative(np.arange(LOGIT_MAX + 1, dtype=np.int64), 256)
    upper = (_ONE << CHANCE_BITS) // (_ONE + tail)
    return np.concatenate([(CHANCE_ONE - upper)[:0:-1], upper])


@cache
def stretch_table() -> Ints:
    """Nearest log-odds of the probabilities 0 .. 2**16 - 1, odd around one half: int64 [2**16]."""
    upper = squash_table()[LOGIT_MAX:]
    half = np.searchsorted(upper[:-1] + upper[1:], 2 * np.arange(CHANCE_ONE // 2, CHANCE_ONE))
    return np.concatenate([[-LOGIT_MAX], -half[:0:-1], half]).astype(np.int64)
