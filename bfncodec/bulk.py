"""Encoding of whole data sets with dask: files, or chunks of a zarr array of images, each to a .bfn file of its own.

An output appears whole or not at all, and one that is there is not made again: a job that was cut short goes on
when it is started again, and dask gives the tasks of a worker that died to another one. The same inputs give the
same bytes whatever the number of workers (but for `effort="max"`, see docs/limits.md). Needs `bfncodec[dask]`.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from bfncodec import api, container, payload
from bfncodec.container import File, Layout, Source
from bfncodec.errors import BfnError, UnsupportedFeature

MANIFEST = "manifest.json"
JOB = "job.json"  # what the outputs in a folder are made from
SUFFIX = ".bfn"
_TEMPORARY = (".bfncodec-", ".part")  # beginning and end of the name of what is being written

Encode = Callable[[], bytes]


def encode_dataset(source: Path, target: Path, **choices: Any) -> dict[str, Any]:
    """Encode every file below a folder, or every chunk of a zarr array of images uint8 [N, H, W(, C)].

    target: folder of the outputs and, once all are there, of the manifest, which is returned.
    choices: device, model and effort, and media for files, as for `bfncodec.encode`. Runs where dask says: on
    the current `distributed.Client` if there is one; source and target are folders that all workers share.
    A file that has changed is encoded again; an array must not change. Raises BfnError if the target holds
    outputs of another kind of job.
    """
    import dask

    if target.resolve().is_relative_to(source.resolve()):
        raise BfnError(f"{target} is a part of what is to be encoded; name another folder")
    array = _array(source)
    names = _files(source) if array is None else _chunks(array)
    if not names:
        raise BfnError(f"{source}: there is nothing to encode")
    target.mkdir(parents=True, exist_ok=True)
    job: dict[str, Any] = {"source": "files", "choices": choices}
    if array is not None:
        job |= {"source": "zarr", "shape": list(array.shape), "images": array.chunks[0]}
    _begin(target, job)
    (target / MANIFEST).unlink(missing_ok=True)
    task = dask.delayed(_file if array is None else _chunk, pure=False)
    manifest = job | {"items": list(dask.compute(*(task(source, target, name, choices) for name in names)))}
    for left in target.rglob(_TEMPORARY[0] + "*" + _TEMPORARY[1]):  # by workers that died
        left.unlink(missing_ok=True)
    _write(target / MANIFEST, json.dumps(manifest, indent=1).encode())
    return manifest


def decode_chunk(path: Path, *, device: str = "auto") -> NDArray[np.uint8]:
    """The images [n, H, W, C] of a chunk's file."""
    file = container.read(path.read_bytes())
    return np.stack([content.pixels for content in api.contents(file, device) if not isinstance(content, Iterator)])


def _array(source: Path) -> Any:
    """The zarr array at a path, or None."""
    if not ((source / "zarr.json").exists() or (source / ".zarray").exists()):
        return None
    import zarr

    array: Any = zarr.open_array(source, mode="r")
    channels = array.shape[3] if array.ndim == 4 else 1
    if array.ndim not in (3, 4) or array.dtype != np.uint8 or 0 in array.shape or channels > 4:
        raise UnsupportedFeature(f"{source} holds {array.dtype} {array.shape}; images are uint8 [N, H, W(, C)]")
    return array


def _files(source: Path) -> list[str]:
    return sorted(path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file())


def _chunks(array: Any) -> list[str]:
    """First and last image of every chunk; images are never cut."""
    starts = range(0, array.shape[0], array.chunks[0])
    return [f"{start:09d}-{min(start + array.chunks[0], array.shape[0]) - 1:09d}" for start in starts]


def _begin(target: Path, job: dict[str, Any]) -> None:
    """Note what the outputs are made from; BfnError if they are there from something else."""
    path = target / JOB
    if not path.exists():
        _write(path, json.dumps(job).encode())
    elif json.loads(path.read_text()) != job:
        raise BfnError(f"{target} holds outputs of another job or with other choices; name another folder")


def _file(source: Path, target: Path, name: str, choices: dict[str, Any]) -> dict[str, Any]:
    """Encode one file."""
    path = source / name

    def encoded() -> bytes:
        with path.open("rb") as opened, tempfile.TemporaryFile() as spool:
            return container.write(api.encode_file(payload.whole(opened), spool, **choices))

    return _made(target / (name + SUFFIX), target, encoded, path.stat().st_mtime_ns)


def _chunk(source: Path, target: Path, name: str, choices: dict[str, Any]) -> dict[str, Any]:
    """Encode one chunk as an archive of its images, which are named by their numbers."""
    first, last = map(int, name.split("-"))

    def encoded() -> bytes:
        return container.write(_archive(_array(source)[first : last + 1], first, **choices))

    return _made(target / (name + SUFFIX), target, encoded, 0)


def _archive(
    images: NDArray[np.uint8], first: int, *, device: str = "auto", model: str | None = None, effort: str = "default"
) -> File:
    from bfncodec import codec
    from bfncodec.media.image import Picture
    from bfncodec.models import zoo

    images = images.reshape(*images.shape[:3], -1)
    pictures = [Picture(Source.ARRAY, Layout(images.shape[3] - 1), pixels) for pixels in images]
    size = codec.items_per_block(images.shape[1:])
    kernel, path = api.kernel_name(device), zoo.find(model) if model else None
    parts = [pictures[start : start + size] for start in range(0, len(pictures), size)]
    blocks = [codec.encode_pictures(part, kernel, path, effort) for part in parts]
    return File(blocks, [str(first + number) for number in range(len(pictures))])


def _made(path: Path, target: Path, encoded: Encode, since: int) -> dict[str, Any]:
    """The manifest's entry of an output, which is made unless it is there, whole and not older than `since`."""
    data = _valid(path, since)
    if data is None:
        data = encoded()
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, data)
    name = path.relative_to(target).as_posix()
    return {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _valid(path: Path, since: int) -> bytes | None:
    """The bytes of an output whose header, lengths and checks of them are right."""
    try:
        if path.stat().st_mtime_ns < since:
            return None
        data = path.read_bytes()
        container.read(data)
    except (OSError, BfnError):
        return None
    return data


def _write(path: Path, data: bytes) -> None:
    """A file that is whole at any time, also if two workers write it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=_TEMPORARY[0], suffix=_TEMPORARY[1])
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(handle)
        os.fchmod(handle, 0o644)
    os.replace(temporary, path)


@click.command()
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
@click.option("--scheduler", metavar="ADDRESS", help="A dask scheduler, as tcp://host:8786. Default: workers here.")
@click.option("--workers", type=click.IntRange(1), help="Processes on this machine. Default: one a core.")
@click.option("-m", "--model", help="Model instead of the packaged one.")
@click.option("--effort", type=click.Choice(api.EFFORTS), default="default", help="See bfncodec encode.")
def main(
    source: Path, target: Path, scheduler: str | None, workers: int | None, model: str | None, effort: str
) -> None:
    """Encode a folder of files, or a zarr array of images, with dask. Started again, it goes on."""
    from distributed import Client

    local = {"n_workers": workers or os.cpu_count(), "threads_per_worker": 1, "dashboard_address": None}
    with Client(scheduler) if scheduler else Client(**local):
        try:
            made = encode_dataset(source.resolve(), target.resolve(), model=model, effort=effort)
        except BfnError as error:
            raise click.ClickException(str(error)) from error
    click.echo(f"{len(made['items'])} files, {sum(item['bytes'] for item in made['items']):,} bytes", err=True)


if __name__ == "__main__":
    from bfncodec import bulk  # workers know the functions by this name

    bulk.main()
