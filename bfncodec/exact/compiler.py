"""Functions as machine code that stands alone. Loaded only where some is not in the cache yet."""

from types import FunctionType
from typing import Any

import llvmlite.binding as llvm

from bfncodec.exact import code_cache, kinds
from bfncodec.exact.code_cache import Code
from bfncodec.exact.language import ENTRY, Program
from bfncodec.exact.piece import piece

_LONG = 25  # instructions; longer functions stay functions: parts of others cost LLVM much time, and gain nothing
_SPEED = 2  # of 3; like loops unrolled or woven together, the last costs much time, and code is no faster for it
_RESULTS = {None: "", kinds.INT: "i", kinds.UINT: "i", kinds.BOOL: "b", kinds.DOUBLE: "f"}


def code(function: FunctionType, arguments: tuple[Any, ...]) -> Code:
    """Machine code of a function for arguments of these types."""
    program = Program()
    result = program.entry(function, tuple(map(kinds.kind_of, arguments)))
    if result not in _RESULTS:
        raise kinds.Unsupported(f"compiled code cannot give Python a {result}")
    module, machine = _module(program), _machine()
    options = llvm.create_pipeline_tuning_options(_SPEED)
    options.loop_vectorization, options.loop_unrolling, options.loop_interleaving = True, False, False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    file = machine.emit_object(module)
    return Code(_RESULTS[result], *piece(file) or (ENTRY, file))


def _module(program: Program) -> llvm.ModuleRef:
    """One module, of which others can only call the entry."""
    module = llvm.parse_assembly(program.text())
    for text in program.others.values():
        module.link_in(llvm.parse_assembly(text))
    for function in module.functions:
        if not function.is_declaration and function.name != ENTRY:
            function.linkage = "internal"
            if sum(len(list(block.instructions)) for block in function.blocks) > _LONG:
                function.add_function_attribute("noinline")
    module.verify()
    return module


def _machine() -> llvm.TargetMachine:
    """The processor, for code that is run at once."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    name, features = code_cache.processor()
    return target.create_target_machine(name, features, _SPEED, "pic", "small", jit=True)
