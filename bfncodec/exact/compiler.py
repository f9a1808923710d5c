"""What needs numba: functions as machine code that stands alone. Loaded only where some is not in the cache yet."""

import dis
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from numba.core import types as _types
from numba.core.compiler_lock import global_compiler_lock

from bfncodec.exact import code_cache, frontend
from bfncodec.exact.code_cache import Code
from bfncodec.exact.compiled import Compiled, Inline

types: Any = _types  # numba fills it when it is loaded
_ENTRY = "entry"
_LONG = 200  # lines of a function that stays one: LLVM is much slower with functions that have become parts of others
_SPEED = 2  # of 3; like loops unrolled or woven together, the last costs much time, and code is no faster for it


def inner(function: FunctionType) -> Any:
    """The function for numba; what it names of ours is compiled with it."""
    names = {one.argval for one in dis.get_instructions(function) if one.opname == "LOAD_GLOBAL"}
    known = {
        name: value.inner() if name in names and isinstance(value, Compiled | Inline) else value
        for name, value in function.__globals__.items()
    }
    return frontend.draft(FunctionType(function.__code__, known, function.__name__))


def code(function: Any, arguments: tuple[Any, ...]) -> Code:
    """Machine code of a function that `inner` gave, for arguments of these types."""
    with global_compiler_lock, _no_collecting():
        result, texts = function.written(tuple(_type_of(argument) for argument in arguments), _ENTRY)
    module, machine = _linked(texts), _machine()
    options = llvm.create_pipeline_tuning_options(_SPEED)
    options.loop_vectorization, options.loop_unrolling, options.loop_interleaving = True, False, False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return Code(_ENTRY, _result(result), machine.emit_object(module))


@contextmanager
def _no_collecting() -> Iterator[None]:
    """numba makes so many objects that looking for garbage among them takes a part of the time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _linked(texts: list[str]) -> llvm.ModuleRef:
    """One module of all functions, of which others can only call the entry."""
    parts = []
    for text in texts:
        parts.append(llvm.parse_assembly(text))
        for function in parts[-1].functions:
            if not function.is_declaration and function.name != _ENTRY:
                function.linkage = "linkonce_odr"
                if text.count("\n") > _LONG:
                    function.add_function_attribute("noinline")
    module, *others = parts
    for part in others:
        module.link_in(part)
    for function in module.functions:
        if not function.is_declaration and function.name != _ENTRY:
            function.linkage = "internal"
    module.verify()
    return module


def _machine() -> llvm.TargetMachine:
    """The processor, as numba has it for code that is run at once."""
    target = llvm.Target.from_triple(llvm.get_process_triple())
    name, features = code_cache.processor()
    reloc = "static" if target.name.startswith("x86") else "default"
    return target.create_target_machine(name, features, _SPEED, reloc, "jitdefault", jit=True)


def _type_of(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return types.Array(numba.from_dtype(value.dtype), value.ndim, "C" if value.flags.c_contiguous else "A")
    if isinstance(value, tuple):
        parts = [_type_of(one) for one in value]
        return types.BaseTuple.from_types(parts, type(value) if hasattr(value, "_fields") else None)
    return types.float64 if isinstance(value, float) else types.int64


def _result(kind: Any) -> str:
    known: dict[type, str] = {types.Integer: "i", types.Boolean: "b", types.Float: "f", types.NoneType: ""}
    for one, name in known.items():
        if isinstance(kind, one):
            return name
    raise TypeError(f"compiled code cannot give Python a {kind}")
