"""What OpenBLAS is told of the processor."""

import os
from pathlib import Path

import pytest

from bfncodec.cli.processor import name_core

FLAGS = "fpu avx2 avx512f avx512cd avx512bw avx512dq avx512vl"


def told(folder: Path, vendor: str, flags: str) -> str | None:
    (folder / "cpuinfo").write_text(f"vendor_id\t: {vendor}\nflags\t\t: {flags}\n\nprocessor\t: 1\n" * 2)
    name_core(folder / "cpuinfo")
    return os.environ.get("OPENBLAS_CORETYPE")


def test_only_amds_processors_with_all_of_avx512_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "")
    monkeypatch.delenv("OPENBLAS_CORETYPE")
    assert told(tmp_path, "GenuineIntel", FLAGS) is None
    assert told(tmp_path, "AuthenticAMD", FLAGS.replace(" avx512vl", "")) is None
    name_core(tmp_path / "nothing")
    assert "OPENBLAS_CORETYPE" not in os.environ
    assert told(tmp_path, "AuthenticAMD", FLAGS) == "SkylakeX"


def test_what_the_user_says_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Zen")
    assert told(tmp_path, "AuthenticAMD", FLAGS) == "Zen"
