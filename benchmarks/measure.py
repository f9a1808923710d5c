"""Timed commands, and what has to stand beside every number: machine, version, weights."""

import datetime
import json
import os
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

_CHILD = Path(__file__).with_name("child.py")


@dataclass(frozen=True)
class Run:
    """Wall-clock seconds of a process, start-up included, its peak resident memory in bytes, and seconds of CPU."""

    seconds: float
    peak: int
    cpu: float


def run(command: list[str]) -> Run:
    """Run a command to its end; RuntimeError with its messages if it fails."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(_CHILD), *command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} could not be run: {done.stderr.strip()}")
    told = json.loads(done.stdout)
    if told["code"]:
        raise RuntimeError(f"{' '.join(command)[:300]} ended with {told['code']}: {done.stderr.strip()}")
    return Run(told["seconds"], told["peak"], told["cpu"])


def median(command: list[str], target: Path | None, repeats: int) -> float:
    """Median seconds of a command, whose target is removed before each run."""
    click.echo(f"{Path(command[0]).name} {command[1]}", err=True)
    seconds = []
    for _ in range(repeats):
        if target is not None:
            target.unlink(missing_ok=True)
        seconds.append(run(command).seconds)
    return round(statistics.median(seconds), 3)


def installed() -> str:
    """The installed bfncodec command: the one of this interpreter, or else the first on the path."""
    beside = Path(sys.executable).with_name("bfncodec")
    found = str(beside) if beside.is_file() else shutil.which("bfncodec")
    if found is None:
        raise RuntimeError("the bfncodec command is not installed: pip install -e .")
    return found


def record() -> dict[str, Any]:
    """Date (UTC), CPU, cores, load (runnable processes, last minute), version, weights files (bytes, digest)."""
    from bfncodec import __version__
    from bfncodec.models import zoo

    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M"),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "version": __version__,
        "weights": {
            path.name: {"bytes": path.stat().st_size, "digest": zoo.digest(path).hex()}
            for path in sorted(zoo.PACKAGED.glob("*" + zoo.SUFFIX))
        },
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"
