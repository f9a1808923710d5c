"""The Gaussian sender of discretised values, and the receiver that it implies, in integers.

Sender p_S(y | x; a) (arXiv:2308.07037, section 4): y = x + noise, on a grid of a
power-of-two spacing, so that its pmf depends on x modulo the spacing alone.
Receiver p_R(y | theta; a): the sender averaged over the output distribution.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.pmf import LEVELS, TOTAL, TOTAL_BITS, normalise
from bfncodec.exact.tables import exp_negative
from bfncodec.flow.schedule import AnyStep, Draw, Step

TAIL = 6  # the noise is cut at so many deviations
_CHUNK = 1 << 13  # rows mixed at once


class GaussianSender:
    """The sender of one step over values 0..255."""

    noise_bits = 4  # surely enough for one view: on a grid of sigma / 2 to sigma it holds 2.1 to 3.1

    def __init__(self, step: Step) -> None:
        self.step = step
        spacing = step.spacing
        reach = TAIL * step.deviation // spacing + 1
        index = np.arange(-reach, reach + 2)
        distance = index[None] * spacing - np.arange(spacing)[:, None]
        mass = exp_negative(distance.astype(np.int64) ** 2, 2 * step.deviation**2)
        sums = mass.cumsum(axis=1)
        # Bring every row to one total of 2**24 before the common rule.
        scaled = (sums << TOTAL_BITS) // sums[:, -1:]
        self.table = normalise(scaled, TOTAL_BITS)
        self.first = -reach

    def weights(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """p_S(. | x) for values int [n]: weights [n, symbols]."""
        return self.table[values % self.step.spacing]

    def noisy(self, values: NDArray[Any], symbols: NDArray[Any]) -> NDArray[np.int64]:
        """The views y in levels, int64 [n], that sender symbols stand for."""
        grid = values.astype(np.int64) // self.step.spacing + self.first + symbols
        return grid * self.step.spacing

    def symbols(self, values: NDArray[Any], views: NDArray[Any]) -> NDArray[np.int64]:
        """The inverse of `noisy`."""
        return views // self.step.spacing - values.astype(np.int64) // self.step.spacing - self.first

    @property
    def origin(self) -> int:
        """Receiver symbol 0 stands for the view origin * spacing."""
        return self.first

    def receiver_symbols(self, views: NDArray[Any]) -> NDArray[np.int64]:
        """Receiver symbols of views."""
        return views // self.step.spacing - self.first

    def receiver_views(self, symbols: NDArray[Any]) -> NDArray[np.int64]:
        """Views of receiver symbols."""
        return (symbols.astype(np.int64) + self.first) * self.step.spacing

    @cache  # noqa: B019 - senders live as long as the process
    def _matrix(self) -> NDArray[np.float64]:
        """p_S over the whole receiver grid, exact integers in float64 [256, symbols]."""
        width = self.table.shape[1]
        blocks = (LEVELS - 1) // self.step.spacing
        matrix = np.zeros((LEVELS, blocks + width))
        for value in range(LEVELS):
            block = value // self.step.spacing
            matrix[value, block : block + width] = self.table[value % self.step.spacing]
        return matrix

    def receiver(self, output: NDArray[Any]) -> NDArray[np.int32]:
        """p_R from output weights [n, 256]: weights [n, symbols]; sums of 48 bits, exact in float64."""
        matrix = self._matrix()
        rows = np.empty((len(output), matrix.shape[1]), np.int32)
        for start in range(0, len(output), _CHUNK):
            part = slice(start, start + _CHUNK)
            mixed = (output[part].astype(np.float64) @ matrix).astype(np.int64)
            rows[part] = normalise(mixed.cumsum(axis=1), 2 * TOTAL_BITS)
        return rows


class CategoricalSender:
    """The sender of one draw over classes 0..255: m = 1 of the paper's counts (arXiv:2308.07037, section 6)."""

    noise_bits = 9  # surely enough for one view

    def __init__(self, step: Draw) -> None:
        self.step = step
        others = (TOTAL * (SHARES - step.share) // SHARES) // LEVELS
        self.table = np.full((LEVELS, LEVELS), others, np.int64)
        self.table[np.arange(LEVELS), np.arange(LEVELS)] += TOTAL - LEVELS * others

    def weights(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """p_S(. | x) for classes int [n]: weights [n, 256]."""
        return self.table[values]

    def noisy(self, values: NDArray[Any], symbols: NDArray[Any]) -> NDArray[np.int64]:
        """The views, which are the symbols."""
        return symbols.astype(np.int64)

    def symbols(self, values: NDArray[Any], views: NDArray[Any]) -> NDArray[np.int64]:
        """The symbols, which are the views."""
        return views.astype(np.int64)

    receiver_symbols = receiver_views = staticmethod(lambda views: views.astype(np.int64))

    def receiver(self, output: NDArray[Any]) -> NDArray[np.int64]:
        """p_R from output weights [n, 256]: the sender averaged over them."""
        others = int(self.table[0, 1])
        own = TOTAL - LEVELS * others
        mixed = (output.astype(np.int64) * own >> TOTAL_BITS) + others
        mixed[:, 0] += TOTAL - mixed.sum(axis=1)
        return mixed


SHARES = 1 << 16  # of Draw.share
Sender = GaussianSender | CategoricalSender


@cache
def sender(step: AnyStep) -> Sender:
    """The sender of a step, made once."""
    return CategoricalSender(step) if isinstance(step, Draw) else GaussianSender(step)
