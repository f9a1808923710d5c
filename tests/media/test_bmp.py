"""BMP files and pictures, byte for byte."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tools.image_files import LIMIT, back, bmp, pixels_of

import bfncodec
from bfncodec import media
from bfncodec.errors import LimitExceeded
from bfncodec.picture import Origin

BMPS = {
    "bottom up": bmp(),
    **{f"width {width}": bmp(width, 3) for width in (1, 2, 4, 5)},
    "version 5": bmp(header=124),
    "gap before the pixels": bmp(gap=b"abcd"),
    "trailing profile": bmp(header=124, trailer=b"profile"),
}
OTHER_BMPS = {
    "top down": bmp(3, -2),
    "32 bits": bmp(depth=32),
    "16 bits": bmp(depth=16),
    "8 bits": bmp(depth=8, gap=bytes(1024)),
    "run lengths": bmp(depth=8, gap=bytes(1024), compression=1),
    "padding in use": bmp(padding=1),
    "short": bmp()[:-1],
    "header alone": bmp()[:54],
    "magic alone": b"BM",
    "core header": b"BM" + struct.pack("<IHHI", 32, 0, 0, 26) + struct.pack("<IHHHH", 12, 1, 1, 1, 24) + bytes(4),
    "width 0": bmp(0, 2),
    "pixels before their header": bmp()[:10] + struct.pack("<I", 10) + bmp()[14:] + bytes(100),
}


@pytest.mark.parametrize("name", BMPS)
def test_bmp_comes_back_byte_for_byte(name: str) -> None:
    file = BMPS[name]
    picture = media.parse(file, LIMIT)
    assert picture is not None and picture.origin is Origin.BMP
    assert np.array_equal(picture.pixels, pixels_of(file))
    assert back(file) == file
    assert bfncodec.decode(bfncodec.encode(file, model="tiny")) == file


@pytest.mark.parametrize("name", OTHER_BMPS)
def test_other_bmp_is_coded_as_bytes(name: str) -> None:
    file = OTHER_BMPS[name]
    assert media.parse(file, LIMIT) is None
    assert bfncodec.decode(bfncodec.encode(file)) == file


@given(st.integers(0, 60), st.integers(0, 255))
def test_damaged_bmp_never_raises(position: int, value: int) -> None:
    file = bytearray(bmp())
    file[position] = value
    try:
        picture = media.parse(bytes(file), LIMIT)
    except LimitExceeded:
        return
    assert picture is None or media.build(picture) == bytes(file)
