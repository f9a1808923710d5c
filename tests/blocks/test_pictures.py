"""Which way pictures are coded: by the network, as exact colours, or by whatever of both is smaller."""

import io
from typing import Any

import numpy as np
import pytest
from models.graphics.test_streams import drawing
from PIL import Image as Image_

import bfncodec
from bfncodec import decoding
from bfncodec.blocks import pictures as picture_blocks
from bfncodec.blocks.image import Image
from bfncodec.coding.ledger import Ledger
from bfncodec.errors import CorruptFile
from bfncodec.exact import threads
from bfncodec.models.image.passes import Schedule
from bfncodec.picture import Layout, Origin, Picture
from bfncodec.presets import Choices

DRAWING = drawing(60, 80, 3)[0]
SIZE = 160


def smooth() -> np.ndarray:
    """Waves with a little noise, half of them white: what a network is for, though every second pixel is repeated."""
    y, x = np.mgrid[:SIZE, :SIZE]
    waves = 128 + 60 * np.sin(x / 19) + 50 * np.cos(y / 17)
    noise = np.random.default_rng(0).normal(0, 1, (SIZE, SIZE, 3))
    pixels = (waves[..., None] * [0.9, 1.0, 0.8] + noise).clip(0, 255).astype(np.uint8)
    pixels[:, : SIZE // 2] = 255
    return pixels


def mixed() -> np.ndarray:
    """A drawing, and some of those waves."""
    pixels = smooth()
    pixels[:, : SIZE * 3 // 4] = drawing(SIZE, SIZE * 3 // 4, 3)[0]
    return pixels


def encoded(pixels: np.ndarray, asked: list[str] | None = None, **choices: Any) -> Schedule:
    """The schedule of one picture, which comes back; `asked` gets the ways that are tried."""
    picture = Picture(Origin.ARRAY, Layout(pixels.shape[2] - 1), pixels)
    ways = picture_blocks._ways([picture], Choices("cpu", **choices))
    if asked is not None:
        asked += [way.__name__ for way in ways]
    ledger = Ledger()
    block = picture_blocks.encode([picture], Choices("cpu", **choices), ledger)
    assert isinstance(block.form, Image)
    (item,) = block.form.decode(block, "cpu")
    assert np.array_equal(item.pixels, pixels)
    assert 8 * block.form.coded_bytes <= ledger.n_step_loss * 1.01 + 200, "the ledger is of what was taken"
    return block.form.schedule


def test_drawings_are_exact_and_photographs_are_not(photo: np.ndarray) -> None:
    asked: list[str] = []
    assert encoded(DRAWING, asked) is Schedule.EXACT and asked == ["_exact"]
    asked.clear()
    assert encoded(photo, asked) is Schedule.WAVEFRONT and asked == ["_network"]


def test_both_are_tried_where_neither_is_certain() -> None:
    for pixels, wanted in ((smooth(), Schedule.WAVEFRONT), (mixed(), Schedule.EXACT)):
        asked: list[str] = []
        assert encoded(pixels, asked) is wanted and asked == ["_network", "_exact"]


def test_what_was_asked_for_is_done() -> None:
    assert encoded(DRAWING, effort="lattice") is Schedule.LATTICE
    assert encoded(DRAWING, model="tiny") is Schedule.WAVEFRONT


def test_a_sample_decides_about_large_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_blocks, "SMALL", 1000)
    monkeypatch.setattr(picture_blocks, "LEAST", SIZE * SIZE * 3 // 4)
    for large in (1000, 1 << 20):
        monkeypatch.setattr(picture_blocks, "LARGE", large)
        for pixels, wanted in ((smooth(), "_network"), (mixed(), "_exact")):
            asked: list[str] = []
            encoded(pixels, asked)
            assert asked == [wanted]
    monkeypatch.setattr(picture_blocks, "EXACT", 0.01)
    asked = []
    encoded(mixed(), asked)
    assert asked == ["_network", "_exact"], "the sample was not clear"


def test_photographs_of_other_colour_spaces_are_known_without_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_blocks, "SMALL", 1000)
    y, x = np.mgrid[:SIZE, :SIZE]
    waves = [128 + 80 * np.sin(x / (39 + 9 * i) + y / 47) for i in range(3)]
    buffer = io.BytesIO()
    Image_.fromarray(np.stack(waves, axis=-1).astype(np.uint8)).save(buffer, "JPEG", quality=98, subsampling=0)
    asked: list[str] = []
    encoded(np.asarray(Image_.open(buffer)), asked)
    assert asked == ["_network"]


def shuffled(seed: int) -> tuple[np.ndarray, bytes]:
    """Numbers uint8 [64, 80, 1] of a smooth grey picture whose palette is in disorder, and that palette."""
    order = np.random.default_rng(seed).permutation(100).astype(np.uint8)
    y, x = np.mgrid[:64, :80]
    grey = (50 + 30 * np.sin(x / 11) + 15 * np.cos(y / 9)).astype(np.uint8)
    numbers = np.argsort(order).astype(np.uint8)
    return numbers[grey][..., None], np.repeat(order[:, None], 3, axis=1).tobytes()


def test_palettes_are_brought_into_order() -> None:
    pixels, palette = shuffled(1)
    given = [Picture(Origin.ARRAY, Layout.P, pixels, palette=palette), Picture(Origin.ARRAY, Layout.P, pixels)]
    blocks = [picture_blocks.encode([one], Choices("cpu")) for one in given]
    forms = [block.form for block in blocks]
    assert isinstance(forms[0], Image) and isinstance(forms[1], Image)
    assert [len(form.order) for form in forms] == [int(pixels.max()) + 1, 0]
    assert blocks[0].payload_bytes < 0.8 * blocks[1].payload_bytes
    for block in blocks:
        (found,) = block.form.decode(block, "cpu")
        assert np.array_equal(found.pixels, pixels)
    forms[0].order = forms[0].order[:20]
    with pytest.raises(CorruptFile, match="order"):
        list(forms[0].decode(blocks[0], "cpu"))


def test_palettes_are_left_alone_where_order_does_not_pay() -> None:
    pixels, palette = shuffled(2)
    drawn = drawing(30, 40, 1)[0] % 100
    for pictures in (
        [Picture(Origin.ARRAY, Layout.P, drawn[:9, :9], palette=palette)],
        [Picture(Origin.ARRAY, Layout.P, pixels, palette=palette), Picture(Origin.ARRAY, Layout.P, pixels)],
    ):
        form = picture_blocks.encode(pictures, Choices("cpu")).form
        assert isinstance(form, Image) and form.order == b""


@pytest.mark.parametrize("shape", [(1, 5000), (2, 3000), (3, 70), (5000, 1), (9, 9)])
def test_samples_of_any_shape(shape: tuple[int, int]) -> None:
    pixels = np.arange(shape[0] * shape[1]).reshape(*shape, 1)
    stripes = picture_blocks._stripes(pixels, 1 << 12)
    assert 1 <= len(stripes) <= max(shape[0], picture_blocks.STRIPES) and stripes.shape[1:] == pixels.shape[1:]


def test_large_exact_pictures_are_cut_into_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bfncodec.models.image.passes.EXACT_BAND_PIXELS", 3000)
    pixels = np.tile(DRAWING, (3, 1, 1))
    made = []
    for count in (1, 2):
        monkeypatch.setattr(threads, "count", lambda count=count: count)
        made.append(bfncodec.encode(pixels))
        assert np.array_equal(bfncodec.decode(made[0]), pixels)
    one, two = made
    assert one == two
    form = decoding.read(one).blocks[0].form
    assert isinstance(form, Image) and len(form.exact) == 3
