"""dvc.yaml, the scripts, the library and the README cannot drift apart."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tunebench import paths
from tunebench.paths import Run

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
STAGES: dict[str, Any] = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]

# modules that move no number
FREE = {"config", "errors", "paths", "results", "progress", "quiet", "stage"}

# from the bottom up: a module imports only from the layers below its own
LAYERS: list[set[str]] = [
    {"errors", "keeper", "memory", "progress", "quiet", "cost", "metrics", "statistics"}
    | {"control_tokens", "duplicates", "neftune", "trial"},
    {"paths"},
    {"config"},
    {"results", "deployment"},
    {"sources", "tables", "demo"},
    {"pins", "sampling", "tokenization", "cleaning", "quantized", "adapters"},
    {"checking", "download", "prompts", "templates"},
    {"encoding", "models", "fitting", "held_out"},
    {"formatting", "batching", "beginning", "merging", "outcomes"},
    {"training", "scoring", "generation"},
    {"evaluation", "forgetting", "timing"},
    {"serving"},
    {"selection"},
    {"report", "inspection"},
    {"stage", "cli"},
]


def file_of(module: str) -> Path | None:
    """A module's file, or None for one that is not ours."""
    base = ROOT if module.split(".")[0] == "stages" else SOURCE
    path = base.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if module.split(".")[0] in ("tunebench", "stages") and candidate.is_file():
            return candidate
    return None


def module_of(path: Path) -> str:
    base = SOURCE if path.is_relative_to(SOURCE) else ROOT
    return ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


@cache
def imports(path: Path) -> frozenset[Path]:
    """Our modules that a file imports anywhere in it, but for type checkers alone, or starts."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    skipped = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            found.add(str(node.module))
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and str(node.value).startswith("tunebench."):
            found.add(str(node.value))  # run with `python -m`
    files = {file_of(module) for module in found}
    return frozenset(file for file in files if file is not None)


def holds_code(path: Path) -> bool:
    """Whether a file is more than a docstring."""
    return len(ast.parse(path.read_text(encoding="utf-8")).body) > 1


def closure(script: Path) -> set[Path]:
    """Every file of ours whose code a script runs, less those that move no number."""
    seen: set[Path] = set()
    pending = [script]
    while pending:
        path = pending.pop()
        if path not in seen:
            seen.add(path)
            pending += imports(path)
    return {path for path in seen if top(path) not in FREE and holds_code(path)}


def top(path: Path) -> str:
    """`config` for src/tunebench/config/schema.py; empty for the package itself and stages."""
    name = module_of(path)
    return name.split(".")[1] if name.startswith("tunebench.") else ""


def is_code(dependency: str) -> bool:
    return dependency.startswith(("stages/", "src/"))


def expand(dependencies: list[str]) -> set[Path]:
    """Files of ours that a stage depends on; a folder stands for the modules in it."""
    found: set[Path] = set()
    for dependency in filter(is_code, dependencies):
        path = ROOT / dependency
        assert path.exists(), f"dvc.yaml: {dependency} is not there"
        found |= {path} if path.is_file() else set(path.rglob("*.py"))
    return {path for path in found if holds_code(path)}


def script_of(stage: str) -> Path:
    (name,) = re.findall(r"^python -m stages\.(\w+)", STAGES[stage]["cmd"])
    return ROOT / "stages" / f"{name}.py"


def relative(files: set[Path]) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in files)


@pytest.mark.parametrize("stage", sorted(set(STAGES) - {"check"}))
def test_stage_depends_on_what_it_runs(stage: str) -> None:
    files = closure(script_of(stage))
    assert script_of(stage) in files
    assert len(files) >= 3
    assert relative(expand(STAGES[stage]["deps"])) == relative(files)


def test_check_runs_always_and_so_needs_no_deps() -> None:
    assert STAGES["check"]["always_changed"] is True
    assert "deps" not in STAGES["check"]


def test_every_script_is_a_stage() -> None:
    scripts = {path for path in (ROOT / "stages").glob("*.py") if path.stem != "__init__"}
    assert {script_of(stage) for stage in STAGES} == scripts
    assert len(scripts) >= 9


def test_deps_of_one_script_are_the_same_wherever_it_runs() -> None:
    by_script: dict[Path, set[tuple[str, ...]]] = {}
    for stage, entry in STAGES.items():
        code = tuple(filter(is_code, entry.get("deps", [])))
        by_script.setdefault(script_of(stage), set()).add(code)
    assert len(by_script) < len(STAGES)
    assert {script.stem: len(lists) for script, lists in by_script.items()} == {
        script.stem: 1 for script in by_script
    }


def test_code_deps_stand_in_order() -> None:
    for stage, entry in STAGES.items():
        code = [dependency for dependency in entry.get("deps", []) if is_code(dependency)]
        assert code[1:] == sorted(code[1:]), stage
        assert not code or code[0] == f"stages/{script_of(stage).name}"


def ours() -> list[Path]:
    return sorted((SOURCE / "tunebench").rglob("*.py"))


def test_every_module_has_a_layer() -> None:
    named = [name for layer in LAYERS for name in layer]
    assert len(named) == len(set(named))
    assert {top(path) for path in ours()} - {""} <= set(named)


def test_imports_run_downwards() -> None:
    level = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    checked = 0
    for path in ours():
        for imported in imports(path):
            if top(path) and top(imported) and top(path) != top(imported):
                assert level[top(imported)] < level[top(path)], (
                    f"{module_of(path)} imports {module_of(imported)}, which stands above it"
                )
                checked += 1
    assert checked >= 60


def test_stages_import_no_other_stage() -> None:
    scripts = sorted((ROOT / "stages").glob("*.py"))
    assert len(scripts) >= 10
    for script in scripts:
        assert not {path for path in imports(script) if path.parent == ROOT / "stages"}, script


def test_library_imports_no_stage() -> None:
    for path in ours():
        assert not {other for other in imports(path) if other.parent == ROOT / "stages"}, path


TUNED = Run("tiny", "reviews", "qlora", 0.1, 3)
SUBSET = Run("tiny", "reviews", train_size=0.1, seed=3)
PROMPTED = Run("tiny", "reviews", "few_shot")
TEST = Run("tiny", "reviews")

# stage → what it reads of other stages, and what it writes, as the code spells it
SPELLED: dict[str, tuple[set[Path], set[Path]]] = {
    "check": (set(), {paths.CHECK}),
    "download": ({paths.check("reviews")}, {paths.raw("reviews"), paths.download("reviews")}),
    "held_out": ({paths.check("held_out")}, {paths.HELD_OUT, paths.HELD_OUT_CARD}),
    "fetch_model": ({paths.check("tiny")}, {paths.pin("tiny")}),
    "subsample": ({paths.raw("reviews")}, {paths.subset(SUBSET)}),
    "format_prompts": (
        {paths.VIRTUAL_TOKENS, paths.pin("tiny"), paths.raw("reviews"), paths.subset(SUBSET)},
        {paths.prompts(SUBSET), paths.prompts_metrics(SUBSET)},
    ),
    "format_test": (
        {paths.VIRTUAL_TOKENS, paths.pin("tiny"), paths.raw("reviews")},
        {paths.prompts(TEST), paths.prompts_metrics(TEST)},
    ),
    "train": (
        {paths.pin("tiny"), paths.prompts(TUNED)},
        {paths.adapter(TUNED), paths.history(TUNED), paths.train(TUNED)},
    ),
    "evaluate": (
        {
            paths.adapter(TUNED),
            paths.pin("tiny"),
            paths.prompts(SUBSET),
            paths.test_prompts(TUNED),
            paths.card("reviews"),
            paths.HELD_OUT,
        },
        {
            paths.predictions(TUNED),
            paths.predictions_provenance(TUNED),
            paths.evaluation(TUNED),
            paths.selected(TUNED),
        },
    ),
    "time_inference": (
        {
            paths.TIMING,
            paths.adapter(TUNED),
            paths.pin("tiny"),
            paths.test_prompts(TUNED),
            paths.card("reviews"),
            paths.selected(TUNED),
        },
        {paths.timing(TUNED), paths.timing_provenance(TUNED)},
    ),
    "load_test": (
        {
            paths.SERVING,
            paths.adapter(TUNED),
            paths.pin("tiny"),
            paths.test_prompts(TUNED),
            paths.card("reviews"),
            paths.predictions(TUNED),
            paths.selected(TUNED),
        },
        {paths.load_test(TUNED), paths.served(TUNED), paths.served_provenance(TUNED)},
    ),
    "format_prompting": (
        {paths.VIRTUAL_TOKENS, paths.pin("tiny"), paths.raw("reviews")},
        {paths.prompts(PROMPTED), paths.prompts_metrics(PROMPTED)},
    ),
    "evaluate_prompting": (
        {paths.pin("tiny"), paths.test_prompts(PROMPTED), paths.card("reviews")},
        {
            paths.predictions(PROMPTED),
            paths.predictions_provenance(PROMPTED),
            paths.evaluation(PROMPTED),
        },
    ),
    "time_prompting": (
        {paths.TIMING, paths.pin("tiny"), paths.test_prompts(PROMPTED), paths.card("reviews")},
        {paths.timing(PROMPTED), paths.timing_provenance(PROMPTED)},
    ),
    "load_test_prompting": (
        {
            paths.SERVING,
            paths.pin("tiny"),
            paths.test_prompts(PROMPTED),
            paths.card("reviews"),
            paths.predictions(PROMPTED),
        },
        {paths.load_test(PROMPTED), paths.served(PROMPTED), paths.served_provenance(PROMPTED)},
    ),
    "report": (
        {
            paths.PUBLISHED,
            paths.COST,
            paths.DATA / "predictions",
            paths.METRICS / "evaluate",
            paths.METRICS / "history",
            paths.METRICS / "load_test",
            paths.METRICS / "time_inference",
            paths.METRICS / "train",
        },
        {paths.PAGE.parent, paths.TABLES, paths.PLOTS, paths.SUMMARY},
    ),
}


def spelled_for_dvc(stage: str, *keys: str) -> set[Path]:
    """A stage's files as dvc.yaml names them, for the runs above."""
    prompting = stage.endswith("_prompting")
    values = {
        "item.model": "tiny",
        "item.dataset": "reviews",
        "item.method": "few_shot" if prompting else "qlora",
        "item.train_size": "0.1",
        "item.seed": "3",
        "inference.train_size": "0.1",
        "grid.seeds[0]": "3",
    }
    found = set()
    for key in keys:
        for entry in STAGES[stage].get(key, []):
            text = entry if isinstance(entry, str) else next(iter(entry))
            if not is_code(text):
                found.add(Path(re.sub(r"\$\{(.+?)\}", lambda name: values[name[1]], text)))
    return found


def test_every_stage_has_its_paths() -> None:
    assert set(SPELLED) == set(STAGES)


@pytest.mark.parametrize("stage", list(SPELLED))
def test_dvc_and_the_code_spell_the_same_paths(stage: str) -> None:
    reads, writes = SPELLED[stage]
    assert spelled_for_dvc(stage, "deps") == reads
    assert spelled_for_dvc(stage, "outs", "metrics") == writes


def test_metrics_live_in_git() -> None:
    checked = 0
    for stage, entry in STAGES.items():
        for kind in ("outs", "metrics"):
            for output in entry.get(kind, []):
                text = output if isinstance(output, str) else next(iter(output))
                cached = isinstance(output, str) or output[text].get("cache", True)
                assert cached is not text.startswith("metrics/"), (stage, text)
                checked += 1
    assert checked >= 20


def test_readme_names_every_stage() -> None:
    readme = ROOT / "README.md"
    if readme.exists():
        words = set(re.findall(r"`(\w+)`", readme.read_text(encoding="utf-8")))
        assert set(STAGES) <= words
