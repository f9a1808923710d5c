"""The blocks of a file -> what was encoded."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from bfncodec import container
from bfncodec.container import Block, File, Mode, Source
from bfncodec.errors import CorruptFile, LimitExceeded, UnsupportedFeature
from bfncodec.spans import Data, cut

if TYPE_CHECKING:
    from bfncodec.media.png import Picture
from bfncodec.exact.kernels import kernel_name


def file_bytes(content: Iterator[bytes] | Picture) -> bytes:
    """The file that decoded content stands for."""
    from bfncodec.media.png import Picture, build

    return build(content) if isinstance(content, Picture) else _joined(content)


def _joined(pieces: Iterator[bytes]) -> bytes:
    made = io.BytesIO()
    made.writelines(pieces)
    return made.getvalue()


def contents(file: File, device: str) -> Iterator[Iterator[bytes] | Picture]:
    """The items of a file: pictures, checked; others as by `pieces`."""
    if file.names is None and file.blocks[0].image is None:
        yield itertools.chain.from_iterable(pieces(block, device) for block in file.blocks)
    else:
        for block in file.blocks:
            yield from decode_block(block, device)


def decode_block(block: Block, device: str) -> Iterator[Iterator[bytes] | Picture]:
    """The items of a block, as in `contents`."""
    if block.image is None:
        yield pieces(block, device)
        return
    from bfncodec.blocks import image as image_blocks

    with _memory():
        pictures = image_blocks.decode_pictures(block, kernel_name(device))
    yield from pictures


def pieces(block: Block, device: str) -> Iterator[bytes]:
    """The content of a block that is no image; CorruptFile after the last piece, or before, unless all is right."""
    if block.mode in (Mode.STORED, Mode.LZMA):
        from bfncodec.blocks import plain as plain_blocks

        yield from plain_blocks.decode(block)
        return
    with _memory():
        if block.single is not None:
            from bfncodec.blocks import single as single_blocks

            data = single_blocks.decode(block, kernel_name(device))
        else:
            from bfncodec.blocks import text as text_blocks

            data = text_blocks.decode_text(block, kernel_name(device))
    yield data


def verify(encoded: Data, originals: Mapping[str, Data], device: str) -> None:
    """Decode and compare with the files that were encoded, by name; CorruptFile if anything differs.

    A file that is no archive is compared with the only original.
    """
    file = container.read(encoded)
    names = file.names or list(originals)
    if sorted(names) != sorted(originals):
        raise CorruptFile("the encoded archive lost an item; nothing was written. Please report this")
    for name, content in zip(names, contents(file, device), strict=True):
        if not _matches(content, originals[name]):
            raise CorruptFile("the encoded file does not decode to the input; nothing was written. Please report this")


def _matches(content: Iterator[bytes] | Picture, original: Data) -> bool:
    from bfncodec.media.png import Picture, parse

    if isinstance(content, Picture):
        wanted = parse(bytes(original), 1 << 62)
        return wanted is not None and _same(content, wanted)
    position = 0
    for piece in content:
        if len(piece) > len(original) - position or bytes(cut(original, position, len(piece))) != piece:
            return False
        position += len(piece)
    return position == len(original)


def _same(one: Picture, other: Picture) -> bool:
    return (
        one.source is other.source
        and one.layout is other.layout
        and one.metadata == other.metadata
        and np.array_equal(one.pixels, other.pixels)
    )


def preview(file: File, device: str) -> Picture:
    """The thumbnail of a file's only image, from its first group."""
    from bfncodec.blocks import image as image_blocks
    from bfncodec.media.png import Picture

    block = file.blocks[0]
    if block.image is None or len(file.blocks) != 1 or block.items != 1:
        raise UnsupportedFeature("there is no preview: this is not a single image")
    with _memory():
        small = image_blocks.decode_thumbnail(block, kernel_name(device))
    return Picture(Source.ARRAY, block.image.layout, small[0])


def select(file: File, wanted: tuple[str, ...]) -> dict[int, str]:
    """Positions and names of the wanted items of an archive (names or numbers from 0); all if none is named."""
    names = file.names or []
    if not wanted:
        return dict(enumerate(names))
    chosen = {}
    for item in wanted:
        if item in names:
            chosen[names.index(item)] = item
        elif item.isdecimal() and int(item) < len(names):
            chosen[int(item)] = names[int(item)]
        else:
            raise UnsupportedFeature(f"the archive holds no item {item!r}")
    return chosen


def decode_chosen(file: File, chosen: dict[int, str], device: str) -> Iterator[tuple[str, Iterator[bytes] | Picture]]:
    """Names and contents of chosen items; blocks without any are skipped."""
    start = 0
    for block in file.blocks:
        if any(start <= number < start + block.items for number in chosen):
            for number, content in enumerate(decode_block(block, device), start):
                if number in chosen:
                    yield chosen[number], content
        start += block.items


def converted(picture: Picture, suffix: str) -> tuple[bytes, list[str]] | None:
    """The file in the format that an output's suffix names, and what it leaves out; None for the picture's own file."""
    from bfncodec.media import convert

    return convert.convert(picture, suffix) if convert.changes(picture.source, suffix) else None


@contextmanager
def _memory() -> Iterator[None]:
    """A claim that no limit refuses can still be more than there is room for."""
    try:
        yield
    except MemoryError as error:
        raise LimitExceeded("there is not enough memory for what the file claims") from error
