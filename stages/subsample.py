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
    subset = sampling.subset_of_run(config.load().dataset(run.dataset), run)
    for split, (source, indices) in subset.items():
        reordering.copy(paths.split(run.dataset, source), indices, to=folder / f"{split}.parquet")


if __name__ == "__main__":
    stage.run(main, outputs, needs=("dataset", "train_size", "seed"))
