"""Items that are too large to be in memory: whole as LZMA or stored, or in parts, whichever is smaller."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, TYPE_CHECKING

from bfncodec import container
from bfncodec.container import Block, File, Mode
from bfncodec.spans import Data, Span, cut

if TYPE_CHECKING:
    from bfncodec.media.png import Picture
from dataclasses import replace
from typing import TYPE_CHECKING

from bfncodec.blocks import plain as plain_blocks
from bfncodec.media.png import Picture
from bfncodec.models import zoo

if TYPE_CHECKING:  # compiled code is imported only where a text is coded
    pass
from bfncodec.blocks import plain
from bfncodec.blocks import text as text_blocks
from bfncodec.blocks.text import TEXT_LIMIT, encode_text, text_bits, text_bytes
from bfncodec.container import block_bytes
from bfncodec.exact.kernels import kernel_name

PART = 1 << 26  # bytes of a part; items up to this size have none


def encode(
    item: Span,
    spool: IO[bytes],
    part: int,
    *,
    kernel: str,
    model: Path | None = None,
    effort: str = "default",
    text: bool = False,
) -> File:
    """The file of an item of more than `part` bytes, whole or cut every `part` bytes.

    The item as a whole is LZMA or stored, a part is that or text, where its sample is hopeful. With `text` there are
    always parts, and each is text unless stored is smaller. Coded bytes are added to `spool`, an open file that can
    seek and be read; the blocks point into `spool` and into the item. At most one part is in memory.
    """
    cuts = [Span(item.file, item.start + at, min(part, len(item) - at)) for at in range(0, len(item), part)]
    if text:
        return File([_as_text(one, spool, kernel, model, effort) for one in cuts])
    whole, shares = _plain(item, cuts, spool)
    hopeful = [text_is_hopeful(one, share, model) for one, share in zip(cuts, shares, strict=True)]
    promised = sum(min(len(one), share) for one, share in zip(cuts, shares, strict=True))
    if not any(hopeful) and promised >= len(whole.data):
        return File([whole])
    blocks = []
    for one, share, tried in zip(cuts, shares, hopeful, strict=True):
        block = _plain(one, [one], spool)[0] if share < len(one) else plain.stored(one)
        if tried:
            made = text_blocks.encode_text(bytes(one), model, kernel=kernel, effort=effort)
            if text_is_worth(made, len(block.data)):
                block = _spooled(made, spool)
        blocks.append(block)
    return min(File([whole]), File(blocks), key=container.size)


def _as_text(part: Span, spool: IO[bytes], kernel: str, model: Path | None, effort: str) -> Block:
    block = text_blocks.encode_text(bytes(part), model, kernel=kernel, effort=effort)
    return _spooled(block, spool) if text_is_worth(block, len(part)) else _plain(part, [part], spool)[0]


def _plain(content: Span, cuts: list[Span], spool: IO[bytes]) -> tuple[Block, list[int]]:
    """One block, LZMA or stored if that is no larger, and about what LZMA has for each piece of the content."""
    start = spool.seek(0, io.SEEK_END)
    block, shares = plain.encode_into(spool, cuts)
    if len(block.data) >= len(content):
        spool.truncate(start)
        block = replace(block, mode=Mode.STORED, data=content)
    return block, shares


def _spooled(block: Block, spool: IO[bytes]) -> Block:
    """A text block whose streams have moved to the end of `spool`."""
    assert block.text is not None
    start = spool.seek(0, io.SEEK_END)
    streams: list[Data] = []
    for stream in block.text.streams:
        spool.write(bytes(stream))
        streams.append(Span(spool, start, len(stream)))
        start += len(stream)
    return replace(block, text=replace(block.text, streams=streams))


def _smallest(data: bytes, picture: Picture | None, device: str, model: str | None, effort: str, media: str) -> Block:
    """The picture's block, or the bytes' if that is smaller."""
    from bfncodec.blocks import plain as plain_blocks
    from bfncodec.blocks import smallest
    from bfncodec.blocks import text as text_blocks

    if media == "text" and data:
        text = text_blocks.encode_text(data, _model(model, Mode.TEXT), kernel=kernel_name(device), effort=effort)
        return text if smallest.text_is_worth(text, len(data)) else plain_blocks.encode(data)
    if picture is None:
        return smallest.encode_bytes(data, _model(model, Mode.TEXT), kernel=kernel_name(device), effort=effort)
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

    path = zoo.find(name) if name else None
    return path if path and zoo.is_text(path) == (mode is Mode.TEXT) else None


PROBE_FROM = 1 << 18  # bytes of an item of which a sample is tried first
PROBE_BYTES = 1 << 15  # of the sample
SAMPLES = 4  # places that it is taken from


def encode_bytes(data: bytes, model: Path | None = None, *, kernel: str = "float32", effort: str = "default") -> Block:
    """One item in the smallest of text, LZMA and stored; large items that look hopeless are not tried as text."""
    plain = plain_blocks.encode(data)
    if not data or len(data) > TEXT_LIMIT:
        return plain
    if len(data) > PROBE_FROM and not text_is_hopeful(data, len(plain.data), model):
        return plain
    text = encode_text(data, model, kernel=kernel, effort=effort)
    return text if text_is_worth(text, len(plain.data)) else plain


def text_is_worth(block: Block, size: int) -> bool:
    """True if a text block is smaller than `size` bytes, and one that a decoder accepts."""
    assert block.text is not None
    return text_bytes(block) < size and container.holds(block.text, block.size)


def text_is_hopeful(data: Data, packed: int, model: Path | None = None) -> bool:
    """True if a sample of an item promises less than the `packed` bytes of LZMA, at a price worth paying.

    Repeats over long distances are LZMA's; whatever it makes tiny is not worth the model's time.
    """
    size = len(data)
    if packed * 50 < size:
        return False
    step = max(size // SAMPLES, PROBE_BYTES // SAMPLES)
    starts = range(0, size, step)[:SAMPLES]
    sample = b"".join(bytes(cut(data, at, min(PROBE_BYTES // SAMPLES, size - at))) for at in starts)
    return text_bits(sample, model) * size / 8 <= min(1.25 * packed, 0.985 * size)
