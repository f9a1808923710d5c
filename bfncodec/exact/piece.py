"""Object files as one piece of machine code, which runs wherever it lies. Loaded only where code is made.

So that other processes need no linker: all sections one after the other, with the distances between them filled in.
For ELF on x86-64, https://gitlab.com/x86-psABIs/x86-64-ABI.
"""

import struct
from struct import Struct

_HEAD, _SECTION = Struct("<16sHHIQQQIHHHHHH"), Struct("<IIQQQQIIQQ")
_SYMBOL, _DISTANCE = Struct("<IBBHQQ"), Struct("<QIIq")
_X86_64, _SYMBOLS, _DISTANCES = 62, 2, 4  # machine; kinds of sections
_WRITTEN, _IN_MEMORY = 1, 2  # flags of sections
_NEAR = (2, 4)  # R_X86_64_PC32, R_X86_64_PLT32: from here to a symbol, 32 bits


def piece(machine: bytes) -> tuple[int, bytes] | None:
    """Where the only function that can be called begins, and the piece; None for what is not so simple."""
    head = _HEAD.unpack_from(machine)
    if machine[:6] != b"\x7fELF\2\1" or head[2] != _X86_64:
        return None
    sections = [_SECTION.unpack_from(machine, head[6] + number * _SECTION.size) for number in range(head[12])]
    code, starts = bytearray(), {}
    for number, (_, _, flags, _, offset, size, _, _, alignment, _) in enumerate(sections):
        if flags & _IN_MEMORY:
            if flags & _WRITTEN:
                return None
            code += bytes(-len(code) % alignment)
            starts[number] = len(code)
            code += machine[offset : offset + size]
    entries, places = [], {}
    (symbols,) = (section for section in sections if section[1] == _SYMBOLS)
    for number, (_, info, _, its, value, _) in enumerate(_entries(machine, symbols, _SYMBOL)):
        if its in starts:
            places[number] = starts[its] + value
            entries += [places[number]] if info >> 4 else []  # not local
    for section in sections:
        if section[1] == _DISTANCES and section[7] in starts:
            for offset, how, symbol, more in _entries(machine, section, _DISTANCE):
                if how not in _NEAR or symbol not in places:
                    return None
                at = starts[section[7]] + offset
                struct.pack_into("<i", code, at, places[symbol] + more - at)
    (entry,) = entries
    return entry, bytes(code)


def _entries(machine: bytes, section: tuple[int, ...], layout: Struct) -> list[tuple[int, ...]]:
    offset, size = section[4:6]
    return list(layout.iter_unpack(machine[offset : offset + size]))
