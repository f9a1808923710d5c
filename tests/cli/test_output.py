"""Files that the command writes, whole or not at all, and who may read them: rows 6 and 13 of the checklist."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tools.command import call, good, listing

from bfncodec import atomic

PAUSED_BEFORE_NAMING = """
import os, signal, sys, time
from bfncodec.cli.main import run
signal.signal(signal.SIGINT, signal.default_int_handler)
def pause(handle):
    os.write(2, b"ready")
    time.sleep(30)
os.fsync = pause
run()
"""


@pytest.mark.parametrize(
    "number, existing",
    [(signal.SIGINT, False), (signal.SIGTERM, True), (signal.SIGKILL, False), (signal.SIGKILL, True)],
)
def test_a_killed_command_leaves_nothing(folder: Path, text: Path, number: int, existing: bool) -> None:
    """Rows 6 and 7: killed when all is written but the name; nothing changes. Code 130 where it can be caught."""
    if number == signal.SIGKILL and not hasattr(os, "O_TMPFILE"):
        pytest.skip("this system has no files without names")
    target = "text.bfn" if existing else "out"
    before = listing(folder)
    command = [sys.executable, "-c", PAUSED_BEFORE_NAMING, "encode", "-f", "text", "-o", target]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert process.stderr.read(5) == b"ready"
        process.send_signal(number)
        assert process.wait(20) == (-number if number == signal.SIGKILL else 130)
        assert b"Traceback" not in process.stderr.read()
    assert listing(folder) == before


@pytest.mark.parametrize("replace", [False, True])
def test_atomic_writes_without_unnamed_files(folder: Path, monkeypatch: pytest.MonkeyPatch, replace: bool) -> None:
    """Row 6, where the system lacks O_TMPFILE."""
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    target = folder / "target"
    modes = []

    def write(path: Path, data: bytes, replace: bool, dress: Callable[[int], None] = lambda _: None) -> None:
        with atomic.writing(path, replace=replace, dress=dress) as file:
            file.write(data)

    def interrupted(_: int) -> None:
        modes.extend(path.stat().st_mode & 0o777 for path in folder.iterdir())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(target, b"new", replace, interrupted)
    assert modes == [0o600] and not listing(folder)
    write(target, b"new", replace)
    assert [(name, content[0]) for name, content in listing(folder).items()] == [("target", b"new")]
    if not replace:
        with pytest.raises(FileExistsError):
            write(target, b"newer", False)
        assert [content[0] for content in listing(folder).values()] == [b"new"]


def test_target_that_appears_meanwhile_is_kept(folder: Path, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows 5 and 6."""
    monkeypatch.setattr(os, "fsync", lambda _: (folder / "out").write_bytes(b"somebody else's"))
    assert "exists already" in call("encode", "text", "-o", "out").err
    assert (folder / "out").read_bytes() == b"somebody else's"
    assert sorted(listing(folder)) == ["out", "text", "text.bfn"]


def test_time_and_mode_are_copied(folder: Path, text: Path) -> None:
    """Row 13: there and back; set-user-id is not."""
    text.chmod(0o4750)
    os.utime(text, ns=(10**18, 10**18 + 5))
    good("encode", "-f", "text")
    text.unlink()
    good("decode", "text.bfn")
    for path in (folder / "text.bfn", text):
        assert path.stat().st_mode & 0o7777 == 0o750 and path.stat().st_mtime_ns == 10**18 + 5
    mask = os.umask(0o027)
    try:
        good("encode", "-f", "--no-preserve", "text")
    finally:
        os.umask(mask)
    status = (folder / "text.bfn").stat()
    assert status.st_mode & 0o7777 == 0o640 and status.st_mtime_ns > 10**18 + 5


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_half_written_files_are_private(folder: Path, text: Path, monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    """Row 13: mode 0600 until all is written, then the input's."""
    seen = []
    real = os.fchmod

    def watched(handle: int, wanted: int) -> None:
        seen.append((os.fstat(handle).st_mode & 0o777, os.fstat(handle).st_size > 0, wanted))
        real(handle, wanted)

    text.chmod(mode)
    monkeypatch.setattr(os, "fchmod", watched)
    good("encode", "-f", "text")
    assert seen == [(0o600, True, mode)]


def test_archives_are_as_private_as_their_items(folder: Path, text: Path) -> None:
    """Row 13."""
    text.chmod(0o600)
    (folder / "open").write_bytes(b"open")
    good("encode", "open", "text", "-o", "set.bfn")
    assert (folder / "set.bfn").stat().st_mode & 0o077 == 0
    good("decode", "set.bfn")
    assert all(path.stat().st_mode & 0o077 == 0 for path in (folder / "set").iterdir())


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root may give files away")
def test_another_group_is_kept_or_narrows_the_mode(folder: Path, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 13: what only the input's group may read is not for another group."""
    os.chown(text, -1, 12345)
    text.chmod(0o654)
    good("encode", "-f", "text")
    status = (folder / "text.bfn").stat()
    assert status.st_gid == 12345 and status.st_mode & 0o777 == 0o654

    def refused(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "fchown", refused)
    good("encode", "-f", "text")
    assert (folder / "text.bfn").stat().st_mode & 0o777 == 0o644
