"""Photographs become what passes of other colour spaces hold."""

import numpy as np

from bfncodec.models.image import spaces
from bfncodec.models.image.passes import Space
from bfncodec.train.image import conversions


def smooth(side: int) -> np.ndarray:
    """Luma and colour differences [side, side, 3] that no conversion clips."""
    y, x = np.mgrid[:side, :side]
    planes = np.stack([110 + 30 * np.sin(x / 9), 130 + 9 * np.cos(y / 7), 140 + 9 * np.sin((x + y) / 11)], axis=-1)
    return planes.round().astype(np.uint8)


def test_integers_are_those_that_a_picture_was_converted_from() -> None:
    for space in (Space.PHOTO_CD, Space.JFIF, Space.WEBP, Space.BT709):
        planes = smooth(64)
        got = conversions._integers(spaces.to_grb(planes, space), space)
        assert abs(got - planes).max() < 1.6
        assert abs(got.mean(axis=(0, 1)) - planes.mean(axis=(0, 1))).max() < 0.8


def test_every_kind_of_conversion_comes_up() -> None:
    image = spaces.to_grb(smooth(256), Space.JFIF)
    made = [conversions.converted(image, np.random.default_rng(seed)) for seed in range(60)]
    same = [one for one in made if one is image]
    grey = [one for one in made if one.shape == image.shape and (one == one[..., :1]).all()]
    half = [one for one in made if one.shape == (128, 128, 3)]
    jpeg = [one for one in made if one is not image and one.shape == image.shape and not (one == one[..., :1]).all()]
    assert 60 == len(same) + len(grey) + len(half) + len(jpeg)
    assert len(same) > 30 and grey and half and jpeg
    assert all(one.dtype == np.uint8 for one in made)
    assert all(abs(one.astype(int) - smooth(256)).mean() < 4 for one in jpeg)


def test_small_images_stay() -> None:
    image = smooth(255)
    assert all(conversions.converted(image, np.random.default_rng(seed)) is image for seed in range(20))
