"""The bfncodec command. Each subcommand is imported when it is used."""

import gc
import os
import signal
import sys
from importlib import import_module
from types import FrameType

import click

COMMANDS = {
    "encode": ("encode", "encode", "Encode files as .bfn."),
    "decode": ("decode", "decode", "Decode .bfn files."),
    "info": ("info", "info", "Show what .bfn files hold."),
    "test": ("decode", "check", "Check .bfn files without writing anything."),
    "measure": ("measure", "measure", "Show theory and real bits, step by step."),
    "train": ("train", "train", "Train models."),
    "sample": ("sample", "sample", "Draw samples from a model."),
    "import-paper": ("import_paper", "import_paper", "Convert a checkpoint of the paper's authors."),
}

EPILOG = "Exit codes: 0 good, 1 bad data or failed input or output, 2 wrong usage, 130 interrupted."


class _Commands(click.Group):
    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[name]
        command: click.Command = getattr(import_module(f"bfncodec.cli.{module}"), attribute)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from bfncodec import __version__, container
    from bfncodec.models import zoo

    models = ", ".join(f"{path.stem} {zoo.digest(path).hex()}" for path in sorted(zoo.PACKAGED.glob("*.safetensors")))
    click.echo(f"bfncodec {__version__}, format version {container.VERSION}, models: {models}")
    context.exit()


@click.group(cls=_Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-V", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Version."
)
def main() -> None:
    """Lossless compression of images and texts with a Bayesian Flow Network."""


def _stop(number: int, _: FrameType | None) -> None:
    """SIGTERM ends like SIGINT: temporary files are removed on the way out."""
    signal.signal(number, signal.SIG_DFL)
    raise KeyboardInterrupt


def run() -> None:
    """Entry point: click's errors as exit codes, nothing printed after a broken pipe."""
    gc.disable()  # until work begins, see `files.each`: modules stay
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, _stop)
    try:
        main(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    finally:
        gc.freeze()  # Python's last collection has nothing to look at, which saves a tenth of a short process
