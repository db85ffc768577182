"""Train, evaluate and time what needs no language model:
python -m stages.baselines --dataset posts.

All methods, sizes and seeds of a data set run in one process: most take less than a second, and
another process with its imports takes four.
"""

from pathlib import Path

from tunebench import config, paths, results, stage
from tunebench.baselines import running
from tunebench.paths import BASELINE, Run

# rouge-score imports them too
LIBRARIES = ("scipy.stats", "sklearn.feature_extraction.text", "sklearn.linear_model")


def outputs(run: Run) -> list[Path]:
    """Folders of all the data set's baselines: what they learnt and answered, and metrics."""
    return paths.baseline_folders(Run(BASELINE, run.dataset))


def main(run: Run, *folders: Path) -> None:
    """Write what each baseline learnt and answered, how good and how fast that is."""
    params = config.load()
    labels = results.read(paths.card(run.dataset))["labels"]
    for folder in folders:
        folder.mkdir(parents=True)
    if params.baselines_for(run.dataset):
        stage.import_all(LIBRARIES)
    running.run_all(params, run.dataset, labels, running.Folders(*folders))


if __name__ == "__main__":
    stage.run(main, outputs, needs=("dataset",))
