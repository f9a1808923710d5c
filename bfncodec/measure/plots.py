"""Pictures of a measurement, for people who have not read the paper. Needs matplotlib (the extra `plot`)."""

from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import BfnError

THEORY, REAL, EXTRA = "#8da0cb", "#fc8d62", "#999999"
# Of what is decided of exact colours, and of coefficients.
PARTS = {
    "candidates": "#a6d854",
    "samples": "#e5c494",
    "pixels": "#e5c494",
    "stretches": "#a6d854",
    "levels": "#ffd92f",
    "numbers of luma": "#a1d99b",
    "insides of luma": "#74c476",
    "edges of luma": "#31a354",
    "DC of luma": "#006d2c",
    "numbers of colours": "#dadaeb",
    "insides of colours": "#bcbddc",
    "edges of colours": "#9e9ac8",
    "DC of colours": "#756bb1",
}


def need() -> Any:
    """matplotlib's Figure; BfnError where it is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BfnError("--plot needs matplotlib: pip install 'bfncodec[plot]'") from error
    return Figure


def draw(file: IO[bytes], form: str, account: dict[str, Any], bits: NDArray[np.float64] | None) -> None:
    """Draw one file's account: bars, the cost as it adds up, and for an image where its bits went.

    form: "png", "svg" or "pdf". bits: of every pixel [height, width], or None.
    """
    columns = 2 if bits is None else 3
    figure = need()(figsize=(5 * columns, 4.2), layout="constrained")
    axes = figure.subplots(1, columns)
    _bars(axes[0], account)
    _curve(axes[1], account)
    if bits is not None:
        _map(axes[2], bits)
    name = Path(account["file"]).name.encode("utf-8", "replace").decode()
    title = f"{name}: {account['input_bytes']:,} bytes, coded in {account['file_bytes']:,}"
    figure.suptitle(title, parse_math=False)
    figure.savefig(file, format=form, dpi=110)


def _bars(axes: Any, account: dict[str, Any]) -> None:
    groups = account["groups"]
    steps = [step for group in groups for step in group["steps"]]
    shares: dict[str, float] = {}
    for group in groups:
        for name, bits in group.get("parts", {}).items():
            shares[name] = shares.get(name, 0.0) + bits
    whole = _sum(groups, "reconstruction_bits") - sum(shares.values())
    parts = [
        ("noisy views", "#66c2a5", _sum(steps, "theory_bits"), _sum(steps, "spent_bits")),
        *((name, PARTS.get(name, EXTRA), bits, 0.0) for name, bits in shares.items()),
        ("the data itself", THEORY, whole, _sum(groups, "reconstruction_spent_bits")),
        ("all of it, without a model", THEORY, 0, 0 if groups else account["payload_bits"]),
        ("seed for the first noise", "#e78ac3", 0, account["seed_bits"]),
        ("header, checksum, coefficients", EXTRA, 0, 8 * (account["header_bytes"] + account["side_bytes"])),
    ]
    bottom = [0.0, 0.0]
    for label, colour, theory, real in parts:
        if theory > 0 or real > 0:
            axes.bar(["theory", "file"], [theory / 8, real / 8], bottom=bottom, color=colour, label=label, width=0.6)
            bottom = [bottom[0] + theory / 8, bottom[1] + real / 8]
    axes.set_ylabel("bytes")
    axes.set_title("What the file is made of")
    lines = sum(theory > 0 or real > 0 for _, _, theory, real in parts)
    axes.set_ylim(0, max(bottom) * (1.2 + 0.04 * lines))
    axes.legend(loc="upper center", fontsize="small", framealpha=0.9, ncols=2 if lines > 6 else 1)


def _sum(entries: list[dict[str, Any]], key: str) -> float:
    return float(sum(entry[key] for entry in entries))


def _curve(axes: Any, account: dict[str, Any]) -> None:
    """Cost added up in decoding order; groups of equal schedules (items) are added step by step."""
    costs = [_costs(group) for group in account["groups"]]
    lengths = set(map(len, costs))
    if len(costs) > 1 and len(lengths) == 1 and lengths != {1}:
        pairs = np.sum(costs, axis=0).tolist()
        label = f"noisy step of all {len(costs)} groups; the last point is the data"
    else:
        pairs = [pair for group in costs for pair in group]
        label = "noisy steps and groups of pixels or bytes, in decoding order"
    theory, real = np.cumsum([(0.0, 0.0), *pairs], axis=0).T / 8
    axes.plot(theory, color=THEORY, linewidth=5, label="theory: the loss")
    axes.plot(real, color=REAL, linewidth=1.5, label="real: bytes on the coder's stack")
    axes.set_xlabel(label)
    axes.set_ylabel("bytes so far")
    axes.set_title("Cost as it adds up")
    axes.legend(loc="best", fontsize="small")


def _costs(group: dict[str, Any]) -> list[tuple[float, float]]:
    steps = [(step["theory_bits"], float(step["spent_bits"])) for step in group["steps"]]
    return [*steps, (group["reconstruction_bits"], float(group["reconstruction_spent_bits"]))]


def _map(axes: Any, bits: NDArray[np.float64]) -> None:
    shown = axes.imshow(bits, cmap="magma", vmin=0, vmax=float(np.quantile(bits, 0.995)), interpolation="nearest")
    axes.set_title("Where the bits went (bits a pixel)")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.figure.colorbar(shown, ax=axes, shrink=0.75)
