"""What predictions say of a sample: the table, scales that follow errors, and compiled code as Python."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bfncodec.models.graphics.predictors import (
    BLEND,
    KINDS,
    STEPS,
    VIEWS,
    Predictors,
    look_up,
    octave,
    pass_by,
    predictors,
    set_out,
    take_in,
)

ROW = 40


def errors(own: Predictors, count: int, wrong: list[int], truth: int = 300, first: int = 100) -> None:
    """`count` pixels side by side whose predictions are so wrong, 1/16 level, above and below in turn."""
    for at in range(first, first + count):
        for kind in range(KINDS):
            own.said[kind] = (truth << 4) + (wrong[kind] if at % 2 else -wrong[kind])
        set_out(own, at, ROW, 0, -1, 0)
        take_in(own, at, 0, truth)


def scale(own: Predictors, kind: int) -> float:
    """Of the distribution of the sample that is set out, 1/16 level."""
    return (STEPS << 16) / float(own.inverse[kind])


def test_the_table_is_the_logarithm() -> None:
    table = predictors(1, ROW).softplus
    exact = [256 * math.log1p(math.exp(-z / STEPS)) for z in range(len(table))]
    assert max(abs(one - float(found)) for one, found in zip(exact, table, strict=True)) < 0.6
    assert table[0] > 176 and table[-1] == 0


@pytest.mark.parametrize("inverse", [700, 65536, 4000000])
def test_opinions_are_log_odds_of_a_logistic_distribution(inverse: int) -> None:
    own = predictors(1, ROW)
    own.said[0], own.inverse[0] = 5000, inverse

    def cumulative(edge: int) -> float:
        return 1 / (1 + math.exp(-(edge - 5000) * inverse / (STEPS << 16)))

    step = max((STEPS << 16) // inverse // 2, 1)  # half a scale
    for low, high in ((-4, 4), (0, 2), (-3, 1), (1, 5)):
        low, middle, high = (5000 + step * one for one in (low, (low + high) // 2, high))
        # The upper half of the interval against the lower one.
        odds = (cumulative(high) - cumulative(middle)) / (cumulative(middle) - cumulative(low))
        found = look_up(own, 0, low) - look_up(own, 0, high)
        assert found == pytest.approx(256 * math.log(odds), abs=6)


def test_octaves() -> None:
    assert [octave(value) for value in (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 16, 1 << 20)] == [
        0, 0, 4, 6, 8, 9, 10, 11, 12, 13, 16, 80,
    ]  # fmt: skip
    values = [octave(value) for value in range(5000)]
    assert values == sorted(values)


def test_scales_follow_errors() -> None:
    own = predictors(1, ROW)
    wrong = [160, 16, 1600, 40, 40, 40, 40]
    errors(own, 600, wrong)
    set_out(own, 700, ROW, 0, -1, 0)
    for kind in range(KINDS):
        # A mean error of 1 is a scale of 3/4, and of 1/16 level more.
        assert scale(own, kind) == pytest.approx(wrong[kind] * 0.75 + 1, rel=0.05)
    errors(own, 600, [16] * KINDS, first=700)
    set_out(own, 1300, ROW, 0, -1, 0)
    assert all(scale(own, kind) == pytest.approx(13, rel=0.1) for kind in range(KINDS))


def test_the_mean_listens_to_those_that_were_right() -> None:
    own = predictors(1, ROW)
    errors(own, 300, [400, 2, 400, 400, 400, 400, 400])
    own.said[:KINDS] = [9000, 5000, 9000, 9000, 9000, 9000, 9000]
    set_out(own, 400, ROW, 0, -1, 0)
    assert abs(own.said[BLEND] - 5000) < 20
    assert all(own.said[view] == own.said[BLEND] for view in range(BLEND, VIEWS))
    errors(own, 300, [2, 400, 400, 400, 400, 400, 400], first=400)
    own.said[:KINDS] = [9000, 5000, 9000, 9000, 9000, 9000, 9000]
    set_out(own, 700, ROW, 0, -1, 0)
    assert abs(own.said[BLEND] - 9000) < 20


def test_a_pixel_that_was_not_spelled_was_right() -> None:
    own = predictors(2, ROW)
    own.errors[:] = 77
    pass_by(own, 5 + len(own.errors))
    assert not own.errors[5].any() and own.errors[4].all() and own.errors[6].all()


def test_the_sample_before_says_how_wide_it_is() -> None:
    """Scales are kept by how wrong the sample before was, as to its neighbours."""
    own = predictors(2, ROW)
    found = []
    for wrong in (0, 30, 80, 150, 300, 5000):
        own.errors[:] = 50
        own.errors[60, 0] = wrong
        set_out(own, 60, ROW, 1, 0, 0)
        found.append(int(own.widths[0, 1]))
    assert found == [1, 2, 3, 4, 5, 6]
    set_out(own, 60, ROW, 0, -1, 0)
    assert own.widths[0, 1] == 0


def trail() -> str:
    """All that happens to predictions of noise, of 16 bits and at its edges."""
    random, found = np.random.default_rng(9), []
    own = predictors(3, ROW)
    for at in range(100, 190):
        if at % 7 == 0:
            pass_by(own, at)
            continue
        for number in range(3):
            top = (65535, 255, 65535)[number] if at > 140 else 40
            own.said[:KINDS] = random.integers(0, 16 * top + 1, KINDS) if at % 3 else random.integers(0, 2) * 16 * top
            set_out(own, at, ROW, number, number - 1, int(random.integers(0, 64 * top)))
            edges = [-8, 16 * top + 8, int(random.integers(0, 16 * top))]
            found += [int(look_up(own, view, edge)) for view in range(VIEWS) for edge in edges]
            found += own.inverse.tolist() + [int(own.said[BLEND])]
            take_in(own, at, number, int(random.integers(0, top + 1)))
    return " ".join(map(str, found))


def test_plain_python_agrees_and_nothing_overflows() -> None:
    script = "import sys, test_predictors; sys.stdout.write(test_predictors.trail())"
    paths = [".", "tests", str(Path(__file__).parent)]
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", script],
        env=os.environ | {"BFNCODEC_PLAIN": "1", "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == trail() and len(set(done.stdout.split())) > 1000
