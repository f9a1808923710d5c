"""Coefficients of an image <-> a stream."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.ans import Coder
from bfncodec.coding.decisions import Decided, notes, opened
from bfncodec.errors import CorruptFile
from bfncodec.jpeg import Frame, blocks
from bfncodec.models.jpeg.blocks import code_plane
from bfncodec.models.jpeg.memory import Memory, fresh
from bfncodec.models.jpeg.planes import Plane, inside, planes

Array = NDArray[Any]

_MOST = 64 * 40  # decisions of a block
_ROOM = 1 << 22  # of an encoder's notes


def encode(frame: Frame, quantisers: Array, coefficients: Array) -> bytes:
    """The stream of coefficients int16, component after component."""
    coder = Coder()
    decided(frame, quantisers, coefficients, fresh()).push(coder, coefficients)
    return coder.data()


def decided(frame: Frame, quantisers: Array, coefficients: Array, memory: Memory) -> Decided:
    """All decisions of an image, from which the memory learns."""
    made = Decided()
    for plane in planes(frame, quantisers, coefficients):
        rows, columns = inside(plane.values).shape[:2]
        step = max(1, _ROOM // (_MOST * columns))
        wire = notes(_MOST * columns * step)
        wire.done[1] = plane.kind
        counts = _counts(plane)
        for first in range(0, rows, step):
            code_plane(memory, wire, plane, counts, first, min(first + step, rows))
            made.take(wire)
    return made


def decode(frame: Frame, quantisers: Array, stream: bytes) -> Array:
    """The inverse of `encode`; CorruptFile if the stream is none."""
    coder = Coder(stream)
    wire, memory = opened(coder), fresh()
    coefficients = np.empty(frame.coefficients, np.int16)
    for plane, component in zip(planes(frame, quantisers, np.empty(0, np.int16)), frame.components, strict=True):
        code_plane(memory, wire, plane, _counts(plane), 0, component.stored_rows)
        blocks(coefficients, component)[:] = inside(plane.values)
    if not coder.empty:
        raise CorruptFile("the coefficients do not end where they should")
    return coefficients


def _counts(plane: Plane) -> Array:
    return np.zeros((*plane.values.shape[:2], 3), np.uint8)
