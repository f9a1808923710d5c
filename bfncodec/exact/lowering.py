"""How what numba has understood becomes LLVM's instructions: few, so that LLVM, too, has little to do.

Indices count from the start, and nobody looks whether they do. With NUMBA_BOUNDSCHECK=1 one that is outside its array,
or negative, ends the function with an error.
"""

import operator
import os
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from llvmlite import ir
from numba.core import callconv, cgutils
from numba.core import ir as statements
from numba.core import types as _types
from numba.core.analysis import compute_cfg_from_blocks, compute_use_defs
from numba.core.imputils import Registry
from numba.core.lowering import Lower
from numba.cpython import numbers, rangeobj
from numba.extending import intrinsic

types: Any = _types
registry = Registry(__name__)
CHECKED = os.environ.get("NUMBA_BOUNDSCHECK", "0") not in ("", "0")
_BYTE = ir.IntType(8).as_pointer()
_WORD = ir.IntType(64)
_COUNT, _WIDTH, _DATA, _SHAPE, _STRIDES = range(2, 7)  # an array's parts in numba
_END = (1 << 63) - 1  # of a slice that has none

Index = tuple[Any, Any]  # value and type


class Lowering(Lower):  # type: ignore[misc]
    """numba's statements as instructions. Variables that are set once are values; the others have slots of memory."""

    def _find_singly_assigned_variable(self) -> None:
        places = [(at, one) for at, block in self.blocks.items() for one in block.find_insts(statements.Assign)]
        counts = Counter(one.target.name for _, one in places)
        once = {one.target.name: at for at, one in places if counts[one.target.name] == 1}
        dominators = compute_cfg_from_blocks(self.blocks).dominators()
        for at, names in compute_use_defs(self.blocks).usemap.items():
            for name in names & once.keys():
                if once[name] == at or once[name] not in dominators[at]:
                    del once[name]
        self._singly_assigned_vars = set(once)
        self._blk_local_varmap: dict[str, Any] = {}
        self._indices: dict[str, list[Index]] = {}  # parts of tuples

    def getvar(self, name: str) -> Any:
        self._singly_assigned_vars.discard(name)  # it is used in a block that comes before the one that sets it
        return super().getvar(name)

    def alloca_lltype(self, name: str, lltype: Any, datamodel: Any = None) -> Any:
        with self.builder.goto_entry_block():
            return self.builder.alloca(lltype, name=name)

    def storevar(self, value: Any, name: str, argidx: int | None = None) -> None:
        if name in self._singly_assigned_vars:
            self._blk_local_varmap[name] = value
        else:
            self.builder.store(value, self.getvar(name))

    def delvar(self, name: str) -> None:
        pass

    def lower_assign(self, ty: Any, inst: Any) -> Any:
        name, value = inst.target.name, inst.value
        if isinstance(value, statements.Expr) and value.op == "build_tuple" and name in self._singly_assigned_vars:
            self._indices[name] = [(self.loadvar(one.name), self.typeof(one.name)) for one in value.items]
        return super().lower_assign(ty, inst)

    def _of(self, index: Any) -> list[Index]:
        """The parts of an index."""
        if index.name in self._indices:
            return self._indices[index.name]
        value, kind = self.loadvar(index.name), self.typeof(index.name)
        if isinstance(kind, types.BaseTuple):
            return list(zip(cgutils.unpack_tuple(self.builder, value), kind, strict=True))
        return [(value, kind)]

    def lower_getitem(self, resty: Any, expr: Any, value: Any, index: Any, signature: Any) -> Any:
        array, indices = self.typeof(value.name), self._of(index)
        if isinstance(array, types.UniTuple | types.NamedUniTuple) and isinstance(indices[0][1], types.Integer):
            given = self.loadvar(value.name)
            if hasattr(given, "address"):
                place = self.context.cast(self.builder, *indices[0], types.intp)
                return _member(self.builder, given, place, resty)
        if not isinstance(array, types.Array) or not _simple(indices):
            return super().lower_getitem(resty, expr, value, index, signature)
        data, sizes, strides = _view(self.context, self.builder, array, self.loadvar(value.name), indices)
        if sizes:
            return _array(self.context, self.builder, resty, data, sizes, strides)
        element = self.context.unpack_value(self.builder, array.dtype, data)
        return self.context.cast(self.builder, element, array.dtype, resty)

    def lower_setitem(self, target_var: Any, index_var: Any, value_var: Any, signature: Any) -> Any:
        context, builder = self.context, self.builder
        array, kind, indices = self.typeof(target_var.name), self.typeof(value_var.name), self._of(index_var)
        if not isinstance(array, types.Array) or not isinstance(kind, types.Number) or not _simple(indices):
            return super().lower_setitem(target_var, index_var, value_var, signature)
        number = context.cast(builder, self.loadvar(value_var.name), kind, array.dtype)
        data, sizes, strides = _view(context, builder, array, self.loadvar(target_var.name), indices)
        with ExitStack() as loops:
            for size, stride in zip(sizes, strides, strict=True):
                loop = loops.enter_context(cgutils.for_range(builder, size))
                data = _moved(builder, data, builder.mul(loop.index, stride))
            context.pack_value(builder, array.dtype, number, data)
        return None


class Convention(callconv.MinimalCallConv):  # type: ignore[misc]
    """Functions return a number that says how they ended; those that fail say nothing else."""

    def _get_return_status(self, builder: Any, code: Any) -> Any:
        none = builder.icmp_signed("==", code, callconv.RETCODE_NONE)
        error = builder.and_(builder.icmp_signed("!=", code, callconv.RETCODE_OK), builder.not_(none))
        return callconv.Status(code, None, none, error, None, None, None, None)


class Packer:
    """Arguments of functions: arrays as one value of LLVM's each, tuples by their addresses."""

    def __init__(self, manager: Any, kinds: Any) -> None:
        self._kinds = [manager.lookup(kind).get_value_type() for kind in kinds]
        self._tuples = [isinstance(kind, types.BaseTuple) for kind in kinds]
        pairs = zip(self._kinds, self._tuples, strict=True)
        self.argument_types = tuple(kind.as_pointer() if far else kind for kind, far in pairs)

    def as_arguments(self, builder: Any, values: Any) -> tuple[Any, ...]:
        given = []
        for value, kind, far in zip(values, self._kinds, self._tuples, strict=True):
            own = _alike(builder, value, kind)
            given.append(_address(builder, own) if far else own)
        return tuple(given)

    def from_arguments(self, builder: Any, arguments: Any) -> list[Any]:
        pairs = zip(arguments, self._tuples, strict=True)
        return [_loaded(builder, argument) if far else argument for argument, far in pairs]

    def assign_names(self, arguments: Any, names: Any) -> None:
        for argument, name, far in zip(arguments, names, self._tuples, strict=True):
            argument.name = name
            if far:
                argument.add_attribute("noalias")  # nobody changes a tuple


def entry(context: Any, description: Any, name: str) -> str:
    """A function that takes another one's arguments from memory, eight bytes each: ctypes passes no more than 1024."""
    module = context.create_module(name)
    kind = context.call_conv.get_function_type(description.restype, description.argtypes)
    function = ir.Function(module, kind, description.llvm_func_name)
    made = ir.Function(module, ir.FunctionType(kind.return_type, [kind.args[0], _WORD.as_pointer()]), name)
    builder, place = ir.IRBuilder(made.append_basic_block()), 0
    arguments = [made.args[0]]
    for own, numbas in zip(kind.args[1:], description.argtypes, strict=True):
        far = isinstance(numbas, types.BaseTuple)
        address = builder.gep(made.args[1], [_WORD(place)])
        address = builder.bitcast(address, own if far else own.as_pointer())
        arguments.append(address if far else builder.load(address))
        place += context.get_abi_sizeof(own.pointee if far else own) // 8
    builder.ret(builder.call(function, arguments))
    return str(module)


def _loaded(builder: Any, address: Any) -> Any:
    """A tuple that can be found at an address: what is taken from it is loaded from there, and this load is in vain."""
    value = builder.load(address)
    value.address = address
    return value


def _address(builder: Any, value: Any) -> Any:
    """Where a tuple can be found."""
    if not hasattr(value, "address"):
        with builder.goto_entry_block():
            place = builder.alloca(value.type)
        builder.store(value, place)
        return place
    return value.address


def _member(builder: Any, value: Any, place: Any, kind: Any) -> Any:
    """A part of a tuple, which is of this type; the place may be known only to the machine."""
    if not hasattr(value, "address"):
        return builder.extract_value(value, place)
    place = ir.IntType(32)(place) if isinstance(place, int) else place
    address = builder.gep(value.address, [ir.IntType(32)(0), place], inbounds=True)
    return _loaded(builder, address) if isinstance(kind, types.BaseTuple) else builder.load(address)


def _named(context: Any, builder: Any, kind: Any, value: Any, attribute: str) -> Any:
    place = kind.fields.index(attribute)
    return _member(builder, value, place, kind[place])


def _fixed(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    kind, place = signature.args[0], signature.args[1].literal_value
    place = place + len(kind) if place < 0 else place
    return _member(builder, arguments[0], place, kind[place])


def _alike(builder: Any, value: Any, kind: Any) -> Any:
    """A value of a type, given as a structure of the same parts where numba has made a tuple by hand."""
    if value.type == kind:
        return value
    return _built(builder, kind, enumerate(builder.extract_value(value, at) for at in range(len(kind))))


def _built(builder: Any, kind: Any, parts: Any) -> Any:
    """A structure or array of LLVM's: places and what stands there."""
    made = kind(None)
    for place, part in parts:
        made = builder.insert_value(made, part, place)
    return made


def _part(builder: Any, value: Any, place: int) -> Any:
    """A part of a structure, looked up where it has just been put."""
    one = value
    while isinstance(one, ir.instructions.InsertValue):
        if list(one.indices) == [place]:
            return one.value
        one = one.aggregate
    return builder.extract_value(value, place)


def _view(context: Any, builder: Any, array: Any, value: Any, indices: list[Index]) -> tuple[Any, list[Any], list[Any]]:
    """Where the part of an array that indices name begins, and its sizes and strides along the axes that are left."""
    data, sizes, strides = builder.extract_value(value, _DATA), [], []
    offset = None  # in bytes
    for axis in range(array.ndim):
        start, (index, kind) = None, indices[axis] if axis < len(indices) else (None, None)
        if not isinstance(kind, types.Integer) or CHECKED:
            size = builder.extract_value(value, (_SHAPE, axis))
        dense = axis == array.ndim - 1 and array.layout == "C"
        stride = _width(context, array) if dense else builder.extract_value(value, (_STRIDES, axis))
        if isinstance(kind, types.Integer):
            start = context.cast(builder, index, kind, types.intp if kind.signed else types.uintp)
            if CHECKED:
                _check(context, builder, builder.icmp_unsigned("<", start, size))
        elif kind is not None:
            start, stop = _part(builder, index, 0), _part(builder, index, 1)
            if CHECKED:
                for end in (start, stop):
                    _check(context, builder, builder.icmp_signed(">=", end, _WORD(0)))
            stop = builder.select(builder.icmp_signed("<", stop, size), stop, size)
            size = builder.select(builder.icmp_signed("<", start, stop), builder.sub(stop, start), _WORD(0))
        if not isinstance(kind, types.Integer):
            sizes.append(size)
            strides.append(stride)
        if start is not None:
            part = builder.mul(start, stride)
            offset = part if offset is None else builder.add(offset, part)
    return data if offset is None else _moved(builder, data, offset), sizes, strides


def _moved(builder: Any, data: Any, offset: Any) -> Any:
    """An address so many bytes further on."""
    return builder.bitcast(builder.gep(builder.bitcast(data, _BYTE), [offset]), data.type)


def _check(context: Any, builder: Any, right: Any) -> None:
    with builder.if_then(builder.not_(right)):
        context.call_conv._return_errcode_raw(builder, callconv.RETCODE_EXC)


def _simple(indices: list[Index]) -> bool:
    """Whether these are whole numbers and slices without a step."""
    kinds = [kind for _, kind in indices]
    return all(isinstance(one, types.Integer) or isinstance(one, types.SliceType) and not one.has_step for one in kinds)


def _width(context: Any, array: Any) -> Any:
    """Bytes of an element."""
    return _WORD(context.get_abi_sizeof(context.get_data_type(array.dtype)))


def _array(context: Any, builder: Any, kind: Any, data: Any, sizes: Any, strides: Any) -> Any:
    """An array of memory that somebody else keeps."""
    count = sizes[0]
    for size in sizes[1:]:
        count = builder.mul(count, size)
    parts: list[Any] = [(_COUNT, count), (_WIDTH, _width(context, kind)), (_DATA, data)]
    for axis, (size, stride) in enumerate(zip(sizes, strides, strict=True)):
        parts += [((_SHAPE, axis), size), ((_STRIDES, axis), stride)]
    return _built(builder, context.get_value_type(kind), parts)


def _shape(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    return builder.extract_value(value, _SHAPE)


def _len(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.extract_value(arguments[0], (_SHAPE, 0))


def _slice(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Its step is positive where there is none."""
    given = [None if kind is types.none else value for kind, value in zip(signature.args, arguments, strict=True)]
    given = [None, *given] if len(given) == 1 else given
    places = zip([*given, None, None], (0, _END, 1), strict=False)
    parts = [other if own is None else own for own, other in places]
    values = [_WORD(part) if isinstance(part, int) else part for part in parts]
    return _built(builder, context.get_value_type(signature.return_type), enumerate(values))


_RANGE, _ITERATOR = types.range_state64_type, types.range_iter64_type


def _range(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    start, stop = arguments[:2] if len(arguments) > 1 else (_WORD(0), arguments[0])
    step = arguments[2] if len(arguments) > 2 else _WORD(1)
    return _built(builder, context.get_value_type(_RANGE), enumerate((start, stop, step)))


_known = rangeobj.lower_builtin.__self__.functions
_PLAIN = next(impl for impl, name, kinds in _known if (name, kinds) == ("getiter", (_RANGE,)))


def _iterator(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    start, stop, step = (_part(builder, arguments[0], place) for place in range(3))
    known = step.constant if isinstance(step, ir.Constant) else 0
    if not known:
        return _PLAIN(context, builder, signature, arguments)
    way = builder.sub(stop, start) if known > 0 else builder.sub(start, stop)
    count = builder.sdiv(builder.add(way, _WORD(abs(known) - 1)), _WORD(abs(known)))
    with builder.goto_entry_block():
        value, left = builder.alloca(_WORD), builder.alloca(_WORD)
    builder.store(start, value)
    builder.store(count, left)
    return _built(builder, context.get_value_type(_ITERATOR), enumerate((value, stop, step, left)))


def _next(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    value, step, left = (_part(builder, arguments[0], place) for place in (0, 2, 3))
    now, count = builder.load(value), builder.load(left)
    builder.store(builder.add(now, step), value)
    builder.store(builder.sub(count, _WORD(1)), left)
    valid = builder.icmp_signed(">", count, _WORD(0))
    return _built(builder, context.get_value_type(signature.return_type), enumerate((now, valid)))


def pair_part(builder: Any, pair: Any, place: int) -> Any:
    """The number that an iterator gives, or whether there was one."""
    return _part(builder, pair, place)


def _divided(place: int, plain: Callable[..., Any]) -> Callable[..., Any]:
    """Quotient (0) or rest (1) of int64 by a constant that is positive; `plain` of all else."""

    def divide(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (value, divisor), (kind, _) = arguments, signature.args
        if not isinstance(divisor, ir.Constant) or divisor.constant <= 0 or signature.return_type != types.int64:
            return plain(context, builder, signature, arguments)
        value = context.cast(builder, value, kind, types.int64)
        divisor = _WORD(divisor.constant)
        rest = builder.srem(value, divisor)
        below = builder.icmp_signed("<", rest, _WORD(0))
        if place:
            return builder.select(below, builder.add(rest, divisor), rest)
        return builder.add(builder.sdiv(value, divisor), builder.sext(below, _WORD))

    return divide


registry.lower_getattr(types.Array, "shape")(_shape)
registry.lower(len, types.Buffer)(_len)
registry.lower_getattr_generic(types.BaseNamedTuple)(_named)
registry.lower("static_getitem", types.BaseTuple, types.IntegerLiteral)(_fixed)
registry.lower(slice, types.VarArg(types.Any))(_slice)
for _number in (1, 2, 3):
    registry.lower(range, *[types.int64] * _number)(_range)
registry.lower("getiter", _RANGE)(_iterator)
registry.lower("iternext", _ITERATOR)(_next)
for _operator in (operator.floordiv, operator.ifloordiv):
    registry.lower(_operator, types.Integer, types.Integer)(_divided(0, numbers.int_floordiv_impl))
for _operator in (operator.mod, operator.imod):
    registry.lower(_operator, types.Integer, types.Integer)(_divided(1, numbers.int_rem_impl))


def room() -> Callable[..., Any]:
    """numba's name for arrays of a constant size that live as long as the call."""

    @intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
    def room(typing: Any, size: Any, dtype: Any) -> Any:
        array = types.Array(dtype.dtype, 1, "C")

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = context.get_data_type(array.dtype)
            with builder.goto_entry_block():
                data = builder.alloca(kind, size=size.literal_value)
            return _array(context, builder, array, data, [_WORD(size.literal_value)], [_width(context, array)])

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
            data = builder.bitcast(builder.extract_value(source, _DATA), kind.as_pointer())
            lengths = cgutils.unpack_tuple(builder, sizes)
            lengths = [context.cast(builder, one, of, types.intp) for one, of in zip(lengths, shape, strict=True)]
            strides = [_width(context, result)]
            for length in reversed(lengths[1:]):
                strides.insert(0, builder.mul(strides[0], length))
            data = builder.gep(data, [context.cast(builder, first, start, types.intp)])
            return _array(context, builder, result, data, lengths, strides)

        return result(array, start, dtype, shape), generate

    return shaped
