"""Read the text on which tuning may raise the loss: python -m stages.held_out."""

from tunebench import config, download, held_out, paths, results, stage
from tunebench.paths import Run


def main(_: Run) -> None:
    """Write a line for each text, and the card of its data set; nothing where none is set."""
    params = config.load()
    held = params.evaluation.held_out
    texts: list[str] = []
    card: download.Card = {}
    if held is not None:
        fingerprint = results.read(paths.check("held_out"))["fingerprint"]
        given = paths.HELD_OUT_CARD
        earlier = results.read(given) if given.exists() else None
        dataset = params.dataset(held.dataset)
        texts, card = held_out.read(dataset, held, fingerprint, earlier=earlier)
    results.write_lines(paths.HELD_OUT, ({"text": text} for text in texts))
    results.write(paths.HELD_OUT_CARD, card)


if __name__ == "__main__":
    stage.run(main, downloads=True)
