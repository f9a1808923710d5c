"""Texts: what the size of the weights buys, at equal training time.

    python -m benchmarks.text_weights --data DIR --skip FILE --work DIR

Every hashed context's part of the embedding table is made 16, 8, 4 and 2 times smaller, and left
as it is; each network is trained from scratch for the same processor time on one thread and
exported. A size is a constant of the format, so each one runs in a child process, in a copy
of the package whose constant is edited. The work folder keeps copies, models and results; sizes
whose result is there are not run again.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import click

from benchmarks import measure
from benchmarks.tables import table

ROOT = Path(__file__).parents[1]
SHIFTS = (-4, -3, -2, -1, 0)
NOVEL_BYTES = 200_000
REPORTED = ("alice29.txt", "lcet10.txt")  # evaluation files, not tuned on
PACKAGED_MINUTES, PACKAGED_SEEN = 85, 42_500 * 8192  # bytes; see bfncodec/models/weights/README.md
COMMAND = "python -m benchmarks.text_weights --data DIR --skip FILE --work DIR"
Row = dict[str, Any]


class Finished(Exception):
    """The time of training is over."""


def texts(data: Path, skip: frozenset[str]) -> dict[str, bytes]:
    """The first bytes of the texts that training is told to skip, then the reported files."""
    found = [path for path in sorted((data / "train").rglob("*")) if path.name in skip]
    made = {path.name: path.read_bytes()[:NOVEL_BYTES] for path in found}
    return made | {name: (data / "canterbury" / "canterbury" / name).read_bytes() for name in REPORTED}


def train(data: Path, skip: frozenset[str], seconds: float, pieces: int, model: Path) -> Row:
    """Train for so many seconds of processor time, the rates falling with them; write the model."""
    import torch

    from bfncodec.train import checkpoint, loop
    from bfncodec.train.text import corpus
    from bfncodec.train.text import train as text_training

    torch.set_num_threads(1)
    train_texts = corpus.Corpus(data, skip)
    warm_up = text_training.TextTraining(train_texts, text_training.TextPlan(steps=3), "cpu", click.echo)
    warm_up.run(model.with_suffix(".warm-up"), 1e9)  # compiles
    model.with_suffix(".warm-up").unlink()
    trainer = text_training.TextTraining(train_texts, text_training.TextPlan(steps=1 << 30), "cpu", click.echo)
    start, wall = time.process_time(), time.perf_counter()

    def factor(step: int, steps: int, decay: float) -> float:
        left = 1 - (time.process_time() - start) / seconds
        if left <= 0:
            raise Finished
        return min(1.0, (step + 1) / 200, left / decay)

    with mock.patch.object(loop, "rate_factor", factor):
        try:
            trainer.run(model, 1e9)
        except Finished:
            wall = time.perf_counter() - wall
    bits = trainer.validate()
    tensors = trainer.tensors()
    tensors |= text_training.learn_mixing(tensors, train_texts, trainer.plan, pieces, click.echo)
    checkpoint.write_model(model, tensors, {})
    seen = trainer.step * trainer.plan.windows * trainer.plan.length
    return {"train_s": seconds, "wall_s": round(wall, 1), "seen": seen, "held_out_bits": bits}


def packaged(data: Path, skip: frozenset[str], model: Path) -> Row:
    """What `train` tells, of the packaged model."""
    from bfncodec.models import zoo
    from bfncodec.train.text import corpus
    from bfncodec.train.text import train as text_training

    trainer = text_training.TextTraining(corpus.Corpus(data, skip), text_training.TextPlan(), "cpu", click.echo)
    trainer.start_from(zoo.tensors(model))
    made = {"packaged": True, "train_s": 60 * PACKAGED_MINUTES, "seen": PACKAGED_SEEN}
    return made | {"held_out_bits": trainer.validate()}


def coded(model: Path, data: Path, skip: frozenset[str]) -> Row:
    """Numbers of a model and sizes of its files; the first reported file is decoded and compared."""
    import bfncodec
    from bfncodec.models import zoo
    from bfncodec.models.text import contexts

    sizes = {}
    for name, content in texts(data, skip).items():
        made = bfncodec.encode(content, model=str(model), media="text")
        if name == REPORTED[0] and bfncodec.decode(made) != content:
            raise RuntimeError("the text did not come back")
        sizes[name] = {"size": len(content), "bytes": len(made)}
    parts = {name: part.nbytes for name, part in zoo.tensors(model).items() if not name.startswith("blocks.")}
    return {"rows": contexts.ROWS, "weights": sum(parts.values()), "table": parts["text.table"], "texts": sizes}


def home(work: Path, shift: int) -> Path:
    """The folder to run a size in: this one, or a copy of the package with other TABLE_BITS."""
    from bfncodec.models.text import contexts

    if shift == 0:
        return ROOT
    folder = work / f"shift{shift}"
    for name in ("bfncodec", "benchmarks"):
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "weights", "results"))
    bits = tuple(count if count == 8 else count + shift for count in contexts.TABLE_BITS)  # 8: not hashed
    path = folder / "bfncodec" / "models" / "text" / "contexts.py"
    source, count = re.subn(r"(?m)^TABLE_BITS = .*$", f"TABLE_BITS = {bits}", path.read_text())
    if count != 1:
        raise RuntimeError(f"{path} does not set TABLE_BITS in one line")
    path.write_text(source)
    return folder


def names(row: Row) -> tuple[str, list[str]]:
    """Name of a row's training, and its texts: held-out ones as one, then the reported ones."""
    seconds = row["train_s"]
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} minutes", ["held out", *REPORTED]


def bits(row: Row, name: str) -> float:
    """Coded bits a byte of one text, or of all that are held out."""
    chosen = [text for key, text in row["texts"].items() if (key == name if name in REPORTED else key not in REPORTED)]
    return 8 * sum(text["bytes"] for text in chosen) / sum(text["size"] for text in chosen)


def render(rows: list[Row], record: Row) -> str:
    """Markdown."""
    head = ["table", "weights, bytes", "training", "MB seen", "network alone, held-out text"]
    head += ["coded: three held-out novels", *(f"coded: {name}" for name in REPORTED)]
    lines = []
    for row in rows:
        training, kinds = names(row)
        lines.append(
            [
                f"{row['rows']:,} x 16" + (", packaged" if row.get("packaged") else ""),
                f"{row['weights']:,}",
                training,
                f"{row['seen'] / 1e6:.1f}",
                f"{row['held_out_bits']:.3f}",
                *(f"{bits(row, name):.4f}" for name in kinds),
            ]
        )
    novels = [name for name in rows[0]["texts"] if name not in REPORTED]
    return "\n".join(
        [
            f"Made by `{COMMAND}` on one thread of a shared machine",
            f"({record['cpu']}, {record['cores']} cores; written {record['date']}); numbers: `text_weights.json`.",
            "",
            "# Texts: what the size of the weights buys",
            "",
            "The table of embedded contexts is nearly all of a text model. Here the part of every hashed context is",
            "made 2, 4, 8 and 16 times smaller (contexts of one byte keep their 256 rows); layers and mixers stay.",
            f"Every size is trained from scratch for the same {rows[0]['train_s']:.0f} seconds of processor time,",
            f"rates falling to zero; mixing weights are learnt on {rows[0]['pieces']} pieces of text.",
            "The last row is the packaged model, trained far longer: it shows what time buys, not size. Its network of",
            "`--effort blocks` is left out of the bytes. Equal time is not equal text: how much a network sees in it",
            "(*MB seen*) also depends on what else the machine runs.",
            "",
            "![Coded size against the size of the weights](text_weights.png)",
            "",
            "Bits a byte, less is better. *Network alone*: 200 pieces of held-out text of all kinds, nothing learnt",
            "inside the text (the packaged model's with its rounded weights, the others' before rounding). *Coded*:",
            "whole files by `bfncodec.encode`, which mixes the network with what it learns inside the file. The novels",
            f"({', '.join(novels)};",
            f"{NOVEL_BYTES:,} bytes of each) are not trained on; {' and '.join(REPORTED)} are evaluation files that",
            "nothing was tuned on.",
            "",
            table(head, lines),
            "",
        ]
    )


def plot(rows: list[Row], path: Path) -> None:
    """Coded bits a byte against the size of the weights, a line for each text."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 5.2), layout="constrained")
    axes = figure.add_subplot()
    time = names(rows[0])[0]
    labels = {"held out": "three held-out novels"}
    for number, name in enumerate(names(rows[0])[1]):
        style = {"color": f"C{number}", "marker": "os^"[number]}
        equal = [(row["weights"] / 1e6, bits(row, name)) for row in rows if not row.get("packaged")]
        axes.plot(*zip(*equal, strict=True), label=f"{labels.get(name, name)}, {time} of training", **style)
        long = [(row["weights"] / 1e6, bits(row, name)) for row in rows if row.get("packaged")]
        axes.plot(*zip(equal[-1], *long, strict=True), ":", color=f"C{number}")
        axes.plot(*zip(*long, strict=True), "*", color=f"C{number}", markersize=13)
    axes.plot([], [], "*", color="grey", markersize=13, label=f"packaged model, {PACKAGED_MINUTES} minutes of training")
    sizes = sorted({row["weights"] / 1e6 for row in rows})
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:.1f}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("size of the weights, MB (1,000,000 bytes)")
    axes.set_ylabel("coded size, bits a byte (less is better)")
    axes.set_title("Coded size of texts by size of the text model's weights")
    axes.grid(True, alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    figure.savefig(path, dpi=120)


@click.command(help="Train, code and compare text models of several sizes.")
@click.option("--data", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--skip", required=True, type=click.Path(exists=True, path_type=Path), help="Names of texts to hold out.")
@click.option("--work", required=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--seconds", default=140.0, show_default=True, help="Processor time of each training.")
@click.option("--pieces", default=24, show_default=True, help="Texts that mixing weights are learnt on.")
@click.option("--out", default=Path(__file__).with_name("results"), type=click.Path(path_type=Path))
@click.option("--shift", type=int, hidden=True, help="In a child process: run this size alone.")
def main(data: Path, skip: Path, work: Path, seconds: float, pieces: int, out: Path, shift: int | None) -> None:
    """Run every size in a process of its own, then write table and plot."""
    work.mkdir(parents=True, exist_ok=True)
    data, skip, work = data.resolve(), skip.resolve(), work.resolve()
    if shift is not None:
        left_out = frozenset(skip.read_text().split())
        if shift == 0:
            from bfncodec.models import zoo

            model = zoo.find("text")
            row = packaged(data, left_out, model) | coded(model, data, left_out)
            (work / "packaged.json").write_text(json.dumps(row))
        model = work / f"shift{shift}.safetensors"
        row = {"shift": shift, "pieces": pieces} | train(data, left_out, seconds, pieces, model)
        (work / f"shift{shift}.json").write_text(json.dumps(row | coded(model, data, left_out)))
        return
    record = measure.record()
    for number in SHIFTS:
        if not (work / f"shift{number}.json").exists():
            command = [sys.executable, "-m", "benchmarks.text_weights", "--data", data, "--skip", skip, "--work", work]
            command += ["--seconds", seconds, "--pieces", pieces, "--shift", number]
            environment = os.environ | {"OMP_NUM_THREADS": "1", "BFNCODEC_CACHE_DIR": str(work / "compiled")}
            subprocess.run(list(map(str, command)), cwd=home(work, number), env=environment, check=True)
    rows = [json.loads((work / f"shift{number}.json").read_text()) for number in SHIFTS]
    rows.append(json.loads((work / "packaged.json").read_text()))
    out.mkdir(parents=True, exist_ok=True)
    (out / "text_weights.json").write_text(json.dumps({"record": record, "rows": rows}, indent=1) + "\n")
    (out / "text_weights.md").write_text(render(rows, record))
    plot(rows, out / "text_weights.png")


if __name__ == "__main__":
    main()
