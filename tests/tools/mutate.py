"""Mutation of arithmetic and comparisons: is every wrong operator caught by a test?

Run as `PYTHONPATH=tests python -m tools.mutate [--minutes 10] [--results FILE] MODULE ...` (such as `exact/pmf`;
all of TESTS by default). Every operator of a module becomes a neighbour (`+` and `-`, `<` and `<=`, `>>` and `<<`,
...) in a copy of the package, and the module's tests run against the copy. FILE (JSON) keeps what came of each mutant,
so that a run goes on where the last one stopped; `--table` prints it as Markdown.
"""

import argparse
import ast
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TIMEOUT = 30  # seconds of one run of tests; a mutant that hangs is killed

# Of the tests of channels, the quickest.
QUICK = " or ".join(
    [
        "whole_receiver",
        "either_end",
        "there_and_back",
        "costs_what_the_path",
        "empty_stack",
        "impossible",
        "divergence_of_vectors",
        "dithered",
    ]
)
# pytest's arguments for a module: the quickest tests that are about it. The first failure ends a run.
TESTS: dict[str, list[str]] = {
    "coding/ans": [
        "coding/test_ans.py",
        "coding/test_mixtures.py",
        "coding/test_protocol.py",
        "coding/test_channels.py",
        "-k",
        "not test_channels or there_and_back",
    ],
    "coding/channels": [
        "flow/test_classes.py",
        "coding/test_protocol.py",
        "coding/test_channels.py",
        "-k",
        f"not test_channels or {QUICK}",
    ],
    "coding/gaussian_receiver": ["coding/test_channels.py", "-k", QUICK],
    "coding/ledger": ["coding/test_ledger.py", "coding/test_protocol.py"],
    "coding/mixtures": ["coding/test_mixtures.py"],
    "coding/protocol": ["coding/test_protocol.py", "flow/test_classes.py"],
    "exact/kernels": ["exact/test_layers_and_kernels.py"],
    "exact/layers": ["exact/test_layers_and_kernels.py"],
    "exact/pmf": ["exact/test_tables.py", "coding/test_mixtures.py", "flow/test_flow.py"],
    "exact/splitmix": ["exact/test_layers_and_kernels.py"],
    "exact/tables": ["exact/test_tables.py", "coding/test_mixtures.py", "flow/test_flow.py", "flow/test_classes.py"],
    "exact/threads": ["exact/test_threads.py"],
    "train/freeze": ["train/test_freeze.py", "exact/test_layers_and_kernels.py"],
}
PLAIN = ("coding/gaussian_receiver", "coding/channels")  # modules whose tests run quicker without compiling

NEIGHBOURS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.USub: ast.UAdd,
}  # fmt: skip
SIGNS = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.FloorDiv: "//", ast.Div: "/", ast.Mod: "%", ast.Pow: "**",
    ast.MatMult: "@", ast.LShift: "<<", ast.RShift: ">>", ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.USub: "-", ast.UAdd: "+",
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One operator of a module that becomes another."""

    module: str
    number: int
    line: int
    change: str
    code: str
    again: int  # how many like it come before it in the module

    @property
    def name(self) -> str:
        """What it is known by as long as its expression stays as it is."""
        return f"{self.module}: {self.code} [{self.change}]" + (f" #{self.again + 1}" if self.again else "")


def operators(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int]]:
    """Nodes with an operator that has a neighbour, the field it is in, and its place there; no annotations."""
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            if getattr(node, field, None) is not None:
                setattr(node, field, None if field == "returns" else ast.Constant(0))
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            for place, one in enumerate(node.ops):
                if type(one) in NEIGHBOURS:
                    yield node, "ops", place
        elif isinstance(node, ast.BinOp | ast.AugAssign | ast.UnaryOp) and type(node.op) in NEIGHBOURS:
            yield node, "op", 0


def is_type(node: ast.AST) -> bool:
    """True for `A | B` of classes, which is no arithmetic."""
    names = [one.id for one in ast.walk(node) if isinstance(one, ast.Name)]
    return bool(names) and all(name[0].isupper() and not name.isupper() for name in names)


def mutants(module: str) -> list[Mutant]:
    """All mutants of a module."""
    source = (ROOT / "bfncodec" / f"{module}.py").read_text()
    found = []
    for number, (node, field, place) in enumerate(operators(ast.parse(source))):
        kind = type(getattr(node, field)[place] if field == "ops" else getattr(node, field))
        if kind is ast.BitOr and is_type(node):
            continue
        line = getattr(node, "lineno", 0)
        change = f"{SIGNS[kind]} to {SIGNS[NEIGHBOURS[kind]]}"
        code = ast.unparse(node).replace("\n", " ")
        again = sum((one.change, one.code) == (change, code) for one in found)
        found.append(Mutant(module, number, line, change, code, again))
    return found


def mutated(mutant: Mutant) -> str:
    """The module's source with one operator changed."""
    tree = ast.parse((ROOT / "bfncodec" / f"{mutant.module}.py").read_text())
    node, field, place = list(operators(tree))[mutant.number]
    if field == "ops":
        node.ops[place] = NEIGHBOURS[type(node.ops[place])]()  # type: ignore[attr-defined]
    else:
        node.op = NEIGHBOURS[type(node.op)]()  # type: ignore[attr-defined]
    return ast.unparse(ast.fix_missing_locations(tree))


def tested(copy: Path, module: str, report: Path) -> int:
    """Run pytest in this process, whose output goes to `report`: the exit code."""
    import pytest

    os.setsid()
    os.chdir(copy)
    os.environ.update(PYTHONPATH=f"{copy}:{copy / 'tests'}", BFNCODEC_CACHE_DIR=str(copy / "compiled"))
    os.environ["BFNCODEC_PLAIN"] = str(int(module in PLAIN))
    sys.path[:0] = [str(copy), str(copy / "tests")]
    sys.dont_write_bytecode = True
    options = ["-q", "-x", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=no"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    chosen = [f"tests/{one}" if one.endswith(".py") else one for one in TESTS[module]]
    with report.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        code = int(pytest.main([*options, *chosen]))
        sys.stdout.flush()
    return code


def run(copy: Path, module: str) -> tuple[bool, str]:
    """Whether the module's tests pass against a copy of the repository, and the first failure.

    In a fork of this process, which has imported everything but the package: that saves most of the time.
    """
    report = copy / "report"
    child = os.fork()
    if not child:
        code = 99
        try:
            code = tested(copy, module, report)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    stop = time.monotonic() + TIMEOUT
    while time.monotonic() < stop:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.02)
    else:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return False, "timeout"
    failures = [
        line.split(" - ")[0] for line in report.read_text().splitlines() if line.startswith(("FAILED", "ERROR"))
    ]
    return status == 0, failures[0] if failures else report.read_text()[-300:]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=sorted(TESTS))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results/mutation.json")
    parser.add_argument("--again", action="store_true", help="Run survivors again, after new tests.")
    parser.add_argument("--list", action="store_true", help="List the mutants and stop.")
    parser.add_argument("--table", action="store_true", help="Print the results and stop.")
    given = parser.parse_args()
    known: dict[str, Any] = json.loads(given.results.read_text()) if given.results.exists() else {}
    waiting = [mutant for module in given.modules for mutant in mutants(module)]
    if given.table:
        return print(table(known, waiting))
    if given.list:
        return print(*(f"{mutant.line:4} {mutant.name}" for mutant in waiting), sep="\n")
    for name in (
        "llvmlite.binding",
        "torch",
        "pytest",
        "hypothesis.extra.numpy",
        "PIL.Image",
        "constriction",
        "safetensors.numpy",
    ):
        importlib.import_module(name)
    stop = time.monotonic() + 60 * given.minutes
    checked: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("bfncodec", "tests", "docs", "benchmarks", "scripts"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, copy)
        for mutant in waiting:
            old = known.get(mutant.name)
            if old is not None and not (given.again and old["end"] == "survived"):
                continue
            if time.monotonic() > stop:
                break
            if mutant.module not in checked:
                passes, failure = run(copy, mutant.module)
                if not passes:
                    sys.exit(f"the tests of {mutant.module} fail without a mutant: {failure}")
                checked.add(mutant.module)
            path = copy / "bfncodec" / f"{mutant.module}.py"
            path.write_text(mutated(mutant))
            passes, failure = run(copy, mutant.module)
            shutil.copy(ROOT / "bfncodec" / f"{mutant.module}.py", path)
            known[mutant.name] = {"end": "survived" if passes else "killed", "by": "" if passes else failure}
            print(
                f"{mutant.line:4} {mutant.name}: {known[mutant.name]['end']} {failure if not passes else ''}",
                flush=True,
            )
            given.results.write_text(json.dumps(known, indent=0, sort_keys=True) + "\n")


def table(known: dict[str, Any], wanted: list[Mutant]) -> str:
    """Counts a module, as Markdown."""
    lines = ["| module | mutants | run | killed | equivalent | survived |", "|---|---|---|---|---|---|"]
    sums = [0] * 5
    for module in sorted({mutant.module for mutant in wanted}):
        ends = [known.get(mutant.name, {}).get("end") for mutant in wanted if mutant.module == module]
        row = [
            len(ends),
            len(ends) - ends.count(None),
            *(ends.count(end) for end in ("killed", "equivalent", "survived")),
        ]
        sums = [one + more for one, more in zip(sums, row, strict=True)]
        lines.append(f"| {module} | " + " | ".join(map(str, row)) + " |")
    return "\n".join([*lines, "| all | " + " | ".join(map(str, sums)) + " |"])


if __name__ == "__main__":
    main()
