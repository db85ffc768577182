"""What every stage script does around its work: options, one line for an error, quiet libraries."""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence

from tunebench.errors import TunebenchError
from tunebench.paths import Run, parse_size
from tunebench.quiet import calm_libraries, show_own_lines


def run(work: Callable[[Run], None], *, needs: Sequence[str] = (), downloads: bool = False) -> None:
    """Parse a stage's options and do its work; exit with 1 and one clear message on a fault.

    Args:
        needs: the options that this stage cannot do without, as fields of `Run`.
        downloads: whether it may fetch gigabytes, and so keeps the bar that shows them.
    """
    calm_libraries()
    show_own_lines()
    if not downloads:
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    # before it exits the interpreter looks several times for cycles among all that the libraries
    # have made: 1.7 s after a training that ends in 0.2 s without
    atexit.register(gc.freeze)
    stopped: list[int] = []

    def stop(number: int, _: object) -> None:
        stopped.append(number)
        raise KeyboardInterrupt

    # killed by DVC or the shell, a stage unwinds as on Ctrl-C, so that no temporary file stays
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        work(parse(needs=needs))
        if stopped:  # while a library was imported that swallows whatever is raised
            raise KeyboardInterrupt
    except TunebenchError as error:
        sys.exit("\n".join(f"error: {line}" for line in str(error).splitlines()))
    except KeyboardInterrupt:
        sys.exit(130)


def parse(arguments: list[str] | None = None, *, needs: Sequence[str] = ()) -> Run:
    """The run that the command line names; every stage takes the same options."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="", required="model" in needs)
    parser.add_argument("--dataset", default="", required="dataset" in needs)
    parser.add_argument("--method", default="", required="method" in needs)
    parser.add_argument(
        "--train-size",
        "--train_size",  # as DVC writes an item of a matrix
        type=parse_size,
        required="train_size" in needs,
        help="1.0: all rows, 0.1: a tenth, 50: fifty rows",
    )
    parser.add_argument("--seed", type=int, required="seed" in needs)
    run = Run(**vars(parser.parse_args(arguments)))
    if (run.train_size is None) != (run.seed is None):
        parser.error("--train-size and --seed go together")
    return run
