"""Canvases: images with a margin, so that every causal neighbour of every pixel is an address."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.models.image.passes import STRIDE

RADIUS = 3
SLOPE = 4  # the diagonal of a pixel is x + SLOPE * y

MARGIN_ERROR = 64  # error assumed outside the image, 1/16 level


def canvas_shape(shape: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Canvas shape of N images of H x W pixels."""
    count, height, width = shape
    return count, height + RADIUS, width + 2 * RADIUS, 4


def margins(canvas: NDArray[np.int16], thumbnail: NDArray[Any]) -> None:
    """Fill the part of the margin that the thumbnail [N, h, w, 3 or 1] tells."""
    width = canvas.shape[2] - 2 * RADIUS
    row = np.repeat(thumbnail[:, 0], STRIDE, axis=1)[:, :width]
    canvas[:, :RADIUS, RADIUS:-RADIUS, :3] = row[:, None]
    canvas[:, : RADIUS + 1, :RADIUS, :3] = row[:, None, :1]
    canvas[:, :RADIUS, -RADIUS:, :3] = row[:, None, -1:]


def spread(canvas: NDArray[np.int16]) -> None:
    """Fill the margins from the thumbnail's pixels, when no others are known."""
    margins(canvas, canvas[:, RADIUS::STRIDE, RADIUS:-RADIUS:STRIDE, :3])
    repeated(canvas)


def repeated(canvas: NDArray[np.int16]) -> None:
    """Fill the margins that repeat pixels."""
    canvas[:, RADIUS:, -RADIUS:, :3] = canvas[:, RADIUS:, -RADIUS - 1 : -RADIUS, :3]
    canvas[:, RADIUS + 1 :, :RADIUS, :3] = canvas[:, RADIUS:-1, RADIUS : RADIUS + 1, :3]


def filled(pixels: NDArray[Any]) -> NDArray[np.int16]:
    """The canvas of known images [N, H, W, 3] (channels G, R, B), or [N, H, W, 1], whose three channels are equal."""
    canvas = np.zeros(canvas_shape(pixels.shape[:3]), np.int16)
    margins(canvas, pixels[:, ::STRIDE, ::STRIDE])
    canvas[:, RADIUS:, RADIUS:-RADIUS, :3] = pixels
    repeated(canvas)
    return canvas


def blank_errors(shape: tuple[int, int, int]) -> NDArray[np.int16]:
    """A canvas of base errors before any pixel is known."""
    errors = np.zeros(canvas_shape(shape), np.int16)
    errors[..., :3] = MARGIN_ERROR
    return errors


def addresses(offsets: list[tuple[int, int]], row: int) -> NDArray[np.int64]:
    """Flat distances of neighbours on a canvas whose rows hold `row` pixels."""
    return np.array([dy * row + dx for dy, dx in offsets], np.int64)
