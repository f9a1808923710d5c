"""Make tests/data/golden/: files that every later version must decode to the same content.

Run as `PYTHONPATH=tests python -m tools.make_goldens [FOLDER]`. The files are promises: once a version is
released they are never made again, only added to. Everything here is integer arithmetic,
so each run gives the same bytes; PNG inputs are written uncompressed, by hand.

`manifest.json` tells for every good file how it was made and what it holds (SHA-256 of
pixels, metadata, bytes), and for every bad one the class of the error.
"""

import hashlib
import io
import json
import os
import struct
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tools import jpeg_files, make_goldens_paper, make_tiny_paper

from bfncodec import api, container, decoding, encoding, jpeg, media, spans
from bfncodec.blocks import jpeg as jpeg_blocks
from bfncodec.blocks import plain as plain_blocks
from bfncodec.blocks import smallest
from bfncodec.blocks import text as text_blocks
from bfncodec.blocks.image import Image, pack_metadata
from bfncodec.blocks.image import digest as image_digest
from bfncodec.blocks.inside import Inside, made
from bfncodec.blocks.text import Text, TextSchedule
from bfncodec.coding import protocol
from bfncodec.coding.ans import Coder
from bfncodec.container import Block, File
from bfncodec.jpeg import pixels as jpeg_pixels
from bfncodec.jpeg.inverse import Found
from bfncodec.jpeg.pixels import Colours
from bfncodec.jpeg.rest import standard_tables
from bfncodec.models import zoo
from bfncodec.models.image import coefficients as coefficients_image
from bfncodec.models.image import streams as image_streams
from bfncodec.models.image.passes import Pass, Sampling, Schedule, Space, ordered, split
from bfncodec.models.image.sampling import interpolated
from bfncodec.models.image.spaces import to_grb
from bfncodec.models.image.wavefront import WavefrontSource
from bfncodec.models.jpeg import memory as jpeg_memory
from bfncodec.models.jpeg import streams as jpeg_streams
from bfncodec.models.text import streams as text_streams
from bfncodec.models.text.blockwise import Blockwise
from bfncodec.models.text.memory import FULL, Kit
from bfncodec.picture import Layout, Origin
from bfncodec.presets import Choices

DATA = Path(__file__).parents[1] / "data"
GOLDEN = DATA / "golden"
MODEL = "tiny"
OPTIONS: dict[str, Any] = {"model": MODEL, "device": "cpu"}
TEXT_MODEL = "tiny-text"
JPEG_MODEL = "tiny-jpeg"
JPEG_OPTIONS: dict[str, Any] = {"model": JPEG_MODEL, "device": "cpu"}
EXACT_OPTIONS: dict[str, Any] = {"device": "cpu", "media": "image"}
TEXT_OPTIONS: dict[str, Any] = {"model": TEXT_MODEL, "device": "cpu", "media": "text"}
TOLD = (  # of which `info` is in the manifest
    "rgb", "space", "half", "exact-palette", "lzma", "archive", "parts-mixed", "jpeg", "inside-half", "single-values",
)  # fmt: skip
Pixels = np.ndarray
Chunks = list[tuple[bytes, bytes]]


@dataclass
class Input:
    """An item before it is coded: a file's bytes, and the pixels and metadata that it stands for, if any.

    For pixels in memory `file` holds them row by row.
    """

    suffix: str
    file: bytes
    origin: Origin | None = None
    pixels: Pixels | None = None
    metadata: bytes = b""

    def content(self) -> dict[str, Any]:
        """What the manifest says of the decoded item."""
        if self.origin is None or self.pixels is None:
            return {"bytes": sha(self.file)}
        return {
            "source": self.origin.name,
            "shape": list(self.pixels.shape),
            "pixels": sha(self.pixels.tobytes()),
        } | ({"metadata": sha(self.metadata)} if self.metadata else {})


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest(content: bytes) -> bytes:
    return container.hasher(content).digest()


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


def converted(height: int, width: int, space: Space, seed: int, exceptions: int = 0) -> Pixels:
    """A picture that was something else before, some of it clipped: uint8 [height, width, 3]."""
    y, r, b = np.moveaxis(picture(height, width, 3, seed), 2, 0)
    integers = np.stack([y, 100 + r // 3, 190 - b // 3], axis=2)
    pixels = ordered(to_grb(integers, space)).copy()
    pixels[: exceptions * 2 : 2, 5] ^= 1
    return pixels


def sampled(height: int, width: int, space: Space, sampling: Sampling, seed: int, exceptions: int = 0) -> Pixels:
    """A picture whose colour differences had half the resolution: uint8 [height, width, 3]."""
    whole = interpolated(differences(height, width, sampling, seed), sampling, height, width)
    integers = np.concatenate([picture(height, width, 1, seed)[None], whole], axis=3)
    pixels = ordered(to_grb(integers, space))[0]
    pixels[: exceptions * 2 : 2, 6] ^= 4
    return pixels


def differences(height: int, width: int, sampling: Sampling, seed: int) -> Pixels:
    """Samples of two colour differences, uint8 [1, h, w, 2]."""
    return 100 + picture(*sampling.shape(height, width), 2, seed)[None] // 3


def with_alpha(pixels: Pixels) -> Pixels:
    return np.concatenate([pixels, alpha(*pixels.shape[:2])], axis=2)


def metadata(before: bytes, after: bytes) -> bytes:
    return struct.pack("<II", len(before), len(after)) + before + after if before or after else b""


def array(pixels: Pixels) -> Input:
    return Input("raw", pixels.tobytes(), Origin.ARRAY, pixels)


def drawn(height: int, width: int, channels: int, colours: int) -> Pixels:
    """Rectangles of few colours that come again, with letters of a kind: uint8 [height, width, channels]."""
    table = np.frombuffer(hashlib.shake_256(b"colours").digest(colours * channels), np.uint8).reshape(colours, channels)
    out = np.zeros((height, width, channels), np.uint8)
    for y, x in np.ndindex(height, width):
        letter = (y % 7 in (1, 5) and x % 6 < 4) or (x % 6 in (0, 3) and 0 < y % 7 < 6)
        out[y, x] = table[(x // 11 + y // 9) % (colours - 1) + (letter and (x // 6 + y // 7) % 3 == 0)]
    return out


def png(
    pixels: Pixels, before: Chunks | None = None, after: Chunks | None = None, depth: int = 8, palette: bool = False
) -> Input:
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + packed_row(row, depth) for row in pixels)
    # zlib's own output depends on its version: one stored block.
    packed = b"\x78\x01\x01" + struct.pack("<HH", len(rows), len(rows) ^ 0xFFFF) + rows
    body = packed + zlib.adler32(rows).to_bytes(4, "big")
    head = struct.pack(">IIBBBBB", width, height, depth, 3 if palette else (0, 4, 2, 6)[channels - 1], 0, 0, 0)
    before, after = before or [], after or []
    file = b"\x89PNG\r\n\x1a\n"
    for kind, content in [(b"IHDR", head), *before, (b"IDAT", body), *after, (b"IEND", b"")]:
        file += struct.pack(">I", len(content)) + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    def kept(chunks: Chunks) -> bytes:
        return b"".join(struct.pack(">I", len(content)) + kind + content for kind, content in chunks)

    return Input("png", file, Origin.PNG, pixels, metadata(kept(before), kept(after)))


def packed_row(row: Pixels, depth: int) -> bytes:
    """A row of a PNG: samples of 16 bits, the high byte first, or several to a byte, the first one highest."""
    if depth == 16:
        return row.astype(">u2").tobytes()
    bits = np.unpackbits(row.reshape(-1, 1), axis=1)[:, 8 - depth :]
    return np.packbits(bits).tobytes()


def pnm(pixels: Pixels, head: bytes, tail: bytes) -> Input:
    if head.startswith(b"P4"):
        return Input(
            "pbm",
            head + np.packbits(pixels[..., 0] ^ 1, axis=1).tobytes() + tail,
            Origin.PNM,
            pixels,
            metadata(head, tail),
        )
    suffix = "ppm" if pixels.shape[2] == 3 else "pgm"
    body = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
    return Input(suffix, head + body + tail, Origin.PNM, pixels, metadata(head, tail))


def npy(values: Pixels) -> Input:
    """int16 [height, width]."""
    text = f"{{'descr': '<i2', 'fortran_order': False, 'shape': {values.shape}, }}".encode()
    head = b"\x93NUMPY\1\0" + struct.pack("<H", 118) + text.ljust(117) + b"\n"
    pixels = (values.view(np.uint16) ^ np.uint16(1 << 15))[..., None]
    return Input("npy", head + values.astype("<i2").tobytes(), Origin.NPY, pixels, metadata(head, b""))


def bmp(pixels: Pixels) -> Input:
    height, width, _ = pixels.shape
    rows = b"".join(row[:, ::-1].tobytes() + bytes(-3 * width % 4) for row in pixels[::-1])
    head = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54 + len(rows), 0, 0, 54, 40, width, height, 1, 24, 0, *[0] * 5)
    return Input("bmp", head + rows, Origin.BMP, pixels, metadata(head, b""))


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
        "fast": (array(picture(19, 36, 3, 26)), "fast"),
        "fast-grey": (array(picture(18, 20, 1, 27)), "fast"),
        "lattice": (array(picture(20, 24, 3, 10)), "lattice"),
        "lattice-la": (png(with_alpha(picture(21, 17, 1, 11))), "lattice"),
        "lattice-row": (array(picture(1, 24, 3, 12)), "lattice"),
        "lattice-column": (array(picture(24, 1, 1, 13)), "lattice"),
        "space": (array(converted(20, 24, Space.PHOTO_CD, 20, 4)), "default"),
        "space-rgba": (png(with_alpha(converted(20, 24, Space.JFIF, 21))), "default"),
        "half": (array(sampled(22, 26, Space.PHOTO_CD, Sampling.ODD_EVEN, 23, 4)), "default"),
        "half-rgba": (png(with_alpha(sampled(21, 23, Space.JFIF, Sampling.EVEN_ODD, 24))), "default"),
        "half-triangles": (array(sampled(17, 23, Space.JFIF, Sampling.TRIANGLES, 26, 2)), "default"),
        "space-lattice": (array(converted(18, 25, Space.BT709_WORDS, 22, 2)), "lattice"),
        "empty": (Input("bin", b""), "default"),
        "random": (Input("bin", random_bytes(100)), "default"),
        # An image that is not worth modelling: a text model has no say.
        "repeats": (Input("pgm", b"P5 30 40 255\n" + random_bytes(300) * 4), "default"),
    }


def slope_palette() -> bytes:
    """64 greys in a disorder."""
    return bytes(value for number in range(64) for value in [number * 45 % 64] * 3)


def slope_numbers() -> Pixels:
    """A slope of these greys, with noise: uint8 [36, 40, 1]."""
    y, x = np.indices((36, 40))
    greys = (3 * y + 2 * x) // 4 + picture(36, 40, 1, 33)[..., 0] % 5
    return (np.argsort(np.arange(64) * 45 % 64)[greys]).astype(np.uint8)[..., None]


def exact_inputs() -> dict[str, Input]:
    """Inputs that `bfncodec.encode` codes as exact colours."""
    palette = [(b"PLTE", hashlib.shake_256(b"palette").digest(36)), (b"tRNS", b"\xff\0\x80")]
    slope = np.uint16(picture(9, 13, 1, 30)) * 7
    return {
        "exact": array(drawn(30, 40, 3, 5)),
        "exact-rgba": png(drawn(21, 25, 4, 9), [(b"tEXt", b"Title\0drawn")]),
        "exact-grey": array(drawn(20, 33, 1, 3)),
        "exact-palette": png(drawn(25, 31, 1, 12) % 12, palette, depth=4, palette=True),
        "exact-bits": pnm(drawn(40, 50, 1, 4) >> 7, b"P4 50 40\n", b""),
        "exact-one-bit": png(drawn(9, 20, 1, 3) >> 7, depth=1),
        "exact-levels": pnm(slope // 16 * 16, b"P5 13 9 65535\n", b"."),
        "exact-words": png(np.uint16(picture(4, 5, 4, 31)) * 251 + 9, depth=16),
        "exact-signed": npy((np.int16(picture(7, 8, 1, 32)[..., 0]) - 128) * 3),
        "exact-order": png(slope_numbers(), [(b"PLTE", slope_palette())], palette=True),
        "exact-pixel": array(np.full((1, 1, 2), 65535, np.uint16)),
    }


def random_bytes(count: int) -> bytes:
    """What no model makes smaller."""
    return hashlib.shake_256(b"golden").digest(count)


ENGLISH = b"""The tide table of 1859

The harbour master wrote down every tide: the hour, the height, and the wind. He wrote in a small hand (the paper
was dear), and he never wrote more than one line for a tide. When the wind came from the north he underlined it;
when the wind came from the south he did not.

    04:10   2.31 m   north
    10:25   0.87 m   north
    16:40   2.29 m   south

His daughter kept the table after him. She wrote down every tide: the hour, the height, and the wind, and she
underlined nothing. "The wind came from the north," she said, "whether I underline it or not."
"""


MORE_ENGLISH = b"""
The new table

When she was old, a man came from the city with a machine in a box. A float went up and down in a pipe, and a pen
drew the tide on a paper that turned with the hours. "It does not sleep," he said. "It does not forget."

"And what does it write when the paper is at its end?" she asked.

"Then someone must come, and put another paper in."

"Every week?"

"Every week."

She thought about this. Then she asked him where the wind was on the paper, and he looked for it, and it was not
there. So they agreed that the machine should keep the height and the hour, and that she should keep the wind; and
for nineteen years both of them were in the room, and neither of them was ever wrong about the tide.
"""


def texts() -> dict[str, tuple[Input, str]]:
    """Inputs that `bfncodec.encode` codes with the text model, and the effort.

    Letters beyond ASCII, bytes of every kind; blocks.
    """
    signs = (
        "Grüße aus Ελλάδα\u00a0– здравствуйте, 世界! 🙂🙃🙂 e\u0301té, naïve café; 👩\u200d👧 “quoted” …\r\n"
        "世界! 🙂🙃🙂\r\n\ufeffGRÜSSE aus Ελλάδα\r\n"
    )
    records = b"".join(struct.pack("<HBxi", 7 * i, i % 3, -(i * i)) for i in range(30))
    ramp = bytes(range(255, -1, -5))
    return {
        "text": (Input("txt", ENGLISH), "default"),
        "text-utf8": (Input("txt", signs.encode()), "default"),
        "text-binary": (Input("bin", records + random_bytes(200) * 2 + ramp + bytes(40) + records[64:96]), "default"),
        "text-blocks": (Input("txt", MORE_ENGLISH), "blocks"),
        "text-fast": (Input("txt", ENGLISH + MORE_ENGLISH[:200]), "fast"),
    }


def in_segments(data: bytes, rows: list[int]) -> bytes:
    """A JPEG file in segments of so many rows of units."""
    parsed = jpeg.parse(data)
    assert parsed is not None
    image, _ = parsed
    frame, path = image.frame(), zoo.find(JPEG_MODEL)
    assert frame is not None
    coded = jpeg_streams.encode(jpeg_memory.start(path), frame, image.quantisers(), image.coefficients, rows)
    part = jpeg_blocks.Part(len(data), frame.coefficients // 64, jpeg.packed(image), rows, list(coded))
    form = jpeg_blocks.Jpeg(zoo.digest(path), frame.width, frame.height, [part], [b""])
    return container.write(File([Block(1, len(data), digest(data), form)]))


def decoded_jpegs() -> dict[str, tuple[Input, bytes]]:
    """Pictures that were decoded from JPEG files of all colours, some pixels changed."""
    plans: dict[str, tuple[Colours, int, int, list[int], bool]] = {
        "inside-grey": (Colours.GREY, 21, 19, [3], False),
        "inside-grey-rgb": (Colours.GREY, 16, 24, [1, 1], True),
        "inside-full": (Colours.FULL, 17, 18, [2, 1], True),
    }
    for colours in list(Colours)[2:]:
        name = colours.name.lower().replace("_", "-")
        plans[f"inside-{name}"] = colours, 19, 18, [-(-19 // (8 * colours.down))], True
    return {name: decoded_jpeg(*plan) for name, plan in plans.items()}


def decoded_jpeg(colours: Colours, height: int, width: int, rows: list[int], rgb: bool) -> tuple[Input, bytes]:
    """A PNG file of a JPEG file's pixels, with rows of units by segment."""
    frame = jpeg_pixels.frame(height, width, colours)
    quality = 60 + 4 * colours
    tables = [standard_tables(number > 0)[quality - 1] for number in range(len(frame.components))]
    if colours is Colours.FULL:
        tables[2] = np.arange(64) // 3 + 5
    noise = np.frombuffer(hashlib.shake_256(colours.name.encode()).digest(frame.coefficients), np.uint8).reshape(-1, 64)
    places = np.arange(64) // 8 + np.arange(64) % 8
    coefficients = (noise.astype(np.int64) - 128) // (12 + 24 * places)
    coefficients[:, 0] //= 2
    found = Found(
        colours, np.stack(tables), coefficients.astype(np.int16).reshape(-1), np.array([5, 6, 40])[: colours * 3]
    )
    pixels = jpeg_pixels.pixels(found.coefficients, found.quantisers, (height, width), colours)
    pixels = np.repeat(pixels, 3, axis=2) if rgb and not colours else pixels
    pixels.reshape(-1, pixels.shape[2])[found.wrong] ^= 1 + colours
    given = png(pixels)
    picture = media.parse(given.file, None)
    assert picture is not None
    path = zoo.find(JPEG_MODEL)
    image = Image(Origin.PNG, picture.layout, Schedule.COEFFICIENTS, width, height, zoo.digest(path))
    image.metadata, image.inside = pack_metadata([picture]), made(pixels, found, path, rows)
    return given, container.write(File([Block(1, pixels.size, image_digest([picture]), image)]))


def archive_inputs() -> dict[str, Input]:
    """Two pictures that share a block, one of another size, two of exact colours, bytes; a name that is no UTF-8."""
    return {
        "a.png": png(picture(16, 20, 3, 14)),
        "folder/b.png": png(picture(16, 20, 3, 15), [(b"tEXt", b"Title\0second")]),
        "c.pgm": pnm(picture(20, 16, 1, 16), b"P5 16 20 255\n", b""),
        "d.png": png(drawn(12, 14, 1, 4) % 4, [(b"PLTE", bytes(range(12)))], depth=2, palette=True),
        "e.png": png(drawn(14, 14, 1, 4)[2:] % 4, [(b"PLTE", bytes(range(40, 52)))], depth=2, palette=True),
        "caf\udce9.txt": Input("txt", b"some text, some text, some text, some text, some text"),
    }


# Files that `bfncodec.encode` does not make: passes that no effort makes alike on every machine, bytes that the
# text model makes smaller, and texts in lanes


def hand_made(pixels: Pixels, pace: int, deep: bool, shift_base: bool) -> bytes:
    """A file of one pass with a pace, a trunk that learns or not, and coefficients that may not be the model's."""
    nets = image_streams.networks(zoo.find(MODEL), "bytes")
    height, width, channels = pixels.shape
    coefficients = nets.coefficients.copy()
    if shift_base:
        coefficients[::5, 0] += 3
        coefficients[1::7, 1] -= 2
        coefficients[72] += [5, 0, -4]
        coefficients[73] -= [20, 10, 30]
    plan = Pass(pace=pace, deep=deep, base=coefficients_image.pack(coefficients, nets.coefficients))
    layout = Layout.RGB if channels == 3 else Layout.L
    model = WavefrontSource(nets, split(pixels[None])[0], coefficients, pace, deep=deep)
    image = Image(Origin.ARRAY, layout, Schedule.WAVEFRONT, width, height, zoo.digest(zoo.find(MODEL)))
    image.passes = [image_streams._pushed(model, plan, None)]
    return container.write(File([Block(1, pixels.size, digest(pixels.tobytes()), image)]))


def learning_differences() -> tuple[Input, bytes]:
    """Heads that learn from the differences of a small picture, whose luma is known."""
    height, width, seed, sampling = 34, 40, 25, Sampling.EVEN_EVEN
    given = array(sampled(height, width, Space.JFIF, sampling, seed))
    assert given.pixels is not None
    file = decoding.read(api.encode(given.pixels, **OPTIONS))
    image = file.blocks[0].form
    assert isinstance(image, Image) and image.sampling == sampling
    luma = sampling.of(picture(height, width, 1, seed)[None])
    planes = np.concatenate([luma, differences(height, width, sampling, seed)], axis=3)
    nets = image_streams.networks(zoo.find(MODEL), "bytes")
    model = WavefrontSource(nets, planes, nets.coefficients, 2, known=1)
    image.passes[1] = image_streams._pushed(model, Pass(pace=2), None)
    return given, container.write(file)


def plain_file(data: bytes) -> bytes:
    """A file without a model."""
    return container.write(File([plain_blocks.encode(data)]))


def in_lanes(data: bytes, lanes: int) -> bytes:
    """A text in one lane or several, however large that makes it."""
    return text_file(data, Text(zoo.digest(zoo.find(TEXT_MODEL)), lanes, streams=[*lane_streams(data, lanes)]))


def text_file(data: bytes, text: Text) -> bytes:
    return container.write(File([Block(1, len(data), digest(data), text)]))


def lane_streams(data: bytes, lanes: int, kit: Kit = FULL) -> list[bytes]:
    return text_streams.encode_bytewise(zoo.find(TEXT_MODEL), data, lanes, kit=kit)


def in_blocks(data: bytes, lanes: int, steps: int, quiet: int) -> bytes:
    """A text in blocks of bytes."""
    text = Text(zoo.digest(zoo.find(TEXT_MODEL)), lanes, TextSchedule.BLOCKWISE, steps, quiet)
    text.streams += block_streams(data, lanes, steps, quiet)
    return text_file(data, text)


def block_streams(data: bytes, lanes: int, steps: int, quiet: int) -> list[bytes]:
    streams = []
    values = np.frombuffer(data, np.uint8)
    network = text_streams._block_network(zoo.find(TEXT_MODEL), "bytes")
    for part in text_streams.block_parts(len(data)):
        coder = Coder()
        model = Blockwise(network, len(part), lanes, steps, quiet, values[part.start : part.stop])
        silent = protocol.encode(coder, model)
        assert not silent, "a text has no silent groups"
        streams.append(coder.data())
    return streams


def archive() -> bytes:
    """The pictures as `bfncodec.encode_archive` has them, and the text without a model."""
    *pictures, (name, text) = archive_inputs().items()
    file = encoding.encode_archive([(name, one.file) for name, one in pictures], Choices(**OPTIONS))
    assert file.names is not None
    return container.write(File([*file.blocks, plain_blocks.encode(text.file)], [*file.names, name]))


def cut(data: bytes, part: int) -> bytes:
    """A text in parts of so many bytes, as `bfncodec.encode` has it where it is far larger."""
    item = spans.whole(io.BytesIO(data))
    return container.write(File(smallest.in_parts(item, io.BytesIO(), part, Choices(**TEXT_OPTIONS))))


def lane_ends() -> bytes:
    """A text for three lanes whose matches reach the first byte of a lane, and the end of the short last one."""
    greeting, part = b"hello, lane; how do you do, lane", b"the end of the text."
    length = 70
    segments = [
        b"Three segments of bytes: ".ljust(length - 1 - len(part), b"-") + part + b"!",
        greeting.ljust(length, b"="),
        (bytes(4) + greeting).ljust(length - 2 - len(part), b".") + part,
    ]
    return b"".join(segments)


def by_hand() -> dict[str, tuple[Input, bytes]]:
    """Inputs and files."""
    plain = {
        "stored": Input("bin", bytes(range(100))),
        "lzma": Input("txt", b"A line that comes again and again.\r\n" * 9),
    }
    shapes = {
        "learning": (picture(33, 36, 3, 8), 0, False, False),
        "deep": (picture(32, 36, 3, 17), 1, True, True),
        "pace-2": (picture(20, 24, 1, 18), 2, False, False),
        "base": (picture(20, 24, 3, 19), 3, False, True),
    }
    lanes = {
        "text-byte": (b"\n", 1),
        "text-lanes": (ENGLISH[:500], 3),
        "text-lanes-short": (b"five!", 4),
        "text-lanes-ends": (lane_ends(), 3),
    }
    made = {name: (one, plain_file(one.file)) for name, one in plain.items()}
    made |= {name: (Input("txt", plan[0]), in_lanes(*plan)) for name, plan in lanes.items()}
    story = ENGLISH + MORE_ENGLISH
    made["text-blocks-lanes"] = Input("txt", story), in_blocks(story, 2, 2, 48)
    made["half-learning"] = learning_differences()
    made["parts"] = Input("txt", story), cut(story, 600)
    full = jpeg_files.all_files()["jpeg-full"]
    made["jpeg-segments"] = Input("jpg", full), in_segments(full, [1, 2])
    mixed = [ENGLISH[:300], b"A line that comes again and again.\r\n" * 9, random_bytes(60), MORE_ENGLISH[:200]]
    blocks = [
        text_blocks.encode(mixed[0], Choices(**TEXT_OPTIONS)),
        *map(plain_blocks.encode, mixed[1:3]),
        text_blocks.encode(mixed[3], Choices(**TEXT_OPTIONS, effort="blocks")),
    ]
    made["parts-mixed"] = Input("bin", b"".join(mixed)), container.write(File(blocks))
    return made | {name: (array(plan[0]), hand_made(*plan)) for name, plan in shapes.items()}


# Files that must fail


def bad(good: dict[str, bytes]) -> dict[str, tuple[bytes, str]]:
    """Damaged files and the classes of their errors."""
    grey, lattice, paced, made = good["l"], good["lattice-la"], good["pace-2"], good["deep"]
    short, blocks = good["text-utf8"], good["text-blocks"]

    def flipped(data: bytes, position: int) -> bytes:
        return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]

    def edited(data: bytes, **fields: Any) -> bytes:
        file = decoding.read(data)
        image = file.blocks[0].form
        assert isinstance(image, Image)
        for name, value in fields.items():
            target = image if hasattr(image, name) else image.passes[0]
            setattr(target, name, value(getattr(target, name)))
        return container.write(file)

    def small(fields: bytes, start: bytes = b"\x02\x00", payload: bytes = b"abc") -> bytes:
        """A file of any fields, with a right checksum."""
        header = container.MAGIC + start + bytes([len(fields)]) + fields
        return header + zlib.crc32(header).to_bytes(4, "little") + payload

    def retold(data: bytes = short, **fields: Any) -> bytes:
        file = decoding.read(data)
        text = file.blocks[0].form
        assert isinstance(text, Text)
        for name, value in fields.items():
            setattr(text, name, value(getattr(text, name)))
        return container.write(file)

    def told(**fields: Any) -> bytes:
        file = decoding.read(good["jpeg"])
        form = file.blocks[0].form
        assert isinstance(form, jpeg_blocks.Jpeg)
        (part,) = form.parts
        for name, value in fields.items():
            target = form if hasattr(form, name) else part
            setattr(target, name, value(getattr(target, name)))
        return container.write(file)

    def insides(name: str = "inside-half", **fields: Any) -> bytes:
        file = decoding.read(good[name])
        form = file.blocks[0].form
        assert isinstance(form, Image) and isinstance(form.inside, Inside)
        for key, value in fields.items():
            target = form.inside if hasattr(form.inside, key) else form
            setattr(target, key, value(getattr(target, key)))
        return container.write(file)

    outside = plain_blocks.pack(b"\0abc" * 3 + container.varint(20 * 24 - 3) + b"abc")
    image = b"\x02\x01" + bytes(8) + b"\x30\x00\x01\x01" + zoo.digest(zoo.find(MODEL)) + b"\x00\x80"
    of_colour = b"\x02\x03" + bytes(8) + b"\x32"
    stored = b"\x00\x03" + digest(b"abc") + b"\x03"
    other = b"\x00\x03" + digest(b"def") + b"\x03"
    empty = b"\x00\x00" + digest(b"") + b"\x00"
    constant = image[:-1] + b"\1\7"

    def text(size: int = 3, schedule: int = 0, rest: bytes = b"\x01\x01\x03") -> bytes:
        fields = digest(b"abc") + bytes([schedule]) + zoo.digest(zoo.find(TEXT_MODEL)) + rest
        return b"\x03" + container.varint(size) + fields

    return {
        "truncated": (grey[:-1], "TruncatedFile"),
        "only-magic": (grey[:8], "TruncatedFile"),
        "text-mode": (grey.replace(b"\r\n", b"\n"), "BadMagic"),
        "header-crc": (flipped(grey, 14), "CorruptFile"),
        "payload": (flipped(grey, len(grey) // 2), "CorruptFile"),
        "payload-lattice": (flipped(lattice, len(lattice) // 2), "CorruptFile"),
        "last-byte": (flipped(paced, len(paced) - 1), "CorruptFile"),
        "version": (small(stored, b"\x03\x00"), "UnsupportedFeature"),
        "version-1": (small(stored, b"\x01\x00"), "UnsupportedFeature"),
        "flag": (small(stored, b"\x02\x02"), "UnsupportedFeature"),
        "flag-4": (small(stored, b"\x02\x04"), "UnsupportedFeature"),
        "parts-payload": (flipped(good["parts"], len(good["parts"]) - 9), "CorruptFile"),
        "parts-swapped": (small(b"\2" + stored + other, b"\2\2", b"defabc"), "CorruptFile"),
        "parts-cut": (good["parts"][:-1], "TruncatedFile"),
        "parts-trailing-byte": (good["parts"] + b"\0", "CorruptFile"),
        "parts-one": (small(b"\1" + stored, b"\2\2"), "UnsupportedFeature"),
        "parts-too-many": (small(b"\x81\x80\4" + stored, b"\2\2"), "LimitExceeded"),
        "parts-empty": (small(b"\2" + stored + empty, b"\2\2"), "CorruptFile"),
        "parts-image": (small(b"\2" + stored + constant, b"\2\2"), "CorruptFile"),
        "parts-archive": (small(b"\2" + stored + other, b"\2\3", b"abcdef"), "UnsupportedFeature"),
        "mode": (small(b"\x03" + stored[1:]), "UnsupportedFeature"),
        "mode-4": (small(b"\x04" + stored[1:]), "TruncatedFile"),
        "mode-5": (small(b"\x05" + stored[1:]), "TruncatedFile"),
        "mode-6": (small(b"\x06" + stored[1:]), "UnsupportedFeature"),
        "jpeg-payload": (flipped(good["jpeg"], len(good["jpeg"]) - 99), "CorruptFile"),
        "jpeg-cut-stream": (told(streams=lambda old: [old[0][:-4]]), "CorruptFile"),
        "jpeg-redundant-zero": (told(streams=lambda old: [old[0] + b"\0"]), "CorruptFile"),
        "jpeg-cut-rest": (told(rest=lambda old: old[:-2]), "CorruptFile"),
        "jpeg-no-row": (told(rows=lambda old: [0, *old], streams=lambda old: [b"", *old]), "CorruptFile"),
        "jpeg-more-rows": (told(rows=lambda old: [old[0] + 1]), "CorruptFile"),
        "jpeg-more-blocks": (told(blocks=lambda old: old + 1), "CorruptFile"),
        "jpeg-too-cheap": (told(blocks=lambda old: 1 << 40), "CorruptFile"),
        "jpeg-no-model": (told(model=lambda old: bytes(4)), "MissingModel"),
        "jpeg-no-image": (told(parts=lambda old: [], gaps=lambda old: []), "CorruptFile"),
        "jpeg-no-segment": (told(rows=lambda old: [], streams=lambda old: []), "CorruptFile"),
        "inside-payload": (flipped(good["inside-half"], len(good["inside-half"]) - 30), "CorruptFile"),
        "inside-colours": (insides(colours=lambda old: 8), "UnsupportedFeature"),
        "inside-other-colours": (insides(colours=lambda old: 6), "CorruptFile"),
        "inside-coloured-grey": (insides(layout=lambda old: Layout.L), "CorruptFile"),
        "inside-quality": (insides(tables=lambda old: [101, *old[1:]]), "UnsupportedFeature"),
        "inside-no-step": (insides(tables=lambda old: [bytes(64), *old[1:]]), "CorruptFile"),
        "inside-more-rows": (insides(rows=lambda old: [old[0] + 1]), "CorruptFile"),
        "inside-no-segment": (insides(rows=lambda old: [], streams=lambda old: []), "CorruptFile"),
        "inside-no-row": (insides(rows=lambda old: [0, *old], streams=lambda old: [b"", *old]), "CorruptFile"),
        "inside-cut-stream": (insides(streams=lambda old: [old[0][:-4]]), "CorruptFile"),
        "inside-redundant-zero": (insides(streams=lambda old: [old[0] + b"\0"]), "CorruptFile"),
        "inside-more": (insides(wrong=lambda old: old + 1), "CorruptFile"),
        "inside-too-many": (insides(wrong=lambda old: 19 * 18 // 8 + 1), "CorruptFile"),
        "inside-cut": (insides(listed=lambda old: old[:-3]), "CorruptFile"),
        "inside-space": (insides(space=lambda old: Space.JFIF), "CorruptFile"),
        "inside-no-model": (insides(model=lambda old: bytes(4)), "MissingModel"),
        "text-schedule": (small(text(schedule=255)), "UnsupportedFeature"),
        "text-size": (small(text(0)), "CorruptFile"),
        "text-too-large": (small(text(2**30 + 1)), "LimitExceeded"),
        "text-too-cheap": (small(text(2**18)), "CorruptFile"),
        "text-payload": (flipped(short, len(short) - 9), "CorruptFile"),
        "text-no-lane": (retold(lanes=lambda old: 0), "CorruptFile"),
        "text-many-lanes": (retold(lanes=lambda old: 257), "CorruptFile"),
        "text-short-lanes": (retold(lanes=lambda old: text_blocks.FEW_LANES + 1), "CorruptFile"),
        "text-other-lanes": (retold(lanes=lambda old: 2), "CorruptFile"),
        "text-no-stream": (retold(streams=lambda old: []), "CorruptFile"),
        "text-two-streams": (retold(streams=lambda old: [*old, b""]), "CorruptFile"),
        "text-too-much-stream": (retold(streams=lambda old: [b"\1" * 8 + old[0]]), "CorruptFile"),
        "text-redundant-zero": (retold(streams=lambda old: [old[0] + b"\0"]), "CorruptFile"),
        "text-no-model": (retold(model=lambda old: bytes(4)), "MissingModel"),
        "text-blocks-payload": (flipped(blocks, len(blocks) - 9), "CorruptFile"),
        "text-blocks-steps": (retold(blocks, steps=lambda old: text_blocks.STEP_LIMIT + 1), "LimitExceeded"),
        "text-blocks-other-steps": (retold(blocks, steps=lambda old: old + 1), "CorruptFile"),
        "text-blocks-other-quiet": (retold(blocks, quiet=lambda old: old + 2), "CorruptFile"),
        "text-blocks-no-stream": (retold(blocks, streams=lambda old: []), "CorruptFile"),
        "text-blocks-two-streams": (retold(blocks, streams=lambda old: [*old, b""]), "CorruptFile"),
        "text-blocks-too-many-lanes": (small(text(2, 1, b"\3\0\0\1\3")), "CorruptFile"),
        "schedule": (small(image[:11] + b"\x0f" + image[12:]), "UnsupportedFeature"),
        "space": (small(image[:11] + b"\xc0" + image[12:]), "UnsupportedFeature"),
        "space-grey": (small(image[:11] + b"\x10" + image[12:-1] + b"\0\0\0\1\7"), "CorruptFile"),
        "space-more": (edited(good["space"], exceptions=lambda old: old + 1), "CorruptFile"),
        "space-too-many": (edited(good["space"], exceptions=lambda old: 20 * 24 // 32 + 1), "CorruptFile"),
        "space-fewer": (edited(good["space"], exceptions=lambda old: old - 1), "CorruptFile"),
        "space-cut": (edited(good["space"], listed=lambda old: old[:-3]), "CorruptFile"),
        "space-outside": (edited(good["space"], listed=lambda old: outside), "CorruptFile"),
        "half-other": (edited(good["half"], sampling=lambda old: Sampling.ODD_ODD), "CorruptFile"),
        "half-full": (edited(good["half"], sampling=lambda old: Sampling.FULL), "CorruptFile"),
        "half-6": (small(of_colour + b"\x10" + image[12:-1] + b"\6\0\0\1\7"), "UnsupportedFeature"),
        "half-none": (small(of_colour + b"\x10" + image[12:-1] + b"\4\0\0\1\7\1\1\1"), "CorruptFile"),
        "half-lattice": (small(of_colour + b"\x11" + image[12:-1] + b"\1\0\0\1\7\1\1\1"), "CorruptFile"),
        "space-other": (edited(good["space"], space=lambda old: Space.JFIF), "CorruptFile"),
        "form": (small(image), "UnsupportedFeature"),
        "varint": (small(b"\x00\x83\x00" + stored[2:]), "CorruptFile"),
        "digest": (small(stored, payload=b"abd"), "CorruptFile"),
        "trailing-byte": (grey + b"\0", "CorruptFile"),
        "two-files": (grey + grey, "CorruptFile"),
        "redundant-zero": (edited(grey, stream=lambda old: old + b"\0"), "CorruptFile"),
        "too-much-stream": (edited(grey, stream=lambda old: b"\1" * 8 + old), "CorruptFile"),
        "wrong-pace": (edited(paced, pace=lambda old: 1), "CorruptFile"),
        "wrong-silent": (edited(grey, silent=lambda old: 1), "CorruptFile"),
        "cut-base": (edited(made, base=lambda old: old[:-2]), "CorruptFile"),
        "exact-payload": (flipped(good["exact"], len(good["exact"]) - 20), "CorruptFile"),
        "exact-first-byte": (edited(good["exact"], exact=lambda old: [b"\x0f" + old[0][1:]]), "CorruptFile"),
        "exact-mapped": (edited(good["exact"], exact=lambda old: [b"\x78" + old[0][1:]]), "CorruptFile"),
        "exact-no-stream": (edited(good["exact"], exact=lambda old: [b""]), "CorruptFile"),
        "exact-other-depth": (edited(good["exact-levels"], depth=lambda old: 12), "CorruptFile"),
        "exact-too-deep": (edited(good["exact-levels"], depth=lambda old: 17), "CorruptFile"),
        "exact-wide-palette": (edited(good["exact-palette"], depth=lambda old: 9), "CorruptFile"),
        "exact-short-order": (edited(good["exact-order"], order=lambda old: old[:9]), "CorruptFile"),
        "exact-long-order": (edited(good["exact-palette"], order=lambda old: bytes(17)), "CorruptFile"),
        "exact-no-map": (
            edited(good["exact-levels"], exact=lambda old: [bytes([old[0][0] & 240]) + old[0][1:]]),
            "CorruptFile",
        ),
        "no-model": (edited(grey, model=lambda old: bytes(4)), "MissingModel"),
    }


# The folder


def make(folder: Path) -> None:
    """Write all files and the manifest into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    models = {"model": MODEL, "text_model": TEXT_MODEL, "jpeg_model": JPEG_MODEL}
    models |= {name: name for name in make_tiny_paper.SPECS}
    digests = {key: zoo.digest(zoo.find(name)).hex() for key, name in models.items()}
    manifest: dict[str, Any] = {**digests, "good": {}, "archive": {}, "bad": {}}
    good: dict[str, bytes] = {}

    def put(name: str, given: Input, data: bytes, effort: str | None, plan: dict[str, Any] | None = None) -> None:
        file = decoding.read(data)
        form = file.blocks[0].form
        entry = {"input": f"{name}.{given.suffix}", "effort": effort, "mode": form.name.upper(), **given.content()}
        entry |= plan or {}
        if isinstance(form, Image):
            entry["schedule"] = form.schedule.name
            if form.schedule is Schedule.EXACT:
                entry |= {"layout": form.layout.name, "depth": form.depth, "signed": form.signed}
            if form.inside is not None:
                entry |= {"colours": form.inside.sampling.text, "exceptions": form.inside.wrong}
            entry["passes"] = [shown(one) for one in form.passes]
            if form.space:
                entry |= {"space": form.space.name, "exceptions": form.exceptions}
            if form.sampling:
                entry["sampling"] = form.sampling.name
        if isinstance(form, Text):
            entry |= {"schedule": form.schedule.name, "lanes": form.lanes}
            if form.schedule is TextSchedule.BLOCKWISE:
                entry |= {"steps": form.steps, "quiet": form.quiet}
        if len(file.blocks) > 1:
            entry["parts"] = [block.form.name.upper() for block in file.blocks]
        (folder / entry["input"]).write_bytes(given.file)
        (folder / f"{name}.bfn").write_bytes(data)
        manifest["good"][name] = entry
        good[name] = data

    for name, (given, effort) in inputs().items():
        item = given.pixels if given.origin is Origin.ARRAY else given.file
        assert item is not None
        put(name, given, api.encode(item, effort=effort, **OPTIONS), effort)
    for name, given in exact_inputs().items():
        item = given.pixels if given.origin is Origin.ARRAY else given.file
        assert item is not None
        put(name, given, api.encode(item, **EXACT_OPTIONS), "default")
    for name, (given, effort) in texts().items():
        put(name, given, api.encode(given.file, effort=effort, **TEXT_OPTIONS), effort)
    for name, data in jpeg_files.all_files().items():
        put(name, Input("jpg", data), api.encode(data, **JPEG_OPTIONS), "default")
    for name, (given, data) in (by_hand() | decoded_jpegs()).items():
        put(name, given, data, None)
    (folder / "archive.bfn").write_bytes(archive())
    for number, (name, one) in enumerate(archive_inputs().items()):
        file = f"archive-{number}.{one.suffix}"
        (folder / file).write_bytes(one.file)
        manifest["archive"][name] = {"input": file, **one.content()}
    for name, plan in make_goldens_paper.PLANS.items():
        put(name, Input("bin", plan.content()), make_goldens_paper.encode(plan), None, plan.told())
    for name, (data, error) in (bad(good) | make_goldens_paper.bad(good)).items():
        (folder / f"bad-{name}.bfn").write_bytes(data)
        manifest["bad"][name] = error
    manifest["info"] = {name: api.info((folder / f"{name}.bfn").read_bytes()) for name in TOLD}
    (folder / "manifest.json").write_text(lines(manifest) + "\n")


def shown(one: Pass) -> str:
    """What a pass has, in words."""
    if one.constant is not None:
        return f"constant {one.constant.hex()}"
    words = [f"pace {one.pace}" if one.pace < 3 else "no learning"] + ["silent"] * one.silent
    return ", ".join(
        words + ["base"] * bool(one.base) + ["deep"] * one.deep + ["tones"] * one.tones + ["fast"] * one.fast
    )


def lines(manifest: dict[str, Any]) -> str:
    """JSON with a line for every file."""
    sections = []
    for key, value in manifest.items():
        text = json.dumps(value)
        if isinstance(value, dict):
            text = "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()) + "\n}"
        sections.append(f"{json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(sections) + "\n}"


if __name__ == "__main__":
    os.environ[zoo.DIRECTORY_VARIABLE] = str(DATA)
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN)
