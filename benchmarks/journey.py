"""Pictures for docs/how-it-works.md: one image's journey through groups, noisy steps and the stack.

    python -m benchmarks.journey PHOTO.png

A part of the photograph is encoded, then decoded while somebody watches.
"""

from pathlib import Path
from typing import Any

import click
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from bfncodec.blocks import image
from bfncodec.blocks import pictures as picture_blocks
from bfncodec.coding import protocol
from bfncodec.coding.ans import Coder
from bfncodec.flow.theta import Theta
from bfncodec.models import zoo
from bfncodec.models.image import streams
from bfncodec.models.image.passes import GRB, STRIDE
from bfncodec.picture import Layout, Origin, Picture
from bfncodec.presets import Choices

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
SHOWN = (1, 2, 4, 6, 8)  # noisy steps
FRACTIONS = (0.25, 0.5, 0.75, 1.0)  # of the diagonals


class Watched:
    """A decoding, and what was seen on the way."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        form = picture_blocks.encode([Picture(Origin.ARRAY, Layout.RGB, pixels)], Choices("cpu")).form
        assert isinstance(form, image.Image)
        part = form.passes[0]
        nets = streams.networks(zoo.find_hash(form.model), "bytes")
        model: Any = streams._sink(nets, part, (1, *pixels.shape), form.schedule)
        self.coder = Coder(bytes(part.stream))
        self.means: list[NDArray[np.uint8]] = []
        self.images: list[NDArray[np.uint8]] = []
        self.levels = [self.coder.bits]  # of the stack, after every network call
        self.marks: list[int] = []  # calls at which an image was taken
        stops = [round(fraction * (len(model.groups) - 1)) for fraction in FRACTIONS]
        output, reveal = model.output, model.reveal

        def watched_output(span: range, theta: Any) -> Any:
            if span[0] == 0 and isinstance(theta, Theta):
                # Means of three planes (G, R, B) in 1/16 level.
                planes = theta.means().reshape(3, *model.thumbnail_shape[1:]) / 16
                if theta.steps:
                    self.means.append(planes[GRB].transpose(1, 2, 0).clip(0, 255).astype(np.uint8))
            self.levels.append(self.coder.bits)
            return output(span, theta)

        def watched_reveal(group: int, values: Any) -> None:
            reveal(group, values)
            if group == 0:
                self.thumbnail = model.thumbnails()[0][..., GRB]
            if group in stops:
                self.images.append(model.images()[0][..., GRB])
                self.marks.append(len(self.levels) - 1)

        model.output, model.reveal = watched_output, watched_reveal
        protocol.decode(self.coder, model, streams._silent(part.silent, model))
        self.levels.append(self.coder.bits)
        self.variables = model.groups[0].size


def steps(path: Path, seen: Watched, size: tuple[int, int]) -> None:
    """What the receiver knows of the thumbnail after noisy steps, and the thumbnail."""
    figure = Figure(figsize=(12, 1.7), layout="constrained")
    shown = [(f"after noisy view {step}", seen.means[step - 1]) for step in SHOWN]
    for axes, (title, picture) in zip(figure.subplots(1, 6), [*shown, ("sent exactly", seen.thumbnail)], strict=True):
        axes.imshow(picture, interpolation="nearest", extent=(0, size[1], size[0], 0))
        axes.set_title(title, fontsize="medium")
        axes.set_axis_off()
    figure.savefig(path, dpi=100)


def diagonals(path: Path, seen: Watched) -> None:
    """The image while its diagonals arrive."""
    figure = Figure(figsize=(12, 2.3), layout="constrained")
    for axes, fraction, picture in zip(figure.subplots(1, 4), FRACTIONS, seen.images, strict=True):
        known = picture.copy()
        height, width, _ = known.shape
        y, x = np.indices((height, width))
        last = fraction * (width - 1 + 4 * (height - 1))
        hidden = (x + 4 * y > last) & ((x % STRIDE > 0) | (y % STRIDE > 0))
        known[hidden] = 255
        axes.imshow(known, interpolation="nearest")
        axes.set_title(f"{fraction:.0%} of the diagonals", fontsize="medium")
        axes.set_axis_off()
    figure.savefig(path, dpi=100)


def stack(path: Path, seen: Watched) -> None:
    """Bytes on the stack from call to call: the noise goes back on it."""
    figure = Figure(figsize=(12, 3.2), layout="constrained")
    whole, start = figure.subplots(1, 2)
    levels = np.array(seen.levels) / 8
    whole.plot(levels, color="#fc8d62")
    whole.set_title("Bytes on the stack while the image is decoded")
    whole.set_xlabel("network call")
    whole.set_ylabel("bytes")
    whole.set_ylim(0)
    views = len(seen.means) + 2
    start.plot(levels[: views + 3] - levels[0], "o-", color="#fc8d62")
    start.axvline(views, color="#999999", linestyle=":")
    start.annotate(
        "thumbnail known:\nits noise is put back", (views, levels[views + 1] - levels[0]),
        xytext=(-120, -30), textcoords="offset points", arrowprops={"arrowstyle": "->"},
    )  # fmt: skip
    start.set_title(f"The first calls: {seen.variables} values through eight noisy views")
    start.set_xlabel("network call")
    start.set_ylabel("bytes, from the start")
    figure.savefig(path, dpi=100)


@click.command(help=__doc__)
@click.argument("photo", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--box", nargs=4, type=int, default=(330, 120, 714, 376), show_default=True, help="Left, top, right, bottom."
)
def main(photo: Path, box: tuple[int, int, int, int]) -> None:
    """Write the pictures."""
    PICTURES.mkdir(exist_ok=True)
    with Image.open(photo) as whole:
        pixels = np.asarray(whole.convert("RGB").crop(box))
    seen = Watched(pixels)
    steps(PICTURES / "noisy-views.png", seen, pixels.shape[:2])
    diagonals(PICTURES / "diagonals.png", seen)
    stack(PICTURES / "stack.png", seen)


if __name__ == "__main__":
    main()
