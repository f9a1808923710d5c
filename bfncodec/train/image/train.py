"""Training of a whole image model: the wavefront network and the coset networks, then their export."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bfncodec.errors import BfnError
from bfncodec.train import checkpoint, distributed
from bfncodec.train.freeze import array, freeze
from bfncodec.train.image import table
from bfncodec.train.image.network import EmbeddingTrainingNetwork, LocalTrainingNetwork, mixture_bits
from bfncodec.train.image.photographs import Photographs, SmallImages
from bfncodec.train.image.pool import Batch
from bfncodec.train.image.tasks import CosetTask, PixelTask
from bfncodec.train.loop import Log, Plan, Training, changed


@dataclass(frozen=True)
class ImagePlan(Plan):
    steps: int = 20000
    width: int = 192
    blocks: int = 2
    head: int = 64
    mixtures: int = 4
    rounded: float = 0.15  # the last part of the steps, trained with integer rounding
    pixels: int = 8192  # a step
    embedding: int = 32  # units, of the wavefront network


DEVIATIONS = [60, 41, 28, 19, 13, 9, 6, 4]
_THUMBNAIL = ImagePlan(width=96, blocks=2, head=32, steps=6000, pixels=2048)
_COSET = ImagePlan(width=128, blocks=2, head=32, steps=4000, pixels=4096)
PLANS = {
    "photographs": {
        "wavefront": ImagePlan(width=192, blocks=3, steps=22000, rounded=0.1),
        "T": _THUMBNAIL,
        **dict.fromkeys("DHV", _COSET),
    },
    "small": {
        "wavefront": ImagePlan(width=256, blocks=3, steps=10500, rounded=0.1),
        "T": replace(_THUMBNAIL, steps=2000),
        **dict.fromkeys("DHV", replace(_COSET, steps=2000)),
    },
}


class ImageTraining(Training[ImagePlan]):
    """Float first, then with the integer network's rounding."""

    unit, counted = "bpsp", ("kpixel", 1e3)

    def __init__(self, task: PixelTask | CosetTask, plan: ImagePlan, device: str, log: Log) -> None:
        self.task, self.partial = task, not task.cross
        torch.manual_seed(plan.seed)
        sizes = plan.width, plan.blocks, plan.head, plan.mixtures
        if isinstance(task, PixelTask):
            local: LocalTrainingNetwork = EmbeddingTrainingNetwork(task.features, *sizes, plan.embedding)
        else:
            local = LocalTrainingNetwork(task.features, *sizes, task.cross)
        self.local = local.to(device)
        super().__init__(self.local, self.local.matrices(), plan, task.pixels, log, weight_decay=0.01)

    @property
    def rounded_from(self) -> int:
        """The step from which on the network is trained with integer rounding."""
        return int(self.plan.steps * (1 - self.plan.rounded))

    def loss(self, network: nn.Module) -> Tensor:
        if self.step >= self.rounded_from and self.local.grids is None:
            self.local.calibrate([self.task.batch(self.step, draw) for draw in range(1, 25)])
            self.log("calibrated; training goes on with integer rounding")
        items = self.task.items
        batch = self.task.batch(self.step, 0, distributed.share(items))
        return pixel_bits(network, batch).mean() * distributed.weight(items)

    @torch.no_grad()
    def validate(self) -> float:
        """Bits per subpixel over the held-out data."""
        bits = [pixel_bits(self.local, batch).double() for batch in self.task.held_out()]
        return float(sum(part.sum() for part in bits) / sum(part.numel() for part in bits))

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The integer network, as `models.image.networks` reads it. Needs calibrated grids."""
        if self.local.grids is None:
            raise BfnError("the network has not been trained with integer rounding yet")
        layers: dict[str, NDArray[Any]] = {}
        for name in self.local.layer_names():
            weight, bias = self.local.folded(name)
            layers |= freeze(name, array(weight), array(bias))
        return layers | self.task.constants()

    def state(self) -> dict[str, Tensor]:
        return {f"grid.{name}": value for name, value in (self.local.grids or {}).items()}

    def take(self, tensors: dict[str, Tensor]) -> None:
        # A longer plan trains in floating point again until its own last part.
        rounded = self.step >= self.rounded_from
        self.local.grids = (checkpoint.part(tensors, "grid.") or None) if rounded else None


def pixel_bits(network: nn.Module, batch: Batch) -> Tensor:
    """Bits of each pixel's predicted channels, [n, channels]."""
    pairs = zip(batch.channels, network(batch), strict=True)
    return torch.stack([mixture_bits(m, batch.means[:, i], batch.scale[:, i], batch.values[:, i]) for i, m in pairs], 1)


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

    data: a folder of images, or an array of small ones [N, side, side, 3] (.npy). work: folder of checkpoints that
    training goes on from. parts: all, or some where the others have checkpoints. changes: fields of the plans.
    """
    checkpoint.check_name(output)
    kind = "small" if data.is_file() else "photographs"
    presets = PLANS[kind]
    paths = {part: work / f"{part}.safetensors" for part in presets}
    chosen = parts or tuple(presets)
    for part in chosen:
        if part not in paths:
            raise BfnError(f"no part of an image model is called {part!r}; there are {', '.join(paths)}")
    missing = [part for part, path in paths.items() if part not in chosen and not path.exists()]
    if missing:
        raise BfnError(f"{work} has no checkpoints of {', '.join(missing)}, which a model needs too")
    changes = changes or {}
    seed = changes.get("seed") or Plan.seed
    images = SmallImages(data, seed) if data.is_file() else Photographs(data, seed, skip)
    tensors: dict[str, Any] = {}
    card: dict[str, Any] = {"data": kind}
    plans = {part: changed(presets[part], changes) for part in chosen}
    # All of them before any time is spent: a checkpoint may turn out to be of no use.
    trainings = {part: _resumed(images, part, plans.get(part), paths[part], device, log) for part in presets}
    for part in presets:
        training = trainings.pop(part)
        if part in chosen:
            weights = sum(parameter.numel() for parameter in training.network.parameters())
            log(f"{part}: {weights} weights, {training.plan.steps} steps")
            training.run(paths[part], every)
        bits = training.validate()
        log(f"{part}: {bits:.4f} bits per subpixel on held-out images")
        tensors |= {f"{part}.{name}": tensor for name, tensor in training.tensors().items()}
        card[part] = {"plan": asdict(training.plan), "held_out_bits": round(bits, 4)}
    if isinstance(images, Photographs):
        plan = plans.get("wavefront") or ImagePlan(**checkpoint.plan(paths["wavefront"]))
        steps = table.default_steps(plan.steps)
        tensors["fast.table"] = table.fitted(images, plan.pixels, steps, plan.seed, device)
    checkpoint.write_model(output, tensors, card)


def _resumed(
    images: Photographs | SmallImages, part: str, plan: ImagePlan | None, path: Path, device: str, log: Log
) -> ImageTraining:
    """A training where it last stood; without a plan, one that is only exported: BfnError unless it can be."""
    own = plan or ImagePlan(**checkpoint.plan(path))
    training = ImageTraining(_task(images, part, own, device), own, device, log)
    training.resume(path)
    if plan is None and training.local.grids is None:
        raise BfnError(f"{path} has not been trained with integer rounding yet; train {part}, too")
    return training


def _task(images: Photographs | SmallImages, part: str, plan: ImagePlan, device: str) -> PixelTask | CosetTask:
    how = plan.pixels, plan.seed, device
    return PixelTask(images, *how) if part == "wavefront" else CosetTask(images, part, DEVIATIONS, *how)
