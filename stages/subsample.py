"""Choose the training rows of one size and seed:
python -m stages.subsample --dataset posts --train-size 0.1 --seed 0.
"""

from pathlib import Path

from tunebench import config, paths, stage
from tunebench.data import reordering, sampling
from tunebench.paths import Run


def outputs(run: Run) -> list[Path]:
    """The rows of the subset."""
    return [paths.subset(run)]


def main(run: Run, folder: Path) -> None:
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
        reordering.copy(paths.split(run.dataset, source), indices, to=folder / f"{split}.parquet")


if __name__ == "__main__":
    stage.run(main, outputs, needs=("dataset", "train_size", "seed"))
