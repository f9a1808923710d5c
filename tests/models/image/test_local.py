"""Local linear prediction: compiled for many rows at once, against one row after the other in plain Python."""

import numpy as np
import pytest

from bfncodec.models.image import canvas as canvas_image
from bfncodec.models.image import linear, local
from bfncodec.models.image.canvas import RADIUS

Canvas = np.ndarray


def scene(shape: tuple[int, int, int], seed: int) -> Canvas:
    """Images with smooth parts, noise, one colour, and extreme values."""
    random = np.random.default_rng(seed)
    _, y, x = np.indices(shape)
    waves = 128 + 60 * np.sin(x / 3 + y / 5 + seed)[..., None] * [1, 0.8, -0.5] + random.normal(0, 4, (*shape, 3))
    pixels = waves.clip(0, 255).astype(np.uint8)
    pixels[:, shape[1] // 2 :, shape[2] // 2 :] = random.integers(0, 2, 3) * 255
    pixels[:, : shape[1] // 3, shape[2] // 2 :] = random.integers(
        0, 2, pixels[:, : shape[1] // 3, shape[2] // 2 :].shape
    )
    pixels[:, : shape[1] // 3, shape[2] // 2 :] *= 255
    return pixels


def compiled(pixels: Canvas, coefficients: np.ndarray) -> tuple[Canvas, Canvas, Canvas]:
    """The image-wide base, then bases and crosses, int64 [N, H, W, 3]; pixels of 3 channels or 1."""
    canvas = canvas_image.filled(pixels)
    wide = linear.fields(canvas, coefficients).bases
    fields = linear.fields(canvas, coefficients, local=True, channels=pixels.shape[3])
    inner = np.s_[:, RADIUS:, RADIUS:-RADIUS, :3]
    wide, bases, crosses = (one[inner].astype(np.int64) for one in (wide, fields.bases, fields.crosses))
    return wide, bases, crosses


def seen(canvas: Canvas, wide: Canvas, channels: int, y: int, x: int) -> list[float]:
    neighbours = local.NEIGHBOURS if channels == 3 else local.NEIGHBOURS_OF_GREY
    around = [(y + dy, x + dx) for dy, dx in neighbours] + [(y, x)]
    return [
        (16 * int(canvas[v + RADIUS, u + RADIUS, c]) - int(wide[y, x, c])) * 0.0625
        for v, u in around
        for c in range(channels)
    ]


def plain(canvas: Canvas, wide: Canvas, cross: list[int], channels: int) -> tuple[Canvas, Canvas]:
    """Bases and crosses [H, W, 3] of one image: diagonal after diagonal, each row by itself."""
    height, width, _ = wide.shape
    inputs = 18 if channels == 3 else 10
    size = inputs + channels
    sums = [[[0.0] * size for _ in range(size)] for _ in range(height)]
    bases, crosses = np.zeros_like(wide), np.zeros_like(wide)
    above, below = local.KEPT * local.ABOVE, local.KEPT * local.BELOW
    same = local.KEPT - above - below
    for number in range(width + 4 * (height - 1)):
        rows = [y for y in range(height) if 0 <= number - 4 * y < width]
        # Rows without a pixel on this diagonal do not fade, but for the one that comes next.
        first, stop = max(0, -((width - 1 - number) // 4)), min(height, number // 4 + 2)
        old = [[line.copy() for line in one] for one in sums]
        for y in range(first, stop):
            x = number - 1 - 4 * y
            values, weight = [0.0] * size, 0.0
            if 0 <= x < width:
                values = seen(canvas, wide, channels, y, x)
                activity = 0.0
                for value in values[:inputs]:
                    activity += abs(value)
                weight = 1.0 / (activity / inputs + local.QUIET)
            upper, lower = old[max(0, y - 1)], old[min(height - 1, y + 1)]
            for i in range(size):
                for j in range(i + 1):
                    kept = same * old[y][i][j] + above * upper[i][j] + below * lower[i][j]
                    sums[y][i][j] = (kept + values[i] * weight * values[j] + 4096.0) - 4096.0
        for y in rows:
            x = number - 4 * y
            matrix = [[sums[y][max(i, j)][min(i, j)] for j in range(size)] for i in range(size)]
            for i in range(size):
                more = matrix[i][i] * local.RELATIVE_RIDGE + local.RIDGE if i < inputs else local.LEAST
                matrix[i][i] = matrix[i][i] + more
            lower_rows = [[0.0] * size for _ in range(size)]  # L, below its diagonal of ones
            for k in range(size):
                inverse = 1.0 / matrix[k][k]
                for i in range(k + 1, size):
                    lower_rows[i][k] = matrix[k][i] * inverse
                    for j in range(i, size):
                        matrix[i][j] = matrix[i][j] - lower_rows[i][k] * matrix[k][j]
            turned = seen(canvas, wide, channels, y, x)[:inputs]
            for i in range(inputs):
                for k in range(i):
                    turned[i] = turned[i] - lower_rows[i][k] * turned[k]
            for c in range(3):
                change = 0.0
                for k in range(inputs):
                    change = change + lower_rows[inputs + c % channels][k] * turned[k]
                rounded = int(np.floor(min(max(change, -256.0), 256.0) * 16.0 + 0.5))
                local_base = min(max(int(wide[y, x, c]) + rounded, 0), 4080)
                bases[y, x, c] = (int(wide[y, x, c]) + local_base + 1) // 2
            crosses[y, x] = cross
            for c, (i, k) in enumerate([(1, 0), (2, 0), (2, 1)] if channels == 3 else []):
                value = min(max(lower_rows[inputs + i][inputs + k], -2.0), 2.0)
                crosses[y, x, c] = (cross[c] + int(np.floor(value * 4096.0 + 0.5)) + 1) // 2
    return bases, crosses


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(1, 19, 23), (1, 6, 9), (1, 1, 7), (1, 5, 1), (1, 75, 3)])
def test_bits_of_plain_python(shape: tuple[int, int, int], channels: int) -> None:
    pixels = scene(shape, 3)[..., :channels]
    coefficients = linear.solve(linear.normal_equations(canvas_image.filled(pixels)))
    wide, bases, crosses = compiled(pixels, coefficients)
    for image, canvas in enumerate(canvas_image.filled(pixels)):
        wanted = plain(canvas, wide[image], coefficients[linear.REGRESSORS].tolist(), channels)
        assert np.array_equal(bases[image], wanted[0]) and np.array_equal(crosses[image], wanted[1])


def test_only_diagonals_before_are_used() -> None:
    pixels = scene((1, 24, 32), 1)
    coefficients = linear.solve(linear.normal_equations(canvas_image.filled(pixels)))
    first = compiled(pixels, coefficients)
    _, y, x = np.indices((1, 24, 32))
    number = x + 4 * y
    changed = np.where((number >= 60)[..., None] & ((x % 16 > 0) | (y % 16 > 0))[..., None], 255 - pixels, pixels)
    for before, after in zip(first, compiled(changed, coefficients), strict=True):
        assert np.array_equal(before[number <= 60], after[number <= 60])
        assert not np.array_equal(before, after)


def test_follows_an_image_whose_parts_differ() -> None:
    """Stripes in three directions: errors become smaller, and those of R and B follow from those of G."""
    random = np.random.default_rng(0)
    _, y, x = np.indices((1, 96, 64))
    stripes = np.select([y < 32, y < 64], [x, y], x + y)
    green = random.integers(60, 190, 200)[stripes] + random.normal(0, 3, x.shape)
    pixels = np.stack([green, green + random.normal(0, 1, x.shape), 255 - green], -1).clip(0, 255).astype(np.uint8)
    coefficients = linear.solve(linear.normal_equations(canvas_image.filled(pixels)))
    wide, bases, crosses = compiled(pixels, coefficients)
    before, after = (abs(16 * pixels[..., 0].astype(np.int64) - one[..., 0]).mean() for one in (wide, bases))
    assert after < 0.95 * before, (after, before)
    assert (crosses[:, 40:, :, 0] > 3000).mean() > 0.9 and (crosses[:, 40:, :, 1] < -3000).mean() > 0.9
