"""The graph under DVC itself: what runs, what does not run again, and what a kill leaves behind.

One project serves all tests here, in the order in which they stand: each starts from what the one
before it left, as a user's day goes.
"""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from repository import ROOT, Repository, environment, small_study, wait_for, wait_for_stage

SERVER = ROOT / "tests" / "openai_server.py"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    params = small_study()
    params["datasets"]["mine"] = params["datasets"]["reviews"] | {
        "path": "rows.csv",
        "test_rows": None,
    }
    for key in ("generator", "rows", "test_rows"):
        del params["datasets"]["mine"][key]
    params["grid"] |= {"datasets": ["reviews", "mine"], "baselines": ["majority", "lead"]}
    return Repository.made(tmp_path_factory.mktemp("dvc") / "project", params)


def test_interrupted_run_goes_on_where_it_stopped(project: Repository) -> None:
    process = project.started("repro")
    seen = wait_for_stage(process, "train@")
    time.sleep(2)
    os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C sends: to DVC and to the stage
    rest, _ = process.communicate()
    assert process.returncode != 0
    assert "Traceback" not in rest

    ran = project.repro()

    done_before = set(seen[1:-1])
    assert len(done_before) >= 8
    assert not done_before & set(ran)
    assert ran[0] == seen[-1]
    assert "report" in ran


def test_second_run_does_nothing(project: Repository) -> None:
    assert project.repro() == []


def test_git_sees_only_results(project: Repository) -> None:
    changed = {line[3:].split("/")[0] for line in project.git("status", "--short").splitlines()}
    assert changed == {"dvc.lock", "metrics"}


def test_results_and_page_hold_every_run(project: Repository) -> None:
    found = json.loads((project.folder / "metrics/results.json").read_text())
    assert {
        dataset: {method: list(sizes) for method, sizes in methods.items()}
        for dataset, methods in found["tiny"].items()
    } == {name: {"zero_shot": ["0"], "lora": ["8"]} for name in ("reviews", "mine")}
    # which answers labels; `lead` does not
    assert {name: list(methods) for name, methods in found["baseline"].items()} == {
        "reviews": ["majority"], "mine": ["majority"],
    }  # fmt: skip
    page = (project.folder / "report/index.html").read_text()
    assert {">zero_shot<", ">lora<", ">majority<", ">reviews<", ">mine<"} <= set(
        re.findall(r">\w+<", page)
    )
    assert not re.search(r"""(src|href)=["']?http""", page.partition("<script")[0])


def test_metrics_show_is_one_table_of_methods(project: Repository) -> None:
    header, *rows = project.dvc("metrics", "show").stdout.splitlines()
    assert header.split()[:2] == ["Path", "accuracy"]
    assert "status" in header.split()
    assert len(header.split()) <= 11
    assert [row.split()[0] for row in rows if row.strip()] == [
        f"metrics/summary/{dataset}/{name}.json"
        for dataset in ("mine", "reviews")
        for name in ("lora-8", "majority-8", "zero_shot")
    ]
    assert max(map(len, [header, *rows])) <= 160


def test_compiled_code_reruns_nothing(project: Repository) -> None:
    """A room's folder is a dependency, and Python writes its caches there."""
    compiled = environment() | {"PYTHONPATH": "src"}
    compiled.pop("PYTHONDONTWRITEBYTECODE", None)
    code = "import tunebench.data.download, tunebench.data.sources.files"
    subprocess.run([sys.executable, "-c", code], cwd=project.folder, env=compiled, check=True)
    assert list((project.folder / "src/tunebench/data").rglob("__pycache__/*.pyc"))
    changed = project.dvc("status", "--json").stdout
    assert set(json.loads(changed)) <= {"check"}


def test_runs_on_another_data_set_tell_what_they_have_forgotten(project: Repository) -> None:
    found = {}
    for name in ("reviews", "mine"):
        metrics = project.folder / f"metrics/evaluate/tiny/{name}/lora/8-0.json"
        found[name] = json.loads(metrics.read_text()).get("forgetting")
    assert found["reviews"] is None
    assert 0 < abs(found["mine"]) < 1


def test_other_forgetting_rows_are_read_again(project: Repository) -> None:
    texts = project.folder / "data/forgetting_text.jsonl"
    project.edit("evaluation", "forgetting", "rows", 4)
    assert project.repro("forgetting_text") == ["forgetting_text"]
    assert texts.read_text().count("\n") == 4

    project.edit("evaluation", "forgetting", "rows", 6)
    project.repro("forgetting_text")  # which DVC's run cache may know
    assert texts.read_text().count("\n") == 6


def test_editing_the_report_reruns_the_report(project: Repository) -> None:
    page = project.folder / "src/tunebench/report/page/page.html.jinja"
    page.write_text(page.read_text().replace("<h1><bdi>", "<h1><bdi>The study "))

    assert project.repro() == ["report"]
    assert "<h1><bdi>The study demo" in (project.folder / "report/index.html").read_text()


def test_published_numbers_rerun_the_report(project: Repository) -> None:
    params = project.params()
    run = {"model": "tiny", "dataset": "reviews", "method": "zero_shot", "accuracy": 0.5}
    params["published"] = {"source": "a paper", "results": [run]}
    project.write_params(params)

    assert project.repro() == ["report"]
    header, row = (project.folder / "metrics/tables/published.csv").read_text().splitlines()
    assert header.startswith("model,dataset,method,train_size,metric,published,measured,low,high")
    assert row.startswith("tiny,reviews,zero_shot,0,accuracy,0.5,")

    del params["published"]
    project.write_params(params)
    assert project.repro() == ["report"]
    assert not (project.folder / "metrics/tables/published.csv").exists()


def test_prices_rerun_the_report_alone(project: Repository) -> None:
    before = (project.folder / "params.yaml").read_text()
    params = project.params()
    params["hardware"]["usd_per_hour"] = 3.6
    params["cost"] = {"usd_per_label": 0.5}
    project.write_params(params)

    assert project.repro() == ["report"]
    header, *rows = (project.folder / "metrics/tables/costs.csv").read_text().splitlines()
    assert "usd_to_train,usd_for_labels,usd_per_1k_requests" in header
    assert len(rows) >= 4
    drawn = project.dvc("plots", "show", "--show-vega", "costs")
    assert drawn.returncode == 0, drawn.stderr
    assert '"usd"' in drawn.stdout

    params["cost"]["usd_per_label"] = 0.25
    project.write_params(params)
    assert project.repro() == ["report"]

    (project.folder / "params.yaml").write_text(before)
    assert project.repro() == ["report"]
    assert not (project.folder / "metrics/tables/costs.csv").exists()
    assert (project.folder / "metrics/plots/costs.csv").read_text() == "panel,method,requests,usd\n"
    shown = project.dvc("plots", "show")
    assert (shown.returncode, "failed" in shown.stdout + shown.stderr) == (0, False)


def test_load_tests_rerun_nothing_else(project: Repository) -> None:
    before = (project.folder / "params.yaml").read_text()
    params = project.params()
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
    project.write_params(params)
    tested = [f"load_test@tiny-{dataset}-lora" for dataset in ("mine", "reviews")]

    assert sorted(project.repro()) == [*tested, "report"]
    rows = list(csv.DictReader((project.folder / "metrics/tables/load_test.csv").open(newline="")))
    assert [row["artifact"] for row in rows] == ["merged", "merged"]
    assert all(float(row["sustained_rps"]) > 0 for row in rows)

    (project.folder / "params.yaml").write_text(before)
    assert project.repro() == ["report"]
    assert not (project.folder / "metrics/tables/load_test.csv").exists()


def test_editing_a_row_reruns_what_depends_on_it(project: Repository) -> None:
    project.write_rows(last="better")

    ran = project.repro()

    assert "download@mine" in ran
    assert {stage for stage in ran if "reviews" in stage or stage == "forgetting_text"} == set()
    assert {
        "train@tiny-mine-lora-8-0", "evaluate_prompting@tiny-mine-zero_shot", "baselines@mine",
    } <= set(ran)  # fmt: skip


def test_a_fault_stops_everything_and_leaves_results_alone(project: Repository) -> None:
    before = {
        path: path.read_bytes() for path in sorted((project.folder / "metrics").rglob("*.json"))
    }
    assert len(before) > 10
    good = (project.folder / "params.yaml").read_bytes()
    project.edit("methods", "lora", "quantisation", "nf4")
    (project.folder / "rows.csv").write_text("text,label\nfine,positive\n")

    done = project.dvc("repro")

    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert "methods.lora.quantisation: unknown key; did you mean 'quantization'?" in output
    assert "Traceback" not in output
    assert {path: path.read_bytes() for path in before} == before
    (project.folder / "params.yaml").write_bytes(good)
    project.write_rows(last="better")
    assert project.repro() == []


def test_parameters_edited_while_a_stage_runs_are_not_its_result(project: Repository) -> None:
    before, results = project.params(), project.results()
    lock = (project.folder / "dvc.lock").read_text()
    project.edit("methods", "lora", "training", {"learning_rate": 0.0025, "max_steps": 40})
    process = project.started("repro", "train@tiny-reviews-lora-8-0")
    wait_for("metrics/history/tiny/reviews/lora/.8-0.*.tmp/plots/metrics/train/loss.tsv",
             project.folder, process=process)  # fmt: skip
    project.edit("methods", "lora", "training", {"learning_rate": 0.075, "max_steps": 40})
    output, _ = process.communicate()

    assert process.returncode != 0
    assert "error: params.yaml: methods.lora changed while this stage ran" in output
    assert "Traceback" not in output
    assert project.results() == results
    assert (project.folder / "dvc.lock").read_text() == lock

    assert project.repro("train@tiny-reviews-lora-8-0") == ["train@tiny-reviews-lora-8-0"]
    written = json.loads(
        (project.folder / "data/adapters/tiny/reviews/lora/8-0/run.json").read_text()
    )
    assert written["settings"]["training"]["learning_rate"] == 0.075
    project.write_params(before)
    project.repro()


@pytest.mark.parametrize("script", ["train", "report"])
def test_a_fault_at_the_end_leaves_earlier_results(script: str, project: Repository) -> None:
    assert project.repro() == []
    results, lock = project.results(), (project.folder / "dvc.lock").read_text()
    source = project.folder / f"stages/{script}.py"
    text = source.read_text()
    end = "\n\n\nif __name__"
    source.write_text(text.replace(end, f"\n    raise RuntimeError('a fault'){end}"))

    done = project.dvc(
        "repro", "report" if script == "report" else f"{script}@tiny-reviews-lora-8-0"
    )

    assert done.returncode != 0
    assert "RuntimeError: a fault" in done.stderr
    assert project.results() == results
    assert (project.folder / "dvc.lock").read_text() == lock
    source.write_text(text)
    assert project.repro() == []


def test_an_experiment_reruns_the_method_that_it_changes(project: Repository) -> None:
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "results")

    run = project.dvc("exp", "run", "--name", "rank", "-S", "methods.lora.adapter.r=4")
    assert run.returncode == 0, run.stdout + run.stderr
    ran = re.findall(r"Running stage '([^']+)'", run.stdout)
    assert sorted(ran) == sorted(
        [
            "check",
            "fetch_model@tiny",  # it tries the adapter on the model
            *(f"{stage}@tiny-{dataset}-lora-8-0" for stage in ("train", "evaluate")
              for dataset in ("reviews", "mine")),
            *(f"time_inference@tiny-{dataset}-lora" for dataset in ("reviews", "mine")),
            "report",
        ]
    )  # fmt: skip
    shown = project.dvc("exp", "show", "--csv", "--only-changed")
    assert "rank" in shown.stdout
    beside = subprocess.run(
        [sys.executable, "-c", "from tunebench.cli import app; app()", "experiments"],
        cwd=project.folder, env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    header, *rows = beside.stdout.splitlines()
    assert header.split()[1:] == ["rank"]
    assert "methods.lora.adapter.r 8 4" in [" ".join(row.split()) for row in rows]
    changed = json.loads(project.dvc("metrics", "diff", "--json").stdout)
    assert set(changed) <= {f"metrics/summary/{name}/lora-8.json" for name in ("reviews", "mine")}
    assert all(values["train_s"]["diff"] for values in changed.values())
    rows = json.loads(project.dvc("params", "diff", "--json").stdout)
    assert rows == {"params.yaml": {"methods.lora.adapter.r": {"old": 8, "new": 4, "diff": -4}}}
