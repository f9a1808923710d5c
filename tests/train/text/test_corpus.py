"""Texts to train on: what is held out, what is drawn how often, and which files of a folder are texts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bfncodec.errors import BfnError
from bfncodec.train.text import corpus
from bfncodec.train.text.corpus import WARM, Corpus

ROOT = Path(__file__).parents[3]


def windows(made: Corpus, count: int, length: int, crlf: float = 0.0, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [made.window(rng, length, crlf) for _ in range(count)]


@pytest.mark.parametrize("crlf", [0.0, 0.5])
def test_held_out_parts_are_never_trained_on(tmp_path: Path, crlf: float) -> None:
    """The end of every file, however short: windows begin again at its start."""
    random = np.random.default_rng(0)
    for name, size in (("a", 64), ("b", 1000), ("c", 30_000)):
        held = size // corpus.HELD_SHARE
        known = random.integers(10, 60, size - held)
        (tmp_path / name).write_bytes(bytes(known.tolist()) + bytes(random.integers(128, 256, held).tolist()))
    made = Corpus(tmp_path)
    assert made.bytes == sum(size - size // 32 for size in (64, 1000, 30_000))
    for window in windows(made, 300, 200, crlf):
        assert window.dtype == np.uint8 and len(window) == WARM + 200
        assert window.max() < 128
    pieces = list(made.held_out(20, 100))
    assert len(pieces) == 20 and all(len(piece) <= WARM + 100 and piece.min() >= 128 for piece in pieces)
    rng = np.random.default_rng(0)
    unseen = [made.unseen_window(rng, 200, crlf) for _ in range(50)]
    assert all(len(window) == 200 and window.min() >= 128 for window in unseen), "of the long file's end"
    assert made.unseen_window(rng, 10_000, crlf).min() >= 128
    again = list(made.held_out(20, 100))
    assert all(np.array_equal(one, other) for one, other in zip(pieces, again, strict=True))


def test_long_files_hold_out_so_much_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "HELD_LIMIT", 100)
    (tmp_path / "a").write_bytes(bytes(10_000))
    made = Corpus(tmp_path)
    assert made.bytes == 9900 and [len(text) for text in made.held] == [100]
    assert not list(made.held_out(5, 10)), "too short for a piece"
    assert len(made.unseen_window(np.random.default_rng(0), 500, 0.0)) == 500, "of what is trained on, then"


def test_short_files_begin_again(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(range(60, 160)))
    known = 100 - 100 // 32
    for window in windows(Corpus(tmp_path), 20, 300):
        assert ((np.diff(window.astype(int)) - 1) % known == 0).all()
        assert set(window.tolist()) == set(range(60, 60 + known))


def test_kinds_are_drawn_alike_and_files_by_size(tmp_path: Path) -> None:
    for name, size, value in (("one/a", 9000, 1), ("one/b", 1000, 2), ("two/c", 500, 3)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes([value]) * size)
    drawn = np.bincount([int(window[0]) for window in windows(Corpus(tmp_path), 2000, 1)], minlength=4) / 2000
    assert drawn[1] == pytest.approx(0.45, abs=0.05) and drawn[2] == pytest.approx(0.05, abs=0.02)
    assert drawn[3] == pytest.approx(0.5, abs=0.05)


def test_lines_that_are_made_to_end_in_crlf(tmp_path: Path) -> None:
    """In a share of the windows, of files that have no carriage returns of their own."""
    (tmp_path / "a").write_bytes(b"a line\nanother\n" * 100)
    (tmp_path / "b").write_bytes(b"an old\rline\n" * 100)
    made = Corpus(tmp_path)
    changed = 0
    for window in windows(made, 100, 50, crlf=1.0):
        found = window.tobytes()
        assert len(found) == WARM + 50
        if b"old" not in found:
            assert b"\n" not in found.replace(b"\r\n", b"") and b"\r\r" not in found
            changed += 1
        else:
            assert b"\r\n" not in found
    assert 30 < changed < 70
    assert all(b"\r\n" not in window.tobytes() for window in windows(made, 50, 50, crlf=0.0))


def test_which_files_are_texts(tmp_path: Path) -> None:
    """All files of a folder but links and what is tiny; a file by itself."""
    (tmp_path / "a").write_bytes(bytes(64))
    (tmp_path / "tiny").write_bytes(bytes(63))
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert Corpus(tmp_path).bytes == 62 == Corpus(tmp_path / "a").bytes
    with pytest.raises(BfnError, match="no text"):
        Corpus(tmp_path, frozenset({"/a"}))
    with pytest.raises(BfnError, match="no text"):
        Corpus(tmp_path / "tiny")


# A mix of kinds


def files_of(folder: Path, sizes: dict[str, int]) -> None:
    """Files of so many bytes each, all of one byte that is their number."""
    for number, (name, size) in enumerate(sizes.items(), 1):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(bytes([number]) * size)


def mixed(folder: Path, mix: object, skip: frozenset[str] = frozenset()) -> Corpus:
    """The corpus of a folder by a mix."""
    path = folder.parent / f"{folder.name}.json"
    path.write_text(mix if isinstance(mix, str) else json.dumps(mix))
    return Corpus(folder, skip, path)


SIZES = {
    "book.bin": 1000,
    "train/novels/a/b.txt": 640,
    "train/code/c.txt": 64,
    "train/code/d.xml": 128,
    "train/f.txt": 99,
    "canterbury/h.txt": 99,
    "train/code2/i.txt": 99,
}
MIX = {"train/code": 0.2, "book.bin": {"share": 0.5, "first": 320}, "train/novels": 0.3}


def test_a_mix_says_what_is_drawn_how_often(tmp_path: Path) -> None:
    """Kinds are folders or files, with shares; what matches none is left out, for evaluation."""
    files_of(tmp_path, SIZES)
    made = mixed(tmp_path, MIX)
    assert [[len(text) for text in kind] for kind in made.seen.files] == [[310], [62, 124], [620]]
    assert made.bytes == 310 + 62 + 124 + 620
    assert made.seen.cumulative == pytest.approx([0.5, 0.7, 1.0])
    drawn = np.bincount([int(window[0]) for window in windows(made, 3000, 1)], minlength=8) / 3000
    assert drawn[[1, 2]] == pytest.approx([0.5, 0.3], abs=0.04)
    assert drawn[[3, 4]] == pytest.approx([0.2 / 3, 0.4 / 3], abs=0.03), "within a kind by size"
    assert not drawn[5:].any()


def test_shares_are_those_of_what_is_there(tmp_path: Path) -> None:
    files_of(tmp_path, SIZES)
    made = mixed(tmp_path, MIX | {"nowhere": 9}, frozenset({"book.bin", "c.txt"}))
    assert [[len(text) for text in kind] for kind in made.seen.files] == [[124], [620]]
    assert made.seen.cumulative == pytest.approx([0.4, 1.0])


def test_the_first_bytes_of_a_file(tmp_path: Path) -> None:
    """Neither trained on nor held out is what comes after them; the held-out end is theirs."""
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a").write_bytes(b"a" * 620 + b"h" * 20 + b"z" * 500)
    made = mixed(tmp_path / "texts", {"a": {"share": 1, "first": 640}})
    assert [text.tobytes() for text in made.held] == [b"h" * 20]
    assert {window.tobytes() for window in windows(made, 20, 50)} == {b"a" * (WARM + 50)}
    assert made.bytes == 620


def test_the_longest_name_that_holds_a_file_is_its_kind(tmp_path: Path) -> None:
    files_of(tmp_path, {"a/b/c": 64, "a/d": 96, "a/b/e/f": 128})
    made = mixed(tmp_path, {"a": 1, "a/b/": 2, "a/b/e": 4})
    assert [[len(text) for text in kind] for kind in made.seen.files] == [[62], [124], [93]]
    assert made.seen.cumulative == pytest.approx(np.cumsum([2, 4, 1]) / 7)


@pytest.mark.parametrize(
    "mix",
    ["", "no JSON", "{", "[]", "3", "[0.5]", '{"a": "much"}', '{"a": null}', '{"a": [1]}', '{"a": {"part": 1}}'],
)
def test_a_file_that_is_no_mix(tmp_path: Path, mix: str) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a").write_bytes(bytes(640))
    with pytest.raises(BfnError, match=r"texts\.json is no list of shares by folder"):
        mixed(tmp_path / "texts", mix)


@pytest.mark.parametrize(
    "one", [-1, 0, float("nan"), {"share": "x"}, {"share": [1]}, *({"first": first} for first in ("y", 0.5, 0, -9, []))]
)
def test_shares_and_sizes_that_are_none(tmp_path: Path, one: Any) -> None:
    """Found before anything is trained, whether a file is of that kind or not."""
    files_of(tmp_path, SIZES)
    for name in ("train/code", "nowhere"):
        with pytest.raises(BfnError, match="is no list of shares by folder"):
            mixed(tmp_path, MIX | {name: one})


def test_a_mix_that_matches_nothing(tmp_path: Path) -> None:
    files_of(tmp_path, SIZES)
    with pytest.raises(BfnError, match="no text"):
        mixed(tmp_path, {"elsewhere": 1})


def test_the_mix_of_the_packaged_model(tmp_path: Path) -> None:
    """One file of each kind: all are found, with their shares."""
    path = ROOT / "benchmarks" / "text_mix.json"
    mix = json.loads(path.read_text())
    shares = {name: one["share"] if isinstance(one, dict) else one for name, one in mix.items()}
    names = [name if name.endswith(".bin") else f"{name}/file" for name in shares]
    files_of(tmp_path, dict.fromkeys([*names, "other/file"], 640))
    made = Corpus(tmp_path, mix=path)
    assert len(made.seen.files) == len(shares) and made.bytes == 620 * len(shares)
    found = dict(zip(sorted(shares), np.diff(made.seen.cumulative, prepend=0), strict=True))
    total = sum(shares.values())
    assert found == pytest.approx({name: share / total for name, share in shares.items()})
