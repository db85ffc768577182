"""A tiny random model with its own tokenizer, and a temporary project to run stages in."""

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tunebench import models, tokenization
from tunebench.config import schema
from tunebench.prompts import Prompt

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # stages/ is no installed package

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

CONTEXT = 128
SENTENCES = [
    "the film was warm and funny and I would see it again",
    "a dull story with a weak end and a tired cast",
    "Name the topic of the post. Text: Answer: positive negative very positive",
    "0123456789 ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefghijklmnopqrstuvwxyz .,:;!?'()-",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not (ROOT.parent / "shared").is_dir():
        absent = pytest.mark.skip(reason="../shared, the real data and models, is not here")
        for item in items:
            if "shared" in item.keywords:
                item.add_marker(absent)


SPECIAL = ["<unk>", "<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>"]
TOKENS = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
# bitsandbytes quantizes 64 weights of a row at a time
HIDDEN, INNER, VOCABULARY = 64, 128, 340


def write_tokenizer(folder: Path) -> None:
    """Byte-level BPE that begins texts with <s>, with chat control tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(SENTENCES * 4, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
    )
    made.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **TOKENS}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def write_llama(folder: Path) -> None:
    """Random weights of two layers, wide enough that answers differ by more than rounding."""
    import numpy as np
    from safetensors.numpy import save_file

    shapes = {"embed_tokens": (VOCABULARY, HIDDEN), "norm": (HIDDEN,)}
    for layer in ("layers.0", "layers.1"):
        shapes |= {f"{layer}.self_attn.{name}_proj": (HIDDEN, HIDDEN) for name in "qkvo"}
        shapes |= {f"{layer}.mlp.{name}_proj": (INNER, HIDDEN) for name in ("gate", "up")}
        shapes |= {f"{layer}.mlp.down_proj": (HIDDEN, INNER)}
        shapes |= {f"{layer}.{name}_layernorm": (HIDDEN,) for name in ("input", "post_attention")}
    named = {f"model.{name}": shape for name, shape in shapes.items()}
    named["lm_head"] = (VOCABULARY, HIDDEN)
    random = np.random.default_rng(0)
    weights = {
        f"{name}.weight": np.ones(shape, np.float32)
        if len(shape) == 1
        else random.normal(0, 0.3, shape).astype(np.float32)
        for name, shape in named.items()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": CONTEXT,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 3,
        "tie_word_embeddings": False,
    }
    (folder / "config.json").write_text(json.dumps(config))


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
def make_prompts() -> Callable[..., list[Prompt]]:
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


VALID: dict[str, Any] = {
    "study": "small",
    "grid": {
        "models": ["tiny"],
        "datasets": ["reviews"],
        "prompting": ["zero_shot", "few_shot"],
        "tuning": ["lora"],
        "train_sizes": [0.5, 1.0],
        "seeds": [0],
    },
    "models": {"tiny": {"path": "model"}},
    "datasets": {
        "reviews": {
            "path": {"train": "train.csv", "test": "test.jsonl"},
            "task": "classification",
            "columns": {"text": "text", "label": "label"},
            "template": "short",
            "instruction": "Judge the review.",
            "training": {},
        }
    },
    "templates": {
        "short": {
            "prompt": "{instruction}\n{shots}Text: {text}\nAnswer: ",
            "shot": "Text: {text}\nAnswer: {completion}\n",
        }
    },
    "methods": {
        "zero_shot": {"kind": "prompting", "shots": 0},
        "few_shot": {"kind": "prompting", "shots": 2},
        "lora": {
            "kind": "peft",
            "adapter": {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj", "v_proj"]},
            "training": {"learning_rate": 0.01},
        },
        "full": {"kind": "full"},
    },
    "training": {"num_train_epochs": 1, "per_device_train_batch_size": 4, "logging_steps": 1},
    "evaluation": {"batch_tokens": 512, "generation": {"do_sample": False}},
    "inference": {
        "train_size": 1.0,
        "prompts": 2,
        "warmup": 1,
        "batch_sizes": [1],
        "new_tokens": 4,
    },
    "hardware": {"name": "this machine", "usd_per_hour": 0.0},
}


@pytest.fixture
def valid() -> dict[str, Any]:
    """A whole parameter file without a fault, to be edited."""
    return copy.deepcopy(VALID)


@dataclass(frozen=True)
class Project:
    """A folder with what a run needs: parameters, rows and a model."""

    folder: Path

    def write_params(self, params: dict[str, Any]) -> None:
        """Replace params.yaml."""
        with (self.folder / "params.yaml").open("w") as file:
            YAML().dump(params, file)

    def run(self, stage: str, *options: str) -> "subprocess.CompletedProcess[str]":
        """Run one stage's script as DVC would."""
        return subprocess.run(
            [sys.executable, "-m", f"stages.{stage}", *options],
            cwd=self.folder,
            # the sources beside these tests, wherever an installed copy may stand
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])},
            capture_output=True,
            text=True,
            check=False,
        )

    def files(self) -> dict[str, bytes]:
        """The bytes of every file that stages made, by path; caches of fingerprints apart."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for top in ("data", "metrics", "report")
            for path in sorted((self.folder / top).rglob("*"))
            if path.is_file() and path.name != "fingerprints.json"
        }


@pytest.fixture
def project(tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The working directory: 24 training rows as CSV, 8 test rows as JSON lines, the tiny model."""
    (tmp_path / "model").symlink_to(model_folder)
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
