"""Which blocks an item is coded in: the smallest of all that are tried."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import IO, TYPE_CHECKING

from bfncodec.blocks import jpeg, outlook, pictures, plain, text
from bfncodec.blocks.choice import Candidate, smallest, tried
from bfncodec.blocks.text import TEXT_LIMIT, Text
from bfncodec.container import Block
from bfncodec.errors import UnsupportedFeature
from bfncodec.picture import Picture
from bfncodec.presets import Choices
from bfncodec.spans import Data, Span, cut

if TYPE_CHECKING:
    from bfncodec.coding.ledger import Ledger

PART = 1 << 26  # bytes of a part; items up to this size have none
PROBE_FROM = 1 << 16  # bytes of an item of which a sample is tried first
PROBE_BYTES = 1 << 15  # of the sample
SAMPLES = 4  # places that it is taken from


def of_pictures(found: list[Picture], files: list[bytes], choices: Choices, ledger: Ledger | None) -> list[Block]:
    """Blocks of pictures of one shape and kind, which came from files."""
    candidates = [tried(lambda account: pictures.encode(found, choices, account), ledger)]
    if choices.media == "image":
        return smallest(candidates, ledger)
    # What is far below a deflated file is below LZMA of it; plain pixels LZMA may make tiny.
    size, plain_size = sum(map(len, files)), sum(picture.pixels.nbytes for picture in found)
    looks = [outlook.look(file) for file in files]
    most = size * 9 // 10 if all(look.quick and look.unrepeated for look in looks) else size // 2
    if size >= plain_size or candidates[0].blocks[0].payload_bytes >= most:
        candidates.append(Candidate([_plain(file, look) for file, look in zip(files, looks, strict=True)]))
    return smallest(candidates, ledger)


def of_bytes(data: bytes, choices: Choices, ledger: Ledger | None = None) -> Block:
    """One item as JPEG if it is one, else text, unless it looks hopeless, LZMA or stored.

    With the text medium it is text or stored, with that of images JPEG; UnsupportedFeature if it is none.
    """
    coefficients = of_jpeg(data, choices, ledger)
    if coefficients is not None:
        return coefficients
    forced = choices.media == "text"
    look = outlook.look(data)
    other = plain.stored(data) if forced else _plain(data, look)
    candidates = [Candidate([other])]
    if data and len(data) <= TEXT_LIMIT and (forced or not look.packed):
        if forced or len(data) <= PROBE_FROM or is_hopeful(data, other.payload_bytes, choices):
            candidates += _as_text(data, choices, ledger)
    (best,) = smallest(candidates, ledger)
    return _plain(data, look) if forced and best is other else best


def of_jpeg(data: Data, choices: Choices, ledger: Ledger | None = None) -> Block | None:
    """One item as JPEG, None if it is not one, or is none the smaller; UnsupportedFeature where images are wanted."""
    wanted = choices.media == "image"
    if choices.media != "text" and bytes(cut(data, 0, len(jpeg.MAGIC))) == jpeg.MAGIC:
        block = jpeg.encode(bytes(data), choices, ledger)
        if block is not None and (wanted or block.payload_bytes < len(data)):
            return block
    if wanted:
        raise UnsupportedFeature("not an image that is modelled; --media auto codes it as bytes")
    return None


def in_parts(item: Span, spool: IO[bytes], part: int, choices: Choices) -> list[Block]:
    """An item of more than `part` bytes, whole or cut every `part` bytes.

    The item as a whole is JPEG, LZMA or stored, a part is LZMA, stored or text, where its sample is hopeful. With the
    text medium there are always parts, and each is text unless stored is smaller. Coded bytes are added to `spool`, an
    open file that can seek and be read; the blocks point into `spool` and into the item. At most one part is in memory,
    but for JPEG.
    """
    coefficients = of_jpeg(item, choices)
    if coefficients is not None:
        return [coefficients]
    cuts = [Span(item.file, item.start + at, min(part, len(item) - at)) for at in range(0, len(item), part)]
    if choices.media == "text":
        return [_text_part(one, spool, choices) for one in cuts]
    looks, all_of_it = [outlook.look(one) for one in cuts], outlook.Outlook()
    for look in looks:
        all_of_it.join(look)
    if all_of_it.noise:
        return [plain.stored(item)]
    whole, shares = plain.encode_into(spool, cuts, all_of_it.quick)
    hopeful = [
        not look.packed and is_hopeful(one, share, choices)
        for one, look, share in zip(cuts, looks, shares, strict=True)
    ]
    promised = sum(min(len(one), share) for one, share in zip(cuts, shares, strict=True))
    if not any(hopeful) and promised >= whole.payload_bytes:
        return [whole]
    blocks = []
    for one, look, share, promising in zip(cuts, looks, shares, hopeful, strict=True):
        block = plain.encode_into(spool, [one], look.quick)[0] if share < len(one) else plain.stored(one)
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
    from bfncodec.models.text.memory import FAST, FULL

    size, kit = len(data), FAST if choices.effort == "fast" else FULL
    if packed * 50 < size:
        return False
    sample = _sample(data, PROBE_BYTES)
    return streams.bits_a_byte(text.model(choices), sample, kit) * size / 8 <= min(1.25 * packed, 0.985 * size)


def _sample(data: Data, count: int) -> bytes:
    """About `count` bytes of an item, from SAMPLES places."""
    size = len(data)
    step = max(size // SAMPLES, count // SAMPLES)
    starts = range(0, size, step)[:SAMPLES]
    return b"".join(bytes(cut(data, at, min(count // SAMPLES, size - at))) for at in starts)


def _plain(data: bytes, look: outlook.Outlook) -> Block:
    """One item as LZMA, or stored, with no more time than it looks worth."""
    if look.noise or (look.quick and look.unrepeated and _gains_nothing(data)):
        return plain.stored(data)
    return plain.encode(data, look.quick)


def _gains_nothing(data: bytes) -> bool:
    """True if LZMA does nothing for a sample of an item that is worth one."""
    sample = _sample(data, PROBE_FROM)
    return len(data) > 4 * len(sample) and len(plain.pack(sample, quick=True)) > len(sample)


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
