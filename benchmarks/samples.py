"""Samples of models of the paper's kind: quality against the number of steps, for decoding and for the solvers.

    python -m benchmarks.samples --data DIR --model mnist.safetensors --work DIR

Images: Frechet distance of samples to the test set on the features of a small classifier that is trained here on the
same data (so no other work's distances compare with these). Texts: share of words that the training text holds at
least ten times. Samples lie in the work folder, so that a run that was stopped goes on; tables show all that is there.
"""

import json
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from benchmarks import features, measure
from bfncodec.cli.sample import SAMPLERS
from bfncodec.models import sample, zoo
from bfncodec.models.paper import streams
from bfncodec.models.paper.spec import Spec

STEPS = (5, 10, 25, 50, 100)
CLASSIFIER_STEPS = {"mnist": 1500, "cifar10": 3000}
TEXT_TRAIN = 72_000_000 * 49 // 50  # bytes of text8 that models are trained on
SHOWN = 4  # samples a cell of the picture

Row = dict[str, Any]


def stored(work: Path, model: Path, sampler: str, steps: int, items: int, end: str) -> Path:
    """Where samples lie."""
    return work / f"{zoo.digest(model).hex()}-{sampler}-{end}-{steps}-{items}.npz"


def draw(model: Path, work: Path, sampler: str, steps: int, items: int, end: str) -> None:
    """Draw samples, unless they lie there."""
    path = stored(work, model, sampler, steps, items, end)
    if path.exists():
        return
    predictor = streams.predictor(model, "bytes")
    start = time.perf_counter()
    made = sample.paper(predictor, items, steps, sampler, 0, end)
    seconds = time.perf_counter() - start
    click.echo(f"{model.stem}: {sampler} {end}, {steps} steps, {seconds:.0f} s", err=True)
    np.savez(path, symbols=made, seconds=seconds)


class Images:
    """Symbols of a data set, and its judge."""

    better = "lower"
    unit = "Frechet distance"

    def __init__(self, data: Path, work: Path, spec: Spec, items: int) -> None:
        name = "mnist" if spec.shape[0] == 28 else "cifar10"
        rng = np.random.default_rng(1)
        train, test = (
            symbols(spec, np.load(data / name / f"{part}.npy", mmap_mode="r"), rng) for part in ("train", "test")
        )
        labels, wanted = (np.load(data / name / f"{part}_labels.npy") for part in ("train", "test"))
        path = work / f"classifier-{name}-{spec.levels}.pt"
        self.spec = spec
        self.judge = features.Judge(train, labels, spec.levels, CLASSIFIER_STEPS[name], path)
        self.real = self.judge.features(test)
        parts = [train[rng.choice(len(train), items, replace=False)] for _ in range(10)]
        floors = [features.frechet(self.judge.features(part), self.real) for part in parts]
        noise = rng.integers(0, spec.levels, (items, *spec.shape)).astype(np.uint8)
        self.bounds = {
            "real": float(np.mean(floors)),
            "real_deviation": float(np.std(floors, ddof=1)),
            "noise": features.frechet(self.judge.features(noise), self.real),
        }
        self.about = f"classifier: {self.judge.accuracy(test, wanted):.1%} of the test images right"

    def quality(self, made: np.ndarray) -> Row:
        seen = self.judge.features(made.reshape(-1, *self.spec.shape))
        return {"quality": features.frechet(seen, self.real), "error": features.spread(seen, self.real)}


class Texts:
    """Known words."""

    better = "higher"
    unit = "share of known words"

    def __init__(self, data: Path, work: Path, spec: Spec, items: int) -> None:
        whole = (data / "text8.bin").read_bytes()
        self.spec = spec
        self.words = features.vocabulary(whole[:TEXT_TRAIN])
        rest = whole[TEXT_TRAIN:]
        real = [rest[at * spec.size : (at + 1) * spec.size] for at in range(items)]
        rng = np.random.default_rng(1)
        noise = sample.lines(spec, rng.integers(0, spec.levels, (items, spec.size)).astype(np.uint8))
        share, error = features.known_share(real, self.words)
        self.bounds = {
            "real": share,
            "real_deviation": error,
            "noise": features.known_share(noise, self.words)[0],
        }
        self.about = f"{len(self.words):,} known words"

    def quality(self, made: np.ndarray) -> Row:
        share, error = features.known_share(sample.lines(self.spec, made), self.words)
        return {"quality": share, "error": error}


def symbols(spec: Spec, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pixels as symbols uint8 [N, H, W, C]; a binary one is drawn with the pixel's chance, as in training."""
    pixels = np.asarray(pixels).reshape(-1, *spec.shape)
    if spec.kind == "binary":
        return (rng.integers(0, 255, pixels.shape, np.uint8) < pixels).astype(np.uint8)
    return pixels // (256 // spec.levels)


def ends(spec: Spec, sampler: str) -> tuple[str, ...]:
    """Ways to end that are measured."""
    return ("draw", "guess") if spec.kind == "classes" and sampler != sample.PLAIN else ("draw",)


def measured(model: Path, spec: Spec, data: Path, work: Path, items: int) -> Row:
    """Every row that samples lie there for."""
    judge = (Texts if spec.kind == "classes" else Images)(data, work, spec, items)
    rows: list[Row] = []
    for sampler in SAMPLERS:
        for end in ends(spec, sampler):
            for path in work.glob(f"{zoo.digest(model).hex()}-{sampler}-{end}-*-{items}.npz"):
                steps = int(path.stem.split("-")[3])
                with np.load(path) as held:
                    seconds = round(float(held["seconds"]), 1)
                    row: Row = {"sampler": sampler, "end": end, "steps": steps, "seconds": seconds}
                    rows.append(row | judge.quality(held["symbols"]))
    rows.sort(key=lambda row: (SAMPLERS.index(row["sampler"]), row["end"], row["steps"]))
    found = {"bytes": model.stat().st_size, "digest": zoo.digest(model).hex()}
    record = measure.record() | {"weights": {model.name: found}}
    about = {"kind": spec.kind, "unit": judge.unit, "better": judge.better, "about": judge.about, "items": items}
    return about | {"bounds": judge.bounds, "rows": rows, "record": record}


def name(row: Row) -> str:
    """A sampler, and how it ends where that is not its usual end."""
    return row["sampler"] + (", best guess" if row["end"] == "guess" else "")


def table(title: str, part: Row) -> str:
    """Markdown of a model."""
    text = part["kind"] == "classes"
    digits = "{:.1%}" if text else "{:.2f}"
    steps = sorted({row["steps"] for row in part["rows"]})
    names = list(dict.fromkeys(name(row) for row in part["rows"]))
    cells = {(name(row), row["steps"]): row for row in part["rows"]}
    bounds, record = part["bounds"], part["record"]
    lines = [
        f"## {title}",
        "",
        f"{part['unit'].capitalize()} ({part['better']} is better) of {part['items']} samples, by sampler and steps:",
        "",
        "| sampler | " + " | ".join(f"n = {step}" for step in steps) + " |",
        "| --- |" + " ---: |" * len(steps),
    ]
    for sampler in names:
        shown = [digits.format(cells[sampler, n]["quality"]) if (sampler, n) in cells else "-" for n in steps]
        lines.append(f"| {sampler} | " + " | ".join(shown) + " |")
    spread = "standard error" if text else "deviation over ten draws"
    real = "text that was not trained on" if text else f"{part['items']} training images against the test set"
    errors = [row["error"] for row in part["rows"]]
    file = next(iter(record["weights"].items()))
    lines += [
        "",
        f"- The same of real data ({real}): {digits.format(bounds['real'])} ({spread} "
        f"{digits.format(bounds['real_deviation'])}); of uniform noise: {digits.format(bounds['noise'])}.",
        f"- {part['about'].capitalize()}.",
        f"- Standard errors in the table: up to {digits.format(max(errors))}, {digits.format(np.median(errors))} "
        f"as a rule{'' if text else ' (bootstrap)'}.",
        f"- Weights: {file[0]}, {file[1]['bytes']:,} bytes ({file[1]['digest']}); {record['date']} UTC; "
        f"{record['cpu']}, {record['cores']} cores, busy.",
        f"- Seconds for {part['items']} samples, one thread: "
        + "; ".join(
            f"{sampler} "
            + ", ".join(f"{cells[sampler, n]['seconds']:.0f} (n = {n})" for n in steps if (sampler, n) in cells)
            for sampler in names
        )
        + ".",
    ]
    return "\n".join(lines)


def render(results: dict[str, Row]) -> str:
    """Everything as Markdown."""
    head = [
        "# Samples",
        "",
        "Made by `python -m benchmarks.samples`; the same numbers are in `samples.json`, drawn in `samples.png`.",
        "`bfn` decodes random bits; the others are BFN-Solvers (arXiv:2404.15766): stochastic (sde) and deterministic",
        "(ode), of order 1 and 2. All but those that end with the best guess call the network n + 1 times and end with",
        "a draw from the output distribution. Best guess: the most probable symbols one step earlier, n calls.",
        "Distances are on features of a classifier trained here, so they compare with nothing but each other.",
    ]
    return "\n\n".join(["\n".join(head), *(table(title, part) for title, part in results.items())]) + "\n"


def plot(results: dict[str, Row], path: Path) -> None:
    """Quality against steps, a panel for each model."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6 * len(results), 4.2), layout="constrained")
    for axes, (title, part) in zip(figure.subplots(1, len(results), squeeze=False)[0], results.items(), strict=True):
        for number, sampler in enumerate(SAMPLERS):
            for end, line in (("draw", "o-"), ("guess", "s:")):
                rows = [row for row in part["rows"] if (row["sampler"], row["end"]) == (sampler, end)]
                if rows:
                    values = [row["quality"] for row in rows]
                    axes.plot([row["steps"] for row in rows], values, line, color=f"C{number}", label=name(rows[0]))
        axes.axhline(part["bounds"]["real"], color="grey", linestyle="--", label="real data")
        steps = sorted({row["steps"] for row in part["rows"]})
        axes.set_xscale("log")
        axes.set_xticks(steps, [str(step) for step in steps])
        axes.minorticks_off()
        if part["better"] == "lower":
            axes.set_yscale("log")
        axes.set_xlabel("steps n")
        axes.set_ylabel(f"{part['unit']} ({part['better']} is better)")
        axes.set_title(title)
        axes.grid(True, which="both", alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def picture(model: Path, spec: Spec, work: Path, items: int, rows: list[Row], path: Path) -> None:
    """Samples of every sampler (down) and number of steps (across); for texts, a line of each."""
    steps = sorted({row["steps"] for row in rows})
    if spec.kind == "classes":
        lines = []
        for row in rows:
            with np.load(stored(work, model, row["sampler"], row["steps"], items, row["end"])) as held:
                line = sample.lines(spec, held["symbols"][:1])[0].decode()
            lines.append(f"{name(row)}, n = {row['steps']}: {line}\n")
        path.with_suffix(".txt").write_text("\n".join(lines))
        return
    bands = []
    for sampler in SAMPLERS:
        cells = []
        for number in steps:
            held_at = stored(work, model, sampler, number, items, "draw")
            made = np.zeros((SHOWN**2, spec.size), np.uint8)
            if held_at.exists():
                with np.load(held_at) as held:
                    made[: min(items, SHOWN**2)] = held["symbols"][: SHOWN**2]
            cells.append(sample.grid(sample.shown(spec, made), 0))
        bands.append(_row(cells))
    whole = np.concatenate(bands)
    Image.fromarray(whole[..., 0] if whole.shape[2] == 1 else whole).save(path, optimize=True)


def _row(cells: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.pad(cell, ((2, 2), (2, 2), (0, 0)), constant_values=128) for cell in cells], axis=1)


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", "models", required=True, multiple=True, type=click.Path(exists=True, path_type=Path))
@click.option("--work", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder for samples.")
@click.option("--items", type=click.IntRange(2), default=500, help="Samples of each kind.")
@click.option("--steps", type=click.IntRange(1), multiple=True, default=STEPS, help="n; may be repeated.")
@click.option("--sampler", "samplers", type=click.Choice(SAMPLERS), multiple=True, default=SAMPLERS)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path(__file__).with_name("results"))
def main(
    data: Path,
    models: tuple[Path, ...],
    work: Path,
    items: int,
    steps: tuple[int, ...],
    samplers: tuple[str, ...],
    out: Path,
) -> None:
    """Draw samples of models, judge them; models measured before are kept in the results."""
    work.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    path = out / "samples.json"
    results: dict[str, Row] = json.loads(path.read_text()) if path.exists() else {}
    for model in models:
        spec = streams.predictor(model, "bytes").spec
        for number in steps:
            for sampler in samplers:
                for end in ends(spec, sampler):
                    draw(model, work, sampler, number, items, end)
        results[model.stem] = part = measured(model, spec, data, work, items)
        picture(model, spec, work, items, part["rows"], out / f"samples-{model.stem}.png")
        path.write_text(json.dumps(results, indent=1) + "\n")
        (out / "samples.md").write_text(render(results))
        plot(results, out / "samples.png")


if __name__ == "__main__":
    main()
