"""bfncodec encode."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bfncodec.cli import files, options, outputs
from bfncodec.errors import BfnError

if TYPE_CHECKING:
    from bfncodec import container
    from bfncodec.inputs import Input
    from bfncodec.spans import Data

EFFORTS = ("lattice", "blocks", "default", "max")  # api.EFFORTS, which --help need not import
MEDIA = ("auto", "image", "text", "bytes")  # api.MEDIA


@click.command(short_help="Encode files as .bfn.")
@click.argument("names", metavar="[FILE]...", nargs=-1)
@options.output
@click.option("--effort", type=click.Choice(EFFORTS), default="default", help="How hard to try; see below.")
@click.option("-m", "--model", metavar="MODEL", help="A model's name or .safetensors file.")
@click.option("--media", type=click.Choice(MEDIA), default="auto", help="What the files are coded as.")
@click.option("--bytes", "as_bytes", is_flag=True, help="--media bytes: keep an image file's bytes.")
@click.option("--no-verify", is_flag=True, help="Do not decode the result to check it.")
@click.option("--max-pixels", type=click.IntRange(1), default=1 << 28, help="Refuse larger images.")
@options.compute
@options.loudness
def encode(
    names: tuple[str, ...],
    output: str | None,
    stdout: bool,
    output_dir: str | None,
    force: bool,
    keep: bool,
    remove: bool,
    no_preserve: bool,
    effort: str,
    model: str | None,
    media: str,
    as_bytes: bool,
    no_verify: bool,
    max_pixels: int,
    threads: int,
    device: str,
    quiet: int,
    verbose: int,
    debug: bool,
) -> None:
    """Encode each FILE as FILE.bfn. With no FILE, or '-', read standard input.

    PNG, PNM and BMP images (8 bits a channel) are coded as pixels and metadata, all else
    byte for byte. Several FILEs with -o make one archive.

    \b
    Efforts for images (size against cjxl -e 9, seconds for 768x512 on 2 cores):
      lattice  1.10, 5 s   few network calls, for large GPUs
      default  0.92, 5 s
      max      0.915, 27 s fits the model to the image
    For texts (English, bits a byte):
      blocks   3.0         few network calls; LZMA is smaller, so it takes
                           --media text to be chosen
      default  1.6, 50 kB a second
    """
    messages = files.Messages(1 - quiet + verbose)
    options.set_threads(threads)
    output = options.destination(output, stdout, output_dir, keep, remove)
    if remove and no_verify:
        raise click.UsageError("--rm needs the check that --no-verify leaves out")
    if as_bytes and media not in ("auto", "bytes"):
        raise click.UsageError(f"--bytes and --media {media} contradict each other")
    media = "bytes" if as_bytes else media
    if output_dir and (not names or files.STANDARD in names):
        raise click.UsageError("standard input has no name in --output-dir; use -o")

    def target_of(name: str) -> str:
        if output or name == files.STANDARD:
            return output or files.STANDARD
        return str(Path(output_dir) / (Path(name).name + files.SUFFIX)) if output_dir else name + files.SUFFIX

    if output_dir:
        outputs.distinct(map(target_of, names))
    from bfncodec import container, decoding, encoding, inputs, spans

    choices: dict[str, Any] = {
        "device": device,
        "model": model,
        "effort": effort,
        "media": media,
        "max_pixels": max_pixels,
    }

    def one(name: str) -> None:
        if not output and files.DESCRIPTOR.fullmatch(name):
            raise files.Refused("has no name of its own; say with -o where the output goes")
        files.check_source(name)
        target = target_of(name)
        outputs.check_target(target, [name], force, named=bool(output), make_folder=bool(output_dir))
        messages.progress(files.printable(name))
        with files.opened(name, binary_wanted=False, force=force) as given, inputs.spool() as spool:
            file = encoding.encode_file(given.data, spool, **choices)
            messages.tied(name, file)
            finish(target, file, {name: given.data}, {name: given}, outputs.Keep.ALL)
        tidy(target, {name: given})

    def archive(target: str) -> None:
        outputs.check_target(target, names, force)
        if len({Path(name).name for name in names}) < len(names):
            raise files.Refused("two inputs have the same name")
        items, read = {}, {}
        for name in names:
            messages.progress(files.printable(name))
            try:
                with files.opened(name, binary_wanted=False, force=force) as given:
                    items[Path(name).name] = bytes(given.data)
                read[name] = given
            except (BfnError, OSError) as error:
                raise files.Refused(f"{files.printable(name)}: {files.reason(error)}") from error
        messages.progress(files.printable(target))
        file = encoding.archive_file(list(items.items()), **choices)
        messages.tied(target, file)
        finish(target, file, items, read, outputs.Keep.RIGHTS)
        tidy(target, read)

    def finish(
        target: str,
        file: container.File,
        originals: Mapping[str, Data],
        sources: Mapping[str, Input],
        taken: outputs.Keep,
    ) -> None:
        if outputs.is_stream(target):
            messages.clear()
        taken = outputs.Keep.NOTHING if no_preserve else taken
        with outputs.output(target, sources=sources, force=force, keep=taken, make_folder=bool(output_dir)) as out:
            container.write_to(out.file, file)
            encoded = spans.whole(out.file)
            if not no_verify:
                decoding.verify(encoded, originals, device)
        size = sum(map(len, originals.values()))
        share = f"{len(encoded) / size:.1%}" if size else "-"
        shown = files.printable(target if len(sources) > 1 else next(iter(sources)))
        messages.detail(f"{shown}: {files.with_unit(size)} -> {files.with_unit(len(encoded))} ({share})")

    def tidy(target: str, read: Mapping[str, Input]) -> None:
        files.done(read, messages, remove=remove and not outputs.is_stream(target))

    if output and len(names) > 1:
        files.each([output], archive, messages, debug)
    else:
        files.each(names, one, messages, debug)
