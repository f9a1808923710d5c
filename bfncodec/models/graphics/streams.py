"""Planes <-> the stream that they are coded in."""

from typing import Any

from numpy.typing import NDArray

from bfncodec.coding import protocol
from bfncodec.coding.ans import Coder
from bfncodec.coding.ledger import Ledger
from bfncodec.errors import CorruptFile
from bfncodec.models.graphics.pixels import PixelSink, PixelSource, Shape
from bfncodec.spans import Data


def encode_planes(planes: NDArray[Any], depth: int, ledger: Ledger | None = None) -> bytes:
    """The stream of planes uint8 or uint16 [N, H, W, C] whose samples have `depth` bits."""
    coder = Coder()
    protocol.encode(coder, PixelSource(planes, depth), ledger)
    return coder.data()


def decode_planes(stream: Data, shape: Shape, depth: int) -> NDArray[Any]:
    """The inverse of `encode_planes`; CorruptFile if the stream is damaged."""
    coder, sink = Coder(bytes(stream)), PixelSink(shape, depth)
    protocol.decode(coder, sink)
    if not coder.empty:
        raise CorruptFile("the payload is damaged: something is left after the last pixel")
    return sink.images()
