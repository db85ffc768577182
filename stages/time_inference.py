"""Time one method's answers in this process:
python -m stages.time_inference --model tiny --dataset posts --method few_shot.
"""

from pathlib import Path

from tunebench import config, models, paths, prompts, results, stage, timing
from tunebench.config.timed import GREEDY, TimedAnswers
from tunebench.paths import Run


def outputs(run: Run) -> list[Path]:
    """The provenance and the metrics."""
    return [paths.timing_folder(run), paths.timing(run)]


def main(run: Run, folder: Path, metrics: Path) -> None:
    """Write latency, throughput and memory, with their provenance."""
    params = config.load()
    base = models.Base.pinned(params.model(run.model), results.read(paths.pin(run.model)))
    method = params.method(run.method)
    selected = results.read(paths.selected(run)) if paths.trained(run) else None
    answers = TimedAnswers.of(params, run.dataset)
    scored = answers.label_end is not None
    measured = timing.time_inference(
        base,
        method,
        prompts.read(paths.test_prompts(run)),
        params.inference.timing,
        labels=results.read(paths.card(run.dataset))["labels"] if scored else [],
        label_end=answers.label_end or "where_needed",
        generation=answers.generation or GREEDY,
        trained=Path(selected["trained"]) if selected else None,
    )
    settings = {
        "model": base.described(),
        "method": method,
        "inference": params.inference.timing,
        "answers": answers,
    }
    provenance = results.provenance(run, settings, models.device_name())
    results.write(folder / paths.PROVENANCE, provenance)
    results.write(metrics, measured)


if __name__ == "__main__":
    stage.run(
        main,
        outputs,
        needs=("model", "dataset", "method"),
        libraries=("transformers.generation.utils",),
    )
