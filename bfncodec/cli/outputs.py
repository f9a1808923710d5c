"""What the command writes: files, which appear whole or not at all, and streams, which take what is checked."""

import io
import os
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO

import click

from bfncodec import atomic
from bfncodec.cli.files import DESCRIPTOR, STANDARD, Refused, printable
from bfncodec.errors import NotWritten
from bfncodec.inputs import Input, spool


class Keep(Enum):
    """What an output takes over from its inputs."""

    ALL = "permissions, group and time of the only input"
    RIGHTS = "no more permissions than every input grants"
    NOTHING = "nothing"


@dataclass
class Output:
    """What is being written, and the stream that it goes to if it has no name to get."""

    file: IO[bytes]
    stream: IO[bytes] | None = None
    name: str = "standard output"

    def release(self) -> None:
        """What is written so far is right: a stream gets it."""
        if self.stream is None:
            return
        self.file.seek(0)
        with atomic.naming(self.name):
            shutil.copyfileobj(self.file, self.stream)
            self.stream.flush()
        self.file.seek(0)
        self.file.truncate()


@contextmanager
def output(
    target: str, sources: Mapping[str, Input], keep: Keep, *, force: bool, named: bool = True
) -> Iterator[Output]:
    """What is to be written. A file appears whole at the end, or not at all; a stream gets it then.

    An existing file is replaced only if forced, one of its sources never. The missing folder of a target that is not
    `named` by the user is made, and unmade on errors. Raises Refused, NotWritten.
    """
    check_target(target, sources, force, named=named)
    if is_stream(target):
        with _stream(target) as stream, spool() as file:
            out = Output(file, stream, "standard output" if _number(target) == 1 else target)
            yield out
            out.release()
        return
    path = Path(target)
    if path.is_symlink():
        path = path.resolve()
    missing = [folder for folder in path.parents if not named and not folder.exists()]
    with atomic.naming(target):
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
    try:
        with atomic.writing(path, replace=force, dress=lambda handle: _take_over(handle, sources, keep)) as file:
            yield Output(file)
    except BaseException as error:
        for folder in missing:
            with suppress(OSError):
                folder.rmdir()
        if isinstance(error, FileExistsError):
            raise Refused(f"{printable(target)} exists already; use -f to replace it") from None
        raise


def is_stream(target: str) -> bool:
    """Whether a target takes data and keeps no file: standard output, another open one, a pipe, a device."""
    if _number(target) is not None:
        return True
    try:
        mode = os.stat(target).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def check_target(target: str, sources: Iterable[str], force: bool, *, named: bool = True) -> None:
    """Refuse what must not or cannot be written, before there is work for it: a terminal unless forced, or a file.

    What is not `named` by the user is no pipe or device, and its folder need not be there.
    """
    if target == STANDARD or named and is_stream(target):
        _check_stream(target, force)
    else:
        check_file(target, sources, force, named=named)


def check_file(target: str, sources: Iterable[str], force: bool, *, named: bool = True) -> None:
    """Refuse a source, what is no file, an existing one unless forced, and one in a folder that takes no files."""
    path = Path(target)
    with atomic.naming(target):
        if _exists(path):
            others = [source for source in sources if source != STANDARD and os.path.exists(source)]
            there = path.exists()
            if there and any(path.samefile(source) for source in others):
                raise Refused(f"{printable(target)} is the input itself")
            if there and not path.is_file():
                raise Refused(f"{printable(target)} is not a regular file")
            if not force:
                raise Refused(f"{printable(target)} exists already; use -f to replace it")
            path = Path(os.path.realpath(path))
        folder = path.parent
        while not named and not folder.exists():
            folder = folder.parent
        if not folder.is_dir():
            raise NotWritten(f"{target} cannot be written: {folder} is no folder to write to")
        atomic.try_folder(folder)


def _exists(path: Path) -> bool:
    """Whether there is something, if only a link that leads nowhere; OSError if it leads round or cannot be there."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    with suppress(FileNotFoundError):
        path.stat()
    return True


def tell(text: str) -> None:
    """A line to standard output; NotWritten."""
    with atomic.naming("standard output"):
        click.echo(text)


def check_member(name: str) -> None:
    """Refuse an archive's item that would land outside its folder, on this system."""
    separators = {"/", os.sep, os.altsep or os.sep, *(":" if os.name == "nt" else "")}
    if name in ("", ".", "..") or "\0" in name or separators & set(name):
        raise Refused(f"the item {printable(name)!r} has a name that is not safe to write; use --item with -o")


def distinct(targets: Iterable[str]) -> None:
    """Wrong usage if two inputs would be written to one file."""
    seen: set[str] = set()
    for target in targets:
        if target != STANDARD and target in seen:
            raise click.UsageError(f"two inputs would be written to {printable(target)}")
        seen.add(target)


def _number(target: str) -> int | None:
    """The descriptor that a target names."""
    if target == STANDARD:
        return 1
    named = DESCRIPTOR.fullmatch(target)
    if named is None:
        return None
    return {"stdin": 0, "stdout": 1, "stderr": 2}.get(named[1]) if named[1] else int(named[2])


def _check_stream(target: str, force: bool) -> None:
    number = _number(target)
    if number == 1:
        if sys.stdout is None:
            raise Refused("standard output is closed")
        if sys.stdout.isatty() and not force:
            raise click.UsageError("standard output is a terminal; use -o FILE, or -f to write to it all the same")
        return
    if force or number is None and stat.S_ISFIFO(os.stat(target).st_mode):  # opening waits for a reader
        return
    with atomic.naming(target), os.fdopen(_opened(target), "wb", 0) as stream:
        if stream.isatty():
            raise click.UsageError(f"{printable(target)} is a terminal; use -f to write to it all the same")


@contextmanager
def _stream(target: str) -> Iterator[IO[bytes]]:
    if _number(target) == 1:
        sys.stdout.flush()
        yield sys.stdout.buffer
        return
    with atomic.naming(target):
        handle = _opened(target)
    with io.BufferedWriter(atomic.Written(handle, "w", target)) as stream:
        yield stream


def _opened(target: str) -> int:
    """A handle of a stream. A descriptor is not opened anew: data go where its file is being written."""
    number = _number(target)
    return os.open(target, os.O_WRONLY | os.O_NOCTTY) if number is None else os.dup(number)


def _take_over(handle: int, sources: Mapping[str, Input], keep: Keep) -> None:
    """Set the mode of any new file, or what is to be kept of the sources, as they were when they were opened."""
    mask = os.umask(0)
    os.umask(mask)
    mode = 0o666 & ~mask
    statuses = [one.status for one in sources.values() if one.status is not None and keep is not Keep.NOTHING]
    own = os.fstat(handle).st_gid
    if keep is Keep.ALL and len(statuses) == 1 and stat.S_ISREG(statuses[0].st_mode):
        (status,) = statuses
        with suppress(OSError):
            os.fchown(handle, -1, status.st_gid)
            own = status.st_gid
        os.utime(handle, ns=(status.st_atime_ns, status.st_mtime_ns))
        mode = 0o777
    for status in statuses:
        mode &= _rights(status, own)
    os.fchmod(handle, mode)


def _rights(status: os.stat_result, group: int) -> int:
    """A file's mode as it may be with another group: that may do what both the old one and all others might."""
    mode = status.st_mode & 0o777
    if status.st_gid == group:
        return mode
    both = mode >> 3 & mode & 0o7
    return mode & 0o700 | both << 3 | both
