"""What an image block holds of a picture that was decoded from a JPEG file: the file's coefficients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bfncodec.blocks import plain, segments
from bfncodec.container import Reader, varint
from bfncodec.errors import CorruptFile, UnsupportedFeature
from bfncodec.models import zoo
from bfncodec.models.image.passes import Pixels
from bfncodec.picture import Layout, Picture
from bfncodec.presets import Choices
from bfncodec.spans import Data

if TYPE_CHECKING:  # compiled code takes its time
    from pathlib import Path

    from bfncodec.coding.ledger import Ledger
    from bfncodec.jpeg.inverse import Found
    from bfncodec.jpeg.pixels import Colours

MOST_WRONG = 8  # one pixel in so many may be another one than the coefficients give
DOUBTFUL = 32  # if more than one in so many is, other ways may take fewer bytes
FEWEST = 1 << 12  # pixels of a picture that is looked at


@dataclass
class Inside:
    """Coefficients, the steps that they count, and pixels that are others than they give."""

    colours: int  # see `jpeg.pixels.Colours`
    tables: list[int | bytes]  # by component: a quality of libjpeg's, or 64 steps row by row
    wrong: int = 0
    listed: Data = b""
    rows: list[int] = field(default_factory=list)  # of units, by segment
    streams: list[Data] = field(default_factory=list)

    @property
    def coded_bytes(self) -> int:
        return sum(map(len, self.streams))

    def write(self, header: bytearray) -> list[Data]:
        """Append what the header says; returns the payload."""
        header.append(self.colours)
        for table in self.tables:
            header += bytes([table]) if isinstance(table, int) else b"\0" + table
        header += varint(self.wrong) + varint(len(self.listed)) + segments.pack(self.rows, self.streams)
        return [self.listed, *self.streams]

    @classmethod
    def read(cls, header: Reader, payload: Reader, layout: Layout, height: int, width: int) -> Inside:
        """The inverse of `write`; CorruptFile, UnsupportedFeature."""
        from bfncodec.jpeg.pixels import LARGEST, Colours

        colours = header.byte()
        if colours >= len(Colours) or layout not in (Layout.L, Layout.RGB):
            raise UnsupportedFeature(
                f"colours {colours:#04x} of a JPEG file's pixels are not supported by this version"
            )
        if max(height, width) > LARGEST or (layout is Layout.L and colours):
            raise CorruptFile("the image's colours contradict its other fields")
        inside = cls(colours, [_table(header) for _ in range(3 if colours else 1)], header.varint())
        inside.listed = payload.skip(header.varint())
        inside.rows, inside.streams = segments.read(header, payload)
        if inside.wrong > height * width // MOST_WRONG:
            raise CorruptFile("the image's number of exceptions is damaged")
        if not all(inside.rows) or sum(inside.rows) != inside.units(height) or not inside.holds(height, width):
            raise CorruptFile("the image's segments contradict its size")
        return inside

    @property
    def sampling(self) -> Colours:
        """The colours, as the decoder of pixels knows them."""
        from bfncodec.jpeg.pixels import Colours

        return Colours(self.colours)

    def units(self, height: int) -> int:
        """Rows of units."""
        return -(-height // (8 * self.sampling.down))

    def holds(self, height: int, width: int) -> bool:
        """True if the streams can hold the picture."""
        return segments.hold(self.units(height) * -(-width // (8 * self.sampling.across)), self.streams)

    def pixels(self, model: bytes, layout: Layout, height: int, width: int) -> Pixels:
        """Pixels uint8 [1, height, width, channels]; CorruptFile if there are none."""
        from bfncodec.jpeg import pixels
        from bfncodec.models.jpeg import memory, streams

        colours = self.sampling
        frame, quantisers = pixels.frame(height, width, colours), self.quantisers()
        start = memory.start(zoo.find_hash(model))
        coefficients = streams.decode(start, frame, quantisers, self.rows, self.streams)
        given = pixels.pixels(coefficients, quantisers, (height, width), colours)
        if given.shape[2] < layout.channels:
            given = np.repeat(given, 3, axis=2)
        flat = given.reshape(-1, layout.channels)
        numbers, differences = _unpacked(self.listed, self.wrong, *flat.shape)
        flat[numbers] += differences
        return given[None]

    def quantisers(self) -> NDArray[np.int64]:
        """int64 [components, 64]."""
        from bfncodec.jpeg.rest import standard_tables

        rows = [
            standard_tables(number > 0)[table - 1] if isinstance(table, int) else np.frombuffer(table, np.uint8)
            for number, table in enumerate(self.tables)
        ]
        return np.stack(rows).astype(np.int64)


def _table(header: Reader) -> int | bytes:
    quality = header.byte()
    if quality > 100:
        raise UnsupportedFeature(f"quality {quality} is not supported by this version")
    if quality:
        return quality
    table = bytes(header.take(64))
    if 0 in table:
        raise CorruptFile("a step of the image's coefficients is 0")
    return table


def find(picture: Picture, choices: Choices, ledger: Ledger | None) -> tuple[bytes, Inside] | None:
    """The first bytes of the hash of a model, and what it made of a picture that was decoded from a JPEG file; None
    for other pictures.
    """
    if picture.layout not in (Layout.L, Layout.RGB) or picture.depth != 8 or picture.frames > 1:
        return None
    shape = picture.pixels.shape[:2]
    if shape[0] * shape[1] < FEWEST:
        return None
    from bfncodec.jpeg import inverse, pixels

    if max(shape) > pixels.LARGEST or not inverse.is_likely(picture.pixels):
        return None
    found = _found(picture.pixels)
    if found is None:
        return None
    path = zoo.chosen(choices.model, "jpeg") or zoo.find("jpeg")
    inside = made(picture.pixels, found, path, None, ledger)
    return (zoo.digest(path), inside) if inside.holds(*shape) else None


def made(image: Pixels, found: Found, path: Path, rows: list[int] | None, ledger: Ledger | None = None) -> Inside:
    """Coefficients that give pixels uint8 [height, width, channels], under a model. rows: of units, by segment."""
    from bfncodec.jpeg import pixels
    from bfncodec.models.jpeg import memory, streams

    shape = image.shape[0], image.shape[1]
    inside = Inside(int(found.colours), [_named(*table) for table in enumerate(found.quantisers)], len(found.wrong))
    frame = pixels.frame(*shape, found.colours)
    differences = image - pixels.pixels(found.coefficients, found.quantisers, shape, found.colours)
    inside.listed = _packed(found.wrong, differences.reshape(-1, image.shape[2])[found.wrong])
    size = int(np.count_nonzero(found.coefficients))  # about as many bytes as a file has
    inside.rows = rows or streams.cuts(frame, size, found.coefficients)
    start = memory.start(path)
    inside.streams += streams.encode(start, frame, found.quantisers, found.coefficients, inside.rows, ledger)
    return inside


def _found(image: Pixels) -> Found | None:
    from bfncodec.jpeg import inverse
    from bfncodec.models.image import spaces
    from bfncodec.models.image.passes import Space, ordered

    if image.shape[2] == 1 or ((image[..., 0] == image[..., 1]) & (image[..., 0] == image[..., 2])).all():
        return inverse.find(np.ascontiguousarray(image[..., :1]), None)
    integers = spaces.integers(ordered(image)[None], Space.JFIF)
    if integers is None:
        return None
    planes, missing = integers
    known = np.ones(image.shape[:2], bool)
    known.reshape(-1)[missing] = False
    return inverse.find(image, np.ascontiguousarray(planes[0][..., [0, 2, 1]]), known)


def _named(number: int, steps: NDArray[np.int64]) -> int | bytes:
    """The quality of a standard table, or all steps."""
    from bfncodec.jpeg.rest import standard_tables

    same = np.flatnonzero((standard_tables(number > 0) == steps).all(axis=1))
    return int(same[0]) + 1 if len(same) else steps.astype(np.uint8).tobytes()


def _packed(numbers: NDArray[np.int64], differences: Pixels) -> bytes:
    """Pixels by their numbers, rising, and what to add to them, uint8 [K, channels]; nothing if there are none."""
    gaps = np.diff(numbers, prepend=-1) - 1
    return plain.pack(b"".join(varint(int(gap)) for gap in gaps) + differences.T.tobytes()) if len(numbers) else b""


def _unpacked(packed: Data, count: int, pixels: int, channels: int) -> tuple[NDArray[np.int64], Pixels]:
    """The inverse of `_packed`; CorruptFile if it is damaged."""
    content = b"".join(plain.unpack(packed, 12 * count)) if packed else b""
    reader = Reader(content)
    numbers: list[int] = []
    last = -1
    while len(numbers) < count and reader.position < len(content):
        last += reader.varint() + 1
        numbers.append(last)
    rest = content[reader.position :]
    if len(numbers) != count or len(rest) != count * channels or last >= pixels:
        raise CorruptFile("the image's exceptions are damaged")
    return np.array(numbers, np.int64), np.frombuffer(rest, np.uint8).reshape(channels, count).T
