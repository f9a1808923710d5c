"""Which files are read as images, and which are left to be coded as bytes: rows 31, 35 and 36."""

import io
import time

import numpy as np
import pytest
from PIL import Image
from tools.image_files import LAYOUTS, LIMIT, METADATA, PNMS, bmp, png

import bfncodec
from bfncodec import media
from bfncodec.errors import LimitExceeded


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF"])
def test_other_formats_are_coded_as_bytes(kind: str, photo: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, kind, **({"compression": "packbits"} if kind == "TIFF" else {}))
    file = buffer.getvalue()
    encoded = bfncodec.encode(file)
    assert bfncodec.info(encoded)["blocks"][0]["lossless"] == "bytes"
    assert len(encoded) <= len(file) + 64
    assert bfncodec.decode(encoded) == file


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_animations_come_back_with_all_frames(kind: str, photo: np.ndarray) -> None:
    buffer = io.BytesIO()
    frames = [Image.fromarray(photo), Image.fromarray(photo[::-1].copy())]
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    file = buffer.getvalue()
    assert (media.parse(file, LIMIT) is None) == (kind != "GIF")
    assert bfncodec.decode(bfncodec.encode(file)) == file


def test_as_bytes_keeps_the_png_file_itself() -> None:
    file = png(20, 20, before=tuple(METADATA))
    encoded = bfncodec.encode(file, media="bytes")
    assert bfncodec.info(encoded)["blocks"][0]["lossless"] == "bytes"
    assert bfncodec.decode(encoded) == file


@pytest.mark.parametrize("colour", LAYOUTS)
def test_too_many_pixels_are_refused_before_they_are_unpacked(colour: int) -> None:
    file = png(50_000, 50_000, colour, raw=b"")
    start = time.perf_counter()
    with pytest.raises(LimitExceeded, match="--max-pixels"):
        bfncodec.encode(file)
    assert time.perf_counter() - start < 0.1
    with pytest.raises(LimitExceeded):
        media.parse(PNMS["plain"], 1)
    with pytest.raises(LimitExceeded):
        media.parse(bmp(), 5)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_too_many_values_of_any_depth_are_refused(depth: int) -> None:
    for colour in (0, 3) if depth < 16 else (0, 2, 4, 6):
        start = time.perf_counter()
        with pytest.raises(LimitExceeded, match="--max-pixels"):
            bfncodec.encode(png(50_000, 50_000, colour, depth, raw=b""))
        assert time.perf_counter() - start < 0.1


def test_too_much_metadata_is_coded_as_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder refuses more than it is ready to unpack, so an encoder must not send it."""
    monkeypatch.setattr(media, "METADATA_LIMIT", 1000)
    assert media.parse(PNMS["plain"] + bytes(900), LIMIT) is not None
    assert media.parse(PNMS["plain"] + bytes(1000), LIMIT) is None
