"""Colour differences of half resolution: that they are found, repaired where pixels were clipped, and undone."""

import io

import numpy as np
import pytest
from click.testing import CliRunner
from models.image.test_spaces import coded, rgb, smooth
from PIL import Image as PillowImage
from reference import decoder as reference_decoder

import bfncodec
from bfncodec import api, container, decoding
from bfncodec.blocks.image import Image
from bfncodec.cli.main import main
from bfncodec.errors import BfnError, CorruptFile
from bfncodec.models.image import sampling, spaces
from bfncodec.models.image.passes import STRIDE, Sampling, Space, ordered

HALF = [one for one in Sampling if one]


def planes(height: int, width: int, which: Sampling, seed: int = 0, items: int = 1) -> np.ndarray:
    """Luma and interpolated differences, uint8 [items, height, width, 3]; far from any end of their ranges."""
    integers = smooth(height, width, seed, items).clip(90, 160)
    halves = np.ascontiguousarray(which.of(integers)[..., 1:].clip(120, 150))
    whole = sampling.interpolated(halves, which, height, width)
    return np.concatenate([integers[..., :1], whole], axis=3)


def found(integers: np.ndarray, space: Space) -> tuple[Sampling, int]:
    """What is found of a picture, and how many exceptions; they and the rest give it."""
    pixels = spaces.to_grb(integers, space)
    name, inverse, _ = spaces.find(pixels)
    assert name == space
    halves = sampling.find(pixels, inverse, space)
    if halves is None:
        return Sampling.FULL, 0
    which, luma, differences, missing = halves
    assert differences.shape == (len(pixels), *which.shape(*pixels.shape[1:3]), 2)
    whole = sampling.interpolated(differences, which, *pixels.shape[1:3])
    back = spaces.to_grb(np.concatenate([luma, whole], axis=3), space)
    assert np.flatnonzero((back != pixels).any(axis=3)).tolist() == missing.tolist()
    return which, len(missing)


@pytest.mark.parametrize("which", HALF)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 2), (5, 8), (8, 5)])
def test_interpolation_is_that_of_the_second_decoder(which: Sampling, shape: tuple[int, int]) -> None:
    if min(which.shape(*shape)) < 1:
        return
    samples = np.random.default_rng(which).integers(0, 256, (2, *which.shape(*shape), 2), np.uint8)
    block = reference_decoder.Block(2, 2, 0, b"", width=shape[1], height=shape[0], sampling=which)
    expected = reference_decoder.interpolated(block, samples)
    whole = sampling.interpolated(samples, which, *shape)
    assert np.array_equal(whole, expected)
    assert which is Sampling.TRIANGLES or np.array_equal(which.of(whole), samples)
    luma = reference_decoder.sample_luma(block, whole[..., 0].astype(int))
    assert np.array_equal(luma, which.of(whole)[..., 0])


@pytest.mark.parametrize("which", HALF)
@pytest.mark.parametrize("shape", [(40, 50), (41, 51)])
@pytest.mark.parametrize("space", [Space.PHOTO_CD, Space.JFIF])
def test_half_resolution_is_found(which: Sampling, shape: tuple[int, int], space: Space) -> None:
    name, exceptions = found(planes(*shape, which, which, items=2), space)
    assert name == which and exceptions <= (20 if which is Sampling.TRIANGLES else 0)  # of 4000 pixels


@pytest.mark.parametrize("which", HALF)
def test_clipped_samples_are_repaired(which: Sampling) -> None:
    """Where it is bright, green or red leave their range, and a pixel has many integers."""
    integers = planes(60, 80, which, 3)
    integers[:, 20:32, 30:44, 0] = 190
    clipped = (spaces.to_grb(integers, Space.PHOTO_CD) == 255).any(axis=3)
    assert 100 < clipped.sum() < 400
    name, exceptions = found(integers, Space.PHOTO_CD)
    assert name == which and exceptions <= (20 if which is Sampling.TRIANGLES else 3)


@pytest.mark.parametrize("quality", [75, 95])
@pytest.mark.parametrize("shape", [(96, 128), (95, 121)])
def test_what_pillow_decodes_is_found(photo: np.ndarray, quality: int, shape: tuple[int, int]) -> None:
    """The triangles are a fact of its library."""
    file = io.BytesIO()
    photo = np.tile(photo, (3, 3, 1))[: shape[0], : shape[1]]
    PillowImage.fromarray(photo).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    pixels = ordered(np.asarray(PillowImage.open(file).convert("RGB")))[None]
    space, integers, _ = spaces.find(pixels)
    assert space == Space.JFIF
    halves = sampling.find(pixels, integers, space)
    assert halves is not None and halves.sampling is Sampling.TRIANGLES
    assert len(halves.missing) <= shape[0] * shape[1] // 500
    file = io.BytesIO()
    PillowImage.fromarray(photo).save(file, "JPEG", quality=quality, subsampling="4:4:4")
    pixels = ordered(np.asarray(PillowImage.open(file).convert("RGB")))[None]
    assert sampling.find(pixels, spaces.find(pixels)[1], Space.JFIF) is None


def test_full_resolution_stays() -> None:
    assert found(smooth(60, 70).clip(90, 160), Space.PHOTO_CD) == (Sampling.FULL, 0)
    edited = planes(60, 70, Sampling.EVEN_EVEN)
    edited[:, ::7, ::9, 2] += 1
    assert found(edited, Space.JFIF) == (Sampling.FULL, 0)


def test_white_pixels_say_nothing() -> None:
    """All of their many integers may be interpolated, those of the few others are not."""
    integers = smooth(60, 70).clip(90, 160)
    integers[:, 12:] = [255, 128, 128]
    assert found(integers, Space.JFIF) == (Sampling.FULL, 0)


@pytest.mark.parametrize("which", HALF)
@pytest.mark.parametrize("alpha", [False, True])
def test_round_trips(which: Sampling, alpha: bool) -> None:
    pixels = rgb(planes(33, 41, which, 7), Space.JFIF)[0]
    pixels[7, 9:12] ^= 4
    if alpha:
        pixels = np.concatenate([pixels, np.arange(41, dtype=np.uint8)[None, :, None].repeat(33, 0)], axis=2)
    form = coded(pixels)
    assert form.sampling == which and 0 < form.exceptions <= 10 and len(form.passes) == 2 + alpha


def test_heads_learn_from_differences() -> None:
    form = coded(rgb(planes(256, 258, Sampling.ODD_EVEN, 4), Space.PHOTO_CD)[0])
    assert form.sampling == Sampling.ODD_EVEN and [one.pace for one in form.passes] == [1, 1]


def test_constant_passes() -> None:
    integers = planes(40, 50, Sampling.EVEN_EVEN, 5)
    level = integers.copy()
    level[..., 0] = 120
    form = coded(rgb(level, Space.PHOTO_CD)[0])
    assert form.sampling and form.passes[0].constant == b"\x78" and form.passes[1].constant is None
    integers[..., 1:] = [130, 150]
    form = coded(rgb(integers, Space.PHOTO_CD)[0])
    if form.space:  # few colours may have no space
        assert form.sampling and form.passes[1].constant == b"\x82\x96"


def test_the_lattice_schedule_has_all_differences() -> None:
    form = coded(rgb(planes(40, 50, Sampling.EVEN_EVEN), Space.PHOTO_CD)[0], effort="lattice")
    assert form.space and not form.sampling


@pytest.mark.parametrize("shape", [(70, 90), (33, 17)])
def test_thumbnails_have_nearly_the_colours(shape: tuple[int, int]) -> None:
    pixels = rgb(planes(*shape, Sampling.ODD_ODD, 8), Space.PHOTO_CD)[0]
    pixels[16, 16] = [1, 250, 2]
    form = coded(pixels)
    assert form.sampling and form.exceptions
    small, true = form.thumbnail("cpu").pixels.astype(int), pixels[::STRIDE, ::STRIDE].astype(int)
    assert small.shape == true.shape and small[1, 1].tolist() == [1, 250, 2]
    assert abs(small - true).mean() < 20


def test_info_tells_of_it(tmp_path) -> None:
    data = bfncodec.encode(rgb(planes(40, 50, Sampling.EVEN_ODD), Space.PHOTO_CD)[0], model="tiny", device="cpu")
    assert api.info(data)["blocks"][0]["sampling"] == "even_odd"
    path = tmp_path / "a.bfn"
    path.write_bytes(data)
    assert "PhotoCD YCC, colour at half size, 0 exceptions," in CliRunner().invoke(main, ["info", str(path)]).output


@pytest.mark.parametrize("other", HALF[1:])
def test_another_sampling_is_an_error(other: Sampling) -> None:
    """Of the same size or not."""
    pixels = rgb(planes(40, 50, Sampling.EVEN_EVEN, 2), Space.PHOTO_CD)[0]
    file = decoding.read(bfncodec.encode(pixels, model="tiny", device="cpu"))
    form = file.blocks[0].form
    assert isinstance(form, Image)
    form.sampling = other
    with pytest.raises(CorruptFile):
        bfncodec.decode(container.write(file), device="cpu")


def test_damage_is_found() -> None:
    pixels = rgb(planes(33, 41, Sampling.EVEN_EVEN, 7), Space.JFIF)[0]
    data = bfncodec.encode(pixels, model="tiny", device="cpu")
    for place in range(8, len(data), 37):
        damaged = bytearray(data)
        damaged[place] ^= 16
        with pytest.raises(BfnError):
            bfncodec.decode(bytes(damaged), device="cpu")
