"""Text and other bytes: sizes, times and memory of bfncodec and its peers, as JSON and as tables.

    python -m benchmarks.text --data DIR

DIR holds canterbury/{canterbury,calgary,artificial,large,misc}/*, enwik8.bin and heldout/**.
Every file that is counted is decoded again and compared. Sizes are whole files.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

import bfncodec
from benchmarks import peers, text_tables
from benchmarks.command import command
from benchmarks.measure import median
from benchmarks.tables import Part

EFFORT = "default"  # of `bfncodec encode --effort`
REPEATS = 3
FOLDERS = ("canterbury", "calgary", "artificial", "large", "misc")
NOT_DATA = ("README.md", "SHA1SUM")
ENWIK_START = 94_000_000  # what is before may be training text
SMALL, MEDIUM, LARGE = 10_000, 100_000, (1_000_000, 5_000_000)
HELDOUT, SPEED = 150_000, 100_000

Piece = tuple[Path, int, int | None]  # a file, and the first byte and the number of bytes of what is used of it


def canterbury(data: Path, limit: int | None) -> Part:
    """The corpora of Canterbury, whole."""
    files = (path for name in FOLDERS for path in sorted((data / "canterbury" / name).iterdir()))
    kept = [path for path in files if path.is_file() and path.name not in NOT_DATA]
    return compare({f"{path.parent.name}/{path.name}": (path, 0, None) for path in kept}, limit)


def enwik_small(data: Path, limit: int | None) -> Part:
    """Slices of 10,000 bytes of the end of enwik8."""
    return compare(_slices(data, [(ENWIK_START + number * 250_000, SMALL) for number in range(20)]), limit)


def enwik_medium(data: Path, limit: int | None) -> Part:
    """Slices of 100,000 bytes of the end of enwik8."""
    return compare(_slices(data, [(ENWIK_START + number * 500_000, MEDIUM) for number in range(10)]), limit)


def enwik_large(data: Path, limit: int | None) -> Part:
    """One and five million bytes of the end of enwik8."""
    return compare(_slices(data, [(ENWIK_START, size) for size in LARGE]), limit)


def heldout(data: Path, limit: int | None) -> Part:
    """The first bytes of every held-out file."""
    folder = data / "heldout"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return compare({str(path.relative_to(folder)): (path, 0, HELDOUT) for path in files}, limit)


def speed(data: Path, limit: int | None) -> Part:
    """Median seconds for the start of one file: in this process, and by whole processes beside peers."""
    sample, repeats = alice(data).read_bytes()[:SPEED], min(limit or REPEATS, REPEATS)
    good, notes = peers.available((peers.bfncodec(EFFORT), peers.XZ, peers.ZPAQ))
    part: Part = {"size": len(sample), "repeats": repeats, "rows": {}, "notes": notes, "failures": []}
    part["versions"] = [line for line in map(peers.version, good) if line]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "alice.txt"
        source.write_bytes(sample)

        def by_command(codec: peers.Codec) -> Part:
            coded, decoded = Path(folder) / f"coded{codec.suffix}", Path(folder) / "decoded.txt"
            encoding = median(peers.filled(codec.encode, source, coded), coded, repeats)
            decoding = median(peers.filled(codec.decode, coded, decoded), decoded, repeats)
            if not peers.same_bytes(source, decoded):
                raise RuntimeError("decoded to something else")
            return {"bytes": coded.stat().st_size, "encode_seconds": encoding, "decode_seconds": decoding}

        ways: dict[str, Callable[[], Part]] = {"bfncodec, in process": partial(in_process, sample, repeats)}
        ways |= {f"{codec.name}, command": partial(by_command, codec) for codec in good}
        for name, measured in ways.items():
            try:
                part["rows"][name] = measured()
            except (RuntimeError, OSError, bfncodec.BfnError) as error:
                part["failures"].append(f"{name}: {error}")
    return part


def in_process(sample: bytes, repeats: int) -> Part:
    """Bytes and median seconds of the Python API after a warm-up. RuntimeError if a decoded text differs."""
    click.echo("bfncodec in process", err=True)
    bfncodec.decode(bfncodec.encode(sample[:1000]))
    encoding, decoding = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        coded = bfncodec.encode(sample)
        middle = time.perf_counter()
        decoded = bfncodec.decode(coded)
        decoding.append(time.perf_counter() - middle)
        encoding.append(middle - start)
        if decoded != sample:
            raise RuntimeError("decoded to something else")
    seconds = {"encode_seconds": statistics.median(encoding), "decode_seconds": statistics.median(decoding)}
    return {"bytes": len(coded)} | {name: round(value, 4) for name, value in seconds.items()}


def compare(pieces: dict[str, Piece], limit: int | None) -> Part:
    """`peers.compare` of bfncodec and all peers on parts of files, and what each makes of an empty file."""
    codecs = (peers.bfncodec(EFFORT), *peers.TEXT_PEERS)
    with tempfile.TemporaryDirectory() as folder:
        files = cut(dict(list(pieces.items())[:limit]), Path(folder))
        part = peers.compare(files, codecs, peers.same_bytes)
        empty = Path(folder) / "empty"
        empty.touch()
        empties = peers.compare({empty.name: empty}, codecs, peers.same_bytes)
    part["failures"] += empties["failures"]
    for name, one in empties["codecs"].items():
        part["codecs"][name]["empty"] = one["bytes"][0]
    return part


def cut(pieces: dict[str, Piece], folder: Path) -> dict[str, Path]:
    """Write every piece as a file of its name in a folder. RuntimeError if its file is too short."""
    files = {}
    for name, (path, start, size) in pieces.items():
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(size)
        if start and len(data) != size:
            raise RuntimeError(f"{path} is too short")
        files[name] = folder / name
        files[name].parent.mkdir(parents=True, exist_ok=True)
        files[name].write_bytes(data)
    return files


def _slices(data: Path, places: list[tuple[int, int]]) -> dict[str, Piece]:
    return {f"{start}+{size}": (data / "enwik8.bin", start, size) for start, size in places}


def alice(data: Path) -> Path:
    """A novel of 152,089 bytes."""
    return data / "canterbury" / "canterbury" / "alice29.txt"


PARTS = {
    "canterbury": canterbury,
    "enwik_small": enwik_small,
    "enwik_medium": enwik_medium,
    "enwik_large": enwik_large,
    "heldout": heldout,
    "speed": speed,
}

main = command("text", __doc__, PARTS, text_tables.render)


if __name__ == "__main__":
    main()
