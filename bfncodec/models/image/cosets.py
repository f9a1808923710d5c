"""Cosets of the pixel grid: what a network sees of the thumbnail, and of pixels between known ones.

Kinds of target, on a plane P whose even rows and columns (coset A) are known:
  T  every pixel of a plane of which nothing is known (the thumbnail), three channels at once;
  D  odd row, odd column, from A;
  H  even row, odd column, from A and D;
  V  odd row, even column, from A, D and H.
D, H and V come channel by channel (G, R, B). A target sees the nearest known pixels and the
state of its own coset around it: unknown, seen through noisy steps, or known.

Units as in `features`: base and means in 1/16 level, features in 1/16 of the local scale.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.coding.mixtures import Mixtures
from bfncodec.exact.kernels import Array, Kernel, clip
from bfncodec.exact.layers import LocalNetwork
from bfncodec.models.image import features as image_features
from bfncodec.models.image.outputs import CosetOutput, mixtures_of

STATES = 10  # 0 unknown, 1 .. 8 that many noisy steps seen, 9 known
KNOWN = STATES - 1
LEVELS = 4

_RING = [(0, 0), (0, -1), (0, 1), (-1, 0), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)]


class Kind(NamedTuple):
    """Where a target of one kind looks, in pixels of its plane; the first four of `known` give the base."""

    name: str
    offset: tuple[int, int]  # of the coset on the plane
    period: int
    known: tuple[tuple[int, int], ...]
    own: tuple[tuple[int, int], ...]

    @property
    def features(self) -> int:
        """Number of network inputs."""
        return 3 * (len(self.known) + len(self.own)) + 3 * STATES + LEVELS + image_features.LEVEL_INPUTS + 3


def _own(spacing: int) -> tuple[tuple[int, int], ...]:
    return tuple((spacing * dy, spacing * dx) for dy, dx in _RING)


def _crosses(*offsets: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Every offset with all its signs, in a fixed order."""
    signs = (1, 1), (1, -1), (-1, 1), (-1, -1)
    return tuple(dict.fromkeys((sy * dy, sx * dx) for dy, dx in offsets for sy, sx in signs))


KINDS = {
    kind.name: kind
    for kind in (
        Kind("T", (0, 0), 1, (), tuple((dy, dx) for dy in range(-2, 3) for dx in range(-2, 3))),
        Kind("D", (1, 1), 2, _crosses((1, 1), (1, 3), (3, 1), (3, 3)), _own(2)),
        Kind("H", (0, 1), 2, _crosses((0, 1), (1, 0), (0, 3), (1, 2), (2, 1), (3, 0)), _own(2)),
        Kind("V", (1, 0), 2, _crosses((1, 0), (0, 1), (3, 0), (2, 1), (1, 2), (0, 3), (1, 1), (3, 1), (1, 3)), _own(2)),
    )
}


def centre(kind: Kind) -> int:
    """Index of the target itself in `kind.own`."""
    return kind.own.index((0, 0))


def features(
    kernel: Kernel,
    scales: image_features.Scales,
    kind: Kind,
    known: Array,
    own: Array,
    states: tuple[int, ...],
    level: int,
    step: int | None,
) -> tuple[Array, Array, Array]:
    """Network inputs int32 [n, kind.features], scale steps [n] and base [n, 3].

    known: 1/16 level [n, K, 3]; own: values or means, 1/16 level [n, O, 3]; states of the own coset's channels; level
    of the plane (0 finest); step: scale step, None to measure it from the known pixels.
    """
    count = len(own)
    available = kernel.array(np.array([state > 0 for state in states], np.int32))
    if kind.known:
        base = known[:, 0] + known[:, 1] + known[:, 2] + known[:, 3] + 2 >> 2
        spread = abs(known[:, :4] - base[:, None])
        steps = scales.steps(spread.sum(2).sum(1) * 4 // 3)
    else:
        base = own[:, centre(kind)] * available + (1 - available) * (16 * image_features.CENTRE)
        steps = own[:, 0, 0] * 0 + step
    reciprocal = scales.reciprocal[steps]
    limit = image_features.DIFFERENCE_LIMIT
    around = image_features.scaled(clip(own - base[:, None], -limit, limit), reciprocal[:, None, None])
    parts = [(clip(around, -127, 127) * available).reshape(count, -1)]
    if kind.known:
        differences = image_features.scaled(known - base[:, None], reciprocal[:, None, None])
        parts.insert(0, differences.reshape(count, -1))
    flags = np.zeros(3 * STATES + LEVELS, np.int32)
    for channel, state in enumerate(states):
        flags[channel * STATES + state] = 16
    flags[3 * STATES + level] = 16
    parts.append(kernel.array(np.broadcast_to(flags, (count, len(flags))).copy()))
    parts.append(clip(2 * steps[:, None] - scales.levels, -16, 16))
    parts.append((base >> 7) - 16)
    return clip(kernel.concat(parts), -image_features.FEATURE_LIMIT, image_features.FEATURE_LIMIT), steps, base


class Cosets:
    """Predicts targets of one kind on planes of N images, whatever the schedule."""

    def __init__(self, kernel: Kernel, scales: image_features.Scales, kind: Kind, network: LocalNetwork) -> None:
        self.kernel, self.scales, self.kind, self.network = kernel, scales, kind, network

    def output(
        self,
        plane: NDArray[Any],
        means: NDArray[Any],
        states: tuple[int, ...],
        level: int,
        step: int | None,
        channels: list[int],
    ) -> CosetOutput:
        """Output distribution of every target, images and rows in order.

        plane: known pixels in levels [N, H, W, 3]; means: what is known of the own coset, 1/16 level [N, h, w, 3].
        """
        kind, kernel = self.kind, self.kernel
        count, height, width, _ = means.shape
        own_offsets = [(dy // kind.period, dx // kind.period) for dy, dx in kind.own]

        def chunk(start: int, stop: int) -> list[Mixtures]:
            image, y, x = np.unravel_index(np.arange(start, stop), (count, height, width))
            own = around(means, image, y, x, own_offsets)
            y, x = y * kind.period + kind.offset[0], x * kind.period + kind.offset[1]
            known = around(plane, image, y, x, list(kind.known)) * 16
            inputs, steps, base = features(
                kernel, self.scales, kind, kernel.array(known), kernel.array(own), states, level, step
            )
            hidden = self.network.trunk(inputs)
            scale, home, steps = (kernel.numpy(part) for part in (self.scales.scale, base, steps))
            none = np.zeros(len(home), np.int64)
            heads = {channel: kernel.numpy(self.network.head(channel, hidden, None)) for channel in channels}
            return [mixtures_of(raw, scale, home[:, channel], steps, none) for channel, raw in heads.items()]

        return CosetOutput(chunk, count * height * width)


def around(
    plane: NDArray[Any], image: NDArray[Any], y: NDArray[Any], x: NDArray[Any], offsets: list[tuple[int, int]]
) -> NDArray[np.int32]:
    """Pixels [n, K, 3] around positions (image, y, x) of planes [N, H, W, 3]; mirrored at the edges."""
    _, height, width, _ = plane.shape
    rows = mirror(y[:, None] + np.array([o[0] for o in offsets], np.int64), height)
    columns = mirror(x[:, None] + np.array([o[1] for o in offsets], np.int64), width)
    return plane[image[:, None], rows, columns].astype(np.int32)


def mirror(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Reflect indices at 0 and size - 1; parity is kept."""
    if size == 1:
        return index * 0
    period = 2 * (size - 1)
    index = index % period
    return np.minimum(index, period - index)
