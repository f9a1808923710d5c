"""The tables and the plot of size against time, from made-up results: no codec runs."""

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import bfncodec
from benchmarks import size_time, theory
from benchmarks.command import command


def measured(size: int | None, encode: float, decode: float | None) -> dict[str, list[Any]]:
    """Two files by one codec, which fails on the second without a size."""
    decoding = [] if decode is None else [decode, decode]
    return {"bytes": [100, size], "encode_seconds": [encode, encode], "decode_seconds": decoding}


@pytest.fixture
def parts() -> dict[str, dict[str, Any]]:
    """Photographs by four codecs of which one fails and one is not installed; a text by one."""
    photographs = {
        "images": ["one.png", "two.png"],
        "unit": "subpixel",
        "units": 1600,
        "families": {"bfncodec": ["bfncodec lattice", "bfncodec max"], "png": ["png"], "bad": ["bad"], "no": ["no"]},
        "codecs": {
            "bfncodec lattice": measured(150, 1.5, 2),
            "bfncodec max": measured(100, 20, 4),
            "png": measured(900, 0.004, None),
            "bad": measured(None, 1, 1),
        },
        "versions": ["png: 1.2"],
        "notes": ["no skipped: no is missing"],
    }
    texts = {
        "files": ["a.txt", "b.txt"],
        "unit": "byte",
        "units": 1000,
        "families": {"bfncodec": ["bfncodec default"]},
        "codecs": {"bfncodec default": measured(150, 1, 1)},
    }
    return {"photographs": photographs, "texts": texts}


def run(parts: dict[str, dict[str, Any]], out: Path, *arguments: str) -> str:
    """The benchmark's command with made-up parts; the table."""
    made = {name: lambda data, limit, part=part: part for name, part in parts.items()}
    benchmark: click.Command = command("size_time", "", made, size_time.render, size_time.plot)
    done = CliRunner().invoke(benchmark, ["--data", ".", "--out", str(out), *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return (out / "size_time.md").read_text()


def test_table_of_size_and_time(parts: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    table = run(parts, tmp_path)
    assert "| bfncodec lattice | 250 | 1.2500 | 3.000 | 4.000 |" in table
    assert "| png | 1,000 | 5.0000 | 0.008 | - |" in table
    assert "| bad" not in table and "| no" not in table
    assert "- png: 1.2\n- no skipped: no is missing\n" in table
    assert "one.png, two.png: 1,600 subpixels." in table and "a.txt, b.txt: 1,000 bytes." in table
    assert table.startswith("# Size against time\n\n![") and "](size_time.png)" in table
    assert set(json.loads((tmp_path / "size_time.json").read_text())) == set(parts)


def test_plot_is_as_wide_as_a_readme(parts: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    run(parts, tmp_path)
    with Image.open(tmp_path / "size_time.png") as image:
        assert image.width == 1200


def test_panel_shows_every_point(parts: dict[str, dict[str, Any]]) -> None:
    """Encoding filled, decoding hollow and only where it was timed; a label for each family and effort."""
    axes = size_time.Figure().add_subplot()
    size_time.draw_panel(axes, parts["photographs"])
    drawn = [(line.get_markerfacecolor(), line.get_xydata().tolist()) for line in axes.lines]
    hollow = [points for face, points in drawn if face == "none"]
    filled = [points for face, points in drawn if face != "none"]
    assert hollow == [[[4.0, 1.25], [8.0, 1.0]]]
    assert filled == [[[3.0, 1.25], [40.0, 1.0]], [[0.008, 5.0]]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["bfncodec", "png"]
    assert [text.get_text() for text in axes.texts] == ["lattice", "max"]


def test_one_part_alone(parts: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    assert "## Photographs" not in run(parts, tmp_path, "--only", "texts")
    assert (tmp_path / "size_time.png").exists()


def test_settings_have_names_of_their_own() -> None:
    for families in (size_time.IMAGE_PEERS, size_time.TEXT_PEERS):
        names = [codec.name for family in families.values() for codec in family]
        assert len(set(names)) == len(names)
        assert len(families) < len(size_time.MARKERS)


@pytest.mark.parametrize("colour", [1, 2])
def test_payload_beside_theory(photo: np.ndarray, tmp_path: Path, colour: int) -> None:
    """What every group takes off the stack is its path loss, also where colour has a pass of its own."""
    jpeg, path = tmp_path / "photo.jpg", tmp_path / "photo.png"
    noise = np.random.default_rng(1).integers(0, 9, (192, 224, 1), np.uint8)
    Image.fromarray(np.tile(photo, (4, 4, 1)) // 2 + noise).save(jpeg, quality=95, subsampling=2 if colour == 2 else 0)
    with Image.open(jpeg) as image:
        image.crop((2, 2, *image.size)).save(path)  # the blocks of whole files would be found
    (block,) = bfncodec.info(bfncodec.encode(path.read_bytes()))["blocks"]
    assert ("sampling" in block) == (colour == 2)
    sums = theory.compare([path], "default")
    for kind, bits in sums.items():
        assert bits["payload"] == pytest.approx(bits["path_loss"], abs=72 * colour), kind
    assert sums["exact"]["payload"] > 1000 and sums["noisy"]["payload"] > 0
