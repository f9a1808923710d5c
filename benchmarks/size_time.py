"""Size against time of bfncodec and its peers, each at several settings, as JSON, tables and a plot.

    python -m benchmarks.size_time --data DIR

DIR holds kodak/*.png, canterbury/canterbury/alice29.txt and enwik8.bin. Every file that is counted
is decoded again and compared. Times are of whole processes, start-up included, one after the other.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from benchmarks import images, peers, tables, text
from benchmarks.command import command
from benchmarks.tables import Part

KODAK = ("kodim05.png", "kodim13.png", "kodim23.png")
ENWIK_BYTES = 200_000
WARM_UP = 128, 1000  # pixels of a side (smaller images do not learn), bytes
EFFORTS = ("lattice", "fast", "default", "max")  # of bfncodec, for images
IMAGE_PEERS = {
    "cjxl": tuple(map(peers.cjxl, (1, 3, 5, 7, 9))),
    "cwebp": tuple(map(peers.cwebp, (0, 6, 9))),
    "optipng": (peers.OPTIPNG,),
    "Pillow PNG": (peers.PILLOW,),
}
TEXT_PEERS = {
    "gzip": (peers.GZIP,),
    "zstd": (peers.zstd("-3"), peers.zstd("-19"), peers.zstd("--ultra", "-22")),
    "xz": (peers.xz("6"), peers.xz("9e")),
    "brotli": (peers.brotli(5), peers.brotli(11)),
    "bzip2": (peers.BZIP2,),
    "7z PPMd": (peers.PPMD,),
    "zpaq": tuple(map(peers.zpaq, (1, 3, 5))),
}
HEAD = """# Size against time

![Coded size against seconds, photographs and texts](size_time.png)

Whole files, decoded and compared; bfncodec with `--no-verify`. Seconds are of whole processes for the whole set,
start-up included, one after the other, each run once after a tiny run that is not counted. Every program uses as many
threads as it does by itself. optipng and Pillow write PNG files, whose decoding is not timed."""

FILLED: dict[str, Any] = {"marker": "o", "linestyle": "-", "markersize": 6}
HOLLOW: dict[str, Any] = {"marker": "o", "linestyle": ":", "markersize": 9, "markerfacecolor": "none"}  # seen around
MARKERS = "*osD^vP<X>"

Families = dict[str, tuple[peers.Codec, ...]]


@dataclass(frozen=True)
class Setting:
    """What one codec made of the whole set. Bits are per unit: a subpixel, a byte."""

    name: str
    size: int
    bits: float
    encode_seconds: float
    decode_seconds: float | None


def photographs(data: Path, limit: int | None) -> Part:
    """Kodak images."""
    families = {"bfncodec": tuple(map(peers.bfncodec, EFFORTS))} | IMAGE_PEERS
    files = [data / "kodak" / name for name in KODAK[:limit]]
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "warm-up.png"
        with Image.open(files[0]) as image:
            image.crop((0, 0, WARM_UP[0], WARM_UP[0])).save(small)
        part = measured(families, small, partial(images.compare, files), peers.same_pixels)
    return part | {"unit": "subpixel", "units": sum(part["subpixels"])}


def texts(data: Path, limit: int | None) -> Part:
    """A novel, and a slice of enwik8 after what training saw."""
    families = {"bfncodec": (peers.bfncodec(text.EFFORT),)} | TEXT_PEERS
    novel = text.alice(data)
    pieces: dict[str, text.Piece] = {
        novel.name: (novel, 0, None),
        f"{ENWIK_BYTES:,} bytes of enwik8": (data / "enwik8.bin", text.ENWIK_START, ENWIK_BYTES),
    }
    with tempfile.TemporaryDirectory() as folder:
        files = text.cut(dict(list(pieces.items())[:limit]), Path(folder))
        small = text.cut({"warm-up": (novel, 0, WARM_UP[1])}, Path(folder))["warm-up"]
        compare = partial(peers.compare, files, same=peers.same_bytes)
        part = measured(families, small, compare, peers.same_bytes)
    return part | {"unit": "byte", "units": sum(part["sizes"])}


def measured(
    families: Families, small: Path, compare: Callable[[tuple[peers.Codec, ...]], Part], same: peers.Same
) -> Part:
    """`compare` of all codecs after a small file, which compiles bfncodec's loops and fills the disk's cache.

    Versions are told once for each family.
    """
    codecs = tuple(codec for family in families.values() for codec in family)
    peers.compare({small.name: small}, codecs, same)
    part = compare(codecs)
    good, _ = peers.available(codecs)
    part["families"] = {name: [codec.name for codec in family] for name, family in families.items()}
    part["versions"] = [
        f"{name}: {peers.version(family[0]).partition(': ')[2]}"
        for name, family in families.items()
        if name != "bfncodec" and family[0] in good
    ]
    return part


def settings(part: Part) -> dict[str, list[Setting]]:
    """Every family's settings that coded the whole set; families without one are left out."""
    found: dict[str, list[Setting]] = {}
    for family, names in part["families"].items():
        for name in names:
            one = part["codecs"].get(name)
            if one is None or None in one["bytes"]:
                continue
            size = sum(one["bytes"])
            decoding = sum(one["decode_seconds"]) if one["decode_seconds"] else None
            made = Setting(name, size, 8 * size / part["units"], sum(one["encode_seconds"]), decoding)
            found.setdefault(family, []).append(made)
    return found


def draw_table(part: Part) -> list[str]:
    """What is in the set, and the table of all settings."""
    head = ["codec and setting", "bytes", f"bits per {part['unit']}", "encode s", "decode s"]
    lines = [
        [
            one.name,
            f"{one.size:,}",
            f"{one.bits:.4f}",
            f"{one.encode_seconds:.3f}",
            "-" if one.decode_seconds is None else f"{one.decode_seconds:.3f}",
        ]
        for family in settings(part).values()
        for one in family
    ]
    return [f"{contents(part)}: {part['units']:,} {part['unit']}s.", tables.table(head, lines)]


def contents(part: Part) -> str:
    """The names of the set's files."""
    return ", ".join(part.get("images") or part["files"])


def plot(results: dict[str, Part], path: Path) -> None:
    """A panel for each part, as wide together as a README: 1200 pixels."""
    figure = Figure(figsize=(10, 6), layout="constrained")
    panels = figure.subplots(1, len(results), squeeze=False)[0]
    for axes, (key, part) in zip(panels, results.items(), strict=True):
        draw_panel(axes, part)
        axes.set_title(f"{SECTIONS[key][0]}: {contents(part)}", fontsize=10)
    sides = [Line2D([], [], color="grey", label="encoding", **FILLED)]
    sides += [Line2D([], [], color="grey", label="decoding", **HOLLOW)]
    figure.legend(handles=sides, loc="outside upper center", ncols=2, frameon=False)
    figure.savefig(path, dpi=120)


def draw_panel(axes: Axes, part: Part) -> None:
    """Bits against seconds, a colour and a marker for each family; bfncodec's efforts are named beside their points."""
    for number, (family, found) in enumerate(settings(part).items()):
        ours = family == "bfncodec"
        scale = 2 if ours else 1
        for side, style in (("decode_seconds", HOLLOW), ("encode_seconds", FILLED)):
            points = [(seconds, one.bits) for one in found if (seconds := getattr(one, side))]
            if points:
                changed = {"marker": MARKERS[number], "markersize": scale * style["markersize"]}
                changed |= {"color": "black" if ours else f"C{number - 1}", "linewidth": 0.8 * scale}
                changed |= {"zorder": 2 + scale, "label": family if style is FILLED else None}
                axes.plot(*zip(*points, strict=True), **style | changed)
        for one in found if ours else ():
            place = {"xytext": (-9, -6), "textcoords": "offset points", "ha": "right", "va": "top", "zorder": 5}
            box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}
            label = one.name.removeprefix("bfncodec ")
            axes.annotate(label, (one.encode_seconds, one.bits), fontweight="bold", bbox=box, **place)
    axes.margins(0.08)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda seconds, _: f"{seconds:g}")
    axes.set_xlabel("seconds for the whole set")
    axes.set_ylabel(f"bits per {part['unit']} (less is better)")
    axes.grid(True, alpha=0.3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=4, frameon=False, columnspacing=1)


SECTIONS: tables.Sections = {"photographs": ("Photographs", draw_table), "texts": ("Texts", draw_table)}


def render(results: dict[str, Part]) -> str:
    """Markdown."""
    return tables.render("size_time", SECTIONS, results, HEAD)


main = command("size_time", __doc__, {"photographs": photographs, "texts": texts}, render, plot)


if __name__ == "__main__":
    main()
