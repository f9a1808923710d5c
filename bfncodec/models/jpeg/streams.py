"""Coefficients of an image <-> streams, one for some rows of units each, which know nothing of each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding import protocol
from bfncodec.coding.ans import Coder
from bfncodec.coding.decisions import Wire, notes
from bfncodec.coding.ledger import Ledger
from bfncodec.coding.outcomes import Outcome, OutcomeSink, OutcomeSource
from bfncodec.errors import CorruptFile
from bfncodec.exact import threads
from bfncodec.jpeg import Frame, blocks
from bfncodec.models.jpeg.blocks import KINDS, code_plane
from bfncodec.models.jpeg.memory import Memory, Start, memory, untrained
from bfncodec.models.jpeg.networks import PLACES, SEEN
from bfncodec.models.jpeg.planes import inside, planes
from bfncodec.spans import Data

Array = NDArray[Any]

MOST = 64 * 32  # decisions that a block may take
_LARGE = 3 << 14  # bytes of a file from which on there are two segments; eight times as many have twice as many
SEGMENTS = 256  # at most


class Segment(Outcome):
    """Some rows of units: component after component, row after row of blocks."""

    kinds = KINDS

    def __init__(self, frame: Frame, quantisers: Array, units: range, memory: Memory, known: Array | None = None):
        """known: all coefficients of the frame, of an encoder."""
        self.planes, self.memory = planes(frame, quantisers, units), memory
        self._shapes = [inside(plane.values).shape[:2] for plane in self.planes]
        self.turns, self.most = (
            sum(rows for rows, _ in self._shapes),
            MOST * max(columns for _, columns in self._shapes),
        )
        self._counts = [np.zeros((*plane.values.shape[:2], 3), np.uint8) for plane in self.planes]
        self._parts = [slice(units.start * one.down, units.stop * one.down) for one in frame.components]
        self._components = frame.components
        if known is not None:
            for plane, part, component in zip(self.planes, self._parts, frame.components, strict=True):
                inside(plane.values)[:] = blocks(known, component)[part]

    def code(self, wire: Wire, first: int, last: int) -> None:
        start = 0
        for plane, counts, (rows, _) in zip(self.planes, self._counts, self._shapes, strict=True):
            begin, end = max(first - start, 0), min(last - start, rows)
            if begin < end:
                code_plane(self.memory, wire, plane, counts, begin, end)
            start += rows

    def values(self) -> Array:
        return np.concatenate([inside(plane.values).reshape(-1) for plane in self.planes])

    def put(self, coefficients: Array) -> None:
        """Put the coefficients to their place in the frame's."""
        for plane, part, component in zip(self.planes, self._parts, self._components, strict=True):
            blocks(coefficients, component)[part] = inside(plane.values)


def cuts(frame: Frame, size: int, coefficients: Array) -> list[int]:
    """Rows of units that the segments of an image from `size` bytes have.

    Their number follows from the size; each has as many coefficients that are not zero as any other.
    """
    count = 1
    while count < SEGMENTS and size >= _LARGE * count**3:
        count *= 2
    weights = np.zeros(frame.units_down, np.int64)
    for component in frame.components:
        used = np.count_nonzero(blocks(coefficients, component), axis=(1, 2))
        weights += used.reshape(frame.units_down, component.down).sum(axis=1) + component.stored_columns
    ends = np.searchsorted(np.cumsum(weights), np.arange(1, count) * weights.sum() // count) + 1
    rows = np.diff(np.minimum(np.append(ends, frame.units_down), frame.units_down), prepend=0)
    return rows[rows > 0].tolist()


def encode(
    start: Start,
    frame: Frame,
    quantisers: Array,
    coefficients: Array,
    rows: Sequence[int],
    ledger: Ledger | None = None,
) -> list[bytes]:
    """The streams of coefficients int16. rows: see `cuts`. ledger: gets the costs."""

    def one(units: range) -> bytes:
        coder = Coder()
        whole = Segment(frame, quantisers, units, memory(start), coefficients)
        protocol.encode(coder, OutcomeSource([whole]), ledger)
        return coder.data()

    parts = ranges(rows)
    return threads.each(one, parts) if ledger is None else [one(units) for units in parts]


def decode(start: Start, frame: Frame, quantisers: Array, rows: Sequence[int], streams: Sequence[Data]) -> Array:
    """The inverse of `encode`; CorruptFile if the streams are damaged."""
    coefficients = np.empty(frame.coefficients, np.int16)

    def one(job: tuple[range, Data]) -> None:
        units, stream = job
        coder, whole = Coder(bytes(stream)), Segment(frame, quantisers, units, memory(start))
        protocol.decode(coder, OutcomeSink([whole]))
        if not coder.empty:
            raise CorruptFile("the payload is damaged: it does not end with the last coefficient")
        whole.put(coefficients)

    threads.each(one, list(zip(ranges(rows), streams, strict=True)))
    return coefficients


def seen(frame: Frame, quantisers: Array, units: range, coefficients: Array) -> Array:
    """All that networks see of a segment, uint8 [n, SEEN + 3], see `seeing.asked`."""
    most = sum(len(units) * one.down * one.stored_columns for one in frame.components)
    room = memory(untrained())._replace(notes=np.empty((PLACES * most, SEEN + 3), np.uint8))
    segment = Segment(frame, quantisers, units, room, coefficients)
    segment.code(notes(1), 0, segment.turns)
    return room.notes[: room.noted[0]]


def ranges(rows: Sequence[int]) -> list[range]:
    """Rows of units of every segment."""
    ends = np.cumsum(rows).tolist()
    return [range(end - count, end) for end, count in zip(ends, rows, strict=True)]
