"""Vectors of int16 in LLVM's instructions: what `vectors` compiles into its callers."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from bfncodec.exact.kinds import Value, View
from bfncodec.exact.places import Places
from bfncodec.exact.products import instructions
from bfncodec.exact.tiles import each, intrinsic, shuffled

_BYTE, _SHORT, _INT, _WORD = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64)
_WIDE = {"vnni": 32, "avx2": 16, "plain": 8}  # numbers of a vector
_PAIRS = {"vnni": "llvm.x86.avx512.pmaddw.d.512", "avx2": "llvm.x86.avx2.pmadd.wd"}
_ROUNDED = {"vnni": "llvm.x86.avx512.pmul.hr.sw.512", "avx2": "llvm.x86.avx2.pmul.hr.sw"}


def dots(into: Any, inputs: View, weights: View, chosen: View, out: View, width: Value) -> Any:
    """`vectors.dots`."""
    return _called(into, "dots", _dots, [inputs, weights, chosen, out], width)


def teach(into: Any, inputs: View, weights: View, chosen: View, steps: View, width: Value) -> Any:
    """`vectors.teach`."""
    return _called(into, "teach", _teach, [inputs, weights, chosen, steps], width)


def prefetch(into: Places, array: View, *indices: Value) -> None:
    """`vectors.prefetch`."""
    into.declared.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
    address = into.part(into.at(array, list(indices)), 0)
    into.do(f"call void @llvm.prefetch.p0(ptr {address}, i32 1, i32 3, i32 1)")


def _called(into: Any, name: str, write: Callable[..., None], views: list[View], width: Value) -> Any:
    """Call a function of four arrays, and of how many rows are chosen."""
    full = f"{name}_{instructions()}_{width.known}"
    if full not in into.program.others:
        into.program.others[full] = _text(full, write, width.known)
    into.program.declared.add(f"declare void @{full}(ptr, ptr, ptr, ptr, i64)")
    given = [f"ptr {into.part(view, 0)}" for view in views]
    return into.call(None, f"@{full}", [*given, f"i64 {into.size(views[2], 0)}"])


def _text(name: str, write: Callable[..., None], width: int) -> str:
    """The function of inputs, weights, chosen rows, their numbers, and how many they are."""
    module = ir.Module(name)
    kinds = [_SHORT.as_pointer(), _SHORT.as_pointer(), _WORD.as_pointer(), _WORD.as_pointer(), _WORD]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
    builder = ir.IRBuilder(function.append_basic_block("start"))
    write(builder, function, width)
    builder.ret_void()
    return str(module)


def _dots(builder: Any, function: Any, width: int) -> None:
    inputs, weights, chosen, out, count = function.args
    own = [_read(builder, inputs, place) for place in _places(width)]
    with each(builder, function, count) as index:
        row = builder.gep(weights, [builder.mul(_at(builder, chosen, index), _WORD(width))])
        total: Any = None
        for place, one in zip(_places(width), own, strict=True):
            pairs = _pairs(builder, one, _read(builder, row, place))
            total = builder.add(total, pairs) if total else pairs
        name = f"llvm.vector.reduce.add.v{total.type.count}i32"
        builder.store(builder.sext(intrinsic(builder, name, _INT, total), _WORD), builder.gep(out, [index]))


def _teach(builder: Any, function: Any, width: int) -> None:
    inputs, weights, chosen, steps, count = function.args
    own = [_read(builder, inputs, place) for place in _places(width)]
    with each(builder, function, count) as index:
        step = builder.trunc(_at(builder, steps, index), _SHORT)
        with builder.if_then(builder.icmp_signed("!=", step, _SHORT(0))):
            row = builder.gep(weights, [builder.mul(_at(builder, chosen, index), _WORD(width))])
            spread = _spread(builder, step, own[0].type)
            for place, one in zip(_places(width), own, strict=True):
                address = _address(builder, row, place)
                more = _rounded(builder, one, spread)
                name = f"llvm.sadd.sat.v{one.type.count}i16"
                builder.store(
                    intrinsic(builder, name, one.type, builder.load(address, align=2), more), address, align=2
                )


def _places(width: int) -> range:
    return range(0, width, _WIDE[instructions()])


def _address(builder: Any, row: Any, place: int) -> Any:
    whole = ir.VectorType(_SHORT, _WIDE[instructions()])
    return builder.bitcast(builder.gep(row, [_WORD(place)]), whole.as_pointer())


def _read(builder: Any, row: Any, place: int) -> Any:
    return builder.load(_address(builder, row, place), align=2)


def _at(builder: Any, array: Any, index: Any) -> Any:
    return builder.load(builder.gep(array, [index]))


def _spread(builder: Any, value: Any, kind: Any) -> Any:
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, _INT(0))
    return shuffled(builder, one, [0] * kind.count)


def _pairs(builder: Any, one: Any, other: Any) -> Any:
    """Sums of the products of two numbers side by side, int32."""
    kind = ir.VectorType(_INT, one.type.count // 2)
    if instructions() in _PAIRS:
        return intrinsic(builder, _PAIRS[instructions()], kind, one, other)
    wide = ir.VectorType(_INT, one.type.count)
    products = builder.mul(builder.sext(one, wide), builder.sext(other, wide))
    sides = (range(first, one.type.count, 2) for first in range(2))
    return builder.add(*(shuffled(builder, products, side) for side in sides))


def _rounded(builder: Any, one: Any, other: Any) -> Any:
    """Products in 1 / 2**15, rounded."""
    if instructions() in _ROUNDED:
        return intrinsic(builder, _ROUNDED[instructions()], one.type, one, other)
    wide = ir.VectorType(_INT, one.type.count)
    product = builder.mul(builder.sext(one, wide), builder.sext(other, wide))
    half, down = (ir.Constant(wide, [number] * wide.count) for number in (1 << 14, 15))
    return builder.trunc(builder.ashr(builder.add(product, half), down), one.type)
