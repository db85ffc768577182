"""Answer the test prompts with a tuned or a prompted model, and judge the answers:
python -m stages.evaluate --model tiny --dataset posts --method qlora --train-size 0.1 --seed 0.
"""

from functools import partial
from pathlib import Path

from tunebench import config, evaluation, models, paths, prompts, results, stage
from tunebench.evaluation import draws, forgetting, selection
from tunebench.paths import Run


def outputs(run: Run) -> list[Path]:
    """The predictions with their provenance, and the metrics."""
    return [paths.answers(run), paths.evaluation(run)]


def main(run: Run, answers: Path, metrics: Path) -> None:
    """Write the predictions with their provenance, and the metrics."""
    params = config.load()
    pin = results.read(paths.pin(run.model))
    base = models.Base.pinned(params.model(run.model), pin)
    dataset, method = params.dataset(run.dataset), params.method(run.method)
    answering = evaluation.Answering(
        labels=results.read(paths.card(run.dataset))["labels"],
        settings=params.evaluation,
        generation=params.generation_for(dataset),
    )
    answer = partial(evaluation.evaluate, base, method, answering)
    if trained := paths.trained(run):
        outcome = selection.evaluate(
            answer,
            answering,
            trained,
            test=prompts.read(paths.test_prompts(run)),
            validation=prompts.read_split(paths.prompts(run), "validation"),
        )
    else:
        outcome = draws.evaluate(answer, prompts.read_draws(paths.test_prompts(run)))
    measured = outcome.metrics
    if outcome.trained:
        results.write(answers / paths.SELECTED, {"trained": outcome.trained.as_posix()})
        if outcome.predictions and params.forgetting_for(run.dataset):
            measured |= forgetting.measure(
                base,
                method,
                [row["text"] for row in results.read_lines(paths.FORGETTING_TEXT)],
                trained=outcome.trained,
                context_length=pin["context_length"],
                batch_tokens=params.evaluation.batch_tokens,
            )
    settings = {"model": base.described(), "method": method, "evaluation": answering}
    provenance = results.provenance(run, settings, models.device_name())
    results.write_lines(answers / paths.PREDICTIONS, outcome.predictions)
    results.write(answers / paths.PROVENANCE, provenance)
    results.write(metrics, measured)


if __name__ == "__main__":
    stage.run(
        main,
        outputs,
        needs=("model", "dataset", "method"),
        libraries=("transformers.generation.utils",),
    )
