"""Pixels from coefficients are those of libjpeg, which Pillow has."""

import io

import numpy as np
import pytest
from PIL import Image

from bfncodec import jpeg
from bfncodec.jpeg import pixels
from bfncodec.jpeg.pixels import Colours

SUBSAMPLINGS = {Colours.FULL: 0, Colours.HALF_ACROSS: 1, Colours.HALF: 2}


def random_picture(rng: np.random.Generator, height: int, width: int, noise: float) -> np.ndarray:
    """Rectangles that go beyond all bounds, with noise: uint8 [height, width, 3]."""
    rough = rng.integers(-60, 310, (height // 5 + 1, width // 7 + 1, 3))
    whole = np.kron(rough, np.ones((5, 7, 1)))[:height, :width]
    return (whole + rng.normal(0, noise, whole.shape)).clip(0, 255).astype(np.uint8)


def jpeg_file(picture: np.ndarray, colours: Colours, quality: int) -> bytes:
    out = io.BytesIO()
    if colours is Colours.GREY:
        Image.fromarray(picture).convert("L").save(out, "JPEG", quality=quality)
    else:
        Image.fromarray(picture).save(out, "JPEG", quality=quality, subsampling=SUBSAMPLINGS[colours])
    return out.getvalue()


def by_pillow(data: bytes) -> np.ndarray:
    picture = np.array(Image.open(io.BytesIO(data)))
    return picture.reshape(*picture.shape[:2], -1)


@pytest.mark.parametrize("colours", [Colours.GREY, *SUBSAMPLINGS])
def test_pixels_are_those_of_libjpeg(colours: Colours) -> None:
    rng = np.random.default_rng(colours)
    for number in range(60):
        height, width = rng.integers(5, 130, 2).tolist()
        data = jpeg_file(
            random_picture(rng, height, width, (0, 20, 80)[number % 3]), colours, int(rng.integers(1, 101))
        )
        parsed = jpeg.parse(data)
        assert parsed is not None
        given = pixels.pixels(parsed[0].coefficients, parsed[0].quantisers(), (height, width), colours)
        assert np.array_equal(given, by_pillow(data))


@pytest.mark.parametrize("colours", Colours)
def test_frames_have_the_samples_that_pixels_need(colours: Colours) -> None:
    for height, width in ((1, 1), (7, 40), (16, 16), (17, 33)):
        frame = pixels.frame(height, width, colours)
        rows, columns = pixels.part((height, width), colours)
        assert all(8 * one.stored_rows >= rows and 8 * one.stored_columns >= columns for one in frame.components)
        assert len(frame.components) == (3 if colours else 1)


def test_repeated_and_triangular_samples_differ_only_where_samples_do() -> None:
    for repeated, triangles in ((5, 2), (6, 3), (7, 4)):
        assert Colours(repeated).across == Colours(triangles).across
        assert Colours(repeated).down == Colours(triangles).down
        assert Colours(triangles).triangles and not Colours(repeated).triangles
