"""What the wavefront network sees: compiled pixel by pixel for coding, in whole batches for training."""

import numpy as np
import pytest

from bfncodec.exact.kernels import kernel
from bfncodec.exact.layers import INPUT_LIFT
from bfncodec.models.image import canvas as canvas_image
from bfncodec.models.image import compiled_features, features, linear
from bfncodec.models.image.canvas import RADIUS, SLOPE


def scene(seed: int, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """Images with edges and noise, and coefficients [74, 3] that reach every limit somewhere."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (*shape, 3))
    pixels[:, :, shape[2] // 2 :] = pixels[:, :1, :1]
    coefficients = random.integers(-300, 300, (linear.ROWS, 3))
    coefficients[linear.REGRESSORS] = random.integers(-(1 << 15), 1 << 15, 3) if seed % 2 else (3000, 2500, -2000)
    return pixels.astype(np.uint8), coefficients, random


def around(canvas: np.ndarray, index: np.ndarray, offsets: list[tuple[int, int]], row: int) -> np.ndarray:
    return canvas.reshape(-1, 4)[index[:, None] + canvas_image.addresses(offsets, row), :3].astype(np.int32)


def addresses(shape: tuple[int, int, int]) -> tuple[np.ndarray, ...]:
    """Addresses, rows and columns of all pixels."""
    image, y, x = np.indices(shape).reshape(3, -1)
    row = shape[2] + 2 * RADIUS
    return (image * (shape[1] + RADIUS) + y + RADIUS) * row + x + RADIUS, y, x


SHAPES = [(1, 40, 50), (2, 9, 30), (3, 1, 20), (2, 20, 1), (1, 2, 2)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", [0, 1])
def test_coding_sees_what_training_sees(shape: tuple[int, int, int], seed: int) -> None:
    pixels, coefficients, random = scene(seed, shape)
    canvas = canvas_image.filled(pixels)
    fields = linear.fields(canvas, coefficients)
    index, y, x = addresses(shape)
    lifted = np.empty((len(index), features.FEATURES), np.uint8)
    base, cross, steps = np.empty((3, len(index), 3), np.int64)
    frame, known = compiled_features.frame(shape, coefficients), linear.flat(canvas, fields)
    for row, (at, *place) in enumerate(zip(index, y, x, strict=True)):
        compiled_features.look(frame, known, at, *place, lifted[row], base[row], cross[row], steps[row])
    row = canvas.shape[2]
    home = kernel("int64")
    scales = features.Scales(home)
    assert (cross == coefficients[linear.REGRESSORS]).all()
    wanted, wanted_steps = features.features(
        home,
        scales,
        around(canvas, index, features.NEIGHBOURS, row),
        around(fields.innovations, index, features.PAST, row),
        around(fields.trends, index, features.TREND, row),
        base.astype(np.int32),
        cross.astype(np.int32),
        features.place_flags(x, y, shape[2]),
    )
    assert np.array_equal(steps, wanted_steps) and np.array_equal(lifted.astype(np.int32) - INPUT_LIFT, wanted)
    values = pixels.reshape(-1, 3).astype(np.int64)
    errors = (16 * values - base).astype(np.int32)
    told, shifts = features.cross_channel(home, scales, errors, wanted_steps, cross.astype(np.int32))
    for channel in (1, 2):
        got = np.empty((len(index), 2), np.uint8)
        unknown = values.copy()
        unknown[:, channel:] = random.integers(0, 256, (len(index), 3 - channel))
        shift = [
            compiled_features.cross_channel(frame, channel, *one)
            for one in zip(unknown, base, cross, steps, got, strict=True)
        ]
        assert np.array_equal(got - [INPUT_LIFT, 0], told[:, 2 * channel - 2 : 2 * channel])
        assert np.array_equal(shift, shifts[:, channel])


@pytest.mark.parametrize("shape", SHAPES)
def test_fields_in_unlimited_integers(shape: tuple[int, int, int]) -> None:
    """Base, innovations and trends by the formulas of docs/format.md."""
    pixels, coefficients, _ = scene(2, shape)
    canvas = canvas_image.filled(pixels)
    fields = linear.fields(canvas, coefficients)
    index, _, _ = addresses(shape)
    row = canvas.shape[2]
    seen = around(canvas, index, features.NEIGHBOURS, row).reshape(len(index), -1).astype(object) - 128
    total = seen @ coefficients[:72].astype(object) + coefficients[72]
    base = np.clip((total + 128) // 256 + 2048, 0, 4080)
    errors = 16 * pixels.reshape(-1, 3).astype(object) - base
    cross, limit = coefficients[73].tolist(), 8160
    green = np.clip(errors[:, 0], -limit, limit)
    red = np.clip(errors[:, 1] - (green * cross[0] + 2048) // 4096, -limit, limit)
    told = (green * cross[1] + 2048) // 4096 + (red * cross[2] + 2048) // 4096
    innovations = np.stack([green, red, np.clip(errors[:, 2] - told, -limit, limit)], axis=1)
    for got, wanted in ((fields.bases, base), (fields.innovations, innovations)):
        assert np.array_equal(got.reshape(-1, 4)[index, :3], wanted.astype(np.int64))
    trends = fields.trends.reshape(-1, 4).astype(np.int64)
    west, north, northeast = (trends[index + step, :3] for step in (-1, -row, 1 - row))
    newest = abs(innovations).astype(np.int64)
    assert np.array_equal(trends[index, :3], 2 * west + 3 * north + 2 * northeast + newest + 4 >> 3)


@pytest.mark.parametrize("grey", [False, True])
def test_diagonal_after_diagonal_fills_the_same_canvases(grey: bool) -> None:
    """As a decoder does, with the margins that repeat pixels."""
    shape = (2, 11, 23)
    pixels, coefficients, _ = scene(4, shape)
    if grey:
        pixels = np.repeat(pixels[..., :1], 3, axis=3)
    whole = canvas_image.filled(pixels)
    fields = linear.fields(whole, coefficients)
    frame = compiled_features.frame(shape, coefficients)
    canvas = np.zeros(canvas_image.canvas_shape(shape), np.int16)
    canvas[:, RADIUS::16, RADIUS:-RADIUS:16, :3] = pixels[:, ::16, ::16]
    canvas_image.spread(canvas)
    got = linear.blank_fields(shape)
    known = linear.flat(canvas, got)
    order = sorted(
        zip(*addresses(shape), pixels.reshape(-1, 3).astype(np.int64), strict=True),
        key=lambda one: one[2] + SLOPE * one[1],
    )
    for at, y, x, values in order:
        compiled_features.predict_at(frame, known, at)
        compiled_features.write(frame, known.pixels, at, y, x, values)
        compiled_features.settle(frame, known, at, y, x)
    assert np.array_equal(canvas[..., :3], whole[..., :3])
    for name, plane in got._asdict().items():
        assert np.array_equal(plane, getattr(fields, name)), name
