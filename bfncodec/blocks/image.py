"""Blocks of a file <-> their content: which mode, which passes, which model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bfncodec import container
from bfncodec.blocks import plain as plain_blocks
from bfncodec.coding import protocol
from bfncodec.coding.ans import Coder
from bfncodec.coding.ledger import Ledger
from bfncodec.container import Block, Image, Layout, Mode, Pass, Reader, Schedule
from bfncodec.errors import CorruptFile, LimitExceeded
from bfncodec.exact import kernels
from bfncodec.media.png import Picture
from bfncodec.models import zoo
from bfncodec.models.image import bias_changes, canvas, learning_heads
from bfncodec.models.image import coefficients as coefficients_image
from bfncodec.models.image.lattice import Lattice
from bfncodec.models.image.networks import Networks, load
from bfncodec.models.image.wavefront import Wavefront
from bfncodec.spans import Data

if TYPE_CHECKING:  # compiled code is imported only where a text is coded
    pass

Pixels = NDArray[np.uint8]
_ORDER = [1, 0, 2]  # RGB <-> GRB
BLOCK_PIXELS = 1 << 17
BLOCK_ITEMS = 256
LARGEST = 1 << 40  # subpixels of a block at most, whatever limits a caller sets: arrays of more cannot be made
SMALL_SIDE = 64  # images up to this size use the model for small ones
METADATA_LIMIT = 1 << 28
RUN_LIMIT = 1 << 22  # pixels a diagonal at most: sums over one learning step stay exact
LEARN_FROM = 1 << 14  # pixels from which on an image's own statistics are worth learning


@cache
def networks(path: Path, kernel: str) -> Networks:
    """The networks of a model file, made once per kernel."""
    return load(kernels.kernel(kernel), zoo.tensors(path))


def default_model(width: int, height: int) -> Path:
    """The packaged model for images of a size."""
    return zoo.find("small" if max(width, height) <= SMALL_SIDE else "photo")


def items_per_block(shape: tuple[int, ...]) -> int:
    """How many pictures of a shape [height, width, channels] share a block: one, if its heads can learn."""
    pixels = shape[0] * shape[1]
    return 1 if pixels >= LEARN_FROM else min(BLOCK_ITEMS, BLOCK_PIXELS // pixels)


def encode_pictures(
    pictures: list[Picture],
    kernel: str,
    model: Path | None = None,
    effort: str = "default",
    ledger: Ledger | None = None,
) -> Block:
    """Pictures of one size, layout and source as one block."""
    first = pictures[0]
    height, width, _ = first.pixels.shape
    path = model or default_model(width, height)
    nets = networks(path, kernel)
    schedule = Schedule.LATTICE if effort == "lattice" else Schedule.WAVEFRONT
    pixels = np.stack([picture.pixels for picture in pictures])
    made = Image(first.source, first.layout, schedule, width, height, zoo.digest(path))
    made.metadata = _pack_metadata(pictures)
    for planes in split(pixels, first.layout):
        made.passes.append(_encode_pass(nets, planes, effort, ledger))
    return Block(Mode.IMAGE, len(pictures), pixels.size, _digest(pictures), image=made)


def decode_pictures(block: Block, kernel: str) -> list[Picture]:
    """The pictures of an image block; CorruptFile unless everything matches."""
    made = _image(block)
    passes: list[Pixels] = []
    nets = None
    for part, channels in zip(made.passes, container.pass_channels(made.layout), strict=True):
        shape = (block.items, made.height, made.width, channels)
        if part.constant is not None:
            passes.append(np.broadcast_to(np.frombuffer(part.constant, np.uint8), shape)[..., _order(channels)])
            continue
        nets = nets or networks(zoo.find_hash(made.model), kernel)
        passes.append(_decode_pass(nets, part, shape, made.schedule))
    pixels = merge(passes, made.layout)
    metadata = unpack_metadata(made.metadata, block.items)
    pictures = [Picture(made.source, made.layout, p, m) for p, m in zip(pixels, metadata, strict=True)]
    if _digest(pictures) != block.digest:
        raise CorruptFile("the decoded pixels do not match their checksum")
    return pictures


def decode_thumbnail(block: Block, kernel: str) -> list[Pixels]:
    """Small versions uint8 [h, w, channels] of a block's images, from the first group alone."""
    made = _image(block)
    nets = networks(zoo.find_hash(made.model), kernel)
    passes = []
    for part, channels in zip(made.passes, container.pass_channels(made.layout), strict=True):
        shape = (block.items, made.height, made.width, channels)
        if part.constant is not None:
            small = (shape[0], -(-shape[1] // canvas.STRIDE), -(-shape[2] // canvas.STRIDE), channels)
            passes.append(np.broadcast_to(np.frombuffer(part.constant, np.uint8), small)[..., _order(channels)])
            continue
        model = _model(nets, part, shape, made.schedule)
        protocol.decode(Coder(bytes(part.stream)), model, _silent(part.silent, model), last=1)
        passes.append(model.thumbnails())
    return list(merge(passes, made.layout))


def _image(block: Block) -> Image:
    """An image block's own part of the header."""
    assert block.image is not None
    if block.size > LARGEST:
        raise LimitExceeded("there is not enough memory for what the file claims")
    return block.image


def split(pixels: Pixels, layout: Layout) -> list[Pixels]:
    """Pixels [N, H, W, C] -> passes: alpha, then grey or G, R, B."""
    passes = []
    if layout in (Layout.LA, Layout.RGBA):
        passes.append(pixels[..., -1:])
    colour = pixels[..., : 3 if layout in (Layout.RGB, Layout.RGBA) else 1]
    passes.append(colour[..., _order(colour.shape[3])])
    return passes


def merge(passes: list[Pixels], layout: Layout) -> Pixels:
    """The inverse of `split`."""
    colour = passes[-1][..., _order(passes[-1].shape[3])]
    parts = [colour, passes[0]] if layout in (Layout.LA, Layout.RGBA) else [colour]
    return np.concatenate(parts, axis=3)


def _order(channels: int) -> list[int]:
    return _ORDER if channels == 3 else [0]


def _model(nets: Networks, part: Pass, shape: tuple[int, int, int, int], schedule: Schedule) -> Wavefront | Lattice:
    """The predictor that decodes a pass; CorruptFile if the pass has fields that it cannot have."""
    if schedule is Schedule.LATTICE:
        if part.pace or part.base or part.changes:
            raise CorruptFile("a lattice pass has fields that it cannot have")
        return Lattice(nets, shape)
    if part.pace != learning_heads.FIXED and shape[0] * min(shape[1:3]) > RUN_LIMIT:
        raise LimitExceeded("the block is too large for heads that learn")
    coefficients = coefficients_image.unpack(bytes(part.base), nets.coefficients)
    return Wavefront(nets.changed(bytes(part.changes)), shape, coefficients, pace=part.pace)


def _encode_pass(nets: Networks, planes: Pixels, effort: str, ledger: Ledger | None) -> Pass:
    colour = planes[0, 0, 0]
    if (planes == colour).all():
        return Pass(constant=colour[_order(len(colour))].tobytes())
    if effort == "lattice":
        return _pushed(Lattice(nets, planes.shape, planes), Pass(), ledger)
    coefficients = coefficients_image.choose(planes, nets.coefficients)
    packed = coefficients_image.pack(coefficients, nets.coefficients)
    learns = len(planes) == 1 and planes[..., 0].size >= LEARN_FROM
    plans = [Pass(base=packed, pace=0 if learns else learning_heads.FIXED)]
    if effort == "max" and learns:
        from bfncodec.train.image import adapt

        changed = bias_changes.pack(adapt.fit(nets.tensors, planes, coefficients), nets.tensors)
        plans += [Pass(base=packed, pace=1), Pass(base=packed, pace=1, changes=changed)]

    tried = []
    for plan in plans:
        told = ledger.blank() if ledger is not None else None
        model = Wavefront(nets.changed(bytes(plan.changes)), planes.shape, coefficients, planes, plan.pace)
        tried.append((_pushed(model, plan, told), told))
    part, told = min(tried, key=lambda one: len(one[0].stream) + len(one[0].changes))
    if ledger is not None and told is not None:
        ledger.extend(told)
    return part


def _pushed(model: Wavefront | Lattice, plan: Pass, ledger: Ledger | None) -> Pass:
    """The plan with all that its model's groups push."""
    coder = Coder()
    silent = sum(1 << group for group in protocol.encode(coder, model, ledger))
    return replace(plan, silent=silent, stream=coder.data())


def _decode_pass(nets: Networks, part: Pass, shape: tuple[int, int, int, int], schedule: Schedule) -> Pixels:
    model = _model(nets, part, shape, schedule)
    coder = Coder(bytes(part.stream))
    protocol.decode(coder, model, _silent(part.silent, model))
    if not coder.empty:
        raise CorruptFile("the payload is damaged: something is left after the last pixel")
    return model.images()


def _silent(mask: int, model: Wavefront | Lattice) -> set[int]:
    """Groups without their noisy steps; CorruptFile if one of them has none anyway."""
    silent = {group for group in range(mask.bit_length()) if mask >> group & 1}
    if not silent <= {number for number, group in enumerate(model.groups) if group.steps}:
        raise CorruptFile("a group without noisy steps is marked as silent")
    return silent


def _digest(pictures: Iterable[Picture]) -> bytes:
    return container.digest(b"".join(part for p in pictures for part in (p.pixels.tobytes(), p.metadata)))


def _pack_metadata(pictures: list[Picture]) -> bytes:
    if not any(picture.metadata for picture in pictures):
        return b""
    pieces: list[Any] = [container.varint(len(picture.metadata)) + picture.metadata for picture in pictures]
    return plain_blocks.pack(b"".join(pieces))


def unpack_metadata(packed: Data, items: int, limit: int = METADATA_LIMIT) -> list[bytes]:
    """The metadata of a block's pictures; CorruptFile if they are damaged, or more than `limit` bytes."""
    if not packed:
        return [b""] * items
    reader = Reader(b"".join(plain_blocks.unpack(packed, limit)))
    metadata = [reader.take(reader.varint()) for _ in range(items)]
    if reader.position != len(reader.data):
        raise CorruptFile("the images' metadata is damaged")
    return metadata
