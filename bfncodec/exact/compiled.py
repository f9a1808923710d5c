"""Compiling inner loops: numba, with a cache that follows all the code that decides bits.

numba's own cache knows a function by its file alone, though compiled code holds what it
calls in other files too. Here every state of the sources has a folder of its own.
NUMBA_DISABLE_JIT=1 runs everything as plain Python: the same integers, slowly.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numba

_LOCK = Lock()
_PACKAGE = Path(__file__).parents[1]
_FOLDERS = ("coding", "exact", "models", "train")


@cache
def _folder() -> str | None:
    """Where compiled code is kept; None if nothing can be written there."""
    sources = sorted(path for name in _FOLDERS for path in _PACKAGE.joinpath(name).rglob("*.py"))
    known = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    try:
        home = Path(chosen or os.environ.get("XDG_CACHE_HOME") or Path.home().joinpath(".cache"))
        folder = home.joinpath("" if chosen else "bfncodec", f"compiled-{known}")
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return str(folder) if os.access(folder, os.W_OK) else None


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, compiled when it is first called. Other threads run beside it."""
    folder = _folder()
    if folder is None:
        made: Callable[..., Any] = numba.njit(nogil=True)(function)
        return made
    with _LOCK:  # several threads may be importing
        before = numba.config.CACHE_DIR  # type: ignore[attr-defined]
        # Looked at when the function is wrapped, not later.
        numba.config.CACHE_DIR = folder  # type: ignore[attr-defined]
        try:
            made = numba.njit(cache=True, nogil=True)(function)
        finally:
            numba.config.CACHE_DIR = before  # type: ignore[attr-defined]
    return made
