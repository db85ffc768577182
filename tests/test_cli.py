"""`tunebench show`: one run, its worst answers first; and `tunebench experiments`."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tunebench import paths, results
from tunebench.cli import app
from tunebench.errors import ParameterError
from tunebench.paths import Run
from tunebench.report import experiments

RUN = Run("tiny", "reviews", "qlora", 0.1, 0)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [
        {
            "id": f"test-{number}",
            "answer": answer,
            "gold": "negative",
            "prompt": "Is it good?\nIt is.",
            "scores": {"negative": -1.5, "positive": sure},
            "tokens_in": 9,
        }
        for number, (answer, sure) in enumerate(
            [("negative", -2.0), ("positive", -1.0), ("positive", -0.5), ("negative", -3.0)]
        )
    ]
    results.write_lines(paths.predictions(RUN), rows)
    results.write(paths.predictions_provenance(RUN), {"settings": {"method": {"kind": "peft"}}})
    results.write(
        paths.evaluation(RUN), {"accuracy": 0.5, "per_class": {"negative": {"recall": 0.5}}}
    )


@pytest.mark.usefixtures("made")
def test_show_prints_metrics_settings_and_the_surest_wrong_answer_first() -> None:
    shown = CliRunner().invoke(app, ["show", str(RUN), "--worst", "1"])

    assert shown.exit_code == 0
    assert shown.output.splitlines() == [
        "tiny/reviews/qlora/0.1-0",
        "  accuracy: 0.5",
        "  per_class",
        "    negative",
        "      recall: 0.5",
        "settings",
        '  method: {"kind": "peft"}',
        "",
        "test-2  (9 tokens)",
        "  Is it good?",
        "  It is.",
        "  answer: positive",
        "  gold:   negative",
        "  scores: positive -0.500, negative -1.500",
    ]


@pytest.mark.usefixtures("made")
def test_summaries_with_the_least_rouge_come_first() -> None:
    rows = [
        {
            "id": f"test-{number}",
            "prompt": "Chat",
            "answer": "written",
            "gold": "right",
            "tokens_in": 3,
            "rouge": {"rouge1": score, "rouge2": 0.0},
        }
        for number, score in enumerate([0.5, 0.25, 0.75])
    ]
    results.write_lines(paths.predictions(RUN), rows)
    lines = CliRunner().invoke(app, ["show", str(RUN), "--worst", "2"]).output.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("test-")] == ["test-1", "test-0"]
    assert "  rouge1 0.250, rouge2 0.000" in lines


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tiny", "'tiny' names no run; write model/dataset/method[/size-seed]"),
        (
            "tiny/reviews/lora/0.1-0",
            "lora/0.1-0/predictions.jsonl: is not there yet; run `dvc repro`",
        ),
    ],
)
def test_show_names_the_fault(name: str, message: str) -> None:
    shown = CliRunner().invoke(app, ["show", name])

    assert shown.exit_code == 1
    assert message in shown.output


@pytest.mark.parametrize("size", [50, 0.1, 1.0, 1e-05])
def test_a_run_reads_back_from_its_name(size: int | float) -> None:
    run = Run("m", "d", "x", size, 3)
    assert Run.parse(str(run)) == run
    assert type(Run.parse(str(run)).train_size) is type(size)


def test_only_runs_with_rows_of_their_own_have_size_and_seed() -> None:
    assert Run("tiny", "reviews", "lora", 50, 3).sized == (50, 3)
    with pytest.raises(ParameterError, match=r"tiny/reviews/few_shot: has no rows of its own"):
        _ = Run("tiny", "reviews", "few_shot").sized


EXPORTED = """\
Experiment,rev,typ,Created,metrics/summary/posts/qlora-1.0.json:accuracy,\
metrics/summary/posts/qlora-1.0.json:train_s,metrics/summary/chats/qlora-1.0.json:status,\
metrics/summary/chats/qlora-1.0.json:rouge1,methods.qlora.adapter.target_modules,\
data/predictions,metrics/train
,main,baseline,2026-01-01,0.8725,7.5,ok,0.61,"['q_proj', 'v_proj']",a.dir,b.dir
wide,920a551,branch_base,2026-01-02,0.5,9.5,out of memory,,all-linear,c.dir,d.dir
"""


def test_experiments_stand_side_by_side() -> None:
    assert experiments.side_by_side(EXPORTED) == [
        ["", "main", "wide"],
        ["methods.qlora.adapter.target_modules", "['q_proj', 'v_proj']", "all-linear"],
        ["chats/qlora-1.0 rouge1", "0.61", ""],
        ["chats/qlora-1.0 status", "ok", "out of memory"],
        ["posts/qlora-1.0 accuracy", "0.8725", "0.5"],
    ]


def test_experiments_outside_of_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, ["experiments"])
    assert shown.exit_code == 1
    assert shown.output.startswith("error: you are not inside of a DVC repository")
