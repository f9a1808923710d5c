"""The command line that the benchmarks share."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from benchmarks import measure
from benchmarks.tables import Part

Parts = Mapping[str, Callable[[Path, int | None], Part]]
Render = Callable[[dict[str, Part]], str]
Plot = Callable[[dict[str, Part], Path], None]


def command(name: str, text: str, parts: Parts, render: Render, plot: Plot | None = None) -> click.Command:
    """A command that runs parts and keeps their results in NAME.json, rendered in NAME.md, and plotted in NAME.png."""

    @click.command(help=text)
    @click.option("--data", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
    @click.option("--only", multiple=True, type=click.Choice(list(parts)), help="Only this part; may be repeated.")
    @click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path(__file__).with_name("results"),
        help=f"Folder of {name}.json and {name}.md. Parts that are not run are kept.",
    )
    @click.option("--limit", type=click.IntRange(1), hidden=True, help="Fewer inputs, to try the benchmark out.")
    def main(data: Path, only: tuple[str, ...], out: Path, limit: int | None) -> None:
        """Run the parts; results are written after each. Exit code 1 if a codec failed."""
        stored = out / f"{name}.json"
        results: dict[str, Part] = json.loads(stored.read_text()) if stored.exists() else {}
        out.mkdir(parents=True, exist_ok=True)
        failures: list[str] = []
        for key in only or parts:
            before = measure.record()
            results[key] = parts[key](data, limit) | {"record": before | {"limit": limit}}
            failures += results[key].get("failures", [])
            results = {part: results[part] for part in parts if part in results}
            stored.write_text(json.dumps(results, indent=1) + "\n")
            (out / f"{name}.md").write_text(render(results))
            if plot is not None:
                plot(results, out / f"{name}.png")
        if failures:
            raise click.ClickException("; ".join(failures))

    return main
