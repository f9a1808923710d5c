"""Sections 4.1 to 4.3 of docs/format.md: LZW streams, and TIFF and GIF files that have them. Plain Python."""

import struct
from dataclasses import dataclass
from itertools import chain, islice, repeat

import numpy as np
from reference.stack import require

Array = np.ndarray


@dataclass
class Notes:
    """Numbers and bytes in order."""

    data: bytes
    position: int = 0

    def number(self) -> int:
        """0 after the end."""
        return self.there() if self.position < len(self.data) else 0

    def there(self) -> int:
        """A number that has to be there."""
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def take(self, count: int) -> bytes:
        require(count <= len(self.data) - self.position)
        self.position += count
        return self.data[self.position - count : self.position]


class Bits:
    """Codes put into bytes, from the high bits or from the low ones."""

    def __init__(self, high: bool) -> None:
        self.high, self.bits = high, ""

    def put(self, code: int, width: int) -> None:
        code_bits = f"{code:0{width}b}"
        self.bits += code_bits if self.high else code_bits[::-1]

    def data(self) -> bytes:
        bits = self.bits + "0" * (-len(self.bits) % 8)
        octets = (bits[at : at + 8] for at in range(0, len(bits), 8))
        return bytes(int(one if self.high else one[::-1], 2) for one in octets)


def stream(values: bytes, bits: int, tiff: bool, period: int, notes: Notes) -> bytes:
    """4.1: the stream of values, and the next notes with it."""
    head = notes.number()
    exceptions = [(notes.there(), notes.there()) for _ in range(head >> 2)]
    end = notes.take(notes.there()) if head & 1 else None
    runs = (chain(repeat(period, run if period else 0), [other]) for run, other in exceptions)
    distances = chain.from_iterable(runs)
    require(all(value < 1 << bits for value in values))
    clear = 1 << bits
    out, codes, at = Bits(tiff), 0, 0
    known: dict[bytes, int] = {}

    def width() -> int:
        if codes == 0:
            return bits + 1
        return min(12, max(bits + 1, (clear + 1 + codes + tiff).bit_length()))

    if not head & 2:
        out.put(clear, bits + 1)
    distance = next(distances, period or -1)
    while at < len(values):
        while codes == distance:
            out.put(clear, width())
            codes, known, distance = 0, {}, next(distances, period or -1)
        size = 1
        while at + size < len(values) and values[at : at + size + 1] in known:
            size += 1
        string = values[at : at + size]
        out.put(known[string] if size > 1 else string[0], width())
        at, codes = at + size, codes + 1
        if at < len(values) and clear + 1 + codes < 4096:
            known[string + values[at : at + 1]] = clear + 1 + codes
    if end is not None:
        return out.data()[: len(out.bits) // 8] + end
    out.put(clear + 1, width())
    return out.data()


def tiff_file(pixels: Array, signed: bool, before: bytes, after: bytes) -> bytes:
    """4.2; before: without the three letters."""
    outer = Notes(before)
    notes = Notes(outer.take(outer.number()))
    start = before[outer.position :]
    rows, period, differences = (notes.number() for _ in range(3))
    places = [notes.number() for _ in range(4)]
    require(rows > 0 and start[:4] in (b"II*\0", b"MM\0*"))
    order = "<" if start[:1] == b"I" else ">"
    values = pixels ^ 0x8000 if signed else pixels
    if differences:
        left = np.concatenate([np.zeros_like(values[:, :1]), values[:, :-1]], axis=1)
        values = values - left
    if values.dtype != np.uint8:
        values = values.astype(order + "u2")
    streams = [
        stream(values[first : first + rows].tobytes(), 8, True, period, notes) for first in range(0, len(values), rows)
    ]
    out, where, offsets = bytearray(start), len(start), []
    for one in streams:
        offsets.append(where)
        where += len(one)
        out += one
    out += after
    for place, size, numbers in ((*places[:2], offsets), (*places[2:], list(map(len, streams)))):
        if place:
            packed = struct.pack(f"{order}{len(numbers)}{' BH I'[size]}", *numbers)
            require(place + len(packed) <= len(out))
            out[place : place + len(packed)] = packed
    return bytes(out)


def gif_file(pixels: Array, frames: int, rest: bytes, noted: bytes) -> bytes:
    """4.3; pixels [frames * height, width]."""
    notes = Notes(noted)
    period, largest = notes.number(), 255 - notes.number()
    height, out, done, places = len(pixels) // frames, b"", 0, gif_frames(rest)
    for number, (place, left, top, width, rows, interlaced) in enumerate(islice(places, frames)):
        bits = rest[place - 1]
        plane = pixels[number * height : (number + 1) * height]
        require(left + width <= plane.shape[1] and top + rows <= height and 1 <= bits <= 8)
        part = plane[top : top + rows, left : left + width]
        if interlaced:
            part = np.concatenate([part[0::8], part[4::8], part[2::4], part[1::2]])
        sizes = notes.take(notes.number())
        data = stream(part.tobytes(), bits, False, period, notes)
        if not sizes:
            sizes = bytes([largest] * (len(data) // largest) + [len(data) % largest] * (len(data) % largest > 0))
        require(sum(sizes) == len(data))
        out += rest[done:place]
        for size in sizes:
            out, data = out + bytes([size]) + data[:size], data[size:]
        out, done = out + b"\0", place
    return out + rest[done:]


def gif_frames(rest: bytes) -> list[tuple[int, int, int, int, int, int]]:
    """Where the frames' pixels belong, their left, top, width and height, and whether they are interlaced."""
    found, at = [], 13 + (3 << (rest[10] & 7) + 1 if rest[10] & 128 else 0)
    while rest[at : at + 1] in (b"!", b","):
        if rest[at] == ord("!"):
            at += 2
            while at < len(rest) and rest[at]:
                at += 1 + rest[at]
            at += 1
            continue
        if at + 10 > len(rest):
            break
        left, top, width, height, flags = struct.unpack_from("<HHHHB", rest, at + 1)
        at += 10 + (3 << (flags & 7) + 1 if flags & 128 else 0) + 1
        if at > len(rest):
            break
        found.append((at, left, top, width, height, flags >> 6 & 1))
    return found
