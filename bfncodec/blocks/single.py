"""Blocks of the `single` schedule <-> their content: the paper's own models, byte for byte.

The content is cut into items of as many symbols as the model has variables, each symbol a byte of
the model's alphabet. What stands before (the header of a .npy array) and what is left over goes
into a frame of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bfncodec import container
from bfncodec.blocks import plain
from bfncodec.coding import protocol
from bfncodec.coding.ans import Coder
from bfncodec.coding.channels import noise_bits
from bfncodec.coding.ledger import Ledger
from bfncodec.container import Block, Mode, Sender
from bfncodec.errors import CorruptFile, LimitExceeded, UnsupportedFeature
from bfncodec.exact import kernels
from bfncodec.exact.splitmix import stream
from bfncodec.flow.schedule import AnyStep
from bfncodec.models import zoo
from bfncodec.models.paper.single import AnyPredictor, Predictor, Single
from bfncodec.models.paper.spec import Spec, from_card

_NUMPY = b"\x93NUMPY"
_SEED = (0xFFFFFFFF, 0xFFFFFFFF)
FRAME_LIMIT = 1 << 26


@dataclass(frozen=True)
class Settings:
    """How a transmission is carried out."""

    steps: int = 50
    sender: Sender = Sender.GAUSSIAN
    batch: int = 1


@dataclass
class Costs:
    """Bits that a transmission really took: without the seed, and of the seed."""

    payload: int = 0
    seed: int = 0


def serves(path: Path) -> bool:
    """True if a model file is one of the paper's kind."""
    card = zoo.card(path)
    return "spec" in card or card.get("kind") == "authors"


def predictor(path: Path, kernel: str) -> AnyPredictor:
    """The predictor of a model file; one that computes in floating point if it is the authors'."""
    card = zoo.card(path)
    if card.get("kind") == "authors":
        from bfncodec.models.authors.predictor import FloatPredictor

        return FloatPredictor(path)
    return Predictor(kernels.kernel(kernel), zoo.tensors(path), from_card(card))


def encode(
    data: bytes,
    path: Path,
    kernel: str,
    settings: Settings,
    ledger: Ledger | None = None,
    costs: Costs | None = None,
) -> Block:
    """A block of the model at `path`. UnsupportedFeature for content that holds no item of its symbols."""
    predictor_ = predictor(path, kernel)
    spec = predictor_.spec
    symbols, before = _items(data, spec)
    body = before + symbols.size
    if len(data) * settings.steps > container.SINGLE_WORK or len(data) - symbols.size > FRAME_LIMIT:
        raise LimitExceeded(f"too large for {settings.steps} noisy steps; cut it into several files")
    batch = min(settings.batch, len(symbols))
    steps = _steps(spec, settings.steps, settings.sender, batch)
    seed = _seed(steps, batch * spec.size)
    coder = Coder(seed)
    start = coder.bits
    if protocol.encode(coder, Single(predictor_, len(symbols), batch, steps, symbols), ledger):
        raise LimitExceeded("the items cost so little that their noise cannot be paid; use a larger batch")
    coded = coder.data()
    known = _common(coded, seed)
    single = container.Single(
        zoo.digest(path),
        not isinstance(predictor_, Predictor),
        settings.sender,
        settings.steps,
        batch,
        before,
        _pack(data[:before] + data[body:]),
        known // 4,
        coded[known:],
    )
    if costs is not None:
        costs.payload = coder.bits - start
        costs.seed = 8 * len(single.stream) - costs.payload
    return Block(Mode.SINGLE, 1, len(data), container.digest(data), single=single)


def decode(block: Block, kernel: str) -> bytes:
    """The content of a block; CorruptFile unless everything matches."""
    single = block.single
    assert single is not None
    path = zoo.find_hash(single.model)
    predictor_ = predictor(path, kernel)
    spec = predictor_.spec
    rest = frame(single)
    items, left = divmod(block.size - len(rest), spec.size)
    if items < 1 or left or single.before > len(rest) or single.inexact == isinstance(predictor_, Predictor):
        raise CorruptFile("the block's sizes do not fit its model")
    if single.batch > items:
        raise CorruptFile("the block claims groups of more items than it has")
    steps = _steps(spec, single.steps, single.sender, single.batch)
    seed = _seed(steps, single.batch * spec.size)
    if 4 * single.seed > len(seed):
        raise CorruptFile("the block claims more seed than it needs")
    coder = Coder(seed[: 4 * single.seed] + single.stream)
    model = Single(predictor_, items, single.batch, steps)
    protocol.decode(coder, model)
    if coder.data() != seed:
        raise CorruptFile("the payload is damaged: its noise does not lead back to the seed")
    alphabet = np.frombuffer(spec.alphabet, np.uint8)
    data = rest[: single.before] + alphabet[model.symbols].tobytes() + rest[single.before :]
    if container.digest(data) != block.digest:
        raise CorruptFile("the decoded content does not match its checksum")
    return data


def frame(single: container.Single) -> bytes:
    """What stands before and after a block's items."""
    return b"".join(plain.unpack(single.frame, FRAME_LIMIT)) if single.frame else b""


def _items(data: bytes, spec: Spec) -> tuple[NDArray[np.uint8], int]:
    """Symbols uint8 [items, D] of a content, and where they begin."""
    before = 0
    if data.startswith(_NUMPY) and len(data) > 12:  # .npy: version, then the length of its own header
        start, length = (10, data[8:10]) if data[6] == 1 else (12, data[8:12])
        before = start + int.from_bytes(length, "little")
    if len(data) > container.TEXT_LIMIT:
        raise LimitExceeded(f"larger than {container.TEXT_LIMIT} bytes; cut it into several files")
    count = max(len(data) - before, 0) // spec.size
    if not count:
        raise UnsupportedFeature(f"too short for this model: an item has {spec.size} symbols, a byte each")
    table = np.full(256, 255, np.int64)
    table[np.frombuffer(spec.alphabet, np.uint8)] = np.arange(spec.levels)
    body = table[np.frombuffer(data, np.uint8, count * spec.size, before)]
    if body.max() >= spec.levels:
        raise UnsupportedFeature(f"holds bytes that are none of this model's {spec.levels} symbols")
    return body.astype(np.uint8).reshape(count, spec.size), before


def _steps(spec: Spec, count: int, sender: Sender, batch: int) -> tuple[AnyStep, ...]:
    """The noisy steps of every group; LimitExceeded for too many of them, and for groups that are too large."""
    if batch * spec.size > container.SINGLE_GROUP:
        raise LimitExceeded(f"{batch} items at once are above the limit; use a smaller batch")
    return spec.steps(count, sender.name.lower())


def _seed(steps: tuple[AnyStep, ...], size: int) -> bytes:
    """What the stack holds at first: enough for the noise of one group, and 64 bits more; the last byte is 1.

    A group whose noise is lucky may cost less than nothing: b bits less with a chance of 2**-b. The
    64 bits keep the noise of the groups after it paid, and the stack from being empty.
    """
    bits = noise_bits(steps, size)
    if bits > 32 * container.SINGLE_SEED:
        raise LimitExceeded("so many steps and items at once need too long a seed; use a smaller batch")
    return stream(_SEED, bits // 64 + 2).astype("<u8").tobytes() + b"\1"


def _common(coded: bytes, seed: bytes) -> int:
    """Bytes at the beginning that are the same, in whole words; what follows is not empty."""
    size = min(len(coded), len(seed)) // 4
    same = np.frombuffer(coded, "<u4", size) == np.frombuffer(seed, "<u4", size)
    count = size if same.all() else int(same.argmin())
    return 4 * min(count, (len(coded) - 1) // 4)


def _pack(rest: bytes) -> bytes:
    return plain.pack(rest) if rest else b""
