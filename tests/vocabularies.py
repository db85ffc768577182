"""Small tokenizers of every kind, trained on a few lines: none is the project's own."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

LINES = [
    "### Instruction:\nJudge the text.\n\n### Response:\nalpha\n\n",
    "Answer: yes\nAnswer: no\n\nLabel:\n1\nLabel:\n10\nIs it:yes, or:no?\n\n\n",
    "<|user|>\nWas it good?\n<|assistant|>\nIt was.\n12 34 2026 1,000 -2 0.5\n",
    "  two blanks, and three:   alpha beta  gamma\tTab\n",
    "Résumé: schön, très bien. Здравствуй, мир! Ответ: да\nγειά\n",
    "日本語のテキスト。答え：はい\n中文文本。答案：是\n한국어 텍스트: 예\n",
    "emoji 😀😀 🎉: 😀\n👩‍👩‍👧 end\n",
] * 8
# of Llama 3 (and cl100k): a mark may lead a word, and line ends follow marks
LLAMA3 = Regex(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ["<unk>", "<s>", "</s>", "<|im_end|>"]


def byte_level(*, like_llama3: bool) -> Tokenizer:
    """GPT-2's byte-level BPE, or with Llama 3's way to part words."""
    made = Tokenizer(models.BPE())
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not like_llama3)
    made.pre_tokenizer = (
        pre_tokenizers.Sequence([pre_tokenizers.Split(LLAMA3, "isolated"), bytes_])
        if like_llama3
        else bytes_
    )
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        LINES,
        trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, special_tokens=SPECIAL),
    )
    return made


def sentencepiece(prepend: str) -> Tokenizer:
    """BPE as SentencePiece has it: no words, blanks as `▁`, other letters as bytes."""
    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    made.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            *([decoders.Strip(" ", 1, 0)] if prepend != "never" else []),
        ]
    )
    # as there, no piece of the vocabulary spans words, though nothing parts them later
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokens = [*SPECIAL, *(f"<0x{value:02X}>" for value in range(256))]
    made.train_from_iterator(
        [line.strip("\n") for line in LINES],
        trainers.BpeTrainer(vocab_size=800, special_tokens=tokens, limit_alphabet=150),
    )
    state = json.loads(made.to_str()) | {"pre_tokenizer": None}
    state["model"]["byte_fallback"] = True  # which training forgets
    state["added_tokens"] = state["added_tokens"][: len(SPECIAL)]  # bytes are none
    made = Tokenizer.from_str(json.dumps(state))
    if prepend == "legacy":
        blanks = normalizers.Replace(" ", "▁")
        made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), blanks])
    else:
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend, split=False)
    return made


def wordpiece() -> Tokenizer:
    """BERT's."""
    made = Tokenizer(models.WordPiece(unk_token="<unk>"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    letters = "".join(map(chr, range(33, 127)))
    made.train_from_iterator(
        [*LINES, *(f"{letter} a{letter} 1{letter}" for letter in letters)],
        trainers.WordPieceTrainer(vocab_size=800, special_tokens=SPECIAL),
    )
    return made


def unigram() -> Tokenizer:
    """T5's and XLM-R's."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    made.train_from_iterator(
        LINES, trainers.UnigramTrainer(vocab_size=400, special_tokens=SPECIAL, unk_token="<unk>")
    )
    return made


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "gpt2": lambda: byte_level(like_llama3=False),
    "llama3": lambda: byte_level(like_llama3=True),
    "llama2": lambda: sentencepiece("legacy"),
    "mistral": lambda: sentencepiece("first"),
    "gemma": lambda: sentencepiece("never"),
    "wordpiece": wordpiece,
    "unigram": unigram,
}


@cache
def trained(kind: str, *, fresh: bool = False) -> Any:
    """A tokenizer of one kind, as transformers has it, which puts `<s>` before a text.

    Args:
        fresh: another one than that of calls without it, to be changed.
    """
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    made = KINDS[kind]()
    made.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", made.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens=["<|im_end|>"],
    )
