"""Least squares in integers: they find lines, whatever an image holds nothing overflows, and Python agrees."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bfncodec.models.graphics.canvas import ABOVE, LEFT, blank, fill
from bfncodec.models.graphics.regression import MOST, Regression, advance, look, regression, said, tell, turn

ORDERS = {1: (0,), 2: (1, 0), 3: (2, 1, 0), 4: (3, 1, 0, 2)}


def walk(planes: np.ndarray, kept: int, below: int, skip: int = 0) -> tuple[np.ndarray, Regression]:
    """Predictions of planes uint16 [H, W, C], 1/16 level, [H, W, C], and what is learnt.

    skip: one pixel in so many is left out.
    """
    height, width, channels = planes.shape
    canvas = blank((1, *planes.shape), 16)
    fill(canvas, planes[None])
    own = regression(np.array(ORDERS[channels], np.int64), width, canvas.row, kept, below)
    predicted = np.zeros(planes.shape, np.int64)
    for y in range(height):
        for x in range(width):
            if skip and (y * width + x) % skip == 0:
                own.weights[x] = 0
                continue
            look(own, canvas, (ABOVE + y) * canvas.row + LEFT + x, x)
            for number, channel in enumerate(ORDERS[channels]):
                predicted[y, x, channel] = said(own, number)
                tell(own, x, number, int(planes[y, x, channel]))
            advance(own, x)
        turn(own)
    return predicted, own


def extremes(height: int, width: int, channels: int) -> dict[str, np.ndarray]:
    """Images that make sums as large, or as contradictory, as can be: uint16 [H, W, C]."""
    random, top = np.random.default_rng(3), 65535
    y, x, channel = np.indices((height, width, channels))
    flat = np.full((height, width, channels), 30000)
    few = np.where(random.random(flat.shape[:2]) < 0.1, top, 0)[..., None] + 0 * flat
    some = random.integers(0, 2, flat.shape) * top
    found = {
        "zeros": 0 * flat,
        "ones": 0 * flat + top,
        "checks": (x + y) % 2 * top,
        "checks, channels apart": (x + y + channel) % 2 * top,
        "columns": x % 2 * top,
        "pairs of columns": x // 2 % 2 * top,
        "rows": y % 2 * top,
        "two levels": some,
        "noise": random.integers(0, top + 1, flat.shape),
        "few": few,
        "one after nothing": np.where((y == height - 2) & (x == width // 2), top, 0),
        "a little, then a lot": np.where(y < height // 2, flat + some % 2, some),
        "channels of different sizes": np.where(channel % 2, some, flat + random.integers(-1, 2, flat.shape)),
    }
    return {name: planes.astype(np.uint16) for name, planes in found.items()}


def digest(predicted: np.ndarray, own: Regression) -> str:
    """Everything that `walk` leaves, as one word."""
    state = (predicted, own.sums, own.seen, own.weights, own.factors, own.diagonal, own.scales, own.turned)
    return hashlib.sha256(b"".join(one.astype(np.int64).tobytes() for one in state)).hexdigest()[:16]


def digests() -> str:
    """Words of small images of all kinds."""
    found = [digest(*walk(planes, MOST, MOST)) for planes in extremes(5, 4, 1).values()]
    found += [digest(*walk(planes, MOST, 200)) for planes in list(extremes(2, 3, 4).values())[7:]]
    smooth = np.random.default_rng(1).integers(-9, 10, (4, 5, 3)).cumsum(0).cumsum(1) + 4000
    found.append(digest(*walk(smooth.astype(np.uint16), 184, 225, skip=6)))
    return " ".join(found + [digest(own.base, own) for own in contradictions(1) + contradictions(3)])


def test_plain_python_agrees_and_nothing_overflows() -> None:
    """In Python, NumPy warns where sums or products leave 64 bits."""
    script = "import sys, test_regression; sys.stdout.write(test_regression.digests())"
    paths = [".", "tests", str(Path(__file__).parent)]
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", script],
        env=os.environ | {"BFNCODEC_PLAIN": "1", "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == digests().split() and len(set(done.stdout.split())) > 15


@pytest.mark.parametrize("channels", [1, 4])
def test_lines_are_predicted_exactly(channels: int) -> None:
    y, x, channel = np.indices((32, 64, channels))
    planes = ((37 + 11 * channel) * x + (91 - 20 * channel) * y + 500).astype(np.uint16)
    for kept, margin in ((184, 12), (225, 28)):  # what is beyond the edges is not on the line, and is forgotten
        predicted, _ = walk(planes, kept, kept)
        wrong = np.abs(predicted - 16 * planes.astype(np.int64))[margin:, margin:-margin]
        assert wrong.max() < 8, kept


def test_a_sample_tells_of_those_after_it() -> None:
    """Channels that move together: the first one is noise, the others are known after it."""
    noise = np.random.default_rng(4).integers(0, 3000, (24, 20))
    planes = np.stack([20000 - noise, 5000 + 2 * noise, 9000 + noise], axis=-1).astype(np.uint16)
    predicted, _ = walk(planes, 225, 225)
    wrong = np.abs(predicted / 16 - planes)[12:].mean((0, 1))
    assert wrong[ORDERS[3][0]] > 300
    assert max(wrong[one] for one in ORDERS[3][1:]) < 30


def test_pixels_that_are_left_out_leave_no_trace() -> None:
    """Sums beside them are those of an image without them."""
    random = np.random.default_rng(5)
    narrow, wide = (regression(np.zeros(1, np.int64), width, 20, 184, 225) for width in (5, 7))
    columns = [0, 1, 3, 4, 6]  # of the wide one; the others are left out
    for _ in range(3):
        narrow.seen[:] = random.integers(-5000, 5000, narrow.seen.shape)
        narrow.weights[:] = random.integers(1 << 30, 1 << 32, 5)
        wide.seen[columns], wide.weights[columns] = narrow.seen, narrow.weights
        for x in range(5):
            advance(narrow, x)
            advance(wide, columns[x])
        turn(narrow)
        turn(wide)
    assert np.array_equal(wide.sums[columns], narrow.sums) and narrow.sums.all()
    assert not wide.sums[[2, 5]].any() and not wide.left.any()


def contradictions(channels: int) -> list[Regression]:
    """Equations that no samples have, after they were solved; rounding may make some that are a little like them."""
    random, found = np.random.default_rng(6), []
    planes = random.integers(0, 65536, (1, 1, 3, channels)).astype(np.uint16)
    canvas = blank(planes.shape, 16)
    fill(canvas, planes)
    for bits in (0, 16, 30, 45, 54):
        own = regression(np.array(ORDERS[channels], np.int64), 3, canvas.row, 184, 184)
        own.sums[:] = random.integers(-(1 << bits), (1 << bits) + 1, own.sums.shape)
        squares = np.cumsum([0, *range(own.size, 1, -1)])
        own.sums[:, squares] = random.integers(0, 1 << 15, own.size) if bits % 2 else np.abs(own.sums[:, squares])
        look(own, canvas, ABOVE * canvas.row + LEFT + 1, 1)
        for number in range(channels):
            tell(own, 1, number, 65535)
        found.append(own)
    return found


def test_contradictions_do_no_harm() -> None:
    for channels in (1, 4):
        for own in contradictions(channels):
            keeps_bounds(own)


def keeps_bounds(own: Regression) -> None:
    """What the head of the file says."""
    upper = own.factors[np.triu_indices(own.size, 1)].astype(np.int64)
    assert np.abs(upper).max() <= 1 << 30
    assert 1 <= own.diagonal.min() and own.diagonal.max() < 1 << 26
    assert np.abs(own.sums).max() < 2**54.2 and own.scales[:-1].max() <= 15
    assert np.abs(own.turned).max() < 1 << 45


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_sums_and_factors_keep_their_bounds(channels: int) -> None:
    for planes in extremes(20, 16, channels).values():
        _, own = walk(planes, MOST, MOST)
        keeps_bounds(own)
        assert own.sums[:, np.cumsum([0, *range(own.size, 1, -1)])].min() >= 0


def test_sums_are_those_of_unbounded_integers() -> None:
    """The images whose sums are the largest, and their sums in Python's integers."""
    largest = 0
    for planes in extremes(14, 10, 1).values():
        height, width, _ = planes.shape
        canvas = blank((1, *planes.shape), 16)
        fill(canvas, planes[None])
        own = regression(np.zeros(1, np.int64), width, canvas.row, MOST, MOST)
        pairs = np.triu_indices(own.size)
        sums = np.zeros((width, len(pairs[0])), object)
        for y in range(height):
            fresh = []
            left = np.zeros(len(pairs[0]), object)
            for x in range(width):
                look(own, canvas, (ABOVE + y) * canvas.row + LEFT + x, x)
                tell(own, x, 0, int(planes[y, x, 0]))
                advance(own, x)
                seen = own.seen[x].astype(object)
                assert max(abs(one) for one in seen) < 1 << 19
                shares = seen * int(own.weights[x]) >> 23
                assert max(abs(one) for one in shares) <= 24 << 21
                fresh.append(shares[pairs[0]] * seen[pairs[1]])
                left = (left + fresh[x]) * MOST >> 8
                sums[x] += left
            turn(own)
            left = np.zeros(len(pairs[0]), object)
            for x in reversed(range(width)):
                sums[x] = (sums[x] + left) * MOST >> 8
                left = (left + fresh[x]) * MOST >> 8
        assert np.array_equal(own.sums, sums)
        largest = max(largest, int(np.abs(own.sums).max()))
    assert largest > 1 << 46
