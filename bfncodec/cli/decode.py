"""bfncodec decode and bfncodec test."""

from collections import deque

import click

from bfncodec.cli import files, options, outputs
from bfncodec.cli.files import Messages
from bfncodec.cli.options import Where


@click.command(short_help="Decode .bfn files.")
@click.argument("names", metavar="[FILE]...", nargs=-1)
@options.output
@click.option("--preview", is_flag=True, help="Write only the thumbnail, as PNG, without decoding the rest.")
@click.option("--item", "items", metavar="NAME", multiple=True, help="Only this item of an archive (name or number).")
@options.max_pixels
@options.max_output
@options.compute
@options.loudness
def decode(
    names: tuple[str, ...],
    where: Where,
    preview: bool,
    items: tuple[str, ...],
    device: str,
    messages: Messages,
    **limits: int,
) -> None:
    """Decode each FILE.bfn to FILE. With no FILE, or '-', read standard input.

    An image is written in the format that -o's suffix names (.png .ppm .pgm .bmp .tif
    .webp), with any other suffix as the file it was. Archives are unpacked into
    --output-dir, by default the archive's name without .bfn.
    """
    from bfncodec.cli.coders import Decoder

    if where.named and len(names) > 1:
        raise click.UsageError("-o and -c take only one FILE when decoding")
    if preview and items:
        raise click.UsageError("--preview and --item contradict each other")
    if where.remove and (preview or items):
        raise click.UsageError("--rm would lose what --preview or --item leaves out")
    if where.output_dir:
        outputs.distinct(map(where.in_folder, names))
    decoder = Decoder(where, preview, items, limits, device, messages)
    files.each(names, decoder.one, messages)


@click.command(name="test", short_help="Check .bfn files without writing anything.")
@click.argument("names", metavar="[FILE]...", nargs=-1)
@options.max_pixels
@options.max_output
@options.compute
@options.loudness
def check(names: tuple[str, ...], device: str, messages: Messages, **limits: int) -> None:
    """Decode each FILE, compare with its checksum and throw the result away."""
    from bfncodec import decoding
    from bfncodec.picture import Picture

    def one(name: str) -> None:
        messages.progress(files.printable(name))
        with files.opened(name, binary_wanted=True, force=False) as given:
            file = decoding.read(given.data, **limits)
            messages.tied(name, file)
            for content in decoding.contents(file, device):
                if not isinstance(content, Picture):
                    deque(content, 0)
        messages.note(f"{files.printable(name)}: OK")

    files.each(names, one, messages)
