"""What compiled code is told of a scan."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.jpeg.markers import BLOCK, Frame, Scan

Array = NDArray[Any]

SEQUENTIAL, DC_FIRST, DC_AGAIN, AC_FIRST, AC_AGAIN = range(5)
START, STRIDE, ACROSS, DOWN, DC_TABLE, AC_TABLE, COMPONENT = range(7)  # columns of Layout.parts

LONGEST_RUN = 0x7FFF  # of blocks that end at once

# Places in a block, row by row, in zigzag order.
ZIGZAG = np.array(
    sorted(range(BLOCK), key=lambda i: (i // 8 + i % 8, i // 8 if (i // 8 + i % 8) % 2 else i % 8)), np.int64
)


class Layout(NamedTuple):
    """Units and blocks of a scan in numbers."""

    kind: int
    first: int
    last: int
    low: int
    across: int  # units
    down: int
    interval: int
    parts: Array  # int64 [components, 7]


def layout(frame: Frame, scan: Scan) -> Layout:
    """The layout of a scan; START and STRIDE count coefficients."""
    if not frame.progressive:
        kind = SEQUENTIAL
    elif scan.first == 0:
        kind = DC_AGAIN if scan.high else DC_FIRST
    else:
        kind = AC_AGAIN if scan.high else AC_FIRST
    alone = len(scan.chosen) == 1
    parts = np.zeros((len(scan.chosen), 7), np.int64)
    for number, (place, tables) in enumerate(zip(scan.chosen, scan.tables, strict=True)):
        component = frame.components[place]
        shape = (1, 1) if alone else (component.across, component.down)
        parts[number] = (component.start, component.stored_columns * BLOCK, *shape, tables[0], 4 + tables[1], place)
    only = frame.components[scan.chosen[0]]
    units = (only.columns, only.rows) if alone else (frame.units_across, frame.units_down)
    return Layout(kind, scan.first, scan.last, scan.low, *units, scan.interval, parts)
