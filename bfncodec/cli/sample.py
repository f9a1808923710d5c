"""bfncodec sample."""

import sys
from typing import NamedTuple

import click

from bfncodec.cli import files, options, outputs
from bfncodec.cli.files import Messages
from bfncodec.cli.outputs import Keep

SAMPLERS = ("bfn", "sde1", "sde2", "ode1", "ode2")  # models.sample.PLAIN and paper.solvers.SOLVERS
ENDS = ("draw", "guess")  # solvers.ENDS
SIDE = 32  # of images of models that know no size
STEPS, IMAGES, LINES, LENGTH = 50, 64, 8, 1000


class Wanted(NamedTuple):
    """What was asked for; None: whatever suits the model."""

    steps: int | None
    items: int | None
    length: int | None
    sampler: str
    end: str | None
    seed: int

    def check(self, kind: str) -> None:
        """Wrong usage for what a model of a kind does not have."""
        if kind != "paper" and (self.steps or self.sampler != "bfn"):
            raise click.UsageError("-n and --sampler are for models of the paper's kind; this is another")
        if kind != "text" and self.length:
            raise click.UsageError("--length is for text models")
        if kind == "text" and self.items:
            raise click.UsageError("a text model makes one text: use --length")


_wanted = options.gathered(
    "wanted",
    Wanted,
    click.option("-n", "--steps", type=click.IntRange(1, 4096), help=f"Noisy steps ({STEPS})."),
    click.option("--items", type=click.IntRange(1, 10_000), help=f"How many ({IMAGES} images or {LINES} lines)."),
    click.option("--length", type=click.IntRange(1, 1 << 24), help=f"Bytes of a text model's sample ({LENGTH})."),
    click.option("--sampler", type=click.Choice(SAMPLERS), default="bfn", help="See below."),
    click.option("--end", type=click.Choice(ENDS), help="How a solver ends; see below."),
    click.option("--seed", type=click.IntRange(0), default=0, help="Names the random bits."),
)


@click.command(short_help="Draw samples from a model.")
@click.argument("model", metavar="MODEL")
@_wanted
@click.option("-o", "--output", metavar="FILE", help="Write here ('-': standard output).")
@click.option("-f", "--force", is_flag=True, help="Replace an existing file; use terminals.")
@options.compute
@options.loudness
def sample(model: str, wanted: Wanted, output: str | None, force: bool, device: str, messages: Messages) -> None:
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
    if wanted.end and wanted.sampler == "bfn":
        raise click.UsageError("--end is for the solvers; decoding always ends with a draw")
    target = output or files.STANDARD

    def draw(name: str) -> None:
        data, lines = _drawn(name, wanted, device, target, force)
        if target == files.STANDARD and lines and sys.stdout is not None and sys.stdout.isatty():
            for line in data.decode(errors="replace").splitlines():
                outputs.tell(files.printable(line))
            return
        with outputs.output(target, {}, Keep.NOTHING, force=force) as out:
            out.file.write(data)

    files.each([model], draw, messages)


def _drawn(name: str, wanted: Wanted, device: str, target: str, force: bool) -> tuple[bytes, bool]:
    """A file for a target that is checked before the work, and whether it is one of lines."""
    from bfncodec import api, media
    from bfncodec.exact import kernels
    from bfncodec.models import sample as samples
    from bfncodec.models import zoo
    from bfncodec.models.paper import streams

    path = zoo.find(name)
    kind = zoo.kind(path)
    wanted.check(kind)
    predictor = streams.predictor(path, device) if kind == "paper" else None
    lines = kind == "text" or predictor is not None and predictor.spec.kind == "classes"
    if not lines or target != files.STANDARD:
        outputs.check_target(target, [], force)
    if predictor is not None:
        end = wanted.end or ("guess" if lines else "draw")
        items = wanted.items or (LINES if lines else IMAGES)
        drawn = samples.paper(predictor, items, wanted.steps or STEPS, wanted.sampler, wanted.seed, end)
        if lines:
            return b"".join(line + b"\n" for line in samples.lines(predictor.spec, drawn)), lines
        images = samples.shown(predictor.spec, drawn)
    elif lines:
        kernel, length = kernels.kernel("bytes"), wanted.length or LENGTH
        return samples.text(kernel, zoo.tensors(path), length, wanted.seed), lines
    else:
        kernel, items = kernels.kernel(device), wanted.items or IMAGES
        images = samples.pictures(kernel, zoo.tensors(path), items, SIDE, wanted.seed)
    return media.build(api.from_array(samples.grid(images))), lines
