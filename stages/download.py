"""Read one data set's rows from their source: python -m stages.download --dataset posts."""

from tunebench import config, download, paths, results, stage, tables
from tunebench.paths import Run


def main(run: Run) -> None:
    """Write each split as Parquet, and the card."""
    dataset = config.load().dataset(run.dataset)
    checked = results.read(paths.check(run.dataset))
    found = download.download(dataset, checked["fingerprint"])
    for split, rows in found.splits.items():
        tables.write(paths.split(run.dataset, split), rows)
    results.write(paths.card(run.dataset), found.card)


if __name__ == "__main__":
    stage.run(main, needs=("dataset",))
