"""Files as they are read: to their end, whatever size they claim, and whether they have changed meanwhile."""

import io
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile, gettempdir
from typing import IO, Any

from bfncodec.errors import BadMagic, ChangedFile, CorruptFile, NotWritten, TruncatedFile
from bfncodec.spans import Span, whole

SPOOLED = 1 << 23  # bytes on their way that are in memory at most


@dataclass
class Input:
    """The bytes of a file, what the system told of it when it was opened, and whether that is different by the end."""

    data: Span
    status: os.stat_result | None = None  # None of standard input
    changed: bool = False

    @property
    def regular(self) -> bool:
        """Whether it is a file that stays what it is if nobody writes it."""
        return self.status is not None and stat.S_ISREG(self.status.st_mode)

    def is_still(self, status: os.stat_result) -> bool:
        """Whether a file is the one that was opened, and as it was then."""
        return self.status is not None and _identity(self.status) == _identity(status)


class _Spool(SpooledTemporaryFile[bytes]):
    """A temporary file whose errors are told from those of inputs and outputs."""

    def write(self, data: Any, /) -> int:
        with _naming():
            return super().write(data)

    def seek(self, *place: int) -> int:
        with _naming():  # what is in a buffer is written first
            return super().seek(*place)


def spool() -> IO[bytes]:
    """A file without a name for data on their way, in memory while they are few. Writing may raise NotWritten."""
    return _Spool(SPOOLED)


@contextmanager
def _naming() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotWritten(f"a temporary file in {gettempdir()} cannot be written: {error.strerror}") from error


@contextmanager
def reading(path: Path) -> Iterator[Input]:
    """An open file; ChangedFile if it seems to be damaged and has changed since."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        with to_end(file) as data:
            given = Input(data, status)

            def changed() -> bool:
                return given.regular and not given.is_still(os.fstat(file.fileno()))

            try:
                yield given
            except (BadMagic, CorruptFile, TruncatedFile) as error:
                if changed():
                    raise ChangedFile("changed while it was read; nothing is made of it") from error
                raise
            given.changed = changed()


def to_end(file: IO[bytes]) -> AbstractContextManager[Span]:
    """All bytes of an open file: where they are if it can seek and has the size it claims, or else a copy."""
    size = _true_size(file)
    return copied(file) if size is None else nullcontext(Span(file, 0, size))


@contextmanager
def copied(file: IO[bytes]) -> Iterator[Span]:
    """All bytes from where an open file is."""
    with spool() as copy:
        shutil.copyfileobj(file, copy)
        yield whole(copy)


def _true_size(file: IO[bytes]) -> int | None:
    """The place of the last byte and one; None if there is none at the place that the system tells, or one behind it.

    The files of /proc claim 0 bytes, those of /sys a page. Afterwards all that can seek is at its beginning.
    """
    if not file.seekable():
        return None
    with suppress(OSError):  # some cannot seek to where they do not end
        size = file.seek(0, io.SEEK_END)
        if size and file.seek(size - 1) == size - 1 and len(file.read(2)) == 1:
            return size
    file.seek(0)
    return None


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
