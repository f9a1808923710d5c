"""Pictures in other lossless formats, and what Pillow makes of their metadata.

Metadata come from files as they are: what is damaged or too large is left out, and stops nothing.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from bfncodec import media
from bfncodec.errors import CorruptFile, UnsupportedFeature
from bfncodec.media import metadata_chunks, palette, png, pnm, suffixes
from bfncodec.media.medium import METADATA_LIMIT, Chunk, halves, joined
from bfncodec.picture import Kind, Layout, Origin, Picture

if TYPE_CHECKING:
    from PIL.Image import Exif, Image

FORMATS = {
    **{".png": "PNG", ".ppm": "PPM", ".pgm": "PPM", ".pbm": "PPM", ".pnm": "PPM", ".bmp": "BMP"},
    **{".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"},
}
_OPTIONS: dict[str, dict[str, Any]] = {"TIFF": {"compression": "tiff_lzw"}, "WEBP": {"lossless": True, "exact": True}}
# The most bits of each layout that a format can hold; those that are missing can hold whatever Pillow shows.
_MOST = {
    ".png": dict.fromkeys(Layout, 16),
    ".pbm": {Layout.L: 1},
    ".pgm": {Layout.L: 16},
    **dict.fromkeys((".ppm", ".pnm"), {Layout.L: 16, Layout.RGB: 16}),
    ".bmp": {Layout.L: 8, Layout.RGB: 8, Layout.P: 8},
    **dict.fromkeys((".tif", ".tiff"), dict.fromkeys(Layout, 8) | {Layout.L: 16}),
    ".webp": dict.fromkeys(Layout, 8),
}
_WEBP_SIDE = 16383
_HELD = {
    **dict.fromkeys(("PNG", "TIFF"), ("icc_profile", "dpi", "exif")),
    **{"WEBP": ("icc_profile", "exif"), "BMP": ("dpi",), "PPM": ()},
}
# Chunks that Pillow is shown, besides profiles. Others say how pixels are stored, or nothing to it.
_SHOWN = {b"tRNS", b"eXIf", b"pHYs", b"gAMA", b"sRGB", b"cHRM", b"tEXt", b"zTXt", b"iTXt"}
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


def mode(layout: Layout, depth: int) -> str:
    """Pillow's mode for such pixels, as it reads them from a PNG."""
    if layout is Layout.L and depth in (1, *range(9, 17)):
        return "1" if depth == 1 else "I;16"
    return "RGBA" if layout is Layout.LA and depth > 8 else layout.name


def shown(picture: Picture) -> Image:
    """The first frame as Pillow's image, as it reads it from a PNG: 16 bits of colour or alpha are reduced to 8."""
    from PIL import Image
    from PIL.PngImagePlugin import PngImageFile

    picture = picture.first()
    layout, depth = picture.layout, picture.depth
    if depth == 8 and layout is not Layout.P:
        pixels = picture.pixels[..., 0] if layout is Layout.L else picture.pixels
        return Image.fromarray(np.ascontiguousarray(pixels))
    if layout is Layout.P:
        colours(picture.origin, picture.metadata)
    plain = Picture(Origin.ARRAY, layout, picture.pixels, palette(picture.origin, picture.metadata), depth)
    try:
        with PngImageFile(io.BytesIO(png.written(plain, 0))) as image:
            return image.copy()
    except _REFUSED as error:
        raise CorruptFile(f"the image's transparent colours are damaged: {error}") from error


def colours(origin: Origin, metadata: bytes) -> bytes:
    """R, G, B of every colour of the palette; CorruptFile if there is none."""
    (*_, found) = [b"", *(content for kind, content in metadata_chunks(origin, metadata) if kind == b"PLTE")]
    if not found or len(found) % 3:
        raise CorruptFile("the image's palette is damaged")
    return found


def check(kind: Kind, width: int, height: int, suffix: str) -> None:
    """UnsupportedFeature if the format that a suffix names cannot hold such pixels, or they are several frames."""
    if kind.frames > 1:
        raise UnsupportedFeature(f"the image has {kind.frames} frames; as {suffix} only one could be written")
    if kind.depth > _MOST[suffix].get(kind.layout, 0) or kind.signed:
        what = f"mode {kind.layout.name}" + (f" and {kind.depth} bits" if kind.depth != 8 else "")
        raise UnsupportedFeature(f"{suffix} cannot hold an image of {what}" + (", signed" if kind.signed else ""))
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
    check(picture.kind, width, height, suffix)
    kind = FORMATS[suffix]
    if picture.depth > 8 and kind == "PPM":
        return pnm.written(picture), _left_out(picture, kind, {})
    found = _kept(metadata_chunks(picture.origin, picture.metadata))
    kept = {key: value for key, value in found.items() if key in _HELD[kind]}
    while True:
        try:
            return _saved(picture, kind, kept), _left_out(picture, kind, kept)
        except _REFUSED as error:
            if not kept:
                raise UnsupportedFeature(f"cannot write this image as {suffix}: {error}") from error
            kept.popitem()


def _left_out(picture: Picture, held_by: str, kept: dict[str, Any]) -> list[str]:
    kinds = {kind for kind, _ in metadata_chunks(picture.origin, picture.metadata)}
    if picture.layout is Layout.P:
        kinds -= {b"PLTE", b"tRNS"} if held_by == "WEBP" else {b"PLTE"}
    names = [name for kind, (key, name) in _NAMES.items() if kind in kinds and key not in kept]
    return [*names, "other metadata"] if kinds - _NAMES.keys() else names


def info(origin: Origin, metadata: bytes, mode: str = "") -> dict[str | tuple[int, int], Any]:
    """What Pillow finds in the file that a picture's metadata came from; CorruptFile if they are damaged.

    Chunks that Pillow refuses are left out, such as texts of more than 1 MB; but a profile may be larger. mode: what
    `mode` says of the picture; without it there is no transparent colour.
    """
    from PIL.PngImagePlugin import MAX_TEXT_CHUNK, MAX_TEXT_MEMORY, PngStream

    known = metadata_chunks(origin, metadata)
    stream = PngStream(io.BytesIO())
    stream.im_mode = mode
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


def _saved(picture: Picture, kind: str, kept: dict[str, Any]) -> bytes:
    if kind == "PNG" and (picture.depth != 8 or picture.layout is Layout.P):
        return _as_png(picture, kept)
    options = _OPTIONS.get(kind, {}) | kept
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow warns of EXIF data that it reads in part
        if kind == "TIFF" and "exif" in options:
            options |= {"exif": _described(kept["exif"]), "compression": "raw"}  # libtiff refuses EXIF of cameras
        shown(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def _as_png(picture: Picture, kept: dict[str, Any]) -> bytes:
    """A PNG of all bits, with the chunks that Pillow writes into one of a single pixel."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, "PNG", **kept)
    single = media.parse(buffer.getvalue(), None)
    assert single is not None
    before, after = halves(single.metadata)
    colours, _ = halves(palette(picture.origin, picture.metadata))
    plain = Picture(Origin.ARRAY, picture.layout, picture.pixels, joined(before + colours, after), picture.depth)
    return png.build(plain)


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
