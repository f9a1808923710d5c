"""What lies in the cache of compiled code may be damaged, foreign or not to be written: only time is lost."""

import io
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from numba.core.dispatcher import Dispatcher

from bfncodec.cli import files
from bfncodec.exact import compiled, notice

pytestmark = pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")


def twice(x: Any) -> Any:
    return x + x


def made(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> Dispatcher:
    """The function as a new process has it, called once."""
    monkeypatch.setattr(compiled, "_folder", lambda: str(folder))
    function = compiled.compiled(twice)
    for argument in arguments or (21,):
        assert function(argument) == 2 * argument
    return function


def hits(function: Dispatcher) -> int:
    return sum(function.stats.cache_hits.values())


FAULTS: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "cut at the end": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "garbage": lambda path: path.write_bytes(b"\x80\x04garbage" * 99),
    "another pickle": lambda path: path.write_bytes(b"\x80\x04K\x01."),
    "no right to read": lambda path: path.chmod(0),
    "gone": Path.unlink,
}


@pytest.mark.parametrize("suffix", ["nbi", "nbc", "nb?"])
@pytest.mark.parametrize("fault", FAULTS)
def test_damaged_entries_are_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, suffix: str
) -> None:
    assert hits(made(tmp_path, monkeypatch)) == 0
    assert hits(made(tmp_path, monkeypatch)) == 1
    for path in list(tmp_path.rglob("*." + suffix)):
        FAULTS[fault](path)
    assert hits(made(tmp_path, monkeypatch)) == (fault == "no right to read" and os.geteuid() == 0)
    assert hits(made(tmp_path, monkeypatch)) == 1


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
def test_any_flipped_byte_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    """Machine code that is a little wrong would run all the same."""
    made(tmp_path, monkeypatch)
    (path,) = tmp_path.rglob("*." + suffix)
    good = path.read_bytes()
    for at in range(0, len(good), len(good) // 9):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        made(tmp_path, monkeypatch)


def test_a_folder_in_the_place_of_a_file_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, monkeypatch)
    for path in list(tmp_path.rglob("*.nb?")):
        path.unlink()
        path.mkdir()
    made(tmp_path, monkeypatch)


def test_entries_of_other_types_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes that write at once can leave an index that points to another's entry."""
    made(tmp_path, monkeypatch, 21, 0.5)
    assert hits(made(tmp_path, monkeypatch, 21, 0.5)) == 2
    one, other = tmp_path.rglob("*.nbc")
    kept = one.read_bytes()
    shutil.copy(other, one)
    other.write_bytes(kept)
    assert hits(made(tmp_path, monkeypatch, 21, 0.5)) == 0
    assert hits(made(tmp_path, monkeypatch, 21, 0.5)) == 2


@contextmanager
def full_disk() -> Iterator[None]:
    """Nothing can be written to a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with full_disk():
        made(tmp_path, monkeypatch)
    assert not list(tmp_path.rglob("*.nb*"))
    made(tmp_path, monkeypatch)
    assert hits(made(tmp_path, monkeypatch)) == 1


def test_compiled_code_lies_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """numba would go on to `__pycache__`, which does not know the package's state."""
    made(tmp_path, monkeypatch)
    (inner,) = tmp_path.iterdir()
    shutil.rmtree(inner)
    inner.write_text("in the way")
    assert made(tmp_path, monkeypatch).stats.cache_path is None


def place(monkeypatch: pytest.MonkeyPatch, home: Path, variable: str = "XDG_CACHE_HOME") -> str | None:
    """The folder that is chosen where a variable says so."""
    for name in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(home))
    return compiled._folder.__wrapped__()


def test_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = "compiled-" + compiled._state()
    assert place(monkeypatch, tmp_path) == str(tmp_path / "bfncodec" / state)
    assert place(monkeypatch, tmp_path, "NUMBA_CACHE_DIR") == str(tmp_path / state)
    (tmp_path / "file").write_text("no folder")
    assert place(monkeypatch, tmp_path / "file") is None
    (tmp_path / "closed").mkdir(mode=0o500)
    assert (place(monkeypatch, tmp_path / "closed") is None) == (os.geteuid() != 0)


def test_every_source_and_its_place_are_a_part_of_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_PACKAGE", tmp_path)
    states = []
    for name, text in (("a.py", ""), ("deep/er/b.py", "x"), ("deep/er/b.py", "y"), ("cli.py", "y"), ("notes.md", "z")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        states.append(compiled._state())
    (tmp_path / "cli.py").rename(tmp_path / "deep" / "cli.py")
    states.append(compiled._state())
    monkeypatch.setattr("llvmlite.__version__", "other")
    states.append(compiled._state())
    assert states[3] == states[4]
    assert len(set(states)) == len(states) - 1


def test_old_states_are_removed_when_a_new_one_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "bfncodec"
    ages = {"compiled-" + "a" * 16: 31, "compiled-" + "b" * 16: 29, "other": 99, "compiled-mine": 99}
    for name, days in ages.items():
        (home / name / "inner").mkdir(parents=True)
        (home / name / "inner" / "entry.nbc").write_text("x")
        os.utime(home / name, (time.time() - days * 86400,) * 2)
    (home / ("compiled-" + "c" * 16)).symlink_to(tmp_path / "elsewhere")
    folder = place(monkeypatch, tmp_path)
    assert folder is not None
    assert {path.name for path in home.iterdir()} == {
        *list(ages)[1:],
        "compiled-" + "c" * 16,
        Path(folder).name,
    }
    os.utime(folder, (0, 0))
    assert place(monkeypatch, tmp_path) == folder
    assert time.time() - Path(folder).stat().st_mtime < 1000, "it is used"


def test_compiling_is_told_and_loading_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []

    @compiled.compiled
    def outer(x: Any) -> Any:
        return inner(x) + 1

    with notice.listening(told.append):
        inner = made(tmp_path, monkeypatch)
        assert told == [True, False]
        assert outer(0.5) == 2, "and inner is compiled for it"
        assert told == [True, False] * 2
        made(tmp_path, monkeypatch)
        with pytest.raises(Exception, match="nopython"):
            made(tmp_path, monkeypatch, [object()])
        assert told == [True, False] * 3
    made(tmp_path / "new", monkeypatch)
    assert told == [True, False] * 3


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("before", ["", "file.txt"])
@pytest.mark.parametrize("where, loudness, shown", [(Terminal, 1, True), (Terminal, 0, False), (io.StringIO, 2, False)])
def test_a_terminal_shows_that_functions_are_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: type, loudness: int, shown: bool, before: str
) -> None:
    monkeypatch.setattr(sys, "stderr", where())
    messages = files.Messages(loudness)

    def work(name: str) -> None:
        if before:
            messages.progress(before)
        made(tmp_path, monkeypatch)

    files.each(["x"], work, messages)
    lines = [before, files.COMPILING, before]
    wanted = "".join(f"{line}\r{' ' * len(line)}\r" for line in lines if line)
    assert sys.stderr.getvalue() == (wanted if shown else "")


def ends(values: Any) -> Any:
    return values[0] + values[1199] * values[1]


def test_any_number_of_arguments() -> None:
    assert compiled.compiled(ends)((1.5, *range(1, 1199), 7.25)) == 8.75
