"""Texts to train on: windows drawn by kind of text, the end of every file held out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import BfnError

WARM = 256  # bytes before a window that only set the contexts' state
HELD_SHARE, HELD_LIMIT = 32, 200_000  # the end of every file is held out: a share of it, at most so many bytes
ENWIK_LIMIT = 94_000_000  # what comes after is for evaluation
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

    def held_out(self, pieces: int, length: int) -> Iterator[NDArray[np.uint8]]:
        """Pieces of WARM + length bytes at most of held-out text, the same ones each time."""
        rng = np.random.default_rng(1)
        texts = [text for text in self.held if len(text) > WARM]
        for number in rng.integers(0, len(texts), pieces) if texts else ():
            start = int(rng.integers(len(texts[number]) - WARM))
            yield np.array(texts[number][start : start + WARM + length])


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
