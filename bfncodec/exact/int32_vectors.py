"""Vectors of sixteen int32 in compiled functions: sums of products, and products that are added.

What overflows int32 is wrong, so callers keep it small. Plain Python gives the same integers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.compiled import Inline

Array = NDArray[Any]

LANES = 16


def _made(name: str) -> Callable[[], Any]:
    def make() -> Any:
        from bfncodec.exact import int32_code

        return getattr(int32_code, name)

    return make


def _dot(one: Array, other: Array, count: int, down: int) -> int:
    return int((one[:count].astype(np.int64) * other[:count] >> down).sum())


def _add_products(target: Array, source: Array, factor: int, count: int, down: int, most: int) -> None:
    moved = target[:count].astype(np.int64) + (source[:count].astype(np.int64) * factor + (1 << down - 1) >> down)
    target[:count] = np.clip(moved, -most, most)


# dot(one, other, count, down): the sum of the first products, each shifted down. int32 arrays; count: of LANES.
dot = Inline(_made("dot"), _dot)
# add_products(target, source, factor, count, down, most): products, shifted down and rounded, are added to the target,
# which stays between -most and most.
add_products = Inline(_made("add_products"), _add_products)
