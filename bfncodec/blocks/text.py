"""Text blocks <-> bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bfncodec.container import MODEL_BYTES, Block, Content, Form, Limits, Reader, checked, hasher, varint
from bfncodec.errors import CorruptFile, LimitExceeded, UnsupportedFeature
from bfncodec.models import zoo
from bfncodec.presets import Choices
from bfncodec.spans import Data

if TYPE_CHECKING:  # the models are imported where they are used: compiled code takes its time
    from bfncodec.coding.ledger import Ledger
    from bfncodec.models.text.memory import Kit

LANE_LIMIT = 256
FEW_LANES, LANE_BYTES = 4, 1 << 20  # where each has a memory of its own, more have at least so many bytes
STEP_LIMIT = 16  # of blocks
TEXT_LIMIT = 1 << 30  # bytes of a block
STREAM_BYTES = 1 << 20  # of text at least in every stream but the last


class TextSchedule(IntEnum):
    """The groups of a text block."""

    BYTEWISE = 0
    BLOCKWISE = 1
    FAST = 2


_FEWEST_BITS = {TextSchedule.BYTEWISE: 46, TextSchedule.BLOCKWISE: 360, TextSchedule.FAST: 46}  # of a byte, 2**-16


@dataclass
class Text(Form):
    """A text, or a part of one, under the text model."""

    model: bytes
    lanes: int
    schedule: TextSchedule = TextSchedule.BYTEWISE
    steps: int = 0  # noisy steps of a block of bytes
    quiet: int = 0  # bytes at the end of every lane that have none
    streams: list[Data] = field(default_factory=list)

    mode, name, partial = 3, "text", True

    def write(self, header: bytearray) -> list[Data]:
        header += bytes([self.schedule]) + self.model + varint(self.lanes)
        if self.schedule is TextSchedule.BLOCKWISE:
            header += varint(self.steps) + varint(self.quiet)
        header += varint(len(self.streams))
        for stream in self.streams:
            header += varint(len(stream))
        return list(self.streams)

    @classmethod
    def read(cls, header: Reader, payload: Reader, items: int, size: int, limits: Limits) -> Text:
        schedule = header.byte()
        if schedule not in list(TextSchedule):
            raise UnsupportedFeature(f"text schedule {schedule} is not supported by this version")
        text = cls(header.take(MODEL_BYTES), header.varint(), TextSchedule(schedule))
        apart = text.schedule is not TextSchedule.BLOCKWISE
        most = min(max(FEW_LANES, size // LANE_BYTES), LANE_LIMIT) if apart else LANE_LIMIT
        if not 0 < text.lanes <= most or not size:
            raise CorruptFile("a text's size and lanes contradict each other")
        if text.schedule is TextSchedule.BLOCKWISE:
            text.steps, text.quiet = header.varint(), header.varint()
            if text.steps > STEP_LIMIT:
                raise LimitExceeded(f"the text claims {text.steps} noisy steps; the limit is {STEP_LIMIT}")
        if size > TEXT_LIMIT:
            raise LimitExceeded(f"the text claims {size} bytes; the limit is {TEXT_LIMIT}")
        streams = header.varint()
        if streams > size // STREAM_BYTES + text.lanes:
            raise CorruptFile("a text's size and streams contradict each other")
        text.streams = [payload.skip(header.varint()) for _ in range(streams)]
        if not text.holds(size):
            raise CorruptFile("a text's size and streams contradict each other")
        return text

    def holds(self, size: int) -> bool:
        """True if the streams can hold `size` bytes: a small file cannot ask for hours of decoding."""
        return size * _FEWEST_BITS[self.schedule] <= (8 * self.coded_bytes + 64 * len(self.streams)) << 16

    def describe(self, block: Block) -> dict[str, Any]:
        return {
            "lossless": "bytes",
            "model": self.model.hex(),
            "schedule": self.schedule.name.lower(),
            "lanes": self.lanes,
            "bits_per_byte": round(8 * self.coded_bytes / block.size, 4),
        }

    def decode(self, block: Block, device: str) -> Iterator[Content]:
        from bfncodec.models.text import streams

        path = zoo.find_hash(self.model)
        if self.schedule is TextSchedule.BLOCKWISE:
            setting = self.lanes, self.steps, self.quiet
            data = streams.decode_blocks(path, device, block.size, *setting, self.streams)
        else:
            data = streams.decode_bytewise(path, block.size, self.lanes, self.streams, _kit(self.schedule))
        yield iter([checked(data, block)])


def _kit(schedule: TextSchedule) -> Kit:
    """What is in use where bytes come one after the other."""
    from bfncodec.models.text.memory import FAST, FULL

    return FAST if schedule is TextSchedule.FAST else FULL


def encode(data: bytes, choices: Choices, ledger: Ledger | None = None) -> Block:
    """One item, or a part of one, of at most TEXT_LIMIT bytes and at least one."""
    from bfncodec.models.text import streams

    path = model(choices)
    if choices.effort == "blocks":
        coded, lanes, quiet = streams.encode_blocks(path, choices.device, data, ledger)
        form = Text(zoo.digest(path), lanes, TextSchedule.BLOCKWISE, streams.BLOCK_STEPS, quiet, list(coded))
    else:
        schedule = TextSchedule.FAST if choices.effort == "fast" else TextSchedule.BYTEWISE
        lanes = streams.lanes_of(len(data))
        coded = streams.encode_bytewise(path, data, lanes, ledger, _kit(schedule))
        form = Text(zoo.digest(path), lanes, schedule, streams=list(coded))
    return Block(1, len(data), hasher(data).digest(), form)


def model(choices: Choices) -> Path:
    """The text model that is chosen, or the packaged one."""
    return zoo.chosen(choices.model, "text") or zoo.find("text")
