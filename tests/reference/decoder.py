"""A second decoder of .bfn files, written from docs/format.md alone: slow, plain, one pixel at a time.

Numbers of sections are those of docs/format.md. Nothing here comes from bfncodec, and the
weights are read by safetensors' documented layout. NumPy holds pixels and multiplies matrices.
Exact colours are in graphics.py, texts in text.py, LZW files in lzw.py, single blocks in paper.py, what all need
in stack.py.
"""

import bisect
import hashlib
import json
import lzma
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from pathlib import Path

import numpy as np
from reference import graphics as reference_graphics
from reference import jpeg as reference_jpeg
from reference import lzw as reference_lzw
from reference import paper as reference_paper
from reference import text as reference_text
from reference.stack import FormatError, Stack, clip, exp_negative, nearest, normalise, require, running_sums
from reference.text import squash, stretch

Array = np.ndarray


# 2. Container


class Reader:
    """Fields off bytes, in order."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    def take(self, count: int) -> bytes:
        require(count <= len(self.data) - self.position)
        self.position += count
        return self.data[self.position - count : self.position]

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        require(value < 1 << 63 and (byte or shift == 7))
        return value

    def end(self) -> None:
        require(self.position == len(self.data))


@dataclass
class Pass:
    """A pass of an image block: a constant, or a stream and what goes with it."""

    channels: int
    constant: bytes = b""
    pace: int = 0
    fast: bool = False
    tones: bool = False
    deep: bool = False
    silent: int = 0
    base: bytes = b""
    stream: bytes = b""


@dataclass
class Block:
    mode: int
    items: int
    size: int
    digest: bytes
    data: bytes = b""
    source: int = 0
    layout: int = 0
    schedule: int = 0
    width: int = 0
    height: int = 0
    depth: int = 8
    signed: int = 0
    frames: int = 1
    order: bytes = b""
    model: bytes = b""
    metadata: bytes = b""
    space: int = 0
    sampling: int = 0
    exceptions: int = 0
    listed: bytes = b""
    passes: list[Pass] = field(default_factory=list)
    lanes: int = 0
    steps: int = 0
    quiet: int = 0
    streams: list[bytes] = field(default_factory=list)
    plan: reference_paper.Plan | None = None
    frame: bytes = b""
    images: list[reference_jpeg.Image] = field(default_factory=list)
    inside: reference_jpeg.Inside | None = None


def read_file(data: bytes) -> tuple[list[bytes] | None, list[Block]]:
    """Names (None if the file is no archive) and blocks, which are parts of an item if they are several without."""
    file = Reader(data)
    require(file.take(8) == bytes.fromhex("8942464E0D0A1A0A"))
    require(file.byte() == 2)
    flags = file.byte()
    require(flags in (0, 1, 2))
    archive = flags & 1
    fields = Reader(file.take(file.varint()))
    check = zlib.crc32(data[: file.position])
    require(int.from_bytes(file.take(4), "little") == check)
    count, names = fields.varint() if flags else 1, None
    if archive:
        names = zlib.decompress(fields.take(fields.varint())).split(b"\0")
    require(flags != 2 or 2 <= count <= 2**16)
    blocks = [read_block(fields, file, archive) for _ in range(count)]
    require(flags != 2 or all(block.mode not in (2, 4) and block.size for block in blocks))
    fields.end()
    file.end()
    require(names is None or len(names) == sum(block.items for block in blocks))
    return names, blocks


CHANNELS = [1, 2, 3, 4, 1]


def read_block(fields: Reader, payload: Reader, archive: int) -> Block:
    mode = fields.byte()
    items = fields.varint() if archive else 1
    block = Block(mode, items, fields.varint(), fields.take(8))
    require(mode in (0, 1, 2, 3, 4, 5))
    if mode < 2:
        block.data = payload.take(fields.varint())
        require(items == 1 and (mode or len(block.data) == block.size))
        return block
    if mode == 3:
        block.schedule, block.model, block.lanes = fields.byte(), fields.take(4), fields.varint()
        require(items == 1 and block.size > 0 and block.schedule in (0, 1, 2) and 1 <= block.lanes <= 256)
        require(block.schedule == 1 or block.lanes <= max(4, block.size >> 20))
        if block.schedule == 1:
            block.steps, block.quiet = fields.varint(), fields.varint()
            require(block.steps <= 16)
        count = fields.varint()
        require(block.size <= 2**30 and count <= block.size // 2**20 + block.lanes)
        block.streams = [payload.take(fields.varint()) for _ in range(count)]
        require((46, 360, 46)[block.schedule] * block.size <= 2**16 * (8 * sum(map(len, block.streams)) + 64 * count))
        return block
    if mode == 4:
        read_single(block, fields, payload)
        return block
    if mode == 5:
        read_jpeg(block, fields, payload)
        return block
    kind = fields.byte()
    block.source, block.layout = kind >> 4, kind & 15
    block.space, block.schedule = divmod(fields.byte(), 16)
    require(block.source < 8 and block.layout < 5 and block.schedule < 4)
    require(block.space < (12 if block.layout in (2, 3) and block.schedule < 2 else 1))
    block.width, block.height = fields.varint(), fields.varint()
    if block.schedule == 2:
        block.depth, block.signed = divmod(fields.varint(), 2)
        require(1 <= block.depth <= (8 if block.layout == 4 else 16) and (not block.signed or block.depth == 16))
        block.frames = fields.varint()
        require(block.frames > 0 and block.height % block.frames == 0)
    words = 1 if block.depth <= 8 else 2
    require(block.size == items * block.width * block.height * CHANNELS[block.layout] * words > 0)
    if block.schedule == 2:
        block.metadata = payload.take(fields.varint())
        block.order = payload.take(fields.varint()) if block.layout == 4 else b""
        require(len(block.order) <= 2**block.depth)
        block.streams = [payload.take(fields.varint()) for _ in bands(block)]
        return block
    require(block.layout < 4)
    block.model = fields.take(4)
    block.metadata = payload.take(fields.varint())
    if block.schedule == 3:
        read_inside(block, fields, payload)
        return block
    if block.space:
        block.sampling, block.exceptions = fields.byte(), fields.varint()
        block.listed = payload.take(fields.varint())
        require(block.sampling < (1 if block.schedule else 6))
        require(block.exceptions <= items * block.width * block.height // 32)
    sets = [1, 2] if block.sampling else [3]
    for channels in ([1], [1, 1], sets, [1, *sets])[block.layout] * len(bands(block)):
        form = fields.byte()
        require(form == 1 or form in (*range(0, 32, 2), 38))
        if form == 1:
            block.passes.append(Pass(channels, fields.take(channels)))
            continue
        silent, *lengths = (fields.varint() for _ in range(3))
        flags = form // 2 % 4, form > 31, form // 8 % 2 == 1, form // 16 % 2 == 1
        block.passes.append(Pass(channels, b"", *flags, silent, *map(payload.take, lengths)))
    top, left = first_sample(block)
    require(block.height > top and block.width > left)
    return block


def read_inside(block: Block, fields: Reader, payload: Reader) -> None:
    """Section 20.1."""
    colours = fields.byte()
    require(block.items == 1 and colours < 8 and block.layout in (0, 2) and not (block.layout == 0 and colours))
    require(max(block.width, block.height) <= 65535)
    tables = []
    for number in range(3 if colours else 1):
        quality = fields.byte()
        require(quality <= 100)
        tables.append(reference_jpeg.standard(number, quality) if quality else list(fields.take(64)))
        require(min(tables[-1]) > 0)
    block.inside = inside = reference_jpeg.Inside(colours, tables, fields.varint())
    inside.listed = payload.take(fields.varint())
    segments = fields.varint()
    require(1 <= segments <= 256 and inside.exceptions <= block.width * block.height // 8)
    for _ in range(segments):
        inside.rows.append(fields.varint())
        inside.streams.append(payload.take(fields.varint()))
    columns, rows = inside.units(block.width, block.height)
    require(all(inside.rows) and sum(inside.rows) == rows)
    require(40 * columns * rows <= 2**16 * (8 * sum(map(len, inside.streams)) + 64 * segments))


BAND_PIXELS = 2**21


def bands(block: Block) -> list[tuple[int, int]]:
    """Section 2.3: first rows and ends of the bands."""
    count = 1
    if block.schedule in (0, 2) and block.items * block.frames == 1:
        count = -(-block.height * block.width // (BAND_PIXELS if block.schedule == 0 else 2**24))
    rows = -(-block.height // (32 * count)) * 32
    firsts = [0, *(first for first in range(rows, block.height, rows) if block.height - first >= 32)]
    return list(zip(firsts, [*firsts[1:], block.height], strict=True))


def read_single(block: Block, fields: Reader, payload: Reader) -> None:
    """Section 16.1. A model that computes in floating point is not for this decoder."""
    block.model, kind = fields.take(4), fields.byte()
    steps, batch, before, frame, seed, stream = (fields.varint() for _ in range(6))
    require(block.items == 1 and kind in (0, 1, 2) and 1 <= steps <= 4096 and seed <= 2**28)
    require(block.size <= 2**30 and block.size * steps <= 2**36)
    block.plan = reference_paper.Plan(kind, steps, batch, before, seed)
    block.frame, block.streams = payload.take(frame), [payload.take(stream)]


def read_jpeg(block: Block, fields: Reader, payload: Reader) -> None:
    """Section 19.1."""
    block.model, block.width, block.height, count = fields.take(4), fields.varint(), fields.varint(), fields.varint()
    require(block.items == 1 and 1 <= count <= 64)
    for _ in range(count):
        size, blocks, rest, after, segments = (fields.varint() for _ in range(5))
        require(1 <= segments <= 256)
        image = reference_jpeg.Image(size, blocks)
        fields_of = [(fields.varint(), fields.varint()) for _ in range(segments)]
        image.rows, image.rest = [rows for rows, _ in fields_of], payload.take(rest)
        image.streams = [payload.take(length) for _, length in fields_of]
        image.after = payload.take(after)
        require(40 * blocks <= 2**16 * (8 * sum(map(len, image.streams)) + 64 * segments))
        block.images.append(image)
    require(block.size == sum(image.size + len(image.after) for image in block.images))


# 3 and 4. LZMA, metadata


def unpack(data: bytes) -> bytes:
    filters = [{"id": lzma.FILTER_LZMA1, "lc": 3, "lp": 0, "pb": 2, "dict_size": 1 << 26}]
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)
    try:
        content = decompressor.decompress(data)
    except (lzma.LZMAError, EOFError) as error:
        raise FormatError from error
    require(decompressor.eof and not decompressor.unused_data)
    return content


def read_metadata(packed: bytes, items: int) -> list[bytes]:
    if not packed:
        return [b""] * items
    reader = Reader(unpack(packed))
    metadata = [reader.take(reader.varint()) for _ in range(items)]
    reader.end()
    return metadata


# 6.1 Spaces


def rgb(space: int, y: int, r: int, b: int) -> list[int]:
    """R, G, B of luma, red difference and blue difference."""
    if space == 1:
        luma, red, blue, shift = 89024 * y, 119374 * (r - 137), 145352 * (b - 156), 16
        green = -33358 * (red >> 16) - 12714 * (blue >> 16)
    elif space == 2:
        luma, shift = 65536 * y, 16
        red, blue = (91881 * (r - 128) + 32768 >> 16) << 16, (116130 * (b - 128) + 32768 >> 16) << 16
        green = 32768 - 46802 * (r - 128) - 22554 * (b - 128)
    elif space == 3:
        luma, red, blue, shift = 19077 * y >> 8, (26149 * r >> 8) - 14234, (33050 * b >> 8) - 17685, 6
        green = 8708 - (13320 * r >> 8) - (6419 * b >> 8)
    else:
        a, p, q, u, v = numbers(space, y)
        r, b = r - 128, b - 128
        if space in (7, 8, 9, 10):
            luma, red, blue, green, shift = a >> 13, p * r >> 13, q * b >> 13, (-u * r >> 13) + (-v * b >> 13), 0
        else:
            shift = 20 if space == 11 else 13
            luma, red, blue, green = a + 2 ** (shift - 1), p * r, q * b, -u * r - v * b
    return [clip(luma + difference >> shift, 0, 255) for difference in (red, green, blue)]


def numbers(space: int, y: int) -> tuple[int, int, int, int, int]:
    """The five numbers of spaces 4 to 11."""
    if space in (4, 7):
        return 9539 * (y - 16), 13075, 16525, 6660, 3209
    if space in (5, 8):
        return 9539 * (y - 16), 14686, 17305, 4366, 1747
    if space == 9:
        return 8192 * y, 11485, 14516, 5850, 2819
    if space in (6, 10):
        return 8192 * y, 12901, 15201, 3835, 1534
    return 1220542 * max(y - 16, 0), 1673527, 2116026, 852492, 409993


def convert(block: Block, colours: Array) -> None:
    """Red difference, luma, blue difference -> R, G, B, in place, and then the exceptions."""
    for place in np.ndindex(colours.shape[:3]):
        r, y, b = colours[place].tolist()
        colours[place] = rgb(block.space, y, r, b)
    reader, number = Reader(unpack(block.listed) if block.listed else b""), -1
    for _ in range(block.exceptions):
        number += reader.varint() + 1
        require(number < colours.size // 3)
        colours.reshape(-1, 3)[number] = list(reader.take(3))
    reader.end()


# 6.2 Differences of half resolution


def first_sample(block: Block) -> tuple[int, int]:
    return divmod(block.sampling - 1, 2) if 0 < block.sampling < 5 else (0, 0)


def sample_luma(block: Block, luma: Array) -> Array:
    """y of samples [items, rows, columns], from that of pixels."""
    if block.sampling == 5:
        far = [np.append(np.arange(1, size), size - 1) for size in luma.shape[1:]]
        below = luma[:, far[0]]
        return (luma + luma[:, :, far[1]] + below + below[:, :, far[1]] + 2 >> 2)[:, ::2, ::2]
    top, left = first_sample(block)
    return luma[:, top::2, left::2]


def interpolated(block: Block, samples: Array) -> Array:
    """Both differences of all pixels [items, height, width, 2] from those of the samples."""
    top, left = first_sample(block)
    rows, columns = samples.shape[1:3]

    def sample(row: int, column: int) -> int:
        return int(samples[item, clip(row, 0, rows - 1), clip(column, 0, columns - 1), channel])

    out = np.zeros((block.items, block.height, block.width, 2), np.int64)
    for item, i, j, channel in np.ndindex(*out.shape):
        if block.sampling == 5:
            a, c = i >> 1, j >> 1
            b, d = a + (1 if i % 2 else -1), c + (1 if j % 2 else -1)
            total = 9 * sample(a, c) + 3 * sample(a, d) + 3 * sample(b, c) + sample(b, d)
            out[item, i, j, channel] = (total + 8 - j % 2) >> 4
        else:
            a, b, c, d = (i - top) >> 1, (i - top + 1) >> 1, (j - left) >> 1, (j - left + 1) >> 1
            out[item, i, j, channel] = (sample(a, c) + sample(a, d) + sample(b, c) + sample(b, d) + 2) >> 2
    return out


# 5.3 Tables


@cache
def octave(index: int, steps: int, fraction: int) -> int:
    return nearest(lambda: Decimal(2) ** (Decimal(index) / steps + fraction))


def logistic_table() -> list[int]:
    upper = [2**48 // (2**30 + exp_negative(i, 1024)) for i in range(16385)]
    return [2**18 - upper[i] for i in range(16384, 0, -1)] + upper[:16384]


LOGISTIC = logistic_table()
SHARES = [exp_negative(i, 16) >> 15 for i in range(192)] + [0]


# 5.4 Mixtures


class Mixture:
    def __init__(self, logits: list[int], means: list[int], scales: list[int]) -> None:
        raw = [SHARES[min(max(logits) - logit, 192)] for logit in logits]
        self.shares = [r * 4096 // sum(raw) for r in raw]
        self.shares[0] += 4096 - sum(self.shares)
        self.means = means
        clipped = [clip(scale, -32, 207) for scale in scales]
        self.limits = [octave(scale, 16, 10) for scale in clipped]
        self.inverses = [octave(-scale, 16, 20) for scale in clipped]

    def arguments(self, level: int) -> list[int]:
        """The j_m of a level."""
        return [
            clip((clip(1024 * level - 512 - mean, -limit, limit) * inverse >> 16) + 16384, 0, 32767)
            for mean, limit, inverse in zip(self.means, self.limits, self.inverses, strict=True)
        ]

    def below(self, level: int) -> int:
        if level == 0:
            return 1
        if level == 256:
            return 2**24 - 1
        terms = zip(self.shares, self.arguments(level), strict=True)
        total = sum(share * LOGISTIC[j] for share, j in terms) >> 6
        return total - (total >> 15) + level + 1

    def whole(self) -> list[int]:
        bounds = [0, *(self.below(level) for level in range(1, 256)), 2**24]
        return [bounds[i + 1] - bounds[i] for i in range(256)]


def pop_values(stack: Stack, mixtures: list[Mixture]) -> list[int]:
    values = []
    for mixture in mixtures:
        bounds = [mixture.below(level) for level in range(257)]
        widths = [bounds[i + 1] - bounds[i] for i in range(256)]
        values.append(clip(stack.pop([1, *widths, 1]) - 1, 0, 255))
    return values


# 7. Noisy steps


class Tones:
    """Section 5.5: what is learnt of a channel's values."""

    def __init__(self, channel: int) -> None:
        self.channel = channel
        self.biases: dict[tuple[int, ...], int] = {}
        self.evidence: dict[tuple[int, ...], int] = {}
        self.weights = [[26214] * 3 for _ in range(8)]

    def pop(self, stack: Stack, mixture: Mixture, values: Sequence[int], west: int) -> int:
        """values: of the pixel's channels before; west: green of the pixel to the left."""
        green = values[0] if self.channel else west
        before = values[self.channel - 1] if self.channel else 0
        hue = clip(values[1] - green, -16, 15) if self.channel == 2 else 16
        wanted = stack.state % 2**24
        first, low, width, lowest, highest = 0, 1, 2**24 - 2, 1, 2**24 - 1
        for bit in range(7, -1, -1):
            point = first + 2**bit
            middle = mixture.below(point)
            chance = (highest - middle) * 2**16 // (highest - lowest)
            cut = low + width * (middle - lowest) // (highest - lowest)
            tables: list[tuple[int, ...]] = []
            if 66 < chance < 2**16 - 66:
                odds = stretch(chance // 4 * 4 + 2)
                tables = [
                    (0, bit, first),
                    (1, bit, clip(point - green, -16, 16), hue),
                    (2, bit, clip(point - before, -32, 31), before // 4),
                ][: 3 if self.channel else 2]
                biases = [self.biases.get(table, 0) for table in tables]
                total = sum(bias * weight for bias, weight in zip(biases, self.weights[bit], strict=False))
                chance = squash(clip(odds + (total >> 24), -2815, 2815))
                cut = low + width - (width * clip(chance, 32, 2**16 - 32) >> 16)
            cut = clip(cut, low + 2**bit, low + width - 2**bit)
            one = int(wanted >= cut)
            for k, table in enumerate(tables):
                old = biases[k]
                weight = self.weights[bit][k] + (((one << 16) - chance) * old >> 21)
                self.weights[bit][k] = clip(weight, 0, 98304)
                seen = self.evidence.get(table, 60 * 2**10) + (chance * (2**16 - chance) >> 20)
                self.evidence[table] = seen = min(seen, 4000 * 2**10)
                error = (one << 16) - squash(clip(odds + (old >> 8), -2815, 2815))
                self.biases[table] = clip(old + (error * (2**22 // (seen >> 10)) >> 20), -(2**17), 2**17)
            if one:
                first, lowest, width, low = point, middle, low + width - cut, cut
            else:
                highest, width = middle, cut - low
        if wanted in (0, 2**24 - 1):
            low, width = wanted, 1
        stack.pop([low, width, 2**24 - low - width])
        return first


class NoisyStep:
    def __init__(self, deviation: int) -> None:
        self.spacing = 1 << (deviation.bit_length() - 1)
        self.accuracy = 2**20 // deviation**2
        self.reach = 6 * deviation // self.spacing + 1
        self.table = []
        for place in range(self.spacing):
            masses = [
                exp_negative(((i - self.reach) * self.spacing - place) ** 2, 2 * deviation**2)
                for i in range(2 * self.reach + 2)
            ]
            self.table.append(normalise([s * 2**24 // sum(masses) for s in running_sums(masses)], 24))

    def sender(self, value: int) -> list[int]:
        return self.table[value % self.spacing]

    def receiver(self, distribution: list[int]) -> list[int]:
        mixed = [0] * (255 // self.spacing + 2 * self.reach + 2)
        for value, weight in enumerate(distribution):
            for i, part in enumerate(self.sender(value)):
                mixed[value // self.spacing + i] += weight * part
        return normalise(running_sums(mixed), 48)


@cache
def noisy_step(deviation: int) -> NoisyStep:
    return NoisyStep(deviation)


# 8.5 Scale steps

STEP_BOUNDS = [octave(k, 8, 20) for k in range(8, 105)]


def scale_step(size: int) -> int:
    return 7 + bisect.bisect_right(STEP_BOUNDS, (clip(size, 0, 130560) + 32) * 2**16)


def scaled(value: int, k: int) -> int:
    return (value * octave(-k, 8, 18) + 8192) >> 14


def level_inputs(k: int) -> list[int]:
    return [clip(2 * k - 16 * i, -16, 16) for i in range(1, 11)]


# 11. Networks and weights

Tensors = dict[str, Array]


def read_weights(data: bytes) -> Tensors:
    """The tensors of a safetensors file."""
    size = int.from_bytes(data[:8], "little")
    entries, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    entries.pop("__metadata__", None)
    types = {"I8": "i1", "I16": "<i2", "I32": "<i4", "U16": "<u2", "U32": "<u4"}
    return {
        name: np.frombuffer(body[slice(*entry["data_offsets"])], types[entry["dtype"]])
        .reshape(entry["shape"])
        .astype(np.int64)
        for name, entry in entries.items()
    }


class Layer:
    """`bound` is the largest input, but for the last `more` inputs, which stay within 127, or 255 where that is it."""

    def __init__(self, tensors: Tensors, name: str, bound: int, more: int = 0) -> None:
        self.weight, self.bias, self.shift = (tensors[f"{name}.{part}"] for part in ("weight", "bias", "shift"))
        self.half = (1 << self.shift) >> 1
        bounds = np.full(self.weight.shape[1], bound)
        bounds[len(bounds) - more :] = 382 - bound
        sums = abs(self.weight) @ bounds + abs(self.bias + self.half)
        require((sums < 2**24).all())

    def __call__(self, inputs: Array) -> Array:
        return (self.weight @ inputs + self.bias + self.half) >> self.shift


class Network:
    passed: list[Array]

    def __init__(self, tensors: Tensors) -> None:
        blocks = sum(name.startswith("first.") and name.endswith(".weight") for name in tensors)
        self.embedding = len(tensors["embed.1.bias"]) if "embed.1.bias" in tensors else 0
        self.embed = [Layer(tensors, f"embed.{i}", 255, more) for i, more in enumerate((6, 0)) if self.embedding]
        self.inner = Layer(tensors, "inner", 127, 6 * self.embedding)
        self.first = [Layer(tensors, f"first.{i}", 255) for i in range(blocks)]
        self.second = [Layer(tensors, f"second.{i}", 255) for i in range(blocks)]
        more = [tensors[f"heads.{c}.weight"].shape[1] - len(self.inner.bias) for c in range(3)]
        self.heads = [Layer(tensors, f"heads.{c}", 255, more[c]) for c in range(3)]
        self.outs = [Layer(tensors, f"outs.{c}", 255) for c in range(3)]

    def trunk(self, features: list[int], around: Sequence[int] = ()) -> Array:
        """around: embeddings of neighbours. `passed`: inputs of all layers of the last call, and its result."""
        stream = self.inner(np.array([clip(value, -127, 127) for value in features] + list(around), np.int64))
        self.passed = [((stream + 8) >> 4).clip(0, 255)]
        for first, second in zip(self.first, self.second, strict=True):
            self.passed.append(first(self.passed[-1]).clip(0, 255))
            stream = stream + second(self.passed[-1])
            self.passed.append(((stream + 8) >> 4).clip(0, 255))
        return self.passed[-1]

    def head(self, channel: int, inputs: Array) -> list[int]:
        return self.outs[channel](self.heads[channel](inputs).clip(0, 255)).tolist()


def network(tensors: Tensors, name: str) -> Network:
    """The network whose tensors' names begin with `name.`"""
    return Network(part(tensors, name))


def part(tensors: Tensors, name: str) -> Tensors:
    return {key[len(name) + 1 :]: value for key, value in tensors.items() if key.startswith(name + ".")}


# 8.7 Mixture parameters


def mixture(outputs: list[int], base: int, k: int, shift: int) -> Mixture:
    count = len(outputs) // 3
    means = [clip(m, -1024, 1024) * octave(k, 8, 4) for m in outputs[count : 2 * count]]
    return Mixture(
        outputs[:count],
        [64 * base + ((m + 8) >> 4) + shift for m in means],
        [t + 2 * k for t in outputs[2 * count :]],
    )


# 9. The thumbnail

Place = tuple[int, int, int]  # item, row, column


def mirror(index: int, size: int) -> int:
    if size == 1:
        return 0
    index %= 2 * size - 2
    return min(index, 2 * size - 2 - index)


def thumbnail(stack: Stack, tensors: Tensors, shape: tuple[int, int, int], coded: Sequence[int], silent: bool) -> Array:
    """Its values [items, rows, columns, 3], popped from the stack."""
    items, rows, columns = shape
    net = network(tensors, "T")
    steps = [] if silent else [noisy_step(int(deviation)) for deviation in tensors["T.deviations"]]
    places = list(np.ndindex(items, rows, columns))
    require(len(places) <= 32768)  # one run is enough for this decoder
    means = np.full((*shape, 3), 2048, np.int64)
    sums = [0] * (len(places) * len(coded))
    accuracy = 0

    def predictions(seen: int) -> list[list[Mixture]]:
        k = max(8, ((2**28 // accuracy) ** 4).bit_length() - 1) if seen else 80
        out: list[list[Mixture]] = [[] for _ in coded]
        for item, y, x in places:
            base = means[item, y, x].tolist() if seen else [2048] * 3
            features = []
            for dy in range(-2, 3):
                for dx in range(-2, 3):
                    there = means[item, mirror(y + dy, rows), mirror(x + dx, columns)].tolist()
                    for c in range(3):
                        value = clip(scaled(clip(there[c] - base[c], -8160, 8160), k), -127, 127)
                        features.append(value if seen else 0)
            for _ in range(3):
                features += [16 * (i == seen) for i in range(10)]
            features += [16, 0, 0, 0, *level_inputs(k), *((b >> 7) - 16 for b in base)]
            activations = net.trunk(features)
            for number, c in enumerate(coded):
                out[number].append(mixture(net.head(c, activations), base[c], k, 0))
        return out

    def put(target: Array, values: list[int]) -> None:
        for i, value in enumerate(values):
            channel, number = divmod(i, len(places))
            target[places[number]][slice(None) if len(coded) == 1 else coded[channel]] = value

    views: list[list[int]] = []
    for seen, step in enumerate(steps):
        symbols = [stack.pop(step.receiver(one.whole())) for channel in predictions(seen) for one in channel]
        views.append([(symbol - step.reach) * step.spacing for symbol in symbols])
        sums = [total + step.accuracy * view for total, view in zip(sums, views[-1], strict=True)]
        accuracy += step.accuracy
        put(means, [(32 * total + accuracy) // (2 * accuracy) for total in sums])
    values = [value for channel in predictions(len(steps)) for value in pop_values(stack, channel)]
    for step, seen_views in reversed(list(zip(steps, views, strict=True))):
        for value, view in reversed(list(zip(values, seen_views, strict=True))):
            symbol = view // step.spacing - value // step.spacing + step.reach
            stack.push(step.sender(value), symbol)
    out = np.zeros((*shape, 3), np.int64)
    put(out, values)
    return out


# 8.3 Base prediction


def read_coefficients(packed: bytes, prior: Array) -> list[list[int]]:
    table: list[list[int]] = prior.tolist()
    if not packed:
        return table
    k = packed[0]
    require(k <= 16)
    bits = "".join(f"{byte:08b}" for byte in packed[1:])
    position = 0
    for i in range(222):
        stop = bits.find("0", position)
        require(0 <= stop < len(bits) - k)
        number = (stop - position << k) + (int(bits[stop + 1 : stop + 1 + k], 2) if k else 0)
        position = stop + 1 + k
        table[i // 3][i % 3] += -((number + 1) // 2) if number % 2 else number // 2
    require("1" not in bits[position:] and len(bits) - position < 8)
    require(all(abs(value) <= 2**15 for row in table for value in row))
    return table


# 8.4 Innovations


def apart(errors: Sequence[int], cross: list[int]) -> tuple[int, int, int]:
    green = clip(errors[0], -8160, 8160)
    red = clip(errors[1] - ((green * cross[0] + 2048) >> 12), -8160, 8160)
    blue = errors[2] - ((green * cross[1] + 2048) >> 12) - ((red * cross[2] + 2048) >> 12)
    return green, red, clip(blue, -8160, 8160)


# 12. Heads that learn


class LearningLayer(Layer):
    def __init__(self, tensors: Tensors, name: str, rates: list[int], pace: int, slower: int) -> None:
        super().__init__(tensors, name, 127)
        constant = np.zeros((len(self.bias), 1), np.int64)
        self.fine = np.concatenate([self.weight, constant], axis=1) * 2**18
        self.rate = ((np.array(rates) >> slower) << self.shift)[:, None]
        self.memory = 100 << pace
        self.mean, self.square = np.zeros_like(self.fine), np.zeros_like(self.fine)
        self.steps = 0

    @property
    def used(self) -> Array:
        return ((self.fine + 2048) >> 12).clip(-32767, 32767)

    def __call__(self, inputs: Array) -> Array:
        return (self.used @ inputs + (self.bias + self.half) * 64) >> (self.shift + 6)

    def learn(self, gradient: Array) -> None:
        gradient = (gradient >> 6).clip(-(2**25), 2**25)
        self.steps += 1
        self.mean = self.mean + (gradient - self.mean) // min(self.steps, 3)
        self.square = self.square + (gradient * gradient - self.square) // min(self.steps, self.memory)
        root = np.array([[math.isqrt(square) for square in row] for row in self.square.tolist()])
        step = self.mean * self.rate // (root + 1)
        self.fine = self.fine - step.clip(-4 * self.rate, 4 * self.rate)


@dataclass
class Coded:
    """A value that was coded, as learning needs it."""

    inputs: Array
    hidden: Array
    mixture: Mixture
    logs: list[int]
    value: int = 0


class LearningHead:
    """heads.c and outs.c of a channel."""

    def __init__(self, tensors: Tensors, channel: int, pace: int, deep: bool) -> None:
        slower = pace + int(deep)
        width = len(tensors[f"heads.{channel}.bias"])
        self.count = len(tensors[f"outs.{channel}.bias"]) // 3
        rates = [rate for rate in (164, 658, 237) for _ in range(self.count)]
        self.head = LearningLayer(tensors, f"heads.{channel}", [786] * width, pace, slower)
        self.out = LearningLayer(tensors, f"outs.{channel}", rates, pace, slower)
        self.seen: list[Coded] = []

    def predict(self, inputs: list[int], base: int, k: int, shift: int) -> Mixture:
        given = np.array([*inputs, 255], np.int64)
        hidden = np.append(self.head(given).clip(0, 255), 255)
        outputs = self.out(hidden).tolist()
        made = mixture(outputs, base, k, shift)
        self.seen.append(Coded(given, hidden, made, outputs[2 * self.count :]))
        return made

    def slopes(self) -> tuple[Array, Array]:
        """Gradients of the outputs, and of the hidden values, of the pixels seen."""
        gradient = np.array([self.gradient(one) for one in self.seen], np.int64)
        hidden = np.array([one.hidden for one in self.seen])
        shift = self.out.shift
        peak = int(shift.max())
        aligned = self.out.used[:, :-1] * (1 << np.minimum(peak - shift, 12))[:, None]
        back = ((gradient @ aligned) >> (peak + 5)).clip(-32639, 32639)
        back *= (hidden[:, :-1] > 0) & (hidden[:, :-1] < 255)
        return gradient, back

    def learn(self, gradient: Array, back: Array) -> None:
        self.out.learn(gradient.T @ np.array([one.hidden for one in self.seen]))
        self.head.learn(back.T @ np.array([one.inputs for one in self.seen]))

    def gradient(self, one: Coded) -> list[int]:
        value, shares = one.value, one.mixture.shares
        low_at, high_at = one.mixture.arguments(value), one.mixture.arguments(value + 1)
        low = [LOGISTIC[j] if value > 0 else 0 for j in low_at]
        high = [LOGISTIC[j] if value < 255 else 2**18 for j in high_at]
        mass = [share * (high[m] - low[m]) for m, share in enumerate(shares)]
        total = sum(mass) + 64
        parts = [m * 4096 // total for m in mass]

        def slope(j: int, f: int) -> int:
            return (j - 16384) * (f * (2**18 - f) >> 18)

        logits, means, logs = [], [], []
        for m, share in enumerate(shares):
            ratio = octave(-clip(one.logs[m], -80, 80), 16, 8)
            logits.append((share * sum(parts) >> 12) - parts[m])
            means.append((-(parts[m] * (high[m] + low[m] - 2**18) >> 18)) * ratio >> 8)
            logs.append(share * (slope(high_at[m], high[m]) - slope(low_at[m], low[m])) // total)
        weighted = [4 * g for g in logits] + means + [11 * g for g in logs]
        return [clip(g, -32639, 32639) for g in weighted]


# 12.1 The trunk

F32 = np.float32


def to_bytes(gradient: Array) -> tuple[Array, Array]:
    """Bytes [pixels, units] of gradients, and the scale of each unit."""
    squares = np.zeros(gradient.shape[1], F32)
    for row in gradient.astype(F32):
        squares = squares + row * row
    scales = np.full(len(squares), -16)
    for scale in range(-15, 8):
        fits = squares.astype(np.float64) <= 127.0 * 127.0 * len(gradient) / 4.0 ** (scale + 3)
        scales[fits] = scale
    return np.floor(gradient * 2.0**scales + 0.5).clip(-127, 127).astype(np.int64), scales


def back_through(data: Array, weights: Array, exponents: Array, seen: Array) -> tuple[Array, int]:
    """Gradients of a layer's inputs [pixels, inputs], times a power of two that the second result tells."""
    low = int(exponents.min())
    rounded = np.floor(weights * 2.0 ** (low - exponents)[:, None] + 0.5).clip(-127, 127).astype(np.int64)
    return (data @ rounded) * ((seen > 0) & (seen < 255)), low


class LearningBytes:
    """A layer of a residual block that learns; it changes the layer that it is given."""

    def __init__(self, layer: Layer, rate: float, pace: int) -> None:
        self.layer, self.memory, self.steps = layer, 100 << pace, 0
        self.rate = (rate / 2**pace * 2.0**layer.shift).astype(F32)
        self.fine, self.mean = layer.weight.astype(F32), np.zeros(layer.weight.shape, F32)
        outputs, inputs = layer.weight.shape
        self.rows, self.columns = np.zeros(outputs), np.zeros(inputs)
        self.first_bias, self.fine_bias = layer.bias, np.zeros(outputs)
        self.mean_bias, self.square_bias = np.zeros(outputs), np.zeros(outputs)
        worst = abs(layer.bias + layer.half).max() + 127 * (255 * inputs + 51)
        require(worst < 2**24 and max(outputs, inputs) <= 256)

    def learn(self, data: Array, scales: Array, inputs: Array) -> None:
        """data, scales: gradients of outputs as bytes / 2^scale."""
        self.steps += 1
        span, part = min(self.steps, self.memory), F32(1.0 / min(self.steps, 2))
        slope = (data.T @ inputs).astype(F32) * (2.0**-scales).astype(F32)[:, None]
        square = slope * slope
        across, total = np.zeros(square.shape[1], F32), 0.0
        for row, own in enumerate(square):
            across = across + own
            lanes = np.zeros(64, F32)
            for start in range(0, len(own), 64):
                lanes[: len(own) - start] = lanes[: len(own) - start] + own[start : start + 64]
            while len(lanes) > 1:
                lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
            self.rows[row] += (float(lanes[0]) / len(own) - self.rows[row]) / span
            total += float(self.rows[row])
        total = max(total / len(square), 2.0**-120)
        self.columns = self.columns + (across.astype(np.float64) / len(square) - self.columns) / span
        high = (1.0 / np.maximum(np.sqrt(self.rows / total), 2.0**-20)).astype(F32)[:, None]
        wide = (1.0 / np.maximum(np.sqrt(self.columns), 2.0**-60)).astype(F32)
        self.mean = self.mean + (slope - self.mean) * part
        step = (self.mean * high * wide).clip(F32(-4), F32(4))
        self.fine = (self.fine - self.rate[:, None] * step).clip(F32(-127), F32(127))
        self.layer.weight = np.floor(self.fine + F32(0.5)).astype(np.int64)
        tilt = 51.0 * data.sum(axis=0) * 2.0**-scales
        self.mean_bias = self.mean_bias + (tilt - self.mean_bias) / min(self.steps, 2)
        self.square_bias = self.square_bias + (tilt * tilt - self.square_bias) / span
        step = (self.mean_bias / np.maximum(np.sqrt(self.square_bias), 2.0**-60)).clip(-4.0, 4.0)
        self.fine_bias = (self.fine_bias - self.rate * step).clip(-127.0, 127.0)
        self.layer.bias = self.first_bias + np.floor(51.0 * self.fine_bias + 0.5).astype(np.int64)


class LearningTrunk:
    """first.i and second.i of a network."""

    def __init__(self, net: Network, pace: int) -> None:
        self.first = [LearningBytes(layer, 0.00135, pace) for layer in net.first]
        self.second = [LearningBytes(layer, 0.0216, pace) for layer in net.second]
        self.seen: list[list[Array]] = []  # of every pixel, the inputs of all layers and the activations

    def learn(self, heads: list[LearningHead], gradients: list[Array]) -> None:
        """gradients: of the heads' hidden values, [pixels, head] each."""
        passed = [np.array(values) for values in zip(*self.seen, strict=True)]
        packed = [to_bytes(one) for one in gradients]
        data, scales = (np.concatenate(parts, axis=-1) for parts in zip(*packed, strict=True))
        width = passed[-1].shape[1]
        weights = np.concatenate([head.head.used[:, :width] / 64 for head in heads])
        shifts = np.concatenate([head.head.shift for head in heads])
        gradient, low = back_through(data, weights, shifts + scales, passed[-1])
        data, scales = to_bytes(gradient)
        scales = scales + low
        for number, (first, second) in enumerate(zip(self.first, self.second, strict=True)):
            inputs, hidden = passed[2 * number : 2 * number + 2]
            gradient, low = back_through(data, second.layer.weight, second.layer.shift + scales, hidden)
            own, own_scales = to_bytes(gradient)
            first.learn(own, own_scales + low, inputs)
            second.learn(data, scales, hidden)


# 8. Wavefront

NEIGHBOURS = [(dy, dx) for dy in (-3, -2, -1) for dx in range(-3, 4)] + [(0, -3), (0, -2), (0, -1)]
PAST = [(0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, 2), (-1, -2), (-2, -1), (-2, 1)]
PAST_WEIGHTS = [3, 3, 2, 2, 1, 1, 1, 1, 1, 1]
TREND = [(0, -1), (-1, 0), (-1, 1)]
NEAREST = [(0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, -2), (-1, 2), (-2, -1), (-2, 1)]
UNKNOWN = -1


Seen = tuple[list[int], list[int], list[int]]


class LocalBase:
    """Section 8.3: the local base of one item. Arrays are float64, the last axis is that of its rows."""

    def __init__(self, height: int, width: int, channels: int) -> None:
        self.height, self.width, self.channels = height, width, channels
        self.inputs = channels * (6 if channels == 3 else 10)
        self.size = self.inputs + channels
        self.sums = np.zeros((self.size, self.size, height))  # [i, j] is used for j <= i
        self.values, self.weights = np.zeros((self.size, height)), np.zeros(height)

    def fade(self, number: int, targets: dict[int, list[float]]) -> None:
        """From the diagonal before to this one; targets: of the pixels there, by row."""
        for y, values in targets.items():
            self.values[self.inputs :, y] = values[: self.channels]
        part = slice(max(0, -((self.width - 1 - number) // 4)), min(self.height, number // 4 + 2))
        above = np.concatenate([self.sums[..., :1], self.sums[..., :-1]], axis=2)
        below = np.concatenate([self.sums[..., 1:], self.sums[..., -1:]], axis=2)
        same = 0.97 - 0.97 * 0.28 - 0.97 * 0.05
        kept = same * self.sums + 0.97 * 0.28 * above + 0.97 * 0.05 * below
        added = (self.values * self.weights)[:, None] * self.values
        self.sums[..., part] = ((kept + added + 4096.0) - 4096.0)[..., part]
        self.values[:], self.weights[:] = 0.0, 0.0

    def see(self, neighbours: dict[int, list[float]]) -> tuple[Array, Array | None]:
        """Changes of the base in levels [3, rows] and cross-channel coefficients [3, rows], by row; none of grey."""
        for y, values in neighbours.items():
            activity = 0.0
            if self.channels == 1:
                values = values[::3]
            for value in values:
                activity = activity + abs(value)
            self.values[: self.inputs, y], self.weights[y] = values, 1.0 / (activity / self.inputs + 0.5)
        matrix = self.sums.transpose(1, 0, 2).copy()
        size, inputs = self.size, self.inputs
        for i in range(size):
            square = matrix[i, i]
            matrix[i, i] = square + (square * 0.003 + 0.05 if i < inputs else 2.0**-10)
        lower = np.zeros_like(matrix)
        for k in range(size):
            lower[k + 1 :, k] = matrix[k, k + 1 :] * (1.0 / matrix[k, k])
            matrix[k + 1 :, k + 1 :] = matrix[k + 1 :, k + 1 :] - lower[k + 1 :, k, None] * matrix[k, k + 1 :]
        turned = self.values[:inputs].copy()
        changes = np.zeros((self.channels, self.height))
        for k in range(inputs):
            turned[k + 1 :] = turned[k + 1 :] - lower[k + 1 : inputs, k] * turned[k]
            changes = changes + lower[inputs:, k] * turned[k]
        if self.channels == 1:
            return np.repeat(changes, 3, axis=0), None
        return changes, np.stack([lower[19, 18], lower[20, 18], lower[20, 19]])


class Wavefront:
    """One pass in schedule 0."""

    def __init__(
        self, tensors: Tensors, given: Pass, shape: tuple[int, int, int], luma: Array | None, count: int
    ) -> None:
        self.items, self.height, self.width = shape
        self.every = min(count, 16)
        self.silent, self.tensors = given.silent, tensors
        self.coded = [1, 2] if given.channels == 2 else list(range(given.channels))
        self.stack = Stack(given.stream)
        own = part(tensors, "wavefront")
        self.coefficients = read_coefficients(given.base, own["coefficients"])
        self.net = Network(own)
        self.heads = {c: LearningHead(own, c, given.pace, given.deep) for c in self.coded}
        self.learns = given.pace < 3
        require(self.learns or not given.deep)
        self.trunk = LearningTrunk(self.net, given.pace) if given.deep else None
        self.passed: dict[Place, list[Array]] = {}
        self.fast = given.fast
        self.tones = {c: Tones(c) for c in self.coded} if given.tones else {}
        self.run_pixels = 1024 >> given.pace
        shape = (self.items, self.height, self.width, 3)
        self.pixels = np.full(shape, UNKNOWN, np.int64)
        if luma is not None:
            self.pixels[..., 0] = luma
        self.innovations, self.trends = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self.bases, self.crosses = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self.wide = np.zeros(shape, np.int64)
        channels = 1 if given.channels == 1 else 3
        self.nearest = NEAREST[: 10 if channels == 1 else 6]
        follows = self.learns and self.items == 1 and count <= 4
        self.local = LocalBase(self.height, self.width, channels) if follows else None
        self.embeddings = np.zeros((*shape[:3], self.net.embedding), np.int64)

    def inside(self, y: int, x: int) -> tuple[int, int] | None:
        """Section 8.2: the pixel that stands for a place; None above, and left of row 0."""
        if y < 0 or (x < 0 and y == 0):
            return None
        if x < 0:
            return y - 1, 0
        return y, min(x, self.width - 1)

    def pixel(self, item: int, y: int, x: int) -> list[int]:
        place = self.inside(y, x) or (0, clip(x, 0, self.width - 1) // 16 * 16)
        values: list[int] = self.pixels[item][place].tolist()
        assert UNKNOWN not in values, "the page asks for a pixel that is not known yet"
        return values

    def field(self, table: Array, item: int, y: int, x: int) -> list[int]:
        place = self.inside(y, x)
        return table[item][place].tolist() if place else [64] * 3

    def predict(self, number: int, rows: list[int]) -> None:
        """Bases and cross-channel coefficients of a diagonal."""
        for item in range(self.items):
            for y in rows:
                place = item, y, number - 4 * y
                self.bases[place] = self.wide[place] = self.wide_base(*place)
                self.crosses[place] = self.coefficients[73]
            if self.local is None:
                continue
            before = {y: number - 1 - 4 * y for y in range(self.height) if 0 <= number - 1 - 4 * y < self.width}
            targets = {y: self.differences([(0, 0)], self.wide[item, y, x], item, y, x) for y, x in before.items()}
            self.local.fade(number, targets)
            around = {y: (self.wide[item, y, number - 4 * y], item, y, number - 4 * y) for y in rows}
            changes, cross = self.local.see({y: self.differences(self.nearest, *place) for y, place in around.items()})
            for y in rows:
                place = item, y, number - 4 * y
                for c in range(3):
                    change = int(np.floor(clip(changes[c, y], -256.0, 256.0) * 16.0 + 0.5))
                    value = clip(int(self.wide[place][c]) + change, 0, 4080)
                    self.bases[place][c] = (self.wide[place][c] + value + 1) >> 1
                    if cross is None:
                        continue
                    told = int(np.floor(clip(cross[c, y], -2.0, 2.0) * 4096.0 + 0.5))
                    self.crosses[place][c] = (self.coefficients[73][c] + told + 1) >> 1

    def differences(self, offsets: list[tuple[int, int]], base: Array, item: int, y: int, x: int) -> list[float]:
        """Neighbours less a base, in levels."""
        pixels = [self.pixel(item, y + dy, x + dx) for dy, dx in offsets]
        return [(16 * pixel[c] - int(base[c])) / 16 for pixel in pixels for c in range(3)]

    def wide_base(self, item: int, y: int, x: int) -> list[int]:
        """The image-wide base of a pixel."""
        differences = [value - 128 for dy, dx in NEIGHBOURS for value in self.pixel(item, y + dy, x + dx)]
        base = []
        for c in range(3):
            total = sum(d * self.coefficients[i][c] for i, d in enumerate(differences)) + self.coefficients[72][c]
            base.append(clip(((total + 128) >> 8) + 2048, 0, 4080))
        return base

    def trend_neighbours(self, place: Place) -> list[int]:
        """2 W + 3 N + 2 NE, for each channel."""
        item, y, x = place
        west, north, northeast = (self.field(self.trends, item, y + dy, x + dx) for dy, dx in TREND)
        return [2 * west[c] + 3 * north[c] + 2 * northeast[c] for c in range(3)]

    def settle(self, place: Place) -> None:
        """Innovations and trends of a known pixel."""
        base = self.bases[place].tolist()
        errors = [16 * value - base[c] for c, value in enumerate(self.pixels[place].tolist())]
        innovation = apart(errors, self.crosses[place].tolist())
        sums = self.trend_neighbours(place)
        self.innovations[place] = innovation
        self.trends[place] = [(sums[c] + abs(innovation[c]) + 4) >> 3 for c in range(3)]

    def look(self, place: Place) -> Seen:
        """Base, scale steps and activations of a pixel (sections 8.5 and 8.6)."""
        item, y, x = place
        neighbours = [self.pixel(item, y + dy, x + dx) for dy, dx in NEIGHBOURS]
        base, cross = self.bases[place].tolist(), self.crosses[place].tolist()
        past = [self.field(self.innovations, item, y + dy, x + dx) for dy, dx in PAST]
        k = [scale_step(sum(w * abs(p[c]) for w, p in zip(PAST_WEIGHTS, past, strict=True))) for c in range(3)]
        differences = [apart([16 * pixel[c] - base[c] for c in range(3)], cross) for pixel in neighbours]
        features = [scaled(one[c], k[c]) for c in range(3) for one in differences]
        relative = [[scaled(one[c], k[c]) for c in range(3)] for one in past]
        features += [value for one in relative for value in one]
        features += [sum(map(abs, one)) // 3 - 16 for one in relative]
        for c in range(3):
            features += level_inputs(k[c])
        sums = self.trend_neighbours(place)
        features += [2 * (scale_step(sums[c] * 37 >> 4) - k[c]) for c in range(3)]
        right = self.width - 1 - x
        features += [16 * flag for flag in (x == 0, x == 1, x == 2, right == 0, right == 1, right == 2)]
        features += [16 * (y == row) for row in range(3)]
        features += [(b >> 7) - 16 for b in base]
        if self.fast:
            return base, k, [scale_step(sums[c] * 37 >> 4) - k[c] for c in range(3)]
        near = [(y + dy, x + dx) for dy, dx in NEAREST[:6]]
        around = [
            value
            for row, column in near
            for value in (
                self.embeddings[item, row, column].tolist()
                if row >= 0 and 0 <= column < self.width
                else [0] * self.net.embedding
            )
        ]
        activations = self.net.trunk(features, around).tolist()
        self.passed[place] = self.net.passed
        return base, k, activations

    def embed(self, place: Place, k: list[int], activations: list[int]) -> None:
        """The embedding of a settled pixel."""
        inputs = [clip(scaled(int(value), k[c]), -127, 127) for c, value in enumerate(self.innovations[place])]
        values = np.array([*activations, *inputs, *map(abs, inputs)])
        for layer in self.net.embed:
            values = layer(values).clip(0, 255)
        self.embeddings[place] = values

    def diagonal(self, places: list[Place], seen: list[Seen]) -> None:
        """Decode the pixels of a diagonal."""
        for c in self.coded:
            mixtures = []
            for place, (base, k, activations) in zip(places, seen, strict=True):
                errors = [16 * int(self.pixels[place][i]) - base[i] if i < c else 0 for i in range(3)]
                cross = self.crosses[place].tolist()
                known = apart(errors, cross)
                green, red = (clip(scaled(known[i], k[i]), -127, 127) for i in range(2))
                more = [green, abs(green), red, abs(red)][: 2 * c]
                shift = 0
                if c == 1:
                    shift = known[0] * cross[0] >> 6
                if c == 2:
                    shift = (known[0] * cross[1] >> 6) + (known[1] * cross[2] >> 6)
                if self.fast:
                    sizes = [0, abs(green), (abs(green) + 2 * abs(red)) // 3]
                    column = sum(sizes[c] > bound for bound in (3, 9, 18, 32, 56, 96, 126))
                    if c == 0:
                        column = clip((2 * activations[0] + 21) // 6, 0, 7)
                    outputs = self.tensors["fast.table"][c, k[c] - 8, column].tolist()
                    mixtures.append(mixture(outputs, base[c], k[c], shift))
                    continue
                mixtures.append(self.heads[c].predict(activations + more, base[c], k[c], shift))
            if self.tones:
                values = []
                for own, (item, y, x) in zip(mixtures, places, strict=True):
                    west = self.pixel(item, y, x - 1)[0]
                    values.append(self.tones[c].pop(self.stack, own, self.pixels[item, y, x].tolist(), west))
            else:
                values = pop_values(self.stack, mixtures)
            for place, value in zip(places, values, strict=True):
                self.pixels[place][slice(None) if len(self.coded) == 1 else c] = value
            if not self.fast:
                for value, one in zip(values, self.heads[c].seen[-len(values) :], strict=True):
                    one.value = value

    def decode(self) -> Array:
        """Pixels [items, height, width, 3]."""
        shape = (self.items, -(-self.height // 16), -(-self.width // 16))
        small = thumbnail(self.stack, self.tensors, shape, self.coded, bool(self.silent & 1))
        for c in [0, 1, 2] if len(self.coded) == 1 else self.coded:
            self.pixels[:, ::16, ::16, c] = small[..., c]
        pixels = runs = 0
        for number in range(self.width + 4 * (self.height - 1)):
            rows = [y for y in range(self.height) if 0 <= number - 4 * y < self.width]
            places = [(item, y, number - 4 * y) for item in range(self.items) for y in rows]
            coded = [place for place in places if place[1] % 16 or place[2] % 16]
            self.predict(number, rows)
            seen = {
                place: self.look(place) for place in places if place in coded or (self.net.embedding and not self.fast)
            }
            if coded:
                self.diagonal(coded, [seen[place] for place in coded])
            if self.trunk:
                self.trunk.seen += [self.passed[place] for place in coded]
                self.passed = {}
            for place in places:
                self.settle(place)
                if self.net.embedding and not self.fast:
                    self.embed(place, *seen[place][1:])
            pixels += len(coded)
            if pixels >= self.run_pixels:
                learning = self.learns and runs % self.every == 0
                heads = list(self.heads.values()) if self.learns else []
                slopes = [head.slopes() for head in heads if learning]
                if self.trunk and learning:
                    self.trunk.learn(heads, [back for _, back in slopes])
                for head, pair in zip(heads, slopes, strict=False):
                    head.learn(*pair)
                for head in heads:
                    head.seen = []
                if self.trunk:
                    self.trunk.seen = []
                pixels, runs = 0, runs + 1
        self.stack.end()
        return self.pixels


# 14. Lattice


def signs(*pairs: tuple[int, int]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for a, b in pairs:
        for place in ((a, b), (a, -b), (-a, b), (-a, -b)):
            if place not in out:
                out.append(place)
    return out


KNOWN = {
    "D": signs((1, 1), (1, 3), (3, 1), (3, 3)),
    "H": signs((0, 1), (1, 0), (0, 3), (1, 2), (2, 1), (3, 0)),
    "V": signs((1, 0), (0, 1), (3, 0), (2, 1), (1, 2), (0, 3), (1, 1), (3, 1), (1, 3)),
}
FIRST = {"D": (1, 1), "H": (0, 1), "V": (1, 0)}  # row and column of a coset's first pixel
OWN = [(0, 0), (0, -1), (0, 1), (-1, 0), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)]


def lattice(tensors: Tensors, block: Block, given: Pass) -> Array:
    """Pixels [items, height, width, 3] of one pass in schedule 1."""
    require(not (given.pace or given.deep or given.base))
    stack = Stack(given.stream)
    pixels = np.zeros((block.items, block.height, block.width, 3), np.int64)
    small = pixels[:, ::16, ::16]
    small[:] = thumbnail(stack, tensors, small.shape[:3], range(given.channels), bool(given.silent & 1))
    nets = {kind: network(tensors, kind) for kind in "DHV"}
    for level in (3, 2, 1, 0):
        plane = pixels[:, :: 1 << level, :: 1 << level]
        for kind, net in nets.items():
            row, column = FIRST[kind]
            coset = plane[:, row::2, column::2]
            places = list(np.ndindex(*coset.shape[:3]))
            require(len(places) <= 32768)  # one run is enough for this decoder
            for channel in range(given.channels):
                states = [9 if c < channel else 0 for c in range(3)]
                mixtures = []
                for place in places:
                    features, base, k = coset_inputs(plane, coset, kind, place, states, level)
                    outputs = net.head(channel, net.trunk(features))
                    mixtures.append(mixture(outputs, base[channel], k, 0))
                for place, value in zip(places, pop_values(stack, mixtures), strict=True):
                    coset[place][slice(None) if given.channels == 1 else channel] = value
    stack.end()
    return pixels


def coset_inputs(
    plane: Array, coset: Array, kind: str, place: Place, states: list[int], level: int
) -> tuple[list[int], list[int], int]:
    """Inputs of a coset's network, base and scale step of a pixel."""
    item, y, x = place
    row, column = FIRST[kind]

    def around(table: Array, y: int, x: int, offsets: list[tuple[int, int]]) -> list[list[int]]:
        height, width = table.shape[1:3]
        values = [table[item, mirror(y + dy, height), mirror(x + dx, width)].tolist() for dy, dx in offsets]
        return [[16 * value for value in one] for one in values]

    known = around(plane, 2 * y + row, 2 * x + column, KNOWN[kind])
    own = around(coset, y, x, OWN)
    base = [(sum(known[i][c] for i in range(4)) + 2) >> 2 for c in range(3)]
    k = scale_step(sum(abs(known[i][c] - base[c]) for i in range(4) for c in range(3)) * 4 // 3)
    features = [scaled(one[c] - base[c], k) for one in known for c in range(3)]
    for one in own:
        features += [clip(scaled(one[c] - base[c], k), -127, 127) if states[c] else 0 for c in range(3)]
    for state in states:
        features += [16 * (i == state) for i in range(10)]
    features += [16 * (i == level) for i in range(4)]
    return features + level_inputs(k) + [(b >> 7) - 16 for b in base], base, k


# The whole file


@dataclass
class Item:
    """A decoded item: bytes, or pixels uint8 [height, width, channels] and metadata."""

    name: bytes | None = None
    source: int | None = None
    content: bytes = b""
    pixels: Array | None = None
    metadata: bytes = b""
    signed: bool = False
    layout: int = 0
    depth: int = 8
    frames: int = 1

    def file(self) -> bytes:
        """Section 4: the item's own bytes (stored, LZMA, text, PNM, BMP, NPY, TIFF, GIF)."""
        if self.pixels is None:
            return self.content
        require(self.source in (1, 2, 5, 6, 7))
        before, after = struct.unpack_from("<II", self.metadata)
        pixels, head = self.pixels, self.metadata[8 : 8 + before]
        require(len(self.metadata) == 8 + before + after)
        if self.source == 7:
            return reference_lzw.gif_file(pixels[..., 0], self.frames, head, self.metadata[8 + before :])
        if self.source == 6 and head[:3] == b"LZW":
            return reference_lzw.tiff_file(pixels, self.signed, head[3:], self.metadata[8 + before :])
        if pixels.dtype != np.uint8:
            big = self.source == 1 or (b"'>" in head if self.source == 5 else head[:1] == b"M")
            pixels = (pixels ^ (0x8000 if self.signed else 0)).astype(">u2" if big else "<u2")
        if self.source == 1 and head[:2] == b"P4":
            body = np.packbits(pixels[..., 0] ^ 1, axis=1).tobytes()
        elif self.source == 2:
            padding = bytes(-3 * pixels.shape[1] % 4)
            body = b"".join(row[:, ::-1].tobytes() + padding for row in pixels[::-1])
        else:
            body = pixels.tobytes()
        return self.metadata[8 : 8 + before] + body + self.metadata[8 + before :]


def decode(data: bytes, *models: Path) -> list[Item]:
    """All items of a file that was made with some of the model files. FormatError if it is damaged."""
    names, blocks = read_file(data)
    items = [item for block in blocks for item in decode_block(block, models)]
    if names is None and len(items) > 1:
        return [Item(content=b"".join(item.content for item in items))]
    for number, name in enumerate(names or []):
        items[number].name = name
    return items


def decode_block(block: Block, models: Sequence[Path]) -> list[Item]:
    if block.mode < 2:
        content = unpack(block.data) if block.mode else block.data
        require(len(content) == block.size)
        check_digest(block, content)
        return [Item(content=content)]
    if block.schedule == 2 and block.mode == 2:
        return decode_exact(block)
    files = [path.read_bytes() for path in models]
    weights = next((file for file in files if hashlib.sha256(file).digest()[:4] == block.model), b"")
    require(weights)
    if block.mode == 3:
        if block.schedule == 1:
            quiet = (block.steps, block.quiet)
            content = reference_text.decode_blocks(weights, block.size, block.lanes, *quiet, block.streams)
        else:
            fast = block.schedule == 2
            content = reference_text.decode(weights, block.size, block.lanes, block.streams, fast=fast)
        check_digest(block, content)
        return [Item(content=content)]
    if block.plan is not None:
        rest = unpack(block.frame) if block.frame else b""
        require(len(rest) <= 2**26)
        content = reference_paper.decode(weights, block.size, block.plan, rest, *block.streams)
        check_digest(block, content)
        return [Item(content=content)]
    tensors = read_weights(weights)
    if block.mode == 5:
        content = reference_jpeg.decode(block.images, tensors)
        check_digest(block, content)
        return [Item(content=content)]
    if block.inside is not None:
        return decode_inside(block, tensors)
    parts: list[list[Array]] = []
    ends = bands(block)
    count = len(block.passes) // len(ends)
    for number, (first, end) in enumerate(ends):
        own = replace(block, height=end - first, passes=block.passes[number * count : (number + 1) * count])
        parts.append(decode_band(own, tensors, len(ends)))
    planes = [np.concatenate(own, axis=1) for own in zip(*parts, strict=True)]
    if block.sampling:
        differences = interpolated(block, planes.pop())
        planes[-1] = np.concatenate([differences[..., :1], planes[-1], differences[..., 1:]], axis=3)
    if block.space:
        planes[-1] = np.ascontiguousarray(planes[-1])
        convert(block, planes[-1])
    pixels = np.concatenate(planes[::-1], axis=3).astype(np.uint8)
    metadata = read_metadata(block.metadata, block.items)
    check_digest(block, b"".join(one.tobytes() + more for one, more in zip(pixels, metadata, strict=True)))
    pairs = zip(pixels, metadata, strict=True)
    return [Item(source=block.source, pixels=one, metadata=more, layout=block.layout) for one, more in pairs]


def decode_inside(block: Block, tensors: Tensors) -> list[Item]:
    """Section 20."""
    inside = block.inside
    assert inside is not None
    channels = CHANNELS[block.layout]
    pixels = reference_jpeg.decode_pixels(inside, block.width, block.height, tensors)
    pixels = np.broadcast_to(pixels, (*pixels.shape[:2], channels)).reshape(-1, channels).copy()
    if inside.exceptions:
        reader = Reader(unpack(inside.listed))
        at = -1
        numbers = []
        for _ in range(inside.exceptions):
            at += reader.varint() + 1
            numbers.append(at)
        require(at < len(pixels))
        for channel in range(channels):
            pixels[numbers, channel] += np.frombuffer(reader.take(len(numbers)), np.uint8)
        reader.end()
    else:
        require(not inside.listed)
    pixels = (pixels % 256).astype(np.uint8).reshape(block.height, block.width, channels)
    metadata = read_metadata(block.metadata, 1)
    check_digest(block, pixels.tobytes() + metadata[0])
    return [Item(source=block.source, pixels=pixels, metadata=metadata[0], layout=block.layout)]


def decode_exact(block: Block) -> list[Item]:
    """Section 18, band after band."""
    parts = []
    for (first, end), stream in zip(bands(block), block.streams, strict=True):
        shape = block.items * block.frames, (end - first) // block.frames, block.width, CHANNELS[block.layout]
        values = reference_graphics.decode(stream, shape, block.depth)
        parts.append(values.reshape(block.items, end - first, *shape[2:]))
    pixels = np.concatenate(parts, axis=1)
    if block.order:
        require(pixels.max() < len(block.order))
        pixels = np.frombuffer(block.order, np.uint8)[pixels]
    pixels = pixels.astype(np.uint8 if block.depth <= 8 else "<u2")
    require(pixels.max() < 1 << block.depth)
    metadata = read_metadata(block.metadata, block.items)
    check_digest(block, b"".join(one.tobytes() + more for one, more in zip(pixels, metadata, strict=True)))
    how = {"source": block.source, "signed": bool(block.signed), "layout": block.layout, "depth": block.depth}
    how["frames"] = block.frames
    return [Item(pixels=one, metadata=more, **how) for one, more in zip(pixels, metadata, strict=True)]


def decode_band(block: Block, tensors: Tensors, count: int) -> list[Array]:
    """Planes of one of so many bands, a pass each."""
    planes: list[Array] = []
    for given in block.passes:
        shape, luma = (block.items, block.height, block.width), None
        if given.channels == 2:
            luma = sample_luma(block, planes[-1][..., 0].astype(np.int64))
            shape = luma.shape
        if given.constant:
            constant = np.frombuffer(given.constant, np.uint8)
            planes.append(np.broadcast_to(constant, (*shape, given.channels)).astype(np.int64))
            continue
        if block.schedule:
            require(not given.tones and not given.fast)
            decoded = lattice(tensors, block, given)
        else:
            decoded = Wavefront(tensors, given, shape, luma, count).decode()
        planes.append(decoded[..., {1: [0], 2: [1, 2], 3: [1, 0, 2]}[given.channels]])
    return planes


def check_digest(block: Block, content: bytes) -> None:
    require(hashlib.blake2b(content, digest_size=8).digest() == block.digest)
