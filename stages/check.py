"""Check params.yaml and what it names, before any work: python -m stages.check."""

from dataclasses import asdict
from pathlib import Path

from tunebench import config, paths, results, stage
from tunebench.config.timed import TimedAnswers
from tunebench.data import checking
from tunebench.paths import Run


def outputs(_: Run) -> list[Path]:
    """A file for each data set, model, and set of parameters that DVC cannot track itself."""
    return [paths.CHECK]


def main(_: Run, folder: Path) -> None:
    """Write the source and the fingerprint of each data set and model of the grid."""
    params = config.load()
    # DVC cannot track keys that params.yaml lacks, so stages track these files
    found = {
        **{paths.check(name): source for name, source in checking.check(params).items()},
        paths.PUBLISHED: params.model_dump(include={"published"}),
        paths.COST: params.model_dump(include={"cost"}),
        paths.SERVING: params.inference.serving.model_dump(),
        paths.VIRTUAL_TOKENS: {"virtual_tokens": params.virtual_tokens},
        **{
            paths.timing_settings(name): params.inference.timing.model_dump()
            | asdict(TimedAnswers.of(params, name))
            for name in params.grid.datasets
        },
    }
    for path, content in found.items():
        results.write(folder / path.relative_to(paths.CHECK), content)
    for metrics in paths.METRIC_FOLDERS:  # the report reads all of them, empty ones too
        metrics.mkdir(parents=True, exist_ok=True)
    # DVC warns of a dependency without files
    (paths.LOAD_TESTS / ".keep").touch()


if __name__ == "__main__":
    stage.run(main, outputs)
