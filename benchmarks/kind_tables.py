"""The results of `benchmarks.kinds` as tables for people."""

from benchmarks import tables
from benchmarks.tables import Part, Sections, ratio, table

OURS, REFERENCE = "bfncodec", "cjxl -d 0 -e 9"
_ABOUT = (
    "Bytes of whole files, decoded and compared. *smallest*: the smallest of the peers, file by file. A dash: the peer "
    "does not keep the file's colours. xz gets the unfiltered rows (of JPEGs and animations: the file)."
)


def render(results: dict[str, Part]) -> str:
    """All parts as Markdown, below the totals of both folders of kinds."""
    kinds = [results[name] for name in ("train", "evaluate") if name in results]
    head = "# Kinds of image"
    if kinds:
        head += f"\n\n{_ABOUT}\n\n{_totals([row for part in kinds for row in _rows(part)])}"
    return tables.render("kinds", _SECTIONS, results, head)


class _Row:
    """One file: its kind, and bytes and CPU seconds by codec."""

    def __init__(self, part: Part, number: int) -> None:
        self.name, self.size = part["files"][number], part["sizes"][number]
        self.kind = self.name.partition("--")[0] if "--" in self.name else "PngSuite"
        self.bytes = {name: one["bytes"][number] for name, one in part["codecs"].items()}
        self.cpu = {
            name: (one["encode_cpu"][number], one["decode_cpu"][number]) for name, one in part["codecs"].items()
        }
        kept = [(size, name) for name, size in self.bytes.items() if name != OURS and size]
        self.best, self.by = min(kept) if kept else (None, "-")


def _rows(part: Part) -> list[_Row]:
    return [_Row(part, number) for number in range(len(part["files"]))]


def _totals(rows: list[_Row]) -> str:
    """A line a kind, and one for all; files that a codec lacks are left out of its sums."""
    kinds = sorted({row.kind for row in rows})
    lines = [_total(kind, [row for row in rows if row.kind == kind]) for kind in kinds]
    if len(kinds) > 1:
        lines.append(_total("all", rows))
    return table(
        ["kind", "files", "bytes", OURS, "smallest", "ratio", "worst", "encode s", "decode s", "cjxl -e 9 s"], lines
    )


def _total(name: str, rows: list[_Row]) -> list[str]:
    both = [row for row in rows if row.bytes[OURS] and row.best]
    ours, best = sum(row.bytes[OURS] for row in both), sum(row.best for row in both)
    worst = max((row.bytes[OURS] / row.best for row in both), default=0)
    encode, decode = (sum(row.cpu[OURS][side] or 0 for row in both) for side in (0, 1))
    peer = sum(row.cpu.get(REFERENCE, (0, 0))[0] or 0 for row in both)
    cells = [f"{number:,}" for number in (len(rows), sum(row.size for row in rows), ours, best)]
    return [name, *cells, ratio(ours, best), f"{worst:.2f}", *(f"{cpu:.1f}" for cpu in (encode, decode, peer))]


def _files(part: Part) -> list[str]:
    """The totals, then a line a file."""
    names = [name for name in part["codecs"] if name != OURS]
    lines = [
        [
            row.name,
            f"{row.size:,}",
            *(f"{row.bytes[name]:,}" if row.bytes[name] else "-" for name in [OURS, *names]),
            row.by,
            ratio(row.bytes[OURS], row.best),
            *(f"{cpu:.1f}" if cpu is not None else "-" for cpu in row.cpu[OURS]),
        ]
        for row in _rows(part)
    ]
    head = ["file", "bytes", OURS, *names, "smallest", "ratio", "encode s", "decode s"]
    return [_totals(_rows(part)), table(head, lines)]


_SECTIONS: Sections = {
    "train": ("kinds/train", _files),
    "evaluate": ("kinds/evaluate", _files),
    "pngsuite": ("PngSuite", _files),
}
