"""One of several processes that train together: python -m tunebench.training.process.

Which one it is, and where the job and its outcome lie, it learns from the environment.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from pydantic_core import to_json

from tunebench import results
from tunebench.config.schema import FullMethod, Model, PeftMethod, TuningMethod
from tunebench.errors import TrainingError, TunebenchError
from tunebench.models import Base
from tunebench.prompts import Prompt
from tunebench.quiet import calm_libraries

if TYPE_CHECKING:
    from tunebench.training import Job, Outcome

FOLDER, PARENT = "TUNEBENCH_FOLDER", "TUNEBENCH_PARENT"
JOB, OUTCOME, FAULT = "job.json", "outcome.json", "fault.json"
TUNING_METHOD: TypeAdapter[TuningMethod] = TypeAdapter(PeftMethod | FullMethod)


def count() -> int:
    """How many processes train together; this one alone, unless it was started as one of several.

    The environment alone does not tell: a cluster's own processes have a `WORLD_SIZE` too.
    """
    return int(os.environ["WORLD_SIZE"]) if FOLDER in os.environ else 1


def environment(folder: Path) -> dict[str, str]:
    """What a process finds its job by, and the one that started it."""
    return {
        FOLDER: str(folder),
        PARENT: str(os.getpid()),
        "PYTHONWARNINGS": "ignore",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
    }


def write(job: Job, folder: Path) -> None:
    """Write a job as JSON."""
    base = job.base
    parts = {
        "name": job.name,
        "base": [base.folder, base.revision, base.settings],
        "method": job.method,
        "settings": job.settings,
        "seed": job.seed,
        "prompts": [asdict(prompt) for prompt in job.prompts],
        "checkpoints": job.checkpoints,
        "output": job.output,
        "history": job.history,
    }
    (folder / JOB).write_bytes(to_json(parts))


def read(folder: Path) -> Job:
    """The job that `write` wrote."""
    from tunebench.training import Job

    parts = json.loads((folder / JOB).read_bytes())
    where, revision, settings = parts["base"]
    return Job(
        name=parts["name"],
        base=Base(Path(where), revision, Model(**settings)),
        method=TUNING_METHOD.validate_python(parts["method"]),
        settings=parts["settings"],
        seed=parts["seed"],
        prompts=TypeAdapter(list[Prompt]).validate_python(parts["prompts"]),
        checkpoints=Path(parts["checkpoints"]),
        output=Path(parts["output"]),
        history=Path(parts["history"]) if parts["history"] else None,
    )


def main(folder: Path) -> None:
    """Train the job; the first process writes the outcome, and so does one that has ended."""
    from tunebench import training

    rank = int(os.environ["RANK"])
    if rank != 0:
        _silence()
    try:
        outcome = training.attempt(read(folder))
    except training.Ended as ended:
        _write_outcome(folder, training.Outcome(ended.metrics, ended.history), ended=True)
        os._exit(1)  # at once: the others wait for this one, and are ended by it
    except KeyboardInterrupt:
        os._exit(130)
    except BaseException as error:
        _write_fault(folder, error)
        os._exit(1)
    if rank == 0:
        _write_outcome(folder, outcome, ended=False)
    leave()


def leave() -> None:
    """Take leave of the other processes, if there are any."""
    from torch import distributed

    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()


def fault(folder: Path) -> str:
    """What the first process that failed had to say; empty if it was ended before it could.

    Raises:
        TrainingError: what a user can mend, in its own words.
    """
    faults = sorted(folder.glob(f"*{FAULT}"), key=lambda path: path.stat().st_mtime_ns)
    if not faults:
        return ""
    told = results.read(faults[0])
    if told["known"]:
        raise TrainingError(told["text"])
    return f"process {told['rank']} failed:\n{told['text']}"


def has_ended(folder: Path) -> bool:
    """Whether training has ended without a model, which is an outcome too."""
    return (folder / OUTCOME).exists()


def read_outcome(folder: Path) -> Outcome:
    """What training came to.

    Raises:
        training.Ended: if it came to no model.
    """
    from tunebench import training

    found = results.read(folder / OUTCOME)
    if found["ended"]:
        raise training.Ended(found["metrics"], found["history"])
    return training.Outcome(found["metrics"], found["history"])


def _write_outcome(folder: Path, outcome: Outcome, *, ended: bool) -> None:
    with results.replacing(folder / OUTCOME) as temporary:
        # not `results.write`: a gradient's norm may be no number
        temporary.write_text(json.dumps(asdict(outcome) | {"ended": ended}))


def _write_fault(folder: Path, error: BaseException) -> None:
    rank, known = os.environ["RANK"], isinstance(error, TunebenchError)
    text = str(error) if known else "".join(traceback.format_exception(error)).rstrip()
    results.write(folder / f"{rank}-{FAULT}", {"rank": int(rank), "known": known, "text": text})


def _silence() -> None:
    """Leave it to the first process to show what all of them would."""
    with Path(os.devnull).open("w") as nothing:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nothing.fileno(), stream.fileno())


def _end_with(parent: int) -> None:
    """Let the kernel end this process with the one that started it, however that is ended."""
    if sys.platform == "linux":
        set_parent_death_signal = 1  # <linux/prctl.h>
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() != parent:  # it was ended before
        os._exit(1)


def _answer(*_: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    _end_with(int(os.environ[PARENT]))
    signal.signal(signal.SIGTERM, _answer)  # so that no temporary file stays
    calm_libraries()
    main(Path(os.environ[FOLDER]))
