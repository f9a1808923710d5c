"""Where encoding and decoding spend their time, by stage.

    python -m benchmarks.profile --data DIR

One Kodak photograph and one book, in one process, after a warm-up that compiles what is compiled. Stages are
told in one thread; encoding an image overlaps some of them where there are two.
"""

import cProfile
import json
import pstats
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import bfncodec
from benchmarks import measure as machine
from benchmarks.tables import table
from bfncodec.exact import threads

RESULTS = Path(__file__).with_name("results")
# The first that a function's file (and name) contains; time in NumPy's own functions goes to who called them.
STAGES = {
    "matrix products": ["exact/kernels.py:matmul", "exact/products.py"],
    "between products": [
        "exact/kernels.py",
        "exact/layers.py",
        "learning_heads.py:_dense",
        "learning_heads.py:_join",
        "learning_heads.py:output",
    ],
    "learning of heads": ["models/image/learning_heads.py"],
    "inputs, linear base": [
        "models/image/compiled_features.py",
        "models/image/linear.py",
        "models/image/coefficients.py",
    ],
    "pmfs, symbols": ["models/image/outputs.py", "coding/mixtures.py", "exact/pmf.py", "exact/tables.py"],
    "entropy coder": ["coding/", "constriction"],
    "order of pixels": ["models/image/wavefront.py", "models/image/diagonals.py", "models/image/features.py"],
    "thumbnail": ["models/image/cosets.py", "flow/"],
    "text loop": ["models/text/"],
    "LZMA": ["lzma.py", "blocks/plain.py"],
    "PNG": ["PIL/", "media/", "zlib"],
}


def stages(work: Callable[[], Any]) -> tuple[float, dict[str, float]]:
    """Seconds of a piece of work, and the share of each stage in the profiler's own time."""
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    profile = cProfile.Profile()
    threads.limit(1)
    profile.runcall(work)
    threads.limit(0)
    stats: Any = pstats.Stats(profile)
    sums = dict.fromkeys([*STAGES, "rest"], 0.0)
    for (file, _, name), (_, _, own, _, callers) in stats.stats.items():
        if file == "~" or "numpy" in file:  # built-in, or NumPy: by caller
            for (caller, _, calling), part in callers.items():
                sums[_stage(caller, calling)] += part[2]
        else:
            sums[_stage(file, name)] += own
    total = sum(sums.values())
    return seconds, {stage: part / total for stage, part in sums.items() if part / total > 0.005}


def _stage(file: str, name: str) -> str:
    where = f"{file}:{name}"
    return next((stage for stage, marks in STAGES.items() if any(mark in where for mark in marks)), "rest")


@click.command(help=__doc__)
@click.option("--data", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=RESULTS)
def main(data: Path, out: Path) -> None:
    """Measure and write profile.json and profile.md."""
    files = [data / "kodak" / "kodim23.png", data / "canterbury" / "canterbury" / "alice29.txt"]
    record = machine.record()
    results: dict[str, Any] = {}
    for path in files:
        content = path.read_bytes()
        coded = bfncodec.encode(content)
        bfncodec.decode(coded)
        results[f"{path.name}, encode"] = stages(lambda: bfncodec.encode(content))  # noqa: B023
        results[f"{path.name}, decode"] = stages(lambda: bfncodec.decode(coded))  # noqa: B023
    shown = [stage for stage in [*STAGES, "rest"] if any(stage in parts for _, parts in results.values())]
    rows = [[stage, *(f"{parts.get(stage, 0):.0%}" for _, parts in results.values())] for stage in shown]
    rows.append(["**seconds, unprofiled**", *(f"{seconds:.2f}" for seconds, _ in results.values())])
    lines = [
        "# Profile", "Made by `python -m benchmarks.profile --data DIR`; the same numbers are in `profile.json`.",
        table(["stage", *results], rows),
        f"- {record['date']} UTC; {record['cpu']}, {record['cores']} cores, load {record['load']} at the start.",
    ]  # fmt: skip
    (out / "profile.json").write_text(json.dumps({"record": record, "runs": results}, indent=1) + "\n")
    (out / "profile.md").write_text("\n\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
