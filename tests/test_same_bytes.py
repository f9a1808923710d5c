"""The same bytes with any number of threads, any kernel and any device; a kernel that is off by a bit is caught."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from bfncodec import container
from bfncodec.blocks import pictures as picture_blocks
from bfncodec.container import Block, File
from bfncodec.errors import CorruptFile
from bfncodec.exact import kernels
from bfncodec.exact.kernels import NumpyKernel
from bfncodec.models.image.passes import LEARN_FROM
from bfncodec.picture import Layout, Origin, Picture
from bfncodec.presets import Choices

NAMES = [name for name in kernels.NAMES if name != "torch-cuda"]

CHILD = """
import sys
from pathlib import Path
import numpy as np
from bfncodec import container
from bfncodec.blocks import pictures as picture_blocks
from bfncodec.container import File
from bfncodec.picture import Layout, Origin, Picture
from bfncodec.presets import Choices

pixels, wanted = np.load(sys.argv[1]), Path(sys.argv[2]).read_bytes()
pictures = [Picture(Origin.ARRAY, Layout.RGBA, part) for part in pixels]
for kernel in sys.argv[4:]:
    choices = Choices(model=sys.argv[3])
    object.__setattr__(choices, "device", kernel)
    block = picture_blocks.encode(pictures, choices)
    data = container.write(File([block], [str(number) for number in range(block.items)]))
    assert data == wanted, f"{kernel} encodes other bytes"
    decoded = [picture.pixels for picture in block.form.decode(block, kernel)]
    assert np.array_equal(decoded, pixels), f"{kernel} decodes other pixels"
print("same")
"""


@pytest.fixture(params=["pieces", "whole"])
def pixels(photo: np.ndarray, request: pytest.FixtureRequest) -> np.ndarray:
    """Pieces of a photograph, [22, 6, 24, 4], or one image so large that the heads learn, [1, 132, 128, 4]."""
    if request.param == "whole":
        whole = np.tile(photo, (3, 3, 1))[None, :132, :128]
        assert whole[0, ..., 0].size >= LEARN_FROM
        return np.concatenate([whole, whole[..., :1] // 2], axis=3)
    corners = [(y, x) for y in range(0, 48, 4) for x in (0, 32)]
    pieces = np.stack([photo[y : y + 6, x : x + 24] for y, x in corners if y + 6 <= 48])
    return np.concatenate([pieces, pieces[..., :1] // 2 + np.arange(24, dtype=np.uint8)[:, None]], axis=3)


def encoded(pixels: np.ndarray, kernel: str, model: Path) -> Block:
    pictures = [Picture(Origin.ARRAY, Layout.RGBA, part) for part in pixels]
    choices = Choices(model=str(model))
    object.__setattr__(choices, "device", kernel)  # no kernel but those of devices can be chosen
    return picture_blocks.encode(pictures, choices)


def file_bytes(block: Block) -> bytes:
    return container.write(File([block], [str(number) for number in range(block.items)]))


def decoded(block: Block, kernel: str) -> np.ndarray:
    return np.stack([picture.pixels for picture in block.form.decode(block, kernel)])


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other are slow on a busy machine; children set their own."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_every_kernel_writes_the_same_bytes_and_reads_them(pixels: np.ndarray, tiny: Path) -> None:
    blocks = {name: encoded(pixels, name, tiny) for name in NAMES}
    assert len({file_bytes(block) for block in blocks.values()}) == 1
    for name in NAMES:
        assert np.array_equal(decoded(blocks["int64"], name), pixels)


@pytest.mark.parametrize("threads", [1, 2])
def test_fresh_processes_with_any_number_of_threads(
    pixels: np.ndarray, tiny: Path, tmp_path: Path, threads: int
) -> None:
    np.save(tmp_path / "pixels.npy", pixels)
    (tmp_path / "file.bfn").write_bytes(file_bytes(encoded(pixels, "int64", tiny)))
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    child = subprocess.run(
        [sys.executable, "-c", CHILD, tmp_path / "pixels.npy", tmp_path / "file.bfn", tiny, *NAMES],
        env=os.environ | dict.fromkeys(variables, str(threads)) | {"OMP_WAIT_POLICY": "PASSIVE"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert child.stdout == "same\n", child.stderr


class _LastPlaceKernel(NumpyKernel):
    """Float products one unit in the last place too small, cut to integers."""

    def __init__(self) -> None:
        super().__init__("int64")

    def matmul(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        products = values.astype(np.float32) @ weights.astype(np.float32)
        return np.nextafter(products, np.float32(0)).astype(np.int32)


class _SlippingKernel(NumpyKernel):
    """One sum in a thousand has lost bit 12."""

    def __init__(self) -> None:
        super().__init__()
        self.random = np.random.default_rng(0)

    def matmul(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        exact = super().matmul(values, weights).astype(np.int64)
        lost = self.random.random(exact.shape) < 1e-3
        return np.where(lost, exact & ~(1 << 12), exact).astype(np.int32)


@pytest.mark.parametrize("wrong", [_LastPlaceKernel, _SlippingKernel])
@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_a_kernel_off_by_a_bit_is_caught(
    pixels: np.ndarray, tiny: Path, monkeypatch: pytest.MonkeyPatch, wrong: type, side: str
) -> None:
    """Never other pixels: wrong networks on either side end in CorruptFile."""
    right = kernels.kernel("bytes")
    name = f"{wrong.__name__} for the {side} of {len(pixels)}"  # networks are kept by it
    monkeypatch.setattr(kernels, "kernel", lambda wanted: wrong() if wanted == name else right)
    good = encoded(pixels, "bytes", tiny)
    block = good if side == "decoder" else encoded(pixels, name, tiny)
    with pytest.raises(CorruptFile):
        decoded(block, name if side == "decoder" else "bytes")
    assert np.array_equal(decoded(good, "bytes"), pixels)


@pytest.mark.gpu
def test_cuda_writes_the_same_bytes_and_reads_them(pixels: np.ndarray, tiny: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device: its bytes were not compared")
    block = encoded(pixels, "bytes", tiny)
    assert file_bytes(encoded(pixels, "torch-cuda", tiny)) == file_bytes(block)
    assert np.array_equal(decoded(block, "torch-cuda"), pixels)
