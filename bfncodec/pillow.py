"""A plugin for Pillow: `import bfncodec.pillow`, and `Image.open` and `Image.save` know .bfn files.

Opening reads header and metadata; pixels are decoded, and checked, when they are first asked for. Of JPEG files they
are what Pillow makes of them. A file that holds anything but one image is none of Pillow's:
`PIL.UnidentifiedImageError`. Pillow's own limits on sizes hold.
"""

import io
import struct
from typing import IO, Any

from PIL import Image, ImageFile, ImagePalette, JpegImagePlugin

from bfncodec import api, container, decoding
from bfncodec.blocks.image import unpack_metadata
from bfncodec.errors import BfnError
from bfncodec.media import convert
from bfncodec.media.medium import METADATA_LIMIT
from bfncodec.picture import Layout, Picture
from bfncodec.spans import whole

FORMAT = "BFN"
_EFFORTS = ("fast", "lattice", "default", "max")  # of images
_SEEN = ("icc_profile", "exif", "dpi", "transparency")
_STRIDE = 16  # of the preview's pixels, in both directions


class BfnImageFile(ImageFile.ImageFile):
    """One image in a .bfn file, of several frames the first.

    `info` has the same entries as for the PNG, BMP or JPEG file that was encoded.
    """

    format = FORMAT
    format_description = "bfncodec lossless image"
    _preview = False
    _jpeg: JpegImagePlugin.JpegImageFile | None = None  # the head of a JPEG file
    _drafted: tuple[str | None, tuple[int, int] | None] | None = None  # how little of it is wanted

    def _open(self) -> None:
        """Read size, mode and metadata; SyntaxError, as Pillow expects, for files that are no single image."""
        assert self.fp is not None
        try:
            self._file = decoding.read(whole(self.fp))
            photograph = decoding.single_jpeg(self._file)
            if photograph is not None:
                return self._open_jpeg(photograph.head())
            image = decoding.single_image(self._file)
            if image is None:
                raise SyntaxError("this .bfn file is not a single image")
            self._mode, size = convert.mode(image.layout, image.depth), (image.width, image.height // image.frames)
            (metadata,) = unpack_metadata(image.metadata, 1, METADATA_LIMIT + 16)
            self.info = convert.info(image.origin, metadata, self.mode)
            if image.layout is Layout.P:
                self.palette = ImagePalette.raw("RGB", convert.colours(image.origin, metadata))
        except (BfnError, OSError, ValueError, struct.error) as error:
            raise SyntaxError(str(error)) from error
        self._expect(size)

    def _open_jpeg(self, head: bytes) -> None:
        """A JPEG file: what Pillow makes of its head."""
        self._jpeg = JpegImagePlugin.JpegImageFile(io.BytesIO(head))
        self._mode, self.info = self._jpeg.mode, self._jpeg.info
        self._expect(self._jpeg.size)

    def _expect(self, size: tuple[int, int]) -> None:
        self._size = size
        self.tile = [("raw", (0, 0, *size), 0, self.mode)]  # type: ignore[list-item]

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> tuple[str, tuple[int, int, float, float]] | None:
        """Load every 16th pixel in both directions, if that is no smaller than `size`: fast, unchecked. The mode stays.

        JPEG files are checked, and give what they give to Pillow.
        `Image.thumbnail` comes here on its own; `reducing_gap=None` makes it use all pixels.
        """
        if self._jpeg is not None:
            return self._draft_jpeg(self._jpeg, mode, size)
        width, height = self.size
        if not self.tile or self._preview or size is None or min(size) < 1:
            return None
        if width < _STRIDE * size[0] or height < _STRIDE * size[1]:
            return None
        self._preview = True
        self._expect((-(-width // _STRIDE), -(-height // _STRIDE)))
        return self.mode, (0, 0, width / _STRIDE, height / _STRIDE)

    def _draft_jpeg(
        self, head: JpegImagePlugin.JpegImageFile, mode: str | None, size: tuple[int, int] | None
    ) -> tuple[str, tuple[int, int, float, float]] | None:
        """What Pillow makes of JPEG files in a hurry; once, as there."""
        drafted = head.draft(mode, size)
        if drafted is not None:
            self._drafted, self._mode = (mode, size), head.mode
            self._expect(head.size)
        return drafted

    def load(self) -> Any:
        """Decode; OSError if the file is damaged."""
        if self.tile and not isinstance(self.fp, _Raw):
            if self.fp is None:
                raise ValueError("Operation on closed image")
            pixels = self._decoded(self._preview)
            if self._exclusive_fp:
                self.fp.close()
            self.fp = _Raw(pixels)
        return super().load()

    def load_seek(self, pos: int) -> None:
        """What is loaded is in memory, and no file to be mapped."""

    def verify(self) -> None:
        """Decode everything and compare with the checksum; OSError if the file is damaged."""
        if self.fp is None or isinstance(self.fp, _Raw):
            raise RuntimeError("verify must be called directly after open")
        try:
            self._decoded(preview=False)
        finally:
            super().verify()

    def _decoded(self, preview: bool) -> bytes:
        try:
            if preview:
                return convert.shown(decoding.preview(self._file, "auto")).tobytes()
            (content,) = decoding.contents(self._file, "auto")
            if isinstance(content, Picture):
                return convert.shown(content).tobytes()
            whole = JpegImagePlugin.JpegImageFile(io.BytesIO(b"".join(content)))
        except BfnError as error:
            raise OSError(str(error)) from error
        if self._drafted is not None:
            whole.draft(*self._drafted)
        return whole.tobytes()


class _Raw(io.BytesIO):
    """Decoded pixels on their way to Pillow."""


def _save(image: Image.Image, file: IO[bytes], name: str | bytes) -> None:
    """`Image.save`; options: effort, model, and icc_profile, exif, dpi in place of those of `image.info`.

    ValueError for an unknown effort; OSError for other modes than `api.MODES`, and a transparent colour that is none.
    """
    options = image.encoderinfo
    effort = options.get("effort", "default")
    if image.mode not in api.MODES:
        raise OSError(f"cannot write mode {image.mode} as {FORMAT}; there are {', '.join(api.MODES)}")
    if effort not in _EFFORTS:
        raise ValueError(f"no effort is called {effort!r}; there are {', '.join(_EFFORTS)}")
    shown = image.copy()
    shown.info = {key: options.get(key, image.info.get(key)) for key in _SEEN}
    try:
        data = api.encode(shown, effort=effort, model=options.get("model"), max_pixels=image.width * image.height)
    except BfnError as error:
        raise OSError(str(error)) from error
    file.write(data)


Image.register_open(FORMAT, BfnImageFile, container.is_bfn)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, ".bfn")
Image.register_mime(FORMAT, "image/x-bfn")
