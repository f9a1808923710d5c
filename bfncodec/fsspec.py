"""A compression for fsspec: `import bfncodec.fsspec`, and `fsspec.open(..., compression="infer")` knows .bfn files.

fsspec looks for compressions nowhere, so this import is needed. What was written comes back byte for byte. A file
that `bfncodec encode` made of a PNG file is read as a PNG file of the same pixels and chunks.
"""

import io
from tempfile import SpooledTemporaryFile
from typing import IO, Any, cast

from fsspec.compression import register_compression

from bfncodec import container, decoding, encoding, inputs, media
from bfncodec.errors import UnsupportedFeature
from bfncodec.media import png
from bfncodec.picture import Picture
from bfncodec.presets import MAX_OUTPUT, MAX_PIXELS, Choices
from bfncodec.spans import whole

NAME = "bfn"
_READING, _WRITING = ("r", "rb"), ("w", "wb", "x", "xb")


def opened(infile: IO[bytes], mode: str = "rb", **_: Any) -> IO[bytes]:
    """What is in a .bfn file, to be read only, which can seek; or, with mode "w", a file that is only written.

    Reading decodes and checks everything first: BfnError if it is damaged, UnsupportedFeature if it is an archive. What
    is written is encoded when it is closed. `infile` is closed then, or once it is read. No other modes.
    """
    # fsspec hands on the mode's first letter alone; its own files know the rest.
    both = len(mode) == 1 and "+" in str(getattr(infile, "mode", ""))
    if both or mode not in _READING + _WRITING:
        asked = getattr(infile, "mode", mode) if both else mode
        raise UnsupportedFeature(f"cannot open a .bfn file with mode {asked!r}; there are reading and writing")
    if mode in _READING:
        with infile:
            return cast(IO[bytes], io.BufferedReader(_decoded(infile)))
    return cast(IO[bytes], io.BufferedWriter(_Writing(infile)))


def _decoded(infile: IO[bytes]) -> SpooledTemporaryFile[bytes]:
    with inputs.to_end(infile) as given:
        file = decoding.read(given, max_output=MAX_OUTPUT, max_pixels=MAX_PIXELS)
        if file.names is not None:
            raise UnsupportedFeature("this is an archive of several items: use bfncodec.decode_items")
        decoded = SpooledTemporaryFile[bytes](inputs.SPOOLED)
        try:
            for content in decoding.contents(file, "auto"):
                decoded.writelines([media.build(content)] if isinstance(content, Picture) else content)
        except BaseException:
            decoded.close()
            raise
    decoded.seek(0)
    return decoded


class _Writing(SpooledTemporaryFile[bytes]):
    """What is written, which goes to `target` as a .bfn file at the end."""

    def __init__(self, target: IO[bytes]) -> None:
        super().__init__(inputs.SPOOLED)
        self.target = target

    def close(self) -> None:
        if self.closed:
            return
        try:
            self.seek(0)
            # Byte for byte: the pixels and chunks of a PNG file alone are not enough.
            (magic,) = png.MAGIC
            choices = Choices(media="bytes" if self.read(len(magic)) == magic else "auto")
            with self.target, inputs.spool() as spool:
                container.write_to(self.target, encoding.encode_file(whole(self), spool, choices))
        finally:
            super().close()


register_compression(NAME, opened, NAME, force=True)
