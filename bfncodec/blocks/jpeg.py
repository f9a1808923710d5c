"""JPEG files <-> blocks: their quantised coefficients under a model, and the rest of the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bfncodec.blocks import segments
from bfncodec.container import MODEL_BYTES, Block, Content, Form, Limits, Reader, checked, hasher, varint
from bfncodec.errors import CorruptFile, LimitExceeded
from bfncodec.models import zoo
from bfncodec.picture import Layout, Origin, Picture
from bfncodec.presets import Choices
from bfncodec.spans import Data

if TYPE_CHECKING:  # compiled code takes its time
    from bfncodec import jpeg
    from bfncodec.coding.ledger import Ledger
    from bfncodec.jpeg import Frame

MAGIC = b"\xff\xd8\xff"
IMAGE_LIMIT = 64  # in a file
_GAP = 1 << 16  # bytes between two images of a file, at most


@dataclass
class Part:
    """One image of a file."""

    size: int  # bytes of the file that are its own
    blocks: int
    rest: Data  # see `jpeg.packed`
    rows: list[int]  # of units, by segment
    streams: list[Data]  # of coefficients, by segment


@dataclass
class Jpeg(Form):
    """A file that begins with an image."""

    model: bytes
    width: int  # of the first image
    height: int
    parts: list[Part]
    gaps: list[Data]  # bytes after each image

    mode, name = 5, "jpeg"

    def write(self, header: bytearray) -> list[Data]:
        header += self.model + varint(self.width) + varint(self.height) + varint(len(self.parts))
        payload: list[Data] = []
        for part, gap in zip(self.parts, self.gaps, strict=True):
            header += varint(part.size) + varint(part.blocks) + varint(len(part.rest)) + varint(len(gap))
            header += segments.pack(part.rows, part.streams)
            payload += [part.rest, *part.streams, gap]
        return payload

    @classmethod
    def read(cls, header: Reader, payload: Reader, items: int, size: int, limits: Limits) -> Jpeg:
        jpeg = cls(header.take(MODEL_BYTES), header.varint(), header.varint(), [], [])
        count = header.varint()
        if not 0 < count <= IMAGE_LIMIT:
            raise CorruptFile("a JPEG file's number of images is damaged")
        for _ in range(count):
            own, blocks, rest, gap = (header.varint() for _ in range(4))
            jpeg.parts.append(Part(own, blocks, payload.skip(rest), *segments.read(header, payload)))
            jpeg.gaps.append(payload.skip(gap))
        if size != sum(part.size for part in jpeg.parts) + sum(map(len, jpeg.gaps)) or not jpeg.holds():
            raise CorruptFile("a JPEG file's size and images contradict each other")
        if limits.pixels is not None and max(64 * part.blocks for part in jpeg.parts) > 4 * limits.pixels:
            raise LimitExceeded(f"the image has more pixels than {limits.pixels}, the limit (--max-pixels)")
        return jpeg

    @property
    def coded_bytes(self) -> int:
        return sum(len(stream) for part in self.parts for stream in part.streams)

    def holds(self) -> bool:
        """True if the streams can hold the images."""
        return all(segments.hold(part.blocks, part.streams) for part in self.parts)

    def describe(self, block: Block) -> dict[str, Any]:
        return {
            "width": self.width,
            "height": self.height,
            "source": "jpeg",
            "images": len(self.parts),
            "segments": sum(len(part.rows) for part in self.parts),
            "model": self.model.hex(),
            "lossless": "bytes",
        }

    def decode(self, block: Block, device: str) -> Iterator[Content]:
        from bfncodec import jpeg

        content: list[bytes] = []
        for number, gap in enumerate(self.gaps):
            built = jpeg.build(self._image(number))
            if built is None or len(built) != self.parts[number].size:
                raise CorruptFile("the coefficients do not fit the head of a JPEG image")
            content += [built, bytes(gap)]
        yield iter([checked(b"".join(content), block)])

    def thumbnail(self) -> Picture:
        """A pixel of the first image for each eight in both directions, unchecked: its DC coefficients alone."""
        from bfncodec.jpeg import preview

        pixels = preview.pixels(self._image(0))
        return Picture(Origin.ARRAY, Layout.RGB if pixels.shape[2] == 3 else Layout.L, pixels)

    def head(self) -> bytes:
        """The first image without the data of its scans, unchecked; CorruptFile if there is none."""
        return self._without_coefficients(0).head

    def _without_coefficients(self, number: int) -> jpeg.Jpeg:
        from bfncodec import jpeg

        part = self.parts[number]
        image = jpeg.unpacked(bytes(part.rest), part.size)
        if image is None:
            raise CorruptFile("the head of a JPEG image is damaged")
        return image

    def _image(self, number: int) -> jpeg.Jpeg:
        """An image with its coefficients; CorruptFile if there is none."""
        from bfncodec.models.jpeg import memory, streams

        part, image = self.parts[number], self._without_coefficients(number)
        frame = image.frame()
        fits = frame is not None and (_blocks(frame), frame.units_down) == (part.blocks, sum(part.rows))
        if frame is None or not fits or not all(part.rows):
            raise CorruptFile("the head of a JPEG image is damaged")
        start = memory.start(zoo.find_hash(self.model))
        image.coefficients = streams.decode(start, frame, image.quantisers(), part.rows, part.streams)
        return image


def _blocks(frame: Frame) -> int:
    return frame.coefficients // 64


def encode(data: bytes, choices: Choices, ledger: Ledger | None = None) -> Block | None:
    """One item, None if it is not a JPEG file that comes back to the last byte.

    LimitExceeded for more pixels than were allowed where images are wanted; otherwise None then, too.
    """
    from bfncodec import jpeg
    from bfncodec.models.jpeg import memory, streams

    form = Jpeg(b"", 0, 0, [], [])
    gaps: list[bytes] = []
    start = 0
    while data[start : start + len(MAGIC)] == MAGIC and len(form.parts) < IMAGE_LIMIT:
        parsed = jpeg.parse(data[start:] if start else data)
        if parsed is None:
            break
        image, end = parsed
        frame = image.frame()
        assert frame is not None
        if 64 * _blocks(frame) > 4 * choices.max_pixels:
            if choices.media == "image":
                size = f"{frame.width}x{frame.height} pixels"
                raise LimitExceeded(f"the image has {size}; the limit is {choices.max_pixels} (--max-pixels)")
            break
        if not form.model:
            path = zoo.chosen(choices.model, "jpeg") or zoo.find("jpeg")
            form.model, known = zoo.digest(path), memory.start(path)
        rows = streams.cuts(frame, end, image.coefficients)
        coded = streams.encode(known, frame, image.quantisers(), image.coefficients, rows, ledger)
        if not form.parts:
            form.width, form.height = frame.width, frame.height
        form.parts.append(Part(end, _blocks(frame), jpeg.packed(image), rows, list(coded)))
        start += end
        following = data.find(MAGIC, start, start + _GAP)
        gap = following if following >= 0 else len(data)
        gaps.append(data[start:gap])
        start = gap
    if not form.parts or not form.holds():
        return None
    form.gaps = [*gaps[:-1], gaps[-1] + data[start:]]
    return Block(1, len(data), hasher(data).digest(), form)
