"""Files that change while the command reads them, and sizes that are not true: rows 1, 13 and 14 of the checklist."""

import io
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tools.command import MODULE, TEXT, call, good, listing, png

from bfncodec import decoding, encoding, inputs


@pytest.fixture(autouse=True)
def folder(folder: Path) -> Path:
    """The working folder, with a file that is read."""
    (folder / "log").write_bytes(TEXT)
    return folder


def append() -> None:
    """A line more."""
    with open("log", "ab") as file:
        file.write(b"late\n")


def replace() -> None:
    """Another file of the same size and time."""
    status = os.stat("log")
    Path("new").write_bytes(TEXT[::-1])
    os.utime("new", ns=(status.st_atime_ns, status.st_mtime_ns))
    os.replace("new", "log")


def rotate() -> None:
    """The file gets another name, and a new one begins."""
    os.rename("log", "log.1")
    Path("log").write_bytes(b"fresh\n")


def overwrite() -> None:
    """Other bytes of the same number."""
    status = os.stat("log")
    with open("log", "r+b") as file:
        file.write(b"X")
    os.utime("log", ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def cut() -> None:
    """Fewer bytes."""
    os.truncate("log", 5)


def move() -> None:
    """The file goes elsewhere."""
    os.rename("log", "log.1")


CHANGES = [append, replace, rotate, overwrite, cut, move]


def meanwhile(monkeypatch: pytest.MonkeyPatch, change: Callable[[], None], name: str = "verify") -> None:
    """Let the change happen after a step of the work."""
    module = encoding if name == "encode_file" else decoding
    real = getattr(module, name)

    def then(*arguments: object, **choices: object) -> object:
        result = real(*arguments, **choices)
        change()
        return result

    monkeypatch.setattr(module, name, then)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("more", [[], ["other"]])
def test_rm_keeps_what_it_has_not_coded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[], None], more: list[str]
) -> None:
    """Row 1: the output holds what was read, the file of that name stays, exit 1 says so; alone and in an archive."""
    for name in more:
        (folder / name).write_bytes(b"other")
    meanwhile(monkeypatch, change)
    result = call("encode", "--rm", "log", *more, "-o", "log.bfn")
    kept = {name: content for name, (content, _) in listing(folder).items() if name != "log.bfn"}
    assert result.code == 1 and "changed while it was read, not removed" in result.err and "log" in result.err
    assert sorted(kept) == {"rotate": ["log", "log.1"], "move": ["log.1"]}.get(change.__name__, ["log"])
    assert good("decode", "log.bfn", *(["--item", "log"] if more else []), "-c").out == TEXT


@pytest.mark.parametrize("change", CHANGES)
def test_rm_keeps_what_it_has_not_decoded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]
) -> None:
    """Row 1."""
    data = good("encode", given=b"decoded").out
    (folder / "log").write_bytes(data)
    meanwhile(monkeypatch, change, "parts")
    result = call("decode", "--rm", "log", "-o", "out")
    assert result.code == 1 and "changed while it was read" in result.err
    assert (folder / "log").exists() or change is move


@pytest.mark.parametrize("change", [append, overwrite, cut])
def test_a_mixture_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]) -> None:
    """Row 1: `encode log && rm log` loses nothing either, nor does -c; a file that goes elsewhere has not changed."""
    meanwhile(monkeypatch, change)
    for options in ([], ["-c"], ["-o", "/dev/null"]):
        (folder / "log").write_bytes(TEXT)
        result = call("encode", "-f", "log", *options)
        assert result.code == 1 and "changed while it was read; the output holds what was read" in result.err
    assert good("decode", "log.bfn", "-c").out == TEXT
    (folder / "log").write_bytes(TEXT)
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    meanwhile(monkeypatch, move)
    good("encode", "-f", "log")


@pytest.mark.parametrize("change", [overwrite, cut])
def test_a_change_is_no_bug_and_no_damage(
    folder: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]
) -> None:
    """Nothing is written, and nobody is asked to report it."""
    meanwhile(monkeypatch, change, "encode_file")
    (folder / "log").write_bytes(TEXT * 2000)
    result = call("encode", "log")
    assert result.code == 1 and "changed while it was read" in result.err and "report" not in result.err
    assert sorted(listing(folder)) == ["log"]


@pytest.mark.parametrize("more", [[], ["other"]])
def test_only_what_was_read_lends_mode_and_time(folder: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]) -> None:
    """Row 13: a private file stays private, though another has its name by then."""
    for name in more:
        (folder / name).write_bytes(b"other")
    (folder / "log").chmod(0o600)
    os.utime("log", ns=(10**18, 10**18 + 5))
    meanwhile(monkeypatch, rotate)
    call("encode", "log", *more, "-o", "log.bfn")
    status = (folder / "log.bfn").stat()
    assert status.st_mode & 0o777 == 0o600
    assert more or status.st_mtime_ns == 10**18 + 5


class Claims(io.BytesIO):
    """A file whose end is said to be elsewhere, as those of /proc and /sys."""

    claimed = 0

    def seek(self, place: int, whence: int = 0) -> int:
        """To the wrong end."""
        if whence == io.SEEK_END and self.claimed < 0:
            raise OSError("Invalid argument")
        return super().seek(self.claimed if whence == io.SEEK_END else place)


@pytest.mark.parametrize("claimed", [-1, 0, 1, 219, 220, 221, 4096])
@pytest.mark.parametrize("content", [TEXT, b""])
def test_sizes_are_hints(content: bytes, claimed: int) -> None:
    """Row 14: whatever the system says, all is read."""
    file = Claims(content)
    file.claimed = claimed
    with inputs.to_end(file) as data:
        assert bytes(data) == content and (data.file is file) == (claimed == len(content) > 0)


@pytest.mark.parametrize(
    "name", ["/proc/sys/kernel/hostname", "/proc/cpuinfo", "/sys/kernel/mm/transparent_hugepage/enabled"]
)
def test_files_of_the_system(folder: Path, name: str) -> None:
    """Row 14: also by a link, and in an archive."""
    if not os.access(name, os.R_OK):
        pytest.skip("this system has no such file")
    (folder / "link").symlink_to(name)
    for command in ([name, "-o", "x.bfn"], ["link"], [name, "log", "-o", "set.bfn"]):
        good("encode", "--media", "bytes", *command)
    for command in (["x.bfn"], ["link.bfn"], ["set.bfn", "--item", Path(name).name]):
        assert good("decode", "-c", *command).out.split()[:3] == Path(name).read_bytes().split()[:3] != []


def test_images_that_change_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images are read more than once."""
    (folder / "log").write_bytes(png())
    meanwhile(monkeypatch, lambda: (folder / "log").write_bytes(png(1)) and None, "encode_file")
    assert "changed while it was read" in call("encode", "-m", "tiny", "log").err
    assert not (folder / "log.bfn").exists()


def test_a_change_during_a_copy_is_seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was told of the file when it was opened counts, though its bytes were taken later."""
    real = inputs.to_end
    monkeypatch.setattr(inputs, "to_end", lambda file: append() or real(file))
    assert "changed while it was read" in call("encode", "log", "-o", "log.bfn").err


def test_a_file_in_the_place_of_a_pipe_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 14."""
    (folder / "log").unlink()
    os.mkfifo("log")
    writer = subprocess.Popen(["sh", "-c", "echo hello > log"])
    meanwhile(monkeypatch, lambda: (os.unlink("log"), (folder / "log").write_bytes(TEXT)) and None)
    good("encode", "--rm", "log", "-o", "log.bfn")
    assert writer.wait(10) == 0 and (folder / "log").read_bytes() == TEXT


def test_standard_input_begins_where_it_is(folder: Path) -> None:
    """Row 3: somebody else has read a line, and may go on."""
    with (folder / "log").open("rb", 0) as file:
        file.read(11)
        done = subprocess.run([*MODULE, "encode"], stdin=file, capture_output=True, timeout=60)
    assert good("decode", given=done.stdout).out == TEXT[11:]
