"""JPEG files of the second decoder: section 19 of docs/format.md, and annexes F, G and K of T.81."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from reference.graphics import Mixers, fold, pop
from reference.stack import Stack, clip, require
from reference.text import squash, stretch

ZIGZAG = sorted(range(64), key=lambda p: (p // 8 + p % 8, p // 8 if (p // 8 + p % 8) % 2 else p % 8))


def decode(images: Sequence["Image"], tensors: dict[str, np.ndarray]) -> bytes:
    """The bytes of a block."""
    out = b""
    for image in images:
        rest = Rest(image.rest, image.size)
        frame, scans = read_head(rest.head, rest.scans)
        require(frame.blocks == image.blocks and sum(image.rows) == frame.down and all(image.rows))
        tables = [scans[0].tables.get(part.table, [1] * 64) if scans else [1] * 64 for part in frame.parts]
        planes = [np.zeros((frame.down * part.down, frame.across * part.across, 64), int) for part in frame.parts]
        first = 0
        for rows, stream in zip(image.rows, image.streams, strict=True):
            pieces = [
                plane[first * part.down : (first + rows) * part.down]
                for plane, part in zip(planes, frame.parts, strict=True)
            ]
            Segment(stream, frame, pieces, tables, tensors).decode()
            first += rows
        built = build(rest, frame, scans, planes)
        require(len(built) == image.size)
        out += built + image.after
    return out


# 19.1 Fields


@dataclass
class Image:
    size: int
    blocks: int
    rest: bytes = b""
    after: bytes = b""
    rows: list[int] = field(default_factory=list)
    streams: list[bytes] = field(default_factory=list)


# 19.2 The rest

LUMA = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""
COLOURS = """17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99"""
COUNTS = {
    0x00: [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
    0x10: [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7D],
    0x01: [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
    0x11: [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77],
}
FREQUENT = {
    0x10: """01 02 03 00 04 11 05 12 21 31 41 06 13 51 61 07 22 71 14 32 81 91 A1 08 23 42 B1 C1 15 52 D1 F0 24 33
    62 72 82""",
    0x11: """00 01 02 03 11 04 05 21 31 06 12 41 51 07 61 71 13 22 32 81 08 14 42 91 A1 B1 C1 09 23 33 52 F0 15 62
    72 D1 0A 16 24 34 E1 25 F1""",
}


def symbols(number: int) -> bytes:
    """K.3: all others follow in order."""
    if number < 2:
        return bytes(range(12))
    first = bytes.fromhex(FREQUENT[number])
    every = [0, 0xF0, *(run * 16 + size for run in range(16) for size in range(1, 11))]
    return first + bytes(sorted(set(every) - set(first)))


@cache
def dictionary() -> bytes:
    out = b"Exif\0\0MM\0*\0\0\0\x08" + b"Adobe Photoshop http://ns.adobe.com/xap/1.0/\0"
    out += bytes.fromhex("FFEE000E") + b"Adobe" + bytes.fromhex("00640000000001")
    for quality in sorted(range(1, 101), key=lambda q: (-abs(q - 88), q)):
        factor = 5000 // quality if quality < 50 else 200 - 2 * quality
        for number, table in enumerate((LUMA, COLOURS)):
            values = [int(value) for value in table.split()]
            scaled = [clip((values[place] * factor + 50) // 100, 1, 255) for place in ZIGZAG]
            out += bytes.fromhex("FFDB0043") + bytes([number, *scaled])
    for across in ("11", "21", "22"):
        out += bytes.fromhex("080000000003 01" + across + "00 021101 031101")
    out += bytes.fromhex("FFC2001108FFD9FFC0001108")
    for number in (0x00, 0x10, 0x01, 0x11):
        content = bytes([number, *COUNTS[number]]) + symbols(number)
        out += bytes.fromhex("FFC4") + (len(content) + 2).to_bytes(2, "big") + content
    out += bytes.fromhex("FFDA000C03010002110311003F00")
    return out + bytes.fromhex("FFD8FFE00010") + b"JFIF" + bytes.fromhex("00010100000100010000")


class Rest:
    def __init__(self, data: bytes, size: int) -> None:
        unpacker = zlib.decompressobj(-15, zdict=dictionary())
        try:
            self.data = unpacker.decompress(data, min(2**28, 8 * size + 2**16))
        except zlib.error:
            self.data = b""
            require(False)
        require(unpacker.eof and not unpacker.unused_data)
        self.at = 0
        self.scans, self.units, self.habit, self.pad = (self.number() for _ in range(4))
        require(self.scans <= 1000 and self.habit < 3 and self.pad < 3)
        self.pads = [self.take(self.number()) for _ in range(self.scans)] if self.pad == 0 else []
        self.notes: dict[int, list[int]] = {}
        for _ in range(min(self.number(), 1000)):
            scan, count = self.number(), self.number()
            total, notes = 0, []
            for _ in range(min(count, len(self.data))):
                total += self.number()
                notes.append(total)
            require(total < 2**40)
            self.notes[scan] = notes
        self.head = self.data[self.at :]

    def take(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self) -> int:
        value = shift = 0
        while shift < 42 and self.at < len(self.data):
            (byte,) = self.take(1)
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        return value


# 19.3 The head


@dataclass
class Part:
    """A component."""

    name: int
    across: int
    down: int
    table: int
    columns: int = 0  # blocks of a scan of its own
    rows: int = 0


@dataclass
class Frame:
    progressive: bool
    across: int
    down: int
    parts: list[Part]

    @property
    def blocks(self) -> int:
        return self.across * self.down * sum(part.across * part.down for part in self.parts)


@dataclass
class Scan:
    parts: list[int]
    codes: list[tuple[int, int]]
    first: int
    last: int
    high: int
    low: int
    interval: int
    huffman: dict[int, bytes]
    tables: dict[int, list[int]]
    end: int


def read_head(head: bytes, count: int) -> tuple[Frame, list[Scan]]:
    """The frame and so many scans."""
    require(head[:2] == b"\xff\xd8")
    at, frame, scans = 2, None, []
    huffman: dict[int, bytes] = {}
    tables: dict[int, list[int]] = {}
    interval = 0
    while len(scans) < max(count, 1):
        while at + 1 < len(head) and (head[at] != 0xFF or head[at + 1] in (0, 1, 0xFF, *range(0xD0, 0xD8))):
            at += 1
        if at + 1 >= len(head):
            break
        marker, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
        ends = marker in (0xD8, 0xD9, 0xCC, 0xDC, 0xDE) or length < 2 or at + 2 + length > len(head)
        if ends:
            break
        body, at = head[at + 4 : at + 2 + length], at + 2 + length
        if marker == 0xC4:
            place = 0
            while place + 17 <= len(body):
                size = 17 + sum(body[place + 1 : place + 17])
                require(not body[place] & 0xEC and place + size <= len(body))
                huffman = huffman | {body[place]: body[place + 1 : place + size]}
                place += size
            require(place == len(body))
        elif marker == 0xDB:
            place = 0
            while place < len(body):
                width = 2 if body[place] >> 4 else 1
                values = body[place + 1 : place + 1 + 64 * width]
                require(not body[place] & 0xEC and len(values) == 64 * width)
                table = [0] * 64
                for number in range(64):
                    table[ZIGZAG[number]] = int.from_bytes(values[number * width : (number + 1) * width], "big")
                tables = tables | {body[place] & 3: table}
                place += 1 + 64 * width
        elif marker == 0xDD:
            require(len(body) == 2)
            interval = int.from_bytes(body, "big")
        elif 0xC0 <= marker <= 0xCF:
            require(marker < 0xC3 and frame is None)
            frame = read_frame(body, marker == 0xC2)
        elif marker == 0xDA:
            require(frame is not None)
            scans.append(read_scan(body, frame, interval, huffman, tables, at))
    require(frame is not None and len(scans) >= count)
    return frame, scans


def read_frame(body: bytes, progressive: bool) -> Frame:
    require(len(body) >= 6 and body[0] in (8, 12) and 1 <= body[5] <= 4 and len(body) == 6 + 3 * body[5])
    height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    parts = [Part(body[k], body[k + 1] >> 4, body[k + 1] & 15, body[k + 2]) for k in range(6, len(body), 3)]
    require(height and width and len({part.name for part in parts}) == len(parts))
    require(all(1 <= part.across <= 4 and 1 <= part.down <= 4 and part.table <= 3 for part in parts))
    most = max(part.across for part in parts), max(part.down for part in parts)
    for part in parts:
        columns, rows = -(-width * part.across // most[0]), -(-height * part.down // most[1])
        part.columns, part.rows = -(-columns // 8), -(-rows // 8)
    return Frame(progressive, -(-width // (8 * most[0])), -(-height // (8 * most[1])), parts)


def read_scan(body: bytes, frame: Frame, interval: int, huffman: dict, tables: dict, end: int) -> Scan:
    require(body and 1 <= body[0] <= 4 and len(body) == 4 + 2 * body[0])
    names = [part.name for part in frame.parts]
    chosen = [names.index(name) if name in names else -1 for name in body[1:-3:2]]
    require(min(chosen) >= 0 and len(set(chosen)) == len(chosen))
    codes = [(byte >> 4, byte & 15) for byte in body[2:-3:2]]
    require(all(max(pair) < 4 for pair in codes))
    spectrum = (body[-3], body[-2], body[-1] >> 4, body[-1] & 15) if frame.progressive else (0, 63, 0, 0)
    first, last, high, low = spectrum
    require(low <= 13 and first <= last <= 63 and (first or not frame.progressive or not last))
    require(not (frame.progressive and first and len(chosen) > 1))
    for dc, ac in codes:
        require((first or high or dc in huffman) and (not last or 16 + ac in huffman))
    return Scan(chosen, codes, first, last, high, low, interval, huffman, tables, end)


# 19.4 Data of scans


class Bits:
    def __init__(self) -> None:
        self.bits: list[int] = []
        self.out = bytearray()

    def put(self, value: int, count: int) -> None:
        self.bits += [value >> place & 1 for place in range(count - 1, -1, -1)]
        while len(self.bits) >= 8:
            byte = int("".join(map(str, self.bits[:8])), 2)
            del self.bits[:8]
            self.out += b"\xff\0" if byte == 255 else bytes([byte])


def huffman_codes(table: bytes) -> dict[int, tuple[int, int]]:
    """(code, length) of a symbol: annex C."""
    code, place, found = 0, 16, {}
    for length in range(1, 17):
        for _ in range(table[length - 1]):
            found.setdefault(table[place], (code, length))
            code, place = code + 1, place + 1
        require(code <= 1 << length)
        code *= 2
    return found


class Writer:
    """A scan's data."""

    def __init__(self, frame: Frame, scan: Scan, planes: Sequence[np.ndarray], rest: Rest, number: int) -> None:
        self.frame, self.scan, self.planes, self.rest = frame, scan, planes, rest
        self.notes = list(rest.notes.get(number, []))
        self.pads = rest.pads[number] if rest.pad == 0 else b""
        self.codes = {name: huffman_codes(table) for name, table in scan.huffman.items()}
        self.bits = Bits()
        self.run, self.waiting, self.block, self.segment = 0, [], 0, 0

    def write(self, units: int) -> bytes:
        scan, frame = self.scan, self.frame
        alone = len(scan.parts) == 1
        only = frame.parts[scan.parts[0]]
        across, down = (only.columns, only.rows) if alone else (frame.across, frame.down)
        count = min(units or across * down, across * down)
        self.predictions = [0] * len(scan.parts)
        for unit in range(count):
            if scan.interval and unit and unit % scan.interval == 0:
                self.end_run()
                self.fill()
                self.bits.out += bytes([255, 0xD0 + self.segment % 8])
                self.segment += 1
                self.predictions = [0] * len(scan.parts)
            row, column = divmod(unit, across)
            for place, part in enumerate(scan.parts):
                shape = (1, 1) if alone else (frame.parts[part].down, frame.parts[part].across)
                for y, x in np.ndindex(*shape):
                    block = self.planes[part][row * shape[0] + y, column * shape[1] + x].tolist()
                    self.one([block[p] for p in ZIGZAG], place)
                    self.block += 1
        self.end_run()
        if count == across * down:
            self.fill()
        return bytes(self.bits.out)

    def one(self, block: list[int], place: int) -> None:
        scan = self.scan
        self.dc, self.ac = scan.codes[place][0], 16 + scan.codes[place][1]
        if not self.frame.progressive:
            self.difference(block[0], place)
            self.first_ac(block, 1, 63)
        elif scan.first == 0 and scan.high == 0:
            self.difference(block[0] >> scan.low, place)
        elif scan.first == 0:
            self.bits.put(block[0] >> scan.low & 1, 1)
        elif scan.high == 0:
            self.first_ac(block, scan.first, scan.last)
        else:
            self.further_ac(block)

    def fill(self) -> None:
        count = -len(self.bits.bits) % 8
        byte = self.pads[self.segment] if self.segment < len(self.pads) else 0
        self.bits.put([byte % 2**count, 0, 2**count - 1][self.rest.pad], count)

    def symbol(self, table: int, symbol: int) -> None:
        require(symbol in self.codes.get(table, {}))
        self.bits.put(*self.codes[table][symbol])

    def value(self, table: int, run: int, value: int) -> None:
        size = abs(value).bit_length()
        require(size <= 15)
        self.symbol(table, run * 16 + size)
        self.bits.put(value if value >= 0 else value + 2**size - 1, size)

    def difference(self, value: int, place: int) -> None:
        self.value(self.dc, 0, value - self.predictions[place])
        self.predictions[place] = value

    def noted(self) -> list[int]:
        found = []
        while self.notes and self.notes[0] >> 2 == self.block:
            found.append(self.notes.pop(0) & 3)
        return found

    def first_ac(self, block: list[int], first: int, last: int) -> None:
        zeros = 0
        for place in range(first, last + 1):
            value = (abs(block[place]) >> self.scan.low) * (1 if block[place] > 0 else -1)
            if not value:
                zeros += 1
                continue
            self.end_run()
            while zeros > 15:
                self.symbol(self.ac, 0xF0)
                zeros -= 16
            self.value(self.ac, zeros, value)
            zeros = 0
        for sixteens in self.noted():
            self.end_run()
            for _ in range(sixteens):
                self.symbol(self.ac, 0xF0)
        if zeros and self.frame.progressive:
            self.count_end()
        elif zeros:
            self.symbol(self.ac, 0)

    def further_ac(self, block: list[int]) -> None:
        scan = self.scan
        sizes = [abs(value) >> scan.low for value in block]
        new = [place for place in range(scan.first, scan.last + 1) if sizes[place] == 1]
        for _ in self.noted()[:1]:
            self.end_run()
        zeros, corrections = 0, []
        for place in range(scan.first, scan.last + 1):
            if sizes[place] == 0:
                zeros += 1
                continue
            while zeros > 15 and new and place <= new[-1]:
                self.end_run()
                self.symbol(self.ac, 0xF0)
                zeros -= 16
                self.put_all(corrections)
                corrections = []
            if sizes[place] > 1:
                corrections.append(sizes[place] % 2)
                continue
            self.end_run()
            self.symbol(self.ac, zeros * 16 + 1)
            self.bits.put(int(block[place] >= 0), 1)
            self.put_all(corrections)
            corrections, zeros = [], 0
        if zeros or corrections:
            self.waiting += corrections
            self.count_end()

    def put_all(self, bits: Sequence[int]) -> None:
        for bit in bits:
            self.bits.put(bit, 1)

    def count_end(self) -> None:
        self.run += 1
        full = self.run == 2**15 - 1 or self.rest.habit == 2
        if full or (self.rest.habit == 0 and len(self.waiting) > 937):
            self.end_run()

    def end_run(self) -> None:
        if self.run:
            size = self.run.bit_length() - 1
            self.symbol(self.ac, size * 16)
            self.bits.put(self.run - 2**size, size)
            self.put_all(self.waiting)
            self.run, self.waiting = 0, []


def build(rest: Rest, frame: Frame, scans: Sequence[Scan], planes: Sequence[np.ndarray]) -> bytes:
    out, done = b"", 0
    for number, scan in enumerate(scans[: rest.scans]):
        out += rest.head[done : scan.end]
        units = rest.units if number == rest.scans - 1 else 0
        out += Writer(frame, scan, planes, rest, number).write(units)
        done = scan.end
    return out + rest.head[done:]


# 19.6 Buckets


class Bucket:
    def __init__(self, key: int) -> None:
        self.key = key
        self.slots = [[2**21, 0] for _ in range(8)]


class JpegMixers(Mixers):
    """Mixers with other scales."""

    def chance(self, inputs: Sequence[int], chosen: Sequence[int], end: int) -> int:
        self.inputs = inputs
        self.sets = [self.weights.setdefault(pair, list(self.first)) for pair in enumerate(chosen)]
        self.end = self.last[end]
        dots = (sum(i * w >> 5 for i, w in zip(inputs, weights, strict=True)) for weights in self.sets)
        self.said = [clip(dot >> 11, -2815, 2815) for dot in dots]
        total = sum(said * weight for said, weight in zip(self.said, self.end, strict=True))
        self.total = clip(total >> 16, -2815, 2815)
        return clip(squash(self.total), 3, 2**16 - 3)

    def learn(self, bit: int) -> None:
        error, most = 6 * (bit * 2**16 - squash(self.total)), 2**18 - 1
        for number, (said, weights) in enumerate(zip(self.said, self.sets, strict=True)):
            self.end[number] = clip(self.end[number] + (said * error + 2**19 >> 20), -most, most)
            step = (bit * 2**16 - squash(said)) * self.rate >> 5
            if abs(step) >= 9:
                for place, value in enumerate(self.inputs):
                    weights[place] = clip(weights[place] + (value * step + 2**14 >> 15), -most, most)


class Tables:
    def __init__(self, tensors: dict[str, np.ndarray]) -> None:
        self.tables: list[dict[int, Bucket]] = [{} for _ in range(8)]
        self.mixers = JpegMixers(3, [5461] * 19, 6)
        at = 0
        for table, count in zip(self.tables, tensors["jpeg.buckets"].tolist(), strict=True):
            taken = set()
            for row in range(at, at + count):
                bucket = Bucket(int(tensors["jpeg.keys"][row]))
                for number in range(7):
                    met = [0, 2, 10, 60][int(tensors["jpeg.met"][row]) >> 2 * number & 3]
                    if met:
                        bucket.slots[number + 1] = [64 * squash(22 * int(tensors["jpeg.chances"][row, number])), met]
                place = bucket.key >> 18
                if place in taken:
                    place ^= 1
                    require(place not in table)
                taken.add(bucket.key >> 18)
                require(place not in table)
                table[place] = bucket
            at += count
        ends = np.cumsum([3072, 1024, 1024]).tolist()
        for number, row in zip(tensors["jpeg.sets"].tolist(), tensors["jpeg.weights"].tolist(), strict=True):
            mixer = sum(number >= end for end in ends)
            own = number - (ends[mixer - 1] if mixer else 0)
            self.mixers.weights[mixer, own] = [1024 * weight for weight in row]
        for number, row in enumerate(tensors["jpeg.last"].tolist()):
            self.mixers.last[number] = row
        self.found: list[Bucket] = []

    def settle(self, keys: Sequence[int], more: int) -> None:
        self.found = []
        for table, key in zip(self.tables, keys, strict=False):
            key = fold(key, more) if more else key
            place = key >> 18
            two = [table.setdefault(place, Bucket(0)), table.setdefault(place ^ 1, Bucket(0))]
            fits = [bucket for bucket in two if bucket.key == key]
            if not fits:
                worse = int(two[1].slots[1][1] < two[0].slots[1][1])
                fits = [Bucket(key)]
                table[place ^ worse] = fits[0]
            self.found.append(fits[0])


# 19.7 to 19.14


def level(number: int) -> int:
    return min(15, ((2 * (1 + min(number, 1023)) ** 4).bit_length() - 1) // 2)


def fine(number: int) -> int:
    return ((1 + min(abs(number), 1023)) ** 16).bit_length() - 1


def pair(number: int, other: int) -> tuple[int, int]:
    return (fine(number), 0) if (number < 0) == (other < 0) else (0, fine(number))


def coarse(said: int) -> int:
    return clip((said >> 6) + 16, 0, 31)


def sgn(number: int) -> int:
    return 0 if number == 0 else 1 if number > 0 else 2


def insides(block: list[int]) -> int:
    return sum(block[8 * u + v] != 0 for u in range(1, 8) for v in range(1, 8))


INNER = [place for place in ZIGZAG if place >= 8 and place % 8]
ZERO = [0] * 64
WIDTHS = [128] + [181] * 7, [128, 191, 216, 243, 256, 240, 188, 103]


class Segment:
    def __init__(
        self,
        stream: bytes,
        frame: Frame,
        planes: Sequence[np.ndarray],
        quantisers: Sequence[list[int]],
        tensors: dict[str, np.ndarray],
    ) -> None:
        self.stack, self.frame, self.planes, self.quantisers = Stack(stream), frame, planes, quantisers
        self.memory = Tables(tensors)
        self.blocks: list[dict[tuple[int, int], list[int]]] = [{} for _ in planes]
        self.errors: list[dict[tuple[int, int], int]] = [{} for _ in planes]
        self.nets = [tensors["jpeg." + name].astype(int) for name in ("first", "first.bias", "second", "second.bias")]

    def decode(self) -> None:
        for number, plane in enumerate(self.planes):
            self.number, self.kind = number, number if number < 3 else 0
            self.both, self.q = min(self.kind, 1), [max(q, 1) for q in self.quantisers[number]]
            self.own, self.counts = self.blocks[number], {}
            own, first = self.frame.parts[number], self.frame.parts[0]
            self.luma = None
            if number and first.down % own.down == 0 and first.across % own.across == 0:
                self.luma = first.down // own.down, first.across // own.across
            before = self.frame.parts[number - 1]
            self.twin = number > 1 and (before.down, before.across) == (own.down, own.across)
            self.bottoms: dict[int, list[list[int]]] = {}
            for row in range(plane.shape[0]):
                self.right = [[0] * 8] * 2
                for column in range(plane.shape[1]):
                    self.block(row, column)
                    plane[row, column] = self.c
        self.stack.end()

    def bit(self, slot: int, group: int, head: int | None = None) -> int:
        memory, inputs = self.memory, [0] * 16
        slots = [bucket.slots[slot] for bucket in memory.found]
        for number, (chance, met) in enumerate(slots):
            trust = 64 + 192 * min(met, 48) // 48 if met else 0
            inputs[2 * number] = stretch(16 * (chance >> 10) + 8) * trust >> 8
            inputs[2 * number + 1] = (chance - 2**21) * trust >> 19
        said = 0 if head is None else self.said[head]
        inputs += [256, said, squash(said) - 2**15 >> 6]
        chosen = [16 * choice + group for choice in self.choose] + [2 * (16 * coarse(said) + group) + self.both]
        bit = pop(self.stack, memory.mixers.chance(inputs, chosen, 16 * (self.choose[0] // 64) + group))
        memory.mixers.learn(bit)
        for state in slots:
            share = 2**17 // (2 * min(state[1], 255) + 3)
            state[0] = clip(state[0] + ((2**22 * bit - state[0]) * share >> 16), 64, 2**22 - 64)
            state[1] = min(state[1] + 1, 1023)
        return bit

    def ask(self, place: int, seen: Sequence[int]) -> None:
        """Section 19.14."""
        first, first_bias, second, second_bias = self.nets
        one = place + 82 * self.both
        kind = sum(place >= start for start in (49, 63, 77, 78, 80, 81)) + 7 * self.both
        values = np.array([*seen, *[0] * (48 - len(seen))])
        require(0 <= values.min() and values.max() <= 255)
        hidden = np.clip(first[one] @ values + 32 * first_bias[one] >> 7, 0, 255)
        self.said = np.clip(second[kind] @ hidden + 4 * second_bias[one] >> 2, -2815, 2815).tolist()

    def settle(self, more: int) -> None:
        self.memory.settle(self.keys, more)

    def count(self, bits: int) -> int:
        node, value = 1, 0
        self.settle(0)
        for number in range(bits):
            if node > 7:
                self.settle(node)
                node = 1
            bit = self.bit(node, min(12 + number, 15), 2**number + value)
            node, value = 2 * node + bit, 2 * value + bit
        return value

    def size(self, tag: int, first: int) -> int:
        length = 1
        while length < 17:
            if length == 4:
                self.settle(256 + tag)
            slot = min(length - 3, 7) if length > 3 else length + 4 if tag == 2 else length + 1
            if not self.bit(slot, min(first + length, 8), length if length < 7 else None):
                break
            length += 1
        if length > 1 and (tag or length > 3):
            self.settle(512 + 32 * tag + length)
        known = 1
        for depth in range(length - 1):
            slot = 3 + depth + length if not tag and length < 4 else known
            if depth > 2:
                self.settle(1024 + 1024 * tag + 32 * length + length - 2 - depth)
                slot = 1
            head = [length + 5, 2 * length + 6 + known % 2][depth] if length < 7 and depth < 2 else None
            known = 2 * known + self.bit(slot, min(9 + depth, 11), head)
        return known

    def fold_all(self, start: int, numbers: Sequence[int]) -> None:
        self.keys = [fold(start, number) for number in numbers]

    def at(self, row: int, column: int) -> list[int]:
        return self.own.get((row, column), ZERO)

    def tally(self, row: int, column: int, which: int) -> int:
        return self.counts.get((row, column), [0, 0, 0])[which]

    def lumas(self) -> list[list[int]]:
        down, across = self.luma
        return [self.blocks[0][self.y * down + i, self.x * across + j] for i in range(down) for j in range(across)]

    def block(self, y: int, x: int) -> None:
        self.y, self.x = y, x
        self.c = [0] * 64
        self.borders = [list(border) for border in (*self.right, *self.bottoms.get(x, [[0] * 8] * 2))]
        self.around = {
            name: self.at(y + dy, x + dx)
            for name, dy, dx in (("A", -1, 0), ("L", 0, -1), ("D", -1, -1), ("R", -1, 1), ("LL", 0, -2), ("AA", -2, 0))
        }
        self.sums = {name: fine(sum(map(abs, block[1:]))) for name, block in self.around.items()}
        self.counts[y, x] = [0, 0, 0]
        self.inner = self.counts[y, x][0] = self.code_inner()
        self.insides(self.inner)
        for which, step in ((1, 1), (2, 8)):
            self.counts[y, x][which] = self.code_edge(which, step)
            self.edge(which, step, self.counts[y, x][which])
        self.dc()
        self.own[y, x] = self.c
        signs = [1, -1] * 4
        worth = [value * q for value, q in zip(self.c, self.q, strict=True)]
        self.right = [
            [sum(worth[8 * u + v] * width[v] * signs[v] for v in range(8)) for u in range(8)] for width in WIDTHS
        ]
        self.bottoms[x] = [
            [sum(worth[8 * u + v] * width[u] * signs[u] for u in range(8)) for v in range(8)] for width in WIDTHS
        ]

    @property
    def left(self) -> list[int]:
        return self.borders[0]

    @property
    def top(self) -> list[int]:
        return self.borders[2]

    def take(self, place: int, value: int) -> None:
        self.c[place] = value
        u, v = divmod(place, 8)
        for which, width in enumerate(WIDTHS):
            self.borders[which][u] -= value * self.q[place] * width[v]
            self.borders[2 + which][v] -= value * self.q[place] * width[u]

    def neighbours(self, which: int) -> tuple[int, ...]:
        """Counts of L, A, D, R, LL, AA."""
        y, x = self.y, self.x
        places = (0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0)
        return tuple(self.tally(y + dy, x + dx, which) for dy, dx in places)

    def energy(self, place: int) -> tuple[int, int]:
        """f(row_u), f(col_v)"""
        u, v = divmod(place, 8)
        return fine(sum(map(abs, self.c[8 * u : 8 * u + 8]))), fine(sum(map(abs, self.c[v::8])))

    def code_inner(self) -> int:
        l, a, d, r, ll, aa = self.neighbours(0)  # noqa: E741
        mean = 2 * l + 2 * a + d + r
        w = sum(map(insides, self.lumas())) if self.luma else 0
        twin = insides(self.blocks[self.number - 1][self.y, self.x]) if self.twin else 0
        luma = level(w)
        self.fold_all(
            fold(1, self.both),
            [
                64 * l | a, 16 * twin | luma, 16 * (mean // 2) | luma, 256 * (l + a) | ll + aa, 256 * (r + a) | d + l,
                16 * l | luma, 16 * a | luma, 256 * twin | l + a,
            ],
        )  # fmt: skip
        self.choose = [64 * self.kind, min(mean // 6, 63)]
        seen = [4 * count for count in (l, a, d, r, ll, aa)]
        for which in (1, 2):
            seen += [16 * count for count in self.neighbours(which)[:2]]
        seen += [min(w, 255), fine(w), 4 * twin, fine(twin), fine(self.q[9]), fine(self.q[27])]
        seen += [fine(self.left[u] // (64 * self.q[8 * u])) for u in range(1, 8)]
        seen += [fine(self.top[v] // (64 * self.q[v])) for v in range(1, 8)]
        self.ask(77, seen + [self.sums[name] for name in "LAR"])
        return self.count(6)

    def code_edge(self, which: int, step: int) -> int:
        l, a, d, r, ll, aa = self.neighbours(which)  # noqa: E741
        mean, other = 2 * l + 2 * a + d + r, 9 - step
        border = self.top if step == 1 else self.left
        near = beyond = expect = 0
        for i in range(1, 8):
            near = 2 * near + (self.c[step * i + other] != 0)
            if any(self.c[step * i + m * other] for m in range(1, 8)):
                beyond = i
            expect = 2 * expect + (abs(border[i]) > 96 * self.q[step * i])

        def number(block: list[int]) -> int:
            return 1 + sum(block[step * i] != 0 for i in range(1, 8))

        twin = number(self.blocks[self.number - 1][self.y, self.x]) if self.twin else 0
        w = number(self.lumas()[0]) if self.luma else 0
        first = self.counts[self.y, self.x][1] if which == 2 else 0
        self.fold_all(
            fold(2, 2 * self.both + which),
            [
                4096 * l | 256 * a | self.inner, expect, 256 * beyond | self.inner, 256 * beyond | mean,
                256 * self.inner | mean, 256 * first | self.inner, 256 * expect | mean, 256 * near | l + a,
            ],
        )  # fmt: skip
        self.choose = [64 * self.kind + which, self.inner]
        seen = [16 * count for count in (l, a, d, r, ll, aa)]
        seen += [4 * self.inner, fine(self.inner), 16 * first, 16 * w, 16 * twin, fine(self.q[step])]
        seen += [fine(border[i] // (64 * self.q[step * i])) for i in range(1, 8)]
        seen += [fine(self.c[step * i + other]) for i in range(1, 8)]
        seen += [self.energy(step * i)[step == 1] for i in range(1, 8)]
        seen += [self.sums[name] for name in "LAR"] + [16 * count for count in self.neighbours(3 - which)[:2]]
        self.ask(77 + which, [*seen, fine(self.left[0] // (64 * self.q[0])), fine(self.top[0] // (64 * self.q[0]))])
        return self.count(3)

    def see_around(self, p: int) -> list[int]:
        u, v = divmod(p, 8)
        there = [True, u > 0, u < 7, v > 0, v < 7]
        seen = []
        for name in "LA":
            block = self.around[name]
            places = (p, p - 8, p + 8, p - 1, p + 1)
            seen += [fine(block[place]) if known else 0 for place, known in zip(places, there, strict=True)]
        seen += [fine(self.around[name][p]) for name in ("LL", "AA", "D", "R")]
        unit = 64 * self.q[p]
        return [*seen, fine(self.top[v] // unit), fine(self.left[u] // unit), fine(self.q[p])]

    def nearby(self, place: int) -> tuple[int, int, int, int]:
        """around, nearby, w, t"""
        u, v = divmod(place, 8)
        size = {name: abs(block[place]) for name, block in self.around.items()}
        around = 4 * (size["L"] + size["A"]) + 2 * size["D"] + size["R"] + size["LL"] + size["AA"]
        near = sum(
            abs(self.around[name][8 * i + j])
            for name in "AL"
            for i in range(max(u - 1, 0), min(u + 2, 8))
            for j in range(max(v - 1, 0), min(v + 2, 8))
        )
        w = 0
        if self.luma:
            there = 8 * ((u + 1) // 2 if self.luma[0] > 1 else u) + ((v + 1) // 2 if self.luma[1] > 1 else v)
            w = sum(abs(block[there]) for block in self.lumas())
        t = self.blocks[self.number - 1][self.y, self.x][place] if self.twin else 0
        return around, near, w, t

    def insides(self, rest: int) -> None:
        one = two = 0
        for i, p in enumerate(INNER):
            if rest == 0:
                break
            u, v = divmod(p, 8)
            c = [abs(value) for value in self.c]
            beside = [
                c[p - 1], c[p - 8], c[p - 9], c[p - 7] if v < 7 else 0, c[p + 7] if u < 7 else 0,
                c[p - 2] if v > 1 else 0, c[p - 16] if u > 1 else 0,
            ]  # fmt: skip
            around, nearby, w, t = self.nearby(p)
            before = 2 * (beside[0] + beside[1]) + sum(beside[2:5])
            h, mix = 256 * p, min(2 * around + 5 * nearby + 8 * before, 1023)
            a, b = abs(self.around["A"][p]), abs(self.around["L"][p])
            r, unit = self.around["R"], 64 * self.q[p]
            counts = [4 * self.neighbours(0)[number] for number in (0, 1, 3, 2)]
            self.ask(
                i,
                [
                    *self.see_around(p), *map(fine, beside), 4 * rest, fine(rest), 4 * self.inner, fine(one), fine(two),
                    fine(around), fine(nearby), fine(before), fine(w), fine(t), *self.energy(p), *counts,
                    fine(self.borders[3][v] // unit), fine(self.borders[1][u] // unit), self.sums["L"], self.sums["A"],
                    fine(r[p - 1]), fine(r[p - 8]), self.sums["R"], self.sums["D"],
                ],
            )  # fmt: skip
            n = [coarse(said) for said in self.said[:3]]
            self.fold_all(
                fold(3, self.both),
                [
                    h | rest, h | 16 * min(a, 15) | min(b, 15), h | 16 * min(c[p - 8], 7) | min(c[p - 1], 7),
                    256 * level(around) | 16 * level(before) | level(nearby), h | 16 * level(w) | min(abs(t), 15),
                    64 * mix | rest, 1024 * h | 32 * n[0] | n[1], 1024 * n[0] | 32 * n[1] | n[2],
                ],
            )  # fmt: skip
            self.choose = [64 * self.kind + p, rest]
            self.settle(0)
            size = 0
            if rest >= 49 - i or self.bit(1, 0, 0):
                rest -= 1
                size = self.size(0, 0)
                self.see_sign(p, rest, size, t)
                self.turn(self.top[v])
                negative = pop(self.stack, clip(squash(self.said[20]), 3, 2**16 - 3))
                self.take(p, -size if negative else size)
            one, two = size, one

    def see_sign(self, p: int, rest: int, size: int, t: int) -> None:
        u, v = divmod(p, 8)
        unit, m, around = 64 * self.q[p], self.top[v], self.around
        seen = [fine(m // unit), fine(size), 4 * rest, 32 * u, 32 * v, fine(self.q[p])]
        compared = [
            self.left[u] // unit, self.borders[1][u] // unit, self.borders[3][v] // unit,
            around["A"][p], around["L"][p], t, self.c[p - 1], self.c[p - 8],
            self.c[p - 2] if v > 1 else 0, self.c[p - 16] if u > 1 else 0,
            around["A"][v], around["L"][8 * u], around["L"][v], around["A"][8 * u],
        ]  # fmt: skip
        for value in compared:
            seen += pair(value, m)
        self.ask(81, [*seen, *self.energy(p), 64 * (u % 2) + 128 * (v % 2)])

    def edge(self, which: int, step: int, rest: int) -> None:
        one = 0
        for i in range(1, 8):
            if rest == 0:
                break
            p, other, q = step * i, 9 - step, 16 * self.q[step * i]
            e = (self.top[i] if step == 1 else self.left[i]) // q
            slope = (self.borders[3][i] if step == 1 else self.borders[1][i]) // q
            s = min(abs(e), 1023)
            around, nearby, w, t = self.nearby(p)
            beside = [abs(self.c[p + m * other]) for m in range(1, 5)]
            lv, h, ex = level(around), 256 * p, level(s)
            a, b = self.around["A"][p], self.around["L"][p]
            counts = self.neighbours(which)
            seen = [
                *self.see_around(p), 16 * rest, 4 * self.inner, fine(one), *map(fine, beside), fine(around),
                fine(nearby), fine(sum(beside[:3])), fine(w), 16 * self.counts[self.y, self.x][1] if which == 2 else 0,
                min(16 * (abs(e) % 8) + 128 * (abs(e) // 8), 255), 16 * counts[0], 16 * counts[1],
            ]  # fmt: skip
            inner = [4 * count for count in self.neighbours(0)[:2]]

            def signs(m: int, values: tuple[int, ...] = (e, a, b, t, slope, slope - e)) -> list[int]:
                return [number for value in values for number in pair(value, m)]

            place = 48 + i if step == 1 else 55 + i
            self.ask(place, [*seen, *signs(e), self.sums["L"], self.sums["A"], *inner])
            n = [coarse(said) for said in self.said[:3]]
            self.fold_all(
                fold(4, self.both),
                [
                    h | min(s, 255), h | 16 * lv | rest, 256 * h | 16 * min(s >> 2, 63) | lv,
                    256 * h | 256 * min(beside[0], 15) | 16 * ex | rest, h | 16 * min(abs(a), 15) | min(abs(b), 15),
                    16 * h | 256 * level(w) | 16 * min(abs(t), 15) | rest,
                    1024 * h | 32 * n[0] | n[1], 1024 * n[0] | 32 * n[1] | n[2],
                ],
            )  # fmt: skip
            self.choose = [64 * self.kind + p, 8 * rest | 7 - i]
            self.settle(0)
            size = 0
            if rest >= 8 - i or self.bit(1, 0, 0):
                rest -= 1
                found, keys = self.memory.found, self.keys
                negative = self.sign(p, t, e)
                self.memory.found, self.keys = found, keys
                self.ask(place + 14, [*seen, *signs(-1 if negative else 1), self.sums["L"], self.sums["A"], *inner])
                size = self.size((1 if (e < 0) == bool(negative) else 2) if e else 0, 0)
                self.take(p, -size if negative else size)
            one = size

    def sign(self, p: int, t: int, e: int) -> int:
        u, v = divmod(p, 8)
        a, b = sgn(self.around["A"][p]), sgn(self.around["L"][p])
        up = clip(self.top[v] // (64 * self.q[p]), -15, 15) + 16
        le = clip(self.left[u] // (64 * self.q[p]), -15, 15) + 16
        x = clip(e, -40, 40) + 64
        g = sgn(self.c[p - 1]) if v else 0
        o = sgn(self.c[p - 8]) if u else 0
        more = sgn(self.c[p - 2]) if v > 1 else 0
        if u > 1:
            more = 16 * more | sgn(self.c[p - 16])
        start = fold(fold(99, p // 7), self.both)
        numbers = [
            16 * a | b, 256 * sgn(t) | clip(t, -7, 7) + 8, 256 * up | le, 4 * x, 256 * more | 16 * g | o,
            256 * x | (up if u else le),
        ]  # fmt: skip
        self.memory.settle([fold(start, number) for number in numbers], 0)
        self.turn(e)
        return self.bit(1 + p % 7, 15, 20)

    def turn(self, m: int) -> None:
        """What the network says of a sign that is that of m, as one of a negative number."""
        if m >= 0:
            self.said[20] = -self.said[20]

    def dc(self) -> None:
        y, x, unit = self.y, self.x, 64 * self.q[0]
        side, over = 8 * self.left[0] // (2 * unit), 8 * self.top[0] // (2 * unit)
        rough, steep = (1 + min(sum(map(abs, border[1:])) // unit, 2**20) for border in (self.left, self.top))
        weighed = (side * steep + over * rough) // (rough + steep)
        guess = weighed if y and x else side if x else over if y else 0
        expected = clip((guess + 4) >> 3, -32767, 32767)
        apart = level(abs(side - over)) if y and x else 15
        errors, m = self.errors[self.number], side - over
        places = (0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0)
        el, ea, ed, er, ell, eaa = (errors.get((y + i, x + j), 0) for i, j in places)
        more = level(abs(el) + abs(ea) + abs(ed) + abs(er))
        t = self.errors[self.number - 1][y, x] if self.twin else 0
        inner, close = level(self.inner), clip(t, -30, 30) + 31
        seen = [fine(m), *(number for value in (el, ea, ed, er, t) for number in pair(value, m)), fine(self.q[0])]
        seen += [4 * self.inner, *(16 * count for count in self.counts[y, x][1:])]
        seen += [number for place in (1, 2, 3, 8, 16, 24) for number in pair(self.c[place], m)]
        seen += [*(fine(self.c[place]) for place in (9, 10, 17)), *self.energy(0), 16 * (guess % 8)]
        seen += [*(self.sums[name] for name in "LAR"), fine(ell), fine(eaa), min(abs(m), 255)]
        seen += [128 if x == 0 else 64 if y == 0 else 0]
        beside = [self.borders[which][0] // (16 * self.q[0]) - guess for which in (1, 3, 0)]
        seen += [*pair(beside[0], m), *pair(beside[1], m), fine(rough), fine(steep), *pair(beside[2], m)]
        self.ask(80, seen)
        n = [coarse(said) for said in self.said[:3]]
        self.fold_all(
            fold(5, self.both),
            [
                16 * more | apart, 16 * apart | inner, close, 32 * min(abs(el), 31) | min(abs(ea), 31),
                clip(m, -60, 60) + 64, 256 * (min(max(m, -60) // 8, 60) + 64) | close, 256 * more | 16 * apart | inner,
                1024 * n[0] | 32 * n[1] | n[2],
            ],
        )  # fmt: skip
        self.choose = [64 * self.kind, apart]
        self.settle(0)
        self.turn(m)
        error = 0
        if self.bit(1, 1, 0):
            negative = self.bit(2, 2, 20)
            self.settle(1 + negative)
            error = self.size(0, 2)
            error = -error if negative else error
        errors[y, x] = error
        self.take(0, expected + error)


# 20. Pictures that were JPEG files

SHAPES = [(1, 1), (1, 1), (2, 1), (2, 2), (1, 2), (2, 1), (2, 2), (1, 2)]  # across, down


@dataclass
class Inside:
    colours: int
    tables: list[list[int]]
    exceptions: int
    listed: bytes = b""
    rows: list[int] = field(default_factory=list)
    streams: list[bytes] = field(default_factory=list)

    def units(self, width: int, height: int) -> tuple[int, int]:
        across, down = SHAPES[self.colours]
        return -(-width // (8 * across)), -(-height // (8 * down))


def standard(number: int, quality: int) -> list[int]:
    """Section 19.2."""
    factor = 5000 // quality if quality < 50 else 200 - 2 * quality
    return [clip((int(value) * factor + 50) // 100, 1, 255) for value in (COLOURS if number else LUMA).split()]


def decode_pixels(inside: Inside, width: int, height: int, tensors: dict[str, np.ndarray]) -> np.ndarray:
    """Pixels [height, width, 1 or 3], before the exceptions."""
    shapes = [SHAPES[inside.colours], (1, 1), (1, 1)][: len(inside.tables)]
    columns, rows = inside.units(width, height)
    frame = Frame(False, columns, rows, [Part(k, *shape, 0) for k, shape in enumerate(shapes)])
    planes = [np.zeros((rows * down, columns * across, 64), int) for across, down in shapes]
    first = 0
    for count, stream in zip(inside.rows, inside.streams, strict=True):
        pieces = [plane[first * down : (first + count) * down] for plane, (_, down) in zip(planes, shapes, strict=True)]
        Segment(stream, frame, pieces, inside.tables, tensors).decode()
        first += count
    samples = [samples_of(plane, table) for plane, table in zip(planes, inside.tables, strict=True)]
    out = np.zeros((height, width, len(samples)), int)
    for y, x in np.ndindex(height, width):
        light = int(samples[0][y, x])
        if len(samples) == 1:
            out[y, x] = light
            continue
        b, r = (filled(inside.colours, plane, width, height, y, x) - 128 for plane in samples[1:])
        red, blue = light + (91881 * r + 32768 >> 16), light + (116130 * b + 32768 >> 16)
        green = light + (32768 - 46802 * r - 22554 * b >> 16)
        out[y, x] = [clip(value, 0, 255) for value in (red, green, blue)]
    return out


def line(a: list[int], s: int) -> list[int]:
    """Section 20.2."""
    e = 4433 * (a[2] + a[6])
    low, high = e - 15137 * a[6], e + 6270 * a[2]
    t, d, c = (a[0] + a[4]) << 13, (a[0] - a[4]) << 13, 9633 * (a[1] + a[3] + a[5] + a[7])
    outer, inner = -7373 * (a[7] + a[1]), -20995 * (a[5] + a[3])
    f, g = c - 16069 * (a[7] + a[3]), c - 3196 * (a[5] + a[1])
    evens = [t + high, d + low, d - low, t - high]
    odds = [12299 * a[1] + outer + g, 25172 * a[3] + inner + f, 16819 * a[5] + inner + g, 2446 * a[7] + outer + f]
    pairs = list(zip(evens, odds, strict=True))
    return [(m + n + 2 ** (s - 1)) >> s for m, n in pairs] + [(m - n + 2 ** (s - 1)) >> s for m, n in pairs[::-1]]


def samples_of(plane: np.ndarray, table: list[int]) -> np.ndarray:
    rows, columns, _ = plane.shape
    out = np.zeros((8 * rows, 8 * columns), int)
    for row, column in np.ndindex(rows, columns):
        w = [[int(plane[row, column, 8 * u + v]) * table[8 * u + v] for v in range(8)] for u in range(8)]
        lines = [line([w[u][v] for u in range(8)], 11) for v in range(8)]
        for y in range(8):
            for x, value in enumerate(line([lines[v][y] for v in range(8)], 18)):
                out[8 * row + y, 8 * column + x] = clip(128 + value, 0, 255)
    return out


def filled(colours: int, plane: np.ndarray, width: int, height: int, y: int, x: int) -> int:
    """Section 20.3."""
    across, down = SHAPES[colours]
    i, j = y // down, x // across

    def at(row: int, column: int) -> int:
        return int(plane[clip(row, 0, -(-height // down) - 1), clip(column, 0, -(-width // across) - 1)])

    p = i - 1 + 2 * (y % 2) if down == 2 else i
    q = j - 1 + 2 * (x % 2) if across == 2 else j
    if colours in (1, 5, 6, 7):
        return at(i, j)
    if down == 1:
        return (3 * at(i, j) + at(i, q) + 1 + x % 2) >> 2
    if across == 1:
        return (3 * at(i, j) + at(p, j) + 1 + y % 2) >> 2
    return (9 * at(i, j) + 3 * at(p, j) + 3 * at(i, q) + at(p, q) + 8 - x % 2) >> 4
