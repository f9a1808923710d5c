"""TIFF files and pictures, byte for byte."""

import io
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from reference import decoder
from tools.image_files import LIMIT, back

import bfncodec
from bfncodec import media
from bfncodec.errors import BfnError, CorruptFile, LimitExceeded
from bfncodec.media import lzw
from bfncodec.media import tiff as tiff_medium
from bfncodec.picture import Layout, Origin, Picture

WIDTH, HEIGHT = 5, 4


def tiff(
    channels: int = 1,
    dtype: str = "u2",
    *,
    order: str = "<",
    strips: int = 1,
    last: bool = False,
    changed: dict[int, int | list[int] | None] | None = None,
    trailer: bytes = b"",
    gap: int = 0,
) -> bytes:
    """An uncompressed TIFF of 4 rows; its tags come first or last; `changed` replaces values, None drops a tag."""
    pixels = np.arange(WIDTH * HEIGHT * channels) * 977
    body = pixels.astype(np.dtype(dtype).newbyteorder(order)).tobytes()
    part = len(body) // strips
    start = 8 if last else 600
    tags: dict[int, int | list[int] | None] = {
        256: WIDTH,
        257: HEIGHT,
        258: [8 * np.dtype(dtype).itemsize] * channels,
        259: 1,
        262: 1 if channels < 3 else 2,
        273: [start + number * (part + gap) for number in range(strips)],
        277: channels,
        278: HEIGHT // strips,
        279: [part] * strips,
        339: [2 if dtype[0] == "i" else 1] * channels,
    }
    tags |= changed or {}
    known = {tag: value if isinstance(value, list) else [value] for tag, value in tags.items() if value is not None}
    place = start + strips * (part + gap) if last else 8
    beyond = place + 2 + 12 * len(known) + 4
    entries, values = struct.pack(order + "H", len(known)), b""
    for tag, value in sorted(known.items()):
        kind = "I" if tag in (273, 279) else "H"
        content = struct.pack(f"{order}{len(value)}{kind}", *value)
        if len(content) > 4:
            where = struct.pack(order + "I", beyond + len(values))
            values += content
        else:
            where = content.ljust(4, b"\0")
        entries += struct.pack(order + "HHI", tag, 4 if kind == "I" else 3, len(value)) + where
    directory = entries + bytes(4) + values
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", place)
    body = b"".join(body[number * part : (number + 1) * part] + bytes(gap) for number in range(strips))
    return (head + body + directory if last else (head + directory).ljust(start, b"\0") + body) + trailer


OTHER = {
    "compression": tiff(changed={259: 5}),
    "white is zero": tiff(changed={262: 0}),
    "palette": tiff(1, "u1", changed={262: 3}),
    "colours of one channel": tiff(changed={262: 2}),
    "two photometrics": tiff(changed={262: [1, 1]}),
    "no photometric": tiff(changed={262: None}),
    "floats": tiff(changed={339: 3}),
    "signed bytes": tiff(1, "u1", changed={339: 2}),
    "mixed formats": tiff(3, changed={339: [1, 2, 1]}),
    "12 bits": tiff(changed={258: 12}),
    "mixed bits": tiff(3, changed={258: [16, 8, 16]}),
    "planes": tiff(3, changed={284: 2}),
    "bits from the right": tiff(changed={266: 2}),
    "five channels": tiff(4, changed={277: 5}),
    "no width": tiff(changed={256: None}),
    "width 0": tiff(changed={256: 0}),
    "no offsets": tiff(changed={273: None}),
    "tiles": tiff(changed={273: None, 279: None, 322: 16, 323: 16, 324: 600, 325: 40}),
    "counts": tiff(changed={279: 39}),
    "fewer counts": tiff(strips=2, changed={279: [40]}),
    "strips apart": tiff(strips=2, gap=2),
    "strips in another order": tiff(strips=2, changed={273: [620, 600]}),
    "offset in the header": tiff(changed={273: 4}),
    "offset beyond the end": tiff(changed={273: 601}),
    "cut": tiff()[:-1],
    "cut tags": tiff(last=True)[:-9],
    "magic alone": b"II*\0",
    "no tags": b"II*\0\x08\0\0\0\0\0\0\0",
    "tags beyond the end": b"MM\0*\xff\xff\xff\xff" + bytes(40),
    "wrong byte order": b"MM\0*" + tiff()[4:],
    "BigTIFF": b"II+\0" + tiff()[4:],
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("channels", "dtype"), [(c, d) for c in (1, 2, 3, 4) for d in ("u1", "u2", "i2")])
@pytest.mark.parametrize("last", [False, True])
def test_tiff_comes_back_byte_for_byte(order: str, channels: int, dtype: str, last: bool) -> None:
    for strips in (1, 2, 4):
        file = tiff(channels, dtype, order=order, strips=strips, last=last, trailer=b"another page")
        picture = media.parse(file, LIMIT)
        assert picture is not None and picture.origin is Origin.TIFF and picture.layout is Layout(channels - 1)
        wanted = (np.arange(WIDTH * HEIGHT * channels) * 977).astype(dtype)
        assert np.array_equal(picture.values().ravel(), wanted)
        assert back(file) == file
    assert bfncodec.decode(bfncodec.encode(file, model="tiny", media="image")) == file


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_tiff_as_pillow_writes_it(mode: str, photo: np.ndarray) -> None:
    if mode == "I;16":
        image = Image.fromarray(photo[..., 0].astype(np.uint16) << 6)
    else:
        image = Image.fromarray(photo).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "TIFF", dpi=(300, 300), software="a program")
    picture = media.parse(buffer.getvalue(), LIMIT)
    assert picture is not None and np.array_equal(picture.pixels.squeeze(), np.asarray(image))
    assert back(buffer.getvalue()) == buffer.getvalue()
    image.save(buffer, "TIFF", compression="tiff_adobe_deflate")
    assert media.parse(buffer.getvalue(), LIMIT) is None


@pytest.mark.parametrize("name", OTHER)
def test_other_tiff_is_coded_as_bytes(name: str) -> None:
    assert media.parse(OTHER[name], LIMIT) is None
    assert bfncodec.decode(bfncodec.encode(OTHER[name])) == OTHER[name]


def lzw_tiff(
    channels: int = 1,
    dtype: str = "u2",
    *,
    order: str = "<",
    rows: int = HEIGHT,
    predictor: int = 1,
    last: bool = False,
    period: int = 0,
    between: bytes = b"",
    changed: dict[int, int | list[int] | None] | None = None,
    kinds: str = "I",
) -> bytes:
    """A TIFF of 4 rows in LZW strips; `between` follows each, `kinds` is the type of offsets and sizes."""
    values = (np.arange(WIDTH * HEIGHT * channels) * 977).reshape(HEIGHT, WIDTH, channels).astype(dtype)
    if predictor == 2:
        values[:, 1:] -= values[:, :-1].copy()
    stored = values.astype(np.dtype(dtype).newbyteorder(order))
    strips = [
        lzw.encode(np.frombuffer(stored[first : first + rows].tobytes(), np.uint8), lzw.TIFF, lzw.Freedom(), period)
        for first in range(0, HEIGHT, rows)
    ]
    start = 8 if last else 600
    offsets = [start + sum(len(one) + len(between) for one in strips[:number]) for number in range(len(strips))]
    tags: dict[int, int | list[int] | None] = {
        256: WIDTH,
        257: HEIGHT,
        258: [8 * np.dtype(dtype).itemsize] * channels,
        259: 5,
        262: 1 if channels < 3 else 2,
        273: offsets,
        277: channels,
        278: rows,
        279: [len(one) for one in strips],
        317: predictor,
        339: [2 if dtype[0] == "i" else 1] * channels,
    }
    known = {tag: value for tag, value in (tags | (changed or {})).items() if value is not None}
    body = b"".join(one + between for one in strips)
    place = start + len(body) if last else 8
    beyond = place + 2 + 12 * len(known) + 4
    entries, extra = struct.pack(order + "H", len(known)), b""
    for tag, value in sorted(known.items()):
        kind, numbers = kinds if tag in (273, 279) else "H", value if isinstance(value, list) else [value]
        content = struct.pack(f"{order}{len(numbers)}{kind}", *numbers)
        where = content.ljust(4, b"\0")
        if len(content) > 4:
            where, extra = struct.pack(order + "I", beyond + len(extra)), extra + content
        entries += struct.pack(order + "HHI", tag, 4 if kind == "I" else 3, len(numbers)) + where
    directory = entries + bytes(4) + extra
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", place)
    return head + body + directory if last else (head + directory).ljust(start, b"\0") + body


OTHER_LZW = {
    "predictor 3": lzw_tiff(changed={317: 3}),
    "two predictors": lzw_tiff(changed={317: [1, 1]}),
    "no rows": lzw_tiff(changed={278: 0}),
    "too many rows": lzw_tiff(rows=2, changed={278: 4}),
    "too few rows": lzw_tiff(changed={278: 3}),
    "counts too large": lzw_tiff(rows=2, changed={279: [1 << 20, 60]}, kinds="I"),
    "no count": lzw_tiff(changed={279: 0}),
    "in another order": lzw_tiff(rows=2, changed={273: [650, 600]}),
    "offset in the header": lzw_tiff(changed={273: 4}),
    "wider than its values": lzw_tiff(changed={256: 6}),
    "cut": lzw_tiff()[:-1],
    "deflated": lzw_tiff(changed={259: 8}),
    "planes": lzw_tiff(3, changed={284: 2}),
    "palette": lzw_tiff(1, "u1", changed={262: 3}),
    "tiles": lzw_tiff(changed={273: None, 279: None, 322: 16, 323: 16, 324: 600, 325: 40}),
}


def as_others_do(file: bytes) -> bytes:
    """The file as the second decoder makes it."""
    picture = media.parse(file, LIMIT)
    assert picture is not None
    how = {"source": 6, "pixels": picture.pixels, "metadata": picture.metadata, "signed": picture.signed}
    return decoder.Item(**how).file()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("channels", "dtype"), [(c, d) for c in (1, 2, 3, 4) for d in ("u1", "u2", "i2")])
@pytest.mark.parametrize("predictor", [1, 2])
def test_lzw_tiff_comes_back_byte_for_byte(order: str, channels: int, dtype: str, predictor: int) -> None:
    wanted = (np.arange(WIDTH * HEIGHT * channels) * 977).astype(dtype)
    for rows in (4, 3, 1):
        for last in (False, True):
            how = {"rows": rows, "last": last, "predictor": predictor, "order": order}
            file = lzw_tiff(channels, dtype, **how, period=20 * last)
            picture = media.parse(file, LIMIT)
            assert picture is not None and np.array_equal(picture.values().ravel(), wanted)
            assert back(file) == as_others_do(file) == file
    assert bfncodec.decode(bfncodec.encode(file, model="tiny", media="image")) == file


@pytest.mark.parametrize(
    "file",
    [
        lzw_tiff(rows=1, between=b"\0"),
        lzw_tiff(rows=2, between=b"something between"),
        lzw_tiff(changed={278: None}),
        lzw_tiff(rows=1, kinds="H"),
        lzw_tiff(rows=2, kinds="H", last=True) + b"another page",
    ],
)
def test_odd_strips_come_back(file: bytes) -> None:
    """Bytes between strips, one strip without the tag for rows, short numbers."""
    picture = media.parse(file, LIMIT)
    assert picture is not None
    assert back(file) == as_others_do(file) == file


def test_offsets_and_sizes_are_not_kept() -> None:
    """They follow from the pixels."""
    for file, kept in ((lzw_tiff(rows=1), False), (lzw_tiff(rows=1, between=b"\0"), True)):
        places = tiff_medium._entries(file)
        picture = media.parse(file, LIMIT)
        assert places is not None and picture is not None
        for tag in (273, 279):
            place, size, count = places[tag]
            assert count == 4 and (file[place : place + size * count] in picture.metadata) == kept


@pytest.mark.parametrize("name", OTHER_LZW)
def test_other_lzw_tiff_is_coded_as_bytes(name: str) -> None:
    assert media.parse(OTHER_LZW[name], LIMIT) is None
    assert bfncodec.decode(bfncodec.encode(OTHER_LZW[name])) == OTHER_LZW[name]


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("tags", [{}, {317: 2}, {317: 2, 278: 5}, {278: 1}])
def test_lzw_tiff_as_libtiff_writes_it(mode: str, tags: dict[int, int], photo: np.ndarray) -> None:
    large = np.tile(photo, (6, 5, 1))
    if mode == "I;16":
        image = Image.fromarray(large[..., 0].astype(np.uint16) << 6 | large[..., 1])
    else:
        image = Image.fromarray(large).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "TIFF", compression="tiff_lzw", tiffinfo=tags, dpi=(300, 300))
    file = buffer.getvalue()
    picture = media.parse(file, LIMIT)
    assert picture is not None and np.array_equal(picture.pixels.squeeze(), np.asarray(image))
    assert back(file) == file
    if tags == {317: 2}:
        assert as_others_do(file) == file


def test_too_many_pixels_are_refused() -> None:
    for file in (tiff(), lzw_tiff()):
        with pytest.raises(LimitExceeded, match="--max-pixels"):
            media.parse(file, 19)


@given(st.integers(0, 700), st.integers(0, 255), st.booleans())
def test_any_damage(position: int, value: int, last: bool) -> None:
    """Whatever is still read as pixels comes back byte for byte."""
    file = bytearray(tiff(3, strips=2, last=last))
    file[position % len(file)] = value
    for given_file in (bytes(file), bytes(file[: position + 1])):
        picture = media.parse(given_file, LIMIT)
        assert picture is None or media.build(picture) == given_file


@settings(max_examples=300)
@given(st.integers(0, 900), st.integers(0, 255), st.booleans(), st.sampled_from([1, 3]))
def test_any_damage_of_lzw(position: int, value: int, last: bool, rows: int) -> None:
    file = bytearray(lzw_tiff(3, "u1", rows=rows, last=last, predictor=2))
    file[position % len(file)] = value
    for given_file in (bytes(file), bytes(file[: position + 1])):
        picture = media.parse(given_file, LIMIT)
        assert picture is None or media.build(picture) == given_file


@settings(max_examples=300)
@given(st.integers(0, 60), st.integers(0, 255), st.booleans())
def test_any_metadata_of_lzw(position: int, value: int, last: bool) -> None:
    """A file of some kind, or an error."""
    picture = media.parse(lzw_tiff(rows=1, last=last, period=9), LIMIT)
    assert picture is not None
    metadata = bytearray(picture.metadata)
    metadata[position % len(metadata)] = value
    picture.metadata = bytes(metadata)
    with suppress(BfnError):
        media.build(picture)


def test_strips_without_end_are_an_error() -> None:
    metadata = tiff_medium.joined(tiff_medium.COMPRESSED + b"\1\1II*\0", b"")
    with pytest.raises(CorruptFile):
        media.build(Picture(Origin.TIFF, Layout.L, np.zeros((1 << 17, 1, 1), np.uint8), metadata))


def test_damaged_metadata_is_an_error() -> None:
    for metadata in (b"", b"\0", tiff_medium.joined(b"PK", b"")):
        with pytest.raises(CorruptFile):
            media.build(Picture(Origin.TIFF, Layout.L, np.zeros((1, 1, 1), np.uint8), metadata))
