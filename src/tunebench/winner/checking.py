"""An exported folder, tried: its own script answers the test rows in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebench import metrics, paths, results
from tunebench.data import sampling, tables
from tunebench.errors import EvaluationError
from tunebench.metrics import statistics
from tunebench.progress import bar
from tunebench.winner.runs import Ready

if TYPE_CHECKING:
    from tunebench.winner.prompt import ExactPrompt

# -I: without this project's sources; the script's own folder is all that it has
DRIVER = """
import importlib.util, json, sys
folder, rows = sys.argv[1:]
spec = importlib.util.spec_from_file_location("predict", f"{folder}/predict.py")
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)
with open(rows, encoding="utf-8") as file:
    for line in file:
        print(json.dumps(script.answer(**json.loads(line))), flush=True)
assert "tunebench" not in sys.modules
"""
LAST_LINES = 3  # of what a script said when it failed


@dataclass(frozen=True)
class Checked:
    """The script's score on the test rows, and how its answers differ from `evaluate`'s."""

    metric: str
    score: float
    low: float
    high: float
    evaluated: float
    rows: int
    differ: int

    def content(self) -> dict[str, Any]:
        """`check.json`."""
        low, high = metrics.interval(self.metric)
        return {
            "test_rows": self.rows,
            **results.rounded_all({self.metric: self.score, low: self.low, high: self.high}),
            f"{self.metric}_of_evaluate": self.evaluated,
            "answers_that_differ": results.rounded(self.differ / self.rows),
            "libraries": results.library_versions(),
        }


def check(ready: Ready, folder: Path, exact: ExactPrompt) -> Checked:
    """Answer the test rows with a folder's script, and compare that with the evaluation.

    Raises:
        EvaluationError: if the script fails.
    """
    predictions = results.read_lines(paths.predictions(ready.run))
    answers = _ask(folder, list(_rows(ready, exact)), len(predictions))
    gold, evaluated = ([row[key] for row in predictions] for key in ("gold", "answer"))
    metric = metrics.HEADLINE[ready.answering.task]
    if ready.answering.labels:
        score = metrics.classification(gold, answers, labels=ready.answering.labels)[metric]
        low, high = metrics.classification_intervals(gold, answers)[metric]
    else:
        rows = metrics.rouge(gold, answers)
        score = metrics.means(rows)[metric]
        low, high = statistics.of_means(rows)[metric]
    return Checked(
        metric=metric,
        score=score,
        low=low,
        high=high,
        evaluated=results.read(paths.evaluation(ready.run))[metric],
        rows=len(predictions),
        differ=sum(new != old for new, old in zip(answers, evaluated, strict=True)),
    )


def described(checked: Checked) -> Iterator[str]:
    """The check in two lines, for a terminal."""
    score, low, high = (100 * value for value in (checked.score, checked.low, checked.high))
    yield (
        f"checked on {checked.rows:,} test rows: {checked.metric} {score:.1f} ({low:.1f} to"
        f" {high:.1f}), where evaluate had {100 * checked.evaluated:.1f}"
    )
    yield f"  {checked.differ:,} answers differ ({100 * checked.differ / checked.rows:.1f}%)"


def _rows(ready: Ready, exact: ExactPrompt) -> Iterator[dict[str, str]]:
    """The fields of each test row that was evaluated."""
    dataset = ready.params.dataset(ready.run.dataset)
    sample = sampling.test_sample_of(dataset, ready.run.dataset)
    for row in tables.stream(paths.split(ready.run.dataset, "test"), sample):
        yield {name: row[name] for name in exact.fields}


def _ask(folder: Path, rows: list[dict[str, str]], count: int) -> list[Any]:
    """The script's answer to each row."""
    if len(rows) != count:
        raise EvaluationError(f"{count} rows were evaluated, and there are {len(rows)} now")
    with tempfile.TemporaryDirectory() as place:
        path, errors = Path(place) / "rows.jsonl", Path(place) / "errors"
        results.write_lines(path, rows)
        command = [sys.executable, "-IB", "-c", DRIVER, str(folder.resolve()), str(path)]
        answers = []
        with (
            errors.open("wb") as said,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as process,
            bar(total=count, unit="row") as progress,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                answers.append(json.loads(line))
                progress.update()
        if process.returncode or len(answers) != count:
            last = errors.read_text("utf-8", "replace").strip().splitlines()[-LAST_LINES:]
            raise EvaluationError(f"--check: predict.py failed: {' '.join(last)}")
    return answers
