"""TIFF files and pictures, byte for byte."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tools.image_files import LIMIT, back

import bfncodec
from bfncodec import media
from bfncodec.errors import CorruptFile, LimitExceeded
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


def test_too_many_pixels_are_refused() -> None:
    with pytest.raises(LimitExceeded, match="--max-pixels"):
        media.parse(tiff(), 19)


@given(st.integers(0, 700), st.integers(0, 255), st.booleans())
def test_any_damage(position: int, value: int, last: bool) -> None:
    """Whatever is still read as pixels comes back byte for byte."""
    file = bytearray(tiff(3, strips=2, last=last))
    file[position % len(file)] = value
    for given_file in (bytes(file), bytes(file[: position + 1])):
        picture = media.parse(given_file, LIMIT)
        assert picture is None or media.build(picture) == given_file


def test_damaged_metadata_is_an_error() -> None:
    for metadata in (b"", b"\0", tiff_medium.joined(b"PK", b"")):
        with pytest.raises(CorruptFile):
            media.build(Picture(Origin.TIFF, Layout.L, np.zeros((1, 1, 1), np.uint8), metadata))
