"""What an image looks like from far away: its DC coefficients as pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.jpeg.files import Jpeg, blocks


def pixels(image: Jpeg) -> NDArray[Any]:
    """A pixel for each block of the finest component: uint8 [height, width, 3], or 1 channel unless there are three."""
    frame, quantisers = image.frame(), image.quantisers()
    assert frame is not None
    most = max(one.down for one in frame.components), max(one.across for one in frame.components)
    shape = -(-frame.height // 8), -(-frame.width // 8)
    planes = []
    for number, component in enumerate(frame.components[: 3 if len(frame.components) == 3 else 1]):
        means = blocks(image.coefficients, component)[..., 0].astype(np.int64) * quantisers[number, 0] // 8
        means = (means >> frame.precision - 8) + 128
        rows = np.arange(shape[0]) * component.down // most[0]
        columns = np.arange(shape[1]) * component.across // most[1]
        planes.append(np.clip(means[rows[:, None], columns], 0, 255))
    if len(planes) == 3 and [one.name for one in frame.components] != list(b"RGB"):
        y, blue, red = planes[0], planes[1] - 128, planes[2] - 128
        planes = [
            y + (91881 * red + 32768 >> 16),
            y + (32768 - 46802 * red - 22554 * blue >> 16),
            y + (116130 * blue + 32768 >> 16),
        ]
    return np.clip(np.stack(planes, axis=2), 0, 255).astype(np.uint8)
