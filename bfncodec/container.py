"""The .bfn file: magic, version, header with its own CRC, then payload. See docs/format.md.

What a block's header holds beside its size and digest is its mode's business: a `Form`, see `blocks`.
"""

from __future__ import annotations

import hashlib
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, ClassVar, NamedTuple, Self

from bfncodec.errors import BadMagic, CorruptFile, LimitExceeded, TruncatedFile, UnsupportedFeature
from bfncodec.picture import Picture
from bfncodec.spans import Data, cut, pieces

MAGIC = b"\x89BFN\r\n\x1a\n"
_MAGIC_BYTES = 16  # that tell the magic and its forms of damage
VERSION = 2
DIGEST_BYTES = 8
MODEL_BYTES = 4  # that name a model
HEADER_LIMIT = 1 << 26  # bytes of the header, and of an archive's names
ITEM_LIMIT = 1 << 20
PART_LIMIT = 1 << 16
ARCHIVE = 1  # flag: several items, with names
PARTS = 2  # flag: one item in several blocks

Content = Iterator[bytes] | Picture  # an item: its bytes piece by piece, or a picture


class Limits(NamedTuple):
    """What a reader is ready for; None: anything."""

    output: int | None = None  # bytes in all
    pixels: int | None = None  # of an image


class Form(ABC):
    """What blocks of one mode have in header and payload, and how they are decoded."""

    mode: ClassVar[int]  # its number in files
    name: ClassVar[str]
    many: ClassVar[bool] = False  # a block may hold several items
    partial: ClassVar[bool] = False  # a block may be a part of an item
    pictorial: ClassVar[bool] = False  # the items are pictures
    model: bytes | None  # the first bytes of its SHA-256; None if there is none

    @abstractmethod
    def write(self, header: bytearray) -> list[Data]:
        """Append what the header says; returns the payload, in order."""

    @classmethod
    @abstractmethod
    def read(cls, header: Reader, payload: Reader, items: int, size: int, limits: Limits) -> Self:
        """The inverse of `write`, for so many items and bytes; CorruptFile, UnsupportedFeature, LimitExceeded."""

    @abstractmethod
    def decode(self, block: Block, device: str) -> Iterator[Content]:
        """The items: pictures, checked; bytes, which end with CorruptFile unless all is right."""

    @abstractmethod
    def describe(self, block: Block) -> dict[str, Any]:
        """What `info` says of a block: `lossless`, what comes back the same, and more."""

    @property
    def tied(self) -> bool:
        """Whether decoding needs the machine that encoded."""
        return False

    @property
    def coded_bytes(self) -> int:
        """Bytes of the coded streams: the payload without side information."""
        return sum(map(len, self.write(bytearray())))


@dataclass
class Block:
    """Some items that are coded together."""

    items: int
    size: int  # bytes of the decoded content
    digest: bytes
    form: Form

    @property
    def payload_bytes(self) -> int:
        return sum(map(len, self.form.write(bytearray())))

    @property
    def file_bytes(self) -> int:
        """Bytes that the block takes in a file, its part of the header included."""
        header = bytearray()
        payload = _write_block(self, header, archive=True)
        return len(header) + sum(map(len, payload))


@dataclass
class File:
    """A whole file; several blocks without names are parts of one item, in order."""

    blocks: list[Block]
    names: list[str] | None = None  # None: a single item without a name

    @property
    def items(self) -> int:
        return 1 if self.names is None else len(self.names)


def hasher(content: bytes = b"") -> hashlib.blake2b:
    """What makes the digest of decoded content: BLAKE2b, DIGEST_BYTES bytes."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES)


def checked(content: bytes, block: Block) -> bytes:
    """A block's decoded content; CorruptFile unless it is what was encoded."""
    if hasher(content).digest() != block.digest:
        raise CorruptFile("the decoded content does not match its checksum")
    return content


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
        payload += _write_block(block, header, archive=file.names is not None)
    start = MAGIC + bytes([VERSION, flags]) + varint(len(header)) + header
    return start + zlib.crc32(start).to_bytes(4, "little"), payload


def _write_block(block: Block, header: bytearray, *, archive: bool) -> list[Data]:
    header.append(block.form.mode)
    if archive:
        header += varint(block.items)
    header += varint(block.size) + block.digest
    return block.form.write(header)


def is_bfn(data: bytes) -> bool:
    """True if the data begins with the magic."""
    return data.startswith(MAGIC)


def _check_magic(data: bytes) -> None:
    if is_bfn(data):
        return
    if MAGIC.startswith(data):
        raise TruncatedFile("the file ends within its first bytes")
    damaged = (
        b"\x89BFN\n\x1a\n",
        b"\x89BFN\n\n\x1a\n",
        b"\x89BFN\r\n\x1a\r\n",
        b"\x89BFN\r\r\n\x1a\r\n",
        b"\x09BFN",
        b"\xef\xbf\xbdBFN",
        b"\xc2\x89BFN",
    )
    if len(data) >= len(MAGIC) and data.startswith(damaged):
        raise BadMagic("this .bfn file was damaged by a transfer in text mode; transfer it again in binary mode")
    raise BadMagic("this is not a .bfn file")


def read(data: Data, modes: Mapping[int, type[Form]], limits: Limits) -> File:
    """Parse and check everything but the payload's content, which stays where it is.

    modes: forms by number. Raises BadMagic, TruncatedFile, CorruptFile, UnsupportedFeature, and LimitExceeded
    where the header claims more than the limits allow.
    """
    reader = Reader(data)
    header, flags = _header(reader)
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
        block = _read_block(header, reader, modes, archive, limits)
        if flags == PARTS and not (block.form.partial and block.size):
            raise CorruptFile("a part of an item is of a mode that has no parts, or empty")
        blocks.append(block)
        total += block.size
        items += block.items
        if items > ITEM_LIMIT:
            raise LimitExceeded(f"the archive claims {items} items or more; the limit is {ITEM_LIMIT}")
        if limits.output is not None and total > limits.output:
            raise LimitExceeded(f"the file claims {total} bytes of output; the limit is {limits.output} (--max-output)")
    if header.position != len(header.data):
        raise CorruptFile("the header holds more than its fields")
    if reader.position != len(data):
        raise CorruptFile(f"{len(data) - reader.position} bytes follow the end of the file")
    return File(blocks, _names(packed, items) if archive else None)


def _header(reader: Reader) -> tuple[Reader, int]:
    """The header, its checksum right, and the flags."""
    _check_magic(reader.take(min(_MAGIC_BYTES, len(reader.data))))
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
    checked = Reader(reader.data).take(reader.position)
    if reader.take(4) != zlib.crc32(checked).to_bytes(4, "little"):
        raise CorruptFile("the header's checksum is wrong")
    return header, flags


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


def _read_block(
    header: Reader, payload: Reader, modes: Mapping[int, type[Form]], archive: bool, limits: Limits
) -> Block:
    form = modes.get(number := header.byte())
    if form is None:
        raise UnsupportedFeature(f"coding mode {number} is not supported by this version")
    items = header.varint() if archive else 1
    size, digest = header.varint(), header.take(DIGEST_BYTES)
    if items != 1 and not form.many:
        raise CorruptFile("a block that is no image holds more than one item")
    return Block(items, size, digest, form.read(header, payload, items, size, limits))


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
        return bytes(self.skip(count))

    def byte(self) -> int:
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
