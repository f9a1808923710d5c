"""What a new block mode costs: a form, and a line in the table of modes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tools.command import call, good

import bfncodec
from bfncodec import container, decoding
from bfncodec.blocks import MODES, plain
from bfncodec.blocks.smallest import Candidate, smallest
from bfncodec.cli.files import TIED
from bfncodec.container import Block, Content, File, Form, Limits, Reader, checked, hasher, varint
from bfncodec.errors import BfnError, CorruptFile, UnsupportedFeature
from bfncodec.spans import Data

CONTENT = bytes(range(0, 250, 7))


def inverted(data: bytes) -> bytes:
    return bytes(255 - byte for byte in data)


@dataclass
class Inverted(Form):
    """The bytes with every bit the other way round."""

    data: Data
    mode, name, model = 200, "inverted", None

    def write(self, header: bytearray) -> list[Data]:
        header += varint(len(self.data))
        return [self.data]

    @classmethod
    def read(cls, header: Reader, payload: Reader, items: int, size: int, limits: Limits) -> Inverted:
        return cls(payload.skip(header.varint()))

    def decode(self, block: Block, device: str) -> Iterator[Content]:
        yield iter([checked(inverted(bytes(self.data)), block)])

    def describe(self, block: Block) -> dict[str, Any]:
        return {"lossless": "bytes", "bits_per_byte": 8 * self.coded_bytes / block.size}


class Part(Inverted):
    """One that can be a part of an item."""

    mode, name, partial = 201, "inverted part", True


class Bound(Inverted):
    """One that no other machine may decode."""

    mode, name = 202, "bound"

    @property
    def tied(self) -> bool:
        return True


def encode(data: bytes = CONTENT, form: type[Inverted] = Inverted) -> Block:
    return Block(1, len(data), hasher(data).digest(), form(inverted(data)))


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line in the table."""
    for form in (Inverted, Part, Bound):
        monkeypatch.setitem(MODES, form.mode, form)


def test_the_modes_are_numbered_and_named_once() -> None:
    assert all(number == form.mode for number, form in MODES.items())
    assert len({form.name for form in MODES.values()}) == len(MODES)


def test_files_of_a_new_mode_are_read_and_decoded() -> None:
    file = File([encode()])
    data = container.write(file)
    assert CONTENT not in data and inverted(CONTENT) in data
    assert decoding.read(data) == file and container.size(file) == len(data)
    assert bfncodec.decode(data) == CONTENT
    decoding.verify(data, {"x": CONTENT}, "cpu")


def test_info_tells_what_the_form_says() -> None:
    (told,) = bfncodec.info(container.write(File([encode()])))["blocks"]
    assert told == {
        "mode": "inverted",
        "items": 1,
        "content_bytes": len(CONTENT),
        "lossless": "bytes",
        "bits_per_byte": 8.0,
    }


def test_the_command_needs_no_change(tmp_path: Path) -> None:
    (tmp_path / "x.bfn").write_bytes(container.write(File([encode()])))
    assert good("test", tmp_path / "x.bfn").err.endswith("OK\n")
    good("decode", tmp_path / "x.bfn")
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert json.loads(good("info", "--json", tmp_path / "x.bfn").out)["blocks"][0]["mode"] == "inverted"
    assert b"inverted" in good("info", tmp_path / "x.bfn").out
    assert call("decode", "--preview", "-o", tmp_path / "y", tmp_path / "x.bfn").code == 1
    (tmp_path / "y.bfn").write_bytes(container.write(File([encode(form=Bound)])))
    assert TIED in good("test", tmp_path / "y.bfn").err and TIED not in good("test", tmp_path / "x.bfn").err


def test_archives_mix_it_with_other_modes() -> None:
    items = {"a": CONTENT, "b": b"b" * 99, "c": b"other"}
    file = File([encode(CONTENT), plain.encode(items["b"]), encode(items["c"])], list(items))
    data = container.write(file)
    assert decoding.read(data) == file and bfncodec.decode_items(data) == items
    chosen = dict(decoding.decode_chosen(file, decoding.select(file, ("c",)), "cpu"))
    assert b"".join(chosen["c"]) == b"other"


def test_parts_are_for_forms_that_say_so() -> None:
    pieces = [CONTENT, b"b" * 99, b"other"]
    data = container.write(File([encode(pieces[0], Part), plain.encode(pieces[1]), encode(pieces[2], Part)]))
    assert bfncodec.decode(data) == b"".join(pieces)
    with pytest.raises(CorruptFile, match="no parts"):
        decoding.read(container.write(File([encode(), encode()])))


def test_items_share_blocks_of_forms_that_say_so() -> None:
    block = encode()
    block.items = 2
    with pytest.raises(CorruptFile, match="more than one item"):
        decoding.read(container.write(File([block], ["a", "b"])))


def test_it_is_chosen_where_it_is_the_smallest() -> None:
    packed, block = plain.encode(b"a" * 99), encode(b"a")
    assert smallest([Candidate([packed]), Candidate([block])]) == [block]
    assert smallest([Candidate([packed]), Candidate([encode(b"a" * 99)])]) == [packed]


def test_damage_is_noticed() -> None:
    data = container.write(File([encode()]))
    for place in range(len(data)):
        damaged = data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]
        for wrong in (damaged, data[:place]):
            with pytest.raises(BfnError):
                bfncodec.decode(wrong)


def test_a_mode_that_is_not_in_the_table_is_not_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    data = container.write(File([encode()]))
    monkeypatch.delitem(MODES, Inverted.mode)
    for attempt in (decoding.read, bfncodec.decode, bfncodec.info):
        with pytest.raises(UnsupportedFeature, match="coding mode 200 is not supported"):
            attempt(data)
