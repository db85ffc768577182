"""What all stage scripts share: options, error messages, results that are whole."""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from tunebench import countdown, disk, locks, results
from tunebench.errors import TunebenchError
from tunebench.inputs import Inputs
from tunebench.lifeline import end_with_dvc
from tunebench.paths import Run, parse_size
from tunebench.quiet import calm_libraries, show_own_lines


def run(
    work: Callable[..., None],
    outputs: Callable[[Run], Sequence[Path]],
    *,
    needs: Sequence[str] = (),
    libraries: Sequence[str] = (),
    downloads: bool = False,
) -> None:
    """Parse a stage's options and run it; exit with 1 and a clear message on an error.

    Earlier results are replaced at the end, all together, and only if the stage succeeded and
    nothing that it depends on changed meanwhile.

    Args:
        work: takes the run, and for each of its outputs a temporary path to write instead.
        outputs: the files and folders that the stage makes, as dvc.yaml names them.
        needs: the required options, as fields of `Run`.
        libraries: large modules that the stage always needs, to import first.
        downloads: whether the stage may download gigabytes, and shows a progress bar for it.
    """
    set_up(downloads=downloads)
    # at exit the interpreter collects garbage several times: 1.7 s after training, 0.2 s with
    # frozen objects
    atexit.register(gc.freeze)
    stopped: list[int] = []

    def stop(number: int, _: object) -> None:
        stopped.append(number)
        raise KeyboardInterrupt

    # when killed by DVC or the shell, unwind as on Ctrl-C, so that temporary files are removed
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        parsed = parse(needs=needs)
        end_with_dvc()
        countdown.show()
        if libraries:
            import_all(libraries)
        made = outputs(parsed)
        with locks.held(*made), results.replacing_together(*made) as temporaries:
            inputs = Inputs.of(parsed)
            work(parsed, *temporaries)
            if stopped:  # a library that was being imported swallowed the exception
                raise KeyboardInterrupt
            if inputs:
                inputs.check()
        countdown.record()
    except TunebenchError as error:
        _fail(error)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if fault := disk.explained(error):
            _fail(fault)
        raise


def set_up(*, downloads: bool = False) -> None:
    """Set up libraries before their import, alike for all that runs a model.

    Args:
        downloads: whether they may ask the Hub, and show progress bars.
    """
    calm_libraries()
    show_own_lines()
    os.environ.setdefault("USE_HUB_KERNELS", "NO")  # code that transformers runs from the Hub
    if not downloads:
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # models and rows are here already


def _fail(error: TunebenchError) -> NoReturn:
    sys.exit("\n".join(f"error: {line}" for line in str(error).splitlines()))


def import_all(libraries: Sequence[str]) -> None:
    """Import modules with the garbage collector off, and keep it from visiting what they hold.

    It would run hundreds of times meanwhile: 4.4 s for the train stage's libraries, 3.2 s without.
    """
    gc.disable()
    try:
        for name in libraries:
            import_module(name)
        gc.freeze()
    finally:
        gc.enable()


def parse(arguments: list[str] | None = None, *, needs: Sequence[str] = ()) -> Run:
    """The run given on the command line; all stages take the same options."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="", required="model" in needs)
    parser.add_argument("--dataset", default="", required="dataset" in needs)
    parser.add_argument("--method", default="", required="method" in needs)
    parser.add_argument(
        "--train-size",
        "--train_size",  # as DVC spells the key of a matrix item
        type=parse_size,
        required="train_size" in needs,
        help="1.0: all rows, 0.1: a tenth, 50: fifty rows",
    )
    parser.add_argument("--seed", type=int, required="seed" in needs)
    run = Run(**vars(parser.parse_args(arguments)))
    if (run.train_size is None) != (run.seed is None):
        parser.error("--train-size and --seed go together")
    return run
