"""Any sequence of commands in a folder, full disks, and signals at any moment (checklist rows 1, 2, 5, 6, 7, 14)."""

import multiprocessing
import os
import random
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from tools.command import MODULE, call

from bfncodec import api, container, decoding
from bfncodec.blocks import plain
from bfncodec.cli.main import run
from bfncodec.errors import BfnError

NAMES = ("a", "b.txt", "a.bfn", "b.txt.bfn", "c.png.bfn", "link", "dangling", "folder", "absent", "sealed/x")
CONTENTS = (b"", b"some words, some words", bytes(range(40)), b"P5 2 2 255\n\x01\x02\x03\x04", b"\x89BFN\r\n\x1a\n")
EXAMPLES = int(os.environ.get("BFNCODEC_STATE_EXAMPLES", 50))  # more for a long run
names = st.sampled_from(NAMES)
targets = st.sampled_from(NAMES)
wheres = st.sampled_from(("", "", "-o", "--output-dir", "-c"))
flags = st.lists(st.sampled_from(("-f", "--rm", "-q", "--no-preserve", "--no-verify")), max_size=3, unique=True)


def state_of(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Kind and content of all that is below a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            entry = "link", os.readlink(path).encode()
        elif stat.S_ISREG(mode):
            entry = "file", path.read_bytes()
        else:
            entry = ("folder" if stat.S_ISDIR(mode) else "other"), b""
        found[str(path.relative_to(folder))] = entry
    return found


def content_of(data: bytes) -> list[bytes]:
    """What a .bfn file gives; nothing if it is none."""
    try:
        file = decoding.read(data)
        return [decoding.file_bytes(one) for one in decoding.contents(file, "cpu")]
    except BfnError:
        return []


class Folder(RuleBasedStateMachine):
    """A folder, and commands in it. Whatever happens, no content is lost that nobody asked to overwrite."""

    def __init__(self) -> None:
        super().__init__()
        self.before = os.getcwd()
        self.home = Path(tempfile.mkdtemp())
        self.sealed = False
        os.chdir(self.home)

    def teardown(self) -> None:
        """Leave no folder behind."""
        os.chdir(self.before)
        (self.home / "sealed").chmod(0o700)
        shutil.rmtree(self.home)

    @initialize()
    def furnish(self) -> None:
        """One of each kind."""
        for name, content in (("a", CONTENTS[1]), ("b.txt", CONTENTS[2]), ("bad.bfn", CONTENTS[4])):
            Path(name).write_bytes(content)
        for number, name in enumerate(("a.bfn", "c.png.bfn")):
            Path(name).write_bytes(container.write(container.File([plain.encode(CONTENTS[number + 1])])))
        Path("folder").mkdir()
        Path("sealed").mkdir()
        Path("sealed/x").write_bytes(b"x")
        Path("sealed").chmod(0o500)
        self.sealed = not os.access("sealed", os.W_OK)  # root may write everywhere
        os.symlink("a", "link")
        os.symlink("nowhere", "dangling")

    @rule(name=st.sampled_from(("a", "b.txt", "folder/d", "absent")), content=st.sampled_from(CONTENTS))
    def put(self, name: str, content: bytes) -> None:
        """Somebody writes a file."""
        if Path(name).parent.is_dir() and not Path(name).is_dir():
            Path(name).write_bytes(content)

    @rule(name=st.sampled_from(NAMES[:5]))
    def take(self, name: str) -> None:
        """Somebody removes one."""
        if Path(name).is_file():
            Path(name).unlink()

    @rule(sources=st.lists(names, min_size=1, max_size=3), where=wheres, to=targets, options=flags)
    def encode(self, sources: list[str], where: str, to: str, options: list[str]) -> None:
        """`bfncodec encode`."""
        self.execute("encode", sources, where, to, options)

    @rule(sources=st.lists(names, min_size=1, max_size=2), where=wheres, to=targets, options=flags)
    def decode(self, sources: list[str], where: str, to: str, options: list[str]) -> None:
        """`bfncodec decode`."""
        self.execute("decode", sources, where, to, [one for one in options if one != "--no-verify"])

    @rule(command=st.sampled_from(("test", "info")), sources=st.lists(names, min_size=1, max_size=3))
    def look(self, command: str, sources: list[str]) -> None:
        """`bfncodec test` and `info`, which change nothing."""
        before = state_of(self.home)
        assert call(command, *sources).code in (0, 1, 2)
        assert state_of(self.home) == before

    def execute(self, command: str, sources: list[str], where: str, to: str, options: list[str]) -> None:
        """One command, and all that must hold after it."""
        place = [where, to] if where in ("-o", "--output-dir") else [where] if where else []
        before = state_of(self.home)
        result = call(command, *options, *place, *sources)
        after = state_of(self.home)
        assert result.code in (0, 1, 2) and "Traceback" not in result.err
        assert result.code or result.exception is None
        if result.code == 2:
            assert after == before, "wrong usage changes nothing"
        if self.sealed:
            assert after["sealed/x"] == before["sealed/x"] and "sealed/x.bfn" not in after
        force, alone = "-f" in options, len(sources) == 1
        gone = {name for name in before if name not in after}
        changed = {name for name in before if name in after and after[name] != before[name]}
        assert "--rm" in options or not gone
        assert force or not changed, "without -f an existing target keeps its bytes"
        assert all(before[name][0] == "file" for name in gone | changed), "links, folders and pipes stay"
        assert gone <= set(sources), "only inputs are removed"
        if where == "-c":
            assert after == before
        # Of several inputs one may be the forced target of another.
        for name in gone if alone or not force else ():
            self.is_kept(command, before[name][1], after)
        if result.code == 0 and command == "encode" and (where == "-o" or alone and not where):
            self.is_encoded(before, after, sources, to if where else sources[0] + ".bfn")

    def is_kept(self, command: str, content: bytes, after: dict[str, tuple[str, bytes]]) -> None:
        """A removed input's content is in one of the outputs, which may have been an input itself."""
        files = {data for kind, data in after.values() if kind == "file"}
        if command == "encode":
            inner = {one for data in files for one in content_of(data)}
            assert content in inner or any(content in content_of(one) for one in inner)
        else:
            assert all(one in files or all(part in files for part in content_of(one)) for one in content_of(content))

    def is_encoded(
        self, before: dict[str, tuple[str, bytes]], after: dict[str, tuple[str, bytes]], sources: list[str], to: str
    ) -> None:
        """What a success promises: the content of every input is in the output."""
        kind, written = after["nowhere" if to == "dangling" else "a" if to == "link" else to]
        assert kind == "file"
        for name in sources:
            assert before["a" if name == "link" else name][1] in content_of(written)

    @invariant()
    def no_leftovers(self) -> None:
        """No temporary file."""
        assert not [path for path in self.home.rglob("*") if path.name.startswith(".bfncodec")]


def test_any_sequence_of_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    budget = settings(max_examples=EXAMPLES, stateful_step_count=12, derandomize=True, database=None)
    budget = settings(budget, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Folder, settings=budget)


# Disks that are full, and signals


WORDS = b"".join(f"Word {number * number} and {number}. ".encode() for number in range(300))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a text of some thousand bytes, and its encoding by the text model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words").write_bytes(WORDS)
    (tmp_path / "coded.bfn").write_bytes(api.encode(WORDS, media="text"))
    return tmp_path


def full() -> None:
    """Let this process write files of 200 bytes at most."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))


@pytest.mark.parametrize("arguments", ["encode words -o made", "decode coded.bfn -o made"])
@pytest.mark.parametrize("existing", [False, True])
def test_a_full_disk_changes_nothing(folder: Path, arguments: str, existing: bool) -> None:
    """Row 6: exit code 1, and the target keeps its bytes, even if it was to be replaced and the input removed."""
    if existing:
        (folder / "made").write_bytes(b"precious")
    before = state_of(folder)
    command = [*MODULE, *arguments.split(), "-f", "--rm"]
    done = subprocess.run(command, capture_output=True, timeout=60, preexec_fn=full)
    assert done.returncode == 1 and b"made cannot be written: File too large" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert state_of(folder) == before


def test_a_full_device_is_an_error(folder: Path) -> None:
    """Row 6: standard output that cannot take it; inputs stay."""
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    before = state_of(folder)
    with open("/dev/full", "wb") as device:
        done = subprocess.run([*MODULE, "decode", "-c", "coded.bfn"], stdout=device, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 1 and b"No space left" in done.stderr and b"Traceback" not in done.stderr
    assert "/dev/full cannot be written" in call("decode", "-f", "coded.bfn", "-o", "/dev/full").err
    assert state_of(folder) == before


ROUNDS = int(os.environ.get("BFNCODEC_KILL_ROUNDS", 10))
CASES = ("encode words -o made -f --rm", "decode coded.bfn -o made -f --rm")


def command_line(arguments: str, ready: Connection) -> None:
    """The command as a process of its own runs it."""
    try:
        sys.argv = ["bfncodec", *arguments.split()]
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        ready.send_bytes(b".")
        run()
    except KeyboardInterrupt:  # before `run` could
        sys.exit(130)


def started(context: Any, arguments: str) -> Any:
    """A process that is about to run the command."""
    receiver, sender = context.Pipe(False)
    process = context.Process(target=command_line, args=(arguments, sender))
    process.start()
    sender.close()
    assert receiver.recv_bytes() == b"."
    return process


def test_a_signal_at_any_moment_leaves_the_target_absent_or_whole(folder: Path) -> None:
    """Row 6: SIGKILL and SIGINT; the target that was there, or the new one, and the input unless that is whole."""
    context = multiprocessing.get_context("forkserver")  # most of a command's life goes into imports: once is enough
    context.set_forkserver_preload([__name__, "bfncodec.blocks.image", "bfncodec.models.text.bytewise"])
    source, target = random.Random(0), folder / "made"
    seconds, whole, given = {}, {}, {}
    for case in [*CASES, *CASES]:  # the first ones may wait for the server
        given[case] = folder / case.split()[1]
        kept = given[case].read_bytes()
        process, start = started(context, case), time.monotonic()
        process.join(60)
        assert process.exitcode == 0 and not given[case].exists()
        seconds[case], whole[case] = time.monotonic() - start, target.read_bytes()
        given[case].write_bytes(kept)
        target.unlink()
    ends = []
    for number in range(ROUNDS):
        case = CASES[number % 2]
        signalled = (signal.SIGKILL, signal.SIGKILL, signal.SIGINT)[number % 3]
        old = b"precious" if number % 4 > 1 else None
        kept = given[case].read_bytes()
        if old is not None:
            target.write_bytes(old)
        process = started(context, case)
        time.sleep(seconds[case] * source.uniform(0, 1.1))
        if process.is_alive():
            os.kill(process.pid, signalled)
        process.join(60)
        content = target.read_bytes() if target.exists() else None
        assert content in (old, whole[case]), "as it was, or whole"
        assert given[case].exists() or content == whole[case]
        assert process.exitcode in (0, 130, -signalled)
        left = {path.name for path in folder.iterdir()} - {"words", "coded.bfn", "made"}
        assert not left, "no temporary file"
        ends.append(content == whole[case])
        given[case].write_bytes(kept)
        target.unlink(missing_ok=True)
    assert not all(ends), "some were stopped in time"
