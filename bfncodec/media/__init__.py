"""Image files <-> pictures: one file a medium, and a line in MEDIA.

PNG files come back to the last pixel and chunk, the others to the last byte; all else is left to be coded as bytes.
"""

from bfncodec.media import bmp, gif, npy, png, pnm, tiff
from bfncodec.media.medium import HEAD, METADATA_LIMIT, Chunk, Medium, check_size, joined
from bfncodec.picture import Layout, Origin, Picture
from bfncodec.spans import Data, cut

MEDIA: tuple[Medium, ...] = (png, pnm, bmp, npy, tiff, gif)

LARGE = 1 << 26  # bytes from which on a file is read only if its head says that it may be an image


def parse(data: Data, max_pixels: int | None) -> Picture | None:
    """The picture in a file's bytes, None if it has to be coded as bytes; LimitExceeded above `max_pixels` pixels."""
    start = bytes(cut(data, 0, min(len(data), HEAD)))
    medium = next((medium for medium in MEDIA if start.startswith(medium.MAGIC)), None)
    head = medium.head(start, data) if medium is not None else None
    if medium is None or head is None or not head.least <= len(data) <= head.most + METADATA_LIMIT + HEAD:
        return None
    if len(data) > LARGE:
        check_size(head, max_pixels)
    picture = medium.parse(bytes(data), head, max_pixels)
    if picture is not None:
        look_up(picture)
    return picture if picture is not None and len(picture.metadata) <= METADATA_LIMIT else None


def build(picture: Picture) -> bytes:
    """The file that a picture came from (for arrays: a PNG)."""
    return _of(picture.origin).build(picture)


def metadata_chunks(origin: Origin, metadata: bytes) -> list[Chunk]:
    """See `Medium.chunks`."""
    return _of(origin).chunks(metadata)


def palette(origin: Origin, metadata: bytes) -> bytes:
    """Metadata of a PNG that has a picture's palette, and its transparent colours."""
    chunks = [chunk for chunk in metadata_chunks(origin, metadata) if chunk[0] in (b"PLTE", b"tRNS")]
    return joined(png.packed(chunks), b"")


def look_up(picture: Picture) -> None:
    """Give a picture its palette, if its metadata have one."""
    if picture.layout is Layout.P:
        found = dict(metadata_chunks(picture.origin, picture.metadata))
        picture.palette = found.get(b"PLTE", b"")


def suffixes(origin: Origin) -> tuple[str, ...]:
    """Of the files that pictures of an origin came from."""
    return _of(origin).SUFFIXES


def _of(origin: Origin) -> Medium:
    return next(medium for medium in MEDIA if origin in medium.ORIGINS)
