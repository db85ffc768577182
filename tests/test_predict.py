"""`tunebench predict`: new rows are answered as evaluate answers, and a killed run goes on."""

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from projects import environment
from typer.testing import CliRunner
from winners import FEW_SHOT, LORA, WRITER, finish, make

from tunebench import paths, results
from tunebench.cli import app
from tunebench.paths import Run
from tunebench.winner import partial, predicting, runs, written
from tunebench.winner.predicting import Source


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("predict")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make(folder, model_folder)
        finish(LORA, WRITER, FEW_SHOT)
        yield folder


@pytest.fixture
def place(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for outputs; the working directory is the study's."""
    monkeypatch.chdir(study)
    return tmp_path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def predict(run: Run, source: str | Path, out: Path, **options: Any) -> predicting.Counts:
    return predicting.predict(runs.ready(run), Source(Path(source)), out, **options)


@pytest.mark.parametrize("run", [LORA, WRITER, FEW_SHOT], ids=str)
def test_the_test_rows_are_answered_as_evaluate_did(run: Run, place: Path) -> None:
    counts = predict(run, "test.csv", place / "out.jsonl")
    expected = results.read_lines(paths.predictions(run))
    predicted = read(place / "out.jsonl")
    key = "text" if run is WRITER else "answer"
    assert [row[key] for row in predicted] == [row["answer"] for row in expected]
    assert [row.get("scores") for row in predicted] == [row.get("scores") for row in expected]
    assert [row["id"] for row in predicted] == [str(number) for number in range(1, 9)]
    # with solved examples, other rows are cut too
    assert (counts.rows, counts.empty, counts.cut >= 1) == (8, 0, True)
    assert len(expected) == 8


def test_probability_is_the_softmax_of_the_scores() -> None:
    answer = {"answer": "a", "scores": {"a": -1.0, "b": -1.0, "c": -1000.0}}
    assert written.probability(answer) == 0.5
    assert written.probability(answer | {"scores_normalized": {"a": 0.0}}) == 1.0


def test_rows_in_chunks_stand_in_the_file_s_order(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [{"text": text, "name": name} for text, name in
             [("a dull story", "x"), ("", "é"), (" \n", "y,z"), ("funny", "w")]]  # fmt: skip
    source = place / "new.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setattr(predicting, "CHUNK_ROWS", 3)
    counts = predicting.predict(
        runs.ready(LORA), Source(source, id_column="name"), place / "out.csv"
    )
    with (place / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["x", "é", "y,z", "w"]
    assert [bool(row["answer"]) for row in rows] == [True, False, False, True]
    assert [0 < float(row["probability"]) <= 1 for row in rows if row["answer"]] == [True] * 2
    assert (counts.rows, counts.empty, sum(counts.answers.values())) == (4, 2, 2)
    assert sorted(path.name for path in place.iterdir()) == ["new.jsonl", "out.csv"]


class Killed(BaseException):
    """What no code handles."""


@pytest.mark.parametrize("run", [LORA, WRITER], ids=str)
def test_a_killed_prediction_goes_on(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict(run, "test.csv", place / "whole.jsonl")
    monkeypatch.setattr(predicting, "CHUNK_ROWS", 3)
    predict(run, "test.csv", place / "chunks.jsonl")

    answered: list[int] = []
    keep = partial.Batches.__setitem__

    def killed_after_five(batches: partial.Batches, index: int, row: list[Any]) -> None:
        keep(batches, index, row)
        answered.append(index)
        if len(answered) == 5:
            raise Killed

    monkeypatch.setattr(partial.Batches, "__setitem__", killed_after_five)
    with pytest.raises(Killed):
        predict(run, "test.csv", place / "out.jsonl")
    kept = place / "out.jsonl.partial"
    assert len(read(kept / "rows")) == 3
    assert len((kept / "batches.jsonl").read_text().splitlines()) == 2
    with (kept / "batches.jsonl").open("a") as file:
        file.write("[1, 2, [0.")  # cut in the middle of a write
    answered.clear()
    monkeypatch.setattr(
        partial.Batches, "__setitem__",
        lambda batches, index, row: (keep(batches, index, row), answered.append(index))[0],
    )  # fmt: skip
    predict(run, "test.csv", place / "out.jsonl")
    assert (place / "out.jsonl").read_bytes() == (place / "chunks.jsonl").read_bytes()
    assert not kept.exists()


COMMAND = [sys.executable, "-c", "from tunebench.cli import app; app()", "predict", str(LORA)]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_killed_is_gone_on_with(number: signal.Signals, place: Path) -> None:
    source = place / "new.csv"
    texts = [f"the film was warm and funny {index}" for index in range(1500)]
    source.write_text("\n".join(["text", *texts]) + "\n")
    whole, out = place / "whole.jsonl", place / "out.jsonl"
    subprocess.run(
        [*COMMAND, source, "--out", whole], env=environment(), check=True, capture_output=True
    )
    process = subprocess.Popen(
        [*COMMAND, source, "--out", out],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    batches = place / "out.jsonl.partial" / "batches.jsonl"
    while not (batches.exists() and batches.stat().st_size) and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(number)
    said = process.communicate(timeout=60)[0]
    assert process.returncode in (-number, 128 + number), said
    assert "Traceback" not in said
    before = len(batches.read_text().splitlines())
    assert 0 < before < 1500
    subprocess.run(
        [*COMMAND, source, "--out", out], env=environment(), check=True, capture_output=True
    )
    assert out.read_bytes() == whole.read_bytes()


def test_finished_batches_are_not_run_again() -> None:
    from tunebench.answering.resuming import resumed

    asked: list[list[int]] = []

    def work(indices: list[int]) -> list[list[int]]:
        asked.append(indices)
        return [[index * 10] for index in indices]

    finished = {0: [0], 1: [10], 3: [30]}
    run = resumed(work, finished)
    assert run([1, 0]) == [[10], [0]]
    assert run([3, 2]) == [[30], [20]]
    assert asked == [[3, 2]]
    assert finished[2] == [20]


def test_an_interrupted_prediction_of_other_rows_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(predicting.Partial, "finish", killed)
        with pytest.raises(Killed):
            predict(LORA, "test.csv", place / "out.jsonl")
    shown = invoke(LORA, "train.csv", "--out", place / "out.jsonl")
    assert shown.exit_code == 1
    assert "out.jsonl.partial: holds rows that were answered with another file;" in shown.output
    assert predict(LORA, "train.csv", place / "out.jsonl", force=True).rows == 12


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def test_an_input_that_changes_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = place / "new.csv"
    source.write_text("text\nfunny\n")
    answers = predicting._Answerer.answers

    def written_meanwhile(*given: Any) -> Any:
        source.write_text("text\nfunny\nwarm\n")
        return answers(*given)

    monkeypatch.setattr(predicting._Answerer, "answers", written_meanwhile)
    shown = invoke(LORA, source, "--out", place / "out.csv")
    assert (shown.exit_code, list(place.iterdir())) == (1, [source])
    assert f"error: {source}: changed while it was read; run again when" in shown.output


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("message\nfunny\n", [], "new.csv: line 2: there is no column 'text'; choose from:"),
        ("text\n", [], "new.csv: holds no rows;"),
        ("text\ncaf\xe9\n", [], "it looks like cp1252: if it is, give --encoding cp1252"),
        ("text\nfunny\n", ["--id", "nr"], "there is no column 'nr'; choose from: text"),
        ("text\nfunny\n", ["--out", "x.xlsx"], "--out: x.xlsx is of an unknown kind;"),
        ("text\nfunny\n", ["--out", "test.csv"], "--out: test.csv exists; name another, or"),
        ("text\nfunny\n", ["--encoding", "utf-9"], "encoding: 'utf-9' is no encoding"),
    ],
)
def test_faults_of_input_and_output(
    content: str, options: list[str], message: str, place: Path
) -> None:
    source, before = place / "new.csv", sorted(Path().iterdir())
    source.write_text(content, encoding="latin-1")
    given = options if "--out" in options else [*options, "--out", str(place / "out.csv")]
    shown = invoke(LORA, source, *given)
    assert (shown.exit_code, shown.output.count("error: ")) == (1, 1)
    assert message in shown.output
    assert sorted(Path().iterdir()) == before
    assert list(place.iterdir()) == [source]


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("tiny/reviews/full/1.0-0",
         "is not trained yet; run: dvc repro evaluate@tiny-reviews-full-1.0-0"),
        ("tiny/reviews/lora/0.5-0", "grid.train_sizes of params.yaml has no 0.5;"),
        ("tiny/reviews/lora", "is tuned; add its size and seed, as tiny/reviews/lora/1.0-0"),
        ("tiny/reviews/few_shot/1.0-0", "is a prompting method, without a size"),
        ("tiny/review/lora/1.0-0", "defines no data set 'review'; did you mean 'reviews'?"),
        ("reviews", "'reviews' names no run"),
    ],
)  # fmt: skip
def test_runs_that_are_not_ready(run: str, message: str, place: Path) -> None:
    shown = invoke(run, "test.csv", "--out", place / "out.csv")
    assert shown.exit_code == 1
    assert message in shown.output


def test_a_run_of_other_settings_is_refused(place: Path) -> None:
    path = Path("params.yaml")
    earlier = path.read_text()
    assert "learning_rate: 0.01" in earlier
    path.write_text(earlier.replace("learning_rate: 0.01", "learning_rate: 0.02"))
    try:
        shown = invoke(LORA, "test.csv", "--out", place / "out.csv")
    finally:
        path.write_text(earlier)
    assert shown.exit_code == 1
    assert (
        "data/adapters/tiny/reviews/lora/1.0-0/run.json: was made with another method than"
        " params.yaml has; run: dvc repro evaluate@tiny-reviews-lora-1.0-0"
    ) in shown.output
