"""Float layers become integers on the finest grids that they fit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bfncodec.errors import BfnError
from bfncodec.exact import kernels
from bfncodec.exact.kernels import SUM_LIMIT
from bfncodec.exact.layers import Linear
from bfncodec.train.freeze import EXPONENT_MAX, WEIGHT_MAX, freeze


def test_freeze_rounds_to_the_finest_grid_of_int8() -> None:
    random = np.random.default_rng(3)
    weight = random.normal(0, 1, (20, 30)) * np.exp2(random.integers(-30, 5, (20, 1)))
    bias = random.normal(0, 1, 20)
    frozen = freeze("a", weight, bias)
    unit = np.exp2(-frozen["a.shift"].astype(float))
    assert [frozen[f"a.{key}"].dtype for key in ("weight", "bias", "shift")] == [np.int8, np.int32, np.int8]
    assert (abs(frozen["a.weight"] * unit[:, None] - weight) <= unit[:, None] / 2).all()
    assert (abs(frozen["a.bias"] * unit - bias) <= unit / 2).all()
    peak = abs(frozen["a.weight"].astype(int)).max(axis=1)
    assert ((peak >= 63) | (frozen["a.shift"] == EXPONENT_MAX)).all()


@pytest.mark.parametrize("value", [254.5, -300.0, 1e9, np.inf, np.nan])
def test_freeze_refuses_weights_that_do_not_fit(value: float) -> None:
    weight = np.array([[0.5, 0.25], [value, 0.1]])
    with pytest.raises(BfnError, match="layer a"):
        freeze("a", weight, np.zeros(2))
    assert freeze("a", np.array([[127.0]]), np.zeros(1))["a.weight"] == 127
    assert freeze("a", np.array([[-140.0]]), np.zeros(1))["a.weight"] == -127, "saturates"


@pytest.mark.parametrize("value", [1e9, -1e9, np.inf, np.nan])
def test_freeze_refuses_biases_that_do_not_fit(value: float) -> None:
    with pytest.raises(BfnError, match="layer a"):
        freeze("a", np.array([[0.5]]), np.array([value]))


def test_freeze_takes_the_largest_values_there_are() -> None:
    assert freeze("a", np.array([[2.0 * WEIGHT_MAX]]), np.zeros(1))["a.weight"] == 127
    assert freeze("a", np.array([[127.0]]), np.array([SUM_LIMIT - 1.0]))["a.bias"] == SUM_LIMIT - 1
    with pytest.raises(BfnError, match="bias"):
        freeze("a", np.array([[127.0]]), np.array([float(SUM_LIMIT)]))
    rest = SUM_LIMIT - 1 - 255 - 255 - 0.5  # one weight of 1 under inputs to 255, and what rounding may add
    assert freeze("a", np.array([[1.0]]), np.array([-rest]), 255)["a.shift"] == 0
    with pytest.raises(BfnError, match="sums"):
        freeze("a", np.array([[1.0]]), np.array([-rest - 0.01]), 255)


@pytest.mark.parametrize(
    ("columns", "bias", "shift"), [(2000, 0, 4), (1000, -4000, 5), (1000, -3159.125, 5), (9, 0, 6)]
)
def test_freeze_leaves_room_for_sums(columns: int, bias: float, shift: int) -> None:
    """Weights of 1 under inputs to 255: the largest power of two for which sum, bias and rounding stay in 2**24."""
    reach, room = 255 * columns + abs(bias) + 0.5, SUM_LIMIT - 1 - 255 * columns
    assert reach * 2**shift <= room and (shift == 6 or reach * 2 ** (shift + 1) > room)
    frozen = freeze("a", np.ones((1, columns)), np.array([bias]), 255)
    assert frozen["a.shift"] == shift and (frozen["a.weight"] == 1 << shift).all()
    Linear(kernels.kernel("int64"), frozen, "a", np.full(columns, 255))


@given(st.integers(0, 2**32), st.sampled_from([127, 255]), st.integers(1, 600), st.floats(-9, 2.4), st.floats(-6, 7.3))
@settings(max_examples=150)
def test_sums_of_bounded_layers_stay_below_the_limit(
    seed: int, bound: int, columns: int, size: float, lift: float
) -> None:
    """Whatever is frozen for a bound is a layer that loads; what cannot be is an error."""
    random = np.random.default_rng(seed)
    weight = random.uniform(-1, 1, (3, columns)) * 10**size
    weight[0] = 10**size  # all of one sign
    bias = random.uniform(-1, 1, 3) * 10**lift
    try:
        tensors = freeze("a", weight, bias, bound)
    except BfnError:
        largest = (abs(weight).sum(axis=1) * bound + abs(bias)).max()
        assert abs(weight).max() > 127 or largest > SUM_LIMIT - 2 - bound * columns
        return
    layer = Linear(kernels.kernel("int64"), tensors, "a", np.full(columns, bound, np.int64))
    extreme = np.where(layer.integers.weight > 0, bound, -bound)
    for values in (extreme, -extreme):
        sums = values @ layer.integers.weight.T + layer.integers.bias
        assert abs(sums).max() < SUM_LIMIT
        for name in ("bytes", "torch-cpu"):
            kernel = kernels.kernel(name)
            other = Linear(kernel, tensors, "a", np.full(columns, bound, np.int64))
            got = kernel.numpy(other(kernel.array(values.astype(np.int32))))
            assert np.array_equal(got, sums >> layer.integers.shift)
    # Sums that have the room lose nothing to the bound.
    try:
        free = freeze("a", weight, bias)
    except BfnError:
        return
    reach = (abs(weight).sum(axis=1) * bound + abs(bias) + 0.5) * 2.0 ** free["a.shift"]
    roomy = reach < SUM_LIMIT - 2 - bound * columns
    assert all(np.array_equal(free[key][roomy], tensors[key][roomy]) for key in free)


def test_layers_without_a_bound_are_as_ever() -> None:
    """The finest power of two that fits int8, whatever the sums."""
    weight, bias = np.array([[0.01, -0.02], [100.0, 1.0], [0.0, 0.0]]), np.array([1.0, -3.0, 15.0])
    tensors = freeze("a", weight, bias)
    assert tensors["a.shift"].tolist() == [12, 0, 20]
    assert tensors["a.weight"].tolist() == [[41, -82], [100, 1], [0, 0]]
    assert tensors["a.bias"].tolist() == [4096, -3, 15 << 20]
    assert all(np.array_equal(value, freeze("a", weight, bias, 0)[key]) for key, value in tensors.items())
