"""bfncodec import-paper."""

from pathlib import Path

import click

from bfncodec.cli import files, options, outputs
from bfncodec.cli.files import Messages

NAMES = ("mnist", "cifar10_256d", "text8")


@click.command("import-paper", short_help="Convert a checkpoint of the paper's authors.")
@click.argument("checkpoint", metavar="CKPT", type=click.Path(path_type=Path))
@click.option("--config", "name", required=True, type=click.Choice(NAMES), help="Which model it is.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Model file (.safetensors).")
@click.option("-f", "--force", is_flag=True, help="Replace an existing file.")
@options.loudness
def import_paper(checkpoint: Path, name: str, output: Path, force: bool, messages: Messages) -> None:
    """Convert a checkpoint that the paper's authors published (.pt) into a model that `measure` can run.

    The file is read without running code in it. Converted models compute in floating point, so
    that what is coded with one is tied to the machine.
    """

    def convert(source: str) -> None:
        outputs.check_file(str(output), [source], force)
        from bfncodec.models import authors
        from bfncodec.train import checkpoint as models

        models.check_name(output)
        config = authors.CONFIGS[name]
        tensors = authors.published(Path(source), config)
        models.write_model(output, tensors, authors.card(config))
        count = sum(tensor.size for tensor in tensors.values()) / 1e6
        messages.note(f"{files.printable(str(output))}: {name}, {count:.1f} million weights")

    files.each([str(checkpoint)], convert, messages)
