"""Images below each other, with margins, so that every neighbour has an address."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.compiled import compiled

Ints = NDArray[Any]

ABOVE, LEFT, RIGHT = 2, 2, 3  # rows and columns of margins


class Canvas(NamedTuple):
    """Pixels with margins of zeros, [images * (ABOVE + height) * (LEFT + width + RIGHT)]."""

    height: int
    width: int
    row: int  # addresses from one row to the next
    image: int  # and from one image to the next
    most: int  # the largest sample
    samples: Ints  # int32 [pixels, channels]
    words: Ints  # int64 [pixels]: all channels of a pixel as one number
    ranks: Ints  # uint8 [pixels]: which candidate a pixel was, see `candidates`
    counts: Ints  # uint8 [pixels]: decisions that an encoder noted of it


def blank(shape: tuple[int, ...], depth: int) -> Canvas:
    """A canvas for planes [N, H, W, C] of samples of `depth` bits."""
    count, height, width, channels = shape
    row = LEFT + width + RIGHT
    size = count * (ABOVE + height) * row + RIGHT
    return Canvas(
        height, width, row, (ABOVE + height) * row, (1 << depth) - 1,
        np.zeros((size, channels), np.int32), np.zeros(size, np.int64), np.zeros(size, np.uint8),
        np.zeros(size, np.uint8),
    )  # fmt: skip


def inner(canvas: Canvas, pixels: Ints, count: int) -> Ints:
    """What its fields say of the pixels of its images, [N, H, W, ...], to be read or written."""
    whole = pixels[: count * (ABOVE + canvas.height) * canvas.row]
    rows = whole.reshape(count, ABOVE + canvas.height, canvas.row, *pixels.shape[1:])
    return rows[:, ABOVE:, LEFT : LEFT + canvas.width]


def fill(canvas: Canvas, planes: Ints) -> None:
    """Put planes uint8 or uint16 [N, H, W, C] on it."""
    inner(canvas, canvas.samples, len(planes))[:] = planes
    for channel in range(planes.shape[3]):
        canvas.words[:] |= canvas.samples[:, channel].astype(np.int64) << 16 * channel


@compiled
def unpack(canvas: Canvas, at: int) -> None:
    """A pixel's samples, of its word."""
    for channel in range(canvas.samples.shape[1]):
        canvas.samples[at, channel] = canvas.words[at] >> 16 * channel & 0xFFFF
