"""Report on, look at and compare a study of 200 runs with 2,000 test rows each:

    python benchmarks/large_study.py

Prints one JSON line: seconds and peak memory of the report stage, bytes of the page, milliseconds
until Chromium has drawn it from disk (the first page of its process, and the median of three more)
and to sort and filter its table (none without Chromium), and the median seconds of
`tunebench compare` of two revisions. The results are made up; the stage, the page and the command
are the real ones.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from contextlib import chdir
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from measure import ROOT, machine, timed

sys.path.append(str(ROOT / "tests"))

from browser import NAMES, started
from fake_results import Fake, study
from projects import VALID, Project
from versions import Versions

from tunebench import config, paths

COMPARE = "from tunebench.cli import app; app(['compare', 'HEAD~1', 'HEAD'])"
SORT = "document.querySelectorAll('#ranking table thead button')[2].click()"
FILTER = (
    "const field = document.querySelector('[data-state=quality]'); field.value = 60;"
    " field.dispatchEvent(new Event('input', {bubbles: true}))"
)
TIMED = (
    "(() => {{ const start = performance.now(); {0};"
    " document.body.getBoundingClientRect(); return performance.now() - start; }})()"
)


def reported(folder: Path, rows: int, tuning: int) -> dict[str, Any]:
    """The report stage of two models, two data sets, two prompting methods and six train sizes."""
    sizes = (10, 50, 100, 500, 1000, 2000)
    grid = study(VALID, models=2, datasets=2, prompting=2, tuning=tuning, sizes=sizes)
    project = Project(folder)
    project.write_params(grid)
    with chdir(folder):
        Fake(labels=[f"topic {index}" for index in range(20)], rows=rows).write(config.load())
    started_at = time.perf_counter()
    done = project.run("report")
    seconds = time.perf_counter() - started_at
    if done.returncode:
        sys.exit(done.stderr)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return {
        "runs": 4 * (2 + tuning * len(sizes)),
        "report_s": round(seconds, 1),
        "report_peak_bytes": peak,
        "page_bytes": (folder / paths.PAGE).stat().st_size,
    }


def looked_at(page: Path) -> dict[str, Any]:
    """Milliseconds of the page in Chromium; None where it is not here."""
    if not (any(map(shutil.which, NAMES)) and shutil.which("chromedriver")):
        return dict.fromkeys(("drawn_first_ms", "drawn_ms", "sorted_ms", "filtered_ms"))
    with started() as browser:
        drawn = []
        for _ in range(4):
            browser.open(page)
            drawn.append(round(browser.js("performance.now()")))
        first, *others = drawn
        return {
            "drawn_first_ms": first,
            "drawn_ms": median(others),
            "sorted_ms": round(browser.js(TIMED.format(SORT))),
            "filtered_ms": round(browser.js(TIMED.format(FILTER))),
        }


def compared(folder: Path, runs: int, rows: int) -> dict[str, Any]:
    """Two revisions of as many runs, each with answers of its own."""
    versions = Versions(folder)
    rest = json.dumps({"prompt": "x" * 700, "scores": {"a": -0.62112, "b": -8.59963}})[1:]
    for more in (0, 2):
        for number in range(runs):
            right = rows // 2 + number % (rows // 4) + more
            place = f"tiny/reviews/method{number}/1.0"
            versions.add(place, [row < right for row in range(rows)])
            lines = [
                f'{{"id": "test-{row}", "gold": "a", "answer": "{"ab"[row >= right]}", {rest}\n'
                for row in range(rows)
            ]
            versions.cached(place, "".join(lines).encode())
        versions.commit("answers")

    def compare() -> None:
        subprocess.run([sys.executable, "-c", COMPARE], cwd=folder, capture_output=True, check=True)

    return {"compare_s": round(timed(compare, repeats=3)[0], 2)}


def main() -> None:
    """Make both studies in temporary folders, and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--tuning", type=int, default=8, help="tuning methods: 24 runs each")
    given = parser.parse_args()
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        found = reported(Path(one), given.rows, given.tuning)
        found |= looked_at(Path(one) / paths.PAGE)
        found |= compared(Path(other), found["runs"], given.rows)
    about = {"benchmark": "large_study", "machine": machine(), "rows": given.rows}
    print(json.dumps(about | found))


if __name__ == "__main__":
    main()
