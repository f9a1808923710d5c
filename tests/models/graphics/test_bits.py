"""Pictures of two colours: they come back, they are small, and uniform stretches cost next to nothing."""

import numpy as np
import pytest

from bfncodec.coding.ledger import Ledger
from bfncodec.models.graphics.bits import ASIDE, Bilevel
from bfncodec.models.graphics.streams import decode_planes, encode_planes


def lines(height: int, width: int) -> np.ndarray:
    """A white page with dark strokes and some specks, uint8."""
    random = np.random.default_rng(3)
    page = np.ones((height, width), np.uint8)
    for _ in range(height * width // 400):
        y, x = random.integers(0, (height, width))
        page[y : y + random.integers(1, 4), x : x + random.integers(1, 12)] = 0
    page[random.random(page.shape) < 0.001] ^= 1
    return page


def waves(height: int, width: int) -> np.ndarray:
    """An ordered halftone of a smooth picture."""
    y, x = np.mgrid[:height, :width]
    grey = 128 + 60 * np.sin(x / 19) + 50 * np.cos(y / 17)
    screen = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) * 16 + 8
    return (grey > np.tile(screen, (height // 4 + 1, width // 4 + 1))[:height, :width]).astype(np.uint8)


PICTURES = {
    "page": lines(90, 300),
    "negative": 1 - lines(60, 150),
    "halftone": waves(50, 70),
    "noise": np.random.default_rng(1).integers(0, 2, (40, 60), np.uint8),
    "white": np.ones((40, 200), np.uint8),
    "black": np.zeros((40, 200), np.uint8),
    "pixel": np.ones((1, 1), np.uint8),
    "row": lines(1, 500),
    "column": lines(500, 1),
    "narrow": lines(300, ASIDE // 4),
    "stripes": np.tile(np.uint8([[0, 1]]), (30, 40)),
    "last pixel": np.eye(1, 6000, 5999, dtype=np.uint8).reshape(60, 100),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_come_back(name: str) -> None:
    plane = PICTURES[name]
    ledger = Ledger()
    stream = encode_planes(plane[None, ..., None], 1, ledger)
    assert np.array_equal(decode_planes(stream, (1, *plane.shape, 1), 1)[0, ..., 0], plane)
    assert 8 * len(stream) <= ledger.path_loss + 72
    assert len(stream) <= plane.size / 8 * 1.2 + 16


def test_uniform_pictures_cost_a_decision_a_row() -> None:
    decided = Bilevel(400, 3000, np.ones((400, 3000), np.uint8)).decided()
    assert len(decided.each()) < 8000 and decided.cost(np.empty(0)) < 600


def test_pages_and_halftones_are_small() -> None:
    """Halftones repeat themselves; a page costs where its strokes begin and end."""
    for plane, share in ((waves(300, 300), 0.45), (lines(300, 300), 0.40)):
        assert len(encode_planes(plane[None, ..., None], 1)) < share * plane.size / 8
