"""Training of the text network: embedding rows of hashed contexts, two hidden layers, 256 logits.

Float training; the rounding to integers afterwards costs less than 0.1 % (see the model
card), so there is no training with rounding. Everything random follows from (seed, step).
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from bfncodec.errors import BfnError
from bfncodec.exact import kernels
from bfncodec.exact.freeze import freeze
from bfncodec.exact.layers import ACTIVATION_MAX, INPUT_MAX
from bfncodec.models.text import bytewise, contexts, mixing, network
from bfncodec.models.text.network import LOGIT_STEPS

Log = Callable[[str], None]
WARM = 256  # bytes before a window that only set the contexts' state
HELD_SHARE, HELD_LIMIT = 32, 200_000  # the end of every file is held out: a share of it, at most so many bytes
# Shares of the kinds of text in the layout of shared/data, by folder; other folders: by size.
MIX = {
    "enwik8.bin": 0.27,
    "train/lit_en_eltec": 0.17,
    "train/lit_en_novels": 0.17,
    "train/lit_multi": 0.03,
    "train/pkg/code": 0.09,
    "train/pkg/data": 0.01,
    "train/pkg/data_html": 0.03,
    "train/pkg/data_mail": 0.02,
    "train/pkg/data_table": 0.01,
    "train/pkg/en_dict": 0.03,
    "train/pkg/en_docs": 0.11,
    "train/pkg/en_prose": 0.05,
    "train/pkg/en_prose_moby": 0.01,
    "train/pkg/multi": 0.03,
    "train/pkg/multi_guide": 0.01,
    "train/pkg/multi_handbook": 0.01,
}
_CALIBRATION = 1 << 40  # the step whose batch tells the ranges of activations
PIECES = (12_000, 30_000, 60_000, 100_000)  # bytes of text that the mixing weights are learnt on, in turn
ENWIK_LIMIT = 94_000_000  # what comes after is for evaluation


@dataclass(frozen=True)
class Plan:
    """What is trained and for how long; stored in every checkpoint."""

    dimensions: int = 16
    width: int = 384
    hidden: int = 256
    steps: int = 60000
    windows: int = 16  # a step
    length: int = 512  # bytes a window
    rate: float = 2e-3
    table_rate: float = 0.1
    decay: float = 0.6  # the last part of the steps, over which the rates fall to zero
    crlf: float = 0.25  # share of windows whose lines are made to end in CR LF
    seed: int = 0


class Corpus:
    """Windows of text files, drawn by kind; the end of every file is held out."""

    def __init__(self, data: Path, skip: frozenset[str] = frozenset()) -> None:
        kinds: dict[str, list[NDArray[np.uint8]]] = {}
        self.held: list[NDArray[np.uint8]] = []
        for path in sorted(data.rglob("*")) if data.is_dir() else [data]:
            kind = _kind(data, path)
            if kind is None or not path.is_file() or path.is_symlink() or path.stat().st_size < 64:
                continue
            if any(str(path).endswith(name) for name in skip):
                continue
            text: NDArray[np.uint8] = np.memmap(path, np.uint8, "r")
            text = text[:ENWIK_LIMIT] if kind == "enwik8.bin" else text
            held = min(len(text) // HELD_SHARE, HELD_LIMIT)
            kinds.setdefault(kind, []).append(text[: len(text) - held])
            self.held.append(text[len(text) - held :])
        if not kinds:
            raise BfnError(f"{data} holds no text to train on")
        self.files = list(kinds.values())
        weights = np.array([MIX.get(kind, 1.0) for kind in kinds])
        self.cumulative = np.cumsum(weights / weights.sum())
        sizes = [np.array([len(text) for text in files]) for files in self.files]
        self.inner = [np.cumsum(size / size.sum()) for size in sizes]
        self.bytes = sum(int(size.sum()) for size in sizes)

    def window(self, rng: np.random.Generator, length: int, crlf: float) -> NDArray[np.uint8]:
        """WARM + length bytes; files are read as if they began again at their end."""
        kind = int(np.searchsorted(self.cumulative, rng.random()).clip(0, len(self.files) - 1))
        number = int(np.searchsorted(self.inner[kind], rng.random()).clip(0, len(self.files[kind]) - 1))
        text = self.files[kind][number]
        start = int(rng.integers(len(text)))
        size = WARM + length
        made = (
            np.resize(text, start + size)[start:] if len(text) < start + size else np.array(text[start : start + size])
        )
        if rng.random() < crlf and 13 not in made:
            made = np.frombuffer(made.tobytes().replace(b"\n", b"\r\n"), np.uint8)[:size]
        return made

    def batch(self, plan: Plan, step: int) -> tuple[Tensor, Tensor]:
        """Rows int64 [windows * length, CONTEXTS] and bytes int64 of one step."""
        rng = np.random.default_rng([plan.seed, step])
        rows = np.empty((plan.windows, plan.length, contexts.CONTEXTS), np.int32)
        values = np.empty((plan.windows, plan.length), np.int64)
        for index in range(plan.windows):
            text = self.window(rng, plan.length, plan.crlf)
            contexts.window_rows(text, WARM, rows[index])
            values[index] = text[WARM:]
        return torch.from_numpy(rows.reshape(-1, contexts.CONTEXTS)), torch.from_numpy(values.reshape(-1))


def _kind(data: Path, path: Path) -> str | None:
    """The key of MIX that a file belongs to; its folder in other layouts; None to leave it out."""
    name = path.relative_to(data).as_posix() if path != data else path.name
    if not (data / "train").is_dir():
        return name.rpartition("/")[0]
    if name == "enwik8.bin":
        return name
    if name.endswith((".txt", ".xml")) and name.startswith("train/") and "/" in name.removeprefix("train/pkg/"):
        return "/".join(name.split("/")[: 3 if name.startswith("train/pkg/") else 2])
    return None


class Network(torch.nn.Module):
    """Embedding rows [n, CONTEXTS * dimensions] -> logits [n, 256]; products in bfloat16."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        inputs = contexts.CONTEXTS * plan.dimensions
        self.first = torch.nn.Linear(inputs, plan.width)
        self.second = torch.nn.Linear(plan.width, plan.hidden)
        self.last = torch.nn.Linear(plan.hidden, 256)
        for layer, gain in ((self.first, 4.0), (self.second, 1.4), (self.last, 0.5)):
            torch.nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.in_features))
            torch.nn.init.zeros_(layer.bias)

    def forward(self, embedded: Tensor) -> Tensor:
        """Logits float32 [n, 256]."""
        half = torch.bfloat16
        hidden = embedded.to(half)
        for layer in (self.first, self.second):
            hidden = functional.relu(functional.linear(hidden, layer.weight.to(half), layer.bias.to(half)))
        return functional.linear(hidden, self.last.weight.to(half), self.last.bias.to(half)).float()


@njit(cache=True)
def _adagrad(table: Any, squares: Any, rows: Any, gradient: Any, rate: float) -> None:
    """Row-wise Adagrad, one use of a row after the other."""
    width = table.shape[1]
    for index in range(len(rows)):
        row = rows[index]
        square = np.float32(0.0)
        for column in range(width):
            square += gradient[index, column] * gradient[index, column]
        squares[row] += square / width
        factor = np.float32(rate) / np.sqrt(squares[row])
        for column in range(width):
            table[row, column] -= factor * gradient[index, column]


class Trainer:
    """The network, its table, its text and its optimisers."""

    def __init__(self, corpus: Corpus, plan: Plan, device: str, log: Log) -> None:
        self.corpus, self.plan, self.device, self.log = corpus, plan, device, log
        torch.manual_seed(plan.seed)
        self.table = torch.empty(contexts.ROWS, plan.dimensions).uniform_(-0.05, 0.05).to(device)
        self.squares = torch.full((contexts.ROWS,), 1e-3, device=device)
        self.network = Network(plan).to(device)
        self.step = 0
        layers = (self.network.first, self.network.second, self.network.last)
        others = [self.network.last.weight, *(layer.bias for layer in layers)]
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.Muon([layer.weight for layer in layers[:2]], lr=5 * plan.rate, weight_decay=0.0),
            torch.optim.AdamW(others, lr=plan.rate, betas=(0.9, 0.99), weight_decay=0.0),
        ]

    def _bits(self, rows: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Mean bits a byte, and the embedded rows that they depend on."""
        embedded = self.table.index_select(0, rows.reshape(-1)).requires_grad_()
        logits = self.network(embedded.view(len(values), -1))
        return functional.cross_entropy(logits, values) / math.log(2), embedded

    def _update_table(self, rows: Tensor, gradient: Tensor, rate: float) -> None:
        flat = rows.reshape(-1)
        if self.device == "cpu":
            _adagrad(self.table.numpy(), self.squares.numpy(), flat.numpy(), gradient.numpy(), rate)
            return
        self.squares.index_add_(0, flat, gradient.square().mean(1))
        self.table.index_add_(0, flat, gradient * (-rate * self.squares.index_select(0, flat).rsqrt())[:, None])

    def run(self, checkpoint: Path, every: float) -> None:
        """Train to the plan's end; write a checkpoint every `every` seconds and at the end."""
        plan = self.plan
        started = saved = told = time.monotonic()
        first, bits = self.step, []
        while self.step < plan.steps:
            factor = min(1.0, (self.step + 1) / 200, (plan.steps - self.step) / (plan.steps * plan.decay))
            for optimiser, rate in zip(self.optimisers, (5 * plan.rate, plan.rate), strict=True):
                optimiser.param_groups[0]["lr"] = rate * factor
                optimiser.zero_grad()
            rows, values = (part.to(self.device) for part in self.corpus.batch(plan, self.step))
            loss, embedded = self._bits(rows, values)
            loss.backward()  # type: ignore[no-untyped-call]
            assert embedded.grad is not None
            self._update_table(rows, embedded.grad * (len(values) * math.log(2)), plan.table_rate * factor)
            for optimiser in self.optimisers:
                optimiser.step()
            bits.append(loss.item())
            if not math.isfinite(bits[-1]):
                raise BfnError(f"training diverged at step {self.step}: the loss is not finite")
            self.step += 1
            now = time.monotonic()
            if now - told > 30:
                speed = (self.step - first) * len(values) / (now - started) / 1e3
                self.log(f"step {self.step}/{plan.steps}  {np.mean(bits[-500:]):.4f} bpb  {speed:.0f} kB/s")
                told = now
            if now - saved > every:
                self.save(checkpoint)
                saved = now
        self.save(checkpoint)

    @torch.no_grad()
    def validate(self, pieces: int = 200, length: int = 2048) -> float:
        """Mean bits a byte over pieces of held-out text, the same ones each time."""
        rng = np.random.default_rng(1)
        texts = [text for text in self.corpus.held if len(text) > WARM]
        bits, count = 0.0, 0
        for number in rng.integers(0, len(texts), pieces) if texts else ():
            start = int(rng.integers(len(texts[number]) - WARM))
            text = np.array(texts[number][start : start + WARM + length])
            rows = np.empty((len(text) - WARM, contexts.CONTEXTS), np.int32)
            contexts.window_rows(text, WARM, rows)
            values = torch.from_numpy(text[WARM:].astype(np.int64)).to(self.device)
            bits += float(self._bits(torch.from_numpy(rows).to(self.device), values)[0]) * len(values)
            count += len(values)
        return bits / max(count, 1)

    def save(self, path: Path) -> None:
        """Write table, weights, optimiser state and step; the file is whole at any time."""
        tensors = {"table": self.table, "squares": self.squares}
        tensors |= {f"weight.{name}": value for name, value in self.network.state_dict().items()}
        for number, optimiser in enumerate(self.optimisers):
            for index, state in optimiser.state_dict()["state"].items():
                tensors |= {f"state.{number}.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        temporary = path.with_name(path.name + ".part")
        save_file(tensors, temporary, {"plan": json.dumps(asdict(self.plan)), "step": str(self.step)})
        os.replace(temporary, path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint of the same network; another length or rate is allowed."""
        with safe_open(path, "pt") as file:
            self.step = int(file.metadata()["step"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        self.table.copy_(tensors["table"])
        self.squares.copy_(tensors["squares"])
        self.network.load_state_dict(_part(tensors, "weight."))
        for number, optimiser in enumerate(self.optimisers):
            entries: dict[int, dict[str, Tensor]] = {}
            for name, value in _part(tensors, f"state.{number}.").items():
                index, key = name.split(".", 1)
                entries.setdefault(int(index), {})[key] = value
            optimiser.load_state_dict({"state": entries, "param_groups": optimiser.state_dict()["param_groups"]})
        self.log(f"going on from step {self.step} of {path}")

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The integer network, as `models.text.network` reads it."""
        return integers(self.table.cpu().numpy(), self.network, self.corpus.batch(self.plan, _CALIBRATION)[0].numpy())


def integers(table: NDArray[Any], trained: Network, rows: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """int8 table and layers of a float network; `rows` [n, CONTEXTS] of some text tell the activations' ranges."""
    scale = INPUT_MAX / np.quantile(abs(table[rows.reshape(-1)]), 0.9999)
    made = {"text.table": np.rint(table * scale).clip(-INPUT_MAX, INPUT_MAX).astype(np.int8)}
    values = made["text.table"][rows].reshape(len(rows), -1).astype(np.float64)
    for name, layer in (("first", trained.first), ("second", trained.second), ("last", trained.last)):
        weight = layer.weight.detach().cpu().double().numpy() / scale
        bias = layer.bias.detach().cpu().double().numpy()
        sums = values @ weight.T + bias
        scale = LOGIT_STEPS if name == "last" else ACTIVATION_MAX / np.quantile(sums, 0.9999)
        made |= freeze(f"text.{name}", weight * scale, bias * scale)
        values = np.rint(sums * scale).clip(0, ACTIVATION_MAX)
    return made


def learn_mixing(
    tensors: dict[str, NDArray[Any]], corpus: Corpus, plan: Plan, pieces: int, log: Log
) -> dict[str, NDArray[Any]]:
    """Mixing weights and chances of histories, learnt by coding pieces of training text one after the other."""
    rng = np.random.default_rng([plan.seed, 1 << 40])
    layers = network.load(kernels.kernel("float32"), tensors)
    memory: mixing.Memory | None = None
    bits, size = 0.0, 0
    for number in range(pieces):
        text = corpus.window(rng, PIECES[number % len(PIECES)] - WARM, plan.crlf)
        fresh = mixing.fresh(None, text, bytewise.slot_bits(len(text)))
        if memory is not None:
            fresh = fresh._replace(**{name: getattr(memory, name) for name in mixing.LEARNT})
        memory = fresh
        bits += bytewise.dry_run(layers, memory, text)
        size += len(text)
        if number % 20 == 19:
            log(f"mixing: {number + 1} pieces, {bits / size:.4f} bpb")
    assert memory is not None
    return mixing.exported(memory)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
