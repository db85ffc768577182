"""How many test rows tell two methods apart: Connor's formula, and simulated tests."""

import numpy as np
import pytest

from tunebench.metrics import paired
from tunebench.report import power


def values(wins: int, losses: int, ties: int) -> tuple[list[list[float]], list[list[float]]]:
    first = [1.0] * wins + [0.0] * losses + [1.0] * ties
    second = [0.0] * wins + [1.0] * losses + [1.0] * ties
    return [first], [second]


def test_a_case_by_hand() -> None:
    # (1.95996·√0.3 + 0.84162·√0.29)² / 0.1² = 233.1; at 5% over ten pairs 2.80703: 396.5
    assert power.rows_needed(*values(20, 10, 70), level=0.05) == 230
    assert power.rows_needed(*values(10, 20, 70), level=0.05) == 230
    assert power.rows_needed(*values(20, 10, 70), level=0.005) == 400


@pytest.mark.parametrize(("won", "lost"), [(0.2, 0.1), (0.08, 0.03), (0.3, 0.24)])
def test_so_many_rows_are_enough_four_times_in_five(won: float, lost: float) -> None:
    wins, losses = round(100 * won), round(100 * lost)
    needed = power.rows_needed(*values(wins, losses, 100 - wins - losses), level=0.05)
    assert isinstance(needed, int)
    random = np.random.default_rng(5)
    told = sum(
        paired.of_proportions(int(first), int(second), needed).p < 0.05
        for first, second, _ in random.multinomial(needed, (won, lost, 1 - won - lost), size=400)
    )
    # the exact test is a little more careful than the formula; 400 draws tell to 4 points
    assert 0.72 <= told / 400 <= 0.86


def test_scores_that_are_no_counts() -> None:
    random = np.random.default_rng(6)
    first = random.random(100)
    second = first - 0.02 + random.normal(0, 0.2, 100)
    difference = first - second
    share = (2.802 * difference.std() / difference.mean()) ** 2
    needed = power.rows_needed([first.tolist()], [second.tolist()], level=0.05)
    assert needed == pytest.approx(share, rel=0.1)


def test_what_no_test_set_shows() -> None:
    assert power.rows_needed(*values(10, 10, 80), level=0.05) == power.TOO_MANY
    assert power.rows_needed(*values(101, 100, 799), level=0.05) == power.TOO_MANY


def test_seeds_that_differ_more_than_the_methods() -> None:
    first = [[1.0] * right + [0.0] * (100 - right) for right in (60, 70, 80)]
    second = [[1.0] * right + [0.0] * (100 - right) for right in (75, 60, 63)]
    assert power.rows_needed(first, second, level=0.05) == power.MORE_SEEDS
    steady = [[1.0] * 70 + [0.0] * 30] * 3
    lower = [[1.0] * 66 + [0.0] * 34] * 3
    assert isinstance(power.rows_needed(steady, lower, level=0.05), int)


def test_it_is_more_than_there_are() -> None:
    # four rows, all for one: the formula says four, but the exact test needs six
    assert power.rows_needed(*values(4, 0, 0), level=0.05) == 5
