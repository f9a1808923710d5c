"""Blocks of texts <-> their content."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bfncodec import container
from bfncodec.coding import protocol
from bfncodec.coding.ans import Coder
from bfncodec.coding.ledger import Ledger
from bfncodec.container import Block, Mode, TextSchedule
from bfncodec.errors import CorruptFile
from bfncodec.exact import kernels
from bfncodec.models import zoo

if TYPE_CHECKING:  # compiled code is imported only where a text is coded
    from bfncodec.models.text import blockwise, bytewise
from bfncodec.blocks.image import Pixels

TEXT_LIMIT = container.TEXT_LIMIT
BLOCK_STEPS = 2  # noisy steps of effort blocks
BLOCK_PART = 1 << 22  # bytes of a text in blocks that share a stream
QUIET = 128  # bytes at the end of a lane that are tried without noisy steps first


def encode_text(
    data: bytes,
    model: Path | None = None,
    ledger: Ledger | None = None,
    *,
    kernel: str = "float32",
    effort: str = "default",
) -> Block:
    """One item under the text model."""
    path = model or zoo.find("text")
    values = np.frombuffer(data, np.uint8)
    if effort == "blocks":
        coded = _encode_blocks(values, kernel, path, ledger)
    else:
        coded = container.Text(zoo.digest(path), lanes=1)
        for section in _bytewise(path, len(data), coded.lanes, values).sections():
            coder = Coder()
            protocol.encode(coder, section, ledger)
            coded.streams.append(coder.data())
    return Block(Mode.TEXT, 1, len(data), container.digest(data), text=coded)


def _encode_blocks(values: Pixels, kernel: str, path: Path, ledger: Ledger | None) -> container.Text:
    """Blocks with noisy steps; where the stack cannot feed them, more bytes are sent without."""
    from bfncodec.models.text import blockwise

    network = _block_network(path, kernel)
    parts = _block_parts(len(values))
    lanes = blockwise.lanes_for(parts[0].stop)
    quiet = QUIET
    while True:
        coded = container.Text(zoo.digest(path), lanes, TextSchedule.BLOCKWISE, BLOCK_STEPS, quiet)
        written = ledger.blank() if ledger is not None else None
        silent: set[int] = set()
        for part in parts:
            coder = Coder()
            text = blockwise.Blockwise(network, len(part), lanes, coded.steps, quiet, values[part.start : part.stop])
            silent |= protocol.encode(coder, text, written)
            coded.streams.append(coder.data())
        if not silent:
            break
        quiet *= 2
    if ledger is not None and written is not None:
        ledger.extend(written)
    return coded


def _block_parts(size: int) -> list[range]:
    """The parts of a text that have a stream each: all but the last of BLOCK_PART bytes."""
    return [range(start, min(start + BLOCK_PART, size)) for start in range(0, size, BLOCK_PART)]


def decode_text(block: Block, kernel: str = "float32") -> bytes:
    """The content of a text block; CorruptFile unless everything matches."""
    coded = block.text
    assert coded is not None
    if coded.schedule is TextSchedule.BLOCKWISE:
        data = _decode_blocks(coded, block.size, kernel)
    else:
        data = _decode_bytewise(coded, block.size)
    if container.digest(data) != block.digest:
        raise CorruptFile("the decoded content does not match its checksum")
    return data


def _decode_blocks(coded: container.Text, size: int, kernel: str) -> bytes:
    from bfncodec.models.text import blockwise

    network = _block_network(zoo.find_hash(coded.model), kernel)
    parts = _block_parts(size)
    if len(parts) != len(coded.streams) or coded.lanes > size:
        raise CorruptFile("a text's size, lanes and streams contradict each other")
    data = []
    for part, stream in zip(parts, coded.streams, strict=True):
        text = blockwise.Blockwise(network, len(part), coded.lanes, coded.steps, coded.quiet)
        coder = Coder(bytes(stream))
        protocol.decode(coder, text)
        if not coder.empty:
            raise CorruptFile("the payload is damaged: something is left after the last byte")
        data.append(text.data.tobytes())
    return b"".join(data)


def _decode_bytewise(coded: container.Text, size: int) -> bytes:
    text = _bytewise(zoo.find_hash(coded.model), size, coded.lanes)
    streams = iter(coded.streams)
    for section in text.sections():
        stream = next(streams, None)
        if stream is None:
            raise CorruptFile("the payload is damaged: a stream is missing")
        coder = Coder(bytes(stream))
        protocol.decode(coder, section)
        if not coder.empty:
            raise CorruptFile("the payload is damaged: something is left after the last byte")
    if next(streams, None) is not None:
        raise CorruptFile("the payload is damaged: a stream is left")
    return text.data.tobytes()


def text_bytes(block: Block) -> int:
    """Bytes that a text block takes beside what every block has."""
    assert block.text is not None
    return len(block.text.model) + 4 + sum(len(stream) + 4 for stream in block.text.streams)


def text_bits(data: bytes, model: Path | None = None) -> float:
    """Bits a byte of a short text under the text model."""
    from bfncodec.models.text import bytewise

    values = np.frombuffer(data, np.uint8)
    text = _bytewise(model or zoo.find("text"), len(data), 1, values)
    return bytewise.dry_run(text.layers, text.memory, values) / len(data)


@cache
def _block_network(path: Path, kernel: str) -> blockwise.BlockNetwork:
    from bfncodec.models.text import blockwise

    return blockwise.BlockNetwork(kernels.kernel(kernel), zoo.tensors(path))


def _bytewise(path: Path, size: int, lanes: int, values: Pixels | None = None) -> bytewise.Bytewise:
    from bfncodec.models.text import bytewise

    return bytewise.Bytewise(kernels.kernel("float32"), zoo.tensors(path), size, lanes, values)
