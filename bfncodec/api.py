"""The Python API behind `bfncodec.encode`, `decode` and `info`."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from bfncodec import container
from bfncodec.blocks.smallest import _picture_block
from bfncodec.container import File, Source, block_bytes
from bfncodec.decoding import _joined, contents, file_bytes
from bfncodec.encoding import _from_array, _from_pillow, _paper, archive_file, encode_file
from bfncodec.errors import UnsupportedFeature
from bfncodec.presets import MAX_OUTPUT, MAX_PIXELS
from bfncodec.spans import Data, whole

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
    effort: see EFFORTS.
    media: see MEDIA. model: a name or a .safetensors path, used for what it models.
    Raises UnsupportedFeature for other items, MissingModel, LimitExceeded.
    """
    if isinstance(item, bytes | bytearray | memoryview):
        given, spool = whole(io.BytesIO(item)), io.BytesIO()
        file = encode_file(given, spool, device=device, model=model, effort=effort, media=media, max_pixels=max_pixels)
        return container.write(file)
    if _paper(model) is not None:
        raise UnsupportedFeature("a model of the paper's kind codes files (arrays as .npy): give their bytes")
    picture = _from_array(item) if isinstance(item, np.ndarray) else _from_pillow(item, max_pixels)
    return container.write(File([_picture_block([picture], device, model, effort)]))


def decode(data: bytes, *, device: str = "auto") -> Any:
    """What `encode` was given: bytes, an array uint8 [height, width, channels] or a Pillow image.

    A PNG file comes back as a PNG of the same pixels and chunks; all other bytes as they
    were. Archives: use `decode_items`.
    """
    from bfncodec.media import convert, png

    file = container.read(bytes(data), max_output=MAX_OUTPUT, max_pixels=MAX_PIXELS)
    if file.names is not None:
        raise UnsupportedFeature("this is an archive of several items: use bfncodec.decode_items")
    (content,) = contents(file, device)
    if not isinstance(content, png.Picture):
        return _joined(content)
    if content.source is Source.ARRAY:
        return content.pixels
    return convert.pillow_image(content) if content.source is Source.PILLOW else png.build(content)


def decode_items(data: bytes, *, device: str = "auto") -> dict[str, bytes]:
    """All items of an archive as file bytes, by name."""
    file = container.read(bytes(data), max_output=MAX_OUTPUT, max_pixels=MAX_PIXELS)
    if file.names is None:
        raise UnsupportedFeature("this is not an archive: use bfncodec.decode")
    return {name: file_bytes(one) for name, one in zip(file.names, contents(file, device), strict=True)}


def encode_archive(items: list[tuple[str, bytes]], **choices: Any) -> bytes:
    """`archive_file` as bytes."""
    return container.write(archive_file(items, **choices))


def info(data: Data) -> dict[str, Any]:
    """What the header tells, without decoding and without a model; keys are stable."""
    file = container.read(data)
    blocks = []
    for block in file.blocks:
        entry: dict[str, Any] = {"mode": block.mode.name.lower(), "items": block.items, "content_bytes": block.size}
        if block.image is not None:
            image = block.image
            entry |= {
                "width": image.width,
                "height": image.height,
                "layout": image.layout.name,
                "source": image.source.name.lower(),
                "schedule": image.schedule.name.lower(),
                "model": image.model.hex(),
                "lossless": "bytes" if image.source in (Source.PNM, Source.BMP) else "pixels and metadata",
                "bits_per_subpixel": round(8 * block_bytes(block) / block.size, 4),
            }
        else:
            entry["lossless"] = "bytes"
        if block.text is not None:
            entry |= {
                "model": block.text.model.hex(),
                "schedule": block.text.schedule.name.lower(),
                "lanes": block.text.lanes,
                "bits_per_byte": round(8 * block_bytes(block) / block.size, 4),
            }
        if block.single is not None:
            single = block.single
            entry |= {
                "model": single.model.hex(),
                "schedule": "single",
                "sender": single.sender.name.lower(),
                "steps": single.steps,
                "floating_point": single.inexact,
                "bits_per_byte": round(8 * block_bytes(block) / block.size, 4),
            }
        blocks.append(entry)
    return {
        "format_version": container.VERSION,
        "file_bytes": len(data),
        "content_bytes": sum(block.size for block in file.blocks),
        "items": file.items,
        "names": file.names,
        "blocks": blocks,
    }
