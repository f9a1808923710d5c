"""The loop over an image's diagonals, compiled: what is seen of pixels, the trunk, the heads, values, learning.

Encoder and decoder run the same code. STAGES of a diagonal can be run apart: the encoder, who knows all pixels, looks
ahead beside the coding, and trunks that are not compiled take their turn in between.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.mixtures import Tables, interval, pop, prepare
from bfncodec.exact.compiled import compiled
from bfncodec.exact.layers import LocalNetwork, Trunk, TrunkRoom, run_trunk
from bfncodec.exact.kernels import ACTIVATION_MAX
from bfncodec.exact.products import GROUP
from bfncodec.models.image import features
from bfncodec.models.image.canvas import RADIUS, SLOPE
from bfncodec.models.image.compiled_features import Canvases, Frame, cross_channel, look, predict_at, settle, write
from bfncodec.models.image.learning_heads import Heads, forward, learn
from bfncodec.models.image.local import Local, advance
from bfncodec.models.image.outputs import relative
from bfncodec.models.image.passes import STRIDE

Ints = NDArray[Any]

LOOK, TRUNK, CODE = 1, 2, 4  # stages of a diagonal, in this order
ALL = LOOK | TRUNK | CODE


class Seen(NamedTuple):
    """What is seen of the pixels since the last learning step: rows [n]."""

    counts: Ints  # int64 [2]: diagonals that have been looked at, and that have been coded
    ends: Ints  # int64: where their rows begin and end, from 0 on
    at: Ints  # int64 [n, 3]: address, row, column
    features: Ints  # uint8 [n, FEATURES and more], INPUT_LIFT added
    inputs: Ints  # uint8 [n, columns and more]: of the heads; the trunk's activations, a constant, cross-channel inputs
    base: Ints  # int64 [n, 3], 1/16 level
    cross: Ints  # int64 [n, 3]
    steps: Ints  # int64 [n, 3], of scales
    shift: Ints  # int64 [n], of the means of the channel at hand


class Stack(NamedTuple):
    """Where values come from, or go to."""

    state: Ints  # as `Coder.opened` gives it, empty in an encoder
    words: Ints
    rows: Ints  # uint32 [n, 2]: what an encoder's values take, in coding order
    done: Ints  # int64 [1]: rows that are written
    halves: Ints  # room: int64 [n, 2]
    popped: Ints  # room: int64 [n]
    raw: Ints  # room: int64 [3, mixtures]


class Plan(NamedTuple):
    """Which pixels are coded, and when heads learn."""

    first: int  # channels
    stop: int
    follows: int  # whether the base follows the image
    run: int  # pixels from one step to the next, at least
    every: int  # one in so many runs is learnt from; 0: none
    runs: Ints  # int64 [1]: those behind


def seen(network: LocalNetwork, diagonals: int, size: int) -> Seen:
    """Room for so many diagonals and pixels."""
    columns = network.width + 1 + max(network.extra)
    inputs = np.zeros((size, -(-columns // GROUP) * GROUP), np.uint8)
    inputs[:, network.width] = ACTIVATION_MAX
    return Seen(
        np.zeros(2, np.int64), np.zeros(diagonals + 1, np.int64), np.empty((size, 3), np.int64),
        np.zeros((size, -(-features.FEATURES // GROUP) * GROUP), np.uint8), inputs,
        *np.empty((3, size, 3), np.int64), np.empty(size, np.int64),
    )  # fmt: skip


@compiled
def run(
    frame: Frame, known: Canvases, own: Local, trunk: Trunk, trunk_room: TrunkRoom, tables: Tables, heads: Heads,
    plan: Plan, seen: Seen, stack: Stack, first: int, last: int, stages: int,
) -> None:  # fmt: skip
    """Some stages of diagonals first .. last - 1."""
    for number in range(first, last):
        if stages & LOOK:
            _look(frame, known, own, plan, seen, number)
        if stages & TRUNK:
            start, stop = seen.ends[seen.counts[0] - 1], seen.ends[seen.counts[0]]
            run_trunk(trunk, trunk_room, seen.features[start:stop], seen.inputs[start:stop])
        if stages & CODE:
            _code(frame, known, tables, heads, plan, seen, stack)
            pixels = seen.ends[seen.counts[1]]
            if pixels >= plan.run:
                if plan.every and plan.runs[0] % plan.every == 0:
                    learn(heads, tables, plan.first, plan.stop, seen.inputs, pixels)
                plan.runs[0] += 1
                seen.counts[:] = 0


@compiled
def _look(frame: Frame, known: Canvases, own: Local, plan: Plan, seen: Seen, number: int) -> None:
    """Settle the diagonal before, and look at the pixels of this one that are not the thumbnail's."""
    if number:
        before = number - 1
        for image in range(frame.count):
            start = (image * (frame.height + RADIUS) + RADIUS) * frame.row + RADIUS
            for y in range(max(0, -((frame.width - 1 - before) // SLOPE)), min(frame.height, before // SLOPE + 1)):
                x = before - SLOPE * y
                settle(frame, known, start + y * frame.row + x, y, x)
    if plan.follows:
        advance(frame, known, own, number)
    row = seen.ends[seen.counts[0]]
    for image in range(frame.count):
        start = (image * (frame.height + RADIUS) + RADIUS) * frame.row + RADIUS
        for y in range(max(0, -((frame.width - 1 - number) // SLOPE)), min(frame.height, number // SLOPE + 1)):
            x = number - SLOPE * y
            at = start + y * frame.row + x
            if not plan.follows:
                predict_at(frame, known, at)
            if number % STRIDE or y % STRIDE:
                seen.at[row, 0], seen.at[row, 1], seen.at[row, 2] = at, y, x
                look(frame, known, at, y, x, seen.features[row], seen.base[row], seen.cross[row], seen.steps[row])
                row += 1
    seen.counts[0] += 1
    seen.ends[seen.counts[0]] = row


@compiled
def _code(
    frame: Frame, known: Canvases, tables: Tables, heads: Heads, plan: Plan, seen: Seen, stack: Stack
) -> None:  # fmt: skip
    """The values of a diagonal's pixels, channel after channel: popped, or rows of them."""
    start, stop, decodes = seen.ends[seen.counts[1]], seen.ends[seen.counts[1] + 1], len(stack.state) > 0
    seen.counts[1] += 1
    count = stop - start
    for row in range(start, stop):
        for channel in range(3):
            heads.values[row, channel] = known.pixels[seen.at[row, 0], channel]
    for channel in range(plan.first, plan.stop):
        if channel:
            for row in range(start, stop):
                columns = heads.head.columns[channel]
                told = seen.inputs[row, columns - 2 :]
                shift = cross_channel(
                    frame, channel, heads.values[row], seen.base[row], seen.cross[row], seen.steps[row], told
                )
                seen.shift[row] = shift
        forward(heads, channel, seen.inputs, start, stop)
        for row in range(start, stop):
            shift = seen.shift[row] if channel else 0
            raw = heads.raw[channel, row]
            relative(raw, seen.base[row, channel], seen.steps[row, channel], frame.scale, shift, stack.raw)
            prepare(tables, stack.raw, heads.parts[channel, row])
        if decodes:
            parts = heads.parts[channel, start:stop]
            pop(tables, parts, stack.state, stack.words, stack.halves, stack.popped[:count])
            for number in range(count):
                heads.values[start + number, channel] = stack.popped[number]
        else:
            done = stack.done[0]
            for number in range(count):
                value, parts = heads.values[start + number, channel], heads.parts[channel, start + number]
                interval(tables, parts, value, stack.rows[done + number], stack.rows[done + count + number])
            stack.done[0] = done + 2 * count
    if decodes:
        for row in range(start, stop):
            values, one = heads.values[row], seen.at[row]
            for channel in range(plan.stop, 3):  # grey
                values[channel] = values[0]
            write(frame, known.pixels, one[0], one[1], one[2], values)
