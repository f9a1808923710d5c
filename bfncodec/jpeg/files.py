"""JPEG files <-> quantised coefficients and the rest of the file, to the last byte.

An image's head is all of its bytes but the entropy-coded data of scans that were read; those come back from the
coefficients. Where a file does not make sense any more, all that follows belongs to the head.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.jpeg import huffman, writing
from bfncodec.jpeg.layout import SEQUENTIAL, ZIGZAG, Layout, layout
from bfncodec.jpeg.markers import BLOCK, Component, Frame, Scan, Walk
from bfncodec.jpeg.reading import BITS, MARGIN, NOTES, SEGMENT, STATE, UNITS, read_scan, stuffed, unstuffed
from bfncodec.jpeg.writing import HABITS, NOTED, write_scan

Array = NDArray[Any]

SCAN_LIMIT = 1000
_NOTES = 1 << 16  # of a scan
_HELD = 1 << 20  # correction bits of a run
_SLACK = 1 << 16  # bytes that compiled code may want to be sure of


@dataclass
class Jpeg:
    """An image of a file. What the head says of scans is read from it again when the file is built."""

    head: bytes
    size: int  # bytes of the whole
    scans: int  # that were read
    units: int = 0  # of the last one; 0: all
    habit: int = 0  # of ending runs, see `writing`
    pad: int = 1  # bits that fill up last bytes; -1: see `pads`
    pads: list[bytes] = field(default_factory=list)  # by scan
    notes: dict[int, Array] = field(default_factory=dict)  # by scan, int64
    coefficients: Array = field(default_factory=lambda: np.empty(0, np.int16))  # int16, component after component

    def frame(self) -> Frame | None:
        """What the head says of the image; None if that is nothing."""
        walk = Walk(self.head)
        walk.scan()
        return walk.frame

    def quantisers(self) -> Array:
        """int64 [components, 64], row by row, as the first scan has them; ones where nothing is said."""
        walk = Walk(self.head)
        scan = walk.scan()
        assert walk.frame is not None
        return _quantisers(walk.frame, scan)


def blocks(coefficients: Array, component: Component) -> Array:
    """A component's coefficients, int16 [rows, columns, 64], frequencies row by row: a view."""
    part = coefficients[component.start : component.start + component.coefficients]
    return part.reshape(component.stored_rows, component.stored_columns, BLOCK)


def _quantisers(frame: Frame, scan: Scan | None) -> Array:
    table = np.ones((len(frame.components), BLOCK), np.int64)
    if scan is None:
        return table
    for number, component in enumerate(frame.components):
        if component.table in scan.quantisers:
            table[number, ZIGZAG] = scan.quantisers[component.table]
    return table


def is_possible(frame: Frame, size: int) -> bool:
    """Whether a file of so many bytes can hold the frame: every block takes a bit at least."""
    return frame.coefficients // BLOCK <= 8 * size


def parse(data: bytes) -> tuple[Jpeg, int] | None:
    """The image that a file begins with, and where it ends; None if `build` could not make its bytes again.

    What follows the end of the image is not its own.
    """
    walk = Walk(memoryview(data))
    reader: _Reader | None = None
    while reader is None or len(reader.layouts) < SCAN_LIMIT:
        scan = walk.scan()
        if scan is None:
            break
        frame = walk.frame
        assert frame is not None
        if reader is None:
            if not is_possible(frame, len(data)):
                return None
            reader = _Reader(data, frame)
        if not reader.read(scan):
            break
        walk.position = reader.position
    if reader is None or not reader.layouts:
        return None
    end = walk.position if walk.ended else len(data)
    return _verified(reader.image(end), data[:end])


class _Reader:
    """Scan after scan of a file."""

    def __init__(self, data: bytes, frame: Frame) -> None:
        self.data, self.frame = data, frame
        self.array = np.frombuffer(data, np.uint8)
        self.position = 0
        self.coefficients = np.zeros(frame.coefficients, np.int16)
        self.layouts: list[Layout] = []
        self.units = 0
        self.pads: list[bytes] = []
        self.notes: list[Array] = []
        self._buffer = np.empty(len(data) + MARGIN, np.uint8)
        self._head: list[bytes] = []

    def read(self, scan: Scan) -> bool:
        """Read a scan; False if nothing after it can be read."""
        lookup = huffman.lookups(scan.huffman)
        if lookup is None:
            return False
        shape = layout(self.frame, scan)
        restarts = (shape.across * shape.down - 1) // shape.interval if shape.interval else 0
        restarts = min(restarts, len(self.data) // 2)
        cuts, state = np.zeros((restarts + 2, 2), np.int64), np.zeros(STATE, np.int64)
        notes, pads = np.zeros(_NOTES, np.int64), np.zeros(restarts + 1, np.uint8)
        segments = unstuffed(self.array, scan.end, restarts, self._buffer, cuts)
        whole = read_scan(
            shape, lookup, self._buffer, cuts, segments, self.coefficients, state, notes, pads
        )  # fmt: skip
        if not whole and not state[UNITS]:
            return False
        segment = int(state[SEGMENT])
        used = int(state[BITS]) + (7 if whole else 0) >> 3
        end = stuffed(self.array, int(cuts[segment, 1]), used - int(cuts[segment, 0]))
        self._head.append(self.data[self.position : scan.end])
        self.position = end
        self.layouts.append(shape)
        self.units = 0 if whole else int(state[UNITS])
        self.pads.append(pads[: segment + bool(whole)].tobytes())
        self.notes.append(notes[: state[NOTES]].copy())
        return bool(whole)

    def image(self, end: int) -> Jpeg:
        """All that was read."""
        head = b"".join([*self._head, self.data[self.position : end]])
        image = Jpeg(head, end, len(self.layouts), self.units, coefficients=self.coefficients)
        every = np.frombuffer(b"".join(self.pads), np.uint8).astype(np.int64)
        if (every & (every + 1)).any():  # not all ones
            image.pad = 0 if not (every & (every - 1)).any() else -1
        image.pads = self.pads if image.pad < 0 else []
        image.notes = {number: notes for number, notes in enumerate(self.notes) if len(notes)}
        return image


def _verified(image: Jpeg, data: bytes) -> tuple[Jpeg, int] | None:
    """The image with the habit that gives its bytes again, if any does."""
    every = image.notes
    for habit in HABITS:
        image.habit = habit
        image.notes = every
        if habit != NOTED:
            kept = {number: notes[notes & 3 > 0] for number, notes in every.items()}
            image.notes = {number: notes for number, notes in kept.items() if len(notes)}
        built = build(image)
        if built is not None and built == data:
            return image, image.size
        frame = image.frame()
        if frame is None or not frame.progressive:
            break
    return None


def build(image: Jpeg) -> bytes | None:
    """The bytes that an image was read from; None if there are none that it can come from."""
    walk = Walk(image.head)
    out = np.empty(image.size + _SLACK, np.uint8)
    held = np.empty(64, np.uint8)
    pieces, done, nothing = [], 0, np.empty(0, np.int64)
    for number in range(image.scans):
        scan = walk.scan()
        frame = walk.frame
        if scan is None or frame is None or frame.coefficients != len(image.coefficients):
            return None
        code = huffman.codes(scan.huffman)
        if code is None:
            return None
        shape = layout(frame, scan)
        if shape.kind != SEQUENTIAL and len(held) < _HELD:
            held = np.empty(_HELD, np.uint8)
        units = shape.across * shape.down
        if image.units and number == image.scans - 1:
            units = min(units, image.units)
        pads = np.frombuffer(image.pads[number], np.uint8) if image.pad < 0 else np.empty(0, np.uint8)
        if image.pad < 0 and len(pads) <= (units - 1) // (shape.interval or units):
            pads = np.pad(pads, (0, (units - 1) // (shape.interval or units) + 1 - len(pads)))
        state = np.zeros(writing.STATE, np.int64)
        written = write_scan(
            shape, code, image.coefficients, image.habit, image.notes.get(number, nothing), image.pad, pads, units,
            out, state, held,
        )  # fmt: skip
        if not written:
            return None
        pieces += [image.head[done : scan.end], out[: state[writing.AT]].tobytes()]
        done = scan.end
    pieces.append(image.head[done:])
    return b"".join(pieces)
