"""What one run answered to its test rows, in the columns that the page needs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
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

    `merits` orders rows, the worst first; `confidences` are probabilities of the answers where
    labels were scored, else None; `scores` the headline metric of each row.
    """

    run: Run
    ids: list[str]
    gold: list[str]
    answers: list[str | None]
    kinds: list[str]
    merits: list[tuple[bool, float]]
    confidences: list[float] | None
    scores: list[float]

    @property
    def labelled(self) -> bool:
        """Whether the answers are labels."""
        return not set(self.kinds) & set(BANDS)

    @property
    def worst(self) -> list[int]:
        """The rows' indices, the worst first."""
        return sorted(range(len(self.ids)), key=self.merits.__getitem__)


def read(run: Run) -> Predictions | None:
    """The answers of a run; None if it has none, as a failed one.

    Raises:
        SourceError: if the file is missing or damaged.
    """
    columns = _first_draw(_columns(paths.predictions(run)))
    if not columns["id"]:
        return None
    summaries = columns["overlap"][0] is not None
    scores = columns["overlap"] if summaries else [
        float(gold == answer)
        for gold, answer in zip(columns["gold"], columns["answer"], strict=True)
    ]  # fmt: skip
    confidences, margins = _sure(columns)
    return Predictions(
        run,
        columns["id"],
        [] if summaries else columns["gold"],  # long texts; the chosen rows are read again
        [] if summaries else columns["answer"],
        list(map(_kind, *(columns[name] for name in ("gold", "answer", "text", "ended")),
                 columns["overlap"])),
        [(not summaries and score == 1, score if summaries else margin)
         for score, margin in zip(scores, margins, strict=True)],
        confidences,
        scores,
    )  # fmt: skip


def _columns(path: Path) -> dict[str, Any]:
    """The columns of a file of predictions, `overlap` of them ROUGE-1, `scores` rows × labels.

    Arrow reads what is needed of 2,000 rows in a tenth of the time of Python's json. What it
    refuses, such as half a character, is read by json, which names a damaged line.
    """
    import pyarrow as pa
    from pyarrow import json as arrow

    labels = _scored_labels(path)
    kinds: dict[str, Any] = {
        "id": pa.string(), "draw": pa.int64(), "gold": pa.string(), "answer": pa.string(),
        "text": pa.string(), "ended": pa.bool_(), "rouge": pa.struct({"rouge1": pa.float64()}),
        **{name: pa.struct(dict.fromkeys(known, pa.float64())) for name, known in labels.items()},
    }  # fmt: skip
    options = arrow.ParseOptions(
        explicit_schema=pa.schema(kinds), unexpected_field_behavior="ignore"
    )
    try:
        block = arrow.ReadOptions(block_size=max(1, path.stat().st_size))
        table = arrow.read_json(path, read_options=block, parse_options=options)
    except (pa.ArrowInvalid, OSError):
        rows = [{name: _whole(row.get(name)) for name in kinds} for row in results.read_lines(path)]
        table = pa.Table.from_pylist(rows, schema=pa.schema(kinds))
    columns = {name: table[name].to_pylist() for name in ("id", "draw", "gold", "answer", "text",
                                                          "ended")}  # fmt: skip
    columns["overlap"] = [row and row["rouge1"] for row in table["rouge"].to_pylist()]
    return columns | {"labels": [], "scores": None} | _matrix(table, labels)


def _scored_labels(path: Path) -> dict[str, list[str]]:
    """The column with the scores that decide, and its labels, as the first row has them."""
    try:
        with path.open(encoding="utf-8") as file:
            first = json.loads(file.readline() or "{}")
    except (OSError, ValueError):
        return {}  # whoever reads the file says what is wrong with it
    for name in ("scores_normalized", "scores"):
        if isinstance(first, dict) and first.get(name):
            return {name: list(first[name])}
    return {}


def _matrix(table: pa.Table, labels: Mapping[str, list[str]]) -> dict[str, Any]:
    import numpy as np

    for name, known in labels.items():
        fields = table[name].combine_chunks().flatten()
        return {"labels": known, "scores": np.array([field.to_numpy(zero_copy_only=False)
                                                     for field in fields]).T}  # fmt: skip
    return {}


def _whole(value: Any) -> Any:
    """A text that is valid UTF-8: half of a surrogate pair is a question mark."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _first_draw(columns: dict[str, Any]) -> dict[str, Any]:
    """The rows of the first draw, with which a file begins."""
    count = sum(not draw for draw in columns.pop("draw"))
    labels = columns.pop("labels")
    return {"labels": labels} | {
        name: None if column is None else column[:count] for name, column in columns.items()
    }


def _sure(columns: Mapping[str, Any]) -> tuple[list[float] | None, list[float]]:
    """The probability of each answer, and the gold label's margin to it; 0 without scores.

    Probabilities are a softmax over the labels, as in `metrics.calibration`.
    """
    import numpy as np

    if columns["scores"] is None:
        return None, [0.0] * len(columns["id"])
    place = {label: index for index, label in enumerate(columns["labels"])}
    rows, scores = np.arange(len(columns["id"])), columns["scores"]
    gold, answered = (
        scores[rows, [place[label] for label in columns[name]]] for name in ("gold", "answer")
    )
    confidences = 1 / np.exp(np.minimum(scores - answered[:, None], 0)).sum(axis=1)
    return confidences.tolist(), (gold - answered).tolist()


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
