"""The goldens of mode single, for make_goldens.py: data of the tiny models of make_tiny_paper.py."""

import hashlib
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tools import make_tiny_paper

from bfncodec import container, decoding
from bfncodec.blocks import single
from bfncodec.blocks.single import Sender, Single
from bfncodec.container import File
from bfncodec.models import zoo
from bfncodec.presets import Choices

GAUSSIAN, DITHER, CATEGORICAL = Sender


@dataclass
class Plan:
    """How a golden is made: of `items` items, in steps by a sender, in batches."""

    model: str
    sender: Sender
    steps: int
    batch: int
    items: int
    header: bool = False
    tail: bytes = b""
    constant: bool = False

    def content(self) -> bytes:
        """Random symbols; values that lie together."""
        spec = make_tiny_paper.SPECS[self.model]
        count = self.items * spec.size
        drawn = hashlib.shake_256(repr(self.items).encode()).digest(2 * count)
        symbols = [0 if self.constant else (a + b) * spec.levels >> 9 for a, b in zip(*[iter(drawn)] * 2, strict=True)]
        body = bytes(spec.alphabet[symbol] for symbol in symbols)
        return (npy((self.items, *spec.shape)) if self.header else b"") + body + self.tail

    def choices(self) -> Choices:
        """What the encoder is told."""
        sender = self.sender.name.lower()
        return Choices("cpu", self.model, steps=self.steps, sender=sender, batch=self.batch)

    def told(self) -> dict[str, Any]:
        """The manifest's words."""
        return {"model": self.model, "sender": self.sender.name, "steps": self.steps, "batch": self.batch}


def npy(shape: tuple[int, ...]) -> bytes:
    """The header of a .npy array of bytes, version 1, as NumPy writes it."""
    text = repr({"descr": "|u1", "fortran_order": False, "shape": shape}).encode()
    text += b" " * (-(10 + len(text) + 1) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text


PLANS = {
    "single-binary": Plan("tiny-binary", GAUSSIAN, 5, 1, 2, header=True),
    "single-binary-dither": Plan("tiny-binary", DITHER, 3, 2, 3),
    "single-binary-zeros": Plan("tiny-binary", DITHER, 4, 1, 2, constant=True),
    "single-values": Plan("tiny-values", GAUSSIAN, 4, 2, 2, header=True, tail=b"and what follows"),
    "single-values-dither": Plan("tiny-values", DITHER, 5, 1, 2, tail=b"!"),
    "single-bytes": Plan("tiny-bytes", GAUSSIAN, 3, 1, 1),
    "single-bytes-dither": Plan("tiny-bytes", DITHER, 4, 2, 2, header=True),
    "single-classes": Plan("tiny-classes", GAUSSIAN, 3, 1, 2, tail=b"hello"),
    "single-classes-batch": Plan("tiny-classes", GAUSSIAN, 4, 2, 3),
    "single-classes-draws": Plan("tiny-classes", CATEGORICAL, 5, 2, 3),
}


def encode(plan: Plan) -> bytes:
    """A golden's bytes."""
    return container.write(File([single.encode(plan.content(), plan.choices())]))


def bad(good: dict[str, bytes]) -> dict[str, tuple[bytes, str]]:
    """Damaged files and the classes of their errors."""

    def retold(name: str = "single-values", size: int | None = None, **fields: Callable[[Any], Any]) -> bytes:
        file = decoding.read(good[name])
        block = file.blocks[0]
        form = block.form
        assert isinstance(form, Single)
        for field, value in fields.items():
            setattr(form, field, value(getattr(form, field)))
        block.size = block.size if size is None else size
        return container.write(file)

    def in_parts(data: bytes) -> bytes:
        """A block twice, as if it were two parts of an item."""
        file = decoding.read(data)
        return container.write(File(file.blocks * 2))

    def kind(value: int) -> bytes:
        data = bytearray(good["single-binary"])
        place = data.index(zoo.digest(zoo.find("tiny-binary"))) + 4
        data[place] = value
        end = 11 + data[10]
        data[end : end + 4] = zlib.crc32(data[:end]).to_bytes(4, "little")
        return bytes(data)

    def flipped(name: str, place: int) -> bytes:
        data = bytearray(good[name])
        data[place] ^= 1
        return bytes(data)

    whole = 2 * (4 * (64 + 4 * 96) // 64 + 2) + 1  # words of the seed of single-values
    return {
        "single-sender": (kind(3), "UnsupportedFeature"),
        "single-kind": (kind(32), "UnsupportedFeature"),
        "single-inexact": (kind(16), "CorruptFile"),
        "single-other-sender": (kind(DITHER), "CorruptFile"),
        "single-foreign-sender": (kind(CATEGORICAL), "CorruptFile"),
        "single-no-steps": (retold(steps=lambda old: 0), "LimitExceeded"),
        "single-too-many-steps": (retold(steps=lambda old: single.STEP_LIMIT + 1), "LimitExceeded"),
        "single-other-steps": (retold(steps=lambda old: old + 1), "CorruptFile"),
        "single-too-large": (retold(size=single.SIZE_LIMIT + 1), "LimitExceeded"),
        "single-too-much-work": (retold(size=1 << 26, steps=lambda old: 1025), "LimitExceeded"),
        "single-empty": (retold(size=0), "CorruptFile"),
        "single-no-batch": (retold(batch=lambda old: 0), "CorruptFile"),
        "single-other-batch": (retold(batch=lambda old: 1), "CorruptFile"),
        "single-too-large-batch": (retold(batch=lambda old: old + 1), "CorruptFile"),
        "single-too-large-group": (retold(size=144 + 48 * 30000, batch=lambda old: 30000), "LimitExceeded"),
        "single-before": (retold(before=lambda old: old + 17), "CorruptFile"),
        "single-other-before": (retold(before=lambda old: old + 1), "CorruptFile"),
        "single-no-frame": (retold(frame=lambda old: b""), "CorruptFile"),
        "single-cut-frame": (retold(frame=lambda old: old[:-1]), "CorruptFile"),
        "single-seed": (retold(seed=lambda old: whole + 1), "CorruptFile"),
        "single-too-much-seed": (retold(seed=lambda old: single.SEED_LIMIT + 1), "CorruptFile"),
        "single-other-seed": (retold(seed=lambda old: old - 1), "CorruptFile"),
        "single-no-stream": (retold(stream=lambda old: b""), "CorruptFile"),
        "single-redundant-zero": (retold(stream=lambda old: old + b"\0"), "CorruptFile"),
        "single-too-much-stream": (retold(stream=lambda old: b"\1" * 8 + old), "CorruptFile"),
        "single-no-model": (retold(model=lambda old: bytes(4)), "MissingModel"),
        "single-truncated": (good["single-binary"][:-1], "TruncatedFile"),
        "single-payload": (flipped("single-binary", -20), "CorruptFile"),
        "single-classes-payload": (flipped("single-classes", -40), "CorruptFile"),
        "single-draws-payload": (flipped("single-classes-draws", -9), "CorruptFile"),
        "single-last-byte": (flipped("single-bytes-dither", -1), "CorruptFile"),
        "single-parts": (in_parts(good["single-binary-dither"]), "CorruptFile"),
    }
