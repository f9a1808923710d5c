"""`bfncodec measure`: every bit of a file accounted for, against the file that `encode` writes."""

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jpeg.test_files import jpeg
from PIL import Image
from tools import make_goldens, make_goldens_paper, make_tiny_paper
from tools.command import Result, call, encoded_png, good, pixels, png, spawn

from bfncodec import container
from bfncodec.blocks import pictures as image_blocks
from bfncodec.blocks.single import Sender, Single
from bfncodec.container import Block
from bfncodec.errors import CorruptFile
from bfncodec.measure import account, plots
from bfncodec.models import zoo
from bfncodec.presets import Choices

KEYS = {
    *("file", "file_bytes", "input_bytes", "mode", "floating_point", "dimensions", "header_bytes", "digest_bytes"),
    *("side_bytes", "payload_bits", "seed_bits", "theory_bits", "n_step_bits", "theory_stderr", "paths", "ratio"),
    "path_deviation",
    *("n_step_ratio", "payload_bpd", "payload_without_seed_bpd", "file_bpd", "weights_bytes", "encode_seconds"),
    *("decode_seconds", "round_trip", "groups"),
}
PLAN = make_goldens_paper.Plan("tiny-values", Sender.GAUSSIAN, 50, 1, 3, header=True, tail=b"end")
TINY, TEXT = ("-m", "tiny"), ("-m", "tiny-text", "--media", "text")
GREY = b"P5 24 24 255\n" + pixels()[..., 0].tobytes()
REPEATS = b"P5 30 40 255\n" + make_goldens.random_bytes(300) * 4
CASES: dict[str, tuple[bytes, tuple[str, ...], str]] = {
    "image": (png(), TINY, "image"),
    "lattice": (png(), (*TINY, "--effort", "lattice"), "image"),
    "grey": (GREY, TINY, "image"),
    "constant": (b"P6 4 5 255\n" + bytes(60), (*TINY, "--media", "image"), "image"),
    "jpeg": (jpeg(120, 90, quality=90), ("-m", "tiny-jpeg"), "jpeg"),
    "text": (make_goldens.ENGLISH, TEXT, "text"),
    "blocks": (make_goldens.MORE_ENGLISH, (*TEXT, "--effort", "blocks"), "text"),
    "single": (PLAN.content(), ("-m", PLAN.model), "single"),
    "lzma": (REPEATS, TINY, "lzma"),
    "stored": (make_goldens.random_bytes(100), TINY, "stored"),
    "empty": (b"", (), "stored"),
    "empty text": (b"", TEXT, "stored"),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def measured(data: bytes, *options: str) -> dict[str, Any]:
    """The JSON of one file."""
    Path("data").write_bytes(data)
    good("measure", "data", *options, "--json", "told.json", "-f", "-q")
    (told,) = json.loads(Path("told.json").read_text())
    return told


@pytest.mark.parametrize("case", CASES)
def test_every_bit_of_the_file_is_accounted_for(case: str) -> None:
    data, options, mode = CASES[case]
    told = measured(data, *options)
    assert set(told) == KEYS and told["mode"] == mode and told["round_trip"] is True
    encoded = good("encode", "-c", "data", *options).out
    assert told["file_bytes"] == len(encoded) and told["input_bytes"] == len(data)
    parts = told["payload_bits"] + 8 * (told["header_bytes"] + told["side_bytes"])
    assert parts == 8 * told["file_bytes"] and told["digest_bytes"] == container.DIGEST_BYTES
    groups, spent = told["groups"], told["payload_bits"] - told["seed_bits"]
    assert {frozenset(group) - {"parts"} for group in groups} <= {
        frozenset({"first", "variables", "steps", "reconstruction_bits", "reconstruction_spent_bits"})
    }
    if not groups:
        assert told["ratio"] is None and told["theory_bits"] == told["n_step_bits"] == 0
        return
    assert abs(spent - told["theory_bits"]) <= max(64, 2e-4 * told["theory_bits"])
    assert told["ratio"] == pytest.approx(spent / told["theory_bits"], abs=1e-5)
    assert told["n_step_ratio"] == pytest.approx(spent / told["n_step_bits"], abs=1e-5)
    assert told["weights_bytes"] == zoo.find(options[1]).stat().st_size
    assert told["payload_bpd"] == pytest.approx(told["payload_bits"] / told["dimensions"], abs=1e-5)


@pytest.mark.parametrize("case", ["image", "lattice", "grey", "text", "blocks", "single"])
def test_groups_and_steps_add_up(case: str) -> None:
    """To what the file really has, bit by bit; each step spends what it costs, but for the bits of an empty stack."""
    data, options, mode = CASES[case]
    told = measured(data, *options)
    groups = told["groups"]
    theory = sum(step["theory_bits"] for group in groups for step in group["steps"])
    theory += sum(group["reconstruction_bits"] for group in groups)
    assert theory == pytest.approx(told["theory_bits"], abs=0.01 * len(groups))
    spent = sum(step["spent_bits"] for group in groups for step in group["steps"])
    spent += sum(group["reconstruction_spent_bits"] for group in groups)
    assert 0 <= told["payload_bits"] - told["seed_bits"] - spent < 16 * (mode != "single") + 1
    steps = [step for group in groups for step in group["steps"]]
    assert bool(steps) == (case != "text")
    for step in steps:
        assert abs(step["spent_bits"] - step["theory_bits"]) < 3
    apart = sorted(abs(group["reconstruction_spent_bits"] - group["reconstruction_bits"]) for group in groups)
    assert apart[-1] < 32 and not [bits for bits in apart[:-4] if bits >= 3]
    assert sum(group["variables"] for group in groups) == told["dimensions"]


def test_items_of_a_transmission() -> None:
    """A group for every item, with all of its steps; the options are those of the transmission."""
    told = measured(PLAN.content(), "-m", PLAN.model, "-n", "4", "--sender", "dither", "--batch", "2", "--paths", "1")
    spec = make_tiny_paper.SPECS[PLAN.model]
    assert [len(group["steps"]) for group in told["groups"]] == [4, 4]
    assert [group["variables"] for group in told["groups"]] == [2 * spec.size, spec.size]
    assert [group["first"] for group in told["groups"]] == [0, 1]
    assert told["dimensions"] == 3 * spec.size and told["seed_bits"] < 48, "dither needs no more than a word"
    assert told["theory_stderr"] is None and told["paths"] == 1
    more = measured(PLAN.content(), "-m", PLAN.model, "-n", "4", "--paths", "6")
    assert more["paths"] == 6 and more["theory_stderr"] > 0 and more["seed_bits"] > 100
    assert abs(more["n_step_bits"] - more["theory_bits"]) < 8 * more["theory_stderr"] * 6**0.5


def test_bad_files_stop_no_others() -> None:
    for name in ("one", "three"):
        Path(name).write_bytes(PLAN.content())
    Path("bad").write_bytes(b"short")
    result = call("measure", "one", "bad", "missing", "three", "-m", PLAN.model, "-n", 1, "--json", "told.json")
    assert result.code == 1
    assert [told["file"] for told in json.loads(Path("told.json").read_text())] == ["one", "three"]
    assert result.out.count(b"round trip good") == 2
    lines = result.err.splitlines()
    assert len(lines) == 2 and "bad: too short" in lines[0] and "missing: " in lines[1]


def test_a_failed_round_trip_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Single, "decode", lambda *_: iter([iter([b"something else"])]))
    with pytest.raises(CorruptFile, match="does not decode"):
        account.measure(PLAN.content(), Choices(model=PLAN.model), account.PixelLedger.of(2))
    Path("data").write_bytes(PLAN.content())
    result = call("measure", "data", "-m", PLAN.model)
    assert result.code == 1 and result.out == b"" and "does not decode" in result.err


def test_account_for_people() -> None:
    """Groups one by one, or summed where they are many; sums as in the JSON; nothing with -q."""
    data = CASES["blocks"][0]
    Path("data").write_bytes(data)
    options = CASES["blocks"][1]
    told = measured(data, *options)
    shown = good("measure", "data", *options).out.decode()
    rows = [line.split() for line in shown.splitlines()]
    assert [row[-1] for row in rows if row[0] == "file"] == [str(8 * told["file_bytes"])]
    assert [row[-1] for row in rows if row[:3] == ["coded", "in", "all"]] == [str(told["payload_bits"])]
    assert "step 1, " in shown and "group 0" not in shown and len(rows) < 20
    assert "group 0 step 1" in good("measure", "data", *options, "-v").out.decode()
    Path("items").write_bytes(PLAN.content())
    few = good("measure", "items", "-m", PLAN.model, "-n", 2).out.decode()
    assert all(f"group {group} step {step}" in few for group in range(3) for step in (1, 2))
    silent = good("measure", "items", "-q", "-m", PLAN.model, "-n", 2)
    assert silent.out == b"" and silent.err == ""


def test_standard_input_is_measured() -> None:
    result = good("measure", "-", "-m", PLAN.model, "-n", 1, given=PLAN.content())
    assert result.out.startswith(b"-: ") and b"round trip good" in result.out


# Plots


def drawn(data: bytes, *options: str, name: str = "data") -> np.ndarray:
    """The picture that --plot writes."""
    Path(name).write_bytes(data)
    result = good("measure", name, *options, "--plot", "plot.png", "-f", "-q")
    assert result.err == ""
    with Image.open("plot.png") as image:
        return np.asarray(image.convert("RGB"))


def test_plots_have_a_map_for_images_only() -> None:
    wide, narrow = drawn(*_case("image")), drawn(*_case("single"))
    assert wide.shape[0] == narrow.shape[0] and wide.shape[1] > 1.3 * narrow.shape[1] > 500
    for case in ("lattice", "constant", "lzma", "stored", "empty", "text", "jpeg"):
        picture = drawn(*_case(case))
        assert picture.shape == narrow.shape and picture.std() > 5, case


def _case(name: str) -> tuple[Any, ...]:
    data, options, _ = CASES[name]
    return data, *options


def test_plots_are_written_in_three_formats() -> None:
    Path("a$b^$ \u00fc.bin").write_bytes(PLAN.content())  # a name that is no formula
    for suffix, start in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        good("measure", "a$b^$ \u00fc.bin", "-m", PLAN.model, "-n", 2, "--plot", "plot" + suffix, "-q")
        assert Path("plot" + suffix).read_bytes().startswith(start)


@pytest.mark.parametrize("data", [png(), GREY], ids=["colour", "grey"])
def test_the_map_shows_where_the_bits_went(data: bytes) -> None:
    ledger = account.PixelLedger.of(2)
    report = account.measure(data, Choices("cpu", "tiny"), ledger)
    bits, told = ledger.image_map(), measured(data, *TINY)
    assert bits is not None and bits.shape == pixels().shape[:2] and bits.min() > 0
    assert bits.sum() == pytest.approx(told["theory_bits"], rel=1e-6)
    assert report["groups"] == told["groups"]


@pytest.mark.parametrize("case", ["image", "grey", "lzma"])
def test_an_image_is_encoded_once(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plot shows the run that the numbers are of, though further noise is drawn for them."""
    data, options, mode = CASES[case]
    Path("data").write_bytes(data)
    made, drawn = [], []
    encode = image_blocks.encode

    def counted(*arguments: Any) -> Block:
        made.append(encode(*arguments))
        return made[-1]

    monkeypatch.setattr(image_blocks, "encode", counted)
    monkeypatch.setattr(plots, "draw", lambda *arguments: drawn.append(arguments))
    good("measure", "data", *options, "--paths", 3, "--plot", "plot.png", "--json", "told.json", "-q")
    assert len(made) == 1, "the round trip and the plot take what is there"
    (told,) = json.loads(Path("told.json").read_text())
    ((_, kind, shown, bits),) = drawn
    assert kind == "png" and shown == told and told["mode"] == mode
    assert (bits is not None) == (mode == "image")
    if mode == "image":
        assert bits.sum() == pytest.approx(told["theory_bits"], rel=1e-6)
        assert 8 * made[0].form.coded_bytes == told["payload_bits"]


def test_no_matplotlib_is_told_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("data").write_bytes(PLAN.content())
    original = builtins.__import__

    def without(name: str, *arguments: Any, **choices: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return original(name, *arguments, **choices)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(account, "measure", lambda *arguments: pytest.fail("it did the work first"))
    result = call("measure", "data", "-m", PLAN.model, "--plot", "plot.png")
    assert result.code == 1 and "pip install 'bfncodec[plot]'" in result.err and not Path("plot.png").exists()


# Files that are written


def refused(*options: str) -> Result:
    result = call("measure", "data", "-m", PLAN.model, "-n", "1", *options)
    assert result.code == 1 and result.out == b"" and "Traceback" not in result.err
    return result


def test_existing_plots_and_tables_are_kept_unless_forced() -> None:
    Path("data").write_bytes(PLAN.content())
    for option, name in (("--plot", "there.png"), ("--json", "there.json")):
        Path(name).write_bytes(b"mine")
        assert f"{name} exists already; use -f" in refused(option, name).err
        assert Path(name).read_bytes() == b"mine"
        good("measure", "data", "-m", PLAN.model, "-n", 1, option, name, "-f", "-q")
        assert Path(name).read_bytes() != b"mine"
        assert "no folder to write to" in refused(option, "nowhere/" + name).err
    assert "is the input itself" in refused("--json", "data", "-f").err
    assert Path("data").read_bytes() == PLAN.content()
    assert spawn("measure", "data", "--json", "there.json").code == 1


def test_wrong_use_of_measure() -> None:
    Path("data").write_bytes(b"data")
    for wrong in (
        ("data", "data", "--plot", "a.png"),
        ("data", "--plot", "a.jpeg"),
        ("data", "--plot", "a.svg", "--json", "a.svg"),
        ("data", "-n", "0"),
        ("data", "-n", "4097"),
        ("data", "--sender", "none"),
        ("data", "--paths", "0"),
        (),
    ):
        assert call("measure", *wrong).code == 2, wrong


def test_measured_files_are_only_read() -> None:
    """Of a .bfn file the bytes are measured."""
    Path("x.bfn").write_bytes(encoded_png())
    good("measure", "x.bfn", "-q")
    assert Path("x.bfn").read_bytes() == encoded_png() and [path.name for path in Path().iterdir()] == ["x.bfn"]
