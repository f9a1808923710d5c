"""Markdown that the benchmarks' result files share."""

from collections.abc import Callable
from typing import Any

Part = dict[str, Any]
Sections = dict[str, tuple[str, Callable[[Part], list[str]]]]


def render(name: str, sections: Sections, results: dict[str, Part], head: str = "") -> str:
    """All parts as Markdown: a title and what is under it for each, from `sections`; below a head, or the name."""
    made = f"Made by `python -m benchmarks.{name} --data DIR`; the same numbers are in `{name}.json`."
    pieces = [f"{head or f'# {name.capitalize()}'}\n\n{made}"]
    for key, part in results.items():
        title, draw = sections[key]
        pieces.append("\n\n".join([f"## {title}", *draw(part), _about(part)]))
    return "\n\n".join(pieces) + "\n"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; numbers to the right."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def ratio(size: float | None, reference: float | None) -> str:
    """Four digits, or a dash without both."""
    return f"{size / reference:.4f}" if size is not None and reference else "-"


def _about(part: Part) -> str:
    record = part["record"]
    weights = ", ".join(
        f"{name} {file['bytes']:,} bytes ({file['digest']})" for name, file in record["weights"].items()
    )
    lines = [
        f"{record['date']} UTC; {record['cpu']}, {record['cores']} cores, load {record['load']} at the start; "
        f"bfncodec {record['version']}; weights: {weights}.",
        *part.get("versions", []),
        *part.get("notes", []),
        *(f"**Failed:** {failure}" for failure in part.get("failures", [])),
    ]
    if record["limit"] is not None:
        lines.append(f"A trial with --limit {record['limit']}, not the whole benchmark.")
    return "\n".join(f"- {line}" for line in lines)
