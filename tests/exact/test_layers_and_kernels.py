"""Kernels agree to the last bit; layers prove their range; the integer network is the rounded float network."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bfncodec.errors import BfnError, CorruptFile, UnsupportedFeature
from bfncodec.exact import kernels
from bfncodec.exact.kernels import SUM_LIMIT, NumpyKernel, TorchKernel, self_check
from bfncodec.exact.layers import ACTIVATION_MAX, INPUT_MAX, Linear, LocalNetwork
from bfncodec.exact.splitmix import stream
from bfncodec.models import zoo
from bfncodec.train.freeze import freeze
from bfncodec.train.image import network as training_network
from bfncodec.train.image.pool import Batch

NAMES = [name for name in kernels.NAMES if name != "torch-cuda"]

every = pytest.mark.parametrize("name", NAMES)


# Kernels


@every
def test_products_are_exact(name: str) -> None:
    kernel = kernels.kernel(name)
    random = np.random.default_rng(0)
    for rows, columns, outputs in ((1, 1, 1), (3, 157, 16), (200, 256, 33), (17, 500, 64)):
        values = random.integers(-128, 256, (rows, columns))
        weights = random.integers(-128, 128, (outputs, columns))
        assert (abs(weights) @ np.full(columns, 255)).max() < SUM_LIMIT
        got = kernel.numpy(kernel.matmul(kernel.array(values.astype(np.int32)), kernel.weights(weights)))
        assert np.array_equal(got, values @ weights.T)


@every
def test_sums_are_shifted_and_limited(name: str) -> None:
    """Rounding down, below zero too, for what products give and for int32."""
    kernel = kernels.kernel(name)
    random = np.random.default_rng(8)
    values = random.integers(-(2**23), 2**23, (40, 6)).astype(np.int32)
    values[0] = -1, 0, 1, 255 * 16 - 9, 255 * 16 - 8, 255 * 16 + 8
    bias, shift = np.array([0, 5, -5, 8, 8, 8], np.int32), np.array([0, 1, 3, 4, 4, 4], np.int32)
    small = random.integers(-128, 256, (40, 6)).astype(np.int32)
    products = kernel.matmul(kernel.array(small), kernel.weights(np.eye(6, dtype=np.int64)))
    home = kernel.array(bias), kernel.array(shift)
    for sums, exact in ((products, small), (kernel.array(values), values)):
        wanted = exact.astype(np.int64) + bias >> shift
        got = kernel.numpy(kernel.shifted(sums, *home))
        assert got.dtype == np.int32 and np.array_equal(got, wanted)
        assert np.array_equal(kernel.numpy(kernel.activated(sums, *home)), wanted.clip(0, 255))


@every
def test_products_are_exact_at_the_limit(name: str) -> None:
    """Sums near 2**24 that only come right if no partial sum loses its last bit."""
    kernel = kernels.kernel(name)
    columns = 518
    weights = np.full((3, columns), 127)
    weights[1] = -127
    weights[2, ::2] = -127
    values = np.full((4, columns), 255)
    values[0, -1] = 254
    values[1, ::2] = 1
    values[2] = np.arange(columns) % 256
    assert SUM_LIMIT > abs(values @ weights.T).max() > SUM_LIMIT - (1 << 15)
    got = kernel.numpy(kernel.matmul(kernel.array(values.astype(np.int32)), kernel.weights(weights)))
    assert np.array_equal(got, values @ weights.T)


@every
def test_shared_operators(name: str) -> None:
    """What models do between products: shifts and divisions round down, below zero too."""
    kernel = kernels.kernel(name)
    random = np.random.default_rng(1)
    values = random.integers(-(2**20), 2**20, (5, 7)).astype(np.int32)
    home = kernel.array(values)
    assert np.array_equal(kernel.numpy(home + 8 >> 4), (values + 8) // 16)
    assert np.array_equal(kernel.numpy(kernel.concat([home, home[:, :2]])), np.concatenate([values, values[:, :2]], 1))
    assert np.array_equal(kernel.numpy(kernel.stack([home[:, 0], home[:, 1]])), values[:, :2])
    assert kernel.numpy(kernel.array(values.astype(np.int16))).dtype == np.int32
    assert kernel.numpy(kernel.array(values.astype(np.int64))).dtype == np.int64
    wide = kernel.array(values.astype(np.int64) << 30)
    divisor = kernel.array(random.integers(1, 2**20, (5, 7)))
    assert np.array_equal(kernel.numpy(wide // divisor), (values.astype(np.int64) << 30) // kernel.numpy(divisor))


@every
def test_joins_are_along_the_last_axis(name: str) -> None:
    kernel = kernels.kernel(name)
    parts = [kernel.array(np.arange(24).reshape(2, 3, 4) + number) for number in (0, 50)]
    values = [kernel.numpy(part) for part in parts]
    assert np.array_equal(kernel.numpy(kernel.concat(parts)), np.concatenate(values, axis=2))
    assert np.array_equal(kernel.numpy(kernel.stack(parts)), np.stack(values, axis=3))


class _Slow(NumpyKernel):
    """Weights int64 [in, out], to be multiplied wrongly."""

    def __init__(self) -> None:
        super().__init__("int64")


class _Saturating(_Slow):
    """Pairs of products saturate at 16 bits, as some CPUs' int8 instructions do."""

    def matmul(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        products = values[:, :, None] * weights.astype(np.int32)
        pairs = products.reshape(len(values), -1, 2, weights.shape[1]).sum(axis=2)
        return pairs.clip(-(2**15), 2**15 - 1).sum(axis=1).astype(np.int32)


class _HalfPrecision(_Slow):
    """Sums kept in float16."""

    def matmul(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.nan_to_num(values.astype(np.float16) @ weights.astype(np.float16), posinf=0, neginf=0).astype(
                np.int32
            )


class _BrainFloat(TorchKernel):
    """Sums rounded to bfloat16."""

    def __init__(self) -> None:
        super().__init__("cpu")

    def matmul(self, values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return (values.bfloat16() @ weights.bfloat16()).to(torch.int32)


class _LastPlace(_Slow):
    """Float products one unit in the last place too small, and cut to integers."""

    def matmul(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.nextafter(values.astype(np.float32) @ weights.astype(np.float32), np.float32(0)).astype(np.int32)


class _Unsigned(NumpyKernel):
    """Values below zero are taken for large ones."""

    def matmul(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return super().matmul(values & 255, weights)


@pytest.mark.parametrize("wrong", [_Saturating, _HalfPrecision, _BrainFloat, _LastPlace, _Unsigned])
def test_self_check_catches_wrong_kernels(wrong: type) -> None:
    with pytest.raises(BfnError, match="self-check"):
        self_check(wrong())


@every
def test_self_check_passes(name: str) -> None:
    self_check(kernels.kernel(name))
    assert kernels.kernel(name).name == name


def test_unknown_kernels_and_devices() -> None:
    with pytest.raises(UnsupportedFeature):
        kernels.kernel("int4")
    with pytest.raises(UnsupportedFeature):
        kernels.kernel("tpu")
    assert kernels.kernel("cpu").name == kernels.kernel("auto").name == "bytes"
    if not torch.cuda.is_available():
        with pytest.raises(UnsupportedFeature, match="CUDA"):
            kernels.kernel("cuda")


# Layers


def layer(weight: list[list[int]], bias: list[int], shift: list[int]) -> dict[str, np.ndarray]:
    return {
        "a.weight": np.array(weight, np.int8),
        "a.bias": np.array(bias, np.int32),
        "a.shift": np.array(shift, np.int8),
    }


def test_linear_rounds_to_nearest() -> None:
    tensors = layer([[3, -5], [127, 1]], [7, -100], [3, 0])
    linear = Linear(kernels.kernel("int64"), tensors, "a", np.array([255, 255]))
    values = np.random.default_rng(2).integers(-255, 256, (50, 2)).astype(np.int32)
    wanted = np.floor((values @ [3, -5] + 7) / 8 + 0.5)
    assert np.array_equal(linear(values)[:, 0], wanted)
    assert np.array_equal(linear(values)[:, 1], values @ [127, 1] - 100)


@pytest.mark.parametrize("sign", [1, -1])
def test_linear_refuses_what_could_overflow(sign: int) -> None:
    """The largest sum may be 2**24 - 1, counting the bias and the half unit of rounding, and not one more."""
    kernel = kernels.kernel("bytes")
    columns, shift = 400, 5
    bounds = np.full(columns, 255)
    room = SUM_LIMIT - 1 - columns * 127 * 255
    weight = [[sign * 127] * columns]
    bias = room - 16 if sign > 0 else -room - 16
    linear = Linear(kernel, layer(weight, [bias], [shift]), "a", bounds)
    extreme = np.full((1, columns), 255, np.int32)
    assert linear(extreme)[0, 0] == sign * (SUM_LIMIT - 1) >> shift
    with pytest.raises(CorruptFile, match="overflow"):
        Linear(kernel, layer(weight, [bias + sign], [shift]), "a", bounds)
    with pytest.raises(CorruptFile, match="overflow"):
        Linear(kernel, layer(weight, [bias], [shift]), "a", bounds + (np.arange(columns) == 7))


@pytest.mark.parametrize(
    "tensors",
    [
        layer([[1, 2, 3]], [0], [0]),
        layer([[1, 2], [3, 4]], [0], [0]),
        layer([[1, 2]], [0], [-1]),
        layer([[1, 2]], [0], [24]),
    ],
    ids=["columns", "rows", "negative shift", "large shift"],
)
def test_linear_refuses_wrong_shapes_and_shifts(tensors: dict[str, np.ndarray]) -> None:
    with pytest.raises(CorruptFile):
        Linear(kernels.kernel("int64"), tensors, "a", np.array([1, 1]))


def test_linear_takes_the_largest_shift() -> None:
    linear = Linear(kernels.kernel("int64"), layer([[1, 1]], [(1 << 22) - 10], [23]), "a", np.array([5, 5]))
    assert linear(np.array([[5, 5], [5, -5]], np.int32)).tolist() == [[1], [0]]


# Networks


def batch(features: torch.Tensor, errors: torch.Tensor | None) -> Batch:
    nothing = torch.zeros(len(features), 3)
    return Batch(features, errors, nothing, nothing, nothing)


def calibrated(
    cross: bool, seed: int = 0
) -> tuple[training_network.LocalTrainingNetwork, torch.Tensor, torch.Tensor | None]:
    """A random float network on its integer grids, and inputs."""
    torch.manual_seed(seed)
    network = training_network.LocalTrainingNetwork(features=40, width=24, blocks=2, head=16, mixtures=3, cross=cross)
    with torch.no_grad():
        for part in network.second:
            part.weight.normal_(0, 0.2)
        for part in network.outs:
            part.weight.normal_(0, 0.2)
    features = torch.randint(-INPUT_MAX, INPUT_MAX + 1, (600, 40)).float()
    errors = torch.randint(-INPUT_MAX, INPUT_MAX + 1, (600, 4)).float() if cross else None
    network.calibrate([batch(features, errors)])
    return network, features, errors


def frozen(network: training_network.LocalTrainingNetwork) -> dict[str, np.ndarray]:
    tensors: dict[str, np.ndarray] = {}
    for name in network.layer_names():
        weight, bias = network.folded(name)
        tensors |= freeze(name, weight.detach().double().numpy(), bias.detach().double().numpy())
    return tensors


def integer_outputs(
    name: str, tensors: dict[str, np.ndarray], features: torch.Tensor, errors: torch.Tensor | None
) -> list[np.ndarray]:
    kernel = kernels.kernel(name)
    network = LocalNetwork(kernel, tensors)
    activations = network.trunk(kernel.array(features.numpy().astype(np.int32)))
    assert 0 <= kernel.numpy(activations).min() and kernel.numpy(activations).max() <= ACTIVATION_MAX
    cross = None if errors is None else kernel.array(errors.numpy().astype(np.int32))
    return [kernel.numpy(network.head(channel, activations, cross)) for channel in range(3)]


def float_outputs(
    network: training_network.LocalTrainingNetwork, features: torch.Tensor, errors: torch.Tensor | None
) -> list[np.ndarray]:
    """The network's outputs in the units of the integer network."""
    steps = torch.tensor([16, training_network.MEAN_STEPS, 16 / np.log(2)])[:, None]
    with torch.no_grad():
        return [(out * steps).flatten(1).double().numpy() for out in network(batch(features, errors))]


@pytest.mark.parametrize("cross", [True, False])
def test_integer_network_is_the_rounded_float_network(cross: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32 they part only where the bias' own rounding tips a sum, and then by one unit or two."""
    network, features, errors = calibrated(cross)
    integer = integer_outputs("bytes", frozen(network), features, errors)
    coarse = float_outputs(network, features, errors)
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.float)
    fine = float_outputs(network, features, errors)
    for got, near, far in zip(integer, fine, coarse, strict=True):
        assert got.std() > 10
        assert np.mean(abs(got - near) > 0.01) < 0.02
        assert abs(got - near).max() < 3
        # Training rounds products to bfloat16, eight bits.
        assert abs(got - far).mean() < 0.02 * abs(got).mean()


@pytest.mark.parametrize("cross", [True, False])
def test_integer_network_is_the_same_on_every_kernel(cross: bool) -> None:
    network, features, errors = calibrated(cross, seed=1)
    tensors = frozen(network)
    wanted = integer_outputs("int64", tensors, features, errors)
    for name in NAMES:
        for got, right in zip(integer_outputs(name, tensors, features, errors), wanted, strict=True):
            assert np.array_equal(got, right)


def test_network_refuses_a_layer_that_could_overflow() -> None:
    tensors = frozen(calibrated(True)[0])
    tensors["heads.1.bias"] = tensors["heads.1.bias"] + np.int32(SUM_LIMIT)
    with pytest.raises(CorruptFile, match="heads.1"):
        LocalNetwork(kernels.kernel("int64"), tensors)


def test_a_pickle_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    torch.save({"weight": torch.zeros(2)}, path)
    with pytest.raises(CorruptFile, match="cannot be read as a model"):
        zoo.tensors(path)


@pytest.mark.parametrize("key", [(0, 0), (1, 0), (0, 1), (5, 7), (2**32 - 1, 2**32 - 1)])
def test_the_stream_is_splitmix64(key: tuple[int, int]) -> None:
    """By the published algorithm, in Python's integers; its first numbers from state 1234567 are well known."""

    def mixed(value: int) -> int:
        value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
        return value ^ value >> 31

    golden = 0x9E3779B97F4A7C15
    known = [mixed((1234567 + number * golden) % 2**64) for number in (1, 2, 3)]
    assert known == [6457827717110365317, 3203168211198807973, 9817491932198370423]
    start = mixed(key[0] * 2**32 + key[1])
    wanted = [mixed((start + number * golden) % 2**64) for number in range(1, 10)]
    assert stream(key, 9).tolist() == wanted
