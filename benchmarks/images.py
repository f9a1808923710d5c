"""Images: sizes, times and memory of bfncodec and its peers, as JSON and as tables.

    python -m benchmarks.images --data DIR

DIR holds kodak/*.png, evaluate/cid22/*.png, cifar10/test.npy (uint8 [N, 32, 32, 3]) and
photos/**/*.png. Every file that is counted is decoded again and compared. Times include the
start of the process.
"""

import io
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from PIL import Image

import bfncodec
from benchmarks import image_tables, peers, theory
from benchmarks.command import command
from benchmarks.measure import installed, median, run
from benchmarks.tables import Part

REPEATS = 3
CIFAR_IMAGES, CIFAR_PEER_IMAGES = 2000, 200
JPEGS = [(quality, subsampling) for quality in (75, 90, 95) for subsampling in ("4:2:0", "4:4:4")]
TILE, COLUMNS, ROWS = 500, 12, 8  # the large photograph: 6000 x 4000 pixels of 96 photographs


def kodak(data: Path, limit: int | None) -> Part:
    """Every effort but max, and all peers, on the Kodak images."""
    ours = [peers.bfncodec(effort) for effort in peers.efforts() if effort != "max"]
    return compare(kodak_images(data, limit), (*ours, *peers.IMAGE_PEERS))


def adapted(data: Path, limit: int | None) -> Part:
    """Effort max on the Kodak images."""
    return compare(kodak_images(data, limit), (peers.bfncodec("max"), peers.CJXL_9))


def cid22(data: Path, limit: int | None) -> Part:
    """The default effort on CID22's photographs that are never trained on."""
    images = sorted((data / "evaluate" / "cid22").glob("*.png"))[:limit]
    return compare(images, (peers.bfncodec("default"), peers.CJXL_9))


def from_jpeg(data: Path, limit: int | None) -> Part:
    """The default effort on PNGs of decoded JPEGs, made of one image in four of Kodak's and CID22's."""
    images = [*kodak_images(data, None)[::4], *sorted((data / "evaluate" / "cid22").glob("*.png"))[::4]][:limit]
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for path in images:
            for quality, subsampling in JPEGS:
                coded = io.BytesIO()
                with Image.open(path) as image:
                    image.convert("RGB").save(coded, "JPEG", quality=quality, subsampling=subsampling)
                paths.append(Path(folder, f"{path.stem} q{quality} {subsampling.replace(':', '')}.png"))
                with Image.open(coded) as image:
                    image.save(paths[-1])
        return compare(paths, (peers.bfncodec("default"), peers.CJXL_9))


def kodak_images(data: Path, limit: int | None) -> list[Path]:
    """The Kodak images in order."""
    return sorted((data / "kodak").glob("*.png"))[:limit]


def compare(images: list[Path], codecs: tuple[peers.Codec, ...]) -> Part:
    """`peers.compare` for images. A codec that fails on one is left out."""
    part = peers.compare({path.name: path for path in images}, codecs, peers.same_pixels)
    part = {"images": part.pop("files"), "subpixels": []} | part
    part["codecs"] = {name: one for name, one in part["codecs"].items() if None not in one["bytes"]}
    for path in images:
        with Image.open(path) as image:
            part["subpixels"].append(image.width * image.height * len(image.getbands()))
    return part


def cifar(data: Path, limit: int | None) -> Part:
    """CIFAR-10 test images as PNG files: one archive, one file each, and cjxl one file each."""
    pixels = np.load(data / "cifar10" / "test.npy", mmap_mode="r")[: limit or CIFAR_IMAGES]
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, image in enumerate(pixels):
            files.append(Path(folder) / f"{number:04}.png")
            Image.fromarray(image).save(files[-1])
        click.echo("bfncodec: one archive", err=True)
        rows = {"bfncodec, one archive": _archive(files, Path(folder))}
        click.echo("bfncodec: one file each", err=True)
        sizes, seconds = _one_file_each(files)
        rows["bfncodec, one file each"] = _cifar_row(sizes, *seconds)
        few = files[:CIFAR_PEER_IMAGES]
        rows["bfncodec, one file each, the peer's images"] = _cifar_row(sizes[: len(few)], None, None)
        good, notes = peers.available((peers.CJXL_9,))
        for codec in good:
            click.echo(codec.name, err=True)
            coded = [peers.code(codec, path, peers.same_pixels) for path in few]
            encoding = sum(one.encode.seconds for one in coded)
            decoding = sum(one.decode.seconds for one in coded if one.decode)
            rows[f"{codec.name}, one file each"] = _cifar_row([one.size for one in coded], encoding, decoding)
    return {"rows": rows, "notes": notes, "versions": [peers.version(codec) for codec in good]}


def _cifar_row(sizes: list[int], encoding: float | None, decoding: float | None, images: int | None = None) -> Part:
    """Bytes of all files; seconds for all images; bits per subpixel."""
    count = images or len(sizes)
    return {
        "images": count,
        "bytes": sum(sizes),
        "bits_per_subpixel": 8 * sum(sizes) / (count * 32 * 32 * 3),
        "encode_seconds": encoding and round(encoding, 3),
        "decode_seconds": decoding and round(decoding, 3),
    }


def _archive(files: list[Path], folder: Path) -> Part:
    """One call for all files, as a user would; seconds of the process."""
    archive, unpacked = folder / "set.bfn", folder / "unpacked"
    encoding = run([installed(), "encode", "--no-verify", *map(str, files), "-o", str(archive)])
    decoding = run([installed(), "decode", str(archive), "--output-dir", str(unpacked)])
    for path in files:
        if not peers.same_pixels(path, unpacked / path.name):
            raise RuntimeError(f"the archive changed the pixels of {path.name}")
    return _cifar_row([archive.stat().st_size], encoding.seconds, decoding.seconds, len(files))


def _one_file_each(files: list[Path]) -> tuple[list[int], tuple[float, float]]:
    """By the Python API in this process: bytes of every file, seconds for all (encode, decode)."""
    sizes, encoding, decoding = [], 0.0, 0.0
    for path in files:
        original = path.read_bytes()
        start = time.perf_counter()
        coded = bfncodec.encode(original)
        middle = time.perf_counter()
        decoded = bfncodec.decode(coded)
        decoding += time.perf_counter() - middle
        encoding += middle - start
        if not peers.same_pixels(path, io.BytesIO(decoded)):
            raise RuntimeError(f"bfncodec changed the pixels of {path.name}")
        sizes.append(len(coded))
    return sizes, (encoding, decoding)


def speed(data: Path, limit: int | None) -> Part:
    """Median seconds of whole processes on one image of 768 x 512."""
    image = next(path for path in kodak_images(data, None) if _size(path) == (768, 512))
    repeats = min(limit or REPEATS, REPEATS)
    ours = peers.bfncodec(peers.efforts()[0])
    good, notes = peers.available((ours, peers.CJXL_9))
    with tempfile.TemporaryDirectory() as folder:
        coded, decoded = Path(folder) / "coded.bfn", Path(folder) / "decoded.png"
        rows = {}
        for codec in good:
            target = coded.with_suffix(codec.suffix)
            rows[f"{codec.name}, encode"] = median(peers.filled(codec.encode, image, target), target, repeats)
            rows[f"{codec.name}, decode"] = median(peers.filled(codec.decode, target, decoded), decoded, repeats)
        rows["bfncodec info"] = median([installed(), "info", str(coded)], None, repeats)
        rows["bfncodec --help"] = median([installed(), "--help"], None, repeats)
    versions = [text for text in map(peers.version, good) if text]
    return {"image": image.name, "repeats": repeats, "seconds": rows, "notes": notes, "versions": versions}


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def large(data: Path, limit: int | None) -> Part:
    """One large photograph, by bfncodec and cjxl -e 7."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mosaic.png"
        width, height, tiles = mosaic(data / "photos", path, limit)
        part = compare([path], (peers.bfncodec(peers.efforts()[0]), peers.CJXL_7))
    return part | {"width": width, "height": height, "tiles": tiles}


def mosaic(photos: Path, target: Path, limit: int | None) -> tuple[int, int, int]:
    """Write the centres of the first photographs, by path, side by side. Width, height, photographs.

    RuntimeError if there are too few of at least TILE x TILE pixels.
    """
    columns, rows = (COLUMNS, ROWS) if limit is None else (min(limit, COLUMNS), 1)
    canvas = Image.new("RGB", (columns * TILE, rows * TILE))
    used = 0
    for path in sorted(photos.rglob("*.png")):
        with Image.open(path) as photo:
            if photo.mode != "RGB" or min(photo.size) < TILE:
                continue
            left, top = (photo.width - TILE) // 2, (photo.height - TILE) // 2
            tile = photo.crop((left, top, left + TILE, top + TILE))
        canvas.paste(tile, (used % columns * TILE, used // columns * TILE))
        used += 1
        if used == columns * rows:
            canvas.save(target, compress_level=1)
            return canvas.width, canvas.height, used
    raise RuntimeError(f"{photos} holds only {used} RGB photographs of at least {TILE}x{TILE}")


def theoretical(data: Path, limit: int | None) -> Part:
    """Payload against theory on the Kodak images, for every effort but max."""
    images = kodak_images(data, limit)
    rows, failures = {}, []
    for effort in peers.efforts():
        if effort != "max":
            click.echo(f"theory: {effort}", err=True)
            try:
                rows[effort] = theory.compare(images, effort)
            except bfncodec.BfnError as error:
                failures.append(f"{effort}: {error}")
    return {"images": len(images), "efforts": rows, "failures": failures}


PARTS = {
    "kodak": kodak,
    "max": adapted,
    "cid22": cid22,
    "jpeg": from_jpeg,
    "cifar": cifar,
    "speed": speed,
    "large": large,
    "theory": theoretical,
}


main = command("images", __doc__, PARTS, image_tables.render)


if __name__ == "__main__":
    main()
