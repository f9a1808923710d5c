"""Where the model of JPEG files starts is learnt from files."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from jpeg.test_files import jpeg

from bfncodec import api
from bfncodec.cli.main import main
from bfncodec.models.jpeg.networks import SEEN
from bfncodec.train.jpeg import networks
from bfncodec.train.jpeg.networks import CHUNK, CHUNKS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    (folder / "deeper").mkdir(parents=True)
    for number in range(6):
        name = f"deeper/{number}.JPG" if number % 2 else f"{number}.jpeg"
        (folder / name).write_bytes(jpeg(96, 80, "RGB", seed=number, quality=80 + number))
    (folder / "other.jpg").write_bytes(b"no such file")
    (folder / "words.txt").write_bytes(b"words")
    return folder


def test_what_was_learnt_makes_files_smaller(folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "mine.safetensors"
    done = CliRunner().invoke(
        main, ["train", "jpeg", "--data", str(folder), "-o", str(model), "--buckets", "500"], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    data = jpeg(96, 80, "RGB", seed=9, quality=83)
    before, after = api.encode(data, model="tiny-jpeg"), api.encode(data, model=str(model))
    assert len(after) < len(before) and api.decode(after) == data


def test_folders_without_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "words.jpg").write_bytes(b"words")
    done = CliRunner().invoke(main, ["train", "jpeg", "--data", str(tmp_path), "-o", str(tmp_path / "a.safetensors")])
    assert done.exit_code == 1 and "holds no JPEG files to train on" in done.output
    assert not (tmp_path / "a.safetensors").exists()


@pytest.mark.parametrize("steps", [1, 8, 9, 10, 11])
def test_networks_learn_from_few_numbers(steps: int) -> None:
    notes = np.zeros((steps * CHUNKS * CHUNK, SEEN + 3), np.uint8)
    assert networks.train(notes, 1, 0, lambda _: None)["jpeg.first"].any()


def test_other_names_are_refused(folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["train", "jpeg", "--data", str(folder), "-o", str(tmp_path / "mine.model")])
    assert done.exit_code == 1 and "safetensors" in done.output and not list(tmp_path.glob("mine*"))
