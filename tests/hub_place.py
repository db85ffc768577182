"""A project whose rows and model are on a Hub: the libraries' own client on a real socket.

huggingface_hub reads its environment when it is imported, so every case runs in a process of its
own, as DVC would start it; cases that share an environment share one.
"""

import copy
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hub_server import Hub
from projects import ROOT, VALID
from ruamel.yaml import YAML

from tunebench import results

NO_HUB = "http://127.0.0.1:9"

# runs a stage's work for each name, and prints what each came to as one JSON object
EACH = """
import json, sys
from importlib import import_module
from tunebench import config, quiet, results
from tunebench.errors import TunebenchError
from tunebench.paths import Run
quiet.calm_libraries()
answers = {}
for task in sys.argv[1:]:
    name, option = task.split(":")
    kind = {"download": "dataset", "fetch_model": "model"}[name]
    try:
        stage, run = import_module(f"stages.{name}"), Run(**{kind: option})
        with results.replacing_together(*stage.outputs(run)) as temporaries:
            stage.main(run, *temporaries)
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
