"""Which blocks an item is coded in: the smallest of all that are tried."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import IO, TYPE_CHECKING, NamedTuple

from bfncodec.blocks import image, plain, text
from bfncodec.blocks.text import TEXT_LIMIT, Text
from bfncodec.container import Block
from bfncodec.picture import Picture
from bfncodec.presets import Choices
from bfncodec.spans import Data, Span, cut

if TYPE_CHECKING:
    from bfncodec.coding.ledger import Ledger

PART = 1 << 26  # bytes of a part; items up to this size have none
PROBE_FROM = 1 << 16  # bytes of an item of which a sample is tried first
PROBE_BYTES = 1 << 15  # of the sample
DEFLATED = 8  # times that deflate makes ordinary pictures smaller, at most
SAMPLES = 4  # places that it is taken from


class Candidate(NamedTuple):
    """Blocks that could be written, and what they cost in theory if somebody wants to know."""

    blocks: list[Block]
    account: Ledger | None = None


def smallest(candidates: list[Candidate], ledger: Ledger | None = None) -> list[Block]:
    """The blocks that take the fewest bytes in a file, headers included, the first of equals; `ledger` gets them."""
    best = min(candidates, key=lambda candidate: sum(block.file_bytes for block in candidate.blocks))
    if ledger is not None and best.account is not None:
        ledger.extend(best.account)
    return best.blocks


def tried(encode: Callable[[Ledger | None], Block], ledger: Ledger | None) -> Candidate:
    """What an encoding gives, with an account of its own if there is a ledger."""
    account = ledger.blank() if ledger is not None else None
    return Candidate([encode(account)], account)


def of_pictures(pictures: list[Picture], files: list[bytes], choices: Choices, ledger: Ledger | None) -> list[Block]:
    """Blocks of pictures of one shape, layout and origin, which came from files."""
    candidates = [tried(lambda account: image.encode(pictures, choices, account), ledger)]
    # What is below a deflated file is below LZMA of it, unless that is tiny already; plain pixels LZMA may make so.
    size, plain_size = sum(map(len, files)), sum(picture.pixels.size for picture in pictures)
    most = size * 9 // 10 if max(PROBE_FROM, plain_size // DEFLATED) <= size else size // 2
    clear = size < plain_size and candidates[0].blocks[0].payload_bytes < most
    if choices.media != "image" and not clear:
        candidates.append(Candidate([plain.encode(file) for file in files]))
    return smallest(candidates, ledger)


def of_bytes(data: bytes, choices: Choices, ledger: Ledger | None = None) -> Block:
    """One item as text, unless it looks hopeless, LZMA or stored; with the text medium as text or stored."""
    forced = choices.media == "text"
    other = plain.stored(data) if forced else plain.encode(data)
    candidates = [Candidate([other])]
    if data and len(data) <= TEXT_LIMIT:
        if forced or len(data) <= PROBE_FROM or is_hopeful(data, other.payload_bytes, choices):
            candidates += _as_text(data, choices, ledger)
    (best,) = smallest(candidates, ledger)
    return plain.encode(data) if forced and best is other else best


def in_parts(item: Span, spool: IO[bytes], part: int, choices: Choices) -> list[Block]:
    """An item of more than `part` bytes, whole or cut every `part` bytes.

    The item as a whole is LZMA or stored, a part is that or text, where its sample is hopeful. With the text medium
    there are always parts, and each is text unless stored is smaller. Coded bytes are added to `spool`, an open file
    that can seek and be read; the blocks point into `spool` and into the item. At most one part is in memory.
    """
    cuts = [Span(item.file, item.start + at, min(part, len(item) - at)) for at in range(0, len(item), part)]
    if choices.media == "text":
        return [_text_part(one, spool, choices) for one in cuts]
    whole, shares = plain.encode_into(spool, cuts)
    hopeful = [is_hopeful(one, share, choices) for one, share in zip(cuts, shares, strict=True)]
    promised = sum(min(len(one), share) for one, share in zip(cuts, shares, strict=True))
    if not any(hopeful) and promised >= whole.payload_bytes:
        return [whole]
    blocks = []
    for one, share, promising in zip(cuts, shares, hopeful, strict=True):
        block = plain.encode_into(spool, [one])[0] if share < len(one) else plain.stored(one)
        candidates = [Candidate([block])]
        if promising:
            candidates += _as_text(bytes(one), choices, None)
        blocks += [_spooled(best, spool) for best in smallest(candidates)]
    return smallest([Candidate([whole]), Candidate(blocks)])


def is_hopeful(data: Data, packed: int, choices: Choices) -> bool:
    """True if a sample of an item promises less than the `packed` bytes of LZMA, at a price worth paying.

    Repeats over long distances are LZMA's; whatever it makes tiny is not worth the model's time.
    """
    from bfncodec.models.text import streams

    size = len(data)
    if packed * 50 < size:
        return False
    step = max(size // SAMPLES, PROBE_BYTES // SAMPLES)
    starts = range(0, size, step)[:SAMPLES]
    sample = b"".join(bytes(cut(data, at, min(PROBE_BYTES // SAMPLES, size - at))) for at in starts)
    return streams.bits_a_byte(text.model(choices), sample) * size / 8 <= min(1.25 * packed, 0.985 * size)


def _as_text(data: bytes, choices: Choices, ledger: Ledger | None) -> list[Candidate]:
    """The item as text, if a decoder accepts that."""
    candidate = tried(lambda account: text.encode(data, choices, account), ledger)
    form = candidate.blocks[0].form
    return [candidate] if isinstance(form, Text) and form.holds(len(data)) else []


def _text_part(part: Span, spool: IO[bytes], choices: Choices) -> Block:
    other = plain.stored(part)
    (best,) = smallest([Candidate([other]), *_as_text(bytes(part), choices, None)])
    return plain.encode_into(spool, [part])[0] if best is other else _spooled(best, spool)


def _spooled(block: Block, spool: IO[bytes]) -> Block:
    """A text block whose streams have moved to the end of `spool`; others are there already."""
    form = block.form
    if not isinstance(form, Text):
        return block
    streams: list[Data] = []
    for stream in form.streams:
        start = spool.seek(0, io.SEEK_END)
        streams.append(Span(spool, start, spool.write(bytes(stream))))
    return replace(block, form=replace(form, streams=streams))
