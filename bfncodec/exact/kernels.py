"""Where integer arrays live and how integer matrix products are done.

A kernel never changes a result: every product that the models ask for has sums below
2**24 in magnitude (proved when a model is loaded, see `layers.Linear`), so int32 holds them,
and float32 too, whatever the order of summation. What comes between products is compiled for
NumPy's arrays, and shared operators for torch's.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from bfncodec.errors import BfnError, UnsupportedFeature
from bfncodec.exact import products
from bfncodec.exact.compiled import compiled

SUM_LIMIT = 1 << 24
ACTIVATION_MAX = 255
Array = Any  # numpy.ndarray or torch.Tensor, as the kernel says


def clip(values: Array, low: Any, high: Any) -> Array:
    """Values limited to low .. high. (On small arrays NumPy's own clip costs several times as much.)"""
    if isinstance(values, np.ndarray):
        return np.minimum(np.maximum(values, low), high)
    return values.clip(low, high)


@compiled
def _shift(sums: Array, bias: Array, shift: Array, out: Array) -> None:
    for row in range(sums.shape[0]):
        for column in range(sums.shape[1]):
            out[row, column] = sums[row, column] + bias[column] >> shift[column]


@compiled
def _activate(sums: Array, bias: Array, shift: Array, out: Array) -> None:
    for row in range(sums.shape[0]):
        for column in range(sums.shape[1]):
            value = sums[row, column] + bias[column] >> shift[column]
            out[row, column] = min(max(value, 0), ACTIVATION_MAX)


@compiled
def _split(values: Array, low: Array, negative: Array) -> bool:
    """Low bytes of values in -256 .. 255, and whether each is negative; True if any is."""
    some = 0
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            value = values[row, column]
            low[row, column] = value & 255
            negative[row, column] = 1 if value < 0 else 0
            some |= value
    return some < 0


class Packed(NamedTuple):
    """A matrix as `products.product` wants it, and how many outputs it has."""

    weights: Array
    outputs: int


class NumpyKernel:
    """NumPy's arrays; products of bytes, compiled, or of int64, the slow reference.

    Its methods are where NumPy and torch differ; all else is shared operators.
    """

    def __init__(self, name: str = "bytes") -> None:
        self.name, self.slow = name, name == "int64"

    def array(self, values: Any) -> Array:
        """An integer array in the kernel's home; int8 and int16 become int32."""
        values = np.asarray(values)
        return values if values.dtype == np.int64 else values.astype(np.int32)

    def numpy(self, values: Array) -> np.ndarray[Any, Any]:
        """The array as NumPy."""
        return np.asarray(values)

    def weights(self, values: Array) -> Any:
        """A matrix of bytes [out, in] made ready for `matmul`."""
        return values.T.astype(np.int64) if self.slow else Packed(products.packed(values), len(values))

    def matmul(self, values: Array, weights: Any) -> Array:
        """values [n, in] in -256 .. 255 times weights [out, in]: integers [n, out], sums below 2**24."""
        if self.slow:
            return (values.astype(np.int64) @ weights).astype(np.int32)
        columns = products.GROUP * weights.weights.shape[1]
        sums = np.empty((len(values), products.BLOCK * len(weights.weights)), np.int32)
        if values.dtype == np.uint8 and values.shape[1] == columns and values.flags.c_contiguous:
            products.product(values, weights.weights, sums)
            return sums[:, : weights.outputs]
        low, negative = np.zeros((2, len(values), columns), np.uint8)
        some = _split(values, low, negative)
        products.product(low, weights.weights, sums)
        if some:  # two's complement: the sign stands for -256
            signs = np.empty_like(sums)
            products.product(negative, weights.weights, signs)
            sums -= signs << 8
        return sums[:, : weights.outputs]

    def shifted(self, sums: Array, bias: Array, shift: Array) -> Array:
        """sums + bias >> shift, int32 [n, out]; bias and shift int32 [out]."""
        shifted = np.empty(sums.shape, np.int32)
        _shift(sums, bias, shift, shifted)
        return shifted

    def activated(self, sums: Array, bias: Array, shift: Array) -> Array:
        """The same, limited to 0 .. ACTIVATION_MAX, of the type that `matmul` likes best."""
        activated = np.empty(sums.shape, np.uint8)
        _activate(sums, bias, shift, activated)
        return activated

    def concat(self, parts: list[Array]) -> Array:
        """Arrays joined along the last axis."""
        return np.concatenate(parts, axis=-1)

    def stack(self, parts: list[Array]) -> Array:
        """Arrays joined along a new last axis."""
        return np.stack(parts, axis=-1)


class TorchKernel:
    """The same by torch on any device; products in float32 (exact below 2**24, TF32 off)."""

    def __init__(self, device: str) -> None:
        import torch

        self._torch = torch
        self.device = torch.device(device)
        self.name = f"torch-{self.device.type}"
        torch.backends.cuda.matmul.allow_tf32 = False

    def array(self, values: Any) -> Array:
        tensor = self._torch.as_tensor(values, device=self.device)
        return tensor if tensor.dtype == self._torch.int64 else tensor.to(self._torch.int32)

    def numpy(self, values: Array) -> np.ndarray[Any, Any]:
        return values.cpu().numpy()

    def weights(self, values: Array) -> Any:
        return self._torch.as_tensor(values, device=self.device).T.to(self._torch.float32).contiguous()

    def matmul(self, values: Array, weights: Any) -> Array:
        return values.to(self._torch.float32) @ weights

    def shifted(self, sums: Array, bias: Array, shift: Array) -> Array:
        return sums.to(self._torch.int32) + bias >> shift

    def activated(self, sums: Array, bias: Array, shift: Array) -> Array:
        return self.shifted(sums, bias, shift).clip(0, ACTIVATION_MAX)

    def concat(self, parts: list[Array]) -> Array:
        return self._torch.cat(parts, dim=-1)

    def stack(self, parts: list[Array]) -> Array:
        return self._torch.stack(parts, dim=-1)


Kernel = NumpyKernel | TorchKernel


def self_check(kernel: Kernel) -> None:
    """Compare the kernel with exact sums at the extremes of its range; BfnError if it differs."""
    columns = 256
    values = np.full((3, columns), 255, np.int32)
    values[1, ::2] = 0
    values[2] = np.arange(columns) - 128
    weights = np.full((4, columns), 127, np.int64)
    weights[1] = -128
    weights[2, ::2] = -128
    weights[3] = np.arange(columns) % 255 - 127
    got = kernel.numpy(kernel.matmul(kernel.array(values), kernel.weights(weights)))
    if not np.array_equal(got, values.astype(np.int64) @ weights.T):
        raise BfnError(f"kernel {kernel.name} failed its self-check on this machine")


NAMES = ("bytes", "int64", "torch-cpu", "torch-cuda")
_OF_DEVICE = {"auto": "bytes", "cpu": "bytes", "cuda": "torch-cuda"}


def kernel(name: str) -> Kernel:
    """The kernel of that name (one of NAMES), or for --device auto, cpu or cuda; checked once.

    UnsupportedFeature for other names, and where CUDA is asked for and absent.
    """
    return _checked(_OF_DEVICE.get(name, name))


@cache
def _checked(name: str) -> Kernel:
    if name not in NAMES:
        raise UnsupportedFeature(f"no kernel is called {name!r}; there are {', '.join(NAMES)}")
    if name == "torch-cuda":
        import torch

        if not torch.cuda.is_available():
            raise UnsupportedFeature("no CUDA device is available; use --device cpu")
    chosen = TorchKernel(name.removeprefix("torch-")) if name.startswith("torch-") else NumpyKernel(name)
    self_check(chosen)
    return chosen
