"""The results of a study that never ran: every file that the report reads, of any size and kind."""

import json
import math
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from tunebench import metrics, paths, results, training
from tunebench.config.schema import Params
from tunebench.paths import Run
from tunebench.report import staleness

WORDS = "the film was a good story and a bad one of long warm cold dull words told in two parts"
FAILED = {"out_of_memory": True, "peak_memory_bytes": 23_400_000_000}


@dataclass(frozen=True)
class Fake:
    """What a study is about: its labels (none for summaries), test rows, and runs that failed."""

    labels: Sequence[str] = ("positive", "negative")
    rows: int = 8
    failed: Collection[str] = ()
    texts: Sequence[str] = ()  # the first test rows' texts

    def write(self, params: Params) -> None:
        """Write the results of every run of the grid.

        A run is as good as its place in the grid: the later methods and the larger sizes are right
        more often.
        """
        runs = list(staleness.runs(params))
        for place, run in enumerate(runs):
            skill = 0.3 + 0.6 * (place + 1) / len(runs)
            self._run(run, skill, seed=place)

    def _run(self, run: Run, skill: float, seed: int) -> None:
        failed = run.method in self.failed
        draw = random.Random(seed)
        predictions = (
            [] if failed else [self._row(index, skill, draw) for index in range(self.rows)]
        )
        results.write_lines(paths.predictions(run), predictions)
        results.write(paths.evaluation(run), FAILED if failed else self._quality(predictions))
        results.write(paths.timing(run), FAILED if failed else _timed(skill))
        if run.train_size is None:
            return
        results.write(paths.train(run), {"rows": _rows(run), "machine_s": 3.0} | FAILED
                      if failed else _trained(run, skill))  # fmt: skip
        training.write_history(paths.history(run), [{"step": 1, "loss": 1.0}])

    def _row(self, index: int, skill: float, draw: random.Random) -> dict[str, Any]:
        words = random.Random(f"words {index}")
        text = self.texts[index] if index < len(self.texts) else " ".join(
            words.choices(WORDS.split(), k=30)
        )  # fmt: skip
        row = {"id": f"test-{index}", "prompt": f"Judge the text.\nText: {text}\nAnswer: ",
               "tokens_in": 40}  # fmt: skip
        if not self.labels:
            overlap = min(1.0, max(0.0, draw.gauss(skill, 0.2)))
            rouge = {name: round(overlap, 6) for name in metrics.ROUGE}
            answered = {"answer": f"{text[:60]} {draw.random()}", "ended": draw.random() > 0.02}
            return (
                row | {"gold": f"summary of {index}", "tokens_out": 12, "rouge": rouge} | answered
            )
        gold = self.labels[index % len(self.labels)]
        wrong = [label for label in self.labels if label != gold]
        answer = gold if draw.random() < skill or not wrong else draw.choice(wrong)
        scores = {label: round(-2 - 4 * draw.random(), 5) for label in self.labels}
        return row | {"gold": gold, "answer": answer, "scores": scores | {answer: -0.5}}

    def _quality(self, predictions: Sequence[dict[str, Any]]) -> dict[str, Any]:
        rows = len(predictions)
        if not self.labels:
            values = {name: sum(row["rouge"][name] for row in predictions) / rows
                      for name in metrics.ROUGE}  # fmt: skip
        else:
            right = sum(row["answer"] == row["gold"] for row in predictions) / rows
            values = {"accuracy": right, "macro_f1": right}
        measured: dict[str, Any] = {"rows": rows, "evaluate_s": 1.5}
        for name, value in values.items():
            half = 1.96 * math.sqrt(max(value * (1 - value), 0.01) / rows)
            ends = (max(0.0, value - half), min(1.0, value + half))
            measured |= {name: value} | dict(zip(metrics.interval(name), ends, strict=True))
        own = {"precision": 0.8, "recall": 0.75, "f1": 0.77, "rows": float(rows)}
        return measured | ({"per_class": dict.fromkeys(self.labels, own)} if self.labels else {})


def _rows(run: Run) -> int:
    assert run.train_size is not None
    return run.train_size if isinstance(run.train_size, int) else int(1000 * run.train_size)


def _trained(run: Run, skill: float) -> dict[str, Any]:
    seconds = 20 * skill + _rows(run) / 50
    return {
        "rows": _rows(run), "steps": 3, "loss": 0.5, "train_s": seconds,
        "machine_s": seconds + 1, "tokens_per_s": 100.0, "trainable_parameters": 512,
        "adapter_bytes": 40_960, "peak_memory_bytes": 500_000_000,
        "peak_memory_above_baseline_bytes": 90_000_000,
    }  # fmt: skip


def _timed(skill: float) -> dict[str, Any]:
    rate = 300 * (1.1 - skill)
    return {
        "latency_p50_s": 0.02 * skill, "latency_p50_s_low": 0.018 * skill,
        "latency_p50_s_high": 0.023 * skill, "latency_p90_s": 0.03 * skill,
        "latency_p99_s_needs": 368, "requests_per_s_batch_1": rate / 4,
        "requests_per_s_batch_8": rate, "requests_per_s_batch_8_low": 0.9 * rate,
        "requests_per_s_batch_8_high": 1.1 * rate, "load_s": 1.0,
        "peak_memory_bytes": int(4e8 * skill), "peak_memory_above_baseline_bytes": 1_000_000,
    }  # fmt: skip


def study(
    valid: dict[str, Any], *, models: int = 1, datasets: int = 1, prompting: int = 1,
    tuning: int = 2, sizes: Sequence[float | int] = (100, 1000), task: str = "classification",
    usd_per_hour: float = 2.0,
) -> dict[str, Any]:  # fmt: skip
    """A parameter file with so many models, data sets and methods."""
    names = {
        "models": [f"model_{index}" for index in range(models)],
        "datasets": [f"data_{index}" for index in range(datasets)],
        "prompting": [f"shots_{index}" for index in range(prompting)],
        "tuning": [f"lora_{index}" for index in range(tuning)],
    }
    answer = "label" if task == "classification" else "summary"
    dataset = valid["datasets"]["reviews"] | {
        "task": task, "columns": {"text": "text", answer: answer},
    }  # fmt: skip
    methods = dict.fromkeys(names["prompting"], valid["methods"]["zero_shot"])
    methods |= dict.fromkeys(names["tuning"], valid["methods"]["lora"])
    return json.loads(json.dumps(valid)) | {
        "grid": names | {"train_sizes": list(sizes), "seeds": [0]},
        "models": dict.fromkeys(names["models"], valid["models"]["tiny"]),
        "datasets": dict.fromkeys(names["datasets"], dataset),
        "methods": methods,
        "inference": valid["inference"] | {"train_size": sizes[-1] if sizes else 1.0},
        "hardware": {"name": "a machine", "usd_per_hour": usd_per_hour},
    }
