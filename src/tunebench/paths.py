"""The paths of all files, relative to the repository's root.

The only place in Python that defines paths; `dvc.yaml` defines the same ones for DVC, and
`tests/test_graph.py` checks that they agree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tunebench.errors import ParameterError

PARAMS = Path("params.yaml")
GRAPH = Path("dvc.yaml")
DATA = Path("data")
METRICS = Path("metrics")
CHECK = DATA / "check"
LOCKS = DATA / "locks"
TRACKERS = DATA / "trackers"
PLAN = DATA / "plan"
QUEUE = PLAN / "queue.json"
STARTED = PLAN / "started.jsonl"
STAGE_TIMES = PLAN / "stage_times.jsonl"
PUBLISHED = CHECK / "published.json"
REPORT = CHECK / "report.json"
COST = CHECK / "cost.json"
FORGETTING_TEXT = DATA / "forgetting_text.jsonl"
FORGETTING_CARD = DATA / "forgetting_text.json"
SERVING = CHECK / "serving.json"
VIRTUAL_TOKENS = CHECK / "virtual_tokens.json"
FINGERPRINTS = DATA / "fingerprints.json"
HEADLINES = METRICS / "summary"
BASELINE = "baseline"  # in place of a model's name: the runs of methods that need none
RESULTS = METRICS / "results.json"
TABLES = METRICS / "tables"
PLOTS = METRICS / "plots"
PAGE = Path("report") / "index.html"

# files within a stage's output
CARD = "card.json"
PREDICTIONS = "predictions.jsonl"
PROVENANCE = "run.json"
SELECTED = "selected.json"


STAGES_WITH_METRICS = (
    "download", "format_prompts", "train", "history", "evaluate", "time_inference", "load_test",
)  # fmt: skip
LOAD_TESTS = METRICS / "load_test"
METRIC_FOLDERS = tuple(METRICS / stage for stage in STAGES_WITH_METRICS)


def parse_size(text: str) -> int | float:
    """A train size: `50` is fifty rows, `0.5` half of them, `1.0` all."""
    return int(text) if text.isdecimal() else float(text)


@dataclass(frozen=True)
class Run:
    """The options of one stage's run; empty or None if the stage has no such axis.

    `train_size` is a fraction of the training rows if a float, a number of rows if an int.
    """

    model: str = ""
    dataset: str = ""
    method: str = ""
    train_size: int | float | None = None
    seed: int | None = None

    @classmethod
    def parse(cls, text: str) -> Run:
        """The run that `str(run)` names: model/dataset/method[/size-seed].

        Raises:
            ParameterError: if the text names no run.
        """
        match text.strip("/").split("/"):
            case [model, dataset, method]:
                return cls(model, dataset, method)
            case [model, dataset, method, last] if re.fullmatch(r"[\d.e]+(-\d+)?-\d+", last):
                size, seed = last.rsplit("-", 1)
                return cls(model, dataset, method, parse_size(size), int(seed))
        raise ParameterError(
            [f"{text!r} names no run; write model/dataset/method[/size-seed], as under metrics/"]
        )

    @property
    def size_and_seed(self) -> str:
        """`0.1-0` for ten per cent of the rows and seed 0; empty for a prompting run."""
        return "" if self.train_size is None else f"{self.train_size}-{self.seed}"

    @property
    def sized(self) -> tuple[int | float, int]:
        """The train size and the seed of a run that has them.

        Raises:
            ParameterError: if it has none.
        """
        if self.train_size is None or self.seed is None:
            raise ParameterError([f"{self}: has no rows of its own; give --train-size and --seed"])
        return self.train_size, self.seed

    def __str__(self) -> str:
        return "/".join(filter(None, (self.model, self.dataset, self.method, self.size_and_seed)))


def _of(kind: Path, run: Run, suffix: str) -> Path:
    return kind / f"{run}{suffix}"


def lock(output: Path) -> Path:
    """The file whose lock a process holds while it makes an output."""
    return LOCKS / output.with_name(f"{output.name}.lock")


def check(name: str) -> Path:
    """Source and fingerprint of one data set or model, by the stage `check`."""
    return CHECK / f"{name}.json"


def timing_settings(dataset: str) -> Path:
    """What the timings of one data set depend on in params.yaml, by the stage `check`."""
    return CHECK / "timing" / f"{dataset}.json"


def baseline_settings(dataset: str) -> Path:
    """What the baselines of one data set depend on in params.yaml, by the stage `check`."""
    return CHECK / "baselines" / f"{dataset}.json"


def baseline_folders(run: Run) -> list[Path]:
    """Folders of all baselines of a data set: what they learnt, predictions, provenance of timings;
    and their metrics of training, evaluation and timing.
    """
    kinds = ("adapters", "predictions", "timings"), ("train", "evaluate", "time_inference")
    return [
        _of(top / kind, run, "")
        for top, of in zip((DATA, METRICS), kinds, strict=True)
        for kind in of
    ]


def raw(dataset: str) -> Path:
    """Folder of a data set's splits as Parquet, with its card."""
    return DATA / "raw" / dataset


def split(dataset: str, name: str) -> Path:
    """One split: `train`, `validation` or `test`."""
    return raw(dataset) / f"{name}.parquet"


def card(dataset: str) -> Path:
    """The data card: the data set's source, labels, licence and row counts."""
    return raw(dataset) / CARD


def download(dataset: str) -> Path:
    """Metrics of `download`: rows, duplicates."""
    return METRICS / "download" / f"{dataset}.json"


def pin(model: str) -> Path:
    """The revision and files of a model."""
    return DATA / "models" / f"{model}.json"


def subset(run: Run) -> Path:
    """Folder of the training (and validation) rows of one data set, size and seed."""
    return DATA / "subsets" / run.dataset / run.size_and_seed


def _prompts_name(run: Run) -> str:
    """Prompts are shared by tuning methods; each prompting method has its own."""
    return run.size_and_seed or run.method or "test"


def prompts(run: Run) -> Path:
    """Formatted rows: of one training subset, of one prompting method, or else of the test rows."""
    return DATA / "prompts" / run.model / run.dataset / f"{_prompts_name(run)}.jsonl"


def prompts_metrics(run: Run) -> Path:
    """How long the prompts of `prompts(run)` are and how many were cut."""
    folder = METRICS / "format_prompts" / run.model / run.dataset
    return folder / f"{_prompts_name(run)}.json"


def test_prompts(run: Run) -> Path:
    """A run's test prompts: a prompting method's own, or those shared by tuning methods."""
    method = run.method if run.train_size is None else ""
    return prompts(Run(run.model, run.dataset, method))


def adapter(run: Run) -> Path:
    """Folder of a trained adapter or full model, with `run.json`."""
    return _of(DATA / "adapters", run, "")


def trained(run: Run) -> Path | None:
    """The folder of a run's tuned model; None for a prompting run."""
    return adapter(run) if run.size_and_seed else None


def epochs(trained: Path) -> Path:
    """Folder of each epoch's adapter, by its number, within the trained one's."""
    return trained / "epochs"


def failure(trained: Path) -> Path:
    """Why a training run ended without a model, in the folder where that would be."""
    return trained / "failed.json"


def checkpoints(run: Run) -> Path:
    """Checkpoints from which a killed training run resumes; removed when it ends."""
    return _of(DATA / "checkpoints", run, "")


def history(run: Run) -> Path:
    """Folder of loss and learning rate at each logged step, in dvclive's layout."""
    return _of(METRICS / "history", run, "")


def losses(run: Run) -> Path:
    """The training loss in a run's history."""
    return history(run) / "plots" / "metrics" / "train" / "loss.tsv"


def train(run: Run) -> Path:
    """Metrics of training: seconds, bytes, parameters, loss."""
    return _of(METRICS / "train", run, ".json")


def answers(run: Run) -> Path:
    """Folder of an evaluation's predictions, provenance and selected epoch."""
    return _of(DATA / "predictions", run, "")


def predictions(run: Run) -> Path:
    """One JSON line for each test row: answer, gold, scores or text."""
    return answers(run) / PREDICTIONS


def predictions_provenance(run: Run) -> Path:
    """Settings and versions behind the predictions."""
    return answers(run) / PROVENANCE


def selected(run: Run) -> Path:
    """Which of a run's epochs was tested, and is served."""
    return answers(run) / SELECTED


def evaluation(run: Run) -> Path:
    """Metrics of the predictions."""
    return _of(METRICS / "evaluate", run, ".json")


def timing(run: Run) -> Path:
    """Latency, throughput and memory of one method."""
    return _of(METRICS / "time_inference", Run(run.model, run.dataset, run.method), ".json")


def timing_folder(run: Run) -> Path:
    """Folder of a timing's provenance: settings, versions and machine.

    DVC caches it, while the metrics are in Git. So a clone is timed again instead of showing
    another machine's seconds.
    """
    return _of(DATA / "timings", Run(run.model, run.dataset, run.method), "")


def timing_provenance(run: Run) -> Path:
    """Settings, versions and machine behind the timing."""
    return timing_folder(run) / PROVENANCE


def load_test(run: Run) -> Path:
    """Metrics of one method's load test."""
    return _of(LOAD_TESTS, Run(run.model, run.dataset, run.method), ".json")


def served_folder(run: Run) -> Path:
    """Folder of a server's answers under load."""
    return _of(DATA / "served", Run(run.model, run.dataset, run.method), "")


def served(run: Run) -> Path:
    """A server's answers under load, one JSON line for each prompt."""
    return served_folder(run) / PREDICTIONS


def served_provenance(run: Run) -> Path:
    """Settings, versions and machine behind the load test; cached as `timing_folder` is."""
    return served_folder(run) / PROVENANCE


def load_test_folder(run: Run) -> Path:
    """Folder of the served model during a load test, and of the logs, which are kept."""
    return _of(DATA / "load_tests", Run(run.model, run.dataset, run.method), "")
