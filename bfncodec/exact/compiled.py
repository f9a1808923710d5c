"""Compiling inner loops: numba, with a cache that follows all the code that decides bits.

numba's own cache knows a function by its file alone, though compiled code holds what it
calls in other files too. Here every state of the package has a folder of its own, and
whatever is wrong with what lies there, the function is compiled again.
NUMBA_DISABLE_JIT=1 runs everything as plain Python: the same integers, slowly.
"""

import hashlib
import os
import pickle
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import llvmlite
import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.event import Event, Listener, register

from bfncodec.exact import notice

_LOCK = Lock()
_PACKAGE = Path(__file__).parents[1]
_PREFIX = "compiled-"
_OLD = 30 * 24 * 3600  # seconds without use after which another state's folder is removed


class _Entries(IndexDataCacheFile):  # type: ignore[misc]
    """Entries that tell what they are of and whether they are whole.

    numba trusts its index, which full disks, and processes that write at once, leave pointing to another entry.
    """

    def save(self, key: Any, data: Any) -> None:
        entry = self._dump((key, data))
        super().save(key, (hashlib.sha256(entry).digest(), entry))

    def load(self, key: Any) -> Any:
        digest, entry = super().load(key) or (b"", b"")
        if hashlib.sha256(entry).digest() != digest:
            return None
        known, data = pickle.loads(entry)
        return data if known == key else None


class _Cache(FunctionCache):  # type: ignore[misc]
    """A cache whose faults cost time only."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        stamp = self._impl.locator.get_source_stamp()
        self._cache_file = _Entries(self.cache_path, self._impl.filename_base, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with suppress(Exception):
            return super().load_overload(sig, target_context)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(Exception):
            try:
                super().save_overload(sig, data)
            except Exception:  # the index may be damaged
                self.flush()
                super().save_overload(sig, data)


class _Watch(Listener):  # type: ignore[misc]
    """Gives notice of compiling, from the first function to the end of all that it calls."""

    depth = 0  # numba compiles in one thread at a time

    def on_start(self, event: Event) -> None:
        self.depth += 1
        if self.depth == 1:
            notice.tell(True)

    def on_end(self, event: Event) -> None:
        self.depth -= 1
        if not self.depth:
            notice.tell(False)


register("numba:compile", _Watch())


def _state() -> str:
    """A name for all sources of the package and the versions of what compiles them."""
    known = hashlib.sha256(repr((numba.__version__, llvmlite.__version__, sys.version)).encode())
    for path in sorted(_PACKAGE.rglob("*.py")):
        known.update(os.fsencode(path.relative_to(_PACKAGE)) + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return known.hexdigest()[:16]


@cache
def _folder() -> str | None:
    """Where compiled code is kept; None if nothing can be written there."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    try:
        home = Path(chosen or os.environ.get("XDG_CACHE_HOME") or Path.home().joinpath(".cache"))
        folder = home.joinpath("" if chosen else "bfncodec", _PREFIX + _state())
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _tidy(folder.parent)
        os.utime(folder)  # used today
    except (OSError, RuntimeError):
        return None
    return str(folder) if os.access(folder, os.W_OK) else None


def _tidy(home: Path) -> None:
    """Remove the folders of other states that nobody has used for long."""
    for folder in home.glob(_PREFIX + "[0-9a-f]" * 16):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _OLD:
                shutil.rmtree(folder, ignore_errors=True)


def _cache(function: Callable[..., Any], folder: str) -> _Cache | None:
    """The function's part of the folder; None if numba cannot use it."""
    with _LOCK:  # several threads may be importing
        before = numba.config.CACHE_DIR
        # Looked at when the cache is made, not later.
        numba.config.CACHE_DIR = folder
        try:
            function_cache = _Cache(function)
        except Exception:
            return None
        finally:
            numba.config.CACHE_DIR = before
    # Where it cannot write, numba takes other folders, which do not know the package's state.
    return function_cache if Path(function_cache.cache_path).is_relative_to(folder) else None


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, compiled when it is first called. Other threads run beside it."""
    dispatcher: Any = numba.njit(nogil=True, error_model="numpy")(function)  # nothing here divides by zero
    folder = _folder()
    kept = _cache(function, folder) if folder is not None and dispatcher is not function else None
    if kept is not None:
        dispatcher._cache = kept
    return dispatcher
