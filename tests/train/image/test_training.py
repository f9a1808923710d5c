"""Training of image models: what is held out, what the seed decides, parts, exact resumption, what is written."""

import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from tools import make_tiny
from tools.command import call

import bfncodec
from bfncodec.errors import BfnError
from bfncodec.models import zoo
from bfncodec.train.image import tasks, train
from bfncodec.train.image.photographs import Photographs, SmallImages
from bfncodec.train.image.tasks import CosetTask, PixelTask
from bfncodec.train.image.train import DEVIATIONS, ImagePlan, ImageTraining

SIZES = {"width": 8, "blocks": 1, "head": 8, "mixtures": 2, "embedding": 4, "pixels": 64}
CHANGES = {**SIZES, "steps": 6, "rounded": 0.5}
SIDE = 24  # of the smallest photographs
PARTS = ("wavefront", "T", "D", "H", "V")


def quiet(_: str) -> None:
    """Log nothing."""


@pytest.fixture(scope="module", autouse=True)
def small_pools() -> Iterator[None]:
    """Small photographs; pools that are filled at once, and filled again after every second step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "ROWS", 1 << 9)
        patch.setattr(tasks, "FILLS", 4)
        patch.setattr(tasks, "STEPS_PER_FILL", 2)
        patch.setattr(Photographs, "side", SIDE)
        patch.setattr(Photographs, "pool_tiles", 8)
        patch.setattr(Photographs, "tiles_per_fill", 2)
        patch.setattr(Photographs, "steps_per_fill", 2)
        yield


def array(folder: Path, count: int, side: int = 16) -> Path:
    """Small images, in a file."""
    np.save(folder / "images.npy", make_tiny.pictures(count, side))
    return folder / "images.npy"


def photographs(folder: Path, count: int, side: int = SIDE + 2) -> Path:
    """A folder of photographs."""
    (folder / "photos").mkdir()
    for number, pixels in enumerate(make_tiny.pictures(count, side)):
        Image.fromarray(pixels).save(folder / "photos" / f"{number:02}.png", compress_level=1)
    return folder / "photos"


def names_of(images: np.ndarray | list[np.ndarray]) -> set[bytes]:
    return {image.tobytes() for image in images}


# The data


@pytest.mark.parametrize("count", [2, 3, 9, 10, 20, 999, 1001, 1500, 2500])
def test_some_small_images_are_trained_on_and_some_held_out(tmp_path: Path, count: int) -> None:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).integers(0, 256, (count, 9, 9, 3), np.uint8))
    images = SmallImages(tmp_path / "a.npy", 0)
    assert len(images.held_out) == max(count // 10, 1)
    assert len(images.images) >= max((count - len(images.held_out)) // 2, 1)
    assert not names_of(images.images) & names_of(images.held_out)
    assert names_of(images.variant(number)[0] for number in range(50)) <= names_of(images.images)


@pytest.mark.parametrize("count", [2, 20, 1500])
def test_few_small_images_fill_the_pools(tmp_path: Path, count: int) -> None:
    """All of those to train on, as they are and mirrored; and every pixel of those held out is validated once."""
    images = SmallImages(array(tmp_path, count, 9), 0)
    task = PixelTask(images, 50, 0, "cpu")
    batch = task.batch(0, 0)
    assert batch.values.shape == (81, 3) and task.pool is not None  # one window
    inner = task.pool.pixels[:, -9:, :, :3]
    shown = {
        tile[:, left : left + 9].astype(np.uint8).tobytes() for tile in inner for left in range(inner.shape[2] - 8)
    }
    assert names_of(images.images) | names_of(images.images[:, :, ::-1]) <= shown
    assert sum(len(part.values) for part in task.held_out()) == 81 * len(images.held_out)
    coset = CosetTask(images, "D", DEVIATIONS, 50, 0, "cpu")
    assert len(coset.batch(0, 0).values) == 50 and len(next(coset.held_out()).values)


def test_some_photographs_are_trained_on_and_some_held_out(tmp_path: Path) -> None:
    """Of those that are large enough; every sixteenth is held out."""
    folder = photographs(tmp_path, 18)
    Image.new("RGB", (99, SIDE - 1)).save(folder / "00-small.png")
    images = Photographs(folder, 0)
    assert (len(images.images), len(images.held_out)) == (16, 2)
    assert not names_of(images.images) & names_of(images.held_out)
    few = Photographs(folder, 0, frozenset(f"{number:02}.png" for number in range(2, 18)))
    assert (len(few.images), len(few.held_out)) == (1, 1)


TOO_FEW: dict[str, Callable[[Path], Path]] = {
    "no image": lambda folder: array(folder, 0),
    "one image": lambda folder: array(folder, 1),
    "tiny images": lambda folder: array(folder, 20, 8),
    "no photograph": lambda folder: photographs(folder, 0),
    "one photograph": lambda folder: photographs(folder, 1),
    "small photographs": lambda folder: photographs(folder, 3, SIDE - 1),
}


@pytest.mark.parametrize("case", TOO_FEW)
def test_too_little_to_train_on(tmp_path: Path, case: str) -> None:
    """One line that names the data, and nothing is written."""
    data = TOO_FEW[case](tmp_path)
    with pytest.raises(BfnError, match="to train on"):
        train.train(data, tmp_path / "model.safetensors", tmp_path / "work", changes=CHANGES, log=quiet)
    result = call("train", "images", "--data", data, "-o", tmp_path / "model.safetensors", "--steps", 2)
    assert result.code == 1 and len(result.err.splitlines()) == 1 and str(data) in result.err
    assert [path.name for path in tmp_path.iterdir()] == [data.name]


def test_what_is_no_array_of_small_images(tmp_path: Path) -> None:
    for number, wrong in enumerate((np.zeros((9, 8, 8)), np.zeros((9, 8, 8, 3)), np.zeros((9, 8, 4, 3), np.uint8))):
        np.save(tmp_path / f"{number}.npy", wrong)
        with pytest.raises(BfnError, match=r"expected uint8 \[N, side, side, 3\]"):
            SmallImages(tmp_path / f"{number}.npy", 0)


# The seed


@pytest.mark.parametrize("kind", ["small", "photographs"])
def test_variants_follow_the_seed(tmp_path: Path, kind: str) -> None:
    """And the random numbers to go on with."""

    def variants(seed: int) -> list[tuple[bytes, float]]:
        images = SmallImages(path, seed) if path.is_file() else Photographs(path, seed)
        made = [images.variant(number) for number in range(12)]
        return [(image.tobytes(), random.random()) for image, random in made]

    path = array(tmp_path, 40) if kind == "small" else photographs(tmp_path, 4)
    first, again, other = variants(3), variants(3), variants(4)
    assert first == again
    assert len(set(first)) == 12 and not set(first) & set(other)
    assert [image for image, _ in first] != [image for image, _ in other]


@pytest.mark.parametrize("kind", ["SmallImages", "Photographs"])
@pytest.mark.parametrize("seed", [None, 0, 5])
def test_the_plans_seed_is_the_datas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, seed: int | None
) -> None:
    made: list[Any] = []

    def noted(path: Path, given: int, *rest: Any) -> None:
        made.append((path, given))
        raise BfnError("enough")

    monkeypatch.setattr(train, kind, noted)
    data = array(tmp_path, 2) if kind == "SmallImages" else photographs(tmp_path, 2)
    with pytest.raises(BfnError, match="enough"):
        train.train(data, tmp_path / "a.safetensors", tmp_path / "work", changes={"seed": seed}, log=quiet)
    assert made == [(data, seed or 0)]


# Resumption


def training(data: Path, part: str, plan: ImagePlan) -> ImageTraining:
    images = SmallImages(data, plan.seed) if data.is_file() else Photographs(data, plan.seed)
    return ImageTraining(train._task(images, part, plan, "cpu"), plan, "cpu", quiet)


@pytest.mark.parametrize(
    "kind, part", [("small", "wavefront"), ("photographs", "wavefront"), ("photographs", "T"), ("small", "D")]
)
@pytest.mark.parametrize("stop", [3, 5, 8])
def test_resumed_training_is_as_if_it_had_not_stopped(tmp_path: Path, kind: str, part: str, stop: int) -> None:
    """The same weights, optimisers and grids to the last bit: before, when and after rounding begins."""
    data = array(tmp_path, 20) if kind == "small" else photographs(tmp_path, 4)
    plan = ImagePlan(**SIZES, steps=10, rounded=0.5)
    whole, cut = tmp_path / "whole.safetensors", tmp_path / "cut.safetensors"
    training(data, part, plan).run(whole, 1e9)
    broken = training(data, part, plan)
    batch = broken.task.batch

    def stops(step: int, *rest: Any) -> Any:
        if step == stop:
            raise KeyboardInterrupt
        return batch(step, *rest)

    broken.task.batch = stops  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        broken.run(cut, -1.0)
    resumed = training(data, part, plan)
    resumed.resume(cut)
    assert resumed.step == stop and (resumed.local.grids is None) == (stop <= 5)
    resumed.run(cut, 1e9)
    one, other = load_file(whole), load_file(cut)
    assert one.keys() == other.keys() and any(name.startswith("grid.") for name in one)
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_a_longer_plan_goes_on_in_floating_point(tmp_path: Path) -> None:
    """Until its own last part."""
    data, path = array(tmp_path, 20), tmp_path / "work.safetensors"
    plan = ImagePlan(**SIZES, steps=6, rounded=0.5)
    made = training(data, "wavefront", plan)
    made.run(path, 1e9)
    assert made.local.grids is not None
    longer = training(data, "wavefront", replace(plan, steps=16))
    longer.resume(path)
    assert longer.step == 6 and longer.local.grids is None
    longer.run(path, 1e9)
    assert longer.step == 16 and longer.local.grids is not None


# Whole models


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, a model of them and its checkpoints."""
    folder = tmp_path_factory.mktemp("trained")
    train.train(array(folder, 20), folder / "model.safetensors", folder / "work", changes=CHANGES, log=quiet)
    return folder


def again(folder: Path, **options: Any) -> list[str]:
    """Train once more on the same images, in another folder; what is logged."""
    told: list[str] = []
    train.train(folder / "images.npy", folder / "again.safetensors", folder / "work", log=told.append, **options)
    return told


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    """The same to be changed."""
    (tmp_path / "work").mkdir()
    for name in ("images.npy", "model.safetensors", *(f"work/{part}.safetensors" for part in PARTS)):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    return tmp_path


def test_training_writes_a_model(trained: Path) -> None:
    """It encodes and decodes, and its card tells what was done."""
    path = trained / "model.safetensors"
    assert sorted(item.name for item in trained.rglob("*.*")) == sorted(
        ["images.npy", "model.safetensors", *(f"{part}.safetensors" for part in PARTS)]
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o644 and zoo.kind(path) == "images"
    card = zoo.card(path)
    assert list(card) == ["data", *PARTS] and card["data"] == "small"
    for part in PARTS:
        assert card[part]["plan"]["steps"] == 6 and card[part]["plan"]["width"] == 8
        assert 0 < card[part]["held_out_bits"] < 20
    pixels = make_tiny.pictures(1, 24)[0]
    for effort in ("default", "lattice"):
        encoded = bfncodec.encode(pixels, model=str(path), effort=effort)
        assert np.array_equal(bfncodec.decode(encoded), pixels)


def test_models_follow_the_seed(copied: Path) -> None:
    before = load_file(copied / "model.safetensors")
    for seed, same in ((0, True), (2, False)):
        shutil.rmtree(copied / "work")
        again(copied, changes={**CHANGES, "seed": seed})
        after = load_file(copied / "again.safetensors")
        for part in PARTS:
            names = [name for name in before if name.startswith(part + ".")]
            assert all(np.array_equal(before[name], after[name]) for name in names) == same, part


def test_going_on_from_the_end_changes_nothing(copied: Path) -> None:
    told = again(copied, changes=CHANGES)
    assert (copied / "again.safetensors").read_bytes() == (copied / "model.safetensors").read_bytes()
    assert sum(line.startswith("going on from step 6 ") for line in told) == len(PARTS)


# Parts


def nothing_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr(ImageTraining, "run", run)


@pytest.mark.parametrize(
    "parts, words",
    [
        (["misspelt"], "no part of an image model is called 'misspelt'; there are wavefront, T, D, H, V"),
        (["T", "misspelt"], "called 'misspelt'"),
        (["wavefront"], "no checkpoints of T, D, H, V, which a model needs too"),
        (["D", "T", "wavefront"], "no checkpoints of H, V, which"),
    ],
)
@pytest.mark.parametrize("kind", ["small", "photographs"])
def test_parts_that_cannot_be_exported_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, parts: list[str], words: str
) -> None:
    """One line at once: not even the images are read."""
    nothing_is_trained(monkeypatch)
    data = tmp_path / "images.npy" if kind == "small" else tmp_path / "photos"
    data.write_bytes(b"not read") if kind == "small" else data.mkdir()
    output, work = tmp_path / "model.safetensors", tmp_path / "work"
    with pytest.raises(BfnError, match=words):
        train.train(data, output, work, parts=tuple(parts), log=quiet)
    options = [word for part in parts for word in ("--part", part)]
    result = call("train", "images", "--data", data, "-o", output, "--work", work, *options)
    assert result.code == 1 and len(result.err.splitlines()) == 1 and words in result.err
    assert [path.name for path in tmp_path.iterdir()] == [data.name]


def test_a_misspelt_part_where_all_others_are_there(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_is_trained(monkeypatch)
    with pytest.raises(BfnError, match="'misspelt'"):
        again(copied, parts=("misspelt",))
    assert not (copied / "again.safetensors").exists()


def test_one_part_is_trained_on(copied: Path) -> None:
    """The others are exported as they are, whatever size they have."""
    kept = {part: (copied / "work" / f"{part}.safetensors").read_bytes() for part in PARTS[1:]}
    told = again(copied, parts=("wavefront",), changes={**CHANGES, "steps": 9})
    assert any(line.startswith("wavefront: ") and line.endswith(" 9 steps") for line in told)
    assert sum(line.endswith(" steps") for line in told) == 1
    assert all((copied / "work" / f"{part}.safetensors").read_bytes() == kept[part] for part in kept)
    before, after = (load_file(copied / f"{name}.safetensors") for name in ("model", "again"))
    changed = {name.split(".")[0] for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"wavefront"} and before.keys() == after.keys()
    cards = [zoo.card(copied / f"{name}.safetensors") for name in ("model", "again")]
    assert cards[1] == cards[0] | {"wavefront": cards[1]["wavefront"]} and list(cards[1]) == list(cards[0])
    assert cards[1]["wavefront"]["plan"]["steps"] == 9


def test_a_part_that_was_interrupted_is_found_before_others_are_trained(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copied / "work" / "D.safetensors"
    path.unlink()
    training(copied / "images.npy", "D", ImagePlan(**SIZES, steps=9, rounded=0.1)).save(path)
    nothing_is_trained(monkeypatch)
    with pytest.raises(BfnError, match=r"D\.safetensors has not been trained with integer rounding yet; train D, too"):
        again(copied, parts=("wavefront",), changes=CHANGES)


def test_checkpoints_of_other_networks_are_found_before_any_is_trained(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copied / "work" / "wavefront.safetensors").unlink()
    nothing_is_trained(monkeypatch)
    with pytest.raises(BfnError, match=r"T\.safetensors is the checkpoint of another network"):
        again(copied, changes={**CHANGES, "width": 12})
