"""JPEG files: whole files by bfncodec against what else makes them smaller and gives their bytes back.

    python -m benchmarks.jpeg --data DIR

DIR holds kodak/*.png, evaluate/cid22/*.png, kinds/*/jpeg--*.jpg and photos/. The first two become JPEG files by Pillow
(libjpeg-turbo). Peers: `cjxl --lossless_jpeg=1`, and Lepton (`pip install lepton_jpeg_python`).
"""

import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks import images, jpeg_tables, peers
from benchmarks.command import command
from benchmarks.peers import INPUT, OUTPUT, Codec, same_bytes
from benchmarks.tables import Part

_LEPTON = (
    "import sys, lepton_jpeg_python as lepton; "
    "open(sys.argv[2], 'wb').write(lepton.{}_bytes(open(sys.argv[1], 'rb').read()))"
)
LEPTON = Codec(
    "Lepton",
    ".lep",
    (sys.executable, "-c", _LEPTON.format("compress"), INPUT, OUTPUT),
    (sys.executable, "-c", _LEPTON.format("decompress"), INPUT, OUTPUT),
    (sys.executable, "-c", "from importlib.metadata import version; print(version('lepton_jpeg_python'))"),
)
CJXL = Codec(
    "cjxl --lossless_jpeg=1 -e 9",
    ".jxl",
    ("cjxl", INPUT, OUTPUT, "--lossless_jpeg=1", "-e", "9", "--quiet"),
    ("djxl", INPUT, OUTPUT, "--quiet"),
    ("cjxl", "--version"),
    "libjxl-tools",
)
FULL, HALF, QUARTER = 0, 1, 2  # Pillow's names of 4:4:4, 4:2:2, 4:2:0
Setting = tuple[str, str, dict[str, Any]]  # a name, Pillow's mode, its options

BASELINE: list[Setting] = [
    ("q50 4:2:0", "RGB", {"quality": 50, "subsampling": QUARTER}),
    ("q75 4:2:0", "RGB", {"quality": 75, "subsampling": QUARTER}),
    ("q85 4:2:2", "RGB", {"quality": 85, "subsampling": HALF}),
    ("q90 4:4:4", "RGB", {"quality": 90, "subsampling": FULL}),
    ("q95 4:2:0", "RGB", {"quality": 95, "subsampling": QUARTER}),
    ("q98 4:4:4", "RGB", {"quality": 98, "subsampling": FULL}),
    ("q80 grey", "L", {"quality": 80}),
]
OPTIMISED: list[Setting] = [
    ("q75 4:2:0", "RGB", {"quality": 75, "subsampling": QUARTER, "optimize": True}),
    ("q90 4:4:4", "RGB", {"quality": 90, "subsampling": FULL, "optimize": True}),
]
PROGRESSIVE: list[Setting] = [
    ("q50 4:2:0", "RGB", {"quality": 50, "subsampling": QUARTER, "progressive": True}),
    ("q75 4:2:0", "RGB", {"quality": 75, "subsampling": QUARTER, "progressive": True}),
    ("q90 4:4:4", "RGB", {"quality": 90, "subsampling": FULL, "progressive": True}),
    ("q95 4:2:0", "RGB", {"quality": 95, "subsampling": QUARTER, "progressive": True}),
]


def made(settings: list[Setting], data: Path, limit: int | None) -> Part:
    """Every photograph by every setting."""
    sources = sorted([*(data / "kodak").glob("*.png"), *(data / "evaluate" / "cid22").glob("*.png")])[:limit]
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for number, (_, mode, options) in enumerate(settings):
            for source in sources:
                path = Path(folder) / f"{source.stem}-{number}.jpg"
                with Image.open(source) as image:
                    image.convert(mode).save(path, "JPEG", **options)
                files[path.stem] = path
        part = peers.compare(files, codecs(), same_bytes)
    return part | {"settings": [name for name, _, _ in settings for _ in sources]}


def codecs() -> tuple[Codec, ...]:
    """bfncodec and those peers that are installed."""
    try:
        import lepton_jpeg_python  # noqa: F401
    except ImportError:
        return peers.bfncodec("default"), CJXL
    return peers.bfncodec("default"), CJXL, LEPTON


def real(data: Path, limit: int | None) -> Part:
    """Files that people made."""
    files = {path.name: path for path in sorted(data.glob("kinds/*/jpeg--*.jpg"))[:limit]}
    return peers.compare(files, codecs(), same_bytes) | {"settings": list(files)}


def large(data: Path, limit: int | None) -> Part:
    """A mosaic of training photographs, 24 megapixels, at quality 90, 4:2:0."""
    with tempfile.TemporaryDirectory() as folder:
        source, path = Path(folder) / "mosaic.png", Path(folder) / "mosaic.jpg"
        images.mosaic(data / "photos", source, limit)
        with Image.open(source) as image:
            image.save(path, "JPEG", quality=90, subsampling=QUARTER)
        part = peers.compare({path.name: path}, codecs(), same_bytes)
    return part | {"settings": ["24 megapixels"]}


def hopeless(data: Path, limit: int | None) -> Part:
    """Files that cannot be modelled."""
    with Image.open(sorted((data / "kodak").glob("*.png"))[0]) as image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=95, subsampling=FULL)
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name, content in list(damaged(buffer.getvalue()))[:limit]:
            files[name] = Path(folder) / f"{name.replace(' ', '-')}.jpg"
            files[name].write_bytes(content)
        part = peers.compare(files, (peers.bfncodec("default"),), same_bytes)
    return part | {"settings": list(files)}


def damaged(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Files that begin like JPEG and are none that can be modelled, whole or in part."""
    body = data.index(b"\xff\xda")
    frame = data.index(b"\xff\xc0")
    yield "arithmetic coding", data[: frame + 1] + b"\xc9" + data[frame + 2 :]
    yield "no tables", data[:2] + data[data.index(b"\xff\xdb") :].replace(b"\xff\xc4", b"\xff\xef")
    yield "noise for scans", data[: body + 14] + bytes((7 * i * i >> 3) & 0x7F for i in range(len(data) - body))


PARTS = {
    "baseline": lambda data, limit: made(BASELINE, data, limit),
    "optimised": lambda data, limit: made(OPTIMISED, data, limit),
    "progressive": lambda data, limit: made(PROGRESSIVE, data, limit),
    "real": real,
    "large": large,
    "hopeless": hopeless,
}


main = command("jpeg", __doc__, PARTS, jpeg_tables.render)


if __name__ == "__main__":
    main()
