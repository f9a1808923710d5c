"""What goes in comes out, for every layout and many sizes."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import bfncodec
from bfncodec import arrays, container, encoding
from bfncodec.blocks import plain
from bfncodec.container import File
from bfncodec.presets import Choices
from bfncodec.spans import whole


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_arrays_of_every_layout(photo: np.ndarray, channels: int) -> None:
    alpha = np.arange(48 * 56, dtype=np.uint8).reshape(48, 56, 1)
    colour = photo if channels > 2 else photo[..., :1]
    pixels = np.concatenate([colour, alpha], 2) if channels in (2, 4) else colour
    encoded = bfncodec.encode(pixels, model="tiny")
    assert np.array_equal(bfncodec.decode(encoded), pixels)
    assert len(encoded) < pixels.size


def test_png_keeps_pixels_and_chunks(photo: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "PNG", dpi=(72, 72), icc_profile=b"profile")
    back = bfncodec.decode(bfncodec.encode(buffer.getvalue(), model="tiny"))
    with Image.open(io.BytesIO(back)) as image:
        assert np.array_equal(np.asarray(image), photo)
        assert image.info["icc_profile"] == b"profile"
        assert image.info["dpi"] == pytest.approx((72, 72), abs=0.1)


@settings(max_examples=40)
@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from([1, 2, 3, 4]),
    st.sampled_from(["noise", "constant", "extremes", "gradient"]),
    st.sampled_from(["default", "lattice"]),
    st.integers(0, 2**32 - 1),
)
def test_any_size_and_content(height: int, width: int, channels: int, kind: str, effort: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = (height, width, channels)
    pixels = {
        "noise": lambda: random.integers(0, 256, shape),
        "constant": lambda: np.full(shape, random.integers(0, 256)),
        "extremes": lambda: random.integers(0, 2, shape) * 255,
        "gradient": lambda: np.broadcast_to(np.arange(width)[None, :, None] * 3 % 256, shape),
    }[kind]().astype(np.uint8)
    assert np.array_equal(bfncodec.decode(bfncodec.encode(pixels, model="tiny", effort=effort)), pixels)


@pytest.mark.parametrize("side", [16, 40])
def test_complementary_checkerboards_at_the_ends_of_every_range(side: int) -> None:
    board = np.indices((side, side)).sum(0) % 2
    pixels = np.array([[255, 0, 255], [0, 255, 0]], np.uint8)[board]
    for model in ("tiny", "small", "photo"):
        assert np.array_equal(bfncodec.decode(bfncodec.encode(pixels, model=model)), pixels)


@pytest.mark.parametrize("side", [2, 4, 12])
@pytest.mark.parametrize("count", [1, 2, 10])
@pytest.mark.parametrize("levels", [1, 4, 256])
def test_arrays_are_no_larger_than_lzma_of_them(levels: int, count: int, side: int) -> None:
    """All that an archive of images needs counts, names too."""
    array = np.random.default_rng(0).integers(0, levels, (count, side, side, 1), np.uint8)
    encoded = arrays.encode(array, Choices(model="tiny"))
    assert np.array_equal(arrays.decode(encoded).reshape(array.shape), array)
    assert len(encoded) <= container.size(File([plain.encode(array.tobytes())]))


@pytest.mark.parametrize(
    "wrong, known",
    [
        ({"effort": "fastest"}, "fast, lattice, blocks, default, max"),
        ({"effort": None}, "fast"),
        ({"media": "imgae"}, "auto, image, text, bytes"),
        ({"device": "cdua"}, "auto, cpu, cuda"),
    ],
)
def test_unknown_choices_are_refused(wrong: dict[str, Any], known: str) -> None:
    """By every function that takes them, also where they would change nothing."""
    pixels = np.zeros((4, 4, 3), np.uint8)
    attempts = (
        lambda: bfncodec.encode(b"", **wrong),
        lambda: bfncodec.encode(pixels, **wrong),
        lambda: bfncodec.encode(Image.fromarray(pixels), **wrong),
        lambda: bfncodec.encode(b"\0" * 130, model="tiny-binary", **wrong),
        lambda: encoding.encode_file(whole(io.BytesIO(b"x")), io.BytesIO(), Choices(**wrong)),
        lambda: encoding.encode_archive([("a", b"x")], Choices(**wrong)),
        lambda: arrays.encode(pixels, Choices(**wrong)),
    )
    for attempt in attempts:
        with pytest.raises(ValueError, match=f"no {next(iter(wrong))} is called .*; there are {known}"):
            attempt()


def test_unknown_senders_are_refused() -> None:
    with pytest.raises(ValueError, match="no sender is called 'gauss'; there are gaussian, dither, categorical"):
        Choices(sender="gauss")
