"""Vectors of int16 and products of mostly zeros are the same with every set of instructions, and in plain Python."""

import os
import subprocess
import sys

import llvmlite.binding
import numpy as np
import pytest

from bfncodec.exact import products, room

CHILD = """
import sys
import numpy as np
from bfncodec.exact import products
from bfncodec.exact.compiled import compiled
from bfncodec.exact.vectors import dots, prefetch, teach

assert products.instructions() == sys.argv[1], products.instructions()

@compiled
def say(inputs, weights, chosen, out):
    prefetch(weights, 1, 2)
    dots(inputs, weights, chosen, out, 96)

@compiled
def learn(inputs, weights, chosen, steps):
    teach(inputs, weights, chosen, steps, 96)

random = np.random.default_rng(0)
for most in (100, 1 << 15):
    inputs = random.integers(-most, most, 96).astype(np.int16)
    weights = random.integers(-most, most, (20, 96)).astype(np.int16)
    inputs[:4], weights[3, :4] = -most, -most
    chosen, out = np.array([3, 19, 0, 7]), np.zeros(4, np.int64)
    say(inputs, weights, chosen, out)
    wanted = inputs.astype(np.int64) @ weights[chosen].astype(np.int64).T
    assert np.array_equal(out, wanted.astype(np.int32)), "sums wrap around"
    steps, before = np.array([0, 7680, -7680, 1]), weights.astype(np.int64)
    learn(inputs, weights, chosen, steps)
    before[chosen] += inputs.astype(np.int64) * steps[:, None] + (1 << 14) >> 15
    assert np.array_equal(weights, before.clip(-(1 << 15), (1 << 15) - 1)), "weights stay within int16"

for inputs, outputs in ((4, 1), (157, 70), (64, 65), (130, 256), (384, 300)):
    weights = random.integers(-128, 128, (outputs, inputs))
    weights[0], weights[-1] = -128, 127
    woven = products.woven(weights)
    for share in (0, 0.2, 1):
        values = np.full(len(woven), 9, np.uint8)
        values[:-1] = 0
        values[:inputs] = np.where(random.random(inputs) < share, random.integers(0, 256, inputs), 0)
        sums = np.full(woven.shape[1], 7, np.int32)
        products.sparse_product(values, woven, sums)
        assert np.array_equal(sums[:outputs], weights @ values[:inputs].astype(np.int64))
        assert not sums[outputs:].any()
"""
HOST = {name for name, there in llvmlite.binding.get_host_cpu_features().items() if there}


def child(tmp_path: object, instructions: str, **variables: str) -> None:
    script = f"{tmp_path}/child.py"  # compiled functions need their source
    with open(script, "w") as file:
        file.write(CHILD)
    subprocess.run([sys.executable, script, instructions], env=os.environ | variables, check=True, timeout=120)


def test_with_what_the_processor_has(tmp_path: object) -> None:
    child(tmp_path, products.instructions())


def test_with_avx2(tmp_path: object) -> None:
    if "avx2" not in HOST:
        pytest.skip("this processor has no AVX2")
    features = ",".join("+" + name for name in HOST if not name.startswith("avx512"))
    child(tmp_path, "avx2", BFNCODEC_CPU_NAME="haswell", BFNCODEC_CPU_FEATURES=features)


def test_with_plain_vectors(tmp_path: object) -> None:
    child(tmp_path, "plain", BFNCODEC_CPU_NAME="generic", BFNCODEC_CPU_FEATURES="")


def test_without_a_compiler(tmp_path: object) -> None:
    child(tmp_path, "none", BFNCODEC_PLAIN="1")


@pytest.mark.parametrize("shape", [(5,), (3, 7), (1 << 20, 3)])
def test_room_is_empty_and_begins_with_a_line(shape: tuple[int, ...]) -> None:
    array = room.zeros(shape, np.int32)
    assert array.shape == shape and array.dtype == np.int32 and not array.any()
    assert array.ctypes.data % room.LINE == 0 and array.flags.writeable and array.flags.c_contiguous
    own = room.placed(np.arange(10, dtype=np.uint8))
    assert own.ctypes.data % room.LINE == 0 and own.tolist() == list(range(10))
