"""Ways to run the command in tests, and small inputs for it."""

import io
import os
import select
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from click.testing import CliRunner
from PIL import Image

from bfncodec.cli.main import main

SIDE = 24
TEXT = b"some words\n" * 20
MODULE = [sys.executable, "-m", "bfncodec"]


@dataclass
class Result:
    """How a command ended."""

    code: int
    out: bytes
    err: str
    exception: BaseException | None = None


def call(*arguments: str | int | Path, given: bytes = b"") -> Result:
    """Run the command in this process, which is fast."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], input=given)
    return Result(result.exit_code, result.stdout_bytes, result.stderr, result.exception)


def good(*arguments: str | int | Path, given: bytes = b"") -> Result:
    """`call`, and insist on success."""
    result = call(*arguments, given=given)
    assert result.code == 0, result.err
    return result


def spawn(*arguments: str | int | Path, given: bytes = b"", **options: object) -> Result:
    """Run the command in a process of its own."""
    command = [*MODULE, *map(str, arguments)]
    done = subprocess.run(command, input=given, capture_output=True, timeout=60, **options)  # type: ignore[call-overload]
    return Result(done.returncode, done.stdout, done.stderr.decode())


def on_terminal(*arguments: str, streams: str) -> tuple[int, bytes, bytes]:
    """Run with some of stdin, stdout, stderr on a terminal: exit code, what it shows, what else stderr got."""
    master, slave = os.openpty()
    try:
        places = {
            "stdin": slave if "stdin" in streams else subprocess.DEVNULL,
            "stdout": slave if "stdout" in streams else subprocess.DEVNULL,
            "stderr": slave if "stderr" in streams else subprocess.PIPE,
        }
        done = subprocess.run([*MODULE, *arguments], timeout=60, **places)  # type: ignore[call-overload]
        ready = select.select([master], [], [], 0)[0]
        return done.returncode, os.read(master, 1 << 16) if ready else b"", done.stderr or b""
    finally:
        os.close(slave)
        os.close(master)


def pixels(seed: int = 0) -> np.ndarray:
    """A smooth noisy colour image uint8 [SIDE, SIDE, 3] that the tiny model codes smaller than any other mode."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    waves = 128 + 60 * np.sin(x / 9) + 50 * np.cos(y / 7)
    noise = random.normal(0, 3, (SIDE, SIDE, 1)) + random.normal(0, 1, (SIDE, SIDE, 3))
    return (waves[..., None] * [0.9, 1.0, 0.8] + noise).clip(0, 255).astype(np.uint8)


def png(seed: int = 0) -> bytes:
    """`pixels` as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels(seed)).save(buffer, "PNG")
    return buffer.getvalue()


@cache
def encoded_png() -> bytes:
    """`png` as a .bfn file of the tiny model."""
    return good("encode", "-m", "tiny", given=png()).out


def shown(file: bytes) -> np.ndarray:
    """The pixels of an image file."""
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image)


def listing(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Contents and times of a folder's files."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir() if path.is_file()}
