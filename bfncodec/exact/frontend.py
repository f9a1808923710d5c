"""numba as a front end: it infers types and writes functions in LLVM's language; `compiler` does the rest.

A target of its own, beside numba's: other users of numba in the process notice nothing. numba's own target would make
machine code of every function before it is part of another one, reckon with Python around it, and infer again and
again what it has inferred before.
"""

from functools import cached_property, partial
from types import FunctionType
from typing import Any

from numba.core import typed_passes, untyped_passes
from numba.core import types as _types
from numba.core.codegen import JITCodeLibrary, JITCPUCodegen
from numba.core.compiler import CompilerBase, PassManager
from numba.core.compiler_machinery import register_pass
from numba.core.cpu import CPUContext
from numba.core.errors import TypingError
from numba.core.registry import CPUDispatcher, CPUTarget
from numba.core.target_extension import CPU, dispatcher_registry, jit_registry, target_registry
from numba.core.typing import Context

from bfncodec.exact import lowering
from bfncodec.exact.lowering import Convention, Lowering, Packer

types: Any = _types
_NAME = "bfncodec"
# Nothing is allocated, divided by zero, or called from Python.
_OPTIONS = {
    "nopython": True,
    "boundscheck": None,
    "error_model": "numpy",
    "_nrt": False,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


class _Function(types.Function):  # type: ignore[misc]
    """One of numba's functions, that remembers what it gives for arguments of some types."""

    def __init__(self, templates: Any) -> None:
        super().__init__(templates)
        self._known: dict[Any, Any] = {}

    def augment(self, other: Any) -> Any:
        return types.Function(self.templates).augment(other)

    def get_call_type(self, context: Any, args: Any, kws: Any) -> Any:
        if kws:
            return super().get_call_type(context, args, kws)
        if args not in self._known:
            try:
                self._known[args] = super().get_call_type(context, args, kws)
            except TypingError as error:
                self._known[args] = error
        if isinstance(self._known[args], TypingError):
            raise self._known[args]
        return self._known[args]


class _Typing(Context):  # type: ignore[misc]
    def init(self) -> None:
        self._functions_known: dict[Any, _Function] = {}

    def _lookup_global(self, value: Any) -> Any:
        kind = super()._lookup_global(value)
        if type(kind) is not types.Function:
            return kind
        if kind not in self._functions_known:
            self._functions_known[kind] = _Function(kind.templates)
        return self._functions_known[kind]


class _Library(JITCodeLibrary):  # type: ignore[misc]
    """Functions in LLVM's language, as text."""

    def __init__(self, codegen: Any, name: str) -> None:
        super().__init__(codegen, name)
        self.texts: list[str] = []

    def add_ir_module(self, ir_module: Any) -> None:
        self.texts.append(str(ir_module))

    def finalize(self) -> None:
        self._finalized = True

    def add_to(self, libraries: dict[Any, None]) -> None:
        """Add this and all that it calls."""
        if self not in libraries:
            libraries[self] = None
            for library in self._linking_libraries:
                library.add_to(libraries)


class _Codegen(JITCPUCodegen):  # type: ignore[misc]
    _library_class = _Library


class _Context(CPUContext):  # type: ignore[misc]
    def init(self) -> None:
        super().init()
        self._internal_codegen = _Codegen(_NAME)

    def refresh(self) -> None:
        super().refresh()
        self.install_registry(lowering.registry)

    @property
    def call_conv(self) -> Convention:
        return Convention(self)

    def get_arg_packer(self, kinds: Any) -> Packer:
        return Packer(self.data_model_manager, kinds)

    def pair_first(self, builder: Any, val: Any, ty: Any) -> Any:
        return lowering.pair_part(builder, val, 0)

    def pair_second(self, builder: Any, val: Any, ty: Any) -> Any:
        return lowering.pair_part(builder, val, 1)

    def post_lowering(self, module: Any, library: Any) -> None:
        """Nothing of Python's is linked in."""

    def get_executable(self, library: Any, description: Any, environment: Any) -> Any:
        """A name for what could be called."""
        library._ensure_finalized()
        return lambda: description


class _Target(CPUTarget):  # type: ignore[misc]
    @cached_property
    def _toplevel_target_context(self) -> _Context:
        return _Context(self.typing_context, self._target_name)

    @cached_property
    def _toplevel_typing_context(self) -> _Typing:
        return _Typing()


@register_pass(mutates_CFG=True, analysis_only=False)
class _Writing(typed_passes.BaseNativeLowering):  # type: ignore[misc]
    _name = "bfncodec_writing"

    @property
    def lowering_class(self) -> type[Lowering]:
        return Lowering


_PASSES = (
    untyped_passes.TranslateByteCode,
    untyped_passes.FixupArgs,
    untyped_passes.IRProcessing,
    untyped_passes.GenericRewrites,
    untyped_passes.ReconstructSSA,
    typed_passes.NopythonTypeInference,
    typed_passes.PreLowerStripPhis,
    _Writing,
    typed_passes.NoPythonBackend,
)


class _Pipeline(CompilerBase):  # type: ignore[misc]
    """What our functions need of what numba does."""

    def define_pipelines(self) -> list[PassManager]:
        manager = PassManager(_NAME)
        for one in _PASSES:
            manager.add_pass(one, one.__name__)
        manager.finalize()
        return [manager]


class Draft(CPUDispatcher):  # type: ignore[misc]
    """A function that numba can call from others, and write down."""

    targetdescr = _Target(_NAME)

    def get_call_template(self, args: Any, kws: Any) -> Any:
        # Whole numbers that are known beforehand make no function of their own.
        return super().get_call_template(tuple(map(types.unliteral, args)), kws)

    def add_overload(self, result: Any) -> None:
        self.overloads[tuple(result.signature.args)] = result

    def written(self, signature: Any, entry: str) -> tuple[Any, list[str]]:
        """The result's type for arguments of these types; and the function and all that it calls, as texts.

        Python calls it by the name of its entry.
        """
        self.compile(signature)
        made, libraries = self.overloads[signature], dict[Any, None]()
        made.library.add_to(libraries)
        texts = [text for library in libraries for text in library.texts]
        return made.signature.return_type, [*texts, lowering.entry(self.targetctx, made.fndesc, entry)]


def draft(function: FunctionType) -> Draft:
    """One of our functions."""
    return Draft(function, targetoptions=_OPTIONS, pipeline_class=_Pipeline)


def _numbas(function: Any = None, **options: Any) -> Any:
    """The same for what numba itself has written in Python."""
    return Draft(function, targetoptions=options | _OPTIONS) if function else partial(_numbas, **options)


class _Machine(CPU):  # type: ignore[misc]
    pass


target_registry[_NAME] = _Machine
dispatcher_registry[_Machine] = Draft
jit_registry[_Machine] = _numbas
