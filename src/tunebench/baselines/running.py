"""The runs of the baselines of one data set: trained, evaluated and timed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

from tunebench import evaluation, paths, results
from tunebench.answering.generation import Text
from tunebench.baselines import examples, kinds
from tunebench.baselines.examples import Baseline, Examples
from tunebench.config.baselines import BaselineMethod
from tunebench.config.inference import Timing
from tunebench.config.schema import Evaluation, Params
from tunebench.errors import EvaluationError
from tunebench.models import memory
from tunebench.paths import BASELINE, Run
from tunebench.prompts import Prompt
from tunebench.timing import SEED, rounds
from tunebench.timing.clock import garbage_collection_off, timed
from tunebench.timing.writing import RequestTimes

DEVICE = "cpu"  # on which all of them run


@dataclass(frozen=True)
class Folders:
    """Where the results of all baselines of a data set go, by method, size and seed."""

    learnt: Path
    predictions: Path
    timings: Path
    train: Path
    evaluate: Path
    time_inference: Path


def run_all(params: Params, dataset: str, labels: Sequence[str], folders: Folders) -> None:
    """Every run of every method of `grid.baselines` that can answer the data set's task.

    Args:
        labels: of the data set; empty for summarization.
        folders: empty ones.

    Raises:
        ParameterError: if there are not as many rows as a train size says.
        EvaluationError: if there are no test rows.
    """
    methods, grid = params.baselines_for(dataset), params.grid
    if not methods:
        return
    prompts = examples.test(params.dataset(dataset), dataset)
    for size, seed in product(grid.train_sizes, grid.seeds):
        rows = examples.training(params.dataset(dataset), Run("", dataset, "", size, seed))
        for name, method in methods.items():
            run = Run(BASELINE, dataset, name, size, seed)
            learnt = folders.learnt / name / run.size_and_seed
            metrics = train(method, *rows, learnt)
            results.write(learnt / paths.PROVENANCE, _provenance(run, {"method": method}))
            results.write(folders.train / name / f"{run.size_and_seed}.json", metrics)
            answers = folders.predictions / name / run.size_and_seed
            metrics, predictions = evaluate(kinds.load(method, learnt), prompts, labels)
            results.write_lines(answers / paths.PREDICTIONS, predictions)
            results.write(answers / paths.PROVENANCE, _provenance(run, {"method": method}))
            results.write(folders.evaluate / name / f"{run.size_and_seed}.json", metrics)
            if not params.times(run):
                continue
            timing = params.inference.timing
            metrics = time_inference(method, learnt, prompts, labels, timing)
            settings = {"method": method, "inference": timing}
            results.write(folders.timings / name / paths.PROVENANCE, _provenance(run, settings))
            results.write(folders.time_inference / f"{name}.json", metrics)


def _provenance(run: Run, settings: dict[str, Any]) -> results.Metrics:
    provenance = results.provenance(run, settings, DEVICE)
    provenance["libraries"]["scikit-learn"] = version("scikit-learn")
    return provenance


def train(
    settings: BaselineMethod, training: Examples, validation: Examples, folder: Path
) -> results.Metrics:
    """Learn from training rows, and write what was learnt to a new folder.

    Returns:
        Seconds, bytes, what was chosen, as `train` has them for a language model.
    """
    folder.mkdir(parents=True)
    phase = memory.Phase.start()
    train_s, learnt = timed(lambda: kinds.fit(settings, training, validation))
    learnt.save(folder)
    return {
        "rows": len(training.texts),
        "train_s": results.rounded(train_s, 4),
        "machine_s": results.rounded(train_s, 4),
        "trainable_parameters": learnt.parameters,
        "adapter_bytes": sum(path.stat().st_size for path in folder.iterdir()),
        **phase.metrics(),
        **learnt.chosen,
    }


def evaluate(
    model: Baseline[Any], prompts: Sequence[Prompt], labels: Sequence[str]
) -> tuple[results.Metrics, list[dict[str, Any]]]:
    """Answer every test row, and judge the answers as those of a language model are.

    Args:
        labels: of the data set; empty for summarization.

    Raises:
        EvaluationError: if there is nothing to answer.
    """
    if not prompts:
        raise EvaluationError("there are no rows to answer; give the data set test rows")
    started = perf_counter()
    answers = model.answer([prompt.prompt for prompt in prompts], labels)
    seconds = perf_counter() - started
    predictions = [
        {
            "id": prompt.id,
            "prompt_sha256": sha256(prompt.prompt.encode()).hexdigest(),
            "prompt": prompt.prompt,
            "gold": prompt.gold,
            **answer,
        }
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    judged = evaluation.judge(predictions, evaluation.Answering(labels, Evaluation(), {}))
    return judged | {
        "rows": len(prompts),
        "evaluate_s": results.rounded(seconds, 4),
    }, predictions


@dataclass(frozen=True)
class _Timed:
    """A baseline as what is timed."""

    model: Baseline[Any]
    labels: Sequence[str]

    writes_tokens = False

    def batch(self, prompts: Sequence[Prompt]) -> list[Text]:
        answers = self.model.answer([prompt.prompt for prompt in prompts], self.labels)
        return [Text(answer["answer"], 0) for answer in answers]

    def single(self, prompt: Prompt) -> RequestTimes:
        latency, (text,) = timed(lambda: self.batch([prompt]))
        return RequestTimes(latency, text)


def time_inference(
    settings: BaselineMethod,
    folder: Path,
    prompts: Sequence[Prompt],
    labels: Sequence[str],
    timing: Timing,
) -> results.Metrics:
    """Percentiles of latency (s), throughput by batch size, memory, of what was learnt."""
    shuffled = random.Random(SEED).sample(prompts, len(prompts))
    phase = memory.Phase.start()
    load_s, model = timed(lambda: kinds.load(settings, folder))
    with garbage_collection_off():
        measured = rounds.measure(_Timed(model, labels), shuffled, timing, phase)
    return measured.metrics | {
        "load_s": results.rounded(load_s, 4),
        "prompts": len(measured.answers),
        "repeats": timing.repeats,
        "threads": 1,
    }
