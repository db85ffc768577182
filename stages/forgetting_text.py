"""Read the text that forgetting is measured on: python -m stages.forgetting_text."""

from pathlib import Path

from tunebench import config, paths, results, stage
from tunebench.data import download, forgetting_text
from tunebench.paths import Run


def outputs(_: Run) -> list[Path]:
    """The texts, and the card of their data set."""
    return [paths.FORGETTING_TEXT, paths.FORGETTING_CARD]


def main(_: Run, lines: Path, card_file: Path) -> None:
    """Write a line for each text, and the card of its data set; empty files where none is set."""
    params = config.load()
    settings = params.evaluation.forgetting
    texts: list[str] = []
    card: download.Card = {}
    if settings is not None:
        fingerprint = results.read(paths.check("forgetting_text"))["fingerprint"]
        earlier = results.earlier(paths.FORGETTING_CARD)
        dataset = params.dataset(settings.dataset)
        texts, card = forgetting_text.read(dataset, settings, fingerprint, earlier=earlier)
    results.write_lines(lines, ({"text": text} for text in texts))
    results.write(card_file, card)


if __name__ == "__main__":
    stage.run(main, outputs, downloads=True)
