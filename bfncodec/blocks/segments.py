"""Coefficients of an image in a block: rows of units, and a stream of each."""

from collections.abc import Sequence

from bfncodec.container import Reader, varint
from bfncodec.errors import CorruptFile
from bfncodec.spans import Data

LIMIT = 256  # of an image
_FEWEST_BITS = 40  # that 64 coefficients can cost, 2**-16


def pack(rows: Sequence[int], streams: Sequence[Data]) -> bytes:
    """What the header says of them."""
    pairs = (varint(count) + varint(len(stream)) for count, stream in zip(rows, streams, strict=True))
    return varint(len(streams)) + b"".join(pairs)


def read(header: Reader, payload: Reader) -> tuple[list[int], list[Data]]:
    """Rows and streams, whose bytes are next in the payload; CorruptFile."""
    count = header.varint()
    if not 0 < count <= LIMIT:
        raise CorruptFile("an image's number of segments is damaged")
    pairs = [(header.varint(), payload.skip(header.varint())) for _ in range(count)]
    return [rows for rows, _ in pairs], [stream for _, stream in pairs]


def hold(blocks: int, streams: Sequence[Data]) -> bool:
    """True if streams can hold so many times 64 coefficients: a small file cannot ask for hours of decoding."""
    return blocks * _FEWEST_BITS <= (8 * sum(map(len, streams)) + 64 * len(streams)) << 16
