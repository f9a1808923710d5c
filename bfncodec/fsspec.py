"""A compression for fsspec: `import bfncodec.fsspec`, and `fsspec.open(..., compression="infer")` knows .bfn files.

fsspec looks for compressions nowhere, so this import is needed. What was written comes back byte for byte. A file
that `bfncodec encode` made of a PNG file is read as a PNG file of the same pixels and chunks.
"""

from __future__ import annotations

from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any

from fsspec.compression import register_compression

from bfncodec import container
from bfncodec.errors import UnsupportedFeature
from bfncodec.media.image import PNG_MAGIC
from bfncodec.payload import whole

NAME = "bfn"
SPOOLED = 1 << 23  # bytes that are in memory at most; more are in a temporary file

if TYPE_CHECKING:
    _Spool = SpooledTemporaryFile[bytes]
else:
    _Spool = SpooledTemporaryFile


def opened(infile: IO[bytes], mode: str = "rb", **_: Any) -> IO[bytes]:
    """What is in a .bfn file, which can seek; or, with mode "w", a file that is encoded when it is closed.

    Reading decodes and checks everything first: BfnError if it is damaged, UnsupportedFeature if it is an archive.
    `infile` is closed together with the result, or once it is read.
    """
    if mode[0] == "r":
        with infile:
            return _decoded(infile)
    if mode[0] not in "wx":
        raise UnsupportedFeature(f"cannot open a .bfn file with mode {mode!r}; there are reading and writing")
    return _Writer(infile)


def _decoded(infile: IO[bytes]) -> IO[bytes]:
    from bfncodec import api
    from bfncodec.media import image

    with SpooledTemporaryFile(SPOOLED) as copy:
        given = infile
        if not infile.seekable():
            copy.writelines(iter(lambda: infile.read(1 << 20), b""))
            given = copy
        file = container.read(whole(given), max_output=api.MAX_OUTPUT, max_pixels=api.MAX_PIXELS)
        if file.names is not None:
            raise UnsupportedFeature("this is an archive of several items: use bfncodec.decode_items")
        made = SpooledTemporaryFile(SPOOLED)
        try:
            for content in api.contents(file, "auto"):
                made.writelines([image.build(content)] if isinstance(content, image.Picture) else content)
        except BaseException:
            made.close()
            raise
    made.seek(0)
    return made


class _Writer(_Spool):
    """Bytes that go to `target` as a .bfn file at the end."""

    def __init__(self, target: IO[bytes]) -> None:
        super().__init__(SPOOLED)
        self.target = target

    def close(self) -> None:
        """Encode, and close the target."""
        if self.closed:
            return
        from bfncodec import api

        try:
            self.seek(0)
            # Byte for byte: the pixels and chunks of a PNG file alone are not enough.
            media = "bytes" if self.read(len(PNG_MAGIC)) == PNG_MAGIC else "auto"
            with self.target, SpooledTemporaryFile(SPOOLED) as spool:
                container.write_to(self.target, api.encode_file(whole(self), spool, media=media))
        finally:
            super().close()

    def __exit__(self, *_: object) -> None:
        """The class above would close its own file only."""
        self.close()


register_compression(NAME, opened, NAME, force=True)
