"""Float layers -> the integers of `layers.Linear`. Floats are allowed here: nothing here runs when coding."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bfncodec.errors import BfnError
from bfncodec.exact.kernels import SUM_LIMIT

WEIGHT_MAX = 127
EXPONENT_MAX = 20
_FINER = 4  # steps tried, from those that let the largest weight fit to an eighth of them
_DAMPING = 0.01  # of the inputs' variances, so that none counts too much


def freeze(name: str, weight: NDArray[Any], bias: NDArray[Any], bound: int = 0) -> dict[str, NDArray[Any]]:
    """int8 weights, int32 bias and shifts of a layer of float weight [out, in] and bias [out] between integer grids.

    Each row gets the largest power of two that lets it fit int8, and that keeps its sums below 2**24 for inputs up to
    `bound`; weights above 127 saturate. BfnError if they are above 254.
    """
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise BfnError(f"layer {name} has weights that are not finite")
    peak = np.maximum(abs(weight).max(axis=1), 1e-9)
    exponent = row_exponents(torch.from_numpy(weight))[:, 0].numpy()
    if peak.max() > 2 * WEIGHT_MAX:
        raise BfnError(f"layer {name} has weights too large for int8: {peak.max():.0f}")
    if bound:
        room = SUM_LIMIT - 1 - bound * weight.shape[1]  # what rounding may add is left free
        reach = abs(weight).sum(axis=1) * bound + abs(bias) + 0.5  # a half of an output is added for rounding
        if reach.max() > room:
            raise BfnError(f"layer {name} has sums too large: {reach.max():.0f}")
        exponent = np.minimum(exponent, np.floor(np.log2(room / reach)))
    power = np.exp2(exponent)
    scaled = np.floor(bias * power + 0.5)
    if abs(scaled).max() >= SUM_LIMIT:
        raise BfnError(f"layer {name} has a bias too large beside its weights: {abs(bias).max():.0f}")
    return {
        f"{name}.weight": np.floor(weight * power[:, None] + 0.5).clip(-WEIGHT_MAX, WEIGHT_MAX).astype(np.int8),
        f"{name}.bias": scaled.astype(np.int32),
        f"{name}.shift": exponent.astype(np.int8),
    }


def settled(weight: NDArray[np.float64], inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights [out, in] that `freeze` need not round, chosen so that sums of inputs [n, in] change little.

    One input after the other is rounded, and those that are left make up for it (GPTQ, arXiv:2210.17323); in steps for
    each row that may be too small for its largest weights.
    """
    spread = np.cov(inputs, rowvar=False, bias=True)
    spread[np.diag_indices_from(spread)] += _DAMPING * spread.trace() / len(spread) + 1e-9
    upper = np.linalg.cholesky(np.linalg.inv(spread)).T
    power = np.exp2(row_exponents(torch.from_numpy(weight)).numpy())
    tries = np.stack([_settled(weight, upper, power * 2**finer) for finer in range(_FINER)])
    errors = np.einsum("toi,ij,toj->to", tries - weight, spread, tries - weight, optimize=True)
    best: NDArray[np.float64] = tries[errors.argmin(axis=0), range(len(weight))]
    return best


def _settled(
    weight: NDArray[np.float64], upper: NDArray[np.float64], power: NDArray[np.float64]
) -> NDArray[np.float64]:
    left, whole = weight.copy(), np.empty_like(weight)
    for column in range(weight.shape[1]):
        whole[:, column] = np.rint(left[:, column] * power[:, 0]).clip(-WEIGHT_MAX, WEIGHT_MAX) / power[:, 0]
        error = (left[:, column] - whole[:, column]) / upper[column, column]
        left[:, column + 1 :] -= error[:, None] * upper[column, column + 1 :]
    return whole


def array(values: Tensor) -> NDArray[np.float64]:
    """A tensor as NumPy."""
    return values.detach().cpu().double().numpy()


def row_exponents(weights: Tensor) -> Tensor:
    """Largest exponents n [rows, 1] in 0 .. EXPONENT_MAX such that weights * 2**n fit int8."""
    peak = weights.abs().amax(1, keepdim=True).clamp(min=1e-9)
    return torch.floor(torch.log2(WEIGHT_MAX / peak)).clamp(0.0, EXPONENT_MAX)
