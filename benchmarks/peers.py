"""Compressors of one PNG file, by their commands: bfncodec and its peers."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.measure import Run, installed, run

INPUT, OUTPUT = "INPUT", "OUTPUT"
_PILLOW = "import sys; from PIL import Image; Image.open(sys.argv[1]).save(sys.argv[2], 'PNG', optimize=True)"


@dataclass(frozen=True)
class Codec:
    """INPUT and OUTPUT stand for paths in the commands. Without `decode` the output is a PNG itself."""

    name: str
    suffix: str
    encode: tuple[str, ...]
    decode: tuple[str, ...] = ()
    version: tuple[str, ...] = ()
    package: str = ""  # of Debian


@dataclass(frozen=True)
class Coded:
    """One coded image: the whole file's bytes, and how long it took."""

    size: int
    encode: Run
    decode: Run | None


def _cjxl(effort: int) -> Codec:
    return Codec(
        f"cjxl -d 0 -e {effort}",
        ".jxl",
        ("cjxl", INPUT, OUTPUT, "-d", "0", "-e", str(effort), "--quiet"),
        ("djxl", INPUT, OUTPUT, "--quiet"),
        ("cjxl", "--version"),
        "libjxl-tools",
    )


CJXL_9 = _cjxl(9)
CJXL_7 = _cjxl(7)
PEERS = (
    CJXL_9,
    CJXL_7,
    Codec(
        "cwebp -lossless -z 9",
        ".webp",
        ("cwebp", "-quiet", "-lossless", "-z", "9", "-exact", INPUT, "-o", OUTPUT),
        ("dwebp", "-quiet", INPUT, "-o", OUTPUT),
        ("cwebp", "-version"),
        "webp",
    ),
    Codec(
        "optipng -o2",
        ".png",
        ("optipng", "-quiet", "-o2", "-out", OUTPUT, INPUT),
        version=("optipng", "--version"),
        package="optipng",
    ),
    Codec(
        "Pillow PNG optimize",
        ".png",
        (sys.executable, "-c", _PILLOW, INPUT, OUTPUT),
        version=(sys.executable, "-c", "import PIL; print('Pillow', PIL.__version__)"),
    ),
)


def efforts() -> list[str]:
    """The names that `bfncodec encode --effort` takes, the default first."""
    from click import Choice

    from bfncodec.cli.encode import encode

    option = next(parameter for parameter in encode.params if parameter.name == "effort")
    assert isinstance(option.type, Choice)
    return sorted(map(str, option.type.choices), key=lambda name: name != option.default)


def bfncodec(effort: str) -> Codec:
    """The installed bfncodec at an effort. It does not verify: `code` does."""
    return Codec(
        f"bfncodec {effort}",
        ".bfn",
        (installed(), "encode", "--no-verify", "--effort", effort, INPUT, "-o", OUTPUT),
        (installed(), "decode", INPUT, "-o", OUTPUT),
    )


def available(codecs: tuple[Codec, ...]) -> tuple[list[Codec], list[str]]:
    """The codecs whose programs are installed, and a note for each of the others."""
    good, notes = [], []
    for codec in codecs:
        missing = [line[0] for line in (codec.encode, codec.decode) if line and not shutil.which(line[0])]
        if missing:
            notes.append(f"{codec.name} skipped: {missing[0]} is missing (Debian package {codec.package})")
        else:
            good.append(codec)
    return good, notes


@cache
def version(codec: Codec) -> str:
    """The first line that a peer says about its version; empty for bfncodec."""
    if not codec.version:
        return ""
    said = subprocess.run(codec.version, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    line = (said.stdout.strip() or "unknown").splitlines()[0].partition(" [")[0]
    return f"{codec.name}: {line}"


@cache
def code(codec: Codec, image: Path) -> Coded:
    """Encode a PNG file, decode it, compare the pixels. Once in a run for each codec and image.

    RuntimeError if a command fails or the pixels differ.
    """
    with tempfile.TemporaryDirectory() as folder:
        coded = Path(folder) / ("coded" + codec.suffix)
        encoding = run(filled(codec.encode, image, coded))
        decoding, decoded = None, coded
        if codec.decode:
            decoded = Path(folder) / "decoded.png"
            decoding = run(filled(codec.decode, coded, decoded))
        if not same_pixels(image, decoded):
            raise RuntimeError(f"{codec.name} changed the pixels of {image}")
        return Coded(coded.stat().st_size, encoding, decoding)


def filled(command: tuple[str, ...], source: Path, target: Path) -> list[str]:
    """A codec's command with its paths."""
    return [{INPUT: str(source), OUTPUT: str(target)}.get(word, word) for word in command]


def same_pixels(one: Path, other: Path | BytesIO) -> bool:
    """True if two image files have the same mode and pixels."""
    with Image.open(one) as first, Image.open(other) as second:
        return first.mode == second.mode and np.array_equal(np.asarray(first), np.asarray(second))
