"""Read one data set's rows from their source: python -m stages.download --dataset posts."""

import sys

from tunebench import config, paths, results, stage
from tunebench.data import download
from tunebench.paths import Run


def main(run: Run) -> None:
    """Write each split as Parquet, the card, and how many rows there are."""
    dataset = config.load().dataset(run.dataset)
    checked = results.read(paths.check(run.dataset))
    card_path = paths.card(run.dataset)
    earlier = results.read(card_path) if card_path.exists() else None
    with results.replacing_folder(paths.raw(run.dataset)) as folder:
        card = download.download(dataset, checked["fingerprint"], folder, earlier=earlier)
        results.write(folder / card_path.name, card)
    results.write(paths.download(run.dataset), download.metrics(card))
    if note := download.note(card):
        print(f"{run.dataset}: {note}", file=sys.stderr)


if __name__ == "__main__":
    stage.run(main, needs=("dataset",), downloads=True)
