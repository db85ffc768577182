"""What was found, what is proposed, and the diff: tables in a terminal, plain text elsewhere."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tunebench.data.sources.spelling import quoted
from tunebench.init import lengths
from tunebench.init.audit import Audit
from tunebench.init.case import Case
from tunebench.init.column import scripts
from tunebench.init.columns import Choice
from tunebench.init.proposal import Proposal
from tunebench.init.survey import Survey

EXAMPLE = 44  # characters
LISTED_COLUMNS = 20
LISTED_LABELS = 15
LISTED_CHOICES = 4
PLAIN_WIDTH = 100


def console() -> Console:
    """Standard output, with colours in a terminal only."""
    width = None if sys.stdout.isatty() else PLAIN_WIDTH
    return Console(width=width, highlight=False, markup=False, emoji=False)


def show_file(to: Console, file: str, found: Survey) -> None:
    """The columns, their types and an example of each."""
    training = "training " * (len(found.files) > 1)
    rows = f"{found.rows:,}{'+' * found.partial} {training}rows"
    sampled = f"; types are of {found.sampled:,} of them" if found.sampled < found.rows else ""
    _line(to, f"{file}: {rows}, {_count(len(found.columns), 'column')}{sampled}", style="bold")
    table = _table("column", "type", "filled", "distinct", "example")
    for column in list(found.columns.values())[:LISTED_COLUMNS]:
        table.add_row(
            _shown(column.name),
            column.kind,
            f"{len(column.cells) / column.rows:.0%}",
            f"{column.distinct:,}",
            _shown(column.values[0] if column.values else ""),
        )
    _print_table(to, table)
    if (more := len(found.columns) - LISTED_COLUMNS) > 0:
        _line(to, f"  and {_count(more, 'more column')}")


def show_proposal(to: Console, case: Case, proposal: Proposal) -> None:
    """The roles of the columns, the labels, and facts about the rows."""
    found, roles = case.found, case.roles
    answer = "label" if found.labels else "summary"
    to.print()
    for key, value in (
        ("task", roles.task),
        ("text", _choice(roles.text, "--text")),
        (answer, _choice(roles.target, f"--{answer}")),
        *_facts(case, proposal),
    ):
        _line(to, f"{key:<11}{value}", indent=11)
    if found.labels:
        _show_labels(to, found)
    if notes := [*_notes(case), *proposal.notes]:
        to.print()
    for note in notes:
        _line(to, f"- {note}", indent=2)
    to.print()


def show_diff(to: Console, old: str, new: str) -> None:
    """The unified diff of params.yaml."""
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), "params.yaml", "params.yaml, proposed", lineterm=""
    )
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for line in lines:
        to.print(Text(line, style=colours.get(line[:1], "")), soft_wrap=True)
    to.print()


def _facts(case: Case, proposal: Proposal) -> Iterator[tuple[str, str]]:
    found, measured = case.found, proposal.lengths
    held = " (a stratified fifth; --test names a file)" if found.split_off else ""
    parts = [f"{rows:,} {split}" for split, rows in found.rows.items()]
    only = f"; these are the first, the {' and '.join(found.partial)} file has more"
    yield "rows", f"{', '.join(parts)}{held}{only * bool(found.partial)}"
    shares = scripts(row["text"] for row in found.sample).items()
    shown = [f"{name} {share:.0%}" for name, share in shares if share >= 0.01]
    yield "scripts", ", ".join(shown) or "no letters"
    about = "about " * measured.estimated
    texts = ", ".join(
        f"{about}{lengths.percentile(measured.texts, fraction)} {name}"
        for fraction, name in ((0.5, "in the median"), (0.95, "at 95%"), (1.0, "at most"))
    )
    sample = (
        f"of {len(measured.texts):,} texts" if len(measured.texts) < found.rows["train"] else ""
    )
    by = "estimated" if measured.estimated else f"by {case.model.name}'s tokenizer"
    yield "tokens", f"{texts} ({' '.join(filter(None, (sample, by)))})"
    limit = proposal.entry["max_length"]
    covered = sum(length <= limit for length in measured.sequences) / len(measured.sequences)
    context = f", context {case.model.context}" if case.model.context else ""
    yield "max_length", f"{limit}: covers {covered:.1%} of prompts with their answers{context}"
    yield "machine", str(case.machine)


def _show_labels(to: Console, found: Audit) -> None:
    to.print()
    table = _table("label", "rows", "share")
    for label, count in found.labels.most_common(LISTED_LABELS):
        table.add_row(_shown(label), f"{count:,}", f"{count / found.labels.total():.1%}")
    _print_table(to, table)
    if (more := len(found.labels) - LISTED_LABELS) > 0:
        rarest, rows = found.labels.most_common()[-1]
        _line(to, f"  and {_count(more, 'more label')}, the rarest {_shown(rarest)} ({rows} rows)")


def _notes(case: Case) -> Iterator[str]:
    """What a user should know of the rows, each with what is done about it."""
    found = case.found
    for reason, count in found.dropped.items():
        split, cell = reason.replace("train:", "training:").split(": ", 1)
        yield f"{_rows(count, split)} with {cell}: left out (drop_empty)"
    if found.train_duplicates:
        yield f"{_rows(found.train_duplicates, 'training')} with the text of an earlier one"
    if found.train_contradictions:
        yield f"{_count(found.train_contradictions, 'training text')} with more than one label"
    if found.test_rows_in_train:
        yield (
            f"{_rows(found.test_rows_in_train, 'test')} in the training rows too: left out there"
            " (drop_test_duplicates)"
        )
    for group in found.merged:
        names = ", ".join(quoted(label, group) for label in group)
        name = quoted(found.label_names[group[0]], group)
        yield f"labels {names} read alike: all {name} (--labels as_written keeps them apart)"
    if found.spellings:
        label, counts = next(iter(found.spellings.items()))
        written = ", ".join(map(ascii, list(counts)[:5]))
        several = _count(len(found.spellings), "label")
        yield f"{several} in several spellings, unified, as {label!r}: {written}"
    for path in found.quotes_as_text:
        yield f"{path}: quotes are read as text (--quoting minimal if they enclose fields)"
    if found.labels and all(label.lstrip("+-").isdecimal() for label in found.labels):
        yield "labels are numbers: names say more to a model (--label-names, for 0, 1, …)"
    if case.model.tokenizer is None:
        yield (
            f"{case.model.where} is not on this machine yet: tokens are estimated by bytes, and the"
            " template is none of its own; once it is here, tunebench init knows both"
        )
    if found.split_off and (beside := _test_file_beside(case.answers.file)):
        yield f"{beside} stands beside it: --test {beside} takes the test rows from there"
    if "train" in found.partial:
        yield "duplicates and labels further down are unknown until `dvc repro`"


def _test_file_beside(file: str) -> Path | None:
    path = Path(file)
    beside = path.with_name(path.name.replace("train", "test"))
    return beside if path.is_file() and beside != path and beside.is_file() else None


def _choice(choice: Choice, option: str) -> str:
    others = [column.name for column in choice.others]
    if not others:
        return f"{_shown(choice.column.name)}, {choice.reason}"
    listed = ", ".join(map(_shown, others[:LISTED_CHOICES]))
    more = f" and {len(others) - LISTED_CHOICES} more" if len(others) > LISTED_CHOICES else ""
    return f"{_shown(choice.column.name)}, {choice.reason}; not {listed}{more} ({option})"


def _shown(text: str, width: int = EXAMPLE) -> str:
    """A text in one short line, with nothing that moves a terminal's cursor."""
    line = " ".join(text.split())
    line = "".join(character if character.isprintable() else "·" for character in line)
    return line if len(line) <= width else f"{line[: width - 1]}…"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _table(*headers: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for header in headers:
        right = header in ("filled", "distinct", "rows", "share")
        table.add_column(header, justify="right" if right else "left", no_wrap=True)
    return table


def _print_table(to: Console, table: Table) -> None:
    with to.capture() as captured:
        to.print(table)
    lines = captured.get().splitlines()
    to.out("\n".join(line.rstrip() for line in lines), highlight=False)


def _rows(number: int, split: str) -> str:
    return _count(number, f"{split} row")


def _line(to: Console, text: str, *, indent: int = 0, style: str = "") -> None:
    lines = Text(text, style=style).wrap(to, to.width - indent)
    for number, line in enumerate(lines):
        line.rstrip()
        to.print(Text(" " * indent * (number > 0)) + line)
