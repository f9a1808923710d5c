"""LZW streams: whatever is taken comes back to the last bit, compiled or not."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import lzw as reference

from bfncodec.errors import BfnError, CorruptFile
from bfncodec.media import lzw
from bfncodec.media.lzw import Freedom, Notes

VARIANTS = {"TIFF": lzw.TIFF, **{f"GIF {bits}": lzw.gif(bits) for bits in range(1, 9)}}


def some_values(count: int, bits: int, seed: int = 0) -> np.ndarray:
    """Values with runs and repeats."""
    source = np.random.default_rng(seed)
    values = source.integers(0, 1 << bits, count) * (source.random(count) < 0.3)
    return values.astype(np.uint8)


def codes_of(stream: bytes, widths: list[int], high: bool) -> list[int]:
    """Codes of known widths."""
    order = "big" if high else "little"
    bits = np.unpackbits(np.frombuffer(stream, np.uint8), bitorder=order).tolist()
    codes = []
    for width in widths:
        own, bits = bits[:width], bits[width:]
        codes.append(sum(bit << place for place, bit in enumerate(own[::-1] if high else own)))
    return codes


def test_a_stream_of_each_kind_by_hand() -> None:
    """Clear, values, strings, among them one that is used before its end is known, End."""
    values = np.array([1, 1, 1, 1, 2, 1, 1], np.uint8)
    stream = lzw.encode(values, lzw.gif(2), Freedom())
    assert codes_of(stream, [3, 3, 3, 3, 4, 4, 4], high=False) == [4, 1, 6, 1, 2, 6, 5]
    stream = lzw.encode(values, lzw.TIFF, Freedom())
    assert codes_of(stream, [9] * 7, high=True) == [256, 1, 258, 1, 2, 258, 257]


def test_widths_grow_where_they_do() -> None:
    """The first code of 10 bits: TIFF's comes a code earlier. The last of both have 12 bits, however many they are."""
    values = np.arange(512).astype(np.uint8) ^ np.arange(512).astype(np.uint8) >> 3
    values[256:] = np.arange(256)[::-1]
    for variant, last in ((lzw.TIFF, 254), (lzw.gif(8), 255)):
        stream = lzw.encode(values[:last], variant, Freedom())
        assert len(stream) == -(-(9 * (last + 1) + 10) // 8)
        stream = lzw.encode(values[: last - 1], variant, Freedom())
        assert len(stream) == -(-9 * (last + 1) // 8)
    many = some_values(60_000, 8)
    for variant in (lzw.TIFF, lzw.gif(8)):
        parsed = lzw.parse(lzw.encode(many, variant, Freedom()), len(many), variant)
        assert parsed is not None and np.array_equal(parsed[0], many) and not parsed[1].distances


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("distances", [[], [0, 0], [1, 5, 0, 300], [4000], [200, 200, 200, 7, 200, 900]])
def test_clears_anywhere(name: str, distances: list[int]) -> None:
    variant = VARIANTS[name]
    for count in (1, 2, 3, 10, 1000, 30_000):
        values = some_values(count, variant.bits)
        for begins, period in ((True, 0), (False, 0), (True, 200), (False, 3836)):
            stream = lzw.encode(values, variant, Freedom(distances, 0, begins), period)
            parsed = lzw.parse(stream, count, variant)
            assert parsed is not None and np.array_equal(parsed[0], values)
            for other in {0, 200, lzw.usual_period([parsed[1]])}:
                noted = lzw.noted(parsed[1], other)
                assert Notes(noted).stream(values, variant, other) == stream
                assert reference.stream(
                    values[:1000].tobytes(), variant.bits, variant.high, other, reference.Notes(noted)
                ) == Notes(noted).stream(values[:1000], variant, other)


def test_what_is_usual_costs_a_byte() -> None:
    values = some_values(200_000, 8)
    parsed = lzw.parse(lzw.encode(values, lzw.TIFF, Freedom(), 3836), len(values), lzw.TIFF)
    assert parsed is not None and lzw.usual_period([parsed[1]]) == 3836 and lzw.noted(parsed[1], 3836) == b"\0"
    seldom = lzw.parse(lzw.encode(values, lzw.TIFF, Freedom()), len(values), lzw.TIFF)
    assert seldom is not None and lzw.noted(seldom[1], 0) == b"\0" and len(lzw.noted(seldom[1], 3836)) < 6


@pytest.mark.parametrize("end", [b"", b"\0", b"\xff", b"\x55 something else", bytes(300)])
def test_other_ends(end: bytes) -> None:
    """No end code, other padding, bytes after it."""
    for variant in VARIANTS.values():
        for count in range(1, 9):
            values = some_values(count, variant.bits)
            usual = lzw.encode(values, variant, Freedom())
            bits = 8 * (len(usual) - 1)
            for stream in (usual + end, usual[:-1] + bytes([usual[-1] ^ 1 << 7 * (not variant.high)]) + end):
                parsed = lzw.parse(stream, count, variant)
                if parsed is None:
                    assert len(usual) * 8 - bits <= 8 and stream != usual  # the last value is another one
                    continue
                noted = lzw.noted(parsed[1], 0)
                assert Notes(noted).stream(parsed[0], variant, 0) == stream
                assert (
                    reference.stream(parsed[0].tobytes(), variant.bits, variant.high, 0, reference.Notes(noted))
                    == stream
                )


def packed(codes: list[int], variant: lzw.Variant, width: int) -> bytes:
    """Codes of one width."""
    out = reference.Bits(variant.high)
    for code in codes:
        out.put(code, width)
    return out.data()


def test_what_is_not_greedy_or_damaged_is_left_alone() -> None:
    for codes, count in (
        ([256, 1, 1, 1, 1, 257], 4),  # a string has a code, and is not used
        ([256, 258, 257], 1),  # a string that nobody knows
        ([256, 1, 259, 257], 3),  # one that is known later
        ([256, 1, 257, 2, 257], 2),  # an end too early
        ([256, 257], 1),
        ([256, 1, 258, 257], 2),  # a string too long
        ([256, 1, 2], 3),  # cut
        ([256] * 5000 + [1, 257], 1),  # more Clears than anybody writes
    ):
        assert lzw.parse(packed(codes, lzw.TIFF, 9), count, lzw.TIFF) is None, codes[:9]
    assert lzw.parse(b"", 1, lzw.TIFF) is None
    assert lzw.parse(b"\x80\0\0", 1 << 40, lzw.TIFF) is None  # nothing of that size is made


@settings(max_examples=300)
@given(st.binary(max_size=60), st.integers(1, 200), st.sampled_from(list(VARIANTS)))
def test_any_bytes(data: bytes, count: int, name: str) -> None:
    variant = VARIANTS[name]
    parsed = lzw.parse(data, count, variant)
    if parsed is not None:
        values, freedom = parsed
        for period in (0, 3, lzw.usual_period([freedom])):
            noted = lzw.noted(freedom, period)
            assert Notes(noted).stream(values, variant, period) == data
            assert (
                reference.stream(values.tobytes(), variant.bits, variant.high, period, reference.Notes(noted)) == data
            )


@settings(max_examples=300)
@given(st.binary(max_size=30), st.binary(max_size=40), st.integers(0, 12), st.sampled_from(list(VARIANTS)))
def test_any_notes(noted: bytes, data: bytes, period: int, name: str) -> None:
    """A stream, or an error; the second decoder makes the same one."""
    variant = VARIANTS[name]
    values = np.frombuffer(data, np.uint8)
    try:
        stream = Notes(noted).stream(values, variant, period)
    except BfnError:
        return
    assert len(stream) < 4 * len(data) + 2 * len(noted) + 9
    assert reference.stream(data, variant.bits, variant.high, period, reference.Notes(noted)) == stream


def test_damaged_notes_are_an_error() -> None:
    values = np.array([1, 2, 9], np.uint8)
    with pytest.raises(CorruptFile):
        Notes(b"").stream(values, lzw.gif(3), 0)
    with pytest.raises(CorruptFile):
        Notes(b"\xfc\xff\xff\xff\x0f").stream(values, lzw.TIFF, 0)


SCRIPT = """
import hashlib, numpy as np
from bfncodec.media import lzw
source = np.random.default_rng(1)
for variant in (lzw.TIFF, lzw.gif(3)):
    values = (source.integers(0, 1 << variant.bits, 9000) * (source.random(9000) < 0.4)).astype(np.uint8)
    stream = lzw.encode(values, variant, lzw.Freedom([3, 0]), 700)
    parsed = lzw.parse(stream, len(values), variant)
    found = [] if parsed is None else [parsed[0].tobytes(), parsed[1]]
    print(hashlib.sha256(stream).hexdigest(), hashlib.sha256(repr(found).encode()).hexdigest())
"""


def test_plain_python_does_the_same() -> None:
    said = []
    for disabled in ("0", "1"):
        environment = os.environ | {"BFNCODEC_PLAIN": disabled}
        child = subprocess.run(
            [sys.executable, "-W", "error", "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=120
        )
        assert child.returncode == 0, child.stderr
        said.append(child.stdout)
    assert said[0] == said[1]
