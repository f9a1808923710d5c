"""JPEG files <-> quantised coefficients, and everything that they do not tell."""

from bfncodec.jpeg.files import Jpeg, blocks, build, is_possible, parse
from bfncodec.jpeg.markers import Component, Frame
from bfncodec.jpeg.rest import packed, unpacked

__all__ = ["Component", "Frame", "Jpeg", "blocks", "build", "is_possible", "packed", "parse", "unpacked"]
