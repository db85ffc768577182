"""Answers to the rows of a file, by the model of one run.

Rows are formatted, cut, batched and answered by the code of `evaluate`, a chunk at a time. Within a
chunk the batches are those of an evaluation of the same rows in the same order: a run's own test
rows, up to 10,000 of them, have its answers and scores, bit for bit. Among other rows a row stands
in other batches, which moves its scores by rounding errors, and its answer only where two labels
are as likely. An interrupted prediction goes on with the same batches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from tunebench import evaluation, formatting, models, results, stage
from tunebench.baselines import examples, kinds
from tunebench.baselines.examples import Baseline
from tunebench.config.baselines import BaselineMethod
from tunebench.data import tables
from tunebench.data.cleaning import Cleaner
from tunebench.data.sources import files
from tunebench.data.sources.fingerprints import digests
from tunebench.data.tables import TextRow
from tunebench.errors import ChangedError, EvaluationError, ParameterError, SourceError
from tunebench.models import memory
from tunebench.paths import Run
from tunebench.winner import runs
from tunebench.winner.partial import Partial
from tunebench.winner.runs import Evaluated, Ready
from tunebench.winner.written import Written

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tunebench.formatting.fitting import PromptFormat
    from tunebench.prompts.tokenization import Tokenizer

# in memory at a time: some 300 MB with their tokens
CHUNK_ROWS = 10_000
CHUNK_CHARACTERS = 20_000_000
SUFFIXES = (".csv", ".jsonl")
LISTED_LABELS = 20


@dataclass(frozen=True)
class Source:
    """A file of rows to be answered; `id_column` has their ids, numbers from 1 if None."""

    path: Path
    encoding: str | None = None
    id_column: str | None = None

    def rows(self, ready: Evaluated) -> Iterator[TextRow]:
        """The rows, of the data set's columns except its answer."""
        dataset = ready.params.dataset(ready.run.dataset)
        further = [] if self.id_column is None else [self.id_column]
        read = files.read_unanswered(self.path, dataset, encoding=self.encoding, further=further)
        return Cleaner(dataset).unanswered(read, id_column=self.id_column)

    def stamp(self) -> tuple[int, int]:
        """Size and time of modification."""
        status = self.path.stat()
        return status.st_size, status.st_mtime_ns


@dataclass
class Counts:
    """What was answered: rows, those without a text, those cut to fit, and each label's."""

    rows: int = 0
    empty: int = 0
    cut: int = 0
    no_label: int = 0
    answers: Counter[str] = field(default_factory=Counter)

    def add(self, answers: Sequence[dict[str, Any] | None], *, labelled: bool) -> None:
        """Count some rows' answers, None where a row has no text."""
        self.rows += len(answers)
        self.empty += sum(answer is None for answer in answers)
        if labelled:
            named = [answer["answer"] for answer in answers if answer is not None]
            self.answers.update(label for label in named if label is not None)
            self.no_label += named.count(None)


def predict(ready: Evaluated, source: Source, output: Path, *, force: bool = False) -> Counts:
    """Answer every row of a file, in its order, and write the answers.

    A CSV has the columns `id`, `answer` and `probability` (of the answer among the labels); `text`
    in place of the probability where labels are generated, and `id` and `text` where texts are
    written. JSON lines have the labels' `scores` (nats) too. Rows without a text have no answer.

    Args:
        output: `.csv` or `.jsonl`. Until all rows are answered they stand in `<output>.partial/`,
            and the same call goes on from there.
        force: replace an earlier output, and an interrupted one of other rows.

    Raises:
        ParameterError: if the output exists or is of an unknown kind, or an interrupted one is of
            other rows.
        SourceError: if the rows cannot be read.
        ChangedError: if the file changed while it was read.
        ContextError: if a row does not fit, however its text is cut.
        EvaluationError: if memory runs out for a single row.
    """
    _check_output(output, source.path, force=force)
    files.check_file(source.path)
    stamp, partial = source.stamp(), Partial(output)
    with partial.opened(_settings(ready, source, output), force=force):
        try:
            counts = _answer_all(ready, source, partial, output.suffix.lower())
        except SourceError as error:
            _check_unchanged(source, stamp, partial)
            raise SourceError(str(error).replace("write encoding: ", "give --encoding ")) from None
        _check_unchanged(source, stamp, partial)
        partial.finish()
    return counts


def _check_output(output: Path, source: Path, *, force: bool) -> None:
    """Refuse an output that exists, is the input, or is of an unknown kind.

    Raises:
        ParameterError: with the option to change.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise ParameterError([f"--out: {output} is of an unknown kind; end it in .csv or .jsonl"])
    if output.resolve() == source.resolve():
        raise ParameterError([f"--out: {output} is the file with the rows; name another"])
    if output.is_dir() or not output.parent.is_dir():
        raise ParameterError([f"--out: {output} is no file in a folder that is there"])
    if output.exists() and not force:
        raise ParameterError([f"--out: {output} exists; name another, or give --force"])


def _check_unchanged(source: Source, stamp: tuple[int, int], partial: Partial) -> None:
    if not source.path.exists() or source.stamp() != stamp:
        partial.remove()
        raise ChangedError(
            f"{source.path}: changed while it was read; run again when no program writes to it"
        )


def _settings(ready: Evaluated, source: Source, output: Path) -> dict[str, Any]:
    """All that answers depend on, by the name that an error gives it."""
    hashes = digests([source.path, *ready.files])
    model = {path.name: hashes[path] for path in ready.files}
    base = ready.base.described() if isinstance(ready, Ready) else {}
    settings = {
        "file": hashes[source.path],
        "run": str(ready.run),
        "model": base | model,
        "method": ready.method,
        "data set": ready.params.dataset(ready.run.dataset),
        "template": ready.params.templates,
        "evaluation": ready.answering,
        "encoding": source.encoding,
        "--id": source.id_column,
        "kind of file": output.suffix.lower(),
        "libraries": results.library_versions(),
    }
    jsonable: dict[str, Any] = to_jsonable_python(settings)
    return jsonable


def _answer_all(ready: Evaluated, source: Source, partial: Partial, suffix: str) -> Counts:
    stamp = source.stamp()
    answerer = _Answerer(ready) if isinstance(ready, Ready) else _Baseline(ready)
    counts = Counts(**partial.counts | {"answers": Counter(partial.counts.get("answers"))})
    chunks = tables.grouped(
        source.rows(ready), rows_at_once=CHUNK_ROWS, characters_at_once=CHUNK_CHARACTERS
    )
    written = Written(ready.answering, suffix)
    for number, chunk in enumerate(chunks):
        if number < partial.chunks:
            continue
        with partial.batches() as finished:
            answers = answerer.answers(chunk, counts, finished)
        _check_unchanged(source, stamp, partial)
        rows = zip(chunk, answers, strict=True)
        partial.add(written.chunk(rows, first=number == 0), vars(counts))
    return counts


class _Answerer:
    """The model of a run, loaded for the first rows."""

    def __init__(self, ready: Ready) -> None:
        self.ready = ready

    @cached_property
    def _format(self) -> PromptFormat:
        ready = self.ready
        return formatting.row_format(ready.params, ready.run, ready.pin, ready.card["labels"])

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return models.load_tokenizer(self.ready.base)

    @cached_property
    def _model(self) -> PreTrainedModel:
        return models.load(self.ready.base, self.ready.method, trained=self.ready.trained)

    def answers(
        self, rows: Sequence[TextRow], counts: Counts, finished: Any
    ) -> list[dict[str, Any] | None]:
        """What `evaluation.answer` gives for each row; None where it has no text."""
        asked = [index for index, row in enumerate(rows) if row["text"].strip()]
        prompts = [
            prompt
            for some in tables.grouped(
                (rows[index] for index in asked),
                rows_at_once=formatting.ROWS_AT_ONCE,
                characters_at_once=formatting.CHARACTERS_AT_ONCE,
            )
            for prompt in self._format.format_all(some, answer=False)
        ]
        answers: list[dict[str, Any] | None] = [None] * len(rows)
        if prompts:
            answering = self.ready.answering.limited(prompts)
            try:
                given = evaluation.answer(
                    self._model, self._tokenizer, prompts, answering, finished=finished
                )
            except Exception as error:
                if not memory.is_exhausted(error):
                    raise
                longest = max(prompt.tokens for prompt in prompts)
                raise EvaluationError(
                    f"out of memory for a single row, of up to {longest:,} tokens; set a smaller"
                    " max_length of the data set in params.yaml, and tune again"
                ) from None
            for index, answer in zip(asked, given, strict=True):
                answers[index] = answer
        counts.cut += sum(prompt.cut for prompt in prompts)
        counts.add(answers, labelled=bool(self.ready.answering.labels))
        return answers


class _Baseline:
    """What answers without a language model, read for the first rows."""

    def __init__(self, ready: Evaluated) -> None:
        self.ready = ready

    @cached_property
    def _learnt(self) -> Baseline[Any]:
        method = self.ready.method
        assert isinstance(method, BaselineMethod)
        assert self.ready.trained is not None
        return kinds.load(method, self.ready.trained)

    def answers(
        self, rows: Sequence[TextRow], counts: Counts, finished: Any
    ) -> list[dict[str, Any] | None]:
        """The answer to each row; None where it has no text."""
        del finished  # a chunk takes seconds
        labels = self.ready.answering.labels
        asked = [examples.text_of(row) for row in rows if row["text"].strip()]
        given = iter(self._learnt.answer(asked, labels))
        answers = [next(given) if row["text"].strip() else None for row in rows]
        counts.add(answers, labelled=bool(labels))
        return answers


def lines(run: Run, source: Source, output: Path, *, force: bool) -> Iterator[str]:
    """Answer a file's rows as `predict` does, and say what was answered, for a terminal."""
    stage.set_up()
    counts = predict(runs.evaluated(run), source, output, force=force)
    answered = counts.rows - counts.empty
    yield f"{run} answered {answered:,} rows: {output}"
    if counts.empty:
        yield f"  rows without a text, left unanswered: {counts.empty:,}"
    if counts.cut:
        yield f"  texts cut to fit the context: {counts.cut:,}"
    if counts.no_label:
        yield f"  answers that name no label: {counts.no_label:,}"
    shown = counts.answers.most_common(LISTED_LABELS)
    width = max((len(label) for label, _ in shown), default=0)
    for label, number in shown:
        yield f"  {label.ljust(width)}  {number:>9,}  {100 * number / answered:5.1f}%"
    if more := len(counts.answers) - len(shown):
        yield f"  and {more} more labels"
