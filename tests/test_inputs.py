"""A stage whose parameters or files change while it runs has no result."""

import subprocess
import sys
from pathlib import Path

import pytest
from projects import environment

from tunebench import inputs
from tunebench.errors import ChangedError
from tunebench.inputs import Inputs
from tunebench.paths import Run

GRAPH = """
stages:
  train:
    matrix: {model: "${grid.models}"}
    params: ["methods.${item.method}", training]
    deps:
      - data/${item.dataset}/${item.train_size}-${item.seed}.jsonl
      - code
  time_inference:
    deps: ["data/${item.dataset}/${inference.train_size}-${grid.seeds[0]}.jsonl"]
"""
PARAMS = "methods: {lora: {r: 8}, full: {}}\ntraining: {learning_rate: 2e-4}\n"
RUN = Run("tiny", "reviews", "lora", 0.5, 3)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = {
        "dvc.yaml": GRAPH,
        "params.yaml": PARAMS,
        "data/reviews/0.5-3.jsonl": "{}\n",
        "code/room/a.py": "a = 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "train@tiny-reviews-lora-0.5-3")
    return tmp_path


def taken() -> Inputs:
    found = Inputs.of(RUN)
    assert found is not None
    return found


def test_unchanged_inputs_pass(project: Path) -> None:
    before = taken()
    assert set(before.files) == {Path("data/reviews/0.5-3.jsonl"), Path("code/room/a.py")}
    (project / "code/__pycache__").mkdir()
    (project / "code/__pycache__/a.pyc").write_text("compiled")
    (project / "code/room/a.py").touch()
    (project / "params.yaml").write_text("# a remark\n" + PARAMS.replace("{}", "{r: 2}"))
    before.check()


@pytest.mark.parametrize(
    ("name", "text", "culprit"),
    [
        ("params.yaml", PARAMS.replace("8", "9"), "params.yaml: methods.lora"),
        ("params.yaml", PARAMS.replace("2e-4", "2e-3"), "params.yaml: training"),
        ("params.yaml", "methods: {lora: {r: 8}}", "params.yaml: training"),
        ("params.yaml", "methods: [", "params.yaml: methods.lora"),
        ("params.yaml", "", "params.yaml: methods.lora"),
        ("data/reviews/0.5-3.jsonl", "{'a'}\n", "data/reviews/0.5-3.jsonl"),
        ("code/room/a.py", "a = 2\n", "code/room/a.py"),
    ],
)
def test_what_changed_is_named(name: str, text: str, culprit: str, project: Path) -> None:
    before = taken()
    (project / name).write_text(text)
    with pytest.raises(ChangedError) as caught:
        before.check()
    assert str(caught.value).startswith(f"{culprit} changed while this stage ran; its result is")


def test_added_file_is_named(project: Path) -> None:
    before = taken()
    (project / "code/b.py").write_text("")
    with pytest.raises(ChangedError, match=r"code/b\.py changed"):
        before.check()


def test_removed_file_is_named(project: Path) -> None:
    before = taken()
    (project / "code/room/a.py").unlink()
    (project / "params.yaml").unlink()
    with pytest.raises(ChangedError) as caught:
        before.check()
    lines = str(caught.value).splitlines()
    assert [line.split(" changed")[0] for line in lines] == [
        "params.yaml: methods.lora",
        "params.yaml: training",
        "code/room/a.py",
    ]


def test_large_files_are_compared_by_time(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "HASHED_BYTES", 1)
    before = taken()
    before.check()
    (project / "data/reviews/0.5-3.jsonl").write_text("[]\n")
    with pytest.raises(ChangedError, match="jsonl"):
        before.check()


def test_size_and_seed_that_are_no_matrix_item(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_STAGE", "dvc.yaml:time_inference@tiny-reviews-lora")
    assert set(taken().files) == {Path("data/reviews/0.5-3.jsonl")}


def test_by_hand_nothing_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_STAGE")
    assert Inputs.of(RUN) is None


def test_stage_that_ran_meanwhile_keeps_the_earlier_result(project: Path) -> None:
    (project / "out.json").write_text("earlier")
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tunebench import stage\n"
        "def main(run, out):\n"
        "    out.write_text('new')\n"
        f"    Path('params.yaml').write_text({PARAMS.replace('8', '9')!r})\n"
        "stage.run(main, lambda run: [Path('out.json')])\n"
    )
    options = ["--dataset", "reviews", "--method", "lora", "--train-size", "0.5", "--seed", "3"]
    done = subprocess.run(
        [sys.executable, "-c", script, *options],
        cwd=project, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        "error: params.yaml: methods.lora changed while this stage ran; its result is discarded:"
        " run `dvc repro` again\n"
    )
    assert (project / "out.json").read_text() == "earlier"
    assert sorted(path.name for path in project.iterdir()) == [
        "code", "data", "dvc.yaml", "out.json", "params.yaml",
    ]  # fmt: skip
