"""JPEG's marker segments: what frames and scans look like, from the bytes around the entropy-coded data (ITU-T T.81).

Only what a scan's data depend on is understood: Huffman tables, restart intervals, frames, scans. All else is passed
over. The same walk serves whole files, where somebody steps over each scan's data, and heads, which have none.
"""

from __future__ import annotations

from typing import NamedTuple

BLOCK = 64  # coefficients

_TEM, _FILL = 0x01, 0xFF
_SEQUENTIAL, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_DHT, _DAC = 0xC4, 0xCC
_SOI, _EOI, _SOS, _DQT, _DNL, _DRI, _DHP = 0xD8, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xDE
_RESTARTS = range(0xD0, 0xD8)


class Component(NamedTuple):
    """One colour of a frame. Blocks that only complete the last units of interleaved scans are stored, too."""

    name: int
    across: int  # blocks of a unit of interleaved scans
    down: int
    table: int  # of quantisation
    columns: int  # blocks that a scan of this component alone has
    rows: int
    stored_columns: int
    stored_rows: int
    start: int  # of its coefficients among the frame's

    @property
    def coefficients(self) -> int:
        return self.stored_columns * self.stored_rows * BLOCK


class Frame(NamedTuple):
    """An image: its components, and how many units interleaved scans have."""

    progressive: bool
    precision: int
    height: int
    width: int
    units_across: int
    units_down: int
    components: tuple[Component, ...]

    @property
    def coefficients(self) -> int:
        return sum(component.coefficients for component in self.components)


class Scan(NamedTuple):
    """What a scan's header says, and what was set before it."""

    chosen: tuple[int, ...]  # components, by their place in the frame
    tables: tuple[tuple[int, int], ...]  # of DC and AC, by component of the scan
    first: int  # coefficients, in zigzag order
    last: int
    high: int  # bits below the values of the scan before
    low: int  # bits below the values of this one
    interval: int  # units between restarts; 0: none
    huffman: dict[int, bytes]  # class << 4 | number -> 16 counts and the symbols
    quantisers: dict[int, tuple[int, ...]]  # number -> 64 values in zigzag order
    end: int  # of the header


class Walk:
    """From marker to marker. `position` is where the walk goes on."""

    def __init__(self, data: bytes | memoryview, start: int = 0) -> None:
        self.position = start
        self.frame: Frame | None = None
        self.ended = False  # with a regular end of image
        self._data = data
        self._interval = 0
        self._huffman: dict[int, bytes] = {}
        self._quantisers: dict[int, tuple[int, ...]] = {}
        if bytes(data[start : start + 2]) == bytes([_FILL, _SOI]):
            self.position += 2
        else:
            self.position = len(data)

    def scan(self) -> Scan | None:
        """The next scan; None at the end of the image, or where something comes that is not understood."""
        while True:
            marker = self._marker()
            if marker == _EOI:
                self.ended = True
            if marker is None or marker in (_SOI, _EOI, _DAC, _DNL, _DHP):
                return None
            body = self._body()
            if body is None:
                return None
            if marker == _SOS:
                return self._scan(body)
            if not self._understood(marker, body):
                return None

    def _marker(self) -> int | None:
        """The next marker that is not a restart, after any bytes that are none."""
        data, at = self._data, self.position
        while at + 1 < len(data):
            if data[at] != _FILL or data[at + 1] in (0, _FILL, _TEM) or data[at + 1] in _RESTARTS:
                at += 1
                continue
            self.position = at + 2
            return data[at + 1]
        return None

    def _body(self) -> bytes | None:
        """The content of the segment whose marker was read."""
        at = self.position
        length = int.from_bytes(self._data[at : at + 2], "big")
        if length < 2 or at + length > len(self._data):
            return None
        self.position = at + length
        return bytes(self._data[at + 2 : at + length])

    def _understood(self, marker: int, body: bytes) -> bool:
        """False for what makes the rest of the file another kind of JPEG, or no JPEG."""
        if marker == _DHT:
            return self._huffman_tables(body)
        if marker == _DQT:
            return self._quantisation_tables(body)
        if marker == _DRI:
            self._interval = int.from_bytes(body[:2], "big")
            return len(body) == 2
        if 0xC0 <= marker <= 0xCF:
            if marker not in (_SEQUENTIAL, _EXTENDED, _PROGRESSIVE) or self.frame is not None:
                return False
            self.frame = _frame(body, marker == _PROGRESSIVE)
            return self.frame is not None
        return True

    def _huffman_tables(self, body: bytes) -> bool:
        at = 0
        while at + 17 <= len(body):
            size = 17 + sum(body[at + 1 : at + 17])
            if body[at] & 0xEC or at + size > len(body):
                return False
            self._huffman = {**self._huffman, body[at]: body[at + 1 : at + size]}
            at += size
        return at == len(body)

    def _quantisation_tables(self, body: bytes) -> bool:
        at = 0
        while at < len(body):
            width = 2 if body[at] >> 4 else 1
            values = body[at + 1 : at + 1 + BLOCK * width]
            if body[at] & 0xEC or len(values) < BLOCK * width:
                return False
            table = tuple(int.from_bytes(values[i : i + width], "big") for i in range(0, len(values), width))
            self._quantisers = {**self._quantisers, body[at] & 3: table}
            at += 1 + len(values)
        return True

    def _scan(self, body: bytes) -> Scan | None:
        frame = self.frame
        if frame is None or not body or len(body) != 4 + 2 * body[0] or not 1 <= body[0] <= 4:
            return None
        names = [component.name for component in frame.components]
        named, tables = body[1:-3:2], body[2:-3:2]
        if len(set(named)) < len(named) or not set(named) <= set(names) or any(table & 0xCC for table in tables):
            return None
        chosen = tuple(names.index(name) for name in named)
        first, last, high, low = body[-3], body[-2], body[-1] >> 4, body[-1] & 15
        if not frame.progressive:
            first, last, high, low = 0, 63, 0, 0
        elif low > 13 or first > last or last > 63 or (last if first == 0 else len(chosen) > 1):
            return None
        known = self._huffman
        for table in tables:
            if first == 0 and high == 0 and table >> 4 not in known:
                return None
            if last > 0 and 0x10 | table & 15 not in known:
                return None
        return Scan(
            chosen, tuple((table >> 4, table & 15) for table in tables), first, last, high, low,
            self._interval, known, self._quantisers, self.position,
        )  # fmt: skip


def _frame(body: bytes, progressive: bool) -> Frame | None:
    if len(body) < 6 or len(body) != 6 + 3 * body[5] or not 1 <= body[5] <= 4:
        return None
    height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    parts = [(body[at], body[at + 1] >> 4, body[at + 1] & 15, body[at + 2]) for at in range(6, len(body), 3)]
    if not height or not width or body[0] not in (8, 12) or len({part[0] for part in parts}) < len(parts):
        return None
    if any(not 1 <= across <= 4 or not 1 <= down <= 4 or table > 3 for _, across, down, table in parts):
        return None
    most_across, most_down = max(part[1] for part in parts), max(part[2] for part in parts)
    units_across, units_down = _divided(width, 8 * most_across), _divided(height, 8 * most_down)
    components: list[Component] = []
    start = 0
    for name, across, down, table in parts:
        columns = _divided(_divided(width * across, most_across), 8)
        rows = _divided(_divided(height * down, most_down), 8)
        stored = units_across * across, units_down * down
        components.append(Component(name, across, down, table, columns, rows, *stored, start))
        start += components[-1].coefficients
    return Frame(progressive, body[0], height, width, units_across, units_down, tuple(components))


def _divided(value: int, by: int) -> int:
    """The quotient, rounded up."""
    return -(-value // by)
