"""Mutated files: each gives what an original holds, or one BfnError, in seconds and little memory.

Run as `PYTHONPATH=tests python -m tools.fuzz_mutants [--count 10000] [--start 0] [--only KIND]`. Originals are the
golden files and small fresh ones. Mutant N follows from N alone, so `--start N --count 1` makes it again.

Two kinds: damage leaves the header's CRC as it is, and then the whole result must be an original's; forgery
repairs the CRC, and then every block's content must be some block's of an original (the digest covers no names, and
not what kind of file pixels are turned back into).
"""

import argparse
import copy
import hashlib
import io
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Image_

from bfncodec import api, container, decoding, encoding
from bfncodec.blocks import plain, text
from bfncodec.blocks.image import Image
from bfncodec.blocks.plain import Plain
from bfncodec.container import Block, File
from bfncodec.errors import BfnError
from bfncodec.picture import Picture
from bfncodec.presets import Choices

DATA = Path(__file__).parents[1] / "data"
MAX_OUTPUT = 1 << 13  # bytes; more than the originals have
MAX_PIXELS = 1 << 11
SECONDS = 5.0
GROWTH = 300  # MB above what decoding the originals takes


def folder_of_models(folder: Path) -> None:
    """Put the models of all originals into a folder, and tell bfncodec of it."""
    from tools import make_tiny_text

    for path in DATA.glob("*.safetensors"):
        shutil.copy(path, folder)
    make_tiny_text.make(folder / "text.safetensors")
    os.environ["BFNCODEC_MODEL_DIR"] = str(folder)


def single_model(folder: Path) -> Path:
    """A random model of the paper's kind in a folder."""
    from tools import make_tiny_paper

    from bfncodec.models.paper.spec import Spec
    from bfncodec.train import checkpoint

    spec = Spec("binary", (8, 8, 1), b"\0\1", "3", (16, 24), (1, 2), (2, 2), (3, 3), (2, 2), 16)
    path = folder / "paper.safetensors"
    checkpoint.write_model(path, make_tiny_paper.tensors(spec), make_tiny_paper.card(spec))
    return path


def exact_files(pixels: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """Files whose pixels are exact colours, and media of their own."""
    image, small = Image_.fromarray(pixels), Image_.fromarray(pixels[..., 0])
    for name, one, kind in (("palette", image.quantize(5), "PNG"), ("bits", small.convert("1"), "PNG")):
        buffer = io.BytesIO()
        one.save(buffer, kind)
        yield name, buffer.getvalue()
    yield "pbm", b"P4 19 17\n" + np.packbits(pixels[..., 0] > 128, axis=1).tobytes()
    yield "pgm", b"P5 19 17 4095\n" + (pixels[..., 0].astype(np.uint16) << 4).astype(">u2").tobytes()
    buffer = io.BytesIO()
    Image_.fromarray(pixels[..., 0].astype(np.uint16)).save(buffer, "TIFF")
    yield "tiff", buffer.getvalue()
    buffer = io.BytesIO()
    deep = Image_.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    deep.save(buffer, "TIFF", compression="tiff_lzw", tiffinfo={278: 4, 317: 2})
    yield "lzw tiff", buffer.getvalue()
    buffer = io.BytesIO()
    frames = [Image_.fromarray(np.roll(pixels, turn, 0)).quantize(6) for turn in range(2)]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    yield "gif", buffer.getvalue()
    buffer = io.BytesIO()
    np.save(buffer, pixels.astype(">i2"))
    yield "npy", buffer.getvalue()


def fresh(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Encodings that no golden file has."""
    y, x = np.mgrid[:17, :19]
    wave = (128 + 60 * np.sin(x / 5) + 40 * np.cos(y / 4)).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 4, (17, 19, 3), np.uint8)
    pixels = wave[..., None] + noise
    yield "fresh image", api.encode(pixels, model="tiny")
    yield "fresh lattice", api.encode(pixels[..., :2], model="tiny", effort="lattice")
    deep = [np.uint16(257) * pixels, (pixels[..., 0].astype(np.int16) - 128)]
    yield "fresh words", api.encode(deep[0])
    yield "fresh signed", api.encode(deep[1])
    items = [(f"{name}.bin", data) for name, data in exact_files(pixels)]
    for name, data in items:
        yield f"fresh {name}", api.encode(data, media="image")
    yield "fresh exact archive", container.write(encoding.encode_archive([*items, ("b", items[0][1])], Choices()))
    for progressive in (False, True):
        buffer = io.BytesIO()
        Image_.fromarray(pixels).save(buffer, "JPEG", quality=80, progressive=progressive)
        yield f"fresh jpeg {int(progressive)}", api.encode(buffer.getvalue())
    yield "fresh text", api.encode(b"ein Text, der sich wiederholt, der sich wiederholt", media="text")
    yield "fresh lzma", container.write(File([plain.encode(b"words, words, " * 40)]))
    yield "fresh stored", container.write(File([plain.encode(bytes(range(64)))]))
    parts = [plain.encode(b"one, " * 30), plain.encode(b"two"), text.encode(b"three, three, three", Choices())]
    yield "fresh parts", container.write(File(parts))
    items = [("a.txt", b"some words, some words"), ("b", b"\0\1\2"), ("empty", b"")]
    yield "fresh archive", container.write(encoding.encode_archive(items, Choices()))
    model = str(single_model(folder))
    binary = np.random.default_rng(1).integers(0, 2, 130, np.uint8).tobytes()
    yield "fresh single", api.encode(binary, model=model)


@dataclass
class Corpus:
    """The originals, what they hold, and where their models are."""

    folder: Path = Path()
    files: list[bytes] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    spare: list[bytes] = field(default_factory=list)  # files that are damaged already
    results: set[bytes] = field(default_factory=set)
    blocks: set[bytes] = field(default_factory=set)

    def add(self, name: str, data: bytes) -> None:
        """Take in a good file."""
        self.names.append(name)
        self.files.append(data)
        result, blocks = decoded(data)
        self.results.add(result)
        self.blocks.update(blocks)


def corpus(folder: Path) -> Corpus:
    """All originals; `folder` gets their models."""
    folder_of_models(folder)
    made = Corpus(folder)
    for name, data in fresh(folder):
        made.add(name, data)
    for path in sorted((DATA / "golden").glob("*.bfn")):
        if path.name.startswith("bad-"):
            made.spare.append(path.read_bytes())
        else:
            made.add(path.stem, path.read_bytes())
    return made


def decoded(data: bytes) -> tuple[bytes, list[bytes]]:
    """Hashes of all that a file gives, names included, and of what each block's digest covers."""
    file = decoding.read(data, max_output=MAX_OUTPUT, max_pixels=MAX_PIXELS)
    whole = hashlib.sha256(repr(file.names).encode())
    blocks = []
    for block in file.blocks:
        inner = hashlib.sha256()
        for content in block.form.decode(block, "cpu"):
            if isinstance(content, Picture):
                whole.update(f"{content.origin.name} {content.pixels.shape}".encode())
                pieces = [content.pixels.tobytes(), content.metadata]
            else:
                pieces = [b"".join(content)]
            for piece in pieces:
                whole.update(len(piece).to_bytes(8, "little") if file.names is not None else b"")
                whole.update(piece)
                inner.update(piece)
        blocks.append(inner.digest())
    return whole.digest(), blocks


# Mutations


def header_end(data: bytes) -> int:
    """Where the header's CRC begins."""
    reader = container.Reader(data, len(container.MAGIC) + 2)
    reader.skip(reader.varint())
    return reader.position


def flip(source: random.Random, data: bytes, made: Corpus) -> bytes:
    """One to eight bits."""
    out = bytearray(data)
    for _ in range(source.choice((1, 1, 1, 2, 3, 8))):
        out[source.randrange(len(out))] ^= 1 << source.randrange(8)
    return bytes(out)


def run(source: random.Random, data: bytes, made: Corpus) -> bytes:
    """A run of bytes overwritten, put in or taken out."""
    at, count = source.randrange(len(data) + 1), source.choice((1, 2, 4, 16, 64, 300))
    noise = source.choice((bytes(count), b"\xff" * count, source.randbytes(count), data[:count]))
    how = source.randrange(3)
    return data[:at] + (noise if how < 2 else b"") + data[at + (count if how != 1 else 0) :]


def cut(source: random.Random, data: bytes, made: Corpus) -> bytes:
    """An end that is missing, or too much."""
    if source.random() < 0.8:
        return data[: source.randrange(len(data))]
    return data + source.choice((b"\0", b"\n", source.randbytes(9), data))


def splice(source: random.Random, data: bytes, made: Corpus) -> bytes:
    """The beginning of one file and the end of another, cut anywhere or where a payload begins."""
    other = source.choice(made.files + made.spare)
    if source.random() < 0.5 and other not in made.spare:
        return data[: header_end(data) + 4] + other[header_end(other) + 4 :]
    return data[: source.randrange(len(data) + 1)] + other[source.randrange(len(other) + 1) :]


def undone(source: random.Random, data: bytes, made: Corpus) -> bytes:
    """Damage that takes itself back."""
    at = source.randrange(len(data))
    changed = data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]
    return changed[:at] + bytes([changed[at] ^ 255]) + changed[at + 1 :]


def sealed(data: bytes, end: int) -> bytes:
    """The file with a right CRC for a header that ends there."""
    return data[:end] + zlib.crc32(data[:end]).to_bytes(4, "little") + data[end + 4 :]


def header_bytes(source: random.Random, data: bytes, made: Corpus) -> bytes:
    """Bytes of the header changed or added, and its length and CRC made right."""
    reader = container.Reader(data, len(container.MAGIC) + 2)
    body = bytearray(reader.take(reader.varint()))
    version, payload = data[8:10], data[reader.position + 4 :]
    for _ in range(source.choice((1, 1, 2, 4))):
        how, at = source.randrange(6), source.randrange(len(body) + 1)
        if how == 0 and at < len(body):
            body[at] ^= 1 << source.randrange(8)
        elif how == 1 and at < len(body):
            body[at] = source.choice((0, 1, 2, 127, 128, 255))
        elif how == 2:
            body[at:at] = container.varint(source.choice((0, 1, 1 << 14, 1 << 32, (1 << 63) - 1)))
        elif how == 3:
            del body[at : at + source.randrange(1, 4)]
        elif how == 4:
            body[at:at] = body[: source.randrange(len(body) + 1)]
        else:
            version = bytes([container.VERSION, source.choice((0, 1, 2))])
    start = container.MAGIC + version + container.varint(len(body)) + bytes(body)
    return sealed(start + bytes(4) + payload, len(start))


def number(source: random.Random, value: int) -> int:
    """Another number, near or far."""
    choices = (0, 1, value + 1, max(0, value - 1), 2 * value, value ^ 1 << source.randrange(12), 1 << 20, (1 << 62) - 1)
    return source.choice(choices)


def header_fields(source: random.Random, data: bytes, made: Corpus) -> bytes:
    """Fields of the parsed header replaced by others of their kind, blocks moved, doubled or taken from other files."""
    file = copy.deepcopy(decoding.read(data))
    other = decoding.read(source.choice(made.files))
    for _ in range(source.choice((1, 1, 2))):
        how = source.randrange(8)
        block = source.choice(file.blocks)
        if how == 0:
            file.blocks.insert(source.randrange(len(file.blocks) + 1), source.choice(other.blocks))
        elif how == 1 and len(file.blocks) > 1:
            file.blocks.remove(block)
        elif how == 2:
            source.shuffle(file.blocks)
        elif how == 3:
            file.names = None if file.names else [source.choice(("", "a", "..", "/x", "\udcff"))] * file.items
        else:
            change(source, block, source.choice(other.blocks))
    return container.write(file)


def change(source: random.Random, block: Block, other: Block) -> None:
    """One field of a block, or of what a block of its mode has, becomes another."""
    inner: Any = block.form
    theirs: Any = other.form
    if isinstance(inner, Image) and inner.passes and source.random() < 0.5:
        inner = source.choice(inner.passes)
        theirs = source.choice(theirs.passes) if isinstance(theirs, Image) and theirs.passes else inner
    if source.random() < (0.8 if isinstance(inner, Plain) else 0.2):
        inner, theirs = block, other
    name = source.choice([one.name for one in fields(inner)])
    value = getattr(inner, name)
    if name == "form":  # another mode, for the same payload if it has no other header
        both = isinstance(value, Plain) and isinstance(theirs.form, Plain)
        value = type(theirs.form)(value.data) if both else theirs.form
    elif type(theirs) is type(inner) and source.random() < 0.4:
        value = getattr(theirs, name)
    elif isinstance(value, bool):
        value = not value
    elif hasattr(value, "name"):
        value = source.choice(list(type(value)))
    elif isinstance(value, int):
        value = number(source, value)
    elif isinstance(value, bytes) and value:
        value = source.choice((flip, run, cut))(source, value, Corpus())
        value = value[: len(getattr(inner, name))] if name in ("digest", "model", "constant") else value
    elif isinstance(value, list) and value:
        value = source.choice((value[:-1], value + value[-1:], value[::-1]))
    setattr(inner, name, value)


Mutation = Callable[[random.Random, bytes, Corpus], bytes]
DAMAGE: dict[str, Mutation] = {one.__name__: one for one in (flip, run, cut, splice, undone)}
KINDS: dict[str, Mutation] = DAMAGE | {one.__name__: one for one in (header_bytes, header_fields)}
OFTEN = {"flip": 2, "run": 1, "cut": 1, "splice": 1, "undone": 1, "header_bytes": 2, "header_fields": 4}


def mutant(seed: int, made: Corpus, only: str | None = None) -> tuple[str, str, bytes]:
    """Mutant `seed`: its kind, the name of its original, its bytes."""
    source = random.Random(seed)
    which = source.randrange(len(made.files))
    kind = only or source.choices(list(OFTEN), list(OFTEN.values()))[0]
    try:
        return kind, made.names[which], KINDS[kind](source, made.files[which], made)
    except (
        BfnError,
        TypeError,
        AttributeError,
        ValueError,
        IndexError,
        OverflowError,
    ):  # not to be written
        return kind, made.names[which], flip(source, made.files[which], made)


# What is measured


@dataclass
class Tally:
    """What became of the mutants."""

    kinds: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    slowest_seed: int = -1
    grown: int = 0  # MB
    faults: list[str] = field(default_factory=list)


def peak(anew: bool = False) -> int:
    """The most memory that this process had, MB, since it was last asked `anew` (since its start, but on Linux)."""
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (20 if sys.platform == "darwin" else 10)
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) >> 10


def examine(seed: int, made: Corpus, tally: Tally, only: str | None = None) -> None:
    """Decode one mutant and take note of what happens."""
    kind, name, data = mutant(seed, made, only)
    tally.kinds[kind] += 1
    started = time.monotonic()
    try:
        result, blocks = decoded(data)
        end = "original"
        if not made.blocks.issuperset(blocks) or (kind in DAMAGE and result not in made.results):
            tally.faults.append(f"mutant {seed} ({kind} of {name}) gives other content")
    except BfnError as error:
        end = type(error).__name__
        if kind == "undone":
            tally.faults.append(f"mutant {seed} ({kind} of {name}) is the original, and gives {error}")
    except Exception as error:
        end = "crash"
        tally.faults.append(f"mutant {seed} ({kind} of {name}) raises {type(error).__name__}: {error}")
    if seed % 4 == 0:
        glance(seed, kind, name, data, tally)
    seconds = time.monotonic() - started
    tally.ends[end] += 1
    if seconds > tally.slowest:
        tally.slowest, tally.slowest_seed = seconds, seed
    if seconds > SECONDS:
        tally.faults.append(f"mutant {seed} ({kind} of {name}) takes {seconds:.1f} s")


def glance(seed: int, kind: str, name: str, data: bytes, tally: Tally) -> None:
    """`info` and `--preview` fail by a BfnError alone, too; what a preview shows is not checked by a digest."""
    for look in (lambda: api.info(data), lambda: decoding.preview(decoding.read(data, max_output=MAX_OUTPUT), "cpu")):
        try:
            look()
        except BfnError:
            pass
        except Exception as error:
            tally.faults.append(f"mutant {seed} ({kind} of {name}): a look raises {type(error).__name__}: {error}")


def fuzz(made: Corpus, seeds: range, only: str | None = None, seconds: float = 1e9) -> Tally:
    """Examine many mutants, or as many as the time allows."""
    tally = Tally()
    before, stop = peak(anew=True), time.monotonic() + seconds
    for seed in seeds:
        examine(seed, made, tally, only)
        if peak() - before > GROWTH:
            tally.faults.append(f"mutant {seed} takes {peak() - before} MB")
            break
        if time.monotonic() > stop:
            break
    tally.grown = peak() - before
    return tally


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--only", choices=sorted(KINDS))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = corpus(Path(folder))
        started = time.monotonic()
        tally = fuzz(made, range(given.start, given.start + given.count), given.only)
    print(f"{sum(tally.kinds.values())} mutants of {len(made.files)} files in {time.monotonic() - started:.0f} s")
    print("kinds:", ", ".join(f"{kind} {count}" for kind, count in tally.kinds.most_common()))
    print("ends:", ", ".join(f"{end} {count}" for end, count in tally.ends.most_common()))
    print(f"slowest: {tally.slowest:.2f} s (mutant {tally.slowest_seed}); memory grew by {tally.grown} MB")
    print(f"faults: {len(tally.faults)}", *tally.faults, sep="\n")
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
