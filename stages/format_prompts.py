"""Turn rows into prompts that fit the model's context:
python -m stages.format_prompts --model tiny --dataset posts --train-size 0.1 --seed 0.

With a size and a seed: the rows of that training subset. With a method: the test rows as that
prompting method shows them. With neither: the test rows as every tuned method sees them.
"""

from collections.abc import Iterator
from pathlib import Path

from tunebench import config, formatting, paths, prompts, results, stage
from tunebench.paths import Run
from tunebench.prompts import DoesNotFit, Prompt


def outputs(run: Run) -> list[Path]:
    """The prompts, and how long they are."""
    return [paths.prompts(run), paths.prompts_metrics(run)]


def main(run: Run, lines: Path, metrics: Path) -> None:
    """Write prompts, and how long they are."""
    params = config.load()
    pin = results.read(paths.pin(run.model))
    labels = results.read(paths.card(run.dataset))["labels"]
    formatted: Iterator[Prompt | DoesNotFit]
    if run.size_and_seed:
        formatted = formatting.training_prompts(params, run, pin, labels)
    else:
        formatted = formatting.test_prompts(params, run, pin, labels)
    results.write(metrics, prompts.write(lines, formatted))


if __name__ == "__main__":
    stage.run(main, outputs, needs=("model", "dataset"))
