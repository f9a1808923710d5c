"""What the text model counts by: histories of bits, and the contexts of a byte."""

from inspect import unwrap
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bfncodec.exact import tables
from bfncodec.models.text import contexts, histories

WORDS = b"It was the best of times, it was the worst of times."

# Histories


def follow(drawn: list[int]) -> int:
    """The state after some bits."""
    table, state = histories.next_table(), 0
    for bit in drawn:
        state = int(table[state, bit])
    return state


def test_histories_fit_a_byte_and_lead_to_each_other() -> None:
    found, table = histories.histories(), histories.next_table()
    assert found[0] == (0, 0, 0) and len(set(found)) == len(found) <= 256
    assert table.dtype == np.uint8 and table.shape == (256, 2)
    assert table[: len(found)].max() < len(found)
    assert set(table[: len(found)].reshape(-1).tolist()) == set(range(1, len(found))), "all but the first are reached"


def test_histories_are_symmetric_in_zeros_and_ones() -> None:
    found, table = histories.histories(), histories.next_table()

    def mirror(state: int) -> int:
        zeros, ones, last = found[state]
        return found.index((ones, zeros, 1 - last if zeros and ones else 0))

    for state in range(len(found)):
        for bit in (0, 1):
            assert mirror(table[state, bit]) == table[mirror(state), 1 - bit]


def test_histories_count_and_are_limited() -> None:
    found, table = histories.histories(), histories.next_table()
    for state, counts in enumerate(found):
        for bit in (0, 1):
            after = found[table[state, bit]]
            assert after[bit] <= counts[bit] + 1
            assert after[1 - bit] <= counts[1 - bit]
    assert found[follow([0])] == (1, 0, 0) and found[follow([1, 1])] == (0, 2, 0)
    assert found[follow([0, 1])] == (1, 1, 1) and found[follow([1, 0])] == (1, 1, 0)
    once = follow([1] * 200)
    assert table[once, 1] == once and found[once][1] > 20


def test_contradiction_forgets() -> None:
    """A count of more than two falls with a bit of the other kind; soon the new kind outweighs it."""
    found, table = histories.histories(), histories.next_table()
    for state, counts in enumerate(found):
        for bit in (0, 1):
            if counts[1 - bit] > 2:
                assert found[table[state, bit]][1 - bit] < counts[1 - bit]
    zeros, ones, _ = found[follow([0] * 100 + [1] * 8)]
    assert ones > zeros


@given(st.lists(st.integers(0, 1), min_size=1, max_size=60))
def test_histories_know_the_last_bit(drawn: list[int]) -> None:
    zeros, ones, last = histories.histories()[follow(drawn)]
    if zeros and ones:
        assert last == drawn[-1]
    assert (zeros, ones)[drawn[-1]] > 0


def test_totals_and_first_guesses() -> None:
    found, totals, guesses = histories.histories(), histories.totals(), histories.first_guesses()
    assert totals.shape == guesses.shape == (256,)
    assert totals[: len(found)].tolist() == [zeros + ones for zeros, ones, _ in found]
    assert not totals[len(found) :].any()
    assert guesses.min() >= 1 and guesses.max() < tables.CHANCE_ONE
    for state, (zeros, ones, _) in enumerate(found):
        assert np.sign(guesses[state] - tables.CHANCE_ONE // 2) == np.sign(ones - zeros)


# Contexts

some_bytes = st.binary(max_size=80) | st.lists(st.sampled_from([b"A word, ", b"\xc3\xa9t\xc3\xa9\r\n"])).map(b"".join)


def states_of(data: bytes, advance: Any = contexts.advance) -> np.ndarray:
    """The states after 0, 1, ... bytes."""
    state = np.zeros(contexts.STATE, np.int64)
    made = [state.copy()]
    for byte in data:
        advance(state, byte)
        made.append(state.copy())
    return np.array(made)


def rows_of(state: np.ndarray, rows: Any = contexts.rows) -> np.ndarray:
    out = np.zeros(contexts.CONTEXTS, np.int64)
    rows(state, out)
    return out


def hashes_of(state: np.ndarray, hashes: Any = contexts.hashes) -> np.ndarray:
    out = np.zeros(contexts.HASHED, np.int64)
    hashes(state, out)
    return out


@given(some_bytes)
def test_rows_and_hashes_are_in_range(data: bytes) -> None:
    for state in states_of(data):
        assert state.min() >= 0 and state.max() <= contexts.MASK
        hashed, rows = hashes_of(state), rows_of(state)
        assert hashed.min() >= 0 and hashed.max() <= contexts.MASK
        assert (rows >= contexts.STARTS[:-1]).all() and (rows < contexts.STARTS[1:]).all()
    assert len(contexts.STARTS) == contexts.CONTEXTS + 1 and contexts.STARTS[-1] == contexts.ROWS


@given(some_bytes, st.integers(0, 20))
def test_windows_are_states_step_by_step(data: bytes, warm: int) -> None:
    wanted = [rows_of(state) for state in states_of(data)[warm:-1]]
    for dtype in (np.int32, np.int64):
        out = np.zeros((max(len(data) - warm, 0), contexts.CONTEXTS), dtype)
        contexts.window_rows(np.frombuffer(data, np.uint8), warm, out)
        assert np.array_equal(out, np.array(wanted).reshape(out.shape))


@given(some_bytes)
def test_contexts_are_the_same_compiled(data: bytes) -> None:
    """And plain Python stays within 63 bits, or NumPy would warn."""
    states = states_of(data)
    assert np.array_equal(states_of(data, unwrap(contexts.advance)), states)
    for state in states:
        assert np.array_equal(hashes_of(state, unwrap(contexts.hashes)), hashes_of(state))
        assert np.array_equal(rows_of(state, unwrap(contexts.rows)), rows_of(state))


@given(st.integers(0, contexts.MASK), st.integers(0, contexts.MASK))
def test_mix_is_the_same_compiled(value: int, more: int) -> None:
    made = contexts.mix(value, more)
    assert made == unwrap(contexts.mix)(value, more) == unwrap(contexts.mix)(np.int64(value), np.int64(more))
    assert 0 <= made <= contexts.MASK


def test_kinds_of_bytes() -> None:
    kinds = [contexts.kind(byte) for byte in range(256)]
    assert kinds == [unwrap(contexts.kind)(byte) for byte in range(256)]
    assert set(kinds) == set(range(8))
    assert len({kinds[byte] for byte in b"azm"}) == len({kinds[byte] for byte in b"AZM"}) == 1
    assert len({kinds[byte] for byte in b"a A0.(\n\xff"}) == 8


def test_hashes_tell_contexts_apart() -> None:
    """What came before changes some hashes; the order-1 contexts see the last byte only."""
    texts = [WORDS[:40] + tail for tail in (b"cat ", b"Cat ", b"bat ", b"ca7 ", b"cat\n")]
    hashed = np.array([hashes_of(states_of(text)[-1]) for text in texts])
    assert len(np.unique(hashed, axis=0)) == len(texts)
    assert hashed[0, 0] == hashed[1, 0] == hashed[2, 0] != hashed[4, 0]
    assert len(set(hashed[0].tolist())) == contexts.HASHED
