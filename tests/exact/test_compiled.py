"""What lies in the cache of compiled code may be damaged, foreign or not to be written: only time is lost."""

import io
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import pytest

from bfncodec.cli import files
from bfncodec.exact import code_cache, compiled, kinds, notice, piece

pytestmark = pytest.mark.skipif(os.environ.get("BFNCODEC_PLAIN") == "1", reason="nothing is compiled")


def twice(x: Any) -> Any:
    return x + x


def nothing(x: Any) -> Any:
    return x.nothing


def made(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> int:
    """Call the function as a new process has it; how often it had to be compiled."""
    monkeypatch.setattr(code_cache, "_folder", lambda: str(folder))
    told: list[bool] = []
    with notice.listening(told.append):
        function = compiled.compiled(twice)
        for argument in arguments or (21,):
            assert function(argument) == 2 * argument
    return told.count(True)


FAULTS: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "cut at the end": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "garbage": lambda path: path.write_bytes(b"\x80\x04garbage" * 99),
    "no right to read": lambda path: path.chmod(0),
    "gone": Path.unlink,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_damaged_entries_are_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    assert made(tmp_path, monkeypatch) == 1
    assert made(tmp_path, monkeypatch) == 0
    (path,) = tmp_path.iterdir()
    FAULTS[fault](path)
    assert made(tmp_path, monkeypatch) == (0 if fault == "no right to read" and os.geteuid() == 0 else 1)
    assert made(tmp_path, monkeypatch) == 0


def test_any_flipped_byte_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Machine code that is a little wrong would run all the same."""
    made(tmp_path, monkeypatch)
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    for at in range(0, len(good), len(good) // 9):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        assert made(tmp_path, monkeypatch) == 1


def test_a_folder_in_the_place_of_a_file_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, monkeypatch)
    (path,) = tmp_path.iterdir()
    path.unlink()
    path.mkdir()
    assert made(tmp_path, monkeypatch) == 1
    assert [one.name for one in tmp_path.iterdir()] == [path.name], "nothing temporary stays"


def test_entries_of_other_types_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert made(tmp_path, monkeypatch, 21, 0.5) == 2
    assert made(tmp_path, monkeypatch, 21, 0.5) == 0
    one, other = tmp_path.iterdir()
    kept = one.read_bytes()
    shutil.copy(other, one)
    other.write_bytes(kept)
    assert made(tmp_path, monkeypatch, 21, 0.5) == 2


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
        assert made(tmp_path, monkeypatch) == 1
    assert not list(tmp_path.iterdir())
    assert made(tmp_path, monkeypatch) == 1
    assert made(tmp_path, monkeypatch) == 0


def test_nothing_is_kept_where_there_is_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_cache, "_folder", lambda: None)
    assert compiled.compiled(twice)(4) == 8


def place(monkeypatch: pytest.MonkeyPatch, home: Path, variable: str = "XDG_CACHE_HOME") -> str | None:
    """The folder that is chosen where a variable says so."""
    for name in ("XDG_CACHE_HOME", "BFNCODEC_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(home))
    return code_cache._folder.__wrapped__()


def test_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = "compiled-" + code_cache._state()
    assert place(monkeypatch, tmp_path) == str(tmp_path / "bfncodec" / state)
    assert place(monkeypatch, tmp_path, "BFNCODEC_CACHE_DIR") == str(tmp_path / state)
    (tmp_path / "file").write_text("no folder")
    assert place(monkeypatch, tmp_path / "file") is None
    (tmp_path / "closed").mkdir(mode=0o500)
    assert (place(monkeypatch, tmp_path / "closed") is None) == (os.geteuid() != 0)


def test_every_source_and_its_place_are_a_part_of_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_cache, "_PACKAGE", tmp_path)
    states = []
    for name, text in (("a.py", ""), ("deep/er/b.py", "x"), ("deep/er/b.py", "y"), ("cli.py", "y"), ("notes.md", "z")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        states.append(code_cache._state())
    (tmp_path / "cli.py").rename(tmp_path / "deep" / "cli.py")
    states.append(code_cache._state())
    monkeypatch.setenv("BFNCODEC_CPU_NAME", "other")
    states.append(code_cache._state())
    monkeypatch.setenv("BFNCODEC_CHECKED", "1")
    states.append(code_cache._state())
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


def test_compiling_that_fails_ends_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_cache, "_folder", lambda: str(tmp_path))
    told: list[bool] = []
    with notice.listening(told.append), pytest.raises(kinds.Unsupported, match=r"test_compiled\.py:\d+: \.nothing"):
        compiled.compiled(nothing)(21)
    assert told == [True, False] and not list(tmp_path.iterdir())


def test_what_is_kept_needs_no_compiler(tmp_path: Path) -> None:
    """A second process makes no machine code, and loads it without LLVM where it is in one piece."""
    program = (
        "import sys, numpy as np; from bfncodec import api; "
        "image = np.arange(20 * 20 * 3, dtype=np.uint8).reshape(20, 20, 3); "
        "assert np.array_equal(api.decode(api.encode(image)), image); "
        "print([name in sys.modules for name in ('bfncodec.exact.compiler', 'llvmlite.binding')])"
    )
    told = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"XDG_CACHE_HOME": str(tmp_path), "BFNCODEC_MODEL_DIR": ""},
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
        told.append(done.stdout.strip())
    whole = sys.platform == "linux" and platform.machine() == "x86_64"
    assert told == ["[True, True]", str([False, not whole])]


def test_only_simple_code_becomes_one_piece() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()

    def made(text: str, triple: str = "x86_64-linux-gnu") -> tuple[int, bytes] | None:
        machine = llvm.Target.from_triple(triple).create_target_machine(reloc="pic", codemodel="small")
        return piece.piece(machine.emit_object(llvm.parse_assembly(text)))

    lone = "define i32 @entry() nounwind { ret i32 0 }"
    start, code = made(lone) or (-1, b"")
    assert 0 <= start < len(code)
    assert made(lone, "aarch64-linux-gnu") is None
    assert made(lone, "x86_64-pc-windows-msvc") is None
    assert made("declare i32 @other() define i32 @entry() { %x = call i32 @other() ret i32 %x }") is None
    assert made("@seen = global i32 0 define i32 @entry() { %x = load i32, ptr @seen ret i32 %x }") is None


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
    monkeypatch.setattr(code_cache, "_folder", lambda: str(tmp_path))

    def work(name: str) -> None:
        if before:
            messages.progress(before)
        assert compiled.compiled(twice)(21) == 42

    files.each(["x"], work, messages)
    lines = [before, files.COMPILING, before]
    wanted = "".join(f"{line}\r{' ' * len(line)}\r" for line in lines if line)
    assert sys.stderr.getvalue() == (wanted if shown else "")


def ends(values: Any) -> Any:
    return values[0] + values[1199] * values[1]


def test_any_number_of_arguments() -> None:
    assert compiled.compiled(ends)((1.5, *range(1, 1199), 7.25)) == 8.75
