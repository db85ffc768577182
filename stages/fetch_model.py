"""Pin which files a model's name stands for: python -m stages.fetch_model --model tiny."""

from tunebench import paths, pins, results, stage
from tunebench.paths import Run


def main(run: Run) -> None:
    """Write the model's pin; its weights stay where they are."""
    results.write(paths.pin(run.model), pins.pin(results.read(paths.check(run.model))))


if __name__ == "__main__":
    stage.run(main, needs=("model",))
