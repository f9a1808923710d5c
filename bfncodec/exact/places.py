"""What compiled functions do with tuples and arrays."""

from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np

from bfncodec.exact.kinds import (
    DOUBLE,
    FLOAT,
    INT,
    UINT,
    Array,
    Far,
    Kind,
    Near,
    Number,
    Text,
    Thing,
    Tuple,
    Unsupported,
    Value,
    View,
    element,
    made,
    number,
    types,
    words,
)
from bfncodec.exact.numbers import CHECKED, Numbers


class Places(Numbers):
    """A function that is being written."""

    program: Any  # `language.Program`

    def __init__(self, declared: set[str]) -> None:
        super().__init__(declared)
        self._early: dict[tuple[str, int, str], str] = {}  # what the head has read

    # Any values

    def part(self, view: Any, place: int) -> str:
        """LLVM's name of an array's address, size or stride."""
        if not isinstance(view, View):
            raise Unsupported("something that is no array")
        part = view.parts[place]
        return part if isinstance(part, str) else part()

    def size(self, view: View, axis: int) -> str:
        return self.part(view, 1 + axis)

    def texts(self, value: Any) -> list[str]:
        """All that LLVM has for a value, as `types` says."""
        if isinstance(value, Value):
            return [value.text]
        if isinstance(value, View):
            return [self.part(value, place) for place in range(len(types(value.kind)))]
        return [self._address(value)]

    def meeting(self, one: Any, other: Any) -> Kind:
        """The type of what is one or the other."""
        if isinstance(one, View) and isinstance(other, View) and one.kind == other.kind:
            return one.kind
        return self.common(self.plain(one), self.plain(other))

    def slots(self, kind: Kind) -> list[str]:
        """Memory for numbers or arrays of a type."""
        return [self.memory(llvm) for llvm in types(kind)]

    def keep(self, kind: Kind, slots: list[str], value: Any) -> None:
        """Write to such memory."""
        value = self.plain(value, kind) if isinstance(kind, Number) else value
        if not isinstance(value, Value | View) or value.kind != kind:
            raise Unsupported("a variable, or a choice, of several types")
        for llvm, slot, text in zip(types(kind), slots, self.texts(value), strict=True):
            self.do(f"store {llvm} {text}, ptr {slot}")

    def kept(self, kind: Kind, slots: list[str]) -> Any:
        """Read from it."""
        pairs = zip(types(kind), slots, strict=True)
        return made(kind, [self.op(f"load {llvm}, ptr {slot}") for llvm, slot in pairs])

    # Tuples

    def parts(self, value: Any, count: int = 0) -> list[Any]:
        """The parts of a tuple, or those of an array, so many."""
        if isinstance(value, View):
            return [self.read(self.at(value, [number(INT, place)])) for place in range(count)]
        if not isinstance(value, Near | Far):
            raise Unsupported("parts of what has none")
        return [self.member(value, place) for place in range(len(value.kind.parts))]

    def member(self, value: Any, place: int) -> Any:
        """A part of a tuple."""
        if isinstance(value, Near):
            return value.parts[place]
        place = range(len(value.kind.parts))[place]
        return self._behind(value, sum(map(words, value.kind.parts[:place])), value.kind.parts[place])

    def chosen_member(self, value: Any, index: Value) -> Any:
        """A part of a tuple; nobody knows beforehand, which one."""
        known = [getattr(part, "known", None) for part in self.parts(value)] if isinstance(value, Near) else [None]
        if None not in known:
            return self.read(self.at(self.program.table(np.array(known, np.int64)), [index]))
        kinds = set(value.kind.parts)
        if len(kinds) != 1:
            raise Unsupported("an index, not known beforehand, of parts of several types")
        (kind,) = kinds
        place = self.product(index.text, str(words(kind)))
        address = self.op(f"getelementptr i64, ptr {self._address(value)}, i64 {place}")
        return self._behind(Far(value.kind, address, False), 0, kind)

    def _behind(self, value: Far, place: int, kind: Kind) -> Any:
        """What stands so many words behind a tuple's beginning."""
        if isinstance(kind, Tuple):
            return Far(kind, self._word(value, place), value.early)
        reads = [partial(self._word, value, place + one, llvm) for one, llvm in enumerate(types(kind))]
        return made(kind, reads if isinstance(kind, Array) else [reads[0]()])

    def _word(self, value: Far, place: int, load: str = "") -> str:
        """The address of a word, or what is read from there: in the head, if that can be."""
        key = value.address, place, load
        if value.early and key in self._early:
            return self._early[key]
        body, self.body = self.body, self.head if value.early else self.body
        name = self.op(f"getelementptr i64, ptr {value.address}, i64 {place}")
        name = self.op(f"load {load}, ptr {name}") if load else name
        self.body = body
        if value.early:
            self._early[key] = name
        return name

    def _address(self, value: Any) -> str:
        """Where a tuple is found in memory."""
        if isinstance(value, Far):
            return value.address
        if not isinstance(value, Near):
            raise Unsupported("such an argument")
        address = self.memory("i64", words(value.kind))
        self._spread(Far(value.kind, address, False), 0, value)
        return address

    def _spread(self, room: Far, place: int, value: Any) -> int:
        """Write a value to memory; returns the place behind it."""
        if isinstance(value, Near | Far):
            for part in self.parts(value):
                place = self._spread(room, place, part)
            return place
        for one, (llvm, text) in enumerate(zip(types(value.kind), self.texts(value), strict=True)):
            self.do(f"store {llvm} {text}, ptr {self._word(room, place + one)}")
        return place + words(value.kind)

    # Arrays

    def at(self, view: Any, indices: list[Any]) -> View:
        """What numbers and slices name: an array, of no axes where that is an element."""
        address = self.part(view, 0)
        axes, dtype = view.kind.axes, view.kind.dtype
        if len(indices) > axes:
            raise Unsupported("so many indices")
        offset, last = "0", "0"
        sizes: list[Text] = []
        strides: list[Text] = []
        for axis in range(axes):
            index = indices[axis] if axis < len(indices) else slice(None)
            if isinstance(index, slice):
                start, size = self._cut_axis(view, axis, index)
                sizes.append(size)
                strides.append(partial(self.part, view, 1 + axes + axis))
            else:
                start = self._place(view, axis, index)
            if axis == axes - 1 and view.kind.dense:
                last = start
            elif start != "0":
                offset = self.sum(offset, self.product(start, self.part(view, 1 + axes + axis)))
        if offset != "0":
            address = self.op(f"getelementptr i8, ptr {address}, i64 {offset}")
        if last != "0":
            address = self.op(f"getelementptr {element(dtype)[1]}, ptr {address}, i64 {last}")
        dense = view.kind.dense and (len(indices) < axes or isinstance(indices[-1], slice))
        if dense:
            strides[-1:] = [str(dtype.itemsize)]
        return View(Array(dtype, len(sizes), dense), (address, *sizes, *strides))

    def _place(self, view: View, axis: int, index: Any) -> str:
        index = self.plain(index)
        index = index if index.kind == UINT else self.plain(index, INT)
        if index.known is not None and index.known < 0:
            raise Unsupported("an index that counts from the end")
        if CHECKED:
            self.require(self.op(f"icmp ult i64 {index.text}, {self.size(view, axis)}"))
        return str(index.text)

    def _cut_axis(self, view: View, axis: int, index: slice) -> tuple[str, Text]:
        """Where a slice begins, and its size."""
        start = "0" if index.start is None else index.start.text
        for end in (index.start, index.stop):
            if end is not None and end.known is not None and end.known < 0:
                raise Unsupported("an index that counts from the end")
            if CHECKED and end is not None:
                self.require(self.op(f"icmp sge i64 {end.text}, 0"))
        if start == "0" and index.stop is None:
            return start, partial(self.size, view, axis)

        def size() -> str:
            end = self.size(view, axis)
            if index.stop is not None:
                end = self.known_call("smin", INT, index.stop.text, end)
            return self.known_call("smax", INT, self.op(f"sub i64 {end}, {start}"), "0")

        return start, size

    def read(self, place: View) -> Any:
        """The number at a place; an array as it is."""
        if place.kind.axes:
            return place
        dtype = place.kind.dtype
        return self.extended(dtype, self.op(f"load {element(dtype)[1]}, ptr {self.part(place, 0)}"))

    def write(self, place: View, value: Any) -> None:
        """Write a number to a place, or to all of an array."""
        dtype = place.kind.dtype
        kind, llvm = element(dtype)
        value = self.plain(value)
        if kind == INT and value.kind in (FLOAT, DOUBLE):
            raise Unsupported("a fraction among whole numbers")
        text, address = self.cut(dtype, self.cast(value, kind)), self.part(place, 0)
        with ExitStack() as loops:
            for axis in range(place.kind.axes):
                index, _, _ = loops.enter_context(self.counting("0", self.size(place, axis)))
                stride = self.part(place, 1 + place.kind.axes + axis)
                address = self.op(f"getelementptr i8, ptr {address}, i64 {self.product(index, stride)}")
            self.do(f"store {llvm} {text}, ptr {address}")


def room(into: Places, size: Value, dtype: Thing) -> View:
    """`compiled.room`: memory of the call."""
    if size.known is None:
        raise Unsupported("room of a size that is not known beforehand")
    kind = Array(np.dtype(dtype.value), 1, True)
    return View(kind, (into.memory(element(kind.dtype)[1], size.known), size.text, str(kind.dtype.itemsize)))


def shaped(into: Places, array: View, start: Value, dtype: Thing, shape: Near) -> View:
    """`compiled.shaped`."""
    kind = Array(np.dtype(dtype.value), len(shape.parts), True)
    address = into.op(f"getelementptr {element(kind.dtype)[1]}, ptr {into.part(array, 0)}, i64 {start.text}")
    strides = [str(kind.dtype.itemsize)]
    for part in reversed(shape.parts[1:]):
        strides.insert(0, into.product(strides[0], part.text))
    return View(kind, (address, *(part.text for part in shape.parts), *strides))
