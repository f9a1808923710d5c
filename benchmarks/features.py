"""What samples are judged by: the Frechet distance on features of a small classifier, and the share of known words."""

from collections import Counter
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import nn
from torch.nn import functional

WIDTH = 64  # features
BATCH = 128
KNOWN_FROM = 10  # times that a word must occur to be known


class Classifier(nn.Module):
    """Pixels float [n, C, H, W] in [-1, 1] -> logits of ten classes; its features are [n, WIDTH]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b))
            for a, b in ((channels, 24), (24, 48), (48, 96))
        )
        self.inner = nn.Linear(96, WIDTH)
        self.last = nn.Linear(WIDTH, 10)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        for number, layer in enumerate(self.layers):
            pixels = functional.relu(layer(pixels))
            if number < 2:
                pixels = functional.max_pool2d(pixels, 2)
        return functional.relu(self.inner(pixels.mean((2, 3))))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.last(self.features(pixels))


class Judge:
    """A classifier trained on symbols uint8 [N, H, W, C] and labels [N]; fixed by its seed on one machine."""

    def __init__(self, symbols: np.ndarray, labels: np.ndarray, levels: int, steps: int, path: Path) -> None:
        self.levels = levels
        torch.manual_seed(0)
        self.network = Classifier(symbols.shape[3])
        if path.exists():
            self.network.load_state_dict(torch.load(path, weights_only=True))
        else:
            self._train(symbols, labels, steps)
            torch.save(self.network.state_dict(), path)
        self.network.eval()
        self.scale = np.sqrt(self._raw(symbols[:: len(symbols) // 2000]).var(axis=0).mean())

    def _pixels(self, symbols: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(symbols).permute(0, 3, 1, 2).float() * (2 / (self.levels - 1)) - 1

    def _train(self, symbols: np.ndarray, labels: np.ndarray, steps: int) -> None:
        optimiser = torch.optim.AdamW(self.network.parameters(), 3e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=steps)
        rng = np.random.default_rng(0)
        right = 0.0
        for step in range(steps):
            index = rng.integers(0, len(symbols), BATCH)
            logits = self.network(self._pixels(symbols[index]))
            wanted = torch.from_numpy(labels[index].astype(np.int64))
            loss = functional.cross_entropy(logits, wanted)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            right += 0.01 * (float((logits.argmax(1) == wanted).float().mean()) - right)
            if step % 200 == 199:
                click.echo(f"classifier: step {step + 1}/{steps}, {right:.1%} right", err=True)

    @torch.no_grad()
    def _raw(self, symbols: np.ndarray) -> np.ndarray:
        return np.concatenate([self.network.features(self._pixels(part)).numpy() for part in _parts(symbols)])

    def features(self, symbols: np.ndarray) -> np.ndarray:
        """Features float64 [n, WIDTH] of symbols uint8 [n, H, W, C]; of real images their mean variance is one."""
        return (self._raw(symbols) / self.scale).astype(np.float64)

    @torch.no_grad()
    def accuracy(self, symbols: np.ndarray, labels: np.ndarray) -> float:
        """Share of images that it puts in their class."""
        made = np.concatenate([self.network(self._pixels(part)).argmax(1).numpy() for part in _parts(symbols)])
        return float((made == labels).mean())


def _parts(symbols: np.ndarray) -> list[np.ndarray]:
    return [symbols[at : at + 250] for at in range(0, len(symbols), 250)]


def frechet(one: np.ndarray, other: np.ndarray) -> float:
    """Squared Frechet distance of Gaussians fitted to features [n, d] and [m, d] (arXiv:1706.08500, eq. 6)."""
    first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    between = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    apart = one.mean(axis=0) - other.mean(axis=0)
    return float(apart @ apart + np.trace(first) + np.trace(second) - 2 * between)


def spread(one: np.ndarray, other: np.ndarray, draws: int = 20) -> float:
    """Deviation of `frechet` over samples of this size, by the bootstrap of features `one`."""
    rng = np.random.default_rng(0)
    made = [frechet(one[rng.integers(0, len(one), len(one))], other) for _ in range(draws)]
    return float(np.std(made, ddof=1))


def vocabulary(text: bytes) -> set[bytes]:
    """Words of a text that occur often enough to be known."""
    counts: Counter[bytes] = Counter()
    for start in range(0, len(text), 1 << 24):  # a word cut in two here and there does not matter
        counts.update(text[start : start + (1 << 24)].split())
    return {word for word, count in counts.items() if count >= KNOWN_FROM}


def known_share(lines: list[bytes], words: set[bytes]) -> tuple[float, float]:
    """Share of the lines' whole words that are known, and its standard error over lines."""
    pairs: list[Any] = []
    for line in lines:
        whole = line.split(b" ")[1:-1]  # both ends are cut
        found = [word in words for word in whole if word]
        pairs.append((sum(found), len(found)))
    known, all_ = np.array(pairs, np.float64).T
    share = known.sum() / max(all_.sum(), 1)
    error = np.sqrt(((known - share * all_) ** 2).sum()) / max(all_.sum(), 1)
    return float(share), float(error)
