"""Maps of the levels that channels use: they come back, they are there where they pay, damage does no harm."""

import numpy as np
import pytest

from bfncodec.coding import protocol
from bfncodec.coding.ans import Coder
from bfncodec.coding.outcomes import OutcomeSink, OutcomeSource
from bfncodec.errors import BfnError, CorruptFile
from bfncodec.models.graphics import levels
from bfncodec.models.graphics.streams import decode_planes, encode_planes

RANDOM = np.random.default_rng(8)

MAPS: dict[str, tuple[list[np.ndarray | None], int]] = {
    "none": ([None], 8),
    "one of several": ([None, np.array([3, 9, 200]), None, None], 8),
    "one level": ([np.array([65535])], 16),
    "the lowest level": ([np.array([0]), np.array([0, 255])], 8),
    "all": ([np.arange(256)], 8),
    "multiples of 16": ([np.arange(0, 65536, 16)] * 2, 16),
    "an interval": ([np.arange(700, 3000)], 12),
    "anything": ([np.flatnonzero(RANDOM.random(1 << 16) < share) for share in (0.01, 0.3, 0.9)], 16),
    "two bits": ([np.array([1, 2]), None], 2),
}


def coded(maps: list[np.ndarray | None], depth: int) -> bytes:
    """The stream of maps alone."""
    there = [one for one in maps if one is not None]
    coder = Coder()
    protocol.encode(coder, OutcomeSource([levels.Maps(len(there), depth, there)]))
    return coder.data()


def decoded(data: bytes, count: int, depth: int) -> tuple[list[np.ndarray], bool]:
    """So many maps, and whether nothing is left."""
    coder, found = Coder(data), levels.Maps(count, depth)
    protocol.decode(coder, OutcomeSink([found]))
    return found.maps(), coder.empty


@pytest.mark.parametrize("name", MAPS)
def test_maps_come_back(name: str) -> None:
    maps, depth = MAPS[name]
    there = [one for one in maps if one is not None]
    found, empty = decoded(coded(maps, depth), len(there), depth)
    assert empty and len(found) == len(there)
    for one, other in zip(there, found, strict=True):
        assert np.array_equal(one, other)


def test_maps_of_regular_levels_cost_next_to_nothing() -> None:
    sizes = {}
    for name in ("multiples of 16", "an interval", "anything"):
        sizes[name] = len(coded(*MAPS[name]))
    assert sizes["multiples of 16"] < 20 and sizes["an interval"] < 12
    assert sizes["anything"] > 5000, "chance has no rule"


@pytest.mark.parametrize("name", ["one of several", "multiples of 16", "anything"])
def test_places_are_undone(name: str) -> None:
    maps, depth = MAPS[name]
    planes = np.zeros((2, 5, 6, len(maps)), np.uint16 if depth > 8 else np.uint8)
    for channel, one in enumerate(maps):
        planes[..., channel] = RANDOM.choice(np.arange(1 << depth) if one is None else one, (2, 5, 6))
    before = planes.copy()
    places = levels.packed(planes, maps)
    assert places.dtype == planes.dtype and np.array_equal(planes, before)
    for channel, one in enumerate(maps):
        assert places[..., channel].max() < (1 << depth if one is None else len(one))
        assert one is not None or np.array_equal(places[..., channel], planes[..., channel])
    assert np.array_equal(levels.unpacked(places, maps), planes)
    assert places.max() < 1 << levels.width(maps, depth)


def test_places_keep_the_order_of_levels() -> None:
    planes = np.array([7, 3, 900, 3, 40], np.uint16).reshape(1, 1, 5, 1)
    places = levels.packed(planes, [np.array([3, 7, 40, 900])])
    assert places.reshape(-1).tolist() == [1, 0, 3, 0, 2]


def test_places_beyond_the_levels_are_the_last_one() -> None:
    planes = levels.unpacked(np.array([0, 1, 2, 65535], np.uint16).reshape(1, 2, 2, 1), [np.array([5, 60000])])
    assert planes.reshape(-1).tolist() == [5, 60000, 60000, 60000]


def test_the_width_is_that_of_the_largest_place() -> None:
    def width(*counts: int) -> int:
        return levels.width([np.arange(count) for count in counts], 16)

    assert [width(1), width(2), width(3), width(256), width(257), width(65536)] == [1, 1, 2, 8, 9, 16]
    assert width(3, 200, 2) == 8
    assert levels.width([np.arange(3), None], 8) == 8


def test_channels_are_mapped_where_it_pays() -> None:
    shape = (1, 80, 125)
    deep = RANDOM.integers(0, 4096, shape).astype(np.uint16)
    every = np.arange(10000, dtype=np.uint16).reshape(shape)
    planes = np.stack([deep * 16, deep + 1000, every], axis=-1)
    sparse, interval, whole = levels.chosen(planes, 16)
    assert sparse is not None and np.array_equal(sparse, np.unique(deep) * 16)
    few = levels.chosen(planes[:, :10], 16)[0]
    assert few is not None and len(few) > 60000, "too few pixels for a map: all from the lowest to the highest"
    assert interval is not None and np.array_equal(interval, np.arange(deep.min(), deep.max() + 1) + 1000)
    assert whole is not None and np.array_equal(whole, np.arange(10000))


def test_channels_of_8_bits_are_mapped_where_it_pays() -> None:
    noise = RANDOM.integers(0, 16, (1, 40, 50)).astype(np.uint8)
    apart, close, flat = levels.chosen(np.stack([noise * 17, noise + 90, noise * 0 + 77], axis=-1), 8)
    assert apart is not None and np.array_equal(apart, np.arange(16) * 17)
    assert close is None and flat is None
    assert levels.chosen(noise[:, :10, :10, None] * 17, 8) == [None], "too few pixels for a map"


@pytest.mark.parametrize("depth", [8, 16])
def test_streams_that_are_cut_off_do_no_harm(depth: int) -> None:
    """Other pictures, or the error of damaged files; never another one, nor the same picture."""
    noise = RANDOM.integers(0, 12, (1, 12, 15, 2))
    planes = (noise * 21 if depth == 8 else noise * 4000 + 3).astype(np.uint8 if depth == 8 else np.uint16)
    stream = encode_planes(planes, depth)
    assert np.array_equal(decode_planes(stream, planes.shape, depth), planes)
    for length in [*range(0, 24), *range(24, len(stream), 17)]:
        try:
            found = decode_planes(stream[:length], planes.shape, depth)
        except BfnError:
            continue
        assert found.shape == planes.shape and found.dtype == planes.dtype and not np.array_equal(found, planes)


def test_maps_of_channels_that_are_not_there_are_refused() -> None:
    stream = encode_planes(RANDOM.integers(0, 256, (1, 4, 5, 2)).astype(np.uint8), 8)
    with pytest.raises(CorruptFile, match="channels|levels"):
        decode_planes(bytes([stream[0] | 4]) + stream[1:], (1, 4, 5, 2), 8)


def test_maps_of_damaged_streams_are_refused_if_they_are_empty() -> None:
    """What such a stream says may be anything."""
    for data in (b"", b"\1", bytes(range(1, 200))):
        found, _ = decoded(data, 2, 8)
        assert all(one.max(initial=0) < 256 for one in found)
    with pytest.raises(CorruptFile):
        decode_planes(b"\x73", (1, 4, 5, 2), 8)
