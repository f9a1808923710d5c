"""The command's own behaviour: rows 7, 10, 11, 15 to 18 of the checklist."""

import hashlib
import json
import re
from pathlib import Path

import click
import pytest
from tools.command import SIDE, TEXT, call, encoded_png, good, listing, png, shown, spawn

import bfncodec
from bfncodec import container, presets
from bfncodec.cli.main import COMMANDS, main
from bfncodec.models import zoo

# What a header needs of the models: their names, and what passes are.
LIGHT = {f"bfncodec.models{name}" for name in ("", ".zoo", ".image", ".image.passes", ".paper", ".paper.spec")}


@pytest.fixture
def image(folder: Path) -> Path:
    """An image coded as pixels: image.png, image.png.bfn."""
    path = folder / "image.png"
    path.write_bytes(png())
    (folder / "image.png.bfn").write_bytes(encoded_png())
    return path


def test_exit_codes(folder: Path) -> None:
    """Row 7: 0 good, 1 bad data or failed input or output, 2 wrong usage, all told by --help (130: test_cli_output)."""
    (folder / "text").write_bytes(TEXT)
    assert spawn("encode", "text").code == 0
    for failing in (
        "encode missing",
        "decode text",
        "test text",
        "info text",
        "encode text",
        "encode text -o no/where",
    ):
        assert call(*failing.split()).code == 1, failing
    assert spawn("test", "text").code == 1
    for wrong in ("", "nothing", "encode --nothing", "encode --effort none text", "decode --max-pixels 0 text"):
        result = call(*wrong.split())
        assert result.code == 2 and result.out == b"", wrong
    assert spawn("nothing").code == 2
    told = " ".join(good("--help").out.decode().split())
    assert "0 good" in told and "1 bad data" in told and "2 wrong usage" in told and "130 interrupted" in told


def test_test_creates_nothing(folder: Path, image: Path) -> None:
    """Row 10: the folder is as it was; result and failure are told."""
    (folder / "text").write_bytes(TEXT)
    good("encode", "-m", "tiny", "text", "image.png", "-o", "set.bfn")
    before = listing(folder)
    result = good("test", "image.png.bfn", "set.bfn")
    assert result.err == "image.png.bfn: OK\nset.bfn: OK\n" and result.out == b""
    assert listing(folder) == before


@pytest.mark.parametrize("place", [9, 30, -1])
def test_test_finds_a_flipped_bit(folder: Path, image: Path, place: int) -> None:
    """Row 10: in the flags, in the header, in the payload."""
    data = bytearray((folder / "image.png.bfn").read_bytes())
    data[place] ^= 4
    (folder / "image.png.bfn").write_bytes(data)
    result = call("test", "image.png.bfn")
    assert result.code == 1 and "OK" not in result.err
    assert call("decode", "image.png.bfn", "-o", "out").code == 1 and not (folder / "out").exists()


def test_info_as_json(folder: Path, image: Path) -> None:
    """Row 11: one object a line, with keys that stay."""
    (folder / "text").write_bytes(TEXT)
    good("encode", "--media", "text", "text")
    good("encode", "-m", "tiny", "text", "image.png", "-o", "set.bfn")
    lines = good("info", "--json", "image.png.bfn", "text.bfn", "set.bfn").out.splitlines()
    pixels, text, archive = map(json.loads, lines)
    size = (folder / "image.png.bfn").stat().st_size
    rate = pixels["blocks"][0].pop("bits_per_subpixel")
    assert 0 < rate < 8 * size / (3 * SIDE**2)
    assert pixels == {
        "file": "image.png.bfn",
        "format_version": container.VERSION,
        "file_bytes": size,
        "content_bytes": 3 * SIDE**2,
        "items": 1,
        "names": None,
        "blocks": [
            {
                "mode": "image",
                "items": 1,
                "content_bytes": 3 * SIDE**2,
                "width": SIDE,
                "height": SIDE,
                "layout": "RGB",
                "source": "png",
                "schedule": "wavefront",
                "model": zoo.digest(zoo.find("tiny")).hex(),
                "lossless": "pixels and metadata",
            }
        ],
    }
    rate = text["blocks"][0].pop("bits_per_byte")
    assert 0 < rate < 8 * text["file_bytes"] / len(TEXT)
    assert text["blocks"] == [
        {
            "mode": "text",
            "items": 1,
            "content_bytes": len(TEXT),
            "lossless": "bytes",
            "model": zoo.digest(zoo.find("text")).hex(),
            "schedule": "bytewise",
            "lanes": 1,
        }
    ]
    assert (archive["items"], sorted(archive["names"])) == (2, ["image.png", "text"])


def test_info_for_people(folder: Path, image: Path) -> None:
    """Row 11: says which lossless it is, and shows names without control characters."""
    bad = "a\x1b[31m\nb"
    (folder / bad).write_bytes(TEXT)
    names = [bad]
    for number in range(11):
        (folder / str(number)).write_bytes(b"%d" % number)
        names.append(str(number))
    good("encode", *names, "-o", "set.bfn")
    short, long = good("info", "set.bfn").out.decode(), good("info", "-v", "set.bfn").out.decode()
    assert "12 item(s)" in short and short.count("lossless: bytes") == 8 and "4 more" in short
    assert long.count("lossless: bytes") == 12 and "0: a\\x1b[31m\\nb\n" in long and "\x1b" not in long
    told = good("info", "image.png.bfn").out.decode()
    assert f"{SIDE}x{SIDE} RGB (png)" in told and "lossless: pixels and metadata" in told


@pytest.mark.parametrize("options", [["info", "image.png.bfn"], ["info", "--json", "image.png.bfn"], ["--help"]])
def test_light_commands_need_no_model_and_no_torch(
    folder: Path, image: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    """Rows 11 and 17."""
    monkeypatch.setenv("BFNCODEC_MODEL_DIR", "/nonexistent")
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    result = spawn(*options)
    assert result.code == 0 and result.out
    times = {
        line.split("|")[2].strip(): int(line.split("|")[1]) for line in result.err.splitlines() if "us]" not in line
    }
    assert "bfncodec.cli.main" in times
    heavy = {
        name for name in times if re.match(r"(torch|llvmlite|constriction|safetensors|PIL|bfncodec\.models)\b", name)
    }
    assert heavy <= (LIGHT if "info" in options else set())


def test_start_up_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 17: importing the command takes less than 0.3 s."""
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    lines = [line for line in spawn("--help").err.splitlines() if line.endswith(" bfncodec.cli.main")]
    assert int(lines[0].split("|")[1]) < 300_000


@pytest.mark.parametrize("effort", presets.EFFORTS)
def test_presets_decode_without_options(folder: Path, image: Path, effort: str) -> None:
    """Row 15."""
    result = call("encode", "-m", "tiny", "--effort", effort, "image.png", "-o", "out.bfn")
    if "this model has no networks" in result.err:
        pytest.skip(result.err)
    assert result.code == 0
    assert "image" in good("info", "--json", "out.bfn").out.decode()
    assert (shown(good("decode", "-c", "out.bfn").out) == shown(png())).all()


def test_presets_are_those_of_the_api() -> None:
    """Row 15."""
    for name in ("encode", "measure"):
        command = main.get_command(click.Context(main), name)
        assert command is not None
        known = {one.name: tuple(one.type.choices) for one in command.params if isinstance(one.type, click.Choice)}
        assert known["effort"] == presets.EFFORTS
        assert known["media"] == presets.MEDIA
        assert known["device"] == presets.DEVICES


def test_threads_do_not_change_the_file(folder: Path, image: Path) -> None:
    """Row 16: as many as the libraries take, 2 and 4."""
    hashes = set()
    for threads in (2, 4):
        result = spawn("encode", "-T", threads, "-m", "tiny", "-c", "image.png")
        assert result.code == 0
        hashes.add(hashlib.sha256(result.out).digest())
    assert hashes == {hashlib.sha256((folder / "image.png.bfn").read_bytes()).digest()}


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_is_narrow(monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    """Row 17: less than 80 columns, on wide terminals too."""
    monkeypatch.setenv("COLUMNS", "200")
    told = good(*command, "--help").out.decode()
    assert max(map(len, told.splitlines())) < 80
    assert told == good(*command, "-h").out.decode()


def test_version_tells_format_and_models() -> None:
    """Row 17."""
    told = good("--version").out.decode()
    assert f"bfncodec {bfncodec.__version__}" in told and f"format version {container.VERSION}" in told
    for name in ("photo", "small", "text"):
        assert f"{name} {zoo.digest(zoo.PACKAGED / f'{name}.safetensors').hex()}" in told


def test_model_folder_variable(folder: Path, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 18: without it the tiny model is unknown, by name and by hash, and nothing is written."""
    model = zoo.find("tiny")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    for value in (None, str(elsewhere)):
        if value is None:
            monkeypatch.delenv("BFNCODEC_MODEL_DIR")
        else:
            monkeypatch.setenv("BFNCODEC_MODEL_DIR", value)
        result = call("decode", "-f", "image.png.bfn", "-o", "out")
        assert result.code == 1 and zoo.digest(model).hex() in result.err and "BFNCODEC_MODEL_DIR" in result.err
        assert "'tiny'" in call("encode", "-m", "tiny", "image.png", "-o", "out").err
        assert sorted(listing(folder)) == ["image.png", "image.png.bfn"]
    (elsewhere / "renamed.safetensors").write_bytes(model.read_bytes())
    good("decode", "image.png.bfn", "-o", "out")
    assert good("encode", "-m", "renamed", "-c", "image.png").out == (folder / "image.png.bfn").read_bytes()


def test_options_come_from_the_command_line_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 18: no variable changes what scripts do."""
    (folder / "text").write_bytes(TEXT)
    (folder / "text.bfn").write_bytes(b"precious")
    for name in (
        "BFNCODEC_FORCE",
        "BFNCODEC_ENCODE_FORCE",
        "BFN_FORCE",
        "BFN_OPT",
        "BFNCODEC_OPT",
        "MAIN_ENCODE_FORCE",
    ):
        monkeypatch.setenv(name, "-f" if name.endswith("OPT") else "1")
    assert call("encode", "text").code == 1 and (folder / "text.bfn").read_bytes() == b"precious"
