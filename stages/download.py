"""Read one data set's rows from their source: python -m stages.download --dataset posts."""

import sys
from pathlib import Path

from tunebench import config, paths, results, stage
from tunebench.data import download
from tunebench.paths import Run


def outputs(run: Run) -> list[Path]:
    """The rows with their card, and the metrics."""
    return [paths.raw(run.dataset), paths.download(run.dataset)]


def main(run: Run, folder: Path, metrics: Path) -> None:
    """Write each split as Parquet, the card, and how many rows there are."""
    dataset = config.load().dataset(run.dataset)
    checked = results.read(paths.check(run.dataset))
    earlier = results.earlier(paths.card(run.dataset))
    card = download.download(dataset, checked["fingerprint"], folder, earlier=earlier)
    results.write(folder / paths.CARD, card)
    results.write(metrics, download.metrics(card))
    if note := download.note(card):
        print(f"{run.dataset}: {note}", file=sys.stderr)


if __name__ == "__main__":
    stage.run(main, outputs, needs=("dataset",), downloads=True)
