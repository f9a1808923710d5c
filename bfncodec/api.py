"""The Python API behind `bfncodec.encode`, `decode` and `info`."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from bfncodec import container, decoding, encoding, media
from bfncodec.errors import UnsupportedFeature
from bfncodec.media import convert
from bfncodec.picture import DTYPES, Origin, Picture, of_values
from bfncodec.presets import MAX_OUTPUT, MAX_PIXELS, Choices
from bfncodec.spans import Data

if TYPE_CHECKING:
    from PIL.Image import Image

MODES = ("1", "L", "I;16", "P", "LA", "RGB", "RGBA")  # of Pillow's images


def encode(
    item: bytes | np.ndarray[Any, Any] | Image,
    *,
    device: str = "auto",
    model: str | None = None,
    effort: str = "default",
    media: str = "auto",
    max_pixels: int = MAX_PIXELS,
) -> bytes:
    """Encode one item as a .bfn file.

    item: a file's bytes; or pixels uint8, uint16 or int16 [height, width] or [height, width, 1 to 4] (grey,
    grey and alpha, RGB, RGBA); or a Pillow image of mode 1, L, I;16, P, LA, RGB or RGBA.
    effort, media: see `presets`. model: a name or a .safetensors path, used for what it models.
    Raises ValueError for unknown choices, UnsupportedFeature for other items, MissingModel, LimitExceeded.
    """
    choices = Choices(device, model, effort, media, max_pixels)
    if isinstance(item, bytes | bytearray | memoryview):
        return container.write(encoding.encode_bytes(bytes(item), choices))
    picture = from_array(item) if isinstance(item, np.ndarray) else from_pillow(item, max_pixels)
    return container.write(encoding.encode_pictures([picture], choices))


def decode(data: bytes, *, device: str = "auto") -> Any:
    """What `encode` was given: bytes, an array [height, width, channels] or a Pillow image.

    A PNG file comes back as a PNG of the same pixels and chunks, all else byte for byte. Archives: `decode_items`.
    """
    file = decoding.read(bytes(data), max_output=MAX_OUTPUT, max_pixels=MAX_PIXELS)
    if file.names is not None:
        raise UnsupportedFeature("this is an archive of several items: use bfncodec.decode_items")
    (content,) = decoding.contents(file, device)
    if isinstance(content, Picture) and content.origin is Origin.ARRAY:
        return content.values()
    if isinstance(content, Picture) and content.origin is Origin.PILLOW:
        image = convert.shown(content)
        image.info = convert.info(content.origin, content.metadata, image.mode)
        return image
    return decoding.file_bytes(content)


def decode_items(data: bytes, *, device: str = "auto") -> dict[str, bytes]:
    """All items of an archive as file bytes, by name."""
    file = decoding.read(bytes(data), max_output=MAX_OUTPUT, max_pixels=MAX_PIXELS)
    if file.names is None:
        raise UnsupportedFeature("this is not an archive: use bfncodec.decode")
    items = zip(file.names, decoding.contents(file, device), strict=True)
    return {name: decoding.file_bytes(content) for name, content in items}


def info(data: Data) -> dict[str, Any]:
    """What the header tells, without decoding and without a model; keys are stable."""
    file = decoding.read(data)
    return {
        "format_version": container.VERSION,
        "file_bytes": len(data),
        "content_bytes": sum(block.size for block in file.blocks),
        "items": file.items,
        "names": file.names,
        "blocks": [
            {"mode": block.form.name, "items": block.items, "content_bytes": block.size} | block.form.describe(block)
            for block in file.blocks
        ],
    }


def from_array(array: np.ndarray[Any, Any]) -> Picture:
    """Pixels [height, width] or [height, width, 1 to 4] as a picture; UnsupportedFeature for others."""
    if array.ndim == 2:
        array = array[:, :, None]
    if (
        array.ndim != 3
        or array.dtype.newbyteorder("=") not in DTYPES
        or array.shape[2] not in (1, 2, 3, 4)
        or not array.size
    ):
        raise UnsupportedFeature(
            f"cannot encode an array of {array.dtype} {array.shape}; pixels are uint8, uint16 or int16 "
            "[height, width, 1 to 4]"
        )
    return of_values(Origin.ARRAY, array)


def from_pillow(image: Image, max_pixels: int) -> Picture:
    """A Pillow image of one of MODES as a picture; UnsupportedFeature for others."""
    if getattr(image, "mode", None) not in MODES:
        raise UnsupportedFeature(f"cannot encode this item; images must be of mode {', '.join(MODES)}")
    buffer = io.BytesIO()
    options: dict[str, Any] = {"icc_profile": None} | convert.png_options(image.info)
    if image.mode == "P" and image.palette:
        order, colours = image.palette.getdata()
        if max(image.tobytes(), default=0) >= len(colours) // len(order):  # Pillow would write fewer bits
            image = image.copy()
            image.putpalette(colours.ljust(256 * len(order), b"\0"), order)
    try:
        image.save(buffer, "PNG", compress_level=1, **options)
    except (TypeError, ValueError, IndexError, struct.error) as error:
        raise UnsupportedFeature(f"cannot encode an image with such a transparent colour: {error}") from error
    picture = media.parse(buffer.getvalue(), max_pixels)
    if picture is None:
        raise UnsupportedFeature("cannot encode this image: its PNG form is not modelled")
    picture.origin = Origin.PILLOW
    told = image.info.get("transparency")
    if told is not None and image.mode in ("1", "L", "I;16", "RGB"):
        kept = convert.info(picture.origin, picture.metadata, image.mode).get("transparency")
        if kept != (tuple(told) if isinstance(told, list) else told):  # Pillow brings it into its range
            raise UnsupportedFeature(f"cannot encode an image with such a transparent colour: {told!r}")
    return picture
