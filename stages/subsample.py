"""Choose the training rows of one size and seed:
python -m stages.subsample --dataset posts --train-size 0.1 --seed 0.
"""

from tunebench import config, paths, stage
from tunebench.data import sampling, tables
from tunebench.paths import Run


def main(run: Run) -> None:
    """Write nested, stratified training rows, and validation rows that are in no subset."""
    dataset = config.load().dataset(run.dataset)
    train_size, seed = run.sized
    validation = paths.split(run.dataset, "validation")
    subset = sampling.subset(
        sampling.labels_of(paths.split(run.dataset, "train"), stratify=dataset.labelled),
        sampling.labels_of(validation, stratify=dataset.labelled) if validation.exists() else None,
        train_size=train_size,
        validation_rows=dataset.validation_rows,
        seed=seed,
    )
    for split, (source, indices) in subset.items():
        target = paths.subset(run) / f"{split}.parquet"
        tables.copy(paths.split(run.dataset, source), indices, to=target)


if __name__ == "__main__":
    stage.run(main, needs=("dataset", "train_size", "seed"))
