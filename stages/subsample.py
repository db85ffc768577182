"""Choose the training rows of one size and seed:
python -m stages.subsample --dataset posts --train-size 0.1 --seed 0.
"""

from tunebench import config, paths, sampling, stage, tables
from tunebench.paths import Run


def main(run: Run) -> None:
    """Write nested, stratified training rows, and validation rows that no subset holds."""
    dataset = config.load().dataset(run.dataset)
    given = paths.split(run.dataset, "validation")
    subset = sampling.subset(
        tables.read(paths.split(run.dataset, "train")),
        tables.read(given) if given.exists() else None,
        train_size=run.train_size,
        validation_rows=dataset.validation_rows,
        stratify=dataset.labelled,
        seed=run.seed,
    )
    for split, rows in subset.items():
        tables.write(paths.subset(run) / f"{split}.parquet", rows)


if __name__ == "__main__":
    stage.run(main, needs=("dataset", "train_size", "seed"))
