"""Texts <-> the streams that they are coded in, one stack each."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding import protocol
from bfncodec.coding.ans import Coder
from bfncodec.coding.ledger import Ledger
from bfncodec.errors import CorruptFile
from bfncodec.exact import kernels
from bfncodec.models import zoo
from bfncodec.models.text.blockwise import BlockNetwork, Blockwise, lanes_for
from bfncodec.models.text.bytewise import Bytewise, dry_run
from bfncodec.spans import Data

Bytes = NDArray[np.uint8]

BLOCK_STEPS = 2  # noisy steps of effort blocks
BLOCK_PART = 1 << 22  # bytes of a text in blocks that share a stream
QUIET = 128  # bytes at the end of a lane that are tried without noisy steps first


def encode_bytewise(path: Path, data: bytes, lanes: int, ledger: Ledger | None = None) -> list[bytes]:
    """The streams of a text that is coded byte by byte under the model at `path`."""
    streams = []
    for section in _bytewise(path, np.frombuffer(data, np.uint8), lanes).sources():
        coder = Coder()
        protocol.encode(coder, section, ledger)
        streams.append(coder.data())
    return streams


def decode_bytewise(path: Path, size: int, lanes: int, streams: Iterable[Data]) -> bytes:
    """The inverse of `encode_bytewise`; CorruptFile if the streams are damaged."""
    text = _bytewise(path, np.zeros(size, np.uint8), lanes)
    left = iter(streams)
    for section in text.sinks():
        stream = next(left, None)
        if stream is None:
            raise CorruptFile("the payload is damaged: a stream is missing")
        _decode(stream, section)
    if next(left, None) is not None:
        raise CorruptFile("the payload is damaged: a stream is left")
    return text.data.tobytes()


def encode_blocks(path: Path, kernel: str, data: bytes, ledger: Ledger | None = None) -> tuple[list[bytes], int, int]:
    """The streams of a text that is coded in blocks with noisy steps, how many lanes, and how many quiet bytes.

    Where a stack cannot feed the noise, more bytes are sent without.
    """
    network, values = _block_network(path, kernel), np.frombuffer(data, np.uint8)
    parts = block_parts(len(values))
    lanes = lanes_for(parts[0].stop)
    quiet = QUIET
    while True:
        streams = []
        written = ledger.blank() if ledger is not None else None
        silent: set[int] = set()
        for part in parts:
            coder = Coder()
            text = Blockwise(network, len(part), lanes, BLOCK_STEPS, quiet, values[part.start : part.stop])
            silent |= protocol.encode(coder, text, written)
            streams.append(coder.data())
        if not silent:
            break
        quiet *= 2
    if ledger is not None and written is not None:
        ledger.extend(written)
    return streams, lanes, quiet


def decode_blocks(path: Path, kernel: str, size: int, lanes: int, steps: int, quiet: int, streams: list[Data]) -> bytes:
    """The inverse of `encode_blocks`; CorruptFile if the streams are damaged."""
    network, parts = _block_network(path, kernel), block_parts(size)
    if len(parts) != len(streams) or lanes > size:
        raise CorruptFile("a text's size, lanes and streams contradict each other")
    data = []
    for part, stream in zip(parts, streams, strict=True):
        text = Blockwise(network, len(part), lanes, steps, quiet)
        _decode(stream, text)
        data.append(text.data.tobytes())
    return b"".join(data)


def bits_a_byte(path: Path, data: bytes) -> float:
    """What a short text costs under the model at `path`."""
    values = np.frombuffer(data, np.uint8)
    text = _bytewise(path, values, 1)
    return dry_run(text.layers, text.memory, values) / len(data)


def block_parts(size: int) -> list[range]:
    """The parts of a text in blocks that have a stream each: all but the last of BLOCK_PART bytes."""
    return [range(start, min(start + BLOCK_PART, size)) for start in range(0, size, BLOCK_PART)]


def _decode(stream: Data, sink: protocol.Sink) -> None:
    coder = Coder(bytes(stream))
    protocol.decode(coder, sink)
    if not coder.empty:
        raise CorruptFile("the payload is damaged: something is left after the last byte")


@zoo.per_file
def _block_network(path: Path, kernel: str) -> BlockNetwork:
    return BlockNetwork(kernels.kernel(kernel), zoo.tensors(path))


def _bytewise(path: Path, values: Bytes, lanes: int) -> Bytewise:
    return Bytewise(kernels.kernel("bytes"), zoo.tensors(path), values, lanes)
