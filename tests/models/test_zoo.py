"""Where models are looked for, and what is kept of their files."""

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from bfncodec.errors import MissingModel
from bfncodec.models import zoo


def change(path: Path, how: str) -> None:
    """Put other weights at a model's place: a new file of the same time, or new bytes and a time in the same file."""
    status, data = path.stat(), bytearray(path.read_bytes())
    data[-1] ^= 1
    if how == "replaced":
        path.with_name("other").write_bytes(data)
        path.with_name("other").replace(path)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    else:
        path.write_bytes(data)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


@pytest.mark.parametrize("how", ["replaced", "overwritten"])
def test_a_model_file_that_changes_is_seen_again(tmp_path: Path, tiny: Path, how: str) -> None:
    """By a process that has read it before, though its size is the same."""
    path = tmp_path / "mine.safetensors"
    shutil.copy(tiny, path)
    before = zoo.digest(path), zoo.tensors(path)
    assert before[0] == zoo.digest(path) == hashlib.sha256(path.read_bytes()).digest()[: zoo.HASH_BYTES]
    assert zoo.tensors(path) is before[1], "what has not changed is read once"
    change(path, how)
    assert zoo.digest(path) == hashlib.sha256(path.read_bytes()).digest()[: zoo.HASH_BYTES] != before[0]
    after, wanted = zoo.tensors(path), load_file(path)
    assert after.keys() == wanted.keys() == before[1].keys()
    assert all(np.array_equal(after[name], wanted[name]) for name in wanted)
    assert not all(np.array_equal(after[name], before[1][name]) for name in wanted)


def test_a_changed_model_is_found_by_its_new_name(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(zoo.DIRECTORY_VARIABLE, str(tmp_path))
    path = tmp_path / "mine.safetensors"
    shutil.copy(tiny, path)
    old = zoo.digest(path)
    assert zoo.find_hash(old) == path
    change(path, "replaced")
    assert zoo.find_hash(zoo.digest(path)) == path
    with pytest.raises(MissingModel, match=old.hex()):
        zoo.find_hash(old)


def test_a_path_is_kept_once(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is found, and by whatever name."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(tiny, "mine.safetensors")
    (tmp_path / "link.safetensors").symlink_to("mine.safetensors")
    for name in ("mine.safetensors", "./mine.safetensors", str(tmp_path / "mine.safetensors"), "link.safetensors") * 3:
        assert zoo.find(name) == (tmp_path / "mine.safetensors").resolve()
    zoo.find("tiny")
    assert list(zoo._named) == [(tmp_path / "mine.safetensors").resolve()]
    shutil.copy(tiny.with_name("tiny-text.safetensors"), "more.safetensors")
    zoo.find("more.safetensors")
    assert [path.name for path in zoo._named] == ["mine.safetensors", "more.safetensors"]
