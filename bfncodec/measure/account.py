"""What a file costs in theory and in bits, group by group and step by step. Floats belong here."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec import api, container, decoding, presets
from bfncodec.blocks import image as image_blocks
from bfncodec.blocks import single as single_blocks
from bfncodec.blocks import text
from bfncodec.coding.ledger import GroupLoss, Ledger
from bfncodec.container import Block, File, Layout, Schedule
from bfncodec.errors import LimitExceeded
from bfncodec.exact import kernels
from bfncodec.media import png
from bfncodec.models import zoo
from bfncodec.models.image import coefficients as coefficients_image
from bfncodec.models.image.canvas import STRIDE
from bfncodec.models.image.outputs import Rows
from bfncodec.models.image.wavefront import Wavefront

Told = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """How files are encoded for a measurement; paths: noise paths over which the n-step loss is averaged."""

    model: str | None = None
    effort: str = "default"
    media: str = "auto"
    device: str = "auto"
    single: single_blocks.Settings = single_blocks.Settings()
    paths: int = 2


def measure(data: bytes, settings: Settings) -> Told:
    """Encode a file's bytes, decode them again and account for every bit.

    All costs are in bits; the times include what measuring adds. `payload_bits` are the coded
    streams; `seed_bits` of them paid for the first noise where nothing else could. `theory_bits` is
    the path loss; `n_step_bits` its expectation, with the standard error `theory_stderr`, from
    which the cost of a single path is `path_deviation` away by chance. `ratio` is the payload
    without the seed over the path loss (None where nothing is modelled). CorruptFile if the round
    trip fails.
    """
    ledger = Ledger(others=[[] for _ in range(settings.paths - 1)])
    costs = single_blocks.Costs()
    started = time.perf_counter()
    block = _encode(data, settings, ledger, costs)
    encoded = container.write(File([block]))
    middle = time.perf_counter()
    decoding.verify(encoded, {"": data}, settings.device)
    ended = time.perf_counter()
    streams = _streams(block)
    payload = 8 * sum(streams)
    dimensions = block.size if block.single is None else _symbols(block)
    path, n_step = ledger.path_loss, ledger.n_step_loss
    model = _model(block)
    spent = payload - costs.seed
    return {
        "file_bytes": len(encoded),
        "input_bytes": len(data),
        "mode": block.mode.name.lower(),
        "floating_point": block.single is not None and block.single.inexact,
        "dimensions": dimensions,
        "header_bytes": len(encoded) - container.block_bytes(block),
        "digest_bytes": container.DIGEST_BYTES,
        "side_bytes": container.block_bytes(block) - sum(streams),
        "payload_bits": payload,
        "seed_bits": costs.seed,
        "theory_bits": round(path, 3),
        "n_step_bits": round(n_step, 3),
        "theory_stderr": _number(ledger.standard_error),
        "path_deviation": _number(ledger.path_deviation),
        "paths": settings.paths,
        "ratio": round(spent / path, 6) if path else None,
        "n_step_ratio": round(spent / n_step, 6) if path else None,
        "payload_bpd": round(payload / dimensions, 5) if dimensions else None,
        "payload_without_seed_bpd": round(spent / dimensions, 5) if dimensions else None,
        "file_bpd": round(8 * len(encoded) / dimensions, 5) if dimensions else None,
        "weights_bytes": model.stat().st_size if model else 0,
        "encode_seconds": round(middle - started, 3),
        "decode_seconds": round(ended - middle, 3),
        "round_trip": True,
        "groups": [_group(group) for group in ledger.groups],
    }


def _encode(data: bytes, settings: Settings, ledger: Ledger, costs: single_blocks.Costs) -> Block:
    """The block that `api.encode` would write, with its ledger."""
    kernel = kernels.kernel_name(settings.device)
    path = zoo.find(settings.model) if settings.model else None
    if path and single_blocks.serves(path):
        return single_blocks.encode(data, path, kernel, settings.single, ledger, costs)
    encoded = api.encode(
        data, device=settings.device, model=settings.model, effort=settings.effort, media=settings.media
    )
    blocks = container.read(encoded).blocks
    if len(blocks) > 1:
        raise LimitExceeded("too large to be measured: it is coded in parts")
    block = blocks[0]
    # The same choice again, now with a ledger: what encode tries on the way would fill it as well.
    if block.image is not None:
        picture = png.parse(data, presets.MAX_PIXELS)
        assert picture is not None
        return image_blocks.encode_pictures(
            [picture], kernel, zoo.find_hash(block.image.model), settings.effort, ledger
        )
    if block.text is not None:
        model = zoo.find_hash(block.text.model)
        return text.encode_text(data, model, ledger, kernel=kernel, effort=settings.effort)
    return block


def _streams(block: Block) -> list[int]:
    """Bytes of the coded streams of a block."""
    if block.image is not None:
        return [len(part.stream) for part in block.image.passes]
    if block.text is not None:
        return [len(stream) for stream in block.text.streams]
    return [len(block.single.stream if block.single is not None else block.data)]


def _symbols(block: Block) -> int:
    """Variables of a block's items."""
    single = block.single
    assert single is not None
    return block.size - len(single_blocks.frame(single))


def _model(block: Block) -> Path | None:
    part = block.image or block.text or block.single
    return zoo.find_hash(part.model) if part is not None else None


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 3)


def _group(group: GroupLoss) -> Told:
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
    }


def image_map(data: bytes, settings: Settings) -> NDArray[np.float64] | None:
    """Bits of every pixel [height, width] of an image in wavefront order; None for whatever else.

    Pixels of the thumbnail get equal shares of its cost, noisy steps included.
    """
    picture = None if settings.media in ("text", "bytes") else png.parse(data, presets.MAX_PIXELS)
    if picture is None or settings.effort == "lattice" or picture.layout not in (Layout.L, Layout.RGB):
        return None
    ledger = Ledger()
    model_path = zoo.find(settings.model) if settings.model else None
    block = image_blocks.encode_pictures(
        [picture], kernels.kernel_name(settings.device), model_path, settings.effort, ledger
    )
    made = block.image
    assert made is not None and made.schedule is Schedule.WAVEFRONT
    part = made.passes[0]
    if part.constant is not None:
        return None
    planes = image_blocks.split(picture.pixels[None], made.layout)[0]
    nets = image_blocks.networks(zoo.find_hash(made.model), kernels.kernel_name(settings.device))
    coefficients = coefficients_image.unpack(bytes(part.base), nets.coefficients)
    model = Wavefront(nets.changed(bytes(part.changes)), planes.shape, coefficients, planes, part.pace)
    bits: NDArray[np.float64] = np.zeros((made.height, made.width))
    for span in reversed(list(model.spans())):
        if not span[0]:
            continue
        rows = model.output(span, None)
        assert isinstance(rows, Rows)
        costs = 24 - np.log2(rows.table[:, 1])
        start = 0
        for group in span:
            y, x = model.positions(group)
            count = 2 * model.channels * len(y)
            bits[y, x] = costs[start : start + count].reshape(-1, len(y)).sum(axis=0)
            start += count
    thumbnail = ledger.groups[0]
    share = sum(thumbnail.path) + thumbnail.reconstruction
    height, width = bits[::STRIDE, ::STRIDE].shape
    bits[::STRIDE, ::STRIDE] = share / (height * width)
    return bits
