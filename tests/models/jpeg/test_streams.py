"""Coefficients and their streams: cuts, segments, damage; the same numbers from compiled and plain functions."""

import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from jpeg.test_files import jpeg

from bfncodec.errors import CorruptFile
from bfncodec.exact import threads
from bfncodec.jpeg import Jpeg, parse
from bfncodec.models import zoo
from bfncodec.models.jpeg import memory as memories
from bfncodec.models.jpeg import streams

MODES = ("RGB", "L", "CMYK")


@pytest.fixture
def images() -> Iterator[Jpeg]:
    """Of every number of components, colours of half the resolution among them."""
    return (parse(jpeg(90, 200, mode, quality=85))[0] for mode in MODES)


def coded(image: Jpeg, rows: list[int], start: memories.Start) -> list[bytes]:
    return streams.encode(start, image.frame(), image.quantisers(), image.coefficients, rows)


@pytest.mark.parametrize("trained", [False, True])
def test_segments_come_back_side_by_side(images: Iterator[Jpeg], trained: bool) -> None:
    start = memories.start(zoo.find("tiny-jpeg")) if trained else memories.untrained()
    for image in images:
        frame = image.frame()
        for rows in ([frame.units_down], [1, frame.units_down - 3, 2]):
            parts = coded(image, rows, start)
            assert len(parts) == len(rows)
            back = streams.decode(start, frame, image.quantisers(), rows, parts)
            assert back.dtype == np.int16 and np.array_equal(back, image.coefficients)


def test_threads_do_not_change_the_streams(images: Iterator[Jpeg]) -> None:
    image = next(images)
    rows = [3, image.frame().units_down - 3]
    made = []
    for count in (1, 3):
        threads.limit(count)
        made.append(coded(image, rows, memories.untrained()))
    threads.limit(0)
    assert made[0] == made[1]


def test_cuts_follow_from_the_size_and_balance_what_is_coded(images: Iterator[Jpeg]) -> None:
    image = next(images)
    frame = image.frame()
    counts = []
    for size in (100, 3 << 14, 3 << 17, 3 << 20, 3 << 40):
        rows = streams.cuts(frame, size, image.coefficients)
        assert sum(rows) == frame.units_down and min(rows) > 0
        counts.append(len(rows))
    assert counts[:4] == [1, 2, 4, 8] and counts[4] <= frame.units_down
    image.coefficients[len(image.coefficients) // 5 :] = 0
    first, _ = streams.cuts(frame, 3 << 14, image.coefficients)
    assert first < frame.units_down // 2


def test_damaged_streams_are_refused_or_something_else(images: Iterator[Jpeg]) -> None:
    image = next(images)
    frame, start = image.frame(), memories.untrained()
    (stream,) = coded(image, [frame.units_down], start)
    for damaged in (stream[:-40], stream[:-4] + b"\x55\xaa\x55\xaa", bytes([255 - stream[0]]) + stream[1:]):
        try:
            back = streams.decode(start, frame, image.quantisers(), [frame.units_down], [damaged])
        except CorruptFile:
            continue
        assert not np.array_equal(back, image.coefficients)


def test_extreme_coefficients_come_back() -> None:
    """All that int16 holds, as far as a file can: 16 bits and a sign."""
    image, _ = parse(jpeg(40, 24, "L", quality=60))
    frame = image.frame()
    generator = np.random.default_rng(0)
    image.coefficients[:] = generator.choice([0, 1, -1, 32767, -32768, 1023, -77], len(image.coefficients))
    parts = coded(image, [frame.units_down], memories.untrained())
    back = streams.decode(memories.untrained(), frame, image.quantisers(), [frame.units_down], parts)
    assert np.array_equal(back, image.coefficients)


_SCRIPT = """
from jpeg.test_files import jpeg
from bfncodec.jpeg import parse
from bfncodec.models.jpeg import memory, streams
image = parse(jpeg(24, 17, "RGB", quality=80))[0]
rows = [image.frame().units_down]
(one,) = streams.encode(memory.untrained(), image.frame(), image.quantisers(), image.coefficients, rows)
print(one.hex())
"""


def test_plain_functions_make_the_same_bytes() -> None:
    told = []
    for plain in ("", "1"):
        environment = os.environ | {"BFNCODEC_PLAIN": plain, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run([sys.executable, "-c", _SCRIPT], env=environment, capture_output=True, check=True)
        told.append(done.stdout)
    assert told[0] == told[1] and len(told[0]) > 100


def test_damaged_models_are_named(tmp_path) -> None:
    from safetensors.numpy import save_file

    good = zoo.tensors(zoo.find("tiny-jpeg"))
    changes = (
        ("jpeg.keys", good["jpeg.keys"][:-1]),
        ("jpeg.met", good["jpeg.met"][1:]),
        ("jpeg.sets", good["jpeg.sets"] + np.uint16(60000)),
        ("jpeg.keys", np.zeros_like(good["jpeg.keys"])),
    )
    for number, (name, wrong) in enumerate(changes):
        path = tmp_path / f"{number}.safetensors"
        save_file({key: np.ascontiguousarray(value) for key, value in (dict(good) | {name: wrong}).items()}, path)
        with pytest.raises(CorruptFile, match="no whole model of JPEG files"):
            memories.start(path)
