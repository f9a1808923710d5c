"""Coefficients are found again in pixels that were decoded from JPEG files."""

import numpy as np
import pytest
from jpeg.test_pixels import SUBSAMPLINGS, by_pillow, jpeg_file

from bfncodec import jpeg
from bfncodec.jpeg import inverse, pixels, transform
from bfncodec.jpeg.pixels import Colours
from bfncodec.jpeg.rest import standard_tables
from bfncodec.models.image import spaces
from bfncodec.models.image.passes import Space, ordered


def photograph(height: int, width: int, seed: int) -> np.ndarray:
    """Waves and noise of many sizes, no values near the ends: uint8 [height, width, 3]."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((height, width))
    out = np.full((height, width, 3), 120.0)
    for _ in range(24):
        a, b, c = rng.normal(0, 0.25, 2), rng.uniform(0, 6), rng.normal(0, 9, 3)
        out += np.sin(a[0] * x + a[1] * y + b)[..., None] * (0.5 * c + 4)
    return (out + rng.normal(0, 2, out.shape)).clip(8, 247).astype(np.uint8)


def found(image: np.ndarray) -> inverse.Found | None:
    if image.shape[2] == 1:
        return inverse.find(image, None)
    integers = spaces.integers(ordered(image)[None], Space.JFIF)
    assert integers is not None
    return inverse.find(image, np.ascontiguousarray(integers[0][0][..., [0, 2, 1]]))


@pytest.mark.parametrize("quality", [50, 75, 90])
@pytest.mark.parametrize("colours", [Colours.GREY, *SUBSAMPLINGS])
def test_coefficients_are_found(colours: Colours, quality: int) -> None:
    data = jpeg_file(photograph(96, 128, quality), colours, quality)
    image = by_pillow(data)
    assert inverse.is_likely(image)
    one = found(image)
    assert one is not None and one.colours == colours and len(one.wrong) < 20
    parsed = jpeg.parse(data)
    assert parsed is not None
    assert np.mean(parsed[0].coefficients != one.coefficients) < 0.01
    given = pixels.pixels(one.coefficients, one.quantisers, image.shape[:2], colours)
    assert np.array_equal(np.flatnonzero((given != image).any(axis=2)), one.wrong)


@pytest.mark.parametrize("colours", [Colours.GREY, *SUBSAMPLINGS])
def test_odd_sizes_have_blocks_that_are_seen_in_part(colours: Colours) -> None:
    one = found(by_pillow(jpeg_file(photograph(75, 109, 3), colours, 75)))
    assert one is not None and one.colours == colours and len(one.wrong) < 75 * 109 // 100


@pytest.mark.parametrize(
    "colours", [Colours.REPEATED_ACROSS, Colours.REPEATED, Colours.REPEATED_DOWN, Colours.HALF_DOWN]
)
def test_other_ways_to_fill_up_colours(colours: Colours) -> None:
    """Which Pillow does not have: coefficients from another file."""
    parsed = jpeg.parse(jpeg_file(photograph(96, 128, 5), Colours.HALF, 80))
    assert parsed is not None
    frame, own = pixels.frame(96, 128, colours), parsed[0].frame()
    assert own is not None
    parts = [jpeg.blocks(parsed[0].coefficients, one) for one in own.components]
    wide = [
        np.resize(part, (one.stored_rows, one.stored_columns, 64))
        for part, one in zip(parts, frame.components, strict=True)
    ]
    coefficients = np.concatenate([part.reshape(-1) for part in wide]).astype(np.int16)
    quantisers = parsed[0].quantisers()
    image = pixels.pixels(coefficients, quantisers, (96, 128), colours)
    one = found(image)
    assert one is not None and one.colours == colours and len(one.wrong) <= 96 * 128 // 100


def test_pixels_that_were_not_decoded_from_a_jpeg_file() -> None:
    picture = photograph(96, 128, 4)
    assert not inverse.is_likely(picture) and not inverse.is_likely(picture[..., :1])
    moved = by_pillow(jpeg_file(photograph(104, 136, 4), Colours.HALF, 85))[3:99, 5:133]
    assert not inverse.is_likely(moved)


def test_a_crop_at_whole_blocks_is_found() -> None:
    image = by_pillow(jpeg_file(photograph(112, 144, 6), Colours.FULL, 75))[16:100, 32:137]
    one = found(np.ascontiguousarray(image))
    assert one is not None and one.colours is Colours.FULL and len(one.wrong) < 90


def test_steps_that_are_no_standard_table() -> None:
    rng = np.random.default_rng(1)
    table = 4 + np.arange(64) // 2
    values = np.round(rng.laplace(0, 40 / (1 + np.arange(64)), (20, 20, 64))) * table
    plane = (
        np.einsum("rcf,fp->rcp", values, transform.BASIS).reshape(20, 20, 8, 8).transpose(0, 2, 1, 3).reshape(160, 160)
    )
    plane = np.floor(plane + 128.5)
    known, noise = np.ones((20, 20), bool), np.full(64, transform.ROUNDING)
    steps = transform.steps(plane, transform.forward(plane), known, noise, False)
    used = np.count_nonzero(values, axis=(0, 1)) > 20
    assert steps.quality == 0 and np.array_equal(steps.table[used], table[used])


def test_standard_tables() -> None:
    assert np.array_equal(standard_tables(False)[49, :4], [16, 11, 10, 16])
    assert (standard_tables(True)[99] == 1).all()
