"""Which column is the text, and which the label or the summary, with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tunebench.errors import LONGEST_NAME, ParameterError, SourceError, suggest
from tunebench.init.answers import Answers
from tunebench.init.column import Column
from tunebench.init.names import IDS, LABELS, SUMMARIES, SURE_SUMMARIES, TEXTS, order, rank
from tunebench.init.survey import Survey

TASKS = ("classification", "summarization")
MOST_LABELS = 200  # of a proposal; more are taken where the column is named
LISTED = 5
BEGINNING = 200  # characters of a text that show whether they are letters
NO_LABEL = "name one with --label, or with --summary a text to be written"


@dataclass(frozen=True)
class Choice:
    """A column, why it was taken, and the others that it could have been."""

    column: Column
    reason: str
    others: Sequence[Column] = ()


@dataclass(frozen=True)
class Roles:
    """The task, and the columns that pose it."""

    task: str
    text: Choice
    target: Choice

    @property
    def columns(self) -> dict[str, str]:
        """`columns` of the data set."""
        key = "label" if self.task == "classification" else "summary"
        return {"text": self.text.column.name, key: self.target.column.name}


def choose(survey: Survey, answers: Answers) -> Roles:
    """The columns that the options name, or else those that look like it.

    Raises:
        ParameterError: if options exclude each other.
        SourceError: if there is no such column, or none that could be the text or its answer.
    """
    task = _task(answers)
    given = answers.label or answers.summary
    if not (answers.text or given):
        _refuse_missing_header(survey)
    target = None if given is None else Choice(_named(survey, given, answers), "named")
    if task == "classification" and target is not None:
        check_label(target.column)
    text = _text(survey, answers, excluded=given)
    if target is None:
        task, target = _target(survey, task, text.column)
        if task == "summarization" and answers.text is None:
            text, target = _longer_first(text, target)
    if text.column.name == target.column.name:
        raise ParameterError(
            [f"--text: {text.column.name!r} is the answer's column too; name another one"]
        )
    answer = target.column
    others = [column for column in text.others if column is not answer]
    return Roles(task or TASKS[0], replace(text, others=others), target)


def _task(answers: Answers) -> str | None:
    """The task that the options decide; None if they do not."""
    if answers.task not in (None, *TASKS):
        raise ParameterError(
            [f"--task: {answers.task!r} is unknown; {suggest(answers.task, TASKS)}"]
        )
    if answers.label and answers.summary:
        raise ParameterError(["--label and --summary: are of different tasks; give one"])
    decided = TASKS[0] if answers.label else TASKS[1] if answers.summary else answers.task
    if answers.task not in (None, decided):
        option = "--label" if answers.label else "--summary"
        raise ParameterError([f"{option}: goes with --task {decided}, not {answers.task}"])
    return decided


def _named(survey: Survey, name: str, answers: Answers) -> Column:
    if name in survey.columns:
        return survey.columns[name]
    raise SourceError(
        f"{answers.file}: there is no column {name!r}; {suggest(name, survey.columns)}"
    )


def _text(survey: Survey, answers: Answers, *, excluded: str | None) -> Choice:
    if answers.text is not None:
        return Choice(_named(survey, answers.text, answers), "named")
    texts = [
        column
        for column in survey.columns.values()
        if column.name != excluded and _reads_as_text(column)
    ]
    if not texts:
        raise SourceError(
            f"{answers.file}: no column holds texts: {_described(survey.columns.values())};"
            " name one with --text"
        )
    ranked = sorted(texts, key=lambda column: -column.mean_characters)
    by_name = [column for column in ranked if rank(column.name, TEXTS) is not None]
    chosen = (by_name or ranked)[0]
    length = f"its texts are the longest, {chosen.mean_characters:.0f} characters on average"
    reason = "by its name" if by_name else length if len(texts) > 1 else "the only one with texts"
    return Choice(chosen, reason, [column for column in ranked if column is not chosen])


def _target(survey: Survey, task: str | None, text: Column) -> tuple[str, Choice]:
    """The task, and the column with the answer."""
    columns = [column for column in survey.columns.values() if column is not text]
    labels = [] if task == TASKS[1] else [column for column in columns if _could_be_label(column)]
    summaries = [] if task == TASKS[0] else [column for column in columns if _is_free_text(column)]
    sure = [column for column in summaries if rank(column.name, SURE_SUMMARIES) is not None]
    known = [column for column in labels if rank(column.name, LABELS) is not None]
    if labels and not (sure and not known):
        return TASKS[0], _label(labels, [*summaries])
    if summaries:
        ranked = sorted(summaries, key=lambda column: order(column.name, SUMMARIES))
        named = rank(ranked[0].name, SUMMARIES) is not None
        reason = "by its name" if named else "the other column with texts"
        return TASKS[1], Choice(ranked[0], reason, [*ranked[1:], *labels])
    if task == TASKS[1]:
        others = _described(columns)
        raise SourceError(f"no column could be the summary: {others}; name one with --summary")
    for column in columns:
        if rank(column.name, LABELS) is not None or len(columns) == 1:
            check_label(column)
    raise SourceError(f"no column could be the label: {_described(columns)}; {NO_LABEL}")


def _label(labels: Sequence[Column], summaries: Sequence[Column]) -> Choice:
    def likelihood(column: Column) -> tuple[int, int, int]:
        kinds = ("text", "true/false", "integer")
        kind = kinds.index(column.kind) if column.kind in kinds else len(kinds)
        return order(column.name, LABELS), kind, -labels.index(column)

    chosen, *others = sorted(labels, key=likelihood)
    named = rank(chosen.name, LABELS) is not None
    several = f"the last column of few different {chosen.kind} values"
    only = several if others else "the only column of few different values"
    reason = "by its name" if named else only
    for other in others:
        if chosen.kind == "integer" and other.kind == "text" and _same_classes(chosen, other):
            rest = [chosen, *(column for column in others if column is not other)]
            reason = f"it names the classes that {chosen.name!r} numbers"
            return Choice(other, reason, [*rest, *summaries])
    return Choice(chosen, reason, [*others, *summaries])


def _same_classes(one: Column, other: Column) -> bool:
    if len(one.cells) != one.rows or len(other.cells) != other.rows:
        return False
    return len(set(zip(one.values, other.values, strict=True))) == one.distinct == other.distinct


def _longer_first(text: Choice, target: Choice) -> tuple[Choice, Choice]:
    """Swap the columns if the text is the shorter one, and neither was taken by its name."""
    by_name = "by its name" in (text.reason, target.reason)
    if by_name or text.column.mean_characters >= target.column.mean_characters:
        return text, target
    return (
        Choice(target.column, "its texts are longer", text.others),
        Choice(text.column, "its texts are shorter", target.others),
    )


def check_label(column: Column) -> None:
    """Refuse a column of one value, of as many values as rows, or of values of several types.

    Raises:
        SourceError: with what it holds.
    """
    name, cells = column.name, len(column.cells)
    if column.kind == "empty":
        raise SourceError(f"column {name!r} is empty; {NO_LABEL}")
    if column.kind == "mixed":
        raise SourceError(
            f"column {name!r} holds values of several types, {_types(column)}; write all labels as"
            " texts"
        )
    if column.kind in ("mapping", "list", "bytes"):
        raise SourceError(f"column {name!r} holds {column.kind}s, not labels; {NO_LABEL}")
    if column.distinct == 1:
        only = column.values[0][:LONGEST_NAME]
        raise SourceError(
            f"column {name!r} has one label, {only!r}, in {column.within}; to tell anything apart,"
            f" {NO_LABEL}"
        )
    if 2 * column.distinct > cells:
        raise SourceError(
            f"column {name!r} has {column.distinct:,} different values in {cells:,} rows that were"
            f" looked at, as an id or a text has, and no label; {NO_LABEL}"
        )


def _could_be_label(column: Column) -> bool:
    return (
        column.kind in ("text", "integer", "true/false")
        and 2 <= column.distinct <= MOST_LABELS
        and 3 * column.distinct <= len(column.cells)
        and column.mean_characters <= 60
        and not IDS.fullmatch(column.name)
    )


def _reads_as_text(column: Column) -> bool:
    """Whether it holds free text; a column by a text's name may repeat itself."""
    named = rank(column.name, TEXTS) is not None and column.distinct > 1
    return _is_free_text(column) or (
        named and column.kind == "text" and column.mean_words >= 2 and column.mean_characters > 8
    )


def _is_free_text(column: Column) -> bool:
    if column.kind != "text" or 5 * column.distinct < len(column.cells):
        return False
    beginnings = "".join(value[:BEGINNING] for value in column.values)
    return column.mean_words >= 2 and 2 * sum(map(str.isalpha, beginnings)) > len(beginnings)


def _refuse_missing_header(survey: Survey) -> None:
    """Refuse a file whose first line is a row: a value that its column repeats."""
    for name, column in survey.columns.items():
        if name and 2 * column.distinct <= len(column.values) and name in set(column.values):
            raise SourceError(
                f"{survey.files['train'][0]}: its first line is a row, not the columns' names:"
                f" {name[:LONGEST_NAME]!r} is a value of its column too; put a line above it, as"
                " text,label"
            )


def _described(columns: Iterable[Column]) -> str:
    """Each column and what it holds, the first of them."""
    parts = [f"{column.name[:LONGEST_NAME]!r} holds {_content(column)}" for column in columns]
    if not parts:
        return "there is no other column"
    rest = f", and {len(parts) - LISTED} more" if len(parts) > LISTED else ""
    return ", ".join(parts[:LISTED]) + rest


def _types(column: Column) -> str:
    counts = sorted(column.types.items())
    return " and ".join(f"{kind} ({count:,} rows)" for kind, count in counts)


def _content(column: Column) -> str:
    if column.kind == "empty":
        return "nothing"
    if column.kind == "mapping":
        return "mappings, whose parts should be columns of their own"
    if column.kind == "mixed":
        return _types(column)
    if column.kind == "list":
        return "lists"
    if column.distinct == 1:
        return "one value"
    values = f"{column.distinct:,} different values in {len(column.cells):,} rows"
    return f"{values} ({column.kind})"
