"""bfncodec sample."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import click

from bfncodec.cli import files, options, outputs

if TYPE_CHECKING:
    from pathlib import Path

SAMPLERS = ("bfn", "sde1", "sde2", "ode1", "ode2")  # models.sample.PLAIN and paper.solvers.SOLVERS
ENDS = ("draw", "guess")  # solvers.ENDS
SIDE = 32  # of images of models that know no size
STEPS, IMAGES, LINES, LENGTH = 50, 64, 8, 1000


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
    threads: int,
    device: str,
    quiet: int,
    verbose: int,
    debug: bool,
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
    messages = files.Messages(1 - quiet + verbose)
    options.set_threads(threads)
    if output == "":
        raise click.UsageError("-o needs a file's name")
    if end and sampler == "bfn":
        raise click.UsageError("--end is for the solvers; decoding always ends with a draw")
    target = output or files.STANDARD

    def draw(name: str) -> None:
        from bfncodec.models import zoo

        path = zoo.find(name)
        kind, predictor = _loaded(path, device)
        if predictor is None and (steps or sampler != "bfn"):
            raise click.UsageError("-n and --sampler are for models of the paper's kind; this is another")
        if kind != "text" and length:
            raise click.UsageError("--length is for text models")
        if kind == "text" and items:
            raise click.UsageError("a text model makes one text: use --length")
        pictorial = kind not in ("text", "classes")
        if pictorial or target != files.STANDARD:
            outputs.check_target(target, [], force)
        data = _data(path, kind, predictor, (steps or STEPS, items, length or LENGTH, sampler, end, seed), device)
        if target == files.STANDARD and not pictorial and sys.stdout is not None and sys.stdout.isatty():
            for line in data.decode(errors="replace").splitlines():
                outputs.tell(files.printable(line))
            return
        with outputs.output(target, sources={}, force=force, keep=outputs.Keep.NOTHING) as out:
            out.file.write(data)

    files.each([model], draw, messages, debug)


def _loaded(path: Path, device: str) -> tuple[str, Any]:
    """What a model models ("text", "images", or the kind of its spec), and its predictor if it is the paper's."""
    from bfncodec.blocks import single
    from bfncodec.exact import kernels
    from bfncodec.models import zoo

    if single.serves(path):
        predictor = single.predictor(path, kernels.for_device(device).name)
        return predictor.spec.kind, predictor
    return "text" if zoo.is_text(path) else "images", None


def _data(path: Path, kind: str, predictor: Any, wanted: tuple[Any, ...], device: str) -> bytes:
    """The file that is written."""
    from bfncodec.exact import kernels
    from bfncodec.models import sample as samples
    from bfncodec.models import zoo

    steps, items, length, sampler, end, seed = wanted
    if kind == "text":
        return samples.text(kernels.kernel("float32"), zoo.tensors(path), length, seed)
    if kind == "images":
        return _png(samples.pictures(kernels.for_device(device), zoo.tensors(path), items or IMAGES, SIDE, seed))
    end = end or ("guess" if kind == "classes" else "draw")
    made = samples.paper(predictor, items or (LINES if kind == "classes" else IMAGES), steps, sampler, seed, end)
    if kind == "classes":
        return b"".join(line + b"\n" for line in samples.lines(predictor.spec, made))
    return _png(samples.shown(predictor.spec, made))


def _png(images: Any) -> bytes:
    from PIL import Image

    from bfncodec.models import sample as samples

    grid = samples.grid(images)
    held = io.BytesIO()
    Image.fromarray(grid[..., 0] if grid.shape[2] == 1 else grid).save(held, "PNG")
    return held.getvalue()
