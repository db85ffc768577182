"""Train a small model with tunebench and with TRL's SFTTrainer, in one run:

    python benchmarks/training.py                                     # random weights
    python benchmarks/training.py --model PATH                        # a model's own
    python benchmarks/training.py --tokenizer PATH                    # random, another vocabulary

Needs the peers' environment (benchmarks/README.md). LoRA of rank 8 on q_proj and v_proj, float32,
batches of 8, 200 prompts of 40 to 900 characters, two epochs, loss on the completions; both sides
are given the same token ids. Each measurement has a process of its own, the sides taking turns, and
each turn another seed for adapter and order. Prints one JSON line: medians of the training seconds
(loading and tokenizing are not in them), of the processor seconds, of the tokens a second (padding
is not counted) and of the peak resident memory, in all and above the level before training; the
mean of the trained models' mean loss on all rows, measured alike; and the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measure import machine
from transformers import AutoConfig, AutoModelForCausalLM, logging, set_seed

from tunebench import models, training
from tunebench.config.schema import Model, PeftMethod
from tunebench.demo import posts
from tunebench.prompts import Prompt, batching
from tunebench.training import setup
from tunebench.training.checkpoints import Checkpoints

ROOT = Path(__file__).resolve().parents[1]
ADAPTER = {
    "peft_type": "LORA",
    "r": 8,
    "lora_alpha": 16,
    "lora_dropout": 0.0,
    "target_modules": ["q_proj", "v_proj"],
}
METHOD = PeftMethod(kind="peft", adapter=ADAPTER)
SETTINGS: dict[str, Any] = {
    "num_train_epochs": 2,
    "per_device_train_batch_size": 8,
    "learning_rate": 5e-4,
    "lr_scheduler_type": "linear",
    "logging_steps": 10,
    "save_strategy": "no",
}
Train = Callable[[], Any]
# a Llama of 3.4 million parameters where the vocabulary holds 4,096 tokens
SHAPE = {
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": True,
}
OURS: dict[str, dict[str, Any]] = {
    "tunebench": {},
    # in the order that TRL draws too
    "tunebench_random": {"train_sampling_strategy": "random"},
    "tunebench_packed": {"packing": True, "packing_length": 512},
}
THEIRS: dict[str, dict[str, Any]] = {
    # at its best here: computing activations twice costs time and is not asked
    "trl": {"gradient_checkpointing": False},
    # as it is where nothing is said
    "trl_checkpointing": {},
    "trl_packed": {"gradient_checkpointing": False, "packing": True, "max_length": 512},
}


def main() -> None:
    """Measure both sides and print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a folder with weights and tokenizer")
    parser.add_argument("--tokenizer", default=str(ROOT / "assets" / "tiny"))
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sides", nargs="+", default=["tunebench", "trl"])
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    given = parser.parse_args()
    logging.set_verbosity_error()
    if given.side:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(given, Path(folder))))
        return
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in given.sides}
    for seed in range(given.repeats):
        for side, runs in found.items():
            runs.append(in_own_process(side, seed))
    print(json.dumps(summary(given, found)))


def in_own_process(side: str, seed: int) -> dict[str, Any]:
    """One measurement, so that no side's memory or warm caches count for the other."""
    command = [sys.executable, __file__, *sys.argv[1:], "--side", side, "--seed", str(seed)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def summary(given: Any, found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Each side's figures, and ours over theirs."""
    sides = {
        side: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        | {"loss": round(statistics.mean(run["loss"] for run in runs), 5)}
        for side, runs in found.items()
    }
    of_model = ("parameters", "vocabulary")
    first, *others = sides
    return {
        "benchmark": "training",
        "machine": machine(),
        "model": Path(given.model).name if given.model else "random",
        **{key: sides[first][key] for key in of_model},
        "prompts": given.prompts,
        "seeds": given.repeats,
        **{
            side: {key: value for key, value in run.items() if key not in of_model}
            for side, run in sides.items()
        },
        **{f"{first}_over_{other}": ratios(sides[first], sides[other]) for other in others},
    }


def ratios(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, float]:
    """Of speed, memory and loss."""
    return {
        key: round(ours[key] / theirs[key], 3)
        for key in ("tokens_per_s", "cpu_s", "peak_memory_bytes", "training_memory_bytes", "loss")
    }


def measure(given: Any, folder: Path) -> dict[str, Any]:
    """Train on one side; see the module's docstring for what is measured."""
    base = make_base(given, folder)
    tokenizer = models.load_tokenizer(base)
    prompts = make_prompts(given.prompts)
    rows = batching.examples(prompts, tokenizer, loss_on="completion")
    tokens = SETTINGS["num_train_epochs"] * sum(len(row["input_ids"]) for row in rows)
    if given.side in OURS:
        model, train = ours(given, base, prompts, folder)
    else:
        model, train = theirs(given, base, rows, folder)
    watched = watch(train)
    return {
        "parameters": sum(weight.numel() for weight in model.get_base_model().parameters()),
        "vocabulary": model.config.vocab_size,
        **watched,
        "tokens_per_s": round(tokens / watched["train_s"]),
        "loss": round(mean_loss(model, rows), 5),
    }


def ours(given: Any, base: models.Base, prompts: list[Prompt], folder: Path) -> tuple[Any, Train]:
    """The model, and what trains it: the train stage's own code."""
    job = training.Job(
        name="benchmark",
        base=base,
        method=METHOD,
        settings=SETTINGS | OURS[given.side],
        seed=given.seed,
        prompts=prompts,
        checkpoints=folder / "checkpoints",
        output=folder / "adapter",
    )
    kept = Checkpoints(job.checkpoints, job.identity())
    trainer = setup.trainer(job, setup.arguments(job), kept, lambda: 0.0)
    return trainer.model, trainer.train


def theirs(
    given: Any, base: models.Base, rows: list[batching.Example], folder: Path
) -> tuple[Any, Train]:
    """The same of TRL's SFTTrainer."""
    from datasets import Dataset
    from transformers.trainer_callback import PrinterCallback, ProgressCallback
    from trl import SFTConfig, SFTTrainer

    set_seed(given.seed)
    model = models.with_adapter(models.load(base, METHOD), METHOD, {})
    fixed = {
        "output_dir": str(folder / "trl"),
        "bf16": False,
        "max_length": None,
        "report_to": "none",
        "seed": given.seed,
    }
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**fixed | SETTINGS | THEIRS[given.side]),
        train_dataset=Dataset.from_list(rows),
        processing_class=models.load_tokenizer(base),
    )
    for printer in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printer)
    return model, trainer.train


def watch(work: Train) -> dict[str, float]:
    """Seconds of some work, the processor's too, and resident bytes at its peak."""
    before = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of loading
    started, used = time.perf_counter(), time.process_time()
    work()
    seconds, used = time.perf_counter() - started, time.process_time() - used
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")]
    return {
        "train_s": round(seconds, 2),
        "cpu_s": round(used, 2),
        "peak_memory_bytes": peak,
        "training_memory_bytes": peak - before,
    }


def mean_loss(model: Any, rows: list[dict[str, list[int]]]) -> float:
    """The trained model's mean loss on the completions, row by row, without padding."""
    model.eval()
    total, count = 0.0, 0
    with torch.inference_mode():
        for row in rows:
            labels = torch.tensor(row["labels"][1:])
            logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1]
            losses = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="sum")
            total, count = total + float(losses), count + int((labels != -100).sum())
    return total / count


def make_base(given: Any, folder: Path) -> models.Base:
    """The named model, or one with random weights for the named tokenizer."""
    if given.model:
        return models.Base(Path(given.model), "", Model(path=given.model))
    target = folder / "model"
    tokenizer = models.load_tokenizer(
        models.Base(Path(given.tokenizer), "", Model(path=given.tokenizer))
    )
    torch.manual_seed(0)
    config = AutoConfig.for_model("llama", vocab_size=len(tokenizer), **SHAPE)
    AutoModelForCausalLM.from_config(config).save_pretrained(target)
    tokenizer.save_pretrained(target)
    return models.Base(target, "", Model(path=str(target)))


def make_prompts(count: int) -> list[Prompt]:
    """Posts of the demo strung together, 40 to 900 characters, with their topic."""
    dice = random.Random(0)
    rows = list(posts.generate(count * 12, seed=7))
    prompts = []
    for index in range(count):
        start = dice.randrange(len(rows) - 12)
        text = " ".join(str(row["text"]) for row in rows[start : start + 12])
        text = text[: dice.randint(40, 900)]
        prompts.append(
            Prompt(
                id=str(index),
                prompt=f"{text}\nTopic:",
                completion=f" {rows[start]['label']}",
                data=[(0, len(text))],
                split="train",
            )
        )
    return prompts


if __name__ == "__main__":
    main()
