"""bfncodec encode."""

from __future__ import annotations

import os
from pathlib import Path

import click

from bfncodec.cli import files, options


@click.command(short_help="Encode files as .bfn.")
@click.argument("names", metavar="[FILE]...", nargs=-1)
@options.output
@click.option("--effort", type=click.Choice(["default"]), default="default", help="How hard to try.")
@click.option("-m", "--model", metavar="MODEL", help="A model's name or .safetensors file.")
@click.option("--bytes", "as_bytes", is_flag=True, help="Keep an image file's bytes, not its pixels.")
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
    """
    messages = files.Messages(1 - quiet + verbose)
    options.set_threads(threads)
    if stdout:
        output = files.STANDARD
    if keep and remove:
        raise click.UsageError("--keep and --rm contradict each other")
    if output and output_dir:
        raise click.UsageError("--output and --output-dir contradict each other")
    to_stdout = output == files.STANDARD or (not output and not output_dir and names in ((), ("-",)))
    from bfncodec import api

    def settings() -> dict[str, object]:
        return {"device": device, "model": model, "as_bytes": as_bytes}

    def finish(name: str, data: bytes, encoded: bytes, target: str) -> None:
        files.write(target, encoded, source=name, force=force, preserve=not no_preserve)
        share = f"{len(encoded) / len(data):.1%}" if data else "-"
        sizes = f"{files.with_unit(len(data))} -> {files.with_unit(len(encoded))} ({share})"
        messages.detail(f"{files.printable(name)}: {sizes}")
        if remove and target != files.STANDARD:
            files.remove(name, messages)

    def one(name: str) -> None:
        target = output or ("-" if to_stdout else name + files.SUFFIX)
        if output_dir and name != files.STANDARD:
            target = str(Path(output_dir) / (Path(name).name + files.SUFFIX))
        if target != files.STANDARD:
            files.check_target(target, name, force)
        data = files.read(name, binary_wanted=False, force=force)
        encoded = api.encode(data, max_pixels=max_pixels, **settings())  # type: ignore[arg-type]
        if not no_verify:
            api.verify(encoded, {name: data}, device)
        finish(name, data, encoded, target)

    def archive(target: str) -> None:
        if target != files.STANDARD:
            files.check_target(target, files.STANDARD, force)
        items = []
        for name in names:
            if os.path.exists(target) and os.path.samefile(name, target):
                raise files.Refused(f"{files.printable(name)} is the output itself")
            items.append((Path(name).name, files.read(name, binary_wanted=False, force=force)))
        if len({name for name, _ in items}) < len(items):
            raise files.Refused("two inputs have the same name")
        encoded = api.encode_archive(items, **settings())  # type: ignore[arg-type]
        if not no_verify:
            api.verify(encoded, dict(items), device)
        files.write(target, encoded, source=files.STANDARD, force=force, preserve=False)
        total = sum(len(data) for _, data in items)
        messages.detail(f"{files.printable(target)}: {files.with_unit(total)} -> {files.with_unit(len(encoded))}")
        if remove and target != files.STANDARD:
            for name in names:
                files.remove(name, messages)

    if output and len(names) > 1:
        files.each([output], archive, messages, debug)
    else:
        files.each(names, one, messages, debug)
