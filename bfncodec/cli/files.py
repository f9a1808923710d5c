"""Files, pipes and terminals, as users of xz and zstd know them."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import click

from bfncodec.errors import BfnError

SUFFIX = ".bfn"
STANDARD = "-"


class Refused(BfnError):
    """The request would do harm: exit code 1."""


@dataclass
class Messages:
    """Where messages go: stderr, as loud as asked for."""

    loudness: int = 1

    def error(self, name: str, error: object) -> None:
        """An error, unless -qq."""
        if self.loudness > -1:
            click.echo(f"bfncodec: {printable(name)}: {error}", err=True)

    def note(self, text: str) -> None:
        """A result, unless -q."""
        if self.loudness > 0:
            click.echo(text, err=True)

    def detail(self, text: str) -> None:
        """More, with -v."""
        if self.loudness > 1:
            click.echo(text, err=True)


def printable(name: str) -> str:
    """A name without control characters, for terminals."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in name)


def read(name: str, *, binary_wanted: bool, force: bool) -> bytes:
    """A file's bytes, or all of standard input for '-'.

    Refused for folders, devices and sockets, and for a terminal unless forced or text is welcome.
    """
    if name == STANDARD:
        if binary_wanted and sys.stdin.isatty() and not force:
            raise click.UsageError("standard input is a terminal; name a file, pipe data in, or use -f")
        return sys.stdin.buffer.read()
    path = Path(name)
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise Refused("is a folder; name its files")
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
        raise Refused("is not a regular file")
    return path.read_bytes()


def write(target: str, data: bytes, *, source: str, force: bool, preserve: bool) -> None:
    """Write whole or not at all; '-' is standard output.

    An existing target is replaced only if forced, the source itself never.
    """
    if target == STANDARD:
        if sys.stdout.isatty() and not force:
            raise click.UsageError("standard output is a terminal; use -o FILE, or -f to write to it all the same")
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    check_target(target, source, force)
    path = Path(target)
    if path.is_symlink():
        path = path.resolve()
    handle, temporary = tempfile.mkstemp(prefix=path.name[:100] + ".", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _take_over(source if preserve else STANDARD, temporary)
        if force:
            os.replace(temporary, path)
        else:
            _place_new(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def check_target(target: str, source: str, force: bool) -> None:
    """Refuse an existing target unless forced, and the source itself always."""
    path = Path(target)
    if not os.path.lexists(path):
        return
    if source != STANDARD and path.exists() and path.samefile(source):
        raise Refused(f"{printable(target)} is the input itself")
    if path.exists() and not path.is_file():
        raise Refused(f"{printable(target)} is not a regular file")
    if not force:
        raise Refused(f"{printable(target)} exists already; use -f to replace it")


def check_member(name: str) -> None:
    """Refuse an archive's item that would land outside its folder."""
    if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise Refused(f"the item {printable(name)!r} has a name that is not safe to write; use --item with -o")


def _place_new(temporary: str, path: Path) -> None:
    """Give the file its name, unless somebody else took it meanwhile."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise Refused(f"{printable(str(path))} exists already; use -f to replace it") from None
    except OSError:  # a file system without links
        os.rename(temporary, path)
        return
    os.unlink(temporary)


def _take_over(source: str, temporary: str) -> None:
    """Copy mode and time of the source; otherwise the mode of any new file."""
    if source == STANDARD:
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        return
    status = os.stat(source)
    os.chmod(temporary, stat.S_IMODE(status.st_mode) & 0o777)
    os.utime(temporary, ns=(status.st_atime_ns, status.st_mtime_ns))


def remove(name: str, messages: Messages) -> None:
    """Remove an input that is safely written; links and pipes stay."""
    path = Path(name)
    if name == STANDARD or path.is_symlink() or not path.is_file():
        messages.note(f"{printable(name)}: not removed, not a regular file")
        return
    path.unlink()


def each(names: Iterable[str], work: Callable[[str], None], messages: Messages, debug: bool) -> None:
    """Do the work for every name; go on after a failure; exit with 1 at the end if there was one."""
    failed = False
    for name in names or (STANDARD,):
        try:
            work(name)
        except BrokenPipeError:
            # The reader has seen enough. Nothing may be flushed into the pipe at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except (BfnError, OSError, MemoryError) as error:
            if debug:
                raise
            failed = True
            if isinstance(error, OSError):
                messages.error(name, error.strerror or error)
            elif isinstance(error, MemoryError):
                messages.error(name, "not enough memory")
            else:
                messages.error(name, error)
    if failed:
        sys.exit(1)


def with_unit(size: float) -> str:
    """A size in bytes for people."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
