"""Pin the revision and files of a model: python -m stages.fetch_model --model tiny."""

from pathlib import Path

from tunebench import paths, results, stage
from tunebench.data import pins
from tunebench.paths import Run


def main(run: Run, pin: Path) -> None:
    """Write the model's pin; its weights stay where they are, or in the Hugging Face cache."""
    checked = results.read(paths.check(run.model))
    earlier = results.earlier(paths.pin(run.model))
    results.write(pin, pins.pin(checked, earlier=earlier))


if __name__ == "__main__":
    stage.run(main, lambda run: [paths.pin(run.model)], needs=("model",), downloads=True)
