"""Vectors in compiled functions give what plain Python gives."""

import numpy as np

from bfncodec.exact.compiled import compiled
from bfncodec.exact.int32_vectors import LANES, add_products, dot

COUNT, DOWN, MOST = 2 * LANES, 5, (1 << 18) - 1


@compiled
def _sum(one: np.ndarray, other: np.ndarray) -> int:
    return dot(one, other, COUNT, DOWN)


@compiled
def _move(target: np.ndarray, source: np.ndarray, factor: int) -> None:
    add_products(target, source, factor, COUNT, 15, MOST)


def _numbers(seed: int, most: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-most, most + 1, COUNT + 3).astype(np.int32)


def test_sums_of_products() -> None:
    for seed in range(20):
        one, other = _numbers(seed, 2815), _numbers(seed + 99, MOST)
        expected = sum(int(a) * int(b) >> DOWN for a, b in zip(one[:COUNT], other[:COUNT], strict=True))
        assert _sum(one, other) == dot(one, other, COUNT, DOWN) == expected


def test_added_products_stay_within_their_limits() -> None:
    for seed, factor in enumerate((0, 1, -1, 24576, -24576, 77)):
        source, target = _numbers(seed, 2815), _numbers(seed + 99, MOST)
        plain = target.copy()
        moved = [int(a) + (int(b) * factor + (1 << 14) >> 15) for a, b in zip(target, source, strict=True)]
        _move(target, source, factor)
        add_products(plain, source, factor, COUNT, 15, MOST)
        assert (target == plain).all()
        assert target[:COUNT].tolist() == [min(max(one, -MOST), MOST) for one in moved[:COUNT]]
        assert abs(target[:COUNT]).max() <= MOST
