"""Base coefficients in a file: whether they pay, and their bytes (Rice code of the change from the model's)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import CorruptFile
from bfncodec.models.image import linear
from bfncodec.models.image.canvas import RADIUS, filled

_SIZE = linear.REGRESSORS * 3 + 3
_LONGEST = 1 << 17  # ones of a code at most
_SAMPLED = 128, 512  # rows in the middle, and columns, that tell whether coefficients pay
_FLOOR = 12  # 1/16 level: errors below this scale tell little


def choose(planes: NDArray[Any], prior: NDArray[np.int64]) -> NDArray[np.int64]:
    """Coefficients [74, 3] fitted to images [N, H, W, C], or the prior where they would not pay."""
    if planes[..., 0].size < 4096:
        return prior
    canvas = filled(planes)
    fitted = linear.solve(linear.normal_equations(canvas), prior)
    top = max(planes.shape[1] - _SAMPLED[0], 0) // 2
    sample = np.ascontiguousarray(canvas[:, top : top + RADIUS + _SAMPLED[0], : 2 * RADIUS + _SAMPLED[1]])
    inner = np.s_[:, RADIUS:, RADIUS:-RADIUS, :3]
    levels = 16 * sample[inner].astype(np.int64)
    before, after = (abs(levels - linear.bases(sample, one)[inner]) + _FLOOR for one in (prior, fitted))
    share = np.log2(before / after).mean()
    # About half of the difference in log-size survives the network, which corrects its base.
    gain = 0.5 * share * planes.size
    return fitted if gain > 8 * len(pack(fitted, prior)) else prior


def pack(coefficients: NDArray[np.int64], prior: NDArray[np.int64]) -> bytes:
    """Bytes of coefficients [74, 3]; none if they are the prior's. First byte: the Rice parameter."""
    change = (coefficients - prior).reshape(-1)
    if not change.any():
        return b""
    folded = np.where(change < 0, -2 * change - 1, 2 * change)
    costs = [int((folded >> k).sum()) + _SIZE * (k + 1) for k in range(17)]
    k = int(np.argmin(costs))
    text = "".join("1" * (int(v) >> k) + "0" + (format(int(v) & (1 << k) - 1, f"0{k}b") if k else "") for v in folded)
    return bytes([k]) + np.packbits(np.frombuffer(text.encode(), np.uint8) - ord("0")).tobytes()


def unpack(data: bytes, prior: NDArray[np.int64]) -> NDArray[np.int64]:
    """The inverse of `pack`; CorruptFile if the bytes are damaged."""
    if not data:
        return prior
    k = data[0]
    if k > 16 or len(data) > _SIZE * (_LONGEST + 17) // 8 + 2:
        raise CorruptFile("the base coefficients are damaged")
    bits = (np.unpackbits(np.frombuffer(data, np.uint8)[1:]) + ord("0")).tobytes()
    values = []
    position = 0
    for _ in range(_SIZE):
        stop = bits.find(b"0", position)
        if stop < 0 or stop + 1 + k > len(bits) or stop - position > _LONGEST:
            raise CorruptFile("the base coefficients are damaged")
        low = int(bits[stop + 1 : stop + 1 + k], 2) if k else 0
        values.append((stop - position) << k | low)
        position = stop + 1 + k
    folded = np.array(values, np.int64)
    change = np.where(folded & 1, -(folded + 1) // 2, folded // 2)
    result = prior + change.reshape(prior.shape)
    if len(bits) - position > 7 or b"1" in bits[position:] or abs(result).max() > linear.LIMIT:
        raise CorruptFile("the base coefficients are damaged")
    return result
