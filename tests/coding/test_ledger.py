"""The account of a transmission adds up, and says how far noise may carry it."""

import math

import numpy as np
import pytest

from bfncodec.coding.ledger import GroupLoss, Ledger

QUIET = GroupLoss(1, 1, reconstruction=32.0)


def noisy(first: int, *costs: float) -> GroupLoss:
    """A group of one step: what the view cost, its divergence, and the reconstruction."""
    path, divergence, reconstruction = costs
    return GroupLoss(first, 1, [path], [divergence], [0], reconstruction)


# Two noisy groups along three paths, and one without noise.
PATHS = [
    [noisy(0, 1.0, 4.0, 16.0), noisy(2, 3.0, 2.0, 9.0)],
    [noisy(0, 2.0, 5.0, 11.0), noisy(2, 1.0, 3.0, 8.0)],
    [noisy(0, 7.0, 4.5, 10.0), noisy(2, 2.0, 1.0, 11.0)],
]


def of_paths(count: int) -> Ledger:
    first, *others = PATHS[:count]
    return Ledger([first[0], QUIET, first[1]], [list(path) for path in others])


def test_ledger_adds_its_parts() -> None:
    ledger = Ledger([GroupLoss(0, 1, [1.0, 2.0], [4.0, 8.0], [1, 2], 16.0), QUIET])
    assert ledger.path_loss == 51
    assert ledger.n_step_loss == 60


@pytest.mark.parametrize("count", [2, 3])
def test_further_paths_are_averaged_and_tell_the_scatter(count: int) -> None:
    """Of sums over groups whose noise is drawn apart: variances add."""
    ledger = of_paths(count)
    expected = np.array([[sum(group.divergence) + group.reconstruction for group in path] for path in PATHS[:count]])
    drawn = np.array([[sum(group.path) + group.reconstruction for group in path] for path in PATHS[:count]])
    assert ledger.path_loss == 17 + 12 + 32
    assert ledger.n_step_loss == pytest.approx(expected.sum() / count + 32)
    assert ledger.standard_error == pytest.approx(math.sqrt(expected.var(axis=0, ddof=1).sum() / count))
    assert ledger.path_deviation == pytest.approx(math.sqrt(drawn.var(axis=0, ddof=1).sum()))


def test_a_single_path_does_not_tell_the_scatter() -> None:
    ledger = of_paths(1)
    assert math.isnan(ledger.standard_error) and math.isnan(ledger.path_deviation)
    exact = Ledger([QUIET])
    assert (exact.standard_error, exact.path_deviation, exact.n_step_loss) == (0, 0, 32), "there is none"


def test_what_was_tried_is_appended_if_it_is_written() -> None:
    """To a blank ledger of as many paths."""
    whole, tried = of_paths(3), of_paths(3).blank()
    assert tried == Ledger([], [[], []])
    tried.extend(of_paths(3))
    assert tried == whole
    before = whole.n_step_loss
    whole.extend(tried)
    assert whole.groups == tried.groups * 2 and whole.others == [path * 2 for path in tried.others]
    assert whole.n_step_loss == pytest.approx(2 * before)
