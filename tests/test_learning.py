"""Learning curves, and the power law through them."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import curve_fit
from scored import fail, first, write

from tunebench import config
from tunebench.config.schema import Params
from tunebench.paths import Run
from tunebench.report import learning, more_rows, power_law, summary
from tunebench.report.learning import Curve

SIZES = (50, 100, 200, 400, 800)


def law(rows: Any, a: float = 0.1, b: float = 1.2, c: float = 0.5) -> Any:
    return a + b * rows**-c


def fitted(errors: Any, sizes: Any = SIZES, deviation: float = 0.01) -> power_law.PowerLaw:
    return power_law.fit(sizes, errors, [deviation] * len(sizes))


def test_the_law_that_made_the_points_is_found() -> None:
    found = fitted([law(rows) for rows in SIZES])
    assert found.parameters == pytest.approx((0.1, 1.2, 0.5), rel=0.001)
    assert found.fits
    error, (low, high) = found.error(1600)
    assert error == pytest.approx(law(1600), abs=1e-3)
    assert low < law(1600) < high
    gain, (low, high) = found.gain(2)
    assert gain == pytest.approx(law(800) - law(1600), rel=1e-3)
    assert 0 < low < gain < high
    rows, (low, high) = found.rows_to(law(1200))
    assert rows == pytest.approx(1200, rel=0.02)
    assert low < 1200 < high


def test_it_fits_as_scipy_does() -> None:
    random = np.random.default_rng(4)
    checked = 0
    for _ in range(20):
        errors = [law(rows) + random.normal(0, 0.005) for rows in SIZES]
        found = fitted(errors, deviation=0.005)
        known, _covariance = curve_fit(
            law,
            np.array(SIZES, float),
            errors,
            p0=(0.1, 1, 0.5),
            bounds=([0, 0, 0.02], [1, 50, 1]),
            maxfev=5000,
        )
        ours, theirs = (
            sum((law(rows, *each) - error) ** 2 for rows, error in zip(SIZES, errors, strict=True))
            for each in (found.parameters, known)
        )
        assert ours <= theirs * 1.01 + 1e-8
        checked += 1
    assert checked == 20


def test_its_interval_holds_the_truth_with_three_points() -> None:
    """Where it passes through the points whatever they are."""
    random = np.random.default_rng(1)
    sizes, truth = SIZES[1:4], law(400) - law(800)
    held = 0
    for _ in range(60):
        errors = [law(rows) + random.normal(0, 0.015) for rows in sizes]
        low, high = fitted(errors, sizes, deviation=0.015).gain(2)[1]
        held += low <= truth <= high
    assert held >= 54  # below it once in 10,000 such tests, should 95% hold


@pytest.mark.parametrize(
    ("errors", "fits"),
    [
        ([0.5, 0.4, 0.3, 0.25, 0.22], True),
        ([0.3, 0.31, 0.29, 0.3, 0.3], True),  # flat
        ([0.1, 0.2, 0.3, 0.4, 0.5], False),  # more rows do harm
        ([0.5, 0.5, 0.1, 0.1, 0.1], False),  # a step
    ],
)
def test_what_is_no_power_law_is_refused(errors: list[float], fits: bool) -> None:
    assert fitted(errors).fits is fits


def test_a_flat_curve_never_gets_there() -> None:
    found = fitted([0.3] * 5)
    assert found.gain(2)[0] == pytest.approx(0)
    assert found.rows_to(0.1)[0] == np.inf
    assert found.rows_to(0.35)[0] == 0  # it is there already


@pytest.fixture
def three(project: Any, valid: dict[str, Any]) -> dict[str, Any]:
    """60, 75 and 83 of 100 test rows right with 50, 100 and 200 training rows."""
    valid["grid"] |= {"prompting": ["zero_shot"], "train_sizes": [0.25, 0.5, 1.0]}
    project.write_params(valid)
    write(Run("tiny", "reviews", "zero_shot"), first(40))
    for size, right in ((0.25, 60), (0.5, 75), (1.0, 83)):
        rows = round(200 * size)
        write(Run("tiny", "reviews", "lora", size, 0), first(right), rows=rows, train_s=rows / 10)
    return valid


def curves() -> tuple[Params, list[Curve]]:
    params = config.load()
    return params, learning.build(params, summary.collect(params))


@pytest.mark.usefixtures("three")
def test_three_sizes_give_a_law_that_is_not_tested() -> None:
    _, (prompted, tuned) = curves()
    assert (prompted.method, prompted.law, prompted.note) == (
        "zero_shot", None, "it trains on no rows",
    )  # fmt: skip
    assert [point.rows for point in prompted.points] == [0]
    assert (tuned.method, tuned.exact, tuned.note) == ("lora", True, "")
    assert [point.score for point in tuned.points] == [0.6, 0.75, 0.83]
    # 0.40, 0.25, 0.17: the falls are as 15 to 8, so that the next is 8·8/15 = 4.27 points
    assert tuned.doubled is not None
    assert tuned.doubled.gain == pytest.approx(0.0427, abs=1e-4)
    assert tuned.doubled.low < 0.0427 < tuned.doubled.high
    assert (tuned.doubled.more.labels, tuned.doubled.more.machine_s) == (200, 40.0)
    assert (tuned.doubled.more.usd_for_labels, tuned.doubled.more.usd_to_train) == (None, None)
    assert tuned.line[0].rows == 50
    assert tuned.line[-1].rows == 800  # four times the largest size, and no further
    assert all(point.low <= point.score <= point.high for point in tuned.line)


@pytest.mark.usefixtures("three")
def test_rows_to_reach_a_score() -> None:
    _, (_, tuned) = curves()
    assert 3 <= len(tuned.targets) <= learning.TARGETS
    assert tuned.targets[0].score > 0.83
    rows = [target.rows for target in tuned.targets if target.rows is not None]
    assert rows == sorted(rows)
    assert 200 < rows[0] <= rows[-1] <= 800
    assert tuned.targets[-1].high is None  # beyond what the law is read to


def test_dollars(three: dict[str, Any], project: Any) -> None:
    three["hardware"]["usd_per_hour"] = 3.6
    three["cost"] = {"usd_per_label": 0.5}
    project.write_params(three)
    _, (_, tuned) = curves()
    assert tuned.doubled is not None
    assert tuned.doubled.more.usd_for_labels == 100.0
    assert tuned.doubled.more.usd_to_train == 0.04
    assert more_rows.would_help(tuned, tuned=True) == (
        "More labelled rows would help: twice as many (400) would bring lora about 4.3 points"
        f" ({100 * tuned.doubled.low:.1f} to {100 * tuned.doubled.high:.1f}, for $100 of labels and"
        " $0.04 of training), by a power law that three sizes determine and none tests."
    )


@pytest.mark.usefixtures("three")
def test_the_last_step_is_the_paired_test() -> None:
    _, (_, tuned) = curves()
    assert tuned.step is not None
    assert (tuned.step.from_rows, tuned.step.to_rows, tuned.step.gain) == (100, 200, 0.08)
    assert tuned.step.p == pytest.approx(2 * 0.5**8, rel=1e-2)  # eight rows, all for the larger


@pytest.mark.usefixtures("three")
def test_a_size_that_failed_leaves_two() -> None:
    fail(Run("tiny", "reviews", "lora", 0.5, 0), rows=100)
    _, (_, tuned) = curves()
    assert tuned.law is None
    assert tuned.note == "only two sizes have a score, and a power law needs 3"
    assert more_rows.would_help(tuned, tuned=True).startswith(
        "More labelled rows may help: from 50 to 200 rows lora gained 23.0 points"
    )


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("right", "start"),
    [
        ((30, 60, 60), "That more labelled rows would help is not shown: from 100 to 200 rows"),
        ((80, 70, 50), "More labelled rows did not help: from 100 to 200 rows lora lost 20.0"),
        ((98, 98, 98), "More labelled rows would hardly help: twice as many (400) would bring"),
    ],
)
def test_curves_that_do_not_rise(right: tuple[int, ...], start: str) -> None:
    for size, each in zip((0.25, 0.5, 1.0), right, strict=True):
        run = Run("tiny", "reviews", "lora", size, 0)
        write(run, first(10 * each, of=1000), rows=round(200 * size), train_s=1.0)
    write(Run("tiny", "reviews", "zero_shot"), first(400, of=1000))
    _, (_, tuned) = curves()
    assert more_rows.would_help(tuned, tuned=True).startswith(start)
