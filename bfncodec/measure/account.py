"""What a file costs in theory and in bits, group by group and step by step. Floats belong here."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bfncodec import container, decoding, encoding
from bfncodec.blocks.single import Single
from bfncodec.coding.ans import Coder
from bfncodec.coding.decisions import Decided
from bfncodec.coding.ledger import GroupLoss, Ledger
from bfncodec.coding.outcomes import Outcome, OutcomeSource
from bfncodec.coding.protocol import Pushable, Source
from bfncodec.container import Block
from bfncodec.errors import LimitExceeded
from bfncodec.flow.schedule import AnyStep
from bfncodec.models import zoo
from bfncodec.models.graphics.pixels import Pixels
from bfncodec.models.image.passes import STRIDE
from bfncodec.models.image.wavefront import WavefrontSource
from bfncodec.presets import Choices

Report = dict[str, Any]


@dataclass
class PixelLedger(Ledger):
    """A ledger that knows where an image's bits went."""

    images: list[WavefrontSource] = field(default_factory=list, compare=False)
    exact: list[NDArray[Any]] = field(default_factory=list, compare=False)  # bits [N, H, W] of exact colours
    _outcome: Outcome | None = field(default=None, init=False, repr=False, compare=False)  # that is encoded

    @classmethod
    def of(cls, paths: int) -> Self:
        """An empty ledger of so many paths."""
        return cls(others=[[] for _ in range(paths - 1)])

    def extend(self, other: Ledger) -> None:
        super().extend(other)
        if isinstance(other, PixelLedger):
            self.images += other.images
            self.exact += other.exact

    def group(self, coder: Coder, model: Source, span: range, x: NDArray[Any], steps: tuple[AnyStep, ...]) -> None:
        """The thumbnail comes last: the image's other rows are there by then."""
        super().group(coder, model, span, x, steps)
        if isinstance(model, WavefrontSource) and span[0] == 0:
            self.images.append(model)
        self._outcome = model.outcomes[span[0]] if isinstance(model, OutcomeSource) else None

    def pushed(self, coder: Coder, output: Pushable, x: NDArray[Any]) -> None:
        super().pushed(coder, output, x)
        if isinstance(output, Decided) and isinstance(self._outcome, Pixels):
            self.exact.append(self._outcome.bits(output))

    def image_map(self) -> NDArray[np.float64] | None:
        """Bits of every pixel [height, width] of one image in wavefront order or of exact colours; None for all else.

        Pixels of the thumbnail get equal shares of its cost, noisy steps included.
        """
        if len(self.exact) == 1 and len(self.exact[0]) == 1 and not self.images:
            return self.exact[0][0]
        if len(self.images) != 1 or self.images[0].count != 1:
            return None
        bits = self.images[0].pixel_bits()
        thumbnail = bits[::STRIDE, ::STRIDE]
        thumbnail[:] = (sum(self.groups[0].path) + self.groups[0].reconstruction) / thumbnail.size
        return bits


def measure(data: bytes, choices: Choices, ledger: Ledger) -> Report:
    """Encode a file's bytes, decode them again and account for every bit. ledger: an empty one, which is filled.

    All costs are in bits; the times include what measuring adds. `payload_bits` are the coded streams; `seed_bits` of
    them paid for the first noise where nothing else could. `theory_bits` is the path loss; `n_step_bits` its
    expectation, with the standard error `theory_stderr`, from which the cost of a single path is `path_deviation` away
    by chance. `ratio` is the payload without the seed over the path loss (None where nothing is modelled). CorruptFile
    if the round trip fails, LimitExceeded for what is coded in parts.
    """
    started = time.perf_counter()
    file = encoding.encode_bytes(data, choices, ledger)
    if len(file.blocks) > 1:
        raise LimitExceeded("too large to be measured: it is coded in parts")
    encoded = container.write(file)
    middle = time.perf_counter()
    decoding.verify(encoded, {"": data}, choices.device)
    ended = time.perf_counter()
    times = {"encode_seconds": round(middle - started, 3), "decode_seconds": round(ended - middle, 3)}
    costs = _costs(file.blocks[0], len(encoded), ledger)
    groups = [_group(group) for group in ledger.groups]
    sizes = {"file_bytes": len(encoded), "input_bytes": len(data)}
    return sizes | costs | times | {"round_trip": True, "groups": groups}


def _costs(block: Block, size: int, ledger: Ledger) -> Report:
    """What a file of `size` bytes is made of; theory and what was spent, in relation to each other and to variables."""
    form, payload = block.form, block.payload_bytes
    single = form if isinstance(form, Single) else None
    seed, coded = single.seed_bits if single else 0, 8 * form.coded_bytes
    dimensions, spent = block.size - (len(single.rest()) if single else 0), coded - seed
    path, n_step = ledger.path_loss, ledger.n_step_loss
    return {
        "mode": form.name,
        "floating_point": single is not None and single.inexact,
        "dimensions": dimensions,
        "header_bytes": size - payload,
        "digest_bytes": container.DIGEST_BYTES,
        "side_bytes": payload - form.coded_bytes,
        "payload_bits": coded,
        "seed_bits": seed,
        "weights_bytes": zoo.find_hash(form.model).stat().st_size if form.model else 0,
        "paths": len(ledger.others) + 1,
        "theory_bits": round(path, 3),
        "n_step_bits": round(n_step, 3),
        "theory_stderr": _number(ledger.standard_error),
        "path_deviation": _number(ledger.path_deviation),
        "ratio": round(spent / path, 6) if path else None,
        "n_step_ratio": round(spent / n_step, 6) if path else None,
        "payload_bpd": round(coded / dimensions, 5) if dimensions else None,
        "payload_without_seed_bpd": round(spent / dimensions, 5) if dimensions else None,
        "file_bpd": round(8 * size / dimensions, 5) if dimensions else None,
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 3)


def _group(group: GroupLoss) -> Report:
    steps = [
        {"theory_bits": round(path, 3), "divergence_bits": round(kl, 3), "spent_bits": spent}
        for path, kl, spent in zip(group.path, group.divergence, group.spent, strict=True)
    ]
    return {
        "first": group.first,
        "variables": group.variables,
        "steps": steps,
        "reconstruction_bits": round(group.reconstruction, 3),
        "reconstruction_spent_bits": group.reconstruction_spent,
        **({"parts": {name: round(bits, 3) for name, bits in group.parts.items()}} if group.parts else {}),
    }
