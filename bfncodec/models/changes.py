"""Changes of a network's biases and output weights that a file brings along (`--effort max`).

A file's changes are small integers, one for every bias of the wavefront network and one
for every weight of its output layers, in the units below; most are zero. Each section is
coded under a two-sided geometric pmf whose ratio is chosen from RATIOS.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.ans import TOTAL, TOTAL_BITS, Coder
from bfncodec.coding.pmf import normalise
from bfncodec.errors import CorruptFile
from bfncodec.exact.layers import Tensors

LIMIT = 15  # largest change, in units
RATIOS = (1, 2, 4, 6, 8, 10, 12, 14)  # sixteenths: how much less likely each further unit is
# Unit of a bias change, as a power of two of the layer's output unit.
UNITS = {"inner": 2, "first": -2, "second": 2, "heads": -2, "outs": -1}

Changes = dict[str, NDArray[np.int64]]


def sections(tensors: Tensors) -> dict[str, tuple[int, ...]]:
    """Names and shapes of everything that can change, in file order."""
    names = [name.removesuffix(".shift") for name in sorted(tensors) if name.endswith(".shift")]
    shapes = {f"{name}.bias": tuple(tensors[f"{name}.bias"].shape) for name in names}
    outs = [name for name in names if name.startswith("outs.")]
    return shapes | {f"{name}.weight": tuple(tensors[f"{name}.weight"].shape) for name in outs}


def bias_shift(name: str, shift: NDArray[np.int64]) -> NDArray[np.int64]:
    """log2 of a bias change's unit in units of the layer's sums, [out]."""
    return np.maximum(shift.astype(np.int64) + UNITS[name.split(".")[0]], 0)


def applied(tensors: Tensors, changes: Changes) -> dict[str, NDArray[np.int64]]:
    """The network's tensors with changes added; int8 weights stay within int8."""
    changed = {name: np.asarray(value) for name, value in tensors.items()}
    for section, change in changes.items():
        name, kind = section.rsplit(".", 1)
        value = changed[section].astype(np.int64)
        if kind == "bias":
            changed[section] = value + (change << bias_shift(name, changed[f"{name}.shift"]))
        else:
            changed[section] = (value + change).clip(-128, 127)
    return changed


def _pmf(ratio: int) -> NDArray[np.int64]:
    """Weights [2 * LIMIT + 1] that fall by ratio / 16 a unit to both sides of zero."""
    distance = abs(np.arange(-LIMIT, LIMIT + 1))
    mass = np.array([ratio ** int(d) * 16 ** (LIMIT - int(d)) >> 32 for d in distance], np.int64)
    sums = mass.cumsum()
    return normalise((sums << TOTAL_BITS) // sums[-1], TOTAL_BITS)


def pack(changes: Changes, tensors: Tensors) -> bytes:
    """Bytes of changes; none if all are zero."""
    if not any(change.any() for change in changes.values()):
        return b""
    coder = Coder()
    table = [_pmf(ratio) for ratio in RATIOS]
    for section in reversed(sections(tensors)):
        symbols = changes[section].reshape(-1) + LIMIT
        costs = [-np.log2(pmf[symbols]).sum() for pmf in table]
        best = int(np.argmin(costs))
        coder.push(symbols, np.broadcast_to(table[best], (len(symbols), len(table[best]))))
        coder.push(np.array([best]), _uniform())
    return coder.data()


def unpack(data: bytes, tensors: Tensors) -> Changes:
    """The inverse of `pack`; CorruptFile if the bytes are damaged."""
    shapes = sections(tensors)
    if not data:
        return {}
    coder = Coder(data)
    changes = {}
    for section, shape in shapes.items():
        pmf = _pmf(RATIOS[int(coder.pop(_uniform())[0])])
        symbols = coder.pop(np.broadcast_to(pmf, (int(np.prod(shape)), len(pmf))))
        changes[section] = symbols.astype(np.int64).reshape(shape) - LIMIT
    if not coder.empty:
        raise CorruptFile("the changes of the network are damaged")
    return changes


def _uniform() -> NDArray[np.int64]:
    return np.full((1, len(RATIOS)), TOTAL // len(RATIOS), np.int64)
