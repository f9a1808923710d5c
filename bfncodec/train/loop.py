"""The training loop: float first, then with the integer network's rounding; resumes exactly.

Everything random follows from (seed, step), so a checkpoint holds weights, optimiser
state and the step, and nothing else.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bfncodec.errors import BfnError
from bfncodec.train import checkpoint, distributed
from bfncodec.train.freeze import freeze
from bfncodec.train.image.network import LocalNetwork
from bfncodec.train.image.train import Plan, Task, pixel_bits


def rate_factor(step: int, steps: int, decay: float) -> float:
    """Share of the full learning rate at a step: a short warm-up, a plateau, a fall to zero over a share `decay`."""
    left = (steps - step) / (steps * decay)
    return min(1.0, (step + 1) / 200, left)


class Trainer:
    """One network, its data and its optimisers."""

    def __init__(self, task: Task, plan: Plan, device: str, log: Callable[[str], None]) -> None:
        self.task, self.plan, self.log = task, plan, log
        torch.manual_seed(plan.seed)
        self.network = LocalNetwork(task.features, plan.width, plan.blocks, plan.head, plan.mixtures, task.cross)
        self.network.to(device)
        self.step = 0
        self.losses: list[float] = []  # of the steps of this run
        network = self.network
        trunk = [network.inner, *network.first, *network.second, *network.heads]
        matrices = [layer.weight for layer in trunk]
        known = {id(matrix) for matrix in matrices}
        others = [parameter for parameter in network.parameters() if id(parameter) not in known]
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(matrices, lr=5 * plan.rate, weight_decay=0.01),
            torch.optim.AdamW(others, lr=plan.rate, betas=(0.9, 0.99), weight_decay=0.0),
        ]

    @property
    def rounded_from(self) -> int:
        """The step from which on the network is trained with integer rounding."""
        return int(self.plan.steps * (1 - self.plan.rounded))

    def run(self, path: Path, every: float) -> None:
        """Train to the plan's end; write a checkpoint every `every` seconds and at the end."""
        plan = self.plan
        started = saved = told = time.monotonic()
        first, bits = self.step, self.losses
        network = distributed.parallel(self.network, self.step, partial=not self.task.cross)
        share, weight = distributed.share(plan.pixels), distributed.weight(plan.pixels)
        while self.step < plan.steps:
            if self.step >= self.rounded_from and self.network.grids is None:
                draws = [self.task.batch(self.step, draw) for draw in range(1, 25)]
                self.network.calibrate([(batch.features, batch.cross) for batch in draws])
                self.log("calibrated; training goes on with integer rounding")
            for optimiser, rate in zip(self.optimisers, (5 * plan.rate, plan.rate), strict=True):
                optimiser.param_groups[0]["lr"] = rate * rate_factor(self.step, plan.steps, plan.decay)
                optimiser.zero_grad()
            loss = pixel_bits(network, self.task.batch(self.step, 0, share)).mean() * weight
            loss.backward()  # type: ignore[no-untyped-call]
            for optimiser in self.optimisers:
                optimiser.step()
            bits.append(distributed.mean(loss))
            if not math.isfinite(bits[-1]):
                raise BfnError(f"training diverged at step {self.step}: the loss is not finite")
            self.step += 1
            now = time.monotonic()
            if now - told > 30:
                speed = (self.step - first) * plan.pixels / (now - started) / 1e3
                self.log(f"step {self.step}/{plan.steps}  {np.mean(bits[-500:]):.4f} bpsp  {speed:.0f} kpixel/s")
                told = now
            if now - saved > every:
                self.save(path)
                saved = now
        self.save(path)

    @torch.no_grad()
    def validate(self) -> float:
        """Bits per subpixel over the held-out data."""
        bits = [pixel_bits(self.network, batch).double() for batch in self.task.held_out()]
        return float(sum(part.sum() for part in bits) / sum(part.numel() for part in bits))

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The integer network, as `exact.layers.LocalNetwork` reads it. Needs calibrated grids."""
        if self.network.grids is None:
            raise BfnError("the network has not been trained with integer rounding yet")
        layers: dict[str, NDArray[Any]] = {}
        for name in self.network.layer_names():
            weight, bias = self.network.folded(name)
            layers |= freeze(name, weight.detach().cpu().double().numpy(), bias.detach().cpu().double().numpy())
        return layers | self.task.constants()

    def save(self, path: Path) -> None:
        """Write weights, optimiser state, grids and step; the file is whole at any time."""
        tensors = {f"weight.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"grid.{name}": value for name, value in (self.network.grids or {}).items()}
        checkpoint.save(path, tensors, self.optimisers, asdict(self.plan), self.step)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint of the same network; another length or rate is allowed."""
        tensors, stored, self.step = checkpoint.load(path, self.optimisers)
        checkpoint.restore(self.network, tensors, path)
        # A longer plan trains in floating point again until its own last part.
        self.network.grids = (checkpoint.part(tensors, "grid.") or None) if self.step >= self.rounded_from else None
        self.log(f"going on from step {self.step} of {path}")
        if stored != asdict(self.plan):
            self.log(f"its plan was another one: {stored}")
