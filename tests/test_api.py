"""Items that are no files: arrays, and images of Pillow."""

import itertools

import numpy as np
import pytest
from PIL import Image
from tools.image_files import PROFILE, exif

import bfncodec
from bfncodec import api
from bfncodec.errors import UnsupportedFeature


def test_pillow_images_keep_mode_and_metadata(photo: np.ndarray) -> None:
    for mode in ("L", "LA", "RGB", "RGBA"):
        given_image = Image.fromarray(photo[:20, :20]).convert(mode)
        given_image.info |= {"icc_profile": b"profile", "exif": exif(6)}
        decoded = bfncodec.decode(bfncodec.encode(given_image, model="tiny"))
        assert decoded.mode == mode and decoded.size == (20, 20)
        assert np.array_equal(np.asarray(decoded), np.asarray(given_image))
        assert decoded.info["icc_profile"] == b"profile"
        assert decoded.getexif()[0x0112] == 6


def test_pillow_images_keep_a_large_profile(photo: np.ndarray) -> None:
    """Larger than Pillow unpacks from a PNG; and larger images than it likes come back without a warning."""
    given_image = Image.fromarray(photo[:20, :20])
    given_image.info["icc_profile"] = PROFILE
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
        decoded = bfncodec.decode(bfncodec.encode(given_image, model="tiny"))
    assert decoded.info["icc_profile"] == PROFILE
    assert np.array_equal(np.asarray(decoded), np.asarray(given_image))


@pytest.mark.parametrize("mode", ["PA", "CMYK", "I", "F", "HSV", "YCbCr"])
def test_pillow_images_of_other_modes_are_refused(mode: str) -> None:
    with pytest.raises(UnsupportedFeature, match="mode"):
        bfncodec.encode(Image.new(mode, (2, 2)))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2, 3), np.uint32),
        np.zeros((2, 2, 3), np.int8),
        np.zeros((2, 2, 5), np.uint8),
        np.zeros((0, 2, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((1, 2, 2, 3), np.uint8),
        np.zeros((2, 2, 3)),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}",
)
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(UnsupportedFeature, match="uint8"):
        bfncodec.encode(array)


def test_views_with_odd_strides(photo: np.ndarray) -> None:
    for flip, channels in itertools.product((1, -1), (1, 3)):
        view = photo[::flip, ::-1, :channels][:9, :7]
        assert np.array_equal(bfncodec.decode(bfncodec.encode(view, model="tiny")), view)


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<i2", ">i2"])
@pytest.mark.parametrize("shape", [(5, 7), (9, 4, 1), (3, 8, 2), (6, 5, 3), (1, 1, 4)])
def test_arrays_of_16_bits_come_back(dtype: str, shape: tuple[int, ...]) -> None:
    """With their type, in this machine's byte order; with a third axis."""
    limits = np.iinfo(dtype)
    array = np.random.default_rng(0).integers(limits.min, limits.max + 1, shape).astype(dtype)
    encoded = bfncodec.encode(array)
    decoded = bfncodec.decode(encoded)
    assert decoded.dtype == np.dtype(dtype).newbyteorder("<")
    assert np.array_equal(decoded, array.reshape(*shape[:2], -1))
    (block,) = bfncodec.info(encoded)["blocks"]
    assert (block["depth"], block["signed"], block["source"]) == (16, dtype[1] == "i", "array")


def test_signed_numbers_keep_their_order() -> None:
    picture = api.from_array(np.array([[-32768, -1, 0, 32767]], np.int16))
    assert picture.pixels.ravel().tolist() == [0, 32767, 32768, 65535] and picture.signed
    assert picture.values().ravel().tolist() == [-32768, -1, 0, 32767]
