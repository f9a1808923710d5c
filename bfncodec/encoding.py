"""Files and pictures -> the blocks of a .bfn file: what is it, and which blocks?"""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, Any

from bfncodec import media
from bfncodec.blocks import pictures as picture_blocks
from bfncodec.blocks import single, smallest
from bfncodec.container import Block, File
from bfncodec.errors import UnsupportedFeature
from bfncodec.picture import Picture
from bfncodec.presets import Choices
from bfncodec.spans import Data, Span, whole

if TYPE_CHECKING:
    from bfncodec.coding.ledger import Ledger

SHARED_METADATA = 1 << 16  # pictures with more metadata than this get a block of their own


def encode_file(item: Span, spool: IO[bytes], choices: Choices, ledger: Ledger | None = None) -> File:
    """One file, which need not be in memory: what is larger than a part is read piece by piece.

    item: the file's bytes. spool: an open file that can seek and be read, for what is coded; the result points into
    both. Images are read whole, and so is what a model of the paper's kind is asked to code. ledger: gets the costs of
    what is written (not of parts). Raises UnsupportedFeature, MissingModel, LimitExceeded.
    """
    if single.model(choices) is not None:
        return File([single.encode(bytes(item), choices, ledger)])
    picture = parsed(item, choices)
    if picture is None and len(item) > smallest.PART:
        return File(smallest.in_parts(item, spool, smallest.PART, choices))
    return File(_blocks([(bytes(item), picture)], choices, ledger))


def encode_bytes(data: bytes, choices: Choices, ledger: Ledger | None = None) -> File:
    """`encode_file` for a file in memory."""
    return encode_file(whole(io.BytesIO(data)), io.BytesIO(), choices, ledger)


def encode_archive(items: list[tuple[str, bytes]], choices: Choices) -> File:
    """Named files as one archive; images of one size and kind share blocks."""
    if single.model(choices) is not None:
        return File([single.encode(data, choices) for _, data in items], [name for name, _ in items])
    groups: dict[Any, list[tuple[str, bytes, Picture | None]]] = {}
    for number, (name, data) in enumerate(items):
        picture = parsed(data, choices)
        alone = picture is None or len(picture.metadata) > SHARED_METADATA
        key = number if alone or picture is None else (picture.kind, picture.pixels.shape)
        groups.setdefault(key, []).append((name, data, picture))
    blocks, names = [], []
    for group in groups.values():
        for part in picture_blocks.cuts(group, None if group[0][2] is None else group[0][2].pixels.shape):
            blocks += _blocks([(data, picture) for _, data, picture in part], choices)
            names += [name for name, _, _ in part]
    return File(blocks, names)


def encode_pictures(pictures: list[Picture], choices: Choices, names: list[str] | None = None) -> File:
    """Pictures of one shape and kind that are no files: as images whatever it costs."""
    if single.model(choices) is not None:
        raise UnsupportedFeature("a model of the paper's kind codes files (arrays as .npy): give their bytes")
    for picture in pictures:
        media.look_up(picture)
    parts = picture_blocks.cuts(pictures, pictures[0].pixels.shape)
    return File([picture_blocks.encode(part, choices) for part in parts], names)


def parsed(data: Data, choices: Choices) -> Picture | None:
    """The picture in a file's bytes, None if it has to come back byte for byte; a large file is read if it may be one.

    Raises LimitExceeded.
    """
    return media.parse(data, choices.max_pixels) if choices.media in ("auto", "image") else None


def _blocks(items: list[tuple[bytes, Picture | None]], choices: Choices, ledger: Ledger | None = None) -> list[Block]:
    """Blocks of items that share them: one item, or pictures of one kind."""
    pictures = [picture for _, picture in items if picture is not None]
    if pictures:
        return smallest.of_pictures(pictures, [data for data, _ in items], choices, ledger)
    return [smallest.of_bytes(data, choices, ledger) for data, _ in items]
