"""Pictures: pixels, and what else is needed to make the file again that they came from."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Origin(IntEnum):
    """What a picture came from, and is turned back into."""

    PNG = 0
    PNM = 1
    BMP = 2
    ARRAY = 3
    PILLOW = 4

    @property
    def exact(self) -> bool:
        """True if its files come back to the last byte."""
        return self not in (Origin.PNG, Origin.ARRAY, Origin.PILLOW)


class Layout(IntEnum):
    """Channels of a picture."""

    L = 0
    LA = 1
    RGB = 2
    RGBA = 3

    @property
    def channels(self) -> int:
        return self + 1


@dataclass
class Picture:
    """Pixels uint8 [height, width, channels], and what the file's format adds to them."""

    origin: Origin
    layout: Layout
    pixels: NDArray[np.uint8]
    metadata: bytes = b""

    def shown(self) -> Any:
        """The pixels as Pillow's image."""
        from PIL import Image

        pixels = self.pixels[..., 0] if self.layout is Layout.L else self.pixels
        return Image.fromarray(np.ascontiguousarray(pixels))
