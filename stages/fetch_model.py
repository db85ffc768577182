"""Pin the revision and files of a model, and try methods on it:
python -m stages.fetch_model --model tiny.
"""

from pathlib import Path

from tunebench import paths, results, stage
from tunebench.data import pins
from tunebench.models import compatibility, dequantized, dtypes, files_folder
from tunebench.paths import Run


def outputs(run: Run) -> list[Path]:
    """The pin."""
    return [paths.pin(run.model)]


def main(run: Run, output: Path) -> None:
    """Write the model's pin; its weights stay where they are, or in the Hugging Face cache."""
    checked = results.read(paths.check(run.model))
    earlier = results.earlier(paths.pin(run.model))
    pin = pins.pin(dequantized.prepared(checked), earlier=earlier)
    folder = files_folder(pin)
    compatibility.check_files(folder)
    compatibility.check_methods(run.model, folder, checked["methods"])
    results.write(output, pin | dtypes.resolved(pin["source"], folder, earlier=earlier))


if __name__ == "__main__":
    stage.run(
        main,
        outputs,
        needs=("model",),
        libraries=("transformers.generation.utils", "peft"),
        downloads=True,
    )
