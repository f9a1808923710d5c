"""Types and values in compiled functions, and what LLVM calls them."""

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Unsupported(TypeError):
    """Compiled code cannot do this."""

    placed = False  # whether the message says where


class Number(NamedTuple):
    """A type of numbers."""

    name: str
    llvm: str
    whole: bool = False


class Array(NamedTuple):
    """A type of arrays. dense: elements of the last axis lie side by side."""

    dtype: np.dtype[Any]
    axes: int
    dense: bool


class Tuple(NamedTuple):
    """A type of tuples; fields: names, if they have any."""

    fields: tuple[str, ...]
    parts: tuple[Any, ...]


INT, UINT = Number("int64", "i64", whole=True), Number("uint64", "i64", whole=True)
FLOAT, DOUBLE, BOOL = Number("float32", "float"), Number("float64", "double"), Number("bool", "i1")
_ELEMENTS = {"u8": UINT, "f4": FLOAT, "f8": DOUBLE, "b1": BOOL}  # of arrays; int64 else
Kind = Number | Array | Tuple
Text = str | Callable[[], str]  # LLVM's name of something, or what writes down how it is found, and gives the name


class Value(NamedTuple):
    """A number; known: what it is, if that is known beforehand."""

    kind: Number
    text: str
    known: Any = None


class View(NamedTuple):
    """An array: address, sizes, and strides in bytes."""

    kind: Array
    parts: tuple[Text, ...]


class Near(NamedTuple):
    """A tuple whose parts are at hand."""

    kind: Tuple
    parts: tuple[Any, ...]


class Far(NamedTuple):
    """A tuple in memory, eight bytes a word; early: the address is known where the function begins."""

    kind: Tuple
    address: str
    early: bool


class Thing(NamedTuple):
    """What else Python knows."""

    value: Any


def kind_of(value: Any) -> Kind:
    """The type of an argument from Python."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "iufb" or value.dtype == np.float16 or not value.dtype.isnative:
            raise Unsupported(f"arrays of {value.dtype}")
        return Array(value.dtype, value.ndim, value.flags.c_contiguous)
    if isinstance(value, tuple):
        return Tuple(getattr(value, "_fields", ()), tuple(map(kind_of, value)))
    return DOUBLE if isinstance(value, float) else INT


def words(kind: Kind) -> int:
    """How many words of memory a value takes."""
    if isinstance(kind, Array):
        return 1 + 2 * kind.axes
    return sum(map(words, kind.parts)) if isinstance(kind, Tuple) else 1


def types(kind: Kind) -> list[str]:
    """What LLVM has for a value: of an array, all but the last stride where that is known."""
    if isinstance(kind, Array):
        return ["ptr"] + ["i64"] * (2 * kind.axes - kind.dense)
    return ["ptr"] if isinstance(kind, Tuple) else [kind.llvm]


def made(kind: Kind, names: list[Any], *, early: bool = False) -> Any:
    """A value that LLVM has under these names."""
    if isinstance(kind, Array):
        return View(kind, (*names, str(kind.dtype.itemsize)) if kind.dense else tuple(names))
    return Far(kind, names[0], early) if isinstance(kind, Tuple) else Value(kind, names[0])


def result_type(kind: Any) -> str:
    """What LLVM calls the result of a function; None: it has none."""
    if kind is None:
        return "void"
    return f"{{{', '.join(part.llvm for part in kind.parts)}}}" if isinstance(kind, Tuple) else str(kind.llvm)


def number(kind: Number, known: Any) -> Value:
    """A number that is known."""
    if kind.whole:
        known = int(known) & (1 << 64) - 1
        known -= known >> 63 << 64 if kind == INT else 0
        return Value(kind, str(known), known)
    if kind == BOOL:
        return Value(kind, "true" if known else "false", bool(known))
    known = float(np.float32(known)) if kind == FLOAT else float(known)
    return Value(kind, f"0x{struct.pack('>d', known).hex().upper()}", known)


def whole(text: str) -> Value:
    """An int64 under its name, which may be the number itself."""
    return Value(INT, text, int(text) if text.lstrip("-").isdigit() else None)


def element(dtype: np.dtype[Any]) -> tuple[Number, str]:
    """What an array's element becomes when it is read, and what LLVM calls it in memory."""
    kind = _ELEMENTS.get(dtype.str[1:], INT)
    return kind, kind.llvm if dtype.kind == "f" else f"i{8 * dtype.itemsize}"


def near(parts: Any, fields: tuple[str, ...] = ()) -> Near:
    """A tuple of values."""
    parts = tuple(parts)
    return Near(Tuple(fields, tuple(getattr(part, "kind", None) for part in parts)), parts)
