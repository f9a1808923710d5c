"""Encoding of whole data sets with dask: files, or chunks of a zarr array of images, each to a .bfn file of its own.

An output appears whole or not at all, and one that is there is not made again: a job that was cut short goes on when
it is started again, and dask gives the tasks of a dead worker to another one. The same inputs give the same bytes with
any number of workers (but for `effort="max"`, see docs/limits.md). Needs `bfncodec[dask]`.
"""

import hashlib
import json
import logging
import os
import sys
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from bfncodec import arrays, atomic, container, decoding, encoding, inputs, presets
from bfncodec.errors import BfnError, ChangedFile, NotWritten, UnsupportedFeature, reason
from bfncodec.models import zoo
from bfncodec.picture import Picture
from bfncodec.presets import Choices

MANIFEST = "manifest.json"
JOB = "job.json"  # what the outputs in a folder are made from
SUFFIX = ".bfn"

Entry = dict[str, Any]  # of the manifest: an output's name, bytes and sha256; or an input's name, and the error


def encode_dataset(source: Path, target: Path, **choices: Any) -> dict[str, Any]:
    """Encode every file below a folder, or every chunk of a zarr array of images uint8 [N, H, W(, C)].

    target: folder of the outputs and, at the end, of the manifest, which is returned: "items" has the outputs, "failed"
    the inputs that have none, with the reason, and "skipped" what is no file (links to folders, links that lead
    nowhere, pipes, sockets, devices; links to files are followed). Called again, it tries again what has failed.
    choices: device, model and effort, and media and max_pixels for files, as for `bfncodec.encode`. Runs where dask
    says: on the current `distributed.Client` if there is one; source and target are folders that all workers share.
    A file that has changed is encoded again; an array must not change. Raises BfnError if the target holds
    outputs of another kind of job, OSError.
    """
    if target.resolve().is_relative_to(source.resolve()):
        raise BfnError(f"{target} is a part of what is to be encoded; name another folder")
    array = _array(source)
    wanted = Choices(**choices)
    if array is not None and wanted.media not in ("auto", "image"):
        raise UnsupportedFeature("the chunks of an array are images; media is for files")
    if array is not None and wanted.model is not None and zoo.chosen(wanted.model, "images") is None:
        raise UnsupportedFeature(f"{wanted.model} is no model of images")
    names, skipped, failed = _files(source) if array is None else (_chunks(array), [], [])
    if not names and not failed:
        raise BfnError(f"{source}: there is nothing to encode")
    target.mkdir(parents=True, exist_ok=True)
    # What only refuses inputs makes no other outputs.
    job: dict[str, Any] = {"source": "files", "choices": {k: v for k, v in choices.items() if k != "max_pixels"}}
    if array is not None:
        choices = job["choices"]
        job |= {"source": "zarr", "shape": list(array.shape), "images": array.chunks[0]}
    _begin(target, job)
    (target / MANIFEST).unlink(missing_ok=True)
    entries = _computed(names, array is None, source, target, choices)
    outputs = [entry for entry in entries if "error" not in entry]
    failed += [entry for entry in entries if "error" in entry]
    manifest = job | {"items": outputs, "failed": failed, "skipped": skipped}
    for left in target.rglob(atomic.TEMPORARY.format("*")):  # by workers that died
        left.unlink(missing_ok=True)
    _write(target / MANIFEST, json.dumps(manifest, indent=1).encode())
    return manifest


def decode_chunk(path: Path, *, device: str = "auto") -> NDArray[np.uint8]:
    """The images [n, H, W, C] of a chunk's file."""
    file = decoding.read(path.read_bytes())
    return np.stack([content.pixels for content in decoding.contents(file, device) if isinstance(content, Picture)])


def _array(source: Path) -> Any:
    """The zarr array at a path, or None."""
    if not any((source / name).exists() for name in ("zarr.json", ".zarray", ".zgroup")):
        return None
    import zarr

    try:
        array: Any = zarr.open(source, mode="r")
    except Exception as error:  # zarr and its codecs have no common one
        raise UnsupportedFeature(f"{source} cannot be opened as a zarr array: {error}") from error
    if isinstance(array, zarr.Group):
        names = ", ".join(array.array_keys()) or "it has none"
        raise UnsupportedFeature(f"{source} is a zarr group; name one of its arrays ({names})")
    channels = array.shape[3] if array.ndim == 4 else 1
    if array.ndim not in (3, 4) or array.dtype != np.uint8 or 0 in array.shape or channels > 4:
        raise UnsupportedFeature(f"{source} holds {array.dtype} {array.shape}; images are uint8 [N, H, W(, C)]")
    return array


def _files(source: Path) -> tuple[list[str], list[str], list[Entry]]:
    """Names of the files below a folder and of what is none, and the folders that cannot be read."""
    found: list[str] = []
    skipped: list[str] = []
    failed: list[Entry] = []

    def unread(error: OSError) -> None:
        failed.append({"name": Path(error.filename).relative_to(source).as_posix(), "error": reason(error)})

    for place, folders, others in os.walk(source, onerror=unread):
        for name in [*others, *filter(lambda one: os.path.islink(os.path.join(place, one)), folders)]:
            path = Path(place, name)
            (found if os.path.isfile(path) else skipped).append(path.relative_to(source).as_posix())
    return sorted(found), sorted(skipped), failed


def _chunks(array: Any) -> list[str]:
    """First and last image of every chunk; images are never cut."""
    starts = range(0, array.shape[0], array.chunks[0])
    return [f"{start:09d}-{min(start + array.chunks[0], array.shape[0]) - 1:09d}" for start in starts]


def _begin(target: Path, job: dict[str, Any]) -> None:
    """Note what the outputs are made from; BfnError if they are there from something else."""
    path = target / JOB
    if not path.exists():
        _write(path, json.dumps(job).encode())
        return
    with suppress(ValueError):
        if json.loads(path.read_text()) == job:
            return
    raise BfnError(f"{target} holds outputs of another job or with other choices; name another folder")


def _computed(names: list[str], files: bool, source: Path, target: Path, choices: dict[str, Any]) -> list[Entry]:
    """The entries of all items. Those that kill their workers, as for want of memory, are tried no more."""
    import dask
    from distributed import KilledWorker

    deadly: dict[str, Entry] = {}
    task = dask.delayed(_item, pure=False)
    while True:
        keys = {name: f"{name} {uuid.uuid4()}" for name in names if name not in deadly}
        tasks = [task(files, source, target, name, choices, dask_key_name=key) for name, key in keys.items()]
        try:
            entries = dict(zip(keys, dask.compute(*tasks), strict=True))
        except KilledWorker as error:
            (name,) = (name for name, key in keys.items() if key == error.task)
            deadly[name] = {"name": name, "error": "the workers that encode it die; give them more memory"}
            continue
        return [deadly.get(name) or entries[name] for name in names]


def _client(scheduler: str | None, workers: int | None) -> Any:
    from distributed import Client

    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # which shows tracebacks of what is told here
    try:
        if scheduler is not None:
            return Client(scheduler)
    except (OSError, ValueError) as error:
        raise BfnError(f"{scheduler} cannot be reached: {reason(error)}") from error
    return Client(n_workers=workers or os.cpu_count(), threads_per_worker=1, dashboard_address=None)


def _item(files: bool, source: Path, target: Path, name: str, choices: dict[str, Any]) -> Entry:
    """The manifest's entry of an output, which is made unless it is there, whole and not older than its file."""
    path = target / (name + SUFFIX)
    try:
        data = _valid(path, (source / name).stat().st_mtime_ns if files else 0)
        if data is None:
            data = _file(source / name, choices) if files else _chunk(source, name, choices)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(path, data)
            except OSError as error:
                raise NotWritten(f"{path} cannot be written: {reason(error)}") from error
    except Exception as error:  # whatever it is, all others are encoded
        return {"name": name, "error": reason(error)}
    return {"name": name + SUFFIX, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _file(path: Path, choices: dict[str, Any]) -> bytes:
    with inputs.reading(path) as given, inputs.spool() as spool:
        data = container.write(encoding.encode_file(given.data, spool, Choices(**choices)))
    if given.changed or not given.is_still(path.stat()):  # the output would be the younger one
        raise ChangedFile("changed while it was read")
    return data


def _chunk(source: Path, name: str, choices: dict[str, Any]) -> bytes:
    first, last = map(int, name.split("-"))
    images = _array(source)[first : last + 1]
    images = images.reshape(*images.shape[:3], -1)
    names = [str(number) for number in range(first, last + 1)]
    return container.write(arrays.encode_images(images, Choices(**choices), names))


def _valid(path: Path, since: int) -> bytes | None:
    """The bytes of an output whose header, lengths and checks of them are right."""
    try:
        if path.stat().st_mtime_ns < since:
            return None
        data = path.read_bytes()
        decoding.read(data)
    except (OSError, BfnError):
        return None
    return data


def _write(path: Path, data: bytes) -> None:
    """A file that is whole at any time, also if two workers write it, and that everybody may read; NotWritten."""
    with atomic.writing(path, replace=True, dress=lambda handle: os.fchmod(handle, 0o644)) as file:
        file.write(data)


@click.command()
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
@click.option("--scheduler", metavar="ADDRESS", help="A dask scheduler, as tcp://host:8786. Default: workers here.")
@click.option("--workers", type=click.IntRange(1), help="Processes on this machine. Default: one a core.")
@click.option("-m", "--model", help="Model instead of the packaged one.")
@click.option("--effort", type=click.Choice(presets.EFFORTS), default="default", help="See bfncodec encode.")
@click.option("--max-pixels", type=click.IntRange(1), default=presets.MAX_PIXELS, help="Refuse larger image files.")
def main(source: Path, target: Path, scheduler: str | None, workers: int | None, **choices: Any) -> None:
    """Encode a folder of files, or a zarr array of images, with dask. Started again, it goes on.

    Links to files are followed; other links, pipes and devices are skipped, and named. Exit code 1 if something could
    not be encoded: that is named too, and everything else is done.
    """
    from distributed import CancelledError

    try:
        with _client(scheduler, workers):
            manifest = encode_dataset(source.resolve(), target.resolve(), **choices)
    except CancelledError as error:
        raise click.ClickException("the scheduler is gone; start again, and the job goes on") from error
    except (BfnError, OSError) as error:
        raise click.ClickException(str(error)) from error
    for name in manifest["skipped"]:
        click.echo(f"{name!r}: skipped, not a regular file", err=True)
    for entry in manifest["failed"]:
        click.echo(f"{entry['name']!r}: {entry['error']}", err=True)
    click.echo(f"{len(manifest['items'])} files, {sum(item['bytes'] for item in manifest['items']):,} bytes", err=True)
    sys.exit(1 if manifest["failed"] else 0)


if __name__ == "__main__":
    from bfncodec import bulk  # workers know the functions by this name

    bulk.main()
