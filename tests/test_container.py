"""The .bfn container: every field is checked before anything is allocated or decoded."""

import time
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bfncodec import container, decoding
from bfncodec.blocks import MODES
from bfncodec.blocks import single as single_blocks
from bfncodec.blocks.image import Image
from bfncodec.blocks.inside import Inside
from bfncodec.blocks.plain import Lzma, Stored
from bfncodec.blocks.single import Sender, Single
from bfncodec.blocks.text import FEW_LANES, LANE_LIMIT, STEP_LIMIT, STREAM_BYTES, TEXT_LIMIT, Text, TextSchedule
from bfncodec.container import Block, File, Form, Reader
from bfncodec.errors import BadMagic, BfnError, CorruptFile, LimitExceeded, TruncatedFile, UnsupportedFeature
from bfncodec.models.image.passes import Pass, Sampling, Schedule, Space, pass_channels
from bfncodec.picture import Layout, Origin
from bfncodec.spans import Data

HUGE = 1 << 40


def stored(data: bytes) -> Block:
    """A stored block."""
    return Block(1, len(data), digest(data), Stored(data))


def digest(data: bytes) -> bytes:
    return container.hasher(data).digest()


def sealed(header: bytes, payload: bytes = b"", *, version: int = container.VERSION, flags: int = 0) -> bytes:
    """A file around any header, with the right length and CRC."""
    start = container.MAGIC + bytes([version, flags]) + container.varint(len(header)) + header
    return start + zlib.crc32(start).to_bytes(4, "little") + payload


def image_header(
    kind: int = 2, schedule: int = 0, width: int = 2, height: int = 2, size: int = 12, rest: bytes = b"\0\1abc"
) -> bytes:
    """The header of an RGB image block of one colour; `rest` follows the model's hash."""
    sizes = container.varint(width) + container.varint(height)
    return b"\2" + container.varint(size) + bytes(8) + bytes([kind, schedule]) + sizes + b"hash" + rest


def exact_header(
    kind: int = 4, schedule: int = 2, depth: int = 8, signed: int = 0, size: int = 4, frames: int = 1
) -> bytes:
    """The header of a block of exact colours, 2 x 2 pixels of a palette."""
    lengths = [0, 0, 3] if kind & 15 == 4 else [0, 3]
    return b"\2" + bytes([size]) + bytes(8) + bytes([kind, schedule, 2, 2, 2 * depth + signed, frames, *lengths])


def text_header(size: int = 9, schedule: int = 0, lanes: int = 1, rest: bytes = b"\1\3") -> bytes:
    """The header of a text block of one stream of three bytes; `rest` follows the lanes."""
    return b"\3" + container.varint(size) + bytes(8) + bytes([schedule]) + b"hash" + container.varint(lanes) + rest


# Row 19: magic


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data.replace(b"\r\n", b"\n"),
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"),
        lambda data: data.replace(b"\r", b"\n"),
        lambda data: bytes(byte & 0x7F for byte in data),
        lambda data: data.decode("utf-8", "replace").encode(),
        lambda data: data.decode("latin-1").encode(),
    ],
    ids=["crlf-to-lf", "lf-to-crlf", "normalised", "cr-to-lf", "seven-bits", "utf-8", "latin-1"],
)
def test_text_mode_damage_gives_a_hint(damage) -> None:
    with pytest.raises(BadMagic, match="text mode"):
        decoding.read(damage(container.write(File([stored(b"x")]))))


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n", b"hello", b"\x89BFX", b"\0" * 100])
def test_other_files_are_not_bfn(data: bytes) -> None:
    assert not container.is_bfn(data)
    with pytest.raises(BadMagic, match="not a .bfn"):
        decoding.read(data)


@pytest.mark.parametrize("length", range(8))
def test_a_part_of_the_magic_is_truncated(length: int) -> None:
    with pytest.raises(TruncatedFile):
        decoding.read(container.MAGIC[:length])


# Row 20: versions, flags, modes, kinds


@pytest.mark.parametrize("version", [0, 1, 3, 255])
def test_unknown_version(version: int) -> None:
    with pytest.raises(UnsupportedFeature, match=f"version {version} "):
        decoding.read(sealed(b"", version=version))


@pytest.mark.parametrize("bit", range(2, 8))
def test_every_reserved_flag(bit: int) -> None:
    with pytest.raises(UnsupportedFeature, match="flags"):
        decoding.read(sealed(b"", flags=1 << bit))


def test_the_plain_image_header_is_good() -> None:
    """The headers below differ from it by one field each."""
    image = decoding.read(sealed(image_header())).blocks[0].form
    assert isinstance(image, Image) and image.passes == [Pass(constant=b"abc")]


@pytest.mark.parametrize("lanes", [1, FEW_LANES])
def test_the_plain_text_header_is_good(lanes: int) -> None:
    """As is the image's."""
    block = decoding.read(sealed(text_header(lanes=lanes), b"abc")).blocks[0]
    assert (block.size, block.form) == (9, Text(b"hash", lanes, streams=[b"abc"]))


@pytest.mark.parametrize("steps, quiet", [(0, 0), (STEP_LIMIT, 300)])
def test_the_plain_header_of_blocks_is_good(steps: int, quiet: int) -> None:
    header = text_header(schedule=1, rest=bytes([steps]) + container.varint(quiet) + b"\1\3")
    text = Text(b"hash", 1, TextSchedule.BLOCKWISE, steps, quiet, [b"abc"])
    assert decoding.read(sealed(header, b"abc")).blocks[0].form == text


@pytest.mark.parametrize("schedule, fewest", [(0, 46), (1, 360)])
@pytest.mark.parametrize("length", [0, 1, 3])
def test_a_text_is_no_larger_than_its_stream_can_hold(schedule: int, fewest: int, length: int) -> None:
    """Row 27: a byte costs 46 or 360 / 2**16 bits at least; 64 bits a stream are taken off."""
    most = (8 * length + 64 << 16) // fewest
    steps = b"\0\0" if schedule else b""
    for size in (most, most + 1):
        data = sealed(text_header(size, schedule, rest=steps + b"\1" + bytes([length])), bytes(length))
        if size == most:
            assert decoding.read(data).blocks[0].size == size
        else:
            with pytest.raises(CorruptFile, match="size and streams"):
                decoding.read(data)


@pytest.mark.parametrize("count", [2, 3])
def test_a_text_has_a_stream_for_every_mebibyte_at_most(count: int) -> None:
    """Row 27: thousands of empty streams would each make room for more."""
    least = (count - 1) * STREAM_BYTES
    streams = bytes([count]) + b"\x64" * count
    for size in (least - 1, least):
        data = sealed(text_header(size, rest=streams), bytes(100 * count))
        if size == least:
            text = decoding.read(data).blocks[0].form
            assert isinstance(text, Text) and len(text.streams) == count
        else:
            with pytest.raises(CorruptFile, match="size and streams"):
                decoding.read(data)


@pytest.mark.parametrize(
    "header",
    [
        bytes([max(MODES) + 1]) + bytes(10),
        b"\xff" + bytes(10),
        image_header(kind=max(Layout) + 1),
        image_header(kind=max(Origin) + 1 << 4 | Layout.RGB),
        image_header(schedule=max(Schedule) + 1),
        image_header(schedule=(max(Space) + 1) << 4),
        image_header(rest=b"\0\3abc"),
        text_header(schedule=255),
    ],
    ids=["mode", "mode-255", "layout", "source", "schedule", "space", "pass", "text-schedule"],
)
def test_unknown_values(header: bytes) -> None:
    with pytest.raises(UnsupportedFeature, match="not supported"):
        decoding.read(sealed(header))


def test_the_plain_header_of_exact_colours_is_good() -> None:
    for depth, kind, signed, size in ((8, 4, 0, 4), (1, 4, 0, 4), (16, 0, 1, 8), (9, 2, 0, 24), (16, 0, 0, 8)):
        for frames in (1, 2):
            image = decoding.read(sealed(exact_header(kind, 2, depth, signed, size, frames), b"abc")).blocks[0].form
            assert isinstance(image, Image) and list(map(bytes, image.exact)) == [b"abc"]
            assert (image.depth, image.signed, image.frames) == (depth, signed, frames)


@pytest.mark.parametrize(
    "fields",
    [
        {"depth": 0},
        {"depth": 17, "kind": 0, "size": 8},
        {"depth": 9, "size": 8},
        {"signed": 1},
        {"depth": 8, "kind": 0, "signed": 1},
        {"schedule": 1 << 4 | 2, "kind": 2, "size": 12},
        {"size": 8},
        {"depth": 16, "kind": 0},
        {"frames": 0},
        {"frames": 3},
    ],
    ids=str,
)
def test_headers_of_exact_colours_that_contradict_themselves(fields: dict[str, int]) -> None:
    with pytest.raises(CorruptFile, match="contradict|no colour space"):
        decoding.read(sealed(exact_header(**fields), b"abc"))


@pytest.mark.parametrize("schedule", [0, 1])
def test_a_palette_has_exact_colours(schedule: int) -> None:
    with pytest.raises(CorruptFile, match="palette"):
        decoding.read(sealed(image_header(4, schedule, size=4, rest=b"\0\1a")))


# Row 22: header check, varints, lengths


@given(st.integers(0, 2**63 - 1))
def test_varint_round_trip(value: int) -> None:
    data = container.varint(value)
    assert len(data) == max(1, -(-value.bit_length() // 7))
    reader = Reader(data + b"\xff")
    assert reader.varint() == value
    assert reader.position == len(data)


@given(st.integers(0, 2**50))
def test_varints_must_be_minimal(value: int) -> None:
    data = bytearray(container.varint(value))
    data[-1] |= 0x80
    with pytest.raises(CorruptFile, match="minimal"):
        Reader(bytes(data) + b"\0").varint()


@pytest.mark.parametrize("data", [container.varint(2**63), b"\xff" * 9 + b"\1", b"\xff" * 1000])
def test_varints_must_be_below_2_to_63(data: bytes) -> None:
    with pytest.raises(CorruptFile, match="too large"):
        Reader(data).varint()


def test_header_crc() -> None:
    """Every flip of a bit between the magic and the CRC's end is an error, and so is a missing byte."""
    data = container.write(File([stored(b"payload")]))
    end = len(data) - len(b"payload")
    for position in range(8, end):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(BfnError):
                decoding.read(bytes(damaged))
    with pytest.raises(CorruptFile, match="checksum"):
        decoding.read(data[: end - 1] + bytes([data[end - 1] ^ 1]) + b"payload")


@pytest.mark.parametrize(
    "data",
    [
        container.MAGIC + bytes([container.VERSION, 0]) + container.varint(HUGE) + bytes(100),
        sealed(b"\0" + container.varint(HUGE) + bytes(8) + container.varint(HUGE)),
        sealed(b"\1" + container.varint(HUGE) + bytes(8) + b"\0"),
        sealed(image_header(width=HUGE, height=1, size=3 * HUGE)),
        sealed(image_header(width=1 << 20, height=1 << 20, size=3 * HUGE)),
        sealed(image_header(width=HUGE, height=HUGE, size=12)),
        sealed(image_header(rest=container.varint(HUGE) + b"\1abc")),
        sealed(image_header(schedule=16, rest=b"\0" + container.varint(HUGE) + b"\0\1abc")),
        sealed(image_header(schedule=16, rest=b"\0\0" + container.varint(HUGE) + b"\1abc")),
        sealed(image_header(rest=b"\0\0\0" + container.varint(HUGE) + b"\0\0")),
        sealed(text_header(size=HUGE), b"abc"),
        sealed(text_header(lanes=HUGE), b"abc"),
        sealed(text_header(rest=container.varint(HUGE) + b"\3"), b"abc"),
        sealed(text_header(rest=b"\1" + container.varint(HUGE)), b"abc"),
        sealed(text_header(size=TEXT_LIMIT + 1), b"abc"),
        sealed(text_header(schedule=1, rest=container.varint(HUGE) + b"\0\1\3"), b"abc"),
        sealed(text_header(schedule=1, rest=bytes([STEP_LIMIT + 1]) + b"\0\1\3"), b"abc"),
        sealed(container.varint(HUGE) + b"\0", flags=1),
        sealed(b"\1" + container.varint(HUGE), flags=1),
        sealed(b"\1\0" + b"\2" + container.varint(HUGE) + image_header(size=12 * HUGE)[1:], flags=1),
    ],
    ids=[
        "header",
        "stored",
        "lzma",
        "width",
        "pixels",
        "area",
        "metadata",
        "exceptions",
        "listed",
        "base",
        "text",
        "lanes",
        "streams",
        "stream",
        "long-text",
        "steps",
        "one-step",
        "blocks",
        "names",
        "items",
    ],
)
def test_huge_claims_cost_nothing(data: bytes) -> None:
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(BfnError):
            decoding.read(data, max_output=1 << 34, max_pixels=1 << 28)
        assert time.perf_counter() - start < 0.1
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_names_cannot_be_a_bomb() -> None:
    """64 MiB of separators fit 64 kB; they are counted before they become 64 million strings."""
    packed = zlib.compress(bytes(container.HEADER_LIMIT - 1), 9)
    header = b"\1" + container.varint(len(packed)) + packed + b"\0\1\0" + digest(b"") + b"\0"
    tracemalloc.start()
    try:
        with pytest.raises(CorruptFile, match="names"):
            decoding.read(sealed(header, flags=1))
        assert tracemalloc.get_traced_memory()[1] < 1 << 28
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=200), st.integers(0, 1), st.binary(max_size=20))
def test_any_header_gives_a_file_or_an_error(header: bytes, flags: int, payload: bytes) -> None:
    try:
        decoding.read(sealed(header, payload, flags=flags))
    except BfnError:
        pass


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        (b"\0\3" + bytes(8) + b"\2", b"ab"),
        (image_header(size=11), b""),
        (image_header(width=0, size=0), b""),
        (image_header() + b"\0", b""),
        (image_header()[:-1], b""),
        (b"", b""),
        (text_header(size=0), b"abc"),
        (text_header(lanes=0), b"abc"),
        (text_header(lanes=FEW_LANES + 1), b"abc"),
        (text_header(schedule=1, lanes=LANE_LIMIT + 1, rest=b"\0\0\1\3"), b"abc"),
        (text_header(), b"ab"),
        (text_header(), b"abcd"),
        (text_header(rest=b"\2\3"), b"abc"),
        (text_header(rest=b"\0\3"), b"abc"),
    ],
    ids=[
        "stored-length",
        "image-size",
        "no-pixels",
        "header-too-long",
        "header-too-short",
        "empty",
        "text-size",
        "no-lanes",
        "lanes",
        "lanes-of-blocks",
        "short-stream",
        "long-stream",
        "streams",
        "no-streams",
    ],
)
def test_contradictions(header: bytes, payload: bytes) -> None:
    with pytest.raises((CorruptFile, TruncatedFile)):
        decoding.read(sealed(header, payload))


# Rows 24 and 25: the end


def test_prefixes_and_trailing_bytes() -> None:
    data = container.write(File([stored(b"some payload")]))
    for length in range(len(data)):
        with pytest.raises(TruncatedFile):
            decoding.read(data[:length])
    for more in (b"\0", data):
        with pytest.raises(CorruptFile, match="follow the end"):
            decoding.read(data + more)


# Row 27: limits


def test_limits() -> None:
    file = File([stored(bytes(60)), stored(bytes(40))], ["a", "b"])
    assert decoding.read(container.write(file), max_output=100) == file
    with pytest.raises(LimitExceeded, match="--max-output"):
        decoding.read(container.write(file), max_output=99)
    image = sealed(image_header(width=10, height=10, size=300))
    decoding.read(image, max_pixels=100)
    with pytest.raises(LimitExceeded, match="--max-pixels"):
        decoding.read(image, max_pixels=99)


def test_item_limit() -> None:
    items = container.ITEM_LIMIT + 1
    header = b"\1\0" + b"\2" + container.varint(items) + image_header(size=12 * items)[1:]
    with pytest.raises(LimitExceeded, match="items"):
        decoding.read(sealed(header, flags=1))


# Row 28: names, and nothing else about the source


def test_names_are_kept() -> None:
    names = ["plain.png", "ünï.png", "\udcff\udc80 no utf-8", "new\nline", "a/b", "", "same", "same"]
    file = File([stored(bytes([number])) for number in range(len(names))], names)
    assert decoding.read(container.write(file)).names == names


def test_single_files_hold_no_name() -> None:
    assert decoding.read(container.write(File([stored(b"x")]))).names is None


@pytest.mark.parametrize("names", [[], ["a\0b"]])
def test_impossible_archives_are_not_written(names: list[str]) -> None:
    with pytest.raises(UnsupportedFeature):
        container.write(File([stored(b"") for _ in names], names))


@pytest.mark.parametrize("form", [Stored, Lzma, Text, Single])
def test_only_images_share_a_block(form: type[Form]) -> None:
    packed = zlib.compress(b"a\0b")
    start = b"\1" + container.varint(len(packed)) + packed + bytes([form.mode]) + b"\2"
    header = text_header()[1:] if form is Text else b"\3" + bytes(8) + b"\3"
    with pytest.raises(CorruptFile, match="more than one item"):
        decoding.read(sealed(start + header, b"abc", flags=1))


@pytest.mark.parametrize("packed", [b"", b"no zlib", zlib.compress(b"a")[:-1], zlib.compress(b"a") + b"\0"])
def test_damaged_names(packed: bytes) -> None:
    header = b"\1" + container.varint(len(packed)) + packed + b"\0\1\0" + digest(b"") + b"\0"
    with pytest.raises(CorruptFile, match="names"):
        decoding.read(sealed(header, flags=1))


def test_names_must_match_the_items() -> None:
    packed = zlib.compress(b"a\0b")
    header = b"\1" + container.varint(len(packed)) + packed + b"\0\1\0" + digest(b"") + b"\0"
    with pytest.raises(CorruptFile, match="names"):
        decoding.read(sealed(header, flags=1))


# Row 29: bytes


def test_layout_in_bytes() -> None:
    """A stored file, byte by byte as docs/format.md has it."""
    digest = bytes.fromhex("d8bb14d833d59559")
    expected = b"\x89BFN\r\n\x1a\n" + b"\2" + b"\0" + b"\x0b" + b"\0" + b"\3" + digest + b"\3"
    assert container.write(File([stored(b"abc")])) == expected + zlib.crc32(expected).to_bytes(4, "little") + b"abc"


def test_layout_of_a_text_in_bytes() -> None:
    """Mode, size, digest, schedule, model, lanes, streams and their lengths; then the streams."""
    block = Block(1, 300, b"8 bytes.", Text(b"hash", 2, streams=[b"stream"]))
    header = b"\3" + b"\xac\2" + b"8 bytes." + b"\0" + b"hash" + b"\2" + b"\1\6"
    assert container.write(File([block])) == sealed(header, b"stream")
    assert decoding.read(sealed(header, b"stream")) == File([block])


def test_layout_of_blocks_of_bytes_in_bytes() -> None:
    """After the lanes, steps and quiet bytes. Several streams follow each other."""
    streams: list[Data] = [b"first " * 300, b"", b"last"]
    text = Text(b"hash", 2, TextSchedule.BLOCKWISE, 3, 300, streams)
    block = Block(1, 2 << 20, b"8 bytes.", text)
    header = b"\3" + b"\x80\x80\x80\1" + b"8 bytes." + b"\1" + b"hash" + b"\2" + b"\3\xac\2" + b"\3" + b"\x88\x0e\0\4"
    assert container.write(File([block])) == sealed(header, b"".join(streams))
    assert decoding.read(sealed(header, b"".join(streams))) == File([block])


def test_layout_of_data_items_in_bytes() -> None:
    """Model, sender and kind of model, steps, batch, bytes before, frame, seed, stream; then frame and stream."""
    made = Single(b"hash", True, Sender.CATEGORICAL, 300, 2, 3, b"frame", 5, b"stream")
    block = Block(1, 300, b"8 bytes.", made)
    header = b"\4" + b"\xac\2" + b"8 bytes." + b"hash" + b"\x12" + b"\xac\2" + b"\2\3\5\5\6"
    assert container.write(File([block])) == sealed(header, b"framestream")
    assert decoding.read(sealed(header, b"framestream")) == File([block])


# Write and read

_bytes = st.binary(max_size=40)
_numbers = st.integers(0, 2**20)
_name = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


@st.composite
def exact_images(draw: st.DrawFn) -> Image:
    """Any image header of exact colours."""
    layout = draw(st.sampled_from(Layout))
    sides = draw(st.integers(1, 2**10)), draw(st.integers(1, 2**11))
    image = Image(draw(st.sampled_from(Origin)), layout, Schedule.EXACT, *sides, None, draw(_bytes))
    image.depth = draw(st.integers(1, 8 if layout is Layout.P else 16))
    image.signed = image.depth == 16 and draw(st.booleans())
    image.frames = draw(st.sampled_from([count for count in range(1, 5) if image.height % count == 0]))
    image.exact = [draw(_bytes) for _ in image.bands(1)]
    image.order = draw(_bytes)[: 1 << image.depth] if layout is Layout.P else b""
    return image


@st.composite
def coefficient_images(draw: st.DrawFn) -> Image:
    """Any image header of coefficients."""
    layout, model = draw(st.sampled_from([Layout.L, Layout.RGB])), draw(st.binary(min_size=4, max_size=4))
    sides = draw(st.integers(1, 2**10)), draw(st.integers(1, 2**11))
    image = Image(draw(st.sampled_from(Origin)), layout, Schedule.COEFFICIENTS, *sides, model, draw(_bytes))
    colours = draw(st.integers(0, 7)) if layout is Layout.RGB else 0
    steps = st.binary(min_size=64, max_size=64).map(lambda table: table.replace(b"\0", b"\1"))
    tables = draw(st.lists(st.integers(1, 100) | steps, min_size=3, max_size=3))[: 3 if colours else 1]
    image.inside = Inside(colours, tables, draw(st.integers(0, image.width * image.height // 8)), draw(_bytes))
    units = image.inside.units(image.height)
    first = draw(st.integers(1, units))
    image.inside.rows = [first, units - first] if first < units else [units]
    image.inside.streams += [draw(_bytes) for _ in image.inside.rows]
    return image


@st.composite
def images(draw: st.DrawFn) -> Image:
    """Any image header that `read` takes."""
    schedule = draw(st.sampled_from(Schedule))
    if schedule is Schedule.EXACT:
        return draw(exact_images())
    if schedule is Schedule.COEFFICIENTS:
        return draw(coefficient_images())
    layout = draw(st.sampled_from([one for one in Layout if one is not Layout.P]))
    image = Image(
        draw(st.sampled_from(Origin)),
        layout,
        schedule,
        draw(st.integers(1, 2**10)),
        draw(st.integers(1, 2**11)),  # no more than one band
        draw(st.binary(min_size=4, max_size=4)),
        draw(_bytes),
    )
    if layout.channels >= 3 and draw(st.booleans()):
        image.space = draw(st.sampled_from([*Space][1:]))
        if image.schedule is Schedule.WAVEFRONT and min(image.width, image.height) > 1:
            image.sampling = draw(st.sampled_from(Sampling))
        image.exceptions, image.listed = draw(st.integers(0, image.width * image.height // 32)), draw(_bytes)
    for channels in pass_channels(layout.channels, image.sampling):
        if draw(st.booleans()):
            image.passes.append(Pass(constant=draw(st.binary(min_size=channels, max_size=channels))))
        else:
            pace = draw(st.integers(0, 3))
            flags = [draw(st.booleans()) for _ in range(3)]
            image.passes.append(Pass(None, draw(_numbers), pace, *flags, draw(_bytes), draw(_bytes)))
    return image


@st.composite
def texts(draw: st.DrawFn) -> Block:
    """Any text block that `read` takes."""
    count = draw(st.integers(1, 3))
    streams = draw(st.lists(st.binary(min_size=720 if count > 1 else 0, max_size=760), min_size=count, max_size=count))
    text = Text(draw(st.binary(min_size=4, max_size=4)), draw(st.integers(1, FEW_LANES)), streams=streams)
    if draw(st.booleans()):
        text.schedule, text.lanes = TextSchedule.BLOCKWISE, draw(st.integers(1, LANE_LIMIT))
        text.steps, text.quiet = draw(st.integers(0, STEP_LIMIT)), draw(_numbers)
    fewest = 360 if text.schedule is TextSchedule.BLOCKWISE else 46
    most = (8 * sum(map(len, streams)) + 64 * count << 16) // fewest
    size = draw(st.integers(max((count - 1) * STREAM_BYTES, 1), most))
    return Block(1, size, draw(st.binary(min_size=8, max_size=8)), text)


@st.composite
def singles(draw: st.DrawFn) -> Block:
    """Any block of data items that `read` takes."""
    size, steps = draw(st.integers(1, single_blocks.SIZE_LIMIT)), draw(st.integers(1, single_blocks.STEP_LIMIT))
    size = min(size, single_blocks.WORK_LIMIT // steps)
    made = Single(
        draw(st.binary(min_size=4, max_size=4)),
        draw(st.booleans()),
        draw(st.sampled_from(Sender)),
        steps,
        draw(st.integers(1, size)),
        draw(st.integers(0, size)),
        draw(_bytes),
        draw(st.integers(0, single_blocks.SEED_LIMIT)),
        draw(_bytes),
    )
    return Block(1, size, draw(st.binary(min_size=8, max_size=8)), made)


@st.composite
def files(draw: st.DrawFn) -> File:
    """Any file, archive or not."""
    archive = draw(st.booleans())
    blocks = []
    for _ in range(draw(st.integers(1, 4)) if archive else 1):
        form = draw(st.sampled_from(list(MODES.values())))
        own = draw(st.binary(min_size=8, max_size=8))
        if form is Image:
            image = draw(images())
            items = draw(st.integers(1, 20)) if archive and image.inside is None else 1
            size = items * image.width * image.height * image.layout.channels * (1 if image.depth <= 8 else 2)
            blocks.append(Block(items, size, own, image))
        elif form is Text:
            blocks.append(draw(texts()))
        elif form is Single:
            blocks.append(draw(singles()))
        else:
            data = draw(_bytes)
            size = len(data) if form is Stored else draw(_numbers)
            blocks.append(Block(1, size, own, Stored(data) if form is Stored else Lzma(data)))
    items = sum(block.items for block in blocks)
    return File(blocks, draw(st.lists(_name, min_size=items, max_size=items)) if archive else None)


@given(files())
def test_write_and_read(file: File) -> None:
    data = container.write(file)
    assert container.is_bfn(data)
    assert decoding.read(data) == file
    assert container.write(decoding.read(data)) == data
