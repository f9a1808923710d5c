"""Planes <-> the stream that they are coded in."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding import protocol
from bfncodec.coding.ans import Coder
from bfncodec.coding.ledger import Ledger
from bfncodec.coding.outcomes import OutcomeSink, OutcomeSource
from bfncodec.errors import CorruptFile
from bfncodec.models.graphics import levels
from bfncodec.models.graphics.bits import Bilevel
from bfncodec.models.graphics.levels import Maps
from bfncodec.models.graphics.pixels import Pixels, Shape
from bfncodec.spans import Data

Planes = NDArray[Any]


def encode_planes(planes: Planes, depth: int, ledger: Ledger | None = None) -> bytes:
    """The stream of planes uint8 or uint16 [N, H, W, C] whose samples have `depth` bits.

    Its first byte tells which channels are mapped to the levels that they use, and the bits of what is coded then.
    """
    maps = levels.chosen(planes, depth)
    width = levels.width(maps, depth)
    mapped = [one for one in maps if one is not None]
    pixels = _pixels(planes.shape, width, levels.packed(planes, maps))
    coder = Coder()
    protocol.encode(coder, OutcomeSource([*([Maps(len(mapped), depth, mapped)] if mapped else []), pixels]), ledger)
    flags = sum((one is not None) << channel for channel, one in enumerate(maps))
    return bytes([width - 1 << 4 | flags]) + coder.data()


def decode_planes(stream: Data, shape: Shape, depth: int) -> Planes:
    """The inverse of `encode_planes`; CorruptFile if the stream is damaged."""
    data = bytes(stream)
    if not data:
        raise CorruptFile("the payload is damaged: there is no image in it")
    mapped, width = [bool(data[0] >> channel & 1) for channel in range(4)], (data[0] >> 4) + 1
    if any(mapped[shape[3] :]) or width > depth:
        raise CorruptFile("the payload is damaged: its levels contradict the image")
    found, pixels = Maps(sum(mapped), depth), _pixels(shape, width)
    coder = Coder(data[1:])
    protocol.decode(coder, OutcomeSink([*([found] if any(mapped) else []), pixels]))
    rest = iter(found.maps())
    maps = [next(rest) if one else None for one in mapped[: shape[3]]]
    if not coder.empty or not all(map(len, found.maps())) or levels.width(maps, depth) != width:
        raise CorruptFile("the payload is damaged: it does not end with the last pixel")
    planes = pixels.values().reshape(shape)
    return levels.unpacked(planes.astype(np.uint8 if depth <= 8 else np.uint16), maps)


def _pixels(shape: Shape, width: int, places: Planes | None = None) -> Pixels | Bilevel:
    """Images of samples of `width` bits; those of two colours below each other. places: what an encoder knows."""
    count, height, columns, channels = shape
    if width == 1 and channels == 1:
        return Bilevel(count * height, columns, None if places is None else places.reshape(-1, columns))
    return Pixels(shape, width, places)
