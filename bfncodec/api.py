"""The Python API behind `bfncodec.encode`, `decode` and `info`."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from bfncodec import container
from bfncodec.container import Block, File, Layout, Mode, Source
from bfncodec.errors import CorruptFile, LimitExceeded, UnsupportedFeature
from bfncodec.spans import Data, Span, cut, whole

if TYPE_CHECKING:
    from PIL.Image import Image

    from bfncodec.media.png import Picture

MAX_PIXELS = 1 << 28
MAX_OUTPUT = 1 << 34
SHARED_METADATA = 1 << 16  # pictures with more metadata than this get a block of their own
# Images: lattice, default, max. Texts: blocks, default. The other medium takes the default.
EFFORTS = ("lattice", "blocks", "default", "max")
# How a file is coded: as pixels if it is an image that is modelled, or else as bytes; as pixels only; as bytes by
# the text model; as bytes by whatever is smallest.
MEDIA = ("auto", "image", "text", "bytes")


def kernel_name(device: str) -> str:
    """The kernel for --device auto, cpu or cuda."""
    from bfncodec.exact import kernels

    return kernels.for_device(device).name


def encode(
    item: bytes | np.ndarray[Any, Any] | Image,
    *,
    device: str = "auto",
    model: str | None = None,
    effort: str = "default",
    media: str = "auto",
    max_pixels: int = MAX_PIXELS,
) -> bytes:
    """Encode one item as a .bfn file.

    item: a file's bytes; or pixels uint8 [height, width] or [height, width, 1 to 4] (grey,
    grey and alpha, RGB, RGBA); or a Pillow image of mode L, LA, RGB or RGBA without a transparent
    colour.
    effort: see EFFORTS.
    media: see MEDIA. model: a name or a .safetensors path, used for what it models.
    Raises UnsupportedFeature for other items, MissingModel, LimitExceeded.
    """
    if isinstance(item, bytes | bytearray | memoryview):
        given, spool = whole(io.BytesIO(item)), io.BytesIO()
        file = encode_file(given, spool, device=device, model=model, effort=effort, media=media, max_pixels=max_pixels)
        return container.write(file)
    if _paper(model) is not None:
        raise UnsupportedFeature("a model of the paper's kind codes files (arrays as .npy): give their bytes")
    picture = _from_array(item) if isinstance(item, np.ndarray) else _from_pillow(item, max_pixels)
    return container.write(File([_picture_block([picture], device, model, effort)]))


def encode_file(
    item: Span,
    spool: IO[bytes],
    *,
    device: str = "auto",
    model: str | None = None,
    effort: str = "default",
    media: str = "auto",
    max_pixels: int = MAX_PIXELS,
) -> File:
    """`encode` for a file that need not be in memory: what is larger than a part is read piece by piece.

    item: the file's bytes. spool: an open file that can seek and be read, for what is coded; the result points
    into both. Images are read whole, and so is what a model of the paper's kind is asked to code.
    """
    from bfncodec.blocks import smallest

    paper = _paper(model)
    if paper is not None:
        return File([_paper_block(bytes(item), paper, device)])
    picture = parsed(item, media, max_pixels)
    if picture is not None or len(item) <= smallest.PART:
        return File([_smallest(bytes(item), picture, device, model, effort, media)])
    return smallest.encode(
        item,
        spool,
        smallest.PART,
        kernel=kernel_name(device),
        model=_model(model, Mode.TEXT),
        effort=effort,
        text=media == "text",
    )


def decode(data: bytes, *, device: str = "auto") -> Any:
    """What `encode` was given: bytes, an array uint8 [height, width, channels] or a Pillow image.

    A PNG file comes back as a PNG of the same pixels and chunks; all other bytes as they
    were. Archives: use `decode_items`.
    """
    from bfncodec.media import convert, png

    file = container.read(bytes(data), max_output=MAX_OUTPUT, max_pixels=MAX_PIXELS)
    if file.names is not None:
        raise UnsupportedFeature("this is an archive of several items: use bfncodec.decode_items")
    (content,) = contents(file, device)
    if not isinstance(content, png.Picture):
        return _joined(content)
    if content.source is Source.ARRAY:
        return content.pixels
    return convert.pillow_image(content) if content.source is Source.PILLOW else png.build(content)


def decode_items(data: bytes, *, device: str = "auto") -> dict[str, bytes]:
    """All items of an archive as file bytes, by name."""
    file = container.read(bytes(data), max_output=MAX_OUTPUT, max_pixels=MAX_PIXELS)
    if file.names is None:
        raise UnsupportedFeature("this is not an archive: use bfncodec.decode")
    return {name: file_bytes(one) for name, one in zip(file.names, contents(file, device), strict=True)}


def file_bytes(content: Iterator[bytes] | Picture) -> bytes:
    """The file that decoded content stands for."""
    from bfncodec.media.png import Picture, build

    return build(content) if isinstance(content, Picture) else _joined(content)


def _joined(pieces: Iterator[bytes]) -> bytes:
    made = io.BytesIO()
    made.writelines(pieces)
    return made.getvalue()


def contents(file: File, device: str) -> Iterator[Iterator[bytes] | Picture]:
    """The items of a file: pictures, checked; others as by `pieces`."""
    if file.names is None and file.blocks[0].image is None:
        yield itertools.chain.from_iterable(pieces(block, device) for block in file.blocks)
    else:
        for block in file.blocks:
            yield from decode_block(block, device)


def decode_block(block: Block, device: str) -> Iterator[Iterator[bytes] | Picture]:
    """The items of a block, as in `contents`."""
    if block.image is None:
        yield pieces(block, device)
        return
    from bfncodec.blocks import image as image_blocks

    with _memory():
        pictures = image_blocks.decode_pictures(block, kernel_name(device))
    yield from pictures


def pieces(block: Block, device: str) -> Iterator[bytes]:
    """The content of a block that is no image; CorruptFile after the last piece, or before, unless all is right."""
    if block.mode in (Mode.STORED, Mode.LZMA):
        from bfncodec.blocks import plain as plain_blocks

        yield from plain_blocks.decode(block)
        return
    with _memory():
        if block.single is not None:
            from bfncodec.blocks import single as single_blocks

            data = single_blocks.decode(block, kernel_name(device))
        else:
            from bfncodec.blocks import image as image_blocks

            data = image_blocks.decode_text(block, kernel_name(device))
    yield data


def verify(encoded: Data, originals: Mapping[str, Data], device: str) -> None:
    """Decode and compare with the files that were encoded, by name; CorruptFile if anything differs.

    A file that is no archive is compared with the only original.
    """
    file = container.read(encoded)
    names = file.names or list(originals)
    if sorted(names) != sorted(originals):
        raise CorruptFile("the encoded archive lost an item; nothing was written. Please report this")
    for name, content in zip(names, contents(file, device), strict=True):
        if not _matches(content, originals[name]):
            raise CorruptFile("the encoded file does not decode to the input; nothing was written. Please report this")


def _matches(content: Iterator[bytes] | Picture, original: Data) -> bool:
    from bfncodec.media.png import Picture, parse

    if isinstance(content, Picture):
        wanted = parse(bytes(original), 1 << 62)
        return wanted is not None and _same(content, wanted)
    position = 0
    for piece in content:
        if len(piece) > len(original) - position or bytes(cut(original, position, len(piece))) != piece:
            return False
        position += len(piece)
    return position == len(original)


def _same(one: Picture, other: Picture) -> bool:
    return (
        one.source is other.source
        and one.layout is other.layout
        and one.metadata == other.metadata
        and np.array_equal(one.pixels, other.pixels)
    )


def preview(file: File, device: str) -> Picture:
    """The thumbnail of a file's only image, from its first group."""
    from bfncodec.blocks import image as image_blocks
    from bfncodec.media.png import Picture

    block = file.blocks[0]
    if block.image is None or len(file.blocks) != 1 or block.items != 1:
        raise UnsupportedFeature("there is no preview: this is not a single image")
    with _memory():
        small = image_blocks.decode_thumbnail(block, kernel_name(device))
    return Picture(Source.ARRAY, block.image.layout, small[0])


def select(file: File, wanted: tuple[str, ...]) -> dict[int, str]:
    """Positions and names of the wanted items of an archive (names or numbers from 0); all if none is named."""
    names = file.names or []
    if not wanted:
        return dict(enumerate(names))
    chosen = {}
    for item in wanted:
        if item in names:
            chosen[names.index(item)] = item
        elif item.isdecimal() and int(item) < len(names):
            chosen[int(item)] = names[int(item)]
        else:
            raise UnsupportedFeature(f"the archive holds no item {item!r}")
    return chosen


def decode_chosen(file: File, chosen: dict[int, str], device: str) -> Iterator[tuple[str, Iterator[bytes] | Picture]]:
    """Names and contents of chosen items; blocks without any are skipped."""
    start = 0
    for block in file.blocks:
        if any(start <= number < start + block.items for number in chosen):
            for number, content in enumerate(decode_block(block, device), start):
                if number in chosen:
                    yield chosen[number], content
        start += block.items


def converted(picture: Picture, suffix: str) -> tuple[bytes, list[str]] | None:
    """The file in the format that an output's suffix names, and what it leaves out; None for the picture's own file."""
    from bfncodec.media import convert

    return convert.convert(picture, suffix) if convert.changes(picture.source, suffix) else None


@contextmanager
def _memory() -> Iterator[None]:
    """A claim that no limit refuses can still be more than there is room for."""
    try:
        yield
    except MemoryError as error:
        raise LimitExceeded("there is not enough memory for what the file claims") from error


def encode_archive(items: list[tuple[str, bytes]], **choices: Any) -> bytes:
    """`archive_file` as bytes."""
    return container.write(archive_file(items, **choices))


def archive_file(
    items: list[tuple[str, bytes]],
    *,
    device: str = "auto",
    model: str | None = None,
    effort: str = "default",
    media: str = "auto",
    max_pixels: int = MAX_PIXELS,
) -> File:
    """Encode named files as one archive; images of one size, layout and source share blocks."""
    from bfncodec.blocks import image as image_blocks

    paper = _paper(model)
    if paper is not None:
        return File([_paper_block(data, paper, device) for _, data in items], [name for name, _ in items])
    entries = [(name, data, parsed(data, media, max_pixels)) for name, data in items]
    groups: dict[Any, list[tuple[str, bytes, Picture | None]]] = {}
    for number, entry in enumerate(entries):
        picture = entry[2]
        alone = picture is None or len(picture.metadata) > SHARED_METADATA
        key = number if alone or picture is None else (picture.source, picture.layout, picture.pixels.shape)
        groups.setdefault(key, []).append(entry)
    blocks, names = [], []
    for group in groups.values():
        picture = group[0][2]
        size = 1 if picture is None else image_blocks.items_per_block(picture.pixels.shape)
        for start in range(0, len(group), size):
            part = group[start : start + size]
            blocks += _archive_blocks(part, device, model, effort, media)
            names += [name for name, _, _ in part]
    return File(blocks, names)


def info(data: Data) -> dict[str, Any]:
    """What the header tells, without decoding and without a model; keys are stable."""
    file = container.read(data)
    blocks = []
    for block in file.blocks:
        entry: dict[str, Any] = {"mode": block.mode.name.lower(), "items": block.items, "content_bytes": block.size}
        if block.image is not None:
            image = block.image
            entry |= {
                "width": image.width,
                "height": image.height,
                "layout": image.layout.name,
                "source": image.source.name.lower(),
                "schedule": image.schedule.name.lower(),
                "model": image.model.hex(),
                "lossless": "bytes" if image.source in (Source.PNM, Source.BMP) else "pixels and metadata",
                "bits_per_subpixel": round(8 * block_bytes(block) / block.size, 4),
            }
        else:
            entry["lossless"] = "bytes"
        if block.text is not None:
            entry |= {
                "model": block.text.model.hex(),
                "schedule": block.text.schedule.name.lower(),
                "lanes": block.text.lanes,
                "bits_per_byte": round(8 * block_bytes(block) / block.size, 4),
            }
        if block.single is not None:
            single = block.single
            entry |= {
                "model": single.model.hex(),
                "schedule": "single",
                "sender": single.sender.name.lower(),
                "steps": single.steps,
                "floating_point": single.inexact,
                "bits_per_byte": round(8 * block_bytes(block) / block.size, 4),
            }
        blocks.append(entry)
    return {
        "format_version": container.VERSION,
        "file_bytes": len(data),
        "content_bytes": sum(block.size for block in file.blocks),
        "items": file.items,
        "names": file.names,
        "blocks": blocks,
    }


def block_bytes(block: Block) -> int:
    """Payload bytes of a block."""
    if block.text is not None:
        return sum(map(len, block.text.streams))
    if block.single is not None:
        return len(block.single.frame) + len(block.single.stream)
    if block.image is None:
        return len(block.data)
    pieces = [block.image.metadata]
    for part in block.image.passes:
        pieces += [part.base, part.changes, part.stream]
    return sum(map(len, pieces))


def parsed(data: Data, media: str, max_pixels: int) -> Picture | None:
    """The picture in a file's bytes, None if it has to be coded as bytes; a large file is read only if it may be one.

    Raises UnsupportedFeature where media is "image" and it is none, LimitExceeded.
    """
    from bfncodec.blocks import smallest
    from bfncodec.media import png

    picture = None
    if media in ("auto", "image"):
        head = bytes(cut(data, 0, min(len(data), png.HEAD)))
        if len(data) <= smallest.PART or png.may_be(head, len(data), max_pixels):
            picture = png.parse(bytes(data), max_pixels)
    if picture is None and media == "image":
        raise UnsupportedFeature("not an image that is modelled; --media auto codes it as bytes")
    return picture


def _smallest(data: bytes, picture: Picture | None, device: str, model: str | None, effort: str, media: str) -> Block:
    """The picture's block, or the bytes' if that is smaller."""
    from bfncodec.blocks import image as image_blocks
    from bfncodec.blocks import plain as plain_blocks

    if media == "text" and data:
        text = image_blocks.encode_text(data, _model(model, Mode.TEXT), kernel=kernel_name(device), effort=effort)
        return text if image_blocks.text_is_worth(text, len(data)) else plain_blocks.encode(data)
    if picture is None:
        return image_blocks.encode_bytes(data, _model(model, Mode.TEXT), kernel=kernel_name(device), effort=effort)
    modelled = _picture_block([picture], device, model, effort)
    if media == "image" or block_bytes(modelled) < len(data) // 2:
        return modelled
    plain = plain_blocks.encode(data)
    return modelled if block_bytes(modelled) <= block_bytes(plain) else plain


def _archive_blocks(
    part: list[tuple[str, bytes, Picture | None]], device: str, model: str | None, effort: str, media: str
) -> list[Block]:
    from bfncodec.blocks import plain as plain_blocks

    pictures = [picture for _, _, picture in part if picture is not None]
    if len(part) == 1 or not pictures:
        return [_smallest(data, picture, device, model, effort, media) for _, data, picture in part]
    modelled = _picture_block(pictures, device, model, effort)
    plain = [plain_blocks.encode(data) for _, data, _ in part]
    return [modelled] if block_bytes(modelled) <= sum(map(block_bytes, plain)) else plain


def _picture_block(pictures: list[Picture], device: str, model: str | None, effort: str) -> Block:
    from bfncodec.blocks import image as image_blocks

    return image_blocks.encode_pictures(pictures, kernel_name(device), _model(model, Mode.IMAGE), effort)


def _model(name: str | None, mode: Mode) -> Path | None:
    """The model that a user named, for what it models; None for the packaged one."""
    from bfncodec.models import zoo

    path = zoo.find(name) if name else None
    return path if path and zoo.is_text(path) == (mode is Mode.TEXT) else None


def _paper(name: str | None) -> Path | None:
    """The model that a user named, if it is one of the paper's kind."""
    if name is None:
        return None
    from bfncodec.blocks import single as single_blocks
    from bfncodec.models import zoo

    path = zoo.find(name)
    return path if single_blocks.serves(path) else None


def _paper_block(data: bytes, path: Path, device: str) -> Block:
    from bfncodec.blocks import single as single_blocks

    return single_blocks.encode(data, path, kernel_name(device), single_blocks.Settings())


def _from_array(array: np.ndarray[Any, Any]) -> Picture:
    from bfncodec.media.png import Picture

    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.dtype != np.uint8 or array.shape[2] not in (1, 2, 3, 4) or not array.size:
        raise UnsupportedFeature(
            f"cannot encode an array of {array.dtype} {array.shape}; pixels are uint8 [height, width, 1 to 4]"
        )
    return Picture(Source.ARRAY, Layout(array.shape[2] - 1), np.ascontiguousarray(array))


def _from_pillow(image: Image, max_pixels: int) -> Picture:
    from bfncodec.media import convert
    from bfncodec.media.png import parse

    if getattr(image, "mode", None) not in ("L", "LA", "RGB", "RGBA"):
        raise UnsupportedFeature("cannot encode this item; images must be of mode L, LA, RGB or RGBA")
    if image.mode in ("L", "RGB") and image.info.get("transparency") is not None:
        raise UnsupportedFeature(
            "cannot encode an image with a transparent colour; convert it to mode RGBA, or delete info['transparency']"
        )
    buffer = io.BytesIO()
    options: dict[str, Any] = {"icc_profile": None} | convert.png_options(image.info)
    image.save(buffer, "PNG", compress_level=1, **options)
    picture = parse(buffer.getvalue(), max_pixels)
    if picture is None:
        raise UnsupportedFeature("cannot encode this image: its PNG form is not modelled")
    picture.source = Source.PILLOW
    return picture
