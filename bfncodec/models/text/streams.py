"""Texts <-> the streams that they are coded in, one stack each."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding import protocol
from bfncodec.coding.ans import Coder
from bfncodec.coding.ledger import Ledger
from bfncodec.errors import CorruptFile
from bfncodec.exact import kernels, threads
from bfncodec.models import zoo
from bfncodec.models.text import bytewise, network
from bfncodec.models.text.blockwise import BlockNetwork, Blockwise, lanes_for
from bfncodec.models.text.bytewise import Bytewise
from bfncodec.models.text.memory import FULL, Kit
from bfncodec.models.text.network import Layers
from bfncodec.spans import Data

Bytes = NDArray[np.uint8]

BLOCK_STEPS = 2  # noisy steps of effort blocks
BLOCK_PART = 1 << 22  # bytes of a text in blocks that share a stream
SPLIT_FROM = 1 << 22  # bytes of a text in two lanes with a memory each: they cost 0.6 %
QUIET = 128  # bytes at the end of a lane that are tried without noisy steps first


def encode_bytewise(path: Path, data: bytes, lanes: int, ledger: Ledger | None = None, kit: Kit = FULL) -> list[bytes]:
    """The streams of a text that is coded byte by byte under the model at `path`, lane after lane."""
    values = np.frombuffer(data, np.uint8)

    def encode(lane: range) -> tuple[list[bytes], Ledger | None]:
        made, written = [], ledger.blank() if ledger is not None else None
        for section in _bytewise(path, values[lane.start : lane.stop], kit).sources():
            coder = Coder()
            protocol.encode(coder, section, written)
            made.append(coder.data())
        return made, written

    streams = []
    for made, written in threads.each(encode, cut(len(data), lanes)):
        streams += made
        if ledger is not None and written is not None:
            ledger.extend(written)
    return streams


def decode_bytewise(path: Path, size: int, lanes: int, streams: Iterable[Data], kit: Kit = FULL) -> bytes:
    """The inverse of `encode_bytewise`; CorruptFile if the streams are damaged."""
    data, given = np.empty(size, np.uint8), list(streams)
    jobs, first = [], 0
    for lane in cut(size, lanes):
        count = -(-len(lane) // bytewise.SECTION)
        jobs.append((lane, given[first : first + count]))
        first += count
    if len(given) != first:
        raise CorruptFile("a text's size, lanes and streams contradict each other")

    def decode(job: tuple[range, list[Data]]) -> None:
        lane, own = job
        for section, stream in zip(_bytewise(path, data[lane.start : lane.stop], kit).sinks(), own, strict=True):
            _decode(stream, section)

    threads.each(decode, jobs)
    return data.tobytes()


def lanes_of(size: int) -> int:
    """How many lanes with a memory each serve a text of `size` bytes."""
    return 1 if size < SPLIT_FROM else 2


def cut(size: int, lanes: int) -> list[range]:
    """The lanes of a text: as long as each other, but for the last ones."""
    length = -(-size // lanes)
    return [range(min(first * length, size), min((first + 1) * length, size)) for first in range(lanes)]


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


def bits_a_byte(path: Path, data: bytes, kit: Kit = FULL) -> float:
    """What a short text costs under the model at `path`."""
    values = np.frombuffer(data, np.uint8)
    text = _bytewise(path, values, kit)
    return bytewise.dry_run(text.layers, text.memory, values, kit) / len(data)


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


@zoo.per_file
def _layers(path: Path) -> Layers:
    return network.load(kernels.kernel("bytes"), zoo.tensors(path))


def _bytewise(path: Path, values: Bytes, kit: Kit = FULL) -> Bytewise:
    return Bytewise(_layers(path), zoo.tensors(path), values, kit)
