"""The theory of what was coded: path loss and n-step loss, in bits. Floats belong here."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.pmf import TOTAL_BITS
from bfncodec.flow.sender import VectorSender

DRAWS = 4


def surprise(weights: NDArray[Any], symbols: NDArray[Any]) -> float:
    """Sum of -log2 of the weights [n, k] of symbols [n], in bits."""
    chosen = np.take_along_axis(weights, symbols.astype(np.int64)[:, None], axis=1)
    return float((TOTAL_BITS - np.log2(chosen.astype(np.float64))).sum())


def divergence(sender: NDArray[Any], receiver: NDArray[Any], offsets: NDArray[Any]) -> float:
    """KL(p_S || p_R) in bits of weights [n, k] and [n, m], summed; sender symbol 0 is receiver symbol offsets [n]."""
    index = offsets.astype(np.int64)[:, None] + np.arange(sender.shape[1])
    matched = np.take_along_axis(receiver, index, axis=1).astype(np.float64)
    weights = sender.astype(np.float64)
    return float((weights * np.log2(weights / matched)).sum() / 2.0**TOTAL_BITS)


def vector_costs(
    sender: VectorSender, values: NDArray[Any], views: NDArray[Any], output: NDArray[Any], name: tuple[int, int]
) -> tuple[float, float]:
    """Path cost in bits of views int [n, K] of classes int [n], and KL(p_S || p_R) averaged over DRAWS other views."""
    rng = np.random.default_rng(name)
    count, classes = output.shape
    own = sender.hot(values)
    sums = sender.table.cumsum(axis=1)
    seen = [sender.coordinate.receiver_symbols(views)]
    for _ in range(DRAWS):
        points = rng.integers(0, 1 << TOTAL_BITS, count * classes)
        drawn = np.where(own, np.searchsorted(sums[1], points, "right"), np.searchsorted(sums[0], points, "right"))
        seen.append(drawn.reshape(count, classes))
    paths = []
    for symbols in seen:
        likely = (sender.table[1] / sender.table[0])[symbols]
        right = likely[np.arange(count), values.astype(np.int64)]
        paths.append(float((TOTAL_BITS + np.log2(right) - np.log2((output * likely).sum(axis=1))).sum()))
    return paths[0], float(np.mean(paths[1:]))
