"""A fixed stream of numbers, named by counters: the same on every machine, and nobody's secret."""

import numpy as np
from numpy.typing import NDArray


def stream(key: tuple[int, int], count: int) -> NDArray[np.uint64]:
    """uint64 [count] that follow from two numbers below 2**32: SplitMix64 of their position (Steele et al. 2014)."""
    high, low = (np.uint64(part) for part in key)
    start = _mixed(np.array([high << np.uint64(32) | low]))
    return _mixed(start + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = (values ^ values >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = values ^ values >> np.uint64(31)
    return mixed
