"""DVC's experiments side by side, one column each: what they changed, and the scores.

`dvc exp show` has one row for each experiment and one column for each metric of each run, which is
wider than any terminal as soon as a few methods are compared.
"""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections.abc import Iterator

from tunebench import metrics
from tunebench.errors import TunebenchError

COMMAND = ("dvc", "exp", "show", "--only-changed", "--hide-workspace", "--csv")
HEADLINE = re.compile(
    rf"metrics/summary/(.+)\.json:({'|'.join((*metrics.HEADLINE.values(), 'status'))})"
)
# neither parameters nor headline metrics: other columns of DVC's table
OTHER = re.compile(r"(Experiment|rev|typ|Created)$|(data|metrics|report|src|stages)/")


def lines() -> Iterator[str]:
    """The table as text, aligned.

    Raises:
        TunebenchError: what DVC says, if it cannot show the experiments.
    """
    done = subprocess.run([sys.executable, "-m", *COMMAND], capture_output=True, text=True)
    if done.returncode:
        raise TunebenchError(done.stderr.strip().removeprefix("ERROR: "))
    table = side_by_side(done.stdout)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def side_by_side(exported: str) -> list[list[str]]:
    """The CSV that `dvc exp show` writes, transposed: experiments, changed parameters, scores."""
    columns = {name: cells for name, *cells in zip(*csv.reader(exported.splitlines()), strict=True)}
    revisions = zip(columns["Experiment"], columns["rev"], strict=True)
    names = ["", *(name or revision for name, revision in revisions)]
    parameters = [[name, *cells] for name, cells in columns.items() if not OTHER.match(name)]
    scores = [
        [" ".join(match.groups()), *cells]
        for name, cells in columns.items()
        if (match := HEADLINE.fullmatch(name))
    ]
    return [names, *parameters, *sorted(scores)]
