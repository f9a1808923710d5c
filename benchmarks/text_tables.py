"""The results of `benchmarks.text` as tables for people."""

import math

from benchmarks import tables
from benchmarks.tables import Part, Sections, ratio, table

REFERENCE = "zpaq -m5"
OURS = "bfncodec"  # how the names of its rows begin
_KEPT = "Whole files, decoded and compared; bfncodec with `--no-verify`."
_TIMES = (
    "kB/s (1000 bytes) are of whole processes, start-up included, one after the other; MiB is the largest peak memory. "
    "The last columns: the bytes that an empty file makes, a fixed cost that matters for small files (zpaq's is the "
    "largest), and the bits per byte without it."
)


def render(results: dict[str, Part]) -> str:
    """All parts as Markdown."""
    return tables.render("text", _SECTIONS, results)


def _speed_of(size: float, seconds: float) -> str:
    """In kB/s."""
    return f"{size / 1000 / seconds:.2f}" if seconds else "-"


def _comparison(part: Part) -> str:
    """One line a codec, over all files; none for codecs that failed on one."""
    codecs = {name: one for name, one in part["codecs"].items() if None not in one["bytes"]}
    size = sum(part["sizes"])
    against = sum(codecs[REFERENCE]["bytes"]) if REFERENCE in codecs else None
    rows = []
    for name, one in codecs.items():
        coded = sum(one["bytes"])
        speeds = [_speed_of(size, sum(one[f"{side}_seconds"])) for side in ("encode", "decode")]
        peaks = [f"{max(one[f'{side}_peak']) / 2**20:.0f}" for side in ("encode", "decode")]
        fixed = ["-", "-"]
        if one["empty"] is not None:
            fixed = [f"{one['empty']:,}", f"{8 * (coded - one['empty'] * len(one['bytes'])) / size:.4f}"]
        rows.append([name, f"{coded:,}", f"{8 * coded / size:.4f}", ratio(coded, against), *speeds, *peaks, *fixed])
    head = ["codec", "bytes", "bits per byte", f"ratio to {REFERENCE}"]
    head += ["encode kB/s", "decode kB/s", "encode MiB", "decode MiB", "empty file", "bits per byte without"]
    return table(head, rows)


def _file_rows(part: Part) -> list[tuple[str, int, list[int | None]]]:
    """Name, size and bytes by codec of every file, and of every folder of several files."""
    columns = [one["bytes"] for one in part["codecs"].values()]
    rows = [
        (name, part["sizes"][number], [column[number] for column in columns])
        for number, name in enumerate(part["files"])
    ]
    folders: dict[str, list[tuple[str, int, list[int | None]]]] = {}
    for row in rows:
        folders.setdefault(row[0].rpartition("/")[0], []).append(row)
    for folder, under in folders.items():
        if folder and len(under) > 1:
            sums = [None if None in of else sum(of) for of in zip(*(row[2] for row in under), strict=True)]
            rows.append((f"all of {folder}/", sum(row[1] for row in under), sums))
    return rows


def _files(part: Part) -> list[str]:
    """One line a file: bytes by codec, the best peer, and what bfncodec makes of it against that."""
    names = list(part["codecs"])
    rows, ratios = [], []
    for file, size, coded in _file_rows(part):
        done = {name: value for name, value in zip(names, coded, strict=True) if value is not None}
        best = min((name for name in done if not name.startswith(OURS)), key=done.__getitem__, default=None)
        mine = next((value for name, value in done.items() if name.startswith(OURS)), None)
        shown = ["failed" if value is None else f"{value:,}" for value in coded]
        rows.append([file, f"{size:,}", *shown, best or "-", ratio(mine, done[best] if best else None)])
        if best and mine is not None and file in part["files"]:
            ratios.append(mine / done[best])
    lines = [table(["file", "size", *names, "best peer", f"{OURS} / best peer"], rows)]
    if ratios:
        smallest = sum(value < 1 for value in ratios)
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        lines.insert(
            0,
            f"bfncodec's file is smaller than the best peer's for {smallest} of {len(ratios)} files; the geometric "
            f"mean of the ratios is {mean:.4f} (the best peer is chosen anew for each file).",
        )
    return lines


def _corpus(part: Part) -> list[str]:
    return [f"{len(part['files'])} files. {_KEPT} {_TIMES}", _comparison(part), "Bytes of each file:", *_files(part)]


def _slices(part: Part) -> list[str]:
    count = f"{len(part['files'])} slices of {part['sizes'][0]:,} bytes of enwik8, each a file of its own, from byte "
    places = [name.partition("+")[0] for name in part["files"]]
    return [f"{count}{int(places[0]):,} to byte {int(places[-1]):,}. {_KEPT} {_TIMES}", _comparison(part)]


def _large(part: Part) -> list[str]:
    codecs = part["codecs"]
    rows = []
    for number, size in enumerate(part["sizes"]):
        against = codecs[REFERENCE]["bytes"][number] if REFERENCE in codecs else None
        for name, one in codecs.items():
            coded, seconds = one["bytes"][number], [one[f"{side}_seconds"][number] for side in ("encode", "decode")]
            shown = ["failed", "-"] if coded is None else [f"{coded:,}", f"{8 * coded / size:.4f}"]
            speeds = ["-" if value is None else _speed_of(size, value) for value in seconds]
            rows.append([f"{size:,} bytes, {name}", *shown, ratio(coded, against), *speeds])
    head = ["", "bytes", "bits per byte", f"ratio to {REFERENCE}", "encode kB/s", "decode kB/s"]
    return [f"enwik8 from byte 94,000,000 on. {_KEPT} kB/s include the start.", table(head, rows)]


def _speed(part: Part) -> list[str]:
    size = part["size"]
    rows = []
    for name, one in part["rows"].items():
        seconds = [one["encode_seconds"], one["decode_seconds"]]
        speeds = [_speed_of(size, value) for value in seconds]
        rows.append([name, f"{one['bytes']:,}", *speeds, *(f"{value:.3f}" for value in seconds)])
    return [
        f"The first {size:,} bytes of alice29.txt, median of {part['repeats']}. In process: `bfncodec.encode(data)` "
        "and `bfncodec.decode(blob)` after a warm-up on a small text; commands: whole processes, start-up included, "
        "bfncodec with `--no-verify`.",
        table(["", "bytes", "encode kB/s", "decode kB/s", "encode s", "decode s"], rows),
    ]


_SECTIONS: Sections = {
    "canterbury": ("Canterbury, Calgary and their like", _corpus),
    "enwik_small": ("enwik8, slices of 10,000 bytes", _slices),
    "enwik_medium": ("enwik8, slices of 100,000 bytes", _slices),
    "enwik_large": ("enwik8, large slices", _large),
    "heldout": ("Held-out texts", _corpus),
    "speed": ("Speed", _speed),
}
