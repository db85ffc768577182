"""Tune one model by one method:
python -m stages.train --model tiny --dataset posts --method qlora --train-size 0.1 --seed 0.
"""

from tunebench import config, models, paths, prompts, results, stage, training
from tunebench.paths import Run


def main(run: Run) -> None:
    """Write the adapter with its provenance, the metrics and the loss history."""
    params = config.load()
    method = params.tuning_method(run.method)
    _, seed = run.sized
    job = training.Job(
        name=str(run),
        base=models.Base.pinned(params.model(run.model), results.read(paths.pin(run.model))),
        method=method,
        settings=params.training_for(params.dataset(run.dataset), method),
        seed=seed,
        prompts=prompts.read_subset(paths.prompts(run)),
        checkpoints=paths.checkpoints(run),
        output=paths.adapter(run),
        history=paths.history(run),
    )
    outcome = training.train(job)
    settings = job.described() | {"training": job.settings | outcome.chosen}
    provenance = results.provenance(run, settings, models.device_name())
    results.write(paths.adapter(run) / "run.json", provenance)
    results.write(paths.train(run), outcome.metrics)
    training.write_history(paths.history(run), outcome.history)


if __name__ == "__main__":
    stage.run(
        main,
        needs=("model", "dataset", "method", "train_size", "seed"),
        libraries=("transformers.trainer", "peft"),
    )
