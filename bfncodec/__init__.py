"""bfncodec: lossless coding of images and texts with a Bayesian Flow Network and bits-back ANS.

Its functions are loaded on first use, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bfncodec.errors import (
    BadMagic,
    BfnError,
    CorruptFile,
    LimitExceeded,
    MissingModel,
    TruncatedFile,
    UnsupportedFeature,
)

if TYPE_CHECKING:
    from bfncodec.api import decode, decode_items, encode, info

__version__ = "0.1.0"
__all__ = [
    "BadMagic",
    "BfnError",
    "CorruptFile",
    "LimitExceeded",
    "MissingModel",
    "TruncatedFile",
    "UnsupportedFeature",
    "__version__",
    "decode",
    "decode_items",
    "encode",
    "info",
]


def __getattr__(name: str) -> Any:
    if name in ("decode", "decode_items", "encode", "info"):
        return getattr(import_module("bfncodec.api"), name)
    raise AttributeError(f"module 'bfncodec' has no attribute {name!r}")
