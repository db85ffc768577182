"""dvc.yaml, the code and the README name the same files and stages."""

import re
from importlib import import_module
from pathlib import Path

import pytest
from test_rooms import ROOT, STAGES, is_code, script_of

from tunebench import paths
from tunebench.paths import Run

TUNED = Run("tiny", "reviews", "qlora", 0.1, 3)
SUBSET = Run("tiny", "reviews", train_size=0.1, seed=3)
PROMPTED = Run("tiny", "reviews", "few_shot")
TEST = Run("tiny", "reviews")
OF_DATASET = Run(dataset="reviews")

# the runs of stages that are not made for each tuned run
RUNS = {
    "subsample": SUBSET,
    "format_prompts": SUBSET,
    "format_test": TEST,
    "format_prompting": PROMPTED,
    "evaluate_prompting": PROMPTED,
    "time_prompting": PROMPTED,
    "load_test_prompting": PROMPTED,
    "baselines": OF_DATASET,
}

# stage → what it reads of other stages, and what it writes, as the code spells it
SPELLED: dict[str, tuple[set[Path], set[Path]]] = {
    "check": (set(), {paths.CHECK}),
    "download": ({paths.check("reviews")}, {paths.raw("reviews"), paths.download("reviews")}),
    "forgetting_text": (
        {paths.check("forgetting_text")},
        {paths.FORGETTING_TEXT, paths.FORGETTING_CARD},
    ),
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
            paths.FORGETTING_TEXT,
        },
        {
            paths.answers(TUNED),
            paths.evaluation(TUNED),
        },
    ),
    "time_inference": (
        {
            paths.timing_settings("reviews"),
            paths.adapter(TUNED),
            paths.pin("tiny"),
            paths.test_prompts(TUNED),
            paths.card("reviews"),
            paths.selected(TUNED),
        },
        {paths.timing(TUNED), paths.timing_provenance(TUNED).parent},
    ),
    "load_test": (
        {
            paths.SERVING,
            paths.adapter(TUNED),
            paths.pin("tiny"),
            paths.test_prompts(TUNED),
            paths.card("reviews"),
            paths.answers(TUNED),
        },
        {paths.load_test(TUNED), paths.served_folder(TUNED)},
    ),
    "format_prompting": (
        {paths.VIRTUAL_TOKENS, paths.pin("tiny"), paths.raw("reviews")},
        {paths.prompts(PROMPTED), paths.prompts_metrics(PROMPTED)},
    ),
    "evaluate_prompting": (
        {paths.pin("tiny"), paths.test_prompts(PROMPTED), paths.card("reviews")},
        {
            paths.answers(PROMPTED),
            paths.evaluation(PROMPTED),
        },
    ),
    "time_prompting": (
        {
            paths.timing_settings("reviews"),
            paths.pin("tiny"),
            paths.test_prompts(PROMPTED),
            paths.card("reviews"),
        },
        {paths.timing(PROMPTED), paths.timing_provenance(PROMPTED).parent},
    ),
    "load_test_prompting": (
        {
            paths.SERVING,
            paths.pin("tiny"),
            paths.test_prompts(PROMPTED),
            paths.card("reviews"),
            paths.answers(PROMPTED),
        },
        {paths.load_test(PROMPTED), paths.served_folder(PROMPTED)},
    ),
    "baselines": (
        {paths.baseline_settings("reviews"), paths.raw("reviews")},
        set(paths.baseline_folders(Run(paths.BASELINE, "reviews"))),
    ),
    "report": (
        {
            paths.PUBLISHED,
            paths.COST,
            paths.REPORT,
            paths.DATA / "predictions",
            paths.METRICS / "evaluate",
            paths.METRICS / "history",
            paths.METRICS / "load_test",
            paths.METRICS / "time_inference",
            paths.METRICS / "train",
        },
        {paths.PAGE.parent, paths.TABLES, paths.PLOTS, paths.HEADLINES, paths.RESULTS},
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
    assert spelled_for_dvc(stage, "outs") == writes
    script = import_module(f"stages.{script_of(stage).stem}")
    assert set(script.outputs(RUNS.get(stage, TUNED))) == writes
    assert "metrics" not in STAGES[stage]


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
