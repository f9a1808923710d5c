"""Model files: where they are looked for, how they are named, how they are read.

A model is one safetensors file of integer tensors. .bfn files name it by the first four bytes of the file's SHA-256.
"""

import hashlib
import json
import os
from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import CorruptFile, MissingModel

HASH_BYTES = 4
PACKAGED = Path(__file__).with_name("weights")
SUFFIX = ".safetensors"
DIRECTORY_VARIABLE = "BFNCODEC_MODEL_DIR"


class Tensors(dict[str, NDArray[Any]]):
    """Tensors of a model by name; CorruptFile for one that it does not have."""

    def __missing__(self, name: str) -> NDArray[Any]:
        raise CorruptFile(f"the model has no tensor {name}: it is one of another kind")


_named: dict[Path, None] = {}  # models that were found by their path, in order

T = TypeVar("T")


def per_file(function: Callable[..., T]) -> Callable[..., T]:
    """The function of a model's path, called again only if another file stands there by now."""

    @lru_cache(maxsize=32)
    def known(path: Path, _: tuple[int, ...], *rest: Any) -> T:
        return function(path, *rest)

    @wraps(function)
    def calling(path: Path, *rest: Any) -> T:
        status = path.stat()
        return known(path, (status.st_ino, status.st_size, status.st_mtime_ns), *rest)

    return calling


def directories() -> list[Path]:
    """Folders in which models are looked for: $BFNCODEC_MODEL_DIR, then the package's own."""
    extra = os.environ.get(DIRECTORY_VARIABLE)
    return [Path(extra), PACKAGED] if extra else [PACKAGED]


@per_file
def digest(path: Path) -> bytes:
    """The name that .bfn files know a model by: HASH_BYTES bytes."""
    return hashlib.sha256(path.read_bytes()).digest()[:HASH_BYTES]


def find(name: str) -> Path:
    """A model by its file's path or by its name; MissingModel if there is none."""
    if name.endswith(SUFFIX):
        if Path(name).is_file():
            path = Path(name).resolve()
            _named[path] = None
            return path
        raise MissingModel(f"there is no model file {name}")
    for directory in directories():
        if (directory / (name + SUFFIX)).is_file():
            return directory / (name + SUFFIX)
    looked = ", ".join(map(str, directories()))
    raise MissingModel(f"no model is called {name!r}; looked in {looked}")


def find_hash(wanted: bytes) -> Path:
    """The model that a .bfn file names; MissingModel tells where it was looked for."""
    for path in [*_named, *(path for directory in directories() for path in sorted(directory.glob("*" + SUFFIX)))]:
        if digest(path) == wanted:
            return path
    looked = ", ".join(map(str, directories()))
    raise MissingModel(
        f"needs the model {wanted.hex()}, which is not in {looked}; put its file there or set {DIRECTORY_VARIABLE}"
    )


def card(path: Path) -> dict[str, Any]:
    """What a model file says of its training; CorruptFile if it is no model file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            entries: dict[str, Any] = json.loads((file.metadata() or {}).get("card", "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise CorruptFile(f"{path} cannot be read as a model: {error}") from error
    return entries


def kind(path: Path) -> str:
    """What a model models: "text", "images", "jpeg", or one group of all variables as the paper's: "paper"."""
    facts = card(path)
    if "spec" in facts or facts.get("kind") == "authors":
        return "paper"
    known = tensors(path)
    return "text" if "text.table" in known else "jpeg" if "jpeg.keys" in known else "images"


def chosen(name: str | None, wanted: str) -> Path | None:
    """The model that a user named, if it is of a kind; MissingModel if there is none of that name."""
    path = find(name) if name else None
    return path if path is not None and kind(path) == wanted else None


@per_file
def tensors(path: Path) -> Tensors:
    """All tensors of a model file; CorruptFile if it is not one."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        loaded = Tensors(load_file(path))
    except (SafetensorError, OSError) as error:
        raise CorruptFile(f"{path} cannot be read as a model: {error}") from error
    if any(not np.issubdtype(tensor.dtype, np.integer) for tensor in loaded.values()):
        raise CorruptFile(f"{path} is not an integer model")
    return loaded
