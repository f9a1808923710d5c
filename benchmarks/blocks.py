"""Texts in blocks: what a noisy step buys, over block lengths B and steps n.

    python -m benchmarks.blocks --data DIR --models DIR

The models folder holds text models with block networks of several B, each trained for the
same time (`bfncodec train blocks --block B`). Sizes are payloads of the first bytes of
canterbury's alice29.txt and of a slice of enwik8 that no model has seen, decoded again and
compared; seconds are of coding alone. B = 1 is the autoregressive limit of the same network.
"""

import json
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from bfncodec.coding import protocol
from bfncodec.coding.ans import Coder
from bfncodec.coding.ledger import Ledger
from bfncodec.exact import kernels
from bfncodec.models import zoo
from bfncodec.models.text import blockwise

STEPS = (0, 1, 2, 4, 8)
SIZE = 25_000
ENWIK_START = 96_000_000
LANES = 16
QUIET = 640  # of a lane's bytes: enough for eight steps of B = 8


def measure(network: blockwise.BlockNetwork, text: np.ndarray[Any, Any], steps: int) -> dict[str, float]:
    """Bits, losses, seconds and network calls of one text."""
    lanes = LANES
    quiet = QUIET if network.block > 1 else 0
    start = time.perf_counter()
    coder, ledger = Coder(), Ledger()
    silent = protocol.encode(coder, blockwise.Blockwise(network, len(text), lanes, steps, quiet, text), ledger)
    encoded = time.perf_counter()
    model = blockwise.Blockwise(network, len(text), lanes, steps, quiet)
    protocol.decode(Coder(coder.data()), model, silent)
    decoded = time.perf_counter()
    if not np.array_equal(model.data, text):
        raise RuntimeError("the text did not come back")
    blocks = [entry for entry, places in zip(ledger.groups, model.places, strict=True) if len(places) == network.block]
    return {
        "bits": 8 * len(coder.data()),
        "block_bytes": lanes * sum(len(places) for places in model.places if len(places) == network.block),
        "block_bits": sum(sum(entry.divergence) + entry.reconstruction for entry in blocks),
        "path_loss": ledger.path_loss,
        "n_step_loss": ledger.n_step_loss,
        "encode_s": encoded - start,
        "decode_s": decoded - encoded,
        "calls": sum(len(group.steps) + 1 for group in model.groups),
    }


def texts(data: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The texts by name."""
    alice = np.fromfile(data / "canterbury" / "canterbury" / "alice29.txt", np.uint8)[:SIZE]
    enwik = np.array(np.memmap(data / "enwik8.bin", np.uint8, "r")[ENWIK_START : ENWIK_START + SIZE])
    return {"alice29.txt": alice, "enwik8": enwik}


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "# Texts in blocks",
        "",
        "Made by `python -m benchmarks.blocks`; the same numbers are in `blocks.json`, drawn in `blocks.png`.",
        "",
        f"The first {SIZE:,} bytes of alice29.txt and of enwik8 from {ENWIK_START:,} on: payload bits a byte of both",
        f"together, in {LANES} lanes; nothing is learnt inside the text. Every B has a network of its own, trained",
        f"for the same time on the same data; one network serves every n. The last {QUIET} bytes of every lane are",
        "sent one by one if B > 1: the third column is the n-step loss of the blocks alone. B = 1 is the",
        "autoregressive limit.",
        "",
        "| B | n | bits a byte in blocks | in all | calls a block | encode kB/s | decode kB/s | payload / loss |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        lines.append(
            f"| {row['block']} | {row['steps']} | {row['block_bits'] / row['block_bytes']:.3f} "
            f"| {row['bits'] / row['bytes']:.3f} | {row['steps'] + 1} "
            f"| {row['bytes'] / row['encode_s'] / 1e3:.0f} | {row['bytes'] / row['decode_s'] / 1e3:.0f} "
            f"| {row['bits'] / row['n_step_loss']:.4f} |"
        )
    return "\n".join(lines) + "\n"


def point(row: dict[str, Any]) -> tuple[float, float]:
    """Calls a byte and bits a byte of a row's blocks."""
    return (row["steps"] + 1) / row["block"], row["block_bits"] / row["block_bytes"]


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Bits a byte against network calls, a line for each B."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for block in sorted({row["block"] for row in rows}):
        part = [row for row in rows if row["block"] == block]
        axes.plot(*zip(*map(point, part), strict=True), "o-", label=f"B = {block}")
        for row in part if block > 1 else ():
            axes.annotate(
                f"n={row['steps']}",
                point(row),
                textcoords="offset points",
                xytext=(4, 4),
                fontsize=7,
            )
    axes.set_xscale("log")
    axes.set_xticks([0.125, 0.25, 0.5, 1, 2, 4], ["1/8", "1/4", "1/2", "1", "2", "4"])
    axes.minorticks_off()
    axes.set_xlabel("network calls a byte of a lane, (n + 1) / B")
    axes.set_ylabel("bits a byte in blocks")
    axes.set_title("What noisy steps buy: blocks of B bytes, n steps")
    axes.grid(True, alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--models", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--out", default=Path("benchmarks/results"), type=click.Path(path_type=Path))
def main(data: Path, models: Path, out: Path) -> None:
    """Measure every model of a folder that has a block network."""
    rows = []
    for path in sorted(models.glob("*.safetensors")):
        tensors = zoo.tensors(path)
        if "blocks.views" not in tensors:
            continue
        network = blockwise.BlockNetwork(kernels.kernel("bytes"), tensors)
        for steps in STEPS if network.block > 1 else (0,):
            row: dict[str, Any] = {"block": network.block, "steps": steps, "bytes": 0}
            for text in texts(data).values():
                row["bytes"] += len(text)
                for name, value in measure(network, text, steps).items():
                    row[name] = row.get(name, 0) + value
            rows.append(row)
            click.echo(f"B {network.block} n {steps}: {row['bits'] / row['bytes']:.3f} bits a byte", err=True)
    rows.sort(key=lambda row: (row["block"], row["steps"]))
    out.mkdir(parents=True, exist_ok=True)
    (out / "blocks.json").write_text(json.dumps(rows, indent=1) + "\n")
    (out / "blocks.md").write_text(table(rows))
    plot(rows, out / "blocks.png")


if __name__ == "__main__":
    main()
