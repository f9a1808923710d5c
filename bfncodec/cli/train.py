"""bfncodec train."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import click

from bfncodec.cli import files, options
from bfncodec.cli.files import Messages

_THERE = click.Path(exists=True, path_type=Path)
Kinds = tuple[frozenset[str], Path | None]  # of texts: files to leave out, and a list of shares
CONFIGS = ("mnist", "cifar10", "cifar10-16", "text8")  # train.paper.train.SPECS, which --help need not import


class Job(NamedTuple):
    """What every training is told; None: the preset's."""

    data: Path
    output: Path
    work: Path | None
    steps: int | None
    rate: float | None

    @property
    def folder(self) -> Path:
        return self.work or self.output.with_name(self.output.name + ".work")

    def changes(self, **more: Any) -> dict[str, Any]:
        return {"steps": self.steps, "rate": self.rate} | more


def _names(_: click.Context, __: click.Parameter, skip: TextIO | None) -> frozenset[str]:
    return frozenset(line.strip() for line in skip) - {""} if skip else frozenset()


_job = options.gathered(
    "job",
    Job,
    click.option("--data", required=True, type=_THERE, help="Folder or file; see above."),
    click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Model file (.safetensors)."),
    click.option("--work", type=click.Path(path_type=Path), help="Folder of checkpoints. Default: OUTPUT.work"),
    click.option("--steps", type=click.IntRange(1), help="Steps instead of the preset's."),
    click.option("--rate", type=float, help="Learning rate instead of the preset's."),
)
_skip = click.option(
    "--skip", type=click.File(), callback=_names, help="List of files to leave out, one path ending a line."
)
_kinds = options.gathered(
    "kinds",
    lambda skip, mix: (skip, mix),
    _skip,
    click.option("--mix", type=_THERE, help="Shares of kinds of text by folder (JSON)."),
)


def _training(function: Callable[..., None]) -> Callable[..., None]:
    """The options that come last, and errors that are told. Options that replace fields of a plan have their names."""

    @options.compute
    @options.loudness
    @wraps(function)
    def telling(job: Job, messages: Messages, **given: Any) -> None:
        files.each([str(job.output)], lambda _: function(job=job, messages=messages, **given), messages)

    return telling


@click.group()
def train() -> None:
    """Train models. Checkpoints resume exactly. Under torchrun, several processes share the work.

    Stop at any time; the same command goes on from the last checkpoint.
    """


@train.command()
@_job
@click.option("--part", "parts", multiple=True, help="Train only this network: wavefront, T, D, H or V.")
@click.option("--width", type=click.IntRange(1), help="Width instead of the preset's.")
@click.option("--blocks", type=click.IntRange(0), help="Residual blocks instead of the preset's.")
@click.option("--pixels", type=click.IntRange(1), help="Pixels a step instead of the preset's.")
@_skip
@_training
def images(
    job: Job, parts: tuple[str, ...], skip: frozenset[str], device: str, messages: Messages, **plan: int | None
) -> None:
    """Train an image model from a folder of images, or from an array uint8 [N, side, side, 3] (.npy)."""
    from bfncodec.train.image.train import train as train_images

    changes, device = job.changes(**plan), _device(device, messages)
    where = job.data, job.output, job.folder
    train_images(*where, parts=parts, changes=changes, skip=skip, device=device, log=messages.note)


@train.command()
@_job
@click.option("--init", metavar="MODEL", help="Fine-tune this model; 'default' is the packaged one.")
@click.option("--table-rate", type=float, help="Learning rate of the table instead of the preset's.")
@click.option(
    "--pieces",
    type=click.IntRange(1),
    help="Pieces of text to learn the mixing on. Default: 160; with --init the mixing stays as it is.",
)
@_kinds
@_training
def text(
    job: Job, init: str | None, pieces: int | None, kinds: Kinds, device: str, messages: Messages, **plan: float | None
) -> None:
    """Train a text model from a folder of text files or a text, or fine-tune one (--init) for texts of a kind."""
    from bfncodec.models import zoo
    from bfncodec.train.text.corpus import Corpus
    from bfncodec.train.text.train import train as train_text

    changes, device = job.changes(**plan), _device(device, messages)
    start = zoo.find("text" if init == "default" else init) if init else None
    where = Corpus(job.data, *kinds), job.output, job.folder
    train_text(*where, changes=changes, init=start, pieces=pieces, device=device, log=messages.note)


@train.command()
@_job
@click.option("-m", "--model", default="text", help="The text model that gets the network.")
@click.option("--block", type=click.IntRange(1, 16), help="Bytes a block instead of the preset's.")
@_kinds
@_training
def blocks(job: Job, model: str, kinds: Kinds, device: str, messages: Messages, **plan: int | None) -> None:
    """Train the network of --effort blocks for a text model (on the CPU, whatever --device says)."""
    from bfncodec.models import zoo
    from bfncodec.train.text.blocks import train as train_blocks
    from bfncodec.train.text.corpus import Corpus

    _device("cpu", messages)
    corpus, changes = Corpus(job.data, *kinds), job.changes(**plan)
    train_blocks(corpus, job.output, job.folder, zoo.find(model), changes=changes, log=messages.note)


@train.command()
@click.option("--data", required=True, type=_THERE, help="Folder of JPEG files, at any depth.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Model file (.safetensors).")
@click.option("--buckets", type=click.IntRange(1), help="Contexts to keep instead of the preset's, in buckets.")
@options.loudness
def jpeg(data: Path, output: Path, buckets: int | None, messages: Messages) -> None:
    """Train the model of JPEG files from a folder of them: an hour for 800 files.

    Its networks, and where contexts and mixers start. There are no checkpoints.
    """
    from bfncodec.train.jpeg.train import BUCKETS
    from bfncodec.train.jpeg.train import train as train_jpeg

    def one(_: str) -> None:
        train_jpeg(data, output, buckets=buckets or BUCKETS, log=messages.note)

    files.each([str(output)], one, messages)


@train.command()
@click.option("--config", required=True, type=click.Choice(CONFIGS), help="What is modelled.")
@_job
@click.option("--items", type=click.IntRange(1), help="Items a step instead of the preset's.")
@_training
def paper(config: str, job: Job, device: str, messages: Messages, **plan: int | None) -> None:
    """Train a model in the paper's setting from an array (.npy), or text8: one group, n noisy steps.

    On the CPU, whatever --device says.
    """
    from bfncodec.train.paper.train import train as train_paper

    _device("cpu", messages)
    train_paper(config, job.data, job.output, job.folder, changes=job.changes(**plan), log=messages.note)


def _device(device: str, messages: Messages) -> str:
    """The torch device that --device asks for; this process joins those that torchrun started with it."""
    import torch

    from bfncodec.train import distributed

    chosen = "cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu"
    click.get_current_context().with_resource(distributed.joined(chosen))
    if not distributed.first():
        messages.loudness = min(messages.loudness, 0)
    return chosen
