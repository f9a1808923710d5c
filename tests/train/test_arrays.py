"""What cannot be read for a training is one error, for arrays and for checkpoints."""

from pathlib import Path

import numpy as np
import pytest

from bfncodec.errors import BfnError
from bfncodec.train import arrays, checkpoint


@pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY", b"\x93NUMPY\1\0\4\0abcd"])
def test_files_that_are_no_arrays_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.npy").write_bytes(content)
    with pytest.raises(BfnError, match="cannot be read as an array"):
        arrays.read(tmp_path / "data.npy")


def test_several_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", one=np.zeros(1), other=np.zeros(1))
    with pytest.raises(BfnError, match="several arrays"):
        arrays.read(tmp_path / "data.npz")


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(BfnError, match="cannot be read as an array"):
        arrays.read(tmp_path / "data.npy")


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"\2\0\0\0\0\0\0\0{}"])
def test_files_that_are_no_checkpoints_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "one.safetensors").write_bytes(content)
    for read in (checkpoint.plan, lambda path: checkpoint.load(path, [])):
        with pytest.raises(BfnError, match="cannot be read as a checkpoint"):
            read(tmp_path / "one.safetensors")
