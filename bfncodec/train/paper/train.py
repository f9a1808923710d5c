"""Training of the paper's own models with the n-step loss (arXiv:2308.07037, sections 4 to 6).

One network serves every number of steps: each item of a batch draws its own n, its own step and
the noise that leads there. KL terms are closed forms or quadratures, so that only the noise
before the step scatters.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bfncodec.errors import BfnError
from bfncodec.models.paper.spec import Spec
from bfncodec.train import checkpoint, distributed
from bfncodec.train.loop import rate_factor
from bfncodec.train.paper.loss import Flow, time_inputs
from bfncodec.train.paper.network import Network

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


Log = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How long and how fast; stored in every checkpoint."""

    steps: int = 10_000
    items: int = 128  # a step
    rate: float = 3e-3
    decay: float = 0.5
    counts: tuple[int, ...] = (10, 25, 50, 100)  # numbers n of noisy steps that are trained
    seed: int = 0


class Data:
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
        pixels = np.load(path).reshape(-1, *spec.shape)
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


class Trainer:
    """A network, its data and its optimisers; everything random follows from (seed, step)."""

    def __init__(self, spec: Spec, data: Data, plan: Plan, log: Log) -> None:
        self.flow, self.data, self.plan, self.log, self.step = Flow(spec), data, plan, log, 0
        torch.manual_seed(plan.seed)
        self.network = Network(spec)
        self.losses: list[float] = []  # of the steps of this run
        matrices = self.network.matrices()
        known = {id(matrix) for matrix in matrices}
        others = [parameter for parameter in self.network.parameters() if id(parameter) not in known]
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(matrices, lr=5 * plan.rate, weight_decay=0.01),
            torch.optim.AdamW(others, lr=plan.rate, betas=(0.9, 0.99), weight_decay=0.0),
        ]

    def run(self, path: Path, every: float) -> None:
        """Train to the plan's end; write a checkpoint every `every` seconds and at the end."""
        plan, nats = self.plan, self.losses
        saved = told = started = time.monotonic()
        first = self.step
        network = distributed.parallel(self.network, self.step)
        share, weight = distributed.share(plan.items), distributed.weight(plan.items)
        while self.step < plan.steps:
            for optimiser, rate in zip(self.optimisers, (5 * plan.rate, plan.rate), strict=True):
                optimiser.param_groups[0]["lr"] = rate * rate_factor(self.step, plan.steps, plan.decay)
                optimiser.zero_grad()
            torch.manual_seed(plan.seed * 1_000_003 + self.step)
            items = self.data.batch(plan.items)
            count = torch.tensor(plan.counts)[torch.randint(len(plan.counts), (plan.items,))]
            step = (torch.rand(plan.items) * (count + 1)).floor()
            nats_of_step = self.flow.losses(network, items, step, count, share)
            loss = (nats_of_step * (count[share] + 1)).mean() * weight
            loss.backward()  # type: ignore[no-untyped-call]
            for optimiser in self.optimisers:
                optimiser.step()
            nats.append(distributed.mean(loss))
            if not math.isfinite(nats[-1]):
                raise BfnError(f"training diverged at step {self.step}: the loss is not finite")
            self.step += 1
            now = time.monotonic()
            if now - told > 30:
                speed = (self.step - first) * plan.items / (now - started)
                self.log(f"step {self.step}/{plan.steps}  {np.mean(nats[-500:]):.2f} nats an item  {speed:.0f} items/s")
                told = now
            if now - saved > every:
                self.save(path)
                saved = now
        self.save(path)

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
                nats = self.flow.losses(self.network, part, step, torch.full((len(part),), count))
                total += float(nats.double().sum()) * (count + 1) / len(whole)
        return total / draws

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The integer network."""
        torch.manual_seed(2)
        batches = []
        for part in self.data.held_out(512).split(64):  # type: ignore[no-untyped-call]
            at = torch.rand(len(part))
            batches.append((self.flow.seen(part, at).inputs, time_inputs(at)))
        return self.network.tensors(batches)

    def save(self, path: Path) -> None:
        """Write weights, optimiser state and step."""
        tensors = {f"weight.{name}": value for name, value in self.network.state_dict().items()}
        checkpoint.save(path, tensors, self.optimisers, asdict(self.plan), self.step)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint of the same network; another length or rate is allowed."""
        tensors, _, self.step = checkpoint.load(path, self.optimisers)
        checkpoint.restore(self.network, tensors, path)
        self.log(f"going on from step {self.step} of {path}")


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
    """Train one of SPECS and write its integer model.

    data: pixels uint8 [N, H, W(, C)] (.npy) or text8. work: folder of the checkpoint.
    """
    checkpoint.check_name(output)
    spec = SPECS[config]
    plan = replace(Plan(), **(changes or {}))
    trainer = Trainer(spec, Data(data, spec), plan, log)
    work.mkdir(parents=True, exist_ok=True)
    path = work / f"{config}.safetensors"
    if path.exists():
        trainer.load(path)
    log(f"{sum(p.numel() for p in trainer.network.parameters())} weights, {plan.steps} steps")
    trainer.run(path, every)
    if not distributed.first():
        return
    losses = {str(n): round(trainer.validate(n), 3) for n in plan.counts}
    log(f"held-out nats an item by number of steps: {losses}")
    fields = asdict(spec) | {"alphabet": list(spec.alphabet)}
    checkpoint.write_model(output, trainer.tensors(), {"spec": fields, "plan": asdict(plan), "held_out_nats": losses})
