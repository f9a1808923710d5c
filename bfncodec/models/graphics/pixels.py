"""Pixel after pixel, row after row: a candidate (`candidates`), or spelled out (`escapes`).

One group without noisy steps: the limit of endless accuracy, in which the output distribution is all that is left.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.decisions import Decided, Wire
from bfncodec.coding.outcomes import Outcome
from bfncodec.exact.compiled import compiled
from bfncodec.models.graphics import canvas as canvases
from bfncodec.models.graphics.candidates import ASKED, ESCAPE, Candidates, candidates, remember, settle
from bfncodec.models.graphics.canvas import ABOVE, LEFT, Canvas, unpack
from bfncodec.models.graphics.escapes import Escapes, escapes, skip, spell, wrap

Ints = NDArray[Any]
Shape = tuple[int, ...]


class Pixels(Outcome):
    """Images of samples of `depth` bits. shape: (N, height, width, channels); planes: what an encoder knows of them."""

    kinds = "candidates", "samples"

    def __init__(self, shape: Shape, depth: int, planes: Ints | None = None) -> None:
        count, height, width, channels = shape
        self.count, self.turns, self.most = count, count * height, width * (ASKED + channels * depth)
        self.canvas = canvases.blank(shape, depth)
        if planes is not None:
            canvases.fill(self.canvas, planes)
        pixels = count * height * width
        self._candidates = candidates(min(max(pixels.bit_length() - 1, 10), 18))
        self._escapes = escapes(channels, depth, min(max(pixels.bit_length() + 4, 14), 22), width, self.canvas.row)

    def code(self, wire: Wire, first: int, last: int) -> None:
        _code(self.canvas, self._candidates, self._escapes, wire, first, last)

    def images(self) -> Ints:
        """The images, int32 [N, H, W, C]: a view."""
        return canvases.inner(self.canvas, self.canvas.samples, self.count)

    def values(self) -> Ints:
        return self.images().reshape(-1)

    def bits(self, decided: Decided) -> NDArray[Any]:
        """Bits of every pixel, float64 [N, H, W], after all are decided."""
        counts = canvases.inner(self.canvas, self.canvas.counts, self.count)
        counts = counts.astype(np.int64)  # one at least
        starts = np.cumsum(counts) - counts.reshape(-1)
        return np.add.reduceat(decided.each(), starts).reshape(counts.shape)


@compiled
def _code(canvas: Canvas, likely: Candidates, rest: Escapes, wire: Wire, first: int, last: int) -> None:
    """Rows first .. last - 1 of all images."""
    for number in range(first, last):
        image, y = number // canvas.height, number % canvas.height
        start = (image * (ABOVE + canvas.height) + ABOVE + y) * canvas.row + LEFT
        for at in range(start, start + canvas.width):
            before, wire.done[1] = wire.done[0], 0
            if settle(likely, canvas, wire, at) == ESCAPE:
                wire.done[1] = 1
                spell(rest, canvas, wire, at, at - start)
            else:
                unpack(canvas, at)
                skip(rest, at, at - start)
            remember(likely, canvas.words[at])
            canvas.counts[at] = wire.done[0] - before
        wrap(rest)
