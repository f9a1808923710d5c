"""Inputs and messages: files, pipes and terminals, as users of xz and zstd know them."""

from __future__ import annotations

import gc
import os
import re
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bfncodec import inputs
from bfncodec.errors import BfnError, reason
from bfncodec.exact import notice
from bfncodec.inputs import Input

if TYPE_CHECKING:
    from bfncodec.container import File

SUFFIX = ".bfn"
STANDARD = "-"
COMPILING = "compiling for this machine, once ..."
# Names that the system has for what is open already: they are no place for another file.
DESCRIPTOR = re.compile(r"/dev/(stdin|stdout|stderr)|(?:/dev|/proc/self|/proc/thread-self)/fd/(\d+)")
TIED = "warning: coded by a floating-point model; it decodes only on this machine with these library versions"


class Refused(BfnError):
    """The request would do harm: exit code 1."""


@dataclass
class Messages:
    """Where messages go: stderr, as loud as asked for."""

    loudness: int = 1
    debug: bool = False  # show the traceback of an error
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
        if any(block.form.tied for block in file.blocks):
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


def printable(name: str) -> str:
    """A name without control characters, for terminals; '' for none."""
    if not name:
        return "''"
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in name)


def check_source(name: str) -> None:
    """Refuse names of nothing, folders, devices and sockets."""
    if name == STANDARD:
        return
    if not name:
        raise Refused("an empty name is no file's name")
    mode = os.stat(name).st_mode
    if stat.S_ISDIR(mode):
        raise Refused("is a folder; name its files")
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
        raise Refused("is not a regular file")


@contextmanager
def opened(name: str, *, binary_wanted: bool, force: bool) -> Iterator[Input]:
    """A file, or what is left of standard input for '-'. A temporary file holds what cannot seek, if it is much.

    Refused as by `check_source`, and for a terminal unless forced or text is welcome. ChangedFile: `inputs.reading`.
    """
    if name == STANDARD:
        if sys.stdin is None:
            raise Refused("standard input is closed")
        if binary_wanted and sys.stdin.isatty() and not force:
            raise click.UsageError("standard input is a terminal; name a file, pipe data in, or use -f")
        with inputs.copied(sys.stdin.buffer) as data:  # others may go on reading it: nothing seeks there
            yield Input(data)
        return
    check_source(name)
    with inputs.reading(Path(name)) as given:
        yield given


def removed(name: str, given: Input, messages: Messages) -> bool:
    """Remove an input, if it is no link or pipe; False if it is not what was read. Raises Refused."""
    path = Path(name)
    if not given.regular or path.is_symlink():
        messages.note(f"{printable(name)}: not removed, not a regular file")
        return True
    try:
        if given.is_still(path.lstat()):
            path.unlink()
            return True
    except FileNotFoundError:
        pass
    except OSError as error:
        raise Refused(f"{printable(name)} cannot be removed: {error.strerror}") from error
    return False


def each(
    names: Sequence[str], work: Callable[[str], None], messages: Messages, finish: Callable[[], None] = lambda: None
) -> None:
    """Do the work for every name, then finish; go on after a failure; exit with 1 at the end if there was one."""
    failed = False
    gc.enable()
    for name in names or (STANDARD,):
        try:
            with notice.listening(messages.compiling):
                work(name)
        except BrokenPipeError:
            # The reader has seen enough. Nothing may be flushed into the pipe at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            break
        except (BfnError, OSError, MemoryError) as error:
            if messages.debug:
                raise
            failed = True
            messages.error(name, reason(error))
        finally:
            messages.clear()
    finish()
    if failed:
        sys.exit(1)


def with_unit(size: float) -> str:
    """A size in bytes for people."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
