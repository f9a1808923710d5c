"""Image blocks <-> pictures of one size, layout and origin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.blocks import plain
from bfncodec.blocks.inside import Inside
from bfncodec.container import MODEL_BYTES, Block, Content, Form, Limits, Reader, hasher, varint
from bfncodec.errors import CorruptFile, LimitExceeded, UnsupportedFeature
from bfncodec.exact import threads
from bfncodec.models import zoo
from bfncodec.models.image import passes
from bfncodec.models.image.passes import (
    EXCEPTIONS,
    SPACE_NAMES,
    STRIDE,
    Pass,
    Pixels,
    Sampling,
    Schedule,
    Space,
)
from bfncodec.picture import Kind, Layout, Origin, Picture
from bfncodec.picture import Pixels as AnyPixels
from bfncodec.spans import Data

if TYPE_CHECKING:  # the models are imported where they are used: compiled code takes its time
    pass

METADATA_LIMIT = 1 << 28
LARGEST = 1 << 40  # pixels of a block, whatever limits a caller sets: arrays of more cannot be made


@dataclass
class Image(Form):
    """Pictures under an image model, pixels and metadata."""

    origin: Origin
    layout: Layout
    schedule: Schedule
    width: int
    height: int
    model: bytes | None  # None in the schedule of exact colours
    metadata: Data = b""  # LZMA of the pictures' metadata; empty if there is none
    passes: list[Pass] = field(default_factory=list)
    space: Space = Space.RGB  # whose integers the last pass holds, or the last two
    sampling: Sampling = Sampling.FULL  # of the colour differences; if not full, they have a pass of their own
    exceptions: int = 0  # pixels that no integers give
    listed: Data = b""  # the exceptions, packed
    depth: int = 8  # bits of a value, as in `picture.Kind`; other than 8 for exact colours only
    signed: bool = False
    exact: list[Data] = field(default_factory=list)  # streams of exact colours: a band each, neither passes nor a space
    frames: int = 1  # of each picture, below each other; exact colours only
    order: Data = b""  # of a palette: what the numbers that are coded stand for; empty: for themselves
    inside: Inside | None = None  # what is coded instead of pixels, in the schedule of coefficients

    mode, name, many, pictorial = 2, "image", True, True

    @property
    def kind(self) -> Kind:
        return Kind(self.origin, self.layout, self.depth, self.signed, self.frames)

    def write(self, header: bytearray) -> list[Data]:
        header += bytes([self.origin << 4 | self.layout, self.space << 4 | self.schedule])
        header += varint(self.width) + varint(self.height)
        payload = [self.metadata]
        if self.model is None:
            header += varint(self.depth << 1 | self.signed) + varint(self.frames)
            payload += [*([self.order] if self.layout is Layout.P else []), *self.exact]
            header += b"".join(varint(len(piece)) for piece in payload)
            return payload
        header += self.model + varint(len(self.metadata))
        if self.inside is not None:
            return [*payload, *self.inside.write(header)]
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
        what, way = header.byte(), header.byte()
        known = what >> 4 in list(Origin) and what & 15 in list(Layout)
        if not known or way & 15 not in list(Schedule) or way >> 4 not in list(Space):
            raise UnsupportedFeature(f"image kind {what:#04x}, schedule {way:#04x} is not supported by this version")
        kind, schedule = Kind(Origin(what >> 4), Layout(what & 15)), Schedule(way & 15)
        width, height = header.varint(), header.varint()
        pixels, channels = width * height, kind.layout.channels
        if limits.pixels is not None and pixels > limits.pixels:
            raise LimitExceeded(f"the image claims {pixels} pixels; the limit is {limits.pixels} (--max-pixels)")
        if schedule is Schedule.EXACT:
            kind = _deep(kind, header.varint())._replace(frames=header.varint())
        origin, layout, depth, signed, frames = kind
        if not items or not pixels or size != items * pixels * channels * kind.dtype.itemsize:
            raise CorruptFile("the image's sizes contradict each other")
        if not frames or height % frames:
            raise CorruptFile("the image's frames contradict its height")
        if schedule is Schedule.EXACT:
            image = cls(origin, layout, schedule, width, height, None, payload.skip(header.varint()))
            image.depth, image.signed, image.frames = depth, signed, frames
            image.order = payload.skip(header.varint()) if layout is Layout.P else b""
            image.exact = [payload.skip(header.varint()) for _ in image.bands(items)]
            if len(image.order) > 1 << depth:
                raise CorruptFile("the image's palette contradicts its depth")
            if way >> 4:
                raise CorruptFile("exact colours have no colour space")
            return image
        if layout is Layout.P:
            raise CorruptFile("a palette contradicts the image's schedule")
        image = cls(origin, layout, schedule, width, height, header.take(MODEL_BYTES))
        image.metadata = payload.skip(header.varint())
        image.space = Space(way >> 4)
        if schedule is Schedule.COEFFICIENTS:
            if items > 1 or image.space:
                raise CorruptFile("coefficients contradict the image's other fields")
            image.inside = Inside.read(header, payload, layout, height, width)
            return image
        if image.space:
            sampling = header.byte()
            if sampling not in list(Sampling):
                raise UnsupportedFeature(f"sampling {sampling} is not supported by this version")
            image.sampling, image.exceptions = Sampling(sampling), header.varint()
            image.listed = payload.skip(header.varint())
        bands = len(image.bands(items))
        for coded in passes.pass_channels(channels, image.sampling) * bands:
            flag = header.byte()
            if flag == 1:
                image.passes.append(Pass(constant=header.take(coded)))
            elif flag < 64 and not flag & 1:
                silent = header.varint()
                lengths = [header.varint() for _ in range(2)]
                pieces = (payload.skip(length) for length in lengths)
                tones, deep, fast = (bool(flag & bit) for bit in (8, 16, 32))
                image.passes.append(Pass(None, silent, flag >> 1 & 3, fast, tones, deep, *pieces))
            else:
                raise UnsupportedFeature(f"pass kind {flag} is not supported by this version")
        if image.space and channels < 3 or image.exceptions > items * pixels // EXCEPTIONS:
            raise CorruptFile("the image's colour space contradicts its other fields")
        sampled = image.schedule is Schedule.WAVEFRONT and min(image.sampling.shape(height, width)) > 0
        if image.sampling and not sampled:
            raise CorruptFile("the image's sampling contradicts its other fields")
        return image

    def bands(self, items: int) -> list[range]:
        """Rows of the bands that a block of so many pictures is coded in."""
        if self.schedule is Schedule.LATTICE or self.frames > 1:
            return [range(self.height)]
        return passes.bands(items, self.height, self.width, exact=self.schedule is Schedule.EXACT)

    @property
    def coded_bytes(self) -> int:
        inside = self.inside.coded_bytes if self.inside is not None else 0
        return sum(len(part.stream) for part in self.passes) + sum(map(len, self.exact)) + inside

    def describe(self, block: Block) -> dict[str, Any]:
        sampling = {"sampling": self.sampling.name.lower()} if self.sampling else {}
        space = {"space": SPACE_NAMES[self.space], **sampling, "exceptions": self.exceptions} if self.space else {}
        depth = {"depth": self.depth, "signed": self.signed} if self.schedule is Schedule.EXACT else {}
        frames = {"frames": self.frames} if self.frames > 1 or self.origin is Origin.GIF else {}
        model = {"model": self.model.hex()} if self.model is not None else {}
        if self.inside is not None:
            space = {"decoded_from": f"JPEG, {self.inside.sampling.text}", "exceptions": self.inside.wrong}
        return {
            "width": self.width,
            "height": self.height // self.frames,
            **frames,
            "layout": self.layout.name,
            **depth,
            "source": self.origin.name.lower(),
            "schedule": self.schedule.name.lower(),
            **space,
            **model,
            "lossless": "bytes" if self.origin.exact else "pixels and metadata",
            "bits_per_subpixel": round(8 * block.payload_bytes * self.kind.dtype.itemsize / block.size, 4),
        }

    def decode(self, block: Block, device: str) -> Iterator[Content]:
        pixels = self._decoded(block.items, device, small=False)
        metadata = unpack_metadata(self.metadata, block.items)
        found = zip(pixels, metadata, strict=True)
        pictures = [Picture(self.origin, self.layout, p, m, self.depth, self.signed, self.frames) for p, m in found]
        if digest(pictures) != block.digest:
            raise CorruptFile("the decoded pixels do not match their checksum")
        yield from pictures

    def thumbnail(self, device: str) -> Picture:
        """The thumbnail of a block's only picture, unchecked; from its first group or frame alone, if there are any."""
        pixels = self._decoded(1, device, small=True)[0]
        return Picture(Origin.ARRAY, self.layout, pixels, depth=self.depth)

    def _decoded(self, items: int, device: str, *, small: bool) -> AnyPixels:
        """Pixels [N, height, width, channels] of so many pictures, or of their thumbnails."""
        if items * self.height * self.width > LARGEST:
            raise LimitExceeded("there is not enough memory for what the file claims")
        if self.model is None or self.inside is not None:
            whole = self._planes(items) if self.inside is None else self._inside()
            return whole[:, : self.height // self.frames : STRIDE, ::STRIDE] if small else whole
        bands = self.bands(items)
        every = list(range(len(bands)))
        parts = threads.each(lambda number: self._band(items, bands, number, device, small=small), every)
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

    def _inside(self) -> AnyPixels:
        assert self.inside is not None and self.model is not None
        return self.inside.pixels(self.model, self.layout, self.height, self.width)

    def _planes(self, items: int) -> AnyPixels:
        from bfncodec.models.graphics import streams

        def one(job: tuple[range, Data]) -> AnyPixels:
            rows, stream = job
            shape = items * self.frames, len(rows) // self.frames, self.width, self.layout.channels
            return streams.decode_planes(stream, shape, self.depth).reshape(items, len(rows), *shape[2:])

        bands = threads.each(one, list(zip(self.bands(items), self.exact, strict=True)))
        planes = np.concatenate(bands, axis=1)
        if self.order:
            order = np.frombuffer(bytes(self.order), np.uint8)
            if planes.max() >= len(order):
                raise CorruptFile("the payload is damaged: a colour is not in the palette's order")
            planes = order[planes]
        if planes.max() >> self.depth:
            raise CorruptFile("the payload is damaged: a value has too many bits")
        return planes

    def _band(self, items: int, bands: list[range], number: int, device: str, *, small: bool) -> list[Pixels]:
        """Planes of the rows of one of the bands, a pass each, or of their thumbnails."""
        rows, count = bands[number], len(self.passes) // len(bands)
        parts = self.passes[number * count : (number + 1) * count]
        planes: list[Pixels] = []
        for part, channels in zip(parts, passes.pass_channels(self.layout.channels, self.sampling), strict=True):
            known = int(channels == 2)  # luma, before its differences
            height, width = self.sampling.shape(len(rows), self.width) if known else (len(rows), self.width)
            if part.constant is not None:
                size = (-(-height // STRIDE), -(-width // STRIDE)) if small else (height, width)
                planes.append(passes.constant(part.constant, (items, *size, channels)))
                continue
            from bfncodec.models.image import streams

            assert self.model is not None
            nets = streams.networks(zoo.find_hash(self.model), device)
            shape = items, height, width, channels + known
            if small:
                planes.append(streams.decode_thumbnails(nets, part, shape, self.schedule, known))
            else:
                given = self.sampling.of(planes[-1]) if known else None
                planes.append(streams.decode_pass(nets, part, shape, self.schedule, given, len(bands)))
        return planes


def _deep(kind: Kind, depth: int) -> Kind:
    """A kind with the depth and sign that a header tells; CorruptFile if there is none such."""
    kind = kind._replace(depth=depth >> 1, signed=bool(depth & 1))
    if not 1 <= kind.depth <= 16 or (kind.signed and kind.depth < 16) or (kind.layout is Layout.P and kind.depth > 8):
        raise CorruptFile("the image's depth contradicts its other fields")
    return kind


def digest(pictures: list[Picture]) -> bytes:
    """Of pictures' pixels and metadata, see `docs/format.md`."""
    found = hasher()
    for picture in pictures:
        found.update(picture.pixels.astype(picture.kind.dtype, copy=False).tobytes())
        found.update(picture.metadata)
    return found.digest()


def pack_metadata(pictures: list[Picture]) -> bytes:
    """The pictures' metadata, packed; nothing if there is none."""
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
