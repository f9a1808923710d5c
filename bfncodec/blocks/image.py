"""Image blocks <-> pictures of one size, layout and origin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bfncodec.blocks import plain
from bfncodec.container import MODEL_BYTES, Block, Content, Form, Limits, Reader, hasher, varint
from bfncodec.errors import CorruptFile, LimitExceeded, UnsupportedFeature
from bfncodec.exact import threads
from bfncodec.models import zoo
from bfncodec.models.image import passes
from bfncodec.models.image.passes import (
    EXCEPTIONS,
    LEARN_FROM,
    SPACE_NAMES,
    STRIDE,
    Pass,
    Pixels,
    Sampling,
    Schedule,
    Space,
)
from bfncodec.picture import Layout, Origin, Picture
from bfncodec.presets import Choices
from bfncodec.spans import Data

if TYPE_CHECKING:  # the models are imported where they are used: compiled code takes its time
    from bfncodec.coding.ledger import Ledger

FILE_BLOCK_PIXELS = 1 << 17  # of small images that share a block
FILE_BLOCK_ITEMS = 256
SMALL_SIDE = 64  # images up to this size use the model for small ones
METADATA_LIMIT = 1 << 28
LARGEST = 1 << 40  # pixels of a block, whatever limits a caller sets: arrays of more cannot be made

T = TypeVar("T")


@dataclass
class Image(Form):
    """Pictures under an image model, pixels and metadata."""

    origin: Origin
    layout: Layout
    schedule: Schedule
    width: int
    height: int
    model: bytes
    metadata: Data = b""  # LZMA of the pictures' metadata; empty if there is none
    passes: list[Pass] = field(default_factory=list)
    space: Space = Space.RGB  # whose integers the last pass holds, or the last two
    sampling: Sampling = Sampling.FULL  # of the colour differences; if not full, they have a pass of their own
    exceptions: int = 0  # pixels that no integers give
    listed: Data = b""  # the exceptions, packed

    mode, name, many, pictorial = 2, "image", True, True

    def write(self, header: bytearray) -> list[Data]:
        header += bytes([self.origin << 4 | self.layout, self.space << 4 | self.schedule])
        header += varint(self.width) + varint(self.height) + self.model + varint(len(self.metadata))
        payload = [self.metadata]
        if self.space:
            header += bytes([self.sampling]) + varint(self.exceptions) + varint(len(self.listed))
            payload.append(self.listed)
        for part in self.passes:
            if part.constant is not None:
                header += b"\1" + part.constant
                continue
            flags = part.fast << 5 | part.deep << 4 | part.tones << 3
            header += bytes([flags | part.pace << 1]) + varint(part.silent)
            for piece in (part.base, part.stream):
                header += varint(len(piece))
                payload.append(piece)
        return payload

    @classmethod
    def read(cls, header: Reader, payload: Reader, items: int, size: int, limits: Limits) -> Image:
        kind, way = header.byte(), header.byte()
        known = kind >> 4 in list(Origin) and kind & 15 in list(Layout)
        if not known or way & 15 not in list(Schedule) or way >> 4 not in list(Space):
            raise UnsupportedFeature(f"image kind {kind:#04x}, schedule {way:#04x} is not supported by this version")
        layout = Layout(kind & 15)
        width, height = header.varint(), header.varint()
        image = cls(Origin(kind >> 4), layout, Schedule(way & 15), width, height, header.take(MODEL_BYTES))
        image.metadata = payload.skip(header.varint())
        image.space = Space(way >> 4)
        if image.space:
            sampling = header.byte()
            if sampling not in list(Sampling):
                raise UnsupportedFeature(f"sampling {sampling} is not supported by this version")
            image.sampling, image.exceptions = Sampling(sampling), header.varint()
            image.listed = payload.skip(header.varint())
        pixels = width * height
        if limits.pixels is not None and pixels > limits.pixels:
            raise LimitExceeded(f"the image claims {pixels} pixels; the limit is {limits.pixels} (--max-pixels)")
        if not items or not pixels or size != items * pixels * layout.channels:
            raise CorruptFile("the image's sizes contradict each other")
        bands = len(image.bands(items))
        for channels in passes.pass_channels(layout.channels, image.sampling) * bands:
            flag = header.byte()
            if flag == 1:
                image.passes.append(Pass(constant=header.take(channels)))
            elif flag < 64 and not flag & 1:
                silent = header.varint()
                lengths = [header.varint() for _ in range(2)]
                pieces = (payload.skip(length) for length in lengths)
                tones, deep, fast = (bool(flag & bit) for bit in (8, 16, 32))
                image.passes.append(Pass(None, silent, flag >> 1 & 3, fast, tones, deep, *pieces))
            else:
                raise UnsupportedFeature(f"pass kind {flag} is not supported by this version")
        if image.space and layout not in (Layout.RGB, Layout.RGBA) or image.exceptions > items * pixels // EXCEPTIONS:
            raise CorruptFile("the image's colour space contradicts its other fields")
        sampled = image.schedule is Schedule.WAVEFRONT and min(image.sampling.shape(height, width)) > 0
        if image.sampling and not sampled:
            raise CorruptFile("the image's sampling contradicts its other fields")
        return image

    def bands(self, items: int) -> list[range]:
        """Rows of the bands that a block of so many pictures is coded in."""
        if self.schedule is Schedule.LATTICE:
            return [range(self.height)]
        return passes.bands(items, self.height, self.width)

    @property
    def coded_bytes(self) -> int:
        return sum(len(part.stream) for part in self.passes)

    def describe(self, block: Block) -> dict[str, Any]:
        sampling = {"sampling": self.sampling.name.lower()} if self.sampling else {}
        space = {"space": SPACE_NAMES[self.space], **sampling, "exceptions": self.exceptions} if self.space else {}
        return {
            "width": self.width,
            "height": self.height,
            "layout": self.layout.name,
            "source": self.origin.name.lower(),
            "schedule": self.schedule.name.lower(),
            **space,
            "model": self.model.hex(),
            "lossless": "bytes" if self.origin.exact else "pixels and metadata",
            "bits_per_subpixel": round(8 * block.payload_bytes / block.size, 4),
        }

    def decode(self, block: Block, device: str) -> Iterator[Content]:
        pixels = self._decoded(block.items, device, small=False)
        metadata = unpack_metadata(self.metadata, block.items)
        pictures = [Picture(self.origin, self.layout, p, m) for p, m in zip(pixels, metadata, strict=True)]
        if _digest(pictures) != block.digest:
            raise CorruptFile("the decoded pixels do not match their checksum")
        yield from pictures

    def thumbnail(self, device: str) -> Picture:
        """The thumbnail of a block's only picture, from its first group alone, unchecked."""
        return Picture(Origin.ARRAY, self.layout, self._decoded(1, device, small=True)[0])

    def _decoded(self, items: int, device: str, *, small: bool) -> Pixels:
        """Pixels uint8 [N, height, width, channels] of so many pictures, or of their thumbnails."""
        if items * self.height * self.width > LARGEST:
            raise LimitExceeded("there is not enough memory for what the file claims")
        bands = self.bands(items)
        count = len(self.passes) // len(bands)
        parts = threads.each(
            lambda one: self._band(
                items, bands[one], self.passes[one * count : (one + 1) * count], device, small=small
            ),
            list(range(len(bands))),
        )
        planes = [np.concatenate(one, axis=1) for one in zip(*parts, strict=True)]
        if self.sampling:
            from bfncodec.models.image import sampling

            differences, luma = planes.pop(), planes.pop()
            # Every second pixel of a thumbnail is next to a sample, or in one.
            which = Sampling.EVEN_EVEN if small else self.sampling
            whole = sampling.interpolated(differences, which, *luma.shape[1:3])
            planes.append(np.concatenate([luma, whole], axis=3))
        if self.space:
            from bfncodec.models.image import spaces

            numbers, colours = unpack_exceptions(self.listed, self.exceptions, items * self.height * self.width)
            n, rest = np.divmod(numbers, self.height * self.width)
            y, x = np.divmod(rest, self.width)
            if small:
                kept = (y % STRIDE == 0) & (x % STRIDE == 0)
                n, y, x, colours = n[kept], y[kept] // STRIDE, x[kept] // STRIDE, colours[kept]
            planes[-1] = spaces.to_grb(planes[-1], self.space)
            planes[-1][n, y, x] = passes.ordered(colours)
        return passes.merge(planes)

    def _band(self, items: int, rows: range, parts: list[Pass], device: str, *, small: bool) -> list[Pixels]:
        """Planes of the rows of a band, a pass each, or of their thumbnails."""
        planes: list[Pixels] = []
        for part, channels in zip(parts, passes.pass_channels(self.layout.channels, self.sampling), strict=True):
            known = int(channels == 2)  # luma, before its differences
            height, width = self.sampling.shape(len(rows), self.width) if known else (len(rows), self.width)
            if part.constant is not None:
                size = (-(-height // STRIDE), -(-width // STRIDE)) if small else (height, width)
                planes.append(passes.constant(part.constant, (items, *size, channels)))
                continue
            from bfncodec.models.image import streams

            nets = streams.networks(zoo.find_hash(self.model), device)
            shape = items, height, width, channels + known
            if small:
                planes.append(streams.decode_thumbnails(nets, part, shape, self.schedule, known))
            else:
                given = self.sampling.of(planes[-1]) if known else None
                planes.append(streams.decode_pass(nets, part, shape, self.schedule, given))
        return planes


def encode(pictures: list[Picture], choices: Choices, ledger: Ledger | None = None) -> Block:
    """Pictures of one size, layout and origin as one block."""
    from bfncodec.models.image import sampling, spaces, streams

    first = pictures[0]
    height, width, _ = first.pixels.shape
    packaged = "small" if max(width, height) <= SMALL_SIDE else "photo"
    path = zoo.chosen(choices.model, "images") or zoo.find(packaged)
    nets = streams.networks(path, choices.device)
    effort = "default" if choices.effort == "fast" and not nets.table.size else choices.effort
    schedule = Schedule.LATTICE if choices.effort == "lattice" else Schedule.WAVEFRONT
    pixels = np.stack([picture.pixels for picture in pictures])
    form = Image(first.origin, first.layout, schedule, width, height, zoo.digest(path), _pack_metadata(pictures))
    parts = passes.split(pixels)
    if parts[-1].shape[3] == 3:
        colours = parts[-1].reshape(-1, 3)
        form.space, integers, numbers = spaces.find(parts[-1])
        halves = None
        if form.space and schedule is Schedule.WAVEFRONT:
            halves = sampling.find(parts[-1], integers, form.space)
        if halves is None:
            parts[-1] = integers
        else:
            form.sampling, luma, differences, numbers = halves
            parts[-1:] = [luma, np.concatenate([form.sampling.of(luma), differences], axis=3)]
        form.exceptions, form.listed = len(numbers), pack_exceptions(numbers, passes.ordered(colours[numbers]))

    def one(job: tuple[range, Pixels, int]) -> Pass:
        rows, planes, channels = job
        known = planes.shape[3] - channels
        half = slice(rows.start // 2, None if rows.stop == height else rows.stop // 2)
        own = planes[:, half if known else slice(rows.start, rows.stop)]
        return streams.encode_pass(nets, own, schedule, effort, ledger, known)

    coded = passes.pass_channels(first.layout.channels, form.sampling)
    bands = form.bands(len(pictures))
    jobs = [(rows, *part) for rows in bands for part in zip(parts, coded, strict=True)]
    form.passes += threads.each(one, jobs) if ledger is None else map(one, jobs)
    return Block(len(pictures), pixels.size, _digest(pictures), form)


def cuts(items: list[T], shape: tuple[int, ...] | None) -> Iterator[list[T]]:
    """Items whose pictures have one shape [height, width, channels] (None: no pictures), in runs that share a block.

    One by one if they are no pictures, or if their heads can learn.
    """
    pixels = shape[0] * shape[1] if shape is not None else LEARN_FROM
    count = 1 if pixels >= LEARN_FROM else min(FILE_BLOCK_ITEMS, FILE_BLOCK_PIXELS // pixels)
    return (items[start : start + count] for start in range(0, len(items), count))


def _digest(pictures: list[Picture]) -> bytes:
    digest = hasher()
    for picture in pictures:
        digest.update(picture.pixels.tobytes())
        digest.update(picture.metadata)
    return digest.digest()


def _pack_metadata(pictures: list[Picture]) -> bytes:
    if not any(picture.metadata for picture in pictures):
        return b""
    return plain.pack(b"".join(varint(len(picture.metadata)) + picture.metadata for picture in pictures))


def unpack_metadata(packed: Data, items: int, limit: int = METADATA_LIMIT) -> list[bytes]:
    """The metadata of a block's pictures; CorruptFile if they are damaged, or more than `limit` bytes."""
    if not packed:
        return [b""] * items
    reader = Reader(b"".join(plain.unpack(packed, limit)))
    metadata = [reader.take(reader.varint()) for _ in range(items)]
    if reader.position != len(reader.data):
        raise CorruptFile("the images' metadata is damaged")
    return metadata


def pack_exceptions(numbers: NDArray[np.int64], colours: Pixels) -> bytes:
    """Pixels by their numbers among all of a block, rising, and R, G, B uint8 [K, 3]; nothing if there are none."""
    gaps = np.diff(numbers, prepend=-1) - 1
    rows = (varint(int(gap)) + colour.tobytes() for gap, colour in zip(gaps, colours, strict=True))
    return plain.pack(b"".join(rows)) if len(numbers) else b""


def unpack_exceptions(packed: Data, count: int, pixels: int) -> tuple[NDArray[np.int64], Pixels]:
    """The inverse of `pack_exceptions`, for so many exceptions among so many pixels; CorruptFile if it is damaged."""
    reader = Reader(b"".join(plain.unpack(packed, 12 * count)) if packed else b"")  # a varint has 9 bytes at most
    numbers: list[int] = []
    colours, last = bytearray(), -1
    while len(numbers) < count and reader.position < len(reader.data):
        last += reader.varint() + 1
        numbers.append(last)
        colours += reader.take(3)
    if len(numbers) != count or reader.position != len(reader.data) or last >= pixels:
        raise CorruptFile("the image's exceptions are damaged")
    return np.array(numbers, np.int64), np.frombuffer(colours, np.uint8).reshape(-1, 3)
