"""What tests of the command start from."""

import os
from pathlib import Path

import pytest
from tools.command import TEXT, good


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, without the wait for the disk."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return tmp_path


@pytest.fixture
def text(folder: Path) -> Path:
    """A text file, and text.bfn, which needs no model."""
    path = folder / "text"
    path.write_bytes(TEXT)
    good("encode", path)
    return path
