"""Pictures of one size, layout and origin -> image blocks: which schedule, which planes, which bands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from bfncodec.blocks import inside
from bfncodec.blocks.choice import Candidate, smallest, tried
from bfncodec.blocks.image import Image, digest, pack_exceptions, pack_metadata
from bfncodec.container import Block
from bfncodec.exact import threads
from bfncodec.models import zoo
from bfncodec.models.image import passes
from bfncodec.models.image.passes import LEARN_FROM, Pass, Schedule, Space
from bfncodec.picture import Layout, Picture, Pixels
from bfncodec.presets import Choices

if TYPE_CHECKING:  # the models are imported where they are used: compiled code takes its time
    from bfncodec.coding.ledger import Ledger

FILE_BLOCK_PIXELS = 1 << 17  # of small images that share a block
FILE_BLOCK_ITEMS = 256
SMALL_SIDE = 64  # images up to this size use the model for small ones
# Percent of pixels that equal a neighbour: from the first share on exact colours are tried, from the second on nothing
# else is.
REPEATED, DRAWN = 25, 80
# Pixels up to which both are tried, and from which on a sample decides; between them it does unless they are close.
SMALL, LARGE = 1 << 16, 1 << 20
SAMPLE, LEAST, STRIPES = 1 << 18, 1 << 13, 4  # pixels of it at most and at least, and places that it is taken from
SHARE = 5  # it has one pixel in 2**SHARE
EXACT, PREDICTED = 0.85, 1.04  # times what the network takes, exact colours take: up to here they are better; no more

T = TypeVar("T")
Way = Callable[[list[Picture], Choices, "Ledger | None"], Block]


def encode(pictures: list[Picture], choices: Choices, ledger: Ledger | None = None) -> Block:
    """Pictures of one size and kind as one block, the smallest of those that look worth a try."""
    candidates: list[Candidate] = []
    if len(pictures) == 1 and choices.effort != "lattice" and zoo.chosen(choices.model, "images") is None:
        account = ledger.blank() if ledger is not None else None
        found = _coefficients(pictures[0], choices, account)
        if found is not None:
            block, sure = found
            candidates.append(Candidate([block], account))
            if sure:
                return smallest(candidates, ledger)[0]
    candidates += [tried(partial(way, pictures, choices), ledger) for way in _ways(pictures, choices)]
    (block,) = smallest(candidates, ledger)
    return block


def _coefficients(picture: Picture, choices: Choices, ledger: Ledger | None) -> tuple[Block, bool] | None:
    """By the coefficients of the JPEG file that a picture was decoded from, None if it was not; and whether no other
    way has to be tried.
    """
    found = inside.find(picture, choices, ledger)
    if found is None:
        return None
    height, width, _ = picture.pixels.shape
    form = Image(picture.origin, picture.layout, Schedule.COEFFICIENTS, width, height, found[0])
    form.metadata, form.inside = pack_metadata([picture]), found[1]
    block = Block(1, picture.pixels.size, digest([picture]), form)
    return block, found[1].wrong * inside.DOUBTFUL <= height * width


def _ways(pictures: list[Picture], choices: Choices) -> list[Way]:
    """How pictures may be coded best: the network, exact colours, or both have to be tried."""
    if pictures[0].depth != 8 or pictures[0].layout is Layout.P:
        return [_exact]
    if choices.effort == "lattice" or zoo.chosen(choices.model, "images") is not None:
        return [_network]
    share = repeated(np.stack([picture.pixels for picture in pictures]))
    if share < REPEATED or share >= DRAWN:
        return [_network if share < REPEATED else _exact]
    size = pictures[0].pixels[..., 0].size
    if len(pictures) > 1 or size <= SMALL:
        return [_network, _exact]
    if _was_converted(pictures[0]):
        return [_network]
    pixels = _stripes(pictures[0].pixels, min(max(size >> SHARE, LEAST), SAMPLE))
    sample = [replace(pictures[0], pixels=pixels, metadata=b"")]
    predicted, exact = threads.each(lambda way: way(sample, choices, None).payload_bytes, [_network, _exact])
    if size <= LARGE and EXACT * predicted < exact < PREDICTED * predicted:
        return [_network, _exact]
    return [_network if predicted < exact else _exact]


def _was_converted(picture: Picture) -> bool:
    """Whether a colour picture seems to come from another colour space: then it is a photograph, or was one."""
    from bfncodec.models.image import spaces

    colours = passes.split(picture.pixels[None])[-1]
    return colours.shape[3] == 3 and spaces.likely(colours) is not Space.RGB


def _stripes(pixels: Pixels, count: int) -> Pixels:
    """About so many pixels of a larger picture [height, width, channels], in stripes from top to bottom."""
    height, width, _ = pixels.shape
    rows = max(min(count // (width * STRIPES), height // STRIPES), 1)
    firsts = [(2 * stripe + 1) * height // (2 * STRIPES) - rows // 2 for stripe in range(STRIPES)]
    return np.concatenate([pixels[first : first + rows] for first in firsts])


def repeated(pixels: Pixels) -> int:
    """How many pixels of planes uint8 [N, H, W, C], in percent, equal the one to the left or one of three above."""
    words = np.zeros(pixels.shape[:3], np.uint32)
    for channel in range(pixels.shape[3]):
        words |= pixels[..., channel].astype(np.uint32) << 8 * channel
    own = words[:, 1:, 1:-1]
    same = (own == words[:, 1:, :-2]) | (own == words[:, :-1, 1:-1])
    same |= (own == words[:, :-1, :-2]) | (own == words[:, :-1, 2:])
    return 100 * int(same.sum()) // max(same.size, 1)


def _network(pictures: list[Picture], choices: Choices, ledger: Ledger | None) -> Block:
    """Predicted by a network, pass by pass."""
    from bfncodec.models.image import sampling, spaces, streams

    first = pictures[0]
    height, width, _ = first.pixels.shape
    packaged = "small" if max(width, height) <= SMALL_SIDE else "photo"
    path = zoo.chosen(choices.model, "images") or zoo.find(packaged)
    nets = streams.networks(path, choices.device)
    effort = "default" if choices.effort == "fast" and not nets.table.size else choices.effort
    schedule = Schedule.LATTICE if choices.effort == "lattice" else Schedule.WAVEFRONT
    pixels = np.stack([picture.pixels for picture in pictures])
    form = Image(first.origin, first.layout, schedule, width, height, zoo.digest(path), pack_metadata(pictures))
    parts = passes.split(pixels)
    if parts[-1].shape[3] == 3:
        colours = parts[-1].reshape(-1, 3)
        form.space, integers, numbers = spaces.find(parts[-1])
        halves = None
        if form.space and schedule is Schedule.WAVEFRONT:
            sweeps = sampling.QUICK_SWEEPS if effort == "fast" else sampling.SWEEPS
            halves = sampling.find(parts[-1], integers, form.space, sweeps)
        if halves is None:
            parts[-1] = integers
        else:
            form.sampling, luma, differences, numbers = halves
            parts[-1:] = [luma, np.concatenate([form.sampling.of(luma), differences], axis=3)]
        form.exceptions, form.listed = len(numbers), pack_exceptions(numbers, passes.ordered(colours[numbers]))

    def one(job: tuple[range, Pixels, int]) -> Pass:
        rows, planes, channels = job
        known = planes.shape[3] - channels
        half = slice(rows.start // 2, None if rows.stop == height else rows.stop // 2)
        own = planes[:, half if known else slice(rows.start, rows.stop)]
        return streams.encode_pass(nets, own, schedule, effort, ledger, known, len(bands))

    coded = passes.pass_channels(first.layout.channels, form.sampling)
    bands = form.bands(len(pictures))
    jobs = [(rows, *part) for rows in bands for part in zip(parts, coded, strict=True)]
    form.passes += threads.each(one, jobs) if ledger is None else map(one, jobs)
    return Block(len(pictures), pixels.size, digest(pictures), form)


def _exact(pictures: list[Picture], choices: Choices, ledger: Ledger | None) -> Block:
    """As exact colours: palettes, few bits, 16 bits, and whatever repeats itself."""
    from bfncodec.models.graphics import streams

    pixels = np.stack([picture.pixels for picture in pictures])
    _, height, width, _ = pixels.shape
    kind = pictures[0].kind
    form = Image(kind.origin, kind.layout, Schedule.EXACT, width, height, None, pack_metadata(pictures))
    form.depth, form.signed, form.frames, form.order = kind.depth, kind.signed, kind.frames, _order(pictures)
    if form.order:
        pixels = _numbered(pixels, form.order)

    def one(rows: range) -> bytes:
        planes = pixels[:, rows.start : rows.stop]
        frames = planes.reshape(-1, len(rows) // kind.frames, *planes.shape[2:])
        return streams.encode_planes(frames, kind.depth, ledger)

    bands = form.bands(len(pictures))
    form.exact += threads.each(one, bands) if ledger is None else map(one, bands)
    return Block(len(pictures), pixels.nbytes, digest(pictures), form)


def _order(pictures: list[Picture]) -> bytes:
    """The colours of a palette by luminance, if a sample of the first picture gets smaller by more than that costs."""
    from bfncodec.models.graphics import streams

    first = pictures[0]
    colours = np.zeros((256, 3), np.int64)
    known = np.frombuffer(first.palette[: min(len(first.palette) // 3 * 3, colours.size)], np.uint8).reshape(-1, 3)
    if first.layout is not Layout.P or not len(known) or any(one.palette != first.palette for one in pictures):
        return b""
    colours[: len(known)] = known
    count = max(int(picture.pixels.max()) for picture in pictures) + 1
    order = np.argsort(colours[:count] @ [299, 587, 114], kind="stable").astype(np.uint8).tobytes()
    size = first.pixels.size
    sample = _stripes(first.pixels, SAMPLE // 4)[None] if size > SAMPLE // 4 else first.pixels[None]
    lengths = [len(streams.encode_planes(one, first.depth)) for one in (sample, _numbered(sample, order))]
    return order if (lengths[0] - lengths[1]) * size > len(order) * sample.size else b""


def _numbered(pixels: Pixels, order: bytes) -> Pixels:
    """Places of the numbers of colours in an order."""
    places = np.zeros(256, np.uint8)
    places[np.frombuffer(order, np.uint8)] = np.arange(len(order))
    return places[pixels]


def cuts(items: list[T], shape: tuple[int, ...] | None) -> Iterator[list[T]]:
    """Items whose pictures have one shape [height, width, channels] (None: no pictures), in runs that share a block.

    One by one if they are no pictures, or if their heads can learn.
    """
    pixels = shape[0] * shape[1] if shape is not None else LEARN_FROM
    count = 1 if pixels >= LEARN_FROM else min(FILE_BLOCK_ITEMS, FILE_BLOCK_PIXELS // pixels)
    return (items[start : start + count] for start in range(0, len(items), count))
