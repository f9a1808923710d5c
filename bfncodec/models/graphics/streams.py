"""Planes of exact values <-> a stream: LZMA of the planes, bytes of words apart."""

import lzma

import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import CorruptFile

Planes = NDArray[np.uint8 | np.uint16]
_FILTERS = [{"id": lzma.FILTER_LZMA1, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 26}]


def encode_planes(planes: Planes, depth: int) -> bytes:
    """The stream of planes uint8 or uint16 [N, H, W, C] of so many bits."""
    return lzma.compress(b"".join(_halves(planes)), lzma.FORMAT_RAW, filters=_FILTERS)


def decode_planes(stream: bytes, shape: tuple[int, ...], depth: int) -> Planes:
    """The planes [N, H, W, C], uint8 to 8 bits and uint16 above; CorruptFile if the stream is damaged."""
    count = int(np.prod(shape))
    size = count if depth <= 8 else 2 * count
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS)
    try:
        whole = decompressor.decompress(stream, size + 1)
    except (lzma.LZMAError, EOFError) as error:
        raise CorruptFile("the payload is damaged") from error
    if len(whole) != size or not decompressor.eof or decompressor.unused_data:
        raise CorruptFile("the payload is damaged: it does not end with the last pixel")
    halves = np.frombuffer(whole, np.uint8).reshape(-1, *shape)
    return halves[0] if depth <= 8 else halves[0] | halves[1].astype(np.uint16) << 8


def _halves(planes: Planes) -> list[bytes]:
    """Low and high bytes of words, bytes as they are."""
    if planes.dtype == np.uint8:
        return [planes.tobytes()]
    return [(planes & 255).astype(np.uint8).tobytes(), (planes >> 8).astype(np.uint8).tobytes()]
