"""Pin which files a model's name stands for: python -m stages.fetch_model --model tiny."""

from tunebench import config, paths, pins, results, stage
from tunebench.paths import Run


def main(run: Run) -> None:
    """Write the model's pin; its weights stay where they are."""
    model = config.load().model(run.model)
    checked = results.read(paths.check(run.model))
    results.write(paths.pin(run.model), checked | pins.describe(model.path))


if __name__ == "__main__":
    stage.run(main, needs=("model",))
