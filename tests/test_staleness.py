"""The report refuses results that were made with other settings than params.yaml has."""

from pathlib import Path
from typing import Any

import pytest

from tunebench import config, evaluation, models, paths, results
from tunebench.config.schema import Params
from tunebench.config.timed import TimedAnswers
from tunebench.errors import SourceError
from tunebench.paths import Run
from tunebench.report import staleness

TUNED, PROMPTED = Run("tiny", "reviews", "lora", 1.0, 0), Run("tiny", "reviews", "few_shot")


def write_provenance(params: Params, run: Run) -> None:
    """What the stages of a run write; see `stages/`."""
    dataset, method = params.dataset(run.dataset), params.method(run.method)
    base = models.Base(Path("model"), "0" * 40, params.model(run.model))
    answering = evaluation.Answering(["a", "b"], params.evaluation, params.generation_for(dataset))
    shared = {"model": base.described(), "method": method}
    written = {
        paths.predictions_provenance(run): {"evaluation": answering},
        paths.timing_provenance(run): {
            "inference": params.inference.timing,
            "answers": TimedAnswers.of(params, run.dataset),
        },
        paths.served_provenance(run): {"inference": params.inference.serving},
    }
    if run.train_size is not None:
        training = params.training_for(dataset, params.tuning_method(run.method))
        written[paths.adapter(run) / paths.PROVENANCE] = {"training": training, "seed": 0}
    for path, settings in written.items():
        results.write(path, results.provenance(run, shared | settings, "cpu"))


@pytest.fixture
def made(project: Any, valid: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Parameters, and the provenance of one tuned and one prompted run made with them."""
    monkeypatch.chdir(project.folder)
    valid["inference"] |= {
        "load_test": {"tuning": ["lora"], "prompting": []},
        "server": "own",
        "servers": {"own": {"command": "serve {model} --port {port}"}},
        "objective": {"latency_p90_s": 1.0},
    }
    project.write_params(valid)
    for run in (TUNED, PROMPTED):
        write_provenance(config.load(), run)
    staleness.check(config.load())
    return valid


def changed(project: Any, valid: dict[str, Any]) -> list[str]:
    """What the check says of edited parameters: each file, and the setting that differs."""
    project.write_params(valid)
    try:
        staleness.check(config.load())
    except SourceError as error:
        lines = str(error).splitlines()
        assert all(line.endswith("just then; remove it and run `dvc repro`") for line in lines)
        return [line.split(" than params.yaml")[0] for line in lines]
    return []


ADAPTER = "data/adapters/tiny/reviews/lora/1.0-0/run.json: was made with another"
PREDICTIONS = "data/predictions/tiny/reviews/{}/run.json: was made with another {}"
TIMING = "data/timings/tiny/reviews/{}/run.json: was made with another {}"
SERVED = "data/served/tiny/reviews/lora/run.json: was made with another {}"


def test_another_learning_rate(project: Any, made: dict[str, Any]) -> None:
    made["training"]["learning_rate"] = 0.075  # which the method overrides
    assert changed(project, made) == []
    made["methods"]["lora"]["training"] = {"learning_rate": 0.0025}
    found = changed(project, made)
    assert f"{ADAPTER} training" in found
    assert f"{ADAPTER} method" in found
    made["methods"]["lora"]["training"] = {"learning_rate": 0.01}
    made["training"]["weight_decay"] = 0.1  # a key that was not there
    assert changed(project, made) == [f"{ADAPTER} training"]


def test_another_evaluation(project: Any, made: dict[str, Any]) -> None:
    made["evaluation"]["generation"] = {"do_sample": False, "max_new_tokens": 5}
    assert sorted(changed(project, made)) == sorted(
        PREDICTIONS.format(run, name)
        for run in ("lora/1.0-0", "few_shot")
        for name in ("evaluation", "generation")
    )


def test_another_model_and_method(project: Any, made: dict[str, Any]) -> None:
    made["models"]["tiny"]["dtype"] = "bfloat16"
    assert len(changed(project, made)) == 6
    made["models"]["tiny"]["dtype"] = "float32"
    made["methods"]["few_shot"]["shots"] = 1
    assert changed(project, made) == [
        PREDICTIONS.format("few_shot", "method"),
        TIMING.format("few_shot", "method"),
    ]


def test_other_timings_and_loads(project: Any, made: dict[str, Any]) -> None:
    made["inference"]["prompts"] = 3
    assert sorted(changed(project, made)) == [
        TIMING.format("few_shot", "inference"),
        TIMING.format("lora", "inference"),
    ]
    made["inference"]["prompts"] = 2
    made["inference"]["hold_s"] = 99.0
    assert changed(project, made) == [SERVED.format("inference")]
    made["inference"]["load_test"] = {"tuning": [], "prompting": []}  # none is reported
    assert changed(project, made) == []


def test_settings_that_a_search_chose_do_not_differ(project: Any, made: dict[str, Any]) -> None:
    made["methods"]["lora"]["search"] = {"learning_rate": [0.1, 0.2]}
    made["datasets"]["reviews"]["validation_rows"] = 4
    project.write_params(made)
    params = config.load()
    write_provenance(params, TUNED)
    path = paths.adapter(TUNED) / paths.PROVENANCE
    written = results.read(path)
    written["settings"]["training"]["learning_rate"] = 0.2
    results.write(path, written)
    staleness.check(params)


def test_setting_of_a_later_version_does_not_differ_by_its_default(
    project: Any, made: dict[str, Any]
) -> None:
    path = paths.predictions_provenance(PROMPTED)
    written = results.read(path)
    del written["settings"]["evaluation"]["settings"]["label_end"]
    results.write(path, written)
    assert changed(project, made) == []
    made["evaluation"]["label_end"] = "always"
    assert PREDICTIONS.format("few_shot", "evaluation") in changed(project, made)


def test_what_auto_became_is_no_difference(project: Any, made: dict[str, Any]) -> None:
    made["models"]["tiny"]["dtype"] = "auto"
    assert changed(project, made) == []
