"""Rows from the Hub: of a commit that stays, of configs, splits and slices."""

from conftest import Project
from hub_place import NO_HUB, ROOT, Place, reviews
from ruamel.yaml import YAML

from tunebench import results

TWO_CONFIGS = {
    "README.md": b"""---
configs:
- config_name: plain
  data_files:
  - {split: train, path: plain/train.csv}
  - {split: dev, path: plain/dev.csv}
- config_name: semicolons
  data_files:
  - {split: train, path: other/*.csv}
  sep: ;
---
""",
    "plain/train.csv": b"text,label\n" + b"".join(b"row %d,%d\n" % (n, n % 2) for n in range(6)),
    "plain/dev.csv": b"text,label\ndev 0,1\ndev 1,0\n",
    "other/rows.csv": b"text;label\n" + b"".join(b"a, b %d;%d\n" % (n, n % 2) for n in range(5)),
}


def test_rows_of_a_commit_are_kept_until_the_parameter_changes(place: Place) -> None:
    repo = place.hub.repo("dataset", "org/reviews", reviews("old"))
    old = repo.refs["main"]
    place.write()
    place.check()
    assert place.read("data/check/reviews.json")["source"]["hub"] == "org/reviews"
    assert place.read("data/check/tiny.json")["source"] == {"hub": "org/tiny"}

    assert place.stage("download", "--dataset", "reviews") == (
        "reviews: 4 test rows stand in the training rows (drop_test_duplicates: true drops them"
        " there)\n"
    )

    card = place.read("data/raw/reviews/card.json")
    assert card["source"] == {"hub": "org/reviews"}
    assert card["revision"] == old
    assert card["licence"] == "mit, apache-2.0"
    assert card["labels"] == ["negative", "positive"]
    assert card["rows"] == {"train": 8, "test": 4}
    assert set(card["sha256"]) == {
        "data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"
    }  # fmt: skip
    assert place.rows("reviews", "train")[1] == {
        "id": "train-1", "text": "old 1", "target": "positive"
    }  # fmt: skip
    assert not place.hub.seen("unsupervised")
    # the working copy of `datasets` is gone; nothing is kept twice but what the Hub's cache holds
    assert list((place.home / "datasets").iterdir()) == []

    new = repo.commit(reviews("new"))
    place.stage("download", "--dataset", "reviews")
    assert place.read("data/raw/reviews/card.json") == card
    assert place.rows("reviews", "test")[0]["text"] == "old 0"

    place.write({"reviews": {"hub": "org/reviews", "revision": "main"}})
    place.stage("download", "--dataset", "reviews")
    card = place.read("data/raw/reviews/card.json")
    assert card["source"] == {"hub": "org/reviews", "revision": "main"}
    assert card["revision"] == new
    assert place.rows("reviews", "test")[0]["text"] == "new 0"

    place.stage("download", "--dataset", "reviews", HF_HUB_OFFLINE="1", HF_ENDPOINT=NO_HUB)
    assert place.read("data/raw/reviews/card.json") == card


def test_configs_slices_and_hidden_labels(place: Place) -> None:
    place.hub.repo("dataset", "org/two", TWO_CONFIGS)
    place.hub.repo("dataset", "org/reviews", reviews("a"))
    two = {"hub": "org/two", "label_names": ["no", "yes"]}
    reviewed = {"hub": "org/reviews", "drop_empty": True}
    place.write(
        {
            "plain": two | {"config": "plain", "split": {"train": "train[:4]", "test": "dev"}},
            "semicolons": two | {"config": "semicolons", "test_fraction": 0.4},
            "joined": reviewed | {"split": {"train": "train+unsupervised", "test": "test[50%:]"}},
            "renamed": reviewed | {"label_names": {0: "bad", 1: "good"}},
            "several": two,
            "no_config": two | {"config": "semicolon"},
            "no_split": two | {"config": "plain", "split": {"train": "train", "test": "test"}},
            "no_train": two | {"config": "plain", "split": {"train": "training"}},
            "no_slice": two | {"config": "plain", "split": {"train": "train[4"}},
            "no_column": two | {"config": "plain", "columns": {"text": "txt", "label": "label"}},
        }
    )
    place.check()

    tasks = [f"download:{name}" for name in YAML().load(place.folder / "params.yaml")["datasets"]]
    assert place.each(*tasks) == {
        "plain": "done",
        "semicolons": "done",
        "joined": "done",
        "renamed": "done",
        "several": "config: org/two has several configs; choose from: plain, semicolons",
        "no_config": "config: 'semicolon' is no config of org/two; did you mean 'semicolons'?",
        "no_split": "split.test: 'test' is no split of org/two; choose from: dev, train",
        "no_train": "split.train: 'training' is no split of org/two; did you mean 'train'?",
        "no_slice": "split.train: 'train[4' cannot be read (Unrecognized instruction format:"
        " train[4); write it as train, train[:1000], train[10%:20%] or train+test",
        "no_column": "org/two: row 1 of train: there is no column 'txt'; did you mean 'text'?",
    }
    assert [row["text"] for row in place.rows("plain", "train")] == [f"row {n}" for n in range(4)]
    assert [row["target"] for row in place.rows("plain", "test")] == ["yes", "no"]
    assert place.read("data/raw/semicolons/card.json")["rows"] == {"train": 3, "test": 2}
    assert place.rows("semicolons", "train")[0]["text"].startswith("a, b ")
    joined = place.read("data/raw/joined/card.json")
    assert joined["rows"] == {"train": 8, "test": 2}
    assert joined["rows_dropped"] == {"train: label empty": 1}
    assert place.rows("renamed", "train")[1]["target"] == "good"


STRAY = (
    b'text\tlabel\n"She came .\tham\nWin a prize\tspam\nNobody "\tham\nCall me\tham\n'
    b"Free entry\tspam\n"
)


def test_quotes_of_a_repositorys_files(place: Place) -> None:
    quoted = b'text\tlabel\n"a\tb"\tham\nc\tspam\n'
    place.hub.repo("dataset", "org/stray", {"train.tsv": STRAY, "test.tsv": STRAY})
    place.hub.repo("dataset", "org/quoted", {"train.tsv": quoted, "test.tsv": quoted})
    place.hub.repo("dataset", "org/both", {"train.tsv": STRAY, "test.tsv": quoted})
    named = b'---\nconfigs:\n- {config_name: a, data_files: train.tsv, sep: "\\t",'
    names = b" names: [text, label]}\n---\n"
    rows = STRAY.split(b"\n", 1)[1]
    place.hub.repo("dataset", "org/names", {"README.md": named + names, "train.tsv": rows})
    place.write(
        {
            "stray": {"hub": "org/stray"},
            "minimal": {"hub": "org/stray", "quoting": "minimal"},
            "quoted": {"hub": "org/quoted"},
            "both": {"hub": "org/both"},
            "names": {"hub": "org/names", "test_fraction": 0.4},
        }
    )
    place.check()
    found = place.each(*(f"download:{name}" for name in ("stray", "minimal", "quoted", "names")))
    assert set(found.values()) == {"done"}
    assert place.each("download:both") == {
        "both": "hub: the quotes of org/both are text in train.tsv, and enclose fields in test.tsv;"
        " write quoting: none or quoting: minimal to read all alike, or name a config or a split"
    }
    cards = {name: place.read(f"data/raw/{name}/card.json") for name in found}
    assert cards["stray"]["rows_read"] == {"train": 5, "test": 5}
    assert cards["stray"]["quotes_as_text"] == ["train.tsv", "test.tsv"]
    assert place.rows("stray", "train")[0]["text"] == '"She came .'
    assert cards["minimal"]["rows_read"] == {"train": 3, "test": 3}
    assert cards["quoted"]["quotes_as_text"] == []
    assert place.rows("quoted", "train")[0]["text"] == "a\tb"
    assert cards["names"]["rows_read"] == {"train": 5}


def test_commit_that_is_gone(place: Place) -> None:
    repo = place.hub.repo("dataset", "org/reviews", reviews("a"))
    gone = "0" * 40
    place.write()
    place.check()
    results.write(
        place.folder / "data/raw/reviews/card.json",
        {"source": {"hub": "org/reviews"}, "revision": gone},
    )
    assert repo.find(gone) is None
    assert place.each("download:reviews") == {
        "reviews": f"revision: {gone}, which an earlier run used, is not in org/reviews any more;"
        " write another revision in params.yaml to take that one"
    }


def test_outputs_that_hold_a_commit_stay_between_runs(project: Project) -> None:
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    for stage in ("download", "fetch_model"):
        out, *_ = stages[stage]["outs"]
        assert next(iter(out.values())) == {"persist": True}

    stale = project.folder / "data/raw/reviews/validation.parquet"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"of an earlier download")
    assert project.run("check").returncode == 0
    assert project.run("download", "--dataset", "reviews").returncode == 0
    assert {path.name for path in stale.parent.iterdir()} == {
        "card.json", "test.parquet", "train.parquet"
    }  # fmt: skip
