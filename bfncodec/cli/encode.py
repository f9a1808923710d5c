"""bfncodec encode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bfncodec.cli import files, options, outputs
from bfncodec.cli.files import Messages
from bfncodec.cli.options import Compute, Where
from bfncodec.errors import BfnError
from bfncodec.presets import Choices

if TYPE_CHECKING:
    from bfncodec.container import File
    from bfncodec.inputs import Input
    from bfncodec.spans import Data


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
    names: tuple[str, ...],
    where: Where,
    effort: str,
    model: str | None,
    media: str,
    as_bytes: bool,
    no_verify: bool,
    max_pixels: int,
    compute: Compute,
    messages: Messages,
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
    if where.remove and no_verify:
        raise click.UsageError("--rm needs the check that --no-verify leaves out")
    if as_bytes and media not in ("auto", "bytes"):
        raise click.UsageError(f"--bytes and --media {media} contradict each other")
    if where.output_dir and (not names or files.STANDARD in names):
        raise click.UsageError("standard input has no name in --output-dir; use -o")
    choices = Choices(compute.device, model, effort, "bytes" if as_bytes else media, max_pixels)
    encoder = _Encoder(where, choices, not no_verify, messages)
    if where.output_dir:
        outputs.distinct(map(encoder.target_of, names))
    if where.named and len(names) > 1:
        files.each([where.named], lambda target: encoder.archive(list(names), target), messages)
    else:
        files.each(names, encoder.one, messages)


@dataclass
class _Encoder:
    """Files to .bfn files, as a person asked for it."""

    where: Where
    choices: Choices
    verify: bool
    messages: Messages

    def target_of(self, name: str) -> str:
        """Where a file's output goes."""
        if self.where.named or name == files.STANDARD:
            return self.where.named or files.STANDARD
        return self.where.in_folder(name + files.SUFFIX)

    def one(self, name: str) -> None:
        """One file, or standard input."""
        from bfncodec import encoding, inputs

        if not self.where.named and files.DESCRIPTOR.fullmatch(name):
            raise files.Refused("has no name of its own; say with -o where the output goes")
        files.check_source(name)
        target = self.target_of(name)
        self.where.check(target, [name])
        self.messages.progress(files.printable(name))
        with files.opened(name, binary_wanted=False, force=self.where.force) as given, inputs.spool() as spool:
            file = encoding.encode_file(given.data, spool, self.choices)
            self.messages.tied(name, file)
            self._finish(target, file, {name: given.data}, {name: given}, outputs.Keep.ALL)
        self.where.done({name: given}, self.messages, target)

    def archive(self, names: list[str], target: str) -> None:
        """Several files as one."""
        from bfncodec import encoding

        self.where.check(target, names)
        if len({Path(name).name for name in names}) < len(names):
            raise files.Refused("two inputs have the same name")
        items, read = {}, {}
        for name in names:
            self.messages.progress(files.printable(name))
            try:
                with files.opened(name, binary_wanted=False, force=self.where.force) as given:
                    items[Path(name).name] = bytes(given.data)
                read[name] = given
            except (BfnError, OSError) as error:
                raise files.Refused(f"{files.printable(name)}: {files.reason(error)}") from error
        self.messages.progress(files.printable(target))
        file = encoding.encode_archive(list(items.items()), self.choices)
        self.messages.tied(target, file)
        self._finish(target, file, items, read, outputs.Keep.RIGHTS)
        self.where.done(read, self.messages, target)

    def _finish(
        self, target: str, file: File, originals: Mapping[str, Data], sources: Mapping[str, Input], kept: outputs.Keep
    ) -> None:
        """Write, and check what was written before it gets its name."""
        from bfncodec import container, decoding, spans

        if outputs.is_stream(target):
            self.messages.clear()
        where = self.where
        taken, folder = where.keeping(kept), bool(where.output_dir)
        with outputs.output(target, sources=sources, force=where.force, keep=taken, make_folder=folder) as out:
            container.write_to(out.file, file)
            encoded = spans.whole(out.file)
            if self.verify:
                decoding.verify(encoded, originals, self.choices.device)
        size = sum(map(len, originals.values()))
        share = f"{len(encoded) / size:.1%}" if size else "-"
        shown = files.printable(target if len(sources) > 1 else next(iter(sources)))
        self.messages.detail(f"{shown}: {files.with_unit(size)} -> {files.with_unit(len(encoded))} ({share})")
