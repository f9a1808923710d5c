"""Bytes that lie in memory or in a file, and are read where they are used."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from bfncodec.errors import TruncatedFile

PIECE = 1 << 20  # bytes that `pieces` holds at once


@dataclass(frozen=True)
class Span:
    """Bytes of an open file that can seek: len() tells how many, bytes() reads all of them."""

    file: IO[bytes]
    start: int
    length: int

    def __len__(self) -> int:
        return self.length

    def __bytes__(self) -> bytes:
        return b"".join(pieces(self))


Data = bytes | Span


def whole(file: IO[bytes]) -> Span:
    """All bytes of an open file that can seek."""
    file.seek(0, io.SEEK_END)
    return Span(file, 0, file.tell())


def cut(data: Data, start: int, count: int) -> Data:
    """Some of the bytes; they must be there."""
    if isinstance(data, bytes):
        return data[start : start + count]
    return Span(data.file, data.start + start, count)


def pieces(data: Data) -> Iterator[bytes]:
    """The bytes in order, PIECE at a time; TruncatedFile if the file has become shorter, ValueError if it is closed."""
    for start in range(0, len(data), PIECE):
        count = min(PIECE, len(data) - start)
        if isinstance(data, bytes):
            yield data[start : start + count]
            continue
        if getattr(data.file, "closed", False):  # files differ in what they say of it
            raise ValueError("I/O operation on closed file: it must be open as long as anything is read from it")
        data.file.seek(data.start + start)
        piece = data.file.read(count)
        if len(piece) != count:
            raise TruncatedFile("the file ends too early")
        yield piece
