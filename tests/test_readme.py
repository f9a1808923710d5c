"""READMEs and pages in docs: examples in Python run as they stand, links lead somewhere, the map names every file."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
MAP = "bfncodec/README.md"
READMES = [ROOT / "README.md", ROOT / MAP, *sorted(ROOT.glob("bfncodec/models/*/README.md"))]
PAGES = {str(path.relative_to(ROOT)): path for path in [*READMES, *sorted(ROOT.glob("docs/*.md"))]}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in PAGES.items()}
EXAMPLES = [
    pytest.param(example, id=f"{name}-{example.split()[1]}")
    for name, text in TEXTS.items()
    for example in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
]


def prose(text: str) -> str:
    """A page without its blocks of code and its code inside lines."""
    return re.sub(r"`[^`\n]*`", "code", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def anchors(text: str) -> set[str]:
    """What links may name after a #: the page's headings in lower case, without punctuation, hyphens for spaces."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_run(example: str, photo: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(photo).save(tmp_path / "photo.png")
    child = subprocess.run(
        [sys.executable, "-c", example],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stderr


def test_every_library_has_an_example() -> None:
    examples = "".join(str(example.values[0]) for example in EXAMPLES)
    shown = set(re.findall(r"^(?:import|from) (bfncodec\S*)", examples, re.MULTILINE))
    assert shown == {"bfncodec", "bfncodec.pillow", "bfncodec.zarr", "bfncodec.fsspec"}


@pytest.mark.parametrize("name", PAGES)
def test_links_and_images_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", prose(TEXTS[name]))
    missing = []
    for link in links:
        if link.startswith(("http://", "https://")):
            continue
        target, _, anchor = link.partition("#")
        path = (PAGES[name].parent / target).resolve() if target else PAGES[name]
        if not path.exists() or (anchor and anchor not in anchors(path.read_text(encoding="utf-8"))):
            missing.append(link)
    assert not missing


def test_the_readme_leads_to_every_page() -> None:
    linked = set(re.findall(r"\]\((docs/\w[\w-]*\.md)\)", TEXTS["README.md"]))
    assert linked == {name for name in PAGES if name.startswith("docs/")}


def test_the_map_names_every_file() -> None:
    """In tables below headings that name their folder; files that only make a folder a package may be left out."""
    named = []
    for section in re.split(r"^#+ ", TEXTS[MAP], flags=re.MULTILINE)[1:]:
        folder = match[1] if (match := re.match(r"`([\w/]+/)`", section)) else ""
        cells = re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)
        named += [folder + name for cell in cells for name in re.findall(r"`([\w/]+\.py)`", cell)]
    files = {str(path.relative_to(ROOT / "bfncodec")) for path in (ROOT / "bfncodec").rglob("*.py")}
    assert len(set(named)) == len(named) and set(named) <= files
    assert {name for name in files - set(named) if not name.endswith("__init__.py")} == set()
