"""Products of bytes are exact with every set of instructions, and in plain Python."""

import os
import subprocess
import sys

import llvmlite.binding
import numpy as np
import pytest

from bfncodec.exact import products

CHILD = """
import sys
import numpy as np
from bfncodec.exact import products

assert products.instructions() == sys.argv[1], products.instructions()
random = np.random.default_rng(0)
for rows, inputs, outputs in ((1, 4, 1), (4, 157, 16), (9, 64, 65), (7, 512, 128)):
    weights = random.integers(-128, 128, (outputs, inputs))
    weights[0], weights[-1] = -128, 127
    packed = products.packed(weights)
    values = random.integers(0, 256, (rows, 4 * packed.shape[1] + 8), dtype=np.uint8)
    values[0] = 255
    sums = np.full((rows, 64 * len(packed)), 7, np.int32)
    products.product(values, packed, sums)
    assert np.array_equal(sums[:, :outputs], values[:, :inputs].astype(np.int64) @ weights.T)
    assert not sums[:, outputs:].any()
    signed = values.view(np.int8)
    signed[0] = -128
    products.product(signed, packed.view(np.uint8), sums)
    wanted = signed[:, :inputs].astype(np.int64) @ weights.astype(np.uint8).astype(np.int64).T
    assert np.array_equal(sums[:, :outputs], wanted)
"""
HOST = {name for name, there in llvmlite.binding.get_host_cpu_features().items() if there}


def child(instructions: str, **variables: str) -> None:
    subprocess.run([sys.executable, "-c", CHILD, instructions], env=os.environ | variables, check=True, timeout=120)


def test_with_what_the_processor_has() -> None:
    child(products.instructions())


def test_with_pairs_of_int16() -> None:
    if "avx2" not in HOST:
        pytest.skip("this processor has no AVX2")
    features = ",".join("+" + name for name in HOST if not name.startswith("avx512"))
    child("avx2", BFNCODEC_CPU_NAME="haswell", BFNCODEC_CPU_FEATURES=features)


def test_with_plain_vectors() -> None:
    child("plain", BFNCODEC_CPU_NAME="generic", BFNCODEC_CPU_FEATURES="")


def test_without_a_compiler() -> None:
    child("none", BFNCODEC_PLAIN="1")


@pytest.mark.parametrize(("rows", "count", "columns", "planes"), [(1, 1, 1, 1), (76, 1000, 76, 2), (260, 1023, 64, 3)])
def test_factors_of_several_bytes(rows: int, count: int, columns: int, planes: int) -> None:
    """Up to the ends of what so many signed bytes hold."""
    random = np.random.default_rng(1)
    most = sum(127 << 8 * plane for plane in range(planes))
    least = -sum(128 << 8 * plane for plane in range(planes))
    factors = random.integers(least, most + 1, (count, columns))
    factors[0, 0], factors[-1, -1] = least, most
    values = random.integers(0, 256, (count, rows), dtype=np.uint8)
    wanted = factors.T @ values.astype(np.int64)
    assert np.array_equal(products.sums_of_products(values, factors, planes), wanted)


def test_long_sums_at_their_limit() -> None:
    values, factors = np.full((1 << 16, 1), 255, np.uint8), np.full((1 << 16, 1), -128 * 257)
    assert products.sums_of_products(values, factors, 2).item() == -128 * 257 * 255 << 16
