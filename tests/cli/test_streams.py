"""Pipes, terminals and messages: rows 3, 4, 9, 12 of the checklist."""

import os
import subprocess
from pathlib import Path

import pytest
from tools.command import MODULE, TEXT, call, encoded_png, good, listing, on_terminal, png, shown, spawn

from bfncodec.errors import BadMagic


@pytest.mark.parametrize("marks", [[], ["-"], ["-c"], ["-o", "-"]])
def test_pipes_carry_data_only(marks: list[str]) -> None:
    """Row 3: no name, '-', -c and -o - mean the same; an empty stderr with -q and without."""
    encoded = good("encode", *marks, given=TEXT)
    decoded = good("decode", "-q", *marks, given=encoded.out)
    assert decoded.out == TEXT and encoded.err == decoded.err == ""


def test_pipes_between_processes() -> None:
    """Row 3: an image through real pipes."""
    encoded = spawn("encode", "-q", "-m", "tiny", given=png())
    assert (encoded.code, encoded.err, encoded.out) == (0, "", encoded_png())
    decoded = spawn("decode", "-q", "-", given=encoded.out)
    assert (decoded.code, decoded.err) == (0, "")
    assert (shown(decoded.out) == shown(png())).all()


def test_files_to_standard_output(folder: Path, text: Path) -> None:
    """Row 3: -c writes no file; - among names is standard input."""
    before = listing(folder)
    encoded = good("encode", "-c", "text").out
    assert encoded == (folder / "text.bfn").read_bytes()
    assert good("decode", "-c", "text.bfn").out == TEXT
    assert good("encode", "-f", "text", "-", given=TEXT).out == encoded
    assert good("decode", "-f", "text.bfn", "-", given=encoded).out == TEXT
    assert sorted(listing(folder)) == sorted(before)


@pytest.mark.parametrize("options", [("encode", "-c", "text"), ("encode",), ("decode", "-c", "text.bfn")])
def test_terminals_get_no_data(text: Path, options: tuple[str, ...]) -> None:
    """Row 4: nothing is shown, exit 2, and the message says what helps."""
    code, seen, error = on_terminal(*options, streams="stdin stdout")
    assert (code, seen) == (2, b"")
    assert b"-o" in error and b"-f" in error


def test_force_writes_to_a_terminal(text: Path) -> None:
    """Row 4."""
    assert on_terminal("decode", "-fc", "text.bfn", streams="stdout")[:2] == (0, TEXT.replace(b"\n", b"\r\n"))


@pytest.mark.parametrize("command", ["decode", "test", "info"])
def test_terminals_give_no_files(command: str) -> None:
    """Row 4: does not wait for a .bfn file to be typed."""
    code, seen, error = on_terminal(command, streams="stdin")
    assert (code, seen) == (2, b"") and b"standard input is a terminal" in error


@pytest.mark.parametrize("command", ["decode", "encode"])
def test_reader_that_stops_is_no_failure(folder: Path, command: str) -> None:
    """Row 9: `decode big | head -c 1` says nothing."""
    (folder / "big").write_bytes(os.urandom(1 << 12) * 256 if command == "decode" else os.urandom(1 << 18))
    options = ["big"]
    if command == "decode":
        good("encode", "big")
        options = ["big.bfn"]
    with subprocess.Popen(
        [*MODULE, command, "-c", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert len(process.stdout.read(1)) == 1
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 0


def test_messages_that_nobody_reads_stop_no_work(folder: Path) -> None:
    """Row 9: the reader of stderr is gone, the files are written all the same."""
    (folder / "a").write_bytes(TEXT)
    (folder / "b").write_bytes(TEXT)
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*MODULE, "encode", "-v", "a", "b"], stderr=write, timeout=60)
    os.close(write)
    assert done.returncode == 0 and sorted(listing(folder)) == ["a", "a.bfn", "b", "b.bfn"]


@pytest.mark.parametrize(
    "line", ["decode -c text.bfn >&-", "decode -c text.bfn >/dev/full", "decode <&-", "info text.bfn >/dev/full"]
)
def test_standard_streams_that_fail(text: Path, line: str) -> None:
    """Rows 7 and 12: closed or full, one line and exit 1."""
    done = subprocess.run(" ".join([*MODULE, line]), shell=True, capture_output=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith(b"bfncodec: ") and done.stderr.count(b"\n") == 1


def test_loudness(folder: Path, text: Path) -> None:
    """Row 12: -v gives sizes with units, -q hides results, -qq errors too."""
    assert good("encode", "-f", "text").err == ""
    assert "text: 220 B -> " in good("encode", "-fv", "text").err
    assert good("test", "text.bfn").err == "text.bfn: OK\n"
    assert good("test", "-q", "text.bfn").err == ""
    assert call("test", "-q", "missing").err == "bfncodec: missing: No such file or directory\n"
    assert call("test", "-qq", "missing").err == ""


@pytest.mark.parametrize("command", ["encode -f text", "decode -f text.bfn", "test text.bfn"])
def test_progress_on_terminals(text: Path, command: str) -> None:
    """Row 12: a line per file that goes again."""
    name = command.split()[-1].encode()
    seen = on_terminal(*command.split(), streams="stderr")[1]
    assert seen.startswith(name + b"\r" + b" " * len(name) + b"\r")


def test_progress_nowhere_else(text: Path) -> None:
    """Row 12: none with -q, none in pipes."""
    assert on_terminal("encode", "-fq", "text", streams="stderr")[1] == b""
    for command in ("encode -f text", "decode -f text.bfn", "test text.bfn"):
        assert not set(call(*command.split(), "-vv").err) & {"\r", "\x1b"}


def test_messages_are_plain(folder: Path) -> None:
    """Row 12: no control characters, whatever the file's name is; sizes have units."""
    name = "a\x1b[31m\r\nb\udcff.bfn"
    (folder / name).write_bytes(b"no such format")
    for command in ("decode", "test", "info"):
        result = call(command, name)
        assert result.code == 1 and result.err.count("\n") == 1
        assert result.err.startswith("bfncodec: a\\x1b[31m\\r\\nb\\udcff.bfn: ")
    result = call("encode", "-f", "-m", "\x1b[31m", name)
    assert not set(result.err) & {"\r", "\x1b"}


def test_tracebacks_only_for_debug(folder: Path) -> None:
    """Row 12."""
    (folder / "bad.bfn").write_bytes(b"no such format")
    assert isinstance(call("test", "--debug", "bad.bfn").exception, BadMagic)
    assert isinstance(call("test", "bad.bfn").exception, SystemExit)
    assert "Traceback" in spawn("test", "--debug", "bad.bfn").err
    assert "Traceback" not in spawn("test", "bad.bfn").err
