"""Which rows one file of prompts holds, and the format that they take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tunebench import models, paths, sampling, tables
from tunebench.config.data import Dataset
from tunebench.config.schema import Params, PromptingMethod
from tunebench.paths import Run
from tunebench.progress import bar
from tunebench.prompts import Prompt, PromptFormat
from tunebench.tables import TextRow
from tunebench.tokenization import Tokenizer

DEFAULT_NEW_TOKENS = 20  # GenerationConfig's own default


def training_prompts(
    params: Params, run: Run, pin: dict[str, Any], labels: Sequence[str]
) -> list[Prompt]:
    """The prompts of one subset's training and validation rows."""
    dataset = params.dataset(run.dataset)
    tokenizer = models.load_tokenizer(models.Base.pinned(params.model(run.model), pin))
    style = _format(params, dataset, None, tokenizer, pin, labels)
    rows = [
        (path.stem, row)
        for path in sorted(paths.subset(run).glob("*.parquet"))
        for row in tables.read(path)
    ]
    return _format_all(style, rows, answer=True)


def test_prompts(
    params: Params, run: Run, pin: dict[str, Any], labels: Sequence[str]
) -> list[Prompt]:
    """The prompts of the test sample, the same rows for every method, in the source's order.

    Args:
        run: with a `method`, its own template, instruction and solved examples count.
    """
    dataset = params.dataset(run.dataset)
    method = params.prompting_method(run.method) if run.method else None
    tokenizer = models.load_tokenizer(models.Base.pinned(params.model(run.model), pin))
    shots = _shots(run, dataset, method.shots) if method else []
    style = _format(params, dataset, method, tokenizer, pin, labels, shots)
    given = paths.split(run.dataset, "test")
    labels_given = sampling.labels_of(given, stratify=dataset.labelled)
    sample = tables.take(given, sampling.test_sample(labels_given, dataset.test_rows))
    return _format_all(style, [("test", row) for row in sample], answer=False)


def _shots(run: Run, dataset: Dataset, shots: int) -> list[TextRow]:
    """Solved examples: from the training rows only, the same for every test row."""
    if not shots:
        return []
    given = paths.split(run.dataset, "train")
    labels = sampling.labels_of(given, stratify=dataset.labelled)
    return tables.take(given, sampling.first_rows(labels, shots))


def _format(
    params: Params,
    dataset: Dataset,
    method: PromptingMethod | None,
    tokenizer: Tokenizer,
    pin: dict[str, Any],
    labels: Sequence[str],
    shots: Sequence[TextRow] = (),
) -> PromptFormat:
    """The data set's template and instruction, or the method's own where it names them."""
    own_instruction = method.instruction if method else None
    template = (method.template if method else None) or dataset.template
    return PromptFormat(
        template=params.templates[template],
        instruction=dataset.instruction if own_instruction is None else own_instruction,
        tokenizer=tokenizer,
        max_length=min(filter(None, (dataset.max_length, pin["context_length"])), default=10**9),
        reserved=_answer_tokens(params, dataset, tokenizer, labels),
        truncation_side=dataset.truncation_side or tokenizer.truncation_side,
        shots=shots,
        labelled=dataset.labelled,
    )


def _answer_tokens(
    params: Params, dataset: Dataset, tokenizer: Tokenizer, labels: Sequence[str]
) -> int:
    """Tokens that an answer may take: the longest label, or all that generation may write.

    Training and test texts are cut alike, so the training prompts reserve as much.
    """
    if dataset.labelled:
        lengths = [len(tokenizer(label, add_special_tokens=False)["input_ids"]) for label in labels]
        return max(lengths, default=0) + 1
    options = params.generation_for(dataset)
    return int(options.get("max_new_tokens") or DEFAULT_NEW_TOKENS)


def _format_all(
    style: PromptFormat, rows: Sequence[tuple[str, TextRow]], *, answer: bool
) -> list[Prompt]:
    formatted = []
    with bar(total=len(rows), unit="row") as progress:
        for split, row in rows:
            formatted.append(style.format(row, split=split, answer=answer))
            progress.update(1)
    return formatted
