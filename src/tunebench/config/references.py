"""References between sections of params.yaml: names and settings that do not agree."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from tunebench.config import data
from tunebench.config.baselines import BASELINES
from tunebench.config.options import merge
from tunebench.errors import suggest
from tunebench.paths import BASELINE

Section = Mapping[str, Any]
Grid = Mapping[str, list[Any]]

# no dots in names: DVC reads methods.a.b as b within a
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]{0,63}")

# kind of a method → the list of grid that names it
AXES = {
    "prompting": "prompting",
    **dict.fromkeys(("peft", "full"), "tuning"),
    **dict.fromkeys(BASELINES, "baselines"),
}

# other files that `check` writes beside those of data sets and models
FILES_BESIDE = ("published", "cost", "forgetting_text", "timing", "serving", "virtual_tokens",
                "report", "baselines")  # fmt: skip


def faults(raw: Any) -> Iterator[str]:
    """A line for each fault in the raw file, so that all are found even if it is invalid otherwise.

    Args:
        raw: the parsed YAML.
    """
    if not isinstance(raw, Mapping):
        return
    section = {key: value for key, value in raw.items() if isinstance(value, Mapping)}
    grid = {
        axis: value for axis, value in section.get("grid", {}).items() if isinstance(value, list)
    }
    yield from _grid_faults(section, grid)
    yield from _forgetting_faults(section)
    yield from _template_faults(section, grid)
    yield from _selection_faults(section, grid)
    yield from _search_faults(section, grid)
    yield from _serving_faults(section, grid)
    yield from _published_faults(section)
    yield from _name_faults(section)
    yield from _train_size_faults(section, grid)


def _grid_faults(section: Section, grid: Grid) -> Iterator[str]:
    for axis, values in grid.items():
        for index, value in enumerate(values):
            if any(value == other and type(value) is type(other) for other in values[:index]):
                yield f"grid.{axis}[{index}]: {value!r} stands twice"
    for axis, table in (("models", "models"), ("datasets", "datasets")):
        for index, name in enumerate(grid.get(axis, [])):
            yield from _undefined(f"grid.{axis}[{index}]", name, table, section)
    for axis in dict.fromkeys(AXES.values()):
        for index, name in enumerate(grid.get(axis, [])):
            place = f"grid.{axis}[{index}]"
            yield from _undefined(place, name, "methods", section)
            kind = _entry(section, "methods", name).get("kind")
            expected_axis = AXES.get(str(kind), axis)
            if expected_axis != axis:
                yield f"{place}: {name!r} is a {kind} method; name it under grid.{expected_axis}"


def _forgetting_faults(section: Section) -> Iterator[str]:
    forgetting = section.get("evaluation", {}).get("forgetting")
    if isinstance(forgetting, Mapping) and "dataset" in forgetting:
        yield from _undefined(
            "evaluation.forgetting.dataset", forgetting["dataset"], "datasets", section
        )


def _train_size_faults(section: Section, grid: Grid) -> Iterator[str]:
    size, sizes = section.get("inference", {}).get("train_size"), grid.get("train_sizes", [])
    if (grid.get("tuning") or grid.get("baselines")) and str(size) not in map(str, sizes):
        choices = ", ".join(map(str, sizes))
        yield f"inference.train_size: {size!r} is none of grid.train_sizes; choose from: {choices}"


def _undefined(place: str, name: object, table: str, section: Section) -> Iterator[str]:
    defined = [str(key) for key in section.get(table, {})]
    if str(name) not in defined:
        yield f"{place}: {name!r} is not defined under {table}; {suggest(name, defined)}"


def _entry(section: Section, table: str, name: object) -> Mapping[str, Any]:
    """One definition; empty if it is missing, which is reported elsewhere."""
    entry = section.get(table, {}).get(str(name))
    return entry if isinstance(entry, Mapping) else {}


def _template_faults(section: Section, grid: Grid) -> Iterator[str]:
    templates = section.get("templates", {})
    for table in ("datasets", "methods"):
        for name, entry in section.get(table, {}).items():
            chosen = entry.get("template") if isinstance(entry, Mapping) else None
            if isinstance(chosen, str) and chosen not in templates:
                hint = suggest(chosen, map(str, templates))
                yield f"{table}.{name}.template: {chosen!r} is not defined under templates; {hint}"
    prompting = {str(name): _entry(section, "methods", name) for name in grid.get("prompting", [])}
    for name in map(str, grid.get("datasets", [])):
        dataset = _entry(section, "datasets", name)
        used = set()
        for method, entry in {"": dataset, **prompting}.items():
            chosen = str(entry.get("template") or dataset.get("template"))
            template = _valid_template(templates.get(chosen))
            if template is None:
                return  # its faults are reported elsewhere
            used |= template.fields
            if entry.get("shots") and not template.takes_shots:
                yield (
                    f"templates.{chosen}: {method!r} puts examples before the text, which needs a"
                    " {shots} in prompt and a shot"
                )
            for field in sorted(template.fields - {*data.RESERVED_FIELDS, *_columns(dataset)}):
                fields = {*data.RESERVED_FIELDS, *_columns(dataset)}
                yield (
                    f"templates.{chosen}: {{{field}}} is no field of the rows of {name!r}; name its"
                    f" column under datasets.{name}.columns, or {suggest(field, fields)}"
                )
        for field in sorted(_columns(dataset) - {*data.Columns.model_fields} - used):
            hint = suggest(field, data.Columns.model_fields)
            yield f"datasets.{name}.columns.{field}: no template shows it; {hint}"


def _columns(dataset: Mapping[str, Any]) -> set[str]:
    columns = dataset.get("columns")
    return set(map(str, columns)) if isinstance(columns, Mapping) else set()


def _valid_template(raw: object) -> data.Template | None:
    try:
        return data.Template.model_validate(raw)
    except ValidationError:
        return None


def _selection_faults(section: Section, grid: Grid) -> Iterator[str]:
    select = section.get("evaluation", {}).get("select")
    if select not in ("best_validation", "best_test"):
        return
    for name in grid.get("datasets", []):
        dataset = _entry(section, "datasets", name)
        if select == "best_validation" and not dataset.get("validation_rows"):
            yield (
                f"evaluation.select: best_validation needs rows to choose on: set"
                f" datasets.{name}.validation_rows"
            )
        for method in grid.get("tuning", []):
            entries = section, dataset, _entry(section, "methods", method)
            levels = [
                level for entry in entries if isinstance(level := entry.get("training"), dict)
            ]
            if merge(*levels).get("save_strategy") != "epoch":
                yield (
                    f"evaluation.select: {select} needs every epoch of {method!r} on {name!r} kept:"
                    " set training.save_strategy: epoch"
                )


def _search_faults(section: Section, grid: Grid) -> Iterator[str]:
    for method in grid.get("tuning", []):
        if not _entry(section, "methods", method).get("search"):
            continue
        for name in grid.get("datasets", []):
            if not _entry(section, "datasets", name).get("validation_rows"):
                yield (
                    f"methods.{method}.search: needs rows to choose on: set"
                    f" datasets.{name}.validation_rows"
                )


def _serving_faults(section: Section, grid: Grid) -> Iterator[str]:
    inference = section.get("inference", {})
    chosen = _entry(section, "inference", "load_test")
    for axis in ("prompting", "tuning"):
        names = chosen.get(axis)
        for index, name in enumerate(names if isinstance(names, list) else []):
            if name not in grid.get(axis, []):
                hint = suggest(name, map(str, grid.get(axis, [])))
                place = f"inference.load_test.{axis}[{index}]"
                yield f"{place}: {name!r} is none of grid.{axis}; {hint}"
    server, servers = inference.get("server"), _entry(section, "inference", "servers")
    if (server is not None or any(chosen.values())) and str(server) not in map(str, servers):
        yield (
            f"inference.server: {server!r} is not defined under inference.servers;"
            f" {suggest(server, map(str, servers))}"
        )


def _published_faults(section: Section) -> Iterator[str]:
    published = section.get("published", {}).get("results")
    for index, row in enumerate(published if isinstance(published, list) else []):
        if not isinstance(row, Mapping):
            continue  # reported elsewhere
        for key in ("model", "dataset", "method"):
            if row.get(key) is not None and (key, row[key]) != ("model", BASELINE):
                place = f"published.results[{index}].{key}"
                yield from _undefined(place, row[key], f"{key}s", section)
        kind = _entry(section, "methods", row.get("method")).get("kind")
        if str(kind) in AXES and (kind == "prompting") != (row.get("train_size") is None):
            remedy = "has none; remove it" if kind == "prompting" else "needs one: train_size: 1.0"
            yield f"published.results[{index}].train_size: a {kind} method {remedy}"


def _name_faults(section: Section) -> Iterator[str]:
    for table in ("models", "datasets", "methods"):
        for name in section.get(table, {}):
            if not NAME.fullmatch(str(name)):
                yield (
                    f"{table}.{name}: names become paths and keys; use letters, digits and _ only,"
                    " 64 at most"
                )
    if BASELINE in section.get("models", {}):
        yield f"models.{BASELINE}: stands for methods without a model in paths; rename it"
    for name in section.get("datasets", {}):
        if name in section.get("models", {}):
            yield f"datasets.{name}: a model has this name too; rename one of them"
    for table in ("models", "datasets"):
        for name in FILES_BESIDE:
            if name in section.get(table, {}):
                yield f"{table}.{name}: is the name of a file beside its own; rename it"
    if "test" in section.get("methods", {}):
        yield "methods.test: is the name of the test prompts' file; rename it"
