"""Rows to prompts: which rows go into a file of prompts, and how they are formatted.

- `templates`: templates as layouts, for one tokenizer
- `fitting`: prompts truncated to the model's context
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunebench import models, paths
from tunebench.config.schema import Params, PromptingMethod
from tunebench.data import sampling, tables
from tunebench.data.tables import TextRow
from tunebench.errors import ContextError, PromptError
from tunebench.formatting import templates
from tunebench.formatting.fitting import PromptFormat, answer_lengths, check_vocabulary
from tunebench.formatting.templates import Layout
from tunebench.paths import Run
from tunebench.progress import bar
from tunebench.prompts import DoesNotFit, Prompt, encoding
from tunebench.prompts.tokenization import Tokenizer

ROWS_AT_ONCE = 1000  # tokenized together, fewer if their texts are long
CHARACTERS_AT_ONCE = 2_000_000
ANSWERS_THAT_FIT = 0.99
MAX_ROWS_MEASURED = 20_000
# an untuned model writes punctuation around a label: `**Positive**.`
SPARE_LABEL_TOKENS = 8


def training_prompts(
    params: Params, run: Run, pin: dict[str, Any], labels: Sequence[str]
) -> Iterator[Prompt]:
    """The prompts of one subset's training and validation rows, made as they are asked for.

    Raises:
        PromptError: if the template does not work with the tokenizer, or a row does not fit.
    """
    prompt_format = _format(params, run, pin, labels)
    for path in sorted(paths.subset(run).glob("*.parquet")):
        rows, count = tables.stream(path), tables.count(path)
        yield from _format_all(prompt_format, rows, count, split=path.stem, answer=True)


def test_prompts(
    params: Params, run: Run, pin: dict[str, Any], labels: Sequence[str]
) -> Iterator[Prompt | DoesNotFit]:
    """The prompts of the test sample, the same rows for every method, in the source's order.

    Each seed draws solved examples of its own, and all rows are formatted with each draw. The
    prompts are made as they are asked for; `DoesNotFit` ends them if a row does not fit with one of
    the draws.

    Args:
        run: if it has a `method`, its template, instruction and solved examples are used.

    Raises:
        PromptError: if the template does not work with the tokenizer, two labels have the same
            tokens, or a row does not fit without solved examples.
    """
    dataset = params.dataset(run.dataset)
    prompt_format = _format(params, run, pin, labels)
    test_path = paths.split(run.dataset, "test")
    sample = sampling.test_sample_of(dataset, run.dataset)
    for draw, shots in enumerate(_draws(params, run)):
        drawn = replace(prompt_format, shots=shots)
        rows = tables.stream(test_path, sample)
        prompts = _format_all(drawn, rows, len(sample), split="test", answer=False)
        try:
            for number, prompt in enumerate(prompts):
                if number == draw == 0:
                    _check_labels_differ(prompt, labels, prompt_format.tokenizer)
                yield replace(prompt, draw=draw)
        except ContextError as error:
            if not shots:
                raise
            yield DoesNotFit(error.needed, error.available)
            return


def row_format(
    params: Params, run: Run, pin: dict[str, Any], labels: Sequence[str]
) -> PromptFormat:
    """How the test rows of a run are formatted, to format further rows in the same way.

    Of several draws of solved examples it has the first, that of the first seed.

    Raises:
        PromptError: if the template does not work with the tokenizer.
    """
    asked = run if run.train_size is None else Run(run.model, run.dataset)
    return replace(_format(params, asked, pin, labels), shots=_draws(params, asked)[0])


def _format(params: Params, run: Run, pin: dict[str, Any], labels: Sequence[str]) -> PromptFormat:
    """The format by the data set's template and instruction, or the method's own if it has them.

    It has no solved examples yet.
    """
    dataset = params.dataset(run.dataset)
    method = _method(params, run)
    name = method.template or dataset.template
    tokenizer = models.load_tokenizer(models.Base.pinned(params.model(run.model), pin))
    instruction = dataset.instruction if method.instruction is None else method.instruction
    try:
        layout = templates.build_layout(
            params.templates[name], tokenizer, instruction=instruction, shots=method.shots
        )
    except PromptError as error:
        raise PromptError(f"params.yaml: templates.{name}: for {run.model}: {error}") from None
    vocabulary_size = pin.get("vocabulary_size")
    check_vocabulary(encoding.end_token_ids(tokenizer, layout.tail), tokenizer, vocabulary_size)
    limits = [dataset.max_length] if dataset.max_length else []
    if pin["context_length"]:
        limits.append(max(0, pin["context_length"] - params.virtual_tokens))
    return PromptFormat(
        layout=layout,
        tokenizer=tokenizer,
        max_length=min(limits, default=10**9),
        answer_tokens=_answer_tokens(params, run, layout, tokenizer, labels),
        truncation_side=dataset.truncation_side or tokenizer.truncation_side,
        labels=labels,
        labelled=dataset.labelled,
        vocabulary_size=vocabulary_size,
    )


def _method(params: Params, run: Run) -> PromptingMethod:
    """The prompting method of a run, or one that only asks."""
    return params.prompting_method(run.method) if run.method else PromptingMethod(kind="prompting")


def _draws(params: Params, run: Run) -> list[list[TextRow]]:
    """Solved examples of each seed, from the training rows only, the same for every test row.

    There is one draw where seeds change nothing: of no examples, or of the source's first rows.
    """
    dataset, method = params.dataset(run.dataset), _method(params, run)
    if not method.shots:
        return [[]]
    train_path = paths.split(run.dataset, "train")
    if method.shots_order == "source":
        return [tables.take(train_path, list(range(method.shots)))]
    labels = sampling.labels_of(train_path, stratify=dataset.labelled)
    return [
        tables.take(train_path, sampling.first_rows(labels, method.shots, seed=seed))
        for seed in params.grid.seeds or [sampling.FIXED_SEED]
    ]


def _answer_tokens(
    params: Params, run: Run, layout: Layout, tokenizer: Tokenizer, labels: Sequence[str]
) -> int:
    """Tokens reserved for an answer: `max_new_tokens`, or else what training answers need.

    For summaries that is their 99th percentile. It is the same for all rows, training and test, and
    for every train size.
    """
    dataset = params.dataset(run.dataset)
    generated = not dataset.labelled or params.evaluation.mode == "generate"
    options = params.generation_for(dataset)
    if generated and options.get("max_new_tokens"):
        return int(options["max_new_tokens"])
    if dataset.labelled:
        completions = [layout.complete(label) for label in labels]
        spare = SPARE_LABEL_TOKENS if generated else 0
        return max(answer_lengths(layout, tokenizer, completions)) + spare
    rows = _rows_to_measure(paths.split(run.dataset, "train"))
    lengths = answer_lengths(layout, tokenizer, [layout.complete(row["target"]) for row in rows])
    return sorted(lengths)[int(ANSWERS_THAT_FIT * (len(lengths) - 1) + 0.5)]


def _rows_to_measure(path: Path) -> list[TextRow]:
    """An evenly spaced sample of a split's rows, to measure answer lengths."""
    count = tables.count(path)
    step = -(-count // MAX_ROWS_MEASURED)
    return tables.take(path, list(range(0, count, step)), columns=["target"])


def _check_labels_differ(prompt: Prompt, labels: Sequence[str], tokenizer: Tokenizer) -> None:
    """Refuse labels that no model with this tokenizer can distinguish.

    They have the same tokens, or one is a prefix of another and answers have no end token.
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
    if not encoding.end_token_ids(tokenizer, prompt.tail) and encoding.one_begins_another(answers):
        raise PromptError(
            "one label begins another, and nothing ends an answer: the tokenizer has no"
            " end-of-sequence token; end the template's completion, or give other label_names"
        )


def _format_all(
    prompt_format: PromptFormat, rows: Iterable[TextRow], count: int, *, split: str, answer: bool
) -> Iterator[Prompt]:
    """The prompt of each of `count` rows."""
    chunks = tables.grouped(rows, rows_at_once=ROWS_AT_ONCE, characters_at_once=CHARACTERS_AT_ONCE)
    with bar(total=count, unit="row") as progress:
        for chunk in chunks:
            yield from prompt_format.format_all(chunk, split=split, answer=answer)
            progress.update(len(chunk))
