"""What a user gets wrong ends a stage with one clear line, and harms nothing that is there."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

Params = dict[str, Any]
Break = Callable[[Params, Path], object]
SUBSAMPLE = ("subsample", "--dataset", "reviews", "--train-size")
STAGES = [
    ("check",),
    ("download", "--dataset", "reviews"),
    ("fetch_model", "--model", "tiny"),
    (*SUBSAMPLE, "0.5", "--seed", "0"),
    (*SUBSAMPLE, "1.0", "--seed", "0"),
]


@dataclass(frozen=True)
class Case:
    """A mistake, the stage that finds it (its place in STAGES), and the line that it says."""

    name: str
    harm: Break
    stage: int
    message: str


def misspelt_method(params: Params, _: Path) -> None:
    params["grid"]["tuning"] = ["lorra"]


def unknown_key(params: Params, _: Path) -> None:
    params["training"]["learning_rat"] = 0.1


def misspelt_quantization(params: Params, _: Path) -> None:
    params["methods"]["lora"]["quantization"] = {"load_in_8bits": True}


def several_answers(params: Params, _: Path) -> None:
    params["evaluation"]["generation"] = {"do_sample": True, "num_return_sequences": 2}


def wrong_type(params: Params, _: Path) -> None:
    params["inference"]["prompts"] = "many"


def several_late_faults(params: Params, _: Path) -> None:
    """What training would find one after the other, hours apart."""
    params["training"] |= {"learning_rate": float("nan"), "hub_token": "not-to-be-seen"}
    params["methods"]["lora"]["adapter"]["r"] = 0
    params["grid"]["seeds"] = [2**32]
    params["templates"]["short"]["prompt"] = "{text:>10}{shots}"
    del params["grid"]["prompting"]


def empty_grid(params: Params, _: Path) -> None:
    params["grid"]["datasets"] = []


def absent_package(params: Params, _: Path) -> None:
    params["training"]["optim"] = "lomo"


def negative_size(params: Params, _: Path) -> None:
    params["grid"]["train_sizes"] = [-5, 1.0]


def too_many_rows(params: Params, _: Path) -> None:
    params["grid"]["train_sizes"] = [25, 1.0]


def missing_file(_: Params, folder: Path) -> None:
    (folder / "train.csv").rename(folder / "trian.csv")


def missing_column(params: Params, _: Path) -> None:
    params["datasets"]["reviews"]["columns"]["text"] = "txet"


def append(folder: Path, name: str, line: bytes) -> None:
    with (folder / name).open("ab") as file:
        file.write(line)


def unseen_label(_: Params, folder: Path) -> None:
    append(folder, "test.jsonl", b'{"text": "odd", "label": "postive"}\n')


def empty_text(_: Params, folder: Path) -> None:
    append(folder, "train.csv", b'"",positive\n')


def not_utf8(_: Params, folder: Path) -> None:
    append(folder, "train.csv", b"caf\xe9,positive\n")


def not_json(_: Params, folder: Path) -> None:
    append(folder, "test.jsonl", b'{"text": "odd" "label": "positive"}\n')


def unknown_encoding(params: Params, _: Path) -> None:
    params["datasets"]["reviews"]["encoding"] = "utf8-sgi"


def names_of_no_label(params: Params, _: Path) -> None:
    params["datasets"]["reviews"]["label_names"] = ["positive", "negative", "neutral"]


def names_without_labels(params: Params, _: Path) -> None:
    reviews = params["datasets"]["reviews"]
    reviews |= {"task": "summarization", "columns": {"text": "text", "summary": "label"}}
    reviews["label_names"] = ["positive", "negative"]


def lone_label(params: Params, folder: Path) -> None:
    params["datasets"]["reviews"]["path"] = "train.csv"
    append(folder, "train.csv", b"odd,neutral\n")


def bare_folder(params: Params, folder: Path) -> None:
    (folder / "rows").mkdir()
    params["datasets"]["reviews"]["path"] = "rows"


def greedy_validation(params: Params, _: Path) -> None:
    params["datasets"]["reviews"]["validation_rows"] = 24


def no_weights(params: Params, folder: Path) -> None:
    shutil.copytree(folder / "model", folder / "bare", ignore=shutil.ignore_patterns("*.saf*"))
    params["models"]["tiny"]["path"] = "bare"


def unsafe_weights(params: Params, folder: Path) -> None:
    no_weights(params, folder)
    (folder / "bare" / "pytorch_model.bin").touch()


CASES = [
    Case(
        "unknown key",
        unknown_key,
        0,
        "params.yaml: training.learning_rat: unknown key; did you mean 'learning_rate'?",
    ),
    Case(
        "misspelt quantization",
        misspelt_quantization,
        0,
        "params.yaml: methods.lora.quantization.load_in_8bits: unknown key;"
        " did you mean 'load_in_8bit'?",
    ),
    Case(
        "several answers",
        several_answers,
        0,
        "params.yaml: evaluation.generation.num_return_sequences: cannot be set here; each row has"
        " one answer, and that is all that is kept of a text",
    ),
    Case(
        "misspelt method",
        misspelt_method,
        0,
        "params.yaml: grid.tuning[0]: 'lorra' is not defined under methods; did you mean 'lora'?",
    ),
    Case(
        "wrong type",
        wrong_type,
        0,
        "params.yaml: inference.prompts: 'many' should be a valid integer",
    ),
    Case(
        "several faults that training would find",
        several_late_faults,
        0,
        "params.yaml: grid.prompting: is missing; write `prompting: []` for none\n"
        "error: params.yaml: grid.seeds[0]: 4294967296 should be less than 4294967296\n"
        "error: params.yaml: templates.short.prompt: {text:>10} is no name; write a name alone, or"
        " a literal brace twice, {{ or }}\n"
        "error: params.yaml: methods.lora.adapter.r: 0 should be from 1 to 65536\n"
        "error: params.yaml: training.hub_token: cannot be set here; Git, dvc.lock and run.json"
        " would keep the secret; set the environment variable HF_TOKEN\n"
        "error: params.yaml: training.learning_rate: nan is no finite number",
    ),
    Case(
        "absent package",
        absent_package,
        0,
        "params.yaml: training.optim: 'lomo' needs a package: pip install lomo-optim",
    ),
    Case("empty grid", empty_grid, 0, "params.yaml: grid.datasets: is empty; name at least one"),
    Case(
        "negative size",
        negative_size,
        0,
        "params.yaml: grid.train_sizes[0]: -5 is no train size;"
        " write a fraction up to 1.0, or a number of rows",
    ),
    Case(
        "missing file",
        missing_file,
        0,
        "params.yaml: datasets.reviews.path: train.csv is not there; did you mean 'trian.csv'?",
    ),
    Case(
        "unknown encoding",
        unknown_encoding,
        0,
        "params.yaml: datasets.reviews.encoding: 'utf8-sgi' is no encoding that Python knows;"
        " write its name, as cp1252, latin-1, utf-16 or shift_jis",
    ),
    Case(
        "label names where there are no labels",
        names_without_labels,
        0,
        "params.yaml: datasets.reviews.label_names: a summarization task has no labels; remove it",
    ),
    Case(
        "folder without data",
        bare_folder,
        0,
        "params.yaml: datasets.reviews.path: rows holds no data files"
        " (.csv, .json, .jsonl, .parquet, .tsv)",
    ),
    Case(
        "model without weights",
        no_weights,
        0,
        "params.yaml: models.tiny.path: bare holds no weights (*.safetensors);"
        " copy the model's *.safetensors there",
    ),
    Case(
        "model with unsafe weights",
        unsafe_weights,
        0,
        "params.yaml: models.tiny.path: bare holds no weights (*.safetensors);"
        " convert its .bin weights, which could run code when read",
    ),
    Case(
        "missing column",
        missing_column,
        1,
        "train.csv: line 2: there is no column 'txet'; did you mean 'text'?",
    ),
    Case(
        "label that training never has",
        unseen_label,
        1,
        "label 'postive' of row test-8 stands in the test rows but never in the training rows;"
        " did you mean 'positive'?",
    ),
    Case(
        "label name that no row has",
        names_of_no_label,
        1,
        "label_names: no training row has the label 'neutral'; the labels there are negative,"
        " positive; take it out of label_names, or mend the rows",
    ),
    Case(
        "label of one row",
        lone_label,
        1,
        "the label 'neutral' has 1 of 25 rows, too few for training and test rows;"
        " add rows with it, take it out, or name a test file under path",
    ),
    Case(
        "empty text",
        empty_text,
        1,
        "train.csv: line 26: 'text' is empty; fill it in, or leave such rows out with"
        " drop_empty: true",
    ),
    Case(
        "row that is not UTF-8",
        not_utf8,
        1,
        "train.csv: line 26: character 4: byte 0xE9 is not UTF-8; it looks like cp1252: if it is,"
        " write encoding: cp1252",
    ),
    Case(
        "row that is not JSON",
        not_json,
        1,
        "test.jsonl: line 9: is not JSON: Expecting ',' delimiter",
    ),
    Case(
        "train size above the rows",
        too_many_rows,
        3,
        "params.yaml: grid.train_sizes: 25 is more than the 24 training rows there are;"
        " use at most that, or 1.0 for all",
    ),
    Case(
        "validation that leaves nothing",
        greedy_validation,
        3,
        "params.yaml: validation_rows: 24 leaves none of the 24 training rows; use fewer",
    ),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test leaves what a good run made, for the others to copy."""
    return tmp_path_factory.mktemp("finished")


def good_run(project: Any, finished: Path) -> None:
    """The light stages of a run without a mistake, made once and then copied."""
    if not (finished / "data").exists():
        for name, *options in STAGES:
            done = project.run(name, *options)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), name
        for made in ("data", "metrics"):
            shutil.copytree(project.folder / made, finished / made)
    else:
        for made in ("data", "metrics"):
            shutil.copytree(finished / made, project.folder / made)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_mistake(case: Case, project: Any, finished: Path, valid: Params) -> None:
    good_run(project, finished)
    before = project.files()
    assert len(before) == 17
    case.harm(valid, project.folder)
    project.write_params(valid)
    for name, *options in STAGES[: case.stage]:
        if name == "check":  # which takes the change, as it should
            assert project.run(name, *options).returncode == 0
            before |= {path: data for path, data in project.files().items() if "check/" in path}
    name, *options = STAGES[case.stage]
    if name == "subsample":
        options = ["--dataset", "reviews", "--train-size", "25", "--seed", "0"]
    done = project.run(name, *options)
    assert done.stderr == f"error: {case.message}\n"
    assert done.stdout == ""
    assert done.returncode == 1
    assert project.files() == before
