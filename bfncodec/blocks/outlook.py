"""What a look at bytes promises, at some hundredths of a second a megabyte: whether a model could gain anything.

Most large files are packed already, photographs, music, archives: their bytes are as good as random, and minutes of
modelling would find that out. Two numbers tell: the entropy of single bytes, block by block, and how often strings of
eight bytes come again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bfncodec.spans import Data, pieces

BLOCK = 1 << 16  # bytes whose entropy is taken together
_KEY = 8  # bytes of a string that is looked for again
_SAMPLED = 64  # one string in so many at most, chosen by its first four bytes, wherever it lies
_KEPT = 1 << 19  # strings that are kept
_MULTIPLIER, _FLIP = np.uint32(2654435761), np.uint32(0x9E3779B9)  # so that zeros are none of those chosen
# Densities from which on an item is noise, next to noise, packed, or packed if it begins like a packed file.
_NOISE, _DENSE, _PACKED, _KNOWN = 0.998, 0.985, 0.96, 0.85
_START = 32  # bytes of an item that marks lie in
_SELDOM = 0.002  # share of strings that come again where none are looked for
_TINY = 1 << 11  # bytes up to which nothing is known by a look

# Starts of files whose content is packed: at an offset, any of these. Others with the same start are told apart by
# their density: a PNG or ZIP may be stored.
_STARTS: tuple[tuple[int, tuple[bytes, ...]], ...] = (
    (0, (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF87a", b"GIF89a", b"\xff\x0a", b"\0\0\0\x0cJXL ")),  # images
    (8, (b"WEBP",)),
    (0, (b"PK\x03\x04", b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"BZh", b"7z\xbc\xaf", b"Rar!")),
    (0, (b"\x04\x22\x4d\x18", b"MSCF", b"!<arch>\ndebian", b"\xed\xab\xee\xdb", b"\x89BFN\r\n")),
    (0, (b"OggS", b"fLaC", b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\x1a\x45\xdf\xa3")),  # sound and films
    (4, (b"ftyp",)),
    (0, (b"wOFF", b"wOF2")),  # fonts
)  # fmt: skip


@dataclass
class Outlook:
    """What is known of an item, piece after piece."""

    start: bytes = b""
    size: int = 0
    bits: float = 0.0  # entropy of all blocks
    most: int = (1 << 32) // _SAMPLED  # of the hashes of strings that are kept
    keys: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))

    def add(self, data: Data) -> None:
        """Look at the next bytes."""
        for piece in pieces(data):
            values = np.frombuffer(piece, np.uint8)
            self.start += piece[: max(0, _START - len(self.start))]
            self.size += len(values)
            self.bits += sum(_entropy(values[at : at + BLOCK]) for at in range(0, len(values), BLOCK))
            self._keep(_keys(values, self.most))

    def join(self, other: Outlook) -> None:
        """Add what was seen of the bytes that follow."""
        self.start += other.start[: max(0, _START - len(self.start))]
        self.size += other.size
        self.bits += other.bits
        self.most = min(self.most, other.most)
        self._keep(other.keys)

    @property
    def density(self) -> float:
        """The entropy of single bytes, as a share of the bytes' bits."""
        return self.bits / (8 * self.size) if self.size else 0.0

    @property
    def repeated(self) -> float:
        """Share of strings that came before."""
        keys = np.sort(self.keys)  # `np.unique` imports what takes time
        return np.count_nonzero(keys[1:] == keys[:-1]) / len(keys) if len(keys) else 0.0

    @property
    def noise(self) -> bool:
        """True if nothing can make the item smaller."""
        return self.size >= BLOCK and self.density >= _NOISE and self.unrepeated

    @property
    def packed(self) -> bool:
        """True if the item is packed already: at most LZMA finds something, and no model."""
        known = any(self.start.startswith(marks, at) for at, marks in _STARTS)
        return self.size >= _TINY and self.density >= (_KNOWN if known else _PACKED)

    @property
    def quick(self) -> bool:
        """True if LZMA need not take its time: all that there may be is repeats of whole strings."""
        return self.packed and self.density >= _DENSE

    @property
    def unrepeated(self) -> bool:
        """True if there is next to nothing that LZMA could find."""
        return self.repeated < _SELDOM

    def _keep(self, keys: NDArray[np.uint64]) -> None:
        self.keys = np.concatenate([self.keys, keys])
        while len(self.keys) > _KEPT:
            self.most //= 2
            self.keys = self.keys[_hashed(self.keys.astype(np.uint32)) <= np.uint32(self.most)]


def look(data: Data) -> Outlook:
    """An outlook on all of an item."""
    outlook = Outlook()
    outlook.add(data)
    return outlook


def _entropy(values: NDArray[np.uint8]) -> float:
    """Bits of all values; what few values lack by chance is added (Miller and Madow)."""
    counts = np.bincount(values, minlength=256)
    counts = counts[counts > 0]
    return float(-(counts * np.log2(counts / len(values))).sum()) + (len(counts) - 1) / (2 * np.log(2))


def _keys(values: NDArray[np.uint8], most: int) -> NDArray[np.uint64]:
    """Some of the strings in bytes, the same ones wherever they lie: those of small hashes."""
    count = len(values) - _KEY + 1
    if count <= 0:
        return np.empty(0, np.uint64)
    starts = np.ndarray(count, "<u4", values, strides=(1,))
    chosen = np.flatnonzero(_hashed(starts) <= np.uint32(most))
    return np.ndarray(count, "<u8", values, strides=(1,))[chosen].astype(np.uint64)


def _hashed(starts: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return (starts ^ _FLIP) * _MULTIPLIER
