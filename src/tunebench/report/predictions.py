"""What one run answered to its test rows, as the page and the confusion matrices need it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from typing import TYPE_CHECKING, Any

from tunebench import paths, results
from tunebench.paths import Run

if TYPE_CHECKING:
    import pyarrow as pa

RIGHT, WRONG = "right", "wrong label"
NO_LABEL, EMPTY, CUT = "not a label", "no answer", "cut off at the token limit"
# of whole summaries, by their headline metric
BANDS = ("ROUGE-1 below 25", "ROUGE-1 25 to 50", "ROUGE-1 50 to 75", "ROUGE-1 from 75")
LONGEST_TEXT = 1200  # characters of a text on the page
LONGEST_ANSWER = 500


@dataclass(frozen=True)
class Predictions:
    """A run's answers, row by row; of several draws of solved examples the first.

    `gold` and `answers` are labels, and empty where texts are written; `unread` has the texts that
    name no label, by row. `merits` orders rows, the worst first; `confidences` are probabilities of
    the answers where labels were scored, else None; `scores` the headline metric of each row.
    """

    run: Run
    rows: int
    gold: list[str]
    answers: list[str | None]
    unread: dict[int, str]
    kinds: list[str]
    merits: list[tuple[bool, float]]
    confidences: list[float] | None
    scores: list[float]

    @property
    def labelled(self) -> bool:
        """Whether the answers are labels."""
        return bool(self.answers)

    @property
    def worst(self) -> list[int]:
        """The rows' indices, the worst first."""
        return sorted(range(self.rows), key=self.merits.__getitem__)


def read(run: Run) -> Predictions | None:
    """The answers of a run; None if it has none, as a failed one.

    Raises:
        SourceError: if the file is missing or damaged.
    """
    labels, table = _table(paths.predictions(run))
    rows = table.num_rows
    if not rows:
        return None
    gold, answers, texts, ended = (
        _values(table[name]) for name in ("gold", "answer", "text", "ended")
    )
    overlaps = _values(table["rouge"])
    summaries = overlaps[0] is not None
    right = [answer == own for answer, own in zip(answers, gold, strict=True)]
    scores = overlaps if summaries else list(map(float, right))
    confidences, margins = _sure(table, labels, gold, answers)
    merits = [(False, score) for score in scores] if summaries else list(
        zip(right, margins, strict=True)
    )  # fmt: skip
    return Predictions(
        run, rows,
        [] if summaries else gold,  # long texts; the chosen rows are read again
        [] if summaries else answers,
        {row: text or "" for row, text in enumerate(texts)
         if answers[row] is None and not summaries},
        list(map(_kind, gold, answers, texts, ended, overlaps)),
        merits, confidences, scores,
    )  # fmt: skip


def _table(path: Path) -> tuple[list[str], pa.Table]:
    """The labels that were scored, and the rows of the first draw.

    Arrow reads what is needed of 2,000 rows in a tenth of the time of Python's json. What it
    refuses, such as half a character, is read by json, which names a damaged line.
    """
    import pyarrow as pa
    from pyarrow import compute
    from pyarrow import json as arrow

    name, labels = _scored(path)
    kinds: dict[str, Any] = {
        "draw": pa.int64(), "gold": pa.string(), "answer": pa.string(), "text": pa.string(),
        "ended": pa.bool_(), "rouge": pa.struct({"rouge1": pa.float64()}),
        name: pa.struct(dict.fromkeys(labels, pa.float64())),
    }  # fmt: skip
    schema = pa.schema(kinds)
    options = arrow.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    try:
        block = arrow.ReadOptions(block_size=max(1, path.stat().st_size))
        table = arrow.read_json(path, read_options=block, parse_options=options)
    except (pa.ArrowInvalid, OSError):
        rows = [{key: _whole(row.get(key)) for key in kinds} for row in results.read_lines(path)]
        table = pa.Table.from_pylist(rows, schema=schema)
    # draws follow one another in the file
    table = table.filter(compute.equal(compute.fill_null(table["draw"], 0), 0))
    overlap = compute.struct_field(table["rouge"], "rouge1")
    place = table.column_names.index("rouge")
    return labels, table.set_column(place, "rouge", overlap).rename_columns(
        ["scores" if column == name else column for column in table.column_names]
    )


def _scored(path: Path) -> tuple[str, list[str]]:
    """The column with the scores that decide, and its labels, as the first row has them."""
    try:
        with path.open(encoding="utf-8") as file:
            first = json.loads(file.readline() or "{}")
    except (OSError, ValueError):
        first = {}  # whoever reads the file says what is wrong with it
    for name in ("scores_normalized", "scores"):
        if isinstance(first, dict) and first.get(name):
            return name, list(first[name])
    return "scores", []


def _values(column: pa.ChunkedArray) -> list[Any]:
    """A column as Python's values, each text once: runs repeat their labels thousands of times."""
    if column.null_count == len(column):
        return [None] * len(column)
    coded = column.combine_chunks()
    if str(coded.type) != "string":
        return list(coded.to_pylist())
    coded = coded.dictionary_encode()
    known = [*map(intern, coded.dictionary.to_pylist()), None]
    return [known[code] for code in coded.indices.fill_null(-1).to_numpy().tolist()]


def _whole(value: Any) -> Any:
    """A text that is valid UTF-8: half of a surrogate pair is a question mark."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _sure(
    table: pa.Table, labels: Sequence[str], gold: Sequence[str], answers: Sequence[str]
) -> tuple[list[float] | None, list[float]]:
    """The probability of each answer, and the gold label's margin to it; 0 without scores.

    Probabilities are a softmax over the labels, as in `metrics.calibration`.
    """
    import numpy as np

    if not labels:
        return None, [0.0] * len(gold)
    fields = table["scores"].combine_chunks().flatten()
    scores = np.array([field.to_numpy(zero_copy_only=False) for field in fields]).T
    place, rows = {label: index for index, label in enumerate(labels)}, np.arange(len(gold))
    own, answered = (scores[rows, [place[label] for label in column]] for column in (gold, answers))
    confidences = 1 / np.exp(np.minimum(scores - answered[:, None], 0)).sum(axis=1)
    return confidences.tolist(), (own - answered).tolist()


def texts(run: Run, indices: Sequence[int]) -> list[dict[str, Any]]:
    """The rows at these indices, with `text_of_row`: the prompt without what all of them share.

    Draws follow one another in the file, so that the first rows are those of the first draw.
    """
    wanted = set(indices)
    with paths.predictions(run).open(encoding="utf-8") as file:
        rows = {index: json.loads(line) for index, line in enumerate(file) if index in wanted}
    prompts = [row["prompt"] for row in rows.values()]
    start, end = _frame(prompts)
    return [
        rows[index] | {"text_of_row": rows[index]["prompt"][start : end or None]}
        for index in indices
    ]


def _frame(prompts: Sequence[str]) -> tuple[int, int]:
    """How much all prompts begin and end with, to the nearest line: instruction and headings."""
    if len(prompts) < 2:
        return 0, 0
    before = _shared(prompts)
    after = _shared([prompt[::-1] for prompt in prompts])[::-1]
    start = before.rfind("\n") + 1
    tail = len(after) - after.find("\n") if "\n" in after else 0
    shortest = min(map(len, prompts))
    return (start, -tail) if start + tail < shortest else (0, 0)


def _shared(texts: Sequence[str]) -> str:
    """What all texts begin with: what the first and the last in order do."""
    first, last = min(texts), max(texts)
    same = (index for index, pair in enumerate(zip(first, last, strict=False)) if len({*pair}) > 1)
    return first[: next(same, len(first))]


def cut(text: str, length: int) -> str:
    """A text of at most that many characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _kind(
    gold: str, answer: str | None, text: str | None, ended: bool | None, overlap: float | None
) -> str:
    written = answer if text is None else text
    if overlap is None and answer == gold:
        return RIGHT
    if not (written or "").strip():
        return EMPTY
    if ended is False:
        return CUT
    if overlap is not None:
        return BANDS[min(3, int(4 * overlap))]
    return NO_LABEL if answer is None else WRONG
