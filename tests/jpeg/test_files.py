"""JPEG files come back to the last byte, or are left alone."""

import io
import random
from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bfncodec.jpeg import blocks, build, parse


def picture(width: int, height: int, mode: str = "RGB", seed: int = 1) -> Image.Image:
    """Something smooth with noise and edges."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    planes = [128 + 90 * np.sin(x / (7 + i) + y / 11) + 20 * (x > width // 2) for i in range(len(mode))]
    pixels = np.stack(planes, axis=-1) + random.normal(0, 6, (height, width, len(mode)))
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if mode == "L" else pixels, mode=None if mode != "CMYK" else "CMYK")


def jpeg(width: int, height: int, mode: str = "RGB", seed: int = 1, **options: Any) -> bytes:
    out = io.BytesIO()
    picture(width, height, mode, seed).save(out, "JPEG", **options)
    return out.getvalue()


@cache
def small() -> bytes:
    return jpeg(50, 37, quality=85)


@cache
def small_progressive() -> bytes:
    return jpeg(61, 43, quality=88, progressive=True)


def check(data: bytes) -> Any:
    """The image of a file that must be modelled."""
    parsed = parse(data)
    assert parsed is not None
    image, end = parsed
    built = build(image)
    assert built is not None and built + data[end:] == data
    return image


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("options", [
    {"quality": 1}, {"quality": 30, "optimize": True}, {"quality": 75, "subsampling": 0},
    {"quality": 90, "subsampling": 1}, {"quality": 98, "subsampling": 2}, {"quality": 100, "subsampling": 0},
    {"restart_marker_blocks": 1}, {"restart_marker_blocks": 7, "quality": 95}, {"restart_marker_rows": 1},
    {"comment": b"x" * 3000, "exif": b"Exif\0\0" + bytes(500)},
])  # fmt: skip
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_files_of_pillow(mode: str, options: dict[str, Any], progressive: bool) -> None:
    for width, height in [(1, 1), (8, 8), (61, 43), (97, 130)]:
        check(jpeg(width, height, mode, progressive=progressive, **options))


def test_coefficients_are_those_of_the_blocks() -> None:
    out = io.BytesIO()
    Image.new("L", (16, 8), 200).save(out, "JPEG", quality=50)
    image = check(out.getvalue())
    (component,) = image.frame().components
    found = blocks(image.coefficients, component)
    assert found.shape == (1, 2, 64)
    assert image.quantisers()[0, :3].tolist() == [16, 11, 10] and image.quantisers()[0, 8] == 12
    assert found[0, :, 0].tolist() == [(200 - 128) * 8 // 16] * 2
    assert not found[..., 1:].any()


def test_what_follows_the_image_is_left() -> None:
    for tail in (b"", b"\0" * 100, small(), b"\xff\xd9\xff"):
        image = check(small() + tail)
        assert image.size == len(small())


def test_truncated_files_are_modelled_as_far_as_they_go() -> None:
    for data in (small(), small_progressive(), jpeg(64, 64, restart_marker_blocks=2)):
        modelled = 0
        for end in range(0, len(data), 7):
            parsed = parse(data[:end])
            if parsed is not None:
                modelled += 1
                image = check(data[:end])
                assert image.size == end
        assert modelled > 20
    image = check(small()[:-300])
    assert image.units > 0 and len(image.head) < len(small()) - 500


def test_fill_bytes_and_garbage_between_segments_are_kept() -> None:
    data = small()
    at = data.index(b"\xff\xda")
    check(data[:at] + b"\xff\xff\xff" + data[at:])
    check(data[:-2] + b"\xff\xff" + data[-2:])
    check(data[:-2] + b"\x12\x34\x00" + data[-2:])
    check(data[:-2] + b"\xff\xd0" + data[-2:])
    check(data[:-2] + b"\xff\xd9\x00" + data[-2:])


def test_other_padding_is_kept() -> None:
    data = bytearray(jpeg(64, 64, restart_marker_blocks=1))
    before = [at - 1 for at in range(len(data)) if data[at] == 0xFF and 0xD0 <= data[at + 1] <= 0xD9][1:]
    modes = set()
    for seed in range(30):
        changed = bytearray(data)
        for at in before:
            if changed[at] & 1 and changed[at] != 0xFF and random.Random(seed * 1000 + at).random() < 0.2:
                changed[at] &= 0xFE
        parsed = parse(bytes(changed))
        if parsed is not None:
            modes.add(check(bytes(changed)).pad)
    assert modes & {-1}


def test_other_kinds_of_jpeg_are_left_alone() -> None:
    data = small()
    at = data.index(b"\xff\xc0")
    for marker in (0xC3, 0xC5, 0xC9, 0xCA, 0xCB):
        assert parse(data[: at + 1] + bytes([marker]) + data[at + 2 :]) is None
    assert parse(b"") is None and parse(b"\xff\xd8") is None and parse(b"\x89PNG" + data) is None
    huge = data[: at + 5] + b"\xff\xff\xff\xff" + data[at + 9 :]
    assert parse(huge) is None


@pytest.mark.parametrize("which", [small, small_progressive])
def test_damaged_files_come_back_or_are_left_alone(which: Any) -> None:
    generator = random.Random(5)
    data, modelled = which(), 0
    for _ in range(1500):
        changed = bytearray(data)
        for _ in range(generator.choice([1, 1, 2, 5])):
            changed[generator.randrange(len(changed))] = generator.randrange(256)
        if parse(bytes(changed)) is not None:
            modelled += 1
            check(bytes(changed))
    assert modelled > 300


def test_damaged_images_build_something_or_nothing() -> None:
    generator = random.Random(6)
    for data in (small(), small_progressive()):
        image, _ = parse(data) or (None, 0)
        assert image is not None
        for _ in range(1000):
            head = bytearray(image.head)
            head[generator.randrange(len(head))] = generator.randrange(256)
            kept, image.head = image.head, bytes(head)
            build(image)
            image.head = kept
