"""Training of a text model's block network: all bytes of a block from its contexts and noisy views.

The embedding table is the trained text network's and stays as it is. One network predicts the bytes after any number
of draws, and so serves schedules of any number of steps.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bfncodec.exact.layers import INPUT_MAX
from bfncodec.exact.tables import log_ratio
from bfncodec.flow.theta import LOG_STEPS
from bfncodec.models import zoo
from bfncodec.models.text import blockwise, contexts
from bfncodec.train import checkpoint, distributed
from bfncodec.train.loop import Log, Plan, Training, changed
from bfncodec.train.text.corpus import WARM, Corpus
from bfncodec.train.text.networks import LayersInTraining, frozen_layers

_UNIT = 32.0  # int8 steps of table and views per float
_VIEWS = 16  # inputs that a byte's theta becomes


@dataclass(frozen=True)
class BlockPlan(Plan):
    steps: int = 4000
    decay: float = 0.6
    block: int = 4
    width: int = 256
    hidden: int = 192
    windows: int = 32  # a step
    length: int = 512  # bytes a window
    stride: int = 4  # bytes between the starts of two blocks
    draws: int = 8  # views at most
    crlf: float = 0.25


class BlockTrainingNetwork(LayersInTraining):
    """Embedded contexts [n, C] and theta [n, B, 256] -> logits float32 [n, B, 256]; products in bfloat16."""

    def __init__(self, plan: BlockPlan, inputs: int) -> None:
        views = torch.randn(256, _VIEWS)
        super().__init__(inputs + plan.block * _VIEWS, plan.width, plan.hidden, 256 * plan.block, 2.0)
        self.block, self.views = plan.block, nn.Parameter(views)

    def forward(self, embedded: Tensor, shares: Tensor) -> Tensor:  # type: ignore[override]
        half = torch.bfloat16
        seen = (shares.to(half) @ self.views.to(half)).flatten(1)
        return super().forward(torch.cat([embedded.to(half), seen], dim=1)).view(-1, self.block, 256)


class BlockTraining(Training[BlockPlan]):
    unit, scale, counted = "bits a byte over all states", math.log(2), ("blocks", 1.0)
    vectors_last = True

    def __init__(self, corpus: Corpus, table: NDArray[np.int8], plan: BlockPlan, log: Log) -> None:
        self.corpus = corpus
        self.per = (plan.length - plan.block) // plan.stride  # blocks a window
        torch.manual_seed(plan.seed)
        self.table = torch.from_numpy(table.astype(np.float32) / _UNIT)
        self.layers = layers = BlockTrainingNetwork(plan, contexts.CONTEXTS * table.shape[1])
        super().__init__(layers, [layers.first.weight, layers.second.weight], plan, plan.windows * self.per, log)

    def loss(self, network: nn.Module) -> Tensor:
        share = distributed.share(self.items)
        embedded, shares, values = (part[share] for part in self.batch(self.step))
        nats = functional.cross_entropy(network(embedded, shares).flatten(0, 1), values.flatten())
        return nats * distributed.weight(self.items)

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Embedded contexts [n, C], theta in 1/256 [n, B, 256] and bytes [n, B] of one step."""
        plan = self.plan
        rng = np.random.default_rng([plan.seed, step])
        rows = np.empty((plan.length, contexts.CONTEXTS), np.int32)
        kept, values = [], []
        starts = np.arange(self.per) * plan.stride
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

    @torch.no_grad()
    def tensors(self) -> dict[str, NDArray[Any]]:
        """The integer network, as `models.text.blockwise` reads it."""
        network = self.layers
        embedded, shares, _ = self.batch(1 << 40)
        views = np.rint(network.views.double().numpy() * _UNIT).clip(-INPUT_MAX, INPUT_MAX)
        seen = np.floor(shares.double().numpy() @ views).reshape(len(embedded), -1)
        values = np.concatenate([np.rint(embedded.double().numpy() * _UNIT), seen], axis=1)
        return {"blocks.views": views.astype(np.int8)} | frozen_layers("blocks", network, values, _UNIT)


def train(
    corpus: Corpus,
    output: Path,
    work: Path,
    model: Path,
    *,
    changes: dict[str, Any] | None = None,
    every: float = 180.0,
    log: Log = print,
) -> None:
    """Train the block network for the text model in a file, and write the model with it; see `train.text.train`."""
    checkpoint.check_name(output)
    text = zoo.tensors(model)
    plan = changed(BlockPlan(), changes or {})
    training = BlockTraining(corpus, text["text.table"], plan, log)
    path = work / "blocks.safetensors"
    training.resume(path)
    training.run(path, every)
    kept = {name: tensor for name, tensor in text.items() if not name.startswith("blocks.")}
    card = zoo.card(model) | {"blocks": asdict(plan)}
    checkpoint.write_model(output, kept | training.tensors(), card)
