"""`tunebench init FILE`: what it says is what `download` finds, and what it writes runs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from projects import VALID, Project, environment
from repository import Repository, small_study
from repository import environment as repository_environment
from typer.testing import CliRunner, Result

from tunebench import config
from tunebench.cli import app
from tunebench.data import checking, download
from tunebench.init import audit, columns, entry, survey
from tunebench.init.answers import Answers

ROWS = [
    (f"please help me with the {word} of order {row}", queue)
    for row in range(20)
    for word, queue in (("invoice", "billing"), ("crash", "support"), ("price", "sales"))
]


def write(path: str, rows: list[tuple[Any, ...]], header: str = "message,queue") -> str:
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def init(*options: str) -> Result:
    return CliRunner().invoke(app, ["init", *options])


VARIANTS = [
    (text, queue.title() if row % 4 == 0 else queue) for row, (text, queue) in enumerate(ROWS)
]
EMPTY = [(text * (row % 7 > 0), queue * (row % 5 > 0)) for row, (text, queue) in enumerate(ROWS)]
FILES: dict[str, list[tuple[Any, ...]]] = {
    "plain": ROWS,
    "repeated": [*ROWS, *ROWS[:9], (ROWS[0][0], "sales")],
    "variants": VARIANTS,
    "spellings": [(text, f" {queue}\u00a0") for text, queue in ROWS[:30]] + ROWS[30:],
    "empty": EMPTY,
    "numbers": [(text, row % 3) for row, (text, _) in enumerate(ROWS)],
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("tested", [False, True])
def test_init_says_what_download_finds(
    name: str, tested: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answers = Answers(write("rows.csv", FILES[name]))
    if tested:
        test = [(f"{text} today", queue) for text, queue in FILES[name][:8] if text] + ROWS[:2] * (
            name != "numbers"
        )
        answers = Answers("rows.csv", test=write("test.csv", test))
    roles = columns.choose(survey.survey(answers), answers)
    found = audit.audit(entry.dataset(entry.reading(answers, roles)))
    card = download.download(entry.dataset(entry.reading(answers, roles, found)), {}, tmp_path)
    assert found.rows == card["rows"]
    assert sorted(found.labels) == sorted(card["labels"])
    assert found.labels.total() == sum(card["rows"].values())
    in_test = "train: stands in the test rows"
    dropped = {reason: rows for reason, rows in card["rows_dropped"].items() if reason != in_test}
    assert found.dropped == dropped
    assert bool(found.test_rows_in_train) == (in_test in card["rows_dropped"])
    assert len(found.merged) == (3 if name == "variants" else 0)
    if not found.test_rows_in_train:
        assert found.train_duplicates == card["train_duplicates"]
        assert found.train_contradictions == card["train_contradictions"]


def test_what_is_written_passes_check_and_keeps_the_rest(project: Project) -> None:
    old = Path("params.yaml").read_text(encoding="utf-8")
    done = init(write("tickets.csv", ROWS), "--yes")
    assert done.exit_code == 0, done.output
    params = config.load()
    checking.check(params)
    assert (params.study, params.grid.datasets, params.grid.models) == (
        "tickets",
        ["tickets"],
        ["tiny"],
    )
    assert (params.grid.prompting, params.grid.tuning) == (["zero_shot"], ["lora"])
    assert "no few-shot prompting: 2 examples and a text have" in done.output
    assert params.grid.train_sizes == [10, 1.0]  # 48 training rows
    assert params.inference.timing.train_size == 1.0
    dataset = params.datasets["tickets"]
    assert dataset.columns.model_dump(exclude_none=True) == {"text": "message", "label": "queue"}
    assert dataset.instruction.endswith(": billing, sales, support.")
    assert set(params.datasets) == {"reviews", "tickets"}
    removed = set(old.splitlines()) - set(Path("params.yaml").read_text("utf-8").splitlines())
    assert len(removed) == 9  # of study and grid
    again = init("tickets.csv", "--yes")
    assert (again.exit_code, "params.yaml has all of this already" in again.output) == (0, True)


def test_nothing_is_written_unasked(project: Project) -> None:
    old = Path("params.yaml").read_bytes()
    shown = init(write("tickets.csv", ROWS))
    assert shown.exit_code == 1
    assert "+  tickets:" in shown.output
    assert "add --yes to write it" in shown.output
    assert Path("params.yaml").read_bytes() == old
    assert "\x1b" not in shown.output


def test_another_data_set_of_that_name_stays(project: Project) -> None:
    write("reviews.csv", ROWS)
    refused = init("reviews.csv", "--yes")
    assert refused.exit_code == 1
    assert "datasets.reviews is there already" in refused.output
    assert config.load().datasets["reviews"].columns.text == "text"
    assert init("reviews.csv", "--yes", "--replace").exit_code == 0
    assert config.load().datasets["reviews"].columns.text == "message"
    told = init("reviews.csv", "--yes", "--test-rows", "5")  # of the same file, so no --replace
    assert "datasets.reviews is there already, and is replaced" in told.output
    assert config.load().datasets["reviews"].test_rows == 5


def test_options_decide(project: Project) -> None:
    write("tickets.csv", [(*row, "low" if at % 2 else "high") for at, row in enumerate(ROWS)],
          "message,queue,priority")  # fmt: skip
    shown = init("tickets.csv", "--yes")
    assert "queue, by its name; not priority (--label)" in shown.output
    options = "--name mine --label priority --instruction Go. --train-sizes 5,20 --seeds 1,2"
    options += (
        " --prompting zero_shot --tuning full --max-length 99 --batch-size 2 --template short"
    )
    assert init("tickets.csv", "--yes", *options.split()).exit_code == 0
    params = config.load()
    dataset = params.datasets["mine"]
    assert (dataset.target, dataset.instruction, dataset.max_length) == ("priority", "Go.", 99)
    assert dataset.template == "short"
    # as many rows in a step as the 4 of params.yaml
    assert dataset.training == {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    assert params.grid.train_sizes == [5, 20]
    assert (params.grid.seeds, params.grid.tuning) == ([1, 2], ["full"])


def test_a_summary_of_a_text(project: Project) -> None:
    rows = [{"id": n, "dialogue": f"A: hi {n} B: hello there", "summary": f"A greets B, {n}"}
            for n in range(30)]  # fmt: skip
    Path("chats.json").write_text(json.dumps(rows))
    assert init("chats.json", "--yes").exit_code == 0
    dataset = config.load().datasets["chats"]
    assert (dataset.task, dataset.target) == ("summarization", "summary")
    assert dataset.instruction == "Summarize the dialogue."


FAULTS: dict[str, tuple[str | bytes, str]] = {
    "empty.csv": ("", "empty.csv: is empty"),
    "head.csv": ("text,label\n", "head.csv: holds no rows"),
    "three.csv": ("text,label\n" + "some words here,a\n" * 3, "holds 3 training rows, too few"),
    "binary.csv": (bytes(range(32)) * 100, "is a binary file, not text"),
    "half.csv": (b"text,label\n" + b"ein sch\xf6nes St\xfcck,a\n" * 30, "write --encoding cp1252"),
    "semi.csv": ("text;label\n" + "some, words;a\n" * 30, "between semicolons, not commas"),
    "same.csv": ("text,label\n" + "".join(f"a text {n},x\n" for n in range(30)), "one label, 'x'"),
    "ids.csv": ("text,id\n" + "".join(f"a text {n},x{n}\n" for n in range(30)), "30 different"),
    "rare.csv": (
        "text,label\n" + "".join(f"a text {n},{'ab'[n % 2]}\n" for n in range(30)) + "the last,c\n",
        "'c' (1 row)",
    ),
    "nested.jsonl": ('{"text": {"a": 1}, "label": "a"}\n' * 30, "'text' holds mappings"),
    "list.json": ('{"text": "a"}', "holds no list of rows"),
    "cut.parquet": (b"PAR1\x15", "is not Parquet"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_bad_input_is_one_clear_error(name: str, project: Project) -> None:
    content, message = FAULTS[name]
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    _refused(message, name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["no.csv"], "no.csv is not there"),
        (["tickets.csv", "--name", "a-b"], "--name: 'a-b' is no name"),
        (["tickets.csv", "--name", "tiny"], "a model is named 'tiny' already"),
        (["tickets.csv", "--model", "tino"], "--model: 'tino' is not defined under models"),
        (["tickets.csv", "--tuning", "zero_shot"], "--tuning: 'zero_shot' is no such method"),
        (["tickets.csv", "--train-sizes", "1,x"], "--train-sizes: '1,x' is no list of sizes"),
        (["tickets.csv", "--train-sizes", "99"], "99 is more than the 48 training rows"),
        (["tickets.csv", "--test-rows", "99"], "99 is more than the 12 test rows"),
        (["tickets.csv", "--seeds", "x"], "--seeds: 'x' is no list of numbers"),
        (["tickets.csv", "--template", "shart"], "did you mean 'short'?"),
        (["tickets.csv", "--test", "tickets.csv"], "is named for train and for test"),
    ],
)
def test_bad_options_are_one_clear_error(
    options: list[str], message: str, project: Project
) -> None:
    write("tickets.csv", ROWS)
    _refused(message, *options)


def test_what_would_not_pass_check_is_not_written(project: Project) -> None:
    project.write_params(VALID | {"evaluation": VALID["evaluation"] | {"select": "best_test"}} | {
        "training": {"save_strategy": "epoch"},
        "methods": VALID["methods"] | {"other": VALID["methods"]["lora"] | {
            "training": {"save_strategy": "no"}}}})  # fmt: skip
    write("tickets.csv", ROWS)
    _refused("would not pass `python -m stages.check`", "tickets.csv", "--tuning", "other", lines=2)


def _refused(message: str, *options: str, lines: int = 1) -> None:
    old = Path("params.yaml").read_bytes()
    refused = init(*options, "--yes")
    assert refused.exit_code == 1
    errors = [line for line in refused.stderr.splitlines() if line]
    assert [line[:7] for line in errors] == ["error: "] * lines, refused.stderr
    assert message in errors[0]
    assert Path("params.yaml").read_bytes() == old


def test_the_command_line_imports_nothing_heavy() -> None:
    heavy = "('torch', 'transformers', 'datasets', 'pyarrow', 'numpy', 'pydantic', 'rich.table')"
    code = f"import sys, tunebench.init.command; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_what_is_written_runs(tmp_path: Path) -> None:
    repository = Repository.made(tmp_path, small_study())
    (tmp_path / "tickets.csv").write_text("\n".join(["message,queue", *map(",".join, ROWS)]) + "\n")
    command = [sys.executable, "-c", "from tunebench.cli import app; app()", "init", "tickets.csv"]
    options = ["--yes", "--prompting", "zero_shot", "--tuning", "lora", "--train-sizes", "9"]
    subprocess.run(
        [*command, *options], cwd=tmp_path, env=repository_environment(), check=True, timeout=60
    )
    assert "train@tiny-tickets-lora-9-0" in repository.repro()
    assert repository.metrics("summary/tickets/lora-9.json")["status"] == "ok"
    card = json.loads((tmp_path / "data/raw/tickets/card.json").read_text())
    assert card["rows"] == {"train": 48, "test": 12}
    assert repository.params()["inference"]["train_size"] == 9
