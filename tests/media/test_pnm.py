"""PNM files and pictures, byte for byte."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tools.image_files import LIMIT, PNMS, back, pixels_of

import bfncodec
from bfncodec import media
from bfncodec.picture import Origin

OTHER_PNMS = {
    "no values": b"P5 2 1 0\n" + bytes(2),
    "17 bits": b"P5 2 1 65536\n" + bytes(4),
    "values of too many bits": b"P5 2 1 127\n\x7f\x80",
    "words of too many bits": b"P5 2 1 4095\n\x0f\xff\x10\0",
    "short words": b"P6 2 1 65535\n" + bytes(11),
    "text": b"P3 1 1 255\n1 2 3\n",
    "bits beyond a row": b"P4 7 1\n\xab",
    "short bitmap": b"P4 9 2\n" + bytes(3),
    "pam": b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nENDHDR\n\0",
    "float": b"Pf\n1 1\n-1.0\n" + bytes(4),
    "short": b"P6 2 1 255\n" + bytes(5),
    "no pixels": b"P6 0 1 255\n",
    "no size": b"P6\n",
    "magic alone": b"P5",
    "negative": b"P5 -2 1 255\n" + bytes(2),
    "long number": b"P5 " + b"0" * 5000 + b"2 1 255\n" + bytes(2),
    "huge": b"P5 9999999999 9999999999 255\n" + bytes(10),
    "comment without end": b"P5 #" + b"# " * 5000,
}


@pytest.mark.parametrize("name", PNMS)
def test_pnm_comes_back_byte_for_byte(name: str) -> None:
    file = PNMS[name]
    assert back(file) == file
    picture = media.parse(file, LIMIT)
    assert picture is not None and picture.origin is Origin.PNM
    assert np.array_equal(picture.pixels.squeeze(), pixels_of(file).squeeze())
    assert bfncodec.decode(bfncodec.encode(file, model="tiny")) == file


DEEP_PNMS = {
    "bits": (b"P4 10 2\n\xaa\x40\x01\xc0", 1),
    "bits with a comment": (b"P4\n#\n8 1\n\xaa", 1),
    "two levels": (b"P5 2 2 1\n\1\0\0\1", 1),
    "7 bits": (b"P5 2 1 127\n\x7f\1", 7),
    "levels that fill no bits": (b"P6 1 2 200\n" + bytes(range(195, 201)), 8),
    "12 bits": (b"P5 2 1 4095\n\x0f\xff\1\0", 12),
    "16 bits": (b"P6 2 1 65535\n" + bytes(range(100, 112)), 16),
    "zeros before the number": (b"P5 2 1 000255\n\1\2", 8),
    "trailing bytes": (b"P4 8 1\n\xaamore", 1),
}


@pytest.mark.parametrize("name", DEEP_PNMS)
def test_bits_and_words_come_back_byte_for_byte(name: str) -> None:
    file, depth = DEEP_PNMS[name]
    picture = media.parse(file, LIMIT)
    assert picture is not None and picture.depth == depth
    assert back(file) == file
    assert bfncodec.decode(bfncodec.encode(file, model="tiny", media="image")) == file


def test_values_of_bits_and_words() -> None:
    """1 is black in bitmaps; words have their high byte first."""
    bits, words = (media.parse(DEEP_PNMS[name][0], LIMIT) for name in ("bits", "12 bits"))
    assert bits is not None and bits.pixels[..., 0].tolist() == [[0, 1] * 4 + [1, 0], [1] * 7 + [0] * 3]
    assert words is not None and words.pixels.ravel().tolist() == [4095, 256]
    assert np.array_equal(pixels_of(DEEP_PNMS["bits"][0]), bits.pixels[..., 0].astype(bool))


@pytest.mark.parametrize("name", OTHER_PNMS)
def test_other_pnm_is_coded_as_bytes(name: str) -> None:
    file = OTHER_PNMS[name]
    assert media.parse(file, LIMIT) is None
    assert bfncodec.decode(bfncodec.encode(file)) == file


def test_pnm_headers_are_parsed_in_linear_time() -> None:
    start = time.perf_counter()
    for filler in (b"\n", b"#\n", b"# \n ", b" #", b"1 "):
        assert media.parse(b"P5 " + filler * 300_000 + b"x", LIMIT) is None
    assert time.perf_counter() - start < 3


@given(st.binary(max_size=30), st.binary(max_size=10))
def test_any_pnm_header(header: bytes, trailer: bytes) -> None:
    """Whatever follows the magic comes back byte for byte, as pixels or not."""
    for file in (b"P5" + header + trailer, b"P4 9 1 " + header, b"P6 1 1 255\n" + header + trailer):
        picture = media.parse(file, LIMIT)
        assert picture is None or media.build(picture) == file


def test_pnm_through_a_file(photo: np.ndarray) -> None:
    file = b"P6\n# comment\n56 48 255\n" + photo.tobytes() + b"trailer"
    encoded = bfncodec.encode(file, model="tiny")
    assert len(encoded) < len(file) * 0.7
    assert bfncodec.decode(encoded) == file
