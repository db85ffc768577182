"""Two real training steps on this device, in a process of their own, for `tunebench plan --probe`:
python -m tunebench.planning.probe --model tiny --dataset posts --method qlora --train-size 1.0
--seed 0 prints their metrics as JSON. The rows are as long as the plan takes them to be.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tunebench import config, models, stage, training
from tunebench.config.schema import Params
from tunebench.errors import SourceError, TunebenchError
from tunebench.estimates import sizes
from tunebench.estimates.work import Training
from tunebench.models import outcomes
from tunebench.paths import Run
from tunebench.planning.graph import Stage
from tunebench.planning.history import Error
from tunebench.planning.prediction import Predictor
from tunebench.planning.tokens import Tokens
from tunebench.planning.work import Work
from tunebench.prompts import Prompt

STEPS = 2
LONGEST_S = 600.0
# of TrainingArguments: nothing but steps
ALONE = {
    "max_steps": STEPS, "save_strategy": "no", "eval_strategy": "no", "report_to": "none",
    "load_best_model_at_end": False, "logging_steps": 1,
}  # fmt: skip


def errors(predictor: Predictor, waiting: Sequence[Stage]) -> Iterator[tuple[Stage, Error | str]]:
    """How far the models are off for two steps of each model and method that would train.

    Yields:
        The training with the longest rows of each, and its error; or in one line why there is none.
    """
    longest: dict[tuple[str, str], Stage] = {}
    for each in waiting:
        if each.script == "train":
            key = (each.run.model, each.run.method)
            known = longest.get(key)
            if known is None or _tokens(predictor, each) > _tokens(predictor, known):
                longest[key] = each
    for each in longest.values():
        yield each, _probed(predictor, each)


def _tokens(predictor: Predictor, each: Stage) -> int:
    work = predictor.work.trainings(each.run)[0]
    return work.rows * work.longest


def _probed(predictor: Predictor, each: Stage) -> Error | str:
    if predictor.loaded(each) is None:
        return "the model is not here yet"
    options = [
        text
        for name, value in vars(each.run).items()
        for text in (f"--{name.replace('_', '-')}", str(value))
    ]
    command = [sys.executable, "-m", __name__, *options]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LONGEST_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"two steps took longer than {LONGEST_S:g} s"
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        return lines[-1].removeprefix("error: ")
    found = json.loads(done.stdout.splitlines()[-1])
    if "train_s" not in found:
        return outcomes.message(found)
    return _error(predictor, each, found)


def _error(predictor: Predictor, each: Stage, found: dict[str, Any]) -> Error:
    """The error for the steps that were made, which the tokens in them tell."""
    planned = predictor.work.trainings(each.run)[0]
    accumulated = planned.accumulation
    row = found["tokens"] / (STEPS * accumulated * planned.rows)
    made = replace(
        planned, steps=STEPS * accumulated, updates=STEPS, tokens=found["tokens"],
        longest=round(row),
    )  # fmt: skip
    estimate = predictor.training(each, [made])
    assert estimate is not None
    assert estimate.peak is not None
    return Error(
        # of the method on whatever rows
        replace(each, name="probe", run=replace(each.run, dataset="")),
        (found["train_s"] + found["load_s"]) / estimate.seconds,
        found["peak_memory_bytes"] - estimate.peak.total,
    )


def main(run: Run) -> dict[str, Any]:
    """Make two steps of a run's training, and return its metrics.

    Raises:
        TunebenchError: if the model is not here, or it cannot train.
    """
    params = config.load()
    method = params.tuning_method(run.method)
    dataset = params.dataset(run.dataset)
    own = {"packing": False, "launch": None}
    settings = params.training_for(dataset, method) | ALONE | own
    work = Work(params, [], quickly=False)
    planned = work.trainings(run)[0]
    with TemporaryDirectory(prefix="tunebench.") as folder:
        job = training.Job(
            name=str(run),
            base=_base(params, run.model),
            method=method.model_copy(update={"search": {}}),
            settings={key: value for key, value in settings.items() if value is not None},
            seed=0,
            prompts=_prompts(work, run, planned),
            checkpoints=Path(folder) / "checkpoints",
            output=Path(folder) / "output",
        )
        return training.train(job).metrics


def _base(params: Params, name: str) -> models.Base:
    model = params.models[name]
    folder = sizes.folder_of(model)
    if folder is None:
        raise SourceError(
            f"models.{name}: is not here yet; fetch it first: dvc repro fetch_model@{name}"
        )
    settings = model.model_copy(update={"dtype": "float32"} if model.dtype == "auto" else {})
    return models.Base(folder, "probe", settings)


def _prompts(work: Work, run: Run, planned: Training) -> list[Prompt]:
    """As many rows as the steps take, of about the tokens that the longest have."""
    rows = work.rows(run.dataset)
    tokens: Tokens = work.lengths(run)
    words = " ".join(row["text"] for row in rows.sample).split() or ["text"]
    answer = rows.sample[0]["target"] if rows.sample else "answer"
    typical = max(1.0, tokens.text) / max(1.0, len(words) / max(1, len(rows.sample)))
    length = max(4, round((planned.longest - tokens.answer) / typical))
    count = STEPS * planned.accumulation * planned.rows
    return [
        Prompt(
            id=str(number),
            prompt=" ".join(words[(number + at) % len(words)] for at in range(length)),
            completion=f" {answer}",
            split="train",
        )
        for number in range(count)
    ]


if __name__ == "__main__":
    stage.set_up()
    try:
        print(json.dumps(main(stage.parse(needs=("model", "dataset", "method", "train_size")))))
    except TunebenchError as error:
        sys.exit(f"error: {str(error).splitlines()[0]}")
