"""Files of NumPy's arrays whose numbers are pixels <-> pictures, to the last byte."""

import re

import numpy as np

from bfncodec.errors import CorruptFile
from bfncodec.media.medium import REST, Chunk, Head, check_size, halves, joined
from bfncodec.picture import Origin, Picture, of_values
from bfncodec.spans import Data

MAGIC: tuple[bytes, ...] = (b"\x93NUMPY\1\0", b"\x93NUMPY\2\0", b"\x93NUMPY\3\0")
ORIGINS: tuple[Origin, ...] = (Origin.NPY,)
SUFFIXES: tuple[str, ...] = (".npy",)
# As NumPy writes it: rows in order, and channels last if there are any.
_HEADER = re.compile(
    rb"\x93NUMPY(?:\x01\0..|[\x02\x03]\0....)\{'descr': '(\|u1|[<>][ui]2)', 'fortran_order': False, "
    rb"'shape': \((\d{1,10}), (\d{1,10})(?:, ([1-4]))?\), \} *\n",
    re.DOTALL,
)


def head(start: bytes, data: Data) -> Head | None:
    match = _HEADER.match(start)
    if match is None or match.end() != _pixels_at(start):
        return None
    height, width = int(match[2]), int(match[3])
    size = height * width * int(match[4] or 1) * np.dtype(match[1].decode()).itemsize
    return Head(width, height, match.end() + size, size) if size else None


def parse(data: bytes, head: Head, max_pixels: int | None) -> Picture | None:
    check_size(head, max_pixels)
    start, stop = head.least - head.most, head.least
    before = data[:start]
    values = np.frombuffer(data[start:stop], _dtype(before)).reshape(head.height, head.width, -1)
    return of_values(Origin.NPY, values, joined(before, data[stop:]))


def build(picture: Picture) -> bytes:
    before, after = halves(picture.metadata)
    return before + picture.values().astype(_dtype(before), copy=False).tobytes() + after


def chunks(metadata: bytes) -> list[Chunk]:
    """What follows the pixels."""
    _, after = halves(metadata)
    return [(REST, after)] if after else []


def _pixels_at(start: bytes) -> int:
    """Where the header says that it ends."""
    length = 2 if start[6] == 1 else 4
    return 8 + length + int.from_bytes(start[8 : 8 + length], "little")


def _dtype(before: bytes) -> np.dtype[np.uint8 | np.uint16 | np.int16]:
    match = _HEADER.match(before)
    if match is None:
        raise CorruptFile("the array's header is damaged")
    return np.dtype(match[1].decode())
