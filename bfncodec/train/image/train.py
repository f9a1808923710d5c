"""Training of a whole image model: the wavefront network and the coset networks, then their export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bfncodec.train import checkpoint
from bfncodec.train.image.photographs import Photographs, SmallImages, Wavefront
from bfncodec.train.image.tasks import CosetTask
from bfncodec.train.loop import Plan, Task, Trainer

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
