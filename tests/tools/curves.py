"""Loss curves of short trainings of every kind, written as JSON: one process, or as many as torchrun starts."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bfncodec.errors import BfnError
from bfncodec.models.paper.spec import Spec
from bfncodec.train import distributed
from bfncodec.train.image.photographs import SmallImages
from bfncodec.train.image.tasks import CosetTask, PixelTask
from bfncodec.train.image.train import DEVIATIONS, ImagePlan, ImageTraining
from bfncodec.train.loop import Training
from bfncodec.train.paper.train import Items, PaperPlan, PaperTraining
from bfncodec.train.text.corpus import Corpus
from bfncodec.train.text.train import TextPlan, TextTraining

STEPS = 20
SPEC = Spec("binary", (8, 8, 1), b"\0\1", "3", (8, 12), (1, 1), (2, 2), (3, 3), (2, 2), 8)
# Numbers that two processes do not share evenly.
IMAGES = ImagePlan(width=16, blocks=1, head=8, mixtures=2, steps=STEPS, pixels=33, rounded=0.25, rate=1e-2)
PAPER = PaperPlan(steps=STEPS, items=7, rate=1e-2, counts=(5, 10))
TEXT = TextPlan(dimensions=1, width=8, hidden=8, windows=3, length=16, rate=2e-2, steps=STEPS)


def quiet(_: str) -> None:
    """Log nothing."""


def write_data(folder: Path) -> None:
    """Small images of every kind, and a text."""
    random = np.random.default_rng(0)
    coarse = random.integers(40, 200, (2000, 4, 4, 3)).repeat(4, 1).repeat(4, 2)
    np.save(folder / "colour.npy", (coarse + random.integers(0, 8, (2000, 16, 16, 3))).astype(np.uint8))
    np.save(folder / "binary.npy", (coarse[:500, :8, :8, 0] > 120).astype(np.uint8) * 255)
    (folder / "text").write_bytes((Path(__file__).parents[2] / "LICENSE").read_bytes())


def trainings(folder: Path) -> dict[str, Callable[[], Training]]:
    """What is trained, by name."""
    images = SmallImages(folder / "colour.npy", 0)

    def of_task(task: PixelTask | CosetTask) -> Training:
        return ImageTraining(task, IMAGES, "cpu", quiet)

    def of_paper() -> Training:
        return PaperTraining(SPEC, Items(folder / "binary.npy", SPEC), PAPER, quiet)

    return {
        "wavefront": lambda: of_task(PixelTask(images, 7 * images.side**2, 0, "cpu")),
        "coset": lambda: of_task(CosetTask(images, "D", DEVIATIONS, IMAGES.pixels, 0, "cpu")),
        "paper": of_paper,
        "resumed": of_paper,
        "text": lambda: TextTraining(Corpus(folder / "text"), TEXT, "cpu", quiet),
    }


def curves(folder: Path, work: Path) -> dict[str, list[float]]:
    """Train everything; go on from the checkpoints in `work`."""
    made = {}
    for name, build in trainings(folder).items():
        training, path = build(), work / f"{name}.safetensors"
        training.resume(path)
        training.run(path, 1e9)
        made[name] = training.losses
    return made


def refused(action: Callable[[], object]) -> str:
    """The error that something ends with."""
    try:
        action()
    except BfnError as error:
        return str(error)
    return ""


def main(folder: Path, work: Path) -> None:
    """In a process that torchrun started."""
    torch.set_num_threads(1)
    with distributed.joined("cpu"):
        made: dict[str, object] = dict(curves(folder, work))
        rank = torch.distributed.get_rank()
        made["steps differ"] = refused(lambda: distributed.parallel(torch.nn.Linear(1, 1), rank))
        made["too few items"] = refused(lambda: distributed.share(1))
        if distributed.first():
            (work / "curves.json").write_text(json.dumps(made))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
