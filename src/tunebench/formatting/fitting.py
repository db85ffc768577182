"""Rows to prompts that fit the model's context."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tunebench.data.tables import TextRow
from tunebench.errors import ContextError, PromptError
from tunebench.formatting.templates import Layout
from tunebench.prompts import Prompt, tokenization
from tunebench.prompts.tokenization import Marked, Span, Tokenizer

# a text cut to fewer tokens than this says nothing, so its prompt counts as not fitting
LEAST_TEXT_TOKENS = 8


@dataclass(frozen=True)
class PromptFormat:
    """What makes prompts out of rows, the same for all rows of one file.

    `max_length` counts prompt and answer; for the answer `answer_tokens` are kept free, or as many
    as the row's own completion needs where that is more (in training). `shots` are the
    solved examples' rows, `labels` the names that a template may list, and `vocabulary_size` is
    how many tokens the model has an embedding for.
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
        """Each row's prompt, its text shortened where the whole would not fit.

        Args:
            answer: whether the row's completion will follow the prompt, as it does in training.

        Raises:
            ContextError: where even a text of a few tokens does not fit.
        """
        completions = [self._completion(row) for row in rows]
        fitted = self._fit(rows, self._room(completions if answer else [None] * len(rows)))
        return [
            Prompt(
                id=row["id"],
                prompt=shown.text,
                completion=completion,
                label=row["target"] if self.labelled else None,
                split=split,
                data=list(shown.data),
                answer=span,
                begin=shown.begin,
                tokens=tokens,
                cut=cut,
                answer_tokens=self.answer_tokens,
            )
            for row, (completion, span), (shown, tokens, cut) in zip(
                rows, completions, fitted, strict=True
            )
        ]

    def _fit(self, rows: Sequence[TextRow], room: Sequence[int]) -> list[tuple[Marked, int, bool]]:
        """Each row's prompt within its room (tokens), its tokens, and whether its text was cut.

        All rows are tokenized together, which is several times faster than one by one; those that
        are too long come again.
        """
        texts = [row["text"] for row in rows]
        fitted: dict[int, tuple[Marked, int, bool]] = {}
        pending = list(range(len(rows)))
        while pending:
            shown = [self._fill(rows[index], texts[index]) for index in pending]
            encoded = tokenization.contexts(self.tokenizer, shown)
            for index, prompt, ids in zip(pending, shown, encoded, strict=True):
                cut = len(texts[index]) < len(rows[index]["text"])
                fitted[index] = (prompt, len(ids), cut)
                refuse_unknown(ids, self.tokenizer, self.vocabulary_size)
            pending = [index for index in pending if fitted[index][1] > room[index]]
            excess = {index: fitted[index][1] - room[index] for index in pending}
            self._shorten(rows, texts, excess)
        return [fitted[index] for index in range(len(rows))]

    def _completion(self, row: TextRow) -> tuple[str, Span]:
        return self.layout.complete(row["target"])

    def _fill(self, row: TextRow, text: str) -> Marked:
        fields = self._fields(row) | {"text": text}
        return self.layout.fill(fields, [self._fields(shot) for shot in self.shots])

    def _fields(self, row: TextRow) -> dict[str, str]:
        return {**row, "completion": row["target"], "labels": ", ".join(self.labels)}

    def _room(self, completions: Sequence[tuple[str, Span] | None]) -> list[int]:
        """Tokens that each row's prompt may take."""
        known = list(filter(None, completions))
        needed = iter(answer_lengths(self.layout, self.tokenizer, known))
        return [
            self.max_length - max(self.answer_tokens, 0 if completion is None else next(needed))
            for completion in completions
        ]

    def _shorten(
        self, rows: Sequence[TextRow], texts: list[str], excess: Mapping[int, int]
    ) -> None:
        """Shorten some of the texts in place, each by so many tokens."""
        if not excess:
            return
        spans = tokenization.offsets(self.tokenizer, [texts[index] for index in excess])
        lacking = {
            index: less - len(offsets) + min(LEAST_TEXT_TOKENS, len(offsets))
            for (index, less), offsets in zip(excess.items(), spans, strict=True)
        }
        worst = max(lacking, key=lacking.__getitem__)
        if lacking[worst] > 0:
            raise ContextError(rows[worst]["id"], self.max_length + lacking[worst], self.max_length)
        for (index, less), offsets in zip(excess.items(), spans, strict=True):
            keep, text = len(offsets) - less, texts[index]
            # a character may be several tokens: the one that is cut through goes too
            if self.truncation_side == "left":
                texts[index] = text[max(offsets[-keep][0], offsets[-keep - 1][1]) :]
            else:
                texts[index] = text[: min(offsets[keep - 1][1], offsets[keep][0])]


def answer_lengths(
    layout: Layout, tokenizer: Tokenizer, completions: Sequence[tuple[str, Span]]
) -> list[int]:
    """Tokens that each completion takes behind a prompt of this layout, its end included."""
    if not completions:
        return []
    last = layout.prompt[-1] if layout.prompt else ""
    before = Marked(last if isinstance(last, str) else "a", begin=False)
    answers = [Marked(text, [span]) for text, span in completions]
    pairs = tokenization.encode_pairs(tokenizer, [(before, answer) for answer in answers])
    return [len(ids) + 1 for _, ids in pairs]  # one more where the tokenizer's own end follows


def refuse_unknown(ids: Iterable[int], tokenizer: Tokenizer, vocabulary_size: int | None) -> None:
    """Refuse a token that the tokenizer has and the model has no embedding for.

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
