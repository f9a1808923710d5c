"""Make tests/data/golden/: files that every later version must decode to the same content.

Run as `python tests/make_goldens.py [FOLDER]`. The files are promises: once a version is
released they are never made again, only added to. Everything here is integer arithmetic,
so each run gives the same bytes; PNG inputs are written uncompressed, by hand.

`manifest.json` tells for every good file how it was made and what it holds (SHA-256 of
pixels, metadata, bytes), and for every bad one the class of the error.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bfncodec import api, codec, container
from bfncodec.container import Block, File, Image, Layout, Mode, Pass, Schedule, Source
from bfncodec.models import base, changes, zoo
from bfncodec.models.networks import Networks
from bfncodec.models.wavefront import Wavefront

DATA = Path(__file__).with_name("data")
GOLDEN = DATA / "golden"
MODEL = "tiny"
OPTIONS = {"model": MODEL, "device": "cpu"}
Pixels = np.ndarray
Chunks = list[tuple[bytes, bytes]]


@dataclass
class Input:
    """An item before it is coded: a file's bytes, and the pixels and metadata that it stands for, if any.

    For pixels in memory `file` holds them row by row.
    """

    suffix: str
    file: bytes
    source: Source | None = None
    pixels: Pixels | None = None
    metadata: bytes = b""

    def content(self) -> dict[str, Any]:
        """What the manifest says of the decoded item."""
        if self.source is None or self.pixels is None:
            return {"bytes": sha(self.file)}
        return {
            "source": self.source.name,
            "shape": list(self.pixels.shape),
            "pixels": sha(self.pixels.tobytes()),
        } | ({"metadata": sha(self.metadata)} if self.metadata else {})


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# Inputs


def picture(height: int, width: int, channels: int, seed: int) -> Pixels:
    """Slopes that turn, with some noise: uint8 [height, width, channels]."""
    out = np.zeros((height, width, channels), np.uint8)
    for y, x, c in np.ndindex(*out.shape):
        slope = abs((3 * x + 5 * y + 40 * seed + 9 * c) % 160 - 80) + abs((4 * y - 2 * x + 7 * seed) % 90 - 45)
        out[y, x, c] = 60 + slope + zlib.crc32(bytes([y, x, c, seed])) % 7
    return out


def alpha(height: int, width: int) -> Pixels:
    """Transparent in a corner, opaque in the rest: uint8 [height, width, 1]."""
    y, x = np.indices((height, width))
    return (255 - (30 - 3 * x - 2 * y).clip(0, 25) * 10 - 5 * (y + 3 * x < 20)).astype(np.uint8)[..., None]


def with_alpha(pixels: Pixels) -> Pixels:
    return np.concatenate([pixels, alpha(*pixels.shape[:2])], axis=2)


def metadata(before: bytes, after: bytes) -> bytes:
    return struct.pack("<II", len(before), len(after)) + before + after if before or after else b""


def array(pixels: Pixels) -> Input:
    return Input("raw", pixels.tobytes(), Source.ARRAY, pixels)


def png(pixels: Pixels, before: Chunks | None = None, after: Chunks | None = None) -> Input:
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    # zlib's own output depends on its version: one stored block.
    packed = b"\x78\x01\x01" + struct.pack("<HH", len(rows), len(rows) ^ 0xFFFF) + rows
    body = packed + zlib.adler32(rows).to_bytes(4, "big")
    head = struct.pack(">IIBBBBB", width, height, 8, (0, 4, 2, 6)[channels - 1], 0, 0, 0)
    before, after = before or [], after or []
    file = b"\x89PNG\r\n\x1a\n"
    for kind, content in [(b"IHDR", head), *before, (b"IDAT", body), *after, (b"IEND", b"")]:
        file += struct.pack(">I", len(content)) + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    def kept(chunks: Chunks) -> bytes:
        return b"".join(struct.pack(">I", len(content)) + kind + content for kind, content in chunks)

    return Input("png", file, Source.PNG, pixels, metadata(kept(before), kept(after)))


def pnm(pixels: Pixels, head: bytes, tail: bytes) -> Input:
    suffix = "ppm" if pixels.shape[2] == 3 else "pgm"
    return Input(suffix, head + pixels.tobytes() + tail, Source.PNM, pixels, metadata(head, tail))


def bmp(pixels: Pixels) -> Input:
    height, width, _ = pixels.shape
    rows = b"".join(row[:, ::-1].tobytes() + bytes(-3 * width % 4) for row in pixels[::-1])
    head = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54 + len(rows), 0, 0, 54, 40, width, height, 1, 24, 0, *[0] * 5)
    return Input("bmp", head + rows, Source.BMP, pixels, metadata(head, b""))


def inputs() -> dict[str, tuple[Input, str]]:
    """Inputs of the files that `bfncodec.encode` makes, and the effort, by name."""
    note = [(b"pHYs", struct.pack(">IIB", 2835, 2835, 1)), (b"tEXt", b"Title\0golden")]
    return {
        "rgb": (array(picture(20, 24, 3, 0)), "default"),
        "rgba": (png(with_alpha(picture(20, 24, 3, 1))), "default"),
        "la": (array(with_alpha(picture(20, 24, 1, 2))), "default"),
        "l": (array(picture(20, 24, 1, 3)), "default"),
        "metadata": (png(picture(18, 20, 3, 4), note, [(b"tEXt", b"Comment\0after the pixels")]), "default"),
        "ppm": (pnm(picture(19, 24, 3, 5), b"P6 # a comment\n24 19\n255\n", b"the end"), "default"),
        "pgm": (pnm(picture(20, 21, 1, 6), b"P5\n21 20\n255\n", b""), "default"),
        "bmp": (bmp(picture(20, 21, 3, 7)), "default"),
        "constant": (array(np.full((20, 24, 3), [9, 8, 7], np.uint8)), "default"),
        "silent": (array(picture(3, 2, 3, 9)), "default"),
        "lattice": (array(picture(20, 24, 3, 10)), "lattice"),
        "lattice-la": (png(with_alpha(picture(21, 17, 1, 11))), "lattice"),
        "lattice-row": (array(picture(1, 24, 3, 12)), "lattice"),
        "lattice-column": (array(picture(24, 1, 1, 13)), "lattice"),
        "stored": (Input("bin", bytes(range(100))), "default"),
        "empty": (Input("bin", b""), "default"),
        "lzma": (Input("txt", b"A line that comes again and again.\r\n" * 9), "default"),
    }


def archive_inputs() -> dict[str, Input]:
    """Two pictures that share a block, one of another size, bytes; a name that is no UTF-8."""
    return {
        "a.png": png(picture(16, 20, 3, 14)),
        "folder/b.png": png(picture(16, 20, 3, 15), [(b"tEXt", b"Title\0second")]),
        "c.pgm": pnm(picture(20, 16, 1, 16), b"P5 16 20 255\n", b""),
        "caf\udce9.txt": Input("txt", b"some text, some text, some text, some text, some text"),
    }


# Files that no effort makes alike on every machine: passes put together by hand


def networks() -> Networks:
    return codec.networks(zoo.find(MODEL), "float32")


def hand_made(pixels: Pixels, pace: int, change: bool, shift_base: bool) -> bytes:
    """A file of one pass with a pace, changes of biases, and coefficients that are not the model's."""
    nets = networks()
    height, width, channels = pixels.shape
    coefficients = nets.coefficients.copy()
    if shift_base:
        coefficients[::5, 0] += 3
        coefficients[1::7, 1] -= 2
        coefficients[72] += [5, 0, -4]
        coefficients[73] -= [20, 10, 30]
    packed = b""
    if change:
        widths = changes.layers(nets.tensors)
        table = {name: np.arange(size) * 7 % 5 - 2 for name, size in widths.items()}
        table["first.0"][[0, 5]] = [changes.LIMIT, -changes.LIMIT]
        packed = changes.pack(table, nets.tensors)
    plan = Pass(pace=pace, base=base.pack(coefficients, nets.coefficients), changes=packed)
    layout = Layout.RGB if channels == 3 else Layout.L
    planes = codec.split(pixels[None], layout)[0]
    model = Wavefront(nets.changed(packed), planes.shape, coefficients, planes, pace)
    image = Image(Source.ARRAY, layout, Schedule.WAVEFRONT, width, height, zoo.digest(zoo.find(MODEL)))
    image.passes = [codec._pushed(model, plan, None)]
    block = Block(Mode.IMAGE, 1, pixels.size, container.digest(pixels.tobytes()), image=image)
    return container.write(File([block]))


def by_hand() -> dict[str, tuple[Input, bytes]]:
    """Inputs and files."""
    shapes = {
        "learning": (picture(33, 36, 3, 8), 0, False, False),
        "changes": (picture(32, 36, 3, 17), 1, True, True),
        "pace-2": (picture(20, 24, 1, 18), 2, False, False),
        "base": (picture(20, 24, 3, 19), 3, False, True),
    }
    return {name: (array(plan[0]), hand_made(*plan)) for name, plan in shapes.items()}


# Files that must fail


def bad(good: dict[str, bytes]) -> dict[str, tuple[bytes, str]]:
    """Damaged files and the classes of their errors."""
    grey, lattice, paced, made = good["l"], good["lattice-la"], good["pace-2"], good["changes"]

    def flipped(data: bytes, position: int) -> bytes:
        return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]

    def edited(data: bytes, **fields: Any) -> bytes:
        file = container.read(data)
        image = file.blocks[0].image
        assert image is not None
        for name, value in fields.items():
            target = image if name == "model" else image.passes[0]
            setattr(target, name, value(getattr(target, name)))
        return container.write(file)

    def small(fields: bytes, start: bytes = b"\x01\x00", payload: bytes = b"abc") -> bytes:
        """A file of any fields, with a right checksum."""
        header = container.MAGIC + start + bytes([len(fields)]) + fields
        return header + zlib.crc32(header).to_bytes(4, "little") + payload

    image = b"\x02\x01" + bytes(8) + b"\x30\x00\x01\x01" + zoo.digest(zoo.find(MODEL)) + b"\x00\x08"
    stored = b"\x00\x03" + container.digest(b"abc") + b"\x03"
    return {
        "truncated": (grey[:-1], "TruncatedFile"),
        "only-magic": (grey[:8], "TruncatedFile"),
        "text-mode": (grey.replace(b"\r\n", b"\n"), "BadMagic"),
        "header-crc": (flipped(grey, 14), "CorruptFile"),
        "payload": (flipped(grey, len(grey) // 2), "CorruptFile"),
        "payload-lattice": (flipped(lattice, len(lattice) // 2), "CorruptFile"),
        "last-byte": (flipped(paced, len(paced) - 1), "CorruptFile"),
        "version": (small(stored, b"\x02\x00"), "UnsupportedFeature"),
        "flag": (small(stored, b"\x01\x02"), "UnsupportedFeature"),
        "mode": (small(b"\x03" + stored[1:]), "UnsupportedFeature"),
        "schedule": (small(image[:11] + b"\x02" + image[12:]), "UnsupportedFeature"),
        "form": (small(image), "UnsupportedFeature"),
        "varint": (small(b"\x00\x83\x00" + stored[2:]), "CorruptFile"),
        "digest": (small(stored, payload=b"abd"), "CorruptFile"),
        "trailing-byte": (grey + b"\0", "CorruptFile"),
        "two-files": (grey + grey, "CorruptFile"),
        "redundant-zero": (edited(grey, stream=lambda old: old + b"\0"), "CorruptFile"),
        "too-much-stream": (edited(grey, stream=lambda old: b"\1" * 8 + old), "CorruptFile"),
        "wrong-pace": (edited(paced, pace=lambda old: 1), "CorruptFile"),
        "wrong-silent": (edited(grey, silent=lambda old: 1), "CorruptFile"),
        "cut-changes": (edited(made, changes=lambda old: old[:-1]), "CorruptFile"),
        "cut-base": (edited(made, base=lambda old: old[:-2]), "CorruptFile"),
        "no-model": (edited(grey, model=lambda old: bytes(4)), "MissingModel"),
    }


# The folder


def make(folder: Path) -> None:
    """Write all files and the manifest into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest: dict[str, Any] = {"model": zoo.digest(zoo.find(MODEL)).hex(), "good": {}, "archive": {}, "bad": {}}
    good: dict[str, bytes] = {}

    def put(name: str, given: Input, data: bytes, effort: str | None) -> None:
        block = container.read(data).blocks[0]
        entry = {"input": f"{name}.{given.suffix}", "effort": effort, "mode": block.mode.name, **given.content()}
        if block.image is not None:
            entry["schedule"] = block.image.schedule.name
            entry["passes"] = [shown(one) for one in block.image.passes]
        (folder / entry["input"]).write_bytes(given.file)
        (folder / f"{name}.bfn").write_bytes(data)
        manifest["good"][name] = entry
        good[name] = data

    for name, (given, effort) in inputs().items():
        item = given.pixels if given.source is Source.ARRAY else given.file
        assert item is not None
        put(name, given, api.encode(item, effort=effort, **OPTIONS), effort)
    for name, (given, data) in by_hand().items():
        put(name, given, data, None)
    items = archive_inputs()
    data = api.encode_archive([(name, one.file) for name, one in items.items()], **OPTIONS)
    (folder / "archive.bfn").write_bytes(data)
    for number, (name, one) in enumerate(items.items()):
        file = f"archive-{number}.{one.suffix}"
        (folder / file).write_bytes(one.file)
        manifest["archive"][name] = {"input": file, **one.content()}
    for name, (data, error) in bad(good).items():
        (folder / f"bad-{name}.bfn").write_bytes(data)
        manifest["bad"][name] = error
    manifest["info"] = {name: api.info((folder / f"{name}.bfn").read_bytes()) for name in ("rgb", "lzma", "archive")}
    (folder / "manifest.json").write_text(lines(manifest) + "\n")


def shown(one: Pass) -> str:
    """What a pass has, in words."""
    if one.constant is not None:
        return f"constant {one.constant.hex()}"
    parts = [f"pace {one.pace}" if one.pace < 3 else "no learning"] + ["silent"] * one.silent
    return ", ".join(parts + ["base"] * bool(one.base) + ["changes"] * bool(one.changes))


def lines(manifest: dict[str, Any]) -> str:
    """JSON with a line for every file."""
    parts = []
    for key, value in manifest.items():
        text = json.dumps(value)
        if isinstance(value, dict):
            text = "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()) + "\n}"
        parts.append(f"{json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}"


if __name__ == "__main__":
    os.environ[zoo.DIRECTORY_VARIABLE] = str(DATA)
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN)
