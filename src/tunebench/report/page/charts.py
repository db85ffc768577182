"""Vega-Lite: specifications filled in, static pictures, and the bundle that draws in a browser."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

STATIC = {"width": 620, "label_width": 280, "cell_label_width": 160}
# the reader's font may be wider than that which the picture was measured with
ROOM = {"left": 20, "top": 4, "right": 12, "bottom": 4}
VERSION = "6.4"  # of Vega-Lite, for the bundle and for the static pictures


@cache
def specs() -> dict[str, dict[str, Any]]:
    """Every specification by its name, and `config`, which all of them share."""
    folder = resources.files(__package__) / "specs"
    return {
        path.name.partition(".")[0]: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.iterdir(), key=lambda path: path.name)
        if path.name.endswith(".json")
    }


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """A specification with `"<name>"` replaced by the value of that name.

    >>> fill({"data": {"values": "<rows>"}, "title": "<"}, {"rows": [1]})
    {'data': {'values': [1]}, 'title': '<'}
    """
    if isinstance(template, dict):
        return {key: fill(part, values) for key, part in template.items()}
    if isinstance(template, list):
        return [fill(part, values) for part in template]
    if isinstance(template, str) and template.startswith("<") and template.endswith(">"):
        return values[template[1:-1]]
    return template


def svg(name: str, values: Mapping[str, Any]) -> str:
    """A specification's picture for a page: it takes its text colour from around it."""
    import vl_convert

    template, config = specs()[name], specs()["config"] | {"padding": ROOM}
    given = {**STATIC, **values, "height": _height(template, values["rows"])}
    spec = fill(template, given) | {"config": config}
    drawn: str = vl_convert.vegalite_to_svg(spec, vl_version=VERSION)
    return drawn.replace("<svg ", '<svg aria-hidden="true" ', 1)  # the figure around it has a name


def _height(template: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> int | None:
    """Pixels of a chart with a line for each value of a field, which its `usermeta` names."""
    lines = template.get("usermeta")
    if lines is None:
        return None
    count = len({row[lines["rows_of"]] for row in rows})
    return int(lines["step"] * max(1, min(count, lines.get("most", count))))


@cache
def bundle() -> str:
    """Vega, Vega-Lite and vega-embed as one script, which sets `window.vegaEmbed`."""
    import vl_convert

    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", VERSION)
    return f'(()=>{{"use strict";{script}\n}})();'
