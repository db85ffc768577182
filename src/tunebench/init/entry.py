"""Parts of a data set's entry that its file decides: name, columns, labels, instruction."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunebench.config.data import Dataset
from tunebench.config.references import FILES_BESIDE, NAME
from tunebench.config.schema import Params
from tunebench.data.sources.files import NAMES as SPLIT_NAMES
from tunebench.errors import ParameterError
from tunebench.init.answers import Answers, listed
from tunebench.init.audit import Audit
from tunebench.init.columns import Roles

NAMED_LABELS = 30  # in an instruction
SUMMARY = re.compile(r"summar|highlight|abstract|tl;?dr", re.IGNORECASE)


def name(params: Params, answers: Answers) -> str:
    """The name of the data set: as given, or from the file's name.

    Raises:
        ParameterError: if the given one is no name, or is taken by a model.
    """
    if answers.name is not None:
        _check_name(params, answers.name)
        return answers.name
    path = Path(answers.file)
    stem = (path.stem if path.suffix else path.name) or path.resolve().name
    if stem.lower() in SPLIT_NAMES:  # train.csv: the folder says more
        stem = path.resolve().parent.name
    derived = re.sub(r"[^A-Za-z0-9]+", "_", stem).strip("_")[:60] or "rows"
    while derived in params.models or derived in FILES_BESIDE:
        derived += "_rows"
    return derived


def _check_name(params: Params, given: str) -> None:
    if not NAME.fullmatch(given) or given in FILES_BESIDE:
        raise ParameterError(
            [
                f"--name: {given!r} is no name of a data set; use letters, digits and _ only, 64 at"
                f" most, and none of {', '.join(FILES_BESIDE)}"
            ]
        )
    if given in params.models:
        raise ParameterError([f"--name: a model is named {given!r} already; choose another name"])


def reading(answers: Answers, roles: Roles, found: Audit | None = None) -> dict[str, Any]:
    """The keys that say which rows there are and how they are read; before an audit, for it."""
    entry = answers.reading | {"task": roles.task, "columns": roles.columns}
    if answers.label_names is not None:
        entry["label_names"] = listed(answers.label_names)
    elif found is not None and found.label_names:
        entry["label_names"] = dict(found.label_names)
    if answers.labels is not None:
        entry["labels"] = answers.labels
    if found is None or found.dropped:
        entry["drop_empty"] = True
    if found is not None and found.test_rows_in_train:
        entry["drop_test_duplicates"] = True
    return entry


def dataset(entry: Mapping[str, Any]) -> Dataset:
    """What `reading` gives as a data set, with neither template nor training."""
    return Dataset.model_validate({"template": "none", "training": {}, **entry})


def instruction(roles: Roles, labels: list[str]) -> str:
    """A plain instruction by the names of the columns, with all labels unless they are many."""
    text, target = roles.text.column.name, roles.target.column.name
    if roles.task != "classification":
        summarized = SUMMARY.search(target)
        return f"Summarize the {text}." if summarized else f"Write the {target} for the {text}."
    what = "label" if "label" in target.lower() else target
    asked = f"Classify the {text} by its {what}. Answer with the {what} only"
    return f"{asked}: {', '.join(labels)}." if len(labels) <= NAMED_LABELS else f"{asked}."
