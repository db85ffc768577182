"""The loss on forgetting text, against torch's own, of every kind of tuned model."""

import json
import math
import os
import shutil
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
from conftest import ADAPTERS
from projects import ROOT, Project, run_stage
from tiny_model import CONTEXT, SENTENCES

from stages import (
    check,
    download,
    evaluate,
    fetch_model,
    forgetting_text,
    format_prompts,
    subsample,
)
from tunebench import models, paths, results
from tunebench.config.schema import FullMethod, PeftMethod, PromptingMethod
from tunebench.errors import EvaluationError
from tunebench.evaluation import forgetting
from tunebench.models import outcomes
from tunebench.paths import Run

TEXTS = [*SENTENCES, "</s> is a text too", "x", SENTENCES[0] * 9]  # one longer than the context
PISSA = {"peft_type": "LORA", "r": 4, "init_lora_weights": "pissa", "target_modules": "all-linear"}
SIZES = {"context_length": CONTEXT, "batch_tokens": 200}
METHODS: dict[str, Any] = {
    "full": FullMethod(kind="full"),
    "pissa": PeftMethod(kind="peft", adapter=PISSA),
    "nf4": PeftMethod(kind="peft", adapter=ADAPTERS["lora"], quantization="nf4"),
    **{name: PeftMethod(kind="peft", adapter=adapter) for name, adapter in ADAPTERS.items()},
}


@pytest.fixture(params=METHODS)
def tuned(request: pytest.FixtureRequest, tiny: models.Base, tmp_path: Path) -> tuple[Any, Path]:
    """A method, and the folder of what its training would have left."""
    import torch

    method = METHODS[request.param]
    torch.manual_seed(1)
    model = models.load(tiny, method)
    changed = models.with_adapter(model, method, {}) if method.kind == "peft" else model
    with torch.no_grad():
        for weight in changed.parameters():
            if weight.requires_grad and weight.is_floating_point():
                weight.add_(torch.randn_like(weight), alpha=0.2)
    options = {"save_embedding_layers": False} if method.kind == "peft" else {}
    changed.save_pretrained(tmp_path / "trained", **options)
    return method, tmp_path / "trained"


def expected(model: Any, rows: list[list[int]]) -> float:
    """Cross-entropy of one text after the other, virtual tokens' positions apart."""
    import torch

    total = tokens = 0
    for row in rows:
        ids = torch.tensor([row])
        with torch.no_grad():
            logits = model.eval()(input_ids=ids).logits[0, -len(row) : -1]
        total += torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
        tokens += len(row) - 1
    return total / tokens


def test_loss_is_that_of_each_text_by_itself(
    tuned: tuple[Any, Path], tiny: models.Base, tokenizer: Any
) -> None:
    method, trained = tuned
    virtual = getattr(method, "adapter", {}).get("num_virtual_tokens", 0)
    rows = [
        tokenizer(text, split_special_tokens=True)["input_ids"][: CONTEXT - virtual]
        for text in TEXTS
    ]
    assert [row[0] for row in rows] == [tokenizer.bos_token_id] * len(TEXTS)
    assert len(rows[-1]) == CONTEXT - virtual
    assert len(rows[-2]) == 2
    found = forgetting.measure(
        tiny, method, TEXTS, trained=trained, context_length=CONTEXT, batch_tokens=200
    )
    untouched, changed = models.load(tiny, method), models.load(tiny, method, trained=trained)
    assert found["forgetting_loss_before"] == pytest.approx(expected(untouched, rows), abs=1e-4)
    assert found["forgetting_loss_after"] == pytest.approx(expected(changed, rows), abs=1e-4)
    risen = found["forgetting_loss_after"] - found["forgetting_loss_before"]
    assert found["forgetting"] == pytest.approx(risen, abs=1e-6)
    assert abs(risen) > 0.01


def test_one_model_at_a_time_is_in_memory(
    tuned: tuple[Any, Path], tiny: models.Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, trained = tuned
    loaded: list[weakref.ref[Any]] = []
    load = models.load

    def counting(*given: Any, **options: Any) -> Any:
        assert not [model for model in loaded if model() is not None]
        made = load(*given, **options)
        loaded.append(weakref.ref(made))
        return made

    monkeypatch.setattr(models, "load", counting)
    forgetting.measure(tiny, method, TEXTS, trained=trained, **SIZES)
    assert len(loaded) == 2


def test_loss_is_the_same_in_any_batches_and_pieces(
    answering: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [tokenizer(text)["input_ids"][:120] for text in TEXTS]
    whole = forgetting.mean_loss(answering, rows, padding=3, batch_tokens=10_000)
    assert whole == pytest.approx(expected(answering, rows), abs=1e-4)
    monkeypatch.setattr(forgetting, "POSITIONS", 7)
    for batch_tokens in (1, 150):
        again = forgetting.mean_loss(answering, rows, padding=3, batch_tokens=batch_tokens)
        assert again == pytest.approx(whole, abs=1e-5)


def test_large_vocabulary_makes_small_batches(
    tiny: models.Base, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    budgets: list[int] = []

    def mean_loss(*_: Any, batch_tokens: int, **__: Any) -> float:
        budgets.append(batch_tokens)
        return 1.0

    shutil.copytree(tiny.folder, tmp_path / "trained")
    monkeypatch.setattr(forgetting, "mean_loss", mean_loss)
    monkeypatch.setattr(forgetting, "LOGITS", 340 * 50)
    for batch_tokens in (40, 60):
        forgetting.measure(
            tiny, METHODS["full"], TEXTS,
            trained=tmp_path / "trained", context_length=None, batch_tokens=batch_tokens,
        )  # fmt: skip
    assert budgets == [40, 40, 50, 50]


def test_texts_of_one_token_have_no_loss(model: Any) -> None:
    rows = [[1, 20, 21, 22], [1, 30]]
    some = forgetting.mean_loss(model, rows, padding=3, batch_tokens=99)
    assert forgetting.mean_loss(model, [[], *rows, [1]], padding=3, batch_tokens=99) == some
    with pytest.raises(EvaluationError, match="hold no token to predict"):
        forgetting.mean_loss(model, [[1], []], padding=3, batch_tokens=99)


def test_loss_that_is_not_finite_names_the_text(tiny: models.Base) -> None:
    import torch

    broken = models.load(tiny, PromptingMethod(kind="prompting"))
    with torch.no_grad():
        broken.get_input_embeddings().weight[30] = math.nan
    with pytest.raises(EvaluationError, match=r"forgetting text 2: .* not finite"):
        forgetting.mean_loss(
            broken, [[1, 20, 21, 22, 23], [1, 30, 4], [1, 30]], padding=3, batch_tokens=99
        )


@pytest.mark.parametrize("ends", ["load", "mean_loss"])
@pytest.mark.parametrize("call", [0, 1])
def test_memory_that_ends_is_told_by_one_key(
    ends: str,
    call: int,
    tiny: models.Base,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import torch

    owner = {"load": models, "mean_loss": forgetting}[ends]
    work, calls = getattr(owner, ends), []

    def scarce(*given: Any, **options: Any) -> Any:
        calls.append(ends)
        if len(calls) > call:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return work(*given, **options)

    monkeypatch.setattr(owner, ends, scarce)
    found = forgetting.measure(tiny, METHODS["full"], TEXTS, trained=tiny.folder, **SIZES)
    assert list(found) == ["forgetting_failed"]
    assert list(found["forgetting_failed"]) == ["out_of_memory", "peak_memory_bytes"]
    note = outcomes.note(found["forgetting_failed"])
    assert note.startswith("out of memory at ")
    told = capsys.readouterr().err
    assert told.endswith(f"forgetting: {note}; {forgetting.REMEDY}. The evaluation stands.\n")


def test_other_errors_end_the_stage(tiny: models.Base, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> float:
        raise RuntimeError("sizes differ")

    monkeypatch.setattr(forgetting, "mean_loss", broken)
    with pytest.raises(RuntimeError, match="sizes differ"):
        forgetting.measure(tiny, METHODS["full"], TEXTS, trained=tiny.folder, **SIZES)


SCARCE = """
import json, resource, sys
from pathlib import Path
from tunebench import models
from tunebench.evaluation import forgetting
from tunebench.config.schema import FullMethod, Model

folder = Path(sys.argv[1])
base = models.Base(folder, "0", Model(path=sys.argv[1]))
def measure(words):
    return forgetting.measure(base, FullMethod(kind="full"), ["dull story " * words],
        trained=folder, context_length=None, batch_tokens=100)
measure(9)  # all that is loaded once is loaded now
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000,) * 2)
print(json.dumps([measure(9), measure(30_000)]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's own memory so")
def test_real_end_of_memory(model_folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCARCE, model_folder],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    short, long = json.loads(done.stdout.splitlines()[-1])
    assert short["forgetting"] == 0.0
    assert long["forgetting_failed"]["out_of_memory"]
    assert long["forgetting_failed"]["peak_memory_bytes"] > 1e8
    assert "forgetting: out of memory at" in done.stderr


@pytest.fixture
def two_domains(project: Project, valid: dict[str, Any], model_folder: Path) -> list[Run]:
    """Tuned runs ready for evaluation: of `reviews`, and of `letters`, whose text is held out."""
    valid["methods"]["full"]["training"] = {}
    valid["grid"]["datasets"].append("letters")
    valid["datasets"]["letters"] = valid["datasets"]["reviews"] | {"path": "letters"}
    folder = Path("letters")
    folder.mkdir()
    for name in ("train.csv", "test.jsonl"):
        shutil.copy(name, folder)
    valid["evaluation"]["forgetting"] = {"dataset": "letters", "rows": 4}
    project.write_params(valid)
    run_stage(check, Run())
    run_stage(forgetting_text, Run())
    run_stage(fetch_model, Run("tiny"))
    runs = [Run("tiny", name, "full", 0.5, 0) for name in ("reviews", "letters")]
    for run in runs:
        run_stage(download, Run(dataset=run.dataset))
        run_stage(subsample, Run("", run.dataset, "", 0.5, 0))
        for asked in (Run("tiny", run.dataset), Run("tiny", run.dataset, "", 0.5, 0)):
            run_stage(format_prompts, asked)
        shutil.copytree(model_folder, paths.adapter(run))
    return runs


def evaluated(run: Run) -> results.Metrics:
    run_stage(evaluate, run)
    return results.read(paths.evaluation(run))


def test_only_runs_of_another_data_set_have_it(two_domains: list[Run]) -> None:
    found = {}
    for tuned in two_domains:
        prompted = Run("tiny", tuned.dataset, "zero_shot")
        run_stage(format_prompts, prompted)
        for run in (tuned, prompted):
            measured = evaluated(run)
            found[run.dataset, run.method] = measured.get("forgetting")
            assert ("forgetting_loss_after" in measured) == ("forgetting" in measured)
    # what was not trained has forgotten nothing
    assert found == {
        ("reviews", "full"): 0.0,
        ("reviews", "zero_shot"): None,
        ("letters", "full"): None,
        ("letters", "zero_shot"): None,
    }


def test_evaluation_outlives_the_end_of_memory(
    two_domains: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    run = two_domains[0]
    whole = evaluated(run)
    predictions = paths.predictions(run).read_bytes()
    paths.predictions(run).unlink()

    def scarce(*_: Any, **__: Any) -> float:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(forgetting, "mean_loss", scarce)
    left = evaluated(run)
    lost = {"forgetting_loss_before", "forgetting_loss_after", "forgetting"}
    assert lost < whole.keys()
    assert left.keys() == whole.keys() - lost | {"forgetting_failed"}
    timed = {"evaluate_s", "peak_memory_bytes"}
    same = left.keys() & whole.keys() - timed
    assert {name: left[name] for name in same} == {name: whole[name] for name in same}
    assert paths.predictions(run).read_bytes() == predictions
    # it is the evaluation's note that would take the score out of the report
    assert outcomes.note(left) == ""
