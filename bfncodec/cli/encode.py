"""bfncodec encode."""

from typing import Any

import click

from bfncodec.cli import files, options, outputs
from bfncodec.cli.files import Messages
from bfncodec.cli.options import Where
from bfncodec.presets import Choices


@click.command(short_help="Encode files as .bfn.")
@click.argument("names", metavar="[FILE]...", nargs=-1)
@options.output
@options.effort
@options.model
@options.media
@click.option("--bytes", "as_bytes", is_flag=True, help="--media bytes: keep an image file's bytes.")
@click.option("--no-verify", is_flag=True, help="Do not decode the result to check it.")
@options.max_pixels
@options.compute
@options.loudness
def encode(
    names: tuple[str, ...], where: Where, as_bytes: bool, no_verify: bool, messages: Messages, **chosen: Any
) -> None:
    """Encode each FILE as FILE.bfn. With no FILE, or '-', read standard input.

    PNG, PNM, BMP, GIF, .npy and plain or LZW TIFF images are coded as pixels and
    metadata, all else byte for byte. Several FILEs with -o make one archive.

    \b
    Efforts for images (Kodak's size against cjxl -e 9, seconds for 768x512):
      fast     0.56, 1 s   no network
      lattice  1.08, 5 s   few network calls, for large GPUs
      default  0.49, 3 s
      max      0.49, 8 s   everything learns, at the better of two paces
    For texts (English, bits a byte):
      fast     1.9, 500 kB a second
      blocks   3.0         few network calls; LZMA is smaller, so it takes
                           --media text to be chosen
      default  1.5, 100 kB a second
    """
    from bfncodec.cli.coders import Encoder

    if where.remove and no_verify:
        raise click.UsageError("--rm needs the check that --no-verify leaves out")
    if as_bytes and chosen["media"] not in ("auto", "bytes"):
        raise click.UsageError(f"--bytes and --media {chosen['media']} contradict each other")
    if where.output_dir and (not names or files.STANDARD in names):
        raise click.UsageError("standard input has no name in --output-dir; use -o")
    if where.output_dir:
        outputs.distinct(where.in_folder(name + files.SUFFIX) for name in names)
    if as_bytes:
        chosen["media"] = "bytes"
    encoder = Encoder(where, Choices(**chosen), not no_verify, messages)
    if where.named and len(names) > 1:
        files.each([where.named], lambda target: encoder.archive(list(names), target), messages)
    else:
        files.each(names, encoder.one, messages)
