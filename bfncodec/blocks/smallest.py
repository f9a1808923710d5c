"""Items that are too large to be in memory: whole as LZMA or stored, or in parts, whichever is smaller."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import IO

from bfncodec import container
from bfncodec.blocks import image, plain
from bfncodec.container import Block, File, Mode
from bfncodec.spans import Data, Span

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
    hopeful = [image.text_is_hopeful(one, share, model) for one, share in zip(cuts, shares, strict=True)]
    promised = sum(min(len(one), share) for one, share in zip(cuts, shares, strict=True))
    if not any(hopeful) and promised >= len(whole.data):
        return File([whole])
    blocks = []
    for one, share, tried in zip(cuts, shares, hopeful, strict=True):
        block = _plain(one, [one], spool)[0] if share < len(one) else plain.stored(one)
        if tried:
            made = image.encode_text(bytes(one), model, kernel=kernel, effort=effort)
            if image.text_is_worth(made, len(block.data)):
                block = _spooled(made, spool)
        blocks.append(block)
    return min(File([whole]), File(blocks), key=container.size)


def _as_text(part: Span, spool: IO[bytes], kernel: str, model: Path | None, effort: str) -> Block:
    block = image.encode_text(bytes(part), model, kernel=kernel, effort=effort)
    return _spooled(block, spool) if image.text_is_worth(block, len(part)) else _plain(part, [part], spool)[0]


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
