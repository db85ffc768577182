"""`dtype: auto` becomes what this device computes faster, and stays so."""

from copy import deepcopy
from pathlib import Path

import pytest
from projects import VALID, Project, run_stage

import stages.check
import stages.fetch_model
from tunebench import models, results
from tunebench.config.schema import Model
from tunebench.models import dtypes
from tunebench.paths import Run

TINY = Path(__file__).parents[1] / "assets" / "tiny"


@pytest.mark.parametrize(
    ("float32", "bfloat16", "chosen"),
    [(1.0, 0.4, "bfloat16"), (1.0, 0.79, "bfloat16"), (1.0, 0.85, "float32"), (1.0, 9, "float32")],
)
def test_bfloat16_must_be_worth_it(
    monkeypatch: pytest.MonkeyPatch, float32: float, bfloat16: float, chosen: str
) -> None:
    times = {"float32": float32, "bfloat16": bfloat16}
    monkeypatch.setattr(dtypes, "measured", lambda folder: times)
    assert dtypes.resolved({"dtype": "auto"}, TINY, earlier=None)["dtype"] == chosen


def test_both_dtypes_are_measured() -> None:
    seconds = dtypes.measured(TINY)
    assert seconds.keys() == {"float32", "bfloat16"}
    assert all(0 < value < 10 for value in seconds.values())


def test_a_choice_stays_on_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtypes, "measured", lambda folder: {"float32": 1.0, "bfloat16": 2.0})
    source = {"path": "m", "dtype": "auto"}
    earlier = {"source": source, "dtype": "bfloat16", "device": models.device_name()}
    assert dtypes.resolved(source, TINY, earlier=earlier)["dtype"] == "bfloat16"
    elsewhere = earlier | {"device": "another"}
    assert dtypes.resolved(source, TINY, earlier=elsewhere)["dtype"] == "float32"
    assert dtypes.resolved({"path": "m"}, TINY, earlier=earlier) == {}


def test_runs_take_what_the_pin_says(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtypes, "measured", lambda folder: {"float32": 2.0, "bfloat16": 1.0})
    params = deepcopy(VALID)
    params["models"]["tiny"]["dtype"] = "auto"
    project.write_params(params)
    run_stage(stages.check, Run())
    run_stage(stages.fetch_model, Run(model="tiny"))
    pin = results.read(Path("data/models/tiny.json"))
    assert (pin["dtype"], pin["device"]) == ("bfloat16", models.device_name())
    base = models.Base.pinned(Model(path="model", dtype="auto"), pin)
    assert base.settings.dtype == "bfloat16"
    assert base.described()["dtype"] == "bfloat16"
