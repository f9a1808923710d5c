"""Texts to train on: windows drawn by kind of text, the end of every file held out."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import BfnError

WARM = 256  # bytes before a window that only set the contexts' state
HELD_SHARE, HELD_LIMIT = 32, 200_000  # the end of every file is held out: a share of it, at most so many bytes


@dataclass(frozen=True)
class TextKind:
    """Texts that are drawn together: their share, and how many bytes of each file may be used. ValueError for less."""

    share: float = 1.0
    first: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.share < math.inf:
            raise ValueError(f"a share is above 0, not {self.share}")
        if self.first is not None and not (isinstance(self.first, int) and self.first > 0):
            raise ValueError(f"the first bytes of a file are a number above 0, not {self.first}")


class Corpus:
    """Windows of text files, drawn by kind; the end of every file is held out.

    data: a folder, or a file; skip: ends of paths to leave out; mix: a JSON file of shares by folder or file, as
    {"novels": 0.6, "wiki.txt": {"share": 0.4, "first": 1000000}}, which leaves out all else. Without it folders are
    kinds of equal shares.
    """

    def __init__(self, data: Path, skip: frozenset[str] = frozenset(), mix: Path | None = None) -> None:
        known = _mix(mix) if mix is not None else None
        kinds: dict[str, list[NDArray[np.uint8]]] = {}
        ends: dict[str, list[NDArray[np.uint8]]] = {}
        shares: dict[str, float] = {}
        self.held: list[NDArray[np.uint8]] = []
        for path in sorted(data.rglob("*")) if data.is_dir() else [data]:
            if not path.is_file() or path.is_symlink() or path.stat().st_size < 64:
                continue
            found = _kind(path.relative_to(data).as_posix() if path != data else path.name, known)
            if found is None or any(str(path).endswith(name) for name in skip):
                continue
            name, kind = found
            text: NDArray[np.uint8] = np.memmap(path, np.uint8, "r")
            text = text[: kind.first]
            held = min(len(text) // HELD_SHARE, HELD_LIMIT)
            kinds.setdefault(name, []).append(text[: len(text) - held])
            shares[name] = kind.share
            self.held.append(text[len(text) - held :])
            if held > WARM:
                ends.setdefault(name, []).append(self.held[-1])
        if not kinds:
            raise BfnError(f"{data} holds no text to train on")
        self.seen, self.unseen = _Kinds(kinds, shares), _Kinds(ends or kinds, shares)
        self.bytes = sum(len(text) for files in kinds.values() for text in files)

    def window(self, rng: np.random.Generator, length: int, crlf: float) -> NDArray[np.uint8]:
        """WARM + length bytes; files are read as if they began again at their end."""
        text, size = self.seen.draw(rng), WARM + length
        start = int(rng.integers(len(text)))
        return _ended(np.take(text, range(start, start + size), mode="wrap"), rng, crlf)

    def unseen_window(self, rng: np.random.Generator, length: int, crlf: float) -> NDArray[np.uint8]:
        """So many bytes of what is held out, or fewer; of what is not if no file is long enough to have such an end."""
        text = self.unseen.draw(rng)
        start = int(rng.integers(max(len(text) - length, 0) + 1))
        return _ended(np.array(text[start : start + length]), rng, crlf)

    def held_out(self, pieces: int, length: int) -> Iterator[NDArray[np.uint8]]:
        """Pieces of WARM + length bytes at most of held-out text, the same ones each time."""
        rng = np.random.default_rng(1)
        texts = [text for text in self.held if len(text) > WARM]
        for number in rng.integers(0, len(texts), pieces) if texts else ():
            start = int(rng.integers(len(texts[number]) - WARM))
            yield np.array(texts[number][start : start + WARM + length])


class _Kinds:
    """Texts by kind, to draw from by the kinds' shares and the texts' sizes."""

    def __init__(self, kinds: dict[str, list[NDArray[np.uint8]]], shares: dict[str, float]) -> None:
        self.files = list(kinds.values())
        self.cumulative = _cumulative([shares[name] for name in kinds])
        self.inner = [_cumulative([len(text) for text in files]) for files in self.files]

    def draw(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        kind = int(np.searchsorted(self.cumulative, rng.random()).clip(0, len(self.files) - 1))
        number = int(np.searchsorted(self.inner[kind], rng.random()).clip(0, len(self.files[kind]) - 1))
        return np.asarray(self.files[kind][number])


def _cumulative(sizes: list[int] | list[float]) -> NDArray[np.float64]:
    shares = np.array(sizes, np.float64)
    return np.cumsum(shares / shares.sum())


def _ended(window: NDArray[np.uint8], rng: np.random.Generator, crlf: float) -> NDArray[np.uint8]:
    """A window whose lines may be made to end in CR LF."""
    if rng.random() < crlf and 13 not in window:
        return np.frombuffer(window.tobytes().replace(b"\n", b"\r\n"), np.uint8)[: len(window)]
    return window


def _mix(path: Path) -> dict[str, TextKind]:
    """Kinds by folder; BfnError if the file is no such list."""
    try:
        entries = json.loads(path.read_text())
        return {
            name: TextKind(**one) if isinstance(one, dict) else TextKind(float(one)) for name, one in entries.items()
        }
    except (ValueError, TypeError, AttributeError) as error:
        raise BfnError(f"{path} is no list of shares by folder: {error}") from error


def _kind(name: str, mix: dict[str, TextKind] | None) -> tuple[str, TextKind] | None:
    """The kind that a file belongs to, by the longest name in the mix that holds it; None to leave it out."""
    if mix is None:
        return name.rpartition("/")[0], TextKind()
    folders = [folder for folder in mix if name == folder or name.startswith(folder.rstrip("/") + "/")]
    best = max(folders, key=len, default=None)
    return None if best is None else (best, mix[best])
