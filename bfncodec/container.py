"""The .bfn file: magic, version, header with its own CRC, then payload. See docs/format.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from bfncodec.errors import CorruptFile, LimitExceeded, TruncatedFile, UnsupportedFeature
from bfncodec.spans import Data, cut

if TYPE_CHECKING:
    pass

import hashlib
import zlib
from dataclasses import field
from enum import IntEnum

from bfncodec.errors import BadMagic
from bfncodec.spans import pieces

MAGIC = b"\x89BFN\r\n\x1a\n"
VERSION = 1
DIGEST_BYTES = 8
HEADER_LIMIT = 1 << 26  # bytes of the header, and of an archive's names
ITEM_LIMIT = 1 << 20
LANE_LIMIT = 256  # of a text
STEP_LIMIT = 16  # of a text's blocks
TEXT_LIMIT = 1 << 30  # bytes of a text block
SINGLE_STEPS = 4096  # of a single block
SINGLE_WORK = 1 << 36  # of it: bytes times steps
SINGLE_SEED = 1 << 28  # of it: words of the seed
SINGLE_GROUP = 1 << 20  # of it: variables that are coded at once
STREAM_BYTES = 1 << 20  # of text at least in every stream but the last
PART_LIMIT = 1 << 16
ARCHIVE = 1  # flag: several items, with names
PARTS = 2  # flag: one item in several blocks


class Mode(IntEnum):
    """How a block is coded."""

    STORED = 0
    LZMA = 1
    IMAGE = 2
    TEXT = 3
    SINGLE = 4


class Source(IntEnum):
    """What an image block is turned back into."""

    PNG = 0
    PNM = 1
    BMP = 2
    ARRAY = 3
    PILLOW = 4


class Layout(IntEnum):
    """Channels of an image."""

    L = 0
    LA = 1
    RGB = 2
    RGBA = 3

    @property
    def channels(self) -> int:
        """Number of channels."""
        return (1, 2, 3, 4)[self]


class Schedule(IntEnum):
    """The groups of an image block."""

    WAVEFRONT = 0
    LATTICE = 1


@dataclass
class Pass:
    """One coded plane set of an image block (alpha, or grey, or the three colours).

    `constant` holds one byte a channel where every pixel is the same; then nothing else is used.
    """

    constant: bytes | None = None
    silent: int = 0  # bit g: group g has no noisy steps
    pace: int = 0  # of the heads' learning, 0 to 2; 3: none
    base: Data = b""
    changes: Data = b""
    stream: Data = b""


@dataclass
class Image:
    """The part of a block's header that only images have."""

    source: Source
    layout: Layout
    schedule: Schedule
    width: int
    height: int
    model: bytes
    metadata: Data = b""  # LZMA of the sources' metadata; empty if there is none
    passes: list[Pass] = field(default_factory=list)


class TextSchedule(IntEnum):
    """The groups of a text block."""

    BYTEWISE = 0
    BLOCKWISE = 1


_FEWEST_BITS = {TextSchedule.BYTEWISE: 46, TextSchedule.BLOCKWISE: 360}  # that a byte can cost, 2**-16


@dataclass
class Text:
    """The part of a block's header that only texts have."""

    model: bytes
    lanes: int
    schedule: TextSchedule = TextSchedule.BYTEWISE
    steps: int = 0  # noisy steps of a block of bytes
    quiet: int = 0  # bytes at the end of every lane that have none
    streams: list[Data] = field(default_factory=list)


class Sender(IntEnum):
    """How the noisy views of a single block are made."""

    GAUSSIAN = 0
    DITHER = 1
    CATEGORICAL = 2


@dataclass
class Single:
    """The part of a block's header that data of the `single` schedule have: items of a fixed number of symbols."""

    model: bytes
    inexact: bool  # the model computes in floating point: decoding needs the machine that encoded
    sender: Sender
    steps: int  # noisy steps
    batch: int  # items a group
    before: int  # bytes of the content before the first item
    frame: bytes  # LZMA of the bytes before the first item and after the last; empty if there are none
    seed: int = 0  # words of the seed that the stream goes on from
    stream: bytes = b""


@dataclass
class Block:
    """Some items that are coded together; all but image blocks hold one item."""

    mode: Mode
    items: int
    size: int  # bytes of the decoded content
    digest: bytes
    data: Data = b""  # stored and LZMA
    image: Image | None = None
    text: Text | None = None
    single: Single | None = None


@dataclass
class File:
    """A whole file; `names` is None for a single item without a name.

    Several blocks without names are parts of one item, in order.
    """

    blocks: list[Block]
    names: list[str] | None = None

    @property
    def items(self) -> int:
        """Number of items."""
        return 1 if self.names is None else len(self.names)


def digest(content: bytes) -> bytes:
    """Digest of decoded content: BLAKE2b, DIGEST_BYTES bytes."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def varint(value: int) -> bytes:
    """Seven bits a byte, low bits first, bit 7 set on all but the last byte."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def write(file: File) -> bytes:
    """The file's bytes. UnsupportedFeature for an archive that could not be read again."""
    header, payload = _layout(file)
    return header + b"".join(map(bytes, payload))


def write_to(out: IO[bytes], file: File) -> None:
    """Write the file's bytes where `out` stands, a piece at a time. Errors as in `write`."""
    header, payload = _layout(file)
    out.write(header)
    for data in payload:
        for piece in pieces(data):
            out.write(piece)


def size(file: File) -> int:
    """How many bytes `write` gives."""
    header, payload = _layout(file)
    return len(header) + sum(map(len, payload))


def _layout(file: File) -> tuple[bytes, list[Data]]:
    """Everything up to the payload, and the payload."""
    header = bytearray()
    flags = 0
    if file.names is not None:
        if not 0 < len(file.names) <= ITEM_LIMIT or any("\0" in name for name in file.names):
            raise UnsupportedFeature(f"an archive holds 1 to {ITEM_LIMIT} items, and no name with a NUL in it")
        packed = zlib.compress("\0".join(file.names).encode("utf-8", "surrogateescape"), 9)
        header += varint(len(file.blocks)) + varint(len(packed)) + packed
        flags = ARCHIVE
    elif len(file.blocks) > 1:
        header += varint(len(file.blocks))
        flags = PARTS
    payload: list[Data] = []
    for block in file.blocks:
        header += bytes([block.mode])
        if file.names is not None:
            header += varint(block.items)
        header += varint(block.size) + block.digest
        if block.image is not None:
            _write_image(header, payload, block.image)
        elif block.text is not None:
            _write_text(header, payload, block.text)
        elif block.single is not None:
            _write_single(header, payload, block.single)
        else:
            header += varint(len(block.data))
            payload.append(block.data)
    start = MAGIC + bytes([VERSION, flags]) + varint(len(header)) + header
    return start + zlib.crc32(start).to_bytes(4, "little"), payload


def _write_image(header: bytearray, payload: list[Data], image: Image) -> None:
    header += bytes([image.source << 4 | image.layout, image.schedule])
    header += varint(image.width) + varint(image.height) + image.model + varint(len(image.metadata))
    payload.append(image.metadata)
    for part in image.passes:
        if part.constant is not None:
            header += b"\1" + part.constant
            continue
        header += bytes([part.pace << 1]) + varint(part.silent)
        for piece in (part.base, part.changes, part.stream):
            header += varint(len(piece))
            payload.append(piece)


def _write_text(header: bytearray, payload: list[Data], text: Text) -> None:
    header += bytes([text.schedule]) + text.model + varint(text.lanes)
    if text.schedule is TextSchedule.BLOCKWISE:
        header += varint(text.steps) + varint(text.quiet)
    header += varint(len(text.streams))
    for stream in text.streams:
        header += varint(len(stream))
        payload.append(stream)


def _write_single(header: bytearray, payload: list[Data], single: Single) -> None:
    header += single.model + bytes([single.inexact << 4 | single.sender])
    for number in (single.steps, single.batch, single.before, len(single.frame), single.seed, len(single.stream)):
        header += varint(number)
    payload += [single.frame, single.stream]


def holds(text: Text, size: int) -> bool:
    """True if the streams can hold `size` bytes: a small file cannot ask for hours of decoding."""
    return size * _FEWEST_BITS[text.schedule] <= (8 * sum(map(len, text.streams)) + 64 * len(text.streams)) << 16


_MAGIC_BYTES = 16  # that tell the magic and its forms of damage


def is_bfn(data: bytes) -> bool:
    """True if the data begins with the magic."""
    return data.startswith(MAGIC)


def _check_magic(data: bytes) -> None:
    if len(data) < len(MAGIC):
        if MAGIC.startswith(data):
            raise TruncatedFile("the file ends within its first bytes")
        raise BadMagic("this is not a .bfn file")
    if is_bfn(data):
        return
    damaged = (
        b"\x89BFN\n\x1a\n",
        b"\x89BFN\n\n\x1a\n",
        b"\x89BFN\r\n\x1a\r\n",
        b"\x89BFN\r\r\n\x1a\r\n",
        b"\x09BFN",
        b"\xef\xbf\xbdBFN",
        b"\xc2\x89BFN",
    )
    if data.startswith(damaged):
        raise BadMagic("this .bfn file was damaged by a transfer in text mode; transfer it again in binary mode")
    raise BadMagic("this is not a .bfn file")


def read(data: Data, *, max_output: int | None = None, max_pixels: int | None = None) -> File:
    """Parse and check everything but the payload's content, which stays where it is.

    Raises BadMagic, TruncatedFile, CorruptFile, UnsupportedFeature, and LimitExceeded where
    the header claims more than `max_output` bytes in all or `max_pixels` pixels an image.
    """
    reader = Reader(data)
    _check_magic(reader.take(min(_MAGIC_BYTES, len(data))))
    reader.position = len(MAGIC)
    version = reader.byte()
    if version != VERSION:
        raise UnsupportedFeature(f"format version {version} is not supported; this bfncodec reads version {VERSION}")
    flags = reader.byte()
    if flags not in (0, ARCHIVE, PARTS):
        raise UnsupportedFeature(f"the file needs features unknown to this version (flags {flags:#04x})")
    length = reader.varint()
    if length > HEADER_LIMIT:
        raise LimitExceeded(f"the header claims {length} bytes; the limit is {HEADER_LIMIT}")
    header = Reader(reader.take(length))
    checked = Reader(data).take(reader.position)
    if reader.take(4) != zlib.crc32(checked).to_bytes(4, "little"):
        raise CorruptFile("the header's checksum is wrong")
    archive = bool(flags & ARCHIVE)
    count = header.varint() if flags else 1
    if flags == PARTS and count < 2:
        raise UnsupportedFeature(f"an item in parts has 2 of them or more, not {count}")
    if flags == PARTS and count > PART_LIMIT:
        raise LimitExceeded(f"the file claims {count} parts; the limit is {PART_LIMIT}")
    packed = header.take(header.varint()) if archive else b""
    blocks = []
    total = items = 0
    for _ in range(count):
        block = _read_block(header, reader, archive, max_pixels)
        if flags == PARTS and (block.mode in (Mode.IMAGE, Mode.SINGLE) or not block.size):
            raise CorruptFile("a part of an item is of a mode that has no parts, or empty")
        blocks.append(block)
        total += block.size
        items += block.items
        if items > ITEM_LIMIT:
            raise LimitExceeded(f"the archive claims {items} items or more; the limit is {ITEM_LIMIT}")
        if max_output is not None and total > max_output:
            raise LimitExceeded(f"the file claims {total} bytes of output; the limit is {max_output} (--max-output)")
    if header.position != len(header.data):
        raise CorruptFile("the header holds more than its fields")
    if reader.position != len(data):
        raise CorruptFile(f"{len(data) - reader.position} bytes follow the end of the file")
    return File(blocks, _names(packed, items) if archive else None)


def _names(packed: bytes, items: int) -> list[str]:
    decompressor = zlib.decompressobj()
    try:
        text = decompressor.decompress(packed, HEADER_LIMIT)
    except zlib.error as error:
        raise CorruptFile("the archive's names are damaged") from error
    if not decompressor.eof or decompressor.unused_data:
        raise CorruptFile("the archive's names are damaged")
    if text.count(b"\0") + 1 != items:
        raise CorruptFile("the archive's names do not match its items")
    return text.decode("utf-8", "surrogateescape").split("\0")


def _read_block(header: Reader, payload: Reader, archive: bool, max_pixels: int | None) -> Block:
    number = header.byte()
    if number not in list(Mode):
        raise UnsupportedFeature(f"coding mode {number} is not supported by this version")
    mode = Mode(number)
    items = header.varint() if archive else 1
    size = header.varint()
    block = Block(mode, items, size, header.take(DIGEST_BYTES))
    if mode is not Mode.IMAGE and items != 1:
        raise CorruptFile("a block that is no image holds more than one item")
    if mode is Mode.TEXT:
        block.text = _read_text(header, payload, size)
        return block
    if mode is Mode.SINGLE:
        block.single = _read_single(header, payload, size)
        return block
    if mode is not Mode.IMAGE:
        block.data = payload.skip(header.varint())
        if mode is Mode.STORED and len(block.data) != size:
            raise CorruptFile("a stored block has the wrong length")
        return block
    block.image = _read_image(header, payload)
    pixels = block.image.width * block.image.height
    if max_pixels is not None and pixels > max_pixels:
        raise LimitExceeded(f"the image claims {pixels} pixels; the limit is {max_pixels} (--max-pixels)")
    if not items or not pixels or size != items * pixels * block.image.layout.channels:
        raise CorruptFile("the image's sizes contradict each other")
    return block


def _read_text(header: Reader, payload: Reader, size: int) -> Text:
    schedule = header.byte()
    if schedule not in list(TextSchedule):
        raise UnsupportedFeature(f"text schedule {schedule} is not supported by this version")
    text = Text(header.take(4), header.varint(), TextSchedule(schedule))
    if not 0 < text.lanes <= LANE_LIMIT or not size:
        raise CorruptFile("a text's size and lanes contradict each other")
    if text.schedule is TextSchedule.BLOCKWISE:
        text.steps, text.quiet = header.varint(), header.varint()
        if text.steps > STEP_LIMIT:
            raise LimitExceeded(f"the text claims {text.steps} noisy steps; the limit is {STEP_LIMIT}")
    if size > TEXT_LIMIT:
        raise LimitExceeded(f"the text claims {size} bytes; the limit is {TEXT_LIMIT}")
    streams = header.varint()
    if streams > size // STREAM_BYTES + 1:
        raise CorruptFile("a text's size and streams contradict each other")
    text.streams = [payload.skip(header.varint()) for _ in range(streams)]
    if not holds(text, size):
        raise CorruptFile("a text's size and streams contradict each other")
    return text


def _read_single(header: Reader, payload: Reader, size: int) -> Single:
    model, kind = header.take(4), header.byte()
    if kind >> 4 > 1 or kind & 15 not in list(Sender):
        raise UnsupportedFeature(f"sender {kind:#04x} is not supported by this version")
    steps, batch, before, frame, seed, stream = (header.varint() for _ in range(6))
    if not 0 < steps <= SINGLE_STEPS or size * steps > SINGLE_WORK or size > TEXT_LIMIT:
        raise LimitExceeded(f"the file claims {steps} noisy steps for {size} bytes; that is above the limits")
    if not 0 < batch <= size or before > size or seed > SINGLE_SEED:
        raise CorruptFile("a block's sizes, batch and seed contradict each other")
    single = Single(model, bool(kind >> 4), Sender(kind & 15), steps, batch, before, payload.take(frame), seed)
    single.stream = payload.take(stream)
    return single


def _read_image(header: Reader, payload: Reader) -> Image:
    kind = header.byte()
    schedule = header.byte()
    if kind >> 4 not in list(Source) or kind & 15 not in list(Layout) or schedule not in list(Schedule):
        raise UnsupportedFeature(f"image kind {kind:#04x}, schedule {schedule} is not supported by this version")
    layout = Layout(kind & 15)
    width, height = header.varint(), header.varint()
    image = Image(Source(kind >> 4), layout, Schedule(schedule), width, height, header.take(4))
    image.metadata = payload.skip(header.varint())
    for channels in pass_channels(layout):
        flag = header.byte()
        if flag == 1:
            image.passes.append(Pass(constant=header.take(channels)))
        elif flag in (0, 2, 4, 6):
            silent = header.varint()
            lengths = [header.varint() for _ in range(3)]
            image.passes.append(Pass(None, silent, flag >> 1, *(payload.skip(length) for length in lengths)))
        else:
            raise UnsupportedFeature(f"pass kind {flag} is not supported by this version")
    return image


def pass_channels(layout: Layout) -> list[int]:
    """Channels of the passes of a layout, in coding order: alpha first, then grey or colour."""
    return {Layout.L: [1], Layout.LA: [1, 1], Layout.RGB: [3], Layout.RGBA: [1, 3]}[layout]


class Reader:
    """Reads fields off bytes; TruncatedFile at their end."""

    def __init__(self, data: Data, position: int = 0) -> None:
        self.data, self.position = data, position

    def skip(self, count: int) -> Data:
        """The next bytes, where they are."""
        if count > len(self.data) - self.position:
            raise TruncatedFile("the file ends too early")
        self.position += count
        return cut(self.data, self.position - count, count)

    def take(self, count: int) -> bytes:
        """The next bytes."""
        return bytes(self.skip(count))

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def varint(self) -> int:
        """The next varint; CorruptFile unless it is minimal and below 2**63."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift > 56:
                raise CorruptFile("a number in the header is too large")
        if byte == 0 and shift > 7:
            raise CorruptFile("a number in the header is not minimal")
        return value


def block_bytes(block: Block) -> int:
    """Payload bytes of a block."""
    if block.text is not None:
        return sum(map(len, block.text.streams))
    if block.single is not None:
        return len(block.single.frame) + len(block.single.stream)
    if block.image is None:
        return len(block.data)
    pieces = [block.image.metadata]
    for part in block.image.passes:
        pieces += [part.base, part.changes, part.stream]
    return sum(map(len, pieces))
