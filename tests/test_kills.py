"""Training that is killed with SIGKILL at twenty random moments ends as if it had not been."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
KILLS = 20

# processes are forked from one that has imported everything, since imports take most of a start
SCRIPT = """
import hashlib, json, os, random, signal, sys, time, warnings
from pathlib import Path
warnings.simplefilter("ignore")
import bitsandbytes, dvclive, peft, torch, transformers
from tunebench import models, training
from tunebench.config.schema import Model, PeftMethod
from tunebench.prompts import Prompt

folder, model, kills = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
adapter = {"peft_type": "LORA", "r": 4, "lora_dropout": 0.1, "target_modules": "all-linear"}
settings = {"num_train_epochs": 8, "per_device_train_batch_size": 4, "learning_rate": 0.02,
            "logging_steps": 3, "save_strategy": "steps", "save_steps": 2,
            "neftune_noise_alpha": 5}
prompts = [Prompt(str(i), f"row {i} " * (1 + i % 5), ("positive", "negative")[i % 2], split="train")
           for i in range(26)]
def start(name):
    child = os.fork()
    if child:
        return child
    job = training.Job("tiny/rows/" + name, models.Base(Path(model), "0", Model(path=model)),
        PeftMethod(kind="peft", adapter=adapter), settings, 0, prompts,
        folder / f"{name}-checkpoints", folder / name, folder / f"{name}-history")
    outcome = training.train(job)
    timed = ("_s", "_bytes", "utilization")
    same = {k: v for k, v in outcome.metrics.items() if not k.endswith(timed)}
    (folder / f"{name}.json").write_text(json.dumps([same, outcome.history]))
    os._exit(0)

began = time.monotonic()
os.waitpid(start("whole"), 0)
lasts = time.monotonic() - began
dice, killed, resumed = random.Random(int(sys.argv[4])), 0, 0
while True:
    resumed += any((folder / "killed-checkpoints").glob("checkpoint-*/whole.json"))
    child = start("killed")
    if killed < kills:
        time.sleep(dice.uniform(0, lasts))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        killed += 1
    elif killed >= kills:
        break
    else:  # it was faster: begin anew
        import shutil
        shutil.rmtree(folder / "killed")
files = lambda name: [p for p in sorted((folder / name).rglob("*")) if p.is_file()]
digest = lambda name: {str(p.relative_to(folder / name)): hashlib.sha256(p.read_bytes()).hexdigest()
                       for p in files(name) if p.suffix != ".md"}
print(json.dumps({"killed": killed, "resumed": resumed, "status": status, "whole": digest("whole"),
    "after": digest("killed"),
    "logged": [digest("whole-history"), digest("killed-history")],
    "left": [p.name for p in folder.glob("*-checkpoints")]}))
"""


def test_twenty_kills(tmp_path: Path, model_folder: Path) -> None:
    seed = int.from_bytes(os.urandom(4))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path, model_folder, str(KILLS), str(seed)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    told = f"seed {seed}: {done.stderr}"
    assert found["status"] == 0, told
    assert found["killed"] == KILLS, told
    assert found["resumed"] > KILLS / 4, told  # it is resuming that is tested
    assert "adapter_model.safetensors" in found["whole"]
    assert found["after"] == found["whole"], told
    logged, logged_after = found["logged"]
    assert "plots/metrics/train/loss.tsv" in logged
    assert logged_after == logged, told
    assert found["left"] == [], told
    whole, killed = (
        json.loads((tmp_path / f"{name}.json").read_text()) for name in ("whole", "killed")
    )
    assert killed == whole, told
    assert len(whole[1]) > 10
    assert whole[0]["steps"] == 56
