"""The results of `benchmarks.images` as tables for people."""

from pathlib import Path

from benchmarks import tables
from benchmarks.tables import Part, Sections, ratio, table

REFERENCE = "cjxl -d 0 -e 9"
PAQ8PX = {  # bytes
    "1025469": 187_298,
    "1044329": 258_278,
    "1189261": 260_085,
    "1420710": 378_085,
    "1624487": 237_693,
    "2079234": 184_980,
    "225228": 187_460,
    "3156482": 190_617,
}


def render(results: dict[str, Part]) -> str:
    """All parts as Markdown."""
    return tables.render("images", _SECTIONS, results)


def _rate(size: float, subpixels: float) -> float:
    """Bits per subpixel."""
    return 8 * size / subpixels


def _mean(values: list[float], form: str = "{:.2f}") -> str:
    return form.format(sum(values) / len(values)) if values else "-"


def _comparison(part: Part, reference: str) -> str:
    """One line a codec, over all images."""
    codecs = part["codecs"]
    against = sum(codecs[reference]["bytes"]) if reference in codecs else None
    rows = []
    for name, one in codecs.items():
        size = sum(one["bytes"])
        rows.append(
            [
                name,
                f"{size:,}",
                f"{_rate(size, sum(part['subpixels'])):.4f}",
                ratio(size, against),
                _mean(one["encode_seconds"]),
                _mean(one["decode_seconds"]),
                _mean([peak / 2**20 for peak in one["encode_peak"]], "{:.0f}"),
                _mean([peak / 2**20 for peak in one["decode_peak"]], "{:.0f}"),
            ]
        )
    head = ["codec", "bytes", "bits per subpixel", f"ratio to {reference}"]
    return table(head + ["encode s", "decode s", "encode MiB", "decode MiB"], rows)


def _kodak(part: Part) -> list[str]:
    codecs = part["codecs"]
    ours = [name for name in codecs if name.startswith("bfncodec")]
    head = ["image", *codecs]
    for name in ours:
        head += [f"{name} / {REFERENCE}", f"{name} encode s", f"{name} decode s"]
    rows = []
    for number, image in enumerate(part["images"]):
        row = [image] + [f"{_rate(one['bytes'][number], part['subpixels'][number]):.4f}" for one in codecs.values()]
        reference = codecs[REFERENCE]["bytes"][number] if REFERENCE in codecs else None
        for name in ours:
            one = codecs[name]
            row.append(ratio(one["bytes"][number], reference))
            row += [f"{one['encode_seconds'][number]:.2f}", f"{one['decode_seconds'][number]:.2f}"]
        rows.append(row)
    return [
        f"{len(part['images'])} images, whole files, decoded and compared; bfncodec with `--no-verify`. "
        "Seconds (start-up included) and peak memory are means over the images.",
        _comparison(part, REFERENCE),
        "Bits per subpixel, and bfncodec's ratio and times, of each image:",
        table(head, rows),
    ]


def _cid22(part: Part) -> list[str]:
    known = [PAQ8PX[Path(image).stem] for image in part["images"]]
    total = sum(part["codecs"]["bfncodec default"]["bytes"])
    return [
        *_kodak(part),
        f"paq8px v216 -8 (as 24-bit BMP; an earlier run, on another machine) needs {sum(known):,} bytes for them; "
        f"bfncodec {total / sum(known):.4f} times that.",
    ]


def _cifar(part: Part) -> list[str]:
    def seconds(value: float | None) -> str:
        return "-" if value is None else f"{value:.1f}"

    rows = [
        [
            name,
            str(row["images"]),
            f"{row['bytes']:,}",
            f"{row['bits_per_subpixel']:.4f}",
            seconds(row["encode_seconds"]),
            seconds(row["decode_seconds"]),
        ]
        for name, row in part["rows"].items()
    ]
    return [
        "The first test images as PNG files; whole files (names in the archive included), decoded and compared. "
        "Seconds for all images: the archive by the command, one file each by the Python API in one process, "
        "cjxl by a process each.",
        table(["", "images", "bytes", "bits per subpixel", "encode s", "decode s"], rows),
    ]


def _speed(part: Part) -> list[str]:
    rows = [[name, f"{seconds:.2f}"] for name, seconds in part["seconds"].items()]
    return [
        f"{part['image']}, 768x512; whole processes, start-up included, median of {part['repeats']}; "
        "bfncodec encodes with `--no-verify`.",
        table(["command", "seconds"], rows),
    ]


def _large(part: Part) -> list[str]:
    return [
        f"{part['width']}x{part['height']} pixels: the centres of {part['tiles']} files of photos/ side by side. "
        "Some are graphics, and all may be training images, so the size says less than the time and the peak memory. "
        "bfncodec encodes with `--no-verify`.",
        _comparison(part, "cjxl -d 0 -e 7"),
    ]


def _theory(part: Part) -> list[str]:
    names = {"noisy": "groups with noisy steps", "exact": "groups without", "whole": "whole payload"}
    rows = []
    for effort, sums in part["efforts"].items():
        for kind, one in sums.items():
            bits = [one["payload"], one["n_step_loss"], one["path_loss"]]
            ratios = [f"{bits[0] / loss:.6f}" if loss else "-" for loss in bits[1:]]
            rows.append([f"{effort}, {names[kind]}", *(f"{value:,.0f}" for value in bits), *ratios])
    return [
        f"Bits over {part['images']} images, headers left out. n-step loss: KL of sender and receiver along the "
        "path, plus reconstruction (arXiv:2308.07037); path loss: the cost of the noise really drawn, plus "
        "reconstruction. The whole payload is in bytes as written; the other two are what the coder's stack loses.",
        table(["", "payload", "n-step loss", "path loss", "payload / n-step", "payload / path"], rows),
    ]


_SECTIONS: Sections = {
    "kodak": ("Kodak", _kodak),
    "max": ("Kodak, effort max", _kodak),
    "cid22": ("CID22, photographs that are never trained on", _cid22),
    "jpeg": ("Decoded JPEGs", _kodak),
    "cifar": ("CIFAR-10", _cifar),
    "speed": ("Speed", _speed),
    "large": ("A large photograph", _large),
    "theory": ("Payload and theory", _theory),
}
