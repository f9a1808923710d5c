"""Blocks of the `single` schedule <-> their content: the paper's own models, byte for byte.

The content is cut into items of as many symbols as the model has variables, each symbol a byte of the model's alphabet.
What stands before (the header of a .npy array) and what is left over goes into a frame of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.blocks import plain
from bfncodec.container import MODEL_BYTES, Block, Content, Form, Limits, Reader, checked, hasher, varint
from bfncodec.errors import CorruptFile, LimitExceeded, UnsupportedFeature
from bfncodec.models import zoo
from bfncodec.models.paper.spec import SEED_LIMIT, STEP_LIMIT, Spec
from bfncodec.presets import Choices
from bfncodec.spans import Data

if TYPE_CHECKING:  # the models are imported where they are used: compiled code takes its time
    from bfncodec.coding.ledger import Ledger

WORK_LIMIT = 1 << 36  # bytes times steps
SIZE_LIMIT = 1 << 30
FRAME_LIMIT = 1 << 26
_NUMPY = b"\x93NUMPY"


class Sender(IntEnum):
    """How the noisy views of a block are made."""

    GAUSSIAN = 0
    DITHER = 1
    CATEGORICAL = 2


@dataclass
class Single(Form):
    """Items of a fixed number of symbols under a model of the paper's kind."""

    model: bytes
    inexact: bool  # the model computes in floating point: decoding needs the machine that encoded
    sender: Sender
    steps: int  # noisy steps
    batch: int  # items a group
    before: int  # bytes of the content before the first item
    frame: bytes  # LZMA of the bytes before the first item and after the last; empty if there are none
    seed: int = 0  # words of the seed that the stream goes on from
    stream: bytes = b""
    seed_bits: int = 0  # of the stream; known to the encoder only

    mode, name = 4, "single"

    def write(self, header: bytearray) -> list[Data]:
        header += self.model + bytes([self.inexact << 4 | self.sender])
        for number in (self.steps, self.batch, self.before, len(self.frame), self.seed, len(self.stream)):
            header += varint(number)
        return [self.frame, self.stream]

    @classmethod
    def read(cls, header: Reader, payload: Reader, items: int, size: int, limits: Limits) -> Single:
        model, kind = header.take(MODEL_BYTES), header.byte()
        if kind >> 4 > 1 or kind & 15 not in list(Sender):
            raise UnsupportedFeature(f"sender {kind:#04x} is not supported by this version")
        steps, batch, before, frame, seed, stream = (header.varint() for _ in range(6))
        if not 0 < steps <= STEP_LIMIT or size * steps > WORK_LIMIT or size > SIZE_LIMIT:
            raise LimitExceeded(f"the file claims {steps} noisy steps for {size} bytes; that is above the limits")
        if not 0 < batch <= size or before > size or seed > SEED_LIMIT:
            raise CorruptFile("a block's sizes, batch and seed contradict each other")
        streams = payload.take(frame), seed, payload.take(stream)
        return cls(model, bool(kind >> 4), Sender(kind & 15), steps, batch, before, *streams)

    @property
    def coded_bytes(self) -> int:
        return len(self.stream)

    def describe(self, block: Block) -> dict[str, Any]:
        return {
            "lossless": "bytes",
            "model": self.model.hex(),
            "schedule": "single",
            "sender": self.sender.name.lower(),
            "steps": self.steps,
            "floating_point": self.inexact,
            "bits_per_byte": round(8 * block.payload_bytes / block.size, 4),
        }

    @property
    def tied(self) -> bool:
        return self.inexact

    def rest(self) -> bytes:
        """What stands before and after the items."""
        return b"".join(plain.unpack(self.frame, FRAME_LIMIT)) if self.frame else b""

    def decode(self, block: Block, device: str) -> Iterator[Content]:
        from bfncodec.models.paper import streams
        from bfncodec.models.paper.single import Predictor

        predictor = streams.predictor(zoo.find_hash(self.model), device)
        spec, rest = predictor.spec, self.rest()
        items, left = divmod(block.size - len(rest), spec.size)
        if items < 1 or left or self.before > len(rest) or self.inexact == isinstance(predictor, Predictor):
            raise CorruptFile("the block's sizes do not fit its model")
        if self.batch > items:
            raise CorruptFile("the block claims groups of more items than it has")
        how = self.steps, self.sender.name.lower(), self.batch, self.seed
        symbols = streams.decode(predictor, items, *how, self.stream)
        body = np.frombuffer(spec.alphabet, np.uint8)[symbols].tobytes()
        yield iter([checked(rest[: self.before] + body + rest[self.before :], block)])


def encode(data: bytes, choices: Choices, ledger: Ledger | None = None) -> Block:
    """A block of the chosen model of the paper's kind; UnsupportedFeature for content without an item of symbols."""
    from bfncodec.models.paper import streams
    from bfncodec.models.paper.single import Predictor

    path = model(choices)
    assert path is not None
    predictor = streams.predictor(path, choices.device)
    symbols, before = _items(data, predictor.spec)
    body = before + symbols.size
    if len(data) * choices.steps > WORK_LIMIT or len(data) - symbols.size > FRAME_LIMIT:
        raise LimitExceeded(f"too large for {choices.steps} noisy steps; cut it into several files")
    batch = min(choices.batch, len(symbols))
    seed, stream, spent = streams.encode(predictor, symbols, choices.steps, choices.sender, batch, ledger)
    rest = data[:before] + data[body:]
    frame = plain.pack(rest) if rest else b""
    kind = not isinstance(predictor, Predictor), Sender[choices.sender.upper()]
    seed_bits = 8 * len(stream) - spent
    form = Single(zoo.digest(path), *kind, choices.steps, batch, before, frame, seed, stream, seed_bits)
    return Block(1, len(data), hasher(data).digest(), form)


def model(choices: Choices) -> Path | None:
    """The model that is chosen, if it is one of the paper's kind."""
    return zoo.chosen(choices.model, "paper")


def _items(data: bytes, spec: Spec) -> tuple[NDArray[np.uint8], int]:
    """Symbols uint8 [items, D] of a content, and where they begin."""
    before = 0
    if data.startswith(_NUMPY) and len(data) > 12:  # .npy: version, then the length of its own header
        start, length = (10, data[8:10]) if data[6] == 1 else (12, data[8:12])
        before = start + int.from_bytes(length, "little")
    if len(data) > SIZE_LIMIT:
        raise LimitExceeded(f"larger than {SIZE_LIMIT} bytes; cut it into several files")
    count = max(len(data) - before, 0) // spec.size
    if not count:
        raise UnsupportedFeature(f"too short for this model: an item has {spec.size} symbols, a byte each")
    table = np.full(256, 255, np.int64)
    table[np.frombuffer(spec.alphabet, np.uint8)] = np.arange(spec.levels)
    body = table[np.frombuffer(data, np.uint8, count * spec.size, before)]
    if body.max() >= spec.levels:
        raise UnsupportedFeature(f"holds bytes that are none of this model's {spec.levels} symbols")
    return body.astype(np.uint8).reshape(count, spec.size), before
