"""A tiny random model, jobs that train it, and a temporary project to run stages in."""

import copy
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_place import Place
from hub_server import Hub, serving
from jobs import LORA, SETTINGS, MakeJob, MakePrompts
from projects import ROOT, VALID, Project
from tiny_model import SENTENCES, write_llama, write_tokenizer
from xdist.scheduler import LoadScopeScheduling

from tunebench import models
from tunebench.config import schema
from tunebench.prompts import Prompt, tokenization
from tunebench.quiet import show_own_lines
from tunebench.training import Job

sys.path.insert(0, str(ROOT))  # stages/ is no installed package
show_own_lines()  # as in a stage

if "PYTEST_XDIST_WORKER" in os.environ:  # a worker for each core: more threads would wait
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: load tests and DVC wait as much as they work."""
    return (os.cpu_count() or 1) + 1


# these stay with one worker, in their order: in the first each test starts from what the one before
# it left, and the others share what takes long to make. xdist's own groups do nothing with pytest
# 9.2, in which a test's name can no longer be changed
TOGETHER = tuple(
    f"tests/test_{name}.py" for name in ("dvc", "bad_input", "export", "page_browser", "predict")
)
FIRST = (*TOGETHER, "tests/test_disturbed.py")


class Scheduler(LoadScopeScheduling):
    """Hands each test to the next free worker, and a file of TOGETHER to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        name = nodeid.split("::")[0]
        return name if name in TOGETHER else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduler:
    return Scheduler(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # what takes minutes in one worker starts first
    items.sort(key=lambda item: not item.nodeid.startswith(FIRST))
    if not (ROOT.parent / "shared").is_dir():
        absent = pytest.mark.skip(reason="../shared, the real data and models, is not here")
        for item in items:
            if "shared" in item.keywords:
                item.add_marker(absent)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama with its tokenizer in the Hugging Face layout, made without torch."""
    folder = tmp_path_factory.mktemp("model")
    write_tokenizer(folder)
    write_llama(folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer(model_folder: Path) -> Any:
    """The tiny model's tokenizer."""
    return tokenization.load(model_folder)


@pytest.fixture(scope="session")
def tiny(model_folder: Path) -> models.Base:
    """The tiny model as the stages know it."""
    return models.Base(model_folder, "0" * 40, schema.Model(path=str(model_folder)))


@pytest.fixture(scope="session")
def model(tiny: models.Base) -> Any:
    """The tiny model itself, loaded once; no test may change it."""
    return models.load(tiny, schema.PromptingMethod(kind="prompting"))


ADAPTERS: dict[str, dict[str, Any]] = {
    "lora": {"peft_type": "LORA", "r": 4, "target_modules": "all-linear"},
    "prompt_tuning": {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 5},
    "prefix_tuning": {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 5},
}


@pytest.fixture(params=["plain", *ADAPTERS])
def answering(request: pytest.FixtureRequest, tiny: models.Base) -> Any:
    """The model as it is, or with an adapter that changes its answers."""
    import torch

    if request.param == "plain":
        return request.getfixturevalue("model")
    method = schema.PeftMethod(kind="peft", adapter=ADAPTERS[request.param])
    torch.manual_seed(1)
    changed = models.with_adapter(models.load(tiny, method), method, {}).eval()
    with torch.no_grad():
        for name, weight in changed.named_parameters():
            if weight.requires_grad:
                weight.normal_(0, 0.3)
                assert "lora" in name or "prompt" in name or "prefix" in name
    return changed


ARCHITECTURES: dict[str, dict[str, Any]] = {
    "mistral": {"num_key_value_heads": 1, "sliding_window": 16},
    "gpt_neox": {"intermediate_size": 64},
    "bloom": {"n_head": 2, "n_layer": 2},
    "gpt2": {"n_positions": 256, "n_head": 2, "n_layer": 2},
    "mamba": {"state_size": 8},
}


@pytest.fixture(params=ARCHITECTURES)
def architecture(request: pytest.FixtureRequest, tokenizer: Any) -> tuple[str, Any]:
    """The name of an architecture, and a random model of it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = AutoConfig.for_model(
        request.param,
        vocab_size=len(tokenizer),
        pad_token_id=3,
        **shape | ARCHITECTURES[request.param],
    )
    return request.param, AutoModelForCausalLM.from_config(config).eval()


@pytest.fixture(scope="session")
def make_prompts() -> MakePrompts:
    """Prompts of different lengths, with alternating labels."""

    def make(count: int, *, split: str = "train", start: int = 0) -> list[Prompt]:
        prompts = []
        for index in range(start, start + count):
            words = SENTENCES[index % 2].split()[: 3 + index % 7]
            label = ("positive", "negative")[index % 2]
            text = " ".join(words) + f" {index}"
            prompt = f"Text: {text}\nAnswer: "
            prompts.append(
                Prompt(
                    id=f"{split}-{index}",
                    prompt=prompt,
                    completion=label,
                    label=label,
                    split=split,
                    data=[(6, 6 + len(text))],
                )
            )
        return prompts

    return make


@pytest.fixture
def make_job(tmp_path: Path, tiny: models.Base, make_prompts: MakePrompts) -> MakeJob:
    """A job that trains a LoRA on 16 rows, in folders of its own name; any field can be given."""

    def make(name: str = "run", **fields: Any) -> Job:
        given: dict[str, Any] = {
            "name": f"tiny/reviews/{name}",
            "base": tiny,
            "method": schema.PeftMethod(kind="peft", adapter=LORA),
            "settings": SETTINGS,
            "seed": 0,
            "prompts": make_prompts(16),
            "checkpoints": tmp_path / "checkpoints" / name,
            "output": tmp_path / "adapters" / name,
        }
        return Job(**given | fields)

    return make


@pytest.fixture
def adapted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The models that were given an adapter in this test, as training left them."""
    made: list[Any] = []
    wrap = models.with_adapter

    def keep(*given: Any) -> Any:
        made.append(wrap(*given))
        return made[-1]

    monkeypatch.setattr(models, "with_adapter", keep)
    return made


@pytest.fixture
def valid() -> dict[str, Any]:
    """A whole parameter file without a fault, to be edited."""
    return copy.deepcopy(VALID)


@pytest.fixture
def project(tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The working directory: 24 training rows as CSV, 8 test rows as JSON lines, the tiny model."""
    shutil.copytree(model_folder, tmp_path / "model")  # a test may edit it
    rows = [
        (SENTENCES[index % 2] + f" {index}", ("positive", "negative")[index % 2])
        for index in range(32)
    ]
    lines = [f'"{text}",{label}' for text, label in rows[:24]]
    (tmp_path / "train.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    test = [json.dumps({"text": text, "label": label}) for text, label in rows[24:]]
    (tmp_path / "test.jsonl").write_text("\n".join(test) + "\n")
    made = Project(tmp_path)
    made.write_params(VALID)
    monkeypatch.chdir(tmp_path)
    return made


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """A Hub on a socket of this machine, for the tests of one file."""
    with serving() as made:
        yield made


@pytest.fixture
def place(tmp_path: Path, hub: Hub) -> Place:
    """An empty project and an empty cache, before a Hub that holds nothing yet."""
    hub.repos.clear()
    hub.troubles.clear()
    hub.requests.clear()
    return Place(tmp_path, hub)


@pytest.fixture
def tiny_files(model_folder: Path) -> dict[str, bytes]:
    """The tiny model as a repository: with files that are no part of it, or unsafe to load."""
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
