"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _all(*options: Decorator) -> Decorator:
    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return wrap


loudness = _all(
    click.option("-q", "--quiet", count=True, help="Only errors; -qq: not even those."),
    click.option("-v", "--verbose", count=True, help="Say more."),
    click.option("--debug", is_flag=True, help="Show the traceback of an error."),
)

output = _all(
    click.option("-o", "--output", metavar="FILE", help="Write here ('-': standard output)."),
    click.option("-c", "--stdout", is_flag=True, help="Write to standard output."),
    click.option("--output-dir", metavar="DIR", type=click.Path(file_okay=False), help="Write into this folder."),
    click.option("-f", "--force", is_flag=True, help="Replace existing files; use terminals."),
    click.option("-k", "--keep", is_flag=True, help="Keep the input (the default)."),
    click.option("--rm", "remove", is_flag=True, help="Remove the input once its output is safe."),
    click.option("--no-preserve", is_flag=True, help="Do not copy time and permissions."),
)

compute = _all(
    click.option("-T", "--threads", type=click.IntRange(0), default=0, help="Threads; 0: all cores."),
    click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where to compute."),
)

limits = _all(
    click.option("--max-pixels", type=click.IntRange(1), default=1 << 28, help="Refuse larger images."),
    click.option("--max-output", type=click.IntRange(0), default=1 << 34, help="Refuse larger outputs (bytes)."),
)


def destination(output: str | None, stdout: bool, output_dir: str | None, keep: bool, remove: bool) -> str | None:
    """What -o or -c name, or None; wrong usage if options contradict each other."""
    if output == "":
        raise click.UsageError("-o needs a file's name")
    if output_dir == "":
        raise click.UsageError("--output-dir needs a folder's name")
    if keep and remove:
        raise click.UsageError("--keep and --rm contradict each other")
    if stdout and output not in (None, "-"):
        raise click.UsageError("--stdout and --output contradict each other")
    if output_dir and (output or stdout):
        raise click.UsageError("--output-dir contradicts --output and --stdout")
    return "-" if stdout else output


def set_threads(threads: int) -> None:
    """Use so many threads; 0 leaves all cores to the libraries."""
    if threads:
        import os

        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[variable] = str(threads)
        from threadpoolctl import threadpool_limits

        threadpool_limits(threads)
