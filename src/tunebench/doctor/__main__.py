"""`python -m tunebench.doctor [--json] [--offline]`, where the `tunebench` command does not start:
it needs no package but this one.
"""

from __future__ import annotations

import argparse
import sys

from tunebench.doctor import examine, printing
from tunebench.doctor.findings import usable


def report(*, as_json: bool, offline: bool) -> int:
    """Print the findings; 1 if there is a fault among them, else 0."""
    findings = examine(offline=offline)
    if as_json:
        print(printing.as_json(findings))
    else:
        printing.show(findings)
    return 0 if usable(findings) else 1


def main() -> int:
    """Read the options of the command line, and report."""
    parser = argparse.ArgumentParser("python -m tunebench.doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument("--offline", action="store_true", help="ask the Hub for nothing")
    options = parser.parse_args()
    return report(as_json=options.json, offline=options.offline)


if __name__ == "__main__":
    sys.exit(main())
