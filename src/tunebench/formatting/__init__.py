"""Rows to prompts: which rows one file of prompts holds, and how they look.

- `templates`: what stands around a row, an answer and the solved examples
- `fitting`: prompts cut to the model's context
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunebench import models, paths
from tunebench.config.data import Dataset
from tunebench.config.schema import Params, PromptingMethod
from tunebench.data import sampling, tables
from tunebench.data.tables import TextRow
from tunebench.errors import ContextError, PromptError
from tunebench.formatting import templates
from tunebench.formatting.fitting import PromptFormat, answer_lengths, refuse_unknown
from tunebench.formatting.templates import Layout
from tunebench.paths import Run
from tunebench.progress import bar
from tunebench.prompts import DoesNotFit, Prompt, encoding
from tunebench.prompts.tokenization import Tokenizer

ROWS_AT_ONCE = 1000  # tokenized together
ANSWERS_THAT_FIT = 0.99
MOST_ROWS_MEASURED = 20_000
# a model that was not trained writes marks and blanks around a label: `**Positive**.`
SPARE_LABEL_TOKENS = 8


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
    vocabulary_size = pin.get("vocabulary_size")
    refuse_unknown(encoding.ends(tokenizer, layout.tail), tokenizer, vocabulary_size)
    limits = [dataset.max_length] if dataset.max_length else []
    if pin["context_length"]:
        limits.append(max(0, pin["context_length"] - params.virtual_tokens))
    return PromptFormat(
        layout=layout,
        tokenizer=tokenizer,
        max_length=min(limits, default=10**9),
        answer_tokens=_answer_tokens(params, run, layout, tokenizer, labels),
        truncation_side=dataset.truncation_side or tokenizer.truncation_side,
        shots=_shots(run, dataset, method),
        labels=labels,
        labelled=dataset.labelled,
        vocabulary_size=vocabulary_size,
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
    params: Params, run: Run, layout: Layout, tokenizer: Tokenizer, labels: Sequence[str]
) -> int:
    """Tokens that an answer may take: those that are asked for, else as training answers have.

    Of summaries all but the longest hundredth fit. All rows, training and test ones, are cut alike
    for it, whatever the train size.
    """
    dataset = params.dataset(run.dataset)
    writes = not dataset.labelled or params.evaluation.mode == "generate"
    asked = params.generation_for(dataset)
    if writes and asked.get("max_new_tokens"):
        return int(asked["max_new_tokens"])
    if dataset.labelled:
        completions = [layout.complete(label) for label in labels]
        spare = SPARE_LABEL_TOKENS if writes else 0
        return max(answer_lengths(layout, tokenizer, completions)) + spare
    rows = _some(paths.split(run.dataset, "train"))
    lengths = answer_lengths(layout, tokenizer, [layout.complete(row["target"]) for row in rows])
    return sorted(lengths)[int(ANSWERS_THAT_FIT * (len(lengths) - 1) + 0.5)]


def _some(path: Path) -> list[TextRow]:
    """As many of a split's rows as tell how long answers are, spread over all of it."""
    count = tables.count(path)
    step = -(-count // MOST_ROWS_MEASURED)
    return tables.take(path, list(range(0, count, step)))


def _refuse_equal_labels(prompt: Prompt, labels: Sequence[str], tokenizer: Tokenizer) -> None:
    """Labels that no model with this tokenizer can tell apart.

    They are the same tokens, or one begins another and nothing ends an answer.
    """
    if not labels:
        return
    _, [answers] = encoding.answers(tokenizer, [prompt], labels, ended=True)
    seen: dict[tuple[int, ...], str] = {}
    for label, ids in zip(labels, answers, strict=True):
        if ids in seen:
            raise PromptError(
                f"labels {seen[ids]!r} and {label!r} are the same tokens to this model's"
                " tokenizer; give them other names with label_names"
            )
        seen[ids] = label
    if not encoding.ends(tokenizer, prompt.tail) and encoding.one_begins_another(answers):
        raise PromptError(
            "one label begins another, and nothing ends an answer: the tokenizer has no"
            " end-of-sequence token; end the template's completion, or give other label_names"
        )


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
