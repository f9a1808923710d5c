"""Pictures in other lossless formats, and what Pillow makes of their metadata.

Metadata come from files as they are: what is damaged or too large is left out, and stops nothing.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import TYPE_CHECKING, Any

from bfncodec.errors import UnsupportedFeature
from bfncodec.media import metadata_chunks, suffixes
from bfncodec.media.medium import METADATA_LIMIT, Chunk
from bfncodec.picture import Layout, Origin, Picture

if TYPE_CHECKING:
    from PIL.Image import Exif, Image

FORMATS = {
    **{".png": "PNG", ".ppm": "PPM", ".pgm": "PPM", ".pnm": "PPM", ".bmp": "BMP"},
    **{".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"},
}
_OPTIONS: dict[str, dict[str, Any]] = {"TIFF": {"compression": "tiff_lzw"}, "WEBP": {"lossless": True, "exact": True}}
_LAYOUTS = {".pgm": (Layout.L,), **dict.fromkeys((".ppm", ".pnm", ".bmp"), (Layout.L, Layout.RGB))}
_WEBP_SIDE = 16383
_HELD = {
    **dict.fromkeys(("PNG", "TIFF"), ("icc_profile", "dpi", "exif")),
    **{"WEBP": ("icc_profile", "exif"), "BMP": ("dpi",), "PPM": ()},
}
# Chunks that Pillow is shown, besides profiles. Others say how pixels are stored, or nothing to it.
_SHOWN = {b"eXIf", b"pHYs", b"gAMA", b"sRGB", b"cHRM", b"tEXt", b"zTXt", b"iTXt"}
# EXIF data can hold any tag of a TIFF. These say how its pixels are stored, and would change their meaning.
_STORAGE = {
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284, 288, 289, 290, 291),
    *(292, 293, 297, 301, 317, 320, 321, 322, 323, 324, 325, 326, 327, 328, 330, 332, 333, 334, 336, 337, 338, 339),
    *(340, 341, 342, 347, *range(512, 533), 34675, 50838, 50839),
}
_NAMES = {b"iCCP": ("icc_profile", "ICC profile"), b"eXIf": ("exif", "EXIF"), b"pHYs": ("dpi", "resolution")}
_RESOLUTION = {282, 283, 296}
# What Pillow raises for metadata that it cannot read or write.
_REFUSED = (
    *(OSError, ValueError, SyntaxError, TypeError, LookupError, ArithmeticError, AttributeError),
    *(struct.error, Warning),
)


def changes(origin: Origin, suffix: str) -> bool:
    """True if a suffix names another format than the one that a picture came in; unknown suffixes name none."""
    return suffix in FORMATS and suffix not in suffixes(origin)


def check(layout: Layout, width: int, height: int, suffix: str) -> None:
    """UnsupportedFeature if the format that a suffix names cannot hold such pixels."""
    if layout not in _LAYOUTS.get(suffix, Layout):
        raise UnsupportedFeature(f"{suffix} cannot hold an image of mode {layout.name}")
    if suffix == ".webp" and max(width, height) > _WEBP_SIDE:
        raise UnsupportedFeature(
            f"{suffix} cannot hold an image of {width}x{height}; its sides are {_WEBP_SIDE} at most"
        )


def convert(picture: Picture, suffix: str) -> tuple[bytes, list[str]]:
    """A picture as a file of the format that a suffix names, and the names of what is left out.

    ICC profile, EXIF and resolution are kept where they are good and the format has a place for them. Raises
    UnsupportedFeature if it cannot hold the pixels.
    """
    height, width = picture.pixels.shape[:2]
    check(picture.layout, width, height, suffix)
    kind = FORMATS[suffix]
    found = _kept(metadata_chunks(picture.origin, picture.metadata))
    kept = {key: value for key, value in found.items() if key in _HELD[kind]}
    shown = picture.shown()
    while True:
        try:
            return _saved(shown, kind, kept), _left_out(picture, kept)
        except _REFUSED as error:
            if not kept:
                raise UnsupportedFeature(f"cannot write this image as {suffix}: {error}") from error
            kept.popitem()


def _left_out(picture: Picture, kept: dict[str, Any]) -> list[str]:
    kinds = {kind for kind, _ in metadata_chunks(picture.origin, picture.metadata)}
    names = [name for kind, (key, name) in _NAMES.items() if kind in kinds and key not in kept]
    return [*names, "other metadata"] if kinds - _NAMES.keys() else names


def info(origin: Origin, metadata: bytes) -> dict[str | tuple[int, int], Any]:
    """What Pillow finds in the file that a picture's metadata came from; CorruptFile if they are damaged.

    Chunks that Pillow refuses are left out, such as texts of more than 1 MB; but a profile may be larger.
    """
    from PIL.PngImagePlugin import MAX_TEXT_CHUNK, MAX_TEXT_MEMORY, PngStream

    known = metadata_chunks(origin, metadata)
    stream = PngStream(io.BytesIO())
    for kind, content in known:
        if kind not in _SHOWN:
            continue
        stream.fp = io.BytesIO(content)
        try:
            stream.call(kind, 0, len(content))
        except _REFUSED:
            stream.text_memory += MAX_TEXT_CHUNK  # so much may have been unpacked
        if stream.text_memory > MAX_TEXT_MEMORY:
            break
    profile = _kept(known).get("icc_profile")
    return stream.im_info | ({"icc_profile": profile} if profile else {})


def png_options(image_info: dict[Any, Any]) -> dict[str, Any]:
    """What a PNG keeps of Pillow's `info`: profile, EXIF and resolution, without those that are none."""
    from PIL.Image import Exif

    options: dict[str, Any] = {}
    if isinstance(profile := image_info.get("icc_profile"), bytes) and profile:
        options["icc_profile"] = profile
    if isinstance(exif := image_info.get("exif"), bytes | Exif) and exif:
        options["exif"] = exif
    return options | ({"dpi": image_info["dpi"]} if _is_resolution(image_info.get("dpi")) else {})


def _is_resolution(dpi: Any) -> bool:
    """True for two numbers that a PNG can hold; there are files with 0/0, infinite and negative ones."""
    try:
        across, down = (int(inches / 0.0254 + 0.5) for inches in dpi)
    except (TypeError, ValueError, ArithmeticError):
        return False
    return 0 <= min(across, down) and max(across, down) < 1 << 32


def _saved(shown: Image, kind: str, kept: dict[str, Any]) -> bytes:
    options = _OPTIONS.get(kind, {}) | kept
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow warns of EXIF data that it reads in part
        if kind == "TIFF" and "exif" in options:
            options |= {"exif": _described(kept["exif"]), "compression": "raw"}  # libtiff refuses EXIF of cameras
        shown.save(buffer, kind, **options)
    return buffer.getvalue()


def _described(data: bytes) -> Exif:
    """EXIF data without what they say of a file's layout, and without a resolution that is none."""
    from PIL.Image import Exif

    exif = Exif()
    exif.load(data)
    dropped = _STORAGE if _is_resolution((exif.get(282), exif.get(283))) else _STORAGE | _RESOLUTION
    for tag in dropped & set(exif):
        del exif[tag]
    exif.get_ifd(34665).pop(40965, None)  # holds an offset that Pillow does not follow
    return exif


def _kept(known: list[Chunk]) -> dict[str, Any]:
    """Profile, resolution and EXIF in chunks, as Pillow calls them; what can be done without comes last."""
    last = dict(known)
    kept: dict[str, Any] = {}
    if profile := _profile(last.get(b"iCCP", b"")):
        kept["icc_profile"] = profile
    across, down, unit = struct.unpack_from(">IIB", last.get(b"pHYs", b"").ljust(9, b"\0"))
    if unit == 1 and across and down:
        kept["dpi"] = across * 0.0254, down * 0.0254
    if last.get(b"eXIf"):
        kept["exif"] = b"Exif\0\0" + last[b"eXIf"]
    return kept


def _profile(content: bytes) -> bytes | None:
    """The ICC profile in a chunk, None if it is damaged or too large."""
    packed = content.partition(b"\0")[2]
    if not packed or packed[0]:
        return None
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(packed[1:], METADATA_LIMIT)
    except zlib.error:
        return None
    return profile if unpacker.eof else None
