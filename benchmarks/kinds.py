"""Every kind of image that people have: whole files by bfncodec, against the smallest of four peers for each file.

    python -m benchmarks.kinds --data DIR

DIR holds kinds/{train,evaluate}/* and misc/pngsuite/*.png. bfncodec gives a file's own bytes back, or a PNG of the
same depth, samples and chunks; peers the same colours. What peers need is kept in a file in the folder for temporary
files, so that a second run takes only bfncodec's time. Times are CPU seconds of whole processes.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
from PIL import Image

from benchmarks import kind_tables, peers, rasters
from benchmarks.command import command
from benchmarks.tables import Part

KNOWN = Path(tempfile.gettempdir(), "bfncodec-benchmarks-kinds.json")
DJXL_ANIMATION = ("sh", "-c", 'djxl "$0" "$1.apng" --quiet && mv "$1.apng" "$1"', peers.INPUT, peers.OUTPUT)
Row = tuple[int | None, float | None, float | None]  # bytes, CPU seconds of encoding and of decoding

OPTIPNG = replace(
    peers.OPTIPNG, name="optipng -o5", encode=("optipng", "-quiet", "-o5", "-out", peers.OUTPUT, peers.INPUT)
)
CWEBP = replace(peers.cwebp(9), name="cwebp -z 9")
XZ = replace(peers.XZ, name="xz -9e")
CODECS = (peers.CJXL_9, CWEBP, OPTIPNG, XZ)


def measured(paths: list[Path], limit: int | None) -> Part:
    """Files by bfncodec and its peers: bytes, CPU seconds. A peer that cannot keep a file's colours has None."""
    files = [path for path in paths if path.is_file()][:limit]
    if not files:
        raise RuntimeError("the data folder lacks the files of this part")
    good, notes = peers.available(CODECS)
    part: Part = {"files": [path.name for path in files], "sizes": [path.stat().st_size for path in files]}
    part |= {"codecs": {}, "notes": notes, "failures": []}
    part["versions"] = [text for text in map(peers.version, good) if text]
    rows: dict[str, list[Row]] = {codec.name: [by_peer(codec, path) for path in files] for codec in good}
    rows["bfncodec"] = []
    for path in files:
        click.echo(f"bfncodec: {path.name}", err=True)
        try:
            rows["bfncodec"].append(row(peers.code(peers.bfncodec("default"), path, rasters.same_file)))
        except (RuntimeError, OSError) as error:
            part["failures"].append(f"{path.name}: {error}")
            rows["bfncodec"].append((None, None, None))
    for name, of in rows.items():
        columns = zip(*of, strict=True)
        part["codecs"][name] = dict(zip(("bytes", "encode_cpu", "decode_cpu"), map(list, columns), strict=True))
    return part


def row(coded: peers.Coded) -> Row:
    """What is kept of a coded file."""
    decoding = coded.decode and round(coded.decode.cpu, 3)
    return coded.size, round(coded.encode.cpu, 3), decoding


def by_peer(codec: peers.Codec, path: Path) -> Row:
    """A file by a peer, from earlier runs if one of them had the same file and the same version of the peer."""
    known = json.loads(KNOWN.read_text()) if KNOWN.exists() else {}
    key = f"{peers.version(codec)} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    if key not in known:
        click.echo(f"{codec.name}: {path.name}", err=True)
        known[key] = tried(codec, path)
        fresh = KNOWN.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(known, indent=0))
        fresh.replace(KNOWN)
    size, encoding, decoding = known[key]
    return size, encoding, decoding


def tried(codec: peers.Codec, path: Path) -> Row:
    """A file by a peer; all None if the peer cannot keep it."""
    with tempfile.TemporaryDirectory() as folder:
        given = prepared(codec, path, Path(folder))
        try:
            if given is not None:
                return row(peers.code(*given))
        except (RuntimeError, OSError) as error:
            click.echo(f"{codec.name} cannot keep {path.name}: {str(error)[:200]}", err=True)
        return None, None, None


def prepared(codec: peers.Codec, path: Path, folder: Path) -> tuple[peers.Codec, Path, peers.Same] | None:
    """The commands of a peer, the file that it is given, and what it has to keep; None if it has no such pixels.

    xz gets the rows of a PNG or TIFF, packed and without filters; of animations and JPEGs it gets the file, as cjxl
    does of JPEGs.
    """
    with Image.open(path) as image:
        moves, kind = getattr(image, "n_frames", 1) > 1, image.format
        if kind == "TIFF":
            path, kind = folder / "source.png", "PNG"
            image.save(path)
    still = kind == "PNG" and not moves
    if codec is XZ:
        source = path
        if still:
            source = folder / "source.raw"
            source.write_bytes(rasters.read(path).raw())
        return codec, source, peers.same_bytes
    if codec is peers.CJXL_9:
        if moves:
            return replace(codec, decode=DJXL_ANIMATION), path, rasters.same_animation
        return codec, path, rasters.same_picture if still else peers.same_bytes
    if not still or (codec is CWEBP and rasters.read(path).depth > 8):
        return None
    return codec, path, rasters.same_picture


def folder(name: str, pattern: str = "*") -> Callable[[Path, int | None], Part]:
    """The part of a folder's files."""
    return lambda data, limit: measured(sorted((data / name).glob(pattern)), limit)


PARTS = {
    "train": folder("kinds/train"),
    "evaluate": folder("kinds/evaluate"),
    "pngsuite": folder("misc/pngsuite", "[!x]*.png"),  # x: damaged on purpose
}


main = command("kinds", __doc__, PARTS, kind_tables.render)


if __name__ == "__main__":
    main()
