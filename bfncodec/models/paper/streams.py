"""Items of the paper's models <-> the stream that they are coded in, on a stack that begins with a fixed seed.

Both sides know the seed; a file leaves out what of it is untouched, and decoding must lead back to it.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding import protocol
from bfncodec.coding.ans import Coder
from bfncodec.coding.channels import noise_bits
from bfncodec.coding.ledger import Ledger
from bfncodec.errors import CorruptFile, LimitExceeded
from bfncodec.exact import kernels
from bfncodec.exact.splitmix import stream
from bfncodec.flow.schedule import AnyStep
from bfncodec.models import zoo
from bfncodec.models.paper.single import AnyPredictor, Predictor, SingleGroups
from bfncodec.models.paper.spec import SEED_LIMIT, from_card

_SEED = (0xFFFFFFFF, 0xFFFFFFFF)
GROUP_LIMIT = 1 << 20  # variables that are coded at once


class Coded(NamedTuple):
    """Coded items."""

    seed: int  # words of the seed that the stream goes on from
    stream: bytes
    spent: int  # bits that the stack really grew by


def predictor(path: Path, kernel: str) -> AnyPredictor:
    """The predictor of a model file; one that computes in floating point if it is the authors'."""
    card = zoo.card(path)
    if card.get("kind") == "authors":
        from bfncodec.models.authors.output import FloatPredictor

        return FloatPredictor(path)
    return Predictor(kernels.kernel(kernel), zoo.tensors(path), from_card(card))


def encode(
    predictor: AnyPredictor,
    symbols: NDArray[np.uint8],
    steps: int,
    sender: str,
    batch: int,
    ledger: Ledger | None = None,
) -> Coded:
    """Code symbols uint8 [items, D] in groups of `batch` items. LimitExceeded for what is too large."""
    views, seed = _begun(predictor, steps, sender, batch)
    coder = Coder(seed)
    start = coder.bits
    if protocol.encode(coder, SingleGroups(predictor, len(symbols), batch, views, symbols), ledger):
        raise LimitExceeded("the items cost so little that their noise cannot be paid; use a larger batch")
    coded = coder.data()
    known = _common(coded, seed)
    return Coded(known // 4, coded[known:], coder.bits - start)


def decode(
    predictor: AnyPredictor, items: int, steps: int, sender: str, batch: int, seed: int, coded: bytes
) -> NDArray[np.uint8]:
    """Symbols uint8 [items, D], the inverse of `encode`. CorruptFile unless the noise leads back to the seed."""
    views, whole = _begun(predictor, steps, sender, batch)
    if 4 * seed > len(whole):
        raise CorruptFile("the block claims more seed than it needs")
    coder = Coder(whole[: 4 * seed] + coded)
    model = SingleGroups(predictor, items, batch, views)
    protocol.decode(coder, model)
    if coder.data() != whole:
        raise CorruptFile("the payload is damaged: its noise does not lead back to the seed")
    return model.symbols


def _begun(predictor: AnyPredictor, count: int, sender: str, batch: int) -> tuple[tuple[AnyStep, ...], bytes]:
    """The noisy steps of every group, and the seed; LimitExceeded for groups that are too large."""
    size = batch * predictor.spec.size
    if size > GROUP_LIMIT:
        raise LimitExceeded(f"{batch} items at once are above the limit; use a smaller batch")
    steps = predictor.spec.steps(count, sender)
    return steps, _seed(steps, size)


def _seed(steps: tuple[AnyStep, ...], size: int) -> bytes:
    """What the stack holds at first: enough for the noise of one group, and 64 bits more; the last byte is 1.

    A lucky group may cost b bits less than nothing, with a chance of 2**-b: the 64 bits keep the noise after it paid.
    """
    bits = noise_bits(steps, size)
    if bits > 32 * SEED_LIMIT:
        raise LimitExceeded("so many steps and items at once need too long a seed; use a smaller batch")
    return stream(_SEED, bits // 64 + 2).astype("<u8").tobytes() + b"\1"


def _common(coded: bytes, seed: bytes) -> int:
    """Bytes at the beginning that are the same, in whole words; what follows is not empty."""
    size = min(len(coded), len(seed)) // 4
    same = np.frombuffer(coded, "<u4", size) == np.frombuffer(seed, "<u4", size)
    count = size if same.all() else int(same.argmin())
    return 4 * min(count, (len(coded) - 1) // 4)
