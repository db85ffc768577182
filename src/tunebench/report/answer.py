"""The answer to a study's question, in a few sentences for each data set and model.

Which run to use is what `tunebench best` recommends (`recommendation`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

from tunebench import config
from tunebench.config.schema import Params
from tunebench.paths import BASELINE
from tunebench.report import (
    comparisons,
    learning,
    more_rows,
    recommendation,
    repeatability,
    sentences,
    summary,
)
from tunebench.report.learning import Curve
from tunebench.report.recommendation import Recommendation
from tunebench.report.row_scores import ACCURACY, ScoreBook
from tunebench.report.summary import NO_ROWS, Record
from tunebench.report.tables import Row

log = logging.getLogger(__name__)

PRINTED = 4  # answers at the end of `dvc repro`; `tunebench answer` prints all


@dataclass(frozen=True)
class Answer:
    """What the results say about one data set and model.

    `model` is empty where it compares the models. `best` is the run with the highest score,
    `chosen` the cheapest that cannot be told from it; both are empty if no run has a score.
    """

    dataset: str
    model: str
    sentences: list[str] = field(default_factory=list)
    best: str = ""
    chosen: str = ""

    @property
    def title(self) -> str:
        """The data set and the model."""
        return f"{self.dataset}, {self.model}" if self.model else f"{self.dataset}, all models"


def build(
    params: Params,
    records: Sequence[Record],
    compared: Sequence[Row],
    curves: Sequence[Curve],
    scores: ScoreBook | None = None,
) -> list[Answer]:
    """The answers: for each data set over all models, where there are several, then for each model.

    Args:
        records: of the grid.
        compared: the rows of the table `comparisons`.
        curves: those of `learning`.
        scores: of the runs, as far as they are read already.
    """
    scores = scores or ScoreBook()
    answers = []
    for dataset in params.grid.datasets:
        of_dataset = [record for record in records if record.dataset == dataset]
        overall = recommendation.among(params, of_dataset, scores=scores)
        if len(params.grid.models) > 1 and overall is not None:
            answers.append(_over_models(dataset, overall))
        for model in params.grid.models:
            own = summary.of_model(records, model, dataset)
            found = _of_model(model, own, overall, params, scores)
            if found is None:
                failed = list(sentences.failures(own, all_of_them=True))
                answers.append(Answer(dataset, model, failed))
                continue
            rows = [row for row in compared if (row["model"], row["dataset"]) == (model, dataset)]
            known = [curve for curve in curves
                     if curve.dataset == dataset and curve.model in (model, BASELINE)]  # fmt: skip
            said = _sentences(found, rows, known, params, scores)
            answers.append(_answer(dataset, model, list(said), found))
    return answers


def _of_model(
    model: str,
    records: Sequence[Record],
    overall: Recommendation | None,
    params: Params,
    scores: ScoreBook,
) -> Recommendation | None:
    """One model's part of what is recommended over all, where that has the best; else its own."""
    if overall is not None and overall.best.record.model == model:
        return overall.of_best_model()
    return recommendation.among(params, records, scores=scores)


def _over_models(dataset: str, found: Recommendation) -> Answer:
    said = [sentences.best(found, model=True), *sentences.cheapest(found, model=True)]
    return _answer(dataset, "", said, found)


def _answer(dataset: str, model: str, said: list[str], found: Recommendation) -> Answer:
    return Answer(dataset, model, said, str(found.best.run), str(found.chosen.run))


def _sentences(
    found: Recommendation,
    compared: Sequence[Row],
    curves: Sequence[Curve],
    params: Params,
    scores: ScoreBook,
) -> Iterator[str]:
    record = found.best.record
    yield sentences.best(found)
    yield from sentences.cheapest(found)
    yield from sentences.without_model(found)
    yield sentences.pairs(compared, found)
    tuned = [each.record for each in found.candidates if each.record.train_size != NO_ROWS]
    curve = next((curve for curve in curves if tuned and curve.method == tuned[0].method), None)
    yield more_rows.would_help(curve, tuned=bool(params.grid.tuning or params.grid.baselines))
    if record.headline == ACCURACY:
        label, share = scores.frequent(found.best.run, record.headline)
        yield from sentences.frequent(found, label, share)
    yield from sentences.failures(found.failed, all_of_them=False)


def lines(dataset: str | None = None) -> Iterator[str]:
    """The answers for a terminal: each a title and a line for each sentence.

    Raises:
        ParameterError: if the grid does not have the data set.
        SourceError: if results are missing.
    """
    return _lines(_read(dataset))


def _lines(answers: Iterable[Answer]) -> Iterator[str]:
    for number, answer in enumerate(answers):
        if number:
            yield ""
        yield answer.title
        yield from (f"  {sentence}" for sentence in answer.sentences)


def as_json(dataset: str | None = None) -> str:
    """The same for programs: a list of answers."""
    return json.dumps([asdict(answer) for answer in _read(dataset)], indent=2, ensure_ascii=False)


def show(answers: Sequence[Answer]) -> None:
    """Print the first answers, as the last lines of `dvc repro`."""
    for line in _lines(answers[:PRINTED]):
        log.info(line)
    if len(answers) > PRINTED:
        log.info(f"and {len(answers) - PRINTED} more: tunebench answer")


def _read(dataset: str | None) -> list[Answer]:
    params = repeatability.measured(config.load())
    datasets = params.grid.datasets if dataset is None else [dataset]
    scores = ScoreBook()
    answers = []
    for name in datasets:
        narrowed = recommendation.narrowed(params, name)
        records = summary.collect(narrowed)
        compared = comparisons.build(narrowed, records, scores).get("comparisons", [])
        curves = learning.build(narrowed, records, scores)
        answers += build(narrowed, records, compared, curves, scores)
    return answers
