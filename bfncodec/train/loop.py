"""The one training loop: steps, rates, checkpoints, logs, one process or several. A training says what is learnt.

Everything random follows from (seed, step), so training resumes exactly from weights, optimiser state and the step.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from bfncodec.errors import BfnError
from bfncodec.train import checkpoint, distributed

Log = Callable[[str], None]

REPORT = 30.0  # seconds between two lines of the log
_LATEST = 500  # steps whose mean loss is reported
_JUDGED = 50  # steps whose mean loss tells whether training diverges
_RISE = 1.5  # times the lowest such mean so far: no way back


@dataclass(frozen=True)
class Plan:
    """How long and how fast; stored in every checkpoint."""

    steps: int = 10_000
    rate: float = 2e-3
    decay: float = 0.5  # the last part of the steps, over which the rate falls to zero
    seed: int = 0


P = TypeVar("P", bound=Plan)


class Training(ABC, Generic[P]):
    """A network, what it learns from and its optimisers.

    matrices: the weights that Muon serves, at five times the plan's rate (AdamW serves the others);
    items: a step, which processes share, in the unit of `counted`; weight_decay: of the matrices.
    """

    unit: str  # of losses in the log
    scale = 1.0  # one of that in the loss's own unit
    counted: tuple[str, float] = ("items", 1.0)  # what the log counts a second, and how many make one
    partial = False  # whether there are steps that leave some of the weights out
    vectors_last = False  # whether checkpoints have AdamW's vectors behind its matrices

    def __init__(
        self, network: nn.Module, matrices: Sequence[Tensor], plan: P, items: int, log: Log, weight_decay: float = 0.0
    ) -> None:
        self.network, self.plan, self.items, self.log, self.step = network, plan, items, log, 0
        self.losses: list[float] = []  # of the steps of this run
        known = {id(matrix) for matrix in matrices}
        others = [parameter for parameter in network.parameters() if id(parameter) not in known]
        if self.vectors_last:
            others.sort(key=lambda parameter: -parameter.ndim)
        self.rates = (5 * plan.rate, plan.rate)
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(matrices, lr=self.rates[0], weight_decay=weight_decay),
            torch.optim.AdamW(others, lr=self.rates[1], betas=(0.9, 0.99), weight_decay=0.0),
        ]

    @abstractmethod
    def loss(self, network: nn.Module) -> Tensor:
        """The loss of this process's share of the step at hand, to be averaged over processes."""

    def learn(self, factor: float) -> None:  # noqa: B027 - most have nothing to do
        """Whatever else is to be updated after the gradients are known; factor: of the rates."""

    def state(self) -> dict[str, Tensor]:
        """Tensors that a checkpoint holds beside weights and optimisers."""
        return {}

    def take(self, tensors: dict[str, Tensor]) -> None:  # noqa: B027 - the same
        """Go on from the tensors of a checkpoint, `state` among them."""

    def run(self, path: Path, every: float) -> None:
        """Train to the plan's end; write a checkpoint every `every` seconds and at the end."""
        plan = self.plan
        saved = reported = started = time.monotonic()
        first, lowest = self.step, math.inf
        network = distributed.parallel(self.network, self.step, partial=self.partial)
        while self.step < plan.steps:
            factor = rate_factor(self.step, plan.steps, plan.decay)
            for optimiser, rate in zip(self.optimisers, self.rates, strict=True):
                optimiser.param_groups[0]["lr"] = rate * factor
                optimiser.zero_grad()
            loss = self.loss(network)
            loss.backward()  # type: ignore[no-untyped-call]
            self.learn(factor)
            for optimiser in self.optimisers:
                optimiser.step()
            self.losses.append(distributed.mean(loss) / self.scale)
            level = float(np.mean(self.losses[-_JUDGED:]))
            if not level < _RISE * lowest:
                raise BfnError(f"training diverged at step {self.step}; try a lower rate from the last checkpoint")
            if len(self.losses) >= _JUDGED:
                lowest = min(lowest, level)
            self.step += 1
            now = time.monotonic()
            if now - reported > REPORT:
                (name, size), recent = self.counted, np.mean(self.losses[-_LATEST:])
                speed = (self.step - first) * self.items / (now - started) / size
                self.log(f"step {self.step}/{plan.steps}  {recent:.4f} {self.unit}  {speed:.0f} {name}/s")
                reported = now
            if now - saved > every:
                self.save(path)
                saved = now
        self.save(path)

    def save(self, path: Path) -> None:
        """Write all that training needs to go on; the file is whole at any time."""
        tensors = {f"weight.{name}": value for name, value in self.network.state_dict().items()} | self.state()
        checkpoint.save(path, tensors, self.optimisers, asdict(self.plan), self.step)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint of the same network; another length or rate is allowed. BfnError if it is another."""
        tensors, stored, self.step = checkpoint.load(path, self.optimisers)
        try:
            self.network.load_state_dict(checkpoint.part(tensors, "weight."))
        except RuntimeError as error:
            raise BfnError(f"{path} is the checkpoint of another network; remove it or name another --work") from error
        self.take(tensors)
        self.log(f"going on from step {self.step} of {path}")
        if stored != asdict(self.plan):
            self.log(f"its plan was another one: {stored}")

    def resume(self, path: Path) -> None:
        """Go on from the checkpoint at `path`, if there is one; its folder is made."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            self.load(path)


def rate_factor(step: int, steps: int, decay: float) -> float:
    """Share of the full learning rate at a step: a short warm-up, a plateau, a fall to zero over a share `decay`."""
    left = (steps - step) / (steps * decay)
    return min(1.0, (step + 1) / 200, left)


def changed(plan: P, changes: dict[str, Any]) -> P:
    """A plan with some fields replaced: those that are not None."""
    return replace(plan, **{name: value for name, value in changes.items() if value is not None})
