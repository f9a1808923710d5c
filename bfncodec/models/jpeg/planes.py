"""A component's blocks with margins, and what stands at the same place in the components before it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.jpeg import Component, Frame

Array = NDArray[Any]

MARGIN = 2  # blocks of zeros on every side but the lower one

_WHOLE = 181  # of the borders' units: the first basis function has 128, 1 / sqrt(2) of it


class Plane(NamedTuple):
    """A component as compiled code sees it. Blocks that come before it are known, of the others there is room."""

    values: Array  # int16 [MARGIN + rows, 2 * MARGIN + columns, 64]
    kind: int  # 0: luma or any other, 1 and 2: colours
    steps: Array  # int64 [64]: quantisation
    luma: Array  # int16, as `values`: of the first component; one block of zeros where there is none
    down: int  # of its blocks for one of these
    across: int
    twin: Array  # int16, as `values`: of a component before that looks alike; one block of zeros where there is none
    rights: Array  # int64 [2, 8]: of the block to the left, by row of frequencies: what it says of the border
    bottoms: Array  # int64 [columns, 2, 8]: of the blocks above, by column of frequencies
    errors: Array  # int64 [MARGIN + rows, 2 * MARGIN + columns]: of the prediction of DC
    twin_errors: Array  # as `errors`
    sums: Array  # as `errors`: of absolute coefficients of a block, DC aside


def padded(component: Component, rows: int) -> Array:
    """Room for so many rows of a component's blocks and for margins, all zero."""
    return np.zeros((MARGIN + rows, 2 * MARGIN + component.stored_columns, 64), np.int16)


def inside(values: Array) -> Array:
    """The blocks without their margins."""
    return values[MARGIN:, MARGIN:-MARGIN]


def planes(frame: Frame, quantisers: Array, units: range) -> list[Plane]:
    """All components in order, the blocks of some rows of units alone; their values are zero."""
    made: list[Plane] = []
    nothing = np.zeros((1, 1, 64), np.int16)
    for number, component in enumerate(frame.components):
        values = padded(component, len(units) * component.down)
        first = frame.components[0]
        fits = number > 0 and first.down % component.down == 0 and first.across % component.across == 0
        before = frame.components[number - 1]
        twin = number > 1 and (before.down, before.across) == (component.down, component.across)
        errors = np.zeros(values.shape[:2], np.int64)
        made.append(
            Plane(
                values,
                min(number, 2) if number < 3 else 0,
                np.maximum(quantisers[number], 1),
                made[0].values if fits else nothing,
                first.down // component.down if fits else 1,
                first.across // component.across if fits else 1,
                made[-1].values if twin else nothing,
                np.zeros((2, 8), np.int64),
                np.zeros((component.stored_columns, 2, 8), np.int64),
                errors,
                made[-1].errors if twin else np.zeros((1, 1), np.int64),
                np.zeros_like(errors),
            )
        )
    return made
