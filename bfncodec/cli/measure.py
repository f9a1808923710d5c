"""bfncodec measure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from bfncodec.cli import files, options, outputs
from bfncodec.cli.encode import EFFORTS, MEDIA

ROWS = 12  # groups shown one by one; more are summed step by step
SENDERS = ("gaussian", "dither", "categorical")


@click.command(short_help="Show theory and real bits, step by step.")
@click.argument("names", metavar="FILE...", nargs=-1, required=True)
@click.option("-m", "--model", metavar="MODEL", help="A model's name or .safetensors file.")
@click.option("--effort", type=click.Choice(EFFORTS), default="default", help="As for encode.")
@click.option("--media", type=click.Choice(MEDIA), default="auto", help="As for encode.")
@click.option("-n", "--steps", type=click.IntRange(1, 4096), default=50, help="Noisy steps (the paper's models).")
@click.option("--sender", type=click.Choice(SENDERS), default="gaussian", help="Sender (the paper's models).")
@click.option("--batch", type=click.IntRange(1), default=1, help="Items a group (the paper's models).")
@click.option("--paths", type=click.IntRange(1), default=2, help="Noise paths to average over.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw the costs (PNG, SVG or PDF).")
@click.option("--json", "table", type=click.Path(dir_okay=False, path_type=Path), help="Write all numbers.")
@click.option("-f", "--force", is_flag=True, help="Replace existing plots and tables.")
@options.compute
@options.loudness
def measure(
    names: tuple[str, ...],
    model: str | None,
    effort: str,
    media: str,
    steps: int,
    sender: str,
    batch: int,
    paths: int,
    plot: Path | None,
    table: Path | None,
    force: bool,
    threads: int,
    device: str,
    quiet: int,
    verbose: int,
    debug: bool,
) -> None:
    """Encode and decode each FILE, and account for every bit.

    \b
    For each group and noisy step: the theory, log2 p_S(y) / p_R(y) along
    the noise that was drawn and its expectation KL(p_S || p_R), and the bits
    that the stack really grew by (pushes less pops). Files for a model of the
    paper's kind are arrays (.npy) of its symbols, or texts.
    """
    messages = files.Messages(1 - quiet + verbose)
    options.set_threads(threads)
    if plot is not None and plot.suffix not in (".png", ".svg", ".pdf"):
        raise click.UsageError("--plot writes .png, .svg or .pdf")
    if plot is not None and len(names) > 1:
        raise click.UsageError("--plot takes one FILE")
    if plot is not None and plot == table:
        raise click.UsageError("--plot and --json name the same file")
    from bfncodec.blocks import single as single_blocks
    from bfncodec.container import Sender
    from bfncodec.measure import account as measuring
    from bfncodec.measure import plots

    single = single_blocks.Settings(steps, Sender[sender.upper()], batch)
    settings = measuring.Settings(model, effort, media, device, single, paths)
    made: list[dict[str, Any]] = []

    def prepare(_: str) -> None:
        for target in filter(None, (plot, table)):
            outputs.check_target(str(target), names, force)
        if plot is not None:
            plots.need()

    def one(name: str) -> None:
        messages.progress(files.printable(name))
        with files.opened(name, binary_wanted=True, force=False) as given:
            data = bytes(given.data)
        told = {"file": name, **measuring.measure(data, settings)}
        made.append(told)
        messages.clear()
        if told["floating_point"]:
            messages.note(f"{files.printable(name)}: {files.TIED}")
        if quiet == 0:
            outputs.tell(text(told, ROWS if not verbose else 1 << 30))
        if plot is not None:
            bits = measuring.image_map(data, settings) if told["mode"] == "image" else None
            with outputs.output(str(plot), sources={}, force=force, keep=outputs.Keep.NOTHING) as out:
                plots.draw(out.file, plot.suffix[1:], told, bits)

    def write(target: str) -> None:
        with outputs.output(target, sources={}, force=force, keep=outputs.Keep.NOTHING) as out:
            out.file.write((json.dumps(made, indent=1) + "\n").encode())

    def finish() -> None:
        if table is not None:
            files.each([str(table)], write, messages, debug)

    files.each(names[:1], prepare, messages, debug)
    files.each(names, one, messages, debug, finish)


def text(told: dict[str, Any], rows: int) -> str:
    """The account of one file for people."""
    lines = [
        f"{files.printable(told['file'])}: {told['input_bytes']} -> {told['file_bytes']} bytes, {told['mode']}",
        f"{'':22}{'theory':>14}{'expected':>14}{'real bits':>12}",
    ]
    groups = told["groups"]
    lines += [_row(*row) for row in (_each(groups) if len(groups) <= rows else _summed(groups))]
    spent = told["payload_bits"] - told["seed_bits"]
    lines.append(_row("coded in all", told["theory_bits"], told["n_step_bits"], spent))
    lines += [
        f"  {name:20}{bits:>40}"
        for name, bits in (
            ("seed of the noise", told["seed_bits"]),
            ("coefficients and the like", 8 * told["side_bytes"]),
            ("header", 8 * (told["header_bytes"] - told["digest_bytes"])),
            ("checksum", 8 * told["digest_bytes"]),
            ("file", 8 * told["file_bytes"]),
        )
        if bits
    ]
    if told["ratio"] is not None:
        lines.append(f"  real / path loss {told['ratio']:.5f}, real / n-step loss {told['n_step_ratio']:.5f}")
        if told["theory_stderr"]:
            chance = f"{told['theory_stderr']:.1f} bits; one path is {told['path_deviation']:.1f} away by chance"
            lines.append(f"  n-step loss over {told['paths']} paths, standard error {chance}")
    if told["dimensions"]:
        payload, whole = told["payload_without_seed_bpd"], told["file_bpd"]
        lines.append(f"  {payload:.4f} bits per dimension coded, {whole:.4f} with everything in the file")
    lines.append(
        f"  weights {files.with_unit(told['weights_bytes'])}; {told['encode_seconds']:.1f} s to encode,"
        f" {told['decode_seconds']:.1f} s to decode; round trip good"
    )
    return "\n".join(lines)


def _row(name: str, theory: float, expected: float | None, spent: int) -> str:
    mean = "" if expected is None else f"{expected:.1f}"
    return f"  {name:20}{theory:>14.1f}{mean:>14}{spent:>12}"


def _each(groups: list[dict[str, Any]]) -> list[tuple[str, float, float | None, int]]:
    rows = []
    for number, group in enumerate(groups):
        for index, step in enumerate(group["steps"], 1):
            name = f"group {number} step {index}"
            rows.append((name, step["theory_bits"], step["divergence_bits"], step["spent_bits"]))
        rows.append((f"group {number} data", group["reconstruction_bits"], None, group["reconstruction_spent_bits"]))
    return rows


def _summed(groups: list[dict[str, Any]]) -> list[tuple[str, float, float | None, int]]:
    """Sums over all groups with noisy steps, step by step, and over those without."""
    noisy = [group for group in groups if group["steps"]]
    exact = [group for group in groups if not group["steps"]]
    rows: list[tuple[str, float, float | None, int]] = []
    for index in range(max((len(group["steps"]) for group in noisy), default=0)):
        steps = [group["steps"][index] for group in noisy if index < len(group["steps"])]
        sums = [sum(step[key] for step in steps) for key in ("theory_bits", "divergence_bits", "spent_bits")]
        rows.append((f"step {index + 1}, {len(steps)} groups", *sums))
    for name, part in (("data", noisy), ("data, no noise,", exact)):
        if part:
            sums = [sum(group[key] for group in part) for key in ("reconstruction_bits", "reconstruction_spent_bits")]
            rows.append((f"{name} {len(part)} groups", sums[0], None, sums[1]))
    return rows
