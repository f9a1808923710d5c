"""Stored and LZMA blocks <-> bytes, piece by piece."""

import io
import lzma
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Self

from bfncodec.container import Block, Content, Form, Limits, Reader, hasher, varint
from bfncodec.errors import CorruptFile
from bfncodec.spans import PIECE, Data, Span, pieces

_FILTERS: list[dict[str, int]] = [{"id": lzma.FILTER_LZMA1, "preset": 9 | lzma.PRESET_EXTREME}]
# For what is packed already: repeats are found, and little time is lost on the rest. A decoder sees no difference.
_QUICK = {"mode": lzma.MODE_FAST, "mf": lzma.MF_HC4, "depth": 4}
_SMALL = 1 << 20


@dataclass
class Plain(Form):
    """A block without a model: one item, or a part of it."""

    data: Data
    partial, model = True, None

    def write(self, header: bytearray) -> list[Data]:
        header += varint(len(self.data))
        return [self.data]

    @classmethod
    def read(cls, header: Reader, payload: Reader, items: int, size: int, limits: Limits) -> Self:
        return cls(payload.skip(header.varint()))

    def describe(self, block: Block) -> dict[str, Any]:
        return {"lossless": "bytes"}

    def decode(self, block: Block, device: str) -> Iterator[Content]:
        yield self._checked(block)

    def _checked(self, block: Block) -> Iterator[bytes]:
        digest, size = hasher(), 0
        for piece in self.content(block.size):
            digest.update(piece)
            size += len(piece)
            yield piece
        if size != block.size or digest.digest() != block.digest:
            raise CorruptFile("the decoded content does not match its checksum")

    @abstractmethod
    def content(self, size: int) -> Iterator[bytes]:
        """What was encoded, in pieces; CorruptFile if it is damaged or more than `size` bytes."""


class Stored(Plain):
    """The bytes as they are."""

    mode, name = 0, "stored"

    @classmethod
    def read(cls, header: Reader, payload: Reader, items: int, size: int, limits: Limits) -> Self:
        form = super().read(header, payload, items, size, limits)
        if len(form.data) != size:
            raise CorruptFile("a stored block has the wrong length")
        return form

    def content(self, size: int) -> Iterator[bytes]:
        return pieces(self.data)


class Lzma(Plain):
    """LZMA without a container of its own."""

    mode, name = 1, "lzma"

    def content(self, size: int) -> Iterator[bytes]:
        return unpack(self.data, size)


def pack(data: bytes, quick: bool = False) -> bytes:
    """LZMA without a container of its own; quick: for data of which not much more than repeats can be saved."""
    # The coder makes room for its whole dictionary, which takes longer than coding a few kilobytes.
    small = {"dict_size": _SMALL} if len(data) <= _SMALL else {}
    return lzma.compress(data, lzma.FORMAT_RAW, filters=[_FILTERS[0] | small | (_QUICK if quick else {})])


def unpack(data: Data, limit: int) -> Iterator[bytes]:
    """The inverse of `pack`, in pieces; CorruptFile if it is damaged or gives more than `limit` bytes."""
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS)
    left = limit
    for given in pieces(data):
        while given or not (decompressor.needs_input or decompressor.eof):
            try:
                out = decompressor.decompress(given, min(PIECE, left + 1))
            except (lzma.LZMAError, EOFError, MemoryError) as error:
                raise CorruptFile("the LZMA data is damaged") from error
            given, left = b"", left - len(out)
            if left < 0 or decompressor.unused_data:
                raise CorruptFile("the LZMA data does not end where it should")
            yield out
    if not decompressor.eof:
        raise CorruptFile("the LZMA data does not end where it should")


def encode(data: bytes, quick: bool = False) -> Block:
    """One item as LZMA, or stored if that is no larger; quick: see `pack`."""
    packed = pack(data, quick)
    form = Lzma(packed) if len(packed) < len(data) else Stored(data)
    return Block(1, len(data), hasher(data).digest(), form)


def stored(item: Data) -> Block:
    """One item as it is, which stays where it is."""
    digest = hasher()
    for piece in pieces(item):
        digest.update(piece)
    return Block(1, len(item), digest.digest(), Stored(item))


def encode_into(spool: IO[bytes], parts: list[Span], quick: bool = False) -> tuple[Block, list[int]]:
    """Parts that follow each other in a file as one block, and the bytes that LZMA has for each.

    The block is LZMA at the end of `spool`, or stored if that is no larger, and stays where it is. Of a part's bytes
    some thousand are counted with the next one. Memory: 0.7 GB, whatever the size. quick: see `pack`.
    """
    compressor = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=[_FILTERS[0] | (_QUICK if quick else {})])
    digest = hasher()
    start = spool.seek(0, io.SEEK_END)
    size, shares = 0, []
    for part in parts:
        before = spool.tell()
        for piece in pieces(part):
            digest.update(piece)
            spool.write(compressor.compress(piece))
        size += len(part)
        shares.append(spool.tell() - before)
    shares[-1] += spool.write(compressor.flush())
    form: Plain = Lzma(Span(spool, start, spool.tell() - start))
    if len(form.data) >= size:
        spool.truncate(start)
        form = Stored(Span(parts[0].file, parts[0].start, size))
    return Block(1, size, digest.digest(), form), shares
