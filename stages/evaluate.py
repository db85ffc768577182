"""Answer the test prompts, tuned or only prompted, and judge the answers:
python -m stages.evaluate --model tiny --dataset posts --method qlora --train-size 0.1 --seed 0.
"""

from functools import partial

from tunebench import config, evaluation, models, paths, prompts, results, selection, stage
from tunebench.paths import Run


def main(run: Run) -> None:
    """Write the predictions with their provenance, and the metrics."""
    params = config.load()
    base = models.Base.pinned(params.model(run.model), results.read(paths.pin(run.model)))
    dataset, method = params.dataset(run.dataset), params.method(run.method)
    how = evaluation.Answering(
        labels=results.read(paths.card(run.dataset))["labels"],
        settings=params.evaluation,
        generation=params.generation_for(dataset),
    )
    test, trained = prompts.read(paths.test_prompts(run)), paths.trained(run)
    answer = partial(evaluation.evaluate, base, method, how)
    if trained is None:
        outcome = answer(test)
    else:
        validation = prompts.read_split(paths.prompts(run), "validation")
        outcome, selected = selection.evaluate(
            answer, how, trained, test=test, validation=validation
        )
        results.write(paths.selected(run), selected)
    settings = {"model": base.described(), "method": method, "evaluation": how}
    provenance = results.provenance(run, settings, models.device_name())
    results.write_lines(paths.predictions(run), outcome.predictions)
    results.write(paths.predictions_provenance(run), provenance)
    results.write(paths.evaluation(run), outcome.metrics)


if __name__ == "__main__":
    stage.run(main, needs=("model", "dataset", "method"))
