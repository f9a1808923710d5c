"""Training of the text network in floats, rounded to integers afterwards: there is no training with rounding."""

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
from bfncodec.exact.kernels import ACTIVATION_MAX
from bfncodec.exact.layers import INPUT_MAX, Tensors
from bfncodec.models import zoo
from bfncodec.models.text import bytewise, contexts, network
from bfncodec.models.text.memory import FAST, FULL, KEPT, Kit, exported, fresh
from bfncodec.models.text.network import LOGIT_STEPS
from bfncodec.train import checkpoint, distributed
from bfncodec.train.freeze import array, freeze
from bfncodec.train.loop import Log, Plan, Training, changed
from bfncodec.train.text.corpus import WARM, Corpus

_UNITS = (32.0, 16.0, 16.0, float(LOGIT_STEPS))  # of an exported model's table, activations and logits, as floats
_WORN = 1.0  # Adagrad's sums for a table that has been trained
_FINE = {"steps": 2000, "rate": 3e-4, "table_rate": 0.03}  # of the plan, where a trained model is the start
_CALIBRATION = 1 << 40  # the step whose batch tells the ranges of activations
PIECES = (12_000, 30_000, 60_000, 100_000)  # bytes of text that the mixing weights are learnt on, in turn


@dataclass(frozen=True)
class TextPlan(Plan):
    steps: int = 60000
    decay: float = 0.6
    dimensions: int = 16
    width: int = 384
    hidden: int = 256
    windows: int = 16  # a step
    length: int = 512  # bytes a window
    table_rate: float = 0.1
    crlf: float = 0.25  # share of windows whose lines are made to end in CR LF


class TextTrainingNetwork(nn.Module):
    """Inputs [n, inputs] -> logits float32 [n, outputs]; products in bfloat16; gain: of the first layer's weights."""

    def __init__(self, inputs: int, width: int, hidden: int, outputs: int, gain: float) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.second = nn.Linear(width, hidden)
        self.last = nn.Linear(hidden, outputs)
        for layer, size in ((self.first, gain), (self.second, 1.4), (self.last, 0.5)):
            nn.init.normal_(layer.weight, std=size / math.sqrt(layer.in_features))
            nn.init.zeros_(layer.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        half = torch.bfloat16
        hidden = inputs.to(half)
        for layer in (self.first, self.second):
            hidden = functional.relu(functional.linear(hidden, layer.weight.to(half), layer.bias.to(half)))
        return functional.linear(hidden, self.last.weight.to(half), self.last.bias.to(half)).float()


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
    """Rows int32 [windows * length, CONTEXTS] and bytes int64 of one step, of a share of the windows."""
    rng = np.random.default_rng([plan.seed, step])
    texts = [corpus.window(rng, plan.length, plan.crlf) for _ in range(plan.windows)][share]
    rows = np.empty((len(texts), plan.length, contexts.CONTEXTS), np.int32)
    values = np.empty((len(texts), plan.length), np.int64)
    for index, text in enumerate(texts):
        contexts.window_rows(text, WARM, rows[index])
        values[index] = text[WARM:]
    return torch.from_numpy(rows.reshape(-1, contexts.CONTEXTS)), torch.from_numpy(values.reshape(-1))


class TextTraining(Training[TextPlan]):
    unit, counted = "bpb", ("kB", 1e3)
    vectors_last = True

    def __init__(self, corpus: Corpus, plan: TextPlan, device: str, log: Log) -> None:
        self.corpus, self.device = corpus, device
        torch.manual_seed(plan.seed)
        self.table = torch.empty(contexts.ROWS, plan.dimensions).uniform_(-0.05, 0.05).to(device)
        self.squares = torch.full((contexts.ROWS,), 1e-3, device=device)
        inputs = contexts.CONTEXTS * plan.dimensions
        self.layers = layers = TextTrainingNetwork(inputs, plan.width, plan.hidden, 256, 4.0).to(device)
        self.used = torch.empty(0), torch.empty(0)  # rows of the table in the step at hand, and what they held
        super().__init__(layers, [layers.first.weight, layers.second.weight], plan, plan.windows * plan.length, log)

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
        mine = len(rows) // plan.length
        rows = distributed.whole(rows.view(mine, -1), plan.windows).reshape(-1)
        gradient = distributed.whole(gradient.view(mine, -1), plan.windows).view(-1, plan.dimensions)
        rate = plan.table_rate * factor
        if self.device == "cpu":
            _adagrad(self.table.numpy(), self.squares.numpy(), rows.numpy(), gradient.numpy(), rate)
            return
        self.squares.index_add_(0, rows, gradient.square().mean(1))
        self.table.index_add_(0, rows, gradient * (-rate * self.squares.index_select(0, rows).rsqrt())[:, None])

    def _bits(self, network: nn.Module, rows: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Mean bits a byte, and the embedded rows that they depend on."""
        embedded = self.table.index_select(0, rows.reshape(-1)).requires_grad_()
        logits = network(embedded.view(len(values), -1))
        return functional.cross_entropy(logits, values) / math.log(2), embedded

    @torch.no_grad()
    def validate(self) -> float:
        """Mean bits a byte over pieces of held-out text, the same ones each time."""
        bits, count = 0.0, 0
        for text in self.corpus.held_out(200, 2048):
            rows = np.empty((len(text) - WARM, contexts.CONTEXTS), np.int32)
            contexts.window_rows(text, WARM, rows)
            values = torch.from_numpy(text[WARM:].astype(np.int64)).to(self.device)
            bits += float(self._bits(self.layers, torch.from_numpy(rows).to(self.device), values)[0]) * len(values)
            count += len(values)
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
        numbers = [
            layer.integers for layer in network.three(kernel, tensors, "text", contexts.CONTEXTS * table.shape[1])
        ]
        sizes = table.shape[1], len(numbers[0].bias), len(numbers[1].bias)
        if sizes != (plan.dimensions, plan.width, plan.hidden):
            raise BfnError("the model to start from has other widths than the one to train")
        self.table.copy_(torch.from_numpy(table.astype(np.float32)) / _UNITS[0])
        self.squares.fill_(_WORN)
        for number, layer in enumerate((self.layers.first, self.layers.second, self.layers.last)):
            weight, bias, shift = numbers[number]
            power, rounding = 2.0**shift, (1 << shift) >> 1
            scale = _UNITS[number] / _UNITS[number + 1]
            layer.weight.copy_(torch.from_numpy(weight / power[:, None] * scale))
            layer.bias.copy_(torch.from_numpy((bias - rounding) / power / _UNITS[number + 1]))

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The integer network, as `models.text.network` reads it."""
        table, rows = self.table.cpu().numpy(), _batch(self.corpus, self.plan, _CALIBRATION)[0].numpy()
        scale = INPUT_MAX / np.quantile(abs(table[rows.reshape(-1)]), 0.9999)
        whole = np.rint(table * scale).clip(-INPUT_MAX, INPUT_MAX).astype(np.int8)
        values = whole[rows].reshape(len(rows), -1).astype(np.float64)
        return {"text.table": whole} | frozen_layers("text", self.layers, values, scale)


def frozen_layers(
    prefix: str, trained: TextTrainingNetwork, values: NDArray[np.float64], scale: float
) -> dict[str, NDArray[Any]]:
    """The layers as integers; inputs int [n, in], in steps of 1 / scale, tell the activations' ranges."""
    tensors: dict[str, NDArray[Any]] = {}
    for name, layer in (("first", trained.first), ("second", trained.second), ("last", trained.last)):
        weight, bias = array(layer.weight) / scale, array(layer.bias)
        sums = values @ weight.T + bias
        scale = LOGIT_STEPS if name == "last" else ACTIVATION_MAX / np.quantile(sums, 0.9999)
        tensors |= freeze(f"{prefix}.{name}", weight * scale, bias * scale)
        values = np.rint(sums * scale).clip(0, ACTIVATION_MAX)
    return tensors


def learn_mixing(
    tensors: Tensors,
    corpus: Corpus,
    plan: TextPlan,
    pieces: int,
    log: Log,
    start: Tensors | None = None,
    kit: Kit = FULL,
) -> dict[str, NDArray[Any]]:
    """Mixing weights and chances of histories, learnt by coding pieces of text in turn; start: those to start from."""
    rng = np.random.default_rng([plan.seed, 1 << 40])
    layers = network.load(kernels.kernel("bytes"), tensors)
    learnt: dict[str, Any] = {}
    bits, size = 0.0, 0
    for number in range(pieces):
        text = corpus.window(rng, PIECES[number % len(PIECES)] - WARM, plan.crlf)
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
    pieces: int = 160,
    device: str = "cpu",
    every: float = 180.0,
    log: Log = print,
) -> None:
    """Train a text model and write its file.

    work: folder of the checkpoint that training goes on from. changes: fields of the plan to replace. init: a model to
    start from, with lower rates. pieces: of text that the mixing weights are learnt on.
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
        tensors |= learn_mixing(tensors, corpus, plan, pieces, log, start, kit)
    card = {"plan": asdict(plan), "held_out_bits": round(bits, 4), "bytes": corpus.bytes, "pieces": pieces}
    checkpoint.write_model(output, tensors, card)
