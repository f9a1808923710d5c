"""What predictions say of a sample: logistic distributions around them, as wide as they were wrong nearby.

Half an interval of values against the other half: of a logistic distribution, the log-odds are the difference of
ln(2 cosh(z / 2)) at the ends of the interval. So an opinion of a decision takes one look into a table.

Units: predictions, errors and scales 1/16 level; z 1/64; log-odds 1/256 nat.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact import tables
from bfncodec.exact.compiled import compiled

Ints = NDArray[Any]

KINDS = 7  # predictions: of two regressions, and simple ones
BLEND = KINDS  # and the mean of them, weighted by how right they were nearby
VIEWS = KINDS + 4  # opinions: of all these, of that mean with half and twice its scale, and with one of the contrast
STEPS = 64  # of z
_REACH = 12 * STEPS  # from where on ln(1 + exp(-z)) is next to nothing
_LEVELS = 96  # of errors nearby, 1/4 octave
_FORMER = 8  # and of how wrong the sample before it was
_LIMIT = 250


class Predictors(NamedTuple):
    """What is learnt of them."""

    softplus: Ints  # int32 [_REACH + 1]: ln(1 + exp(-z))
    errors: Ints  # int32 [ring, channels, KINDS + 1]: of the rows above
    scales: Ints  # int64 [channels, KINDS + 1, _LEVELS, _FORMER, 2]: mean errors, 1/2**12 unit; how often they were met
    said: Ints  # int64 [KINDS + 1]: predictions of this sample
    widths: Ints  # int64 [KINDS + 1, 2]: where its scales are kept
    inverse: Ints  # int64 [KINDS + 1]: of scales: z of a unit, 2**-16
    ends: Ints  # int64 [KINDS + 1, 3]: what is looked up at both ends of an interval and in its middle


def predictors(channels: int, row: int) -> Predictors:
    """Before the first pixel; `row` addresses a row."""
    step = tables.LOGISTIC_STEPS // STEPS
    upper = (1 << tables.LOGISTIC_BITS) - tables.logistic()[tables.LOGISTIC_HALF :]
    area = np.cumsum(upper[::-1])[::-1]
    softplus = (area[: _REACH * step + 1 : step] * 256 // tables.LOGISTIC_STEPS + (1 << 17)) >> 18
    level = np.arange(_LEVELS)
    centre = (4 + level % 4) * (1 << level // 4) >> 2
    scales = np.zeros((channels, VIEWS, _LEVELS, _FORMER, 2), np.int64)
    scales[..., 0] = (centre << 12)[:, None] // 11
    return Predictors(
        softplus.astype(np.int32), np.zeros((2 * row + 8, channels, KINDS + 1), np.int32), scales,
        np.zeros(VIEWS, np.int64), np.zeros((VIEWS, 2), np.int64), np.zeros(VIEWS, np.int64),
        np.zeros((VIEWS, 3), np.int64),
    )  # fmt: skip


@compiled
def octave(value: int) -> int:
    """4 log2 of a number, and 0 of 0 and 1."""
    if value < 4:
        return 2 * value if value > 1 else 0
    bits = 0
    while value >= 8 << bits:
        bits += 1
    return 4 * bits + (value >> bits) + 4


@compiled
def set_out(own: Predictors, at: int, row: int, number: int, former: int, contrast: int) -> None:
    """Scales of the predictions `said`, and the mean of them. former: the channel before, or -1."""
    ring = len(own.errors)
    errors = own.errors
    here, west, far = at % ring, (at - 1) % ring, (at - 2) % ring
    north, northwest, northeast = (at - row) % ring, (at - row - 1) % ring, (at - row + 1) % ring
    high = (at - 2 * row) % ring
    total, shares = 0, 0
    for kind in range(KINDS + 1):
        if kind == BLEND:
            own.said[BLEND] = total // shares
        near = 3 * (np.int64(errors[west, number, kind]) + errors[north, number, kind])
        near += 2 * np.int64(errors[northeast, number, kind]) + errors[northwest, number, kind]
        near += np.int64(errors[far, number, kind]) + errors[high, number, kind]
        near += 5
        place = min(octave(near), _LEVELS - 1)
        which = 0
        if former >= 0:
            # how wrong it was at the sample before, as to its neighbours
            wrong = np.int64(errors[here, former, kind])
            usual = np.int64(errors[west, former, kind]) + errors[north, former, kind]
            which = 1
            if 2 * wrong > usual // 2:
                which = 2
            if 2 * wrong > usual:
                which = 3
            if wrong > usual:
                which = 4
            if wrong > 2 * usual:
                which = 5
            if wrong > 4 * usual:
                which = 6
        own.widths[kind, 0], own.widths[kind, 1] = place, which
        mean = own.scales[number, kind, place, which, 0]
        own.inverse[kind] = (STEPS << 28) // (mean * 3 // 4 + 4096)
        if kind < BLEND:
            share = (1 << 40) // (near * near)
            share = max(share, 1)
            total += share * own.said[kind]
            shares += share
    for view in range(KINDS + 1, VIEWS):
        own.said[view] = own.said[BLEND]
    own.inverse[KINDS + 1] = own.inverse[BLEND] * 2
    own.inverse[KINDS + 2] = own.inverse[BLEND] // 2
    own.widths[KINDS + 3, 0], own.widths[KINDS + 3, 1] = min(octave(contrast), _LEVELS - 1), own.widths[BLEND, 1]
    mean = own.scales[number, KINDS + 3, own.widths[KINDS + 3, 0], own.widths[KINDS + 3, 1], 0]
    own.inverse[KINDS + 3] = (STEPS << 28) // (mean * 3 // 4 + 4096)


@compiled
def look_up(own: Predictors, kind: int, edge: int) -> int:
    """ln(2 cosh(z / 2)) at an edge, 1/16 level."""
    z = abs(edge - own.said[kind]) * own.inverse[kind] >> 16
    return 2 * z + (np.int64(own.softplus[z]) if z < _REACH else 0)


@compiled
def take_in(own: Predictors, at: int, number: int, value: int) -> None:
    """The sample is known."""
    here = at % len(own.errors)
    for kind in range(VIEWS):
        wrong = abs((value << 4) - own.said[kind])
        if kind <= BLEND:
            own.errors[here, number, kind] = wrong
        scale = own.scales[number, kind, own.widths[kind, 0], own.widths[kind, 1]]
        scale[1] = min(scale[1] + 1, _LIMIT)
        scale[0] += ((wrong << 12) - scale[0]) // (scale[1] + 2)


@compiled
def pass_by(own: Predictors, at: int) -> None:
    """A pixel that was not spelled."""
    here = at % len(own.errors)
    for number in range(own.errors.shape[1]):
        for kind in range(KINDS + 1):
            own.errors[here, number, kind] = 0
