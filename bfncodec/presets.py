"""What a user can choose, and the limits in force."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


MAX_PIXELS = 1 << 28
MAX_OUTPUT = 1 << 34


# Images: lattice, default, max. Texts: blocks, default. The other medium takes the default.
EFFORTS = ("lattice", "blocks", "default", "max")


# How a file is coded: as pixels if it is an image that is modelled, or else as bytes; as pixels only; as bytes by
# the text model; as bytes by whatever is smallest.
MEDIA = ("auto", "image", "text", "bytes")
