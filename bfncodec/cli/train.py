"""bfncodec train."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import click

from bfncodec.cli import files, options
from bfncodec.cli.files import Messages
from bfncodec.cli.options import Compute

CONFIGS = ("mnist", "cifar10", "cifar10-16", "text8")  # train.paper.train.SPECS, which --help need not import


@dataclass(frozen=True)
class Job:
    """What every training is told; None: the preset's."""

    data: Path
    output: Path
    work: Path | None
    steps: int | None
    rate: float | None

    @property
    def folder(self) -> Path:
        """Where the checkpoints are."""
        return self.work or self.output.with_name(self.output.name + ".work")

    def changes(self, **more: Any) -> dict[str, Any]:
        """Fields of a plan to replace."""
        return {"steps": self.steps, "rate": self.rate} | more


_job = options.gathered(
    "job",
    Job,
    ["data", "output", "work", "steps", "rate"],
    click.option(
        "--data", required=True, type=click.Path(exists=True, path_type=Path), help="Folder or file; see above."
    ),
    click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Model file (.safetensors)."),
    click.option("--work", type=click.Path(path_type=Path), help="Folder of checkpoints. Default: OUTPUT.work"),
    click.option("--steps", type=click.IntRange(1), help="Steps instead of the preset's."),
    click.option("--rate", type=float, help="Learning rate instead of the preset's."),
)
_skip = click.option("--skip", type=click.File(), help="List of files to leave out, one path ending a line.")
_mix = click.option(
    "--mix", type=click.Path(exists=True, path_type=Path), help="Shares of kinds of text by folder (JSON)."
)


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
@options.compute
@options.loudness
def images(
    job: Job,
    parts: tuple[str, ...],
    width: int | None,
    blocks: int | None,
    pixels: int | None,
    skip: TextIO | None,
    compute: Compute,
    messages: Messages,
) -> None:
    """Train an image model from a folder of images, or from an array uint8 [N, side, side, 3] (.npy)."""
    device = _device(compute.device, messages)
    changes, names = job.changes(width=width, blocks=blocks, pixels=pixels), _names(skip)

    def work() -> None:
        from bfncodec.train.image.train import train as train_images

        how = partial(train_images, parts=parts, changes=changes, skip=names, device=device, log=messages.note)
        how(job.data, job.output, job.folder)

    _run(job, work, messages)


@train.command()
@_job
@click.option("--init", metavar="MODEL", help="Fine-tune this model; 'default' is the packaged one.")
@click.option("--table-rate", type=float, help="Learning rate of the table instead of the preset's.")
@click.option("--pieces", type=click.IntRange(1), default=160, help="Pieces of text to learn the mixing on.")
@_skip
@_mix
@options.compute
@options.loudness
def text(
    job: Job,
    init: str | None,
    table_rate: float | None,
    pieces: int,
    skip: TextIO | None,
    mix: Path | None,
    compute: Compute,
    messages: Messages,
) -> None:
    """Train a text model from a folder of text files or a text, or fine-tune one (--init) for texts of a kind."""
    device = _device(compute.device, messages)
    changes, names = job.changes(table_rate=table_rate), _names(skip)

    def work() -> None:
        from bfncodec.models import zoo
        from bfncodec.train.text.corpus import Corpus
        from bfncodec.train.text.train import train as train_text

        start = zoo.find("text" if init == "default" else init) if init else None
        how = partial(train_text, changes=changes, init=start, pieces=pieces, device=device, log=messages.note)
        how(Corpus(job.data, names, mix), job.output, job.folder)

    _run(job, work, messages)


@train.command()
@_job
@click.option("-m", "--model", default="text", help="The text model that gets the network.")
@click.option("--block", type=click.IntRange(1, 16), help="Bytes a block instead of the preset's.")
@_skip
@_mix
@options.compute
@options.loudness
def blocks(
    job: Job,
    model: str,
    block: int | None,
    skip: TextIO | None,
    mix: Path | None,
    compute: Compute,
    messages: Messages,
) -> None:
    """Train the network of --effort blocks for a text model (on the CPU, whatever --device says)."""
    _device("cpu", messages)
    changes, names = job.changes(block=block), _names(skip)

    def work() -> None:
        from bfncodec.models import zoo
        from bfncodec.train.text.blocks import train as train_blocks
        from bfncodec.train.text.corpus import Corpus

        corpus = Corpus(job.data, names, mix)
        train_blocks(corpus, job.output, job.folder, zoo.find(model), changes=changes, log=messages.note)

    _run(job, work, messages)


@train.command()
@click.option("--config", required=True, type=click.Choice(CONFIGS), help="What is modelled.")
@_job
@click.option("--items", type=click.IntRange(1), help="Items a step instead of the preset's.")
@options.compute
@options.loudness
def paper(config: str, job: Job, items: int | None, compute: Compute, messages: Messages) -> None:
    """Train a model in the paper's setting from an array (.npy), or text8: one group, n noisy steps.

    On the CPU, whatever --device says.
    """
    _device("cpu", messages)
    changes = job.changes(items=items)

    def work() -> None:
        from bfncodec.train.paper.train import train as train_paper

        train_paper(config, job.data, job.output, job.folder, changes=changes, log=messages.note)

    _run(job, work, messages)


def _run(job: Job, work: Callable[[], None], messages: Messages) -> None:
    files.each([str(job.output)], lambda _: work(), messages)


def _device(device: str, messages: Messages) -> str:
    """The torch device that --device asks for; this process joins those that torchrun started with it."""
    import torch

    from bfncodec.train import distributed

    chosen = "cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu"
    click.get_current_context().with_resource(distributed.joined(chosen))
    if not distributed.first():
        messages.loudness = min(messages.loudness, 0)
    return chosen


def _names(skip: TextIO | None) -> frozenset[str]:
    return frozenset(line.strip() for line in skip) - {""} if skip else frozenset()
