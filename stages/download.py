"""Read one data set's rows from their source: python -m stages.download --dataset posts."""

from tunebench import config, download, paths, results, stage, tables
from tunebench.paths import Run


def main(run: Run) -> None:
    """Write each split as Parquet, and the card."""
    dataset = config.load().dataset(run.dataset)
    checked = results.read(paths.check(run.dataset))
    card = paths.card(run.dataset)
    earlier = results.read(card) if card.exists() else None
    found = download.download(dataset, checked["fingerprint"], earlier=earlier)
    for split, rows in found.splits.items():
        tables.write(paths.split(run.dataset, split), rows)
    results.write(card, found.card)
    # DVC keeps the folder between runs for the card's sake, so a split of old may stand in it
    for path in paths.raw(run.dataset).glob("*.parquet"):
        if path.stem not in found.splits:
            path.unlink()


if __name__ == "__main__":
    stage.run(main, needs=("dataset",), downloads=True)
