"""The text of another domain: which texts, from what source, and when there are none."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from projects import Project, run_stage
from toys import dataset, write_csv

from stages import check, forgetting_text
from tunebench import config, paths, results
from tunebench.config.schema import Forgetting
from tunebench.data import checking, download
from tunebench.data.forgetting_text import read
from tunebench.data.sources.rows import OpenedSource
from tunebench.errors import ParameterError
from tunebench.paths import Run


@pytest.fixture
def letters(project: Project, valid: dict[str, Any]) -> dict[str, Any]:
    """Parameters whose forgetting text is a data set that the grid does not name."""
    rows = [f"letter {number},{'ab'[number % 2]}" for number in range(20)]
    write_csv(Path("letters/train.csv"), *rows[:8])
    write_csv(Path("letters/test.csv"), *rows[8:])
    valid["datasets"]["letters"] = valid["datasets"]["reviews"] | {"path": "letters"}
    valid["evaluation"]["forgetting"] = {"dataset": "letters", "rows": 6}
    project.write_params(valid)
    return valid


def texts() -> list[str]:
    return [row["text"] for row in results.read_lines(paths.FORGETTING_TEXT)]


def read_again() -> None:
    run_stage(check, Run())
    run_stage(forgetting_text, Run())


def test_texts_are_a_seeded_part_of_the_test_rows(
    letters: dict[str, Any], project: Project
) -> None:
    read_again()
    six = texts()
    assert len(six) == 6
    # stratified: three of each label, whose numbers are even or odd
    assert sum(int(text.removeprefix("letter ")) % 2 for text in six) == 3
    assert all(int(text.removeprefix("letter ")) >= 8 for text in six)
    card = results.read(paths.FORGETTING_CARD)
    assert (card["source"], card["rows"]) == ("letters", {"train": 8, "test": 12})
    assert len(card["sha256"]) == 2

    letters["evaluation"]["forgetting"]["rows"] = 12
    project.write_params(letters)
    read_again()
    assert texts() == [f"letter {number}" for number in range(8, 20)]
    assert set(six) < set(texts())
    assert not list(paths.DATA.glob(".forgetting_text*"))


def test_nothing_is_held_out_unless_it_is_asked_for(project: Project) -> None:
    read_again()
    assert results.read(paths.check("forgetting_text")) == results.read(paths.FORGETTING_CARD) == {}
    assert texts() == []


def test_check_tells_what_the_text_comes_from(letters: dict[str, Any], project: Project) -> None:
    before = checking.check(config.load())["forgetting_text"]
    assert before["forgetting"] == {"dataset": "letters", "rows": 6}
    assert before["source"]["path"] == "letters"
    with Path("letters/test.csv").open("a") as file:
        file.write("letter 20,a\n")
    after = checking.check(config.load())["forgetting_text"]
    assert after["source"] == before["source"]
    assert after["fingerprint"] != before["fingerprint"]

    letters["datasets"]["letters"]["path"] = "lettres"
    project.write_params(letters)
    with pytest.raises(ParameterError) as caught:
        checking.check(config.load())
    assert caught.value.faults == [
        "params.yaml: datasets.letters.path: lettres is not there; did you mean 'letters'?"
    ]


def test_a_fault_of_a_data_set_that_also_runs_is_told_once(
    project: Project, valid: dict[str, Any]
) -> None:
    valid["evaluation"]["forgetting"] = {"dataset": "reviews"}
    valid["datasets"]["reviews"]["path"] = "rows.csv"
    project.write_params(valid)
    with pytest.raises(ParameterError) as caught:
        checking.check(config.load())
    assert len(caught.value.faults) == 1


def test_more_texts_than_there_are(letters: dict[str, Any], project: Project) -> None:
    letters["evaluation"]["forgetting"]["rows"] = 13
    project.write_params(letters)
    run_stage(check, Run())
    done = project.run("forgetting_text")
    assert (done.returncode, done.stderr) == (
        1,
        "error: params.yaml: evaluation.forgetting.rows: 13 is more than the 12 test rows of"
        " 'letters'; use at most that\n",
    )
    assert not paths.FORGETTING_TEXT.exists()


def test_a_revision_is_kept_between_readings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []

    def open_rows(_: Any, pinned: str | None) -> OpenedSource:
        asked.append(pinned)
        rows = [(f"row {n}", {"text": f"text {n}", "label": "ab"[n % 2]}) for n in range(4)]
        return OpenedSource({"train": rows, "test": rows}, revision="0a1b")

    monkeypatch.setattr(download, "source_of", lambda _: SimpleNamespace(open_rows=open_rows))
    monkeypatch.setattr(paths, "DATA", tmp_path)
    wanted = Forgetting(dataset="letters", rows=2)
    first, card = read(dataset("rows"), wanted, {})
    assert read(dataset("rows"), wanted, {}, earlier=card) == (first, card)
    assert asked == [None, "0a1b"]


@pytest.mark.parametrize(
    ("path", "other"), [("letters", True), ({"train": "train.csv", "test": "test.jsonl"}, False)]
)
def test_a_data_set_is_no_other_domain_to_itself(
    path: Any, other: bool, letters: dict[str, Any], project: Project
) -> None:
    letters["datasets"]["letters"]["path"] = path
    project.write_params(letters)
    params = config.load()
    assert (params.forgetting_for("reviews") is not None) == other
    assert params.forgetting_for("letters") is None
