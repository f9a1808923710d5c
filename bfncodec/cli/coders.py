"""The work of bfncodec encode and bfncodec decode, with the imports that their --help does without."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bfncodec import container, decoding, encoding, inputs, media, spans
from bfncodec.blocks.image import Image
from bfncodec.cli import files, outputs
from bfncodec.cli.files import Messages
from bfncodec.cli.options import Where
from bfncodec.cli.outputs import Keep, Output
from bfncodec.container import Content, File, Form
from bfncodec.errors import BfnError, UnsupportedFeature, reason
from bfncodec.inputs import Input
from bfncodec.media import convert
from bfncodec.picture import Picture
from bfncodec.presets import Choices
from bfncodec.spans import Data

NOT_MADE = (".jpg", ".jpeg", ".gif", ".jxl", ".avif", ".heic")


@dataclass
class Encoder:
    """Files to .bfn files, as a person asked for it."""

    where: Where
    choices: Choices
    verify: bool
    messages: Messages

    def one(self, name: str) -> None:
        where = self.where
        if not where.named and files.DESCRIPTOR.fullmatch(name):
            raise files.Refused("has no name of its own; say with -o where the output goes")
        files.check_source(name)
        target = where.named or (name if name == files.STANDARD else where.in_folder(name + files.SUFFIX))
        where.check(target, [name])
        self.messages.progress(files.printable(name))
        with files.opened(name, binary_wanted=False, force=where.force) as given, inputs.spool() as spool:
            file = encoding.encode_file(given.data, spool, self.choices)
            self._finish(target, file, {name: given.data}, {name: given})
        where.done({name: given}, self.messages, target)

    def archive(self, names: list[str], target: str) -> None:
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
                raise files.Refused(f"{files.printable(name)}: {reason(error)}") from error
        self.messages.progress(files.printable(target))
        file = encoding.encode_archive(list(items.items()), self.choices)
        self._finish(target, file, items, read)
        self.where.done(read, self.messages, target)

    def _finish(self, target: str, file: File, originals: Mapping[str, Data], sources: Mapping[str, Input]) -> None:
        """Write, and check what was written before it gets its name."""
        alone = len(sources) == 1
        name = next(iter(sources)) if alone else target
        self.messages.tied(name, file)
        if outputs.is_stream(target):
            self.messages.clear()
        with self.where.writing(target, sources, Keep.ALL if alone else Keep.RIGHTS) as out:
            container.write_to(out.file, file)
            encoded = spans.whole(out.file)
            if self.verify:
                decoding.verify(encoded, originals, self.choices.device)
        size = sum(map(len, originals.values()))
        share = f"{len(encoded) / size:.1%}" if size else "-"
        self.messages.detail(
            f"{files.printable(name)}: {files.with_unit(size)} -> {files.with_unit(len(encoded))} ({share})"
        )


@dataclass
class Decoder:
    """.bfn files to what they were, as a person asked for it."""

    where: Where
    preview: bool
    items: tuple[str, ...]
    limits: dict[str, int]
    device: str
    messages: Messages

    @property
    def suffix(self) -> str:
        """What -o asks an image to be written as."""
        return Path(self.where.named or "").suffix.lower()

    def one(self, name: str) -> None:
        self.messages.progress(files.printable(name))
        with files.opened(name, binary_wanted=True, force=self.where.force) as given:
            file = decoding.read(given.data, **self.limits)
            self.messages.tied(name, file)
            if file.names is not None and not self.preview:
                self._unpack(name, file, given)
            elif self.items:
                raise UnsupportedFeature("is not an archive; it has no --item")
            else:
                self._single(name, file, given)
        if self.where.remove:
            self.where.done({name: given}, self.messages, self.where.named or "")

    def _target_of(self, name: str) -> str:
        where = self.where
        if where.named:
            return where.named
        if name == files.STANDARD:
            if where.output_dir:
                raise UnsupportedFeature("has no name of its own; say with -o where the output goes")
            return files.STANDARD
        return where.in_folder(_bare(name, "-o") + (".preview.png" if self.preview else ""))

    def _single(self, name: str, file: File, given: Input) -> None:
        form, target = file.blocks[0].form, self._target_of(name)
        self._refuse(form)
        self.where.check(target, [name])
        if outputs.is_stream(target):
            self.messages.clear()
        with self.where.writing(target, {name: given}, Keep.ALL) as out:
            if self.preview:
                data, left_out = self._shaped(decoding.preview(file, self.device))
                written = out.file.write(data)
            elif form.pictorial:
                data, left_out = self._shaped(next(decoding.contents(file, self.device)))
                written = out.file.write(data)
            else:
                written, left_out = self._bytes(file, out)
        self._warn(target, form, left_out)
        size = files.with_unit(len(given.data))
        self.messages.detail(f"{files.printable(name)}: {size} -> {files.with_unit(written)}")

    def _bytes(self, file: File, out: Output) -> tuple[int, list[str]]:
        """An item that is no picture, part by part; an image file that was coded as bytes may be converted."""
        written = 0
        for part in decoding.parts(file, self.device):
            written += sum(map(out.file.write, part))
            out.release()
        converted = self._converted(spans.whole(out.file))
        if converted is None:
            return written, []
        data, left_out = converted
        out.file.truncate(0)
        out.file.seek(0)
        return out.file.write(data), left_out

    def _unpack(self, name: str, file: File, given: Input) -> None:
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
            where.check(target, [name])
        forms = [block.form for block in file.blocks for _ in range(block.items)]
        for number in chosen:
            self._refuse(forms[number])
        for item, content in decoding.decode_chosen(file, chosen, self.device):
            self.messages.progress(files.printable(item))
            data, left_out = self._shaped(content)
            self.messages.clear()
            with where.writing(targets[item], {name: given}, Keep.RIGHTS) as out:
                out.file.write(data)
            self.messages.detail(f"{files.printable(item)}: unpacked")
            if where.named:
                self._warn(where.named, forms[next(iter(chosen))], left_out)

    def _shaped(self, content: Content) -> tuple[bytes, list[str]]:
        """An item as the file that is written, and what that leaves out."""
        whole = content if isinstance(content, Picture) else b"".join(content)
        return self._converted(whole) or (media.build(whole) if isinstance(whole, Picture) else whole, [])

    def _converted(self, whole: Picture | Data) -> tuple[bytes, list[str]] | None:
        """An image in the format that -o's suffix names, and what that leaves out; None for its own and all else."""
        if self.suffix not in convert.FORMATS:
            return None
        picture = whole if isinstance(whole, Picture) else media.parse(whole, self.limits["max_pixels"])
        if picture is None or not convert.changes(picture.origin, self.suffix):
            return None
        return convert.convert(picture, self.suffix)

    def _refuse(self, form: Form) -> None:
        """Refuse what -o's suffix cannot hold, before it is decoded."""
        if isinstance(form, Image) and not self.preview and convert.changes(form.origin, self.suffix):
            convert.check(form.kind, form.width, form.height, self.suffix)

    def _warn(self, target: str, form: Form, left_out: list[str]) -> None:
        """What the output does not have though somebody may think so."""
        if left_out:
            self.messages.note(f"{files.printable(target)}: warning: written without {', '.join(left_out)}")
        own = isinstance(form, Image) and not self.preview and self.suffix in media.suffixes(form.origin)
        if form.pictorial and self.suffix in NOT_MADE and not own:
            what = f"no {self.suffix} is made; the image keeps its own format"
            self.messages.note(f"{files.printable(target)}: warning: {what}")


def _bare(name: str, hint: str) -> str:
    if not name.endswith(files.SUFFIX) or Path(name).name == files.SUFFIX:
        raise UnsupportedFeature(f"does not end in .bfn; say with {hint} where the output goes")
    return name.removesuffix(files.SUFFIX)
