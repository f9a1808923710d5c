"""JPEG files <-> quantised coefficients, and everything that they do not tell."""

from bfncodec.jpeg.files import Jpeg, blocks, build, parse
from bfncodec.jpeg.markers import Component, Frame

__all__ = ["Component", "Frame", "Jpeg", "blocks", "build", "parse"]
