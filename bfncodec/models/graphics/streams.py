"""Planes <-> the stream that they are coded in."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding import protocol
from bfncodec.coding.ans import Coder
from bfncodec.coding.ledger import Ledger
from bfncodec.errors import CorruptFile
from bfncodec.models.graphics import levels
from bfncodec.models.graphics.pixels import PixelSink, PixelSource, Shape
from bfncodec.spans import Data


def encode_planes(planes: NDArray[Any], depth: int, ledger: Ledger | None = None) -> bytes:
    """The stream of planes uint8 or uint16 [N, H, W, C] whose samples have `depth` bits."""
    coder, maps = Coder(), levels.chosen(planes)
    protocol.encode(coder, PixelSource(levels.packed(planes, maps), levels.width(maps, depth)), ledger)
    levels.push(coder, maps, depth)
    return bytes([sum((one is not None) << channel for channel, one in enumerate(maps))]) + coder.data()


def decode_planes(stream: Data, shape: Shape, depth: int) -> NDArray[Any]:
    """The inverse of `encode_planes`; CorruptFile if the stream is damaged."""
    data = bytes(stream)
    if not data or data[0] >> shape[3]:
        raise CorruptFile("the payload is damaged: it has maps of channels that are not there")
    coder = Coder(data[1:])
    maps = levels.pop(coder, [bool(data[0] >> channel & 1) for channel in range(shape[3])], depth)
    sink = PixelSink(shape, levels.width(maps, depth))
    protocol.decode(coder, sink)
    if not coder.empty:
        raise CorruptFile("the payload is damaged: something is left after the last pixel")
    return levels.unpacked(sink.images().astype(np.uint8 if depth <= 8 else np.uint16), maps)
