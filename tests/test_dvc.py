"""The graph under DVC itself: what runs, what does not run again, and what a kill leaves behind.

One project serves all tests here, in the order in which they stand: each starts from what the one
before it left, as a user's day goes.
"""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
SERVER = ROOT / "tests" / "openai_server.py"
ROWS = [
    ("the film was good and warm", "positive"),
    ("the film was bad and cold", "negative"),
    ("a good story, well told", "positive"),
    ("a bad story, told at length", "negative"),
] * 4


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dvc") / "project"
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, files.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("metrics/", "dvc.lock")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    write_rows(folder)
    params = yaml().load(folder / "params.yaml")
    params["datasets"] = {
        "reviews": params["datasets"]["reviews"]
        | {"rows": {"train": 24, "test": 8}, "test_rows": 8},
        "mine": params["datasets"]["reviews"] | {"path": "rows.csv", "test_rows": None},
    }
    for key in ("generator", "rows", "test_rows"):
        del params["datasets"]["mine"][key]
    params["grid"] |= {
        "datasets": ["reviews", "mine"],
        "prompting": ["zero_shot"],
        "tuning": ["lora"],
        "train_sizes": [8],
    }
    params["evaluation"]["forgetting"] = {"dataset": "reviews", "rows": 6}
    params["training"] |= {"max_steps": 3, "logging_steps": 1, "save_strategy": "no"}
    params["inference"] |= {"train_size": 8, "prompts": 2, "warmup": 1}
    params["inference"] |= {"repeats": 1, "batch_sizes": [1]}
    yaml().dump(params, folder / "params.yaml")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "start")
    return folder


def yaml() -> YAML:
    return YAML(typ="safe", pure=True)


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, check=True, text=True
    )
    return done.stdout


def write_rows(folder: Path, last: str = "good") -> None:
    lines = [f'"{text}",{label}' for text, label in ROWS]
    lines.append(f'"the last row is {last}",positive')
    (folder / "rows.csv").write_text("\n".join(["text,label", *lines]) + "\n")


def dvc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=folder, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip


def environment() -> dict[str, str]:
    here = Path(sys.executable).parent
    # the project's own sources, not those that the tests run from
    return os.environ | {"PATH": f"{here}:{os.environ['PATH']}", "PYTHONPATH": "src"}


def repro(folder: Path, *stages: str) -> list[str]:
    """Run the pipeline; the names of the stages that ran, without `check`, which always does."""
    done = dvc(folder, "repro", *stages)
    assert done.returncode == 0, done.stdout + done.stderr
    ran = re.findall(r"Running stage '([^']+)'", done.stdout)
    assert ran[0] == "check"
    return ran[1:]


def edit(folder: Path, section: str, name: str, key: str, value: object) -> None:
    params = yaml().load(folder / "params.yaml")
    params[section][name][key] = value
    yaml().dump(params, folder / "params.yaml")


def test_interrupted_run_goes_on_where_it_stopped(project: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro"],
        cwd=project, env=environment(), start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen += re.findall(r"Running stage '([^']+)'", line)
        if seen and seen[-1].startswith("train@"):
            break
    time.sleep(2)
    os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C sends: to DVC and to the stage
    rest = process.stdout.read()
    assert process.wait() != 0
    assert "Traceback" not in rest

    ran = repro(project)

    done_before = set(seen[1:-1])
    assert len(done_before) >= 8
    assert not done_before & set(ran)
    assert ran[0] == seen[-1]
    assert "report" in ran


def test_second_run_does_nothing(project: Path) -> None:
    assert repro(project) == []


def test_git_sees_only_results(project: Path) -> None:
    changed = {line[3:].split("/")[0] for line in git(project, "status", "--short").splitlines()}
    assert changed == {"dvc.lock", "metrics"}


def test_results_and_page_hold_every_run(project: Path) -> None:
    found = json.loads((project / "metrics/results.json").read_text())
    assert {
        dataset: {method: list(sizes) for method, sizes in methods.items()}
        for dataset, methods in found["tiny"].items()
    } == {name: {"zero_shot": ["0"], "lora": ["8"]} for name in ("reviews", "mine")}
    page = (project / "report/index.html").read_text()
    assert {">zero_shot<", ">lora<", ">reviews<", ">mine<"} <= set(re.findall(r">\w+<", page))
    assert "http" not in page.replace("http-equiv", "")


def test_metrics_show_is_one_table_of_methods(project: Path) -> None:
    header, *rows = dvc(project, "metrics", "show").stdout.splitlines()
    assert header.split()[:2] == ["Path", "accuracy"]
    assert "status" in header.split()
    assert len(header.split()) <= 11
    assert [row.split()[0] for row in rows if row.strip()] == [
        f"metrics/summary/{dataset}/{name}.json"
        for dataset in ("mine", "reviews")
        for name in ("lora-8", "zero_shot")
    ]
    assert max(map(len, [header, *rows])) <= 160


def test_compiled_code_reruns_nothing(project: Path) -> None:
    """A room's folder is a dependency, and Python writes its caches there."""
    compiled = environment() | {"PYTHONPATH": "src"}
    compiled.pop("PYTHONDONTWRITEBYTECODE", None)
    code = "import tunebench.data.download, tunebench.data.sources.files"
    subprocess.run([sys.executable, "-c", code], cwd=project, env=compiled, check=True)
    assert list((project / "src/tunebench/data").rglob("__pycache__/*.pyc"))
    changed = dvc(project, "status", "--json").stdout
    assert set(json.loads(changed)) <= {"check"}


def test_runs_on_another_data_set_tell_what_they_have_forgotten(project: Path) -> None:
    found = {}
    for name in ("reviews", "mine"):
        metrics = project / f"metrics/evaluate/tiny/{name}/lora/8-0.json"
        found[name] = json.loads(metrics.read_text()).get("forgetting")
    assert found["reviews"] is None
    assert 0 < abs(found["mine"]) < 1


def test_other_forgetting_rows_are_read_again(project: Path) -> None:
    texts = project / "data/forgetting_text.jsonl"
    edit(project, "evaluation", "forgetting", "rows", 4)
    assert repro(project, "forgetting_text") == ["forgetting_text"]
    assert texts.read_text().count("\n") == 4

    edit(project, "evaluation", "forgetting", "rows", 6)
    repro(project, "forgetting_text")  # which DVC's run cache may know
    assert texts.read_text().count("\n") == 6


def test_editing_the_report_reruns_the_report(project: Path) -> None:
    page = project / "src/tunebench/report/page.html.jinja"
    page.write_text(page.read_text().replace("<h1>", "<h1>The study "))

    assert repro(project) == ["report"]
    assert "<h1>The study demo" in (project / "report/index.html").read_text()


def test_published_numbers_rerun_the_report(project: Path) -> None:
    params = yaml().load(project / "params.yaml")
    run = {"model": "tiny", "dataset": "reviews", "method": "zero_shot", "accuracy": 0.5}
    params["published"] = {"source": "a paper", "results": [run]}
    yaml().dump(params, project / "params.yaml")

    assert repro(project) == ["report"]
    header, row = (project / "metrics/tables/published.csv").read_text().splitlines()
    assert header.startswith("model,dataset,method,train_size,metric,published,measured,low,high")
    assert row.startswith("tiny,reviews,zero_shot,0,accuracy,0.5,")

    del params["published"]
    yaml().dump(params, project / "params.yaml")
    assert repro(project) == ["report"]
    assert not (project / "metrics/tables/published.csv").exists()


def test_prices_rerun_the_report_alone(project: Path) -> None:
    before = (project / "params.yaml").read_text()
    params = yaml().load(project / "params.yaml")
    params["hardware"]["usd_per_hour"] = 3.6
    params["cost"] = {"usd_per_label": 0.5}
    yaml().dump(params, project / "params.yaml")

    assert repro(project) == ["report"]
    header, *rows = (project / "metrics/tables/costs.csv").read_text().splitlines()
    assert "usd_to_train,usd_for_labels,usd_per_1k_requests" in header
    assert len(rows) >= 4
    drawn = dvc(project, "plots", "show", "--show-vega", "costs")
    assert drawn.returncode == 0, drawn.stderr
    assert '"usd"' in drawn.stdout

    params["cost"]["usd_per_label"] = 0.25
    yaml().dump(params, project / "params.yaml")
    assert repro(project) == ["report"]

    (project / "params.yaml").write_text(before)
    assert repro(project) == ["report"]
    assert not (project / "metrics/tables/costs.csv").exists()
    assert (project / "metrics/plots/costs.csv").read_text() == "panel,method,requests,usd\n"
    shown = dvc(project, "plots", "show")
    assert (shown.returncode, "failed" in shown.stdout + shown.stderr) == (0, False)


def test_load_tests_rerun_nothing_else(project: Path) -> None:
    before = (project / "params.yaml").read_text()
    params = yaml().load(project / "params.yaml")
    # no request waits for another, so latencies are independent and some 100 decide
    options = "{port} --model {model} --service-s 0.08 --parallel"
    params["inference"] |= {
        "load_test": {"tuning": ["lora"], "prompting": []},
        "server": "own",
        "servers": {"own": {"command": f"{sys.executable} {SERVER} {options}"}},
        "objective": {"latency_p50_s": 30.0},
        "min_requests": 100,
        "hold_s": 0.1,
        "longest_hold_s": 40.0,  # on a busy machine
        "max_rates": 1,
    }
    yaml().dump(params, project / "params.yaml")
    tested = [f"load_test@tiny-{dataset}-lora" for dataset in ("mine", "reviews")]

    assert sorted(repro(project)) == [*tested, "report"]
    rows = list(csv.DictReader((project / "metrics/tables/load_test.csv").open(newline="")))
    assert [row["artifact"] for row in rows] == ["merged", "merged"]
    assert all(float(row["sustained_rps"]) > 0 for row in rows)

    (project / "params.yaml").write_text(before)
    assert repro(project) == ["report"]
    assert not (project / "metrics/tables/load_test.csv").exists()


def test_editing_a_row_reruns_what_depends_on_it(project: Path) -> None:
    write_rows(project, last="better")

    ran = repro(project)

    assert "download@mine" in ran
    assert {stage for stage in ran if "reviews" in stage or stage == "forgetting_text"} == set()
    assert {"train@tiny-mine-lora-8-0", "evaluate_prompting@tiny-mine-zero_shot"} <= set(ran)


def test_a_fault_stops_everything_and_leaves_results_alone(project: Path) -> None:
    before = {path: path.read_bytes() for path in sorted((project / "metrics").rglob("*.json"))}
    assert len(before) > 10
    good = (project / "params.yaml").read_bytes()
    edit(project, "methods", "lora", "quantisation", "nf4")
    (project / "rows.csv").write_text("text,label\nfine,positive\n")

    done = dvc(project, "repro")

    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert "methods.lora.quantisation: unknown key; did you mean 'quantization'?" in output
    assert "Traceback" not in output
    assert {path: path.read_bytes() for path in before} == before
    (project / "params.yaml").write_bytes(good)
    write_rows(project, last="better")
    assert repro(project) == []


def test_an_experiment_reruns_the_method_that_it_changes(project: Path) -> None:
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "results")

    run = dvc(project, "exp", "run", "--name", "rank", "-S", "methods.lora.adapter.r=4")
    assert run.returncode == 0, run.stdout + run.stderr
    ran = re.findall(r"Running stage '([^']+)'", run.stdout)
    assert sorted(ran) == sorted(
        [
            "check",
            *(f"{stage}@tiny-{dataset}-lora-8-0" for stage in ("train", "evaluate")
              for dataset in ("reviews", "mine")),
            *(f"time_inference@tiny-{dataset}-lora" for dataset in ("reviews", "mine")),
            "report",
        ]
    )  # fmt: skip
    shown = dvc(project, "exp", "show", "--csv", "--only-changed")
    assert "rank" in shown.stdout
    beside = subprocess.run(
        [sys.executable, "-c", "from tunebench.cli import app; app()", "experiments"],
        cwd=project, env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    header, *rows = beside.stdout.splitlines()
    assert header.split()[1:] == ["rank"]
    assert "methods.lora.adapter.r 8 4" in [" ".join(row.split()) for row in rows]
    changed = json.loads(dvc(project, "metrics", "diff", "--json").stdout)
    assert set(changed) <= {f"metrics/summary/{name}/lora-8.json" for name in ("reviews", "mine")}
    assert all(values["train_s"]["diff"] for values in changed.values())
    rows = json.loads(dvc(project, "params", "diff", "--json").stdout)
    assert rows == {"params.yaml": {"methods.lora.adapter.r": {"old": 8, "new": 4, "diff": -4}}}
