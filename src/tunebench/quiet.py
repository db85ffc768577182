"""What a stage prints: its own lines, above any progress bar, and nothing of its libraries."""

from __future__ import annotations

import logging
import os
import sys
import warnings

from tqdm import tqdm


def calm_libraries() -> None:
    """Turn off bars and advice that a user of this pipeline can do nothing about."""
    # GNU OpenMP's threads spin for milliseconds while they wait. Beside one other busy process on
    # two cores, 15 training steps of the demo took over 60 s so, 6 to 10 s with short spins, and
    # 3 s with none; on idle cores short spins take 1.8 s, and none take 2.7 s.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # unset, it warns at every fork
    warnings.simplefilter("ignore")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


class _AboveBars(logging.Handler):
    """Writes to standard error without tearing a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        tqdm.write(self.format(record), file=sys.stderr)


def show_own_lines() -> None:
    """Print what this package logs, each record as one line."""
    ours = logging.getLogger("tunebench")
    ours.setLevel(logging.INFO)
    ours.propagate = False
    if not ours.handlers:
        ours.addHandler(_AboveBars())
