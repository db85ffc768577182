"""Tune one model by one method:
python -m stages.train --model tiny --dataset posts --method qlora --train-size 0.1 --seed 0.
"""

from pathlib import Path

from tunebench import config, models, paths, prompts, results, stage, training
from tunebench.paths import Run


def outputs(run: Run) -> list[Path]:
    """The adapter, its metrics and its loss history."""
    return [paths.adapter(run), paths.train(run), paths.history(run)]


def main(run: Run, adapter: Path, metrics: Path, history: Path) -> None:
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
        output=adapter,
        history=history,
    )
    outcome = training.train(job)
    settings = job.described() | {"training": job.settings | outcome.chosen}
    provenance = results.provenance(run, settings, models.device_name())
    results.write(adapter / paths.PROVENANCE, provenance)
    results.write(metrics, outcome.metrics)
    training.write_history(history, outcome.history)


if __name__ == "__main__":
    stage.run(
        main,
        outputs,
        needs=("model", "dataset", "method", "train_size", "seed"),
        libraries=("transformers.trainer", "peft"),
    )
