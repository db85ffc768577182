"""Check params.yaml and what it names, before any work: python -m stages.check."""

from dataclasses import asdict

from tunebench import config, paths, results, stage
from tunebench.config.timed import TimedAnswers
from tunebench.data import checking
from tunebench.paths import Run


def main(_: Run) -> None:
    """Write the source and the fingerprint of each data set and model of the grid."""
    params = config.load()
    for name, source in checking.check(params).items():
        results.write(paths.check(name), source)
    # DVC cannot track keys that params.yaml lacks, so the report tracks these files
    results.write(paths.PUBLISHED, params.model_dump(include={"published"}))
    results.write(paths.COST, params.model_dump(include={"cost"}))
    for name in params.grid.datasets:
        answers = asdict(TimedAnswers.of(params, name))
        results.write(paths.timing_settings(name), params.inference.timing.model_dump() | answers)
    results.write(paths.SERVING, params.inference.serving.model_dump())
    results.write(paths.VIRTUAL_TOKENS, {"virtual_tokens": params.virtual_tokens})
    for folder in paths.METRIC_FOLDERS:  # the report reads all of them, empty ones too
        folder.mkdir(parents=True, exist_ok=True)
    # DVC warns of a dependency without files
    (paths.LOAD_TESTS / ".keep").touch()


if __name__ == "__main__":
    stage.run(main)
