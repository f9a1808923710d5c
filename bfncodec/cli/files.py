"""Files, pipes and terminals, as users of xz and zstd know them."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING

import click

from bfncodec.cli import atomic
from bfncodec.errors import BfnError
from bfncodec.exact import notice
from bfncodec.payload import Span, whole

if TYPE_CHECKING:
    from bfncodec.container import File

SUFFIX = ".bfn"
STANDARD = "-"
SPOOLED = 1 << 23  # bytes on their way that are in memory at most
COMPILING = "compiling for this machine, once ..."
TIED = "warning: coded by a floating-point model; it decodes only on this machine with these library versions"


class Refused(BfnError):
    """The request would do harm: exit code 1."""


class Keep(Enum):
    """What an output takes over from its inputs."""

    ALL = "permissions, group and time of the only input"
    RIGHTS = "no more permissions than every input grants"
    NOTHING = "nothing"


@dataclass
class Messages:
    """Where messages go: stderr, as loud as asked for."""

    loudness: int = 1
    _shown: str = field(default="", init=False)
    _before: str = field(default="", init=False)

    def error(self, name: str, error: object) -> None:
        """An error, unless -qq."""
        if self.loudness > -1:
            self._say(f"bfncodec: {printable(name)}: {printable(str(error))}")

    def note(self, text: str) -> None:
        """A result, unless -q."""
        if self.loudness > 0:
            self._say(text)

    def detail(self, text: str) -> None:
        """More, with -v."""
        if self.loudness > 1:
            self._say(text)

    def tied(self, name: str, file: File) -> None:
        """A warning if a file was coded by a model that computes in floating point."""
        if any(block.single is not None and block.single.inexact for block in file.blocks):
            self.note(f"{printable(name)}: {TIED}")

    def progress(self, text: str) -> None:
        """What is being done, on a terminal only; the next message takes its place."""
        if self.loudness > 0 and sys.stderr is not None and sys.stderr.isatty():
            self.clear()
            self._shown = text[: shutil.get_terminal_size().columns - 1]
            click.echo(self._shown, err=True, nl=False)

    def compiling(self, now: bool) -> None:
        """The reason of a long wait, on a terminal only, in the place of what is shown there."""
        if now:
            before = self._shown
            self.progress(COMPILING)
            self._before = before
        elif self._shown:
            self.progress(self._before)

    def clear(self) -> None:
        """Wipe the line of progress."""
        if self._shown:
            click.echo("\r" + " " * len(self._shown) + "\r", err=True, nl=False)
            self._shown = ""

    def _say(self, text: str) -> None:
        try:
            self.clear()
            click.echo(text, err=True)
        except BrokenPipeError:  # nobody listens: the work goes on
            self.loudness = -2


@dataclass
class Output:
    """A file that is being written, and the pipe that it goes to if it has no name to get."""

    file: IO[bytes]
    pipe: IO[bytes] | None = None

    def release(self) -> None:
        """What is written so far is right: a pipe gets it."""
        if self.pipe is None:
            return
        self.file.seek(0)
        shutil.copyfileobj(self.file, self.pipe)
        self.pipe.flush()
        self.file.seek(0)
        self.file.truncate()


def printable(name: str) -> str:
    """A name without control characters, for terminals."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in name)


@contextmanager
def opened(name: str, *, binary_wanted: bool, force: bool) -> Iterator[Span]:
    """A file's bytes, or those of standard input for '-', which a temporary file holds if they are many.

    Refused for folders, devices and sockets, and for a terminal unless forced or text is welcome.
    """
    if name == STANDARD:
        if sys.stdin is None:
            raise Refused("standard input is closed")
        if binary_wanted and sys.stdin.isatty() and not force:
            raise click.UsageError("standard input is a terminal; name a file, pipe data in, or use -f")
        with spool() as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
            yield whole(copy)
        return
    path = Path(name)
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise Refused("is a folder; name its files")
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
        raise Refused("is not a regular file")
    with path.open("rb") as file:
        if stat.S_ISREG(mode):
            yield whole(file)
            return
        with spool() as copy:
            shutil.copyfileobj(file, copy)
            yield whole(copy)


def spool() -> IO[bytes]:
    """A file without a name for data on their way, in memory while they are few."""
    return SpooledTemporaryFile(SPOOLED)


@contextmanager
def output(target: str, *, sources: Sequence[str], force: bool, keep: Keep, make_folder: bool) -> Iterator[Output]:
    """What is to be written, which appears whole at the end, or not at all; '-' is standard output.

    An existing target is replaced only if forced, one of its sources never. With `make_folder` a target's missing
    folder is made, and unmade on errors.
    """
    check_target(target, sources, force)
    if target == STANDARD:
        with spool() as file:
            out = Output(file, sys.stdout.buffer)
            yield out
            out.release()
        return
    path = Path(target)
    if path.is_symlink():
        path = path.resolve()
    missing = [folder for folder in path.parents if make_folder and not folder.exists()]
    if make_folder:
        path.parent.mkdir(parents=True, exist_ok=True)
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


def check_target(target: str, sources: Sequence[str], force: bool) -> None:
    """Refuse a terminal and an existing target unless forced, and a source always."""
    if target == STANDARD:
        if sys.stdout is None:
            raise Refused("standard output is closed")
        if sys.stdout.isatty() and not force:
            raise click.UsageError("standard output is a terminal; use -o FILE, or -f to write to it all the same")
        return
    path = Path(target)
    if not os.path.lexists(path):
        return
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Refused(f"{printable(target)} is one of links that point to each other") from None
    others = [source for source in sources if source != STANDARD and os.path.exists(source)]
    if path.exists() and any(path.samefile(source) for source in others):
        raise Refused(f"{printable(target)} is the input itself")
    if path.exists() and not path.is_file():
        raise Refused(f"{printable(target)} is not a regular file")
    if not force:
        raise Refused(f"{printable(target)} exists already; use -f to replace it")


def check_member(name: str) -> None:
    """Refuse an archive's item that would land outside its folder."""
    if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise Refused(f"the item {printable(name)!r} has a name that is not safe to write; use --item with -o")


def _take_over(handle: int, sources: Sequence[str], keep: Keep) -> None:
    """Set the mode of any new file, or what is to be kept of the sources."""
    mask = os.umask(0)
    os.umask(mask)
    mode = 0o666 & ~mask
    statuses = [os.stat(source) for source in sources if source != STANDARD and keep is not Keep.NOTHING]
    if keep is Keep.ALL and len(statuses) == 1 and stat.S_ISREG(statuses[0].st_mode):
        status = statuses[0]
        own = os.fstat(handle).st_gid
        if status.st_gid != own:
            try:
                os.fchown(handle, -1, status.st_gid)
                own = status.st_gid
            except OSError:
                pass
        os.fchmod(handle, _rights(status, own))
        os.utime(handle, ns=(status.st_atime_ns, status.st_mtime_ns))
        return
    own = os.fstat(handle).st_gid
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


def remove(name: str, messages: Messages) -> None:
    """Remove an input that is safely written; links and pipes stay."""
    path = Path(name)
    if name == STANDARD or path.is_symlink() or not path.is_file():
        messages.note(f"{printable(name)}: not removed, not a regular file")
        return
    path.unlink()


def each(
    names: Sequence[str],
    work: Callable[[str], None],
    messages: Messages,
    debug: bool,
    finish: Callable[[], None] = lambda: None,
) -> None:
    """Do the work for every name, then finish; go on after a failure; exit with 1 at the end if there was one."""
    failed = False
    for name in names or (STANDARD,):
        try:
            with notice.listening(messages.compiling):
                work(name)
        except BrokenPipeError:
            # The reader has seen enough. Nothing may be flushed into the pipe at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            break
        except (BfnError, OSError, MemoryError) as error:
            if debug:
                raise
            failed = True
            messages.error(name, reason(error))
        finally:
            messages.clear()
    finish()
    if failed:
        sys.exit(1)


def reason(error: BaseException) -> str:
    """What to tell of an error."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "not enough memory" if isinstance(error, MemoryError) else str(error)


def distinct(targets: Iterable[str]) -> None:
    """Wrong usage if two inputs would be written to one file."""
    seen: set[str] = set()
    for target in targets:
        if target != STANDARD and target in seen:
            raise click.UsageError(f"two inputs would be written to {printable(target)}")
        seen.add(target)


def with_unit(size: float) -> str:
    """A size in bytes for people."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
