"""Stored and LZMA blocks <-> bytes, piece by piece."""

from __future__ import annotations

import hashlib
import io
import lzma
from collections.abc import Iterable, Iterator
from typing import IO

from bfncodec.container import DIGEST_BYTES, Block, Mode
from bfncodec.errors import CorruptFile
from bfncodec.spans import PIECE, Data, Span, pieces

_FILTERS: list[dict[str, int]] = [{"id": lzma.FILTER_LZMA1, "preset": 9 | lzma.PRESET_EXTREME}]
_SMALL = 1 << 20


def pack(data: bytes) -> bytes:
    """LZMA without a container of its own."""
    # The coder makes room for its whole dictionary, which takes longer than coding a few kilobytes.
    small = {"dict_size": _SMALL} if len(data) <= _SMALL else {}
    return lzma.compress(data, lzma.FORMAT_RAW, filters=[_FILTERS[0] | small])


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


def encode(data: bytes) -> Block:
    """One item as LZMA, or stored if that is no larger."""
    packed = pack(data)
    mode = Mode.LZMA if len(packed) < len(data) else Mode.STORED
    digest = hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()
    return Block(mode, 1, len(data), digest, packed if mode is Mode.LZMA else data)


def stored(item: Span) -> Block:
    """One item as it is, which stays where it is."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for piece in pieces(item):
        digest.update(piece)
    return Block(Mode.STORED, 1, len(item), digest.digest(), item)


def encode_into(spool: IO[bytes], parts: Iterable[Span]) -> tuple[Block, list[int]]:
    """Parts that follow each other in a file as one LZMA block at the end of `spool`, and the bytes that each took.

    Of a part's bytes some thousand are counted with the next one. Memory: 0.7 GB, whatever the size.
    """
    compressor = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=_FILTERS)
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
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
    packed = Span(spool, start, spool.tell() - start)
    return Block(Mode.LZMA, 1, size, digest.digest(), packed), shares


def decode(block: Block) -> Iterator[bytes]:
    """The content of a stored or LZMA block; CorruptFile after the last piece, or before, unless all is right."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    size = 0
    for piece in pieces(block.data) if block.mode is Mode.STORED else unpack(block.data, block.size):
        digest.update(piece)
        size += len(piece)
        yield piece
    if size != block.size or digest.digest() != block.digest:
        raise CorruptFile("the decoded content does not match its checksum")
