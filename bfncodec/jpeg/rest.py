"""All of an image but its coefficients, as few bytes."""

from __future__ import annotations

import zlib
from functools import cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from bfncodec.container import varint
from bfncodec.jpeg.files import SCAN_LIMIT, Jpeg
from bfncodec.jpeg.layout import ZIGZAG
from bfncodec.jpeg.writing import HABITS

REST_LIMIT = 1 << 28  # bytes

# What libjpeg's tables are made from: quantisation (T.81, K.1), Huffman codes (K.3).
_LUMA = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""
_COLOUR = "17 18 24 47 18 21 26 66 24 26 56 99 47 66 99 99"  # the upper left of it; all else is 99
_DC_LUMA = "00010501010101010100000000000000" + "".join(f"{size:02x}" for size in range(12))
_DC_COLOUR = "00030101010101010101010000000000" + "".join(f"{size:02x}" for size in range(12))
_AC_LUMA = """0002010303020403050504040000017d01020300041105122131410613516107227114328191a1082342b1c11552d1f0
2433627282090a161718191a25262728292a3435363738393a434445464748494a535455565758595a636465666768696a737475767778797a8384
85868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7
e8e9eaf1f2f3f4f5f6f7f8f9fa"""
_AC_COLOUR = """0002010204040304070504040001027700010203110405213106124151076171132232810814429
1a1b1c109233352f0156272d10a162434e125f11718191a262728292a35363738393a434445464748494a535455565758595a636465666768
696a737475767778797a82838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4
d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa"""


@cache
def standard_tables(colour: bool) -> NDArray[np.int64]:
    """libjpeg's quantisation tables [100, 64] for qualities 1 .. 100, row by row: of luma, or of colour."""
    wide = np.full((8, 8), 99, np.int64)
    wide[:4, :4] = np.array(_COLOUR.split(), int).reshape(4, 4)
    table = wide.reshape(-1) if colour else np.array(_LUMA.split(), np.int64)
    quality = np.arange(1, 101)[:, None]
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.clip((table * scale + 50) // 100, 1, 255)


@cache
def _dictionary() -> bytes:
    """What heads are made of most of the time: what is likeliest stands last."""
    out = b"Exif\0\0MM\0*\0\0\0\x08Adobe Photoshop http://ns.adobe.com/xap/1.0/\0\xff\xee\0\x0eAdobe\0d\0\0\0\0\x01"
    tables = [standard_tables(colour)[:, ZIGZAG] for colour in (False, True)]
    for quality in sorted(range(1, 101), key=lambda quality: abs(quality - 88), reverse=True):
        for number, table in enumerate(tables):
            out += b"\xff\xdb\0\x43" + bytes([number]) + table[quality - 1].astype(np.uint8).tobytes()
    for across in (0x11, 0x21, 0x22):
        out += bytes([8, 0, 0, 0, 0, 3, 1, across, 0, 2, 0x11, 1, 3, 0x11, 1])
    out += b"\xff\xc2\0\x11\x08\xff\xd9\xff\xc0\0\x11\x08"
    for place, digits in ((0, _DC_LUMA), (0x10, _AC_LUMA), (1, _DC_COLOUR), (0x11, _AC_COLOUR)):
        content = bytes([place]) + bytes.fromhex("".join(digits.split()))
        out += b"\xff\xc4" + (len(content) + 2).to_bytes(2, "big") + content
    out += b"\xff\xda\0\x0c\x03\x01\0\x02\x11\x03\x11\0\x3f\0"
    return out + b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"


def packed(image: Jpeg) -> bytes:
    """The image without coefficients and size."""
    out = bytearray(varint(image.scans) + varint(image.units) + varint(image.habit) + varint(image.pad + 1))
    if image.pad < 0:
        for pads in image.pads:
            out += varint(len(pads)) + pads
    out += varint(len(image.notes))
    for number, notes in image.notes.items():
        out += varint(number) + varint(len(notes))
        for step in np.diff(notes, prepend=0).tolist():
            out += varint(step)
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=_dictionary())
    return compressor.compress(bytes(out) + image.head) + compressor.flush()


def unpacked(data: bytes, size: int) -> Jpeg | None:
    """The inverse of `packed` for a file of `size` bytes; None if there is none."""
    decompressor = zlib.decompressobj(-15, zdict=_dictionary())
    try:
        content = decompressor.decompress(data, min(REST_LIMIT, 8 * size + (1 << 16)))
    except zlib.error:
        return None
    if not decompressor.eof or decompressor.unused_data:
        return None
    reader = _Reader(content)
    scans, units, habit, pad = (reader.number() for _ in range(4))
    if scans > SCAN_LIMIT or habit not in HABITS or pad > 2:
        return None
    image = Jpeg(b"", size, scans, units, habit, pad - 1)
    if image.pad < 0:
        image.pads = [reader.take(reader.number()) for _ in range(scans)]
    for _ in range(min(reader.number(), SCAN_LIMIT)):
        number, count = reader.number(), reader.number()
        steps = [reader.number() for _ in range(min(count, len(content)))]
        notes = list(accumulate(steps))
        if notes and notes[-1] >= 1 << 40:
            return None
        image.notes[number] = np.array(notes, np.int64)
    image.head = content[reader.at :]
    return image


class _Reader:
    """Numbers and bytes; after the end all is zero."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self) -> int:
        value = shift = 0
        while self.at < len(self.data) and shift < 42:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        return value
