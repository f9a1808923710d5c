"""bfncodec decode and bfncodec test."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bfncodec.cli import files, options, outputs
from bfncodec.cli.files import Messages
from bfncodec.cli.options import Compute, Sizes, Where
from bfncodec.errors import UnsupportedFeature

if TYPE_CHECKING:
    from bfncodec.container import Content, File, Form
    from bfncodec.inputs import Input
    from bfncodec.picture import Picture
    from bfncodec.spans import Data

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
    where: Where,
    preview: bool,
    items: tuple[str, ...],
    sizes: Sizes,
    compute: Compute,
    messages: Messages,
) -> None:
    """Decode each FILE.bfn to FILE. With no FILE, or '-', read standard input.

    An image is written in the format that -o's suffix names (.png .ppm .pgm .bmp .tif
    .webp), with any other suffix as the file it was. Archives are unpacked into
    --output-dir, by default the archive's name without .bfn.
    """
    if where.named and len(names) > 1:
        raise click.UsageError("-o and -c take only one FILE when decoding")
    if preview and items:
        raise click.UsageError("--preview and --item contradict each other")
    if where.remove and (preview or items):
        raise click.UsageError("--rm would lose what --preview or --item leaves out")
    if where.output_dir:
        outputs.distinct(map(where.in_folder, names))
    decoder = _Decoder(where, preview, items, sizes, compute.device, messages)
    files.each(names, decoder.one, messages)


@dataclass
class _Decoder:
    """.bfn files to what they were, as a person asked for it."""

    where: Where
    preview: bool
    items: tuple[str, ...]
    sizes: Sizes
    device: str
    messages: Messages

    @property
    def suffix(self) -> str:
        """What -o asks an image to be written as."""
        return Path(self.where.named or "").suffix.lower()

    def target_of(self, name: str) -> str:
        """Where a file's output goes."""
        where = self.where
        if where.named:
            return where.named
        if name == files.STANDARD:
            if where.output_dir:
                raise UnsupportedFeature("has no name of its own; say with -o where the output goes")
            return files.STANDARD
        return where.in_folder(_bare(name, "-o") + (".preview.png" if self.preview else ""))

    def one(self, name: str) -> None:
        """One file, or standard input."""
        from bfncodec import decoding

        self.messages.progress(files.printable(name))
        with files.opened(name, binary_wanted=True, force=self.where.force) as given:
            sizes = self.sizes
            file = decoding.read(given.data, max_output=sizes.max_output, max_pixels=sizes.max_pixels)
            self.messages.tied(name, file)
            if file.names is not None and not self.preview:
                self._unpack(name, file, given)
            elif self.items:
                raise UnsupportedFeature("is not an archive; it has no --item")
            else:
                self._single(name, file, given)
        if self.where.remove:
            self.where.done({name: given}, self.messages, self.where.named or "")

    def _single(self, name: str, file: File, given: Input) -> None:
        """A file of one item."""
        from bfncodec import decoding

        where, form = self.where, file.blocks[0].form
        target = self.target_of(name)
        self._refuse(form)
        where.check(target, [name])
        if outputs.is_stream(target):
            self.messages.clear()
        kept, folder = where.keeping(outputs.Keep.ALL), bool(where.output_dir)
        sources = {name: given}
        with outputs.output(target, sources=sources, force=where.force, keep=kept, make_folder=folder) as out:
            if self.preview:
                written, left_out = _written(out, *self._shaped(decoding.preview(file, self.device)))
            elif form.pictorial:
                written, left_out = _written(out, *self._shaped(next(decoding.contents(file, self.device))))
            else:
                written, left_out = self._bytes(file, out)
        self._warn(target, form, left_out)
        size = files.with_unit(len(given.data))
        self.messages.detail(f"{files.printable(name)}: {size} -> {files.with_unit(written)}")

    def _bytes(self, file: File, out: outputs.Output) -> tuple[int, list[str]]:
        """An item that is no picture, part by part; an image file that was coded as bytes may be converted."""
        from bfncodec import decoding, spans

        written = 0
        for part in decoding.parts(file, self.device):
            written += sum(map(out.file.write, part))
            out.release()
        picture = self._parsed(spans.whole(out.file))
        converted = self._converted(picture) if picture is not None else None
        if converted is None:
            return written, []
        out.file.truncate(0)
        out.file.seek(0)
        return _written(out, *converted)

    def _unpack(self, name: str, file: File, given: Input) -> None:
        """The items of an archive, into a folder; or one of them."""
        from bfncodec import decoding

        where, chosen = self.where, decoding.select(file, self.items)
        if where.named and len(chosen) != 1:
            raise UnsupportedFeature("is an archive; -o needs one --item, or use --output-dir")
        if name == files.STANDARD and not where.named and not where.output_dir:
            raise UnsupportedFeature("is an archive; use --output-dir, or --item with -o")
        folder = Path(where.output_dir or where.named or _bare(name, "--output-dir"))
        targets = {item: where.named or str(folder / item) for item in chosen.values()}
        for item, target in targets.items():
            if not where.named:
                outputs.check_member(item)
            where.check(target, [name], make_folder=not where.named)
        forms = [block.form for block in file.blocks for _ in range(block.items)]
        for number in chosen:
            self._refuse(forms[number])
        kept = where.keeping(outputs.Keep.RIGHTS)
        for item, content in decoding.decode_chosen(file, chosen, self.device):
            self.messages.progress(files.printable(item))
            data, left_out = self._shaped(content)
            self.messages.clear()
            with outputs.output(
                targets[item], sources={name: given}, force=where.force, keep=kept, make_folder=not where.named
            ) as out:
                out.file.write(data)
            self.messages.detail(f"{files.printable(item)}: unpacked")
            if where.named:
                self._warn(where.named, forms[next(iter(chosen))], left_out)

    def _parsed(self, content: Data) -> Picture | None:
        """The picture that an image file holds, if another format is asked for."""
        from bfncodec import media
        from bfncodec.media import convert

        return media.parse(content, self.sizes.max_pixels) if self.suffix in convert.FORMATS else None

    def _converted(self, picture: Picture) -> tuple[bytes, list[str]] | None:
        """The file in the format that -o's suffix names, and what that leaves out; None for the picture's own."""
        from bfncodec.media import convert

        return convert.convert(picture, self.suffix) if convert.changes(picture.origin, self.suffix) else None

    def _shaped(self, content: Content) -> tuple[bytes, list[str]]:
        """An item as the file that is written, and what that leaves out."""
        from bfncodec import decoding
        from bfncodec.picture import Picture

        picture = content if isinstance(content, Picture) else None
        own = decoding.file_bytes(content) if picture is None else b""
        picture = picture or self._parsed(own)
        converted = self._converted(picture) if picture is not None else None
        return converted or (own or decoding.file_bytes(content), [])

    def _refuse(self, form: Form) -> None:
        """Refuse what -o's suffix cannot hold, before it is decoded."""
        from bfncodec.blocks.image import Image
        from bfncodec.media import convert

        if isinstance(form, Image) and not self.preview and convert.changes(form.origin, self.suffix):
            convert.check(form.layout, form.width, form.height, self.suffix)

    def _warn(self, target: str, form: Form, left_out: list[str]) -> None:
        """What the output does not have though somebody may think so."""
        if left_out:
            self.messages.note(f"{files.printable(target)}: warning: written without {', '.join(left_out)}")
        if form.pictorial and self.suffix in NOT_MADE:
            what = f"no {self.suffix} is made; the image keeps its own format"
            self.messages.note(f"{files.printable(target)}: warning: {what}")


def _bare(name: str, hint: str) -> str:
    if not name.endswith(files.SUFFIX) or Path(name).name == files.SUFFIX:
        raise UnsupportedFeature(f"does not end in .bfn; say with {hint} where the output goes")
    return name.removesuffix(files.SUFFIX)


def _written(out: outputs.Output, data: bytes, left_out: list[str]) -> tuple[int, list[str]]:
    return out.file.write(data), left_out


@click.command(name="test", short_help="Check .bfn files without writing anything.")
@click.argument("names", metavar="[FILE]...", nargs=-1)
@options.limits
@options.compute
@options.loudness
def check(names: tuple[str, ...], sizes: Sizes, compute: Compute, messages: Messages) -> None:
    """Decode each FILE, compare with its checksum and throw the result away."""
    from bfncodec import decoding
    from bfncodec.picture import Picture

    def one(name: str) -> None:
        messages.progress(files.printable(name))
        with files.opened(name, binary_wanted=True, force=False) as given:
            file = decoding.read(given.data, max_output=sizes.max_output, max_pixels=sizes.max_pixels)
            messages.tied(name, file)
            for content in decoding.contents(file, compute.device):
                if not isinstance(content, Picture):
                    deque(content, 0)
        messages.note(f"{files.printable(name)}: OK")

    files.each(names, one, messages)
