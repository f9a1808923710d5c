"""Arrays <-> .bfn files: what the codecs for numcodecs and zarr share."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec import container, decoding, encoding
from bfncodec.blocks import plain
from bfncodec.container import File
from bfncodec.errors import UnsupportedFeature
from bfncodec.picture import Layout, Origin, Picture
from bfncodec.presets import MAX_OUTPUT, Choices


def encode(array: NDArray[Any], choices: Choices) -> bytes:
    """The .bfn file of an array's items in C order.

    media: "auto" codes images as images or as LZMA, whichever is smaller, and all else as bytes; the others are as in
    `presets.MEDIA`. Images are uint8 arrays [height, width], [height, width, 1 to 4] or [N, height, width, 1 to 4]. N
    images make an archive, `0.png` and so on. Raises UnsupportedFeature if media is "image" and the array is none,
    MissingModel.
    """
    images = _images(array) if choices.media in ("auto", "image") else None
    if images is None:
        if choices.media == "image":
            raise UnsupportedFeature(
                f"cannot encode an array of {array.dtype} {array.shape} as images; they are uint8 [height, width], "
                "[height, width, 1 to 4] or [N, height, width, 1 to 4]"
            )
        kind = "text" if choices.media == "text" else "bytes"
        return container.write(encoding.encode_bytes(array.tobytes(), replace(choices, media=kind)))
    names = [f"{number}.png" for number in range(len(images))]
    file = encode_images(images, choices, names if len(names) > 1 else None)
    if choices.media == "auto":
        file = min(file, File([plain.encode(array.tobytes())]), key=container.size)  # names count
    return container.write(file)


def encode_images(images: NDArray[np.uint8], choices: Choices, names: list[str] | None) -> File:
    """Images [N, height, width, 1 to 4] as an archive, or as one image without a name."""
    layout = Layout(images.shape[3] - 1)
    pictures = [Picture(Origin.ARRAY, layout, pixels) for pixels in np.ascontiguousarray(images)]
    return encoding.encode_pictures(pictures, choices, names)


def decode(data: bytes, limit: int | None = None) -> NDArray[np.uint8]:
    """The items' bytes, uint8 [size]; LimitExceeded if they are more than `limit`, or see `bfncodec.decode`."""
    file = decoding.read(data, max_output=MAX_OUTPUT if limit is None else limit)
    whole = io.BytesIO()
    for content in decoding.contents(file, "auto"):
        whole.writelines([content.pixels.tobytes()] if isinstance(content, Picture) else content)
    return np.frombuffer(whole.getbuffer(), np.uint8)


def _images(array: NDArray[Any]) -> NDArray[np.uint8] | None:
    """uint8 [N, height, width, channels], or None if the array is no images."""
    if array.dtype != np.uint8 or not array.size:
        return None
    if array.ndim == 2:
        return array[None, :, :, None]
    if array.ndim in (3, 4) and array.shape[-1] <= 4:
        return array[None] if array.ndim == 3 else array
    return None
