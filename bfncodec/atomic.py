"""Files that appear whole or not at all, and errors that name what cannot be written."""

import io
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from bfncodec.errors import NotWritten

TEMPORARY = ".bfncodec-{}.part"  # name of what is being written


class Written(io.FileIO):
    """An open output without a buffer, whose errors are told from those of inputs."""

    def __init__(self, handle: int, mode: str, name: str) -> None:
        super().__init__(handle, mode)
        self.output_name = name

    def write(self, data: Any, /) -> int:
        with naming(self.output_name):
            return super().write(data)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """NotWritten, with the output's name, for errors of the system, but a name that is taken and a reader that left."""
    try:
        yield
    except (FileExistsError, BrokenPipeError):
        raise
    except OSError as error:
        raise NotWritten(f"{name} cannot be written: {error.strerror or error}") from error


@contextmanager
def writing(path: Path, *, replace: bool, dress: Callable[[int], None]) -> Iterator[IO[bytes]]:
    """An open file, to be read as well, that gets its name at the end; FileExistsError if another has it by then.

    With `replace` it takes the other's place. `dress` gets the file's handle once all is written, while only the owner
    can read it. Where the system has files without a name (Linux), even SIGKILL leaves nothing behind; elsewhere a
    temporary file stands in the folder, and goes on all errors and signals that can be caught. Raises NotWritten.
    """
    temporary = _temporary(path.parent)
    name = str(path)
    try:
        with naming(name):
            handle, named = _open(temporary)
        with io.BufferedRandom(Written(handle, "r+", name)) as file:
            yield file
            with naming(name):
                file.flush()
                dress(handle)
                os.fsync(handle)
                if not named:
                    _name(handle, temporary if replace else path)
        with naming(name):
            if replace:
                os.replace(temporary, path)
            elif named:
                _move_new(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def try_folder(folder: Path) -> None:
    """OSError unless files can be made in a folder."""
    temporary = _temporary(folder)
    os.close(_open(temporary)[0])
    temporary.unlink(missing_ok=True)


def _temporary(folder: Path) -> Path:
    return folder / TEMPORARY.format(secrets.token_hex(6))


def _open(temporary: Path) -> tuple[int, bool]:
    """A handle for writing, and whether the file has a name yet."""
    if hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd"):
        try:
            return os.open(temporary.parent, os.O_TMPFILE | os.O_RDWR, 0o600), False
        except OSError:  # not every file system can
            pass
    return os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600), True


def _name(handle: int, path: Path) -> None:
    # Only with a folder's handle does Python use the system call that follows the link in /proc.
    folder = os.open(path.parent, os.O_PATH)
    try:
        os.link(f"/proc/self/fd/{handle}", path.name, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def _move_new(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(path):
            raise FileExistsError(path) from None
        os.rename(temporary, path)
