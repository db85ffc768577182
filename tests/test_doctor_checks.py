"""What the checks of `tunebench doctor` read: sizes, versions, locks, the Hub's answers."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from projects import VALID, Project
from ruamel.yaml import YAML

from tunebench import leftovers
from tunebench.config import machine
from tunebench.doctor import disks, gpus, hardware, hub, packages, repository, study, yaml12
from tunebench.doctor.findings import size


def test_a_model_that_is_too_large(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    params = VALID | {"models": {"tiny": {"hub": "org/giant-70b", "dtype": "bfloat16"}}}
    params["grid"] = VALID["grid"] | {"tuning": ["lora", "full"]}
    project.write_params(params)
    monkeypatch.setattr(machine, "has_gpu", lambda: False)
    monkeypatch.setattr(hardware, "memory", lambda: (200_000_000_000, 1))
    *_, found = study.parameters()
    assert found.level == "warning"
    assert found.text.endswith("full cannot fit in 200 GB of memory")
    assert found.remedy.startswith("take full out of grid.tuning")
    monkeypatch.setattr(hardware, "memory", lambda: (100_000_000_000, 1))
    *_, found = study.parameters()
    assert found.level == "fault"
    assert set(found.values["least_bytes"]) == {"zero_shot", "lora", "full"}


@pytest.mark.parametrize(
    ("size_b", "dtype", "remedy"),
    [
        (30, "float32", "in params.yaml, write dtype: bfloat16 for this model"),
        (70, "bfloat16", "in params.yaml, write quantization: nf4 under methods.lora"),
        (70, "float32", "in params.yaml, write quantization: nf4 under methods.lora"),
        (405, "bfloat16", "name a smaller model under grid.models, or use a larger machine"),
    ],
)
def test_what_would_fit_instead(
    size_b: int, dtype: str, remedy: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = {"hub": f"org/m-{size_b}b", "dtype": dtype}
    grid = VALID["grid"] | {"prompting": [], "tuning": ["lora"]}
    project.write_params(VALID | {"models": {"tiny": model}, "grid": grid})
    monkeypatch.setattr(machine, "has_gpu", lambda: False)
    monkeypatch.setattr(hardware, "memory", lambda: (100_000_000_000, 1))
    *_, found = study.parameters()
    assert found.remedy == remedy


def test_a_local_model_is_counted(project: Project) -> None:
    *_, found = study.parameters()
    assert found.level == "ok"
    assert found.values["parameters"] > 10_000
    assert "by its name" not in found.text


@pytest.mark.parametrize(
    "value", ["4e-3", "2e-05", "0.1", "on", "yes", "true", "12", "null", "~", "1_000", "'1'", "-.5"]
)
def test_yaml_is_read_as_dvc_reads_it(value: str, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"a: {value}\n")
    right = YAML(typ="safe", pure=True).load(file)
    assert yaml12.read(file) == right
    assert type(yaml12.read(file)["a"]) is type(right["a"])


def test_stages_whose_parameters_changed(project: Project) -> None:
    lock = {
        "train@a": {"params": {"params.yaml": {"methods.lora": VALID["methods"]["lora"]}}},
        "train@b": {"params": {"params.yaml": {"training": {"num_train_epochs": 9}}}},
        "check": {},
    }
    with Path("dvc.lock").open("w") as file:
        YAML().dump({"schema": "2.0", "stages": lock}, file)
    (found,) = repository._stages()
    assert found.values == {"locked": 3, "changed": ["train@b"]}
    cut = "schema: '2.0'\nstages:\n  a:\n    cmd: a\n    deps:\n    - path: x\n      hash:"
    for damaged in ("stages: [", cut):
        Path("dvc.lock").write_text(damaged)
        (found,) = repository._stages()
        assert found.level == "fault"


def test_leftovers_are_those_of_processes_that_are_gone(project: Project) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    folder = Path("data") / "adapters" / "m"
    folder.mkdir(parents=True)
    left = folder / f".1.0-0.{gone.pid}.tmp"
    left.write_bytes(bytes(2_000))
    for name in (f".1.0-1.{os.getpid()}.tmp", "1.0-2", ".hidden"):
        (folder / name).touch()
    assert leftovers.abandoned(Path("data")) == [left]
    found = repository._leftovers()
    assert found.level == "warning"
    assert found.text == "1 of killed processes, 2 kB; each stage removes its own"


def test_versions_that_differ_or_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("requirements.txt").write_text("torch==2.0  # why\npeft==1.0\n")
    Path("constraints.txt").write_text("colorama==1\npeft==1.0\ntorch==2.0\ntyper==3.0\n")
    lock = "colorama==1 ; sys_platform == 'win32' \\\n    --hash=sha256:0\ntorch==2.0 \\\n"
    Path("requirements.lock").write_text(lock)
    here = {"torch": "2.0+cpu", "typer": "4.0"}
    monkeypatch.setattr(packages, "installed", lambda: here)
    _, lost, differing, pins = packages.versions()
    assert (lost.level, lost.text) == ("fault", "peft: pinned, and not installed")
    assert (differing.level, differing.text.split(";")[0]) == (
        "warning",
        "typer 4.0 (pinned 3.0)",
    )
    assert pins.text == (
        "1 of the 3 packages for this system are installed at their pins; another build of the"
        " same version: torch 2.0+cpu"
    )


def answering(status: int, answer: Any) -> Any:
    return lambda _endpoint: iter([(status, answer)])


READ = {"name": "ann", "auth": {"accessToken": {"role": "read"}}}
FINE = {
    "name": "ann",
    "auth": {
        "accessToken": {
            "role": "fineGrained",
            "fineGrained": {"scoped": [{"permissions": ["repo.content.read"]}]},
        }
    },
}


@pytest.mark.parametrize(
    ("status", "answer", "level", "text"),
    [
        (200, READ, "ok", "of ann, read"),
        (200, FINE, "ok", "of ann, fineGrained: repo.content.read"),
        (200, {}, "ok", "of an unnamed account, role not said"),
        (401, {}, "fault", "the Hub refuses it, for public repositories too"),
        (429, {}, "warning", "the Hub answers 429 and does not say what it may do"),
    ],
)
def test_what_the_hub_says_of_a_token(
    status: int, answer: Any, level: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(hub, "_ask", answering(status, answer))
    reached, token = hub._answered("https://hub")
    assert reached.level == "ok"
    assert (token.level, token.text) == (level, text)


def test_an_endpoint_that_is_no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_ask", answering(404, {}))
    (found,) = hub._answered("https://hub")
    assert found.level == "warning"
    assert "unset HF_ENDPOINT" in found.remedy


def test_gpus_as_nvidia_smi_names_them() -> None:
    gpu = gpus._gpu("NVIDIA H100 80GB HBM3, 81559, 80991, 570.86.15, 9.0")
    assert (gpu.name, gpu.driver, gpu.capability) == ("NVIDIA H100 80GB HBM3", "570.86.15", "9.0")
    assert size(gpu.total_bytes) == "85.5 GB"
    with pytest.raises(ValueError, match="not enough values"):
        gpus._gpu("No devices were found")


def test_cores_and_memory_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    monkeypatch.setattr(hardware, "CGROUP", tmp_path)
    assert hardware.cores() == 0.5
    assert hardware.memory() == (1_000_000, 600_000)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert hardware.cores() >= 1
    assert hardware.memory()[0] > 1_000_000_000


def test_dvc_s_cache_is_where_its_configuration_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert disks.dvc_cache() == Path(".dvc/cache")
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text("[cache]\n    dir = ../big\n")
    assert disks.dvc_cache() == Path("big")
    Path(".dvc/config.local").write_text("[cache]\n    dir = /elsewhere\n")
    assert disks.dvc_cache() == Path("/elsewhere")
