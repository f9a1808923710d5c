"""Small JPEG files from integers alone: coefficients that follow from a hash, under tables that everybody has."""

import hashlib
from collections.abc import Sequence

import numpy as np

from bfncodec.jpeg import Jpeg, build, files
from bfncodec.jpeg.layout import ZIGZAG
from bfncodec.jpeg.rest import _AC_COLOUR, _AC_LUMA, _DC_COLOUR, _DC_LUMA

Parts = Sequence[tuple[int, int]]  # across and down of components
GREY, HALF, FULL = ((1, 1),), ((2, 2), (1, 1), (1, 1)), ((1, 1), (1, 1), (1, 1))
STANDARD = {0x00: _DC_LUMA, 0x10: _AC_LUMA, 0x01: _DC_COLOUR, 0x11: _AC_COLOUR}
SIXTEENS = 0xF0


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content


def every_symbol(number: int) -> bytes:
    """A Huffman table with a code of 8 or 9 bits for every byte."""
    return bytes([number, *[0] * 7, 254, 2, *[0] * 7, *range(256)])


def standard(number: int) -> bytes:
    return bytes([number]) + bytes.fromhex("".join(STANDARD[number].split()))


def head(width: int, height: int, parts: Parts, interval: int = 0, progressive: bool = False, step: int = 3) -> bytes:
    """All of a file but the data of scans."""
    out = b"\xff\xd8" + segment(0xFE, b"made by hand")
    for number in range(min(len(parts), 2)):
        table = [min(255, step + number + step * (place // 8 + place % 8) // 2) for place in range(64)]
        out += segment(0xDB, bytes([number, *(table[place] for place in ZIGZAG.tolist())]))
    frame = [8, *height.to_bytes(2, "big"), *width.to_bytes(2, "big"), len(parts)]
    for number, (across, down) in enumerate(parts):
        frame += [number + 1, across << 4 | down, min(number, 1)]
    out += segment(0xC2 if progressive else 0xC0, bytes(frame))
    tables = every_symbol if progressive else standard
    out += b"".join(segment(0xC4, tables(kind | number)) for number in range(min(len(parts), 2)) for kind in (0, 16))
    if interval:
        out += segment(0xDD, interval.to_bytes(2, "big"))
    every = range(len(parts))
    if not progressive:
        return out + scan(every, 0, 63, 0, 0) + b"\xff\xd9"
    out += scan(every, 0, 0, 0, 1)
    for part in every:
        out += scan([part], 1, 9, 0, 1) + scan([part], 10, 63, 0, 2)
    out += scan(every, 0, 0, 1, 0)
    for part in every:
        out += scan([part], 10, 63, 2, 1) + scan([part], 1, 63, 1, 0)
    return out + b"\xff\xd9"


def scan(parts: Sequence[int], first: int, last: int, high: int, low: int) -> bytes:
    content = [len(parts)]
    for part in parts:
        content += [part + 1, min(part, 1) * 0x11]
    return segment(0xDA, bytes([*content, first, last, high << 4 | low]))


def coefficients(image: Jpeg, seed: int) -> np.ndarray:
    """Blocks that resemble their neighbours somewhat, int16."""
    frame = image.frame()
    assert frame is not None
    values = np.zeros(frame.coefficients, np.int16)
    for number, component in enumerate(frame.components):
        view = files.blocks(values, component)
        bits = np.frombuffer(hashlib.shake_256(bytes([seed, number])).digest(view.size), np.uint8)
        noise = bits.astype(np.int64).reshape(view.shape)
        u, v = np.indices((8, 8)).reshape(2, 64)
        rows, columns = np.indices(view.shape[:2])[..., None]
        spread = 60 // (1 + u + v) ** 2 + 1
        shape = (rows * (u + 1) + 3 * columns * (v + 1) + seed + 7 * u + 5 * v) % 9 - 4
        smooth = (noise % 251 * spread // 251 + shape * spread // 12) * np.where(noise > 127, 1, -1)
        view[:] = np.where((noise % 7 + u + v) // 2 < 3 + (rows + columns) % 4, smooth, 0)
        view[..., 0] = (9 * rows + 14 * columns)[..., 0] % 70 - 30 + noise[..., 0] % 5
    return values


def scans(data: bytes) -> int:
    return data.count(b"\xff\xda")


def image(data: bytes, seed: int = 1) -> Jpeg:
    """The image of a head."""
    made = Jpeg(data, 1 << 16, scans(data))
    made.coefficients = coefficients(made, seed)
    return made


def written(made: Jpeg) -> bytes:
    data = build(made)
    assert data is not None
    return data


def odd() -> bytes:
    """Grey, with symbols that no block needs, and bits at the end that are neither zeros nor ones; it breaks off."""
    made = image(head(29, 21, GREY, interval=3), 4)
    made.notes = {0: np.array([1 << 2 | 1, 7 << 2 | 1], np.int64)}
    made.pad, made.pads = -1, [bytes([0x15, 0x2A, 0, 0x55])]
    made.units = 11
    return written(made)


def late() -> bytes:
    """Progressive, with runs of ends that are shorter than they could be."""
    made = image(head(26, 19, GREY, progressive=True), 5)
    made.habit = 2
    return written(made)


def all_files() -> dict[str, bytes]:
    """By name."""
    half = written(image(head(40, 30, HALF, interval=2)))
    return {
        "jpeg": half + b"and more",
        "jpeg-full": written(image(head(19, 17, FULL, step=1), 2)),
        "jpeg-progressive": written(image(head(35, 20, HALF, progressive=True), 3)),
        "jpeg-odd": odd(),
        "jpeg-late": late(),
        "jpeg-two": written(image(head(11, 16, GREY), 6)) + bytes(5) + written(image(head(9, 8, ((2, 1), (1, 1))), 7)),
    }
