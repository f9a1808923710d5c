"""Golden files: what they hold and which errors they raise never changes (checklist rows 11, 24, 29, 30, 38, 40).

`tools/make_goldens.py` tells how they were made; `reference/decoder.py` is the second decoder.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import decoder as reference_decoder
from reference import jpeg as reference_jpeg
from reference import paper as reference_paper
from reference import stack as reference_stack
from reference import text as reference_text
from safetensors.numpy import load_file
from tools import make_goldens, make_goldens_paper, make_tiny_jpeg, make_tiny_paper, make_tiny_text

import bfncodec
from bfncodec import api, decoding, errors
from bfncodec.jpeg.pixels import Colours
from bfncodec.media import build
from bfncodec.models import zoo
from bfncodec.models.paper.spec import from_card
from bfncodec.picture import Layout, Origin, Picture

GOLDEN = Path(__file__).with_name("data") / "golden"
MANIFEST: dict[str, Any] = json.loads((GOLDEN / "manifest.json").read_text())
GOOD = MANIFEST["good"]
NAMES = (make_goldens.MODEL, make_goldens.TEXT_MODEL, make_goldens.JPEG_MODEL, *make_tiny_paper.SPECS)
MODELS = [make_goldens.DATA / f"{name}.safetensors" for name in NAMES]
PAGE = Path(__file__).parents[1] / "docs" / "format.md"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.bfn").read_bytes()


def check_content(entry: dict[str, Any], content: bytes | Picture) -> None:
    """Decoded content is what the manifest promises, and what the input holds."""
    original = (GOLDEN / entry["input"]).read_bytes()
    if isinstance(content, bytes):
        assert sha(content) == entry["bytes"]
        assert content == original
        return
    assert content.origin.name == entry["source"]
    assert content.pixels.shape == tuple(entry["shape"]) and content.pixels.dtype == (
        np.uint16 if entry.get("depth", 8) > 8 else np.uint8
    )
    assert sha(content.pixels.tobytes()) == entry["pixels"]
    assert (sha(content.metadata) if content.metadata else None) == entry.get("metadata")
    if content.origin is Origin.ARRAY:
        assert content.pixels.tobytes() == original
    elif content.origin is not Origin.PNG:
        assert build(content) == original


def decoded(data: bytes) -> list[bytes | Picture]:
    """All items of a file."""
    contents = decoding.contents(decoding.read(data), "cpu")
    return [one if isinstance(one, Picture) else b"".join(one) for one in contents]


def by_reference(data: bytes) -> list[bytes | Picture]:
    """All items of a file, from the second decoder."""
    contents: list[bytes | Picture] = []
    for item in reference_decoder.decode(data, *MODELS):
        if item.pixels is None:
            contents.append(item.content)
            continue
        layout = Layout(item.layout)
        picture = Picture(Origin(item.source), layout, item.pixels, item.metadata, item.depth, item.signed)
        if picture.origin in (Origin.PNM, Origin.BMP, Origin.NPY):
            assert item.file() == build(picture)
        contents.append(picture)
    return contents


def test_the_folder_is_what_the_manifest_lists() -> None:
    names = {f"{name}.bfn" for name in GOOD} | {f"bad-{name}.bfn" for name in MANIFEST["bad"]}
    names |= {entry["input"] for entry in [*GOOD.values(), *MANIFEST["archive"].values()]}
    assert {path.name for path in GOLDEN.iterdir()} == names | {"archive.bfn", "manifest.json"}
    for path, key in zip(MODELS, ("model", "text_model", "jpeg_model", *make_tiny_paper.SPECS), strict=True):
        assert sha(path.read_bytes()).startswith(MANIFEST[key])
    assert sum(path.stat().st_size for path in GOLDEN.iterdir()) < 190_000


def test_every_feature_of_the_format_is_in_a_golden() -> None:
    passes = [one for entry in GOOD.values() for one in entry.get("passes", [])]
    for feature in ("pace 0", "pace 1", "pace 2", "no learning", "constant", "silent", "base", "deep", "tones", "fast"):
        assert any(feature in one for one in passes)
    assert {entry["mode"] for entry in GOOD.values()} == {"STORED", "LZMA", "IMAGE", "TEXT", "SINGLE", "JPEG"}
    single = [entry for entry in GOOD.values() if entry["mode"] == "SINGLE"]
    assert {(entry["model"], entry["sender"]) for entry in single} == {
        (name, sender.upper()) for name, spec in make_tiny_paper.SPECS.items() for sender in spec.senders
    }
    assert {entry["batch"] for entry in single} == {1, 2}
    assert {entry.get("lanes") for entry in GOOD.values()} >= {1, 3, None}
    schedules = {"WAVEFRONT", "LATTICE", "EXACT", "COEFFICIENTS", "BYTEWISE", "BLOCKWISE", "FAST", None}
    assert {entry.get("schedule") for entry in GOOD.values()} == schedules
    assert {bool(entry["exceptions"]) for entry in GOOD.values() if "space" in entry} == {False, True}
    assert {entry["colours"] for entry in GOOD.values() if "colours" in entry} == {colours.text for colours in Colours}
    samplings = {entry.get("sampling") for entry in GOOD.values() if "space" in entry}
    assert samplings == {None, "EVEN_EVEN", "EVEN_ODD", "ODD_EVEN", "TRIANGLES"}
    assert any(entry.get("steps") and entry["lanes"] > 1 for entry in GOOD.values())
    assert {entry["shape"][2] for entry in GOOD.values() if "shape" in entry} == {1, 2, 3, 4}
    assert {mode for entry in GOOD.values() for mode in entry.get("parts", [])} == {"STORED", "LZMA", "TEXT"}
    assert any(block.items > 1 for block in decoding.read(golden("archive")).blocks)


@pytest.mark.parametrize("name", GOOD)
def test_good_files_decode_to_their_content(name: str) -> None:
    """Rows 30 and 31."""
    check_content(GOOD[name], *decoded(golden(name)))


@pytest.mark.parametrize("name", GOOD)
def test_good_files_decode_in_the_second_decoder(name: str) -> None:
    """Row 30: by the page alone."""
    check_content(GOOD[name], *by_reference(golden(name)))


def test_archive_decodes_to_its_items() -> None:
    names = decoding.read(golden("archive")).names
    assert names is not None and sorted(names) == sorted(MANIFEST["archive"])
    for name, content in zip(names, decoded(golden("archive")), strict=True):
        check_content(MANIFEST["archive"][name], content)


def test_archive_decodes_in_the_second_decoder() -> None:
    items = reference_decoder.decode(golden("archive"), *MODELS)
    assert all(item.name is not None for item in items)
    names = [(item.name or b"").decode("utf-8", "surrogateescape") for item in items]
    for name, content in zip(names, by_reference(golden("archive")), strict=True):
        check_content(MANIFEST["archive"][name], content)


@pytest.mark.parametrize("name", [name for name, entry in GOOD.items() if entry["effort"]])
def test_inputs_encode_to_the_same_bytes(name: str) -> None:
    """Rows 28 and 38: on every machine."""
    entry = GOOD[name]
    item: Any = (GOLDEN / entry["input"]).read_bytes()
    if entry.get("source") == "ARRAY":
        item = np.frombuffer(item, np.uint16 if entry.get("depth", 8) > 8 else np.uint8).reshape(entry["shape"])
    options = make_goldens.TEXT_OPTIONS if entry["mode"] == "TEXT" else make_goldens.OPTIONS
    if entry.get("schedule") == "EXACT":
        options = make_goldens.EXACT_OPTIONS
    if entry["mode"] == "JPEG":
        options = make_goldens.JPEG_OPTIONS
    assert bfncodec.encode(item, effort=entry["effort"], **options) == golden(name)


@pytest.mark.parametrize("name", make_goldens_paper.PLANS)
def test_data_items_encode_to_the_same_bytes(name: str) -> None:
    """Rows 28 and 38: through the paper's steps."""
    plan = make_goldens_paper.PLANS[name]
    assert plan.content() == (GOLDEN / GOOD[name]["input"]).read_bytes()
    assert plan.told().items() <= GOOD[name].items()
    assert make_goldens_paper.encode(plan) == golden(name)


@pytest.mark.parametrize("name", MANIFEST["info"])
def test_info_is_what_it_was(name: str) -> None:
    """Row 11: keys and values are stable."""
    assert api.info(golden(name)) == MANIFEST["info"][name]


@pytest.mark.parametrize("name", MANIFEST["bad"])
def test_bad_files_raise_their_error(name: str) -> None:
    """Rows 20 to 25."""
    with pytest.raises(errors.BfnError) as caught:
        decoded(golden(f"bad-{name}"))
    assert type(caught.value).__name__ == MANIFEST["bad"][name]


@pytest.mark.parametrize("name", MANIFEST["bad"])
def test_bad_files_are_refused_by_the_second_decoder(name: str) -> None:
    with pytest.raises(reference_decoder.FormatError):
        by_reference(golden(f"bad-{name}"))


def test_the_script_makes_the_same_files(tmp_path: Path) -> None:
    """Row 40: binary goldens come with the script that makes them."""
    make_goldens.make(tmp_path)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_bytes() for path in GOLDEN.iterdir()}
    assert sorted(made) == sorted(kept)
    assert [name for name in made if made[name] != kept[name]] == []


def test_the_text_model_is_what_its_script_makes() -> None:
    """Row 40, for the numbers in the file."""
    kept, made = load_file(MODELS[1]), make_tiny_text.taught()
    assert sorted(kept) == sorted(made)
    assert [name for name in made if not np.array_equal(made[name], kept[name])] == []


def test_the_jpeg_model_is_what_its_script_makes() -> None:
    """Row 40, for the numbers in the file."""
    kept, made = load_file(MODELS[2]), make_tiny_jpeg.taught()
    assert sorted(kept) == sorted(made)
    assert [name for name in made if not np.array_equal(made[name], kept[name])] == []


@pytest.mark.parametrize("name", make_tiny_paper.SPECS)
def test_the_models_of_the_papers_kind_are_what_their_script_makes(name: str) -> None:
    """Row 40, for the card and the shapes: their numbers come from an export that may get better."""
    path, spec = make_goldens.DATA / f"{name}.safetensors", make_tiny_paper.SPECS[name]
    kept, made = load_file(path), make_tiny_paper.tensors(spec)
    assert {key: (tensor.shape, tensor.dtype) for key, tensor in kept.items()} == {
        key: (tensor.shape, tensor.dtype) for key, tensor in made.items()
    }
    assert from_card(zoo.card(path)) == spec


def test_the_second_decoder_stands_alone() -> None:
    """Row 30: from the page alone, without bfncodec, torch, constriction or safetensors."""
    for module in (reference_decoder, reference_jpeg, reference_paper, reference_stack, reference_text):
        source = Path(module.__file__ or "").read_text()
        imports = [line.split()[1] for line in source.splitlines() if re.match(r" *(import|from) ", line)]
        names = {name.split(".")[0] for name in imports}
        assert not names & {"bfncodec", "torch", "constriction", "safetensors", "llvmlite"}
        assert "numpy" not in names or module in (reference_decoder, reference_jpeg)


def test_the_example_of_the_page_is_a_file() -> None:
    """Section 17 of docs/format.md, byte for byte."""
    listing = PAGE.read_text().split("## 17. Example")[1].split("## 18.")[0]
    rows = [line.strip() for line in listing.splitlines() if line.startswith("    ")]
    data = bytes.fromhex("".join(row.split("  ")[0] for row in rows))
    assert bfncodec.decode(data) == b"abc" == reference_decoder.decode(data)[0].content
    assert bfncodec.encode(b"abc") == data


@settings(max_examples=30)
@given(st.one_of(st.binary(max_size=300), st.text(max_size=100).map(str.encode)))
def test_any_bytes_come_back(data: bytes) -> None:
    """Row 37, without a model in both decoders: NUL, invalid UTF-8, no bytes at all."""
    encoded = bfncodec.encode(data)
    plain = make_goldens.plain_file(data)
    assert len(encoded) <= len(plain) <= len(data) + 64
    assert bfncodec.decode(encoded) == data == bfncodec.decode(plain)
    assert reference_decoder.decode(plain)[0].content == data


def test_the_checklist_names_tests_that_exist() -> None:
    """All 40 rows, in order; every test that docs/checklist.md names is in this folder."""
    page = PAGE.with_name("checklist.md").read_text()
    rows = [line for line in page.splitlines() if re.match(r"\| \d", line)]
    assert [int(row.split("|")[1]) for row in rows] == list(range(1, 41))
    source = "".join(path.read_text() for path in Path(__file__).parent.rglob("test_*.py"))
    for row in rows:
        names = re.findall(r"`(test_\w+)`", row)
        assert names
        assert [name for name in names if f"def {name}(" not in source] == []
