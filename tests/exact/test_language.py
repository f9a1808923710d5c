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

pytestmark = pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")

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


def two_types(x: Any) -> Any:
    value = 1
    if x > 2:
        value = 0.5
    return value


def not_always_given(x: Any) -> Any:
    if x > 2:
        inside = 1
    else:
        inside = 0.5
    return inside


def mixed(x: Any) -> Any:
    return np.uint64(x) + x


def endless(x: Any) -> Any:
    return endless_compiled(x)


def backwards(x: Any) -> Any:
    return x[-1]


def comprehension(x: Any) -> Any:
    return [one for one in x]


def without_end(x: Any) -> Any:
    if x > 2:
        return 1


endless_compiled = compiled(endless)
WRONG: dict[Callable[..., Any], tuple[Any, str]] = {
    two_types: (1, "float64 as int64"),
    not_always_given: (1, "not everywhere"),
    mixed: (1, "uint64 with int64"),
    endless: (1, "calls itself"),
    backwards: (np.zeros(2), "from the end"),
    comprehension: (np.zeros(2), "ListComp"),
    without_end: (1, "without a result"),
}


@pytest.mark.parametrize("function", WRONG, ids=lambda function: function.__name__)
def test_what_cannot_be_compiled_is_told_with_its_line(function: Callable[..., Any]) -> None:
    argument, words = WRONG[function]
    with pytest.raises(Unsupported, match=words) as caught:
        compiled(function)(argument)
    assert "test_language.py:" in str(caught.value) or function is without_end


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
        env=os.environ | {"NUMBA_BOUNDSCHECK": "1", "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n")[:-1] == ["3", *["__main__.both failed in compiled code"] * 2, "2"]
