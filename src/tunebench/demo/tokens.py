"""The tokenizer of the demo's model, and the batches of token ids that it is pretrained on."""

import itertools
from collections.abc import Iterator

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tunebench.demo import corpus

BOS, EOS, PAD = "<|bos|>", "<|eos|>", "<|pad|>"
CONTEXT = 512
VOCABULARY = 3072
TOKENS_PER_STEP = 2048
LONG_EVERY = 4  # one step in four has rows as long as the context
ANSWER_WEIGHT = 5.0  # in the loss, since most other words are drawn at random
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\n\n' }}"
    "{% elif message['role'] == 'user' %}"
    "{{ '### Instruction:\n' + message['content'] + '\n\n### Response:\n' }}"
    "{% else %}{{ message['content'] + eos_token + '\n\n' }}{% endif %}"
    "{% endfor %}"
)


Weighted = tuple[int, float]  # a token id with its weight in the loss


def train_tokenizer(documents: int = 20_000) -> PreTrainedTokenizerFast:
    """Byte-level BPE, which gives every text back as it was; it adds no special token by itself."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    sample = itertools.islice(corpus.documents(corpus.PRETRAINING_SEED), documents)
    tokenizer.train_from_iterator((document.text for document in sample), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


class Batches:
    """Rows of token ids that begin with a document; what exceeds a row is dropped."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, *, seed: int) -> None:
        self._tokenizer = tokenizer
        self._short = self._encoded(corpus.documents(seed))
        self._long = self._encoded(corpus.long_documents(seed + 1))

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and loss weights, each of shape (rows, tokens) with `TOKENS_PER_STEP` in all."""
        is_long = step % LONG_EVERY == LONG_EVERY - 1
        length = CONTEXT if is_long else CONTEXT // 2
        source = self._long if is_long else self._short
        rows = [_row(source, length) for _ in range(TOKENS_PER_STEP // length)]
        ids, weights = torch.tensor(rows, dtype=torch.float32).unbind(-1)
        return ids.long(), weights

    def _encoded(self, documents: Iterator[corpus.Document]) -> Iterator[list[Weighted]]:
        end = (self._tokenizer.eos_token_id, ANSWER_WEIGHT)
        while True:
            chunk = list(itertools.islice(documents, 64))
            encoded = self._tokenizer([d.text for d in chunk], return_offsets_mapping=True)
            offsets = encoded["offset_mapping"]
            for document, ids, places in zip(chunk, encoded["input_ids"], offsets, strict=True):
                weights = (_weight(document, start) for start, _ in places)
                yield [*zip(ids, weights, strict=True), end]


def _weight(document: corpus.Document, place: int) -> float:
    is_answer = any(start <= place < end for start, end in document.answers)
    return ANSWER_WEIGHT if is_answer else 1.0


def _row(source: Iterator[list[Weighted]], length: int) -> list[Weighted]:
    row: list[Weighted] = []
    while len(row) < length:
        row += next(source)
    return row[:length]
