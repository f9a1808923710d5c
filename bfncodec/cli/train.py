"""bfncodec train."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import click

from bfncodec.cli import files, options

CONFIGS = ("mnist", "cifar10", "cifar10-16", "text8")  # train.paper.SPECS, which --help need not import


@click.group()
def train() -> None:
    """Train models. Checkpoints resume exactly. Under torchrun, several processes share the work."""


@train.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), help="Folder, or .npy array.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Model file (.safetensors).")
@click.option("--work", type=click.Path(path_type=Path), help="Folder of checkpoints. Default: OUTPUT.work")
@click.option("--part", "parts", multiple=True, help="Train only this network: wavefront, T, D, H or V.")
@click.option("--steps", type=click.IntRange(1), help="Steps instead of the preset's.")
@click.option("--rate", type=float, help="Learning rate instead of the preset's.")
@click.option("--width", type=click.IntRange(1), help="Width instead of the preset's.")
@click.option("--blocks", type=click.IntRange(0), help="Residual blocks instead of the preset's.")
@click.option("--pixels", type=click.IntRange(1), help="Pixels a step instead of the preset's.")
@click.option("--skip", type=click.File(), help="List of images to leave out, one path ending a line.")
@options.compute
@options.loudness
def images(
    data: Path,
    output: Path,
    work: Path | None,
    parts: tuple[str, ...],
    steps: int | None,
    rate: float | None,
    width: int | None,
    blocks: int | None,
    pixels: int | None,
    skip: TextIO | None,
    threads: int,
    device: str,
    quiet: int,
    verbose: int,
    debug: bool,
) -> None:
    """Train an image model from a folder of images, or from an array uint8 [N, side, side, 3].

    Stop at any time; the same command goes on from the last checkpoint.
    """
    messages = files.Messages(1 - quiet + verbose)
    where = _device(device, threads, messages)
    from bfncodec.train.image.train import train as train_images

    given = {"steps": steps, "rate": rate, "width": width, "blocks": blocks, "pixels": pixels}
    changes = {name: value for name, value in given.items() if value is not None}
    names = _names(skip)

    def work_on(_: str) -> None:
        folder = work or output.with_name(output.name + ".work")
        train_images(data, output, folder, parts=parts, changes=changes, skip=names, device=where, log=messages.note)

    files.each([str(output)], work_on, messages, debug)


@train.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), help="Folder of texts, or a text.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Model file (.safetensors).")
@click.option("--work", type=click.Path(path_type=Path), help="Folder of the checkpoint. Default: OUTPUT.work")
@click.option("--init", metavar="MODEL", help="Fine-tune this model; 'default' is the packaged one.")
@click.option("--steps", type=click.IntRange(1), help="Steps instead of the preset's.")
@click.option("--rate", type=float, help="Learning rate of the layers instead of the preset's.")
@click.option("--table-rate", type=float, help="Learning rate of the table instead of the preset's.")
@click.option("--pieces", type=click.IntRange(1), default=160, help="Pieces of text to learn the mixing on.")
@click.option("--skip", type=click.File(), help="List of texts to leave out, one path ending a line.")
@options.compute
@options.loudness
def text(
    data: Path,
    output: Path,
    work: Path | None,
    init: str | None,
    steps: int | None,
    rate: float | None,
    table_rate: float | None,
    pieces: int,
    skip: TextIO | None,
    threads: int,
    device: str,
    quiet: int,
    verbose: int,
    debug: bool,
) -> None:
    """Train a text model from a folder of text files, or fine-tune one (--init) for texts of a kind.

    Stop at any time; the same command goes on from the last checkpoint.
    """
    messages = files.Messages(1 - quiet + verbose)
    where = _device(device, threads, messages)
    from bfncodec.models import zoo
    from bfncodec.train.text.train import train as train_text

    given = {"steps": steps, "rate": rate, "table_rate": table_rate}
    changes = {name: value for name, value in given.items() if value is not None}
    names = _names(skip)

    def work_on(_: str) -> None:
        folder = work or output.with_name(output.name + ".work")
        start = zoo.find("text" if init == "default" else init) if init else None
        train_text(
            data,
            output,
            folder,
            changes=changes,
            init=start,
            pieces=pieces,
            skip=names,
            device=where,
            log=messages.note,
        )

    files.each([str(output)], work_on, messages, debug)


@train.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), help="Folder of texts, or a text.")
@click.option("-m", "--model", default="text", help="The text model that gets the network.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Model file (.safetensors).")
@click.option("--work", type=click.Path(path_type=Path), help="Folder of the checkpoint. Default: OUTPUT.work")
@click.option("--block", type=click.IntRange(1, 16), help="Bytes a block instead of the preset's.")
@click.option("--steps", type=click.IntRange(1), help="Steps instead of the preset's.")
@click.option("--rate", type=float, help="Learning rate instead of the preset's.")
@click.option("--skip", type=click.File(), help="List of texts to leave out, one path ending a line.")
@options.compute
@options.loudness
def blocks(
    data: Path,
    model: str,
    output: Path,
    work: Path | None,
    block: int | None,
    steps: int | None,
    rate: float | None,
    skip: TextIO | None,
    threads: int,
    device: str,
    quiet: int,
    verbose: int,
    debug: bool,
) -> None:
    """Train the network of --effort blocks for a text model (on the CPU, whatever --device says)."""
    messages = files.Messages(1 - quiet + verbose)
    _device("cpu", threads, messages)
    from bfncodec.models import zoo
    from bfncodec.train.text.blocks import train as train_blocks

    given = {"block": block, "steps": steps, "rate": rate}
    changes = {name: value for name, value in given.items() if value is not None}
    names = _names(skip)

    def work_on(_: str) -> None:
        folder = work or output.with_name(output.name + ".work")
        train_blocks(data, output, folder, zoo.find(model), changes=changes, skip=names, log=messages.note)

    files.each([str(output)], work_on, messages, debug)


@train.command()
@click.option("--config", required=True, type=click.Choice(CONFIGS), help="What is modelled.")
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), help="Array (.npy), or text8.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Model file (.safetensors).")
@click.option("--work", type=click.Path(path_type=Path), help="Folder of the checkpoint. Default: OUTPUT.work")
@click.option("--steps", type=click.IntRange(1), help="Steps instead of the preset's.")
@click.option("--rate", type=float, help="Learning rate instead of the preset's.")
@click.option("--items", type=click.IntRange(1), help="Items a step instead of the preset's.")
@options.compute
@options.loudness
def paper(
    config: str,
    data: Path,
    output: Path,
    work: Path | None,
    steps: int | None,
    rate: float | None,
    items: int | None,
    threads: int,
    device: str,
    quiet: int,
    verbose: int,
    debug: bool,
) -> None:
    """Train a model in the paper's setting: one group, n noisy steps (on the CPU, whatever --device says).

    Stop at any time; the same command goes on from the last checkpoint.
    """
    messages = files.Messages(1 - quiet + verbose)
    _device("cpu", threads, messages)
    from bfncodec.train.paper.train import train as train_paper

    given = {"steps": steps, "rate": rate, "items": items}
    changes = {name: value for name, value in given.items() if value is not None}

    def work_on(_: str) -> None:
        folder = work or output.with_name(output.name + ".work")
        train_paper(config, data, output, folder, changes=changes, log=messages.note)

    files.each([str(output)], work_on, messages, debug)


def _device(device: str, threads: int, messages: files.Messages) -> str:
    """The torch device that --device and -T ask for; this process joins those that torchrun started with it."""
    options.set_threads(threads)
    import torch

    if threads:
        torch.set_num_threads(threads)
    from bfncodec.train import distributed

    chosen = "cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu"
    click.get_current_context().with_resource(distributed.joined(chosen))
    if not distributed.first():
        messages.loudness = min(messages.loudness, 0)
    return chosen


def _names(skip: TextIO | None) -> frozenset[str]:
    return frozenset(line.strip() for line in skip) - {""} if skip else frozenset()
