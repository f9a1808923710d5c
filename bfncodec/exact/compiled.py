"""Compiling inner loops: a function becomes machine code once, and later processes load it.

A function is compiled when it is first called with arguments of some types, with all that it calls. What it may be made
of, `language` says. The machine code is kept (`code_cache`) and loaded in milliseconds. So that it stands alone,
compiled functions allocate nothing and keep nothing: arrays come from their callers, and `room` gives small ones.
Indices count from the start of an array; negative ones are not looked at.

Arguments: arrays (numbers of any type; rows contiguous or not), whole numbers (int64), float64, and tuples of these,
named or not. Results: None or one number. BFNCODEC_PLAIN=1 runs everything as plain Python: the same integers,
slowly.
"""

import ctypes
import mmap
import os
from collections.abc import Callable
from functools import partial, update_wrapper
from struct import Struct
from threading import Lock
from types import FunctionType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact import code_cache, notice
from bfncodec.exact.code_cache import Code

DISABLED = os.environ.get("BFNCODEC_PLAIN", "0") not in ("", "0")
_LOCK = Lock()
_RESULTS: dict[str, Any] = {"i": ctypes.c_int64, "b": ctypes.c_bool, "f": ctypes.c_double}
_kept: list[Any] = []  # what code lives in


class Inline:
    """What Python has no words for: `make` gives what writes it into compiled functions, `plain` does it in Python."""

    def __init__(self, make: Callable[[], Any], plain: Callable[..., Any] | None = None) -> None:
        self._make, self._plain, self._made = make, plain, None

    def __call__(self, *arguments: Any) -> Any:
        assert self._plain is not None
        return self._plain(*arguments)

    def inner(self) -> Any:
        """What is called with the function that is being written, and with values there."""
        if self._made is None:
            self._made = self._make()
        return self._made


class Compiled:
    """A function that is compiled for the types of arguments that it meets. Other threads run beside it."""

    def __init__(self, function: FunctionType) -> None:
        update_wrapper(self, function)
        self.function = function
        self._ready: dict[str, Callable[[list[Any]], Any]] = {}

    def __call__(self, *arguments: Any) -> Any:
        kinds: list[str] = []
        flat: list[Any] = []
        _flatten(arguments, kinds, flat)
        kind = " ".join(kinds)
        ready = self._ready.get(kind)
        if ready is None:
            with _LOCK:
                ready = self._ready.get(kind) or self._prepare(kind, arguments, flat)
        return ready(flat)

    def _prepare(self, kind: str, arguments: tuple[Any, ...], flat: list[Any]) -> Callable[[list[Any]], Any]:
        name = f"{self.function.__module__}.{self.function.__qualname__}"
        code = code_cache.read(name, kind)
        if code is None:
            notice.tell(True)
            try:
                from bfncodec.exact import compiler

                code = compiler.code(self.function, arguments)
            finally:
                notice.tell(False)
            code_cache.write(name, kind, code)
        function = _loaded(code)
        function.argtypes = [ctypes.c_ssize_t, ctypes.c_char_p]
        layout = Struct("".join("d" if isinstance(one, float) else "q" for one in flat))
        self._ready[kind] = partial(_call, function, layout, code.result, name)
        return self._ready[kind]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, compiled where it is called."""
    assert isinstance(function, FunctionType)
    return function if DISABLED else Compiled(function)


def _flatten(values: Any, kinds: list[str], flat: list[Any]) -> None:
    """Types of arguments, in words, and the numbers that stand for them in memory, eight bytes each."""
    for value in values:
        if isinstance(value, np.ndarray):
            kinds.append(f"{value.dtype.str}{value.ndim}{'C' if value.flags.c_contiguous else 'A'}")
            flat += (value.ctypes.data, *value.shape, *value.strides)
        elif isinstance(value, tuple):
            kinds.append(f"{type(value).__name__}(")
            _flatten(value, kinds, flat)
            kinds.append(")")
        elif isinstance(value, float):
            kinds.append("f")
            flat.append(value)
        else:
            kinds.append("i")
            flat.append(int(value))


def _call(function: Any, layout: Struct, result: str, name: str, flat: list[Any]) -> Any:
    value = _RESULTS.get(result, ctypes.c_int64)()
    status = function(ctypes.addressof(value), layout.pack(*flat))
    if status:
        raise RuntimeError(f"{name} failed in compiled code")
    return value.value if result in _RESULTS else None


def _loaded(code: Code) -> Any:
    """Machine code as a function of addresses and numbers."""
    address = _linked(code) if isinstance(code.entry, str) else _mapped(code.machine) + code.entry
    return ctypes.CFUNCTYPE(ctypes.c_int)(address)


def _mapped(machine: bytes) -> int:
    """The address of a piece of code."""
    size, readable = len(machine), mmap.PROT_READ
    pages = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, readable | mmap.PROT_WRITE)
    pages.write(machine)
    address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    system = ctypes.CDLL(None, use_errno=True)
    if system.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), readable | mmap.PROT_EXEC):
        raise OSError(ctypes.get_errno(), "the system runs no code that was made here")
    _kept.append(pages)
    return address


def _linked(code: Code) -> int:
    """The address of a function of an object file."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine, True)  # all of an object in one place
    engine.add_object_file(llvm.ObjectFileRef.from_data(code.machine))
    engine.finalize_object()
    _kept.append(engine)
    return int(engine.get_function_address(code.entry))


def _made(name: str) -> Callable[[], Any]:
    def make() -> Any:
        from bfncodec.exact import places

        return getattr(places, name)

    return make


def _empty(size: int, dtype: Any) -> NDArray[Any]:
    return np.empty(size, dtype)


def _shaped(array: NDArray[Any], start: int, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    flat = array.reshape(-1).view(dtype)
    return flat[start : start + int(np.prod(shape))].reshape(shape)


# room(size, dtype): a small array of a constant size, filled with anything.
room = Inline(_made("room"), _empty)
# shaped(array, start, dtype, shape): part of a contiguous array's memory as another array; nobody looks at its end.
shaped = Inline(_made("shaped"), _shaped)
