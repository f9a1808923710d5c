"""GIF files and pictures, byte for byte."""

import io
import struct
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from reference import decoder
from tools.image_files import LIMIT, back

import bfncodec
import bfncodec.pillow
from bfncodec import container, encoding, media
from bfncodec.errors import BfnError, CorruptFile
from bfncodec.media import lzw
from bfncodec.media.gif import joined
from bfncodec.media.lzw import Freedom
from bfncodec.picture import Layout, Origin, Picture
from bfncodec.presets import Choices

WIDTH, HEIGHT = 13, 11
Rectangle = tuple[int, int, int, int]


def blocks(data: bytes, size: int = 255) -> bytes:
    """Sub-blocks."""
    parts = (data[at : at + size] for at in range(0, len(data), size))
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def colours(bits: int) -> bytes:
    return bytes(7 * number % 256 for number in range(3 << bits))


def frame(
    place: Rectangle = (0, 0, WIDTH, HEIGHT),
    bits: int = 3,
    *,
    seed: int = 0,
    interlaced: bool = False,
    own: bool = False,
    size: int = 255,
    freedom: Freedom | None = None,
    transparent: int | None = None,
    stream: bytes | None = None,
) -> bytes:
    """A frame of a GIF with an extension before it."""
    flags = 0x40 * interlaced | (0x80 | bits - 1 if own else 0)
    control = b"!\xf9\4" + bytes([transparent is not None]) + b"\x0a\0" + bytes([transparent or 0]) + b"\0"
    if stream is None:
        values = np.random.default_rng(seed).integers(0, 1 << bits, place[2] * place[3]).astype(np.uint8)
        stream = lzw.encode(values, lzw.gif(max(bits, 2)), freedom or Freedom())
    start = b"," + struct.pack("<HHHHB", *place, flags) + (colours(bits) if own else b"")
    return control + start + bytes([max(bits, 2)]) + blocks(stream, size)


def gif(
    *frames: bytes, bits: int = 3, size: tuple[int, int] = (WIDTH, HEIGHT), palette: bool = True, trailer: bytes = b";"
) -> bytes:
    """A GIF file, made by hand."""
    screen = struct.pack("<HHBBB", *size, (0x80 | bits - 1) if palette else 0, 1, 0)
    return b"GIF89a" + screen + (colours(bits) if palette else b"") + b"".join(frames) + trailer


PARTIAL = gif(frame(), frame((2, 3, 5, 4), seed=1), frame((12, 10, 1, 1), 1, seed=2, own=True))
USUAL = lzw.encode(np.tile(np.arange(8, dtype=np.uint8), 99)[: WIDTH * HEIGHT], lzw.gif(3), Freedom())
ENDED = USUAL[:-1] + bytes([USUAL[-1] ^ 0x80]) + b"more"
FILES = {
    "one": gif(frame()),
    "three": PARTIAL,
    "interlaced": gif(frame(interlaced=True), frame((1, 2, 3, 7), interlaced=True)),
    "local palettes": gif(frame(own=True), frame(bits=5, own=True, seed=3), palette=False),
    "transparent": gif(frame(transparent=5)),
    "comment": gif(b"!\xfe" + blocks(b"a comment " * 40), frame(), b"!\xfe" + blocks(b"another")),
    "loops": gif(b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0", frame(), frame(seed=1)),
    "trailing": gif(frame(), trailer=b";and more" + bytes(100)),
    "no trailer": gif(frame(), trailer=b""),
    "garbage between": gif(frame(), b"\1\2\3", frame()),
    "blocks of 7": gif(frame(size=7), frame(size=7, seed=1)),
    "blocks of 7 and 20": gif(frame(size=7), frame(size=20, seed=1), frame(size=254, seed=2)),
    "clears": gif(frame(freedom=Freedom([3, 0, 9])), frame(freedom=Freedom([5], 0, False))),
    "another end": gif(frame(stream=ENDED), frame()),
    "half a frame at the end": PARTIAL[:-6],
    "a frame that begins at the end": PARTIAL[:-1] + b",\0\0",
    "a smaller screen at the left": gif(frame((0, 0, 5, HEIGHT))),
}
OTHER = {
    "magic alone": b"GIF89a",
    "no frames": gif(),
    "no palette": gif(frame(), palette=False),
    "screen of 0": gif(frame(), size=(0, HEIGHT)),
    "beyond the screen": gif(frame((1, 0, WIDTH, HEIGHT))),
    "below the screen": gif(frame(), frame((0, HEIGHT, 1, 1))),
    "frame of 0": gif(frame((0, 0, 0, HEIGHT), stream=b"\x44\1")),
    "cut": gif(frame())[:-9],
    "not greedy": gif(frame((0, 0, 4, 1), 2, stream=b"\x4c\x12\x51"), size=(4, 1)),
    "too few values": gif(frame(stream=lzw.encode(np.zeros(9, np.uint8), lzw.gif(3), Freedom()))),
    "9 bits": gif(frame()).replace(
        struct.pack("<HHHHB", 0, 0, WIDTH, HEIGHT, 0) + b"\3", bytes(4) + b"\x0d\0\x0b\0\0\x09"
    ),
    "hardly filled": gif(frame((0, 0, 1, 1)), size=(3, 3)),
}


def by_pillow(name: str, photo: np.ndarray) -> bytes:
    """Files as Pillow writes them."""
    image = Image.fromarray(photo)
    buffer = io.BytesIO()
    if name == "animated":
        second = photo.copy()
        second[5:9, 3:11] = 255
        frames = [Image.fromarray(one).quantize(64) for one in (photo, second, second[::-1].copy())]
        frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=90, loop=0)
    elif name == "transparent":
        image.quantize(16).save(buffer, "GIF", transparency=3, comment=b"with a comment")
    elif name == "grey":
        image.convert("L").save(buffer, "GIF")
    elif name == "bits":
        image.convert("1").save(buffer, "GIF")
    elif name == "interlaced":
        image.quantize(32).save(buffer, "GIF", interlace=1)
    else:
        image.quantize(int(name)).save(buffer, "GIF", interlace=0)
    return buffer.getvalue()


PILLOW = ["animated", "transparent", "grey", "bits", "interlaced", "2", "3", "17", "129", "256"]


@pytest.mark.parametrize("name", FILES)
def test_gif_comes_back_byte_for_byte(name: str) -> None:
    file = FILES[name]
    assert back(file) == file
    encoded = bfncodec.encode(file, media="image")
    assert bfncodec.decode(encoded) == file
    (block,) = bfncodec.info(encoded)["blocks"]
    picture = media.parse(file, LIMIT)
    assert picture is not None and block["source"] == "gif" and block["lossless"] == "bytes"
    assert (block["frames"], block["width"], block["height"]) == (picture.frames, WIDTH, HEIGHT)
    how = {"source": 7, "pixels": picture.pixels, "metadata": picture.metadata, "frames": picture.frames}
    assert decoder.Item(**how).file() == file


@pytest.mark.parametrize("name", PILLOW)
def test_gif_as_pillow_writes_it(name: str, photo: np.ndarray) -> None:
    file = by_pillow(name, photo)
    assert back(file) == file
    assert bfncodec.decode(bfncodec.encode(file, media="image")) == file
    picture = media.parse(file, LIMIT)
    assert picture is not None
    with Image.open(io.BytesIO(file)) as opened:
        assert picture.frames == opened.n_frames
        first = picture.first().pixels[..., 0]
        assert np.array_equal(first, np.asarray(opened)) or opened.mode != "P"


def test_frames_fill_their_rectangles_only() -> None:
    picture = media.parse(PARTIAL, LIMIT)
    assert picture is not None and picture.kind == (Origin.GIF, Layout.P, 8, False, 3)
    first, second, third = picture.pixels.reshape(3, HEIGHT, WIDTH)
    assert np.array_equal(np.argwhere(first != second).min(0) // (3, 2), [1, 1])
    assert not (first != second)[7:].any() and not (first != second)[:, 7:].any()
    assert not (second != third)[:10].any()
    alone = media.parse(FILES["a smaller screen at the left"], LIMIT)
    assert alone is not None and not alone.pixels[:, 5:].any() and alone.pixels.any()


@pytest.mark.parametrize("name", OTHER)
def test_other_gif_is_coded_as_bytes(name: str) -> None:
    file = OTHER[name]
    assert media.parse(file, LIMIT) is None
    assert bfncodec.decode(bfncodec.encode(file)) == file


def test_too_many_pixels_are_coded_as_bytes() -> None:
    assert media.parse(PARTIAL, 3 * WIDTH * HEIGHT) is not None
    assert media.parse(PARTIAL, 3 * WIDTH * HEIGHT - 1) is None
    huge = gif(frame((0, 0, 65535, 65535), stream=b"\x44\1"), size=(65535, 65535))
    start = time.perf_counter()
    assert media.parse(huge, None) is None
    assert bfncodec.decode(bfncodec.encode(huge)) == huge
    assert time.perf_counter() - start < 1


@settings(max_examples=300)
@given(st.sampled_from(sorted(FILES)), st.integers(0, 2000), st.integers(0, 255))
def test_any_damage(name: str, position: int, value: int) -> None:
    """Whatever is still read as pixels comes back byte for byte."""
    file = bytearray(FILES[name])
    position %= len(file)
    file[position] = value
    for given_file in (bytes(file), bytes(file[: position + 1])):
        picture = media.parse(given_file, LIMIT)
        assert picture is None or media.build(picture) == given_file


@pytest.mark.parametrize("step", [7, 61])
def test_damaged_files_come_back(step: int, photo: np.ndarray) -> None:
    file = by_pillow("animated", photo[:20, :24])
    for at in range(3, len(file), 10 * step):
        damaged = file[:at] + bytes([file[at] ^ 1 << at % 8]) + file[at + 1 :]
        assert bfncodec.decode(bfncodec.encode(damaged)) == damaged
        assert bfncodec.decode(bfncodec.encode(file[:at])) == file[:at]


@settings(max_examples=300)
@given(st.integers(0, 400), st.integers(0, 255), st.sampled_from(sorted(FILES)), st.integers(1, 4))
def test_any_metadata(position: int, value: int, name: str, frames: int) -> None:
    """A file of some kind, or an error."""
    picture = media.parse(FILES[name], LIMIT)
    assert picture is not None
    metadata = bytearray(picture.metadata)
    metadata[position % len(metadata)] = value
    pixels = np.concatenate([picture.pixels] * 12)[: frames * HEIGHT]
    changed = Picture(Origin.GIF, Layout.P, pixels, bytes(metadata), frames=frames)
    for look in (media.build, lambda one: media.palette(one.origin, one.metadata)):
        try:
            look(changed)
        except BfnError:
            pass


def test_damaged_metadata_is_an_error() -> None:
    for metadata in (b"", b"\0", joined(b"PK", b""), joined(gif(), b""), joined(gif(frame()[:18]), b"\0\xff\1")):
        with pytest.raises(CorruptFile):
            media.build(Picture(Origin.GIF, Layout.P, np.zeros((1, 1, 1), np.uint8), metadata))


def test_frames_divide_the_height() -> None:
    encoded = encoding.encode_bytes(PARTIAL, Choices(media="image"))
    for frames in (0, 2, 34, 1 << 60):
        encoded.blocks[0].form.frames = frames  # type: ignore[attr-defined]
        with pytest.raises(CorruptFile, match="frames"):
            bfncodec.decode(container.write(encoded))
    encoded.blocks[0].form.frames = 33  # type: ignore[attr-defined]
    with pytest.raises(CorruptFile):
        bfncodec.decode(container.write(encoded))


def test_archives_keep_frames_apart() -> None:
    """Animations of one size but other frames share no block."""
    items = [("a", gif(frame((0, 0, 4, 6)), size=(4, 6))), ("b", gif(*[frame((0, 0, 4, 3))] * 2, size=(4, 3)))]
    items += [("c", gif(frame((0, 0, 4, 6), seed=5), size=(4, 6)))]
    file = encoding.encode_archive(items, Choices(media="image"))
    assert [block.items for block in file.blocks] == [2, 1]
    assert bfncodec.decode_items(container.write(file)) == dict(items)


def test_pillow_opens_the_first_frame(photo: np.ndarray) -> None:
    for name in ("animated", "transparent", "17"):
        file = by_pillow(name, photo)
        with (
            Image.open(io.BytesIO(bfncodec.encode(file, media="image"))) as ours,
            Image.open(io.BytesIO(file)) as theirs,
        ):
            assert (ours.format, ours.size, ours.mode) == ("BFN", theirs.size, theirs.mode)
            assert ours.info.get("transparency") == theirs.info.get("transparency")
            assert np.array_equal(np.asarray(ours.convert("RGBA")), np.asarray(theirs.convert("RGBA")))
