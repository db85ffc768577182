"""Batched text: what a model writes after each prompt."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from tunebench.answering.generation.greedy import Writer
from tunebench.answering.prefix_cache import Context, PrefixCache, tensor
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
    """What was written, without its end, how many tokens that took, and whether it ended.

    It does not where the limit of tokens came first.
    """

    text: str
    tokens: int
    ended: bool = True


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
        options: GenerationConfig fields, `max_new_tokens` among them.
        batch_tokens: how many tokens, padding and the longest answer included, are in memory at
            once; halved where it ends.
    """

    ids = encoding.contexts(tokenizer, prompts)
    config = configure(model, tokenizer, options, tail=prompts[0].tail)
    ends = _ends(config)
    write = fastest_writer(model, tokenization.pad_id(tokenizer, model.config), ids, options)
    texts = [Text("", 0)] * len(prompts)
    lengths = [len(context) + options["max_new_tokens"] for context in ids]

    def work(indices: list[int]) -> list[list[int]]:
        return write([ids[index] for index in indices])

    with bar(total=len(prompts), unit="prompt") as progress:
        for indices, written in memory.within_budget(lengths, batch_tokens, work):
            for index, row in zip(indices, written, strict=True):
                texts[index] = _decode(row, tokenizer, ends)
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
    """`model.generate`, or a faster loop where text is greedy and the loop writes the same.

    Whether an architecture takes that loop is tried on two of the prompts. `configure` comes first.

    Args:
        share: whether what all prompts begin with is run once for all of them.
    """
    import torch

    config = model.generation_config
    model.eval()

    def plain(batch: Sequence[Context], config: GenerationConfig = config) -> list[list[int]]:
        # prompts of one length only: behind prompt tuning's virtual tokens, and in state space
        # models, padding on the left changes what is written
        written: dict[int, list[int]] = {}
        by_length = sorted(range(len(batch)), key=lambda index: len(batch[index]))
        for length, group in groupby(by_length, key=lambda index: len(batch[index])):
            rows = list(group)
            ids = tensor([batch[index] for index in rows], model)
            with torch.inference_mode():
                found = model.generate(
                    input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config
                )
            written |= {row: ids[length:] for row, ids in zip(rows, found.tolist(), strict=True)}
        return [written[index] for index in range(len(batch))]

    most = options.get("max_new_tokens")
    if most is None or not _is_plain_greedy(options):
        return plain
    forced = options.get("min_new_tokens") == most
    ends = frozenset() if forced else _ends(config)
    trial = copy.deepcopy(config)
    trial.max_new_tokens = min(most, TRIED_TOKENS)
    trial.min_new_tokens = trial.max_new_tokens if forced else None
    short = sorted(contexts, key=len)[:2]

    def attempt() -> tuple[PrefixCache, list[list[int]]]:
        with torch.inference_mode():
            prefix = PrefixCache.of(model, contexts, share=share)
            return prefix, Writer(prefix, padding, ends, trial.max_new_tokens).write(short)

    made = shortcuts.unless_refused(attempt)
    if made is None or made[1] != [_up_to_end(row, ends) for row in plain(short, trial)]:
        return plain
    prefix, _ = made

    def fast(batch: Sequence[Context]) -> list[list[int]]:
        with torch.inference_mode():
            return Writer(prefix, padding, ends, most).write(batch)

    return fast


def _ends(config: GenerationConfig) -> frozenset[int]:
    ends = config.eos_token_id
    return frozenset(ends if isinstance(ends, list) else [ends])


def _is_plain_greedy(options: Options) -> bool:
    """Whether each next token is the likeliest one, whatever came before."""
    most = options.get("max_new_tokens")
    allowed = {
        "do_sample": (False,),
        "num_beams": (1, None),
        "max_new_tokens": (most,),
        "min_new_tokens": (most, None),
    }
    return all(key in allowed and value in allowed[key] for key, value in options.items())


def _up_to_end(ids: list[int], ends: frozenset[int]) -> list[int]:
    """The tokens up to the first that ends a text, and that one; behind it is padding."""
    end = next((place for place, token in enumerate(ids) if token in ends), len(ids))
    return ids[: end + 1]


def configure(
    model: PreTrainedModel, tokenizer: Tokenizer, options: Options, *, tail: str = ""
) -> GenerationConfig:
    """A GenerationConfig of `options`, which replaces the model's own; see `settled`."""
    own, config = model.generation_config, model.config
    model.generation_config = settled(own, config, tokenizer, options, tail=tail)
    return model.generation_config


def settled(
    own: GenerationConfig,
    config: PretrainedConfig,
    tokenizer: Tokenizer,
    options: Options,
    *,
    tail: str = "",
) -> GenerationConfig:
    """A GenerationConfig of `options`, which ends and pads as model, tokenizer and template do.

    The model's own other fields (`repetition_penalty`, `max_new_tokens`, …) would otherwise hold
    wherever `options` are silent, and differ from model to model.

    Args:
        own: the model's GenerationConfig.
        config: the model's own configuration.
        tail: what the template writes behind an answer; its end-of-turn token ends a text too.
    """
    from transformers import GenerationConfig

    end = own.eos_token_id
    ends = [tokenizer.eos_token_id, *(end if isinstance(end, list) else [end])]
    ends += encoding.ends(tokenizer, tail)
    fixed = {
        "eos_token_id": sorted({end for end in ends if end is not None}),
        "bos_token_id": tokenizer.bos_token_id,
        "pad_token_id": tokenization.pad_id(tokenizer, config),
    }
    return GenerationConfig(**fixed | options)


def _decode(ids: list[int], tokenizer: Tokenizer, ends: frozenset[int]) -> Text:
    own = _up_to_end(ids, ends)
    text = own[:-1] if own and own[-1] in ends else own
    read = tokenizer.decode(text, skip_special_tokens=True).strip()
    return Text(read, len(own), ended=len(text) < len(own))
