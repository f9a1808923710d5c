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
from bfncodec.picture import Origin, Picture, of_values
from bfncodec.presets import MAX_OUTPUT, Choices

_DTYPES = (np.uint8, np.dtype("<u2"), np.dtype("<i2"))  # of images: what `decode` gives the same bytes of


def encode(array: NDArray[Any], choices: Choices) -> bytes:
    """The .bfn file of an array's items in C order.

    media: "auto" codes images as images or as LZMA, whichever is smaller, and all else as bytes; the others are as in
    `presets.MEDIA`. Images are uint8, or little-endian uint16 or int16, of shape [height, width], [height, width, 1 to
    4] or [N, height, width, 1 to 4]. N images make an archive, `0.png` and so on. Raises UnsupportedFeature if media is
    "image" and the array is none, MissingModel.
    """
    images = _images(array) if choices.media in ("auto", "image") else None
    if images is None:
        if choices.media == "image":
            raise UnsupportedFeature(
                f"cannot encode an array of {array.dtype} {array.shape} as images; they are uint8, uint16 or int16 "
                "[height, width], [height, width, 1 to 4] or [N, height, width, 1 to 4]"
            )
        kind = "text" if choices.media == "text" else "bytes"
        return container.write(encoding.encode_bytes(array.tobytes(), replace(choices, media=kind)))
    names = [f"{number}.png" for number in range(len(images))]
    file = encode_images(images, choices, names if len(names) > 1 else None)
    if choices.media == "auto":
        file = min(file, File([plain.encode(array.tobytes())]), key=container.size)  # names count
    return container.write(file)


def encode_images(images: NDArray[Any], choices: Choices, names: list[str] | None) -> File:
    """Images [N, height, width, 1 to 4] as an archive, or as one image without a name."""
    return encoding.encode_pictures([of_values(Origin.ARRAY, one) for one in images], choices, names)


def decode(data: bytes, limit: int | None = None) -> NDArray[np.uint8]:
    """The items' bytes, uint8 [size]; LimitExceeded if they are more than `limit`, or see `bfncodec.decode`."""
    file = decoding.read(data, max_output=MAX_OUTPUT if limit is None else limit)
    whole = io.BytesIO()
    for content in decoding.contents(file, "auto"):
        whole.writelines([content.values().tobytes()] if isinstance(content, Picture) else content)
    return np.frombuffer(whole.getbuffer(), np.uint8)


def _images(array: NDArray[Any]) -> NDArray[Any] | None:
    """[N, height, width, channels], or None if the array is no images."""
    if array.dtype not in _DTYPES or not array.size:
        return None
    if array.ndim == 2:
        return array[None, :, :, None]
    if array.ndim in (3, 4) and array.shape[-1] <= 4:
        return array[None] if array.ndim == 3 else array
    return None
