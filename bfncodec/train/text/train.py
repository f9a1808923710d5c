"""Training of the text network, and of the mixing weights after it."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bfncodec.errors import BfnError
from bfncodec.exact import kernels
from bfncodec.exact.compiled import compiled
from bfncodec.exact.layers import INPUT_MAX, Tensors
from bfncodec.models import zoo
from bfncodec.models.text import bytewise, contexts, network
from bfncodec.models.text.memory import FAST, FULL, KEPT, Kit, exported, fresh
from bfncodec.train import checkpoint, distributed
from bfncodec.train.loop import Log, Plan, Training, changed
from bfncodec.train.text.corpus import WARM, Corpus
from bfncodec.train.text.networks import RecurrentInTraining, frozen_recurrent

_UNIT, _ACTIVE = 32.0, 16.0  # steps of an exported model's table, and of its activations, as floats
_WORN = 1.0  # Adagrad's sums for a table that has been trained
_FINE = {"steps": 2000, "rate": 3e-4, "table_rate": 0.03}  # of the plan, where a trained model is the start
_CALIBRATION = range(1 << 40, (1 << 40) + 6)  # the steps whose batches tell the ranges of activations
_PIECES = 160  # of text, where nothing else is said
PIECES = (12_000, 30_000, 60_000, 100_000)  # bytes of text that the mixing weights are learnt on, in turn


@dataclass(frozen=True)
class TextPlan(Plan):
    steps: int = 60000
    decay: float = 0.6
    dimensions: int = 16
    width: int = 384
    units: int = 320
    hidden: int = 256
    windows: int = 10  # a step
    length: int = 1024  # bytes a window
    table_rate: float = 0.1
    crlf: float = 0.25  # share of windows whose lines are made to end in CR LF


@compiled
def _adagrad(table: Any, squares: Any, rows: Any, gradient: Any, rate: float) -> None:
    """Row-wise Adagrad, one use of a row after the other."""
    width = table.shape[1]
    for index in range(len(rows)):
        row = rows[index]
        square = np.float32(0.0)
        for column in range(width):
            square += gradient[index, column] * gradient[index, column]
        squares[row] += float(square) / width
        factor = np.float32(rate) / np.sqrt(squares[row])
        for column in range(width):
            table[row, column] -= factor * gradient[index, column]


def _batch(corpus: Corpus, plan: TextPlan, step: int, share: slice = distributed.ALL) -> tuple[Tensor, Tensor]:
    """Rows int32 [windows, length, CONTEXTS] and bytes int64 [windows, length] of a step, of a share of its windows."""
    rng = np.random.default_rng([plan.seed, step])
    texts = [corpus.window(rng, plan.length, plan.crlf) for _ in range(plan.windows)][share]
    rows = np.empty((len(texts), plan.length, contexts.CONTEXTS), np.int32)
    values = np.empty((len(texts), plan.length), np.int64)
    for index, text in enumerate(texts):
        contexts.window_rows(text, WARM, rows[index])
        values[index] = text[WARM:]
    return torch.from_numpy(rows), torch.from_numpy(values)


class TextTraining(Training[TextPlan]):
    unit, counted = "bpb", ("kB", 1e3)
    vectors_last = True

    def __init__(self, corpus: Corpus, plan: TextPlan, device: str, log: Log) -> None:
        self.corpus, self.device = corpus, device
        torch.manual_seed(plan.seed)
        self.table = torch.empty(contexts.ROWS, plan.dimensions).uniform_(-0.05, 0.05).to(device)
        self.squares = torch.full((contexts.ROWS,), 1e-3, device=device)
        inputs = contexts.CONTEXTS * plan.dimensions
        layers = RecurrentInTraining(inputs, plan.width, plan.units, plan.hidden, 256, 4.0).to(device)
        self.layers = layers
        self.used = torch.empty(0), torch.empty(0)  # rows of the table in the step at hand, and what they held
        matrices = [layer.weight for layer in (layers.first, layers.gate, layers.candidate, layers.second)]
        super().__init__(layers, matrices, plan, plan.windows * plan.length, log)

    def loss(self, network: nn.Module) -> Tensor:
        share = distributed.share(self.plan.windows)
        rows, values = (part.to(self.device) for part in _batch(self.corpus, self.plan, self.step, share))
        bits, embedded = self._bits(network, rows, values)
        self.used = rows, embedded
        return bits * distributed.weight(self.plan.windows)

    def learn(self, factor: float) -> None:
        # Every process has the whole table, and brings it up to date with the rows of all.
        plan, (rows, embedded) = self.plan, self.used
        assert embedded.grad is not None
        gradient = embedded.grad * (self.items / distributed.processes() * math.log(2))
        mine = len(rows)
        rows = distributed.whole(rows.view(mine, -1), plan.windows).reshape(-1)
        gradient = distributed.whole(gradient.view(mine, -1), plan.windows).view(-1, plan.dimensions)
        rate = plan.table_rate * factor
        if self.device == "cpu":
            _adagrad(self.table.numpy(), self.squares.numpy(), rows.numpy(), gradient.numpy(), rate)
            return
        self.squares.index_add_(0, rows, gradient.square().mean(1))
        self.table.index_add_(0, rows, gradient * (-rate * self.squares.index_select(0, rows).rsqrt())[:, None])

    def _bits(self, network: nn.Module, rows: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Mean bits a byte of texts [texts, n], and the embedded rows that they depend on."""
        embedded = self.table.index_select(0, rows.reshape(-1)).requires_grad_()
        logits = network(embedded.view(*values.shape, -1))
        return functional.cross_entropy(logits.flatten(0, 1), values.flatten()) / math.log(2), embedded

    @torch.no_grad()
    def validate(self) -> float:
        """Mean bits a byte over pieces of held-out text, the same ones each time."""
        bits, count = 0.0, 0
        for text in self.corpus.held_out(200, 2048):
            rows = np.empty((len(text) - WARM, contexts.CONTEXTS), np.int32)
            contexts.window_rows(text, WARM, rows)
            values = torch.from_numpy(text[None, WARM:].astype(np.int64)).to(self.device)
            mean, _ = self._bits(self.layers, torch.from_numpy(rows).to(self.device), values)
            bits += float(mean) * values.numel()
            count += values.numel()
        return bits / max(count, 1)

    def state(self) -> dict[str, Tensor]:
        return {"table": self.table, "squares": self.squares}

    def take(self, tensors: dict[str, Tensor]) -> None:
        self.table.copy_(tensors["table"])
        self.squares.copy_(tensors["squares"])

    @torch.no_grad()
    def start_from(self, tensors: Tensors) -> None:
        """Take the weights of an exported model: fine-tuning. BfnError if its sizes are others than the plan's."""
        kernel, plan, table = kernels.kernel("bytes"), self.plan, tensors["text.table"]
        network.load(kernel, tensors)  # refuses what does not fit together
        layers, own = network.recurrent(kernel, tensors, contexts.CONTEXTS * table.shape[1]), self.layers
        first, gate, _, second, _ = (len(layer.integers.bias) for layer in layers)
        if (table.shape[1], first, gate, second) != (plan.dimensions, plan.width, plan.units, plan.hidden):
            raise BfnError("the model to start from has other widths than the one to train")
        self.table.copy_(torch.from_numpy(table.astype(np.float32)) / _UNIT)
        self.squares.fill_(_WORN)
        places = (
            (own.first, _UNIT, _ACTIVE),
            (own.gate, _ACTIVE, network.ODDS_STEPS),
            (own.candidate, _ACTIVE, _ACTIVE),
            (own.second, _ACTIVE, _ACTIVE),
            (own.last, _ACTIVE, network.LOGIT_STEPS),
        )
        for layer, (place, before, after) in zip(layers, places, strict=True):
            weight, bias, shift = layer.integers
            power, rounding = 2.0**shift, (1 << shift) >> 1
            place.weight.copy_(torch.from_numpy(weight / power[:, None] * (before / after)))
            place.bias.copy_(torch.from_numpy((bias - rounding) / power / after))

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The integer network, as `models.text.network` reads it."""
        batches = [_batch(self.corpus, self.plan, step)[0].numpy() for step in _CALIBRATION]
        table, rows = self.table.cpu().numpy(), np.concatenate(batches)
        scale = INPUT_MAX / np.quantile(abs(table[rows.reshape(-1)]), 0.9999)
        whole = np.rint(table * scale).clip(-INPUT_MAX, INPUT_MAX).astype(np.int8)
        values = whole[rows].reshape(*rows.shape[:2], -1).astype(np.float64)
        return {"text.table": whole} | frozen_recurrent(self.layers, values, scale)


def learn_mixing(
    tensors: Tensors,
    corpus: Corpus,
    plan: TextPlan,
    pieces: int,
    log: Log,
    start: Tensors | None = None,
    kit: Kit = FULL,
) -> dict[str, NDArray[Any]]:
    """Mixing weights and chances of histories, learnt by coding pieces of held-out text in turn.

    The network does not know those by heart. start: a model with mixing weights to go on from.
    """
    rng = np.random.default_rng([plan.seed, 1 << 40])
    layers = network.load(kernels.kernel("bytes"), tensors)
    learnt: dict[str, Any] = {}
    bits, size = 0.0, 0
    for number in range(pieces):
        text = corpus.unseen_window(rng, PIECES[number % len(PIECES)], plan.crlf)
        memory = fresh(start, text, bytewise.slot_bits(len(text)), kit)._replace(**learnt)
        bits += bytewise.dry_run(layers, memory, text, kit)
        learnt = {name: getattr(memory, name) for name in KEPT}
        size += len(text)
        if number % 20 == 19:
            log(f"mixing: {number + 1} pieces, {bits / size:.4f} bpb")
    return exported(memory, kit)


def train(
    corpus: Corpus,
    output: Path,
    work: Path,
    *,
    changes: dict[str, Any] | None = None,
    init: Path | None = None,
    pieces: int | None = None,
    device: str = "cpu",
    every: float = 180.0,
    log: Log = print,
) -> None:
    """Train a text model and write its file.

    work: folder of the checkpoint that training goes on from. changes: fields of the plan to replace. init: a model to
    start from, with lower rates. pieces: of text that the mixing weights are learnt on; None: enough of them, or none
    where a model is the start: its own mixing weights are better than what is learnt from little text.
    """
    checkpoint.check_name(output)
    plan = changed(TextPlan(), (_FINE if init else {}) | (changes or {}))
    training = TextTraining(corpus, plan, device, log)
    start = zoo.tensors(init) if init else None
    if start is not None:
        training.start_from(start)
    path = work / "text.safetensors"
    training.resume(path)
    log(f"{corpus.bytes:,} bytes of text, {plan.steps} steps of {plan.windows * plan.length} bytes")
    training.run(path, every)
    if not distributed.first():
        return
    bits = training.validate()
    log(f"{bits:.4f} bits per byte on held-out text, without what is learnt inside a file")
    tensors = training.tensors()
    for kit in (FULL, FAST):
        if start is not None and pieces is None:
            tensors |= {name: part for name, part in start.items() if name.startswith(f"{kit.family}.")}
        else:
            tensors |= learn_mixing(tensors, corpus, plan, pieces or _PIECES, log, start, kit)
    card = {"plan": asdict(plan), "held_out_bits": round(bits, 4), "bytes": corpus.bytes, "pieces": pieces}
    checkpoint.write_model(output, tensors, card)
