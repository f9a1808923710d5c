"""Tones: what values a picture has, learnt while it is coded."""

from pathlib import Path

import numpy as np
import pytest
from reference import decoder

from bfncodec import api, decoding
from bfncodec.blocks.image import Image
from bfncodec.models.image import passes, wavefront


def comb(photo: np.ndarray) -> np.ndarray:
    """A picture after a curve of tones: many values do not occur."""
    curve = (np.arange(256) // 3 * 3 * 1.1).clip(0, 255).astype(np.uint8)
    return np.tile(curve[photo], (2, 2, 1))


def toned(data: bytes) -> list[bool]:
    form = decoding.read(data).blocks[0].form
    assert isinstance(form, Image)
    return [part.tones for part in form.passes]


@pytest.mark.parametrize("channels", [1, 3])
def test_combs_cost_less(photo: np.ndarray, tiny: Path, monkeypatch: pytest.MonkeyPatch, channels: int) -> None:
    monkeypatch.setattr(passes, "LEARN_FROM", 1 << 10)
    pixels = np.ascontiguousarray(comb(photo)[:70, :90, :channels])
    if channels == 1:
        pixels = pixels[..., 0]
    data = api.encode(pixels, model=str(tiny))
    assert toned(data) == [True]
    assert np.array_equal(np.asarray(api.decode(data)).reshape(pixels.shape), pixels)
    (item,) = decoder.decode(data, tiny)
    assert item.pixels is not None and np.array_equal(item.pixels.reshape(pixels.shape), pixels)
    monkeypatch.setattr(wavefront, "_TONES_PAY", 0.0)
    plain = api.encode(pixels, model=str(tiny))
    assert toned(plain) == [False] and len(data) < 0.95 * len(plain)


def test_small_images_in_an_archive_have_none(photo: np.ndarray, tiny: Path) -> None:
    assert toned(api.encode(photo[:40, :40], model=str(tiny))) == [False]
