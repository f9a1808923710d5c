"""The Gaussian sender of discretised values, and the receiver that it implies, in integers.

Sender p_S(y | x; a) (arXiv:2308.07037, section 4): y = x + noise, on a grid of a
power-of-two spacing, so that its pmf depends on x modulo the spacing alone.
Receiver p_R(y | theta; a): the sender averaged over the output distribution.
"""

from functools import cache
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.pmf import TOTAL, TOTAL_BITS, normalise, normalise_masses
from bfncodec.exact.splitmix import stream
from bfncodec.exact.tables import exp_negative
from bfncodec.flow.schedule import AnyStep, Dither, Draw, Step, Vector

SHARES = 1 << 16  # of Draw.share
TAIL = 6  # the noise is cut at so many deviations
_CHUNK = 1 << 13  # rows mixed at once
_RATIO_BITS = 18  # of likelihoods


class GaussianSender:
    """The sender of one step over values 0 .. levels - 1."""

    noise_bits = 4  # surely enough for one view: on a grid of sigma / 2 to sigma it holds 2.1 to 3.1

    def __init__(self, step: Step) -> None:
        self.step = step
        spacing = step.spacing
        self.rows = max(1, min(spacing // step.unit, step.levels))  # values whose places on the grid differ
        reach = TAIL * step.deviation // spacing + 1
        index = np.arange(-reach, reach + 2)
        distance = index[None] * spacing - np.arange(self.rows)[:, None] * step.unit
        mass = exp_negative(distance.astype(np.int64) ** 2, 2 * step.deviation**2)
        sums = mass.cumsum(axis=1)
        # Every row is brought to one total of 2**24 before the common rule.
        self.table = normalise((sums << TOTAL_BITS) // sums[:, -1:], TOTAL_BITS)
        self.first = -reach

    def weights(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """p_S(. | x) for values int [n]: weights [n, symbols]."""
        return self.table[values.astype(np.int64) % self.rows]

    def _place(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Points of the grid at or below values."""
        return values.astype(np.int64) * self.step.unit // self.step.spacing

    def noisy(self, values: NDArray[Any], symbols: NDArray[Any]) -> NDArray[np.int64]:
        """The views y in 1 / unit level, int64 [n], that sender symbols stand for."""
        return (self._place(values) + self.first + symbols) * self.step.spacing

    def symbols(self, values: NDArray[Any], views: NDArray[Any]) -> NDArray[np.int64]:
        """The inverse of `noisy`."""
        return views // self.step.spacing - self._place(values) - self.first

    def receiver_symbols(self, views: NDArray[Any]) -> NDArray[np.int64]:
        """Receiver symbols of views."""
        return views // self.step.spacing - self.first

    def receiver_views(self, symbols: NDArray[Any]) -> NDArray[np.int64]:
        """Views of receiver symbols."""
        return (symbols.astype(np.int64) + self.first) * self.step.spacing

    @cache  # noqa: B019 - senders live as long as the process
    def matrix(self) -> NDArray[np.float64]:
        """p_S over the whole receiver grid, exact integers in float64 [levels, symbols]."""
        values = np.arange(self.step.levels)
        blocks, width = self._place(values), self.table.shape[1]
        matrix = np.zeros((len(values), blocks[-1] + width))
        for value, block in zip(values, blocks, strict=True):
            matrix[value, block : block + width] = self.table[value % self.rows]
        return matrix

    def receiver(self, output: NDArray[Any]) -> NDArray[np.int32]:
        """p_R from output weights [n, levels]: weights [n, symbols]; sums of 48 bits, exact in float64."""
        matrix = self.matrix()
        rows = np.empty((len(output), matrix.shape[1]), np.int32)
        for start in range(0, len(output), _CHUNK):
            part = slice(start, start + _CHUNK)
            mixed = (output[part].astype(np.float64) @ matrix).astype(np.int64)
            normalise_masses(mixed, 2 * TOTAL_BITS, rows[part])
        return rows


class VectorSender:
    """The Gaussian sender of classes: every one-hot coordinate is a value of 0 or 1 with noise of its own.

    Its receiver, a mixture over classes, is coded with the class as a latent variable (bits-back).
    """

    noise_bits = GaussianSender.noise_bits  # for each coordinate

    def __init__(self, step: Vector) -> None:
        self.step, self.coordinate = step, sender(step.step)
        # Both coordinates on the whole grid: whatever one of them draws is possible for the other.
        self.table = normalise(self.coordinate.matrix().astype(np.int64).cumsum(axis=1), TOTAL_BITS)
        self.ratio = np.minimum((self.table[1] << _RATIO_BITS) // self.table[0], 1 << 2 * _RATIO_BITS - 3)

    def hot(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Coordinates int64 [n * K] of classes int [n]."""
        return (values.astype(np.int64)[:, None] == np.arange(self.step.classes)).astype(np.int64).reshape(-1)

    def joint(self, views: NDArray[Any], output: NDArray[Any]) -> NDArray[np.int64]:
        """p_O times the likelihood of views int [n, K], but for a common factor: int64 [n, K], below 2**57."""
        return output.astype(np.int64) * self.ratio[self.coordinate.receiver_symbols(views)]

    def posterior(self, views: NDArray[Any], output: NDArray[Any]) -> NDArray[np.int64]:
        """p(class | view) as weights int64 [n, K]."""
        sums = self.joint(views, output).cumsum(axis=1)
        # Sums below 2**57 are cut to 38 bits, but for small ones, so that 24 more fit.
        sums >>= np.where(sums[:, -1:] >> 38, 19, 0)
        sums += np.arange(1, self.step.classes + 1)
        return normalise((sums << TOTAL_BITS) // sums[:, -1:], TOTAL_BITS)


class DitherSender:
    """Cells of the value plus noise that both sides know; what is sent costs the receiver's mass of the cell."""

    noise_bits = 0

    def __init__(self, step: Dither) -> None:
        self.step, self.unit = step.step, step.step.unit
        self.width = step.width
        self.cells = ((self.step.levels - 1) * self.unit + self.width - 1) // self.width + 1

    def noise(self, key: tuple[int, int], count: int) -> NDArray[np.int64]:
        """The noise of a view named by `key`, int64 [count] in 0 .. width - 1."""
        return (stream(key, count) % np.uint64(self.width)).astype(np.int64)

    def cell(self, values: NDArray[Any], noise: NDArray[np.int64]) -> NDArray[np.int64]:
        """The cells int64 [n] of values int [n]."""
        return (values.astype(np.int64) * self.unit + noise) // self.width

    def views(self, cells: NDArray[Any], noise: NDArray[np.int64]) -> NDArray[np.int64]:
        """The views in 1 / unit level, int64 [n]: middles of the cells without the noise."""
        return cells.astype(np.int64) * self.width + self.width // 2 - noise

    def receiver(self, output: NDArray[Any], noise: NDArray[np.int64]) -> NDArray[np.int64]:
        """Weights [n, cells] of the cells from output weights [n, levels]."""
        edges = -((noise[:, None] - np.arange(1, self.cells + 1) * self.width) // self.unit)
        sums = np.concatenate([np.zeros((len(output), 1), np.int64), output.astype(np.int64).cumsum(axis=1)], axis=1)
        return normalise(np.take_along_axis(sums, edges.clip(0, self.step.levels), axis=1), TOTAL_BITS)


class CategoricalSender:
    """The sender of one draw over classes 0 .. K - 1: m = 1 of the paper's counts (arXiv:2308.07037, section 6)."""

    noise_bits = 9  # surely enough for one view

    def __init__(self, step: Draw) -> None:
        self.step = step
        classes = step.classes
        others = (TOTAL * (SHARES - step.share) // SHARES) // classes
        self.table = np.full((classes, classes), others, np.int64)
        self.table[np.arange(classes), np.arange(classes)] += TOTAL - classes * others

    def weights(self, values: NDArray[Any]) -> NDArray[np.int64]:
        return self.table[values]

    # Views are symbols.
    noisy = symbols = staticmethod(lambda values, views: views.astype(np.int64))
    receiver_symbols = receiver_views = staticmethod(lambda views: views.astype(np.int64))

    def receiver(self, output: NDArray[Any]) -> NDArray[np.int64]:
        """p_R from output weights [n, K]: the sender averaged over them."""
        others = int(self.table[0, 1])
        own = TOTAL - self.step.classes * others
        mixed = (output.astype(np.int64) * own >> TOTAL_BITS) + others
        mixed[:, 0] += TOTAL - mixed.sum(axis=1)
        return mixed


Sender = GaussianSender | VectorSender | DitherSender | CategoricalSender


@overload
def sender(step: Step) -> GaussianSender: ...
@overload
def sender(step: Vector) -> VectorSender: ...
@overload
def sender(step: Dither) -> DitherSender: ...
@overload
def sender(step: Draw) -> CategoricalSender: ...
@cache
def sender(step: AnyStep) -> Sender:
    """The sender of a step, made once."""
    return _KINDS[type(step)](step)


def noise_bits(step: AnyStep) -> int:
    """`noise_bits` of a step's sender, without its tables."""
    bits: int = _KINDS[type(step)].noise_bits
    return bits * step.classes if isinstance(step, Vector) else bits


_KINDS: dict[type, Any] = {Step: GaussianSender, Vector: VectorSender, Dither: DitherSender, Draw: CategoricalSender}
