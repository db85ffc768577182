"""Published numbers: fractions of metrics that are ours, for runs that there can be."""

from pathlib import Path
from typing import Any

import pytest
from faults import faults_of

from tunebench import paths, results


def published(**changes: Any) -> dict[str, Any]:
    run = {"model": "tiny", "dataset": "reviews", "method": "lora", "train_size": 1.0}
    run |= {"accuracy": 0.75} | changes
    kept = {key: value for key, value in run.items() if value is not None}
    return {"source": "a paper", "results": [kept]}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"accuracy": 74.9}, "[0].accuracy: 74.9 is no fraction; for 74.9% write 0.749"),
        ({"accuracy": None}, "[0]: names no metric; write its value: accuracy: 0.749"),
        ({"train_size": None}, "[0].train_size: a peft method needs one: train_size: 1.0"),
        ({"method": "zero_shot"}, "[0].train_size: a prompting method has none; remove it"),
        ({"method": "lra"}, "[0].method: 'lra' is not defined under methods; did you mean 'lora'?"),
    ],
)
def test_published_numbers_are_checked(
    changes: dict[str, Any], fault: str, valid: dict[str, Any], tmp_path: Path
) -> None:
    valid["published"] = published(**changes)
    assert faults_of(valid, tmp_path) == [f"published.results{fault}"]


def test_published_metric_must_be_one_of_ours(valid: dict[str, Any], project: Any) -> None:
    valid["published"] = published(acuracy=0.5)
    project.write_params(valid)
    done = project.run("check")
    assert done.returncode == 1
    assert done.stderr == (
        "error: params.yaml: published.results[0].acuracy: unknown metric;"
        " did you mean 'accuracy'?\n"
    )


def test_check_writes_what_the_report_tracks(valid: dict[str, Any], project: Any) -> None:
    assert project.run("check").returncode == 0
    assert results.read(paths.PUBLISHED) == {"published": None}
    assert results.read(paths.COST) == {"cost": None}
    valid["published"] = published()
    valid["cost"] = {"usd_per_label": 0.1}
    project.write_params(valid)
    assert project.run("check").returncode == 0
    assert results.read(paths.PUBLISHED)["published"] == valid["published"]
    assert results.read(paths.COST) == {"cost": {"usd_per_label": 0.1}}
