"""Check params.yaml and what it names, before any work: python -m stages.check."""

from pathlib import Path

from tunebench import config, paths, stage
from tunebench.paths import Run
from tunebench.planning import check_files, queue


def outputs(_: Run) -> list[Path]:
    """A file for each data set, model, and set of parameters that DVC cannot track itself."""
    return [paths.CHECK]


def main(_: Run, folder: Path) -> None:
    """Write the source and the fingerprint of each data set and model of the grid."""
    params = config.load()
    check_files.write(params, folder)
    for metrics in paths.METRIC_FOLDERS:  # the report reads all of them, empty ones too
        metrics.mkdir(parents=True, exist_ok=True)
    # DVC warns of a dependency without files
    (paths.LOAD_TESTS / ".keep").touch()
    queue.announce(params, folder)


if __name__ == "__main__":
    stage.run(main, outputs)
