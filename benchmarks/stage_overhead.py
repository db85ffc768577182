"""What the train stage takes besides training: to start, load and save, on the demo's model.

    python benchmarks/stage_overhead.py
    python benchmarks/stage_overhead.py --runs 1 --dataset chats --method qlora_all

Prepares one run of params.yaml in a temporary project, then trains it some times, each in a process
of its own as DVC starts it; the first is not counted, since it reads libraries from the disk.
Prints one JSON line: the medians of the seconds from the start of the process to the first
optimizer step (whose batch has then been computed), of those from the end of the last step to the
end of the process, and of both together, of the clock and of the processor, which other work
stretches less; the sum of each run; and the machine's load before and after (processes that run or
wait, the mean of a minute, these runs included).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from measure import ROOT, environment, machine
from ruamel.yaml import YAML

# optimizers tell when they step; the stage itself is run as it is
WATCHED = """
import json, runpy, time
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

began, ended = [], []
now = lambda: (time.monotonic(), time.process_time())
register_optimizer_step_pre_hook(lambda *_: began.append(now()))
register_optimizer_step_post_hook(lambda *_: ended.append(now()))
runpy.run_module("stages.train", run_name="__main__", alter_sys=True)
print(json.dumps({"first": began[0], "last": ended[-1], "steps": len(ended)}))
"""


def main() -> None:
    """Prepare the run, train it some times, print the line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="posts")
    parser.add_argument("--method", default="qlora")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    before = os.getloadavg()[0]
    with TemporaryDirectory() as name:
        folder = Path(name)
        size = prepare(folder, given.dataset, given.steps)
        options = ["--model", "tiny", "--dataset", given.dataset, "--method", given.method]
        options += ["--train-size", size, "--seed", "0"]
        _, *runs = [train(folder, options) for _ in range(given.runs + 1)]
    found = {key: round(statistics.median(run[key] for run in runs), 2) for key in runs[0]}
    print(
        json.dumps(
            {
                "benchmark": "stage_overhead",
                "machine": machine(),
                "load_before": round(before, 2),
                "load_after": round(os.getloadavg()[0], 2),
                "run": f"tiny/{given.dataset}/{given.method}/{size}-0",
                **found,
                "overhead_s_of_each": [round(run["overhead_s"], 2) for run in runs],
            }
        )
    )


def prepare(folder: Path, dataset: str, steps: int) -> str:
    """Make all that the train stage reads; the train size, which is the demo's smallest."""
    yaml = YAML(typ="safe", pure=True)
    params = yaml.load(ROOT / "params.yaml")
    params["training"]["max_steps"] = steps
    yaml.dump(params, folder / "params.yaml")
    (folder / "assets").symlink_to(ROOT / "assets")
    size = str(params["grid"]["train_sizes"][0])
    rows = ["--dataset", dataset, "--train-size", size, "--seed", "0"]
    for stage, *options in (
        ["check"],
        ["download", "--dataset", dataset],
        ["fetch_model", "--model", "tiny"],
        ["subsample", *rows],
        ["format_prompts", "--model", "tiny", *rows],
    ):
        command = [sys.executable, "-m", f"stages.{stage}", *options]
        subprocess.run(command, cwd=folder, env=environment(), check=True)
    return size


def train(folder: Path, options: list[str]) -> dict[str, float]:
    """Seconds before the first step and after the last one, and how many there were."""
    command = [sys.executable, "-c", WATCHED, *options]
    started, used = time.monotonic(), children_cpu_s()
    done = subprocess.run(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True, check=True
    )
    exited, used = time.monotonic(), children_cpu_s() - used
    told = json.loads(done.stdout)
    (first, first_cpu), (last, last_cpu) = told["first"], told["last"]
    start, end = first - started, exited - last
    return {
        "steps": told["steps"],
        "start_s": start,
        "end_s": end,
        "overhead_s": start + end,
        "overhead_cpu_s": first_cpu + used - last_cpu,
    }


def children_cpu_s() -> float:
    """The processor's seconds of all processes that this one has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
