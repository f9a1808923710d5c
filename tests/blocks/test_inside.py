"""Pictures that were decoded from JPEG files as their coefficients."""

import io
import random

import numpy as np
import pytest
from jpeg.test_inverse import photograph
from jpeg.test_pixels import SUBSAMPLINGS, by_pillow, jpeg_file
from PIL import Image, PngImagePlugin

from bfncodec import api
from bfncodec.blocks import inside
from bfncodec.cli.info import _table
from bfncodec.errors import BfnError, CorruptFile
from bfncodec.jpeg.pixels import Colours
from bfncodec.picture import Layout


def png(pixels: np.ndarray, text: str = "") -> bytes:
    out, info = io.BytesIO(), PngImagePlugin.PngInfo()
    info.add_text("Comment", text)
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def pixels_of(data: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("colours", [Colours.GREY, *SUBSAMPLINGS])
def test_png_files_come_back_in_fewer_bytes_than_the_jpeg_file(colours: Colours) -> None:
    data = jpeg_file(photograph(128, 160, 1), colours, 80)
    given = png(by_pillow(data), "kept")
    encoded = api.encode(given)
    block = api.info(encoded)["blocks"][0]
    assert block["schedule"] == "coefficients" and block["decoded_from"] == f"JPEG, {colours.text}"
    assert len(encoded) < 0.92 * len(data)
    back = api.decode(encoded)
    assert np.array_equal(pixels_of(back), pixels_of(given)) and b"kept" in back
    assert "decoded from a JPEG" in _table("a.bfn", api.info(encoded), False)


def test_grey_pixels_in_three_channels() -> None:
    image = np.repeat(by_pillow(jpeg_file(photograph(96, 128, 2), Colours.GREY, 75)), 3, axis=2)
    encoded = api.encode(image)
    assert api.info(encoded)["blocks"][0]["decoded_from"] == "JPEG, grey"
    assert np.array_equal(api.decode(encoded), image)


def test_pixels_that_were_changed_are_exceptions() -> None:
    image = by_pillow(jpeg_file(photograph(128, 160, 3), Colours.HALF, 75)).copy()
    image[40:46, 50:64] = [200, 20, 30]
    encoded = api.encode(image)
    block = api.info(encoded)["blocks"][0]
    assert block["schedule"] == "coefficients" and block["exceptions"] >= 80
    assert np.array_equal(api.decode(encoded), image)


def test_other_pictures_are_pixels() -> None:
    image = by_pillow(jpeg_file(photograph(128, 160, 3), Colours.HALF, 75)) // 2
    assert "decoded_from" not in api.info(api.encode(image))["blocks"][0]


def test_damaged_blocks_are_refused() -> None:
    image = by_pillow(jpeg_file(photograph(96, 128, 5), Colours.HALF, 60))
    encoded = api.encode(image)
    generator = random.Random(4)
    for _ in range(40):
        changed = bytearray(encoded)
        changed[generator.randrange(8, len(changed))] ^= 1 << generator.randrange(8)
        with pytest.raises(BfnError):
            api.decode(bytes(changed))


def test_names_of_colours() -> None:
    plain, repeated = ["4:2:2", "4:2:0", "4:4:0"], ["4:2:2, repeated", "4:2:0, repeated", "4:4:0, repeated"]
    assert [colours.text for colours in Colours] == ["grey", "4:4:4", *plain, *repeated]


def test_a_small_file_cannot_ask_for_hours() -> None:
    form = inside.Inside(3, [75, 75, 75], rows=[4095], streams=[b"abc"])
    assert form.units(65520) == 4095 and not form.holds(65520, 65520)
    header = bytearray()
    payload = b"".join(map(bytes, form.write(header)))
    with pytest.raises(CorruptFile):
        inside.Inside.read(inside.Reader(bytes(header)), inside.Reader(payload), Layout.RGB, 65520, 65520)
