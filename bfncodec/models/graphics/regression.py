"""Linear prediction that follows an image: least squares over the pixels around, weighted by how near they are.

Normal equations of [neighbours' samples, the pixel's own samples in their order], all less a mean of neighbours of
their channel. They fade by KEPT a pixel to either side and by BELOW a row, exactly: sums of the rows above, which are
kept for every column, and sums of what is to the left in the same row. A pixel counts less the more its neighbours
differ. One matrix, L D L', serves all samples of a pixel: with neighbours decorrelated by L, its rows hold the
predictions, and each sample that gets known improves those after it.

Everything is integers, and bounded whatever the samples are (16 bits), with up to 28 rows of equations:

- Differences are below 2**19 (1/8 level). Weights times differences are below 24 * 2**21: a neighbour's difference is
  at most the sum of all, and a pixel counts less where its own samples differ more than neighbours do. Their products
  are below 2**44.6; sums of these over all pixels, at most MOST kept, below 736 times that, 2**54.2, and these times
  KEPT or BELOW below 2**62.1.
- Rows of equations are scaled by powers of two so that diagonals are below 2**26. A row's correlation with a pivot
  that would leave nothing of its diagonal, which only rounding can make, is dropped. So each pivot changes an element
  by at most 2**26, elements stay below 28 * 2**26 < 2**31, and L below 2**8.
- Differences of the pixel are scaled to 2**26; while L acts on them, each is clipped to 2**32 when its turn comes.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.compiled import compiled
from bfncodec.models.graphics.canvas import Canvas

Ints = NDArray[Any]

NEAREST = [(0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0)]
FURTHER = [(-1, -2), (-1, 2), (-2, -1), (-2, 1), (-2, -2), (-2, 2)]
MOST = 243  # of KEPT and BELOW
_WEIGHT, _SUM = 44, 24  # fraction bits of weights, and of sums
_SHARE = _WEIGHT + 3 - _SUM
_QUIET = 12, 5  # 2.4 = 12 / 5, 1/8 level: differences that every neighbour has at least
_FAR = 3  # times the mean difference of neighbours: a pixel whose samples differ more counts less
_RIDGE = 50332  # 0.003 levels
_DIAGONAL, _PIVOT = 26, 1 << 10
_FACTOR = 22  # fraction bits of L
_INVERSE = 42
_TOP = 1 << 30
_FRACTION, _WIDE = 20, 26  # of differences on which L acts, before they are scaled; and bits that are left of them
_LIMIT = 1 << 32


class Regression(NamedTuple):
    """Normal equations along a row."""

    order: Ints  # int64 [channels]
    inputs: int  # neighbours' samples, those of a neighbour side by side; `size`: and the pixel's own
    size: int
    offsets: Ints  # int64: distances of addresses of neighbours
    kept: int  # 1/256
    below: int
    sums: Ints  # int64 [width, size * (size + 1) / 2]: of the rows above, 2**-24 level
    left: Ints  # int64 [the same]: of what is to the left, or to the right at the end of a row
    seen: Ints  # int32 [width, size]: what goes into them, 1/8 level
    weights: Ints  # int64 [width]: 2**44 / 8 / level; 0: a pixel that is left out
    base: Ints  # int64 [channels], 1/8 level
    factors: Ints  # int32 [size, size]
    diagonal: Ints  # int64 [size]
    shares: Ints  # int32 [size]
    scales: Ints  # int64 [size + 1]: by how many bits rows are scaled down; and the pixel's differences
    turned: Ints  # int64 [size]


def regression(order: Ints, width: int, row: int, kept: int, below: int) -> Regression:
    """Before the first pixel of an image so wide, whose rows are `row` addresses apart; kept, below: 1/256."""
    assert 0 <= kept <= MOST and 0 <= below <= MOST
    channels = len(order)
    places = NEAREST + FURTHER if channels <= 2 else NEAREST
    inputs = channels * len(places)
    size = inputs + channels
    products = size * (size + 1) // 2
    return Regression(
        order, inputs, size, np.array([down * row + right for down, right in places], np.int64), kept, below,
        np.zeros((width, products), np.int64), np.zeros(products, np.int64), np.zeros((width, size), np.int32),
        np.zeros(width, np.int64), np.zeros(channels, np.int64), np.zeros((size, size), np.int32),
        np.zeros(size, np.int64), np.zeros((2, size), np.int32), np.zeros(size + 1, np.int64), np.zeros(size, np.int64),
    )  # fmt: skip


@compiled
def look(own: Regression, canvas: Canvas, at: int, x: int) -> None:
    """Neighbours of the pixel at column x, and the equations there, solved."""
    samples, row, seen, channels = canvas.samples, canvas.row, own.seen[x], len(own.order)
    activity = own.inputs * _QUIET[0] // _QUIET[1]
    for number in range(channels):
        channel = own.order[number]
        west, north = np.int64(samples[at - 1, channel]), np.int64(samples[at - row, channel])
        corners = np.int64(samples[at - row - 1, channel]) + np.int64(samples[at - row + 1, channel])
        base = 3 * (west + north) + corners
        own.base[number] = base
        for place in range(len(own.offsets)):
            value = 8 * np.int64(samples[at + own.offsets[place], channel]) - base
            seen[channels * place + number] = value
            activity += int(abs(value))
    own.weights[x] = (own.inputs << _WEIGHT) // activity
    _factorise(own, x)
    _turn_round(own, x)


@compiled
def _bits(value: int) -> int:
    """Bits of a number below 2**63."""
    bits = 0
    for step in (32, 16, 8, 4, 2, 1):
        if value >> step > 0:
            value >>= step
            bits += step
    return bits + value


@compiled
def _factorise(own: Regression, x: int) -> None:
    """Factors of the equations: [k, i > k] becomes L[i, k]."""
    _scale(own, x)
    factors, size = own.factors, own.size
    share, second = own.shares[0], own.shares[1]
    for pivot in range(0, size - 1, 2):  # two at a time
        _share(own, pivot, share)
        after = pivot + 1
        known = np.int64(share[after])
        line, target = factors[pivot, after + 1 :], factors[after, after + 1 :]
        for k in range(size - after - 1):
            target[k] -= known * np.int64(line[k]) >> _FACTOR
        _share(own, after, second)
        for one in range(after + 1, size):
            known, known_after = np.int64(share[one]), np.int64(second[one])
            target, line, line_after = factors[one, one + 1 :], factors[pivot, one + 1 :], factors[after, one + 1 :]
            for k in range(size - one - 1):
                target[k] -= known * np.int64(line[k]) + known_after * np.int64(line_after[k]) >> _FACTOR
        for k in range(after, size):
            factors[pivot, k] = share[k]
        for k in range(after + 1, size):
            factors[after, k] = second[k]


@compiled
def _scale(own: Regression, x: int) -> None:
    """Equations as `factors`, upper half, and `diagonal`."""
    factors, size, diagonal, scales = own.factors, own.size, own.diagonal, own.scales
    product = 0
    for one in range(size):
        whole = own.sums[x, product] + own.left[product]
        whole += (whole >> 12) + (whole >> 14) + _RIDGE
        scale = max(_bits(whole) - _DIAGONAL + 1 >> 1, 0)
        scales[one] = scale
        diagonal[one] = whole >> 2 * scale
        product += size - one
    product = 0
    for one in range(size):
        target, scale, others = factors[one, one + 1 :], scales[one], scales[one + 1 :]
        sums, left = own.sums[x, product + 1 :], own.left[product + 1 :]
        for k in range(size - one - 1):
            value = (sums[k] + left[k]) >> scale + others[k]
            target[k] = min(max(value, -1 << _DIAGONAL), 1 << _DIAGONAL)
        product += size - one


@compiled
def _share(own: Regression, pivot: int, shares: Ints) -> None:
    """Shares of a pivot's row that other rows lose; what is left of their diagonals."""
    line, diagonal, share = own.factors[pivot, pivot + 1 :], own.diagonal[pivot + 1 :], shares[pivot + 1 :]
    inverse = (1 << _INVERSE) // max(own.diagonal[pivot], _PIVOT)
    for k in range(own.size - pivot - 1):
        value = np.int64(line[k])
        part = min(max(value * inverse >> _INVERSE - _FACTOR, -_TOP), _TOP)
        change = part * value
        fits = change < diagonal[k] << _FACTOR
        diagonal[k] -= change >> _FACTOR if fits else 0
        share[k] = part if fits else 0
        line[k] = value if fits else 0


@compiled
def _turn_round(own: Regression, x: int) -> None:
    """Decorrelate neighbours, and predict samples from them."""
    turned, seen, scales, inputs = own.turned, own.seen[x], own.scales, own.inputs
    most = 0
    for one in range(inputs):
        value = np.int64(seen[one]) << _FRACTION >> scales[one]
        turned[one] = value
        most = max(most, abs(value))
    scale = max(_bits(most) - _WIDE, 0)
    scales[own.size] = scale
    for one in range(inputs):
        turned[one] >>= scale
    turned[inputs:] = 0
    for pivot in range(inputs):
        _act(own, pivot, turned[pivot])


@compiled
def _act(own: Regression, pivot: int, known: int) -> None:
    """What is known of a row goes from those after it."""
    turned, factor = own.turned[pivot + 1 :], own.factors[pivot, pivot + 1 :]
    known = min(max(known, -_LIMIT), _LIMIT)
    for k in range(own.size - pivot - 1):
        turned[k] -= np.int64(factor[k]) * known >> _FACTOR


@compiled
def said(own: Regression, number: int) -> int:
    """The prediction of a sample, after those before it are told: 1/16 level."""
    place = own.inputs + number
    scale = own.scales[place] + own.scales[own.size] - _FRACTION + 1
    value = -own.turned[place]
    value = value << scale if scale >= 0 else value + (1 << -scale - 1) >> -scale
    return 2 * own.base[number] + value


@compiled
def tell(own: Regression, x: int, number: int, value: int) -> None:
    """A sample is known. Jumps count less: else all that follows would be as at the last one."""
    place = own.inputs + number
    differs = 8 * value - own.base[number]
    own.seen[x, place] = differs
    own.weights[x] = min(own.weights[x], (_FAR << _WEIGHT) // max(abs(differs), 1))
    _act(own, place, (differs << _FRACTION >> own.scales[place] + own.scales[own.size]) + own.turned[place])


@compiled
def advance(own: Regression, x: int) -> None:
    """All of a pixel is known: it goes into the sums of what is to the right, and below."""
    size, kept = own.size, own.kept
    product, weight = 0, own.weights[x]
    for one in range(size):
        left, sums, seen = own.left[product:], own.sums[x, product:], own.seen[x, one:]
        share = np.int64(np.int32(np.int64(seen[0]) * weight >> _SHARE))
        for k in range(size - one):
            total = (left[k] + share * np.int64(seen[k])) * kept >> 8
            left[k] = total
            sums[k] += total
        product += size - one


@compiled
def turn(own: Regression) -> None:
    """A row ends: its pixels go into the sums of the columns to their left, and sums fade."""
    size, kept, below = own.size, own.kept, own.below
    own.left[:] = 0
    for x in range(len(own.weights) - 1, -1, -1):
        product, weight = 0, own.weights[x]
        if weight == 0:
            continue
        for one in range(size):
            left, sums, seen = own.left[product:], own.sums[x, product:], own.seen[x, one:]
            share = np.int64(np.int32(np.int64(seen[0]) * weight >> _SHARE))
            for k in range(size - one):
                total = left[k]
                sums[k] = (sums[k] + total) * below >> 8
                left[k] = (total + share * np.int64(seen[k])) * kept >> 8
            product += size - one
    own.left[:] = 0
