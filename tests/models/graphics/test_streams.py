"""Planes of exact colours come back, whatever they hold; damage is found; compiled code and Python agree."""

import os
import subprocess
import sys

import numpy as np
import pytest

from bfncodec.coding import protocol
from bfncodec.coding.ans import Coder
from bfncodec.coding.ledger import Ledger
from bfncodec.coding.outcomes import OutcomeSink, OutcomeSource
from bfncodec.errors import BfnError, CorruptFile
from bfncodec.models.graphics.pixels import Pixels
from bfncodec.models.graphics.streams import decode_planes, encode_planes

RANDOM = np.random.default_rng(5)


def drawing(height: int, width: int, channels: int) -> np.ndarray:
    """Rectangles of few colours, some twice, on a gradient: uint8 [1, H, W, C]."""
    random = np.random.default_rng(7)
    planes = np.zeros((1, height, width, channels), np.uint8)
    planes += (np.arange(width) // 9).astype(np.uint8)[:, None]
    colours = random.integers(0, 256, (6, channels), np.uint8)
    for _ in range(height * width // 60):
        y, x = random.integers(0, (height, width))
        planes[0, y : y + random.integers(1, 7), x : x + random.integers(1, 12)] = colours[random.integers(6)]
    return planes


def waves(bits: int, channels: int, levels: int = 1) -> np.ndarray:
    """A smooth picture of `bits` bits, of multiples of `levels`, uint16 [1, 24, 31, C]."""
    y, x = np.mgrid[:24, :31]
    smooth = 0.5 + 0.3 * np.sin(x / 7) + 0.15 * np.cos(y / 5)
    noise = np.random.default_rng(2).normal(0, 0.002, (24, 31, channels))
    values = ((smooth[..., None] + noise) * (1 << bits)).astype(np.uint16)
    return np.ascontiguousarray(values // levels * levels)[None]


CASES = {
    "grey": (drawing(20, 33, 1), 8),
    "grey and alpha": (drawing(20, 33, 2), 8),
    "rgb": (drawing(40, 50, 3), 8),
    "rgba": (drawing(20, 33, 4), 8),
    "several": (np.concatenate([drawing(9, 14, 3), drawing(9, 14, 3)[:, ::-1]]), 8),
    "four bits": (drawing(20, 33, 1) & 15, 4),
    "two colours of 8 bits": (drawing(20, 33, 1) & 128, 8),
    "noise": (RANDOM.integers(0, 256, (1, 20, 30, 3), np.uint8), 8),
    "noise of 16 bits": (RANDOM.integers(0, 1 << 16, (1, 20, 30, 4), np.uint16), 16),
    "extremes": (np.tile(np.uint16([[0], [65535], [0]]), (1, 16, 11, 2)).reshape(1, 16, 33, 2), 16),
    "16 bits": (waves(16, 1), 16),
    "12 of 16 bits": (waves(12, 3), 16),
    "multiples of 16": (waves(16, 1, 16), 16),
    "10 bits": (waves(10, 1), 10),
    "pixel": (np.zeros((1, 1, 1, 1), np.uint8), 8),
    "pixel of 16 bits": (np.full((1, 1, 1, 4), 65535, np.uint16), 16),
    "row": (drawing(1, 300, 3), 8),
    "column": (drawing(300, 1, 3), 8),
}


@pytest.mark.parametrize("name", CASES)
def test_planes_come_back(name: str) -> None:
    planes, depth = CASES[name]
    ledger = Ledger()
    stream = encode_planes(planes, depth, ledger)
    found = decode_planes(stream, planes.shape, depth)
    assert found.dtype == planes.dtype and np.array_equal(found, planes)
    assert 8 * len(stream) <= ledger.path_loss * 1.001 + 80


def test_levels_in_between_cost_nothing() -> None:
    sizes = [len(encode_planes(planes, 16)) for planes in (waves(16, 1, 16), waves(16, 1, 16) // 16)]
    assert sizes[0] < sizes[1] * 1.1 + 120


def test_pictures_that_repeat_themselves_are_small() -> None:
    once = drawing(40, 50, 3)
    sizes = [len(encode_planes(planes, 8)) for planes in (once, np.concatenate([once] * 3))]
    assert sizes[1] < sizes[0] * 1.7 < once.size * 0.2


def test_every_pixel_has_its_share_of_bits() -> None:
    planes = drawing(20, 33, 3)
    pixels = Pixels(planes.shape, 8, planes)
    decided = pixels.decided()
    bits = pixels.bits(decided)
    assert bits.shape == (1, 20, 33)
    assert bits.sum() == pytest.approx(decided.cost(planes)) and bits.min() > 0
    assert sum(decided.costs().values()) == pytest.approx(bits.sum()) and decided.costs()["samples"] > 0


@pytest.mark.parametrize("name", ["rgb", "16 bits", "multiples of 16", "two colours of 8 bits"])
def test_damage_is_found_or_gives_another_picture(name: str) -> None:
    planes, depth = CASES[name]
    stream = encode_planes(planes, depth)
    for at in range(0, len(stream), max(len(stream) // 40, 1)):
        for damaged in (stream[:at], stream[:at] + bytes([stream[at] ^ 1 << at % 8]) + stream[at + 1 :]):
            try:
                assert not np.array_equal(decode_planes(damaged, planes.shape, depth), planes)
            except BfnError:
                pass


def test_streams_of_other_pictures_are_refused() -> None:
    stream = encode_planes(CASES["rgb"][0], 8)
    for shape in ((1, 40, 49, 3), (1, 41, 50, 3), (1, 40, 50, 4)):
        with pytest.raises(CorruptFile):
            decode_planes(stream, shape, 8)
    with pytest.raises(CorruptFile, match="levels"):
        decode_planes(bytes([stream[0] | 8]) + stream[1:], (1, 40, 50, 3), 8)


def some_streams() -> str:
    """A few small streams, which come back, in hexadecimal digits."""
    cases = [(drawing(8, 17, 3), 8), (waves(16, 1, 4)[:, :3], 16), (waves(12, 4)[:, :1], 12)]
    cases += [(drawing(9, 40, 1) & 1, 1), (np.concatenate([drawing(9, 12, 1)] * 2), 8)]
    streams = [encode_planes(*case) for case in cases]
    for stream, (planes, depth) in zip(streams, cases, strict=True):
        assert np.array_equal(decode_planes(stream, planes.shape, depth), planes)
    return " ".join(stream.hex() for stream in [*streams, long_words()])


def long_words() -> bytes:
    """A stream of pixels whose words take all 64 bits, without maps."""
    planes, coder = np.random.default_rng(3).integers(1 << 15, 1 << 16, (1, 2, 3, 4), np.uint16), Coder()
    protocol.encode(coder, OutcomeSource([Pixels(planes.shape, 16, planes)]), None)
    stream, pixels = coder.data(), Pixels(planes.shape, 16)
    protocol.decode(Coder(stream), OutcomeSink([pixels]))
    assert np.array_equal(pixels.images(), planes)
    return stream


def test_plain_python_makes_the_same_streams() -> None:
    """Compiled code and Python agree on every integer, and none overflows."""
    script = "import sys; from models.graphics.test_streams import some_streams; sys.stdout.write(some_streams())"
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", script],
        env=os.environ | {"BFNCODEC_PLAIN": "1", "PYTHONPATH": os.pathsep.join([".", "tests"])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == some_streams().split() and len(done.stdout) > 600
