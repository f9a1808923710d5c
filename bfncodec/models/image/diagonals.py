"""The geometry of the `wavefront` schedule: diagonals x + 4y of N images on one canvas, without the thumbnail."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.compiled import compiled
from bfncodec.models.image.canvas import RADIUS, SLOPE
from bfncodec.models.image.passes import STRIDE

Addresses = NDArray[np.int64]


class Diagonals:
    """Diagonals of images of one size on a canvas, as groups 1, 2, ...; group 0 is the thumbnail, which they lack."""

    def __init__(self, count: int, height: int, width: int) -> None:
        self.count, self.height, self.width = count, height, width
        self.row = width + 2 * RADIUS
        self.count_all = width + SLOPE * (height - 1)  # those without a pixel to code too
        number = np.arange(self.count_all)
        # The rows that a diagonal crosses, and how many of them have a pixel of the thumbnail there.
        self._tops = np.maximum(0, -((width - 1 - number) // SLOPE))
        self._ends = np.minimum(height - 1, number // SLOPE) + 1
        self.longest = count * int((self._ends - self._tops).max())  # pixels, the thumbnail's included
        thumbnail = np.where(number % STRIDE == 0, -(-self._ends // STRIDE) + -self._tops // STRIDE, 0)
        sizes = self._ends - self._tops - thumbnail
        self._numbers = np.flatnonzero(sizes)
        self.sizes = (count * sizes[self._numbers]).tolist()  # pixels of group 1, 2, ...

    def addresses(self, groups: range) -> Addresses:
        """Canvas addresses of the pixels of groups, group after group, image after image."""
        first, last = groups.start - 1, groups.stop - 1
        found = np.empty(sum(self.sizes[first:last]), np.int64)
        images = np.arange(self.count) * ((self.height + RADIUS) * self.row)
        _addresses(self._numbers[first:last], self._tops, self._ends, images, self.row, found)
        return found

    def reach(self, chunk: range) -> range:
        """The diagonals of a run of groups, and those before it that have no pixel to code."""
        first = int(self._numbers[chunk[0] - 2]) + 1 if chunk[0] > 1 else 0
        return range(first, int(self._numbers[chunk[-1] - 1]) + 1)

    def positions(self, group: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of the pixels of a group, the images one below the other."""
        rows, columns = np.divmod(self.addresses(range(group, group + 1)), self.row)
        image, y = np.divmod(rows, self.height + RADIUS)
        return image * self.height + y - RADIUS, columns - RADIUS

    def chunks(self, pixels: int) -> Iterator[range]:
        """Runs of groups of at least that many pixels each, but for the last."""
        first, size = 1, 0
        for group, more in enumerate(self.sizes, 1):
            size += more
            if size >= pixels or group == len(self.sizes):
                yield range(first, group + 1)
                first, size = group + 1, 0


@compiled
def _addresses(
    numbers: Addresses, tops: Addresses, ends: Addresses, images: Addresses, row: int, out: Addresses
) -> None:
    """Fill in addresses for the diagonals of these numbers; images: where each begins."""
    count = 0
    for index in range(len(numbers)):
        number = numbers[index]
        for image in range(len(images)):
            for y in range(tops[number], ends[number]):
                if y % STRIDE or number % STRIDE:  # SLOPE * y and x are multiples of STRIDE together
                    out[count] = images[image] + (y + RADIUS) * row + number - SLOPE * y + RADIUS
                    count += 1
