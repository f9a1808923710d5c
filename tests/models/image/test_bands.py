"""Large pictures in bands: which rows, and the same file from any number of threads."""

from pathlib import Path

import numpy as np
import pytest
from reference import decoder

from bfncodec import api
from bfncodec.exact import threads
from bfncodec.models.image import passes


@pytest.mark.parametrize(
    ("height", "width", "starts"),
    [
        (512, 768, [0]),
        (1 << 11, 1 << 10, [0]),
        ((1 << 11) + 1, 1 << 10, [0, 1056]),
        (6000, 4000, [*range(0, 6000, 512)]),
        (4000, 6000, [*range(0, 4000, 352)]),
        (33, 1 << 21, [0]),
        (64, 1 << 20, [0, 32]),
        (1, 1 << 23, [0]),
        (1 << 23, 1, [0, 1 << 21, 2 << 21, 3 << 21]),
    ],
)
def test_rows(height: int, width: int, starts: list[int]) -> None:
    bands = passes.bands(1, height, width)
    assert [band.start for band in bands] == starts
    assert [band.stop for band in bands] == [*starts[1:], height]
    assert passes.bands(2, height, width) == [range(height)]


@pytest.mark.parametrize(("grey", "count"), [(False, 3), (True, 3), (False, 6)])
def test_bands_of_small_pictures(
    photo: np.ndarray, tiny: Path, monkeypatch: pytest.MonkeyPatch, grey: bool, count: int
) -> None:
    """With limits brought down: any threads, the thumbnail, and the second decoder, which knows what bands learn."""
    monkeypatch.setattr(passes, "BAND_PIXELS", 1 << 10)
    monkeypatch.setattr(decoder, "BAND_PIXELS", 1 << 10)
    monkeypatch.setattr(passes, "LEARN_FROM", 1 << 10)
    pixels = np.tile(photo, (count // 3 * 2, 1, 1))
    pixels = pixels[..., 0] if grey else pixels
    data = api.encode(pixels, model=str(tiny))
    assert len(passes.bands(1, *pixels.shape[:2])) == count
    try:
        threads.limit(1)
        assert api.encode(pixels, model=str(tiny)) == data
        one = np.asarray(api.decode(data))
    finally:
        threads.limit(0)
    shape = pixels.shape
    assert np.array_equal(one.reshape(shape), pixels) and np.array_equal(
        np.asarray(api.decode(data)).reshape(shape), pixels
    )
    (item,) = decoder.decode(data, tiny)
    assert item.pixels is not None and np.array_equal(item.pixels.reshape(shape), pixels)
