"""The page as one HTML file: data, specifications, bundle and text in one."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tunebench import results
from tunebench.config.schema import Params
from tunebench.report.page import charts, making
from tunebench.report.page.content import Content, Parts
from tunebench.report.summary import Record
from tunebench.report.tables import Row

SCRIPTS = ("state", "needs", "charts", "run", "rows", "tables", "view")  # in the page's order
# in JSON within a script: what an HTML or a JavaScript parser could take for more than text
UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def write(
    path: Path,
    params: Params,
    records: Sequence[Record],
    tables: Mapping[str, Sequence[Row]],
    *,
    further: Mapping[str, Sequence[Row]] | None = None,
    parts: Parts | None = None,
) -> None:
    """Write the page, with all text escaped.

    Args:
        tables: those of `metrics/tables/`, to be shown and downloaded.
        further: tables to be downloaded only.
    """
    content = Content(params, records, tables, parts or Parts())
    files = making.downloads({**tables, **(further or {})})
    data, script, bundle = _json(content.for_scripts()), _script(), charts.bundle()
    template = _environment().get_template("page.html.jinja")
    page = template.render(
        content.for_template(), files=files, data=Markup(data), script=Markup(script),
        bundle=Markup(bundle), style=Markup(_asset("style.css")),
        hashes=" ".join(map(_hash, (bundle, script))),
    )  # fmt: skip
    with results.replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")


def _json(data: Any) -> str:
    """JSON that ends no script and begins no comment, whatever its texts hold."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in UNSAFE.items():
        text = text.replace(character, escape)
    return text


def _hash(script: str) -> str:
    """How the page's policy names a script that may run: no other does."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


@cache
def _script() -> str:
    """The page's own scripts as one, which shares no name with others."""
    parts = "".join(_asset(f"scripts/{name}.js") for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


@cache
def _asset(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader(str(__package__), "."), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
