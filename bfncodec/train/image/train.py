"""Training of a whole image model: the wavefront network and the coset networks, then their export."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from bfncodec.train import checkpoint, distributed
from bfncodec.train.image.network import mixture_bits
from bfncodec.train.image.photographs import Photographs, SmallImages
from bfncodec.train.image.pool import Batch
from bfncodec.train.image.tasks import CosetTask, Wavefront
from bfncodec.train.loop import Trainer


class Task(Protocol):
    """What a network is trained on. Batches follow from the step alone."""

    features: int
    cross: bool

    def batch(self, step: int, draw: int, share: slice = distributed.ALL) -> Batch:
        """The batch of a step, or a share of it; other draws give other batches of the same data."""

    def held_out(self) -> Iterator[Batch]:
        """Held-out data, every pixel once."""

    def constants(self) -> dict[str, NDArray[Any]]:
        """Integer tensors that the exported model needs beside the network."""


@dataclass(frozen=True)
class Plan:
    """What is trained and for how long; stored in every checkpoint."""

    width: int = 192
    blocks: int = 2
    head: int = 64
    mixtures: int = 4
    steps: int = 20000
    rate: float = 2e-3
    decay: float = 0.5  # the last part of the steps, over which the rate falls to zero
    rounded: float = 0.15  # the last part of the steps, trained with integer rounding
    pixels: int = 8192  # a step
    seed: int = 0


def pixel_bits(network: torch.nn.Module, batch: Batch) -> Tensor:
    """Bits of each pixel's predicted channels, [n, channels]."""
    mixtures = network(batch.features, batch.cross, batch.channels)
    pairs = zip(batch.channels, mixtures, strict=True)
    return torch.stack([mixture_bits(m, batch.means[:, i], batch.scale[:, i], batch.values[:, i]) for i, m in pairs], 1)


DEVIATIONS = [60, 41, 28, 19, 13, 9, 6, 4]
_THUMBNAIL = Plan(width=96, blocks=2, head=32, steps=6000, pixels=2048)
_COSET = Plan(width=128, blocks=2, head=32, steps=4000, pixels=4096)
_COSETS = {"D": _COSET, "H": _COSET, "V": _COSET}
PLANS = {
    "photographs": {
        "wavefront": Plan(width=192, blocks=3, steps=22000, rounded=0.1),
        "T": _THUMBNAIL,
        **_COSETS,
    },
    "small": {
        "wavefront": Plan(width=256, blocks=3, steps=10500, rounded=0.1),
        "T": replace(_THUMBNAIL, steps=2000),
        **{kind: replace(_COSET, steps=2000) for kind in _COSETS},
    },
}

Log = Callable[[str], None]


def train(
    data: Path,
    output: Path,
    work: Path,
    *,
    parts: tuple[str, ...] = (),
    changes: dict[str, Any] | None = None,
    skip: frozenset[str] = frozenset(),
    device: str = "cpu",
    every: float = 180.0,
    log: Log = print,
) -> None:
    """Train what is not trained yet and write the model file.

    data: a folder of images, or an array of small ones [N, side, side, 3] (.npy). work: folder
    of checkpoints, one a part; training goes on from those that are there. parts: all, or some.
    changes: fields of the plans to replace. Every random choice follows from the plans' seed.
    """
    checkpoint.check_name(output)
    images = SmallImages(data, 0) if data.is_file() else Photographs(data, 0, skip)
    kind = "small" if data.is_file() else "photographs"
    work.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Any] = {}
    card: dict[str, Any] = {"data": kind}
    for part, preset in PLANS[kind].items():
        plan = replace(preset, **(changes or {})) if not parts or part in parts else preset
        trainer = Trainer(_task(images, part, plan, device), plan, device, log)
        path = work / f"{part}.safetensors"
        if path.exists():
            trainer.load(path)
        if not parts or part in parts:
            log(f"{part}: {sum(p.numel() for p in trainer.network.parameters())} weights, {plan.steps} steps")
            trainer.run(path, every)
        bits = trainer.validate()
        log(f"{part}: {bits:.4f} bits per subpixel on held-out images")
        tensors |= {f"{part}.{name}": tensor for name, tensor in trainer.tensors().items()}
        card[part] = {"plan": asdict(plan), "held_out_bits": round(bits, 4)}
    checkpoint.write_model(output, tensors, card)


def _task(images: Photographs | SmallImages, part: str, plan: Plan, device: str) -> Task:
    if part == "wavefront":
        return Wavefront(images, plan.pixels, plan.seed, device)
    return CosetTask(images, part, DEVIATIONS, plan.pixels, plan.seed, device)
