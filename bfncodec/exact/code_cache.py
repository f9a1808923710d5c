"""Where machine code is kept between processes: a folder for every state of the package, a file for every function.

Whatever is wrong with what lies there, it is as if nothing lay there.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_PACKAGE = Path(__file__).parents[1]
_PREFIX = "compiled-"
_OLD = 30 * 24 * 3600  # seconds without use after which another state's folder is removed
_DIGEST = hashlib.sha256().digest_size


class Code(NamedTuple):
    """Machine code of a function."""

    result: str  # i: int64, b: bool, else nothing
    entry: int | str  # where it begins in one piece of code, or its name in an object file, which LLVM has to load
    machine: bytes


def read(name: str, kind: str) -> Code | None:
    """The code of a function for arguments of a kind, if it is there and whole."""
    try:
        entry = _path(name, kind).read_bytes()
        digest, content = entry[:_DIGEST], entry[_DIGEST:]
        if hashlib.sha256(content).digest() != digest:
            return None
        header, machine = content.split(b"\n", 1)
        *known, result, entry = json.loads(header)
        return Code(result, entry, machine) if known == [name, kind] else None
    except (OSError, ValueError, TypeError):
        return None


def write(name: str, kind: str, code: Code) -> None:
    """Keep the code, where that is possible."""
    content = json.dumps([name, kind, code.result, code.entry]).encode() + b"\n" + code.machine
    with suppress(OSError, TypeError):
        path = _path(name, kind)
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(content).digest() + content)
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise


def _path(name: str, kind: str) -> Path:
    """TypeError where nothing is kept."""
    return Path(_folder(), f"{name}-{hashlib.sha256(kind.encode()).hexdigest()[:16]}.o")  # type: ignore[arg-type]


def processor() -> tuple[str, str]:
    """Name and features of the processor that code is made for; BFNCODEC_CPU_NAME and _FEATURES choose another."""
    import llvmlite.binding as llvm

    name, features = os.environ.get("BFNCODEC_CPU_NAME"), os.environ.get("BFNCODEC_CPU_FEATURES")
    if name is None and features is None:
        return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    return name or "", features or ""


def _host() -> Any:
    """What tells this processor from others: the system's words where it has any, which cost less than LLVM's."""
    try:
        with open("/proc/cpuinfo", "rb", 0) as file:
            lines = file.read(1 << 14).partition(b"\n\n")[0].split(b"\n")
    except OSError:
        lines = []
    return [line for line in lines if line.startswith((b"vendor", b"cpu family", b"model", b"flags"))] or processor()


def _state() -> str:
    """A name for all sources of the package, the versions of what compiles them, the processor, and checks."""
    import llvmlite

    variables = [os.environ.get("BFNCODEC_" + name) for name in ("CPU_NAME", "CPU_FEATURES", "CHECKED")]
    known = hashlib.sha256(repr((llvmlite.__version__, np.__version__, sys.version, _host(), variables)).encode())
    for folder, folders, names in os.walk(_PACKAGE):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                with open(path, "rb", 0) as file:
                    content = file.read()
                known.update(os.fsencode(f"{os.path.relpath(path, _PACKAGE)}\0{len(content)}\0") + content)
    return known.hexdigest()[:16]


@cache
def _folder() -> str | None:
    """Where compiled code is kept; None if nothing can be written there."""
    chosen = os.environ.get("BFNCODEC_CACHE_DIR")
    try:
        home = Path(chosen or os.environ.get("XDG_CACHE_HOME") or Path.home().joinpath(".cache"))
        folder = home.joinpath("" if chosen else "bfncodec", _PREFIX + _state())
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _tidy(folder.parent)
        os.utime(folder)  # used today
    except (OSError, RuntimeError):
        return None
    return str(folder)


def _tidy(home: Path) -> None:
    """Remove the folders of other states that nobody has used for long."""
    for folder in home.glob(_PREFIX + "[0-9a-f]" * 16):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _OLD:
                shutil.rmtree(folder, ignore_errors=True)
