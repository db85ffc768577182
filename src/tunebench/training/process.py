"""What the processes of one training pass to each other: the job, its outcome, their errors.

Each finds the folder that holds them in its environment.
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
        Ended: if it came to no model.
    """
    found = results.read(folder / OUTCOME)
    if found["ended"]:
        raise Ended(found["metrics"], found["history"])
    return Outcome(found["metrics"], found["history"])


def write_outcome(folder: Path, outcome: Outcome, *, ended: bool) -> None:
    """Write what training came to; `ended` where it came to no model."""
    with results.replacing(folder / OUTCOME) as temporary:
        # not `results.write`: a gradient's norm may be no number
        temporary.write_text(json.dumps(asdict(outcome) | {"ended": ended}))


def write_fault(folder: Path, error: BaseException) -> None:
    """Write the error that ended this process."""
    rank, known = os.environ["RANK"], isinstance(error, TunebenchError)
    text = str(error) if known else "".join(traceback.format_exception(error)).rstrip()
    results.write(folder / f"{rank}-{FAULT}", {"rank": int(rank), "known": known, "text": text})
