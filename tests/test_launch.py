"""Two processes train what one does; what fails in one of them is told once, and none is left."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from projects import run_stage

from stages import check, download, fetch_model, format_prompts, subsample
from tunebench import paths, results
from tunebench.errors import ParameterError, TrainingError
from tunebench.paths import Run
from tunebench.training import batch_size, launch, process

ROOT = Path(__file__).parents[1]
SIZE, SEED = 0.75, 0  # 18 rows, which neither batches nor processes divide evenly
TWO = {"num_processes": 2}
METHODS: dict[str, dict[str, Any]] = {
    "alone": {},
    "together": {"launch": TWO},
    "odd": {"launch": TWO},
    "wild": {"launch": TWO, "learning_rate": 3e38, "max_grad_norm": 0.0},
}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def prepared(project: Any, valid: dict[str, Any]) -> Any:
    """The project, ready to train by each of METHODS."""
    lora = valid["methods"].pop("lora")
    for name, training in METHODS.items():
        adapter = lora["adapter"] | ({"target_modules": ["nowhere"]} if name == "odd" else {})
        valid["methods"][name] = {"kind": "peft", "adapter": adapter, "training": training}
    # `fetch_model` would refuse the odd one in the grid
    tuning = [name for name in METHODS if name != "odd"]
    valid["grid"] |= {"tuning": tuning, "train_sizes": [SIZE]}
    valid["inference"]["train_size"] = SIZE
    valid["training"] |= {
        "num_train_epochs": 2,
        "learning_rate": 0.003,
        "save_strategy": "steps",
        "save_steps": 2,
    }
    project.write_params(valid)
    rows = Run(model="tiny", dataset="reviews", train_size=SIZE, seed=SEED)
    for stage in (check, download, fetch_model, subsample, format_prompts):
        run_stage(stage, rows)
    return project


def run(method: str) -> Run:
    return Run("tiny", "reviews", method, SIZE, SEED)


def options(method: str) -> list[str]:
    given = f"--model tiny --dataset reviews --method {method} --train-size {SIZE} --seed {SEED}"
    return given.split()


def train(project: Any, method: str) -> "subprocess.CompletedProcess[str]":
    done: subprocess.CompletedProcess[str] = project.run("train", *options(method))
    return done


def told(done: "subprocess.CompletedProcess[str]") -> list[str]:
    """What it said, but for the bar, which a busy machine shows."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", done.stderr)]
    return [line for line in lines if line and "%|" not in line]


def losses(method: str) -> dict[int, float]:
    """The loss at each step."""
    with paths.losses(run(method)).open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {int(row["step"]): float(row["loss"]) for row in rows}


def history(method: str) -> dict[str, bytes]:
    """The bytes of every file of a history, by name."""
    files = sorted(path for path in paths.history(run(method)).rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files}


def weights(method: str) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return load_file(paths.adapter(run(method)) / "adapter_model.safetensors")


def start(method: str) -> "subprocess.Popen[bytes]":
    """Start a training in two processes, and wait for them and for a checkpoint."""
    started = subprocess.Popen(
        [sys.executable, "-m", "stages.train", *options(method)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])},
    )
    kept = paths.checkpoints(run(method))
    until(lambda: len(children(started.pid)) == 2 and any(kept.glob("checkpoint-*/whole.json")))
    return started


def until(holds: Any, *, within_s: float = 120) -> None:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < within_s
        time.sleep(0.01)


def children(parent: int) -> list[int]:
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(number) for number in listed.split()]


def alive(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@pytest.mark.slow
def test_two_processes_train_as_one_does(prepared: Any) -> None:
    import numpy as np

    stage_s = {}
    for method in ("alone", "together"):
        began = time.perf_counter()
        done = train(prepared, method)
        stage_s[method] = time.perf_counter() - began
        assert (done.returncode, done.stdout, told(done)) == (0, "", []), method
    one = losses("alone")
    assert list(one) == list(range(1, 11))
    assert losses("together") == pytest.approx(one, rel=1e-5)
    first, second = weights("alone"), weights("together")
    assert list(first) == list(second)
    for name, weight in first.items():
        np.testing.assert_allclose(second[name], weight, atol=1e-5, err_msg=name)
    measured = results.read(paths.train(run("together")))
    spans = measured["load_s"] + measured["train_s"] + measured["save_s"]
    # the machine's time, with the start of the processes, however many they are
    assert spans < measured["machine_s"] < stage_s["together"]
    assert measured["trainable_parameters"] == sum(weight.size for weight in first.values())

    whole = (paths.adapter(run("together")) / "adapter_model.safetensors").read_bytes()
    logged = history("together")
    assert len(logged) == 3
    shutil.rmtree(paths.history(run("together")))
    for number in (signal.SIGKILL, signal.SIGTERM):
        stage = start("together")
        trained_in = children(stage.pid)
        stage.send_signal(number)
        assert stage.wait() == (-9 if number == signal.SIGKILL else 130)
        until(lambda numbers=trained_in: not any(map(alive, numbers)), within_s=10)
    done = train(prepared, "together")
    # a kill may come while a checkpoint is written
    said = [line for line in told(done) if "was cut off while it was written" not in line]
    assert (done.returncode, done.stdout, said) == (0, "", [])
    assert (paths.adapter(run("together")) / "adapter_model.safetensors").read_bytes() == whole
    assert history("together") == logged
    assert not paths.checkpoints(run("together")).exists()


@pytest.mark.slow
def test_fault_of_all_processes_is_told_once(prepared: Any) -> None:
    done = train(prepared, "odd")
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = told(done)
    assert line.startswith(f"error: {run('odd')}: adapter: target_modules: the model has no module")


@pytest.mark.slow
def test_training_that_diverges_is_one_result(prepared: Any) -> None:
    done = train(prepared, "wild")
    assert done.returncode == 0
    assert done.stdout == ""
    (line,) = told(done)
    assert line.startswith(f"{run('wild')}: diverged at step ")
    measured = results.read(paths.train(run("wild")))
    assert measured["diverged"]
    left = sorted(path.name for path in paths.adapter(run("wild")).iterdir())
    assert left == ["failed.json", "run.json"]


def test_config_that_is_not_there_is_found_before_any_work(
    project: Any, valid: dict[str, Any]
) -> None:
    (project.folder / "launch").mkdir()
    (project.folder / "launch" / "ddp.yaml").touch()
    valid["training"]["launch"] = {"num_processes": 2, "config": "launch/ddp.yaml"}
    valid["methods"]["lora"]["training"]["launch"] = {"config": "launch/dpp.yaml"}
    project.write_params(valid)
    with pytest.raises(ParameterError) as caught:
        run_stage(check, Run())
    assert caught.value.faults == [
        "params.yaml: methods.lora.training.launch.config: launch/dpp.yaml is not there;"
        " did you mean 'launch/ddp.yaml'?"
    ]


@pytest.mark.parametrize(
    ("batch", "steps", "processes", "each"),
    [(8, 1, 1, (8, 1)), (8, 4, 2, (8, 2)), (8, 2, 4, (4, 1)), (8, 1, 8, (1, 1)), (3, 4, 6, (1, 2))],
)
def test_batch_of_one_step_is_kept(
    batch: int, steps: int, processes: int, each: tuple[int, int]
) -> None:
    given = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": steps}
    shared = batch_size.share(given | {"learning_rate": 1}, processes)
    assert tuple(shared[name] for name in given) == each
    assert each[0] * each[1] * processes == batch * steps
    assert shared["learning_rate"] == 1


def test_batch_that_cannot_be_shared_names_one_that_can() -> None:
    with pytest.raises(TrainingError) as caught:
        batch_size.share({"per_device_train_batch_size": 6, "gradient_accumulation_steps": 3}, 4)
    assert str(caught.value) == (
        "per_device_train_batch_size 6 × gradient_accumulation_steps 3 cannot be shared by"
        " launch.num_processes 4; choose per_device_train_batch_size 4 or 8, or"
        " gradient_accumulation_steps 4"
    )


def test_process_that_was_killed_is_named(tmp_path: Path) -> None:
    assert process.fault(tmp_path) == ""
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    (tmp_path / "killed.py").write_text(killed)
    with launch._own_signals():
        told = launch._start("run", launch.Launch(num_processes=2), [str(tmp_path / "killed.py")])
    assert told.endswith(
        " of 2 ended with signal SIGKILL, and said nothing; the system may have run out of memory"
    )
