"""What the wavefront network sees of a pixel: causal neighbours, past errors, local scales.

A *canvas* holds N images of one size with a margin, so that every causal neighbour of every pixel is an address: int16
[N, H + 3, W + 6, 4], channels G, R, B and a zero. The margins repeat pixels that are known by then: above the first row
and left of it the thumbnail's first row, at the right the last pixel of a row, at the left the first pixel of the row
before.

The *innovation* of a channel is its error against the base prediction, less what the innovations of the channels
before it tell of it (three cross-channel coefficients). Each channel has a local scale of its own, from its
innovations at the nearest pixels.

Units: pixels in levels; base predictions, errors and innovations in 1/16 level; features in 1/16 of the channel's
local scale (int8 range).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.kernels import Array, Kernel, clip
from bfncodec.exact.tables import octaves

NEIGHBOURS = [(dy, dx) for dy in (-3, -2, -1) for dx in range(-3, 4)] + [(0, -3), (0, -2), (0, -1)]
PAST = [(0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, 2), (-1, -2), (-2, -1), (-2, 1)]
PAST_WEIGHTS = [3, 3, 2, 2, 1, 1, 1, 1, 1, 1]  # of the local scale; their sum is 16
EMBEDDED = [(0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0)]  # neighbours whose embeddings are seen
TREND = [(0, -1), (-1, 0), (-1, 1)]
TREND_WEIGHTS = (2, 3, 2)  # of eight; the eighth part is the newest size
DIFFERENCES = 3 * len(NEIGHBOURS)
LEVEL_INPUTS = 10
FEATURES = DIFFERENCES + 4 * len(PAST) + 3 * LEVEL_INPUTS + 3 + 9 + 3
SCALE_STEPS = 8  # local scales per octave
SCALES = 8 * 12 + 1  # 2 .. 8192 sixteenths of a level
CONTEXTS = 8  # beside a scale step, of what is looked up without a network
OWN = 6  # inputs of a pixel's embedding that tell of its own innovations
FEATURE_LIMIT = 127
DIFFERENCE_LIMIT = 8160  # of differences and innovations, 1/16 level
COEFFICIENT_BITS = 12
CENTRE = 128


class Scales:
    """Tables of local scales in one kernel's home."""

    def __init__(self, kernel: Kernel) -> None:
        # Sum of sixteen |innovations| -> step k, scale 2**(k/8) sixteenths: k = floor(8 log2(sum/16 + 2)).
        bounds = octaves(SCALE_STEPS, SCALE_STEPS + SCALES, SCALE_STEPS, 20)
        sums = np.arange(16 * DIFFERENCE_LIMIT + 1, dtype=np.int64) + 32 << 16
        step = np.searchsorted(bounds, sums, side="right") - 1 + SCALE_STEPS
        self.step = kernel.array(clip(step, SCALE_STEPS, SCALE_STEPS + SCALES - 1).astype(np.int32))
        count = SCALE_STEPS + SCALES
        self.reciprocal = kernel.array(octaves(1 - count, 1, SCALE_STEPS, 18)[::-1].astype(np.int32))  # 2**18 / scale
        self.scale = kernel.array(octaves(0, count, SCALE_STEPS, 4).astype(np.int32))  # 1/256 level
        self.levels = kernel.array(np.arange(16, 16 * LEVEL_INPUTS + 16, 16, dtype=np.int32))
        self.past_weights = kernel.array(np.array(PAST_WEIGHTS, np.int32)[:, None])

    def steps(self, sums: Array) -> Array:
        """Scale steps of sums of sixteen sizes."""
        return self.step[clip(sums, 0, 16 * DIFFERENCE_LIMIT)]


def scaled(values: Array, reciprocal: Array) -> Array:
    """Values in 1/16 level (at most DIFFERENCE_LIMIT) -> 1/16 of the scale, rounded."""
    return values * reciprocal + (1 << 13) >> 14


def decorrelated(values: Array, cross: Array) -> list[Array]:
    """Errors or differences [..., 3] -> what each channel adds to those before it, 1/16 level.

    cross: int32 [..., 3] in 2**-12: G to R, G to B, innovation of R to B.
    """
    green = clip(values[..., 0], -DIFFERENCE_LIMIT, DIFFERENCE_LIMIT)
    red = values[..., 1] - (green * cross[..., 0] + (1 << 11) >> 12)
    red = clip(red, -DIFFERENCE_LIMIT, DIFFERENCE_LIMIT)
    blue = values[..., 2] - (green * cross[..., 1] + (1 << 11) >> 12) - (red * cross[..., 2] + (1 << 11) >> 12)
    return [green, red, clip(blue, -DIFFERENCE_LIMIT, DIFFERENCE_LIMIT)]


def features(
    kernel: Kernel,
    scales: Scales,
    neighbours: Array,
    past: Array,
    trend: Array,
    base: Array,
    cross: Array,
    place: Array,
) -> tuple[Array, Array]:
    """Network inputs int32 [n, FEATURES] in [-127, 127] and scale steps int32 [n, 3].

    neighbours: levels [n, 24, 3]; past: innovations [n, 10, 3]; trend: sizes of the TREND pixels [n, 3, 3];
    base: 1/16 level [n, 3]; cross: [n or 1, 3]; place: flags [n, 9].
    """
    count = len(base)
    size = abs(past)
    scale_steps = scales.steps((size * scales.past_weights).sum(1))
    reciprocal = scales.reciprocal[scale_steps]
    relative = scaled(past, reciprocal[:, None])
    around = decorrelated(neighbours * 16 - base[:, None], cross[:, None])
    differences = [scaled(part, reciprocal[:, c, None]) for c, part in enumerate(around)]
    sizes = abs(relative).sum(2) // 3 - 16
    levels = clip(2 * scale_steps[:, :, None] - scales.levels, -16, 16)
    sums = trend[:, 0] * TREND_WEIGHTS[0] + trend[:, 1] * TREND_WEIGHTS[1] + trend[:, 2] * TREND_WEIGHTS[2]
    slow = 2 * (scales.steps(sums * 37 >> 4) - scale_steps)
    parts = [relative.reshape(count, -1), sizes, levels.reshape(count, -1), slow, 16 * place, (base >> 7) - 16]
    return clip(kernel.concat([*differences, *parts]), -FEATURE_LIMIT, FEATURE_LIMIT), scale_steps


def own(kernel: Kernel, scales: Scales, innovations: Array, scale_steps: Array) -> Array:
    """What a known pixel's innovations [n, 3], 1/16 level, bring to its embedding: int32 [n, OWN] in [-127, 127]."""
    relative = clip(scaled(innovations, scales.reciprocal[scale_steps]), -FEATURE_LIMIT, FEATURE_LIMIT)
    return kernel.concat([relative, abs(relative)])


def place_flags(x: NDArray[Any], y: NDArray[Any], width: Any) -> NDArray[np.int32]:
    """Flags [n, 9] that tell how near a pixel is to the left, right and upper edge."""
    columns = [x == 0, x == 1, x == 2, x == width - 1, x == width - 2, x == width - 3, y == 0, y == 1, y == 2]
    return np.stack(columns, axis=-1).astype(np.int32)


def cross_channel(
    kernel: Kernel, scales: Scales, errors: Array, scale_steps: Array, cross: Array
) -> tuple[Array, Array]:
    """What the errors of earlier channels tell of later ones.

    errors: 1/16 level [n, 3] (those of later channels are not used for earlier ones); scale_steps: [n, 3]. Returns
    head inputs int32 [n, 4] in [-127, 127] as (G, |G|, innovation of R, its size) and shifts of the means int32 [n, 3],
    1/1024 level.
    """
    green, red, _ = decorrelated(errors, cross)
    reciprocal = scales.reciprocal[scale_steps]
    first = clip(scaled(green, reciprocal[:, 0]), -FEATURE_LIMIT, FEATURE_LIMIT)
    second = clip(scaled(red, reciprocal[:, 1]), -FEATURE_LIMIT, FEATURE_LIMIT)
    red_shift = green * cross[:, 0] >> 6
    blue_shift = (green * cross[:, 1] >> 6) + (red * cross[:, 2] >> 6)
    return kernel.stack([first, abs(first), second, abs(second)]), kernel.stack([green * 0, red_shift, blue_shift])
