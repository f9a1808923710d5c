"""bfncodec sample."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from bfncodec.cli import files, options, outputs
from bfncodec.cli.files import Messages
from bfncodec.cli.options import Compute

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from bfncodec.models.paper.single import AnyPredictor

SAMPLERS = ("bfn", "sde1", "sde2", "ode1", "ode2")  # models.sample.PLAIN and paper.solvers.SOLVERS
ENDS = ("draw", "guess")  # solvers.ENDS
SIDE = 32  # of images of models that know no size
STEPS, IMAGES, LINES, LENGTH = 50, 64, 8, 1000


@dataclass(frozen=True)
class Wanted:
    """What was asked for; None: whatever suits the model."""

    steps: int | None
    items: int | None
    length: int | None
    sampler: str
    end: str | None
    seed: int
    device: str

    def check(self, kind: str) -> None:
        """Wrong usage for what a model of a kind does not have."""
        if kind != "paper" and (self.steps or self.sampler != "bfn"):
            raise click.UsageError("-n and --sampler are for models of the paper's kind; this is another")
        if kind != "text" and self.length:
            raise click.UsageError("--length is for text models")
        if kind == "text" and self.items:
            raise click.UsageError("a text model makes one text: use --length")


@click.command(short_help="Draw samples from a model.")
@click.argument("model", metavar="MODEL")
@click.option("-n", "--steps", type=click.IntRange(1, 4096), help=f"Noisy steps ({STEPS}).")
@click.option("--items", type=click.IntRange(1, 10_000), help=f"How many ({IMAGES} images or {LINES} lines).")
@click.option("--length", type=click.IntRange(1, 1 << 24), help=f"Bytes of a text model's sample ({LENGTH}).")
@click.option("--sampler", type=click.Choice(SAMPLERS), default="bfn", help="See below.")
@click.option("--end", type=click.Choice(ENDS), help="How a solver ends; see below.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Names the random bits.")
@click.option("-o", "--output", metavar="FILE", help="Write here ('-': standard output).")
@click.option("-f", "--force", is_flag=True, help="Replace an existing file; use terminals.")
@options.compute
@options.loudness
def sample(
    model: str,
    steps: int | None,
    items: int | None,
    length: int | None,
    sampler: str,
    end: str | None,
    seed: int,
    output: str | None,
    force: bool,
    compute: Compute,
    messages: Messages,
) -> None:
    """Draw samples from MODEL, a model's name or .safetensors file: images as one PNG, texts as lines.

    A decoder that is given random bits draws from its model. Models of the paper's kind
    (-n noisy steps) have other samplers as well, for fewer network calls:

    \b
      bfn         decode random bits: the paper's sampler
      sde1, sde2  BFN-Solver (arXiv:2404.15766): stochastic, order 1 and 2
      ode1, ode2  the same without noise on the way

    Solvers compute in floating point. They end with a draw from the output distribution
    (--end draw; default for images), or with its most probable symbols one step earlier
    (--end guess; default for texts, as in that paper).
    """
    if output == "":
        raise click.UsageError("-o needs a file's name")
    if end and sampler == "bfn":
        raise click.UsageError("--end is for the solvers; decoding always ends with a draw")
    wanted = Wanted(steps, items, length, sampler, end, seed, compute.device)
    files.each([model], lambda name: _draw(name, wanted, output or files.STANDARD, force), messages)


def _draw(name: str, wanted: Wanted, target: str, force: bool) -> None:
    from bfncodec.models import zoo
    from bfncodec.models.paper import streams

    path = zoo.find(name)
    kind = zoo.kind(path)
    wanted.check(kind)
    predictor = streams.predictor(path, wanted.device) if kind == "paper" else None
    lines = kind == "text" or predictor is not None and predictor.spec.kind == "classes"
    if not lines or target != files.STANDARD:
        outputs.check_target(target, [], force)
    if predictor is not None:
        data = _paper(predictor, wanted)
    else:
        data = _text(path, wanted) if kind == "text" else _images(path, wanted)
    if target == files.STANDARD and lines and sys.stdout is not None and sys.stdout.isatty():
        for line in data.decode(errors="replace").splitlines():
            outputs.tell(files.printable(line))
        return
    with outputs.output(target, sources={}, force=force, keep=outputs.Keep.NOTHING) as out:
        out.file.write(data)


def _text(path: Path, wanted: Wanted) -> bytes:
    from bfncodec.exact import kernels
    from bfncodec.models import sample as samples
    from bfncodec.models import zoo

    return samples.text(kernels.kernel("float32"), zoo.tensors(path), wanted.length or LENGTH, wanted.seed)


def _images(path: Path, wanted: Wanted) -> bytes:
    from bfncodec.exact import kernels
    from bfncodec.models import sample as samples
    from bfncodec.models import zoo

    kernel = kernels.kernel(wanted.device)
    return _png(samples.pictures(kernel, zoo.tensors(path), wanted.items or IMAGES, SIDE, wanted.seed))


def _paper(predictor: AnyPredictor, wanted: Wanted) -> bytes:
    from bfncodec.models import sample as samples

    lines = predictor.spec.kind == "classes"
    end = wanted.end or ("guess" if lines else "draw")
    items = wanted.items or (LINES if lines else IMAGES)
    drawn = samples.paper(predictor, items, wanted.steps or STEPS, wanted.sampler, wanted.seed, end)
    if lines:
        return b"".join(line + b"\n" for line in samples.lines(predictor.spec, drawn))
    return _png(samples.shown(predictor.spec, drawn))


def _png(images: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    from bfncodec.models import sample as samples

    grid = samples.grid(images)
    held = io.BytesIO()
    Image.fromarray(grid[..., 0] if grid.shape[2] == 1 else grid).save(held, "PNG")
    return held.getvalue()
