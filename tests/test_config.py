"""Every fault of a parameter file is told at once, each with its place, the culprit, a remedy."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tunebench import config, paths, results
from tunebench.config.options import merge
from tunebench.errors import ParameterError, suggest

ROOT = Path(__file__).parents[1]
REMOVED = object()

FAULTS: list[tuple[str, Any, str]] = [
    ("studdy", "x", "studdy: unknown key; did you mean 'study'?"),
    ("study", REMOVED, "study: is missing"),
    ("study", 5, "study: 5 should be a valid string"),
    ("grid", REMOVED, "grid: is missing"),
    ("grid.tunning", ["lora"], "grid.tunning: unknown key; did you mean 'tuning'?"),
    (
        "grid.tuning",
        ["lroa"],
        "grid.tuning[0]: 'lroa' is not defined under methods; did you mean 'lora'?",
    ),
    (
        "grid.tuning",
        ["zero_shot"],
        "grid.tuning[0]: 'zero_shot' is a prompting method; name it under grid.prompting",
    ),
    (
        "grid.prompting",
        ["lora"],
        "grid.prompting[0]: 'lora' is a peft method; name it under grid.tuning",
    ),
    ("grid.models", [], "grid.models: is empty; name at least one"),
    ("grid.datasets", [], "grid.datasets: is empty; name at least one"),
    ("grid.datasets", "reviews", "grid.datasets: 'reviews' should be a valid list"),
    (
        "grid.models",
        ["big"],
        "grid.models[0]: 'big' is not defined under models; choose from: tiny",
    ),
    ("grid.seeds", [], "grid: tuning methods need at least one entry in train_sizes and in seeds"),
    ("grid.seeds", [-1], "grid.seeds[0]: -1 should be greater than or equal to 0"),
    ("grid.train_sizes", [0.5, 1.0, 0.5], "grid.train_sizes[2]: 0.5 stands twice"),
    *(
        (
            "grid.train_sizes",
            [1.0, size],
            f"grid.train_sizes[1]: {size!r} is no train size;"
            " write a fraction up to 1.0, or a number of rows",
        )
        for size in (-5, 0, 0.0, 1.5, True, "all")
    ),
    (
        "inference.train_size",
        0.1,
        "inference.train_size: 0.1 is none of grid.train_sizes; choose from: 0.5, 1.0",
    ),
    (
        "inference.train_size",
        1,
        "inference.train_size: 1 is none of grid.train_sizes; choose from: 0.5, 1.0",
    ),
    (
        "evaluation.held_out",
        {"dataset": "revews", "rows": 0},
        "evaluation.held_out.dataset: 'revews' is not defined under datasets;"
        " did you mean 'reviews'?",
    ),
    (
        "evaluation.held_out",
        {"dataset": "reviews", "rows": 0},
        "evaluation.held_out.rows: 0 should be greater than or equal to 1",
    ),
    (
        "evaluation.held_out",
        {"dataset": "reviews", "row": 5},
        "evaluation.held_out.row: unknown key; did you mean 'rows'?",
    ),
    ("evaluation.held_out", {"rows": 5}, "evaluation.held_out.dataset: is missing"),
    (
        "datasets.held_out",
        {},
        "datasets.held_out: is the name of a file beside its own; rename it",
    ),
    ("inference.batch_sizes", [], "inference.batch_sizes: is empty; name at least one"),
    (
        "inference.batch_sizes",
        [0],
        "inference.batch_sizes[0]: 0 should be greater than or equal to 1",
    ),
    ("inference.repeats", 0, "inference.repeats: 0 should be greater than or equal to 1"),
    ("hardware.usd_per_hour", -1, "hardware.usd_per_hour: -1 should be greater than or equal to 0"),
    ("models.tiny.path", REMOVED, "models.tiny: give one source: path or hub"),
    (
        "models.tiny.dtype",
        "float",
        "models.tiny.dtype: 'float' is unknown; did you mean 'float32'?",
    ),
    (
        "datasets.reviews.training",
        REMOVED,
        "datasets.reviews.training: is missing; write `training: {}` for the defaults",
    ),
    (
        "datasets.reviews.task",
        "classify",
        "datasets.reviews.task: 'classify' is unknown; did you mean 'classification'?",
    ),
    (
        "datasets.reviews.columns",
        {"text": "text"},
        "datasets.reviews: a classification task has columns: {text: …, label: …}",
    ),
    (
        "datasets.reviews.columns.lable",
        "x",
        "datasets.reviews.columns.lable: no template shows it; did you mean 'label'?",
    ),
    (
        "datasets.reviews.generator",
        "tunebench.demo.reviews",
        "datasets.reviews: give one source: generator, path or hub",
    ),
    (
        "datasets.reviews.path",
        {"test": "x"},
        "datasets.reviews.path: names no train rows; write path: {train: …, test: …}",
    ),
    (
        "datasets.reviews.rows",
        {"train": -3},
        "datasets.reviews.rows.train: -3 should be greater than or equal to 1",
    ),
    (
        "datasets.reviews.test_rows",
        0,
        "datasets.reviews.test_rows: 0 should be greater than or equal to 1",
    ),
    (
        "datasets.reviews.test_fraction",
        1.0,
        "datasets.reviews.test_fraction: 1.0 should be less than 1",
    ),
    (
        "datasets.reviews.template",
        "shrt",
        "datasets.reviews.template: 'shrt' is not defined under templates; did you mean 'short'?",
    ),
    (
        "templates.short.prompt",
        "{shots}{text}{txt}",
        "templates.short: {txt} is no field of the rows of 'reviews';"
        " name its column under datasets.reviews.columns, or did you mean 'text'?",
    ),
    (
        "templates.short.prompt",
        "{shots}",
        "templates.short.prompt: {text} is missing",
    ),
    (
        "templates.short.prompt",
        "{shots}{text} {",
        "templates.short.prompt: Single '{' encountered in format string;"
        " write a literal brace twice, {{ or }}",
    ),
    (
        "templates.short.shot",
        REMOVED,
        "templates.short: 'few_shot' puts examples before the text,"
        " which needs a {shots} in prompt and a shot",
    ),
    ("methods.lora.kind", "pfet", "methods.lora.kind: 'pfet' is unknown; did you mean 'peft'?"),
    (
        "methods.lora.kind",
        REMOVED,
        "methods.lora.kind: is missing; choose from: full, peft, prompting",
    ),
    (
        "methods.lora.quantisation",
        "nf4",
        "methods.lora.quantisation: unknown key; did you mean 'quantization'?",
    ),
    (
        "methods.lora.adapter.peft_type",
        "LOAR",
        "methods.lora.adapter.peft_type: 'LOAR' is no PEFT method; did you mean 'LORA'?",
    ),
    (
        "methods.lora.adapter.lora_alfa",
        4,
        "methods.lora.adapter.lora_alfa: unknown key; did you mean 'lora_alpha'?",
    ),
    ("methods.lora.adapter.r", "four", "methods.lora.adapter.r: 'four' is not of type int"),
    (
        "methods.lora.adapter",
        {"peft_type": "POLY", "target_modules": ["q_proj"]},
        "methods.lora.adapter.peft_type: 'POLY' can not be trained here: each row must name its"
        " task, and a run has one; use LORA",
    ),
    (
        "methods.lora.adapter.task_type",
        "SEQ_CLS",
        "methods.lora.adapter.task_type: 'SEQ_CLS' is not what is trained here; remove it",
    ),
    (
        "methods.lora.adapter.inference_mode",
        True,
        "methods.lora.adapter.inference_mode: true trains nothing; remove it",
    ),
    (
        "methods.lora.adapter.init_lora_weights",
        "corda",
        "methods.lora.adapter.init_lora_weights: 'corda' is computed from data before training,"
        " which is not done here; remove it, or choose pissa or olora",
    ),
    (
        "methods.lora.adapter",
        {"peft_type": "ADAMSS", "target_modules": ["q_proj"], "use_asa": True},
        "methods.lora.adapter.use_asa: what it measures is lost in a restart; use ADALORA",
    ),
    (
        "methods.lora.adapter",
        {"peft_type": "CPT", "cpt_token_ids": [1], "cpt_tokens_type_mask": [3]},
        "methods.lora.adapter.cpt_tokens_type_mask: ends in type 3, where a multiple of 4 (an"
        " answer) must be: no token of the rows would count in the loss",
    ),
    (
        "methods.lora.training.learning_rte",
        0.1,
        "methods.lora.training.learning_rte: unknown key; did you mean 'learning_rate'?",
    ),
    ("methods.full.quantization", "nf4", "methods.full.quantization: 'nf4' should be None"),
    (
        "methods.lora-8",
        {"kind": "full"},
        "methods.lora-8: names become paths and keys; use letters, digits and _ only",
    ),
    (
        "models",
        {"llama3.1": {"path": "model"}, "tiny": {"path": "model"}},
        "models.llama3.1: names become paths and keys; use letters, digits and _ only",
    ),
    (
        "methods.../up",
        {"kind": "full"},
        "methods.../up: names become paths and keys; use letters, digits and _ only",
    ),
    (
        "methods.test",
        {"kind": "full"},
        "methods.test: is the name of the test prompts' file; rename it",
    ),
    (
        "models.reviews",
        {"path": "model"},
        "datasets.reviews: a model has this name too; rename one of them",
    ),
    (
        "training.learning_rte",
        1.0,
        "training.learning_rte: unknown key; did you mean 'learning_rate'?",
    ),
    (
        "training.learning_rate",
        "high",
        "training.learning_rate: 'high' is not of type float",
    ),
    ("training.adam_beta1", "x", "training.adam_beta1: 'x' is not of type float"),
    ("training.bf16", "yes", "training.bf16: 'yes' is not of type bool"),
    ("training.seed", 1, "training.seed: cannot be set here; seeds are an axis: grid.seeds"),
    (
        "methods.lora.training.output_dir",
        "x",
        "methods.lora.training.output_dir: cannot be set here; each run has its own folder",
    ),
    (
        "training.loss_on",
        "completions",
        "training.loss_on: 'completions' is unknown; did you mean 'completion'?",
    ),
    (
        "training.packing",
        "concatenate",
        "training.packing: 'concatenate' is unknown; did you mean 'concat'?",
    ),
    ("training.packing", 8, "training.packing: 8 is unknown; choose from: concat, false, true"),
    (
        "training.packing_length",
        0,
        "training.packing_length: 0 should be greater than or equal to 1",
    ),
    (
        "training.launch",
        {"num_processes": 2, "confg": "x.yaml"},
        "training.launch.confg: unknown key; did you mean 'config'?",
    ),
    (
        "training.launch",
        {"num_processes": 0},
        "training.launch.num_processes: 0 should be greater than or equal to 1",
    ),
    ("training.launch", 2, "training.launch: 2 is no mapping; write {num_processes: 2}"),
    ("training.packin", "concat", "training.packin: unknown key; did you mean 'packing'?"),
    ("templates.short.completion", "", "templates.short.completion: {completion} is missing"),
    (
        "methods.lora.search",
        {"learning_rate": [1e-3]},
        "methods.lora.search: needs rows to choose on: set datasets.reviews.validation_rows",
    ),
    (
        "methods.lora.search",
        {"learning_rat": [1e-3]},
        "methods.lora.search.learning_rat: unknown key; did you mean 'learning_rate'?",
    ),
    (
        "methods.lora.search",
        {"learning_rate": [1e-3, "high"]},
        "methods.lora.search.learning_rate: 'high' is not of type float",
    ),
    (
        "methods.lora.search",
        {"learning_rate": 1e-3},
        "methods.lora.search.learning_rate: 0.001 is no list of values to try; write [1e-4, 1e-3]",
    ),
    (
        "methods.lora.search",
        {"seed": [1, 2]},
        "methods.lora.search.seed: cannot be set here; seeds are an axis: grid.seeds",
    ),
    (
        "evaluation.select",
        "best",
        "evaluation.select: 'best' is unknown; did you mean 'best_test'?",
    ),
    (
        "evaluation.select",
        "best_test",
        "evaluation.select: best_test needs every epoch of 'lora' on 'reviews' kept: set"
        " training.save_strategy: epoch",
    ),
    (
        "evaluation.select",
        "best_validation",
        "evaluation.select: best_validation needs rows to choose on: set"
        " datasets.reviews.validation_rows",
    ),
    (
        "evaluation.generation.max_tokens",
        4,
        "evaluation.generation.max_tokens: unknown key; did you mean 'max_new_tokens'?",
    ),
]


def edit(params: Any, place: str, value: Any) -> None:
    *way, last = place.split(".", place.count(".") if "../" not in place else 1)
    for key in way:
        params = params[key]
    if value is REMOVED:
        del params[last]
    else:
        params[last] = value


def faults_of(params: Any, folder: Path) -> list[str]:
    path = folder / "params.yaml"
    with path.open("w") as file:
        YAML().dump(params, file)
    try:
        config.load(path)
    except ParameterError as error:
        assert all(line.startswith(f"{path}: ") for line in error.faults)
        return [line.removeprefix(f"{path}: ") for line in error.faults]
    return []


def faults_of_text(text: str, folder: Path) -> list[str]:
    path = folder / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError) as caught:
        config.load(path)
    return [line.removeprefix(f"{path}: ") for line in caught.value.faults]


def test_valid_file_has_no_fault(valid: dict[str, Any], tmp_path: Path) -> None:
    assert faults_of(valid, tmp_path) == []


@pytest.mark.parametrize(("place", "value", "expected"), FAULTS)
def test_fault_is_named(
    place: str, value: Any, expected: str, valid: dict[str, Any], tmp_path: Path
) -> None:
    edit(valid, place, value)
    assert expected in faults_of(valid, tmp_path)


def test_all_faults_are_told_at_once(valid: dict[str, Any], tmp_path: Path) -> None:
    edit(valid, "grid.tuning", ["lroa"])
    edit(valid, "training", {"seed": 1, "learning_rte": 1.0, "bf16": "yes", "loss_on": "x"})
    edit(valid, "methods.lora.adapter", {"peft_type": "LORA", "rnk": 4, "r": "four"})
    edit(valid, "models.tiny.dtype", "int4")
    edit(valid, "datasets.reviews.template", "long")
    assert [line.split(": ")[0] for line in faults_of(valid, tmp_path)] == [
        "models.tiny.dtype",
        "methods.lora.adapter.rnk",
        "methods.lora.adapter.r",
        "training.seed",
        "training.loss_on",
        "training.learning_rte",
        "training.bf16",
        "grid.tuning[0]",
        "datasets.reviews.template",
    ]


def places(node: Any, way: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield way
    children: Any = ()
    if isinstance(node, dict):
        children = node.items()
    elif isinstance(node, list):
        children = enumerate(node)
    for key, child in children:
        yield from places(child, (*way, key))


@pytest.mark.parametrize("value", [5, [[]], {"x": None}], ids=repr)
def test_wrong_type_anywhere_is_a_fault_and_no_crash(
    value: Any, valid: dict[str, Any], tmp_path: Path
) -> None:
    checked = refused = 0
    for way in places(valid):
        params: Any = {"file": copy.deepcopy(valid)}
        *outer, last = ("file", *way)
        node = params
        for key in outer:
            node = node[key]
        node[last] = value
        refused += bool(faults_of(params["file"], tmp_path))
        checked += 1
    assert checked == 71
    assert refused > checked / 2


def test_scientific_notation_is_a_number(valid: dict[str, Any], tmp_path: Path) -> None:
    edit(valid, "training.learning_rate", "RATE")
    path = tmp_path / "params.yaml"
    with path.open("w") as file:
        YAML().dump(valid, file)
    path.write_text(path.read_text().replace("RATE", "2e-4"))
    assert config.load(path).training["learning_rate"] == 0.0002


def test_yaml_faults_name_the_line(tmp_path: Path) -> None:
    assert faults_of_text("study: a\nstudy: b\n", tmp_path)[0].startswith(
        'line 2: found duplicate key "study" with value "b"'
    )
    assert faults_of_text("study: [a\ngrid: 1\n", tmp_path)[0].startswith("line 2: ")
    assert faults_of_text("", tmp_path) == [
        "the file: None should be a valid dictionary or instance of Params"
    ]


def test_duplicate_key_in_a_section_is_refused(tmp_path: Path) -> None:
    faults = faults_of_text("methods:\n  lora: {kind: full}\n  lora: {kind: full}\n", tmp_path)
    assert len(faults) == 1
    assert faults[0].startswith('line 3: found duplicate key "lora"')


def test_file_that_is_not_there_or_not_utf8(tmp_path: Path) -> None:
    missing = tmp_path / "none.yaml"
    with pytest.raises(ParameterError, match=r"none\.yaml: no such file; run from the repository"):
        config.load(missing)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("study: café".encode("latin-1"))
    with pytest.raises(ParameterError, match=r"latin\.yaml: byte 10 is not UTF-8"):
        config.load(latin)


def test_merge_goes_key_by_key() -> None:
    default = {"weight_decay": 0.1, "lr_scheduler_kwargs": {"a": 1, "b": 2}}
    own = {"lr_scheduler_kwargs": {"b": 3}, "learning_rate": 1.0}
    assert merge(default, own) == {
        "weight_decay": 0.1,
        "lr_scheduler_kwargs": {"a": 1, "b": 3},
        "learning_rate": 1.0,
    }
    assert merge({"a": {"x": 1}}, {"a": None}) == {"a": None}
    assert merge({"a": [1, 2]}, {"a": [3]}) == {"a": [3]}
    assert merge() == {}
    assert default == {"weight_decay": 0.1, "lr_scheduler_kwargs": {"a": 1, "b": 2}}


def test_the_method_overrides_the_data_set_which_overrides_the_default(
    valid: dict[str, Any], project: Any
) -> None:
    valid["training"] |= {"learning_rate": 1.0, "weight_decay": 0.1, "warmup_steps": 1}
    valid["datasets"]["reviews"]["training"] = {"learning_rate": 2.0, "weight_decay": 0.2}
    valid["methods"]["lora"]["training"] = {"learning_rate": 3.0}
    project.write_params(valid)
    params = config.load()
    merged = params.training_for(params.dataset("reviews"), params.tuning_method("lora"))
    assert {key: merged[key] for key in ("learning_rate", "weight_decay", "warmup_steps")} == {
        "learning_rate": 3.0,
        "weight_decay": 0.2,
        "warmup_steps": 1,
    }


def test_option_that_names_nothing(project: Any) -> None:
    params = config.load()
    with pytest.raises(ParameterError, match="--model: 'tny' is not defined; did you mean 'tiny'"):
        params.model("tny")
    with pytest.raises(ParameterError, match="--method: 'zero_shot' is a prompting method"):
        params.tuning_method("zero_shot")
    with pytest.raises(ParameterError, match="--method: 'lora' is tuned"):
        params.prompting_method("lora")


def test_suggestion_is_the_nearest_or_all() -> None:
    assert suggest("qlra", ["qlora", "full"]) == "did you mean 'qlora'?"
    assert suggest("x", ["qlora", "full"]) == "choose from: full, qlora"
    assert suggest("x", []) == "there are none"


def test_repository_files_are_valid() -> None:
    files = [ROOT / "params.yaml", *sorted((ROOT / "studies").glob("*.yaml"))]
    assert len(files) >= 1
    for path in files:
        assert config.load(path).study


def published(**changes: Any) -> dict[str, Any]:
    run = {"model": "tiny", "dataset": "reviews", "method": "lora", "train_size": 1.0}
    run |= {"accuracy": 0.75} | changes
    kept = {key: value for key, value in run.items() if value is not None}
    return {"source": "a paper", "results": [kept]}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"accuracy": 74.9}, "[0].accuracy: 74.9 is no fraction; for 74.9% write 0.749"),
        ({"accuracy": None}, "[0]: names no metric; write its value: accuracy: 0.749"),
        ({"train_size": None}, "[0].train_size: a peft method needs one: train_size: 1.0"),
        ({"method": "zero_shot"}, "[0].train_size: a prompting method has none; remove it"),
        ({"method": "lra"}, "[0].method: 'lra' is not defined under methods; did you mean 'lora'?"),
    ],
)
def test_published_numbers_are_checked(
    changes: dict[str, Any], fault: str, valid: dict[str, Any], tmp_path: Path
) -> None:
    valid["published"] = published(**changes)
    assert faults_of(valid, tmp_path) == [f"published.results{fault}"]


def test_published_metric_must_be_one_of_ours(valid: dict[str, Any], project: Any) -> None:
    valid["published"] = published(acuracy=0.5)
    project.write_params(valid)
    done = project.run("check")
    assert done.returncode == 1
    assert done.stderr == (
        "error: params.yaml: published.results[0].acuracy: unknown metric;"
        " did you mean 'accuracy'?\n"
    )


def test_check_writes_what_the_report_tracks(valid: dict[str, Any], project: Any) -> None:
    assert project.run("check").returncode == 0
    assert results.read(paths.PUBLISHED) == {"published": None}
    valid["published"] = published()
    project.write_params(valid)
    assert project.run("check").returncode == 0
    assert results.read(paths.PUBLISHED)["published"] == valid["published"]


def test_name_of_a_file_beside_its_own(valid: dict[str, Any], tmp_path: Path) -> None:
    valid["datasets"]["published"] = valid["datasets"]["reviews"]
    assert faults_of(valid, tmp_path) == [
        "datasets.published: is the name of a file beside its own; rename it"
    ]
