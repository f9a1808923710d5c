"""Encoding of data sets on dask: workers that are killed, jobs that are started again, the bytes of one process."""

import errno
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
from click.testing import CliRunner
from PIL import Image

import bfncodec
from bfncodec import inputs
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

    monkeypatch.setattr(bulk.encoding, "encode_file", fails)
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


@pytest.mark.parametrize(
    ("choices", "word"),
    [
        ({"model": "text"}, "text is no model of images"),
        ({"model": "tiny-values"}, "tiny-values is no model of images"),
        ({"media": "bytes"}, "media is for files"),
        ({"media": "text"}, "media is for files"),
    ],
)
def test_choices_that_no_chunk_can_be_encoded_with(
    alone: None, choices: dict[str, str], word: str, tmp_path: Path, tiny: Path
) -> None:
    """One error, and not one for every chunk; nothing is begun. Files take what images do not."""
    source, target = write_zarr(tmp_path / "a.zarr", images(5), 2), tmp_path / "made"
    with pytest.raises(UnsupportedFeature, match=word):
        bulk.encode_dataset(source, target, **choices)
    assert not target.exists()
    for media in ("auto", "image"):
        made = bulk.encode_dataset(source, tmp_path / media, model=str(tiny), media=media)
        assert len(made["items"]) == 3 and not made["failed"]
    if choices.get("model") != "tiny-values":
        assert not bulk.encode_dataset(write_files(tmp_path / "files"), target, **choices)["failed"]


def failures(made: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["error"] for entry in made["failed"]}


def test_one_bad_file_stops_no_other(alone: None, tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unreadable, gone, above a limit, on a full disk, or a bug: the manifest says so, and the next run goes on."""
    source, target = write_files(tmp_path / "files"), tmp_path / "made"
    for name in ("closed", "gone", "bug", "full"):
        (source / name).write_bytes(name.encode())
    Image.fromarray(images(1, 32)[0]).save(source / "large.png")
    reading, encode_file, write = inputs.reading, bulk.encoding.encode_file, bulk._write

    def read(path: Path) -> Any:
        if path.name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied")
        if path.name == "gone":
            path.unlink()
        return reading(path)

    def encode(data: Any, *rest: Any, **choices: Any) -> Any:
        assert bytes(data) != b"bug", "a mistake of ours"
        return encode_file(data, *rest, **choices)

    def full(path: Path, data: bytes) -> None:
        if path.name == "full.bfn":
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data)

    monkeypatch.setattr(inputs, "reading", read)
    monkeypatch.setattr(bulk.encoding, "encode_file", encode)
    monkeypatch.setattr(bulk, "_write", full)
    made = bulk.encode_dataset(source, target, model=str(tiny), max_pixels=900)
    assert len(made["items"]) == 6 and json.loads((target / bulk.MANIFEST).read_text()) == made
    told = failures(made)
    assert told.pop("closed") == "Permission denied" and told.pop("gone") == "No such file or directory"
    assert told.pop("bug").startswith("AssertionError: a mistake of ours")
    assert "full.bfn cannot be written: No space left" in told.pop("full") and "--max-pixels" in told.pop("large.png")
    assert not told
    monkeypatch.undo()
    assert not bulk.encode_dataset(source, target, model=str(tiny), max_pixels=2000)["failed"]


def test_writing_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(BfnError, match="No space"):
        bulk._write(tmp_path / "x", b"x")
    assert not list(tmp_path.iterdir())


def test_a_file_that_changes_is_encoded_the_next_time(
    alone: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An output of what it was before would look younger than the file."""
    source, target = tmp_path / "files", tmp_path / "made"
    source.mkdir()
    for name in ("appended", "replaced"):
        (source / name).write_bytes(b"before")
    (tmp_path / "new").write_bytes(b"after!")
    os.utime(tmp_path / "new", ns=(1, 1))
    encode_file = bulk.encoding.encode_file

    def encode(data: Any, *rest: Any, **choices: Any) -> Any:
        made = encode_file(data, *rest, **choices)
        if Path(data.file.name).name == "appended":
            (source / "appended").write_bytes(b"beforemore")
        else:
            (tmp_path / "new").rename(source / "replaced")
        return made

    monkeypatch.setattr(bulk.encoding, "encode_file", encode)
    made = bulk.encode_dataset(source, target)
    assert failures(made) == dict.fromkeys(("appended", "replaced"), "changed while it was read")
    assert not made["items"] and not list(target.glob("*.bfn"))
    monkeypatch.setattr(bulk.encoding, "encode_file", encode_file)
    bulk.encode_dataset(source, target)
    assert bfncodec.decode((target / "appended.bfn").read_bytes()) == b"beforemore"
    assert bfncodec.decode((target / "replaced.bfn").read_bytes()) == b"after!"


def test_links_are_followed_to_files_and_all_else_is_named(
    alone: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes of files in /proc are wrong; folders may be closed."""
    source, target = tmp_path / "files", tmp_path / "made"
    (source / "folder").mkdir(parents=True)
    (source / "closed").mkdir()
    (source / "folder" / "a").write_bytes(b"words")
    (source / "link").symlink_to("folder/a")
    (source / "same").symlink_to("folder")
    (source / "nowhere").symlink_to("lost")
    os.mkfifo(source / "pipe")
    name = Path("/proc/sys/kernel/hostname")
    if name.exists():
        (source / "host").symlink_to(name)
    scan = os.scandir

    def guarded(path: str) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", guarded)
    made = bulk.encode_dataset(source, target)
    assert [item["name"] for item in made["items"]] == ["folder/a.bfn", *["host.bfn"] * name.exists(), "link.bfn"]
    assert made["skipped"] == ["nowhere", "pipe", "same"] and failures(made) == {"closed": "Permission denied"}
    assert bfncodec.decode((target / "link.bfn").read_bytes()) == b"words"
    if name.exists():
        assert bfncodec.decode((target / "host.bfn").read_bytes()) == name.read_bytes() != b""


def test_a_chunk_that_cannot_be_read(alone: None, tmp_path: Path, tiny: Path) -> None:
    source = write_zarr(tmp_path / "a.zarr", images(5), 2)
    (chunk,) = [path for path in source.rglob("*") if path.is_file() and "1" in path.relative_to(source).parts]
    chunk.write_bytes(b"damaged")
    made = bulk.encode_dataset(source, tmp_path / "made", model=str(tiny), max_pixels=1 << 20)
    assert len(made["items"]) == 2 and list(failures(made)) == ["000000002-000000003"]


def test_an_item_that_kills_its_workers(alone: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, and tried no more in this run."""
    (tmp_path / "files").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "files" / name).write_bytes(name.encode())
    compute = dask.compute

    def killing(*tasks: Any) -> Any:
        for task in tasks:
            if task.key.startswith("b "):
                raise distributed.KilledWorker(task.key, None, 3)
        return compute(*tasks)

    monkeypatch.setattr(dask, "compute", killing)
    made = bulk.encode_dataset(tmp_path / "files", tmp_path / "made")
    assert [item["name"] for item in made["items"]] == ["a.bfn", "c.bfn"]
    assert "workers that encode it die" in failures(made)["b"]


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(bulk.main, [str(one) for one in arguments])


def test_the_command_names_what_fails(alone: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1, a line each; groups, damaged arrays and jobs, folders that cannot be, are one line too."""
    source, target = write_files(tmp_path / "files"), tmp_path / "made"
    os.mkfifo(source / "pi\npe")
    monkeypatch.setattr(bulk, "_client", lambda *_: open(os.devnull))
    result = run(source, target, "--max-pixels", 4)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    lines = result.stderr.splitlines()
    assert lines[0] == r"'pi\npe': skipped, not a regular file" and lines[-1].startswith("2 files, ")
    assert [line.split(":")[0] for line in lines[1:-1]] == ["'0.png'", "'1.png'", "'2.png'", "'more/0.ppm'"]
    monkeypatch.setattr(bulk, "_computed", lambda *_: [])
    assert run(source, target).exit_code == 0
    (target / bulk.JOB).write_text("{")
    zarr.create_group(tmp_path / "g.zarr").create_array("inner", shape=(2, 8, 8), dtype="u1")
    zarr.create_group(tmp_path / "old.zarr", zarr_format=2)
    (tmp_path / "bad.zarr").mkdir()
    (tmp_path / "bad.zarr" / "zarr.json").write_text("{")
    for given, place, word in (
        (source, target, "another job"),
        (tmp_path / "g.zarr", target, "zarr group; name one of its arrays (inner)"),
        (tmp_path / "old.zarr", target, "zarr group"),
        (tmp_path / "bad.zarr", target, "cannot be opened as a zarr array"),
        (source, source / "0.png" / "x", "part of"),
        (source, tmp_path / "g.zarr" / "zarr.json" / "x", "Not a directory"),
    ):
        result = run(given, place)
        assert result.exit_code == 1 and word in result.stderr and result.stderr.count("\n") == 1


def test_a_scheduler_that_is_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the beginning, or from then on."""
    source = write_files(tmp_path / "files")
    with dask.config.set({"distributed.comm.timeouts.connect": "0.1s"}):
        result = run(source, tmp_path / "made", "--scheduler", "tcp://127.0.0.1:1")
    assert result.exit_code == 1 and "tcp://127.0.0.1:1 cannot be reached" in result.stderr

    def dies(*_: Any) -> Any:
        raise distributed.CancelledError("made up")

    monkeypatch.setattr(bulk, "_client", lambda *_: open(os.devnull))
    monkeypatch.setattr(dask, "compute", dies)
    result = run(source, tmp_path / "made")
    assert result.exit_code == 1 and result.stderr == "Error: the scheduler is gone; start again, and the job goes on\n"
