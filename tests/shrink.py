"""Any study made so small that it runs in seconds on a CPU: python -m tests.shrink STUDY FOLDER.

The Hub's models become random ones of the same architecture, with the study's own tokenizer where
../shared has it; its data sets become a few rows with the same columns. What makes a study itself
stays: its methods, templates, quantization, packing, adapter modules and epochs. All that is
changed stands in this file.
"""

import copy
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.tiny_model import write_tokenizer

ROOT = Path(__file__).parents[1]
Params = dict[str, Any]

TOKENIZERS = ROOT.parent / "shared" / "tokenizers"

# fewer of everything that only takes time
ROWS = 8  # of a train size that is a number of rows
FRACTION = 0.1  # the train size to keep, where it is one of several fractions
TEST_ROWS = 3
VALIDATION_ROWS = 2
MAX_LENGTH = 960  # 20 posts, one of each class, do not fit in it, as they do not in the study's
PACKING_LENGTH = 128
NEW_TOKENS = 4
INFERENCE = {"prompts": 1, "warmup": 1, "repeats": 1, "batch_sizes": [1]}
# the first tuned method alone, behind a server that needs neither vLLM nor a GPU
SERVER = {"command": f"{sys.executable} {ROOT}/tests/openai_server.py {{port}} --model {{model}}"}
LOAD = {
    "server": "own",
    "servers": {"own": SERVER},
    "min_requests": 20,
    "hold_s": 0.1,
    "longest_hold_s": 2.0,
    "max_rates": 1,
}

RANK = 8  # no matrix of a small model has many more

# what a machine without CUDA refuses: bfloat16 must be asked for by name, TF32 is a GPU's alone.
# Paged AdamW stays; bitsandbytes does without the paging there.
WITHOUT_CUDA: dict[str, Params] = {"bf16": {"bf16": True, "use_cpu": True}, "tf32": {}}

# the smallest that 4-bit blocks of 64 weights and grouped attention heads allow
SMALL = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}
GROUPED = {"num_key_value_heads": 2}
LLAMA2 = {"model_type": "llama", "max_position_embeddings": 4096, "rms_norm_eps": 1e-5}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
MISTRAL = {
    "model_type": "mistral",
    "max_position_embeddings": 32768,
    "sliding_window": 4096,
    **GROUPED,
}

# Hub repository → its tokenizer in ../shared ("" for none), and its configuration
MODELS: dict[str, tuple[str, Params]] = {
    "HuggingFaceH4/zephyr-7b-beta": ("zephyr-mistral", MISTRAL),
    "HuggingFaceH4/mistral-7b-sft-beta": ("zephyr-mistral", MISTRAL),
    "meta-llama/Llama-2-7b-chat-hf": ("llama2", LLAMA2),
    "meta-llama/Llama-2-13b-chat-hf": ("llama2", LLAMA2),
    "meta-llama/Llama-2-70b-chat-hf": ("llama2", LLAMA2 | GROUPED),
    "meta-llama/Llama-3.1-8B-Instruct": (
        "llama3",
        {
            "model_type": "llama",
            "max_position_embeddings": 131072,
            "rope_parameters": LLAMA3_ROPE,
            **GROUPED,
        },
    ),
    "HuggingFaceTB/SmolLM2-135M-Instruct": (
        "",
        {
            "model_type": "llama",
            "max_position_embeddings": 8192,
            "tie_word_embeddings": True,
            **GROUPED,
        },
    ),
}
# for models whose own tokenizer is not there
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NEWSGROUPS = (
    "alt.atheism", "comp.graphics", "comp.os.ms-windows.misc", "comp.sys.ibm.pc.hardware",
    "comp.sys.mac.hardware", "comp.windows.x", "misc.forsale", "rec.autos", "rec.motorcycles",
    "rec.sport.baseball", "rec.sport.hockey", "sci.crypt", "sci.electronics", "sci.med",
    "sci.space", "soc.religion.christian", "talk.politics.guns", "talk.politics.mideast",
    "talk.politics.misc", "talk.religion.misc",
)  # fmt: skip


def samsum(split: str) -> Iterator[Params]:
    """Columns of knkarthick/samsum, one dialogue empty as there."""
    people = ("Ann", "Bo", "Cy", "Di")
    for number in range(21 if split == "train" else 6):
        one, other = people[number % 4], people[(number + 1 + number // 4) % 4]
        asked = f"{one}: are you free for the {split} at {number + 1}?"
        dialogue = f"{asked}\r\n{other}: yes, let us meet </s> there"
        yield {
            "id": f"{split}{number}",
            "dialogue": dialogue if split != "train" or number else "",
            "summary": f"{one} and {other} will meet at {number + 1}.",
        }


def newsgroups(split: str) -> Iterator[Params]:
    """Columns of rungalileo/20_Newsgroups_Fixed; some rows lack a text or a label, as there."""
    for number in range(44 if split == "train" else 24):
        group = NEWSGROUPS[number % 20]
        subject = group.replace(".", " ").replace("misc", "things")
        yield {
            "text": f"Does anyone here know more of {subject}?\nI have read {number} {split} posts"
            " and none of them <|user|> told me what I had asked.\n",
            "label": group,
        }
    yield {"text": None, "label": NEWSGROUPS[0]}
    yield {"text": "a post of no group", "label": None}


def imdb(split: str) -> Iterator[Params]:
    """Columns of stanfordnlp/imdb, 0 for negative; one test review stands in training too."""
    for number in range(17) if split == "train" else range(16, 24):
        label = number % 2
        verdict = ("a dull film, badly told", "a fine film, well told")[label]
        yield {
            "text": f"I saw it {number} times.<br /><br />It is {verdict} [INST].",
            "label": label,
        }


DATASETS = {
    "knkarthick/samsum": (samsum, ("train", "validation", "test")),
    "rungalileo/20_Newsgroups_Fixed": (newsgroups, ("train", "test")),
    "stanfordnlp/imdb": (imdb, ("train", "test")),
}


def shrink(study: Params, folder: Path, *, models: Path, cuda: bool) -> Params:
    """The shrunk study; its rows, and itself as params.yaml, are written to `folder`.

    Args:
        models: where the models go, for all studies together.
        cuda: whether there is a GPU, for which nothing needs to be replaced.
    """
    small = copy.deepcopy(study)
    for name in small["grid"]["models"]:
        entry = small["models"][name]
        entry["path"] = str(write_model(models, entry.pop("hub")))
    for name, entry in small["datasets"].items():
        shrink_dataset(entry, folder / "rows" / name)
    shrink_grid(small)
    written = "samsum" in small["datasets"]  # text is loaded in two studies, which is enough
    tested = {"tuning": small["grid"]["tuning"][:1] if written else [], "prompting": []}
    small["inference"] |= INFERENCE | LOAD | {"load_test": tested}
    for training in (small, *small["datasets"].values(), *small["methods"].values()):
        if "training" in training:
            training["training"] = shrink_training(training["training"], cuda=cuda)
    for method in small["methods"].values():
        if "r" in method.get("adapter", {}):
            method["adapter"]["r"] = min(method["adapter"]["r"], RANK)
    with (folder / "params.yaml").open("w") as file:
        YAML().dump(small, file)
    return small


def shrink_grid(small: Params) -> None:
    """One size and one seed; what is published of that size stays beside it."""
    grid = small["grid"]
    grid["seeds"] = grid["seeds"][:1]
    if not grid["train_sizes"]:
        return
    kept = FRACTION if FRACTION in grid["train_sizes"] else grid["train_sizes"][-1]
    size = ROWS if isinstance(kept, int) else kept
    grid["train_sizes"] = [size]
    small["inference"]["train_size"] = size
    for row in (small.get("published") or {}).get("results", []):
        if row.get("train_size") == kept:
            row["train_size"] = size


def shrink_dataset(entry: Params, folder: Path) -> None:
    """A few rows in the place of the Hub's."""
    make, splits = DATASETS[entry.pop("hub")]
    folder.mkdir(parents=True)
    for split in splits:
        lines = [json.dumps(row) + "\n" for row in make(split)]
        (folder / f"{split}.jsonl").write_text("".join(lines))
    entry["path"] = str(folder)
    entry["test_rows"] = TEST_ROWS
    if "validation_rows" in entry:
        entry["validation_rows"] = VALIDATION_ROWS
    if "max_length" in entry:
        entry["max_length"] = min(entry["max_length"], MAX_LENGTH)
    if "generation" in entry:
        entry["generation"]["max_new_tokens"] = NEW_TOKENS


def shrink_training(training: Params, *, cuda: bool) -> Params:
    """Shorter sequences, a log entry at each step, and what a CPU refuses replaced."""
    small: Params = {}
    for key, value in training.items():
        small |= {key: value} if cuda else WITHOUT_CUDA.get(key, {key: value})
    if "packing_length" in small:
        small["packing_length"] = PACKING_LENGTH
    if "logging_steps" in small:
        small["logging_steps"] = 1
    return small


def write_model(models: Path, hub: str) -> Path:
    """A random model of the architecture that `hub` has, made where it is not there yet."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    name, settings = MODELS[hub]
    folder = models / hub
    if folder.is_dir():
        return folder
    folder.mkdir(parents=True)
    if name and (TOKENIZERS / name).is_dir():
        for file in (TOKENIZERS / name).iterdir():
            shutil.copy(file, folder)
    else:
        write_tokenizer(folder)
        (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = AutoConfig.for_model(
        **SMALL | settings, vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    import torch

    source, target = map(Path, sys.argv[1:])
    target.mkdir(parents=True)
    study = YAML(typ="safe").load(source)
    shrink(study, target, models=target.resolve() / "models", cuda=torch.cuda.is_available())
    for part in ("dvc.yaml", "stages"):
        (target / part).symlink_to(ROOT / part)
