"""Fuzzing in short: mutated files, and the container under random bytes (checklist rows 22 to 25 and 27).

`tools/fuzz_mutants.py` and `tools/fuzz_container.py` run for as long as one likes.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools import fuzz_container, fuzz_mutants
from tools.fuzz_mutants import Corpus, Tally

from bfncodec import container, decoding
from bfncodec.errors import BfnError

MUTANTS = 200
TOOLS = Path(__file__).with_name("tools")


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    """The originals; their models are found while this module runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BFNCODEC_MODEL_DIR", "")  # it sets it anew
        yield fuzz_mutants.corpus(tmp_path_factory.mktemp("models"))


@pytest.fixture(autouse=True)
def their_models(originals: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not those of other tests."""
    monkeypatch.setenv("BFNCODEC_MODEL_DIR", str(originals.folder))


def test_mutants_are_originals_or_errors(originals: Corpus) -> None:
    """No other content, no crash, nothing slow, little memory."""
    tally = fuzz_mutants.fuzz(originals, range(MUTANTS))
    assert not tally.faults
    assert sum(tally.kinds.values()) == MUTANTS and set(tally.kinds) == set(fuzz_mutants.KINDS)
    assert tally.ends["original"] > tally.kinds["undone"], "some damage does no harm"
    assert {"CorruptFile", "TruncatedFile", "UnsupportedFeature"} <= set(tally.ends)


def test_the_fuzzer_sees_faults(originals: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that does not check its digest, one that crashes, and one that takes memory."""
    seed = next(n for n in range(MUTANTS) if fuzz_mutants.mutant(n, originals)[0] == "undone")

    def faults(wrong: object) -> list[str]:
        monkeypatch.setattr(fuzz_mutants, "decoded", wrong)
        tally = Tally()
        fuzz_mutants.examine(seed, originals, tally)
        return tally.faults

    def crash(_: bytes) -> None:
        raise KeyError("x")

    assert "other content" in faults(lambda _: (b"other", []))[0]
    assert "other content" in faults(lambda _: (next(iter(originals.results)), [b"other"]))[0]
    assert "raises KeyError" in faults(crash)[0]
    monkeypatch.setattr(fuzz_mutants, "GROWTH", 20)
    hoard: list[bytearray] = []

    def greedy(data: bytes) -> tuple[bytes, list[bytes]]:
        hoard.append(bytearray(b"\1") * (100 << 20))
        hoard.clear()
        return next(iter(originals.results)), []

    monkeypatch.setattr(fuzz_mutants, "decoded", greedy)
    assert any("MB" in fault for fault in fuzz_mutants.fuzz(originals, range(seed, seed + 1)).faults)


def test_coverage_guided_fuzzing_of_the_container(tmp_path: Path) -> None:
    """A short run; the seeds are the goldens' headers."""
    pytest.importorskip("atheris", reason="atheris is not installed")
    command = [sys.executable, TOOLS / "fuzz_container.py", "-max_total_time=5", tmp_path]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]
    assert b"Done" in done.stderr and len(list(tmp_path.iterdir())) > 100, "inputs that reach new code were found"


def test_the_fuzz_target_parses_what_it_is_given(originals: Corpus) -> None:
    """Not only CRCs that are wrong: seeds come through, and seeds with other headers get behind the CRC."""
    for data in originals.files:
        assert container.write(decoding.read(fuzz_container.file_of(fuzz_container.seed_of(data)))) == data
    for data in originals.files:
        seed = bytearray(fuzz_container.seed_of(data))
        seed[-1] ^= 1
        try:
            decoding.read(fuzz_container.file_of(bytes(seed)))
        except BfnError as error:
            assert "checksum" not in str(error)
