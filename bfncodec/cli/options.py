"""Options that several commands share, each group as one object: declared once, checked once."""

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from bfncodec import presets
from bfncodec.cli import files, outputs
from bfncodec.cli.files import Messages
from bfncodec.cli.outputs import Keep, Output
from bfncodec.errors import ChangedFile
from bfncodec.exact import threads as process_threads
from bfncodec.inputs import Input

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True)
class Where:
    """Where outputs go, and what becomes of inputs. Wrong usage if options contradict each other."""

    output: str | None
    stdout: bool
    output_dir: str | None
    force: bool
    keep: bool
    remove: bool
    no_preserve: bool

    def __post_init__(self) -> None:
        if self.output == "":
            raise click.UsageError("-o needs a file's name")
        if self.output_dir == "":
            raise click.UsageError("--output-dir needs a folder's name")
        if self.keep and self.remove:
            raise click.UsageError("--keep and --rm contradict each other")
        if self.stdout and self.output not in (None, files.STANDARD):
            raise click.UsageError("--stdout and --output contradict each other")
        if self.output_dir and (self.output or self.stdout):
            raise click.UsageError("--output-dir contradicts --output and --stdout")

    @property
    def named(self) -> str | None:
        """What -o or -c name, or None."""
        return files.STANDARD if self.stdout else self.output

    def in_folder(self, target: str) -> str:
        """A target by its own name, or in --output-dir."""
        return str(Path(self.output_dir) / Path(target).name) if self.output_dir else target

    def check(self, target: str, sources: Iterable[str]) -> None:
        """Refuse what must not or cannot be written, see `outputs.check_target`."""
        outputs.check_target(target, sources, self.force, named=bool(self.named))

    def writing(self, target: str, sources: Mapping[str, Input], keep: Keep) -> AbstractContextManager[Output]:
        """See `outputs.output`; nothing is kept if --no-preserve says so."""
        keep = Keep.NOTHING if self.no_preserve else keep
        return outputs.output(target, sources, keep, force=self.force, named=bool(self.named))

    def done(self, given: Mapping[str, Input], messages: Messages, target: str) -> None:
        """What was read is safely written to a target: --rm removes it; what goes into a stream is not safe yet.

        ChangedFile names those that are another by now, which stay.
        """
        remove = self.remove and not outputs.is_stream(target)
        stay = [name for name, one in given.items() if one.changed or remove and not files.removed(name, one, messages)]
        if stay:
            what = "changed while it was read" + (", not removed" if remove else "; the output holds what was read")
            raise ChangedFile(what if len(given) == 1 else f"{', '.join(map(files.printable, stay))} {what}")


def _device(threads: int, device: str) -> str:
    """Where to compute; 0 threads leave all cores to us and to the libraries."""
    if threads:
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[variable] = str(threads)
    process_threads.limit(threads)
    return device


def gathered(name: str, kind: Callable[..., Any], *options: Decorator) -> Decorator:
    """Options that a command is handed as one argument: what `kind` makes of those that its parameters name."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def gathering(**given: Any) -> Any:
            own = {parameter: given.pop(parameter) for parameter in inspect.signature(kind).parameters}
            return function(**given, **{name: kind(**own)})

        command: Callable[..., Any] = gathering
        for option in reversed(options):
            command = option(command)
        return command

    return wrap


loudness = gathered(
    "messages",
    lambda quiet, verbose, debug: Messages(1 - quiet + verbose, debug),
    click.option("-q", "--quiet", count=True, help="Only errors; -qq: not even those."),
    click.option("-v", "--verbose", count=True, help="Say more."),
    click.option("--debug", is_flag=True, help="Show the traceback of an error."),
)

output = gathered(
    "where",
    Where,
    click.option("-o", "--output", metavar="FILE", help="Write here ('-': standard output)."),
    click.option("-c", "--stdout", is_flag=True, help="Write to standard output."),
    click.option("--output-dir", metavar="DIR", type=click.Path(file_okay=False), help="Write into this folder."),
    click.option("-f", "--force", is_flag=True, help="Replace existing files; use terminals."),
    click.option("-k", "--keep", is_flag=True, help="Keep the input (the default)."),
    click.option("--rm", "remove", is_flag=True, help="Remove the input once its output is safe."),
    click.option("--no-preserve", is_flag=True, help="Do not copy time and permissions."),
)

compute = gathered(
    "device",
    _device,
    click.option("-T", "--threads", type=click.IntRange(0), default=0, help="Threads; 0: all cores."),
    click.option("--device", type=click.Choice(presets.DEVICES), default="auto", help="Where to compute."),
)

max_pixels = click.option(
    "--max-pixels", type=click.IntRange(1), default=presets.MAX_PIXELS, help="Refuse larger images."
)
max_output = click.option(
    "--max-output", type=click.IntRange(0), default=presets.MAX_OUTPUT, help="Refuse larger outputs (bytes)."
)
model = click.option("-m", "--model", metavar="MODEL", help="A model's name or .safetensors file.")
effort = click.option(
    "--effort", type=click.Choice(presets.EFFORTS), default="default", help="How hard to try; see encode."
)
media = click.option("--media", type=click.Choice(presets.MEDIA), default="auto", help="What the files are coded as.")
