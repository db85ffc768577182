"""Read the text that forgetting is measured on: python -m stages.forgetting_text."""

from tunebench import config, paths, results, stage
from tunebench.data import download, forgetting_text
from tunebench.paths import Run


def main(_: Run) -> None:
    """Write a line for each text, and the card of its data set; empty files where none is set."""
    params = config.load()
    settings = params.evaluation.forgetting
    texts: list[str] = []
    card: download.Card = {}
    if settings is not None:
        fingerprint = results.read(paths.check("forgetting_text"))["fingerprint"]
        card_path = paths.FORGETTING_CARD
        earlier = results.read(card_path) if card_path.exists() else None
        dataset = params.dataset(settings.dataset)
        texts, card = forgetting_text.read(dataset, settings, fingerprint, earlier=earlier)
    results.write_lines(paths.FORGETTING_TEXT, ({"text": text} for text in texts))
    results.write(paths.FORGETTING_CARD, card)


if __name__ == "__main__":
    stage.run(main, downloads=True)
