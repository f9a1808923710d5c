"""Encoding of data sets on dask: workers that are killed, jobs that are started again, the bytes of one process."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bfncodec
from bfncodec.errors import BfnError, UnsupportedFeature

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
zarr = pytest.importorskip("zarr")

from bfncodec import bulk  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("default::DeprecationWarning", "default::ResourceWarning", "default::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def images(count: int, side: int = 16, channels: int = 3) -> np.ndarray:
    random = np.random.default_rng(0)
    coarse = random.integers(0, 240, (count, side // 8, side // 8, channels)).repeat(8, 1).repeat(8, 2)
    return (coarse + random.integers(0, 8, (count, side, side, channels))).astype(np.uint8)


def write_zarr(path: Path, pixels: np.ndarray, per_chunk: int) -> Path:
    array = zarr.create_array(path, shape=pixels.shape, chunks=(per_chunk, *pixels.shape[1:]), dtype="uint8")
    array[:] = pixels
    return path


def write_files(folder: Path) -> Path:
    (folder / "more").mkdir(parents=True)
    for number, pixels in enumerate(images(3)):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    Image.fromarray(images(1)[0]).save(folder / "more" / "0.ppm")
    (folder / "more" / "empty").write_bytes(b"")
    (folder / "noise.bin").write_bytes(np.random.default_rng(1).bytes(5000))
    return folder


def outputs(target: Path) -> dict[str, bytes]:
    return {p.relative_to(target).as_posix(): p.read_bytes() for p in target.rglob("*") if p.is_file()}


def times(target: Path) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in target.rglob("*.bfn")}


@pytest.fixture
def alone() -> Iterator[None]:
    """One process, one thread."""
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(scope="module")
def client(models: Path) -> Iterator[Any]:
    """Two worker processes on loopback, that find the tiny models."""
    before = os.environ.get("BFNCODEC_MODEL_DIR")
    os.environ["BFNCODEC_MODEL_DIR"] = str(models)
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
    )
    with cluster, distributed.Client(cluster, set_as_default=True) as made:
        yield made
    os.environ.pop("BFNCODEC_MODEL_DIR")
    if before is not None:
        os.environ["BFNCODEC_MODEL_DIR"] = before


def test_a_killed_worker_loses_nothing(client: Any, tmp_path: Path, tiny: Path) -> None:
    pixels = images(600)
    source = write_zarr(tmp_path / "images.zarr", pixels, 20)
    target, choices = tmp_path / "many", {"model": str(tiny)}
    made: list[Any] = []
    job = threading.Thread(target=lambda: made.append(bulk.encode_dataset(source, target, **choices)))
    pids = client.run(os.getpid)
    job.start()
    killed = None
    while killed is None and job.is_alive():
        time.sleep(0.01)
        busy = [address for address, tasks in client.processing().items() if tasks and address in pids]
        if busy and len(list(target.glob("*.bfn"))) >= 4:
            killed = busy[0]
            os.kill(pids[killed], signal.SIGKILL)
            before = times(target)
    assert killed is not None and len(before) < 30, "the worker died in the middle"
    job.join(60)
    assert len(made) == 1 and len(made[0]["items"]) == 30
    assert killed not in client.scheduler_info()["workers"], "it is another process that took over"

    with dask.config.set(scheduler="synchronous"):
        one = bulk.encode_dataset(source, tmp_path / "one", **choices)
    assert one == made[0]
    many, wanted = outputs(target), outputs(tmp_path / "one")
    assert many == wanted and len(wanted) == 32
    back = [bulk.decode_chunk(target / item["name"]) for item in one["items"]]
    assert np.array_equal(np.concatenate(back), pixels)
    # What was there when the worker died was not made again, nor is anything now.
    after = times(target)
    assert before.items() <= after.items()
    assert bulk.encode_dataset(source, target, **choices) == one
    assert times(target) == after


def test_files_on_workers(client: Any, tmp_path: Path, tiny: Path) -> None:
    source = write_files(tmp_path / "files")
    made = bulk.encode_dataset(source, tmp_path / "many", model=str(tiny))
    assert [item["name"] for item in made["items"]] == [
        f"{name}.bfn" for name in ("0.png", "1.png", "2.png", "more/0.ppm", "more/empty", "noise.bin")
    ]
    for item in made["items"]:
        original = source / item["name"].removesuffix(".bfn")
        data = (tmp_path / "many" / item["name"]).read_bytes()
        assert data == bfncodec.encode(original.read_bytes(), model=str(tiny)) and len(data) == item["bytes"]
    assert json.loads((tmp_path / "many" / bulk.MANIFEST).read_text()) == made


def test_only_what_is_missing_damaged_or_old_is_made_again(alone: None, tmp_path: Path, tiny: Path) -> None:
    source, target = write_files(tmp_path / "files"), tmp_path / "made"
    bulk.encode_dataset(source, target, model=str(tiny))
    wanted, before = outputs(target), times(target)
    (target / "0.png.bfn").unlink()
    (target / "1.png.bfn").write_bytes(wanted["1.png.bfn"][:-1])
    (target / "more" / "empty.bfn").write_bytes(b"")
    os.utime(source / "2.png", ns=(1 << 62, 1 << 62))
    bulk.encode_dataset(source, target, model=str(tiny))
    assert outputs(target) == wanted
    after = times(target)
    assert {name for name in before if after[name] != before[name]} == {
        "0.png.bfn", "1.png.bfn", "2.png.bfn", "empty.bfn"
    }  # fmt: skip


def test_the_manifest_comes_last(alone: None, tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = write_files(tmp_path / "files"), tmp_path / "made"
    bulk.encode_dataset(source, target, model=str(tiny))
    (target / "1.png.bfn").unlink()
    (source / "1.png").write_bytes(b"\x89PNG")

    def fails(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(bulk.api, "encode_file", fails)
    with pytest.raises(KeyboardInterrupt):
        bulk.encode_dataset(source, target, model=str(tiny))
    assert not (target / bulk.MANIFEST).exists() and not list(target.rglob("*.part"))


@pytest.mark.parametrize("shape", [(5, 16, 16), (5, 16, 24, 1), (5, 8, 8, 2), (3, 24, 16, 4)])
def test_arrays_of_other_shapes(alone: None, shape: tuple[int, ...], tmp_path: Path, tiny: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 4, shape).astype(np.uint8)
    source = write_zarr(tmp_path / "a.zarr", pixels, 2)
    made = bulk.encode_dataset(source, tmp_path / "made", model=str(tiny))
    back = [bulk.decode_chunk(tmp_path / "made" / item["name"]) for item in made["items"]]
    assert np.array_equal(np.concatenate(back).reshape(shape), pixels)
    assert [len(part) for part in back] == [2] * (shape[0] // 2) + [1]


def test_what_is_refused(alone: None, tmp_path: Path, tiny: Path) -> None:
    source, target = write_files(tmp_path / "files"), tmp_path / "made"
    bulk.encode_dataset(source, target, model=str(tiny))
    with pytest.raises(BfnError, match="other choices"):
        bulk.encode_dataset(source, target, model=str(tiny), effort="lattice")
    with pytest.raises(BfnError, match="another folder"):
        bulk.encode_dataset(source, source / "made")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BfnError, match="nothing"):
        bulk.encode_dataset(tmp_path / "empty", tmp_path / "other")
    zarr.create_array(tmp_path / "b.zarr", shape=(2, 8, 8), chunks=(1, 8, 8), dtype="uint16")
    with pytest.raises(UnsupportedFeature, match="uint16"):
        bulk.encode_dataset(tmp_path / "b.zarr", tmp_path / "other")
