"""From a file to the written params.yaml: look, choose, propose, show, ask, write."""

from __future__ import annotations

import re
import sys

from tunebench import config, paths, results
from tunebench.config.schema import Params
from tunebench.data import checking
from tunebench.errors import ParameterError, SourceError, suggest
from tunebench.init import audit, columns, entry, lengths, printing, survey
from tunebench.init.answers import Answers
from tunebench.init.case import Case
from tunebench.init.machine import Machine
from tunebench.init.params_file import ParamsFile
from tunebench.init.proposal import Proposal, propose


def run(answers: Answers, *, yes: bool, replacing: bool) -> bool:
    """Look at the file, show what it holds and what to write, ask, and write.

    Args:
        yes: write without asking.
        replacing: whether a data set of that name may be replaced by one from other files.

    Returns:
        Whether params.yaml has the data set now.

    Raises:
        TunebenchError: for a file or an option with which no study can run; nothing is written.
    """
    params = config.load()
    model = _model(params, answers)
    name = entry.name(params, answers)
    _check_replaced(params, answers, name, replacing=replacing)
    to = printing.console()
    try:
        seen = survey.survey(answers)
        printing.show_file(to, answers.file, seen)
        roles = columns.choose(seen, answers)
        found = audit.audit(entry.dataset(entry.reading(answers, roles)))
    except SourceError as error:
        raise SourceError(_with_options(str(error))) from None
    base = lengths.base(model, params.models[model])
    case = Case(params, answers, roles, found, base, Machine.here())
    proposal = propose(case)
    if name in params.datasets:
        proposal.notes.append(f"datasets.{name} is there already, and is replaced")
    printing.show_proposal(to, case, proposal)
    old, new = _edited(proposal)
    if old == new:
        to.print("params.yaml has all of this already.")
        return True
    printing.show_diff(to, old, new)
    if not (yes or _agreed()):
        to.print("Nothing is written." if sys.stdin.isatty() else UNATTENDED)
        return False
    with results.replacing(paths.PARAMS) as temporary:
        temporary.write_bytes(new.encode())
    to.print(f"Written. Run it with `dvc repro`; grid.datasets is [{proposal.name}] now.")
    return True


UNATTENDED = "Nothing is written: this is no terminal to ask in; add --yes to write it."


def _model(params: Params, answers: Answers) -> str:
    name = answers.model or params.grid.models[0]
    if name not in params.models:
        hint = suggest(name, params.models)
        raise ParameterError([f"--model: {name!r} is not defined under models; {hint}"])
    return name


def _check_replaced(params: Params, answers: Answers, name: str, *, replacing: bool) -> None:
    """Refuse to replace a data set that has other files."""
    there = params.datasets.get(name)
    if there is not None and there.path != answers.path and not replacing:
        source = there.path or there.hub or there.generator
        raise ParameterError(
            [
                f"params.yaml: datasets.{name} is there already, with the rows of {source}; give"
                " another --name, or --replace to replace it"
            ]
        )


def _edited(proposal: Proposal) -> tuple[str, str]:
    """The text of params.yaml before and after.

    Raises:
        ParameterError: if it does not pass the stage `check` then.
    """
    old = paths.PARAMS.read_bytes().decode()
    file = ParamsFile(old)
    for place, value in proposal.values.items():
        file.set(place, value)
    new = file.edited()
    try:
        checking.check(config.checked(file.content))
    except ParameterError as error:
        raise ParameterError(
            [
                "params.yaml: would not pass `python -m stages.check`, and is unchanged:",
                *error.faults,
            ]
        ) from None
    return old, new


def _agreed() -> bool:
    if not sys.stdin.isatty():
        return False
    import typer

    return typer.confirm("Write this to params.yaml?", default=True)


def _with_options(message: str) -> str:
    """A message about a file, with options where it names keys of params.yaml."""
    message = re.sub(r"\b(encoding|quoting): (?=\w)", r"--\1 ", message.removeprefix("path: "))
    return message.replace("path: {train: …, test: …}", "FILE --test FILE")
