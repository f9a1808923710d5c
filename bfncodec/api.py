"""The Python API behind `bfncodec.encode`, `decode` and `info`."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from bfncodec import container, decoding, encoding, media
from bfncodec.errors import UnsupportedFeature
from bfncodec.media import convert
from bfncodec.picture import Layout, Origin, Picture
from bfncodec.presets import MAX_OUTPUT, MAX_PIXELS, Choices
from bfncodec.spans import Data

if TYPE_CHECKING:
    from PIL.Image import Image


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

    item: a file's bytes; or pixels uint8 [height, width] or [height, width, 1 to 4] (grey,
    grey and alpha, RGB, RGBA); or a Pillow image of mode L, LA, RGB or RGBA without a transparent
    colour.
    effort, media: see `presets`. model: a name or a .safetensors path, used for what it models.
    Raises ValueError for unknown choices, UnsupportedFeature for other items, MissingModel, LimitExceeded.
    """
    choices = Choices(device, model, effort, media, max_pixels)
    if isinstance(item, bytes | bytearray | memoryview):
        return container.write(encoding.encode_bytes(bytes(item), choices))
    picture = from_array(item) if isinstance(item, np.ndarray) else from_pillow(item, max_pixels)
    return container.write(encoding.encode_pictures([picture], choices))


def decode(data: bytes, *, device: str = "auto") -> Any:
    """What `encode` was given: bytes, an array uint8 [height, width, channels] or a Pillow image.

    A PNG file comes back as a PNG of the same pixels and chunks, all else byte for byte. Archives: `decode_items`.
    """
    file = decoding.read(bytes(data), max_output=MAX_OUTPUT, max_pixels=MAX_PIXELS)
    if file.names is not None:
        raise UnsupportedFeature("this is an archive of several items: use bfncodec.decode_items")
    (content,) = decoding.contents(file, device)
    if isinstance(content, Picture) and content.origin is Origin.ARRAY:
        return content.pixels
    if isinstance(content, Picture) and content.origin is Origin.PILLOW:
        image = content.shown()
        image.info = convert.info(content.origin, content.metadata)
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
    """Pixels uint8 [height, width] or [height, width, 1 to 4] as a picture; UnsupportedFeature for others."""
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.dtype != np.uint8 or array.shape[2] not in (1, 2, 3, 4) or not array.size:
        raise UnsupportedFeature(
            f"cannot encode an array of {array.dtype} {array.shape}; pixels are uint8 [height, width, 1 to 4]"
        )
    return Picture(Origin.ARRAY, Layout(array.shape[2] - 1), np.ascontiguousarray(array))


def from_pillow(image: Image, max_pixels: int) -> Picture:
    """A Pillow image of mode L, LA, RGB or RGBA as a picture; UnsupportedFeature for others."""
    if getattr(image, "mode", None) not in ("L", "LA", "RGB", "RGBA"):
        raise UnsupportedFeature("cannot encode this item; images must be of mode L, LA, RGB or RGBA")
    if image.mode in ("L", "RGB") and image.info.get("transparency") is not None:
        raise UnsupportedFeature(
            "cannot encode an image with a transparent colour; convert it to mode RGBA, or delete info['transparency']"
        )
    buffer = io.BytesIO()
    options: dict[str, Any] = {"icc_profile": None} | convert.png_options(image.info)
    image.save(buffer, "PNG", compress_level=1, **options)
    picture = media.parse(buffer.getvalue(), max_pixels)
    if picture is None:
        raise UnsupportedFeature("cannot encode this image: its PNG form is not modelled")
    picture.origin = Origin.PILLOW
    return picture
