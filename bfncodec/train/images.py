"""Training of a whole image model: the wavefront network and the coset networks, then their export."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from safetensors.numpy import save_file

from bfncodec.errors import BfnError
from bfncodec.train.cosets import CosetTask
from bfncodec.train.data import Photographs, SmallImages, Wavefront
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
    if output.suffix != ".safetensors":
        raise BfnError(f"{output}: a model file's name ends in .safetensors")
    images = SmallImages(data, 0) if data.is_file() else Photographs(data, 0, skip)
    kind = "small" if data.is_file() else "photographs"
    work.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Any] = {}
    card: dict[str, Any] = {"data": kind}
    for part, preset in PLANS[kind].items():
        plan = replace(preset, **(changes or {})) if not parts or part in parts else preset
        trainer = Trainer(_task(images, part, plan, device), plan, device, log)
        checkpoint = work / f"{part}.safetensors"
        if checkpoint.exists():
            trainer.load(checkpoint)
        if not parts or part in parts:
            log(f"{part}: {sum(p.numel() for p in trainer.network.parameters())} weights, {plan.steps} steps")
            trainer.run(checkpoint, every)
        bits = trainer.validate()
        log(f"{part}: {bits:.4f} bits per subpixel on held-out images")
        tensors |= {f"{part}.{name}": tensor for name, tensor in trainer.tensors().items()}
        card[part] = {"plan": asdict(plan), "held_out_bits": round(bits, 4)}
    temporary = output.with_name(output.name + ".part")
    save_file(tensors, temporary, {"card": json.dumps(card)})
    os.chmod(temporary, 0o644)
    os.replace(temporary, output)


def _task(images: Photographs | SmallImages, part: str, plan: Plan, device: str) -> Task:
    if part == "wavefront":
        return Wavefront(images, plan.pixels, plan.seed, device)
    return CosetTask(images, part, DEVIATIONS, plan.pixels, plan.seed, device)
