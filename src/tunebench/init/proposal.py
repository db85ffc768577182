"""What `tunebench init` would write: the data set's entry, the grid, and what goes with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tunebench.config.data import Template
from tunebench.errors import ParameterError, suggest
from tunebench.init import entry, lengths, methods, sizes
from tunebench.init.case import Case
from tunebench.init.lengths import Lengths
from tunebench.init.params_file import Place


@dataclass
class Proposal:
    """The data set's name and entry, every value to set by its place, and what should be said."""

    name: str
    entry: dict[str, Any]
    lengths: Lengths
    values: dict[Place, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def propose(case: Case) -> Proposal:
    """What to write.

    Raises:
        ParameterError: if an option names what is not defined, or is no value.
        PromptError: if the template does not work with the model's tokenizer.
    """
    labels = sorted(case.found.labels)
    asked = case.answers.instruction or entry.instruction(case.roles, labels)
    template, definition = _template(case)
    shown = Template.model_validate(definition) if definition else case.params.templates[template]
    rows, model = case.found.sample, case.model
    measured = lengths.measure(model, shown, rows, instruction=asked, labels=labels)
    written = entry.reading(case.answers, case.roles, case.found)
    written |= {"template": template, "instruction": asked}
    proposal = Proposal(entry.name(case.params, case.answers), written, measured)
    prompting, with_shots = _prompting(case, proposal, shown, asked)
    written |= sizes.evaluated(case, measured)
    written["max_length"] = sizes.max_length(case, measured, with_shots)
    written["training"] = sizes.training(case, written["max_length"])
    baselines, definitions = methods.baselines(case)
    grid: dict[str, list[Any]] = {
        "models": [model.name],
        "datasets": [proposal.name],
        "prompting": prompting,
        "tuning": methods.tuning(case),
        "baselines": baselines,
        "train_sizes": sizes.train_sizes(case, measured, written),
        "seeds": sizes.seeds(case),
    }
    proposal.values = {
        ("study",): proposal.name,
        **{("grid", key): value for key, value in grid.items()},
        ("datasets", proposal.name): written,
        **({("templates", template): definition} if definition else {}),
        **{("methods", name): settings for name, settings in definitions.items()},
        **_beside(case, grid),
    }
    return proposal


def _template(case: Case) -> tuple[str, dict[str, Any] | None]:
    """The template's name, and its definition if it is a new one."""
    given, defined = case.answers.template, case.params.templates
    if given is None:
        return lengths.template(case.params, case.model)
    if given not in defined:
        raise ParameterError([f"--template: {given!r} is not defined; {suggest(given, defined)}"])
    return given, None


def _prompting(
    case: Case, proposal: Proposal, shown: Template, asked: str
) -> tuple[list[str], list[int]]:
    """The prompting methods, and lengths of prompt and answer with their solved examples."""
    chosen, model = methods.prompting(case), case.model
    shots = methods.shots(case, chosen)
    if not shots:
        return chosen, []
    rows = case.found.sample
    measured = lengths.with_shots(model, shown, rows, instruction=asked, shots=shots)
    answer = lengths.percentile(proposal.lengths.answers, sizes.COVERED)
    whole = [length + answer for length in measured]
    fits = not whole or not model.context or lengths.percentile(whole, 0.5) <= model.context
    if fits or case.answers.prompting is not None:
        return chosen, whole
    proposal.notes.append(
        f"no few-shot prompting: {shots} examples and a text have {lengths.percentile(whole, 0.5)}"
        f" tokens in the median, and {model.name} has a context of {model.context}"
    )
    return [name for name in chosen if not methods.shots(case, [name])], []


def _beside(case: Case, grid: Mapping[str, list[Any]]) -> dict[Place, Any]:
    """Values elsewhere that name what the grid must hold."""
    values: dict[Place, Any] = {}
    if grid["tuning"] and grid["train_sizes"]:
        values["inference", "train_size"] = grid["train_sizes"][-1]
    for axis in ("prompting", "tuning"):
        named = list(getattr(case.params.inference.load_test, axis))
        kept = [name for name in named if name in grid[axis]]
        if kept != named:
            values["inference", "load_test", axis] = kept
    return values
