"""Batched text generation."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from tunebench.answering.generation.greedy import Writer
from tunebench.answering.prefix_cache import Context, PrefixCache, tensor
from tunebench.answering.resuming import Finished, resumed
from tunebench.config.options import Options
from tunebench.models import memory, shortcuts
from tunebench.progress import bar
from tunebench.prompts import Prompt, encoding, tokenization
from tunebench.prompts.tokenization import Tokenizer

if TYPE_CHECKING:
    from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel

Write = Callable[[Sequence[Context]], list[list[int]]]
TRIED_TOKENS = 8


@dataclass(frozen=True)
class Text:
    """Generated text, its number of tokens (the end included), and whether it ended.

    `ended` is false if `max_new_tokens` cut it off.
    """

    text: str
    tokens: int
    ended: bool = True


def limited(options: Options, prompts: Sequence[Prompt]) -> Options:
    """GenerationConfig fields with `max_new_tokens`: by default, what the prompts leave for it."""
    given = {key: value for key, value in options.items() if value is not None}
    return {"max_new_tokens": prompts[0].answer_tokens} | given


def generate(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    options: Options,
    *,
    batch_tokens: int,
    finished: Finished[int] | None = None,
) -> list[Text]:
    """The text that follows each prompt, in the prompts' order.

    Args:
        options: GenerationConfig fields, `max_new_tokens` among them.
        batch_tokens: the most tokens in a batch, padding and the longest answer included; halved if
            memory runs out.
        finished: see `resuming`.
    """
    ids = encoding.contexts(tokenizer, prompts)
    config = configure(model, tokenizer, options, tail=prompts[0].tail)
    eos_ids = _eos_ids(config)
    write = fastest_writer(model, tokenization.pad_id(tokenizer, model.config), ids, options)
    texts = [Text("", 0)] * len(prompts)
    lengths = [len(context) + options["max_new_tokens"] for context in ids]

    def work(indices: list[int]) -> list[list[int]]:
        return write([ids[index] for index in indices])

    with bar(total=len(prompts), unit="prompt") as progress:
        for indices, written in memory.within_budget(
            lengths, batch_tokens, resumed(work, finished)
        ):
            for index, row in zip(indices, written, strict=True):
                texts[index] = decode(row, tokenizer, eos_ids)
            progress.update(len(indices))
    return texts


def fastest_writer(
    model: PreTrainedModel,
    padding: int,
    contexts: Sequence[Context],
    options: Options,
    *,
    share: bool = True,
) -> Write:
    """`model.generate`, or a faster greedy loop if that generates the same.

    The loop is tried on two of the prompts. Call `configure` first.

    Args:
        share: whether the shared prefix of all prompts is run once for all of them.
    """
    import torch

    config = model.generation_config
    model.eval()

    def plain(batch: Sequence[Context], config: GenerationConfig = config) -> list[list[int]]:
        # only prompts of one length: left padding changes the output of state space models, and
        # after prompt tuning's virtual tokens
        written: dict[int, list[int]] = {}
        by_length = sorted(range(len(batch)), key=lambda index: len(batch[index]))
        for length, group in groupby(by_length, key=lambda index: len(batch[index])):
            rows = list(group)
            ids = tensor([batch[index] for index in rows], model)
            with torch.inference_mode():
                output = model.generate(
                    input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config
                )
            written |= {row: ids[length:] for row, ids in zip(rows, output.tolist(), strict=True)}
        return [written[index] for index in range(len(batch))]

    limit = options.get("max_new_tokens")
    if limit is None or not _is_plain_greedy(options):
        return plain
    fixed_length = options.get("min_new_tokens") == limit
    eos_ids = frozenset() if fixed_length else _eos_ids(config)
    trial = copy.deepcopy(config)
    trial.max_new_tokens = min(limit, TRIED_TOKENS)
    trial.min_new_tokens = trial.max_new_tokens if fixed_length else None
    shortest = sorted(contexts, key=len)[:2]

    def attempt() -> tuple[PrefixCache, list[list[int]]]:
        with torch.inference_mode():
            prefix = PrefixCache.of(model, contexts, share=share)
            return prefix, Writer(prefix, padding, eos_ids, trial.max_new_tokens).write(shortest)

    result = shortcuts.unless_refused(attempt)
    if result is None or result[1] != [_up_to_end(row, eos_ids) for row in plain(shortest, trial)]:
        return plain
    prefix, _ = result

    def fast(batch: Sequence[Context]) -> list[list[int]]:
        with torch.inference_mode():
            return Writer(prefix, padding, eos_ids, limit).write(batch)

    return fast


def _eos_ids(config: GenerationConfig) -> frozenset[int]:
    eos_ids = config.eos_token_id
    return frozenset(eos_ids if isinstance(eos_ids, list) else [eos_ids])


def _is_plain_greedy(options: Options) -> bool:
    """Whether decoding is greedy, and no option changes the logits."""
    limit = options.get("max_new_tokens")
    allowed = {
        "do_sample": (False,),
        "num_beams": (1, None),
        "max_new_tokens": (limit,),
        "min_new_tokens": (limit, None),
    }
    return all(key in allowed and value in allowed[key] for key, value in options.items())


def _up_to_end(ids: list[int], eos_ids: frozenset[int]) -> list[int]:
    """The tokens up to and including the first end-of-sequence token; padding follows it."""
    end = next((index for index, token in enumerate(ids) if token in eos_ids), len(ids))
    return ids[: end + 1]


def configure(
    model: PreTrainedModel, tokenizer: Tokenizer, options: Options, *, tail: str = ""
) -> GenerationConfig:
    """Set the model's GenerationConfig to `build_config(...)`, and return it."""
    model_config, config = model.generation_config, model.config
    model.generation_config = build_config(model_config, config, tokenizer, options, tail=tail)
    return model.generation_config


def build_config(
    model_config: GenerationConfig,
    config: PretrainedConfig,
    tokenizer: Tokenizer,
    options: Options,
    *,
    tail: str = "",
) -> GenerationConfig:
    """A GenerationConfig of `options`, with the special tokens of model, tokenizer and template.

    The model's other fields (`repetition_penalty`, `max_new_tokens`, …) are not taken over: they
    differ from model to model.

    Args:
        model_config: the model's GenerationConfig.
        config: the model's own configuration.
        tail: what the template writes after an answer; its end-of-turn token ends a text too.
    """
    from transformers import GenerationConfig

    end = model_config.eos_token_id
    end_ids = [tokenizer.eos_token_id, *(end if isinstance(end, list) else [end])]
    end_ids += encoding.end_token_ids(tokenizer, tail)
    token_ids = {
        "eos_token_id": sorted({end for end in end_ids if end is not None}),
        "bos_token_id": tokenizer.bos_token_id,
        "pad_token_id": tokenization.pad_id(tokenizer, config),
    }
    return GenerationConfig(**token_ids | options)


def decode(ids: list[int], tokenizer: Tokenizer, eos_ids: frozenset[int]) -> Text:
    """The text of generated tokens, up to the first end-of-sequence token."""
    answer = _up_to_end(ids, eos_ids)
    text = answer[:-1] if answer and answer[-1] in eos_ids else answer
    decoded = tokenizer.decode(text, skip_special_tokens=True).strip()
    return Text(decoded, len(answer), ended=len(text) < len(answer))
