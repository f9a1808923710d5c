"""JPEG files as blocks."""

import io
import random

import numpy as np
import pytest
from jpeg.test_files import jpeg, small, small_progressive
from PIL import Image

from bfncodec import api, container, decoding, encoding
from bfncodec.blocks import smallest
from bfncodec.errors import BfnError, LimitExceeded, UnsupportedFeature
from bfncodec.jpeg import parse, preview
from bfncodec.presets import Choices


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_files_come_back_smaller(mode: str, progressive: bool) -> None:
    data = jpeg(200, 150, mode, quality=85, progressive=progressive)
    encoded = api.encode(data)
    assert api.info(encoded)["blocks"][0]["mode"] == "jpeg"
    assert api.decode(encoded) == data and len(encoded) < 0.9 * len(data)


def test_several_images_and_what_lies_between() -> None:
    data = small() + b"\0" * 200 + small_progressive() + b"the end" * 20
    encoded = api.encode(data)
    assert api.info(encoded)["blocks"][0]["images"] == 2
    assert api.decode(encoded) == data


def test_what_is_no_whole_jpeg_is_coded_all_the_same() -> None:
    for data in (small()[:500], small()[:-9], b"\xff\xd8\xff" + bytes(40)):
        assert api.decode(api.encode(data)) == data


def test_damaged_blocks_are_refused() -> None:
    encoded = api.encode(small())
    generator = random.Random(3)
    start = len(encoded) - 900
    for _ in range(60):
        changed = bytearray(encoded)
        changed[generator.randrange(start, len(changed))] ^= 1 << generator.randrange(8)
        with pytest.raises(BfnError):
            api.decode(bytes(changed))


def test_the_header_is_as_long_as_it_is() -> None:
    encoded = api.encode(small())
    file = decoding.read(encoded)
    assert container.write(file) == encoded


@pytest.mark.parametrize("media", ["auto", "image", "bytes"])
def test_it_is_an_image_and_comes_back_byte_for_byte(media: str) -> None:
    encoded = api.encode(small(), media=media)
    assert api.info(encoded)["blocks"][0]["mode"] == "jpeg" and api.decode(encoded) == small()


def test_words_about_what_is_wanted() -> None:
    with pytest.raises(UnsupportedFeature, match="--media auto"):
        api.encode(b"\xff\xd8\xff" + bytes(40), media="image")
    assert api.info(api.encode(small(), media="text"))["blocks"][0]["mode"] != "jpeg"


def test_files_larger_than_a_part_are_tried_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smallest, "PART", 1 << 10)
    for data, modes in ((small(), {"jpeg"}), (b"\xff\xd8\xff" + bytes(3000), {"lzma"})):
        file = encoding.encode_bytes(data, Choices())
        assert {block.form.name for block in file.blocks} == modes
        assert api.decode(container.write(file)) == data


def test_archives_share_nothing_but_the_file() -> None:
    items = [("a.jpg", small()), ("b", b"words"), ("c.jpg", small_progressive())]
    encoded = container.write(encoding.encode_archive(items, Choices()))
    assert api.decode_items(encoded) == dict(items)


def test_limits_of_pixels() -> None:
    encoded = api.encode(small())
    with pytest.raises(LimitExceeded, match="--max-pixels"):
        decoding.read(encoded, max_pixels=400)
    assert api.info(api.encode(small(), max_pixels=400))["blocks"][0]["mode"] != "jpeg"
    with pytest.raises(LimitExceeded, match="50x37 pixels; the limit is 400"):
        api.encode(small(), media="image", max_pixels=400)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_the_preview_is_the_means_of_blocks(mode: str, subsampling: int) -> None:
    """Of 8 x 8 pixels, give or take what quantising and half the resolution of colours do."""
    y, x = np.mgrid[:150, :203]
    pixels = np.stack([x, y + 40, 250 - y // 2 - x // 2], axis=-1).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "JPEG", quality=92, subsampling=subsampling)
    data = buffer.getvalue()
    seen = decoding.preview(decoding.read(api.encode(data)), "cpu").pixels
    with Image.open(io.BytesIO(data)) as image:
        whole = np.asarray(image.convert(mode)).reshape(150, 203, -1)[:144, :200].astype(float)
    means = whole.reshape(18, 8, 25, 8, -1).mean(axis=(1, 3))
    assert seen.shape == (19, 26, len(mode)) and seen.dtype == np.uint8
    assert np.abs(seen[:18, :25] - means).mean() < 5


def test_previews_of_four_inks_are_grey() -> None:
    file = decoding.read(api.encode(jpeg(64, 40, "CMYK", quality=80)))
    assert decoding.preview(file, "cpu").pixels.shape == (5, 8, 1)


def test_previews_of_rgb_are_not_converted() -> None:
    """Components that say they are R, G, B."""
    plain = jpeg(64, 40, "RGB", quality=90, subsampling=0, keep_rgb=True)
    image, _ = parse(plain)
    with Image.open(io.BytesIO(plain)) as shown:
        whole = np.asarray(shown).astype(float).reshape(5, 8, 8, 8, 3).mean(axis=(1, 3))
    assert np.abs(preview.pixels(image) - whole).mean() < 2
