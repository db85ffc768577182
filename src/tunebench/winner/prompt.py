"""The exact prompt of a run and its labels, as data for a script without tunebench."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunebench import formatting, models, paths, prompts
from tunebench.answering import scoring
from tunebench.config.options import Options
from tunebench.errors import SourceError
from tunebench.formatting.fitting import PromptFormat
from tunebench.formatting.templates import Field
from tunebench.models import adapters
from tunebench.prompts import DoesNotFit, Prompt, control_tokens, encoding
from tunebench.prompts.tokenization import Ids, Tokenizer
from tunebench.winner.runs import Ready

ENOUGH = 200  # prompts, to see the tokens of the labels after them
BREAK = "\u200b"  # a zero-width space


@dataclass(frozen=True)
class ExactPrompt:
    """A run's prompt for one tokenizer.

    `labels` has the tokens of each, as `evaluate` scores them after most test prompts. `options`
    are GenerationConfig fields. `cached` is whether the prompt's keys and values can be used again
    for each label: not after virtual tokens.
    """

    format: PromptFormat
    sample: Prompt
    labels: dict[str, Ids]
    options: Options
    cached: bool

    @property
    def tail(self) -> str:
        """What the template writes after an answer."""
        return self.sample.tail

    @property
    def fields(self) -> list[str]:
        """The columns that the prompt shows, in order: arguments of the script."""
        names = [piece.name for piece in self.format.layout.prompt if isinstance(piece, Field)]
        return [name for name in dict.fromkeys(names) if name != "labels"]

    def content(self, ready: Ready, form: str) -> dict[str, Any]:
        """`prompt.json`: all that the script needs to know."""
        answer_format = encoding.AnswerFormat.of(self.format.tokenizer, self.sample)
        quantization = getattr(ready.method, "quantization", None)
        content = {
            "run": str(ready.run),
            "base": base_name(ready),
            "revision": base_revision(ready),
            "dtype": ready.base.settings.dtype,
            **self.encoded(),
        }
        if form == "adapter" and quantization:
            config = models.quantization_config(quantization, ready.base.settings.dtype)
            fields: dict[str, Any] = config.to_diff_dict()
            content["quantization"] = {k: v for k, v in fields.items() if not k.startswith("_")}
        if ready.answering.scored:
            return content | {
                "labels": {label: list(ids) for label, ids in self.labels.items()},
                "divide_by": self._lengths(ready.answering.settings.label_normalization),
            }
        return content | {
            "labels": list(ready.answering.labels),
            "answer": {
                "lead": answer_format.lead,
                "tail": answer_format.tail,
                "marker": answer_format.marker,
            },
        }

    def encoded(self) -> dict[str, Any]:
        """How a row becomes the prompt's tokens, for `scripts/encode.txt`."""
        tokenizer = self.format.tokenizer
        return {
            "pieces": _joined([self._piece(piece) for piece in self.format.layout.prompt]),
            "fields": self.fields,
            "cut": "text",
            "add_special_tokens": self._adds_special_tokens(tokenizer),
            "tokens_after": _tokens_after(tokenizer),
            "max_prompt_tokens": self.format.max_length - self.format.answer_tokens,
            "truncation_side": self.format.truncation_side,
            "control_tokens": _broken(tokenizer),
        }

    def _lengths(self, normalization: str) -> dict[str, int]:
        """What the log-likelihood of each label is divided by."""
        if normalization == "none":
            return dict.fromkeys(self.labels, 1)
        in_bytes = normalization == "bytes"
        return {
            label: len(label.encode()) if in_bytes else len(ids)
            for label, ids in self.labels.items()
        }

    def _piece(self, piece: str | Field) -> Any:
        if not isinstance(piece, Field):
            return piece
        if piece.name == "labels":
            return ", ".join(self.format.labels)
        sides = {"left": piece.strip_left, "right": piece.strip_right}
        return {"field": piece.name, "strip": [side for side, strip in sides.items() if strip]}

    def _adds_special_tokens(self, tokenizer: Tokenizer) -> bool:
        layout = self.format.layout
        first = self._piece(layout.prompt[0])
        begins = bool(tokenizer.bos_token) and str(first).startswith(tokenizer.bos_token or "")
        return layout.begin and not begins


def of(ready: Ready) -> ExactPrompt:
    """The prompt of a tuned run.

    Raises:
        SourceError: if its test prompts are not there.
    """
    labels = ready.card["labels"]
    found = prompts.read(paths.test_prompts(ready.run))
    if isinstance(found, DoesNotFit):
        raise SourceError(f"{ready.run}: its prompts do not fit; choose another run")
    row_format = formatting.row_format(ready.params, ready.run, ready.pin, labels)
    return ExactPrompt(
        format=row_format,
        sample=found[0],
        labels=_label_tokens(ready, row_format.tokenizer, found) if ready.answering.scored else {},
        options=ready.answering.limited(found).generation,
        cached=not _has_virtual_tokens(ready),
    )


def base_name(ready: Ready) -> str:
    """The base model's repository on the Hub, or its folder."""
    hub = ready.base.settings.hub
    return hub if hub is not None else str(Path(ready.base.folder).resolve())


def base_revision(ready: Ready) -> str | None:
    """The base's commit on the Hub; None for a local folder."""
    return ready.base.revision if ready.base.settings.hub is not None else None


def _label_tokens(ready: Ready, tokenizer: Tokenizer, test: list[Prompt]) -> dict[str, Ids]:
    labels = ready.answering.labels
    questions = scoring.questions(
        tokenizer, test[:ENOUGH], labels, label_end=ready.answering.settings.label_end
    )
    answers = (
        tuple(question.tree.answer(label) for label in range(len(labels))) for question in questions
    )
    ((common, _),) = Counter(answers).most_common(1)
    return dict(zip(labels, common, strict=True))


def _has_virtual_tokens(ready: Ready) -> bool:
    assert ready.trained is not None
    if not (ready.trained / "adapter_config.json").exists():
        return False
    return bool(adapters.read_config(ready.trained).is_prompt_learning)


def _joined(pieces: list[Any]) -> list[Any]:
    """The pieces, with neighbouring texts as one."""
    joined: list[Any] = []
    for piece in pieces:
        if joined and isinstance(piece, str) and isinstance(joined[-1], str):
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


def _tokens_after(tokenizer: Tokenizer) -> int:
    """How many tokens the tokenizer adds after a text: the end-of-sequence token, or none."""
    ids = tokenizer("a")["input_ids"]
    return int(bool(ids) and ids[-1] == tokenizer.eos_token_id)


def _broken(tokenizer: Tokenizer) -> dict[str, str]:
    """Control token → the same as text that is none, for rows that hold it."""
    return {
        token: token[0] + BREAK + token[1:] if len(token) > 1 else ""
        for token in control_tokens.vocabulary(tokenizer)
        if token
    }
