"""Files by which the processes of a training exchange the job, its outcome and errors.

An environment variable names their folder.
"""

from __future__ import annotations

import json
import os
import traceback
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter
from pydantic_core import to_json

from tunebench import results
from tunebench.config.schema import FullMethod, Model, PeftMethod, TuningMethod
from tunebench.errors import TrainingError, TunebenchError
from tunebench.models import Base
from tunebench.prompts import Prompt
from tunebench.training.job import Ended, Job, Outcome

FOLDER, PARENT = "TUNEBENCH_FOLDER", "TUNEBENCH_PARENT"
JOB, OUTCOME, FAULT = "job.json", "outcome.json", "fault.json"
TUNING_METHOD: TypeAdapter[TuningMethod] = TypeAdapter(PeftMethod | FullMethod)


def count() -> int:
    """How many processes train together.

    `WORLD_SIZE` alone does not tell: a cluster may set it for other processes.
    """
    return int(os.environ["WORLD_SIZE"]) if FOLDER in os.environ else 1


def environment(folder: Path) -> dict[str, str]:
    """Environment variables of a worker: the job's folder, and the parent process."""
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
    parts = json.loads((folder / JOB).read_bytes())
    base_folder, revision, settings = parts["base"]
    return Job(
        name=parts["name"],
        base=Base(Path(base_folder), revision, Model(**settings)),
        method=TUNING_METHOD.validate_python(parts["method"]),
        settings=parts["settings"],
        seed=parts["seed"],
        prompts=TypeAdapter(list[Prompt]).validate_python(parts["prompts"]),
        checkpoints=Path(parts["checkpoints"]),
        output=Path(parts["output"]),
        history=Path(parts["history"]) if parts["history"] else None,
    )


def fault(folder: Path) -> str:
    """The error of the first process that failed; empty if it was killed without one.

    Raises:
        TrainingError: if it is an error that a user can fix.
    """
    faults = sorted(folder.glob(f"*{FAULT}"), key=lambda path: path.stat().st_mtime_ns)
    if not faults:
        return ""
    report = results.read(faults[0])
    if report["known"]:
        raise TrainingError(report["text"])
    return f"process {report['rank']} failed:\n{report['text']}"


def has_ended(folder: Path) -> bool:
    """Whether training wrote an outcome, such as ending without a model."""
    return (folder / OUTCOME).exists()


def read_outcome(folder: Path) -> Outcome:
    """The outcome of training.

    Raises:
        Ended: if there is no model.
    """
    outcome = results.read(folder / OUTCOME)
    if outcome["ended"]:
        raise Ended(outcome["metrics"], outcome["history"])
    return Outcome(outcome["metrics"], outcome["history"])


def write_outcome(folder: Path, outcome: Outcome, *, ended: bool) -> None:
    """Write the outcome of training; `ended` if there is no model."""
    with results.replacing(folder / OUTCOME) as temporary:
        # not `results.write`: a gradient norm may be NaN
        temporary.write_text(json.dumps(asdict(outcome) | {"ended": ended}))


def write_fault(folder: Path, error: BaseException) -> None:
    """Write the error that ended this process."""
    rank, known = os.environ["RANK"], isinstance(error, TunebenchError)
    text = str(error) if known else "".join(traceback.format_exception(error)).rstrip()
    results.write(folder / f"{rank}-{FAULT}", {"rank": int(rank), "known": known, "text": text})
