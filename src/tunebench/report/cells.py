"""Cells of CSV files that no program takes for code.

`dvc plots show` writes cells into a script of its page as they are, so that a label that holds
`</script>` ends that script. A spreadsheet runs cells that begin like a formula.
"""

from __future__ import annotations

import re
from typing import Any

# after them `<` is text to an HTML parser, and it looks as before: a word joiner has no width
MARKUP = re.compile(r"<(?=[/!?A-Za-z])")
NO_MARKUP = "<\u2060"
# OWASP's list (CSV injection), full-width forms included. `;` separates cells in many countries
FORMULA = re.compile(r"(^|;)(?='*\s*[=+\-@＝＋－＠\t\r\n])")


def safe(cell: Any) -> Any:
    """A cell that displays as before, or with a quote before what would be a formula.

    >>> safe("=1+1"), safe("-0.5"), safe(-0.5)
    ("'=1+1", '-0.5', -0.5)
    """
    if not isinstance(cell, str):
        return cell
    cell = MARKUP.sub(NO_MARKUP, cell)
    return cell if _is_number(cell) else FORMULA.sub(r"\1'", cell)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
