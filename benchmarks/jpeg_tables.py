"""The results of `benchmarks.jpeg` as tables for people."""

from typing import Any

from benchmarks import tables
from benchmarks.tables import Part, Sections, ratio, table

_ABOUT = (
    "# JPEG files\n\nBytes of whole files, decoded again and equal to the last byte. kB/s (1000 bytes of the original) "
    "are of whole processes, start-up included, one after the other; bfncodec with `--no-verify`."
)


def render(results: dict[str, Part]) -> str:
    """All parts as Markdown."""
    return tables.render("jpeg", _SECTIONS, results, _ABOUT)


def _comparison(part: Part) -> list[str]:
    """A line a codec, and a line a setting."""
    sizes, rows = part["sizes"], []
    for name, one in part["codecs"].items():
        kept = [number for number, size in enumerate(one["bytes"]) if size is not None]
        total = sum(sizes[number] for number in kept)
        rows.append(
            [
                name,
                str(len(kept)),
                f"{total:,}",
                f"{sum(one['bytes'][number] for number in kept):,}",
                ratio(sum(one["bytes"][number] for number in kept), total),
                *(_rate(one, side, kept, total) for side in ("encode", "decode")),
                *(_peak(one, side, kept) for side in ("encode", "decode")),
            ]
        )
    head = ["codec", "files", "bytes", "coded", "ratio", "encode kB/s", "decode kB/s", "encode MiB", "decode MiB"]
    return [table(head, rows), _settings(part)]


def _rate(one: dict[str, Any], side: str, kept: list[int], total: int) -> str:
    seconds = sum(one[f"{side}_seconds"][number] for number in kept)
    return f"{total / 1000 / seconds:,.0f}" if seconds else "-"


def _peak(one: dict[str, Any], side: str, kept: list[int]) -> str:
    return f"{max((one[f'{side}_peak'][number] for number in kept), default=0) / 2**20:.0f}"


def _settings(part: Part) -> str:
    names = list(part["codecs"])
    rows = []
    for setting in dict.fromkeys(part["settings"]):
        numbers = [number for number, one in enumerate(part["settings"]) if one == setting]
        row = [setting, f"{sum(part['sizes'][number] for number in numbers):,}"]
        for name in names:
            known = [number for number in numbers if part["codecs"][name]["bytes"][number] is not None]
            whole = sum(part["sizes"][number] for number in known)
            row.append(ratio(sum(part["codecs"][name]["bytes"][number] for number in known), whole))
        rows.append(row)
    return table(["files", "bytes", *names], rows)


def _times(part: Part) -> list[str]:
    """Seconds a megabyte of files that are coded as bytes."""
    ((_, one),) = part["codecs"].items()
    columns = zip(part["files"], part["sizes"], one["bytes"], one["encode_seconds"], strict=True)
    rows = [[name, f"{size:,}", f"{coded:,}", f"{seconds:.2f}"] for name, size, coded, seconds in columns]
    return [table(["file", "bytes", "coded", "encode s"], rows)]


_SECTIONS: Sections = {
    "baseline": ("Kodak and CID22, baseline, usual tables", _comparison),
    "optimised": ("Kodak and CID22, baseline, optimised tables", _comparison),
    "progressive": ("Kodak and CID22, progressive", _comparison),
    "real": ("Files that people made", _comparison),
    "large": ("A large one", _comparison),
    "hopeless": ("Files that cannot be modelled", _times),
}
