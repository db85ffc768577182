"""The epoch that is tested, with answers that need no model."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tunebench.config.schema import Evaluation
from tunebench.errors import EvaluationError
from tunebench.evaluation import Answering, Outcome, selection
from tunebench.prompts import Prompt

# accuracy of each epoch on the rows of each split
ACCURACY = {
    "validation": {"1": 0.5, "2": 0.75, "10": 0.75},
    "test": {"1": 0.6, "2": 0.55, "10": 0.9},
}


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    for epoch in ACCURACY["test"]:
        (tmp_path / "epochs" / epoch).mkdir(parents=True)
    return tmp_path


def evaluate(
    trained: Path, make_prompts: Callable[..., list[Prompt]], select: Any
) -> tuple[Outcome, list[tuple[str, str]]]:
    asked = []

    def answer(rows: Sequence[Prompt], folder: Path) -> Outcome:
        split, epoch = rows[0].split, folder.name
        asked.append((split, epoch))
        accuracy = ACCURACY[split].get(epoch, 0.8)
        return Outcome({"accuracy": accuracy}, [{"answered_by": epoch}], folder)

    how = Answering(["positive", "negative"], Evaluation(select=select), {})
    splits = {split: make_prompts(3, split=split) for split in ACCURACY}
    return selection.evaluate(answer, how, trained, **splits), asked


def test_last_is_what_training_ended_with(trained: Path, make_prompts: Any) -> None:
    outcome, asked = evaluate(trained, make_prompts, "last")
    assert outcome.metrics == {"accuracy": 0.8}
    assert outcome.trained == trained
    assert asked == [("test", trained.name)]


def test_validation_rows_choose_the_earliest_of_equals(trained: Path, make_prompts: Any) -> None:
    outcome, asked = evaluate(trained, make_prompts, "best_validation")
    assert outcome.trained == trained / "epochs" / "2"
    assert outcome.predictions == [{"answered_by": "2"}]
    assert outcome.metrics == {
        "accuracy": 0.55,
        "epoch": 2,
        "epoch_chosen_on": "validation",
        "optimistic": False,
        "epochs": {"1": {"accuracy": 0.5}, "2": {"accuracy": 0.75}, "10": {"accuracy": 0.75}},
    }
    # the test rows are looked at once, by the epoch that was chosen
    assert [epoch for split, epoch in asked if split == "test"] == ["2"]


def test_choice_on_test_rows_is_called_optimistic(trained: Path, make_prompts: Any) -> None:
    outcome, asked = evaluate(trained, make_prompts, "best_test")
    assert outcome.trained == trained / "epochs" / "10"
    assert outcome.metrics["accuracy"] == 0.9
    assert outcome.metrics["epoch"] == 10
    assert outcome.metrics["epoch_chosen_on"] == "test"
    assert outcome.metrics["optimistic"]
    assert asked == [("test", "1"), ("test", "2"), ("test", "10")]


def test_no_epoch_was_kept(tmp_path: Path, make_prompts: Any) -> None:
    with pytest.raises(EvaluationError, match="holds no epoch to choose from"):
        evaluate(tmp_path, make_prompts, "best_validation")
