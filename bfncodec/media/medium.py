"""What every medium is made of, and the metadata that pictures carry: the parts of a file around its pixels."""

import struct
from typing import NamedTuple, Protocol

from bfncodec.errors import CorruptFile, LimitExceeded
from bfncodec.picture import Origin, Picture
from bfncodec.spans import Data

METADATA_LIMIT = 1 << 26  # of one picture; files with more are coded as bytes
HEAD = 1 << 16  # bytes at a file's start that tell what it is
_LENGTHS = struct.Struct("<II")

REST = b"rest"  # type of what a PNG has no chunk for

Chunk = tuple[bytes, bytes]  # type and content of a part of a PNG


class Head(NamedTuple):
    """What the first bytes of a file say of an image that may be modelled."""

    width: int
    height: int
    least: int  # bytes of a whole file
    most: int  # bytes of the pixels


class Medium(Protocol):
    """A module that knows one kind of file."""

    MAGIC: tuple[bytes, ...]  # how files begin
    ORIGINS: tuple[Origin, ...]  # of the pictures that it makes files of
    SUFFIXES: tuple[str, ...]  # of its files

    def head(self, start: bytes, data: Data) -> Head | None:
        """What the first HEAD bytes say, or few others; None if the file has to be coded as bytes."""

    def parse(self, data: bytes, head: Head, max_pixels: int | None) -> Picture | None:
        """The picture, or None if `build` could not make the file again. LimitExceeded by `check_size`."""

    def build(self, picture: Picture) -> bytes:
        """The file that a picture came from."""

    def chunks(self, metadata: bytes) -> list[Chunk]:
        """What metadata tell, as PNG chunks, or REST where a PNG has no chunk; CorruptFile if they are damaged."""


def check_size(head: Head, max_pixels: int | None) -> None:
    """LimitExceeded for an image of more pixels than allowed."""
    pixels = head.width * head.height
    if max_pixels is not None and pixels > max_pixels:
        raise LimitExceeded(f"the image has {pixels} pixels; the limit is {max_pixels} (--max-pixels)")


def joined(before: bytes, after: bytes) -> bytes:
    """Metadata: what stands before the pixels, and what after them."""
    return _LENGTHS.pack(len(before), len(after)) + before + after if before or after else b""


def halves(metadata: bytes) -> tuple[bytes, bytes]:
    """The inverse of `joined`; CorruptFile if they are damaged."""
    if not metadata:
        return b"", b""
    if len(metadata) < _LENGTHS.size or len(metadata) != _LENGTHS.size + sum(_LENGTHS.unpack_from(metadata)):
        raise CorruptFile("the image's metadata is damaged")
    first = _LENGTHS.unpack_from(metadata)[0]
    return metadata[_LENGTHS.size :][:first], metadata[_LENGTHS.size + first :]
