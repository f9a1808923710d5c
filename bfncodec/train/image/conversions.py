"""Photographs as the integers that pictures were converted from: what passes of other colour spaces hold."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bfncodec.models.image import spaces
from bfncodec.models.image.passes import GRB, Space
from bfncodec.train.image.pool import Pixels

SHARE = 0.35  # of photographs that are converted
_GREY, _HALF = 0.35, 0.7  # of these, up to where they are luma alone, and at half size; the others are decoded JPEGs


def converted(image: Pixels, random: np.random.Generator) -> Pixels:
    """Now and then luma and two differences [h, w, 3] in place of G, R, B; images of less than 256 a side stay."""
    choice = random.random() / SHARE
    if choice >= 1 or min(image.shape[:2]) < 256:
        return image
    space = Space.PHOTO_CD if random.random() < 0.6 else Space.JFIF
    if choice < _GREY:
        planes = np.repeat(_integers(image, space)[..., :1], 3, axis=2)
    elif choice < _HALF:
        planes = _integers(image, space)
        even = planes[: len(planes) // 2 * 2, : planes.shape[1] // 2 * 2]
        small = (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4
        small[..., 0] = even[::2, ::2, 0]
        planes = small
    else:
        return _jpeg(image, int(random.integers(70, 97)), int(random.choice([0, 2])))
    return np.rint(planes).clip(0, 255).astype(np.uint8)


def _integers(image: Pixels, space: Space) -> NDArray[np.float64]:
    """Luma, red difference, blue difference of G, R, B, before rounding."""
    of = spaces.tables(space)
    zero = np.zeros_like(of.luma)
    rows = (of.luma, of.green_r, of.green_b), (of.luma, of.red, zero), (of.luma, zero, of.blue)
    # Tables are straight lines but for rounding.
    slopes = np.array([[(part[200] - part[100]) / 100 for part in row] for row in rows]) / (1 << of.shift)
    offsets = np.array([sum(part[100] for part in row) for row in rows]) / (1 << of.shift) - 100 * slopes.sum(axis=1)
    return (image - offsets) @ np.linalg.inv(slopes).T


def _jpeg(image: Pixels, quality: int, subsampling: int) -> Pixels:
    """What a decoder of JPEG converts to RGB."""
    coded = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image[..., GRB])).save(coded, "JPEG", quality=quality, subsampling=subsampling)
    with Image.open(coded) as decoded:
        decoded.draft("YCbCr", decoded.size)
        return np.ascontiguousarray(np.asarray(decoded)[..., [0, 2, 1]])
