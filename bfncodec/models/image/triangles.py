"""Colour planes of half the resolution as JPEG's usual decoder fills them up: with a triangle of weights, and undone.

A pixel has 9/16 of the sample that it lies in, 3/16 of the nearest beside and above or below, and 1/16 of that across
(libjpeg's "fancy upsampling" of 4:2:0). No sample is a pixel of its own; so samples are sought that give all pixels.
"""

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.compiled import compiled, room
from bfncodec.models.image.passes import Pixels, Sampling

MISSED = 4  # what a pixel out of its range costs, besides its distance: sixteenths of a level
HEATS = [heat for heat in (8, 6, 4, 3, 2) for _ in range(8)]  # how much worse a change may be
BLOCKS = [0] * 3 + [4] * 6 + [0] * 2  # the same, for changes of four samples at once
LARGEST = 4  # samples of a square that are changed at once
HOPELESS = 4  # one sample in so many may have pixels out of their range after the first sweeps


def undone(planes: Pixels, known: NDArray[np.bool_]) -> Pixels | None:
    """Samples [N, h, w, C] that give nearly all `known` pixels [N, H, W] of planes uint8 [N, H, W, C].

    None if nothing of the kind is in sight.
    """
    halves = Sampling.TRIANGLES.of(planes)
    for n in range(len(planes)):
        for channel in range(planes.shape[3]):
            view = halves, planes, known, n, channel
            wrong = [_improve(*view, 1, 2, 0, sweep) for sweep in range(4)]
            if wrong[-1] > halves[0, ..., 0].size // HOPELESS:
                return None
            for sweep, heat in enumerate([*HEATS, 0, 0]):
                _improve(*view, 1, 2, heat, sweep)
            for sweep, heat in enumerate(BLOCKS):
                _improve(*view, 2, 1, heat, sweep)
    return halves


@compiled
def sixteenths(halves: Pixels, n: int, y: int, x: int, channel: int) -> int:
    """A pixel before it is cut to whole levels."""
    row, column = y >> 1, x >> 1
    beyond = min(max(row - 1 + 2 * (y & 1), 0), halves.shape[1] - 1)
    beside = min(max(column - 1 + 2 * (x & 1), 0), halves.shape[2] - 1)
    near = 3 * np.int64(halves[n, row, column, channel]) + np.int64(halves[n, beyond, column, channel])
    far = 3 * np.int64(halves[n, row, beside, channel]) + np.int64(halves[n, beyond, beside, channel])
    return int(3 * near + far + 8 - (x & 1))


@compiled
def _distance(
    halves: Pixels,
    planes: Pixels,
    known: NDArray[np.bool_],
    n: int,
    channel: int,
    row: int,
    column: int,
    size: int,
    limit: int,
) -> int:
    """How far pixels that a square of samples has a part in are out of their ranges; gives up at a limit."""
    total = 0
    for y in range(max(2 * row - 1, 0), min(2 * (row + size) + 1, planes.shape[1])):
        for x in range(max(2 * column - 1, 0), min(2 * (column + size) + 1, planes.shape[2])):
            away = sixteenths(halves, n, y, x, channel) - 16 * np.int64(planes[n, y, x, channel])
            if known[n, y, x] and not 0 <= away < 16:
                total += MISSED + (-away if away < 0 else away - 15)
                if total >= limit:
                    return int(total)
    return int(total)


@compiled
def _improve(
    halves: Pixels,
    planes: Pixels,
    known: NDArray[np.bool_],
    n: int,
    channel: int,
    size: int,
    reach: int,
    heat: int,
    sweep: int,
) -> int:
    """Change squares of size * size samples by up to `reach` where they are wrong; how many were.

    The best change is taken; with heat, by lot another one that is not much worse.
    """
    count, lot, number, changes = 0, sweep, size * size, 1
    for _ in range(number):
        changes *= 2 * reach + 1
    old, best = room(LARGEST, np.int64), room(LARGEST, np.int64)
    for row in range(halves.shape[1] - size + 1):
        for column in range(halves.shape[2] - size + 1):
            least = _distance(halves, planes, known, n, channel, row, column, size, 1 << 30)
            if not least:
                continue
            count, least = count + 1, least + heat
            for i in range(number):
                old[i] = best[i] = halves[n, row + i // size, column + i % size, channel]
            for change in range(changes):
                rest, more = change, 0
                for i in range(number):
                    value = old[i] + rest % (2 * reach + 1) - reach
                    halves[n, row + i // size, column + i % size, channel] = min(max(value, 0), 255)
                    rest //= 2 * reach + 1
                if heat:
                    lot = (lot * 1103515245 + 12345) & 0x7FFFFFFF
                    more = (lot >> 8) % heat
                if more >= least:
                    continue
                more += _distance(halves, planes, known, n, channel, row, column, size, least - more)
                if more < least:
                    least = more
                    for i in range(number):
                        best[i] = halves[n, row + i // size, column + i % size, channel]
            for i in range(number):
                halves[n, row + i // size, column + i % size, channel] = best[i]
    return count
