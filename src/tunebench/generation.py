"""Batched text: what a model writes after each prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunebench import batching, tokenization
from tunebench.config.options import Options
from tunebench.progress import bar
from tunebench.prompts import Prompt
from tunebench.tokenization import Tokenizer

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel


@dataclass(frozen=True)
class Text:
    """What was written, without its end-of-sequence token, and how many tokens that took."""

    text: str
    tokens: int


def generate(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    options: Options,
    *,
    batch_tokens: int,
) -> list[Text]:
    """The text that follows each prompt, in the prompts' order.

    Args:
        options: GenerationConfig fields.
        batch_tokens: how many tokens, padding and the longest answer included, are in memory at
            once; halved where it ends.
    """
    import torch

    ids = tokenization.encode_all(tokenizer, [prompt.shown for prompt in prompts])
    padding = tokenization.pad_id(tokenizer)
    config = configure(model, tokenizer, options, tail=prompts[0].tail)
    ends = set(config.eos_token_id)
    texts = [Text("", 0)] * len(prompts)
    model.eval()

    def write(indices: list[int]) -> list[list[int]]:
        batch = batching.pad([ids[index] for index in indices], padding, side="left")
        tensors = {name: tensor.to(model.device) for name, tensor in batch.items()}
        written = model.generate(**tensors, generation_config=config)
        return [row[batch["input_ids"].shape[1] :] for row in written.tolist()]

    lengths = [len(row) + _most_new_tokens(config) for row in ids]
    with torch.inference_mode(), bar(total=len(prompts), unit="prompt") as progress:
        for indices, written in batching.within_budget(lengths, batch_tokens, write):
            for index, row in zip(indices, written, strict=True):
                texts[index] = _decode(row, tokenizer, ends)
            progress.update(len(indices))
    return texts


def configure(
    model: PreTrainedModel, tokenizer: Tokenizer, options: Options, *, tail: str = ""
) -> GenerationConfig:
    """A GenerationConfig of `options`, which ends and pads as model, tokenizer and template do.

    It replaces the model's own, whose other fields (`repetition_penalty`, `max_new_tokens`, …)
    would otherwise hold wherever `options` are silent, and differ from model to model.

    Args:
        tail: what the template writes behind an answer; its end-of-turn token ends a text too.
    """
    from transformers import GenerationConfig

    own = model.generation_config.eos_token_id
    ends = [tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])]
    ends += tokenization.end_ids(tokenizer, tail)
    fixed = {
        "eos_token_id": sorted({end for end in ends if end is not None}),
        "bos_token_id": tokenizer.bos_token_id,
        "pad_token_id": tokenization.pad_id(tokenizer),
    }
    model.generation_config = GenerationConfig(**fixed | options)
    return model.generation_config


def _most_new_tokens(config: GenerationConfig) -> int:
    return int(config.max_new_tokens or config.max_length or 0)


def _decode(ids: list[int], tokenizer: Tokenizer, ends: set[int]) -> Text:
    end = next((place for place, token in enumerate(ids) if token in ends), len(ids))
    text = tokenizer.decode(ids[:end], skip_special_tokens=True).strip()
    return Text(text, min(end + 1, len(ids)))
