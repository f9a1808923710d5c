"""Chunks of arrays <-> .bfn files: what the codecs for numcodecs and zarr share."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec import api, container, decoding, presets
from bfncodec.blocks import plain
from bfncodec.container import File, Layout, Source
from bfncodec.errors import UnsupportedFeature
from bfncodec.exact import kernels


def check_choices(media: str, effort: str) -> None:
    """ValueError unless both are known."""
    for name, choice, known in (("media", media, presets.MEDIA), ("effort", effort, presets.EFFORTS)):
        if choice not in known:
            raise ValueError(f"no {name} is called {choice!r}; there are {', '.join(known)}")


def encode(array: NDArray[Any], *, media: str = "auto", effort: str = "default", model: str | None = None) -> bytes:
    """The .bfn file of an array's items in C order.

    media: "auto" codes images as images or as LZMA, whichever is smaller, and all else as bytes; the others are as in
    `api.MEDIA`. Images are uint8 arrays [height, width], [height, width, 1 to 4] or [N, height, width, 1 to 4]. N
    images make an archive, `0.png` and so on. Raises UnsupportedFeature if media is "image" and the array is none,
    MissingModel.
    """
    images = _images(array) if media in ("auto", "image") else None
    if images is None:
        if media == "image":
            raise UnsupportedFeature(
                f"cannot encode an array of {array.dtype} {array.shape} as images; they are uint8 [height, width], "
                "[height, width, 1 to 4] or [N, height, width, 1 to 4]"
            )
        kind = "text" if media == "text" else "bytes"
        return api.encode(array.tobytes(), media=kind, effort=effort, model=model)
    file = _file(images, effort, model)
    if media == "auto":
        file = min(file, File([plain.encode(array.tobytes())]), key=container.size)
    return container.write(file)


def decode(data: bytes, limit: int | None = None) -> NDArray[np.uint8]:
    """The items' bytes, uint8 [size]; LimitExceeded if they are more than `limit`, or see `bfncodec.decode`."""
    limit = presets.MAX_OUTPUT if limit is None else limit
    file = container.read(data, max_output=limit)
    made = io.BytesIO()
    for content in decoding.contents(file, "auto"):
        made.writelines(content if isinstance(content, Iterator) else [content.pixels.tobytes()])
    return np.frombuffer(made.getbuffer(), np.uint8)


def _images(array: NDArray[Any]) -> NDArray[np.uint8] | None:
    """uint8 [N, height, width, channels], or None if the array is no images."""
    if array.dtype != np.uint8 or not array.size:
        return None
    if array.ndim == 2:
        return array[None, :, :, None]
    if array.ndim in (3, 4) and array.shape[-1] <= 4:
        return array[None] if array.ndim == 3 else array
    return None


def _file(images: NDArray[np.uint8], effort: str, model: str | None) -> File:
    from bfncodec.blocks import image
    from bfncodec.media.png import Picture
    from bfncodec.models import zoo

    path = zoo.find(model) if model else None
    path = None if path is None or zoo.is_text(path) else path
    layout = Layout(images.shape[3] - 1)
    pictures = [Picture(Source.ARRAY, layout, pixels) for pixels in np.ascontiguousarray(images)]
    size = image.items_per_block(images.shape[1:])
    kernel = kernels.kernel_name("auto")
    blocks = [
        image.encode_pictures(pictures[start : start + size], kernel, path, effort)
        for start in range(0, len(pictures), size)
    ]
    names = [f"{number}.png" for number in range(len(pictures))]
    return File(blocks, names if len(names) > 1 else None)
