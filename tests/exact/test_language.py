"""Compiled functions give what Python gives, and what they cannot do is said."""

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from bfncodec.exact import code_cache
from bfncodec.exact.compiled import compiled, room, shaped
from bfncodec.exact.kinds import Unsupported

pytestmark = pytest.mark.skipif(os.environ.get("BFNCODEC_PLAIN") == "1", reason="nothing is compiled")

EDGES = [0, 1, -1, 2, -2, 7, -7, 255, -256, 1 << 40, -(1 << 40), (1 << 63) - 1, -(1 << 63)]
TABLE = np.arange(12, dtype=np.int16).reshape(3, 4)
WORDS = (5, 8, 13)


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_cache, "_folder", lambda: None)


def wrapped(value: int) -> int:
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def quotient(x: Any, y: Any) -> Any:
    return x // y


def rest(x: Any, y: Any) -> Any:
    return x % y


def by_seven(x: Any, y: Any) -> Any:
    return x // 7 * 1000 + x % 7


def bits(x: Any, y: Any) -> Any:
    return (x & y) ^ (x | y) >> 3


def sums(x: Any, y: Any) -> Any:
    return x * 3 - y + (x << 2)


def extremes(x: Any, y: Any) -> Any:
    return min(max(x, y, -100), 1000) - (min(x, y) if x > y or y > 5 and not x == 3 else 4)


def comparisons(x: Any, y: Any) -> Any:
    total = 0
    if x < y <= 255:
        total += 1
    elif x in (7, 255) or y == -7:
        total += 2
    inside = -7 <= x < 7
    return 2 * total if inside else -total


@pytest.mark.parametrize("function", [quotient, rest, by_seven, bits, sums, extremes, comparisons])
def test_whole_numbers(function: Callable[..., Any]) -> None:
    own = compiled(function)
    for x, y in product(EDGES, EDGES):
        wanted = 0 if y == 0 and function in (quotient, rest) else function(x, y)
        assert own(x, y) == wrapped(wanted), (x, y)


def fractions(x: Any, y: Any) -> Any:
    low = np.float32(x) * np.float32(y)
    return float(low) + np.floor(x / y) * np.sqrt(abs(y)) + (1.5 if x > y else -x) - int(x)


def test_fractions() -> None:
    for x, y in ((1.25, 0.1), (-3.7, 2.2), (1e9, -7.5)):
        assert compiled(fractions)(x, y) == fractions(x, y)


def unsigned(x: Any, y: Any) -> Any:
    """Of numbers without a sign, and their quotients by what is not known beforehand."""
    one, other = np.uint64(x), np.uint64(y)
    small = one // other + one % other + (one >> np.uint64(3)) + one * np.uint64(5)
    return np.int64(small + max(one, other) if one >= other else small - np.uint64(7) // np.uint64(2))


def test_numbers_without_a_sign() -> None:
    values = np.array([1, 7, 1 << 33, (1 << 63) + 5, (1 << 64) - 1], np.uint64).view(np.int64).tolist()
    with np.errstate(over="ignore"):
        for x, y in product(values, values):
            wanted = unsigned(np.array(x).view(np.uint64), np.array(y).view(np.uint64))
            assert compiled(unsigned)(x, y) == wanted, (x, y)
    assert compiled(unsigned)(8, 0) == 8 * 5 + 1 + 8, "0 for a quotient by zero, and for its rest"


def small(x: Any) -> Any:
    """Conversions, and what is known beforehand."""
    known = np.uint8(300) + np.int8(-129) + 7 // 2 * 3 % 5 - (-7) // 2 + (1 << 4) + int(True)
    found = np.int16(x) + 2 * np.uint8(x) + int(np.float32(x) / np.float32(4)) + (x > 3)
    if LONG:
        known += 1 if x else x * 0
    else:
        known = x.nothing
    return known + found + max(1.5, float(x)) * (x != 2)


LONG = True


def test_conversions_and_what_is_known_beforehand() -> None:
    for x in (-70000, -3, 0, 2, 100, 40000):
        known = 44 + 127 + 9 % 5 + 4 + 16 + 1 + bool(x)
        found = int(np.array(x).astype(np.int16)) + 2 * (x & 255) + int(x / 4) + (x > 3)
        assert compiled(small)(x) == known + found + max(1.5, x) * (x != 2), x


class Inner(NamedTuple):
    table: Any
    place: int


class Outer(NamedTuple):
    inner: Inner
    rows: Any
    out: Any
    factor: float


@compiled
def _row(row: Any, start: int) -> Any:
    total = 0
    for value in row[start:]:
        if value == 3:
            continue
        if value > 100:
            break
        total += value
    return total, len(row[start:])


@compiled
def _shift(one: Inner, by: int) -> int:
    return one.table[one.place, by] + TABLE[one.place, by] + WORDS[by]


def walks(own: Outer, count: int) -> Any:
    inner, out = own.inner, own.out
    total, rounds = 0, 0
    for row in range(len(inner.table)):
        part, size = _row(inner.table[row], 1)
        out[row, :] = part
        out[row, 1:2] = size
        total += _shift(inner, row)
    while True:
        rounds += 1
        if rounds >= count:
            break
    for number in range(8, -1, -2):
        total += number * own.rows[number % 2][number % 3]
    for word in WORDS:
        if word == 8:
            continue
        total = total * 2 + word
    kept = room(4, np.uint8)
    kept[:] = 255
    kept[1] += 2
    both = shaped(inner.table, 2, np.uint8, (2, 2))
    some = inner.table[0] if count > 2 else inner.table[1]
    low, high = some[0], some[-1 + 2]
    low, high = high, low
    return total + kept[0] * 1000 + kept[1] + both[1, 0] + low * 5 - high


def arguments() -> tuple[Outer, Any]:
    out = np.zeros((3, 5), np.int32)
    table = np.array([[1, 200, 3], [3, 4, 5], [6, 3, 9]], np.uint8)
    rows = np.arange(3, dtype=np.int8), -np.arange(3, dtype=np.int8)
    return Outer(Inner(table, 1), rows, out[:, ::2], 0.5), out


@pytest.mark.parametrize("count", [1, 5])
def test_arrays_tuples_and_loops(count: int) -> None:
    (one, first), (other, second) = arguments(), arguments()
    own = compiled(walks)(one, count)
    first_kept = first.copy()
    assert own == _by_hand(other, count)
    assert np.array_equal(first_kept, second)


def _by_hand(own: Outer, count: int) -> int:
    """What `walks` is meant to do, in whole numbers of Python's."""
    table = own.inner.table.tolist()
    total = 0
    for row, values in enumerate(table):
        part = 0
        for value in values[1:]:
            if value == 3:
                continue
            if value > 100:
                break
            part += value
        own.out[row] = part
        own.out[row, 1:2] = 2
        total += table[1][row] + int(TABLE[1, row]) + WORDS[row]
    for number in range(8, -1, -2):
        total += number * int(own.rows[number % 2][number % 3])
    for word in (5, 13):
        total = total * 2 + word
    some = table[0 if count > 2 else 1]
    return total + 255 * 1000 + 1 + own.inner.table.reshape(-1).tolist()[4] + some[1] * 5 - some[0]


@compiled
def _both(pair: Any, out: Any) -> None:
    inner, (low, high) = pair
    if low > high:
        return
    out[0, :] = inner.table[inner.place, 1:][0]
    out[1, 0] += low - high


def hands_on(own: Outer, x: int) -> int:
    """Tuples that are made here go to other functions; names have other types in other blocks; choices of arrays."""
    _both((own.inner, (x, 9)), own.out)
    if x > 2:
        first = own.inner.table[0]
        total = first[0] + first[1]
    else:
        first = x * 2
        total = first
    for kept in (own.inner.table[1], own.inner.table[2]):
        low, high, _ = kept
        total += low * high
    while x < 9 and not x == 7:
        x += 1
        for step in (1, 5, 9):
            if step == 5:
                break
            total += step * len(own.rows)
    which = own.rows[0] if x > 7 else own.rows[1]
    return total + which[2] + own.out.shape[1] * own.out.strides[1]


def test_tuples_and_types_by_block() -> None:
    for x, wanted in ((1, 2), (3, 201)):
        own, out = arguments()
        total = wanted + 3 * 4 + 6 * 3 + (7 - x) * 2 - 2 + 3 * 8
        assert compiled(hands_on)(own, x) == total
        assert out[:, ::2].tolist() == [[4, 4, 4], [x - 9, 0, 0], [0, 0, 0]]
    own, out = arguments()
    assert compiled(hands_on)(own, 10) == 201 + 30 + 2 + 24
    assert not out.any()


def endless(x: Any) -> Any:
    return endless_compiled(x)


endless_compiled = compiled(endless)
LINES: dict[str, tuple[Any, str]] = {
    "x[-1]": (np.zeros(2), "from the end"),
    "x[-1:]": (np.zeros(2), "from the end"),
    "x[::2]": (np.zeros(2), "a step"),
    "x[0, 0]": (np.zeros(2), "so many indices"),
    "x[0][0]": (np.zeros(2), "such an index"),
    "x + 1": (np.zeros(2), "no number"),
    "(x, 1.5)[x]": (1, "several types"),
    "x.nothing": (1, "nothing"),
    "x.shape": (1, "shape"),
    "nothing": (1, "not known"),
    "x @ x": (1, "such an operator"),
    "1.5 % x": (1, "such an operator"),
    "+x": (1, "such an operator"),
    "x is x": (1, "such a comparison"),
    "float(x) if x else np.uint64(x)": (1, "float64 with uint64"),
    "max(x, key=1)": (1, "with names"),
    "print(x)": (1, "calls of print"),
    "room(x, np.uint8)": (1, "not known beforehand"),
    "np.arange(3)": (1, "calls of arange"),
    "[one for one in x]": (1, "ListComp"),
    "OF_FRACTIONS[0]": (1, "of fractions"),
    "x, (1, 2)": (1, "no number"),
}
OF_FRACTIONS = np.zeros(3)
BLOCKS: dict[str, tuple[Any, str]] = {
    "x[0] = 0.5": (np.zeros(2, np.int32), "a fraction among"),
    "a, b = x, x, x": (1, "so many parts"),
    "a, b = x": (1, "parts of what has none"),
    "x.a = 1": (1, "such a target"),
    "a = x, x\na = x, x": (1, "given twice"),
    "for one in range(0, 9, x):\n  x = 2": (1, "not known beforehand"),
    "for one in range(x):\n  x = 2\nelse:\n  x = 1": (1, "else"),
    "with x:\n  x = 1": (1, "With"),
    "if x:\n  return 1\nreturn 0.5, 1": (1, "no number"),
    "if x:\n  return\nreturn 1": (1, "several types"),
    "if x:\n  return 1": (1, "without a result"),
    "if x:\n  a = 1\nreturn a": (1, "not everywhere"),
    "if x:\n  a = 1\nelse:\n  a = 0.5\nreturn a": (1, "not everywhere"),
    "a = 1\nif x:\n  a = 0.5\nreturn a": (1, "float64 as int64"),
    "return np.uint64(x) + x": (1, "uint64 with int64"),
    "return endless_compiled(x)": (1, "calls itself"),
    "return x": (np.zeros(2, np.float16), "arrays of float16"),
}
WRONG = {f"return {line}": value for line, value in LINES.items()} | BLOCKS


@pytest.mark.parametrize("text", WRONG)
def test_what_cannot_be_compiled_is_told_with_its_line(text: str, tmp_path: Path) -> None:
    argument, words = WRONG[text]
    path = tmp_path / "program.py"
    path.write_text("def wrong(x):\n  " + text.replace("\n", "\n  "))
    names = dict(globals())
    exec(compile(path.read_text(), str(path), "exec", dont_inherit=True), names)
    with pytest.raises(Unsupported, match=words) as caught:
        compiled(names["wrong"])(argument)
    assert ".py:" in str(caught.value) or "float16" in words


def test_a_function_without_source_is_not_compiled() -> None:
    names: dict[str, Any] = {}
    exec("def one(x):\n  return x", names)
    with pytest.raises(Unsupported, match="no source of one"):
        compiled(names["one"])(1)


def test_indices_can_be_checked(tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(
        "import numpy as np\n"
        "from bfncodec.exact.compiled import compiled\n"
        "@compiled\n"
        "def one(x, at):\n"
        "    return x[at]\n"
        "@compiled\n"
        "def both(x, at):\n"
        "    return one(x, at) + one(x, 0)\n"
        "print(both(np.arange(4), 3))\n"
        "for at in (4, -1):\n"
        "    try:\n"
        "        both(np.arange(4), at)\n"
        "    except RuntimeError as error:\n"
        "        print(error)\n"
        "print(both(np.arange(4), 2))\n"
    )
    done = subprocess.run(
        [sys.executable, str(path)],
        env=os.environ | {"BFNCODEC_CHECKED": "1", "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n")[:-1] == ["3", *["__main__.both failed in compiled code"] * 2, "2"]
