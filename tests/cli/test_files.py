"""Files that the command reads, keeps and refuses: rows 1, 2, 5, 8, 14 of the checklist."""

import os
import subprocess
from pathlib import Path

import pytest
from tools.command import TEXT, call, good, listing, png

from bfncodec.blocks.plain import Plain
from bfncodec.blocks.text import Text


def test_input_is_kept_unless_rm(folder: Path, text: Path) -> None:
    """Row 1."""
    good("encode", "-f", "text")
    assert text.exists()
    good("encode", "-f", "--rm", "text")
    assert sorted(listing(folder)) == ["text.bfn"]
    good("decode", "text.bfn")
    assert sorted(listing(folder)) == ["text", "text.bfn"]
    good("decode", "-f", "--rm", "text.bfn")
    assert sorted(listing(folder)) == ["text"]


@pytest.mark.parametrize("command", [("encode", "text"), ("decode", "text.bfn")])
def test_rm_is_ignored_with_standard_output(folder: Path, text: Path, command: tuple[str, str]) -> None:
    """Row 1."""
    good(command[0], "--rm", "-c", command[1])
    assert sorted(listing(folder)) == ["text", "text.bfn"]


def test_rm_keeps_the_input_of_a_failure(folder: Path, text: Path) -> None:
    """Row 1: the target exists; the file is damaged."""
    assert call("encode", "--rm", "text").code == 1
    (folder / "text.bfn").write_bytes((folder / "text.bfn").read_bytes()[:-1])
    assert call("decode", "--rm", "-f", "text.bfn").code == 1
    assert sorted(listing(folder)) == ["text", "text.bfn"]


@pytest.mark.parametrize(
    "options", ["encode --no-verify text", "decode --preview text.bfn", "decode --item 0 text.bfn"]
)
def test_rm_is_refused_where_it_would_lose_something(folder: Path, text: Path, options: str) -> None:
    """Row 1: unverified outputs, and outputs that are only a part."""
    assert call(*options.split(), "--rm", "-f").code == 2
    assert sorted(listing(folder)) == ["text", "text.bfn"]


def test_what_does_not_decode_is_not_written(folder: Path, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 1: outputs are decoded and compared before they are written, unless --no-verify."""
    for form in (Text, Plain):
        monkeypatch.setattr(form, "decode", lambda *_: iter([iter([b"something else"])]))
    (folder / "more").write_bytes(b"more")
    before = listing(folder)
    assert call("encode", "-f", "--rm", "text").code == 1
    assert call("encode", "-f", "--rm", "text", "more", "-o", "text.bfn").code == 1
    assert listing(folder) == before
    good("encode", "-f", "--no-verify", "more")
    assert (folder / "more.bfn").exists()


def test_rm_never_removes_a_link(folder: Path, text: Path) -> None:
    """Rows 1 and 14: link and target stay."""
    (folder / "link").symlink_to(text)
    good("encode", "--rm", "link")
    assert (folder / "link").is_symlink() and text.read_bytes() == TEXT
    assert (folder / "link.bfn").exists()


def test_names_of_outputs(folder: Path) -> None:
    """Row 2: .bfn is added, also to names that have a suffix, and taken away again."""
    names = ["a.png", "a.png.bfn", "a.bin"]
    for number, name in enumerate(names):
        (folder / name).write_bytes(TEXT[number:])
    good("encode", "-f", "a.png.bfn", "a.bin")
    assert sorted(listing(folder)) == ["a.bin", "a.bin.bfn", "a.png", "a.png.bfn", "a.png.bfn.bfn"]
    (folder / "a.bin").unlink()
    (folder / "a.png.bfn").unlink()
    good("decode", "a.bin.bfn", "a.png.bfn.bfn")
    assert (folder / "a.bin").read_bytes() == TEXT[2:]
    assert (folder / "a.png.bfn").read_bytes() == TEXT[1:]


def test_unknown_suffix_needs_an_output(folder: Path, text: Path) -> None:
    """Row 2."""
    (folder / "text.bfn").rename("encoded")
    before = listing(folder)
    failed = call("decode", "encoded")
    assert failed.code == 1 and "-o" in failed.err and listing(folder) == before
    good("decode", "encoded", "-o", "out")
    assert (folder / "out").read_bytes() == TEXT


@pytest.mark.parametrize(
    "options",
    [
        "decode text.bfn text.bfn -o x",
        "decode text.bfn text.bfn -c",
        "decode text.bfn --output-dir d -o x",
        "decode text.bfn ./text.bfn --output-dir d",
        "decode text.bfn --preview --item 0 -o x",
        "encode text -c -o x",
        "encode text -c --output-dir d",
        "encode text --keep --rm",
        "encode text ./text --output-dir d",
        "encode - --output-dir d",
        "encode text --output=",
    ],
)
def test_contradictions_are_wrong_usage(folder: Path, text: Path, options: str) -> None:
    """Rows 2 and 7."""
    before = listing(folder)
    assert call(*options.split()).code == 2
    assert listing(folder) == before and not (folder / "d").exists()


def test_output_dir(folder: Path, text: Path) -> None:
    """Row 2: the folder is made; inputs from anywhere land in it."""
    good("encode", text, "--output-dir", "made/here")
    assert sorted(listing(folder / "made/here")) == ["text.bfn"]
    good("decode", "made/here/text.bfn", "--output-dir", "back")
    assert (folder / "back/text").read_bytes() == TEXT


@pytest.mark.parametrize("command", [("encode", "text", "text.bfn"), ("decode", "text.bfn", "text")])
def test_existing_target_is_refused(folder: Path, text: Path, command: tuple[str, str, str]) -> None:
    """Row 5."""
    name, source, target = command
    for output in (target, "other"):
        (folder / output).write_bytes((folder / output).read_bytes() if output == target else b"precious")
        before = listing(folder)
        failed = call(name, source, "-o", output)
        assert failed.code == 1 and "-f" in failed.err and listing(folder) == before
        good(name, source, "-o", output, "-f")
    assert (folder / "other").read_bytes() != b"precious"


def test_the_input_is_never_the_output(folder: Path, text: Path) -> None:
    """Row 5: not under its own name, a link's or another link's, not even with -f."""
    (folder / "hard").hardlink_to(text)
    (folder / "soft").symlink_to(text)
    (folder / "more").write_bytes(b"more")
    for output in ("text", "hard", "soft"):
        assert "the input itself" in call("encode", "-f", "text", "-o", output).err
        assert "the input itself" in call("encode", "-f", "more", "text", "-o", output).err
        assert text.read_bytes() == TEXT
    good("encode", "text", "more", "-o", "set.bfn")
    (folder / "set.bfn").rename("text.bfn")
    before = listing(folder)
    (folder / "here").mkdir()
    (folder / "text.bfn").rename("here/text")
    assert "the input itself" in call("decode", "-f", "here/text", "--output-dir", "here").err
    assert listing(folder / "here")["text"][0] == before["text.bfn"][0]


@pytest.mark.parametrize("command", ["encode", "decode", "info", "test"])
def test_good_bad_good(folder: Path, command: str) -> None:
    """Row 8: the others are done, one line names the bad one, exit 1."""
    for name in ("a", "c"):
        (folder / name).write_bytes(TEXT)
    names = ["a", "b", "c"]
    if command != "encode":
        good("encode", "--rm", "a", "c")
        (folder / "b.bfn").write_bytes(b"no such format")
        names = [name + ".bfn" for name in names]
    result = call(command, *names)
    assert result.code == 1
    errors = [line for line in result.err.splitlines() if not line.endswith(": OK")]
    assert len(errors) == 1 and errors[0].startswith(f"bfncodec: {names[1]}: ")
    if command in ("encode", "decode"):
        made = {"a", "a.bfn", "c", "c.bfn"}
        assert set(listing(folder)) == (made if command == "encode" else made | {"b.bfn"})
    else:
        assert sum(name in result.out.decode() + result.err for name in names) == 3


@pytest.mark.parametrize("command", ["encode", "decode", "info", "test"])
def test_folders_and_devices_are_refused(folder: Path, text: Path, command: str) -> None:
    """Row 14: an error, and on to the next."""
    (folder / "sub.bfn").mkdir()
    result = call(command, *(["-f"] if command in ("encode", "decode") else []), "sub.bfn", "/dev/zero", "text.bfn")
    lines = result.err.splitlines()
    assert result.code == 1 and len(lines) == 2 + (command == "test")
    assert "sub.bfn" in lines[0] and "folder" in lines[0] and "regular" in lines[1]
    assert call("encode", "-f", "text", "-o", "sub.bfn").code == 1


def test_fifos_are_read(folder: Path) -> None:
    """Row 14: a fifo gives data, is not removed, and has no mode worth copying."""
    os.mkfifo("pipe")
    (folder / "pipe").chmod(0o611)
    writer = subprocess.Popen(["sh", "-c", "echo hello > pipe"])
    good("encode", "--rm", "pipe", "-o", "out.bfn")
    assert writer.wait(10) == 0 and (folder / "pipe").is_fifo()
    assert (folder / "out.bfn").stat().st_mode & 0o111 == 0
    good("decode", "out.bfn")
    assert (folder / "out").read_bytes() == b"hello\n"


@pytest.mark.parametrize("links", [{"a": "a"}, {"a": "b", "b": "a"}])
def test_links_in_a_loop_are_refused(folder: Path, text: Path, links: dict[str, str]) -> None:
    """Row 14: as outputs, forced or not, and as inputs."""
    for name, target in links.items():
        (folder / name).symlink_to(target)
    before = sorted(os.listdir(folder))
    for options in ((), ("-f",)):
        for command, given in (("encode", text), ("decode", f"{text}.bfn")):
            result = call(command, *options, given, "-o", "a")
            assert result.code == 1 and isinstance(result.exception, SystemExit)
            assert "Too many levels of symbolic links" in result.err
        assert "Too many levels" in call("encode", *options, "a").err
        assert "Too many levels" in call("encode", *options, text, "-o", "a/b").err
    assert sorted(os.listdir(folder)) == before


def test_links_are_read_and_written_through(folder: Path) -> None:
    """Row 14: a link as input is left alone; a link as forced output stays a link."""
    (folder / "image.png").write_bytes(png())
    (folder / "link.png").symlink_to("image.png")
    good("encode", "--bytes", "link.png")
    (folder / "out").symlink_to("real")
    assert call("decode", "link.png.bfn", "-o", "out").code == 1
    good("decode", "-f", "link.png.bfn", "-o", "out")
    assert (folder / "out").is_symlink() and (folder / "link.png").is_symlink()
    assert (folder / "real").read_bytes() == png()
