"""Which rows one file of prompts holds, and the format that they take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tunebench import models, paths, sampling, tables, templates, tokenization
from tunebench.config.data import Dataset
from tunebench.config.schema import Params, PromptingMethod
from tunebench.errors import ContextError, PromptError
from tunebench.fitting import PromptFormat
from tunebench.paths import Run
from tunebench.progress import bar
from tunebench.prompts import DoesNotFit, Prompt
from tunebench.tables import TextRow
from tunebench.templates import Layout
from tunebench.tokenization import Marked, Tokenizer

ROWS_AT_ONCE = 1000  # tokenized together


def training_prompts(
    params: Params, run: Run, pin: dict[str, Any], labels: Sequence[str]
) -> list[Prompt]:
    """The prompts of one subset's training and validation rows.

    Raises:
        PromptError: if the template does not work with the tokenizer, or a row does not fit.
    """
    style = _format(params, run, pin, labels)
    return [
        prompt
        for path in sorted(paths.subset(run).glob("*.parquet"))
        for prompt in _format_all(style, tables.read(path), split=path.stem, answer=True)
    ]


def test_prompts(
    params: Params, run: Run, pin: dict[str, Any], labels: Sequence[str]
) -> list[Prompt] | DoesNotFit:
    """The prompts of the test sample, the same rows for every method, in the source's order.

    Args:
        run: with a `method`, its own template, instruction and solved examples count.

    Raises:
        PromptError: if the template does not work with the tokenizer, two labels are the same
            tokens, or without solved examples a row does not fit.
    """
    dataset = params.dataset(run.dataset)
    style = _format(params, run, pin, labels)
    given = paths.split(run.dataset, "test")
    known = sampling.labels_of(given, stratify=dataset.labelled)
    sample = tables.take(given, sampling.test_sample(known, dataset.test_rows))
    try:
        prompts = _format_all(style, sample, split="test", answer=False)
    except ContextError as error:
        if not style.shots:
            raise
        return DoesNotFit(error.needed, error.available)
    _refuse_equal_labels(prompts[0], labels, style.tokenizer)
    return prompts


def _format(params: Params, run: Run, pin: dict[str, Any], labels: Sequence[str]) -> PromptFormat:
    """The data set's template and instruction, or the method's own where it names them."""
    dataset = params.dataset(run.dataset)
    method = (
        params.prompting_method(run.method) if run.method else PromptingMethod(kind="prompting")
    )
    name = method.template or dataset.template
    tokenizer = models.load_tokenizer(models.Base.pinned(params.model(run.model), pin))
    instruction = dataset.instruction if method.instruction is None else method.instruction
    try:
        layout = templates.lay_out(
            params.templates[name], tokenizer, instruction=instruction, shots=method.shots
        )
    except PromptError as error:
        raise PromptError(f"params.yaml: templates.{name}: for {run.model}: {error}") from None
    return PromptFormat(
        layout=layout,
        tokenizer=tokenizer,
        max_length=min(filter(None, (dataset.max_length, pin["context_length"])), default=10**9),
        reserved=_answer_tokens(params, dataset, layout, tokenizer, labels),
        truncation_side=dataset.truncation_side or tokenizer.truncation_side,
        shots=_shots(run, dataset, method),
        labels=labels,
        labelled=dataset.labelled,
    )


def _shots(run: Run, dataset: Dataset, method: PromptingMethod) -> list[TextRow]:
    """Solved examples: from the training rows only, the same for every test row."""
    if not method.shots:
        return []
    given = paths.split(run.dataset, "train")
    if method.shots_order == "source":
        return tables.take(given, list(range(method.shots)))
    labels = sampling.labels_of(given, stratify=dataset.labelled)
    return tables.take(given, sampling.first_rows(labels, method.shots))


def _answer_tokens(
    params: Params, dataset: Dataset, layout: Layout, tokenizer: Tokenizer, labels: Sequence[str]
) -> int:
    """Tokens that an answer may take: the longest label, or all that generation may write.

    Training and test texts are cut alike, so the training prompts reserve as much.
    """
    around = Marked(layout.lead) + Marked(layout.tail)
    if dataset.labelled and params.evaluation.mode == "score":
        answers = [around + Marked.from_row(label) for label in labels]
        begin = len(tokenization.encode(tokenizer, Marked("")))
        return max(map(len, tokenization.encode_all(tokenizer, answers))) - begin + 1
    return int(params.generation_for(dataset).get("max_new_tokens") or 0)


def _refuse_equal_labels(prompt: Prompt, labels: Sequence[str], tokenizer: Tokenizer) -> None:
    """Labels that are the same tokens can not be told apart by any model with this tokenizer."""
    pairs = [(prompt.shown, prompt.answered(label)) for label in labels]
    seen: dict[tuple[int, ...], str] = {}
    for label, (_, ids) in zip(labels, tokenization.encode_pairs(tokenizer, pairs), strict=True):
        if tuple(ids) in seen:
            raise PromptError(
                f"labels {seen[tuple(ids)]!r} and {label!r} are the same tokens to this model's"
                " tokenizer; give them other names with label_names"
            )
        seen[tuple(ids)] = label


def _format_all(
    style: PromptFormat, rows: Sequence[TextRow], *, split: str, answer: bool
) -> list[Prompt]:
    formatted = []
    with bar(total=len(rows), unit="row") as progress:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[start : start + ROWS_AT_ONCE]
            formatted += style.format_all(some, split=split, answer=answer)
            progress.update(len(some))
    return formatted
