"""Training of the paper's own models with the n-step loss (arXiv:2308.07037, sections 4 to 6).

One network serves every number of steps: each item of a batch draws its own n, its own step and the noise that leads
there. KL terms are closed forms or quadratures, so that only the noise before the step scatters.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bfncodec.errors import BfnError
from bfncodec.models.paper.spec import Spec
from bfncodec.train import arrays, checkpoint, distributed
from bfncodec.train.loop import Log, Plan, Training, changed
from bfncodec.train.paper.loss import Flow, time_inputs
from bfncodec.train.paper.network import GridTrainingNetwork

LETTERS = b" abcdefghijklmnopqrstuvwxyz"
SPECS = {
    "mnist": Spec(
        "binary", (28, 28, 1), b"\0\1", "3", (48, 96), (1, 2), (2, 2), (3, 3), (2, 2), 192
    ),
    "cifar10": Spec(
        "values", (32, 32, 3), bytes(range(256)), "0.001", (96, 96, 128), (1, 2, 2), (2, 2), (3, 3), (2, 2), 192, 2
    ),
    "cifar10-16": Spec(
        "values", (32, 32, 3), bytes(range(16)), "0.03162277660168", (96, 96, 128), (1, 2, 2), (2, 2), (3, 3), (2, 2),
        192, 2,
    ),
    "text8": Spec(
        "classes", (1, 256, 1), LETTERS, "0.75", (96, 160, 256), (1, 2, 1), (1, 1), (1, 5), (1, 4), 192
    ),
}  # fmt: skip
HELD_OUT = 50  # every so many-th item
TEXT8_TRAIN = 72_000_000  # bytes of text8 that may be trained on


@dataclass(frozen=True)
class PaperPlan(Plan):
    rate: float = 3e-3
    items: int = 128  # a step
    counts: tuple[int, ...] = (10, 25, 50, 100)  # numbers n of noisy steps that are trained


class Items:
    """Items of a spec's shape, symbols int64; those held out are apart."""

    def __init__(self, path: Path, spec: Spec) -> None:
        self.spec = spec
        if spec.kind == "classes":
            table = np.zeros(256, np.uint8)
            table[list(spec.alphabet)] = np.arange(spec.levels)
            text = np.fromfile(path, np.uint8, TEXT8_TRAIN)
            self.text = torch.from_numpy(table[text[: len(text) * 49 // 50]])
            rest = table[text[len(self.text) :]]
            self.held = torch.from_numpy(rest[: len(rest) // spec.size * spec.size].reshape(-1, *spec.shape))
            return
        pixels = arrays.read(path)
        if pixels.size % spec.size:
            raise BfnError(f"{path}: expected items of {spec.shape}, found an array of {pixels.shape}")
        pixels = pixels.reshape(-1, *spec.shape)
        if spec.kind == "values":
            pixels = pixels // (256 // spec.levels)
        keep = np.arange(len(pixels)) % HELD_OUT > 0
        self.pixels, self.held = torch.from_numpy(pixels[keep]), torch.from_numpy(pixels[~keep])

    def batch(self, count: int) -> Tensor:
        """Random items int64 [count, H, W, C]."""
        if self.spec.kind == "classes":
            starts = torch.randint(len(self.text) - self.spec.size, (count, 1))
            return self.text[starts + torch.arange(self.spec.size)].view(count, *self.spec.shape).long()
        picked = self.pixels[torch.randint(len(self.pixels), (count,))]
        if self.spec.kind == "values" and self.spec.shape[1] == 32:
            flip = torch.rand(count, 1, 1, 1) < 0.5
            picked = picked.flip(2).where(flip, picked)
        return self._binary(picked)

    def held_out(self, count: int) -> Tensor:
        """The same items every time, int64."""
        return self._binary(self.held[:count])

    def _binary(self, picked: Tensor) -> Tensor:
        """Binary data are drawn anew every time: a pixel is the chance of a one."""
        return torch.bernoulli(picked / 255).long() if self.spec.kind == "binary" else picked.long()


class PaperTraining(Training[PaperPlan]):
    """One network for all numbers of steps."""

    unit = "nats an item"

    def __init__(self, spec: Spec, data: Items, plan: PaperPlan, log: Log) -> None:
        self.flow, self.data = Flow(spec), data
        torch.manual_seed(plan.seed)
        self.grid = GridTrainingNetwork(spec)
        super().__init__(self.grid, self.grid.matrices(), plan, plan.items, log, weight_decay=0.01)

    def loss(self, network: nn.Module) -> Tensor:
        plan, share = self.plan, distributed.share(self.items)
        torch.manual_seed(plan.seed * 1_000_003 + self.step)
        items = self.data.batch(plan.items)
        count = torch.tensor(plan.counts)[torch.randint(len(plan.counts), (plan.items,))]
        step = (torch.rand(plan.items) * (count + 1)).floor()
        nats = self.flow.losses(network, items, step, count, share)
        return (nats * (count[share] + 1)).mean() * distributed.weight(self.items)

    @torch.no_grad()
    def validate(self, count: int, items: int = 1000, draws: int = 4) -> float:
        """The n-step loss in nats an item on held-out items, steps taken evenly."""
        torch.manual_seed(1)
        total = 0.0
        for draw in range(draws):
            whole = self.data.held_out(items)
            for start in range(0, len(whole), 100):
                part = whole[start : start + 100]
                step = (torch.arange(len(part)) * 7 + 3 * draw + start) % (count + 1)
                nats = self.flow.losses(self.grid, part, step, torch.full((len(part),), count))
                total += float(nats.double().sum()) * (count + 1) / len(whole)
        return total / draws

    def tensors(self) -> dict[str, NDArray[Any]]:
        torch.manual_seed(2)
        batches = []
        for part in self.data.held_out(512).split(64):  # type: ignore[no-untyped-call]
            at = torch.rand(len(part))
            batches.append((self.flow.seen(part, at).inputs, time_inputs(at)))
        return self.grid.tensors(batches)


def train(
    config: str,
    data: Path,
    output: Path,
    work: Path,
    *,
    changes: dict[str, Any] | None = None,
    every: float = 120.0,
    log: Log = print,
) -> None:
    """Train one of SPECS on pixels uint8 [N, H, W(, C)] (.npy) or text8; `work`: folder of the checkpoint."""
    checkpoint.check_name(output)
    spec = SPECS[config]
    plan = changed(PaperPlan(), changes or {})
    training = PaperTraining(spec, Items(data, spec), plan, log)
    path = work / f"{config}.safetensors"
    training.resume(path)
    log(f"{sum(p.numel() for p in training.network.parameters())} weights, {plan.steps} steps")
    training.run(path, every)
    if not distributed.first():
        return
    losses = {str(n): round(training.validate(n), 3) for n in plan.counts}
    log(f"held-out nats an item by number of steps: {losses}")
    fields = asdict(spec) | {"alphabet": list(spec.alphabet)}
    checkpoint.write_model(output, training.tensors(), {"spec": fields, "plan": asdict(plan), "held_out_nats": losses})
