"""A compression for fsspec: `import bfncodec.fsspec`, and `fsspec.open(..., compression="infer")` knows .bfn files.

fsspec looks for compressions nowhere, so this import is needed. What was written comes back byte for byte. A file
that `bfncodec encode` made of a PNG file is read as a PNG file of the same pixels and chunks.
"""

from __future__ import annotations

import io
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any, cast

from fsspec.compression import register_compression

from bfncodec import container, decoding, encoding, media
from bfncodec.errors import UnsupportedFeature
from bfncodec.media import png
from bfncodec.picture import Picture
from bfncodec.presets import MAX_OUTPUT, MAX_PIXELS, Choices
from bfncodec.spans import whole

NAME = "bfn"
SPOOLED = 1 << 23  # bytes that are in memory at most; more are in a temporary file

_READING, _WRITING = ("r", "rb"), ("w", "wb", "x", "xb")

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


def opened(infile: IO[bytes], mode: str = "rb", **_: Any) -> IO[bytes]:
    """What is in a .bfn file, to be read only, which can seek; or, with mode "w", a file that is only written.

    Reading decodes and checks everything first: BfnError if it is damaged, UnsupportedFeature if it is an archive.
    What is written can seek, and is encoded when it is closed. `infile` is closed together with the result, or once
    it is read. UnsupportedFeature for other modes: nothing is both read and written, and nothing is added to.
    """
    # fsspec hands on the mode's first letter alone; its own files know the rest.
    both = len(mode) == 1 and "+" in str(getattr(infile, "mode", ""))
    if both or mode not in _READING + _WRITING:
        asked = getattr(infile, "mode", mode) if both else mode
        raise UnsupportedFeature(f"cannot open a .bfn file with mode {asked!r}; there are reading and writing")
    if mode in _READING:
        with infile:
            stream: io.BufferedIOBase = io.BufferedReader(_Content(_decoded(infile)))
    else:
        stream = _Writer(infile)
    return cast(IO[bytes], stream)


def _decoded(infile: IO[bytes]) -> SpooledTemporaryFile[bytes]:
    with SpooledTemporaryFile(SPOOLED) as copy:
        given = infile
        if not infile.seekable():
            copy.writelines(iter(lambda: infile.read(1 << 20), b""))
            given = copy
        file = decoding.read(whole(given), max_output=MAX_OUTPUT, max_pixels=MAX_PIXELS)
        if file.names is not None:
            raise UnsupportedFeature("this is an archive of several items: use bfncodec.decode_items")
        decoded = SpooledTemporaryFile(SPOOLED)
        try:
            for content in decoding.contents(file, "auto"):
                decoded.writelines([media.build(content)] if isinstance(content, Picture) else content)
        except BaseException:
            decoded.close()
            raise
    decoded.seek(0)
    return decoded


class _Content(io.RawIOBase):
    """Decoded bytes, which nothing is written to."""

    def __init__(self, spool: SpooledTemporaryFile[bytes]) -> None:
        self.spool = spool

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        return self.spool.readinto(buffer)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self.spool.seek(offset, whence)

    def fileno(self) -> int:
        return self.spool.fileno()

    def close(self) -> None:
        self.spool.close()
        super().close()


class _Writer(io.BufferedIOBase):
    """Bytes that go to `target` as a .bfn file at the end, and are not read before."""

    def __init__(self, target: IO[bytes]) -> None:
        self.target, self.spool = target, SpooledTemporaryFile[bytes](SPOOLED)

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        return self.spool.write(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self.spool.seek(offset, whence)

    def tell(self) -> int:
        return self.spool.tell()

    def truncate(self, size: int | None = None) -> int:
        return self.spool.truncate(size)

    def close(self) -> None:
        """Encode, and close the target."""
        if self.closed:
            return
        try:
            self.spool.seek(0)
            # Byte for byte: the pixels and chunks of a PNG file alone are not enough.
            (magic,) = png.MAGIC
            choices = Choices(media="bytes" if self.spool.read(len(magic)) == magic else "auto")
            with self.target, SpooledTemporaryFile(SPOOLED) as spool:
                container.write_to(self.target, encoding.encode_file(whole(self.spool), spool, choices))
        finally:
            self.spool.close()
            super().close()


register_compression(NAME, opened, NAME, force=True)
