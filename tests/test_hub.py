"""Rows and models from the Hub: the libraries' own client on a real socket, in processes as DVC's.

huggingface_hub reads its environment when it is imported, so every case here runs in a process of
its own; cases that share an environment share one.
"""

import copy
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from errno import ENOSPC
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from conftest import VALID, Project
from hub_server import Hub, Trouble, serving
from ruamel.yaml import YAML

from tunebench import results
from tunebench.errors import SourceError
from tunebench.sources import fetching, hub_faults, repository
from tunebench.sources.repository import Repository

ROOT = Path(__file__).parents[1]
TOKEN = "hf_abcdefghijklmnopqrstuvwxyz"
NO_HUB = "http://127.0.0.1:9"

# runs a stage's work for each name, and prints what each came to as one JSON object
EACH = """
import json, sys
from importlib import import_module
from tunebench import config, quiet
from tunebench.errors import TunebenchError
from tunebench.paths import Run
quiet.calm_libraries()
answers = {}
for task in sys.argv[1:]:
    name, option = task.split(":")
    kind = {"download": "dataset", "fetch_model": "model"}[name]
    try:
        import_module(f"stages.{name}").main(Run(**{kind: option}))
        answers[option] = "done"
    except TunebenchError as error:
        answers[option] = str(error)
print(json.dumps(answers))
"""


class Place:
    """A project and a Hugging Face cache, both empty, and a Hub to ask."""

    def __init__(self, folder: Path, hub: Hub) -> None:
        self.folder, self.hub, self.home = folder, hub, folder / "cache"

    def write(
        self, datasets: dict[str, Any] | None = None, models: dict[str, Any] | None = None
    ) -> None:
        params = copy.deepcopy(VALID)
        datasets = datasets or {"reviews": {"hub": "org/reviews"}}
        models = models or {"tiny": {"hub": "org/tiny"}}
        base = {key: value for key, value in params["datasets"]["reviews"].items() if key != "path"}
        params["datasets"] = {name: base | entry for name, entry in datasets.items()}
        params["models"] = models
        params["grid"] |= {"datasets": list(datasets), "models": list(models)}
        with (self.folder / "params.yaml").open("w") as file:
            YAML().dump(params, file)

    def run(self, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        return subprocess.run(
            [sys.executable, *command],
            cwd=self.folder,
            env=inherited
            | {
                "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}",
                "HF_ENDPOINT": self.hub.endpoint,
                "HF_HOME": str(self.home),
            }
            | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def stage(self, name: str, *options: str, **environment: str) -> str:
        """Run a stage that ends well; what it wrote to stderr."""
        done = self.run("-m", f"stages.{name}", *options, **environment)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def each(self, *tasks: str, **environment: str) -> dict[str, str]:
        """What each of `download:name` and `fetch_model:name` came to."""
        done = self.run("-c", EACH, *tasks, **environment)
        assert done.returncode == 0, done.stderr
        answers: dict[str, str] = json.loads(done.stdout)
        return answers

    def check(self) -> None:
        """Run `check`, which asks the Hub for nothing."""
        before = len(self.hub.requests)
        self.stage("check")
        assert len(self.hub.requests) == before

    def read(self, path: str) -> dict[str, Any]:
        return results.read(self.folder / path)

    def rows(self, name: str, split: str) -> list[dict[str, str]]:
        import pyarrow.parquet as pq

        path = self.folder / "data" / "raw" / name / f"{split}.parquet"
        rows: list[dict[str, str]] = pq.read_table(path).to_pylist()
        return rows


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with serving() as made:
        yield made


@pytest.fixture
def place(tmp_path: Path, hub: Hub) -> Place:
    hub.repos.clear()
    hub.troubles.clear()
    hub.requests.clear()
    return Place(tmp_path, hub)


def parquet(texts: list[str], labels: list[int]) -> bytes:
    """Rows whose file itself states the label names, as `push_to_hub` writes them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    features = {
        "text": {"dtype": "string", "_type": "Value"},
        "label": {"names": ["negative", "positive"], "_type": "ClassLabel"},
    }
    table = pa.table({"text": texts, "label": labels})
    table = table.replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def reviews(mark: str) -> dict[str, bytes]:
    texts = [f"{mark} {number}" for number in range(8)]
    rows = parquet(texts, [number % 2 for number in range(8)])
    hidden = parquet([f"hidden {mark}"], [-1])
    return {
        "README.md": b"---\nlicense: [mit, apache-2.0]\n---\n# Reviews\n",
        "data/train-00000-of-00001.parquet": rows,
        "data/test-00000-of-00001.parquet": parquet(texts[:4], [0, 1, 0, 1]),
        "data/unsupervised-00000-of-00001.parquet": hidden,
    }


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


@pytest.fixture
def tiny_files(model_folder: Path) -> dict[str, bytes]:
    files = {path.name: path.read_bytes() for path in model_folder.iterdir()}
    return files | {
        "README.md": b"---\nlicense: apache-2.0\n---\n",
        "merges.txt": b"#version: 0.2\n",
        "pytorch_model.bin": b"pickle",
        "pytorch_model.bin.index.json": b"{}",
        "consolidated.safetensors": b"no",
        "model.fp16.safetensors": b"no",
        "original/params.json": b"{}",
    }


def test_rows_of_a_commit_are_kept_until_the_parameter_changes(place: Place) -> None:
    repo = place.hub.repo("dataset", "org/reviews", reviews("old"))
    old = repo.refs["main"]
    place.write()
    place.check()
    assert place.read("data/check/reviews.json")["source"]["hub"] == "org/reviews"
    assert place.read("data/check/tiny.json") == {"source": {"hub": "org/tiny"}}

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


def test_model_is_pinned_and_used_from_the_cache(
    place: Place, tiny_files: dict[str, bytes]
) -> None:
    repo = place.hub.repo("model", "org/tiny", tiny_files)
    old = repo.refs["main"]
    place.write()
    place.check()
    place.hub.troubles += [
        Trouble("GET /api/models/org/tiny/revision/main", 1, 429, {"Retry-After": "0"}),
        Trouble("HEAD .*/resolve/", 1, 503),
        Trouble("GET .*/resolve/", 1, 503),
    ]

    said = place.stage("fetch_model", "--model", "tiny")

    assert "HTTP Error 429" in said
    assert "Retry 1/5" in said
    assert "the Hub answers 503; trying again in 1 s" in said
    assert "Traceback" not in said
    assert all(trouble.times == 0 for trouble in place.hub.troubles)
    pin = place.read("data/models/tiny.json")
    assert pin["source"] == {"hub": "org/tiny"}
    assert pin["revision"] == old
    assert pin["licence"] == "apache-2.0"
    assert pin["architecture"] == "LlamaForCausalLM"
    assert list(pin["files"]) == [
        "config.json", "merges.txt", "model.safetensors", "tokenizer.json", "tokenizer_config.json"
    ]  # fmt: skip
    assert pin["files"]["merges.txt"] == {
        "bytes": len(tiny_files["merges.txt"]),
        "sha256": sha256(tiny_files["merges.txt"]).hexdigest(),
    }
    assert not place.hub.seen("pytorch_model")

    changed = tiny_files | {"merges.txt": b"#version: 0.3\n"}
    new = repo.commit(changed)
    place.stage("fetch_model", "--model", "tiny")
    assert place.read("data/models/tiny.json") == pin
    place.write(models={"tiny": {"hub": "org/tiny", "revision": "main"}})
    place.check()
    place.stage("fetch_model", "--model", "tiny")
    assert place.read("data/models/tiny.json")["revision"] == new

    # offline: again from the pin, and from nothing but what `main` was last time
    offline = {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": NO_HUB}
    place.stage("fetch_model", "--model", "tiny", **offline)
    now = place.read("data/models/tiny.json")
    (place.folder / "data/models/tiny.json").unlink()
    place.stage("fetch_model", "--model", "tiny", **offline)
    assert place.read("data/models/tiny.json") == now

    load = (
        "from pathlib import Path; from tunebench import models, results\n"
        "from tunebench.config.schema import Model\n"
        "pin = results.read(Path('data/models/tiny.json'))\n"
        "base = models.Base.pinned(Model(hub='org/tiny'), pin)\n"
        "print(base.revision, models.load_tokenizer(base).encode('the film'))\n"
    )
    done = place.run("-c", load, **offline)
    assert done.stdout.startswith(f"{new} ["), done.stderr


def weights(megabytes: int) -> bytes:
    import numpy as np
    from safetensors.numpy import save

    rng = np.random.default_rng(0)
    return save({"weight": rng.integers(0, 255, megabytes * 2**20, dtype=np.uint8)})


def test_cut_connection_goes_on_where_it_was_cut(place: Place) -> None:
    files = {"config.json": b"{}", "model.safetensors": weights(12)}
    place.hub.repo("model", "org/tiny", files)
    place.write()
    place.check()
    place.hub.troubles.append(Trouble(r"GET .*/model\.safetensors", 1, cut_after=11 * 2**20))

    said = place.stage("fetch_model", "--model", "tiny")

    asked = place.hub.seen("GET /org/tiny/resolve/")
    ranges = [one.headers.get("range") for one in asked if "safetensors" in one.line]
    assert ranges == [None, f"bytes={10 * 2**20}-"]
    assert "Trying to resume download" in said
    assert "fetching org/tiny" in said
    pin = place.read("data/models/tiny.json")
    assert pin["files"]["model.safetensors"]["bytes"] == len(files["model.safetensors"])


def test_damaged_files_are_refused_before_they_are_read(
    place: Place, tiny_files: dict[str, bytes]
) -> None:
    data = place.hub.repo("dataset", "org/reviews", reviews("a"))
    model = place.hub.repo("model", "org/tiny", tiny_files)
    for repo, path in (
        (data, "data/test-00000-of-00001.parquet"),
        (model, "tokenizer_config.json"),
    ):
        content = repo.commits[repo.refs["main"]][path]
        repo.sent[path] = bytes(len(content))
    place.write()
    place.check()
    both = "download:reviews", "fetch_model:tiny"

    damaged = (
        "hub: {} at {} has not the size and hash that the Hub states; it was damaged on the way,"
        " and is removed from the cache: run again to fetch it anew"
    )
    assert place.each(*both) == {
        "reviews": damaged.format(
            "data/test-00000-of-00001.parquet of org/reviews", data.refs["main"][:12]
        ),
        "tiny": damaged.format("tokenizer_config.json of org/tiny", model.refs["main"][:12]),
    }
    assert not (place.folder / "data/raw/reviews").exists()
    data.sent.clear()
    model.sent.clear()
    assert place.each(*both) == {"reviews": "done", "tiny": "done"}


def test_what_cannot_be_had_says_what_to_do(place: Place, tiny_files: dict[str, bytes]) -> None:
    endpoint = place.hub.endpoint
    place.hub.repo("dataset", "org/gated", reviews("a"), gated=True, token=TOKEN)
    place.hub.repo("dataset", "org/private", reviews("a"), token=TOKEN)
    place.hub.repo("dataset", "org/reviews", reviews("a"))
    place.hub.repo("dataset", "org/scripted", {"scripted.py": b"raise SystemExit"})
    place.hub.repo("dataset", "org/images", {"train/1.png": b"png"})
    place.hub.repo("dataset", "org/packed", {"README.md": b"---\na: [\n---\n", "all.zip": b"zip"})
    place.hub.repo("dataset", "org/broken", {"train.parquet": b"no", "test.parquet": b"no"})
    outside = place.folder / "outside.csv"
    outside.write_text("text,label\na,b\n")
    card = f"---\nconfigs:\n- {{config_name: a, data_files: {outside}}}\n---\n".encode()
    place.hub.repo("dataset", "org/outside", {"README.md": card, "train.csv": b"a,b\n"})
    place.hub.repo("model", "org/llama", tiny_files, gated=True, token=TOKEN)
    place.hub.repo("model", "org/pickled", {"config.json": b"{}", "pytorch_model.bin": b""})
    place.hub.repo("model", "org/adapter", {"adapter_config.json": b"{}"})
    names = ("gated", "private", "scripted", "images", "packed", "broken", "outside", "missing")
    place.write(
        {name: {"hub": f"org/{name}"} for name in names}
        | {"no_revision": {"hub": "org/reviews", "revision": "mian"}},
        {name: {"hub": f"org/{name}"} for name in ("llama", "pickled", "adapter", "absent")},
    )
    place.check()
    tasks = [f"download:{name}" for name in (*names, "no_revision")]
    tasks += [f"fetch_model:{name}" for name in ("llama", "pickled", "adapter", "absent")]

    assert place.each(*tasks) == {
        "gated": f"hub: org/gated is gated; accept its licence at {endpoint}/datasets/org/gated"
        " with your account, and set HF_TOKEN to a token of that account that may read gated"
        " repositories",
        "llama": f"hub: org/llama is gated; accept its licence at {endpoint}/org/llama with your"
        " account, and set HF_TOKEN to a token of that account that may read gated repositories",
        **{
            name: f"hub: there is no {kind} 'org/{name}' at {endpoint}, or it is private; mend the"
            " name, or set HF_TOKEN to a token that may read it"
            for name, kind in (
                ("private", "data set"),
                ("missing", "data set"),
                ("absent", "model"),
            )
        },
        "no_revision": "revision: 'mian' is not in org/reviews; did you mean 'main'?",
        "scripted": "hub: org/scripted runs code of its own to load (scripted.py), which is"
        " refused; try revision: refs/convert/parquet, the Hub's conversion of it, or name a copy"
        " as Parquet, CSV or JSON lines",
        **{
            name: f"hub: org/{name} holds no rows of text that can be read; name a repository with"
            " Parquet, CSV, JSON or text files that are not packed"
            for name in ("images", "packed")
        },
        "outside": f"hub: org/outside names a file outside of itself: {outside}",
        "broken": "hub: the files of org/broken are not alike, or not what their names say (Parquet"
        " file size is 2 bytes, smaller than the minimum file footer (8 bytes)); name a config, or"
        " another revision",
        "pickled": "hub: org/pickled holds no weights (model*.safetensors in its top folder); its"
        " weights could run code when read: choose a repository with safetensors, or convert it"
        " and give path:",
        "adapter": "hub: org/adapter holds no weights (model*.safetensors in its top folder); it is"
        " an adapter: name its base model",
    }
    assert not place.hub.seen("/resolve/main/scripted.py")

    refused = place.each("download:gated", "fetch_model:absent", HF_TOKEN="bad")
    assert refused["gated"].startswith(f"hub: {endpoint} refuses the token (401); set HF_TOKEN")

    # with the right token all opens, and the token stays where it is
    done = place.run("-c", EACH, *tasks[:2], "fetch_model:llama", HF_TOKEN=TOKEN)
    assert json.loads(done.stdout) == {"gated": "done", "private": "done", "llama": "done"}
    assert place.hub.seen("org/private")[-1].headers["authorization"] == f"Bearer {TOKEN}"
    failed = place.run("-c", EACH, "fetch_model:absent", HF_TOKEN=TOKEN)
    written = [path for path in place.folder.rglob("*") if path.is_file()]
    assert len(written) > 20
    for output in (done, failed):
        assert TOKEN not in output.stdout + output.stderr
    for path in written:
        assert TOKEN.encode() not in path.read_bytes(), path


def test_no_network_and_not_in_the_cache(place: Place) -> None:
    place.write()
    place.check()
    both = "download:reviews", "fetch_model:tiny"
    remedy = (
        "check the network, set HF_ENDPOINT to a mirror, or set HF_HUB_OFFLINE=1 if it is in the"
        " cache"
    )
    assert place.each(*both, HF_ENDPOINT=NO_HUB) == {
        "reviews": f"hub: there is no connection to {NO_HUB} for org/reviews; {remedy}",
        "tiny": f"hub: there is no connection to {NO_HUB} for org/tiny; {remedy}",
    }
    cache = place.home / "hub"
    assert place.each(*both, HF_HUB_OFFLINE="1") == {
        key: f"hub: {name} is not in the cache {cache}, or not the whole of it, and HF_HUB_OFFLINE"
        " is set; unset it and run again with a network"
        for key, name in (("reviews", "org/reviews"), ("tiny", "org/tiny"))
    }


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
        (out,) = stages[stage]["outs"]
        assert next(iter(out.values())) == {"persist": True}

    stale = project.folder / "data/raw/reviews/validation.parquet"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"of an earlier download")
    assert project.run("check").returncode == 0
    assert project.run("download", "--dataset", "reviews").returncode == 0
    assert {path.name for path in stale.parent.iterdir()} == {
        "card.json", "test.parquet", "train.parquet"
    }  # fmt: skip


@pytest.mark.parametrize("name", ["org name/x", "a/b/c", "../x", "org/", "a--b", ""])
def test_impossible_names_are_told_by_check(name: str) -> None:
    with pytest.raises(SourceError, match="is no repository name; write owner/name"):
        repository.check_name(name)
    repository.check_name("HuggingFaceH4/zephyr-7b-beta")
    repository.check_name("gpt2")


def test_full_disk_is_told_as_one() -> None:
    asked = Repository("org/tiny", "model")
    with (
        pytest.raises(SourceError, match=r"the disk of .* is full; make room, or set HF_HOME"),
        hub_faults.told(asked),
    ):
        raise OSError(ENOSPC, "No space left on device")


def test_want_of_room_is_told_before_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import RepoFile, constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    file = RepoFile(path="model.safetensors", size=14 * 10**15, oid="0" * 40)
    asked = Repository("org/tiny", "model")
    with pytest.raises(SourceError, match=r"needs 14,000,000\.0 GB more in .* are free; make room"):
        fetching.fetch(asked, "0" * 40, {file.path: file})
