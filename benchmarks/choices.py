"""What the design's choices cost: noisy steps of the thumbnail and of the lattice, learning, base.

`python -m benchmarks.choices --data DIR --skip FILE` measures on photographs held out from training
and writes benchmarks/results/choices.md. Kodak is not touched.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bfncodec.coding import protocol
from bfncodec.coding.ans import Coder
from bfncodec.coding.ledger import Ledger
from bfncodec.flow.schedule import Group
from bfncodec.models import zoo
from bfncodec.models.image import coefficients as coefficients_image
from bfncodec.models.image import learning_heads, streams
from bfncodec.models.image.lattice import LatticeSource
from bfncodec.models.image.passes import STRIDE
from bfncodec.models.image.wavefront import WavefrontSource
from bfncodec.train.image.photographs import HELD_OUT, load_folder

Planes = np.ndarray


def held_out(folder: Path, skip: frozenset[str]) -> list[Planes]:
    """Crops up to 256 x 384 of every second photograph that training leaves out, [1, H, W, 3] as G, R, B."""
    images = [image for image in load_folder(folder, skip) if min(image.shape[:2]) >= 128]
    return [np.ascontiguousarray(image[None, :256, :384]) for image in images[:: 2 * HELD_OUT]]


def rate(crops: list[Planes], size: Callable[[Planes], int]) -> float:
    """Bits per subpixel of sizes in bytes."""
    return 8 * sum(map(size, crops)) / sum(crop.size for crop in crops)


def pushed(model: WavefrontSource | LatticeSource) -> tuple[int, Ledger]:
    """Bytes of a model's stream, and its ledger."""
    coder, ledger = Coder(), Ledger()
    protocol.encode(coder, model, ledger)
    return len(coder.data()), ledger


def thumbnail_rows(crops: list[Planes]) -> list[str]:
    """Cost of the thumbnail for n noisy steps, beside the cost of as many other pixels."""
    nets = streams.networks(zoo.find("photo"), "bytes")
    rows = []
    for steps in (0, 2, 4, 8):
        bits = values = rest = others = 0.0
        for crop in crops:
            model = WavefrontSource(nets, crop, nets.coefficients)
            model.groups[0] = Group(model.groups[0].size, model.groups[0].steps[:steps])
            ledger = pushed(model)[1]
            first = ledger.groups[0]
            bits += sum(first.path) + first.reconstruction
            values += model.groups[0].size
            rest += ledger.path_loss - sum(first.path) - first.reconstruction
            others += crop.size - model.groups[0].size
        extra = (bits / values - rest / others) * values / (bits + rest)
        rows.append(f"| {steps} | {bits / values:.3f} | {rest / others:.3f} | {extra:+.2%} |")
    return rows


def lattice_rows(crops: list[Planes]) -> list[str]:
    """Size of the lattice schedule for n noisy steps in the first channel of the coarse levels."""
    nets = streams.networks(zoo.find("photo"), "bytes")
    rows = []
    for levels in ((3,), (3, 2)):
        for steps in (0, 2, 8):
            calls = 0

            def size(crop: Planes, levels: tuple[int, ...] = levels, steps: int = steps) -> int:
                nonlocal calls
                model = LatticeSource(nets, crop)
                noise = model.groups[0].steps[:steps]
                for number, target in enumerate(model.targets):
                    if target.level in levels and target.channels == (0,):
                        model.groups[number] = Group(model.groups[number].size, noise)
                calls = sum(1 + len(group.steps) for group in model.groups)
                return pushed(model)[0]

            bits = rate(crops, size)
            rows.append(f"| {', '.join(map(str, levels))} | {steps} | {calls} | {bits:.4f} |")
    return rows


def learning_rows(crops: list[Planes]) -> list[str]:
    """Size of the wavefront schedule with and without learning heads and with a fitted base."""
    nets = streams.networks(zoo.find("photo"), "bytes")
    rows = []
    never = 1 << 60
    for name, pixels, fitted in (
        ("model's base, heads fixed", never, False),
        ("image's base, heads fixed", never, True),
        ("model's base, heads learn", 1024, False),
        ("image's base, heads learn every 1024 pixels", 1024, True),
        ("the same, every 2048", 2048, True),
        ("the same, every 512", 512, True),
    ):
        learning_heads.LEARN_PIXELS = pixels

        def size(crop: Planes, fitted: bool = fitted) -> int:
            coefficients = coefficients_image.choose(crop, nets.coefficients) if fitted else nets.coefficients
            more = len(coefficients_image.pack(coefficients, nets.coefficients))
            return pushed(WavefrontSource(nets, crop, coefficients))[0] + more

        rows.append(f"| {name} | {rate(crops, size):.4f} |")
    learning_heads.LEARN_PIXELS = 1024
    return rows


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--skip", type=Path, required=True, help="the list that `bfncodec train` was given")
    arguments = parser.parse_args()
    skip = frozenset(arguments.skip.read_text().split("\n")) - {""}
    crops = held_out(arguments.data / "photos", skip)
    pixels = sum(crop.shape[1] * crop.shape[2] for crop in crops)
    text = [
        "# Choices, measured",
        "",
        f"`python -m benchmarks.choices --data DIR --skip FILE`: {len(crops)} crops ({pixels / 1e6:.2f} megapixels) of "
        f"photographs that training leaves out; model `photo` ({zoo.digest(zoo.find('photo')).hex()}).",
        "",
        f"## Noisy steps of the thumbnail (stride {STRIDE})",
        "",
        "| steps | thumbnail, bits a subpixel | other pixels | size of the file against no thumbnail |",
        "|---|---|---|---|",
        *thumbnail_rows(crops),
        "",
        "The last column charges the thumbnail what its pixels cost more than the average pixel.",
        "",
        "## Wavefront: base and learning",
        "",
        "| what | bits per subpixel |",
        "|---|---|",
        *learning_rows(crops),
        "",
        "## Lattice: noisy steps in the first channel (G) of coarse levels",
        "",
        "| levels | steps | network calls | bits per subpixel |",
        "|---|---|---|---|",
        *lattice_rows(crops),
        "",
    ]
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "choices.md").write_text("\n".join(text))


if __name__ == "__main__":
    main()
