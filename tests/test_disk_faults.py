"""A full disk or a read-only folder in any stage: one clear error, earlier results as before."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from repository import Repository, environment, small_study

pytestmark = pytest.mark.slow

SIZED = "--model tiny --dataset reviews --train-size 8 --seed 0"
COMMANDS = {
    "check": "check",
    "download": "download --dataset reviews",
    "forgetting_text": "forgetting_text",
    "fetch_model": "fetch_model --model tiny",
    "subsample": "subsample --dataset reviews --train-size 8 --seed 0",
    "format_prompts": f"format_prompts {SIZED}",
    "format_test": "format_prompts --model tiny --dataset reviews",
    "train": f"train {SIZED} --method lora",
    "evaluate": f"evaluate {SIZED} --method lora",
    "time_inference": f"time_inference {SIZED} --method lora",
    "load_test": f"load_test {SIZED} --method lora",
    "report": "report",
}
# in a mount namespace of its own: FREE_BYTES are left on the disk, or it is read-only if negative
SCRIPT = """
import hashlib, json, os, subprocess, sys
from pathlib import Path
free, command = int(sys.argv[1]), sys.argv[2].split()
tops = ("data", "metrics", "report")
other = {"fill", "fingerprints.json", "checkpoints", "locks", "load_tests"}
def files():
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest()
            for top in tops for path in sorted(Path(top).rglob("*"))
            if path.is_file() and not other & set(path.parts)}
for top in tops:
    os.rename(top, f"{top}-before")
    os.mkdir(top)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", top], check=True)
    subprocess.run(["cp", "-a", f"{top}-before/.", top], check=True)
    if free < 0:
        subprocess.run(["mount", "-o", "remount,ro", top], check=True)
    else:
        with open(f"{top}/fill", "wb") as file:
            disk = os.statvfs(top)
            file.write(bytes(max(0, disk.f_bavail * disk.f_frsize - free)))
before = files()
done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
print(json.dumps([done.returncode, done.stdout, done.stderr, before == files(), len(before)]))
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Repository.made(tmp_path_factory.mktemp("finished") / "project", small_study())
    made.repro()
    return made.folder


@pytest.mark.skipif(
    subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False,
                   capture_output=True).returncode != 0,
    reason="this machine lets no test mount a small disk",
)  # fmt: skip
@pytest.mark.parametrize("free", [-1, 0, 20_000], ids=["read-only", "full", "nearly full"])
def test_every_stage_says_it(free: int, finished: Path, tmp_path: Path) -> None:
    failed = 0
    for name, command in COMMANDS.items():
        folder = tmp_path / name
        shutil.copytree(finished, folder, symlinks=True)
        done = subprocess.run(
            ["unshare", "-rm", sys.executable, "-c", SCRIPT, str(free), f"stages.{command}"],
            cwd=folder, env=environment(), capture_output=True, text=True, check=True,
        )  # fmt: skip
        status, printed, errors, same, files = json.loads(done.stdout)
        told = f"{name}: {printed}{errors}"
        if free > 0 and status == 0:  # what it writes has found room
            continue
        failed += 1
        assert status == 1, told
        assert "Traceback" not in errors, told
        lines = [line for line in errors.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, told
        assert ("read-only" if free < 0 else "disk is full").lower() in lines[0].lower(), told
        assert same, told
        assert files > 30
        shutil.rmtree(folder)
    assert failed == len(COMMANDS) if free <= 0 else failed >= 3
