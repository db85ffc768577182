"""Scores on each test row: read by Arrow, or by json where Arrow refuses the file."""

import json
from pathlib import Path
from typing import Any

import pytest

from tunebench import paths, results
from tunebench.errors import EvaluationError, SourceError
from tunebench.paths import Run
from tunebench.report import row_scores
from tunebench.report.row_scores import ScoreBook


def row(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": f"test-{number}", "gold": "a", "answer": "a", **fields}


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return path


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"prompt": "half a character \ud83d"},  # Arrow refuses the file
        {"id": 7},  # and a number, where it is to read text
        {"prompt": "x" * 3_000_000},  # longer than Arrow's block, if that were not the file's size
    ],
)
def test_accuracy_by_either_reader(tmp_path: Path, more: dict[str, Any]) -> None:
    rows = [row(0), row(1, answer=None), row(2, answer="b"), row(3, gold="b", answer="b", **more)]
    found = row_scores.read(written(tmp_path / "rows.jsonl", rows), "accuracy")
    assert found.draws == [[1.0, 0.0, 0.0, 1.0]]
    assert found.ids == [str(each["id"]) for each in rows]
    assert found.frequent == ("a", 0.75)


def test_rouge_and_draws(tmp_path: Path) -> None:
    rows = [
        row(number, draw=draw, rouge={"rouge1": number / 4 + draw / 8, "rouge2": 1.0})
        for number in range(2)
        for draw in range(2)
    ]
    found = row_scores.read(written(tmp_path / "rows.jsonl", rows), "rouge1")
    assert found.ids == ["test-0", "test-1"]
    assert found.draws == [[0.0, 0.25], [0.125, 0.375]]


def test_faults(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.jsonl", [row(0)])
    assert row_scores.read(written(tmp_path / "none.jsonl", []), "accuracy").draws == []
    path.write_text(path.read_text() + '{"id": "test-1", \n')
    with pytest.raises(SourceError, match=r"is damaged: line \d"):
        row_scores.read(path, "accuracy")
    with pytest.raises(SourceError, match="is not there yet"):
        row_scores.read(tmp_path / "missing.jsonl", "accuracy")
    written(path, [row(0, draw=0), row(1, draw=1)])
    with pytest.raises(EvaluationError, match="its draws are of different test rows"):
        row_scores.read(path, "accuracy")


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run, other = Run("tiny", "reviews", "zero_shot"), Run("tiny", "reviews", "few_shot")
    results.write_lines(paths.predictions(run), [row(0), row(1)])
    results.write_lines(paths.predictions(other), [])
    scores = ScoreBook()
    assert scores.of([run], "accuracy") == [[1.0, 1.0]]
    paths.predictions(run).unlink()
    assert scores.of([run], "accuracy") == [[1.0, 1.0]]
    assert scores.of([run, other], "accuracy") == []  # one of the two has no score
