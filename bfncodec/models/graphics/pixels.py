"""The `exact` schedule: pixel after pixel, row after row. A candidate (`candidates`), or spelled out (`escapes`).

One group without noisy steps: the limit of endless accuracy, in which the output distribution is all that is left.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.ans import Coder
from bfncodec.coding.decisions import Decided, Wire, notes, opened
from bfncodec.exact.compiled import compiled
from bfncodec.flow.schedule import Group
from bfncodec.flow.theta import AnyTheta
from bfncodec.models.graphics import canvas as canvas_image
from bfncodec.models.graphics.candidates import ASKED, ESCAPE, Candidates, candidates, remember, settle
from bfncodec.models.graphics.canvas import ABOVE, LEFT, Canvas, unpack
from bfncodec.models.graphics.escapes import Escapes, escapes, skip, spell, wrap

Ints = NDArray[Any]
Shape = tuple[int, int, int, int]

_NOTES = 1 << 22  # decisions that an encoder keeps before it puts them aside


class Pixels:
    """What encoder and decoder share. shape: (N, height, width, channels); depth: bits of a sample."""

    def __init__(self, shape: Shape, depth: int, canvas: Canvas) -> None:
        self.shape, self.depth, self.canvas = shape, depth, canvas
        pixels = int(np.prod(shape[:3]))
        self.groups = [Group(int(np.prod(shape)))]
        self.candidates = candidates(min(max(pixels.bit_length() - 1, 10), 18))
        self.escapes = escapes(shape[3], depth, min(max(pixels.bit_length() + 4, 14), 22), shape[2], canvas.row)

    def spans(self) -> Iterable[range]:
        return [range(1)]

    def images(self) -> Ints:
        """The images, uint8 or uint16 [N, H, W, C]."""
        return canvas_image.inner(self.canvas, self.shape[0]).astype(np.uint8 if self.depth <= 8 else np.uint16)


class PixelSource(Pixels):
    """Planes uint8 or uint16 [N, H, W, C] to encode: a `coding.protocol.Source`."""

    def __init__(self, planes: Ints, depth: int) -> None:
        super().__init__(planes.shape, depth, canvas_image.filled(planes, depth))

    def values(self, span: range) -> Ints:
        return self.images().reshape(-1)

    def output(self, span: range, theta: AnyTheta | None) -> Decided:
        count, height, width, channels = self.shape
        decided = Decided()
        most = width * (ASKED + channels * self.depth)
        rows = max(1, _NOTES // most)
        wire = notes(most * min(rows, count * height))
        for first in range(0, count * height, rows):
            code(self.canvas, self.candidates, self.escapes, wire, first, min(first + rows, count * height))
            decided.take(wire)
        return decided


class PixelSink(Pixels):
    """Planes that are decoded: a `coding.protocol.Sink`, and its own output distribution."""

    def __init__(self, shape: Shape, depth: int) -> None:
        super().__init__(shape, depth, canvas_image.blank(shape, depth))

    def output(self, span: range, theta: AnyTheta | None) -> "PixelSink":
        return self

    def pop(self, coder: Coder) -> Ints:
        """Pop all samples to their place."""
        count, height, _, _ = self.shape
        code(self.canvas, self.candidates, self.escapes, opened(coder), 0, count * height)
        return self.images().reshape(-1)

    def reveal(self, group: int, values: Ints) -> None:
        """Decoded pixels are in their place already."""


@compiled
def code(canvas: Canvas, likely: Candidates, rest: Escapes, wire: Wire, first: int, last: int) -> None:
    """Rows first .. last - 1 of all images."""
    for number in range(first, last):
        image, y = number // canvas.height, number % canvas.height
        start = (image * (ABOVE + canvas.height) + ABOVE + y) * canvas.row + LEFT
        for at in range(start, start + canvas.width):
            wire.done[1] = 0
            if settle(likely, canvas, wire, at) == ESCAPE:
                wire.done[1] = 1
                spell(rest, canvas, wire, at, at - start)
            else:
                unpack(canvas, at)
                skip(rest, at, at - start)
            remember(likely, canvas.words[at])
        wrap(rest)
