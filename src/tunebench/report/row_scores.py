"""A run's score on each test row, from its predictions; what paired tests compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebench import metrics, paths, results
from tunebench.errors import EvaluationError
from tunebench.paths import Run

if TYPE_CHECKING:
    import pyarrow as pa

ACCURACY = metrics.HEADLINE["classification"]


@dataclass(frozen=True)
class RowScores:
    """Scores in [0, 1], draws of solved examples × test rows: one draw for most runs.

    `ids` are those of the rows; `frequent` is the gold answer of most rows, with its share.
    """

    ids: list[str]
    draws: list[list[float]]
    frequent: tuple[str, float] = ("", 0.0)


@dataclass
class ScoreBook:
    """The scores of a study's runs, each file read once; a data set's runs answer the same rows."""

    _read: dict[tuple[Run, str], RowScores] = field(default_factory=dict)
    _first: dict[str, tuple[Path, list[str]]] = field(default_factory=dict)

    def of(self, runs: Iterable[Run], metric: str) -> list[list[float]]:
        """A metric on each row, one list for each seed and draw; empty if a run has no score.

        Raises:
            SourceError: if predictions are missing or damaged.
            EvaluationError: if they are of other test rows than those of another run.
        """
        draws = [self._scores(run, metric).draws for run in runs]
        return [draw for of_run in draws for draw in of_run] if all(draws) else []

    def frequent(self, run: Run, metric: str) -> tuple[str, float]:
        """The gold answer of most test rows, and its share of them."""
        return self._scores(run, metric).frequent

    def _scores(self, run: Run, metric: str) -> RowScores:
        if (run, metric) not in self._read:
            self._read[run, metric] = self._checked(run, read(paths.predictions(run), metric))
        return self._read[run, metric]

    def _checked(self, run: Run, scores: RowScores) -> RowScores:
        path = paths.predictions(run)
        if scores.draws:
            first, ids = self._first.setdefault(run.dataset, (path, scores.ids))
            if scores.ids != ids:
                raise EvaluationError(
                    f"{path}: is of other test rows than {first}; run `dvc repro`"
                )
        return RowScores(self._first.get(run.dataset, (path, []))[1], scores.draws, scores.frequent)


def read(path: Path, metric: str) -> RowScores:
    """The scores in a file of predictions; without draws where the run has no score.

    Raises:
        SourceError: if the file is missing or damaged.
        EvaluationError: if its draws are of different rows.
    """
    table = _columns(path, metric)
    if table["id"] and not any(table["draw"]):  # most runs have one draw
        return RowScores(table["id"], [table["score"]], _frequent(table["gold"]))
    by_draw: dict[int, list[int]] = {}
    for index, draw in enumerate(table["draw"]):
        by_draw.setdefault(draw or 0, []).append(index)
    ids = [[table["id"][index] for index in rows] for rows in by_draw.values()]
    if any(each != ids[0] for each in ids):
        raise EvaluationError(f"{path}: its draws are of different test rows; run `dvc repro`")
    draws = [[table["score"][index] for index in rows] for rows in by_draw.values()]
    return RowScores(ids[0] if ids else [], draws, _frequent(table["gold"]))


def _frequent(gold: Sequence[str]) -> tuple[str, float]:
    if not gold:
        return "", 0.0
    label, count = Counter(gold).most_common(1)[0]
    return label, count / len(gold)


def _columns(path: Path, metric: str) -> dict[str, list[Any]]:
    """The columns `id`, `draw`, `gold` and `score`, of all rows.

    Arrow reads 2,000 rows of 800 bytes in 6 ms, Python's json in 18 ms. What Arrow refuses,
    such as half a character or an empty file, is read by json, which names the damaged line.
    """
    import pyarrow as pa

    try:
        table = _by_arrow(path, metric)
    except (pa.ArrowInvalid, OSError):
        rows = results.read_lines(path)
        return {
            "id": [str(row["id"]) for row in rows],
            "draw": [row.get("draw", 0) for row in rows],
            "gold": [row["gold"] for row in rows],
            "score": [
                float(row["answer"] == row["gold"])
                if metric == ACCURACY
                else float(row["rouge"][metric])
                for row in rows
            ],
        }
    return {name: table[name].to_pylist() for name in table.column_names}


def _by_arrow(path: Path, metric: str) -> pa.Table:
    import pyarrow as pa
    from pyarrow import compute, json

    schema = pa.schema(
        {
            "id": pa.string(), "draw": pa.int64(), "gold": pa.string(), "answer": pa.string(),
            "rouge": pa.struct({metric: pa.float64()}),
        }
    )  # fmt: skip
    table = json.read_json(
        path,
        read_options=json.ReadOptions(block_size=max(1, path.stat().st_size)),
        parse_options=json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    )
    if metric == ACCURACY:
        right = compute.equal(table["answer"], table["gold"])  # null without an answer
        score = compute.cast(compute.fill_null(right, False), pa.float64())
    else:
        score = compute.struct_field(table["rouge"], metric)
    return table.select(["id", "draw", "gold"]).append_column("score", score)
