"""The blocks of a .bfn file -> files and pictures: the mirror of `encoding`."""

import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from bfncodec import container, media
from bfncodec.blocks import MODES
from bfncodec.blocks.image import Image, unpack_metadata
from bfncodec.blocks.jpeg import Jpeg
from bfncodec.container import Block, Content, File, Limits
from bfncodec.errors import CorruptFile, LimitExceeded, UnsupportedFeature
from bfncodec.picture import Layout, Picture
from bfncodec.spans import Data, cut


def read(data: Data, *, max_output: int | None = None, max_pixels: int | None = None) -> File:
    """The blocks of a file, see `container.read`."""
    return container.read(data, MODES, Limits(max_output, max_pixels))


def contents(file: File, device: str) -> Iterator[Content]:
    """The items of a file: pictures, checked; others as bytes piece by piece, CorruptFile unless all is right."""
    if file.names is None and len(file.blocks) > 1:
        yield itertools.chain.from_iterable(parts(file, device))
    else:
        for block in file.blocks:
            yield from _decoded(block, device)


def _decoded(block: Block, device: str) -> Iterator[Content]:
    """The items of a block; LimitExceeded where a claim that no limit refuses is more than there is room for."""
    try:
        yield from block.form.decode(block, device)
    except MemoryError as error:
        raise LimitExceeded("there is not enough memory for what the file claims") from error


def parts(file: File, device: str) -> Iterator[Iterator[bytes]]:
    """The bytes of an item that is no picture, block by block: what a block gives is right once it is all there."""
    for block in file.blocks:
        for content in _decoded(block, device):
            assert not isinstance(content, Picture)
            yield content


def file_bytes(content: Content) -> bytes:
    """The file that decoded content stands for (for an array: a PNG)."""
    return media.build(content) if isinstance(content, Picture) else b"".join(content)


def single_image(file: File) -> Image | None:
    """The form of a file that holds one picture and nothing else."""
    form = file.blocks[0].form
    return form if isinstance(form, Image) and len(file.blocks) == file.items == 1 else None


def single_jpeg(file: File) -> Jpeg | None:
    """The form of a file that holds one JPEG file under a model."""
    form = file.blocks[0].form
    return form if isinstance(form, Jpeg) and len(file.blocks) == file.items == 1 else None


def preview(file: File, device: str) -> Picture:
    """The thumbnail of a file's only image, from its first group if it has any; with the palette, if there is one.

    That of a JPEG file needs all its coefficients, but neither their file nor its pixels.
    """
    photograph = single_jpeg(file)
    if photograph is not None:
        return photograph.thumbnail()
    image = single_image(file)
    if image is None:
        raise UnsupportedFeature("there is no preview: this is not a single image")
    try:
        picture = image.thumbnail(device)
        if image.layout is Layout.P:
            (metadata,) = unpack_metadata(image.metadata, 1)
            picture.metadata = media.palette(image.origin, metadata)
        return picture
    except MemoryError as error:
        raise LimitExceeded("there is not enough memory for what the file claims") from error


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


def decode_chosen(file: File, chosen: dict[int, str], device: str) -> Iterator[tuple[str, Content]]:
    """Names and contents of chosen items; blocks without any are skipped."""
    start = 0
    for block in file.blocks:
        if any(start <= number < start + block.items for number in chosen):
            for number, content in enumerate(_decoded(block, device), start):
                if number in chosen:
                    yield chosen[number], content
        start += block.items


def verify(encoded: Data, originals: Mapping[str, Data], device: str) -> None:
    """Decode and compare, an archive by name, all else with the only original; CorruptFile if anything differs."""
    file = read(encoded)
    names = file.names or list(originals)
    if sorted(names) != sorted(originals):
        raise CorruptFile("the encoded archive lost an item; nothing was written. Please report this")
    for name, content in zip(names, contents(file, device), strict=True):
        if not _matches(content, originals[name]):
            raise CorruptFile("the encoded file does not decode to the input; nothing was written. Please report this")


def _matches(content: Content, original: Data) -> bool:
    if isinstance(content, Picture):
        wanted = media.parse(original, None)
        return (
            wanted is not None
            and (content.kind, content.metadata) == (wanted.kind, wanted.metadata)
            and np.array_equal(content.pixels, wanted.pixels)
        )
    position = 0
    for piece in content:
        if len(piece) > len(original) - position or bytes(cut(original, position, len(piece))) != piece:
            return False
        position += len(piece)
    return position == len(original)
