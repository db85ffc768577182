"""`tunebench export`: a folder that answers as evaluate did, without tunebench."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner
from winners import FEW_SHOT, FULL, LORA, VIRTUAL, WRITER, finish, make, rows

from tunebench import disk, paths, results
from tunebench.cli import app
from tunebench.paths import Run
from tunebench.winner import exporting, gguf, runs

FILES = {"README.md", "predict.py", "prompt.json", "tokenizer.json", "tokenizer_config.json",
         "generation_config.json"}  # fmt: skip


SLOW = pytest.mark.slow  # each check starts a process that imports torch: 8 s


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make(folder, model_folder)
        finish(LORA, VIRTUAL, FULL, WRITER, FEW_SHOT)
        yield folder


@pytest.fixture
def folder(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to export to, not there yet; the working directory is the study's."""
    monkeypatch.chdir(study)
    return tmp_path / "model"


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


@pytest.mark.parametrize(
    ("run", "form", "weights"),
    [
        (LORA, "merged", {"model.safetensors", "config.json"}),
        (VIRTUAL, "adapter", {"adapter_model.safetensors", "adapter_config.json"}),
        pytest.param(
            LORA, "adapter", {"adapter_model.safetensors", "adapter_config.json"}, marks=SLOW
        ),
        pytest.param(FULL, "merged", {"model.safetensors", "config.json"}, marks=SLOW),
        pytest.param(WRITER, "merged", {"model.safetensors", "config.json"}, marks=SLOW),
    ],
)
def test_the_folder_s_script_answers_as_evaluate_did(
    run: Run, form: exporting.Form, weights: set[str], folder: Path
) -> None:
    checked = exporting.export(runs.ready(run), folder, form, check=True)
    assert {path.name for path in folder.iterdir()} == FILES | weights | {"check.json"}
    assert checked is not None
    # the row with a control token has a zero-width space in it; all others have the same tokens
    assert (checked.rows, checked.differ <= 1) == (8, True)
    content = results.read(folder / "check.json")
    assert content["test_rows"] == 8
    assert content[f"{checked.metric}_of_evaluate"] == checked.evaluated
    card = (folder / "README.md").read_text("utf-8")
    assert f"{checked.differ:,} answers" in card
    assert "tunebench" not in (folder / "predict.py").read_text("utf-8")


@SLOW
def test_the_script_runs_by_itself(folder: Path) -> None:
    exporting.export(runs.ready(LORA), folder, "merged")
    [expected] = (row["answer"] for row in results.read_lines(paths.predictions(LORA))[:1])
    text = "the film was warm and funny and I would see it again 12"
    without = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "predict.py", text],
        cwd=folder, env=without, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == expected


def test_the_prompt_has_the_tokens_of_evaluate(folder: Path) -> None:
    from tunebench import models, prompts
    from tunebench.prompts import encoding

    ready = runs.ready(LORA)
    exporting.export(ready, folder, "merged")
    source = (folder / "predict.py").read_text("utf-8")
    functions = source[source.index("def encode(row)") : source.index("@torch")]
    tokenizer = models.load_tokenizer(ready.base)
    script: dict[str, Any] = {"P": results.read(folder / "prompt.json"), "tokenizer": tokenizer}
    exec(functions, script)
    test = prompts.read(paths.test_prompts(LORA))
    assert isinstance(test, list)
    compared = [
        script["encode"]({"text": text}) == list(ids)
        for (text, _), ids in zip(rows()[12:], encoding.contexts(tokenizer, test), strict=True)
    ]
    # also the last one, which is cut; not the one with a control token
    assert compared == [True] * 6 + [False, True]
    assert test[-1].cut


def test_the_adapter_names_its_base(folder: Path) -> None:
    exporting.export(runs.ready(LORA), folder, "adapter")
    config = json.loads((folder / "adapter_config.json").read_text())
    assert Path(config["base_model_name_or_path"]) == Path("model").resolve()
    assert config["revision"] is None


def test_the_card_has_front_matter_scores_and_settings(folder: Path) -> None:
    exporting.export(runs.ready(LORA), folder, "merged")
    _, front, card = (folder / "README.md").read_text("utf-8").split("---\n", 2)
    fields = YAML(typ="safe").load(front)
    assert fields["library_name"] == "transformers"
    assert fields["metrics"] == ["accuracy"]
    accuracy = 100 * results.read(paths.evaluation(LORA))["accuracy"]
    assert f"| accuracy | {accuracy:.1f} |" in card
    headings = re.findall("^## (.+)", card, re.MULTILINE)
    assert headings == ["Use", "Scores", "Costs", "Data", "Training", "Limits"]
    assert '"peft_type": "LORA"' in card
    assert "positive" in card


@pytest.mark.parametrize(
    ("run", "options", "message"),
    [
        (LORA, [], "give one of --adapter, --merged and --gguf"),
        (LORA, ["--adapter", "--merged"], "give one of --adapter, --merged and --gguf"),
        (VIRTUAL, ["--merged"], "PEFT does not merge PROMPT_TUNING; give --adapter"),
        (VIRTUAL, ["--gguf"], "PEFT does not merge PROMPT_TUNING; give --adapter"),
        (FULL, ["--adapter"], "trained all weights; give --merged or --gguf"),
        (FEW_SHOT, ["--merged"], "trains nothing, so that there is no model to export"),
        (LORA, ["--gguf"], "--gguf: llama.cpp's convert_hf_to_gguf.py is not on PATH: git clone"),
    ],
)
def test_a_form_that_does_not_suit_the_run(
    run: Run, options: list[str], message: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLAMA_CPP", raising=False)
    monkeypatch.setenv("PATH", str(folder.parent))
    shown = invoke(run, folder, *options)
    assert (shown.exit_code, shown.output.count("error: ")) == (1, 1)
    assert message in shown.output
    assert list(folder.parent.iterdir()) == []


def test_a_folder_with_files_is_left_alone(folder: Path) -> None:
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    shown = invoke(LORA, folder, "--merged")
    assert shown.exit_code == 1
    assert f"{folder} holds files already; name a new or an empty folder" in shown.output
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_a_disk_without_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = disk.shutil.disk_usage("/")
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    shown = invoke(LORA, folder, "--merged")
    assert shown.exit_code == 1
    assert "MB, and 1 MB are free; free some, or name a folder on another disk" in shown.output
    assert list(folder.parent.iterdir()) == []


def test_a_script_that_fails_leaves_no_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_script", lambda *_: "raise SystemExit('no such module')")
    shown = invoke(LORA, folder, "--merged", "--check")
    assert shown.exit_code == 1
    assert "error: --check: predict.py failed: no such module" in shown.output
    assert list(folder.parent.iterdir()) == []


CONVERTER = """
import json, pathlib, sys
folder, _, output, _, dtype = sys.argv[1:]
names = sorted(path.name for path in pathlib.Path(folder).iterdir())
pathlib.Path(output).write_text(json.dumps([dtype, names]))
"""


def test_gguf_by_the_converter_that_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "llama.cpp").mkdir()
    (tmp_path / "llama.cpp" / gguf.CONVERTER).write_text(CONVERTER)
    monkeypatch.setenv("LLAMA_CPP", str(tmp_path / "llama.cpp"))
    exporting.export(runs.ready(LORA), folder, "gguf")
    dtype, names = json.loads((folder / "model.gguf").read_text())
    assert dtype == "f32"
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(names)
    assert {path.name for path in folder.iterdir()} == FILES | {"model.gguf"}
    compile((folder / "predict.py").read_text(), "predict.py", "exec")
    shown = invoke(LORA, tmp_path / "other", "--gguf", "--check")
    assert "--check of a GGUF file needs llama-cpp-python: pip install" in shown.output
