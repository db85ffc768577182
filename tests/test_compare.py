"""`tunebench compare`: what changed between two revisions, and what is noise."""

import json
from pathlib import Path

import pytest
from scored import first
from typer.testing import CliRunner, Result
from versions import CACHE, Versions

from tunebench import paths, results
from tunebench.cli import app
from tunebench.doctor import yaml12
from tunebench.report import compare, revisions
from tunebench.report.compare import Change, Changes

ROOT = Path(__file__).parents[1]
LORA, PROMPTED = "tiny/reviews/lora/1.0", "tiny/reviews/zero_shot"


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Versions:
    """70 and 50 of 100 test rows right, committed as `main`."""
    monkeypatch.chdir(tmp_path)
    made = Versions(tmp_path)
    made.params |= {"methods": {"lora": {"r": 8}}, "hardware": {"repeatability": 0.1}}
    made.add(LORA, first(70), train_s=10.0)
    made.add(PROMPTED, first(50))
    made.commit("start")
    return made


def by_run(changes: Changes) -> dict[str, Change]:
    return {change.run: change for change in changes.scores}


def shown(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["compare", *arguments], env={"COLUMNS": "200"})


def test_a_difference_is_tested_on_the_same_rows(versions: Versions) -> None:
    versions.add(LORA, first(82), train_s=10.0)
    versions.params["methods"]["lora"]["r"] = 16
    versions.write()
    changes = compare.between("main")
    change = by_run(changes)[LORA]
    # twelve rows, all for the new one: 13/102 - 1/102, and twice a half to the twelfth
    assert (change.difference, change.by, change.verdict) == (0.12, "paired test", "better")
    assert change.p == pytest.approx(2 * 0.5**12, rel=1e-2)
    assert by_run(changes)[PROMPTED].verdict == "the same"
    assert [vars(each) for each in changes.parameters] == [
        {"name": "methods.lora.r", "before": 8, "after": 16}
    ]
    backwards = by_run(compare.between("main", "HEAD"))
    assert {each.verdict for each in backwards.values()} == {"the same"}


def test_a_baseline_is_tested_on_the_same_rows(versions: Versions) -> None:
    """Its predictions lie in one folder with those of the data set's other baselines."""
    linear = "baseline/reviews/linear/1.0"
    versions.add(linear, first(60))
    versions.commit("a baseline")
    versions.add(linear, first(72))
    versions.write()
    change = by_run(compare.between("HEAD"))[linear]
    assert (change.difference, change.by, change.verdict) == (0.12, "paired test", "better")


def test_noise_is_said_in_words(versions: Versions) -> None:
    versions.add(LORA, first(72), train_s=10.5)
    versions.add(PROMPTED, first(51))
    versions.commit("other answers")
    output = shown("HEAD~1", "HEAD").output
    assert "Scores: 2 within noise" in output
    assert "accuracy  70.0  →  72.0  +2.0 (-1.9 to +5.8)  within noise, p 1" in output
    assert "p is Holm's, over the 2 scores that were tested." in output
    assert "Costs: 1 within noise" in output
    assert "train_s" not in output  # counted, not listed


def test_costs_that_changed(versions: Versions) -> None:
    versions.add(LORA, first(70), train_s=20.0)
    versions.write()
    (cost,) = compare.between("main").costs
    assert (cost.metric, cost.difference, cost.verdict) == ("train_s", 1.0, "more")
    # two runs' standard deviations of 10%: twice the cost, over or under e^(1.96·0.1414)
    assert (cost.low, cost.high) == (pytest.approx(0.516, abs=2e-3), pytest.approx(1.639, abs=2e-3))
    assert "hardware.repeatability, 0.1" in shown("main").output


def test_runs_that_appear_vanish_and_fail(versions: Versions) -> None:
    versions.add("tiny/reviews/old/1.0", first(60))
    versions.scored("tiny/reviews/never/1.0", {"note": "out of memory at 9 GB"})
    versions.scored("tiny/reviews/mended/1.0", {"note": "diverged at step 3"})
    versions.commit("more")
    del versions.results["tiny"]["reviews"]["old"]
    versions.scored(LORA, {"note": "out of memory at 8 GB"})
    versions.add("tiny/reviews/new/0.5", first(65))
    versions.add("tiny/reviews/mended/1.0", first(66))
    versions.commit("other runs")
    found = by_run(compare.between("HEAD~1", "HEAD"))
    assert {run: change.verdict for run, change in found.items()} == {
        LORA: "failed now",
        PROMPTED: "the same",
        "tiny/reviews/old/1.0": "gone",
        "tiny/reviews/new/0.5": "new",
        "tiny/reviews/never/1.0": "failed in both",
        "tiny/reviews/mended/1.0": "has a score now",
    }
    (line,) = (each for each in shown("HEAD~1", "HEAD").output.splitlines() if LORA in each)
    assert line.split(None, 5) == [
        LORA, "accuracy", "70.0", "→", "-", "failed now: out of memory at 8 GB",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("uncached", "the predictions of main are not in DVC's cache"),
        ("other rows", "the test rows are not the same"),
        ("other seeds", "they are of other seeds"),
        ("other metrics", "predictions and metrics are of different runs"),
    ],
)
def test_intervals_stand_in_for_the_test(versions: Versions, change: str, why: str) -> None:
    if change == "uncached":
        for path in (versions.folder / CACHE).rglob("*.dir"):
            path.unlink()
    versions.add(LORA, first(76), ids=5 if change == "other rows" else 0)
    if change == "other seeds":
        versions.params["grid"]["seeds"] = [1]
    if change == "other metrics":
        versions.scored(
            LORA, versions.results["tiny"]["reviews"]["lora"]["1.0"] | {"accuracy": 0.8}
        )
    versions.write()
    found = by_run(compare.between("main"))[LORA]
    assert (found.by, found.note, found.verdict) == ("intervals", why, "within noise")
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high
    assert f"1 score was compared by the intervals alone, which tells less: {why}." in (
        shown("main").output
    )


def test_files_of_the_working_tree_stand_in_for_its_cache(versions: Versions) -> None:
    versions.add(LORA, first(90))
    lines = [
        {"id": f"test-{number}", "gold": "a", "answer": "a" if right else "b"}
        for number, right in enumerate(first(90))
    ]
    results.write_lines(paths.predictions(paths.Run.parse(f"{LORA}-0")), lines)
    del versions.locked[f"{LORA}-0"]
    versions.write()
    assert by_run(compare.between("main"))[LORA].by == "paired test"


def test_several_seeds_and_one_that_is_missing(versions: Versions) -> None:
    versions.params["grid"]["seeds"] = [0, 1]
    versions.commit("two seeds, of which one is not cached")
    versions.add(LORA, first(75))
    versions.commit("again")
    found = by_run(compare.between("HEAD~1", "HEAD"))[LORA]
    assert found.note == "the predictions of HEAD~1 are not in DVC's cache"


def test_an_experiment_is_a_revision(versions: Versions) -> None:
    versions.add(LORA, first(90))
    commit = versions.commit("what DVC commits")
    versions.git("update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/tepid-dogs", commit)
    versions.git("reset", "--quiet", "--hard", "HEAD~1")
    assert by_run(compare.between("main", "tepid-dogs"))[LORA].difference == pytest.approx(0.2)
    near = shown("tepid-dog")
    assert near.exit_code == 1
    assert near.output == (
        "error: 'tepid-dog' is no Git revision or experiment; did you mean 'tepid-dogs'?\n"
    )


def test_bad_input_is_one_line(versions: Versions, monkeypatch: pytest.MonkeyPatch) -> None:
    versions.results = {"tiny": {"reviews": {"lora": {"accuracy": 0.5}}}}
    versions.commit("another shape")
    assert "HEAD: its metrics/results.json has another shape" in shown("HEAD").output
    versions.git("rm", "--quiet", "-r", "metrics")
    versions.git("-c", "user.name=x", "-c", "user.email=x@y.z", "commit", "-qm", "no results")
    assert shown("HEAD").output == (
        "error: HEAD: has no metrics/results.json; choose a later one of: git log --oneline --"
        " metrics/results.json\n"
    )
    assert shown("HEAD~2").output.splitlines() == [
        "error: the working tree: has no metrics/results.json; run `dvc repro`"
    ]
    elsewhere = versions.folder / "elsewhere"
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(versions.folder))
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    outside = shown("HEAD")
    assert (outside.exit_code, len(outside.output.splitlines())) == (1, 1)
    assert outside.output.startswith("error: this folder is in no Git repository")
    monkeypatch.setenv("PATH", "")
    assert shown("HEAD").output == "error: git: is not installed; apt-get install git\n"


def test_a_revision_is_never_an_option(versions: Versions) -> None:
    with pytest.raises(Exception, match="'--all' is no Git revision"):
        compare.between("--all")


def test_markdown_escapes_and_json_is_whole(versions: Versions) -> None:
    versions.params["methods"]["lora"]["r"] = "a | `b` <script>"
    versions.add(LORA, first(82))
    versions.commit("a | b *c* <script>")
    table = shown("HEAD~1", "HEAD", "--markdown").output
    assert r"a \| b \*c\* \<script\>" in table
    assert r"| `methods.lora.r` | `8` | `` a \| `b` <script> `` |" in table
    assert "| `tiny/reviews/lora/1.0` | `accuracy` | 70.0 | 82.0 |" in table
    parsed = json.loads(shown("HEAD~1", "HEAD", "--json").output)
    assert {change["run"] for change in parsed["scores"]} == {LORA, PROMPTED}
    assert shown("HEAD", "--json", "--markdown").exit_code == 2


def test_the_lock_is_read_as_yaml_would() -> None:
    """Of this repository's own dvc.lock: the predictions of each run, by DVC's stages."""
    stages = yaml12.read(ROOT / "dvc.lock")["stages"]
    outputs = [out for name, stage in stages.items()
               if name.startswith(("evaluate", "baselines"))
               for out in stage["outs"] if out["path"].startswith("data/predictions/")]  # fmt: skip
    found = dict(revisions.locked((ROOT / "dvc.lock").read_text()))
    assert found == {out["path"].removeprefix("data/predictions/"): out["md5"] for out in outputs}
    assert len(found) >= 12 and "baseline/posts" in found
