"""Pretrain the demo's model on generated text: python -m tunebench.demo.pretrain --out assets/tiny

The same seed, versions and machine give the same model. `--compile` needs a C++ compiler and makes
the steps faster.
"""

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tunebench.demo import corpus
from tunebench.demo.tokens import (
    ANSWER_WEIGHT,
    BOS,
    CONTEXT,
    EOS,
    TOKENS_PER_STEP,
    VOCABULARY,
    Batches,
    train_tokenizer,
)


@dataclass(frozen=True)
class Options:
    """The command's options."""

    out: Path
    steps: int
    learning_rate: float
    seed: int
    compile: bool


@dataclass(frozen=True)
class Outcome:
    """What the README tells of a pretraining."""

    parameters: int
    validation_loss: float
    answer_loss: float
    wall_s: float


def main(options: Options) -> None:
    """Train tokenizer and model, and write both."""
    torch.manual_seed(options.seed)
    tokenizer = train_tokenizer()
    model = new_model(tokenizer)
    started = time.perf_counter()
    train(model, tokenizer, options)
    wall_s = time.perf_counter() - started
    outcome = Outcome(model.num_parameters(), *validation_losses(model, tokenizer), wall_s)
    save(model, tokenizer, options, outcome)
    print(outcome, flush=True)


def new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama so small that a training step takes about a tenth of a second on two cores."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        initializer_range=0.06,  # the usual 0.02 is made for wider layers
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def train(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, options: Options) -> None:
    """Warm-up and cosine decay, one pass over fresh text."""
    batches = Batches(tokenizer, seed=corpus.PRETRAINING_SEED + options.seed)
    optimizers = new_optimizers(model, options.learning_rate)
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    peaks = [group["lr"] for group in groups]
    forward = torch.compile(weighted_loss, dynamic=False) if options.compile else weighted_loss
    started, losses = time.perf_counter(), torch.zeros(2)
    for step in range(options.steps):
        for group, peak in zip(groups, peaks, strict=True):
            group["lr"] = peak * _schedule(step, options.steps)
        ids, weights = batches.batch(step)
        with torch.autocast("cpu", torch.bfloat16):
            loss = forward(model, ids, weights)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        losses += torch.tensor([loss.item(), 1.0])
        if (step + 1) % 250 == 0:
            elapsed_s = time.perf_counter() - started
            print(f"step {step + 1} loss {losses[0] / losses[1]:.4f} {elapsed_s:.0f} s", flush=True)
            losses.zero_()


def weighted_loss(
    model: LlamaForCausalLM, ids: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """The mean over tokens of the next-token loss, in nats, each by its weight."""
    logits = model(input_ids=ids).logits[:, :-1].float()
    losses = cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    return (losses * weights[:, 1:]).sum() / weights[:, 1:].sum()


def new_optimizers(model: LlamaForCausalLM, learning_rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for embeddings and norms, as in nanochat."""
    matrices = [p for p in model.model.layers.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if not any(p is matrix for matrix in matrices)]
    return [
        torch.optim.Muon(matrices, lr=3 * learning_rate, weight_decay=0.05),
        torch.optim.AdamW(
            others, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True
        ),
    ]


def _schedule(step: int, steps: int, *, warmup: int = 200) -> float:
    if step < warmup:
        return (step + 1) / warmup
    return 0.02 + 0.98 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


@torch.no_grad()
def validation_losses(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, *, batches: int = 64
) -> tuple[float, float]:
    """The mean loss on text of a seed apart, in float32: of all tokens, and of answers only."""
    rows = Batches(tokenizer, seed=corpus.VALIDATION_SEED)
    model.eval()
    totals = torch.zeros(2)
    for step in range(batches):
        ids, weights = rows.batch(step)
        for kind, chosen in enumerate((torch.ones_like(weights), weights == ANSWER_WEIGHT)):
            totals[kind] += weighted_loss(model, ids, chosen.float()) / batches
    return float(totals[0]), float(totals[1])


def save(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    options: Options,
    outcome: Outcome,
) -> None:
    """Write model, tokenizer and README so that `from_pretrained` reads them."""
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=64,
        do_sample=False,
    )
    model.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)
    options.out.joinpath("README.md").write_text(readme(options, outcome), encoding="utf-8")


def readme(options: Options, outcome: Outcome) -> str:
    """The model card."""
    compiled = " --compile" if options.compile else ""
    return f"""---
license: apache-2.0
library_name: transformers
---

# tiny

A Llama of {outcome.parameters:,} parameters for tunebench's demo, so that a fresh clone runs with
no model hub and no GPU. It knows the small English of the demo's generators and nothing else: it
shows that the pipeline works, and its numbers say nothing of real models.

- **Made by** `python -m tunebench.demo.pretrain --steps {options.steps}{compiled}` (seed
  {options.seed}, learning rate {options.learning_rate:g}) in {outcome.wall_s / 60:.0f} minutes on
  two shared CPU cores; torch {torch.__version__}.
- **Data**: the endless text of `tunebench.demo.corpus`, from seeds of 1,000,000 and more, which
  the demo's rows never come from: plain reviews, posts and chats, and prompts of other tasks. The
  demo's own three instructions are not among them.
- **Training**: {options.steps:,} steps of {TOKENS_PER_STEP:,} tokens, bfloat16 autocast, Muon and
  AdamW with warm-up and cosine decay; validation loss {outcome.validation_loss:.4f} nats per token
  ({outcome.answer_loss:.4f} on what can be inferred, which counts {ANSWER_WEIGHT:g}-fold in
  training).
- **Form**: byte-level BPE of {VOCABULARY:,} tokens, context {CONTEXT}, tied embeddings, float32
  safetensors; the tokenizer adds neither `{BOS}` nor `{EOS}` by itself.
- **Licence**: Apache-2.0.
"""


def parse() -> Options:
    """The options from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("assets/tiny"))
    parser.add_argument("--steps", type=int, default=6_000)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", action="store_true")
    return Options(**vars(parser.parse_args()))


if __name__ == "__main__":
    torch.set_num_threads(2)
    main(parse())
