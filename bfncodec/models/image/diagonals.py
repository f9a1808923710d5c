"""The geometry of the `wavefront` schedule: diagonals x + 4y of N images on one canvas, without the thumbnail."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bfncodec.models.image.canvas import RADIUS, SLOPE
from bfncodec.models.image.passes import STRIDE

Addresses = NDArray[np.int64]

_NONE = np.zeros(0, np.int64)


class Diagonals:
    """Diagonals of images of one size, as groups 1, 2, ...; group 0 is the thumbnail, whose pixels they leave out.

    Pixels are addresses on a canvas (see `canvas`), whose rows hold `width + 2 * RADIUS` pixels.
    """

    def __init__(self, count: int, height: int, width: int) -> None:
        self.count, self.height, self.width = count, height, width
        self.row = width + 2 * RADIUS
        sizes = [len(self._rows(n, 1, 0)) for n in range(width + SLOPE * (height - 1))]
        for number in range(0, len(sizes), STRIDE):
            sizes[number] -= len(self._rows(number, STRIDE, 0))
        self._numbers = [number for number, size in enumerate(sizes) if size]
        self.sizes = [count * sizes[number] for number in self._numbers]  # pixels of group 1, 2, ...

    def _rows(self, number: int, step: int, first: int) -> range:
        """The rows first, first + step, ... that a diagonal crosses."""
        top = max(0, -((self.width - 1 - number) // SLOPE))
        return range(top + (first - top) % step, min(self.height - 1, number // SLOPE) + 1, step)

    def _addresses(self, number: int, step: int, first: int) -> Addresses:
        """Canvas addresses of the pixels of diagonal `number` in rows first, first + step, ..., image after image."""
        rows = self._rows(number, step, first)
        y = np.arange(rows.start, rows.stop, step)
        one = (y + RADIUS) * self.row + number - SLOPE * y + RADIUS
        image = np.arange(self.count)[:, None] * ((self.height + RADIUS) * self.row)
        return (one + image).reshape(-1)

    def _thumbnail_part(self, number: int) -> Addresses:
        """The thumbnail's pixels on a diagonal: SLOPE * y and x are multiples of STRIDE together."""
        return self._addresses(number, STRIDE, 0) if number % STRIDE == 0 else _NONE

    def addresses(self, group: int) -> Addresses:
        """The pixels of a group."""
        number = self._numbers[group - 1]
        whole = self._addresses(number, 1, 0)
        return np.setdiff1d(whole, self._thumbnail_part(number), assume_unique=True) if number % STRIDE == 0 else whole

    def positions(self, group: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of the pixels of a group, the images one below the other."""
        rows, columns = np.divmod(self.addresses(group), self.row)
        image, y = np.divmod(rows, self.height + RADIUS)
        return image * self.height + y - RADIUS, columns - RADIUS

    def thumbnail_before(self, group: int) -> Addresses:
        """The thumbnail's pixels that come before a group and not before the one before it."""
        first = self._numbers[group - 2] if group > 1 else 0
        return np.concatenate([self._thumbnail_part(n) for n in range(first, self._numbers[group - 1])] or [_NONE])

    def chunks(self, pixels: int) -> Iterator[range]:
        """Runs of groups of at least that many pixels each, but for the last."""
        first, size = 1, 0
        for group, more in enumerate(self.sizes, 1):
            size += more
            if size >= pixels or group == len(self.sizes):
                yield range(first, group + 1)
                first, size = group + 1, 0
