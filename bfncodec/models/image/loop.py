"""The loop over an image's diagonals, compiled: what is seen of pixels, the trunk, the heads, values, learning.

Encoder and decoder run the same code. STAGES of a diagonal can be run apart: the encoder, who knows all pixels, looks
ahead beside the coding, and trunks that are not compiled take their turn in between.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.mixtures import Tables, interval, pop, pop_inside, prepare
from bfncodec.exact.compiled import compiled
from bfncodec.exact.kernels import ACTIVATION_MAX
from bfncodec.exact.layers import LocalNetwork, Trunk, TrunkRoom, run_layers, run_trunk
from bfncodec.exact.pmf import TOTAL
from bfncodec.exact.products import GROUP
from bfncodec.models.image.canvas import RADIUS, SLOPE, addresses
from bfncodec.models.image.compiled_features import (
    Canvases,
    Frame,
    cross_channel,
    innovation_inputs,
    look,
    look_fast,
    predict_at,
    settle,
    write,
)
from bfncodec.models.image.features import CONTEXTS, EMBEDDED, FEATURES, SCALE_STEPS
from bfncodec.models.image.learning_heads import Heads, forward, slopes, step
from bfncodec.models.image.learning_trunk import Deep, learn
from bfncodec.models.image.local import Local, advance
from bfncodec.models.image.outputs import relative
from bfncodec.models.image.passes import STRIDE
from bfncodec.models.image.tones import Tones, walk

Ints = NDArray[Any]

LOOK, TRUNK, GIVE, CODE = 1, 2, 4, 8  # stages of a diagonal, in this order
AHEAD = LOOK | TRUNK | GIVE
ALL = AHEAD | CODE
SIZES = (3, 9, 18, 32, 56, 96, 126)


class Sight(NamedTuple):
    """What the trunk sees of the pixels of the diagonal at hand, rows [n], and what it has made of others before.

    The thumbnail's pixels come last. They are seen only where there are embeddings.
    """

    rows: Ints  # int64 [1]: how many there are
    at: Ints  # int64 [n, 3]: address, row, column
    features: Ints  # uint8 [n, inputs and more], INPUT_LIFT added to features, embeddings behind them
    seen: Ints  # int64 [3, n, 3]: base, cross, scale steps
    last: Ints  # uint8 [n, width and more]: the trunk's activations, and once a pixel is known, its innovations
    made: Ints  # room: uint8 [n, embedding]
    offsets: Ints  # int64 [EMBEDDED]: distances of addresses
    embeddings: Ints  # uint8 [pixels, embedding] of the canvas, zeros outside


class Seen(NamedTuple):
    """What heads see of the pixels since the last learning step: rows [n]."""

    counts: Ints  # int64 [2]: diagonals that have been looked at, and that have been coded
    ends: Ints  # int64: where their rows begin and end, from 0 on
    at: Ints  # int64 [n, 3]: address, row, column
    inputs: Ints  # uint8 [n, columns and more]: the trunk's activations, a constant, cross-channel inputs
    base: Ints  # int64 [n, 3], 1/16 level
    cross: Ints  # int64 [n, 3]
    steps: Ints  # int64 [n, 3], of scales
    slow: Ints  # int64 [n, 3], of trends; where there is no network
    shift: Ints  # int64 [n], of the means of the channel at hand


class Stack(NamedTuple):
    """Where values come from, or go to."""

    state: Ints  # as `Coder.opened` gives it, empty in an encoder
    words: Ints
    rows: Ints  # uint32 [n, 2]: what an encoder's values take, in coding order
    toned: Ints  # uint32 [n, 2]: the same with `tones`, where it is tried
    done: Ints  # int64 [1]: rows that are written
    popped: Ints  # room: int64 [n]
    one: Ints  # room: uint32 [2]
    raw: Ints  # room: int64 [3, mixtures]


class Network(NamedTuple):
    """What is the same for all pixels."""

    table: Ints  # int8 [3, scale steps, CONTEXTS, 3 * mixtures] of the effort `fast`
    width: int
    trunk: Trunk
    embed: Trunk
    room: TrunkRoom


class Plan(NamedTuple):
    """Which pixels are coded, and when heads learn."""

    first: int  # channels
    stop: int
    follows: int  # whether the base follows the image
    tones: int  # whether values are coded with `tones`; an encoder tries it
    fast: int  # whether mixtures are looked up in a table, and no network is asked
    deep: int  # whether the trunk learns too
    run: int  # pixels from one step to the next, at least
    every: int  # one in so many runs is learnt from; 0: none
    runs: Ints  # int64 [1]: those behind


def sight(network: LocalNetwork, frame: Frame, size: int) -> Sight:
    """Room for diagonals of so many pixels."""
    embedding, columns = network.embedding, GROUP * network.numbers.sizes[0, 2]
    last = max(network.width, GROUP * network.embed.sizes[0, 2])
    pixels = frame.images * (frame.height + RADIUS) * frame.row if embedding else 0
    return Sight(
        np.zeros(1, np.int64), np.empty((size, 3), np.int64), np.zeros((size, columns), np.uint8),
        np.empty((3, size, 3), np.int64), np.zeros((size, last), np.uint8),
        np.empty((size, embedding), np.uint8), addresses(EMBEDDED, frame.row), np.zeros((pixels, embedding), np.uint8),
    )  # fmt: skip


def seen(network: LocalNetwork, diagonals: int, size: int) -> Seen:
    """Room for so many diagonals and pixels."""
    columns = network.width + 1 + max(network.extra)
    inputs = np.zeros((size, -(-columns // GROUP) * GROUP), np.uint8)
    inputs[:, network.width] = ACTIVATION_MAX
    base, cross, steps, slow = (np.empty((size, 3), np.int64) for _ in range(4))
    return Seen(
        np.zeros(2, np.int64), np.zeros(diagonals + 1, np.int64), np.empty((size, 3), np.int64), inputs,
        base, cross, steps, slow, np.empty(size, np.int64),
    )  # fmt: skip


@compiled
def run(
    frame: Frame, known: Canvases, own: Local, network: Network, sight: Sight, tables: Tables, heads: Heads,
    deep: Deep, tones: Tones, plan: Plan, seen: Seen, stack: Stack, first: int, last: int, stages: int,
) -> None:  # fmt: skip
    """Some stages of diagonals first .. last - 1."""
    for number in range(first, last):
        if stages & LOOK:
            _settle(frame, known, network, sight, number - 1)
            if plan.follows:
                advance(frame, known, own, number)
            _look(frame, known, plan, sight, seen, number)
        if stages & TRUNK and not plan.fast:
            rows = sight.rows[0]
            start = seen.ends[seen.counts[0] - 1]
            run_trunk(network.trunk, network.room, sight.features[:rows], sight.last, deep.kept, start)
        if stages & GIVE and not plan.fast:
            _give(network, sight, seen)
        if stages & CODE:
            _code(frame, known, network, tables, heads, tones, plan, seen, stack)
            pixels = seen.ends[seen.counts[1]]
            if pixels >= plan.run:
                if plan.every and plan.runs[0] % plan.every == 0:
                    slopes(heads, tables, plan.first, plan.stop, pixels)
                    if plan.deep:
                        learn(deep, heads.head, heads.room.inner, plan.first, plan.stop, seen.inputs, pixels)
                    step(heads, plan.first, plan.stop, seen.inputs, pixels)
                plan.runs[0] += 1
                seen.counts[:] = 0


@compiled
def _settle(frame: Frame, known: Canvases, network: Network, sight: Sight, number: int) -> None:
    """Settle a diagonal, which is known by now, and make its pixels' embeddings of what `sight` still holds."""
    for image in range(frame.images):
        start = (image * (frame.height + RADIUS) + RADIUS) * frame.row + RADIUS
        for y in range(max(0, -((frame.width - 1 - number) // SLOPE)), min(frame.height, number // SLOPE + 1)):
            x = number - SLOPE * y
            settle(frame, known, start + y * frame.row + x, y, x)
    if sight.made.shape[1]:
        rows, width = sight.rows[0], network.width
        for row in range(rows):
            innovation_inputs(frame, known, sight.at[row, 0], sight.seen[2, row], sight.last[row, width:])
        run_layers(network.embed, network.room, sight.last[:rows], sight.made)
        for row in range(rows):
            for unit in range(sight.made.shape[1]):
                sight.embeddings[sight.at[row, 0], unit] = sight.made[row, unit]


@compiled
def _look(frame: Frame, known: Canvases, plan: Plan, sight: Sight, seen: Seen, number: int) -> None:
    """What is seen of a diagonal's pixels: those that are coded, and then those of the thumbnail."""
    row, to = 0, seen.ends[seen.counts[0]]
    for thumbnail in range(2):
        if thumbnail and number % STRIDE:
            break
        for image in range(frame.images):
            start = (image * (frame.height + RADIUS) + RADIUS) * frame.row + RADIUS
            for y in range(max(0, -((frame.width - 1 - number) // SLOPE)), min(frame.height, number // SLOPE + 1)):
                if thumbnail != (1 if number % STRIDE == 0 and y % STRIDE == 0 else 0):
                    continue
                x = number - SLOPE * y
                at = start + y * frame.row + x
                if not plan.follows:
                    predict_at(frame, known, at)
                if plan.fast:
                    if not thumbnail:
                        seen.at[to, 0], seen.at[to, 1], seen.at[to, 2] = at, y, x
                        look_fast(frame, known, at, seen.base[to], seen.cross[to], seen.steps[to], seen.slow[to])
                        to += 1
                    continue
                if thumbnail and not sight.made.shape[1]:
                    continue
                base, cross, steps = sight.seen[0, row], sight.seen[1, row], sight.seen[2, row]
                sight.at[row, 0], sight.at[row, 1], sight.at[row, 2] = at, y, x
                look(frame, known, at, y, x, sight.features[row], base, cross, steps)
                _look_around(sight, at, sight.features[row])
                if not thumbnail:
                    for part in range(3):
                        seen.at[to, part], seen.base[to, part] = sight.at[row, part], base[part]
                        seen.cross[to, part], seen.steps[to, part] = cross[part], steps[part]
                    to += 1
                row += 1
    sight.rows[0] = row
    seen.counts[0] += 1
    seen.ends[seen.counts[0]] = to


@compiled
def _look_around(sight: Sight, at: int, features: Ints) -> None:
    """The embeddings of a pixel's neighbours, behind its features."""
    column = FEATURES
    for place in range(len(sight.offsets)):
        where = at + sight.offsets[place]
        for unit in range(sight.made.shape[1]):
            features[column] = sight.embeddings[where, unit]
            column += 1


@compiled
def _give(network: Network, sight: Sight, seen: Seen) -> None:
    """Give the heads what the trunk has made of the diagonal's pixels."""
    start, stop = seen.ends[seen.counts[0] - 1], seen.ends[seen.counts[0]]
    for row in range(stop - start):
        for unit in range(network.width):
            seen.inputs[start + row, unit] = sight.last[row, unit]


@compiled
def _context(channel: int, slow: int, told: Ints) -> int:
    """The column of the table: for G of the trend, for others of the sizes of what the channels before added."""
    if channel == 0:
        return min(max((2 * slow + 21) // 6, 0), CONTEXTS - 1)
    size = np.int64(told[1])
    if channel == 2:
        size = (size + 2 * np.int64(told[3])) // 3
    context = 0
    for bound in SIZES:
        context += 1 if size > bound else 0
    return context


@compiled
def _code(
    frame: Frame, known: Canvases, network: Network, tables: Tables, heads: Heads, tones: Tones, plan: Plan,
    seen: Seen, stack: Stack,
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
        if not plan.fast:
            forward(heads, channel, seen.inputs, start, stop)
        for row in range(start, stop):
            shift = seen.shift[row] if channel else 0
            raw = heads.raw[channel, row]
            if plan.fast:
                context = _context(channel, seen.slow[row, 0], seen.inputs[row, heads.head.columns[0] :])
                own = network.table[channel, seen.steps[row, channel] - SCALE_STEPS, context]
                for number in range(len(own)):
                    raw[number] = own[number]
            relative(raw, seen.base[row, channel], seen.steps[row, channel], frame.scale, shift, stack.raw)
            prepare(tables, stack.raw, heads.parts[channel, row])
        if decodes and not plan.tones:
            parts = heads.parts[channel, start:stop]
            pop(tables, parts, stack.state, stack.words, stack.popped[:count])
            for number in range(count):
                heads.values[start + number, channel] = stack.popped[number]
        for number in range(count):
            row = start + number
            values, parts, west = heads.values[row], heads.parts[channel, row], known.pixels[seen.at[row, 0] - 1, 0]
            if not decodes:
                interval(tables, parts, values[channel], stack.rows[stack.done[0] + number])
            if plan.tones:
                wanted = np.int64(stack.state[0] & np.uint64(TOTAL - 1)) if decodes else -1
                target = stack.one if decodes else stack.toned[stack.done[0] + number]
                value = walk(tables, tones, parts, channel, west, values, wanted, target)
                if decodes:
                    values[channel], low = value, np.int64(target[0])
                    pop_inside(stack.state, stack.words, wanted, low, low + np.int64(target[1]))
        stack.done[0] += count
    if decodes:
        for row in range(start, stop):
            values, one = heads.values[row], seen.at[row]
            for channel in range(plan.stop, 3):  # grey
                values[channel] = values[0]
            write(frame, known.pixels, one[0], one[1], one[2], values)
