"""The real parameter files, cut down to a few rows and steps: real text, tokenizers and models."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tunebench import paths
from tunebench.paths import Run

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
FILES = sorted((ROOT / "tests" / "real").glob("*.yaml"))

pytestmark = [pytest.mark.shared, pytest.mark.slow]


def stage(folder: Path, name: str, run: Run) -> None:
    options = [
        part
        for key, value in vars(run).items()
        if value not in ("", None)
        for part in (f"--{key.replace('_', '-')}", str(value))
    ]
    done = subprocess.run(
        [sys.executable, "-m", f"stages.{name}", *options],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


def cut_down(source: Path, folder: Path) -> dict:
    """A copy of a parameter file with 16 training rows, 8 test rows and three steps."""
    params = YAML(typ="safe").load(source)
    for dataset in params["datasets"].values():
        dataset["test_rows"] = 8
    params["grid"] |= {"train_sizes": [16], "tuning": params["grid"]["tuning"][-1:]}
    params["training"] |= {"max_steps": 3, "logging_steps": 1}
    params["inference"] |= {"train_size": 16, "prompts": 2, "warmup": 1, "new_tokens": 2}
    folder.mkdir()
    YAML(typ="safe").dump(params, folder / "params.yaml")
    (folder.parent / "shared").symlink_to(SHARED)
    return params


@pytest.mark.parametrize("source", FILES, ids=[path.stem for path in FILES])
def test_real_text_from_rows_to_metrics(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "project"
    params = cut_down(source, folder)
    [dataset], model = params["grid"]["datasets"], params["grid"]["models"][-1]
    tuned = Run(model, dataset, params["grid"]["tuning"][0], 16, 0)
    prompted = Run(model, dataset, params["grid"]["prompting"][-1])

    stage(folder, "check", Run())
    stage(folder, "download", Run(dataset=dataset))
    stage(folder, "fetch_model", Run(model=model))
    stage(folder, "subsample", Run(dataset=dataset, train_size=16, seed=0))
    stage(folder, "format_prompts", Run(model=model, dataset=dataset, train_size=16, seed=0))
    stage(folder, "format_prompts", Run(model=model, dataset=dataset))
    stage(folder, "format_prompts", prompted)
    stage(folder, "train", tuned)
    for run in (tuned, prompted):
        stage(folder, "evaluate", run)

    monkeypatch.chdir(folder)
    for run in (tuned, prompted):
        metrics = json.loads(paths.evaluation(run).read_text())
        headline = metrics.get("accuracy", metrics.get("rouge1"))
        assert 0 <= headline <= 1
        predictions = paths.predictions(run).read_text().splitlines()
        assert len(predictions) == metrics["rows"] == 8
        assert len({json.loads(line)["answer"] for line in predictions}) >= 1
    assert paths.losses(tuned).read_text().count("\n") == 4


def test_the_three_files_are_there() -> None:
    assert [path.stem for path in FILES] == ["imdb", "samsum", "stories"]
