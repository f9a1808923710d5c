"""The linear base prediction of an image: weighted least squares, the same on every machine.

The encoder solves it and sends the coefficients; the decoder only applies them (`compiled_features.predict`), and where
heads learn, follows the image besides (`local`). The normal equations are integers below 2**53, summed exactly; the
solution is elementwise float64 in one fixed order.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bfncodec.exact.compiled import compiled, room
from bfncodec.exact.products import sums_of_products
from bfncodec.models.image import canvas as canvas_image
from bfncodec.models.image import compiled_features, features
from bfncodec.models.image.compiled_features import Canvases, Frame, predict_all, settle_all
from bfncodec.models.image.local import equations, follow

REGRESSORS = features.DIFFERENCES + 1
ROWS = REGRESSORS + 1  # the last row holds the cross-channel coefficients
LIMIT = 1 << 15
FIT_PIXELS = 1 << 17
RIDGE = 2.0**-13
_CHUNK = 2000  # no power of two: its rows would share few lines of the cache
_COLUMNS = REGRESSORS + 3
_BIAS = features.DIFFERENCES


def normal_equations(canvas: NDArray[np.int16]) -> NDArray[np.float64]:
    """Weighted sums of products of [72 neighbours, 1, G, R, B] over a canvas, [76, 76].

    Weights fall with local activity: bits depend on the log of the scale. Rows of large images are skipped evenly.
    """
    count, height, width, _ = canvas.shape
    height, width = height - canvas_image.RADIUS, width - 2 * canvas_image.RADIUS
    row = canvas.shape[2]
    skip = max(1, count * height * width // FIT_PIXELS)
    images, rows = np.divmod(np.arange(0, count * height, skip), height)
    starts = (images * canvas.shape[1] + rows + canvas_image.RADIUS) * row + canvas_image.RADIUS
    pixels = (starts[:, None] + np.arange(width)).reshape(-1)
    flat = canvas.reshape(-1, 4)
    offsets = canvas_image.addresses(features.NEIGHBOURS, row)
    total = np.zeros((REGRESSORS + 3, REGRESSORS + 3), np.int64)
    for start in range(0, len(pixels), _CHUNK):
        part = pixels[start : start + _CHUNK]
        table = np.empty((len(part), REGRESSORS + 3), np.uint8)
        weighted = np.empty((len(part), REGRESSORS + 3), np.int64)
        _regressors(flat, part, offsets, table, weighted)
        total += sums_of_products(table, weighted, 2) - features.CENTRE * weighted.sum(axis=0)[:, None]
    return total.astype(np.float64)


@compiled
def _regressors(flat: Any, index: Any, offsets: Any, table: Any, weighted: Any) -> None:
    """[72 neighbours, 1, G, R, B] of the pixels at addresses, bytes [n, 76], and less CENTRE times weights [n, 76]."""
    row = room(_COLUMNS, np.int64)
    for number in range(len(index)):
        at = index[number]
        for place in range(len(offsets)):
            for channel in range(3):
                row[3 * place + channel] = flat[at + offsets[place], channel] - features.CENTRE
        row[_BIAS] = 1
        for channel in range(3):
            row[REGRESSORS + channel] = flat[at, channel] - features.CENTRE
        west, north, northwest = row[3 * 23], row[3 * 17], row[3 * 16]
        northeast, far = row[3 * 18], row[3 * 22]
        activity = abs(west - northwest) + abs(north - northwest) + abs(north - northeast) + abs(west - far)
        for place in range(REGRESSORS + 3):
            table[number, place] = row[place] + features.CENTRE
            weighted[number, place] = row[place] * (1024 // (4 + activity))


def solve(equations: NDArray[np.float64], prior: NDArray[Any] | None = None) -> NDArray[np.int64]:
    """Fixed-point coefficients [74, 3], in 2**-12, that minimise the weighted error, drawn to `prior`.

    Rows 0-71 neighbours, 72 bias, 73 what errors of G (for R and B) and the innovation of R (for B) tell of the others.
    """
    unit = 1 << features.COEFFICIENT_BITS
    size = REGRESSORS
    ridge = RIDGE * equations[0, 0] + 1.0
    start = np.zeros((size, 3)) if prior is None else prior[:size].astype(np.float64) / unit
    matrix = equations.copy()
    diagonal = np.arange(size)
    # Solve for the change from the prior: targets become what the prior leaves.
    matrix[:size, size:] = equations[:size, size:] - _product(equations[:size, :size], start)
    matrix[diagonal, diagonal] += ridge
    left = matrix[:size]  # a symmetric positive system, brought to its upper triangular form
    for index in range(size - 1):
        factors = left[index + 1 :, index : index + 1] / left[index, index]
        left[index + 1 :] = left[index + 1 :] - factors * left[index]
    change = np.zeros((size, 3))
    for index in range(size - 1, -1, -1):
        change[index] = left[index, size:] / left[index, index]
        left[:index, size:] = left[:index, size:] - left[:index, index : index + 1] * change[index]
    values = start + change
    errors = _error_products(equations, values)
    cross = [errors[0, 1] / errors[0, 0], errors[0, 2] / errors[0, 0]]
    innovation = errors[1, 1] - cross[0] * errors[0, 1]
    cross.append((errors[1, 2] - cross[0] * errors[0, 2]) / innovation if innovation > 1 else 0.0)
    rows = np.concatenate([values, [cross]])
    return np.rint(rows * unit).clip(-LIMIT, LIMIT - 1).astype(np.int64)


def _product(matrix: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """matrix @ columns with one order of summation on every machine."""
    total = np.zeros((matrix.shape[0], columns.shape[1]))
    for index in range(matrix.shape[1]):
        total = total + matrix[:, index : index + 1] * columns[index]
    return total


def _error_products(equations: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted products of the three channels' errors under `values`, [3, 3], diagonal at least 1."""
    size = REGRESSORS
    cross = _product(values.T.copy(), equations[:size, size:].copy())
    square = _product(values.T.copy(), _product(equations[:size, :size], values))
    errors = equations[size:, size:] - cross - cross.T + square
    errors[np.arange(3), np.arange(3)] = np.maximum(errors[np.arange(3), np.arange(3)], 1.0)
    return errors


class Fields(NamedTuple):
    """Canvases int16 that go with a canvas of pixels. Units: 1/16 level; of crosses, 2**-12.

    bases; crosses: cross-channel coefficients; innovations and trends of the bases. Those of
    `bases` and `crosses` have no margins: nobody looks there.
    """

    bases: NDArray[np.int16]
    crosses: NDArray[np.int16]
    innovations: NDArray[np.int16]
    trends: NDArray[np.int16]


def blank_fields(area: tuple[int, int, int]) -> Fields:
    """Fields of N images of H x W pixels before any pixel is known."""
    shape = canvas_image.canvas_shape(area)
    errors = canvas_image.blank_errors(area)
    return Fields(np.zeros(shape, np.int16), np.zeros(shape, np.int16), errors, errors.copy())


def fields(canvas: NDArray[np.int16], coefficients: NDArray[Any], *, local: bool = False, channels: int = 3) -> Fields:
    """The fields of filled canvases; local: whether the base follows the image, of which there is one."""
    frame, planes = _blank(canvas, coefficients)
    known = flat(canvas, planes)
    if local:
        follow(frame, known, equations(frame, channels))
    else:
        predict_all(frame, known)
    settle_all(frame, known)
    return planes


def bases(canvas: NDArray[np.int16], coefficients: NDArray[Any]) -> NDArray[np.int16]:
    """The bases of such fields alone."""
    frame, planes = _blank(canvas, coefficients)
    predict_all(frame, flat(canvas, planes))
    return planes.bases


def _blank(canvas: NDArray[np.int16], coefficients: NDArray[Any]) -> tuple[Frame, Fields]:
    """Of filled canvases."""
    count, height, width, _ = canvas.shape
    area = count, height - canvas_image.RADIUS, width - 2 * canvas_image.RADIUS
    return compiled_features.frame(area, coefficients), blank_fields(area)


def flat(canvas: NDArray[np.int16], planes: Fields) -> Canvases:
    """All canvases, as compiled code takes them."""
    all_of_them = canvas, planes.bases, planes.crosses, planes.innovations, planes.trends
    return Canvases(*(one.reshape(-1, 4) for one in all_of_them))
