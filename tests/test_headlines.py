"""The small files that `dvc metrics show` compares: a row for each method, the same few keys."""

from pathlib import Path
from typing import Any

import pytest

from tunebench import results
from tunebench.report import headlines
from tunebench.report.summary import Record

QUALITY = {"accuracy": 0.75, "accuracy_low": 0.7, "accuracy_high": 0.82, "macro_f1": 0.5}
SUMMARIES = {"rouge1": 0.25, "rouge1_low": 0.2, "rouge1_high": 0.3, "rouge2": 0.1, "rougeL": 0.2}


def record(**given: Any) -> Record:
    made: dict[str, Any] = {
        "model": "tiny", "dataset": "posts", "task": "classification", "method": "lora",
        "train_size": "0.1", "train_rows": 40, "seeds": 3, "quality": QUALITY,
        "training": {"train_s": 12.5, "usd_to_train": 0.1}, "inference": {"latency_p50_s": 0.02},
    }  # fmt: skip
    return Record(**made | given)


def prompted(**given: Any) -> Record:
    made = {"method": "zero_shot", "train_size": "0", "train_rows": 0, "seeds": 1, "training": {}}
    return record(**made | given)


def test_every_method_has_a_file_with_the_same_keys() -> None:
    files = headlines.build(
        [prompted(), record(), record(dataset="chats", task="summarization", quality=SUMMARIES)]
    )
    assert list(map(str, files)) == [
        "posts/zero_shot.json", "posts/lora-0.1.json", "chats/lora-0.1.json"
    ]  # fmt: skip
    keys = [list(content) for content in files.values()]
    assert keys[0] == keys[1] == keys[2]
    assert len(keys[0]) <= 10
    tuned, summaries = files[Path("posts/lora-0.1.json")], files[Path("chats/lora-0.1.json")]
    assert tuned["status"] == "ok"
    assert tuned["accuracy"] == 0.75
    assert tuned["plus_minus"] == pytest.approx(0.06)
    assert tuned["train_s"] == 12.5
    assert tuned["rouge1"] is None
    assert (summaries["accuracy"], summaries["rouge1"], summaries["plus_minus"]) == (
        None,
        0.25,
        0.05,
    )
    assert files[Path("posts/zero_shot.json")]["train_s"] is None


def test_metrics_of_no_task_are_left_out() -> None:
    (content,) = headlines.build([record()]).values()
    assert {"accuracy", "macro_f1"} <= set(content)
    assert not {"rouge1", "rougeL"} & set(content)


def test_what_would_be_deployed_is_priced() -> None:
    timed = {"latency_p50_s": 0.02, "usd_per_1k_requests": 0.5, "merged_latency_p50_s": 0.01,
             "merged_usd_per_1k_requests": 0.25}  # fmt: skip
    (content,) = headlines.build([record(inference=timed)]).values()
    assert (content["latency_p50_s"], content["usd_per_1k_requests"]) == (0.01, 0.25)


def test_a_failure_is_a_word_and_no_number() -> None:
    failed = record(quality={}, training={}, inference={}, status="out of memory")
    (content,) = headlines.build([failed]).values()
    assert content.pop("status") == "out of memory"
    assert set(content.values()) == {None}


def test_models_have_folders_where_there_are_several() -> None:
    files = headlines.build([record(), record(model="large")])
    assert list(map(str, files)) == ["tiny/posts/lora-0.1.json", "large/posts/lora-0.1.json"]


def test_files_of_an_earlier_grid_are_gone(tmp_path: Path) -> None:
    folder = tmp_path / "summary"
    headlines.write(folder, headlines.build([prompted(), record()]))
    headlines.write(folder, headlines.build([record()]))
    assert [path.name for path in folder.rglob("*.json")] == ["lora-0.1.json"]
    assert results.read(folder / "posts" / "lora-0.1.json")["macro_f1"] == 0.5
