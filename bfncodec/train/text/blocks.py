"""Training of a text model's block network: all bytes of a block from its contexts and noisy views.

The embedding table is the trained text network's and stays as it is. The network predicts
the bytes after any number of draws; what it pays for a schedule of n steps follows from the
same predictions, so one network serves every n.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bfncodec.errors import BfnError
from bfncodec.exact.kernels import ACTIVATION_MAX
from bfncodec.exact.layers import INPUT_MAX, Tensors
from bfncodec.exact.tables import log_ratio
from bfncodec.flow.theta import LOG_STEPS
from bfncodec.models import zoo
from bfncodec.models.text import blockwise, contexts
from bfncodec.models.text.network import LOGIT_STEPS
from bfncodec.train import checkpoint, distributed
from bfncodec.train.freeze import freeze
from bfncodec.train.loop import rate_factor
from bfncodec.train.text.corpus import WARM, Corpus
from bfncodec.train.text.train import Log

_UNIT = 32.0  # int8 steps of table and views per float
_VIEWS = 16  # inputs that a byte's theta becomes


@dataclass(frozen=True)
class Plan:
    """What is trained and for how long; stored in every checkpoint."""

    block: int = 4
    width: int = 256
    hidden: int = 192
    steps: int = 4000
    windows: int = 32  # a step
    length: int = 512  # bytes a window
    stride: int = 4  # bytes between the starts of two blocks
    draws: int = 8  # views at most
    rate: float = 2e-3
    decay: float = 0.6
    crlf: float = 0.25
    seed: int = 0


class Network(torch.nn.Module):
    """Embedded contexts [n, C] and theta [n, B, 256] -> logits [n, B, 256]; products in bfloat16."""

    def __init__(self, plan: Plan, inputs: int) -> None:
        super().__init__()
        self.block = plan.block
        self.views = torch.nn.Parameter(torch.randn(256, _VIEWS))
        self.first = torch.nn.Linear(inputs + plan.block * _VIEWS, plan.width)
        self.second = torch.nn.Linear(plan.width, plan.hidden)
        self.last = torch.nn.Linear(plan.hidden, 256 * plan.block)
        for layer, gain in ((self.first, 2.0), (self.second, 1.4), (self.last, 0.5)):
            torch.nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.in_features))
            torch.nn.init.zeros_(layer.bias)

    def forward(self, embedded: Tensor, shares: Tensor) -> Tensor:
        """Logits float32 [n, B, 256]."""
        half = torch.bfloat16
        seen = (shares.to(half) @ self.views.to(half)).flatten(1)
        hidden = torch.cat([embedded.to(half), seen], dim=1)
        for layer in (self.first, self.second):
            hidden = functional.relu(functional.linear(hidden, layer.weight.to(half), layer.bias.to(half)))
        logits = functional.linear(hidden, self.last.weight.to(half), self.last.bias.to(half))
        return logits.float().view(-1, self.block, 256)


class Trainer:
    """The block network on a text model's table."""

    def __init__(self, corpus: Corpus, table: NDArray[np.int8], plan: Plan, log: Log) -> None:
        self.corpus, self.plan, self.log = corpus, plan, log
        torch.manual_seed(plan.seed)
        self.table = torch.from_numpy(table.astype(np.float32) / _UNIT)
        self.network = Network(plan, contexts.CONTEXTS * table.shape[1])
        self.step = 0
        network = self.network
        others = [network.views, network.last.weight, network.first.bias, network.second.bias, network.last.bias]
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.Muon([network.first.weight, network.second.weight], lr=5 * plan.rate, weight_decay=0.0),
            torch.optim.AdamW(others, lr=plan.rate, betas=(0.9, 0.99), weight_decay=0.0),
        ]

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Embedded contexts [n, C], theta in 1/256 [n, B, 256] and bytes [n, B] of one step."""
        plan = self.plan
        rng = np.random.default_rng([plan.seed, step])
        per = (plan.length - plan.block) // plan.stride
        rows = np.empty((plan.length, contexts.CONTEXTS), np.int32)
        kept, values = [], []
        starts = np.arange(per) * plan.stride
        for _ in range(plan.windows):
            text = self.corpus.window(rng, plan.length, plan.crlf)
            contexts.window_rows(text, WARM, rows)
            kept.append(rows[starts])
            values.append(text[WARM + starts[:, None] + np.arange(plan.block)])
        known = np.concatenate(values).astype(np.int64)
        embedded = self.table[torch.from_numpy(np.concatenate(kept))].flatten(1)
        return embedded, self._theta(known, rng), torch.from_numpy(known)

    def _theta(self, known: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """What as many draws as `rng` says tell of bytes [n, B], as `flow.theta.ClassTheta.shares` / 256."""
        count, block = known.shape
        logs = np.zeros((count * block, 256), np.float32)
        gain = log_ratio(blockwise.SHARE, 256, LOG_STEPS) / LOG_STEPS
        draws = rng.integers(0, self.plan.draws + 1, count)
        for draw in range(self.plan.draws):
            own = rng.random((count, block)) * (1 << 16) < blockwise.SHARE
            views = np.where(own, known, rng.integers(0, 256, (count, block)))
            logs[np.arange(count * block), views.reshape(-1)] += np.repeat(gain * (draw < draws), block)
        shares = torch.from_numpy(logs).softmax(1).mul_(255).floor_().div_(256)
        return shares.view(count, block, 256)

    def run(self, path: Path, every: float) -> None:
        """Train to the plan's end; write a checkpoint every `every` seconds and at the end."""
        plan = self.plan
        saved = told = time.monotonic()
        bits = []
        network = distributed.parallel(self.network, self.step)
        while self.step < plan.steps:
            factor = rate_factor(self.step, plan.steps, plan.decay)
            for optimiser, rate in zip(self.optimisers, (5 * plan.rate, plan.rate), strict=True):
                optimiser.param_groups[0]["lr"] = rate * factor
                optimiser.zero_grad()
            batch = self.batch(self.step)
            share, weight = distributed.share(len(batch[0])), distributed.weight(len(batch[0]))
            embedded, shares, values = (part[share] for part in batch)
            loss = functional.cross_entropy(network(embedded, shares).flatten(0, 1), values.flatten()) * weight
            loss.backward()  # type: ignore[no-untyped-call]
            for optimiser in self.optimisers:
                optimiser.step()
            bits.append(distributed.mean(loss) / math.log(2))
            if not math.isfinite(bits[-1]):
                raise BfnError(f"training diverged at step {self.step}: the loss is not finite")
            self.step += 1
            now = time.monotonic()
            if now - told > 30:
                self.log(f"step {self.step}/{plan.steps}  {np.mean(bits[-200:]):.4f} bits a byte over all states")
                told = now
            if now - saved > every:
                self.save(path)
                saved = now
        self.save(path)

    def save(self, path: Path) -> None:
        """Write weights, optimiser state and step."""
        tensors = {f"weight.{name}": value for name, value in self.network.state_dict().items()}
        checkpoint.save(path, tensors, self.optimisers, asdict(self.plan), self.step)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint of the same network; another length or rate is allowed."""
        tensors, _, self.step = checkpoint.load(path, self.optimisers)
        checkpoint.restore(self.network, tensors, path)
        self.log(f"going on from step {self.step} of {path}")

    @torch.no_grad()
    def tensors(self) -> dict[str, NDArray[Any]]:
        """The integer network, as `models.text.blockwise` reads it."""
        network = self.network
        embedded, shares, _ = self.batch(1 << 40)
        views = np.rint(network.views.double().numpy() * _UNIT).clip(-INPUT_MAX, INPUT_MAX)
        seen = np.floor(shares.double().numpy() @ views).reshape(len(embedded), -1)
        values = np.concatenate([np.rint(embedded.double().numpy() * _UNIT), seen], axis=1)
        made: dict[str, NDArray[Any]] = {"blocks.views": views.astype(np.int8)}
        scale = _UNIT
        for name, layer in (("first", network.first), ("second", network.second), ("last", network.last)):
            weight, bias = layer.weight.double().numpy() / scale, layer.bias.double().numpy()
            sums = values @ weight.T + bias
            scale = LOGIT_STEPS if name == "last" else ACTIVATION_MAX / np.quantile(sums, 0.9999)
            made |= freeze(f"blocks.{name}", weight * scale, bias * scale)
            values = np.rint(sums * scale).clip(0, ACTIVATION_MAX)
        return made


def train(
    data: Path,
    output: Path,
    work: Path,
    model: Path,
    *,
    changes: dict[str, Any] | None = None,
    skip: frozenset[str] = frozenset(),
    every: float = 180.0,
    log: Log = print,
) -> None:
    """Train the block network for a text model and write the model with it.

    data, work, changes, skip: as for `train.text.train.train`; model: the text model's file.
    """
    checkpoint.check_name(output)
    text: Tensors = zoo.tensors(model)
    plan = replace(Plan(), **(changes or {}))
    trainer = Trainer(Corpus(data, skip), text["text.table"], plan, log)
    work.mkdir(parents=True, exist_ok=True)
    path = work / "blocks.safetensors"
    if path.exists():
        trainer.load(path)
    trainer.run(path, every)
    kept = {name: tensor for name, tensor in text.items() if not name.startswith("blocks.")}
    card = zoo.card(model) | {"blocks": asdict(plan)}
    checkpoint.write_model(output, kept | trainer.tensors(), card)
