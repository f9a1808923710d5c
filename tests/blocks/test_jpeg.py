"""JPEG files as blocks."""

import random

import pytest
from jpeg.test_files import jpeg, small, small_progressive

from bfncodec import api, container, decoding
from bfncodec.errors import BfnError


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
