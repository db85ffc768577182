"""Which stages would run, without DVC: against dvc.lock, the files and the parameters."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from projects import ROOT, Project
from ruamel.yaml import YAML

from tunebench import config
from tunebench.doctor import yaml12
from tunebench.errors import SourceError
from tunebench.inputs import value_of
from tunebench.planning import check_files, command, graph, staleness
from tunebench.planning.digests import Digests
from tunebench.planning.state import State


def lock() -> dict[str, Any]:
    """dvc.lock as DVC would write it if every stage had just run."""
    values, stages = yaml12.read(Path("params.yaml")), graph.stages(config.load())
    for output in (Path(output) for stage in stages for output in stage.outputs):
        if not output.exists():
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(str(output))
    digests = Digests(Path("none.json"))

    def files(listed: tuple[str, ...]) -> list[dict[str, Any]]:
        return [{"path": path, "hash": "md5", "md5": digests.of(path)} for path in listed]

    return {
        stage.name: {
            "cmd": stage.command,
            "params": {"params.yaml": {name: value_of(values, name) for name in stage.parameters}},
            "deps": files(stage.dependencies),
            "outs": files(stage.outputs),
        }
        for stage in stages
    }


@pytest.fixture
def made(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project all of whose stages have run."""
    monkeypatch.chdir(project.folder)
    shutil.copy(ROOT / "dvc.yaml", "dvc.yaml")
    for name in ("src/tunebench", "stages"):
        shutil.copytree(ROOT / name, name, ignore=shutil.ignore_patterns("__pycache__"))
    Path("data/check").mkdir(parents=True)
    check_files.write(config.load(), Path("data/check"))
    with Path("dvc.lock").open("w") as file:
        YAML().dump({"schema": "2.0", "stages": lock()}, file)
    return project.folder


def waiting(*, forced: bool = False) -> list[str]:
    state = State.of(config.load(), Path("data/check"), forced=forced)
    return [stage.name for stage in state.waiting]


def edit(change: Any) -> None:
    yaml = YAML()
    params = yaml.load(Path("params.yaml"))
    change(params)
    with Path("params.yaml").open("w") as file:
        yaml.dump(params, file)


def test_nothing_waits_after_a_run(made: Path) -> None:
    assert waiting() == []
    assert len(waiting(forced=True)) == 21


def test_what_a_parameter_affects_waits(made: Path) -> None:
    edit(lambda params: params["methods"]["lora"]["adapter"].update(r=8))
    found = waiting()
    assert found[:2] == ["train@tiny-reviews-lora-0.5-0", "train@tiny-reviews-lora-1.0-0"]
    assert {name.split("@")[0] for name in found} == {
        "train", "evaluate", "time_inference", "report",
    }  # fmt: skip


def test_a_new_seed_runs_what_has_not_run(made: Path) -> None:
    edit(lambda params: params["grid"].update(seeds=[0, 1]))
    found = waiting()
    assert "train@tiny-reviews-lora-1.0-1" in found
    assert "train@tiny-reviews-lora-1.0-0" not in found


def test_changed_code_and_missing_outputs_run_again(made: Path) -> None:
    Path("data/subsets/reviews/0.5-0").unlink()
    found = waiting()
    assert found[0] == "subsample@reviews-0.5-0"
    assert "train@tiny-reviews-lora-1.0-0" not in found
    Path("src/tunebench/training/job.py").write_text("changed")
    assert "train@tiny-reviews-lora-1.0-0" in waiting()
    Path("src/tunebench/report/__pycache__").mkdir()
    Path("src/tunebench/report/__pycache__/page.pyc").write_text("compiled")
    assert len(waiting()) < len(waiting(forced=True))


def test_no_lock_runs_all(made: Path) -> None:
    Path("dvc.lock").unlink()
    assert len(waiting()) == 21


@pytest.mark.parametrize("content", ["stages: [", "stages: {train: 1}", "schema: '2.0'", "\x00"])
def test_a_damaged_lock_is_named(made: Path, content: str) -> None:
    Path("dvc.lock").write_text(content)
    with pytest.raises(SourceError, match=r"^dvc\.lock: is damaged; restore it: git checkout"):
        staleness.locked()


def test_stages_stand_behind_what_they_need(made: Path) -> None:
    stages = graph.stages(config.load())
    needs = graph.upstream(stages)
    seen: set[str] = set()
    for stage in stages:
        assert needs[stage.name] <= seen, stage.name
        seen.add(stage.name)
    assert needs["report"] == seen - {"report"} - {
        name for name in seen if name.startswith("load_test")
    }


def test_names_and_commands_are_dvcs() -> None:
    """Those of the demo's lock, which DVC wrote."""
    entries = yaml12.read(ROOT / "dvc.lock")["stages"]
    stages = {stage.name: stage for stage in graph.stages(config.load(ROOT / "params.yaml"))}
    assert set(stages) == set(entries)
    assert len(stages) > 40
    for name, stage in stages.items():
        assert stage.command == entries[name]["cmd"]
        listed = {file["path"] for file in entries[name].get("deps", [])}
        assert listed == set(stage.dependencies)


def test_a_folder_has_dvcs_digest(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b/c.txt").write_text("c")
    (tmp_path / "a.txt").write_text("a")
    # dvc_data.hashfile.tree.Tree.as_bytes
    listed = [
        {"md5": hashlib.md5(text.encode()).hexdigest(), "relpath": name}
        for name, text in (("a.txt", "a"), ("b/c.txt", "c"))
    ]
    expected = hashlib.md5(json.dumps(listed, sort_keys=True).encode()).hexdigest() + ".dir"
    assert Digests(tmp_path / "none.json").of(str(tmp_path)) == expected
    assert Digests(tmp_path / "none.json").of("absent") is None


def test_large_files_are_hashed_once(tmp_path: Path) -> None:
    large, memory = tmp_path / "large", tmp_path / "digests.json"
    large.write_bytes(b"x" * (1 << 18))
    first = Digests(memory)
    assert first.of(str(large)) == hashlib.md5(large.read_bytes()).hexdigest()
    first.save()
    (key,) = json.loads(memory.read_text())
    memory.write_text(json.dumps({key: "remembered"}))
    assert Digests(memory).of(str(large)) == "remembered"
    large.write_bytes(b"y" * (1 << 18) + b"more")
    assert Digests(memory).of(str(large)) == hashlib.md5(large.read_bytes()).hexdigest()


NEEDS = {"check": set(), "train@a": {"check"}, "train@b": {"check"}, "report": {
    "check", "train@a", "train@b"}}  # fmt: skip


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("repro", {"check", "train@a", "train@b", "report"}),
        ("repro -v train@a", {"check", "train@a"}),
        ("repro train", {"check", "train@a", "train@b"}),
        ("repro --glob train@*", {"check", "train@a", "train@b"}),
        ("repro dvc.yaml:report -f", {"check", "train@a", "train@b", "report"}),
    ],
)
def test_stages_that_dvc_was_asked_for(words: str, names: set[str]) -> None:
    asked = command.targets(["python", "/bin/dvc", *words.split()])
    assert asked is not None
    assert asked.among(NEEDS) == names
    assert asked.forced == ("-f" in words.split())


@pytest.mark.parametrize("words", ["exp run", "repro -s train@a", "repro --downstream check",
                                   "repro other/dvc.yaml"])  # fmt: skip
def test_other_commands_are_not_counted(words: str) -> None:
    assert command.targets(["dvc", *words.split()]) is None
