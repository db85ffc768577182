"""Serve one method's model and search the highest request rate that meets the objective:
python -m stages.load_test --model tiny --dataset posts --method few_shot.
"""

from pathlib import Path

from tunebench import config, evaluation, models, paths, prompts, results, serving, stage
from tunebench.paths import Run


def outputs(run: Run) -> list[Path]:
    """The answers with their provenance, and the metrics."""
    return [paths.served_folder(run), paths.load_test(run)]


def main(run: Run, served: Path, metrics: Path) -> None:
    """Write the rate that meets the objective with its latencies, and the answers."""
    params = config.load()
    base = models.Base.pinned(params.model(run.model), results.read(paths.pin(run.model)))
    dataset, method = params.dataset(run.dataset), params.method(run.method)
    selected = results.read(paths.selected(run)) if paths.trained(run) else None
    answering = evaluation.Answering(
        labels=results.read(paths.card(run.dataset))["labels"],
        settings=params.evaluation,
        generation=params.generation_for(dataset),
    )
    predictions = results.read_lines(paths.predictions(run))
    outcome = serving.load_test(
        base,
        method,
        answering,
        params.inference.serving,
        prompts.read(paths.test_prompts(run)),
        trained=Path(selected["trained"]) if selected else None,
        evaluated={row["id"]: row["answer"] for row in predictions if not row.get("draw")},
        folder=paths.load_test_folder(run),
    )
    settings = {"model": base.described(), "method": method, "inference": params.inference.serving}
    provenance = results.provenance(run, settings, models.device_name())
    results.write_lines(served / paths.PREDICTIONS, outcome.predictions)
    results.write(served / paths.PROVENANCE, provenance)
    results.write(metrics, outcome.metrics)


if __name__ == "__main__":
    stage.run(
        main,
        outputs,
        needs=("model", "dataset", "method"),
        libraries=("transformers.generation.utils",),
    )
