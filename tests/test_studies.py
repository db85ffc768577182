"""Every study: checked, resolved, built by DVC itself, and run from end to end in a shrunk form."""

import csv
import importlib
import json
import math
import re
import shlex
import shutil
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from projects import run_stage
from ruamel.yaml import YAML

from tests import shrink
from tunebench import config, paths, prompts, results, stage
from tunebench.config import machine
from tunebench.config.schema import Params, PeftMethod, PromptingMethod
from tunebench.data import checking, sampling
from tunebench.paths import Run
from tunebench.prompts import tokenization

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "studies").glob("*.yaml"))
PUBLISHED = [path for path in FILES if path.stem != "demo_full"]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:dvc")

# study → runs of each kind: (models, data sets, trainings, prompting runs)
RUNS = {
    "demo_full": (1, 3, 126, 6),
    "laptop": (1, 2, 12, 4),
    "llama2_imdb_base": (3, 1, 0, 3),
    "llama2_imdb_formats": (2, 2, 4, 4),
    "llama2_imdb_lora": (1, 1, 12, 0),
    "llama2_imdb_lora_full": (3, 1, 3, 0),
    "llama2_imdb_prompt_tuning": (1, 1, 12, 0),
    "llama3_imdb": (1, 1, 36, 2),
    "llama3_newsgroups": (1, 1, 36, 1),
    "zephyr_newsgroups": (1, 1, 24, 2),
    "zephyr_samsum": (1, 1, 4, 2),
    "zephyr_vs_sft": (2, 2, 16, 4),
}
WITHOUT_LOAD = {"laptop"}  # its load tests would take as long as all the rest
# study → published metrics, and how many of them its own grid measures
TABLES = {
    "llama2_imdb_base": (3, 3),
    "llama2_imdb_formats": (2, 2),
    "llama2_imdb_lora": (12, 12),
    "llama2_imdb_lora_full": (3, 3),
    "llama2_imdb_prompt_tuning": (12, 12),
    "zephyr_newsgroups": (42, 24),
    "zephyr_samsum": (12, 12),
    "zephyr_vs_sft": (4, 4),
}


def stem(path: Path) -> str:
    return path.stem


def graph(folder: Path) -> Any:
    """The repository's graph over the params.yaml in `folder`, as DVC builds it."""
    from dvc.repo import Repo

    shutil.copy(ROOT / "dvc.yaml", folder)
    return Repo.init(str(folder), no_scm=True).index


def kind(built: Any) -> str:
    return str(built.name).partition("@")[0]


def run_of(built: Any) -> Run:
    return stage.parse(shlex.split(built.cmd)[3:])


def test_every_study_is_counted() -> None:
    assert [path.stem for path in FILES] == sorted(RUNS)
    assert len(FILES) == 12


@pytest.mark.parametrize("path", FILES, ids=stem)
def test_dvc_builds_every_stage(path: Path, tmp_path: Path) -> None:
    shutil.copy(path, tmp_path / "params.yaml")
    index = graph(tmp_path)
    assert index.graph.number_of_edges() > len(index.stages)

    count = Counter(kind(built) for built in index.stages)
    models, datasets, trainings, prompted = RUNS[path.stem]
    assert (count["fetch_model"], count["download"]) == (models, datasets)
    assert (count["train"], count["evaluate_prompting"]) == (trainings, prompted)
    for twin in ("format_prompting", "time_prompting"):
        assert count[twin] == prompted
    assert count["evaluate"] == trainings
    params = config.load(path)
    per_size = len(params.grid.train_sizes) * len(params.grid.seeds)
    assert count["subsample"] == datasets * per_size
    assert count["format_prompts"] == models * datasets * per_size
    assert count["time_inference"] * per_size == trainings
    tested = params.inference.load_test
    assert count["load_test"] == models * datasets * len(tested.tuning)
    assert count["load_test_prompting"] == models * datasets * len(tested.prompting)
    assert tested.tuning or tested.prompting or path.stem in WITHOUT_LOAD
    assert count["report"] == count["check"] == count["forgetting_text"] == 1


@pytest.mark.parametrize("path", FILES, ids=stem)
def test_every_run_resolves(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from peft import get_peft_config

    monkeypatch.setattr(machine, "has_gpu", lambda: True)  # some are for a GPU
    params = config.load(path)
    assert set(checking.check(params)) == {
        *params.grid.models,
        *params.grid.datasets,
        "forgetting_text",
    }
    shutil.copy(path, tmp_path / "params.yaml")
    checked = 0
    for built in graph(tmp_path).stages:
        run = run_of(built)
        if kind(built) == "train":
            method = params.tuning_method(run.method)
            merged = params.training_for(params.dataset(run.dataset), method)
            assert merged["learning_rate"] > 0
            assert merged["num_train_epochs"] >= 1
            if isinstance(method, PeftMethod):
                assert get_peft_config({**method.adapter, "task_type": "CAUSAL_LM"}).peft_type
        elif kind(built) == "evaluate_prompting":
            prompting = params.prompting_method(run.method)
            template = params.templates[prompting.template or params.dataset(run.dataset).template]
            assert template.takes_shots or not prompting.shots
        else:
            continue
        assert params.model(run.model).dtype
        assert params.generation_for(params.dataset(run.dataset))["do_sample"] is False
        checked += 1
    assert checked == sum(RUNS[path.stem][2:])


def test_newsgroups_trains_on_the_published_numbers_of_rows() -> None:
    grid = config.load(ROOT / "studies" / "zephyr_newsgroups.yaml").grid
    rows = [sampling.count_rows(size, 10_664) for size in grid.train_sizes]
    assert rows == [266, 533, 1066, 2666, 5332, 10664]
    assert len(grid.tuning) == 4


@pytest.mark.parametrize("path", PUBLISHED, ids=stem)
def test_head_of_the_file_tells_what_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.partition("\nstudy: ")[0].splitlines()
    assert all(line.startswith("#") for line in lines)
    head = " ".join(line.removeprefix("#").strip() for line in lines)
    assert re.search(r"Wants|without a GPU", head)
    assert re.search(r"Reproduces|No table to reproduce|[Cc]omparison", head)
    _, _, trainings, prompted = RUNS[path.stem]
    found = [int(number) for number in re.findall(r"(\d+) (?:trainings|evaluations)", head)]
    assert found == [number for number in (trainings, trainings + prompted) if number]
    assert re.search(rf"^study: {path.stem}$", text, re.MULTILINE)


def test_swapped_captions_are_put_right_and_said() -> None:
    for name, wrong in (("samsum", "Newsgroup"), ("newsgroups", "Samsum")):
        text = (ROOT / "studies" / f"zephyr_{name}.yaml").read_text(encoding="utf-8")
        said = f'{wrong}"; it swaps its two data sets'
        assert said in text.replace("\n# ", " ")
        assert list(config.load(ROOT / "studies" / f"zephyr_{name}.yaml").datasets) == [name]


@pytest.mark.parametrize("path", PUBLISHED, ids=stem)
def test_published_numbers_are_all_there(path: Path) -> None:
    params = config.load(path)
    rows = params.published.results if params.published else []
    ours = [
        row
        for row in rows
        if row.model in params.grid.models
        and row.dataset in params.grid.datasets
        and row.method in (*params.grid.prompting, *params.grid.tuning)
        and (row.train_size is None or row.train_size in params.grid.train_sizes)
    ]
    keys = [(row.model, row.dataset, row.method, row.train_size) for row in rows]
    assert len(keys) == len(set(keys))
    found = tuple(sum(len(row.metrics) for row in some) for some in (rows, ours))
    assert found == TABLES.get(path.stem, (0, 0))


def test_all_modules_of_the_zephyr_studies_take_in_lm_head() -> None:
    for name in ("zephyr_samsum", "zephyr_newsgroups"):
        methods = config.load(ROOT / "studies" / f"{name}.yaml").methods
        for method, modules in (("qlora", 2), ("qlora_all", 8), ("qlora_neftune_all", 8)):
            adapter = methods[method].adapter  # type: ignore[union-attr]
            assert len(adapter["target_modules"]) == modules
            assert ("lm_head" in adapter["target_modules"]) == (modules == 8)


@pytest.mark.parametrize("readme", ["README.md", "studies/README.md"])
def test_readme_names_every_study(readme: str) -> None:
    named = re.findall(r"`(\w+)`", (ROOT / readme).read_text(encoding="utf-8"))
    assert {path.stem for path in FILES} <= set(named)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where all studies' random models lie; tokenizers are read once, not in each stage."""
    if not shrink.TOKENIZERS.is_dir():
        warnings.warn(f"{shrink.TOKENIZERS} is not here: a test tokenizer stands in", stacklevel=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenization, "load", cache(tokenization.load))
        yield tmp_path_factory.mktemp("models")


@pytest.mark.slow
@pytest.mark.parametrize("path", PUBLISHED, ids=stem)
def test_shrunk_study_runs(
    path: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import networkx
    import torch

    cuda = torch.cuda.is_available()
    shrink.shrink(YAML(typ="safe").load(path), tmp_path, models=models, cuda=cuda)
    monkeypatch.chdir(tmp_path)
    index = graph(tmp_path)
    order = [*networkx.topological_sort(index.graph)][::-1]  # what a stage needs comes before it

    for built in order:
        run_stage(importlib.import_module(built.cmd.split()[2]), run_of(built))

    for built in order:
        for output in built.outs:
            written = Path(output.def_path)
            assert written.exists(), f"{built.name} left no {written}"
            if written.suffix == ".json" and written.parts[0] == "metrics":
                assert_finite(results.read(written), written)
    params = config.load()
    counts = Counter(map(kind, order))
    models_count, datasets, _, prompted = RUNS[path.stem]
    assert counts["evaluate_prompting"] == prompted
    assert counts["train"] == models_count * datasets * len(params.grid.tuning)
    for built in order:
        if kind(built) == "train":
            check_training(params, run_of(built))
        if kind(built) in ("evaluate", "evaluate_prompting"):
            check_answers(params, run_of(built))
    check_published(params)


def assert_finite(found: Any, place: object) -> None:
    """Every number within is one, and there is at least one value."""
    if isinstance(found, dict):
        assert found, place
        for key, value in found.items():
            assert_finite(value, f"{place}: {key}")
    elif not isinstance(found, str):
        assert isinstance(found, bool | int | float), place
        assert math.isfinite(found), place


def check_training(params: Params, run: Run) -> None:
    """The adapter is the study's, and training went through its epochs in its batches."""
    method = params.tuning_method(run.method)
    assert isinstance(method, PeftMethod)
    merged = params.training_for(params.dataset(run.dataset), method)
    found = results.read(paths.train(run))
    batches = math.ceil(found["sequences"] / merged["per_device_train_batch_size"])
    steps = math.ceil(batches / merged.get("gradient_accumulation_steps", 1))
    assert found["steps"] == steps * merged["num_train_epochs"], run
    with paths.losses(run).open(newline="") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file, delimiter="\t")]
    assert len(losses) == found["steps"]
    assert all(map(math.isfinite, losses))

    trained = [row for row in prompts.read(paths.prompts(run)) if row.split == "train"]
    assert found["rows"] == len(trained)
    if merged.get("packing"):
        tokens = packed_tokens(params, run, trained)
        assert found["sequences"] == math.ceil(tokens / merged["packing_length"])
    else:
        assert found["sequences"] == len(trained)

    written = json.loads((paths.adapter(run) / "adapter_config.json").read_text())
    for key, value in method.adapter.items():
        if isinstance(value, list):
            assert sorted(written[key]) == sorted(value)
        elif value != "all-linear":
            assert written[key] == value
    settings = results.read(paths.adapter(run) / "run.json")["settings"]
    assert settings["training"] == merged
    assert settings["method"]["quantization"] == method.quantization


def packed_tokens(params: Params, run: Run, trained: list[prompts.Prompt]) -> int:
    tokenizer = tokenization.load(Path(str(params.model(run.model).path)))
    pairs = tokenization.encode_pairs(
        tokenizer, [(row.marked_prompt, row.marked_completion) for row in trained]
    )
    return sum(len(context) + len(answer) + 1 for context, answer in pairs)


def check_answers(params: Params, run: Run) -> None:
    """Each test row has an answer by the study's own template, or a note that it cannot fit."""
    dataset, method = params.dataset(run.dataset), params.method(run.method)
    metrics = results.read(paths.evaluation(run))
    if isinstance(method, PromptingMethod) and method.shots == 20:
        assert metrics["does_not_fit"]
        assert metrics["tokens_needed"] > metrics["tokens_available"]
        return
    headline = "accuracy" if dataset.labelled else "rouge1"
    low, value, high = (metrics[f"{headline}{end}"] for end in ("_low", "", "_high"))
    assert 0 <= low <= value <= high <= 1
    if run.size_and_seed and params.evaluation.select == "best_test":
        assert metrics["optimistic"]
        assert value == max(each[headline] for each in metrics["epochs"].values())
        epochs = params.training_for(dataset, params.tuning_method(run.method))["num_train_epochs"]
        assert len(metrics["epochs"]) == epochs
        tested = results.read(paths.selected(run))["trained"]
        assert tested == str(paths.epochs(paths.adapter(run)) / str(metrics["epoch"]))
    answers = results.read_lines(paths.predictions(run))
    assert len(answers) == metrics["rows"] == shrink.TEST_ROWS
    if dataset.labelled:
        labels = results.read(paths.card(run.dataset))["labels"]
        assert all(row["answer"] in labels and len(row["scores"]) == len(labels) for row in answers)
    own = method.template if isinstance(method, PromptingMethod) else None
    template = params.templates[own or dataset.template]
    pattern = template.prompt or (template.messages or [])[-1].content
    literal = re.split(r"\{\w+\}", pattern)[0]
    assert all(literal in row["prompt"] for row in answers)
    assert all(dataset.instruction in row["prompt"] for row in answers if "{instruct" in pattern)


def check_published(params: Params) -> None:
    """Each published number has a row, and what the grid ran has something beside it."""
    table = paths.TABLES / "published.csv"
    if params.published is None:
        assert not table.exists()
        return
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(row.metrics) for row in params.published.results)
    measured = [row for row in rows if row["measured"]]
    assert measured
    assert all(row["within"] in ("yes", "no") for row in measured)
    assert params.published.source in paths.PAGE.read_text(encoding="utf-8")
