"""Linear prediction that follows an image: least squares over the pixels around, weighted by how near they are.

Normal equations of [neighbours' samples, the pixel's own samples in their order], all less a mean of neighbours of
their channel. They fade by KEPT a pixel to either side and by BELOW a row, exactly: sums of the rows above, which are
kept for every column, and sums of what is to the left in the same row. A pixel counts less the more its neighbours
differ. One matrix, L D L', serves all samples of a pixel: with neighbours decorrelated by L, its rows hold the
predictions, and each sample that gets known improves those after it.

All operations are additions, multiplications and divisions of float64, one by one in the order written here, so that
every machine gets the same. Units: levels.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.compiled import compiled
from bfncodec.models.graphics.canvas import Canvas

Numbers = NDArray[Any]

NEAREST = [(0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0)]
FURTHER = [(-1, -2), (-1, 2), (-2, -1), (-2, 1), (-2, -2), (-2, 2)]
QUIET = 0.3  # levels that every pixel's activity has at least
RIDGE, LEAST = 0.003, 2.0**-20
_GRAIN = 4096.0  # added and taken away again, it leaves multiples of about 2**-40: sums fade to zero in the end


class Regression(NamedTuple):
    """Normal equations along a row."""

    order: Numbers  # int64 [channels]
    inputs: int  # neighbours' samples, those of a neighbour side by side; `size`: and the pixel's own
    size: int
    offsets: Numbers  # int64: distances of addresses of neighbours
    kept: float
    below: float
    sums: Numbers  # float64 [width, size * (size + 1) / 2]: of the rows above
    left: Numbers  # float64 [the same]: of what is to the left, or to the right at the end of a row
    seen: Numbers  # float64 [width, size]: what goes into them
    weights: Numbers  # float64 [width]; 0.0: a pixel that is left out
    base: Numbers  # float64 [channels]
    factors: Numbers  # float64 [size, size]
    turned: Numbers  # float64 [size]


def regression(order: Numbers, width: int, row: int, kept: float, below: float) -> Regression:
    """Before the first pixel of an image so wide, whose rows are `row` addresses apart."""
    channels = len(order)
    places = NEAREST + FURTHER if channels <= 2 else NEAREST
    inputs = channels * len(places)
    size = inputs + channels
    products = size * (size + 1) // 2
    return Regression(
        order, inputs, size, np.array([down * row + right for down, right in places], np.int64), kept, below,
        np.zeros((width, products)), np.zeros(products), np.zeros((width, size)), np.zeros(width), np.zeros(channels),
        np.zeros((size, size)), np.zeros(size),
    )  # fmt: skip


@compiled
def look(own: Regression, canvas: Canvas, at: int, x: int) -> None:
    """Neighbours of the pixel at column x, and the equations there, solved."""
    samples, row, seen, channels = canvas.samples, canvas.row, own.seen[x], len(own.order)
    activity = 0.0
    for number in range(channels):
        channel = own.order[number]
        west, north = np.int64(samples[at - 1, channel]), np.int64(samples[at - row, channel])
        corners = np.int64(samples[at - row - 1, channel]) + np.int64(samples[at - row + 1, channel])
        base = (3 * (west + north) + corners) * 0.125
        own.base[number] = base
        for place in range(len(own.offsets)):
            value = np.int64(samples[at + own.offsets[place], channel]) - base
            seen[channels * place + number] = value
            activity += abs(value)
    activity = activity / own.inputs + QUIET
    own.weights[x] = 1.0 / activity
    _factorise(own, x)
    turned = own.turned
    for one in range(own.inputs):
        turned[one] = seen[one]
    for one in range(own.inputs, own.size):
        turned[one] = 0.0
    for pivot in range(own.inputs):
        known, factor = turned[pivot], own.factors[pivot]
        for one in range(pivot + 1, own.inputs):
            turned[one] -= factor[one] * known
        for one in range(own.inputs, own.size):
            turned[one] += factor[one] * known


@compiled
def _factorise(own: Regression, x: int) -> None:
    """Factors of the equations: [k, i > k] becomes L[i, k]."""
    sums, left, factors, size = own.sums[x], own.left, own.factors, own.size
    product = 0
    for one in range(size):
        line = factors[one]
        for other in range(one, size):
            line[other] = sums[product] + left[product]
            product += 1
        line[one] += line[one] * 0.0003 + (RIDGE if one < own.inputs else LEAST)
    for pivot in range(size - 1):
        line = factors[pivot]
        inverse = 1.0 / max(line[pivot], LEAST)
        for one in range(pivot + 1, size):
            share, target = line[one] * inverse, factors[one]
            for other in range(one, size):
                target[other] -= share * line[other]
        for one in range(pivot + 1, size):
            line[one] *= inverse


@compiled
def said(own: Regression, number: int) -> float:
    """The prediction of a sample, after those before it are told."""
    return own.base[number] + own.turned[own.inputs + number]


@compiled
def tell(own: Regression, x: int, number: int, value: int) -> None:
    """A sample is known."""
    place = own.inputs + number
    value_of = value - own.base[number]
    own.seen[x, place] = value_of
    error, factor = value_of - own.turned[place], own.factors[place]
    for other in range(place + 1, own.size):
        own.turned[other] += factor[other] * error


@compiled
def advance(own: Regression, x: int) -> None:
    """All of a pixel is known: it goes into the sums of what is to the right, and below."""
    left, sums, seen, size, kept = own.left, own.sums[x], own.seen[x], own.size, own.kept
    product, weight = 0, own.weights[x]
    for one in range(size):
        share = seen[one] * weight
        for other in range(one, size):
            total = ((left[product] + share * seen[other]) * kept + _GRAIN) - _GRAIN
            left[product] = total
            sums[product] += total
            product += 1


@compiled
def turn(own: Regression) -> None:
    """A row ends: its pixels go into the sums of the columns to their left, and sums fade."""
    left, size, kept, below = own.left, own.size, own.kept, own.below
    for product in range(len(left)):
        left[product] = 0.0
    for x in range(len(own.weights) - 1, -1, -1):
        sums, seen, weight = own.sums[x], own.seen[x], own.weights[x]
        if weight == 0.0:
            continue
        product = 0
        for one in range(size):
            share = seen[one] * weight
            for other in range(one, size):
                total = left[product]
                sums[product] = ((sums[product] + total) * below + _GRAIN) - _GRAIN
                left[product] = (total + share * seen[other]) * kept
                product += 1
    for product in range(len(left)):
        left[product] = 0.0
