"""bfncodec decode and bfncodec test."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bfncodec.cli import files, options, outputs
from bfncodec.errors import UnsupportedFeature

if TYPE_CHECKING:
    from bfncodec import container, spans
    from bfncodec.inputs import Input
    from bfncodec.media.png import Picture

NOT_MADE = (".jpg", ".jpeg", ".gif", ".jxl", ".avif", ".heic")


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
    .webp), with any other suffix as the file it was. Archives are unpacked into
    --output-dir, by default the archive's name without .bfn.
    """
    messages = files.Messages(1 - quiet + verbose)
    options.set_threads(threads)
    output = options.destination(output, stdout, output_dir, keep, remove)
    if output and len(names) > 1:
        raise click.UsageError("-o and -c take only one FILE when decoding")
    if preview and items:
        raise click.UsageError("--preview and --item contradict each other")
    if remove and (preview or items):
        raise click.UsageError("--rm would lose what --preview or --item leaves out")
    if output_dir:
        outputs.distinct(str(Path(output_dir) / Path(name).name) for name in names)
    from bfncodec import container, decoding, encoding, spans
    from bfncodec.media import convert

    suffix = Path(output or "").suffix.lower()
    left_out: list[str] = []

    def bare(name: str, hint: str) -> str:
        if not name.endswith(files.SUFFIX) or Path(name).name == files.SUFFIX:
            raise UnsupportedFeature(f"does not end in .bfn; say with {hint} where the output goes")
        return name.removesuffix(files.SUFFIX)

    def target_of(name: str) -> str:
        if output:
            return output
        if name == files.STANDARD:
            if output_dir:
                raise UnsupportedFeature("has no name of its own; say with -o where the output goes")
            return files.STANDARD
        made = bare(name, "-o") + (".preview.png" if preview else "")
        return str(Path(output_dir) / Path(made).name) if output_dir else made

    def one(name: str) -> None:
        messages.progress(files.printable(name))
        with files.opened(name, binary_wanted=True, force=force) as given:
            file = container.read(given.data, max_output=max_output, max_pixels=max_pixels)
            messages.tied(name, file)
            if file.names is not None and not preview:
                unpack(name, file, given)
            elif items:
                raise UnsupportedFeature("is not an archive; it has no --item")
            else:
                single(name, file, given)
        if remove and not (output and outputs.is_stream(output)):
            files.done({name: given}, messages, remove=True)

    def refuse(image: container.Image | None) -> None:
        """Refuse what -o's suffix cannot hold, before it is decoded."""
        if image is not None and not preview and convert.changes(image.source, suffix):
            convert.check(image.layout, image.width, image.height, suffix)

    def warn(target: str, image: container.Image | None) -> None:
        if left_out:
            messages.note(f"{files.printable(target)}: warning: written without {', '.join(left_out)}")
        if image is not None and suffix in NOT_MADE:
            messages.note(f"{files.printable(target)}: warning: no {suffix} is made; the image keeps its own format")

    def single(name: str, file: container.File, given: Input) -> None:
        target = target_of(name)
        refuse(file.blocks[0].image)
        outputs.check_target(target, [name], force, named=bool(output), make_folder=bool(output_dir))
        if outputs.is_stream(target):
            messages.clear()
        taken = outputs.Keep.NOTHING if no_preserve else outputs.Keep.ALL
        with outputs.output(
            target, sources={name: given}, force=force, keep=taken, make_folder=bool(output_dir)
        ) as out:
            if preview:
                written = out.file.write(shaped(decoding.preview(file, device)))
            elif file.blocks[0].image is not None:
                written = out.file.write(shaped(next(decoding.contents(file, device))))
            else:
                written = 0
                for block in file.blocks:
                    written += sum(map(out.file.write, decoding.pieces(block, device)))
                    out.release()
                content = spans.whole(out.file)
                picture = parsed(content)
                made = None if picture is None else converted(picture)
                if made is not None:
                    out.file.truncate(0)
                    out.file.seek(0)
                    written = out.file.write(made)
        warn(target, file.blocks[0].image)
        messages.detail(f"{files.printable(name)}: {files.with_unit(len(given.data))} -> {files.with_unit(written)}")

    def parsed(content: spans.Data) -> Picture | None:
        return encoding.parsed(content, "auto", max_pixels) if suffix in convert.FORMATS else None

    def converted(picture: Picture) -> bytes | None:
        made = decoding.converted(picture, suffix)
        if made is None:
            return None
        left_out.extend(made[1])
        return made[0]

    def shaped(content: Iterator[bytes] | Picture) -> bytes:
        if not isinstance(content, Iterator):
            return converted(content) or decoding.file_bytes(content)
        plain = decoding.file_bytes(content)
        picture = parsed(plain)
        return plain if picture is None else converted(picture) or plain

    def unpack(name: str, file: container.File, given: Input) -> None:
        chosen = decoding.select(file, items)
        taken = outputs.Keep.NOTHING if no_preserve else outputs.Keep.RIGHTS
        if output and len(chosen) != 1:
            raise UnsupportedFeature("is an archive; -o needs one --item, or use --output-dir")
        if name == files.STANDARD and not output and not output_dir:
            raise UnsupportedFeature("is an archive; use --output-dir, or --item with -o")
        folder = Path(output_dir or output or bare(name, "--output-dir"))
        for item in chosen.values():
            if not output:
                outputs.check_member(item)
            where = output or str(folder / item)
            outputs.check_target(where, [name], force, named=bool(output), make_folder=not output)
        blocks = [block for block in file.blocks for _ in range(block.items)]
        for number in chosen:
            refuse(blocks[number].image)
        for item, content in decoding.decode_chosen(file, chosen, device):
            messages.progress(files.printable(item))
            made = shaped(content)
            messages.clear()
            where = output or str(folder / item)
            with outputs.output(where, sources={name: given}, force=force, keep=taken, make_folder=not output) as out:
                out.file.write(made)
            messages.detail(f"{files.printable(item)}: unpacked")
        if output:
            warn(output, blocks[next(iter(chosen))].image)

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
    from bfncodec import container, decoding

    def one(name: str) -> None:
        messages.progress(files.printable(name))
        with files.opened(name, binary_wanted=True, force=False) as given:
            file = container.read(given.data, max_output=max_output, max_pixels=max_pixels)
            messages.tied(name, file)
            for content in decoding.contents(file, device):
                if isinstance(content, Iterator):
                    deque(content, 0)
        messages.note(f"{files.printable(name)}: OK")

    files.each(names, one, messages, debug)
