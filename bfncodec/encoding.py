"""A file or picture -> the blocks that it is coded in."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from bfncodec.container import Block, File, Layout, Mode, Source
from bfncodec.errors import UnsupportedFeature
from bfncodec.spans import Data, Span, cut

if TYPE_CHECKING:
    from PIL.Image import Image

    from bfncodec.media.png import Picture
from bfncodec.blocks.smallest import _archive_blocks, _model, _smallest
from bfncodec.exact.kernels import kernel_name
from bfncodec.presets import MAX_PIXELS

SHARED_METADATA = 1 << 16  # pictures with more metadata than this get a block of their own


def encode_file(
    item: Span,
    spool: IO[bytes],
    *,
    device: str = "auto",
    model: str | None = None,
    effort: str = "default",
    media: str = "auto",
    max_pixels: int = MAX_PIXELS,
) -> File:
    """`encode` for a file that need not be in memory: what is larger than a part is read piece by piece.

    item: the file's bytes. spool: an open file that can seek and be read, for what is coded; the result points
    into both. Images are read whole, and so is what a model of the paper's kind is asked to code.
    """
    from bfncodec.blocks import smallest

    paper = _paper(model)
    if paper is not None:
        return File([_paper_block(bytes(item), paper, device)])
    picture = parsed(item, media, max_pixels)
    if picture is not None or len(item) <= smallest.PART:
        return File([_smallest(bytes(item), picture, device, model, effort, media)])
    return smallest.encode(
        item,
        spool,
        smallest.PART,
        kernel=kernel_name(device),
        model=_model(model, Mode.TEXT),
        effort=effort,
        text=media == "text",
    )


def archive_file(
    items: list[tuple[str, bytes]],
    *,
    device: str = "auto",
    model: str | None = None,
    effort: str = "default",
    media: str = "auto",
    max_pixels: int = MAX_PIXELS,
) -> File:
    """Encode named files as one archive; images of one size, layout and source share blocks."""
    from bfncodec.blocks import image as image_blocks

    paper = _paper(model)
    if paper is not None:
        return File([_paper_block(data, paper, device) for _, data in items], [name for name, _ in items])
    entries = [(name, data, parsed(data, media, max_pixels)) for name, data in items]
    groups: dict[Any, list[tuple[str, bytes, Picture | None]]] = {}
    for number, entry in enumerate(entries):
        picture = entry[2]
        alone = picture is None or len(picture.metadata) > SHARED_METADATA
        key = number if alone or picture is None else (picture.source, picture.layout, picture.pixels.shape)
        groups.setdefault(key, []).append(entry)
    blocks, names = [], []
    for group in groups.values():
        picture = group[0][2]
        size = 1 if picture is None else image_blocks.items_per_block(picture.pixels.shape)
        for start in range(0, len(group), size):
            part = group[start : start + size]
            blocks += _archive_blocks(part, device, model, effort, media)
            names += [name for name, _, _ in part]
    return File(blocks, names)


def parsed(data: Data, media: str, max_pixels: int) -> Picture | None:
    """The picture in a file's bytes, None if it has to be coded as bytes; a large file is read only if it may be one.

    Raises UnsupportedFeature where media is "image" and it is none, LimitExceeded.
    """
    from bfncodec.blocks import smallest
    from bfncodec.media import png

    picture = None
    if media in ("auto", "image"):
        head = bytes(cut(data, 0, min(len(data), png.HEAD)))
        if len(data) <= smallest.PART or png.may_be(head, len(data), max_pixels):
            picture = png.parse(bytes(data), max_pixels)
    if picture is None and media == "image":
        raise UnsupportedFeature("not an image that is modelled; --media auto codes it as bytes")
    return picture


def _paper(name: str | None) -> Path | None:
    """The model that a user named, if it is one of the paper's kind."""
    if name is None:
        return None
    from bfncodec.blocks import single as single_blocks
    from bfncodec.models import zoo

    path = zoo.find(name)
    return path if single_blocks.serves(path) else None


def _paper_block(data: bytes, path: Path, device: str) -> Block:
    from bfncodec.blocks import single as single_blocks

    return single_blocks.encode(data, path, kernel_name(device), single_blocks.Settings())


def _from_array(array: np.ndarray[Any, Any]) -> Picture:
    from bfncodec.media.png import Picture

    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.dtype != np.uint8 or array.shape[2] not in (1, 2, 3, 4) or not array.size:
        raise UnsupportedFeature(
            f"cannot encode an array of {array.dtype} {array.shape}; pixels are uint8 [height, width, 1 to 4]"
        )
    return Picture(Source.ARRAY, Layout(array.shape[2] - 1), np.ascontiguousarray(array))


def _from_pillow(image: Image, max_pixels: int) -> Picture:
    from bfncodec.media import convert
    from bfncodec.media.png import parse

    if getattr(image, "mode", None) not in ("L", "LA", "RGB", "RGBA"):
        raise UnsupportedFeature("cannot encode this item; images must be of mode L, LA, RGB or RGBA")
    if image.mode in ("L", "RGB") and image.info.get("transparency") is not None:
        raise UnsupportedFeature(
            "cannot encode an image with a transparent colour; convert it to mode RGBA, or delete info['transparency']"
        )
    buffer = io.BytesIO()
    options: dict[str, Any] = {"icc_profile": None} | convert.png_options(image.info)
    image.save(buffer, "PNG", compress_level=1, **options)
    picture = parse(buffer.getvalue(), max_pixels)
    if picture is None:
        raise UnsupportedFeature("cannot encode this image: its PNG form is not modelled")
    picture.source = Source.PILLOW
    return picture
