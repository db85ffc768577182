"""Every stage takes the same options, tells a fault in one line, and imports only what it needs."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from projects import environment

from tunebench import stage
from tunebench.paths import Run

ROOT = Path(__file__).parents[1]
STAGES = sorted(path.stem for path in (ROOT / "stages").glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize(
    ("text", "size"), [("1.0", 1.0), ("1", 1), ("50", 50), ("0.025", 0.025), ("1e-1", 0.1)]
)
def test_train_size_keeps_its_kind(text: str, size: float) -> None:
    run = stage.parse(["--train-size", text, "--seed", "0"])
    assert run.train_size == size
    assert type(run.train_size) is type(size)


def test_options_name_a_run() -> None:
    given = "--model tiny --dataset reviews --method lora --train-size 0.5 --seed 3"
    run = stage.parse(given.split())
    assert run == Run("tiny", "reviews", "lora", 0.5, 3)
    assert str(run) == "tiny/reviews/lora/0.5-3"
    assert stage.parse([]).size_and_seed == ""
    assert str(stage.parse(["--dataset", "reviews"])) == "reviews"


def test_unknown_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        stage.parse(["--modle", "tiny"])
    assert caught.value.code == 2
    assert "--modle" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("--model tiny", "required: --dataset"),
        ("--model tiny --dataset d --train-size 5", "--train-size and --seed go together"),
    ],
)
def test_missing_option_is_named(
    given: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        stage.parse(given.split(), needs=("model", "dataset"))
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_fault_is_one_line_and_exit_code_1(project: Any) -> None:
    done = project.run("download", "--dataset", "revews")
    assert done.returncode == 1
    assert done.stderr == "error: --dataset: 'revews' is not defined; did you mean 'reviews'?\n"
    assert done.stdout == ""


def test_every_fault_has_its_line(project: Any, valid: dict[str, Any]) -> None:
    valid["hardware"]["usd_per_hour"] = -1
    valid["study"] = 5
    project.write_params(valid)
    done = project.run("check")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: params.yaml: study: 5 should be a valid string",
        "error: params.yaml: hardware.usd_per_hour: -1 should be greater than or equal to 0",
    ]


@pytest.mark.parametrize("missing", ["download", "subsample", "format_prompts", "report"])
def test_stage_before_its_turn_says_what_to_run(missing: str, project: Any) -> None:
    options = ["--model", "tiny", "--dataset", "reviews", "--train-size", "0.5", "--seed", "0"]
    done = project.run(missing, *options)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.endswith(": is not there yet; run `dvc repro`")


def test_light_stages_import_nothing_heavy() -> None:
    light = ["check", "download", "fetch_model", "forgetting_text", "report", "subsample"]
    imports = ", ".join(f"stages.{name}" for name in light)
    code = (
        "import sys; import tunebench.config, tunebench.data.sources, tunebench.data.checking; "
        f"import {imports}; "
        "print(*sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert {f"stages.{name}" for name in light} <= loaded
    heavy = {"torch", "transformers", "peft", "datasets", "sklearn", "pyarrow", "numpy", "scipy"}
    assert not loaded & heavy


def test_every_stage_is_imported_without_work() -> None:
    assert len(STAGES) >= 9
    imports = ", ".join(f"stages.{name}" for name in STAGES)
    code = f"import sys; import {imports}; print({{'torch', 'transformers'}} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


INTERRUPTED = """
import os, signal
from tunebench import stage
def work(_):
    try:
        os.kill(os.getpid(), signal.{number})
    except KeyboardInterrupt:
        {then}
    print("went on")
stage.run(work, lambda run: [])
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(("then", "said"), [("raise", ""), ("pass", "went on\n")])
def test_interrupt_ends_a_stage_even_where_a_library_swallows_it(
    number: str, then: str, said: str
) -> None:
    script = INTERRUPTED.format(number=number, then=then)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, said, "")


def test_exit_looks_through_nothing_that_was_made() -> None:
    script = (
        "import atexit, gc\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 0))\n"  # the first is called last
        "from tunebench import stage\n"
        "stage.run(lambda run: print(gc.get_freeze_count()), lambda run: [])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        env=environment(),
    )  # fmt: skip
    assert done.stdout.split() == ["0", "True"]


def test_libraries_are_imported_first_and_collected_never() -> None:
    script = (
        "import gc, sys\n"
        "from tunebench import stage\n"
        "def main(run):\n"
        "    print('wave' in sys.modules, gc.isenabled(), gc.get_freeze_count() > 0)\n"
        "stage.run(main, lambda run: [], libraries=('wave',))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        env=environment(),
    )  # fmt: skip
    assert done.stdout.split() == ["True", "True", "True"]
