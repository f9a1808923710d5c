"""What needs numba: functions as machine code that stands alone. Loaded only where some is not in the cache yet."""

import dis
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import numba
import numpy as np
from numba.core import cgutils, types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from bfncodec.exact.code_cache import Code
from bfncodec.exact.compiled import Compiled, Inline


def inner(function: FunctionType) -> Any:
    """The function for numba; what it names of ours is compiled with it."""
    names = {one.argval for one in dis.get_instructions(function) if one.opname == "LOAD_GLOBAL"}
    known = {
        name: value.inner() if name in names and isinstance(value, Compiled | Inline) else value
        for name, value in function.__globals__.items()
    }
    copy = FunctionType(function.__code__, known, function.__name__)
    # Nothing is allocated, divided by zero, or called from Python.
    return numba.njit(error_model="numpy", _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True)(copy)


class _Draft(JITCodeLibrary):  # type: ignore[misc]
    """A function in LLVM's language, as numba wrote it down.

    numba itself makes the best of every function, and machine code, before it makes them part of what calls them. Here
    LLVM has its turn once, when all is there.
    """

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        return 0


@contextmanager
def _drafting() -> Iterator[Any]:
    """numba writes drafts in this thread, and nobody else compiles; gives what knows the processor."""
    generator = cpu_target.target_context.codegen()
    with global_compiler_lock:
        before, generator._library_class = generator._library_class, _Draft
        generator.set_env = lambda name, environment: None
        try:
            yield generator
        finally:
            generator._library_class = before
            del generator.set_env


def code(function: Any, arguments: tuple[Any, ...]) -> Code:
    """Machine code of a function that `inner` gave, for arguments of these types."""
    signature = tuple(_type_of(argument) for argument in arguments)
    with _drafting() as generator:
        function.compile(signature)
        made = function.overloads[signature]
        made.library._ensure_finalized()
        module = made.library._final_module
        for one in module.functions:
            if not one.is_declaration and one.name != made.fndesc.llvm_func_name:
                one.linkage = "internal"
        passes, builder = generator._module_pass_manager()
        passes.run(module, builder)
        machine = generator._tm.emit_object(module)
    return Code(made.fndesc.llvm_func_name, _result(made.signature.return_type), machine)


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


def room() -> Callable[..., Any]:
    """numba's name for arrays of a constant size that live as long as the call."""

    @intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
    def room(typing: Any, size: Any, dtype: Any) -> Any:
        array = types.Array(dtype.dtype, 1, "C")

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            count, kind = size.literal_value, context.get_data_type(array.dtype)
            width = context.get_abi_sizeof(kind)
            data = cgutils.alloca_once(builder, kind, size=count)
            made = context.make_array(array)(context, builder)
            word = context.get_constant(types.intp, width)
            length = context.get_constant(types.intp, count)
            populate_array(made, data, [length], [word], word, None)
            return made._getvalue()

        return array(size, dtype), generate

    return room


def shaped() -> Callable[..., Any]:
    """numba's name for parts of arrays as arrays of another type and shape."""

    @intrinsic  # type: ignore[untyped-decorator]
    def shaped(typing: Any, array: Any, start: Any, dtype: Any, shape: Any) -> Any:
        result = types.Array(dtype.dtype, len(shape), "C")

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            source, first, _, sizes = arguments
            kind = context.get_data_type(result.dtype)
            data = builder.bitcast(context.make_array(array)(context, builder, source).data, kind.as_pointer())
            lengths = cgutils.unpack_tuple(builder, sizes, len(shape))
            lengths = [context.cast(builder, one, of, types.intp) for one, of in zip(lengths, shape, strict=True)]
            strides = [context.get_constant(types.intp, context.get_abi_sizeof(kind))]
            for length in reversed(lengths[1:]):
                strides.insert(0, builder.mul(strides[0], length))
            made = context.make_array(result)(context, builder)
            first = context.cast(builder, first, start, types.intp)
            populate_array(made, builder.gep(data, [first]), lengths, strides, strides[-1], None)
            return made._getvalue()

        return result(array, start, dtype, shape), generate

    return shaped
