"""Answer the test prompts with a tuned or a prompted model, and judge the answers:
python -m stages.evaluate --model tiny --dataset posts --method qlora --train-size 0.1 --seed 0.
"""

from functools import partial

from tunebench import config, evaluation, models, paths, prompts, results, stage
from tunebench.evaluation import draws, forgetting, selection
from tunebench.paths import Run


def main(run: Run) -> None:
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
    metrics = outcome.metrics
    if outcome.trained:
        results.write(paths.selected(run), {"trained": outcome.trained.as_posix()})
        if outcome.predictions and params.forgetting_for(run.dataset):
            metrics |= forgetting.measure(
                base,
                method,
                [row["text"] for row in results.read_lines(paths.FORGETTING_TEXT)],
                trained=outcome.trained,
                context_length=pin["context_length"],
                batch_tokens=params.evaluation.batch_tokens,
            )
    settings = {"model": base.described(), "method": method, "evaluation": answering}
    provenance = results.provenance(run, settings, models.device_name())
    results.write_lines(paths.predictions(run), outcome.predictions)
    results.write(paths.predictions_provenance(run), provenance)
    results.write(paths.evaluation(run), metrics)


if __name__ == "__main__":
    stage.run(
        main, needs=("model", "dataset", "method"), libraries=("transformers.generation.utils",)
    )
