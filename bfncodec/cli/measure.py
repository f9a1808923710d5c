"""bfncodec measure."""

import json
from pathlib import Path
from typing import Any

import click

from bfncodec import presets
from bfncodec.cli import files, options, outputs
from bfncodec.cli.files import Messages
from bfncodec.cli.outputs import Keep
from bfncodec.presets import Choices

ROWS = 12  # groups shown one by one; more are summed step by step


@click.command(short_help="Show theory and real bits, step by step.")
@click.argument("names", metavar="FILE...", nargs=-1, required=True)
@options.model
@options.effort
@options.media
@click.option("-n", "--steps", type=click.IntRange(1, 4096), default=50, help="Noisy steps (the paper's models).")
@click.option("--sender", type=click.Choice(presets.SENDERS), default="gaussian", help="Sender (the paper's models).")
@click.option("--batch", type=click.IntRange(1), default=1, help="Items a group (the paper's models).")
@click.option("--paths", type=click.IntRange(1), default=2, help="Noise paths to average over.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw the costs (PNG, SVG or PDF).")
@click.option("--json", "table", type=click.Path(dir_okay=False, path_type=Path), help="Write all numbers.")
@click.option("-f", "--force", is_flag=True, help="Replace existing plots and tables.")
@options.compute
@options.loudness
def measure(
    names: tuple[str, ...],
    paths: int,
    plot: Path | None,
    table: Path | None,
    force: bool,
    messages: Messages,
    **chosen: Any,
) -> None:
    """Encode and decode each FILE, and account for every bit.

    \b
    For each group and noisy step: the theory, log2 p_S(y) / p_R(y) along
    the noise that was drawn and its expectation KL(p_S || p_R), and the bits
    that the stack really grew by (pushes less pops). Files for a model of the
    paper's kind are arrays (.npy) of its symbols, or texts.
    """
    if plot is not None and plot.suffix not in (".png", ".svg", ".pdf"):
        raise click.UsageError("--plot writes .png, .svg or .pdf")
    if plot is not None and len(names) > 1:
        raise click.UsageError("--plot takes one FILE")
    if plot is not None and plot == table:
        raise click.UsageError("--plot and --json name the same file")
    from bfncodec.measure import account, plots

    reports: list[dict[str, Any]] = []

    def prepare(_: str) -> None:
        """Refuse what cannot be written before there is work for it."""
        for target in filter(None, (plot, table)):
            outputs.check_target(str(target), names, force)
        if plot is not None:
            plots.need()

    def one(name: str) -> None:
        messages.progress(files.printable(name))
        with files.opened(name, binary_wanted=True, force=False) as given:
            data = bytes(given.data)
        ledger = account.PixelLedger.of(paths)
        report = {"file": name, **account.measure(data, Choices(**chosen), ledger)}
        reports.append(report)
        messages.clear()
        if report["floating_point"]:
            messages.note(f"{files.printable(name)}: {files.TIED}")
        if messages.loudness > 0:
            outputs.tell(text(report, ROWS if messages.loudness < 2 else 1 << 30))
        if plot is not None:
            with outputs.output(str(plot), {}, Keep.NOTHING, force=force) as out:
                plots.draw(out.file, plot.suffix[1:], report, ledger.image_map())

    def write(target: str) -> None:
        with outputs.output(target, {}, Keep.NOTHING, force=force) as out:
            out.file.write((json.dumps(reports, indent=1) + "\n").encode())

    def finish() -> None:
        if table is not None:
            files.each([str(table)], write, messages)

    files.each(names[:1], prepare, messages)
    files.each(names, one, messages, finish)


def text(report: dict[str, Any], rows: int) -> str:
    """The account of one file for people."""
    lines = [
        f"{files.printable(report['file'])}: {report['input_bytes']} -> {report['file_bytes']} bytes, {report['mode']}",
        f"{'':22}{'theory':>14}{'expected':>14}{'real bits':>12}",
    ]
    groups = report["groups"]
    if len(groups) <= rows:
        for number, group in enumerate(groups):
            lines += _rows([group], f"group {number} step {{}}", f"group {number} data")
    else:
        noisy = [group for group in groups if group["steps"]]
        exact = [group for group in groups if not group["steps"]]
        lines += _rows(noisy, "step {}, {} groups", f"data {len(noisy)} groups")
        lines += _rows(exact, "", f"data, no noise, {len(exact)} groups")
    spent = report["payload_bits"] - report["seed_bits"]
    lines.append(_row("coded in all", report["theory_bits"], report["n_step_bits"], spent))
    lines += [
        f"  {name:20}{bits:>40}"
        for name, bits in (
            ("seed of the noise", report["seed_bits"]),
            ("coefficients and the like", 8 * report["side_bytes"]),
            ("header", 8 * (report["header_bytes"] - report["digest_bytes"])),
            ("checksum", 8 * report["digest_bytes"]),
            ("file", 8 * report["file_bytes"]),
        )
        if bits
    ]
    if report["ratio"] is not None:
        lines.append(f"  real / path loss {report['ratio']:.5f}, real / n-step loss {report['n_step_ratio']:.5f}")
        if report["theory_stderr"]:
            chance = f"{report['theory_stderr']:.1f} bits; one path is {report['path_deviation']:.1f} away by chance"
            lines.append(f"  n-step loss over {report['paths']} paths, standard error {chance}")
    if report["dimensions"]:
        payload, whole = report["payload_without_seed_bpd"], report["file_bpd"]
        lines.append(f"  {payload:.4f} bits per dimension coded, {whole:.4f} with everything in the file")
    lines.append(
        f"  weights {files.with_unit(report['weights_bytes'])}; {report['encode_seconds']:.1f} s to encode,"
        f" {report['decode_seconds']:.1f} s to decode; round trip good"
    )
    return "\n".join(lines)


def _row(name: str, theory: float, expected: float | None, spent: int) -> str:
    mean = "" if expected is None else f"{expected:.1f}"
    return f"  {name:20}{theory:>14.1f}{mean:>14}{spent:>12}"


def _rows(groups: list[dict[str, Any]], step_name: str, data_name: str) -> list[str]:
    """Sums over groups: step by step, each with its number and that of the groups that have it, and of the data."""
    rows = []
    for index in range(max((len(group["steps"]) for group in groups), default=0)):
        steps = [group["steps"][index] for group in groups if index < len(group["steps"])]
        sums = [sum(step[key] for step in steps) for key in ("theory_bits", "divergence_bits", "spent_bits")]
        rows.append(_row(step_name.format(index + 1, len(steps)), *sums))
    if groups:
        theory, spent = (sum(group[f"reconstruction_{key}"] for group in groups) for key in ("bits", "spent_bits"))
        rows.append(_row(data_name, theory, None, spent))
    return rows
