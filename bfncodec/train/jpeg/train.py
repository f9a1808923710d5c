"""Where the model of JPEG files starts: networks, contexts that came often in other files, and weights of mixers.

Networks are trained first, on what they see in the files. Then a pass over files learns as coding does, and never
forgets. The contexts that were met most are kept. Another pass starts every segment with these alone, as coding will;
the mixers go on learning.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec import jpeg
from bfncodec.errors import BfnError
from bfncodec.exact import tables
from bfncodec.models.jpeg import memory as memories
from bfncodec.models.jpeg.memory import (
    BUCKET,
    BUCKET_BITS,
    CONTEXTS,
    MET_BITS,
    USED,
    WEIGHT_UNIT,
    Memory,
)
from bfncodec.models.jpeg.networks import COUNT, PLACES, SEEN, started
from bfncodec.models.jpeg.streams import Segment, cuts, ranges, seen
from bfncodec.train import checkpoint
from bfncodec.train.jpeg import networks

Array = NDArray[Any]

BUCKETS = 18000  # that are kept
EPOCHS = 3  # of networks
_FEW, _MANY = 30000, 50000  # numbers that networks see of a file: how many are not zero and DC, coefficients
RATES = (12, 6, 6, 4)  # of mixers, in the halves of both passes


def train(
    data: Path,
    output: Path,
    *,
    buckets: int = BUCKETS,
    epochs: float = EPOCHS,
    seed: int = 0,
    log: Callable[[str], None],
) -> None:
    """Train on all JPEG files in a folder, and write a model file; BfnError if there are none."""
    checkpoint.check_name(output)
    files = sorted(path for path in data.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    random.Random(seed).shuffle(files)
    notes = _seen(files, seed)
    if not len(notes):
        raise BfnError(f"{data} holds no JPEG files to train on")
    nets = networks.train(notes, epochs, seed, log)
    memory, known = memories.memory(memories.untrained()._replace(nets=started(nets))), None
    uses = np.zeros(CONTEXTS << BUCKET_BITS, np.int64)
    costs = []
    for number, rate in enumerate(RATES):
        if number == 2:
            known = _most_used(memory.tables, uses, buckets)
            kept = _quantised(nets | known, memory.mixing.last)
        half = files[: len(files) // 2] if number % 2 == 0 else files[len(files) // 2 :]
        memory.mixing.ends[2] = rate
        bits, size = 0.0, 0
        for path in half:
            content = path.read_bytes()
            bits += _pass(content, memory, uses, None if known is None else kept)
            size += len(content)
        costs.append(bits / 8 / max(size, 1))
        log(f"pass {number // 2 + 1}, half {number % 2 + 1}: {costs[-1]:.4f} of {size} bytes")
    assert known is not None
    card = {"kind": "jpeg", "files": len(files), "seed": seed, "rates": RATES, "shares": costs}
    checkpoint.write_model(output, nets | known | _mixers(memory), card)


def _seen(files: list[Path], seed: int) -> Array:
    """What networks see in the files: some of it, uint8 [n, SEEN + 3]."""
    draw, kept = np.random.default_rng(seed), [np.zeros((0, SEEN + 3), np.uint8)]
    for path in files:
        content = path.read_bytes()
        parsed = jpeg.parse(content)
        if parsed is None:
            continue
        image, frame = parsed[0], parsed[0].frame()
        assert frame is not None
        parts = ranges(cuts(frame, len(content), image.coefficients))
        own = seen(frame, image.quantisers(), parts[len(parts) // 2], image.coefficients)
        others = own[:, SEEN] % PLACES >= COUNT
        for which, most in ((others, _FEW), (~others, _MANY)):
            kept.append(own[draw.permutation(np.flatnonzero(which))[:most]])
    return np.concatenate(kept)


def _pass(content: bytes, memory: Memory, uses: Array, tables: Array | None) -> float:
    """Bits of a file, from which the memory learns; segments begin with the tables, if there are any.

    uses: int64 [CONTEXTS << BUCKET_BITS]: how many segments have met a bucket, which is counted where there are none.
    """
    parsed = jpeg.parse(content)
    if parsed is None:
        return 8.0 * len(content)
    image, bits = parsed[0], 0.0
    frame = image.frame()
    assert frame is not None
    for units in ranges(cuts(frame, len(content), image.coefficients)):
        if tables is not None:
            memory.tables[:] = tables
        before = memory.tables.reshape(-1, BUCKET).copy()
        segment = Segment(frame, image.quantisers(), units, memory, image.coefficients)
        bits += segment.decided().cost(segment.values())
        changed = before != memory.tables.reshape(-1, BUCKET)
        uses[changed[:, 0]] = 0
        uses += changed.any(axis=1)
    return bits


def _most_used(slots: Array, uses: Array, count: int) -> dict[str, Array]:
    """The buckets that were met in most segments, as tensors of a model file."""
    buckets = slots.reshape(-1, BUCKET)
    met = buckets[:, 1:].astype(np.int64) & (1 << MET_BITS) - 1
    worth = uses * np.log2(1 + met.sum(axis=1))
    chosen = np.sort(np.argsort(-worth, kind="stable")[:count])
    chosen = chosen[met[chosen].sum(axis=1) > 0]
    chances = buckets[chosen, 1:].astype(np.int64) >> 32 - tables.CHANCE_BITS
    odds = np.rint(tables.stretch_table()[chances] / memories.STEP)
    most = tables.LOGIT_MAX // memories.STEP
    levels = np.searchsorted(memories.MET[1:], met[chosen], side="right")
    return {
        "jpeg.buckets": np.bincount(chosen >> BUCKET_BITS, minlength=CONTEXTS).astype(np.uint16),
        "jpeg.keys": buckets[chosen, 0].astype(np.uint32),
        "jpeg.chances": np.clip(odds, -most, most).astype(np.int8),
        "jpeg.met": (levels << 2 * np.arange(BUCKET - 1)).sum(axis=1).astype(np.uint16),
    }


def _quantised(known: dict[str, Array], last: Array) -> Array:
    """The tables that a model file with these networks and buckets starts with."""
    nothing: dict[str, Array] = {
        "jpeg.sets": np.empty(0, np.uint16),
        "jpeg.weights": np.empty((0, USED), np.int8),
        "jpeg.last": last,
    }
    return memories.started(known | nothing).tables


def _mixers(memory: Memory) -> dict[str, Array]:
    """Mixers that have learnt anything, as tensors of a model file."""
    first = memories.untrained()
    weights = memory.mixing.weights
    chosen = np.flatnonzero((weights != first.weights).any(axis=1))
    rounded = np.rint(weights[chosen, :USED] / WEIGHT_UNIT)
    return {
        "jpeg.sets": chosen.astype(np.uint16),
        "jpeg.weights": np.clip(rounded, -128, 127).astype(np.int8),
        "jpeg.last": memory.mixing.last.copy(),
    }
