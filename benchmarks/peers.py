"""Compressors of one file, by their commands: bfncodec and its peers."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import click
import numpy as np
from PIL import Image

from benchmarks.measure import Run, installed, run
from benchmarks.tables import Part

Same = Callable[[Path, Path], bool]
INPUT, OUTPUT = "INPUT", "OUTPUT"
_STDOUT = ("sh", "-c", 'exec "$@" >"$0"', OUTPUT)  # before a command that writes to standard output
_PILLOW = "import sys; from PIL import Image; Image.open(sys.argv[1]).save(sys.argv[2], 'PNG', optimize=True)"


@dataclass(frozen=True)
class Codec:
    """INPUT and OUTPUT stand for paths in the commands. Without `decode` the output is an image itself."""

    name: str
    suffix: str
    encode: tuple[str, ...]
    decode: tuple[str, ...] = ()
    version: tuple[str, ...] = ()
    package: str = ""  # of Debian


@dataclass(frozen=True)
class Coded:
    """One coded file: the whole file's bytes, and how long it took."""

    size: int
    encode: Run
    decode: Run | None


def cjxl(effort: int) -> Codec:
    """JPEG XL, lossless; effort 1 to 9."""
    return Codec(
        f"cjxl -d 0 -e {effort}",
        ".jxl",
        ("cjxl", INPUT, OUTPUT, "-d", "0", "-e", str(effort), "--quiet"),
        ("djxl", INPUT, OUTPUT, "--quiet"),
        ("cjxl", "--version"),
        "libjxl-tools",
    )


def cwebp(level: int) -> Codec:
    """WebP, lossless, colour under alpha 0 kept; level 0 to 9."""
    return Codec(
        f"cwebp -lossless -z {level}",
        ".webp",
        ("cwebp", "-quiet", "-lossless", "-z", str(level), "-exact", INPUT, "-o", OUTPUT),
        ("dwebp", "-quiet", INPUT, "-o", OUTPUT),
        ("cwebp", "-version"),
        "webp",
    )


def zpaq(method: int) -> Codec:
    """A zpaq archive of one file; method 1 to 5."""
    return Codec(
        f"zpaq -m{method}",
        ".zpaq",
        ("zpaq", "add", OUTPUT, INPUT, "-to", "x", f"-m{method}"),  # a short name instead of the whole path
        ("zpaq", "extract", INPUT, "x", "-to", OUTPUT),
        ("zpaq",),
        "zpaq",
    )


def _filter(command: str, suffix: str, level: str, version: str, package: str, *options: str) -> Codec:
    """A command that writes to standard output with -c and decodes with -d."""
    return Codec(
        f"{command} {level}",
        suffix,
        (*_STDOUT, command, level, *options, "-c", INPUT),
        (*_STDOUT, command, "-d", "-c", INPUT),
        (command, version),
        package,
    )


def xz(level: str) -> Codec:
    """xz; a level such as "9e"."""
    return _filter("xz", ".xz", f"-{level}", "--version", "xz-utils")


def brotli(quality: int) -> Codec:
    """brotli with a large window; quality 0 to 11."""
    return Codec(
        f"brotli -q {quality} -w 24",
        ".br",
        ("brotli", "-q", str(quality), "-w", "24", INPUT, "-o", OUTPUT),
        ("brotli", "-d", INPUT, "-o", OUTPUT),
        ("brotli", "--version"),
        "brotli",
    )


def zstd(*level: str) -> Codec:
    """zstd; the level as options."""
    return Codec(
        " ".join(("zstd", *level)),
        ".zst",
        ("zstd", *level, "-q", INPUT, "-o", OUTPUT),
        ("zstd", "-d", "-q", INPUT, "-o", OUTPUT),
        ("zstd", "--version"),
        "zstd",
    )


CJXL_9 = cjxl(9)
CJXL_7 = cjxl(7)
OPTIPNG = Codec(
    "optipng -o2",
    ".png",
    ("optipng", "-quiet", "-o2", "-out", OUTPUT, INPUT),
    version=("optipng", "--version"),
    package="optipng",
)
PILLOW = Codec(
    "Pillow PNG optimize",
    ".png",
    (sys.executable, "-c", _PILLOW, INPUT, OUTPUT),
    version=(sys.executable, "-c", "import PIL; print('Pillow', PIL.__version__)"),
)
IMAGE_PEERS = (CJXL_9, CJXL_7, cwebp(9), OPTIPNG, PILLOW)

ZPAQ = zpaq(5)
XZ = xz("9e")
GZIP = _filter("gzip", ".gz", "-9", "--version", "gzip", "-n")  # without the file's name
BZIP2 = _filter("bzip2", ".bz2", "-9", "--help", "bzip2")
PPMD = Codec(
    "7z PPMd o=8",
    ".7z",
    ("7z", "a", "-m0=ppmd:o=8:mem=256m", OUTPUT, INPUT),
    (*_STDOUT, "7z", "e", "-so", INPUT),
    ("7z",),
    "p7zip-full",
)
TEXT_PEERS = (XZ, brotli(11), zstd("--ultra", "-22"), BZIP2, PPMD, ZPAQ)


def efforts() -> list[str]:
    """The names that `bfncodec encode --effort` takes for images, the default first."""
    from click import Choice

    from bfncodec.cli.encode import encode

    option = next(parameter for parameter in encode.params if parameter.name == "effort")
    assert isinstance(option.type, Choice)
    names = {str(name) for name in option.type.choices} - {"blocks"}  # that is for texts
    return sorted(names, key=lambda name: (name != option.default, name))


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
        programs = [line[0] for line in (codec.encode, codec.decode, codec.version) if line]
        missing = [program for program in programs if not shutil.which(program)]
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
    said = subprocess.run(
        codec.version,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    line = (said.stdout.strip() or "unknown").splitlines()[0]
    return codec.name + ": " + re.sub(r" \[.*?\]", "", line)


@cache
def code(codec: Codec, source: Path, same: Same) -> Coded:
    """Encode a file, decode it, compare. Once in a run for each codec and file.

    RuntimeError if a command fails or the files are not the same.
    """
    with tempfile.TemporaryDirectory() as folder:
        coded = Path(folder) / ("coded" + codec.suffix)
        encoding = run(filled(codec.encode, source, coded))
        decoding, decoded = None, coded
        if codec.decode:
            decoded = Path(folder) / ("decoded" + source.suffix)
            decoding = run(filled(codec.decode, coded, decoded))
        if not same(source, decoded):
            raise RuntimeError(f"{source} was decoded to something else")
        return Coded(coded.stat().st_size, encoding, decoding)


def compare(files: dict[str, Path], codecs: tuple[Codec, ...], same: Same) -> Part:
    """Whole files by every codec: bytes, seconds, peak memory in bytes, a list each, in the files' order.

    Files are named by their keys. Where a codec fails its lists hold None, and "failures" tells why.
    """
    if not files:
        raise RuntimeError("the data folder lacks the files of this part")
    good, notes = available(codecs)
    sizes = [path.stat().st_size for path in files.values()]
    part: Part = {"files": list(files), "sizes": sizes, "codecs": {}, "notes": notes, "failures": []}
    part["versions"] = [text for text in map(version, good) if text]
    for codec in good:
        coded: list[Coded | None] = []
        for name, path in files.items():
            click.echo(f"{codec.name}: {name}", err=True)
            try:
                coded.append(code(codec, path, same))
            except (RuntimeError, OSError) as error:
                part["failures"].append(f"{codec.name}, {name}: {error}")
                coded.append(None)
        part["codecs"][codec.name] = {"bytes": [one and one.size for one in coded]}
        for side, command in (("encode", codec.encode), ("decode", codec.decode)):
            runs: list[Run | None] = [getattr(one, side, None) for one in coded] if command else []
            part["codecs"][codec.name] |= {
                f"{side}_seconds": [one and round(one.seconds, 4) for one in runs],
                f"{side}_peak": [one and one.peak for one in runs],
            }
    return part


def filled(command: tuple[str, ...], source: Path, target: Path) -> list[str]:
    """A codec's command with its paths."""
    return [{INPUT: str(source), OUTPUT: str(target)}.get(word, word) for word in command]


def same_pixels(one: Path, other: Path | BytesIO) -> bool:
    """True if two image files have the same mode and pixels."""
    with Image.open(one) as first, Image.open(other) as second:
        return first.mode == second.mode and np.array_equal(np.asarray(first), np.asarray(second))


def same_bytes(one: Path, other: Path) -> bool:
    """True if two files hold the same bytes."""
    return one.read_bytes() == other.read_bytes()
