"""The tokenizer of a GGUF file, with what transformers leaves out of it.

A byte-level vocabulary names how text is split before its merges (`tokenizer.ggml.pre`).
transformers 5.23 knows some of the names and takes GPT-2's splits for all others, it merges the
letters of words that are tokens as a whole, and it adds no BOS token where the name alone says so.
What each name means: `llama-vocab.cpp` of llama.cpp.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tunebench.data.gguf_header import Header
from tunebench.errors import SourceError
from tunebench.models import built_in
from tunebench.prompts.control_tokens import Tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer as BackendTokenizer

# text is split as for GPT-2
_GPT2 = ("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion")
# each digit by itself first, then as for GPT-2
_DIGITS = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")
_LLAMA3 = ("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2")
# a word that is a token is not made of merges
_WHOLE_WORDS = (*_LLAMA3, "tekken")
# texts begin with the BOS token unless the file says otherwise
_BEGIN = (*_LLAMA3, "tekken")
_SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")
INSTEAD = "name the repository that the file was made from (hub:)"


def load(path: Path, header: Header) -> Tokenizer:
    """The tokenizer that a GGUF file states.

    Raises:
        SourceError: if it would not become the same tokenizer here.
    """
    from transformers import PreTrainedTokenizerFast
    from transformers.integrations.gguf import convert_gguf_tokenizer, get_gguf_tokenizer

    split = header.metadata.get("tokenizer.ggml.pre", "default")
    byte_level = header.metadata.get("tokenizer.ggml.model") == "gpt2"
    if byte_level:
        _check_split(path, split)
    try:
        architecture, stated, config = get_gguf_tokenizer(str(path))
        backend, _ = convert_gguf_tokenizer(architecture, stated)
        backend = _without_others(backend, size=len(stated["tokens"]))
    except Exception as error:  # of many kinds, by what is missing in the file
        raise SourceError(
            f"{path}: transformers makes no tokenizer of it ({built_in.one_line(error)}); {INSTEAD}"
        ) from error
    if byte_level:
        _split(backend, split)
    elif header.metadata.get("tokenizer.ggml.add_space_prefix", True):
        _begin_with_space(backend)
    special = {name: config[name] for name in _SPECIAL if config.get(name) is not None}
    if config.get("add_bos_token", split in _BEGIN) and "bos_token" in special:
        _begin_with(backend, special["bos_token"])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=header.context_length,
        chat_template=config.get("chat_template"),
        clean_up_tokenization_spaces=False,
        **special,
    )


def _without_others(backend: BackendTokenizer, *, size: int) -> BackendTokenizer:
    """Without the special tokens of another model, which its class adds beyond the vocabulary."""
    from tokenizers import Tokenizer

    described = json.loads(backend.to_str())
    tokens = described["added_tokens"]
    described["added_tokens"] = [token for token in tokens if token["id"] < size]
    return Tokenizer.from_str(json.dumps(described))


def _begin_with_space(backend: BackendTokenizer) -> None:
    """Put a space before every text, as SentencePiece does, before one that has a space too."""
    from tokenizers import normalizers

    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.pre_tokenizer = None


def _begin_with(backend: BackendTokenizer, token: str) -> None:
    from tokenizers.processors import TemplateProcessing

    backend.post_processor = TemplateProcessing(
        single=[token, "$A"],
        pair=[token, "$A", token, "$B:1"],
        special_tokens=[(token, backend.token_to_id(token))],
    )


def _check_split(path: Path, split: str) -> None:
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    known = {*_GPT2, *_DIGITS, *GGUF_PRE_TOKENIZER_SPLITS}
    if split not in known:
        raise SourceError(
            f"{path}: tokenizer.ggml.pre is {split!r}, and how that splits text is not known here;"
            f" {INSTEAD}"
        )


def _split(backend: BackendTokenizer, split: str) -> None:
    from tokenizers import pre_tokenizers

    if split in _DIGITS:
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
    if split in _WHOLE_WORDS:
        backend.model.ignore_merges = True
