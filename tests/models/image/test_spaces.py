"""Pictures that were something else before: conversions, and that they are found and undone."""

import io
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image as PillowImage
from reference import decoder as reference_decoder

import bfncodec
from bfncodec import api, decoding
from bfncodec.blocks import pictures as picture_blocks
from bfncodec.blocks.image import Image, pack_exceptions, unpack_exceptions
from bfncodec.cli.main import main
from bfncodec.errors import CorruptFile
from bfncodec.models.image import spaces
from bfncodec.models.image.passes import SPACE_NAMES, STRIDE, Space, ordered
from bfncodec.picture import Layout, Origin, Picture
from bfncodec.presets import Choices

CONVERTED = [space for space in Space if space]


def smooth(height: int, width: int, seed: int = 0, items: int = 1) -> np.ndarray:
    """Luma and two differences that change slowly, far enough for clipping: uint8 [items, height, width, 3]."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(-3, 4, (items, height, width, 3)).cumsum(axis=2) + rng.integers(-6, 7, (items, height, 1, 3))
    return (steps.cumsum(axis=1) // 4 + [120, 135, 140]).clip(0, 255).astype(np.uint8)


def rgb(integers: np.ndarray, space: Space) -> np.ndarray:
    """R, G, B of integers [..., 3], luma first."""
    return ordered(spaces.to_grb(integers, space))


def coded(pixels: np.ndarray, **options: str) -> Image:
    """The only block's form, after its pixels came back."""
    data = bfncodec.encode(pixels, model="tiny", device="cpu", **options)
    assert np.array_equal(bfncodec.decode(data, device="cpu"), pixels)
    form = decoding.read(data).blocks[0].form
    assert isinstance(form, Image)
    return form


def random_colours(space: Space, count: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    integers = np.random.default_rng(space).integers(0, 256, (count, 3)).astype(np.uint8)
    return integers, rgb(integers, space)


@pytest.mark.parametrize("space", CONVERTED)
def test_conversions_are_those_of_the_second_decoder(space: Space) -> None:
    integers, colours = random_colours(space)
    assert [reference_decoder.rgb(space, *one) for one in integers.tolist()] == colours.tolist()


@pytest.mark.parametrize("space", CONVERTED)
def test_grey_has_no_differences(space: Space) -> None:
    """The middle of both differences is a grey that rises with luma, from black to white."""
    middle = {Space.PHOTO_CD: (137, 156)}.get(space, (128, 128))
    colours = rgb(np.array([[y, *middle] for y in range(256)], np.uint8), space).astype(int)
    assert np.ptp(colours, axis=1).max() <= 1
    assert colours[0].tolist() == [0, 0, 0] and colours[-1].tolist() == [255, 255, 255]
    assert (np.diff(colours, axis=0) >= 0).all()


@pytest.mark.parametrize("space", CONVERTED)
def test_tables_rise_and_fall(space: Space) -> None:
    """What the search for integers relies on."""
    of = spaces.tables(space)
    for rising in (of.luma, of.red, of.blue):
        assert (np.diff(rising) >= 0).all()
    for falling in (of.green_r, of.green_b):
        assert (np.diff(falling) <= 0).all()


@pytest.mark.parametrize("space", CONVERTED)
def test_converted_pixels_are_found_and_undone(space: Space) -> None:
    planes = spaces.to_grb(smooth(60, 70, space), space)
    found, integers, missing = spaces.find(planes)
    assert len(missing) == 0 and np.array_equal(spaces.to_grb(integers, found), planes)
    assert found == space


@pytest.mark.parametrize("space", CONVERTED)
def test_any_colours_that_occur_are_undone(space: Space) -> None:
    """Most of them clipped."""
    planes = ordered(random_colours(space)[1])[None, None]
    inverse = spaces._inverse(planes, space, 0)
    assert inverse is not None and np.array_equal(spaces.to_grb(inverse[0], space), planes)


def test_pixels_that_no_integers_give_are_told() -> None:
    planes = spaces.to_grb(smooth(50, 60), Space.PHOTO_CD)
    planes.reshape(-1, 3)[[0, 100, 2999]] = [[3, 200, 10], [200, 3, 10], [9, 9, 250]]
    space, integers, missing = spaces.find(planes)
    assert space == Space.PHOTO_CD and missing.tolist() == [0, 100, 2999]
    same = (spaces.to_grb(integers, space) == planes).all(-1).ravel()
    assert np.flatnonzero(~same).tolist() == missing.tolist()


@pytest.mark.parametrize("kind", ["random", "grey", "few colours", "one pixel", "edited"])
def test_others_stay_as_they_are(kind: str) -> None:
    rng = np.random.default_rng(1)
    grey = np.repeat(rng.integers(0, 256, (1, 40, 40, 1), np.uint8), 3, axis=3)
    edited = spaces.to_grb(smooth(40, 40), Space.JFIF)
    edited[:, :, ::7, 1] ^= 1
    planes = {
        "random": rng.integers(0, 256, (1, 40, 40, 3), np.uint8),
        "grey": grey,
        "few colours": spaces.to_grb(smooth(40, 40)[:, ::20, ::20].repeat(20, 1).repeat(20, 2), Space.JFIF),
        "one pixel": spaces.to_grb(smooth(1, 1), Space.JFIF),
        "edited": edited,
    }[kind]
    space, same, missing = spaces.find(planes)
    assert space == Space.RGB and same is planes and len(missing) == 0


@pytest.mark.parametrize("effort", ["default", "lattice"])
@pytest.mark.parametrize("alpha", [False, True])
def test_round_trips(effort: str, alpha: bool) -> None:
    pixels = rgb(smooth(33, 40), Space.JFIF)[0]
    pixels[7, 9:12] ^= 1
    if alpha:
        pixels = np.concatenate([pixels, np.arange(40, dtype=np.uint8)[None, :, None].repeat(33, 0)], axis=2)
    form = coded(pixels, effort=effort)
    assert form.space == Space.JFIF and 0 < form.exceptions <= 3


def test_a_pixel_and_a_constant_have_no_space() -> None:
    for pixels in (rgb(smooth(1, 1), Space.JFIF)[0], np.full((30, 30, 3), [10, 90, 30], np.uint8)):
        assert coded(pixels).space == Space.RGB


def test_integers_may_be_constant_where_pixels_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """All else is told as exceptions then."""
    monkeypatch.setattr(spaces, "COLOURS", 0)
    pixels = np.full((30, 40, 3), rgb(np.array([90, 130, 120], np.uint8), Space.WEBP))
    pixels[[3, 9], [5, 39]] = [[1, 2, 250], [250, 1, 2]]
    monkeypatch.setattr(spaces, "TABLES", {Space.WEBP: spaces.TABLES[Space.WEBP]})
    form = coded(pixels)
    assert form.space == Space.WEBP and form.passes[0].constant is not None and form.exceptions == 2


def test_a_block_of_pictures_has_one_space_or_none() -> None:
    stack = rgb(smooth(12, 20, 5, items=4), Space.PHOTO_CD)
    other = np.random.default_rng(0).integers(0, 256, stack[:1].shape, np.uint8)
    for pixels, space in ((stack, Space.PHOTO_CD), (np.concatenate([stack, other]), Space.RGB)):
        pictures = [Picture(Origin.ARRAY, Layout.RGB, one) for one in pixels]
        block = picture_blocks.encode(pictures, Choices(model="tiny", device="cpu"))
        assert isinstance(block.form, Image) and block.form.space == space
        decoded = [one for one in block.form.decode(block, "cpu") if isinstance(one, Picture)]
        assert np.array_equal([one.pixels for one in decoded], pixels)


def test_thumbnails_are_converted_too() -> None:
    pixels = rgb(smooth(40, 50), Space.PHOTO_CD)[0]
    pixels[16, 32] = [1, 250, 2]
    pixels[17, 33] = [1, 250, 2]
    form = coded(pixels)
    assert form.exceptions == 2
    assert np.array_equal(form.thumbnail("cpu").pixels, pixels[::STRIDE, ::STRIDE])


def test_info_names_the_space(tmp_path) -> None:
    pixels = rgb(smooth(33, 40), Space.PHOTO_CD)[0]
    pixels[7, 9] = [1, 250, 2]
    data = bfncodec.encode(pixels, model="tiny", device="cpu")
    (block,) = api.info(data)["blocks"]
    assert (block["space"], block["exceptions"]) == ("PhotoCD YCC", 1)
    path = tmp_path / "a.bfn"
    path.write_bytes(data)
    assert "PhotoCD YCC, 1 exception," in CliRunner().invoke(main, ["info", str(path)]).output
    shown = json.loads(CliRunner().invoke(main, ["info", "--json", str(path)]).output)
    assert shown["blocks"] == [block]
    noise = np.random.default_rng(0).integers(0, 256, (33, 40, 3), np.uint8)
    assert "space" not in api.info(bfncodec.encode(noise, model="tiny", device="cpu", media="image"))["blocks"][0]


def test_every_space_has_a_name_and_tables() -> None:
    assert list(SPACE_NAMES) == CONVERTED == list(spaces.TABLES)
    assert len(set(SPACE_NAMES.values())) == len(CONVERTED)


@pytest.mark.parametrize("numbers", [[], [0], [3, 4, 1000, 99_999]])
def test_exceptions_come_back(numbers: list[int]) -> None:
    colours = np.arange(3 * len(numbers), dtype=np.uint8).reshape(-1, 3)
    packed = pack_exceptions(np.array(numbers, np.int64), colours)
    assert bool(packed) == bool(numbers)
    back = unpack_exceptions(packed, len(numbers), 100_000)
    assert back[0].tolist() == numbers and np.array_equal(back[1], colours)
    for count, pixels in [(len(numbers) + 1, 100_000), *([(len(numbers), numbers[-1]), (0, 9)] if numbers else [])]:
        with pytest.raises(CorruptFile):
            unpack_exceptions(packed, count, pixels)


@pytest.mark.parametrize("kind, space", [("JPEG", Space.JFIF), ("WEBP", Space.WEBP)])
def test_what_pillow_decodes_is_found(photo: np.ndarray, kind: str, space: Space) -> None:
    """The conversions are facts of these libraries."""
    file = io.BytesIO()
    PillowImage.fromarray(photo).save(file, kind, quality=90)
    found, _, missing = spaces.find(ordered(np.asarray(PillowImage.open(file).convert("RGB")))[None])
    assert found == space and len(missing) == 0
