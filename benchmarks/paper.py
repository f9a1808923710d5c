"""The paper's own models coded for real: number of noisy steps against theory, bits, seed and network calls.

    python -m benchmarks.paper --data DIR

Archives of the first 200 test items, chained on one stack, decoded again and compared:
`bfncodec measure` over the models in models/. Rows that are in paper.json already are kept
unless they are named by --model and --steps.
"""

import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks import measure as machine
from benchmarks.tables import table
from bfncodec.blocks import pictures as picture_blocks
from bfncodec.blocks import text
from bfncodec.coding.channels import channel
from bfncodec.flow.schedule import Step
from bfncodec.flow.theta import Theta, VectorTheta, prior
from bfncodec.measure import account
from bfncodec.models import zoo
from bfncodec.models.paper import streams
from bfncodec.picture import Layout, Origin, Picture
from bfncodec.presets import Choices

MODELS = Path(__file__).parents[1] / "models"
RESULTS = Path(__file__).with_name("results")
ITEMS = 200
TEXT8_TEST = 72_000_000
MANY = 1000  # steps that stand for the continuous-time loss
DRAWS = 16  # of them, for every item


@dataclass(frozen=True)
class Model:
    """One of the paper's data sets; recalled: its losses by number of steps, from memory, not looked up."""

    title: str
    unit: str
    recalled: dict[str, float]
    runs: tuple[tuple[str, int, int], ...]  # sender, steps, items a group


MODELS_OF = {
    "mnist": Model(
        "Binarised MNIST", "nats an image", {"25": 84.4, "50": 81.1, "inf": 77.87},
        (("gaussian", 10, 1), ("gaussian", 25, 1), ("gaussian", 50, 1), ("gaussian", 100, 1), ("dither", 25, ITEMS)),
    ),
    "cifar10": Model(
        "CIFAR-10, 256 bins", "bits a dimension", {"50": 2.93, "inf": 2.66},
        (("gaussian", 10, 1), ("gaussian", 25, 1), ("gaussian", 50, 1), ("dither", 10, 20)),
    ),
    "cifar10-16": Model(
        "CIFAR-10, 16 bins", "bits a dimension", {},
        (("gaussian", 10, 1), ("gaussian", 25, 1), ("gaussian", 50, 1), ("dither", 10, 20)),
    ),
    "text8": Model(
        "text8", "bits a character", {"50": 1.47, "inf": 1.41},
        (("gaussian", 10, 1), ("gaussian", 50, 1), ("categorical", 10, 1), ("categorical", 50, 1)),
    ),
}  # fmt: skip


def items(name: str, data: Path, count: int) -> NDArray[np.uint8]:
    """The first test items of a model, as bytes of its alphabet [count, ...]."""
    if name == "mnist":
        pixels = np.load(data / "mnist" / "test.npy")[:count]
        # Binarised once: a pixel is the chance of a one.
        return (np.random.default_rng(0).random(pixels.shape) < pixels / 255).astype(np.uint8)
    if name == "text8":
        return np.fromfile(data / "text8.bin", np.uint8, count * 256, offset=TEXT8_TEST).reshape(count, 256)
    pixels = np.load(data / "cifar10" / "test.npy")[:count]
    return pixels // 16 if name.endswith("16") else pixels


def run(name: str, data: Path, sender: str, steps: int, batch: int, count: int) -> dict[str, Any]:
    """One archive, measured."""
    values = items(name, data, count)
    file = io.BytesIO()
    np.save(file, values)
    content = values.tobytes() if name == "text8" else file.getvalue()
    # Another path doubles the work; the two slowest models are measured along one.
    paths = 1 if name in ("cifar10", "text8") else 2
    choices = Choices(model=str(MODELS / f"{name}.safetensors"), steps=steps, sender=sender, batch=batch)
    told = account.measure(content, choices, account.PixelLedger.of(paths))
    del told["groups"]
    return told | {"sender": sender, "steps": steps, "batch": batch, "items": count}


def continuous(name: str, data: Path, count: int) -> dict[str, float]:
    """Bits an item of MANY steps, from DRAWS random steps of every item, with the standard error."""
    path = MODELS / f"{name}.safetensors"
    predictor = streams.predictor(path, "bytes")
    spec = predictor.spec
    table_ = np.zeros(256, np.int64)
    table_[list(spec.alphabet)] = np.arange(spec.levels)
    symbols = table_[items(name, data, count)].reshape(count, -1)
    steps = spec.steps(MANY, "gaussian")
    accuracies = np.cumsum([0] + [_coordinate(step).accuracy for step in steps])
    rng = np.random.default_rng(0)
    bits, last = np.zeros((count, DRAWS)), np.zeros(count)
    for item, x in enumerate(symbols):
        for draw in range(DRAWS):
            number = int((draw + rng.random()) * MANY / DRAWS)  # every draw has its share of the steps
            theta = _noisy(prior(steps, spec.size), x, int(accuracies[number]), number, steps[0], rng)
            weights = predictor.weights(theta if number else None, 1, number, MANY)
            link = channel(steps[number])
            y = _view(link.sender, x, rng)
            bits[item, draw] = link.costs(x, y, weights, (item, number))[1] * MANY
        theta = _noisy(prior(steps, spec.size), x, int(accuracies[MANY]), MANY, steps[0], rng)
        own = np.take_along_axis(predictor.weights(theta, 1, MANY, MANY), x[:, None], axis=1)
        last[item] = float((24 - np.log2(own)).sum())
    means = bits.mean(axis=1) + last
    return {"bits": float(means.mean()), "stderr": float(means.std(ddof=1) / math.sqrt(count)), "steps": MANY}


def _coordinate(step: Any) -> Step:
    inner: Step = step.step if hasattr(step, "step") else step
    return inner


def _noisy(
    theta: Any, x: NDArray[np.int64], accuracy: int, number: int, step: Any, rng: np.random.Generator
) -> Theta | VectorTheta:
    """What `number` views of x in all tell, without drawing each of them."""
    unit = _coordinate(step).unit
    hot = x if isinstance(theta, Theta) else np.eye(theta.sums.shape[1])[x]
    if number:
        deviation = unit * math.sqrt(2.0 ** _coordinate(step).precision / accuracy)
        theta.update(step, np.zeros_like(hot, np.int64))  # sets what a theta knows of its steps
        theta.sums = np.rint(accuracy * (hot * unit + deviation * rng.standard_normal(hot.shape))).astype(np.int64)
        theta.steps = number
        if isinstance(theta, Theta):
            theta.accuracy = accuracy
    return theta  # type: ignore[no-any-return]


def _view(sender: Any, x: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """A view of x."""
    if hasattr(sender, "coordinate"):
        hot = sender.hot(x)
        noise = rng.standard_normal(len(hot)) * sender.step.step.deviation
        spacing = sender.step.step.spacing
        made = np.rint((hot * sender.step.step.unit + noise) / spacing).astype(np.int64) * spacing
        return made.reshape(len(x), -1)  # type: ignore[no-any-return]
    sums = sender.weights(x).cumsum(axis=1)
    symbols = (sums <= rng.integers(0, 1 << 24, (len(x), 1))).sum(axis=1)
    return sender.noisy(x, symbols)  # type: ignore[no-any-return]


def codecs(data: Path, count: int) -> dict[str, float]:
    """What bfncodec's own schedules need for the same items, in bits a dimension or character, headers left out."""
    made = {}
    pixels = items("cifar10", data, count)
    pictures = [Picture(Origin.ARRAY, Layout.RGB, one) for one in pixels]
    for effort in ("default", "lattice"):
        made[f"cifar10 {effort}"] = (
            8 * picture_blocks.encode(pictures, Choices("cpu", effort=effort)).form.coded_bytes / pixels.size
        )
    letters = items("text8", data, count).tobytes()
    for effort in ("default", "blocks"):
        made[f"text8 {effort}"] = (
            8 * text.encode(letters, Choices("cpu", effort=effort)).form.coded_bytes / len(letters)
        )
    return made


def _scale(name: str) -> float:
    """A bit an item in the unit of the paper's table."""
    return math.log(2) if name == "mnist" else 1 / (256 if name == "text8" else 3072)


def _with_error(bits: float, error: float | None, scale: float) -> str:
    return f"{bits * scale:.3f}" + ("" if error is None else f" ± {error * scale:.3f}")


def _rows(name: str, part: dict[str, Any]) -> list[list[str]]:
    scale, recalled = _scale(name), MODELS_OF[name].recalled
    rows = []
    for key in sorted(part["runs"], key=lambda key: (key.split()[0], int(key.split()[1]))):
        told = part["runs"][key]
        each = scale / told["items"]
        spent = told["payload_bits"] - told["seed_bits"]
        rows.append(
            [
                f"{told['sender']}, n = {told['steps']}"
                + ("" if told["items"] == ITEMS else f", {told['items']} items"),
                recalled.get(str(told["steps"]), "-") if told["sender"] == "gaussian" else "-",
                _with_error(told["n_step_bits"], told["theory_stderr"], each),
                _with_error(told["theory_bits"], told["path_deviation"], each),
                f"**{spent * each:.3f}**",
                f"{told['ratio']:.5f}",
                f"{told['n_step_ratio']:.4f}",
                f"{told['seed_bits'] / 8e3:,.1f}",
                f"{told['file_bytes'] / 1e3:,.1f}",
                str((told["steps"] + 1) * math.ceil(told["items"] / told["batch"])),
            ]
        )
    if "continuous" in part:
        limit = part["continuous"]
        theory = f"{limit['bits'] * scale:.3f} ± {limit['stderr'] * scale:.3f}"
        rows.append(["gaussian, n = 1000, sampled", recalled.get("inf", "-"), theory, *["-"] * 7])
    return [[str(cell) for cell in row] for row in rows]


HEAD = [
    "sender, steps", "paper*", "n-step loss", "path loss", "coded", "coded / path", "coded / n-step", "seed, kB",
    "file, kB", "network calls",
]  # fmt: skip


def render(results: dict[str, Any]) -> str:
    """All tables as Markdown."""
    pieces = []
    for name, model in MODELS_OF.items():
        if name in results:
            part = results[name]
            card = zoo.card(MODELS / f"{name}.safetensors")
            pieces.append(
                f"### {model.title}: {model.unit}\n\n"
                + table(HEAD, _rows(name, part))
                + f"\n\n{ITEMS} test items; weights {part['weights_bytes'] / 1e6:.1f} MB;"
                f" trained for {card['plan']['steps']:,} steps of {card['plan']['items']} items."
            )
    if "codecs" in results:
        own = results["codecs"]
        pieces.append(
            "### bfncodec's own schedules on the same items\n\n"
            + table(
                ["schedule", "bits a dimension or character", "network calls"],
                [[key, f"{own[key]:.3f}", CALLS[key]] for key in own],
            )
        )
    return "\n\n".join(pieces)


CALLS = {
    "cifar10 default": "163 for all images at once (the thumbnail's eight steps, 155 groups)",
    "cifar10 lattice": "45 for all images at once",
    "text8 default": "one a character",
    "text8 blocks": "3 for 4 characters of all lanes",
}


def plot(path: Path, results: dict[str, Any]) -> None:
    """Loss and coded bits by number of steps."""
    from matplotlib.figure import Figure

    shown = [name for name in MODELS_OF if name in results]
    figure = Figure(figsize=(4.6 * len(shown), 4), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(shown))), shown, strict=True):
        model, scale = MODELS_OF[name], _scale(name)
        for sender, colour in (("gaussian", "C0"), ("categorical", "C2")):
            runs = sorted(
                (told for told in results[name]["runs"].values() if told["sender"] == sender),
                key=lambda told: told["steps"],
            )
            if runs:
                x = [told["steps"] for told in runs]
                theory = [told["n_step_bits"] / told["items"] * scale for told in runs]
                coded = [(told["payload_bits"] - told["seed_bits"]) / told["items"] * scale for told in runs]
                axes.plot(x, theory, color=colour, label=f"theory: n-step loss, {sender} sender")
                axes.plot(x, coded, "o", color="C1", markersize=8, fillstyle="none", label=f"coded, {sender} sender")
        paper = {int(n): value for n, value in model.recalled.items() if n != "inf"}
        if paper:
            axes.plot(list(paper), list(paper.values()), "x", color="C7", label="paper, theory only (recalled)")
        axes.set_xscale("log")
        axes.set_xticks([10, 25, 50, 100], ["10", "25", "50", "100"])
        axes.minorticks_off()
        axes.set_xlabel("noisy steps n")
        axes.set_ylabel(model.unit)
        axes.set_title(model.title)
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=110)


@click.command(help=__doc__)
@click.option("--data", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", "names", multiple=True, type=click.Choice([*MODELS_OF, "codecs"]), help="Only this one.")
@click.option("--steps", multiple=True, type=int, help="Only this number of steps; 1000: the continuous-time loss.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=RESULTS)
@click.option("--limit", type=click.IntRange(1), default=ITEMS, hidden=True, help="Fewer items, to try it out.")
def main(data: Path, names: tuple[str, ...], steps: tuple[int, ...], out: Path, limit: int) -> None:
    """Run what is asked for; results are written after each row."""
    for name in names or [*MODELS_OF, "codecs"]:
        if name == "codecs":
            _keep(out, lambda results: results.update(codecs=codecs(data, limit)))
            continue
        for sender, count, batch in MODELS_OF[name].runs:
            if not steps or count in steps:
                told = run(name, data, sender, count, batch, limit)
                _keep(out, lambda results: _part(results, name)["runs"].update({f"{sender} {count}": told}))  # noqa: B023
        if not steps or MANY in steps:
            limits = continuous(name, data, limit)
            _keep(out, lambda results: _part(results, name).update(continuous=limits))  # noqa: B023


def _part(results: dict[str, Any], name: str) -> dict[str, Any]:
    part: dict[str, Any] = results.setdefault(name, {"runs": {}})
    part |= {"weights_bytes": (MODELS / f"{name}.safetensors").stat().st_size, "record": machine.record()}
    return part


def _keep(out: Path, change: Any) -> None:
    """Change the stored results, and write them, their tables, their plot and the README's part."""
    stored = out / "paper.json"
    results = json.loads(stored.read_text()) if stored.exists() else {}
    change(results)
    stored.write_text(json.dumps(results, indent=1) + "\n")
    tables = render(results)
    (out / "paper.md").write_text(f"# The paper's own models, coded\n\n{NOTE}\n\n{tables}\n")
    plot(out / "paper.png", results)
    if out == RESULTS:
        readme = RESULTS.parents[1] / "README.md"
        text = readme.read_text()
        start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
        readme.write_text(f"{text[:start]}\n{tables}\n{text[end:]}")


BEGIN, END = "<!-- python -m benchmarks.paper -->", "<!-- end -->"
NOTE = """Made by `python -m benchmarks.paper --data DIR`; the same numbers are in `paper.json`, drawn in `paper.png`.

Archives of the first test items, chained on one stack. n-step loss: sum of KL(p_S || p_R) plus reconstruction, with
its standard error from two noise paths an item (one path, and no error, for text8 and CIFAR-10 with 256 bins). Path
loss: the cost along the noise that was drawn, with its standard deviation by that noise alone. Coded: pushes less
pops on the stack. The seed, the bits that feed the first item's noise, is paid once an archive and stands apart. The
last row of a table is the n-step loss of 1,000 steps from sixteen random steps of every item: nearly the
continuous-time loss. The dithered sender was not trained for: the networks only know Gaussian noise.

\\* Recalled, not looked up; theory only, on another test set where text8 is concerned (the whole of text8 cannot be
had here, so its usual test split cannot be used: trained on the first 72 million characters, tested after them).

Times in the JSON are of a machine with two cores, busy with other work."""


if __name__ == "__main__":
    main()
