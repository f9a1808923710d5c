"""Arrays in .npy files and pictures, byte for byte."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tools.image_files import LIMIT, back

import bfncodec
from bfncodec import media
from bfncodec.errors import CorruptFile, LimitExceeded
from bfncodec.media import npy as npy_medium
from bfncodec.picture import Layout, Origin, Picture


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


WAVE = np.arange(5 * 7 * 4).reshape(5, 7, 4) * 211
PLAIN = npy(WAVE[..., 0].astype("<u2"))
OTHER = {
    "wide integers": npy(WAVE[..., 0].astype("<i4")),
    "signed bytes": npy(WAVE[..., 0].astype("i1")),
    "floats": npy(WAVE[..., 0].astype("<f2")),
    "order of columns": npy(np.asfortranarray(WAVE[..., 0].astype("<u2"))),
    "one axis": npy(WAVE.ravel().astype("u1")),
    "four axes": npy(WAVE.astype("u1")[None]),
    "five channels": npy(np.zeros((2, 2, 5), "u1")),
    "no pixels": npy(np.zeros((0, 2), "u1")),
    "cut": PLAIN[:-1],
    "magic alone": PLAIN[:8],
    "cut header": PLAIN[:40],
    "version": b"\x93NUMPY\4\0" + PLAIN[8:],
    "length": PLAIN[:8] + b"\xff" + PLAIN[9:],
    "shape of another size": PLAIN.replace(b"(5, 7)", b"(9, 7)"),
    "huge shape": PLAIN.replace(b"(5, 7), }      ", b"(9999999999, 7)"),
    "other spaces": PLAIN.replace(b"'shape': (5, 7)", b"'shape':(5,7)  "),
}


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<i2", ">i2"])
@pytest.mark.parametrize("channels", [0, 1, 2, 3, 4])
def test_arrays_come_back_byte_for_byte(dtype: str, channels: int) -> None:
    array = (WAVE[..., :channels] if channels else WAVE[..., 0]).astype(dtype)
    for file in (npy(array), npy(array) + b"more"):
        picture = media.parse(file, LIMIT)
        assert picture is not None and picture.origin is Origin.NPY and picture.signed == (dtype[1:2] == "i")
        assert np.array_equal(picture.values().reshape(array.shape), array)
        assert back(file) == file
        assert bfncodec.decode(bfncodec.encode(file, model="tiny", media="image")) == file


@pytest.mark.parametrize("version", [2, 3])
def test_later_versions(version: int) -> None:
    length = int.from_bytes(PLAIN[8:10], "little")
    file = b"\x93NUMPY" + bytes([version, 0]) + length.to_bytes(4, "little") + PLAIN[10:]
    assert np.array_equal(np.load(io.BytesIO(file)), np.load(io.BytesIO(PLAIN)))
    assert back(file) == file


@pytest.mark.parametrize("name", OTHER)
def test_other_arrays_are_coded_as_bytes(name: str) -> None:
    assert media.parse(OTHER[name], LIMIT) is None
    assert bfncodec.decode(bfncodec.encode(OTHER[name])) == OTHER[name]


def test_too_many_pixels_are_refused() -> None:
    with pytest.raises(LimitExceeded, match="--max-pixels"):
        media.parse(PLAIN, 34)


@given(st.integers(0, 200), st.integers(0, 255))
def test_any_damage(position: int, value: int) -> None:
    file = bytearray(PLAIN)
    file[position % len(file)] = value
    picture = media.parse(bytes(file), LIMIT)
    assert picture is None or media.build(picture) == bytes(file)


def test_damaged_metadata_is_an_error() -> None:
    for metadata in (b"", b"\0", npy_medium.joined(b"\x93NUMPY\1\0", b"")):
        with pytest.raises(CorruptFile):
            media.build(Picture(Origin.NPY, Layout.L, np.zeros((1, 1, 1), np.uint8), metadata))
