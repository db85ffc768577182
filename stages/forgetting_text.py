"""Read the text on which tuning may raise the loss: python -m stages.forgetting_text."""

from tunebench import config, paths, results, stage
from tunebench.data import download, forgetting_text
from tunebench.paths import Run


def main(_: Run) -> None:
    """Write a line for each text, and the card of its data set; nothing where none is set."""
    params = config.load()
    held = params.evaluation.forgetting
    texts: list[str] = []
    card: download.Card = {}
    if held is not None:
        fingerprint = results.read(paths.check("forgetting_text"))["fingerprint"]
        given = paths.FORGETTING_CARD
        earlier = results.read(given) if given.exists() else None
        dataset = params.dataset(held.dataset)
        texts, card = forgetting_text.read(dataset, held, fingerprint, earlier=earlier)
    results.write_lines(paths.FORGETTING_TEXT, ({"text": text} for text in texts))
    results.write(paths.FORGETTING_CARD, card)


if __name__ == "__main__":
    stage.run(main, downloads=True)
