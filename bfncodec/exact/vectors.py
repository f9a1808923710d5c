"""Whole vectors of int16: what mixers say, and how they learn. Compiled for the processor at hand; all give the same.

Sums are of int32 and wrap around, as the processor's do. Rows have a multiple of LANES numbers.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.compiled import Inline

Array = NDArray[Any]

LANES = 32  # numbers of the widest vector


def _made(name: str) -> Inline:
    def make() -> Any:
        from bfncodec.exact import vector_code

        return getattr(vector_code, name)

    return Inline(make, globals()[f"_{name}"])


def _dots(inputs: Array, weights: Array, chosen: Array, out: Array, width: int) -> None:
    for place, row in enumerate(chosen):
        total = int(inputs[:width].astype(np.int64) @ weights[row].astype(np.int64))
        out[place] = (total + (1 << 31)) % (1 << 32) - (1 << 31)


def _teach(inputs: Array, weights: Array, chosen: Array, steps: Array, width: int) -> None:
    for row, step in zip(chosen, steps, strict=True):
        moved = weights[row].astype(np.int64) + (inputs[:width].astype(np.int64) * int(step) + (1 << 14) >> 15)
        weights[row] = moved.clip(-(1 << 15), (1 << 15) - 1)


def _prefetch(array: Array, *indices: int) -> None:
    pass


# dots(inputs, weights, chosen, out, width): products int64 [n] of inputs int16 [width] and rows of weights
# int16 [rows, width], those that are chosen, int64 [n].
dots = _made("dots")
# teach(inputs, weights, chosen, steps, width): add inputs times steps int64 [n], of 16 bits but not the smallest, to
# the rows, rounded, in 1 / 2**15; weights stay within int16.
teach = _made("teach")
# prefetch(array, *indices): bring what stands there near to the processor.
prefetch = _made("prefetch")
