"""Small networks that were trained on other files: what they expect of a coefficient or of a number, as log-odds.

Each has a hidden layer. Its weights are those of a place, for every frequency others; the layer behind it is that of a
kind of places. All is bytes, and sums of int32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.compiled import compiled
from bfncodec.exact.products import packed, product
from bfncodec.exact.tables import LOGIT_MAX

Array = NDArray[Any]

SEEN = 48  # numbers that a network sees, 0 .. 255
HIDDEN = 64
HEADS = 64
KINDS = 7  # of places: inside, edges before and after the sign, numbers inside, of edges, DC, signs inside
INSIDE, EDGE, SIZE, COUNT, EDGE_COUNT, DC, SIGN = 0, 49, 63, 77, 78, 80, 81  # first places of the kinds
STARTS = (INSIDE, EDGE, SIZE, COUNT, EDGE_COUNT, DC, SIGN)
_COUNTS = STARTS.index(COUNT)
PLACES = 82  # of luma, and as many of colours
# Heads of a coefficient: whether it is not zero, has more than 1 .. 6 bits; its highest bit but one where it has 2 to
# 6; the next one, by the one before, where it has 3 to 6; its sign. Heads of a number: by the bits before.
MORE, TOP, NEXT, IS_NEGATIVE = 0, 7, 12, 20
_FEWER_HEADS = 24  # of all but numbers inside
HIDDEN_SHIFT, HEAD_SHIFT = 7, 2  # of sums: inputs 1/64, weights 1/64 -> 1/32; weights 1/32 -> 1/256 nat


class Networks(NamedTuple):
    """Weights, and room for the answers."""

    kinds: Array  # int64 [2 * PLACES]
    first: Array  # int8 [2 * PLACES, 1, SEEN // GROUP, HIDDEN, GROUP]
    first_bias: Array  # int32 [2 * PLACES, HIDDEN], of sums
    second: Array  # int8 [2 * KINDS, 1, HIDDEN // GROUP, HEADS, GROUP]
    second_bias: Array  # int32 [2 * PLACES, HEADS], of sums
    seen: Array  # uint8 [1, SEEN]
    hidden: Array  # uint8 [1, HIDDEN]
    sums: Array  # int32 [1, HEADS]
    said: Array  # int64 [HEADS + 1]: log-odds, 1/256 nat; the last one is 0

    def copy(self) -> Networks:
        """The same weights with room of their own."""
        return self._replace(
            seen=self.seen.copy(), hidden=self.hidden.copy(), sums=self.sums.copy(), said=self.said.copy()
        )


def untrained() -> Networks:
    """Networks that say nothing."""
    return networks(
        np.zeros((2 * PLACES, HIDDEN, SEEN), np.int8), np.zeros((2 * PLACES, HIDDEN), np.int16),
        np.zeros((2 * KINDS, HEADS, HIDDEN), np.int8), np.zeros((2 * PLACES, HEADS), np.int16),
    )  # fmt: skip


def started(model: Mapping[str, Array]) -> Networks:
    """Those of a model file."""
    return networks(model["jpeg.first"], model["jpeg.first.bias"], model["jpeg.second"], model["jpeg.second.bias"])


def networks(first: Array, first_bias: Array, second: Array, second_bias: Array) -> Networks:
    """Of int8 [2 * PLACES, h, SEEN], int16 [2 * PLACES, h], int8 [2 * KINDS, HEADS, h], int16 [2 * PLACES, HEADS].

    h: at most HIDDEN. Biases are in units of 2**5 and 2**2 of sums. ValueError if they contradict each other.
    """
    width = first.shape[1]
    shapes = first.shape, first_bias.shape, second.shape, second_bias.shape
    wanted = (2 * PLACES, width, SEEN), (2 * PLACES, width), (2 * KINDS, HEADS, width), (2 * PLACES, HEADS)
    if shapes != wanted or width > HIDDEN:
        raise ValueError("tensors contradict each other")
    more = 0, HIDDEN - width
    first, first_bias = np.pad(first, ((0, 0), more, (0, 0))), np.pad(first_bias, ((0, 0), more))
    second = np.pad(second, ((0, 0), (0, 0), more))
    kinds = np.searchsorted(STARTS, np.arange(PLACES), side="right") - 1
    return Networks(
        np.concatenate([kinds, KINDS + kinds]),
        packed(first),
        first_bias.astype(np.int32) << 5,
        packed(second),
        second_bias.astype(np.int32) << 2,
        np.zeros((1, SEEN), np.uint8),
        np.zeros((1, HIDDEN), np.uint8),
        np.zeros((1, HEADS), np.int32),
        np.zeros(HEADS + 1, np.int64),
    )


@compiled
def coarse(said: int) -> int:
    """0 .. 31: log-odds, coarsely."""
    return min(max((said >> 6) + 16, 0), 31)


def heads(kind: int) -> int:
    """How many heads of a kind of places say anything."""
    return HEADS if STARTS[kind] == COUNT else _FEWER_HEADS


@compiled
def ask(nets: Networks, place: int) -> None:
    """What the network of a place says of what is `seen`."""
    sums, hidden, said = nets.sums[0], nets.hidden[0], nets.said
    product(nets.seen, nets.first[place], nets.sums)
    bias = nets.first_bias[place]
    for index in range(HIDDEN):
        hidden[index] = min(max(int(sums[index]) + int(bias[index]) >> HIDDEN_SHIFT, 0), 255)
    product(nets.hidden, nets.second[nets.kinds[place]], nets.sums)
    bias = nets.second_bias[place]
    many = HEADS if nets.kinds[place] % KINDS == _COUNTS else _FEWER_HEADS
    for index in range(many):
        said[index] = min(max(int(sums[index]) + int(bias[index]) >> HEAD_SHIFT, -LOGIT_MAX), LOGIT_MAX)
