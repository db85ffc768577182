"""Rows to prompts that fit the model's context."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tunebench.data.tables import TextRow
from tunebench.errors import ContextError, PromptError
from tunebench.formatting.templates import Layout
from tunebench.prompts import Prompt, tokenization
from tunebench.prompts.tokenization import MarkedText, Span, Tokenizer

# a prompt does not fit if its text would be truncated to fewer tokens
MIN_TEXT_TOKENS = 8


@dataclass(frozen=True)
class PromptFormat:
    """How rows are formatted as prompts, the same for all rows of a file.

    `max_length` is for prompt and answer together. `answer_tokens` are reserved for the answer, or
    in training the length of the row's own completion if that is more. `shots` are the solved
    examples' rows, `labels` the names that a template may list, `vocabulary_size` the size of the
    model's embedding.
    """

    layout: Layout
    tokenizer: Tokenizer
    max_length: int
    answer_tokens: int
    truncation_side: str
    shots: Sequence[TextRow] = ()
    labels: Sequence[str] = ()
    labelled: bool = True
    vocabulary_size: int | None = None

    def format(self, row: TextRow, *, split: str = "test", answer: bool = True) -> Prompt:
        """One row's prompt; see `format_all`."""
        return self.format_all([row], split=split, answer=answer)[0]

    def format_all(
        self, rows: Sequence[TextRow], *, split: str = "test", answer: bool = True
    ) -> list[Prompt]:
        """Each row's prompt, with its text truncated if necessary.

        Args:
            answer: whether the row's completion follows the prompt, as in training.

        Raises:
            ContextError: if not even a text of a few tokens fits.
        """
        completions = [self._completion(row) for row in rows]
        fitted = self._fit(rows, self._prompt_limits(completions if answer else [None] * len(rows)))
        return [
            Prompt(
                id=row["id"],
                prompt=marked.text,
                completion=completion,
                label=row["target"] if self.labelled else None,
                split=split,
                data=list(marked.data),
                answer=span,
                begin=marked.begin,
                tokens=tokens,
                cut=cut,
                answer_tokens=self.answer_tokens,
            )
            for row, (completion, span), (marked, tokens, cut) in zip(
                rows, completions, fitted, strict=True
            )
        ]

    def _fit(
        self, rows: Sequence[TextRow], limits: Sequence[int]
    ) -> list[tuple[MarkedText, int, bool]]:
        """Each row's prompt within its limit (tokens), its length, and whether its text was cut.

        All rows are tokenized as a batch, which is several times faster than one by one; those that
        are too long are shortened and tokenized again.
        """
        texts = [row["text"] for row in rows]
        fitted: dict[int, tuple[MarkedText, int, bool]] = {}
        pending = list(range(len(rows)))
        while pending:
            marked = [self._fill(rows[index], texts[index]) for index in pending]
            encoded = tokenization.contexts(self.tokenizer, marked)
            for index, prompt, ids in zip(pending, marked, encoded, strict=True):
                cut = len(texts[index]) < len(rows[index]["text"])
                fitted[index] = (prompt, len(ids), cut)
                check_vocabulary(ids, self.tokenizer, self.vocabulary_size)
            pending = [index for index in pending if fitted[index][1] > limits[index]]
            excess = {index: fitted[index][1] - limits[index] for index in pending}
            self._shorten(rows, texts, excess)
        return [fitted[index] for index in range(len(rows))]

    def _completion(self, row: TextRow) -> tuple[str, Span]:
        return self.layout.complete(row["target"])

    def _fill(self, row: TextRow, text: str) -> MarkedText:
        fields = self._fields(row) | {"text": text}
        return self.layout.fill(fields, [self._fields(shot) for shot in self.shots])

    def _fields(self, row: TextRow) -> dict[str, str]:
        return {**row, "completion": row["target"], "labels": ", ".join(self.labels)}

    def _prompt_limits(self, completions: Sequence[tuple[str, Span] | None]) -> list[int]:
        """The most tokens that each row's prompt may have."""
        given_completions = list(filter(None, completions))
        needed = iter(answer_lengths(self.layout, self.tokenizer, given_completions))
        return [
            self.max_length - max(self.answer_tokens, 0 if completion is None else next(needed))
            for completion in completions
        ]

    def _shorten(
        self, rows: Sequence[TextRow], texts: list[str], excess: Mapping[int, int]
    ) -> None:
        """Shorten texts in place; `excess` maps a row's index to how many tokens to remove."""
        if not excess:
            return
        spans = tokenization.offsets(self.tokenizer, [texts[index] for index in excess])
        missing = {
            index: surplus - len(offsets) + min(MIN_TEXT_TOKENS, len(offsets))
            for (index, surplus), offsets in zip(excess.items(), spans, strict=True)
        }
        worst = max(missing, key=missing.__getitem__)
        if missing[worst] > 0:
            raise ContextError(rows[worst]["id"], self.max_length + missing[worst], self.max_length)
        for (index, surplus), offsets in zip(excess.items(), spans, strict=True):
            keep, text = len(offsets) - surplus, texts[index]
            # a character may be several tokens: one that is cut in two is removed
            if self.truncation_side == "left":
                texts[index] = text[max(offsets[-keep][0], offsets[-keep - 1][1]) :]
            else:
                texts[index] = text[: min(offsets[keep - 1][1], offsets[keep][0])]


def answer_lengths(
    layout: Layout, tokenizer: Tokenizer, completions: Sequence[tuple[str, Span]]
) -> list[int]:
    """Tokens of each completion after a prompt of this layout, including its end."""
    if not completions:
        return []
    last = layout.prompt[-1] if layout.prompt else ""
    before = MarkedText(last if isinstance(last, str) else "a", begin=False)
    answers = [MarkedText(text, [span]) for text, span in completions]
    pairs = tokenization.encode_pairs(tokenizer, [(before, answer) for answer in answers])
    return [len(ids) + 1 for _, ids in pairs]  # + 1 for an end-of-sequence token


def check_vocabulary(ids: Iterable[int], tokenizer: Tokenizer, vocabulary_size: int | None) -> None:
    """Refuse a token for which the model has no embedding.

    Raises:
        PromptError: with the token.
    """
    highest = max(ids, default=0)
    if vocabulary_size is not None and highest >= vocabulary_size:
        raise PromptError(
            f"the tokenizer's token {tokenizer.convert_ids_to_tokens(highest)!r} has the number"
            f" {highest}, and the model knows {vocabulary_size} tokens only: it was never enlarged"
            " for it; take it out of the template, or enlarge the model (resize_token_embeddings)"
        )
