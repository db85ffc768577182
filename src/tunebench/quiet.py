"""What a stage prints: its own log lines above any progress bar, and nothing from libraries."""

from __future__ import annotations

import logging
import os
import sys
import warnings

from tqdm import tqdm


def calm_libraries() -> None:
    """Turn off progress bars and warnings of libraries that users can do nothing about."""
    # GNU OpenMP's threads spin for milliseconds while they wait. With another busy process on two
    # cores, 15 training steps of the demo took over 60 s, 6 to 10 s with short spins, and 3 s
    # without spinning; on idle cores they take 1.8 s with short spins, and 2.7 s without.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # if unset, it warns at every fork
    warnings.simplefilter("ignore")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


class _AboveBars(logging.Handler):
    """Writes to standard error without tearing a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        tqdm.write(self.format(record), file=sys.stderr)


def show_own_lines() -> None:
    """Print what this package logs, each record as one line."""
    logger = logging.getLogger("tunebench")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(_AboveBars())
