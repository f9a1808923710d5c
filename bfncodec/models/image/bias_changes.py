"""Changes of a network's biases that a file brings along (`--effort max`).

They are small integers, mostly zero, one for every bias of the wavefront network's trunk. (The heads after it learn by
themselves, see `learning_heads`.) Each layer's are coded under a two-sided geometric pmf with a ratio of RATIOS.
"""

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.ans import Coder
from bfncodec.errors import CorruptFile
from bfncodec.exact.layers import Tensors
from bfncodec.exact.pmf import TOTAL, TOTAL_BITS, normalise

LIMIT = 15  # largest change, in units
RATIOS = (1, 2, 4, 6, 8, 10, 12, 14)  # sixteenths: how much less likely each further unit is
# Unit of a change, as a power of two of the layer's output unit.
UNITS = {"inner": 3, "first": -1, "second": 3}
_UNIFORM = np.full((1, len(RATIOS)), TOTAL // len(RATIOS), np.int64)  # of the choice of a ratio

Changes = dict[str, NDArray[np.int64]]  # by layer, int [out]


def layers(tensors: Tensors) -> dict[str, int]:
    """Names and widths of the layers that can change, in file order."""
    names = [name.removesuffix(".shift") for name in sorted(tensors) if name.endswith(".shift")]
    return {name: len(tensors[f"{name}.bias"]) for name in names if name.split(".")[0] in UNITS}


def unit_shift(name: str, shift: NDArray[np.int64]) -> NDArray[np.int64]:
    """log2 of a change's unit in units of the layer's sums, [out]."""
    return np.maximum(shift.astype(np.int64) + UNITS[name.split(".")[0]], 0)


def applied(tensors: Tensors, changes: Changes) -> dict[str, NDArray[np.int64]]:
    """The network's tensors with changes added."""
    changed = {name: np.asarray(value) for name, value in tensors.items()}
    for name, change in changes.items():
        bias = changed[f"{name}.bias"].astype(np.int64)
        changed[f"{name}.bias"] = bias + (change << unit_shift(name, changed[f"{name}.shift"]))
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
    for name in reversed(layers(tensors)):
        symbols = changes[name] + LIMIT
        costs = [-np.log2(pmf[symbols]).sum() for pmf in table]
        best = int(np.argmin(costs))
        coder.push(symbols, np.broadcast_to(table[best], (len(symbols), len(table[best]))))
        coder.push(np.array([best]), _UNIFORM)
    return coder.data()


def unpack(data: bytes, tensors: Tensors) -> Changes:
    """The inverse of `pack`; CorruptFile if the bytes are damaged."""
    if not data:
        return {}
    coder = Coder(data)
    changes = {}
    for name, width in layers(tensors).items():
        pmf = _pmf(RATIOS[int(coder.pop(_UNIFORM)[0])])
        changes[name] = coder.pop(np.broadcast_to(pmf, (width, len(pmf)))).astype(np.int64) - LIMIT
    if not coder.empty:
        raise CorruptFile("the changes of the network are damaged")
    return changes
