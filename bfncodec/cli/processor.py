"""What OpenBLAS is told of the processor, before NumPy loads it."""

import os
from pathlib import Path

_VARIABLE, _CORE = "OPENBLAS_CORETYPE", "SkylakeX"
_NEEDED = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}
_ENOUGH = 1 << 14  # bytes that tell of the first core


def name_core(description: Path = Path("/proc/cpuinfo")) -> None:
    """Choose OpenBLAS's AVX-512 routines on AMD processors that have it, unless $OPENBLAS_CORETYPE says otherwise.

    OpenBLAS (0.3.31) does not know them all and falls back to AVX2, which takes almost twice the time.
    """
    if _VARIABLE in os.environ:
        return
    try:
        with description.open("rb") as file:
            lines = file.read(_ENOUGH).decode("ascii", "replace").splitlines()
    except OSError:
        return
    known = {name.strip(): value for name, _, value in (line.partition(":") for line in reversed(lines))}
    if known.get("vendor_id", "").strip() == "AuthenticAMD" and set(known.get("flags", "").split()) >= _NEEDED:
        os.environ[_VARIABLE] = _CORE
