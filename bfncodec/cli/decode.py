"""bfncodec decode and bfncodec test."""

from __future__ import annotations

from pathlib import Path

import click

from bfncodec.cli import files, options
from bfncodec.errors import UnsupportedFeature


@click.command(short_help="Decode .bfn files.")
@click.argument("names", metavar="[FILE]...", nargs=-1)
@options.output
@click.option("--preview", is_flag=True, help="Write only the thumbnail, as PNG, without decoding the rest.")
@click.option("--item", "items", metavar="NAME", multiple=True, help="Only this item of an archive (name or number).")
@options.limits
@options.compute
@options.loudness
def decode(
    names: tuple[str, ...],
    output: str | None,
    stdout: bool,
    output_dir: str | None,
    force: bool,
    keep: bool,
    remove: bool,
    no_preserve: bool,
    preview: bool,
    items: tuple[str, ...],
    max_pixels: int,
    max_output: int,
    threads: int,
    device: str,
    quiet: int,
    verbose: int,
    debug: bool,
) -> None:
    """Decode each FILE.bfn to FILE. With no FILE, or '-', read standard input.

    An image is written in the format that -o's suffix names (.png .ppm .pgm .bmp .tif
    .webp), or as the file it was. Archives are unpacked into --output-dir, by default the
    archive's name without .bfn.
    """
    messages = files.Messages(1 - quiet + verbose)
    options.set_threads(threads)
    if stdout:
        output = files.STANDARD
    if output and len(names) > 1:
        raise click.UsageError("-o takes only one FILE when decoding")
    if keep and remove:
        raise click.UsageError("--keep and --rm contradict each other")
    if output and output_dir:
        raise click.UsageError("--output and --output-dir contradict each other")
    from bfncodec import api, container

    def target_of(name: str) -> str:
        if output:
            return output
        if name == files.STANDARD:
            return files.STANDARD
        if not name.endswith(files.SUFFIX) or Path(name).name == files.SUFFIX:
            raise UnsupportedFeature("does not end in .bfn; say with -o where the output goes")
        bare = name.removesuffix(files.SUFFIX)
        if preview:
            bare += ".preview.png"
        return str(Path(output_dir) / Path(bare).name) if output_dir else bare

    def one(name: str) -> None:
        data = files.read(name, binary_wanted=True, force=force)
        file = container.read(data, max_output=max_output, max_pixels=max_pixels)
        if file.names is not None and not preview:
            unpack(name, file)
        else:
            target = target_of(name)
            if target != files.STANDARD:
                files.check_target(target, name, force)
            content = api.preview(file, device) if preview else next(api.decode_block(file.blocks[0], device))
            made = api.file_bytes(content)
            if output and not isinstance(content, bytes):
                made = api.converted(content, made, Path(output).suffix.lower())
            files.write(target, made, source=name, force=force, preserve=not no_preserve)
            messages.detail(f"{files.printable(name)}: {files.with_unit(len(data))} -> {files.with_unit(len(made))}")
        if remove and output != files.STANDARD:
            files.remove(name, messages)

    def unpack(name: str, file: container.File) -> None:
        chosen = api.select(file, items)
        if output:
            if len(chosen) != 1:
                raise UnsupportedFeature("is an archive; -o needs one --item, or use --output-dir")
        elif name == files.STANDARD and not output_dir:
            raise UnsupportedFeature("is an archive; use --output-dir, or --item with -o")
        folder = Path(output_dir) if output_dir else Path(name.removesuffix(files.SUFFIX))
        if not output and not output_dir and not name.endswith(files.SUFFIX):
            raise UnsupportedFeature("does not end in .bfn; say with --output-dir where its items go")
        if not output:
            for item in chosen.values():
                files.check_member(item)
            folder.mkdir(parents=True, exist_ok=True)
            for item in chosen.values():
                files.check_target(str(folder / item), files.STANDARD, force)
        for item, content in api.decode_chosen(file, chosen, device):
            target = output or str(folder / item)
            files.write(target, api.file_bytes(content), source=files.STANDARD, force=force, preserve=False)
            messages.detail(f"{files.printable(item)}: unpacked")

    files.each(names, one, messages, debug)


@click.command(name="test", short_help="Check .bfn files without writing anything.")
@click.argument("names", metavar="[FILE]...", nargs=-1)
@options.limits
@options.compute
@options.loudness
def check(
    names: tuple[str, ...],
    max_pixels: int,
    max_output: int,
    threads: int,
    device: str,
    quiet: int,
    verbose: int,
    debug: bool,
) -> None:
    """Decode each FILE, compare with its checksum and throw the result away."""
    messages = files.Messages(1 - quiet + verbose)
    options.set_threads(threads)
    from bfncodec import api, container

    def one(name: str) -> None:
        data = files.read(name, binary_wanted=True, force=False)
        file = container.read(data, max_output=max_output, max_pixels=max_pixels)
        for block in file.blocks:
            for _ in api.decode_block(block, device):
                pass
        messages.note(f"{files.printable(name)}: OK")

    files.each(names, one, messages, debug)
