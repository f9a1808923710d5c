"""Where outputs go: folders that take none, pipes and devices, names of items: rows 2 to 5, 7, 14 of the checklist."""

import errno
import os
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest
from tools.command import TEXT, call, good, listing, on_terminal, spawn

from bfncodec import decoding, encoding, inputs
from bfncodec.cli import outputs


@pytest.fixture(autouse=True)
def folder(folder: Path) -> Path:
    """The working folder with text, text.bfn, set.bfn and a loop of links."""
    (folder / "text").write_bytes(TEXT)
    good("encode", "text")
    (folder / "more").write_bytes(b"more")
    good("encode", "text", "more", "-o", "set.bfn")
    (folder / "loop").symlink_to("pool")
    (folder / "pool").symlink_to("loop")
    return folder


def close(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new folder in which nothing can be opened, whoever runs the tests."""
    path.mkdir()
    real = os.open

    def guarded(name: str | Path, *rest: int, **more: int) -> int:
        if path.name in str(name):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(name, *rest, **more)

    monkeypatch.setattr(os, "open", guarded)


def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be encoded or decoded."""
    for name in ("encode_file", "encode_archive"):
        monkeypatch.delattr(encoding, name)
    for name in ("parts", "contents", "decode_chosen"):
        monkeypatch.delattr(decoding, name)


BAD = {
    "nowhere/x": "is no folder",
    "text/x": "is no folder",
    "text/x/y": "is no folder",
    "n" * 300: "too long",
    "loop": "symbolic links",
    "closed/x": "Permission denied",
}


@pytest.mark.parametrize("target", BAD)
@pytest.mark.parametrize(
    "command", ["encode text", "encode text more", "decode text.bfn", "decode --item text set.bfn"]
)
def test_bad_targets_are_named_before_the_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, target: str
) -> None:
    """Row 7: hours of coding are not for nothing, and it is not the input that is blamed."""
    close(folder / "closed", monkeypatch)
    no_work(monkeypatch)
    before = listing(folder)
    result = call(*command.split(), "-f", "-o", target)
    assert result.code == 1 and f"{target} cannot be written: " in result.err and BAD[target] in result.err
    assert listing(folder) == before


@pytest.mark.parametrize("where", ["text/in", "closed/in", "loop/in"])
@pytest.mark.parametrize("command", ["encode text", "decode text.bfn", "decode set.bfn"])
def test_bad_folders_are_named_before_the_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, where: str
) -> None:
    """Row 7: --output-dir, which would have to be made."""
    close(folder / "closed", monkeypatch)
    no_work(monkeypatch)
    result = call(*command.split(), "--output-dir", where)
    assert result.code == 1 and f"{where}/" in result.err and "cannot be written: " in result.err
    assert not list((folder / "closed").iterdir())


def test_temporary_files_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 7: the disk that is full is another one than the input's and the output's."""
    monkeypatch.setattr(inputs, "SPOOLED", 100)
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    assert "a temporary file in /nonexistent cannot be written: No such" in call("encode", given=TEXT).err


@pytest.mark.parametrize("target", ["/dev/null", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "-"])
def test_streams_get_data_and_keep_none(folder: Path, target: str) -> None:
    """Rows 1 and 3: without -f, nothing is replaced, and --rm would lose what they take."""
    if target != "-" and not os.path.exists(target):
        pytest.skip("this system has no such name")
    before, kind = listing(folder), os.stat(os.devnull).st_mode
    encoded = good("encode", "--rm", "text", "-o", target).out
    decoded = good("decode", "--rm", "text.bfn", "-o", target).out
    item = good("decode", "set.bfn", "--item", "text", "-o", target).out
    archive = good("encode", "--rm", "text", "more", "-o", target).out
    nothing = target == "/dev/null"
    assert encoded == (b"" if nothing else before["text.bfn"][0]) and archive == (
        b"" if nothing else before["set.bfn"][0]
    )
    assert decoded == item == (b"" if nothing else TEXT)
    assert listing(folder) == before and os.stat(os.devnull).st_mode == kind


def test_open_files_go_on_where_they_are(folder: Path) -> None:
    """Row 3: `(echo a; bfncodec encode -o /dev/stdout) > file`, and any other number."""
    with (folder / "out").open("wb", 0) as file:
        file.write(b"before ")
        good("decode", "text.bfn", "-o", f"/dev/fd/{file.fileno()}")
        file.write(b" behind")
    assert (folder / "out").read_bytes() == b"before " + TEXT + b" behind"
    assert "/dev/fd/987 cannot be written: Bad file" in call("decode", "text.bfn", "-o", "/dev/fd/987").err


def test_pipes_are_written(folder: Path) -> None:
    """Row 14: a reader gets the data; one that stops is no failure (row 9)."""
    os.mkfifo("pipe")
    with subprocess.Popen(["cat", "pipe"], stdout=subprocess.PIPE) as reader:
        good("decode", "text.bfn", "-o", "pipe")
        assert reader.stdout is not None and reader.stdout.read() == TEXT
    (folder / "big").write_bytes(os.urandom(1 << 18))
    with subprocess.Popen(["head", "-c1", "pipe"], stdout=subprocess.DEVNULL):
        assert spawn("encode", "big", "-o", "pipe").code == 0
    assert stat.S_ISFIFO(os.stat("pipe").st_mode)


def test_only_named_pipes_are_written(folder: Path) -> None:
    """Row 5: a pipe that happens to have the output's name is not asked for, nor is it where a model should be."""
    os.mkfifo("more.bfn")
    os.mkfifo("made.safetensors")
    assert "more.bfn is not a regular file" in call("encode", "-f", "more").err
    (folder / "text").unlink()
    os.mkfifo("text")
    assert "text is not a regular file" in call("decode", "-f", "text.bfn").err
    assert "not a regular file" in call("import-paper", "more", "--config", "mnist", "-f", "-o", "made.safetensors").err


def test_disks_are_not_written(folder: Path) -> None:
    """Row 14: nothing asks for that by mistake only."""
    disks = [path for path in Path("/dev").iterdir() if path.is_block_device()]
    if not disks:
        pytest.skip("this system has no disks")
    assert not outputs.is_stream(str(disks[0]))
    assert "is not a regular file" in call("encode", "-f", "text", "-o", str(disks[0])).err


def test_terminals_by_another_name(folder: Path) -> None:
    """Row 4."""
    if not os.path.exists("/dev/stdout"):
        pytest.skip("this system has no such name")
    for target in ("/dev/stdout", "/dev/fd/1"):
        code, seen, error = on_terminal("decode", "text.bfn", "-o", target, streams="stdout")
        assert (code, seen) == (2, b"") and b"is a terminal" in error
    master, slave = os.openpty()
    try:
        assert "is a terminal" in call("decode", "text.bfn", "-o", os.ttyname(slave)).err
        good("decode", "text.bfn", "-f", "-o", os.ttyname(slave))
        assert os.read(master, 4) == TEXT[:4]
    finally:
        os.close(slave)
        os.close(master)


@pytest.mark.parametrize("name", ["/dev/stdin", "/dev/fd/9", "/proc/self/fd/9"])
def test_descriptors_have_no_name_of_their_own(folder: Path, name: str) -> None:
    """Row 2: no /dev/stdin.bfn; with -o they are read."""
    for options in ([], ["--output-dir", "made"], ["-f"]):
        result = call("encode", *options, name)
        assert result.code == 1 and "no name of its own" in result.err and "-o" in result.err
    assert not (folder / "made").exists()
    if os.path.exists("/dev/stdin"):
        made = spawn("encode", "/dev/stdin", "-o", folder / "made.bfn", given=TEXT)
        assert made.code == 0 and (folder / "made.bfn").read_bytes() == (folder / "text.bfn").read_bytes()


@pytest.mark.parametrize("command", ["encode", "decode", "test", "info"])
def test_empty_names(folder: Path, command: str) -> None:
    """Row 8: an error that says so, and on to the next; an archive is not made."""
    good_one = ["more"] if command == "encode" else ["text.bfn"]
    (folder / "text").unlink()
    result = call(command, "", *good_one)
    assert result.code == 1 and result.err.startswith("bfncodec: '': an empty name")
    assert (folder / ("more.bfn" if command == "encode" else "text")).exists() == (command in ("encode", "decode"))
    if command == "encode":
        assert "'': an empty name" in call("encode", "", "more", "-o", "new.bfn").err
        assert not (folder / "new.bfn").exists()
        assert call("encode", "more", "--output-dir", "").code == 2


def test_whatever_an_archive_takes_it_gives_back(folder: Path) -> None:
    """Names that this system allows: a backslash, spaces, controls, bytes that are no text."""
    names = ["back\\slash", "..\\up", " ", "-f", "a\nb", "\udcff", "...", "C:x", "*"]
    for name in names:
        (folder / name).write_bytes(name.encode(errors="surrogateescape"))
    good("encode", "-o", "names.bfn", "--", *names)
    good("decode", "names.bfn")
    assert sorted(path.name for path in (folder / "names").iterdir()) == sorted(names)
    for name in names:
        assert (folder / "names" / name).read_bytes() == name.encode(errors="surrogateescape")
